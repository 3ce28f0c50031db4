//! What the status of a Pod says beside its containers: devices that are ill, containers that somebody added, and a node
//! on which room is made.
//!
//! Rule: an ill device is the cause only where no more is known than how a program ended; the others never are.

use super::evidence::{EventView, Evidence};
use super::text::{bounded, join};
use super::{Class, Confidence, Fault, Proof, Verdict};
use crate::model::pod::{ContainerState, ContainerView, DeviceView, PodView};

/// The end of a program that had a device which is not healthy. `manner` is how it ended.
pub(super) fn on_device(
    evidence: &Evidence<'_>,
    container: &ContainerView,
    fault: Fault,
    manner: &str,
) -> Fault {
    let Some(device) = ill_device(evidence.pod, container) else {
        return fault;
    };
    let proof = proof(evidence.pod, device);
    let may_follow = fault.class.is_own_end()
        && !matches!(
            fault.class,
            Class::AppExitedZero | Class::CommandExit126 | Class::CommandExit127
        );
    if !may_follow {
        let mut fault = fault.proved(proof);
        fault.contributing.push(Class::DeviceUnhealthy);
        return fault;
    }
    let mut contributing = vec![fault.class];
    contributing.extend(fault.contributing);
    let mut proofs = vec![proof];
    proofs.extend(fault.proofs);
    Fault {
        class: Class::DeviceUnhealthy,
        verdict: Verdict::Infrastructure,
        confidence: Confidence::Inferred,
        message: bounded(&join(&words(device), &fault.message)),
        proximate: Some(manner.to_owned()),
        contributing,
        proofs,
        ..fault
    }
}

/// A container that runs on a device which is not healthy.
pub(super) fn unhealthy(evidence: &Evidence<'_>) -> Option<Fault> {
    let pod = evidence.pod;
    let of =
        |container: &ContainerView| Some((container.name.clone(), ill_device(pod, container)?));
    let (name, device) = pod
        .containers
        .iter()
        .filter(|c| c.is_running())
        .find_map(of)?;
    let fault = Fault::new(
        Class::DeviceUnhealthy,
        Confidence::Proved,
        &words(device),
        None,
    );
    Some(fault.of(&name).proved(proof(pod, device)))
}

fn ill_device<'a>(pod: &'a PodView, container: &ContainerView) -> Option<&'a DeviceView> {
    let mut devices = pod.ill_devices().iter();
    devices.find(|device| device.container == container.name)
}

fn words(device: &DeviceView) -> String {
    let DeviceView {
        container,
        resource,
        id,
    } = device;
    format!("device {id} ({resource}) of container {container} is not healthy")
}

fn proof(pod: &PodView, device: &DeviceView) -> Proof {
    let field = format!(
        "allocatedResourcesStatus[{}].resources[{}].health",
        device.resource, device.id
    );
    Proof::container(pod, &device.container, &field, "Unhealthy")
}

/// What the scheduler does for a Pod that it has refused: others end on that node to make room.
pub(super) fn with_room_made(pod: &PodView, mut fault: Fault) -> Fault {
    let Some(node) = pod.nominated_node() else {
        return fault;
    };
    fault.contributing.push(Class::PreemptionPending);
    fault.proved(Proof::pod(pod, "status.nominatedNodeName", node))
}

/// What only explains.
pub(super) fn context(evidence: &Evidence<'_>) -> Vec<Class> {
    let mut classes = Vec::new();
    if !evidence.pod.ill_devices().is_empty() {
        classes.push(Class::DeviceUnhealthy);
    }
    let added = evidence.pod.ephemeral_containers();
    let told = evidence.events_of_pod(&["Failed", "BackOff", "InspectFailed"]);
    if added.iter().any(has_failed) || told.into_iter().any(is_of_ephemeral) {
        classes.push(Class::EphemeralContainerFailed);
    }
    classes
}

/// Whether an ephemeral container ended badly, or cannot be started.
fn has_failed(container: &ContainerView) -> bool {
    match &container.state {
        ContainerState::Terminated(end) => end.exit_code != 0,
        ContainerState::Waiting { .. } => !container.is_in_the_making(),
        ContainerState::Running { .. } => false,
    }
}

fn is_of_ephemeral(event: &EventView) -> bool {
    event.object.field.starts_with("spec.ephemeralContainers{")
}

#[cfg(test)]
mod tests;
