//! Events from the wire, as `events.k8s.io/v1` tells them.
//!
//! Rule: of an Event is kept what may explain a fault, and no text that is longer than that takes.

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::events::v1::Event as FullEvent;
use prost::bytes::Bytes;
use prost::{DecodeError, Message};

use super::{Deserialize, Moment, ObjectMeta, SlimMetadata, cut, or_default, timestamp};
use crate::model::fault::{EventView, ObjectRef};

/// The longest text that is kept of a message, in bytes: as long as the API server takes it.
const MESSAGE_LIMIT: usize = 1024;

/// The longest name that is kept, in bytes: as long as that of any object.
const NAME_LIMIT: usize = 253;

/// An Event as it is watched.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Shape")]
pub(in crate::controller) struct Event {
    metadata: ObjectMeta,
    shape: Shape,
}

#[derive(Clone, PartialEq, Deserialize, Message)]
#[serde(rename_all = "camelCase", default)]
struct Shape {
    #[prost(message, required, tag = "1")]
    metadata: SlimMetadata,
    #[prost(message, optional, tag = "2")]
    event_time: Option<Moment>,
    #[prost(message, optional, tag = "3")]
    series: Option<Series>,
    #[prost(string, optional, tag = "7")]
    reason: Option<String>,
    #[prost(message, required, tag = "8")]
    #[serde(deserialize_with = "or_default")]
    regarding: Reference,
    #[prost(string, optional, tag = "10")]
    note: Option<String>,
    #[prost(message, optional, tag = "13")]
    deprecated_first_timestamp: Option<Moment>,
    #[prost(message, optional, tag = "14")]
    deprecated_last_timestamp: Option<Moment>,
    #[prost(int32, optional, tag = "15")]
    deprecated_count: Option<i32>,
}

#[derive(Clone, PartialEq, Deserialize, Message)]
#[serde(rename_all = "camelCase", default)]
struct Series {
    #[prost(int32, tag = "1")]
    count: i32,
    #[prost(message, optional, tag = "2")]
    last_observed_time: Option<Moment>,
}

#[derive(Clone, PartialEq, Deserialize, Message)]
#[serde(rename_all = "camelCase", default)]
struct Reference {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "2")]
    namespace: String,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    uid: String,
    #[prost(string, tag = "7")]
    field_path: String,
}

impl From<Shape> for Event {
    fn from(mut shape: Shape) -> Self {
        Self {
            metadata: std::mem::take(&mut shape.metadata).into(),
            shape,
        }
    }
}

impl Event {
    /// Reads an Event from protobuf.
    pub(in crate::controller) fn decode(object: Bytes) -> Result<Self, DecodeError> {
        Shape::decode(object).map(Self::from)
    }

    /// The facts that identification rests on.
    pub(in crate::controller) fn view(self) -> EventView {
        let shape = self.shape;
        let series = shape.series.unwrap_or_default();
        let told = timestamp(shape.event_time);
        let first = timestamp(shape.deprecated_first_timestamp).or(told);
        let last = timestamp(series.last_observed_time)
            .or_else(|| timestamp(shape.deprecated_last_timestamp))
            .or(told);
        let count = shape.deprecated_count.unwrap_or_default().max(series.count);
        EventView {
            object: ObjectRef {
                kind: cut(shape.regarding.kind, NAME_LIMIT),
                namespace: cut(shape.regarding.namespace, NAME_LIMIT),
                name: cut(shape.regarding.name, NAME_LIMIT),
                uid: cut(shape.regarding.uid, NAME_LIMIT),
                field: cut(shape.regarding.field_path, NAME_LIMIT),
            },
            reason: cut(shape.reason.unwrap_or_default(), MESSAGE_LIMIT),
            message: cut(shape.note.unwrap_or_default(), MESSAGE_LIMIT),
            first,
            last: last.or(first),
            count: i64::from(count.max(1)),
        }
    }
}

addressed!(Event, FullEvent, NamespaceResourceScope);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(text: &str) -> Option<jiff::Timestamp> {
        text.parse().ok()
    }

    #[test]
    fn an_event_of_either_making_is_read() {
        let old = json!({"metadata": {"name": "e"}, "reason": "Killing", "note": "Stopping container a", "eventTime": null,
            "regarding": {"kind": "Pod", "name": "p", "uid": "u", "namespace": "n", "fieldPath": "spec.containers{a}"},
            "deprecatedFirstTimestamp": "2026-01-01T00:00:00Z", "deprecatedLastTimestamp": "2026-01-01T00:00:05Z",
            "deprecatedCount": 3});
        let event: Event = serde_json::from_value(old).unwrap();
        let view = event.view();
        assert_eq!((view.reason.as_str(), view.count), ("Killing", 3));
        assert_eq!(view.object.field, "spec.containers{a}");
        assert_eq!(
            (view.first, view.last),
            (at("2026-01-01T00:00:00Z"), at("2026-01-01T00:00:05Z"))
        );
        let new = json!({"metadata": {"name": "e"}, "reason": "FailedScheduling", "note": "0/1 nodes",
            "regarding": {"kind": "Pod", "name": "p"}, "eventTime": "2026-01-01T00:00:00.5Z",
            "series": {"count": 7, "lastObservedTime": "2026-01-01T00:01:00Z"}});
        let event: Event = serde_json::from_value(new).unwrap();
        let view = event.view();
        assert_eq!(view.count, 7);
        assert_eq!(
            (view.first, view.last),
            (at("2026-01-01T00:00:00.5Z"), at("2026-01-01T00:01:00Z"))
        );
        let bare: Event = serde_json::from_value(json!({"metadata": {"name": "e"}})).unwrap();
        assert_eq!((bare.view().count, bare_time()), (1, None));
    }

    fn bare_time() -> Option<jiff::Timestamp> {
        let bare: Event = serde_json::from_value(json!({"metadata": {}})).unwrap();
        bare.view().seen()
    }
}
