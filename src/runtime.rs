//! Process plumbing: logs, metrics, probes, the election of a leader and the end of the process.
//!
//! Rule: nothing here knows a kind of ours; it imports neither `api`, `model` nor `controller`, so
//! that it can be read, tested and replaced by itself.

pub mod health;
pub mod leader;
pub mod metrics;
pub mod server;
pub mod shutdown;
pub mod telemetry;

/// Tells the time of the wall clock.
pub type Clock = std::sync::Arc<dyn Fn() -> jiff::Timestamp + Send + Sync>;
