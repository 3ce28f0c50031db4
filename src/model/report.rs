//! The status that people read: conditions, counts and the budget.
//!
//! Rule: the same situation gives the same text, so that nothing is written when nothing changed.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::conditions::{Reason, types};
use crate::api::v1alpha1::{OperationKind, SupervisionTreeStatus};

use super::engine::{Engine, Mode};
use super::judge::cut;
use super::names;
use super::pod::PodView;
use super::replica::{Life, SlotView};
use super::supervise::SETTLED_SECONDS;
use super::tree::{Leaf, NodeId, SpecError};
use super::window::{after, api_time, seconds_between};
use super::world::World;

/// Longest message of a condition, in bytes.
const MESSAGE_BYTES: usize = 1024;

/// How much a situation asks of people, from nothing to a lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// Everything is as the spec asks.
    Fine,
    /// Coppice is at work, or waits for something that it expects.
    Working,
    /// A person should look.
    Fault,
    /// Coppice has given up on a part of the tree, or cannot carry out the spec.
    GivenUp,
}

/// One thing that is going on.
#[derive(Clone, Debug)]
struct Situation {
    weight: Weight,
    reason: Reason,
    message: String,
}

/// The status of a tree whose spec cannot be carried out: nothing else changes.
pub(super) fn refused(world: &World, error: &SpecError, now: jiff::Timestamp) -> SupervisionTreeStatus {
    let mut status = world.tree.status.clone();
    status.observed_generation = world.tree.generation;
    let situation = Situation {
        weight: Weight::GivenUp,
        reason: Reason::InvalidSpec,
        message: format!("{error}. Nothing is changed until the spec is"),
    };
    set_conditions(&mut status, world.tree.generation, &situation, false, now);
    status
}

