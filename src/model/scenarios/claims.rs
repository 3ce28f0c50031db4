//! Claims of `Stable` workers: made before their Pods, kept through everything, and let go only as the policy says.
//!
//! Rule: the lab fails a story that makes a Pod on a claim that is not there, or is on its way out.

use std::sync::Arc;

use super::{lose, worker};
use crate::api::v1alpha1::{ClaimRetention, Retention, SupervisionTreeSpec};
use crate::model::claims;
use crate::model::lab::{Behaviour, Lab};
use crate::model::world::{ClaimOwner, ClaimView, Refusal};

const CLAIMS: &str = "volumeClaimTemplates: [{metadata: {name: data, labels: {team: db}}, spec: {accessModes: [ReadWriteOnce]}}]";

/// Two replicas with a claim each, and these settings besides.
fn two(settings: &str) -> Lab {
    let settings = format!("identity: Stable, replicas: 2, {CLAIMS}{settings}");
    let mut lab = Lab::new(&format!("children:\n{}", worker("a", "", &settings)));
    lab.run(100);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    lab
}

fn with_policy(deleted: &str, scaled: &str) -> Lab {
    two(&format!(
        ", persistentVolumeClaimRetentionPolicy: {{whenDeleted: {deleted}, whenScaled: {scaled}}}"
    ))
}

fn set_policy(lab: &mut Lab, when_deleted: Retention, when_scaled: Retention) {
    lab.edit_worker("a", |worker| {
        worker.persistent_volume_claim_retention_policy = Some(ClaimRetention {
            when_deleted,
            when_scaled,
        });
    });
    lab.run(10);
}

/// The claims, by name.
fn claims(lab: &Lab) -> Vec<&str> {
    lab.world.claims.keys().map(String::as_str).collect()
}

/// The kinds of the owners of each claim.
fn owners(lab: &Lab) -> Vec<Vec<&str>> {
    let claims = lab.world.claims.values();
    claims
        .map(|claim| {
            claim
                .owners
                .iter()
                .map(|owner| owner.kind.as_str())
                .collect()
        })
        .collect()
}

const BOTH: [&str; 2] = ["data-t-a-0", "data-t-a-1"];

#[test]
fn claims_are_made_before_their_pods_and_nobody_owns_them() {
    let lab = two("");
    assert_eq!(claims(&lab), BOTH);
    assert_eq!(owners(&lab), [vec![""; 0], vec![]]);
    let place = |line: &str| lab.log.iter().position(|one| one == line);
    for slot in 0..2 {
        let made = place(&format!("claim data-t-a-{slot}"));
        assert!(made < place(&format!("create a/{slot}")), "{:?}", lab.log);
    }
    let claim = &lab.world.claims["data-t-a-1"];
    assert_eq!(
        (claim.tree.as_str(), claim.child.as_str(), claim.slot),
        ("t", "a", 1)
    );
}

#[test]
fn claims_stay_as_they_are_through_restarts_scaling_rollouts_and_stops() {
    let mut lab = two("");
    let before = lab.world.claims.clone();
    lab.kill("a", 0, 1);
    lab.run(20);
    lab.delete_by_hand("a", 1);
    lab.run(20);
    lab.edit_template("a", "two");
    lab.run(100);
    lab.edit_worker("a", |worker| worker.service_name = Some("db".into()));
    lab.run(100);
    lab.edit_replicas("a", 0);
    lab.run(20);
    assert_eq!(lab.live("a"), [0; 0]);
    lab.edit_replicas("a", 2);
    lab.run(20);
    lab.edit(|spec| spec.suspend = true);
    lab.run(20);
    lab.edit(|spec| spec.suspend = false);
    lab.run(20);
    lab.edit(|spec| spec.children[0].enabled = false);
    lab.run(20);
    lab.edit(|spec| spec.children[0].enabled = true);
    lab.run(20);
    assert_eq!(lab.live("a"), [0, 1]);
    assert_eq!(lab.world.claims, before);
}

/// Lets the operator go on until that write, before which it crashes and is away for a minute.
fn crash(lab: &mut Lab, write: usize) {
    lab.crash_in = Some(write);
    for _ in 0..30 {
        while lab.decide_once() {
            if lab.crash_in.is_none() {
                lab.go_by(60);
                return;
            }
        }
        lab.go_by(1);
    }
}

