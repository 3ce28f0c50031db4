//! A worker that follows its load: a real `HorizontalPodAutoscaler`, fed by the real metrics-server, owns its number of replicas.
//!
//! Rule: who changed that number is asked of the Worker's generation and of the audit log, not of the operator.

use std::fs;
use std::time::Duration;

use e2e::{current, metrics_server};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::bounds::extremes;
use super::record::Record;
use super::shared;
use super::support::{OPERATOR, Space, is_current, ok, requests_of};

const SOON: Duration = Duration::from_mins(3);
const AUTOSCALER: &str = "system:serviceaccount:kube-system:horizontal-pod-autoscaler";
const MOST: usize = 3;
/// Works as hard as it may as long as there is a load, which all replicas see.
const SCRIPT: &str = "while :; do [ -e /load/on ] || sleep 1; i=0; while [ -e /load/on ] && [ $i -lt 5000 ]; do i=$((i + 1)); done; done";

/// The tree and the autoscaler that the documentation shows.
fn shown() -> &'static str {
    let page = include_str!("../../../docs/strategies.md");
    let mut blocks = page.split("```yaml\n").skip(1);
    let block = blocks.find_map(|rest| {
        let block = rest.split("```").next()?;
        block
            .contains("kind: HorizontalPodAutoscaler")
            .then_some(block)
    });
    block.expect("the page shows one")
}

/// What scales the worker, as it is shown, with numbers that need little load and little time.
fn autoscaler() -> Value {
    let (_, document) = shown().split_once("---\n").expect("two documents");
    let mut autoscaler: Value = serde_yaml::from_str(document).expect("YAML");
    autoscaler["metadata"]["name"] = json!("web");
    let spec = &mut autoscaler["spec"];
    spec["scaleTargetRef"]["name"] = json!("tree-web");
    spec["minReplicas"] = json!(1);
    spec["maxReplicas"] = json!(MOST);
    spec["metrics"][0]["resource"]["target"]["averageUtilization"] = json!(30);
    spec["behavior"] = json!({"scaleDown": {"stabilizationWindowSeconds": 10}});
    autoscaler
}

/// A tree that says nothing of replicas.
fn tree(load: &Value, version: &str, update: &Value, promote: &Value) -> Value {
    json!({
        "apiVersion": "coppice.dev/v1alpha1",
        "kind": "SupervisionTree",
        "metadata": {"name": "tree"},
        "spec": {
            "rollout": {"probationSeconds": 3, "promote": promote},
            "children": [{"name": "web", "worker": {"update": update, "template": {"spec": {
                "terminationGracePeriodSeconds": 1,
                "volumes": [{"name": "load", "hostPath": {"path": load, "type": "Directory"}}],
                "containers": [{
                    "name": "app",
                    "image": current::workload_image(),
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["/bin/sh", "-c", SCRIPT],
                    "env": [{"name": "VERSION", "value": version}],
                    "resources": {"requests": {"cpu": "50m"}, "limits": {"cpu": "100m"}},
                    "volumeMounts": [{"name": "load", "mountPath": "/load"}],
                }],
            }}}}],
        },
    })
}

/// Waits until the autoscaler has set that number, and as many Pods are there; gives back the Worker.
async fn until_scaled(space: &Space<'_>, replicas: usize) -> Value {
    let is_scaled = |worker: &Value| {
        worker["spec"]["replicas"] == replicas && worker["status"]["replicas"] == replicas
    };
    let what = format!("scaled to {replicas}");
    let scaled = space.until_object("Worker", "tree-web", SOON, &what, is_scaled);
    scaled.await
}

/// The versions of the Pods that nobody has asked to stop.
async fn versions(space: &Space<'_>) -> Vec<String> {
    let pods = space.pods_of("tree", "web").await;
    let live = pods
        .into_iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none());
    let version = |pod| {
        let pod = serde_json::to_value(pod).unwrap();
        pod["spec"]["containers"][0]["env"][0]["value"].to_string()
    };
    live.map(version).collect()
}

