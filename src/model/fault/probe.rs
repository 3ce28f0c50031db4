//! Probes: containers that the kubelet killed because of one, and containers that are not ready.
//!
//! Rule: a status never says that a probe killed; only an Event proves it, and the times of the spec make it likely.
//! Sources: `pkg/kubelet/prober`, `pkg/kubelet/kuberuntime/kuberuntime_manager.go` (Kubernetes 1.36).

use jiff::Timestamp;

use super::class::family;
use super::evidence::{CLOCK_SKEW, EventView, Evidence};
use super::text::{EventRule, contains, join};
use super::{Class, Confidence, Fault, Proof, beside};
use crate::model::pod::ProbeView;
use crate::model::pod::{ContainerView, PodConditionType, RestartPolicy, Termination};

family! {
    /// A probe of a running container failed, and the kubelet killed the container or does not call it ready.
    /// The evidence of a kill is only an Event `Killing`, because no status records it; the evidence of
    /// unreadiness is the Pod's conditions and Events `Unhealthy`.
    Probe {
        /// The kubelet killed the container because its liveness probe failed too often. An Event `Killing`
        /// says so shortly before the end; the exit code may be 0, 137 or 143.
        LivenessProbeKilled: Application, Cluster, "Read the Event `Unhealthy` (`kubectl describe pod`) and the log of that time. If the program was only slow, raise `timeoutSeconds` or `failureThreshold` of `livenessProbe`.";
        /// The kubelet killed the container because its startup probe did not succeed in time. An Event
        /// `Killing` says so, and `started` in the container's status is false.
        StartupProbeKilled: Application, Cluster, "Find in the log (`kubectl logs --previous`) how far the program came. If it only needs longer, raise `failureThreshold` or `periodSeconds` of `startupProbe`.";
        /// The liveness probe fails, but not yet often enough for a kill. The container runs, and the Pod has
        /// Events `Unhealthy`.
        LivenessProbeFailing: None, Source, "It may pass by itself. Worry when the Event's count grows (`kubectl describe pod`): then look at the container's CPU limit and at `timeoutSeconds` of `livenessProbe`.";
        /// The container runs but its readiness probe fails, so that Services send the Pod no traffic. The
        /// Pod has Events `Unhealthy`, and its condition `Ready` is false with the reason
        /// `ContainersNotReady`.
        ReadinessProbeFailing: Application, Cluster, "Read the probe's answer in the Event `Unhealthy` (`kubectl describe pod`) and the log: often the program waits for something that it depends on.";
        /// A probe cannot succeed as it is written, because it asks for a port, path, command or protocol
        /// that the program does not have. From the first time on, its Events say for example that the
        /// connection was refused or that the answer is 404.
        ProbeMisconfigured: Hold, Cluster, "Compare the probe's port, path, scheme and command in the template with what the program offers. Try the same by hand with `kubectl exec` or `kubectl port-forward`.";
        /// An HTTP probe was sent on to another host, which the kubelet does not follow but counts as
        /// success. An Event `ProbeWarning` says so.
        ProbeRedirectWarning: None, Source, "Set `httpGet.path` of the probe to a path that the program answers itself. Nothing fails now, but the probe does not tell whether the program works.";
        /// All containers are ready, but a condition that `readinessGates` of the Pod names is missing or
        /// false. The condition `Ready` is false with the reason `ReadinessGatesNotReady`.
        ReadinessGateNotReady: Wait, Cluster, "See which gate is missing (`kubectl describe pod`), and look at the controller that sets it, such as that of a load balancer. A restart of the Pod does not help.";
        /// The containers run and the Pod is not Ready, but no probe, Event or readiness gate says why. Only
        /// the condition `Ready` is false.
        ReadinessUnknown: Unknown, Source, "Wait a minute, because the status may be late. If it stays, compare the conditions in `kubectl get pod -o yaml`, and look at the node (`kubectl describe node`).";
    }
}

/// What the kubelet says as it kills. The kill of a container that is not to be restarted has no second half.
const KILLS: &[(&str, Class)] = &[
    ("failed liveness probe", Class::LivenessProbeKilled),
    ("failed startup probe", Class::StartupProbeKilled),
    ("failed postStart hook", Class::PostStartHookFailed),
    ("FailedPostStartHook", Class::PostStartHookFailed),
    ("definition changed", Class::ContainerSpecChanged),
    ("resize requires restart", Class::ContainerSpecChanged),
];

