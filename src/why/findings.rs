//! What is or was wrong with a child: from its Pods, from what is remembered of its slots, and from the last faults.
//!
//! Rule: the same class is told of once, however many slots have it and wherever it is found; what a Pod proves now goes
//! before what was remembered.

use jiff::Timestamp;

use super::account::{About, Decided, Finding};
use super::known::PodAnswer;
use crate::api::conditions::Reason;
use crate::api::v1alpha1::{GaveUpStatus, RecentFault, SlotStatus};
use crate::identify::Piece;
use crate::model::fault::Class;
use crate::model::tree::NodeId;

/// All of it, the present first. Of a child that is asked for also what is long past.
pub(super) fn of(about: &About<'_>, id: NodeId, asked: bool) -> Vec<Finding> {
    let name = about.name(id);
    let lately = about.lately(id);
    let mut found = Vec::new();
    for given_up in given_up(about, id) {
        found.push(of_give_up(given_up));
    }
    let slots = about.known.slots(name);
    for pod in about.known.current(name) {
        let slot = slots.iter().find(|slot| slot.slot == pod.slot);
        // Of a worker that nothing is known of, its Pods are all there is.
        let is_down = match slot {
            Some(slot) => slot.down_time.is_some(),
            None => !about.known.workers.contains_key(name),
        };
        let is_long_past = |since| !asked && since < lately;
        if is_down || !pod.answer.since.is_some_and(is_long_past) {
            add_pod(&mut found, pod, slot, is_down);
        }
    }
    for slot in slots {
        add_trouble(&mut found, slot);
    }
    let mut refused = about.known.status.refused.iter();
    if let Some(refused) = refused.find(|refused| refused.child == name) {
        let (reason, message) = (&refused.reason, &refused.message);
        found.push(of_reason(reason, message, refused.since_time.0));
    }
    for fault in &about.known.status.recent_faults {
        if fault.child == name && (asked || fault.time.0 >= lately) {
            add_recent(&mut found, fault, about);
        }
    }
    found.sort_by_key(|finding| !finding.present);
    found
}

/// The entries of what is given up that are about that child: of its parent about it, of itself about all of it.
fn given_up<'a>(about: &'a About<'_>, id: NodeId) -> impl Iterator<Item = &'a GaveUpStatus> {
    let name = about.name(id);
    let of = |id, child: &'a str| {
        let entries = about.record(id).into_iter().flat_map(|r| &r.gave_up);
        entries.filter(move |entry| entry.waiting && entry.child == child)
    };
    let parent = about.tree.nodes[id].parent;
    let by_parent = (parent != id).then(|| of(parent, name));
    of(id, "").chain(by_parent.into_iter().flatten())
}

fn of_give_up(given_up: &GaveUpStatus) -> Finding {
    let mut finding = of_reason(
        Reason::GaveUp.as_str(),
        &given_up.message,
        given_up.since_time.0,
    );
    "Mend what it died of. An edit of a template in it starts it again at once, and so does `spec.retryAt` of the tree, set \
     to the present."
        .clone_into(&mut finding.advice);
    finding
}

/// Something that is no fault of a class.
fn of_reason(word: &str, message: &str, since: Timestamp) -> Finding {
    let reason = Reason::ALL.iter().find(|one| one.as_str() == word);
    Finding {
        name: word.to_owned(),
        meaning: reason.map_or("", |reason| reason.meaning()),
        present: true,
        slots: Vec::new(),
        times: 0,
        message: message.to_owned(),
        since: Some(since),
        container: None,
        confidence: None,
        proof: Vec::new(),
        decided: None,
        advice: String::new(),
        page: "conditions.md".to_owned(),
    }
}

/// What a Pod proves: what keeps it down, or how it ended before it ran again.
fn add_pod(found: &mut Vec<Finding>, pod: &PodAnswer, slot: Option<&SlotStatus>, is_down: bool) {
    let answer = &pod.answer;
    let has_finished = slot.is_some_and(|slot| slot.finished.is_some());
    let class = Class::of(answer.class).filter(|class| class.verdict().is_some());
    let Some(class) = class.filter(|_| !has_finished) else {
        return;
    };
    if let Some(same) = of_class(found, answer.class) {
        add_slot(same, pod.slot);
        same.present |= is_down;
        same.since = same.since.into_iter().chain(answer.since).min();
        return;
    }
    found.push(Finding {
        slots: vec![pod.slot],
        since: answer.since,
        container: answer.container.clone(),
        confidence: Some(answer.confidence.to_owned()),
        proof: answer.evidence.clone(),
        ..of_known(class, is_down, &answer.message)
    });
}

