//! What a container cannot be made or started with.
//!
//! Rule: each text stands as a component has written it.

use super::*;
use crate::model::fault::Verdict;
use crate::model::fault::testing::{end, pod, proof};

#[test]
fn what_the_kubelet_names_as_wrong_in_a_configuration() {
    use Class as C;
    for (text, class) in [
        ("configmap \"settings\" not found", C::ConfigMapMissing),
        ("secret \"token\" not found", C::SecretMissing),
        (
            "couldn't find key a in ConfigMap n/settings",
            C::ConfigKeyMissing,
        ),
        ("couldn't find key a in Secret n/token", C::ConfigKeyMissing),
        (
            "container has runAsNonRoot and image will run as root",
            C::RunAsNonRootViolation,
        ),
        (
            "container's runAsUser breaks non-root policy",
            C::RunAsNonRootViolation,
        ),
        (
            "container has runAsNonRoot and image has non-numeric user (app), cannot verify user is non-root",
            C::RunAsNonRootViolation,
        ),
        (
            "failed to create subPath directory for volumeMount \"a\" of container \"b\"",
            C::SubPathFailed,
        ),
        (
            "failed to prepare subPath for volumeMount \"a\" of container \"b\"",
            C::SubPathFailed,
        ),
    ] {
        assert_eq!(config(text), Some((class, Confidence::Witnessed)), "{text}");
    }
    assert_eq!(
        config("the moon is in the wrong place"),
        Some((Class::ContainerConfigInvalid, Confidence::Proved))
    );
}

#[test]
fn noise_of_a_kubelet_that_has_just_started_is_no_fault() {
    for text in [
        "failed to sync configmap cache: timed out waiting for the condition",
        "failed to sync secret cache: timed out waiting for the condition",
        "services have not yet been read at least once, cannot construct envvars",
    ] {
        let waits = pod("p").waiting("CreateContainerConfigError", text);
        assert_eq!(waits.alone().fault(30).class, Class::NoFault, "{text}");
    }
}

#[test]
fn what_the_runtime_names_as_wrong_at_a_start() {
    use Class as C;
    for (text, class) in [
        (
            "container init was OOM-killed (memory limit too low?)",
            C::OomAtStart,
        ),
        (
            "unable to start container process: error during container init: error setting cgroup config for procHooks process: unable to set memory limit to 131072 (current usage: 2494464, peak usage: 2510848)",
            C::OomAtStart,
        ),
        (
            "failed to generate container \"22\" spec: failed to generate spec: failed to mkdir \"/proc/not-there\": mkdir /proc/not-there: no such file or directory",
            C::HostPathInvalid,
        ),
        ("exec /app: exec format error", C::ImagePlatformMismatch),
        (
            "error mounting \"/a\" to rootfs at \"/b\": no such file or directory",
            C::MountTargetConflict,
        ),
        (
            "not a directory: Are you trying to mount a directory onto a file (or vice-versa)?",
            C::MountTargetConflict,
        ),
        (
            "chdir to cwd (\"/x\") set in config.json failed: no such file or directory",
            C::WorkingDirInvalid,
        ),
        (
            "error during container init: mkdir /src: not a directory",
            C::WorkingDirInvalid,
        ),
        (
            "apparmor failed to apply profile: AppArmor profile \"x\" is missing",
            C::SecurityProfileMissing,
        ),
        (
            "cannot load seccomp profile \"/x.json\": open: no such file",
            C::SecurityProfileMissing,
        ),
        (
            "exec: \"nope\": executable file not found in $PATH",
            C::CommandNotFound,
        ),
        ("no command specified", C::CommandNotFound),
        (
            "exec: \"/nope\": stat /nope: no such file or directory",
            C::CommandNotFound,
        ),
        ("exec /nope: no such file or directory", C::CommandNotFound),
        (
            "open executable: no such file or directory",
            C::CommandNotFound,
        ),
        (
            "exec: \"/etc/passwd\": permission denied",
            C::CommandNotExecutable,
        ),
        ("exec: \"/etc\": is a directory", C::CommandNotExecutable),
    ] {
        assert_eq!(of_start(text), Some(class), "{text}");
    }
    for text in [
        "open /sys/fs/cgroup/x: no such file or directory",
        "open /dev/fuse: permission denied",
        "the moon is in the wrong place",
    ] {
        assert_eq!(of_start(text), None, "{text}");
    }
}

#[test]
fn a_configuration_is_held_and_proved_by_what_the_container_waits_for() {
    let text = "secret \"token\" not found";
    let waits = pod("p").waiting("CreateContainerConfigError", text);
    let fault = waits.alone().fault(30);
    assert_eq!(
        (fault.class, fault.verdict, fault.confidence),
        (Class::SecretMissing, Verdict::Hold, Confidence::Witnessed)
    );
    assert_eq!(fault.container.as_deref(), Some("main"));
    let field = |part| format!("status.containerStatuses[main].state.waiting.{part}");
    assert_eq!(
        fault.proofs,
        [
            proof("Pod p", &field("reason"), "CreateContainerConfigError"),
            proof("Pod p", &field("message"), text),
        ]
    );
}

#[test]
fn a_program_that_was_built_for_another_platform_may_say_so_only_in_its_last_words() {
    let text = "exec /usr/local/bin/app: exec format error";
    let crashed = pod("p").crash_loop(end(1).message(text).build(), 3);
    let fault = crashed.alone().fault(30);
    assert_eq!(
        (fault.class, fault.confidence),
        (Class::ImagePlatformMismatch, Confidence::Witnessed)
    );
    let field = "status.containerStatuses[main].lastState.terminated.message";
    let said = proof("Pod p", field, text);
    assert!(fault.proofs.contains(&said), "{:?}", fault.proofs);
}
