//! What is remembered between two decisions: the statuses of the tree and of its Workers.
//!
//! Rule: a change that spends budget or begins something is marked as an intent, so that it is stored
//! before anything is done about it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::v1alpha1::{
    ChargeStatus, Intensity, JudgedDeath, RecentFault, SlotStatus, SupervisionTreeStatus,
    SupervisorStatus, WorkerStatus,
};

use super::decision::OfWorkers;
use super::rollout::former_beside;
use super::tree::Leaf;
use super::window::{api_time, in_window};
use super::world::World;

/// Most faults kept in the status of a tree.
pub const RECENT_FAULTS: usize = 10;

/// The statuses while a decision is made.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    /// Status of the tree.
    pub tree: SupervisionTreeStatus,
    /// Statuses of the Workers that exist, by child name.
    pub workers: BTreeMap<String, WorkerStatus>,
    /// Whether the status of the tree holds a new intent.
    pub tree_intent: bool,
    /// Children whose Worker's status holds a new intent.
    pub worker_intents: BTreeSet<String>,
    /// Children whose Worker's status holds news that spends nothing.
    pub worker_news: BTreeSet<String>,
    /// Deaths judged now that the status of the tree must name, see [`JudgedDeath`].
    pub judged: Vec<JudgedDeath>,
    /// Deaths judged now that the tree does not name: the fault, and how many lives ended so.
    of_workers: Vec<(RecentFault, i64)>,
}

impl Memory {
    /// Reads what is stored. Deaths that the tree names as judged count, even if the status of their
    /// Worker was not written before a crash.
    pub(super) fn load(world: &World) -> Self {
        let mut memory = Self {
            tree: world.tree.status.clone(),
            workers: world
                .workers
                .iter()
                .map(|(child, worker)| {
                    let mut status = worker.status.as_ref().clone();
                    // Nobody but us writes them, and still nothing rests on that.
                    status.slots.sort_by_key(|slot| slot.slot);
                    status.slots.dedup_by_key(|slot| slot.slot);
                    if status.place.is_empty() {
                        // It is new: what has begun before it does not concern it.
                        status.incarnation = 1;
                        status.operation = world.tree.status.operations;
                    }
                    (child.clone(), status)
                })
                .collect(),
            tree_intent: false,
            worker_intents: BTreeSet::new(),
            worker_news: BTreeSet::new(),
            judged: Vec::new(),
            of_workers: Vec::new(),
        };
        for death in world.tree.status.judged_deaths.clone() {
            memory.apply_judged(world, &death);
        }
        for fault in &world.untold.faults {
            let mut known = memory.tree.recent_faults.iter();
            if !known.any(|known| is_same(known, fault)) {
                memory.remember_fault(fault.clone());
            }
        }
        memory.count_restarts(world.untold.restarts);
        memory
    }

    /// A Worker counts a death together with it, and the tree after it: what was stored of the one but not of the other is
    /// made up for. What Workers that are gone have counted is in the number of the tree alone, so that theirs do not show
    /// all that is missing there.
    fn count_restarts(&mut self, at_least: i64) {
        let counted = self.workers.values().map(|worker| worker.restarts).sum();
        self.tree.restarts = self.tree.restarts.max(counted).max(at_least);
    }

    /// Repeats a judgement in the status of the Worker when a crash came between the two writes. The
    /// Pod must still be the last one of its slot: otherwise the Worker's status is the newer one.
    fn apply_judged(&mut self, world: &World, death: &JudgedDeath) {
        let Some(worker) = world.workers.get(&death.child) else {
            return;
        };
        let slot = self.slot_mut(&death.child, death.slot);
        if slot.pod_uid != death.pod_uid {
            let newest = worker
                .pods
                .iter()
                .filter(|pod| pod.slot == death.slot)
                .max_by_key(|pod| pod.created);
            if newest.is_none_or(|pod| pod.uid != death.pod_uid) {
                return;
            }
            slot.begin_pod(&death.pod_uid);
        }
        if slot.deaths < death.deaths || (death.gone && !slot.gone) {
            slot.deaths = slot.deaths.max(death.deaths);
            slot.gone |= death.gone;
            slot.started = false;
            slot.finished.clone_from(&death.finished);
            if let Some(worker) = self.workers.get_mut(&death.child) {
                worker.restarts += death.restarts;
            }
            self.intend_worker(&death.child);
            self.restart_slots(&death.child);
        }
    }

