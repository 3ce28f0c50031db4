//! The tree as the engine walks it: an arena of nodes in list order, the root first.
//!
//! Rule: what [`Tree::parse`] returns is legal; nothing behind it checks the spec again.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::v1alpha1::{
    AutoShutdown, Backoff, Child, GiveUp, Identity, Intensity, ReadyWhen, Restart, RootGiveUp,
    SlotStatus, StartFailure, Startup, Strategy, SupervisionTreeSpec, SupervisorSettings,
    WorkerSettings,
};

use super::names;
use super::window::{backoff_total, whole_second};

/// Index of a node. Parents have smaller indexes than their children; siblings are in start order.
pub type NodeId = usize;

/// The root.
pub const ROOT: NodeId = 0;

/// What the root is called in status and messages. It is not a DNS label, so no child has this name.
pub const ROOT_NAME: &str = "(root)";

/// Longest name of tree and child together.
const MAX_NAMES: usize = 50;

/// A legal tree.
#[derive(Clone, Debug)]
pub struct Tree<'a> {
    /// The nodes.
    pub nodes: Vec<Node<'a>>,
    /// `suspend`.
    pub suspended: bool,
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
    /// Revision of its template.
    pub revision: String,
}

/// A spec that cannot be carried out, in words that say what to fix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SpecError(pub String);

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
    /// Reads a spec. The API server checks most of this already, but a stored tree may be older than
    /// today's rules.
    pub fn parse(name: &str, spec: &'a SupervisionTreeSpec) -> Result<Self, SpecError> {
        let root = Policy {
            strategy: spec.strategy,
            intensity: spec.intensity,
            ordered: is_ordered(spec.startup, spec.strategy),
            backoff: spec.backoff,
            on_start_failure: spec.on_start_failure,
            on_give_up: match spec.on_give_up {
                RootGiveUp::Retry => GiveUp::Retry,
                RootGiveUp::Stop => GiveUp::Stop,
            },
            auto_shutdown: spec.auto_shutdown,
        };
        check_policy("the root", &root)?;
        let mut tree = Self {
            nodes: vec![Node {
                name: ROOT_NAME,
                parent: ROOT,
                enabled: true,
                restart: Restart::Permanent,
                significant: false,
                restart_at: whole(spec.restart_at.as_ref()),
                children: Vec::new(),
                kind: Kind::Supervisor(root),
            }],
            suspended: spec.suspend,
        };
        for child in &spec.children {
            tree.add(name, child)?;
        }
        Ok(tree)
    }

    fn add(&mut self, tree_name: &str, child: &'a Child) -> Result<(), SpecError> {
        let name = child.name.as_str();
        if self.find(name).is_some() {
            return Err(SpecError(format!(
                "child '{name}' is declared twice in `children`; names must be unique"
            )));
        }
        if tree_name.len() + name.len() > MAX_NAMES {
            return Err(SpecError(format!(
                "the names of the tree '{tree_name}' and its child '{name}' together must not be longer than {MAX_NAMES} characters"
            )));
        }
        let parent = match child.parent.as_deref() {
            None => ROOT,
            Some(wanted) => self.find(wanted).filter(|id| self.policy(*id).is_some()).ok_or_else(|| {
                SpecError(format!(
                    "the `parent` of child '{name}' must name a supervisor declared earlier in `children`, but is '{wanted}'"
                ))
            })?,
        };
        let kind = kind_of(child)?;
        let (restart, significant) = type_of(child);
        self.check_significance(name, parent, restart, significant)?;
        let id = self.nodes.len();
        self.nodes.push(Node {
            name,
            parent,
            enabled: child.enabled,
            restart,
            significant,
            restart_at: whole(child.restart_at.as_ref()),
            children: Vec::new(),
            kind,
        });
        self.nodes[parent].children.push(id);
        Ok(())
    }

    /// OTP's `bad_combination`: what never ends, or whose end counts for nobody, is not significant.
    fn check_significance(
        &self,
        name: &str,
        parent: NodeId,
        restart: Restart,
        significant: bool,
    ) -> Result<(), SpecError> {
        if !significant {
            return Ok(());
        }
        if restart == Restart::Permanent {
            return Err(SpecError(format!(
                "child '{name}' is `significant`, which needs `restart: Transient` or `restart: Temporary`: a Permanent child never ends"
            )));
        }
        let counts = self
            .policy(parent)
            .is_some_and(|policy| policy.auto_shutdown != AutoShutdown::Never);
        if !counts {
            let parent = self.nodes[parent].name;
            return Err(SpecError(format!(
                "child '{name}' is `significant`, which needs `autoShutdown: AnySignificant` or `AllSignificant` on its supervisor '{parent}'"
            )));
        }
        Ok(())
    }

    /// The node of that name.
    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.nodes.iter().position(|node| node.name == name)
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

