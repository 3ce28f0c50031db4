//! Exits: supervisors that give up, cannot start or shut themselves down, and what their parents make of it.
//!
//! Rule: a supervisor exits when everything below it has stopped, and its parent judges that once.

use crate::api::v1alpha1::{
    AutoShutdown, GaveUpStatus, OperationKind, OperationStatus, Restart, StartFailure,
};

use super::charge::Charge;
use super::decision::Notice;
use super::engine::{Engine, Mode};
use super::judge::cut;
use super::outcome::{Cost, Next};
use super::reasons::EventReason;
use super::tree::{NodeId, ROOT};
use super::window::{Toll, api_time};

impl Engine<'_> {
    /// Whether a supervisor is to run only after its parent has judged its exit.
    pub(super) fn has_exited(&self, id: NodeId) -> bool {
        self.exit_of(id).is_some()
    }

    fn exit_of(&self, id: NodeId) -> Option<&OperationStatus> {
        let operation = self.operation_of(id);
        operation.filter(|operation| operation.kind.exits())
    }

    /// Supervisors that exit and have stopped: their parents judge that as a death. What is below comes first, so that an exit
    /// can go all the way up at once; siblings come in start order, like deaths that are seen together.
    pub(super) fn finish_exits(&mut self) {
        for id in self.tree.upward_order() {
            let Some(operation) = self.exit_of(id).cloned() else {
                continue;
            };
            if !self.has_stopped(id) {
                continue;
            }
            if id == ROOT {
                self.end_root(&operation);
            } else if self.mode_from_above(id) == Mode::Up {
                self.judge_exit(id, &operation);
            }
        }
    }

    /// Nobody above could start the root again.
    fn end_root(&mut self, operation: &OperationStatus) {
        let why = &operation.message;
        if operation.kind == OperationKind::ShutDown {
            self.finish_supervisor(ROOT, false);
            self.tell_exit(ROOT, "has shut itself down", why, None, None);
        } else {
            let next = self.give_up_all(ROOT, why);
            self.tell_exit(ROOT, "could not start", why, None, Some(next));
        }
    }

    fn judge_exit(&mut self, id: NodeId, operation: &OperationStatus) {
        let node = &self.tree.nodes[id];
        let why = &operation.message;
        let record = self.memory.supervisor(node.name);
        let has_started = record.is_some_and(|record| record.started_time.is_some());
        let kind = match operation.kind {
            // OTP: to exceed the intensity before everything has started is to fail the start.
            OperationKind::GiveUp if !has_started => OperationKind::FailStart,
            kind => kind,
        };
        match (kind, node.restart) {
            (OperationKind::ShutDown, Restart::Transient | Restart::Temporary) => {
                self.finish_supervisor(id, false);
                let next = Some(Next::NotRestarted);
                self.tell_exit(id, "has shut itself down", why, Some(Cost::Free), next);
                self.child_has_finished(id);
            }
            (OperationKind::FailStart, _) if self.fails_first_start(id) => {
                self.fail_start(node.parent, &format!("{}: {why}", node.name));
                let supervisor = self.name(node.parent).to_owned();
                let next = Some(Next::FailsStart { supervisor });
                self.tell_exit(id, "could not start", why, Some(Cost::Free), next);
            }
            (OperationKind::GiveUp, Restart::Transient | Restart::Temporary)
            | (OperationKind::FailStart, Restart::Temporary) => {
                self.stay_given_up(id, why);
                let what = match operation.kind {
                    OperationKind::FailStart => "could not start and has stopped",
                    _ => "gave up and has stopped",
                };
                let next = Next::Stopped {
                    supervisor: node.name.to_owned(),
                    retry: None,
                };
                let why = match operation.kind {
                    OperationKind::FailStart => why,
                    _ => "",
                };
                self.tell_exit(id, what, why, Some(Cost::Free), Some(next));
            }
            _ => self.charge_exit(id, operation),
        }
    }

    fn charge_exit(&mut self, id: NodeId, operation: &OperationStatus) {
        let name = self.tree.nodes[id].name;
        let record = self.memory.supervisor(name);
        let started = record.and_then(|record| record.started_time.clone());
        let verb = match operation.kind {
            OperationKind::FailStart => "could not start",
            OperationKind::ShutDown => "shut itself down",
            _ => "gave up",
        };
        let why = format!("{verb} ({})", operation.message);
        let place = self.notices.len();
        let charge = Charge {
            child: id,
            toll: Toll::one(self.now),
            was_started: started.is_some(),
            since: started.map(|time| time.0),
            why: why.clone(),
            escalates: false,
        };
        let (charged, mut next) = self.charge(&charge);
        let cost = Cost::Charged(charged);
        if self.mode_from_above(id) == Mode::Up {
            let again = self.regroup(id, &format!("{name} {why}"));
            let again = again.unwrap_or_else(|| {
                self.new_incarnation(id, &format!("restarted after it {verb}"));
                let at = self.due_of_child(id).filter(|due| *due > self.now);
                Next::Regrouped { siblings: 0, at }
            });
            next = next.or(Some(again));
        }
        let what = format!("{verb} and has stopped");
        // Why it gave up or shuts itself down was told when it began to.
        let why = match operation.kind {
            OperationKind::FailStart => operation.message.as_str(),
            _ => "",
        };
        self.tell_exit(id, &what, why, Some(cost), next);
        // What follows from an exit is told after it.
        if let Some(notice) = self.notices.pop() {
            self.notices.insert(place, notice);
        }
    }

    fn tell_exit(
        &mut self,
        id: NodeId,
        what: &str,
        why: &str,
        cost: Option<Cost>,
        next: Option<Next>,
    ) {
        let has_finished = self.has_finished(id);
        let (reason, action) = if has_finished {
            (EventReason::SupervisorFinished, "Finish")
        } else {
            (EventReason::SupervisorExited, "Restart")
        };
        self.notices.push(Notice {
            warning: !has_finished,
            reason: reason.as_str().to_owned(),
            action,
            child: self.name(id).to_owned(),
            what: what.to_owned(),
            why: why.to_owned(),
            cost,
            next,
            ..Notice::default()
        });
    }

    /// OTP takes a give-up for a clean end, so that only a permanent child is restarted after it; but here it is not the
    /// end: a person, or an edit, can have it tried again.
    fn stay_given_up(&mut self, id: NodeId, why: &str) {
        let entry = GaveUpStatus {
            child: self.tree.nodes[id].name.to_owned(),
            rest: false,
            number: 0,
            since_time: api_time(self.now),
            retry_time: None,
            delay_seconds: 0,
            waiting: true,
            settled: false,
            templates: self.tree.templates(&[id]),
            message: cut(why, 1024),
        };
        let parent = self.tree.nodes[self.tree.nodes[id].parent].name;
        let record = self.memory.supervisor_mut(parent);
        record.gave_up.retain(|g| g.child != entry.child);
        record.gave_up.push(entry);
        self.memory.intend_tree();
    }

    /// Whether a start of that child that fails is the first one in this incarnation of its parent, which then has failed
    /// to start, too.
    pub(super) fn fails_first_start(&self, child: NodeId) -> bool {
        let parent = self.name(self.tree.nodes[child].parent);
        let record = self.memory.supervisor(parent);
        self.tree.parent_policy(child).on_start_failure == StartFailure::Fail
            && record.is_some_and(|record| record.started_time.is_none())
            && !self.has_ever_started(child)
    }

    /// Whether a child has started at all in this incarnation of its parent.
    pub(super) fn has_ever_started(&self, child: NodeId) -> bool {
        let (name, parent) = (self.name(child), self.name(self.tree.nodes[child].parent));
        let incarnation = self
            .memory
            .supervisor(parent)
            .map(|record| record.incarnation);
        let started_in = match self.memory.workers.get(name) {
            Some(worker) => Some(worker.started_in),
            None => self.memory.supervisor(name).map(|record| record.started_in),
        };
        incarnation.is_some() && started_in == incarnation
    }

    /// Whether a supervisor stops what had started, because it has failed to start.
    pub(super) fn has_failed_to_start(&self, supervisor: NodeId) -> bool {
        let exit = self.exit_of(supervisor);
        exit.is_some_and(|operation| operation.kind == OperationKind::FailStart)
    }

    /// A supervisor has failed to start: what has started is stopped, then its parent judges.
    pub(super) fn fail_start(&mut self, supervisor: NodeId, why: &str) {
        let operation = self.operation(OperationKind::FailStart, why);
        let record = self.memory.supervisor_mut(self.tree.nodes[supervisor].name);
        record.operation = Some(operation);
    }

    /// A child has ended as its type allows: it may be the end of its supervisor, too. OTP asks this at the end of a
    /// significant child only, so that one which is disabled afterwards does not end anything.
    pub(super) fn child_has_finished(&mut self, child: NodeId) {
        let node = &self.tree.nodes[child];
        if !node.significant || self.mode_of_children(node.parent) != Mode::Up {
            return;
        }
        let is_active = |id: &NodeId| self.tree.nodes[*id].significant && !self.has_finished(*id);
        let ends = match self.tree.parent_policy(child).auto_shutdown {
            AutoShutdown::Never => false,
            AutoShutdown::AnySignificant => true,
            AutoShutdown::AllSignificant => {
                !self.enabled_children(node.parent).any(|id| is_active(&id))
            }
        };
        if !ends {
            return;
        }
        let supervisor = self.tree.nodes[node.parent].name;
        let operation = self.operation(
            OperationKind::ShutDown,
            &format!("its significant child {} has ended", node.name),
        );
        self.memory.supervisor_mut(supervisor).operation = Some(operation);
        self.notices.push(Notice {
            reason: EventReason::SupervisorShutsDown.as_str().to_owned(),
            action: "Stop",
            child: supervisor.to_owned(),
            what: "shuts itself down".to_owned(),
            why: format!("its significant child {} has ended", node.name),
            next: Some(Next::ShutsDown),
            ..Notice::default()
        });
    }

    /// `suspend` ends what supervisors are in the middle of or wait for; taken back, everything begins anew.
    pub(super) fn suspend(&mut self) {
        let is_suspended = self
            .operation_of(ROOT)
            .is_some_and(|operation| operation.kind == OperationKind::Suspend);
        match (self.tree.suspended, is_suspended) {
            (true, false) => {
                let operation = self.operation(OperationKind::Suspend, "`suspend` is true");
                for record in &mut self.memory.tree.supervisors {
                    record.operation = None;
                    record.started_time = None;
                    record.charges.clear();
                    record.backoff.clear();
                    record.gave_up.clear();
                }
                self.memory.supervisor_mut(self.name(ROOT)).operation = Some(operation);
            }
            (false, true) => self.new_incarnation(ROOT, "`suspend` was taken back"),
            _ => {}
        }
    }
}
