//! The objects that Coppice makes: Workers and Pods.
//!
//! Rule: an object is a function of the tree, the worker and the slot; the template is copied as it is.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::api::labels;
use crate::api::v1alpha1::{GROUP, SlotStatus};

use super::names;
use super::tree::{Leaf, Policy};
use super::window::in_window;
use super::world::{TreeView, WorkerView};

/// Charged deaths on one node that make new Pods of the slot prefer others.
const AVOID_NODE_CHARGES: usize = 2;

/// The Worker of a child.
pub(super) fn worker(tree: &TreeView, child: &str, leaf: &Leaf<'_>) -> Value {
    let mut spec = Map::new();
    if let Some(replicas) = leaf.settings.replicas {
        spec.insert("replicas".into(), replicas.into());
    }
    json!({
        "apiVersion": format!("{GROUP}/v1alpha1"),
        "kind": "Worker",
        "metadata": {
            "name": names::worker_name(&tree.name, child),
            "namespace": tree.namespace,
            "labels": {labels::TREE: tree.name, labels::CHILD: child},
            "ownerReferences": [owner("SupervisionTree", &tree.name, &tree.uid)],
        },
        "spec": spec,
    })
}

/// Whose Pod it is to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// The tree.
    pub tree: &'a TreeView,
    /// Name of the child.
    pub child: &'a str,
    /// Its settings.
    pub leaf: &'a Leaf<'a>,
    /// The policy of its supervisor.
    pub policy: &'a Policy,
    /// Its Worker, which owns the Pod.
    pub worker: &'a WorkerView,
    /// The slot.
    pub slot: i32,
    /// What is remembered of the slot.
    pub memory: Option<&'a SlotStatus>,
    /// The time.
    pub now: Timestamp,
}

/// The Pod of a slot.
pub(super) fn pod(place: &Place<'_>, name: &str) -> Value {
    let Place {
        tree,
        child,
        leaf,
        policy,
        worker,
        slot,
        memory,
        ..
    } = *place;
    let template = &leaf.settings.template.0;
    let mut spec = template.get("spec").cloned().unwrap_or_else(|| json!({}));
    let restarts = kubelet_restarts(policy);
    let node_loss = leaf.settings.node_loss_seconds;
    if let Some(spec) = spec.as_object_mut() {
        let policy = if restarts { "Always" } else { "Never" };
        spec.insert("restartPolicy".into(), policy.into());
        add_tolerations(spec, node_loss);
        if let Some(memory) = memory {
            avoid_nodes(spec, memory, place);
        }
    }
    let mut labels = template_map(template, "labels");
    labels.insert(labels::TREE.into(), tree.name.clone().into());
    labels.insert(labels::CHILD.into(), child.into());
    labels.insert(labels::SLOT.into(), slot.to_string().into());
    labels.insert(labels::POD_INDEX.into(), slot.to_string().into());
    labels.insert(labels::REVISION.into(), leaf.revision.clone().into());
    let mut annotations = template_map(template, "annotations");
    annotations.insert(labels::CONTAINERS.into(), container_names(template).into());
    if !restarts {
        annotations.insert(labels::ARGO_IGNORE_RESTART_POLICY.into(), "true".into());
    }
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": tree.namespace,
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [owner("Worker", &worker.name, &worker.uid)],
        },
        "spec": spec,
    })
}

/// Whether the kubelet makes the first restart in place: under `OneForOne`, while there is budget at all.
pub(super) fn kubelet_restarts(policy: &Policy) -> bool {
    policy.intensity.max_restarts > 0
}

fn owner(kind: &str, name: &str, uid: &str) -> Value {
    json!({
        "apiVersion": format!("{GROUP}/v1alpha1"),
        "kind": kind,
        "name": name,
        "uid": uid,
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

fn template_map(template: &Value, field: &str) -> Map<String, Value> {
    template
        .pointer(&format!("/metadata/{field}"))
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default()
}

fn container_names(template: &Value) -> String {
    let names: Vec<&str> = template
        .pointer("/spec/containers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|container| container.get("name")?.as_str())
        .collect();
    names.join(",")
}

/// How long the Pod stays bound to a lost node; a toleration of the user's for the same taint wins.
fn add_tolerations(spec: &mut Map<String, Value>, seconds: i32) {
    let list = spec.entry("tolerations").or_insert_with(|| json!([]));
    let Some(list) = list.as_array_mut() else {
        return;
    };
    for key in [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ] {
        let is_tolerated = list.iter().any(|t| {
            let matches_key = t
                .get("key")
                .and_then(Value::as_str)
                .is_none_or(|k| k.is_empty() || k == key);
            let matches_effect = t
                .get("effect")
                .and_then(Value::as_str)
                .is_none_or(|e| e.is_empty() || e == "NoExecute");
            matches_key && matches_effect
        });
        if !is_tolerated {
            list.push(json!({
                "key": key,
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": seconds,
            }));
        }
    }
}

/// Prefers other nodes than those on which the slot died twice within its window.
fn avoid_nodes(spec: &mut Map<String, Value>, memory: &SlotStatus, place: &Place<'_>) {
    let mut nodes: Vec<&str> = memory
        .node_charges
        .iter()
        .filter(|c| in_window(&c.time, place.now, &place.policy.intensity))
        .map(|c| c.node.as_str())
        .collect();
    nodes.sort_unstable();
    let bad: Vec<&str> = nodes
        .chunk_by(|a, b| a == b)
        .filter(|same| same.len() >= AVOID_NODE_CHARGES)
        .map(|same| same[0])
        .collect();
    if bad.is_empty() {
        return;
    }
    let affinity = spec.entry("affinity").or_insert_with(|| json!({}));
    let Some(affinity) = affinity.as_object_mut() else {
        return;
    };
    let node = affinity.entry("nodeAffinity").or_insert_with(|| json!({}));
    let Some(node) = node.as_object_mut() else {
        return;
    };
    let preferred = node
        .entry("preferredDuringSchedulingIgnoredDuringExecution")
        .or_insert_with(|| json!([]));
    if let Some(preferred) = preferred.as_array_mut() {
        // A node field takes one value a term, so each node has its own.
        preferred.extend(bad.into_iter().map(|node| {
            json!({
                "weight": 100,
                "preference": {"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": [node]}]},
            })
        }));
    }
}
