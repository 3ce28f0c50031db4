//! Metrics of rollouts.
//!
//! Rule: they are of all trees together; how far one tree is stands in its status.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Counters, Gauges, Register};

/// How a rollout ends.
pub const ROLLOUT_OUTCOMES: [&str; 4] = ["proved", "rolled_back", "failed", "superseded"];
/// How a rollout stands.
pub const ROLLOUT_STATES: [&str; 5] = ["updating", "paused", "proving", "failed", "rolled_back"];

/// The upper bounds in seconds: from what a few small Pods take to what a large tree does.
const SECONDS: [f64; 11] = [
    5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0, 7200.0, 21600.0,
];

/// Rollouts: how many began, how they ended and how long they took, and how they stand.
#[derive(Clone, Debug)]
pub struct RolloutMetrics {
    started: Counter,
    ended: Counters<1>,
    seconds: Histogram,
    trees: Gauges<1>,
    oldest_seconds: Gauge,
}

impl RolloutMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let ended = registry.counters(
            "coppice_rollouts_ended",
            "Rollouts that ended, by outcome: proved, rolled_back, failed or superseded",
        );
        // Served as zero from the start, so that the first one is an increase.
        for outcome in ROLLOUT_OUTCOMES {
            drop(ended.get_or_create(&[("outcome", outcome)]));
        }
        let metrics = Self {
            started: registry.counter(
                "coppice_rollouts_started",
                "Rollouts of a revision that was not proved before which began",
            ),
            ended,
            seconds: registry.histogram(
                "coppice_rollout_duration_seconds",
                "How long rollouts that were proved took until all replicas were updated and available",
                SECONDS,
            ),
            trees: registry.gauges(
                "coppice_rollouts",
                "Trees by the state of their rollout: updating, paused, proving, failed or rolled_back",
            ),
            oldest_seconds: registry.gauge(
                "coppice_rollout_oldest_seconds",
                "Seconds since the oldest rollout began that is updating, with its pauses; 0 when none is",
            ),
        };
        metrics.set_standing([0; ROLLOUT_STATES.len()], Duration::ZERO);
        metrics
    }

    /// A rollout began.
    pub fn started(&self) {
        self.started.inc();
    }

    /// A rollout ended; one that was proved had updated everything after so many seconds.
    pub fn ended(&self, outcome: &'static str, took: Option<i64>) {
        self.ended.get_or_create(&[("outcome", outcome)]).inc();
        if let Some(took) = took.and_then(|took| u32::try_from(took).ok()) {
            self.seconds.observe(f64::from(took));
        }
    }

    /// How many trees are in each state, in the order of [`ROLLOUT_STATES`], and how long ago the oldest rollout began
    /// that is updating.
    pub fn set_standing(&self, trees: [u32; ROLLOUT_STATES.len()], oldest: Duration) {
        for (state, count) in ROLLOUT_STATES.into_iter().zip(trees) {
            self.trees
                .get_or_create(&[("state", state)])
                .set(i64::from(count));
        }
        let seconds = i64::try_from(oldest.as_secs()).unwrap_or(i64::MAX);
        self.oldest_seconds.set(seconds);
    }
}
