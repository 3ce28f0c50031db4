//! Judging deaths: who is charged, who is delayed, who gives up.
//!
//! Rule: a death the tree ordered is absorbed; the verdict decides the charge, the strategy the scope.

mod slots;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::api::conditions::Reason;
use crate::api::v1alpha1::{FinishedReplica, JudgedDeath, RecentEvidence, RecentFault, Restart};

use super::charge::Charge;
use super::deaths::Death;
use super::decision::{Judged, Notice};
use super::engine::{Engine, Mode};
use super::fault::{Class, Fault, Verdict};
use super::outcome::{Cost, Next, decided};
use super::pod::PodView;
use super::policy::Ruling;
use super::reasons::EventReason;
use super::replica::{Life, Replicas, SlotView};
use super::rollout::former_beside;
use super::tree::{Leaf, NodeId};
use super::window::{Toll, api_time, whole_second};

impl Engine<'_> {
    /// Judges deaths in start order, slots by number.
    pub(super) fn judge(&mut self, mut deaths: Vec<Death>) {
        if deaths.is_empty() {
            return;
        }
        let order = self.tree.start_order();
        deaths.sort_by_key(|death| order.iter().position(|id| *id == death.leaf));
        let mut down: BTreeMap<NodeId, BTreeSet<i32>> = BTreeMap::new();
        let mut lives = BTreeMap::new();
        for death in deaths {
            let id = death.leaf;
            let lives = lives.entry(id).or_insert_with(|| self.lives(id));
            let down = down.entry(id).or_default();
            let others_alive = self.others_alive_at(&death, lives, down);
            down.insert(death.slot);
            if self.is_absorbed(&death) {
                continue;
            }
            self.judge_one(&death, others_alive);
            // A judgement changes no life but that of its own slot.
            let judged = lives.iter_mut().find(|(view, _)| view.slot == death.slot);
            if let Some((view, life)) = judged {
                *life = self.life(id, view);
            }
        }
    }

    /// The other slots of the worker that were alive at the time of a death, by their Pods' own timestamps. `judged` are
    /// those whose death was judged just before.
    fn others_alive_at(
        &self,
        death: &Death,
        lives: &[(SlotView<'_>, Life)],
        judged: &BTreeSet<i32>,
    ) -> usize {
        lives
            .iter()
            .filter(|(view, life)| {
                let before = judged.contains(&view.slot);
                let begun = life.started_since.is_some_and(|since| {
                    if before {
                        since < death.toll.at
                    } else {
                        since <= death.toll.at
                    }
                });
                let slot = self.slot(death.leaf, view.slot);
                let lived_then = view.current.filter(|_| !before).is_some_and(|pod| {
                    slot.is_some_and(|s| s.started && s.pod_uid == pod.uid)
                        && pod.was_running_at(death.toll.at)
                });
                view.slot != death.slot && (begun || lived_then)
            })
            .count()
    }

    /// Whether an operation began before this death was judged that stops the Pod anyway.
    fn is_absorbed(&self, death: &Death) -> bool {
        let worker = self.memory.workers.get(self.name(death.leaf));
        worker.is_some_and(|worker| death.incarnation < worker.incarnation)
    }

    /// Whether the Pod was to give way to another template anyway: it was of neither the present one nor, beside a canary, the
    /// former one.
    fn is_outdated(&self, death: &Death) -> bool {
        let leaf = self.tree.leaf(death.leaf);
        let worker = self.memory.workers.get(self.name(death.leaf));
        let step = worker.and_then(|worker| worker.update_step.as_ref());
        let beside = step.and_then(|step| former_beside(step, death.slot));
        leaf.is_some_and(|leaf| leaf.revision != death.revision)
            && beside != Some(death.revision.as_str())
    }

    fn judge_one(&mut self, death: &Death, others_alive: usize) {
        let child = self.name(death.leaf);
        let mode = self.mode(death.leaf);
        if mode != Mode::Down && self.is_allowed_end(death) {
            self.finish(death);
            return;
        }
        let parked = self
            .slot(death.leaf, death.slot)
            .is_some_and(|s| s.parked.as_ref().is_some_and(|p| p.waiting));
        // What is given up or parked is not started again whatever it dies of, so its deaths cost nothing.
        let ordered = mode != Mode::Up
            || parked
            || (self.is_outdated(death) && death.fault.class == Class::PodDeleted);
        let charged = death.ruling.is_charged();

        let slot = self.memory.slot_mut(child, death.slot);
        slot.turn_to(&death.pod_uid);
        slot.deaths = death.ended_runs;
        // A held Pod that has ended is left as it is, because a new one would not help either.
        let held = death.ruling.verdict == Verdict::Hold && !death.is_deleting;
        slot.gone |= death.over && !held;
        slot.started = false;
        slot.mark_down(death.toll.at);
        if death.ruling.restarts() {
            // What had kept it from running is over, for it has run.
            let blocked = [Reason::Held, Reason::WaitingForCapacity].map(Reason::as_str);
            slot.trouble
                .take_if(|t| blocked.contains(&t.reason.as_str()));
        }
        let record = JudgedDeath {
            child: child.to_owned(),
            slot: death.slot,
            pod_uid: death.pod_uid.clone(),
            deaths: death.ended_runs,
            gone: slot.gone,
            finished: None,
            restarts: death.toll.count,
        };
        if !ordered && self.is_free(death) {
            self.memory.note_worker(child);
        } else {
            self.memory.intend_worker(child);
        }
        if ordered {
            return;
        }

        // What follows from a death is told after it.
        let place = self.notices.len();
        let named = self.memory.judged.len();
        if let Some(worker) = self.memory.workers.get_mut(child) {
            worker.restarts += death.toll.count;
        }
        self.memory.tree.restarts += death.toll.count;
        let (cost, next) = match death.ruling.verdict {
            Verdict::Hold | Verdict::Wait => {
                self.set_trouble(
                    death.leaf,
                    death.slot,
                    Reason::Held,
                    Some(&death.fault),
                    &death.fault.message,
                );
                (Cost::Free, Next::LeftAlone)
            }
            Verdict::Infrastructure => {
                let leaf = self.tree.leaf(death.leaf);
                let is_childs =
                    leaf.is_some_and(|leaf| self.is_of_child(death.leaf, leaf, others_alive));
                if let Some(worker) = self.memory.workers.get_mut(child).filter(|_| is_childs) {
                    worker.started = false;
                }
                let next = self.brake(death);
                let group = is_childs.then(|| self.restart_group_of(death)).flatten();
                if group.is_some() {
                    // The operation absorbs the death, so that the tree has to remember what it began with.
                    self.memory.judged.push(record);
                }
                (Cost::Free, group.unwrap_or(next))
            }
            Verdict::Application | Verdict::Unknown => {
                self.charge_death(death, others_alive, record)
            }
        };
        let is_restarted = death.ruling.restarts()
            && !self.has_failed_to_start(self.tree.nodes[death.leaf].parent);
        let notice = self.tell(death, is_restarted.then_some(charged), cost, next);
        self.notices.insert(place, notice);
        if self.memory.judged.len() == named {
            self.memory.leave_to_worker(child, death.toll.count);
        }
    }

    /// Whether the type of the worker allows that the replica has ended.
    fn is_allowed_end(&self, death: &Death) -> bool {
        let is_held = death.ruling.rule.is_some() && death.ruling.verdict == Verdict::Hold;
        if !death.clean && (death.ruling.escalates || is_held) {
            return false;
        }
        match self.tree.nodes[death.leaf].restart {
            Restart::Permanent => false,
            Restart::Transient => death.clean,
            // A first start that fails is no end, but the failure of its supervisor, where the spec says so.
            Restart::Temporary => {
                let leaf = self.tree.leaf(death.leaf);
                let is_alone = leaf.is_some_and(|leaf| self.replicas_wanted(death.leaf, leaf) == 1);
                let has_failed =
                    is_alone && !death.was_started && !death.clean && death.ruling.is_charged();
                !has_failed || !self.fails_first_start(death.leaf)
            }
        }
    }

    /// When a replica ended: the clock of its node may be behind ours, and what was made for a `restartAt` has not ended
    /// before it.
    fn ended_at(&self, death: &Death) -> Timestamp {
        let replicas = self.replicas.get(&death.leaf);
        let mut pods = replicas.into_iter().flat_map(Replicas::pods);
        let pod = pods.find(|pod| pod.uid == death.pod_uid);
        let asked = pod.and_then(PodView::answers_restart);
        asked.unwrap_or(death.toll.at).max(death.toll.at)
    }

    /// A replica has ended as its type allows, and is not started again.
    fn finish(&mut self, death: &Death) {
        let child = self.name(death.leaf);
        let ended = self.ended_at(death);
        let finished = FinishedReplica {
            revision: death.revision.clone(),
            time: api_time(ended),
            stopped: false,
            failed: !death.clean,
        };
        let slot = self.memory.slot_mut(child, death.slot);
        slot.end_pod(&death.pod_uid);
        slot.deaths = death.ended_runs;
        slot.finished = Some(finished.clone());
        slot.trouble = None;
        self.memory.intend_worker(child);
        let notice = if death.clean {
            Notice {
                reason: EventReason::ChildFinished.as_str().to_owned(),
                action: "Finish",
                child: child.to_owned(),
                slot: Some(death.slot),
                what: "has finished".to_owned(),
                why: death.fault.message.clone(),
                cost: Some(Cost::Free),
                next: Some(Next::NotRestarted),
                pod: pod_of(death),
                ..Notice::default()
            }
        } else {
            self.tell(death, None, Cost::Free, Next::NotRestarted)
        };
        self.notices.push(notice);
        if self.has_finished(death.leaf) {
            let before = self.memory.tree.operations;
            self.child_has_finished(death.leaf);
            if self.memory.tree.operations != before {
                self.memory.judged.push(JudgedDeath {
                    child: child.to_owned(),
                    slot: death.slot,
                    pod_uid: death.pod_uid.clone(),
                    deaths: death.ended_runs,
                    gone: true,
                    finished: Some(finished),
                    restarts: 0,
                });
            }
        }
    }

    /// The child of this death has died; see [`Engine::restart_group`].
    fn restart_group_of(&mut self, death: &Death) -> Option<Next> {
        let why = format!("{}: {}", self.name(death.leaf), death.fault.message);
        self.regroup(death.leaf, &why)
    }

    /// Restarts the group of a child; says so with the time from which it is started again. See
    /// [`Engine::restart_group`].
    pub(super) fn regroup(&mut self, child: NodeId, why: &str) -> Option<Next> {
        let siblings = self.restart_group(child, why)?;
        let at = self.due_of_child(child).filter(|due| *due > self.now);
        Some(Next::Regrouped { siblings, at })
    }

    /// A replica is restarted by itself; says when.
    fn restarted(&self, death: &Death) -> Next {
        let at = self.due(death.leaf, death.slot);
        Next::Restarted {
            way: death.way,
            at: at.filter(|due| *due > self.now).map(whole_second),
        }
    }

    fn charge_death(
        &mut self,
        death: &Death,
        others_alive: usize,
        record: JudgedDeath,
    ) -> (Cost, Next) {
        let child = self.name(death.leaf);
        let Some(leaf) = self.tree.leaf(death.leaf) else {
            return (Cost::Free, Next::LeftAlone);
        };
        if death.fault.class == Class::StartDeadlineExceeded {
            let message = death.fault.message.clone();
            self.set_trouble(
                death.leaf,
                death.slot,
                Reason::StartDeadlineExceeded,
                Some(&death.fault),
                &message,
            );
        }
        self.note_node(death);
        let single = self.replicas_wanted(death.leaf, leaf) == 1;
        let started = self.memory.workers.get(child).is_some_and(|w| w.started);
        let quorum = self.quorum(death.leaf, leaf);
        if self.is_of_child(death.leaf, leaf, others_alive) || death.ruling.escalates {
            self.memory.judged.push(record);
            let charge = Charge {
                child: death.leaf,
                toll: if single {
                    death.toll
                } else {
                    Toll::one(death.toll.at)
                },
                was_started: death.was_started,
                since: death.since,
                why: death.fault.message.clone(),
                escalates: death.ruling.escalates,
            };
            return self.judge_child(&charge, death);
        }
        let judgement = self.charge_slot(death);
        let unparked = self.unparked(death.leaf);
        if !started && unparked < quorum {
            self.memory.judged.push(record);
            let charge = Charge {
                child: death.leaf,
                toll: Toll::one(death.toll.at),
                was_started: false,
                since: None,
                why: format!(
                    "only {unparked} of its replicas are left to try, and {quorum} are its quorum"
                ),
                escalates: false,
            };
            return self.judge_child(&charge, death);
        }
        judgement
    }

    /// The death of a worker, or its failure to start, which is for its supervisor to judge.
    fn judge_child(&mut self, charge: &Charge, death: &Death) -> (Cost, Next) {
        let child = self.name(charge.child);
        let why = format!("{child}: {}", charge.why);
        if !charge.was_started && self.fails_first_start(charge.child) {
            let parent = self.tree.nodes[charge.child].parent;
            self.fail_start(parent, &why);
            let supervisor = self.name(parent).to_owned();
            return (Cost::Free, Next::FailsStart { supervisor });
        }
        let (charged, follows) = self.charge(charge);
        let group = self.regroup(charge.child, &why);
        let next = follows.or(group).unwrap_or_else(|| self.restarted(death));
        (Cost::Charged(charged), next)
    }

    /// Whether the end of a replica is the end of its worker: it is the only one, or leaves less than a quorum. While a worker
    /// starts, what ends is its slots'.
    fn is_of_child(&self, id: NodeId, leaf: &Leaf<'_>, others_alive: usize) -> bool {
        let worker = self.memory.workers.get(self.name(id));
        let has_started = worker.is_some_and(|worker| worker.started);
        let is_single = self.replicas_wanted(id, leaf) == 1;
        is_single || (has_started && others_alive < self.quorum(id, leaf))
    }

    fn unparked(&self, id: NodeId) -> usize {
        let wanted = self.replicas.get(&id).into_iter().flat_map(|r| &r.wanted);
        wanted
            .filter(|view| {
                !self
                    .slot(id, view.slot)
                    .is_some_and(|s| s.parked.as_ref().is_some_and(|p| p.waiting))
            })
            .count()
    }

    /// Counts and remembers a death; gives back what people are told of it. `charged` is whether the restart was, `None` when
    /// there is none.
    fn tell(&mut self, death: &Death, charged: Option<bool>, cost: Cost, next: Next) -> Notice {
        let child = self.name(death.leaf);
        let class = death.fault.class;
        let verdict = death.fault.verdict;
        self.judged.push(Judged {
            child: child.to_owned(),
            slot: death.slot,
            class,
            verdict,
            charged,
        });
        let recent = recent(
            &death.fault,
            &death.ruling,
            child,
            death.slot,
            (&cost, &next),
        );
        let recent = RecentFault {
            time: api_time(death.toll.at),
            revision: death.revision.clone(),
            ..recent
        };
        if next.gives_up() {
            self.given_up_by.push(recent.clone());
        }
        self.memory.remember_fault(recent);
        Notice {
            warning: true,
            reason: class.event_reason().to_owned(),
            action: "Restart",
            child: child.to_owned(),
            slot: Some(death.slot),
            what: String::new(),
            why: death.fault.message.clone(),
            fault: Some((class, verdict)),
            cost: Some(cost),
            next: Some(next),
            pod: pod_of(death),
        }
    }
}

/// Most pieces of evidence that are kept of a fault.
const EVIDENCE: usize = 3;

/// A fault as people are told of it, with what was decided on it. When it was, and of which revision, is left open.
pub(super) fn recent(
    fault: &Fault,
    ruling: &Ruling,
    child: &str,
    slot: i32,
    (cost, next): (&Cost, &Next),
) -> RecentFault {
    let evidence = fault.proofs.iter().take(EVIDENCE);
    let charge = match cost {
        Cost::Charged(_) => "Charged",
        Cost::Free => "Exempt",
    };
    RecentFault {
        time: api_time(Timestamp::UNIX_EPOCH),
        child: child.to_owned(),
        slot,
        class: fault.class.as_str().to_owned(),
        verdict: fault.verdict.as_str().to_owned(),
        confidence: fault.confidence.as_str().to_owned(),
        container: cut(fault.container.as_deref().unwrap_or_default(), 63),
        message: cut(&fault.message, 512),
        evidence: evidence
            .map(|proof| RecentEvidence {
                object: cut(&proof.object, 128),
                field: cut(&proof.field, 128),
                value: cut(&proof.value, 256),
            })
            .collect(),
        rule: ruling.rule.clone().unwrap_or_else(|| "verdict".to_owned()),
        decision: cut(&decided(Some(cost), Some(next)), 256),
        charge: charge.to_owned(),
        revision: String::new(),
    }
}

/// Name and UID of the Pod that died, when it was seen.
fn pod_of(death: &Death) -> Option<(String, String)> {
    (!death.pod_name.is_empty()).then(|| (death.pod_name.clone(), death.pod_uid.clone()))
}

/// The text, cut to that many bytes on a character boundary.
pub(super) fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let mut end = bytes - '…'.len_utf8();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abc…");
        assert_eq!(
            cut("ab€defg", 6),
            "ab…",
            "a character of three bytes is not halved"
        );
        assert_eq!(cut("abc€efg", 8), "abc…");
    }
}
