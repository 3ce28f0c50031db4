//! Programs that end or misbehave by themselves: exit codes, signals, hooks, deadlines.
//!
//! Rule: a reason of the kubelet or the runtime beats the exit code beneath it, and so does who ended the program.
//! Sources: `pkg/kubelet/kuberuntime`, `pkg/kubelet/active_deadline.go` (Kubernetes 1.36), signal(7).

use jiff::Timestamp;

use super::class::family;
use super::evidence::Evidence;
use super::probe::Kill;
use super::text::{EventRule, join};
use super::{
    Class, Confidence, Fault, Proof, Verdict, beside, configuration, probe, resources, runtime,
};
use crate::model::pod::{ContainerState, ContainerView, Termination};

family! {
    /// After the containers had been created, a program ended, one of its hooks failed, or the time that it
    /// was given is over. The evidence is the container's exit code and reason in `state.terminated` or
    /// `lastState.terminated`, its log, and Events of the Pod.
    Application {
        /// The program ended with an exit code that says failure. The container's `state.terminated` (or
        /// `lastState.terminated` once it waits to be restarted) has that code and the reason `Error`.
        AppExitedNonZero: Application, Cluster, "Read the last lines of its log (`kubectl logs --previous`): the exit code is the program's own.";
        /// The program ended with exit code 0, which Kubernetes shows with the reason `Completed`. Whether
        /// that is a fault depends on the restart type.
        AppExitedZero: Application, Cluster, "If the program is meant to end, set `restart: Transient` or `restart: Temporary` for the worker. Otherwise find in its log why it ended (`kubectl logs --previous`).";
        /// The program was ended by SIGSEGV, because it touched memory that it may not touch. Kubernetes
        /// shows exit code 139, which is 128 plus the number of the signal.
        AppSegfault: Application, Cluster, "Look in the log for a stack trace (`kubectl logs --previous`), and go back to the last image that worked. If only one node shows it, compare its CPU and kernel (`kubectl describe node`).";
        /// The program ended itself with SIGABRT: a failed assertion, `abort()`, or a panic that aborts.
        /// Kubernetes shows exit code 134.
        AppAbort: Application, Cluster, "Read the last lines of its log (`kubectl logs --previous`): a program nearly always prints what it found wrong before it aborts.";
        /// The program was ended by another signal that a program causes itself, such as SIGILL, SIGBUS,
        /// SIGFPE, SIGPIPE or SIGSYS. The exit code is 128 plus the number of the signal.
        AppFatalSignal: Application, Cluster, "Subtract 128 from the exit code for the signal: 4 is an image built for newer CPUs, 7 a full memory volume or missing huge pages, 13 a closed pipe, 31 a seccomp profile.";
        /// The program was ended by SIGKILL (exit code 137), and nothing says who sent it. There is no reason
        /// `OOMKilled`, no Event `Killing`, no deletion and no disruption.
        SigkillUnattributed: Unknown, Cluster, "Compare its memory use with its limit (`kubectl top pod`), look for `OOMKilling` among the node's Events (`kubectl describe node`), and for a `kill -9` in the image's own scripts.";
        /// The program was ended by SIGTERM or SIGINT (exit code 143 or 130), and nothing says who sent it.
        /// No Event says that the kubelet stopped the container.
        SigtermUnattributed: Unknown, Cluster, "Look for a script or another process in the container that sends the signal, and for people or tools that ran `kubectl exec` there.";
        /// The program's shell did not find a command, which is exit code 127. It is held from the second
        /// time on in one Pod, because a script may also say so for a reason that passes.
        CommandExit127: Hold, Cluster, "Find the missing command in the log (`kubectl logs --previous`), then correct `command` or `args` in the template, or put the command into the image.";
        /// The program's shell found a command but could not execute it, which is exit code 126. It is held
        /// from the second time on in one Pod, like `CommandExit127`.
        CommandExit126: Hold, Cluster, "Find the file in the log (`kubectl logs --previous`) and make it executable in the image, or set `defaultMode: 0755` for the volume if it comes from a `ConfigMap`.";
        /// The runtime's seccomp filter killed the program for a system call that its profile forbids. Only
        /// CRI-O says so, with the reason `seccomp killed` in `state.terminated`.
        SeccompKilled: Hold, Source, "Find the system call in the node's audit log. Allow it in the profile that `securityContext.seccompProfile` names, or name another profile.";
        /// The postStart hook failed, and the kubelet killed the container. The container waits with the
        /// reason `PostStartHookError`; the exit code in `lastState` only shows that kill.
        PostStartHookFailed: Application, Cluster, "Read the hook's error in `state.waiting.message` (`kubectl get pod -o yaml`), then correct `lifecycle.postStart` of the container, or let the program do that work itself.";
        /// The preStop hook failed while the container was being stopped, which an Event `FailedPreStopHook`
        /// says. It is never the reason why a container ends.
        PreStopHookFailed: None, Source, "Correct `lifecycle.preStop` of the container if its work matters. The stop goes on without it, so worry only when requests or data are lost at a stop.";
        /// The program did not end within its grace period, and the runtime killed it. An Event
        /// `ExceededGracePeriod` says so, or exit code 137 with an end not before the Pod's
        /// `deletionTimestamp`.
        GracePeriodExceeded: None, Source, "Make the program end on SIGTERM, or raise `terminationGracePeriodSeconds` in the template. Worry if such a kill can cut off data that it is writing.";
        /// The Pod ran longer than its `activeDeadlineSeconds`. It has failed with the reason
        /// `DeadlineExceeded`; the exit codes of its containers only follow from that.
        ActiveDeadlineExceeded: Application, Cluster, "Raise or remove `activeDeadlineSeconds` in the template, or find in the log (`kubectl logs`) why the work takes longer than it should.";
        /// The containers ran for `startDeadlineSeconds` without the replica having started. Kubernetes
        /// itself sees no fault: what the worker's `ready` asks for, such as the condition `Ready`, did not
        /// come.
        StartDeadlineExceeded: Application, Cluster, "See with `kubectl describe pod` which container is not ready, and read its log. If the program only needs longer, raise the worker's `startDeadlineSeconds`.";
        /// An init container runs for longer than a start may take, without failing. The app containers still
        /// wait with the reason `PodInitializing`.
        InitContainerStuck: Application, Source, "Read the log of that init container (`kubectl logs -c` with its name): most often it waits for something that does not come, such as a database or a lock.";
        /// A sidecar, which is an init container with `restartPolicy: Always`, ended or keeps ending, as
        /// `initContainerStatuses` shows. The kubelet restarts it, and the cause is in its own exit.
        SidecarFailed: None, Source, "Read its log (`kubectl logs --previous -c` with its name). It may pass by itself; worry when it keeps the app containers from starting or the Pod from being Ready.";
        /// A container that somebody added with `kubectl debug` failed, as `ephemeralContainerStatuses`
        /// shows. The Pod's own containers are not affected.
        EphemeralContainerFailed: None, Source, "Do nothing for the Pod. If you need the debug container, read its message with `kubectl describe pod` and add another one with the right `--image` and `--target`.";
    }
}

