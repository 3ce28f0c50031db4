//! Pods that no node takes: what the scheduler says about the nodes, and about the volumes on the way.
//!
//! Rule: the reason that most nodes share is the class, and nodes that are kept for other Pods count only where no other
//! node is left; what the scheduler says about preemption is not a reason.

use jiff::Timestamp;

use super::class::family;
use super::evidence::{ConditionView, Evidence, ObjectView};
use super::text::{EventRule, Rule, contains, first_match, join};
use super::{Class, Confidence, Fault, Proof, beside, volume};
use crate::model::pod::{PodConditionType, PodPhase};

mod overlooked;

family! {
    /// No node has been found for the Pod, so that nothing of it has run. The evidence is the Pod's condition
    /// `PodScheduled`, whose message counts the nodes by why they do not fit. What most nodes lack is the class. Nodes that
    /// are kept for other Pods, by a taint or by what the Pod itself selects, are the class only when no other node is left.
    Scheduling {
        /// No node has enough CPU left for what the Pod requests. The message of `PodScheduled` counts nodes
        /// with `Insufficient cpu`.
        InsufficientCpu: Wait, Cluster, "It passes when CPU becomes free or a node is added. Otherwise lower `resources.requests.cpu` in the template; `kubectl describe node` shows what is requested on each node.";
        /// No node has enough memory left for what the Pod requests. The message of `PodScheduled` counts
        /// nodes with `Insufficient memory`.
        InsufficientMemory: Wait, Cluster, "It passes when memory becomes free or a node is added. Otherwise lower `resources.requests.memory` in the template; `kubectl describe node` shows what is requested on each node.";
        /// No node has enough ephemeral storage left for what the Pod requests. The message of `PodScheduled`
        /// counts nodes with `Insufficient ephemeral-storage`.
        InsufficientEphemeralStorage: Wait, Cluster, "It passes when storage becomes free or a node is added. Otherwise lower `resources.requests.ephemeral-storage` in the template, or use a claim for large data.";
        /// No node has enough of an extended resource left, such as GPUs or huge pages. The message of
        /// `PodScheduled` counts nodes with `Insufficient` and the name of the resource.
        InsufficientExtendedResource: Wait, Cluster, "See which nodes offer it (`allocatable` in `kubectl get nodes -o yaml`). If none does, correct its name in the template or run its device plugin; otherwise wait for a free one.";
        /// No node takes more Pods. The message of `PodScheduled` counts nodes with `Too many pods`.
        TooManyPods: Wait, Source, "It passes when Pods end or a node is added. Otherwise raise `maxPods` of the kubelets, as far as the network has addresses for more Pods on a node.";
        /// The Pod does not tolerate the taints of the nodes. The message of `PodScheduled` says
        /// `untolerated taint`; newer versions do not name the taint.
        UntoleratedTaint: Wait, Cluster, "List the taints (`kubectl describe nodes`), and add `tolerations` to the template if the Pod belongs there. One that begins with `node.kubernetes.io/` tells of a fault of the node.";
        /// No node matches the Pod's node selector or affinity. The message of `PodScheduled` says
        /// `didn't match Pod's node affinity/selector`.
        NodeSelectorMismatch: Hold, Cluster, "Compare `nodeSelector` and `affinity.nodeAffinity` in the template with `kubectl get nodes --show-labels`, then correct them or label a node.";
        /// No node runs the Pods that this one wants to be near. The message of `PodScheduled` says
        /// `didn't match pod affinity rules`.
        PodAffinityUnsatisfied: Wait, Cluster, "It passes when those Pods run. Worry when they do: then compare `affinity.podAffinity` in the template with their labels (`kubectl get pods --show-labels`).";
        /// Every node runs Pods that this one must not be near. The message of `PodScheduled` speaks of
        /// `anti-affinity rules`.
        PodAntiAffinityConflict: Wait, Cluster, "It passes when such a Pod ends or a node is added. If there are more replicas than nodes, lower `replicas` or make the rule under `podAntiAffinity` a preferred one.";
        /// No node keeps the Pod's topology spread constraints. The message of `PodScheduled` says
        /// `didn't match pod topology spread constraints`.
        TopologySpreadUnsatisfiable: Wait, Cluster, "See that the nodes have the label that `topologyKey` names (`kubectl get nodes --show-labels`). Otherwise raise `maxSkew`, or set `whenUnsatisfiable: ScheduleAnyway`.";
        /// No node has the Pod's host ports free. The message of `PodScheduled` says
        /// `didn't have free ports`.
        HostPortConflict: Wait, Cluster, "It passes when the Pod that holds the port ends. Otherwise take `hostPort` out of the template and use a Service, or run at most one replica for each node.";
        /// The nodes are cordoned. The message of `PodScheduled` counts nodes that `were unschedulable`.
        NodesCordoned: Wait, Cluster, "It passes when the maintenance is over. See with `kubectl get nodes` which nodes have `SchedulingDisabled`, and use `kubectl uncordon` for those that were forgotten.";
        /// The nodes are not Ready or not reachable. The message of `PodScheduled` says `unknown conditions`,
        /// or the nodes have only the taints `node.kubernetes.io/not-ready` and
        /// `node.kubernetes.io/unreachable`.
        NodeUnknownConditions: Infrastructure, Source, "Find out what the nodes lack (`kubectl get nodes`, `kubectl describe node`). It passes when one of them is Ready again; worry when none comes back within minutes.";
        /// The cluster has no nodes. The message of `PodScheduled` says `0/0 nodes are available` or
        /// `no nodes available`.
        NoNodes: Wait, Source, "Add a node, or find out why the autoscaler adds none. If `kubectl get nodes` does list nodes, read the log of the scheduler.";
        /// The Pod has scheduling gates that nobody has removed yet. The condition `PodScheduled` is false
        /// with the reason `SchedulingGated`.
        SchedulingGated: None, Cluster, "It ends when the owner of the gates removes them: `spec.schedulingGates` of the Pod has their names (`kubectl get pod -o yaml`). Worry when that controller does not run.";
        /// The scheduler failed while it looked for a node. The condition `PodScheduled` is false with the
        /// reason `SchedulerError`.
        SchedulerError: Wait, Source, "It passes by itself, because the scheduler tries again. Worry when it lasts: then read the condition's message (`kubectl describe pod`) and the scheduler's log.";
        /// No scheduler has looked at the Pod. It is Pending, with no node and no condition `PodScheduled`.
        SchedulerMissing: Hold, Cluster, "Check `schedulerName` in the template, and that a scheduler of that name runs (`kubectl get pods -n kube-system`).";
        /// The Pod asks for one node by name, and no node that can be used has it. The message of
        /// `PodScheduled` says `didn't match the requested node name`, or that all nodes
        /// `didn't satisfy plugin(s) [NodeAffinity]`.
        NodeNameMismatch: Infrastructure, Cluster, "Find what ties the Pod to the node (`spec.nodeName`, or a node affinity with `matchFields`), for example a webhook, and remove it if the node is gone (`kubectl get nodes`).";
        /// The Pod waits for the rest of its gang, which is placed as a whole or not at all. The message of
        /// `PodScheduled` says that it waits for Pods of its group.
        GangWaiting: Wait, Source, "It passes when enough Pods of the group exist. Otherwise compare `minCount` of the group with the number of replicas, and look for members that were refused.";
        /// A `ResourceClaim` that the Pod names does not exist, or is not made yet from its template. The Pod
        /// is Pending, often without a condition `PodScheduled`, because the scheduler does not look at it
        /// before.
        ResourceClaimMissing: Hold, Cluster, "Create the claim in the Pod's namespace, or correct `resourceClaims` in the template. `kubectl get resourceclaims` lists those that exist.";
        /// The Pod's resource claims cannot be allocated. The message of `PodScheduled` says
        /// `cannot allocate all claims`, or that a claim is in use or is being deleted.
        ResourceClaimUnschedulable: Wait, Cluster, "Compare what the claim asks for (`kubectl describe resourceclaim`) with the devices in `kubectl get resourceslices`. It passes when a device or the claim becomes free.";
        /// No node has the features that the Pod needs. The message of `PodScheduled` says
        /// `didn't match Pod's required features`.
        NodeFeatureMissing: Hold, Source, "Upgrade the kubelets, because the nodes are older than the control plane, or take the field that needs the feature out of the template.";
        /// The scheduler has chosen a node for the Pod, and Pods of lower priority are ending there to make
        /// room. `status.nominatedNodeName` has the node.
        PreemptionPending: None, Source, "It passes when those Pods have ended, within their grace periods. Worry when one of them stays `Terminating` (`kubectl get pods -o wide`).";
        /// The autoscaler could not add a node for the Pod. A Karpenter `NodeClaim` has the condition
        /// `Launched` or `Registered` false, or the Pod has an Event `NotTriggerScaleUp`.
        NodeProvisioningFailed: None, Source, "Read `kubectl describe nodeclaim` or the Event: often a limit of the cloud account is reached, the kind of machine is sold out, or a node group is at its maximum.";
        /// The Pod is not schedulable for a reason that we do not know. The condition `PodScheduled` is false
        /// with the reason `Unschedulable`, and its message has no known text.
        Unschedulable: Wait, Source, "Read the message of `PodScheduled` (`kubectl describe pod`). A scheduler plugin of your own, or a newer version of Kubernetes, may have written it.";
    }
}

