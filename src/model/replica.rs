//! Replicas: which Pod a slot stands on, and what its current life is.
//!
//! Rule: a slot stands on at most one Pod; every other Pod of it is stopped or kept as evidence.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::api::v1alpha1::{ReadyWhen, Restart, SlotStatus};

use super::build;
use super::memory::Memory;
use super::names;
use super::pod::{PodConditionType, PodView, Termination};
use super::tree::Leaf;
use super::window::{after, seconds_between};
use super::world::{NodeView, WorkerView, World};

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
        let count = leaf.settings.replicas.unwrap_or(worker.replicas);
        let (wanted, dropped_for_state) = wanted_slots(leaf, count, child, &views, memory);
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
        let running = pod.judged().all(super::pod::ContainerView::is_running);
        let started_now = match leaf.settings.ready {
            ReadyWhen::Ready => pod.is_ready(),
            ReadyWhen::Running => running,
            // It has started when it has finished, which was looked at above.
            ReadyWhen::Completed => false,
        };
        let latched = memory.is_some_and(|m| m.started && m.deaths >= ended_runs(pod, memory));
        let run_ended = has_run_ended(pod, leaf) || pod.init_failed();
        let over = memory.is_some_and(|m| m.gone) || has_ended(pod, leaf, world);
        let started = started_now || latched;
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

/// Whether the current run of the app containers has ended: one of them is enough, unless it ended cleanly and the type
/// allows that; then the others go on until they have ended, too.
fn has_run_ended(pod: &PodView, leaf: &Leaf<'_>) -> bool {
    let ends = || pod.judged().map(super::pod::ContainerView::end);
    let is_end = |end: Option<&Termination>| {
        end.is_some_and(|end| {
            leaf.settings.restart == Restart::Permanent || !leaf.is_clean(end.exit_code)
        })
    };
    let all_ended = pod.judged().count() > 0 && ends().all(|end| end.is_some());
    all_ended || ends().any(is_end)
}

/// Whether a Pod has ended or is on its way out.
pub(super) fn is_over(pod: &PodView) -> bool {
    pod.is_deleting() || pod.is_terminal()
}

/// How many lives of the Pod have ended so far, failed starts in init containers included. It never becomes less.
pub(super) fn ended_runs(pod: &PodView, memory: Option<&SlotStatus>) -> i64 {
    let known = memory.filter(|m| m.pod_uid == pod.uid);
    let failed_inits = pod.failed_inits().or_else(|| known.map(|m| m.failed_inits));
    pod.ended_runs() + failed_inits.unwrap_or(0)
}

/// Whether the Pod as a whole has ended: it is terminal, or somebody deleted it. A `Stable` one that is
/// being deleted has ended only when that is proven.
pub(super) fn has_ended(pod: &PodView, leaf: &Leaf<'_>, world: &World) -> bool {
    pod.is_terminal() || (pod.is_deleting() && (!leaf.is_stable() || is_proven_dead(pod, world)))
}

/// Whether no container of the Pod can be running any more.
pub(super) fn is_proven_dead(pod: &PodView, world: &World) -> bool {
    let all_ended = !pod.containers.is_empty()
        && pod.is_deleting()
        && pod
            .containers
            .iter()
            .all(|c| matches!(c.state, super::pod::ContainerState::Terminated(_)));
    let never_bound = pod.is_deleting() && pod.node.is_none();
    pod.is_terminal()
        || all_ended
        || never_bound
        || node_is_gone(pod, world)
        || node_of(pod, world).is_some_and(|node| node.out_of_service)
}

/// Whether the Pod is on its way out on a node that does not answer, and may still run there.
pub(super) fn waits_for_fence(pod: &PodView, world: &World) -> bool {
    let unreachable = node_of(pod, world).is_some_and(|node| node.unreachable);
    pod.is_deleting() && unreachable && !is_proven_dead(pod, world)
}

/// Whether an ordered stop of the Pod is finished although its object is still there.
pub(super) fn has_stopped(pod: &PodView, leaf: &Leaf<'_>, world: &World, now: Timestamp) -> bool {
    if is_proven_dead(pod, world) {
        return true;
    }
    let patience = i64::from(leaf.settings.node_loss_seconds);
    if world.nodes.is_none() && !leaf.is_stable() {
        // Nobody can say whether its node still answers.
        return pod
            .deletion
            .is_some_and(|end| seconds_between(end, now) >= patience);
    }
    let lost_since = node_of(pod, world)
        .filter(|node| node.unreachable)
        .and_then(|node| node.not_ready_since);
    !leaf.is_stable()
        && pod.is_deleting()
        && lost_since.is_some_and(|since| {
            seconds_between(since, now) >= i64::from(leaf.settings.node_loss_seconds)
        })
}

