//! The impure shell: watches the cluster, lets the core decide, and does what it says.
//!
//! Rule: `observe` is the only reader and `execute` the only writer of what concerns a tree; the client
//! and the clock are given, so that all of this runs over any API server and in any time.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::model::decide;
use crate::model::tally::Standing;
use crate::runtime::health::Health;
use crate::runtime::leader::{Elector, LeaderElection, Leadership};
use crate::runtime::metrics::{ApiMetrics, Metrics};

mod connection;
mod context;
mod driver;
mod error;
mod execute;
mod kinds;
mod memory;
mod notify;
mod observe;
mod queue;
mod reconcile;
mod release;
mod room;
mod store;
#[cfg(test)]
mod testing;
pub(crate) mod throttle;
mod views;
mod watches;
mod wire;

pub use connection::client;
pub use context::Clock;
pub use error::Error;
pub use release::{ReleaseError, ReleaseOptions, Released, release};
pub use store::ObjectKey;

use context::{Context, Decide};
use driver::Wake;
use watches::{Surroundings, Troubles};

/// The value of the label `controller` on the metrics.
pub const NAME: &str = "supervisiontree";

/// How often the state of the watches is reported.
const READINESS_INTERVAL: Duration = Duration::from_millis(500);
/// How often rollouts are counted.
const ROLLOUTS_INTERVAL: Duration = Duration::from_secs(5);

/// What can be chosen.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespaces whose trees are looked after; empty for all.
    pub namespaces: Vec<String>,
    /// How many trees are looked at side by side.
    pub concurrency: u16,
    /// The Lease whose holder works, when several operators may run; `None` for one that works in any case.
    pub election: Option<LeaderElection>,
    /// The `ClusterRole` that a namespace must bind to the operator before trees in it get Pods, where namespaces opt
    /// in; for messages only, because it is the API server that refuses.
    pub opt_in_role: Option<String>,
    /// Whether `ConfigMaps` are watched, so that a Pod that waits for one is replaced soon after it appears. Only their
    /// metadata is asked for; the right to do so covers their contents.
    pub watch_config_maps: bool,
}

/// Why the controller ended although nobody asked it to.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// Without it we would be blind.
    #[error("a watch ended, which it never does by itself: {0}")]
    Watch(String),
    /// Without it we would stand by for ever.
    #[error("the election ended, which it never does by itself: {0}")]
    Election(String),
}

/// Looks after all trees until `stop`. Then it begins no request for a tree any more, waits for those under way, for at
/// most 2.5 s, and gives the Lease back. While
/// another operator leads it knows all that there is to know and writes nothing. It ends when one of its watches or the
/// election panics.
pub async fn run(
    settings: &Settings,
    client: Client,
    clock: Clock,
    metrics: Metrics,
    health: &Health,
    stop: &CancellationToken,
) -> Result<(), Ended> {
    run_deciding(settings, client, clock, metrics, health, stop, decide).await
}

/// The same, with a given core.
pub(crate) async fn run_deciding(
    settings: &Settings,
    client: Client,
    clock: Clock,
    metrics: Metrics,
    health: &Health,
    stop: &CancellationToken,
    decide: Decide,
) -> Result<(), Ended> {
    metrics.reconcile.set_max_concurrent(settings.concurrency);
    let worked = CancellationToken::new();
    let (leadership, mut election) = elect(settings, &client, &clock, &metrics, health, &worked);
    let (notices, publisher) = notify::channel(client.clone(), clock.clone(), leadership.clone());
    let publisher = tokio::spawn(publisher.run());
    let context = Arc::new(Context {
        client: client.clone(),
        clock,
        views: views::SharedViews::default(),
        memories: memory::Memories::default(),
        notices,
        leadership: leadership.until(stop.clone()),
        metrics: metrics.clone(),
        decide,
        opt_in_role: settings.opt_in_role.clone(),
    });
    let wake = Wake::new(usize::from(settings.concurrency), metrics.queue.clone());
    let troubles = Troubles::default();
    let surroundings = Surroundings {
        client,
        views: context.views.clone(),
        wake: wake.clone(),
        metrics: metrics.api.clone(),
        troubles: troubles.clone(),
        config_maps: settings.watch_config_maps,
    };
    let mut watches = watches::start(&surroundings, &settings.namespaces);
    let heartbeat = health.heartbeat();
    let work = {
        let context = Arc::clone(&context);
        move |key| reconcile::reconcile(Arc::clone(&context), key)
    };
    let duties = async {
        tokio::join!(
            report_watches(&troubles, health, metrics.api.clone()),
            look_at_all_in_each_term(&context, &wake),
            count_rollouts(&context),
        );
    };
    let queue = wake.drive(work, &heartbeat, stop);
    let result = until_first(&mut watches, &mut election, duties, queue).await;
    drop(watches);
    drop(context);
    notify::drain(publisher).await;
    // Nobody here writes any more, so another operator may begin.
    worked.cancel();
    while election.join_next().await.is_some() {}
    tracing::info!("stopped");
    result
}

