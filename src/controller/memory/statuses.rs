//! What the statuses of a tree and its Workers were when we last wrote or read them.
//!
//! Rule: a status that is none of these was written by another operator, which knew of more than our views may show.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::kinds::{TreeItem, WorkerItem};
use super::super::views::Snapshot;

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
    pub(super) fn of_snapshot(snapshot: &Snapshot) -> Self {
        Self::of(
            &snapshot.tree,
            snapshot.workers.iter().map(|(worker, _)| worker),
        )
    }

    /// We wrote the tree.
    pub(super) fn wrote_tree(&mut self, tree: &Arc<TreeItem>) {
        self.tree = Arc::clone(tree);
    }

    /// We wrote that Worker.
    pub(super) fn wrote_worker(&mut self, worker: &Arc<WorkerItem>) {
        self.workers
            .insert(worker.key.name.clone(), Arc::clone(worker));
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