/// What the scheduler says about a node or about the Pod as a whole. The first rule that fits a part of
/// the message wins it.
const RULES: &[Rule] = &[
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
        ],
    ),
    Rule(
        Class::NodeNameMismatch,
        &["didn't match the requested node name"],
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
        Class::ResourceClaimMissing,
        &[
            "resourceclaim.resource.k8s.io \"",
            "to create the resourceclaim",
            "resourceclaim not created yet",
            "could not find resource claim",
            "resourceclaim \"…not found",
        ],
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

/// What the scheduler says of nodes that it did not look at, because the Pod asks for others by name. It is the reason only
/// where no other node is left.
const NOT_ASKED_FOR: &[Rule] = &[Rule(
    Class::NodeNameMismatch,
    &[
        "didn't satisfy plugin…nodeaffinity",
        "didn't satisfy plugin…nodename",
    ],
)];

/// Reasons of Events that only explain.
pub(super) const CONTEXT: &[EventRule] = &[EventRule(
    &["NotTriggerScaleUp"],
    &[""],
    Class::NodeProvisioningFailed,
)];

/// A claim of Karpenter for a node that did not come.
pub(super) fn node_claim(claim: &ObjectView) -> Option<Fault> {
    let steps = ["Launched", "Registered", "Initialized"];
    let mut conditions = steps.iter().filter_map(|step| claim.condition(step));
    // Since v1 it is Unknown, with a reason, until it has come.
    let is_bad = |condition: &&ConditionView| match condition.status.as_str() {
        "False" => true,
        "Unknown" => !matches!(condition.reason.as_str(), "" | "AwaitingReconciliation"),
        _ => false,
    };
    let condition = conditions.find(is_bad)?;
    Some(Fault::of_condition(
        Class::NodeProvisioningFailed,
        claim,
        condition,
    ))
}

/// Why the Pod has no node, when the scheduler has looked at it and said no, or has not looked for long. What it said last
/// stands in the condition, and, cut to a shorter text, in an Event.
pub(super) fn unscheduled(evidence: &Evidence<'_>, now: Timestamp) -> Option<Fault> {
    let pod = evidence.pod;
    if pod.node.is_some() || pod.phase != PodPhase::Pending {
        return None;
    }
    let condition = pod.condition(PodConditionType::PodScheduled);
    if condition.is_some_and(|condition| condition.is_true) {
        return None;
    }
    let event = evidence.events_of_pod(&["FailedScheduling"]).pop();
    let found = evidence.events_of_pod(&["Scheduled"]).pop();
    let event = event.filter(|event| found.is_none_or(|found| !found.is_after(event)));
    // A condition without a reason is not a judgement of the scheduler.
    let judged = condition.filter(|condition| !condition.reason.is_empty());
    let told = match (judged, event) {
        (Some(condition), Some(event)) if condition.message.is_empty() => Told {
            reason: &condition.reason,
            message: event.text(),
            at: condition.changed,
            proof: Proof::event(event),
        },
        (Some(condition), _) => Told {
            reason: &condition.reason,
            message: &condition.message,
            at: condition.changed,
            proof: Proof::condition(pod, condition),
        },
        (None, Some(event)) => Told {
            reason: "Unschedulable",
            message: event.text(),
            at: event.first.or(event.last),
            proof: Proof::event(event),
        },
        (None, None) if condition.is_some() => return None,
        (None, None) => return overlooked::judge(evidence, now),
    };
    Some(beside::with_room_made(pod, told.judge(evidence)))
}

/// What the scheduler says of a Pod.
struct Told<'a> {
    reason: &'a str,
    message: &'a str,
    at: Option<Timestamp>,
    proof: Proof,
}

