//! What is kept of an object of each kind.
//!
//! Rule: two versions of an object are the same when no decision could tell them apart.

use std::sync::Arc;

use super::super::room::Room;
use super::super::store::{Item, ObjectKey};
use crate::api::v1alpha1::TroubleStatus;
use crate::model::fault::EventView;
use crate::model::pod::PodView;
use crate::model::world::{
    ClaimView, DisruptionBudgetView, NodeView, RevisionView, TreeView, WorkerView,
};

/// What is kept of a tree.
#[derive(Debug, PartialEq)]
pub(in crate::controller) struct TreeItem {
    pub(in crate::controller) key: ObjectKey,
    pub(in crate::controller) uid: String,
    pub(in crate::controller) resource_version: String,
    pub(in crate::controller) generation: i64,
    pub(in crate::controller) deleting: bool,
    pub(in crate::controller) finalizers: Vec<String>,
    /// The tree, or why it cannot be read.
    pub(in crate::controller) view: Result<Arc<TreeView>, String>,
}

/// What is kept of a Worker.
#[derive(Debug, PartialEq)]
pub(in crate::controller) struct WorkerItem {
    pub(in crate::controller) key: ObjectKey,
    pub(in crate::controller) uid: String,
    pub(in crate::controller) resource_version: String,
    /// UID of the controlling owner, and its name when it is a tree.
    pub(in crate::controller) owner_uid: String,
    pub(in crate::controller) tree: Option<ObjectKey>,
    pub(in crate::controller) child: String,
    /// The Worker without its Pods, or why it cannot be read.
    pub(in crate::controller) view: Result<WorkerView, String>,
}

/// What is kept of a stored revision.
#[derive(Debug, PartialEq)]
pub(in crate::controller) struct RevisionItem {
    /// UID of the controlling owner, and its name when it is a tree.
    pub(in crate::controller) owner_uid: String,
    pub(in crate::controller) tree: Option<ObjectKey>,
    pub(in crate::controller) view: Arc<RevisionView>,
}

impl Item for RevisionItem {
    fn uid(&self) -> &str {
        &self.view.uid
    }

    fn owner_uid(&self) -> &str {
        &self.owner_uid
    }

    fn same(&self, other: &Self) -> bool {
        self == other
    }
}

/// What is kept of a disruption budget.
#[derive(Debug, PartialEq)]
pub(in crate::controller) struct DisruptionBudgetItem {
    pub(in crate::controller) key: ObjectKey,
    /// Whether it is the one of a Worker, by its controlling owner and its name; all others are those of others.
    pub(in crate::controller) is_of_worker: bool,
    pub(in crate::controller) view: Arc<DisruptionBudgetView>,
}

impl Item for DisruptionBudgetItem {
    fn uid(&self) -> &str {
        &self.view.uid
    }

    fn owner_uid(&self) -> &str {
        &self.view.owner_uid
    }

    /// Its version changes with each Pod that it counts.
    fn same(&self, other: &Self) -> bool {
        let at = |version: &str| DisruptionBudgetView {
            resource_version: version.to_owned(),
            ..DisruptionBudgetView::clone(&other.view)
        };
        self.is_of_worker == other.is_of_worker && *self.view == at(&self.view.resource_version)
    }
}

/// What is kept of a Pod.
#[derive(Debug, PartialEq)]
pub(in crate::controller) struct PodItem {
    /// The tree that its label names: a hint whom to wake, never a proof of ownership.
    pub(in crate::controller) tree_label: ObjectKey,
    pub(in crate::controller) view: Arc<PodView>,
}

/// What is kept of a Node.
#[derive(Debug, PartialEq)]
pub(in crate::controller) struct NodeItem {
    pub(in crate::controller) name: String,
    pub(in crate::controller) uid: String,
    pub(in crate::controller) view: NodeView,
}

/// What is kept of an Event.
#[derive(Debug, PartialEq)]
pub(in crate::controller) struct EventItem {
    pub(in crate::controller) uid: String,
    /// What it is found by: the name of a node, or the namespace of a Pod or claim and its UID or name.
    pub(in crate::controller) about: String,
    /// The room that it takes.
    pub(in crate::controller) room: &'static Room,
    pub(in crate::controller) view: Arc<EventView>,
}

