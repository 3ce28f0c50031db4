//! Mistakes that are easily made in identification, each with the evidence that leads to it.
//!
//! Rule: the name of a test says what holds instead.

use super::super::testing::{
    PodBuilder, Scene, at, container, end, event, lost_node, object, pod, proof,
};
use super::super::*;
use crate::model::pod::PodConditionType;

const LIVENESS: &str = "Container main failed liveness probe, will be restarted";
const MULTI_ATTACH: &str = "Multi-Attach error for volume \"v\" Volume is already exclusively attached to one node and can't be attached to another";

fn crashed(code: i32) -> PodBuilder {
    pod("p").crash_loop(end(code).ran(0, 30).build(), 1)
}

fn killing() -> EventView {
    event("Killing", LIVENESS)
        .of("p")
        .in_container("main")
        .at(29)
}

#[test]
fn exit_code_137_alone_is_not_a_lack_of_memory() {
    let fault = crashed(137).alone().fault(60);
    assert_eq!(
        (fault.class, fault.confidence, fault.verdict),
        (
            Class::SigkillUnattributed,
            Confidence::Rest,
            Verdict::Unknown
        )
    );
    for (scene, class) in [
        (crashed(137).told([killing()]), Class::LivenessProbeKilled),
        (crashed(137).deleting(at(50), 30).alone(), Class::PodDeleted),
        (crashed(137).evicted().alone(), Class::NodePressureEviction),
        (
            pod("p")
                .ended(end(137).reason("ContainerStatusUnknown").ran(0, 30).build())
                .alone(),
            Class::ContainerLost,
        ),
        (
            pod("p")
                .crash_loop(
                    end(137)
                        .reason("RestartingAllContainers")
                        .ran(0, 30)
                        .build(),
                    1,
                )
                .alone(),
            Class::RestartAllContainers,
        ),
        (
            pod("p")
                .crash_loop(end(137).reason("OOMKilled").ran(0, 30).build(), 1)
                .alone(),
            Class::OomKilled,
        ),
    ] {
        assert_eq!(scene.fault(60).class, class);
    }
}

#[test]
fn out_of_memory_with_another_exit_code_is_only_a_child() {
    for code in [0, 1, 143] {
        let ended = end(code).reason("OOMKilled").ran(0, 30).build();
        let fault = pod("p").crash_loop(ended, 1).alone().fault(60);
        assert_eq!(
            (fault.class, fault.confidence, fault.verdict),
            (
                Class::OomKilledChild,
                Confidence::Proved,
                Verdict::Application
            ),
            "{code}"
        );
        let proximate = fault.proximate.unwrap();
        assert!(
            proximate.starts_with(&format!("exit code {code}")),
            "{proximate}"
        );
    }
    let done = pod("p").succeeded(end(0).reason("OOMKilled").ran(0, 30).build());
    assert_eq!(done.alone().fault(60).class, Class::OomKilledChild);
}

#[test]
fn a_probe_kill_is_neither_a_crash_nor_a_clean_end() {
    for code in [0, 1, 137, 143] {
        let fault = crashed(code).told([killing()]).fault(60);
        assert_eq!(fault.class, Class::LivenessProbeKilled, "{code}");
    }
}

#[test]
fn a_back_off_is_never_the_cause() {
    for (end, class) in [
        (end(1), Class::AppExitedNonZero),
        (end(139), Class::AppSegfault),
        (end(137).reason("OOMKilled"), Class::OomKilled),
        (
            end(128)
                .reason("StartError")
                .message("exec: \"x\": executable file not found in $PATH"),
            Class::CommandNotFound,
        ),
        (end(255).reason("Unknown"), Class::ContainerLost),
    ] {
        let fault = pod("p").crash_loop(end.build(), 3).alone().fault(60);
        assert_eq!(fault.class, class);
        assert!(!fault.message.contains("back-off"), "{}", fault.message);
    }
    let text = "Back-off pulling image \"x\": ErrImagePull: x: not found";
    let fault = pod("p").waiting("ImagePullBackOff", text).alone().fault(60);
    assert_eq!(fault.class, Class::ImageNotFound);
}

#[test]
fn a_pod_that_was_evicted_may_seem_to_have_succeeded() {
    let text = "The node was low on resource: ephemeral-storage. Threshold quantity: 1Gi";
    let done = pod("p").disrupted("TerminationByKubelet", text, at(30));
    let fault = done.succeeded(end(0).ran(0, 30).build()).alone().fault(60);
    assert_eq!(
        (fault.class, fault.confidence, fault.verdict),
        (
            Class::NodePressureEviction,
            Confidence::Proved,
            Verdict::Infrastructure
        )
    );
}

