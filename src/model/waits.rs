//! Waits: what was given up or parked, and when it is tried again.
//!
//! Rule: a wait is a time in a status; it ends once, by that time, by `retryAt` or by an edit of a template.

use crate::api::conditions::Reason;
use crate::api::v1alpha1::{GaveUpStatus, Restart};

use super::decision::Notice;
use super::engine::{Engine, Mode};
use super::reasons::EventReason;
use super::supervise::SETTLED_SECONDS;
use super::tree::{NodeId, ROOT};
use super::window::api_time;

impl Engine<'_> {
    /// Ends the waits whose time has come, or that `retryAt` or an edit of a template ends.
    pub(super) fn end_waits(&mut self) {
        let asked = self.retry_asked();
        for id in self.tree.supervisors().collect::<Vec<_>>() {
            self.end_supervisor_waits(id, asked);
        }
        let why = why_again(asked);
        let mut times = Vec::new();
        let mut notices = Vec::new();
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
                    notices.push(Notice {
                        slot: Some(slot.slot),
                        ..started_again(name, "", why)
                    });
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
        self.notices.append(&mut notices);
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
        if let Some(finished) = &record.finished {
            let is_edited = finished.templates != self.tree.templates(&[id]);
            let may_run = self.tree.nodes[id].restart != Restart::Temporary;
            if is_edited && may_run && (id == ROOT || self.mode_from_above(id) == Mode::Up) {
                self.new_incarnation(id, "a template below it was edited");
            }
        }
        if self.has_exited(id) {
            // It stops all its children; to start some of them again would end that.
            return;
        }
        for entry in &record.gave_up {
            let scope = self.scope(id, entry);
            if scope.is_empty() {
                continue;
            }
            let edited = entry.templates != self.tree.templates(&scope);
            let due = entry
                .retry_time
                .as_ref()
                .is_some_and(|time| time.0 <= self.now);
            if entry.waiting && (edited || asked || due) {
                self.end_wait(id, entry, &scope, edited || asked);
            } else if entry.waiting {
                if let Some(time) = &entry.retry_time {
                    self.wake(time.0);
                }
            } else if edited || self.has_stayed_up(id, &scope) {
                let record = self.memory.supervisor_mut(self.tree.nodes[id].name);
                record.gave_up.retain(|g| g.child != entry.child);
            } else if !entry.settled && self.alive_for(&scope, SETTLED_SECONDS) {
                let record = self.memory.supervisor_mut(self.tree.nodes[id].name);
                for one in record.gave_up.iter_mut().filter(|g| g.child == entry.child) {
                    one.settled = true;
                }
            }
        }
    }

    fn has_stayed_up(&mut self, id: NodeId, scope: &[NodeId]) -> bool {
        let period = self
            .tree
            .policy(id)
            .map_or(0, |p| p.intensity.period_seconds);
        self.alive_for(scope, i64::from(period).max(SETTLED_SECONDS))
    }

    fn end_wait(&mut self, id: NodeId, entry: &GaveUpStatus, scope: &[NodeId], fresh: bool) {
        let why = why_again(fresh);
        let record = self.memory.supervisor_mut(self.tree.nodes[id].name);
        for one in record.gave_up.iter_mut().filter(|g| g.child == entry.child) {
            one.waiting = false;
        }
        if fresh {
            record.gave_up.retain(|g| g.child != entry.child);
        }
        let first = scope[0];
        let names: Vec<&str> = scope.iter().map(|id| self.tree.nodes[*id].name).collect();
        record
            .backoff
            .retain(|b| !names.contains(&b.child.as_str()));
        self.memory.intend_tree();
        if entry.rest {
            // Nothing else is under way that this could forget: the give-up ended it, and a restart that began since then has
            // ended this wait, because its members are all those after the first.
            self.begin_restart(id, first, why);
        } else if self.tree.policy(first).is_some() {
            if first == id || self.has_exited(first) {
                self.new_incarnation(first, why);
            }
        } else {
            self.begin_slots(&entry.child, fresh);
        }
        let with = if entry.rest {
            " with those after it"
        } else {
            ""
        };
        let notice = started_again(self.name(first), with, why);
        self.notices.push(notice);
    }

    /// The slots of a worker that was given up begin anew.
    fn begin_slots(&mut self, child: &str, fresh: bool) {
        if let Some(worker) = self.memory.workers.get_mut(child) {
            worker.started = false;
            for slot in &mut worker.slots {
                let trouble = slot.trouble.take();
                slot.forget_restarts();
                slot.trouble = trouble.filter(|_| !fresh);
            }
            self.memory.intend_worker(child);
        }
    }
}

fn why_again(asked: bool) -> &'static str {
    if asked {
        "an edit or `retryAt` asked for it"
    } else {
        "it was time to try again"
    }
}

fn started_again(child: &str, with: &str, why: &str) -> Notice {
    Notice {
        reason: EventReason::RetryStarted.as_str().to_owned(),
        action: "Restart",
        child: child.to_owned(),
        what: format!("is started again{with}"),
        why: why.to_owned(),
        ..Notice::default()
    }
}
