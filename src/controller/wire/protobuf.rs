//! What Kubernetes wraps objects into when it speaks protobuf.
//!
//! Rule: what cannot be read, or has no version, is an error and never an object; unknown fields are skipped, as in JSON.
//! The numbers are those of `generated.proto` in `k8s.io/apimachinery`, which never change.

use std::collections::BTreeMap;

use kube::Resource;
use kube::core::Status;
use kube::core::response::StatusDetails;
use kube::core::watch::{Bookmark, BookmarkMeta};
use kube::core::{TypeMeta, WatchEvent};
use prost::bytes::Bytes;
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
    /// It has no version. In protobuf nothing is ever missing: what was left out is empty.
    #[error("an object without a version")]
    Version,
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
    #[prost(message, optional, tag = "5")]
    details: Option<Details>,
    #[prost(int32, tag = "6")]
    code: i32,
}

/// `meta.v1.StatusDetails`, of which only is read what is asked of a list or a watch.
#[derive(Clone, PartialEq, Message)]
struct Details {
    #[prost(int32, tag = "5")]
    retry_after_seconds: i32,
}

/// How an object of one kind is read.
pub(in crate::controller) type Read<T> = fn(Bytes) -> Result<T, DecodeError>;

/// What a watch tells, of a kind whose objects `read` reads.
pub(in crate::controller) fn event<T: Resource>(
    frame: Bytes,
    read: Read<T>,
) -> Result<WatchEvent<T>, Unreadable> {
    let Event { type_, object } = Event::decode(frame)?;
    let Envelope {
        type_: named,
        object,
    } = envelope(object.bytes)?;
    match type_.as_str() {
        "ADDED" => Ok(WatchEvent::Added(versioned(read(object)?)?)),
        "MODIFIED" => Ok(WatchEvent::Modified(versioned(read(object)?)?)),
        "DELETED" => Ok(WatchEvent::Deleted(versioned(read(object)?)?)),
        "BOOKMARK" => {
            let Versioned { metadata } = Versioned::decode(object)?;
            if metadata.resource_version.is_empty() {
                return Err(Unreadable::Version);
            }
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

fn versioned<T: Resource>(object: T) -> Result<T, Unreadable> {
    let version = object.meta().resource_version.as_deref();
    match version.unwrap_or_default() {
        "" => Err(Unreadable::Version),
        _ => Ok(object),
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
        details,
        code,
    } = Refusal::decode(object)?;
    let code = u16::try_from(code).unwrap_or_default();
    let details = details
        .map(|details| details_of(u32::try_from(details.retry_after_seconds).unwrap_or_default()));
    Ok(Status {
        details,
        ..Status::failure(&message, &reason).with_code(code)
    })
}

/// The details of a Status that says only how long to wait.
pub(in crate::controller) fn details_of(retry_after_seconds: u32) -> StatusDetails {
    StatusDetails {
        name: String::new(),
        group: String::new(),
        kind: String::new(),
        uid: String::new(),
        causes: Vec::new(),
        retry_after_seconds,
    }
}

fn envelope(mut bytes: Bytes) -> Result<Envelope, Unreadable> {
    if !bytes.starts_with(MAGIC) {
        return Err(Unreadable::Prefix);
    }
    Ok(Envelope::decode(bytes.split_off(MAGIC.len()))?)
}

/// What a watch sends to tell of an object, which is given as it is written down.
#[cfg(test)]
pub(in crate::controller) fn written(type_: &str, object: &[u8]) -> Vec<u8> {
    let envelope = Envelope {
        object: Bytes::copy_from_slice(object),
        ..Envelope::default()
    };
    enclosed(type_, &[MAGIC, &envelope.encode_to_vec()].concat())
}

/// What a watch sends to tell of an object, which is given with what it is wrapped into.
#[cfg(test)]
pub(in crate::controller) fn enclosed(type_: &str, object: &[u8]) -> Vec<u8> {
    let event = Event {
        type_: type_.to_owned(),
        object: Raw {
            bytes: Bytes::copy_from_slice(object),
        },
    };
    let event = event.encode_to_vec();
    let length = u32::try_from(event.len()).unwrap().to_be_bytes();
    [&length[..], &event].concat()
}

/// What a watch tells of, as it is written down: what [`written`] was given.
#[cfg(test)]
pub(in crate::controller) fn unwrapped(stream: &[u8]) -> Bytes {
    let length = stream
        .first_chunk()
        .map(|length| u32::from_be_bytes(*length));
    let event = &stream[4..][..length.unwrap() as usize];
    let event = Event::decode(Bytes::copy_from_slice(event)).unwrap();
    envelope(event.object.bytes).unwrap().object
}

/// A bookmark, or an object that says nothing else, as it is written down.
#[cfg(test)]
pub(in crate::controller) fn at_version(resource_version: &str) -> Vec<u8> {
    let metadata = Version {
        resource_version: resource_version.to_owned(),
    };
    Versioned { metadata }.encode_to_vec()
}

/// A Status as it is written down.
#[cfg(test)]
pub(in crate::controller) fn a_refusal(
    code: i32,
    reason: &str,
    retry_after_seconds: i32,
) -> Vec<u8> {
    let refusal = Refusal {
        message: reason.to_owned(),
        reason: reason.to_owned(),
        details: Some(Details {
            retry_after_seconds,
        }),
        code,
    };
    refusal.encode_to_vec()
}
