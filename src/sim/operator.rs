//! The operators of a run: the whole controller, as it is, over a connection that can be cut.
//!
//! Rule: an operator that died left nothing behind but what the API server holds.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::network::Link;
use super::plan::{Mistake, Plan};
use super::run::{LEASE, OPERATORS};
use super::world::Shared;
use crate::controller::{self, Settings};
use crate::model;
use crate::model::decision::{Decision, Write};
use crate::model::pod::PodView;
use crate::model::world::World;
use crate::runtime::health::Health;
use crate::runtime::leader::{LeaderElection, Timing};
use crate::runtime::metrics::Metrics;

/// An operator that runs.
pub(super) struct Operator {
    link: Link,
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Operator {
    /// Starts an operator with that number.
    pub(super) fn start(shared: &Shared, number: usize, plan: &Plan) -> Self {
        let link = Link::new(shared.clone(), number);
        let client = link.client();
        let stop = CancellationToken::new();
        let settings = Settings {
            namespaces: Vec::new(),
            concurrency: 4,
            election: plan.elects.then(|| election(shared, number)),
            opt_in_role: None,
        };
        let clock = {
            let shared = shared.clone();
            Arc::new(move || shared.now())
        };
        let decide = decide_with(plan.mistake);
        let task = {
            let stop = stop.clone();
            tokio::spawn(async move {
                let metrics = Metrics::new(controller::NAME);
                let health = Health::new(Duration::from_secs(30));
                let ended = controller::run_deciding(
                    &settings, client, clock, metrics, &health, &stop, decide,
                );
                // It ends when it is asked to; a watch that ended is a panic, which the run shows.
                drop(ended.await);
            })
        };
        Self { link, task, stop }
    }

    /// Ends at once, as with SIGKILL.
    pub(super) fn kill(self) {
        self.link.cut();
        self.task.abort();
    }

    /// Ends in order, as with SIGTERM.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        drop(self.task.await);
        self.link.cut();
    }
}

/// The Lease that operators compete for. Every life of an operator is another candidate.
fn election(shared: &Shared, number: usize) -> LeaderElection {
    LeaderElection {
        namespace: OPERATORS.to_owned(),
        name: LEASE.to_owned(),
        identity: format!("operator-{number} since {}", shared.now()),
        timing: Timing::default(),
    }
}

type Decide = fn(&World, Timestamp) -> Decision;

/// The core, or the core with a mistake.
fn decide_with(mistake: Option<Mistake>) -> Decide {
    match mistake {
        Some(Mistake::ActBeforeIntent) => |world, now| {
            let mut decision = model::decide(world, now);
            decision.tree_intent = false;
            decision.worker_intents.clear();
            decision
        },
        Some(Mistake::CountTwice) => |world, now| {
            let mut decision = model::decide(world, now);
            for supervisor in &mut decision.tree_status.supervisors {
                let old = world
                    .tree
                    .status
                    .supervisors
                    .iter()
                    .find(|old| old.name == supervisor.name);
                for charge in &mut supervisor.charges {
                    let had = old
                        .and_then(|old| old.charges.iter().find(|had| had.child == charge.child))
                        .map_or(0, |had| had.times.len());
                    if charge.times.len() > had {
                        charge.times.extend(charge.times.last().cloned());
                    }
                }
            }
            decision
        },
        Some(Mistake::ForgetDelay) => |world, now| {
            let later = now + SignedDuration::from_hours(1);
            let mut impatient = world.clone();
            for supervisor in &mut Arc::make_mut(&mut impatient.tree).status.supervisors {
                supervisor.backoff.clear();
                supervisor.gave_up.iter_mut().for_each(|gave_up| {
                    gave_up.retry_time = gave_up
                        .retry_time
                        .as_ref()
                        .map(|_| model::window::api_time(now));
                });
            }
            for worker in impatient.workers.values_mut() {
                for slot in &mut Arc::make_mut(&mut worker.status).slots {
                    slot.due_time = None;
                }
            }
            let mut decision = model::decide(&impatient, now);
            decision.wake_at = decision.wake_at.map(|at| at.min(later));
            decision
        },
        Some(Mistake::RetryWhatIsStopped) => |world, now| {
            let mut decision = model::decide(world, now);
            let records = decision.tree_status.supervisors.iter_mut();
            for entry in records.flat_map(|record| &mut record.gave_up) {
                let soon = model::window::api_time(now + SignedDuration::from_secs(60));
                entry.retry_time.get_or_insert(soon);
            }
            decision
        },
        Some(Mistake::ForgetCount) => |world, now| {
            let mut decision = model::decide(world, now);
            decision.tree_status.restarts = world.tree.status.restarts;
            decision
        },
        Some(Mistake::ForgetPatience) => |world, now| {
            let mut decision = model::decide(world, now);
            let nodes = world.nodes.iter().flatten();
            let lost: BTreeSet<&String> = nodes
                .filter(|(_, node)| node.evicting)
                .map(|(name, _)| name)
                .collect();
            let pods = world.workers.values().flat_map(|worker| &worker.pods);
            let is_lost = |pod: &&Arc<PodView>| {
                !pod.is_deleting() && pod.node.as_ref().is_some_and(|node| lost.contains(node))
            };
            let deletes = pods.filter(is_lost).map(|pod| Write::DeletePod {
                child: pod.child.clone(),
                name: pod.name.clone(),
                uid: pod.uid.clone(),
                resource_version: Some(pod.resource_version.clone()),
                why: "a mistake",
            });
            decision.writes.extend(deletes);
            decision
        },
        Some(Mistake::InheritHistory) => |world, now| {
            let mut decision = model::decide(world, now);
            if world.tree.status.supervisors.is_empty() {
                decision.tree_status.restarts += 1;
            }
            decision
        },
        _ => model::decide,
    }
}
