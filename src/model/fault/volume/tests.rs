//! Volumes that hold up a Pod, and claims that have none.
//!
//! Rule: each text stands as a component has written it.

use super::*;
use crate::model::fault::testing::{Scene, at, event, object, pod, proof};
use crate::model::fault::{Verdict, identify_object};

const MULTI_ATTACH: &str = "Multi-Attach error for volume \"v\" Volume is already exclusively attached to one node and can't be attached to another";
const UNMOUNTED: &str = "Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[data]: timed out waiting for the condition";

/// A Pod on its way to which these things were said, in this order.
fn told(events: &[(&str, &str)]) -> Scene {
    let events = events.iter().zip([10, 20, 30, 40]);
    pod("p").told(events.map(|((reason, text), seconds)| event(reason, text).of("p").at(seconds)))
}

fn of_claim(reason: &str, message: &str) -> EventView {
    event(reason, message)
        .about("PersistentVolumeClaim", "data")
        .at(10)
}

fn claim_in(phase: &str) -> ObjectView {
    object("PersistentVolumeClaim", "data").in_phase(phase)
}

#[test]
fn what_is_said_of_the_volumes_of_a_pod() {
    use Class as C;
    let table = [
        (
            MOUNT,
            "MountVolume.SetUp failed for volume \"c\" : configmap \"settings\" not found",
            C::ConfigMapMissing,
        ),
        (
            MOUNT,
            "MountVolume.SetUp failed for volume \"s\" : secret \"token\" not found",
            C::SecretMissing,
        ),
        (
            MOUNT,
            "MountVolume.SetUp failed for volume \"c\" : configmap references non-existent config key: a.yaml",
            C::ConfigKeyMissing,
        ),
        (
            MOUNT,
            "MountVolume.SetUp failed for volume \"s\" : references non-existent secret key: a",
            C::ConfigKeyMissing,
        ),
        (
            MOUNT,
            "Unable to attach or mount volumes: failed to process volumes=[data]: error processing PVC n/data: failed to fetch PVC from API server: persistentvolumeclaims \"data\" not found",
            C::PvcMissing,
        ),
        (
            MOUNT,
            "MountVolume.MountDevice failed for volume \"v\" : kubernetes.io/csi: attacher.MountDevice failed to create newCsiDriverClient: driver name d.csi not found in the list of registered CSI drivers",
            C::CsiDriverMissing,
        ),
        (
            MOUNT,
            "MountVolume.SetUp failed for volume \"h\" : hostPath type check failed: /data is not a directory",
            C::HostPathInvalid,
        ),
        (
            MOUNT,
            "MountVolume.MountDevice failed for volume \"v\" : 'fsck' found errors on device /dev/sdb but could not correct them",
            C::FilesystemCorrupt,
        ),
        (
            MOUNT,
            "MountVolume.MountDevice failed for volume \"v\" : mount: can't read superblock on /dev/sdb",
            C::FilesystemCorrupt,
        ),
        (
            "FailedMountOnFilesystemMismatch",
            "volume \"v\" has ext4, and xfs was asked for",
            C::FilesystemCorrupt,
        ),
        (ATTACH, MULTI_ATTACH, C::MultiAttach),
        (
            ATTACH,
            "Multi-Attach error for volume \"v\" Volume is already used by pod(s) old",
            C::MultiAttach,
        ),
        (
            ATTACH,
            "AttachVolume.Attach failed for volume \"v\" : rpc error: code = Internal desc = no such disk",
            C::AttachFailed,
        ),
        (
            MOUNT,
            "MountVolume.SetUp failed for volume \"kube-api-access-x\" : failed to fetch token: timeout",
            C::ProjectedTokenFailed,
        ),
        (
            MOUNT,
            "MountVolume.SetUp failed for volume \"n\" : mount failed: exit status 32",
            C::MountFailed,
        ),
        (
            "FailedMapVolume",
            "MapVolume.SetUpDevice failed for volume \"v\" : no such device",
            C::MountFailed,
        ),
        (MOUNT, UNMOUNTED, C::MountTimeout),
    ];
    for (reason, text, class) in table {
        let fault = told(&[(reason, text)]).fault(30);
        assert_eq!(
            (fault.class, fault.confidence, fault.at),
            (class, Confidence::Witnessed, Some(at(10))),
            "{text}"
        );
        let object = format!("Event {reason} of Pod p");
        assert_eq!(fault.proofs, [proof(&object, "message", text)]);
        assert!(
            fault
                .message
                .starts_with("a volume of the Pod is not there: ")
        );
    }
}

