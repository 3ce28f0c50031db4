//! Evidence that is of another run, of an earlier moment or of a mere name.
//!
//! Rule: each test has evidence that seems to say more than it does.

use super::super::testing::{
    PodBuilder, at, container, end, event, every, object, pod, refusal, spec_of,
};
use super::super::*;
use crate::model::pod::{ContainerSpecView, ContainerView};

const LIVENESS: &str = "Container main failed liveness probe, will be restarted";

/// A Pod whose container ran from 100 s to 900 s after a run that ended at 99 s.
fn ran_twice(before: i64, code: i32) -> PodBuilder {
    let second = ContainerView {
        last: Some(end(143).ran(0, before).build()),
        restarts: 1,
        ..container("main").ended(end(code).ran(100, 900).build())
    };
    pod("p").running(at(0)).only(second)
}

#[test]
fn a_kill_belongs_to_the_run_that_ended_within_its_grace_period() {
    for (before, seconds, class) in [
        (99, 98, Class::AppSegfault),
        (100, 100, Class::AppSegfault),
        (99, 100, Class::AppSegfault),
        (99, 500, Class::AppSegfault),
        (99, 875, Class::LivenessProbeKilled),
        (99, 901, Class::LivenessProbeKilled),
        (99, 910, Class::AppSegfault),
    ] {
        let kill = event("Killing", LIVENESS).of("p").in_container("main");
        let fault = ran_twice(before, 139).told([kill.at(seconds)]).fault(950);
        assert_eq!(fault.class, class, "{before} {seconds}");
    }
}

#[test]
fn a_failure_of_a_probe_long_before_the_end_explains_no_kill() {
    let spec = ContainerSpecView {
        liveness: Some(every(10, 3)),
        ..spec_of("main")
    };
    for (seconds, class) in [
        (160, Class::SigkillUnattributed),
        (860, Class::LivenessProbeKilled),
    ] {
        let failure = event("Unhealthy", "Liveness probe failed: 500").of("p");
        let failure = failure.in_container("main").at(seconds);
        let scene = ran_twice(99, 137).told([failure]).spec(spec.clone());
        assert_eq!(scene.fault(950).class, class, "{seconds}");
    }
}

#[test]
fn only_the_runtime_says_that_a_program_is_of_another_platform() {
    for (message, seconds, class) in [
        (
            "exec /app: exec format error",
            1,
            Class::ImagePlatformMismatch,
        ),
        ("exec /app: exec format error", 600, Class::AppExitedNonZero),
        (
            "skipped /plugins/a.bin: exec format error\nERROR: no",
            1,
            Class::AppExitedNonZero,
        ),
        (
            "dial unix a.sock exec format error",
            1,
            Class::AppExitedNonZero,
        ),
    ] {
        let end = end(1).message(message).ran(0, seconds).build();
        let fault = pod("p").crash_loop(end, 3).alone().fault(700);
        assert_eq!(fault.class, class, "{message}");
    }
}

#[test]
fn a_claim_that_has_its_volume_is_not_what_the_pod_waits_for() {
    let of_claim = |reason: &str, name: &str, seconds| {
        let text = "storageclass.storage.k8s.io \"fast\" not found";
        event(reason, text)
            .about("PersistentVolumeClaim", name)
            .at(seconds)
    };
    let scene = || {
        let said = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.";
        let failed = of_claim("ProvisioningFailed", "a", 10);
        let scene = pod("p").unschedulable(said).told([failed]);
        scene.but_spec(|spec| spec.claims = vec!["a".to_owned(), "b".to_owned()])
    };
    assert_eq!(scene().fault(60).class, Class::StorageClassMissing);
    for reason in ["ProvisioningSucceeded", "ExternalProvisioning"] {
        let cured = scene().told([of_claim(reason, "a", 20)]);
        assert_eq!(cured.fault(60).class, Class::PvcUnbound, "{reason}");
        let other = scene().told([of_claim(reason, "b", 20)]);
        assert_eq!(
            other.fault(60).class,
            Class::StorageClassMissing,
            "{reason}"
        );
    }
    let bound = scene().beside(object("PersistentVolumeClaim", "a").in_phase("Bound"));
    assert_eq!(bound.fault(60).class, Class::PvcUnbound);
}

#[test]
fn a_volume_was_there_before_the_sandbox_was_made() {
    let mount = "MountVolume.SetUp failed for volume \"a\" : secret \"s\" not found";
    let sandbox =
        "failed to setup network for sandbox \"aa\": plugin type=\"calico\" failed (add): x";
    let told = |seconds| {
        [
            event("FailedMount", mount).of("p").at(10),
            event("FailedCreatePodSandBox", sandbox).of("p").at(seconds),
        ]
    };
    let class = |seconds| pod("p").pending().told(told(seconds)).fault(60).class;
    assert_eq!(class(20), Class::CniPluginFailed);
    assert_eq!(class(5), Class::SecretMissing);
}

