//! How each class of fault is acted out: what a cluster would show of it.
//!
//! Rule: a scene is evidence only. What it is called and what it means is left to [`crate::model::fault`]; a test asks
//! whether the two agree.

use crate::model::fault::Class;

/// What befalls a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scene {
    /// The program of the first container ends: exit code, the kubelet's reason, message.
    Ends(i32, &'static str, &'static str),
    /// The postStart hook of the first container fails.
    HookFails,
    /// The kubelet ends the whole Pod: reason and message.
    PodFails(&'static str, &'static str),
    /// Somebody deletes the Pod, announced under that reason.
    Deleted(Option<&'static str>),
    /// The Pod's node does not report any more.
    NodeSilent,
    /// The same, and somebody vouches that it is off.
    NodeOff,
    /// The Pod's node is removed from the cluster.
    NodeGone,
    /// From here on they befall a Pod that starts. A container waits: reason and message; `{image}` is its image.
    Waits(&'static str, &'static str),
    /// The scheduler finds no node: reason and message.
    Unscheduled(&'static str, &'static str),
    /// No scheduler looks at the Pod.
    Overlooked,
    /// The program runs, and never becomes Ready.
    Hangs,
    /// The kubelet does not take the Pod: reason and message.
    Rejected(&'static str, &'static str),
    /// The API server refuses to create the Pod: code, reason and message.
    Refused(u16, &'static str, &'static str),
}

impl Scene {
    /// The program ends with that code, and nothing more is said about it.
    pub(super) fn exit(code: i32) -> Self {
        Self::Ends(code, if code == 0 { "Completed" } else { "Error" }, "")
    }

    /// Whether it befalls a Pod that starts, and not one that runs.
    pub(super) fn is_of_start(self) -> bool {
        matches!(
            self,
            Self::Waits(..)
                | Self::Unscheduled(..)
                | Self::Overlooked
                | Self::Hangs
                | Self::Rejected(..)
                | Self::Refused(..)
        )
    }
}

const UNSCHEDULABLE: &str = "Unschedulable";
const IMAGE: &str = "ImagePullBackOff";
const CONFIG: &str = "CreateContainerConfigError";
const CREATE: &str = "CreateContainerError";
const RUN: &str = "RunContainerError";
const FORBIDDEN: &str = "Forbidden";

/// How a class is acted out, or why it cannot be.
pub(super) fn of(class: Class) -> Result<Scene, &'static str> {
    use Class as C;
    Ok(match class {
        C::AppExitedNonZero => Scene::exit(1),
        C::AppExitedZero => Scene::exit(0),
        C::AppSegfault => Scene::exit(139),
        C::AppAbort => Scene::exit(134),
        C::AppFatalSignal => Scene::exit(135),
        C::SigkillUnattributed => Scene::exit(137),
        C::SigtermUnattributed => Scene::exit(143),
        C::CommandExit127 => Scene::exit(127),
        C::CommandExit126 => Scene::exit(126),
        C::SeccompKilled => Scene::Ends(159, "seccomp killed", ""),
        C::PostStartHookFailed => Scene::HookFails,
        C::ActiveDeadlineExceeded => Scene::PodFails(
            "DeadlineExceeded",
            "Pod was active on the node longer than the specified deadline",
        ),
        C::StartDeadlineExceeded => Scene::Hangs,
        C::OomKilled => Scene::Ends(137, "OOMKilled", ""),
        C::OomKilledChild => Scene::Ends(1, "OOMKilled", ""),
        C::EphemeralStorageExceeded => Scene::PodFails(
            "Evicted",
            "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi.",
        ),
        C::EmptyDirSizeExceeded => Scene::PodFails(
            "Evicted",
            "Usage of EmptyDir volume \"scratch\" exceeds the limit \"1Gi\".",
        ),
        C::ContainerLost => Scene::Ends(255, "Unknown", ""),
        C::NodeUnreachable => Scene::NodeSilent,
        C::NodeOutOfService => Scene::NodeOff,
        C::DeletedByPodGC => Scene::NodeGone,
        C::NodeShutdown => Scene::PodFails(
            "Terminated",
            "Pod was terminated in response to imminent node shutdown.",
        ),
        C::NodePressureEviction => {
            Scene::PodFails("Evicted", "The node was low on resource: memory.")
        }
        C::PreemptedByKubelet => {
            Scene::PodFails("Preempting", "Preempted in order to admit critical pod")
        }
        C::Unknown => Scene::PodFails("", ""),
        C::ApiEviction => Scene::Deleted(Some("EvictionByEvictionAPI")),
        C::PreemptedByScheduler => Scene::Deleted(Some("PreemptionByScheduler")),
        C::TaintEviction => Scene::Deleted(Some("DeletionByTaintManager")),
        C::DeviceTaintEviction => Scene::Deleted(Some("DeletionByDeviceTaintManager")),
        C::DisruptionUnknown => Scene::Deleted(Some("DeletionBySomethingElse")),
        C::PodDeleted => Scene::Deleted(None),
        C::NodeNotReady => {
            return Err(
                "a node that is not Ready ends no Pod by itself; see TaintEviction and NodeUnreachable",
            );
        }
        C::NodeLost => return Err("only clusters of long ago show it; see NodeUnreachable"),
        other => return of_start(other),
    })
}

