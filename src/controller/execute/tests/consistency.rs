//! No decision on a view older than our own last write, whatever became of that write.
//!
//! Rule: each test ends with the world that the next decision gets.

use serde_json::{Value, json};

use super::super::super::kinds::{Kind, Pods, Trees, Workers};
use super::super::super::store::{ObjectKey, Source};
use super::super::super::testing::{Answer, Seen};
use super::*;

/// What a watch tells.
fn told<K: Kind>(bench: &Bench, object: Value) {
    let object = serde_json::from_value(object).unwrap();
    bench
        .context
        .views
        .lock()
        .put::<K>(object, Source::Watch, None);
}

/// The Pods of the world that the next decision gets: name and version.
async fn pods(bench: &Bench) -> Vec<(String, String)> {
    let observation = bench.observe().await;
    let Some(worker) = observation.world.workers.get("w") else {
        return Vec::new();
    };
    let pods = worker.pods.iter();
    pods.map(|pod| (pod.name.clone(), pod.resource_version.clone()))
        .collect()
}

async fn write(bench: &Bench, write: Write) -> Result<Executed, Error> {
    let observation = bench.observe().await;
    bench
        .execute_on(&observation, |d| d.writes.push(write))
        .await
}

fn pair(name: &str, version: &str) -> (String, String) {
    (name.to_owned(), version.to_owned())
}

fn status(message: &str) -> Answer {
    let body =
        json!({"kind": "Status", "apiVersion": "v1", "status": "Success", "message": message});
    Answer::Json(200, body)
}

#[tokio::test]
async fn a_pod_that_went_at_once_is_gone_and_stays_gone() {
    // A Pod without a node goes at once: the answer shows it as it was, at the version of its end.
    let bench = Bench::new(|_| Answer::Json(200, pod_object("p", "uw", 20)));
    told::<Pods>(&bench, pod_object("p", "uw", 12));
    write(&bench, delete_pod(None)).await.unwrap();
    assert_eq!(pods(&bench).await, []);
    told::<Pods>(&bench, pod_object("p", "uw", 15));
    assert_eq!(pods(&bench).await, [], "the watch is behind our delete");
}

#[tokio::test]
async fn a_pod_that_is_being_stopped_is_seen_so() {
    let bench = Bench::new(|_| {
        let mut pod = pod_object("p", "uw", 20);
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:30Z");
        Answer::Json(200, pod)
    });
    told::<Pods>(&bench, pod_object("p", "uw", 12));
    write(&bench, delete_pod(None)).await.unwrap();
    told::<Pods>(&bench, pod_object("p", "uw", 15));
    assert_eq!(pods(&bench).await, [pair("p", "20")]);
    let observation = bench.observe().await;
    let pod = &observation.world.workers["w"].pods[0];
    assert!(pod.deletion.is_some(), "{pod:?}");
}

#[tokio::test]
async fn a_worker_that_is_gone_without_a_version_stays_gone() {
    let bench = Bench::new(|_| status("deleted"));
    let delete = Write::DeleteWorker {
        child: "w".to_owned(),
        name: "t-w".to_owned(),
        uid: "uw".to_owned(),
    };
    write(&bench, delete).await.unwrap();
    told::<Workers>(&bench, worker_object(14));
    assert!(bench.observe().await.world.workers.is_empty());
    let unbelieved = bench.context.views.lock().take_unbelieved::<Workers>();
    assert_eq!(unbelieved.by_watch, 1);
}

#[tokio::test]
async fn a_pod_whose_label_admission_took_is_not_kept() {
    let bench = Bench::new(|seen| {
        let mut pod = pod_object(
            seen.body["metadata"]["name"].as_str().unwrap_or("p"),
            "uw",
            20,
        );
        pod["metadata"]["labels"] = json!({});
        Answer::Json(201, pod)
    });
    write(&bench, create_pod("p")).await.unwrap();
    assert_eq!(pods(&bench).await, [], "nobody would tell when it changes");
}