/// How the Events of failures begin of the probes for which the kubelet kills.
const PROBES: &[(&str, Class)] = &[
    ("Liveness probe ", Class::LivenessProbeKilled),
    ("Startup probe ", Class::StartupProbeKilled),
];

/// What only a probe that can never pass is answered.
const MISCONFIGURED: &[&str] = &[
    "executable file not found",
    "no such file or directory",
    "does not implement the grpc health protocol",
    "couldn't find port",
    "could not find port",
];

/// What a probe of a wrong path, or one without credentials, is answered; or a program that is not up yet.
const SUSPICIOUS: &[&str] = &["statuscode: 401", "statuscode: 403", "statuscode: 404"];

/// Reasons of Events that only explain.
pub(super) const CONTEXT: &[EventRule] = &[
    EventRule(&["ProbeWarning"], &[""], Class::ProbeRedirectWarning),
    EventRule(
        &["Unhealthy"],
        &["liveness probe "],
        Class::LivenessProbeFailing,
    ),
];

/// How much longer than the probe allows a container may run, in seconds: one try more, and to stop.
const SLACK_SECONDS: i64 = 3;

/// How long after one failure of a probe the next may come, in seconds, where the spec does not say it.
const LONGEST_BETWEEN: i64 = 60;

/// Why the kubelet ended a run of a container, and what proves it.
pub(super) struct Kill {
    pub(super) class: Class,
    pub(super) confidence: Confidence,
    /// What the probe or hook was answered.
    pub(super) said: String,
    pub(super) proofs: Vec<Proof>,
}

/// Whether the kubelet ended that run: as it said itself, as the failures of a probe say, or as the times of the spec
/// suggest.
pub(super) fn killed(
    evidence: &Evidence<'_>,
    container: &ContainerView,
    end: &Termination,
) -> Option<Kill> {
    let kill = announced(evidence, container, end)
        .or_else(|| failed_until_the_end(evidence, container, end))
        .or_else(|| timed_out(evidence, container, end))?;
    Some(misconfigured(kill, container))
}

fn announced(
    evidence: &Evidence<'_>,
    container: &ContainerView,
    end: &Termination,
) -> Option<Kill> {
    let events = evidence.events_of(&container.name, &["Killing"]);
    let (event, class) = events
        .into_iter()
        .rev()
        .filter(|event| ended_by(evidence, container, end, event))
        .find_map(|event| Some((event, of_kill(event)?)))?;
    let mut proofs = vec![Proof::event(event)];
    let failure = failures(evidence, container, end, class).pop();
    proofs.extend(failure.map(Proof::event));
    Some(Kill {
        class,
        confidence: Confidence::Witnessed,
        said: failure
            .map_or_else(|| event.text(), |failure| answer(failure))
            .to_owned(),
        proofs,
    })
}

/// Whether a kill was that of this run: it came while the container ran, and the run ended within its grace period.
fn ended_by(
    evidence: &Evidence<'_>,
    container: &ContainerView,
    end: &Termination,
    event: &EventView,
) -> bool {
    let stopping = evidence.grace_seconds() + CLOCK_SKEW.as_secs();
    let from = [
        end.started.map(Timestamp::as_second),
        end.finished.map(|finished| finished.as_second() - stopping),
    ];
    let from = from.into_iter().flatten().max();
    // Times are whole seconds: in the second of its start, it may have been the run before that was killed.
    let before = container.last.as_ref().filter(|run| *run != end);
    let before = before.and_then(|run| run.finished.map(Timestamp::as_second));
    let from = from.map(|from| match before {
        Some(before) if before == from => from + 1,
        _ => from,
    });
    let to = end
        .finished
        .map(|finished| finished.as_second() + CLOCK_SKEW.as_secs());
    event.is_within(from, to)
}

/// Why the kubelet kills, as an Event of the kill says.
fn of_kill(event: &EventView) -> Option<Class> {
    let text = event.text();
    let (_, class) = KILLS.iter().find(|(phrase, _)| text.contains(phrase))?;
    Some(*class)
}

