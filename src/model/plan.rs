//! The next safe writes: which objects to create, scale and delete now.
//!
//! Rule: what is not safe now is left for the next decision; nothing here waits.

mod slots;

use jiff::Timestamp;

use crate::api::conditions::Reason;
use crate::api::labels;
use crate::api::v1alpha1::Restart;

use super::build;
use super::decision::{Notice, Write};
use super::engine::{Engine, Mode};
use super::names;
use super::pod::PodView;
use super::reasons::EventReason;
use super::replica::{Life, SlotView};
use super::tree::{Leaf, NodeId, ROOT, is_after};
use super::window::{after, brake_delay};
use super::world::WorkerView;

/// When the creation of a Pod was refused, and when it is tried again.
#[derive(Clone, Copy, Debug)]
struct Refused {
    at: Timestamp,
    due: Timestamp,
}

impl<'a> Engine<'a> {
    /// The next writes, in order.
    pub(super) fn plan(&mut self) -> Vec<Write> {
        let mut writes = Vec::new();
        let has_finalizer = self
            .world
            .tree
            .finalizers
            .iter()
            .any(|f| f == labels::FINALIZER);
        if !has_finalizer {
            // Nothing may exist below a tree that could vanish without an ordered stop.
            return if self.world.tree.deleting {
                writes
            } else {
                vec![Write::AddFinalizer]
            };
        }
        self.plan_new_revision(&mut writes);
        self.plan_removed(&mut writes);
        for (id, leaf) in self.tree.leaves().collect::<Vec<_>>() {
            if self.worker(id).is_none() {
                self.plan_worker_object(id, leaf, &mut writes);
                continue;
            }
            self.plan_scale(id, leaf, &mut writes);
            match self.mode(id) {
                Mode::Down => self.plan_stop(id, leaf, &mut writes),
                mode => self.plan_replicas(id, leaf, mode, &mut writes),
            }
        }
        let a_claim_would_go = self.plan_claim_owners(&mut writes);
        self.a_claim_would_go = a_claim_would_go && self.has_stopped(ROOT);
        self.plan_known_revisions(&mut writes);
        self.plan_disruption_budgets(&mut writes);
        self.plan_tries(&mut writes);
        let has_stopped = self.has_stopped(ROOT) && self.removed_have_stopped();
        if self.world.tree.deleting && has_stopped && !a_claim_would_go {
            writes.push(Write::RemoveFinalizer);
        }
        writes
    }

    /// Workers whose child is not in the spec any more: their Pods stop, then they go.
    fn plan_removed(&self, writes: &mut Vec<Write>) {
        for (child, worker) in self.removed() {
            let is_turn = self.may_stop_removed(worker);
            for pod in worker.pods.iter().filter(|pod| !pod.is_deleting()) {
                if is_turn || pod.is_terminal() {
                    writes.push(delete(pod, None, "its child was removed from the tree"));
                }
            }
            if worker.pods.is_empty() && !worker.deleting && !self.world.tree.deleting {
                writes.push(Write::DeleteWorker {
                    child: child.clone(),
                    name: worker.name.clone(),
                    uid: worker.uid.clone(),
                });
            }
        }
    }

    pub(super) fn removed_have_stopped(&self) -> bool {
        self.removed()
            .all(|(_, worker)| self.has_removed_stopped(worker))
    }

    /// The Workers whose child is not in the spec any more.
    pub(super) fn removed(&self) -> impl Iterator<Item = (&String, &WorkerView)> {
        let all = self.world.workers.iter();
        all.filter(|(child, _)| !self.tree.has_worker(child))
    }

    fn has_removed_stopped(&self, worker: &WorkerView) -> bool {
        let mut pods = worker.pods.iter();
        pods.all(|pod| pod.is_terminal() || self.is_out_of_reach(pod))
    }

    /// Whether what was removed together with it and started after it has stopped, where that was the order.
    fn may_stop_removed(&self, worker: &WorkerView) -> bool {
        let mut later = self
            .removed()
            .filter(|(_, other)| is_after(&other.status.order, &worker.status.order));
        later.all(|(_, other)| self.has_removed_stopped(other))
    }

    fn plan_worker_object(&mut self, id: NodeId, leaf: &Leaf<'_>, writes: &mut Vec<Write>) {
        if self.world.tree.deleting {
            return;
        }
        let child = self.name(id);
        let due = self
            .memory
            .tree
            .refused
            .iter()
            .find(|r| r.child == child)
            .map(|r| {
                if r.reason == Reason::WaitingForCapacity.as_str() {
                    self.retried_at(r.count, r.due_time.0)
                } else {
                    r.due_time.0
                }
            });
        if let Some(due) = due.filter(|due| *due > self.now) {
            self.wake(due);
            return;
        }
        writes.push(Write::CreateWorker {
            child: child.to_owned(),
            name: names::worker_name(&self.world.tree.name, child),
            body: build::worker(&self.world.tree, child, leaf),
        });
    }

