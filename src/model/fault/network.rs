//! The sandbox of a Pod and its network: what comes before the first container.
//!
//! Rule: the most specific Event is the cause, because what follows a first failure is often only that its name is taken.
//! Sources: `pkg/kubelet/kuberuntime/kuberuntime_sandbox.go`, `pkg/kubelet/network/dns`, containerd
//! `internal/cri/server/podsandbox` (Kubernetes 1.36, containerd 2).

use super::class::family;
use super::evidence::Evidence;
use super::text::{EventRule, first_event};
use super::{Class, Confidence, Fault, runtime};

family! {
    /// The Pod has a node, but its sandbox (its network, address and cgroup) cannot be set up, so that no
    /// container exists. The evidence is the Event `FailedCreatePodSandBox` and the condition
    /// `PodReadyToStartContainers`; several such Pods on one node point to the node.
    Network {
        /// The network plugin could not connect the Pod to the network. The Event `FailedCreatePodSandBox`
        /// has the plugin's own error.
        CniPluginFailed: Infrastructure, Sample, "Read the log of the network plugin's Pod on that node (`kubectl get pods -A -o wide`). It may pass by itself; worry when no new Pod of that node gets a network.";
        /// The network plugin has no address left for the Pod. The Event `FailedCreatePodSandBox` says that
        /// none could be assigned or allocated.
        IpExhausted: Infrastructure, Source, "Compare the number of Pods on that node with its address range (`spec.podCIDR`, or the subnet of a cloud). Enlarge the range; it also passes when Pods there end.";
        /// The network of the node is not ready. The Pod has an Event `NetworkNotReady`, and the node is not
        /// Ready for the same reason.
        NetworkNotReady: Infrastructure, Source, "It passes by itself while a node boots. Worry after some minutes: then see whether the network plugin's `DaemonSet` has a running Pod on that node.";
        /// The container runtime took too long to make the Pod's sandbox. The Event `FailedCreatePodSandBox`
        /// says `context deadline exceeded`, and later that the sandbox's name is reserved.
        SandboxCreateTimeout: Infrastructure, Source, "Look at the load and the disk of that node (`kubectl describe node`) and at the runtime's log there. It may pass by itself; if not, cordon the node and delete the Pod.";
        /// The container runtime cannot get the pause image, which every sandbox needs. The Event
        /// `FailedCreatePodSandBox` says `failed to get sandbox image`.
        SandboxImageFailed: Infrastructure, Source, "Check which pause image the runtime of that node is configured with. Make its registry reachable from the node, or load the image there (`crictl images` lists them).";
        /// The container runtime of the node does not have the handler that the Pod's `RuntimeClass` names.
        /// The Event `FailedCreatePodSandBox` names the handler.
        RuntimeHandlerMissing: Hold, Cluster, "Configure the handler on every node that may run the Pod, or keep the Pod to those that have it, with `scheduling.nodeSelector` of the `RuntimeClass`.";
        /// The Pod's sandbox was lost and the kubelet makes a new one, so that all containers end together
        /// and the address changes. The Pod has an Event `SandboxChanged` of type Normal.
        SandboxChanged: None, Source, "It passes by itself: mostly the node or its runtime was restarted. Worry when it repeats without that; then read the runtime's log on that node.";
        /// The node could not set up the cgroup that keeps the Pod to its limits. The Pod has an Event
        /// `FailedCreatePodContainer`, or the error of its sandbox speaks of cgroups.
        CgroupFailed: Infrastructure, Source, "Check on that node that the kubelet and the container runtime use the same cgroup driver, and read the kubelet's log. Reboot the node when its cgroups are used up.";
        /// The Pod's DNS settings were cut short, or the kubelet cannot make them as they are asked for. The
        /// Events have `DNSConfigForming`, `MissingClusterDNS` or `CheckLimitsForResolvConf`.
        DnsConfigInvalid: None, Source, "Shorten `dnsConfig` in the template or the node's `/etc/resolv.conf`, or set `clusterDNS` of the kubelet. Worry when programs fail to look up names.";
    }
}

