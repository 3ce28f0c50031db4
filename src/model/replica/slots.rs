//! Which slots a worker fills.
//!
//! Rule: the choice follows from what is stored and what is seen, so that every look at the same world makes the same one.

use std::collections::BTreeSet;

use super::SlotView;
use crate::model::memory::Memory;
use crate::model::pod::PodView;
use crate::model::tree::Leaf;

/// The slots that a worker of `count` replicas fills. `Stable` ones are the lowest numbers;
/// `Interchangeable` ones keep the slots there are, drop first those not alive, then not Ready, then not of the present template,
/// then the highest, and add the lowest free numbers. They come in order, none twice. Returns with them the slots that are dropped and would be kept if their Pods
/// were alive and Ready.
pub(super) fn wanted_slots(
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
        let running = pod.is_some_and(PodView::runs);
        (
            live && running,
            live && pod.is_some_and(PodView::is_ready),
            live && pod.is_some_and(|pod| leaf.is_current(pod)),
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
        dropped.retain(|slot| worst_kept.is_some_and(|kept| kept < (true, true, true, -slot)));
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
