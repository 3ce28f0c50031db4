//! Scheduler and kubelet of the lab: Pods get nodes, programs start and end as their behaviour says, and what was deleted
//! goes.
//!
//! Rule: a Pod on a node that nobody hears stays as it is.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Behaviour, Lab};
use crate::model::kubelet::{self, back_off_seconds, set_condition};
use crate::model::pod::{ContainerState, ImageMark, PodConditionType, PodPhase, PodView};

const RUNS_AFTER: i64 = 1;
const READY_AFTER: i64 = 2;

impl Lab {
    pub(super) fn kubelet(&mut self) -> bool {
        let now = self.now;
        let before = self.world.workers.clone();
        let behaviours = self.behaviours.clone();
        let silent = self.silent_nodes();
        let is_silent = |pod: &PodView| pod.node.as_ref().is_some_and(|node| silent.contains(node));
        for worker in self.world.workers.values_mut() {
            worker
                .pods
                .retain(|pod| is_silent(pod) || pod.deletion.is_none_or(|end| now < end));
            let tended = worker.pods.iter_mut().filter(|pod| !is_silent(pod));
            for pod in tended.map(Arc::make_mut) {
                let image = self.images.get(&pod.name).map_or("", String::as_str);
                let behaviour = behaviours
                    .get(&format!("{}@{image}", pod.child))
                    .or_else(|| behaviours.get(&pod.child))
                    .copied()
                    .unwrap_or(Behaviour::Healthy);
                let seen = pod.clone();
                let slot = format!("{}/{}", pod.child, pod.slot);
                let failing = [&slot, &pod.child].into_iter().find(|of| {
                    let codes = self.failing.get(*of);
                    codes.is_some_and(|codes| !codes.is_empty()) && is_starting(pod)
                });
                let code = failing.and_then(|of| self.failing.get_mut(of)?.pop());
                let mark = ImageMark::of(image);
                let was_running = pod.containers[0].is_running();
                if change_image(pod, mark, behaviour, now) {
                    // It takes its time for that.
                } else if let Some(code) = code {
                    end_container(pod, now, code, &self.last_words);
                } else {
                    tend(pod, behaviour, now, &self.last_words);
                }
                if pod.containers[0].is_running() && !was_running {
                    pod.containers[0].image = mark;
                }
                if *pod != seen {
                    self.uid += 1;
                    pod.resource_version = self.uid.to_string();
                }
            }
        }
        let claims = self.world.claims.len();
        self.world.collect_claims();
        self.world.workers != before || self.world.claims.len() != claims
    }

    /// The nodes whose kubelets nobody hears.
    fn silent_nodes(&self) -> BTreeSet<String> {
        let nodes = self.world.nodes.iter().flatten();
        nodes
            .filter(|(_, node)| node.unreachable)
            .map(|(name, _)| name.clone())
            .collect()
    }
}

/// Whether the program runs and has not become Ready in this run.
fn is_starting(pod: &PodView) -> bool {
    !pod.is_terminal() && pod.containers[0].is_running() && !pod.containers[0].ready
}

/// Stops a container whose image was changed, and makes it anew a moment later, if the image can be had. Says whether that is
/// all that happens now.
fn change_image(pod: &mut PodView, image: ImageMark, behaviour: Behaviour, now: Timestamp) -> bool {
    pod.is_observed = true;
    let container = &mut pod.containers[0];
    if container.image == image || container.image == ImageMark::default() {
        return false;
    }
    match (&container.state, behaviour) {
        (ContainerState::Running { .. }, _) => kubelet::stop_changed(pod, 0, now),
        (ContainerState::Terminated(end), Behaviour::NoImage) => {
            container.last = Some(end.clone());
            container.state = ContainerState::Waiting {
                reason: "ImagePullBackOff".into(),
                message: "Back-off pulling image \"nope\": ErrImagePull: nope: not found".into(),
            };
        }
        (ContainerState::Waiting { .. }, Behaviour::NoImage) => {}
        _ => kubelet::start_changed(container, image, now),
    }
    true
}

fn tend(pod: &mut PodView, behaviour: Behaviour, now: Timestamp, last_words: &str) {
    if pod.is_terminal() {
        return;
    }
    let age = now.as_second() - pod.created.as_second();
    match behaviour {
        Behaviour::NoCapacity if pod.node.is_none() => {
            pod.containers[0].state = ContainerState::Waiting {
                reason: String::new(),
                message: String::new(),
            };
            set_condition(
                pod,
                PodConditionType::PodScheduled,
                false,
                "Unschedulable",
                "0/1 nodes are available: 1 Insufficient cpu.",
                now,
            );
            return;
        }
        Behaviour::Stuck if !pod.containers[0].is_running() => {
            pod.node = Some("node-a".into());
            return;
        }
        Behaviour::NoImage if !pod.containers[0].is_running() => {
            pod.node = Some("node-a".into());
            pod.containers[0].state = ContainerState::Waiting {
                reason: "ImagePullBackOff".into(),
                message: "Back-off pulling image \"nope\": ErrImagePull: nope: not found".into(),
            };
            return;
        }
        _ => {}
    }
    set_condition(pod, PodConditionType::PodScheduled, true, "", "", now);
    let ready_allowed = behaviour != Behaviour::Hang;
    let container = &mut pod.containers[0];
    let ended = container.last.as_ref().and_then(|end| end.finished);
    match &container.state {
        ContainerState::Waiting { reason, .. } if reason == "CrashLoopBackOff" => {
            let delay = back_off_seconds(container.restarts);
            if ended.is_some_and(|end| now.as_second() - end.as_second() >= delay) {
                container.restarts += 1;
                container.state = ContainerState::Running { since: Some(now) };
            }
        }
        ContainerState::Waiting { .. } if age >= RUNS_AFTER => {
            pod.node = Some("node-a".into());
            pod.phase = PodPhase::Running;
            container.state = ContainerState::Running { since: Some(now) };
        }
        ContainerState::Running { since } => {
            let age = now.as_second() - since.map_or(0, Timestamp::as_second);
            match behaviour {
                Behaviour::Crash(seconds, code) if age >= seconds => {
                    end_container(pod, now, code, last_words);
                }
                _ if age >= READY_AFTER - RUNS_AFTER && ready_allowed => {
                    container.ready = true;
                    set_condition(pod, PodConditionType::Ready, true, "", "", now);
                }
                _ => {}
            }
        }
        _ => {}
    }
}

pub(super) fn end_container(pod: &mut PodView, now: Timestamp, code: i32, last_words: &str) {
    kubelet::end_container(pod, 0, now, kubelet::plain_end(code, last_words));
}