fn kind_of(child: &Child) -> Result<Kind<'_>, SpecError> {
    let name = &child.name;
    match (&child.supervisor, &child.worker) {
        (Some(settings), None) => {
            let policy = Policy::of(settings);
            check_policy(&format!("supervisor '{name}'"), &policy)?;
            Ok(Kind::Supervisor(policy))
        }
        (None, Some(settings)) => {
            check_worker(name, settings)?;
            check_completion(name, settings)?;
            Ok(Kind::Worker(Leaf {
                settings,
                revision: names::revision(&settings.template.0),
            }))
        }
        _ => Err(SpecError(format!(
            "child '{name}' must have exactly one of `supervisor` and `worker`"
        ))),
    }
}

impl Policy {
    fn of(settings: &SupervisorSettings) -> Self {
        Self {
            strategy: settings.strategy,
            intensity: settings.intensity,
            ordered: is_ordered(settings.startup, settings.strategy),
            backoff: settings.backoff,
            on_start_failure: settings.on_start_failure,
            on_give_up: settings.on_give_up,
            auto_shutdown: settings.auto_shutdown,
        }
    }
}

/// Left out, the strategy decides: members of a group depend on each other.
fn is_ordered(startup: Option<Startup>, strategy: Strategy) -> bool {
    startup.map_or(strategy != Strategy::OneForOne, |startup| {
        startup == Startup::Ordered
    })
}

/// What is stored has no fractions of a second.
fn whole(time: Option<&Time>) -> Option<Timestamp> {
    time.map(|time| whole_second(time.0))
}

/// Restart type and significance of a child.
fn type_of(child: &Child) -> (Restart, bool) {
    match (&child.supervisor, &child.worker) {
        (Some(settings), _) => (settings.restart, settings.significant),
        (None, Some(settings)) => (settings.restart, settings.significant),
        (None, None) => (Restart::Permanent, false),
    }
}

fn check_completion(name: &str, settings: &WorkerSettings) -> Result<(), SpecError> {
    if settings.ready == ReadyWhen::Completed && settings.restart == Restart::Permanent {
        return Err(SpecError(format!(
            "worker '{name}' has `ready: Completed`, which needs `restart: Transient` or `restart: Temporary`: a Permanent worker is started again when it has completed"
        )));
    }
    Ok(())
}

fn check_policy(who: &str, policy: &Policy) -> Result<(), SpecError> {
    let Intensity {
        max_restarts,
        period_seconds,
    } = policy.intensity;
    if max_restarts < 0 || period_seconds < 1 {
        return Err(SpecError(format!(
            "`intensity` of {who} must have `maxRestarts` of at least 0 and `periodSeconds` of at least 1"
        )));
    }
    let delays = backoff_total(&policy.backoff, max_restarts);
    if delays > i64::from(period_seconds) {
        return Err(SpecError(format!(
            "the `backoff` of {who} delays {max_restarts} restarts by {delays} seconds in all, which must fit into `periodSeconds` {period_seconds}; otherwise it could never give up: lower `backoff.maxSeconds` or `intensity.maxRestarts`, or raise `intensity.periodSeconds`"
        )));
    }
    Ok(())
}

fn check_worker(name: &str, settings: &WorkerSettings) -> Result<(), SpecError> {
    if settings
        .replicas
        .is_some_and(|replicas| !(0..=1000).contains(&replicas))
    {
        return Err(SpecError(format!(
            "`replicas` of worker '{name}' must be from 0 to 1000"
        )));
    }
    if settings.quorum < 1 {
        return Err(SpecError(format!(
            "`quorum` of worker '{name}' must be at least 1"
        )));
    }
    let template = &settings.template.0;
    let containers = template
        .pointer("/spec/containers")
        .and_then(serde_json::Value::as_array);
    if containers.is_none_or(Vec::is_empty) {
        return Err(SpecError(format!(
            "`template.spec.containers` of worker '{name}' must have at least one container"
        )));
    }
    for field in ["labels", "annotations"] {
        let reserved = template
            .pointer(&format!("/metadata/{field}"))
            .and_then(serde_json::Value::as_object)
            .and_then(|map| map.keys().find(|key| key.starts_with("coppice.dev/")));
        if let Some(key) = reserved {
            return Err(SpecError(format!(
                "`template.metadata.{field}` of worker '{name}' must not use '{key}': names under coppice.dev/ are set by Coppice"
            )));
        }
    }
    Ok(())
}
