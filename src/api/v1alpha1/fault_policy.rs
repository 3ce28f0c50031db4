//! `faultPolicy`: which faults are treated otherwise than Coppice treats them by itself.
//!
//! Rule: the names of classes and families are those of the taxonomy in `src/model/fault`; a test there compares them.

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::rules;

/// Rules for faults, asked before the built-in ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FaultPolicy {
    /// rules are asked in order, and the first that matches decides. Those of a worker are asked before those of its
    /// supervisor, these before those of the supervisor above, the root's last; where none matches, the verdict on the
    /// class decides (`coppice faults --policy` prints that). At most 16.
    #[schemars(length(max = 16))]
    pub rules: Vec<FaultRule>,
}

/// What is done about some faults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = rules::only_restarts_are_charged())]
#[serde(rename_all = "camelCase")]
pub struct FaultRule {
    /// match says which faults the rule is for: those that fit every list that is given. At least one must be.
    #[serde(rename = "match")]
    pub matches: FaultMatch,

    /// action says what is done about such a fault.
    /// Restart: the replica is restarted as the strategy says, also where Coppice by itself would leave it alone.
    /// Hold: the replica is left as it is, for people to look at, until the template changes or the root's `retryAt` asks
    /// for it. Nothing is charged.
    /// Escalate: the supervisor gives up at once, whatever is left of its budget, as `onGiveUp` says.
    /// With a rule that does not restart, the kubelet restarts no container of the worker; Coppice does.
    pub action: FaultAction,

    /// charge says whether a restart counts for the window; only with `action: Restart`.
    /// Charged: it does, and repeated restarts are delayed by `backoff`.
    /// Exempt: it does not; repeated restarts are delayed by 1, 2, 4 … up to 300 seconds.
    /// Default Charged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "FaultCharge")]
    pub charge: Option<FaultCharge>,
}

/// Which faults a rule is for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = rules::something_is_matched())]
#[serde(rename_all = "camelCase")]
pub struct FaultMatch {
    /// classes of faults, for example OomKilled; `coppice faults` lists them. At most 64. Left out: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "some_classes")]
    pub classes: Vec<String>,

    /// families of faults, for example Image. At most 16. Left out: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "some_families")]
    pub families: Vec<String>,

    /// exitCodes are exit codes of the container whose fault it is, from 0 to 255. At most 32. Left out: any, also of
    /// faults without an exit code.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 32), inner(range(min = 0, max = 255)))]
    pub exit_codes: Vec<i32>,

    /// containers are names of containers, init containers and sidecars whose faults are meant. At most 16. Left out: any,
    /// also faults of the Pod as a whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 63)))]
    pub containers: Vec<String>,
}

/// What is done about a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FaultAction {
    /// Restarted as the strategy says.
    Restart,
    /// Left alone.
    Hold,
    /// The supervisor gives up.
    Escalate,
}

/// Whether a restart counts for the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FaultCharge {
    /// It does.
    #[default]
    Charged,
    /// It does not.
    Exempt,
}

fn some_classes(_: &mut SchemaGenerator) -> Schema {
    some_of(FAULT_CLASSES, 64)
}

fn some_families(_: &mut SchemaGenerator) -> Schema {
    some_of(FAULT_FAMILIES, 16)
}

/// A list of at least one of these names, and at most so many.
fn some_of(names: &[&str], most: u32) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": most,
        "items": {"type": "string", "enum": names},
    })
}

