//! Memory, local storage, and resizes in place.
//!
//! Rule: only a second source makes exit code 137 a matter of memory.

use super::*;
use crate::model::fault::Verdict;
use crate::model::fault::testing::{PodBuilder, at, end, event, pod, proof, spec_of};
use crate::model::pod::ContainerSpecView;

fn killed() -> PodBuilder {
    pod("p").crash_loop(end(137).ran(0, 30).build(), 1)
}

fn of_node(node: &str, reason: &str, seconds: i64) -> EventView {
    event(
        reason,
        "Memory cgroup out of memory: Killed process 7 (app)",
    )
    .about("Node", node)
    .at(seconds)
}

#[test]
fn a_kill_of_the_nodes_kernel_at_that_time_makes_memory_likely() {
    for reason in ["OOMKilling", "SystemOOM"] {
        let fault = killed().told([of_node("node-a", reason, 28)]).fault(60);
        assert_eq!(
            (fault.class, fault.confidence, fault.verdict),
            (
                Class::OomSuspected,
                Confidence::Inferred,
                Verdict::Application
            )
        );
        assert_eq!(fault.contributing, [Class::NodeSystemOom]);
        let said = proof(
            &format!("Event {reason} of Node node-a"),
            "message",
            "Memory cgroup out of memory: Killed process 7 (app)",
        );
        assert!(fault.proofs.contains(&said), "{:?}", fault.proofs);
    }
}

#[test]
fn a_kill_on_another_node_or_at_another_time_makes_it_no_more_likely() {
    for event in [
        of_node("node-b", "OOMKilling", 28),
        of_node("node-a", "OOMKilling", 24),
        of_node("node-a", "OOMKilling", 36),
        of_node("node-a", "TaskHung", 30),
    ] {
        let fault = killed().told([event.clone()]).fault(60);
        assert_eq!(fault.class, Class::SigkillUnattributed, "{event:?}");
    }
    let crashed = pod("p").crash_loop(end(1).ran(0, 30).build(), 1);
    let fault = crashed
        .told([of_node("node-a", "OOMKilling", 30)])
        .fault(60);
    assert_eq!(fault.class, Class::AppExitedNonZero);
}

#[test]
fn without_a_second_source_a_kill_has_only_suspects() {
    let spec = ContainerSpecView {
        memory_limit: Some("64Mi".to_owned()),
        ..spec_of("main")
    };
    let fault = killed().alone().spec(spec).fault(60);
    assert_eq!(
        (fault.class, fault.confidence, fault.verdict),
        (
            Class::SigkillUnattributed,
            Confidence::Rest,
            Verdict::Unknown
        )
    );
    assert_eq!(
        fault.message,
        "container main ended with exit code 137 (SIGKILL) after 30 s; may be: its memory limit \
         64Mi, or somebody's kill"
    );
}

#[test]
fn a_pod_that_used_too_much_disk_was_not_evicted_for_its_node() {
    for (text, class) in [
        (
            "Container main exceeded its local ephemeral storage limit \"1Gi\". ",
            Class::EphemeralStorageExceeded,
        ),
        (
            "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. ",
            Class::EphemeralStorageExceeded,
        ),
        (
            "Usage of EmptyDir volume \"tmp\" exceeds the limit \"1Mi\". ",
            Class::EmptyDirSizeExceeded,
        ),
    ] {
        let fault = pod("p").failed("Evicted", text).alone().fault(60);
        assert_eq!(
            (fault.class, fault.confidence, fault.verdict),
            (class, Confidence::Proved, Verdict::Application)
        );
        let message = proof("Pod p", "status.message", text.trim());
        assert!(fault.proofs.contains(&message), "{:?}", fault.proofs);
    }
}

#[test]
fn a_resize_that_does_not_go_on_is_told_of_a_pod_that_is_well() {
    use PodConditionType::{PodResizeInProgress, PodResizePending};
    for (type_, reason, class, verdict) in [
        (
            PodResizePending,
            "Infeasible",
            Class::ResizeInfeasible,
            Verdict::Hold,
        ),
        (
            PodResizePending,
            "Deferred",
            Class::ResizeDeferred,
            Verdict::Wait,
        ),
        (
            PodResizeInProgress,
            "Error",
            Class::ResizeFailed,
            Verdict::Wait,
        ),
    ] {
        let told = |is_true| {
            let resized = pod("p").ready(at(1));
            resized.condition(type_, is_true, reason, "too much", at(40))
        };
        let fault = told(true).alone().fault(60);
        assert_eq!(
            (fault.class, fault.verdict, fault.confidence, fault.at),
            (class, verdict, Confidence::Proved, Some(at(40))),
            "{reason}"
        );
        let field = format!("status.conditions[{}].message", type_.as_str());
        assert_eq!(fault.proofs, [proof("Pod p", &field, "too much")]);
        assert_eq!(told(false).alone().fault(60).class, Class::NoFault);
    }
    let under_way = pod("p").ready(at(1));
    let under_way = under_way.condition(PodResizeInProgress, true, "", "", at(40));
    assert_eq!(under_way.alone().fault(60).class, Class::NoFault);
}

#[test]
fn a_resize_explains_no_crash() {
    let crashed = pod("p").crash_loop(end(1).ran(0, 30).build(), 1).condition(
        PodConditionType::PodResizePending,
        true,
        "Infeasible",
        "too much",
        at(20),
    );
    let fault = crashed.alone().fault(60);
    assert_eq!(fault.class, Class::AppExitedNonZero);
}
