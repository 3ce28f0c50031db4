//! Which slots a worker fills.
//!
//! Rule: the choice follows from what is stored and what is seen, so that every look at the same world makes the same one.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use jiff::Timestamp;

use super::SlotView;
use crate::model::in_place::under_way;
use crate::model::memory::Memory;
use crate::model::pod::PodView;
use crate::model::rollout::surplus;
use crate::model::tree::Leaf;

/// How willingly a slot is kept, the least first: what its Pod is like, and then what it is.
type Rank = ([bool; 3], i32, Reverse<Timestamp>, i32);

/// The slots that a worker of `count` replicas fills. `Stable` ones are the lowest numbers; `Interchangeable` ones keep the
/// slots there are, and add the lowest free numbers. As with a `ReplicaSet`, those go first that are not alive (finished
/// counts), then those not Ready, not of the present template, of a lower deletion cost, the newest, and of these the highest. They come in
/// order, none twice. Returns with them the slots that are dropped and would be kept if their Pods were in a better state.
pub(super) fn wanted_slots(
    leaf: &Leaf<'_>,
    count: i32,
    child: &str,
    views: &[SlotView<'_>],
    memory: &Memory,
    now: Timestamp,
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
    let worker = memory.workers.get(child);
    let surplus = worker.map_or_else(Vec::new, |worker| surplus(worker, leaf, count));
    let rank = |slot: &i32| -> Rank {
        let known = memory.slot(child, *slot);
        if known.is_some_and(|known| leaf.has_finished(known)) {
            return ([true; 3], 0, Reverse(Timestamp::MIN), -slot);
        }
        let place = views.binary_search_by_key(slot, |view| view.slot);
        let pod = place.ok().and_then(|place| views[place].current);
        let live = pod.filter(|pod| !pod.is_deleting() && !pod.is_terminal());
        // One that is updated in place may look as before while its containers are stopped.
        let live_and_well = live.filter(|pod| under_way(known, pod).is_none());
        let is = |state: fn(&PodView) -> bool| live_and_well.is_some_and(state);
        let is_current =
            live.is_some_and(|pod| leaf.is_current(pod, now)) && !surplus.contains(slot);
        (
            [is(PodView::runs), is(PodView::is_ready), is_current],
            live.map_or(0, PodView::deletion_cost),
            Reverse(live.map_or(Timestamp::MAX, |pod| pod.created)),
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
        let at_best = |slot: &i32| {
            let ([_, _, is_current], cost, age, number) = rank(slot);
            ([true, true, is_current], cost, age, number)
        };
        dropped.retain(|slot| worst_kept.is_some_and(|kept| kept < at_best(slot)));
    }
    let free: Vec<i32> = (0..=count)
        .filter(|slot| slots.binary_search(slot).is_err())
        .take(wanted.saturating_sub(slots.len()))
        .collect();
    slots.extend(free);
    slots.sort_unstable();
    (slots, dropped)
}

#[cfg(test)]
mod tests {
    use crate::api::v1alpha1::WorkerStatus;
    use crate::model::lab::Lab;

    /// A Worker that was restored from a backup has no status, and Pods.
    #[test]
    fn a_worker_that_has_lost_its_status_keeps_its_replicas() {
        let settings = "{replicas: 3, template: {spec: {containers: [{name: app, image: one}]}}}";
        let mut lab = Lab::new(&format!("children: [{{name: a, worker: {settings}}}]"));
        lab.run(10);
        lab.set_ready("a", 0, false);
        lab.edit_replicas("a", 2);
        lab.run(10);
        assert_eq!(lab.live("a"), [1, 2], "the one that was not Ready has gone");
        let worker = lab.world.workers.get_mut("a").unwrap();
        worker.status = WorkerStatus::default().into();
        let since = lab.log.len();
        lab.run(10);
        assert_eq!(lab.log[since..], [""; 0]);
        assert_eq!(lab.live("a"), [1, 2]);
    }
}
