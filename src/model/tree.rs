//! The tree as the engine walks it: an arena of nodes in list order, the root first.
//!
//! Rule: what [`Tree::parse`] returns is legal; nothing behind it checks the spec again.

use crate::api::v1alpha1::{
    Backoff, Child, GiveUp, Identity, Intensity, RootGiveUp, Startup, SupervisionTreeSpec,
    SupervisorSettings, WorkerSettings,
};

use super::names;
use super::window::backoff_total;

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
}

/// A supervisor or worker with its place in the tree.
#[derive(Clone, Debug)]
pub struct Node<'a> {
    /// Name; [`ROOT_NAME`] for the root.
    pub name: &'a str,
    /// Parent; the root is its own.
    pub parent: NodeId,
    /// `enabled`.
    pub enabled: bool,
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
    /// Window.
    pub intensity: Intensity,
    /// Whether children start one after another and stop in reverse.
    pub ordered: bool,
    /// Delays.
    pub backoff: Backoff,
    /// What to do when the window is exceeded.
    pub on_give_up: GiveUp,
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
}

impl<'a> Tree<'a> {
    /// Reads a spec. The API server checks most of this already, but a stored tree may be older than
    /// today's rules.
    pub fn parse(name: &str, spec: &'a SupervisionTreeSpec) -> Result<Self, SpecError> {
        let root = Policy {
            intensity: spec.intensity,
            ordered: spec.startup == Some(Startup::Ordered),
            backoff: spec.backoff,
            on_give_up: match spec.on_give_up {
                RootGiveUp::Retry => GiveUp::Retry,
                RootGiveUp::Stop => GiveUp::Stop,
            },
        };
        check_policy("the root", &root)?;
        let mut tree = Self {
            nodes: vec![Node {
                name: ROOT_NAME,
                parent: ROOT,
                enabled: true,
                children: Vec::new(),
                kind: Kind::Supervisor(root),
            }],
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
        let id = self.nodes.len();
        self.nodes.push(Node {
            name,
            parent,
            enabled: child.enabled,
            children: Vec::new(),
            kind,
        });
        self.nodes[parent].children.push(id);
        Ok(())
    }

    /// The node of that name.
    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.nodes.iter().position(|node| node.name == name)
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

    /// Hash of the templates of all workers within a node: an edit of one of them changes it.
    pub fn templates(&self, scope: NodeId) -> String {
        let revisions: Vec<&str> = self
            .leaves()
            .filter(|(id, _)| self.is_within(scope, *id))
            .flat_map(|(id, leaf)| [self.nodes[id].name, leaf.revision.as_str()])
            .collect();
        names::hash(&revisions)
    }
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
            intensity: settings.intensity,
            ordered: settings.startup == Some(Startup::Ordered),
            backoff: settings.backoff,
            on_give_up: settings.on_give_up,
        }
    }
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