impl Engine<'_> {
    /// Brings everything that people read up to date.
    pub(super) fn report(&mut self) {
        self.report_workers();
        let situations = self.situations();
        let leaves: Vec<(NodeId, bool)> = self
            .tree
            .leaves()
            .map(|(id, leaf)| (id, self.quorum_is_up(id, leaf)))
            .collect();
        let ready = leaves.iter().all(|(id, up)| *up || !self.is_enabled(*id)) && !self.world.tree.deleting;
        let main = main_situation(situations);
        let budget = self.budget();
        // A crash between the write of a Worker and that of its tree must not lose a death for good.
        let restarts = self.memory.workers.values().map(|worker| worker.restarts).sum();
        let status = &mut self.memory.tree;
        status.restarts = status.restarts.max(restarts);
        status.observed_generation = self.world.tree.generation;
        status.workers = count(leaves.len());
        status.up = count(leaves.iter().filter(|(_, up)| *up).count());
        status.budget = budget;
        set_conditions(status, self.world.tree.generation, &main, ready, self.now);
    }

    fn report_workers(&mut self) {
        for (id, _) in self.tree.leaves().collect::<Vec<_>>() {
            let lives = self.lives(id);
            let Some(worker) = self.worker(id) else {
                continue;
            };
            let live = worker.pods.iter().filter(|pod| !pod.is_deleting() && !pod.is_terminal());
            let replicas = count(live.count());
            let name = self.tree.nodes[id].name;
            if let Some(status) = self.memory.workers.get_mut(name) {
                status.observed_generation = worker.generation;
                status.replicas = replicas;
                status.up = count(lives.iter().filter(|(_, life)| life.up).count());
                status.selector = names::selector(&self.world.tree.name, name);
            }
        }
    }

    /// Whether a quorum of the worker is up on the present template.
    fn quorum_is_up(&self, id: NodeId, leaf: &Leaf<'_>) -> bool {
        let up = self
            .lives(id)
            .iter()
            .filter(|(view, life)| life.up && !is_outdated(view, leaf))
            .count();
        self.worker(id).is_some() && self.mode(id) != Mode::Down && up >= self.quorum(id, leaf)
    }

    fn situations(&mut self) -> Vec<Situation> {
        let mut all = Vec::new();
        if self.world.tree.deleting {
            all.push(working(Reason::Stopping, "the tree is being deleted; its Pods stop in order".to_owned()));
            return all;
        }
        for id in self.tree.supervisors().collect::<Vec<_>>() {
            if self.is_enabled(id) {
                self.supervisor_situations(id, &mut all);
            }
        }
        for (id, leaf) in self.tree.leaves().collect::<Vec<_>>() {
            if !self.is_enabled(id) {
                if !self.has_stopped(id) {
                    all.push(working(Reason::Stopping, format!("{} is disabled and being stopped", self.name(id))));
                }
                continue;
            }
            match self.worker(id) {
                None => self.missing_worker(id, &mut all),
                Some(_) => self.worker_situations(id, leaf, &mut all),
            }
        }
        let removed = self
            .world
            .workers
            .keys()
            .filter(|child| self.tree.find(child).is_none_or(|id| self.tree.leaf(id).is_none()));
        all.extend(removed.map(|child| {
            working(Reason::Stopping, format!("{child} was removed and is being stopped"))
        }));
        if all.is_empty() {
            all.push(self.fine());
        }
        all
    }

    fn fine(&self) -> Situation {
        let workers = self.tree.leaves().count();
        let enabled = self.tree.leaves().filter(|(id, _)| self.is_enabled(*id)).count();
        let (reason, message) = match (workers, enabled) {
            (0, _) => (Reason::NoChildren, "the tree has no workers".to_owned()),
            (_, 0) => (Reason::AllDisabled, "every worker is disabled and stopped".to_owned()),
            (_, 1) => (Reason::AllUp, "its worker is up".to_owned()),
            (_, n) => (Reason::AllUp, format!("all {n} workers are up")),
        };
        Situation { weight: Weight::Fine, reason, message }
    }

    fn supervisor_situations(&mut self, id: NodeId, all: &mut Vec<Situation>) {
        let name = self.name(id);
        let Some(record) = self.memory.supervisor(name).cloned() else {
            return;
        };
        for entry in &record.gave_up {
            let scope = if entry.child.is_empty() { Some(id) } else { self.tree.find(&entry.child) };
            let Some(scope) = scope.filter(|scope| self.is_enabled(*scope)) else {
                continue;
            };
            if !entry.waiting && self.alive_for(scope, SETTLED_SECONDS) {
                continue;
            }
            let next = match (&entry.retry_time, entry.waiting) {
                (Some(time), true) => format!("tried again at {}, or by `retryAt` or an edit of its template", time.0),
                (None, true) => "stays stopped until `retryAt` or an edit of a template".to_owned(),
                (_, false) => "being tried again".to_owned(),
            };
            all.push(Situation {
                weight: Weight::GivenUp,
                reason: Reason::GaveUp,
                message: format!("{name} gave up on {}: {}; {next}", self.name(scope), entry.message),
            });
        }
        let stopping = record.operation.filter(|o| o.kind == OperationKind::GiveUp);
        if let Some(operation) = stopping.filter(|_| self.mode(id) == Mode::Up) {
            all.push(working(
                Reason::Restarting,
                format!("{name} gave up and is being stopped, then restarted: {}", operation.message),
            ));
        }
    }

    fn missing_worker(&mut self, id: NodeId, all: &mut Vec<Situation>) {
        let name = self.name(id);
        match self.memory.tree.refused.iter().find(|r| r.child == name).cloned() {
            None => all.push(working(Reason::Starting, format!("{name} is being set up"))),
            Some(refused) => {
                let reason = reason_of(&refused.reason);
                let message = format!("the Worker of {name} cannot be created: {}", refused.message);
                let since = refused.since_time.0;
                all.push(self.held(reason, since, message));
            }
        }
    }

    /// A hold is work in progress for half a minute, then a person should look. A name that somebody
    /// else holds will not come free by itself.
    fn held(&mut self, reason: Reason, since: jiff::Timestamp, message: String) -> Situation {
        let patient = reason != Reason::NameCollision
            && seconds_between(since, self.now) < SETTLED_SECONDS;
        if patient {
            self.wake(after(since, SETTLED_SECONDS));
        }
        let weight = if patient { Weight::Working } else { Weight::Fault };
        Situation { weight, reason, message }
    }

    fn worker_situations(&mut self, id: NodeId, leaf: &Leaf<'_>, all: &mut Vec<Situation>) {
        let name = self.name(id);
        if self.mode(id) == Mode::Down {
            // The supervisor that gave up speaks for it.
            if !self.has_stopped(id) {
                all.push(working(Reason::Stopping, format!("{name} is being stopped")));
            }
            return;
        }
        let held = self.mode(id) == Mode::Held;
        for (view, life) in self.lives(id) {
            self.slot_situation(id, leaf, &view, life, held, all);
        }
        let Some(replicas) = self.replicas.get(&id) else {
            return;
        };
        if replicas.surplus.iter().chain(&replicas.misfits).any(|pod| !pod.is_terminal()) {
            all.push(working(Reason::Scaling, format!("surplus replicas of {name} are being stopped")));
        }
    }

    fn slot_situation(
        &mut self,
        id: NodeId,
        leaf: &Leaf<'_>,
        view: &SlotView<'_>,
        life: Life,
        held: bool,
        all: &mut Vec<Situation>,
    ) {
        let who = format!("{}/{}", self.name(id), view.slot);
        let memory = self.slot(id, view.slot).cloned().unwrap_or_default();
        let mut told = false;
        if let Some(trouble) = &memory.trouble {
            let reason = reason_of(&trouble.reason);
            let message = format!("{who}: {}", trouble.message);
            let situation = match reason {
                Reason::WaitingForCapacity => working(reason, message),
                Reason::Held | Reason::CreateRefused | Reason::NameCollision => {
                    self.held(reason, trouble.since_time.0, message)
                }
                _ => Situation { weight: Weight::Fault, reason, message },
            };
            all.push(situation);
            told = true;
        }
        if held || life.up {
            if life.up && is_outdated(view, leaf) {
                all.push(working(Reason::Updating, format!("{who} still runs its former template")));
            }
            return;
        }
        if let Some(down) = &memory.down_time {
            let limit = i64::from(leaf.settings.start_deadline_seconds);
            if seconds_between(down.0, self.now) >= limit {
                all.push(Situation {
                    weight: Weight::Fault,
                    reason: Reason::NotUp,
                    message: format!("{who} has not been up since {}", down.0),
                });
                return;
            }
            self.wake(after(down.0, limit));
        }
        if !told {
            all.push(self.working_slot(id, view, life, &memory, &who));
        }
    }

    fn working_slot(
        &self,
        id: NodeId,
        view: &SlotView<'_>,
        life: Life,
        memory: &crate::api::v1alpha1::SlotStatus,
        who: &str,
    ) -> Situation {
        let name = self.name(id);
        let parent = self.memory.supervisor(self.name(self.tree.nodes[id].parent));
        let charged = parent.is_some_and(|s| s.charges.iter().any(|c| c.child == name));
        let restarting = charged || !memory.charges.is_empty() || memory.brake.is_some();
        if life.alive {
            return working(Reason::NotUp, format!("{who} was up and is not Ready now"));
        }
        if restarting {
            let due = self.due(id, view.slot).filter(|due| *due > self.now);
            let next = due.map_or_else(String::new, |due| format!("; the next restart is due at {due}"));
            let last = self.memory.tree.recent_faults.iter().find(|f| f.child == name && f.slot == view.slot);
            let why = last.map_or_else(String::new, |f| format!(": {}", f.message));
            return working(Reason::Restarting, format!("{who} is being restarted{why}{next}"));
        }
        let scaling = self.memory.workers.get(name).is_some_and(|w| w.started);
        let reason = if scaling { Reason::Scaling } else { Reason::Starting };
        let message = match view.current {
            Some(pod) => format!("{who} is starting (Pod {})", pod.name),
            None if !self.may_start(id) => format!("{who} waits for the children before it"),
            None => format!("{who} is being created"),
        };
        working(reason, message)
    }

    /// Restarts left in the scarcest window.
    fn budget(&mut self) -> String {
        let mut scarcest: Option<(i32, String)> = None;
        for id in self.tree.supervisors().collect::<Vec<_>>() {
            let (Some(policy), Some(record)) = (self.tree.policy(id).copied(), self.memory.supervisor(self.name(id))) else {
                continue;
            };
            let times: Vec<_> = record.charges.iter().flat_map(|c| &c.times).map(|t| t.0).collect();
            let max = policy.intensity.max_restarts;
            let left = (max - count(times.len())).max(0);
            let period = policy.intensity.period_seconds;
            // The window changes by itself when its oldest entry leaves it.
            if let Some(oldest) = times.iter().min() {
                self.wake(after(*oldest, i64::from(period) + 1));
            }
            let text = format!("{left}/{max} in {period}s ({})", self.name(id));
            if scarcest.as_ref().is_none_or(|(least, _)| left < *least) {
                scarcest = Some((left, text));
            }
        }
        scarcest.map_or_else(String::new, |(_, text)| cut(&text, 128))
    }
}