/// Refuses to answer requests of that method, or answers them with that code, and obliges otherwise.
fn failing(method: &'static str, code: u16) -> impl Fn(&Seen) -> Answer + Send {
    move |seen| match seen.target.split_once(' ') {
        Some((verb, _)) if verb == method && code == 0 => Answer::Never,
        Some((verb, _)) if verb == method => Answer::error(code, "Failed", "no"),
        Some(("GET", path)) if path == TREE => Answer::Json(200, tree_object(70)),
        Some(("GET", path)) if path == format!("{WORKERS}/t-w") => {
            Answer::Json(200, worker_object(71))
        }
        Some(("GET", path)) if path == format!("{PODS}/p") => {
            Answer::Json(200, pod_object("p", "uw", 72))
        }
        _ => obliging(seen),
    }
}

/// Every write whose outcome is not known, because there was no answer or a server error, is looked after before the
/// next decision.
#[tokio::test(start_paused = true)]
async fn what_got_no_clear_answer_is_read_before_the_next_decision() {
    let scale = Write::Scale {
        child: "w".to_owned(),
        name: "t-w".to_owned(),
        replicas: 2,
        notice: None,
    };
    let cases = [
        ("POST", create_pod("p"), format!("GET {PODS}/p")),
        ("DELETE", delete_pod(None), format!("GET {PODS}/p")),
        ("PATCH", scale, format!("GET {WORKERS}/t-w")),
        ("PATCH", Write::AddFinalizer, format!("GET {TREE}")),
    ];
    for code in [0, 500, 503, 504] {
        for (method, one, read) in &cases {
            let bench = Bench::new(failing(method, code));
            write(&bench, one.clone()).await.unwrap_err();
            bench.observe().await;
            assert_eq!(bench.targets().last(), Some(read), "{method} {code}");
            bench.observe().await;
            assert_eq!(bench.targets().len(), 2, "once is enough");
            let text = bench.context.metrics.render().unwrap();
            assert!(text.contains(r#"reason="doubt"} 1"#), "{text}");
        }
    }
}

/// While it cannot be read there is no decision either.
#[tokio::test]
async fn no_decision_while_the_doubt_lasts() {
    let bench = Bench::new(|_| Answer::error(503, "ServiceUnavailable", "no"));
    write(&bench, delete_pod(None)).await.unwrap_err();
    for _ in 0..3 {
        let key = tree();
        let error = observe(&bench.context, &key).await;
        assert_eq!(error.unwrap_err().code(), 503);
    }
}

/// A write that was refused for good, or that the API server asks to repeat later, changed nothing.
#[tokio::test]
async fn what_was_refused_needs_no_second_look() {
    for code in [400, 403, 422, 429] {
        let bench = Bench::new(failing("DELETE", code));
        told::<Pods>(&bench, pod_object("p", "uw", 12));
        write(&bench, delete_pod(None)).await.unwrap_err();
        assert_eq!(pods(&bench).await, [pair("p", "12")], "{code}");
        assert_eq!(bench.targets().len(), 1, "{code}");
    }
}

#[tokio::test]
async fn a_conflict_is_read_before_the_next_decision() {
    for (method, one) in [
        ("DELETE", delete_pod(Some("9"))),
        ("PATCH", Write::AddFinalizer),
    ] {
        let bench = Bench::new(failing(method, 409));
        assert_eq!(write(&bench, one).await.unwrap(), Executed::Stale);
        bench.observe().await;
        assert!(bench.targets()[1].starts_with("GET"), "{method}");
    }
}

#[tokio::test]
async fn a_tree_that_was_put_right_meanwhile_is_not_called_broken() {
    let bench = Bench::new(|seen| match seen.target.as_str() {
        target if target == format!("GET {TREE}") => Answer::Json(200, {
            let mut tree = tree_object(30);
            tree["apiVersion"] = json!("coppice.dev/v1alpha1");
            tree["kind"] = json!("SupervisionTree");
            tree
        }),
        _ => obliging(seen),
    });
    let mut broken = tree_object(20);
    broken["spec"]["children"] = json!("none");
    told::<Trees>(&bench, broken);
    let observation = bench.observe().await;
    assert_eq!(observation.tree_version, "30");
}

#[tokio::test]
async fn a_list_that_is_older_than_a_create_of_ours_does_not_take_it_back() {
    let bench = Bench::new(obliging);
    write(&bench, create_pod("p")).await.unwrap();
    let mut views = bench.context.views.lock();
    views.replace::<Pods>(None, "40", vec![]);
    assert!(views.pods.get(&ObjectKey::new("ns", "p")).is_some());
    assert_eq!(views.take_unbelieved::<Pods>().by_list, 1);
}
