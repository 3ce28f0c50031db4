//! Images that change in Pods that stay, on real kubelets: what is kept, what it costs, and what becomes of an image that cannot
//! be had.
//!
//! Rule: what stayed is judged by the Pods themselves: UID, IP, restart count, and what is on their volumes.

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::{current, images};
use serde_json::{Value, json};

use super::bounds::extremes;
use super::record::Record;
use super::rollback::{NODE, registry};
use super::shared;
use super::support::{Space, is_current};

const SOON: Duration = Duration::from_mins(3);
const REPLICAS: usize = 2;
/// Where a registry answers that it has no such image.
const PORT: u16 = 5057;
/// Writes something that is like nothing else, once.
const SCRIPT: &str =
    "[ -e /kept/mark ] || cat /proc/sys/kernel/random/uuid >/kept/mark; while :; do sleep 1; done";

/// A tree of one worker with two replicas, of which one may be down while it changes.
fn tree(image: &str) -> String {
    json!({
        "apiVersion": "coppice.dev/v1alpha1",
        "kind": "SupervisionTree",
        "metadata": {"name": "tree"},
        "spec": {
            "rollout": {"probationSeconds": 5},
            "children": [{"name": "web", "worker": {
                "replicas": REPLICAS,
                "update": {"method": "InPlaceIfPossible", "maxSurge": 0, "maxUnavailable": 1},
                "template": {"spec": {
                    "terminationGracePeriodSeconds": 1,
                    "nodeSelector": {"kubernetes.io/hostname": NODE},
                    "volumes": [{"name": "kept", "emptyDir": {}}],
                    "containers": [{
                        "name": "app",
                        "image": image,
                        "imagePullPolicy": "IfNotPresent",
                        "command": ["/bin/sh", "-c", SCRIPT],
                        "volumeMounts": [{"name": "kept", "mountPath": "/kept"}],
                    }],
                }},
            }}],
        },
    })
    .to_string()
}

/// The IP, image, revision, restart count and mark of each live Pod, by UID.
async fn pods(space: &Space<'_>) -> BTreeMap<String, [String; 5]> {
    let all = space.pods_of("tree", "web").await;
    let all = all
        .iter()
        .map(|pod| serde_json::to_value(pod).expect("a Pod"));
    let live = all.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    live.map(|pod| {
        let restarts = &pod["status"]["containerStatuses"][0]["restartCount"];
        let name = text(&pod["metadata"]["name"]);
        let facts = [
            text(&pod["status"]["podIP"]),
            text(&pod["spec"]["containers"][0]["image"]),
            text(&pod["metadata"]["labels"]["coppice.dev/revision"]),
            restarts.to_string(),
            space.kubectl(&["exec", &name, "--", "cat", "/kept/mark"]),
        ];
        (text(&pod["metadata"]["uid"]), facts)
    })
    .collect()
}

fn is_good(tree: &Value, revision: usize) -> bool {
    tree["status"]["revisions"][revision]["mark"] == "Good"
}

#[tokio::test(flavor = "multi_thread")]
async fn images_change_in_pods_that_stay_and_one_that_cannot_be_had_is_taken_back() {
    let cluster = shared().await;
    let space = Space::new(cluster, "in-place").await;
    registry(&space, PORT);
    let (first, second) = (current::workload_image(), images::SAMPLES);
    assert_ne!(first, second);
    space.apply(&tree(&first));
    space
        .until("tree", SOON, "proved good", |tree| is_good(tree, 0))
        .await;
    let before = pods(&space).await;
    assert_eq!(before.len(), REPLICAS);
    let record = Record::of_pods(cluster, &space.name);
    record.until_begun().await;

    space.apply(&tree(second));
    let status = space
        .until("tree", SOON, "proved good again", |tree| is_good(tree, 1))
        .await;
    let changed = pods(&space).await;
    assert_eq!(
        before.keys().collect::<Vec<_>>(),
        changed.keys().collect::<Vec<_>>(),
        "the Pods are the same"
    );
    for (uid, [ip, _, revision, _, mark]) in &before {
        let now = &changed[uid];
        assert_eq!((&now[0], now[1].as_str()), (ip, second));
        assert_eq!(now[4], *mark, "what it wrote is still there");
        assert_eq!(now[3], "1", "the kubelet has restarted each once");
        assert_ne!(now[2], *revision);
    }
    assert_eq!(status["status"]["restarts"].as_u64().unwrap_or(0), 0);
    assert_eq!(
        status["status"]["recentFaults"]
            .as_array()
            .map_or(0, Vec::len),
        0
    );

    // A name that no image can have, and one that the registry does not know.
    let mut good = changed;
    for image in [
        "No Image".to_owned(),
        format!("127.0.0.1:{PORT}/shop/web:2"),
    ] {
        space.apply(&tree(&image));
        good = is_taken_back(&space, &good).await;
        assert!(good.values().all(|facts| facts[1] == second), "{good:?}");
    }
    // All the time no Pod was added and one was up, as far as the kubelet says.
    let (up, live) = extremes(&record.so_far(), "web", REPLICAS);
    assert!(up >= 1 && live == REPLICAS, "{up} up, {live} live");
}

/// Waits until the image that cannot be had is taken back; what the Pods are then. Only one was tried.
async fn is_taken_back(
    space: &Space<'_>,
    before: &BTreeMap<String, [String; 5]>,
) -> BTreeMap<String, [String; 5]> {
    let is_back = |tree: &Value| {
        let is_up = tree["status"]["up"] == 1 && tree["status"].get("rollout").is_none();
        let is_at_rest = is_current(tree, "Reconciling", "False");
        is_up && is_at_rest && is_current(tree, "RolledBack", "True")
    };
    let status = space.until("tree", SOON, "taken back", is_back).await;
    assert_eq!(status["status"]["restarts"].as_u64().unwrap_or(0), 0);
    let are_up = |worker: &Value| {
        worker["status"]["up"] == REPLICAS && worker["status"]["replicas"] == REPLICAS
    };
    let up = space.until_object("Worker", "tree-web", SOON, "up", are_up);
    up.await;
    let back = pods(space).await;
    let kept = before
        .iter()
        .filter(|(uid, facts)| back.get(*uid) == Some(*facts));
    assert_eq!(
        kept.count(),
        1,
        "the other replica was not touched: {back:?}"
    );
    assert_eq!(back.len(), REPLICAS);
    back
}
