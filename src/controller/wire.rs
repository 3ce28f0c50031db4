//! Slim shapes of the core kinds that are watched: only what a view needs is read from the wire. Each is read from JSON,
//! by its names, and from protobuf, by its numbers.
//!
//! Rule: an unknown field is skipped, a missing one has a default, and nothing here can panic; a Pod
//! costs about 2 KB instead of 43 KB.

use std::collections::BTreeMap;
use std::fmt::Debug;

use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use kube::Resource;
use prost::Message;
use serde::{Deserialize, Deserializer};

use crate::api::labels;

/// Addresses a slim kind like the full one. The metadata are in its field of that name.
macro_rules! addressed {
    ($name:ident, $full:ty, $scope:ty) => {
        impl kube::Resource for $name {
            type DynamicType = ();
            type Scope = $scope;

            fn kind((): &()) -> std::borrow::Cow<'_, str> {
                <$full>::kind(&())
            }

            fn group((): &()) -> std::borrow::Cow<'_, str> {
                <$full>::group(&())
            }

            fn version((): &()) -> std::borrow::Cow<'_, str> {
                <$full>::version(&())
            }

            fn plural((): &()) -> std::borrow::Cow<'_, str> {
                <$full>::plural(&())
            }

            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

mod disruption_budget;
mod event;
#[cfg(test)]
mod hostile;
mod node;
mod pod;
pub(super) mod protobuf;
mod revision;
mod waited;

pub(super) use disruption_budget::DisruptionBudget;
pub(super) use event::Event;
pub(super) use node::Node;
pub(super) use pod::Pod;
pub(super) use revision::Revision;
pub(super) use waited::{Claim, ConfigMap, Quota, Waited};

/// The metadata that somebody here asks for. Most bytes of the rest are `managedFields`.
#[derive(Clone, PartialEq, Deserialize, Message)]
#[serde(rename_all = "camelCase", default)]
struct SlimMetadata {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(string, optional, tag = "3")]
    namespace: Option<String>,
    #[prost(string, optional, tag = "5")]
    uid: Option<String>,
    #[prost(string, optional, tag = "6")]
    resource_version: Option<String>,
    #[prost(int64, optional, tag = "7")]
    generation: Option<i64>,
    #[prost(message, optional, tag = "8")]
    creation_timestamp: Option<Moment>,
    #[prost(message, optional, tag = "9")]
    deletion_timestamp: Option<Moment>,
    #[prost(int64, optional, tag = "10")]
    deletion_grace_period_seconds: Option<i64>,
    #[prost(btree_map = "string, string", tag = "11")]
    #[serde(deserialize_with = "or_default")]
    labels: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "12")]
    #[serde(deserialize_with = "or_default")]
    annotations: BTreeMap<String, String>,
    #[prost(message, repeated, tag = "13")]
    #[serde(deserialize_with = "or_default")]
    owner_references: Vec<Owner>,
}

/// An object as it is written down, in JSON and in protobuf.
#[derive(Clone, PartialEq, Deserialize, Message)]
#[serde(default, bound = "S: Deserialize<'de>, T: Deserialize<'de>")]
struct Shape<S: Message + Debug + Default, T: Message + Debug + Default> {
    #[prost(message, required, tag = "1")]
    metadata: SlimMetadata,
    #[prost(message, required, tag = "2")]
    #[serde(deserialize_with = "or_default")]
    spec: S,
    #[prost(message, required, tag = "3")]
    #[serde(deserialize_with = "or_default")]
    status: T,
}

/// An owner of an object.
#[derive(Clone, PartialEq, Deserialize, Message)]
#[serde(rename_all = "camelCase", default)]
struct Owner {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    uid: String,
    #[prost(string, tag = "5")]
    api_version: String,
    #[prost(bool, optional, tag = "6")]
    controller: Option<bool>,
}

/// A time.
#[derive(Clone, Copy, PartialEq, Message)]
struct Moment {
    /// In protobuf, a time that is not set is a message without anything in it.
    #[prost(int64, optional, tag = "1")]
    seconds: Option<i64>,
    #[prost(int32, tag = "2")]
    nanoseconds: i32,
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let time = Time::deserialize(deserializer)?.0;
        Ok(Self {
            seconds: Some(time.as_second()),
            nanoseconds: time.subsec_nanosecond(),
        })
    }
}

impl From<SlimMetadata> for ObjectMeta {
    fn from(mut slim: SlimMetadata) -> Self {
        // Annotations of others may be long, and nobody here asks for them.
        slim.annotations
            .retain(|name, _| name == labels::CONTAINERS);
        let owners = slim
            .owner_references
            .into_iter()
            .map(|owner| OwnerReference {
                kind: owner.kind,
                name: owner.name,
                uid: owner.uid,
                api_version: owner.api_version,
                controller: owner.controller,
                block_owner_deletion: None,
            });
        Self {
            name: slim.name,
            namespace: slim.namespace,
            uid: slim.uid,
            resource_version: slim.resource_version,
            generation: slim.generation,
            creation_timestamp: timestamp(slim.creation_timestamp).map(Time),
            deletion_timestamp: timestamp(slim.deletion_timestamp).map(Time),
            deletion_grace_period_seconds: slim.deletion_grace_period_seconds,
            labels: Some(slim.labels),
            annotations: Some(slim.annotations),
            owner_references: Some(owners.collect()),
            ..Self::default()
        }
    }
}

/// Reads `null` as the default, as the API server itself does.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The time that a moment names.
fn timestamp(moment: Option<Moment>) -> Option<Timestamp> {
    let moment = moment?;
    Timestamp::new(moment.seconds?, moment.nanoseconds).ok()
}

/// The owner that controls an object. Labels never make an owner.
pub(super) fn controller_of(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata
        .owner_references
        .as_deref()?
        .iter()
        .find(|owner| owner.controller == Some(true))
}

/// The value of a label.
pub(super) fn label<'a>(metadata: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    metadata.labels.as_ref()?.get(name).map(String::as_str)
}

/// The text, cut at a character boundary to at most `limit` bytes.
pub(super) fn cut(mut text: String, limit: usize) -> String {
    text.truncate(text.floor_char_boundary(limit));
    text
}
