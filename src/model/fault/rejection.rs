//! Pods that the kubelet ended or never took: the reason of the Pod as a whole.
//!
//! Rule: the message is judged before the reason, because one reason stands for several causes.

use super::text::{Rule, first_match, join};
use super::{Class, Confidence, Fault};
use crate::model::pod::{PodPhase, PodView};

/// Messages of evicted Pods.
const EVICTED: &[Rule] = &[
    Rule(
        Class::EphemeralStorageExceeded,
        &[
            "exceeded its local ephemeral storage limit",
            "pod ephemeral local storage usage exceeds",
        ],
    ),
    Rule(Class::EmptyDirSizeExceeded, &["usage of emptydir volume"]),
    Rule(Class::KubeletPressureRejected, &["the node had condition"]),
    Rule(
        Class::NodePressureEviction,
        &["the node was low on resource"],
    ),
];

/// Reasons, in lower case, because the kubelet's own spelling has changed.
const REASONS: &[(&str, Class)] = &[
    ("terminated", Class::NodeShutdown),
    ("shutdown", Class::NodeShutdown),
    ("nodeshutdown", Class::NodeShutdownRejected),
    ("preempting", Class::PreemptedByKubelet),
    ("deadlineexceeded", Class::ActiveDeadlineExceeded),
    ("nodelost", Class::NodeLost),
    ("nodeaffinity", Class::KubeletNodeAffinityRejected),
    ("matchnodeselector", Class::KubeletNodeAffinityRejected),
    ("nodename", Class::KubeletNodeAffinityRejected),
    ("nodeports", Class::KubeletNodeAffinityRejected),
    ("tainttoleration", Class::KubeletNodeAffinityRejected),
    ("unexpectedadmissionerror", Class::DeviceAllocationFailed),
    ("topologyaffinityerror", Class::TopologyAffinityRejected),
    ("smtalignmenterror", Class::TopologyAffinityRejected),
    ("emptypodsharedpoolerror", Class::TopologyAffinityRejected),
    ("volumeattachmentlimitexceeded", Class::AttachLimitRejected),
    ("sysctlforbidden", Class::SysctlForbidden),
    ("apparmor", Class::AppArmorRejected),
    (
        "podosselectornodelabeldoesnotmatch",
        Class::PodFeatureUnsupported,
    ),
    ("podosnotsupported", Class::PodFeatureUnsupported),
    (
        "initcontainerrestartpolicyforbidden",
        Class::PodFeatureUnsupported,
    ),
    (
        "supplementalgroupspolicynotsupported",
        Class::PodFeatureUnsupported,
    ),
    (
        "podlevelresourcesnotsupported",
        Class::PodFeatureUnsupported,
    ),
    ("podfeatureunsupported", Class::PodFeatureUnsupported),
    (
        "unexpectedpredicatefailuretype",
        Class::KubeletRejectedOther,
    ),
    ("unknownreason", Class::KubeletRejectedOther),
    ("invalidnodeinfo", Class::KubeletRejectedOther),
];

/// Why the kubelet ended or refused the Pod, when the Pod's own reason says so.
pub(super) fn judge(pod: &PodView) -> Option<Fault> {
    let reason = pod.reason.as_deref().unwrap_or_default();
    let message = pod.message.as_deref().unwrap_or_default();
    if is_stale(pod) {
        return None;
    }
    let class = classify(reason, message, pod.phase)?;
    let head = match reason {
        "" => "the kubelet refused the Pod".to_owned(),
        reason => format!("the kubelet ended or refused the Pod ({reason})"),
    };
    Some(Fault::new(
        class,
        Confidence::Proved,
        &join(&head, message),
        None,
    ))
}

/// A node that comes back may leave the reason behind on a Pod that runs again.
fn is_stale(pod: &PodView) -> bool {
    pod.phase == PodPhase::Running && pod.is_ready() && !pod.is_deleting()
}

fn classify(reason: &str, message: &str, phase: PodPhase) -> Option<Class> {
    let lower = reason.to_lowercase();
    if lower == "evicted" {
        return Some(first_match(EVICTED, message).unwrap_or(Class::NodePressureEviction));
    }
    if lower.starts_with("outof") {
        return Some(Class::KubeletOutOfResource);
    }
    if let Some((_, class)) = REASONS.iter().find(|(name, _)| *name == lower) {
        return Some(*class);
    }
    (phase == PodPhase::Failed && message.starts_with("Pod was rejected: "))
        .then_some(Class::KubeletRejectedOther)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fault::testing::{at, pod};

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
