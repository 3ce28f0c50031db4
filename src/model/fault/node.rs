//! Nodes: those that are lost, shut down or ill, and what that means for a Pod on them.
//!
//! Rule: a lost node explains the end of a Pod only when nothing that ended before explains it.
//! Sources: `pkg/controller/nodelifecycle`, `pkg/kubelet/nodestatus`, `pkg/kubelet/nodeshutdown`,
//! `pkg/controller/podgc` (Kubernetes 1.36), node-problem-detector's `config`.

use super::class::family;
use super::evidence::{ConditionView, EventView, Evidence, ObjectView, TELLS_OF_ITSELF};
use super::text::{EventRule, Rule, first_event, first_match};
use super::{Class, Confidence, Fault, Proof, network};
use crate::model::pod::{ContainerView, PodConditionType, PodView};

family! {
    /// The node under the Pod failed, went away or does not report, whatever the program was doing. The
    /// evidence is the node's conditions, taints and Events, and the Pod's reason and conditions; while a
    /// node does not report, the statuses of its containers are old.
    Node {
        /// The node is not Ready: its kubelet reports, and says that it cannot run Pods. The node's condition
        /// `Ready` is false, and the Pod has an Event `NodeNotReady`.
        NodeNotReady: Infrastructure, Source, "Read the message of the node's condition `Ready` (`kubectl describe node`) and repair what it names. It may pass by itself; if not, drain and replace the node.";
        /// The node does not report. Its condition `Ready` is `Unknown` and it has the taint
        /// `node.kubernetes.io/unreachable`; its containers may still be running. Its Lease in the namespace
        /// `kube-node-lease` shows that earlier, by a `renewTime` of more than 40 seconds ago.
        NodeUnreachable: Infrastructure, Cluster, "Look at the machine and its network. If it is off for good, delete the node (`kubectl delete node`), or set the taint `node.kubernetes.io/out-of-service` once it is surely off.";
        /// The node exists as an object, but its kubelet has never reported. Its condition `Ready` is
        /// `Unknown` with the reason `NodeStatusNeverUpdated`.
        NodeNeverReported: Infrastructure, Cluster, "Read the kubelet's log on that machine (`journalctl -u kubelet`): often its credentials or its way to the API server. If there is no such machine, delete the node.";
        /// The node is not Ready because its container runtime is down or too slow. The message of the node's
        /// condition `Ready` says `container runtime is down` or `PLEG is not healthy`.
        NodeRuntimeUnhealthy: Infrastructure, Sample, "Look at the runtime on that node (`systemctl status containerd`, `crictl info`) and at its disk and load. If it does not recover, drain the node and reboot it.";
        /// The node is running out of memory, disk or process IDs, and its kubelet may evict Pods. The
        /// condition `MemoryPressure`, `DiskPressure` or `PIDPressure` of the node is true.
        NodePressure: None, Source, "See which condition is true (`kubectl describe node`) and which Pods use most (`kubectl top pod -A`). The condition stays for some minutes after it has passed; worry when it comes back.";
        /// The network of the node has not been set up. Its condition `NetworkUnavailable` is true, and a
        /// taint keeps new Pods away.
        NodeNetworkUnavailable: Infrastructure, Source, "It passes by itself on a new node. Worry after some minutes: then look at the network plugin or the cloud controller, which have to clear the condition.";
        /// The node was rebooted, and its containers ended with it. The node has an Event `Rebooted` and a
        /// new `bootID`.
        NodeRebooted: Infrastructure, Source, "It passes by itself. If nobody planned it, look for the reason in the machine's log of the boot before (`journalctl -b -1`) or at the cloud provider.";
        /// The runtime lost the container: the node or the runtime was restarted. The status has the reason
        /// `Unknown` with exit code 255, or `ContainerStatusUnknown` with 137; neither code is the program's
        /// own.
        ContainerLost: Infrastructure, Cluster, "Look for a reboot or a restart of the runtime at that time (`kubectl describe node`). It passes by itself; worry when it repeats on one node.";
        /// The Pod's node does not exist any more, and the garbage collection of Pods removed it. The
        /// condition `DisruptionTarget` has the reason `DeletionByPodGC`.
        DeletedByPodGC: Infrastructure, Cluster, "It passes by itself on another node. If nobody meant to remove the node, look at the autoscaler and at the cloud provider (`kubectl get nodes` shows what is left).";
        /// The node was shut down, and its kubelet ended the Pod before that. The Pod has failed with the
        /// reason `Terminated`, and the message speaks of the node's shutdown.
        NodeShutdown: Infrastructure, Source, "It passes by itself on another node. If nobody planned it, find out who shut the node down; if programs were cut off, raise `shutdownGracePeriod` of the kubelet.";
        /// The kubelet refused the Pod because the node is shutting down. The Pod has failed with the reason
        /// `NodeShutdown` and never had a container.
        NodeShutdownRejected: Infrastructure, Source, "It passes by itself on another node. Worry when it repeats: then cordon nodes (`kubectl cordon`) before they are shut down.";
        /// Somebody vouched that the node is off, with the taint `node.kubernetes.io/out-of-service`.
        /// Kubernetes then removes the node's Pods and detaches their volumes without waiting for its
        /// kubelet.
        NodeOutOfService: Infrastructure, Cluster, "Nothing has to be done for the Pod. Remove the taint (`kubectl taint nodes`, with `-` at its end) when the node is back, because Pods stay away from it until then.";
        /// The node does not report, as old clusters say it. The Pod has the reason `NodeLost`, and the
        /// message names the node.
        NodeLost: Infrastructure, Source, "Look at the machine and its network (`kubectl describe node`). If it is off for good, delete the node.";
        /// The node problem detector found a fault of the node's kernel, disk or memory. The node has a
        /// condition such as `KernelDeadlock` or `ReadonlyFilesystem`, or an Event such as `TaskHung`.
        NodeKernelFault: None, Source, "Move the Pods away (`kubectl drain`), then reboot or replace the machine. After errors of memory or disk, have the hardware checked before it takes Pods again.";
    }
}

