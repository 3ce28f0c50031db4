//! What became of claims in a run: which of them went, which stayed, and whose they are in the end.
//!
//! Rule: it is judged by specs, Workers and Pods; that somebody owned a claim is no excuse for its loss.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::kind::Kind;
use super::objects::{child_of, children, replicas_of, slot_of, uid_of};
use super::plan::Blow;
use super::run::TREE;
use super::server::Change;
use super::world::World;
use crate::model::names;

/// Claims that are lost, or left over; of a tree that is as its spec asks, also those that are owned by others than its policy
/// says.
pub(super) fn wrong_claims(world: &World, is_settled: bool) -> Vec<String> {
    let mut history = History::default();
    for change in &world.server.changes {
        history.follow(change);
    }
    // Nothing that is to stop waits for an owner that is refused, and the claim stays then.
    let is_refused = |blow: &Blow| matches!(blow, Blow::Fails(403 | 422));
    if !world.plan.writes.values().any(is_refused) {
        history.look_for_leftovers();
    }
    if is_settled {
        history.look_at_owners(world);
    }
    history.wrong
}

/// What is known after each change.
#[derive(Default)]
struct History {
    /// What a tree last said of each worker, also when it was refused, or is gone.
    settings: BTreeMap<String, Value>,
    /// UID and replicas of the Worker of each child.
    workers: BTreeMap<String, (String, i64)>,
    /// The names of all Pods.
    pods: BTreeSet<String>,
    /// The claims that belong to slots, by name.
    claims: BTreeMap<String, Claim>,
    wrong: Vec<String>,
}

struct Claim {
    child: String,
    slot: i64,
    /// The Pod of its slot owns it.
    is_pods: bool,
    /// Its slot was dropped while it had a Pod, and the claim is to go with that.
    is_dropped: bool,
}

impl History {
    fn follow(&mut self, change: &Change) {
        let (kind, _, name) = &change.address;
        match (kind, &change.after) {
            (Kind::Tree, Some(tree)) => {
                for child in children(tree).iter().filter(|c| c["worker"].is_object()) {
                    let name = child["name"].as_str().unwrap_or_default().to_owned();
                    self.settings.insert(name, child["worker"].clone());
                }
            }
            (Kind::Worker, Some(worker)) => {
                let known = (uid_of(worker).to_owned(), replicas_of(worker));
                self.workers.insert(child_of(worker).to_owned(), known);
            }
            (Kind::Worker, None) => {
                let gone = change.before.as_deref().map(child_of);
                self.workers.remove(gone.unwrap_or_default());
            }
            (Kind::Pod, Some(_)) => drop(self.pods.insert(name.clone())),
            (Kind::Pod, None) => drop(self.pods.remove(name)),
            (Kind::Claim, Some(claim)) if slot_of(claim) >= 0 => self.note_claim(name, claim),
            (Kind::Claim, None) => self.judge_end(name),
            _ => return,
        }
        self.note_drops();
    }

    fn note_claim(&mut self, name: &str, claim: &Value) {
        let owners = claim["metadata"]["ownerReferences"].as_array();
        let is_pods = owners.into_iter().flatten().any(|o| o["kind"] == "Pod");
        let known = self.claims.entry(name.to_owned());
        let known = known.or_insert_with(|| Claim {
            child: child_of(claim).to_owned(),
            slot: slot_of(claim),
            is_pods,
            is_dropped: false,
        });
        // Its slot is filled again, and the Pod that was to take it along does so no more.
        known.is_dropped &= is_pods || !known.is_pods;
        known.is_pods = is_pods;
    }

    /// Which claims are to go with the Pods of their slots from now on.
    fn note_drops(&mut self) {
        let names: Vec<String> = self.claims.keys().cloned().collect();
        for name in names {
            let Some(claim) = self.claims.get(&name) else {
                continue;
            };
            let has_pod = i32::try_from(claim.slot).is_ok_and(|slot| {
                let pod = names::stable_pod_name(TREE, &claim.child, slot);
                self.pods.contains(&pod)
            });
            let goes = self.says(&claim.child, "whenScaled") == "Delete";
            let is_dropped = has_pod && goes && claim.slot >= self.replicas(&claim.child);
            if let Some(claim) = self.claims.get_mut(&name) {
                claim.is_dropped |= is_dropped;
            }
        }
    }

    fn judge_end(&mut self, name: &str) {
        let Some(claim) = self.claims.remove(name) else {
            return;
        };
        let goes_with_worker = !self.workers.contains_key(&claim.child)
            && self.says(&claim.child, "whenDeleted") == "Delete";
        let goes_with_slot = claim.slot >= self.replicas(&claim.child)
            && self.says(&claim.child, "whenScaled") == "Delete";
        if !claim.is_dropped && !goes_with_worker && !goes_with_slot {
            self.wrong
                .push(format!("claims: {name} is lost, with what is on it"));
        }
    }

    /// What is to go, and is still there when all is quiet.
    fn look_for_leftovers(&mut self) {
        let left = self.claims.iter().filter(|(_, claim)| {
            let is_wanted = claim.slot < self.replicas(&claim.child);
            let goes_with_worker = !self.workers.contains_key(&claim.child)
                && self.says(&claim.child, "whenDeleted") == "Delete";
            let goes_with_pod =
                claim.is_dropped && self.says(&claim.child, "whenScaled") == "Delete";
            if is_wanted {
                goes_with_worker
            } else {
                goes_with_pod
            }
        });
        let left: Vec<String> = left.map(|(name, _)| name.clone()).collect();
        let left = left
            .iter()
            .map(|name| format!("claims: {name} is left over"));
        self.wrong.extend(left);
    }

    /// The claims of slots that there are, and whose they are to be.
    fn look_at_owners(&mut self, world: &World) {
        for ((_, _, name), claim) in world.server.all(Kind::Claim) {
            let (child, slot) = (child_of(claim), slot_of(claim));
            let Some((worker, _)) = self.workers.get(child) else {
                continue;
            };
            if !(0..self.replicas(child)).contains(&slot) {
                continue;
            }
            let owners = &claim["metadata"]["ownerReferences"];
            let owners = owners.as_array().into_iter().flatten();
            let owners: Vec<&str> = owners.map(uid_of_reference).collect();
            let wanted: &[&str] = match self.says(child, "whenDeleted") {
                "Delete" => &[worker],
                _ => &[],
            };
            if owners != wanted {
                let what = format!("claims: {name} is owned by {owners:?}, not by {wanted:?}");
                self.wrong.push(what);
            }
        }
    }

    /// What the policy of a child says of an event.
    fn says(&self, child: &str, when: &str) -> &str {
        let settings = self.settings.get(child);
        let policy = settings.map(|one| &one["persistentVolumeClaimRetentionPolicy"][when]);
        policy.and_then(Value::as_str).unwrap_or("Retain")
    }

    fn replicas(&self, child: &str) -> i64 {
        let stated = self.settings.get(child).map(|one| &one["replicas"]);
        let stated = stated.and_then(Value::as_i64);
        let scaled = self.workers.get(child).map(|(_, replicas)| *replicas);
        stated.or(scaled).unwrap_or(1)
    }
}

fn uid_of_reference(owner: &Value) -> &str {
    owner["uid"].as_str().unwrap_or_default()
}
