//! What people are told when not every write has its answer.
//!
//! Rule: what was published is what counts.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::super::super::testing::{Answer, Seen};
use super::super::{Executed, settle};
use super::*;
use crate::api::v1alpha1::RecentFault;
use crate::model::decision::OfWorkers;

const EVENTS: &str = "POST /apis/events.k8s.io/v1/namespaces/ns/events";

fn notice(child: &str) -> Notice {
    Notice {
        warning: true,
        reason: "Crashed".to_owned(),
        action: "Restart",
        child: child.to_owned(),
        what: "m".to_owned(),
        ..Notice::default()
    }
}

fn fault(child: &str) -> RecentFault {
    let fault = json!({"time": "2026-01-01T00:00:00Z", "child": child, "slot": 0, "class": "C",
        "verdict": "V", "confidence": "P", "message": "m", "decision": "d"});
    serde_json::from_value(fault).unwrap()
}

fn charge_tree(decision: &mut Decision) {
    decision.tree_status.restarts = 1;
    decision.tree_intent = true;
    decision.notices.push(notice("other"));
}

fn charge_worker(decision: &mut Decision) {
    decision.worker_statuses.get_mut("w").unwrap().restarts = 1;
    decision.worker_intents.insert("w".to_owned());
    decision.notices.push(notice("w"));
    decision.tree_status.recent_faults.push(fault("w"));
}

/// The children that were told of, once everything that was handed in is published.
async fn told(bench: &Bench) -> Vec<String> {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let log = bench.log.lock().unwrap();
    let events = log.iter().filter(|seen| seen.target == EVENTS);
    let field = |event: &Seen| event.body["regarding"]["fieldPath"].clone();
    events.map(|event| field(event).to_string()).collect()
}

/// A server that answers that method and path so, publishes Events, and shows a tree and a Worker with that status.
fn answering(
    target: String,
    answer: Answer,
    status: Value,
) -> impl Fn(&Seen) -> Answer + Send + 'static {
    move |seen| match seen.target.as_str() {
        one if one == target => answer.clone(),
        EVENTS => Answer::Json(201, json!({"metadata": {"name": "e"}})),
        one if one.starts_with("GET") => {
            let mut object = if one.ends_with("t-w") {
                worker_object(80)
            } else {
                tree_object(80)
            };
            for (name, value) in status.as_object().unwrap() {
                object["status"][name] = value.clone();
            }
            Answer::Json(200, object)
        }
        _ => obliging(seen),
    }
}

/// The next two looks at the tree; the faults that the second one is to tell it of.
async fn look_again(bench: &Bench) -> Vec<RecentFault> {
    let mut untold = Vec::new();
    for _ in 0..2 {
        let mut observation = bench.observe().await;
        settle(&bench.context, &mut observation);
        untold = observation.world.untold.faults;
    }
    untold
}

#[tokio::test]
async fn what_a_write_without_an_answer_did_is_told_once_when_that_is_known() {
    for child in ["other", "w"] {
        let (charge, target): (fn(&mut Decision), String) = match child {
            "w" => (charge_worker, format!("PATCH {WORKERS}/t-w/status")),
            _ => (charge_tree, format!("PATCH {TREE}/status")),
        };
        for is_stored in [true, false] {
            let late = Answer::error(504, "Timeout", "late");
            let status = if is_stored {
                json!({"restarts": 1})
            } else {
                json!({})
            };
            let bench = Bench::new(answering(target.clone(), late, status));
            bench.execute(charge).await.unwrap_err();
            assert_eq!(told(&bench).await, Vec::<String>::new(), "{child}");
            let untold = look_again(&bench).await;
            let told_of = format!("\"spec.children{{{child}}}\"");
            let expected = Vec::from_iter(is_stored.then_some(told_of));
            assert_eq!(told(&bench).await, expected, "{child} {is_stored}");
            // What is not stored is judged again, at another time perhaps, and would be told twice.
            let expected = Vec::from_iter((is_stored && child == "w").then(|| fault("w")));
            assert_eq!(untold, expected, "{child} {is_stored}");
        }
    }
}

