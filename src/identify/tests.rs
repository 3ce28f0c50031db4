//! What is read from files, and whom the answers are about.
//!
//! Rule: files are as `kubectl get -o json` or a person writes them; times stand in the first minute of 2030.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;

pub(crate) mod events;
mod strange;
mod subjects;

/// Five minutes after all that happens here.
fn clock() -> Timestamp {
    "2030-01-01T00:05:00Z".parse().unwrap()
}

fn second(second: i64) -> String {
    format!("2030-01-01T00:00:{second:02}Z")
}

pub(crate) fn answers(text: &str) -> Vec<Answer> {
    identify("file", text, clock()).unwrap().answers
}

fn of(value: &Value) -> Vec<Answer> {
    answers(&value.to_string())
}

/// The only answer.
pub(crate) fn one(value: &Value) -> Answer {
    let mut answers = of(value);
    assert_eq!(answers.len(), 1, "{answers:?}");
    answers.remove(0)
}

fn list(items: &[Value]) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

/// Objects and classes of the answers.
fn told(answers: &[Answer]) -> Vec<(&str, &str)> {
    let pairs = answers.iter();
    pairs
        .map(|answer| (answer.object.as_str(), answer.class))
        .collect()
}

pub(crate) fn pod(name: &str, status: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "n",
            "uid": format!("uid-{name}"),
            "creationTimestamp": second(0),
        },
        "spec": {"nodeName": "node-a", "containers": [{"name": "main", "image": "x"}]},
        "status": status,
    })
}

/// A Pod whose program ended with that exit code, over and over.
pub(crate) fn crashing(name: &str, code: i32) -> Value {
    let end = json!({
        "exitCode": code,
        "reason": "Error",
        "startedAt": second(0),
        "finishedAt": second(30),
    });
    pod(
        name,
        &json!({
            "phase": "Running",
            "containerStatuses": [{
                "name": "main",
                "restartCount": 2,
                "ready": false,
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
                "lastState": {"terminated": end},
            }],
        }),
    )
}

pub(crate) fn well(name: &str) -> Value {
    pod(
        name,
        &json!({
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": second(1)}],
            "containerStatuses": [{
                "name": "main",
                "restartCount": 0,
                "ready": true,
                "state": {"running": {"startedAt": second(1)}},
            }],
        }),
    )
}

pub(crate) fn creating(name: &str) -> Value {
    pod(
        name,
        &json!({
            "phase": "Pending",
            "containerStatuses": [{
                "name": "main",
                "state": {"waiting": {"reason": "ContainerCreating"}},
            }],
        }),
    )
}

fn event(kind: &str, name: &str, reason: &str, message: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "e", "namespace": "n"},
        "involvedObject": {"kind": kind, "namespace": "n", "name": name},
        "reason": reason,
        "message": message,
        "firstTimestamp": second(29),
        "lastTimestamp": second(29),
        "count": 1,
        "type": "Normal",
    })
}

fn killing(pod: &str) -> Value {
    let text = "Container main failed liveness probe, will be restarted";
    event("Pod", pod, "Killing", text)
}

pub(crate) fn object(kind: &str, name: &str) -> Value {
    json!({"kind": kind, "metadata": {"name": name, "namespace": "n"}})
}

fn failed_job() -> Value {
    let mut job = object("Job", "work");
    job["status"] = json!({
        "conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}],
    });
    job
}

#[test]
fn an_object_alone_is_answered_for() {
    let answer = one(&crashing("a", 1));
    assert_eq!(
        (answer.object.as_str(), answer.class, answer.verdict),
        ("Pod n/a", "AppExitedNonZero", Some("Application"))
    );
    assert_eq!(answer.overlay.as_deref(), Some("CrashLoopBackOff"));
    assert_eq!(answer.since, Some(second(30).parse().unwrap()));
    let job = one(&failed_job());
    assert_eq!(
        (job.object.as_str(), job.class, job.verdict),
        ("Job n/work", "JobBackoffLimitExceeded", None)
    );
}

#[test]
fn a_list_of_pods_and_events_may_be_mixed_in_any_order() {
    let items = [
        killing("b"),
        crashing("a", 137),
        event("Pod", "c", "Pulled", "done"),
        crashing("b", 137),
        well("c"),
    ];
    let expected = [
        ("Pod n/b", "LivenessProbeKilled"),
        ("Pod n/a", "SigkillUnattributed"),
        ("Pod n/c", "NoFault"),
    ];
    assert_eq!(told(&of(&list(&items))), expected);
    let mut reversed = items.to_vec();
    reversed.reverse();
    assert_eq!(told(&of(&list(&reversed))), expected);
    assert_eq!(told(&of(&Value::from(items.to_vec()))), expected);
}

#[test]
fn the_items_of_a_list_of_one_kind_need_not_say_it() {
    let mut item = crashing("a", 1);
    item.as_object_mut().unwrap().remove("kind");
    let pods = json!({"apiVersion": "v1", "kind": "PodList", "items": [item]});
    assert_eq!(told(&of(&pods)), [("Pod n/a", "AppExitedNonZero")]);
}

