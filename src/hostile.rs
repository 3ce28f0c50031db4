//! Hostile evidence: whatever a file holds, it is answered, and what is shown of it is short. What comes over the wire is
//! tried in the same way beside its readers.
//!
//! Rule: a case is made from a seed, and a failure names it.

use std::env;
use std::time::Duration;

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Map, Value, json};

use crate::dice::Dice;
use crate::identify::identify;

/// How many cases run without `HOSTILE_CASES`.
const CASES: u64 = 2_000;
/// The longest text that an answer may have, in bytes.
const LONGEST: usize = 512;

/// Words that rules look for, and words that nobody expects.
pub(crate) const WORDS: &[&str] = &[
    "",
    "Error",
    "OOMKilled",
    "Completed",
    "CrashLoopBackOff",
    "ImagePullBackOff",
    "ErrImagePull",
    "CreateContainerConfigError",
    "RunContainerError",
    "StartError",
    "ContainerCreating",
    "PodInitializing",
    "Evicted",
    "Unschedulable",
    "SchedulingGated",
    "TerminationByKubelet",
    "EvictionByEvictionAPI",
    "FailedMount",
    "FailedAttachVolume",
    "FailedCreatePodSandBox",
    "FailedScheduling",
    "Killing",
    "Unhealthy",
    "Failed",
    "FailedCreate",
    "FailedKillPod",
    "Evicted",
    "Preempted",
    "BackOff",
    "Provisioning",
    "Healthy",
    "Error: configmap \"c\" not found",
    "0/3 nodes are available: 99999999999999999999 Insufficient cpu, 1 Insufficient memory. preemption: x",
    "nodes are available:, , ,",
    "Liveness probe failed: ",
    "Container main failed liveness probe, will be restarted",
    "configmap \"c\" not found",
    "exec: \"x\": executable file not found in $PATH",
    "exceeded quota: ",
    "(combined from similar events): (combined from similar events): ",
    "ErrImagePull: ErrImagePull: \"",
    "spec.containers{",
    "spec.containers{main}",
    "\u{0}\u{1b}[31m\u{202e}\u{feff}\n\t",
    "🌳🌳🌳",
    "Pod",
    "Node",
    "PersistentVolumeClaim",
    "Event",
    "Job",
    "Deployment",
    "StatefulSet",
    "main",
    "True",
    "False",
    "Unknown",
    "Running",
    "Pending",
    "Succeeded",
    "Always",
];

/// Times at the ends of what there is.
pub(crate) const TIMES: &[&str] = &[
    "2026-01-01T00:00:00Z",
    "2026-01-01T00:00:10Z",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00Z",
    "1970-01-01T00:00:00Z",
    "-9999-01-01T00:00:00Z",
    "no time",
];

pub(crate) const NUMBERS: &[i64] = &[
    0,
    1,
    -1,
    2,
    9,
    126,
    127,
    128,
    137,
    139,
    143,
    255,
    256,
    i64::MAX,
    i64::MIN,
];

/// Fields that identification reads, in the order in which they nest.
const FIELDS: &[&str] = &[
    "pod",
    "events",
    "node",
    "pvc",
    "related",
    "createError",
    "kind",
    "items",
    "metadata",
    "spec",
    "status",
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "ownerReferences",
    "nodeName",
    "restartPolicy",
    "containers",
    "initContainers",
    "volumes",
    "resourceClaims",
    "livenessProbe",
    "startupProbe",
    "readinessProbe",
    "initialDelaySeconds",
    "periodSeconds",
    "failureThreshold",
    "terminationGracePeriodSeconds",
    "phase",
    "reason",
    "message",
    "conditions",
    "type",
    "lastTransitionTime",
    "containerStatuses",
    "initContainerStatuses",
    "ephemeralContainerStatuses",
    "allocatedResourcesStatus",
    "resources",
    "resourceID",
    "health",
    "nominatedNodeName",
    "resourceClaimStatuses",
    "resourceClaimName",
    "annotations",
    "volume.kubernetes.io/selected-node",
    "state",
    "lastState",
    "waiting",
    "running",
    "terminated",
    "exitCode",
    "signal",
    "startedAt",
    "finishedAt",
    "restartCount",
    "ready",
    "involvedObject",
    "regarding",
    "fieldPath",
    "firstTimestamp",
    "lastTimestamp",
    "eventTime",
    "series",
    "count",
    "note",
    "code",
    "taints",
    "renewTime",
    "leaseDurationSeconds",
    "key",
    "effect",
    "attachError",
    "replicas",
    "updatedReplicas",
    "readyReplicas",
];

