//! Pods that fit no place: selectors, taints, ports, neighbours, spread.
//!
//! Rule: neighbours are told apart by a label of the test, so that those of other tests do not count.

use serde_json::{Value, json};

use super::expected::fault;
use super::kit::Case;
use super::specs::{OF_OTHERS, idle_app_with, idle_with, merge};
use super::{DOOMED, NODES, support};

const SAID: &str = "conditions[PodScheduled].message";

/// A Pod of that name, with the label `app: neighbour`.
fn neighbour(name: &str, spec: &Value) -> Value {
    json!({"metadata": {"name": name, "labels": {"app": "neighbour"}}, "spec": spec})
}

/// The neighbours, on the same node.
fn neighbours() -> Value {
    let selector = json!({"matchLabels": {"app": "neighbour"}});
    json!([{"labelSelector": selector, "topologyKey": "kubernetes.io/hostname"}])
}

#[tokio::test]
async fn node_selector_mismatch() {
    let case = Case::new("selector").await;
    let selector = json!({"nodeSelector": {"coppice.test/kind": "not-there"}});
    case.pod(idle_with(selector)).await;
    let expected = fault("NodeSelectorMismatch", "Hold", "Witnessed");
    case.shows(expected.by(SAID, "node affinity/selector"))
        .await;
}

#[tokio::test]
async fn node_name_mismatch() {
    let case = Case::new("node-name").await;
    let field = json!({"key": "metadata.name", "operator": "In", "values": ["not-there"]});
    let required = json!({"nodeSelectorTerms": [{"matchFields": [field]}]});
    let affinity =
        json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}});
    case.pod(idle_with(json!({"affinity": affinity}))).await;
    let expected = fault("NodeNameMismatch", "Infrastructure", "Witnessed");
    case.shows(expected.by(SAID, "NodeAffinity")).await;
}

/// All nodes are cordoned for as long as it takes; the Pods of other tests do not mind.
#[tokio::test]
async fn nodes_cordoned() {
    let _turn = super::CORDONING.lock().await;
    let case = Case::new("cordoned").await;
    let cordon = |verb| support::ok(case.space.cluster, &[&[verb][..], &NODES].concat(), "");
    cordon("cordon");
    let spec = idle_with(json!({"tolerations": [{"key": OF_OTHERS[0], "operator": "Exists"}]}));
    case.pod(spec).await;
    let expected = fault("NodesCordoned", "Wait", "Witnessed");
    case.shows(expected.by(SAID, "unschedulable")).await;
    cordon("uncordon");
}

#[tokio::test]
async fn untolerated_taint() {
    let case = Case::new("taint").await;
    // The other nodes are ruled out by the field that the scheduler looks at before taints.
    let field = json!({"key": "metadata.name", "operator": "In", "values": [DOOMED]});
    let required = json!({"nodeSelectorTerms": [{"matchFields": [field]}]});
    let affinity =
        json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}});
    case.pod(idle_with(json!({"affinity": affinity}))).await;
    let expected = fault("UntoleratedTaint", "Wait", "Witnessed");
    case.shows(expected.by(SAID, "untolerated taint")).await;
}

#[tokio::test]
async fn host_port_conflict() {
    let case = Case::new("host-port").await;
    let port = json!({"ports": [{"containerPort": 5, "hostPort": 5077}]});
    for node in NODES {
        let mut spec = idle_app_with(port.clone());
        let selector = json!({"kubernetes.io/hostname": node});
        merge(&mut spec, json!({"nodeSelector": selector}));
        case.pod_like(neighbour(node, &spec)).await;
        case.until_running(node).await;
    }
    case.pod(idle_app_with(port)).await;
    let expected = fault("HostPortConflict", "Wait", "Witnessed");
    case.shows(expected.by(SAID, "free ports")).await;
}

#[tokio::test]
async fn pod_anti_affinity_conflict() {
    let case = Case::new("anti-affinity").await;
    let affinity = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": neighbours()}});
    let spec = idle_with(json!({"affinity": affinity}));
    for node in NODES {
        case.pod_like(neighbour(node, &spec)).await;
    }
    case.pod(spec).await;
    let expected = fault("PodAntiAffinityConflict", "Wait", "Witnessed");
    case.shows(expected.by(SAID, "anti-affinity")).await;
}

#[tokio::test]
async fn pod_affinity_unsatisfied() {
    let case = Case::new("affinity").await;
    let affinity =
        json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": neighbours()}});
    case.pod(idle_with(json!({"affinity": affinity}))).await;
    let expected = fault("PodAffinityUnsatisfied", "Wait", "Witnessed");
    case.shows(expected.by(SAID, "pod affinity rules")).await;
}

#[tokio::test]
async fn topology_spread_unsatisfiable() {
    let case = Case::new("spread").await;
    let constraint = json!({
        "maxSkew": 1,
        "topologyKey": "coppice.test/not-there",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "neighbour"}},
    });
    case.pod(idle_with(
        json!({"topologySpreadConstraints": [constraint]}),
    ))
    .await;
    let expected = fault("TopologySpreadUnsatisfiable", "Wait", "Witnessed");
    case.shows(expected.by(SAID, "topology spread")).await;
}
