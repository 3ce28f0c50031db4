//! Which end is told of a Pod with several containers, and what keeps them from running.
//!
//! Rule: times are seconds after the Pod's creation.

use super::*;
use crate::model::fault::testing::{at, container, end, pod, proof};
use crate::model::pod::PodConditionType;

fn worst_end(pod: &PodView) -> Option<Fault> {
    super::worst_end(&Evidence::of(pod))
}

fn block(pod: &PodView) -> Option<Fault> {
    super::block(&Evidence::of(pod))
}

fn worst_of(builder: crate::model::fault::testing::PodBuilder) -> Class {
    worst_end(&builder.build()).unwrap().class
}

#[test]
fn a_clean_end_needs_all_containers() {
    let clean = end(0).ran(0, 9).build();
    let crash = end(3).ran(0, 8).build();
    let both = pod("p")
        .ended(clean.clone())
        .with(container("side").ended(crash));
    assert_eq!(worst_of(both), Class::AppExitedNonZero);
    assert_eq!(worst_of(pod("p").ended(clean)), Class::AppExitedZero);
}

#[test]
fn an_old_end_of_another_container_does_not_count() {
    let mut restarted = container("side").running(at(30));
    restarted.last = Some(end(137).reason("OOMKilled").ran(0, 20).build());
    let newer = pod("p").ended(end(1).ran(0, 100).build()).with(restarted);
    assert_eq!(worst_of(newer), Class::AppExitedNonZero);
}

#[test]
fn of_a_pod_that_is_over_all_ends_count() {
    let earlier = container("side").ended(end(137).reason("OOMKilled").ran(0, 20).build());
    let over = pod("p")
        .ended(end(1).ran(0, 100).build())
        .with(earlier)
        .failed("", "");
    assert_eq!(worst_of(over), Class::OomKilled);
}

#[test]
fn containers_that_are_not_judged_do_not_count() {
    let mut injected = container("proxy").ended(end(1).build());
    injected.judged = false;
    assert_eq!(
        worst_of(pod("p").ended(end(0).build()).with(injected.clone())),
        Class::AppExitedZero
    );
    assert_eq!(
        worst_end(&pod("p").running(at(0)).with(injected).build()),
        None
    );
}

#[test]
fn a_failed_init_container_is_an_end() {
    let failed = pod("p")
        .pending()
        .init(container("setup").ended(end(2).build()))
        .build();
    let fault = worst_end(&failed).unwrap();
    assert_eq!(fault.class, Class::AppExitedNonZero);
    assert!(
        fault
            .message
            .starts_with("init container setup ended with exit code 2")
    );
    let mut retried = container("setup").ended(end(0).ran(5, 6).build());
    retried.last = Some(end(2).ran(0, 1).build());
    let fault = worst_end(&pod("p").pending().init(retried.clone()).build()).unwrap();
    assert!(fault.message.contains("exit code 2"), "{}", fault.message);
    let later = pod("p").ended(end(0).ran(10, 60).build()).init(retried);
    assert_eq!(worst_of(later), Class::AppExitedZero);
}

#[test]
fn of_equal_ends_the_first_one_counts() {
    let first = container("second").ended(end(2).ran(0, 7).build());
    let fault = worst_end(&pod("p").ended(end(1).ran(0, 9).build()).with(first).build()).unwrap();
    assert!(fault.message.contains("container second"));
}

#[test]
fn a_hold_comes_before_a_wait() {
    let busy = container("a").waiting("ErrImagePull", "429 Too Many Requests");
    let held = container("b").waiting("CreateContainerConfigError", "secret \"s\" not found");
    let view = pod("p").pending().only(busy.clone()).with(held).build();
    assert_eq!(block(&view).unwrap().class, Class::SecretMissing);
    let fault = block(&pod("p").pending().only(busy).build()).unwrap();
    assert_eq!(
        (fault.class, fault.verdict),
        (Class::ImageRateLimited, Verdict::Wait)
    );
}

#[test]
fn a_trouble_of_the_node_is_waited_for() {
    let full = container("a").waiting("ErrImagePull", "write /x: no space left on device");
    let fault = block(&pod("p").pending().only(full).build()).unwrap();
    assert_eq!(
        (fault.class, fault.verdict),
        (Class::ImageNoSpace, Verdict::Wait)
    );
}

#[test]
fn a_back_off_blocks_only_when_running_again_cannot_help() {
    let crash = pod("p").crash_loop(end(1).build(), 4).build();
    assert_eq!(block(&crash), None);
    let missing = end(128)
        .reason("StartError")
        .message("exec: \"x\": executable file not found in $PATH");
    let view = pod("p").crash_loop(missing.build(), 4).build();
    assert_eq!(block(&view).unwrap().class, Class::CommandNotFound);
}

