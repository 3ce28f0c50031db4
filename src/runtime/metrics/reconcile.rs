//! Metrics of reconciles, under the names of controller-runtime.
//!
//! Rule: a reconcile that was started is counted exactly once, however it ends.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use super::{Counters, Register};

/// The upper bounds in seconds: those of controller-runtime, thinned out.
const SECONDS: [f64; 17] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 20.0, 30.0,
    60.0,
];

/// Reconciles: how many, how long, how they ended.
#[derive(Clone, Debug)]
pub struct ReconcileMetrics {
    by_result: Counters<1>,
    errors: Counter,
    panics: Counter,
    seconds: Histogram,
    active: Gauge,
    max_concurrent: Gauge,
}

/// How one reconcile ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconcileResult {
    /// Done, and nothing is due.
    Success,
    /// Done, and something is due at a known time.
    RequeueAfter,
    /// Failed, and tried again later.
    Error,
    /// Panicked, which also counts as failed.
    Panic,
}

/// A reconcile that runs. It counts as active until it is done or dropped; dropped without a result
/// (its future was cancelled at the end of the process), it has no other effect.
#[derive(Debug)]
#[must_use = "call `done` with the result"]
pub struct Reconcile {
    metrics: ReconcileMetrics,
    started: Instant,
}

impl ReconcileMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let by_result = registry.counters(
            "controller_runtime_reconcile",
            "Reconciles by result: success, requeue_after or error",
        );
        // Served as zero from the start, so that the first error is an increase.
        for result in ["success", "requeue_after", "error"] {
            drop(by_result.get_or_create(&[("result", result)]));
        }
        Self {
            by_result,
            errors: registry.counter(
                "controller_runtime_reconcile_errors",
                "Reconciles that failed, panics included",
            ),
            panics: registry.counter(
                "controller_runtime_reconcile_panics",
                "Reconciles that panicked",
            ),
            seconds: registry.histogram(
                "controller_runtime_reconcile_time_seconds",
                "How long a reconcile took",
                SECONDS,
            ),
            active: registry.gauge(
                "controller_runtime_active_workers",
                "Reconciles that run now",
            ),
            max_concurrent: registry.gauge(
                "controller_runtime_max_concurrent_reconciles",
                "How many reconciles may run at once",
            ),
        }
    }

    /// How many reconciles may run at once; said once, at the start.
    pub fn set_max_concurrent(&self, limit: u16) {
        self.max_concurrent.set(i64::from(limit));
    }

    /// A reconcile starts now.
    pub fn start(&self) -> Reconcile {
        self.active.inc();
        Reconcile {
            metrics: self.clone(),
            started: Instant::now(),
        }
    }
}

impl Reconcile {
    /// The reconcile is over.
    pub fn done(self, result: ReconcileResult) {
        let metrics = &self.metrics;
        metrics
            .by_result
            .get_or_create(&[("result", result.as_str())])
            .inc();
        metrics
            .seconds
            .observe(self.started.elapsed().as_secs_f64());
        if matches!(result, ReconcileResult::Error | ReconcileResult::Panic) {
            metrics.errors.inc();
        }
        if result == ReconcileResult::Panic {
            metrics.panics.inc();
        }
    }
}

impl Drop for Reconcile {
    fn drop(&mut self) {
        self.metrics.active.dec();
    }
}

impl ReconcileResult {
    fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::RequeueAfter => "requeue_after",
            Self::Error | Self::Panic => "error",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus_client::encoding::text::encode;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn is_active_while_it_runs_and_counted_once() {
        let mut registry = Registry::default();
        let metrics = ReconcileMetrics::register(&mut registry);
        let first = metrics.start();
        let cancelled = metrics.start();
        assert_eq!(metrics.active.get(), 2);
        tokio::time::advance(Duration::from_secs(3)).await;
        first.done(ReconcileResult::Panic);
        drop(cancelled);
        assert_eq!(metrics.active.get(), 0);
        assert_eq!((metrics.errors.get(), metrics.panics.get()), (1, 1));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        assert!(
            text.contains("controller_runtime_reconcile_time_seconds_count 1\n"),
            "{text}"
        );
        assert!(
            text.contains("controller_runtime_reconcile_time_seconds_sum 3.0\n"),
            "{text}"
        );
    }
}
