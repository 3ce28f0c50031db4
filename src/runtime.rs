//! Process plumbing: logs, metrics, probes and the end of the process.
//!
//! Rule: nothing here knows a kind of ours; it imports neither `api`, `model` nor `controller`, so
//! that it can be read, tested and replaced by itself.

pub mod health;
pub mod metrics;
pub mod server;
pub mod shutdown;
pub mod telemetry;
