//! What there is to tell of a tree, as it is printed.
//!
//! Rule: the names of the fields are API; a child is told of when it is not well, had a fault lately, or is asked for.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::findings;
use super::known::Known;
use super::next;
use crate::api::conditions::types;
use crate::api::v1alpha1::{GiveUp, SupervisorStatus};
use crate::identify::Piece;
use crate::model::budget::Budget;
use crate::model::tree::{Kind, NodeId, Policy, ROOT, Tree};

/// How long ago a fault is told of by itself; where the window of its supervisor is longer, that long.
const LATELY: SignedDuration = SignedDuration::from_hours(1);

/// What there is to tell of a tree.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// Namespace and name.
    pub tree: String,
    /// When all this was so.
    pub at: Timestamp,
    /// Whether the condition Ready is True; `null` before Coppice has looked at the tree.
    pub ready: Option<bool>,
    /// The reason of the condition.
    pub reason: String,
    /// Its message.
    pub message: String,
    /// Since when it has been so.
    pub since: Option<Timestamp>,
    /// How many workers the tree has.
    pub workers: i32,
    /// How many of them are up.
    pub up: i32,
    /// What else one should know.
    pub notes: Vec<String>,
    /// The children that there is something to tell of, in start order.
    pub children: Vec<ChildAccount>,
}

/// What there is to tell of a child.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChildAccount {
    /// Its name; the root is called `(root)`.
    pub child: String,
    /// How it is, in words.
    pub state: String,
    /// What is or was wrong, the present first.
    pub faults: Vec<Finding>,
    /// What is left of the windows that it is charged to.
    pub budget: Vec<Left>,
    /// What happens next.
    pub next: Vec<Step>,
    /// Settings of it that do something else than most people expect.
    pub warnings: Vec<String>,
}

/// Something that is or was wrong.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The class of the fault, or the reason where it is no fault of a class.
    pub name: String,
    /// What that stands for.
    pub meaning: &'static str,
    /// Whether it is so now.
    pub present: bool,
    /// The slots that it is about.
    pub slots: Vec<i32>,
    /// How many of the last faults are of it.
    pub times: usize,
    /// What it is in this case, in words.
    pub message: String,
    /// Since when it lasts, or when it was.
    pub since: Option<Timestamp>,
    /// The container, when it is the fault of one.
    pub container: Option<String>,
    /// How sure it is; `null` for what is no fault of a class.
    pub confidence: Option<String>,
    /// What proves it.
    pub proof: Vec<Piece>,
    /// What was decided.
    pub decided: Option<Decided>,
    /// What a person should do.
    pub advice: String,
    /// Where the documentation tells more.
    pub page: String,
}

/// What was decided on a fault.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decided {
    /// On a fault of that time.
    pub at: Timestamp,
    /// What was done, in words.
    pub what: String,
    /// `verdict` for the built-in rule of the verdict, else the field of the rule of `faultPolicy`.
    pub rule: String,
    /// The verdict on the class.
    pub verdict: String,
    /// Charged or Exempt.
    pub charge: String,
}

/// What is left of a window.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Left {
    /// Whose: a supervisor's, or that of a slot as `child/slot`.
    pub who: String,
    /// Restarts that are left.
    pub left: i32,
    /// Restarts that it allows.
    pub allowed: i32,
    /// Its length.
    pub period_seconds: i32,
    /// When the next charge leaves it.
    pub more_at: Option<Timestamp>,
    /// What follows when it is exceeded, in words.
    pub exceeded: String,
}

/// Something that happens next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What, in words.
    pub what: String,
    /// When, where that is known.
    pub at: Option<Timestamp>,
}

/// What there is to tell of a tree whose spec cannot be carried out.
pub(super) fn of_refused(known: &Known, error: &str, now: Timestamp) -> Account {
    let mut account = head(known, now);
    account.notes.push(format!(
        "the spec cannot be carried out, and nothing is changed until it can: {error}"
    ));
    account
}

/// What there is to tell of a tree, or of a child of it and what is below.
pub(super) fn of(known: &Known, tree: &Tree<'_>, child: Option<NodeId>, now: Timestamp) -> Account {
    let mut account = head(known, now);
    let about = About { known, tree, now };
    let nodes = tree.start_order().into_iter();
    let nodes = nodes.filter(|id| child.is_none_or(|above| tree.is_within(above, *id)));
    account.children = nodes
        .filter_map(|id| about.child(id, child == Some(id)))
        .collect();
    account
}

/// What its conditions say.
fn head(known: &Known, now: Timestamp) -> Account {
    let status = &known.status;
    let ready = status.conditions.iter().find(|c| c.type_ == types::READY);
    let mut notes = Vec::new();
    let generation = known.tree.metadata.generation.unwrap_or_default();
    if ready.is_some() && status.observed_generation < generation {
        notes.push(format!(
            "the spec has been edited since: this is about generation {}, and the present one is {generation}; if that stays so, no operator runs that looks after this namespace",
            status.observed_generation
        ));
    }
    if known.tree.metadata.deletion_timestamp.is_some() {
        notes.push("the tree is being deleted: its children are stopped in order".to_owned());
    }
    Account {
        tree: known.to_string(),
        at: now,
        ready: ready.map(|condition| condition.status == "True"),
        reason: ready.map_or_else(String::new, |condition| condition.reason.clone()),
        message: ready.map_or_else(String::new, |condition| condition.message.clone()),
        since: ready.map(|condition| condition.last_transition_time.0),
        workers: status.workers,
        up: status.up,
        notes,
        children: Vec::new(),
    }
}