#[test]
fn the_message_does_not_change_with_every_attempt() {
    let text = "x: not found";
    let backed_off = format!("Back-off pulling image \"x\": ErrImagePull: {text}");
    let pulls = [("ErrImagePull", text), ("ImagePullBackOff", &backed_off)]
        .map(|(reason, message)| block(&pod("p").waiting(reason, message).build()));
    let [first, second] = pulls.map(Option::unwrap);
    assert_eq!(
        (first.class, first.verdict, &first.message),
        (second.class, second.verdict, &second.message)
    );
    let text = "cannot be pulled: x: not found";
    assert!(first.message.ends_with(text), "{}", first.message);

    let text = "exec: \"x\": executable file not found in $PATH";
    let failed = || end(128).reason("StartError").message(text).build();
    let mut again = container("main").waiting("RunContainerError", text);
    again.last = Some(failed());
    let starts = [
        pod("p").only(again),
        pod("p").ended(failed()),
        pod("p").crash_loop(failed(), 1),
    ]
    .map(|builder| block(&builder.build()).unwrap());
    for start in &starts {
        assert_eq!(
            (start.class, start.verdict, &start.message),
            (starts[0].class, starts[0].verdict, &starts[0].message)
        );
    }
}

#[test]
fn an_unexplained_start_error_is_judged_by_its_end() {
    let mut strange = container("a").waiting("RunContainerError", "strange");
    let waits = pod("p").pending().only(strange.clone()).build();
    assert_eq!(
        block(&waits).map(|f| (f.class, f.verdict)),
        Some((Class::OciStartFailed, Verdict::Hold))
    );
    strange.last = Some(end(128).reason("StartError").message("strange").build());
    assert_eq!(block(&pod("p").pending().only(strange).build()), None);
}

#[test]
fn a_sidecar_without_an_image_blocks_too() {
    let mut sidecar = container("proxy").waiting("ErrImageNeverPull", "");
    sidecar.judged = false;
    let fault = block(&pod("p").pending().init(sidecar).build()).unwrap();
    assert!(
        fault
            .message
            .starts_with("init container proxy waits (ErrImageNeverPull)")
    );
}

/// A sidecar that ended and waits to be restarted.
fn failing_sidecar() -> ContainerView {
    let mut sidecar = container("proxy").waiting("CrashLoopBackOff", "back-off");
    sidecar.judged = false;
    sidecar.last = Some(end(3).ran(0, 20).build());
    sidecar
}

#[test]
fn an_end_is_told_until_the_next_run_has_lasted() {
    let again = pod("p").restarted(end(1).ran(0, 20).build(), 1, at(30));
    let again = again.condition(PodConditionType::Ready, true, "", "", at(30));
    let fault = again.clone().alone().fault(629);
    assert_eq!(
        (fault.class, fault.at),
        (Class::AppExitedNonZero, Some(at(20)))
    );
    assert_eq!(again.alone().fault(630).class, Class::NoFault);
}

#[test]
fn a_clean_end_is_a_fault_only_of_what_was_to_run_for_ever() {
    let ended = || pod("p").ended(end(0).ran(0, 20).build());
    let fault = ended().alone().fault(30);
    assert_eq!(
        (fault.class, fault.confidence),
        (Class::AppExitedZero, Confidence::Proved)
    );
    let once = ended().never_restarted().alone();
    assert_eq!(once.fault(30).class, Class::NoFault);
    let done = pod("p").succeeded(end(0).ran(0, 20).build()).alone();
    assert_eq!(done.fault(30).class, Class::NoFault);
    let failed = pod("p").ended(end(2).ran(0, 20).build()).never_restarted();
    assert_eq!(failed.alone().fault(30).class, Class::AppExitedNonZero);
}

#[test]
fn a_sidecar_that_keeps_ending_is_told_with_its_own_end() {
    let long_since = pod("p")
        .ready(at(1))
        .init(failing_sidecar())
        .alone()
        .fault(700);
    let just_begun = pod("p")
        .ready(at(1))
        .init(failing_sidecar())
        .alone()
        .fault(60);
    let starting = pod("p")
        .waiting("PodInitializing", "")
        .init(failing_sidecar())
        .alone()
        .fault(120);
    for fault in [long_since, just_begun, starting] {
        assert_eq!(fault.class, Class::AppExitedNonZero);
        assert_eq!(fault.contributing, [Class::SidecarFailed]);
        assert_eq!(fault.container.as_deref(), Some("proxy"));
        assert!(
            fault
                .message
                .starts_with("sidecar proxy ended with exit code 3")
        );
        let code = "status.initContainerStatuses[proxy].lastState.terminated.exitCode";
        assert_eq!(fault.proofs.first(), Some(&proof("Pod p", code, "3")));
    }
}

