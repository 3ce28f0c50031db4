//! What the container runtime says of containers that it cannot create or start.
//!
//! Rule: each text stands as a runtime has written it.

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
    let slow = "failed to reserve container name \"main\": name \"main\" is reserved for \"1f\"";
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

#[test]
fn hooks_of_the_kubelet_itself_are_told_by_their_reason() {
    for reason in ["PreCreateHookError", "PreStartHookError"] {
        assert_eq!(
            waiting(reason, "no CPUs"),
            Some((Class::LifecycleHookCreateFailed, Confidence::Proved))
        );
    }
}

#[test]
fn a_runtime_that_does_not_answer_is_told_before_the_container() {
    for text in [
        "rpc error: code = Unavailable desc = gone",
        "dial unix /run/containerd/containerd.sock: connect: no such device",
        "dial unix /var/run/crio/crio.sock: connect: refused",
    ] {
        let expected = Some((Class::RuntimeUnavailable, Confidence::Witnessed));
        assert_eq!(waiting("CreateContainerError", text), expected, "{text}");
        assert_eq!(waiting("RunContainerError", text), expected, "{text}");
    }
}

#[test]
fn a_container_that_cannot_be_created_may_lack_its_configuration() {
    assert_eq!(
        waiting("CreateContainerError", "secret \"token\" not found"),
        Some((Class::SecretMissing, Confidence::Witnessed))
    );
    assert_eq!(
        waiting("CreateContainerError", "context deadline exceeded"),
        Some((Class::ContainerCreateTimeout, Confidence::Witnessed))
    );
}

#[test]
fn old_names_of_a_start_that_failed_are_known() {
    for reason in ["RunContainerError", "ContainerCannotRun", "StartError"] {
        assert_eq!(
            waiting(reason, "strange"),
            Some((Class::OciStartFailed, Confidence::Rest))
        );
    }
}