/// Reasons of Pods as a whole, in lower case.
pub(super) const REASONS: &[(&str, Class)] = &[
    ("terminated", Class::NodeShutdown),
    ("shutdown", Class::NodeShutdown),
    ("nodeshutdown", Class::NodeShutdownRejected),
    ("nodelost", Class::NodeLost),
];

/// What the Ready condition of a node says that is not.
const NOT_READY: &[Rule] = &[
    Rule(
        Class::NodeRuntimeUnhealthy,
        &[
            "pleg",
            "container runtime is down",
            "container runtime status check",
        ],
    ),
    Rule(
        Class::NodeNetworkUnavailable,
        &[
            "runtime network not ready",
            "cni plugin not initialized",
            "networkpluginnotready",
        ],
    ),
    Rule(Class::NodeShutdown, &["node is shutting down"]),
];

/// Conditions that are bad when they are `True`.
const BAD: &[(&str, Class)] = &[
    ("NetworkUnavailable", Class::NodeNetworkUnavailable),
    ("KernelDeadlock", Class::NodeKernelFault),
    ("ReadonlyFilesystem", Class::NodeKernelFault),
    ("XfsShutdown", Class::NodeKernelFault),
    ("CperHardwareErrorFatal", Class::NodeKernelFault),
    ("FrequentUnregisterNetDevice", Class::NodeKernelFault),
    ("CorruptDockerOverlay2", Class::NodeKernelFault),
    ("KubeletUnhealthy", Class::NodeRuntimeUnhealthy),
    ("ContainerRuntimeUnhealthy", Class::NodeRuntimeUnhealthy),
    ("FrequentKubeletRestart", Class::NodeRuntimeUnhealthy),
    ("FrequentContainerdRestart", Class::NodeRuntimeUnhealthy),
    ("FrequentDockerRestart", Class::NodeRuntimeUnhealthy),
    ("MemoryPressure", Class::NodePressure),
    ("DiskPressure", Class::NodePressure),
    ("PIDPressure", Class::NodePressure),
];

