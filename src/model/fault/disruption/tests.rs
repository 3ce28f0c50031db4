//! Pods that somebody else ended, and how that is told from an end of their own.
//!
//! Rule: times are seconds after the Pod's creation.

use super::*;
use crate::model::fault::testing::{at, end, event, evidence, lost_node, pod, proof};

fn announced(pod: &PodView, now: Timestamp) -> Option<Fault> {
    super::announced(&evidence(pod), now)
}

#[test]
fn who_announced_it() {
    use Class as C;
    let table = [
        (
            "EvictionByEvictionAPI",
            "Eviction API: evicting",
            C::ApiEviction,
        ),
        (
            "PreemptionByScheduler",
            "default-scheduler: preempting",
            C::PreemptedByScheduler,
        ),
        (
            "PreemptionByKubeScheduler",
            "Kube-scheduler: preempting",
            C::PreemptedByScheduler,
        ),
        (
            "DeletionByTaintManager",
            "Taint manager: deleting due to NoExecute taint",
            C::TaintEviction,
        ),
        ("DeletionByDeviceTaintManager", "", C::DeviceTaintEviction),
        (
            "DeletionByPodGC",
            "PodGC: node no longer exists",
            C::DeletedByPodGC,
        ),
        (
            "TerminationByKubelet",
            "The node was low on resource: memory. ",
            C::NodePressureEviction,
        ),
        (
            "TerminationByKubelet",
            "Pod was preempted by Kubelet to accommodate a critical pod.",
            C::PreemptedByKubelet,
        ),
        (
            "TerminationByKubelet",
            "Pod was terminated in response to imminent node shutdown.",
            C::NodeShutdown,
        ),
        ("TerminationByKubelet", "", C::DisruptionUnknown),
        ("ByTheMoon", "full", C::DisruptionUnknown),
    ];
    for (reason, message, class) in table {
        let fault =
            announced(&pod("p").disrupted(reason, message, at(10)).build(), at(11)).unwrap();
        assert_eq!(fault.class, class, "{reason}: {message}");
        assert_eq!(fault.at, Some(at(10)));
    }
}

#[test]
fn an_announcement_without_consequences_is_void() {
    let spared = pod("p").disrupted("PreemptionByScheduler", "", at(10));
    assert!(announced(&spared.clone().build(), at(100)).is_some());
    assert!(announced(&spared.clone().build(), at(131)).is_none());
    assert!(announced(&spared.deleting(at(160), 30).build(), at(400)).is_some());
}

#[test]
fn a_polite_end_after_the_delete_is_the_deletes() {
    for code in [0, 143, 137] {
        let stopped = pod("p")
            .ended(end(code).ran(0, 12).build())
            .deleting(at(40), 30)
            .build();
        let fault = deleted(&evidence(&stopped)).unwrap();
        assert_eq!((fault.class, fault.at), (Class::PodDeleted, Some(at(10))));
    }
}

#[test]
fn a_delete_while_a_lost_node_is_evicted_is_the_nodes() {
    let view = pod("p").running(at(0)).deleting(at(40), 30).build();
    let told = |node: &NodeView| {
        let evidence = Evidence {
            node: Some(node),
            ..evidence(&view)
        };
        deleted(&evidence).unwrap().class
    };
    assert_eq!(told(&lost_node(at(10))), Class::NodeUnreachable);
    assert_eq!(told(&lost_node(at(11))), Class::PodDeleted);
    let spared = NodeView {
        evicting: false,
        ..lost_node(at(5))
    };
    assert_eq!(told(&spared), Class::PodDeleted);
}

#[test]
fn an_end_well_before_the_delete_is_its_own() {
    let crashed = pod("p").ended(end(1).ran(0, 5).build());
    let deleted_at = |end| deleted(&evidence(&crashed.clone().deleting(at(end), 30).build()));
    assert_eq!(deleted_at(40), None);
    assert!(deleted_at(37).is_some(), "within the skew of clocks");
    let drained = crashed
        .disrupted("EvictionByEvictionAPI", "", at(10))
        .deleting(at(40), 30);
    assert_eq!(announced(&drained.build(), at(11)), None);
}

