//! What Kubernetes wraps objects into when it speaks protobuf.
//!
//! Rule: what cannot be read is an error and never an object; unknown fields are skipped, as in JSON. The numbers are those
//! of `generated.proto` in `k8s.io/apimachinery`, which never change.

use std::collections::BTreeMap;

use axum::body::Bytes;
use kube::core::Status;
use kube::core::watch::{Bookmark, BookmarkMeta};
use kube::core::{TypeMeta, WatchEvent};
use prost::{DecodeError, Message};
use thiserror::Error;

/// The content type of an answer.
pub(in crate::controller) const CONTENT_TYPE: &str = "application/vnd.kubernetes.protobuf";
/// What every object begins with.
const MAGIC: &[u8] = b"k8s\0";

/// Why something cannot be read.
#[derive(Debug, Error)]
pub(in crate::controller) enum Unreadable {
    /// It does not begin as an object does.
    #[error("not an object of Kubernetes")]
    Prefix,
    /// A watch tells of something that there was not when this was written.
    #[error("an event of the unknown type {0:?}")]
    Event(String),
    /// A message is broken.
    #[error(transparent)]
    Message(#[from] DecodeError),
}

/// An object of any kind: `runtime.Unknown`.
#[derive(Clone, PartialEq, Message)]
struct Envelope {
    #[prost(message, required, tag = "1")]
    type_: Type,
    #[prost(bytes = "bytes", tag = "2")]
    object: Bytes,
}

/// `runtime.TypeMeta`.
#[derive(Clone, PartialEq, Message)]
struct Type {
    #[prost(string, tag = "1")]
    api_version: String,
    #[prost(string, tag = "2")]
    kind: String,
}

/// `meta.v1.WatchEvent`.
#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(string, tag = "1")]
    type_: String,
    #[prost(message, required, tag = "2")]
    object: Raw,
}

/// `runtime.RawExtension`.
#[derive(Clone, PartialEq, Message)]
struct Raw {
    #[prost(bytes = "bytes", tag = "1")]
    bytes: Bytes,
}

/// An object of which only the version counts.
#[derive(Clone, PartialEq, Message)]
struct Versioned {
    #[prost(message, required, tag = "1")]
    metadata: Version,
}

/// `meta.v1.ObjectMeta`.
#[derive(Clone, PartialEq, Message)]
struct Version {
    #[prost(string, tag = "6")]
    resource_version: String,
}

/// `meta.v1.Status`.
#[derive(Clone, PartialEq, Message)]
struct Refusal {
    #[prost(string, tag = "3")]
    message: String,
    #[prost(string, tag = "4")]
    reason: String,
    #[prost(int32, tag = "6")]
    code: i32,
}

/// How an object of one kind is read.
pub(in crate::controller) type Read<T> = fn(Bytes) -> Result<T, DecodeError>;

/// What a watch tells, of a kind whose objects `read` reads.
pub(in crate::controller) fn event<T>(
    frame: Bytes,
    read: Read<T>,
) -> Result<WatchEvent<T>, Unreadable> {
    let Event { type_, object } = Event::decode(frame)?;
    let Envelope {
        type_: named,
        object,
    } = envelope(object.bytes)?;
    match type_.as_str() {
        "ADDED" => Ok(WatchEvent::Added(read(object)?)),
        "MODIFIED" => Ok(WatchEvent::Modified(read(object)?)),
        "DELETED" => Ok(WatchEvent::Deleted(read(object)?)),
        "BOOKMARK" => {
            let Versioned { metadata } = Versioned::decode(object)?;
            Ok(WatchEvent::Bookmark(Bookmark {
                types: TypeMeta {
                    api_version: named.api_version,
                    kind: named.kind,
                },
                metadata: BookmarkMeta {
                    resource_version: metadata.resource_version,
                    annotations: BTreeMap::new(),
                },
            }))
        }
        "ERROR" => Ok(WatchEvent::Error(refusal(object)?.boxed())),
        _ => Err(Unreadable::Event(type_)),
    }
}

/// The Status that a request was refused with.
pub(in crate::controller) fn status(body: Bytes) -> Result<Status, Unreadable> {
    Ok(refusal(envelope(body)?.object)?)
}

fn refusal(object: Bytes) -> Result<Status, DecodeError> {
    let Refusal {
        message,
        reason,
        code,
    } = Refusal::decode(object)?;
    Ok(Status::failure(&message, &reason).with_code(u16::try_from(code).unwrap_or_default()))
}

fn envelope(mut bytes: Bytes) -> Result<Envelope, Unreadable> {
    if !bytes.starts_with(MAGIC) {
        return Err(Unreadable::Prefix);
    }
    Ok(Envelope::decode(bytes.split_off(MAGIC.len()))?)
}

/// A watch's word that something is wrong, with that Status.
#[cfg(test)]
pub(in crate::controller) fn an_error(status: &'static [u8]) -> Bytes {
    let event = Event {
        type_: "ERROR".to_owned(),
        object: Raw {
            bytes: Bytes::from_static(status),
        },
    };
    event.encode_to_vec().into()
}
