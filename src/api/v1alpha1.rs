//! Version `v1alpha1` of the group `coppice.dev`.
//!
//! Rule: every field is described for `kubectl explain`, bounded, and works.

#![expect(
    unreachable_pub,
    reason = "the derive of KubeSchema repeats each struct inside a function"
)]
#![expect(
    clippy::doc_markdown,
    reason = "what describes a field is plain text, for `kubectl explain`"
)]

mod fault_policy;
mod pod_schema;
mod rules;
mod sentences;
mod status;
mod template;
mod tree;
mod worker;

pub use fault_policy::{
    FAULT_CLASSES, FAULT_FAMILIES, FaultAction, FaultCharge, FaultMatch, FaultPolicy, FaultRule,
};
pub(crate) use rules::tree_name;
pub use status::{
    BackoffStatus, ChargeStatus, FinishedSupervisor, GaveUpStatus, JudgedDeath, OperationKind,
    OperationStatus, RecentEvidence, RecentFault, RefusedStatus, RevisionMark, RevisionStatus,
    RolloutFailure, RolloutFault, RolloutStatus, RolloutStep, SupervisionTreeStatus,
    SupervisorStatus, WarningStatus,
};
pub use template::{ClaimTemplate, PodTemplate};
pub use tree::{
    AutoShutdown, Backoff, Child, ClaimRetention, DisruptionBudget, GiveUp, Identity, Intensity,
    NumberOrPercent, Pause, Promotion, ReadyWhen, Restart, Retention, RolloutFailurePolicy,
    RolloutOrder, RolloutSettings, RootGiveUp, StartFailure, Startup, Strategy, SupervisionTree,
    SupervisionTreeSpec, SupervisorSettings, UpdateMethod, UpdateSettings, UpdateStep,
    WorkerSettings,
};
pub use worker::{
    BrakeStatus, FinishedReplica, InPlaceContainerStatus, InPlaceStatus, NodeChargeStatus,
    ParkedStatus, SlotStatus, TroubleStatus, UpdateStepStatus, Worker, WorkerSpec, WorkerStatus,
};

/// The API group of Coppice.
pub const GROUP: &str = "coppice.dev";

/// Whether a number is left out.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it by reference"
)]
fn is_zero(number: &i64) -> bool {
    *number == 0
}
