//! What is read before the first write to a tree by who comes to lead, and after another operator has written.
//!
//! Rule: what went over the wire is what counts.

use std::sync::{Arc, OnceLock};

use serde_json::json;

use super::super::super::testing::{Answer, Seen};
use super::super::super::views::SharedViews;
use super::leading::{leading, moved_on, settled};
use super::*;
use crate::runtime::leader::Giver;

#[tokio::test]
async fn a_new_leader_reads_a_tree_before_its_first_write_and_decides_again() {
    let (bench, giver) = leading(moved_on);
    for name in ["gone", "relabelled"] {
        let pod = serde_json::from_value(pod_object(name, "uw", 12)).unwrap();
        let source = Source::Watch;
        bench.context.views.lock().put::<Pods>(pod, source, None);
    }
    let observation = bench.observe().await;
    let idle = bench.execute_on(&observation, |_| {}).await.unwrap();
    assert_eq!(idle, Executed::Nothing, "who writes nothing reads nothing");
    assert_eq!(bench.targets(), Vec::<String>::new());

    let first = bench.execute_on(&observation, |d| d.writes.push(create_pod("a")));
    assert_eq!(first.await.unwrap(), Executed::Reread);
    assert_eq!(
        bench.targets(),
        [
            format!("GET {TREE}"),
            format!("GET {WORKERS}"),
            format!("GET {PODS}"),
            format!("GET {PODS}/gone"),
            format!("GET {PODS}/relabelled"),
        ]
    );
    let observation = bench.observe().await;
    assert_eq!(observation.tree_version, "40");
    let pods = observation.world.workers["w"].pods.iter();
    let names: Vec<&str> = pods.map(|pod| pod.name.as_str()).collect();
    assert_eq!(names, ["new", "relabelled"]);

    // From now on our own answers are enough, until the next term.
    let again = bench.execute_on(&observation, |d| d.writes.push(create_pod("a")));
    assert_eq!(again.await.unwrap(), Executed::Wrote);
    giver.give(2);
    let observation = bench.observe().await;
    let next = bench.execute_on(&observation, |d| d.writes.push(create_pod("b")));
    assert_eq!(next.await.unwrap(), Executed::Reread);
    let text = bench.context.metrics.render().unwrap();
    let line = r#"coppice_rereads_total{kind="Worker",reason="takeover"} 2"#;
    assert!(text.contains(line), "{text}");
}

/// What its own former process has written may be newer than a list that it began with.
#[tokio::test]
async fn who_was_not_elected_reads_a_tree_before_its_first_write_too() {
    let bench = Bench::new(moved_on);
    bench.context.memories.forget(&tree());
    let first = bench.execute(|d| d.writes.push(create_pod("a"))).await;
    assert_eq!(first.unwrap(), Executed::Reread);
    let targets = bench.targets();
    assert_eq!(
        targets[..2],
        [format!("GET {TREE}"), format!("GET {WORKERS}")]
    );
    let again = bench.execute(|d| d.writes.push(create_pod("a"))).await;
    assert_eq!(again.unwrap(), Executed::Wrote);
}

/// What others did is made good: a death is told, and the Pod is replaced.
fn replaced(decision: &mut Decision) {
    decision.worker_intents.insert("w".to_owned());
    decision.worker_statuses.get_mut("w").unwrap().restarts = 1;
    decision.tree_status.restarts = 1;
    decision.writes_first = true;
    decision.writes.push(create_pod("a"));
}

#[tokio::test]
async fn what_spends_nothing_is_done_before_it_is_stored_by_who_was_elected() {
    let record = [
        format!("PATCH {WORKERS}/t-w/status"),
        format!("PATCH {TREE}/status"),
    ];
    let create = [format!("POST {PODS}")];
    let (elected, _giver) = settled(obliging).await;
    let executed = elected.execute(replaced).await;
    assert_eq!(executed.unwrap(), Executed::Wrote);
    assert_eq!(elected.targets(), [&create[..], &record].concat());

    let alone = Bench::new(obliging);
    let executed = alone.execute(replaced).await;
    assert_eq!(executed.unwrap(), Executed::Wrote);
    assert_eq!(alone.targets(), [&record[..], &create].concat());
}

