//! Notices as rows: deaths with their class and charge, give-ups, escalations, retries.
//!
//! Rule: what a notice says as data is rendered; what another row of the same moment says is not said twice.

use super::{Died, Row, Story};
use crate::model::decision::{Decision, Notice};
use crate::model::fault::{Class, Verdict};
use crate::model::outcome::{Charged, Cost, Next};
use crate::simulate::time::relative;

impl Story {
    /// Tells what a decision has people told, causes first.
    pub(super) fn notices(&mut self, decision: &Decision) {
        for notice in &decision.notices {
            let row = self.row(notice.subject(), event(notice));
            let next = notice.next.as_ref();
            let next = next.filter(|_| !is_told_later(notice, decision));
            let next = next.map(ToString::to_string).unwrap_or_default();
            let charges = notice.cost.as_ref().map(charges).unwrap_or_default();
            self.rows.push(Row {
                why: relative(&why(notice), self.start),
                charges,
                next: relative(&next, self.start),
                ..row
            });
        }
    }
}

/// The replicas whose death a decision tells.
pub(super) fn died(decision: &Decision) -> Died<'_> {
    let deaths = decision
        .notices
        .iter()
        .filter(|notice| event(notice) == "died");
    let replicas = deaths.filter_map(|notice| Some((notice.child.as_str(), notice.slot?)));
    replicas.collect()
}

fn event(notice: &Notice) -> &str {
    match (notice.fault, notice.reason.as_str()) {
        (Some((_, Verdict::Hold)), _) => "held",
        (Some((_, Verdict::Wait)), _) => "waits",
        (Some(_), _) if notice.next == Some(Next::TriedAgain) => "not created",
        (Some(_), _) => "died",
        (None, "ChildFinished" | "SupervisorFinished") => "finished",
        (None, "SupervisorEscalated" | "SupervisorStopped") => "gives up",
        (None, "SupervisorExited") => "exited",
        (None, "SupervisorShutsDown") => "shuts down",
        (None, "ChildGivenUp") => "given up",
        (None, "SlotParked") => "parked",
        (None, "RetryStarted") => "tried again",
        (None, other) => other,
    }
}

fn why(notice: &Notice) -> String {
    let Notice {
        fault, what, why, ..
    } = notice;
    match (fault, notice.reason.as_str()) {
        (Some((class, _)), _) => of_class(*class, why),
        // What these say of what happened is in the column of events.
        (
            None,
            "ChildFinished"
            | "SupervisorEscalated"
            | "SupervisorStopped"
            | "SupervisorShutsDown"
            | "ChildGivenUp"
            | "SlotParked",
        ) => why.clone(),
        (None, _) if why.is_empty() => what.clone(),
        (None, _) => format!("{what}: {why}"),
    }
}

fn of_class(class: Class, why: &str) -> String {
    format!("{class}: {why}")
}

fn charges(cost: &Cost) -> String {
    match cost {
        Cost::Free => "none".to_owned(),
        Cost::Charged(Charged {
            who,
            spent,
            allowed,
            period_seconds,
            ..
        }) => format!("{spent}/{allowed} in {period_seconds}s at {who}"),
    }
}

/// Whether the notice of a give-up says what follows from this one.
fn is_told_later(notice: &Notice, decision: &Decision) -> bool {
    let mut give_ups = decision.notices.iter().filter(|one| one.action == "GiveUp");
    notice.action != "GiveUp" && give_ups.any(|one| one.next == notice.next)
}
