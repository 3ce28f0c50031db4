//! Creates that the API server refused.
//!
//! Rule: what an admission plugin says is judged before the status code, because plugins share codes.

use super::class::family;
use super::text::{Rule, first_match, join};
use super::{Class, Confidence, Fault, Proof};
use crate::model::world::Refusal;
use crate::model::{claims, disruption_budgets};

family! {
    /// A Pod was refused, by the API server, so that it does not exist, or by the kubelet of its node, so
    /// that it failed without a container. The evidence is the answer to the create, or else the reason and
    /// message in the Pod's status.
    Admission {
        /// The namespace's quota is used up. The create is refused with status 403, and the message says
        /// `exceeded quota` and gives the numbers.
        QuotaExceeded: Wait, Cluster, "Compare the numbers in `kubectl describe quota`, then raise the quota or lower `resources` or `replicas`. It passes when other Pods of the namespace end.";
        /// The namespace's quota demands requests or limits that the template does not state. The create is
        /// refused with status 403, and the message says `must specify`.
        QuotaRequiresResources: Hold, Cluster, "State the requests and limits that the message names for every container of the template, or give the namespace a `LimitRange` with defaults.";
        /// The namespace's quota has not been counted yet. The create is refused with a message that says
        /// `status unknown for quota`.
        QuotaStatusUnknown: Wait, Source, "It passes by itself in seconds. Worry when it lasts: then `kube-controller-manager`, which counts quotas, does not run or cannot count this one.";
        /// The template is outside the namespace's `LimitRange`. The create is refused with status 403, and
        /// the message names the minimum, the maximum or the ratio.
        LimitRangeViolation: Hold, Cluster, "Compare `resources` in the template with `kubectl describe limitrange`, and correct the one that is wrong.";
        /// The template violates the namespace's Pod security standard. The create is refused with status
        /// 403, and the message says `violates PodSecurity` and lists the fields.
        PodSecurityViolation: Hold, Cluster, "Correct the fields that the message lists, mostly under `securityContext` in the template, or change the label `pod-security.kubernetes.io/enforce` of the namespace.";
        /// An admission webhook, policy or plugin said no. The create is refused, and the message has its
        /// name and its own reason.
        WebhookDenied: Hold, Cluster, "Read the reason and correct the template, or ask those who own the webhook or policy (`kubectl get validatingwebhookconfigurations,validatingadmissionpolicies`).";
        /// An admission webhook cannot be called. The create fails with status 500, and the message says
        /// `failed calling webhook` and its name.
        WebhookUnavailable: Wait, Cluster, "It passes when the webhook answers. See that its Service has running Pods and that its certificate is valid; as a last resort set its `failurePolicy: Ignore`.";
        /// The template's service account does not exist. The create is refused with status 403, and the
        /// message names it.
        ServiceAccountMissing: Hold, Cluster, "Create it (`kubectl create serviceaccount`) in the namespace, or correct `serviceAccountName` in the template. In a new namespace, `default` comes by itself in seconds.";
        /// The template's priority class does not exist. The create is refused with status 403, and the
        /// message names it.
        PriorityClassMissing: Hold, Cluster, "Compare `priorityClassName` in the template with `kubectl get priorityclass`, then correct it or create the class.";
        /// The template's runtime class does not exist. The create is refused with status 403, and the
        /// message names it.
        RuntimeClassMissing: Hold, Cluster, "Compare `runtimeClassName` in the template with `kubectl get runtimeclass`, then correct it or create the class.";
        /// The namespace is being deleted, and nothing can be created in it any more. The create is refused
        /// with status 403, and the message says `because it is being terminated`.
        NamespaceTerminating: Hold, Cluster, "Do nothing if the namespace is meant to go: this cannot be undone. If it stays for long, read its conditions (`kubectl get namespace -o yaml`) for what is left in it.";
        /// Coppice lacks a permission. The request is refused with status 403, and the message names the
        /// user, the verb and the resource.
        RbacForbidden: Hold, Cluster, "Add the verb and the resource to the `ClusterRole` of the operator's service account, and check it with `kubectl auth can-i` and `--as`.";
        /// The API server says that the object is not valid. The create is refused with status 422, and the
        /// message lists the fields.
        PodSpecInvalid: Hold, Cluster, "Correct the fields that the message lists in the template. Try a Pod of the same spec with `kubectl apply --dry-run=server` before.";
        /// The name is held by an object that is not ours. The create is refused with status 409, and the
        /// object of that name has another owner.
        NameCollision: Hold, Cluster, "See whose it is (`metadata.ownerReferences` in `kubectl get pod -o yaml`), then delete or rename it, or rename the tree or the child.";
        /// Another write came first, or the old object is still there. The request is refused with status
        /// 409.
        ApiConflict: Wait, Cluster, "It passes by itself. Worry when it lasts for minutes: then an old Pod of that name does not go away (`kubectl get pods` shows it as `Terminating`).";
        /// The API server cannot be reached, is overloaded or failed. The request has status 429, 500 or 503,
        /// an error of etcd, or no answer at all.
        ApiUnavailable: Wait, Source, "It passes by itself. Worry when it lasts: then look at the API server (`kubectl get --raw '/readyz?verbose'`), at etcd, and at who sends most requests.";
        /// The API server took too long. The request has status 504, and the message rarely says what was
        /// slow.
        ApiTimeout: Wait, Source, "It passes by itself. Worry when it repeats: then suspect a slow admission webhook, and look at the Pods behind those in `kubectl get mutatingwebhookconfigurations`.";
        /// The node did not have the resources that the scheduler counted on. The Pod has failed with a
        /// reason such as `OutOfcpu` or `OutOfmemory`, and the message gives the numbers.
        KubeletOutOfResource: Infrastructure, Cluster, "It passes with a new Pod. Worry when it repeats: then look on that node for Pods that did not come through the scheduler (`kubectl describe node`), such as static ones.";
        /// The node does not match the Pod any more. The Pod has failed with the reason `NodeAffinity`,
        /// `NodeName`, `NodePorts` or `TaintToleration`.
        KubeletNodeAffinityRejected: Infrastructure, Cluster, "It passes on another node. Worry when it repeats: then something changes the labels or taints of nodes after Pods were placed (`kubectl get nodes --show-labels`).";
        /// The node could not allocate a device. The Pod has failed with the reason
        /// `UnexpectedAdmissionError`, and the message says `Allocate failed`.
        DeviceAllocationFailed: Infrastructure, Sample, "It often passes soon after a reboot of the node. Worry when it repeats: then read the log of the device plugin's Pod on that node.";
        /// The node could not align the Pod's CPUs, memory and devices as its policy demands. The Pod has
        /// failed with a reason such as `TopologyAffinityError` or `SMTAlignmentError`.
        TopologyAffinityRejected: Infrastructure, Source, "Ask for CPUs and devices that fit into one NUMA node, or relax `topologyManagerPolicy` of the kubelet. The scheduler does not see this, so it can repeat on other nodes.";
        /// The node forbids a sysctl of the Pod. The Pod has failed with the reason `SysctlForbidden`, and
        /// the message names the sysctl.
        SysctlForbidden: Hold, Cluster, "Take it out of `securityContext.sysctls` in the template, or allow it with `allowedUnsafeSysctls` of the kubelet on some nodes and keep the Pod to those.";
        /// The node cannot enforce the Pod's `AppArmor` profile. The Pod has failed with the reason
        /// `AppArmor`.
        AppArmorRejected: Hold, Cluster, "Enable `AppArmor` and load the profile on the node, keep the Pod to nodes that have both, or change `securityContext.appArmorProfile` in the template.";
        /// The node does not have a feature that the Pod needs, or has another operating system. The Pod has
        /// failed with a reason such as `PodOSNotSupported` or `PodLevelResourcesNotSupported`.
        PodFeatureUnsupported: Hold, Cluster, "Upgrade the kubelet of that node, or keep the Pod to nodes that fit with `nodeSelector` in the template, for example with the label `kubernetes.io/os`.";
        /// The kubelet refused the Pod for another reason. The Pod has failed without a container, and its
        /// message mostly begins with `Pod was rejected`.
        KubeletRejectedOther: Infrastructure, Source, "Read the message (`kubectl describe pod`) and the kubelet's log on that node. It passes if another node takes the Pod; worry when several refuse it.";
    }
}

