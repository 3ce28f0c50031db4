//! A canary on real Pods: one replica gets a new version first, and what becomes of it decides about the others.
//!
//! Rule: which version a Pod runs is read off the Pod itself.

use std::time::Duration;

use e2e::current;
use serde_json::{Value, json};

use super::shared;
use super::support::{Space, condition};

const SOON: Duration = Duration::from_mins(3);
const IDLE: &str = "while :; do sleep 1; done";

/// One worker of three replicas, of which one goes first.
fn tree(version: &str, script: &str) -> String {
    let template = json!({"spec": {
        "terminationGracePeriodSeconds": 1,
        "containers": [{
            "name": "app",
            "image": current::workload_image(),
            "command": ["/bin/sh", "-c", script],
            "env": [{"name": "VERSION", "value": version}],
        }],
    }});
    json!({
        "apiVersion": "coppice.dev/v1alpha1",
        "kind": "SupervisionTree",
        "metadata": {"name": "tree"},
        "spec": {
            "rollout": {"probationSeconds": 2},
            "children": [{"name": "api", "worker": {
                "replicas": 3,
                "update": {"steps": [{"updated": 1}, {"pause": {}}]},
                "template": template,
            }}],
        },
    })
    .to_string()
}

/// The tree with its first version, proved good.
async fn proved(space: &Space<'_>) {
    space.apply(&tree("one", IDLE));
    let is_good = |tree: &Value| tree["status"]["revisions"][0]["mark"] == "Good";
    space.until("tree", SOON, "proved good", is_good).await;
}

/// UIDs of the Pods that nobody has asked to stop, and that run that version.
async fn of_version(space: &Space<'_>, version: &str) -> Vec<String> {
    let pods = space.pods_of("tree", "api").await;
    let live = pods
        .into_iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none());
    let runs = |pod: &Value| pod["spec"]["containers"][0]["env"][0]["value"] == version;
    let all = live.map(|pod| serde_json::to_value(pod).expect("a Pod"));
    let uid = |pod: Value| {
        pod["metadata"]["uid"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let mut uids: Vec<String> = all.filter(runs).map(uid).collect();
    uids.sort();
    uids
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_waits_for_its_promotion_and_heals_meanwhile() {
    let cluster = shared().await;
    let space = Space::new(cluster, "canary").await;
    proved(&space).await;
    let before = of_version(&space, "one").await;

    space.apply(&tree("two", IDLE));
    let is_waiting = |tree: &Value| {
        let step = &tree["status"]["rollout"]["step"];
        step["number"] == 2 && condition(tree, "Reconciling")["reason"] == "RolloutPaused"
    };
    let seen = space.until("tree", SOON, "at its pause", is_waiting).await;
    assert_eq!(seen["status"]["rollout"]["step"]["of"], 2);
    assert_eq!(seen["status"]["rollout"]["updated"], 1);
    assert!(seen["status"]["rollout"].get("deadlineTime").is_none());
    let canary = of_version(&space, "two").await;
    assert_eq!(canary.len(), 1);
    let kept = of_version(&space, "one").await;
    assert!(kept.len() == 2 && kept.iter().all(|uid| before.contains(uid)));

    // The canary comes back as the new version.
    let pods = space.pods_of("tree", "api").await;
    let mut of_canary = pods
        .iter()
        .filter(|pod| pod.metadata.uid.as_ref() == canary.first());
    let name = of_canary
        .next()
        .and_then(|pod| pod.metadata.name.clone())
        .expect("a name");
    space.kubectl(&["delete", "pod", &name, "--wait=false"]);
    space
        .until_pod(&name, SOON, "gone", |pod| pod.is_none())
        .await;
    let is_whole =
        |worker: &Value| worker["status"]["up"] == 3 && worker["status"]["replicas"] == 3;
    space
        .until_object("Worker", "tree-api", SOON, "whole", is_whole)
        .await;
    let again = of_version(&space, "two").await;
    assert!(again.len() == 1 && again != canary, "{again:?}");
    assert_eq!(of_version(&space, "one").await, kept);

    let promote = json!({"spec": {"rollout": {"promote": {"revision": 2, "step": 2}}}}).to_string();
    space.kubectl(&["patch", "stree", "tree", "--type=merge", "-p", &promote]);
    let tree = space.until_at_rest("tree", SOON).await;
    assert_eq!(tree["status"]["revision"], 2);
    assert_eq!(of_version(&space, "two").await.len(), 3);
    assert_eq!(of_version(&space, "one").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_crashes_once_is_taken_back_and_no_other_replica_is_touched() {
    let cluster = shared().await;
    let space = Space::new(cluster, "bad-canary").await;
    proved(&space).await;
    space.apply(&tree("two", "sleep 3; exit 1"));
    let is_back = |tree: &Value| {
        condition(tree, "RolledBack")["status"] == "True" && tree["status"]["up"] == 1
    };
    let tree = space.until("tree", SOON, "taken back", is_back).await;
    let message = condition(&tree, "Ready")["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(
        message.contains("a Pod of a canary has failed"),
        "{message}"
    );
    let is_whole =
        |worker: &Value| worker["status"]["up"] == 3 && worker["status"]["replicas"] == 3;
    space
        .until_object("Worker", "tree-api", SOON, "whole", is_whole)
        .await;
    assert_eq!(of_version(&space, "one").await.len(), 3);
    let events = space.kubectl(&["get", "events", "-o", "jsonpath={.items[*].reason}"]);
    assert!(
        events.contains("RolloutStep") && events.contains("RolledBack"),
        "{events}"
    );
}
