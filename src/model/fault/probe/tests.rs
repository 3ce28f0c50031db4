//! Kills because of a probe, and containers that are not ready.
//!
//! Rule: a kill is certain only by its Event; the times of a run make it likely.

use super::*;
use crate::model::fault::testing::{
    PodBuilder, at, container, end, event, every, pod, proof, spec_of,
};
use crate::model::fault::{ObjectRef, Verdict};
use crate::model::pod::ContainerSpecView;

const LIVENESS: &str = "Container main failed liveness probe, will be restarted";

/// A Pod whose container ran for 30 s and waits to be restarted.
fn ended(code: i32) -> PodBuilder {
    pod("p").crash_loop(end(code).ran(0, 30).build(), 1)
}

fn killing(message: &str) -> EventView {
    event("Killing", message)
        .of("p")
        .in_container("main")
        .at(29)
}

fn unhealthy(message: &str, seconds: i64) -> EventView {
    event("Unhealthy", message)
        .of("p")
        .in_container("main")
        .at(seconds)
}

fn with_liveness() -> ContainerSpecView {
    ContainerSpecView {
        liveness: Some(every(10, 3)),
        ..spec_of("main")
    }
}

fn with_startup() -> ContainerSpecView {
    ContainerSpecView {
        startup: Some(every(10, 3)),
        ..spec_of("main")
    }
}

/// A Pod whose container runs since `at(10)` and is not ready.
fn unready_pod() -> PodBuilder {
    pod("p")
        .running(at(10))
        .but(|pod| pod.containers[0].ready = false)
        .condition(
            PodConditionType::Ready,
            false,
            "ContainersNotReady",
            "containers with unready status: [main]",
            at(10),
        )
}

#[test]
fn a_kill_by_a_liveness_probe_is_told_whatever_the_exit_code() {
    for (code, manner) in [
        (0, "exit code 0"),
        (1, "exit code 1"),
        (137, "exit code 137 (SIGKILL)"),
        (143, "exit code 143 (SIGTERM)"),
    ] {
        let failed = unhealthy(
            "Liveness probe failed: HTTP probe failed with statuscode: 500",
            28,
        );
        let fault = ended(code).told([failed, killing(LIVENESS)]).fault(60);
        assert_eq!(
            (fault.class, fault.confidence, fault.verdict),
            (
                Class::LivenessProbeKilled,
                Confidence::Witnessed,
                Verdict::Application
            )
        );
        assert_eq!(fault.at, Some(at(30)));
        assert_eq!(fault.proximate.as_deref(), Some(manner));
        assert_eq!(
            fault.message,
            format!(
                "the kubelet killed container main because its liveness probe failed ({manner} \
                 after 30 s): HTTP probe failed with statuscode: 500"
            )
        );
        let told = proof("Event Killing of Pod p", "message", LIVENESS);
        assert_eq!(fault.proofs.first(), Some(&told));
        let code = proof(
            "Pod p",
            "status.containerStatuses[main].lastState.terminated.exitCode",
            &code.to_string(),
        );
        assert!(fault.proofs.contains(&code), "{:?}", fault.proofs);
    }
}

#[test]
fn the_kubelet_says_why_it_kills() {
    let table = [
        (
            "Container main failed startup probe, will be restarted",
            Class::StartupProbeKilled,
        ),
        (
            "Container main failed liveness probe",
            Class::LivenessProbeKilled,
        ),
        (
            "Init container main failed liveness probe",
            Class::LivenessProbeKilled,
        ),
        ("FailedPostStartHook", Class::PostStartHookFailed),
        (
            "Container main definition changed, will be restarted",
            Class::ContainerSpecChanged,
        ),
        (
            "Container main resize requires restart",
            Class::ContainerSpecChanged,
        ),
        ("Stopping container main", Class::SigkillUnattributed),
    ];
    for (text, class) in table {
        let fault = ended(137).told([killing(text)]).fault(60);
        assert_eq!(fault.class, class, "{text}");
    }
}

