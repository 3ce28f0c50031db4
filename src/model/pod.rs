//! A Pod as the core sees it: the facts that decisions rest on, and nothing else.
//!
//! Rule: a view holds what the API server said, not what we make of it.

use std::sync::Arc;

use jiff::Timestamp;

mod image;
mod rare;
mod spec;

pub use image::ImageMark;
pub use rare::{DeviceView, RareView};
pub use spec::{ContainerSpecView, ImageVolumeView, MOST_SECONDS, PodSpecView, ProbeView};

/// The facts of one Pod of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodView {
    /// Name of the Pod.
    pub name: String,
    /// UID of the Pod: what every record of a life is keyed by.
    pub uid: String,
    /// Version of the object that this view shows.
    pub resource_version: String,
    /// UID of the controlling owner, empty when there is none.
    pub owner_uid: String,
    /// Label `coppice.dev/child`.
    pub child: String,
    /// Label `coppice.dev/slot`; −1 when it is missing or not a number.
    pub slot: i32,
    /// Label `coppice.dev/revision`.
    pub revision: String,
    /// Node that the Pod is bound to.
    pub node: Option<String>,
    /// When the Pod was created.
    pub created: Timestamp,
    /// `deletionTimestamp`: somebody asked for the Pod to stop; it is the end of its grace period.
    pub deletion: Option<Timestamp>,
    /// `deletionGracePeriodSeconds`, to find out when the delete was asked for.
    pub deletion_grace_seconds: Option<i64>,
    /// Phase.
    pub phase: PodPhase,
    /// `status.reason`, for example Evicted.
    pub reason: Option<String>,
    /// `status.message`.
    pub message: Option<String>,
    /// Label `coppice.dev/incarnation`; 1 when it is missing or not a number.
    pub incarnation: i64,
    /// Which ended containers of this Pod the kubelet restarts.
    pub restart_policy: RestartPolicy,
    /// Conditions.
    pub conditions: Vec<PodCondition>,
    /// App containers. The order is that of the status.
    pub containers: Vec<ContainerView>,
    /// Init containers, sidecars included.
    pub init_containers: Vec<ContainerView>,
    /// Whether its status tells of its present spec, as far as the kubelet says which one it tells of.
    pub is_observed: bool,
    /// What its spec says that may explain a fault; empty when that is not known.
    pub spec: Arc<PodSpecView>,
    /// What the statuses of few Pods say, for example of devices; `None` when it says nothing of the kind.
    pub rare: Option<Box<RareView>>,
}

/// Which ended containers the kubelet restarts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RestartPolicy {
    /// All.
    #[default]
    Always,
    /// Those that did not end with 0.
    OnFailure,
    /// None.
    Never,
}

impl RestartPolicy {
    /// The word as it stands in a Pod.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::OnFailure => "OnFailure",
            Self::Never => "Never",
        }
    }

    /// The policy of that name; the one that Kubernetes takes for granted when there is no such.
    pub fn of(name: &str) -> Self {
        let all = [Self::Always, Self::OnFailure, Self::Never];
        all.into_iter()
            .find(|policy| policy.as_str() == name)
            .unwrap_or_default()
    }
}

/// Phase of a Pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PodPhase {
    /// Not all containers were started yet.
    #[default]
    Pending,
    /// At least one container runs or is being restarted.
    Running,
    /// All containers ended cleanly and will not be restarted.
    Succeeded,
    /// All containers ended, at least one of them not cleanly, or the kubelet refused or evicted the Pod.
    Failed,
    /// The node could not be asked.
    Unknown,
}

/// The conditions of a Pod that decisions rest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodConditionType {
    /// The Pod can serve requests.
    Ready,
    /// A node was found for it.
    PodScheduled,
    /// It is about to be ended by a disruption.
    DisruptionTarget,
    /// A change of its resources waits.
    PodResizePending,
    /// A change of its resources is under way.
    PodResizeInProgress,
}

