//! Workers go through the operations of the supervisors above them: what that begins, stops or forgets of their slots.
//!
//! Rule: a Worker goes through an operation once, and its number shows which was the last.

use crate::api::v1alpha1::{FinishedReplica, OperationKind, OperationStatus, Restart};
use crate::model::engine::{Engine, Mode};
use crate::model::names;
use crate::model::replica::Replicas;
use crate::model::tree::{Leaf, NodeId, ROOT};
use crate::model::window::api_time;

impl Engine<'_> {
    /// The operations that a node goes through because of the supervisors above it, nearest first.
    fn operations_above(&self, id: NodeId) -> impl Iterator<Item = &OperationStatus> {
        let path = std::iter::once(id).chain(self.tree.ancestors(id));
        path.filter(|node| *node != ROOT)
            .filter_map(|node| self.start_of(node))
    }

    /// Operations are stored in the tree before the Workers go through them. Says whether a Worker has been through one
    /// that the tree does not know of; nothing may be begun on that.
    pub(in crate::model) fn note_news_of_workers(&mut self) -> bool {
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
    pub(in crate::model) fn note_moves(&mut self) -> bool {
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

    /// Workers go through the operations of the supervisors above them; a first template, and one that replaces another that
    /// is stored nowhere, are theirs at once. Each ends what their slots wait for.
    pub(in crate::model) fn sync_workers(&mut self) {
        for (id, leaf) in self.tree.leaves() {
            let wanted = self.operations_above(id).map(|operation| operation.number);
            let wanted = wanted.max().unwrap_or(0);
            let name = self.tree.nodes[id].name;
            let enabled = self.is_enabled(id);
            let Some(worker) = self.memory.workers.get_mut(name) else {
                continue;
            };
            let edited = !worker.revision.is_empty() && worker.revision != leaf.revision;
            if !self.awaits_rollout.contains(&id) && enabled {
                worker.revision.clone_from(&leaf.revision);
            }
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
            && !self.awaits_its_turn(id)
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
            let stays_finished = leaf.completes() && self.tree.goes_back.is_some();
            let runs_again = |finished: &mut FinishedReplica| {
                !stays_finished && (!is_temporary || (finished.stopped && !is_forgotten))
            };
            slot.finished.take_if(runs_again);
        }
        self.memory.intend_worker(name);
        self.sort_again(id, leaf);
    }

    /// Workers whose supervisors stop them, because they exit, were given up or are suspended: they have gone through that
    /// before the first of their Pods is stopped, so that who sees an older tree does not take its end for a death.
    pub(in crate::model) fn stop_workers(&mut self) {
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
    pub(in crate::model) fn forget_waits(&mut self, id: NodeId) {
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

    pub(in crate::model) fn sort_again(&mut self, id: NodeId, leaf: &Leaf<'_>) {
        let child = self.name(id);
        if let Some(worker) = self.world.workers.get(child) {
            let sorted = Replicas::sort(
                &self.world.tree.name,
                child,
                leaf,
                worker,
                &self.memory,
                self.now,
            );
            self.replicas.insert(id, sorted);
        }
    }
}