    /// A number stated in the tree is put back through `scale`.
    fn plan_scale(&mut self, id: NodeId, leaf: &Leaf<'_>, writes: &mut Vec<Write>) {
        let (Some(replicas), Some(worker)) = (leaf.settings.replicas, self.worker(id)) else {
            return;
        };
        if worker.replicas == replicas || self.world.tree.deleting {
            return;
        }
        let child = self.name(id);
        let is_news = self.world.tree.status.observed_generation == self.world.tree.generation;
        let notice = is_news.then(|| Notice {
            reason: EventReason::ScaleOverridden.as_str().to_owned(),
            action: "Scale",
            child: child.to_owned(),
            what: format!(
                "was scaled to {}; the tree states {replicas}, which is put back. Remove `replicas` from the tree to let others scale it",
                worker.replicas
            ),
            ..Notice::default()
        });
        writes.push(Write::Scale {
            child: child.to_owned(),
            name: worker.name.clone(),
            replicas,
            notice: notice.map(Box::new),
        });
    }

    /// Everything of a worker stops in its turn. What ended before a supervisor gave up stays to be looked at, as long as it
    /// is in nobody's way.
    fn plan_stop(&mut self, id: NodeId, leaf: &Leaf<'_>, writes: &mut Vec<Write>) {
        if !self.may_stop(id) {
            return;
        }
        let Some(replicas) = self.replicas.get(&id).cloned() else {
            return;
        };
        let goes = self.world.tree.deleting || !self.is_enabled(id) || leaf.is_stable();
        let stops =
            |pod: &&PodView| !pod.is_deleting() && (goes || !(pod.is_terminal() || pod.is_spent()));
        for pod in replicas.pods().filter(stops) {
            if self.awaits_its_claims(id, leaf, pod) {
                continue;
            }
            let slot = self.slot(id, pod.slot);
            let stands = slot.is_some_and(|slot| slot.pod_uid == pod.uid && !slot.gone);
            if stands && !self.world.tree.deleting {
                // The order may be taken back before it is seen to be carried out.
                self.retire(id, pod.slot, pod);
            }
            writes.push(delete(pod, None, "an ordered stop"));
        }
    }

    fn plan_replicas(&mut self, id: NodeId, leaf: &Leaf<'a>, mode: Mode, writes: &mut Vec<Write>) {
        let Some(replicas) = self.replicas.get(&id).cloned() else {
            return;
        };
        for pod in replicas.misfits.iter().filter(|pod| !pod.is_deleting()) {
            writes.push(delete(pod, None, "its identity was changed"));
        }
        self.plan_former(id, leaf, &replicas.former, writes);
        // A worker without replicas stops as a whole, in its turn.
        if self.replicas_wanted(id, leaf) > 0 || self.may_stop(id) {
            let surplus = replicas.surplus.iter().filter(|pod| !pod.is_deleting());
            for pod in surplus.filter(|pod| self.owns_its_claims(id, leaf, pod)) {
                // Where its state decided, it must still be so: a Pod that has come up since is kept, and another goes.
                let decides = replicas.dropped_for_state.contains(&pod.slot);
                let version = decides.then(|| pod.resource_version.clone());
                writes.push(delete(pod, version, "its slot is not wanted any more"));
            }
        }
        let misfits_have_stopped = replicas
            .misfits
            .iter()
            .all(|pod| self.pod_has_stopped(leaf, pod));
        let may_create = misfits_have_stopped && self.may_start(id);
        let lives = self.lives(id);
        let update = self.updates.remove(&id).unwrap_or_default();
        let refused = self.last_refusal(id, &lives);
        let mut ordered = InOrder::default();
        let all = &mut *writes;
        for (view, life) in &lives {
            let writes = &mut Vec::new();
            self.plan_evidence(view, life, writes);
            if life.finished {
                slots::plan_finished(view, writes);
                ordered.add(writes);
                continue;
            }
            let held = mode == Mode::Held
                || self
                    .slot(id, view.slot)
                    .is_some_and(|s| s.parked.as_ref().is_some_and(|p| p.waiting));
            let free = self.plan_current(
                id,
                leaf,
                view,
                life,
                held,
                update.contains(&view.slot),
                writes,
            );
            if view
                .current
                .is_some_and(|pod| pod.node.is_none() && !pod.is_deleting())
            {
                // It cannot run without its claims, which somebody may have deleted.
                match self.due(id, view.slot).filter(|due| *due > self.now) {
                    Some(due) => self.wake(due),
                    None => {
                        self.plan_claims(id, leaf, view.slot, writes);
                    }
                }
            }
            // The name of a `Stable` replica is free only when its last Pod is gone.
            let is_free = !leaf.is_stable() || !replicas.former.iter().any(|p| p.slot == view.slot);
            if free && is_free && !held && may_create {
                match refused.filter(|refused| self.waits_with(id, view.slot, *refused)) {
                    Some(Refused { due, .. }) => self.wake(due),
                    None => self.plan_create(id, leaf, view, writes),
                }
            }
            ordered.add(writes);
        }
        all.extend(ordered.writes());
    }

