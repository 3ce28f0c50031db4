//! Hostile objects from the wire: whatever an API server sends, its reader refuses it or gives a view of it, and what the
//! engine asks of that view is answered in few words.
//!
//! Rule: a case is made from a seed, and a failure names it.

use std::sync::Arc;

use jiff::Timestamp;
use prost::bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Claim, ConfigMap, Event, Node, Pod, Quota, Waited, protobuf};
use crate::dice::Dice;
use crate::hostile::{NUMBERS, TIMES, WORDS, cases, check_text, dice};
use crate::model::fault::{
    Class, EventView, Evidence, Fault, Verdict, identify, identify_block, identify_end,
    is_as_it_was, stands_for_claims,
};
use crate::model::pod::{ContainerState, ContainerView, PodView, Termination};
use crate::model::world::NodeView;

/// The longest text that is kept of what somebody says, in bytes.
const LONGEST_SAID: usize = 1024;
/// Most pieces of evidence of a fault.
const MOST_PROOFS: usize = 16;

/// A Pod as the API server tells of it, with all that is read.
fn pod(dice: &mut Dice) -> Value {
    let ended = json!({
        "exitCode": 137,
        "signal": 9,
        "reason": "Error",
        "message": "last words",
        "startedAt": "2026-01-01T00:00:00Z",
        "finishedAt": "2026-01-01T00:00:10Z",
    });
    let states = [
        json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}),
        json!({"waiting": {"reason": "CreateContainerError", "message": "no"}}),
        json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}}),
        json!({"terminated": ended}),
        json!({}),
    ];
    let state = |dice: &mut Dice| states[usize::try_from(dice.below(5)).unwrap_or(0)].clone();
    let phase = dice.one_of(&["Pending", "Running", "Failed", "Succeeded", "Unknown"]);
    let (node, deleted) = (
        dice.one_of(&["n", ""]),
        dice.one_of(&[None, Some("2026-01-01T00:00:20Z")]),
    );
    let type_ = dice.one_of(&["PodScheduled", "DisruptionTarget", "Ready"]);
    let (init, app) = (state(dice), state(dice));
    json!({
        "metadata": {
            "name": "p", "namespace": "ns", "uid": "u", "resourceVersion": "7",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "deletionTimestamp": deleted,
            "deletionGracePeriodSeconds": 30,
            "labels": {"coppice.dev/tree": "t", "coppice.dev/child": "c", "coppice.dev/slot": "0"},
            "annotations": {"coppice.dev/containers": "main,init"},
            "ownerReferences": [{"kind": "Worker", "name": "t-c", "uid": "w", "controller": true}],
        },
        "spec": {
            "nodeName": node,
            "restartPolicy": dice.one_of(&["Always", "OnFailure", "Never"]),
            "terminationGracePeriodSeconds": 30,
            "containers": [{
                "name": "main",
                "resources": {"limits": {"memory": "1Gi"}},
                "livenessProbe": {"periodSeconds": 1, "failureThreshold": 3},
                "startupProbe": {"initialDelaySeconds": 1},
            }],
            "initContainers": [{"name": "init"}],
            "volumes": [
                {"name": "v", "persistentVolumeClaim": {"claimName": "data"}},
                {"name": "i", "image": {"reference": "x"}},
            ],
            "resourceClaims": [{"name": "gpu", "resourceClaimName": "g"}],
        },
        "status": {
            "phase": phase,
            "reason": dice.one_of(&["", "", "Evicted"]),
            "message": "text",
            "conditions": [{"type": type_, "status": "False", "reason": "Unschedulable",
                "message": "0/1 nodes are available: 1 Insufficient cpu.",
                "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            "containerStatuses": [{
                "name": "main", "restartCount": 3, "ready": false, "state": app, "lastState": {"terminated": ended},
                "allocatedResourcesStatus": [{"name": "gpu", "resources": [{"resourceID": "7", "health": "Unhealthy"}]}],
            }],
            "initContainerStatuses": [{"name": "init", "restartCount": 0, "state": init}],
            "ephemeralContainerStatuses": [{"name": "debugger", "state": {}}],
            "nominatedNodeName": "n",
        },
    })
}

fn event(dice: &mut Dice) -> Value {
    json!({
        "metadata": {"name": "e", "namespace": "ns", "uid": "e", "resourceVersion": "8"},
        "regarding": {"kind": dice.one_of(&["Pod", "Node", "PersistentVolumeClaim"]), "namespace": "ns",
            "name": dice.one_of(&["p", "n", "data"]), "uid": dice.one_of(&["u", ""]),
            "fieldPath": "spec.containers{main}"},
        "reason": dice.one_of(WORDS),
        "note": dice.one_of(WORDS),
        "eventTime": "2026-01-01T00:00:05Z",
        "series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:09Z"},
        "deprecatedFirstTimestamp": "2026-01-01T00:00:05Z",
        "deprecatedLastTimestamp": "2026-01-01T00:00:09Z",
        "deprecatedCount": 1,
    })
}

