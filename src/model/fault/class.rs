//! The classes of faults: their names, what they mean for the tree, and the reasons of their Events.
//!
//! Rule: a name says the cause; a state such as `CrashLoopBackOff`, `ImagePullBackOff`, Error or Pending is
//! never a class.

use std::fmt;

use super::Verdict;

/// Declares every class once: its name, its verdict and what it stands for.
macro_rules! classes {
    ($($(#[doc = $doc:literal])+ $name:ident => $verdict:ident,)+) => {
        /// What a fault is. The names are those of the fault taxonomy in the documentation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Class {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Class {
            /// Every class, in the order of the taxonomy.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The name, as it stands in statuses, metrics and logs.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }

            /// The reason of the Event on the tree: `Child` and the name.
            pub const fn event_reason(self) -> &'static str {
                match self {
                    $(Self::$name => concat!("Child", stringify!($name)),)+
                }
            }

            /// What it stands for, in whole sentences, for people.
            #[cfg(test)]
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),+).trim_ascii(),)+
                }
            }

            /// What the class means for the tree unless the evidence says more, see [`super::Fault::verdict`].
            pub const fn verdict(self) -> Verdict {
                match self {
                    $(Self::$name => Verdict::$verdict,)+
                }
            }
        }
    };
}

classes! {
    // The program itself.
    /// The program ended with an exit code that says failure.
    AppExitedNonZero => Application,
    /// The program ended with exit code 0. Whether that is a fault depends on the restart type.
    AppExitedZero => Application,
    /// The program was ended by SIGSEGV.
    AppSegfault => Application,
    /// The program ended itself with SIGABRT: a failed assertion, `abort()`, a panic.
    AppAbort => Application,
    /// The program was ended by another signal that a program causes itself, for example SIGBUS.
    AppFatalSignal => Application,
    /// SIGKILL, and nothing says who sent it.
    SigkillUnattributed => Unknown,
    /// SIGTERM or SIGINT, and nothing says who sent it.
    SigtermUnattributed => Unknown,
    /// The program's shell did not find a command. Held from the second time on in one Pod, because a
    /// script may also say so for a reason that passes.
    CommandExit127 => Hold,
    /// The program's shell could not execute a command. Held like [`Class::CommandExit127`].
    CommandExit126 => Hold,
    /// The runtime's seccomp filter killed the program.
    SeccompKilled => Hold,
    /// The postStart hook failed, and the kubelet killed the container.
    PostStartHookFailed => Application,
    /// The Pod ran longer than its `activeDeadlineSeconds`.
    ActiveDeadlineExceeded => Application,
    /// The containers ran for `startDeadlineSeconds` without the replica having started.
    StartDeadlineExceeded => Application,

    // Resources.
    /// The container was killed for exceeding its memory limit.
    OomKilled => Application,
    /// A process of the container was killed for memory; the program itself ended otherwise.
    OomKilledChild => Application,
    /// The container was killed for memory before its program ran: the limit is too low.
    OomAtStart => Hold,
    /// The Pod was evicted for exceeding its own limit of ephemeral storage.
    EphemeralStorageExceeded => Application,
    /// The Pod was evicted for exceeding the size limit of an emptyDir.
    EmptyDirSizeExceeded => Application,

    // Image.
    /// The image reference is not well formed.
    ImageNameInvalid => Hold,
    /// The registry does not have the image.
    ImageNotFound => Hold,
    /// The registry refuses to hand out the image.
    ImageUnauthorized => Hold,
    /// The registry does not say whether the image is missing or access to it.
    ImageNotFoundOrUnauthorized => Hold,
    /// The registry limits the rate of pulls.
    ImageRateLimited => Wait,
    /// The registry's host name does not resolve.
    RegistryHostNotFound => Hold,
    /// The registry cannot be reached, or fails.
    RegistryUnavailable => Wait,
    /// The registry's certificate is not trusted.
    RegistryTlsUntrusted => Hold,
    /// The image does not exist for the platform of the node.
    ImagePlatformMismatch => Hold,
    /// The image is not on the node, and the pull policy is Never.
    ImageNeverPull => Hold,
    /// The signature of the image is not valid.
    ImageSignatureInvalid => Hold,
    /// The runtime could not inspect the image.
    ImageInspectFailed => Infrastructure,
    /// The node has no space for the image.
    ImageNoSpace => Infrastructure,
    /// Pulling the image took too long.
    ImagePullTimeout => Infrastructure,
    /// The image cannot be pulled, and the kubelet does not say why. Held, as every fault of an image is.
    ImagePullFailed => Hold,

    // Configuration.
    /// A `ConfigMap` that the Pod names does not exist.
    ConfigMapMissing => Hold,
    /// A Secret that the Pod names does not exist.
    SecretMissing => Hold,
    /// A key that the Pod names is not in its `ConfigMap` or Secret.
    ConfigKeyMissing => Hold,
    /// The image runs as root, and the Pod forbids it.
    RunAsNonRootViolation => Hold,
    /// The kubelet cannot build the container's configuration.
    ContainerConfigInvalid => Hold,
    /// A subPath cannot be prepared.
    SubPathFailed => Hold,
    /// The image does not have the container's command.
    CommandNotFound => Hold,
    /// The container's command may not be executed.
    CommandNotExecutable => Hold,
    /// The container's working directory cannot be entered.
    WorkingDirInvalid => Hold,
    /// A volume cannot be mounted at its place in the container.
    MountTargetConflict => Hold,
    /// The node does not have the seccomp or `AppArmor` profile.
    SecurityProfileMissing => Hold,

    // Scheduling.
    /// No node has enough CPU left.
    InsufficientCpu => Wait,
    /// No node has enough memory left.
    InsufficientMemory => Wait,
    /// No node has enough ephemeral storage left.
    InsufficientEphemeralStorage => Wait,
    /// No node has enough of an extended resource left.
    InsufficientExtendedResource => Wait,
    /// No node takes more Pods.
    TooManyPods => Wait,
    /// The Pod does not tolerate the taints of the nodes.
    UntoleratedTaint => Wait,
    /// No node matches the Pod's node selector or affinity.
    NodeSelectorMismatch => Hold,
    /// No node runs the Pods that this one wants to be near.
    PodAffinityUnsatisfied => Wait,
    /// Every node runs Pods that this one must not be near.
    PodAntiAffinityConflict => Wait,
    /// No node keeps the Pod's topology spread constraints.
    TopologySpreadUnsatisfiable => Wait,
    /// No node has the Pod's host ports free.
    HostPortConflict => Wait,
    /// The nodes are cordoned.
    NodesCordoned => Wait,
    /// The nodes are not Ready or not reachable.
    NodeUnknownConditions => Wait,
    /// The cluster has no nodes.
    NoNodes => Wait,
    /// The Pod has scheduling gates.
    SchedulingGated => Wait,
    /// The scheduler failed.
    SchedulerError => Wait,
    /// No scheduler has looked at the Pod.
    SchedulerMissing => Hold,
    /// The Pod waits for the rest of its gang.
    GangWaiting => Wait,
    /// The Pod's resource claims cannot be allocated.
    ResourceClaimUnschedulable => Wait,
    /// No node has the features that the Pod needs.
    NodeFeatureMissing => Hold,
    /// The Pod is not schedulable for a reason that we do not know.
    Unschedulable => Wait,

    // Volumes.
    /// A claim that the Pod names does not exist.
    PvcMissing => Hold,
    /// A claim of the Pod is not bound.
    PvcUnbound => Wait,
    /// A claim of the Pod is bound to a volume that does not exist any more.
    ClaimLost => Hold,
    /// The Pod's volume can only be reached from other nodes.
    VolumeNodeAffinityConflict => Wait,
    /// No volume matches a claim of the Pod.
    NoMatchingVolume => Wait,
    /// The nodes have as many volumes as they can have.
    VolumeLimitExceeded => Wait,
    /// The volume may be used by one Pod only and another one uses it.
    RwopConflict => Wait,
    /// The kubelet refused the Pod because the node has as many volumes as it can have.
    AttachLimitRejected => Infrastructure,

    // Nodes.
    /// The node is not Ready.
    NodeNotReady => Infrastructure,
    /// The node does not report.
    NodeUnreachable => Infrastructure,
    /// The runtime lost the container: the node or the runtime was restarted.
    ContainerLost => Infrastructure,
    /// The Pod's node does not exist any more.
    DeletedByPodGC => Infrastructure,
    /// The node was shut down.
    NodeShutdown => Infrastructure,
    /// The kubelet refused the Pod because the node is shutting down.
    NodeShutdownRejected => Infrastructure,
    /// Somebody vouched that the node is off.
    NodeOutOfService => Infrastructure,
    /// The node does not report, as old clusters say it.
    NodeLost => Infrastructure,

    // Eviction and disruption.
    /// The kubelet evicted the Pod because the node ran out of something.
    NodePressureEviction => Infrastructure,
    /// The kubelet refused the Pod because the node is running out of something.
    KubeletPressureRejected => Infrastructure,
    /// Somebody evicted the Pod, for example a drain.
    ApiEviction => Infrastructure,
    /// The scheduler deleted the Pod for one of higher priority.
    PreemptedByScheduler => Infrastructure,
    /// The kubelet ended the Pod for a critical one.
    PreemptedByKubelet => Infrastructure,
    /// A taint of the node ended the Pod.
    TaintEviction => Infrastructure,
    /// A taint of a device ended the Pod.
    DeviceTaintEviction => Infrastructure,
    /// Something else that announces itself ended the Pod.
    DisruptionUnknown => Infrastructure,
    /// Somebody deleted the Pod.
    PodDeleted => Infrastructure,

    // Refused creates.
    /// The namespace's quota is used up.
    QuotaExceeded => Wait,
    /// The namespace's quota demands requests or limits that the template does not state.
    QuotaRequiresResources => Hold,
    /// The namespace's quota has not been counted yet.
    QuotaStatusUnknown => Wait,
    /// The template is outside the namespace's `LimitRange`.
    LimitRangeViolation => Hold,
    /// The template violates the namespace's Pod security standard.
    PodSecurityViolation => Hold,
    /// An admission webhook, policy or plugin said no.
    WebhookDenied => Hold,
    /// An admission webhook cannot be called.
    WebhookUnavailable => Infrastructure,
    /// The template's service account does not exist.
    ServiceAccountMissing => Hold,
    /// The template's priority class does not exist.
    PriorityClassMissing => Hold,
    /// The template's runtime class does not exist.
    RuntimeClassMissing => Hold,
    /// The namespace is being deleted.
    NamespaceTerminating => Hold,
    /// Coppice lacks a permission.
    RbacForbidden => Hold,
    /// The API server says that the object is not valid.
    PodSpecInvalid => Hold,
    /// The name is held by an object that is not ours.
    NameCollision => Hold,
    /// Another write came first, or the old object is still there.
    ApiConflict => Infrastructure,
    /// The API server cannot be reached, is overloaded or failed.
    ApiUnavailable => Infrastructure,
    /// The API server took too long.
    ApiTimeout => Infrastructure,

    // Refused by the kubelet.
    /// The node did not have the resources that the scheduler counted on.
    KubeletOutOfResource => Infrastructure,
    /// The node does not match the Pod any more.
    KubeletNodeAffinityRejected => Infrastructure,
    /// The node could not allocate a device.
    DeviceAllocationFailed => Infrastructure,
    /// The node could not align the Pod's resources.
    TopologyAffinityRejected => Infrastructure,
    /// The node forbids a sysctl of the Pod.
    SysctlForbidden => Hold,
    /// The node cannot enforce the Pod's `AppArmor` profile.
    AppArmorRejected => Hold,
    /// The node does not have a feature that the Pod needs.
    PodFeatureUnsupported => Hold,
    /// The kubelet refused the Pod for another reason.
    KubeletRejectedOther => Infrastructure,

    // Runtime.
    /// The container runtime does not answer.
    RuntimeUnavailable => Infrastructure,
    /// The container runtime took too long to create the container.
    ContainerCreateTimeout => Infrastructure,
    /// The container runtime cannot create the container.
    ContainerCreateFailed => Hold,
    /// The container runtime could not start the container, for a reason that we do not know. Charged,
    /// because it may pass.
    OciStartFailed => Unknown,
    /// A hook of the kubelet itself failed before the container was started.
    LifecycleHookCreateFailed => Infrastructure,

    // The rest.
    /// Nothing that we know fits.
    Unknown => Unknown,
}