/// The taint by which a person vouches that a node is off.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// Reasons of Events of a node that only explain.
pub(super) const CONTEXT: &[EventRule] = &[
    EventRule(&["SystemOOM", "OOMKilling"], &[""], Class::NodeSystemOom),
    EventRule(&["Rebooted"], &[""], Class::NodeRebooted),
    EventRule(
        &[
            "TaskHung",
            "KernelOops",
            "IOError",
            "MemoryReadError",
            "Ext4Error",
        ],
        &[""],
        Class::NodeKernelFault,
    ),
    EventRule(
        &[
            "NodeHasDiskPressure",
            "NodeHasMemoryPressure",
            "NodeHasInsufficientPID",
            "EvictionThresholdMet",
        ],
        &[""],
        Class::NodePressure,
    ),
    EventRule(
        &["FreeDiskSpaceFailed", "ImageGCFailed"],
        &["bytes"],
        Class::NodePressure,
    ),
];

/// What the Events of a node alone say.
const EVENTS: &[EventRule] = &[
    EventRule(&["Rebooted"], &[""], Class::NodeRebooted),
    EventRule(
        &["ContainerGCFailed"],
        &["containerd", "runtime", "cri"],
        Class::NodeRuntimeUnhealthy,
    ),
    EventRule(
        &["Shutdown"],
        &["shutdown manager detected shutdown"],
        Class::NodeShutdown,
    ),
    EventRule(&["NodeNotReady"], &[""], Class::NodeNotReady),
];

/// Whether the Pod's node is gone for good, while the Pod seemed to run.
pub(super) fn gone(evidence: &Evidence<'_>) -> Option<Fault> {
    let pod = evidence.pod;
    if pod.is_terminal() || pod.judged().any(|c| c.end().is_some()) {
        return None;
    }
    let node = pod.node.as_deref()?;
    if evidence.node_gone {
        let message = format!("node {node} does not exist any more");
        let fault = Fault::new(Class::DeletedByPodGC, Confidence::Inferred, &message, None);
        return Some(fault.proved(Proof::pod(pod, "spec.nodeName", node)));
    }
    let view = evidence.node.filter(|view| view.out_of_service)?;
    let message = format!("node {node} was put out of service");
    let fault = Fault::new(
        Class::NodeOutOfService,
        Confidence::Proved,
        &message,
        view.not_ready_since,
    );
    Some(fault.proved(of_node(node, "spec.taints", OUT_OF_SERVICE)))
}

/// Whether the Pod's node cannot be relied on, when nothing else explains an end.
pub(super) fn lost(evidence: &Evidence<'_>) -> Option<Fault> {
    let view = evidence.node?;
    let since = view.not_ready_since?;
    let node = evidence.pod.node.as_deref().unwrap_or_default();
    let (class, status, message) = if view.unreachable {
        (
            Class::NodeUnreachable,
            "Unknown",
            format!("node {node} does not report"),
        )
    } else {
        (
            Class::NodeNotReady,
            "False",
            format!("node {node} is not Ready"),
        )
    };
    let fault = Fault::new(class, Confidence::Inferred, &message, Some(since));
    Some(fault.proved(of_node(node, "status.conditions[Ready].status", status)))
}

/// Whether the node was lost before anything in the Pod ended: from then on the status of its containers is old.
pub(super) fn lost_first(evidence: &Evidence<'_>) -> Option<Fault> {
    let fault = lost(evidence).or_else(|| silent(evidence))?;
    let since = fault.at?;
    let has_ended = |pod: &PodView| {
        let ends = pod.judged().filter_map(ContainerView::end);
        ends.into_iter()
            .any(|end| end.finished.is_none_or(|finished| finished <= since))
    };
    let is_known = evidence.pod.node.is_some() && !evidence.pod.is_terminal();
    (is_known && !has_ended(evidence.pod)).then_some(fault)
}

/// Whether the kubelet of the Pod's node is silent, which is not told of the node yet.
fn silent(evidence: &Evidence<'_>) -> Option<Fault> {
    let node = evidence.pod.node.as_deref()?;
    let mut objects = evidence.objects.iter();
    let fault =
        lease(objects.find(|object| object.object.kind == "Lease" && object.object.name == node)?)?;
    // Only the kubelet tells of an end, so that it was not silent then.
    let mut ends = evidence.pod.judged().filter_map(ContainerView::end);
    let is_silent = !ends.any(|end| end.finished > fault.at);
    is_silent.then_some(fault)
}

