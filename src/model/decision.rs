//! What the core answers: the next statuses, the next safe writes, and what to tell people.
//!
//! Rule: `writes` holds only what is safe to do once the intents are stored, in that order; `writes_first` says when it is
//! safe before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::policy::v1::PodDisruptionBudgetSpec;
use serde_json::Value;

use super::fault::{Class, Verdict};
use super::outcome::{Cost, Next};
use super::tally::RolloutNews;
use super::world::DisruptionBudgetView;
use crate::api::v1alpha1::{SupervisionTreeStatus, WorkerStatus};

/// The answer to one world.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The complete next status of the tree.
    pub tree_status: SupervisionTreeStatus,
    /// The complete next status of each Worker that exists, by child name.
    pub worker_statuses: BTreeMap<String, WorkerStatus>,
    /// Whether the tree's status records an intent: it must be stored before any further write.
    pub tree_intent: bool,
    /// The children whose Worker's status records an intent; stored after the tree's, before `writes`.
    pub worker_intents: BTreeSet<String>,
    /// Whether nothing of this spends anything, so that `writes` need not wait for the intents where nobody else acts: a
    /// Pod that others deleted is replaced at once, and its successor's name tells of that if the intent is never stored.
    pub writes_first: bool,
    /// The next writes, in order. A failure ends them, a refusal those of its child.
    pub writes: Vec<Write>,
    /// Events to publish once the intents are stored; those about writes go with the write.
    pub notices: Vec<Notice>,
    /// The deaths judged by this decision that the tree must not tell before their Workers are stored; `None` when there
    /// are none.
    pub of_workers: Option<OfWorkers>,
    /// Faults judged by this decision, for the metrics.
    pub judged: Vec<Judged>,
    /// How many supervisors gave up by this decision, for the metrics.
    pub give_ups: u32,
    /// What became of rollouts by this decision, for the metrics. The tree's intent tells it.
    pub rollouts: Vec<RolloutNews>,
    /// When to look again even if nothing changes.
    pub wake_at: Option<Timestamp>,
}

/// Deaths that the status of their Worker alone remembers: whoever finds it not stored judges them again.
#[derive(Clone, Debug, PartialEq)]
pub struct OfWorkers {
    /// How many lives ended so, by child.
    pub restarts: BTreeMap<String, i64>,
    /// The next status of the tree without them.
    pub tree_status: SupervisionTreeStatus,
}