/// The classes of Pods that do not start.
fn of_start(class: Class) -> Result<Scene, &'static str> {
    use Class as C;
    Ok(match class {
        C::ImageNameInvalid => Scene::Waits(
            "InvalidImageName",
            "the image name {image} is not well formed",
        ),
        C::ImageNeverPull => Scene::Waits(
            "ErrImageNeverPull",
            "the image {image} is not on the node, and the pull policy is Never",
        ),
        C::ImageSignatureInvalid => Scene::Waits(
            "SignatureValidationFailed",
            "the signature of {image} is not valid",
        ),
        C::ImageInspectFailed => Scene::Waits(
            "ImageInspectError",
            "the image {image} could not be inspected",
        ),
        C::ImageNotFound => Scene::Waits(
            IMAGE,
            "Back-off pulling image \"{image}\": ErrImagePull: {image}: not found",
        ),
        C::ImageUnauthorized => {
            Scene::Waits(IMAGE, "ErrImagePull: unexpected status: 401 Unauthorized")
        }
        C::ImageNotFoundOrUnauthorized => Scene::Waits(IMAGE, "ErrImagePull: pull access denied"),
        C::ImageRateLimited => Scene::Waits(IMAGE, "ErrImagePull: 429 Too Many Requests"),
        C::RegistryHostNotFound => Scene::Waits(
            IMAGE,
            "ErrImagePull: dial tcp: lookup of the registry: no such host",
        ),
        C::RegistryUnavailable => {
            Scene::Waits(IMAGE, "ErrImagePull: dial tcp: connect: connection refused")
        }
        C::RegistryTlsUntrusted => Scene::Waits(
            IMAGE,
            "ErrImagePull: x509: certificate signed by unknown authority",
        ),
        C::ImagePlatformMismatch => {
            Scene::Waits(IMAGE, "ErrImagePull: no match for platform in manifest")
        }
        C::ImageNoSpace => Scene::Waits(IMAGE, "ErrImagePull: write: no space left on device"),
        C::ImagePullTimeout => Scene::Waits(IMAGE, "ErrImagePull: context deadline exceeded"),
        C::ImagePullFailed => Scene::Waits(IMAGE, "ErrImagePull: the pull failed"),
        C::ConfigMapMissing => Scene::Waits(CONFIG, "configmap \"settings\" not found"),
        C::SecretMissing => Scene::Waits(CONFIG, "secret \"credentials\" not found"),
        C::ConfigKeyMissing => Scene::Waits(
            CONFIG,
            "couldn't find key url in ConfigMap default/settings",
        ),
        C::RunAsNonRootViolation => Scene::Waits(
            CONFIG,
            "container has runAsNonRoot and image will run as root",
        ),
        C::ContainerConfigInvalid => Scene::Waits(CONFIG, "the configuration is not valid"),
        C::SubPathFailed => {
            Scene::Waits(CONFIG, "failed to prepare subPath for volumeMount \"data\"")
        }
        C::CommandNotFound => {
            Scene::Waits(RUN, "exec: \"serve\": executable file not found in $PATH")
        }
        C::CommandNotExecutable => Scene::Waits(RUN, "exec: \"/serve\": permission denied"),
        C::WorkingDirInvalid => Scene::Waits(RUN, "chdir to cwd (\"/srv\") failed"),
        C::MountTargetConflict => Scene::Waits(
            RUN,
            "error mounting \"/config\" to rootfs at \"/etc/app\": not a directory",
        ),
        C::SecurityProfileMissing => Scene::Waits(CREATE, "the seccomp profile cannot be loaded"),
        C::OomAtStart => Scene::Waits(RUN, "container init was OOM-killed (memory limit too low?)"),
        C::RuntimeUnavailable => Scene::Waits(
            RUN,
            "dial unix /run/containerd/containerd.sock: connect: connection refused",
        ),
        C::ContainerCreateTimeout => Scene::Waits(CREATE, "context deadline exceeded"),
        C::ContainerCreateFailed => Scene::Waits(CREATE, "the container could not be created"),
        C::OciStartFailed => Scene::Waits(RUN, "the container could not be started"),
        C::LifecycleHookCreateFailed => {
            Scene::Waits("PreStartHookError", "a hook of the kubelet failed")
        }
        C::NodeShutdownRejected => Scene::Rejected(
            "NodeShutdown",
            "Pod was rejected as the node is shutting down.",
        ),
        C::KubeletPressureRejected => Scene::Rejected(
            "Evicted",
            "Pod was rejected: The node had condition: [MemoryPressure].",
        ),
        C::KubeletOutOfResource => Scene::Rejected(
            "OutOfcpu",
            "Pod was rejected: Node didn't have enough resource: cpu",
        ),
        C::KubeletNodeAffinityRejected => Scene::Rejected(
            "NodeAffinity",
            "Pod was rejected: Predicate NodeAffinity failed",
        ),
        C::DeviceAllocationFailed => Scene::Rejected(
            "UnexpectedAdmissionError",
            "Pod was rejected: a device could not be allocated",
        ),
        C::TopologyAffinityRejected => Scene::Rejected(
            "TopologyAffinityError",
            "Pod was rejected: resources cannot be aligned",
        ),
        C::SysctlForbidden => {
            Scene::Rejected("SysctlForbidden", "Pod was rejected: a sysctl is forbidden")
        }
        C::AppArmorRejected => {
            Scene::Rejected("AppArmor", "Pod was rejected: cannot enforce AppArmor")
        }
        C::PodFeatureUnsupported => Scene::Rejected(
            "PodFeatureUnsupported",
            "Pod was rejected: the node lacks a feature",
        ),
        C::AttachLimitRejected => Scene::Rejected(
            "VolumeAttachmentLimitExceeded",
            "Pod was rejected: too many volumes",
        ),
        C::KubeletRejectedOther => {
            Scene::Rejected("UnknownReason", "Pod was rejected: for another reason")
        }
        other => return of_scheduler(other),
    })
}

