//! New versions that turn out to be bad, on real Pods: the whole tree goes back, and only as far as it has to.
//!
//! Rule: what ran when is judged by the Pods' own stories; of the operator only what it tells people is asked.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use e2e::{current, kstatus};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::record::{Record, Seen};
use super::support::{Space, condition, is_current, kubectl, said};
use super::{MEASURING, shared};

const SOON: Duration = Duration::from_mins(3);
/// Where a registry on the node answers that it has no such image: it is asked without TLS only there.
const PORT: u16 = 5056;
/// The node that it is on.
pub(super) const NODE: &str = "node-a";
const IDLE: &str = "while :; do sleep 1; done";
/// How much later than the tree its Secret comes.
const LATE: Duration = Duration::from_secs(2);

/// What differs between versions of a worker.
#[derive(Clone)]
pub(super) struct Version {
    image: String,
    script: &'static str,
    name: &'static str,
}

pub(super) fn version(name: &'static str) -> Version {
    Version {
        image: current::workload_image(),
        script: IDLE,
        name,
    }
}

pub(super) fn template(version: &Version) -> Value {
    json!({"spec": {
        "terminationGracePeriodSeconds": 1,
        "nodeSelector": {"kubernetes.io/hostname": NODE},
        "containers": [{
            "name": "app",
            "image": version.image,
            "command": ["/bin/sh", "-c", version.script],
            "env": [{"name": "VERSION", "value": version.name}],
        }],
    }})
}

/// Three workers that depend on each other in this order, of which the middle one has two replicas.
fn tree(db: &Version, api: &Version, web: &Version) -> Value {
    json!({
        "apiVersion": "coppice.dev/v1alpha1",
        "kind": "SupervisionTree",
        "metadata": {"name": "tree"},
        "spec": {
            "rollout": {"probationSeconds": 5},
            "children": [
                {"name": "db", "worker": {"template": template(db)}},
                {"name": "api", "worker": {
                    "replicas": 2, "update": {"minReadySeconds": 5}, "template": template(api),
                }},
                {"name": "web", "worker": {"template": template(web)}},
            ],
        },
    })
}

/// The tree with the first version of everything, proved good.
async fn proved(space: &Space<'_>) -> Version {
    let first = version("one");
    space.apply(&tree(&first, &first, &first).to_string());
    until_proved(space).await;
    first
}

/// Waits until the newest revision is proved good.
async fn until_proved(space: &Space<'_>) {
    let is_good = |tree: &Value| {
        let revisions = tree["status"]["revisions"].as_array();
        revisions.is_some_and(|all| all.last().is_some_and(|one| one["mark"] == "Good"))
    };
    space.until("tree", SOON, "proved good", is_good).await;
}

/// Installs or upgrades the chart of this tree, and waits until Helm is content with it.
#[track_caller]
fn by_helm(space: &Space<'_>, verb: &str, tree: &Value) {
    let output = space.helm(verb, tree);
    assert!(output.status.success(), "helm {verb}: {}", said(&output));
}

/// The version that a Pod was made from.
pub(super) fn version_of(pod: &Value) -> &str {
    let env = &pod["spec"]["containers"][0]["env"][0]["value"];
    env.as_str().unwrap_or_default()
}

/// Children and versions of the Pods that were made after the first `begun` entries, in that order, each once in a row.
fn made(seen: &[Seen], begun: usize) -> Vec<(String, String)> {
    let (mut known, mut made) = (BTreeSet::new(), Vec::new());
    for (place, entry) in seen.iter().enumerate() {
        let Seen::Object(pod) = entry else {
            continue;
        };
        let child = pod["metadata"]["labels"]["coppice.dev/child"].as_str();
        let what = (
            child.unwrap_or_default().to_owned(),
            version_of(pod).to_owned(),
        );
        let is_new = known.insert(pod["metadata"]["uid"].to_string());
        if is_new && place >= begun && made.last() != Some(&what) {
            made.push(what);
        }
    }
    made
}

/// The UIDs of the Pods of a child that nobody has asked to stop.
async fn uids(space: &Space<'_>, child: &str) -> Vec<String> {
    let pods = space.pods_of("tree", child).await;
    let live = pods
        .iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none());
    live.filter_map(Pod::uid).collect()
}

/// Those of all children, in their order.
async fn all_uids(space: &Space<'_>) -> [Vec<String>; 3] {
    [
        uids(space, "db").await,
        uids(space, "api").await,
        uids(space, "web").await,
    ]
}