/// The Lease of a node whose kubelet is silent.
pub(super) fn lease(lease: &ObjectView) -> Option<Fault> {
    let since = lease.silent_since?;
    let message = format!(
        "node {} does not report: its kubelet has not renewed its Lease since {since}",
        lease.object.name
    );
    let fault = Fault::new(
        Class::NodeUnreachable,
        Confidence::Inferred,
        &message,
        Some(since),
    );
    Some(fault.proved(Proof::object(lease, "spec.renewTime", &since.to_string())))
}

/// A Pod whose containers are ready, and which is not, because the node controller has said so of its node. A node that is
/// known is asked itself.
pub(super) fn told(evidence: &Evidence<'_>) -> Option<Fault> {
    let pod = evidence.pod;
    let is_well = |c: &ContainerView| c.is_running() && c.ready;
    let unready = pod
        .condition(PodConditionType::Ready)
        .filter(|c| !c.is_true)?;
    if evidence.node.is_some() || !pod.containers.iter().all(is_well) {
        return None;
    }
    let event = evidence.events_of_pod(&["NodeNotReady"]).pop()?;
    let is_of_this = event.falls_in(unready.changed, None);
    let head = format!("node {} is not Ready", pod.node.as_deref().unwrap_or("?"));
    is_of_this.then(|| Fault::witnessed(Class::NodeNotReady, &head, event))
}

/// What the Events of the Pod's node say of the node, for a Pod of which nothing else is known.
pub(super) fn told_of_itself(evidence: &Evidence<'_>) -> Option<Fault> {
    let events = evidence.events_of_node(&TELLS_OF_ITSELF);
    let (class, event) = first_event(EVENTS, &events)?;
    Some(Fault::witnessed(class, "the node of the Pod", event))
}

fn of_node(node: &str, field: &str, value: &str) -> Proof {
    Proof::new(&format!("Node {node}"), field, value)
}

/// What is wrong with a node by itself.
pub(super) fn judge(node: &ObjectView, events: &[&EventView]) -> Option<Fault> {
    let mut taints = node.taints.iter();
    if taints.any(|(key, _)| key == OUT_OF_SERVICE) {
        let message = format!("{} was put out of service", node.object.words());
        let fault = Fault::new(Class::NodeOutOfService, Confidence::Proved, &message, None);
        return Some(fault.proved(Proof::object(node, "spec.taints", OUT_OF_SERVICE)));
    }
    let ready = node
        .condition("Ready")
        .filter(|condition| !condition.is_true());
    let bad = || {
        BAD.iter().find_map(|(type_, class)| {
            let condition = node.condition(type_).filter(|c| c.is_true())?;
            Some((*class, condition))
        })
    };
    if let Some((class, condition)) = ready.map(not_ready).or_else(bad) {
        return Some(Fault::of_condition(class, node, condition));
    }
    let ready_since = node.condition("Ready").and_then(|c| c.changed);
    let mut events = events.to_vec();
    // What was told before the node became Ready again is over; that it was rebooted stays true.
    events.retain(|event| {
        event.reason == "Rebooted" || ready_since.is_none() || event.seen() > ready_since
    });
    let mut rules = [EVENTS, CONTEXT, network::CONTEXT].into_iter();
    let (class, event) = rules.find_map(|rules| first_event(rules, &events))?;
    Some(Fault::witnessed(class, &node.object.words(), event))
}

/// Whether a node is short of something.
pub(super) fn pressure(node: &ObjectView) -> Option<Class> {
    let mut bad = BAD
        .iter()
        .filter(|(_, class)| *class == Class::NodePressure);
    let is_short = bad.any(|(type_, _)| node.condition(type_).is_some_and(ConditionView::is_true));
    is_short.then_some(Class::NodePressure)
}

/// The kubelet says that it is not Ready, or the node controller that it says nothing.
fn not_ready(condition: &ConditionView) -> (Class, &ConditionView) {
    let class = match (condition.status.as_str(), condition.reason.as_str()) {
        (_, "NodeStatusNeverUpdated") => Class::NodeNeverReported,
        ("Unknown", _) => Class::NodeUnreachable,
        _ => first_match(NOT_READY, &condition.message).unwrap_or(Class::NodeNotReady),
    };
    (class, condition)
}

#[cfg(test)]
mod tests;
