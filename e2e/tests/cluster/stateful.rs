//! Replicas with volumes of their own, made by a real provisioner: what they write outlives everything that befalls their Pods.
//!
//! Rule: what is on a volume is read by the program that wrote it, in the Pod that has it then.

use std::pin::pin;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::{Value, json};

use super::shared;
use super::support::{Space, condition, merge};
use super::volumes::{self, SCRIPT, claims, next_pod, starts};

const SOON: Duration = Duration::from_mins(3);
/// A version that does not work.
const BAD: &str = "exit 1";
/// The claims of the worker that keeps none, and of the one that keeps all.
const DROPPED: [&str; 2] = ["data-tree-db-0", "data-tree-db-1"];
const KEPT: [&str; 2] = ["data-tree-web-0", "data-tree-web-1"];

/// A group of two workers with a claim for each replica. The claims of one go with what they are for, and of those of the other
/// nothing is said.
fn tree(script: &str, replicas: i32) -> Value {
    let [mut db, mut web] = [script, SCRIPT].map(|script| volumes::worker(script, replicas));
    let policy = json!({"whenDeleted": "Delete", "whenScaled": "Delete"});
    merge(
        &mut db,
        json!({"quorum": 2, "serviceName": "db", "persistentVolumeClaimRetentionPolicy": policy}),
    );
    merge(&mut web, json!({"quorum": 2}));
    json!({
        "apiVersion": "coppice.dev/v1alpha1",
        "kind": "SupervisionTree",
        "metadata": {"name": "tree"},
        "spec": {
            "strategy": "OneForAll",
            "intensity": {"maxRestarts": 10, "periodSeconds": 3600},
            "rollout": {"probationSeconds": 3},
            "children": [
                {"name": "db", "worker": db},
                {"name": "web", "worker": web},
            ],
        },
    })
}

/// The headless Service that `serviceName` names.
fn service() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "db"},
        "spec": {
            "clusterIP": "None",
            "selector": {"coppice.dev/tree": "tree", "coppice.dev/child": "db"},
            "ports": [{"port": 5432}],
        },
    })
}

/// Waits until DNS has these names below that of the Service: it serves the host names of endpoints.
async fn until_named(space: &Space<'_>, names: &[&str]) {
    let api: Api<EndpointSlice> = Api::namespaced(space.cluster.client(), &space.name);
    let of_service = watcher::Config::default().labels("kubernetes.io/service-name=db");
    let mut slices = pin!(watcher(api, of_service).default_backoff().applied_objects());
    let mut seen = Vec::new();
    let wait = async {
        while let Some(slice) = slices.next().await {
            let endpoints = slice.ok().and_then(|slice| slice.endpoints);
            let hosts = endpoints
                .into_iter()
                .flatten()
                .filter_map(|one| one.hostname);
            seen = hosts.collect();
            seen.sort_unstable();
            if seen == names {
                return;
            }
        }
    };
    let in_time = tokio::time::timeout(SOON, wait).await;
    assert!(in_time.is_ok(), "DNS has {seen:?}, not {names:?}");
}

