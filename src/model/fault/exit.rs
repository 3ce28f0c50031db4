//! Ends of containers: exit codes, signals, memory, and starts that failed.
//!
//! Rule: a reason of the kubelet or the runtime beats the exit code beneath it.

use jiff::Timestamp;

use super::start;
use super::text::join;
use super::{Class, Confidence, Fault, Verdict};
use crate::model::pod::{ContainerState, ContainerView, Termination};

/// How one run of a container ended, and why.
pub(super) fn judge(container: &ContainerView, end: &Termination, kind: &str) -> Fault {
    let hook_failed = container.waits_with("PostStartHookError");
    let (class, confidence) = if hook_failed {
        (Class::PostStartHookFailed, Confidence::Proved)
    } else {
        classify(end)
    };
    let said = match &container.state {
        ContainerState::Waiting { message, .. } if hook_failed => message,
        _ => &end.message,
    };
    let message = join(&describe(container, end, kind, class), said);
    let mut fault = Fault::new(class, confidence, &message, happened(end));
    if matches!(class, Class::CommandExit126 | Class::CommandExit127) && !repeats(container, end) {
        fault.verdict = Verdict::Application;
    }
    fault
}

/// Which of two ends is worse: the higher number. What happened below the program comes first, for it
/// explains the rest; a clean end needs all containers and comes last.
pub(super) fn badness(class: Class) -> u8 {
    match (class, class.verdict()) {
        (Class::AppExitedZero, _) => 0,
        (Class::SigtermUnattributed, _) => 1,
        (Class::OomKilled, _) => 6,
        (
            Class::AppSegfault
            | Class::AppAbort
            | Class::AppFatalSignal
            | Class::PostStartHookFailed,
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
        ("OOMKilled", 137) => (Class::OomKilled, Proved),
        ("OOMKilled", _) => (Class::OomKilledChild, Proved),
        ("StartError" | "ContainerCannotRun", _) => start::started(&end.message),
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
        .unwrap_or(end.exit_code - 128);
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
    use crate::model::fault::testing::{container, end};

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
