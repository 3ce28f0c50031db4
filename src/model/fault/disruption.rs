//! Pods that somebody else ended: evictions, preemption, taints, deletes, nodes that are gone.
//!
//! Rule: what ended well before somebody asked for it ended by itself; what ended after, however
//! politely, did not.

use jiff::{SignedDuration, Timestamp};

use super::text::{Rule, first_match, join};
use super::{Class, Confidence, Evidence, Fault};
use crate::model::pod::{ContainerView, PodCondition, PodConditionType, PodPhase, PodView};
use crate::model::world::NodeView;

/// How old a `DisruptionTarget` of a running Pod may be. Whoever set it deletes the Pod at once, so an
/// older one is left over from a disruption that did not happen.
const STALE_AFTER: SignedDuration = SignedDuration::from_secs(120);

/// How much the clocks of a node and of the API server may differ, with whole seconds in between.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(2);

/// Reasons of the condition `DisruptionTarget`.
const REASONS: &[(&str, Class)] = &[
    ("EvictionByEvictionAPI", Class::ApiEviction),
    ("PreemptionByScheduler", Class::PreemptedByScheduler),
    ("PreemptionByKubeScheduler", Class::PreemptedByScheduler),
    ("DeletionByTaintManager", Class::TaintEviction),
    ("DeletionByDeviceTaintManager", Class::DeviceTaintEviction),
    ("DeletionByPodGC", Class::DeletedByPodGC),
];

/// What the kubelet says when it ends a Pod for the sake of its node.
const BY_KUBELET: &[Rule] = &[
    Rule(
        Class::NodePressureEviction,
        &["the node was low on resource"],
    ),
    Rule(Class::PreemptedByKubelet, &["critical pod"]),
    Rule(Class::NodeShutdown, &["node shutdown"]),
];

/// Who announced that the Pod is to end.
pub(super) fn announced(pod: &PodView, now: Timestamp) -> Option<Fault> {
    let condition = pod
        .condition(PodConditionType::DisruptionTarget)
        .filter(|c| c.is_true)?;
    if is_stale(pod, condition, now) {
        return None;
    }
    // The kubelet writes its condition with the end itself, so only the times of others can be compared.
    let by_kubelet = condition.reason == "TerminationByKubelet";
    if !by_kubelet
        && condition
            .changed
            .is_some_and(|asked| ended_before(pod, asked))
    {
        return None;
    }
    let class = if by_kubelet {
        first_match(BY_KUBELET, &condition.message)
            .or_else(|| Some(super::rejection::judge(pod)?.class))
    } else {
        REASONS
            .iter()
            .find(|(name, _)| *name == condition.reason)
            .map(|(_, class)| *class)
    };
    let head = format!("the Pod was disrupted ({})", condition.reason);
    Some(Fault::new(
        class.unwrap_or(Class::DisruptionUnknown),
        Confidence::Proved,
        &join(&head, &condition.message),
        condition.changed,
    ))
}

/// Whether the Pod's node is gone for good, while the Pod seemed to run.
pub(super) fn node_gone(evidence: &Evidence<'_>) -> Option<Fault> {
    let pod = evidence.pod;
    if pod.is_terminal() || pod.judged().any(|c| c.end().is_some()) {
        return None;
    }
    let node = pod.node.as_deref()?;
    if evidence.node_gone {
        let message = format!("node {node} does not exist any more");
        return Some(Fault::new(
            Class::DeletedByPodGC,
            Confidence::Inferred,
            &message,
            None,
        ));
    }
    let view = evidence.node.filter(|view| view.out_of_service)?;
    let message = format!("node {node} was put out of service");
    Some(Fault::new(
        Class::NodeOutOfService,
        Confidence::Proved,
        &message,
        view.not_ready_since,
    ))
}

