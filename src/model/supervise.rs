//! What supervisors go through: they begin, wait, retry, give up and restart.
//!
//! Rule: each step looks at the present state only, so that a decision may be made again after a crash
//! at any point and comes to the same end.

use jiff::Timestamp;

use crate::api::conditions::Reason;
use crate::api::v1alpha1::{OperationKind, OperationStatus, SupervisorStatus};

use super::charge::Charge;
use super::decision::Notice;
use super::engine::{Engine, Mode};
use super::judge::cut;
use super::tree::{NodeId, ROOT};
use super::window::{Toll, api_time, in_window};

/// A fault row of the conditions is left when what it names has been alive this long, in seconds.
pub(super) const SETTLED_SECONDS: i64 = 30;

impl Engine<'_> {
    /// Forgets what the spec does not name any more, and what is disabled and has stopped: enabled
    /// again, it starts as new.
    pub(super) fn forget(&mut self) {
        let tree = self.tree;
        let is_supervisor =
            |name: &str| tree.find(name).is_some_and(|id| tree.policy(id).is_some());
        self.memory
            .tree
            .supervisors
            .retain(|s| is_supervisor(&s.name));
        for record in &mut self.memory.tree.supervisors {
            let supervisor = tree.find(&record.name);
            // A child that has moved is another supervisor's now.
            let is_child = |name: &str| {
                let found = tree.find(name);
                found.is_some_and(|id| Some(tree.nodes[id].parent) == supervisor)
            };
            record.backoff.retain(|b| is_child(&b.child));
            record
                .gave_up
                .retain(|g| g.child.is_empty() || is_child(&g.child));
            for entry in &mut record.charges {
                entry.unstarted &= is_child(&entry.child);
            }
        }
        self.memory.tree.refused.retain(|r| {
            tree.find(&r.child)
                .is_some_and(|id| tree.leaf(id).is_some())
        });
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
        }
        if let Some(worker) = self.memory.workers.get_mut(name) {
            worker.started = false;
            worker.slots.clear();
        }
    }

    /// A supervisor that is to run and has no record begins its first incarnation.
    pub(super) fn begin(&mut self) {
        for id in self.tree.supervisors() {
            if self.mode(id) == Mode::Up && self.memory.supervisor(self.name(id)).is_none() {
                let message = "first start".to_owned();
                *self.memory.supervisor_mut(self.tree.nodes[id].name) = SupervisorStatus {
                    name: self.tree.nodes[id].name.to_owned(),
                    incarnation: 1,
                    operation: Some(start(self.now, message)),
                    ..SupervisorStatus::default()
                };
                self.memory.intend_tree();
            }
        }
    }

    /// Workers follow the incarnations of the supervisors above them and the edits of their template:
    /// both end what their slots wait for.
    pub(super) fn sync_workers(&mut self) {
        for (id, leaf) in self.tree.leaves() {
            let name = self.name(id);
            let incarnation = self
                .tree
                .ancestors(id)
                .filter_map(|up| self.memory.supervisor(self.name(up)))
                .map(|s| s.incarnation)
                .sum();
            let Some(worker) = self.memory.workers.get_mut(name) else {
                continue;
            };
            let restarted = worker.incarnation != 0 && incarnation != worker.incarnation;
            let edited = !worker.revision.is_empty() && worker.revision != leaf.revision;
            if incarnation != 0 {
                worker.incarnation = incarnation;
            }
            worker.revision.clone_from(&leaf.revision);
            if restarted {
                worker.started = false;
            }
            if restarted || edited {
                for slot in &mut worker.slots {
                    let charges = if restarted {
                        Vec::new()
                    } else {
                        slot.charges.clone()
                    };
                    slot.forget_restarts();
                    slot.charges = charges;
                    slot.down_time = None;
                }
                self.memory.intend_worker(name);
            }
            if edited {
                let parent = self.tree.nodes[self.tree.nodes[id].parent].name;
                let records = &mut self.memory.tree.supervisors;
                if let Some(supervisor) = records.iter_mut().find(|s| s.name == parent) {
                    supervisor.backoff.retain(|b| b.child != name);
                }
            }
        }
    }

    /// Ends the waits whose time has come, or that `retryAt` or an edit of a template ends.
    pub(super) fn end_waits(&mut self) {
        let asked = self.retry_asked();
        for id in self.tree.supervisors().collect::<Vec<_>>() {
            self.end_supervisor_waits(id, asked);
        }
        let mut times = Vec::new();
        let ended: Vec<String> = self
            .replicas
            .values()
            .flat_map(super::replica::Replicas::pods)
            .filter(|pod| pod.is_terminal())
            .map(|pod| pod.uid.clone())
            .collect();
        for (name, worker) in &mut self.memory.workers {
            for slot in &mut worker.slots {
                let Some(parked) = slot.parked.as_mut().filter(|p| p.waiting) else {
                    continue;
                };
                if asked || parked.retry_time.0 <= self.now {
                    parked.waiting = false;
                    self.memory.worker_intents.insert(name.clone());
                } else {
                    times.push(parked.retry_time.0);
                }
            }
            if asked {
                for slot in &mut worker.slots {
                    slot.brake = None;
                    slot.due_time = None;
                    slot.down_time = None;
                    // A held Pod that has ended is not retried by the kubelet, so the retry replaces it.
                    slot.gone |= slot.trouble.take().is_some_and(|t| {
                        t.reason == Reason::Held.as_str() && ended.contains(&slot.pod_uid)
                    });
                    self.memory.worker_intents.insert(name.clone());
                }
            }
        }
        for time in times {
            self.wake(time);
        }
    }

    /// Whether `spec.retryAt` asks for a retry now. Each value acts once.
    fn retry_asked(&mut self) -> bool {
        let Some(wanted) = &self.world.tree.spec.retry_at else {
            return false;
        };
        // What is stored has no fractions of a second.
        let wanted = api_time(wanted.0);
        if self.memory.tree.handled_retry_time.as_ref() == Some(&wanted) {
            return false;
        }
        if wanted.0 > self.now {
            self.wake(wanted.0);
            return false;
        }
        self.memory.tree.handled_retry_time = Some(wanted);
        self.memory.intend_tree();
        true
    }

    fn end_supervisor_waits(&mut self, id: NodeId, asked: bool) {
        let name = self.name(id);
        let Some(record) = self.memory.supervisor(name).cloned() else {
            return;
        };
        for entry in &record.gave_up {
            let scope = self.scope(id, entry);
            let Some(scope) = scope else { continue };
            let edited = entry.templates != self.tree.templates(scope);
            let due = entry
                .retry_time
                .as_ref()
                .is_some_and(|time| time.0 <= self.now);
            if entry.waiting && (edited || asked || due) {
                self.end_wait(id, scope, &entry.child, edited || asked);
            } else if entry.waiting {
                if let Some(time) = &entry.retry_time {
                    self.wake(time.0);
                }
            } else if edited || self.has_stayed_up(id, scope) {
                let record = self.memory.supervisor_mut(self.tree.nodes[id].name);
                record.gave_up.retain(|g| g.child != entry.child);
            } else if !entry.settled && self.alive_for(scope, SETTLED_SECONDS) {
                let record = self.memory.supervisor_mut(self.tree.nodes[id].name);
                for one in record.gave_up.iter_mut().filter(|g| g.child == entry.child) {
                    one.settled = true;
                }
            }
        }
    }

    fn has_stayed_up(&mut self, id: NodeId, scope: NodeId) -> bool {
        let period = self
            .tree
            .policy(id)
            .map_or(0, |p| p.intensity.period_seconds);
        self.alive_for(scope, i64::from(period).max(SETTLED_SECONDS))
    }

    fn end_wait(&mut self, id: NodeId, scope: NodeId, child: &str, fresh: bool) {
        let why = if fresh {
            "an edit or `retryAt` asked for it"
        } else {
            "it was time to try again"
        };
        let record = self.memory.supervisor_mut(self.tree.nodes[id].name);
        for entry in record.gave_up.iter_mut().filter(|g| g.child == child) {
            entry.waiting = false;
        }
        if fresh {
            record.gave_up.retain(|g| g.child != child);
        }
        record.backoff.retain(|b| b.child != child);
        self.memory.intend_tree();
        if self.tree.policy(scope).is_some() {
            if scope == id || self.has_exited(scope) {
                self.new_incarnation(scope, why);
            }
        } else if let Some(worker) = self.memory.workers.get_mut(child) {
            worker.started = false;
            for slot in &mut worker.slots {
                let trouble = slot.trouble.take();
                slot.forget_restarts();
                slot.trouble = trouble.filter(|_| !fresh);
            }
            self.memory.intend_worker(child);
        }
        self.notices.push(Notice {
            warning: false,
            reason: "RetryStarted".to_owned(),
            action: "Restart",
            child: self.name(scope).to_owned(),
            message: format!("{} is started again: {why}", self.name(scope)),
            pod: None,
        });
    }

    fn has_exited(&self, id: NodeId) -> bool {
        self.memory
            .supervisor(self.name(id))
            .and_then(|s| s.operation.as_ref())
            .is_some_and(|o| o.kind == OperationKind::GiveUp)
    }

    /// A new incarnation of a supervisor and of all below it: windows, delays and waits are empty.
    pub(super) fn new_incarnation(&mut self, scope: NodeId, why: &str) {
        for id in scope..self.tree.nodes.len() {
            if self.tree.policy(id).is_none() || !self.tree.is_within(scope, id) {
                continue;
            }
            let name = self.tree.nodes[id].name;
            if id != scope && self.memory.supervisor(name).is_none() {
                continue;
            }
            let record = self.memory.supervisor_mut(name);
            // A whole-supervisor retry keeps its entry, which remembers the last delay.
            record.gave_up.retain(|g| id == scope && g.child.is_empty());
            record.incarnation += 1;
            record.started_time = None;
            record.charges.clear();
            record.backoff.clear();
            record.operation = Some(start(self.now, cut(why, 1024)));
        }
        self.memory.intend_tree();
        self.sync_workers();
    }

    /// Supervisors that gave up and have stopped: their parents judge that as a death.
    pub(super) fn finish_give_ups(&mut self) {
        for id in self.tree.supervisors().rev().collect::<Vec<_>>() {
            if id == ROOT || !self.has_exited(id) || !self.has_stopped(id) {
                continue;
            }
            if self.mode_from_above(id) != Mode::Up {
                continue;
            }
            let record = self.memory.supervisor(self.name(id));
            let why = record
                .and_then(|s| s.operation.as_ref())
                .map_or_else(String::new, |o| o.message.clone());
            let started = record.and_then(|s| s.started_time.clone());
            let place = self.notices.len();
            let text = self.charge(&Charge {
                child: id,
                toll: Toll::one(self.now),
                was_started: started.is_some(),
                since: started.map(|time| time.0),
                why: format!("gave up ({why})"),
            });
            let notice = Notice {
                warning: true,
                reason: "SupervisorExited".to_owned(),
                action: "Restart",
                child: self.name(id).to_owned(),
                message: format!("{} gave up and has stopped; {text}", self.name(id)),
                pod: None,
            };
            self.notices.insert(place, notice);
            if self.mode_from_above(id) == Mode::Up {
                self.new_incarnation(id, "restarted after it gave up");
            }
        }
    }

    /// Whether a supervisor is to run as far as those above it are concerned.
    fn mode_from_above(&self, id: NodeId) -> Mode {
        let parent = self.tree.nodes[id].parent;
        let shut = self.memory.supervisor(self.name(parent)).is_some_and(|s| {
            s.operation
                .as_ref()
                .is_some_and(|o| o.kind == OperationKind::GiveUp)
                || s.gave_up.iter().any(|g| g.child.is_empty() && g.waiting)
        });
        if shut || !self.is_enabled(id) || self.mode(parent) == Mode::Down {
            Mode::Down
        } else if self.given_up(id).is_some() {
            Mode::Held
        } else {
            Mode::Up
        }
    }

    /// Workers with a quorum have started, and supervisors with all children started have, too. Charges
    /// for failed starts of a child that has started age like any others from now on.
    pub(super) fn finish_starts(&mut self) {
        let has_started = self.started();
        for (id, leaf) in self.tree.leaves() {
            let quorum = self.quorum(id, leaf);
            let started = has_started[id];
            if let Some(worker) = self.memory.workers.get_mut(self.tree.nodes[id].name) {
                // Without replicas there is nothing whose death could leave less than a quorum.
                worker.started = quorum > 0 && (worker.started || started);
            }
        }
        for id in self.tree.supervisors().rev().collect::<Vec<_>>() {
            let children: Vec<NodeId> = self.tree.nodes[id].children.clone();
            let started: Vec<&str> = children
                .iter()
                .filter(|child| has_started[**child])
                .map(|child| self.tree.nodes[*child].name)
                .collect();
            let all = self.mode(id) == Mode::Up && has_started[id];
            let now = self.now;
            let period = self.tree.policy(id).map(|p| p.intensity);
            let name = self.tree.nodes[id].name;
            if self.memory.supervisor(name).is_none() {
                continue;
            }
            let record = self.memory.supervisor_mut(name);
            for entry in &mut record.charges {
                entry.unstarted &= !started.contains(&entry.child.as_str());
                if let (Some(intensity), false) = (period, entry.unstarted) {
                    entry.times.retain(|time| in_window(time, now, &intensity));
                }
            }
            record.charges.retain(|entry| !entry.times.is_empty());
            let starting = record
                .operation
                .as_ref()
                .is_some_and(|o| o.kind == OperationKind::Start);
            if starting && all {
                record.operation = None;
                record.started_time = Some(api_time(now));
            }
        }
    }
}

fn start(now: Timestamp, message: String) -> OperationStatus {
    OperationStatus {
        kind: OperationKind::Start,
        since_time: api_time(now),
        message,
    }
}
