//! The classes of Pods that do not start: images, configuration, the scheduler, the kubelet, refused creates.
//!
//! Rule: the words are those that the components use, as far as identification looks at them.

use super::Scene;
use crate::model::fault::Class;

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
        other => return of_containers(other),
    })
}

/// The classes of containers that cannot be made, and of Pods that the kubelet does not take.
fn of_containers(class: Class) -> Result<Scene, &'static str> {
    use Class as C;
    Ok(match class {
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
            "Pod was rejected: Allocate failed due to no healthy devices present, which is unexpected",
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
        C::NodeNameMismatch => {
            unscheduled("0/3 nodes are available: 3 node(s) didn't match the requested node name.")
        }
        C::ResourceClaimMissing => {
            unscheduled("waiting for resourceclaim.resource.k8s.io \"gpu\" not found")
        }
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
        _ => return Err("a simulated cluster has no Events, and shows nothing of it"),
    })
}
