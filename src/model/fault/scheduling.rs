//! Pods that no node takes: what the scheduler says about the nodes, and about the volumes on the way.
//!
//! Rule: the reason that most nodes share is the class; what the scheduler says about preemption is not
//! a reason.

use jiff::{SignedDuration, Timestamp};

use super::text::{Rule, first_match, join};
use super::{Class, Confidence, Fault};
use crate::model::pod::{PodCondition, PodConditionType, PodPhase, PodView};

/// How long a Pod may wait for a scheduler to look at it.
const SCHEDULER_PATIENCE: SignedDuration = SignedDuration::from_secs(30);

/// What the scheduler says about a node or about the Pod as a whole. The first rule that fits a part of
/// the message wins it.
const RULES: &[Rule] = &[
    Rule(
        Class::PvcUnbound,
        &[
            "unbound immediate persistentvolumeclaims",
            "waiting for ephemeral volume controller to create the persistentvolumeclaim",
        ],
    ),
    Rule(Class::ClaimLost, &["pvc(s) bound to non-existent pv(s)"]),
    Rule(
        Class::RwopConflict,
        &["readwriteoncepod access mode already in-use"],
    ),
    Rule(
        Class::VolumeNodeAffinityConflict,
        &[
            "didn't match persistentvolume's node affinity",
            "had volume node affinity conflict",
            "had no available volume zone",
        ],
    ),
    Rule(
        Class::NoMatchingVolume,
        &[
            "didn't find available persistent volumes to bind",
            "did not have enough free storage",
        ],
    ),
    Rule(Class::VolumeLimitExceeded, &["exceed max volume count"]),
    Rule(Class::PvcMissing, &["persistentvolumeclaim \""]),
    Rule(Class::NoNodes, &["no nodes available to schedule pods"]),
    Rule(
        Class::GangWaiting,
        &[
            "from a gang to appear in scheduling queue",
            "to appear in scheduling queue",
        ],
    ),
    Rule(Class::InsufficientCpu, &["insufficient cpu"]),
    Rule(Class::InsufficientMemory, &["insufficient memory"]),
    Rule(
        Class::InsufficientEphemeralStorage,
        &["insufficient ephemeral-storage"],
    ),
    Rule(Class::InsufficientExtendedResource, &["insufficient "]),
    Rule(Class::TooManyPods, &["too many pods"]),
    Rule(
        Class::NodesCordoned,
        &[
            "node(s) were unschedulable",
            "node.kubernetes.io/unschedulable",
        ],
    ),
    Rule(
        Class::NodeUnknownConditions,
        &[
            "had unknown conditions",
            "node.kubernetes.io/not-ready",
            "node.kubernetes.io/unreachable",
        ],
    ),
    Rule(
        Class::UntoleratedTaint,
        &["untolerated taint", "node(s) had taint"],
    ),
    Rule(
        Class::NodeSelectorMismatch,
        &[
            "didn't match pod's node affinity",
            "didn't match node selector",
            "didn't match the requested node name",
        ],
    ),
    Rule(
        Class::PodAntiAffinityConflict,
        &[
            "didn't match pod anti-affinity rules",
            "didn't satisfy existing pods anti-affinity rules",
        ],
    ),
    Rule(
        Class::PodAffinityUnsatisfied,
        &["didn't match pod affinity rules"],
    ),
    Rule(
        Class::TopologySpreadUnsatisfiable,
        &["didn't match pod topology spread constraints"],
    ),
    Rule(Class::HostPortConflict, &["didn't have free ports"]),
    Rule(
        Class::NodeFeatureMissing,
        &["didn't match pod's required features"],
    ),
    Rule(
        Class::ResourceClaimUnschedulable,
        &[
            "cannot allocate all claims",
            "resourceclaim in use",
            "resourceclaim not available on the node",
            "resourceclaim \"",
        ],
    ),
];

/// Why the Pod has no node, when the scheduler has looked at it and said no, or has not looked for long.
pub(super) fn unscheduled(pod: &PodView, now: Timestamp) -> Option<Fault> {
    let Some(condition) = pod.condition(PodConditionType::PodScheduled) else {
        return overlooked(pod, now);
    };
    // A condition without a reason is not a judgement of the scheduler.
    if condition.is_true || condition.reason.is_empty() || pod.node.is_some() {
        return None;
    }
    let (class, confidence) = classify(condition);
    let message = join("the Pod has no node", &condition.message);
    Some(Fault::new(class, confidence, &message, condition.changed))
}

fn overlooked(pod: &PodView, now: Timestamp) -> Option<Fault> {
    let waits = pod.phase == PodPhase::Pending && pod.node.is_none();
    if !waits || now.duration_since(pod.created) <= SCHEDULER_PATIENCE {
        return None;
    }
    let message = format!(
        "no scheduler has looked at the Pod for more than {} s",
        SCHEDULER_PATIENCE.as_secs()
    );
    Some(Fault::new(
        Class::SchedulerMissing,
        Confidence::Inferred,
        &message,
        Some(pod.created),
    ))
}

fn classify(condition: &PodCondition) -> (Class, Confidence) {
    match condition.reason.as_str() {
        "SchedulingGated" => (Class::SchedulingGated, Confidence::Proved),
        "SchedulerError" => (Class::SchedulerError, Confidence::Proved),
        _ => match dominant(&condition.message) {
            Some(class) => (class, Confidence::Witnessed),
            None => (Class::Unschedulable, Confidence::Rest),
        },
    }
}

