//! What keeps slots from being up: holds, waits, refused creates, and since when.
//!
//! Rule: a trouble stays until what it names is gone, or the slot was alive for 30 seconds.

mod blocks;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::api::conditions::Reason;
use crate::api::v1alpha1::{BrakeStatus, RefusedStatus, SlotStatus, WorkerStatus};

use super::claims;
use super::deaths::evidence;
use super::decision::Notice;
use super::disruption_budgets;
use super::engine::{Engine, Mode};
use super::fault::{self, Class, Fault};
use super::in_place;
use super::judge::cut;
use super::order::BLIND_STOP_SECONDS;
use super::outcome::Next;
use super::pod::PodView;
use super::policy::Ruling;
use super::reasons::EventReason;
use super::replica::{Life, SlotView, ended_runs, node_of, waits_for_fence};
use super::supervise::SETTLED_SECONDS;
use super::tree::{Leaf, NodeId, ROOT_NAME};
use super::window::{
    BRAKE_RESET_SECONDS, after, api_time, brake_delay, resets_brake, seconds_between,
};
use super::world::Refusal;
use blocks::{Block, is_block};

impl Engine<'_> {
    /// Notes the creates that were refused: each is slowed like any uncharged replacement.
    pub(super) fn note_refusals(&mut self) {
        let mut news: BTreeMap<NodeId, (BTreeSet<i32>, Vec<Block<'_>>)> = BTreeMap::new();
        for refusal in self.world.refusals.clone() {
            let fault = fault::identify_refusal(&refusal);
            let reason = match fault.class {
                Class::NameCollision => Reason::NameCollision,
                Class::QuotaExceeded | Class::QuotaStatusUnknown => Reason::WaitingForCapacity,
                _ => Reason::CreateRefused,
            };
            if refusal.child == ROOT_NAME {
                if self.refuse_worker(&refusal, reason, &fault) {
                    self.tell_unstored_revision(&fault);
                }
                continue;
            }
            if refusal.kind == disruption_budgets::KIND {
                self.refuse_disruption_budget(&refusal, &fault);
                continue;
            }
            if refusal.kind == claims::KIND && refusal.slot.is_none() {
                self.refuse_claim_owner(&refusal, &fault);
                continue;
            }
            if refusal.kind == in_place::KIND {
                self.refuse_in_place(&refusal, &fault);
                continue;
            }
            let Some(id) = self
                .tree
                .find(&refusal.child)
                .filter(|id| self.tree.leaf(*id).is_some())
            else {
                continue;
            };
            let block = Block {
                slot: refusal.slot.unwrap_or(0),
                pod: None,
                ruling: Ruling::of_class(&fault),
                fault,
            };
            match refusal.slot {
                Some(slot) if self.memory.workers.contains_key(&refusal.child) => {
                    let (_, blocks) = news
                        .entry(id)
                        .or_insert_with(|| (self.blocked_slots(id), Vec::new()));
                    if self.refuse_pod(id, slot, &refusal, reason, &block.fault) {
                        blocks.push(block);
                    }
                }
                Some(_) => {}
                None => {
                    if self.refuse_worker(&refusal, reason, &block.fault) {
                        self.tell_block(id, &block, &[]);
                    }
                }
            }
        }
        for (id, (blocked, blocks)) in news {
            self.tell_blocks(id, &blocked, blocks);
        }
    }

    /// A revision could not be stored, or not be given its new number: nothing waits for it but the next try.
    fn tell_unstored_revision(&mut self, fault: &Fault) {
        let what = if self.is_revision_stored() {
            "could not give a stored revision of its templates its new number, so that the order of the stored ones is not that of the status"
        } else {
            "could not store a revision of its templates, so that no upgrade can be taken back to it"
        };
        self.notices.push(Notice {
            warning: true,
            reason: EventReason::RevisionNotStored.as_str().to_owned(),
            action: "Store",
            child: ROOT_NAME.to_owned(),
            what: what.to_owned(),
            why: fault.message.clone(),
            next: Some(Next::TriedAgain),
            ..Notice::default()
        });
    }

    /// Says whether it is news of that slot.
    fn refuse_pod(
        &mut self,
        id: NodeId,
        slot: i32,
        refusal: &Refusal,
        reason: Reason,
        fault: &Fault,
    ) -> bool {
        let child = self.tree.nodes[id].name;
        let news = self.note_trouble(id, slot, reason, fault);
        let memory = self.memory.slot_mut(child, slot);
        if let Some(trouble) = &mut memory.trouble {
            trouble.claim = refusal.kind == claims::KIND;
        }
        let count = memory.brake.as_ref().map_or(0, |b| b.count);
        memory.brake = Some(BrakeStatus {
            count: count + 1,
            due_time: api_time(after(refusal.at, brake_delay(count + 1))),
        });
        memory.mark_down(refusal.at);
        self.memory.intend_worker(child);
        news
    }

    /// What no Pod waits for was tried for a worker, and may have to be tried again: the next try waits longer and longer. Says
    /// which try in a row it was; 0 when there is no such worker.
    pub(super) fn brake_worker(
        &mut self,
        child: &str,
        at: Timestamp,
        brake: fn(&mut WorkerStatus) -> &mut Option<BrakeStatus>,
    ) -> i64 {
        let Some(memory) = self.memory.workers.get_mut(child) else {
            return 0;
        };
        let brake = brake(memory);
        // A try may have been put down before it was made.
        let known = brake.clone().filter(|one| one.due_time.0 > at);
        let next = known.unwrap_or_else(|| {
            let count = brake.as_ref().map_or(0, |brake| brake.count) + 1;
            BrakeStatus {
                count,
                due_time: api_time(after(at, brake_delay(count))),
            }
        });
        let count = next.count;
        *brake = Some(next);
        self.memory.intend_worker(child);
        count
    }

    fn refuse_worker(&mut self, refusal: &Refusal, reason: Reason, fault: &Fault) -> bool {
        let list = &mut self.memory.tree.refused;
        let known = list
            .iter()
            .position(|r| r.child == refusal.child)
            .map(|i| list.remove(i));
        let count = known.as_ref().map_or(0, |r| r.count);
        let news = known.is_none();
        list.push(RefusedStatus {
            child: refusal.child.clone(),
            reason: reason.as_str().to_owned(),
            since_time: known.map_or_else(|| api_time(refusal.at), |r| r.since_time),
            message: cut(&fault.message, 512),
            count: count + 1,
            due_time: api_time(after(refusal.at, brake_delay(count + 1))),
        });
        self.memory.intend_tree();
        news
    }

    /// Brings the troubles, the start latches and the times of being down up to date.
    pub(super) fn note_slots(&mut self) {
        let world = self.world;
        self.memory
            .tree
            .refused
            .retain(|r| !world.workers.contains_key(&r.child));
        self.note_removed();
        for (id, leaf) in self.tree.leaves().collect::<Vec<_>>() {
            self.wake_for_stops(id, leaf);
            let mode = self.mode(id);
            self.note_former(id, leaf);
            let blocked = self.blocked_slots(id);
            let mut blocks = Vec::new();
            for (view, life) in self.lives(id) {
                self.note_pod(id, &view);
                self.latch(id, mode, &view, life);
                blocks.extend(self.note_block(id, leaf, &view, life));
                self.settle(id, mode, &view, life);
            }
            self.tell_blocks(id, &blocked, blocks);
            self.drop_unwanted(id);
        }
    }

    /// What was removed stops by order, even if it is declared again before it has stopped.
    fn note_removed(&mut self) {
        for (child, worker) in &self.world.workers {
            if self.tree.has_worker(child) {
                continue;
            }
            for pod in worker.pods.iter().filter(|pod| pod.slot >= 0) {
                let slot = self.memory.slot_mut(child, pod.slot);
                if slot.pod_uid == pod.uid && !slot.gone {
                    slot.gone = true;
                    self.memory.intend_worker(child);
                }
            }
        }
    }

    /// A stop on a node that does not answer is finished by the passing of time alone.
    fn wake_for_stops(&mut self, id: NodeId, leaf: &Leaf<'_>) {
        let Some(worker) = self.worker(id) else {
            return;
        };
        let patience = i64::from(leaf.settings.node_loss_seconds);
        for pod in worker.pods.iter().filter(|pod| pod.is_deleting()) {
            let lost = node_of(pod, self.world).and_then(|node| node.not_ready_since);
            let times = [lost, pod.deletion.filter(|_| self.world.nodes.is_none())];
            for time in times.into_iter().flatten() {
                self.wake(after(time, patience));
                self.wake(after(time, BLIND_STOP_SECONDS));
            }
        }
    }

    /// The Pod that a slot stands on is remembered from the first sight, so that it is missed when it is gone.
    fn note_pod(&mut self, id: NodeId, view: &SlotView<'_>) {
        let Some(pod) = view.current else {
            return;
        };
        let child = self.tree.nodes[id].name;
        if pod.incarnation < self.memory.incarnation(child) {
            // It is kept to be looked at, and its slot does not stand on it.
            return;
        }
        let memory = self.memory.slot_mut(child, view.slot);
        memory.turn_to(&pod.uid);
        if let Some(failed_inits) = pod.failed_inits() {
            memory.failed_inits = failed_inits;
        }
    }

    /// A start is latched for its life, because unreadiness later on is not a death. What is given up or parked does
    /// not start, and what has begun anew only after its last death was judged.
    fn latch(&mut self, id: NodeId, mode: Mode, view: &SlotView<'_>, life: Life) {
        let is_unsettled = self.unsettled.contains(&(id, view.slot));
        let Some(pod) = view
            .current
            .filter(|_| life.alive && !life.finished && !is_unsettled)
        else {
            return;
        };
        let child = self.tree.nodes[id].name;
        let memory = self.memory.slot_mut(child, view.slot);
        let is_parked = memory.parked.as_ref().is_some_and(|p| p.waiting);
        memory.deaths = memory.deaths.max(ended_runs(pod, Some(memory)));
        memory.started |= mode == Mode::Up && !is_parked;
    }

    /// What a hold, a wait or a refusal named is gone: the Pod exists and nothing blocks it.
    fn clear_gone_block(&mut self, id: NodeId, slot: i32, pod: &PodView, life: Life) {
        // Beside a container that has ended others may go on.
        let ended = pod.is_terminal() || pod.is_crash_looping() || life.run_ended;
        let child = self.tree.nodes[id].name;
        let known = self
            .memory
            .slot(child, slot)
            .and_then(|slot| slot.trouble.as_ref());
        let since = known
            .filter(|known| is_block(known))
            .map(|known| known.since_time.0);
        if since.is_some_and(|since| fault::is_as_it_was(&evidence(pod, self.world), since)) {
            return;
        }
        let memory = self.memory.slot_mut(child, slot);
        let passing = [
            Reason::WaitingForCapacity,
            Reason::CreateRefused,
            Reason::NameCollision,
            Reason::WaitingForFence,
        ];
        if let Some(trouble) = &memory.trouble {
            let held = trouble.reason == Reason::Held.as_str();
            if passing.iter().any(|r| r.as_str() == trouble.reason) || (held && !ended) {
                memory.trouble = None;
            }
        }
    }

    /// A `Stable` Pod that is being deleted on a node that does not answer cannot be replaced yet.
    fn note_fence(&mut self, id: NodeId, leaf: &Leaf<'_>, view: &SlotView<'_>, pod: &PodView) {
        if leaf.is_stable() && waits_for_fence(pod, self.world) {
            let message = format!(
                "{} is lost with node {} and not proven dead, so it is not replaced: bring the node back, delete the Node object, or taint it with node.kubernetes.io/out-of-service=nodeshutdown:NoExecute",
                pod.name,
                pod.node.as_deref().unwrap_or("?")
            );
            self.set_trouble(id, view.slot, Reason::WaitingForFence, None, &message);
        }
    }

    /// What a restart waits for.
    fn note_former(&mut self, id: NodeId, leaf: &Leaf<'_>) {
        let replicas = self.replicas.get(&id).cloned().unwrap_or_default();
        for pod in replicas.former.iter().filter(|pod| pod.is_deleting()) {
            let wanted = replicas.wanted.iter().find(|view| view.slot == pod.slot);
            if let Some(view) = wanted {
                self.note_fence(id, leaf, view, pod);
            }
        }
    }

    /// A trouble is over when the slot was alive for a while; being down is over when it is up.
    fn settle(&mut self, id: NodeId, mode: Mode, view: &SlotView<'_>, life: Life) {
        let now = self.now;
        let child = self.tree.nodes[id].name;
        let period_seconds = self.tree.parent_policy(id).intensity.period_seconds;
        let (mut settles_at, mut unparks_at, mut unbrakes_at) = (None, None, None);
        let memory = self.memory.slot_mut(child, view.slot);
        let stopping = view.current.is_some_and(PodView::is_deleting);
        if let Some(since) = life.alive_since.filter(|_| !stopping) {
            let settled = seconds_between(since, now) >= SETTLED_SECONDS;
            // A slot that has stayed up for its window is parked as if for the first time again.
            let period = i64::from(period_seconds).max(SETTLED_SECONDS);
            if memory.parked.as_ref().is_some_and(|p| !p.waiting) {
                if seconds_between(since, now) >= period {
                    memory.parked = None;
                } else {
                    unparks_at = Some(after(since, period));
                }
            }
            if memory.brake.is_some() {
                if resets_brake(Some(since), now) {
                    memory.brake = None;
                } else {
                    unbrakes_at = Some(after(since, BRAKE_RESET_SECONDS));
                }
            }
            // A wait or a refusal has ended as soon as the replica is alive.
            let passing = memory.trouble.as_ref().is_some_and(|t| {
                [
                    Reason::Held,
                    Reason::WaitingForCapacity,
                    Reason::CreateRefused,
                    Reason::NameCollision,
                    Reason::WaitingForFence,
                ]
                .iter()
                .any(|r| r.as_str() == t.reason)
            });
            if settled || passing {
                memory.trouble = None;
            }
            if !settled {
                settles_at = Some(after(since, SETTLED_SECONDS));
            }
        }
        if life.up || mode == Mode::Down {
            memory.down_time = None;
        } else {
            memory.mark_down(now);
        }
        for time in [settles_at, unparks_at, unbrakes_at].into_iter().flatten() {
            self.wake(time);
        }
    }

    /// Slots that are not wanted any more are forgotten once their Pods are gone, with their windows.
    fn drop_unwanted(&mut self, id: NodeId) {
        let Some(replicas) = self.replicas.get(&id) else {
            return;
        };
        let wanted: BTreeSet<i32> = replicas.wanted.iter().map(|view| view.slot).collect();
        let is_wanted = |slot| wanted.contains(&slot);
        // Of each slot the Pod that it stood on, which comes before its evidence.
        let mut leaving: BTreeMap<i32, &PodView> = BTreeMap::new();
        for pod in &replicas.surplus {
            if pod.slot >= 0 && !is_wanted(pod.slot) {
                leaving.entry(pod.slot).or_insert(pod);
            }
        }
        // While its Pod stops, all that is remembered is that this is no death, and which of its ends were ordered before.
        let leaving: Vec<SlotStatus> = leaving
            .into_iter()
            .map(|(slot, pod)| {
                let known = self.slot(id, slot);
                let deaths = ended_runs(pod, known);
                let ordered = in_place::ordered_ends(known, pod);
                let of_pod = known.filter(|known| known.pod_uid == pod.uid);
                SlotStatus {
                    slot,
                    pod_uid: pod.uid.clone(),
                    deaths,
                    failed_inits: deaths + ordered - pod.ended_runs(),
                    in_place: of_pod.and_then(|known| known.in_place.clone()),
                    gone: true,
                    ..SlotStatus::default()
                }
            })
            .collect();
        let name = self.tree.nodes[id].name;
        if let Some(worker) = self.memory.workers.get_mut(name) {
            worker
                .slots
                .retain(|slot| is_wanted(slot.slot) && !slot.is_empty());
        }
        for left in leaving {
            let known = self.slot(id, left.slot);
            if !known.is_some_and(|known| known.gone && known.pod_uid == left.pod_uid) {
                self.memory.intend_worker(name);
            }
            let slot = left.slot;
            *self.memory.slot_mut(name, slot) = left;
        }
    }
}
