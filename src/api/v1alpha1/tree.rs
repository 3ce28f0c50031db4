//! `SupervisionTree`: what people write.
//!
//! Rule: the tree is a flat list of children, because CRD schemas cannot recurse; `parent` names a
//! supervisor declared earlier, so that a cycle cannot be written.

mod rollout;
mod supervisor;
mod update;
mod worker;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FaultPolicy, SupervisionTreeStatus, rules};

pub use rollout::{Promotion, RolloutFailurePolicy, RolloutOrder, RolloutSettings};
pub use supervisor::{
    AutoShutdown, Backoff, GiveUp, Intensity, RootGiveUp, StartFailure, Startup, Strategy,
    SupervisorSettings,
};
pub use update::{NumberOrPercent, Pause, UpdateMethod, UpdateSettings, UpdateStep};
pub use worker::{
    ClaimRetention, DisruptionBudget, Identity, ReadyWhen, Retention, WorkerSettings,
};

/// spec is the tree as it should be: its children, and how the root supervisor treats those directly
/// below it.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "coppice.dev",
    version = "v1alpha1",
    kind = "SupervisionTree",
    namespaced,
    status = "SupervisionTreeStatus",
    shortname = "stree",
    category = "coppice",
    validation = rules::names_fit_together(),
    validation = rules::added_names_fit_together(),
    doc = "SupervisionTree is a tree of supervisors and workers. Coppice keeps its workers running, finds out why one failed, restarts what belongs together, and gives up upwards when restarting does not help.",
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status","description":"Whether every enabled child has its quorum up."}"#,
    printcolumn = r#"{"name":"Status","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason","description":"Why the tree is Ready or not, in one word."}"#,
    printcolumn = r#"{"name":"Strategy","type":"string","jsonPath":".spec.strategy","description":"Restart strategy of the root supervisor."}"#,
    printcolumn = r#"{"name":"Workers","type":"integer","jsonPath":".status.workers","description":"How many workers the tree has."}"#,
    printcolumn = r#"{"name":"Up","type":"integer","jsonPath":".status.up","description":"How many workers have their quorum up."}"#,
    printcolumn = r#"{"name":"Restarts","type":"integer","jsonPath":".status.restarts","description":"Deaths of replicas judged since the tree was created."}"#,
    printcolumn = r#"{"name":"Revision","type":"integer","jsonPath":".status.revision","description":"Number of the revision of its templates that the tree is on, or on its way to."}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Budget","type":"string","priority":1,"jsonPath":".status.budget","description":"Restarts left in the scarcest window of the tree."}"#,
    printcolumn = r#"{"name":"Message","type":"string","priority":1,"jsonPath":".status.conditions[?(@.type==\"Ready\")].message","description":"What happened, why, and what happens next."}"#
)]
#[x_kube(validation = rules::parents_come_first())]
#[x_kube(validation = rules::significance_counts())]
#[x_kube(validation = rules::updates_can_move())]
#[serde(rename_all = "camelCase")]
pub struct SupervisionTreeSpec {
    /// strategy says which children of the root are restarted when one of them dies.
    /// OneForOne: only the one that died.
    /// OneForAll: all of them; they are stopped in reverse start order, and started again in order.
    /// RestForOne: the one that died and those after it in the list.
    /// Default OneForOne.
    #[serde(default)]
    pub strategy: Strategy,

    /// intensity is how many charged restarts the root may make within a sliding window before it
    /// gives up. Default 3 restarts in 300 seconds.
    #[serde(default)]
    pub intensity: Intensity,

    /// startup says how the children of the root start and stop.
    /// Ordered: one child after another in list order, each awaited, and stopped in reverse.
    /// Parallel: all together.
    /// Left out: Parallel under OneForOne, else Ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Startup")]
    pub startup: Option<Startup>,

    /// onStartFailure says what follows when a child of the root fails in its first start.
    /// Retry: it is started again, which is charged like a restart.
    /// Fail: what had started is stopped in reverse order, and the root has failed to start, which is dealt with as
    /// `onGiveUp` says (in Erlang/OTP, a first start is not retried).
    /// Default Retry.
    #[serde(default)]
    pub on_start_failure: StartFailure,

    /// backoff delays repeated restarts of the same child of the root. It never changes a count. Under OneForOne the kubelet
    /// makes the first restart in each Pod, and others when its own waits of 10, 20, 40 … seconds are over before the delay.
    /// Default: the first restart at once, then 1, 2, 4 … up to 30 seconds.
    #[serde(default)]
    pub backoff: Backoff,