fn is_outdated(view: &SlotView<'_>, leaf: &Leaf<'_>) -> bool {
    view.current.is_some_and(|pod: &PodView| pod.revision != leaf.revision)
}

fn working(reason: Reason, message: String) -> Situation {
    Situation { weight: Weight::Working, reason, message }
}

fn reason_of(text: &str) -> Reason {
    Reason::ALL
        .into_iter()
        .find(|reason| reason.as_str() == text)
        .unwrap_or(Reason::NotUp)
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// The weightiest situation speaks for the tree; among equals the first in the order of reasons.
fn main_situation(mut all: Vec<Situation>) -> Situation {
    all.sort_by_key(|s| (std::cmp::Reverse(s.weight), std::cmp::Reverse(s.reason)));
    let more = all.iter().filter(|s| s.weight == all[0].weight).count().saturating_sub(1);
    let mut main = all.swap_remove(0);
    if more > 0 {
        main.message = format!("{} (and {more} more)", cut(&main.message, MESSAGE_BYTES - 32));
    }
    main
}

fn set_conditions(
    status: &mut SupervisionTreeStatus,
    generation: i64,
    main: &Situation,
    quorums_are_up: bool,
    now: jiff::Timestamp,
) {
    let ready = quorums_are_up && main.weight != Weight::GivenUp;
    let reconciling = main.weight == Weight::Working;
    let stalled = main.weight >= Weight::Fault;
    for (type_, is_true) in [
        (types::READY, ready),
        (types::RECONCILING, reconciling),
        (types::STALLED, stalled),
    ] {
        let wanted = if is_true { "True" } else { "False" };
        let previous = status.conditions.iter().find(|c| c.type_ == type_);
        let since = previous
            .filter(|c| c.status == wanted)
            .map_or_else(|| api_time(now), |c| c.last_transition_time.clone());
        let condition = Condition {
            type_: type_.to_owned(),
            status: wanted.to_owned(),
            reason: main.reason.as_str().to_owned(),
            message: cut(&main.message, MESSAGE_BYTES),
            observed_generation: Some(generation),
            last_transition_time: since,
        };
        match status.conditions.iter_mut().find(|c| c.type_ == type_) {
            Some(old) => *old = condition,
            None => status.conditions.push(condition),
        }
    }
}
