//! What keeps Pods from starting, and how that is told.
//!
//! Rule: what is wrong with many replicas of a worker is told once, and so is what goes from one replica to the next; what
//! goes to and fro between several faults is told once of each.

use std::collections::BTreeSet;

use crate::api::conditions::Reason;
use crate::api::v1alpha1::{RecentFault, SlotStatus, TroubleStatus};
use crate::model::changes::words;
use crate::model::deaths::evidence;
use crate::model::decision::{Judged, Notice};
use crate::model::engine::Engine;
use crate::model::fault::{self, Class, Fault, Verdict};
use crate::model::judge::recent;
use crate::model::outcome::{Cost, Next};
use crate::model::pod::PodView;
use crate::model::policy::Ruling;
use crate::model::replica::{Life, SlotView};
use crate::model::supervise::SETTLED_SECONDS;
use crate::model::tree::{Leaf, NodeId};
use crate::model::window::{after, api_time, seconds_between};

/// How many slots are named in one Event.
const NAMED_SLOTS: usize = 10;
/// How long ago a refused create was told for the next one to be the same trouble.
const TOLD_SECONDS: i64 = 600;
/// How many classes are remembered as told of one slot.
const TOLD_CLASSES: usize = 8;

/// What keeps a replica from being up.
pub(super) struct Block<'a> {
    /// Its slot.
    pub slot: i32,
    /// Its Pod, if it has one.
    pub pod: Option<&'a PodView>,
    /// What it is.
    pub fault: Fault,
    /// What that means for the tree.
    pub ruling: Ruling,
}