/// The classes of Pods without a node, and of creates that are refused.
fn of_scheduler(class: Class) -> Result<Scene, &'static str> {
    use Class as C;
    let unscheduled = |message| Scene::Unscheduled(UNSCHEDULABLE, message);
    Ok(match class {
        C::InsufficientCpu => unscheduled("0/3 nodes are available: 3 Insufficient cpu."),
        C::InsufficientMemory => unscheduled("0/3 nodes are available: 3 Insufficient memory."),
        C::InsufficientEphemeralStorage => {
            unscheduled("0/3 nodes are available: 3 Insufficient ephemeral-storage.")
        }
        C::InsufficientExtendedResource => {
            unscheduled("0/3 nodes are available: 3 Insufficient example.com/gpu.")
        }
        C::TooManyPods => unscheduled("0/3 nodes are available: 3 Too many pods."),
        C::UntoleratedTaint => unscheduled(
            "0/3 nodes are available: 3 node(s) had untolerated taint {dedicated: batch}.",
        ),
        C::NodeSelectorMismatch => unscheduled(
            "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.",
        ),
        C::PodAffinityUnsatisfied => {
            unscheduled("0/3 nodes are available: 3 node(s) didn't match pod affinity rules.")
        }
        C::PodAntiAffinityConflict => {
            unscheduled("0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules.")
        }
        C::TopologySpreadUnsatisfiable => unscheduled(
            "0/3 nodes are available: 3 node(s) didn't match pod topology spread constraints.",
        ),
        C::HostPortConflict => unscheduled(
            "0/3 nodes are available: 3 node(s) didn't have free ports for the requested pod ports.",
        ),
        C::NodesCordoned => unscheduled("0/3 nodes are available: 3 node(s) were unschedulable."),
        C::NodeUnknownConditions => {
            unscheduled("0/3 nodes are available: 3 node(s) had unknown conditions.")
        }
        C::NoNodes => unscheduled("no nodes available to schedule pods"),
        C::NodeFeatureMissing => {
            unscheduled("0/3 nodes are available: 3 node(s) didn't match Pod's required features.")
        }
        C::GangWaiting => {
            unscheduled("waiting for 2 pods from a gang to appear in scheduling queue")
        }
        C::ResourceClaimUnschedulable => {
            unscheduled("0/3 nodes are available: 3 cannot allocate all claims.")
        }
        C::Unschedulable => unscheduled("0/3 nodes are available: 3 node(s) did not fit."),
        C::PvcMissing => {
            unscheduled("0/3 nodes are available: persistentvolumeclaim \"data\" not found.")
        }
        C::PvcUnbound => unscheduled(
            "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
        ),
        C::ClaimLost => {
            unscheduled("0/3 nodes are available: 3 pvc(s) bound to non-existent pv(s).")
        }
        C::VolumeNodeAffinityConflict => unscheduled(
            "0/3 nodes are available: 3 node(s) didn't match PersistentVolume's node affinity.",
        ),
        C::NoMatchingVolume => unscheduled(
            "0/3 nodes are available: 3 node(s) didn't find available persistent volumes to bind.",
        ),
        C::VolumeLimitExceeded => {
            unscheduled("0/3 nodes are available: 3 node(s) exceed max volume count.")
        }
        C::RwopConflict => unscheduled(
            "0/3 nodes are available: 3 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode already in-use by another pod.",
        ),
        C::SchedulingGated => Scene::Unscheduled(
            "SchedulingGated",
            "Scheduling is blocked due to non-empty scheduling gates",
        ),
        C::SchedulerError => Scene::Unscheduled("SchedulerError", "the scheduler failed"),
        C::SchedulerMissing => Scene::Overlooked,
        other => return of_api_server(other),
    })
}