/// How often the programs of both slots of a child have started.
fn all_starts(space: &Space<'_>, child: &str) -> [usize; 2] {
    [0, 1].map(|slot| starts(space, child, slot))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_replica_writes_outlives_its_pods() {
    let cluster = shared().await;
    volumes::provide(cluster);
    let space = Space::new(cluster, "stateful").await;
    space.apply(&service().to_string());
    space.apply(&tree(SCRIPT, 2).to_string());
    let is_good = |tree: &Value| tree["status"]["revisions"][0]["mark"] == "Good";
    space.until("tree", SOON, "proved good", is_good).await;
    let made = claims(&space).await;
    let names: Vec<&str> = made.keys().map(String::as_str).collect();
    assert_eq!(names, [DROPPED, KEPT].concat());
    for name in DROPPED {
        assert_eq!(made[name].1, ["Worker"], "{name} goes with its Worker");
    }
    for name in KEPT {
        assert_eq!(made[name].1, [""; 0], "{name} goes with nothing");
    }
    assert_eq!(all_starts(&space, "db"), [1, 1]);

    // Its name is known inside, and by whoever asks for the headless Service.
    let hosts = space.kubectl(&["exec", "tree-db-1", "--", "cat", "/etc/hosts"]);
    let fqdn = format!("tree-db-1.db.{}.svc.cluster.local", space.name);
    assert!(hosts.contains(&fqdn), "{hosts}");
    until_named(&space, &["tree-db-0", "tree-db-1"]).await;

    // Somebody deletes the Pod.
    let former = space.pods_of("tree", "db").await.swap_remove(1);
    space.kubectl(&["delete", "pod", "tree-db-1", "--wait=false"]);
    next_pod(&space, &former).await;
    space.until_at_rest("tree", SOON).await;
    assert_eq!(starts(&space, "db", 1), 2);

    // A program is killed, and with it the group is restarted.
    let [db, web] = [space.pods_of("tree", "db"), space.pods_of("tree", "web")];
    let (db, web) = tokio::join!(db, web);
    let before = ["db", "web"].map(|child| all_starts(&space, child));
    space.kill(&web[0], "app");
    for pod in db.iter().chain(&web) {
        next_pod(&space, pod).await;
    }
    space.until_at_rest("tree", SOON).await;
    let after = ["db", "web"].map(|child| all_starts(&space, child));
    assert_eq!(after, before.map(|starts| starts.map(|times| times + 1)));

    is_taken_back(&space).await;
    let [zero, one] = all_starts(&space, "db");
    assert!(zero > after[0][0] && one > after[0][1]);
    assert_eq!(claims(&space).await, made, "they are the same claims");
    is_dropped_and_added(&space).await;

    // All goes with the tree but what is to stay.
    let there = claims(&space).await;
    space.kubectl(&["delete", "stree", "tree", "--timeout=120s"]);
    until_gone(&space, &DROPPED);
    let mut kept = there;
    kept.retain(|name, _| KEPT.contains(&name.as_str()));
    assert_eq!(claims(&space).await, kept);
}

/// A bad version is taken back.
async fn is_taken_back(space: &Space<'_>) {
    space.apply(&tree(BAD, 2).to_string());
    let is_back = |tree: &Value| condition(tree, "RolledBack")["status"] == "True";
    space.until("tree", SOON, "taken back", is_back).await;
    space.apply(&tree(SCRIPT, 2).to_string());
    let status = space.until_at_rest("tree", SOON).await;
    // The revision of before has a new number, whatever characters its templates have.
    let revisions = status["status"]["revisions"].as_array();
    let wanted = revisions.and_then(|all| all.last()).expect("a revision");
    let number = format!("--for=jsonpath={{.revision}}={}", wanted["number"]);
    let name = wanted["name"].as_str().unwrap_or_default();
    space.kubectl(&["wait", "controllerrevision", name, &number, "--timeout=60s"]);
}

/// A slot is dropped and filled again: what it wrote is lost, or is not, as its worker says.
async fn is_dropped_and_added(space: &Space<'_>) {
    let before = claims(space).await;
    let starts_of_kept = starts(space, "web", 1);
    space.apply(&tree(SCRIPT, 1).to_string());
    space.until_at_rest("tree", SOON).await;
    until_gone(space, &DROPPED[1..]);
    space.kubectl(&["wait", "pod/tree-web-1", "--for=delete", "--timeout=60s"]);
    let mut left = before.clone();
    left.remove(DROPPED[1]);
    assert_eq!(claims(space).await, left);
    space.apply(&tree(SCRIPT, 2).to_string());
    space.until_at_rest("tree", SOON).await;
    assert_eq!(starts(space, "db", 1), 1, "another volume");
    assert_eq!(starts(space, "web", 1), starts_of_kept + 1, "the same one");
    let now = claims(space).await;
    for name in KEPT {
        assert_eq!(now[name], before[name], "{name}");
    }
}

/// Waits until these claims are gone.
fn until_gone(space: &Space<'_>, claims: &[&str]) {
    let names = claims.iter().map(|name| format!("pvc/{name}"));
    let names: Vec<String> = names.collect();
    let names = names.iter().map(String::as_str);
    let wait = ["wait", "--for=delete", "--timeout=180s"];
    space.kubectl(&wait.into_iter().chain(names).collect::<Vec<_>>());
}