/// Reasons of Pods as a whole, in lower case.
pub(super) const REASONS: &[(&str, Class)] = &[("deadlineexceeded", Class::ActiveDeadlineExceeded)];

/// Reasons of Events that only explain.
pub(super) const CONTEXT: &[EventRule] = &[
    EventRule(&["FailedPreStopHook"], &[""], Class::PreStopHookFailed),
    EventRule(&["ExceededGracePeriod"], &[""], Class::GracePeriodExceeded),
];

/// How one run of a container ended, and why. `place` is where the status tells of it, for example
/// `status.containerStatuses[main].lastState.terminated`.
pub(super) fn judge(
    evidence: &Evidence<'_>,
    container: &ContainerView,
    end: &Termination,
    kind: &str,
    place: &str,
) -> Fault {
    if container.waits_with("PostStartHookError") {
        return hook_failed(evidence, container, end, kind, place);
    }
    let (class, confidence) = classify(end);
    let own = own_end(evidence, container, end, kind, (class, confidence), place);
    let fault = match probe::killed(evidence, container, end) {
        // Whoever told it to stop, it was out of memory before it did.
        Some(kill) if class == Class::OomKilled => Fault {
            proximate: Some(format!("killed by the kubelet ({})", kill.class)),
            ..own
        },
        Some(kill) if class.is_own_end() => killed(container, end, kind, own, kill),
        // A process beside the program was out of memory before; who ended the program is another matter.
        Some(kill)
            if class == Class::OomKilledChild && kill.confidence == Confidence::Witnessed =>
        {
            let mut fault = killed(container, end, kind, own, kill);
            fault.contributing.push(class);
            fault
        }
        _ => own,
    };
    beside::on_device(evidence, container, fault, &manner(end))
}