/// The classes that have a verdict, family by family: what a rule can name.
#[rustfmt::skip]
pub const FAULT_CLASSES: &[&str] = &[
    "AppExitedNonZero", "AppExitedZero", "AppSegfault", "AppAbort", "AppFatalSignal", "SigkillUnattributed",
    "SigtermUnattributed", "CommandExit127", "CommandExit126", "SeccompKilled", "PostStartHookFailed",
    "ActiveDeadlineExceeded", "StartDeadlineExceeded", "InitContainerStuck", "OomKilled", "OomKilledChild",
    "OomSuspected", "OomAtStart", "EphemeralStorageExceeded", "EmptyDirSizeExceeded", "ResizeInfeasible",
    "ResizeDeferred", "ResizeFailed", "ImageNameInvalid", "ImageNotFound", "ImageUnauthorized",
    "ImageNotFoundOrUnauthorized", "ImagePullSecretMissing", "ImageRateLimited", "RegistryHostNotFound",
    "RegistryUnavailable", "RegistryTlsUntrusted", "ImagePlatformMismatch", "ImageNeverPull", "ImageSignatureInvalid",
    "ImageInspectFailed", "ImageNoSpace", "ImagePullTimeout", "ImagePullFailed", "ImageVolumePullFailed",
    "ConfigMapMissing", "SecretMissing", "ConfigKeyMissing", "RunAsNonRootViolation", "ContainerConfigInvalid",
    "SubPathFailed", "CommandNotFound", "CommandNotExecutable", "WorkingDirInvalid", "MountTargetConflict",
    "SecurityProfileMissing", "LivenessProbeKilled", "StartupProbeKilled", "ReadinessProbeFailing",
    "ProbeMisconfigured", "ReadinessGateNotReady", "ReadinessUnknown", "InsufficientCpu", "InsufficientMemory",
    "InsufficientEphemeralStorage", "InsufficientExtendedResource", "TooManyPods", "UntoleratedTaint",
    "NodeSelectorMismatch", "PodAffinityUnsatisfied", "PodAntiAffinityConflict", "TopologySpreadUnsatisfiable",
    "HostPortConflict", "NodesCordoned", "NodeUnknownConditions", "NoNodes", "SchedulerError", "SchedulerMissing",
    "NodeNameMismatch", "GangWaiting", "ResourceClaimMissing", "ResourceClaimUnschedulable", "NodeFeatureMissing",
    "Unschedulable", "PvcMissing", "PvcUnbound", "StorageClassMissing", "ProvisioningFailed", "ClaimLost",
    "VolumeNodeAffinityConflict", "NoMatchingVolume", "VolumeLimitExceeded", "RwopConflict", "MultiAttach",
    "AttachFailed", "AttachLimitRejected", "MountFailed", "MountTimeout", "CsiDriverMissing", "HostPathInvalid",
    "FilesystemCorrupt", "ProjectedTokenFailed", "CniPluginFailed", "IpExhausted", "NetworkNotReady",
    "SandboxCreateTimeout", "SandboxImageFailed", "RuntimeHandlerMissing", "CgroupFailed", "NodeNotReady",
    "NodeUnreachable", "NodeNeverReported", "NodeRuntimeUnhealthy", "NodeNetworkUnavailable", "NodeRebooted",
    "ContainerLost", "DeletedByPodGC", "NodeShutdown", "NodeShutdownRejected", "NodeOutOfService", "NodeLost",
    "NodePressureEviction", "KubeletPressureRejected", "ApiEviction", "PreemptedByScheduler", "PreemptedByKubelet",
    "TaintEviction", "DeviceTaintEviction", "DisruptionUnknown", "PodDeleted", "StuckTerminating", "QuotaExceeded",
    "QuotaRequiresResources", "QuotaStatusUnknown", "LimitRangeViolation", "PodSecurityViolation", "WebhookDenied",
    "WebhookUnavailable", "ServiceAccountMissing", "PriorityClassMissing", "RuntimeClassMissing",
    "NamespaceTerminating", "RbacForbidden", "PodSpecInvalid", "NameCollision", "ApiConflict", "ApiUnavailable",
    "ApiTimeout", "KubeletOutOfResource", "KubeletNodeAffinityRejected", "DeviceAllocationFailed",
    "TopologyAffinityRejected", "SysctlForbidden", "AppArmorRejected", "PodFeatureUnsupported",
    "KubeletRejectedOther", "RuntimeUnavailable", "ContainerCreateTimeout", "ContainerCreateFailed", "OciStartFailed",
    "KillFailed", "LifecycleHookCreateFailed", "DeviceUnhealthy", "DraPrepareFailed", "StartStuck", "Unknown",
];

/// The families of classes.
#[rustfmt::skip]
pub const FAULT_FAMILIES: &[&str] = &[
    "Application", "Resources", "Image", "Configuration", "Probe", "Scheduling", "Volume", "Network", "Node", "Disruption", "Admission", "Runtime", "Rollout", "Rest",
];
