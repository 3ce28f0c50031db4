//! Judging deaths: who is charged, who is delayed, who gives up.
//!
//! Rule: a death the tree ordered is absorbed; the verdict decides the charge, the strategy the scope.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::api::conditions::Reason;
use crate::api::v1alpha1::{
    BackoffStatus, BrakeStatus, ChargeStatus, GaveUpStatus, GiveUp, JudgedDeath, NodeChargeStatus,
    OperationKind, OperationStatus, ParkedStatus, RecentFault, TroubleStatus,
};

use super::deaths::Death;
use super::decision::{Judged, Notice};
use super::engine::{Engine, Mode};
use super::fault::{Class, Verdict};
use super::tree::NodeId;
use super::window::{
    after, api_time, backoff_delay, brake_delay, in_window, next_retry_delay, resets_brake,
    seconds_between,
};

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
    /// Judges deaths in start order, slots by number.
    pub(super) fn judge(&mut self, deaths: Vec<Death>) {
        let mut down: BTreeMap<NodeId, BTreeSet<i32>> = BTreeMap::new();
        for death in deaths {
            let before = self.alive_at(&death, down.entry(death.leaf).or_default());
            down.entry(death.leaf).or_default().insert(death.slot);
            self.judge_one(&death, before);
        }
    }

    /// The other slots of the worker that were alive at the time of a death.
    fn alive_at(&self, death: &Death, down: &BTreeSet<i32>) -> usize {
        self.lives(death.leaf)
            .iter()
            .filter(|(view, life)| {
                view.slot != death.slot
                    && !down.contains(&view.slot)
                    && life.started
                    && life.alive_since.is_none_or(|since| since <= death.at)
                    && !life.over
            })
            .count()
    }

    fn judge_one(&mut self, death: &Death, others_alive: usize) {
        let child = self.name(death.leaf);
        let mode = self.mode(death.leaf);
        let parked = self
            .slot(death.leaf, death.slot)
            .is_some_and(|s| s.parked.as_ref().is_some_and(|p| p.waiting));
        let ordered = mode == Mode::Down
            || ((mode == Mode::Held || parked) && !death.was_started)
            || (death.outdated && death.fault.class == Class::PodDeleted);
        let charged = !ordered
            && matches!(death.fault.verdict, Verdict::Application | Verdict::Unknown);

        let slot = self.memory.slot_mut(child, death.slot);
        if slot.pod_uid != death.pod_uid {
            slot.begin_pod(&death.pod_uid);
        }
        slot.deaths = death.ended_runs;
        // A held Pod that has ended is left as it is, because a new one would not help either.
        let held = death.fault.verdict == Verdict::Hold && !death.is_deleting;
        slot.gone |= death.over && !held;
        slot.started = false;
        slot.mark_down(death.at);
        let record = JudgedDeath {
            child: child.to_owned(),
            slot: death.slot,
            pod_uid: death.pod_uid.clone(),
            deaths: death.ended_runs,
            gone: slot.gone,
        };
        self.memory.intend_worker(child);
        if ordered {
            return;
        }

        if let Some(worker) = self.memory.workers.get_mut(child) {
            worker.restarts += death.count;
        }
        self.memory.tree.restarts += death.count;
        let decision = match death.fault.verdict {
            Verdict::Hold | Verdict::Wait => {
                self.set_trouble(death.leaf, death.slot, Reason::Held, &death.fault.message);
                "left alone: restarting would not help".to_owned()
            }
            Verdict::Infrastructure => self.brake(death),
            Verdict::Application | Verdict::Unknown => {
                self.charge_death(death, others_alive, record)
            }
        };
        self.tell(death, charged, &decision);
    }

    /// An uncharged replacement: at once, but slower and slower when it goes on.
    fn brake(&mut self, death: &Death) -> String {
        let slot = self.memory.slot_mut(self.tree.nodes[death.leaf].name, death.slot);
        let since = death.since.filter(|_| death.was_started);
        let count = match &slot.brake {
            Some(brake) if !resets_brake(since, death.at) => brake.count,
            _ => 0,
        };
        let delay = brake_delay(count);
        slot.brake = Some(BrakeStatus {
            count: count + 1,
            due_time: api_time(after(death.at, delay)),
        });
        match delay {
            0 => "not charged; replaced at once".to_owned(),
            delay => format!("not charged; replaced after {delay} s"),
        }
    }

    fn charge_death(&mut self, death: &Death, others_alive: usize, record: JudgedDeath) -> String {
        let child = self.name(death.leaf);
        let Some(leaf) = self.tree.leaf(death.leaf) else {
            return String::new();
        };
        if death.fault.class == Class::StartDeadlineExceeded {
            let message = death.fault.message.clone();
            self.set_trouble(death.leaf, death.slot, Reason::StartDeadlineExceeded, &message);
        }
        self.note_node(death);
        let single = self.replicas_wanted(death.leaf, leaf) == 1;
        let started = self.memory.workers.get(child).is_some_and(|w| w.started);
        let quorum = self.quorum(death.leaf, leaf);
        if single || (started && others_alive < quorum) {
            self.memory.judged.push(record);
            return self.charge(&Charge {
                child: death.leaf,
                at: death.at,
                unseen: if single { death.count - 1 } else { 0 },
                was_started: death.was_started,
                since: death.since,
                why: death.fault.message.clone(),
            });
        }
        let text = self.charge_slot(death);
        let unparked = self.unparked(death.leaf);
        if !started && unparked < quorum {
            self.memory.judged.push(record);
            return self.charge(&Charge {
                child: death.leaf,
                at: death.at,
                unseen: 0,
                was_started: false,
                since: None,
                why: format!("only {unparked} of its replicas are left to try, and {quorum} are its quorum"),
            });
        }
        text
    }

    fn unparked(&self, id: NodeId) -> usize {
        self.lives(id)
            .iter()
            .filter(|(view, _)| {
                !self
                    .slot(id, view.slot)
                    .is_some_and(|s| s.parked.as_ref().is_some_and(|p| p.waiting))
            })
            .count()
    }

    /// Remembers the node of a charged death, so that a node with two of them is avoided.
    fn note_node(&mut self, death: &Death) {
        let intensity = self.tree.parent_policy(death.leaf).intensity;
        let slot = self.memory.slot_mut(self.tree.nodes[death.leaf].name, death.slot);
        slot.node_charges
            .retain(|charge| in_window(&charge.time, death.at, &intensity));
        if let Some(node) = &death.node {
            slot.node_charges.push(NodeChargeStatus {
                node: node.clone(),
                time: api_time(death.at),
            });
            let surplus = slot.node_charges.len().saturating_sub(100);
            slot.node_charges.drain(..surplus);
        }
    }

    /// Charges a death to its slot, while a quorum of the worker is alive or still starting.
    fn charge_slot(&mut self, death: &Death) -> String {
        let policy = *self.tree.parent_policy(death.leaf);
        let slot = self.memory.slot_mut(self.tree.nodes[death.leaf].name, death.slot);
        slot.charges.retain(|time| in_window(time, death.at, &policy.intensity));
        add_charges(&mut slot.charges, death.at, death.count - 1, death.since, policy.intensity.max_restarts);
        let long = death.was_started
            && death.since.is_some_and(|since| {
                seconds_between(since, death.at) >= i64::from(policy.intensity.period_seconds)
            });
        if long {
            slot.step = 0;
        }
        slot.due_time = Some(api_time(after(death.at, backoff_delay(&policy.backoff, slot.step))));
        slot.step += 1;
        let spent = slot.charges.len();
        let allowed = usize::try_from(policy.intensity.max_restarts).unwrap_or(0);
        if spent <= allowed {
            return format!(
                "charged to its slot: {spent} of {allowed} in {} s",
                policy.intensity.period_seconds
            );
        }
        let delay = next_retry_delay(slot.parked.as_ref().map(|p| p.delay_seconds));
        slot.charges.clear();
        slot.step = 0;
        slot.due_time = None;
        let retry = api_time(after(death.at, delay));
        slot.parked = Some(ParkedStatus {
            retry_time: retry.clone(),
            delay_seconds: delay,
            waiting: true,
        });
        let message = format!(
            "slot {} of {} died more than {allowed} times in {} s; it is tried again at {}",
            death.slot, self.tree.nodes[death.leaf].name, policy.intensity.period_seconds, retry.0
        );
        self.set_trouble(death.leaf, death.slot, Reason::SlotParked, &message);
        format!("charged to its slot, which is parked until {}", retry.0)
    }

    /// Charges a child's death to its supervisor; says what follows in words.
    pub(super) fn charge(&mut self, charge: &Charge) -> String {
        let parent = self.tree.nodes[charge.child].parent;
        let policy = *self.tree.parent_policy(charge.child);
        let child = self.name(charge.child).to_owned();
        let supervisor = self.memory.supervisor_mut(self.tree.nodes[parent].name);
        for entry in &mut supervisor.charges {
            if !entry.unstarted {
                entry.times.retain(|time| in_window(time, charge.at, &policy.intensity));
            }
        }
        supervisor.charges.retain(|entry| !entry.times.is_empty());
        let elsewhere: usize = supervisor
            .charges
            .iter()
            .filter(|c| c.child != child)
            .map(|c| c.times.len())
            .sum();
        let index = supervisor.charges.iter().position(|c| c.child == child).unwrap_or_else(|| {
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
        add_charges(&mut entry.times, charge.at, charge.unseen, charge.since, room);
        let spent = elsewhere + entry.times.len();

        let step = supervisor.backoff.iter().find(|b| b.child == child).map_or(0, |b| b.step);
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
        self.restart_slots(charge.child);

        let allowed = usize::try_from(policy.intensity.max_restarts).unwrap_or(0);
        let numbers = format!(
            "{spent} of {allowed} in {} s at {}",
            policy.intensity.period_seconds,
            self.name(parent)
        );
        if spent <= allowed {
            return format!("charged: {numbers}");
        }
        let follows = self.give_up(parent, charge, &numbers);
        format!("charged: {numbers}, which is too often; {follows}")
    }

    /// The worker as a whole restarts: the windows of its slots are cleared.
    fn restart_slots(&mut self, child: NodeId) {
        if self.tree.leaf(child).is_none() {
            return;
        }
        let name = self.name(child);
        if let Some(worker) = self.memory.workers.get_mut(name) {
            worker.started = false;
            for slot in &mut worker.slots {
                slot.charges.clear();
                slot.parked = None;
                slot.due_time = None;
                slot.step = 0;
            }
        }
        self.memory.intend_worker(name);
    }

    /// A supervisor exceeded its intensity. Says what follows in words.
    fn give_up(&mut self, supervisor: NodeId, charge: &Charge, numbers: &str) -> String {
        let name = self.name(supervisor);
        let child = self.name(charge.child);
        let policy = self.tree.policy(supervisor).map_or(GiveUp::Stop, |p| p.on_give_up);
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
                format!("{name} gives up and stays stopped until `retryAt` or an edit of a template")
            }
            GiveUp::Retry => self.give_up_worst(supervisor, charge, &message),
        };
        self.notices.push(Notice {
            warning: true,
            reason: "SupervisorGaveUp".to_owned(),
            action: "GiveUp",
            message: format!("{message}; {text}"),
            pod: None,
        });
        self.give_ups += 1;
        text
    }

    /// `Retry` under `OneForOne`: only the child with the most charges is given up, the latest on a tie.
    fn give_up_worst(&mut self, supervisor: NodeId, charge: &Charge, message: &str) -> String {
        let name = self.name(supervisor);
        let record = self.memory.supervisor_mut(name);
        let worst = record
            .charges
            .iter()
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

    /// Notes what keeps a slot from being up; the first sighting counts.
    pub(super) fn set_trouble(&mut self, id: NodeId, slot: i32, reason: Reason, message: &str) {
        let now = api_time(self.now);
        let slot = self.memory.slot_mut(self.tree.nodes[id].name, slot);
        let since = match &slot.trouble {
            Some(trouble) if trouble.reason == reason.as_str() => trouble.since_time.clone(),
            _ => now,
        };
        slot.trouble = Some(TroubleStatus {
            reason: reason.as_str().to_owned(),
            since_time: since,
            message: cut(message, 512),
        });
    }

    fn tell(&mut self, death: &Death, charged: bool, decision: &str) {
        let child = self.name(death.leaf);
        let class = death.fault.class;
        self.judged.push(Judged {
            class,
            verdict: death.fault.verdict,
            charged,
        });
        self.memory.remember_fault(RecentFault {
            time: api_time(death.at),
            child: child.to_owned(),
            slot: death.slot,
            class: class.as_str().to_owned(),
            verdict: format!("{:?}", death.fault.verdict),
            confidence: format!("{:?}", death.fault.confidence),
            message: cut(&death.fault.message, 512),
            decision: cut(decision, 256),
        });
        self.notices.push(Notice {
            warning: true,
            reason: class.event_reason().to_owned(),
            action: "Restart",
            message: format!("{child}/{}: {}; {decision}", death.slot, death.fault.message),
            pod: (!death.pod_name.is_empty())
                .then(|| (death.pod_name.clone(), death.pod_uid.clone())),
        });
    }
}

/// Adds a death to a window, and before it those that nobody saw, evenly spread. The unseen ones fill
/// the window at most to `room`, so that giving up always takes a death that was seen.
fn add_charges(
    window: &mut Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>,
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

/// The text, cut to that many bytes on a character boundary.
pub(super) fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let mut end = bytes - '…'.len_utf8();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

