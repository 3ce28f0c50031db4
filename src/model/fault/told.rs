//! What Events tell of a Pod whose status tells nothing: a file may hold Events alone, or a manifest without a status.
//!
//! Rule: what came last in the life of the Pod counts; a failure that a later start has cured is none.

use super::evidence::{EventView, Evidence};
use super::text::{EventRule, first_event};
use super::{Class, Confidence, Fault, disruption, image, node, probe, rejection, runtime};

/// What only Events tell, beside pulls and containers that cannot be created.
const EVENTS: &[EventRule] = &[
    EventRule(&["FailedKillPod"], &[""], Class::KillFailed),
    EventRule(
        &["FailedNodeDeclaredFeaturesCheck"],
        &[""],
        Class::NodeFeatureMissing,
    ),
    EventRule(&["FailedPostStartHook"], &[""], Class::PostStartHookFailed),
];

/// What is told of a Pod that has been running.
const OF_RUNNING: &[EventRule] = &[
    EventRule(
        &["Unhealthy"],
        &["readiness probe "],
        Class::ReadinessProbeFailing,
    ),
    EventRule(&["ResizeInfeasible"], &[""], Class::ResizeInfeasible),
    EventRule(&["ResizeDeferred"], &[""], Class::ResizeDeferred),
    EventRule(&["ResizeError"], &[""], Class::ResizeFailed),
    EventRule(&["NodeNotReady"], &[""], Class::NodeNotReady),
];

/// Whether the status of the Pod says nothing of its containers.
fn is_silent(evidence: &Evidence<'_>) -> bool {
    let pod = evidence.pod;
    pod.containers.is_empty() && pod.init_containers.is_empty() && !pod.is_ready()
}

/// Who ended the Pod, or why the kubelet did not take it, or why its containers are not there.
pub(super) fn of_end(evidence: &Evidence<'_>) -> Option<Fault> {
    if !is_silent(evidence) {
        return None;
    }
    let events = evidence.all_of_pod();
    rejection::told(&events)
        .or_else(|| disruption::told(evidence))
        .or_else(|| first_of(EVENTS, &events))
        .or_else(|| of_container(&events))
}

/// What is wrong with a Pod that seems to run.
pub(super) fn of_run(evidence: &Evidence<'_>) -> Option<Fault> {
    if !is_silent(evidence) {
        return None;
    }
    let mut fault =
        first_of(OF_RUNNING, &evidence.all_of_pod()).or_else(|| node::told_of_itself(evidence))?;
    if fault.class == Class::ReadinessProbeFailing && probe::is_misconfigured(&fault.message) {
        fault.contributing.push(Class::ProbeMisconfigured);
    }
    Some(fault)
}

fn first_of(rules: &[EventRule], events: &[&EventView]) -> Option<Fault> {
    let (class, event) = first_event(rules, events)?;
    Some(Fault::witnessed(
        class,
        "an Event of the Pod says it",
        event,
    ))
}

/// The newest that is told of a container that is not there, since one was started.
fn of_container(events: &[&EventView]) -> Option<Fault> {
    let started = events.iter().rev().find(|event| event.reason == "Started");
    let mut fault: Option<Fault> = None;
    for event in events.iter().rev() {
        let is_of_debugger = event.object.field.starts_with("spec.ephemeralContainers{");
        if is_of_debugger || started.is_some_and(|started| started.is_after(event)) {
            continue;
        }
        let Some((class, confidence)) = judge(event) else {
            continue;
        };
        // Those that come after the first only say that it failed.
        if fault
            .as_ref()
            .is_none_or(|known| confidence < known.confidence)
        {
            let told = Fault::witnessed(class, "a container of the Pod is not there", event);
            fault = Some(Fault { confidence, ..told });
        }
    }
    fault
}

fn judge(event: &EventView) -> Option<(Class, Confidence)> {
    let text = event.text();
    let pull = || match image::of_text(text) {
        Some(class) => (class, Confidence::Witnessed),
        None => (Class::ImagePullFailed, Confidence::Rest),
    };
    match event.reason.as_str() {
        "ErrImageNeverPull" => Some((Class::ImageNeverPull, Confidence::Witnessed)),
        "InspectFailed" if text.contains("InvalidImageName") || text.contains("parse") => {
            Some((Class::ImageNameInvalid, Confidence::Witnessed))
        }
        "InspectFailed" => Some((Class::ImageInspectFailed, Confidence::Witnessed)),
        "BackOff" if text.contains("pulling") => Some(pull()),
        "BackOff" => Some((Class::Unknown, Confidence::Rest)),
        "Failed" => match text.strip_prefix("Error: ") {
            Some("ErrImagePull" | "ImagePullBackOff") => {
                Some((Class::ImagePullFailed, Confidence::Rest))
            }
            Some(reason) => image::waiting(reason, "").or_else(|| runtime::refused(reason)),
            None => Some(pull()),
        },
        _ => None,
    }
}