fn own_end(
    evidence: &Evidence<'_>,
    container: &ContainerView,
    end: &Termination,
    kind: &str,
    (class, confidence): (Class, Confidence),
    place: &str,
) -> Fault {
    let kernel = match class {
        Class::SigkillUnattributed => resources::kernel_killed(evidence, end),
        _ => None,
    };
    let (class, confidence) = match kernel {
        Some(_) => (Class::OomSuspected, Confidence::Inferred),
        None if class == Class::AppExitedNonZero && configuration::is_of_other_platform(end) => {
            (Class::ImagePlatformMismatch, Confidence::Witnessed)
        }
        None => (class, confidence),
    };
    let suspects = suspects(evidence, container, class);
    let message = join(&describe(container, end, kind, class), &end.message);
    let message = format!("{message}{suspects}");
    let of_end =
        |field: &str, value: &str| Proof::pod(evidence.pod, &format!("{place}.{field}"), value);
    let mut fault = Fault::new(class, confidence, &message, happened(end)).of(&container.name);
    fault = fault
        .proved(of_end("exitCode", &end.exit_code.to_string()))
        .proved(of_end("reason", &end.reason));
    if class.family() != super::Family::Application || class == Class::SeccompKilled {
        fault = fault.proved(of_end("message", &end.message));
    }
    if let Some(event) = kernel {
        fault = fault.proved(Proof::event(event));
        fault.contributing.push(Class::NodeSystemOom);
    }
    if class == Class::OomKilledChild {
        fault.proximate = Some(manner(end));
    }
    let is_held = matches!(
        class,
        Class::CommandExit126 | Class::CommandExit127 | Class::OciStartFailed
    );
    if is_held && !repeats(container, end) {
        // Once may be chance.
        fault.verdict = match class {
            Class::OciStartFailed => Verdict::Unknown,
            _ => Verdict::Application,
        };
    }
    fault
}

fn hook_failed(
    evidence: &Evidence<'_>,
    container: &ContainerView,
    end: &Termination,
    kind: &str,
    place: &str,
) -> Fault {
    let said = match &container.state {
        ContainerState::Waiting { message, .. } => message,
        _ => "",
    };
    let head = describe(container, end, kind, Class::PostStartHookFailed);
    let fault = Fault::new(
        Class::PostStartHookFailed,
        Confidence::Proved,
        &join(&head, said),
        happened(end),
    );
    let fault = fault
        .of(&container.name)
        .proved(Proof::container(
            evidence.pod,
            &container.name,
            "state.waiting.reason",
            "PostStartHookError",
        ))
        .proved(Proof::pod(
            evidence.pod,
            &format!("{place}.exitCode"),
            &end.exit_code.to_string(),
        ));
    Fault {
        proximate: Some(manner(end)),
        ..fault
    }
}

/// An end that the kubelet brought about: why it did is the class, how the program ended only the manner.
fn killed(
    container: &ContainerView,
    end: &Termination,
    kind: &str,
    own: Fault,
    kill: Kill,
) -> Fault {
    let name = &container.name;
    let why = match kill.class {
        Class::StartupProbeKilled => "because its startup probe failed",
        Class::PostStartHookFailed => "because its postStart hook failed",
        Class::ContainerSpecChanged => "because its spec was changed",
        Class::ProbeMisconfigured => "because of a probe that can never pass",
        _ => "because its liveness probe failed",
    };
    let likely = if kill.confidence == Confidence::Inferred {
        "probably "
    } else {
        ""
    };
    let head = format!(
        "the kubelet {likely}killed {kind} {name} {why} ({}{})",
        manner(end),
        lasted(end)
    );
    let mut proofs = kill.proofs;
    proofs.extend(own.proofs);
    let fault = Fault::new(
        kill.class,
        kill.confidence,
        &join(&head, &kill.said),
        happened(end),
    );
    Fault {
        proximate: Some(manner(end)),
        container: own.container,
        proofs,
        ..fault
    }
}