#[test]
fn several_documents_are_read_as_one_file() {
    let yaml = "\
---
kind: Pod
metadata: {name: a, namespace: n}
status:
  phase: Running
  containerStatuses:
  - name: main
    state: {waiting: {reason: CrashLoopBackOff}}
    lastState: {terminated: {exitCode: 137, reason: Error}}
---
# nothing
---
kind: Event
involvedObject: {kind: Pod, name: a, namespace: n}
reason: Killing
message: Container main failed liveness probe, will be restarted
---
kind: List
items:
- kind: Pod
  metadata: {name: b, namespace: n}
  status: {phase: Succeeded}
";
    let expected = [("Pod n/a", "LivenessProbeKilled"), ("Pod n/b", "NoFault")];
    assert_eq!(told(&answers(yaml)), expected);
    let stream = format!(
        "{}\n{} {}",
        crashing("a", 137),
        killing("a"),
        list(&[well("b")])
    );
    assert_eq!(told(&answers(&stream)), expected);
    let two = "pod: {metadata: {name: a}}\n---\npod: {metadata: {name: b}}\n";
    assert_eq!(answers(two).len(), 2);
}

#[test]
fn the_worst_comes_first_and_what_is_well_last() {
    let evicted = json!({
        "phase": "Failed",
        "reason": "Evicted",
        "message": "The node was low on resource: memory.",
    });
    let full = json!({
        "phase": "Pending",
        "conditions": [{
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/1 nodes are available: 1 Insufficient cpu.",
        }],
    });
    let mut full = pod("full", &full);
    full["spec"] = json!({"containers": [{"name": "main"}]});
    let missing = json!({
        "phase": "Pending",
        "containerStatuses": [{
            "name": "main",
            "state": {"waiting": {"reason": "ErrImagePull", "message": "manifest unknown"}},
        }],
    });
    let items = [
        well("well"),
        failed_job(),
        full,
        pod("evicted", &evicted),
        crashing("killed", 137),
        crashing("second", 2),
        crashing("first", 1),
        pod("missing", &missing),
    ];
    assert_eq!(
        told(&of(&list(&items))),
        [
            ("Pod n/missing", "ImageNotFound"),
            ("Pod n/second", "AppExitedNonZero"),
            ("Pod n/first", "AppExitedNonZero"),
            ("Pod n/killed", "SigkillUnattributed"),
            ("Pod n/evicted", "NodePressureEviction"),
            ("Pod n/full", "InsufficientCpu"),
            ("Job n/work", "JobBackoffLimitExceeded"),
            ("Pod n/well", "NoFault"),
        ]
    );
}

#[test]
fn the_fields_of_an_answer_are_the_same_whatever_it_says() {
    let names = BTreeSet::from([
        "object",
        "class",
        "verdict",
        "confidence",
        "overlay",
        "proximate",
        "contributing",
        "evidence",
        "container",
        "since",
        "message",
        "advice",
    ]);
    let mut short_of_memory = object("Node", "node-a");
    short_of_memory["status"] = json!({
        "conditions": [{"type": "MemoryPressure", "status": "True"}],
    });
    for (value, class, verdict) in [
        (crashing("a", 1), "AppExitedNonZero", json!("Application")),
        (short_of_memory, "NodePressure", Value::Null),
        (failed_job(), "JobBackoffLimitExceeded", Value::Null),
        (well("a"), "NoFault", Value::Null),
    ] {
        let answer = serde_json::to_value(one(&value)).unwrap();
        let fields = answer.as_object().unwrap();
        let found: BTreeSet<&str> = fields.keys().map(String::as_str).collect();
        assert_eq!(found, names);
        assert_eq!(
            (&answer["class"], &answer["verdict"]),
            (&json!(class), &verdict)
        );
        assert!(answer["contributing"].is_array() && answer["evidence"].is_array());
        assert!(answer["advice"].is_string() && answer["message"].is_string());
    }
    let answer = serde_json::to_value(one(&crashing("a", 1))).unwrap();
    assert_eq!(answer["since"], second(30));
    assert_eq!(answer["container"], "main");
    assert_eq!(answer["confidence"], "Proved");
    assert_eq!(
        answer["evidence"][0],
        json!({
            "object": "Pod a",
            "field": "status.containerStatuses[main].lastState.terminated.exitCode",
            "value": "1",
        })
    );
    let nothing = serde_json::to_value(one(&well("a"))).unwrap();
    for field in ["overlay", "proximate", "container", "since"] {
        assert_eq!(nothing[field], Value::Null, "{field}");
    }
}

#[test]
fn a_fresh_file_is_judged_by_the_clock_and_an_old_one_by_its_newest_time() {
    let text = creating("a").to_string();
    let at = |clock: &str| {
        let clock = clock.parse().unwrap();
        identify("file", &text, clock).unwrap().answers[0].class
    };
    assert_eq!(at("2030-01-01T00:00:59Z"), "NoFault");
    assert_eq!(at("2030-01-01T00:01:00Z"), "StartStuck");
    assert_eq!(at("2031-01-01T00:00:00Z"), "StartStuck");
    assert_eq!(at("2029-01-01T00:00:00Z"), "StartStuck");
}
