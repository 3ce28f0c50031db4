//! Volumes: claims without a volume, and volumes that do not reach their Pod.
//!
//! Rule: the most specific Event is the cause, however old; what a later success has cured is none.
//! Sources: `pkg/volume/util/operationexecutor`, `pkg/kubelet/volumemanager`, `pkg/controller/volume`,
//! `pkg/scheduler/framework/plugins/volumebinding` (Kubernetes 1.36).

use super::class::family;
use super::evidence::{EventView, Evidence, ObjectView};
use super::text::{EventRule, Rule, contains, first_event, join};
use super::{Class, Confidence, Fault, Proof, configuration};

pub(super) use claim::{being_made, claim, claims, is_untold, waited_for_pod};

mod claim;

family! {
    /// A volume of the Pod cannot be bound, attached or mounted, or is not as it should be. Before the Pod
    /// has a node, the evidence is its condition `PodScheduled` and the claim; after that, it is the Events
    /// `FailedAttachVolume` and `FailedMount` of a Pod in `ContainerCreating`.
    Volume {
        /// A claim that the Pod names does not exist. The message of `PodScheduled` has the name of the
        /// `persistentvolumeclaim` and `not found`.
        PvcMissing: Hold, Cluster, "Create the `PersistentVolumeClaim` in the Pod's namespace, or correct `claimName` in the template.";
        /// A claim of the Pod is not bound to a volume. The message of `PodScheduled` says
        /// `unbound immediate PersistentVolumeClaims`.
        PvcUnbound: Wait, Cluster, "Read the claim's Events (`kubectl describe pvc`). It passes by itself while a volume is being made; worry after some minutes, or when no provisioner says anything.";
        /// A claim names a storage class that does not exist, or names none and there is neither a default
        /// class nor a volume that fits. The claim's Events say so, with the reason `ProvisioningFailed` or
        /// `FailedBinding`.
        StorageClassMissing: Hold, Cluster, "Compare `storageClassName` of the claim with `kubectl get storageclass`. Create the class or mark one as the default; a claim with a wrong class must be made anew.";
        /// The provisioner could not make a volume for a claim. The claim has an Event `ProvisioningFailed`
        /// with the provisioner's own text.
        ProvisioningFailed: Wait, Source, "Read the Event (`kubectl describe pvc`): often a limit, a wrong parameter of the class or a permission. It is tried again, so worry when the text stays the same.";
        /// The claim's storage class makes a volume only when a Pod that uses the claim is being placed. The
        /// claim has an Event `WaitForFirstConsumer` of type Normal.
        WaitForFirstConsumer: None, Cluster, "It passes by itself. Worry only when the Pod has a node and the claim still has no volume (`kubectl describe pvc`).";
        /// A claim of the Pod is bound to a volume that does not exist any more. The claim's phase is `Lost`,
        /// or it has an Event `ClaimLost` or `ClaimMisbound`.
        ClaimLost: Hold, Cluster, "Do not delete the claim before you know where its data is. Bring back the `PersistentVolume` that `spec.volumeName` names, or restore a backup into a new claim.";
        /// The Pod's volume can only be reached from other nodes than those that fit, most often from another
        /// zone. The message of `PodScheduled` speaks of the node affinity of the `PersistentVolume`.
        VolumeNodeAffinityConflict: Wait, Cluster, "Find the nodes that reach the volume (`Node Affinity` in `kubectl describe pv`) and make room there, or add a node in that zone.";
        /// No volume matches a claim of the Pod. The message of `PodScheduled` says
        /// `didn't find available persistent volumes to bind` or `did not have enough free storage`.
        NoMatchingVolume: Wait, Cluster, "Create a `PersistentVolume` with the size, access mode and class that the claim asks for (`kubectl describe pvc`), on a node that the Pod can use.";
        /// The nodes have as many volumes as they can have. The message of `PodScheduled` says
        /// `exceed max volume count`.
        VolumeLimitExceeded: Wait, Source, "It passes when Pods with volumes end or a node is added. `kubectl get csinode -o yaml` shows how many volumes each node takes (`allocatable.count`).";
        /// The volume may be used by one Pod only and another one uses it. The message of `PodScheduled`
        /// names the access mode `ReadWriteOncePod`.
        RwopConflict: Wait, Cluster, "Find the Pod that uses the claim (`Used By` in `kubectl describe pvc`). It passes when that Pod ends; worry when it belongs to something else.";
        /// The volume is still attached to another node, and it can only be attached to one. An Event
        /// `FailedAttachVolume` says `Multi-Attach error`.
        MultiAttach: Wait, Sample, "It passes when the old Pod has ended, or some 6 minutes after its node went down. If a Pod named in the Event (`kubectl describe pod`) still uses the volume, stop that one.";
        /// The volume could not be attached to the node. An Event `FailedAttachVolume` and `attachError` of
        /// the `VolumeAttachment` say why.
        AttachFailed: Infrastructure, Sample, "Read `kubectl describe volumeattachment` and the log of the storage driver's controller. It is tried again; worry when the text says that the disk is gone or access is denied.";
        /// The kubelet refused the Pod because the node has as many volumes as it can have. The Pod has
        /// failed with the reason `VolumeAttachmentLimitExceeded`.
        AttachLimitRejected: Infrastructure, Source, "It passes on another node. Worry when it repeats: then the limit in `kubectl get csinode -o yaml` is wrong, and the storage driver has to be configured or upgraded.";
        /// The volume could not be mounted on the node. An Event `FailedMount` has the storage driver's own
        /// text.
        MountFailed: Infrastructure, Cluster, "Read the Event (`kubectl describe pod`) and the log of the storage driver's Pod on that node; for NFS, check the server and the path. It is tried again by itself.";
        /// The Pod's volumes were not mounted in time, and no Event says why. There is only an Event
        /// `FailedMount` that lists the volumes and says `timed out`.
        MountTimeout: Infrastructure, Source, "Look at each volume that the Event lists: its claim (`kubectl describe pvc`), its `VolumeAttachment`, and the storage driver's Pod on that node. A slow disk passes by itself.";
        /// The storage driver of the volume is not registered on the node. The Event `FailedMount` says
        /// `not found in the list of registered CSI drivers`.
        CsiDriverMissing: Infrastructure, Cluster, "It passes by itself while a node boots. Worry after 5 minutes: then see whether the driver's `DaemonSet` has a running Pod on that node (`kubectl describe csinode`).";
        /// The path of a `hostPath` volume is missing on the node, or is not of the kind that its `type` asks
        /// for. The Event `FailedMount` says `hostPath type check failed`, or the container waits because the
        /// runtime could not make the folder.
        HostPathInvalid: Hold, Cluster, "Correct `path` or `type` of the volume in the template (`DirectoryOrCreate` makes a missing directory), or create the path on every node that may run the Pod.";
        /// The file system of the volume is damaged, or is not the expected one. The Event `FailedMount`
        /// speaks of `fsck` or `bad superblock`, or has the reason `FailedMountOnFilesystemMismatch`.
        FilesystemCorrupt: Hold, Source, "Save the data first, with a snapshot of the disk. Then, without formatting the disk, check its file system where nothing has it mounted, or restore a backup.";
        /// The claim's disk has grown, and its file system follows when a Pod is started with it. The claim
        /// has the condition `FileSystemResizePending`.
        VolumeResizePending: None, Sample, "Restart the Pod at a good time (`restartAt` of the child). Nothing fails until then: the program sees the old size, so worry only if the disk is nearly full.";
        /// A claim's volume could not be enlarged or changed. The Events have `VolumeResizeFailed` or
        /// `FileSystemResizeFailed`, or the claim has a condition such as `ControllerResizeError`.
        VolumeResizeFailed: None, Source, "Read the conditions and Events of the claim (`kubectl describe pvc`), and check `allowVolumeExpansion` of its class and the limits of the storage system.";
        /// The storage driver says that a volume is not healthy. The Pod has an Event
        /// `VolumeConditionAbnormal`.
        VolumeAbnormal: None, Source, "Read the Event (`kubectl describe pod`), and look at the disk in the storage system. Take a backup while the volume can still be read.";
        /// The kubelet is changing the owner of every file on a volume, which takes long when there are many.
        /// The Pod has an Event `VolumePermissionChangeInProgress`.
        FsGroupSlow: None, Source, "It passes by itself. If starts take too long because of it, set `securityContext.fsGroupChangePolicy: OnRootMismatch` in the template.";
        /// The kubelet could not get the token or certificate for a projected volume. The Event `FailedMount`
        /// says `failed to fetch token`, or an Event says that the certificate was denied, failed or expired.
        ProjectedTokenFailed: Wait, Source, "It passes when the API server or the signer answers. Worry when the text says denied or forbidden: then check the service account and `sources` of the projected volume.";
    }
}

