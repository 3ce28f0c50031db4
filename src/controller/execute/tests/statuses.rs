//! Statuses: what is stored before the writes and what after them, and on which version.
//!
//! Rule: a status that spends something is never stored on a version that was not seen.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use super::super::super::testing::{Answer, tree};
use super::*;
use crate::api::v1alpha1::RecentFault;
use crate::model::decision::Notice;
use crate::model::world::Untold;

#[tokio::test]
async fn intents_come_first_and_against_the_version_that_was_seen() {
    let bench = Bench::new(obliging);
    let executed = bench
        .execute(|decision| {
            decision.tree_status.restarts = 1;
            decision.tree_status.budget.clear();
            decision.tree_intent = true;
            decision.worker_statuses.get_mut("w").unwrap().restarts = 1;
            decision.worker_intents.insert("w".to_owned());
            decision.writes.push(create_pod("p"));
        })
        .await;
    assert_eq!(executed.unwrap(), Executed::Wrote);
    assert_eq!(
        bench.targets(),
        [
            format!("PATCH {TREE}/status"),
            format!("PATCH {WORKERS}/t-w/status"),
            format!("POST {PODS}")
        ]
    );
    let of_tree = bench.seen(0);
    assert_eq!(of_tree.query, ["fieldManager=coppice"]);
    // What disappeared is removed, what stayed is left out.
    assert_eq!(
        of_tree.body,
        json!({"metadata": {"resourceVersion": "10"}, "status": {"restarts": 1, "budget": null}})
    );
    assert_eq!(
        bench.seen(1).body,
        json!({"metadata": {"resourceVersion": "11"}, "status": {"restarts": 1}})
    );
    assert_eq!(
        bench.seen(2).query,
        ["fieldManager=coppice", "fieldValidation=Strict"]
    );
    // The answers are known at once.
    let views = bench.context.views.lock();
    assert_eq!(views.trees.get(&tree()).unwrap().resource_version, "50");
    assert_eq!(views.pods.owned_by("uw").count(), 1);
}

#[tokio::test]
async fn a_stale_intent_stops_everything_and_the_tree_is_read_again() {
    let bench = Bench::new(|seen| match seen.target.as_str() {
        target if target.starts_with("PATCH") => {
            Answer::error(409, "Conflict", "the object has been modified")
        }
        _ => Answer::Json(200, tree_object(20)),
    });
    let executed = bench
        .execute(|decision| {
            decision.tree_status.restarts = 1;
            decision.tree_intent = true;
            decision.writes.push(create_pod("p"));
        })
        .await;
    assert_eq!(executed.unwrap(), Executed::Stale);
    assert_eq!(bench.targets(), [format!("PATCH {TREE}/status")]);
    assert_eq!(bench.observe().await.tree_version, "20");
    assert_eq!(bench.targets()[1], format!("GET {TREE}"));
    bench.observe().await;
    assert_eq!(bench.targets().len(), 2, "the doubt is settled");
}

#[tokio::test]
async fn news_for_the_tree_survive_an_edit_of_its_spec() {
    let edited = AtomicBool::new(false);
    let bench = Bench::new(move |seen| match seen.target.as_str() {
        target
            if target == format!("PATCH {TREE}/status")
                && !edited.swap(true, Ordering::Relaxed) =>
        {
            Answer::error(409, "Conflict", "the object has been modified")
        }
        target if target == format!("GET {TREE}") => Answer::Json(200, tree_object(40)),
        _ => obliging(seen),
    });
    let executed = bench
        .execute(|decision| {
            decision.tree_status.restarts = 1;
            decision.worker_statuses.get_mut("w").unwrap().restarts = 1;
            decision.worker_intents.insert("w".to_owned());
        })
        .await;
    assert_eq!(executed.unwrap(), Executed::Wrote);
    let targets = bench.targets();
    assert_eq!(
        targets,
        [
            format!("PATCH {WORKERS}/t-w/status"),
            format!("PATCH {TREE}/status"),
            format!("GET {TREE}"),
            format!("PATCH {TREE}/status"),
        ]
    );
    assert_eq!(bench.seen(3).body["metadata"]["resourceVersion"], "40");
}

