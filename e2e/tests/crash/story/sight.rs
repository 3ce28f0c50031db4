//! What a person can see of a story: the tree, its Workers and their Pods, and what the operator did to these.
//!
//! Rule: names and times that differ from run to run are left out, so that two stories can be compared.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::{CHILDREN, Story, WITHIN};
use crate::support::{self, OPERATOR};

impl Story {
    /// What a person can see of the tree, without names and times that differ from run to run.
    pub(super) async fn seen(&self) -> Value {
        let tree = self.space.tree("tree").await;
        let status = &tree["status"];
        let conditions: BTreeMap<String, Value> = ["Ready", "Reconciling", "Stalled"]
            .iter()
            .map(|name| {
                let one = support::condition(&tree, name);
                ((*name).to_owned(), json!([one["status"], one["reason"]]))
            })
            .collect();
        let supervisors: Vec<Value> = list(&status["supervisors"])
            .map(|one| {
                let charges: BTreeMap<String, usize> = list(&one["charges"])
                    .map(|charge| (text(&charge["child"]), list(&charge["times"]).count()))
                    .collect();
                json!({"name": one["name"], "incarnation": one["incarnation"], "charges": charges, "operation": one["operation"]["kind"], "gaveUp": one["gaveUp"]})
            })
            .collect();
        let mut workers = BTreeMap::new();
        for child in CHILDREN {
            workers.insert(child, self.worker(child).await);
        }
        json!({"conditions": conditions, "restarts": status["restarts"], "supervisors": supervisors, "workers": workers})
    }

    async fn worker(&self, child: &str) -> Value {
        let worker = self.space.worker("tree", child).await;
        let charges: BTreeMap<String, usize> = list(&worker["status"]["slots"])
            .map(|slot| (slot["slot"].to_string(), list(&slot["charges"]).count()))
            .filter(|(_, charges)| *charges > 0)
            .collect();
        let pods = self.space.pods_of("tree", child).await;
        let live: Vec<&Pod> = pods
            .iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_none())
            .collect();
        let slots: BTreeSet<&String> = live
            .iter()
            .filter_map(|pod| pod.labels().get("coppice.dev/slot"))
            .collect();
        assert_eq!(
            slots.len(),
            live.len(),
            "a slot of {child} in {} has two Pods",
            self.space.name
        );
        json!({"replicas": worker["spec"]["replicas"], "up": worker["status"]["up"], "restarts": worker["status"]["restarts"], "charges": charges, "slots": slots})
    }

    pub(super) async fn faults(&self) -> Vec<String> {
        let tree = self.space.tree("tree").await;
        let mut faults: Vec<String> = list(&tree["status"]["recentFaults"])
            .map(|fault| {
                format!(
                    "{} {} {}",
                    text(&fault["child"]),
                    fault["slot"],
                    text(&fault["verdict"])
                )
            })
            .collect();
        faults.sort();
        faults
    }

    /// What is left when the tree is gone: nothing.
    pub(super) async fn left(&self) -> Value {
        let begun = Instant::now();
        loop {
            let pods = self
                .space
                .pods()
                .list(&ListParams::default())
                .await
                .unwrap();
            let workers = self.space.ours("Worker");
            let workers = workers.list(&ListParams::default()).await.unwrap();
            let left = pods.items.len() + workers.items.len();
            if left == 0 || begun.elapsed() > WITHIN {
                return json!({"left": left});
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// What the operator did to Pods here, by the API server's own record.
    pub(super) fn touched(&self) -> BTreeMap<(String, String), usize> {
        let mut touched = BTreeMap::new();
        let requests = support::requests_of(self.space.cluster, OPERATOR);
        let ours = requests.into_iter().filter(|request| {
            request.namespace == self.space.name
                && request.resource == "pods"
                && request.succeeded()
        });
        for request in ours.filter(support::Request::is_write) {
            let child = CHILDREN
                .iter()
                .find(|child| request.name.starts_with(&format!("tree-{child}-")));
            let child = (*child.unwrap_or(&"unknown")).to_owned();
            *touched.entry((request.verb, child)).or_default() += 1;
        }
        touched
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
