//! The rollout of a revision that has not been proved yet, as the status of its tree tells of it.
//!
//! Rule: there is one only where a good revision exists that the tree can be taken back to; nothing else is at stake.

use std::ops::Not;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far a rollout has come, and what may end it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    /// from is the number of the good revision that the tree is taken back to if the new one turns out to be bad.
    #[schemars(range(min = 0))]
    pub from: i64,

    /// to is the number of the new revision.
    #[schemars(range(min = 0))]
    pub to: i64,

    /// sinceTime is when the rollout began, or began anew because of `rollout.retryAt`.
    pub since_time: Time,

    /// updated is how many of the replicas whose template the new revision changes run the new template.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub updated: i32,

    /// available is how many of these are up, and have been for as long as `update.minReadySeconds` of their worker asks for.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub available: i32,

    /// progress is the most that `updated` and `available` have been together.
    #[serde(default)]
    #[schemars(range(min = 0, max = 2_000_000))]
    pub progress: i32,

    /// missing is the fewest that have been missing to the end: twice the replicas whose template changes, without `updated` and
    /// `available`. Where replicas were taken out, that tells of progress which `progress` does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_000_000))]
    pub missing: Option<i32>,

    /// deadlineTime is when the rollout fails if it has made no more progress until then; absent when it has come through, and
    /// while it is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_time: Option<Time>,

    /// remainingSeconds is how far away the deadline was when the rollout was paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86_400))]
    pub remaining_seconds: Option<i64>,

    /// updatedTime is since when all replicas have been updated and available: for as long as they are, no deadline runs, and only
    /// faults can end the rollout. Absent again when one is not any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_time: Option<Time>,

    /// step is where a canary stands, of several the first one that waits; absent where no canary is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<RolloutStep>,

    /// faults of the new Pods that count for `rollout.maxFaults`, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub faults: Vec<RolloutFault>,

    /// givenUp is the fault of a new Pod because of which a supervisor gave up, or a slot was parked. It fails the rollout, if that is
    /// paused once it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_up: Option<RolloutFault>,

    /// failed says why the rollout is paused although nobody asked for it: it has failed, and is not taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<RolloutFailure>,
}

/// Where a canary stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStep {
    /// number of the step that is not over yet, counted over all workers that the revision changes, in start order.
    #[schemars(range(min = 1, max = 2560))]
    pub number: i32,

    /// of is how many steps these workers have together.
    #[schemars(range(min = 1, max = 2560))]
    pub of: i32,

    /// child whose canary it is.
    #[schemars(length(max = 63))]
    pub child: String,

    /// sinceTime is when the step began.
    pub since_time: Time,

    /// paused says that it is a pause which is not over: nothing goes on until it is.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub paused: bool,

    /// message says what the step does, or what it waits for.
    #[schemars(length(max = 256))]
    pub message: String,
}

/// A fault of a new Pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutFault {
    /// child that failed.
    #[schemars(length(max = 63))]
    pub child: String,

    /// slot of the replica that failed.
    #[schemars(range(min = 0, max = 100_000))]
    pub slot: i32,

    /// time of the fault.
    pub time: Time,

    /// class of the fault.
    #[schemars(length(max = 64))]
    pub class: String,
}

/// Why a rollout has failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutFailure {
    /// time when it failed.
    pub time: Time,

    /// byPolicy says that the rollout stays where it is because `rollout.onFailure` says so, and not because Pods of the former
    /// revision have the same fault: `RollBack` still takes the tree back.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub by_policy: bool,

    /// message says why.
    #[schemars(length(max = 1024))]
    pub message: String,
}
