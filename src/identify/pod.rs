//! A Pod from its manifest.
//!
//! Rule: all app containers are judged, and those init containers that are not sidecars.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::fields::{cut, list, number, some_text, text, time};
use crate::model::pod::{
    ContainerSpecView, ContainerState, ContainerView, DeviceView, ImageMark, ImageVolumeView,
    MOST_SECONDS, PodCondition, PodConditionType, PodPhase, PodSpecView, PodView, ProbeView,
    RareView, RestartPolicy, Termination,
};

/// Most containers of a kind that are looked at. A Pod that somebody wrote has a handful.
const MOST_CONTAINERS: usize = 64;
/// Most conditions that are looked at.
const MOST_CONDITIONS: usize = 32;
/// Most volumes and claims that are looked at.
const MOST_NAMES: usize = 100;
/// Most bytes of what the containers of a kind say. One of them may say some 4 KB.
const MOST_TEXT: usize = 64 * 1024;

/// The facts that identification rests on.
pub(super) fn view(pod: &Value) -> PodView {
    let (metadata, spec, status) = (&pod["metadata"], &pod["spec"], &pod["status"]);
    let sidecars: Vec<String> = list(&spec["initContainers"])
        .iter()
        .take(MOST_CONTAINERS)
        .filter(|container| container["restartPolicy"] == "Always")
        .map(|container| text(&container["name"]))
        .collect();
    let is_sidecar = |status: &Value| sidecars.contains(&text(&status["name"]));
    PodView {
        name: text(&metadata["name"]),
        uid: text(&metadata["uid"]),
        resource_version: String::new(),
        owner_uid: String::new(),
        child: String::new(),
        slot: -1,
        revision: String::new(),
        node: some_text(&spec["nodeName"]),
        created: time(&metadata["creationTimestamp"])
            .or_else(|| time(&status["startTime"]))
            .unwrap_or(Timestamp::UNIX_EPOCH),
        deletion: time(&metadata["deletionTimestamp"]),
        deletion_grace_seconds: number(&metadata["deletionGracePeriodSeconds"]),
        phase: phase(status),
        reason: some_text(&status["reason"]),
        message: some_text(&status["message"]),
        incarnation: 1,
        restart_policy: RestartPolicy::of(&text(&spec["restartPolicy"])),
        conditions: list(&status["conditions"])
            .iter()
            .filter_map(condition)
            .take(MOST_CONDITIONS)
            .collect(),
        containers: containers(&status["containerStatuses"], |_| true),
        init_containers: containers(&status["initContainerStatuses"], |status| {
            !is_sidecar(status)
        }),
        is_observed: true,
        spec: Arc::new(self::spec(pod)),
        rare: rare(status),
    }
}

fn phase(status: &Value) -> PodPhase {
    match text(&status["phase"]).as_str() {
        "Running" => PodPhase::Running,
        "Succeeded" => PodPhase::Succeeded,
        "Failed" => PodPhase::Failed,
        "Unknown" => PodPhase::Unknown,
        // Without a phase, what has containers has been started.
        "" if !list(&status["containerStatuses"]).is_empty() => PodPhase::Running,
        _ => PodPhase::Pending,
    }
}

fn condition(condition: &Value) -> Option<PodCondition> {
    Some(PodCondition {
        type_: PodConditionType::of(condition["type"].as_str()?)?,
        is_true: text(&condition["status"]).eq_ignore_ascii_case("true"),
        reason: text(&condition["reason"]),
        message: text(&condition["message"]),
        changed: time(&condition["lastTransitionTime"]),
    })
}

/// The first of these containers, and no more text than a rule has time for.
fn containers(statuses: &Value, judged: impl Fn(&Value) -> bool) -> Vec<ContainerView> {
    let first = list(statuses).iter().take(MOST_CONTAINERS);
    let mut containers: Vec<ContainerView> = first
        .map(|status| container(status, judged(status)))
        .collect();
    let mut left = MOST_TEXT;
    for container in &mut containers {
        let last = container.last.as_mut().map(|end| &mut end.message);
        let said = match &mut container.state {
            ContainerState::Waiting { message, .. } => Some(message),
            ContainerState::Terminated(end) => Some(&mut end.message),
            ContainerState::Running { .. } => None,
        };
        for message in said.into_iter().chain(last) {
            *message = cut(message, left);
            left -= message.len();
        }
    }
    containers
}

fn container(status: &Value, judged: bool) -> ContainerView {
    ContainerView {
        name: text(&status["name"]),
        judged,
        state: state(&status["state"]),
        last: status["lastState"].get("terminated").map(termination),
        restarts: number(&status["restartCount"]).unwrap_or_default(),
        ready: status["ready"] == true,
        image: ImageMark::of(&text(&status["imageID"])),
    }
}

/// What the statuses of few Pods say.
fn rare(status: &Value) -> Option<Box<RareView>> {
    let ill = list(&status["containerStatuses"])
        .iter()
        .flat_map(|container| {
            let listed = list(&container["allocatedResourcesStatus"]).iter();
            listed.flat_map(move |resource| {
                let devices = list(&resource["resources"]).iter();
                let ill = devices.filter(|device| device["health"] == "Unhealthy");
                ill.map(move |device| DeviceView {
                    container: text(&container["name"]),
                    resource: text(&resource["name"]),
                    id: text(&device["resourceID"]),
                })
            })
        });
    let rare = RareView {
        // What is written on it says nothing of a fault.
        deletion_cost: 0,
        answers_restart: None,
        nominated_node: some_text(&status["nominatedNodeName"]),
        ill_devices: ill.take(MOST_DEVICES).collect(),
        ephemeral_containers: containers(&status["ephemeralContainerStatuses"], |_| false),
    };
    rare.kept()
}

