//! Metrics of what supervision did.
//!
//! Rule: no name of a tree, child or Pod is a label; who needs them reads status and Events.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use super::{Counters, Register};

/// Faults, restarts and supervisors that gave up.
#[derive(Clone, Debug)]
pub struct SupervisionMetrics {
    faults: Counters<2>,
    unidentified: Counter,
    restarts: Counters<1>,
    give_ups: Counter,
}

impl SupervisionMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let restarts = registry.counters(
            "coppice_restarts",
            "Restarts, by whether they were charged to a window",
        );
        // Served as zero from the start, so that the first restart is an increase.
        for charged in ["true", "false"] {
            drop(restarts.get_or_create(&[("charged", charged)]));
        }
        Self {
            faults: registry.counters(
                "coppice_faults",
                "Faults that were identified, by class and verdict",
            ),
            unidentified: registry.counter(
                "coppice_faults_unidentified",
                "Faults whose cause was not found",
            ),
            restarts,
            give_ups: registry.counter(
                "coppice_give_ups",
                "Times a supervisor exceeded its intensity",
            ),
        }
    }

    /// A fault of this class was identified, with this verdict.
    pub fn fault(&self, class: &'static str, verdict: &'static str) {
        self.faults
            .get_or_create(&[("class", class), ("verdict", verdict)])
            .inc();
    }

    /// The cause of a fault was not found.
    pub fn unidentified(&self) {
        self.unidentified.inc();
    }

    /// A restart was decided.
    pub fn restart(&self, charged: bool) {
        let charged = if charged { "true" } else { "false" };
        self.restarts.get_or_create(&[("charged", charged)]).inc();
    }

    /// A supervisor exceeded its intensity.
    pub fn gave_up(&self) {
        self.give_ups.inc();
    }
}