#[tokio::test(start_paused = true)]
async fn what_was_done_first_is_stored_when_it_was_refused_but_not_without_an_answer() {
    let (bench, _giver) = settled(|seen| {
        if seen.target.starts_with("POST") {
            return Answer::Never;
        }
        obliging(seen)
    })
    .await;
    bench.execute(replaced).await.unwrap_err();
    assert_eq!(bench.targets(), [format!("POST {PODS}")]);
    let (refused, _giver) = settled(|seen| {
        if seen.target.starts_with("POST") {
            return Answer::error(403, "Forbidden", "exceeded quota");
        }
        obliging(seen)
    })
    .await;
    refused.execute(replaced).await.unwrap();
    assert_eq!(refused.targets().len(), 3, "a refusal is an answer");
}

/// What a watch tells of the tree: that version, generation and budget.
fn tree_is_told(bench: &Bench, version: u64, generation: i64, budget: &str) {
    let mut tree = tree_object(version);
    tree["metadata"]["generation"] = json!(generation);
    tree["status"]["budget"] = json!(budget);
    let tree = serde_json::from_value(tree).unwrap();
    let mut views = bench.context.views.lock();
    views.put::<Trees>(tree, Source::Watch, None);
}

#[tokio::test]
async fn what_another_operator_knew_is_read_before_the_next_write() {
    let (bench, _giver) = settled(moved_on).await;
    bench.observe().await;
    tree_is_told(&bench, 20, 1, "0/3");
    let observation = bench.observe().await;
    let idle = bench.execute_on(&observation, |_| {}).await.unwrap();
    assert_eq!(idle, Executed::Nothing, "who writes nothing reads nothing");
    let first = bench.execute_on(&observation, |d| d.writes.push(create_pod("a")));
    assert_eq!(first.await.unwrap(), Executed::Reread);
    assert_eq!(
        bench.targets(),
        [
            "GET ".to_owned() + TREE,
            "GET ".to_owned() + WORKERS,
            "GET ".to_owned() + PODS
        ]
    );
    let again = bench.execute(|d| d.writes.push(create_pod("a"))).await;
    assert_eq!(again.unwrap(), Executed::Wrote);
    let text = bench.context.metrics.render().unwrap();
    let line = r#"coppice_rereads_total{kind="Worker",reason="foreign"} 1"#;
    assert!(text.contains(line), "{text}");
}

#[tokio::test]
async fn an_edit_and_our_own_statuses_are_no_reason_to_read() {
    let (bench, _giver) = settled(obliging).await;
    tree_is_told(&bench, 20, 2, "1/3");
    let observation = bench.observe().await;
    let stored = bench.execute_on(&observation, |d| {
        d.tree_intent = true;
        d.tree_status.budget = "2/3".to_owned();
        d.worker_intents.insert("w".to_owned());
        let worker = d.worker_statuses.get_mut("w").unwrap();
        worker.started = true;
    });
    assert_eq!(stored.await.unwrap(), Executed::Wrote);
    let created = bench.execute(|d| d.writes.push(create_pod("a"))).await;
    assert_eq!(created.unwrap(), Executed::Wrote);
    assert_eq!(
        bench.targets(),
        [
            format!("PATCH {TREE}/status"),
            format!("PATCH {WORKERS}/t-w/status"),
            format!("POST {PODS}"),
        ]
    );
}

