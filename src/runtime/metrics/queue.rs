//! Metrics of the queue of keys, under the names of controller-runtime.
//!
//! Rule: the queue tells what it did; nothing is computed here.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::Register;

/// The queue of keys that wait for a reconcile.
#[derive(Clone, Debug)]
pub struct QueueMetrics {
    depth: Gauge,
    adds: Counter,
    retries: Counter,
    waited_seconds: Histogram,
    worked_seconds: Histogram,
}

impl QueueMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        // The upper bounds of controller-runtime, without those below a microsecond.
        let seconds = || exponential_buckets(1e-6, 10.0, 10);
        Self {
            depth: registry.gauge("workqueue_depth", "Keys that wait now"),
            adds: registry.counter("workqueue_adds", "Keys that were added"),
            retries: registry.counter(
                "workqueue_retries",
                "Keys that were added again after a failure",
            ),
            waited_seconds: registry.histogram(
                "workqueue_queue_duration_seconds",
                "How long a key waited before its reconcile began",
                seconds(),
            ),
            worked_seconds: registry.histogram(
                "workqueue_work_duration_seconds",
                "How long a key was worked on",
                seconds(),
            ),
        }
    }

    /// How many keys wait now.
    pub fn set_depth(&self, keys: usize) {
        self.depth.set(i64::try_from(keys).unwrap_or(i64::MAX));
    }

    /// A key that did not wait was added.
    pub fn added(&self) {
        self.adds.inc();
    }

    /// A key was added again because its reconcile failed.
    pub fn retried(&self) {
        self.retries.inc();
    }

    /// A key was taken for a reconcile, after it had waited this long.
    pub fn taken(&self, waited: Duration) {
        self.waited_seconds.observe(waited.as_secs_f64());
    }

    /// The work on a key is over, after this long.
    pub fn worked(&self, took: Duration) {
        self.worked_seconds.observe(took.as_secs_f64());
    }
}