#[test]
fn a_container_that_is_restarted_for_its_new_spec_is_not_charged() {
    let text = "Container main definition changed, will be restarted";
    let fault = ended(143).told([killing(text)]).fault(60);
    assert_eq!(fault.verdict, Verdict::Infrastructure);
}

#[test]
fn kills_of_another_container_or_another_pod_or_another_run_do_not_count() {
    let others = [
        killing(LIVENESS).in_container("side"),
        event(
            "Killing",
            "Container side failed liveness probe, will be restarted",
        )
        .of("p")
        .at(29),
        killing(LIVENESS).of("other"),
        EventView {
            object: ObjectRef {
                uid: "uid of an earlier Pod of this name".to_owned(),
                ..killing(LIVENESS).object
            },
            ..killing(LIVENESS)
        },
        killing(LIVENESS).at(40),
    ];
    for other in others {
        let fault = ended(137).told([other.clone()]).fault(60);
        assert_eq!(fault.class, Class::SigkillUnattributed, "{other:?}");
    }
    let later = pod("p").crash_loop(end(137).ran(40, 60).build(), 2);
    let fault = later.told([killing(LIVENESS)]).fault(90);
    assert_eq!(fault.class, Class::SigkillUnattributed);
}

#[test]
fn an_event_that_names_no_container_counts_by_its_text_and_one_without_a_time_always() {
    let untimed = event("Killing", LIVENESS).of("p");
    let fault = ended(137).told([untimed]).fault(60);
    assert_eq!(fault.class, Class::LivenessProbeKilled);
    let combined = killing(&format!("(combined from similar events): {LIVENESS}"));
    let fault = ended(137).told([combined]).fault(60);
    assert_eq!(fault.class, Class::LivenessProbeKilled);
}

#[test]
fn failures_until_the_end_make_a_kill_likely_when_its_event_is_gone() {
    let failed = || unhealthy("Liveness probe failed: command timed out", 28);
    for code in [137, 143] {
        let fault = ended(code).told([failed()]).fault(60);
        assert_eq!(
            (fault.class, fault.confidence),
            (Class::LivenessProbeKilled, Confidence::Inferred)
        );
        assert!(fault.message.starts_with("the kubelet probably killed"));
    }
    let fault = ended(1).told([failed()]).fault(60);
    assert_eq!(fault.class, Class::AppExitedNonZero);
    let fault = ended(137)
        .told([unhealthy("Startup probe failed: no", 28)])
        .fault(60);
    assert_eq!(fault.class, Class::StartupProbeKilled);
    let fault = ended(137)
        .told([unhealthy("Readiness probe failed: no", 28)])
        .fault(60);
    assert_eq!(fault.class, Class::SigkillUnattributed);
}

#[test]
fn a_run_that_ended_with_the_patience_of_its_probe_was_probably_killed() {
    let ran = |code, seconds| {
        pod("p")
            .crash_loop(end(code).ran(0, seconds).build(), 1)
            .alone()
    };
    let fault = ran(143, 25).spec(with_liveness()).fault(60);
    assert_eq!(
        (fault.class, fault.confidence),
        (Class::LivenessProbeKilled, Confidence::Inferred)
    );
    assert_eq!(
        fault.proofs.first(),
        Some(&proof(
            "Pod p",
            "spec.containers[main].livenessProbe",
            "initialDelaySeconds 0, periodSeconds 10, failureThreshold 3"
        ))
    );
    let slow = ran(137, 60).spec(with_liveness());
    assert_eq!(slow.fault(90).class, Class::LivenessProbeKilled);
    let quick = slow.but_spec(|spec| spec.grace_seconds = Some(5));
    assert_eq!(quick.fault(90).class, Class::SigkillUnattributed);
    let late = ran(143, 60).spec(with_liveness()).fault(90);
    assert_eq!(late.class, Class::SigtermUnattributed);
}

