//! What a decision has the cluster do: statuses stored, objects created and deleted.
//!
//! Rule: a precondition that does not hold ends the writes, and a refusal those of its child, as on a real cluster.

use std::sync::Arc;

use serde_json::Value;

use super::Cluster;
use crate::api::labels;
use crate::api::v1alpha1::WorkerStatus;
use crate::model::decision::{Decision, Write};
use crate::model::revisions::StoredTemplate;
use crate::model::world::{ClaimView, Refusal, RevisionView, Try, WorkerView};
use crate::simulate::pods;

impl Cluster {
    /// Stores what a decision says, and makes its writes. Returns whether anything has changed.
    pub(in crate::simulate) fn carry_out(&mut self, decision: &Decision) -> bool {
        self.world.refusals.clear();
        let mut changed = false;
        if decision.tree_status != self.world.tree.status {
            Arc::make_mut(&mut self.world.tree).status = decision.tree_status.clone();
            changed = true;
        }
        for (child, status) in &decision.worker_statuses {
            let stored = self.world.workers.get_mut(child);
            if let Some(stored) = stored.filter(|stored| *stored.status != *status) {
                stored.status = Arc::new(status.clone());
                changed = true;
            }
        }
        for write in &decision.writes {
            changed = true;
            if !self.write(write) {
                break;
            }
        }
        changed
    }

    /// `false` when a precondition does not hold.
    fn write(&mut self, write: &Write) -> bool {
        match write {
            Write::AddFinalizer => {
                let tree = Arc::make_mut(&mut self.world.tree);
                tree.finalizers.push(labels::FINALIZER.to_owned());
            }
            Write::RemoveFinalizer => Arc::make_mut(&mut self.world.tree).finalizers.clear(),
            Write::CreateRevision { name, body } => {
                let revision = RevisionView {
                    name: name.clone(),
                    uid: name.clone(),
                    resource_version: name.clone(),
                    number: body["revision"].as_i64().unwrap_or_default(),
                    deleting: false,
                    templates: StoredTemplate::all_in(&body["data"]),
                };
                self.world.revisions.push(Arc::new(revision));
            }
            Write::NumberRevision { name, number, .. } => {
                let mut stored = self.world.revisions.iter_mut();
                if let Some(stored) = stored.find(|one| one.name == *name) {
                    Arc::make_mut(stored).number = *number;
                }
            }
            Write::DeleteRevision { uid, .. } => {
                self.world.revisions.retain(|one| one.uid != *uid);
            }
            // A story tells of no evictions that they could hold up.
            Write::CreateDisruptionBudget { .. }
            | Write::PatchDisruptionBudget { .. }
            | Write::DeleteDisruptionBudget { .. } => {}
            Write::CreateWorker { child, name, body } => self.create_worker(child, name, body),
            Write::DeleteWorker { child, .. } => {
                self.world.workers.remove(child);
            }
            Write::Scale {
                child, replicas, ..
            } => {
                if let Some(worker) = self.world.workers.get_mut(child) {
                    worker.replicas = *replicas;
                }
            }
            Write::CreateClaim { name, body, .. } => {
                let claim = ClaimView::written(body, name.clone());
                self.world.claims.insert(name.clone(), Arc::new(claim));
            }
            Write::OwnClaim {
                name,
                resource_version,
                owner,
                former,
                ..
            } => {
                let owner = owner.as_ref();
                return self.world.own_claim(name, resource_version, owner, former);
            }
            Write::CreatePod {
                child,
                slot,
                name,
                body,
                ..
            } => self.create_pod(child, *slot, name, body),
            Write::TryPod {
                child, revision, ..
            } => self.try_pod(child, revision),
            Write::PatchPod {
                child,
                name,
                revision,
                images,
                ..
            } => {
                let now = self.now;
                let worker = self.world.workers.get_mut(child);
                let mut pods = worker.into_iter().flat_map(|worker| &mut worker.pods);
                if let Some(pod) = pods.find(|pod| pod.name == *name) {
                    pods::change(Arc::make_mut(pod), revision, images, now);
                }
            }
            Write::DeletePod {
                child, name, uid, ..
            } => return self.delete_pod(child, name, uid),
        }
        true
    }

    fn create_worker(&mut self, child: &str, name: &str, body: &Value) {
        let replicas = body["spec"]["replicas"].as_i64().unwrap_or(1);
        let worker = WorkerView {
            name: name.to_owned(),
            uid: format!("worker-{child}"),
            generation: 1,
            deleting: false,
            replicas: i32::try_from(replicas).unwrap_or(1),
            status: Arc::new(WorkerStatus::default()),
            pods: Vec::new(),
        };
        self.world.workers.insert(child.to_owned(), worker);
    }

    fn create_pod(&mut self, child: &str, slot: i32, name: &str, body: &Value) {
        let refused = |one: &Refusal| one.child == child && one.slot == Some(slot);
        if self.world.refusals.iter().any(|one| one.child == child) {
            // What was refused to a child is not tried for the rest of it.
            return;
        }
        self.begin_refusal(child, slot);
        if let Some(active) = self.refusals.iter().find(|one| refused(&one.refusal)) {
            self.world.refusals.push(Refusal {
                at: self.now,
                ..active.refusal.clone()
            });
            return;
        }
        self.names += 1;
        let uid = format!("pod-{:06}", self.names);
        let pod = pods::created(body, name.to_owned(), uid, child, slot, self.now);
        if let Some(worker) = self.world.workers.get_mut(child) {
            worker.pods.push(Arc::new(pod));
        }
    }

    fn try_pod(&mut self, child: &str, revision: &str) {
        let answer = Try {
            revision: revision.to_owned(),
            at: self.now,
            refusal: None,
        };
        self.world.tried.insert(child.to_owned(), answer);
    }

    fn delete_pod(&mut self, child: &str, name: &str, uid: &str) -> bool {
        let now = self.now;
        let Some(worker) = self.world.workers.get_mut(child) else {
            return false;
        };
        let mut pods = worker.pods.iter_mut();
        match pods.find(|pod| pod.name == name && pod.uid == uid) {
            Some(pod) => pods::delete(Arc::make_mut(pod), now),
            None => return false,
        }
        true
    }
}