/// The Event of the kill may have been lost: the kubelet sends a noisy container's Events no more.
fn failed_until_the_end(
    evidence: &Evidence<'_>,
    container: &ContainerView,
    end: &Termination,
) -> Option<Kill> {
    if !was_told_to_stop(end) {
        return None;
    }
    let spec = evidence.spec_of(container);
    PROBES.iter().find_map(|(_, class)| {
        let failure = failures(evidence, container, end, *class).pop()?;
        let probe = spec.and_then(|spec| match *class {
            Class::StartupProbeKilled => spec.startup,
            _ => spec.liveness,
        });
        let between = probe.map_or(LONGEST_BETWEEN, |probe| probe.period + probe.timeout);
        let silence = evidence.grace_seconds() + between + CLOCK_SKEW.as_secs();
        let from = end.finished.map(|finished| finished.as_second() - silence);
        if !failure.is_within(from, None) {
            return None;
        }
        Some(Kill {
            class: *class,
            confidence: Confidence::Inferred,
            said: answer(failure).to_owned(),
            proofs: vec![Proof::event(failure)],
        })
    })
}

/// Without any Event: a run that ended just when the probe's patience did.
fn timed_out(
    evidence: &Evidence<'_>,
    container: &ContainerView,
    end: &Termination,
) -> Option<Kill> {
    let spec = evidence.spec_of(container)?;
    let ran = end.finished?.as_second() - end.started?.as_second();
    let grace = evidence.grace_seconds();
    let fits = |probe: &ProbeView| {
        let budget = probe.initial_delay + probe.period * (probe.failure_threshold - 1);
        let late = probe.period + probe.timeout + SLACK_SECONDS;
        let stopping = if end.exit_code == 137 { grace } else { 0 };
        (budget..=budget + late + stopping).contains(&ran)
    };
    // A container that has never started knows no liveness yet.
    let (class, probe, field) = match (&spec.startup, &spec.liveness) {
        (Some(probe), _) => (Class::StartupProbeKilled, probe, "startupProbe"),
        (None, Some(probe)) => (Class::LivenessProbeKilled, probe, "livenessProbe"),
        (None, None) => return None,
    };
    // A clean end whose cause nobody has recorded is clean. Only where nothing is to end by itself does one before the
    // start look like a kill.
    let is_strange = end.exit_code == 0
        && class == Class::StartupProbeKilled
        && evidence.pod.restart_policy == RestartPolicy::Always;
    let was_stopped = was_told_to_stop(end) || is_strange;
    if !was_stopped || container.ready || container.restarts == 0 || !fits(probe) {
        return None;
    }
    let patience = probe.initial_delay + probe.period * probe.failure_threshold;
    Some(Kill {
        class,
        confidence: Confidence::Inferred,
        said: format!("it ran {ran} s, and the probe gives it {patience} s"),
        proofs: vec![Proof::pod(
            evidence.pod,
            &format!("spec.containers[{}].{field}", container.name),
            &format!(
                "initialDelaySeconds {}, periodSeconds {}, failureThreshold {}",
                probe.initial_delay, probe.period, probe.failure_threshold
            ),
        )],
    })
}

/// What only the Events tell of a Pod whose containers the status does not show.
pub(super) fn unseen(evidence: &Evidence<'_>) -> Option<Fault> {
    let kills = evidence.events_of_pod(&["Killing"]);
    let killed = kills
        .into_iter()
        .rev()
        .find_map(|event| Some((event, of_kill(event)?, Confidence::Witnessed)));
    let failing = || {
        let events = evidence.events_of_pod(&["Unhealthy"]);
        let of_failure = |event: &EventView| {
            let mut probes = PROBES.iter();
            let (_, class) = probes.find(|(start, _)| event.text().starts_with(start))?;
            Some(*class)
        };
        events
            .into_iter()
            .rev()
            .find_map(|event| Some((event, of_failure(event)?, Confidence::Inferred)))
    };
    let (event, class, confidence) = killed.or_else(failing)?;
    let fault = Fault::witnessed(class, "a container of the Pod failed its probe", event);
    Some(Fault {
        confidence,
        ..fault
    })
}