impl Engine<'_> {
    /// Notes what keeps a replica from being up; gives it back when it is news of its slot.
    pub(super) fn note_block<'v>(
        &mut self,
        id: NodeId,
        leaf: &Leaf<'_>,
        view: &SlotView<'v>,
        life: Life,
    ) -> Option<Block<'v>> {
        let Some(pod) = view.current else {
            return self.note_claim(id, leaf, view, life);
        };
        if pod.is_deleting() {
            self.note_fence(id, leaf, view, pod);
            return None;
        }
        if life.alive {
            return None;
        }
        if pod.node.is_none() {
            // Nothing but the time tells that no scheduler looks at a Pod.
            self.wake(after(pod.created, SETTLED_SECONDS));
        }
        let block = fault::identify_block(&evidence(pod, self.world), self.now)
            .filter(|fault| !fault.is_beside_an_end(pod, life.run_ended));
        if block
            .as_ref()
            .is_some_and(|fault| self.is_told_of_claims(id, view.slot, pod, fault))
        {
            return None;
        }
        let ruling = block
            .as_ref()
            .map(|fault| self.tree.ruling(id, fault, None))
            .filter(|ruling| !ruling.restarts());
        let reason = ruling.as_ref().map(|ruling| match ruling.verdict {
            Verdict::Wait => Reason::WaitingForCapacity,
            _ => Reason::Held,
        });
        let (Some(fault), Some(ruling), Some(reason)) = (block, ruling, reason) else {
            self.clear_gone_block(id, view.slot, pod, life);
            return None;
        };
        let is_news = self.note_trouble(id, view.slot, reason, &fault);
        is_news.then_some(Block {
            slot: view.slot,
            pod: Some(pod),
            fault,
            ruling,
        })
    }

    /// Notes what keeps a slot from being up. Says whether it is news of that slot.
    pub(super) fn note_trouble(
        &mut self,
        id: NodeId,
        slot: i32,
        reason: Reason,
        fault: &Fault,
    ) -> bool {
        let known = self.slot(id, slot).and_then(|slot| slot.trouble.as_ref());
        let is_news = !known.is_some_and(|known| has_told(known, reason, fault));
        self.set_trouble(id, slot, reason, Some(fault), &fault.message);
        is_news
    }

    /// Notes the claim that keeps the Pod of a slot from being made; gives it back when it is news of its slot.
    fn note_claim<'v>(
        &mut self,
        id: NodeId,
        leaf: &Leaf<'_>,
        view: &SlotView<'v>,
        life: Life,
    ) -> Option<Block<'v>> {
        let fault = self.claim_in_the_way(id, leaf, view, life)?;
        let reason = match fault.class {
            Class::NameCollision => Reason::NameCollision,
            _ => Reason::WaitingForCapacity,
        };
        let is_news = self.note_trouble(id, view.slot, reason, &fault);
        is_news.then(|| Block {
            slot: view.slot,
            pod: None,
            ruling: Ruling::of_class(&fault),
            fault,
        })
    }

    /// Whether a slot is held because of what was told of a claim, and nothing more is known now than that there is no volume.
    fn is_told_of_claims(&self, id: NodeId, slot: i32, pod: &PodView, fault: &Fault) -> bool {
        let known = self.slot(id, slot).and_then(|slot| slot.trouble.as_ref());
        let evidence = evidence(pod, self.world);
        fault.class == Class::PvcUnbound
            && known.is_some_and(|known| {
                let since = known.since_time.0;
                is_block(known) && fault::stands_for_claims(&evidence, &known.class, since)
            })
    }

    /// The slots of which it is known that something keeps them from being up.
    pub(super) fn blocked_slots(&self, id: NodeId) -> BTreeSet<i32> {
        let worker = self.memory.workers.get(self.name(id));
        let slots = worker.into_iter().flat_map(|worker| &worker.slots);
        let blocked = slots.filter(|slot| slot.trouble.as_ref().is_some_and(is_told));
        blocked.map(|slot| slot.slot).collect()
    }

    /// Tells the news of a worker, whose slots were `blocked` before: each cause once, unless it has been told of another
    /// slot that still suffers from it, or, of a refused create, lately.
    pub(super) fn tell_blocks(
        &mut self,
        id: NodeId,
        blocked: &BTreeSet<i32>,
        blocks: Vec<Block<'_>>,
    ) {
        if blocks.is_empty() {
            return;
        }
        // Stored as an intent, so that it is told once.
        self.memory.intend_worker(self.tree.nodes[id].name);
        let prefix = format!("{}-{}-", self.world.tree.name, self.name(id));
        let cause = |fault: &Fault| {
            let text = what_is_common(&fault.message, &prefix);
            (fault.class.as_str().to_owned(), text)
        };
        let stored = self.worker(id).map(|worker| &worker.status.slots);
        let known = stored.into_iter().flatten();
        let known = known.filter(|slot| blocked.contains(&slot.slot));
        let known: Vec<&TroubleStatus> = known.filter_map(|slot| slot.trouble.as_ref()).collect();
        let causes: BTreeSet<(String, String)> = known
            .iter()
            .map(|known| {
                let text = what_is_common(&known.message, &prefix);
                (known.class.clone(), text)
            })
            .collect();
        let earlier: BTreeSet<&str> = known
            .iter()
            .flat_map(|known| &known.told)
            .map(String::as_str)
            .collect();
        let mut groups: Vec<(Block<'_>, Vec<i32>)> = Vec::new();
        for block in blocks {
            let is_told = causes.contains(&cause(&block.fault))
                || earlier.contains(block.fault.class.as_str())
                || block.pod.is_none() && self.was_told_lately(id, &prefix, &cause(&block.fault));
            let is_same = |(first, _): &&mut (Block<'_>, Vec<i32>)| {
                first.ruling == block.ruling && cause(&first.fault) == cause(&block.fault)
            };
            if is_told {
                self.count_block(id, &block);
            } else if let Some((_, others)) = groups.iter_mut().find(is_same) {
                others.push(block.slot);
                self.count_block(id, &block);
            } else {
                groups.push((block, Vec::new()));
            }
        }
        for (block, others) in groups {
            self.tell_block(id, &block, &others);
        }
    }

    /// Whether people were told of that cause a short while ago: where there is room for one replica after the other, the
    /// refusal goes from one to the next, which is the same trouble.
    fn was_told_lately(&self, id: NodeId, prefix: &str, (class, text): &(String, String)) -> bool {
        let child = self.name(id);
        self.memory.tree.recent_faults.iter().any(|known| {
            known.child == child
                && known.class == *class
                && seconds_between(known.time.0, self.now) <= TOLD_SECONDS
                && what_is_common(&known.message, prefix) == *text
        })
    }

    /// Tells what keeps a replica from being up, and those others of its worker.
    pub(super) fn tell_block(&mut self, id: NodeId, block: &Block<'_>, others: &[i32]) {
        self.count_block(id, block);
        let Block {
            slot,
            pod,
            fault,
            ruling,
        } = block;
        let slot = *slot;
        let child = self.name(id);
        let cost = Cost::Free;
        let next = match ruling.verdict {
            Verdict::Wait => Next::Waits,
            Verdict::Hold => Next::LeftAlone,
            _ => Next::TriedAgain,
        };
        let recent = recent(fault, ruling, child, slot, (&cost, &next));
        let wanted = |leaf| self.memory.revision_of(child, slot, leaf);
        let revision = pod.map_or_else(
            || self.tree.leaf(id).map_or("", wanted),
            |pod| pod.revision.as_str(),
        );
        let revision = revision.to_owned();
        self.memory.remember_fault(RecentFault {
            time: api_time(self.now),
            revision,
            ..recent
        });
        self.notices.push(Notice {
            warning: true,
            reason: fault.class.event_reason().to_owned(),
            action: "Wait",
            child: child.to_owned(),
            slot: Some(slot),
            what: String::new(),
            why: format!("{}{}", fault.message, with_others(others)),
            fault: Some((fault.class, fault.verdict)),
            cost: Some(cost),
            next: Some(next),
            pod: pod.map(|pod| (pod.name.clone(), pod.uid.clone())),
        });
    }
    /// Counts a fault that keeps a replica from being up.
    fn count_block(&mut self, id: NodeId, block: &Block<'_>) {
        self.judged.push(Judged {
            child: self.name(id).to_owned(),
            class: block.fault.class,
            slot: block.slot,
            verdict: block.fault.verdict,
            charged: None,
        });
    }
}

