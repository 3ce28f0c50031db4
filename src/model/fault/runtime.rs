//! The container runtime: containers that it cannot create, start or end.
//!
//! Rule: only what the runtime says of itself is judged here; what it says of the image, the command or a mount is
//! `configuration`'s.
//! Sources: `pkg/kubelet/kuberuntime/kuberuntime_container.go`, containerd `internal/cri/server` (Kubernetes 1.36).

use super::class::family;
use super::text::{EventRule, Rule, first_match};
use super::{Class, Confidence, configuration};

family! {
    /// The kubelet, the container runtime or a device driver of the node could not create, start or stop a
    /// container, while image and configuration are there. The evidence is `state.waiting` or a `StartError`
    /// of the container, and Events of the Pod.
    Runtime {
        /// The container runtime does not answer. The Pod has Events such as `FailedSync`, with
        /// `connection refused` on the runtime's socket or the code `Unavailable`.
        RuntimeUnavailable: Infrastructure, Source, "It passes when the runtime has been restarted. Worry when it lasts: then look at it on that node (`systemctl status containerd`), and drain the node.";
        /// The container runtime took too long to create the container. It waits with the reason
        /// `CreateContainerError` and `context deadline exceeded`, and later with a message that its name is
        /// reserved.
        ContainerCreateTimeout: Infrastructure, Source, "It often passes after some minutes. Otherwise look at the disk and load of that node (`kubectl describe node`), upgrade the runtime, or delete the Pod after a cordon.";
        /// The container runtime cannot create the container. It waits with the reason
        /// `CreateContainerError`, and its message has the runtime's own text.
        ContainerCreateFailed: Hold, Source, "Read the message (`kubectl describe pod`), and compare it with the mounts, devices and `securityContext` of the container in the template. Look at the node if others can create it.";
        /// The container runtime could not start the container, for a reason that we do not know. The status
        /// has the reason `StartError` and exit code 128, or the container waits with `RunContainerError`.
        OciStartFailed: Hold, Source, "Read the message (`kubectl describe pod`), and compare it with `command`, `securityContext` and the mounts in the template. If only one node says so, look at its runtime.";
        /// The container runtime could not end the Pod's containers. The Pod has an Event `FailedKillPod`,
        /// and stays while it is being deleted.
        KillFailed: Infrastructure, Source, "It is tried again. Worry when it lasts: then look on that node for processes that cannot be killed, mostly because of a dead disk or network volume, and reboot it.";
        /// A hook of the kubelet itself failed before the container was started, such as the one that assigns
        /// CPUs or devices. The container waits with the reason `PreCreateHookError` or `PreStartHookError`.
        LifecycleHookCreateFailed: Infrastructure, Source, "Read the message (`kubectl describe pod`) and the kubelet's log on that node. Delete the Pod after `kubectl cordon` if another node can run it.";
        /// A device that the container uses is not healthy. `allocatedResourcesStatus` in the container's
        /// status says `Unhealthy`.
        DeviceUnhealthy: Infrastructure, Source, "Look at the device on that node with its vendor's tool, then repair it or drain the node. A restart of the container in place keeps the same device.";
        /// The driver of a resource claim could not prepare its device on the node. The Pod has an Event
        /// `FailedPrepareDynamicResources`.
        DraPrepareFailed: Infrastructure, Source, "Read the Event and the log of the driver's Pod on that node, and see that the claim is allocated (`kubectl describe resourceclaim`). It is tried again by itself.";
    }
}

/// What says that the runtime itself does not answer.
pub(super) const UNAVAILABLE: &[Rule] = &[Rule(
    Class::RuntimeUnavailable,
    &["containerd.sock", "crio.sock", "code = unavailable"],
)];

/// What a runtime says that is too slow: first that its time is up, and then that its first try is not over.
pub(super) const TOO_SLOW: &[&str] = &[
    "context deadline exceeded",
    "is reserved for",
    "name is reserved",
    "is already in use by container",
];
const SLOW: &[Rule] = &[Rule(Class::ContainerCreateTimeout, TOO_SLOW)];

/// Events that tell that the end of a Pod failed. It only explains what goes on with the Pod.
pub(super) const KILL: &[EventRule] = &[EventRule(&["FailedKillPod"], &[""], Class::KillFailed)];

/// The class of a container that waits because it could not be created or started. `None` when the
/// reason says nothing of the kind, or when what it says passes by itself.
pub(super) fn waiting(reason: &str, message: &str) -> Option<(Class, Confidence)> {
    match reason {
        "CreateContainerConfigError" => configuration::config(message),
        "CreateContainerError" => Some(created(message)),
        "RunContainerError" | "ContainerCannotRun" | "StartError" => Some(started(message)),
        "PreCreateHookError" | "PreStartHookError" => {
            Some((Class::LifecycleHookCreateFailed, Confidence::Proved))
        }
        _ => None,
    }
}

/// What an Event says of a container that could not be created or started; `None` for what passes by itself. It does not
/// say which of the two.
pub(super) fn refused(message: &str) -> Option<(Class, Confidence)> {
    configuration::config(message).map(|told| match told {
        (Class::ContainerConfigInvalid, _) => match created(message) {
            (Class::ContainerCreateFailed, _) => (Class::OciStartFailed, Confidence::Rest),
            told => told,
        },
        told => told,
    })
}

/// The class of a container whose program never ran.
pub(super) fn started(message: &str) -> (Class, Confidence) {
    match said(message) {
        Some(class) => (class, Confidence::Witnessed),
        None => (Class::OciStartFailed, Confidence::Rest),
    }
}

fn created(message: &str) -> (Class, Confidence) {
    match first_match(SLOW, message)
        .or_else(|| configuration::of_config(message))
        .or_else(|| said(message))
    {
        Some(class) => (class, Confidence::Witnessed),
        None => (Class::ContainerCreateFailed, Confidence::Proved),
    }
}

fn said(message: &str) -> Option<Class> {
    configuration::of_start(message).or_else(|| first_match(UNAVAILABLE, message))
}

#[cfg(test)]
mod tests;