    /// A worker as a whole restarts: the windows of its slots are cleared.
    pub(super) fn restart_slots(&mut self, child: &str) {
        if let Some(worker) = self.workers.get_mut(child) {
            worker.started = false;
            for slot in &mut worker.slots {
                slot.charges.clear();
                slot.parked = None;
                slot.due_time = None;
                slot.step = 0;
            }
        }
        self.intend_worker(child);
    }

    /// The present incarnation of a worker.
    pub(super) fn incarnation(&self, child: &str) -> i64 {
        self.workers
            .get(child)
            .map_or(1, |worker| worker.incarnation)
    }

    /// What is remembered of a supervisor.
    pub(super) fn supervisor(&self, name: &str) -> Option<&SupervisorStatus> {
        self.tree.supervisors.iter().find(|s| s.name == name)
    }

    /// What is remembered of a supervisor, made when it is new.
    pub(super) fn supervisor_mut(&mut self, name: &str) -> &mut SupervisorStatus {
        let list = &mut self.tree.supervisors;
        let index = list.iter().position(|s| s.name == name).unwrap_or_else(|| {
            list.push(SupervisorStatus {
                name: name.to_owned(),
                ..SupervisorStatus::default()
            });
            list.len() - 1
        });
        &mut list[index]
    }

    /// What is remembered of a slot.
    pub(super) fn slot(&self, child: &str, slot: i32) -> Option<&SlotStatus> {
        let slots = &self.workers.get(child)?.slots;
        slots.get(place_of(slots, slot).ok()?)
    }

    /// The revision of the template that a slot is filled with: that of its worker, or a former one as long as a rollout has not
    /// come to it.
    pub(super) fn revision_of<'m>(&'m self, child: &str, slot: i32, leaf: &'m Leaf<'_>) -> &'m str {
        let kept = self.slot(child, slot).map(|slot| slot.revision.as_str());
        let canary = self.workers.get(child);
        let canary = canary.and_then(|worker| worker.update_step.as_ref());
        let beside = || former_beside(canary?, slot);
        kept.filter(|revision| !revision.is_empty())
            .or_else(beside)
            .unwrap_or(&leaf.revision)
    }

    /// What is remembered of a slot, made when it is new. Slots stay sorted by number.
    pub(super) fn slot_mut(&mut self, child: &str, slot: i32) -> &mut SlotStatus {
        let slots = &mut self.workers.entry(child.to_owned()).or_default().slots;
        let index = match place_of(slots, slot) {
            Ok(index) => index,
            Err(index) => {
                slots.insert(
                    index,
                    SlotStatus {
                        slot,
                        ..SlotStatus::default()
                    },
                );
                index
            }
        };
        &mut slots[index]
    }

    /// The number of a new operation, which is to be stored before anything is done about it.
    pub(super) fn next_operation(&mut self) -> i64 {
        self.tree.operations += 1;
        self.intend_tree();
        self.tree.operations
    }

    /// The status of the tree must be stored before the next effect.
    pub(super) fn intend_tree(&mut self) {
        self.tree_intent = true;
    }

    /// The status of that Worker must be stored before the next effect.
    pub(super) fn intend_worker(&mut self, child: &str) {
        self.worker_intents.insert(child.to_owned());
    }

    /// The status of that Worker must be stored, but what is done about it spends nothing and need not wait for that.
    pub(super) fn note_worker(&mut self, child: &str) {
        self.worker_news.insert(child.to_owned());
    }

    /// Keeps a fault for people, newest first.
    pub(super) fn remember_fault(&mut self, fault: RecentFault) {
        self.tree.recent_faults.insert(0, fault);
        self.tree.recent_faults.truncate(RECENT_FAULTS);
    }

    /// The fault that was remembered last is a death that only the status of its Worker will remember.
    pub(super) fn leave_to_worker(&mut self, child: &str, restarts: i64) {
        let newest = self.tree.recent_faults.first();
        let fault = newest.filter(|fault| fault.child == child).cloned();
        self.of_workers.extend(fault.map(|fault| (fault, restarts)));
    }

    /// What only the statuses of Workers will remember, with that status of the tree without it.
    pub(super) fn of_workers(&self, tree_status: &SupervisionTreeStatus) -> Option<OfWorkers> {
        let mut by_child = BTreeMap::new();
        let mut without = tree_status.clone();
        for (fault, restarts) in &self.of_workers {
            *by_child.entry(fault.child.clone()).or_default() += restarts;
            without.restarts -= restarts;
            without.recent_faults.retain(|known| known != fault);
        }
        (!by_child.is_empty()).then_some(OfWorkers {
            restarts: by_child,
            tree_status: without,
        })
    }

    /// The deaths that the next status of the tree has to name: those judged now, and earlier ones that
    /// their Worker's stored status does not show yet.
    pub(super) fn open_judgements(&self, world: &World) -> Vec<JudgedDeath> {
        let unconfirmed = world.tree.status.judged_deaths.iter().filter(|death| {
            let Some(worker) = world.workers.get(&death.child) else {
                return false;
            };
            let stored = worker.status.slots.iter().find(|s| s.slot == death.slot);
            let confirmed = stored.is_some_and(|s| {
                s.pod_uid == death.pod_uid && s.deaths >= death.deaths && (s.gone || !death.gone)
            });
            !confirmed && worker.pods.iter().any(|pod| pod.uid == death.pod_uid)
        });
        unconfirmed.chain(&self.judged).cloned().collect()
    }
}

