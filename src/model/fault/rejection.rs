//! Pods that the kubelet ended or never took: the reason of the Pod as a whole.
//!
//! Rule: the message is judged before the reason, because one reason stands for several causes.

use super::evidence::EventView;
use super::text::{Rule, first_match, join};
use super::{Class, Confidence, Evidence, Fault, Proof};
use super::{admission, application, disruption, node, resources, volume};
use crate::model::pod::{PodPhase, PodView};

/// Messages of evicted Pods.
const EVICTED: [&[Rule]; 2] = [resources::EVICTED, disruption::EVICTED];

/// Reasons, in lower case, because the kubelet's own spelling has changed.
const REASONS: [&[(&str, Class)]; 5] = [
    node::REASONS,
    disruption::REJECTED,
    application::REASONS,
    admission::REJECTED,
    volume::REJECTED,
];

/// Why the kubelet ended or refused the Pod, when the Pod's own reason says so.
pub(super) fn judge(evidence: &Evidence<'_>) -> Option<Fault> {
    let pod = evidence.pod;
    let reason = pod.reason.as_deref().unwrap_or_default();
    let event = evidence.events_of_pod(&[reason]).pop();
    let told = pod.message.as_deref();
    let said = event.map(EventView::text);
    let message = told.or(said).unwrap_or_default();
    if is_stale(pod) {
        return None;
    }
    if reason.is_empty() && message.is_empty() && pod.phase == PodPhase::Failed {
        return self::told(&evidence.all_of_pod());
    }
    let class = classify(reason, message, pod.phase)?;
    let head = match reason {
        "" => "the kubelet refused the Pod".to_owned(),
        reason => format!("the kubelet ended or refused the Pod ({reason})"),
    };
    // This one reason stands for several causes, which only the message tells apart.
    let is_vague = class == Class::NodePressureEviction && !is_told(message);
    let confidence = if is_vague {
        Confidence::Inferred
    } else {
        Confidence::Proved
    };
    let mut fault = Fault::new(class, confidence, &join(&head, message), None);
    if !reason.is_empty() {
        fault = fault.proved(Proof::pod(pod, "status.reason", reason));
    }
    Some(match (told, event) {
        (Some(message), _) => fault.proved(Proof::pod(pod, "status.message", message)),
        (None, Some(event)) => fault.proved(Proof::event(event)),
        (None, None) => fault,
    })
}

/// Why the kubelet ended or refused a Pod, when only one of its Events says so: the newest.
pub(super) fn told(events: &[&EventView]) -> Option<Fault> {
    events.iter().rev().find_map(|event| {
        let class = classify(&event.reason, event.text(), PodPhase::Failed)?;
        let head = format!("the kubelet ended or refused the Pod ({})", event.reason);
        Some(Fault::witnessed(class, &head, event))
    })
}

/// A node that comes back may leave the reason behind on a Pod that runs again.
fn is_stale(pod: &PodView) -> bool {
    pod.phase == PodPhase::Running && pod.is_ready() && !pod.is_deleting()
}

/// Whether the message of an evicted Pod says why.
fn is_told(message: &str) -> bool {
    EVICTED
        .iter()
        .any(|rules| first_match(rules, message).is_some())
}

fn classify(reason: &str, message: &str, phase: PodPhase) -> Option<Class> {
    let lower = reason.to_lowercase();
    if lower == "evicted" {
        let said = EVICTED.iter().find_map(|rules| first_match(rules, message));
        return Some(said.unwrap_or(Class::NodePressureEviction));
    }
    if lower.starts_with("outof") {
        return Some(Class::KubeletOutOfResource);
    }
    if lower == "unexpectedadmissionerror" && !message.is_empty() {
        let said = first_match(admission::UNEXPECTED, message);
        return Some(said.unwrap_or(Class::KubeletRejectedOther));
    }
    let mut reasons = REASONS.iter().copied().flatten();
    if let Some((_, class)) = reasons.find(|(name, _)| *name == lower) {
        return Some(*class);
    }
    (phase == PodPhase::Failed && message.starts_with("Pod was rejected: "))
        .then_some(Class::KubeletRejectedOther)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fault::testing::{at, pod};

    fn judge(pod: &PodView) -> Option<Fault> {
        super::judge(&Evidence::of(pod))
    }

    #[test]
    fn reasons_and_messages() {
        use Class as C;
        let table = [
            (
                "Evicted",
                "The node was low on resource: memory. Threshold quantity: 100Mi",
                C::NodePressureEviction,
            ),
            (
                "Evicted",
                "Pod was rejected: The node had condition: [DiskPressure]. ",
                C::KubeletPressureRejected,
            ),
            (
                "Evicted",
                "Container main exceeded its local ephemeral storage limit \"1Gi\". ",
                C::EphemeralStorageExceeded,
            ),
            (
                "Evicted",
                "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. ",
                C::EphemeralStorageExceeded,
            ),
            (
                "Evicted",
                "Usage of EmptyDir volume \"tmp\" exceeds the limit \"1Mi\". ",
                C::EmptyDirSizeExceeded,
            ),
            (
                "OutOfcpu",
                "Pod was rejected: Node didn't have enough resource: cpu",
                C::KubeletOutOfResource,
            ),
            ("OutOfPods", "", C::KubeletOutOfResource),
            (
                "NodeAffinity",
                "Pod was rejected: Predicate NodeAffinity failed",
                C::KubeletNodeAffinityRejected,
            ),
            (
                "UnexpectedAdmissionError",
                "Pod was rejected: Allocate failed due to no healthy devices",
                C::DeviceAllocationFailed,
            ),
            ("TopologyAffinityError", "", C::TopologyAffinityRejected),
            (
                "SysctlForbidden",
                "Pod was rejected: forbidden sysctl: \"kernel.x\" not allowlisted",
                C::SysctlForbidden,
            ),
            (
                "DeadlineExceeded",
                "Pod was active on the node longer than the specified deadline",
                C::ActiveDeadlineExceeded,
            ),
            (
                "Terminated",
                "Pod was terminated in response to imminent node shutdown.",
                C::NodeShutdown,
            ),
            (
                "NodeShutdown",
                "Pod was rejected as the node is shutting down.",
                C::NodeShutdownRejected,
            ),
            (
                "Preempting",
                "Preempted in order to admit critical pod",
                C::PreemptedByKubelet,
            ),
            (
                "NodeLost",
                "Node n which was running pod p is unresponsive",
                C::NodeLost,
            ),
            (
                "SomethingNew",
                "Pod was rejected: because",
                C::KubeletRejectedOther,
            ),
        ];
        for (reason, message, class) in table {
            let fault = judge(&pod("p").failed(reason, message).build()).unwrap();
            assert_eq!(fault.class, class, "{reason}: {message}");
            assert!(fault.message.contains(reason));
        }
    }

    #[test]
    fn an_unknown_reason_is_left_to_the_containers() {
        assert_eq!(
            judge(&pod("p").failed("SomethingNew", "text").build()),
            None
        );
        assert_eq!(judge(&pod("p").failed("", "").build()), None);
    }

    #[test]
    fn a_stale_reason_on_a_ready_pod_is_ignored() {
        let mut back = pod("p").ready(at(5)).build();
        back.reason = Some("NodeLost".to_owned());
        assert_eq!(judge(&back), None);
    }
}
