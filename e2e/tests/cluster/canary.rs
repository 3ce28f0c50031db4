//! A canary on real Pods: one replica goes first, waits until it is let on, heals as what it is, and when it fails it was the
//! only one.
//!
//! Rule: which slot had which version is judged by the Pods' own stories.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::record::{Record, Seen};
use super::rollback::{template, version, version_of};
use super::shared;
use super::support::{Space, condition, dies_once, is_current};

const SOON: Duration = Duration::from_mins(3);

/// A worker of three replicas, of which one goes first and the others wait for a promotion. Without surge no slot but these
/// three is filled for a while, so that every Pod can be told by its slot.
fn tree(template: &Value) -> Value {
    let steps = json!([{"updated": 1}, {"pause": {}}]);
    let update = json!({"maxSurge": 0, "maxUnavailable": 1, "steps": steps});
    json!({
        "apiVersion": "coppice.dev/v1alpha1",
        "kind": "SupervisionTree",
        "metadata": {"name": "tree"},
        "spec": {
            "rollout": {"probationSeconds": 3},
            "children": [{"name": "api", "worker": {"replicas": 3, "update": update, "template": template}}],
        },
    })
}

/// The template of a version that dies once.
fn that_dies_once(name: &'static str) -> Value {
    let mut template = template(&version(name));
    dies_once(&mut template);
    template
}

/// By slot, the version and the UID of the one Pod that nobody has asked to stop.
type Slots = BTreeMap<String, (String, String)>;

async fn slots(space: &Space<'_>) -> Slots {
    let mut slots = BTreeMap::new();
    let mut pods = space.pods_of("tree", "api").await;
    pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    for pod in pods {
        let uid = pod.uid().expect("every stored Pod has one");
        let pod = serde_json::to_value(pod).expect("a Pod");
        let twin = slots.insert(slot_of(&pod), (version_of(&pod).to_owned(), uid));
        assert_eq!(twin, None, "a slot has two Pods");
    }
    slots
}

fn slot_of(pod: &Value) -> String {
    let slot = pod["metadata"]["labels"]["coppice.dev/slot"].as_str();
    slot.expect("a slot").to_owned()
}

/// The slots that have that version.
fn of_version(slots: &Slots, version: &str) -> BTreeSet<String> {
    let of_it = slots.iter().filter(|(_, (known, _))| known == version);
    of_it.map(|(slot, _)| slot.clone()).collect()
}

/// Waits until the canary waits to be promoted.
async fn until_it_waits(space: &Space<'_>) -> Value {
    let waits = |tree: &Value| {
        let reconciling = condition(tree, "Reconciling");
        is_current(tree, "Reconciling", "True") && reconciling["reason"] == "RolloutPaused"
    };
    space.until("tree", SOON, "at the pause", waits).await
}

/// Waits until all three replicas are up, each on another Pod than that one.
async fn until_up(space: &Space<'_>, without: &str) {
    let is_up = |worker: &Value| {
        let status = &worker["status"];
        // What more is remembered of a slot than its started Pod is told in an object.
        let words = status["startedPods"].as_array().into_iter().flatten();
        let words = words.filter_map(|word| Some(word.as_str()?.split_once('/')?.1));
        let objects = status["slots"].as_array().into_iter().flatten();
        let objects = objects.filter(|slot| slot["started"] == true);
        let started = words.chain(objects.filter_map(|slot| slot["podUID"].as_str()));
        status["up"] == 3
            && status["replicas"] == 3
            && started.filter(|uid| *uid != without).count() == 3
    };
    space
        .until_object("Worker", "tree-api", SOON, "up", is_up)
        .await;
}

fn is_good(tree: &Value, number: usize) -> bool {
    let revisions = tree["status"]["revisions"].as_array();
    revisions.is_some_and(|all| all.len() == number && all[number - 1]["mark"] == "Good")
}