/// Where in a list that is sorted by number a slot is, or belongs.
fn place_of(slots: &[SlotStatus], slot: i32) -> Result<usize, usize> {
    // Mostly no number is missing.
    let place = usize::try_from(slot).unwrap_or_default();
    if slots.get(place).is_some_and(|found| found.slot == slot) {
        return Ok(place);
    }
    slots.binary_search_by_key(&slot, |found| found.slot)
}

/// Whether both tell of the same fault, in whatever words.
fn is_same(one: &RecentFault, other: &RecentFault) -> bool {
    let key = |fault: &RecentFault| (fault.slot, fault.time.clone());
    key(one) == key(other) && one.child == other.child && one.class == other.class
}

impl ChargeStatus {
    /// The charges that are inside the window at that time: those that are young enough, and starts that failed.
    pub(crate) fn counted(
        &self,
        at: Timestamp,
        intensity: Intensity,
    ) -> impl Iterator<Item = &Time> {
        let sticky = usize::try_from(self.failed_starts).unwrap_or(0);
        let aging = self.times.len().saturating_sub(sticky);
        let times = self.times.iter().enumerate();
        times
            .filter(move |(place, time)| *place >= aging || in_window(time, at, &intensity))
            .map(|(_, time)| time)
    }

    /// Forgets the charges that are outside the window at that time.
    pub(super) fn forget_old(&mut self, at: Timestamp, intensity: Intensity) {
        self.times = self.counted(at, intensity).cloned().collect();
    }
}

impl SlotStatus {
    /// The charges that are inside the window at that time.
    pub(super) fn counted(
        &self,
        at: Timestamp,
        intensity: Intensity,
    ) -> impl Iterator<Item = &Time> {
        let inside = move |time: &&Time| in_window(time, at, &intensity);
        self.charges.iter().filter(inside)
    }

    /// Turns to a new Pod: what was remembered of the last one is over, windows and delays go on.
    pub(super) fn begin_pod(&mut self, uid: &str) {
        uid.clone_into(&mut self.pod_uid);
        self.deaths = 0;
        self.failed_inits = 0;
        self.in_place = None;
        self.gone = false;
        self.started = false;
    }

    /// Turns to that Pod, unless the slot stands on it already. Says whether it is a new one.
    pub(super) fn turn_to(&mut self, uid: &str) -> bool {
        let is_new = self.pod_uid != uid;
        if is_new {
            self.begin_pod(uid);
        }
        is_new
    }

    /// The end of that Pod is nothing to be judged: the tree ordered it.
    pub(super) fn end_pod(&mut self, uid: &str) {
        // Which of its ends an update in place has ordered is known as long as it is there.
        self.turn_to(uid);
        self.gone = true;
        self.started = false;
    }

    /// Runs of that Pod have ended that are nothing to be judged.
    pub(super) fn note_runs(&mut self, uid: &str, ended_runs: i64) {
        self.turn_to(uid);
        self.deaths = self.deaths.max(ended_runs);
    }

    /// Forgets windows, delays and troubles: the worker starts as new.
    pub(super) fn forget_restarts(&mut self) {
        self.brake = None;
        self.begin_windows();
    }

    /// Forgets windows, delays and troubles, but not how often it was replaced uncharged.
    pub(super) fn begin_windows(&mut self) {
        self.charges.clear();
        self.node_charges.clear();
        self.step = 0;
        self.due_time = None;
        self.parked = None;
        self.trouble = None;
    }

    /// Whether nothing is left to remember.
    pub(super) fn is_empty(&self) -> bool {
        *self
            == Self {
                slot: self.slot,
                ..Self::default()
            }
    }

