//! What stands beside the containers in the status of a Pod.
//!
//! Rule: each status is one that Kubernetes 1.36 writes.

use super::*;
use crate::model::fault::testing::{PodBuilder, at, container, end, event, pod, proof};
use crate::model::pod::RareView;

fn gpu() -> DeviceView {
    DeviceView {
        container: "main".to_owned(),
        resource: "nvidia.com/gpu".to_owned(),
        id: "GPU-7".to_owned(),
    }
}

fn with(builder: PodBuilder, change: impl FnOnce(&mut RareView)) -> PodBuilder {
    let mut rare = RareView::default();
    change(&mut rare);
    builder.but(|pod| pod.rare = rare.kept())
}

fn on_gpu(builder: PodBuilder) -> PodBuilder {
    with(builder, |rare| rare.ill_devices = vec![gpu()])
}

const HEALTH: &str = "status.containerStatuses[main].allocatedResourcesStatus[nvidia.com/gpu].resources[GPU-7].health";

#[test]
fn an_ill_device_beats_a_plain_exit_code() {
    for (code, class) in [
        (1, Class::AppExitedNonZero),
        (139, Class::AppSegfault),
        (134, Class::AppAbort),
        (137, Class::SigkillUnattributed),
    ] {
        let fault = on_gpu(pod("p").crash_loop(end(code).build(), 3))
            .alone()
            .fault(60);
        assert_eq!(
            (fault.class, fault.verdict, fault.confidence),
            (
                Class::DeviceUnhealthy,
                Verdict::Infrastructure,
                Confidence::Inferred
            )
        );
        assert_eq!(fault.contributing, [class]);
        assert_eq!(fault.proofs[0], proof("Pod p", HEALTH, "Unhealthy"));
        assert!(
            fault
                .proximate
                .unwrap()
                .starts_with(&format!("exit code {code}"))
        );
        assert_eq!(fault.at, Some(at(1)));
    }
}

#[test]
fn an_ill_device_only_adds_to_what_says_more_than_an_exit_code() {
    for (builder, class) in [
        (
            pod("p").crash_loop(end(137).reason("OOMKilled").build(), 3),
            Class::OomKilled,
        ),
        (pod("p").crash_loop(end(0).build(), 3), Class::AppExitedZero),
        (
            pod("p").waiting("ErrImageNeverPull", ""),
            Class::ImageNeverPull,
        ),
    ] {
        let fault = on_gpu(builder).alone().fault(60);
        assert_eq!(fault.class, class);
        assert_eq!(fault.contributing, [Class::DeviceUnhealthy]);
    }
    // It is the device of another container.
    let two = pod("p")
        .crash_loop(end(1).build(), 3)
        .with(container("other").running(at(1)));
    let other = with(two, |rare| {
        rare.ill_devices = vec![DeviceView {
            container: "other".to_owned(),
            ..gpu()
        }];
    });
    assert_eq!(other.alone().fault(60).class, Class::AppExitedNonZero);
}

#[test]
fn a_program_that_runs_on_an_ill_device_is_told_of() {
    for builder in [pod("p").ready(at(1)), pod("p").running(at(1))] {
        let fault = on_gpu(builder.but(|pod| pod.containers[0].ready = false))
            .alone()
            .fault(60);
        assert_eq!(
            (fault.class, fault.confidence),
            (Class::DeviceUnhealthy, Confidence::Proved)
        );
        assert_eq!(
            fault.message,
            "device GPU-7 (nvidia.com/gpu) of container main is not healthy"
        );
        assert!(fault.contributing.is_empty());
    }
}

#[test]
fn an_ephemeral_container_that_fails_never_is_the_fault_of_the_pod() {
    let debugger = || container("debugger");
    let text = "failed to create task: unable to find target container";
    for (added, fails) in [
        (debugger().waiting("ErrImagePull", "not found"), true),
        (debugger().waiting("CreateContainerError", text), true),
        (
            debugger().ended(end(128).reason("StartError").build()),
            true,
        ),
        (debugger().ended(end(0).build()), false),
        (debugger(), false),
        (debugger().running(at(5)), false),
    ] {
        let fault = with(pod("p").ready(at(1)), |rare| {
            rare.ephemeral_containers = vec![added];
        });
        let fault = fault.alone().fault(60);
        assert_eq!(fault.class, Class::NoFault);
        let expected: &[Class] = if fails {
            &[Class::EphemeralContainerFailed]
        } else {
            &[]
        };
        assert_eq!(fault.contributing, expected);
    }
    let mut told = event("Failed", "Error: unable to find target container")
        .of("p")
        .at(20);
    told.object.field = "spec.ephemeralContainers{debugger}".to_owned();
    let fault = pod("p").ready(at(1)).told([told]).fault(60);
    assert_eq!(fault.contributing, [Class::EphemeralContainerFailed]);
}

#[test]
fn room_that_is_made_adds_to_what_the_scheduler_says() {
    let full = "0/1 nodes are available: 1 Insufficient cpu.";
    let waits = with(pod("p").unschedulable(full), |rare| {
        rare.nominated_node = Some("node-b".to_owned());
    });
    let fault = waits.alone().fault(60);
    assert_eq!(fault.class, Class::InsufficientCpu);
    assert_eq!(fault.contributing, [Class::PreemptionPending]);
    let nominated = proof("Pod p", "status.nominatedNodeName", "node-b");
    assert_eq!(fault.proofs.last(), Some(&nominated));
    // The name stays when the Pod has found its node.
    let runs = with(pod("p").ready(at(1)), |rare| {
        rare.nominated_node = Some("node-b".to_owned());
    });
    assert_eq!(runs.alone().fault(60).contributing, []);
}
