//! Reads a sample, whatever its form, into what identification looks at.
//!
//! Rule: nothing is added that the API server would not have said.

use std::path::Path;

use coppice::model::pod::{
    ContainerState, ContainerView, PodCondition, PodConditionType, PodPhase, PodView,
    RestartPolicy, Termination,
};
use coppice::model::world::Refusal;
use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use crate::describe;

/// What a sample shows.
pub(crate) enum Sample {
    /// A Pod.
    Pod(Box<PodView>),
    /// A create that was refused.
    Refused(Refusal),
}

/// Reads a sample.
pub(crate) fn read(file: &Path) -> Sample {
    let text = std::fs::read_to_string(file).expect("a sample that can be read");
    let value: Value = match file.extension().and_then(|e| e.to_str()) {
        Some("txt") => describe::manifest(&text),
        Some("json") => serde_json::from_str(&text).expect("JSON"),
        _ => serde_yaml::from_str(&text).expect("YAML"),
    };
    if let Some(message) = refusal_message(&value) {
        return Sample::Refused(refusal(message));
    }
    let mut manifest = manifest(&value);
    add_scheduling(&mut manifest, &value);
    let pod: core::Pod = serde_json::from_value(manifest).expect("a manifest of a Pod");
    Sample::Pod(Box::new(view(&pod)))
}

/// The latest time that the Pod tells: when the sample was taken, as far as we know.
pub(crate) fn latest_time(pod: &PodView) -> Timestamp {
    let ends = pod.containers.iter().filter_map(|c| c.last_end()?.finished);
    let conditions = pod.conditions.iter().filter_map(|c| c.changed);
    ends.chain(conditions)
        .chain([pod.created])
        .max()
        .unwrap_or(pod.created)
}

/// The message of a create that a controller reports as failed.
fn refusal_message(value: &Value) -> Option<&str> {
    let failed = |list: &'_ Value| -> Option<usize> {
        list.as_array()?
            .iter()
            .position(|entry| entry["reason"] == "FailedCreate")
    };
    let events = &value["events"];
    let conditions = &value["deployment"]["status"]["conditions"];
    [events, conditions]
        .into_iter()
        .find_map(|list| list[failed(list)?]["message"].as_str())
        .map(|message| message.trim_start_matches("Error creating: "))
}

fn refusal(message: &str) -> Refusal {
    let (code, reason) = if message.contains("is forbidden") {
        (403, "Forbidden")
    } else if message.starts_with("Timeout") {
        (504, "Timeout")
    } else {
        (500, "InternalError")
    };
    Refusal {
        child: "child".to_owned(),
        slot: Some(0),
        at: Timestamp::UNIX_EPOCH,
        code,
        reason: reason.to_owned(),
        message: message.to_owned(),
    }
}

/// The Pod as a manifest.
fn manifest(value: &Value) -> Value {
    if value["kind"] == "Pod" {
        return value.clone();
    }
    if value["containers"].is_array() {
        return from_short_form(value);
    }
    value["pod"].clone()
}

/// Other tools keep the containers beside the Pod, and a state as one object with its type.
fn from_short_form(value: &Value) -> Value {
    let pod = &value["pod"];
    let state = |state: &Value| match state["type"].as_str() {
        Some(kind) => json!({ kind.to_lowercase(): state }),
        None => Value::Null,
    };
    let statuses: Vec<Value> = value["containers"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|c| {
            json!({
                "name": c["name"], "ready": c["ready"], "restartCount": c["restartCount"],
                "image": c["image"], "imageID": "",
                "state": state(&c["state"]), "lastState": state(&c["lastState"]),
            })
        })
        .collect();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": pod["name"]},
        "spec": {"nodeName": pod["nodeName"], "restartPolicy": pod["restartPolicy"], "containers": []},
        "status": {
            "phase": pod["phase"], "reason": pod["reason"], "message": pod["message"],
            "conditions": pod["conditions"], "containerStatuses": statuses,
        },
    })
}