/// What the scheduler says of the volumes of a Pod.
pub(super) const UNSCHEDULED: &[Rule] = &[
    // The driver has refused the node that the scheduler chose, and taken back the choice.
    Rule(
        Class::ProvisioningFailed,
        &[
            "provisioning failed for pvc",
            "selectednode annotation value",
        ],
    ),
    Rule(
        Class::PvcUnbound,
        &[
            "unbound immediate persistentvolumeclaims",
            "waiting for ephemeral volume controller to create the persistentvolumeclaim",
            // The scheduler has chosen a node, and has waited for the volume in vain.
            "binding volumes: ",
        ],
    ),
    Rule(
        Class::ClaimLost,
        &[
            "pvc(s) bound to non-existent pv(s)",
            "bound to non-existent persistentvolume",
        ],
    ),
    Rule(Class::RwopConflict, &["readwriteoncepod access mode"]),
    Rule(
        Class::VolumeNodeAffinityConflict,
        &[
            "didn't match persistentvolume's node affinity",
            "had volume node affinity conflict",
            "had no available volume zone",
        ],
    ),
    Rule(
        Class::NoMatchingVolume,
        &[
            "didn't find available persistent volumes to bind",
            "did not have enough free storage",
        ],
    ),
    Rule(Class::VolumeLimitExceeded, &["exceed max volume count"]),
    Rule(
        Class::PvcMissing,
        &[
            "persistentvolumeclaim \"…not found",
            "persistentvolumeclaim \"…is being deleted",
        ],
    ),
];

