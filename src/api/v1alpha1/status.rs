//! The status of a tree: what people read, and what Coppice must remember.
//!
//! Rule: everything here is either reported to people or needed after a restart of the operator;
//! no timer in memory is the truth.

mod revision;
mod rollout;
mod supervisor;

use std::ops::Not;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::is_zero;
use super::worker::FinishedReplica;

pub use revision::{RevisionMark, RevisionStatus};
pub use rollout::{RolloutFailure, RolloutFault, RolloutStatus, RolloutStep};
pub use supervisor::{
    BackoffStatus, ChargeStatus, FinishedSupervisor, GaveUpStatus, OperationKind, OperationStatus,
    SupervisorStatus,
};

/// status is what Coppice saw of the tree, and what it must remember.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SupervisionTreeStatus {
    /// observedGeneration is the generation of the spec that this status judges; -1 before the first.
    #[serde(default)]
    #[schemars(range(min = -1))]
    pub observed_generation: i64,

    /// conditions are Ready, Reconciling, Stalled, Suspended, RolledBack and Redundant, all present after the first look at the tree.
    /// Ready: every enabled child has its quorum up. Reconciling: Coppice is at work or waits for
    /// something that it expects to happen. Stalled: a person should look. Suspended: the spec asks for the tree to be
    /// stopped. RolledBack: the revision that it asks for has failed, and the tree is on the last good one, or on its way back
    /// to it. Redundant: two of everything run; that is information, and never keeps a tree from being Ready.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,

    /// workers is how many workers the tree has.
    #[serde(default)]
    #[schemars(range(min = 0, max = 256))]
    pub workers: i32,

    /// up is how many workers have their quorum up.
    #[serde(default)]
    #[schemars(range(min = 0, max = 256))]
    pub up: i32,

    /// restarts is how many deaths of replicas were judged since the tree was created.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub restarts: i64,

    /// budget shows how many restarts are left in the scarcest window, for example `1/3 in 300s at web`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 128))]
    pub budget: String,

    /// revision is the number of the revision of its templates that the tree is on, or on its way to.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0))]
    pub revision: i64,

    /// revisions are those that are kept, the newest last. Each is stored in a ControllerRevision of that name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    // No map by name: see the slots of a Worker in `worker.rs`.
    pub revisions: Vec<RevisionStatus>,

    /// rollout is the one of a new revision that is under way, or whose revision has not been proved yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutStatus>,

    /// handledRetryTime is the last `spec.retryAt` that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handled_retry_time: Option<Time>,

    /// supervisors is what Coppice remembers of each supervisor. The root is called `(root)`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 257))]
    // No map by name: see the slots of a Worker in `worker.rs`.
    pub supervisors: Vec<SupervisorStatus>,

    /// recentFaults are the last faults, newest first, with the decision taken on each. At most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub recent_faults: Vec<RecentFault>,

    /// warnings are settings that are legal, and do something else than most people expect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub warnings: Vec<WarningStatus>,

    /// operations is how many operations of supervisors have begun since the tree was created; each has its number, by
    /// which the workers know what they have been through.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0))]
    pub operations: i64,

    /// refused are the Workers that the API server refused to create.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub refused: Vec<RefusedStatus>,

    /// judgedDeaths are the deaths judged by the last decision. They are counted even if the status of
    /// their Worker does not say so yet, so that no crash of the operator charges a death twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4096))]
    pub judged_deaths: Vec<JudgedDeath>,
}

/// A setting that does something else than most people expect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WarningStatus {
    /// child that it is about; the root is called `(root)`.
    #[schemars(length(max = 63))]
    pub child: String,

    /// reason in one word: GiveUpIsFinal, ShutDownLoops, IntensityUnreachable, PromotesNothing, NoReplicaToSpare or LivenessLooksClean.
    #[schemars(length(max = 64))]
    pub reason: String,

    /// message says what happens, with the numbers, and what to change.
    #[schemars(length(max = 512))]
    pub message: String,
}

/// One fault and what was decided on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecentFault {
    /// time of the fault.
    pub time: Time,

    /// child that failed.
    #[schemars(length(max = 63))]
    pub child: String,

    /// slot of the replica that failed.
    #[schemars(range(min = 0, max = 100_000))]
    pub slot: i32,

    /// class of the fault, for example OomKilled.
    #[schemars(length(max = 64))]
    pub class: String,

    /// verdict on the class: Application, Hold, Wait, Infrastructure or Unknown.
    #[schemars(length(max = 32))]
    pub verdict: String,

    /// confidence of the identification: Proved, Witnessed, Inferred or Rest.
    #[schemars(length(max = 32))]
    pub confidence: String,

    /// container whose fault it is; absent for a fault of the Pod as a whole.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63))]
    pub container: String,

    /// message is the evidence in words.
    #[schemars(length(max = 512))]
    pub message: String,

    /// evidence is what proves the class: fields of objects, and what they said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    pub evidence: Vec<RecentEvidence>,

    /// rule that decided: `verdict` for the built-in rule of the verdict, else the field of the rule in `faultPolicy`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 128))]
    pub rule: String,

    /// decision says what was done.
    #[schemars(length(max = 256))]
    pub decision: String,

    /// charge of what was decided: Charged when it counts for a window, Exempt when it does not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 16))]
    pub charge: String,

    /// revision that the Pod was made from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63))]
    pub revision: String,
}

/// One piece of evidence for a fault.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecentEvidence {
    /// object that says it: kind and name.
    #[schemars(length(max = 128))]
    pub object: String,

    /// field of the object, as a path.
    #[schemars(length(max = 128))]
    pub field: String,

    /// value is what it said, cut to 256 bytes.
    #[schemars(length(max = 256))]
    pub value: String,
}

/// A Worker that could not be created.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefusedStatus {
    /// child whose Worker it is.
    #[schemars(length(max = 63))]
    pub child: String,

    /// reason is the reason that the conditions of the tree show for it.
    #[schemars(length(max = 64))]
    pub reason: String,

    /// sinceTime is when it was refused first.
    pub since_time: Time,

    /// message is the answer of the API server.
    #[schemars(length(max = 512))]
    pub message: String,

    /// count is how often it was refused.
    #[schemars(range(min = 0))]
    pub count: i64,

    /// dueTime is when it is tried again.
    pub due_time: Time,
}

/// A death judged by the last decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JudgedDeath {
    /// child that died.
    #[schemars(length(max = 63))]
    pub child: String,

    /// slot that died.
    #[schemars(range(min = 0, max = 100_000))]
    pub slot: i32,

    /// podUID of the life that ended.
    #[serde(rename = "podUID")]
    #[schemars(length(max = 64))]
    pub pod_uid: String,

    /// deaths of that Pod judged so far.
    #[schemars(range(min = 0))]
    pub deaths: i64,

    /// gone says that the Pod as a whole has ended.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub gone: bool,

    /// finished is set when the replica is not started again, because its type allows its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<FinishedReplica>,

    /// restarts is how many lives ended so; 1 unless several ended before anybody looked, 0 when it finished.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[schemars(range(min = 0))]
    pub restarts: i64,
}

fn one() -> i64 {
    1
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it by reference"
)]
fn is_one(number: &i64) -> bool {
    *number == 1
}
