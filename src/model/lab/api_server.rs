//! The API server of the lab: what becomes of a write.
//!
//! Rule: it refuses what a real one refuses; what nobody should ask for fails the test.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::Lab;
use crate::api::labels;
use crate::api::v1alpha1::WorkerStatus;
use crate::model::claims;
use crate::model::decision::Write;
use crate::model::in_place;
use crate::model::pod::{
    ContainerState, ContainerView, ImageMark, PodCondition, PodConditionType, PodPhase,
    PodSpecView, PodView, RareView, RestartPolicy,
};
use crate::model::revisions::StoredTemplate;
use crate::model::tree::ROOT_NAME;
use crate::model::window::after;
use crate::model::world::{ClaimView, Refusal, RevisionView, Try, WorkerView};

/// How long Kubernetes waits for a Pod that does not say, in seconds.
const DEFAULT_GRACE: i64 = 30;

impl Lab {
    /// `false` when a precondition does not hold.
    pub(super) fn execute(&mut self, write: Write) -> bool {
        match write {
            Write::AddFinalizer => {
                self.log.push("finalizer on".into());
                self.tree_mut().finalizers.push(labels::FINALIZER.into());
            }
            Write::RemoveFinalizer => {
                self.log.push("finalizer off".into());
                self.tree_mut().finalizers.clear();
            }
            Write::CreateRevision { name, body } => self.create_revision(name, &body),
            Write::NumberRevision {
                resource_version,
                number,
                ..
            } => {
                if self.refuses_change(|r| r.kind == "ControllerRevision") {
                    return true;
                }
                let mut stored = self.world.revisions.iter_mut();
                let stored = stored.find(|one| one.resource_version == resource_version);
                Arc::make_mut(stored.expect("it is there")).number = number;
            }
            Write::DeleteRevision { uid, .. } => self.world.revisions.retain(|one| one.uid != uid),
            Write::CreateDisruptionBudget { child, body, .. } => {
                self.create_disruption_budget(&child, &body);
            }
            Write::PatchDisruptionBudget { known, spec, .. } => {
                return self.patch_disruption_budget(&known, *spec);
            }
            Write::DeleteDisruptionBudget { uid, .. } => {
                self.disruption_budgets_mut().retain(|one| one.uid != uid);
            }
            Write::CreateWorker { child, name, body } => self.create_worker(child, name, &body),
            Write::DeleteWorker { uid, .. } => {
                self.world.workers.retain(|_, w| w.uid != uid);
                self.collect_garbage();
            }
            Write::Scale {
                child,
                replicas,
                notice,
                ..
            } => {
                self.events.extend(notice.map(|notice| notice.reason));
                self.log.push(format!("scale {child} {replicas}"));
                self.world.workers.get_mut(&child).unwrap().replicas = replicas;
            }
            Write::TryPod {
                child, revision, ..
            } => self.try_pod(child, revision),
            Write::CreateClaim {
                child,
                slot,
                name,
                body,
            } => self.create_claim(&child, slot, name, &body),
            own @ Write::OwnClaim { .. } => return self.own_claim(own),
            Write::CreatePod {
                child,
                slot,
                name,
                body,
                ..
            } => self.create_pod(&child, slot, name, &body),
            Write::PatchPod { .. } => return self.patch_pod(&write),
            Write::DeletePod {
                name,
                uid,
                resource_version,
                why,
                ..
            } => {
                let is_as_seen = |pod: &PodView| {
                    pod.uid == uid
                        && resource_version
                            .as_ref()
                            .is_none_or(|version| *version == pod.resource_version)
                };
                if !self.pods().any(is_as_seen) {
                    return false;
                }
                self.log
                    .push(format!("delete {} ({why})", self.slot_name(&uid)));
                self.delete(&name, &uid);
            }
        }
        true
    }

    fn own_claim(&mut self, write: Write) -> bool {
        let Write::OwnClaim {
            child,
            name,
            resource_version,
            owner,
            former,
        } = write
        else {
            return true;
        };
        let is_owner = |r: &Refusal| r.kind == claims::KIND && r.child == child && r.slot.is_none();
        if self.refuses_change(is_owner) {
            return true;
        }
        self.log.push(format!("own {name}"));
        let owner = owner.as_ref();
        self.world
            .own_claim(&name, &resource_version, owner, &former)
    }

