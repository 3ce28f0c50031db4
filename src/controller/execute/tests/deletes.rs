//! Deletes: what they name, and what an answer to one means for the others.
//!
//! Rule: nothing goes that is not the object that was decided about.

use serde_json::{Value, json};

use super::super::super::kinds::{Pods, Trees};
use super::super::super::store::Source;
use super::super::super::testing::Answer;
use super::*;

#[tokio::test]
async fn deletes_name_exactly_what_they_mean() {
    let bench = Bench::new(obliging);
    bench
        .execute(|decision| {
            decision.writes.push(delete_pod(Some("9")));
            decision.writes.push(Write::DeleteWorker {
                child: "w".to_owned(),
                name: "t-w".to_owned(),
                uid: "uw".to_owned(),
            });
        })
        .await
        .unwrap();
    assert_eq!(
        bench.targets(),
        [format!("DELETE {PODS}/p"), format!("DELETE {WORKERS}/t-w")]
    );
    assert_eq!(
        bench.seen(0).body,
        json!({"propagationPolicy": "Background", "preconditions": {"uid": "u-p", "resourceVersion": "9"}})
    );
    assert_eq!(bench.seen(1).body["preconditions"], json!({"uid": "uw"}));
}

#[tokio::test]
async fn what_is_already_gone_is_deleted() {
    let bench = Bench::new(|_| Answer::error(404, "NotFound", "no such Pod"));
    bench.context.views.lock().put::<Pods>(
        serde_json::from_value(pod_object("p", "uw", 12)).unwrap(),
        Source::Watch,
        None,
    );
    assert_eq!(
        bench
            .execute(|d| d.writes.push(delete_pod(None)))
            .await
            .unwrap(),
        Executed::Wrote
    );
    assert_eq!(bench.context.views.lock().pods.iter().count(), 0);
}

#[tokio::test]
async fn a_pod_that_is_not_as_it_was_keeps_no_other_from_going_and_nothing_is_created() {
    let bench = Bench::new(|seen| {
        if seen.target.ends_with("/p") {
            return Answer::error(409, "Conflict", "the version does not match");
        }
        obliging(seen)
    });
    let other = match delete_pod(Some("8")) {
        Write::DeletePod { child, why, .. } => Write::DeletePod {
            child,
            name: "q".to_owned(),
            uid: "u-q".to_owned(),
            resource_version: None,
            within_bounds: false,
            why,
        },
        write => write,
    };
    let writes = [delete_pod(Some("7")), other, create_pod("r")];
    let executed = bench.execute(|d| d.writes.extend(writes)).await;
    assert_eq!(executed.unwrap(), Executed::Stale);
    assert_eq!(
        bench.targets(),
        [format!("DELETE {PODS}/p"), format!("DELETE {PODS}/q")]
    );
}

/// A sibling may have gone down since.
#[tokio::test(start_paused = true)]
async fn what_the_bounds_allowed_long_ago_is_left_for_the_next_look() {
    for (seconds, executed) in [(1, Executed::Wrote), (3, Executed::Stale)] {
        let bench = Bench::new(move |seen| {
            if seen.target.starts_with(&format!("PATCH {TREE}")) {
                return Answer::Late(Duration::from_secs(seconds), tree_object(50));
            }
            obliging(seen)
        });
        let mut for_template = delete_pod(None);
        if let Write::DeletePod {
            name,
            within_bounds,
            ..
        } = &mut for_template
        {
            *name = "q".to_owned();
            *within_bounds = true;
        }
        let result = bench.execute(|decision| {
            decision.tree_status.restarts = 1;
            decision.tree_intent = true;
            let goes = [delete_pod(None), for_template, in_place::patch()];
            decision.writes.extend(goes);
            decision.writes.push(create_pod("r"));
        });
        assert_eq!(result.await.unwrap(), executed);
        let made = bench.targets();
        let is_made = |what: &str| made.iter().any(|one| one == what);
        assert!(is_made(&format!("DELETE {PODS}/p")), "{made:?}");
        let is_early = executed == Executed::Wrote;
        assert_eq!(is_made(&format!("DELETE {PODS}/q")), is_early, "{made:?}");
        assert_eq!(is_made(&format!("PATCH {PODS}/p")), is_early, "{made:?}");
        let is_create = |one: &&String| one.starts_with("POST");
        let creates = made.iter().filter(is_create).count();
        assert_eq!(creates, usize::from(is_early), "{made:?}");
    }
}

#[tokio::test]
async fn another_pod_of_that_name_is_left_alone() {
    let bench = Bench::new(|seen| match seen.target.as_str() {
        target if target.starts_with("DELETE") => {
            Answer::error(409, "Conflict", "the UID does not match")
        }
        _ => Answer::Json(200, pod_object("p", "uw", 30)),
    });
    assert_eq!(
        bench
            .execute(|d| d.writes.push(delete_pod(None)))
            .await
            .unwrap(),
        Executed::Stale
    );
    assert_eq!(
        bench.observe().await.world.workers["w"].pods[0].resource_version,
        "30"
    );
}

#[tokio::test]
async fn a_delete_that_is_refused_keeps_no_other_child_waiting() {
    let bench = Bench::new(|seen| match seen.target.as_str() {
        target if target.ends_with("/pods/p") => {
            Answer::error(403, "Forbidden", "not while there is a backup")
        }
        _ => obliging(seen),
    });
    let mut other = delete_pod(None);
    if let Write::DeletePod {
        child, name, uid, ..
    } = &mut other
    {
        *child = "other".to_owned();
        *name = "q".to_owned();
        *uid = "u-q".to_owned();
    }
    let mut create_other = create_pod("r");
    if let Write::CreatePod { child, .. } = &mut create_other {
        *child = "other".to_owned();
    }
    let writes = [delete_pod(None), other, create_pod("never"), create_other];
    let error = bench
        .execute(|d| d.writes.extend(writes))
        .await
        .unwrap_err();
    assert!(error.is_forbidden(), "it is tried again, later and later");
    let pod = |verb: &str, name: &str| format!("{verb} {PODS}{name}");
    assert_eq!(
        bench.targets(),
        [pod("DELETE", "/p"), pod("DELETE", "/q"), pod("POST", "")]
    );
}

/// The garbage collector has let the Worker go before it said so on the tree; the watch of the Workers is behind.
#[tokio::test]
async fn before_a_deletion_stops_anything_its_workers_are_read() {
    let bench = Bench::new(|seen| {
        let mut worker = worker_object(20);
        worker["metadata"]["ownerReferences"] = json!([]);
        assert_eq!(seen.target, format!("GET {WORKERS}/t-w"));
        Answer::Json(200, worker)
    });
    let deleting = |finalizers: Value, version: u64| {
        let mut tree = tree_object(version);
        tree["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        tree["metadata"]["finalizers"] = finalizers;
        let tree = serde_json::from_value(tree).unwrap();
        let mut views = bench.context.views.lock();
        views.put::<Trees>(tree, Source::Watch, None);
    };
    deleting(json!(["coppice.dev/ordered-stop", "orphan"]), 12);
    assert_eq!(bench.observe().await.world.workers.len(), 1);
    assert!(
        bench.targets().is_empty(),
        "the garbage collector is not done"
    );
    deleting(json!(["coppice.dev/ordered-stop"]), 21);
    for _ in 0..2 {
        assert!(bench.observe().await.world.workers.is_empty());
    }
    assert_eq!(bench.targets().len(), 1, "once");
}
