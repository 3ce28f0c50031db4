//! Deaths: which lives have ended since the last decision, when, and why.
//!
//! Rule: a life is counted once, by Pod UID and number of ended runs, whoever restarted it since.

use jiff::Timestamp;

use crate::api::conditions::Reason;
use crate::api::v1alpha1::{BrakeStatus, Restart, SlotStatus};

use super::charge::restarts_allowed;
use super::fault::{self, Class, Confidence, Evidence, Fault, Verdict};
use super::in_place::under_way;
use super::memory::Memory;
use super::names;
use super::outcome::Way;
use super::pod::{ContainerState, ContainerView, PodView};
use super::policy::Ruling;
use super::replica::{Replicas, SlotView, ended_runs, has_ended, node_is_gone, node_of};
use super::tree::{Leaf, NodeId, Tree};
use super::window::{Toll, after, whole_second};
use super::world::World;

/// The end of a life that nobody has judged yet.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Debug)]
pub(super) struct Death {
    /// The worker.
    pub leaf: NodeId,
    /// Its slot.
    pub slot: i32,
    /// Name of the Pod.
    pub pod_name: String,
    /// UID of the Pod.
    pub pod_uid: String,
    /// Node that it ran on.
    pub node: Option<String>,
    /// What it adds to a window: when it happened, never later than now, and how many lives of the Pod ended, more
    /// than one when nobody looked in between.
    pub toll: Toll,
    /// How many ended runs the Pod has in all.
    pub ended_runs: i64,
    /// Whether the Pod as a whole is over, so that a new one is needed.
    pub over: bool,
    /// How the replica comes back, if it does and no group is restarted for it.
    pub way: Way,
    /// Whether the life had started.
    pub was_started: bool,
    /// Since when the life was there.
    pub since: Option<Timestamp>,
    /// Whether somebody asked for the Pod to stop, or it is gone.
    pub is_deleting: bool,
    /// Incarnation of the worker that the Pod belongs to.
    pub incarnation: i64,
    /// Revision that the Pod was made from.
    pub revision: String,
    /// Whether it is a clean end: all containers ended with a code that the worker calls clean, and nobody else brought it
    /// about.
    pub clean: bool,
    /// Why it ended.
    pub fault: Fault,
    /// What that means for the tree.
    pub ruling: Ruling,
}

/// How a replica comes back whose Pod has ended as a `whole`, or in which a run has ended.
fn way(pod: &PodView, whole: bool) -> Way {
    let waits =
        |container: &ContainerView| matches!(container.state, ContainerState::Waiting { .. });
    if whole || !pod.kubelet_restarts() {
        Way::Replaced
    } else if pod.is_crash_looping() {
        Way::ByThen
    } else if pod.judged().any(waits) {
        Way::AfterWait
    } else {
        Way::InPlace
    }
}

/// How long a death may wait for Events that say who sent a signal, in seconds.
const SETTLE_SECONDS: i64 = 3;

enum Overdue {
    No,
    At(Timestamp),
    Yes(Fault),
}

/// A slot of a worker, in the world that it is looked at in.
struct Place<'a> {
    tree: &'a Tree<'a>,
    id: NodeId,
    leaf: &'a Leaf<'a>,
    child: &'a str,
    view: &'a SlotView<'a>,
    world: &'a World,
    now: Timestamp,
}

/// What was found out about one worker.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The deaths, by slot.
    pub deaths: Vec<Death>,
    /// The slots whose death is not judged yet, because more may become known of it.
    pub unsettled: Vec<i32>,
    /// When to look again: a start deadline runs out, or a death has settled.
    pub wake: Option<Timestamp>,
}