impl PodConditionType {
    /// The type of that name; `None` when no decision rests on it.
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "Ready" => Some(Self::Ready),
            "PodScheduled" => Some(Self::PodScheduled),
            "DisruptionTarget" => Some(Self::DisruptionTarget),
            "PodResizePending" => Some(Self::PodResizePending),
            "PodResizeInProgress" => Some(Self::PodResizeInProgress),
            _ => None,
        }
    }

    /// The name that Kubernetes gives it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::PodScheduled => "PodScheduled",
            Self::DisruptionTarget => "DisruptionTarget",
            Self::PodResizePending => "PodResizePending",
            Self::PodResizeInProgress => "PodResizeInProgress",
        }
    }
}

/// One condition of a Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodCondition {
    /// Type.
    pub type_: PodConditionType,
    /// True only when the status is `True`.
    pub is_true: bool,
    /// Reason, empty when there is none.
    pub reason: String,
    /// Message, empty when there is none.
    pub message: String,
    /// When the status last changed.
    pub changed: Option<Timestamp>,
}

/// One container of a Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerView {
    /// Name of the container.
    pub name: String,
    /// Whether its ends count: an app container of the template that the Pod was made from, or an init
    /// container that is not a sidecar.
    pub judged: bool,
    /// Current state.
    pub state: ContainerState,
    /// How its run before the current one ended.
    pub last: Option<Termination>,
    /// How often the kubelet restarted it.
    pub restarts: i64,
    /// Whether it is ready.
    pub ready: bool,
    /// The image that it runs, or ran last.
    pub image: ImageMark,
}

/// Current state of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerState {
    /// Not running, with the kubelet's reason and message (empty when not reported).
    Waiting {
        /// Reason, for example ImagePullBackOff.
        reason: String,
        /// Message.
        message: String,
    },
    /// Running.
    Running {
        /// Since when.
        since: Option<Timestamp>,
    },
    /// Ended.
    Terminated(Termination),
}

/// How a run of a container ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Termination {
    /// Exit code.
    pub exit_code: i32,
    /// Signal, when the runtime reports one.
    pub signal: Option<i32>,
    /// Reason, for example OOMKilled, Error, Completed.
    pub reason: String,
    /// Message, for example what the container wrote to its termination log.
    pub message: String,
    /// When the run started.
    pub started: Option<Timestamp>,
    /// When the run ended.
    pub finished: Option<Timestamp>,
}

/// A run this long makes the kubelet forget earlier restarts, in seconds.
const FORGETS_AFTER_SECONDS: i64 = 600;

impl Termination {
    /// Whether the run lasted at least that many seconds.
    fn ran_for(&self, seconds: i64) -> bool {
        match (self.started, self.finished) {
            (Some(from), Some(to)) => to.as_second() - from.as_second() >= seconds,
            _ => false,
        }
    }
}

impl PodView {
    /// The condition of that type.
    pub fn condition(&self, type_: PodConditionType) -> Option<&PodCondition> {
        self.conditions.iter().find(|c| c.type_ == type_)
    }

    /// Whether the Pod is Ready now.
    pub fn is_ready(&self) -> bool {
        self.condition(PodConditionType::Ready)
            .is_some_and(|c| c.is_true)
    }

    /// Whether all its containers have ended for good.
    pub fn is_terminal(&self) -> bool {
        matches!(self.phase, PodPhase::Succeeded | PodPhase::Failed)
    }

    /// Whether every container has ended and nobody starts one again: the kubelet stops what runs beside them, and will
    /// tell in a moment that the Pod is over.
    pub fn is_spent(&self) -> bool {
        let has_ended = |c: &ContainerView| match &c.state {
            ContainerState::Terminated(end) => match self.restart_policy {
                RestartPolicy::Never => true,
                RestartPolicy::OnFailure => end.exit_code == 0,
                RestartPolicy::Always => false,
            },
            _ => false,
        };
        !self.containers.is_empty() && self.containers.iter().all(has_ended)
    }

    /// Whether its last run that ended was under way at that time, or ended just then.
    pub fn was_running_at(&self, time: Timestamp) -> bool {
        let mut ends = self.judged().filter_map(ContainerView::last_end);
        ends.any(|end| {
            end.started.is_some_and(|started| started <= time)
                && end.finished.is_some_and(|finished| time <= finished)
        })
    }