#[test]
fn a_clean_end_with_the_patience_of_a_probe_is_clean_where_programs_may_end() {
    let ran = || pod("p").crash_loop(end(0).ran(0, 25).build(), 1);
    let fault = |pod: PodBuilder, spec| pod.alone().spec(spec).fault(60).class;
    assert_eq!(fault(ran(), with_startup()), Class::StartupProbeKilled);
    assert_eq!(fault(ran(), with_liveness()), Class::AppExitedZero);
    let may_end = ran().but(|pod| pod.restart_policy = RestartPolicy::OnFailure);
    assert_eq!(fault(may_end, with_startup()), Class::NoFault);
}

#[test]
fn the_times_of_a_first_run_or_of_a_container_that_is_ready_prove_nothing() {
    let first = pod("p").ended(end(143).ran(0, 25).build());
    let fault = first.alone().spec(with_liveness()).fault(60);
    assert_eq!(fault.class, Class::SigtermUnattributed);
    let ready = pod("p").restarted(end(143).ran(0, 25).build(), 1, at(26));
    let fault = ready.alone().spec(with_liveness()).fault(60);
    assert_eq!(fault.class, Class::SigtermUnattributed);
}

#[test]
fn a_probe_that_can_never_pass_is_the_cause_from_the_second_kill_on() {
    let texts = [
        "Liveness probe errored: exec: \"curl\": executable file not found in $PATH",
        "Liveness probe errored and resulted in unknown state: exec: \"/bin/curl\": stat \
         /bin/curl: no such file or directory",
        "Liveness probe failed: service does not implement the grpc health protocol",
        "Liveness probe errored and resulted in unknown state: couldn't find port: web",
    ];
    for text in texts {
        let killed = |restarts| {
            pod("p")
                .crash_loop(end(137).ran(0, 30).build(), restarts)
                .told([unhealthy(text, 28), killing(LIVENESS)])
                .fault(60)
        };
        assert_eq!(killed(1).class, Class::LivenessProbeKilled, "{text}");
        let fault = killed(2);
        assert_eq!(
            (fault.class, fault.verdict),
            (Class::ProbeMisconfigured, Verdict::Hold),
            "{text}"
        );
    }
}

#[test]
fn a_program_that_was_out_of_memory_is_that_even_if_its_probe_killed_it() {
    let oom = pod("p").crash_loop(end(137).reason("OOMKilled").ran(0, 30).build(), 1);
    let fault = oom.told([killing(LIVENESS)]).fault(60);
    assert_eq!(fault.class, Class::OomKilled);
    assert_eq!(
        fault.proximate.as_deref(),
        Some("killed by the kubelet (LivenessProbeKilled)")
    );
}

#[test]
fn a_child_that_was_out_of_memory_only_contributes_to_a_kill() {
    let child = pod("p").crash_loop(end(143).reason("OOMKilled").ran(0, 30).build(), 1);
    let fault = child.told([killing(LIVENESS)]).fault(60);
    assert_eq!(fault.class, Class::LivenessProbeKilled);
    assert_eq!(fault.contributing, [Class::OomKilledChild]);
}

#[test]
fn events_alone_tell_of_a_kill_when_the_status_shows_no_containers() {
    let bare = || pod("p").running(at(0)).but(|pod| pod.containers.clear());
    let fault = bare().told([killing(LIVENESS)]).fault(60);
    assert_eq!(
        (fault.class, fault.confidence),
        (Class::LivenessProbeKilled, Confidence::Witnessed)
    );
    let failed = unhealthy("Startup probe failed: no", 28);
    let fault = bare().told([failed]).fault(60);
    assert_eq!(
        (fault.class, fault.confidence),
        (Class::StartupProbeKilled, Confidence::Inferred)
    );
}

#[test]
fn a_container_that_fails_its_readiness_probe_is_told_with_the_answer() {
    let failed = unhealthy("Readiness probe failed: connection refused", 40);
    let fault = unready_pod().told([failed]).fault(60);
    assert_eq!(
        (fault.class, fault.confidence, fault.at),
        (
            Class::ReadinessProbeFailing,
            Confidence::Witnessed,
            Some(at(10))
        )
    );
    assert_eq!(fault.container.as_deref(), Some("main"));
    assert_eq!(
        fault.message,
        "container main runs and is not ready, its probe fails: connection refused"
    );
    assert!(fault.contributing.is_empty());
}

