//! What happens next to a child, and when.
//!
//! Rule: all times are those in the statuses; what waits for a person says for what.

use jiff::Timestamp;

use super::account::{About, Step};
use crate::api::conditions::Reason;
use crate::api::v1alpha1::{GaveUpStatus, OperationKind, Restart, SlotStatus};
use crate::model::fault::{Class, Verdict};
use crate::model::tree::{NodeId, ROOT};

/// The steps, those of slots first. Never none. `is_well` says that the child is as it should be.
pub(super) fn of(about: &About<'_>, id: NodeId, is_well: bool) -> Vec<Step> {
    if let Some(step) = not_wanted(about, id).or_else(|| given_up(about, id)) {
        return vec![step];
    }
    if let Some(step) = ended(about, id) {
        return vec![step];
    }
    let mut steps = slots(about, id);
    let mut refused = about.known.status.refused.iter();
    if let Some(refused) = refused.find(|refused| refused.child == about.name(id)) {
        let what = format!(
            "its Worker was refused {} and is asked for again",
            times(refused.count)
        );
        steps.push(due(&what, refused.due_time.0));
    }
    // A start says nothing to who is up.
    let path = about.path(id).filter(|up| {
        let operation = about.record(*up).and_then(|r| r.operation.as_ref());
        operation.is_some_and(|o| !is_well || *up == id || o.kind != OperationKind::Start)
    });
    steps.extend(path.filter_map(|up| operation(about, up)).take(1));
    if steps.is_empty() {
        steps.push(step("nothing is due"));
    }
    steps
}

fn step(what: &str) -> Step {
    Step {
        what: what.to_owned(),
        at: None,
    }
}

fn due(what: &str, at: Timestamp) -> Step {
    Step {
        what: what.to_owned(),
        at: Some(at),
    }
}

fn times(number: i64) -> String {
    match number {
        1 => "once".to_owned(),
        number => format!("{number} times"),
    }
}

/// What the spec keeps down.
fn not_wanted(about: &About<'_>, id: NodeId) -> Option<Step> {
    if about.tree.suspended {
        return Some(step("it stays stopped until `suspend` is false"));
    }
    let disabled = about.path(id).find(|up| !about.tree.nodes[*up].enabled)?;
    Some(step(&format!(
        "it stays stopped until `enabled` of {} is true",
        about.name(disabled)
    )))
}

/// What was given up with it in it: it, one before it, or a supervisor above.
fn given_up(about: &About<'_>, id: NodeId) -> Option<Step> {
    about.path(id).find_map(|up| {
        let own = waiting(about, up).find(|entry| entry.child.is_empty());
        let parent = about.tree.nodes[up].parent;
        let by_parent = waiting(about, parent).find(|entry| {
            let first = about.tree.find(&entry.child);
            let with_rest = |first| entry.rest && about.tree.from_child(first).contains(&up);
            up != ROOT && first.is_some_and(|first| first == up || with_rest(first))
        });
        let (entry, who) = match (own, by_parent) {
            (Some(own), _) => (own, about.name(up)),
            (None, Some(entry)) => (entry, entry.child.as_str()),
            (None, None) => return None,
        };
        Some(match &entry.retry_time {
            Some(retry) => due(&format!("{who} is given up, and tried again"), retry.0),
            None => step(&format!(
                "{who} is given up, and stays stopped until `spec.retryAt` or an edit of a template in it"
            )),
        })
    })
}

fn waiting<'a>(about: &'a About<'_>, id: NodeId) -> impl Iterator<Item = &'a GaveUpStatus> {
    let record = about.record(id).into_iter();
    record
        .flat_map(|record| &record.gave_up)
        .filter(|entry| entry.waiting)
}

/// A supervisor that is not started again.
fn ended(about: &About<'_>, id: NodeId) -> Option<Step> {
    about.path(id).find_map(|up| {
        let finished = about.record(up)?.finished.as_ref()?;
        let what = if about.tree.nodes[up].restart == Restart::Temporary {
            "a new incarnation of its supervisor starts it"
        } else {
            "an edit of a template in it, or a new incarnation of its supervisor, starts it"
        };
        Some(step(&format!(
            "{} ended at {}; {what}",
            about.name(up),
            finished.time.0
        )))
    })
}

/// What a supervisor is in the middle of.
fn operation(about: &About<'_>, id: NodeId) -> Option<Step> {
    let operation = about.record(id)?.operation.as_ref()?;
    let name = about.name(id);
    let members = match operation.children.as_slice() {
        [] => "its children".to_owned(),
        children => children.join(", "),
    };
    let what = match operation.kind {
        OperationKind::Start => format!("{name} is starting {members}"),
        OperationKind::Restart => format!("{name} stops {members}, and starts them again"),
        OperationKind::Suspend => format!("{name} stops {members}"),
        OperationKind::GiveUp | OperationKind::FailStart | OperationKind::ShutDown => {
            let then = match id {
                ROOT => "stays stopped or is tried again, as `onGiveUp` says".to_owned(),
                _ => format!("{} decides", about.name(about.tree.nodes[id].parent)),
            };
            format!("{name} stops {members}, then {then}")
        }
    };
    Some(step(&format!("{what}: {}", operation.message)))
}

