//! Claims: the `PersistentVolumeClaim`s of the slots of `Stable` workers, made before their Pods, and who owns them.
//!
//! Rule: a claim is made and given owners, and never deleted, changed or taken from others; whoever owns it in the end says for
//! how long it stays, and Kubernetes deletes it then. An owner is given, or taken off, before the write that makes it count.

mod acted;
mod leaving;

use serde_json::{Map, Value, json};

use super::build;
use super::decision::{Notice, Write};
use super::engine::{Engine, Mode};
use super::fault::{Class, Confidence, Fault};
use super::names;
use super::outcome::Next;
use super::pod::PodView;
use super::reasons::EventReason;
use super::replica::{Life, SlotView};
use super::tree::{Leaf, NodeId};
use super::world::{ClaimOwner, ClaimView, Refusal, TreeView, WorkerView};
use crate::api::labels;
use crate::api::v1alpha1::{ClaimRetention, ClaimTemplate, GROUP, Retention};

/// What Kubernetes calls a claim.
pub const KIND: &str = "PersistentVolumeClaim";

impl Leaf<'_> {
    /// The claims of a slot: what each is called, and what it is made from. Only slots that are told apart have any.
    pub(super) fn claims<'l>(
        &'l self,
        tree: &'l str,
        child: &'l str,
        slot: i32,
    ) -> impl Iterator<Item = (String, &'l ClaimTemplate)> {
        let templates = self.settings.volume_claim_templates.iter();
        let templates = templates.filter(|_| self.is_stable());
        templates.map(move |one| (names::claim_name(one.name(), tree, child, slot), one))
    }

    fn retention(&self) -> ClaimRetention {
        let policy = self.settings.persistent_volume_claim_retention_policy;
        policy.unwrap_or_default()
    }
}

impl TreeView {
    /// The names of the claims that the slots of this tree use, whoever made them; `replicas` says how many a child has that
    /// leaves that to others.
    pub fn claim_names<'t>(
        &'t self,
        replicas: impl Fn(&str) -> i32 + 't,
    ) -> impl Iterator<Item = String> + 't {
        let children = self.spec.children.iter();
        let workers = children.filter_map(|child| Some((child, child.worker.as_ref()?)));
        let with_claims = workers.filter(|(_, worker)| !worker.volume_claim_templates.is_empty());
        with_claims.flat_map(move |(child, worker)| {
            let count = worker.replicas.unwrap_or_else(|| replicas(&child.name));
            worker.volume_claim_templates.iter().flat_map(move |one| {
                let name = |slot| names::claim_name(one.name(), &self.name, &child.name, slot);
                (0..count).map(name)
            })
        })
    }
}

impl ClaimView {
    /// The references to owners of a slot: to its Worker, whichever had that name, and to its Pods.
    fn owners_of_slot<'c>(
        &'c self,
        worker: &'c str,
        pod: &'c str,
    ) -> impl Iterator<Item = &'c ClaimOwner> {
        let ours = [(GROUP, "Worker", worker), ("", "Pod", pod)];
        let is_ours = move |owner: &&ClaimOwner| {
            let (kind, name) = (owner.kind.as_str(), owner.name.as_str());
            ours.contains(&(owner.group(), kind, name)) && !owner.controls
        };
        self.owners.iter().filter(is_ours)
    }
}

impl ClaimOwner {
    /// The API group of its kind: others have a `Worker`, too.
    fn group(&self) -> &str {
        let group = self.api_version.split_once('/');
        group.map_or("", |(group, _)| group)
    }
}

/// The volumes of the Pod of a slot: its claims take the places of those that have their names.
pub(super) fn mount(
    spec: &mut Map<String, Value>,
    leaf: &Leaf<'_>,
    tree: &str,
    child: &str,
    slot: i32,
) {
    for (name, template) in leaf.claims(tree, child, slot) {
        let volumes = spec.entry("volumes").or_insert_with(|| json!([]));
        let Some(volumes) = volumes.as_array_mut() else {
            return;
        };
        volumes.retain(|volume| volume["name"] != template.name());
        volumes
            .push(json!({"name": template.name(), "persistentVolumeClaim": {"claimName": name}}));
    }
}

