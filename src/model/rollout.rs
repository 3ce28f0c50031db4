//! Rollouts: which template each worker is on, and whose turn it is to get the one that it is to have.
//!
//! Rule: a worker gets another template only as a stored intent; until then all that is made for it is made from the one that
//! it has.

mod gate;
mod preflight;
mod steps;
mod together;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

pub(super) use self::steps::{former_beside, surplus};
use super::engine::{Engine, Mode};
use super::pod::PodView;
use super::replica::{Life, SlotView};
use super::situations::{Situation, Weight, is_outdated};
use super::tree::{Kind, Leaf, NodeId, ROOT_NAME, Tree};
use super::window::{after, api_time};
use super::world::{RevisionView, WorkerView, World};
use crate::api::conditions::Reason;
use crate::api::v1alpha1::{
    FinishedReplica, RevisionMark, RevisionStatus, RolloutOrder, RolloutStatus, WorkerStatus,
};

impl<'a> Tree<'a> {
    /// Says which template each worker is to have, and which one it has.
    pub(super) fn with_templates(mut self, world: &'a World) -> Self {
        self.wanted = self.revision(&world.tree.name);
        let mut known = world.tree.status.revisions.iter();
        let is_bad = known.any(|one| one.name == self.wanted && one.mark == RevisionMark::Bad);
        let good = last_good(world).filter(|_| is_bad);
        if let Some(good) = good {
            self.take_back_to(good);
        }
        for node in &mut self.nodes {
            let Kind::Worker(leaf) = &mut node.kind else {
                continue;
            };
            let Some(worker) = world.workers.get(node.name) else {
                continue;
            };
            let present = &worker.status.revision;
            let stored = template_of(world, node.name, present);
            if let Some(stored) = stored.filter(|_| *present != leaf.target) {
                leaf.template = Cow::Borrowed(stored);
                leaf.revision.clone_from(present);
            }
        }
        self
    }

    /// Every worker is to have the template of that revision; those that it does not know are not to run.
    fn take_back_to(&mut self, good: &'a RevisionView) {
        self.goes_back = Some(good.number);
        for node in &mut self.nodes {
            let Kind::Worker(leaf) = &mut node.kind else {
                continue;
            };
            if let Some(stored) = good.templates.get(node.name) {
                leaf.template = Cow::Borrowed(&stored.template.0);
                leaf.revision.clone_from(&stored.revision);
                leaf.target.clone_from(&stored.revision);
            } else {
                node.enabled = false;
            }
        }
    }
}

/// The newest revision that was proved good, and is stored.
fn last_good(world: &World) -> Option<&RevisionView> {
    let is_good = |one: &&RevisionStatus| one.mark == RevisionMark::Good;
    let mut good = world.tree.status.revisions.iter().rev().filter(is_good);
    let stored = |name: &str| world.revisions.iter().find(|stored| stored.name == name);
    good.find_map(|good| stored(&good.name)).map(AsRef::as_ref)
}

/// The template of that revision of a worker, where it is stored.
pub(super) fn template_of<'a>(world: &'a World, child: &str, revision: &str) -> Option<&'a Value> {
    let mut stored = world.revisions.iter();
    stored.find_map(|stored| {
        let template = stored.templates.get(child)?;
        (template.revision == revision).then_some(&template.template.0)
    })
}

/// How far a worker that runs has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It has no template yet, in a tree that is up: it was added, is enabled again, or has lost its Worker.
    Added,
    /// Its turn has not come: it has another template than the one that it is to have.
    Former,
    /// Its turn has come, and it is not through with it.
    Updating,
    /// Nobody waits for it: it has the template that it is to have, and was updated or stopped since it got that, or is started for
    /// the first time with its whole tree.
    Through,
}

