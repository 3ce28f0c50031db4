//! The engine: the state of one decision while it is made, and the questions every step asks of it.
//!
//! Rule: questions read, steps write; a step marks what it must store before its effects.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::api::v1alpha1::{GaveUpStatus, OperationStatus, RecentFault, Restart, SlotStatus};

use super::decision::{Judged, Notice};
use super::in_place::Images;
use super::memory::Memory;
use super::replica::{Life, Replicas, SlotView};
use super::tree::{Leaf, NodeId, ROOT, Tree};
use super::window::{after, seconds_between};
use super::world::{WorkerView, World};

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
    /// Slots whose last death is not judged yet, because more may become known of it.
    pub unsettled: BTreeSet<(NodeId, i32)>,
    /// Slots whose Pods are replaced now, because they are not of the present template or `restartAt` asks for it.
    pub updates: BTreeMap<NodeId, Vec<i32>>,
    /// The images of the slots whose Pods are updated in place now.
    pub in_place: BTreeMap<(NodeId, i32), Images>,
    /// Whether all has stopped, and a claim that is to stay would go with its Worker as it is.
    pub a_claim_would_go: bool,
    /// Workers that were added, and are not started before those that the rollout updates now.
    pub awaits_rollout: BTreeSet<NodeId>,
    /// Workers of whose new template the API server is to be asked whether it takes such Pods.
    pub tries: Vec<NodeId>,
    /// The faults that led to a supervisor, or a slot, being given up.
    pub given_up_by: Vec<RecentFault>,
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
                let sorted = Replicas::sort(&world.tree.name, child, leaf, worker, &memory, now);
                Some((id, sorted))
            })
            .collect();
        Self {
            tree,
            world,
            now,
            memory,
            replicas,
            unsettled: BTreeSet::new(),
            updates: BTreeMap::new(),
            in_place: BTreeMap::new(),
            a_claim_would_go: false,
            awaits_rollout: BTreeSet::new(),
            tries: Vec::new(),
            given_up_by: Vec::new(),
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

    /// The quorum in force. What runs to completion has to complete as a whole.
    pub(super) fn quorum(&self, id: NodeId, leaf: &Leaf<'_>) -> usize {
        let replicas = self.replicas_wanted(id, leaf);
        let quorum = if leaf.completes() {
            replicas
        } else {
            leaf.settings.quorum.min(replicas)
        };
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

    /// What a supervisor is in the middle of.
    pub(super) fn operation_of(&self, supervisor: NodeId) -> Option<&OperationStatus> {
        let record = self.memory.supervisor(self.name(supervisor))?;
        record.operation.as_ref()
    }

    /// What the children of a supervisor go through because of it, or of a supervisor above it.
    pub(super) fn mode_of_children(&self, supervisor: NodeId) -> Mode {
        match self.mode(supervisor) {
            Mode::Up if !self.is_shut(supervisor) => Mode::Up,
            Mode::Up => self.down_unless_fenced(&[supervisor]),
            mode => mode,
        }
    }

    /// To stop the others now would help nobody while one of them may still run.
    fn down_unless_fenced(&self, scope: &[NodeId]) -> Mode {
        if self.waits_for_fence(scope) {
            Mode::Held
        } else {
            Mode::Down
        }
    }

    /// Whether a supervisor has all its children down: it exits or has exited, was given up as a whole, or has finished.
    pub(super) fn is_shut(&self, supervisor: NodeId) -> bool {
        self.memory
            .supervisor(self.name(supervisor))
            .is_some_and(|record| {
                let operation = record.operation.as_ref();
                operation.is_some_and(|operation| operation.kind.exits())
                    || record.finished.is_some()
                    || record
                        .gave_up
                        .iter()
                        .any(|g| g.child.is_empty() && g.waiting)
            })
    }

    /// The waiting entry of a scope of its supervisor that a child is in: given up by itself, or with one before it.
    pub(super) fn given_up(&self, id: NodeId) -> Option<&GaveUpStatus> {
        let supervisor = self.tree.nodes[id].parent;
        let record = self.memory.supervisor(self.name(supervisor))?;
        let mut waiting = record
            .gave_up
            .iter()
            .filter(|entry| entry.waiting && !entry.child.is_empty());
        waiting.find(|entry| self.scope(supervisor, entry).contains(&id))
    }

    /// What a supervisor gave up: all of itself, one of its children, or one and those after it. Nothing when that child is
    /// not there any more.
    pub(super) fn scope(&self, supervisor: NodeId, entry: &GaveUpStatus) -> Vec<NodeId> {
        if entry.child.is_empty() {
            return vec![supervisor];
        }
        match self.tree.find(&entry.child) {
            Some(child) if entry.rest => self.tree.from_child(child).to_vec(),
            child => child.into_iter().collect(),
        }
    }

    /// Whether a node is to run.
    pub(super) fn mode(&self, id: NodeId) -> Mode {
        if id == ROOT {
            return if self.world.tree.deleting || self.tree.suspended {
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
            Some(entry) if entry.rest => self.down_unless_fenced(&self.scope(node.parent, entry)),
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

    /// Whether a node is to run as far as its parent and those above it are concerned.
    pub(super) fn mode_from_above(&self, id: NodeId) -> Mode {
        let parent = self.tree.nodes[id].parent;
        if !self.tree.nodes[id].enabled || self.mode_of_children(parent) != Mode::Up {
            Mode::Down
        } else if self.given_up(id).is_some() {
            Mode::Held
        } else {
            Mode::Up
        }
    }

    /// Whether a child has ended as its type allows: a supervisor, or a worker with all its replicas.
    pub(super) fn has_finished(&self, id: NodeId) -> bool {
        let Some(leaf) = self.tree.leaf(id) else {
            let record = self.memory.supervisor(self.name(id));
            return record.is_some_and(|record| record.finished.is_some());
        };
        let mut wanted = self.replicas.get(&id).into_iter().flat_map(|r| &r.wanted);
        let is_finished = |slot: i32| {
            self.slot(id, slot)
                .is_some_and(|slot| leaf.has_finished(slot))
        };
        self.replicas_wanted(id, leaf) > 0
            && self.worker(id).is_some()
            && wanted.all(|view| is_finished(view.slot))
    }

    /// Whether a child, or a supervisor above it, has ended as its type allows, and nothing more is wanted of it.
    pub(super) fn is_over(&self, id: NodeId) -> bool {
        let has_ended = self.has_finished(id) && !self.has_failed_to_complete(id);
        has_ended || self.tree.ancestors(id).any(|up| self.has_finished(up))
    }

    /// Whether a replica of a worker was to run to completion and has failed for good.
    fn has_failed_to_complete(&self, id: NodeId) -> bool {
        let worker = self.memory.workers.get(self.name(id));
        let mut slots = worker.into_iter().flat_map(|worker| &worker.slots);
        self.tree.leaf(id).is_some_and(Leaf::completes)
            && slots.any(|slot| slot.finished.as_ref().is_some_and(|end| end.failed))
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
                self.has_finished(id)
                    || self.stays_given_up(id)
                    || (self.memory.supervisor(self.name(id)).is_some()
                        && !self.is_shut(id)
                        && self.children_to_start(id).all(child_has))
            }
        }
    }

    /// Whether a supervisor has given up and its type leaves it so: nobody waits for it to start any more.
    fn stays_given_up(&self, id: NodeId) -> bool {
        let is_final = self.tree.nodes[id].restart != Restart::Permanent;
        is_final
            && self
                .given_up(id)
                .is_some_and(|entry| entry.retry_time.is_none())
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
        let record = self.memory.supervisor(self.name(id));
        if let Some(finished) = record.and_then(|record| record.finished.as_ref()) {
            return Some(finished.time.0);
        }
        let mut since = Timestamp::MIN;
        for child in self.enabled_children(id) {
            since = since.max(self.alive_since(child)?);
        }
        Some(since)
    }

    /// Whether all these nodes have been alive for that many seconds; asks to look again when they will have been.
    pub(super) fn alive_for(&mut self, scope: &[NodeId], seconds: i64) -> bool {
        let mut latest = Timestamp::MIN;
        for id in scope {
            match self.alive_since(*id) {
                None => return false,
                Some(since) => latest = latest.max(since),
            }
        }
        if latest == Timestamp::MIN {
            return true;
        }
        self.wake(after(latest, seconds));
        seconds_between(latest, self.now) >= seconds
    }

    /// The children that a supervisor is to start. What waits for its turn in a rollout keeps nobody else from having started.
    fn children_to_start(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let enabled = self.enabled_children(id);
        enabled.filter(|child| !self.awaits_rollout.contains(child))
    }

    /// The enabled children of a supervisor in start order.
    pub(super) fn enabled_children(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.tree.nodes[id]
            .children
            .iter()
            .copied()
            .filter(|child| self.tree.nodes[*child].enabled)
    }
}