/// A request may be carried out after its object was read to find out about it.
#[tokio::test]
async fn what_is_stored_later_than_it_was_looked_for_is_told_once() {
    let late = Answer::error(504, "Timeout", "late");
    let (answered, target) = (AtomicUsize::new(0), format!("PATCH {WORKERS}/t-w/status"));
    let bench = Bench::new(move |seen| match seen.target.as_str() {
        one if one == target => late.clone(),
        EVENTS => Answer::Json(201, json!({"metadata": {"name": "e"}})),
        one if one.starts_with("GET") => {
            let is_first = answered.fetch_add(1, Ordering::Relaxed) == 0;
            let mut worker = worker_object(if is_first { 11 } else { 90 });
            worker["status"]["restarts"] = json!(i32::from(!is_first));
            Answer::Json(200, worker)
        }
        _ => obliging(seen),
    });
    bench.execute(charge_worker).await.unwrap_err();
    let look = async || {
        let mut observation = bench.observe().await;
        settle(&bench.context, &mut observation);
        (told(&bench).await.len(), observation.world.untold.faults)
    };
    assert_eq!(
        look().await,
        (0, vec![]),
        "as before, for all that is known"
    );
    let memories = &bench.context.memories;
    memories.doubt(&tree(), Written::Worker, "t-w");
    assert_eq!(look().await, (1, vec![fault("w")]));
    memories.doubt(&tree(), Written::Worker, "t-w");
    assert_eq!(look().await, (1, vec![fault("w")]));
}

#[tokio::test]
async fn what_was_tried_again_and_stored_is_told_once() {
    let failed = AtomicUsize::new(0);
    let target = format!("PATCH {WORKERS}/t-w/status");
    let bench = Bench::new(move |seen| match seen.target.as_str() {
        one if one == target && failed.fetch_add(1, Ordering::Relaxed) == 0 => {
            Answer::error(504, "Timeout", "late")
        }
        EVENTS => Answer::Json(201, json!({"metadata": {"name": "e"}})),
        one if one.starts_with("GET") => Answer::Json(200, worker_object(11)),
        _ => obliging(seen),
    });
    bench.execute(charge_worker).await.unwrap_err();
    look_again(&bench).await;
    assert_eq!(bench.execute(charge_worker).await.unwrap(), Executed::Wrote);
    look_again(&bench).await;
    assert_eq!(told(&bench).await.len(), 1);
}

#[tokio::test]
async fn of_two_workers_of_which_one_is_stored_one_is_told() {
    let conflict = Answer::error(409, "Conflict", "modified");
    let target = format!("PATCH {WORKERS}/t-v/status");
    let bench = Bench::new(answering(target, conflict, json!({})));
    let mut other = worker_object(12);
    other["metadata"]["name"] = json!("t-v");
    other["metadata"]["uid"] = json!("uv");
    other["metadata"]["labels"]["coppice.dev/child"] = json!("v");
    let other = serde_json::from_value(other).unwrap();
    let source = Source::Watch;
    bench
        .context
        .views
        .lock()
        .put::<Workers>(other, source, None);
    let executed = bench.execute(|decision| {
        charge_worker(decision);
        decision.worker_statuses.get_mut("v").unwrap().restarts = 1;
        decision.worker_intents.insert("v".to_owned());
        decision.notices.push(notice("v"));
    });
    assert_eq!(executed.await.unwrap(), Executed::Stale);
    assert_eq!(told(&bench).await, ["\"spec.children{w}\""]);
}

/// The tree is charged with one death, and only its Worker with the other.
fn charge_both(decision: &mut Decision) {
    charge_tree(decision);
    charge_worker(decision);
    decision.of_workers = Some(OfWorkers {
        restarts: [("w".to_owned(), 1)].into(),
        tree_status: decision.tree_status.clone(),
    });
    decision.tree_status.restarts = 2;
}

#[tokio::test]
async fn the_tree_counts_what_only_a_worker_remembers_after_it() {
    let bench = Bench::new(obliging);
    assert_eq!(bench.execute(charge_both).await.unwrap(), Executed::Wrote);
    let patches = [0, 1, 2].map(|index| {
        let seen = bench.seen(index);
        (seen.target, seen.body["status"]["restarts"].clone())
    });
    assert_eq!(
        patches,
        [
            (format!("PATCH {TREE}/status"), json!(1)),
            (format!("PATCH {WORKERS}/t-w/status"), json!(1)),
            (format!("PATCH {TREE}/status"), json!(2)),
        ]
    );
}

#[tokio::test]
async fn what_only_a_worker_remembers_is_not_told_when_that_is_not_stored() {
    let conflict = Answer::error(409, "Conflict", "modified");
    let target = format!("PATCH {WORKERS}/t-w/status");
    let bench = Bench::new(answering(target, conflict, json!({})));
    let executed = bench.execute(charge_both).await;
    assert_eq!(executed.unwrap(), Executed::Stale);
    assert_eq!(told(&bench).await, ["\"spec.children{other}\""]);
    let patched = bench
        .targets()
        .iter()
        .filter(|one| one.starts_with("PATCH"))
        .count();
    assert_eq!(patched, 2, "the tree does not count it");
}
