//! Revisions from the wire.
//!
//! Rule: of a revision is read what it is called, which number it has, and its templates.

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::ControllerRevision;
use serde::Deserialize;
use std::collections::BTreeMap;

use crate::model::revisions::StoredTemplate;

use super::{ObjectMeta, SlimMetadata};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Shape {
    metadata: SlimMetadata,
    revision: i64,
    data: serde_json::Value,
}

/// A `ControllerRevision` as it is watched.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Shape")]
pub(in crate::controller) struct Revision {
    metadata: ObjectMeta,
    /// Its number.
    pub(in crate::controller) number: i64,
    /// Its templates, by worker.
    pub(in crate::controller) templates: BTreeMap<String, StoredTemplate>,
}

impl From<Shape> for Revision {
    fn from(shape: Shape) -> Self {
        Self {
            metadata: shape.metadata.into(),
            number: shape.revision,
            templates: StoredTemplate::all_in(&shape.data),
        }
    }
}

addressed!(Revision, ControllerRevision, NamespaceResourceScope);
