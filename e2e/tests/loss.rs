//! A node lost with replicas on it: what can be replaced is, what may still run is not, and nobody is charged.
//!
//! Rule: `node-b` is lost; `node-a` holds the operator and what must not notice.
#![cfg(feature = "cluster")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "cluster/support.rs"]
mod support;

use std::time::{Duration, Instant};

use e2e::cluster::{Cluster, Full, Profile};
use e2e::node::NodeOptions;
use e2e::{images, operator};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::Value;
use support::{Space, condition, is_current};

const STARTED_WITHIN: Duration = Duration::from_mins(1);
/// Six seconds until the node is missed, and the time that the Pods tolerate that, with room for a busy machine.
const MISSED_WITHIN: Duration = Duration::from_mins(1);

/// Pods that prefer `node-b`, except for one that needs `node-a`; and a tree whose only Pod can run on `node-b` alone.
fn trees() -> String {
    let image = images::WORKLOAD;
    let pod = |place: &str| {
        format!(
            "{{spec: {{containers: [{{name: app, image: {image}}}], terminationGracePeriodSeconds: 1, {place}}}}}"
        )
    };
    let only = |node: &str| format!("nodeSelector: {{kubernetes.io/hostname: {node}}}");
    let prefers = "affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 100, \
                   preference: {matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [node-b]}]}}]}}";
    let (near, far, stuck) = (pod(&only("node-a")), pod(prefers), pod(&only("node-b")));
    format!(
        "
apiVersion: coppice.dev/v1alpha1
kind: SupervisionTree
metadata: {{name: shop}}
spec:
  children:
  - {{name: near, worker: {{template: {near}}}}}
  - {{name: cache, worker: {{nodeLossSeconds: 5, template: {far}}}}}
  - {{name: db, worker: {{nodeLossSeconds: 5, identity: Stable, template: {far}}}}}
---
apiVersion: coppice.dev/v1alpha1
kind: SupervisionTree
metadata: {{name: stuck}}
spec:
  children:
  - {{name: app, worker: {{nodeLossSeconds: 600, template: {stuck}}}}}
"
    )
}

async fn start() -> Cluster {
    let full = Full {
        nodes: ["node-a", "node-b"].map(NodeOptions::named).to_vec(),
        quick_node_loss: true,
        images: vec![operator::archive().unwrap()],
        ..Full::default()
    };
    let cluster = Cluster::start(Profile::Full(full)).await.unwrap();
    support::install(&cluster, &[r"nodeSelector.kubernetes\.io/hostname=node-a"]);
    cluster
}

fn node_of(pod: &Pod) -> &str {
    pod.spec.as_ref().unwrap().node_name.as_deref().unwrap()
}

/// The one live Pod of a child.
async fn live(space: &Space<'_>, child: &str) -> Pod {
    let mut pods = space.pods_of("shop", child).await;
    pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    assert_eq!(pods.len(), 1, "live Pods of {child}");
    pods.remove(0)
}

fn assert_nobody_was_charged(tree: &Value) {
    assert!(
        tree["status"]["supervisors"][0]["charges"].is_null(),
        "{tree:#}"
    );
    let faults = tree["status"]["recentFaults"].as_array().unwrap();
    assert!(
        faults
            .iter()
            .all(|fault| fault["verdict"] == "Infrastructure"),
        "{tree:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_with_a_node_is_replaced_when_that_is_safe() {
    let cluster = start().await;
    let space = Space::new(&cluster, "loss").await;
    space.apply(&trees());
    for tree in ["shop", "stuck"] {
        space.until_at_rest(tree, STARTED_WITHIN).await;
    }
    let [near, cache, db] = ["near", "cache", "db"].map(|child| live(&space, child));
    let (near, cache, db) = tokio::join!(near, cache, db);
    assert_eq!(
        [&near, &cache, &db].map(node_of),
        ["node-a", "node-b", "node-b"]
    );
    let node = cluster.node("node-b").unwrap();

    node.power_cut().await.unwrap();
    let cut = Instant::now();
    let fenced = |tree: &Value| {
        is_current(tree, "Stalled", "True")
            && condition(tree, "Stalled")["reason"] == "WaitingForFence"
            && tree["status"]["up"] == 2
    };
    let what = "waiting for a fence, with everything else up";
    let tree = space.until("shop", MISSED_WITHIN, what, fenced).await;
    println!(
        "cut off: all but the fenced replica is up after {:.1?}",
        cut.elapsed()
    );
    let message = condition(&tree, "Stalled")["message"].as_str().unwrap();
    assert!(
        message.contains("node-b") && message.contains("out-of-service"),
        "{message}"
    );
    assert_eq!(condition(&tree, "Ready")["status"], "False");
    assert_nobody_was_charged(&tree);
    let successor = live(&space, "cache").await;
    assert_eq!(node_of(&successor), "node-a");
    let of_db = space.pods_of("shop", "db").await;
    assert_eq!(
        of_db.iter().map(ResourceExt::uid).collect::<Vec<_>>(),
        [db.uid()],
        "never two of one name"
    );

    // Nothing can prove that this Pod has stopped, and its tree can be deleted all the same.
    space.kubectl(&["delete", "stree", "stuck", "--timeout=30s"]);

    let taint = "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute";
    space.kubectl(&["taint", "node", "node-b", taint]);
    let tree = space.until_at_rest("shop", MISSED_WITHIN).await;
    assert_nobody_was_charged(&tree);
    let fresh = live(&space, "db").await;
    assert_eq!(
        (node_of(&fresh), fresh.name_any()),
        ("node-a", db.name_any())
    );
    assert_ne!(fresh.uid(), db.uid());

    node.boot().await.unwrap();
    node.ready(&cluster.client()).await.unwrap();
    space.kubectl(&["taint", "node", "node-b", &format!("{taint}-")]);
    space
        .until_pod(&cache.name_any(), STARTED_WITHIN, "gone", |pod| {
            pod.is_none()
        })
        .await;
    let tree = space.until_at_rest("shop", STARTED_WITHIN).await;
    assert_nobody_was_charged(&tree);
    for (child, uid) in [
        ("near", near.uid()),
        ("cache", successor.uid()),
        ("db", fresh.uid()),
    ] {
        assert_eq!(
            live(&space, child).await.uid(),
            uid,
            "a node that comes back changes nothing for {child}"
        );
    }
}
