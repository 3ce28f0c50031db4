//! Whether a new revision turns out to be bad before it is proved good, and what becomes of its rollout then.
//!
//! Rule: everything is judged by what is stored or seen, so that it does not matter how often it is looked at.

use jiff::Timestamp;

use crate::api::conditions::Reason;
use crate::api::v1alpha1::{
    RecentFault, RevisionMark, RevisionStatus, RolloutFailure, RolloutFailurePolicy, RolloutFault,
    RolloutStatus, TroubleStatus,
};
use crate::model::decision::Notice;
use crate::model::engine::Engine;
use crate::model::fault::{Class, Verdict};
use crate::model::judge::cut;
use crate::model::reasons::EventReason;
use crate::model::tree::{Leaf, NodeId, ROOT_NAME};
use crate::model::window::{after, api_time, seconds_between};
use crate::model::world::RevisionView;

/// How long what a Pod names may be missing: `kubectl apply -f` of a folder does not create everything at once.
const MISSING_SECONDS: i64 = 30;
/// How long what was in the way before a rollout was tried again may be so: the kubelet, and who makes Pods, try again in their
/// own time, but at least every five minutes.
const FORMER_SECONDS: i64 = 330;
/// Classes of faults of a Pod that names what does not exist.
const MISSING: [Class; 9] = [
    Class::ConfigMapMissing,
    Class::SecretMissing,
    Class::ConfigKeyMissing,
    Class::ImagePullSecretMissing,
    Class::PvcMissing,
    Class::ResourceClaimMissing,
    Class::ServiceAccountMissing,
    Class::PriorityClassMissing,
    Class::RuntimeClassMissing,
];
/// Classes of refused creates that waiting does not end either, and that concern whatever is created, and no template.
const NOT_OF_TEMPLATE: [Class; 2] = [Class::RbacForbidden, Class::NamespaceTerminating];
/// A Pod of the former revision that died so long before or after a new one, and is up again, did not die of the same.
const SAME_CAUSE_SECONDS: i64 = 60;
/// Most faults that are kept of a rollout.
const FAULTS: usize = 10;

/// What a rollout has failed with.
pub(super) struct Failure {
    /// The child whose fault it was, and the class of that; empty where time ran out.
    pub(super) child: String,
    pub(super) class: String,
    /// When that happened.
    pub(super) at: Timestamp,
    /// In words.
    pub(super) message: String,
}

/// A slot whose Pod restarting cannot help, or that cannot have one.
struct Held<'v> {
    child: &'v str,
    slot: i32,
    /// Revision of the template of the Pod.
    revision: String,
    /// When the Pod was made, or got its template, if there is one.
    created: Option<Timestamp>,
    trouble: &'v TroubleStatus,
}

