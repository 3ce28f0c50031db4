//! Configuration: what a Pod names and does not exist, and what a container cannot be started with.
//!
//! Rule: noise of a kubelet that is still starting is not a fault.
//! Sources: `pkg/kubelet/kubelet_pods.go`, `pkg/kubelet/kuberuntime/security_context_others.go`,
//! `pkg/volume/{configmap,secret}` (Kubernetes 1.36), runc's and crun's texts.

use jiff::{SignedDuration, Timestamp};

use super::class::family;
use super::evidence::Evidence;
use super::text::{EventRule, Rule, contains, first_match, first_named};
use super::{Class, Confidence};
use crate::model::pod::{ContainerState, ContainerView, Termination};

family! {
    /// The container cannot be made as its template describes it, so that its program has never run. The
    /// evidence is `state.waiting` of the container, a `StartError` in its status, or an Event `FailedMount`
    /// for configuration that is mounted.
    Configuration {
        /// A `ConfigMap` that the Pod names does not exist. The container waits with the reason
        /// `CreateContainerConfigError`, or an Event `FailedMount` names the object.
        ConfigMapMissing: Hold, Cluster, "Create the `ConfigMap` in the Pod's namespace, correct its name in the template, or set `optional: true` where the template names it.";
        /// A Secret that the Pod names does not exist. The container waits with the reason
        /// `CreateContainerConfigError`, or an Event `FailedMount` names the object.
        SecretMissing: Hold, Cluster, "Create the Secret in the Pod's namespace, correct its name in the template, or set `optional: true` there. If a tool is to create it, look at the status of that tool.";
        /// A key that the Pod names is not in its `ConfigMap` or Secret. The message of the waiting
        /// container, or of the Event `FailedMount`, names the key.
        ConfigKeyMissing: Hold, Cluster, "Add the key (`kubectl describe configmap` or `kubectl describe secret` lists those that exist), correct `key` in the template, or set `optional: true` there.";
        /// The image runs as root, or as a user whose number is not known, and the Pod forbids root with
        /// `runAsNonRoot`. The container waits with the reason `CreateContainerConfigError`.
        RunAsNonRootViolation: Hold, Cluster, "Set `securityContext.runAsUser` in the template to a number other than 0, or give the image a numeric `USER`. Remove `runAsNonRoot` only if the program must be root.";
        /// The kubelet cannot build the container's configuration, for a reason that has no class of its own.
        /// The container waits with the reason `CreateContainerConfigError`.
        ContainerConfigInvalid: Hold, Source, "Read the message of the container (`kubectl describe pod`), and correct the field in the template or the object that it speaks of.";
        /// A `subPath` of a volume cannot be prepared. The container waits, and its message says that the
        /// path could not be created or prepared.
        SubPathFailed: Hold, Cluster, "Check `subPath` or `subPathExpr` under `volumeMounts` in the template, and that the volume can be written to or already has the path.";
        /// The image does not have the container's command. The status has the reason `StartError` and exit
        /// code 128, or the container waits with `RunContainerError`, and the message says
        /// `executable file not found` or `no such file or directory`.
        CommandNotFound: Hold, Cluster, "Correct `command` in the template, or put the program into the image. A script is also not found when the image lacks the interpreter that its first line names.";
        /// The container's command may not be executed. The status has the reason `StartError`, and the
        /// message says `permission denied`.
        CommandNotExecutable: Hold, Cluster, "Make the file executable in the image (`chmod +x`) for the user that the container runs as. If it comes from a volume, set `defaultMode: 0755` there.";
        /// The container's working directory cannot be entered or created. The status has the reason
        /// `StartError`, and the message names the directory.
        WorkingDirInvalid: Hold, Cluster, "Correct `workingDir` in the template: it must be a directory, not a file, and the container's user must be allowed to enter it.";
        /// A volume cannot be mounted at its place in the container, for example because a directory is to be
        /// mounted over a file. The status has the reason `StartError`, and the message has `error mounting`.
        MountTargetConflict: Hold, Cluster, "Compare `mountPath` and `subPath` under `volumeMounts` in the template with what the image has at that place. To mount a single file, name it with `subPath`.";
        /// The node does not have the seccomp or `AppArmor` profile that the container asks for. The
        /// container waits with the reason `CreateContainerError`, and its message names the profile.
        SecurityProfileMissing: Hold, Cluster, "Install the profile on every node that may run the Pod, or correct `securityContext.seccompProfile` or `securityContext.appArmorProfile` in the template.";
        /// The kubelet has not yet read a `ConfigMap` or Secret that the Pod names. An Event `FailedMount`
        /// says that its cache could not be filled in time.
        ConfigCacheSync: None, Source, "It passes by itself in seconds. Worry when it lasts for minutes: then the kubelet of that node has trouble with the API server (`kubectl describe node`).";
        /// The kubelet has just started and has not yet read the Services, which it needs for the container's
        /// environment variables. The container waits with a message that says so.
        ServiceEnvNotReady: None, Source, "It passes by itself, soon after the kubelet of that node has started. Worry when it lasts for minutes: then read the kubelet's log.";
        /// The kubelet tried to mount a `ConfigMap` or Secret for a Pod that it has already let go. The Event
        /// `FailedMount` says `not registered`; it follows the end of the Pod and is never its cause.
        ObjectNotRegistered: None, Source, "Ignore it, and look for what ended or refused the Pod (`kubectl describe pod`). Worry only if a Pod that is to run stays in `ContainerCreating` with it.";
    }
}