/// How a program ended, in words.
fn manner(end: &Termination) -> String {
    match signal(end).and_then(signal_name) {
        Some(signal) => format!("exit code {} ({signal})", end.exit_code),
        None => format!("exit code {}", end.exit_code),
    }
}

/// What a SIGKILL without a sender may come from, as far as the spec tells.
fn suspects(evidence: &Evidence<'_>, container: &ContainerView, class: Class) -> String {
    let Some(spec) = evidence
        .spec_of(container)
        .filter(|_| class == Class::SigkillUnattributed)
    else {
        return String::new();
    };
    let mut suspects = Vec::new();
    if let Some(limit) = &spec.memory_limit {
        suspects.push(format!("its memory limit {limit}"));
    }
    if spec.liveness.is_some() || spec.startup.is_some() {
        suspects.push("a probe whose Event is gone".to_owned());
    }
    if suspects.is_empty() {
        return String::new();
    }
    format!("; may be: {}, or somebody's kill", suspects.join(", "))
}

/// Which of two ends is worse: the higher number. What happened below the program comes first, for it
/// explains the rest; a clean end needs all containers and comes last.
pub(super) fn badness(class: Class) -> u8 {
    match (class, class.verdict().unwrap_or(Verdict::Infrastructure)) {
        (Class::AppExitedZero | Class::RestartAllContainers, _) => 0,
        (Class::SigtermUnattributed, _) => 1,
        (Class::OomKilled, _) => 6,
        (
            Class::AppSegfault
            | Class::AppAbort
            | Class::AppFatalSignal
            | Class::PostStartHookFailed
            | Class::LivenessProbeKilled
            | Class::StartupProbeKilled,
            _,
        ) => 4,
        (Class::SigkillUnattributed, _) => 3,
        (_, Verdict::Infrastructure) => 8,
        (_, Verdict::Hold) => 7,
        (_, Verdict::Unknown) => 5,
        _ => 2,
    }
}

fn classify(end: &Termination) -> (Class, Confidence) {
    use Confidence::{Proved, Rest};
    match (end.reason.as_str(), end.exit_code) {
        ("ContainerStatusUnknown", _) | ("Unknown", 255) | (_, -1) => {
            (Class::ContainerLost, Proved)
        }
        ("RestartingAllContainers", _) => (Class::RestartAllContainers, Proved),
        ("OOMKilled", 137) => (Class::OomKilled, Proved),
        ("OOMKilled", _) => (Class::OomKilledChild, Proved),
        ("StartError" | "ContainerCannotRun", _) => runtime::started(&end.message),
        ("seccomp killed", _) => (Class::SeccompKilled, Proved),
        (_, 0) => (Class::AppExitedZero, Proved),
        (_, 126) => (Class::CommandExit126, Proved),
        (_, 127) => (Class::CommandExit127, Proved),
        _ => match signal(end) {
            Some(6) => (Class::AppAbort, Proved),
            Some(9) => (Class::SigkillUnattributed, Rest),
            Some(2 | 15) => (Class::SigtermUnattributed, Rest),
            Some(11) => (Class::AppSegfault, Proved),
            Some(_) => (Class::AppFatalSignal, Proved),
            None => (Class::AppExitedNonZero, Proved),
        },
    }
}

/// The signal that ended the program: the one that the runtime reports, or what the exit code says by
/// the convention of adding 128.
fn signal(end: &Termination) -> Option<i32> {
    let number = end
        .signal
        .filter(|number| *number != 0)
        .unwrap_or_else(|| end.exit_code.saturating_sub(128));
    signal_name(number).map(|_| number)
}

