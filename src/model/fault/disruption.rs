//! Pods that somebody else ended: evictions, preemption, taints, deletes, nodes that are gone.
//!
//! Rule: what ended well before somebody asked for it ended by itself; what ended after, however
//! politely, did not.

use jiff::{SignedDuration, Timestamp};

use super::class::family;
use super::evidence::CLOCK_SKEW;
use super::text::{EventRule, Rule, first_event, first_match, join};
use super::{Class, Confidence, Evidence, Fault, Proof, runtime};
use crate::model::pod::{ContainerView, PodCondition, PodConditionType, PodPhase, PodView};
use crate::model::world::NodeView;

family! {
    /// The platform or a person removed a Pod, or tried to, whatever the program was doing. The evidence is
    /// the Pod's condition `DisruptionTarget`, its `status.reason` and its `deletionTimestamp`; the exit
    /// codes of its containers only follow from that.
    Disruption {
        /// The kubelet evicted the Pod because the node ran out of something, such as memory or disk. The Pod
        /// has the reason `Evicted`, and the message says what was low.
        NodePressureEviction: Infrastructure, Sample, "Read in the message who used more than it requested. If it was this Pod, raise its `resources.requests`; otherwise look at the other Pods of that node (`kubectl describe node`).";
        /// The kubelet refused the Pod because the node is running out of something. The Pod has failed with
        /// the reason `Evicted`, the message names a condition such as `DiskPressure`, and it never had a
        /// container.
        KubeletPressureRejected: Infrastructure, Source, "It passes on another node, or some minutes after the node has recovered. Worry when it repeats: then find what fills that node (`kubectl describe node`).";
        /// Somebody evicted the Pod, for example a drain, an autoscaler or the descheduler. The condition
        /// `DisruptionTarget` has the reason `EvictionByEvictionAPI`.
        ApiEviction: Infrastructure, Cluster, "It passes by itself, and needs nothing if it was planned. Worry when it comes often: then find out which tool evicts, in the audit log of the API server.";
        /// The scheduler deleted the Pod for one of higher priority. The condition `DisruptionTarget` has the
        /// reason `PreemptionByScheduler`, and an Event `Preempted` names the other Pod.
        PreemptedByScheduler: Infrastructure, Cluster, "Add room to the cluster, or set a higher `priorityClassName` in the template if this Pod matters as much (`kubectl get priorityclass`).";
        /// The kubelet ended the Pod for a critical one. The Pod has failed with the reason `Preempting`.
        PreemptedByKubelet: Infrastructure, Source, "It passes on another node. Worry when it repeats on one: then too little room is left there for critical Pods (`kubectl describe node` shows what is requested).";
        /// A taint of the node with the effect `NoExecute` ended the Pod. The condition `DisruptionTarget`
        /// has the reason `DeletionByTaintManager`, or there is an Event `TaintManagerEviction`.
        TaintEviction: Infrastructure, Cluster, "Read the node's taints (`kubectl describe node`). One that begins with `node.kubernetes.io/` tells of a fault of the node; another was set on purpose and needs a toleration.";
        /// A taint of a device that the Pod uses ended the Pod. The condition `DisruptionTarget` has the
        /// reason `DeletionByDeviceTaintManager`.
        DeviceTaintEviction: Infrastructure, Source, "Find out why the device was tainted (`kubectl get resourceslices -o yaml`, or a `DeviceTaintRule`), and repair it, or tolerate the taint in the `ResourceClaim`.";
        /// Something else that announces itself ended the Pod. The condition `DisruptionTarget` is true, with
        /// a reason that we do not know.
        DisruptionUnknown: Infrastructure, Source, "Read the reason and the message of the condition (`kubectl get pod -o yaml`), and find the controller that writes them. Worry when it repeats.";
        /// Somebody deleted the Pod, and neither the tree nor a disruption did. The Pod has a
        /// `deletionTimestamp` without the condition `DisruptionTarget`, or it is gone.
        PodDeleted: Infrastructure, Cluster, "Find out who deleted it, in the audit log of the API server: a person, a script or a tool that cleans up. A single time needs nothing more.";
        /// An eviction was refused because a `PodDisruptionBudget` does not allow it now. The API server
        /// answers with status 429 and leaves the Pod as it is.
        PdbBlocked: None, Cluster, "It passes when enough other Pods are Ready. Worry when `kubectl get pdb` shows 0 allowed disruptions for long: then look for Pods that are not Ready.";
        /// The Pod is being deleted and is still there although its grace period is over. Its
        /// `deletionTimestamp` lies in the past.
        StuckTerminating: Infrastructure, Cluster, "Look for `metadata.finalizers`, an Event `FailedKillPod` and a lost node. Use `kubectl delete pod --force` only when you know that its containers no longer run.";
    }
}

/// Messages of Pods that were evicted for the sake of their node.
pub(super) const EVICTED: &[Rule] = &[
    Rule(Class::KubeletPressureRejected, &["the node had condition"]),
    Rule(
        Class::NodePressureEviction,
        &["the node was low on resource"],
    ),
];

/// Reasons of Pods as a whole, in lower case.
pub(super) const REJECTED: &[(&str, Class)] = &[("preempting", Class::PreemptedByKubelet)];

/// How long after its grace period a Pod may still be there.
const LINGERS: SignedDuration = SignedDuration::from_secs(30);

/// How old a `DisruptionTarget` of a running Pod may be. Whoever set it deletes the Pod at once, so an
/// older one is left over from a disruption that did not happen.
const STALE_AFTER: SignedDuration = SignedDuration::from_secs(120);

