//! Every class comes out of some evidence.
//!
//! Rule: what cannot be seen in a file stands in [`NOT_IN_A_FILE`], with the reason.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::identify::tests::events::{self, named};
use crate::identify::tests::{answers, crashing, creating, object, one, pod, well};
use crate::model::fault::Class;
use crate::simulate;

/// Classes that no file shows: a tree alone knows of them.
const NOT_IN_A_FILE: &[(Class, &str)] = &[
    (
        Class::StartDeadlineExceeded,
        "the time that it counts is the worker's, and no field of a Pod tells it",
    ),
    (
        Class::NameCollision,
        "whose a name is follows from the owner that was expected, and no answer to a create tells it",
    ),
];

/// A Pod that runs and is not Ready.
fn unready() -> Value {
    let mut unready = well("a");
    unready["status"]["conditions"][0]["status"] = json!("False");
    unready["status"]["containerStatuses"][0]["ready"] = json!(false);
    unready
}

fn node_that_says(type_: &str, status: &str, reason: &str) -> Value {
    let mut node = object("Node", "node-a");
    node["status"] = json!({"conditions": [{"type": type_, "status": status, "reason": reason}]});
    node
}

fn job_that_failed(reason: &str) -> Value {
    let mut job = object("Job", "work");
    job["status"] = json!({"conditions": [{"type": "Failed", "status": "True", "reason": reason}]});
    job
}

/// Evidence for the classes that are shown nowhere else.
fn others() -> Vec<(Class, Value)> {
    let mut setting_up = creating("a");
    setting_up["status"]["initContainerStatuses"] =
        json!([{"name": "setup", "state": {"running": {"startedAt": "2029-12-31T23:00:00Z"}}}]);
    let mut with_sidecar = unready();
    with_sidecar["spec"]["initContainers"] = json!([{"name": "proxy", "restartPolicy": "Always"}]);
    with_sidecar["status"]["containerStatuses"] = json!([]);
    with_sidecar["status"]["initContainerStatuses"] = json!([{
        "name": "proxy",
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}},
    }]);
    let mut with_image = creating("a");
    with_image["spec"]["volumes"] =
        json!([{"name": "model", "image": {"reference": "r.example/m:1"}}]);
    with_image["status"]["containerStatuses"][0]["state"]["waiting"] = json!({
        "reason": "ImagePullBackOff",
        "message": "Back-off pulling image \"r.example/m:1\": ErrImagePull: not found",
    });
    let mut gated = well("a");
    gated["status"]["conditions"][0] =
        json!({"type": "Ready", "status": "False", "reason": "ReadinessGatesNotReady"});
    let mut full = pod(
        "a",
        &json!({"phase": "Pending", "nominatedNodeName": "node-b"}),
    );
    full["spec"] = json!({});
    full["status"]["conditions"] = json!([{
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/1 nodes are available: 1 Insufficient cpu.",
    }]);
    let mut collected = well("a");
    collected["status"]["conditions"][0] = json!({"type": "DisruptionTarget", "status": "True",
        "reason": "DeletionByPodGC", "message": "PodGC: node no longer exists"});
    let lost = json!({"phase": "Running", "reason": "NodeLost",
        "message": "Node node-a which was running pod a is unresponsive"});
    let mut on_gpu = crashing("a", 1);
    on_gpu["status"]["containerStatuses"][0]["allocatedResourcesStatus"] = json!([
        {"name": "nvidia.com/gpu", "resources": [{"resourceID": "GPU-7", "health": "Unhealthy"}]}]);
    let mut debugged = well("a");
    debugged["status"]["ephemeralContainerStatuses"] =
        json!([{"name": "debugger", "state": {"waiting": {"reason": "ErrImagePull"}}}]);
    let mut rolling = object("StatefulSet", "db");
    rolling["spec"] = json!({"replicas": 3});
    rolling["status"] = json!({"currentRevision": "1", "updateRevision": "2", "readyReplicas": 2});
    let mut restarted = crashing("a", 137);
    restarted["status"]["containerStatuses"][0]["lastState"]["terminated"]["reason"] =
        json!("RestartingAllContainers");
    let evict = "Cannot evict pod as it would violate the pod's disruption budget.";
    vec![
        (Class::InitContainerStuck, setting_up),
        (Class::SidecarFailed, with_sidecar),
        (Class::EphemeralContainerFailed, debugged),
        (Class::ImageVolumePullFailed, with_image),
        (Class::ReadinessGateNotReady, gated),
        (Class::ReadinessUnknown, unready()),
        (Class::PreemptionPending, full),
        (
            Class::NodeNeverReported,
            node_that_says("Ready", "Unknown", "NodeStatusNeverUpdated"),
        ),
        (
            Class::NodeNetworkUnavailable,
            node_that_says("NetworkUnavailable", "True", "NoRouteCreated"),
        ),
        (Class::NodeLost, pod("a", &lost)),
        (Class::DeletedByPodGC, collected),
        (
            Class::PdbBlocked,
            json!({"createError": {"code": 429, "message": evict}}),
        ),
        (Class::DeviceUnhealthy, on_gpu),
        (
            Class::JobDeadlineExceeded,
            job_that_failed("DeadlineExceeded"),
        ),
        (
            Class::JobPodFailurePolicy,
            job_that_failed("PodFailurePolicy"),
        ),
        (Class::JobFailedIndexes, job_that_failed("FailedIndexes")),
        (Class::StatefulSetStuck, rolling),
        (Class::RestartAllContainers, restarted),
    ]
}

/// The classes that come out of the samples of real faults.
fn of_samples() -> BTreeSet<&'static str> {
    #[derive(Deserialize)]
    struct Entry {
        file: String,
    }
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fault-corpus");
    let index = std::fs::read_to_string(corpus.join("index.json")).unwrap();
    let entries: Vec<Entry> = serde_json::from_str(&index).unwrap();
    let answers = entries.iter().flat_map(|entry| {
        let text = std::fs::read_to_string(corpus.join("samples").join(&entry.file)).unwrap();
        answers(&text)
    });
    answers.flat_map(|answer| named(&answer)).collect()
}

/// The classes that a simulated cluster acts out, each with its evidence as a file.
fn scenes() -> Vec<(Class, Value)> {
    let documents = Class::ALL.iter();
    documents
        .filter_map(|class| Some((*class, simulate::document(*class)?)))
        .collect()
}

#[test]
fn every_class_comes_out_of_some_evidence() {
    let mut wrong = Vec::new();
    let documents: Vec<(Class, Value)> = scenes().into_iter().chain(others()).collect();
    for (class, document) in &documents {
        let answer = one(document);
        if !named(&answer).contains(class.as_str()) {
            wrong.push(format!("{class}: {:?}: {}", named(&answer), answer.message));
        }
    }
    let mut shown = of_samples();
    shown.extend(events::shown());
    shown.extend(documents.iter().map(|(class, _)| class.as_str()));
    for class in Class::ALL {
        let excuse = NOT_IN_A_FILE.iter().find(|(known, _)| known == class);
        match excuse {
            None if !shown.contains(class.as_str()) => {
                wrong.push(format!("{class} comes out of nothing"));
            }
            Some((_, why)) if shown.contains(class.as_str()) => {
                wrong.push(format!("{class} comes out, although {why}"));
            }
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