fn signal_name(number: i32) -> Option<&'static str> {
    const NAMES: [&str; 31] = [
        "SIGHUP",
        "SIGINT",
        "SIGQUIT",
        "SIGILL",
        "SIGTRAP",
        "SIGABRT",
        "SIGBUS",
        "SIGFPE",
        "SIGKILL",
        "SIGUSR1",
        "SIGSEGV",
        "SIGUSR2",
        "SIGPIPE",
        "SIGALRM",
        "SIGTERM",
        "SIGSTKFLT",
        "SIGCHLD",
        "SIGCONT",
        "SIGSTOP",
        "SIGTSTP",
        "SIGTTIN",
        "SIGTTOU",
        "SIGURG",
        "SIGXCPU",
        "SIGXFSZ",
        "SIGVTALRM",
        "SIGPROF",
        "SIGWINCH",
        "SIGIO",
        "SIGPWR",
        "SIGSYS",
    ];
    let index = usize::try_from(number).ok()?.checked_sub(1)?;
    NAMES.get(index).copied()
}

/// Whether the Pod has seen this end before. The run before is not always shown; then it is enough that
/// there was one.
fn repeats(container: &ContainerView, end: &Termination) -> bool {
    let before = match &container.state {
        ContainerState::Terminated(current) if current == end => container.last.as_ref(),
        _ => None,
    };
    let ended_again = match &container.state {
        ContainerState::Running { .. } => container.restarts > 1,
        _ => container.restarts > 0,
    };
    ended_again && before.is_none_or(|run| run.exit_code == end.exit_code)
}

fn describe(container: &ContainerView, end: &Termination, kind: &str, class: Class) -> String {
    let name = &container.name;
    let code = end.exit_code;
    let lasted = lasted(end);
    match class {
        Class::OomKilled => {
            format!(
                "{kind} {name} was killed for exceeding its memory limit (OOMKilled, exit code {code}){lasted}"
            )
        }
        Class::OomKilledChild => {
            format!(
                "{kind} {name} ended with exit code {code}{lasted}, and one of its processes had been killed for memory (OOMKilled)"
            )
        }
        Class::ContainerLost => format!(
            "the runtime lost {kind} {name} ({}, exit code {code})",
            end.reason
        ),
        Class::PostStartHookFailed => format!("the postStart hook of {kind} {name} failed"),
        Class::OomSuspected => format!(
            "{kind} {name} ended with exit code {code}{lasted}, just when the kernel of its node killed for memory"
        ),
        _ if end.reason == "StartError" || end.reason == "ContainerCannotRun" => {
            format!("{kind} {name} could not be started ({})", end.reason)
        }
        Class::CommandExit126 => {
            format!("{kind} {name} ended with exit code {code} (command not executable){lasted}")
        }
        Class::CommandExit127 => {
            format!("{kind} {name} ended with exit code {code} (command not found){lasted}")
        }
        _ => match signal(end).and_then(signal_name) {
            Some(signal) => format!("{kind} {name} ended with exit code {code} ({signal}){lasted}"),
            None => format!("{kind} {name} ended with exit code {code}{lasted}"),
        },
    }
}

/// How long the run lasted, in words. A program that never ran has a start at the beginning of time.
fn lasted(end: &Termination) -> String {
    match (
        end.started.filter(|time| *time > Timestamp::UNIX_EPOCH),
        end.finished,
    ) {
        (Some(started), Some(finished)) if finished >= started => {
            format!(" after {} s", finished.duration_since(started).as_secs())
        }
        _ => String::new(),
    }
}

