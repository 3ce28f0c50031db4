//! Order: whose turn it is to stop or to start.
//!
//! Rule: nothing here is remembered; how far an operation has come is read off the Pods that exist.

use jiff::Timestamp;

use crate::api::v1alpha1::{OperationKind, OperationStatus};

use super::engine::{Engine, Mode};
use super::pod::PodView;
use super::replica::{self, Replicas};
use super::tree::{Leaf, NodeId, ROOT};
use super::window::seconds_between;

/// A Pod on a node that does not report is not waited for by a deletion longer than this after its
/// grace period, in seconds, where nodes cannot be read.
pub(super) const BLIND_STOP_SECONDS: i64 = 60;

impl Engine<'_> {
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

    /// Whether a `Stable` Pod of one of these nodes is on its way out on a node that does not answer, and not proven dead.
    pub(super) fn waits_for_fence(&self, scope: &[NodeId]) -> bool {
        let is_in_scope = |id| scope.iter().any(|above| self.tree.is_within(*above, id));
        let stable = self
            .tree
            .leaves()
            .filter(|(id, leaf)| leaf.is_stable() && is_in_scope(*id));
        let mut pods = stable
            .filter_map(|(id, _)| self.replicas.get(&id))
            .flat_map(Replicas::pods);
        pods.any(|pod| replica::waits_for_fence(pod, self.world))
    }

    /// What a supervisor is in the middle of that starts that child of it.
    pub(super) fn start_of(&self, child: NodeId) -> Option<&OperationStatus> {
        let operation = self.operation_of(self.tree.nodes[child].parent);
        operation.filter(|operation| Self::is_member(operation, self.name(child)))
    }

    /// Whether it is this node's turn to stop: under `Ordered` the later siblings that stop, too, have stopped. Only a
    /// give-up and a restart wait for what cannot be proven dead.
    pub(super) fn may_stop(&self, id: NodeId) -> bool {
        if id == ROOT {
            return true;
        }
        let parent = self.tree.nodes[id].parent;
        let all_stop = self.mode_of_children(parent) == Mode::Down;
        let is_restarted = self.start_of(id).is_some();
        let is_former = is_restarted && self.mode(id) == Mode::Up;
        if is_former && self.waits_for_fence(&self.group_of(parent)) {
            return false;
        }
        let patient = self.is_enabled(id) && !self.tree.suspended && (all_stop || is_restarted);
        let mut later = self.tree.nodes[parent]
            .children
            .iter()
            .copied()
            .filter(|sibling| *sibling > id && (all_stop || self.is_to_stop(*sibling)));
        let ordered = self.tree.parent_policy(id).ordered;
        let goes_with_parent = self.mode(parent) == Mode::Down || self.start_of(parent).is_some();
        (!ordered || later.all(|sibling| self.is_out_of_the_way(sibling, patient)))
            && (parent == ROOT || !goes_with_parent || self.may_stop(parent))
    }

    /// Whether nothing of this node is to run, or what runs is of a former incarnation.
    fn is_to_stop(&self, id: NodeId) -> bool {
        let has_no_replicas = |leaf| self.replicas_wanted(id, leaf) == 0;
        let is_down = match self.tree.leaf(id) {
            Some(leaf) => has_no_replicas(leaf),
            None => self.has_finished(id),
        };
        !self.tree.nodes[id].enabled
            || self.given_up(id).is_some_and(|entry| entry.rest)
            || is_down
            || self.has_former(id)
    }

    /// Whether Pods of a former incarnation are left that have not stopped.
    pub(super) fn has_former(&self, id: NodeId) -> bool {
        let Some(leaf) = self.tree.leaf(id) else {
            let mut children = self.tree.nodes[id].children.iter();
            return children.any(|child| self.has_former(*child));
        };
        self.replicas.get(&id).is_some_and(|replicas| {
            let mut former = replicas.former.iter();
            former.any(|pod| !self.pod_has_stopped(leaf, pod))
        })
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

    /// Whether a node may start. While its parent starts it, nothing of the former incarnation of the group runs any more
    /// and, under `Ordered`, its earlier siblings have started.
    pub(super) fn may_start(&self, id: NodeId) -> bool {
        if id == ROOT {
            return true;
        }
        if self.awaits_rollout.contains(&id) {
            return false;
        }
        let parent = self.tree.nodes[id].parent;
        if !self.may_start(parent) {
            return false;
        }
        let mut group = self.group_of(parent);
        // What is not to start yet keeps nobody else from it.
        group.retain(|member| !self.awaits_rollout.contains(member));
        if group.is_empty() {
            return true;
        }
        let is_member = group.contains(&id);
        if is_member && group.iter().any(|member| self.has_former(*member)) {
            return false;
        }
        if !self.tree.parent_policy(id).ordered {
            return true;
        }
        group.retain(|member| self.tree.nodes[*member].enabled);
        if !is_member {
            // It was added in the meantime, and starts at its place.
            group.push(id);
            group.sort_unstable();
        }
        // Only what was made since then, when all before it had had their turn, shows how far the start has come: what was
        // moved here runs already.
        let began = group.iter().find_map(|member| self.start_of(*member));
        let began = began.map_or(Timestamp::MIN, |operation| operation.since_time.0);
        let waiting = group
            .iter()
            .position(|member| !self.has_had_its_turn(*member));
        let open = &group[..waiting.map_or(group.len(), |first| first + 1)];
        let reached = open
            .iter()
            .rposition(|member| self.has_live_pods(*member, began))
            .unwrap_or(0);
        let place = group.iter().position(|member| *member == id).unwrap_or(0);
        place <= reached
            || (self.is_first_start(id) && self.has_ever_started(id))
            || group[reached..place]
                .iter()
                .all(|sibling| self.has_started(*sibling))
    }

    /// Whether a child has started since its supervisor began to start it, whatever has become of it.
    fn has_had_its_turn(&self, id: NodeId) -> bool {
        if self.is_first_start(id) {
            self.has_ever_started(id) || self.has_started(id)
        } else {
            self.has_got_up(id)
        }
    }

    /// Whether the supervisor of a child is being started, the child with it.
    fn is_first_start(&self, id: NodeId) -> bool {
        self.start_of(id)
            .is_some_and(|operation| operation.kind == OperationKind::Start)
    }

    /// The children that a supervisor is starting.
    fn group_of(&self, supervisor: NodeId) -> Vec<NodeId> {
        let children = self.tree.nodes[supervisor].children.iter().copied();
        children.filter(|id| self.start_of(*id).is_some()).collect()
    }

    /// Whether a node has live Pods that were created since that time.
    pub(super) fn has_live_pods(&self, id: NodeId, since: Timestamp) -> bool {
        match self.tree.leaf(id) {
            Some(_) => self.replicas.get(&id).is_some_and(|replicas| {
                replicas
                    .pods()
                    .any(|pod| pod.created >= since && !pod.is_deleting() && !pod.is_terminal())
            }),
            None => self.tree.nodes[id]
                .children
                .iter()
                .any(|child| self.has_live_pods(*child, since)),
        }
    }

    /// When the next start of a slot may happen: the longest delay of the slot, its worker and the supervisors above
    /// counts; while a group is restarted, that of each member, because they start together.
    pub(super) fn due(&self, id: NodeId, slot: i32) -> Option<Timestamp> {
        let slot = self.slot(id, slot);
        let own = slot.and_then(|s| s.due_time.as_ref()).map(|t| t.0);
        let brake = slot.and_then(|slot| self.brake_ends_at(slot));
        let path = std::iter::once(id).chain(self.tree.ancestors(id));
        let above = path
            .filter(|node| *node != ROOT)
            .filter_map(|node| self.due_of_child(node));
        own.into_iter().chain(brake).chain(above).max()
    }

    /// When the next start of a child may happen as far as its parent delays it.
    pub(super) fn due_of_child(&self, child: NodeId) -> Option<Timestamp> {
        let parent = self
            .memory
            .supervisor(self.name(self.tree.nodes[child].parent))?;
        let group = self.start_of(child);
        let counts = |name: &str| {
            name == self.name(child)
                || group.is_some_and(|operation| {
                    operation.kind == OperationKind::Restart && Self::is_member(operation, name)
                })
        };
        let delays = parent.backoff.iter().filter(|b| counts(&b.child));
        delays.map(|b| b.due_time.0).max()
    }
}