/// Whether somebody deleted the Pod. Where Kubernetes evicts what runs on its node, the loss of the node is why.
pub(super) fn deleted(evidence: &Evidence<'_>) -> Option<Fault> {
    let pod = evidence.pod;
    let asked = pod.deletion_requested()?;
    if ended_before(pod, asked) {
        return None;
    }
    let is_lost = |view: &NodeView| {
        let is_silent = view.unreachable && view.evicting;
        is_silent && view.not_ready_since.is_some_and(|since| since <= asked)
    };
    if evidence.node.is_some_and(is_lost) {
        let node = pod.node.as_deref().unwrap_or_default();
        let message = format!("node {node} does not report, and the Pod on it was deleted");
        return Some(Fault::new(
            Class::NodeUnreachable,
            Confidence::Inferred,
            &message,
            Some(asked),
        ));
    }
    let grace = pod.deletion_grace_seconds.unwrap_or(0);
    let message = format!("the Pod was deleted by somebody else (grace period {grace} s)");
    Some(Fault::new(
        Class::PodDeleted,
        Confidence::Proved,
        &message,
        Some(asked),
    ))
}

/// Whether the Pod's node cannot be relied on, when nothing else explains an end.
pub(super) fn node_lost(evidence: &Evidence<'_>) -> Option<Fault> {
    let view = evidence.node?;
    let since = view.not_ready_since?;
    let node = evidence.pod.node.as_deref().unwrap_or_default();
    let (class, message) = if view.unreachable {
        (
            Class::NodeUnreachable,
            format!("node {node} does not report"),
        )
    } else {
        (Class::NodeNotReady, format!("node {node} is not Ready"))
    };
    Some(Fault::new(
        class,
        Confidence::Inferred,
        &message,
        Some(since),
    ))
}

fn is_stale(pod: &PodView, condition: &PodCondition, now: Timestamp) -> bool {
    pod.phase == PodPhase::Running
        && !pod.is_deleting()
        && condition
            .changed
            .is_some_and(|changed| now.duration_since(changed) > STALE_AFTER)
}