fn happened(end: &Termination) -> Option<Timestamp> {
    end.finished.filter(|time| *time > Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fault::testing::{container, end, pod};

    fn judge(container: &ContainerView, end: &Termination, kind: &str) -> Fault {
        let pod = pod("p").only(container.clone()).build();
        super::judge(&Evidence::of(&pod), container, end, kind, "status")
    }

    fn classed(reason: &str, code: i32) -> Class {
        classify(&end(code).reason(reason).build()).0
    }

    #[test]
    fn exit_codes_and_reasons() {
        use Class as C;
        let table = [
            (0, "Completed", C::AppExitedZero),
            (1, "Error", C::AppExitedNonZero),
            (126, "Error", C::CommandExit126),
            (127, "Error", C::CommandExit127),
            (128, "Error", C::AppExitedNonZero),
            (130, "Error", C::SigtermUnattributed),
            (132, "Error", C::AppFatalSignal),
            (134, "Error", C::AppAbort),
            (135, "Error", C::AppFatalSignal),
            (137, "Error", C::SigkillUnattributed),
            (139, "Error", C::AppSegfault),
            (143, "Error", C::SigtermUnattributed),
            (159, "Error", C::AppFatalSignal),
            (160, "Error", C::AppExitedNonZero),
            (255, "Error", C::AppExitedNonZero),
            (255, "Unknown", C::ContainerLost),
            (137, "ContainerStatusUnknown", C::ContainerLost),
            (-1, "", C::ContainerLost),
            (137, "OOMKilled", C::OomKilled),
            (0, "OOMKilled", C::OomKilledChild),
            (143, "OOMKilled", C::OomKilledChild),
            (31, "seccomp killed", C::SeccompKilled),
        ];
        for (code, reason, class) in table {
            assert_eq!(classed(reason, code), class, "{code} {reason}");
        }
    }

    #[test]
    fn a_reported_signal_beats_the_convention() {
        let segfault = Termination {
            signal: Some(11),
            ..end(1).build()
        };
        assert_eq!(classify(&segfault).0, Class::AppSegfault);
    }

    #[test]
    fn messages_name_container_code_signal_and_time() {
        let killed = end(137).ran(10, 22).message("out of\nluck").build();
        let fault = judge(
            &container("main").ended(killed.clone()),
            &killed,
            "container",
        );
        assert_eq!(
            fault.message,
            "container main ended with exit code 137 (SIGKILL) after 12 s: out of luck"
        );
        assert_eq!(fault.at, killed.finished);
    }

    #[test]
    fn a_start_that_failed_has_no_run_time() {
        let failed = Termination {
            started: Some(Timestamp::UNIX_EPOCH),
            ..end(128)
                .reason("StartError")
                .message("exec: \"a\": executable file not found in $PATH")
                .ran(0, 5)
                .build()
        };
        let fault = judge(
            &container("main").ended(failed.clone()),
            &failed,
            "init container",
        );
        assert_eq!(fault.class, Class::CommandNotFound);
        assert_eq!(fault.verdict, Verdict::Hold);
        assert!(
            fault
                .message
                .starts_with("init container main could not be started (StartError): exec")
        );
    }

    #[test]
    fn a_missing_command_is_held_only_when_it_is_missing_again() {
        let missing = end(127).build();
        let judged = |view: &ContainerView| judge(view, &missing, "container").verdict;
        let mut view = container("main").ended(missing.clone());
        assert_eq!(judged(&view), Verdict::Application);
        view.restarts = 1;
        assert_eq!(judged(&view), Verdict::Hold);
        view.last = Some(end(1).build());
        assert_eq!(judged(&view), Verdict::Application);
    }

    #[test]
    fn a_failed_hook_explains_the_kill() {
        let killed = end(137).build();
        let mut view = container("main").ended(killed.clone());
        view.state = ContainerState::Waiting {
            reason: "PostStartHookError".into(),
            message: "exit 3".into(),
        };
        view.last = Some(killed.clone());
        let fault = judge(&view, &killed, "container");
        assert_eq!(fault.class, Class::PostStartHookFailed);
        assert_eq!(
            fault.message,
            "the postStart hook of container main failed: exit 3"
        );
    }

    #[test]
    fn the_order_of_badness() {
        let order = [
            Class::AppExitedZero,
            Class::SigtermUnattributed,
            Class::AppExitedNonZero,
            Class::SigkillUnattributed,
            Class::AppSegfault,
            Class::OomKilled,
            Class::CommandNotFound,
            Class::ContainerLost,
        ];
        assert!(order.is_sorted_by_key(|class| badness(*class)));
    }
}