impl Told<'_> {
    fn judge(self, evidence: &Evidence<'_>) -> Fault {
        let (class, confidence, others) = self.classify(evidence);
        let told = volume::claims(evidence).filter(|_| is_of_claim(class));
        if let Some(fault) = told {
            // The claim says more than that it is not bound.
            let contributing = (fault.class != class).then_some(class);
            return Fault {
                contributing: contributing.into_iter().collect(),
                ..fault.proved(self.proof)
            };
        }
        let message = join("the Pod has no node", self.message);
        let fault = Fault::new(class, confidence, &message, self.at).proved(self.proof);
        let fault = match overlooked::not_made(evidence) {
            Some(event) if class == Class::ResourceClaimMissing => {
                fault.proved(Proof::event(event))
            }
            _ => fault,
        };
        Fault {
            contributing: others,
            ..fault
        }
    }

    /// Whether the taints that it does not name are, as the nodes say, only those of nodes that are lost.
    fn hides_lost_nodes(&self, evidence: &Evidence<'_>) -> bool {
        let objects = evidence.objects.iter();
        let mut nodes = objects
            .filter(|object| object.object.kind == "Node")
            .peekable();
        let is_lost = |node: &ObjectView| {
            let mut taints = node
                .taints
                .iter()
                .filter(|(_, effect)| effect != "PreferNoSchedule");
            let is_tainted = taints.clone().next().is_some();
            is_tainted && taints.all(|(key, _)| OF_LOST_NODES.contains(&key.as_str()))
        };
        contains(self.message, &["untolerated taint(s)"])
            && nodes.peek().is_some()
            && nodes.all(is_lost)
    }

    fn classify(&self, evidence: &Evidence<'_>) -> (Class, Confidence, Vec<Class>) {
        match self.reason {
            "SchedulingGated" => (Class::SchedulingGated, Confidence::Proved, Vec::new()),
            // It gives up waiting for the volumes of the node that it chose.
            "SchedulerError" => match of_volumes(self.message) {
                Some(class) => (class, Confidence::Witnessed, Vec::new()),
                None => (Class::SchedulerError, Confidence::Proved, Vec::new()),
            },
            _ => {
                let mut classes = ranked(self.message).into_iter();
                match classes.next() {
                    Some(Class::UntoleratedTaint) if self.hides_lost_nodes(evidence) => (
                        Class::NodeUnknownConditions,
                        Confidence::Inferred,
                        classes.collect(),
                    ),
                    Some(class) => (class, Confidence::Witnessed, classes.collect()),
                    None => (Class::Unschedulable, Confidence::Rest, Vec::new()),
                }
            }
        }
    }
}

