//! The status that people read: conditions, counts and the budget.
//!
//! Rule: the same situation gives the same text, so that nothing is written when nothing changed.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::conditions::{Reason, types};
use crate::api::v1alpha1::SupervisionTreeStatus;

use super::budget::Budget;
use super::engine::{Engine, Mode};
use super::judge::cut;
use super::names;
use super::situations::{Situation, Weight, is_outdated, main_situation};
use super::tree::{Leaf, NodeId, ROOT, SpecError};
use super::warnings;
use super::window::api_time;
use super::world::World;

/// Longest message of a condition, in bytes.
pub(super) const MESSAGE_BYTES: usize = 1024;

/// The status of a condition that nothing is known of.
const UNKNOWN: &str = "Unknown";

/// The status of a tree whose spec cannot be carried out: nothing else changes.
pub(super) fn refused(world: &World, error: &SpecError, now: Timestamp) -> SupervisionTreeStatus {
    let mut status = world.tree.status.clone();
    status.observed_generation = world.tree.generation;
    let situation = Situation {
        weight: Weight::GivenUp,
        reason: Reason::InvalidSpec,
        message: format!("{error}. Nothing is changed until the spec is"),
    };
    set_conditions(&mut status, world.tree.generation, &situation, false, now);
    set_suspended(
        &mut status,
        world.tree.generation,
        world.tree.spec.suspend,
        now,
    );
    let unknown = (
        Reason::InvalidSpec,
        "nothing is judged until the spec is put right".to_owned(),
    );
    let generation = world.tree.generation;
    set_condition(
        &mut status,
        types::REDUNDANT,
        UNKNOWN,
        unknown,
        generation,
        now,
    );
    status
}

impl Engine<'_> {
    /// Brings everything that people read up to date.
    pub(super) fn report(&mut self) {
        let leaves: Vec<(NodeId, bool)> = self
            .tree
            .leaves()
            .map(|(id, leaf)| (id, self.report_worker(id, leaf)))
            .collect();
        let situations = self.situations();
        let is_wanted = |id| self.is_enabled(id) && !self.is_over(id) && !self.tree.suspended;
        let is_stopping =
            self.world.tree.deleting || (self.tree.suspended && !self.has_stopped(ROOT));
        let ready = leaves.iter().all(|(id, up)| *up || !is_wanted(*id)) && !is_stopping;
        let main = main_situation(situations);
        let budget = self.budget();
        let redundancy = self.redundancy();
        let rolled_back = self.rollout_situation();
        // A crash between the write of a Worker and that of its tree must not lose a death for good.
        let restarts = self
            .memory
            .workers
            .values()
            .map(|worker| worker.restarts)
            .sum();
        let replicas = |id, leaf: &Leaf<'_>| {
            let quorum = i32::try_from(self.quorum(id, leaf)).unwrap_or(i32::MAX);
            (self.replicas_wanted(id, leaf), quorum)
        };
        let promotion = self.world.tree.spec.rollout.promote;
        let warnings = warnings::of(self.tree, &replicas, promotion, &self.memory.tree);
        let status = &mut self.memory.tree;
        status.restarts = status.restarts.max(restarts);
        status.observed_generation = self.world.tree.generation;
        status.workers = count(leaves.len());
        status.up = count(leaves.iter().filter(|(_, up)| *up).count());
        status.budget = budget;
        status.warnings = warnings;
        set_conditions(status, self.world.tree.generation, &main, ready, self.now);
        set_suspended(
            status,
            self.world.tree.generation,
            self.tree.suspended,
            self.now,
        );
        set_rolled_back(status, self.world.tree.generation, rolled_back, self.now);
        set_redundant(status, self.world.tree.generation, redundancy, self.now);
    }

    /// Counts the replicas of a worker. Says whether a quorum of it is up on the present template.
    fn report_worker(&mut self, id: NodeId, leaf: &Leaf<'_>) -> bool {
        let Some(worker) = self.worker(id) else {
            return false;
        };
        let mut lives = self.lives(id);
        lives.retain(|(_, life)| life.up);
        let live = worker
            .pods
            .iter()
            .filter(|pod| !pod.is_deleting() && !pod.is_terminal());
        let replicas = count(live.count());
        let name = self.tree.nodes[id].name;
        if let Some(status) = self.memory.workers.get_mut(name) {
            status.observed_generation = worker.generation;
            status.replicas = replicas;
            status.up = count(lives.len());
            status.selector = names::selector(&self.world.tree.name, name);
        }
        lives.retain(|(view, life)| life.finished || !is_outdated(view, leaf));
        self.mode(id) != Mode::Down && lives.len() >= self.quorum(id, leaf)
    }

    /// Restarts left in the scarcest window: of a supervisor, or of a slot of a worker of several replicas. One that never
    /// allows a restart says nothing, and what was given up has none left to tell of.
    fn budget(&mut self) -> String {
        let mut windows = Vec::new();
        for id in self.tree.supervisors() {
            let record = self.memory.supervisor(self.name(id));
            let (Some(policy), Some(record)) = (self.tree.policy(id), record) else {
                continue;
            };
            if !self.is_shut(id) {
                windows.push(Budget::of_supervisor(record, policy.intensity, self.now));
            }
        }
        for (id, _) in self.tree.leaves() {
            let worker = self.memory.workers.get(self.name(id));
            for slot in worker.into_iter().flat_map(|worker| &worker.slots) {
                let is_parked = slot.parked.as_ref().is_some_and(|parked| parked.waiting);
                let intensity = self.tree.parent_policy(id).intensity;
                let window = Budget::of_slot(self.name(id), slot, intensity, self.now);
                if !window.charges.is_empty() && !is_parked {
                    windows.push(window);
                }
            }
        }
        let mut wakes = Vec::new();
        let mut scarcest: Option<&Budget> = None;
        for window in &windows {
            // The window changes by itself when an entry leaves it.
            wakes.extend(window.changes());
            if window.allowed > 0 && scarcest.is_none_or(|least| window.left < least.left) {
                scarcest = Some(window);
            }
        }
        for time in wakes {
            self.wake(time);
        }
        scarcest.map_or_else(String::new, |window| cut(&window.short(), 128))
    }
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn set_conditions(
    status: &mut SupervisionTreeStatus,
    generation: i64,
    main: &Situation,
    quorums_are_up: bool,
    now: Timestamp,
) {
    let ready = quorums_are_up && main.weight != Weight::GivenUp;
    let reconciling = main.weight == Weight::Working;
    let stalled = main.weight >= Weight::Fault;
    for (type_, is_true) in [
        (types::READY, ready),
        (types::RECONCILING, reconciling),
        (types::STALLED, stalled),
    ] {
        let texts = (main.reason, cut(&main.message, MESSAGE_BYTES));
        set_condition(status, type_, truth(is_true), texts, generation, now);
    }
}

