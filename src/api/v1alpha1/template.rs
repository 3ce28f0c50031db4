//! The templates of a worker, of its Pods and of their claims: typed in the schema, raw in memory.
//!
//! Rule: what we do not understand survives: templates travel as JSON, so that fields newer than
//! this build reach the Pods unchanged.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::pod_schema;

/// A Pod template as JSON: `metadata` (labels and annotations) and `spec`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PodTemplate(pub Value);

impl JsonSchema for PodTemplate {
    fn schema_name() -> Cow<'static, str> {
        "PodTemplate".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        pod_schema::schema()
    }
}

/// A template of a claim as JSON: `metadata` (name, labels and annotations) and `spec`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClaimTemplate(pub Value);

impl ClaimTemplate {
    /// Its name, which is that of the volume in the Pods.
    pub fn name(&self) -> &str {
        let name = self.0.pointer("/metadata/name").and_then(Value::as_str);
        name.unwrap_or_default()
    }
}

impl JsonSchema for ClaimTemplate {
    fn schema_name() -> Cow<'static, str> {
        "ClaimTemplate".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        pod_schema::of_claims()
    }
}