    /// Whether a change is refused that is like this.
    fn refuses_change(&mut self, is_meant: impl FnOnce(&Refusal) -> bool) -> bool {
        let Some(refusal) = self.refuse_creates.clone().filter(is_meant) else {
            return false;
        };
        self.log
            .push(format!("refused a change of a {}", refusal.kind));
        let at = self.now;
        self.world.refusals.push(Refusal { at, ..refusal });
        true
    }

    fn create_worker(&mut self, child: String, name: String, body: &Value) {
        let replicas = body["spec"]["replicas"].as_i64().unwrap_or(1);
        self.uid += 1;
        let worker = WorkerView {
            name,
            uid: format!("worker-{child}-{}", self.uid),
            generation: 1,
            deleting: false,
            replicas: replicas.try_into().unwrap(),
            status: WorkerStatus::default().into(),
            pods: Vec::new(),
        };
        assert!(
            self.world.workers.insert(child, worker).is_none(),
            "a Worker was created twice"
        );
    }

    fn try_pod(&mut self, child: String, revision: String) {
        let refusal = self.refuse_creates.clone();
        let refusal = refusal.filter(|refusal| refusal.child == child && refusal.kind == "Pod");
        self.tries.push(child.clone());
        let answer = Try {
            revision,
            at: self.now,
            refusal,
        };
        self.world.tried.insert(child, answer);
    }

    fn create_revision(&mut self, name: String, body: &Value) {
        let templates = StoredTemplate::all_in(&body["data"]);
        if self.refuses_change(|r| r.kind == "ControllerRevision") {
            return;
        }
        let holder = self.world.revisions.iter().find(|one| one.name == name);
        if let Some(holder) = holder {
            assert_ne!(holder.templates, templates, "a revision was created twice");
            self.log.push(format!("refused {name}"));
            self.world.refusals.push(name_collision(self.now));
            return;
        }
        self.world.revisions.push(Arc::new(RevisionView {
            uid: format!("uid-of-{name}"),
            resource_version: format!("1-of-{name}"),
            number: body["revision"].as_i64().unwrap(),
            deleting: false,
            templates,
            name,
        }));
    }

    fn slot_name(&self, uid: &str) -> String {
        self.pods()
            .find(|p| p.uid == uid)
            .map_or_else(String::new, |p| format!("{}/{}", p.child, p.slot))
    }

    /// Whether the create of what belongs to a slot is refused.
    fn refuses(&mut self, kind: &str, child: &str, slot: i32) -> bool {
        let refused = self.refuse_creates.clone();
        let of_slot = |r: &Refusal| {
            r.kind == kind && r.child == child && r.slot.is_none_or(|named| named == slot)
        };
        let Some(refusal) = refused.filter(of_slot) else {
            return false;
        };
        self.log.push(format!("refused {child}/{slot}"));
        self.world.refusals.push(Refusal {
            at: self.now,
            slot: Some(slot),
            ..refusal
        });
        true
    }

    fn create_claim(&mut self, child: &str, slot: i32, name: String, body: &Value) {
        if self.refuses("PersistentVolumeClaim", child, slot) {
            return;
        }
        self.log.push(format!("claim {name}"));
        self.uid += 1;
        let claim = ClaimView::written(body, self.uid.to_string());
        let known = self.world.claims.insert(name, Arc::new(claim));
        assert!(known.is_none(), "a claim was created twice");
    }

    /// The claims that a Pod mounts are there, and stay.
    fn assert_claimed(&self, body: &Value) {
        let volumes = body["spec"]["volumes"].as_array();
        let names = volumes.into_iter().flatten();
        let names = names.filter_map(|one| one["persistentVolumeClaim"]["claimName"].as_str());
        for name in names {
            let known = self.world.claims.get(name);
            let stays = known.is_some_and(|claim| {
                !claim.deleting && !claim.owners.iter().any(|owner| owner.kind == "Pod")
            });
            assert!(stays, "a Pod is made on {name}: {known:?}");
        }
    }

