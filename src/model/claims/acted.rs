//! What a cluster makes of the writes about claims, where a world is acted out.
//!
//! Rule: it knows owners and nothing else of what a claim is for.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use crate::api::labels;
use crate::model::world::{ClaimOwner, ClaimView, World};

impl ClaimView {
    /// The claim that is made so.
    pub fn written(body: &Value, resource_version: String) -> Self {
        let meta = &body["metadata"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let owners = meta["ownerReferences"].as_array();
        Self {
            name: text(&meta["name"]),
            resource_version,
            tree: text(&meta["labels"][labels::TREE]),
            child: text(&meta["labels"][labels::CHILD]),
            slot: text(&meta["labels"][labels::SLOT]).parse().unwrap_or(-1),
            owners: owners
                .into_iter()
                .flatten()
                .map(ClaimOwner::written)
                .collect(),
            deleting: false,
        }
    }
}

impl ClaimOwner {
    /// The owner that a reference names.
    fn written(reference: &Value) -> Self {
        let text = |field: &str| reference[field].as_str().unwrap_or_default().to_owned();
        Self {
            api_version: text("apiVersion"),
            kind: text("kind"),
            name: text("name"),
            uid: text("uid"),
            controls: reference["controller"] == true,
        }
    }
}

impl World {
    /// Gives a claim other owners; `false` when the precondition does not hold.
    pub fn own_claim(
        &mut self,
        name: &str,
        resource_version: &str,
        owner: Option<&Value>,
        former: &[String],
    ) -> bool {
        let claim = self.claims.get_mut(name);
        let Some(claim) = claim.filter(|claim| claim.resource_version == resource_version) else {
            return false;
        };
        let claim = Arc::make_mut(claim);
        claim.owners.retain(|owner| !former.contains(&owner.uid));
        claim.owners.extend(owner.map(ClaimOwner::written));
        claim.resource_version.push('+');
        true
    }

    /// Takes away the claims whose owners are all gone, as Kubernetes does.
    pub fn collect_claims(&mut self) {
        let workers = self.workers.values();
        let pods = workers.clone().flat_map(|worker| &worker.pods);
        let uids: BTreeSet<&str> = workers
            .map(|worker| worker.uid.as_str())
            .chain(pods.map(|pod| pod.uid.as_str()))
            .collect();
        self.claims.retain(|_, claim| {
            let mut owners = claim.owners.iter();
            claim.owners.is_empty() || owners.any(|owner| uids.contains(owner.uid.as_str()))
        });
    }
}