/// A claim, as it is made: owned by the Worker where it is to go with it.
fn claim(
    tree: &TreeView,
    child: &str,
    slot: i32,
    name: &str,
    template: &ClaimTemplate,
    owner: Option<Value>,
) -> Value {
    let map = |field: &str| {
        let map = template.0.pointer(&format!("/metadata/{field}"));
        map.and_then(Value::as_object).cloned().unwrap_or_default()
    };
    let mut labels = map("labels");
    labels.insert(labels::TREE.into(), tree.name.clone().into());
    labels.insert(labels::CHILD.into(), child.into());
    labels.insert(labels::SLOT.into(), slot.to_string().into());
    let mut metadata = json!({
        "name": name,
        "namespace": tree.namespace,
        "labels": labels,
        "annotations": map("annotations"),
    });
    if let Some(owner) = owner {
        metadata["ownerReferences"] = json!([owner]);
    }
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata,
        "spec": template.0["spec"],
    })
}

fn owned_by_worker(worker: &WorkerView) -> Value {
    build::owner("Worker", &worker.name, &worker.uid, false)
}

fn owned_by_pod(pod: &PodView) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid})
}

/// Whose a claim is to be.
enum Owner<'a> {
    /// Nobody's: it stays.
    Nobody,
    /// That of the Worker: it goes with it.
    Worker,
    /// That of the Pod of its slot, which is dropped: it goes with that.
    Pod(&'a PodView),
    /// Whose it is.
    Same,
}

