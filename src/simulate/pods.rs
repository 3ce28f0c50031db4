//! The Pods of the virtual cluster: how each becomes, runs and ends, one step at a time.
//!
//! Rule: a step is what a scheduler, a kubelet or a garbage collector would do; each takes a second.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::scene::Scene;
use crate::api::labels;
use crate::model::kubelet::{
    back_off_seconds, end_container, plain_end, set_condition, start_changed, stop_changed,
};
use crate::model::pod::{
    ContainerState, ContainerView, ImageMark, PodConditionType, PodPhase, PodSpecView, PodView,
    RareView, RestartPolicy, Termination,
};
use crate::model::window::after;

/// From the creation of a Pod to the start of its program, in seconds.
const STARTS_AFTER: i64 = 1;
/// From there until it is Ready.
const READY_AFTER: i64 = 1;
/// From the start of a program that runs to completion to its end.
const COMPLETES_AFTER: i64 = 3;
/// From the start of a replica to its end, when it crashes again and again.
const CRASHES_AFTER: i64 = 1;
/// The exit code of a replica that crashes again and again.
const CRASH_CODE: i32 = 1;
/// How long a Pod takes to stop, whatever grace its template allows.
pub(super) const STOPS_AFTER: i64 = 1;

/// When the program of a replica has started, and whether it ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// When the Pod is Ready.
    Ready,
    /// When it runs.
    Running,
    /// It ends by itself, and has started then.
    Completes,
}

/// What is known of a Pod beside what the API server shows.
#[derive(Clone, Debug, Default)]
pub(super) struct Run {
    /// What keeps it from starting.
    pub(super) block: Option<Scene>,
    /// When that ends by itself.
    pub(super) lifted_at: Option<Timestamp>,
    /// When Kubernetes deletes it, because its node does not report.
    pub(super) evicted_at: Option<Timestamp>,
}

/// The next thing that happens to a Pod by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A node is found, and the program starts, unless something keeps it from that.
    Start,
    /// What kept it from starting has ended.
    Lift,
    /// It becomes Ready.
    Ready,
    /// The program of that container ends with that code.
    End(usize, i32),
    /// The kubelet restarts that container after a wait.
    Restart(usize),
    /// Kubernetes deletes it.
    Evict,
    /// The object goes.
    Remove,
}

/// The next step of a Pod and when it is due.
pub(super) fn next_step(
    pod: &PodView,
    run: &Run,
    life: Life,
    crashes: bool,
    is_silent: bool,
) -> Option<(Timestamp, Step)> {
    if let Some(end) = pod.deletion {
        return (!is_silent).then_some((end, Step::Remove));
    }
    if is_silent {
        return run.evicted_at.map(|time| (time, Step::Evict));
    }
    if pod.is_terminal() {
        return None;
    }
    if run.block.is_some_and(|block| block != Scene::Hangs) {
        return run.lifted_at.map(|time| (time, Step::Lift));
    }
    if pod.node.is_none() {
        return Some((after(pod.created, STARTS_AFTER), Step::Start));
    }
    let steps = pod.containers.iter().enumerate();
    let mut steps: Vec<(Timestamp, Step)> = steps
        .filter_map(|(index, container)| of_container(index, container, life))
        .collect();
    let running = pod.judged().filter_map(ContainerView::running_since).max();
    let all_run = pod.judged().all(ContainerView::is_running);
    let may_be_ready = run.block.is_none() && !pod.is_ready();
    if let Some(since) = running.filter(|_| all_run && may_be_ready) {
        steps.push((after(since, READY_AFTER), Step::Ready));
    }
    if let Some(since) = started_at(pod, life).filter(|_| crashes) {
        steps.push((after(since, CRASHES_AFTER), Step::End(0, CRASH_CODE)));
    }
    // Of two at once the first counts.
    steps.into_iter().min_by_key(|(due, _)| *due)
}

fn of_container(index: usize, container: &ContainerView, life: Life) -> Option<(Timestamp, Step)> {
    match &container.state {
        ContainerState::Running { since } if life == Life::Completes => {
            let due = after((*since)?, COMPLETES_AFTER);
            Some((due, Step::End(index, 0)))
        }
        ContainerState::Waiting { .. } => {
            let ended = container.last.as_ref()?.finished?;
            let due = after(ended, back_off_seconds(container.restarts));
            Some((due, Step::Restart(index)))
        }
        _ => None,
    }
}

/// When the first container of a replica that runs has started, as far as its life goes.
fn started_at(pod: &PodView, life: Life) -> Option<Timestamp> {
    let since = pod.containers.first()?.running_since()?;
    if life != Life::Ready {
        return Some(since);
    }
    let ready = pod
        .condition(PodConditionType::Ready)
        .filter(|ready| ready.is_true)?;
    ready.changed
}

