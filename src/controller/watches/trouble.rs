//! What is wrong with the watches, for `/readyz` and the log.
//!
//! Rule: a watch that was never listed makes the process not ready at once, one that fails does so
//! after 30 s; each trouble is logged when it begins and when it ends, not at every retry.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::super::error::{Error, chain};
use crate::runtime::health::Readiness;

/// How long a watch may fail before the process is not ready.
const PATIENCE: Duration = Duration::from_secs(30);

/// The state of every watch. Clones share it.
#[derive(Clone, Debug, Default)]
pub(in crate::controller) struct Troubles(Arc<Mutex<BTreeMap<Name, State>>>);

/// Kind, and namespace where the watch has one.
type Name = (&'static str, Option<String>);

#[derive(Debug, Default)]
struct State {
    /// Whether there was a complete list once.
    loaded: bool,
    /// Whether the process can do without.
    tolerated: bool,
    failing: Option<(Instant, String)>,
}

impl Troubles {
    /// A watch begins.
    pub(super) fn begin(&self, kind: &'static str, scope: Option<&str>) {
        self.lock().insert(name(kind, scope), State::default());
    }

    /// A watch works (again).
    pub(super) fn works(&self, kind: &'static str, scope: Option<&str>) {
        let mut watches = self.lock();
        let state = watches.entry(name(kind, scope)).or_default();
        state.loaded = true;
        state.tolerated = false;
        if state.failing.take().is_some() {
            tracing::info!(kind, namespace = scope, "watching again");
        }
    }

    /// A watch failed.
    pub(super) fn failed(&self, kind: &'static str, scope: Option<&str>, error: &Error) {
        let mut watches = self.lock();
        let state = watches.entry(name(kind, scope)).or_default();
        let reason = explain(error);
        match &mut state.failing {
            Some((_, known)) if *known == reason => {}
            Some((_, known)) => {
                tracing::warn!(kind, namespace = scope, reason, "still not watching");
                *known = reason;
            }
            None => {
                tracing::warn!(kind, namespace = scope, reason, "not watching; will retry");
                state.failing = Some((Instant::now(), reason));
            }
        }
    }

    /// A watch is not allowed, and the process does without it. Returns whether that is news.
    pub(super) fn tolerated(&self, kind: &'static str) -> bool {
        let mut watches = self.lock();
        let state = watches.entry(name(kind, None)).or_default();
        state.failing = None;
        !std::mem::replace(&mut state.tolerated, true)
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
            Some((since, reason)) if !state.loaded || since.elapsed() > PATIENCE => {
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

    #[test]
    fn a_watch_that_the_process_can_do_without_is_no_trouble() {
        let troubles = Troubles::default();
        troubles.begin("Node", None);
        assert!(troubles.tolerated("Node"));
        assert!(!troubles.tolerated("Node"));
        assert!(troubles.lock().iter().find_map(State::trouble).is_none());
    }
}
