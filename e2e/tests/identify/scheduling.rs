//! Pods that no node has enough for, or that nobody places.
//!
//! Rule: what is asked for is more than any machine has, so that the answer does not depend on the machine.

use serde_json::{Value, json};

use super::expected::fault;
use super::kit::Case;
use super::specs::{idle_app_with, idle_with};

const SAID: &str = "conditions[PodScheduled].message";

/// A Pod that requests that.
async fn requests(prefix: &str, requests: Value) -> Case {
    let case = Case::new(prefix).await;
    let resources = json!({"requests": requests, "limits": requests});
    case.pod(idle_app_with(json!({"resources": resources})))
        .await;
    case
}

#[tokio::test]
async fn insufficient_cpu() {
    let case = requests("cpu", json!({"cpu": "1000"})).await;
    let expected = fault("InsufficientCpu", "Wait", "Witnessed");
    case.shows(expected.by(SAID, "Insufficient cpu")).await;
}

#[tokio::test]
async fn insufficient_memory() {
    let case = requests("memory", json!({"memory": "900Ti"})).await;
    let expected = fault("InsufficientMemory", "Wait", "Witnessed");
    case.shows(expected.by(SAID, "Insufficient memory")).await;
}

#[tokio::test]
async fn insufficient_ephemeral_storage() {
    let case = requests("storage", json!({"ephemeral-storage": "900Ti"})).await;
    let expected = fault("InsufficientEphemeralStorage", "Wait", "Witnessed");
    case.shows(expected.by(SAID, "Insufficient ephemeral-storage"))
        .await;
}

#[tokio::test]
async fn insufficient_extended_resource() {
    let case = requests("extended", json!({"coppice.test/rarity": "1"})).await;
    let expected = fault("InsufficientExtendedResource", "Wait", "Witnessed");
    case.shows(expected.by(SAID, "Insufficient coppice.test/rarity"))
        .await;
}

#[tokio::test]
async fn scheduling_gated() {
    let case = Case::new("gated").await;
    let gates = json!({"schedulingGates": [{"name": "coppice.test/shut"}]});
    case.pod(idle_with(gates)).await;
    let expected = fault("SchedulingGated", "None", "Proved");
    case.shows(expected.by(SAID, "gate")).await;
}

#[tokio::test]
async fn scheduler_missing() {
    let case = Case::new("no-scheduler").await;
    case.pod(idle_with(json!({"schedulerName": "not-there"})))
        .await;
    // Nobody says so: it follows from the time that has passed.
    let expected = fault("SchedulerMissing", "Hold", "Inferred");
    case.shows(expected.by("conditions[PodScheduled]", "missing"))
        .await;
}

#[tokio::test]
async fn resource_claim_missing() {
    let case = Case::new("resource-claim").await;
    let claim = json!({"name": "device", "resourceClaimTemplateName": "not-there"});
    case.pod(idle_with(json!({"resourceClaims": [claim]})))
        .await;
    let expected = fault("ResourceClaimMissing", "Hold", "Witnessed");
    case.shows(expected.by("message", "not-there")).await;
}

#[tokio::test]
async fn resource_claim_unschedulable() {
    let case = Case::new("no-device").await;
    case.apply(&[
        json!({
            "apiVersion": "resource.k8s.io/v1",
            "kind": "DeviceClass",
            "metadata": {"name": "coppice.test"},
            "spec": {"selectors": [{"cel": {"expression": "device.driver == 'coppice.test'"}}]},
        }),
        json!({
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"name": "rarity"},
            "spec": {"devices": {"requests": [
                {"name": "one", "exactly": {"deviceClassName": "coppice.test"}},
            ]}},
        }),
    ]);
    let claim = json!({"name": "device", "resourceClaimName": "rarity"});
    case.pod(idle_with(json!({"resourceClaims": [claim]})))
        .await;
    let expected = fault("ResourceClaimUnschedulable", "Wait", "Witnessed");
    case.shows(expected.by(SAID, "cannot allocate all claims"))
        .await;
}
