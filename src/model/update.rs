//! Updates: which replicas of a worker give way to its present template now.
//!
//! Rule: at every moment at most `unavailable` of the replicas that are wanted are down, whatever they are down for, and at
//! most `surge` more Pods live than are wanted.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::decision::Notice;
use super::engine::{Engine, Mode};
use super::outcome::{Cost, Next};
use super::pod::PodView;
use super::reasons::EventReason;
use super::replica::{Life, SlotView};
use super::situations::is_outdated;
use super::tree::{Leaf, NodeId};
use super::window::after;
use crate::api::v1alpha1::{Restart, Strategy};

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

impl Bounds {
    /// Whether not one replica may be missing and none be added, so that only the group as a whole can be replaced.
    pub(super) fn is_stuck(self) -> bool {
        self.unavailable == 0 && self.surge == 0
    }
}

/// A wanted slot, as an update sees it. What has finished is as good as any, unless it was to complete and has failed.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Its number.
    pub slot: i32,
    /// Whether its Pod is to be replaced.
    pub outdated: bool,
    /// Whether its turn has come: with a canary, that of the slots which are stored; else of those that are not outdated.
    pub chosen: bool,
    /// Whether its Pod is neither of the present nor of the good template.
    pub stray: bool,
    /// Whether it is alive.
    pub alive: bool,
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
/// wanted. With a canary, `goal` of them are to be replaced and no more.
fn step(candidates: &[Candidate], surge: usize, bounds: Bounds, goal: Option<usize>) -> Step {
    let count = |is: fn(&Candidate) -> bool| candidates.iter().filter(|one| is(one)).count();
    let is_old = |one: &&Candidate| one.outdated || !one.chosen;
    let (mut old_alive, mut old_dead): (Vec<&Candidate>, Vec<&Candidate>) =
        candidates.iter().filter(is_old).partition(|one| one.alive);
    // A Pod of a revision that was overtaken before it was proved good goes first, and in any case.
    old_dead.sort_by_key(|one| (!one.chosen, !one.stray));
    old_alive.sort_by_key(|one| (!one.chosen, !one.stray, one.up));
    let mut open = goal
        .unwrap_or(usize::MAX)
        .saturating_sub(count(|one| one.chosen));
    let mut fresh = count(|one| one.chosen && !(one.outdated && one.alive));
    let mut replaced = Vec::new();
    for one in old_dead {
        // What is not alive costs nothing.
        if !one.chosen && open > 0 {
            open -= 1;
            fresh += 1;
            replaced.push(one.slot);
        } else if one.chosen || one.stray {
            replaced.push(one.slot);
        }
    }
    if old_alive.is_empty() {
        return Step { replaced, surge: 0 };
    }
    let goal = goal.unwrap_or(bounds.replicas);
    let needed = bounds.replicas.saturating_sub(bounds.unavailable);
    let mut may_end = count(|one| one.alive).saturating_sub(needed);
    let mut may_go = count(|one| one.available).saturating_sub(needed);
    let mut missing = goal.saturating_sub(fresh);
    // Those that are not Ready go first. They are alive all the same, and may be up again in a moment.
    let mut strays = 0;
    for one in old_alive {
        let is_due = one.chosen || one.stray || missing > 0;
        let goes = is_due && may_end > 0 && (!one.up || (one.available && may_go > 0));
        if goes {
            replaced.push(one.slot);
            may_end -= 1;
            may_go -= usize::from(one.up);
        }
        if goes && missing > 0 {
            missing -= 1;
        } else if one.stray {
            strays += 1;
        }
    }
    let open = goal.saturating_sub(fresh) + strays;
    let surge = if open > 0 {
        // Never less than now: what has begun is not taken back before it has replaced something.
        surge.max(bounds.surge.min(open))
    } else if count(|one| one.chosen && !one.outdated && one.available) >= goal {
        0
    } else {
        // The last ones go when all that take their place have come.
        surge
    };
    Step { replaced, surge }
}

