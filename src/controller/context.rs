//! What a reconcile is given: client, clock, knowledge, and whom to tell.
//!
//! Rule: nothing here is global; tests put in a client and a clock of their own.

use jiff::Timestamp;
use kube::Client;

use super::memory::Memories;
use super::notify::Notices;
use super::views::SharedViews;
use crate::model::decision::Decision;
use crate::model::world::World;
pub use crate::runtime::Clock;
use crate::runtime::leader::Leadership;
use crate::runtime::metrics::Metrics;

/// The core: what to do, given what is seen.
pub(super) type Decide = fn(&World, Timestamp) -> Decision;

/// What a reconcile is given.
pub(super) struct Context {
    pub(super) client: Client,
    pub(super) clock: Clock,
    pub(super) views: SharedViews,
    pub(super) memories: Memories,
    pub(super) notices: Notices,
    /// Whether what is decided may be written.
    pub(super) leadership: Leadership,
    pub(super) metrics: Metrics,
    pub(super) decide: Decide,
    /// The `ClusterRole` that namespaces bind to opt in.
    pub(super) opt_in_role: Option<String>,
}

impl Context {
    /// The time now.
    pub(super) fn now(&self) -> Timestamp {
        (self.clock)()
    }
}
