//! The next safe writes of one slot: whether its Pod goes, stays or is made.
//!
//! Rule: a Pod whose use the tree ends is retired in the same decision, so that its end is no death.

use super::{delete, delete_within_bounds};
use crate::api::conditions::Reason;
use crate::model::build;
use crate::model::decision::Write;
use crate::model::engine::{Engine, Mode};
use crate::model::in_place::under_way;
use crate::model::names;
use crate::model::pod::PodView;
use crate::model::replica::{Life, SlotView, ended_runs, has_ended, is_over, loss_ends_at};
use crate::model::tree::{Leaf, NodeId};
use crate::model::window::after;

/// How long the last ended Pod of a slot is kept as evidence, in seconds.
const EVIDENCE_SECONDS: i64 = 3600;

impl<'a> Engine<'a> {
    /// Ended Pods beside the current one: the newest is kept for an hour, for people to look at.
    pub(super) fn plan_evidence(
        &mut self,
        view: &SlotView<'_>,
        life: &Life,
        writes: &mut Vec<Write>,
    ) {
        let mut kept = life.over;
        for pod in view.others.iter().filter(|pod| !pod.is_deleting()) {
            let expires = after(pod.ended_at(), EVIDENCE_SECONDS);
            if pod.is_terminal() && !kept && expires > self.now {
                kept = true;
                self.wake(expires);
            } else {
                writes.push(delete(pod, None, "another Pod fills its slot"));
            }
        }
    }

