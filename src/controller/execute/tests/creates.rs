//! Creates: what is refused, whose a name is that is taken, and answers that say neither.
//!
//! Rule: only a refusal is told to the next decision; anything else is tried again.

use std::time::Duration;

use serde_json::json;

use super::super::super::testing::{Answer, tree};
use super::*;

#[tokio::test]
async fn a_refused_create_is_told_to_the_next_decision_and_forgotten_when_that_is_stored() {
    let bench = Bench::new(|seen| match seen.target.as_str() {
        target if target.starts_with("POST") => {
            Answer::error(403, "Forbidden", "exceeded quota: small")
        }
        _ => obliging(seen),
    });
    let writes = ["a", "b", "c"].map(create_pod);
    assert_eq!(
        bench.execute(|d| d.writes.extend(writes)).await.unwrap(),
        Executed::Wrote
    );
    assert_eq!(bench.targets().len(), 1, "what cannot work fails once");
    let known = bench.observe().await.world.refusals;
    assert_eq!(
        (known[0].code, known[0].reason.as_str(), known[0].slot),
        (403, "Forbidden", Some(0))
    );
    assert_eq!(known[0].message, "exceeded quota: small");
    // What it led to is stored although it is no intent.
    bench
        .execute(|decision| decision.tree_status.up = 0)
        .await
        .unwrap();
    bench
        .execute(|decision| decision.tree_status.restarts = 5)
        .await
        .unwrap();
    assert!(bench.observe().await.world.refusals.is_empty());
}

#[tokio::test]
async fn a_webhook_refuses_with_any_code() {
    let bench = Bench::new(|_| {
        Answer::error(
            404,
            "NotFound",
            "admission webhook \"w\" denied the request: no",
        )
    });
    let executed = bench.execute(|d| d.writes.push(create_pod("p"))).await;
    assert_eq!(executed.unwrap(), Executed::Wrote);
    assert_eq!(bench.observe().await.world.refusals.len(), 1);
}

#[tokio::test]
async fn a_name_that_is_taken_is_ours_or_a_collision() {
    let ours = taken_by("uw", "t-w");
    ours.execute(|d| d.writes.push(create_pod("p")))
        .await
        .unwrap();
    let observation = ours.observe().await;
    assert_eq!(
        (
            observation.world.refusals.len(),
            observation.world.workers["w"].pods.len()
        ),
        (0, 1)
    );
    let foreign = taken_by("somebody", "other");
    foreign
        .execute(|d| d.writes.push(create_pod("p")))
        .await
        .unwrap();
    let observation = foreign.observe().await;
    assert_eq!(observation.world.refusals[0].reason, "NameCollision");
    assert_eq!(observation.world.workers["w"].pods.len(), 0);
}

/// A tree that was deleted and created again finds what the garbage collector has not taken away yet.
#[tokio::test(start_paused = true)]
async fn a_name_that_a_predecessor_holds_is_waited_for_a_while() {
    let bench = taken_by("somebody", "t-w");
    for (pause, refusals) in [(0, 0), (29, 0), (2, 1)] {
        tokio::time::advance(Duration::from_secs(pause)).await;
        let executed = bench.execute(|d| d.writes.push(create_pod("p"))).await;
        let stale = executed.unwrap() == Executed::Stale;
        let known = bench.context.memories.refusals(&tree());
        assert_eq!((stale, known.len()), (refusals == 0, refusals), "{pause}");
    }
}

#[tokio::test]
async fn what_belongs_to_another_kind_of_owner_of_that_name_does_not_go_by_itself() {
    for (api, kind) in [
        ("apps/v1", "ReplicaSet"),
        ("coppice.dev/v1alpha1", "SupervisionTree"),
        ("example.com/v1", "Worker"),
    ] {
        let bench = taken_by_a(api, kind, "somebody", "t-w");
        let executed = bench.execute(|d| d.writes.push(create_pod("p"))).await;
        assert_eq!(executed.unwrap(), Executed::Wrote, "{api} {kind}");
        let refusals = bench.context.memories.refusals(&tree());
        assert_eq!(refusals[0].reason, "NameCollision", "{api} {kind}");
    }
}

