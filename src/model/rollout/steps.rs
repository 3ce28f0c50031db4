//! Canaries: a worker gets its new template step by step, in some of its slots before the others.
//!
//! Rule: a step is over only while what it updated is available; which slots are updated is stored before one of their Pods goes.

use jiff::Timestamp;
use serde_json::Value;

use super::{Stage, template_of};
use crate::api::conditions::Reason;
use crate::api::v1alpha1::{
    RevisionMark, RolloutFailurePolicy, RolloutStep, UpdateStep, UpdateStepStatus, WorkerStatus,
};
use crate::model::decision::Notice;
use crate::model::engine::Engine;
use crate::model::judge::cut;
use crate::model::pod::PodView;
use crate::model::reasons::EventReason;
use crate::model::situations::{Situation, Weight};
use crate::model::tree::{Leaf, NodeId};
use crate::model::update::{Bounds, Candidate};
use crate::model::window::{after, api_time};
use crate::model::world::RevisionView;

impl<'a> Engine<'a> {
    /// Where the canary of a worker begins that gets another template; `None` where it gets it in all its slots. Without a
    /// good revision there is no template for the other slots, and a group that is restarted as a whole has no others.
    pub(super) fn first_step(&self, id: NodeId, leaf: &Leaf<'_>) -> Option<UpdateStepStatus> {
        let good = self.last_good().filter(|_| self.is_unproven())?;
        let former = &good.templates.get(self.name(id))?.revision;
        let is_canary = !leaf.settings.update.steps.is_empty()
            && *former != leaf.target
            && !self.bounds(id, leaf).is_stuck();
        let wanted = self.replicas.get(&id).into_iter().flat_map(|r| &r.wanted);
        let is_updated = |pod: &&PodView| pod.revision == leaf.target;
        is_canary.then(|| UpdateStepStatus {
            number: 1,
            before: self.steps_before(id, good),
            since_time: api_time(self.now),
            former: former.clone(),
            slots: wanted
                .filter(|view| view.current.as_ref().is_some_and(is_updated))
                .map(|view| view.slot)
                .collect(),
        })
    }

    /// Whether the tree is to have a revision that has not been proved yet.
    fn is_unproven(&self) -> bool {
        let wanted = self.memory.tree.revisions.last();
        wanted.is_some_and(|wanted| wanted.mark == RevisionMark::Unproven)
    }

    /// A rollout that begins anew begins its canaries anew, with the Pods that are there. Their steps are counted anew, too, because
    /// it may change other workers than the one before.
    pub(super) fn begin_canaries_anew(&mut self, good: &RevisionView) {
        for (id, _) in self.tree.leaves() {
            let name = self.tree.nodes[id].name;
            let before = self.steps_before(id, good);
            let worker = self.memory.workers.get_mut(name);
            if let Some(step) = worker.and_then(|worker| worker.update_step.as_mut()) {
                step.number = 1;
                step.before = before;
                step.since_time = api_time(self.now);
                self.memory.intend_worker(name);
            }
        }
    }

    fn canary(&self, id: NodeId) -> Option<&UpdateStepStatus> {
        let worker = self.memory.workers.get(self.name(id))?;
        worker.update_step.as_ref()
    }

    /// The slots that a canary has updated, in order; `None` where the worker is at none.
    pub(in crate::model) fn canary_slots(&self, id: NodeId) -> Option<&[i32]> {
        self.canary(id).map(|step| &step.slots[..])
    }

    /// The revision of the template of the slots that a canary has not come to.
    pub(in crate::model) fn former_revision(&self, id: NodeId) -> Option<&str> {
        self.canary(id).map(|step| step.former.as_str())
    }

    /// The template of a slot that the canary of its worker has not come to.
    pub(super) fn template_beside_canary(
        &self,
        id: NodeId,
        slot: i32,
    ) -> Option<(&'a Value, String)> {
        let step = self.canary(id)?;
        let former = former_beside(step, slot)?;
        let template = template_of(self.world, self.name(id), former)?;
        Some((template, former.to_owned()))
    }