    /// Since when the slot has been down, from now on when it is news.
    pub(super) fn mark_down(&mut self, now: Timestamp) {
        if self.down_time.is_none() {
            self.down_time = Some(api_time(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::lab::Lab;

    /// Times of charges, how many of them are starts that failed, and which count at second 100 in a window of 10 seconds.
    #[test]
    fn young_charges_count_and_so_do_starts_that_failed_however_old() {
        let table: [(&[i64], i64, &[i64]); 9] = [
            (&[], 0, &[]),
            (&[], 3, &[]),
            (&[89, 90, 100], 0, &[90, 100]),
            (&[1, 2], 0, &[]),
            (&[1, 2], 1, &[2]),
            (&[1, 2], 2, &[1, 2]),
            (&[1, 2], 3, &[1, 2]),
            (&[1, 95, 2], 1, &[95, 2]),
            (&[101], -1, &[101]),
        ];
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let intensity = Intensity {
            max_restarts: 1,
            period_seconds: 10,
        };
        for (times, failed_starts, counted) in table {
            let mut charge = ChargeStatus {
                child: "a".into(),
                times: times.iter().map(|second| api_time(at(*second))).collect(),
                failed_starts,
            };
            let seconds =
                |times: &[Time]| times.iter().map(|t| t.0.as_second()).collect::<Vec<_>>();
            let found: Vec<Time> = charge.counted(at(100), intensity).cloned().collect();
            assert_eq!(seconds(&found), counted, "{times:?}, {failed_starts}");
            charge.forget_old(at(100), intensity);
            assert_eq!(
                seconds(&charge.times),
                counted,
                "{times:?}, {failed_starts}"
            );
        }
    }

    /// What names a death until the Worker remembers it, is what keeps a crash from charging it twice.
    #[test]
    fn a_death_is_named_until_its_worker_remembers_it_or_its_pod_is_gone() {
        let template = "worker: {template: {spec: {containers: [{name: app, image: one}]}}}";
        let mut lab = Lab::new(&format!("children: [{{name: a, {template}}}]"));
        lab.run(5);
        let uid = lab.pod_mut("a", 0).uid.clone();
        let death = JudgedDeath {
            child: "a".into(),
            slot: 0,
            pod_uid: uid.clone(),
            deaths: 2,
            gone: true,
            finished: None,
            restarts: 1,
        };
        let is_named = |death: &JudgedDeath, slot: &SlotStatus| {
            let mut world = lab.world.clone();
            let worker = world.workers.get_mut("a").expect("the Worker");
            Arc::make_mut(&mut worker.status).slots = vec![slot.clone()];
            Arc::make_mut(&mut world.tree).status.judged_deaths = vec![death.clone()];
            !Memory::load(&world).open_judgements(&world).is_empty()
        };
        let remembered = SlotStatus {
            slot: 0,
            pod_uid: uid,
            deaths: 2,
            gone: true,
            ..SlotStatus::default()
        };
        assert!(!is_named(&death, &remembered));
        for (what, change) in [
            (
                "another Pod",
                (|slot| slot.pod_uid = "other".into()) as fn(&mut SlotStatus),
            ),
            ("fewer ends", |slot| slot.deaths = 1),
            ("not over yet", |slot| slot.gone = false),
            ("another slot", |slot| slot.slot = 1),
        ] {
            let mut slot = remembered.clone();
            change(&mut slot);
            assert!(is_named(&death, &slot), "{what}");
            let run = JudgedDeath {
                gone: false,
                ..death.clone()
            };
            assert_eq!(
                is_named(&run, &slot),
                what != "not over yet",
                "{what}, of a Pod that goes on"
            );
        }
        let of_no_pod = JudgedDeath {
            pod_uid: "gone".into(),
            ..death
        };
        assert!(!is_named(&of_no_pod, &remembered));
    }

    #[test]
    fn slots_are_found_where_numbers_are_missing() {
        let slots = [0, 1, 4, 6].map(|slot| SlotStatus {
            slot,
            ..SlotStatus::default()
        });
        let places = [-1, 0, 1, 2, 3, 4, 5, 6, 7].map(|slot| place_of(&slots, slot));
        let found = [
            Err(0),
            Ok(0),
            Ok(1),
            Err(2),
            Err(2),
            Ok(2),
            Err(3),
            Ok(3),
            Err(4),
        ];
        assert_eq!(places, found);
    }
}
