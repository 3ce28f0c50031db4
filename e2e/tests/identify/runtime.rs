//! Containers that the runtime of the node cannot make or start, though image and configuration are there.
//!
//! Rule: what is asked of the runtime is legal for Kubernetes, and the runtime alone says no.

use e2e::images;
use serde_json::json;

use super::expected::fault;
use super::kit::Case;
use super::specs::idle_with;

#[tokio::test]
async fn runtime_handler_missing() {
    let case = Case::new("handler").await;
    let name = case.namespace();
    case.apply(&[json!({
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"name": name},
        "handler": "not-there",
    })]);
    case.pod(idle_with(json!({"runtimeClassName": name}))).await;
    let expected = fault("RuntimeHandlerMissing", "Hold", "Witnessed");
    case.shows(expected.by("message", "not-there")).await;
}

#[tokio::test]
async fn container_spec_changed() {
    let case = Case::new("changed").await;
    case.running(idle_with(json!({}))).await;
    let container = json!({"name": "app", "image": images::SAMPLES});
    let patch = json!({"spec": {"containers": [container]}}).to_string();
    case.space.kubectl(&["patch", "pod", "p", "-p", &patch]);
    let expected = fault("ContainerSpecChanged", "None", "Witnessed");
    let expected = expected.of("app");
    case.shows(expected.by("message", "definition changed"))
        .await;
}