fn set_suspended(
    status: &mut SupervisionTreeStatus,
    generation: i64,
    suspended: bool,
    now: Timestamp,
) {
    let texts = if suspended {
        (Reason::Suspended, "`suspend` is true")
    } else {
        (Reason::NotSuspended, "`suspend` is false")
    };
    let texts = (texts.0, texts.1.to_owned());
    let suspended = truth(suspended);
    set_condition(status, types::SUSPENDED, suspended, texts, generation, now);
}

fn set_rolled_back(
    status: &mut SupervisionTreeStatus,
    generation: i64,
    situation: Option<Situation>,
    now: Timestamp,
) {
    let back = situation.filter(|situation| situation.reason == Reason::RolledBack);
    let wanted = truth(back.is_some());
    let texts = back.map_or_else(
        || {
            let message = "the revision that the spec asks for has not failed";
            (Reason::NotRolledBack, message.to_owned())
        },
        |back| (back.reason, cut(&back.message, MESSAGE_BYTES)),
    );
    set_condition(status, types::ROLLED_BACK, wanted, texts, generation, now);
}

/// What was known of redundancy stays as long as nothing better is.
fn set_redundant(
    status: &mut SupervisionTreeStatus,
    generation: i64,
    redundancy: Option<(bool, Reason, String)>,
    now: Timestamp,
) {
    let is_redundant = |known: &&mut Condition| known.type_ == types::REDUNDANT;
    let known = status.conditions.iter_mut().find(is_redundant);
    match (redundancy, known) {
        (Some((redundant, reason, message)), _) => {
            let texts = (reason, cut(&message, MESSAGE_BYTES));
            let wanted = truth(redundant);
            set_condition(status, types::REDUNDANT, wanted, texts, generation, now);
        }
        (None, Some(known)) => known.observed_generation = Some(generation),
        (None, None) => {
            let message = "it is not known yet where the replicas will run";
            let texts = (Reason::Starting, message.to_owned());
            set_condition(status, types::REDUNDANT, UNKNOWN, texts, generation, now);
        }
    }
}

/// The status of a condition that is known.
fn truth(is_true: bool) -> &'static str {
    if is_true { "True" } else { "False" }
}

fn set_condition(
    status: &mut SupervisionTreeStatus,
    type_: &str,
    wanted: &str,
    (reason, message): (Reason, String),
    generation: i64,
    now: Timestamp,
) {
    let previous = status.conditions.iter().find(|c| c.type_ == type_);
    let since = previous
        .filter(|c| c.status == wanted)
        .map_or_else(|| api_time(now), |c| c.last_transition_time.clone());
    let condition = Condition {
        type_: type_.to_owned(),
        status: wanted.to_owned(),
        reason: reason.as_str().to_owned(),
        message,
        observed_generation: Some(generation),
        last_transition_time: since,
    };
    match status.conditions.iter_mut().find(|c| c.type_ == type_) {
        Some(old) => *old = condition,
        None => status.conditions.push(condition),
    }
}