#[test]
fn what_the_scheduler_says_of_volumes() {
    use Class as C;
    let table = [
        (
            "pod has unbound immediate PersistentVolumeClaims",
            C::PvcUnbound,
        ),
        (
            "waiting for ephemeral volume controller to create the persistentvolumeclaim \"p-tmp\"",
            C::PvcUnbound,
        ),
        (
            "1 node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
            C::ClaimLost,
        ),
        (
            "1 node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod",
            C::RwopConflict,
        ),
        (
            "1 node(s) didn't match PersistentVolume's node affinity",
            C::VolumeNodeAffinityConflict,
        ),
        (
            "1 node(s) had volume node affinity conflict",
            C::VolumeNodeAffinityConflict,
        ),
        (
            "1 node(s) had no available volume zone",
            C::VolumeNodeAffinityConflict,
        ),
        (
            "1 node(s) didn't find available persistent volumes to bind",
            C::NoMatchingVolume,
        ),
        (
            "1 node(s) did not have enough free storage",
            C::NoMatchingVolume,
        ),
        ("1 node(s) exceed max volume count", C::VolumeLimitExceeded),
        ("persistentvolumeclaim \"data\" not found", C::PvcMissing),
    ];
    for (text, class) in table {
        let message =
            format!("0/1 nodes are available: {text}. preemption: 0/1 nodes are available.");
        let fault = pod("p").unschedulable(&message).alone().fault(30);
        assert_eq!(fault.class, class, "{text}");
        assert!(fault.contributing.is_empty(), "{text}");
    }
}

#[test]
fn a_specific_event_is_the_cause_even_if_a_vague_one_is_newer() {
    let missing = "MountVolume.SetUp failed for volume \"c\" : configmap \"settings\" not found";
    let fault = told(&[(MOUNT, missing), (MOUNT, UNMOUNTED)]).fault(60);
    assert_eq!(
        (fault.class, fault.verdict),
        (Class::ConfigMapMissing, Verdict::Hold)
    );
}

#[test]
fn what_was_cured_does_not_hold_up_the_pod() {
    let failed = "MountVolume.SetUp failed for volume \"n\" : mount failed: exit status 32";
    for (reason, text, cure) in [
        (ATTACH, MULTI_ATTACH, "SuccessfulAttachVolume"),
        (ATTACH, MULTI_ATTACH, "Started"),
        (MOUNT, failed, "Pulling"),
        (MOUNT, failed, "Pulled"),
        (MOUNT, failed, "Created"),
        (MOUNT, failed, "Started"),
    ] {
        let cured = told(&[(reason, text), (cure, "done")]);
        assert_eq!(stuck(&cured.evidence()), None, "{reason}, {cure}");
        let not_yet = told(&[(cure, "done"), (reason, text)]);
        assert!(stuck(&not_yet.evidence()).is_some(), "{cure}, {reason}");
    }
    let attached = told(&[(MOUNT, failed), ("SuccessfulAttachVolume", "done")]);
    assert!(stuck(&attached.evidence()).is_some());
}

#[test]
fn what_was_cured_is_told_as_past_while_the_status_is_older_than_the_cure() {
    let cured = told(&[(ATTACH, MULTI_ATTACH), ("SuccessfulAttachVolume", "done")]);
    let fault = cured.fault(60);
    assert_eq!(
        (fault.class, fault.confidence),
        (Class::MultiAttach, Confidence::Inferred)
    );
    assert!(
        fault
            .message
            .starts_with("a volume of the Pod was not there for a while")
    );
}

#[test]
fn noise_is_no_volume_that_is_missing() {
    for (text, context) in [
        (
            "MountVolume.SetUp failed for volume \"t\" : object \"n\"/\"root-ca\" not registered",
            Class::ObjectNotRegistered,
        ),
        (
            "MountVolume.SetUp failed for volume \"c\" : failed to sync configmap cache: timed out waiting for the condition",
            Class::ConfigCacheSync,
        ),
        (
            "MountVolume.SetUp failed for volume \"s\" : failed to sync secret cache: timed out waiting for the condition",
            Class::ConfigCacheSync,
        ),
    ] {
        let noisy = told(&[(MOUNT, text)]);
        assert_eq!(noisy.fault(30).class, Class::NoFault, "{text}");
        let fault = noisy.fault(90);
        assert_eq!(fault.class, Class::StartStuck, "{text}");
        assert_eq!(fault.contributing, [context], "{text}");
    }
}

#[test]
fn a_node_that_has_no_room_for_a_volume_refuses_the_pod() {
    let refused = pod("p").failed(
        "VolumeAttachmentLimitExceeded",
        "Pod was rejected: the node has no room for the volume",
    );
    let fault = refused.alone().fault(30);
    assert_eq!(
        (fault.class, fault.confidence),
        (Class::AttachLimitRejected, Confidence::Proved)
    );
}

