//! The tree as the engine walks it: an arena of nodes in list order, the root first.
//!
//! Rule: what [`Tree::parse`] returns is legal; nothing behind it checks the spec again.

mod parse;

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::Value;

use super::names;
use super::pod::PodView;
use super::policy::Rule;
use crate::api::v1alpha1::{
    AutoShutdown, Backoff, GiveUp, Identity, Intensity, ReadyWhen, Restart, SlotStatus,
    StartFailure, Strategy, WorkerSettings,
};

pub use parse::SpecError;

/// Index of a node. Parents have smaller indexes than their children; siblings are in start order.
pub type NodeId = usize;

/// The root.
pub const ROOT: NodeId = 0;

/// What the root is called in status and messages. It is not a DNS label, so no child has this name.
pub const ROOT_NAME: &str = "(root)";

/// A legal tree.
#[derive(Clone, Debug)]
pub struct Tree<'a> {
    /// The nodes.
    pub nodes: Vec<Node<'a>>,
    /// `suspend`.
    pub suspended: bool,
    /// Name of the revision that the spec asks for.
    pub wanted: String,
    /// Number of the revision that the tree is to be on instead, because the one that the spec asks for failed.
    pub goes_back: Option<i64>,
    /// The rules for faults of each supervisor, those that it inherits after its own; empty for workers.
    rules: Vec<Vec<Rule<'a>>>,
}

/// A supervisor or worker with its place in the tree.
#[derive(Clone, Debug)]
pub struct Node<'a> {
    /// Name; [`ROOT_NAME`] for the root.
    pub name: &'a str,
    /// Parent; the root is its own.
    pub parent: NodeId,
    /// `enabled`; the root is.
    pub enabled: bool,
    /// Its restart type; the root is permanent.
    pub restart: Restart,
    /// Whether its end counts for the automatic shutdown of its parent.
    pub significant: bool,
    /// `restartAt`, in whole seconds.
    pub restart_at: Option<Timestamp>,
    /// Children in start order.
    pub children: Vec<NodeId>,
    /// What it is.
    pub kind: Kind<'a>,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Kind<'a> {
    /// An inner node.
    Supervisor(Policy),
    /// A leaf.
    Worker(Leaf<'a>),
}

/// How a supervisor treats its children.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Which children are restarted when one dies.
    pub strategy: Strategy,
    /// Window.
    pub intensity: Intensity,
    /// Whether children start one after another and stop in reverse.
    pub ordered: bool,
    /// Delays.
    pub backoff: Backoff,
    /// What to do when a first start fails.
    pub on_start_failure: StartFailure,
    /// What to do when the window is exceeded.
    pub on_give_up: GiveUp,
    /// Whether the end of significant children ends it.
    pub auto_shutdown: AutoShutdown,
}

/// A worker of the tree.
#[derive(Clone, Debug)]
pub struct Leaf<'a> {
    /// Its settings.
    pub settings: &'a WorkerSettings,
    /// The template that new Pods are made from: the one that it is to have, or a former one as long as its turn in a rollout
    /// has not come.
    pub template: Cow<'a, Value>,
    /// Revision of that template.
    pub revision: String,
    /// Revision of the template that it is to have.
    pub target: String,
    /// `restartAt` of its child, in whole seconds.
    pub restart_at: Option<Timestamp>,
    /// The rules for its faults, in the order in which they are asked.
    pub rules: Vec<Rule<'a>>,
}

impl Leaf<'_> {
    /// Whether replicas have fixed names.
    pub fn is_stable(&self) -> bool {
        self.settings.identity == Identity::Stable
    }

    /// Whether a replica is not started again, because it ended as its type allows.
    pub fn has_finished(&self, slot: &SlotStatus) -> bool {
        slot.finished.as_ref().is_some_and(|finished| {
            self.settings.restart == Restart::Temporary || finished.revision == self.revision
        })
    }

    /// `restartAt`, if that time has come.
    pub fn asked_restart(&self, now: Timestamp) -> Option<Timestamp> {
        self.restart_at.filter(|asked| *asked <= now)
    }

    /// Whether a Pod is of the present template, and not older than `restartAt` asks for. The clock of the API server, which
    /// says when the Pod was made, may be behind ours: a Pod that was made for that `restartAt` says so.
    pub fn is_current(&self, pod: &PodView, now: Timestamp) -> bool {
        self.is_as(pod, &self.revision, now)
    }

    /// The same, of a slot that is to have another template as long as a rollout has not come to it.
    pub fn is_as(&self, pod: &PodView, revision: &str, now: Timestamp) -> bool {
        let is_fresh = |asked| pod.created >= asked || pod.answers_restart() >= Some(asked);
        pod.revision == revision && self.asked_restart(now).is_none_or(is_fresh)
    }

    /// Whether its replicas are to give way to a changed template all at once: it says that not one may be missing and none be
    /// added.
    pub fn updates_as_a_whole(&self) -> bool {
        self.settings.update.is_none_at_all()
    }

    /// Whether an end of a container with that code is clean.
    pub fn is_clean(&self, exit_code: i32) -> bool {
        self.settings.clean_exit_codes.contains(&exit_code)
    }

    /// Whether replicas run until they have ended cleanly, and have started only then.
    pub fn completes(&self) -> bool {
        self.settings.ready == ReadyWhen::Completed
    }
}

