//! What is wrong with the watches, and how old a view may be, for `/readyz`, the metrics and the log.
//!
//! Rule: a watch that was never listed makes the process not ready at once, one that fails does so when the API server
//! has not confirmed the view for 20 s; each trouble is logged when it begins and when it ends, not at every retry.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::super::error::{Error, chain};
use crate::runtime::health::Readiness;

/// How old a view may be whose watch fails, before the process is not ready. A watch that went dead is found later than
/// that, so it makes the process not ready as soon as it is found.
const PATIENCE: Duration = Duration::from_secs(20);

/// The state of every watch. Clones share it.
#[derive(Clone, Debug, Default)]
pub(in crate::controller) struct Troubles(Arc<Mutex<BTreeMap<Name, State>>>);

/// How long a watch may be refused before its trees are told. An API server that has just started refuses everybody for
/// a moment.
const REFUSED_FOR: Duration = Duration::from_secs(30);

/// Kind, and namespace where the watch has one.
type Name = (&'static str, Option<String>);

#[derive(Debug)]
struct State {
    /// Whether there was a complete list once.
    loaded: bool,
    /// Whether the process can do without.
    tolerated: bool,
    /// When the API server last confirmed the view: by a list, or by the beginning or the end of a watch.
    confirmed: Instant,
    failing: Option<String>,
    /// Since when the API server refuses it.
    refused: Option<Instant>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            loaded: false,
            tolerated: false,
            confirmed: Instant::now(),
            failing: None,
            refused: None,
        }
    }
}

impl Troubles {
    /// A watch begins.
    pub(super) fn begin(&self, kind: &'static str, scope: Option<&str>) {
        self.lock().insert(name(kind, scope), State::default());
    }

    /// Everything was listed, which says nothing about watching.
    pub(super) fn listed(&self, kind: &'static str, scope: Option<&str>) {
        let mut watches = self.lock();
        let state = watches.entry(name(kind, scope)).or_default();
        state.loaded = true;
        state.tolerated = false;
        state.confirmed = Instant::now();
    }

    /// A watch works (again).
    pub(super) fn works(&self, kind: &'static str, scope: Option<&str>) {
        let mut watches = self.lock();
        let state = watches.entry(name(kind, scope)).or_default();
        state.loaded = true;
        state.tolerated = false;
        state.confirmed = Instant::now();
        state.refused = None;
        if state.failing.take().is_some() {
            tracing::info!(kind, namespace = scope, "watching again");
        }
    }

    /// A watch failed. Returns why, when it has been refused for so long that its trees must be told.
    pub(super) fn failed(
        &self,
        kind: &'static str,
        scope: Option<&str>,
        error: &Error,
    ) -> Option<String> {
        let mut watches = self.lock();
        let state = watches.entry(name(kind, scope)).or_default();
        let reason = explain(error);
        state.refused = match state.refused {
            // A kind that is not there is no kind that may be watched.
            _ if !error.is_refusal() && !error.is_not_found() => None,
            None => Some(Instant::now()),
            since => since,
        };
        let told = state
            .refused
            .is_some_and(|since| since.elapsed() >= REFUSED_FOR);
        let told = told.then(|| reason.clone());
        match &mut state.failing {
            Some(known) if *known == reason => {}
            Some(known) => {
                tracing::warn!(kind, namespace = scope, reason, "still not watching");
                *known = reason;
            }
            None => {
                tracing::warn!(kind, namespace = scope, reason, "not watching; will retry");
                state.failing = Some(reason);
            }
        }
        told
    }

    /// A watch is not allowed, and the process does without it. Returns whether that is news.
    pub(super) fn tolerated(&self, kind: &'static str, scope: Option<&str>) -> bool {
        let mut watches = self.lock();
        let state = watches.entry(name(kind, scope)).or_default();
        state.failing = None;
        !std::mem::replace(&mut state.tolerated, true)
    }

