//! What is said of nodes, and what that means for the Pods on them.
//!
//! Rule: a lost node explains a Pod only when nothing in it ended before.

use super::*;
use crate::model::fault::identify_object;
use crate::model::fault::testing::{at, end, event, evidence, lost_node, object, pod, proof};
use crate::model::world::NodeView;

#[test]
fn nodes_that_are_gone_or_off() {
    let view = pod("p").running(at(0)).build();
    let evidence_of_gone = Evidence {
        node_gone: true,
        ..evidence(&view)
    };
    assert_eq!(
        gone(&evidence_of_gone).unwrap().class,
        Class::DeletedByPodGC
    );
    let off = NodeView {
        out_of_service: true,
        ..lost_node(at(5))
    };
    let fault = gone(&Evidence {
        node: Some(&off),
        ..evidence(&view)
    })
    .unwrap();
    assert_eq!(
        (fault.class, fault.at),
        (Class::NodeOutOfService, Some(at(5)))
    );
    assert_eq!(gone(&evidence(&view)), None);
    let crashed = pod("p").ended(end(1).build()).build();
    assert_eq!(
        gone(&Evidence {
            node_gone: true,
            ..evidence(&crashed)
        }),
        None
    );
}

#[test]
fn nodes_that_cannot_be_relied_on() {
    let view = pod("p").running(at(0)).build();
    let silent = lost_node(at(5));
    assert_eq!(
        lost(&Evidence {
            node: Some(&silent),
            ..evidence(&view)
        })
        .unwrap()
        .class,
        Class::NodeUnreachable
    );
    let sick = NodeView {
        unreachable: false,
        ..silent
    };
    assert_eq!(
        lost(&Evidence {
            node: Some(&sick),
            ..evidence(&view)
        })
        .unwrap()
        .class,
        Class::NodeNotReady
    );
    assert_eq!(lost(&evidence(&view)), None);
}

fn node_that_says(type_: &str, status: &str, reason: &str, message: &str) -> ObjectView {
    object("Node", "node-a").says(type_, status, reason, message)
}

fn of_node(reason: &str, seconds: i64) -> EventView {
    event(reason, "text").about("Node", "node-a").at(seconds)
}

#[test]
fn what_a_node_that_is_not_ready_says_of_itself() {
    use Class as C;
    let table = [
        (
            "False",
            "KubeletNotReady",
            "PLEG is not healthy: pleg was last seen active 3m7s ago; threshold is 3m0s",
            C::NodeRuntimeUnhealthy,
        ),
        (
            "False",
            "KubeletNotReady",
            "container runtime is down",
            C::NodeRuntimeUnhealthy,
        ),
        (
            "False",
            "KubeletNotReady",
            "container runtime status check may not have completed yet",
            C::NodeRuntimeUnhealthy,
        ),
        (
            "False",
            "KubeletNotReady",
            "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:cni plugin not initialized",
            C::NodeNetworkUnavailable,
        ),
        (
            "False",
            "KubeletNotReady",
            "node is shutting down",
            C::NodeShutdown,
        ),
        (
            "False",
            "KubeletNotReady",
            "the moon is in the wrong place",
            C::NodeNotReady,
        ),
        (
            "Unknown",
            "NodeStatusUnknown",
            "Kubelet stopped posting node status.",
            C::NodeUnreachable,
        ),
        (
            "Unknown",
            "NodeStatusNeverUpdated",
            "Kubelet never posted node status.",
            C::NodeNeverReported,
        ),
    ];
    for (status, reason, message, class) in table {
        let fault = identify_object(&node_that_says("Ready", status, reason, message), &[]);
        assert_eq!(
            (fault.class, fault.confidence, fault.at),
            (class, Confidence::Proved, Some(at(5))),
            "{message}"
        );
        let said = proof("Node node-a", "status.conditions[Ready].message", message);
        assert!(fault.proofs.contains(&said), "{:?}", fault.proofs);
    }
}

