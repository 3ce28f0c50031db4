//! Situations: everything that is going on in a tree, each with its weight and its reason.
//!
//! Rule: the weightiest situation speaks for the tree; a person reads one reason, not a list.

use crate::api::conditions::Reason;
use crate::api::v1alpha1::{
    GaveUpStatus, OperationKind, OperationStatus, SlotStatus, TroubleStatus,
};

use super::engine::{Engine, Mode};
use super::judge::cut;
use super::pod::PodView;
use super::replica::{Life, SlotView};
use super::report::MESSAGE_BYTES;
use super::supervise::SETTLED_SECONDS;
use super::tree::{Leaf, NodeId, ROOT};
use super::window::{after, seconds_between};
use super::world::Unseen;

/// How much a situation asks of people, from nothing to a lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
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
pub(super) struct Situation {
    /// How much it asks of people.
    pub weight: Weight,
    /// The reason that the conditions show.
    pub reason: Reason,
    /// What it is, in words.
    pub message: String,
}

impl Engine<'_> {
    pub(super) fn situations(&mut self) -> Vec<Situation> {
        let mut all: Vec<Situation> = self.world.unseen.iter().map(unwatched).collect();
        if self.world.tree.deleting {
            all.push(working(
                Reason::Stopping,
                "the tree is being deleted; its Pods stop in order".to_owned(),
            ));
            return all;
        }
        if self.tree.suspended {
            return vec![self.suspended()];
        }
        for id in self.tree.supervisors().collect::<Vec<_>>() {
            if self.is_enabled(id) {
                self.supervisor_situations(id, &mut all);
            }
        }
        for (id, leaf) in self.tree.leaves().collect::<Vec<_>>() {
            if !self.is_enabled(id) {
                if !self.has_stopped(id) {
                    all.push(working(
                        Reason::Stopping,
                        format!("{} is disabled and being stopped", self.name(id)),
                    ));
                }
                continue;
            }
            match self.worker(id) {
                None => self.missing_worker(id, &mut all),
                Some(_) => self.worker_situations(id, leaf, &mut all),
            }
        }
        all.extend(self.removed().filter_map(|(child, worker)| {
            let all_lost = worker.pods.iter().all(|pod| self.is_out_of_reach(pod));
            if all_lost && !worker.pods.is_empty() {
                // Nothing is left to be done about them, and nobody waits for them.
                return None;
            }
            Some(working(
                Reason::Stopping,
                format!("{child} was removed and is being stopped"),
            ))
        }));
        if all.is_empty() {
            all.push(self.fine());
        }
        all
    }

    fn suspended(&self) -> Situation {
        if self.has_stopped(ROOT) && self.removed_have_stopped() {
            return Situation {
                weight: Weight::Fine,
                reason: Reason::Suspended,
                message: "the tree is suspended and stopped; take `suspend` back to start it"
                    .to_owned(),
            };
        }
        let message = "the tree is suspended; its Pods stop in order".to_owned();
        working(Reason::Stopping, message)
    }

    /// Everything has ended that was to end.
    fn finished(&self) -> Option<Situation> {
        let mut enabled = self
            .tree
            .leaves()
            .filter(|(id, _)| self.is_enabled(*id))
            .peekable();
        let is_over = enabled.peek().is_some() && enabled.all(|(id, _)| self.is_over(id));
        let message = if self.has_finished(ROOT) {
            "the tree has shut itself down, because its significant children have ended"
        } else {
            "all children have ended as their types allow"
        };
        is_over.then(|| Situation {
            weight: Weight::Fine,
            reason: Reason::Finished,
            message: message.to_owned(),
        })
    }

    fn fine(&self) -> Situation {
        if let Some(finished) = self.finished() {
            return finished;
        }
        let workers = self.tree.leaves().count();
        let enabled = self
            .tree
            .leaves()
            .filter(|(id, _)| self.is_enabled(*id))
            .count();
        let (reason, message) = match (workers, enabled) {
            (0, _) => (Reason::NoChildren, "the tree has no workers".to_owned()),
            (_, 0) => (
                Reason::AllDisabled,
                "every worker is disabled and stopped".to_owned(),
            ),
            (_, 1) => (Reason::AllUp, "its worker is up".to_owned()),
            (_, n) => (Reason::AllUp, format!("all {n} workers are up")),
        };
        Situation {
            weight: Weight::Fine,
            reason,
            message,
        }
    }

    fn supervisor_situations(&mut self, id: NodeId, all: &mut Vec<Situation>) {
        let name = self.name(id);
        let Some(record) = self.memory.supervisor(name).cloned() else {
            return;
        };
        for entry in &record.gave_up {
            let scope = self.scope(id, entry);
            let is_enabled = scope.first().is_some_and(|first| self.is_enabled(*first));
            if !is_enabled || entry.settled {
                continue;
            }
            let next = match (&entry.retry_time, entry.waiting) {
                (Some(time), true) => format!(
                    "tried again at {}, or by `retryAt` or an edit of its template",
                    time.0
                ),
                (None, true) => "stays stopped until `retryAt` or an edit of a template".to_owned(),
                (_, false) => "being tried again".to_owned(),
            };
            all.push(Situation {
                weight: Weight::GivenUp,
                reason: Reason::GaveUp,
                message: format!(
                    "{name} gave up on {}: {}; {next}",
                    scope_name(entry),
                    entry.message
                ),
            });
        }
        let operation = record.operation.filter(|_| self.mode(id) == Mode::Up);
        if let Some(operation) = operation
            && let Some(situation) = self.operation_situation(id, &operation)
        {
            all.push(situation);
        }
    }

    /// What a supervisor is in the middle of. A first start is told by the workers.
    fn operation_situation(&self, id: NodeId, operation: &OperationStatus) -> Option<Situation> {
        let (name, why) = (self.name(id), &operation.message);
        Some(match operation.kind {
            OperationKind::Start | OperationKind::Suspend => return None,
            OperationKind::Restart => {
                let members = match operation.children.as_slice() {
                    [] => "all its children".to_owned(),
                    [only] => only.clone(),
                    [first, rest @ ..] => format!("{first} and the {} after it", rest.len()),
                };
                let step = self.restart_step(id);
                let message = format!("{name} restarts {members}, because {why}; {step}");
                working(Reason::Restarting, message)
            }
            OperationKind::GiveUp => {
                let message =
                    format!("{name} gave up and is being stopped, then its parent judges: {why}");
                working(Reason::Restarting, message)
            }
            OperationKind::FailStart => {
                let message =
                    format!("{name} could not start, and what had started is being stopped: {why}");
                working(Reason::Restarting, message)
            }
            OperationKind::ShutDown => {
                working(Reason::Stopping, format!("{name} shuts itself down: {why}"))
            }
        })
    }

    /// How far a restart of several children has come.
    fn restart_step(&self, id: NodeId) -> String {
        let members = || {
            self.enabled_children(id)
                .filter(|child| self.start_of(*child).is_some())
        };
        if let Some(stopping) = members().filter(|child| self.has_former(*child)).last() {
            return format!("{} is being stopped", self.name(stopping));
        }
        let Some(starting) = members().find(|child| !self.has_started(*child)) else {
            return "all of them have started".to_owned();
        };
        let name = self.name(starting);
        match self.due_of_child(starting).filter(|due| *due > self.now) {
            Some(due) => format!("{name} is started at {due}"),
            None => format!("{name} is being started"),
        }
    }

    fn missing_worker(&mut self, id: NodeId, all: &mut Vec<Situation>) {
        let name = self.name(id);
        match self
            .memory
            .tree
            .refused
            .iter()
            .find(|r| r.child == name)
            .cloned()
        {
            None => all.push(working(Reason::Starting, format!("{name} is being set up"))),
            Some(refused) => {
                let reason = reason_of(&refused.reason);
                let message = format!(
                    "the Worker of {name} cannot be created: {}",
                    refused.message
                );
                let since = refused.since_time.0;
                all.push(if reason == Reason::WaitingForCapacity {
                    working(reason, message)
                } else {
                    self.held(reason, since, message)
                });
            }
        }
    }

    /// A hold is work in progress for half a minute, then a person should look. A name that somebody
    /// else holds will not come free by itself.
    fn held(&mut self, reason: Reason, since: jiff::Timestamp, message: String) -> Situation {
        let patient =
            reason != Reason::NameCollision && seconds_between(since, self.now) < SETTLED_SECONDS;
        if patient {
            self.wake(after(since, SETTLED_SECONDS));
        }
        let weight = if patient {
            Weight::Working
        } else {
            Weight::Fault
        };
        Situation {
            weight,
            reason,
            message,
        }
    }

    fn worker_situations(&mut self, id: NodeId, leaf: &Leaf<'_>, all: &mut Vec<Situation>) {
        let name = self.name(id);
        if self.mode(id) == Mode::Down {
            // The supervisor that gave up speaks for it.
            if !self.has_stopped(id) {
                all.push(working(
                    Reason::Stopping,
                    format!("{name} is being stopped"),
                ));
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
        let stops =
            |pod: &&&PodView| !self.pod_has_stopped(leaf, pod) && !self.is_out_of_reach(pod);
        if replicas
            .surplus
            .iter()
            .chain(&replicas.misfits)
            .any(|pod| stops(&pod))
        {
            all.push(working(
                Reason::Scaling,
                format!("surplus replicas of {name} are being stopped"),
            ));
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
        let memory = self.slot(id, view.slot);
        let has_trouble = memory.is_some_and(|memory| memory.trouble.is_some());
        if life.finished || (life.up && !has_trouble && !is_outdated(view, leaf)) {
            return;
        }
        let memory = memory.cloned().unwrap_or_default();
        let who = format!("{}/{}", self.name(id), view.slot);
        let trouble = memory.trouble.as_ref();
        let trouble = trouble.map(|trouble| self.trouble_situation(&who, trouble));
        let told = trouble
            .as_ref()
            .map(|trouble| (trouble.weight, trouble.message.clone()));
        all.extend(trouble);
        if held || life.up {
            if life.up && is_outdated(view, leaf) {
                all.push(working(
                    Reason::Updating,
                    format!("{who} still runs its former template"),
                ));
            }
            return;
        }
        if told
            .as_ref()
            .is_some_and(|(weight, _)| *weight >= Weight::Fault)
        {
            // It says why, and nothing more would be said by that it is not up.
            return;
        }
        if let Some(down) = &memory.down_time {
            let limit = i64::from(leaf.settings.start_deadline_seconds);
            let runs = |pod: &PodView| leaf.completes() && !pod.is_deleting() && pod.node.is_some();
            let is_patient = match view.current {
                Some(pod) => runs(pod),
                // Those that it waits for speak for themselves.
                None => !self.may_start(id),
            };
            if seconds_between(down.0, self.now) >= limit && !is_patient {
                let why = told.map_or_else(String::new, |(_, why)| format!(" ({why})"));
                all.push(Situation {
                    weight: Weight::Fault,
                    reason: Reason::NotUp,
                    message: format!("{who} has not been up since {}{why}", down.0),
                });
                return;
            }
            self.wake(after(down.0, limit));
        }
        if told.is_none() {
            all.push(self.working_slot(id, view, life, &memory, &who));
        }
    }

    /// What keeps a slot down, as it was noted.
    fn trouble_situation(&mut self, who: &str, trouble: &TroubleStatus) -> Situation {
        let reason = reason_of(&trouble.reason);
        let what = if trouble.message.is_empty() {
            &trouble.reason
        } else {
            &trouble.message
        };
        let message = format!("{who}: {what}");
        match reason {
            Reason::WaitingForCapacity => working(reason, message),
            Reason::Held | Reason::CreateRefused | Reason::NameCollision => {
                self.held(reason, trouble.since_time.0, message)
            }
            _ => Situation {
                weight: Weight::Fault,
                reason,
                message,
            },
        }
    }

    fn working_slot(
        &self,
        id: NodeId,
        view: &SlotView<'_>,
        life: Life,
        memory: &SlotStatus,
        who: &str,
    ) -> Situation {
        let name = self.name(id);
        let parent = self
            .memory
            .supervisor(self.name(self.tree.nodes[id].parent));
        let charged = parent.is_some_and(|s| s.charges.iter().any(|c| c.child == name));
        let restarting = charged || !memory.charges.is_empty() || memory.brake.is_some();
        if life.alive {
            return working(Reason::NotUp, format!("{who} was up and is not Ready now"));
        }
        if restarting {
            let due = self.due(id, view.slot).filter(|due| *due > self.now);
            let next = due.map_or_else(String::new, |due| {
                format!("; the next restart is due at {due}")
            });
            let last = self
                .memory
                .tree
                .recent_faults
                .iter()
                .find(|f| f.child == name && f.slot == view.slot);
            let why = last.map_or_else(String::new, |f| format!(": {}", f.message));
            return working(
                Reason::Restarting,
                format!("{who} is being restarted{why}{next}"),
            );
        }
        let scaling = self.memory.workers.get(name).is_some_and(|w| w.started);
        let reason = if scaling {
            Reason::Scaling
        } else {
            Reason::Starting
        };
        let completes = self.tree.leaf(id).is_some_and(Leaf::completes);
        let message = match view.current {
            Some(pod) if completes => format!("{who} has not completed yet (Pod {})", pod.name),
            Some(pod) => format!("{who} is starting (Pod {})", pod.name),
            None if !self.may_start(id) => format!("{who} waits for the children before it"),
            None => format!("{who} is being created"),
        };
        working(reason, message)
    }
}

/// What was given up, in words.
pub(super) fn scope_name(entry: &GaveUpStatus) -> String {
    match (entry.child.as_str(), entry.rest) {
        ("", _) => "all its children".to_owned(),
        (child, false) => child.to_owned(),
        (child, true) => format!("{child} and those after it"),
    }
}

pub(super) fn is_outdated(view: &SlotView<'_>, leaf: &Leaf<'_>) -> bool {
    view.current
        .is_some_and(|pod: &PodView| pod.revision != leaf.revision)
}

/// What is known stays in force, and a person must know that it may be old.
fn unwatched(unseen: &Unseen) -> Situation {
    let Unseen { kind, message } = unseen;
    Situation {
        weight: Weight::Fault,
        reason: Reason::WatchRefused,
        message: format!(
            "{kind}s may not be watched, so what happens to them is not noticed until that is allowed again: {message}"
        ),
    }
}

fn working(reason: Reason, message: String) -> Situation {
    Situation {
        weight: Weight::Working,
        reason,
        message,
    }
}

fn reason_of(text: &str) -> Reason {
    Reason::ALL
        .into_iter()
        .find(|reason| reason.as_str() == text)
        .unwrap_or(Reason::NotUp)
}

/// The weightiest situation speaks for the tree; among equals the first in the order of reasons.
pub(super) fn main_situation(mut all: Vec<Situation>) -> Situation {
    all.sort_by_key(|s| (std::cmp::Reverse(s.weight), std::cmp::Reverse(s.reason)));
    let more = all
        .iter()
        .filter(|s| s.weight == all[0].weight)
        .count()
        .saturating_sub(1);
    let mut main = all.swap_remove(0);
    if more > 0 {
        main.message = format!(
            "{} (and {more} more)",
            cut(&main.message, MESSAGE_BYTES - 32)
        );
    }
    main
}