    /// Pods of a former incarnation stop in their turn.
    fn plan_former(
        &self,
        id: NodeId,
        leaf: &Leaf<'_>,
        former: &[&PodView],
        writes: &mut Vec<Write>,
    ) {
        let is_turn = self.may_stop(id);
        // OTP does not start a temporary child again with its group.
        let is_last = self.tree.nodes[id].restart == Restart::Temporary && self.has_finished(id);
        let why = if is_last {
            "an ordered stop with its group; it is Temporary, and not started again"
        } else {
            "an ordered stop, to be started again"
        };
        for pod in former.iter().filter(|pod| !pod.is_deleting()) {
            let goes = pod.is_terminal() || (is_turn && !pod.is_spent());
            if goes && !self.awaits_its_claims(id, leaf, pod) {
                writes.push(delete(pod, None, why));
            }
        }
    }

    /// The last refusal of a Pod of this worker that is not due to be tried again. What is refused to one replica is
    /// refused to its siblings too, so they are not tried before it.
    fn last_refusal(&self, id: NodeId, lives: &[(SlotView<'_>, Life)]) -> Option<Refused> {
        let refusals = [Reason::CreateRefused, Reason::WaitingForCapacity].map(Reason::as_str);
        let missing = lives.iter().filter(|(view, _)| view.current.is_none());
        let brakes = missing.filter_map(|(view, _)| {
            let memory = self.slot(id, view.slot)?;
            let trouble = memory.trouble.as_ref()?;
            memory.brake.as_ref()?;
            refusals
                .contains(&trouble.reason.as_str())
                .then_some(memory)
        });
        let last = brakes.max_by_key(|slot| slot.brake.as_ref().map(|brake| brake.due_time.0))?;
        let brake = last.brake.as_ref()?;
        let at = after(brake.due_time.0, -brake_delay(brake.count));
        let due = self.brake_ends_at(last)?;
        (due > self.now).then_some(Refused { at, due })
    }

    /// Whether a slot waits for the next try of a sibling. One that came down since then is tried: its end may have made
    /// room.
    fn waits_with(&self, id: NodeId, slot: i32, refused: Refused) -> bool {
        let down = self.slot(id, slot).and_then(|s| s.down_time.as_ref());
        down.is_none_or(|down| down.0 <= refused.at)
    }
}

fn delete(pod: &PodView, resource_version: Option<String>, why: &'static str) -> Write {
    Write::DeletePod {
        child: pod.child.clone(),
        name: pod.name.clone(),
        uid: pod.uid.clone(),
        resource_version,
        within_bounds: false,
        why,
    }
}

/// The delete of a Pod that the bounds of an update allow, for as long as its siblings stand as they do.
fn delete_within_bounds(pod: &PodView, resource_version: Option<String>) -> Write {
    let why = "its template was changed, or `restartAt` asks for it";
    let mut write = delete(pod, resource_version, why);
    if let Write::DeletePod { within_bounds, .. } = &mut write {
        *within_bounds = true;
    }
    write
}

/// The writes about the Pods of a worker in the order in which they are made, because those of a sort are made side by side. What
/// fills a slot that has nothing to lose comes first, whatever becomes of the rest; what goes is within its bounds, and then what
/// takes its place is made; and what is refused to one slot does not keep the others from what they have their claims for.
#[derive(Default)]
struct InOrder {
    fillings: Vec<Write>,
    deletes: Vec<Write>,
    patches: Vec<Write>,
    replacements: Vec<Write>,
    claims: Vec<Write>,
}

impl InOrder {
    /// Takes in what is planned for a slot.
    fn add(&mut self, of_slot: &mut Vec<Write>) {
        let takes_down =
            |write: &Write| matches!(write, Write::DeletePod { .. } | Write::PatchPod { .. });
        let is_empty = !of_slot.iter().any(takes_down);
        for write in of_slot.drain(..) {
            let list = match write {
                Write::DeletePod { .. } => &mut self.deletes,
                Write::PatchPod { .. } => &mut self.patches,
                Write::CreateClaim { .. } => &mut self.claims,
                _ if is_empty => &mut self.fillings,
                _ => &mut self.replacements,
            };
            list.push(write);
        }
    }

    fn writes(self) -> impl Iterator<Item = Write> {
        let made = self.fillings.into_iter().chain(self.deletes);
        let made = made.chain(self.patches).chain(self.replacements);
        made.chain(self.claims)
    }
}