/// Waits until the tree is on the first version again with all its Pods, and says so.
async fn until_back(space: &Space<'_>) -> Value {
    let is_back = |tree: &Value| {
        let up = tree["status"]["up"] == 3 && tree["status"].get("rollout").is_none();
        up && condition(tree, "RolledBack")["status"] == "True"
    };
    let tree = space.until("tree", SOON, "taken back", is_back).await;
    assert_eq!(condition(&tree, "Ready")["status"], "False");
    assert_eq!(condition(&tree, "Stalled")["status"], "True");
    assert_eq!(condition(&tree, "Stalled")["reason"], "RolledBack");
    // What waits for it, as `helm upgrade --wait` does, is told that it has failed.
    assert_eq!(kstatus::compute(&tree), kstatus::Status::Failed);
    for child in ["db", "api", "web"] {
        space
            .until_object(
                "Worker",
                &format!("tree-{child}"),
                SOON,
                "alone",
                |worker| worker["status"]["replicas"] == worker["spec"]["replicas"],
            )
            .await;
        let versions = live_versions(space, child).await;
        assert!(versions.iter().all(|one| one == "one"), "{child}");
    }
    tree
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_does_not_exist_is_taken_back_in_seconds() {
    let alone = MEASURING.lock().await;
    let cluster = shared().await;
    let space = Space::new(cluster, "no-image").await;
    registry(&space, PORT);
    let first = proved(&space).await;
    space.apply(&deployment(&first).to_string());
    space.kubectl(&["rollout", "status", "deployment/beside", "--timeout=120s"]);
    let before = all_uids(&space).await;
    let record = Record::of_pods(cluster, &space.name);
    record.until_begun().await;

    let broken = Version {
        image: format!("127.0.0.1:{PORT}/shop/api:2"),
        ..version("two")
    };
    space.apply(&tree(&first, &broken, &first).to_string());
    space.apply(&deployment(&broken).to_string());
    let tree = until_back(&space).await;

    let seen = record.so_far();
    let mut broken_pods = seen.iter().filter_map(|entry| match entry {
        Seen::Object(pod) if version_of(pod) == "two" => Some(pod),
        _ => None,
    });
    let of_tree = |pod: &&Value| pod["metadata"]["labels"]["coppice.dev/child"] == "api";
    let made = broken_pods.find(of_tree).expect("a new Pod was made");
    let made = time(&made["metadata"]["creationTimestamp"]);
    let back = time(&condition(&tree, "RolledBack")["lastTransitionTime"]);
    let seconds = back.duration_since(made).as_secs();
    println!("taken back {seconds} s after the first Pod with the broken image was made");
    assert!(seconds <= 10, "{seconds} s");
    assert_eq!(all_uids(&space).await, before, "no old replica had to go");
    let status = [
        "-n",
        &space.name,
        "rollout",
        "status",
        "deployment/beside",
        "--timeout=1s",
    ];
    let waited = kubectl(cluster, &status, "");
    assert!(
        !waited.status.success(),
        "the Deployment beside it is stuck"
    );
    space.kubectl(&["delete", "deployment", "beside", "--wait=false"]);
    drop(alone);
    is_looked_at_and_undone(&space, &first, &broken).await;
    is_frozen_for_a_while(&space, &first).await;
}

/// The words of a line, with one space between them.
fn squeezed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A person looks at the history of a tree that was taken back, and takes the edit back, too.
async fn is_looked_at_and_undone(space: &Space<'_>, first: &Version, broken: &Version) {
    let before = all_uids(space).await;
    let back = space.tree("tree").await;
    let why = &back["status"]["revisions"][1]["failed"]["message"];
    let why = why.as_str().unwrap_or_default();
    assert!(why.contains("api/"), "{back:#}");
    let history = space.plugin(&["history", "tree"]);
    let rows: Vec<String> = history.lines().skip(1).map(squeezed).collect();
    let bad = format!("2 Bad api ({}) {why}", broken.image);
    assert_eq!(rows, ["1* Good".to_owned(), squeezed(&bad)], "{history}");

    space.plugin(&["undo", "tree"]);
    let tree = space.until_at_rest("tree", SOON).await;
    let children = tree["spec"]["children"].as_array().into_iter().flatten();
    for child in children {
        let written = &child["worker"]["template"]["spec"]["containers"][0];
        let wanted = &template(first)["spec"]["containers"][0];
        for field in ["image", "command", "env"] {
            assert_eq!(written[field], wanted[field], "{}", child["name"]);
        }
    }
    let worker = &tree["spec"]["children"][1]["worker"];
    let kept = (&worker["replicas"], &worker["update"]["minReadySeconds"]);
    assert_eq!(kept, (&json!(2), &json!(5)), "what is no template stays");
    assert!(is_current(&tree, "RolledBack", "False"), "{tree:#}");
    let revisions = tree["status"]["revisions"].as_array();
    let newest = revisions.and_then(|all| all.last()).expect("a revision");
    assert_eq!(
        (&newest["number"], &newest["mark"]),
        (&json!(3), &json!("Good"))
    );
    assert_eq!(tree["status"]["restarts"].as_u64().unwrap_or(0), 0);
    assert_eq!(all_uids(space).await, before, "nothing was restarted");
}

/// A person pauses rollouts: a new version waits, what dies comes back as it was, and both end when they are resumed.
async fn is_frozen_for_a_while(space: &Space<'_>, first: &Version) {
    let [db, api, web] = all_uids(space).await;
    space.plugin(&["pause", "tree"]);
    space.apply(&tree(first, first, &version("three")).to_string());
    let is_frozen = |tree: &Value| {
        let is_told = condition(tree, "Ready")["reason"] == "RolloutPaused";
        is_told && is_current(tree, "Reconciling", "True")
    };
    space.until("tree", SOON, "frozen", is_frozen).await;
    let selector = "coppice.dev/child=web";
    space.kubectl(&["delete", "pod", "-l", selector, "--wait=false"]);
    let has_healed = |worker: &Value| {
        let numbers = ["restarts", "up", "replicas"].map(|name| &worker["status"][name]);
        numbers.into_iter().all(|number| *number == 1)
    };
    let healed = space.until_object("Worker", "tree-web", SOON, "healed", has_healed);
    healed.await;
    assert_eq!(live_versions(space, "web").await, ["one"]);
    assert_ne!(uids(space, "web").await, web);

    space.plugin(&["resume", "tree"]);
    until_proved(space).await;
    space.until_at_rest("tree", SOON).await;
    assert_eq!(live_versions(space, "web").await, ["three"]);
    let [db_now, api_now, _] = all_uids(space).await;
    assert_eq!([db_now, api_now], [db, api], "they have no new version");
}

/// The versions of the Pods of a child that nobody has asked to stop.
async fn live_versions(space: &Space<'_>, child: &str) -> Vec<String> {
    let mut pods = space.pods_of("tree", child).await;
    pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    let version = |pod| version_of(&serde_json::to_value(pod).expect("a Pod")).to_owned();
    pods.into_iter().map(version).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_crashes_takes_back_what_was_upgraded_before_it() {
    let cluster = shared().await;
    let space = Space::new(cluster, "crashes").await;
    let first = version("one");
    by_helm(&space, "install", &tree(&first, &first, &first));
    until_proved(&space).await;
    let web = uids(&space, "web").await;
    let record = Record::of_pods(cluster, &space.name);
    record.until_begun().await;
    let begun = record.so_far().len();

    let second = version("two");
    let crashing = Version {
        script: "sleep 1; exit 1",
        ..second.clone()
    };
    let begun_at = Instant::now();
    let failed = space.helm("upgrade", &tree(&second, &crashing, &second));
    let told = said(&failed);
    println!(
        "helm upgrade --wait ended {} s after it was begun: {told}",
        begun_at.elapsed().as_secs()
    );
    assert!(!failed.status.success(), "{told}");
    // It gives up because of what the tree says, long before its own time is over.
    assert!(
        told.contains("status: Failed") && !told.contains("deadline"),
        "{told}"
    );
    until_back(&space).await;

    let made = made(&record.so_far(), begun);
    let steps = |version: &str| {
        let of_version = made.iter().filter(|(_, made)| made == version);
        of_version
            .map(|(child, _)| child.as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(steps("two"), ["db", "api"], "{made:?}");
    assert_eq!(
        made.last(),
        Some(&("db".to_owned(), "one".to_owned())),
        "{made:?}"
    );
    assert_eq!(uids(&space, "web").await, web, "it had not had its turn");
    let events = space.kubectl(&["get", "events", "-o", "jsonpath={.items[*].reason}"]);
    assert!(
        events.contains("RolloutStarted") && events.contains("RolledBack"),
        "{events}"
    );
    // Another version leaves it behind.
    let third = version("three");
    by_helm(&space, "upgrade", &tree(&third, &third, &first));
    let tree = space.until_at_rest("tree", SOON).await;
    assert_eq!(condition(&tree, "RolledBack")["status"], "False");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_comes_after_its_tree_takes_nothing_back() {
    let cluster = shared().await;
    let space = Space::new(cluster, "late-secret").await;
    let first = proved(&space).await;
    let before = all_uids(&space).await;
    let record = Record::of_pods(cluster, &space.name);
    record.until_begun().await;
    let second = version("two");
    let mut wanted = tree(&first, &second, &first);
    let app = &mut wanted["spec"]["children"][1]["worker"]["template"]["spec"]["containers"][0];
    app["envFrom"] = json!([{"secretRef": {"name": "password"}}]);
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "password"},
        "stringData": {"PASSWORD": "secret"},
    });
    // A folder is applied file by file, in the order of their names.
    let folder = cluster.run().folder("late-secret").expect("a folder");
    let files = [("1-tree.json", &wanted), ("2-secret.json", &secret)];
    for (name, object) in files {
        fs::write(folder.join(name), object.to_string()).expect("written");
    }
    let apply = |path: &Path| space.kubectl(&["apply", "-f", &path.to_string_lossy()]);
    apply(&folder.join("1-tree.json"));
    let is_held = |tree: &Value| {
        let faults = tree["status"]["recentFaults"].as_array();
        faults.is_some_and(|all| all.iter().any(|one| one["class"] == "SecretMissing"))
    };
    // It comes that late, and not before a Pod was seen that lacks it.
    tokio::join!(
        tokio::time::sleep(LATE),
        space.until("tree", SOON, "held", is_held)
    );
    apply(&folder);

    until_proved(&space).await;
    let tree = space.until_at_rest("tree", SOON).await;
    assert_eq!(condition(&tree, "RolledBack")["status"], "False");
    assert_eq!(tree["status"]["revision"], 2);
    let events = space.kubectl(&["get", "events", "-o", "jsonpath={.items[*].reason}"]);
    assert!(!events.contains("RolledBack"), "{events}");
    assert_eq!(live_versions(&space, "api").await, ["two"; 2]);
    let [db, _, web] = all_uids(&space).await;
    assert_eq!([&db, &web], [&before[0], &before[2]]);
    assert_eq!(
        made_of(&record.so_far(), "two").len(),
        2,
        "no Pod was made twice, and none waited in vain"
    );
}

/// The UIDs of all Pods that there ever were of a version.
fn made_of<'s>(seen: &'s [Seen], version: &str) -> BTreeSet<&'s str> {
    let pods = seen.iter().map(|(Seen::Object(pod) | Seen::Gone(pod))| pod);
    let of_version = pods.filter(|pod| version_of(pod) == version);
    of_version
        .filter_map(|pod| pod["metadata"]["uid"].as_str())
        .collect()
}