/// Something that stops the Pods of a worker, and the replicas that it has afterwards.
type Stop = (fn(&mut Lab), &'static [i32]);

/// Whatever else stops its Pod.
#[test]
fn claims_of_a_dropped_slot_go_after_its_pod_whatever_stops_that_and_whenever_the_operator_crashes()
{
    let stops: [Stop; 3] = [
        (|lab| lab.kill("b", 0, 1), &[0]),
        (|lab| lab.edit(|spec| spec.suspend = true), &[]),
        (|lab| lab.edit(|spec| spec.children[0].enabled = false), &[]),
    ];
    for (number, (stop, live)) in stops.into_iter().enumerate() {
        for write in 0..20 {
            let mut lab = group();
            stop(&mut lab);
            lab.edit_replicas("a", 1);
            crash(&mut lab, write);
            lab.run(60);
            assert_eq!(
                (lab.live("a"), claims(&lab)),
                (live.to_vec(), vec![BOTH[0]]),
                "stop {number}, crash before write {write}"
            );
        }
    }
}

/// Two replicas whose claims go with their slots, in a group with another worker.
fn group() -> Lab {
    let policy = "persistentVolumeClaimRetentionPolicy: {whenScaled: Delete}";
    let settings = format!("identity: Stable, replicas: 2, {CLAIMS}, {policy}");
    let workers = worker("a", "", &settings) + &worker("b", "", "");
    let mut lab = Lab::new(&format!("strategy: OneForAll\nchildren:\n{workers}"));
    lab.run(100);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    lab
}

#[test]
fn nothing_that_is_to_stop_waits_for_an_owner_that_is_refused() {
    let stops: [Stop; 2] = [
        (|lab| lab.kill("b", 0, 1), &[0]),
        (|lab| lab.edit(|spec| spec.suspend = true), &[]),
    ];
    for (stop, live) in stops {
        let mut lab = group();
        lab.refuse_creates = Some(owner_refusal(&lab));
        stop(&mut lab);
        lab.edit_replicas("a", 1);
        lab.run(60);
        assert_eq!(
            (lab.live("a"), claims(&lab)),
            (live.to_vec(), BOTH.to_vec())
        );
        assert!(lab.state().starts_with("TFF"), "{}", lab.message());
    }
}

/// Whether nothing is lost, and nothing is left over, wherever the operator crashes while a slot is dropped.
#[test]
fn claims_of_a_dropped_slot_go_after_its_pod_whenever_the_operator_crashes() {
    for crash in 0..12 {
        let mut lab = with_policy("Retain", "Delete");
        lab.crash_in = Some(crash);
        lab.edit_replicas("a", 1);
        lab.settle();
        if lab.live("a") == [0] {
            assert_eq!(claims(&lab), BOTH, "its Pod is stopping");
        }
        lab.run(30);
        assert_eq!(
            (lab.live("a"), claims(&lab)),
            (vec![0], vec![BOTH[0]]),
            "crash {crash}"
        );
        assert_eq!(owners(&lab), [vec![""; 0]]);
        lab.edit_replicas("a", 2);
        lab.run(30);
        assert_eq!((lab.live("a"), claims(&lab)), (vec![0, 1], BOTH.to_vec()));
    }
}

#[test]
fn a_slot_that_is_filled_again_before_its_pod_is_gone_keeps_its_claims() {
    let mut lab = with_policy("Delete", "Delete");
    let before = lab.world.claims["data-t-a-1"].owners.clone();
    lab.stopping.insert("a/1".into(), 10);
    lab.edit_replicas("a", 1);
    lab.run(3);
    assert_eq!(owners(&lab), [vec!["Worker"], vec!["Pod"]]);
    lab.edit_replicas("a", 2);
    lab.run(60);
    assert_eq!((lab.live("a"), claims(&lab)), (vec![0, 1], BOTH.to_vec()));
    assert_eq!(lab.world.claims["data-t-a-1"].owners, before);
}

#[test]
fn what_stayed_when_its_slot_was_dropped_stays_when_the_policy_changes() {
    let mut lab = two("");
    lab.edit_replicas("a", 1);
    lab.run(20);
    set_policy(&mut lab, Retention::Delete, Retention::Delete);
    assert_eq!(claims(&lab), BOTH);
    assert_eq!(owners(&lab), [vec!["Worker"], vec![]]);
}

#[test]
fn claims_go_with_the_child_only_where_the_policy_says_so() {
    for goes in [Retention::Delete, Retention::Retain] {
        let mut lab = two("");
        set_policy(&mut lab, Retention::Delete, Retention::Retain);
        assert_eq!(owners(&lab), [vec!["Worker"], vec!["Worker"]]);
        set_policy(&mut lab, goes, Retention::Retain);
        lab.edit(|spec| spec.suspend = true);
        lab.run(20);
        assert_eq!(claims(&lab), BOTH);
        lab.edit(|spec| spec.children.clear());
        lab.run(20);
        let left: &[&str] = if goes == Retention::Delete {
            &[]
        } else {
            &BOTH
        };
        assert_eq!(claims(&lab), left);
    }
}

/// Deletes the tree, and lets the operator crash before that write.
fn delete(lab: &mut Lab, crash: usize) {
    lab.tree_mut().deleting = true;
    lab.crash_in = Some(crash);
    lab.run(60);
    assert_eq!(lab.world.tree.finalizers, [""; 0]);
    lab.world.workers.clear();
    lab.world.collect_claims();
}

#[test]
fn claims_that_a_refused_spec_retains_outlive_their_tree() {
    let refusals: [fn(&mut SupervisionTreeSpec); 2] = [
        |spec| spec.intensity.period_seconds = 1,
        |spec| spec.children[0].worker.as_mut().unwrap().quorum = 0,
    ];
    let policies = [
        ("Delete", Retention::Retain, &BOTH[..]),
        ("Delete", Retention::Delete, &[]),
        ("Retain", Retention::Delete, &BOTH[..]),
    ];
    for refuse in refusals {
        for (before, when_deleted, left) in policies {
            for crash in 0..8 {
                let mut lab = with_policy(before, "Retain");
                let known = owners(&lab).concat().len();
                lab.edit(|spec| {
                    refuse(spec);
                    let worker = spec.children[0].worker.as_mut().unwrap();
                    worker.persistent_volume_claim_retention_policy = Some(ClaimRetention {
                        when_deleted,
                        ..ClaimRetention::default()
                    });
                });
                lab.run(10);
                assert_eq!(lab.state(), "FFT InvalidSpec", "{}", lab.message());
                assert_eq!(
                    owners(&lab).concat().len(),
                    known,
                    "nothing follows from it"
                );
                delete(&mut lab, crash);
                assert_eq!(
                    claims(&lab),
                    left,
                    "from {before} to {when_deleted:?}, crash {crash}"
                );
            }
        }
    }
}

#[test]
fn a_claim_of_somebody_else_is_used_as_it_is() {
    let mut lab = with_policy("Delete", "Delete");
    lab.edit_replicas("a", 1);
    lab.run(20);
    let theirs = ClaimView {
        name: "data-t-a-1".into(),
        resource_version: "theirs".into(),
        slot: -1,
        ..ClaimView::default()
    };
    lab.world
        .claims
        .insert(theirs.name.clone(), Arc::new(theirs.clone()));
    lab.edit_replicas("a", 2);
    lab.run(20);
    assert_eq!(lab.live("a"), [0, 1]);
    lab.edit_replicas("a", 1);
    lab.run(20);
    assert_eq!(*lab.world.claims["data-t-a-1"], theirs);
}

#[test]
fn a_claim_of_another_replica_is_not_shared() {
    let mut lab = two("");
    lab.edit_replicas("a", 1);
    lab.run(20);
    let claim = lab.world.claims.get_mut("data-t-a-1").unwrap();
    Arc::make_mut(claim).tree = "t-a".into();
    lab.edit_replicas("a", 2);
    lab.run(60);
    assert_eq!(lab.live("a"), [0]);
    assert!(
        lab.message().contains("in the tree t-a"),
        "{}",
        lab.message()
    );
    let claim = lab.world.claims.get_mut("data-t-a-1").unwrap();
    Arc::make_mut(claim).tree.clear();
    lab.run(60);
    assert_eq!(lab.live("a"), [0, 1]);
}

#[test]
fn a_claim_that_a_pod_without_a_node_waits_for_is_made_again() {
    let mut lab = two("");
    lab.behave("a", Behaviour::NoCapacity);
    lab.delete_by_hand("a", 1);
    lab.run(20);
    lab.world.claims.remove("data-t-a-1");
    lab.run(20);
    assert_eq!(claims(&lab), BOTH);
    lab.behave("a", Behaviour::Healthy);
    lab.run(60);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

#[test]
fn a_claim_that_a_pod_without_a_node_waits_for_is_tried_again_later_and_later() {
    let mut lab = two("");
    lab.behave("a", Behaviour::NoCapacity);
    lab.delete_by_hand("a", 1);
    lab.run(20);
    lab.refuse_creates = Some(claim_refusal(&lab, 1));
    lab.world.claims.remove("data-t-a-1");
    lab.run(60);
    let tries = lab.log.iter().filter(|line| *line == "refused a/1").count();
    assert!((5..=8).contains(&tries), "{:?}", lab.log);
    let told = lab
        .told
        .iter()
        .filter(|line| line.contains("exceeded quota"));
    assert_eq!(told.count(), 1, "{:?}", lab.told);
    lab.refuse_creates = None;
    lab.run(70);
    assert_eq!(claims(&lab), BOTH);
    lab.behave("a", Behaviour::Healthy);
    lab.run(60);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

/// Others have a kind of that name, too.
#[test]
fn an_owner_of_another_group_is_left_alone_and_nothing_waits_for_it() {
    let mut lab = with_policy("Delete", "Retain");
    let theirs = ClaimOwner {
        api_version: "extensions.gardener.cloud/v1alpha1".into(),
        kind: "Worker".into(),
        name: "t-a".into(),
        uid: "theirs".into(),
        controls: false,
    };
    let claim = lab.world.claims.get_mut("data-t-a-1").unwrap();
    Arc::make_mut(claim).owners.push(theirs.clone());
    lab.delete_by_hand("a", 1);
    lab.run(60);
    assert_eq!(lab.live("a"), [0, 1]);
    assert_eq!(lab.world.claims["data-t-a-1"].owners[1], theirs);
}

#[test]
fn no_pod_is_made_on_a_claim_that_goes_with_a_worker_of_before() {
    let mut lab = with_policy("Delete", "Retain");
    let claim = lab.world.claims.get_mut("data-t-a-1").unwrap();
    Arc::make_mut(claim).owners[0].uid = "another".into();
    lab.delete_by_hand("a", 1);
    lab.run(60);
    // It belongs to the present one first.
    assert_eq!(owners(&lab), [["Worker"], ["Worker"]]);
    let worker = &lab.world.workers["a"].uid;
    assert_eq!(lab.world.claims["data-t-a-1"].owners[0].uid, *worker);
    assert_eq!(lab.live("a"), [0, 1]);
}

#[test]
fn no_pod_is_made_on_a_claim_that_is_being_deleted() {
    let mut lab = two("");
    let claim = lab.world.claims.get_mut("data-t-a-1").unwrap();
    Arc::make_mut(claim).deleting = true;
    lab.run(20);
    assert_eq!(
        lab.state(),
        "TFF AllUp",
        "a Pod that runs has it as long as it runs"
    );
    lab.told.clear();
    lab.delete_by_hand("a", 1);
    lab.run(60);
    assert_eq!(lab.live("a"), [0]);
    assert!(
        lab.message().contains("data-t-a-1 is being deleted"),
        "{}",
        lab.message()
    );
    let told = lab
        .told
        .iter()
        .filter(|line| line.contains("is being deleted"));
    assert_eq!(told.count(), 1, "{:?}", lab.told);
    lab.world.claims.remove("data-t-a-1");
    lab.run(60);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(claims(&lab), BOTH);
}

#[test]
fn a_claim_that_is_refused_is_told_and_tried_again_later_and_the_other_slots_go_on() {
    let settings = format!("identity: Stable, replicas: 3, {CLAIMS}");
    let mut lab = Lab::new(&format!("children:\n{}", worker("a", "", &settings)));
    lab.refuse_creates = Some(claim_refusal(&lab, 2));
    lab.run(120);
    assert_eq!(lab.live("a"), [0, 1]);
    assert_eq!(claims(&lab), BOTH);
    assert!(
        lab.message().contains("exceeded quota"),
        "{}",
        lab.message()
    );
    let tries = lab.log.iter().filter(|line| *line == "refused a/2").count();
    assert!(tries < 10, "{tries}");
    lab.refuse_creates = None;
    lab.run(200);
    assert_eq!(lab.live("a"), [0, 1, 2]);
}

/// A quota refuses the claim of a slot.
fn claim_refusal(lab: &Lab, slot: i32) -> Refusal {
    let message = "persistentvolumeclaims is forbidden: exceeded quota: small";
    refusal(lab, Some(slot), message)
}

/// As on clusters with `OwnerReferencesPermissionEnforcement`, where who has no right to delete a claim may not own it anew.
fn owner_refusal(lab: &Lab) -> Refusal {
    let message = "cannot set an ownerRef on a resource you can't delete";
    refusal(lab, None, message)
}

fn refusal(lab: &Lab, slot: Option<i32>, message: &str) -> Refusal {
    Refusal {
        kind: claims::KIND,
        child: "a".into(),
        slot,
        at: lab.now,
        code: 403,
        reason: "Forbidden".into(),
        message: message.into(),
    }
}

#[test]
fn an_owner_that_is_refused_is_told_once_and_nothing_goes_that_is_to_stay() {
    let tries = |lab: &Lab| {
        let refused = lab.log.iter().filter(|entry| entry.starts_with("refused"));
        refused.count()
    };
    let mut lab = with_policy("Retain", "Delete");
    lab.refuse_creates = Some(owner_refusal(&lab));
    lab.edit_replicas("a", 1);
    lab.run(60);
    assert_eq!((lab.live("a"), claims(&lab)), (vec![0, 1], BOTH.to_vec()));
    assert!((5..=8).contains(&tries(&lab)), "{:?}", lab.log);
    let told: Vec<&String> = lab
        .told
        .iter()
        .filter(|one| one.contains("Claim"))
        .collect();
    assert_eq!(
        told,
        [
            "Warning ClaimOwnerNotStored: a has claims without the owner that persistentVolumeClaimRetentionPolicy asks for: dropped replicas, and the deletion of the tree, wait for that: the PersistentVolumeClaim could not be given another owner (403 Forbidden): cannot set an ownerRef on a resource you can't delete; tried again"
        ]
    );
    lab.refuse_creates = None;
    lab.run(70);
    assert_eq!((lab.live("a"), claims(&lab)), (vec![0], vec![BOTH[0]]));
    assert_eq!(lab.world.workers["a"].status.claim_owner_brake, None);

    let mut lab = with_policy("Delete", "Retain");
    lab.refuse_creates = Some(owner_refusal(&lab));
    set_policy(&mut lab, Retention::Retain, Retention::Retain);
    lab.tree_mut().deleting = true;
    lab.run(60);
    assert_eq!((lab.live("a"), claims(&lab)), (vec![], BOTH.to_vec()));
    assert!(
        !lab.world.tree.finalizers.is_empty(),
        "they would go with it"
    );
    lab.refuse_creates = None;
    lab.run(70);
    assert!(lab.world.tree.finalizers.is_empty());
    assert_eq!(owners(&lab), [vec![""; 0], vec![]]);
}

#[test]
fn a_tree_that_is_refused_waits_for_an_owner_that_is_refused_too() {
    let mut lab = with_policy("Delete", "Retain");
    lab.refuse_creates = Some(owner_refusal(&lab));
    lab.edit_worker("a", |worker| {
        worker.quorum = 0;
        worker.persistent_volume_claim_retention_policy = None;
    });
    lab.run(10);
    lab.tree_mut().deleting = true;
    lab.run(60);
    assert_eq!((lab.live("a"), claims(&lab)), (vec![], BOTH.to_vec()));
    assert!(!lab.world.tree.finalizers.is_empty(), "they would go");
    let refused = lab.log.iter().filter(|entry| entry.starts_with("refused"));
    assert!((10..=16).contains(&refused.count()), "{:?}", lab.log);
    assert!(
        lab.message().contains("its claims that are to stay"),
        "{}",
        lab.message()
    );
    lab.refuse_creates = None;
    lab.run(70);
    assert!(lab.world.tree.finalizers.is_empty());
    assert_eq!(owners(&lab), [vec![""; 0], vec![]]);
}

#[test]
fn claims_of_a_lost_node_stay_and_nothing_is_made_on_them() {
    let mut lab = with_policy("Delete", "Delete");
    lose(&mut lab, "a", 1);
    lab.run(600);
    assert_eq!(lab.live("a"), [0]);
    assert!(lab.state().ends_with("WaitingForFence"), "{}", lab.state());
    lab.edit_replicas("a", 1);
    lab.run(60);
    assert_eq!(claims(&lab), BOTH, "its Pod may still write");
    assert_eq!(owners(&lab)[1], ["Pod"]);
}