/// The deaths of one worker.
pub(super) fn collect(
    tree: &Tree<'_>,
    id: NodeId,
    replicas: &Replicas<'_>,
    memory: &mut Memory,
    world: &World,
    now: Timestamp,
) -> Found {
    let mut found = Found::default();
    let Some(leaf) = tree.leaf(id) else {
        return found;
    };
    let child = tree.nodes[id].name;
    for view in &replicas.wanted {
        let place = Place {
            tree,
            id,
            leaf,
            child,
            view,
            world,
            now,
        };
        if memory
            .slot(child, view.slot)
            .is_some_and(|slot| leaf.has_finished(slot))
        {
            // Whatever happens to its Pod now, it is not started again.
            continue;
        }
        let Some(pod) = view.current else {
            found.deaths.extend(place.vanished(memory));
            continue;
        };
        if pod.incarnation < memory.incarnation(child) {
            // Its end was ordered, or absorbed by the operation that began the present incarnation.
            memory.slot_mut(child, view.slot).end_pod(&pod.uid);
            continue;
        }
        let death = place
            .replaced(pod, memory)
            .or_else(|| place.ended(pod, memory));
        if let Some(death) = death {
            match place.settles_at(pod, &death, memory) {
                Some(time) if time > now => {
                    found.wake_at(time);
                    found.unsettled.push(view.slot);
                }
                _ => found.deaths.push(death),
            }
            continue;
        }
        if let Some(death) = place.not_waited_for(pod, memory) {
            found.deaths.push(death);
            continue;
        }
        match place.overdue(pod, memory) {
            Overdue::No => {}
            Overdue::At(time) => found.wake_at(time),
            Overdue::Yes(fault) => {
                let ended_runs = memory.slot(child, view.slot).map_or(0, |m| m.deaths);
                let ruling = tree.ruling(id, &fault, Some(pod));
                found.deaths.push(Death {
                    over: true,
                    toll: Toll::one(now),
                    ..place.death_of(pod, ended_runs, fault, ruling)
                });
            }
        }
    }
    found
}

impl Found {
    fn wake_at(&mut self, time: Timestamp) {
        self.wake = self.wake.into_iter().chain([time]).min();
    }
}