/// Waits until the queue has ended, or something has that must not. The queue comes last: it may be busy without a
/// pause, and then leaves nothing of what one poll may do to those after it. Those before it are hardly ever busy.
async fn until_first(
    watches: &mut JoinSet<()>,
    election: &mut JoinSet<()>,
    duties: impl Future<Output = ()>,
    queue: impl Future<Output = ()>,
) -> Result<(), Ended> {
    tokio::select! {
        biased;
        ended = watches.join_next() => Err(Ended::Watch(format!("{ended:?}"))),
        Some(ended) = election.join_next() => Err(Ended::Election(format!("{ended:?}"))),
        () = duties => Ok(()),
        () = queue => Ok(()),
    }
}

/// Competes for the Lease until all work is done, or leads without an election.
fn elect(
    settings: &Settings,
    client: &Client,
    clock: &Clock,
    metrics: &Metrics,
    health: &Health,
    worked: &CancellationToken,
) -> (Leadership, JoinSet<()>) {
    let mut tasks = JoinSet::new();
    let Some(election) = settings.election.clone() else {
        metrics.leader.alone();
        return (Leadership::alone(), tasks);
    };
    let (elector, leadership) = Elector::new(
        election,
        client.clone(),
        clock.clone(),
        metrics.leader.clone(),
        health.component("election"),
    );
    tasks.spawn(elector.run(worked.clone()));
    (leadership, tasks)
}

/// Wakes every known tree whenever we come to lead. What is listed later is woken by that.
async fn look_at_all_in_each_term(context: &Context, wake: &Wake) {
    let mut leadership = context.leadership.clone();
    let mut last = None;
    loop {
        last = Some(leadership.next_term(last).await);
        let trees = context.views.lock().all_trees();
        for tree in trees {
            wake.wake(tree);
        }
    }
}

fn report_watches(
    troubles: &Troubles,
    health: &Health,
    metrics: ApiMetrics,
) -> impl Future<Output = ()> {
    let readiness = health.component("watches");
    let troubles = troubles.clone();
    async move {
        loop {
            troubles.report(&readiness);
            for (kind, age) in troubles.ages() {
                metrics.set_view_age(kind, age);
            }
            tokio::time::sleep(READINESS_INTERVAL).await;
        }
    }
}

/// Counts how rollouts stand. Whoever does not lead counts none, so that the sum over all operators is right.
async fn count_rollouts(context: &Context) {
    loop {
        let standing = if context.leadership.term().is_some() {
            let views = context.views.lock();
            let trees = views.trees.iter();
            Standing::of(trees.filter_map(|(_, tree)| Some(&**tree.view.as_ref().ok()?)))
        } else {
            Standing::default()
        };
        let age = |began| context.now().duration_since(began).unsigned_abs();
        let oldest = standing.oldest.map_or(Duration::ZERO, age);
        let metrics = &context.metrics.rollouts;
        metrics.set_standing(standing.trees, oldest);
        tokio::time::sleep(ROLLOUTS_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A word that is not among those would not be served before its first count, and states go by their places.
    #[test]
    fn metrics_know_how_rollouts_end_and_stand() {
        use crate::model::tally::{RolloutOutcome, RolloutState};
        use crate::runtime::metrics::{ROLLOUT_OUTCOMES, ROLLOUT_STATES};
        assert_eq!(
            ROLLOUT_OUTCOMES,
            RolloutOutcome::ALL.map(RolloutOutcome::as_str)
        );
        assert_eq!(ROLLOUT_STATES, RolloutState::ALL.map(RolloutState::as_str));
        for (place, state) in RolloutState::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, place);
        }
    }

    /// A queue that takes all that one poll may do, for a very long time.
    async fn flood() {
        for _ in 0..1_000_000 {
            tokio::task::coop::consume_budget().await;
        }
    }

    #[tokio::test]
    async fn a_flood_starves_nobody() {
        let (mut watches, mut election) = (JoinSet::new(), JoinSet::new());
        watches.spawn(std::future::pending());
        let (tell, mut told) = tokio::sync::mpsc::channel(1);
        let (done, was_done) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            for number in 0..100 {
                tell.send(number).await.unwrap();
            }
        });
        let duties = async move {
            while told.recv().await.is_some() {}
            done.send(()).unwrap();
            std::future::pending::<()>().await;
        };
        election.spawn(async move {
            was_done.await.unwrap();
            panic!("on purpose");
        });
        let ended = until_first(&mut watches, &mut election, duties, flood()).await;
        assert!(matches!(ended, Err(Ended::Election(_))), "{ended:?}");
    }
}
