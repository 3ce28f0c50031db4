//! Probes that fail, and gates that stay shut.
//!
//! Rule: a probe fails as soon as it may, so that the kubelet need not be waited for.

use serde_json::{Value, json};

use super::expected::fault;
use super::kit::Case;
use super::specs::{idle_app_with, idle_with};

/// A probe that runs that script once a second.
fn probe(script: &str, failures: u32) -> Value {
    json!({
        "exec": {"command": ["/bin/sh", "-c", script]},
        "periodSeconds": 1,
        "failureThreshold": failures,
    })
}

#[tokio::test]
async fn liveness_probe_killed() {
    let case = Case::new("liveness").await;
    let fields = json!({"livenessProbe": probe("echo is ill; exit 1", 1)});
    case.pod(idle_app_with(fields)).await;
    let expected = fault("LivenessProbeKilled", "Application", "Witnessed");
    let expected = expected.of("app");
    case.shows(expected.by("message", "failed liveness probe"))
        .await;
}

#[tokio::test]
async fn startup_probe_killed() {
    let case = Case::new("startup").await;
    let fields = json!({"startupProbe": probe("exit 1", 1)});
    case.pod(idle_app_with(fields)).await;
    let expected = fault("StartupProbeKilled", "Application", "Witnessed");
    let expected = expected.of("app");
    case.shows(expected.by("message", "failed startup probe"))
        .await;
}

#[tokio::test]
async fn readiness_probe_failing() {
    let case = Case::new("readiness").await;
    let fields = json!({"readinessProbe": probe("echo is not up; exit 1", 1)});
    case.pod(idle_app_with(fields)).await;
    let expected = fault("ReadinessProbeFailing", "Application", "Witnessed");
    let expected = expected.of("app");
    case.shows(expected.by("message", "is not up")).await;
}

#[tokio::test]
async fn probe_misconfigured_from_the_second_kill_on() {
    let case = Case::new("probe-file").await;
    let fields = json!({"livenessProbe": probe("cat /there/is/no/such/file", 1)});
    case.pod(idle_app_with(fields)).await;
    let expected = fault("ProbeMisconfigured", "Hold", "Witnessed");
    let expected = expected.of("app");
    case.shows(expected.by("message", "No such file or directory"))
        .await;
}

#[tokio::test]
async fn readiness_gate_not_ready() {
    let case = Case::new("gate").await;
    let gates = json!({"readinessGates": [{"conditionType": "coppice.test/open"}]});
    case.pod(idle_with(gates)).await;
    let expected = fault("ReadinessGateNotReady", "Wait", "Proved");
    case.shows(expected.by("conditions[Ready].message", "coppice.test/open"))
        .await;
}