impl Place<'_> {
    /// A Pod that we knew and that is not there any more: somebody deleted it without leaving evidence.
    fn vanished(&self, memory: &mut Memory) -> Option<Death> {
        let (child, slot) = (self.child, self.view.slot);
        let known = memory.slot(child, slot)?;
        let pods = self.world.workers.get(child).map_or(&[][..], |w| &w.pods);
        if pods.iter().any(|pod| pod.uid == known.pod_uid) {
            // It is there, but under another identity than the worker has now: the tree stops it.
            let slot = memory.slot_mut(child, slot);
            slot.forget_restarts();
            slot.gone = true;
            return None;
        }
        if known.pod_uid.is_empty() || known.gone {
            return None;
        }
        if !known.started && known.deaths > 0 {
            // Its last life has been judged already; what vanished had not started again.
            self.let_go(memory);
            return None;
        }
        let message = "the Pod is gone, and nothing says how it ended";
        Some(self.deleted(known, memory, message))
    }

    /// A Pod that others deleted, and that was replaced before that was written down: the name of its successor, on which
    /// the slot stands, shows whom that follows.
    fn replaced(&self, pod: &PodView, memory: &mut Memory) -> Option<Death> {
        let (child, slot) = (self.child, self.view.slot);
        let known = memory.slot(child, slot)?;
        let is_told = known.gone || known.pod_uid.is_empty() || known.pod_uid == pod.uid;
        if self.leaf.is_stable() || is_told {
            return None;
        }
        let (tree, worker) = (&self.world.tree.name, self.world.workers.get(child)?);
        let successor =
            names::interchangeable_pod_name(tree, child, &worker.uid, slot, &known.pod_uid);
        if pod.name != successor {
            return None;
        }
        let message = "the Pod was deleted, and has been replaced";
        let unseen = self.deleted(known, memory, message);
        let former = self.view.others.iter().find(|pod| pod.uid == known.pod_uid);
        let Some(former) = former else {
            return Some(unseen);
        };
        let then = SlotView {
            slot,
            current: Some(former),
            others: Vec::new(),
        };
        let death = Place {
            view: &then,
            ..*self
        }
        .ended(former, memory)?;
        // It was replaced for a reason that spends nothing, whatever its containers said on their way out.
        let is_uncharged = death.ruling.verdict == Verdict::Infrastructure;
        Some(if is_uncharged { death } else { unseen })
    }

    /// The end of a Pod of which nothing is left to look at.
    fn deleted(&self, known: &SlotStatus, memory: &Memory, message: &str) -> Death {
        let fault = Fault::new(Class::PodDeleted, Confidence::Inferred, message, None);
        Death {
            leaf: self.id,
            slot: self.view.slot,
            pod_name: String::new(),
            pod_uid: known.pod_uid.clone(),
            node: None,
            toll: Toll::one(self.now),
            ended_runs: known.deaths,
            over: true,
            way: Way::Replaced,
            was_started: known.started,
            since: None,
            is_deleting: true,
            incarnation: memory.incarnation(self.child),
            revision: memory
                .revision_of(self.child, self.view.slot, self.leaf)
                .to_owned(),
            clean: false,
            ruling: self.tree.ruling(self.id, &fault, None),
            fault,
        }
    }

    /// A Pod that has ended, or runs of it that have.
    fn ended(&self, pod: &PodView, memory: &mut Memory) -> Option<Death> {
        let Self {
            leaf,
            child,
            view,
            world,
            now,
            ..
        } = *self;
        let slot = memory.slot(child, view.slot);
        let known = slot.filter(|m| m.pod_uid == pod.uid);
        if known.is_some_and(|known| known.gone) {
            return None;
        }
        let ended_runs = ended_runs(pod, known);
        let fresh = (ended_runs - known.map_or(0, |known| known.deaths)).max(0);
        let whole = has_ended(pod, leaf, world);
        if fresh == 0 && !whole {
            return None;
        }
        let life = view.life(leaf, slot, world);
        let known = known.cloned().unwrap_or_default();
        if pod.is_deleting() && !whole {
            // A `Stable` Pod on its way out: that is one death, when it is proven.
            return None;
        }
        let evidence = evidence(pod, world);
        let fault = fault::identify_end(&evidence, now);
        let ruling = self.tree.ruling(self.id, &fault, Some(pod));
        let ruling = if pod.is_deleting() {
            ruling.of_deleted()
        } else {
            ruling
        };
        let is_held = known.trouble.as_ref().is_some_and(|t| t.reason == "Held");
        if fresh == 0 && !pod.is_deleting() && is_held && ruling.verdict == Verdict::Hold {
            // It ended as what it is held for; restarting would not help.
            return None;
        }
        if is_partial(pod, leaf, &fault) && !whole {
            // The others go on, and the restart policy leaves this one as it is.
            memory
                .slot_mut(child, view.slot)
                .note_runs(&pod.uid, ended_runs);
            return None;
        }
        if fresh == 0 && life.run_ended && known.deaths > 0 {
            // The life ended before and was judged; now its Pod goes too.
            self.let_go(memory);
            return None;
        }
        let at = if fresh > 0 && !pod.is_deleting() {
            last_end(pod).unwrap_or(now)
        } else {
            pod.deletion_requested().or(fault.at).unwrap_or(now)
        };
        let count = if whole { 1 } else { lives_ended(pod, fresh) };
        Some(Death {
            toll: Toll {
                at: whole_second(at.min(now)),
                count,
                // A run that has just ended shows itself and the run before it.
                seen: count <= 1 + i64::from(life.run_ended),
                earliest: pod.created,
            },
            since: life_since(pod, fresh > 0),
            over: whole || !pod.kubelet_restarts(),
            way: way(pod, whole),
            was_started: known.started || life.alive,
            ..self.death_of(pod, ended_runs, fault, ruling)
        })
    }

    /// The Pod goes of a slot whose last life has been judged. One that was held is replaced then, which is braked: whoever
    /// deletes it may do so again and again.
    fn let_go(&self, memory: &mut Memory) {
        let slot = memory.slot_mut(self.child, self.view.slot);
        slot.gone = true;
        let held = Reason::Held.as_str();
        if slot.trouble.as_ref().is_some_and(|t| t.reason == held) {
            let count = slot.brake.as_ref().map_or(0, |brake| brake.count);
            slot.brake = Some(BrakeStatus::after(count, self.now));
            memory.intend_worker(self.child);
        }
    }

    /// When a death may be judged of which nothing but the signal is known: Events that say who sent it may come a moment
    /// later. Nobody waits for a restart meanwhile: the kubelet makes it. Where Coppice does, only a death waits that would
    /// have its supervisor give up or park its slot, that would be the last of its replica, or of which a rule says something
    /// else when more is known.
    fn settles_at(&self, pod: &PodView, death: &Death, memory: &Memory) -> Option<Timestamp> {
        let finishes = death.clean && self.leaf.settings.restart == Restart::Transient;
        let is_signal = matches!(
            death.fault.class,
            Class::SigkillUnattributed | Class::SigtermUnattributed
        );
        let is_open = is_signal || (finishes && is_probed(pod));
        let ended = death.fault.at?;
        // A clock that is ahead of ours says nothing of when that was.
        let is_fresh = is_open && ended <= self.now && !pod.is_crash_looping();
        let revision = memory.revision_of(self.child, self.view.slot, self.leaf);
        if !self.leaf.is_as(pod, revision, self.now) || death.is_deleting {
            // Its Pod may go at any moment, and the death with it.
            return None;
        }
        let waits = death.way == Way::InPlace
            || finishes
            || self.is_last(memory)
            || self.tree.is_ruled_by_class(self.id, &death.fault, pod);
        (is_fresh && waits).then(|| after(ended, SETTLE_SECONDS))
    }

    /// Whether one more charge makes the supervisor give up, or parks the slot.
    fn is_last(&self, memory: &Memory) -> bool {
        let parent = self.tree.nodes[self.id].parent;
        let intensity = self.tree.parent_policy(self.id).intensity;
        let record = memory.supervisor(self.tree.nodes[parent].name);
        let entries = record.into_iter().flat_map(|record| &record.charges);
        let spent: usize = entries
            .map(|entry| entry.counted(self.now, intensity).count())
            .sum();
        let slot = memory.slot(self.child, self.view.slot);
        let of_slot = slot.map_or(0, |slot| slot.counted(self.now, intensity).count());
        spent.max(of_slot) >= restarts_allowed(intensity)
    }

    fn death_of(&self, pod: &PodView, ended_runs: i64, fault: Fault, ruling: Ruling) -> Death {
        Death {
            leaf: self.id,
            slot: self.view.slot,
            pod_name: pod.name.clone(),
            pod_uid: pod.uid.clone(),
            node: pod.node.clone(),
            toll: Toll::one(pod.created),
            ended_runs,
            over: false,
            way: Way::Replaced,
            was_started: false,
            since: life_since(pod, false),
            is_deleting: pod.is_deleting(),
            incarnation: pod.incarnation,
            revision: pod.revision.clone(),
            clean: is_clean(pod, self.leaf, &fault),
            ruling,
            fault,
        }
    }

    /// What keeps a Pod from starting, where a rule says that this is not waited for: a start that failed.
    fn not_waited_for(&self, pod: &PodView, memory: &Memory) -> Option<Death> {
        if self.leaf.rules.is_empty() || pod.is_deleting() {
            return None;
        }
        let known = memory.slot(self.child, self.view.slot);
        let life = self.view.life(self.leaf, known, self.world);
        if life.alive || life.over {
            return None;
        }
        let fault = fault::identify_block(&evidence(pod, self.world), self.now)
            .filter(|fault| !fault.is_beside_an_end(pod, life.run_ended))?;
        // What keeps it from starting is not how it ended before.
        let ruling = self.tree.ruling(self.id, &fault, None);
        let ended_runs = known.map_or(0, |slot| slot.deaths);
        ruling.restarts().then(|| Death {
            over: true,
            toll: Toll::one(whole_second(self.now)),
            ..self.death_of(pod, ended_runs, fault, ruling)
        })
    }

    /// Whether the containers have run for `startDeadlineSeconds` without the replica having started.
    fn overdue(&self, pod: &PodView, memory: &Memory) -> Overdue {
        if pod.is_ready() || self.leaf.completes() {
            return Overdue::No;
        }
        let known = memory.slot(self.child, self.view.slot);
        let life = self.view.life(self.leaf, known, self.world);
        let running = pod.runs();
        let is_changing = under_way(known, pod).is_some();
        if life.started || life.over || pod.is_deleting() || !running || is_changing {
            return Overdue::No;
        }
        let Some(since) = pod.judged().filter_map(ContainerView::running_since).max() else {
            return Overdue::No;
        };
        let seconds = self.leaf.settings.start_deadline_seconds;
        let deadline = after(since, i64::from(seconds));
        if self.now < deadline {
            return Overdue::At(deadline);
        }
        let message =
            format!("the Pod ran for {seconds} s (`startDeadlineSeconds`) without becoming Ready");
        Overdue::Yes(Fault::new(
            Class::StartDeadlineExceeded,
            Confidence::Proved,
            &message,
            Some(self.now),
        ))
    }
}