fn node() -> Value {
    json!({
        "metadata": {"name": "n", "resourceVersion": "9", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"taints": [{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}]},
        "status": {"conditions": [
            {"type": "Ready", "status": "Unknown", "lastTransitionTime": "2026-01-01T00:00:08Z"},
        ]},
    })
}

/// Changes one value somewhere, mostly into another of its type: what is of a wrong type is refused as a whole.
fn spoil(value: &mut Value, dice: &mut Dice) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let index = usize::try_from(dice.below(fields.len() as u64)).unwrap_or(0);
            if let Some(field) = fields.values_mut().nth(index) {
                spoil(field, dice);
            }
        }
        Value::Array(values) if !values.is_empty() => {
            let index = usize::try_from(dice.below(values.len() as u64)).unwrap_or(0);
            match dice.below(6) {
                0 => values.extend(vec![values[index].clone(); 40]),
                1 => drop(values.remove(index)),
                _ => spoil(&mut values[index], dice),
            }
        }
        value if dice.below(30) == 0 => *value = json!({"a": [null, 7]}),
        value if dice.below(10) == 0 => *value = Value::Null,
        Value::String(text) if text.ends_with('Z') && dice.below(8) > 0 => {
            *text = dice.one_of(TIMES).to_owned();
        }
        Value::String(text) => {
            let times = [1, 1, 1, 60][usize::try_from(dice.below(4)).unwrap_or(0)];
            *text = dice.one_of(WORDS).repeat(times);
        }
        Value::Number(_) => *value = small(dice).into(),
        Value::Bool(truth) => *truth = !*truth,
        _ => {}
    }
}

/// A number at the ends of what its field holds: most have 32 bits.
fn small(dice: &mut Dice) -> i64 {
    match dice.below(4) {
        0 => i32::MAX.into(),
        1 => i32::MIN.into(),
        _ => dice.one_of(NUMBERS),
    }
}

fn spoilt(mut value: Value, dice: &mut Dice) -> Value {
    for _ in 0..dice.below(5) {
        spoil(&mut value, dice);
    }
    value
}

fn read<T: DeserializeOwned>(value: Value) -> Option<T> {
    serde_json::from_value(value).ok()
}

#[test]
fn whatever_is_told_in_json_is_refused_or_answered_in_few_words() {
    let (mut answered, cases) = (0, cases());
    for seed in 1..=cases {
        let dice = &mut dice(seed);
        let value = pod(dice);
        let Some(pod) = read::<Pod>(spoilt(value, dice)) else {
            continue;
        };
        let node = read::<Node>(spoilt(node(), dice)).map(|node| node.view());
        let events = (0..dice.below(4)).filter_map(|_| {
            let value = event(dice);
            read::<Event>(spoilt(value, dice)).map(|event| Arc::new(event.view()))
        });
        let events: Vec<Arc<EventView>> = events.collect();
        answer(seed, dice, &pod.view(), node.as_ref(), &events);
        answered += 1;
    }
    assert!(answered > cases / 3, "{answered} of {cases} could be read");
}

#[test]
fn whatever_is_told_in_protobuf_is_refused_or_answered_in_few_words() {
    let pod = include_bytes!("../watches/recorded/pod.protobuf");
    let node = include_bytes!("../watches/recorded/node.protobuf");
    let refusal = include_bytes!("../watches/recorded/not-found.protobuf");
    let (pod_alone, node_alone) = (protobuf::unwrapped(pod), protobuf::unwrapped(node));
    let (mut answered, cases) = (0, cases());
    for seed in 1..=cases {
        let dice = &mut dice(seed);
        let node = Node::decode(torn(&node_alone, dice)).ok();
        let node = node.map(|node| node.view());
        // A Pod read as an Event has fields of other types in the same places.
        let told = Event::decode(torn(&pod_alone, dice)).ok();
        let told: Vec<_> = told
            .map(|event| Arc::new(event.view()))
            .into_iter()
            .collect();
        if let Ok(pod) = Pod::decode(torn(&pod_alone, dice)) {
            answer(seed, dice, &pod.view(), node.as_ref(), &told);
            answered += 1;
        }
        let _ = protobuf::event(torn(&pod[4..], dice), Pod::decode);
        let _ = protobuf::status(torn(refusal, dice));
    }
    assert!(answered > cases / 20, "{answered} of {cases} could be read");
}

