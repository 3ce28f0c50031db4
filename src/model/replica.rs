//! Replicas: which Pod a slot stands on, and what its current life is.
//!
//! Rule: a slot stands on at most one Pod; every other Pod of it is stopped or kept as evidence.

mod ends;
mod slots;

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::in_place::under_way;
use super::memory::Memory;
use super::names;
use super::pod::{ContainerView, PodConditionType, PodView};
use super::tree::Leaf;
use super::world::{WorkerView, World};
use crate::api::v1alpha1::{ReadyWhen, SlotStatus};
use ends::has_run_ended;
use slots::wanted_slots;

pub(super) use ends::{
    ended_runs, has_ended, has_stopped, is_over, loss_ends_at, node_is_gone, node_of,
    waits_for_fence,
};

/// One wanted slot and its Pods.
#[derive(Clone, Debug)]
pub(super) struct SlotView<'a> {
    /// Number.
    pub slot: i32,
    /// The Pod that the slot stands on: its newest one, a live one first.
    pub current: Option<&'a PodView>,
    /// Its other Pods: stopping, or ended and kept as evidence.
    pub others: Vec<&'a PodView>,
}

/// The slots of one worker.
#[derive(Clone, Debug, Default)]
pub(super) struct Replicas<'a> {
    /// Wanted slots, by number.
    pub wanted: Vec<SlotView<'a>>,
    /// Pods of slots that are not wanted any more, or without a slot.
    pub surplus: Vec<&'a PodView>,
    /// The slots among these that are not wanted because of how their Pods stand: in a better state they would be.
    pub dropped_for_state: BTreeSet<i32>,
    /// Pods named after another identity than the worker has now: they stop before new ones start.
    pub misfits: Vec<&'a PodView>,
    /// Pods of a former incarnation of the worker: they stop before new ones start. Ended ones that are in nobody's way are
    /// not among them.
    pub former: Vec<&'a PodView>,
}

/// What the current life of a slot is.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Life {
    /// It has ended as its type allows, and is not started again. It counts as alive.
    pub finished: bool,
    /// It has started.
    pub started: bool,
    /// A run of a judged container has ended and no new one has begun.
    pub run_ended: bool,
    /// The Pod as a whole is over, or will not be used any more.
    pub over: bool,
    /// Started and not ended.
    pub alive: bool,
    /// Alive and, where readiness counts, Ready now, on a node that is not lost.
    pub up: bool,
    /// Since when it is alive: Ready, where readiness counts.
    pub alive_since: Option<Timestamp>,
    /// Since when it has been alive in its own right: unreadiness after the start does not end a life.
    pub started_since: Option<Timestamp>,
}

impl<'a> Replicas<'a> {
    /// Sorts the Pods of a worker into slots.
    pub(super) fn sort(
        tree: &str,
        child: &str,
        leaf: &Leaf<'_>,
        worker: &'a WorkerView,
        memory: &Memory,
        now: Timestamp,
    ) -> Self {
        let mut replicas = Self::default();
        let incarnation = memory.incarnation(child);
        let mut fitting: Vec<&PodView> = Vec::with_capacity(worker.pods.len());
        for pod in &worker.pods {
            let is_stable = names::is_stable_pod_name(&pod.name, tree, child, pod.slot);
            let is_former = pod.incarnation < incarnation;
            if is_former && (is_stable || !pod.is_terminal()) {
                replicas.former.push(pod);
            } else if pod.slot < 0 {
                replicas.surplus.push(pod);
            } else if is_stable == leaf.is_stable() {
                fitting.push(pod);
            } else {
                replicas.misfits.push(pod);
            }
        }
        fitting.sort_by_key(|pod| pod.slot);
        let views: Vec<SlotView<'a>> = fitting
            .chunk_by(|a, b| a.slot == b.slot)
            .map(|pods| {
                let slot = pods[0].slot;
                let known = memory.slot(child, slot).map(|known| known.pod_uid.as_str());
                let known = known.filter(|uid| !uid.is_empty() && !leaf.is_stable());
                // The name of a successor is a hash, and of a thousand slots hardly one asks for it.
                match known.filter(|_| pods.iter().any(|pod| is_over(pod))) {
                    None => SlotView::of(slot, pods, |_| 0),
                    Some(uid) => {
                        let next =
                            names::interchangeable_pod_name(tree, child, &worker.uid, slot, uid);
                        let mut view = SlotView::of(slot, pods, |pod| {
                            i32::from(pod.uid == uid) + 2 * i32::from(pod.name == next)
                        });
                        view.forget_evidence(uid, &next);
                        view
                    }
                }
            })
            .collect();
        let surge = memory.workers.get(child).map_or(0, |worker| worker.surge);
        let surge = i32::try_from(surge).unwrap_or(0);
        let count = leaf.settings.replicas.unwrap_or(worker.replicas) + surge;
        let (wanted, dropped_for_state) = wanted_slots(leaf, count, child, &views, memory, now);
        replicas.dropped_for_state = dropped_for_state;
        let mut wanted = wanted.into_iter().peekable();
        for view in views {
            while let Some(slot) = wanted.next_if(|slot| *slot < view.slot) {
                replicas.wanted.push(SlotView::empty(slot));
            }
            if wanted.next_if_eq(&view.slot).is_some() {
                replicas.wanted.push(view);
            } else {
                replicas.surplus.extend(view.current);
                replicas.surplus.extend(view.others);
            }
        }
        replicas.wanted.extend(wanted.map(SlotView::empty));
        replicas
    }

