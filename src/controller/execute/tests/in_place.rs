//! Pods that are given other images: what is sent, and what comes of each answer.
//!
//! Rule: a Pod is changed only as it was seen, and a refusal is known to the next decision.

use serde_json::json;

use super::super::super::testing::Answer;
use super::*;
use crate::model::in_place;

pub(super) fn patch() -> Write {
    Write::PatchPod {
        child: "w".to_owned(),
        slot: 0,
        name: "p".to_owned(),
        uid: "u-p".to_owned(),
        resource_version: "9".to_owned(),
        revision: "r2".to_owned(),
        images: vec![("app".to_owned(), "two".to_owned())],
    }
}

#[tokio::test]
async fn a_patch_names_the_pod_as_it_was_seen_and_changes_images_and_revision() {
    let bench = Bench::new(obliging);
    let executed = bench.execute(|d| d.writes.push(patch())).await;
    assert_eq!(executed.unwrap(), Executed::Wrote);
    assert_eq!(bench.targets(), [format!("PATCH {PODS}/p")]);
    assert_eq!(
        bench.seen(0).body,
        json!({
            "metadata": {"uid": "u-p", "resourceVersion": "9", "labels": {"coppice.dev/revision": "r2"}},
            "spec": {"containers": [{"name": "app", "image": "two"}]},
        })
    );
}

#[tokio::test]
async fn a_pod_that_is_not_as_it_was_is_looked_at_again() {
    let bench = Bench::new(|seen| match seen.target.as_str() {
        target if target.starts_with("PATCH") => Answer::error(409, "Conflict", "it was changed"),
        _ => Answer::Json(200, pod_object("p", "uw", 30)),
    });
    let executed = bench.execute(|d| d.writes.push(patch())).await;
    assert_eq!(executed.unwrap(), Executed::Stale);
    assert!(bench.observe().await.world.refusals.is_empty());
}

#[tokio::test]
async fn a_refusal_is_known_to_the_next_decision() {
    let said = "pods \"p\" is forbidden: User \"coppice\" cannot patch resource \"pods\"";
    let bench = Bench::new(move |_| Answer::error(403, "Forbidden", said));
    bench.execute(|d| d.writes.push(patch())).await.unwrap();
    let refusals = bench.observe().await.world.refusals.clone();
    let told: Vec<_> = refusals
        .iter()
        .map(|one| (one.kind, one.slot, one.message.as_str()))
        .collect();
    assert_eq!(told, [(in_place::KIND, Some(0), said)]);
}