    /// When a Pod that is over came to its end, as far as it says so.
    pub fn ended_at(&self) -> Timestamp {
        let ends = self
            .containers
            .iter()
            .filter_map(|c| c.last_end()?.finished);
        let changes = self.conditions.iter().filter_map(|c| c.changed);
        ends.chain(changes).max().unwrap_or(self.created)
    }

    /// Whether somebody asked for the Pod to stop.
    pub fn is_deleting(&self) -> bool {
        self.deletion.is_some()
    }

    /// When the delete was asked for.
    pub fn deletion_requested(&self) -> Option<Timestamp> {
        let end = self.deletion?;
        let grace = jiff::SignedDuration::from_secs(self.deletion_grace_seconds.unwrap_or(0));
        Some(end.checked_sub(grace).unwrap_or(end))
    }

    /// The containers whose ends are deaths.
    pub fn judged(&self) -> impl Iterator<Item = &ContainerView> {
        self.containers.iter().filter(|c| c.judged)
    }

    /// Whether a container of that name is one whose ends are no deaths: a sidecar, or one that was added by others.
    pub fn is_beside(&self, name: &str) -> bool {
        let mut all = self.containers.iter().chain(&self.init_containers);
        all.any(|container| container.name == name && !container.judged)
    }

    /// Whether all containers whose ends are deaths run. Of a Pod that has just been made nothing is known yet, and none
    /// of its containers is listed.
    pub fn runs(&self) -> bool {
        let mut judged = self.judged().peekable();
        judged.peek().is_some() && judged.all(ContainerView::is_running)
    }

    /// Whether an init container has failed and no new run of it has begun.
    pub fn init_failed(&self) -> bool {
        self.judged_inits().any(ContainerView::has_failed)
    }

    /// Whether the kubelet restarts containers of this Pod at all.
    pub fn kubelet_restarts(&self) -> bool {
        self.restart_policy != RestartPolicy::Never
    }

    /// Whether the kubelet waits before it restarts a container that counts. An init container that has succeeded
    /// is not restarted, nor is one of a Pod that runs until it has succeeded.
    pub fn is_crash_looping(&self) -> bool {
        let mut inits = self.judged_inits().filter(|c| c.has_failed());
        let always = self.restart_policy == RestartPolicy::Always;
        let mut apps = self.judged().filter(|c| always || c.has_failed());
        apps.any(ContainerView::is_backing_off) || inits.any(ContainerView::is_backing_off)
    }

    /// How many runs of judged app containers have ended so far.
    pub fn ended_runs(&self) -> i64 {
        self.judged().map(ContainerView::ended_runs).sum()
    }

    /// How many runs of judged init containers have failed so far: each is a start that failed. `None` once an app
    /// was restarted: then the kubelet may have made the Pod's sandbox anew and repeated those that succeeded, so
    /// that their number says nothing any more.
    pub fn failed_inits(&self) -> Option<i64> {
        let apps_were_restarted = self.judged().any(|c| c.restarts > 0 || c.last.is_some());
        (!apps_were_restarted).then(|| self.judged_inits().map(ContainerView::failed_runs).sum())
    }

    fn judged_inits(&self) -> impl Iterator<Item = &ContainerView> {
        self.init_containers.iter().filter(|c| c.judged)
    }
}

impl ContainerView {
    /// How many runs of this container have ended. A container that waits after a run, for example in
    /// CrashLoopBackOff, has `restarts + 1` ended runs, because the kubelet counts a restart only when
    /// it makes one.
    pub fn ended_runs(&self) -> i64 {
        self.restarts + i64::from(self.end().is_some())
    }

    /// How many runs of this init container have failed: as long as no app was restarted, the kubelet restarts
    /// it only after a failure.
    pub fn failed_runs(&self) -> i64 {
        self.restarts + i64::from(self.has_failed())
    }

    /// Whether its current run has failed.
    pub fn has_failed(&self) -> bool {
        self.end().is_some_and(|end| end.exit_code != 0)
    }

    /// How the current run ended, when no new one has begun.
    pub fn end(&self) -> Option<&Termination> {
        match &self.state {
            ContainerState::Terminated(end) => Some(end),
            ContainerState::Waiting { .. } => self.last.as_ref(),
            ContainerState::Running { .. } => None,
        }
    }

