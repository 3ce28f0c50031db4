//! Canaries: a worker gets its new template step by step, in some of its slots before the others.
//!
//! Rule: a step is over only while what it updated is available; which slots are updated is stored before one of their Pods goes.

use serde_json::Value;

use crate::api::conditions::Reason;
use crate::api::v1alpha1::{RolloutStep, UpdateStep, UpdateStepStatus};
use crate::model::decision::Notice;
use crate::model::engine::Engine;
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
        let is_canary = !leaf.settings.update.steps.is_empty()
            && self.has_canary_template(id, leaf)
            && !self.bounds(id, leaf).is_stuck();
        let wanted = self.replicas.get(&id).into_iter().flat_map(|r| &r.wanted);
        let is_updated = |pod: &&crate::model::pod::PodView| pod.revision == leaf.target;
        is_canary.then(|| UpdateStepStatus {
            number: 1,
            since_time: api_time(self.now),
            slots: wanted
                .filter(|view| view.current.as_ref().is_some_and(is_updated))
                .map(|view| view.slot)
                .collect(),
        })
    }

    /// Whether a rollout is under way that changes the template of a worker, and the good one is stored.
    fn has_canary_template(&self, id: NodeId, leaf: &Leaf<'_>) -> bool {
        let good = self.memory.tree.rollout.as_ref().and(self.last_good());
        let former = good.and_then(|good| good.templates.get(self.name(id)));
        former.is_some_and(|former| former.revision != leaf.target)
    }

    /// The slots that a canary has updated; `None` where the worker is at none.
    pub(in crate::model) fn canary_slots(&self, id: NodeId) -> Option<&[i32]> {
        let worker = self.memory.workers.get(self.name(id))?;
        worker.update_step.as_ref().map(|step| &step.slots[..])
    }

    /// The good template, for a slot that the canary of its worker has not come to.
    pub(super) fn template_beside_canary(
        &self,
        id: NodeId,
        slot: i32,
    ) -> Option<(&'a Value, String)> {
        let slots = self.canary_slots(id)?;
        let good = self.last_good()?.templates.get(self.name(id))?;
        (!slots.contains(&slot)).then(|| (&good.template.0, good.revision.clone()))
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
        let mut step = self
            .memory
            .workers
            .get(self.name(id))?
            .update_step
            .clone()?;
        let steps = &leaf.settings.update.steps;
        let has_come = |one: &&Candidate| one.chosen && !one.outdated && one.available;
        let available = candidates.iter().filter(has_come).count();
        let mut goal = goal_at(steps, step.number, bounds.replicas);
        let is_on = self.has_canary_template(id, leaf);
        while is_on
            && let Some(current) = steps.get(place(step.number))
            && (available >= goal || bounds.is_stuck())
            && self.is_over_by_now(id, current, &step)
        {
            step.number += 1;
            step.since_time = api_time(self.now);
            goal = goal_at(steps, step.number, bounds.replicas);
        }
        let is_left = is_on && steps.get(place(step.number)).is_some();
        let next = is_left.then_some(step);
        let worker = self.memory.workers.get_mut(self.tree.nodes[id].name)?;
        if worker.update_step != next {
            worker.update_step.clone_from(&next);
            self.memory.intend_worker(self.tree.nodes[id].name);
            self.tell_step(id);
        }
        next.map(|_| goal)
    }

    /// Whether a step has nothing more to wait for, apart from the replicas that it updates.
    fn is_over_by_now(
        &mut self,
        id: NodeId,
        current: &UpdateStep,
        step: &UpdateStepStatus,
    ) -> bool {
        if !current.is_pause() || self.is_promoted(id, step.number) {
            return true;
        }
        let ends = |seconds| after(step.since_time.0, i64::from(seconds));
        let Some(ends) = current.pause_seconds.map(ends) else {
            return false;
        };
        self.wake(ends);
        ends <= self.now
    }

    fn is_promoted(&self, id: NodeId, number: i32) -> bool {
        let promotion = self.world.tree.spec.rollout.promote;
        let to = self.memory.tree.rollout.as_ref().map(|rollout| rollout.to);
        promotion
            .zip(self.last_good())
            .is_some_and(|(promotion, good)| {
                let (before, _) = self.steps_around(id, good);
                Some(promotion.revision) == to && promotion.step >= before + number
            })
    }

    /// How many steps the workers before this one have that the revision changes, and how many all of them.
    fn steps_around(&self, id: NodeId, good: &RevisionView) -> (i32, i32) {
        let (mut before, mut all) = (0, 0);
        for other in self.changed_workers(good) {
            if other == id {
                before = all;
            }
            let steps = self
                .tree
                .leaf(other)
                .map(|leaf| leaf.settings.update.steps.len());
            all += count(steps.unwrap_or(0));
        }
        (before, all)
    }

    /// Stores which slots are updated by now: those that are replaced, and free ones up to what the step says.
    pub(in crate::model) fn choose_slots(&mut self, id: NodeId, replaced: &[i32], goal: usize) {
        let Some(chosen) = self.canary_slots(id) else {
            return;
        };
        let wanted = self.replicas.get(&id).into_iter().flat_map(|r| &r.wanted);
        let is_free = |slot: i32| {
            let mut wanted = wanted.clone();
            wanted.any(|view| view.slot == slot && view.current.is_none())
        };
        let all = wanted.clone().map(|view| view.slot);
        let (mut slots, others): (Vec<i32>, Vec<i32>) =
            all.partition(|slot| chosen.contains(slot) || replaced.contains(slot));
        let missing = goal.saturating_sub(slots.len());
        slots.extend(
            others
                .into_iter()
                .filter(|slot| is_free(*slot))
                .take(missing),
        );
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

    /// Whether a canary waits, so that no progress is to be expected.
    pub(super) fn is_at_pause(&self) -> bool {
        self.tree.leaves().any(|(id, leaf)| {
            let step = self.current_step(id, leaf);
            step.is_some_and(|(_, step)| step.is_pause())
        })
    }

    fn current_step(
        &self,
        id: NodeId,
        leaf: &Leaf<'a>,
    ) -> Option<(&UpdateStepStatus, &'a UpdateStep)> {
        let stands = self
            .memory
            .workers
            .get(self.name(id))?
            .update_step
            .as_ref()?;
        Some((
            stands,
            leaf.settings.update.steps.get(place(stands.number))?,
        ))
    }

    /// Where the first canary stands, for people.
    pub(super) fn rollout_step(&self, good: &RevisionView) -> Option<RolloutStep> {
        let mut all = self.tree.leaves();
        all.find_map(|(id, leaf)| {
            let (stands, step) = self.current_step(id, leaf)?;
            let (before, of) = self.steps_around(id, good);
            Some(RolloutStep {
                number: before + stands.number,
                of,
                child: self.name(id).to_owned(),
                since_time: stands.since_time.clone(),
                message: told_of(step, stands),
            })
        })
    }

    fn tell_step(&mut self, id: NodeId) {
        let Some(good) = self.last_good() else { return };
        let Some(leaf) = self.tree.leaf(id) else {
            return;
        };
        let Some((stands, step)) = self.current_step(id, leaf) else {
            return;
        };
        let (before, of) = self.steps_around(id, good);
        let number = before + stands.number;
        let what = format!(
            "is at step {number} of {of} of its rollout: {}",
            told_of(step, stands)
        );
        self.notices.push(Notice {
            reason: EventReason::RolloutStep.as_str().to_owned(),
            action: "RollOut",
            child: self.name(id).to_owned(),
            what,
            ..Notice::default()
        });
    }

    /// What is told of a canary that waits.
    pub(super) fn canary_situation(&self) -> Option<Situation> {
        let good = self.last_good().filter(|_| self.is_at_pause())?;
        let step = self.rollout_step(good)?;
        Some(Situation {
            weight: Weight::Working,
            reason: Reason::RolloutPaused,
            message: format!(
                "{} is at step {} of {} of its rollout: {}",
                step.child, step.number, step.of, step.message
            ),
        })
    }
}

/// What a step does, or waits for.
fn told_of(step: &UpdateStep, stands: &UpdateStepStatus) -> String {
    let updated = stands.slots.len();
    match (&step.updated, step.pause_seconds) {
        (Some(share), _) => format!("{} to be updated", share.told()),
        (_, Some(seconds)) => format!(
            "{updated} updated, waits until {}",
            api_time(after(stands.since_time.0, i64::from(seconds))).0
        ),
        _ => format!("{updated} updated, waits for `rollout.promote` (`kubectl coppice promote`)"),
    }
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

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX / 2)
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
