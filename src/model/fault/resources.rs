//! Resources: memory, local storage, and changes of both in place.
//!
//! Rule: exit code 137 alone is no proof of missing memory; `OOMKilled` with another exit code is none of the program's
//! own death.
//! Sources: `pkg/kubelet/eviction`, `pkg/kubelet/oom`, `pkg/kubelet/allocation` (Kubernetes 1.36), containerd
//! `internal/cri/server/events.go`.

use super::class::family;
use super::evidence::{EventView, Evidence, KILLS_FOR_MEMORY};
use super::text::{Rule, join};
use super::{Class, Confidence, Fault, Proof};
use crate::model::pod::{PodConditionType, Termination};

family! {
    /// A container needed more memory or local disk than it may have, or its resources could not be changed
    /// while it runs. The evidence is the reason `OOMKilled`, the message of an eviction, the Pod's resize
    /// conditions, and the Events of its node.
    Resources {
        /// The container was killed for exceeding its memory limit. Its status has the reason `OOMKilled` and
        /// exit code 137.
        OomKilled: Application, Cluster, "Raise `resources.limits.memory` if the program needs that much. Otherwise look for a leak or for a cache without a bound (`kubectl top pod --containers`).";
        /// A process of the container was killed for memory; the program itself ended otherwise. Its status
        /// has the reason `OOMKilled` with an exit code other than 137.
        OomKilledChild: Application, Cluster, "Start with the exit code and the log (`kubectl logs --previous`): a process that the program had started is missing. Raise `resources.limits.memory` or start fewer such processes.";
        /// The program was ended by SIGKILL, and something besides its own status points to memory, such as
        /// an Event `OOMKilling` of its node at that time. The status has only the reason `Error` and exit
        /// code 137.
        OomSuspected: Application, Source, "Compare the container's memory use before its end with `resources.limits.memory`, and the node's memory with what its Pods request (`kubectl describe node`).";
        /// The container was killed for memory before its program ran: the limit is too low. Its status has
        /// the reason `StartError` and exit code 128, and the message speaks of the memory limit.
        OomAtStart: Hold, Cluster, "Raise `resources.limits.memory` in the template. Files in an `emptyDir` with `medium: Memory` count against the same limit and stay when only the container is restarted.";
        /// The node itself ran out of memory, and its kernel chose a process to kill. The node's Events have
        /// `SystemOOM`, or `OOMKilling` where the node problem detector runs.
        NodeSystemOom: None, Source, "Compare what the node's Pods request with what they use (`kubectl describe node`, `kubectl top pod`). Raise requests that are too low, and the kubelet's `systemReserved`.";
        /// The Pod was evicted for exceeding its own limit of ephemeral storage, which covers files in
        /// containers, logs and `emptyDir` volumes. It has failed with the reason `Evicted`, and the message
        /// says which limit.
        EphemeralStorageExceeded: Application, Cluster, "Raise `resources.limits.ephemeral-storage` in the template, or find what fills the disk: files in the container, its log, an `emptyDir`. Move what must grow to a claim.";
        /// The Pod was evicted for exceeding the size limit of an `emptyDir`. It has failed with the reason
        /// `Evicted`, and the message names the volume.
        EmptyDirSizeExceeded: Application, Cluster, "Raise `sizeLimit` of the `emptyDir` that the message names, or make the program remove what it no longer needs there.";
        /// The node can never give the Pod the resources that a resize in place asks for. The Pod runs on as
        /// it was, with the condition `PodResizePending` and the reason `Infeasible`.
        ResizeInfeasible: Hold, Source, "Read the condition's message (`kubectl describe pod`), then ask for less, or state the resources in the template so that new Pods are placed where there is room.";
        /// The node cannot give the Pod the resources of a resize in place for now. The Pod runs on as it
        /// was, with the condition `PodResizePending` and the reason `Deferred`.
        ResizeDeferred: Wait, Cluster, "It passes by itself when other Pods of the node end. Worry when it lasts for hours: then free the node (`kubectl describe node` shows what is requested) or ask for less.";
        /// The kubelet began a resize in place and could not carry it out. The Pod has the condition
        /// `PodResizeInProgress` with the reason `Error`, and an Event `ResizeError`.
        ResizeFailed: Wait, Source, "It may pass by itself, because the kubelet tries again. If the condition's message stays (`kubectl describe pod`), state the resources in the template, so that a new Pod has them.";
    }
}

/// Messages of Pods that were evicted for what they used themselves.
pub(super) const EVICTED: &[Rule] = &[
    Rule(
        Class::EphemeralStorageExceeded,
        &[
            "exceeded its local ephemeral storage limit",
            "pod ephemeral local storage usage exceeds",
        ],
    ),
    Rule(Class::EmptyDirSizeExceeded, &["usage of emptydir volume"]),
];

/// How long after a kill for memory the end of its victim may be told, in seconds.
const OOM_WINDOW_SECONDS: i64 = 5;

/// An Event of the node that says that its kernel killed for memory just when that run ended.
pub(super) fn kernel_killed<'a>(
    evidence: &Evidence<'a>,
    end: &Termination,
) -> Option<&'a EventView> {
    let finished = end.finished?.as_second();
    let events = evidence.events_of_node(&KILLS_FOR_MEMORY);
    events.into_iter().rev().find(|event| {
        let seen = event.seen().map(jiff::Timestamp::as_second);
        seen.is_some_and(|seen| (seen - finished).abs() <= OOM_WINDOW_SECONDS)
    })
}

/// A change of resources in place that does not go on. It never explains a crash.
pub(super) fn resize(evidence: &Evidence<'_>) -> Option<Fault> {
    let pod = evidence.pod;
    let true_one = |type_| pod.condition(type_).filter(|condition| condition.is_true);
    let pending = true_one(PodConditionType::PodResizePending);
    let failed = true_one(PodConditionType::PodResizeInProgress)
        .filter(|condition| condition.reason == "Error");
    let (class, condition) = match (pending, failed) {
        (Some(condition), _) if condition.reason == "Infeasible" => {
            (Class::ResizeInfeasible, condition)
        }
        (Some(condition), _) => (Class::ResizeDeferred, condition),
        (None, Some(condition)) => (Class::ResizeFailed, condition),
        (None, None) => return None,
    };
    let message = join(
        "the resources of the Pod are not what its spec asks for",
        &condition.message,
    );
    let fault = Fault::new(class, Confidence::Proved, &message, condition.changed);
    Some(fault.proved(Proof::condition(pod, condition)))
}

#[cfg(test)]
mod tests;
