//! Two of everything, on real nodes: replicas are spread by the real scheduler, and what there is only one of is named.
//!
//! Rule: where Pods run is asked of the Pods.

use std::collections::BTreeSet;
use std::time::Duration;

use e2e::current;
use serde_json::{Value, json};

use super::shared;
use super::support::{Space, condition, is_current};

const SOON: Duration = Duration::from_mins(3);
const NODE: &str = "node-a";

fn worker(name: &str, replicas: u32, nodes: &Value) -> Value {
    let template = json!({"spec": {
        "terminationGracePeriodSeconds": 1,
        "nodeSelector": nodes,
        "containers": [{"name": "app", "image": current::workload_image()}],
    }});
    json!({"name": name, "worker": {"replicas": replicas, "template": template}})
}

fn tree(children: &[Value]) -> String {
    json!({
        "apiVersion": "coppice.dev/v1alpha1",
        "kind": "SupervisionTree",
        "metadata": {"name": "tree"},
        "spec": {"children": children},
    })
    .to_string()
}

/// Waits until the tree says so of what there is only one of, and is as Ready as any all the same; gives back what it says.
async fn until_told(space: &Space<'_>, status: &str, reason: &str) -> String {
    let is_told = |tree: &Value| {
        let is_at_rest =
            is_current(tree, "Ready", "True") && is_current(tree, "Reconciling", "False");
        let told = condition(tree, "Redundant");
        is_at_rest && is_current(tree, "Redundant", status) && told["reason"] == reason
    };
    let tree = space.until("tree", SOON, reason, is_told).await;
    let message = condition(&tree, "Redundant")["message"].as_str();
    message.unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_spread_over_nodes_and_what_is_single_is_named() {
    let cluster = shared().await;
    let space = Space::new(cluster, "redundant").await;
    let pair = worker("pair", 2, &json!({}));
    let close = worker("close", 2, &json!({"kubernetes.io/hostname": NODE}));
    let lone = worker("lone", 1, &json!({}));
    space.apply(&tree(&[pair.clone(), close, lone]));
    let told = until_told(&space, "False", "SingleReplica").await;
    assert_eq!(
        told,
        format!("lone has one replica; close runs on one node, {NODE}")
    );
    let pods = space.pods_of("tree", "pair").await;
    let nodes = pods
        .iter()
        .filter_map(|pod| pod.spec.as_ref()?.node_name.as_deref());
    let nodes: BTreeSet<&str> = nodes.collect();
    assert_eq!((nodes.len(), pods.len()), (2, 2), "{nodes:?}");

    space.apply(&tree(&[pair]));
    until_told(&space, "True", "NothingSingle").await;
}