    /// Goes on to the next step of a canary when one is over. Says how many replicas may be updated by now; `None` where there
    /// is no canary, or it has come through.
    pub(in crate::model) fn take_steps(
        &mut self,
        id: NodeId,
        leaf: &Leaf<'_>,
        candidates: &[Candidate],
        bounds: Bounds,
    ) -> Option<usize> {
        let mut step = self.canary(id)?.clone();
        let steps = &leaf.settings.update.steps;
        let has_come = |one: &&Candidate| one.chosen && !one.outdated && one.available;
        let available = candidates.iter().filter(has_come).count();
        // What is proved, or has nothing left to be tried on, needs no canary.
        let is_on = self.is_unproven() && step.former != leaf.target && bounds.replicas > 0;
        let mut goal = goal_at(steps, step.number, bounds.replicas);
        while is_on
            && let Some(current) = steps.get(place(step.number))
            && self.is_over_by_now(id, current, &step)
            && (available >= goal || bounds.is_stuck())
            && !self.has_open_fault(id)
        {
            step.number += 1;
            step.since_time = api_time(self.now);
            goal = goal_at(steps, step.number, bounds.replicas);
        }
        let is_left = is_on && steps.get(place(step.number)).is_some();
        let next = is_left.then_some(step);
        let name = self.tree.nodes[id].name;
        let worker = self.memory.workers.get_mut(name)?;
        if worker.update_step != next {
            worker.update_step.clone_from(&next);
            self.memory.intend_worker(name);
            self.tell_step(id);
        }
        next.map(|_| goal)
    }

    /// Whether a replica has died of what is not known yet, or has a fault that ends the canary.
    fn has_open_fault(&self, id: NodeId) -> bool {
        let child = self.name(id);
        let is_unsettled = self.unsettled.iter().any(|(leaf, _)| *leaf == id);
        let is_at_stake = self.world.tree.spec.rollout.on_failure != RolloutFailurePolicy::None;
        let rollout = self.memory.tree.rollout.clone().zip(self.last_good());
        let rollout = rollout.filter(|_| is_at_stake).map(|(mut rollout, good)| {
            self.count_faults(&mut rollout, good);
            rollout
        });
        let mut faults = rollout.iter().flat_map(|rollout| &rollout.faults);
        is_unsettled || faults.any(|fault| fault.child == child)
    }

    /// Whether a step has nothing more to wait for, apart from the replicas that it updates.
    fn is_over_by_now(
        &mut self,
        id: NodeId,
        current: &UpdateStep,
        step: &UpdateStepStatus,
    ) -> bool {
        if let Some(ends) = ends_at(current, step) {
            self.wake(ends);
        }
        !self.is_pausing(id, current, step)
    }

    /// Whether a step is a pause, and is not over.
    fn is_pausing(&self, id: NodeId, current: &UpdateStep, step: &UpdateStepStatus) -> bool {
        let is_over = ends_at(current, step).is_some_and(|ends| ends <= self.now);
        current.is_pause() && !is_over && !self.is_promoted(id, step)
    }

    /// Whether a pause is over because the spec says so: of this revision, since it is there, and with a step that it has.
    fn is_promoted(&self, id: NodeId, step: &UpdateStepStatus) -> bool {
        let promotion = self.world.tree.spec.rollout.promote;
        let wanted = self.memory.tree.revisions.last();
        promotion.zip(wanted).is_some_and(|(promotion, wanted)| {
            promotion.revision == wanted.number
                && wanted.promoted_before != Some(promotion.step)
                && promotion.step >= step.before + step.number
                && promotion.step <= self.last_step(id, step)
        })
    }

    /// The number of the last step of all workers that the revision changes.
    fn last_step(&self, id: NodeId, step: &UpdateStepStatus) -> i32 {
        let after = self.tree.leaves().map(|(other, _)| other);
        let good = self.last_good();
        let after = after.skip_while(|other| *other != id).filter(|other| {
            let leaf = self.tree.leaf(*other).zip(good);
            leaf.is_some_and(|(leaf, good)| self.is_new_leaf(*other, leaf, good))
        });
        let from_here: i32 = after.map(|other| self.steps_of(other)).sum();
        (step.before + from_here).max(step.before + step.number)
    }