async fn generation(space: &Space<'_>) -> Value {
    space.worker("tree", "web").await["metadata"]["generation"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_follows_its_load_also_while_it_heals_and_changes() {
    let cluster = shared().await;
    if !current::is_wanted() {
        let objects = metrics_server::start(cluster).await.unwrap();
        ok(cluster, &["apply", "-f", "-"], &objects.to_string());
    }
    let service = format!("apiservice/{}", metrics_server::API_SERVICE);
    ok(
        cluster,
        &[
            "wait",
            &service,
            "--for=condition=Available",
            "--timeout=60s",
        ],
        "",
    );
    let load = cluster.run().folder("load").unwrap();
    let (folder, load) = (json!(load), load.join("on"));
    let space = Space::new(cluster, "autoscaler").await;
    let as_it_stands = ["-n", &space.name, "apply", "--dry-run=server", "-f", "-"];
    ok(cluster, &as_it_stands, shown());
    space.apply(&tree(&folder, "one", &Value::Null, &Value::Null).to_string());
    space.apply(&autoscaler().to_string());
    let is_good = |tree: &Value| tree["status"]["revisions"][0]["mark"] == "Good";
    let good = space.until("tree", SOON, "proved good", is_good).await;
    assert_eq!(good["status"]["up"], 1, "{good:#}");

    fs::write(&load, "").unwrap();
    let scaled = until_scaled(&space, MOST).await;
    space.until_at_rest("tree", SOON).await;

    // A replica dies. The others, and their number, are none of its business.
    let pods = space.pods_of("tree", "web").await;
    space.kill(&pods[0], "app");
    let has_healed = |tree: &Value| {
        let is_at_rest =
            is_current(tree, "Ready", "True") && is_current(tree, "Reconciling", "False");
        tree["status"]["restarts"] == 1 && is_at_rest
    };
    space.until("tree", SOON, "healed", has_healed).await;
    let uids = |pods: &[_]| pods.iter().map(ResourceExt::uid).collect::<Vec<_>>();
    assert_eq!(uids(&space.pods_of("tree", "web").await), uids(&pods));

    // Whoever writes the tree says nothing of the number, and so it stays. The autoscaler looks on, and measures both versions.
    let record = Record::of_pods(cluster, &space.name);
    record.until_begun().await;
    let slowly = json!({"minReadySeconds": 6});
    space.apply(&tree(&folder, "two", &slowly, &Value::Null).to_string());
    space.until_at_rest("tree", SOON).await;
    assert_eq!(versions(&space).await, [r#""two""#; MOST]);
    assert_eq!(extremes(&record.so_far(), "web", MOST), (MOST, MOST + 1));
    space.kubectl(&[
        "wait",
        "hpa/web",
        "--for=condition=ScalingActive",
        "--timeout=60s",
    ]);
    assert_eq!(generation(&space).await, scaled["metadata"]["generation"]);

    // The load ends in the middle of a canary, which goes on with the replicas that are left.
    let steps = json!({"steps": [{"updated": 1}, {"pause": {}}]});
    space.apply(&tree(&folder, "three", &steps, &Value::Null).to_string());
    let is_paused = |tree: &Value| tree["status"]["rollout"]["step"]["paused"] == true;
    space.until("tree", SOON, "at the pause", is_paused).await;
    assert_eq!(generation(&space).await, scaled["metadata"]["generation"]);
    fs::remove_file(&load).unwrap();
    until_scaled(&space, 1).await;
    let paused = space.until("tree", SOON, "at the pause", is_paused).await;
    let rollout = &paused["status"]["rollout"];
    let promote = json!({"revision": rollout["to"], "step": rollout["step"]["number"]});
    space.apply(&tree(&folder, "three", &steps, &promote).to_string());
    space.until_at_rest("tree", SOON).await;
    assert_eq!(versions(&space).await, [r#""three""#]);

    let scaled_by = |user| {
        let writes = requests_of(cluster, user).into_iter();
        let writes = writes.filter(|one| one.is_write() && one.resource == "workers/scale");
        writes
            .filter(|one| one.namespace == space.name && one.succeeded())
            .count()
    };
    assert_eq!(scaled_by(OPERATOR), 0);
    assert!(scaled_by(AUTOSCALER) >= 2);
}