/// Whether a container had ended by itself before the Pod was asked to end.
fn ended_before(pod: &PodView, asked: Timestamp) -> bool {
    let inits = pod.init_containers.iter().filter(|c| c.judged);
    let failed_inits = inits
        .filter_map(ContainerView::end)
        .filter(|end| end.exit_code != 0);
    pod.judged()
        .filter_map(ContainerView::end)
        .chain(failed_inits)
        .filter_map(|end| end.finished)
        .any(|finished| asked.duration_since(finished) > CLOCK_SKEW)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fault::testing::{at, end, evidence, lost_node, pod};

    #[test]
    fn who_announced_it() {
        use Class as C;
        let table = [
            (
                "EvictionByEvictionAPI",
                "Eviction API: evicting",
                C::ApiEviction,
            ),
            (
                "PreemptionByScheduler",
                "default-scheduler: preempting",
                C::PreemptedByScheduler,
            ),
            (
                "PreemptionByKubeScheduler",
                "Kube-scheduler: preempting",
                C::PreemptedByScheduler,
            ),
            (
                "DeletionByTaintManager",
                "Taint manager: deleting due to NoExecute taint",
                C::TaintEviction,
            ),
            ("DeletionByDeviceTaintManager", "", C::DeviceTaintEviction),
            (
                "DeletionByPodGC",
                "PodGC: node no longer exists",
                C::DeletedByPodGC,
            ),
            (
                "TerminationByKubelet",
                "The node was low on resource: memory. ",
                C::NodePressureEviction,
            ),
            (
                "TerminationByKubelet",
                "Pod was preempted by Kubelet to accommodate a critical pod.",
                C::PreemptedByKubelet,
            ),
            (
                "TerminationByKubelet",
                "Pod was terminated in response to imminent node shutdown.",
                C::NodeShutdown,
            ),
            ("TerminationByKubelet", "", C::DisruptionUnknown),
            ("ByTheMoon", "full", C::DisruptionUnknown),
        ];
        for (reason, message, class) in table {
            let fault =
                announced(&pod("p").disrupted(reason, message, at(10)).build(), at(11)).unwrap();
            assert_eq!(fault.class, class, "{reason}: {message}");
            assert_eq!(fault.at, Some(at(10)));
        }
    }

    #[test]
    fn an_announcement_without_consequences_is_void() {
        let spared = pod("p").disrupted("PreemptionByScheduler", "", at(10));
        assert!(announced(&spared.clone().build(), at(100)).is_some());
        assert!(announced(&spared.clone().build(), at(131)).is_none());
        assert!(announced(&spared.deleting(at(160), 30).build(), at(400)).is_some());
    }

    #[test]
    fn a_polite_end_after_the_delete_is_the_deletes() {
        for code in [0, 143, 137] {
            let stopped = pod("p")
                .ended(end(code).ran(0, 12).build())
                .deleting(at(40), 30)
                .build();
            let fault = deleted(&evidence(&stopped)).unwrap();
            assert_eq!((fault.class, fault.at), (Class::PodDeleted, Some(at(10))));
        }
    }

    #[test]
    fn a_delete_while_a_lost_node_is_evicted_is_the_nodes() {
        let view = pod("p").running(at(0)).deleting(at(40), 30).build();
        let told = |node: &NodeView| {
            let evidence = Evidence {
                node: Some(node),
                ..evidence(&view)
            };
            deleted(&evidence).unwrap().class
        };
        assert_eq!(told(&lost_node(at(10))), Class::NodeUnreachable);
        assert_eq!(told(&lost_node(at(11))), Class::PodDeleted);
        let spared = NodeView {
            evicting: false,
            ..lost_node(at(5))
        };
        assert_eq!(told(&spared), Class::PodDeleted);
    }

    #[test]
    fn an_end_well_before_the_delete_is_its_own() {
        let crashed = pod("p").ended(end(1).ran(0, 5).build());
        let deleted_at = |end| deleted(&evidence(&crashed.clone().deleting(at(end), 30).build()));
        assert_eq!(deleted_at(40), None);
        assert!(deleted_at(37).is_some(), "within the skew of clocks");
        let drained = crashed
            .disrupted("EvictionByEvictionAPI", "", at(10))
            .deleting(at(40), 30);
        assert_eq!(announced(&drained.build(), at(11)), None);
    }

    #[test]
    fn nodes_that_are_gone_or_off() {
        let view = pod("p").running(at(0)).build();
        let gone = Evidence {
            node_gone: true,
            ..evidence(&view)
        };
        assert_eq!(node_gone(&gone).unwrap().class, Class::DeletedByPodGC);
        let off = NodeView {
            out_of_service: true,
            ..lost_node(at(5))
        };
        let fault = node_gone(&Evidence {
            node: Some(&off),
            ..evidence(&view)
        })
        .unwrap();
        assert_eq!(
            (fault.class, fault.at),
            (Class::NodeOutOfService, Some(at(5)))
        );
        assert_eq!(node_gone(&evidence(&view)), None);
        let crashed = pod("p").ended(end(1).build()).build();
        assert_eq!(
            node_gone(&Evidence {
                node_gone: true,
                ..evidence(&crashed)
            }),
            None
        );
    }

    #[test]
    fn nodes_that_cannot_be_relied_on() {
        let view = pod("p").running(at(0)).build();
        let silent = lost_node(at(5));
        assert_eq!(
            node_lost(&Evidence {
                node: Some(&silent),
                ..evidence(&view)
            })
            .unwrap()
            .class,
            Class::NodeUnreachable
        );
        let sick = NodeView {
            unreachable: false,
            ..silent
        };
        assert_eq!(
            node_lost(&Evidence {
                node: Some(&sick),
                ..evidence(&view)
            })
            .unwrap()
            .class,
            Class::NodeNotReady
        );
        assert_eq!(node_lost(&evidence(&view)), None);
    }
}