#[test]
fn a_pod_that_outlives_its_grace_period_is_stuck() {
    let deleted = pod("p").ready(at(1)).deleting(at(40), 30).alone();
    assert_eq!(deleted.fault(70).class, Class::PodDeleted);
    let fault = deleted.fault(71);
    assert_eq!(
        (fault.class, fault.confidence, fault.at),
        (Class::StuckTerminating, Confidence::Proved, Some(at(40)))
    );
    let until = proof("Pod p", "metadata.deletionTimestamp", &at(40).to_string());
    assert_eq!(fault.proofs, [until]);
    assert!(fault.contributing.is_empty());
}

#[test]
fn a_pod_whose_containers_cannot_be_killed_is_stuck_after_its_grace_period() {
    let text = "error killing pod: failed to \"KillContainer\" for \"main\"";
    let told = event("FailedKillPod", text).of("p").at(20);
    let deleted = pod("p").ready(at(1)).deleting(at(40), 30);
    let fault = deleted.told([told.clone()]).fault(71);
    assert_eq!(fault.class, Class::StuckTerminating);
    assert_eq!(fault.contributing, [Class::KillFailed]);
    let said = proof("Event FailedKillPod of Pod p", "message", text);
    assert!(fault.proofs.contains(&said), "{:?}", fault.proofs);
    let lives = pod("p").ready(at(1)).told([told]);
    assert_eq!(lives.fault(21).class, Class::NoFault);
}

#[test]
fn a_kill_after_the_grace_period_only_contributes() {
    let told = event(
        "ExceededGracePeriod",
        "Container runtime did not kill the pod in time",
    )
    .of("p")
    .at(40);
    let killed = pod("p").ended(end(137).ran(0, 40).build());
    let fault = killed.deleting(at(40), 30).told([told]).fault(41);
    assert_eq!(fault.class, Class::PodDeleted);
    assert_eq!(fault.contributing, [Class::GracePeriodExceeded]);
}

#[test]
fn what_announced_the_end_is_the_proof() {
    let drained =
        pod("p")
            .ready(at(1))
            .disrupted("EvictionByEvictionAPI", "Eviction API: evicting", at(10));
    let fault = drained.alone().fault(12);
    assert_eq!(fault.confidence, Confidence::Proved);
    let field = "status.conditions[DisruptionTarget].message";
    assert_eq!(
        fault.proofs,
        [proof("Pod p", field, "Eviction API: evicting")]
    );
    let silent = pod("p").disrupted("DeletionByDeviceTaintManager", "", at(10));
    let field = "status.conditions[DisruptionTarget].reason";
    assert_eq!(
        silent.alone().fault(12).proofs,
        [proof("Pod p", field, "DeletionByDeviceTaintManager")]
    );
}

#[test]
fn a_kubelet_that_does_not_say_why_is_asked_for_the_reason_of_the_pod() {
    let evicted = pod("p")
        .disrupted("TerminationByKubelet", "", at(10))
        .failed("Preempting", "Preempted in order to admit critical pod");
    assert_eq!(evicted.alone().fault(12).class, Class::PreemptedByKubelet);
}

#[test]
fn who_deleted_a_pod_may_stand_only_in_an_event() {
    for (reason, text, class) in [
        (
            "TaintManagerEviction",
            "Marking for deletion Pod n/p",
            Class::TaintEviction,
        ),
        (
            "TaintManagerEviction",
            "Cancelling deletion of Pod n/p",
            Class::PodDeleted,
        ),
        (
            "DeviceTaintManagerEviction",
            "Marking for deletion",
            Class::DeviceTaintEviction,
        ),
        (
            "Preempted",
            "Preempted by pod 0b6b1b1e on node node-a",
            Class::PreemptedByScheduler,
        ),
    ] {
        let told = event(reason, text).of("p").at(9);
        let deleted = pod("p").ready(at(1)).deleting(at(40), 30);
        let fault = deleted.told([told.clone()]).fault(20);
        assert_eq!((fault.class, fault.at), (class, Some(at(10))), "{text}");
        let lives = pod("p").ready(at(1)).told([told]);
        assert_eq!(lives.fault(20).class, Class::NoFault, "{text}");
    }
}
