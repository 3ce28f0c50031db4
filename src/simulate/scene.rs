//! How each class of fault is acted out: what a cluster would show of it.
//!
//! Rule: a scene is evidence only. What it is called and what it means is left to [`crate::model::fault`]; a test asks
//! whether the two agree.

use crate::model::fault::Class;

#[cfg(test)]
mod document;
mod starting;

#[cfg(test)]
pub(crate) use document::document;

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
        other => return starting::of(other),
    })
}