/// Reasons of Pods that the kubelet refused, in lower case.
pub(super) const REJECTED: &[(&str, Class)] =
    &[("volumeattachmentlimitexceeded", Class::AttachLimitRejected)];

/// What the kubelet and the attach-detach controller say of a Pod's volumes, the most specific first.
const EVENTS: &[EventRule] = &[
    EventRule(
        &[MOUNT],
        &["references non-existent"],
        Class::ConfigKeyMissing,
    ),
    EventRule(
        &[MOUNT],
        &["configmap \"…not found"],
        Class::ConfigMapMissing,
    ),
    EventRule(&[MOUNT], &["secret \"…not found"], Class::SecretMissing),
    EventRule(
        &[MOUNT],
        &[
            "persistentvolumeclaim \"…not found",
            "persistentvolumeclaims \"…not found",
        ],
        Class::PvcMissing,
    ),
    EventRule(
        &[MOUNT, ATTACH],
        &["not found in the list of registered csi drivers"],
        Class::CsiDriverMissing,
    ),
    EventRule(
        &[MOUNT],
        &["hostpath type check failed"],
        Class::HostPathInvalid,
    ),
    // The node lacks what mounts this kind of filesystem.
    EventRule(&[MOUNT], &["might need a /sbin/mount"], Class::MountFailed),
    EventRule(
        &[MOUNT],
        &[
            "bad superblock",
            "fsck",
            "can't read superblock",
            "structure needs cleaning",
        ],
        Class::FilesystemCorrupt,
    ),
    EventRule(
        &["FailedMountOnFilesystemMismatch"],
        &[""],
        Class::FilesystemCorrupt,
    ),
    EventRule(&[ATTACH], &["multi-attach error"], Class::MultiAttach),
    EventRule(
        &[MOUNT],
        &["failed to fetch token", "podcertificate"],
        Class::ProjectedTokenFailed,
    ),
    EventRule(&[ATTACH], &[""], Class::AttachFailed),
    EventRule(
        &[MOUNT, "FailedMapVolume"],
        &["mountvolume.", "mapvolume.", "mount failed"],
        Class::MountFailed,
    ),
    EventRule(&[MOUNT, "FailedMapVolume"], &[""], Class::MountTimeout),
];
const MOUNT: &str = "FailedMount";
const ATTACH: &str = "FailedAttachVolume";

