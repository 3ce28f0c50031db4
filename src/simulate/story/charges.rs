//! What something was charged: how full a window is after it.
//!
//! Rule: the numbers are those of the statuses; a window that was emptied by giving up had one charge too many.

use crate::api::v1alpha1::{Intensity, SupervisionTreeStatus};
use crate::model::decision::Decision;
use crate::model::tree::{NodeId, Tree};
use crate::model::world::World;

/// What could have been charged and was not.
pub(super) const NONE: &str = "none";

/// What the death of a replica was charged, when it was.
pub(super) fn of_replica(before: &World, decision: &Decision, child: &str, slot: i32) -> String {
    let Ok(tree) = Tree::parse(&before.tree.name, &before.tree.spec) else {
        return String::new();
    };
    let Some(id) = tree.find(child) else {
        return String::new();
    };
    let intensity = tree.parent_policy(id).intensity;
    let status = decision.worker_statuses.get(child);
    let slots = status.into_iter().flat_map(|status| &status.slots);
    let now = slots.into_iter().find(|one| one.slot == slot);
    let known = before.workers.get(child);
    let mut known = known.into_iter().flat_map(|one| &one.status.slots);
    let known = known.find(|one| one.slot == slot);
    let charges = |slot: Option<&crate::api::v1alpha1::SlotStatus>| {
        slot.map_or_else(Vec::new, |slot| slot.charges.clone())
    };
    let who = format!("{child}/{slot}");
    let is_new = |time| !charges(known).contains(time);
    let spent = charges(now).len();
    if charges(now).iter().any(is_new) {
        return told(spent, intensity, &who);
    }
    let was_parked = known.is_some_and(|one| one.parked.as_ref().is_some_and(|p| p.waiting));
    let is_parked = now.is_some_and(|one| one.parked.as_ref().is_some_and(|p| p.waiting));
    if is_parked && !was_parked {
        return told(overflow(intensity), intensity, &who);
    }
    of_node(&tree, id, &decision.tree_status)
}

/// What the exit of a supervisor was charged, when it was.
pub(super) fn of_supervisor(before: &World, decision: &Decision, child: &str) -> String {
    let Ok(tree) = Tree::parse(&before.tree.name, &before.tree.spec) else {
        return String::new();
    };
    tree.find(child)
        .map_or_else(String::new, |id| of_node(&tree, id, &decision.tree_status))
}

/// How full the window of the supervisor of a child is.
fn of_node(tree: &Tree<'_>, id: NodeId, status: &SupervisionTreeStatus) -> String {
    let parent = tree.nodes[id].parent;
    let name = tree.nodes[parent].name;
    let intensity = tree.parent_policy(id).intensity;
    let mut supervisors = status.supervisors.iter();
    let record = supervisors.find(|one| one.name == name);
    let charges = record.map_or(&[][..], |record| &record.charges);
    let is_there = charges.iter().any(|one| one.child == tree.nodes[id].name);
    let spent = charges.iter().map(|one| one.times.len()).sum();
    let spent = if is_there { spent } else { overflow(intensity) };
    told(spent, intensity, name)
}

fn overflow(intensity: Intensity) -> usize {
    usize::try_from(intensity.max_restarts).unwrap_or(0) + 1
}

fn told(spent: usize, intensity: Intensity, who: &str) -> String {
    let Intensity {
        max_restarts,
        period_seconds,
    } = intensity;
    format!("{spent}/{max_restarts} in {period_seconds}s at {who}")
}