impl<'a> Engine<'a> {
    /// The revision that the tree is taken back to if the one that is asked for turns out to be bad: the newest other one that was
    /// proved good, and is stored.
    pub(in crate::model) fn last_good(&self) -> Option<&'a RevisionView> {
        let wanted = &self.tree.wanted;
        let newest_first = self.memory.tree.revisions.iter().rev();
        let mut good =
            newest_first.filter(|one| one.mark == RevisionMark::Good && one.name != *wanted);
        let stored = |name: &str| {
            let mut stored = self.world.revisions.iter();
            stored.find(|stored| stored.name == name)
        };
        good.find_map(|good| stored(&good.name)).map(AsRef::as_ref)
    }

    /// Keeps the record of the rollout: it begins with a new revision, where there is a good one to be taken back to, and ends
    /// when that is proved or taken back. One of a tree that is suspended begins anew when that is started again.
    pub(in crate::model) fn note_rollout(&mut self) {
        let wanted = self.memory.tree.revisions.last();
        let is_at_stake =
            |one: &&RevisionStatus| one.mark == RevisionMark::Unproven && !self.tree.suspended;
        let unproven = wanted.filter(is_at_stake);
        let Some((to, good)) = unproven.map(|one| one.number).zip(self.last_good()) else {
            if self.memory.tree.rollout.take().is_some() {
                self.memory.intend_tree();
            }
            return;
        };
        let from = good.number;
        let known = self.memory.tree.rollout.as_mut();
        if let Some(known) = known.filter(|known| known.to == to) {
            let asked = self.world.tree.spec.rollout.retry_at.as_ref();
            let is_asked = |failed: &RolloutFailure| {
                asked.is_some_and(|asked| asked.0 <= self.now && asked.0 > failed.time.0)
            };
            if !known.failed.as_ref().is_some_and(is_asked) {
                known.from = from;
                return;
            }
        }
        self.tell_start(from, to);
        self.begin_canaries_anew(good);
        let limit = i64::from(self.world.tree.spec.rollout.progress_deadline_seconds);
        self.memory.tree.rollout = Some(RolloutStatus {
            from,
            to,
            since_time: api_time(self.now),
            updated: 0,
            available: 0,
            progress: 0,
            missing: None,
            deadline_time: Some(api_time(after(self.now, limit))),
            remaining_seconds: None,
            updated_time: None,
            step: None,
            faults: Vec::new(),
            given_up: None,
            failed: None,
        });
        self.memory.intend_tree();
    }

    /// Judges the rollout. Says whether the tree is taken back: that is to be stored before anything else is done.
    pub(in crate::model) fn judge_rollout(&mut self) -> bool {
        let Some(good) = self.last_good() else {
            return false;
        };
        let refused = self.refused_try();
        let Some(mut rollout) = self.memory.tree.rollout.take() else {
            return false;
        };
        self.count_progress(&mut rollout, good);
        self.count_faults(&mut rollout, good);
        self.note_give_up(&mut rollout, good);
        let settings = &self.world.tree.spec.rollout;
        let goes_back = settings.on_failure == RolloutFailurePolicy::RollBack;
        let is_judged = settings.on_failure != RolloutFailurePolicy::None
            && !settings.paused
            && !self.world.tree.deleting;
        let failure = match &rollout.failed {
            _ if !is_judged => None,
            None => refused.or_else(|| self.failure(&rollout, good)),
            // What stays where it is only because that was asked for.
            Some(failed) => (goes_back && failed.by_policy).then(|| Failure {
                child: String::new(),
                class: String::new(),
                at: failed.time.0,
                message: failed.message.clone(),
            }),
        };
        let Some(failure) = failure else {
            self.memory.tree.rollout = Some(rollout);
            return false;
        };
        let shared = self.befalls_former_pods(&failure, &rollout, good);
        let failed = RolloutFailure {
            time: api_time(self.now),
            by_policy: !goes_back && !shared,
            message: cut(&failure.message, 1024),
        };
        self.memory.intend_tree();
        let goes_back = goes_back && !shared;
        if goes_back {
            if let Some(wanted) = self.memory.tree.revisions.last_mut() {
                wanted.mark = RevisionMark::Bad;
                wanted.failed = Some(failed);
            }
        } else {
            rollout.failed = Some(failed);
        }
        self.tell_failure(&failure, &rollout, goes_back, shared);
        if !goes_back {
            self.memory.tree.rollout = Some(rollout);
        }
        true
    }

    /// That a worker was added or removed is told by what is done about it.
    fn tell_start(&mut self, from: i64, to: i64) {
        let Some(good) = self.last_good() else {
            return;
        };
        let is_changed = |id: &&NodeId| good.templates.contains_key(self.name(**id));
        let changed = self.changed_workers(good);
        let names: Vec<&str> = changed
            .iter()
            .filter(is_changed)
            .map(|id| self.name(*id))
            .collect();
        if names.is_empty() {
            return;
        }
        let (one, rest) = (names[0], names.len() - 1);
        let whom = if rest == 0 {
            one.to_owned()
        } else {
            format!("{one} and {rest} more")
        };
        self.notices.push(Notice {
            reason: EventReason::RolloutStarted.as_str().to_owned(),
            action: "RollOut",
            child: ROOT_NAME.to_owned(),
            what: format!("goes from revision {from} to revision {to}, which changes {whom}"),
            ..Notice::default()
        });
    }

    fn tell_failure(
        &mut self,
        failure: &Failure,
        rollout: &RolloutStatus,
        goes_back: bool,
        shared: bool,
    ) {
        let (from, to) = (rollout.from, rollout.to);
        let (reason, action, what) = if goes_back {
            let what = format!("goes back from revision {to} to revision {from}");
            (EventReason::RolledBack, "RollBack", what)
        } else if shared {
            let what = format!(
                "stays between revision {from} and revision {to}, because Pods of the former one have the same fault"
            );
            (EventReason::RolloutFailed, "Pause", what)
        } else {
            let what = format!("stays between revision {from} and revision {to}");
            (EventReason::RolloutFailed, "Pause", what)
        };
        self.notices.push(Notice {
            warning: true,
            reason: reason.as_str().to_owned(),
            action,
            child: ROOT_NAME.to_owned(),
            what,
            why: failure.message.clone(),
            ..Notice::default()
        });
    }

    /// Whether Pods of that child and template are new: the good revision has another template for it, or none.
    fn is_new(&self, child: &str, revision: &str, good: &RevisionView) -> bool {
        let id = self.tree.find(child);
        let worker = id.and_then(|id| Some((id, self.tree.leaf(id)?)));
        worker.is_some_and(|(id, leaf)| leaf.target == revision && self.is_new_leaf(id, leaf, good))
    }

    /// Whether the template that a worker is to have is another one than that of the good revision.
    pub(in crate::model) fn is_new_leaf(
        &self,
        id: NodeId,
        leaf: &Leaf<'_>,
        good: &RevisionView,
    ) -> bool {
        let former = good.templates.get(self.name(id));
        former.is_none_or(|former| former.revision != leaf.target)
    }

    /// The workers whose template the new revision changes, and that are to run.
    pub(in crate::model) fn changed_workers(&self, good: &RevisionView) -> Vec<NodeId> {
        let all = self.tree.leaves();
        let changed = all.filter(|(id, leaf)| {
            self.is_enabled(*id) && !self.is_over(*id) && self.is_new_leaf(*id, leaf, good)
        });
        changed.map(|(id, _)| id).collect()
    }

    /// Counts how far the rollout has come, and moves its deadline when that is farther, or nearer to the end, than ever.
    fn count_progress(&mut self, rollout: &mut RolloutStatus, good: &RevisionView) {
        let (mut wanted, mut updated, mut available) = (0, 0, 0);
        let mut is_through = true;
        for id in self.changed_workers(good) {
            let reached = self.reached_target(id);
            wanted += self
                .tree
                .leaf(id)
                .map_or(0, |leaf| self.replicas_wanted(id, leaf));
            updated += reached.0;
            available += reached.1;
            is_through &= self.has_target(id) && self.is_updated(id);
        }
        rollout.step = self.rollout_step();
        let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX / 2);
        rollout.updated = count(updated);
        rollout.available = count(available);
        let progress = rollout.updated + rollout.available;
        let missing = wanted.saturating_mul(2).saturating_sub(progress).max(0);
        // What was taken out does not count as missing, nor as reached any more.
        let is_nearer = rollout.missing.is_some_and(|fewest| missing < fewest);
        if is_nearer || rollout.missing.is_none() {
            rollout.missing = Some(missing);
        }
        if is_through {
            rollout
                .updated_time
                .get_or_insert_with(|| api_time(self.now));
            rollout.deadline_time = None;
            rollout.remaining_seconds = None;
            rollout.progress = rollout.progress.max(progress);
            return;
        }
        // What is not up any more has the same time to come back.
        rollout.updated_time = None;
        let limit = i64::from(self.world.tree.spec.rollout.progress_deadline_seconds);
        if progress > rollout.progress || is_nearer {
            rollout.progress = rollout.progress.max(progress);
            rollout.remaining_seconds = rollout.remaining_seconds.map(|_| limit);
            if rollout.deadline_time.is_some() {
                rollout.deadline_time = Some(api_time(after(self.now, limit)));
            }
        }
        // The time of a pause does not count.
        let is_paused = self.is_frozen_by(rollout) || self.is_at_pause();
        match (is_paused, &rollout.deadline_time) {
            (true, Some(deadline)) => {
                let left = seconds_between(self.now, deadline.0).max(0);
                rollout.remaining_seconds = Some(left);
                rollout.deadline_time = None;
                self.memory.intend_tree();
            }
            (false, None) => {
                let left = rollout.remaining_seconds.take().unwrap_or(limit);
                rollout.deadline_time = Some(api_time(after(self.now, left)));
                self.memory.intend_tree();
            }
            _ => {}
        }
    }

    /// Adds the application faults of new Pods that are not counted yet.
    pub(super) fn count_faults(&self, rollout: &mut RolloutStatus, good: &RevisionView) {
        for fault in self.memory.tree.recent_faults.iter().rev() {
            let counts = is_application(fault)
                && fault.time.0 >= rollout.since_time.0
                && self.is_new(&fault.child, &fault.revision, good);
            let fault = rollout_fault(fault);
            if counts && rollout.faults.len() < FAULTS && !rollout.faults.contains(&fault) {
                rollout.faults.push(fault);
            }
        }
    }

    /// That something was given up is known in one look alone, and a rollout may be paused then.
    fn note_give_up(&mut self, rollout: &mut RolloutStatus, good: &RevisionView) {
        let mut all = self.given_up_by.iter();
        let cause = all.find(|fault| self.is_new(&fault.child, &fault.revision, good));
        if let (None, Some(cause)) = (&rollout.given_up, cause) {
            rollout.given_up = Some(rollout_fault(cause));
            self.memory.intend_tree();
        }
    }

    /// What the rollout has failed with, if it has.
    fn failure(&mut self, rollout: &RolloutStatus, good: &RevisionView) -> Option<Failure> {
        if let Some(held) = self.held_new_pod(rollout, good) {
            return Some(held);
        }
        let limit = usize::try_from(self.world.tree.spec.rollout.max_faults).unwrap_or(1);
        let number = rollout.faults.len();
        let last = rollout.faults.last().filter(|_| number >= limit);
        let mut of_canary = rollout
            .faults
            .iter()
            .rev()
            .filter(|fault| self.is_canary(&fault.child));
        let of_canary = of_canary.next();
        if let Some(fault) = rollout.given_up.as_ref().or(last).or(of_canary) {
            let who = format!("{}/{}: {}", fault.child, fault.slot, self.told_of(fault));
            let message = if number < limit && of_canary.is_some() {
                format!("a Pod of a canary has failed: {who}")
            } else if number >= limit {
                format!("{number} of {limit} faults that new Pods may have; the last one: {who}")
            } else {
                format!("it was given up because of a new Pod: {who}")
            };
            return Some(Failure {
                child: fault.child.clone(),
                class: fault.class.clone(),
                at: fault.time.0,
                message,
            });
        }
        let deadline = rollout.deadline_time.as_ref()?.0;
        self.wake(deadline);
        (deadline <= self.now).then(|| Failure {
            child: String::new(),
            class: String::new(),
            at: deadline,
            message: format!(
                "nothing more became updated and available in time (`rollout.progressDeadlineSeconds`): {} updated, {} available",
                rollout.updated, rollout.available
            ),
        })
    }

    /// Whether a canary of that child is under way.
    fn is_canary(&self, child: &str) -> bool {
        let id = self.tree.find(child);
        id.is_some_and(|id| self.canary_slots(id).is_some())
    }

    fn told_of(&self, fault: &RolloutFault) -> String {
        let mut recent = self.memory.tree.recent_faults.iter();
        let is_it = |known: &&RecentFault| {
            known.child == fault.child && known.slot == fault.slot && known.time == fault.time
        };
        let message = recent.find(is_it).map(|known| known.message.clone());
        message.unwrap_or_else(|| fault.class.clone())
    }

    /// A new Pod that restarting cannot help.
    fn held_new_pod(&mut self, rollout: &RolloutStatus, good: &RevisionView) -> Option<Failure> {
        let (mut failed, mut later) = (None, Vec::new());
        for held in self.held_slots() {
            if !self.is_new(held.child, &held.revision, good) {
                continue;
            }
            // A retry takes a trouble of before for a new one, as long as the Pod is the same.
            let (since, begun) = (held.trouble.since_time.0, rollout.since_time.0);
            let is_former = since < begun
                || (since == begun && held.created.is_some_and(|created| created < begun));
            // What the Pod names may come a moment after the tree. Of very many slots the first ones alone say what it is.
            let class = &held.trouble.class;
            let is_patient = class.is_empty() || MISSING.iter().any(|one| one.as_str() == class);
            let patience = match (is_former, is_patient) {
                (true, _) => FORMER_SECONDS,
                (false, true) => MISSING_SECONDS,
                (false, false) => 0,
            };
            let due = after(since.max(begun), patience);
            if due > self.now {
                later.push(due);
                continue;
            }
            failed.get_or_insert_with(|| Failure {
                child: held.child.to_owned(),
                class: held.trouble.class.clone(),
                at: held.trouble.since_time.0,
                message: format!("{}/{}: {}", held.child, held.slot, held.trouble.message),
            });
        }
        for due in later {
            self.wake(due);
        }
        failed
    }

    /// The slots whose Pods restarting cannot help, or that can have none by their template.
    fn held_slots(&self) -> Vec<Held<'_>> {
        let mut all = Vec::new();
        for (id, replicas) in &self.replicas {
            let Some(leaf) = self.tree.leaf(*id) else {
                continue;
            };
            let child = self.name(*id);
            for view in &replicas.wanted {
                let trouble = self.memory.slot(child, view.slot);
                let Some(trouble) = trouble.and_then(|slot| slot.trouble.as_ref()) else {
                    continue;
                };
                let live = view.current.filter(|pod| !pod.is_terminal());
                let revision = match live {
                    Some(pod) if trouble.reason == Reason::Held.as_str() => pod.revision.clone(),
                    None if is_refused_for_good(trouble) => {
                        self.template_of_slot(*id, leaf, view.slot).1
                    }
                    _ => continue,
                };
                all.push(Held {
                    child,
                    slot: view.slot,
                    revision,
                    created: live.map(|pod| self.made_at(*id, view.slot, pod)),
                    trouble,
                });
            }
        }
        all
    }

    /// Whether what the rollout has failed with befalls Pods of the good revision of the same child, too, at the same time: then
    /// what they all depend on has failed, and to go back would not help.
    fn befalls_former_pods(
        &self,
        failure: &Failure,
        rollout: &RolloutStatus,
        good: &RevisionView,
    ) -> bool {
        let former = good.templates.get(&failure.child);
        let Some(former) = former.map(|former| &former.revision) else {
            return false;
        };
        let is_of_child = |child: &str, class: &str, revision: &str| {
            child == failure.child && class == failure.class && revision == former
        };
        let mut faults = self.memory.tree.recent_faults.iter();
        let has_died = faults.any(|fault| {
            let apart = seconds_between(fault.time.0, failure.at).abs();
            is_of_child(&fault.child, &fault.class, &fault.revision)
                && fault.time.0 >= rollout.since_time.0
                && (apart <= SAME_CAUSE_SECONDS
                    || self.is_down_with(&fault.child, fault.slot, former))
        });
        has_died
            || self
                .held_slots()
                .iter()
                .any(|held| is_of_child(held.child, &held.trouble.class, &held.revision))
    }

    /// Whether a slot that has, or is to have, a Pod of that revision of its template is not up.
    fn is_down_with(&self, child: &str, slot: i32, revision: &str) -> bool {
        let id = self.tree.find(child);
        let Some((id, leaf)) = id.and_then(|id| Some((id, self.tree.leaf(id)?))) else {
            return false;
        };
        let lives = self.lives(id);
        let life = lives.iter().find(|(view, _)| view.slot == slot);
        life.is_some_and(|(view, life)| {
            let next = || self.template_of_slot(id, leaf, slot).1;
            let of = view.current.map_or_else(next, |pod| pod.revision.clone());
            !life.alive && !life.finished && of == revision
        })
    }
}

/// Whether the Pod of a slot was refused for what it is made from: what passes by itself only makes a rollout late, and claims
/// are no part of it.
fn is_refused_for_good(trouble: &TroubleStatus) -> bool {
    let class = Class::of(&trouble.class);
    trouble.reason == Reason::CreateRefused.as_str()
        && !trouble.claim
        && class.is_some_and(|class| {
            class.verdict() == Some(Verdict::Hold) && !NOT_OF_TEMPLATE.contains(&class)
        })
}

fn rollout_fault(fault: &RecentFault) -> RolloutFault {
    RolloutFault {
        child: fault.child.clone(),
        slot: fault.slot,
        time: fault.time.clone(),
        class: fault.class.clone(),
    }
}

/// Whether it is the program's own fault, or nobody knows better; a rule of `faultPolicy` may know better.
fn is_application(fault: &RecentFault) -> bool {
    let by_verdict = [Verdict::Application, Verdict::Unknown]
        .iter()
        .any(|verdict| fault.verdict == verdict.as_str());
    fault.charge == "Charged" || (by_verdict && fault.rule == "verdict")
}