    /// How the last run that ended did end.
    pub fn last_end(&self) -> Option<&Termination> {
        self.end().or(self.last.as_ref())
    }

    /// Since when it has been running.
    pub fn running_since(&self) -> Option<Timestamp> {
        match &self.state {
            ContainerState::Running { since } => *since,
            _ => None,
        }
    }

    /// Whether it is running now.
    pub fn is_running(&self) -> bool {
        matches!(self.state, ContainerState::Running { .. })
    }

    /// Whether the kubelet waits before it restarts this container. It says so only with its next look at
    /// the Pod, up to ten seconds later; until then a container that ended again after a restart shows
    /// as terminated. A run of ten minutes makes the kubelet forget, and restart at once.
    pub fn is_backing_off(&self) -> bool {
        let ended_again = match &self.state {
            ContainerState::Terminated(end) => {
                self.restarts > 0 && !end.ran_for(FORGETS_AFTER_SECONDS)
            }
            _ => false,
        };
        ended_again || self.waits_with("CrashLoopBackOff")
    }

    /// Whether it waits to be created for the first time.
    pub fn is_in_the_making(&self) -> bool {
        let ContainerState::Waiting { reason, .. } = &self.state else {
            return false;
        };
        let is_plain = matches!(
            reason.as_str(),
            "" | "ContainerCreating" | "PodInitializing"
        );
        is_plain && self.last.is_none()
    }

    /// Whether it waits with that reason.
    pub fn waits_with(&self, wanted: &str) -> bool {
        matches!(&self.state, ContainerState::Waiting { reason, .. } if reason == wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(restarts: i64, seconds: i64) -> ContainerView {
        let at = |second| Timestamp::from_second(second).ok();
        ContainerView {
            name: "app".into(),
            judged: true,
            state: ContainerState::Terminated(Termination {
                exit_code: 1,
                started: at(1000),
                finished: at(1000 + seconds),
                ..Termination::default()
            }),
            last: None,
            restarts,
            ready: false,
            image: ImageMark::default(),
        }
    }

    #[test]
    fn an_init_container_has_failed_until_it_runs_again() {
        let failed = |init: ContainerView| {
            let pod = crate::model::fault::testing::pod("p").but(|pod| {
                pod.init_containers = vec![init];
            });
            pod.build().init_failed()
        };
        assert!(failed(ended(0, 5)));
        let mut again = ended(1, 5);
        again.state = ContainerState::Running {
            since: Timestamp::from_second(2000).ok(),
        };
        assert!(!failed(again));
        let mut of_another = ended(0, 5);
        of_another.judged = false;
        assert!(!failed(of_another));
    }

    #[test]
    fn a_condition_type_has_the_name_that_kubernetes_gives_it() {
        use PodConditionType::{DisruptionTarget, PodScheduled, Ready};
        let names = ["Ready", "PodScheduled", "DisruptionTarget", "Initialized"];
        assert_eq!(
            names.map(PodConditionType::of),
            [
                Some(Ready),
                Some(PodScheduled),
                Some(DisruptionTarget),
                None
            ]
        );
    }

    #[test]
    fn a_pod_of_which_nothing_is_known_yet_does_not_run() {
        let with = |containers: Vec<ContainerView>| {
            let pod = crate::model::fault::testing::pod("p").but(|pod| pod.containers = containers);
            pod.build().runs()
        };
        let running = ContainerView {
            state: ContainerState::Running { since: None },
            ..ended(0, 1)
        };
        let added = ContainerView {
            judged: false,
            ..running.clone()
        };
        assert!(with(vec![running.clone()]));
        assert!(!with(vec![running, ended(0, 1)]));
        assert!(!with(vec![]), "as the API server answers a create");
        assert!(!with(vec![added]));
    }

    #[test]
    fn a_container_that_ended_again_is_backing_off_before_the_kubelet_says_so() {
        assert!(
            !ended(0, 1).is_backing_off(),
            "the first restart is immediate"
        );
        assert!(ended(1, 1).is_backing_off());
        assert!(
            !ended(1, 600).is_backing_off(),
            "after a long run it is immediate again"
        );
    }
}