#[test]
fn names_made_of_the_words_of_rules_change_nothing() {
    let names = [
        "harmless",
        "unauthorized-demo",
        "fsck-scratch",
        "cgroup-agent",
        "podcertificate-x",
        "not-found",
        "pause",
        "x509",
        "i/o-timeout",
    ];
    for name in names {
        let text = format!(
            "failed to pull and unpack image \"docker.io/me/{name}:v1\": failed to resolve reference \"docker.io/me/{name}:v1\": docker.io/me/{name}:v1: not found"
        );
        let fault = pod("p").pending().waiting("ErrImagePull", &text);
        assert_eq!(
            fault.alone().fault(60).class,
            Class::ImageNotFound,
            "{name}"
        );
        let text = format!(
            "MountVolume.SetUp failed for volume \"{name}\" : mount failed: exit status 32: mount.nfs: access denied by server"
        );
        let told = event("FailedMount", &text).of("p");
        let fault = pod("p").pending().told([told]).fault(60);
        assert_eq!(fault.class, Class::MountFailed, "{name}");
        let text = format!(
            "failed to reserve sandbox name \"{name}_ns_u_0\": name is reserved for \"abc\""
        );
        let told = event("FailedCreatePodSandBox", &text).of("p");
        let fault = pod("p").pending().told([told]).fault(60);
        assert_eq!(fault.class, Class::SandboxCreateTimeout, "{name}");
    }
}

#[test]
fn a_kill_that_failed_before_the_deletion_does_not_keep_a_pod() {
    let failed = event("FailedKillPod", "error killing pod").of("p").at(10);
    let deleted = pod("p").ready(at(0)).deleting(at(130), 30).told([failed]);
    assert_eq!(deleted.fault(110).class, Class::PodDeleted);
    let fault = deleted.fault(200);
    assert_eq!(fault.class, Class::StuckTerminating);
    assert_eq!(fault.message, "the Pod was deleted, and is still there");
}

#[test]
fn taints_that_are_not_named_are_read_from_the_nodes() {
    let said = "0/2 nodes are available: 2 node(s) had untolerated taint(s).";
    let tainted = |key: &str| ObjectView {
        taints: vec![(key.to_owned(), "NoSchedule".to_owned())],
        ..object("Node", key)
    };
    let lost = pod("p")
        .unschedulable(said)
        .alone()
        .beside(tainted("node.kubernetes.io/not-ready"))
        .beside(tainted("node.kubernetes.io/unreachable"));
    assert_eq!(lost.fault(60).class, Class::NodeUnknownConditions);
    let mixed = lost.beside(tainted("dedicated"));
    assert_eq!(mixed.fault(60).class, Class::UntoleratedTaint);
}

/// Whatever was to be written: it passes on another node, and no class that only explains is the class of a Pod.
#[test]
fn a_full_disk_is_a_full_disk_also_where_a_container_is_made_or_mounts() {
    let mounting = "error mounting \"/dev/x\" to rootfs at \"/x\": no space left on device";
    let writing =
        "failed to create containerd container: mkdir /var/lib/x: no space left on device";
    for text in [mounting, writing] {
        for reason in ["CreateContainerError", "RunContainerError"] {
            let waits = pod("p").pending().waiting(reason, text);
            let fault = waits.alone().fault(60);
            assert_eq!(fault.class, Class::ImageNoSpace, "{reason}: {text}");
            assert_eq!(fault.verdict, Verdict::Wait, "another try may find room");
        }
    }
    let cgroup = "mkdir /sys/fs/cgroup/x: no space left on device";
    let waits = pod("p").pending().waiting("CreateContainerError", cgroup);
    assert_eq!(waits.alone().fault(60).class, Class::CgroupFailed);
}

#[test]
fn what_the_text_names_first_or_where_it_says_it_decides() {
    let waiting = |reason: &str, text: &str| {
        let pod = pod("p").pending().waiting(reason, text);
        pod.alone().fault(60).class
    };
    let text = "secret \"a\" not found: configmap \"x\" not found";
    let class = waiting("CreateContainerConfigError", text);
    assert_eq!(class, Class::SecretMissing);
    let text = "pods \"w\" is forbidden: User \"u\" cannot create resource \"pods\" in API group \"\" in the namespace \"exceeded quota: x\"";
    let class = identify_refusal(&refusal(403, "Forbidden", text)).class;
    assert_eq!(class, Class::RbacForbidden);
}
