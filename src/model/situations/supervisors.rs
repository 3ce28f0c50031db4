//! Situations of supervisors: what they gave up on, and what they are in the middle of.
//!
//! Rule: a first start is told by the workers, which know what it waits for.

use super::{Situation, Weight, working};
use crate::api::conditions::Reason;
use crate::api::v1alpha1::{GaveUpStatus, OperationKind, OperationStatus};
use crate::model::engine::{Engine, Mode};
use crate::model::tree::NodeId;

impl Engine<'_> {
    pub(super) fn supervisor_situations(&mut self, id: NodeId, all: &mut Vec<Situation>) {
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
                message: format!("{}; {next}", self.give_up_text(id, entry)),
            });
        }
        let operation = record.operation.filter(|_| self.mode(id) == Mode::Up);
        if let Some(operation) = operation
            && let Some(situation) = self.operation_situation(id, &operation)
        {
            all.push(situation);
        }
    }

    /// What was given up by whom and why. That of a child begins with the name of the child.
    fn give_up_text(&self, supervisor: NodeId, entry: &GaveUpStatus) -> String {
        let (name, why) = (self.name(supervisor), &entry.message);
        if entry.child.is_empty() {
            return format!("{name} gave up on all its children: {why}");
        }
        let prefix = format!("{}: ", entry.child);
        let why = why.strip_prefix(&prefix).unwrap_or(why);
        format!("{name} gave up on {}: {why}", scope_name(entry))
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
                    [first, next] => format!("{first} and {next}"),
                    [first, .., last] => format!("{first} to {last}"),
                };
                let step = self.restart_step(id);
                let message = format!("{name} restarts {members}, because {why}; {step}");
                working(Reason::Restarting, message)
            }
            OperationKind::GiveUp => {
                let parent = self.name(self.tree.nodes[id].parent);
                let message = format!(
                    "{name} gives up and stops its children, then {parent} decides what is restarted: {why}"
                );
                working(Reason::Restarting, message)
            }
            OperationKind::FailStart => {
                let message = format!("{name} could not start, and stops what had started: {why}");
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
}

/// What was given up, in words.
fn scope_name(entry: &GaveUpStatus) -> String {
    match (entry.child.as_str(), entry.rest) {
        ("", _) => "all its children".to_owned(),
        (child, false) => child.to_owned(),
        (child, true) => format!("{child} and those after it"),
    }
}
