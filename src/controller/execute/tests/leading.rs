//! What is written by who leads and by who led, and by who does not lead.
//!
//! Rule: what went over the wire is what counts.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::super::super::queue::Next;
use super::super::super::reconcile::reconcile;
use super::super::super::testing::{Answer, Seen, tree};
use super::super::super::{Wake, look_at_all_in_each_term};
use super::*;
use crate::runtime::health::Health;
use crate::runtime::leader::Giver;
use crate::runtime::metrics::Metrics;

/// A bench that leads in term 1.
pub(super) fn leading(answer: impl Fn(&Seen) -> Answer + Send + 'static) -> (Bench, Giver) {
    let mut bench = Bench::new(answer);
    let (giver, leadership) = Giver::new();
    bench.context.leadership = leadership;
    giver.give(1);
    (bench, giver)
}

/// A bench that leads in term 1 and has read the tree.
pub(super) async fn settled(answer: impl Fn(&Seen) -> Answer + Send + 'static) -> (Bench, Giver) {
    let (bench, giver) = leading(answer);
    let term = bench.observe().await.term;
    bench.context.memories.was_read(&tree(), term);
    (bench, giver)
}

/// A server on which the last leader has done more than we have seen.
pub(super) fn moved_on(seen: &Seen) -> Answer {
    let list = |items: &[Value]| {
        Answer::Json(
            200,
            json!({"metadata": {"resourceVersion": "90"}, "items": items}),
        )
    };
    match seen.target.as_str() {
        target if target == format!("GET {TREE}") => Answer::Json(200, tree_object(40)),
        target if target == format!("GET {WORKERS}") => list(&[worker_object(41)]),
        target if target == format!("GET {PODS}") => list(&[pod_object("new", "uw", 42)]),
        target if target == format!("GET {PODS}/gone") => {
            Answer::error(404, "NotFound", "no such Pod")
        }
        target if target == format!("GET {PODS}/relabelled") => {
            Answer::Json(200, pod_object("relabelled", "uw", 43))
        }
        _ => obliging(seen),
    }
}

fn every_write() -> Vec<Write> {
    vec![
        Write::AddFinalizer,
        Write::CreateWorker {
            child: "w".to_owned(),
            name: "t-w".to_owned(),
            body: json!({}),
        },
        Write::Scale {
            child: "w".to_owned(),
            name: "t-w".to_owned(),
            replicas: 2,
            notice: None,
        },
        create_pod("p"),
        delete_pod(None),
        Write::DeleteWorker {
            child: "w".to_owned(),
            name: "t-w".to_owned(),
            uid: "uw".to_owned(),
        },
        Write::RemoveFinalizer,
    ]
}

#[tokio::test]
async fn nothing_is_sent_for_a_decision_of_another_term() {
    let (bench, giver) = settled(obliging).await;
    let observation = bench.observe().await;
    for change in [Giver::take, |giver: &Giver| giver.give(2)] {
        change(&giver);
        // So that nothing but the term can stop a write.
        bench.context.memories.begin(&tree(), observation.term);
        bench.context.memories.was_read(&tree(), observation.term);
        for write in every_write() {
            let executed = bench.execute_on(&observation, |d| d.writes.push(write.clone()));
            let error = executed.await.unwrap_err();
            assert!(!error.was_sent(), "{write:?}: {error}");
        }
        let status = bench.execute_on(&observation, |d| {
            d.tree_status.restarts = 3;
            d.tree_intent = true;
        });
        assert!(!status.await.unwrap_err().was_sent());
    }
    assert_eq!(bench.targets(), Vec::<String>::new());
    assert!(
        bench.context.memories.doubts(&tree()).is_empty(),
        "nothing is in doubt of what was not sent"
    );
}

