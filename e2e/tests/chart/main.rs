//! The Helm chart, rendered by the real Helm: what it makes, what it refuses, and that `manifests/install.yaml` is it.
//!
//! Rule: nothing here starts a cluster; what the rendered objects do is tested where there is one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod generated;
mod kit;
mod pods;
mod refused;
mod rights;
