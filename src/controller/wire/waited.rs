//! What Pods wait for, from the wire: claims, quotas and `ConfigMaps`.
//!
//! Rule: of each is read only what tells that it has changed; the contents of a `ConfigMap` are not even asked for.

use std::collections::BTreeMap;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1;
use serde::Deserialize;
use serde_json::Value;

use super::{Cow, ObjectMeta, Resource, SlimMetadata, or_default};

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
pub(in crate::controller) struct Claim(ObjectMeta, ClaimStatus);

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ClaimStatus {
    phase: String,
}

/// A quota as it is watched.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Shape<QuotaStatus>")]
pub(in crate::controller) struct Quota(ObjectMeta, QuotaStatus);

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct QuotaStatus {
    hard: BTreeMap<String, Value>,
    used: BTreeMap<String, Value>,
}

/// A `ConfigMap` as it is watched.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Shape<Nothing>")]
pub(in crate::controller) struct ConfigMap(ObjectMeta);

#[derive(Default, Deserialize)]
struct Nothing {}

impl From<Shape<ClaimStatus>> for Claim {
    fn from(shape: Shape<ClaimStatus>) -> Self {
        Self(shape.metadata.into(), shape.status)
    }
}

impl From<Shape<QuotaStatus>> for Quota {
    fn from(shape: Shape<QuotaStatus>) -> Self {
        Self(shape.metadata.into(), shape.status)
    }
}

impl From<Shape<Nothing>> for ConfigMap {
    fn from(shape: Shape<Nothing>) -> Self {
        Self(shape.metadata.into())
    }
}

/// An object that Pods wait for.
pub(in crate::controller) trait Waited: Resource {
    /// What must change for anybody to try again.
    fn says(&self) -> String;
}

impl Waited for Claim {
    fn says(&self) -> String {
        self.1.phase.clone()
    }
}

impl Waited for Quota {
    fn says(&self) -> String {
        format!("{:?} of {:?}", self.1.used, self.1.hard)
    }
}

impl Waited for ConfigMap {
    /// Whatever was changed in it.
    fn says(&self) -> String {
        self.0.resource_version.clone().unwrap_or_default()
    }
}

/// Addresses a kind like the full one.
macro_rules! addressed {
    ($name:ident, $full:ty) => {
        impl Resource for $name {
            type DynamicType = ();
            type Scope = NamespaceResourceScope;

            fn kind((): &()) -> Cow<'_, str> {
                <$full>::kind(&())
            }

            fn group((): &()) -> Cow<'_, str> {
                <$full>::group(&())
            }

            fn version((): &()) -> Cow<'_, str> {
                <$full>::version(&())
            }

            fn plural((): &()) -> Cow<'_, str> {
                <$full>::plural(&())
            }

            fn meta(&self) -> &ObjectMeta {
                &self.0
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.0
            }
        }
    };
}

addressed!(Claim, v1::PersistentVolumeClaim);
addressed!(Quota, v1::ResourceQuota);
addressed!(ConfigMap, v1::ConfigMap);
