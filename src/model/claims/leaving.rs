//! Claims of what is on its way out: of a tree whose spec is refused, and of the Pods of slots that are dropped.
//!
//! Rule: what is to stay has no owner, and what is to go has one, before that owner goes.

use super::Owner;
use crate::api::v1alpha1::Retention;
use crate::model::decision::Write;
use crate::model::engine::Engine;
use crate::model::pod::PodView;
use crate::model::tree::{Leaf, NodeId};
use crate::model::world::WorkerView;

impl<'a> Engine<'a> {
    /// What takes claims that are to stay off the Workers of a tree that goes and whose spec is refused, by child. None of its
    /// children is a node then, and still each says what is to become of its claims.
    pub(super) fn writes_of_refused_spec(&self) -> impl Iterator<Item = (&'a str, Vec<Write>)> {
        let workers = self.world.workers.iter();
        let unknown = workers.filter(|(child, _)| {
            self.world.tree.deleting && !self.tree.has_worker(child) && self.keeps_claims(child)
        });
        unknown.map(|(child, worker)| (child.as_str(), self.writes_of_disowning(child, worker)))
    }

    /// Whether the spec, as it is written, has that worker and does not say that its claims go with it.
    fn keeps_claims(&self, child: &str) -> bool {
        let children = self.world.tree.spec.children.iter();
        let mut settings = children
            .filter(|known| known.name == child)
            .filter_map(|known| known.worker.as_ref());
        settings.any(|settings| {
            let policy = settings.persistent_volume_claim_retention_policy;
            policy.unwrap_or_default().when_deleted == Retention::Retain
        })
    }

    /// What takes a Worker off all claims that carry its labels.
    fn writes_of_disowning(&self, child: &str, worker: &WorkerView) -> Vec<Write> {
        let all = self.world.claims.values();
        let owned = all.filter(|claim| {
            self.is_own_claim(child, claim) && claim.owners.iter().any(|o| o.uid == worker.uid)
        });
        let disowning = owned.map(|claim| Write::OwnClaim {
            child: child.to_owned(),
            name: claim.name.clone(),
            resource_version: claim.resource_version.clone(),
            owner: None,
            former: vec![worker.uid.clone()],
        });
        disowning.collect()
    }

    /// Whether a Pod that is to stop is not deleted yet: its slot is dropped, its claims are to go with it, and it does not own
    /// them so far. Nothing waits for an owner that was refused.
    pub(in crate::model) fn awaits_its_claims(
        &self,
        id: NodeId,
        leaf: &Leaf<'_>,
        pod: &PodView,
    ) -> bool {
        let memory = self.memory.workers.get(self.name(id));
        let may_be_given = !self.world.tree.deleting
            && self.worker(id).is_some_and(|worker| !worker.deleting)
            && memory.is_some_and(|memory| memory.claim_owner_brake.is_none());
        let is_to_own = |pod: &PodView| match self.owner_of(id, leaf, pod.slot) {
            Owner::Pod(owner) => owner.uid == pod.uid,
            _ => false,
        };
        may_be_given && is_to_own(pod) && !self.owns_its_claims(id, leaf, pod)
    }
}
