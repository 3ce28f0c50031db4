//! Identification as a whole: the order in which families are asked, and the mistakes that others make.
//!
//! Rule: one test for each mistake; the name says what holds.

use super::testing::{at, container, end, event, evidence, lost_node, object, pod, proof, refusal};
use super::*;

mod doubts;
mod mistakes;
mod order;

fn ended(builder: testing::PodBuilder) -> Fault {
    identify_end(&evidence(&builder.build()), at(100))
}

fn blocked(builder: testing::PodBuilder) -> Option<Fault> {
    identify_block(&evidence(&builder.build()), at(100))
}

#[test]
fn who_stopped_the_pod_is_asked_before_how_it_ended() {
    let polite = pod("p").succeeded(end(0).ran(0, 12).build());
    assert_eq!(ended(polite.clone()).class, Class::AppExitedZero);
    let drained =
        polite
            .clone()
            .disrupted("EvictionByEvictionAPI", "Eviction API: evicting", at(11));
    assert_eq!(ended(drained).class, Class::ApiEviction);
    assert_eq!(ended(polite.deleting(at(41), 30)).class, Class::PodDeleted);
    let evicted = pod("p").ended(end(137).ran(0, 12).build()).evicted();
    let fault = ended(evicted);
    assert_eq!(
        (fault.class, fault.at),
        (Class::NodePressureEviction, Some(at(12)))
    );
    assert_eq!(fault.verdict, Verdict::Infrastructure);
}

#[test]
fn a_crash_is_a_crash_whether_or_not_it_runs_again() {
    let crash = || end(1).ran(0, 12).build();
    for builder in [
        pod("p").ended(crash()),
        pod("p").crash_loop(crash(), 2),
        pod("p").restarted(crash(), 1, at(13)),
        pod("p").ended(crash()).failed("", "").never_restarted(),
    ] {
        let fault = ended(builder);
        assert_eq!(
            (fault.class, fault.verdict),
            (Class::AppExitedNonZero, Verdict::Application)
        );
        assert_eq!(
            (fault.confidence, fault.at),
            (Confidence::Proved, Some(at(12)))
        );
    }
}

#[test]
fn a_lost_node_explains_an_end_only_when_nothing_else_does() {
    let silent = lost_node(at(50));
    let on_it = |view: &PodView| {
        identify_end(
            &Evidence {
                node: Some(&silent),
                ..evidence(view)
            },
            at(100),
        )
    };
    assert_eq!(
        on_it(&pod("p").ready(at(1)).build()).class,
        Class::NodeUnreachable
    );
    assert_eq!(
        on_it(&pod("p").crash_loop(end(1).build(), 1).build()).class,
        Class::AppExitedNonZero
    );
}

#[test]
fn a_pod_that_was_deleted_from_a_node_that_is_gone_was_not_deleted_by_somebody() {
    let view = pod("p").ready(at(1)).deleting(at(90), 30).build();
    let fault = identify_end(
        &Evidence {
            node_gone: true,
            ..evidence(&view)
        },
        at(100),
    );
    assert_eq!(fault.class, Class::DeletedByPodGC);
}

#[test]
fn without_evidence_it_says_so() {
    let fault = ended(
        pod("p")
            .failed("", "strange\u{7}")
            .but(|pod| pod.containers.clear()),
    );
    assert_eq!(
        (fault.class, fault.verdict, fault.confidence),
        (Class::Unknown, Verdict::Unknown, Confidence::Rest)
    );
    assert_eq!(
        fault.message,
        "the Pod is over, and nothing that we know says why: strange"
    );
}

#[test]
fn a_pod_on_its_way_is_not_blocked() {
    for builder in [
        pod("p"),
        pod("p").waiting("PodInitializing", ""),
        pod("p").running(at(5)),
        pod("p").ready(at(5)),
        pod("p").crash_loop(end(1).build(), 3),
        pod("p")
            .of("other", 3)
            .pending()
            .init(container("setup").running(at(2))),
    ] {
        assert_eq!(blocked(builder), None);
    }
}

#[test]
fn blocks_have_their_cause_beneath_the_overlay() {
    let text = "Back-off pulling image \"x\": ErrImagePull: x: not found";
    let image = blocked(pod("p").waiting("ImagePullBackOff", text)).unwrap();
    assert_eq!(
        (image.class, image.verdict),
        (Class::ImageNotFound, Verdict::Hold)
    );
    assert!(
        image
            .message
            .starts_with("the image of container main cannot be pulled: x: not found")
    );
    let config =
        blocked(pod("p").waiting("CreateContainerConfigError", "configmap \"c\" not found"))
            .unwrap();
    assert_eq!(
        (config.class, config.verdict),
        (Class::ConfigMapMissing, Verdict::Hold)
    );
    let full =
        blocked(pod("p").unschedulable("0/1 nodes are available: 1 Insufficient cpu.")).unwrap();
    assert_eq!(
        (full.class, full.verdict),
        (Class::InsufficientCpu, Verdict::Wait)
    );
}

