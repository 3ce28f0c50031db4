//! Pods that somebody else ends, or tries to.
//!
//! Rule: the Pods take their time to end, or may not go, so that they can still be looked at.

use serde_json::{Value, json};

use super::expected::fault;
use super::kit::Case;
use super::specs::{OF_OTHERS, app_with, idle_with, merge, script};
use super::support::{kubectl, ok};

/// A program that does not end when it is told to.
fn stubborn() -> Value {
    let mut spec = script("trap '' TERM; while :; do sleep 1; done");
    merge(&mut spec, json!({"terminationGracePeriodSeconds": 120}));
    spec
}

const REASON: &str = "conditions[DisruptionTarget].message";

#[tokio::test]
async fn pod_deleted() {
    let case = Case::new("deleted").await;
    case.running(stubborn()).await;
    case.space.kubectl(&["delete", "pod", "p", "--wait=false"]);
    let expected = fault("PodDeleted", "Infrastructure", "Proved");
    case.shows(expected.by("metadata.deletionTimestamp", "T"))
        .await;
}

#[tokio::test]
async fn api_eviction() {
    let case = Case::new("evicted").await;
    case.running(stubborn()).await;
    let path = format!("/api/v1/namespaces/{}/pods/p/eviction", case.namespace());
    let eviction = json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": "p", "namespace": case.namespace()},
    });
    let create = ["create", "--raw", &path, "-f", "-"];
    ok(case.space.cluster, &create, &eviction.to_string());
    let expected = fault("ApiEviction", "Infrastructure", "Proved");
    case.shows(expected.by(REASON, "Eviction API")).await;
}

#[tokio::test]
async fn api_eviction_by_a_drain() {
    let _turn = super::CORDONING.lock().await;
    let case = Case::new("drained").await;
    let label = case.namespace().to_owned();
    let mut spec = stubborn();
    merge(
        &mut spec,
        json!({"nodeSelector": {"kubernetes.io/hostname": "node-c"}}),
    );
    case.pod_like(json!({"metadata": {"name": "p", "labels": {"test": label}}, "spec": spec}))
        .await;
    case.until_running("p").await;
    let selector = format!("--pod-selector=test={label}");
    let drain = ["drain", "node-c", &selector, "--force", "--timeout=3s"];
    // It gives up on the Pod that does not end, which has been told to by then.
    kubectl(case.space.cluster, &drain, "");
    let expected = fault("ApiEviction", "Infrastructure", "Proved");
    case.shows(expected.by(REASON, "Eviction API")).await;
    case.space.kubectl(&["uncordon", "node-c"]);
}

#[tokio::test]
async fn taint_eviction() {
    let case = Case::new("tainted").await;
    let mut spec = stubborn();
    let fields = json!({
        "tolerations": [{"key": OF_OTHERS[1], "operator": "Exists"}],
        "nodeSelector": {"kubernetes.io/hostname": "node-b"},
    });
    merge(&mut spec, fields);
    case.running(spec).await;
    let taint = |sign: &str| {
        let taint = format!("{}:NoExecute{sign}", OF_OTHERS[0]);
        case.space.kubectl(&["taint", "node", "node-b", &taint]);
    };
    taint("");
    let expected = fault("TaintEviction", "Infrastructure", "Proved");
    case.shows(expected.by(REASON, "Taint manager")).await;
    taint("-");
}

/// A Pod of that priority which takes the only thing of its kind that there is.
fn greedy(name: &str, priority: &str) -> Value {
    let one = json!({"coppice.test/only-one": "1"});
    let resources = json!({"requests": one, "limits": one});
    let mut spec = app_with(
        "trap '' TERM; while :; do sleep 1; done",
        json!({"resources": resources}),
    );
    let fields = json!({"priorityClassName": priority, "terminationGracePeriodSeconds": 120});
    merge(&mut spec, fields);
    json!({"metadata": {"name": name}, "spec": spec})
}

#[tokio::test]
async fn preempted_by_scheduler() {
    let case = Case::new("preempted").await;
    let capacity = r#"{"status":{"capacity":{"coppice.test/only-one":"1"}}}"#;
    let offer = [
        "patch",
        "node",
        "node-c",
        "--subresource",
        "status",
        "-p",
        capacity,
    ];
    case.space.kubectl(&offer);
    let class = |name: &str, value: u32| {
        json!({
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name},
            "value": value,
        })
    };
    case.apply(&[class("coppice-low", 1), class("coppice-high", 2)]);
    case.pod_like(greedy("p", "coppice-low")).await;
    case.until_running("p").await;
    case.pod_like(greedy("preemptor", "coppice-high")).await;
    let expected = fault("PreemptedByScheduler", "Infrastructure", "Proved");
    case.shows(expected.by(REASON, "preempt")).await;
}

#[tokio::test]
async fn stuck_terminating() {
    let case = Case::new("stuck").await;
    let metadata = json!({"name": "p", "finalizers": ["coppice.test/stays"]});
    case.pod_like(json!({"metadata": metadata, "spec": idle_with(json!({}))}))
        .await;
    case.until_running("p").await;
    case.space.kubectl(&["delete", "pod", "p", "--wait=false"]);
    let expected = fault("StuckTerminating", "Infrastructure", "Proved");
    case.shows(expected.by("metadata.deletionTimestamp", "T"))
        .await;
}
