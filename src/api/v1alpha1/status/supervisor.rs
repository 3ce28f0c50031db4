//! What is remembered of a supervisor: its window, what it is in the middle of, what it gave up on, what has finished.
//!
//! Rule: all of it is needed after a restart of the operator.

use std::ops::Not;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::v1alpha1::is_zero;

/// What Coppice remembers of one supervisor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SupervisorStatus {
    /// name of the supervisor; the root is called `(root)`.
    #[schemars(length(max = 63))]
    pub name: String,

    /// incarnation counts the starts of this supervisor, the first one included.
    #[schemars(range(min = 0))]
    pub incarnation: i64,

    /// handledRestartTime is the last `restartAt` of this supervisor that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handled_restart_time: Option<Time>,

    /// startedTime is when this incarnation had started all its children.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_time: Option<Time>,

    /// startedIn is the incarnation of its parent in which this supervisor has started at least once; a start that fails
    /// later is no first start.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0))]
    pub started_in: i64,

    /// operation is what the supervisor is in the middle of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationStatus>,

    /// charges are the restarts charged to this supervisor, by child; those that are older than its window are removed when
    /// it is charged again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub charges: Vec<ChargeStatus>,

    /// backoff is how far each child is in its delays. Children without repeated restarts are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub backoff: Vec<BackoffStatus>,

    /// finished is set when the supervisor has ended as its type allows: it shut itself down, or it is Temporary and was
    /// stopped with its group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<FinishedSupervisor>,

    /// gaveUp are the scopes that this supervisor has given up for now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 257))]
    pub gave_up: Vec<GaveUpStatus>,
}

/// Something that a supervisor is in the middle of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperationStatus {
    /// kind is what the operation does.
    /// Start: all children are started, in a new incarnation of the supervisor.
    /// Restart: a child died, and what the strategy names is stopped in reverse order and started again in order.
    /// GiveUp: the intensity was exceeded; all children are stopped, then the parent judges.
    /// FailStart: a child failed in its first start; all children are stopped, then the parent judges.
    /// ShutDown: significant children have ended; all children are stopped, then the parent judges.
    /// Suspend: the spec asks for the tree to be stopped.
    pub kind: OperationKind,

    /// number of the operation, counted over the whole tree.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0))]
    pub number: i64,

    /// children that a Restart stops and starts again; left out: all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 63)))]
    pub children: Vec<String>,

    /// sinceTime is when the operation was decided.
    pub since_time: Time,

    /// message says why.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OperationKind {
    /// All children are started.
    Start,
    /// What the strategy names is stopped, and started again.
    Restart,
    /// All children are stopped, then the parent judges: the intensity was exceeded.
    GiveUp,
    /// All children are stopped, then the parent judges: a first start failed.
    FailStart,
    /// All children are stopped, then the parent judges: significant children have ended.
    ShutDown,
    /// All children are stopped until the spec asks for something else.
    Suspend,
}

impl OperationKind {
    /// Whether children come up by it.
    pub fn starts(self) -> bool {
        matches!(self, Self::Start | Self::Restart)
    }

    /// Whether the supervisor exits by it, which its parent judges.
    pub fn exits(self) -> bool {
        matches!(self, Self::GiveUp | Self::FailStart | Self::ShutDown)
    }
}

/// A supervisor that has ended as its type allows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FinishedSupervisor {
    /// time of the end.
    pub time: Time,

    /// stopped says that it has not ended by itself, but was stopped with its group, which a Temporary one is not started
    /// with again: a new incarnation of its supervisor starts it.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub stopped: bool,

    /// templates is the hash of the templates below the supervisor then: another one starts it again, unless it is
    /// Temporary.
    #[schemars(length(max = 16))]
    pub templates: String,
}

/// Restarts of one child charged to its supervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChargeStatus {
    /// child that died.
    #[schemars(length(max = 63))]
    pub child: String,

    /// times of the deaths, oldest first. Those that are older than `intensity.periodSeconds` count no more; they are
    /// removed when the supervisor is charged again, as in OTP.
    #[schemars(length(max = 101))]
    pub times: Vec<Time>,

    /// failedStarts is how many of these, the last ones, are starts that failed: they stay in the window whatever their
    /// age, until the child has started once.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0, max = 101))]
    pub failed_starts: i64,
}

/// How far a child is in its delays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackoffStatus {
    /// child that is delayed.
    #[schemars(length(max = 63))]
    pub child: String,

    /// step is how many restarts in a row the child has seen.
    #[schemars(range(min = 0))]
    pub step: i64,

    /// dueTime is when its next restart may happen.
    pub due_time: Time,
}

/// A scope that was given up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GaveUpStatus {
    /// child that is given up; empty for the whole supervisor.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63))]
    pub child: String,

    /// rest says that the children after it are given up with it, as the strategy RestForOne has it.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub rest: bool,

    /// number of the operation that stops the scope, as operations count; left out when nothing is stopped by it.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0))]
    pub number: i64,

    /// sinceTime is when it was given up.
    pub since_time: Time,

    /// retryTime is when it is tried again by itself; left out when only `retryAt` or an edit ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_time: Option<Time>,

    /// delaySeconds is how long the wait is; the next one is twice as long, up to 300.
    #[serde(default)]
    #[schemars(range(min = 0, max = 300))]
    pub delay_seconds: i64,

    /// waiting says that the scope is down until the retry; false once it has been started again, while it is not known yet
    /// whether it stays up.
    #[serde(default)]
    pub waiting: bool,

    /// settled says that the scope has been alive for 30 s since: only the delay is remembered, in case it is
    /// given up again soon.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub settled: bool,

    /// templates is the hash of the templates in the scope when it was given up: another hash ends the
    /// wait.
    #[schemars(length(max = 16))]
    pub templates: String,

    /// message says why.
    #[schemars(length(max = 1024))]
    pub message: String,
}
