//! The API server is asked beforehand whether it would take the Pods of a new version: what it refuses because of a template costs
//! no Pod, and what it refuses for another reason is left to the Pods to show.
//!
//! Rule: what it was asked, and what was done, is counted in its own audit log.

use std::time::Duration;

use kube::ResourceExt;
use serde_json::{Value, json};

use super::rollback::{template, version, version_of};
use super::shared;
use super::support::{OPERATOR, Request, Space, condition, is_current, requests_of};

const SOON: Duration = Duration::from_mins(3);

/// Workers that are updated one after another, each without a Pod more.
fn tree(workers: &[(&str, Value)]) -> String {
    let update = json!({"maxSurge": 0, "maxUnavailable": 1});
    let child = |(name, template): &(&str, Value)| json!({"name": name, "worker": {"replicas": 2, "quorum": 1, "update": update, "template": template}});
    let children: Vec<Value> = workers.iter().map(child).collect();
    json!({
        "apiVersion": "coppice.dev/v1alpha1",
        "kind": "SupervisionTree",
        "metadata": {"name": "tree"},
        "spec": {"rollout": {"probationSeconds": 3}, "children": children},
    })
    .to_string()
}

/// A template that the strictest of the standards for Pods allows.
fn harmless(name: &'static str) -> Value {
    let mut template = template(&version(name));
    template["spec"]["securityContext"] = json!({
        "runAsNonRoot": true,
        "runAsUser": 65534,
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    template["spec"]["containers"][0]["securityContext"] = json!({
        "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
    });
    template
}

/// Waits until the revisions have these marks, nothing is rolled out, and the tree says what became of the last one; gives it back.
async fn until_marked(space: &Space<'_>, marks: &[&str]) -> Value {
    let is_bad = marks.last() == Some(&"Bad");
    let has_failed = if is_bad { "True" } else { "False" };
    let are_marked = |tree: &Value| {
        let revisions = tree["status"]["revisions"].as_array().into_iter().flatten();
        let told: Vec<&Value> = revisions.map(|one| &one["mark"]).collect();
        is_current(tree, "RolledBack", has_failed)
            && told == marks
            && tree["status"].get("rollout").is_none()
    };
    let what = format!("marked {marks:?}");
    space.until("tree", SOON, &what, are_marked).await
}

/// The version and the UID of every Pod that nobody has asked to stop, in the order of children and slots.
async fn pods(space: &Space<'_>, children: &[&str]) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for child in children {
        let mut pods = space.pods_of("tree", child).await;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        for pod in pods {
            let uid = pod.uid().expect("every stored Pod has one");
            let pod = serde_json::to_value(pod).expect("a Pod");
            all.push((version_of(&pod).to_owned(), uid));
        }
    }
    all
}

/// The versions among those Pods, each once in a row.
fn versions(pods: &[(String, String)]) -> Vec<&str> {
    let mut versions: Vec<&str> = pods.iter().map(|(version, _)| version.as_str()).collect();
    versions.dedup();
    versions
}

/// What the operator has asked of Pods here: the codes of the answers to what was only a question, and how many Pods it has
/// created or deleted, or tried to.
fn asked(space: &Space<'_>) -> (Vec<u64>, usize) {
    let mut requests = requests_of(space.cluster, OPERATOR);
    requests.retain(|one| one.namespace == space.name && one.resource == "pods");
    let questions = requests.iter().filter(|one| one.dry_run);
    let codes = questions.map(|one| one.code).collect();
    (
        codes,
        requests.iter().filter(|one| Request::is_write(one)).count(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_the_namespace_forbids_costs_no_pod() {
    let cluster = shared().await;
    let space = Space::new(cluster, "forbidden").await;
    let first = template(&version("one"));
    space.apply(&tree(&[("db", first.clone()), ("api", first)]));
    until_marked(&space, &["Good"]).await;
    let before = pods(&space, &["db", "api"]).await;
    let (questions, writes) = asked(&space);
    assert_eq!(questions, [0; 0], "a first version is not asked about");
    let label = "pod-security.kubernetes.io/enforce=restricted";
    space.kubectl(&["label", "namespace", &space.name, label]);

    // Only the second of the two would be refused. The first could have been updated before that shows.
    let second = template(&version("two"));
    space.apply(&tree(&[("db", harmless("two")), ("api", second)]));
    let back = until_marked(&space, &["Good", "Bad"]).await;
    assert!(is_current(&back, "Stalled", "True"), "{back:#}");
    let words = condition(&back, "RolledBack")["message"].as_str();
    let words = words.unwrap_or_default();
    assert!(
        words.contains("a Pod of api would be refused") && words.contains("PodSecurity"),
        "{words}"
    );
    assert_eq!(asked(&space), (vec![201, 403], writes), "{back:#}");
    assert_eq!(pods(&space, &["db", "api"]).await, before);

    // What the namespace allows goes on.
    let third = ["db", "api"].map(|name| (name, harmless("three")));
    space.apply(&tree(&third));
    until_marked(&space, &["Good", "Bad", "Good"]).await;
    assert_eq!(asked(&space).0, [201, 403, 201, 201]);
    assert_eq!(versions(&pods(&space, &["db", "api"]).await), ["three"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_is_full_says_nothing_of_a_version() {
    let cluster = shared().await;
    let space = Space::new(cluster, "full").await;
    space.apply(&tree(&[("api", template(&version("one")))]));
    until_marked(&space, &["Good"]).await;
    let quota = json!({
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "full"},
        "spec": {"hard": {"pods": "2"}},
    });
    space.apply(&quota.to_string());
    let counted = "--for=jsonpath={.status.used.pods}=2";
    space.kubectl(&["wait", "resourcequota/full", counted, "--timeout=60s"]);

    space.apply(&tree(&[("api", template(&version("two")))]));
    until_marked(&space, &["Good", "Good"]).await;
    assert_eq!(asked(&space).0, [403]);
    let told = space.kubectl(&[
        "get",
        "events",
        "--field-selector=reason=NotTried",
        "-o",
        "jsonpath={.items[*].message}",
    ]);
    assert!(told.contains("exceeded quota"), "{told:?}");
    let now = pods(&space, &["api"]).await;
    assert_eq!((versions(&now), now.len()), (vec!["two"], 2));
}