/// Most devices that are looked at.
const MOST_DEVICES: usize = 16;

fn state(state: &Value) -> ContainerState {
    if let Some(end) = state.get("terminated").filter(|end| end.is_object()) {
        return ContainerState::Terminated(termination(end));
    }
    if let Some(running) = state.get("running").filter(|running| !running.is_null()) {
        return ContainerState::Running {
            since: time(&running["startedAt"]),
        };
    }
    ContainerState::Waiting {
        reason: text(&state["waiting"]["reason"]),
        message: text(&state["waiting"]["message"]),
    }
}

fn termination(end: &Value) -> Termination {
    let code = |value: &Value| number(value).and_then(|number| i32::try_from(number).ok());
    Termination {
        exit_code: code(&end["exitCode"]).unwrap_or_default(),
        signal: code(&end["signal"]),
        reason: text(&end["reason"]),
        message: text(&end["message"]),
        started: time(&end["startedAt"]),
        finished: time(&end["finishedAt"]),
    }
}

/// What its spec says that may explain a fault.
pub(super) fn spec(pod: &Value) -> PodSpecView {
    let spec = &pod["spec"];
    let name = text(&pod["metadata"]["name"]);
    let volumes = list(&spec["volumes"]);
    let volumes = &volumes[..volumes.len().min(MOST_NAMES)];
    // A claim that was made from a template has a name that only the status tells.
    let made = |name: &Value| {
        let mut made = list(&pod["status"]["resourceClaimStatuses"]).iter();
        some_text(&made.find(|made| made["name"] == *name)?["resourceClaimName"])
    };
    let first = |field: &str| list(&spec[field]).iter().take(MOST_CONTAINERS);
    let containers = first("containers").chain(first("initContainers"));
    PodSpecView {
        containers: containers.map(container_spec).collect(),
        claims: volumes
            .iter()
            .filter_map(|volume| {
                // That of an ephemeral volume is made for the Pod.
                let made = || format!("{name}-{}", text(&volume["name"]));
                let made = volume["ephemeral"].is_object().then(made);
                some_text(&volume["persistentVolumeClaim"]["claimName"]).or(made)
            })
            .collect(),
        resource_claims: list(&spec["resourceClaims"])
            .iter()
            .take(MOST_NAMES)
            .filter_map(|claim| {
                some_text(&claim["resourceClaimName"])
                    .or_else(|| made(&claim["name"]))
                    .or_else(|| some_text(&claim["name"]))
            })
            .collect(),
        image_volumes: volumes
            .iter()
            .filter(|volume| volume["image"].is_object())
            .map(|volume| ImageVolumeView {
                name: text(&volume["name"]),
                image: text(&volume["image"]["reference"]),
            })
            .collect(),
        grace_seconds: number(&spec["terminationGracePeriodSeconds"])
            .map(|seconds| seconds.clamp(0, MOST_SECONDS)),
    }
}

fn container_spec(container: &Value) -> ContainerSpecView {
    ContainerSpecView {
        name: text(&container["name"]),
        image: text(&container["image"]),
        memory_limit: some_text(&container["resources"]["limits"]["memory"]),
        liveness: probe(&container["livenessProbe"]),
        readiness: probe(&container["readinessProbe"]),
        startup: probe(&container["startupProbe"]),
    }
}

/// A probe, with the defaults of Kubernetes.
fn probe(probe: &Value) -> Option<ProbeView> {
    probe.is_object().then(|| {
        let seconds = |field: &str, default| {
            number(&probe[field])
                .unwrap_or(default)
                .clamp(0, MOST_SECONDS)
        };
        ProbeView {
            initial_delay: seconds("initialDelaySeconds", 0),
            period: seconds("periodSeconds", 10),
            failure_threshold: seconds("failureThreshold", 3).min(1_000_000),
            timeout: seconds("timeoutSeconds", 1),
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_a_pod_without_measure_only_so_much_is_looked_at() {
        let end = json!({"exitCode": 1, "message": "x".repeat(100_000)});
        let status = json!({"name": "c", "lastState": {"terminated": end}});
        let statuses = Value::from(vec![status; 1_000]);
        let condition = json!({"type": "Ready", "status": "False", "message": "x".repeat(100_000)});
        let volume = json!({"name": "v", "persistentVolumeClaim": {"claimName": "c"}});
        let view = view(&json!({
            "spec": {
                "containers": vec![json!({"name": "c"}); 1_000],
                "initContainers": vec![json!({"name": "c", "restartPolicy": "Always"}); 1_000],
                "volumes": vec![volume; 1_000],
                "resourceClaims": vec![json!({"name": "gpu"}); 1_000],
            },
            "status": {
                "conditions": vec![condition; 1_000],
                "containerStatuses": statuses,
                "initContainerStatuses": statuses,
                "ephemeralContainerStatuses": statuses,
            },
        }));
        assert_eq!(view.conditions.len(), MOST_CONDITIONS);
        assert_eq!(view.spec.claims.len(), MOST_NAMES);
        assert_eq!(view.spec.resource_claims.len(), MOST_NAMES);
        assert_eq!(view.spec.containers.len(), 2 * MOST_CONTAINERS);
        for containers in [
            view.containers.as_slice(),
            &view.init_containers,
            view.ephemeral_containers(),
        ] {
            assert_eq!(containers.len(), MOST_CONTAINERS);
            let texts = containers.iter().filter_map(|c| c.last.as_ref());
            let bytes: usize = texts.map(|end| end.message.len()).sum();
            assert_eq!(bytes, MOST_TEXT);
        }
    }
}
