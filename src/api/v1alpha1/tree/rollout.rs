//! How a tree goes from one revision of its templates to the next.
//!
//! Rule: what a single worker goes through is said at the worker (`update`), and not here.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the tree goes from one revision to the next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutSettings {
    /// order says in which order workers get changed templates.
    /// Ordered: in start order; the next one when the one before is updated, available, and has been for its
    /// `update.minReadySeconds`.
    /// Parallel: all at once.
    /// Default Ordered.
    #[serde(default)]
    pub order: RolloutOrder,

    /// paused freezes the rollout at once: no replica gets another template until it is false again. What dies meanwhile is
    /// started again with the template that it had. The time does not count for `progressDeadlineSeconds`. A first start is no
    /// rollout. Default false.
    #[serde(default)]
    pub paused: bool,

    /// onFailure says what becomes of a rollout that fails: the API server would refuse a Pod of a changed template, one of its new
    /// Pods has a fault that restarting cannot help (one that misses a ConfigMap, Secret, key, claim, resource claim, service
    /// account, pull secret, priority class or runtime class: for 30 seconds), they have `maxFaults` application faults
    /// together, a supervisor gives up or a slot is parked because of one, or nothing more becomes updated and available for
    /// `progressDeadlineSeconds`. Where Pods of
    /// the former revision have the same fault, the rollout is paused, whatever is said here; where there is no former
    /// revision that was proved good, nothing is done.
    /// RollBack: the tree is taken back to the last good revision, in reverse order. The spec is not edited.
    /// Pause: the rollout stays where it is until a template is changed, `retryAt` says so, or this is made RollBack.
    /// None: it goes on.
    /// Default RollBack.
    #[serde(default)]
    pub on_failure: RolloutFailurePolicy,

    /// maxFaults is how many application faults of its new Pods a rollout fails with, from 1 to 10. Default 2.
    #[serde(default = "default_max_faults")]
    #[schemars(range(min = 1, max = 10))]
    pub max_faults: i32,

    /// progressDeadlineSeconds is how long a rollout may make no progress before it fails, from 1 to 86400: progress is that
    /// more replicas are updated and available than ever before, or fewer than ever are still to be. Default 600.
    #[serde(default = "default_progress_deadline_seconds")]
    #[schemars(range(min = 1, max = 86_400))]
    pub progress_deadline_seconds: i32,

    /// retryAt is a time: a rollout that failed before it is tried again at it. Left out, only a
    /// changed template ends that, and with `onFailure: Pause` also a change of that to RollBack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Time>,

    /// probationSeconds is how long the workers whose templates a revision changed must have been up with it, without a
    /// break, before it counts as good, from 0 to 86400. Default 60.
    #[serde(default = "default_probation_seconds")]
    #[schemars(range(min = 0, max = 86_400))]
    pub probation_seconds: i32,

    /// promote ends pauses of a canary (`update.steps`); `kubectl coppice promote` writes it. For any other revision than the one
    /// it names it does nothing, and neither before there is a revision of that number. No default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promote: Option<Promotion>,
}

/// Which pauses of a canary are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Promotion {
    /// revision is the number of the revision whose canary goes on (`status.rollout.to`).
    #[schemars(range(min = 1))]
    pub revision: i64,

    /// step is the number of the last step whose pause is over, counted over all workers that the revision changes
    /// (`status.rollout.step.number`), from 1 to 2560. One that the revision has not got ends no pause.
    #[schemars(range(min = 1, max = 2560))]
    pub step: i32,
}

/// What becomes of a rollout that fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RolloutFailurePolicy {
    /// The tree is taken back to the last good revision.
    #[default]
    RollBack,
    /// The rollout stays where it is.
    Pause,
    /// The rollout goes on.
    None,
}

/// In which order workers get changed templates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RolloutOrder {
    /// In start order, one after another.
    #[default]
    Ordered,
    /// All at once.
    Parallel,
}

impl Default for RolloutSettings {
    fn default() -> Self {
        Self {
            order: RolloutOrder::default(),
            paused: false,
            on_failure: RolloutFailurePolicy::default(),
            max_faults: default_max_faults(),
            progress_deadline_seconds: default_progress_deadline_seconds(),
            retry_at: None,
            probation_seconds: default_probation_seconds(),
            promote: None,
        }
    }
}

fn default_max_faults() -> i32 {
    2
}

fn default_progress_deadline_seconds() -> i32 {
    600
}

fn default_probation_seconds() -> i32 {
    60
}