    /// The number of the revision that the tree is to have; 0 where there is none.
    fn wanted_number(&self) -> i64 {
        let wanted = self.memory.tree.revisions.last();
        wanted.map_or(0, |wanted| wanted.number)
    }

    /// How many steps the workers before this one have that the revision changes.
    fn steps_before(&self, id: NodeId, good: &RevisionView) -> i32 {
        let changed = self.changed_workers(good).into_iter();
        let before = changed.take_while(|other| *other != id);
        before.map(|other| self.steps_of(other)).sum()
    }

    fn steps_of(&self, id: NodeId) -> i32 {
        let steps = self
            .tree
            .leaf(id)
            .map(|leaf| leaf.settings.update.steps.len());
        i32::try_from(steps.unwrap_or(0)).unwrap_or(0)
    }

    /// Stores which slots are updated by now: those that are replaced, and free ones, up to what the step says.
    pub(in crate::model) fn choose_slots(&mut self, id: NodeId, replaced: &[i32], goal: usize) {
        let Some(chosen) = self.canary_slots(id) else {
            return;
        };
        let wanted = self.replicas.get(&id).into_iter().flat_map(|r| &r.wanted);
        let is_chosen = |slot: &i32| chosen.binary_search(slot).is_ok();
        let mut slots: Vec<i32> = wanted.clone().map(|view| view.slot).collect();
        let free = wanted.filter(|view| view.current.is_none());
        let free: Vec<i32> = free.map(|view| view.slot).collect();
        let next = replaced.iter().filter(|slot| slots.contains(slot));
        let next: Vec<i32> = next
            .copied()
            .chain(free)
            .filter(|slot| !is_chosen(slot))
            .collect();
        slots.retain(is_chosen);
        for slot in next {
            if slots.len() < goal && !slots.contains(&slot) {
                slots.push(slot);
            }
        }
        slots.sort_unstable();
        let name = self.tree.nodes[id].name;
        let worker = self.memory.workers.get_mut(name);
        if let Some(step) = worker.and_then(|worker| worker.update_step.as_mut())
            && step.slots != slots
        {
            step.slots = slots;
            self.memory.intend_worker(name);
        }
    }

    /// Whether canaries wait and nothing else is updated, so that no progress is to be expected.
    pub(super) fn is_at_pause(&self) -> bool {
        let mut waits = false;
        for (id, leaf) in self.tree.leaves() {
            match self.current_step(id, leaf) {
                Some((step, current)) if self.is_pausing(id, current, step) => waits = true,
                _ if self.is_enabled(id) && self.stage(id) == Stage::Updating => return false,
                _ => {}
            }
        }
        waits
    }

    fn current_step(
        &self,
        id: NodeId,
        leaf: &Leaf<'a>,
    ) -> Option<(&UpdateStepStatus, &'a UpdateStep)> {
        let step = self.canary(id)?;
        let current = leaf.settings.update.steps.get(place(step.number))?;
        Some((step, current))
    }

    /// Where a canary stands, for people: of several, the first that waits.
    pub(super) fn rollout_step(&self) -> Option<RolloutStep> {
        let all = self.tree.leaves();
        let all = all.filter_map(|(id, _)| self.told_step(id));
        let mut all: Vec<RolloutStep> = all.collect();
        all.sort_by_key(|step| !step.paused);
        all.into_iter().next()
    }

    fn told_step(&self, id: NodeId) -> Option<RolloutStep> {
        let (step, current) = self.current_step(id, self.tree.leaf(id)?)?;
        let paused = self.is_pausing(id, current, step);
        Some(RolloutStep {
            number: step.before + step.number,
            of: self.last_step(id, step),
            child: self.name(id).to_owned(),
            since_time: step.since_time.clone(),
            paused,
            message: cut(&self.words_of(step, current, paused), 256),
        })
    }