/// What the slots of a worker wait for; those that wait for the same are told of together.
fn slots(about: &About<'_>, id: NodeId) -> Vec<Step> {
    let mut together: Vec<(Step, Vec<i32>)> = Vec::new();
    for slot in about.known.slots(about.name(id)) {
        let Some(step) = of_slot(about, id, slot) else {
            continue;
        };
        match together.iter_mut().find(|(one, _)| *one == step) {
            Some((_, slots)) => slots.push(slot.slot),
            None => together.push((step, vec![slot.slot])),
        }
    }
    let with_slots = together.into_iter().map(|(step, slots)| Step {
        what: format!("{} {}", named(&slots), step.what),
        ..step
    });
    with_slots.collect()
}

/// The slots in words.
pub(super) fn named(slots: &[i32]) -> String {
    const MOST: usize = 8;
    let shown: Vec<String> = slots.iter().take(MOST).map(ToString::to_string).collect();
    let shown = shown.join(", ");
    match (slots.len(), slots.len().saturating_sub(MOST)) {
        (1, _) => format!("slot {shown}:"),
        (_, 0) => format!("slots {shown}:"),
        (_, more) => format!("slots {shown} and {more} more:"),
    }
}

fn of_slot(about: &About<'_>, id: NodeId, slot: &SlotStatus) -> Option<Step> {
    if let Some(finished) = &slot.finished {
        return Some(step(&format!(
            "it ended at {}, and is not started again",
            finished.time.0
        )));
    }
    if let Some(parked) = slot.parked.as_ref().filter(|parked| parked.waiting) {
        return Some(due("it is parked, and tried again", parked.retry_time.0));
    }
    let trouble = slot.trouble.as_ref();
    let is = |reason: Reason| trouble.is_some_and(|trouble| trouble.reason == reason.as_str());
    let delayed = delay(about, id, slot);
    if is(Reason::CreateRefused) || is(Reason::NameCollision) {
        let what = "its Pod is asked for again";
        return Some(delayed.map_or_else(|| step(what), |at| due(what, at)));
    }
    if let Some(at) = delayed.filter(|_| slot.down_time.is_some()) {
        let what = if trouble.is_some() {
            "it is tried again"
        } else {
            "it is started again"
        };
        return Some(due(what, at));
    }
    slot.down_time.as_ref()?;
    if is(Reason::Held) {
        return Some(held(about, id, slot));
    }
    let what = if is(Reason::WaitingForCapacity) {
        "it starts by itself once that has passed"
    } else if is(Reason::WaitingForFence) {
        "it is replaced once its Pod is proven dead"
    } else if is(Reason::StartDeadlineExceeded) {
        "it is replaced, as a start that failed"
    } else {
        "it is being started"
    };
    Some(step(what))
}

/// What ends a hold: what the class names, or where a rule of the user's holds it, what the rule waits for.
fn held(about: &About<'_>, id: NodeId, slot: &SlotStatus) -> Step {
    let name = about.name(id);
    let class = slot.trouble.as_ref().map_or("", |trouble| &trouble.class);
    let mut recent = about.known.status.recent_faults.iter();
    let decided = recent.find(|fault| {
        // What holds several replicas is told of one of them.
        let is_of_slot = fault.slot == slot.slot;
        fault.child == name
            && if class.is_empty() {
                is_of_slot
            } else {
                fault.class == class
            }
    });
    let by_rule = decided.filter(|fault| !fault.rule.is_empty() && fault.rule != "verdict");
    if let Some(fault) = by_rule {
        return step(&format!(
            "it is left as it is, as {} asks, until its template is edited or `spec.retryAt` comes",
            fault.rule
        ));
    }
    let is_hold = Class::of(class).is_none_or(|class| class.verdict() == Some(Verdict::Hold));
    step(if is_hold {
        "it is left alone until what the fault names is changed, which the kubelet notices by itself, or its template is edited"
    } else {
        "it is left alone until the fault has passed, or its template is edited"
    })
}

/// When the next start may happen, where something delays it: the slot itself, or a delay of its child or of a supervisor
/// above.
fn delay(about: &About<'_>, id: NodeId, slot: &SlotStatus) -> Option<Timestamp> {
    let own = slot.due_time.as_ref().map(|time| time.0);
    let brake = slot.brake.as_ref().map(|brake| brake.due_time.0);
    let above = about.path(id).filter(|up| *up != ROOT).filter_map(|up| {
        let record = about.record(about.tree.nodes[up].parent)?;
        let mut delays = record.backoff.iter();
        let delay = delays.find(|delay| delay.child == about.name(up))?;
        Some(delay.due_time.0)
    });
    let latest = own.into_iter().chain(brake).chain(above).max();
    latest.filter(|at| *at > about.now)
}
