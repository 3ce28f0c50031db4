//! Updates: which replicas of a worker give way to its present template now.
//!
//! Rule: at every moment at most `unavailable` of the replicas that are wanted are down, whatever they are down for, and at
//! most `surge` more Pods live than are wanted.

use std::cmp::Reverse;

use super::engine::{Engine, Mode};
use super::replica::{Life, SlotView};
use super::tree::{Leaf, NodeId};
use super::window::{after, seconds_between};
use crate::api::v1alpha1::Strategy;

/// How far an update may go at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// How many replicas are wanted.
    pub replicas: usize,
    /// How many of them may be down.
    pub unavailable: usize,
    /// How many Pods there may be above them.
    pub surge: usize,
}

/// A wanted slot, as an update sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Its number.
    pub slot: i32,
    /// Whether its Pod is to be replaced.
    pub outdated: bool,
    /// Whether it is up.
    pub up: bool,
    /// Whether it is up, and has been for as long as the worker asks for.
    pub available: bool,
}

/// What an update does now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// The slots whose Pods are replaced.
    pub replaced: Vec<i32>,
    /// How many more slots than replicas the worker fills from now on.
    pub surge: usize,
}

/// The next step. `candidates` come in the order in which they are to be replaced, and fill `surge` slots more than are
/// wanted.
fn step(candidates: &[Candidate], surge: usize, bounds: Bounds) -> Step {
    let is_old = |candidate: &&Candidate| candidate.outdated;
    let (old_up, old_down): (Vec<&Candidate>, Vec<&Candidate>) =
        candidates.iter().filter(is_old).partition(|one| one.up);
    // What is down already costs nothing.
    let mut replaced: Vec<i32> = old_down.iter().map(|one| one.slot).collect();
    if old_up.is_empty() {
        return Step { replaced, surge: 0 };
    }
    let fresh = candidates.len() - old_up.len();
    let is_fresh_one = |one: &&Candidate| !one.outdated && one.available;
    if fresh >= bounds.replicas {
        // The last ones go when all that take their place have come.
        let arrived = candidates.iter().filter(is_fresh_one).count();
        let surge = if arrived >= bounds.replicas { 0 } else { surge };
        return Step { replaced, surge };
    }
    let available = candidates.iter().filter(|one| one.available).count();
    let needed = bounds.replicas.saturating_sub(bounds.unavailable);
    let may_go = available.saturating_sub(needed);
    let missing = bounds.replicas - fresh;
    let next = old_up.iter().filter(|one| one.available);
    replaced.extend(next.map(|one| one.slot).take(may_go.min(missing)));
    // Never less than now: what has begun is not taken back before it has replaced something.
    let surge = surge.max(bounds.surge.min(missing));
    Step { replaced, surge }
}