#[tokio::test]
async fn no_further_write_is_made_once_another_operator_has_written() {
    let late: Arc<OnceLock<SharedViews>> = Arc::default();
    let views = Arc::clone(&late);
    let (bench, _giver) = settled(move |seen| {
        if seen.target.starts_with("POST") {
            // While we wait for this answer the other operator goes on.
            let mut worker = worker_object(60);
            worker["status"]["started"] = json!(true);
            let worker = serde_json::from_value(worker).unwrap();
            let mut views = views.get().unwrap().lock();
            views.put::<Workers>(worker, Source::Watch, None);
        }
        obliging(seen)
    })
    .await;
    late.set(bench.context.views.clone()).unwrap();
    let creates = ["a", "b", "c"].map(create_pod);
    bench.execute(|d| d.writes.extend(creates)).await.unwrap();
    assert_eq!(bench.targets(), [format!("POST {PODS}")], "and no more");
}

/// A bench that leads in term 1 and sees a tree that is new.
fn with_a_new_tree(answer: impl Fn(&Seen) -> Answer + Send + 'static) -> (Bench, Giver) {
    let (bench, giver) = leading(answer);
    let mut new = tree_object(12);
    new["status"] = json!({"observedGeneration": -1});
    let new = serde_json::from_value(new).unwrap();
    {
        let mut views = bench.context.views.lock();
        views.put::<Trees>(new, Source::Watch, None);
        views.forget::<Workers>(&ObjectKey::new("ns", "t-w"), None);
    }
    (bench, giver)
}

#[tokio::test]
async fn a_tree_that_no_leader_has_written_need_not_be_read() {
    let judge: fn(&mut Decision) = |d| d.tree_status.observed_generation = 1;
    let hold: fn(&mut Decision) = |d| d.writes.push(Write::AddFinalizer);
    for (first, target) in [
        (judge, format!("PATCH {TREE}/status")),
        (hold, format!("PATCH {TREE}")),
    ] {
        let (bench, giver) = with_a_new_tree(moved_on);
        assert_eq!(bench.execute(first).await.unwrap(), Executed::Wrote);
        let next = bench.execute(|d| d.writes.push(create_pod("a"))).await;
        assert_eq!(next.unwrap(), Executed::Wrote);
        assert_eq!(bench.targets(), [target, format!("POST {PODS}")]);
        giver.give(2);
        let next = bench.execute(|d| d.writes.push(create_pod("b"))).await;
        assert_eq!(next.unwrap(), Executed::Reread, "it is not new any more");
    }
}

#[tokio::test]
async fn a_tree_that_only_looks_new_is_read() {
    let (bench, _giver) = with_a_new_tree(|seen| match seen.target.as_str() {
        target if target.starts_with("PATCH") => Answer::error(409, "Conflict", "modified"),
        _ => moved_on(seen),
    });
    let first = bench.execute(|d| d.writes.push(Write::AddFinalizer)).await;
    assert_eq!(first.unwrap(), Executed::Stale);
    let next = bench.execute(|d| d.writes.push(create_pod("a"))).await;
    assert_eq!(next.unwrap(), Executed::Reread);
    let posted = bench.targets().iter().any(|one| one.starts_with("POST"));
    assert!(!posted, "{:?}", bench.targets());
}

#[tokio::test]
async fn a_refusal_of_an_earlier_term_is_forgotten_and_a_doubt_is_not() {
    let (bench, giver) = settled(|seen| match seen.target.as_str() {
        target if target.starts_with("POST") => Answer::error(403, "Forbidden", "quota"),
        target if target.starts_with("DELETE") => Answer::error(504, "Timeout", "late"),
        _ => obliging(seen),
    })
    .await;
    let observation = bench.observe().await;
    let refused = bench.execute_on(&observation, |d| d.writes.push(create_pod("a")));
    refused.await.unwrap();
    let failed = bench.execute_on(&observation, |d| d.writes.push(delete_pod(None)));
    failed.await.unwrap_err();
    giver.give(2);
    let observation = bench.observe().await;
    assert!(observation.world.refusals.is_empty());
    assert_eq!(bench.targets().last(), Some(&format!("GET {PODS}/p")));
}