/// A probe that can never pass is the cause, once it has killed twice.
fn misconfigured(kill: Kill, container: &ContainerView) -> Kill {
    let by_probe = matches!(
        kill.class,
        Class::LivenessProbeKilled | Class::StartupProbeKilled
    );
    if by_probe && container.restarts > 1 && contains(&kill.said, MISCONFIGURED) {
        return Kill {
            class: Class::ProbeMisconfigured,
            ..kill
        };
    }
    kill
}

/// The failures of a probe of that container during that run, oldest first.
fn failures<'a>(
    evidence: &Evidence<'a>,
    container: &ContainerView,
    end: &Termination,
    class: Class,
) -> Vec<&'a EventView> {
    let Some((start, _)) = PROBES.iter().find(|(_, of)| *of == class) else {
        return Vec::new();
    };
    let mut events = evidence.events_of(&container.name, &["Unhealthy"]);
    events.retain(|event| {
        event.text().starts_with(start) && event.falls_in(end.started, end.finished)
    });
    events
}

/// Whether a run ended as one does that is told to stop.
fn was_told_to_stop(end: &Termination) -> bool {
    matches!(end.exit_code, 137 | 143) && end.reason != "OOMKilled"
}

/// What a probe was answered.
fn answer(event: &EventView) -> &str {
    let text = event.text();
    text.split_once(": ").map_or(text, |(_, answer)| answer)
}

/// Whether what a probe was answered says that it may be written wrongly.
pub(super) fn is_misconfigured(answer: &str) -> bool {
    contains(answer, MISCONFIGURED) || contains(answer, SUSPICIOUS)
}

/// What keeps a Pod whose containers run from being Ready.
pub(super) fn unready(evidence: &Evidence<'_>) -> Option<Fault> {
    let pod = evidence.pod;
    let ready = pod.condition(PodConditionType::Ready);
    if pod.is_deleting() || pod.is_ready() {
        return None;
    }
    let at = ready.and_then(|condition| condition.changed);
    if let Some(gates) = ready.filter(|condition| condition.reason == "ReadinessGatesNotReady") {
        let message = join(
            "the containers are ready, and a readiness gate is not",
            &gates.message,
        );
        let fault = Fault::new(
            Class::ReadinessGateNotReady,
            Confidence::Proved,
            &message,
            at,
        );
        return Some(fault.proved(Proof::condition(pod, gates)));
    }
    let runs = |c: &&ContainerView| c.is_running() && !c.ready;
    let mut containers = pod.containers.iter().chain(&pod.init_containers);
    let container = containers.find(runs)?;
    let spec = evidence.spec_of(container);
    let name = &container.name;
    let mut events = evidence.events_of(name, &["Unhealthy"]);
    let since = container.running_since();
    events.retain(|event| event.falls_in(since, None));
    let newest = |start: &str| {
        events
            .iter()
            .rev()
            .find(|event| event.text().starts_with(start))
            .copied()
    };
    let of_startup =
        newest("Startup probe ").filter(|_| spec.is_none_or(|spec| spec.startup.is_some()));
    let is_not_ready = format!("container {name} runs and is not ready");
    let unready = Proof::container(pod, name, "ready", "false");
    let failing = newest("Readiness probe ").or(of_startup);
    let (class, confidence, message, proof) = match failing {
        Some(event) => (
            Class::ReadinessProbeFailing,
            Confidence::Witnessed,
            join(&format!("{is_not_ready}, its probe fails"), answer(event)),
            Proof::event(event),
        ),
        None if spec.is_some_and(|spec| spec.readiness.is_some()) => (
            Class::ReadinessProbeFailing,
            Confidence::Inferred,
            format!("{is_not_ready}, as its readiness probe says"),
            unready,
        ),
        // Only an ill device says more than nothing.
        None if beside::unhealthy(evidence).is_some() => return beside::unhealthy(evidence),
        None => (
            Class::ReadinessUnknown,
            Confidence::Rest,
            format!("{is_not_ready}, and nothing says why"),
            unready,
        ),
    };
    let mut fault = Fault::new(class, confidence, &message, at).of(name);
    if is_misconfigured(&message) {
        fault.contributing.push(Class::ProbeMisconfigured);
    }
    Some(fault.proved(proof))
}

#[cfg(test)]
mod tests;
