//! What goes over the wire, in which order, and what comes of each answer.
//!
//! Rule: the decision is given; what the core decides is tested elsewhere.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::kinds::{Pods, Trees, Workers};
use super::super::observe::{Observed, observe};
use super::super::store::{ObjectKey, Source};
use super::super::testing::{Answer, Log, Seen, client, context, tree};
use super::*;
use crate::model::decision::Notice;
use crate::model::world::Untold;

mod consistency;
mod leading;
mod news;

const TREE: &str = "/apis/coppice.dev/v1alpha1/namespaces/ns/supervisiontrees/t";
const WORKERS: &str = "/apis/coppice.dev/v1alpha1/namespaces/ns/workers";
const PODS: &str = "/api/v1/namespaces/ns/pods";

fn tree_object(version: u64) -> Value {
    json!({"metadata": {"name": "t", "namespace": "ns", "uid": "ut", "resourceVersion": version.to_string(),
        "generation": 1, "finalizers": ["other/one"]},
        "spec": {"children": []}, "status": {"observedGeneration": 1, "budget": "1/3"}})
}

fn worker_object(version: u64) -> Value {
    json!({"metadata": {"name": "t-w", "namespace": "ns", "uid": "uw", "resourceVersion": version.to_string(),
        "labels": {"coppice.dev/child": "w"},
        "ownerReferences": [{"apiVersion": "coppice.dev/v1alpha1", "kind": "SupervisionTree", "name": "t",
            "uid": "ut", "controller": true}]},
        "spec": {"replicas": 1}, "status": {"observedGeneration": 1}})
}

fn pod_object(name: &str, owner: &str, version: u64) -> Value {
    json!({"metadata": {"name": name, "namespace": "ns", "uid": format!("u-{name}"),
        "resourceVersion": version.to_string(),
        "labels": {"coppice.dev/tree": "t", "coppice.dev/child": "w", "coppice.dev/slot": "0"},
        "ownerReferences": [{"apiVersion": "coppice.dev/v1alpha1", "kind": "Worker", "name": "t-w",
            "uid": owner, "controller": true}]}})
}

/// A server on which every write works.
fn obliging(seen: &Seen) -> Answer {
    let object = match seen.target.as_str() {
        target if target.contains("supervisiontrees") => tree_object(50),
        target if target.ends_with("/scale") => {
            json!({"metadata": {"name": "t-w", "resourceVersion": "60"},
            "spec": {"replicas": 2}})
        }
        target if target.contains("workers") => worker_object(51),
        target if target.starts_with("DELETE") => pod_object("p", "uw", 52),
        _ => pod_object(
            seen.body["metadata"]["name"].as_str().unwrap_or("p"),
            "uw",
            53,
        ),
    };
    Answer::Json(200, object)
}

struct Bench {
    context: Context,
    log: Log,
}

impl Bench {
    fn new(answer: impl Fn(&Seen) -> Answer + Send + 'static) -> Self {
        let (client, log) = client(answer);
        let context = context(client);
        {
            let mut views = context.views.lock();
            views.put::<Trees>(
                serde_json::from_value(tree_object(10)).unwrap(),
                Source::Watch,
                None,
            );
            views.put::<Workers>(
                serde_json::from_value(worker_object(11)).unwrap(),
                Source::Watch,
                None,
            );
        }
        Self { context, log }
    }

    async fn observe(&self) -> Box<Observation> {
        match observe(&self.context, &tree()).await.unwrap() {
            Observed::World(observation) => observation,
            other => panic!("{other:?}"),
        }
    }

    async fn execute(&self, decide: impl FnOnce(&mut Decision)) -> Result<Executed, Error> {
        let observation = self.observe().await;
        self.execute_on(&observation, decide).await
    }

