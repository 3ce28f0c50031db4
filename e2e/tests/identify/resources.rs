//! Memory and local disk: what is used up, and what is never given.
//!
//! Rule: the limits are small, so that the machine never notices.

use serde_json::{Value, json};

use super::expected::fault;
use super::kit::Case;
use super::specs::{app_with, idle_app_with, merge, script};

/// Takes memory without an end.
const HOG: &str = "hog=0123456789abcdef; while :; do hog=$hog$hog; done";

fn with_memory(limit: &str) -> Value {
    json!({"resources": {"limits": {"memory": limit}}})
}

#[tokio::test]
async fn oom_killed() {
    let case = Case::new("oom").await;
    case.pod(app_with(HOG, with_memory("24Mi"))).await;
    let expected = fault("OomKilled", "Application", "Proved");
    let expected = expected.of("app");
    case.shows(expected.by(".terminated.reason", "OOMKilled"))
        .await;
}

#[tokio::test]
async fn oom_killed_child() {
    let case = Case::new("oom-child").await;
    let text = format!("sh -c '{HOG}'; sleep 1; exit 9");
    case.pod(app_with(&text, with_memory("24Mi"))).await;
    let expected = fault("OomKilledChild", "Application", "Proved");
    let expected = expected.of("app");
    case.shows(expected.by(".terminated.reason", "OOMKilled"))
        .await;
}

#[tokio::test]
async fn oom_at_start_of_the_sandbox() {
    let case = Case::new("oom-sandbox").await;
    case.pod(idle_app_with(with_memory("128Ki"))).await;
    let expected = fault("OomAtStart", "Hold", "Witnessed");
    case.shows(expected.by("message", "memory limit")).await;
}

#[tokio::test]
async fn oom_at_start_of_a_container() {
    let case = Case::new("oom-start").await;
    let mut spec = idle_app_with(with_memory("128Ki"));
    // The Pod as a whole has enough.
    let mut other = idle_app_with(with_memory("64Mi"))["containers"][0].clone();
    merge(&mut other, json!({"name": "other"}));
    let containers = spec["containers"].as_array_mut().expect("containers");
    containers.push(other);
    case.pod(spec).await;
    let expected = fault("OomAtStart", "Hold", "Witnessed");
    let expected = expected.of("app");
    case.shows(expected.by(".message", "memory limit")).await;
}

#[tokio::test]
async fn empty_dir_size_exceeded() {
    let case = Case::new("empty-dir").await;
    let mut spec = app_with(
        "dd if=/dev/zero of=/scratch/file bs=1M count=4; while :; do sleep 1; done",
        json!({"volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]}),
    );
    let volume = json!({"name": "scratch", "emptyDir": {"sizeLimit": "1Mi"}});
    merge(&mut spec, json!({"volumes": [volume]}));
    case.pod(spec).await;
    let expected = fault("EmptyDirSizeExceeded", "Application", "Proved");
    case.shows(expected.by("status.message", "scratch")).await;
}

#[tokio::test]
async fn ephemeral_storage_exceeded() {
    let case = Case::new("ephemeral").await;
    let text = "dd if=/dev/zero of=/run/workload/file bs=1M count=4; while :; do sleep 1; done";
    let fields = json!({"resources": {"limits": {"ephemeral-storage": "1Mi"}}});
    case.pod(app_with(text, fields)).await;
    let expected = fault("EphemeralStorageExceeded", "Application", "Proved");
    case.shows(expected.by("status.message", "storage")).await;
}

/// Asks for other resources for the running Pod `p`.
fn resize(case: &Case, requests: &Value) {
    let container = json!({"name": "app", "resources": {"requests": requests}});
    let patch = json!({"spec": {"containers": [container]}}).to_string();
    case.space
        .kubectl(&["patch", "pod", "p", "--subresource", "resize", "-p", &patch]);
}

#[tokio::test]
async fn resize_deferred() {
    let case = Case::new("resize-later").await;
    let mut other = script("while :; do sleep 1; done");
    let half = json!({"resources": {"requests": {"memory": "16Gi"}}});
    merge(&mut other["containers"][0], half);
    let at = json!({"nodeSelector": {"kubernetes.io/hostname": "node-c"}});
    merge(&mut other, at.clone());
    case.pod_like(json!({"metadata": {"name": "other"}, "spec": other}))
        .await;
    case.until_running("other").await;
    let mut spec = idle_app_with(json!({"resources": {"requests": {"memory": "8Mi"}}}));
    merge(&mut spec, at);
    case.running(spec).await;
    resize(&case, &json!({"memory": "16Gi"}));
    let expected = fault("ResizeDeferred", "Wait", "Proved");
    case.shows(expected.by("conditions[PodResizePending].message", "resource"))
        .await;
}
