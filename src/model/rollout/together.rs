//! Workers that get another template together, because a group above them is restarted for it.
//!
//! Rule: whoever is restarted for a new template has got its own first, so that a rollout restarts nothing twice, wherever the
//! operator crashes. Only one with steps goes through these by itself, and may be restarted with its group besides.

use std::collections::BTreeSet;

use super::Stage;
use crate::api::v1alpha1::Strategy;
use crate::model::engine::{Engine, Mode};
use crate::model::replica::SlotView;
use crate::model::situations::is_outdated;
use crate::model::tree::{NodeId, ROOT};

impl Engine<'_> {
    /// A worker, and those that are restarted with it when templates change. One that has steps goes through them by itself, whatever
    /// restarts it meanwhile or afterwards: its group does not get other templates with it, and what waits for its turn waits until
    /// they are over.
    pub(super) fn turns_with(&self, id: NodeId) -> Vec<NodeId> {
        let has_steps = |id: NodeId| {
            let leaf = self.tree.leaf(id);
            leaf.is_some_and(|leaf| self.first_step(id, leaf).is_some())
        };
        if has_steps(id) {
            return vec![id];
        }
        let restarted = self.restarted_with(id, |other| {
            other == id || self.stage(other) == Stage::Former || self.is_untouched(other)
        });
        let is_restarted =
            |other: NodeId| restarted.iter().any(|up| self.tree.is_within(*up, other));
        let all = self.tree.leaves().map(|(other, _)| other);
        all.filter(|other| *other == id || (is_restarted(*other) && !has_steps(*other)))
            .collect()
    }

    /// The workers whose turn has come, and of which there are Pods of the former template, and none of the new one yet.
    pub(in crate::model) fn untouched_workers(&self) -> BTreeSet<NodeId> {
        let workers = self.tree.leaves().map(|(id, _)| id);
        workers.filter(|id| self.is_untouched(*id)).collect()
    }

    /// Whether a worker has nothing to do for its new template by itself now: its group is about to be restarted for that of
    /// another one, or others that are restarted with it have not got theirs yet.
    pub(in crate::model) fn leaves_update_to_group(
        &self,
        id: NodeId,
        untouched: &BTreeSet<NodeId>,
    ) -> bool {
        if untouched.is_empty() {
            return false;
        }
        let group = self.restarted_with(id, |other| other != id && untouched.contains(&other));
        // Of several that take the same group with them, the first one begins.
        let begins_itself = self.takes_its_group(id) && group.contains(&id);
        let waits = |other: NodeId| {
            let is_due = matches!(self.stage(other), Stage::Added | Stage::Former);
            is_due && self.mode(other) != Mode::Down
        };
        (!group.is_empty() && !begins_itself)
            || (self.begins_with_others(id) && self.turns_with(id).into_iter().any(waits))
    }

    /// Whether a worker waits for those that are restarted with it. What has nothing to lose may have had its template before them,
    /// and what it waited for has been forgotten with that; but nothing of it is alive.
    fn begins_with_others(&self, id: NodeId) -> bool {
        self.is_untouched(id) && self.has_something_to_stop(id)
    }

    /// Whether the turn of a worker has come, Pods of its former template are there, and none is made from the new one yet.
    pub(super) fn is_untouched(&self, id: NodeId) -> bool {
        let Some(leaf) = self.tree.leaf(id) else {
            return false;
        };
        if self.stage(id) != Stage::Updating {
            return false;
        }
        let wanted = self.replicas.get(&id).map_or(&[][..], |all| &all.wanted);
        let is_updated = |view: &SlotView<'_>| view.current.is_some() && !is_outdated(view, leaf);
        wanted.iter().any(|view| is_outdated(view, leaf)) && !wanted.iter().any(is_updated)
    }

    /// What is restarted together with a worker where the group of one for which `is_due` says so is restarted: the largest of the
    /// groups that it is in.
    fn restarted_with(&self, id: NodeId, is_due: impl Fn(NodeId) -> bool) -> &[NodeId] {
        let mut restarted = &[][..];
        let mut child = id;
        while child != ROOT {
            let parent = self.tree.nodes[child].parent;
            let siblings = &self.tree.nodes[parent].children[..];
            let takes_others = |one: &&NodeId| is_due(**one) && self.takes_its_group(**one);
            let first = || siblings.iter().find(takes_others);
            let group = match self.tree.parent_policy(child).strategy {
                Strategy::OneForOne => &[],
                Strategy::OneForAll => first().map_or(&[][..], |_| siblings),
                Strategy::RestForOne => first().map_or(&[][..], |one| self.tree.from_child(*one)),
            };
            if group.contains(&child) {
                restarted = group;
            }
            child = parent;
        }
        restarted
    }

    /// Whether a worker can only be updated by a restart of its group: where it has something to stop, and cannot spare that, or would
    /// have so when it had come up from its former template first. What runs to completion has not.
    fn takes_its_group(&self, id: NodeId) -> bool {
        let Some(leaf) = self.tree.leaf(id) else {
            return false;
        };
        let bounds = self.bounds(id, leaf);
        bounds.replicas > 0
            && bounds.is_stuck()
            && self.mode(id) != Mode::Down
            && (self.has_something_to_stop(id)
                || (!leaf.completes() && self.comes_up_as_it_was(id)))
    }

    /// Whether a worker waits for its turn, and what is down of it is going to be started before that comes.
    fn comes_up_as_it_was(&self, id: NodeId) -> bool {
        let lives = self.lives(id);
        self.stage(id) == Stage::Former
            && !self.has_nothing_to_lose(id)
            && lives.iter().any(|(_, life)| !life.finished)
    }

    /// Whether a replica of a worker is alive, and has not finished.
    fn has_something_to_stop(&self, id: NodeId) -> bool {
        let lives = self.lives(id);
        lives.iter().any(|(_, life)| life.alive && !life.finished)
    }
}
