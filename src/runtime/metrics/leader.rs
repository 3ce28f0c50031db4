//! Metrics of the election.
//!
//! Rule: the gauge has the name that client-go gives it, so that existing alerts work.

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Counters, Register, label};

/// Whether this process leads, and how often that changed.
#[derive(Clone, Debug)]
pub struct LeaderMetrics {
    leads: Gauge,
    changes: Counters<1>,
}

impl LeaderMetrics {
    pub(super) fn register(registry: &mut Registry, name: &'static str) -> Self {
        let leads = registry.sub_registry_with_label(label("name", name)).gauge(
            "leader_election_master_status",
            "Whether this process leads: 1 when it does, else 0",
        );
        let changes = registry.counters(
            "coppice_leadership_changes",
            "Times this process began or ceased to lead",
        );
        for change in ["acquired", "lost"] {
            drop(changes.get_or_create(&[("change", change)]));
        }
        Self { leads, changes }
    }

    /// The process leads, without an election.
    pub fn alone(&self) {
        self.leads.set(1);
    }

    /// The process began to lead.
    pub fn acquired(&self) {
        self.leads.set(1);
        self.changes.get_or_create(&[("change", "acquired")]).inc();
    }

    /// The process ceased to lead, whether it wanted to or not.
    pub fn lost(&self) {
        self.leads.set(0);
        self.changes.get_or_create(&[("change", "lost")]).inc();
    }
}
