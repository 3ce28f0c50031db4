//! Incarnations: how supervisors and workers begin, and which workers an operation has not reached yet.
//!
//! Rule: an operation stands in the tree first; which workers are still to go through it follows from its number, so that a
//! crash after that write loses none of them.

use jiff::Timestamp;

use crate::api::v1alpha1::{
    FinishedReplica, FinishedSupervisor, OperationKind, OperationStatus, Restart, Strategy,
    SupervisorStatus,
};

use super::engine::{Engine, Mode};
use super::judge::cut;
use super::mistakes::{Mistake, is_planted};
use super::names;
use super::replica::Replicas;
use super::tree::{Leaf, NodeId, ROOT};
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

    /// Supervisors whose `restartAt` has come begin a new incarnation.
    pub(super) fn restart_asked_supervisors(&mut self) {
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
            if !is_planted(Mistake::WindowIsInherited) {
                record.charges.clear();
            }
            record.backoff.clear();
            if handled.is_some() {
                record.handled_restart_time = handled;
            }
            record.operation = Some(operation.clone());
        }
    }

    /// A child has died: what the strategy of its supervisor names is stopped and started again, the child itself included.
    /// Says so in words; `None` under `OneForOne`, and when the supervisor has other plans with the child.
    pub(super) fn restart_group(&mut self, child: NodeId, why: &str) -> Option<String> {
        let supervisor = self.tree.nodes[child].parent;
        let from = match self.tree.parent_policy(child).strategy {
            Strategy::OneForOne => return None,
            Strategy::OneForAll => *self.tree.nodes[supervisor].children.first()?,
            Strategy::RestForOne if is_planted(Mistake::RestIsAll) => {
                *self.tree.nodes[supervisor].children.first()?
            }
            Strategy::RestForOne => child,
        };
        if self.mode_from_above(child) != Mode::Up || self.starts_alone(child) {
            return None;
        }
        let begins = |id: &&NodeId| {
            let node = &self.tree.nodes[**id];
            **id != child && node.enabled && node.restart != Restart::Temporary
        };
        let others = self.tree.from_child(from).iter().filter(begins).count();
        self.begin_restart(supervisor, from, why);
        Some(match others {
            0 => "restarted".to_owned(),
            1 => "restarted with 1 sibling".to_owned(),
            _ => format!("restarted with {others} siblings"),
        })
    }

    /// Whether a child was added, or enabled, when the others ran already, and has not started since: that it cannot start is
    /// nothing to them (OTP: a `start_child` that fails leaves the others alone).
    fn starts_alone(&self, child: NodeId) -> bool {
        let parent = self.name(self.tree.nodes[child].parent);
        let record = self.memory.supervisor(parent);
        record.is_some_and(|record| record.started_time.is_some())
            && self.start_of(child).is_none()
            && !self.has_ever_started(child)
    }

    /// The children of a supervisor from that one on are stopped in reverse order and started again in order.
    pub(super) fn begin_restart(&mut self, supervisor: NodeId, from: NodeId, why: &str) {
        let mut operation = self.operation(OperationKind::Restart, why);
        let members = self.tree.from_child(from).to_vec();
        let names: Vec<String> = members
            .iter()
            .map(|id| self.tree.nodes[*id].name.to_owned())
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
            if self.tree.nodes[id].restart == Restart::Temporary {
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
        record.finished.get_or_insert(finished);
        self.memory.intend_tree();
    }

    /// Whether the operation that a supervisor is in starts that child, too.
    pub(super) fn is_member(operation: &OperationStatus, child: &str) -> bool {
        let all = operation.children.is_empty();
        operation.kind.starts() && (all || operation.children.iter().any(|name| name == child))
    }

    /// The operations that a node goes through because of the supervisors above it, nearest first.
    fn operations_above(&self, id: NodeId) -> impl Iterator<Item = &OperationStatus> {
        let path = std::iter::once(id).chain(self.tree.ancestors(id));
        path.filter(|node| *node != ROOT)
            .filter_map(|node| self.start_of(node))
    }

    /// Operations are stored in the tree before the Workers go through them. Says whether a Worker has been through one
    /// that the tree does not know of; nothing may be begun on that.
    pub(super) fn note_news_of_workers(&mut self) -> bool {
        let workers = self.memory.workers.values();
        let last = workers.map(|worker| worker.operation).max().unwrap_or(0);
        let is_behind = last > self.memory.tree.operations;
        if is_behind {
            self.memory.tree.operations = last;
            self.memory.intend_tree();
        }
        is_behind
    }

    /// Workers that were moved keep their Pods: what supervisors are in the middle of there does not concern them. Says
    /// whether there are any; that is to be stored before anything else happens there.
    pub(super) fn note_moves(&mut self) -> bool {
        let mut is_news = false;
        for (id, _) in self.tree.leaves() {
            let name = self.name(id);
            let above: Vec<&str> = self.tree.ancestors(id).map(|up| self.name(up)).collect();
            let place = names::hash(&above);
            let operations = self.memory.tree.operations;
            let order = self.tree.order_of(id);
            let Some(worker) = self.memory.workers.get_mut(name) else {
                continue;
            };
            worker.order = order;
            if worker.place == place {
                continue;
            }
            is_news |= !worker.place.is_empty();
            worker.place = place;
            worker.operation = operations;
            worker.started_in = 0;
            self.memory.intend_worker(name);
        }
        is_news
    }

    /// Workers go through the operations of the supervisors above them, and follow the edits of their template: both end
    /// what their slots wait for.
    pub(super) fn sync_workers(&mut self) {
        for (id, leaf) in self.tree.leaves() {
            let wanted = self.operations_above(id).map(|operation| operation.number);
            let wanted = wanted.max().unwrap_or(0);
            let name = self.tree.nodes[id].name;
            let Some(worker) = self.memory.workers.get_mut(name) else {
                continue;
            };
            let edited = !worker.revision.is_empty() && worker.revision != leaf.revision;
            worker.revision.clone_from(&leaf.revision);
            if wanted > worker.operation {
                self.restart_worker(id, leaf, wanted);
            } else if edited {
                self.forget_waits(id);
            }
            self.rerun_finished(id);
        }
    }

    /// A new incarnation of a worker: the Pods of the former one are stopped, and their ends are no deaths.
    fn restart_worker(&mut self, id: NodeId, leaf: &Leaf<'_>, number: i64) {
        let name = self.tree.nodes[id].name;
        let is_temporary = leaf.settings.restart == Restart::Temporary;
        // OTP forgets a temporary child that is stopped with its group, and starts it with a new supervisor.
        let operation = self.operation_of(self.tree.nodes[id].parent);
        let is_forgotten = is_temporary
            && !is_planted(Mistake::TemporaryComesBack)
            && operation.is_some_and(|operation| {
                operation.kind == OperationKind::Restart && operation.number == number
            });
        if is_forgotten {
            let wanted = self.replicas.get(&id).into_iter().flat_map(|r| &r.wanted);
            let slots: Vec<i32> = wanted.map(|view| view.slot).collect();
            for slot in slots {
                let finished = FinishedReplica {
                    revision: leaf.revision.clone(),
                    time: api_time(self.now),
                    stopped: true,
                    failed: false,
                };
                let memory = self.memory.slot_mut(name, slot);
                memory.finished.get_or_insert(finished);
            }
        }
        let Some(worker) = self.memory.workers.get_mut(name) else {
            return;
        };
        worker.operation = number;
        worker.incarnation += 1;
        worker.started = false;
        for slot in &mut worker.slots {
            slot.begin_windows();
            slot.down_time = None;
            slot.started = false;
            slot.gone |= !slot.pod_uid.is_empty();
            slot.finished.take_if(|finished| {
                let runs_again = !is_temporary || (finished.stopped && !is_forgotten);
                runs_again && !is_planted(Mistake::FinishedForEver)
            });
        }
        self.memory.intend_worker(name);
        self.sort_again(id, leaf);
    }

    /// Workers whose supervisors stop them, because they exit, were given up or are suspended: what is to be stopped is
    /// marked before it is, so that whoever sees it end, wherever the worker is by then, does not take that for a death.
    pub(super) fn stop_workers(&mut self) {
        let stops = self.stops();
        if stops.is_empty() {
            return;
        }
        for (id, _) in self.tree.leaves() {
            let is_above = |(scope, _): &&(NodeId, i64)| self.tree.is_within(*scope, id);
            let last_stop = stops.iter().filter(is_above).map(|(_, number)| *number);
            let starts = self.operations_above(id).map(|operation| operation.number);
            let last_start = starts.max().unwrap_or(0);
            let name = self.tree.nodes[id].name;
            let done = self.memory.workers.get(name).map(|worker| worker.operation);
            let number = last_stop.max().unwrap_or(0);
            let is_news = done.is_some_and(|done| number > done.max(last_start));
            if is_news && self.mode(id) == Mode::Down {
                self.stop_worker(name, number);
            }
        }
    }

    fn stop_worker(&mut self, name: &str, number: i64) {
        if let Some(worker) = self.memory.workers.get_mut(name) {
            worker.operation = number;
            for slot in &mut worker.slots {
                slot.gone |= !slot.pod_uid.is_empty();
            }
            self.memory.intend_worker(name);
        }
    }

    /// What supervisors have stopped because they exit, were given up or are suspended, and the number of that operation.
    fn stops(&self) -> Vec<(NodeId, i64)> {
        let mut stops = Vec::new();
        for id in self.tree.supervisors() {
            let Some(record) = self.memory.supervisor(self.name(id)) else {
                continue;
            };
            let operation = record.operation.iter().filter(|one| !one.kind.starts());
            stops.extend(operation.map(|operation| (id, operation.number)));
            for entry in record.gave_up.iter().filter(|entry| entry.waiting) {
                let scope = self.scope(id, entry).into_iter();
                stops.extend(scope.map(|node| (node, entry.number)));
            }
        }
        stops
    }

    /// An edit of the template ends what slots wait for.
    fn forget_waits(&mut self, id: NodeId) {
        let name = self.tree.nodes[id].name;
        if let Some(worker) = self.memory.workers.get_mut(name) {
            for slot in &mut worker.slots {
                let charges = std::mem::take(&mut slot.charges);
                slot.forget_restarts();
                slot.charges = charges;
                slot.down_time = None;
            }
            self.memory.intend_worker(name);
        }
        let parent = self.tree.nodes[self.tree.nodes[id].parent].name;
        let records = &mut self.memory.tree.supervisors;
        if let Some(supervisor) = records.iter_mut().find(|s| s.name == parent) {
            supervisor.backoff.retain(|b| b.child != name);
        }
    }

    /// `restartAt` makes replicas run again that had finished before.
    fn rerun_finished(&mut self, id: NodeId) {
        let node = &self.tree.nodes[id];
        let Some(asked) = node.restart_at.filter(|time| *time <= self.now) else {
            return;
        };
        let Some(worker) = self.memory.workers.get_mut(node.name) else {
            return;
        };
        let mut is_news = false;
        for slot in &mut worker.slots {
            let before = slot
                .finished
                .take_if(|finished| node.restart != Restart::Temporary && finished.time.0 < asked);
            is_news |= before.is_some();
        }
        if is_news {
            self.memory.intend_worker(node.name);
        }
    }

    fn sort_again(&mut self, id: NodeId, leaf: &Leaf<'_>) {
        let child = self.name(id);
        if let Some(worker) = self.world.workers.get(child) {
            let sorted = Replicas::sort(&self.world.tree.name, child, leaf, worker, &self.memory);
            self.replicas.insert(id, sorted);
        }
    }
}
