//! Replicas with volumes of their own, made by a real provisioner: what they write outlives everything that befalls their Pods.
//!
//! Rule: what is on a volume is read by the program that wrote it, in the Pod that has it then.

use std::pin::pin;
use std::time::Duration;

use e2e::{current, storage};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ListParams;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::harness::is_ready;
use super::shared;
use super::support::{Space, condition, ok};

const SOON: Duration = Duration::from_mins(3);
const IDLE: &str = "while :; do sleep 1; done";
/// Writes down each start of the program.
const SCRIPT: &str = "date >> /data/starts; while :; do sleep 1; done";
/// A version that does not work.
const BAD: &str = "exit 1";

fn template(script: &str, mounts: &Value) -> Value {
    json!({"spec": {
        "terminationGracePeriodSeconds": 1,
        "containers": [{
            "name": "app",
            "image": current::workload_image(),
            "imagePullPolicy": "IfNotPresent",
            "command": ["/bin/sh", "-c", script],
            "volumeMounts": mounts,
        }],
    }})
}

/// A group of a worker with a claim for each replica, and one without.
fn tree(script: &str, replicas: i32) -> Value {
    let claim = json!({
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": storage::CLASS,
            "resources": {"requests": {"storage": "1Mi"}},
        },
    });
    json!({
        "apiVersion": "coppice.dev/v1alpha1",
        "kind": "SupervisionTree",
        "metadata": {"name": "tree"},
        "spec": {
            "strategy": "OneForAll",
            "intensity": {"maxRestarts": 10, "periodSeconds": 3600},
            "rollout": {"probationSeconds": 3},
            "children": [
                {"name": "db", "worker": {
                    "identity": "Stable",
                    "replicas": replicas,
                    "quorum": 2,
                    "serviceName": "db",
                    "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Delete"},
                    "volumeClaimTemplates": [claim],
                    "template": template(script, &json!([{"name": "data", "mountPath": "/data"}])),
                }},
                {"name": "web", "worker": {"template": template(IDLE, &json!([]))}},
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

/// How often the program of a slot has started on its volume.
fn starts(space: &Space<'_>, slot: i32) -> usize {
    let pod = format!("tree-db-{slot}");
    let said = space.kubectl(&["exec", &pod, "-c", "app", "--", "cat", "/data/starts"]);
    said.lines().count()
}

/// The Pod of a slot, another one than that.
async fn next_pod(space: &Space<'_>, slot: i32, former: &Pod) -> Pod {
    let uid = former.uid();
    let is_next = |pod: Option<&Pod>| pod.is_some_and(|pod| pod.uid() != uid) && is_ready(pod);
    let name = format!("tree-db-{slot}");
    let pod = space.until_pod(&name, SOON, "a new Pod, and Ready", is_next);
    pod.await.expect("it is there")
}

async fn pod(space: &Space<'_>, slot: usize) -> Pod {
    space.pods_of("tree", "db").await.swap_remove(slot)
}

async fn claims(space: &Space<'_>) -> Vec<(String, Option<String>)> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(space.cluster.client(), &space.name);
    let list = api.list(&ListParams::default()).await.unwrap();
    let mut claims: Vec<_> = list
        .items
        .iter()
        .map(|claim| (claim.name_any(), claim.uid()))
        .collect();
    claims.sort();
    claims
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_replica_writes_outlives_its_pods() {
    let cluster = shared().await;
    if !current::is_wanted() {
        let objects = storage::objects(cluster).unwrap();
        ok(cluster, &["apply", "-f", "-"], &objects.to_string());
        storage::start(cluster).unwrap();
    }
    let space = Space::new(cluster, "stateful").await;
    space.apply(&service().to_string());
    space.apply(&tree(SCRIPT, 2).to_string());
    let is_good = |tree: &Value| tree["status"]["revisions"][0]["mark"] == "Good";
    space.until("tree", SOON, "proved good", is_good).await;
    let made = claims(&space).await;
    let names: Vec<&str> = made.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["data-tree-db-0", "data-tree-db-1"]);
    assert_eq!((starts(&space, 0), starts(&space, 1)), (1, 1));

    // Its name is known inside, and by whoever asks for the headless Service.
    let hosts = space.kubectl(&["exec", "tree-db-1", "--", "cat", "/etc/hosts"]);
    let fqdn = format!("tree-db-1.db.{}.svc.cluster.local", space.name);
    assert!(hosts.contains(&fqdn), "{hosts}");
    until_named(&space, &["tree-db-0", "tree-db-1"]).await;

    // Somebody deletes the Pod.
    let former = pod(&space, 1).await;
    space.kubectl(&["delete", "pod", "tree-db-1", "--wait=false"]);
    next_pod(&space, 1, &former).await;
    space.until_at_rest("tree", SOON).await;
    assert_eq!(starts(&space, 1), 2);

    // A program is killed, and with it the group is restarted.
    let (zero, one) = (pod(&space, 0).await, pod(&space, 1).await);
    let (before_zero, before_one) = (starts(&space, 0), starts(&space, 1));
    let web = space.pods_of("tree", "web").await.swap_remove(0);
    space.kill(&web, "app");
    next_pod(&space, 0, &zero).await;
    next_pod(&space, 1, &one).await;
    space.until_at_rest("tree", SOON).await;
    assert_eq!(
        (starts(&space, 0), starts(&space, 1)),
        (before_zero + 1, before_one + 1)
    );

    // A bad version is taken back.
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
    assert!(starts(&space, 0) > before_zero && starts(&space, 1) > before_one);
    assert_eq!(claims(&space).await, made, "they are the same claims");

    // A slot is dropped, and what it wrote is, too.
    space.apply(&tree(SCRIPT, 1).to_string());
    space.until_at_rest("tree", SOON).await;
    until_gone(&space, &names[1..]);
    assert_eq!(claims(&space).await, made[..1]);
    space.apply(&tree(SCRIPT, 2).to_string());
    space.until_at_rest("tree", SOON).await;
    assert_eq!(starts(&space, 1), 1);

    // All goes with the tree.
    space.kubectl(&["delete", "stree", "tree", "--timeout=120s"]);
    until_gone(&space, &names);
}

/// Waits until these claims are gone.
fn until_gone(space: &Space<'_>, claims: &[&str]) {
    let names = claims.iter().map(|name| format!("pvc/{name}"));
    let names: Vec<String> = names.collect();
    let names = names.iter().map(String::as_str);
    let wait = ["wait", "--for=delete", "--timeout=180s"];
    space.kubectl(&wait.into_iter().chain(names).collect::<Vec<_>>());
}