/// What the kubelet says while it makes the sandbox, the most specific first.
const EVENTS: &[EventRule] = &[
    // The sandbox is in the Pod's cgroup, so that the limits of its containers bound it, too.
    EventRule(
        &[SANDBOX],
        &[
            "container init was oom-killed",
            "container init caused the oom",
        ],
        Class::OomAtStart,
    ),
    EventRule(
        &[SANDBOX],
        &[
            "no runtime for",
            "failed to find runtime handler",
            "runtime handler",
        ],
        Class::RuntimeHandlerMissing,
    ),
    EventRule(
        &[SANDBOX],
        &["failed to get sandbox image", "pause image"],
        Class::SandboxImageFailed,
    ),
    EventRule(
        &[SANDBOX],
        &[
            "failed to assign an ip address",
            "no ip addresses available",
            "failed to allocate for range",
            "no more ips",
            "no available ip",
            "no available address",
            "assigned 0 out of",
            "range is full",
            "could not allocate ip in range",
        ],
        Class::IpExhausted,
    ),
    EventRule(
        &[SANDBOX],
        &["cni plugin not initialized"],
        Class::NetworkNotReady,
    ),
    EventRule(
        &[SANDBOX],
        &[
            "failed to setup network for sandbox",
            "failed to set up sandbox container",
            "networkplugin cni failed",
            "plugin type=",
            "failed (add)",
            "cni request failed",
            "error adding pod",
        ],
        Class::CniPluginFailed,
    ),
    EventRule(
        &[SANDBOX, "FailedCreatePodContainer"],
        &["cgroup"],
        Class::CgroupFailed,
    ),
    EventRule(&["FailedCreatePodContainer"], &[""], Class::CgroupFailed),
    EventRule(&[SANDBOX], runtime::TOO_SLOW, Class::SandboxCreateTimeout),
    EventRule(
        &[SANDBOX],
        &["deadlineexceeded"],
        Class::SandboxCreateTimeout,
    ),
    EventRule(&["NetworkNotReady"], &[""], Class::NetworkNotReady),
    EventRule(
        &["FailedPrepareDynamicResources"],
        &[""],
        Class::DraPrepareFailed,
    ),
    EventRule(
        &[SANDBOX, "FailedSync"],
        &[
            "code = unavailable",
            "containerd.sock",
            "crio.sock",
            "dockershim.sock",
            "docker.sock",
        ],
        Class::RuntimeUnavailable,
    ),
    EventRule(&[SANDBOX], &[""], Class::StartStuck),
];
const SANDBOX: &str = "FailedCreatePodSandBox";

/// Reasons of Events that only explain.
pub(super) const CONTEXT: &[EventRule] = &[
    EventRule(&["SandboxChanged"], &[""], Class::SandboxChanged),
    EventRule(
        &[
            "DNSConfigForming",
            "MissingClusterDNS",
            "CheckLimitsForResolvConf",
        ],
        &[""],
        Class::DnsConfigInvalid,
    ),
];

/// What holds up the sandbox of a Pod whose containers are still being created.
pub(super) fn stuck(evidence: &Evidence<'_>) -> Option<Fault> {
    let mut events = evidence.events_of_pod(&[
        SANDBOX,
        "FailedCreatePodContainer",
        "NetworkNotReady",
        "FailedPrepareDynamicResources",
        "FailedSync",
    ]);
    events.retain(|event| !evidence.has_begun_since(event));
    let (class, event) = first_event(EVENTS, &events)?;
    let fault = Fault::witnessed(class, "the sandbox of the Pod cannot be made", event);
    Some(match class {
        Class::StartStuck => Fault {
            confidence: Confidence::Rest,
            ..fault
        },
        _ => fault,
    })
}

#[cfg(test)]
mod tests;