/// Whole documents that make sense, of which parts are then spoilt.
fn sound() -> [Value; 3] {
    let pod = json!({
        "kind": "Pod",
        "metadata": {"name": "p", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {
            "nodeName": "n",
            "terminationGracePeriodSeconds": 30,
            "containers": [{"name": "main", "livenessProbe": {"periodSeconds": 1}}],
            "initContainers": [{"name": "init"}],
        },
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}],
            "containerStatuses": [{
                "name": "main",
                "restartCount": 3,
                "allocatedResourcesStatus": [
                    {"name": "gpu", "resources": [{"resourceID": "7", "health": "Unhealthy"}]},
                ],
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {
                    "exitCode": 137,
                    "reason": "Error",
                    "startedAt": "2026-01-01T00:00:00Z",
                    "finishedAt": "2026-01-01T00:00:10Z",
                }},
            }],
            "initContainerStatuses": [{"name": "init", "state": {"terminated": {"exitCode": 0}}}],
            "ephemeralContainerStatuses": [{"name": "debugger", "state": {}}],
            "nominatedNodeName": "n",
        },
    });
    let event = |kind: &str, reason: &str, message: &str| {
        json!({
            "kind": "Event",
            "involvedObject": {"kind": kind, "name": "p", "uid": "u", "fieldPath": "spec.containers{main}"},
            "reason": reason,
            "message": message,
            "lastTimestamp": "2026-01-01T00:00:09Z",
        })
    };
    let events = vec![
        event(
            "Pod",
            "Killing",
            "Container main failed liveness probe, will be restarted",
        ),
        event("Pod", "Unhealthy", "Liveness probe failed: no"),
        event("Node", "OOMKilling", "killed"),
    ];
    let mut items = events.clone();
    items.push(pod.clone());
    items.push(json!({"kind": "Node", "metadata": {"name": "n"}, "status": {"conditions": []}}));
    let refusal = json!({"code": 403, "reason": "Forbidden", "message": "exceeded quota: q"});
    [
        json!({"pod": pod, "events": events}),
        json!({"kind": "List", "items": items}),
        json!({"createError": refusal, "events": events}),
    ]
}

/// How many cases are tried.
pub(crate) fn cases() -> u64 {
    env::var("HOSTILE_CASES").map_or(CASES, |cases| cases.parse().expect("a number"))
}

/// What a case is drawn with.
pub(crate) fn dice(seed: u64) -> Dice {
    Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
}

/// What is shown is short, and on one line.
pub(crate) fn check_text(seed: u64, text: &str) {
    assert!(text.len() <= LONGEST, "seed {seed}: too long: {text}");
    assert!(
        !text.contains(char::is_control),
        "seed {seed}: not one line: {text:?}"
    );
}

/// How long this thread has kept a processor busy: what else runs on the machine does not count.
fn worked() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let part = |number: i64| u64::try_from(number).unwrap_or_default();
    Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
}

#[test]
fn whatever_a_file_holds_it_is_answered_in_few_words() {
    let cases = cases();
    let begun = worked();
    let mut slowest = (Duration::ZERO, 0);
    for seed in 1..=cases {
        let document = document(&mut dice(seed));
        let text = document.to_string();
        let begun = worked();
        check(seed, &text);
        slowest = slowest.max((worked().saturating_sub(begun), seed));
        if seed % 100_000 == 0 {
            println!("hostile evidence: {seed} of {cases}");
        }
    }
    println!(
        "hostile evidence: {cases} cases, {:?} of processor time each, {:?} at most (seed {})",
        worked().saturating_sub(begun) / u32::try_from(cases).unwrap_or(u32::MAX),
        slowest.0,
        slowest.1
    );
}