/// The class that most nodes share; on a tie the one whose rule stands first. A part without a number
/// speaks about the Pod as a whole and beats them all.
fn dominant(message: &str) -> Option<Class> {
    let said = before_preemption(message);
    if said.starts_with("0/0 nodes are available") {
        return Some(Class::NoNodes);
    }
    let reasons = said
        .split_once("nodes are available:")
        .map_or(said, |(_, reasons)| reasons);
    let mut nodes = vec![0_u64; RULES.len()];
    for part in reasons.split(", ") {
        let Some(class) = first_match(RULES, part) else {
            continue;
        };
        let position = RULES.iter().position(|rule| rule.0 == class)?;
        nodes[position] = nodes[position].saturating_add(node_count(part));
    }
    let most = nodes.iter().copied().max().filter(|most| *most > 0)?;
    let position = nodes.iter().position(|count| *count == most)?;
    Some(RULES[position].0)
}

fn before_preemption(message: &str) -> &str {
    ["preemption:", "no new claims to deallocate"]
        .iter()
        .filter_map(|mark| message.find(mark))
        .min()
        .map_or(message, |end| &message[..end])
}

fn node_count(part: &str) -> u64 {
    let first = part.split_whitespace().next().unwrap_or_default();
    first.parse().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fault::testing::{at, pod};

    #[test]
    fn what_the_scheduler_says() {
        use Class as C;
        let table = [
            (
                "0/2 nodes are available: 1 Insufficient cpu, 1 Insufficient memory, 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }. preemption: 0/2 nodes are available: 2 No preemption victims found.",
                C::InsufficientCpu,
            ),
            (
                "0/5 nodes are available: 1 Insufficient cpu, 4 Insufficient memory.",
                C::InsufficientMemory,
            ),
            (
                "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
                C::InsufficientExtendedResource,
            ),
            (
                "0/1 nodes are available: 1 Insufficient hugepages-2Mi.",
                C::InsufficientExtendedResource,
            ),
            ("0/3 nodes are available: 3 Too many pods.", C::TooManyPods),
            (
                "0/1 nodes are available: 1 node(s) had untolerated taint(s).",
                C::UntoleratedTaint,
            ),
            (
                "0/1 nodes are available: 1 node(s) had taint {a: b}, that the pod didn't tolerate.",
                C::UntoleratedTaint,
            ),
            (
                "0/2 nodes are available: 2 node(s) had untolerated taint {node.kubernetes.io/not-ready: }.",
                C::NodeUnknownConditions,
            ),
            (
                "0/2 nodes are available: 2 node(s) were unschedulable.",
                C::NodesCordoned,
            ),
            (
                "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. no new claims to deallocate, preemption: 0/1 nodes are available",
                C::NodeSelectorMismatch,
            ),
            (
                "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules.",
                C::PodAntiAffinityConflict,
            ),
            (
                "0/1 nodes are available: 1 node(s) didn't match pod affinity rules.",
                C::PodAffinityUnsatisfied,
            ),
            (
                "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.",
                C::HostPortConflict,
            ),
            (
                "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/1",
                C::PvcUnbound,
            ),
            (
                "0/1 nodes are available: 1 node(s) had volume node affinity conflict.",
                C::VolumeNodeAffinityConflict,
            ),
            (
                "0/1 nodes are available: 1 node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod.",
                C::RwopConflict,
            ),
            ("persistentvolumeclaim \"data\" not found", C::PvcMissing),
            ("0/0 nodes are available.", C::NoNodes),
            ("no nodes available to schedule pods", C::NoNodes),
            ("the moon is in the wrong place", C::Unschedulable),
        ];
        for (message, class) in table {
            let fault = unscheduled(&pod("p").unschedulable(message).build(), at(1)).unwrap();
            assert_eq!(fault.class, class, "{message}");
            assert_eq!(fault.at, Some(at(0)));
        }
    }

    #[test]
    fn gates_are_told_by_their_reason() {
        let gated = pod("p").scheduling(
            "SchedulingGated",
            "Scheduling is blocked due to non-empty scheduling gates",
        );
        let fault = unscheduled(&gated.build(), at(1)).unwrap();
        assert_eq!(
            (fault.class, fault.confidence),
            (Class::SchedulingGated, Confidence::Proved)
        );
    }

    #[test]
    fn a_scheduled_pod_and_one_not_yet_looked_at_have_no_fault() {
        assert_eq!(unscheduled(&pod("p").build(), at(600)), None);
        assert_eq!(
            unscheduled(&pod("p").scheduling("", "").build(), at(600)),
            None
        );
    }

    #[test]
    fn a_pod_that_no_scheduler_looks_at_is_told_after_a_while() {
        let alone = pod("p")
            .unschedulable("")
            .but(|pod| pod.conditions.clear())
            .build();
        assert_eq!(unscheduled(&alone, at(30)), None);
        let fault = unscheduled(&alone, at(31)).unwrap();
        assert_eq!(
            (fault.class, fault.at),
            (Class::SchedulerMissing, Some(at(0)))
        );
    }
}