/// Reasons of Events that only explain.
pub(super) const CONTEXT: &[EventRule] = &[
    EventRule(&[MOUNT], &["not registered"], Class::ObjectNotRegistered),
    EventRule(&[MOUNT], &["failed to sync"], Class::ConfigCacheSync),
    EventRule(
        &["VolumePermissionChangeInProgress"],
        &[""],
        Class::FsGroupSlow,
    ),
    EventRule(&["VolumeConditionAbnormal"], &[""], Class::VolumeAbnormal),
    EventRule(
        &["VolumeResizeFailed", "FileSystemResizeFailed"],
        &[""],
        Class::VolumeResizeFailed,
    ),
    EventRule(
        &["WaitForFirstConsumer", "WaitForPodScheduled"],
        &[""],
        Class::WaitForFirstConsumer,
    ),
];

/// Which volume holds up a Pod whose containers are still being created.
pub(super) fn stuck(evidence: &Evidence<'_>) -> Option<Fault> {
    let mut events = evidence.events_of_pod(&[
        MOUNT,
        ATTACH,
        "FailedMapVolume",
        "FailedMountOnFilesystemMismatch",
    ]);
    let attached = evidence.events_of_pod(&["SuccessfulAttachVolume"]).pop();
    events.retain(|event| {
        let attached = attached.filter(|_| event.reason == ATTACH);
        let is_cured = attached.is_some_and(|cure| cure.is_after(event));
        !is_cured && !evidence.has_volumes_since(event) && !is_noise(event)
    });
    let (class, event) = first_event(EVENTS, &events)?;
    Some(Fault::witnessed(
        class,
        "a volume of the Pod is not there",
        event,
    ))
}

/// Which volume held up the Pod: the volume came, and the status of the Pod is older than that.
pub(super) fn was_stuck(evidence: &Evidence<'_>) -> Option<Fault> {
    let mut events = evidence.events_of_pod(&[MOUNT, ATTACH]);
    events.retain(|event| !is_noise(event));
    let (class, event) = first_event(EVENTS, &events)?;
    let fault = Fault::witnessed(
        class,
        "a volume of the Pod was not there for a while",
        event,
    );
    Some(Fault {
        confidence: Confidence::Inferred,
        ..fault
    })
}

/// What passes by itself, or follows from something else.
fn is_noise(event: &EventView) -> bool {
    contains(event.text(), configuration::NOISE) || contains(event.text(), &["not registered"])
}

/// What is wrong with the attachment of a volume to a node.
pub(super) fn attachment(attachment: &ObjectView) -> Option<Fault> {
    let (field, text) = attachment.error.as_ref()?;
    let message = join(&format!("{} failed", attachment.object.words()), text);
    let fault = Fault::new(Class::AttachFailed, Confidence::Proved, &message, None);
    Some(fault.proved(Proof::object(attachment, field, text)))
}

#[cfg(test)]
mod tests;
