//! What the cluster does to the operator: silence, refusals, hangs, outages, foreign hands; and what may not come of it.
//!
//! Rule: every test has a namespace, an operator and a door to the API server of its own, so that they run side by side
//! on one cluster of simulated nodes; a test that kills the API server has a cluster of its own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod again;
mod dark;
mod errors;
mod expired;
mod kit;
mod late;
mod outage;
mod refused;
mod rejected;
mod revoked;
mod storm;
#[path = "../crash/story.rs"]
mod story;
#[path = "../cluster/support.rs"]
mod support;
mod tampered;
mod trees;
mod witness;