    /// How old the view of each kind may be; where a kind has several watches, the oldest.
    pub(in crate::controller) fn ages(&self) -> BTreeMap<&'static str, Duration> {
        let mut ages = BTreeMap::new();
        for ((kind, _), state) in self.lock().iter().filter(|(_, state)| !state.tolerated) {
            let oldest: &mut Duration = ages.entry(*kind).or_default();
            *oldest = state.confirmed.elapsed().max(*oldest);
        }
        ages
    }

    /// Says to `/readyz` how the watches are.
    pub(in crate::controller) fn report(&self, readiness: &Readiness) {
        let watches = self.lock();
        let troubles: Vec<String> = watches.iter().filter_map(State::trouble).collect();
        if watches.is_empty() || !troubles.is_empty() {
            readiness.not_ready(troubles.join("; "));
        } else {
            readiness.ready();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Name, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn trouble((name, state): (&Name, &Self)) -> Option<String> {
        let (kind, scope) = name;
        let within = scope
            .as_deref()
            .map(|scope| format!(" in {scope}"))
            .unwrap_or_default();
        match &state.failing {
            Some(reason) if !state.loaded || state.confirmed.elapsed() > PATIENCE => {
                Some(format!("{kind}{within}: {reason}"))
            }
            None if !state.loaded && !state.tolerated => {
                Some(format!("{kind}{within}: not listed yet"))
            }
            _ => None,
        }
    }
}

fn name(kind: &'static str, scope: Option<&str>) -> Name {
    (kind, scope.map(str::to_owned))
}

/// A kind of ours that is not found has not been installed yet, which deserves plain words.
fn explain(error: &Error) -> String {
    if error.is_not_found() {
        "CRDs are not installed".to_owned()
    } else {
        chain(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::health::Health;

    fn not_found() -> Error {
        let status = kube::core::Status {
            code: 404,
            ..kube::core::Status::default()
        };
        Error::api("list", "Worker", "", kube::Error::Api(Box::new(status)))
    }

    fn timeout() -> Error {
        Error::Timeout {
            verb: "watch",
            kind: "Pod",
            object: String::new(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn is_ready_when_everything_was_listed_and_nothing_fails_for_long() {
        let health = Health::new(Duration::from_mins(1));
        let readiness = health.component("watches");
        let troubles = Troubles::default();
        let trouble = || {
            troubles.report(&readiness);
            health.components().remove(0).trouble
        };
        troubles.begin("Worker", None);
        troubles.begin("Pod", Some("ns"));
        assert_eq!(
            trouble().unwrap(),
            "Pod in ns: not listed yet; Worker: not listed yet"
        );
        troubles.failed("Worker", None, &not_found());
        troubles.works("Pod", Some("ns"));
        assert_eq!(trouble().unwrap(), "Worker: CRDs are not installed");
        troubles.works("Worker", None);
        assert_eq!(trouble(), None);
        troubles.failed("Pod", Some("ns"), &timeout());
        tokio::time::advance(PATIENCE).await;
        assert_eq!(trouble(), None);
        tokio::time::advance(Duration::from_secs(1)).await;
        troubles.failed("Pod", Some("ns"), &timeout());
        assert!(
            trouble()
                .unwrap()
                .starts_with("Pod in ns: could not watch Pod")
        );
        troubles.works("Pod", Some("ns"));
        assert_eq!(trouble(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_view_of_a_kind_counts() {
        let troubles = Troubles::default();
        troubles.begin("Pod", Some("a"));
        troubles.begin("Pod", Some("b"));
        troubles.begin("Node", None);
        tokio::time::advance(Duration::from_secs(7)).await;
        troubles.works("Pod", Some("b"));
        troubles.tolerated("Node", None);
        let expected = BTreeMap::from([("Pod", Duration::from_secs(7))]);
        assert_eq!(troubles.ages(), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn trees_are_told_when_a_watch_is_refused_for_long() {
        let troubles = Troubles::default();
        let failed = |error| troubles.failed("Worker", None, &error);
        assert_eq!(failed(not_found()), None);
        tokio::time::advance(REFUSED_FOR).await;
        troubles.listed("Worker", None);
        assert_eq!(failed(not_found()).unwrap(), "CRDs are not installed");
        assert_eq!(failed(timeout()), None, "nobody has refused that");
        assert_eq!(failed(not_found()), None, "the time begins anew");
    }

    #[test]
    fn a_watch_that_the_process_can_do_without_is_no_trouble() {
        let troubles = Troubles::default();
        troubles.begin("Node", None);
        assert!(troubles.tolerated("Node", None));
        assert!(!troubles.tolerated("Node", None));
        assert!(troubles.lock().iter().find_map(State::trouble).is_none());
    }
}
