//! Disruption budgets from the wire.
//!
//! Rule: of a budget is read whose it is and what it asks for; what its status counts is nobody's business here.

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use serde::Deserialize;

use super::{ObjectMeta, SlimMetadata, or_default};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Shape {
    metadata: SlimMetadata,
    #[serde(deserialize_with = "or_default")]
    spec: PodDisruptionBudgetSpec,
}

/// A disruption budget as it is watched.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Shape")]
pub(in crate::controller) struct DisruptionBudget {
    metadata: ObjectMeta,
    /// What it asks for.
    pub(in crate::controller) spec: PodDisruptionBudgetSpec,
}

impl From<Shape> for DisruptionBudget {
    fn from(shape: Shape) -> Self {
        Self {
            metadata: shape.metadata.into(),
            spec: shape.spec,
        }
    }
}

addressed!(
    DisruptionBudget,
    PodDisruptionBudget,
    NamespaceResourceScope
);
