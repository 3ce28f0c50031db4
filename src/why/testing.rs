//! Trees for the tests: a lab, as `kubectl get -o json` would print what is in it.
//!
//! Rule: statuses are what the model has made of it; nothing is written down by hand.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::labels;
use crate::model::lab::Lab;
use crate::model::pod::{ContainerState, ContainerView, PodPhase, PodView, Termination};

/// The tree, its Workers and its Pods.
pub(super) fn objects(lab: &Lab) -> Vec<Value> {
    let tree = &lab.world.tree;
    let mut objects = vec![json!({
        "apiVersion": "coppice.dev/v1alpha1",
        "kind": "SupervisionTree",
        "metadata": {"name": tree.name, "namespace": tree.namespace, "generation": tree.generation},
        "spec": tree.spec,
        "status": tree.status,
    })];
    for (child, worker) in &lab.world.workers {
        objects.push(json!({
            "apiVersion": "coppice.dev/v1alpha1",
            "kind": "Worker",
            "metadata": {
                "name": worker.name,
                "namespace": tree.namespace,
                "labels": {labels::TREE: tree.name, labels::CHILD: child},
            },
            "spec": {"replicas": worker.replicas},
            "status": *worker.status,
        }));
        let pods = worker.pods.iter();
        objects.extend(pods.map(|one| pod(&tree.name, &tree.namespace, one)));
    }
    objects
}

fn pod(tree: &str, namespace: &str, pod: &PodView) -> Value {
    let phase = match pod.phase {
        PodPhase::Pending => "Pending",
        PodPhase::Running => "Running",
        PodPhase::Succeeded => "Succeeded",
        PodPhase::Failed => "Failed",
        PodPhase::Unknown => "Unknown",
    };
    let conditions = pod.conditions.iter().map(|condition| {
        json!({
            "type": condition.type_.as_str(),
            "status": if condition.is_true { "True" } else { "False" },
            "reason": condition.reason,
            "message": condition.message,
            "lastTransitionTime": condition.changed,
        })
    });
    let containers = pod.containers.iter();
    let specs = containers
        .clone()
        .map(|container| json!({"name": container.name, "image": "example.com/app:1"}));
    let mut value = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod.name,
            "namespace": namespace,
            "uid": pod.uid,
            "creationTimestamp": pod.created,
            "labels": {
                labels::TREE: tree,
                labels::CHILD: pod.child,
                labels::SLOT: pod.slot.to_string(),
            },
        },
        "spec": {
            "restartPolicy": pod.restart_policy.as_str(),
            "containers": specs.collect::<Vec<_>>(),
        },
        "status": {
            "phase": phase,
            "conditions": conditions.collect::<Vec<_>>(),
            "containerStatuses": containers.map(container).collect::<Vec<_>>(),
        },
    });
    if let Some(node) = &pod.node {
        value["spec"]["nodeName"] = node.as_str().into();
    }
    if let Some(deletion) = pod.deletion {
        value["metadata"]["deletionTimestamp"] = deletion.to_string().into();
    }
    value
}

fn container(container: &ContainerView) -> Value {
    let state = match &container.state {
        ContainerState::Running { since } => json!({"running": {"startedAt": since}}),
        ContainerState::Terminated(end) => json!({"terminated": terminated(end)}),
        ContainerState::Waiting { reason, message } => {
            json!({"waiting": {"reason": reason, "message": message}})
        }
    };
    let last = container.last.as_ref();
    json!({
        "name": container.name,
        "ready": container.ready,
        "restartCount": container.restarts,
        "state": state,
        "lastState": last.map_or_else(|| json!({}), |end| json!({"terminated": terminated(end)})),
    })
}

fn terminated(end: &Termination) -> Value {
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
    json!({
        "exitCode": end.exit_code,
        "reason": end.reason,
        "message": end.message,
        "startedAt": time(end.started),
        "finishedAt": time(end.finished),
    })
}