/// One write to the API server.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Put our finalizer on the tree.
    AddFinalizer,
    /// Take our finalizer off the tree.
    RemoveFinalizer,
    /// Store a revision.
    CreateRevision {
        /// Name of the object.
        name: String,
        /// The whole object.
        body: Value,
    },
    /// Give a stored revision another number.
    NumberRevision {
        /// Name of the object.
        name: String,
        /// Precondition.
        resource_version: String,
        /// The number.
        number: i64,
    },
    /// Delete a revision that nobody needs any more.
    DeleteRevision {
        /// Name of the object.
        name: String,
        /// Precondition.
        uid: String,
    },
    /// Create the disruption budget of a worker.
    CreateDisruptionBudget {
        /// Child name.
        child: String,
        /// Name of the object.
        name: String,
        /// UID of the Worker that owns it.
        owner_uid: String,
        /// The whole object.
        body: Value,
    },
    /// Change the disruption budget of a worker.
    PatchDisruptionBudget {
        /// Child name.
        child: String,
        /// The object as it is known; its version is the precondition.
        known: Arc<DisruptionBudgetView>,
        /// What its spec is to be.
        spec: Box<PodDisruptionBudgetSpec>,
    },
    /// Delete the disruption budget of a worker that is not to have one.
    DeleteDisruptionBudget {
        /// Child name.
        child: String,
        /// Name of the object.
        name: String,
        /// Precondition.
        uid: String,
    },
    /// Create the Worker of a child.
    CreateWorker {
        /// Child name.
        child: String,
        /// Name of the object.
        name: String,
        /// The whole object.
        body: Value,
    },
    /// Delete a Worker whose child is gone and whose Pods have stopped.
    DeleteWorker {
        /// Child name.
        child: String,
        /// Name of the object.
        name: String,
        /// Precondition.
        uid: String,
    },
    /// Set the number of replicas of a Worker through its `scale` subresource.
    Scale {
        /// Child name.
        child: String,
        /// Name of the Worker.
        name: String,
        /// The number that the tree states.
        replicas: i32,
        /// What to tell people when it is done.
        notice: Option<Box<Notice>>,
    },
    /// Create a claim of a slot.
    CreateClaim {
        /// Child name.
        child: String,
        /// Slot.
        slot: i32,
        /// Name of the claim.
        name: String,
        /// The whole object.
        body: Value,
    },
    /// Give a claim other owners.
    OwnClaim {
        /// Child name.
        child: String,
        /// Name of the claim.
        name: String,
        /// Precondition.
        resource_version: String,
        /// The reference that is added.
        owner: Option<Value>,
        /// The UIDs of the owners whose references are taken off.
        former: Vec<String>,
    },
    /// Create a Pod.
    CreatePod {
        /// Child name.
        child: String,
        /// Slot.
        slot: i32,
        /// Name of the Pod.
        name: String,
        /// UID of the Worker that owns it.
        owner_uid: String,
        /// The whole object.
        body: Value,
    },
    /// Ask whether a Pod would be taken, without creating it.
    TryPod {
        /// Child name.
        child: String,
        /// Revision of its template.
        revision: String,
        /// The whole object.
        body: Value,
    },
    /// Change images of a Pod, and label it with the revision that they are of.
    PatchPod {
        /// Child name.
        child: String,
        /// Slot.
        slot: i32,
        /// Name of the Pod.
        name: String,
        /// Precondition.
        uid: String,
        /// Precondition.
        resource_version: String,
        /// Revision of its template from then on.
        revision: String,
        /// The image of each container that is changed, by name.
        images: Vec<(String, String)>,
    },
    /// Delete a Pod with its own grace period.
    DeletePod {
        /// Child name.
        child: String,
        /// Name of the Pod.
        name: String,
        /// Precondition.
        uid: String,
        /// Further precondition where the Pod's status decided.
        resource_version: Option<String>,
        /// Whether it rests on how its siblings stand, so that it must not be made by what was seen long ago.
        within_bounds: bool,
        /// Why, for the log.
        why: &'static str,
    },
}

/// Something to tell people as an Event on the tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notice {
    /// Whether it is a warning.
    pub warning: bool,
    /// Reason: one specific PascalCase word.
    pub reason: String,
    /// What was done about it: one word, for example Restart.
    pub action: &'static str,
    /// The child that it is about, or the root.
    pub child: String,
    /// Its slot, when it is about one replica.
    pub slot: Option<i32>,
    /// What happened, as the rest of a sentence that the child begins; empty when `why` says all.
    pub what: String,
    /// Why; empty when that needs no words.
    pub why: String,
    /// The fault that it tells of, with the verdict on it.
    pub fault: Option<(Class, Verdict)>,
    /// What it cost; `None` for what nobody is ever charged.
    pub cost: Option<Cost>,
    /// What follows; `None` when nothing does.
    pub next: Option<Next>,
    /// Name and UID of the Pod concerned.
    pub pod: Option<(String, String)>,
}

impl Notice {
    /// Whom it is about: a child, or a replica as `child/slot`.
    pub fn subject(&self) -> String {
        match self.slot {
            Some(slot) => format!("{}/{slot}", self.child),
            None => self.child.clone(),
        }
    }

    /// All of it in words.
    pub fn message(&self) -> String {
        let mut message = self.subject();
        if !self.what.is_empty() {
            message = format!("{message} {}", self.what);
        }
        if !self.why.is_empty() {
            message = format!("{message}: {}", self.why);
        }
        let cost = self.cost.iter().map(ToString::to_string);
        let next = self.next.iter().map(ToString::to_string);
        for part in cost.chain(next) {
            message = format!("{message}; {part}");
        }
        message
    }
}

/// A fault that was judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The child that it befell.
    pub child: String,
    /// Its slot.
    pub slot: i32,
    /// Class of the fault.
    pub class: Class,
    /// Verdict on it.
    pub verdict: Verdict,
    /// Whether the restart that it leads to was charged; `None` when it leads to none.
    pub charged: Option<bool>,
}
