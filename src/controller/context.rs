//! What a reconcile is given: client, clock, knowledge, and whom to tell.
//!
//! Rule: nothing here is global; tests put in a client and a clock of their own.

use std::sync::Arc;

use jiff::Timestamp;
use kube::Client;

use super::memory::Memories;
use super::notify::Notices;
use super::views::SharedViews;
use crate::runtime::metrics::Metrics;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What a reconcile is given.
pub(super) struct Context {
    pub(super) client: Client,
    pub(super) clock: Clock,
    pub(super) views: SharedViews,
    pub(super) memories: Memories,
    pub(super) notices: Notices,
    pub(super) metrics: Metrics,
    /// The `ClusterRole` that namespaces bind to opt in.
    pub(super) opt_in_role: Option<String>,
}

impl Context {
    /// The time now.
    pub(super) fn now(&self) -> Timestamp {
        (self.clock)()
    }
}
