//! Charging supervisors: windows, delays, and giving up.
//!
//! Rule: a charge is an intent; it is stored before anything is done about it.

use jiff::Timestamp;

use crate::api::v1alpha1::{
    BackoffStatus, ChargeStatus, GaveUpStatus, GiveUp, Intensity, OperationKind, Strategy,
};

use super::decision::Notice;
use super::engine::Engine;
use super::judge::cut;
use super::outcome::{Charged, Next};
use super::reasons::EventReason;
use super::tree::NodeId;
use super::window::{
    Toll, after, api_time, backoff_delay, next_retry_delay, seconds_between, whole_second,
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
    /// Whether a rule says that the supervisor gives up at once.
    pub escalates: bool,
}

/// How many charges a window takes before it overflows.
pub(super) fn restarts_allowed(intensity: Intensity) -> usize {
    usize::try_from(intensity.max_restarts).unwrap_or(0)
}

impl Engine<'_> {
    /// Charges a child's death to its supervisor. Gives back the charge, and what follows when that is more than a restart.
    pub(super) fn charge(&mut self, charge: &Charge) -> (Charged, Option<Next>) {
        let parent = self.tree.nodes[charge.child].parent;
        let policy = *self.tree.parent_policy(charge.child);
        let at = charge.toll.at;
        let child = self.name(charge.child).to_owned();
        let supervisor = self.memory.supervisor_mut(self.tree.nodes[parent].name);
        for entry in &mut supervisor.charges {
            if charge.was_started && entry.child == child {
                entry.failed_starts = 0;
            }
            entry.forget_old(at, policy.intensity);
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
                    failed_starts: 0,
                });
                supervisor.charges.len() - 1
            });
        let entry = &mut supervisor.charges[index];
        if !charge.was_started {
            entry.failed_starts += charge.toll.count;
        }
        let allowed = restarts_allowed(policy.intensity);
        charge
            .toll
            .add_to(&mut entry.times, allowed.saturating_sub(elsewhere));
        let most = i64::try_from(entry.times.len()).unwrap_or(i64::MAX);
        entry.failed_starts = entry.failed_starts.min(most);
        let spent = elsewhere + entry.times.len();
        // Deaths that nobody saw are not entered where others have filled the window.
        supervisor.charges.retain(|entry| !entry.times.is_empty());

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

        let charged = Charged {
            who: self.name(parent).to_owned(),
            is_slot: false,
            spent,
            allowed,
            period_seconds: policy.intensity.period_seconds,
        };
        let numbers = if spent > allowed {
            charged.overflow()
        } else {
            "a rule of `faultPolicy` escalates it".to_owned()
        };
        let gives_up = spent > allowed || charge.escalates;
        let follows = gives_up.then(|| self.give_up(parent, charge, &numbers));
        (charged, follows)
    }

    /// A supervisor exceeded its intensity. Says what follows.
    fn give_up(&mut self, supervisor: NodeId, charge: &Charge, numbers: &str) -> Next {
        let name = self.name(supervisor);
        let child = self.name(charge.child);
        let policy = self
            .tree
            .policy(supervisor)
            .map_or(GiveUp::Stop, |p| p.on_give_up);
        let message = format!("{child}: {}; {numbers}", charge.why);
        // Each outcome has a reason of its own, so that people can watch for it.
        let (reason, about, what, next) = match policy {
            GiveUp::Escalate => {
                let operation = self.operation(OperationKind::GiveUp, &message);
                self.memory.supervisor_mut(name).operation = Some(operation);
                let supervisor = name.to_owned();
                let next = Next::Escalates { supervisor };
                (
                    EventReason::SupervisorEscalated,
                    name.to_owned(),
                    "gives up",
                    next,
                )
            }
            GiveUp::Stop => {
                let next = self.give_up_all(supervisor, &message);
                (
                    EventReason::SupervisorStopped,
                    name.to_owned(),
                    "gives up",
                    next,
                )
            }
            GiveUp::Retry => {
                let (about, next) = self.give_up_scope(supervisor, charge, &message);
                (EventReason::ChildGivenUp, about, "is given up", next)
            }
        };
        // Who died is named already where it is what was given up.
        let why = if about == child {
            format!("{}; {numbers}", charge.why)
        } else {
            message
        };
        self.notices.push(Notice {
            warning: true,
            reason: reason.as_str().to_owned(),
            action: "GiveUp",
            child: about,
            what: what.to_owned(),
            why,
            next: Some(next.clone()),
            ..Notice::default()
        });
        self.give_ups += 1;
        next
    }

    /// A supervisor is given up as a whole, as its policy says. Says what follows.
    pub(super) fn give_up_all(&mut self, supervisor: NodeId, message: &str) -> Next {
        let name = self.name(supervisor);
        let policy = self
            .tree
            .policy(supervisor)
            .map_or(GiveUp::Stop, |p| p.on_give_up);
        let retries = policy == GiveUp::Retry;
        let at = retries.then_some(self.now);
        let retry = self.give_up_nodes(supervisor, &[supervisor], at, message);
        self.memory.supervisor_mut(name).operation = None;
        Next::Stopped {
            supervisor: name.to_owned(),
            retry,
        }
    }

    /// `Retry`: what the strategy names is given up. Gives back what that is, and what follows.
    fn give_up_scope(
        &mut self,
        supervisor: NodeId,
        charge: &Charge,
        message: &str,
    ) -> (String, Next) {
        let strategy = self.tree.parent_policy(charge.child).strategy;
        let at = charge.toll.at.max(self.now);
        if strategy == Strategy::OneForAll {
            let next = self.give_up_all(supervisor, message);
            return (self.name(supervisor).to_owned(), next);
        }
        let child = match strategy {
            // What it was in the middle of is part of that: to go on with it would start children whose supervisor gives up.
            Strategy::RestForOne => self.rest_from(charge.child),
            // A rule speaks of this child, whoever else has died more often.
            _ if charge.escalates => charge.child,
            // A window holds the charge that made it overflow, so that there is a worst one.
            _ => self.worst_child(supervisor).unwrap_or(charge.child),
        };
        let name = self.name(child).to_owned();
        let scope = match strategy {
            Strategy::RestForOne => self.tree.from_child(child).to_vec(),
            _ => vec![child],
        };
        let retry = self.give_up_nodes(supervisor, &scope, Some(at), message);
        let next = Next::GivenUp {
            child: name.clone(),
            others: scope.len() - 1,
            retry,
        };
        (name, next)
    }

    /// The child with the most charges, the latest on a tie.
    fn worst_child(&mut self, supervisor: NodeId) -> Option<NodeId> {
        let tree = self.tree;
        let name = self.name(supervisor);
        let record = self.memory.supervisor(name)?;
        let worst = record
            .charges
            .iter()
            .filter(|c| {
                // A child that was removed or has moved is not this supervisor's to give up, and one that has ended is well.
                tree.find(&c.child).is_some_and(|id| {
                    let node = &tree.nodes[id];
                    node.parent == supervisor && node.enabled && !self.has_finished(id)
                })
            })
            .max_by_key(|c| (c.times.len(), c.times.last().map(|t| t.0)))?;
        tree.find(&worst.child)
    }

    /// Gives up a scope of a supervisor: all of it, a child, or a child and those after it. With `at` it is tried again: the
    /// clock of a narrower scope goes on in a wider one. Its charges are dropped, those of the whole window where the
    /// strategy has the children depend on each other.
    fn give_up_nodes(
        &mut self,
        supervisor: NodeId,
        scope: &[NodeId],
        at: Option<Timestamp>,
        message: &str,
    ) -> Option<Timestamp> {
        let tree = self.tree;
        let is_one = tree
            .policy(supervisor)
            .is_some_and(|policy| policy.strategy == Strategy::OneForOne);
        let names: Vec<&str> = scope.iter().map(|id| tree.nodes[*id].name).collect();
        let is_all = scope == [supervisor];
        let rest = !is_all && !is_one;
        let is_within = |child: &str| is_all || names.contains(&child);
        let number = if is_all || rest {
            self.memory.next_operation()
        } else {
            0
        };
        let record = self.memory.supervisor_mut(tree.nodes[supervisor].name);
        record.charges.retain(|c| is_one && !is_within(&c.child));
        record.backoff.retain(|b| !is_within(&b.child));
        let taken_over = record.gave_up.iter().filter(|g| is_within(&g.child));
        let previous = taken_over
            .map(|g| g.delay_seconds)
            .filter(|delay| *delay > 0);
        let delay = next_retry_delay(previous.max());
        let retry = at.map(|at| whole_second(after(at, delay)));
        record.gave_up.retain(|g| !is_within(&g.child));
        record.gave_up.push(GaveUpStatus {
            child: if is_all {
                String::new()
            } else {
                names[0].to_owned()
            },
            rest,
            number,
            since_time: api_time(self.now),
            retry_time: retry.map(api_time),
            delay_seconds: if retry.is_some() { delay } else { 0 },
            waiting: true,
            settled: false,
            templates: tree.templates(scope),
            message: cut(message, 1024),
        });
        if !is_one {
            // What it was in the middle of is over.
            record.operation = None;
        }
        self.memory.intend_tree();
        retry
    }
}
