//! Claims: those without a volume, those that have lost it, and those that wait for a change of it.
//!
//! Rule: a claim that waits for a Pod is not at fault; one for whose Pod a node was chosen has to get its volume.

use jiff::Timestamp;

use super::{CONTEXT, Class, Confidence, Fault, Proof};
use crate::model::fault::evidence::{EventView, Evidence, ObjectView};
use crate::model::fault::text::{EventRule, first_event};

/// What the controllers say of a claim, the most specific first.
const CLAIM_EVENTS: &[EventRule] = &[
    EventRule(&["ClaimLost", "ClaimMisbound"], &[""], Class::ClaimLost),
    EventRule(
        &["ProvisioningFailed"],
        &["storageclass.storage.k8s.io \"…not found"],
        Class::StorageClassMissing,
    ),
    EventRule(
        &["FailedBinding"],
        &["no storage class is set"],
        Class::StorageClassMissing,
    ),
    EventRule(&["ProvisioningFailed"], &[""], Class::ProvisioningFailed),
];

/// The reasons of these.
const CLAIM_REASONS: &[&str] = &[
    "ClaimLost",
    "ClaimMisbound",
    "ProvisioningFailed",
    "FailedBinding",
];

/// Reasons of Events that say that a volume is being made.
const MAKING: &[&str] = &["Provisioning", "ExternalProvisioning"];
/// Reasons of Events that say that it has been made.
const MADE: &[&str] = &["ProvisioningSucceeded"];

/// The annotation by which the scheduler tells for which node the volume is to be.
const SELECTED_NODE: &str = "metadata.annotations[volume.kubernetes.io/selected-node]";

/// What is known of the claims of a Pod that has no node, beyond that they are not bound.
pub(in super::super) fn claims(evidence: &Evidence<'_>) -> Option<Fault> {
    let names = &evidence.pod.spec.claims;
    let lost = evidence.objects.iter().find(|object| {
        let wanted = names.is_empty() || names.contains(&object.object.name);
        object.object.kind == "PersistentVolumeClaim" && wanted && object.phase == "Lost"
    });
    if let Some(claim) = lost {
        return Some(of_phase(claim));
    }
    let mut events = evidence.events_of_claims(&[CLAIM_REASONS, MAKING, MADE].concat());
    let bound = |event: &&EventView| {
        let mut objects = evidence.objects.iter();
        objects.any(|claim| {
            claim.object.kind == "PersistentVolumeClaim"
                && claim.phase == "Bound"
                && event.is_of_object(&claim.object)
                && !event.object.name.is_empty()
        })
    };
    events.retain(|event| !bound(event));
    of_claim_events(&events)
}

/// Whether only Events of claims tell of a fault of that class, and there are none.
pub(in super::super) fn is_untold(evidence: &Evidence<'_>, class: &str) -> bool {
    let mut told = CLAIM_EVENTS.iter().map(|EventRule(_, _, class)| class);
    told.any(|told| told.as_str() == class) && evidence.events_of_claims(CLAIM_REASONS).is_empty()
}

/// The claim whose volume is being made for the node that the scheduler has chosen: until it is there, the Pod itself says
/// nothing.
pub(in super::super) fn being_made(evidence: &Evidence<'_>) -> Option<Fault> {
    let reasons = [MAKING, MADE].concat();
    let events = evidence.events_of_claims(&reasons);
    if let Some(event) = newest_of_making(&events) {
        let head = format!("the volume of claim {} is being made", event.object.name);
        return Some(Fault::witnessed(Class::PvcUnbound, &head, event));
    }
    let names = &evidence.pod.spec.claims;
    let (claim, node) = evidence.objects.iter().find_map(|object| {
        let wanted = names.is_empty() || names.contains(&object.object.name);
        let waits = object.object.kind == "PersistentVolumeClaim" && object.phase == "Pending";
        let node = object.selected_node.as_ref().filter(|_| wanted && waits)?;
        Some((object, node))
    })?;
    let name = &claim.object.name;
    let message =
        format!("claim {name} waits for its volume on node {node}, which was chosen for the Pod");
    let mut fault = Fault::new(Class::PvcUnbound, Confidence::Proved, &message, None);
    fault.contributing.push(Class::WaitForFirstConsumer);
    Some(
        fault
            .proved(Proof::object(claim, SELECTED_NODE, node))
            .proved(Proof::object(claim, "status.phase", &claim.phase)),
    )
}

