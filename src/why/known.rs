//! What is known of a tree: itself, its Workers, and its Pods with what is wrong with them.
//!
//! Rule: what belongs together is told by labels, as it is for everybody else.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Refusal;
use crate::api::labels;
use crate::api::v1alpha1::{GROUP, SlotStatus, SupervisionTree, SupervisionTreeStatus, Worker};
use crate::identify::{self, Answer};

/// A tree and what belongs to it.
pub(super) struct Known {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) tree: SupervisionTree,
    pub(super) status: SupervisionTreeStatus,
    /// By child.
    pub(super) workers: BTreeMap<String, Worker>,
    /// Those that matter most first: live ones, then the newest.
    pub(super) pods: Vec<PodAnswer>,
}

/// A Pod, and what is wrong with it.
pub(super) struct PodAnswer {
    pub(super) child: String,
    pub(super) slot: i32,
    is_live: bool,
    created: String,
    pub(super) answer: Answer,
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" => f.write_str(&self.name),
            namespace => write!(f, "{namespace}/{}", self.name),
        }
    }
}

impl Known {
    /// What is remembered of the slots of a worker.
    pub(super) fn slots(&self, child: &str) -> &[SlotStatus] {
        let status = self.workers.get(child).and_then(|w| w.status.as_ref());
        status.map_or(&[], |status| &status.slots)
    }

    /// The Pods of a child that matter: of each slot one.
    pub(super) fn current(&self, child: &str) -> Vec<&PodAnswer> {
        let mut current: Vec<&PodAnswer> = Vec::new();
        for pod in self.pods.iter().filter(|pod| pod.child == child) {
            if !current.iter().any(|other| other.slot == pod.slot) {
                current.push(pod);
            }
        }
        current.sort_by_key(|pod| pod.slot);
        current
    }
}

/// Whether it is a tree.
pub(super) fn is_tree(object: &Value) -> bool {
    is_ours(object, "SupervisionTree")
}

/// Whether it is of that kind of ours. Items of a list need not say their version.
fn is_ours(object: &Value, kind: &str) -> bool {
    let version = object["apiVersion"].as_str();
    let is_group = |version: &str| version.split('/').next() == Some(GROUP);
    object["kind"] == kind && version.is_none_or(is_group)
}

/// All trees among these objects.
pub(super) fn all(source: &str, objects: &[Value], now: Timestamp) -> Result<Vec<Known>, Refusal> {
    let trees = objects.iter().filter(|object| is_tree(object));
    let workers = objects.iter().filter(|object| is_ours(object, "Worker"));
    let workers: Vec<Worker> = workers
        .map(|worker| read(source, worker))
        .collect::<Result<_, _>>()?;
    let mut pods = identify::pods(objects, now);
    let mut all = Vec::new();
    for value in trees {
        let mut tree: SupervisionTree = read(source, value)?;
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let (namespace, name) = (text(&tree.metadata.namespace), text(&tree.metadata.name));
        let own = workers.iter().filter(|worker| {
            let labels = worker.metadata.labels.as_ref();
            let label = labels.and_then(|labels| labels.get(labels::TREE));
            label == Some(&name) && text(&worker.metadata.namespace) == namespace
        });
        let workers = own
            .filter_map(|worker| {
                let child = worker.metadata.labels.as_ref()?.get(labels::CHILD)?;
                Some((child.clone(), worker.clone()))
            })
            .collect();
        let is_of_tree = |pod: &Value| {
            pod["metadata"]["labels"][labels::TREE] == *name
                && pod["metadata"]["namespace"].as_str().unwrap_or_default() == namespace
        };
        let own = pods.extract_if(.., |(pod, _)| is_of_tree(pod));
        let mut pods: Vec<PodAnswer> = own
            .map(|(pod, answer)| PodAnswer::of(pod, answer))
            .collect();
        pods.sort_by(|a, b| (b.is_live, &b.created).cmp(&(a.is_live, &a.created)));
        all.push(Known {
            status: tree.status.take().unwrap_or_default(),
            namespace,
            name,
            tree,
            workers,
            pods,
        });
    }
    Ok(all)
}

impl PodAnswer {
    fn of(pod: &Value, answer: Answer) -> Self {
        let metadata = &pod["metadata"];
        let label = |name: &str| metadata["labels"][name].as_str().unwrap_or_default();
        let is_over = ["Succeeded", "Failed"]
            .iter()
            .any(|phase| pod["status"]["phase"] == **phase);
        let created = metadata["creationTimestamp"].as_str();
        Self {
            child: label(labels::CHILD).to_owned(),
            slot: label(labels::SLOT).parse().unwrap_or_default(),
            is_live: metadata["deletionTimestamp"].is_null() && !is_over,
            // Kubernetes writes all of them alike, so that the later text is the later time.
            created: created.unwrap_or_default().to_owned(),
            answer,
        }
    }
}

fn read<T: DeserializeOwned>(source: &str, object: &Value) -> Result<T, Refusal> {
    serde_json::from_value(object.clone()).map_err(|error| {
        let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        Refusal::Unreadable(format!(
            "{source}: {} {} is not as this version of Coppice knows it: {error}",
            text(&object["kind"]),
            text(&object["metadata"]["name"]),
        ))
    })
}
