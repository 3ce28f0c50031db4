//! What Pods wait for, from the wire: claims, quotas and `ConfigMaps`.
//!
//! Rule: of each is read only what tells that it has changed; the contents of a `ConfigMap` are not even asked for.

use std::collections::BTreeMap;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1;
use serde::Deserialize;
use serde_json::Value;

use super::{ObjectMeta, Resource, SlimMetadata, label, or_default};
use crate::api::labels;
use crate::model::world::{ClaimOwner, ClaimView};

/// An object of which the status counts.
#[derive(Deserialize)]
#[serde(default, bound = "T: Deserialize<'de> + Default")]
#[derive(Default)]
struct Shape<T> {
    metadata: SlimMetadata,
    #[serde(deserialize_with = "or_default")]
    status: T,
}

/// A claim as it is watched.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Shape<ClaimStatus>")]
pub(in crate::controller) struct Claim {
    metadata: ObjectMeta,
    status: ClaimStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ClaimStatus {
    phase: String,
}

/// A quota as it is watched.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Shape<QuotaStatus>")]
pub(in crate::controller) struct Quota {
    metadata: ObjectMeta,
    status: QuotaStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct QuotaStatus {
    hard: BTreeMap<String, Value>,
    used: BTreeMap<String, Value>,
}

/// A `ConfigMap` as it is watched.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Shape<Nothing>")]
pub(in crate::controller) struct ConfigMap {
    metadata: ObjectMeta,
}

#[derive(Default, Deserialize)]
struct Nothing {}

impl From<Shape<ClaimStatus>> for Claim {
    fn from(shape: Shape<ClaimStatus>) -> Self {
        Self {
            metadata: shape.metadata.into(),
            status: shape.status,
        }
    }
}

impl From<Shape<QuotaStatus>> for Quota {
    fn from(shape: Shape<QuotaStatus>) -> Self {
        Self {
            metadata: shape.metadata.into(),
            status: shape.status,
        }
    }
}

impl From<Shape<Nothing>> for ConfigMap {
    fn from(shape: Shape<Nothing>) -> Self {
        Self {
            metadata: shape.metadata.into(),
        }
    }
}

/// An object that Pods wait for.
pub(in crate::controller) trait Waited: Resource {
    /// What must change for anybody to try again.
    fn says(&self) -> String;
}

impl Claim {
    /// What decisions rest on.
    pub(in crate::controller) fn view(&self) -> ClaimView {
        let meta = &self.metadata;
        let text = |name| label(meta, name).unwrap_or_default().to_owned();
        let owners = meta.owner_references.iter().flatten();
        ClaimView {
            name: meta.name.clone().unwrap_or_default(),
            resource_version: meta.resource_version.clone().unwrap_or_default(),
            tree: text(labels::TREE),
            child: text(labels::CHILD),
            slot: text(labels::SLOT).parse().unwrap_or(-1),
            owners: owners
                .map(|owner| ClaimOwner {
                    api_version: owner.api_version.clone(),
                    kind: owner.kind.clone(),
                    name: owner.name.clone(),
                    uid: owner.uid.clone(),
                    controls: owner.controller == Some(true),
                })
                .collect(),
            deleting: meta.deletion_timestamp.is_some(),
        }
    }
}

impl Waited for Claim {
    fn says(&self) -> String {
        self.status.phase.clone()
    }
}

impl Waited for Quota {
    fn says(&self) -> String {
        format!("{:?} of {:?}", self.status.used, self.status.hard)
    }
}

impl Waited for ConfigMap {
    /// Whatever was changed in it.
    fn says(&self) -> String {
        self.metadata.resource_version.clone().unwrap_or_default()
    }
}

addressed!(Claim, v1::PersistentVolumeClaim, NamespaceResourceScope);
addressed!(Quota, v1::ResourceQuota, NamespaceResourceScope);
addressed!(ConfigMap, v1::ConfigMap, NamespaceResourceScope);
