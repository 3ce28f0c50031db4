//! What a kubelet makes of a Pod, as far as the API server shows it: ends of containers, restarts in place, waits.
//!
//! Rule: it knows nothing of supervision, and no decision rests on it: it is for worlds that are acted out, and for a warning
//! that reckons with its waits.

use jiff::Timestamp;

use super::pod::{
    ContainerState, ContainerView, ImageMark, PodCondition, PodConditionType, PodPhase, PodView,
    RestartPolicy, Termination,
};

/// First wait before a repeated restart, in seconds; it doubles up to [`LONGEST_BACK_OFF_SECONDS`].
const FIRST_BACK_OFF_SECONDS: i64 = 10;
/// Longest wait before a repeated restart, in seconds.
const LONGEST_BACK_OFF_SECONDS: i64 = 300;

/// The exit code of a program that ends when it is told to stop.
const STOPPED: i32 = 143;

/// How a run ended that the kubelet has nothing to say about but the exit code.
pub fn plain_end(exit_code: i32, message: &str) -> Termination {
    Termination {
        exit_code,
        reason: if exit_code == 0 { "Completed" } else { "Error" }.into(),
        message: message.into(),
        ..Termination::default()
    }
}

/// A container of the Pod ends now, and is restarted at once, after a wait or not at all: as the restart policy says, and
/// how often it was restarted before. The times of `end` are filled in. A Pod without such a container stays as it is.
pub fn end_container(pod: &mut PodView, index: usize, now: Timestamp, end: Termination) {
    let policy = pod.restart_policy;
    let Some(container) = pod.containers.get_mut(index) else {
        return;
    };
    let restarts = match policy {
        RestartPolicy::Always => true,
        RestartPolicy::OnFailure => end.exit_code != 0,
        RestartPolicy::Never => false,
    };
    container.ready = false;
    let end = Termination {
        started: container.running_since(),
        finished: Some(now),
        ..end
    };
    if !restarts {
        container.state = ContainerState::Terminated(end);
    } else if container.restarts == 0 {
        container.restarts = 1;
        container.last = Some(end);
        container.state = ContainerState::Running { since: Some(now) };
    } else {
        container.last = Some(end);
        container.state = ContainerState::Waiting {
            reason: "CrashLoopBackOff".into(),
            message: "back-off restarting failed container".into(),
        };
    }
    set_condition(
        pod,
        PodConditionType::Ready,
        false,
        "ContainersNotReady",
        "",
        now,
    );
    end_pod_if_all_ended(pod);
}

/// A container whose image was changed is stopped by the kubelet: it ends now, and is to be made anew.
pub fn stop_changed(pod: &mut PodView, index: usize, now: Timestamp) {
    let Some(container) = pod.containers.get_mut(index) else {
        return;
    };
    container.ready = false;
    container.state = ContainerState::Terminated(Termination {
        started: container.running_since(),
        finished: Some(now),
        ..plain_end(STOPPED, "")
    });
    let reason = "ContainersNotReady";
    set_condition(pod, PodConditionType::Ready, false, reason, "", now);
}

/// A container that was stopped because its image was changed runs that image from now on.
pub fn start_changed(container: &mut ContainerView, image: ImageMark, now: Timestamp) {
    if let ContainerState::Terminated(end) = &container.state {
        container.last = Some(end.clone());
    }
    container.restarts += 1;
    container.state = ContainerState::Running { since: Some(now) };
    container.image = image;
}

fn end_pod_if_all_ended(pod: &mut PodView) {
    let codes = pod.containers.iter().map(|container| {
        if let ContainerState::Terminated(end) = &container.state {
            Some(end.exit_code)
        } else {
            None
        }
    });
    let Some(codes) = codes.collect::<Option<Vec<i32>>>() else {
        return;
    };
    pod.phase = if codes.iter().all(|code| *code == 0) {
        PodPhase::Succeeded
    } else {
        PodPhase::Failed
    };
}

/// How long a container waits in `CrashLoopBackOff` after that many restarts, in seconds.
pub fn back_off_seconds(restarts: i64) -> i64 {
    let doublings = u32::try_from(restarts - 1).unwrap_or(0).min(5);
    (FIRST_BACK_OFF_SECONDS << doublings).min(LONGEST_BACK_OFF_SECONDS)
}

/// Sets a condition. One that says the same already keeps its time.
pub fn set_condition(
    pod: &mut PodView,
    type_: PodConditionType,
    is_true: bool,
    reason: &str,
    message: &str,
    now: Timestamp,
) {
    let condition = PodCondition {
        type_,
        is_true,
        reason: reason.into(),
        message: message.into(),
        changed: Some(now),
    };
    match pod.conditions.iter_mut().find(|c| c.type_ == type_) {
        Some(old) if old.is_true == is_true && old.reason == reason => {}
        Some(old) => *old = condition,
        None => pod.conditions.push(condition),
    }
}
