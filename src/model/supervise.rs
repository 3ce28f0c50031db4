//! What supervisors leave behind them: what the spec does not name any more, and starts that have succeeded.
//!
//! Rule: each step looks at the present state only, so that a decision may be made again after a crash
//! at any point and comes to the same end.

use crate::api::v1alpha1::{OperationKind, StartFailure, SupervisorStatus};

use super::engine::{Engine, Mode};
use super::tree::{NodeId, ROOT, ROOT_NAME};
use super::window::api_time;

/// A fault row of the conditions is left when what it names has been alive this long, in seconds.
pub(super) const SETTLED_SECONDS: i64 = 30;

impl Engine<'_> {
    /// Forgets what the spec does not name any more, and what is disabled and has stopped: enabled
    /// again, it starts as new.
    pub(super) fn forget(&mut self) {
        let tree = self.tree;
        let is_supervisor =
            |name: &str| tree.find(name).is_some_and(|id| tree.policy(id).is_some());
        let records = &mut self.memory.tree.supervisors;
        let is_gone = |record: &&SupervisorStatus| !is_supervisor(&record.name);
        let gone: Vec<String> = records
            .iter()
            .filter(is_gone)
            .map(|s| s.name.clone())
            .collect();
        records.retain(|s| is_supervisor(&s.name));
        for record in &mut self.memory.tree.supervisors {
            let supervisor = tree.find(&record.name);
            // A child that has moved is another supervisor's now.
            let is_child = |name: &str| {
                let found = tree.find(name);
                found.is_some_and(|id| Some(tree.nodes[id].parent) == supervisor)
            };
            // A worker may have the name of a supervisor that is gone.
            record
                .backoff
                .retain(|b| is_child(&b.child) && !gone.contains(&b.child));
            record
                .gave_up
                .retain(|g| g.child.is_empty() || is_child(&g.child));
            for entry in &mut record.charges {
                if !is_child(&entry.child) {
                    entry.failed_starts = 0;
                }
            }
            if let Some(operation) = &mut record.operation
                && !operation.children.is_empty()
            {
                operation.children.retain(|child| is_child(child));
                if operation.children.is_empty() {
                    record.operation = None;
                }
            }
        }
        // Mostly nothing was refused, so that nobody looks whether all is stored.
        let are_stored = || self.is_revision_stored() && self.revisions_to_number().is_empty();
        let refused = self.memory.tree.refused.iter();
        let is_open = |child: &str| tree.has_worker(child) || (child == ROOT_NAME && !are_stored());
        let refused = refused.filter(|one| is_open(&one.child)).cloned().collect();
        self.memory.tree.refused = refused;
        for id in 1..tree.nodes.len() {
            if !self.is_enabled(id) && self.has_stopped(id) {
                self.forget_node(id);
            }
        }
    }

    fn forget_node(&mut self, id: NodeId) {
        let name = self.name(id);
        let parent = self.tree.nodes[self.tree.nodes[id].parent].name;
        self.memory.tree.supervisors.retain(|s| s.name != name);
        if let Some(record) = self
            .memory
            .tree
            .supervisors
            .iter_mut()
            .find(|s| s.name == parent)
        {
            record.backoff.retain(|b| b.child != name);
            record.gave_up.retain(|g| g.child != name);
            for entry in record.charges.iter_mut().filter(|c| c.child == name) {
                // It is out of the way: what it failed at counts no longer than anything else.
                entry.failed_starts = 0;
            }
        }
        if let Some(worker) = self.memory.workers.get_mut(name) {
            worker.started = false;
            worker.started_in = 0;
            worker.slots.clear();
            // It is started as new, in its turn.
            worker.revision.clear();
            worker.turn_time = None;
            worker.update_step = None;
        }
    }

    /// Workers with a quorum have started, and supervisors with all children started have, too.
    pub(super) fn finish_starts(&mut self) {
        let has_started = self.started();
        for (id, leaf) in self.tree.leaves() {
            let quorum = self.quorum(id, leaf);
            let started = has_started[id];
            if let Some(worker) = self.memory.workers.get_mut(self.tree.nodes[id].name) {
                // Without replicas there is nothing whose death could leave less than a quorum.
                worker.started = quorum > 0 && (worker.started || started);
            }
            if started && self.mode(id) == Mode::Up {
                self.note_first_start(id);
            }
        }
        for id in self.tree.supervisors().rev().collect::<Vec<_>>() {
            if self.memory.supervisor(self.name(id)).is_some() {
                self.end_failed_starts(id, &has_started);
                self.finish_start(id, &has_started);
            }
        }
    }

    fn finish_start(&mut self, id: NodeId, has_started: &[bool]) {
        let name = self.tree.nodes[id].name;
        let all = self.mode(id) == Mode::Up && has_started[id] && !self.has_former(id);
        let is_done = match self.operation_of(id).map(|operation| operation.kind) {
            Some(OperationKind::Start) => all,
            Some(OperationKind::Restart) => self.has_restarted(id, has_started),
            _ => false,
        };
        let now = api_time(self.now);
        let record = self.memory.supervisor_mut(name);
        if is_done {
            record.operation = None;
        }
        if all && record.operation.is_none() && record.finished.is_none() {
            record.started_time.get_or_insert(now);
            self.note_first_start(id);
        }
    }

    /// Remembers that a child has started in this incarnation of its parent; what follows from a later start that fails
    /// may depend on it.
    fn note_first_start(&mut self, id: NodeId) {
        if id == ROOT || self.has_ever_started(id) {
            return;
        }
        let (name, parent) = (self.tree.nodes[id].name, self.tree.nodes[id].parent);
        let Some(record) = self.memory.supervisor(self.name(parent)) else {
            return;
        };
        let incarnation = record.incarnation;
        let fails = self.tree.parent_policy(id).on_start_failure == StartFailure::Fail;
        let decides = (fails && record.started_time.is_none()) || self.start_of(id).is_none();
        if let Some(worker) = self.memory.workers.get_mut(name) {
            worker.started_in = incarnation;
            if decides {
                self.memory.intend_worker(name);
            }
        } else {
            self.memory.supervisor_mut(name).started_in = incarnation;
            if decides {
                self.memory.intend_tree();
            }
        }
    }

    /// Charges for starts that failed age like any others once the child has started.
    ///
    /// What is old stays here until the supervisor is charged again, as in OTP, where only a restart looks through the
    /// window: by then an edit may have made the window longer.
    fn end_failed_starts(&mut self, id: NodeId, has_started: &[bool]) {
        let is_started = |child: &str| {
            let mut children = self.tree.nodes[id].children.iter();
            children.any(|id| self.tree.nodes[*id].name == child && has_started[*id])
        };
        let record = self.memory.supervisor_mut(self.tree.nodes[id].name);
        for entry in &mut record.charges {
            if is_started(&entry.child) {
                entry.failed_starts = 0;
            }
        }
    }

    /// Whether everything that a supervisor restarts has started.
    fn has_restarted(&self, id: NodeId, has_started: &[bool]) -> bool {
        let mut members = self
            .enabled_children(id)
            .filter(|child| self.start_of(*child).is_some());
        self.mode_of_children(id) == Mode::Up
            && members.all(|child| has_started[child] && !self.has_former(child))
    }
}
