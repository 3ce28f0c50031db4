//! What is to befall the replicas of one tree, and what has befallen them already.
//!
//! Rule: every fault happens at most once, and at most one to a replica at a time.

use jiff::Timestamp;

use super::fault::{Fault, Target};
use super::scene::Scene;
use crate::model::window::after;

/// How long after the tree has become Ready the faults without a time happen, in seconds.
const AFTER_READY_SECONDS: i64 = 1;

/// The faults and crash loops of one tree.
#[derive(Clone, Debug)]
pub(super) struct Script {
    start: Timestamp,
    pending: Vec<Pending>,
    crash_loops: Vec<Target>,
}

/// A fault that has not happened yet.
#[derive(Clone, Debug)]
struct Pending {
    fault: Fault,
    /// From when on it happens; `None` as long as that is not known.
    due: Option<Timestamp>,
}

impl Script {
    /// The script of a simulation that starts then.
    pub(super) fn new(start: Timestamp, faults: Vec<Fault>, crash_loops: Vec<Target>) -> Self {
        let pending = faults.into_iter().map(|fault| {
            let at = fault
                .at
                .or_else(|| fault.scene().is_of_start().then_some(0));
            Pending {
                due: at.map(|at| after(start, at)),
                fault,
            }
        });
        Self {
            start,
            pending: pending.collect(),
            crash_loops,
        }
    }

    /// The tree has become Ready: what was to wait for that happens soon.
    pub(super) fn tree_is_ready(&mut self, now: Timestamp) {
        for pending in self.pending.iter_mut().filter(|one| one.due.is_none()) {
            pending.due = Some(after(now, AFTER_READY_SECONDS));
        }
    }

    /// Takes the fault that befalls a running replica now. `has_started` says whether the replica has started: a fault
    /// without a time waits for that.
    pub(super) fn take_running(
        &mut self,
        child: &str,
        slot: i32,
        has_started: bool,
        now: Timestamp,
    ) -> Option<Fault> {
        self.take(child, slot, now, |fault| {
            !fault.scene().is_of_start() && (has_started || fault.at.is_some())
        })
    }

    /// Takes the fault that befalls a replica that starts now.
    pub(super) fn take_starting(
        &mut self,
        child: &str,
        slot: i32,
        now: Timestamp,
    ) -> Option<Fault> {
        self.take(child, slot, now, |fault| {
            let scene = fault.scene();
            scene.is_of_start() && !matches!(scene, Scene::Refused(..))
        })
    }

    /// Takes the fault that befalls a replica whose Pod is created now.
    pub(super) fn take_created(&mut self, child: &str, slot: i32, now: Timestamp) -> Option<Fault> {
        self.take(child, slot, now, |fault| {
            matches!(fault.scene(), Scene::Refused(..))
        })
    }

    fn take(
        &mut self,
        child: &str,
        slot: i32,
        now: Timestamp,
        is_of_kind: impl Fn(&Fault) -> bool,
    ) -> Option<Fault> {
        let index = self.pending.iter().position(|pending| {
            let target = &pending.fault.target;
            target.child == child
                && target.slot.unwrap_or(0) == slot
                && pending.due.is_some_and(|due| due <= now)
                && is_of_kind(&pending.fault)
        })?;
        Some(self.pending.remove(index).fault)
    }

    /// Whether a replica crashes again and again.
    pub(super) fn is_crash_looping(&self, child: &str, slot: i32) -> bool {
        let mut targets = self.crash_loops.iter();
        targets.any(|one| one.child == child && one.slot.is_none_or(|named| named == slot))
    }

    /// Whether anything crashes again and again.
    pub(super) fn has_crash_loops(&self) -> bool {
        !self.crash_loops.is_empty()
    }

    /// When the next fault is due after `now`.
    pub(super) fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        let due = self.pending.iter().filter_map(|pending| pending.due);
        due.filter(|due| *due > now).min()
    }

    /// The faults that have not happened.
    pub(super) fn left(&self) -> impl Iterator<Item = &Fault> {
        self.pending.iter().map(|pending| &pending.fault)
    }

    /// When the simulation began.
    pub(super) fn start(&self) -> Timestamp {
        self.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(faults: &[&str]) -> (Script, Timestamp) {
        let start = Timestamp::UNIX_EPOCH;
        let faults = faults.iter().map(|text| text.parse().unwrap()).collect();
        (Script::new(start, faults, Vec::new()), start)
    }

    #[test]
    fn a_fault_without_a_time_waits_for_the_tree_and_for_the_replica() {
        let (mut script, start) = script(&["a=exit:1"]);
        let at = |second| after(start, second);
        assert!(script.take_running("a", 0, true, at(100)).is_none());
        script.tree_is_ready(at(100));
        assert_eq!(script.next_due(at(100)), Some(at(101)));
        assert!(script.take_running("a", 0, true, at(100)).is_none());
        assert!(script.take_running("a", 0, false, at(101)).is_none());
        assert!(script.take_running("a", 1, true, at(101)).is_none());
        assert!(script.take_running("b", 0, true, at(101)).is_none());
        assert!(script.take_running("a", 0, true, at(101)).is_some());
        assert!(script.take_running("a", 0, true, at(101)).is_none());
        assert_eq!(script.left().count(), 0);
    }

    #[test]
    fn what_keeps_a_pod_from_starting_befalls_the_first_that_starts_in_time() {
        let (mut script, start) = script(&["a/1=ImageNotFound", "a/1=QuotaExceeded@5s"]);
        assert!(script.take_running("a", 1, true, start).is_none());
        assert!(script.take_created("a", 1, start).is_none());
        assert!(script.take_starting("a", 1, start).is_some());
        assert!(script.take_created("a", 1, after(start, 5)).is_some());
    }
}
