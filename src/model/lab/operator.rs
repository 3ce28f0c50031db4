//! The operator of the lab: it decides, stores statuses, has the writes made, and crashes where it was told to.
//!
//! Rule: it stores and writes in the order in which the controller does.

use super::Lab;
use crate::model::decision::{Decision, Write};

impl Lab {
    /// Decides, lets something happen that the decision does not know of, and carries it out.
    pub(crate) fn decide_before(&mut self, meanwhile: impl FnOnce(&mut Self)) {
        let decision = (self.decide)(&self.world, self.now);
        meanwhile(self);
        self.carry_out(&decision).expect("no crash is planned");
    }

    /// Decides and carries out until nothing changes any more.
    pub(crate) fn settle(&mut self) {
        for _ in 0..60 {
            if !self.decide_once() {
                return;
            }
        }
        panic!(
            "no fixpoint; last writes: {:?}",
            &self.log[self.log.len().saturating_sub(12)..]
        );
    }

    /// Decides and carries that out, as far as a crash that is planned lets it. Says whether anything changed.
    pub(crate) fn decide_once(&mut self) -> bool {
        let decision = (self.decide)(&self.world, self.now);
        assert_eq!(
            decision,
            (self.decide)(&self.world, self.now),
            "a decision is a function of the world"
        );
        self.world.refusals.clear();
        self.wake_at = decision.wake_at;
        self.carry_out(&decision).unwrap_or(true)
    }

    /// `None` when the operator crashed in the middle.
    fn carry_out(&mut self, decision: &Decision) -> Option<bool> {
        let mut changed = false;
        if decision.writes_first {
            let (wrote, goes_on) = self.make_writes(decision)?;
            changed |= wrote;
            if !goes_on {
                return Some(changed);
            }
        }
        let of_workers = decision.of_workers.as_ref();
        let first = of_workers.map_or(&decision.tree_status, |of| &of.tree_status);
        if decision.tree_intent && *first != self.world.tree.status {
            self.write()?;
            self.tree_mut().status = first.clone();
            changed = true;
        }
        for child in &decision.worker_intents {
            changed |= self.write_worker(child, decision)?;
        }
        if of_workers.is_some() && decision.tree_status != self.world.tree.status {
            self.write()?;
            self.tree_mut().status = decision.tree_status.clone();
            changed = true;
        }
        for notice in decision.notices.clone() {
            assert!(
                !notice.action.is_empty(),
                "the API server refuses an Event without: {notice:?}"
            );
            let type_ = if notice.warning { "Warning" } else { "Normal" };
            self.told
                .push(format!("{type_} {}: {}", notice.reason, notice.message()));
            self.events.push(notice.reason);
        }
        let judged = decision.judged.iter().map(|j| (j.verdict, j.charged));
        self.judged.extend(judged);
        self.rollouts.extend(&decision.rollouts);
        if !decision.writes_first {
            let (wrote, goes_on) = self.make_writes(decision)?;
            changed |= wrote;
            if !goes_on {
                return Some(changed);
            }
        }
        if decision.tree_status != self.world.tree.status {
            self.write()?;
            self.tree_mut().status = decision.tree_status.clone();
            changed = true;
        }
        for child in decision.worker_statuses.keys() {
            changed |= self.write_worker(child, decision)?;
        }
        Some(changed)
    }

    /// Whether anything was written, and whether all went well.
    fn make_writes(&mut self, decision: &Decision) -> Option<(bool, bool)> {
        let mut wrote = false;
        for write in decision.writes.clone() {
            // What was refused to a child is not tried for the rest of it.
            let refused =
                |child: &String| self.world.refusals.iter().any(|one| one.child == *child);
            if matches!(&write, Write::CreatePod { child, .. } | Write::CreateClaim { child, .. } if refused(child))
            {
                continue;
            }
            self.write()?;
            wrote = true;
            if !self.execute(write) {
                return Some((wrote, false));
            }
        }
        Some((wrote, true))
    }

    fn write_worker(&mut self, child: &str, decision: &Decision) -> Option<bool> {
        let status = decision.worker_statuses.get(child)?;
        let stored = self.world.workers.get(child).map(|w| &*w.status);
        if stored.is_none_or(|stored| stored == status) {
            return Some(false);
        }
        self.write()?;
        self.world.workers.get_mut(child).unwrap().status = status.clone().into();
        Some(true)
    }

    fn write(&mut self) -> Option<()> {
        self.writes += 1;
        match &mut self.crash_in {
            Some(0) => {
                self.crash_in = None;
                // What the API server has answered is known to the process only.
                self.world.tried.clear();
                None
            }
            Some(left) => {
                *left -= 1;
                Some(())
            }
            None => Some(()),
        }
    }
}
