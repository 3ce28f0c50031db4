//! Ends: of Pods when a worker is scaled to 0, and of trees by every mode of deletion that Kubernetes has.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Value, json};

use super::kit::{Kit, SOON, tree, uids, worker};
use super::record::{Record, Seen};

/// Takes a second to end, so that what does not wait is seen.
const SLOW: &[&str] = &["on-term 1 0"];

/// A root in order: `first`, then a supervisor in order with `inner1` and `inner2`, then `last`.
fn ordered(name: &str) -> Value {
    let mut inner = ["inner1", "inner2"].map(|name| worker(name, 1, SLOW));
    for child in &mut inner {
        child["parent"] = json!("middle");
    }
    let [inner1, inner2] = inner;
    let middle = json!({"name": "middle", "supervisor": {"startup": "Ordered"}});
    let mut tree = tree(
        name,
        &[
            worker("first", 1, SLOW),
            middle,
            inner1,
            inner2,
            worker("last", 2, SLOW),
        ],
    );
    tree["spec"]["startup"] = json!("Ordered");
    tree
}

const START_ORDER: [&str; 4] = ["first", "inner1", "inner2", "last"];

async fn plant(kit: &Kit, prefix: &str) -> String {
    let namespace = kit.namespace(prefix).await;
    kit.apply(&namespace, &ordered("shop")).await;
    kit.ready(&namespace, "shop").await;
    kit.condition(&namespace, "shop", "Reconciling=False").await;
    namespace
}

/// What a record of Pods says of a child, as places in the record.
#[derive(Debug, Default, Clone, Copy)]
struct Story {
    /// The first Pod appeared.
    created: Option<usize>,
    /// The first Pod became ready.
    ready: Option<usize>,
    /// The first Pod was told to stop.
    told_to_stop: Option<usize>,
    /// The containers of the last Pod had ended, or it was gone without saying so.
    ended: Option<usize>,
    /// The last Pod was gone.
    gone: Option<usize>,
}

fn story(seen: &[Seen], child: &str) -> Story {
    let mut story = Story::default();
    let mut ended = HashMap::new();
    for (index, entry) in seen.iter().enumerate() {
        let (Seen::Object(pod) | Seen::Gone(pod)) = entry;
        if pod["metadata"]["labels"]["coppice.dev/child"] != child {
            continue;
        }
        // The kubelet reports the ends of the containers first, and the phase of the Pod with its next report.
        let containers = pod["status"]["containerStatuses"].as_array();
        let has_ended = containers
            .is_some_and(|all| all.iter().all(|one| !one["state"]["terminated"].is_null()));
        if has_ended || matches!(entry, Seen::Gone(_)) {
            ended
                .entry(pod["metadata"]["uid"].to_string())
                .or_insert(index);
        }
        if matches!(entry, Seen::Gone(_)) {
            story.gone = Some(index);
        } else if !pod["metadata"]["deletionTimestamp"].is_null() {
            story.told_to_stop.get_or_insert(index);
        } else {
            story.created.get_or_insert(index);
            if e2e::kstatus::condition(pod, "Ready").is_some_and(|ready| ready["status"] == "True")
            {
                story.ready.get_or_insert(index);
            }
        }
    }
    story.ended = ended.into_values().max();
    story
}

/// Children start one after another, and stop in reverse: the next one is told to when the one before has ended.
pub async fn in_reverse_start_order(kit: Arc<Kit>) {
    let namespace = kit.namespace("ordered").await;
    let record = Record::of_pods(kit.cluster(), &namespace);
    kit.apply(&namespace, &ordered("shop")).await;
    kit.ready(&namespace, "shop").await;
    kit.condition(&namespace, "shop", "Reconciling=False").await;
    kit.kubectl(&format!("delete stree shop -n {namespace} --timeout=180s"))
        .await;
    assert_all_gone(&kit, &namespace).await;

    let stories = kit
        .until(&namespace, "the record is complete", SOON, async || {
            let stories = START_ORDER.map(|child| story(&record.so_far(), child));
            stories
                .iter()
                .all(|story| story.gone.is_some())
                .then_some(stories)
        })
        .await;
    for pair in stories.windows(2) {
        assert!(pair[0].ready < pair[1].created, "{stories:?}");
        assert!(pair[1].ended < pair[0].told_to_stop, "{stories:?}");
    }
}