impl<'a> Engine<'a> {
    /// Gives the template that it is to have to each worker whose turn has come: in start order, or in reverse where the tree is
    /// taken back, when those before it that got another one are through with that. Says whether there is any; that is to be
    /// stored before anything is made of it.
    pub(super) fn give_turns(&mut self) -> bool {
        if self.world.tree.deleting {
            return false;
        }
        // What was refused is noted before anything else becomes of it.
        if !self.world.refusals.is_empty() {
            self.wait_for_first_turns();
            return false;
        }
        let is_frozen = self.is_frozen();
        let waits_for_others =
            is_frozen || self.world.tree.spec.rollout.order == RolloutOrder::Ordered;
        let mut is_busy = is_frozen;
        self.tries = self.untried();
        let is_tried = self.tries.is_empty() && self.refused_try().is_none();
        let mut given = Vec::new();
        let mut has_stopped_canary = false;
        for id in self.turn_order() {
            if self.tree.leaf(id).is_none() || self.mode(id) == Mode::Down {
                // What would start again with another template while nothing may get one keeps the one that it has; so does what
                // is stopped together with a canary before it.
                let waits_for_canary = has_stopped_canary && waits_for_others;
                if !is_frozen && !waits_for_canary {
                    self.take_turn_of_stopped(id, &mut given);
                } else if self.stage(id) == Stage::Added {
                    self.awaits_rollout.insert(id);
                }
                has_stopped_canary |= self.is_enabled(id) && self.canary_slots(id).is_some();
                continue;
            }
            let is_turn = !(is_busy && waits_for_others);
            let may_begin = is_turn || self.has_nothing_to_lose(id) || self.goes_back_at_once(id);
            match self.stage(id) {
                Stage::Added if !may_begin => self.wait_for_first_turn(id, &mut given),
                Stage::Former if !is_tried => {}
                Stage::Added | Stage::Former if is_turn => {
                    self.take_turn(self.turns_with(id), &mut given);
                }
                Stage::Added | Stage::Former if may_begin => self.take_turn(vec![id], &mut given),
                // Those that are restarted with it may not have been stored before a crash.
                Stage::Updating if is_turn && is_tried && self.is_untouched(id) => {
                    self.take_turn(self.turns_with(id), &mut given);
                }
                _ => {}
            }
            is_busy |= given.contains(&id) || self.keeps_others_waiting(id);
        }
        !given.is_empty()
    }

    /// How far a worker that runs has come.
    fn stage(&self, id: NodeId) -> Stage {
        // What is started for the first time with its whole tree is no rollout; a tree that is started again may be in one.
        let is_up = self.has_ever_been_up() || self.memory.tree.rollout.is_some();
        match self.memory.workers.get(self.name(id)) {
            None if is_up => Stage::Updating,
            Some(worker) if worker.revision.is_empty() && is_up => Stage::Added,
            Some(worker) if !worker.revision.is_empty() && !self.has_target(id) => Stage::Former,
            // What was stopped at a step of its canary goes on there when it is started again.
            Some(worker) if worker.turn_time.is_some() || worker.update_step.is_some() => {
                Stage::Updating
            }
            _ => Stage::Through,
        }
    }

    /// Whether a worker has another template than the one that it is to have, and waits for its turn: what it has begun before
    /// is not gone on with.
    pub(super) fn awaits_turn(&self, id: NodeId) -> bool {
        self.stage(id) == Stage::Former
    }

    /// Whether the tree as a whole has started since it began.
    fn has_ever_been_up(&self) -> bool {
        let root = self.memory.supervisor(ROOT_NAME);
        root.is_some_and(|root| root.started_time.is_some())
    }

    /// Whether the workers after this one wait for it. Notes when it is through.
    fn keeps_others_waiting(&mut self, id: NodeId) -> bool {
        match self.stage(id) {
            Stage::Through => false,
            Stage::Added | Stage::Former => true,
            Stage::Updating => {
                let Some((leaf, worker)) = self.leaf_and_worker(id) else {
                    return true;
                };
                let since = worker.turn_time.as_ref().map(|time| time.0);
                let limit = i64::from(leaf.settings.start_deadline_seconds);
                if self.is_updated(id) {
                    let name = self.name(id);
                    if let Some(worker) = self.memory.workers.get_mut(name) {
                        worker.turn_time = None;
                    }
                    return false;
                }
                // What cannot come up without those that are to go back after it does not keep them from that for ever.
                let ends = since.map(|since| after(since, limit));
                let ends = ends.filter(|_| self.tree.goes_back.is_some());
                if let Some(ends) = ends {
                    self.wake(ends);
                }
                ends.is_none_or(|ends| ends > self.now)
            }
        }
    }

    /// Whether a worker was given up, or no replica of it is alive and each waits for something that will not come by itself: it may
    /// be what the others wait for, and the new template may be what helps.
    fn has_nothing_to_lose(&self, id: NodeId) -> bool {
        if self.is_frozen() {
            return false;
        }
        let is_stuck = |slot: i32| {
            let slot = self.slot(id, slot);
            slot.is_some_and(|slot| slot.trouble.is_some() || slot.parked.is_some())
        };
        let lives = self.lives(id);
        self.mode(id) == Mode::Held
            || (!lives.is_empty()
                && lives
                    .iter()
                    .all(|(view, life)| !life.alive && !life.finished && is_stuck(view.slot)))
    }

