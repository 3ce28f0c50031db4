//! The order in which the stages of identification are asked.
//!
//! Rule: a stage wins over all that follow; each test takes away the one that won.

use super::super::testing::{
    Scene, at, container, end, event, lost_node, pod, proof, refusal, spec_of,
};
use super::super::*;
use crate::model::world::NodeView;

/// A Pod that everything has happened to: it ran until 20, was asked to end before that, and its node was lost at 5.
fn everything() -> Scene {
    let killed = event(
        "Killing",
        "Container main failed liveness probe, will be restarted",
    );
    let mut main = container("main").waiting(
        "CreateContainerConfigError",
        "configmap \"settings\" not found",
    );
    main.last = Some(end(137).reason("OOMKilled").ran(0, 20).build());
    main.restarts = 2;
    pod("p")
        .only(main)
        .disrupted("EvictionByEvictionAPI", "Eviction API: evicting", at(10))
        .but(|pod| pod.reason = Some("DeadlineExceeded".to_owned()))
        .deleting(at(50), 30)
        .told([killed.of("p").in_container("main").at(18)])
        .spec(spec_of("main"))
        .on(NodeView {
            evicting: false,
            ..lost_node(at(5))
        })
}

#[test]
fn each_stage_wins_over_all_that_follow() {
    let mut scene = everything();
    let mut order = Vec::new();
    let mut next = |scene: &Scene| order.push(scene.fault(60).class);

    next(&scene);
    scene.pod.conditions.clear();
    next(&scene);
    scene.pod.reason = None;
    next(&scene);
    scene.pod.deletion = None;
    next(&scene);
    scene = scene.on(NodeView::default());
    next(&scene);
    let main = &mut scene.pod.containers[0];
    *main = main.clone().waiting("CrashLoopBackOff", "back-off");
    next(&scene);
    let last = |scene: &mut Scene, code| {
        scene.pod.containers[0].last = Some(end(code).ran(0, 20).build());
    };
    last(&mut scene, 137);
    next(&scene);
    scene = scene.untold();
    next(&scene);
    last(&mut scene, 1);
    next(&scene);
    let mut main = container("main").running(at(30));
    main.ready = false;
    scene.pod.containers[0] = main;
    next(&scene);
    scene.pod.containers[0] = container("main");
    next(&scene);
    scene.pod.containers[0] = container("main").running(at(30));
    next(&scene);

    assert_eq!(
        order,
        [
            Class::ApiEviction,            // P1: who announced its end
            Class::ActiveDeadlineExceeded, // P2: the reason of the Pod
            Class::PodDeleted,             // P3: its deletion
            Class::NodeUnreachable,        // P4: its node
            Class::ConfigMapMissing,       // P7: what a container waits for
            Class::OomKilled,              // P5: memory
            Class::LivenessProbeKilled,    // P6: who killed it
            Class::SigkillUnattributed,    // P9: its exit code
            Class::AppExitedNonZero,
            Class::ReadinessUnknown, // P10: its readiness
            Class::StartStuck,       // P11: the clock
            Class::NoFault,
        ]
    );
}

#[test]
fn a_deletion_comes_before_scheduling_and_scheduling_before_the_node() {
    let waits = || pod("p").unschedulable("0/1 nodes are available: 1 Insufficient cpu.");
    let deleted = waits().deleting(at(50), 30).alone().fault(60);
    assert_eq!(deleted.class, Class::PodDeleted);
    let lost = waits().alone().on(lost_node(at(5))).fault(60);
    assert_eq!(lost.class, Class::InsufficientCpu);
}

#[test]
fn a_start_that_failed_is_not_judged_by_its_exit_code() {
    let text = "container init was OOM-killed (memory limit too low?)";
    let failed = end(128).reason("StartError").message(text);
    let fault = pod("p").crash_loop(failed.build(), 1).alone().fault(60);
    assert_eq!(fault.class, Class::OomAtStart);
}

#[test]
fn a_volume_comes_before_the_sandbox_and_the_clock_comes_last() {
    let volume = || {
        event("FailedMount", "secret \"token\" not found")
            .of("p")
            .at(30)
    };
    let sandbox = || {
        let text = "Failed to create pod sandbox: no runtime for \"gvisor\" is configured";
        event("FailedCreatePodSandBox", text).of("p").at(20)
    };
    let class = |events: Vec<EventView>| pod("p").told(events).fault(90).class;
    assert_eq!(class(vec![sandbox(), volume()]), Class::SecretMissing);
    assert_eq!(class(vec![sandbox()]), Class::RuntimeHandlerMissing);
    assert_eq!(class(vec![]), Class::StartStuck);
}

#[test]
fn the_clock_is_asked_only_after_the_time_for_a_start() {
    let young = pod("p").alone();
    assert_eq!(young.fault(59).class, Class::NoFault);
    let fault = young.fault(60);
    assert_eq!(
        (fault.class, fault.confidence, fault.at),
        (Class::StartStuck, Confidence::Rest, Some(at(0)))
    );
    let field = "status.containerStatuses[main].state.waiting.reason";
    assert_eq!(fault.proofs, [proof("Pod p", field, "ContainerCreating")]);
}

#[test]
fn what_fits_nothing_is_unknown() {
    for phase in [PodPhase::Failed, PodPhase::Unknown] {
        let strange = pod("p").but(|pod| {
            pod.containers.clear();
            pod.phase = phase;
        });
        let fault = strange.alone().fault(60);
        assert_eq!(
            (fault.class, fault.confidence, fault.verdict),
            (Class::Unknown, Confidence::Rest, Verdict::Unknown),
            "{phase:?}"
        );
    }
}

#[test]
fn a_refused_create_is_judged_by_its_answer_alone() {
    let text = "pods \"p\" is forbidden: exceeded quota: q, requested: pods=1";
    let fault = identify_refusal(&refusal(403, "Forbidden", text));
    assert_eq!(
        (fault.class, fault.verdict, fault.at),
        (Class::QuotaExceeded, Verdict::Wait, Some(at(60)))
    );
}