    /// What a step does, or waits for.
    fn words_of(&self, step: &UpdateStepStatus, current: &UpdateStep, paused: bool) -> String {
        let updated = step.slots.len();
        if let Some(share) = &current.updated {
            return format!("{} to be updated", share.told());
        }
        if !paused {
            return format!("{updated} updated, waits until they are available");
        }
        if let Some(ends) = ends_at(current, step) {
            return format!("{updated} updated, waits until {}", api_time(ends).0);
        }
        let number = step.before + step.number;
        let wanted = self.wanted_number();
        let asked = self.world.tree.spec.rollout.promote;
        let asked = asked.map_or_else(String::new, |asked| {
            format!(
                "; it names revision {} and step {}",
                asked.revision, asked.step
            )
        });
        format!(
            "{updated} updated, waits until `rollout.promote` names revision {wanted} and step {number} (`kubectl coppice promote`){asked}"
        )
    }

    fn tell_step(&mut self, id: NodeId) {
        let Some(step) = self.told_step(id) else {
            return;
        };
        self.notices.push(Notice {
            reason: EventReason::RolloutStep.as_str().to_owned(),
            action: "RollOut",
            what: stands(&step),
            child: step.child,
            ..Notice::default()
        });
    }

    /// What is told of a canary that waits.
    pub(super) fn canary_situation(&self) -> Option<Situation> {
        let step = self.rollout_step().filter(|step| step.paused)?;
        Some(Situation {
            weight: Weight::Working,
            reason: Reason::RolloutPaused,
            message: format!("{} {}", step.child, stands(&step)),
        })
    }
}

/// Where a canary stands, in words.
fn stands(step: &RolloutStep) -> String {
    format!(
        "is at step {} of {} of its rollout: {}",
        step.number, step.of, step.message
    )
}

/// The revision of the template of a slot that a canary has not come to.
pub(in crate::model) fn former_beside(step: &UpdateStepStatus, slot: i32) -> Option<&str> {
    let is_beside = step.slots.binary_search(&slot).is_err();
    is_beside.then_some(&step.former)
}

/// When a pause ends by itself.
fn ends_at(current: &UpdateStep, step: &UpdateStepStatus) -> Option<Timestamp> {
    let seconds = current.pause_seconds?;
    Some(after(step.since_time.0, i64::from(seconds)))
}

/// The chosen slots of a worker beyond what its canary is to have updated, because there are fewer replicas by now.
pub(in crate::model) fn surplus(worker: &WorkerStatus, leaf: &Leaf<'_>, replicas: i32) -> Vec<i32> {
    let Some(step) = &worker.update_step else {
        return Vec::new();
    };
    let steps = &leaf.settings.update.steps;
    let goal = goal_at(steps, step.number, usize::try_from(replicas).unwrap_or(0));
    step.slots.iter().skip(goal).copied().collect()
}

/// How many replicas are updated by that step: what an earlier one has updated stays so.
fn goal_at(steps: &[UpdateStep], number: i32, replicas: usize) -> usize {
    let all = i32::try_from(replicas).unwrap_or(i32::MAX);
    let until = steps.iter().take(place(number) + 1);
    let goals = until.filter_map(|step| step.updated.as_ref()?.rounded_up(all));
    let goal = goals.max().unwrap_or(0);
    usize::try_from(goal).unwrap_or(0).min(replicas)
}

/// The place of a step in its list.
fn place(number: i32) -> usize {
    usize::try_from(number - 1).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

    use super::*;
    use crate::api::v1alpha1::{NumberOrPercent, Pause};

    #[test]
    fn what_a_step_has_updated_stays_so_in_the_next() {
        let updated = |text: &str| UpdateStep {
            updated: Some(NumberOrPercent(
                text.parse()
                    .map_or_else(|_| IntOrString::String(text.into()), IntOrString::Int),
            )),
            ..UpdateStep::default()
        };
        let pause = UpdateStep {
            pause: Some(Pause {}),
            ..UpdateStep::default()
        };
        let steps = [pause.clone(), updated("10%"), pause, updated("50%")];
        let goals = |replicas| [1, 2, 3, 4, 5].map(|number| goal_at(&steps, number, replicas));
        assert_eq!(goals(10), [0, 1, 1, 5, 5]);
        assert_eq!(goals(3), [0, 1, 1, 2, 2]);
        assert_eq!(goals(0), [0; 5]);
        assert_eq!(goal_at(&[updated("7")], 1, 3), 3);
    }
}