    /// Whether the tree goes back, and nothing of a worker is alive, or on its way to completion: those that go back before it may not
    /// come up without it, because they are started after it.
    fn goes_back_at_once(&self, id: NodeId) -> bool {
        if self.tree.goes_back.is_none() || self.is_frozen() {
            return false;
        }
        let lives = self.lives(id);
        self.tree.leaf(id).is_some_and(|leaf| {
            let completes = |view: &SlotView<'_>, life: &Life| {
                leaf.completes() && view.current.is_some() && !life.run_ended && !life.over
            };
            let mut lives = lives.iter();
            lives.all(|(view, life)| !life.alive && !completes(view, life))
        })
    }

    /// What is stopped has its template at once, and keeps nobody waiting.
    fn take_turn_of_stopped(&mut self, id: NodeId, given: &mut Vec<NodeId>) {
        let Some((leaf, worker)) = self.leaf_and_worker(id) else {
            return;
        };
        let is_through = self.has_target(id) && worker.turn_time.is_none();
        if worker.revision.is_empty() || is_through {
            return;
        }
        let target = leaf.target.clone();
        let step = self.first_step(id, leaf);
        if !self.has_target(id) {
            self.finish_former(id, leaf);
        }
        let name = self.name(id);
        if let Some(worker) = self.memory.workers.get_mut(name) {
            worker.turn_time = None;
            if worker.revision != target {
                worker.in_place_refused.clear();
                worker.update_step = step;
                worker.revision = target;
                given.push(id);
                self.forget_waits(id);
                self.memory.intend_worker(name);
            }
        }
    }

    fn turn_order(&self) -> Vec<NodeId> {
        let mut order = self.tree.start_order();
        if self.tree.goes_back.is_some() {
            order.reverse();
        }
        order
    }

    fn leaf_and_worker(&self, id: NodeId) -> Option<(&'a Leaf<'a>, &WorkerStatus)> {
        Some((self.tree.leaf(id)?, self.memory.workers.get(self.name(id))?))
    }

    /// Whether a worker has the template that it is to have, though not all its Pods may be made from it yet.
    pub(super) fn has_target(&self, id: NodeId) -> bool {
        self.leaf_and_worker(id).is_some_and(|(leaf, worker)| {
            // Where the present one is stored nowhere, nothing can be made from it.
            worker.revision == leaf.target || leaf.revision == leaf.target
        })
    }

    /// Nothing has its turn in this look, and what was added is not started. That a Worker is a new one is known in its first look
    /// alone, and is stored with whatever that is for.
    pub(super) fn wait_for_first_turns(&mut self) {
        let workers = self.tree.leaves().map(|(id, _)| id);
        let added: Vec<NodeId> = workers
            .filter(|id| self.stage(*id) == Stage::Added)
            .collect();
        for id in &added {
            self.wait_for_first_turn(*id, &mut Vec::new());
        }
        self.awaits_rollout.extend(added);
    }

    /// What was added waits for its turn. What was there before goes on meanwhile with the template that was proved good: where its
    /// Worker was lost, and where it is started again with that template anyway. What was lost where nothing was proved good has
    /// nothing else to go on with than what it is to have.
    fn wait_for_first_turn(&mut self, id: NodeId, given: &mut Vec<NodeId>) {
        let Some(leaf) = self.tree.leaf(id) else {
            return;
        };
        let is_made_anew = |worker: &WorkerView| worker.status.place.is_empty();
        let is_lost = self.worker(id).is_some_and(is_made_anew) && !leaf.completes();
        let name = self.name(id);
        let mut former = self.world.revisions.iter();
        let was_there = |one: &Arc<RevisionView>| {
            one.name != self.tree.wanted && one.templates.contains_key(name)
        };
        if is_lost && self.last_good().is_none() && former.any(was_there) {
            self.take_turn(vec![id], given);
            return;
        }
        let good = self.proved_template(id, leaf);
        let good = good.filter(|good| *good == leaf.target || is_lost);
        let (Some(good), Some(worker)) = (good, self.memory.workers.get_mut(name)) else {
            self.awaits_rollout.insert(id);
            return;
        };
        worker.revision = good;
        self.memory.intend_worker(name);
        given.push(id);
    }

    /// The revision of the template of a worker that was proved good last, that of the tree as it is to be included.
    fn proved_template(&self, id: NodeId, leaf: &Leaf<'_>) -> Option<String> {
        let known = self.memory.tree.revisions.last();
        let wanted = known.filter(|known| known.name == self.tree.wanted);
        if wanted.is_some_and(|wanted| wanted.mark == RevisionMark::Good) {
            return Some(leaf.target.clone());
        }
        let good = self.last_good()?.templates.get(self.name(id))?;
        Some(good.revision.clone())
    }

    /// Gives these workers the templates that they are to have.
    fn take_turn(&mut self, together: Vec<NodeId>, given: &mut Vec<NodeId>) {
        for id in together {
            let Some(leaf) = self.tree.leaf(id) else {
                continue;
            };
            let is_due = matches!(self.stage(id), Stage::Added | Stage::Former);
            if !is_due || self.mode(id) == Mode::Down {
                continue;
            }
            self.finish_former(id, leaf);
            // What may be what helps is not held back.
            let step = self
                .first_step(id, leaf)
                .filter(|_| !self.has_nothing_to_lose(id));
            self.tell_impossible_in_place(id, leaf);
            let name = self.name(id);
            let Some(worker) = self.memory.workers.get_mut(name) else {
                continue;
            };
            worker.in_place_refused.clear();
            worker.update_step = step;
            worker.revision.clone_from(&leaf.target);
            worker.turn_time = Some(api_time(self.now));
            self.forget_waits(id);
            self.memory.intend_worker(name);
            self.tell_open_try(id);
            given.push(id);
        }
    }

    /// What was run to completion by the revision that the tree goes back to is not run again.
    fn finish_former(&mut self, id: NodeId, leaf: &Leaf<'_>) {
        if self.tree.goes_back.is_none() || !leaf.completes() {
            return;
        }
        let wanted = self.replicas.get(&id).into_iter().flat_map(|r| &r.wanted);
        let slots: Vec<i32> = wanted.map(|view| view.slot).collect();
        for slot in slots {
            let memory = self.memory.slot_mut(self.tree.nodes[id].name, slot);
            memory.finished = Some(FinishedReplica {
                revision: leaf.target.clone(),
                time: api_time(self.now),
                stopped: false,
                failed: false,
            });
        }
    }

    /// How many replicas of a worker run the template that it is to have, and how many of these are available.
    fn reached_target(&mut self, id: NodeId) -> (usize, usize) {
        let Some(leaf) = self.tree.leaf(id) else {
            return (0, 0);
        };
        let lives = self.lives(id);
        let available: Vec<i32> = self.available_slots(id, leaf, &lives);
        let has_target = self.has_target(id);
        let reached = lives.iter().filter(|(view, life)| {
            let has_pod = view.current.is_some_and(|pod| !pod.is_deleting());
            has_target && (life.finished || (has_pod && !is_outdated(view, leaf)))
        });
        let reached: Vec<i32> = reached.map(|(view, _)| view.slot).collect();
        let both = reached.iter().filter(|slot| available.contains(slot));
        (reached.len(), both.count())
    }

    /// Whether no replica may get another template now: the spec pauses the rollout, or it has failed and stays where it is.
    pub(super) fn is_frozen(&self) -> bool {
        let rollout = self.memory.tree.rollout.as_ref();
        self.world.tree.spec.rollout.paused
            || rollout.is_some_and(|rollout| self.is_frozen_by(rollout))
            || self.has_lost_its_way_back()
    }

    /// Whether the revision that the spec asks for failed, and there is nothing to go back to any more.
    fn has_lost_its_way_back(&self) -> bool {
        let wanted = self.memory.tree.revisions.last();
        let is_bad = wanted.is_some_and(|wanted| wanted.mark == RevisionMark::Bad);
        is_bad && self.last_good().is_none()
    }

    fn is_frozen_by(&self, rollout: &RolloutStatus) -> bool {
        self.world.tree.spec.rollout.paused || rollout.failed.is_some()
    }

    /// While nothing may get another template, a slot whose Pod is of a former one is filled from that one again; also where its
    /// group has just been told to stop, so that it stands on that Pod no more.
    pub(super) fn keep_former_templates(&mut self, id: NodeId, leaf: &Leaf<'_>) {
        let name = self.name(id);
        let replicas = self.replicas.get(&id);
        let mut stopping = replicas.map_or_else(Vec::new, |all| all.former.clone());
        stopping.sort_by_key(|pod| pod.created);
        let stopping: BTreeMap<i32, &PodView> =
            stopping.into_iter().map(|pod| (pod.slot, pod)).collect();
        let wanted = replicas.into_iter().flat_map(|all| &all.wanted);
        let former = wanted.filter_map(|view| {
            let last = view.current.or_else(|| stopping.get(&view.slot).copied());
            let pod = last.filter(|pod| pod.revision != leaf.revision)?;
            let is_kept = self.memory.slot(name, view.slot);
            let is_news = is_kept.is_none_or(|slot| slot.revision != pod.revision);
            let is_stored = template_of(self.world, name, &pod.revision).is_some();
            (is_news && is_stored).then(|| (view.slot, pod.revision.clone()))
        });
        for (slot, revision) in former.collect::<Vec<_>>() {
            self.memory.slot_mut(name, slot).revision = revision;
            self.memory.intend_worker(name);
        }
    }

    /// Every slot is filled from the template of its worker again.
    pub(super) fn leave_former_templates(&mut self, id: NodeId) {
        let name = self.name(id);
        if let Some(worker) = self.memory.workers.get_mut(name) {
            for slot in &mut worker.slots {
                slot.revision.clear();
            }
        }
    }

    /// The template that the next Pod of a slot is made from, and its revision.
    pub(super) fn template_of_slot<'l>(
        &self,
        id: NodeId,
        leaf: &'l Leaf<'a>,
        slot: i32,
    ) -> (&'l Value, String) {
        let is_kept = self.is_frozen() || self.awaits_turn(id);
        let kept = self
            .slot(id, slot)
            .filter(|slot| is_kept && !slot.revision.is_empty());
        let kept = kept.and_then(|slot| {
            let template = template_of(self.world, self.name(id), &slot.revision)?;
            Some((template, slot.revision.clone()))
        });
        kept.or_else(|| self.template_beside_canary(id, slot))
            .unwrap_or_else(|| (&leaf.template, leaf.revision.clone()))
    }

    /// What is told of a rollout that does not go on, or goes back.
    pub(super) fn rollout_situation(&self) -> Option<Situation> {
        if let (Some(number), Some(wanted)) =
            (self.tree.goes_back, self.memory.tree.revisions.last())
        {
            let why = wanted.failed.as_ref();
            let why = why.map_or_else(String::new, |failed| format!(": {}", failed.message));
            let to = wanted.number;
            return Some(Situation {
                weight: Weight::GivenUp,
                reason: Reason::RolledBack,
                message: format!(
                    "revision {to} was taken back to revision {number}{why}; it is not tried again until a template is changed, or `rollout.retryAt` says so"
                ),
            });
        }
        let failed = self.memory.tree.rollout.as_ref();
        if let Some((rollout, failed)) = failed.and_then(|one| Some((one, one.failed.as_ref()?))) {
            return Some(Situation {
                weight: Weight::GivenUp,
                reason: Reason::RolloutFailed,
                message: format!(
                    "the rollout of revision {} has failed and stays where it is: {}; change a template, or set `rollout.retryAt`{}",
                    rollout.to,
                    failed.message,
                    if failed.by_policy {
                        " or `rollout.onFailure: RollBack`"
                    } else {
                        ""
                    }
                ),
            });
        }
        if self.has_lost_its_way_back() {
            return Some(Situation {
                weight: Weight::GivenUp,
                reason: Reason::RolloutFailed,
                message: "the revision that the spec asks for has failed, and the last good one is not stored any more; change a template, or set `rollout.retryAt`".to_owned(),
            });
        }
        let is_left = self.world.tree.spec.rollout.paused && self.has_former_templates();
        let paused = is_left.then(|| Situation {
            weight: Weight::Working,
            reason: Reason::RolloutPaused,
            message: "the rollout is paused; set `rollout.paused: false` to go on".to_owned(),
        });
        paused.or_else(|| self.canary_situation())
    }

    /// Whether a Pod runs another template than the one that its worker is to have.
    fn has_former_templates(&self) -> bool {
        let mut workers = self.tree.leaves();
        workers.any(|(id, _)| self.is_enabled(id) && self.has_former_template(id))
    }

    /// Whether a Pod of a worker runs another template than the present one.
    fn has_former_template(&self, id: NodeId) -> bool {
        let mut wanted = self.replicas.get(&id).into_iter().flat_map(|r| &r.wanted);
        let leaf = self.tree.leaf(id);
        leaf.is_some_and(|leaf| wanted.any(|view| is_outdated(view, leaf)))
    }
}
