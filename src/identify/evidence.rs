//! Events, nodes and other objects from their manifests.
//!
//! Rule: an object is known by kind and name; what all kinds tell alike is read alike.

use jiff::Timestamp;
use serde_json::Value;

use super::fields::{cut, list, number, some_text, text, time};
use super::lease;
use crate::model::fault::{ConditionView, EventView, ObjectRef, ObjectView};
use crate::model::world::NodeView;

/// An Event, of `v1` or of `events.k8s.io`.
pub(super) fn event(event: &Value) -> EventView {
    let object = if event["involvedObject"].is_object() {
        &event["involvedObject"]
    } else {
        &event["regarding"]
    };
    let last = [
        &event["series"]["lastObservedTime"],
        &event["lastTimestamp"],
        &event["deprecatedLastTimestamp"],
        &event["eventTime"],
    ];
    let first = [
        &event["firstTimestamp"],
        &event["deprecatedFirstTimestamp"],
        &event["eventTime"],
    ];
    let counts = [
        &event["series"]["count"],
        &event["count"],
        &event["deprecatedCount"],
    ];
    EventView {
        object: ObjectRef {
            kind: text(&object["kind"]),
            namespace: text(&object["namespace"]),
            name: text(&object["name"]),
            uid: text(&object["uid"]),
            field: text(&object["fieldPath"]),
        },
        reason: text(&event["reason"]),
        message: cut(
            &some_text(&event["message"]).unwrap_or_else(|| text(&event["note"])),
            LONGEST_MESSAGE,
        ),
        first: first.into_iter().find_map(time),
        last: last.into_iter().find_map(time),
        count: counts.into_iter().find_map(number).unwrap_or(1),
    }
}

/// The longest message of an Event, in bytes: the API server takes no longer one.
const LONGEST_MESSAGE: usize = 1024;

/// Most conditions and taints that are looked at.
const MOST_LISTED: usize = 64;

/// Which object that is.
pub(super) fn reference(object: &Value) -> ObjectRef {
    let metadata = &object["metadata"];
    ObjectRef {
        kind: text(&object["kind"]),
        namespace: text(&metadata["namespace"]),
        name: text(&metadata["name"]),
        uid: text(&metadata["uid"]),
        field: String::new(),
    }
}

/// What all objects tell alike.
pub(super) fn object(object: &Value) -> ObjectView {
    let (spec, status) = (&object["spec"], &object["status"]);
    let error = some_text(&status["attachError"]["message"])
        .map(|text| ("status.attachError.message", text))
        .or_else(|| {
            some_text(&status["detachError"]["message"])
                .map(|text| ("status.detachError.message", text))
        });
    ObjectView {
        object: reference(object),
        phase: text(&status["phase"]),
        conditions: list(&status["conditions"])
            .iter()
            .take(MOST_LISTED)
            .map(condition)
            .collect(),
        taints: list(&spec["taints"])
            .iter()
            .take(MOST_LISTED)
            .map(|taint| (text(&taint["key"]), text(&taint["effect"])))
            .collect(),
        error,
        selected_node: some_text(
            &object["metadata"]["annotations"]["volume.kubernetes.io/selected-node"],
        ),
        rolls: rolls(object),
        silent_since: lease::renewed(object),
    }
}

fn condition(condition: &Value) -> ConditionView {
    ConditionView {
        type_: text(&condition["type"]),
        status: text(&condition["status"]),
        reason: text(&condition["reason"]),
        message: text(&condition["message"]),
        changed: time(&condition["lastTransitionTime"]),
    }
}

/// Whether a controller has Pods of an older revision, or fewer of the new one than it wants.
fn rolls(object: &Value) -> bool {
    let status = &object["status"];
    let (current, update) = (
        text(&status["currentRevision"]),
        text(&status["updateRevision"]),
    );
    let wanted = number(&object["spec"]["replicas"]).or_else(|| number(&status["replicas"]));
    let updated = number(&status["updatedReplicas"]);
    let ready = number(&status["readyReplicas"]);
    let differ = !update.is_empty() && current != update;
    let is_behind = updated.is_some() && updated < wanted;
    (differ || is_behind) && ready < wanted
}

/// What decides about Pods on a node.
pub(super) fn node(node: &Value) -> NodeView {
    let conditions = list(&node["status"]["conditions"]);
    let ready = conditions
        .iter()
        .find(|condition| condition["type"] == "Ready");
    let bad = ready.filter(|condition| condition["status"] != "True");
    let has_taint = |key: &str, effect: &str| {
        let taints = list(&node["spec"]["taints"]);
        taints
            .iter()
            .any(|taint| taint["key"] == key && (effect.is_empty() || taint["effect"] == effect))
    };
    NodeView {
        not_ready_since: bad.map(|condition| {
            time(&condition["lastTransitionTime"]).unwrap_or(Timestamp::UNIX_EPOCH)
        }),
        unreachable: bad.is_some_and(|condition| condition["status"] == "Unknown"),
        evicting: has_taint("node.kubernetes.io/unreachable", "NoExecute"),
        out_of_service: has_taint("node.kubernetes.io/out-of-service", ""),
        // It says nothing of a fault.
        zone: None,
    }
}
