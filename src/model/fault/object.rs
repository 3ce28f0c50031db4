//! Objects beside the Pod: which family judges which kind, and what Events only explain.
//!
//! Rule: a kind that nobody here knows is judged by its Events alone.

use std::sync::Arc;

use super::evidence::{EventView, Evidence, ObjectView};
use super::text::{EventRule, all_events};
use super::{Class, Confidence, Fault};
use super::{
    application, beside, configuration, image, network, node, probe, rollout, runtime, scheduling,
    volume,
};

/// What Events only explain, by the family that knows.
const CONTEXT: [&[EventRule]; 9] = [
    application::CONTEXT,
    image::CONTEXT,
    configuration::CONTEXT,
    probe::CONTEXT,
    scheduling::CONTEXT,
    volume::CONTEXT,
    network::CONTEXT,
    node::CONTEXT,
    runtime::KILL,
];

/// The kinds whose status is understood.
const JUDGED: [&str; 9] = [
    "Node",
    "PersistentVolumeClaim",
    "VolumeAttachment",
    "NodeClaim",
    "Deployment",
    "ReplicaSet",
    "StatefulSet",
    "DaemonSet",
    "Job",
];

/// Whether anything of its status is told.
fn has_status(object: &ObjectView) -> bool {
    !object.conditions.is_empty() || !object.phase.is_empty()
}

/// What is wrong with an object that is not a Pod.
pub(super) fn judge<'a>(
    object: &ObjectView,
    events: impl IntoIterator<Item = &'a EventView>,
) -> Fault {
    let mut own: Vec<&EventView> = events
        .into_iter()
        .filter(|event| event.is_of_object(&object.object))
        .collect();
    own.sort_by_key(|event| event.seen());
    let fault = match object.object.kind.as_str() {
        "Node" => node::judge(object, &own),
        "PersistentVolumeClaim" => volume::claim(object, &own),
        "VolumeAttachment" => volume::attachment(object),
        "NodeClaim" => scheduling::node_claim(object),
        "Lease" => node::lease(object),
        _ => rollout::judge(object, &own),
    };
    fault.unwrap_or_else(|| {
        let kind = object.object.kind.as_str();
        let (message, confidence) = if JUDGED.contains(&kind) && has_status(object) {
            ("nothing is wrong with", Confidence::Proved)
        } else {
            ("nothing is known to be wrong with", Confidence::Rest)
        };
        let message = format!("{message} {}", object.object.words());
        Fault::new(Class::NoFault, confidence, &message, None)
    })
}

/// What was seen around a Pod that only explains.
pub(super) fn context(evidence: &Evidence<'_>) -> Vec<Class> {
    let concerns = |event: &&EventView| match event.object.kind.as_str() {
        "PersistentVolumeClaim" => evidence.is_of_claim(event),
        "Node" => evidence.is_of_node(event),
        _ => evidence.is_of_pod(event),
    };
    let events = evidence.events.iter().map(Arc::as_ref);
    let events: Vec<&EventView> = events.filter(concerns).collect();
    let rules = CONTEXT.iter().copied().flatten();
    let mut classes = all_events(rules, &events);
    classes.extend(beside::context(evidence));
    classes.extend(configuration::context(evidence));
    let nodes = evidence
        .objects
        .iter()
        .filter(|object| object.object.kind == "Node");
    classes.extend(nodes.filter_map(node::pressure));
    classes.dedup();
    classes
}
