//! Charging supervisors: windows, delays, and giving up.
//!
//! Rule: a charge is an intent; it is stored before anything is done about it.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::v1alpha1::{
    BackoffStatus, ChargeStatus, GaveUpStatus, GiveUp, OperationKind, OperationStatus,
};

use super::decision::Notice;
use super::engine::Engine;
use super::judge::cut;
use super::tree::NodeId;
use super::window::{after, api_time, backoff_delay, in_window, next_retry_delay, seconds_between};

/// A charge to a supervisor for one of its children.
#[derive(Clone, Debug)]
pub(super) struct Charge {
    /// The child.
    pub child: NodeId,
    /// When it died.
    pub at: Timestamp,
    /// How many deaths nobody saw came before, and since when they may lie.
    pub unseen: i64,
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
        let child = self.name(charge.child).to_owned();
        let supervisor = self.memory.supervisor_mut(self.tree.nodes[parent].name);
        for entry in &mut supervisor.charges {
            if !entry.unstarted {
                entry
                    .times
                    .retain(|time| in_window(time, charge.at, &policy.intensity));
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
        let room = policy.intensity.max_restarts - i32::try_from(elsewhere).unwrap_or(i32::MAX);
        add_charges(
            &mut entry.times,
            charge.at,
            charge.unseen,
            charge.since,
            room,
        );
        let spent = elsewhere + entry.times.len();

        let step = supervisor
            .backoff
            .iter()
            .find(|b| b.child == child)
            .map_or(0, |b| b.step);
        let long = charge.was_started
            && charge.since.is_some_and(|since| {
                seconds_between(since, charge.at) >= i64::from(policy.intensity.period_seconds)
            });
        let step = if long { 0 } else { step };
        let due = after(charge.at, backoff_delay(&policy.backoff, step));
        supervisor.backoff.retain(|b| b.child != child);
        supervisor.backoff.push(BackoffStatus {
            child: child.clone(),
            step: step + 1,
            due_time: api_time(due),
        });
        self.memory.intend_tree();
        if self.tree.leaf(charge.child).is_some() {
            self.memory
                .restart_slots(self.tree.nodes[charge.child].name);
        }

        let allowed = usize::try_from(policy.intensity.max_restarts).unwrap_or(0);
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
        let text = match policy {
            GiveUp::Escalate => {
                let record = self.memory.supervisor_mut(name);
                record.operation = Some(OperationStatus {
                    kind: OperationKind::GiveUp,
                    since_time: api_time(self.now),
                    message: cut(&message, 1024),
                });
                format!("{name} gives up: its children are stopped and its parent judges")
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
                    templates,
                    message: cut(&message, 1024),
                }];
                format!(
                    "{name} gives up and stays stopped until `retryAt` or an edit of a template"
                )
            }
            GiveUp::Retry => self.give_up_worst(supervisor, charge, &message),
        };
        self.notices.push(Notice {
            warning: true,
            // Events of one reason are taken for repetitions of each other, so each outcome has its own.
            reason: match policy {
                GiveUp::Escalate => "SupervisorEscalated",
                GiveUp::Retry => "ChildGivenUp",
                GiveUp::Stop => "SupervisorStopped",
            }
            .to_owned(),
            action: "GiveUp",
            message: format!("{message}; {text}"),
            pod: None,
        });
        self.give_ups += 1;
        text
    }

    /// `Retry` under `OneForOne`: only the child with the most charges is given up, the latest on a tie.
    fn give_up_worst(&mut self, supervisor: NodeId, charge: &Charge, message: &str) -> String {
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
        let retry = api_time(after(charge.at.max(self.now), delay));
        record.gave_up.retain(|g| g.child != worst);
        let templates = self
            .tree
            .find(&worst)
            .map_or_else(String::new, |id| self.tree.templates(id));
        let record = self.memory.supervisor_mut(name);
        record.gave_up.push(GaveUpStatus {
            child: worst.clone(),
            since_time: api_time(self.now),
            retry_time: Some(retry.clone()),
            delay_seconds: delay,
            waiting: true,
            templates,
            message: cut(message, 1024),
        });
        format!("{worst} is given up and tried again at {}", retry.0)
    }
}

/// Adds a death to a window, and before it those that nobody saw, evenly spread. The unseen ones fill
/// the window at most to `room`, so that giving up always takes a death that was seen.
pub(super) fn add_charges(
    window: &mut Vec<Time>,
    at: Timestamp,
    unseen: i64,
    since: Option<Timestamp>,
    room: i32,
) {
    let last = window.last().map_or(Timestamp::MIN, |time| time.0);
    let free = i64::from(room) - i64::try_from(window.len()).unwrap_or(i64::MAX);
    let unseen = unseen.min(free).max(0);
    let from = since.unwrap_or(at).max(last).min(at);
    let gap = seconds_between(from, at) / (unseen + 1);
    for number in 0..unseen {
        window.push(api_time(after(from, gap * number)));
    }
    let last = window.last().map_or(Timestamp::MIN, |time| time.0);
    window.push(api_time(at.max(last)));
}