impl Engine<'_> {
    /// Whether the claims of a slot are there, so that its Pod can be made. Those that are missing are made first; what is on
    /// its way out is waited for, because a Pod would be made on what is lost.
    pub(super) fn plan_claims(
        &self,
        id: NodeId,
        leaf: &Leaf<'_>,
        slot: i32,
        writes: &mut Vec<Write>,
    ) -> bool {
        let (tree, child) = (&self.world.tree, self.name(id));
        let Some(worker) = self.worker(id) else {
            return false;
        };
        let mut are_there = true;
        for (name, template) in leaf.claims(&tree.name, child, slot) {
            if let Some(known) = self.world.claims.get(&name) {
                are_there &= self
                    .what_is_wrong_with(known, worker, child, slot)
                    .is_none();
                continue;
            }
            are_there = false;
            let goes = leaf.retention().when_deleted == Retention::Delete;
            let owner = goes.then(|| owned_by_worker(worker));
            writes.push(Write::CreateClaim {
                child: child.to_owned(),
                slot,
                body: claim(tree, child, slot, &name, template, owner),
                name,
            });
        }
        are_there
    }

    /// Why no Pod is to be made on a claim.
    fn what_is_wrong_with(
        &self,
        known: &ClaimView,
        worker: &WorkerView,
        child: &str,
        slot: i32,
    ) -> Option<(Class, String)> {
        let (tree, name) = (&self.world.tree.name, &known.name);
        let pod = names::stable_pod_name(tree, child, slot);
        let mut owners = known.owners_of_slot(&worker.name, &pod);
        // One without our labels was made by a person, or by a StatefulSet.
        let is_labelled = !known.tree.is_empty();
        let is_ours =
            (known.tree.as_str(), known.child.as_str(), known.slot) == (tree, child, slot);
        if is_labelled && !is_ours {
            return Some((
                Class::NameCollision,
                format!(
                    "claim {name} is that of replica {} of {} in the tree {}: two replicas never write to one volume; rename the tree, the child or the claim template",
                    known.slot, known.child, known.tree
                ),
            ));
        }
        if known.deleting {
            return Some((
                Class::PvcUnbound,
                format!(
                    "claim {name} is being deleted, with what is on it: the Pod waits until it is gone, and then has a new one"
                ),
            ));
        }
        let leaves = owners.find(|owner| owner.uid != worker.uid)?;
        Some((
            Class::PvcUnbound,
            format!(
                "claim {name} is owned by the {} {} of before, with which it is deleted: the Pod waits until it is gone, or is owned by that no more",
                leaves.kind, leaves.name
            ),
        ))
    }

    /// Gives the claims of all workers the owners that their policies ask for. What was refused is tried again later and later.
    /// Returns whether a claim that is to stay would go with its Worker as it is.
    pub(super) fn plan_claim_owners(&mut self, writes: &mut Vec<Write>) -> bool {
        let mut some_would_go = false;
        // An edit may be what was waited for.
        let tree = &self.world.tree;
        let is_edited = tree.generation != tree.status.observed_generation;
        let of_leaves = self.tree.leaves();
        let of_leaves =
            of_leaves.map(|(id, leaf)| (self.name(id), self.writes_of_owners(id, leaf)));
        let all: Vec<(&str, Vec<Write>)> = of_leaves.chain(self.writes_of_refused_spec()).collect();
        for (child, wanted) in all {
            let takes_off = |write: &Write| matches!(write, Write::OwnClaim { owner: None, .. });
            some_would_go |= wanted.iter().any(takes_off);
            let Some(memory) = self.memory.workers.get_mut(child) else {
                continue;
            };
            if wanted.is_empty() {
                memory.claim_owner_brake = None;
                continue;
            }
            let brake = memory.claim_owner_brake.as_ref();
            match brake.map(|brake| brake.due_time.0) {
                Some(due) if due > self.now && !is_edited => self.wake(due),
                _ => writes.extend(wanted),
            }
        }
        some_would_go
    }

    /// What gives the claims of a worker their owners. Only what is labelled as its own is touched.
    fn writes_of_owners(&self, id: NodeId, leaf: &Leaf<'_>) -> Vec<Write> {
        let mut writes = Vec::new();
        let Some(worker) = self.worker(id).filter(|worker| !worker.deleting) else {
            return writes;
        };
        for claim in self.own_claims(id, leaf) {
            let pod = names::stable_pod_name(&self.world.tree.name, self.name(id), claim.slot);
            let (owner, uid) = match self.owner_of(id, leaf, claim.slot) {
                Owner::Same => continue,
                Owner::Nobody => (None, ""),
                Owner::Worker => (Some(owned_by_worker(worker)), worker.uid.as_str()),
                Owner::Pod(pod) => (Some(owned_by_pod(pod)), pod.uid.as_str()),
            };
            let former = claim.owners_of_slot(&worker.name, &pod);
            let former: Vec<String> = former
                .filter(|owner| owner.uid != uid)
                .map(|owner| owner.uid.clone())
                .collect();
            let owner = owner.filter(|_| !claim.owners.iter().any(|owner| owner.uid == uid));
            if owner.is_some() || !former.is_empty() {
                writes.push(Write::OwnClaim {
                    child: self.name(id).to_owned(),
                    name: claim.name.clone(),
                    resource_version: claim.resource_version.clone(),
                    owner,
                    former,
                });
            }
        }
        writes
    }

    /// A change of owners was refused, as where `OwnerReferencesPermissionEnforcement` asks for the right to delete claims:
    /// people are told once.
    pub(super) fn refuse_claim_owner(&mut self, refusal: &Refusal, fault: &Fault) {
        let (child, at) = (&refusal.child, refusal.at);
        if self.brake_worker(child, at, |memory| &mut memory.claim_owner_brake) != 1 {
            return;
        }
        self.notices.push(Notice {
            warning: true,
            reason: EventReason::ClaimOwnerNotStored.as_str().to_owned(),
            action: "Own",
            child: refusal.child.clone(),
            what: "has claims without the owner that persistentVolumeClaimRetentionPolicy asks for: dropped replicas, and the deletion of the tree, wait for that".to_owned(),
            why: fault.message.clone(),
            next: Some(Next::TriedAgain),
            ..Notice::default()
        });
    }

    /// Whether the Pod of a slot that is dropped owns its claims by now, where they are to go with it.
    pub(super) fn owns_its_claims(&self, id: NodeId, leaf: &Leaf<'_>, pod: &PodView) -> bool {
        let mut own = self.own_claims_of_slot(id, leaf, pod.slot);
        leaf.retention().when_scaled == Retention::Retain
            || own.all(|claim| claim.owners.iter().any(|owner| owner.uid == pod.uid))
    }

    /// The claims of a worker that carry its labels and are not on their way out. One that somebody else controls is theirs.
    fn own_claims<'e>(
        &'e self,
        id: NodeId,
        leaf: &'e Leaf<'_>,
    ) -> impl Iterator<Item = &'e ClaimView> {
        let (tree, child) = (&self.world.tree.name, self.name(id));
        let has_any = !leaf.settings.volume_claim_templates.is_empty();
        let all = self.world.claims.values().filter(move |_| has_any);
        all.map(|claim| &**claim).filter(move |claim| {
            let mut named = leaf.claims(tree, child, claim.slot);
            self.is_own_claim(child, claim) && named.any(|(name, _)| name == claim.name)
        })
    }

    /// Those of one slot.
    fn own_claims_of_slot<'e>(
        &'e self,
        id: NodeId,
        leaf: &'e Leaf<'_>,
        slot: i32,
    ) -> impl Iterator<Item = &'e ClaimView> {
        let named = leaf.claims(&self.world.tree.name, self.name(id), slot);
        let known = named.filter_map(|(name, _)| self.world.claims.get(&name));
        let known = known.map(|claim| &**claim);
        known.filter(move |claim| claim.slot == slot && self.is_own_claim(self.name(id), claim))
    }

    fn is_own_claim(&self, child: &str, claim: &ClaimView) -> bool {
        let is_labelled = claim.tree == self.world.tree.name && claim.child == child;
        is_labelled && !claim.deleting && !claim.owners.iter().any(|owner| owner.controls)
    }

    /// A slot that was dropped and has no Pod any more was dropped by the policy of that time; if its claim stayed, it stays
    /// whatever happens from now on.
    fn owner_of(&self, id: NodeId, leaf: &Leaf<'_>, slot: i32) -> Owner<'_> {
        let policy = leaf.retention();
        let by_worker = match policy.when_deleted {
            Retention::Delete => Owner::Worker,
            Retention::Retain => Owner::Nobody,
        };
        if (0..self.replicas_wanted(id, leaf)).contains(&slot) {
            return by_worker;
        }
        let tree = &self.world.tree.name;
        let mut pods = self.worker(id).into_iter().flat_map(|worker| &worker.pods);
        let pod = pods.find(|pod| {
            pod.slot == slot && names::is_stable_pod_name(&pod.name, tree, self.name(id), slot)
        });
        match (pod, policy.when_scaled) {
            (Some(pod), Retention::Delete) => Owner::Pod(pod),
            (Some(_), Retention::Retain) => by_worker,
            (None, _) if policy.when_deleted == Retention::Delete => Owner::Same,
            (None, _) if self.is_left_to_pods(id, leaf, slot) => Owner::Same,
            (None, _) => Owner::Nobody,
        }
    }

    /// Whether the claims of a slot go with a Pod that is gone: Kubernetes deletes them in a moment.
    fn is_left_to_pods(&self, id: NodeId, leaf: &Leaf<'_>, slot: i32) -> bool {
        let pod = names::stable_pod_name(&self.world.tree.name, self.name(id), slot);
        let mut own = self.own_claims_of_slot(id, leaf, slot);
        own.any(|claim| claim.owners_of_slot("", &pod).next().is_some())
    }

    /// What keeps the Pod of a slot from being made: a claim that goes, or is somebody else's.
    pub(super) fn claim_in_the_way(
        &self,
        id: NodeId,
        leaf: &Leaf<'_>,
        view: &SlotView<'_>,
        life: Life,
    ) -> Option<Fault> {
        if life.finished || self.mode(id) != Mode::Up {
            return None;
        }
        let (worker, child) = (self.worker(id)?, self.name(id));
        let mut claims = leaf.claims(&self.world.tree.name, child, view.slot);
        let (class, message) = claims.find_map(|(name, _)| {
            let known = self.world.claims.get(&name)?;
            self.what_is_wrong_with(known, worker, child, view.slot)
        })?;
        Some(Fault::new(class, Confidence::Proved, &message, None))
    }
}
