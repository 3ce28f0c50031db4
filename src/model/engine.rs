//! The engine: the state of one decision while it is made, and the questions every step asks of it.
//!
//! Rule: questions read, steps write; a step marks what it must store before its effects.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::api::v1alpha1::{GaveUpStatus, OperationKind, SlotStatus};

use super::decision::{Judged, Notice};
use super::memory::Memory;
use super::pod::PodView;
use super::replica::{self, Life, Replicas, SlotView};
use super::tree::{Leaf, NodeId, ROOT, Tree};
use super::window::{after, seconds_between};
use super::world::{WorkerView, World};

/// A Pod on a node that does not report is not waited for by a deletion longer than this after its
/// grace period, in seconds, where nodes cannot be read.
pub(super) const BLIND_STOP_SECONDS: i64 = 60;

/// The state of one decision.
pub(super) struct Engine<'a> {
    /// The tree.
    pub tree: &'a Tree<'a>,
    /// What is seen.
    pub world: &'a World,
    /// The time.
    pub now: Timestamp,
    /// What is remembered.
    pub memory: Memory,
    /// The replicas of each worker whose Worker object exists.
    pub replicas: BTreeMap<NodeId, Replicas<'a>>,
    /// What to tell people.
    pub notices: Vec<Notice>,
    /// Faults judged.
    pub judged: Vec<Judged>,
    /// How many supervisors gave up.
    pub give_ups: u32,
    /// When to look again.
    pub wake_at: Option<Timestamp>,
}

/// Whether a node is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// It runs, and what dies is restarted.
    Up,
    /// It was given up: what is alive keeps running, nothing is started.
    Held,
    /// It is stopped.
    Down,
}

impl<'a> Engine<'a> {
    /// Reads a world.
    pub(super) fn new(tree: &'a Tree<'a>, world: &'a World, now: Timestamp) -> Self {
        let memory = Memory::load(world);
        let replicas = tree
            .leaves()
            .filter_map(|(id, leaf)| {
                let child = tree.nodes[id].name;
                let worker = world.workers.get(child)?;
                let sorted = Replicas::sort(&world.tree.name, child, leaf, worker, &memory);
                Some((id, sorted))
            })
            .collect();
        Self {
            tree,
            world,
            now,
            memory,
            replicas,
            notices: Vec::new(),
            judged: Vec::new(),
            give_ups: 0,
            wake_at: None,
        }
    }

    /// Look again at that time, if it lies ahead.
    pub(super) fn wake(&mut self, time: Timestamp) {
        if time > self.now {
            self.wake_at = self.wake_at.into_iter().chain([time]).min();
        }
    }

