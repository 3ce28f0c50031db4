//! Notices as rows: deaths with their class and charge, give-ups, escalations, retries.
//!
//! Rule: the last part of a message says what follows; what is said in a column of its own is not said twice.

use super::charges;
use super::{Row, Story, supervisor};
use crate::api::v1alpha1::SupervisionTreeStatus;
use crate::model::decision::{Decision, Judged, Notice};
use crate::model::fault::Verdict;
use crate::model::tree::{ROOT_NAME, Tree};
use crate::model::world::World;
use crate::simulate::time::{format_time, relative};

impl Story {
    /// Tells what a decision has people told, causes first.
    pub(super) fn notices(&mut self, before: &World, decision: &Decision) {
        for notice in &decision.notices {
            let mut judged = decision.judged.iter();
            match judged.find(|one| is_told_by(one, notice)) {
                Some(judged) => self.judged(before, decision, judged),
                None => self.notice(before, decision, notice),
            }
        }
    }

    fn judged(&mut self, before: &World, decision: &Decision, judged: &Judged) {
        let event = match judged.verdict {
            Verdict::Hold => "held",
            Verdict::Wait => "waits",
            _ if judged.charged.is_none() && !is_end(judged) => "not created",
            _ => "died",
        };
        let (is_charged, rest) = split_charge(&judged.decision);
        let charges = match is_charged {
            Some(true) => charges::of_replica(before, decision, &judged.child, judged.slot),
            _ => charges::NONE.to_owned(),
        };
        let next = if rest.is_empty() && is_charged == Some(true) {
            self.due(before, &decision.tree_status, decision, judged)
        } else {
            relative(&untold(&rest, decision), self.start)
        };
        let row = self.row(format!("{}/{}", judged.child, judged.slot), event);
        self.rows.push(Row {
            why: format!(
                "{}: {}",
                judged.class,
                relative(&judged.evidence, self.start)
            ),
            charges,
            next,
            ..row
        });
    }

    /// When a charged restart is due.
    fn due(
        &self,
        before: &World,
        status: &SupervisionTreeStatus,
        decision: &Decision,
        judged: &Judged,
    ) -> String {
        let tree = Tree::parse(&before.tree.name, &before.tree.spec);
        let parent = tree.ok().and_then(|tree| {
            let id = tree.find(&judged.child)?;
            Some(tree.nodes[tree.nodes[id].parent].name.to_owned())
        });
        let record = supervisor(status, parent.as_deref().unwrap_or(ROOT_NAME));
        let of_child = record.and_then(|record| {
            let found = record
                .backoff
                .iter()
                .find(|one| one.child == judged.child)?;
            Some(found.due_time.0)
        });
        let worker = decision.worker_statuses.get(&judged.child);
        let of_slot = worker.and_then(|worker| {
            let found = worker.slots.iter().find(|one| one.slot == judged.slot)?;
            Some(found.due_time.as_ref()?.0)
        });
        match of_child.max(of_slot).filter(|due| *due > self.now) {
            Some(due) => format!("restarted at {}", format_time(self.since_start(due))),
            None => "restarted at once".to_owned(),
        }
    }

    fn notice(&mut self, before: &World, decision: &Decision, notice: &Notice) {
        let event = match notice.reason.as_str() {
            "ChildFinished" | "SupervisorFinished" => "finished",
            "SupervisorEscalated" | "SupervisorStopped" => "gives up",
            "SupervisorExited" => "exited",
            "SupervisorShutsDown" => "shuts down",
            "ChildGivenUp" => "given up",
            "RetryStarted" => "tried again",
            other => other,
        };
        let (is_charged, mut rest) = split_charge(&notice.message);
        let charges = match is_charged {
            Some(true) if notice.reason == "SupervisorExited" => {
                charges::of_supervisor(before, decision, &notice.child)
            }
            Some(false) => charges::NONE.to_owned(),
            _ => String::new(),
        };
        let next = if rest.len() > 1 { rest.pop() } else { None };
        let next = match next {
            Some(next) if notice.reason == "SupervisorExited" => untold(&[next], decision),
            next => next.unwrap_or_default().to_owned(),
        };
        let row = self.row(subject(notice), event);
        self.rows.push(Row {
            why: relative(&rest.join("; "), self.start),
            charges,
            next: relative(&next, self.start),
            ..row
        });
    }
}

/// What follows, without what a notice about a give-up repeats.
fn untold(follows: &[&str], decision: &Decision) -> String {
    let is_told = |part: &str| {
        let mut notices = decision.notices.iter().filter(|one| one.action == "GiveUp");
        notices.any(|notice| notice.message.ends_with(part))
    };
    let left = follows.iter().copied().filter(|part| !is_told(part));
    left.collect::<Vec<_>>().join("; ")
}

/// Whether a notice is the one about that fault.
fn is_told_by(judged: &Judged, notice: &Notice) -> bool {
    let Judged {
        child,
        slot,
        evidence,
        decision,
        ..
    } = judged;
    notice.reason == judged.class.event_reason()
        && notice.message == format!("{child}/{slot}: {evidence}; {decision}")
}

/// Whether a fault that leads to no charge was an end, and not a create that was refused.
fn is_end(judged: &Judged) -> bool {
    !judged.decision.starts_with("tried again")
}

/// The replica that a notice is about, or its child.
fn subject(notice: &Notice) -> String {
    let first = notice.message.split(' ').next().unwrap_or_default();
    let is_replica = first
        .strip_prefix(&notice.child)
        .and_then(|rest| rest.strip_prefix('/'))
        .is_some_and(|slot| slot.parse::<u32>().is_ok());
    if is_replica { first } else { &notice.child }.to_owned()
}

/// Whether a message says that something was charged, or that it was not; and its other parts.
fn split_charge(message: &str) -> (Option<bool>, Vec<&str>) {
    let mut charged = None;
    let mut rest = Vec::new();
    for part in parts(message) {
        if part.starts_with("charged") {
            charged = Some(true);
        } else if part == "not charged" {
            charged = charged.or(Some(false));
        } else {
            rest.push(part);
        }
    }
    (charged, rest)
}

/// The parts of a message: between semicolons, parentheses kept whole.
fn parts(message: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    for (index, character) in message.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ';' if depth == 0 => {
                parts.push(message[start..index].trim());
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(message[start..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_charged_is_told_apart_from_what_follows() {
        let table = [
            (
                "not charged; replaced at once",
                Some(false),
                &["replaced at once"][..],
            ),
            (
                "charged: restart 1 of 3 within 300 s at web",
                Some(true),
                &[],
            ),
            (
                "charged: 2 deaths; web gives up",
                Some(true),
                &["web gives up"],
            ),
            (
                "web gave up (a; b) and has stopped; charged: restart 1 of 1",
                Some(true),
                &["web gave up (a; b) and has stopped"],
            ),
            ("left alone", None, &["left alone"]),
        ];
        for (message, charged, rest) in table {
            assert_eq!(split_charge(message), (charged, rest.to_vec()), "{message}");
        }
    }

    #[test]
    fn a_notice_is_about_the_replica_that_it_names() {
        let notice = |message: &str| Notice {
            warning: false,
            reason: "ChildFinished".to_owned(),
            action: "Finish",
            child: "a".to_owned(),
            message: message.to_owned(),
            pod: None,
        };
        assert_eq!(subject(&notice("a/3 has finished")), "a/3");
        assert_eq!(subject(&notice("ab/3 has finished")), "a");
        assert_eq!(subject(&notice("a has finished")), "a");
    }
}