#[test]
fn conditions_that_are_bad_when_they_are_true() {
    use Class as C;
    let table = [
        ("NetworkUnavailable", C::NodeNetworkUnavailable),
        ("KernelDeadlock", C::NodeKernelFault),
        ("ReadonlyFilesystem", C::NodeKernelFault),
        ("XfsShutdown", C::NodeKernelFault),
        ("CperHardwareErrorFatal", C::NodeKernelFault),
        ("FrequentUnregisterNetDevice", C::NodeKernelFault),
        ("CorruptDockerOverlay2", C::NodeKernelFault),
        ("KubeletUnhealthy", C::NodeRuntimeUnhealthy),
        ("ContainerRuntimeUnhealthy", C::NodeRuntimeUnhealthy),
        ("FrequentKubeletRestart", C::NodeRuntimeUnhealthy),
        ("FrequentContainerdRestart", C::NodeRuntimeUnhealthy),
        ("FrequentDockerRestart", C::NodeRuntimeUnhealthy),
        ("MemoryPressure", C::NodePressure),
        ("DiskPressure", C::NodePressure),
        ("PIDPressure", C::NodePressure),
    ];
    for (type_, class) in table {
        let with = |status| {
            let node = node_that_says("Ready", "True", "KubeletReady", "");
            identify_object(&node.says(type_, status, "Because", "text"), &[]).class
        };
        assert_eq!(with("True"), class, "{type_}");
        assert_eq!(with("False"), Class::NoFault, "{type_}");
    }
}

#[test]
fn a_node_that_is_not_ready_is_told_before_what_else_is_bad() {
    let node = node_that_says("DiskPressure", "True", "KubeletHasDiskPressure", "").says(
        "Ready",
        "Unknown",
        "NodeStatusUnknown",
        "",
    );
    assert_eq!(identify_object(&node, &[]).class, Class::NodeUnreachable);
}

#[test]
fn a_node_that_somebody_vouched_is_off_is_out_of_service() {
    let node = ObjectView {
        taints: vec![(OUT_OF_SERVICE.to_owned(), "NoExecute".to_owned())],
        ..node_that_says("Ready", "Unknown", "NodeStatusUnknown", "")
    };
    let fault = identify_object(&node, &[]);
    assert_eq!(
        (fault.class, fault.confidence),
        (Class::NodeOutOfService, Confidence::Proved)
    );
    let taint = proof("Node node-a", "spec.taints", OUT_OF_SERVICE);
    assert_eq!(fault.proofs, [taint]);
}

#[test]
fn what_the_events_of_a_node_say() {
    use Class as C;
    for (reason, class) in [
        ("Rebooted", C::NodeRebooted),
        ("NodeNotReady", C::NodeNotReady),
        ("SystemOOM", C::NodeSystemOom),
        ("OOMKilling", C::NodeSystemOom),
        ("TaskHung", C::NodeKernelFault),
        ("KernelOops", C::NodeKernelFault),
        ("IOError", C::NodeKernelFault),
        ("MemoryReadError", C::NodeKernelFault),
        ("Ext4Error", C::NodeKernelFault),
        ("NodeHasDiskPressure", C::NodePressure),
        ("NodeHasMemoryPressure", C::NodePressure),
        ("NodeHasInsufficientPID", C::NodePressure),
        ("EvictionThresholdMet", C::NodePressure),
        ("NodeReady", C::NoFault),
    ] {
        let fault = identify_object(&object("Node", "node-a"), &[of_node(reason, 9)]);
        assert_eq!(fault.class, class, "{reason}");
    }
    let garbage = event(
        "ContainerGCFailed",
        "rpc error: dial unix /run/containerd/containerd.sock",
    )
    .about("Node", "node-a");
    let fault = identify_object(&object("Node", "node-a"), &[garbage]);
    assert_eq!(fault.class, C::NodeRuntimeUnhealthy);
}

#[test]
fn what_was_said_before_the_node_became_ready_is_over() {
    let ready = node_that_says("Ready", "True", "KubeletReady", "");
    let class = |event| identify_object(&ready, &[event]).class;
    assert_eq!(class(of_node("NodeNotReady", 3)), Class::NoFault);
    assert_eq!(class(of_node("NodeNotReady", 9)), Class::NodeNotReady);
    assert_eq!(class(of_node("SystemOOM", 3)), Class::NoFault);
    assert_eq!(class(of_node("Rebooted", 3)), Class::NodeRebooted);
}

