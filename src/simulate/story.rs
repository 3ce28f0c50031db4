//! The story: what the decisions say and what the cluster does, as rows of a timeline.
//!
//! Rule: nothing is worked out anew; a row repeats what a decision, its writes or the statuses say.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::Row;
use super::cluster::{Cluster, News};
use super::time::relative;
use crate::api::conditions::types;
use crate::api::v1alpha1::{OperationKind, SupervisionTreeStatus, SupervisorStatus};
use crate::model::decision::{Decision, Write};
use crate::model::pod::PodView;
use crate::model::world::World;

mod ending;
mod notices;

pub(super) use ending::Ending;

/// The rows so far.
#[derive(Debug)]
pub(super) struct Story {
    tree: String,
    start: Timestamp,
    now: Timestamp,
    /// The rows, in the order in which things happened.
    pub(super) rows: Vec<Row>,
    /// What the cluster did because of an end that is still to be told.
    later: Vec<Row>,
    settled: Settled,
}

/// How the tree stood when something was told last.
#[derive(Debug)]
struct Settled {
    at: Timestamp,
    rows: usize,
    status: SupervisionTreeStatus,
}

/// Replicas that a decision tells the death of.
type Died<'a> = BTreeSet<(&'a str, i32)>;

impl Story {
    /// The story of a tree from then on.
    pub(super) fn new(tree: &str, start: Timestamp) -> Self {
        Self {
            tree: tree.to_owned(),
            start,
            now: start,
            rows: Vec::new(),
            later: Vec::new(),
            settled: Settled {
                at: start,
                rows: 0,
                status: SupervisionTreeStatus::default(),
            },
        }
    }

    /// Tells what the cluster did by itself.
    pub(super) fn news(&mut self, cluster: &mut Cluster) {
        self.now = cluster.now;
        for news in std::mem::take(&mut cluster.news) {
            match news {
                News::Gone(child, slot) => self.replica(&child, slot, "stopped", ""),
                News::NodeLost(child, slot, what) => {
                    self.replica(&child, slot, "node lost", &what);
                }
                News::Lifted(child, slot) => {
                    let why = "what kept it from starting has passed";
                    self.replica(&child, slot, "starting", why);
                }
                News::Restarted(child, slot) => {
                    let row = self.row(format!("{child}/{slot}"), "restarting");
                    self.later.push(Row {
                        why: "by the kubelet, in the same Pod".to_owned(),
                        ..row
                    });
                }
            }
        }
    }

    /// Tells a decision that was carried out. `before` is the world that it was made on.
    pub(super) fn decision(&mut self, before: &World, cluster: &Cluster, decision: &Decision) {
        self.now = cluster.now;
        let died = notices::died(decision);
        self.starts(before, decision, |replica| !died.contains(replica));
        self.supervisor_starts(&before.tree.status, &decision.tree_status);
        self.notices(decision);
        self.operations(&before.tree.status, &decision.tree_status);
        self.rows.append(&mut self.later);
        // What runs again by the time that its death is seen has started after it.
        self.starts(before, decision, |replica| died.contains(replica));
        self.writes(cluster, decision);
        self.warnings(&before.tree.status, &decision.tree_status);
        self.conditions(&before.tree.status, &decision.tree_status);
        self.settle(&decision.tree_status);
    }

    /// Notes how the tree stands, unless nothing is told any more than that windows empty.
    fn settle(&mut self, status: &SupervisionTreeStatus) {
        let is_news = self.rows.len() != self.settled.rows
            || self.ready_message(status) != self.ready_message(&self.settled.status);
        if is_news {
            self.settled = Settled {
                at: self.now,
                rows: self.rows.len(),
                status: status.clone(),
            };
        }
    }

    /// Those of these replicas that have started.
    fn starts(
        &mut self,
        before: &World,
        decision: &Decision,
        is_told: impl Fn(&(&str, i32)) -> bool,
    ) {
        for child in &before.tree.spec.children {
            let Some(status) = decision.worker_statuses.get(&child.name) else {
                continue;
            };
            let known = before.workers.get(&child.name).map(|one| &one.status.slots);
            let had_started = |slot: i32, uid: &str| {
                let mut known = known.into_iter().flatten();
                known.any(|one| one.slot == slot && one.started && one.pod_uid == uid)
            };
            for slot in status.slots.iter().filter(|slot| slot.started) {
                let replica = (child.name.as_str(), slot.slot);
                let has_died = notices::died(decision).contains(&replica);
                let is_news = has_died || !had_started(slot.slot, &slot.pod_uid);
                if is_news && is_told(&replica) {
                    self.replica(&child.name, slot.slot, "started", "");
                }
            }
        }
    }

    /// Supervisors that have started, and those that have restarted a group.
    fn supervisor_starts(&mut self, before: &SupervisionTreeStatus, after: &SupervisionTreeStatus) {
        for record in &after.supervisors {
            let known = supervisor(before, &record.name);
            let had_started = known.is_some_and(|known| known.started_time.is_some());
            if record.started_time.is_some() && !had_started {
                let row = self.row(record.name.clone(), "started");
                self.rows.push(Row {
                    why: "all its children have".to_owned(),
                    ..row
                });
            } else if known.is_some_and(|known| has_restarted(known, record)) {
                let row = self.row(record.name.clone(), "group restarted");
                self.rows.push(Row {
                    why: "all that was stopped has started".to_owned(),
                    ..row
                });
            }
        }
    }

