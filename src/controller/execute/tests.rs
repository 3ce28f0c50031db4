//! What goes over the wire, in which order, and what comes of each answer: the bench, and the writes that are neither
//! creates nor deletes nor statuses.
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

mod claims;
mod consistency;
mod creates;
mod deletes;
mod disruption_budgets;
mod in_place;
mod leading;
mod news;
mod statuses;
mod taking_over;

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
        // All of the tree was read before.
        let term = context.leadership.term().unwrap();
        context.memories.begin(&tree(), term);
        context.memories.was_read(&tree(), term);
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
            rollouts: vec![],
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
        within_bounds: false,
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