/// What the parts of an account are made of.
pub(super) struct About<'a> {
    pub(super) known: &'a Known,
    pub(super) tree: &'a Tree<'a>,
    pub(super) now: Timestamp,
}

impl About<'_> {
    pub(super) fn name(&self, id: NodeId) -> &str {
        self.tree.nodes[id].name
    }

    /// What is remembered of a supervisor.
    pub(super) fn record(&self, id: NodeId) -> Option<&SupervisorStatus> {
        let mut records = self.known.status.supervisors.iter();
        records.find(|record| record.name == self.name(id))
    }

    /// The node itself, then the supervisors above it.
    pub(super) fn path(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        std::iter::once(id).chain(self.tree.ancestors(id))
    }

    /// Whether it is to run.
    fn is_wanted(&self, id: NodeId) -> bool {
        !self.tree.suspended && self.path(id).all(|up| self.tree.nodes[up].enabled)
    }

    /// Since when faults of a child are told of by themselves.
    pub(super) fn lately(&self, id: NodeId) -> Timestamp {
        let window = self.tree.parent_policy(id).intensity.period_seconds;
        let window = SignedDuration::from_secs(i64::from(window));
        let long = window.max(LATELY);
        self.now.checked_sub(long).unwrap_or(Timestamp::MIN)
    }

    /// What there is to tell of a child; `None` when it is well and not asked for.
    fn child(&self, id: NodeId, asked: bool) -> Option<ChildAccount> {
        let faults = findings::of(self, id, asked);
        let (state, well) = self.state(id);
        if well && faults.is_empty() && !asked {
            return None;
        }
        let name = self.name(id);
        let warnings = self.known.status.warnings.iter();
        let warnings = warnings.filter(|warning| warning.child == name);
        Some(ChildAccount {
            child: name.to_owned(),
            state,
            faults,
            budget: self.budget(id),
            next: next::of(self, id, well),
            warnings: warnings.map(|warning| warning.message.clone()).collect(),
        })
    }

    /// How it is in words, and whether that is as it should be.
    fn state(&self, id: NodeId) -> (String, bool) {
        if !self.is_wanted(id) {
            return ("not to run".to_owned(), true);
        }
        let leaf = match &self.tree.nodes[id].kind {
            Kind::Worker(leaf) => leaf,
            Kind::Supervisor(policy) => return self.state_of_supervisor(id, policy),
        };
        let Some(worker) = self.known.workers.get(self.name(id)) else {
            let is_ready = self.known.status.conditions.iter();
            let mut ready = is_ready.filter(|c| c.type_ == types::READY);
            let well = ready.all(|condition| condition.status == "True");
            return ("no Worker of it is known".to_owned(), well);
        };
        let (wanted, up) = (
            worker.spec.replicas,
            worker.status.as_ref().map_or(0, |status| status.up),
        );
        let quorum = if leaf.completes() {
            wanted
        } else {
            leaf.settings.quorum.min(wanted)
        };
        let state = if up < quorum {
            format!("{up} of {wanted} up, and the quorum is {quorum}")
        } else {
            format!("{up} of {wanted} up")
        };
        (state, up >= wanted)
    }

    fn state_of_supervisor(&self, id: NodeId, policy: &Policy) -> (String, bool) {
        let record = self.record(id);
        let number = record.map_or(0, |record| record.incarnation);
        let mut state = format!("a supervisor, {:?}, incarnation {number}", policy.strategy);
        let operation = record.and_then(|record| record.operation.as_ref());
        if let Some(operation) = operation {
            state = format!("{state}, in the middle of {:?}", operation.kind);
        }
        // What it starts or restarts is told of by those children.
        let well = operation.is_none_or(|operation| !operation.kind.exits());
        (state, well)
    }

    /// What is left of the windows that a child is charged to, and of its own.
    fn budget(&self, id: NodeId) -> Vec<Left> {
        let parent = self.tree.nodes[id].parent;
        let mut all = Vec::new();
        for supervisor in [Some(id), (parent != id).then_some(parent)] {
            let Some(supervisor) = supervisor else {
                continue;
            };
            let Some(policy) = self.tree.policy(supervisor) else {
                continue;
            };
            let none = SupervisorStatus {
                name: self.name(supervisor).to_owned(),
                ..SupervisorStatus::default()
            };
            let record = self.record(supervisor).unwrap_or(&none);
            let budget = Budget::of_supervisor(record, policy.intensity, self.now);
            all.push(self.left(budget, self.exceeded(supervisor, policy)));
        }
        if self.tree.leaf(id).is_none() {
            return all;
        }
        let intensity = self.tree.parent_policy(id).intensity;
        for slot in self.known.slots(self.name(id)) {
            let budget = Budget::of_slot(self.name(id), slot, intensity, self.now);
            if !budget.charges.is_empty() {
                all.push(self.left(budget, "its slot is parked".to_owned()));
            }
        }
        all
    }

    fn left(&self, budget: Budget, exceeded: String) -> Left {
        let more_at = budget.changes().filter(|at| *at > self.now).min();
        Left {
            who: budget.who,
            left: budget.left,
            allowed: budget.allowed,
            period_seconds: budget.period_seconds,
            more_at,
            exceeded,
        }
    }

    /// What a supervisor does when its window is exceeded.
    fn exceeded(&self, id: NodeId, policy: &Policy) -> String {
        let name = self.name(id);
        match policy.on_give_up {
            GiveUp::Escalate if id != ROOT => {
                let parent = self.name(self.tree.nodes[id].parent);
                format!("{name} stops its children, then {parent} decides")
            }
            GiveUp::Retry => "what its strategy names is stopped, and tried again later".to_owned(),
            _ => format!("{name} stays stopped until `retryAt` or an edit of a template"),
        }
    }
}
