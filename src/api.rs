//! The Kubernetes API of Coppice: custom resources, labels, conditions and their reasons.
//!
//! Rule: this module holds types and their schemas only; it decides nothing and talks to nobody.

pub mod conditions;
pub mod crd;
pub mod labels;
pub mod v1alpha1;