/// The taints of nodes that are not Ready or not reachable.
const OF_LOST_NODES: [&str; 2] = [
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
];

/// Whether a class says that a claim has no volume, of which the claim itself may say more.
fn is_of_claim(class: Class) -> bool {
    matches!(class, Class::PvcUnbound | Class::ProvisioningFailed)
}

/// What an error of the scheduler says of the volumes that it waited for.
fn of_volumes(message: &str) -> Option<Class> {
    first_match(volume::UNSCHEDULED, message).filter(|class| is_of_claim(*class))
}

/// What Pods the nodes are meant for that a part of the message speaks of; those for such Pods as this count most.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Meant {
    /// The cluster's own: nobody expects another Pod there.
    ControlPlane,
    /// Other Pods.
    Others,
    /// Pods like this.
    Alike,
}

impl Meant {
    fn of(class: Class, part: &str) -> Self {
        let control_plane = [
            "node-role.kubernetes.io/control-plane",
            "node-role.kubernetes.io/master",
        ];
        match class {
            Class::UntoleratedTaint if contains(part, &control_plane) => Self::ControlPlane,
            Class::UntoleratedTaint | Class::NodeSelectorMismatch | Class::NodeNameMismatch => {
                Self::Others
            }
            _ => Self::Alike,
        }
    }
}

/// The classes in what the scheduler says, the one that most nodes share first; on a tie the one whose rule stands first.
/// What it says of nodes that are not meant for such a Pod comes last, however many they are. A part without a number
/// speaks about the Pod as a whole and beats them all.
fn ranked(message: &str) -> Vec<Class> {
    let said = before_preemption(message);
    if said.starts_with("0/0 nodes are available") {
        return vec![Class::NoNodes];
    }
    let reasons = said
        .split_once("nodes are available:")
        .map_or(said, |(_, reasons)| reasons);
    let rules = || volume::UNSCHEDULED.iter().chain(RULES);
    let none = (Meant::ControlPlane, 0_u64);
    let mut nodes: Vec<(Class, (Meant, u64))> = rules().map(|rule| (rule.0, none)).collect();
    for part in reasons.split(", ") {
        let class = first_match(volume::UNSCHEDULED, part).or_else(|| first_match(RULES, part));
        if let Some((class, weight)) = nodes.iter_mut().find(|(one, _)| Some(*one) == class) {
            let (meant, count) = *weight;
            *weight = (
                meant.max(Meant::of(*class, part)),
                count.saturating_add(node_count(part)),
            );
        }
    }
    nodes.retain(|(_, (_, count))| *count > 0);
    // Stable: of equals the first rule comes first.
    nodes.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
    if nodes.is_empty() {
        return first_match(NOT_ASKED_FOR, reasons).into_iter().collect();
    }
    nodes.into_iter().map(|(class, _)| class).collect()
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
mod tests;
