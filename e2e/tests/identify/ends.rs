//! Programs that end by themselves, hooks that fail, and time that is over.
//!
//! Rule: a signal is a real one: the container shares its process namespace, so that its program is not PID 1.

use serde_json::json;

use super::expected::fault;
use super::kit::Case;
use super::specs::{app_with, merge, script};

/// The exit code stands in the state that is, or in the one that was, and both have this name at their end.
const EXIT_CODE: &str = ".terminated.exitCode";

#[tokio::test]
async fn app_exited_non_zero() {
    let case = Case::new("exit").await;
    case.pod(script("exit 3")).await;
    let expected = fault("AppExitedNonZero", "Application", "Proved");
    case.shows(expected.of("app").by(EXIT_CODE, "3")).await;
}

#[tokio::test]
async fn app_exited_non_zero_in_an_init_container() {
    let case = Case::new("init").await;
    let mut spec = script("exit 0");
    let mut init = script("exit 4")["containers"][0].clone();
    merge(&mut init, json!({"name": "prepare"}));
    merge(&mut spec, json!({"initContainers": [init]}));
    case.pod(spec).await;
    let expected = fault("AppExitedNonZero", "Application", "Proved");
    case.shows(expected.of("prepare").by(EXIT_CODE, "4")).await;
}

#[tokio::test]
async fn app_exited_zero_where_it_is_to_run_for_ever() {
    let case = Case::new("zero").await;
    case.pod(script("exit 0")).await;
    let expected = fault("AppExitedZero", "Application", "Proved");
    case.shows(expected.of("app").by(EXIT_CODE, "0")).await;
}

/// A Pod whose program sends itself that signal.
async fn signalled(name: &str) -> Case {
    let case = Case::new(&name.to_lowercase()).await;
    // Of two of these signs Kubernetes leaves one.
    let mut spec = script(&format!("kill -{name} $$$$; sleep 60"));
    merge(&mut spec, json!({"shareProcessNamespace": true}));
    case.pod(spec).await;
    case
}

#[tokio::test]
async fn app_segfault() {
    let expected = fault("AppSegfault", "Application", "Proved");
    let expected = expected.of("app").by(EXIT_CODE, "139");
    signalled("SEGV").await.shows(expected).await;
}

#[tokio::test]
async fn app_abort() {
    let expected = fault("AppAbort", "Application", "Proved");
    let expected = expected.of("app").by(EXIT_CODE, "134");
    signalled("ABRT").await.shows(expected).await;
}

#[tokio::test]
async fn app_fatal_signal() {
    let expected = fault("AppFatalSignal", "Application", "Proved");
    let expected = expected.of("app").by(EXIT_CODE, "135");
    signalled("BUS").await.shows(expected).await;
}

/// Nothing tells who sent these two, and the answer says that it only takes what is left.
#[tokio::test]
async fn sigkill_unattributed() {
    let expected = fault("SigkillUnattributed", "Unknown", "Rest");
    let expected = expected.of("app").by(EXIT_CODE, "137");
    signalled("KILL").await.shows(expected).await;
}

#[tokio::test]
async fn sigterm_unattributed() {
    let expected = fault("SigtermUnattributed", "Unknown", "Rest");
    let expected = expected.of("app").by(EXIT_CODE, "143");
    signalled("TERM").await.shows(expected).await;
}

#[tokio::test]
async fn command_exit_127_from_the_second_time_on() {
    let case = Case::new("exit-127").await;
    case.pod(script("there-is-no-such-command")).await;
    let expected = fault("CommandExit127", "Hold", "Proved");
    case.shows(expected.of("app").by(EXIT_CODE, "127")).await;
}

#[tokio::test]
async fn command_exit_126_from_the_second_time_on() {
    let case = Case::new("exit-126").await;
    case.pod(script("touch /run/workload/plain; /run/workload/plain"))
        .await;
    let expected = fault("CommandExit126", "Hold", "Proved");
    case.shows(expected.of("app").by(EXIT_CODE, "126")).await;
}

#[tokio::test]
async fn post_start_hook_failed() {
    let case = Case::new("post-start").await;
    let hook = json!({"exec": {"command": ["/bin/sh", "-c", "exit 7"]}});
    let fields = json!({"lifecycle": {"postStart": hook}});
    case.pod(app_with("while :; do sleep 1; done", fields))
        .await;
    let expected = fault("PostStartHookFailed", "Application", "Proved");
    let expected = expected.of("app");
    case.shows(expected.by(".state.waiting.reason", "PostStartHookError"))
        .await;
}

#[tokio::test]
async fn active_deadline_exceeded() {
    let case = Case::new("deadline").await;
    let mut spec = script("while :; do sleep 1; done");
    merge(&mut spec, json!({"activeDeadlineSeconds": 3}));
    case.pod(spec).await;
    let expected = fault("ActiveDeadlineExceeded", "Application", "Proved");
    case.shows(expected.by("status.reason", "DeadlineExceeded"))
        .await;
}
