//! What `/livez` and `/readyz` answer.
//!
//! Rule: the process is live as long as its main loop turns, and ready only when every registered
//! component has said so; a fault of the cluster never makes the process "not live", because a
//! restart would not help.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Why a component is not ready, from its registration until it says something else.
const NOT_STARTED: &str = "not started yet";

/// The health of the process. Clones share one state.
#[derive(Clone, Debug)]
pub struct Health {
    state: Arc<Mutex<State>>,
    max_silence: Duration,
}

/// Says whether one component is ready. Clones speak for the same component.
#[derive(Clone, Debug)]
pub struct Readiness {
    component: &'static str,
    state: Arc<Mutex<State>>,
}

/// The pulse of the main loop.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    state: Arc<Mutex<State>>,
}

/// One line of `/readyz?verbose`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ComponentHealth {
    pub(crate) component: &'static str,
    /// `None` when ready, else why not.
    pub(crate) trouble: Option<String>,
}

#[derive(Debug)]
struct State {
    last_beat: Instant,
    troubles: BTreeMap<&'static str, Option<String>>,
}

impl Health {
    /// A process that is live, and that stays so while no two heartbeats are further apart than
    /// `max_silence`. The time before the first heartbeat counts too. It is not ready until a component
    /// has been registered and every registered one is ready.
    pub fn new(max_silence: Duration) -> Self {
        let state = State {
            last_beat: Instant::now(),
            troubles: BTreeMap::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            max_silence,
        }
    }

    /// Registers a component, which is not ready at first. Registering a name again resets it.
    pub fn component(&self, name: &'static str) -> Readiness {
        let readiness = Readiness {
            component: name,
            state: Arc::clone(&self.state),
        };
        readiness.not_ready(NOT_STARTED);
        readiness
    }

    /// The handle with which the main loop shows that it turns.
    pub fn heartbeat(&self) -> Heartbeat {
        Heartbeat {
            state: Arc::clone(&self.state),
        }
    }

    /// `None` when the main loop turns, else what is wrong.
    pub(crate) fn liveness_trouble(&self) -> Option<String> {
        let silence = lock(&self.state).last_beat.elapsed();
        (silence > self.max_silence).then(|| {
            format!(
                "the main loop has not turned for {} s, more than the {} s allowed",
                silence.as_secs(),
                self.max_silence.as_secs()
            )
        })
    }

    /// Every component by name, with its trouble.
    pub(crate) fn components(&self) -> Vec<ComponentHealth> {
        lock(&self.state)
            .troubles
            .iter()
            .map(|(&component, trouble)| ComponentHealth {
                component,
                trouble: trouble.clone(),
            })
            .collect()
    }
}

impl Readiness {
    /// The component works.
    pub fn ready(&self) {
        self.set(None);
    }

    /// The component does not work (yet); `why` is shown by `/readyz`.
    pub fn not_ready(&self, why: impl Into<String>) {
        self.set(Some(why.into()));
    }

    fn set(&self, trouble: Option<String>) {
        lock(&self.state).troubles.insert(self.component, trouble);
    }
}

impl Heartbeat {
    /// The main loop turned once more. It must also be called while there is nothing to do.
    pub fn beat(&self) {
        lock(&self.state).last_beat = Instant::now();
    }
}

/// A panic elsewhere must not silence the probes: the state is a set of independent values, so it is
/// whole whatever happened to the thread that held the lock.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn is_live_until_the_main_loop_is_silent_for_too_long() {
        let health = Health::new(Duration::from_secs(30));
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(health.liveness_trouble(), None);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(
            health.liveness_trouble().unwrap(),
            "the main loop has not turned for 31 s, more than the 30 s allowed"
        );
        health.heartbeat().beat();
        assert_eq!(health.liveness_trouble(), None);
    }

    #[tokio::test]
    async fn a_component_is_not_ready_until_it_says_so() {
        let health = Health::new(Duration::from_secs(30));
        assert_eq!(health.components(), vec![]);
        let watches = health.component("watches");
        let crds = health.component("crds");
        crds.ready();
        let seen = |health: &Health| {
            health
                .components()
                .into_iter()
                .map(|c| (c.component, c.trouble))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            seen(&health),
            [("crds", None), ("watches", Some("not started yet".into()))]
        );
        watches.ready();
        crds.not_ready("gone");
        assert_eq!(
            seen(&health),
            [("crds", Some("gone".into())), ("watches", None)]
        );
    }

    #[tokio::test]
    async fn survives_a_panic_under_the_lock() {
        let health = Health::new(Duration::from_secs(30));
        let state = Arc::clone(&health.state);
        let panicked = std::thread::spawn(move || {
            let _held = state.lock().unwrap();
            panic!("on purpose");
        });
        assert!(panicked.join().is_err());
        health.component("crds").ready();
        assert_eq!(health.components().len(), 1);
    }
}