/// The classes of creates that the API server refuses.
fn of_api_server(class: Class) -> Result<Scene, &'static str> {
    use Class as C;
    let forbidden = |message| Scene::Refused(403, FORBIDDEN, message);
    Ok(match class {
        C::QuotaExceeded => {
            forbidden("exceeded quota: team, requested: pods=1, used: pods=10, limited: pods=10")
        }
        C::QuotaRequiresResources => forbidden("failed quota: team: must specify limits.cpu"),
        C::QuotaStatusUnknown => forbidden("status unknown for quota: team"),
        C::LimitRangeViolation => forbidden("maximum cpu usage per Container is 1, but limit is 2"),
        C::PodSecurityViolation => {
            forbidden("violates PodSecurity \"restricted:latest\": privileged")
        }
        C::WebhookDenied => {
            forbidden("admission webhook \"policy.example.com\" denied the request: not allowed")
        }
        C::WebhookUnavailable => Scene::Refused(
            500,
            "InternalError",
            "failed calling webhook \"policy.example.com\": connection refused",
        ),
        C::ServiceAccountMissing => forbidden(
            "error looking up service account default/app: serviceaccount \"app\" not found",
        ),
        C::PriorityClassMissing => forbidden("no PriorityClass with name high was found"),
        C::RuntimeClassMissing => forbidden("pod rejected: RuntimeClass \"sandboxed\" not found"),
        C::NamespaceTerminating => forbidden(
            "unable to create new content in namespace default because it is being terminated",
        ),
        C::RbacForbidden => forbidden(
            "cannot create resource \"pods\" in API group \"\" in the namespace \"default\"",
        ),
        C::PodSpecInvalid => {
            Scene::Refused(422, "Invalid", "spec.containers[0].image: Required value")
        }
        C::NameCollision => Scene::Refused(
            409,
            "NameCollision",
            "the name is held by an object of somebody else",
        ),
        C::ApiConflict => Scene::Refused(409, "Conflict", "the object is being deleted"),
        C::ApiUnavailable => {
            Scene::Refused(503, "ServiceUnavailable", "the API server is overloaded")
        }
        C::ApiTimeout => Scene::Refused(
            504,
            "Timeout",
            "request did not complete within the allotted timeout",
        ),
        _ => return Err("nothing in a simulated cluster shows it"),
    })
}