#[test]
fn events_of_a_node_are_its_own_although_the_kubelet_writes_its_name_where_the_uid_belongs() {
    let mut node = object("Node", "node-a");
    node.object.uid = "0b6b1b1e".to_owned();
    let mut rebooted = of_node("Rebooted", 9);
    rebooted.object.uid = "node-a".to_owned();
    let fault = identify_object(&node, &[rebooted.clone()]);
    assert_eq!(fault.class, Class::NodeRebooted);
    rebooted.object.name = "node-b".to_owned();
    assert_eq!(identify_object(&node, &[rebooted]).class, Class::NoFault);
}

#[test]
fn a_node_that_is_short_of_something_only_explains() {
    let node = node_that_says("MemoryPressure", "True", "KubeletHasInsufficientMemory", "");
    let fault = pod("p").ready(at(1)).alone().beside(node).fault(60);
    assert_eq!(fault.class, Class::NoFault);
    assert_eq!(fault.contributing, [Class::NodePressure]);
}

#[test]
fn events_of_another_node_explain_nothing() {
    let here = of_node("SystemOOM", 20);
    let fault = pod("p").ready(at(1)).told([here]).fault(60);
    assert_eq!(fault.contributing, [Class::NodeSystemOom]);
    let there = event("SystemOOM", "text").about("Node", "node-b").at(20);
    let fault = pod("p").ready(at(1)).told([there]).fault(60);
    assert!(fault.contributing.is_empty());
}

#[test]
fn what_ended_before_the_node_was_lost_ended_by_itself_and_what_after_is_unknown() {
    let crashed = |seconds| pod("p").crash_loop(end(1).ran(0, seconds).build(), 1);
    let before = crashed(20).alone().on(lost_node(at(30))).fault(60);
    assert_eq!(before.class, Class::AppExitedNonZero);
    let after = crashed(40).alone().on(lost_node(at(30))).fault(60);
    assert_eq!(
        (after.class, after.confidence, after.at),
        (Class::NodeUnreachable, Confidence::Inferred, Some(at(30)))
    );
    let ready = proof("Node node-a", "status.conditions[Ready].status", "Unknown");
    assert_eq!(after.proofs, [ready]);
}

#[test]
fn while_a_node_does_not_report_the_statuses_of_its_containers_are_old() {
    let waits = pod("p").waiting("ImagePullBackOff", "ErrImagePull: x: not found");
    let fault = waits.alone().on(lost_node(at(30))).fault(60);
    assert_eq!(fault.class, Class::NodeUnreachable);
}

#[test]
fn a_pod_whose_node_is_gone_or_off_is_told_so_although_it_seems_to_run() {
    let ready = || pod("p").ready(at(1)).alone();
    let fault = ready().on_no_node().fault(60);
    assert_eq!(
        (fault.class, fault.confidence),
        (Class::DeletedByPodGC, Confidence::Inferred)
    );
    assert_eq!(fault.proofs, [proof("Pod p", "spec.nodeName", "node-a")]);
    let off = NodeView {
        out_of_service: true,
        ..lost_node(at(5))
    };
    let fault = ready().on(off).fault(60);
    assert_eq!(fault.class, Class::NodeOutOfService);
}

/// As the node controller leaves a Pod of a node that went away: only the condition, and its Event, tell.
#[test]
fn a_pod_whose_node_is_not_known_is_told_by_the_event_of_the_node_controller() {
    let silent = || {
        pod("p")
            .running(at(10))
            .condition(PodConditionType::Ready, false, "", "", at(100))
    };
    let told = |seconds| event("NodeNotReady", "Node is not ready").at(seconds);
    let fault = silent().told([told(100)]).fault(200);
    assert_eq!(
        (fault.class, fault.confidence),
        (Class::NodeNotReady, Confidence::Witnessed)
    );
    assert_eq!(
        silent().told([told(50)]).fault(200).class,
        Class::NoFault,
        "an earlier time"
    );
    assert_eq!(silent().alone().fault(200).class, Class::NoFault);
    let back = silent().told([told(100)]).on(NodeView::default());
    assert_eq!(
        back.fault(200).class,
        Class::NoFault,
        "the node is Ready again"
    );
}
