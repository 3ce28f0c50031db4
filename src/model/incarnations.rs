//! Incarnations: how supervisors and workers begin, and which workers an operation has not reached yet.
//!
//! Rule: an operation stands in the tree first; which workers are still to go through it follows from its number, so that a
//! crash after that write loses none of them.

mod workers;

use jiff::Timestamp;

use crate::api::v1alpha1::{
    FinishedSupervisor, OperationKind, OperationStatus, Restart, Strategy, SupervisorStatus,
};

use super::engine::{Engine, Mode};
use super::judge::cut;
use super::replica::SlotView;
use super::tree::{NodeId, ROOT};
use super::window::api_time;

impl Engine<'_> {
    /// A supervisor that is to run and has no record begins its first incarnation.
    pub(super) fn begin(&mut self) {
        for id in self.tree.supervisors() {
            if self.mode(id) != Mode::Up || self.memory.supervisor(self.name(id)).is_some() {
                continue;
            }
            // It has no number: what has been moved here and runs already is not restarted by it.
            let operation = OperationStatus {
                number: 0,
                ..self.operation(OperationKind::Start, "first start")
            };
            let handled = self.due_restart(id);
            // The delays are those of a worker that had its name before.
            let (name, parent) = (self.name(id), self.name(self.tree.nodes[id].parent));
            let above = self.memory.supervisor_mut(parent);
            above.backoff.retain(|entry| entry.child != name);
            *self.memory.supervisor_mut(self.tree.nodes[id].name) = SupervisorStatus {
                name: self.tree.nodes[id].name.to_owned(),
                incarnation: 1,
                operation: Some(operation),
                handled_restart_time: handled.map(api_time),
                ..SupervisorStatus::default()
            };
        }
    }

    /// A new operation, with the next number.
    pub(super) fn operation(&mut self, kind: OperationKind, why: &str) -> OperationStatus {
        OperationStatus {
            kind,
            number: self.memory.next_operation(),
            children: Vec::new(),
            since_time: api_time(self.now),
            message: cut(why, 1024),
        }
    }

    /// The `restartAt` of a supervisor, when its time has come.
    fn due_restart(&self, id: NodeId) -> Option<Timestamp> {
        let restart_at = self.tree.nodes[id].restart_at;
        restart_at.filter(|time| *time <= self.now)
    }

    /// Supervisors whose `restartAt` has come begin a new incarnation. As for workers, that waits while no replica may get another
    /// template.
    pub(super) fn restart_asked_supervisors(&mut self) {
        if self.is_frozen() {
            return;
        }
        for id in self.tree.supervisors() {
            let Some(wanted) = self.tree.nodes[id].restart_at else {
                continue;
            };
            if wanted > self.now {
                self.wake(wanted);
                continue;
            }
            let handled = self
                .memory
                .supervisor(self.name(id))
                .map(|record| record.handled_restart_time.as_ref().map(|time| time.0));
            let is_news = handled.is_some_and(|handled| handled != Some(wanted));
            let may_run = if id == ROOT {
                self.mode(ROOT) == Mode::Up
            } else {
                self.mode_from_above(id) != Mode::Down
            };
            if is_news && may_run {
                self.forget_wait(id);
                self.new_incarnation(id, "`restartAt` asked for it");
            }
        }
    }

    /// Nothing that kept a supervisor from running counts any more.
    fn forget_wait(&mut self, id: NodeId) {
        let (name, parent) = (self.name(id), self.name(self.tree.nodes[id].parent));
        self.memory.supervisor_mut(name).gave_up.clear();
        if id != ROOT {
            let above = self.memory.supervisor_mut(parent);
            above.gave_up.retain(|entry| entry.child != name);
            above.backoff.retain(|entry| entry.child != name);
        }
    }

    /// A new incarnation of a supervisor and of all below it: windows, delays and waits are empty. A Temporary one below
    /// that has finished stays so.
    pub(super) fn new_incarnation(&mut self, scope: NodeId, why: &str) {
        let operation = self.operation(OperationKind::Start, why);
        self.incarnate(scope, &operation);
        self.sync_workers();
    }

    fn incarnate(&mut self, scope: NodeId, operation: &OperationStatus) {
        for id in scope..self.tree.nodes.len() {
            if self.tree.policy(id).is_none() || !self.tree.is_within(scope, id) {
                continue;
            }
            let node = &self.tree.nodes[id];
            let known = self.memory.supervisor(node.name);
            let is_over = |record: &SupervisorStatus| {
                let finished = record.finished.as_ref();
                node.restart == Restart::Temporary
                    && finished.is_some_and(|finished| !finished.stopped)
            };
            if id != scope && known.is_none_or(is_over) {
                continue;
            }
            let handled = self.due_restart(id).map(api_time);
            let record = self.memory.supervisor_mut(node.name);
            // A retry of the whole supervisor is on its way, and its entry remembers the last delay.
            record
                .gave_up
                .retain(|g| id == scope && g.child.is_empty() && !g.waiting);
            record.incarnation += 1;
            record.started_time = None;
            record.finished = None;
            record.charges.clear();
            record.backoff.clear();
            if handled.is_some() {
                record.handled_restart_time = handled;
            }
            record.operation = Some(operation.clone());
        }
    }

    /// A child has died: what the strategy of its supervisor names is stopped and started again, the child itself included.
    /// Says how many others are; `None` under `OneForOne`, and when the supervisor has other plans with the child.
    pub(super) fn restart_group(&mut self, child: NodeId, why: &str) -> Option<usize> {
        let supervisor = self.tree.nodes[child].parent;
        let from = match self.tree.parent_policy(child).strategy {
            Strategy::OneForOne => return None,
            Strategy::OneForAll => *self.tree.nodes[supervisor].children.first()?,
            Strategy::RestForOne => self.rest_from(child),
        };
        if self.mode_from_above(child) != Mode::Up || self.starts_alone(child) {
            return None;
        }
        let begins = |id: &&NodeId| {
            let node = &self.tree.nodes[**id];
            let comes_back = node.restart != Restart::Temporary || self.awaits_its_turn(**id);
            **id != child && node.enabled && comes_back
        };
        let others = self.tree.from_child(from).iter().filter(begins).count();
        self.begin_restart(supervisor, from, why);
        Some(others)
    }

    /// Where the rest begins that `RestForOne` restarts, or gives up, for a child: with that child, or with the one that the
    /// operation of its supervisor has reached, if that is an earlier one.
    pub(super) fn rest_from(&self, child: NodeId) -> NodeId {
        let reached = self.reached(self.tree.nodes[child].parent);
        reached.map_or(child, |id| id.min(child))
    }

    /// How far the start or the restart has come that a supervisor is in the middle of: the first of its members that has not
    /// been started. What is done about the supervisor's children next goes on from there at the latest, or it would forget
    /// this one and those after it. Members that start together have all been told to as soon as the last of them has stopped.
    fn reached(&self, supervisor: NodeId) -> Option<NodeId> {
        let operation = self.operation_of(supervisor)?;
        let is_member = |id: &NodeId| Self::is_member(operation, self.name(*id));
        let mut members = self.enabled_children(supervisor).filter(is_member);
        if !operation.kind.starts() {
            None
        } else if self.tree.policy(supervisor)?.ordered {
            members.find(|id| !self.has_got_up(*id))
        } else {
            let first = members.next()?;
            let stops = self.has_former(first) || members.any(|id| self.has_former(id));
            stops.then_some(first)
        }
    }

    /// Whether a child has started in its present incarnation, whatever has become of what is below it since.
    pub(super) fn has_got_up(&self, id: NodeId) -> bool {
        let name = self.name(id);
        let is_noted = match self.memory.workers.get(name) {
            Some(worker) => worker.started,
            None => self
                .memory
                .supervisor(name)
                .is_some_and(|record| record.started_time.is_some()),
        };
        is_noted || self.has_started(id)
    }

    /// Whether nothing of a child has been started yet in the first start of its supervisor. A restart of its group does not
    /// stop it, so that a Temporary one has its turn all the same.
    pub(super) fn awaits_its_turn(&self, id: NodeId) -> bool {
        if self.tree.leaf(id).is_some() {
            let mut slots = self.replicas.get(&id).into_iter().flat_map(|r| &r.wanted);
            let is_to_come = |view: &SlotView<'_>| {
                let memory = self.slot(id, view.slot);
                let had_none = memory.is_none_or(|slot| {
                    slot.finished.is_none() && (slot.gone || slot.pod_uid.is_empty())
                });
                view.current.is_none() && had_none
            };
            return slots.all(is_to_come) && !self.has_former(id);
        }
        let children = &self.tree.nodes[id].children;
        let record = self.memory.supervisor(self.name(id));
        let is_new = record.is_some_and(|record| {
            let starts = record.operation.as_ref();
            starts.is_some_and(|operation| operation.kind == OperationKind::Start)
                && record.started_time.is_none()
                && record.finished.is_none()
        });
        is_new
            && self.given_up(id).is_none()
            && children.iter().all(|child| self.awaits_its_turn(*child))
    }

    /// Whether a child was added, or enabled, when the others ran already, and has not started since: that it cannot start is
    /// nothing to them (OTP: a `start_child` that fails leaves the others alone).
    fn starts_alone(&self, child: NodeId) -> bool {
        let parent = self.name(self.tree.nodes[child].parent);
        let record = self.memory.supervisor(parent);
        record.is_some_and(|record| record.started_time.is_some())
            && self.start_of(child).is_none()
            && !self.has_ever_started(child)
            && !self.has_got_up(child)
    }

    /// The children of a supervisor from that one on are stopped in reverse order and started again in order.
    pub(super) fn begin_restart(&mut self, supervisor: NodeId, from: NodeId, why: &str) {
        let mut operation = self.operation(OperationKind::Restart, why);
        let members = self.tree.from_child(from).to_vec();
        let names: Vec<String> = members
            .iter()
            .map(|id| self.tree.nodes[*id].name.to_owned())
            .collect();
        let to_come: Vec<NodeId> = members
            .iter()
            .copied()
            .filter(|id| self.awaits_its_turn(*id))
            .collect();
        let record = self.memory.supervisor_mut(self.tree.nodes[supervisor].name);
        // A wait within the group is over; what is on probation keeps its clock.
        record
            .gave_up
            .retain(|entry| !entry.waiting || !names.contains(&entry.child));
        for id in members {
            if self.tree.policy(id).is_none() {
                continue;
            }
            if self.tree.nodes[id].restart == Restart::Temporary && !to_come.contains(&id) {
                self.finish_supervisor(id, true);
            } else if self.memory.supervisor(self.tree.nodes[id].name).is_some() {
                let start = OperationStatus {
                    kind: OperationKind::Start,
                    ..operation.clone()
                };
                self.incarnate(id, &start);
            }
        }
        if names.len() < self.tree.nodes[supervisor].children.len() {
            operation.children = names;
        }
        let record = self.memory.supervisor_mut(self.tree.nodes[supervisor].name);
        record.operation = Some(operation);
        self.sync_workers();
    }

    /// A supervisor has ended as its type allows, or was stopped with its group and is not started with it again.
    pub(super) fn finish_supervisor(&mut self, id: NodeId, stopped: bool) {
        let finished = FinishedSupervisor {
            time: api_time(self.now),
            stopped,
            templates: self.tree.templates(&[id]),
        };
        let record = self.memory.supervisor_mut(self.tree.nodes[id].name);
        record.operation = None;
        record.started_time = None;
        // Whatever it had given up is not tried again.
        record.gave_up.clear();
        record.finished.get_or_insert(finished);
        self.memory.intend_tree();
    }

    /// Whether the operation that a supervisor is in starts that child, too.
    pub(super) fn is_member(operation: &OperationStatus, child: &str) -> bool {
        let all = operation.children.is_empty();
        operation.kind.starts() && (all || operation.children.iter().any(|name| name == child))
    }
}