impl TroubleStatus {
    /// The classes that were told of a slot before it came into this trouble.
    pub(in crate::model) fn told_before(slot: &SlotStatus, class: &str) -> Vec<String> {
        let Some(known) = slot.trouble.as_ref().filter(|known| is_told(known)) else {
            return Vec::new();
        };
        let all = known.told.iter().chain([&known.class]);
        let mut others: Vec<String> = all
            .filter(|told| !told.is_empty() && *told != class)
            .cloned()
            .collect();
        let surplus = others.len().saturating_sub(TOLD_CLASSES);
        others.drain(..surplus);
        others
    }
}

/// Whether people are told of it once for the worker: what keeps a Pod from starting, or from being made.
fn is_told(trouble: &TroubleStatus) -> bool {
    let refused = [Reason::CreateRefused, Reason::NameCollision];
    is_block(trouble)
        || refused
            .iter()
            .any(|reason| reason.as_str() == trouble.reason)
}

/// Whether it is something that keeps a Pod from starting.
pub(super) fn is_block(trouble: &TroubleStatus) -> bool {
    [Reason::Held, Reason::WaitingForCapacity]
        .iter()
        .any(|reason| reason.as_str() == trouble.reason)
}

/// Whether that fault of a slot has been told since its trouble began.
fn has_told(known: &TroubleStatus, reason: Reason, fault: &Fault) -> bool {
    let class = fault.class.as_str();
    // What very many slots say is not kept of each, nor has a former version stored it.
    let is_same = known.class.is_empty() || known.class == class;
    (is_same && known.reason == reason.as_str()) || known.told.iter().any(|told| told == class)
}

/// What a message says of every replica: without numbers, and without names that begin with that prefix.
fn what_is_common(message: &str, prefix: &str) -> String {
    let common = words(message).filter(|word| !word.contains(prefix));
    let common = common.map(|word| word.replace(|c: char| c.is_ascii_digit(), ""));
    common.collect::<Vec<_>>().join(" ")
}

/// The other slots that suffer from the same, as the end of a sentence.
fn with_others(slots: &[i32]) -> String {
    let named: Vec<String> = slots.iter().take(NAMED_SLOTS).map(i32::to_string).collect();
    let rest = match slots.len().saturating_sub(NAMED_SLOTS) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    match slots {
        [] => String::new(),
        [one] => format!(" (and so with slot {one})"),
        _ => format!(" (and so with slots {}{rest})", named.join(", ")),
    }
}