#[test]
fn what_is_wrong_with_a_claim_that_is_not_bound() {
    use Class as C;
    let table = [
        (
            "ProvisioningFailed",
            "storageclass.storage.k8s.io \"fast\" not found",
            C::StorageClassMissing,
        ),
        (
            "FailedBinding",
            "no persistent volumes available for this claim and no storage class is set",
            C::StorageClassMissing,
        ),
        (
            "ProvisioningFailed",
            "failed to provision volume: quota",
            C::ProvisioningFailed,
        ),
        ("ClaimLost", "the volume is gone", C::ClaimLost),
        ("ClaimMisbound", "two claims, one volume", C::ClaimLost),
        (
            "WaitForFirstConsumer",
            "waiting for first consumer to be created before binding",
            C::WaitForFirstConsumer,
        ),
    ];
    for (reason, text, class) in table {
        let fault = identify_object(&claim_in("Pending"), &[of_claim(reason, text)]);
        assert_eq!(
            (fault.class, fault.confidence),
            (class, Confidence::Witnessed),
            "{reason}: {text}"
        );
        assert!(
            fault.message.starts_with("claim data "),
            "{}",
            fault.message
        );
    }
    let fault = identify_object(&claim_in("Pending"), &[]);
    assert_eq!(fault.class, C::PvcUnbound);
    let other = of_claim("ProvisioningFailed", "quota").about("PersistentVolumeClaim", "logs");
    let fault = identify_object(&claim_in("Pending"), &[other]);
    assert_eq!(fault.class, C::PvcUnbound);
}

#[test]
fn a_claim_that_lost_its_volume_says_so_by_its_phase() {
    let fault = identify_object(&claim_in("Lost"), &[]);
    assert_eq!(
        (fault.class, fault.verdict, fault.confidence),
        (Class::ClaimLost, Verdict::Hold, Confidence::Proved)
    );
    let phase = proof("PersistentVolumeClaim data", "status.phase", "Lost");
    assert_eq!(fault.proofs, [phase]);
}

#[test]
fn a_bound_claim_may_wait_for_a_change_of_its_size() {
    let bound = claim_in("Bound");
    assert_eq!(identify_object(&bound, &[]).class, Class::NoFault);
    let text = "Waiting for user to (re-)start a pod to finish file system resize of volume";
    let pending = bound
        .clone()
        .says("FileSystemResizePending", "True", "", text);
    let fault = identify_object(&pending, &[]);
    assert_eq!(
        (fault.class, fault.confidence, fault.at),
        (Class::VolumeResizePending, Confidence::Proved, Some(at(5)))
    );
    for type_ in [
        "ControllerResizeError",
        "NodeResizeError",
        "ModifyVolumeError",
    ] {
        let failed = pending.clone().says(type_, "True", "", "no room");
        let fault = identify_object(&failed, &[]);
        assert_eq!(fault.class, Class::VolumeResizeFailed, "{type_}");
        let passed = bound.clone().says(type_, "False", "", "");
        assert_eq!(identify_object(&passed, &[]).class, Class::NoFault);
    }
    for (reason, class) in [
        ("VolumeResizeFailed", Class::VolumeResizeFailed),
        ("FileSystemResizeFailed", Class::VolumeResizeFailed),
        ("VolumeConditionAbnormal", Class::VolumeAbnormal),
        ("WaitForFirstConsumer", Class::NoFault),
    ] {
        let fault = identify_object(&bound, &[of_claim(reason, "text")]);
        assert_eq!(fault.class, class, "{reason}");
    }
}

#[test]
fn an_attachment_is_told_by_the_error_in_its_status() {
    let well = object("VolumeAttachment", "csi-1");
    assert_eq!(identify_object(&well, &[]).class, Class::NoFault);
    let field = "status.attachError.message";
    let ill = ObjectView {
        error: Some((field, "no such disk".to_owned())),
        ..well
    };
    let fault = identify_object(&ill, &[]);
    assert_eq!(
        (fault.class, fault.confidence),
        (Class::AttachFailed, Confidence::Proved)
    );
    assert_eq!(fault.message, "VolumeAttachment csi-1 failed: no such disk");
    let error = proof("VolumeAttachment csi-1", field, "no such disk");
    assert_eq!(fault.proofs, [error]);
}

#[test]
fn what_only_explains_does_not_become_the_fault() {
    for (reason, class) in [
        ("VolumePermissionChangeInProgress", Class::FsGroupSlow),
        ("VolumeConditionAbnormal", Class::VolumeAbnormal),
        ("VolumeResizeFailed", Class::VolumeResizeFailed),
        ("FileSystemResizeFailed", Class::VolumeResizeFailed),
    ] {
        let told = event(reason, "text").of("p").at(20);
        let fault = pod("p").ready(at(1)).told([told]).fault(60);
        assert_eq!(fault.class, Class::NoFault, "{reason}");
        assert_eq!(fault.contributing, [class], "{reason}");
    }
}