    /// Deals with the Pod that a slot stands on. Says whether the slot is free for a new one.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a different side of one slot"
    )]
    pub(super) fn plan_current(
        &mut self,
        id: NodeId,
        leaf: &Leaf<'_>,
        view: &SlotView<'_>,
        life: &Life,
        held: bool,
        update: bool,
        writes: &mut Vec<Write>,
    ) -> bool {
        let Some(pod) = view.current else {
            return true;
        };
        let stable = leaf.is_stable();
        if pod.is_deleting() {
            return !stable && life.over;
        }
        let gone = self
            .slot(id, view.slot)
            .is_some_and(|s| s.gone && s.pod_uid == pod.uid);
        if gone {
            // An ended `Interchangeable` Pod stays as evidence; its successor has another name.
            let keep = !stable && has_ended(pod, leaf, self.world);
            if !keep {
                // One that waits for its container may have been restarted by the kubelet since.
                let may_recover = pod.kubelet_restarts() && pod.is_crash_looping();
                let version = may_recover.then(|| pod.resource_version.clone());
                writes.push(delete(pod, version, "its life has ended"));
            }
            return !stable;
        }
        if update {
            self.retire(id, view.slot, pod);
            // One that is not up costs less than one that is, and may have come up since.
            let version = (!life.up).then(|| pod.resource_version.clone());
            writes.push(delete_within_bounds(pod, version));
            return !stable;
        }
        if let Some(patch) = self.plan_in_place(id, view.slot, pod) {
            writes.push(patch);
            return false;
        }
        match self.outwaits_at(id, view, life, pod) {
            Some(due) if due > self.now => self.wake(due),
            Some(_) => {
                self.retire(id, view.slot, pod);
                self.brake_replacement(id, view.slot);
                // The kubelet may have started it in this instant.
                let version = Some(pod.resource_version.clone());
                writes.push(delete(pod, version, "what it waited for has changed"));
                return !stable;
            }
            None => {}
        }
        // A life that had not started before is one that the kubelet began against the rules.
        let lives_on = life.alive && self.slot(id, view.slot).is_some_and(|s| s.started);
        if held && !lives_on {
            self.retire(id, view.slot, pod);
            writes.push(delete(pod, None, "it was given up for now"));
            return false;
        }
        let is_looping = pod.kubelet_restarts() && pod.is_crash_looping();
        let update = under_way(self.slot(id, view.slot), pod);
        let is_ordered = update.is_some_and(|update| update.awaits_start(pod));
        if is_looping && !is_ordered && !self.is_held(id, view.slot) {
            return self.plan_crash_loop(id, view, pod, stable, writes);
        }
        if !held {
            self.plan_lost(leaf, pod, writes);
        }
        false
    }

    /// A Pod whose node is lost goes when `nodeLossSeconds` have passed. The tree does not retire it: its end is a death like
    /// any other that a lost node causes.
    fn plan_lost(&mut self, leaf: &Leaf<'_>, pod: &PodView, writes: &mut Vec<Write>) {
        match loss_ends_at(pod, leaf, self.world) {
            Some(due) if due > self.now => self.wake(due),
            Some(_) => {
                // It may have become Ready since, because its node is back.
                let version = Some(pod.resource_version.clone());
                writes.push(delete(pod, version, "its node has been lost"));
            }
            None => {}
        }
    }

    /// A container that waits in CrashLoopBackOff is not waited for: a fresh Pod takes over when the
    /// back-off of the tree allows.
    fn plan_crash_loop(
        &mut self,
        id: NodeId,
        view: &SlotView<'_>,
        pod: &PodView,
        stable: bool,
        writes: &mut Vec<Write>,
    ) -> bool {
        if let Some(due) = self.due(id, view.slot).filter(|due| *due > self.now) {
            self.wake(due);
            return false;
        }
        self.retire(id, view.slot, pod);
        writes.push(delete(
            pod,
            Some(pod.resource_version.clone()),
            "its container waits in CrashLoopBackOff",
        ));
        !stable
    }

    /// The tree ends the use of this Pod: its end is no death.
    pub(super) fn retire(&mut self, id: NodeId, slot: i32, pod: &PodView) {
        let child = self.tree.nodes[id].name;
        let memory = self.memory.slot_mut(child, slot);
        if memory.turn_to(&pod.uid) {
            memory.deaths = ended_runs(pod, None);
        }
        memory.end_pod(&pod.uid);
        self.memory.intend_worker(child);
    }

    /// A Pod that was to be replaced because its container waited, and that the kubelet has restarted in that
    /// instant, stays: a restart by the kubelet before the replacement is the restart. If it has ended again
    /// already, that is a death like any other. One that was to give way to a new template, and is still there, may have come
    /// up in that instant, and then others are to go before it.
    pub(in crate::model) fn keep_recovered(&mut self) {
        for (id, leaf) in self.tree.leaves() {
            if self.mode(id) != Mode::Up {
                continue;
            }
            let wanted = self.replicas.get(&id).into_iter().flat_map(|r| &r.wanted);
            let recovered = wanted.filter(|view| self.has_recovered(id, leaf, view));
            let slots: Vec<i32> = recovered.map(|view| view.slot).collect();
            let child = self.tree.nodes[id].name;
            for slot in slots {
                self.memory.slot_mut(child, slot).gone = false;
                self.memory.intend_worker(child);
            }
        }
    }

    fn has_recovered(&self, id: NodeId, leaf: &Leaf<'_>, view: &SlotView<'_>) -> bool {
        let (Some(pod), Some(memory)) = (view.current, self.slot(id, view.slot)) else {
            return false;
        };
        let is_replaced = memory.gone && memory.pod_uid == pod.uid && !leaf.has_finished(memory);
        // One that is to give way to a new template is judged anew, whoever restarts it.
        let may_recover = pod.kubelet_restarts() || !leaf.is_current(pod, self.now);
        if !is_replaced || !may_recover || is_over(pod) {
            return false;
        }
        let late = Reason::StartDeadlineExceeded.as_str();
        // A death that its Worker does not remember, because a crash came between, is remembered by the tree.
        let judged = &self.world.tree.status.judged_deaths;
        let is_judged = judged
            .iter()
            .any(|death| death.gone && death.pod_uid == pod.uid);
        let awaits_its_end = memory.parked.as_ref().is_some_and(|p| p.waiting)
            || memory.trouble.as_ref().is_some_and(|t| t.reason == late)
            || is_judged;
        let runs = !self.life(id, view).run_ended;
        let ended_again = ended_runs(pod, Some(memory)) > memory.deaths;
        !awaits_its_end && (runs || ended_again)
    }

    fn is_held(&self, id: NodeId, slot: i32) -> bool {
        self.slot(id, slot)
            .and_then(|s| s.trouble.as_ref())
            .is_some_and(|t| t.reason == Reason::Held.as_str())
    }

    pub(super) fn plan_create(
        &mut self,
        id: NodeId,
        leaf: &Leaf<'a>,
        view: &SlotView<'_>,
        writes: &mut Vec<Write>,
    ) {
        if let Some(due) = self.due(id, view.slot).filter(|due| *due > self.now) {
            self.wake(due);
            return;
        }
        let Some(worker) = self.worker(id).filter(|worker| !worker.deleting) else {
            return;
        };
        if !self.plan_claims(id, leaf, view.slot, writes) {
            return;
        }
        let tree = &self.world.tree;
        let child = self.name(id);
        let memory = self.slot(id, view.slot);
        let name = if leaf.is_stable() {
            names::stable_pod_name(&tree.name, child, view.slot)
        } else {
            let replaces = view
                .current
                .map(|pod| pod.uid.as_str())
                .or_else(|| memory.map(|m| m.pod_uid.as_str()))
                .unwrap_or_default();
            names::interchangeable_pod_name(&tree.name, child, &worker.uid, view.slot, replaces)
        };
        let (template, revision) = self.template_of_slot(id, leaf, view.slot);
        let place = build::Place {
            tree,
            child,
            leaf,
            template,
            revision: &revision,
            policy: self.tree.parent_policy(id),
            worker,
            slot: view.slot,
            incarnation: self.memory.incarnation(child),
            zoned: self.world.zoned,
            memory,
            now: self.now,
        };
        writes.push(Write::CreatePod {
            child: child.to_owned(),
            slot: view.slot,
            owner_uid: worker.uid.clone(),
            body: build::pod(&place, &name),
            name,
        });
    }
}

/// What the kubelet started again although the replica has finished is stopped. What has ended stays to be looked at.
pub(super) fn plan_finished(view: &SlotView<'_>, writes: &mut Vec<Write>) {
    let live = view.current.filter(|pod| !is_over(pod) && !pod.is_spent());
    writes.extend(live.map(|pod| delete(pod, None, "its replica has finished")));
}
