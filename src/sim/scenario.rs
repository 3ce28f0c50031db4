//! What happens in a scenario, besides what goes wrong: the words that scenarios are written in.
//!
//! Rule: a step is made at its time, whatever the operators do; one that finds nothing to act on says so in the timeline.

mod steps;
mod tree;

use super::cluster::Behaviour;

pub(super) use tree::create_tree;

/// A named story.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// The spec of the tree, in YAML.
    pub(super) tree: &'static str,
    /// Steps, by the second at which they are made.
    pub(super) steps: Vec<(u64, Step)>,
    /// How many seconds it takes until all is quiet.
    pub(super) seconds: u64,
    /// What must be so in the end: letters of Ready, Reconciling, Stalled and the reason; empty: there is no tree.
    pub(super) ends: &'static str,
    /// What it must have cost in the end, whatever goes wrong; empty where that depends on which deaths are seen together.
    /// See `account`.
    pub(super) cost: &'static str,
}

impl Scenario {
    /// A story of that name: a tree, the seconds until all is quiet, how it ends, and the steps.
    pub(super) fn new(
        name: &'static str,
        tree: &'static str,
        seconds: u64,
        ends: &'static str,
        steps: Vec<(u64, Step)>,
    ) -> Self {
        Self {
            name,
            tree,
            steps,
            seconds,
            ends,
            cost: "",
        }
    }

    /// The same story, with what it must cost.
    pub(super) fn costs(self, cost: &'static str) -> Self {
        Self { cost, ..self }
    }
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    /// A child behaves so from now on.
    Behave(&'static str, Behaviour),
    /// The program of a replica ends with that code.
    Kill(&'static str, i64, i32),
    /// Somebody deletes the Pod of a replica.
    DeletePod(&'static str, i64),
    /// The Pod of a replica is gone without a trace.
    Vanish(&'static str, i64),
    /// The Pod of a replica is evicted through the API.
    Evict(&'static str, i64),
    /// The kubelet evicts a Pod for want of memory.
    Pressure(&'static str, i64),
    /// Somebody takes the labels off a Pod.
    Unlabel(&'static str, i64),
    /// Somebody takes the owner off a Pod.
    Disown(&'static str, i64),
    /// A stranger's Pod with our labels, and no owner.
    Bait(&'static str),
    /// A stranger's Pod that holds the name.
    Squat(&'static str),
    /// Somebody takes the stranger's Pod away.
    Unsquat(&'static str),
    /// Somebody takes away every Pod that is no tree's, or whose labels are gone: whatever may hold a name.
    TidyUp,
    /// A field of the spec, by its path in the tree's spec, is set; `null` removes it.
    Set(&'static str, &'static str),
    /// The spec is replaced.
    Apply(&'static str),
    /// The tree is deleted, with that propagation policy.
    Delete(&'static str),
    /// The tree is created again.
    Create(&'static str),
    /// Somebody scales a Worker.
    Scale(&'static str, i64),
    /// Somebody deletes a Worker.
    DeleteWorker(&'static str),
    /// Somebody has the disruption budget of a worker allow every eviction; deletes it.
    EditBudget(&'static str),
    DeleteBudget(&'static str),
    /// Somebody makes a disruption budget of that name for the Pods of a child; takes it away.
    AddBudget(&'static str, &'static str),
    RemoveBudget(&'static str),
    /// The tree is asked to try again, now.
    Retry,
    /// A child, or with an empty name the tree, is asked to restart, in that many seconds.
    RestartIn(&'static str, i64),
    /// The machine of a replica goes off; comes back; its Node is deleted; is said to be out of service when it is off.
    PowerOff(&'static str),
    PowerOn(&'static str),
    DeleteNode(&'static str),
    OutOfService(&'static str),
    /// Creates of Pods are refused from now on, with that message; or not any more.
    Refuse(&'static str),
    Allow,
    /// The operators die.
    Crash,
    /// The operators are stopped in order and start again.
    Restart,
}
