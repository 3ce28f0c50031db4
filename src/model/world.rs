//! What the core is given: the tree, its Workers, their Pods, the nodes, and refusals.
//!
//! Rule: a world is a snapshot; nothing in it changes while a decision is made.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::policy::v1::PodDisruptionBudgetSpec;

use crate::api::v1alpha1::{RecentFault, SupervisionTreeSpec, SupervisionTreeStatus, WorkerStatus};

use super::fault::EventView;
use super::pod::PodView;
use super::revisions::StoredTemplate;

/// Everything that one decision rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct World {
    /// The tree itself.
    pub tree: Arc<TreeView>,
    /// The Workers that name this tree's UID as controlling owner, by child name (label).
    pub workers: BTreeMap<String, WorkerView>,
    /// The stored revisions that name this tree's UID as controlling owner.
    pub revisions: Vec<Arc<RevisionView>>,
    /// The disruption budgets of the namespace that may be about its Pods: those of its Workers, and those of others. `None`
    /// when they may not be read: then none is written.
    pub disruption_budgets: Option<Vec<Arc<DisruptionBudgetView>>>,
    /// The claims that carry the name of the tree as a label, and those that its slots use, by name.
    pub claims: BTreeMap<String, Arc<ClaimView>>,
    /// The nodes that the Pods name; one that is missing does not exist any more. `None` when the operator may not
    /// read nodes: then nothing is known about them.
    pub nodes: Option<BTreeMap<String, NodeView>>,
    /// Whether every node of the cluster says which zone it is in.
    pub zoned: bool,
    /// What Events tell of Pods and their claims, by the UID of the Pod.
    pub events: BTreeMap<String, Vec<Arc<EventView>>>,
    /// What changed lately in the namespace that Pods may wait for.
    pub changes: Vec<Change>,
    /// Creates that the API server refused since the last decision.
    pub refusals: Vec<Refusal>,
    /// What the API server last said of a Pod of each child that it was only asked about. A new operator does not know.
    pub tried: BTreeMap<String, Try>,
    /// What the tree's status does not show although it was judged before: the Worker that remembers it was stored, and
    /// then the tree could not be.
    pub untold: Untold,
    /// Kinds that may not be watched: what is known of them may be old.
    pub unseen: Vec<Unseen>,
}

/// An answer of the API server that was asked whether it would take a Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Try {
    /// Revision of the template of the Pod.
    pub revision: String,
    /// When.
    pub at: Timestamp,
    /// What it said if it would not.
    pub refusal: Option<Refusal>,
}

/// A change of something that Pods may wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Kind: `PersistentVolumeClaim`, `ResourceQuota` or `ConfigMap`.
    pub kind: &'static str,
    /// Name.
    pub name: String,
    /// When it became known.
    pub at: Timestamp,
}

/// What the status of a tree does not show although it was judged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Untold {
    /// Faults, oldest first.
    pub faults: Vec<RecentFault>,
    /// How many restarts the tree is to have counted at least.
    pub restarts: i64,
}

/// A kind that may not be watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unseen {
    /// The kind, for example Pod.
    pub kind: &'static str,
    /// What the API server says about it.
    pub message: String,
}

/// The tree as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct TreeView {
    /// Name of the tree.
    pub name: String,
    /// Namespace of the tree.
    pub namespace: String,
    /// UID of the tree.
    pub uid: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// Whether `deletionTimestamp` is set.
    pub deleting: bool,
    /// Finalizers.
    pub finalizers: Vec<String>,
    /// The spec.
    pub spec: SupervisionTreeSpec,
    /// The status: what we remember.
    pub status: SupervisionTreeStatus,
}

/// A stored revision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RevisionView {
    /// Name of the object.
    pub name: String,
    /// UID of the object.
    pub uid: String,
    /// Version of the object.
    pub resource_version: String,
    /// Its number.
    pub number: i64,
    /// Whether `deletionTimestamp` is set.
    pub deleting: bool,
    /// The templates of the workers, by name.
    pub templates: BTreeMap<String, StoredTemplate>,
}

/// A disruption budget.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DisruptionBudgetView {
    /// Name of the object.
    pub name: String,
    /// UID of the object.
    pub uid: String,
    /// Version of the object.
    pub resource_version: String,
    /// UID of the controlling owner, empty when there is none.
    pub owner_uid: String,
    /// Whether `deletionTimestamp` is set.
    pub deleting: bool,
    /// The spec.
    pub spec: PodDisruptionBudgetSpec,
}

/// A claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimView {
    /// Name of the object.
    pub name: String,
    /// Version of the object.
    pub resource_version: String,
    /// The tree that its label names; empty for none.
    pub tree: String,
    /// The child that its label names; empty for none.
    pub child: String,
    /// The slot that its label names; below 0 for none.
    pub slot: i32,
    /// Who owns it.
    pub owners: Vec<ClaimOwner>,
    /// Whether `deletionTimestamp` is set.
    pub deleting: bool,
}

/// An owner of a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimOwner {
    /// Group and version of the kind of the owner.
    pub api_version: String,
    /// Kind of the owner.
    pub kind: String,
    /// Name of the owner.
    pub name: String,
    /// UID of the owner.
    pub uid: String,
    /// Whether it is the controlling owner.
    pub controls: bool,
}

/// A Worker object and its Pods.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerView {
    /// Name of the object.
    pub name: String,
    /// UID of the object.
    pub uid: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// Whether `deletionTimestamp` is set.
    pub deleting: bool,
    /// `spec.replicas`.
    pub replicas: i32,
    /// The status: what we remember of its slots.
    pub status: Arc<WorkerStatus>,
    /// The Pods that name this Worker's UID as controlling owner.
    pub pods: Vec<Arc<PodView>>,
}

/// What is known of a node. By default nothing bad is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeView {
    /// Since when the node's Ready condition has not been `True`; `None` while it is Ready.
    pub not_ready_since: Option<Timestamp>,
    /// Whether the Ready condition is `Unknown`: the node does not report.
    pub unreachable: bool,
    /// Whether Kubernetes has decided to evict what runs on it, because it does not report: the node carries the taint
    /// `node.kubernetes.io/unreachable` with the effect `NoExecute`. Kubernetes holds back with it when most nodes of a zone
    /// have gone silent at once, and takes it back when all have: the fault may be on its own side.
    pub evicting: bool,
    /// Whether the node carries the taint `node.kubernetes.io/out-of-service`.
    pub out_of_service: bool,
    /// The zone that its label `topology.kubernetes.io/zone` names.
    pub zone: Option<String>,
}

/// A create that the API server refused; of a disruption budget any write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Kind of the object, for example Pod.
    pub kind: &'static str,
    /// Child that the object is of.
    pub child: String,
    /// Slot of the Pod; `None` for what is no Pod.
    pub slot: Option<i32>,
    /// When.
    pub at: Timestamp,
    /// HTTP status code.
    pub code: u16,
    /// `reason` of the answer, for example Forbidden; `NameCollision` when the name is held by an object
    /// that is not ours.
    pub reason: String,
    /// Message of the answer.
    pub message: String,
}
