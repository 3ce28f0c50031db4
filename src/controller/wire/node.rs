//! Nodes from the wire.
//!
//! Rule: a heartbeat of a healthy node does not change its view.

use k8s_openapi::ClusterResourceScope;
use k8s_openapi::api::core::v1::Node as FullNode;
use prost::bytes::Bytes;
use prost::{DecodeError, Message};

use super::{Deserialize, Moment, ObjectMeta, Shape, Timestamp, label, or_default, timestamp};
use crate::api::labels;
use crate::model::world::NodeView;

/// The taint by which a person says that a node is off for sure.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// The taint by which Kubernetes says that a node does not report; with the effect `NoExecute` it evicts.
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// A Node as it is watched.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Shape<Spec, Status>")]
pub(in crate::controller) struct Node {
    metadata: ObjectMeta,
    spec: Spec,
    status: Status,
}

#[derive(Clone, PartialEq, Deserialize, Message)]
#[serde(default)]
struct Spec {
    #[prost(message, repeated, tag = "5")]
    #[serde(deserialize_with = "or_default")]
    taints: Vec<Taint>,
}

#[derive(Clone, PartialEq, Deserialize, Message)]
#[serde(default)]
struct Taint {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "3")]
    effect: String,
}

#[derive(Clone, PartialEq, Deserialize, Message)]
#[serde(default)]
struct Status {
    #[prost(message, repeated, tag = "4")]
    #[serde(deserialize_with = "or_default")]
    conditions: Vec<Condition>,
}

#[derive(Clone, PartialEq, Deserialize, Message)]
#[serde(rename_all = "camelCase", default)]
struct Condition {
    #[prost(string, tag = "1")]
    r#type: String,
    #[prost(string, tag = "2")]
    status: String,
    #[prost(message, optional, tag = "4")]
    last_transition_time: Option<Moment>,
}

impl From<Shape<Spec, Status>> for Node {
    fn from(shape: Shape<Spec, Status>) -> Self {
        Self {
            metadata: shape.metadata.into(),
            spec: shape.spec,
            status: shape.status,
        }
    }
}

impl Node {
    /// Reads a Node from protobuf.
    pub(in crate::controller) fn decode(object: Bytes) -> Result<Self, DecodeError> {
        Shape::decode(object).map(Self::from)
    }

    /// The facts that decisions rest on. A node without a Ready condition has not been ready since it
    /// was created.
    pub(in crate::controller) fn view(&self) -> NodeView {
        let ready = self
            .status
            .conditions
            .iter()
            .find(|condition| condition.r#type == "Ready");
        let created = self.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let not_ready_since = match ready {
            Some(condition) if condition.status == "True" => None,
            Some(condition) => timestamp(condition.last_transition_time).or(created),
            None => created,
        };
        let evicts = |taint: &Taint| taint.key == UNREACHABLE && taint.effect == "NoExecute";
        let is_ready = ready.is_some_and(|condition| condition.status == "True");
        NodeView {
            not_ready_since: not_ready_since
                .or_else(|| (!is_ready).then_some(Timestamp::UNIX_EPOCH)),
            unreachable: ready.is_some_and(|condition| condition.status == "Unknown"),
            evicting: self.spec.taints.iter().any(evicts),
            out_of_service: self
                .spec
                .taints
                .iter()
                .any(|taint| taint.key == OUT_OF_SERVICE),
            zone: label(&self.metadata, labels::ZONE).map(str::to_owned),
        }
    }
}

addressed!(Node, FullNode, ClusterResourceScope);

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn view(node: Value) -> NodeView {
        serde_json::from_value::<Node>(node).unwrap().view()
    }

    fn node(status: &str, heartbeat: &str, taints: &Value) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": "n1", "resourceVersion": "7", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"podCIDR": "10.0.0.0/24", "taints": taints},
            "status": {"conditions": [
                {"type": "MemoryPressure", "status": "False", "lastHeartbeatTime": heartbeat},
                {"type": "Ready", "status": status, "lastHeartbeatTime": heartbeat,
                 "lastTransitionTime": "2026-01-02T00:00:00Z", "reason": "KubeletReady", "message": "m"},
            ]},
        })
    }

    #[test]
    fn a_heartbeat_changes_nothing() {
        let early = view(node("True", "2026-01-03T00:00:00Z", &json!(null)));
        let late = view(node("True", "2026-01-04T00:00:00Z", &json!([])));
        assert_eq!(early, late);
        assert_eq!(
            early,
            NodeView {
                not_ready_since: None,
                unreachable: false,
                evicting: false,
                out_of_service: false,
                zone: None,
            }
        );
    }

    #[test]
    fn the_zone_of_a_node_is_that_of_its_label() {
        let mut labelled = node("True", "2026-01-03T00:00:00Z", &json!([]));
        labelled["metadata"]["labels"] = json!({"topology.kubernetes.io/zone": "z1"});
        assert_eq!(view(labelled).zone.as_deref(), Some("z1"));
    }

    #[test]
    fn a_silent_node_is_unreachable_since_its_last_transition() {
        let taints =
            json!([{"key": OUT_OF_SERVICE, "value": "nodeshutdown", "effect": "NoExecute"}]);
        let lost = view(node("Unknown", "2026-01-03T00:00:00Z", &taints));
        assert!(lost.unreachable && lost.out_of_service);
        assert_eq!(
            lost.not_ready_since,
            Some("2026-01-02T00:00:00Z".parse().unwrap())
        );
    }

    #[test]
    fn kubernetes_evicts_once_the_taint_has_that_effect() {
        let taint = |effect: &str| json!({"key": UNREACHABLE, "effect": effect});
        let evicting = |taints| view(node("Unknown", "2026-01-03T00:00:00Z", &taints)).evicting;
        assert!(!evicting(json!([taint("NoSchedule")])));
        assert!(evicting(json!([taint("NoSchedule"), taint("NoExecute")])));
        assert!(!evicting(
            json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}])
        ));
    }

    #[test]
    fn a_node_that_said_nothing_yet_is_not_ready() {
        let new =
            view(json!({"metadata": {"name": "n", "creationTimestamp": "2026-01-01T00:00:00Z"}}));
        assert_eq!(
            new.not_ready_since,
            Some("2026-01-01T00:00:00Z".parse().unwrap())
        );
        let bare = view(json!({"metadata": {"name": "n"}, "status": null, "spec": null}));
        assert_eq!(bare.not_ready_since, Some(Timestamp::UNIX_EPOCH));
    }
}
