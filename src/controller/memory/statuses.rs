//! What the statuses of a tree and its Workers were when we last wrote or read them.
//!
//! Rule: a status that is none of these was written by another operator, which knew of more than our views may show.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::kinds::{TreeItem, WorkerItem};
use super::super::store::ObjectKey;
use super::super::views::{Snapshot, Views};
use super::{Behind, Memories, Written};

/// The statuses that we know the ground of.
#[derive(Clone, Debug)]
pub(in crate::controller) struct Statuses {
    tree: Arc<TreeItem>,
    /// By name of the Worker.
    workers: BTreeMap<String, Arc<WorkerItem>>,
}

impl Statuses {
    /// The statuses as they are in these objects.
    pub(in crate::controller) fn of<'a>(
        tree: &Arc<TreeItem>,
        workers: impl IntoIterator<Item = &'a Arc<WorkerItem>>,
    ) -> Self {
        let workers = workers.into_iter();
        Self {
            tree: Arc::clone(tree),
            workers: workers
                .map(|worker| (worker.key.name.clone(), Arc::clone(worker)))
                .collect(),
        }
    }

    /// The statuses of a snapshot.
    fn of_snapshot(snapshot: &Snapshot) -> Self {
        Self::of(
            &snapshot.tree,
            snapshot.workers.iter().map(|(worker, _)| worker),
        )
    }

    /// Whether the objects have these statuses, whatever else of them was edited.
    pub(super) fn are_those_of<'a>(
        &self,
        tree: &Arc<TreeItem>,
        workers: impl IntoIterator<Item = &'a Arc<WorkerItem>>,
    ) -> bool {
        is_same_tree(&self.tree, tree)
            && workers.into_iter().all(|worker| {
                let known = self.workers.get(&worker.key.name);
                known.map_or_else(
                    || remembers_nothing(worker),
                    |known| is_same_worker(known, worker),
                )
            })
    }
}

impl Memories {
    /// The tree and its Workers are looked at. A status that somebody else wrote shows that another operator is at work:
    /// what it knew may be newer than the rest of what is known here.
    pub(in crate::controller) fn looked(&self, tree: &ObjectKey, snapshot: &Snapshot) {
        let mut memories = self.lock();
        let memory = memories.entry(tree.clone()).or_default();
        let workers = snapshot.workers.iter().map(|(worker, _)| worker);
        match &memory.statuses {
            Some(known) if !known.are_those_of(&snapshot.tree, workers) => {
                memory.behind.get_or_insert(Behind::Foreign);
            }
            _ => memory.statuses = Some(Statuses::of_snapshot(snapshot)),
        }
    }

    /// We wrote an object of the tree, which got that version.
    pub(in crate::controller) fn wrote_version(
        &self,
        tree: &ObjectKey,
        (kind, name): (Written, &str),
        version: &str,
        views: &Views,
    ) {
        let mut memories = self.lock();
        let memory = memories.get_mut(tree);
        let Some(statuses) = memory.and_then(|memory| memory.statuses.as_mut()) else {
            return;
        };
        // What is newer already was written by somebody else.
        let key = ObjectKey::new(tree.namespace.as_str(), name);
        match kind {
            Written::Tree => {
                let item = views.trees.get(&key);
                if let Some(item) = item.filter(|item| item.resource_version == version) {
                    statuses.tree = Arc::clone(item);
                }
            }
            Written::Worker => {
                let item = views.workers.get(&key);
                if let Some(item) = item.filter(|item| item.resource_version == version) {
                    let item = Arc::clone(item);
                    statuses.workers.insert(name.to_owned(), item);
                }
            }
            Written::Revision | Written::Claim | Written::DisruptionBudget | Written::Pod => {}
        }
    }

    /// All of the tree was read, and nothing before these statuses.
    pub(in crate::controller) fn read(&self, tree: &ObjectKey, statuses: Statuses) {
        self.lock().entry(tree.clone()).or_default().statuses = Some(statuses);
    }

    /// Whether the statuses of the tree and its Workers are still those that we know.
    pub(in crate::controller) fn are_known(&self, tree: &ObjectKey, views: &Views) -> bool {
        let memories = self.lock();
        let known = memories
            .get(tree)
            .and_then(|memory| memory.statuses.as_ref());
        let (Some(known), Some(item)) = (known, views.trees.get(tree)) else {
            return true;
        };
        known.are_those_of(item, views.workers.owned_by(&item.uid))
    }
}

fn is_same_tree(known: &Arc<TreeItem>, tree: &Arc<TreeItem>) -> bool {
    Arc::ptr_eq(known, tree)
        || known.uid == tree.uid
            && match (&known.view, &tree.view) {
                (Ok(known), Ok(tree)) => known.status == tree.status,
                _ => known.resource_version == tree.resource_version,
            }
}

fn is_same_worker(known: &Arc<WorkerItem>, worker: &Arc<WorkerItem>) -> bool {
    Arc::ptr_eq(known, worker)
        || match (&known.view, &worker.view) {
            (Ok(old), Ok(new)) if known.uid == worker.uid => old.status == new.status,
            (Ok(_) | Err(_), Ok(_)) => remembers_nothing(worker),
            _ => known.resource_version == worker.resource_version,
        }
}

/// Whether nobody has written anything into the status of that Worker yet.
fn remembers_nothing(worker: &WorkerItem) -> bool {
    let view = worker.view.as_ref();
    view.is_ok_and(|view| view.status.slots.is_empty() && !view.status.started)
}