/// What the kubelet says when it cannot build a container's configuration.
const CONFIG: &[Rule] = &[
    Rule(
        Class::ConfigKeyMissing,
        &[
            "couldn't find key",
            "references non-existent secret key",
            "references non-existent config key",
        ],
    ),
    Rule(
        Class::RunAsNonRootViolation,
        &[
            "image will run as root",
            "breaks non-root policy",
            "cannot verify user is non-root",
        ],
    ),
    Rule(
        Class::SubPathFailed,
        &[
            "failed to create subpath directory",
            "failed to prepare subpath",
        ],
    ),
];

/// What does not exist. Of several the text names first what the others were needed for.
const MISSING: &[Rule] = &[
    Rule(Class::ConfigMapMissing, &["configmap \"…\" not found"]),
    Rule(Class::SecretMissing, &["secret \"…\" not found"]),
];

/// What the kubelet says while it has not read the cluster's objects yet. It passes by itself.
pub(super) const NOISE: &[&str] = &[
    "failed to sync configmap cache",
    "failed to sync secret cache",
    "services have not yet been read at least once",
];

/// The same, as Events and waiting containers tell it.
pub(super) const CONTEXT: &[EventRule] = &[
    EventRule(&["Failed"], &[SERVICES], Class::ServiceEnvNotReady),
    EventRule(&["Failed"], CACHE, Class::ConfigCacheSync),
];
const SERVICES: &str = "services have not yet been read at least once";
const CACHE: &[&str] = &[
    "failed to sync configmap cache",
    "failed to sync secret cache",
];

/// What the runtime says when it cannot create or start a container.
const START: &[Rule] = &[
    Rule(
        Class::OomAtStart,
        &[
            "container init was oom-killed",
            "container init caused the oom",
            // What the start itself needs is more than the limit.
            "unable to set memory limit to",
        ],
    ),
    Rule(Class::ImagePlatformMismatch, &["exec format error"]),
    // What is full is the node, wherever it was to write.
    Rule(
        Class::CgroupFailed,
        &["/sys/fs/cgroup…no space left on device"],
    ),
    Rule(Class::ImageNoSpace, &["no space left on device"]),
    Rule(
        Class::MountTargetConflict,
        &[
            "to rootfs",
            "are you trying to mount a directory onto a file",
        ],
    ),
    Rule(Class::WorkingDirInvalid, &["chdir to cwd", "init: mkdir /"]),
    // A path of the node that does not exist is made, unless the kubelet was told what is to be there.
    Rule(Class::HostPathInvalid, &["spec: failed to mkdir"]),
    Rule(
        Class::SecurityProfileMissing,
        &["apparmor profile", "apparmor_parser", "seccomp profile"],
    ),
    Rule(
        Class::CommandNotFound,
        &["not found in $path", "no command specified"],
    ),
];

/// What the runtime says after the words that it was executing the command. Elsewhere the same words
/// speak of cgroups and devices, and may pass.
const COMMAND: &[Rule] = &[
    Rule(Class::CommandNotFound, &["no such file or directory"]),
    Rule(
        Class::CommandNotExecutable,
        &["permission denied", "is a directory"],
    ),
];

/// How long a run lasts at most that did not get to its program.
const NEVER_RAN: SignedDuration = SignedDuration::from_secs(5);

/// What the kubelet says of a container whose configuration it cannot build; `None` for what passes by itself.
pub(super) fn config(message: &str) -> Option<(Class, Confidence)> {
    if contains(message, NOISE) {
        return None;
    }
    Some(match of_config(message) {
        Some(class) => (class, Confidence::Witnessed),
        None => (Class::ContainerConfigInvalid, Confidence::Proved),
    })
}

/// Whether a container waits for what passes by itself.
pub(super) fn waits_for_kubelet(container: &ContainerView) -> bool {
    matches!(&container.state, ContainerState::Waiting { message, .. } if contains(message, NOISE))
}

/// What containers say that wait for what passes by itself.
pub(super) fn context(evidence: &Evidence<'_>) -> Vec<Class> {
    let pod = evidence.pod;
    let containers = pod.init_containers.iter().chain(&pod.containers);
    let class_of = |container: &ContainerView| match &container.state {
        ContainerState::Waiting { message, .. } if contains(message, &[SERVICES]) => {
            Some(Class::ServiceEnvNotReady)
        }
        ContainerState::Waiting { message, .. } if contains(message, CACHE) => {
            Some(Class::ConfigCacheSync)
        }
        _ => None,
    };
    containers.filter_map(class_of).collect()
}

/// What it names as wrong in the configuration.
pub(super) fn of_config(message: &str) -> Option<Class> {
    first_match(CONFIG, message).or_else(|| first_named(MISSING, message))
}

/// What the runtime names as wrong when it starts a container.
pub(super) fn of_start(message: &str) -> Option<Class> {
    if message.contains("fork/exec") {
        // What is missing is a program of the runtime itself.
        return first_match(START, message);
    }
    let command = ["exec: ", "exec /", "open executable"]
        .iter()
        .find_map(|mark| message.find(mark).map(|start| &message[start..]));
    first_match(START, message).or_else(|| first_match(COMMAND, command?))
}

/// Whether the last words of a run say that its program was built for another platform. The runtime says so of the command
/// of the container, on a line of its own; what a program says of the files that it executes is its own affair.
pub(super) fn is_of_other_platform(end: &Termination) -> bool {
    let of_runtime = |line: &str| {
        let of_command = line.starts_with("exec /") || line.contains("exec user process caused");
        of_command && line.trim_end_matches('"').ends_with("exec format error")
    };
    let ran = end.started.zip(end.finished);
    let never_ran = ran.is_none_or(|(from, to)| {
        from <= Timestamp::UNIX_EPOCH || to.duration_since(from) <= NEVER_RAN
    });
    never_ran && end.message.lines().map(str::trim).any(of_runtime)
}

#[cfg(test)]
mod tests;