    /// Name of a node.
    pub(super) fn name(&self, id: NodeId) -> &'a str {
        self.tree.nodes[id].name
    }

    /// The Worker object of a worker.
    pub(super) fn worker(&self, id: NodeId) -> Option<&'a WorkerView> {
        self.world.workers.get(self.name(id))
    }

    /// Number of replicas wanted.
    pub(super) fn replicas_wanted(&self, id: NodeId, leaf: &Leaf<'_>) -> i32 {
        let stored = self.worker(id).map_or(1, |worker| worker.replicas);
        leaf.settings.replicas.unwrap_or(stored)
    }

    /// The quorum in force.
    pub(super) fn quorum(&self, id: NodeId, leaf: &Leaf<'_>) -> usize {
        let quorum = leaf.settings.quorum.min(self.replicas_wanted(id, leaf));
        usize::try_from(quorum).unwrap_or(0)
    }

    /// What is remembered of a slot.
    pub(super) fn slot(&self, id: NodeId, slot: i32) -> Option<&SlotStatus> {
        self.memory.slot(self.name(id), slot)
    }

    /// The current life of a slot.
    pub(super) fn life(&self, id: NodeId, view: &SlotView<'_>) -> Life {
        self.tree.leaf(id).map_or_else(Life::default, |leaf| {
            view.life(leaf, self.slot(id, view.slot), self.world)
        })
    }

    /// The wanted slots of a worker with their lives.
    pub(super) fn lives(&self, id: NodeId) -> Vec<(SlotView<'a>, Life)> {
        self.replicas.get(&id).map_or_else(Vec::new, |replicas| {
            replicas
                .wanted
                .iter()
                .map(|view| (view.clone(), self.life(id, view)))
                .collect()
        })
    }

    /// What the children of a supervisor go through because of it, or of a supervisor above it.
    fn mode_of_children(&self, supervisor: NodeId) -> Mode {
        match self.mode(supervisor) {
            Mode::Up if !self.is_shut(supervisor) => Mode::Up,
            // To stop the others now would help nobody while one of them may still run.
            Mode::Up if self.waits_for_fence(supervisor) => Mode::Held,
            Mode::Up => Mode::Down,
            mode => mode,
        }
    }

    /// Whether a `Stable` Pod below a supervisor is on its way out on a node that does not answer, and not proven dead.
    fn waits_for_fence(&self, supervisor: NodeId) -> bool {
        let below = self
            .tree
            .leaves()
            .filter(|(id, leaf)| leaf.is_stable() && self.tree.is_within(supervisor, *id));
        let mut pods = below
            .filter_map(|(id, _)| self.replicas.get(&id))
            .flat_map(Replicas::pods);
        pods.any(|pod| replica::waits_for_fence(pod, self.world))
    }

    /// Whether a supervisor has all its children down: it gave up as a whole.
    fn is_shut(&self, supervisor: NodeId) -> bool {
        self.memory
            .supervisor(self.name(supervisor))
            .is_some_and(|s| {
                s.operation
                    .as_ref()
                    .is_some_and(|o| o.kind == OperationKind::GiveUp)
                    || s.gave_up.iter().any(|g| g.child.is_empty() && g.waiting)
            })
    }

    /// The waiting entry of a child that its supervisor gave up.
    pub(super) fn given_up(&self, id: NodeId) -> Option<&GaveUpStatus> {
        let parent = self
            .memory
            .supervisor(self.name(self.tree.nodes[id].parent))?;
        parent
            .gave_up
            .iter()
            .find(|g| g.child == self.name(id) && g.waiting)
    }

    /// What a supervisor gave up: one of its children, or all of itself.
    pub(super) fn scope(&self, supervisor: NodeId, entry: &GaveUpStatus) -> Option<NodeId> {
        if entry.child.is_empty() {
            Some(supervisor)
        } else {
            self.tree.find(&entry.child)
        }
    }

    /// Whether a node is to run.
    pub(super) fn mode(&self, id: NodeId) -> Mode {
        if id == ROOT {
            return if self.world.tree.deleting {
                Mode::Down
            } else {
                Mode::Up
            };
        }
        let node = &self.tree.nodes[id];
        if !node.enabled {
            return Mode::Down;
        }
        match self.mode_of_children(node.parent) {
            Mode::Up => {}
            mode => return mode,
        }
        match self.given_up(id) {
            None => Mode::Up,
            // A supervisor that exited stays down; one that is still up keeps running.
            Some(_) if self.tree.policy(id).is_some() => {
                if self.is_shut(id) {
                    Mode::Down
                } else {
                    Mode::Up
                }
            }
            Some(_) => Mode::Held,
        }
    }

    /// Whether a child and all supervisors above it are enabled.
    pub(super) fn is_enabled(&self, id: NodeId) -> bool {
        self.tree.nodes[id].enabled
            && self
                .tree
                .ancestors(id)
                .all(|up| self.tree.nodes[up].enabled)
    }

    /// How many replicas of a worker are alive.
    pub(super) fn alive(&self, id: NodeId) -> usize {
        let wanted = self.replicas.get(&id).into_iter().flat_map(|r| &r.wanted);
        wanted.filter(|view| self.life(id, view).alive).count()
    }

    /// Whether a node has started, all below it included; disabled children do not count.
    pub(super) fn has_started(&self, id: NodeId) -> bool {
        self.has_started_with(id, |child| self.has_started(child))
    }

    /// Whether each node has started.
    pub(super) fn started(&self) -> Vec<bool> {
        let mut started = vec![false; self.tree.nodes.len()];
        // Children come after their parents.
        for id in (0..started.len()).rev() {
            started[id] = self.has_started_with(id, |child| started[child]);
        }
        started
    }

    fn has_started_with(&self, id: NodeId, child_has: impl FnMut(NodeId) -> bool) -> bool {
        match self.tree.leaf(id) {
            Some(leaf) => self.worker(id).is_some() && self.alive(id) >= self.quorum(id, leaf),
            None => {
                self.memory.supervisor(self.name(id)).is_some()
                    && !self.is_shut(id)
                    && self.enabled_children(id).all(child_has)
            }
        }
    }

    /// Since when a node is alive; `None` while it is not.
    pub(super) fn alive_since(&self, id: NodeId) -> Option<Timestamp> {
        if let Some(leaf) = self.tree.leaf(id) {
            let mut times: Vec<Timestamp> = self
                .lives(id)
                .iter()
                .filter_map(|(_, life)| life.alive_since)
                .collect();
            times.sort_unstable();
            return match self.quorum(id, leaf) {
                0 => Some(Timestamp::MIN),
                quorum => times.get(quorum - 1).copied(),
            };
        }
        let mut since = Timestamp::MIN;
        for child in self.enabled_children(id) {
            since = since.max(self.alive_since(child)?);
        }
        Some(since)
    }

    /// Whether a node has been alive for that many seconds; asks to look again when it will have been.
    pub(super) fn alive_for(&mut self, id: NodeId, seconds: i64) -> bool {
        match self.alive_since(id) {
            None => false,
            Some(since) if since == Timestamp::MIN => true,
            Some(since) => {
                self.wake(after(since, seconds));
                seconds_between(since, self.now) >= seconds
            }
        }
    }

    /// The enabled children of a supervisor in start order.
    pub(super) fn enabled_children(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.tree.nodes[id]
            .children
            .iter()
            .copied()
            .filter(|child| self.tree.nodes[*child].enabled)
    }

    /// Whether nothing of a node runs any more, as far as an ordered stop waits for it.
    pub(super) fn has_stopped(&self, id: NodeId) -> bool {
        self.is_out_of_the_way(id, true)
    }

    /// Whether an ordered stop of the Pod is finished.
    pub(super) fn pod_has_stopped(&self, leaf: &Leaf<'_>, pod: &PodView) -> bool {
        replica::has_stopped(pod, leaf, self.world, self.now)
            || (self.world.tree.deleting && self.is_out_of_reach(pod))
    }

    /// Whether a deletion does not wait for a Pod, because its node does not answer.
    pub(super) fn is_out_of_reach(&self, pod: &PodView) -> bool {
        match replica::node_of(pod, self.world) {
            Some(node) => pod.is_deleting() && node.unreachable,
            None => pod
                .deletion
                .is_some_and(|end| seconds_between(end, self.now) >= BLIND_STOP_SECONDS),
        }
    }

    /// Whether it is this node's turn to stop: under `Ordered` the later siblings that stop, too, have stopped. Only a
    /// give-up waits for what cannot be proven dead.
    pub(super) fn may_stop(&self, id: NodeId) -> bool {
        if id == ROOT {
            return true;
        }
        let parent = self.tree.nodes[id].parent;
        let all_stop = self.mode_of_children(parent) == Mode::Down;
        let patient = all_stop && self.is_enabled(parent);
        let mut later = self.tree.nodes[parent]
            .children
            .iter()
            .copied()
            .filter(|sibling| *sibling > id && (all_stop || self.is_to_stop(*sibling)));
        let ordered = self.tree.parent_policy(id).ordered;
        (!ordered || later.all(|sibling| self.is_out_of_the_way(sibling, patient)))
            && (self.mode(parent) != Mode::Down || self.may_stop(parent))
    }

    /// Whether the spec asks for nothing of this node to run.
    fn is_to_stop(&self, id: NodeId) -> bool {
        let has_no_replicas = |leaf| self.replicas_wanted(id, leaf) == 0;
        !self.tree.nodes[id].enabled || self.tree.leaf(id).is_some_and(has_no_replicas)
    }

    /// Whether a sibling need not wait for this node's stop any more.
    fn is_out_of_the_way(&self, id: NodeId, patient: bool) -> bool {
        let Some(leaf) = self.tree.leaf(id) else {
            let mut children = self.tree.nodes[id].children.iter();
            return children.all(|child| self.is_out_of_the_way(*child, patient));
        };
        self.replicas.get(&id).is_none_or(|replicas| {
            let mut pods = replicas.pods();
            pods.all(|pod| {
                self.pod_has_stopped(leaf, pod) || (!patient && self.is_out_of_reach(pod))
            })
        })
    }

    /// Whether a node may start: under `Ordered`, and while its parent starts, its earlier siblings
    /// have started. How far the start has come is read off the Pods that exist.
    pub(super) fn may_start(&self, id: NodeId) -> bool {
        if id == ROOT {
            return true;
        }
        let parent = self.tree.nodes[id].parent;
        if !self.may_start(parent) {
            return false;
        }
        let starting = self
            .memory
            .supervisor(self.name(parent))
            .and_then(|s| s.operation.as_ref())
            .is_some_and(|o| o.kind == OperationKind::Start);
        if !starting || !self.tree.parent_policy(id).ordered {
            return true;
        }
        let siblings: Vec<NodeId> = self.enabled_children(parent).collect();
        let reached = siblings
            .iter()
            .rposition(|s| self.has_live_pods(*s))
            .unwrap_or(0);
        let place = siblings.iter().position(|s| *s == id).unwrap_or(0);
        place <= reached
            || siblings[reached..place]
                .iter()
                .all(|sibling| self.has_started(*sibling))
    }

    fn has_live_pods(&self, id: NodeId) -> bool {
        match self.tree.leaf(id) {
            Some(_) => self.replicas.get(&id).is_some_and(|replicas| {
                replicas
                    .pods()
                    .any(|pod| !pod.is_deleting() && !pod.is_terminal())
            }),
            None => self.tree.nodes[id]
                .children
                .iter()
                .any(|child| self.has_live_pods(*child)),
        }
    }

    /// When the next start of a slot may happen: the longest delay of the slot, its worker and the
    /// supervisors above counts.
    pub(super) fn due(&self, id: NodeId, slot: i32) -> Option<Timestamp> {
        let slot = self.slot(id, slot);
        let own = slot.and_then(|s| s.due_time.as_ref()).map(|t| t.0);
        let brake = slot.and_then(|s| s.brake.as_ref()).map(|b| b.due_time.0);
        let above = std::iter::once(id)
            .chain(self.tree.ancestors(id))
            .filter(|node| *node != ROOT)
            .filter_map(|node| {
                let parent = self
                    .memory
                    .supervisor(self.name(self.tree.nodes[node].parent))?;
                let entry = parent.backoff.iter().find(|b| b.child == self.name(node))?;
                Some(entry.due_time.0)
            });
        own.into_iter().chain(brake).chain(above).max()
    }
}
