//! Pods whose programs start and stop in no time.
//!
//! Rule: a Pod goes through what a kubelet reports of a real one, only at once.

use std::sync::Arc;

use crate::model::lab::Lab;
use crate::model::pod::{
    ContainerState, PodCondition, PodConditionType, PodPhase, PodView, Termination,
};

/// The Pod of a worker that was just created starts, or fails to.
pub(super) fn start(lab: &mut Lab, child: &str, succeeds: bool) {
    let now = lab.now;
    let pod = lab.pod_mut(child, 0);
    pod.node = Some("node-a".to_owned());
    let container = &mut pod.containers[0];
    if succeeds {
        pod.phase = PodPhase::Running;
        container.state = ContainerState::Running { since: Some(now) };
        container.ready = true;
    } else {
        pod.phase = PodPhase::Failed;
        container.state = ContainerState::Terminated(Termination {
            exit_code: 1,
            reason: "Error".to_owned(),
            started: Some(now),
            finished: Some(now),
            ..Termination::default()
        });
    }
    for (type_, is_true) in [
        (PodConditionType::PodScheduled, true),
        (PodConditionType::Ready, succeeds),
    ] {
        pod.conditions.retain(|condition| condition.type_ != type_);
        pod.conditions.push(PodCondition {
            type_,
            is_true,
            reason: String::new(),
            message: String::new(),
            changed: Some(now),
        });
    }
}

/// The Pods of a worker that were told to stop are gone. Whether a program ran in one of them.
pub(super) fn stop(lab: &mut Lab, child: &str) -> bool {
    let Some(worker) = lab.world.workers.get_mut(child) else {
        return false;
    };
    let is_told = |pod: &Arc<PodView>| pod.is_deleting();
    let ran = worker
        .pods
        .iter()
        .any(|pod| is_told(pod) && !pod.is_terminal());
    worker.pods.retain(|pod| !is_told(pod));
    ran
}
