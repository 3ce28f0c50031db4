//! Charging supervisors: windows, delays, and giving up.
//!
//! Rule: a charge is an intent; it is stored before anything is done about it.

use jiff::Timestamp;

use crate::api::v1alpha1::{
    BackoffStatus, ChargeStatus, GaveUpStatus, GiveUp, OperationKind, OperationStatus,
};

use super::decision::Notice;
use super::engine::Engine;
use super::judge::cut;
use super::tree::NodeId;
use super::window::{
    Toll, after, api_time, backoff_delay, in_window, next_retry_delay, seconds_between,
    whole_second,
};

/// A charge to a supervisor for one of its children.
#[derive(Clone, Debug)]
pub(super) struct Charge {
    /// The child.
    pub child: NodeId,
    /// What its death adds to the window.
    pub toll: Toll,
    /// Whether it had started.
    pub was_started: bool,
    /// Since when it had been there.
    pub since: Option<Timestamp>,
    /// Why, in words.
    pub why: String,
}

impl Engine<'_> {
    /// Charges a child's death to its supervisor; says what follows in words.
    pub(super) fn charge(&mut self, charge: &Charge) -> String {
        let parent = self.tree.nodes[charge.child].parent;
        let policy = *self.tree.parent_policy(charge.child);
        let at = charge.toll.at;
        let child = self.name(charge.child).to_owned();
        let supervisor = self.memory.supervisor_mut(self.tree.nodes[parent].name);
        for entry in &mut supervisor.charges {
            if !entry.unstarted {
                entry
                    .times
                    .retain(|time| in_window(time, at, &policy.intensity));
            }
        }
        supervisor.charges.retain(|entry| !entry.times.is_empty());
        let elsewhere: usize = supervisor
            .charges
            .iter()
            .filter(|c| c.child != child)
            .map(|c| c.times.len())
            .sum();
        let index = supervisor
            .charges
            .iter()
            .position(|c| c.child == child)
            .unwrap_or_else(|| {
                supervisor.charges.push(ChargeStatus {
                    child: child.clone(),
                    times: Vec::new(),
                    unstarted: false,
                });
                supervisor.charges.len() - 1
            });
        let entry = &mut supervisor.charges[index];
        entry.unstarted |= !charge.was_started;
        let allowed = usize::try_from(policy.intensity.max_restarts).unwrap_or(0);
        charge
            .toll
            .add_to(&mut entry.times, allowed.saturating_sub(elsewhere));
        let spent = elsewhere + entry.times.len();

        let step = supervisor
            .backoff
            .iter()
            .find(|b| b.child == child)
            .map_or(0, |b| b.step);
        let long = charge.was_started
            && charge.since.is_some_and(|since| {
                seconds_between(since, at) >= i64::from(policy.intensity.period_seconds)
            });
        let step = charge.toll.count + if long { 0 } else { step };
        let due = after(at, backoff_delay(&policy.backoff, step - 1));
        supervisor.backoff.retain(|b| b.child != child);
        supervisor.backoff.push(BackoffStatus {
            child: child.clone(),
            step,
            due_time: api_time(due),
        });
        self.memory.intend_tree();
        if self.tree.leaf(charge.child).is_some() {
            self.memory
                .restart_slots(self.tree.nodes[charge.child].name);
        }

        let period = policy.intensity.period_seconds;
        let who = self.name(parent);
        if spent <= allowed {
            return format!("charged: restart {spent} of {allowed} within {period} s at {who}");
        }
        let numbers = format!("{spent} deaths within {period} s at {who}, which allows {allowed}");
        let follows = self.give_up(parent, charge, &numbers);
        format!("charged: {numbers}; {follows}")
    }

    /// A supervisor exceeded its intensity. Says what follows in words.
    fn give_up(&mut self, supervisor: NodeId, charge: &Charge, numbers: &str) -> String {
        let name = self.name(supervisor);
        let child = self.name(charge.child);
        let policy = self
            .tree
            .policy(supervisor)
            .map_or(GiveUp::Stop, |p| p.on_give_up);
        let message = format!("{child}: {}; {numbers}", charge.why);
        // Each outcome has a reason of its own, so that people can watch for it.
        let (reason, about, text) = match policy {
            GiveUp::Escalate => {
                let record = self.memory.supervisor_mut(name);
                record.operation = Some(OperationStatus {
                    kind: OperationKind::GiveUp,
                    since_time: api_time(self.now),
                    message: cut(&message, 1024),
                });
                (
                    "SupervisorEscalated",
                    name.to_owned(),
                    format!("{name} gives up: its children are stopped and its parent judges"),
                )
            }
            GiveUp::Stop => {
                let templates = self.tree.templates(supervisor);
                let record = self.memory.supervisor_mut(name);
                record.charges.clear();
                record.backoff.clear();
                record.gave_up = vec![GaveUpStatus {
                    child: String::new(),
                    since_time: api_time(self.now),
                    retry_time: None,
                    delay_seconds: 0,
                    waiting: true,
                    settled: false,
                    templates,
                    message: cut(&message, 1024),
                }];
                (
                    "SupervisorStopped",
                    name.to_owned(),
                    format!(
                        "{name} gives up and stays stopped until `retryAt` or an edit of a template"
                    ),
                )
            }
            GiveUp::Retry => {
                let (worst, retry) = self.give_up_worst(supervisor, charge, &message);
                let text = format!("{worst} is given up and tried again at {retry}");
                ("ChildGivenUp", worst, text)
            }
        };
        self.notices.push(Notice {
            warning: true,
            reason: reason.to_owned(),
            action: "GiveUp",
            child: about,
            message: format!("{message}; {text}"),
            pod: None,
        });
        self.give_ups += 1;
        text
    }

    /// `Retry` under `OneForOne`: only the child with the most charges is given up, the latest on a tie.
    /// Gives back which one, and when it is tried again.
    fn give_up_worst(
        &mut self,
        supervisor: NodeId,
        charge: &Charge,
        message: &str,
    ) -> (String, Timestamp) {
        let tree = self.tree;
        let name = self.name(supervisor);
        let record = self.memory.supervisor_mut(name);
        let worst = record
            .charges
            .iter()
            .filter(|c| {
                // A child that was removed or has moved is not this supervisor's to give up.
                tree.find(&c.child)
                    .is_some_and(|id| tree.nodes[id].parent == supervisor)
            })
            .max_by_key(|c| (c.times.len(), c.times.last().map(|t| t.0)))
            .map_or_else(String::new, |c| c.child.clone());
        record.charges.retain(|c| c.child != worst);
        record.backoff.retain(|b| b.child != worst);
        let previous = record.gave_up.iter().find(|g| g.child == worst);
        let delay = next_retry_delay(previous.map(|g| g.delay_seconds));
        let retry = whole_second(after(charge.toll.at.max(self.now), delay));
        record.gave_up.retain(|g| g.child != worst);
        let templates = self
            .tree
            .find(&worst)
            .map_or_else(String::new, |id| self.tree.templates(id));
        let record = self.memory.supervisor_mut(name);
        record.gave_up.push(GaveUpStatus {
            child: worst.clone(),
            since_time: api_time(self.now),
            retry_time: Some(api_time(retry)),
            delay_seconds: delay,
            waiting: true,
            settled: false,
            templates,
            message: cut(message, 1024),
        });
        (worst, retry)
    }
}