impl Engine<'_> {
    /// Decides for each worker which of its Pods give way now. Where not one may be missing and none may be added, its group
    /// is restarted.
    pub(super) fn update_workers(&mut self) {
        let untouched = self.untouched_workers();
        for (id, leaf) in self.tree.leaves() {
            if self.worker(id).is_none() || self.mode(id) != Mode::Up {
                continue;
            }
            if self.is_frozen() || self.awaits_turn(id) {
                self.keep_former_templates(id, leaf);
                continue;
            }
            self.leave_former_templates(id);
            if self.leaves_update_to_group(id, &untouched) {
                continue;
            }
            let lives = self.lives(id);
            let mut candidates = self.candidates(id, leaf, &lives);
            let bounds = self.bounds(id, leaf);
            let canary = self.take_steps(id, leaf, &candidates, bounds);
            if canary.is_none() {
                forget_canary(&mut candidates);
            }
            let name = self.tree.nodes[id].name;
            let stored = self.surge(name);
            let is_old = |one: &&Candidate| one.outdated;
            let bounds = self.without_surge(id, leaf, &candidates, bounds);
            // An edit may have made the bound narrower.
            let mut next = step(&candidates, stored.min(bounds.surge), bounds, canary);
            let is_stuck = bounds.is_stuck() && canary.is_none();
            if is_stuck && candidates.iter().filter(is_old).any(|one| one.alive) {
                let edited = |(view, _): &(SlotView<'_>, Life)| is_outdated(view, leaf);
                self.restart_for_update(id, lives.iter().any(edited));
                next.surge = 0;
            }
            if next.surge != stored
                && let Some(worker) = self.memory.workers.get_mut(name)
            {
                worker.surge = i64::try_from(next.surge).unwrap_or(i64::MAX);
                self.memory.intend_worker(name);
                self.sort_again(id, leaf);
            }
            if let Some(goal) = canary {
                self.choose_slots(id, &next.replaced, goal);
            }
            let recreated = self.begin_in_place(id, leaf, next.replaced);
            self.updates.insert(id, recreated);
        }
    }

    /// The bounds of an update, in which no Pods are added where all of them can be updated in place, and one may be down meanwhile.
    fn without_surge(
        &self,
        id: NodeId,
        leaf: &Leaf<'_>,
        candidates: &[Candidate],
        bounds: Bounds,
    ) -> Bounds {
        let old = candidates.iter().filter(|one| one.outdated && one.alive);
        let old: BTreeSet<i32> = old.map(|one| one.slot).collect();
        if bounds.unavailable == 0 || !self.could_all_be_in_place(id, leaf, &old) {
            return bounds;
        }
        let surge = bounds.surge.min(self.surge(self.name(id)));
        Bounds { surge, ..bounds }
    }

    /// Whether all replicas of a worker are of its present template and have been available for as long as it asks for.
    pub(super) fn is_updated(&mut self, id: NodeId) -> bool {
        let Some(leaf) = self.tree.leaf(id) else {
            return true;
        };
        let lives = self.lives(id);
        let candidates = self.candidates(id, leaf, &lives);
        self.worker(id).is_some()
            && self.surge(self.name(id)) == 0
            && self.canary_slots(id).is_none()
            && candidates.iter().all(|one| one.available && !one.outdated)
    }

    /// The slots of a worker that are available.
    pub(super) fn available_slots(
        &mut self,
        id: NodeId,
        leaf: &Leaf<'_>,
        lives: &[(SlotView<'_>, Life)],
    ) -> Vec<i32> {
        let candidates = self.candidates(id, leaf, lives).into_iter();
        let available = candidates.filter(|one| one.available);
        available.map(|one| one.slot).collect()
    }

    /// How many more slots than replicas a worker fills at the moment.
    fn surge(&self, child: &str) -> usize {
        let worker = self.memory.workers.get(child);
        worker.map_or(0, |worker| usize::try_from(worker.surge).unwrap_or(0))
    }

    /// The replicas of a worker, in the order in which they are to be replaced.
    fn candidates(
        &mut self,
        id: NodeId,
        leaf: &Leaf<'_>,
        lives: &[(SlotView<'_>, Life)],
    ) -> Vec<Candidate> {
        if let Some(asked) = leaf.restart_at {
            self.wake(asked);
        }
        let min_ready = i64::from(leaf.settings.update.min_ready_seconds);
        let canary = self.canary_slots(id).map(<[i32]>::to_vec);
        let former = self.former_revision(id).map(str::to_owned);
        let mut candidates = Vec::with_capacity(lives.len());
        for (view, life) in lives {
            let is_old = |pod: &PodView| !leaf.is_current(pod, self.now) && !pod.is_deleting();
            let outdated = !life.finished && view.current.is_some_and(is_old);
            let since = life.alive_since.filter(|_| life.up && !life.finished);
            let ready_at = since.map(|since| after(since, min_ready));
            let is_young = ready_at.is_some_and(|time| time > self.now);
            if let Some(time) = ready_at {
                self.wake(time);
            }
            candidates.push(Candidate {
                slot: view.slot,
                outdated,
                chosen: canary
                    .as_ref()
                    .map_or(!outdated, |slots| slots.binary_search(&view.slot).is_ok()),
                stray: outdated
                    && former.as_ref().is_some_and(|former| {
                        view.current.is_some_and(|pod| pod.revision != *former)
                    }),
                alive: life.alive,
                up: life.up,
                available: life.up && !is_young,
            });
        }
        if leaf.is_stable() {
            candidates.sort_by_key(|one| Reverse(one.slot));
        }
        candidates
    }

    /// How far the update of a worker may go at once.
    pub(super) fn bounds(&self, id: NodeId, leaf: &Leaf<'_>) -> Bounds {
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
        let is_alone = self.tree.parent_policy(id).strategy == Strategy::OneForOne;
        if surge == 0 && (is_alone || leaf.settings.restart == Restart::Temporary) {
            // It is nobody's group, or would not be started again with its group.
            unavailable = unavailable.max(1);
        }
        Bounds {
            replicas,
            unavailable,
            surge,
        }
    }

    /// The group of a worker is restarted for its new template, or because `restartAt` asks for it, as no replica of it may be
    /// missing beside the others.
    fn restart_for_update(&mut self, id: NodeId, edited: bool) {
        // One that is under way need not end first, but it must have come past this worker.
        let parent = self.tree.nodes[id].parent;
        let is_under_way = self.operation_of(parent).is_some();
        if is_under_way && (self.has_former(parent) || !self.has_got_up(id)) {
            return;
        }
        let name = self.name(id);
        let why = if edited {
            "its template was changed"
        } else {
            "`restartAt` asks for it"
        };
        let Some(siblings) = self.restart_group(id, &format!("{name}: {why}")) else {
            return;
        };
        self.notices.push(Notice {
            reason: EventReason::UpdateRestartsGroup.as_str().to_owned(),
            action: "Restart",
            child: name.to_owned(),
            what: "is restarted with its group, because not one replica of it may be missing beside the others".to_owned(),
            why: why.to_owned(),
            cost: Some(Cost::Free),
            next: Some(Next::Regrouped { siblings, at: None }),
            ..Notice::default()
        });
    }
}

/// Without a canary, what is not outdated is as it is to be.
fn forget_canary(candidates: &mut [Candidate]) {
    for one in candidates {
        one.chosen = !one.outdated;
        one.stray = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replicas as letters: `o` and `n` are of the former and of the present template and available, `O` and `N` are not alive,
    /// `w` is of the present one and up for too short a time, `v` of the former one, `u` of the former one, alive and not up.
    fn candidates(letters: &str) -> Vec<Candidate> {
        let read = |(slot, letter): (usize, char)| Candidate {
            slot: i32::try_from(slot).unwrap(),
            outdated: matches!(letter, 'o' | 'O' | 'v' | 'u'),
            chosen: !matches!(letter, 'o' | 'O' | 'v' | 'u'),
            stray: false,
            alive: !letter.is_uppercase(),
            up: !letter.is_uppercase() && letter != 'u',
            available: matches!(letter, 'o' | 'n'),
        };
        letters.chars().enumerate().map(read).collect()
    }

    /// Replicas there are, surge now; wanted, unavailable, surge; slots that are replaced, surge then.
    type Row = (&'static str, usize, [usize; 3], &'static [i32], usize);

    #[test]
    fn the_next_step_keeps_the_bounds() {
        #[rustfmt::skip]
        let table: [Row; 26] = [
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
            ("uuu",  0, [3, 0, 1], &[],        1), // they may be Ready again in a moment
            ("uuuN", 1, [3, 0, 1], &[],        1),
            ("uuun", 1, [3, 0, 1], &[0],       1), // one that is up is worth more than one that is not
            ("ouo",  0, [3, 1, 0], &[1],       0), // what is not Ready goes first
            ("ouu",  0, [3, 1, 0], &[1],       0), // one after another
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
                step(&candidates(letters), surge, bounds, None),
                expected,
                "{letters}"
            );
        }
    }
}