/// Deletes the Pod of that slot, and waits until there is another one of the same version, and the canary waits.
async fn heals(space: &Space<'_>, slot: &str) {
    let before = slots(space).await;
    let is_it = |pod: &&Pod| pod.uid().as_ref() == Some(&before[slot].1);
    let pods = space.pods_of("tree", "api").await;
    let name = pods.iter().find(is_it).expect("its Pod").name_any();
    space.kubectl(&["delete", "pod", &name, "--wait=false"]);
    until_up(space, &before[slot].1).await;
    until_it_waits(space).await;
    let after = slots(space).await;
    for (slot_of_all, (version, uid)) in &before {
        let (healed, now) = &after[slot_of_all];
        assert_eq!(healed, version, "slot {slot_of_all}");
        assert_eq!(now != uid, slot_of_all == slot, "slot {slot_of_all}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_waits_for_its_promotion_and_takes_back_only_itself() {
    let cluster = shared().await;
    let space = Space::new(cluster, "canary").await;
    space.apply(&tree(&template(&version("one"))).to_string());
    let proved = |tree: &Value| is_good(tree, 1);
    space.until("tree", SOON, "proved good", proved).await;
    let first = slots(&space).await;

    // One goes first.
    space.apply(&tree(&template(&version("two"))).to_string());
    let paused = until_it_waits(&space).await;
    until_up(&space, "").await;
    let step = &paused["status"]["rollout"]["step"];
    assert_eq!((&step["number"], &step["of"]), (&json!(2), &json!(2)));
    assert_eq!(
        (&step["child"], &step["paused"]),
        (&json!("api"), &json!(true))
    );
    let seen = slots(&space).await;
    let canary = of_version(&seen, "two");
    assert_eq!(canary.len(), 1, "{seen:?}");
    let canary = canary.first().expect("one");
    for (slot, pod) in &first {
        assert_eq!(seen[slot] != *pod, slot == canary, "slot {slot}: {seen:?}");
    }

    // What dies meanwhile comes back as what it was.
    heals(&space, canary).await;
    let other = seen.keys().find(|slot| *slot != canary).expect("another");
    heals(&space, other).await;
    let seen = slots(&space).await;

    // Let on, it goes to the end, and what has it already is not started again.
    space.plugin(&["promote", "tree"]);
    let proved = |tree: &Value| is_good(tree, 2);
    space.until("tree", SOON, "proved good", proved).await;
    space.until_at_rest("tree", SOON).await;
    let second = slots(&space).await;
    assert_eq!(of_version(&second, "two").len(), 3, "{second:?}");
    assert_eq!(second[canary], seen[canary], "replaced once only");

    fails(&space, &second).await;
}

/// A canary that dies once takes the tree back from its one slot, and no other has been touched.
async fn fails(space: &Space<'_>, good: &Slots) {
    let record = Record::of_pods(space.cluster, &space.name);
    record.until_begun().await;
    space.apply(&tree(&that_dies_once("three")).to_string());
    let is_back = |tree: &Value| {
        is_current(tree, "RolledBack", "True") && tree["status"].get("rollout").is_none()
    };
    let tree = space.until("tree", SOON, "taken back", is_back).await;
    assert!(is_current(&tree, "Stalled", "True") && is_current(&tree, "Ready", "False"));
    let words = condition(&tree, "RolledBack")["message"].as_str();
    let words = words.unwrap_or_default();
    assert!(
        words.contains("canary") && words.contains("code 3"),
        "{words}"
    );
    let faults = tree["status"]["recentFaults"].as_array();
    let died = faults.into_iter().flatten();
    let died = died.filter(|fault| fault["class"] == "AppExitedNonZero");
    assert_eq!(died.count(), 1, "{tree:#}");

    let mut new = BTreeMap::new();
    for entry in record.so_far() {
        let (Seen::Object(pod) | Seen::Gone(pod)) = entry;
        if version_of(&pod) == "three" {
            let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
            new.insert(uid.to_owned(), slot_of(&pod));
        }
    }
    assert_eq!(new.len(), 1, "one Pod was made of it: {new:?}");
    let (uid, canary) = new.first_key_value().expect("one");
    until_up(space, uid).await;
    let now = slots(space).await;
    assert_eq!(of_version(&now, "two").len(), 3, "{now:?}");
    for (slot, pod) in good {
        assert_eq!(now[slot] != *pod, slot == canary, "slot {slot}: {now:?}");
    }
}