/// When a Pod on a lost node has been bound to it for long enough, so that it is to be deleted; `None` when the tree
/// leaves that to others.
///
/// Kubernetes deletes the Pods of that node, too, but it begins some seconds later and takes one after the other: a
/// hundred take it more than ten seconds. What this rule spares is that wait and nothing else, so it asks for:
/// - The taint by which Kubernetes itself evicts. It holds back with it when most nodes of a zone have gone silent at
///   once. No world can see that by itself: it knows the nodes of one tree, often a single one.
/// - A Pod that is not Ready. Kubernetes marks those on a silent node so, and a kubelet that is back takes it back; so
///   an old view of the nodes alone does not end a Pod that runs well.
/// - A Pod older than the silence. One that was bound to the node since shows that the view of the node is old.
/// - A Pod made from the present template, which shows whether the user tolerates the loss in another way.
pub(super) fn loss_ends_at(pod: &PodView, leaf: &Leaf<'_>, world: &World) -> Option<Timestamp> {
    let node = node_of(pod, world).filter(|node| node.unreachable && node.evicting)?;
    if leaf.is_stable() || is_over(pod) || pod.is_ready() {
        return None;
    }
    let since = node.not_ready_since.filter(|since| pod.created < *since)?;
    let follows_setting =
        pod.revision == leaf.revision && !build::tolerates_unreachable(&leaf.settings.template.0);
    follows_setting.then(|| after(since, i64::from(leaf.settings.node_loss_seconds)))
}

/// The node of a Pod, when it is known.
pub(super) fn node_of<'a>(pod: &PodView, world: &'a World) -> Option<&'a NodeView> {
    world.nodes.as_ref()?.get(pod.node.as_ref()?)
}

/// Whether the Pod's node is known not to exist any more.
pub(super) fn node_is_gone(pod: &PodView, world: &World) -> bool {
    match (&world.nodes, &pod.node) {
        (Some(nodes), Some(node)) => !nodes.contains_key(node),
        _ => false,
    }
}

fn running_since(pod: &PodView) -> Option<Timestamp> {
    pod.judged()
        .filter_map(super::pod::ContainerView::running_since)
        .max()
}

fn alive_since(pod: &PodView, ready: bool) -> Option<Timestamp> {
    let running = running_since(pod);
    let condition = pod
        .condition(PodConditionType::Ready)
        .filter(|c| ready && c.is_true);
    condition.and_then(|c| c.changed).max(running)
}

/// The slots that a worker of `count` replicas fills. `Stable` ones are the lowest numbers;
/// `Interchangeable` ones keep the slots there are, drop first those not alive, then not Ready, then the
/// highest, and add the lowest free numbers. They come in order, none twice. Returns with them the slots that are dropped and would be kept if their Pods
/// were alive and Ready.
fn wanted_slots(
    leaf: &Leaf<'_>,
    count: i32,
    child: &str,
    views: &[SlotView<'_>],
    memory: &Memory,
) -> (Vec<i32>, BTreeSet<i32>) {
    if leaf.is_stable() {
        return ((0..count).collect(), BTreeSet::new());
    }
    let remembered = memory.workers.get(child).into_iter().flat_map(|w| &w.slots);
    let mut slots: Vec<i32> = views
        .iter()
        .filter(|view| view.current.is_some_and(|pod| !pod.is_terminal()))
        .map(|view| view.slot)
        .chain(remembered.map(|s| s.slot))
        .collect();
    slots.sort_unstable();
    slots.dedup();
    let wanted = usize::try_from(count).unwrap_or(0);
    let rank = |slot: &i32| {
        let place = views.binary_search_by_key(slot, |view| view.slot);
        let pod = place.ok().and_then(|place| views[place].current);
        let live = pod.is_some_and(|p| !p.is_deleting() && !p.is_terminal());
        let running = pod.is_some_and(|p| p.judged().all(super::pod::ContainerView::is_running));
        (
            live && running,
            live && pod.is_some_and(PodView::is_ready),
            -slot,
        )
    };
    let mut dropped = BTreeSet::new();
    if slots.len() > wanted {
        let mut worst_first = slots.clone();
        worst_first.sort_by_cached_key(rank);
        let kept = worst_first.split_off(slots.len() - wanted);
        let worst_kept = kept.first().map(rank);
        dropped.extend(worst_first);
        slots.retain(|slot| !dropped.contains(slot));
        dropped.retain(|slot| worst_kept.is_some_and(|kept| kept < (true, true, -slot)));
    }
    let free: Vec<i32> = (0..=count)
        .filter(|slot| slots.binary_search(slot).is_err())
        .take(wanted.saturating_sub(slots.len()))
        .collect();
    slots.extend(free);
    slots.sort_unstable();
    (slots, dropped)
}