/// The Worker remembers the death, so no later decision judges it again; what people are to read of it must not be lost.
#[tokio::test]
async fn what_the_tree_could_not_be_told_is_told_later() {
    let down = AtomicBool::new(true);
    let bench = Bench::new(move |seen| match seen.target.as_str() {
        target
            if target == format!("PATCH {TREE}/status") && down.swap(false, Ordering::Relaxed) =>
        {
            Answer::error(503, "ServiceUnavailable", "m")
        }
        target if target == format!("GET {TREE}") => Answer::Json(200, tree_object(10)),
        _ => obliging(seen),
    });
    let fault = |child: &str| {
        serde_json::from_value(
            json!({"time": "2026-01-01T00:00:00Z", "child": child, "slot": 0, "class": "C",
            "verdict": "V", "confidence": "P", "message": "m", "decision": "d"}),
        )
        .unwrap()
    };
    let executed = bench
        .execute(|decision| {
            decision.tree_status.recent_faults = vec![fault("w"), fault("not stored")];
            decision.worker_statuses.get_mut("w").unwrap().restarts = 1;
            decision.worker_intents.insert("w".to_owned());
        })
        .await;
    assert_eq!(executed.unwrap_err().code(), 503);
    let world = bench.observe().await.world;
    assert_eq!(world.untold.faults, [fault("w")]);
    assert_eq!(
        crate::model::decide(&world, bench.context.now())
            .tree_status
            .recent_faults,
        [fault("w")]
    );
    let told = bench.execute(|decision| decision.tree_status.recent_faults = vec![fault("w")]);
    told.await.unwrap();
    let untold = bench.context.memories.untold(&tree());
    assert_eq!(untold, Untold::default());
}

#[tokio::test(start_paused = true)]
async fn reports_are_merged_to_one_a_second() {
    let bench = Bench::new(obliging);
    let report = |restarts| move |decision: &mut Decision| decision.tree_status.restarts = restarts;
    assert_eq!(bench.execute(report(1)).await.unwrap(), Executed::Wrote);
    let due = Instant::now() + Duration::from_secs(1);
    assert_eq!(
        bench.execute(report(2)).await.unwrap(),
        Executed::ReportDue(due)
    );
    assert_eq!(bench.targets().len(), 1);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(bench.execute(report(3)).await.unwrap(), Executed::Wrote);
    assert_eq!(bench.targets().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_tree_is_told_once_a_second_how_far_its_workers_are_and_a_fault_at_once() {
    let bench = Bench::new(obliging);
    let with_fault = |message: &str| {
        let fault = json!([{"time": "2026-01-01T00:00:00Z", "child": "w", "slot": 0, "class": "C",
            "verdict": "V", "confidence": "P", "message": message, "decision": "d"}]);
        serde_json::from_value::<Vec<RecentFault>>(fault).unwrap()
    };
    let step = |restarts: i64, faults: Vec<RecentFault>| {
        move |decision: &mut Decision| {
            decision.tree_status.restarts = restarts;
            decision.tree_status.recent_faults = faults;
            decision.worker_statuses.get_mut("w").unwrap().restarts = restarts;
            decision.worker_intents.insert("w".to_owned());
            decision.writes.push(delete_pod(None));
        }
    };
    let (worker, of_tree, pod) = (
        format!("PATCH {WORKERS}/t-w/status"),
        format!("PATCH {TREE}/status"),
        format!("DELETE {PODS}/p"),
    );
    let (worker, of_tree, pod) = (worker.as_str(), of_tree.as_str(), pod.as_str());
    let mut seen = 0;
    let second = Duration::from_secs(1);
    for (pause, restarts, faults, expected) in [
        (Duration::ZERO, 1, vec![], vec![worker, of_tree, pod]),
        (second / 2, 2, vec![], vec![worker, pod]),
        (
            Duration::ZERO,
            3,
            with_fault("a"),
            vec![worker, of_tree, pod],
        ),
        (second / 2, 4, with_fault("a"), vec![worker, of_tree, pod]),
    ] {
        tokio::time::advance(pause).await;
        bench.execute(step(restarts, faults)).await.unwrap();
        assert_eq!(bench.targets()[seen..], expected, "{restarts}");
        seen = bench.targets().len();
    }
}

#[tokio::test]
async fn events_are_published_once_the_intent_is_stored() {
    let bench = Bench::new(|seen| match seen.target.as_str() {
        target if target.contains("/events") => {
            Answer::Json(201, json!({"metadata": {"name": "e"}}))
        }
        _ => obliging(seen),
    });
    bench
        .execute(|decision| {
            decision.tree_status.restarts = 1;
            decision.tree_intent = true;
            decision.notices.push(Notice {
                warning: true,
                reason: "OomKilled".into(),
                action: "Restart",
                child: "a".to_owned(),
                what: "m".to_owned(),
                ..Notice::default()
            });
        })
        .await
        .unwrap();
    let published = async {
        while bench.targets().len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), published)
        .await
        .unwrap();
    assert_eq!(
        bench.targets()[1],
        "POST /apis/events.k8s.io/v1/namespaces/ns/events"
    );
    assert_eq!(bench.seen(1).body["reason"], "OomKilled");
}
