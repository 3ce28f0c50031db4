//! Situations of workers: why a slot is not up, and what is still being done about one that is.
//!
//! Rule: of a slot that is up, only what is not as the spec asks is told.

use super::{Situation, Weight, reason_of, working};
use crate::api::conditions::Reason;
use crate::api::v1alpha1::{OperationKind, SlotStatus, TroubleStatus};
use crate::model::engine::{Engine, Mode};
use crate::model::pod::PodView;
use crate::model::replica::{Life, SlotView, node_of};
use crate::model::tree::{Leaf, NodeId, ROOT};
use crate::model::window::{after, seconds_between};

impl Engine<'_> {
    pub(super) fn missing_worker(&mut self, id: NodeId, all: &mut Vec<Situation>) {
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
                let message = format!("{name}: {}", refused.message);
                let since = refused.since_time.0;
                all.push(if reason == Reason::WaitingForCapacity {
                    working(reason, message)
                } else {
                    self.held(reason, since, message)
                });
            }
        }
    }

    pub(super) fn worker_situations(
        &mut self,
        id: NodeId,
        leaf: &Leaf<'_>,
        all: &mut Vec<Situation>,
    ) {
        let name = self.name(id);
        if self.mode(id) == Mode::Down {
            // The supervisor that exits, or gave up, speaks for it.
            let is_told = self.tree.ancestors(id).any(|up| self.is_shut(up));
            if !is_told && !self.has_stopped(id) {
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
        if life.up && (life.finished || !has_trouble && !is_outdated(view, leaf)) {
            return;
        }
        let memory = memory.cloned().unwrap_or_default();
        let who = format!("{}/{}", self.name(id), view.slot);
        if life.finished {
            all.push(Situation {
                weight: Weight::Fault,
                reason: Reason::NotUp,
                message: format!(
                    "{who} was to complete and has failed{}; it is Temporary, so it is not run again: set `enabled: false` and then `true` to run it once more",
                    self.last_fault(id, view.slot)
                ),
            });
            return;
        }
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
        if told.is_none() && !self.is_restarted_with_others(id) {
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
        if self.unsettled.contains(&(id, view.slot)) {
            return working(Reason::NotUp, unsettled(who, view));
        }
        let intensity = self.tree.parent_policy(id).intensity;
        let parent = self
            .memory
            .supervisor(self.name(self.tree.nodes[id].parent));
        let entries = parent.into_iter().flat_map(|parent| &parent.charges);
        let charged = entries
            .filter(|charge| charge.child == name)
            .any(|charge| charge.counted(self.now, intensity).next().is_some());
        // A brake alone may be that of a first create that was refused.
        let was_replaced = memory.brake.is_some() && !memory.pod_uid.is_empty();
        let slot_charged = memory.counted(self.now, intensity).next().is_some();
        let restarting = charged || slot_charged || was_replaced;
        if life.alive {
            return working(Reason::NotUp, self.unready(who, view));
        }
        if restarting {
            let due = self.due(id, view.slot).filter(|due| *due > self.now);
            let next = due.map_or_else(String::new, |due| {
                format!("; the next restart is due at {due}")
            });
            let why = self.last_fault(id, view.slot);
            return working(
                Reason::Restarting,
                format!("{who} is being restarted{why}{next}"),
            );
        }
        let completes = self.tree.leaf(id).is_some_and(Leaf::completes);
        let message = match view.current {
            Some(pod) if completes => format!("{who} has not completed yet (Pod {})", pod.name),
            Some(pod) => format!("{who} is starting (Pod {})", pod.name),
            None if self.tree.ancestors(id).any(|up| self.has_former(up)) => {
                format!("{who} waits until what ran before has stopped")
            }
            None if self.awaits_rollout.contains(&id) => {
                format!("{who} waits for its turn in the rollout")
            }
            None if !self.may_start(id) => format!("{who} waits for the children before it"),
            None => format!("{who} is being created"),
        };
        working(Reason::Starting, message)
    }

    /// Whether a supervisor above restarts several children, this one among them: it tells how far it has come.
    fn is_restarted_with_others(&self, id: NodeId) -> bool {
        let path = std::iter::once(id).chain(self.tree.ancestors(id));
        let mut operations = path
            .filter(|node| *node != ROOT)
            .filter_map(|node| self.start_of(node));
        operations.any(|operation| operation.kind == OperationKind::Restart)
    }

    /// What happened last to a slot, as the end of a sentence; empty when nothing did.
    fn last_fault(&self, id: NodeId, slot: i32) -> String {
        let mut faults = self.memory.tree.recent_faults.iter();
        let last = faults.find(|fault| fault.child == self.name(id) && fault.slot == slot);
        last.map_or_else(String::new, |fault| format!(": {}", fault.message))
    }

    /// Why a replica that has started is not up.
    fn unready(&self, who: &str, view: &SlotView<'_>) -> String {
        let node = view.current.and_then(|pod| {
            let lost = node_of(pod, self.world).and_then(|node| node.not_ready_since)?;
            Some((pod.node.as_deref().unwrap_or("?"), lost))
        });
        match node {
            Some((node, since)) => {
                format!("{who} is on node {node}, which has not been ready since {since}")
            }
            None => format!("{who} was up and is not Ready now"),
        }
    }
}

/// A replica has ended, and nothing is done about that before it is known why.
fn unsettled(who: &str, view: &SlotView<'_>) -> String {
    let pod = view.current;
    let ends = pod.into_iter().flat_map(PodView::judged);
    let codes = ends.filter_map(|container| Some(container.last_end()?.exit_code));
    let code = codes.max();
    let how = code.map_or_else(String::new, |code| format!(" with exit code {code}"));
    let pod = pod.map_or_else(String::new, |pod| format!(" (Pod {})", pod.name));
    format!("{who} has ended{how}{pod}; Coppice waits a few seconds to learn why")
}

/// Whether a slot runs another template than the one that its worker is to have.
pub(in crate::model) fn is_outdated(view: &SlotView<'_>, leaf: &Leaf<'_>) -> bool {
    view.current
        .is_some_and(|pod: &PodView| pod.revision != leaf.target)
}