/// The claim that was found waiting for the Pod to get a node. The controller says so again and again while that is so:
/// what it has not said since `until` was over by then, and the claim waits for its volume.
pub(in super::super) fn waited_for_pod(evidence: &Evidence<'_>, until: Timestamp) -> Option<Fault> {
    let told = evidence.events_of_claims(&["WaitForPodScheduled"]);
    let event = told.last()?;
    let cured = evidence.events_of_claims(MADE);
    let is_over = cured.iter().any(|made| made.is_after(event));
    let is_late = event.seen().is_some_and(|seen| seen > until);
    if is_over || is_late {
        return None;
    }
    let head = format!(
        "claim {} waited for a node of the Pod, and nothing was told of it since",
        event.object.name
    );
    let fault = Fault::witnessed(Class::PvcUnbound, &head, event);
    Some(Fault {
        confidence: Confidence::Inferred,
        ..fault
    })
}

/// The newest Event that says that a volume is being made, unless it has been made since.
fn newest_of_making<'a>(events: &[&'a EventView]) -> Option<&'a EventView> {
    let newest = |reasons: &[&str], name: Option<&str>| {
        let mut newest_first = events.iter().rev();
        newest_first.find(|event| {
            reasons.contains(&event.reason.as_str())
                && name.is_none_or(|name| event.object.name == name)
        })
    };
    let making = newest(MAKING, None)?;
    let made = newest(MADE, Some(&making.object.name));
    made.is_none_or(|made| !made.is_after(making))
        .then_some(*making)
}

/// What the Events of claims say, without what a later success of the same claim has cured. That a volume is waited for says
/// that there is a class; the failure of a provisioner stands meanwhile, because it waits between its tries.
fn of_claim_events(events: &[&EventView]) -> Option<Fault> {
    let is_cured = |event: &EventView| {
        let is_of_class = first_event(CLAIM_EVENTS, &[event])
            .is_some_and(|told| told.0 == Class::StorageClassMissing);
        events.iter().any(|later| {
            let reason = later.reason.as_str();
            let cures = MADE.contains(&reason) || is_of_class && MAKING.contains(&reason);
            cures && later.object.name == event.object.name && later.is_after(event)
        })
    };
    let mut failures = events.to_vec();
    failures.retain(|event| event.reason.starts_with("Claim") || !is_cured(event));
    let (class, event) = first_event(CLAIM_EVENTS, &failures)?;
    let head = format!("claim {} has no volume", event.object.name);
    Some(Fault::witnessed(class, &head, event))
}

fn of_phase(claim: &ObjectView) -> Fault {
    let message = format!("claim {} has lost its volume", claim.object.name);
    Fault::new(Class::ClaimLost, Confidence::Proved, &message, None).proved(Proof::object(
        claim,
        "status.phase",
        &claim.phase,
    ))
}

/// What is wrong with a claim by itself.
pub(in super::super) fn claim(claim: &ObjectView, events: &[&EventView]) -> Option<Fault> {
    if claim.phase == "Lost" {
        return Some(of_phase(claim));
    }
    // Of a claim that only Events name, no phase is known.
    if matches!(claim.phase.as_str(), "Pending" | "") {
        if let Some(fault) = of_claim_events(events) {
            return Some(fault);
        }
        let waits = events
            .iter()
            .rev()
            .find(|event| event.reason.starts_with("WaitFor"));
        let head = format!("claim {} is not bound", claim.object.name);
        if let Some(event) = newest_of_making(events) {
            return Some(Fault::witnessed(Class::PvcUnbound, &head, event));
        }
        if let Some(event) = waits.filter(|_| claim.selected_node.is_none()) {
            return Some(Fault::witnessed(Class::WaitForFirstConsumer, &head, event));
        }
    }
    if claim.phase == "Pending" {
        let head = format!("claim {} is not bound", claim.object.name);
        let fault = Fault::new(Class::PvcUnbound, Confidence::Proved, &head, None);
        return Some(fault.proved(Proof::object(claim, "status.phase", &claim.phase)));
    }
    let failed = [
        "ControllerResizeError",
        "NodeResizeError",
        "ModifyVolumeError",
    ];
    let failed = failed
        .iter()
        .find_map(|type_| claim.condition(type_).filter(|c| c.is_true()));
    let pending = claim
        .condition("FileSystemResizePending")
        .filter(|c| c.is_true());
    let (class, condition) = match (failed, pending) {
        (Some(condition), _) => (Class::VolumeResizeFailed, condition),
        (None, Some(condition)) => (Class::VolumeResizePending, condition),
        (None, None) => {
            let (class, event) = first_event(CONTEXT, events)?;
            let fits = matches!(class, Class::VolumeResizeFailed | Class::VolumeAbnormal);
            return fits.then(|| Fault::witnessed(class, &claim.object.words(), event));
        }
    };
    Some(Fault::of_condition(class, claim, condition))
}