impl Engine<'_> {
    /// Decides for each worker which of its Pods give way now. Where not one may be missing and none may be added, its group
    /// is restarted.
    pub(super) fn update_workers(&mut self) {
        for (id, leaf) in self.tree.leaves() {
            if self.worker(id).is_none() || self.mode(id) == Mode::Down {
                continue;
            }
            let lives = self.lives(id);
            let candidates = self.candidates(leaf, &lives);
            let bounds = self.bounds(id, leaf);
            let is_stuck = bounds.unavailable == 0 && bounds.surge == 0;
            if is_stuck && candidates.iter().any(|one| one.outdated && one.up) {
                self.restart_for_update(id);
                continue;
            }
            let name = self.tree.nodes[id].name;
            let surge = self.surge(name);
            let step = step(&candidates, surge, bounds);
            if step.surge != surge
                && let Some(worker) = self.memory.workers.get_mut(name)
            {
                worker.surge = i64::try_from(step.surge).unwrap_or(i64::MAX);
                self.memory.intend_worker(name);
                self.sort_again(id, leaf);
            }
            self.updates.insert(id, step.replaced);
        }
    }

    /// How many more slots than replicas a worker fills at the moment.
    fn surge(&self, child: &str) -> usize {
        let worker = self.memory.workers.get(child);
        worker.map_or(0, |worker| usize::try_from(worker.surge).unwrap_or(0))
    }

    /// The replicas of a worker that have not finished, in the order in which they are to be replaced.
    fn candidates(&mut self, leaf: &Leaf<'_>, lives: &[(SlotView<'_>, Life)]) -> Vec<Candidate> {
        // Until then, what is older than `restartAt` is not too old.
        let is_due = leaf.restart_at.is_none_or(|asked| asked <= self.now);
        if let Some(asked) = leaf.restart_at {
            self.wake(asked);
        }
        let min_ready = i64::from(leaf.settings.update.min_ready_seconds);
        let mut candidates = Vec::with_capacity(lives.len());
        for (view, life) in lives.iter().filter(|(_, life)| !life.finished) {
            let outdated = view.current.is_some_and(|pod| {
                let is_old = pod.revision != leaf.revision || (is_due && !leaf.is_current(pod));
                is_old && !pod.is_deleting()
            });
            let since = life.alive_since.filter(|_| life.up);
            let available = since.is_some_and(|since| {
                let is_young = seconds_between(since, self.now) < min_ready;
                if is_young {
                    self.wake(after(since, min_ready));
                }
                !is_young
            });
            candidates.push(Candidate {
                slot: view.slot,
                outdated,
                up: life.up,
                available,
            });
        }
        if leaf.is_stable() {
            candidates.sort_by_key(|one| Reverse(one.slot));
        }
        candidates
    }

    /// How far the update of a worker may go at once.
    fn bounds(&self, id: NodeId, leaf: &Leaf<'_>) -> Bounds {
        let replicas = self.replicas_wanted(id, leaf);
        let update = &leaf.settings.update;
        let default = i32::from(leaf.is_stable());
        let unavailable = update.max_unavailable.as_ref();
        let unavailable = unavailable.map_or(Some(default), |share| share.rounded_down(replicas));
        let surge = update.max_surge.as_ref();
        let surge = surge.map_or(Some(1 - default), |share| share.rounded_up(replicas));
        let mut unavailable = usize::try_from(unavailable.unwrap_or(0)).unwrap_or(0);
        // What is to complete is not made twice.
        let surge = surge.filter(|_| !leaf.completes() && replicas > 0);
        let surge = usize::try_from(surge.unwrap_or(0)).unwrap_or(0);
        let replicas = usize::try_from(replicas).unwrap_or(0);
        if surge == 0 && !leaf.updates_as_a_whole() {
            // A part that was rounded down to nothing.
            unavailable = unavailable.max(1);
        }
        unavailable = unavailable.min(replicas.saturating_sub(self.quorum(id, leaf)));
        if surge == 0 && self.tree.parent_policy(id).strategy == Strategy::OneForOne {
            // It is nobody's group.
            unavailable = unavailable.max(1);
        }
        Bounds {
            replicas,
            unavailable,
            surge,
        }
    }

    /// The group of a worker is restarted for its new template, because no replica of it may be missing beside the others.
    fn restart_for_update(&mut self, id: NodeId) {
        let parent = self.tree.nodes[id].parent;
        if self.operation_of(parent).is_none() && self.mode(id) == Mode::Up {
            let why = format!("the template of {} was changed", self.name(id));
            self.restart_group(id, &why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replicas as letters: `o` and `n` are of the former and of the present template and available, `O` and `N` are down,
    /// `w` is of the present one and up for too short a time, `v` of the former one.
    fn candidates(letters: &str) -> Vec<Candidate> {
        let read = |(slot, letter): (usize, char)| Candidate {
            slot: i32::try_from(slot).unwrap(),
            outdated: matches!(letter, 'o' | 'O' | 'v'),
            up: !letter.is_uppercase(),
            available: matches!(letter, 'o' | 'n'),
        };
        letters.chars().enumerate().map(read).collect()
    }

    /// Replicas there are, surge now; wanted, unavailable, surge; slots that are replaced, surge then.
    type Row = (&'static str, usize, [usize; 3], &'static [i32], usize);

    #[test]
    fn the_next_step_keeps_the_bounds() {
        #[rustfmt::skip]
        let table: [Row; 21] = [
            ("nnn",  0, [3, 0, 1], &[],        0), // nothing is to be done
            ("nnnn", 1, [3, 0, 1], &[],        0), // all have come
            ("ooo",  0, [3, 0, 1], &[],        1), // one is added first
            ("oooN", 1, [3, 0, 1], &[],        1), // it is waited for
            ("ooow", 1, [3, 0, 1], &[],        1), // for as long as the worker asks for
            ("ooon", 1, [3, 0, 1], &[0],       1), // then one gives way in place
            ("Noon", 1, [3, 0, 1], &[],        1),
            ("nnon", 1, [3, 0, 1], &[],        0), // the last one is dropped
            ("nNon", 1, [3, 0, 1], &[],        1), // not before the others have come
            ("ooo",  0, [3, 1, 0], &[0],       0), // without surge, one is missing for a while
            ("Noo",  0, [3, 1, 0], &[],        0),
            ("noo",  0, [3, 1, 0], &[1],       0),
            ("NOo",  0, [3, 1, 0], &[1],       0), // what is down anyway costs nothing
            ("OOO",  0, [3, 0, 1], &[0, 1, 2], 0), // and needs no surge
            ("Ooo",  0, [3, 1, 0], &[0],       0), // it is what is down
            ("ovo",  0, [3, 1, 0], &[],        0), // so is what was down a moment ago
            ("oooo", 0, [4, 2, 0], &[0, 1],    0),
            ("oooo", 0, [4, 1, 2], &[0],       2),
            ("ooNN", 2, [2, 0, 2], &[],        2), // both have their successors, which have not come
            ("ooNn", 2, [2, 0, 2], &[],        2), // both go when both have come
            ("oonn", 2, [2, 0, 2], &[],        0),
        ];
        for (letters, surge, [replicas, unavailable, more], replaced, then) in table {
            let bounds = Bounds {
                replicas,
                unavailable,
                surge: more,
            };
            let expected = Step {
                replaced: replaced.to_vec(),
                surge: then,
            };
            assert_eq!(
                step(&candidates(letters), surge, bounds),
                expected,
                "{letters}"
            );
        }
    }
}