#[test]
fn a_pod_that_used_too_much_itself_was_not_evicted_for_its_node() {
    let own = "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. ";
    let fault = crashed(137).failed("Evicted", own).alone().fault(60);
    assert_eq!(
        (fault.class, fault.verdict),
        (Class::EphemeralStorageExceeded, Verdict::Application)
    );
    let refused = "Pod was rejected: The node had condition: [DiskPressure]. ";
    let fault = pod("p").failed("Evicted", refused).alone().fault(60);
    assert_eq!(fault.class, Class::KubeletPressureRejected);
    let fault = crashed(137).evicted().alone().fault(60);
    assert_eq!(fault.class, Class::NodePressureEviction);
}

#[test]
fn a_pod_that_was_evicted_may_still_seem_to_be_created() {
    let fault = pod("p").evicted().alone().fault(600);
    assert_eq!(fault.class, Class::NodePressureEviction);
}

#[test]
fn a_reason_that_is_left_over_on_a_pod_that_runs_again_is_none() {
    for reason in ["NodeLost", "Terminated", "Shutdown", "Evicted"] {
        let back = pod("p").ready(at(5)).but(|pod| {
            pod.reason = Some(reason.to_owned());
        });
        assert_eq!(back.clone().alone().fault(60).class, Class::NoFault);
        let going = back.deleting(at(50), 30).alone().fault(60);
        assert_ne!(going.class, Class::NoFault, "{reason}");
    }
}

#[test]
fn an_announcement_that_nothing_followed_is_none() {
    let spared = pod("p")
        .ready(at(1))
        .disrupted("PreemptionByScheduler", "preempting", at(10));
    assert_eq!(
        spared.clone().alone().fault(130).class,
        Class::PreemptedByScheduler
    );
    assert_eq!(spared.alone().fault(131).class, Class::NoFault);
}

#[test]
fn what_the_kubelet_refused_is_not_the_programs_fault() {
    for (reason, class) in [
        ("NodeAffinity", Class::KubeletNodeAffinityRejected),
        ("OutOfcpu", Class::KubeletOutOfResource),
        ("OutOfPods", Class::KubeletOutOfResource),
        ("OutOfmemory", Class::KubeletOutOfResource),
    ] {
        let refused = pod("p").failed(reason, "Pod was rejected: no");
        let fault = refused.but(|pod| pod.containers.clear()).alone().fault(60);
        assert_eq!(
            (fault.class, fault.verdict),
            (class, Verdict::Infrastructure)
        );
    }
}

#[test]
fn a_create_that_timed_out_names_no_webhook() {
    let text = "Error creating: Timeout: request did not complete within requested timeout - context deadline exceeded";
    let told = event("FailedCreate", text)
        .about("ReplicaSet", "web")
        .at(20);
    let fault = identify_object(&object("ReplicaSet", "web"), &[told]);
    assert_eq!(fault.class, Class::ApiTimeout);
}

#[test]
fn an_event_that_stands_for_several_is_read_without_saying_so() {
    let text = "(combined from similar events): Error creating: pods \"web-1\" is forbidden: exceeded quota: q, requested: pods=1";
    let told = event("FailedCreate", text)
        .about("ReplicaSet", "web")
        .at(20);
    let fault = identify_object(&object("ReplicaSet", "web"), &[told]);
    assert_eq!(fault.class, Class::QuotaExceeded);
    assert!(!fault.message.contains("combined"), "{}", fault.message);
}

#[test]
fn a_name_that_stays_reserved_is_a_runtime_that_is_too_slow() {
    let text = "failed to reserve container name \"main\": name \"main\" is reserved for \"1f\"";
    let waits = pod("p").waiting("CreateContainerError", text);
    let fault = waits.alone().fault(60);
    assert_eq!(
        (fault.class, fault.verdict),
        (Class::ContainerCreateTimeout, Verdict::Wait)
    );
}

#[test]
fn the_newest_event_may_be_noise_that_follows_the_refusal() {
    let noise =
        "MountVolume.SetUp failed for volume \"t\" : object \"n\"/\"root-ca\" not registered";
    let refused = pod("p").failed(
        "UnexpectedAdmissionError",
        "Pod was rejected: Allocate failed due to no healthy devices, which is unexpected",
    );
    let fault = refused
        .told([event("FailedMount", noise).of("p").at(40)])
        .fault(60);
    assert_eq!(fault.class, Class::DeviceAllocationFailed);
    assert_eq!(fault.contributing, [Class::ObjectNotRegistered]);
}

#[test]
fn the_most_specific_event_counts_and_not_the_newest() {
    let old = "MountVolume.SetUp failed for volume \"c\" : configmap \"settings\" not found";
    let new = "Unable to attach or mount volumes: unmounted volumes=[c]: timed out waiting for the condition";
    let mount = |text, seconds| event("FailedMount", text).of("p").at(seconds);
    let fault = pod("p").told([mount(old, 10), mount(new, 50)]).fault(60);
    assert_eq!(fault.class, Class::ConfigMapMissing);
}

