//! Containers that the runtime of the node cannot make or start, though image and configuration are there.
//!
//! Rule: what is asked of the runtime is legal for Kubernetes, and the runtime alone says no.

use serde_json::json;

use super::kit::{Case, fault, idle_app_with, idle_with, merge};

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
async fn oci_start_failed() {
    let case = Case::new("device").await;
    let mut spec = idle_app_with(json!({
        "volumeMounts": [{"name": "data", "mountPath": "/proc/here"}],
    }));
    merge(
        &mut spec,
        json!({"volumes": [{"name": "data", "emptyDir": {}}]}),
    );
    case.pod(spec).await;
    let expected = fault("OciStartFailed", "Hold", "Proved");
    case.shows(expected.of("app").by(".reason", "StartError"))
        .await;
}
