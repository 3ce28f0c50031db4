//! Pods of which the scheduler says nothing: none looks at them, or one has chosen a node and waits for what belongs there.
//!
//! Rule: a scheduler is missing only when nothing shows that one was there.

use jiff::{SignedDuration, Timestamp};

use crate::model::fault::evidence::{EventView, Evidence};
use crate::model::fault::{Class, Confidence, Fault, Proof, volume};

/// How long a Pod may wait for a scheduler to look at it.
const PATIENCE: SignedDuration = SignedDuration::from_secs(30);

/// Why a Pod without a node says nothing of a scheduler, when it has done so for long.
pub(super) fn judge(evidence: &Evidence<'_>, now: Timestamp) -> Option<Fault> {
    let pod = evidence.pod;
    if let Some(event) = not_made(evidence) {
        let head = "a resource claim of the Pod could not be made";
        return Some(Fault::witnessed(Class::ResourceClaimMissing, head, event));
    }
    let has_begun = pod
        .containers
        .iter()
        .any(|container| !container.is_in_the_making());
    let is_young = now.duration_since(pod.created) <= PATIENCE;
    if has_begun || is_young {
        return None;
    }
    // The scheduler has chosen a node, and binds the Pod only when its volumes are there.
    let until = pod.created.checked_add(PATIENCE).unwrap_or(pod.created);
    let of_claim = volume::claims(evidence)
        .or_else(|| volume::being_made(evidence))
        .or_else(|| volume::waited_for_pod(evidence, until));
    if of_claim.is_some() {
        return of_claim;
    }
    let is_told_of = evidence
        .events
        .iter()
        .any(|event| evidence.is_of_pod(event));
    // Where not even the creation is told, the lack of a condition says nothing.
    if is_told_of || pod.nominated_node().is_some() || pod.created == Timestamp::UNIX_EPOCH {
        return None;
    }
    // A Pod whose resource claim does not exist is not even put into the queue.
    let is_there = |claim: &&String| {
        let mut objects = evidence.objects.iter();
        objects.any(|one| one.object.kind == "ResourceClaim" && one.object.name == **claim)
    };
    let mut claims = pod.spec.resource_claims.iter();
    let claim = claims.find(|claim| !is_there(claim));
    let (class, message) = match claim {
        Some(claim) => (
            Class::ResourceClaimMissing,
            format!("no scheduler has looked at the Pod, which names the resource claim {claim}"),
        ),
        None => (
            Class::SchedulerMissing,
            format!(
                "no scheduler has looked at the Pod for more than {} s",
                PATIENCE.as_secs()
            ),
        ),
    };
    let fault = Fault::new(class, Confidence::Inferred, &message, Some(pod.created));
    Some(fault.proved(Proof::pod(
        pod,
        "status.conditions[PodScheduled]",
        "missing",
    )))
}

/// The newest Event that says that a resource claim could not be made from its template.
pub(super) fn not_made<'a>(evidence: &Evidence<'a>) -> Option<&'a EventView> {
    let reasons = ["FailedResourceClaimCreation"];
    evidence.events_of_pod(&reasons).pop()
}
