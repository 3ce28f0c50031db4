//! Who may get which Pods through a tree: the admission policies of the chart, the rights of the operator, and that it
//! is exempt from nothing.
//!
//! Rule: everybody asks a real API server as himself; what the policies are thought to mean is not asserted anywhere.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod accounts;
mod admission;
mod kit;
mod matrix;
mod opt_in;
mod policy;
mod rights;
mod scaling;