/// Reasons of the condition `DisruptionTarget`.
const REASONS: &[(&str, Class)] = &[
    ("EvictionByEvictionAPI", Class::ApiEviction),
    ("PreemptionByScheduler", Class::PreemptedByScheduler),
    ("PreemptionByKubeScheduler", Class::PreemptedByScheduler),
    ("DeletionByTaintManager", Class::TaintEviction),
    ("DeletionByDeviceTaintManager", Class::DeviceTaintEviction),
    ("DeletionByPodGC", Class::DeletedByPodGC),
];

/// Events in which somebody says that he deletes the Pod. A taint that was removed in time deletes nothing.
const DELETERS: &[EventRule] = &[
    EventRule(
        &["TaintManagerEviction"],
        &["marking for deletion"],
        Class::TaintEviction,
    ),
    EventRule(
        &["DeviceTaintManagerEviction"],
        &["marking for deletion"],
        Class::DeviceTaintEviction,
    ),
    EventRule(&["Preempted"], &[""], Class::PreemptedByScheduler),
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
pub(super) fn announced(evidence: &Evidence<'_>, now: Timestamp) -> Option<Fault> {
    let pod = evidence.pod;
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
            .or_else(|| Some(super::rejection::judge(evidence)?.class))
    } else {
        REASONS
            .iter()
            .find(|(name, _)| *name == condition.reason)
            .map(|(_, class)| *class)
    };
    let head = format!("the Pod was disrupted ({})", condition.reason);
    let fault = Fault::new(
        class.unwrap_or(Class::DisruptionUnknown),
        Confidence::Proved,
        &join(&head, &condition.message),
        condition.changed,
    );
    Some(fault.proved(Proof::condition(pod, condition)))
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
        let fault = Fault::new(
            Class::NodeUnreachable,
            Confidence::Inferred,
            &message,
            Some(asked),
        );
        return Some(fault.proved(proof(pod)));
    }
    if let Some(fault) = told(evidence) {
        return Some(Fault {
            at: Some(asked),
            ..fault.proved(proof(pod))
        });
    }
    let grace = pod.deletion_grace_seconds.unwrap_or(0);
    let message = format!("the Pod was deleted by somebody else (grace period {grace} s)");
    let fault = Fault::new(Class::PodDeleted, Confidence::Proved, &message, Some(asked));
    Some(fault.proved(proof(pod)))
}

/// Who said last, in an Event, that he deletes the Pod.
pub(super) fn told(evidence: &Evidence<'_>) -> Option<Fault> {
    let reasons = [
        "TaintManagerEviction",
        "DeviceTaintManagerEviction",
        "Preempted",
    ];
    let newest = evidence.events_of_pod(&reasons).pop()?;
    let (class, event) = first_event(DELETERS, &[newest])?;
    Some(Fault::witnessed(class, "the Pod was disrupted", event))
}

fn proof(pod: &PodView) -> Proof {
    let until = pod
        .deletion
        .map(|until| until.to_string())
        .unwrap_or_default();
    Proof::pod(pod, "metadata.deletionTimestamp", &until)
}

/// Whether the Pod is still there although its time to stop is over. `now` is the newest moment that is told.
pub(super) fn stuck(evidence: &Evidence<'_>, now: Timestamp) -> Option<Fault> {
    let pod = evidence.pod;
    let until = pod.deletion?;
    let asked = pod.deletion_requested();
    let mut events = evidence.events_of_pod(&["FailedKillPod"]);
    // One from before was about a container that was to be restarted.
    events.retain(|event| event.falls_in(asked, None));
    let event = first_event(runtime::KILL, &events).map(|(_, event)| event);
    // Where an Event has no time, the moment of the evidence is not known either.
    let is_untimed = event.is_some_and(|event| event.seen().is_none());
    if !is_untimed && now.duration_since(until) <= LINGERS {
        return None;
    }
    let said = event.map_or("", |event| event.text());
    let message = join("the Pod was deleted, and is still there", said);
    let fault = Fault::new(
        Class::StuckTerminating,
        Confidence::Proved,
        &message,
        Some(until),
    )
    .proved(Proof::pod(
        pod,
        "metadata.deletionTimestamp",
        &until.to_string(),
    ));
    let mut fault = match event {
        Some(event) => fault.proved(Proof::event(event)),
        None => fault,
    };
    fault.contributing.extend(event.map(|_| Class::KillFailed));
    fault
        .contributing
        .extend(told(evidence).map(|fault| fault.class));
    Some(fault)
}

fn is_stale(pod: &PodView, condition: &PodCondition, now: Timestamp) -> bool {
    pod.phase == PodPhase::Running
        && !pod.is_deleting()
        && condition
            .changed
            .is_some_and(|changed| now.duration_since(changed) > STALE_AFTER)
}

/// Whether the Pod had ended by itself before it was asked to end: a container with a failure, or all of them.
fn ended_before(pod: &PodView, asked: Timestamp) -> bool {
    let was_before = |container: &ContainerView, failed_only: bool| {
        let end = container
            .end()
            .filter(|end| !failed_only || end.exit_code != 0);
        end.and_then(|end| end.finished)
            .is_some_and(|finished| asked.duration_since(finished) > CLOCK_SKEW)
    };
    let mut inits = pod.init_containers.iter().filter(|c| c.judged);
    let has_failed =
        inits.any(|c| was_before(c, true)) || pod.judged().any(|c| was_before(c, true));
    has_failed || pod.judged().next().is_some() && pod.judged().all(|c| was_before(c, false))
}

#[cfg(test)]
mod tests;