    /// Every Pod of the worker.
    pub(super) fn pods(&self) -> impl Iterator<Item = &'a PodView> + '_ {
        self.wanted
            .iter()
            .flat_map(|view| view.current.into_iter().chain(view.others.iter().copied()))
            .chain(self.surplus.iter().copied())
            .chain(self.misfits.iter().copied())
            .chain(self.former.iter().copied())
    }
}

impl<'a> SlotView<'a> {
    /// A slot without a Pod.
    fn empty(slot: i32) -> Self {
        Self {
            slot,
            current: None,
            others: Vec::new(),
        }
    }

    /// The Pods of a slot; `place` says how late in the story of the slot a Pod stands, as far as that is known.
    fn of(slot: i32, pods: &[&'a PodView], place: impl Fn(&PodView) -> i32) -> Self {
        if let [only] = pods {
            return Self {
                slot,
                current: Some(only),
                others: Vec::new(),
            };
        }
        let mut pods = pods.to_vec();
        // Live Pods first, then those that are over or on their way out; among these the latest. When they were made is
        // known to the second only, and a kubelet may refuse several within one.
        pods.sort_by_cached_key(|pod| {
            let is_over = is_over(pod);
            (
                is_over,
                std::cmp::Reverse(if is_over { place(pod) } else { 0 }),
                std::cmp::Reverse(pod.created),
                pod.name.clone(),
            )
        });
        let mut pods = pods.into_iter();
        Self {
            slot,
            current: pods.next(),
            others: pods.collect(),
        }
    }

    /// A Pod that is over is not what the slot stands on, if the slot is known to have stood on another one since:
    /// neither that one nor the one that was to follow it.
    fn forget_evidence(&mut self, known_uid: &str, successor: &str) {
        let is_evidence =
            |pod: &&PodView| pod.is_terminal() && pod.uid != known_uid && pod.name != successor;
        if let Some(pod) = self.current.take_if(|pod| is_evidence(pod)) {
            self.others.insert(0, pod);
        }
    }

    /// The current life, given what is remembered of the slot.
    pub(super) fn life(&self, leaf: &Leaf<'_>, memory: Option<&SlotStatus>, world: &World) -> Life {
        if let Some(finished) = memory.filter(|slot| leaf.has_finished(slot)) {
            return Life::finished(finished, leaf);
        }
        let Some(pod) = self.current else {
            return Life::default();
        };
        let memory = memory.filter(|m| m.pod_uid == pod.uid);
        let ready = leaf.settings.ready == ReadyWhen::Ready;
        let running = pod.runs();
        let started_now = match leaf.settings.ready {
            ReadyWhen::Ready => pod.is_ready(),
            ReadyWhen::Running => running,
            // It has started when it has finished, which was looked at above.
            ReadyWhen::Completed => false,
        };
        // One that is updated in place is not there until all of it is.
        let is_changing = under_way(memory, pod).is_some();
        let latched = memory.is_some_and(|m| m.started && m.deaths >= ended_runs(pod, memory));
        let run_ended = has_run_ended(pod, leaf) || pod.init_failed();
        let over = memory.is_some_and(|m| m.gone) || has_ended(pod, leaf, world);
        let started = (started_now || latched) && !is_changing;
        let alive = started && !run_ended && !over;
        let lost = node_of(pod, world).is_some_and(|node| node.not_ready_since.is_some());
        Life {
            finished: false,
            started,
            run_ended,
            over,
            alive,
            up: alive && !pod.is_deleting() && !lost && (!ready || pod.is_ready()),
            alive_since: alive.then(|| alive_since(pod, ready)).flatten(),
            started_since: alive
                .then(|| {
                    if latched {
                        running_since(pod)
                    } else {
                        alive_since(pod, ready)
                    }
                })
                .flatten(),
        }
    }
}

impl Life {
    /// That of a slot whose replica has finished. One that was to complete and has failed has not started.
    fn finished(slot: &SlotStatus, leaf: &Leaf<'_>) -> Self {
        let finished = slot.finished.as_ref();
        let is_well = !finished.is_some_and(|end| end.failed && leaf.completes());
        Self {
            finished: true,
            started: is_well,
            run_ended: true,
            over: true,
            alive: is_well,
            up: is_well,
            alive_since: finished.filter(|_| is_well).map(|end| end.time.0),
            started_since: is_well.then_some(Timestamp::MIN),
        }
    }
}

fn running_since(pod: &PodView) -> Option<Timestamp> {
    pod.judged().filter_map(ContainerView::running_since).max()
}

fn alive_since(pod: &PodView, ready: bool) -> Option<Timestamp> {
    let running = running_since(pod);
    let condition = pod
        .condition(PodConditionType::Ready)
        .filter(|c| ready && c.is_true);
    condition.and_then(|c| c.changed).max(running)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::lab::Lab;
    use crate::model::pod::PodPhase;
    use crate::model::tree::Tree;

    /// A kubelet may refuse a Pod and its successor within one second, before anybody has seen the successor.
    #[test]
    fn of_two_pods_that_are_over_the_successor_is_the_one_to_judge() {
        let template = "worker: {template: {spec: {containers: [{name: app, image: one}]}}}";
        let mut lab = Lab::new(&format!("children: [{{name: a, {template}}}]"));
        lab.run(5);
        let mut known = lab.pod_mut("a", 0).clone();
        known.phase = PodPhase::Failed;
        let mut world = lab.world.clone();
        let tree = Tree::parse("t", &lab.world.tree.spec).unwrap();
        let leaf = tree.leaf(tree.find("a").unwrap()).unwrap();
        let worker = world.workers.get_mut("a").unwrap();
        let name = names::interchangeable_pod_name("t", "a", &worker.uid, 0, &known.uid);
        let next = PodView {
            uid: "next".into(),
            name,
            ..known.clone()
        };
        for pods in [[&known, &next], [&next, &known]] {
            let worker = world.workers.get_mut("a").unwrap();
            worker.pods = pods.map(|pod| Arc::new(pod.clone())).to_vec();
            let memory = Memory::load(&world);
            let sorted = Replicas::sort("t", "a", leaf, &world.workers["a"], &memory, lab.now);
            let current = sorted.wanted[0].current.unwrap();
            assert_eq!(current.uid, "next");
        }
    }

    /// Where it is not known what the slot stood on, or its Pods follow each other under one name, a Pod that is over is what the
    /// slot stands on.
    #[test]
    fn a_pod_that_is_over_is_judged_unless_the_slot_has_stood_on_another_since() {
        for (identity, known, is_judged) in [
            ("", "", true),
            ("", "another", false),
            ("identity: Stable, ", "another", true),
        ] {
            let template = "template: {spec: {containers: [{name: app, image: one}]}}";
            let mut lab = Lab::new(&format!(
                "children: [{{name: a, worker: {{{identity}{template}}}}}]"
            ));
            lab.run(5);
            let mut pod = lab.pod_mut("a", 0).clone();
            pod.phase = PodPhase::Failed;
            let mut world = lab.world.clone();
            let worker = world.workers.get_mut("a").unwrap();
            worker.pods = vec![Arc::new(pod)];
            let mut status = (*worker.status).clone();
            status.slots[0].pod_uid = known.into();
            worker.status = status.into();
            let tree = Tree::parse("t", &lab.world.tree.spec).unwrap();
            let leaf = tree.leaf(tree.find("a").unwrap()).unwrap();
            let memory = Memory::load(&world);
            let sorted = Replicas::sort("t", "a", leaf, &world.workers["a"], &memory, lab.now);
            let found = (identity, known, sorted.wanted[0].current.is_some());
            assert_eq!(found, (identity, known, is_judged));
        }
    }
}
