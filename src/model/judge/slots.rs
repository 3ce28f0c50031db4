//! What a death means for its slot: its window and its delays, being parked, and what is noted of it.
//!
//! Rule: a slot is charged with the numbers of its supervisor; it never takes its worker down.

use jiff::Timestamp;

use super::{cut, pod_of};
use crate::api::conditions::Reason;
use crate::api::v1alpha1::{BrakeStatus, NodeChargeStatus, ParkedStatus, Strategy, TroubleStatus};
use crate::model::build::AVOID_NODE_CHARGES;
use crate::model::charge::restarts_allowed;
use crate::model::deaths::Death;
use crate::model::decision::Notice;
use crate::model::engine::Engine;
use crate::model::fault::{Fault, Verdict};
use crate::model::outcome::{Charged, Cost, Next};
use crate::model::reasons::EventReason;
use crate::model::tree::NodeId;
use crate::model::window::{
    after, api_time, backoff_delay, brake_delay, in_window, next_retry_delay, resets_brake,
    seconds_between,
};

impl BrakeStatus {
    /// The brake on the next replacement after so many, the last of them at that time.
    pub(in crate::model) fn after(count: i64, last: Timestamp) -> Self {
        Self {
            count: count + 1,
            due_time: api_time(after(last, brake_delay(count))),
        }
    }
}

/// Most charged deaths whose node is remembered.
const NODE_CHARGES: usize = 10;

impl Engine<'_> {
    /// Whether replacing the Pod spends nothing: others deleted it, and nothing delays its successor, whose name shows
    /// whom it follows, as long as the slot is known to have stood on that one.
    pub(super) fn is_free(&self, death: &Death) -> bool {
        let is_interchangeable = self
            .tree
            .leaf(death.leaf)
            .is_some_and(|leaf| !leaf.is_stable());
        let stored = self.worker(death.leaf).map(|worker| &worker.status.slots);
        let mut stored = stored.into_iter().flatten();
        let is_stored = stored
            .any(|slot| slot.slot == death.slot && slot.pod_uid == death.pod_uid && !slot.gone);
        let strategy = self.tree.parent_policy(death.leaf).strategy;
        strategy == Strategy::OneForOne
            && is_interchangeable
            && is_stored
            && death.is_deleting
            && death.ruling.verdict == Verdict::Infrastructure
            && self.replacements(death) == 0
    }

    /// How many uncharged replacements of the slot followed each other so far.
    pub(super) fn replacements(&self, death: &Death) -> i64 {
        let since = death.since.filter(|_| death.was_started);
        let slot = self.slot(death.leaf, death.slot);
        match slot.and_then(|slot| slot.brake.as_ref()) {
            Some(brake) if !resets_brake(since, death.toll.at) => brake.count,
            _ => 0,
        }
    }

    /// An uncharged replacement: at once, but slower and slower when it goes on.
    pub(super) fn brake(&mut self, death: &Death) -> Next {
        let count = self.replacements(death);
        let slot = self
            .memory
            .slot_mut(self.tree.nodes[death.leaf].name, death.slot);
        slot.brake = Some(BrakeStatus::after(count, death.toll.at));
        self.restarted(death)
    }

    /// Remembers the node of a charged death, so that a node with two of them is avoided.
    pub(super) fn note_node(&mut self, death: &Death) {
        let intensity = self.tree.parent_policy(death.leaf).intensity;
        let slot = self
            .memory
            .slot_mut(self.tree.nodes[death.leaf].name, death.slot);
        slot.node_charges
            .retain(|charge| in_window(&charge.time, death.toll.at, &intensity));
        if let Some(node) = &death.node {
            slot.node_charges.push(NodeChargeStatus {
                node: node.clone(),
                time: api_time(death.toll.at),
            });
            // Two on one node are enough to avoid it.
            let mut newest_first: Vec<_> = std::mem::take(&mut slot.node_charges);
            newest_first.reverse();
            for charge in newest_first {
                let same = slot.node_charges.iter().filter(|c| c.node == charge.node);
                if same.count() < AVOID_NODE_CHARGES && slot.node_charges.len() < NODE_CHARGES {
                    slot.node_charges.insert(0, charge);
                }
            }
        }
    }

    /// Charges a death to its slot, while a quorum of the worker is alive or still starting.
    pub(super) fn charge_slot(&mut self, death: &Death) -> (Cost, Next) {
        let policy = *self.tree.parent_policy(death.leaf);
        let slot = self
            .memory
            .slot_mut(self.tree.nodes[death.leaf].name, death.slot);
        slot.charges
            .retain(|time| in_window(time, death.toll.at, &policy.intensity));
        let allowed = restarts_allowed(policy.intensity);
        death.toll.add_to(&mut slot.charges, allowed);
        let long = death.was_started
            && death.since.is_some_and(|since| {
                seconds_between(since, death.toll.at) >= i64::from(policy.intensity.period_seconds)
            });
        if long {
            slot.step = 0;
        }
        slot.step += death.toll.count;
        slot.due_time = Some(api_time(after(
            death.toll.at,
            backoff_delay(&policy.backoff, slot.step - 1),
        )));
        let charged = Charged {
            who: format!("{}/{}", self.tree.nodes[death.leaf].name, death.slot),
            is_slot: true,
            spent: slot.charges.len(),
            allowed,
            period_seconds: policy.intensity.period_seconds,
        };
        if charged.spent <= allowed {
            return (Cost::Charged(charged), self.restarted(death));
        }
        let delay = next_retry_delay(slot.parked.as_ref().map(|p| p.delay_seconds));
        slot.charges.clear();
        slot.step = 0;
        slot.due_time = None;
        let retry = api_time(after(death.toll.at, delay));
        slot.parked = Some(ParkedStatus {
            retry_time: retry.clone(),
            delay_seconds: delay,
            waiting: true,
        });
        let message = format!(
            "slot {} of {} died more than {allowed} times in {} s; it is tried again at {}",
            death.slot, self.tree.nodes[death.leaf].name, policy.intensity.period_seconds, retry.0
        );
        self.set_trouble(
            death.leaf,
            death.slot,
            Reason::SlotParked,
            Some(&death.fault),
            &message,
        );
        let next = Next::Parked { until: retry.0 };
        self.notices.push(Notice {
            warning: true,
            reason: EventReason::SlotParked.as_str().to_owned(),
            action: "GiveUp",
            child: self.name(death.leaf).to_owned(),
            slot: Some(death.slot),
            what: "is given up for now".to_owned(),
            why: charged.overflow(),
            next: Some(next.clone()),
            pod: pod_of(death),
            ..Notice::default()
        });
        (Cost::Charged(charged), next)
    }

    /// Notes what keeps a slot from being up; the first sighting counts.
    pub(in crate::model) fn set_trouble(
        &mut self,
        id: NodeId,
        slot: i32,
        reason: Reason,
        fault: Option<&Fault>,
        message: &str,
    ) {
        let now = api_time(self.now);
        let slot = self.memory.slot_mut(self.tree.nodes[id].name, slot);
        let since = match &slot.trouble {
            Some(trouble) if trouble.reason == reason.as_str() => trouble.since_time.clone(),
            _ => now,
        };
        let class = fault.map_or("", |fault| fault.class.as_str());
        slot.trouble = Some(TroubleStatus {
            reason: reason.as_str().to_owned(),
            class: class.to_owned(),
            told: TroubleStatus::told_before(slot, class),
            since_time: since,
            claim: false,
            message: cut(message, 512),
        });
    }
}