#[tokio::test]
async fn whoever_loses_the_lease_between_two_writes_makes_no_second_one() {
    let (giver, leadership) = Giver::new();
    let taker = giver.clone();
    let mut bench = Bench::new(move |seen| {
        if seen.target.starts_with("POST") {
            taker.take();
        }
        obliging(seen)
    });
    bench.context.leadership = leadership;
    giver.give(1);
    let term = bench.observe().await.term;
    bench.context.memories.was_read(&tree(), term);
    let observation = bench.observe().await;
    let writes = ["a", "b", "c"].map(create_pod);
    let executed = bench.execute_on(&observation, |d| d.writes.extend(writes));
    assert!(!executed.await.unwrap_err().was_sent());
    assert_eq!(bench.targets(), [format!("POST {PODS}")]);
    let views = bench.context.views.lock();
    let pods: Vec<String> = views.pods.iter().map(|(key, _)| key.to_string()).collect();
    assert_eq!(pods, ["ns/a"], "what was written is known");
}

/// The Lease is still ours then, but another operator waits for it.
#[tokio::test]
async fn whoever_is_to_stop_begins_no_request_more() {
    for begin in [
        every_write(),
        (0..20).map(|n| create_pod(&n.to_string())).collect(),
    ] {
        let stop = CancellationToken::new();
        let stopper = stop.clone();
        let (mut bench, _giver) = settled(move |seen| {
            stopper.cancel();
            obliging(seen)
        })
        .await;
        bench.context.leadership = bench.context.leadership.until(stop);
        let executed = bench.execute(|d| {
            d.tree_status.restarts = 3;
            d.writes.extend(begin);
        });
        assert!(!executed.await.unwrap_err().was_sent());
        assert_eq!(bench.targets().len(), 1, "{:?}", bench.targets());
    }
    let stop = CancellationToken::new();
    let stopper = stop.clone();
    let (mut bench, _giver) = leading(move |seen| {
        stopper.cancel();
        moved_on(seen)
    });
    bench.context.leadership = bench.context.leadership.until(stop);
    let reading = bench.execute(|d| d.writes.push(create_pod("a")));
    assert!(!reading.await.unwrap_err().was_sent());
    assert_eq!(bench.targets(), [format!("GET {TREE}")]);
}

#[tokio::test]
async fn a_standby_is_silent_and_its_tree_waits() {
    let (bench, giver) = leading(obliging);
    giver.take();
    let (targets, context) = (bench.targets(), Arc::new(bench.context));
    let next = reconcile(Arc::clone(&context), tree()).await.next;
    assert_eq!(next, Next::Wait);
    assert_eq!(targets, Vec::<String>::new());
}

#[tokio::test]
async fn a_tree_that_goes_while_another_leads_is_forgotten() {
    let (bench, giver) = settled(obliging).await;
    giver.take();
    let context = Arc::new(bench.context);
    reconcile(Arc::clone(&context), tree()).await;
    assert_eq!(context.memories.count(), 1);
    context.views.lock().forget::<Trees>(&tree(), None);
    reconcile(Arc::clone(&context), tree()).await;
    assert_eq!(context.memories.count(), 0);
}

#[tokio::test]
async fn each_term_looks_at_every_tree() {
    let (bench, giver) = leading(obliging);
    giver.take();
    let metrics = Metrics::new("test");
    let wake = Wake::new(1, metrics.queue.clone());
    let context = Arc::new(bench.context);
    let looking = {
        let (context, wake) = (Arc::clone(&context), wake.clone());
        tokio::spawn(async move { look_at_all_in_each_term(&context, &wake).await })
    };
    let heartbeat = Health::new(Duration::from_secs(5));
    let stop = CancellationToken::new();
    let (looked, mut looks) = tokio::sync::mpsc::unbounded_channel();
    let driving = {
        let (stop, beat) = (stop.clone(), heartbeat.heartbeat());
        let work = move |key: ObjectKey| {
            looked.send(key).unwrap();
            async { Next::Wait }
        };
        tokio::spawn(async move { wake.drive(work, &beat, &stop).await })
    };
    for term in 1..=3 {
        giver.give(term);
        assert_eq!(looks.recv().await, Some(tree()), "term {term}");
        giver.take();
    }
    stop.cancel();
    driving.await.unwrap();
    looking.abort();
}
