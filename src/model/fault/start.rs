//! Containers that cannot be created or started: configuration, the runtime, the command.
//!
//! Rule: noise of a kubelet that is still starting is not a fault.

use super::text::{Rule, first_match};
use super::{Class, Confidence};

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
    Rule(Class::ConfigMapMissing, &["configmap \""]),
    Rule(Class::SecretMissing, &["secret \""]),
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

/// What the kubelet says while it has not read the cluster's objects yet. It passes by itself.
const NOISE: &[&str] = &[
    "failed to sync configmap cache",
    "failed to sync secret cache",
    "services have not yet been read at least once",
];

/// What the runtime says when it cannot create or start a container.
const RUNTIME: &[Rule] = &[
    Rule(
        Class::OomAtStart,
        &[
            "container init was oom-killed",
            "container init caused the oom",
        ],
    ),
    Rule(Class::ImagePlatformMismatch, &["exec format error"]),
    Rule(
        Class::MountTargetConflict,
        &[
            "to rootfs",
            "are you trying to mount a directory onto a file",
        ],
    ),
    Rule(
        Class::WorkingDirInvalid,
        &["chdir to cwd", "init: mkdir /", "failed to mkdir"],
    ),
    Rule(
        Class::SecurityProfileMissing,
        &["apparmor profile", "apparmor_parser", "seccomp profile"],
    ),
    Rule(
        Class::CommandNotFound,
        &["not found in $path", "no command specified"],
    ),
    Rule(
        Class::RuntimeUnavailable,
        &["containerd.sock", "crio.sock", "code = unavailable"],
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

/// The class of a container that waits because it could not be created or started. `None` when the
/// reason says nothing of the kind, or when what it says passes by itself.
pub(super) fn waiting(reason: &str, message: &str) -> Option<(Class, Confidence)> {
    match reason {
        "CreateContainerConfigError" => config(message),
        "CreateContainerError" => Some(created(message)),
        "RunContainerError" | "ContainerCannotRun" | "StartError" => Some(started(message)),
        "PreCreateHookError" | "PreStartHookError" => {
            Some((Class::LifecycleHookCreateFailed, Confidence::Proved))
        }
        _ => None,
    }
}

/// The class of a container whose program never ran.
pub(super) fn started(message: &str) -> (Class, Confidence) {
    match runtime(message) {
        Some(class) => (class, Confidence::Witnessed),
        None => (Class::OciStartFailed, Confidence::Rest),
    }
}

fn runtime(message: &str) -> Option<Class> {
    let command = ["exec: ", "exec /", "open executable"]
        .iter()
        .find_map(|mark| message.find(mark).map(|start| &message[start..]));
    first_match(RUNTIME, message).or_else(|| first_match(COMMAND, command?))
}

fn config(message: &str) -> Option<(Class, Confidence)> {
    let lower = message.to_lowercase();
    if NOISE.iter().any(|noise| lower.contains(noise)) {
        return None;
    }
    Some(match first_match(CONFIG, message) {
        Some(class) => (class, Confidence::Witnessed),
        None => (Class::ContainerConfigInvalid, Confidence::Proved),
    })
}

fn created(message: &str) -> (Class, Confidence) {
    const SLOW: &[Rule] = &[Rule(
        Class::ContainerCreateTimeout,
        &["context deadline exceeded", "is reserved for"],
    )];
    match first_match(SLOW, message)
        .or_else(|| first_match(CONFIG, message))
        .or_else(|| runtime(message))
    {
        Some(class) => (class, Confidence::Witnessed),
        None => (Class::ContainerCreateFailed, Confidence::Proved),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNC: &str = "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: ";

    #[test]
    fn what_the_runtime_says_about_a_start() {
        use Class as C;
        let table = [
            (
                "exec: \"wge\": executable file not found in $PATH: unknown",
                C::CommandNotFound,
            ),
            (
                "exec: \"/no/such\": stat /no/such: no such file or directory: unknown",
                C::CommandNotFound,
            ),
            (
                "exec: \"/etc/passwd\": permission denied: unknown",
                C::CommandNotExecutable,
            ),
            (
                "exec: \"/etc\": is a directory: unknown",
                C::CommandNotExecutable,
            ),
            (
                "exec /app: exec format error: unknown",
                C::ImagePlatformMismatch,
            ),
            (
                "error during container init: mkdir /src: not a directory: unknown",
                C::WorkingDirInvalid,
            ),
            (
                "error during container init: chdir to cwd (\"/x\") set in config.json failed: no such file or directory",
                C::WorkingDirInvalid,
            ),
            (
                "error during container init: error mounting \"/a\" to rootfs at \"/etc/passwd\": not a directory: Are you trying to mount a directory onto a file (or vice-versa)?",
                C::MountTargetConflict,
            ),
            (
                "container init was OOM-killed (memory limit too low?): unknown",
                C::OomAtStart,
            ),
            (
                "executable file `wge` not found in $PATH: No such file or directory",
                C::CommandNotFound,
            ),
            (
                "unable to apply cgroup configuration: open /sys/fs/cgroup/x: no such file or directory",
                C::OciStartFailed,
            ),
            ("something nobody has seen: unknown", C::OciStartFailed),
        ];
        for (text, class) in table {
            let message = format!("{RUNC}{text}");
            assert_eq!(started(&message).0, class, "{text}");
            assert_eq!(
                waiting("RunContainerError", &message).unwrap().0,
                class,
                "{text}"
            );
        }
    }

    #[test]
    fn what_the_kubelet_says_about_configuration() {
        use Class as C;
        let table = [
            (
                "configmap \"settings\" not found",
                Some(C::ConfigMapMissing),
            ),
            ("secret \"token\" not found", Some(C::SecretMissing)),
            (
                "couldn't find key password in Secret default/token",
                Some(C::ConfigKeyMissing),
            ),
            (
                "container has runAsNonRoot and image will run as root (pod: \"x\", container: main)",
                Some(C::RunAsNonRootViolation),
            ),
            (
                "failed to prepare subPath for volumeMount \"a\" of container \"b\"",
                Some(C::SubPathFailed),
            ),
            ("something else", Some(C::ContainerConfigInvalid)),
            (
                "failed to sync configmap cache: timed out waiting for the condition",
                None,
            ),
            (
                "services have not yet been read at least once, cannot construct envvars",
                None,
            ),
        ];
        for (message, class) in table {
            let found = waiting("CreateContainerConfigError", message).map(|(class, _)| class);
            assert_eq!(found, class, "{message}");
        }
    }

    #[test]
    fn a_runtime_that_is_slow_is_not_a_wrong_container() {
        let slow =
            "failed to reserve container name \"main\": name \"main\" is reserved for \"1f\"";
        assert_eq!(
            waiting("CreateContainerError", slow).unwrap().0,
            Class::ContainerCreateTimeout
        );
        assert_eq!(
            waiting("CreateContainerError", "no idea").unwrap().0,
            Class::ContainerCreateFailed
        );
    }

    #[test]
    fn a_container_that_is_simply_being_created_has_no_fault() {
        for reason in [
            "ContainerCreating",
            "PodInitializing",
            "CrashLoopBackOff",
            "",
        ] {
            assert_eq!(waiting(reason, "no such file or directory"), None);
        }
    }
}