impl Class {
    /// Whether it says how the program ended, and nothing of anybody who made it end.
    pub fn is_own_end(self) -> bool {
        matches!(
            self,
            Self::AppExitedZero
                | Self::AppExitedNonZero
                | Self::AppSegfault
                | Self::AppAbort
                | Self::AppFatalSignal
                | Self::CommandExit126
                | Self::CommandExit127
                | Self::SigkillUnattributed
                | Self::SigtermUnattributed
        )
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_class_has_its_own_name() {
        let names: BTreeSet<&str> = Class::ALL.iter().map(|class| class.as_str()).collect();
        assert_eq!(names.len(), Class::ALL.len());
    }

    #[test]
    fn event_reasons_are_legal_and_specific() {
        for class in Class::ALL {
            let reason = class.event_reason();
            assert_eq!(reason, format!("Child{class}"));
            assert!(
                reason.len() <= 128,
                "{reason} is longer than an Event's reason may be"
            );
        }
    }

    #[test]
    fn a_state_is_never_a_class() {
        let overlays = [
            "CrashLoopBackOff",
            "ImagePullBackOff",
            "ErrImagePull",
            "Error",
            "Pending",
            "Failed",
        ];
        assert!(
            Class::ALL
                .iter()
                .all(|class| !overlays.contains(&class.as_str()))
        );
    }

    #[test]
    fn verdicts_that_decide_about_charges() {
        let table = [
            (Class::AppExitedNonZero, Verdict::Application),
            (Class::AppExitedZero, Verdict::Application),
            (Class::SigkillUnattributed, Verdict::Unknown),
            (Class::OomKilled, Verdict::Application),
            (Class::ImageNotFound, Verdict::Hold),
            (Class::ConfigMapMissing, Verdict::Hold),
            (Class::InsufficientCpu, Verdict::Wait),
            (Class::QuotaExceeded, Verdict::Wait),
            (Class::PodSecurityViolation, Verdict::Hold),
            (Class::NodePressureEviction, Verdict::Infrastructure),
            (Class::PodDeleted, Verdict::Infrastructure),
            (Class::StartDeadlineExceeded, Verdict::Application),
            (Class::Unknown, Verdict::Unknown),
        ];
        for (class, verdict) in table {
            assert_eq!(class.verdict(), verdict, "{class}");
        }
    }
}