    fn create_pod(&mut self, child: &str, slot: i32, name: String, body: &Value) {
        if self.refuses("Pod", child, slot) {
            return;
        }
        self.assert_claimed(body);
        self.log.push(format!("create {child}/{slot}"));
        let grace = body["spec"]["terminationGracePeriodSeconds"].as_i64();
        let image = &body["spec"]["containers"][0]["image"];
        self.images
            .insert(name.clone(), image.as_str().unwrap_or_default().to_owned());
        self.graces
            .insert(name.clone(), grace.unwrap_or(DEFAULT_GRACE));
        self.uid += 1;
        let now = self.now;
        let worker = self.world.workers.get_mut(child).unwrap();
        assert!(
            worker.pods.iter().all(|p| p.name != name),
            "the name {name} is taken"
        );
        let live = worker
            .pods
            .iter()
            .filter(|p| p.slot == slot && !p.is_deleting() && !p.is_terminal());
        assert_eq!(
            live.count(),
            0,
            "slot {child}/{slot} has a live Pod already"
        );
        worker.pods.push(Arc::new(PodView {
            name,
            uid: format!("pod-{:032}", self.uid),
            resource_version: self.uid.to_string(),
            owner_uid: worker.uid.clone(),
            child: child.into(),
            slot,
            revision: body["metadata"]["labels"][labels::REVISION]
                .as_str()
                .unwrap()
                .into(),
            node: None,
            created: now,
            deletion: None,
            deletion_grace_seconds: None,
            phase: PodPhase::Pending,
            reason: None,
            message: None,
            incarnation: body["metadata"]["labels"][labels::INCARNATION]
                .as_str()
                .unwrap()
                .parse()
                .unwrap(),
            restart_policy: RestartPolicy::of(body["spec"]["restartPolicy"].as_str().unwrap()),
            conditions: vec![PodCondition {
                type_: PodConditionType::Ready,
                is_true: false,
                reason: String::new(),
                message: String::new(),
                changed: Some(now),
            }],
            containers: vec![ContainerView {
                name: "app".into(),
                judged: true,
                state: ContainerState::Waiting {
                    reason: "ContainerCreating".into(),
                    message: String::new(),
                },
                last: None,
                restarts: 0,
                ready: false,
                image: ImageMark::default(),
            }],
            init_containers: Vec::new(),
            is_observed: true,
            spec: Arc::new(PodSpecView::written(body)),
            rare: RareView::written(body),
        }));
    }

    fn patch_pod(&mut self, write: &Write) -> bool {
        let Write::PatchPod {
            child,
            slot,
            name,
            uid,
            resource_version,
            revision,
            images,
        } = write
        else {
            return true;
        };
        if self.refuses(in_place::KIND, child, *slot) {
            return true;
        }
        let is_as_seen = |pod: &PodView| {
            pod.name == *name && pod.uid == *uid && pod.resource_version == *resource_version
        };
        if !self.pods().any(is_as_seen) {
            return false;
        }
        self.log.push(format!("patch {child}/{slot}"));
        self.images.insert(name.clone(), images[0].1.clone());
        let pod = self.pod_mut(child, *slot);
        pod.revision.clone_from(revision);
        pod.is_observed = false;
        for (container, image) in images {
            Arc::make_mut(&mut pod.spec).set_image(container, image);
        }
        true
    }

    pub(crate) fn delete(&mut self, name: &str, uid: &str) {
        let now = self.now;
        let grace = self.graces.get(name).copied().unwrap_or(DEFAULT_GRACE);
        for worker in self.world.workers.values_mut() {
            for pod in worker.pods.iter_mut().filter(|p| p.name == name) {
                let pod = Arc::make_mut(pod);
                assert_eq!(pod.uid, uid, "the UID precondition holds");
                let slot = format!("{}/{}", pod.child, pod.slot);
                let takes = self
                    .stopping
                    .get(&slot)
                    .or_else(|| self.stopping.get(&pod.child));
                let takes = takes.copied().unwrap_or(1);
                if takes > grace && pod.deletion.is_none() {
                    self.overran.push(slot);
                }
                let end = after(now, takes.min(grace));
                pod.deletion = pod.deletion.or(Some(end));
                pod.deletion_grace_seconds = Some(1);
            }
        }
    }
}

/// What Coppice finds where the name of a revision is held by what it did not make.
pub(crate) fn name_collision(at: Timestamp) -> Refusal {
    Refusal {
        kind: "ControllerRevision",
        child: ROOT_NAME.to_owned(),
        slot: None,
        at,
        code: 409,
        reason: "NameCollision".to_owned(),
        message: "controllerrevisions.apps already exists".to_owned(),
    }
}