#[test]
fn a_readiness_probe_in_the_spec_is_likely_without_its_event() {
    let spec = ContainerSpecView {
        readiness: Some(every(10, 3)),
        ..spec_of("main")
    };
    let fault = unready_pod().alone().spec(spec).fault(60);
    assert_eq!(
        (fault.class, fault.confidence),
        (Class::ReadinessProbeFailing, Confidence::Inferred)
    );
    let ready = proof("Pod p", "status.containerStatuses[main].ready", "false");
    assert_eq!(fault.proofs, [ready]);
}

#[test]
fn a_startup_probe_keeps_a_container_from_being_ready_while_it_fails() {
    let failed = || unhealthy("Startup probe failed: not yet", 40);
    let fault = unready_pod().told([failed()]).fault(60);
    assert_eq!(fault.class, Class::ReadinessProbeFailing);
    let without = unready_pod()
        .told([failed()])
        .spec(spec_of("main"))
        .fault(60);
    assert_eq!(without.class, Class::ReadinessUnknown);
}

#[test]
fn a_container_that_nothing_keeps_from_being_ready_is_not_understood() {
    let fault = unready_pod().alone().fault(60);
    assert_eq!(
        (fault.class, fault.confidence, fault.verdict),
        (Class::ReadinessUnknown, Confidence::Rest, Verdict::Unknown)
    );
    let earlier = unhealthy("Readiness probe failed: in the run before", 5);
    let fault = unready_pod().told([earlier]).fault(60);
    assert_eq!(fault.class, Class::ReadinessUnknown);
}

#[test]
fn an_answer_that_a_wrong_probe_gets_is_told_as_a_suspicion() {
    for code in [401, 403, 404] {
        let text = format!("Readiness probe failed: HTTP probe failed with statuscode: {code}");
        let fault = unready_pod().told([unhealthy(&text, 40)]).fault(60);
        assert_eq!(fault.class, Class::ReadinessProbeFailing);
        assert_eq!(fault.contributing, [Class::ProbeMisconfigured]);
    }
}

#[test]
fn a_readiness_gate_is_told_with_its_name() {
    let text = "corresponding condition of pod readiness gate \"example.com/lb\" does not exist.";
    let gated = pod("p").running(at(1)).condition(
        PodConditionType::Ready,
        false,
        "ReadinessGatesNotReady",
        text,
        at(3),
    );
    let fault = gated.alone().fault(60);
    assert_eq!(
        (fault.class, fault.confidence, fault.at),
        (
            Class::ReadinessGateNotReady,
            Confidence::Proved,
            Some(at(3))
        )
    );
    let said = proof("Pod p", "status.conditions[Ready].message", text);
    assert_eq!(fault.proofs, [said]);
}

#[test]
fn a_sidecar_that_is_not_ready_is_told_where_it_stands() {
    let mut sidecar = container("proxy").running(at(10));
    (sidecar.judged, sidecar.ready) = (false, false);
    let fault = pod("p").running(at(10)).init(sidecar).alone().fault(60);
    assert_eq!(fault.class, Class::ReadinessUnknown);
    let ready = proof(
        "Pod p",
        "status.initContainerStatuses[proxy].ready",
        "false",
    );
    assert_eq!(fault.proofs, [ready]);
}

#[test]
fn warnings_of_probes_explain_and_are_no_fault() {
    let redirected = event(
        "ProbeWarning",
        "Liveness probe warning: Probe terminated redirects",
    )
    .of("p")
    .at(20);
    let failing = unhealthy("Liveness probe failed: timeout", 30);
    let fault = pod("p").ready(at(1)).told([redirected, failing]).fault(60);
    assert_eq!(fault.class, Class::NoFault);
    assert_eq!(
        fault.contributing,
        [Class::ProbeRedirectWarning, Class::LivenessProbeFailing]
    );
}