    /// onGiveUp says what the root does when its intensity is exceeded.
    /// Retry: what the strategy names is stopped, and started again after 30 seconds, doubling up to 5 minutes; everything
    /// else keeps running. Under OneForOne that is the child with the most charges, under OneForAll all children, under
    /// RestForOne the child that died and those after it.
    /// Stop: the whole tree is stopped until `retryAt` or an edit of a template.
    /// Default Retry.
    #[serde(default)]
    pub on_give_up: RootGiveUp,

    /// autoShutdown says whether the tree ends when its significant children have ended as their type allows. The remaining
    /// children are then stopped in reverse order, and the tree is `Finished`, which is an end and not a failure: an edit of
    /// a template or `restartAt` starts it again.
    /// Never: it does not.
    /// AnySignificant: when one of them has.
    /// AllSignificant: when all of them have.
    /// Default Never.
    #[serde(default)]
    pub auto_shutdown: AutoShutdown,

    /// faultPolicy says which faults are treated otherwise than by the verdict on their class, in the whole tree. No default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault_policy: Option<FaultPolicy>,

    /// suspend set to true stops all children in order and keeps them down; the Workers stay. False again starts the tree as
    /// new, without a charge: windows, waits and delays are forgotten, and children that had finished run again. Default
    /// false.
    #[serde(default)]
    pub suspend: bool,

    /// restartAt restarts the whole tree once, without a charge: when this time has come, all children are stopped in
    /// reverse order and started again in order. Set it to the current time to do so at once. Each value acts once. No
    /// default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_at: Option<Time>,

    /// retryAt ends waiting: once this time has come, everything in the tree that was given up or parked
    /// is started again. Set it to the current time to do so at once. Each value acts once. No default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Time>,

    /// rollout says how the tree goes from one revision of its templates to the next, and what becomes of one that turns out to be
    /// bad. Default: in start order; a revision is good when it has been up for 60 seconds, and taken back when it fails before.
    #[serde(default)]
    pub rollout: RolloutSettings,

    /// revisionHistoryLimit is how many old revisions are kept besides the present one and the last good one, from 0 to 100.
    /// Default 10.
    #[serde(default = "ten")]
    #[schemars(range(min = 0, max = 100))]
    pub revision_history_limit: i32,

    /// children are the supervisors and workers of the tree, parents before their children. The order
    /// is the start order among siblings. At most 256; names are unique. An empty list is a tree
    /// with nothing to do, which is Ready.
    #[serde(default)]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["name".into()]))]
    pub children: Vec<Child>,
}

/// One node of the tree below the root: a supervisor or a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = rules::supervisor_or_worker())]
#[x_kube(validation = rules::labels_not_reserved())]
#[x_kube(validation = rules::significant_ones_may_end())]
#[x_kube(validation = rules::completion_is_an_end())]
#[x_kube(validation = rules::stable_ones_update_one_by_one())]
#[x_kube(validation = rules::steps_can_be_taken())]
#[x_kube(validation = rules::steps_go_forward())]
#[x_kube(validation = rules::slots_are_told_apart())]
#[x_kube(validation = rules::claim_templates_differ_in_name())]
#[x_kube(validation = rules::claim_templates_stay())]
#[serde(rename_all = "camelCase")]
pub struct Child {
    /// name of the child: a DNS label (lower case letters, digits and dashes), unique in the tree. The
    /// names of the tree and the child have at most 50 characters together, because Pods are named
    /// after both.
    #[schemars(
        length(min = 1, max = 49),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,

    /// parent is the supervisor that this child belongs to. It must be declared earlier in `children`.
    /// Left out: the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 49))]
    pub parent: Option<String>,

    /// enabled set to false stops the child, in order, and keeps it down; on a supervisor, everything
    /// below it. True again starts it as new, without a charge. Default true.
    #[serde(default = "yes")]
    pub enabled: bool,

    /// restartAt restarts the child once, without a charge, when this time has come. On a worker it replaces the replicas
    /// created before it as `update` says, like an edit of the template; on a supervisor, all its children are stopped in
    /// reverse order and started again in order. No default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_at: Option<Time>,

    /// supervisor makes this child a supervisor of other children. Exactly one of `supervisor` and
    /// `worker` must be set; `supervisor: {}` is one with the defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supervisor: Option<SupervisorSettings>,

    /// worker makes this child a worker: one or more identical Pods. Exactly one of `supervisor` and
    /// `worker` must be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerSettings>,
}

/// Whether a child is started again when it has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Restart {
    /// Always.
    #[default]
    Permanent,
    /// Only after an abnormal end.
    Transient,
    /// Never.
    Temporary,
}

fn ten() -> i32 {
    10
}

fn yes() -> bool {
    true
}