/// What is kept of an object that Pods wait for.
#[derive(Debug, PartialEq)]
pub(in crate::controller) struct WaitedItem {
    pub(in crate::controller) key: ObjectKey,
    pub(in crate::controller) uid: String,
    /// What must change for anybody to try again.
    pub(in crate::controller) says: String,
}

/// What is kept of a claim.
#[derive(Debug, PartialEq)]
pub(in crate::controller) struct ClaimItem {
    pub(in crate::controller) waited: WaitedItem,
    /// The tree that its label names, as namespace and name: a hint whom it concerns, never a proof of ownership.
    pub(in crate::controller) tree_label: String,
    pub(in crate::controller) view: Arc<ClaimView>,
}

impl Item for ClaimItem {
    fn uid(&self) -> &str {
        &self.waited.uid
    }

    fn owner_uid(&self) -> &str {
        &self.tree_label
    }

    fn same(&self, other: &Self) -> bool {
        let at = |version: &str| ClaimView {
            resource_version: version.to_owned(),
            ..ClaimView::clone(&other.view)
        };
        self.waited == other.waited && *self.view == at(&self.view.resource_version)
    }
}

impl Item for TreeItem {
    fn uid(&self) -> &str {
        &self.uid
    }

    fn owner_uid(&self) -> &'static str {
        ""
    }

    fn same(&self, other: &Self) -> bool {
        (&self.view, self.deleting, self.generation, &self.finalizers)
            == (
                &other.view,
                other.deleting,
                other.generation,
                &other.finalizers,
            )
    }
}

impl WorkerItem {
    /// Whether something keeps a slot of it from being up.
    pub(in crate::controller) fn is_troubled(&self) -> bool {
        self.troubles().next().is_some()
    }

    /// What keeps slots of it from being up.
    pub(in crate::controller) fn troubles(&self) -> impl Iterator<Item = &TroubleStatus> {
        let view = self.view.as_ref().ok();
        let slots = view.into_iter().flat_map(|view| &view.status.slots);
        slots.filter_map(|slot| slot.trouble.as_ref())
    }
}

impl Item for WorkerItem {
    fn uid(&self) -> &str {
        &self.uid
    }

    fn owner_uid(&self) -> &str {
        &self.owner_uid
    }

    fn same(&self, other: &Self) -> bool {
        (&self.view, &self.owner_uid, &self.child) == (&other.view, &other.owner_uid, &other.child)
    }
}

impl Item for PodItem {
    fn uid(&self) -> &str {
        &self.view.uid
    }

    fn owner_uid(&self) -> &str {
        &self.view.owner_uid
    }

    fn same(&self, other: &Self) -> bool {
        let at = |version: &str| PodView {
            resource_version: version.to_owned(),
            ..PodView::clone(&other.view)
        };
        self.tree_label == other.tree_label && *self.view == at(&self.view.resource_version)
    }

    /// Its claims.
    fn mentions(&self) -> &[String] {
        &self.view.spec.claims
    }
}

impl Item for NodeItem {
    fn uid(&self) -> &str {
        &self.uid
    }

    fn owner_uid(&self) -> &'static str {
        ""
    }

    fn same(&self, other: &Self) -> bool {
        self == other
    }
}

impl Item for EventItem {
    fn uid(&self) -> &str {
        &self.uid
    }

    fn owner_uid(&self) -> &str {
        &self.about
    }

    fn same(&self, other: &Self) -> bool {
        (&self.about, &self.view) == (&other.about, &other.view)
    }

    fn room(&self) -> Option<&'static Room> {
        Some(self.room)
    }
}

impl Item for WaitedItem {
    fn uid(&self) -> &str {
        &self.uid
    }

    fn owner_uid(&self) -> &'static str {
        ""
    }

    fn same(&self, other: &Self) -> bool {
        self == other
    }
}
