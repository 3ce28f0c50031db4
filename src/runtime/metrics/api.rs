//! Metrics of the traffic with the API server.
//!
//! Rule: kinds and verbs are words of this program, never taken from an answer.

use std::time::Duration;

use prometheus_client::registry::Registry;

use super::{Counters, Gauges, Register};

/// Requests to the API server, and watches that broke.
#[derive(Clone, Debug)]
pub struct ApiMetrics {
    requests: Counters<3>,
    watch_errors: Counters<1>,
    stale_reads: Counters<2>,
    rereads: Counters<2>,
    view_age: Gauges<1>,
}

impl ApiMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        Self {
            requests: registry.counters(
                "coppice_api_requests",
                "Requests to the API server by verb, kind and result; watches are not among them",
            ),
            watch_errors: registry.counters(
                "coppice_watch_errors",
                "Times a watch broke and was begun again, by kind",
            ),
            stale_reads: registry.counters(
                "coppice_stale_reads",
                "Times a watch or list told something older than our own write, which was not believed",
            ),
            rereads: registry.counters(
                "coppice_rereads",
                "Requests that a decision waited for because what was known could be older than the last write",
            ),
            view_age: registry.gauges(
                "coppice_view_age_seconds",
                "Seconds since the API server last confirmed what is known of a kind",
            ),
        }
    }

    /// A request ended. `result` is one word: `ok`, or what went wrong.
    pub fn request(&self, verb: &'static str, kind: &'static str, result: &'static str) {
        self.requests
            .get_or_create(&[("verb", verb), ("kind", kind), ("result", result)])
            .inc();
    }

    /// A watch or a list told so many things that were older than an answer to a request of ours.
    pub fn not_believed(&self, kind: &'static str, source: &'static str, times: u64) {
        if times > 0 {
            self.stale_reads
                .get_or_create(&[("kind", kind), ("source", source)])
                .inc_by(times);
        }
    }

    /// A decision had to wait for a read, because of `reason`.
    pub fn reread(&self, kind: &'static str, reason: &'static str) {
        self.rereads
            .get_or_create(&[("kind", kind), ("reason", reason)])
            .inc();
    }

    /// How long ago the API server last confirmed what is known of a kind.
    pub fn set_view_age(&self, kind: &'static str, age: Duration) {
        let seconds = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
        self.view_age.get_or_create(&[("kind", kind)]).set(seconds);
    }

    /// A watch broke.
    pub fn watch_error(&self, kind: &'static str) {
        self.watch_errors.get_or_create(&[("kind", kind)]).inc();
    }
}
