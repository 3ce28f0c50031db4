//! What is left: no fault, a start that nothing explains, and what nobody knows.
//!
//! Rule: what is not known is said to be unknown, never guessed.

use jiff::{SignedDuration, Timestamp};

use super::class::family;
use super::evidence::Evidence;
use super::text::join;
use super::{Class, Confidence, Fault, Proof};
use crate::model::pod::{ContainerState, PodPhase, PodView};

family! {
    /// What belongs to no other family: a Pod without a fault, and Pods whose evidence fits nothing that we
    /// know. The evidence is all that the Pod, its Events and its node say.
    Rest {
        /// Nothing is wrong. The Pod is Ready, has succeeded, or is still within the time that a start may
        /// take.
        NoFault: None, Sample, "Do nothing. Worry only if users see a fault all the same: then look at the Service in front of the Pod and its endpoints (`kubectl describe service`).";
        /// The Pod's containers are not created although the time for a start is over, and no Event says why.
        /// They wait with the reason `ContainerCreating` or `PodInitializing`.
        StartStuck: Unknown, Source, "Read the kubelet's log on that node, and check every claim, `ConfigMap` and Secret that the Pod names. Delete the Pod if another node may do better.";
        /// Nothing that we know fits. Neither the Pod's status nor its Events nor its node say anything that
        /// belongs to another class.
        Unknown: Unknown, Source, "Read all of `kubectl describe pod` and `kubectl get pod -o yaml`, and the log. Send the texts to those who maintain Coppice, so that the fault gets a class of its own.";
    }
}

/// How long containers may be in the making before that is strange.
const PATIENCE: SignedDuration = SignedDuration::from_secs(60);

/// A Pod that is over and has nothing to say for itself.
pub(super) fn without_evidence(pod: &PodView) -> Fault {
    if pod.phase == PodPhase::Succeeded {
        let message = "all containers of the Pod ended cleanly";
        return Fault::new(Class::AppExitedZero, Confidence::Proved, message, None)
            .proved(Proof::pod(pod, "status.phase", "Succeeded"));
    }
    let said = pod
        .message
        .as_deref()
        .or(pod.reason.as_deref())
        .unwrap_or_default();
    let message = join("the Pod is over, and nothing that we know says why", said);
    Fault::new(Class::Unknown, Confidence::Rest, &message, None)
}

/// A Pod with a node whose containers are still in the making, for no known reason. `now` is the newest moment that is
/// told: one that tells of no time at all may be of any age.
pub(super) fn stuck(evidence: &Evidence<'_>, now: Timestamp) -> Option<Fault> {
    let pod = evidence.pod;
    let age = now.duration_since(pod.created);
    let is_young = pod.created > Timestamp::UNIX_EPOCH && age < PATIENCE;
    if is_young || pod.node.is_none() && pod.containers.is_empty() {
        return None;
    }
    let message =
        "the containers of the Pod are still being created, and nothing says what holds them up";
    let fault = Fault::new(
        Class::StartStuck,
        Confidence::Rest,
        message,
        Some(pod.created),
    );
    let reason = pod
        .containers
        .iter()
        .find_map(|container| match &container.state {
            ContainerState::Waiting { reason, .. } => Some((container, reason)),
            _ => None,
        });
    Some(match reason {
        Some((container, reason)) => {
            let field = "state.waiting.reason";
            fault.proved(Proof::container(pod, &container.name, field, reason))
        }
        None => fault.proved(Proof::pod(pod, "status.phase", "Pending")),
    })
}

/// Nothing is wrong.
pub(super) fn well(pod: &PodView) -> Fault {
    let message = match pod.phase {
        PodPhase::Succeeded => "the Pod has done what it was to do",
        PodPhase::Running => "the Pod runs, and nothing is wrong with it",
        _ => "nothing is wrong with the Pod",
    };
    // What is not known to be well is only not known to be ill.
    let confidence = if pod.is_ready() || pod.phase == PodPhase::Succeeded {
        Confidence::Proved
    } else {
        Confidence::Rest
    };
    Fault::new(Class::NoFault, confidence, message, None)
}