#[test]
fn a_volume_that_was_attached_after_all_is_no_fault() {
    let attach = event("FailedAttachVolume", MULTI_ATTACH).of("p").at(10);
    let fault = pod("p").told([attach.clone()]).fault(60);
    assert_eq!(
        (fault.class, fault.confidence),
        (Class::MultiAttach, Confidence::Witnessed)
    );
    let cured = event("SuccessfulAttachVolume", "AttachVolume.Attach succeeded")
        .of("p")
        .at(26);
    let runs = pod("p").ready(at(40)).told([attach, cured]);
    assert_eq!(runs.fault(60).class, Class::NoFault);
}

#[test]
fn a_stateful_set_may_be_held_up_by_a_pod_of_its_old_revision() {
    let rolls = ObjectView {
        rolls: true,
        ..object("StatefulSet", "db")
    };
    let fault = identify_object(&rolls, &[]);
    assert_eq!(fault.class, Class::StatefulSetStuck);
}

#[test]
fn events_of_an_earlier_pod_of_the_same_name_do_not_count() {
    let mut earlier = killing();
    earlier.object.uid = "uid of the Pod before".to_owned();
    let fault = crashed(137).told([earlier]).fault(60);
    assert_eq!(fault.class, Class::SigkillUnattributed);
    let unnamed = event("Killing", LIVENESS).about("Pod", "p").at(29);
    let fault = crashed(137).told([unnamed]).fault(60);
    assert_eq!(fault.class, Class::LivenessProbeKilled);
}

#[test]
fn events_of_another_container_do_not_count() {
    let side = killing().in_container("side");
    let fault = crashed(137).told([side]).fault(60);
    assert_eq!(fault.class, Class::SigkillUnattributed);
}

#[test]
fn a_readiness_failure_while_the_pod_is_deleted_is_noise() {
    let failed = event("Unhealthy", "Readiness probe failed: connection refused")
        .of("p")
        .in_container("main")
        .at(25);
    let stops = pod("p")
        .running(at(1))
        .but(|pod| pod.containers[0].ready = false)
        .condition(
            PodConditionType::Ready,
            false,
            "ContainersNotReady",
            "",
            at(25),
        )
        .deleting(at(50), 30);
    let fault = stops.told([failed]).fault(30);
    assert_eq!(fault.class, Class::PodDeleted);
    assert!(fault.contributing.is_empty());
}

/// The view of an Event has no type: what counts is what it says.
#[test]
fn events_that_kubernetes_calls_normal_count_like_warnings() {
    let claim = event(
        "FailedBinding",
        "no persistent volumes available for this claim and no storage class is set",
    );
    let text = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.";
    let scenes: [(Scene, Class); 3] = [
        (crashed(0).told([killing()]), Class::LivenessProbeKilled),
        (
            pod("p")
                .unschedulable(text)
                .told([claim.about("PersistentVolumeClaim", "data").at(5)]),
            Class::StorageClassMissing,
        ),
        (
            pod("p").failed("DeadlineExceeded", "").told([event(
                "DeadlineExceeded",
                "Pod was active on the node longer than the specified deadline",
            )
            .of("p")
            .at(30)]),
            Class::ActiveDeadlineExceeded,
        ),
    ];
    for (scene, class) in scenes {
        assert_eq!(scene.fault(60).class, class);
    }
}

#[test]
fn a_polite_exit_at_a_shutdown_of_the_node_is_the_nodes() {
    let text = "Pod was terminated in response to imminent node shutdown.";
    for code in [0, 1, 2, 143] {
        let ended = pod("p").ended(end(code).ran(0, 30).build());
        let fault = ended.clone().failed("Terminated", text).alone().fault(60);
        assert_eq!(fault.class, Class::NodeShutdown, "{code}");
        let announced = ended.disrupted("TerminationByKubelet", text, at(30));
        assert_eq!(announced.alone().fault(60).class, Class::NodeShutdown);
    }
}

#[test]
fn a_hook_that_failed_explains_the_kill_that_followed() {
    let mut main = container("main").waiting("PostStartHookError", "exit 3");
    main.last = Some(end(137).ran(0, 30).build());
    let fault = pod("p").only(main).alone().fault(60);
    assert_eq!(
        (fault.class, fault.confidence),
        (Class::PostStartHookFailed, Confidence::Proved)
    );
    let reason = "status.containerStatuses[main].state.waiting.reason";
    let said = proof("Pod p", reason, "PostStartHookError");
    assert_eq!(fault.proofs.first(), Some(&said));
}

#[test]
fn a_node_that_is_lost_makes_no_crash_of_before_its_own() {
    let fault = crashed(1).alone().on(lost_node(at(40))).fault(60);
    assert_eq!(fault.class, Class::AppExitedNonZero);
}