/// A fault of a class, of which nothing else is known yet.
fn of_known(class: Class, present: bool, message: &str) -> Finding {
    Finding {
        name: class.as_str().to_owned(),
        meaning: class.meaning(),
        present,
        slots: Vec::new(),
        times: 0,
        message: message.to_owned(),
        since: None,
        container: None,
        confidence: None,
        proof: Vec::new(),
        decided: None,
        advice: class.advice().to_owned(),
        page: class.page(),
    }
}

/// What is remembered to keep a slot down.
fn add_trouble(found: &mut Vec<Finding>, slot: &SlotStatus) {
    let Some(trouble) = &slot.trouble else {
        return;
    };
    let name = match trouble.class.as_str() {
        "" => &trouble.reason,
        class => class,
    };
    let index = match of_class(found, name) {
        Some(same) => {
            add_slot(same, slot.slot);
            return;
        }
        None => found.len(),
    };
    let since = trouble.since_time.0;
    found.push(match Class::of(&trouble.class) {
        Some(class) => of_known(class, true, &trouble.message),
        None => of_reason(&trouble.reason, &trouble.message, since),
    });
    found[index].since = Some(since);
    found[index].slots.push(slot.slot);
}

/// One of the last faults. They come newest first, so that the first of a class is what was decided last.
fn add_recent(found: &mut Vec<Finding>, fault: &RecentFault, about: &About<'_>) {
    if of_class(found, &fault.class).is_none() {
        let finding = match Class::of(&fault.class) {
            Some(class) => of_known(class, false, &fault.message),
            // A version that is newer than this one knows it.
            None => Finding {
                present: false,
                name: fault.class.clone(),
                page: "faults.md".to_owned(),
                ..of_reason("", &fault.message, fault.time.0)
            },
        };
        found.push(finding);
    }
    let Some(same) = of_class(found, &fault.class) else {
        return;
    };
    same.times += 1;
    add_slot(same, fault.slot);
    if same.decided.is_none() {
        same.decided = Some(Decided {
            at: fault.time.0,
            what: fault.decision.clone(),
            rule: fault.rule.clone(),
            verdict: fault.verdict.clone(),
            charge: fault.charge.clone(),
        });
    }
    same.since = same.since.or(Some(fault.time.0));
    if same.confidence.is_none() && !fault.confidence.is_empty() {
        same.confidence = Some(fault.confidence.clone());
    }
    if same.container.is_none() && !fault.container.is_empty() {
        same.container = Some(fault.container.clone());
    }
    if same.proof.is_empty() {
        same.proof = proof_of_dead_pod(about, fault).unwrap_or_else(|| remembered(fault));
    }
}

/// The Pod that died is often there still, and proves more than what is remembered of it.
fn proof_of_dead_pod(about: &About<'_>, fault: &RecentFault) -> Option<Vec<Piece>> {
    let is_it = |pod: &&PodAnswer| {
        let class = pod.answer.class;
        pod.child == fault.child && pod.slot == fault.slot && class == fault.class
    };
    let pod = about.known.pods.iter().find(is_it)?;
    Some(pod.answer.evidence.clone()).filter(|evidence| !evidence.is_empty())
}

fn remembered(fault: &RecentFault) -> Vec<Piece> {
    let evidence = fault.evidence.iter();
    let pieces = evidence.map(|piece| Piece {
        object: piece.object.clone(),
        field: piece.field.clone(),
        value: piece.value.clone(),
    });
    pieces.collect()
}

fn of_class<'a>(found: &'a mut [Finding], name: &str) -> Option<&'a mut Finding> {
    found.iter_mut().find(|finding| finding.name == name)
}

fn add_slot(finding: &mut Finding, slot: i32) {
    if !finding.slots.contains(&slot) {
        finding.slots.push(slot);
        finding.slots.sort_unstable();
    }
}
