//! Pods that the API server does not let in.
//!
//! Rule: what is identified is the Status that the API server answered with, as it came.

use kube::api::EvictParams;
use serde_json::{Value, json};

use super::expected::fault;
use super::kit::Case;
use super::specs::{idle_app_with, idle_with, script};

fn idle() -> Value {
    idle_with(json!({}))
}

/// An object of the core API.
fn object(kind: &str, spec: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "test"}, "spec": spec})
}

#[tokio::test]
async fn quota_exceeded() {
    let case = Case::new("quota").await;
    case.apply(&[object("ResourceQuota", &json!({"hard": {"pods": "0"}}))]);
    let expected = fault("QuotaExceeded", "Wait", "Witnessed");
    case.refused(idle(), expected.by("message", "exceeded quota"))
        .await;
}

#[tokio::test]
async fn quota_requires_resources() {
    let case = Case::new("quota-limits").await;
    case.apply(&[object(
        "ResourceQuota",
        &json!({"hard": {"limits.cpu": "1"}}),
    )]);
    let expected = fault("QuotaRequiresResources", "Hold", "Witnessed");
    case.refused(idle(), expected.by("message", "must specify limits.cpu"))
        .await;
}

#[tokio::test]
async fn limit_range_violation() {
    let case = Case::new("limit-range").await;
    let limit = json!({"type": "Container", "max": {"memory": "1Mi"}});
    case.apply(&[object("LimitRange", &json!({"limits": [limit]}))]);
    let spec = idle_app_with(json!({"resources": {"limits": {"memory": "1Gi"}}}));
    let expected = fault("LimitRangeViolation", "Hold", "Witnessed");
    case.refused(
        spec,
        expected.by("message", "maximum memory usage per Container"),
    )
    .await;
}

#[tokio::test]
async fn pod_security_violation() {
    let case = Case::new("pod-security").await;
    let label = "pod-security.kubernetes.io/enforce=restricted";
    case.space
        .kubectl(&["label", "namespace", case.namespace(), label]);
    let expected = fault("PodSecurityViolation", "Hold", "Witnessed");
    case.refused(idle(), expected.by("message", "violates PodSecurity"))
        .await;
}

/// Chooses the namespace of the test.
fn here(case: &Case) -> Value {
    json!({"matchLabels": {"kubernetes.io/metadata.name": case.namespace()}})
}

#[tokio::test]
async fn webhook_denied_by_a_policy() {
    let case = Case::new("policy").await;
    let name = case.namespace();
    let group = "admissionregistration.k8s.io/v1";
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]});
    let validation = json!({"expression": "false", "message": "not on a Thursday"});
    case.apply(&[
        json!({
            "apiVersion": group,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {"matchConstraints": {"resourceRules": [rule]}, "validations": [validation]},
        }),
        json!({
            "apiVersion": group,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {
                "policyName": name,
                "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": here(&case)},
            },
        }),
    ]);
    let expected = fault("WebhookDenied", "Hold", "Witnessed");
    case.refused(idle(), expected.by("message", "not on a Thursday"))
        .await;
}

#[tokio::test]
async fn webhook_unavailable() {
    let case = Case::new("webhook").await;
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]});
    let webhook = json!({
        "name": "pods.coppice.test",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "clientConfig": {"url": "https://127.0.0.1:9/"},
        "namespaceSelector": here(&case),
        "rules": [rule],
    });
    case.apply(&[json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": case.namespace()},
        "webhooks": [webhook],
    })]);
    let expected = fault("WebhookUnavailable", "Wait", "Witnessed");
    case.refused(idle(), expected.by("message", "failed calling webhook"))
        .await;
}

#[tokio::test]
async fn service_account_missing() {
    let case = Case::new("account").await;
    let spec = idle_with(json!({"serviceAccountName": "not-there"}));
    let expected = fault("ServiceAccountMissing", "Hold", "Witnessed");
    case.refused(spec, expected.by("message", "not-there"))
        .await;
}

#[tokio::test]
async fn priority_class_missing() {
    let case = Case::new("priority").await;
    let spec = idle_with(json!({"priorityClassName": "not-there"}));
    let expected = fault("PriorityClassMissing", "Hold", "Witnessed");
    case.refused(spec, expected.by("message", "not-there"))
        .await;
}

#[tokio::test]
async fn runtime_class_missing() {
    let case = Case::new("runtime").await;
    let spec = idle_with(json!({"runtimeClassName": "not-there"}));
    let expected = fault("RuntimeClassMissing", "Hold", "Witnessed");
    case.refused(spec, expected.by("message", "not-there"))
        .await;
}

#[tokio::test]
async fn namespace_terminating() {
    let case = Case::new("ending").await;
    // Something that nobody releases keeps the namespace from being gone at once.
    case.apply(&[json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "stays", "finalizers": ["coppice.test/stays"]},
    })]);
    let delete = ["delete", "namespace", case.namespace(), "--wait=false"];
    case.space.kubectl(&delete);
    let expected = fault("NamespaceTerminating", "Hold", "Witnessed");
    case.refused(idle(), expected.by("message", "being terminated"))
        .await;
}

#[tokio::test]
async fn rbac_forbidden() {
    let case = Case::new("rights").await;
    let cluster = case.space.cluster;
    let nobody = cluster.kubeconfig_for("nobody-in-particular", &[]);
    let client = cluster.client_from(&nobody.expect("a user")).await;
    let expected = fault("RbacForbidden", "Hold", "Witnessed");
    let expected = expected.by("message", "cannot create resource");
    case.refused_by(&client.expect("a client"), idle(), expected)
        .await;
}

#[tokio::test]
async fn pod_spec_invalid() {
    let case = Case::new("invalid").await;
    let mut spec = script("exit 0");
    spec["containers"][0]["name"] = json!("Not A Name");
    let expected = fault("PodSpecInvalid", "Hold", "Proved");
    case.refused(spec, expected.by("message", "containers[0].name"))
        .await;
}

#[tokio::test]
async fn api_conflict() {
    let case = Case::new("conflict").await;
    case.pod(idle()).await;
    let expected = fault("ApiConflict", "Wait", "Proved");
    case.refused(idle(), expected.by("message", "already exists"))
        .await;
}

/// An eviction is created, too, and refused while a budget does not allow it.
#[tokio::test]
async fn pdb_blocked() {
    let case = Case::new("budget").await;
    let metadata = json!({"name": "p", "labels": {"app": "p"}});
    case.pod_like(json!({"metadata": metadata, "spec": idle()}))
        .await;
    case.until_running("p").await;
    let spec = json!({"minAvailable": 1, "selector": {"matchLabels": {"app": "p"}}});
    case.apply(&[json!({
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "p"},
        "spec": spec,
    })]);
    let counted = "--for=jsonpath={.status.observedGeneration}=1";
    case.space
        .kubectl(&["wait", "pdb/p", counted, "--timeout=60s"]);
    let pods = case.space.pods();
    let refused = pods.evict("p", &EvictParams::default()).await;
    let Err(kube::Error::Api(status)) = refused else {
        panic!("evicted: {refused:?}");
    };
    let answer = case.answer_to(&status).await;
    let expected = fault("PdbBlocked", "None", "Witnessed");
    let expected = expected.by("message", "disruption budget");
    assert_eq!(expected.differs(&answer), None, "{answer:#}");
}
