//! Writes of disruption budgets.
//!
//! Rule: whatever comes of them, no Pod waits for it.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::controller::kinds::DisruptionBudgets;
use crate::model::world::DisruptionBudgetView;

const BUDGETS: &str = "/apis/policy/v1/namespaces/ns/poddisruptionbudgets";

/// One of that Worker, which keeps so many Pods available.
fn budget(owner: &str, least: i32, version: u64) -> Value {
    json!({"metadata": {"name": "t-w", "namespace": "ns", "uid": "ub", "resourceVersion": version.to_string(),
        "labels": {"coppice.dev/tree": "t", "coppice.dev/child": "w"},
        "ownerReferences": [{"apiVersion": "coppice.dev/v1alpha1", "kind": "Worker", "name": "t-w",
            "uid": owner, "controller": true}]},
        "spec": {"minAvailable": least, "selector": {"matchLabels": {"coppice.dev/child": "w", "mine": "now"}}}})
}

fn create() -> Write {
    Write::CreateDisruptionBudget {
        child: "w".to_owned(),
        name: "t-w".to_owned(),
        owner_uid: "uw".to_owned(),
        body: budget("uw", 2, 0),
    }
}

fn known(bench: &Bench) -> Arc<DisruptionBudgetView> {
    let views = bench.context.views.lock();
    let one = views.disruption_budgets.get(&ObjectKey::new("ns", "t-w"));
    Arc::clone(&one.unwrap().view)
}

#[tokio::test]
async fn what_is_refused_is_told_and_the_other_writes_go_on() {
    let bench = Bench::new(|seen| match seen.target.as_str() {
        target if target.contains("poddisruptionbudgets") => {
            Answer::error(403, "Forbidden", "no such right")
        }
        _ => obliging(seen),
    });
    let delete = Write::DeleteDisruptionBudget {
        child: "w".to_owned(),
        name: "t-w".to_owned(),
        uid: "ub".to_owned(),
    };
    let writes = [create(), delete, create_pod("p")];
    let executed = bench.execute(|d| d.writes.extend(writes)).await;
    assert_eq!(executed.unwrap(), Executed::Wrote);
    assert_eq!(bench.targets().len(), 3);
    let refusals = bench.observe().await.world.refusals;
    let told = refusals.iter().map(|one| (one.kind, one.child.as_str()));
    assert_eq!(
        told.collect::<Vec<_>>(),
        [("PodDisruptionBudget", "w"), ("PodDisruptionBudget", "w")]
    );
}

#[tokio::test]
async fn one_that_is_changed_has_nothing_of_what_it_was() {
    let bench = Bench::new(|_| Answer::Json(200, budget("uw", 2, 71)));
    let stored = serde_json::from_value(budget("uw", 9, 70)).unwrap();
    bench
        .context
        .views
        .lock()
        .put::<DisruptionBudgets>(stored, Source::Watch, None);
    let spec = json!({"minAvailable": 2, "selector": {"matchLabels": {"coppice.dev/child": "w"}}});
    let patch = Write::PatchDisruptionBudget {
        child: "w".to_owned(),
        known: known(&bench),
        spec: Box::new(serde_json::from_value(spec).unwrap()),
    };
    bench.execute(|d| d.writes.push(patch)).await.unwrap();
    assert_eq!(bench.targets(), [format!("PATCH {BUDGETS}/t-w")]);
    assert_eq!(
        bench.seen(0).body,
        json!({"metadata": {"resourceVersion": "70"},
            "spec": {"minAvailable": 2, "selector": {"matchLabels": {"mine": null}}}})
    );
    assert_eq!(known(&bench).resource_version, "71");
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_taken_is_ours_or_about_to_go_or_a_collision() {
    let taken_by = |owner: &'static str| {
        Bench::new(move |seen| match seen.target.as_str() {
            target if target.starts_with("POST") => {
                Answer::error(409, "AlreadyExists", "it is there")
            }
            _ => Answer::Json(200, budget(owner, 2, 71)),
        })
    };
    let ours = taken_by("uw");
    ours.execute(|d| d.writes.push(create())).await.unwrap();
    assert!(ours.context.memories.refusals(&tree()).is_empty());
    assert_eq!(known(&ours).uid, "ub");
    let theirs = taken_by("a former Worker");
    for (pause, refusals) in [(0, 0), (31, 1)] {
        tokio::time::advance(Duration::from_secs(pause)).await;
        theirs.execute(|d| d.writes.push(create())).await.unwrap();
        let known = theirs.context.memories.refusals(&tree());
        assert_eq!(known.len(), refusals, "{pause}");
    }
    let refusals = theirs.context.memories.refusals(&tree());
    assert_eq!(refusals[0].reason, "NameCollision");
}

/// What is in doubt is read; where that is not allowed, the tree is looked at all the same.
#[tokio::test]
async fn one_that_may_not_be_read_keeps_nobody_waiting() {
    let bench = Bench::new(|seen| match seen.target.as_str() {
        target if target.starts_with("POST") => Answer::error(500, "InternalError", "no answer"),
        _ => Answer::error(403, "Forbidden", "no such right"),
    });
    let failed = bench.execute(|d| d.writes.push(create())).await;
    assert!(failed.is_err());
    assert!(bench.observe().await.world.refusals.is_empty());
    assert_eq!(bench.targets()[1], format!("GET {BUDGETS}/t-w"));
    bench.observe().await;
    assert_eq!(bench.targets().len(), 2, "it is not asked for again");
}