fn time(value: &Value) -> jiff::Timestamp {
    let text = value.as_str().unwrap_or_default();
    text.parse().expect("a time")
}

fn deployment(version: &Version) -> Value {
    let mut template = template(version);
    template["metadata"] = json!({"labels": {"app": "beside"}});
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "beside"},
        "spec": {"selector": {"matchLabels": {"app": "beside"}}, "template": template},
    })
}

/// A registry that has no image, and says so, on a port of the node. Who asks with TLS first is answered without it, after a second.
pub(super) fn registry(space: &Space<'_>, port: u16) {
    let error = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
    let answer = format!(
        "#!/bin/sh\nwhile read -r -t 1 line && [ ${{#line}} -gt 1 ]; do :; done\nprintf 'HTTP/1.1 404 Not Found\\r\\nContent-Type: application/json\\r\\nContent-Length: {}\\r\\nConnection: close\\r\\n\\r\\n%s' '{error}'\n",
        error.len()
    );
    let script = format!(
        "cat >/run/workload/answer <<'END'\n{answer}END\nchmod +x /run/workload/answer\nexec nc -ll -p {port} -e /run/workload/answer"
    );
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "registry"},
        "spec": {
            "hostNetwork": true,
            "nodeSelector": {"kubernetes.io/hostname": NODE},
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "app",
                "image": current::workload_image(),
                "command": ["/bin/sh", "-c", script],
                "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
            }],
        },
    });
    space.apply(&pod.to_string());
    space.kubectl(&[
        "wait",
        "pod/registry",
        "--for=condition=Ready",
        "--timeout=120s",
    ]);
}