/// What the kubelet says of an admission that failed for a reason that it did not expect.
pub(super) const UNEXPECTED: &[Rule] = &[
    Rule(
        Class::DeviceAllocationFailed,
        &["allocate failed", "device plugin"],
    ),
    Rule(
        Class::KubeletOutOfResource,
        &["to reclaim resources", "set of pods to preempt"],
    ),
];

/// Reasons of Pods that the kubelet refused, in lower case.
pub(super) const REJECTED: &[(&str, Class)] = &[
    ("nodeaffinity", Class::KubeletNodeAffinityRejected),
    ("matchnodeselector", Class::KubeletNodeAffinityRejected),
    ("nodename", Class::KubeletNodeAffinityRejected),
    ("nodeports", Class::KubeletNodeAffinityRejected),
    ("tainttoleration", Class::KubeletNodeAffinityRejected),
    ("unexpectedadmissionerror", Class::DeviceAllocationFailed),
    ("topologyaffinityerror", Class::TopologyAffinityRejected),
    ("smtalignmenterror", Class::TopologyAffinityRejected),
    ("emptypodsharedpoolerror", Class::TopologyAffinityRejected),
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

/// What admission says. Answers of webhooks and policies come first: what follows in them is free text.
const RULES: &[Rule] = &[
    Rule(
        Class::WebhookUnavailable,
        &["failed calling webhook", "failed calling admission webhook"],
    ),
    Rule(
        Class::WebhookDenied,
        &["denied the request", "denied request"],
    ),
    Rule(
        Class::NamespaceTerminating,
        &["because it is being terminated"],
    ),
    // An eviction is created, too.
    Rule(
        Class::PdbBlocked,
        &["would violate the pod's disruption budget"],
    ),
    // It quotes the namespace, whatever that is called.
    Rule(
        Class::RbacForbidden,
        &[
            "cannot create resource",
            "cannot set blockownerdeletion",
            "cannot set an ownerref",
        ],
    ),
    Rule(Class::QuotaExceeded, &["exceeded quota: "]),
    Rule(
        Class::QuotaRequiresResources,
        &["failed quota: ", "insufficient quota"],
    ),
    Rule(Class::QuotaStatusUnknown, &["status unknown for quota"]),
    Rule(Class::PodSecurityViolation, &["violates podsecurity"]),
    Rule(
        Class::LimitRangeViolation,
        &[
            "usage per container is",
            "usage per pod is",
            "usage per persistentvolumeclaim is",
            "max limit to request ratio",
        ],
    ),
    Rule(
        Class::ServiceAccountMissing,
        &["error looking up service account"],
    ),
    Rule(Class::PriorityClassMissing, &["no priorityclass with name"]),
    Rule(Class::RuntimeClassMissing, &["pod rejected: runtimeclass"]),
    Rule(Class::ApiTimeout, &["request did not complete within"]),
];

/// Why the create was refused.
pub(super) fn judge(refusal: &Refusal) -> Fault {
    let (class, confidence) = classify(refusal);
    let what = refusal.kind;
    let done = match class {
        Class::PdbBlocked => "evicted",
        _ if what == disruption_budgets::KIND => "written",
        _ if what == claims::KIND && refusal.slot.is_none() => "given another owner",
        _ => "created",
    };
    let head = match refusal.code {
        0 => format!("the {what} could not be {done}"),
        code => format!("the {what} could not be {done} ({code} {})", refusal.reason),
    };
    let fault = Fault::new(
        class,
        confidence,
        &join(&head, &refusal.message),
        Some(refusal.at),
    );
    fault.proved(Proof::new(
        "answer to the create",
        "message",
        &refusal.message,
    ))
}

/// What the text alone says, where the code is not told: as a controller repeats it in an Event or a condition.
pub(super) fn classify_text(message: &str) -> (Class, Confidence) {
    if let Some(class) = first_match(RULES, message) {
        return (class, Confidence::Witnessed);
    }
    let lower = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if says(&["timeout: "]) {
        (Class::ApiTimeout, Confidence::Witnessed)
    } else if says(&["is forbidden"]) {
        (Class::WebhookDenied, Confidence::Rest)
    } else if says(&["is invalid", "unknown field"]) {
        (Class::PodSpecInvalid, Confidence::Witnessed)
    } else if says(&["already exists", "object has been modified"]) {
        (Class::ApiConflict, Confidence::Witnessed)
    } else if says(&[
        "etcdserver",
        "internal error",
        "connection refused",
        "unavailable",
        "too many requests",
    ]) {
        (Class::ApiUnavailable, Confidence::Witnessed)
    } else {
        (Class::Unknown, Confidence::Rest)
    }
}

fn classify(refusal: &Refusal) -> (Class, Confidence) {
    if refusal.reason == "NameCollision" {
        return (Class::NameCollision, Confidence::Proved);
    }
    if let Some(class) = first_match(RULES, &refusal.message) {
        return (class, Confidence::Witnessed);
    }
    match refusal.code {
        // Either there was no answer, or only its text was passed on.
        0 => match classify_text(&refusal.message) {
            (Class::Unknown, _) => (Class::ApiUnavailable, Confidence::Proved),
            told => told,
        },
        429 | 500..=503 | 505..=599 => (Class::ApiUnavailable, Confidence::Proved),
        408 | 504 => (Class::ApiTimeout, Confidence::Proved),
        400 | 413 | 422 => (Class::PodSpecInvalid, Confidence::Proved),
        401 => (Class::RbacForbidden, Confidence::Proved),
        403 => (Class::WebhookDenied, Confidence::Rest),
        // A namespace or a kind that is missing is either on its way or on its way out.
        404 => (Class::ApiUnavailable, Confidence::Inferred),
        409 => (Class::ApiConflict, Confidence::Proved),
        _ => (Class::Unknown, Confidence::Rest),
    }
}

#[cfg(test)]
mod tests;