impl<'a> Tree<'a> {
    /// The node of that name.
    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.nodes.iter().position(|node| node.name == name)
    }

    /// The policy of the supervisor of that name.
    pub fn policy_named(&self, name: &str) -> Option<&Policy> {
        self.policy(self.find(name)?)
    }

    /// Whether there is a worker of that name.
    pub fn has_worker(&self, name: &str) -> bool {
        self.find(name).is_some_and(|id| self.leaf(id).is_some())
    }

    /// The policy of a supervisor; `None` for a worker.
    pub fn policy(&self, id: NodeId) -> Option<&Policy> {
        match &self.nodes[id].kind {
            Kind::Supervisor(policy) => Some(policy),
            Kind::Worker(_) => None,
        }
    }

    /// The worker at a node; `None` for a supervisor.
    pub fn leaf(&self, id: NodeId) -> Option<&Leaf<'a>> {
        match &self.nodes[id].kind {
            Kind::Worker(leaf) => Some(leaf),
            Kind::Supervisor(_) => None,
        }
    }

    /// The policy that a node's parent applies to it.
    ///
    /// # Panics
    ///
    /// Never: a parent is a supervisor, because [`Tree::parse`] looked for one.
    pub fn parent_policy(&self, id: NodeId) -> &Policy {
        self.policy(self.nodes[id].parent)
            .expect("a parent is a supervisor, because parse looked for one")
    }

    /// All workers in start order.
    pub fn leaves(&self) -> impl Iterator<Item = (NodeId, &Leaf<'a>)> {
        (0..self.nodes.len()).filter_map(|id| self.leaf(id).map(|leaf| (id, leaf)))
    }

    /// All supervisors, parents before their children.
    pub fn supervisors(&self) -> impl DoubleEndedIterator<Item = NodeId> + '_ {
        (0..self.nodes.len()).filter(|id| self.policy(*id).is_some())
    }

    /// All nodes in the order in which they start, the root first: a node, then its children, each with all below it.
    pub fn start_order(&self) -> Vec<NodeId> {
        let mut order = Vec::with_capacity(self.nodes.len());
        let mut next = vec![ROOT];
        while let Some(id) = next.pop() {
            order.push(id);
            next.extend(self.nodes[id].children.iter().rev());
        }
        order
    }

    /// All nodes, each after everything below it, and siblings in start order.
    pub fn upward_order(&self) -> Vec<NodeId> {
        let mut order = Vec::with_capacity(self.nodes.len());
        let mut next = vec![ROOT];
        while let Some(id) = next.pop() {
            order.push(id);
            next.extend(&self.nodes[id].children);
        }
        order.reverse();
        order
    }

    /// Where a node stands: at each supervisor above it, from the root on, its number and, with an `o`, whether the children
    /// there stop one after the other. For [`is_after`].
    pub fn order_of(&self, id: NodeId) -> String {
        let mut path: Vec<String> = std::iter::once(id)
            .chain(self.ancestors(id))
            .filter(|node| *node != ROOT)
            .map(|node| {
                let siblings = &self.nodes[self.nodes[node].parent].children;
                let place = siblings.iter().position(|sibling| *sibling == node);
                let ordered = if self.parent_policy(node).ordered {
                    "o"
                } else {
                    ""
                };
                format!("{ordered}{}", place.unwrap_or(0))
            })
            .collect();
        path.reverse();
        path.join("/")
    }

    /// The children of a supervisor from that one on, in start order.
    pub fn from_child(&self, child: NodeId) -> &[NodeId] {
        let siblings = &self.nodes[self.nodes[child].parent].children;
        let place = siblings.iter().position(|sibling| *sibling == child);
        place.map_or(&[], |place| &siblings[place..])
    }

    /// Whether `below` is `above` or lies below it.
    pub fn is_within(&self, above: NodeId, below: NodeId) -> bool {
        let mut id = below;
        while id > above {
            id = self.nodes[id].parent;
        }
        id == above
    }

    /// The supervisors above a node, nearest first, the root last.
    pub fn ancestors(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let mut next = (id != ROOT).then(|| self.nodes[id].parent);
        std::iter::from_fn(move || {
            let current = next?;
            next = (current != ROOT).then(|| self.nodes[current].parent);
            Some(current)
        })
    }

    /// Hash of the templates of all workers within these nodes: an edit of one of them changes it.
    pub fn templates(&self, scope: &[NodeId]) -> String {
        let is_in_scope = |id| scope.iter().any(|above| self.is_within(*above, id));
        let revisions: Vec<&str> = self
            .leaves()
            .filter(|(id, _)| is_in_scope(*id))
            .flat_map(|(id, leaf)| [self.nodes[id].name, leaf.revision.as_str()])
            .collect();
        names::hash(&revisions)
    }
}

/// Whether a node that stood at `one` is stopped before the one that stood at `other`, see [`Tree::order_of`].
pub fn is_after(one: &str, other: &str) -> bool {
    let parting = one.split('/').zip(other.split('/')).find(|(a, b)| a != b);
    parting.is_some_and(|(one, other)| {
        let number = |step: &str| step.strip_prefix('o')?.parse::<usize>().ok();
        number(one)
            .zip(number(other))
            .is_some_and(|(one, other)| one > other)
    })
}