/// How many lives the fresh ends of runs amount to: containers that are down together ended one life.
fn lives_ended(pod: &PodView, fresh: i64) -> i64 {
    let together = pod.judged().filter(|c| c.end().is_some()).count();
    let together = i64::try_from(together).unwrap_or(0).max(1);
    (fresh - (together - 1)).max(1)
}

/// Whether the end was brought about by the program itself and all containers ended with a code that is clean.
fn is_clean(pod: &PodView, leaf: &Leaf<'_>, fault: &Fault) -> bool {
    let mut ends = pod.judged().map(ContainerView::last_end);
    fault.class.is_own_end()
        && pod.judged().count() > 0
        && ends.all(|end| end.is_some_and(|end| leaf.is_clean(end.exit_code)))
}

/// Whether a container has a probe for which the kubelet may have ended it.
fn is_probed(pod: &PodView) -> bool {
    let mut specs = pod.spec.containers.iter();
    specs.any(|spec| spec.liveness.is_some() || spec.startup.is_some())
}

/// Whether only some of the containers have ended, and all of these cleanly, where the type allows that.
fn is_partial(pod: &PodView, leaf: &Leaf<'_>, fault: &Fault) -> bool {
    let mut ends = pod.judged().filter_map(ContainerView::last_end);
    let all_have_ended = pod.judged().all(|c| c.last_end().is_some());
    leaf.settings.restart != Restart::Permanent
        && !all_have_ended
        && fault.class.is_own_end()
        && ends.all(|end| leaf.is_clean(end.exit_code))
}

/// What identification may look at.
pub(super) fn evidence<'a>(pod: &'a PodView, world: &'a World) -> Evidence<'a> {
    Evidence {
        node: node_of(pod, world),
        node_gone: node_is_gone(pod, world),
        events: world.events.get(&pod.uid).map_or(&[], Vec::as_slice),
        ..Evidence::of(pod)
    }
}

fn last_end(pod: &PodView) -> Option<Timestamp> {
    pod.judged()
        .chain(pod.init_containers.iter().filter(|c| c.judged))
        .filter_map(|c| c.last_end().and_then(|end| end.finished))
        .max()
}

/// Since when the life was there: the one whose run has ended, although the kubelet may have begun the next
/// one already, or the one that is running.
fn life_since(pod: &PodView, ended: bool) -> Option<Timestamp> {
    let of_ended = |c: &ContainerView| c.last_end().and_then(|end| end.started);
    pod.judged()
        .filter_map(|c| {
            if ended {
                of_ended(c)
            } else {
                c.running_since().or_else(|| of_ended(c))
            }
        })
        .max()
}