#[test]
fn whatever_is_told_of_what_pods_wait_for_is_refused_or_read() {
    for seed in 1..=cases() {
        let dice = &mut dice(seed);
        let value = json!({
            "metadata": {"name": "x", "namespace": "ns", "uid": "u", "resourceVersion": "7"},
            "status": {"phase": "Bound", "hard": {"pods": "9"}, "used": {"pods": "9"}},
        });
        let value = spoilt(value, dice);
        let says = [
            read::<Claim>(value.clone()).map(|claim| claim.says()),
            read::<Quota>(value.clone()).map(|quota| quota.says()),
            read::<ConfigMap>(value.clone()).map(|config| config.says()),
        ];
        for says in says.into_iter().flatten() {
            assert!(
                says.len() <= 10 * value.to_string().len(),
                "seed {seed}: {says}"
            );
        }
    }
}

/// Some bytes that differ: changed, cut out, put in, or told twice.
fn torn(bytes: &[u8], dice: &mut Dice) -> Bytes {
    let mut bytes = bytes.to_vec();
    for _ in 0..=dice.below(3) {
        if bytes.is_empty() {
            break;
        }
        let place = |dice: &mut Dice| usize::try_from(dice.below(bytes.len() as u64)).unwrap_or(0);
        let (one, other) = (place(dice), place(dice));
        match dice.below(6) {
            0 => bytes.truncate(one),
            1 => drop(bytes.remove(one)),
            2 => bytes.insert(one, dice.one_of(&[0, 1, 0x7f, 0x80, 0xff])),
            3 => {
                let again = bytes[one.min(other)..one.max(other)].to_vec();
                bytes.extend(again);
            }
            _ => bytes[one] ^= 1 << dice.below(8),
        }
    }
    bytes.into()
}

/// What the engine asks of a Pod is answered, and in few words.
fn answer(
    seed: u64,
    dice: &mut Dice,
    pod: &PodView,
    node: Option<&NodeView>,
    events: &[Arc<EventView>],
) {
    for text in said(pod, events) {
        assert!(text.len() <= LONGEST_SAID, "seed {seed}: kept: {text}");
    }
    let evidence = Evidence {
        node,
        node_gone: dice.below(4) == 0,
        events,
        ..Evidence::of(pod)
    };
    let now: Timestamp = dice.one_of(TIMES).parse().unwrap_or(Timestamp::UNIX_EPOCH);
    check(seed, &identify_end(&evidence, now));
    check(seed, &identify(&evidence, now));
    if let Some(fault) = identify_block(&evidence, now) {
        check(seed, &fault);
        assert!(
            matches!(fault.verdict, Verdict::Hold | Verdict::Wait),
            "seed {seed}: {fault:?}"
        );
        stands_for_claims(&evidence, fault.class.as_str(), now);
    }
    is_as_it_was(&evidence, now);
}

/// The texts that are kept of what others say.
fn said<'a>(pod: &'a PodView, events: &'a [Arc<EventView>]) -> Vec<&'a str> {
    let of_end = |end: &'a Termination| [end.reason.as_str(), end.message.as_str()];
    let of_container = |container: &'a ContainerView| {
        let mut texts = match &container.state {
            ContainerState::Waiting { reason, message } => vec![reason.as_str(), message.as_str()],
            ContainerState::Terminated(end) => of_end(end).to_vec(),
            ContainerState::Running { .. } => Vec::new(),
        };
        texts.extend(container.last.iter().flat_map(of_end));
        texts
    };
    let containers = pod.containers.iter().chain(&pod.init_containers);
    let containers = containers.chain(pod.ephemeral_containers());
    let conditions = pod.conditions.iter();
    let conditions = conditions.flat_map(|one| [one.reason.as_str(), one.message.as_str()]);
    let events = events.iter();
    let events = events.flat_map(|event| [event.reason.as_str(), event.message.as_str()]);
    let whole = [pod.reason.as_deref(), pod.message.as_deref()];
    let texts = containers.flat_map(of_container).chain(conditions);
    texts
        .chain(events)
        .chain(whole.into_iter().flatten())
        .collect()
}

fn check(seed: u64, fault: &Fault) {
    assert!(Class::ALL.contains(&fault.class), "seed {seed}");
    assert!(fault.proofs.len() <= MOST_PROOFS, "seed {seed}: {fault:?}");
    assert!(
        fault.contributing.len() <= Class::ALL.len(),
        "seed {seed}: {fault:?}"
    );
    let proofs = fault.proofs.iter();
    let proofs = proofs.flat_map(|proof| [&proof.object, &proof.field, &proof.value]);
    let named = fault.container.iter().chain(&fault.proximate);
    for text in proofs.chain(named).chain([&fault.message]) {
        check_text(seed, text);
    }
}