/// The scheduler writes the same text into its Event and into the condition; some samples only have the
/// Event.
fn add_scheduling(manifest: &mut Value, value: &Value) {
    let events = value["events"].as_array().into_iter().flatten();
    let Some(event) = events
        .into_iter()
        .rfind(|event| event["reason"] == "FailedScheduling")
    else {
        return;
    };
    let conditions = &mut manifest["status"]["conditions"];
    let said = |c: &Value| c["type"] == "PodScheduled" && c["message"].is_string();
    if conditions
        .as_array()
        .is_some_and(|list| list.iter().any(said))
    {
        return;
    }
    *conditions = json!([{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": event["message"],
    }]);
}

fn view(pod: &core::Pod) -> PodView {
    let spec = pod.spec.clone().unwrap_or_default();
    let status = pod.status.clone().unwrap_or_default();
    let sidecars: Vec<String> = spec
        .init_containers
        .unwrap_or_default()
        .into_iter()
        .filter(|c| c.restart_policy.as_deref() == Some("Always"))
        .map(|c| c.name)
        .collect();
    let containers = |list: Option<Vec<core::ContainerStatus>>| -> Vec<ContainerView> {
        list.unwrap_or_default()
            .iter()
            .map(|c| container(c, &sidecars))
            .collect()
    };
    PodView {
        name: pod.metadata.name.clone().unwrap_or_default(),
        uid: pod.metadata.uid.clone().unwrap_or_default(),
        resource_version: String::new(),
        owner_uid: String::new(),
        child: String::new(),
        slot: 0,
        revision: String::new(),
        node: spec.node_name,
        created: time(pod.metadata.creation_timestamp.as_ref()).unwrap_or_default(),
        deletion: time(pod.metadata.deletion_timestamp.as_ref()),
        deletion_grace_seconds: pod.metadata.deletion_grace_period_seconds,
        phase: match status.phase.as_deref() {
            Some("Running") => PodPhase::Running,
            Some("Succeeded") => PodPhase::Succeeded,
            Some("Failed") => PodPhase::Failed,
            Some("Unknown") => PodPhase::Unknown,
            _ => PodPhase::Pending,
        },
        reason: status.reason,
        message: status.message,
        incarnation: 1,
        restart_policy: RestartPolicy::of(spec.restart_policy.as_deref().unwrap_or_default()),
        conditions: status
            .conditions
            .unwrap_or_default()
            .into_iter()
            .filter_map(condition)
            .collect(),
        containers: containers(status.container_statuses),
        init_containers: containers(status.init_container_statuses),
    }
}

fn condition(condition: core::PodCondition) -> Option<PodCondition> {
    Some(PodCondition {
        type_: PodConditionType::of(&condition.type_)?,
        is_true: condition.status == "True",
        reason: condition.reason.unwrap_or_default(),
        message: condition.message.unwrap_or_default(),
        changed: time(condition.last_transition_time.as_ref()),
    })
}

fn container(status: &core::ContainerStatus, sidecars: &[String]) -> ContainerView {
    let state = status.state.clone().unwrap_or_default();
    let last = status.last_state.clone().unwrap_or_default();
    ContainerView {
        name: status.name.clone(),
        judged: !sidecars.contains(&status.name),
        state: if let Some(running) = state.running {
            ContainerState::Running {
                since: time(running.started_at.as_ref()),
            }
        } else if let Some(terminated) = state.terminated {
            ContainerState::Terminated(termination(terminated))
        } else {
            let waiting = state.waiting.unwrap_or_default();
            ContainerState::Waiting {
                reason: waiting.reason.unwrap_or_default(),
                message: waiting.message.unwrap_or_default(),
            }
        },
        last: last.terminated.map(termination),
        restarts: i64::from(status.restart_count),
        ready: status.ready,
    }
}

fn termination(state: core::ContainerStateTerminated) -> Termination {
    Termination {
        exit_code: state.exit_code,
        signal: state.signal,
        reason: state.reason.unwrap_or_default(),
        message: state.message.unwrap_or_default(),
        started: time(state.started_at.as_ref()),
        finished: time(state.finished_at.as_ref()),
    }
}

fn time(time: Option<&Time>) -> Option<Timestamp> {
    time.map(|time| time.0)
}