#[test]
fn what_is_over_or_on_its_way_out_is_not_blocked() {
    let held = pod("p").waiting("ErrImageNeverPull", "");
    assert!(blocked(held.clone()).is_some());
    assert_eq!(blocked(held.clone().deleting(at(130), 30)), None);
    assert_eq!(blocked(held.failed("", "")), None);
}

#[test]
fn every_message_is_one_short_line() {
    let long = "ü\n".repeat(2000);
    let faults = [
        ended(pod("p").ended(end(1).message(&long).build())),
        ended(pod("p").failed("Evicted", &long)),
        blocked(pod("p").waiting("ErrImagePull", &long)).unwrap(),
        blocked(pod("p").unschedulable(&long)).unwrap(),
        identify_refusal(&refusal(403, "Forbidden", &long)),
    ];
    for fault in faults {
        assert!(fault.message.len() <= 512, "{}", fault.class);
        assert!(!fault.message.contains(char::is_control), "{}", fault.class);
    }
}

#[test]
fn nothing_is_wrong_with_a_pod_that_is_well_or_on_its_way_or_done() {
    use Confidence::{Proved, Rest};
    for (builder, message, confidence) in [
        (pod("p"), "nothing is wrong with the Pod", Rest),
        (
            pod("p").ready(at(1)),
            "the Pod runs, and nothing is wrong with it",
            Proved,
        ),
        (
            pod("p").succeeded(end(0).ran(0, 20).build()),
            "the Pod has done what it was to do",
            Proved,
        ),
        (
            pod("p")
                .waiting("PodInitializing", "")
                .init(container("setup").running(at(5))),
            "init container setup is running",
            Proved,
        ),
    ] {
        let fault = builder.alone().fault(30);
        assert_eq!(
            (fault.class, fault.confidence, fault.at),
            (Class::NoFault, confidence, None)
        );
        assert_eq!(fault.class.verdict(), None);
        assert_eq!(fault.message, message);
        assert!(fault.contributing.is_empty() && fault.proofs.is_empty());
    }
}

#[test]
fn a_fault_without_a_time_of_its_own_happened_when_its_containers_ended() {
    let evicted = pod("p").ended(end(137).ran(0, 12).build()).evicted();
    assert_eq!(evicted.alone().fault(60).at, Some(at(12)));
    let refused = pod("p").failed("OutOfcpu", "Pod was rejected: no room");
    assert_eq!(refused.alone().fault(60).at, None);
}

#[test]
fn what_was_seen_around_a_pod_contributes_once_and_never_twice() {
    let oom = |seconds| {
        event("OOMKilling", "Killed process 7")
            .about("Node", "node-a")
            .at(seconds)
    };
    let short = object("Node", "node-a").says("MemoryPressure", "True", "", "");
    let dns = event("DNSConfigForming", "Nameserver limits were exceeded").of("p");
    let crashed = pod("p").crash_loop(end(137).ran(0, 30).build(), 1);
    let scene = crashed
        .told([oom(29), oom(30), dns.clone(), dns])
        .beside(short);
    let fault = scene.fault(60);
    assert_eq!(fault.class, Class::OomSuspected);
    assert_eq!(
        fault.contributing,
        [
            Class::NodeSystemOom,
            Class::DnsConfigInvalid,
            Class::NodePressure
        ]
    );
}

#[test]
fn what_ended_a_container_is_proved_by_the_fields_that_say_so() {
    let fault = pod("p")
        .ended(end(137).reason("OOMKilled").message("sorry").build())
        .alone()
        .fault(30);
    let field = |part| format!("status.containerStatuses[main].state.terminated.{part}");
    assert_eq!(
        fault.proofs,
        [
            proof("Pod p", &field("exitCode"), "137"),
            proof("Pod p", &field("reason"), "OOMKilled"),
            proof("Pod p", &field("message"), "sorry"),
        ]
    );
}

#[test]
fn what_the_kubelet_said_of_the_pod_is_proved_by_reason_and_message_or_by_its_event() {
    let text = "The node was low on resource: memory.";
    let told = pod("p").failed("Evicted", text).alone().fault(30);
    let reason = || proof("Pod p", "status.reason", "Evicted");
    assert_eq!(
        told.proofs,
        [reason(), proof("Pod p", "status.message", text)]
    );
    let event = event("Evicted", text).of("p").at(20);
    let witnessed = pod("p").failed("Evicted", "").told([event]).fault(30);
    assert_eq!(witnessed.class, Class::NodePressureEviction);
    assert_eq!(
        witnessed.proofs,
        [reason(), proof("Event Evicted of Pod p", "message", text)]
    );
}

#[test]
fn proofs_are_short_lines_and_what_says_nothing_proves_nothing() {
    let long = "ü\n".repeat(2000);
    let fault = pod("p").failed("Evicted", &long).alone().fault(30);
    for proof in &fault.proofs {
        assert!(proof.value.len() <= 512 && !proof.value.contains(char::is_control));
    }
    let silent = pod("p").waiting("ErrImageNeverPull", "").alone().fault(30);
    assert_eq!(silent.proofs.len(), 1, "the reason, and no empty message");
}
