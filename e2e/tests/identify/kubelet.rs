//! Pods that the kubelet of their node does not take.
//!
//! Rule: they name their node, so that no scheduler sees beforehand that they do not fit.

use serde_json::{Value, json};

use super::expected::fault;
use super::kit::Case;
use super::specs::{idle_app_with, idle_with, merge};

/// On that node, whatever the scheduler would say.
fn at_node(mut spec: Value) -> Value {
    merge(&mut spec, json!({"nodeName": "node-b"}));
    spec
}

#[tokio::test]
async fn kubelet_out_of_resource() {
    let case = Case::new("out-of-cpu").await;
    let requests = json!({"resources": {"requests": {"cpu": "1000"}}});
    case.pod(at_node(idle_app_with(requests))).await;
    let expected = fault("KubeletOutOfResource", "Infrastructure", "Proved");
    case.shows(expected.by("status.reason", "OutOfcpu")).await;
}

#[tokio::test]
async fn kubelet_node_affinity_rejected() {
    let case = Case::new("no-affinity").await;
    let selector = json!({"nodeSelector": {"coppice.test/kind": "not-there"}});
    case.pod(at_node(idle_with(selector))).await;
    let expected = fault("KubeletNodeAffinityRejected", "Infrastructure", "Proved");
    case.shows(expected.by("status.reason", "NodeAffinity"))
        .await;
}

#[tokio::test]
async fn pod_feature_unsupported() {
    let case = Case::new("windows").await;
    case.pod(at_node(idle_with(json!({"os": {"name": "windows"}}))))
        .await;
    let expected = fault("PodFeatureUnsupported", "Hold", "Proved");
    case.shows(expected.by("status.reason", "PodOS")).await;
}

#[tokio::test]
async fn app_armor_rejected() {
    let case = Case::new("app-armor").await;
    let profile = json!({"type": "Localhost", "localhostProfile": "not-there"});
    let context = json!({"securityContext": {"appArmorProfile": profile}});
    case.pod(at_node(idle_app_with(context))).await;
    let expected = fault("AppArmorRejected", "Hold", "Proved");
    case.shows(expected.by("status.reason", "AppArmor")).await;
}

#[tokio::test]
async fn sysctl_forbidden() {
    let case = Case::new("sysctl").await;
    let sysctl = json!({"name": "kernel.msgmax", "value": "65536"});
    let context = json!({"securityContext": {"sysctls": [sysctl]}});
    case.pod(at_node(idle_with(context))).await;
    let expected = fault("SysctlForbidden", "Hold", "Proved");
    case.shows(expected.by("status.reason", "SysctlForbidden"))
        .await;
}