/// Kubernetes removes the Pods itself; nothing is recreated.
pub async fn in_the_foreground(kit: Arc<Kit>) {
    let namespace = plant(&kit, "foreground").await;
    let (record, pods) = recorded(&kit, &namespace).await;
    kit.kubectl(&format!(
        "delete stree shop -n {namespace} --cascade=foreground --timeout=180s"
    ))
    .await;
    assert_all_gone(&kit, &namespace).await;
    assert_eq!(uids_of(&record), pods, "nothing was created again");
}

/// The tree goes, and everything else runs on.
pub async fn leaving_orphans(kit: Arc<Kit>) {
    let namespace = plant(&kit, "orphan").await;
    let before = uids(&kit.pods(&namespace).await);
    kit.kubectl(&format!(
        "delete stree shop -n {namespace} --cascade=orphan --timeout=180s"
    ))
    .await;
    let pods = kit.pods(&namespace).await;
    assert_eq!(uids(&pods), before);
    let workers = kit.list(&format!("workers -n {namespace}")).await;
    assert_eq!(workers.len(), START_ORDER.len());
    assert!(
        workers
            .iter()
            .all(|worker| worker["metadata"]["ownerReferences"].is_null())
    );
    // What has become nobody's goes when its owner does.
    kit.kubectl(&format!(
        "delete workers --all -n {namespace} --timeout=60s"
    ))
    .await;
    kit.until(
        &namespace,
        "the Pods go with the Workers",
        SOON,
        async || kit.pods(&namespace).await.is_empty().then_some(()),
    )
    .await;
}

/// The namespace is not held up.
pub async fn of_the_namespace(kit: Arc<Kit>) {
    let namespace = plant(&kit, "doomed").await;
    let (record, pods) = recorded(&kit, &namespace).await;
    kit.kubectl(&format!("delete namespace {namespace} --timeout=180s"))
        .await;
    assert_eq!(uids_of(&record), pods, "nothing was created again");
}

async fn assert_all_gone(kit: &Kit, namespace: &str) {
    kit.until(namespace, "everything is gone", SOON, async || {
        let left = kit.list(&format!("stree,wkr,pods -n {namespace}")).await;
        left.is_empty().then_some(())
    })
    .await;
}

/// A record of the Pods of a tree, begun when none of them has gone.
async fn recorded(kit: &Kit, namespace: &str) -> (Record, BTreeSet<String>) {
    let record = Record::of_pods(kit.cluster(), namespace);
    let pods: BTreeSet<String> = uids(&kit.pods(namespace).await).into_iter().collect();
    assert_eq!(pods.len(), 5);
    kit.until(namespace, "the record has begun", SOON, async || {
        (uids_of(&record) == pods).then_some(())
    })
    .await;
    (record, pods)
}

fn uids_of(record: &Record) -> BTreeSet<String> {
    let seen = record.so_far();
    let uid = |entry: &Seen| {
        let (Seen::Object(pod) | Seen::Gone(pod)) = entry;
        pod["metadata"]["uid"].as_str().unwrap().to_owned()
    };
    seen.iter().map(uid).collect()
}

/// By the tree and by `kubectl scale`: an ordered stop, which is no death, and a way back.
pub async fn scaling_to_zero(kit: Arc<Kit>) {
    let namespace = kit.namespace("zero").await;
    let of = |replicas| tree("shop", &[worker("stated", replicas, SLOW), free()]);
    kit.apply(&namespace, &of(2)).await;
    kit.ready(&namespace, "shop").await;
    kit.kubectl(&format!("scale wkr shop-free -n {namespace} --replicas=0"))
        .await;
    kit.apply(&namespace, &of(0)).await;
    kit.until(&namespace, "all Pods are gone", SOON, async || {
        kit.list(&format!("pods -n {namespace}"))
            .await
            .is_empty()
            .then_some(())
    })
    .await;
    kit.ready(&namespace, "shop").await;
    kit.condition(&namespace, "shop", "Reconciling=False").await;
    let stopped = kit.tree(&namespace, "shop").await;
    assert_eq!(stopped["status"]["restarts"], 0);

    kit.kubectl(&format!("scale wkr shop-free -n {namespace} --replicas=2"))
        .await;
    kit.apply(&namespace, &of(1)).await;
    kit.until(&namespace, "three Pods", SOON, async || {
        (kit.pods(&namespace).await.len() == 3).then_some(())
    })
    .await;
    kit.ready(&namespace, "shop").await;
    assert_eq!(kit.tree(&namespace, "shop").await["status"]["restarts"], 0);
}

/// A worker whose replicas are not stated.
fn free() -> Value {
    let mut child = worker("free", 1, SLOW);
    child["worker"].as_object_mut().unwrap().remove("replicas");
    child
}
