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