/// A Pod with ten thousand Events, each of 4 KB.
#[test]
fn many_events_and_long_texts_are_answered_in_few_words() {
    let [mut document, ..] = sound();
    let long = format!("FailedMount \u{1b}[31m{}", "\u{fffd}\u{0}".repeat(1_000));
    let event = json!({
        "kind": "Event",
        "involvedObject": {"kind": "Pod", "name": "p"},
        "reason": "FailedMount",
        "message": long,
    });
    document["events"] = vec![event; 10_000].into();
    document["pod"]["status"]["containerStatuses"][0]["lastState"]["terminated"]["message"] =
        long.into();
    check(0, &document.to_string());
}

/// Thousands of objects that all claim to belong together, by one name.
#[test]
fn a_file_of_many_objects_is_answered_in_time_that_grows_with_it() {
    let [_, list, _] = sound();
    let items = list["items"].as_array().expect("a list");
    let many: Vec<Value> = items.iter().cycle().take(8_000).cloned().collect();
    check(0, &json!({"kind": "List", "items": many}).to_string());
}

fn check(seed: u64, text: &str) {
    let clock = Timestamp::UNIX_EPOCH;
    // What is refused is refused in words, too.
    let Ok(found) = identify("file", text, clock) else {
        return;
    };
    for answer in found.answers {
        let shown = serde_json::to_value(&answer).expect("an answer");
        for text in texts(&shown) {
            check_text(seed, text);
        }
    }
}

/// All texts of an answer.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::Object(fields) => fields.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

/// A document: a sound one with some parts spoilt, or one that is made of nothing but fields that are read.
fn document(dice: &mut Dice) -> Value {
    let mut value = if dice.below(4) == 0 {
        junk(dice, 6)
    } else {
        let [first, second, third] = sound();
        [first, second, third][usize::try_from(dice.below(3)).unwrap_or(0)].clone()
    };
    for _ in 0..dice.below(8) {
        spoil(&mut value, dice);
    }
    value
}

/// Changes one part somewhere.
fn spoil(value: &mut Value, dice: &mut Dice) {
    let stop = dice.below(6) == 0;
    match value {
        Value::Object(fields) if !stop && !fields.is_empty() => {
            let index = usize::try_from(dice.below(fields.len() as u64)).unwrap_or(0);
            if dice.below(12) == 0 {
                fields.insert(dice.one_of(FIELDS).to_owned(), junk(dice, 3));
            } else if let Some(field) = fields.values_mut().nth(index) {
                spoil(field, dice);
            }
        }
        Value::Array(values) if !stop && !values.is_empty() => {
            let index = usize::try_from(dice.below(values.len() as u64)).unwrap_or(0);
            match dice.below(8) {
                0 => values.push(values[index].clone()),
                1 => drop(values.remove(index)),
                _ => spoil(&mut values[index], dice),
            }
        }
        value => *value = junk(dice, 2),
    }
}

/// Anything.
fn junk(dice: &mut Dice, depth: u64) -> Value {
    match dice.below(if depth == 0 { 5 } else { 8 }) {
        0 => Value::Null,
        1 => dice.one_of(NUMBERS).into(),
        2 => dice.one_of(TIMES).into(),
        3 => dice
            .one_of(WORDS)
            .repeat(usize::try_from(dice.below(3)).unwrap_or(0) * 40)
            .into(),
        4 => dice.one_of(WORDS).into(),
        5 => (0..dice.below(3)).map(|_| junk(dice, depth - 1)).collect(),
        _ => {
            let mut fields = Map::new();
            for _ in 0..=dice.below(6) {
                fields.insert(dice.one_of(FIELDS).to_owned(), junk(dice, depth - 1));
            }
            fields.into()
        }
    }
}