    /// Operations that have begun and are not told by a notice.
    fn operations(&mut self, before: &SupervisionTreeStatus, after: &SupervisionTreeStatus) {
        for record in &after.supervisors {
            let known = supervisor(before, &record.name);
            let known = known.and_then(|known| known.operation.as_ref());
            let Some(operation) = record
                .operation
                .as_ref()
                .filter(|now| known.is_none_or(|known| known.number != now.number))
            else {
                continue;
            };
            let event = match operation.kind {
                OperationKind::Start => "starting",
                OperationKind::Restart => "group restart",
                OperationKind::FailStart => "fails to start",
                OperationKind::Suspend => "suspended",
                OperationKind::GiveUp | OperationKind::ShutDown => continue,
            };
            let members = match operation.children.as_slice() {
                [] => "all its children".to_owned(),
                children => children.join(", "),
            };
            let next = match operation.kind {
                OperationKind::Restart => {
                    format!("{members}: stopped in reverse, then started in order")
                }
                OperationKind::Start => String::new(),
                _ => "what runs is stopped".to_owned(),
            };
            let why = relative(&operation.message, self.start);
            let row = self.row(record.name.clone(), event);
            self.rows.push(Row { why, next, ..row });
        }
    }

    fn writes(&mut self, cluster: &Cluster, decision: &Decision) {
        for write in &decision.writes {
            match write {
                Write::CreatePod { child, slot, .. } => {
                    let mut refusals = cluster.world.refusals.iter();
                    if !refusals.any(|one| one.child == *child) {
                        self.replica(child, *slot, "starting", "");
                    }
                }
                Write::PatchPod { child, slot, .. } => {
                    self.replica(child, *slot, "updating in place", "");
                }
                Write::DeletePod {
                    child, uid, why, ..
                } => {
                    // What has ended is only cleared away.
                    let runs = |pod: &&PodView| pod.uid == *uid && !pod.is_terminal();
                    if let Some(pod) = cluster.pods().find(runs) {
                        self.replica(child, pod.slot, "stopping", why);
                    }
                }
                Write::Scale {
                    child, replicas, ..
                } => {
                    let row = self.row(child.clone(), "scaled");
                    let why = format!("the tree states {replicas} replicas");
                    self.rows.push(Row { why, ..row });
                }
                Write::AddFinalizer
                | Write::RemoveFinalizer
                | Write::CreateRevision { .. }
                | Write::NumberRevision { .. }
                | Write::CreateClaim { .. }
                | Write::OwnClaim { .. }
                | Write::DeleteRevision { .. }
                | Write::TryPod { .. }
                | Write::CreateWorker { .. }
                | Write::DeleteWorker { .. }
                | Write::CreateDisruptionBudget { .. }
                | Write::PatchDisruptionBudget { .. }
                | Write::DeleteDisruptionBudget { .. } => {}
            }
        }
    }

    fn warnings(&mut self, before: &SupervisionTreeStatus, after: &SupervisionTreeStatus) {
        for warning in &after.warnings {
            if !before.warnings.contains(warning) {
                let row = self.row(warning.child.clone(), "warning");
                let why = format!("{}: {}", warning.reason, warning.message);
                self.rows.push(Row { why, ..row });
            }
        }
    }

    /// A row whenever the tree stands differently.
    fn conditions(&mut self, before: &SupervisionTreeStatus, after: &SupervisionTreeStatus) {
        let state = state(after);
        if state == self::state(before) || state.is_empty() {
            return;
        }
        let why = self.ready_message(after);
        let row = self.row(self.tree.clone(), &state);
        self.rows.push(Row { why, ..row });
    }

    fn ready_message(&self, status: &SupervisionTreeStatus) -> String {
        let mut conditions = status.conditions.iter();
        let ready = conditions.find(|one| one.type_ == types::READY);
        ready.map_or_else(String::new, |one| relative(&one.message, self.start))
    }

    fn replica(&mut self, child: &str, slot: i32, event: &str, why: &str) {
        let row = self.row(format!("{child}/{slot}"), event);
        self.rows.push(Row {
            why: why.to_owned(),
            ..row
        });
    }

    fn row(&self, subject: String, event: &str) -> Row {
        Row {
            tree: self.tree.clone(),
            at: self.since_start(self.now),
            subject,
            event: event.to_owned(),
            why: String::new(),
            charges: String::new(),
            next: String::new(),
        }
    }

    fn since_start(&self, time: Timestamp) -> i64 {
        time.as_second() - self.start.as_second()
    }
}

/// Whether a group restart has come to its end, and not been given up.
fn has_restarted(before: &SupervisorStatus, after: &SupervisorStatus) -> bool {
    let operation = before.operation.as_ref();
    let was_restarting = operation.is_some_and(|one| one.kind == OperationKind::Restart);
    let is_given_up = after.gave_up.iter().any(|entry| entry.waiting);
    was_restarting && after.operation.is_none() && after.finished.is_none() && !is_given_up
}

fn supervisor<'a>(status: &'a SupervisionTreeStatus, name: &str) -> Option<&'a SupervisorStatus> {
    status.supervisors.iter().find(|one| one.name == name)
}

/// How the tree stands, for example `Ready (AllUp)`.
fn state(status: &SupervisionTreeStatus) -> String {
    let is_true = |type_: &str| {
        let mut conditions = status.conditions.iter();
        conditions.any(|one| one.type_ == type_ && one.status == "True")
    };
    let mut conditions = status.conditions.iter();
    let Some(ready) = conditions.find(|one| one.type_ == types::READY) else {
        return String::new();
    };
    let word = match (is_true(types::READY), is_true(types::STALLED)) {
        (true, false) => "Ready",
        (true, true) => "Ready, Stalled",
        (false, true) => "Stalled",
        (false, false) => "not Ready",
    };
    format!("{word} ({})", ready.reason)
}
