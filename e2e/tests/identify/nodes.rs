//! Nodes that fail, go away or never come, and the Pods on them.
//!
//! Rule: one real node is lost for good reason and comes back; a node that never was is an object without a machine.

use std::time::Duration;

use serde_json::{Value, json};

use super::expected::fault;
use super::kit::Case;
use super::specs::idle_with;
use super::{DOOMED, DOOMED_TAINT};

/// By default a node is missed after 40 s, and counts as lost soon after.
const LOST_WITHIN: Duration = Duration::from_mins(3);

/// On that node, and nothing that is wrong with it ends the Pod.
fn at_node(node: &str) -> Value {
    let keys = [
        DOOMED_TAINT,
        "node.kubernetes.io/unreachable",
        "node.kubernetes.io/not-ready",
    ];
    let tolerations = keys.map(|key| json!({"key": key, "operator": "Exists"}));
    idle_with(json!({"nodeName": node, "tolerations": tolerations}))
}

#[tokio::test]
async fn node_unreachable_and_then_container_lost() {
    let case = Case::new("lost").await;
    case.running(at_node(DOOMED)).await;
    let node = case.space.cluster.node(DOOMED).expect("a real node");
    node.power_cut().await.expect("it has power");
    let expected = fault("NodeUnreachable", "Infrastructure", "Proved");
    let expected = expected.by("conditions[Ready].status", "Unknown");
    case.shows_of_node(DOOMED, expected.within(LOST_WITHIN))
        .await;
    let expected = fault("NodeUnreachable", "Infrastructure", "Inferred");
    let expected = expected.by("conditions[Ready].status", "Unknown");
    case.shows_with_node(expected).await;

    node.boot().await.expect("it comes back");
    let expected = fault("ContainerLost", "Infrastructure", "Proved");
    let expected = expected.of("app");
    case.shows(expected.by("lastState.terminated.reason", "Unknown"))
        .await;
}

/// A node that only exists as an object.
fn ghost(name: &str) -> Value {
    let taint = json!({"key": DOOMED_TAINT, "effect": "NoSchedule"});
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {"taints": [taint]}})
}

#[tokio::test]
async fn node_never_reported_and_then_node_out_of_service() {
    let case = Case::new("ghost").await;
    let name = case.namespace();
    case.apply(&[ghost(name)]);
    let expected = fault("NodeNeverReported", "Infrastructure", "Proved");
    let expected = expected.by("conditions[Ready].reason", "NodeStatusNeverUpdated");
    case.shows_of_node(name, expected.within(LOST_WITHIN)).await;

    let taint = "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute";
    case.space.kubectl(&["taint", "node", name, taint]);
    let expected = fault("NodeOutOfService", "Infrastructure", "Proved");
    let expected = expected.by("spec.taints", "out-of-service");
    case.shows_of_node(name, expected).await;
    case.space.kubectl(&["delete", "node", name]);
}

#[tokio::test]
async fn deleted_by_pod_gc() {
    let case = Case::new("orphan").await;
    // A Pod that may not go is still there when its end can be read.
    let metadata = json!({"name": "p", "finalizers": ["coppice.test/stays"]});
    let spec = at_node("there-is-no-such-node");
    case.pod_like(json!({"metadata": metadata, "spec": spec}))
        .await;
    let expected = fault("DeletedByPodGC", "Infrastructure", "Proved");
    let expected = expected.by("conditions[DisruptionTarget].message", "PodGC");
    case.shows(expected.within(LOST_WITHIN)).await;
}