#[test]
fn an_end_of_the_program_is_told_before_one_of_its_sidecar() {
    let both = pod("p").crash_loop(end(4).ran(0, 20).build(), 1);
    let fault = both.init(failing_sidecar()).alone().fault(60);
    assert_eq!(fault.container.as_deref(), Some("main"));
    assert!(fault.contributing.is_empty());
}

#[test]
fn a_back_off_whose_end_is_not_shown_is_not_well() {
    let waits = pod("p")
        .running(at(0))
        .waiting("CrashLoopBackOff", "back-off");
    let fault = waits.alone().fault(60);
    assert_eq!(
        (fault.class, fault.confidence),
        (Class::Unknown, Confidence::Rest)
    );
    assert_eq!(
        fault.proofs,
        [proof(
            "Pod p",
            "status.containerStatuses[main].state.waiting.reason",
            "CrashLoopBackOff"
        )]
    );
    let hook = pod("p")
        .running(at(0))
        .waiting("PostStartHookError", "exit 3");
    let fault = hook.alone().fault(60);
    assert_eq!(
        (fault.class, fault.confidence),
        (Class::PostStartHookFailed, Confidence::Proved)
    );
}

#[test]
fn an_init_container_that_runs_for_ever_holds_up_its_pod() {
    let waits = |since| {
        pod("p")
            .waiting("PodInitializing", "")
            .init(container("setup").running(at(since)))
            .alone()
    };
    assert_eq!(waits(10).fault(609).class, Class::NoFault);
    let fault = waits(10).fault(610);
    assert_eq!(
        (fault.class, fault.confidence, fault.at),
        (
            Class::InitContainerStuck,
            Confidence::Inferred,
            Some(at(10))
        )
    );
    assert_eq!(fault.container.as_deref(), Some("setup"));
    let field = "status.initContainerStatuses[setup].state.running.startedAt";
    assert_eq!(fault.proofs, [proof("Pod p", field, &at(10).to_string())]);
    let mut sidecar = container("proxy").running(at(10));
    sidecar.judged = false;
    let beside = pod("p").waiting("PodInitializing", "").init(sidecar);
    assert_eq!(stuck_init(&beside.alone().evidence(), at(900)), None);
}

#[test]
fn containers_are_created_as_long_as_one_of_them_has_never_run() {
    let cases = [
        (pod("p"), true),
        (pod("p").waiting("PodInitializing", ""), true),
        (pod("p").waiting("", ""), true),
        (pod("p").but(|pod| pod.containers.clear()), true),
        (pod("p").ready(at(1)).with(container("side")), true),
        (pod("p").waiting("ErrImagePull", ""), false),
        (pod("p").ready(at(1)), false),
        (pod("p").ended(end(0).build()), false),
        (pod("p").failed("", ""), false),
        (
            pod("p").ready(at(1)).but(|pod| pod.containers.clear()),
            false,
        ),
        (
            pod("p").but(|pod| pod.containers[0].last = Some(end(1).build())),
            false,
        ),
    ];
    for (pod, expected) in cases {
        let pod = pod.build();
        assert_eq!(are_created(&pod), expected, "{pod:?}");
    }
}

#[test]
fn a_start_error_that_stands_only_in_the_last_state_is_told_from_there() {
    let text = "exec: \"nope\": executable file not found in $PATH";
    let mut again = container("main").waiting("RunContainerError", "");
    again.last = Some(end(128).reason("StartError").message(text).build());
    let fault = pod("p").only(again).alone().fault(60);
    assert_eq!(
        (fault.class, fault.verdict),
        (Class::CommandNotFound, Verdict::Hold)
    );
    let field = "status.containerStatuses[main].lastState.terminated.message";
    let said = proof("Pod p", field, text);
    assert!(fault.proofs.contains(&said), "{:?}", fault.proofs);
}

#[test]
fn the_proof_of_an_end_says_whether_it_is_the_current_one() {
    let now = pod("p").ended(end(1).build()).alone().fault(30);
    let field = "status.containerStatuses[main].state.terminated.exitCode";
    assert_eq!(now.proofs.first(), Some(&proof("Pod p", field, "1")));
    let before = pod("p").crash_loop(end(1).build(), 1).alone().fault(30);
    let field = "status.containerStatuses[main].lastState.terminated.exitCode";
    assert_eq!(before.proofs.first(), Some(&proof("Pod p", field, "1")));
}