/// A Pod that was just created, from the object that was sent.
pub(super) fn created(
    body: &Value,
    name: String,
    uid: String,
    child: &str,
    slot: i32,
    now: Timestamp,
) -> PodView {
    let label = |name: &str| {
        body["metadata"]["labels"][name]
            .as_str()
            .unwrap_or_default()
    };
    let owner = &body["metadata"]["ownerReferences"][0]["uid"];
    let policy = body["spec"]["restartPolicy"].as_str().unwrap_or_default();
    PodView {
        name,
        resource_version: uid.clone(),
        uid,
        owner_uid: owner.as_str().unwrap_or_default().to_owned(),
        child: child.to_owned(),
        slot,
        revision: label(labels::REVISION).to_owned(),
        node: None,
        created: now,
        deletion: None,
        deletion_grace_seconds: None,
        phase: PodPhase::Pending,
        reason: None,
        message: None,
        incarnation: label(labels::INCARNATION).parse().unwrap_or(1),
        restart_policy: RestartPolicy::of(policy),
        conditions: Vec::new(),
        containers: containers(&body["spec"]["containers"]),
        init_containers: Vec::new(),
        is_observed: true,
        spec: Arc::new(PodSpecView::written(body)),
        rare: RareView::written(body),
    }
}

fn containers(listed: &Value) -> Vec<ContainerView> {
    let listed = listed.as_array().into_iter().flatten();
    let view = |container: &Value| ContainerView {
        name: container["name"].as_str().unwrap_or("app").to_owned(),
        judged: true,
        state: waiting("ContainerCreating", ""),
        last: None,
        restarts: 0,
        ready: false,
        image: ImageMark::default(),
    };
    listed.map(view).collect()
}

pub(super) fn waiting(reason: &str, message: &str) -> ContainerState {
    ContainerState::Waiting {
        reason: reason.to_owned(),
        message: message.to_owned(),
    }
}

/// The program starts on that node.
pub(super) fn start(pod: &mut PodView, node: String, now: Timestamp) {
    pod.node = Some(node);
    pod.phase = PodPhase::Running;
    set_condition(pod, PodConditionType::PodScheduled, true, "", "", now);
    for container in &mut pod.containers {
        container.state = ContainerState::Running { since: Some(now) };
    }
}

/// The Pod becomes Ready.
pub(super) fn become_ready(pod: &mut PodView, now: Timestamp) {
    for container in &mut pod.containers {
        container.ready = true;
    }
    set_condition(pod, PodConditionType::Ready, true, "", "", now);
}

/// The program of a container ends. Returns whether the kubelet has restarted it at once.
pub(super) fn end(pod: &mut PodView, index: usize, now: Timestamp, end: Termination) -> bool {
    end_container(pod, index, now, end);
    pod.containers
        .get(index)
        .is_some_and(ContainerView::is_running)
}

/// The kubelet restarts a container after a wait.
pub(super) fn restart(pod: &mut PodView, index: usize, now: Timestamp) {
    if let Some(container) = pod.containers.get_mut(index) {
        container.restarts += 1;
        container.state = ContainerState::Running { since: Some(now) };
    }
}

/// Containers are given other images: the kubelet restarts them.
pub(super) fn change(
    pod: &mut PodView,
    revision: &str,
    images: &[(String, String)],
    now: Timestamp,
) {
    revision.clone_into(&mut pod.revision);
    for (name, image) in images {
        Arc::make_mut(&mut pod.spec).set_image(name, image);
        let Some(index) = pod.containers.iter().position(|one| one.name == *name) else {
            continue;
        };
        stop_changed(pod, index, now);
        start_changed(&mut pod.containers[index], ImageMark::of(image), now);
    }
}

/// Somebody asks for the Pod to go.
pub(super) fn delete(pod: &mut PodView, now: Timestamp) {
    pod.deletion = pod.deletion.or_else(|| Some(after(now, STOPS_AFTER)));
    pod.deletion_grace_seconds = Some(STOPS_AFTER);
}

/// The kubelet ends the Pod as a whole, for that reason.
pub(super) fn fail(pod: &mut PodView, reason: &str, message: &str, now: Timestamp) {
    pod.phase = PodPhase::Failed;
    pod.reason = (!reason.is_empty()).then(|| reason.to_owned());
    pod.message = (!message.is_empty()).then(|| message.to_owned());
    set_condition(pod, PodConditionType::Ready, false, "PodFailed", "", now);
    for container in &mut pod.containers {
        container.ready = false;
        container.state = match container.running_since() {
            Some(started) if !reason.is_empty() => ContainerState::Terminated(Termination {
                started: Some(started),
                finished: Some(now),
                ..plain_end(137, "")
            }),
            _ => waiting("", ""),
        };
    }
}

/// The postStart hook of the first container fails: the kubelet kills it, and tries again after a wait.
pub(super) fn fail_hook(pod: &mut PodView, now: Timestamp) {
    set_condition(
        pod,
        PodConditionType::Ready,
        false,
        "ContainersNotReady",
        "",
        now,
    );
    if let Some(container) = pod.containers.first_mut() {
        container.ready = false;
        container.last = Some(Termination {
            started: container.running_since(),
            finished: Some(now),
            ..plain_end(137, "")
        });
        container.state = waiting("PostStartHookError", "the hook ended with exit code 1");
    }
}