/// The name of a revision is a short hash.
#[tokio::test]
async fn a_revision_of_ours_with_other_templates_is_a_collision_of_names() {
    let data = |image: &str| json!({"templates": {"w": {"spec": {"containers": [{"name": "app", "image": image}]}}}});
    for (image, reasons) in [("one", &[] as &[&str]), ("two", &["NameCollision"])] {
        let bench = Bench::new(move |seen| match seen.target.as_str() {
            target if target.starts_with("POST") => {
                Answer::error(409, "AlreadyExists", "it already exists")
            }
            _ => Answer::Json(
                200,
                json!({"metadata": {"name": "t-1", "namespace": "ns", "uid": "ur", "resourceVersion": "40",
                    "labels": {"coppice.dev/tree": "t"},
                    "ownerReferences": [{"apiVersion": "coppice.dev/v1alpha1", "kind": "SupervisionTree",
                        "name": "t", "uid": "ut", "controller": true}]},
                    "revision": 1, "data": data(image)}),
            ),
        });
        let write = Write::CreateRevision {
            name: "t-1".to_owned(),
            body: json!({"metadata": {"name": "t-1"}, "revision": 2, "data": data("one")}),
        };
        let executed = bench.execute(|d| d.writes.push(write)).await;
        assert_eq!(executed.unwrap(), Executed::Wrote, "{image}");
        let refusals = bench.context.memories.refusals(&tree());
        let told: Vec<&str> = refusals.iter().map(|one| one.reason.as_str()).collect();
        assert_eq!(told, reasons, "{image}");
    }
}

/// A server on which the name of a Pod belongs to a Worker of that UID and name.
fn taken_by(uid: &'static str, name: &'static str) -> Bench {
    taken_by_a("coppice.dev/v1alpha1", "Worker", uid, name)
}

fn taken_by_a(
    api: &'static str,
    kind: &'static str,
    uid: &'static str,
    name: &'static str,
) -> Bench {
    Bench::new(move |seen| match seen.target.as_str() {
        target if target.starts_with("POST") => {
            Answer::error(409, "AlreadyExists", "pods \"p\" already exists")
        }
        _ => {
            let mut pod = pod_object("p", uid, 40);
            let owner = &mut pod["metadata"]["ownerReferences"][0];
            owner["apiVersion"] = json!(api);
            owner["kind"] = json!(kind);
            owner["name"] = json!(name);
            Answer::Json(200, pod)
        }
    })
}

#[tokio::test]
async fn answers_that_are_no_refusals_are_tried_again() {
    for (code, reason) in [
        (409, "Conflict"),
        (429, "TooManyRequests"),
        (503, "ServiceUnavailable"),
    ] {
        let bench = Bench::new(move |_| Answer::error(code, reason, "m"));
        let error = bench
            .execute(|d| d.writes.push(create_pod("p")))
            .await
            .unwrap_err();
        assert_eq!(error.code(), code);
        assert!(
            bench.context.memories.refusals(&tree()).is_empty(),
            "{code}"
        );
        // Only a server error leaves open what happened.
        assert_eq!(
            bench.context.memories.doubts(&tree()).len(),
            usize::from(code == 503),
            "{code}"
        );
    }
}

#[tokio::test]
async fn a_namespace_that_ends_is_no_error() {
    let ending = || {
        let Answer::Json(code, mut body) =
            Answer::error(403, "Forbidden", "it is being terminated")
        else {
            unreachable!("an error is JSON")
        };
        body["details"] = json!({"causes": [{"reason": "NamespaceTerminating"}]});
        Answer::Json(code, body)
    };
    let missing = || {
        let Answer::Json(code, mut body) =
            Answer::error(404, "NotFound", "namespaces \"ns\" not found")
        else {
            unreachable!("an error is JSON")
        };
        body["details"] = json!({"name": "ns", "kind": "namespaces"});
        Answer::Json(code, body)
    };
    for gone in [true, false] {
        let bench = Bench::new(move |_| if gone { missing() } else { ending() });
        assert_eq!(
            bench
                .execute(|d| d.writes.push(create_pod("p")))
                .await
                .unwrap(),
            Executed::Stale
        );
        assert!(bench.context.memories.refusals(&tree()).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_without_an_answer_ends_in_time_and_is_looked_into() {
    let bench = Bench::new(|seen| match seen.target.as_str() {
        target if target.starts_with("POST") => Answer::Never,
        _ => Answer::Json(200, pod_object("p", "uw", 40)),
    });
    let begun = Instant::now();
    let error = bench
        .execute(|d| d.writes.push(create_pod("p")))
        .await
        .unwrap_err();
    assert_eq!((error.reason(), begun.elapsed().as_secs()), ("timeout", 10));
    // It had its effect after all.
    assert_eq!(bench.observe().await.world.workers["w"].pods.len(), 1);
    assert_eq!(bench.targets()[1], format!("GET {PODS}/p"));
}