    async fn execute_on(
        &self,
        observation: &Observation,
        decide: impl FnOnce(&mut Decision),
    ) -> Result<Executed, Error> {
        let world = &observation.world;
        let mut decision = Decision {
            tree_status: world.tree.status.clone(),
            worker_statuses: world
                .workers
                .iter()
                .map(|(c, w)| (c.clone(), w.status.as_ref().clone()))
                .collect(),
            tree_intent: false,
            worker_intents: BTreeSet::default(),
            writes_first: false,
            writes: vec![],
            notices: vec![],
            of_workers: None,
            judged: vec![],
            give_ups: 0,
            wake_at: None,
        };
        decide(&mut decision);
        let deadline = Instant::now() + Duration::from_secs(30);
        execute(&self.context, observation, decision, deadline).await
    }

    fn targets(&self) -> Vec<String> {
        self.log
            .lock()
            .unwrap()
            .iter()
            .map(|seen| seen.target.clone())
            .collect()
    }

    fn seen(&self, index: usize) -> Seen {
        self.log.lock().unwrap()[index].clone()
    }
}

fn create_pod(name: &str) -> Write {
    Write::CreatePod {
        child: "w".to_owned(),
        slot: 0,
        name: name.to_owned(),
        owner_uid: "uw".to_owned(),
        body: json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}}),
    }
}

fn delete_pod(version: Option<&str>) -> Write {
    Write::DeletePod {
        name: "p".to_owned(),
        child: "w".to_owned(),
        uid: "u-p".to_owned(),
        resource_version: version.map(str::to_owned),
        why: "test",
    }
}

#[tokio::test]
async fn nothing_to_say_is_nothing_written() {
    let bench = Bench::new(obliging);
    assert_eq!(bench.execute(|_| {}).await.unwrap(), Executed::Nothing);
    assert!(bench.targets().is_empty());
}

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
    let tree = bench.seen(0);
    assert_eq!(tree.query, ["fieldManager=coppice"]);
    // What disappeared is removed, what stayed is left out.
    assert_eq!(
        tree.body,
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
    assert_eq!(views.trees.get(&tree_key()).unwrap().resource_version, "50");
    assert_eq!(views.pods.owned_by("uw").count(), 1);
}

fn tree_key() -> ObjectKey {
    tree()
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
    let edited = std::sync::atomic::AtomicBool::new(false);
    let bench = Bench::new(move |seen| match seen.target.as_str() {
        target
            if target == format!("PATCH {TREE}/status")
                && !edited.swap(true, std::sync::atomic::Ordering::Relaxed) =>
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
    let down = std::sync::atomic::AtomicBool::new(true);
    let bench = Bench::new(move |seen| match seen.target.as_str() {
        target
            if target == format!("PATCH {TREE}/status")
                && down.swap(false, std::sync::atomic::Ordering::Relaxed) =>
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

#[tokio::test]
async fn finalizers_of_others_are_kept_and_versions_followed() {
    let bench = Bench::new(obliging);
    bench
        .execute(|decision| {
            decision.tree_status.restarts = 1;
            decision.tree_intent = true;
            decision.writes.push(Write::AddFinalizer);
        })
        .await
        .unwrap();
    assert_eq!(bench.targets()[1], format!("PATCH {TREE}"));
    assert_eq!(
        bench.seen(1).body,
        json!({"metadata": {"resourceVersion": "50", "finalizers": ["other/one", "coppice.dev/ordered-stop"]}})
    );
}

#[tokio::test]
async fn scaling_goes_through_the_subresource_and_the_worker_is_read_again() {
    let bench = Bench::new(obliging);
    let write = Write::Scale {
        child: "w".to_owned(),
        name: "t-w".to_owned(),
        replicas: 2,
        notice: None,
    };
    bench.execute(|d| d.writes.push(write)).await.unwrap();
    assert_eq!(bench.targets(), [format!("PATCH {WORKERS}/t-w/scale")]);
    assert_eq!(bench.seen(0).body, json!({"spec": {"replicas": 2}}));
    bench.observe().await;
    assert_eq!(bench.targets()[1], format!("GET {WORKERS}/t-w"));
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
                message: "m".to_owned(),
                pod: None,
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
