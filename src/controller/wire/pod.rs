//! Pods from the wire.
//!
//! Rule: long texts are cut here, so that no Pod can fill the memory with its last words.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod as FullPod;
use prost::bytes::Bytes;
use prost::{DecodeError, Message};

use super::{
    Deserialize, Moment, NamespaceResourceScope, ObjectMeta, Shape, Timestamp, controller_of, cut,
    label, or_default, timestamp,
};
use crate::api::labels;
use crate::model::pod::{
    ContainerState, ContainerView, ImageMark, PodCondition, PodConditionType, PodPhase, PodView,
    RestartPolicy, Termination,
};

mod rare;
mod spec;

use rare::Allocated;
use spec::{ContainerSpec, ResourceClaim, Volume};

/// The longest text that is kept of a message or a reason, in bytes.
const MESSAGE_LIMIT: usize = 1024;

/// A Pod as it is watched.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Shape<Spec, Status>")]
pub(in crate::controller) struct Pod {
    metadata: ObjectMeta,
    spec: Spec,
    status: Status,
}

#[derive(Clone, PartialEq, Deserialize, Message)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    #[prost(string, optional, tag = "10")]
    node_name: Option<String>,
    #[prost(string, optional, tag = "3")]
    restart_policy: Option<String>,
    /// What may explain a fault.
    #[prost(message, repeated, tag = "1")]
    #[serde(deserialize_with = "or_default")]
    volumes: Vec<Volume>,
    #[prost(message, repeated, tag = "2")]
    #[serde(deserialize_with = "or_default")]
    containers: Vec<ContainerSpec>,
    #[prost(int64, optional, tag = "4")]
    termination_grace_period_seconds: Option<i64>,
    #[prost(message, repeated, tag = "20")]
    #[serde(deserialize_with = "or_default")]
    init_containers: Vec<ContainerSpec>,
    #[prost(message, repeated, tag = "39")]
    #[serde(deserialize_with = "or_default")]
    resource_claims: Vec<ResourceClaim>,
}

#[derive(Clone, PartialEq, Deserialize, Message)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    #[prost(string, optional, tag = "1")]
    phase: Option<String>,
    #[prost(string, optional, tag = "4")]
    reason: Option<String>,
    #[prost(string, optional, tag = "3")]
    message: Option<String>,
    #[prost(message, repeated, tag = "2")]
    #[serde(deserialize_with = "or_default")]
    conditions: Vec<Condition>,
    #[prost(message, repeated, tag = "8")]
    #[serde(deserialize_with = "or_default")]
    container_statuses: Vec<Container>,
    #[prost(message, repeated, tag = "10")]
    #[serde(deserialize_with = "or_default")]
    init_container_statuses: Vec<Container>,
    /// What few Pods say.
    #[prost(string, optional, tag = "11")]
    nominated_node_name: Option<String>,
    #[prost(message, repeated, tag = "13")]
    #[serde(deserialize_with = "or_default")]
    ephemeral_container_statuses: Vec<Container>,
    /// Which generation of the Pod all this tells of.
    #[prost(int64, optional, tag = "17")]
    observed_generation: Option<i64>,
}

#[derive(Clone, PartialEq, Deserialize, Message)]
#[serde(rename_all = "camelCase", default)]
struct Condition {
    #[prost(string, tag = "1")]
    r#type: String,
    #[prost(string, tag = "2")]
    status: String,
    #[prost(string, optional, tag = "5")]
    reason: Option<String>,
    #[prost(string, optional, tag = "6")]
    message: Option<String>,
    #[prost(message, optional, tag = "4")]
    last_transition_time: Option<Moment>,
}

#[derive(Clone, PartialEq, Deserialize, Message)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, required, tag = "2")]
    #[serde(deserialize_with = "or_default")]
    state: State,
    #[prost(message, required, tag = "3")]
    #[serde(deserialize_with = "or_default")]
    last_state: State,
    #[prost(int32, tag = "5")]
    restart_count: i32,
    #[prost(bool, tag = "4")]
    ready: bool,
    #[prost(string, tag = "7")]
    #[serde(rename = "imageID")]
    image_id: String,
    #[prost(message, repeated, tag = "14")]
    #[serde(deserialize_with = "or_default")]
    allocated_resources_status: Vec<Allocated>,
}

#[derive(Clone, PartialEq, Deserialize, Message)]
#[serde(default)]
struct State {
    #[prost(message, optional, tag = "1")]
    waiting: Option<Waiting>,
    #[prost(message, optional, tag = "2")]
    running: Option<Running>,
    #[prost(message, optional, tag = "3")]
    terminated: Option<Terminated>,
}

#[derive(Clone, PartialEq, Deserialize, Message)]
#[serde(default)]
struct Waiting {
    #[prost(string, optional, tag = "1")]
    reason: Option<String>,
    #[prost(string, optional, tag = "2")]
    message: Option<String>,
}

#[derive(Clone, PartialEq, Deserialize, Message)]
#[serde(rename_all = "camelCase", default)]
struct Running {
    #[prost(message, optional, tag = "1")]
    started_at: Option<Moment>,
}

#[derive(Clone, PartialEq, Deserialize, Message)]
#[serde(rename_all = "camelCase", default)]
struct Terminated {
    #[prost(int32, tag = "1")]
    exit_code: i32,
    #[prost(int32, optional, tag = "2")]
    signal: Option<i32>,
    #[prost(string, optional, tag = "3")]
    reason: Option<String>,
    #[prost(string, optional, tag = "4")]
    message: Option<String>,
    #[prost(message, optional, tag = "5")]
    started_at: Option<Moment>,
    #[prost(message, optional, tag = "6")]
    finished_at: Option<Moment>,
}

impl From<Shape<Spec, Status>> for Pod {
    fn from(shape: Shape<Spec, Status>) -> Self {
        Self {
            metadata: shape.metadata.into(),
            spec: shape.spec,
            status: shape.status,
        }
    }
}

impl Pod {
    /// Reads a Pod from protobuf.
    pub(in crate::controller) fn decode(object: Bytes) -> Result<Self, DecodeError> {
        Shape::decode(object).map(Self::from)
    }

    /// A Pod of the tree `t` in protobuf.
    #[cfg(test)]
    pub(in crate::controller) fn written(name: &str, version: &str) -> Vec<u8> {
        let metadata = super::SlimMetadata {
            name: Some(name.to_owned()),
            namespace: Some("ns".to_owned()),
            uid: Some(name.to_owned()),
            resource_version: Some(version.to_owned()),
            labels: [(labels::TREE.to_owned(), "t".to_owned())].into(),
            ..super::SlimMetadata::default()
        };
        let shape = Shape::<Spec, Status> {
            metadata,
            ..Shape::default()
        };
        shape.encode_to_vec()
    }

    /// The facts that decisions rest on.
    pub(in crate::controller) fn view(mut self) -> PodView {
        let judged = Judged::of(&self.metadata);
        let name = self.metadata.name.as_deref().unwrap_or_default();
        let spec = Arc::new(self.spec.view(name));
        let rare = rare::view(&self.metadata, &mut self.status);
        let meta = self.metadata;
        PodView {
            owner_uid: controller_of(&meta).map_or_else(String::new, |owner| owner.uid.clone()),
            child: label(&meta, labels::CHILD).unwrap_or_default().to_owned(),
            slot: slot(&meta),
            revision: label(&meta, labels::REVISION)
                .unwrap_or_default()
                .to_owned(),
            incarnation: label(&meta, labels::INCARNATION)
                .and_then(|number| number.parse().ok())
                .unwrap_or(1),
            created: meta
                .creation_timestamp
                .map_or(Timestamp::UNIX_EPOCH, |time| time.0),
            deletion: meta.deletion_timestamp.map(|time| time.0),
            deletion_grace_seconds: meta.deletion_grace_period_seconds,
            is_observed: self
                .status
                .observed_generation
                // In protobuf nothing is ever missing: what was never written is 0.
                .filter(|observed| *observed > 0)
                .is_none_or(|observed| Some(observed) >= meta.generation),
            name: meta.name.unwrap_or_default(),
            uid: meta.uid.unwrap_or_default(),
            resource_version: meta.resource_version.unwrap_or_default(),
            node: self.spec.node_name.filter(|name| !name.is_empty()),
            restart_policy: RestartPolicy::of(
                self.spec.restart_policy.as_deref().unwrap_or_default(),
            ),
            spec,
            rare,
            phase: phase(self.status.phase.as_deref()),
            reason: self
                .status
                .reason
                .filter(|reason| !reason.is_empty())
                .map(short),
            message: self
                .status
                .message
                .filter(|message| !message.is_empty())
                .map(short),
            conditions: self
                .status
                .conditions
                .into_iter()
                .filter_map(Condition::view)
                .collect(),
            containers: self
                .status
                .container_statuses
                .into_iter()
                .map(|container| {
                    let judged = judged.app(&container.name);
                    container.view(judged)
                })
                .collect(),
            init_containers: self
                .status
                .init_container_statuses
                .into_iter()
                .map(|container| {
                    let judged = judged.init(&container.name);
                    container.view(judged)
                })
                .collect(),
        }
    }
}

/// Which containers are judged: those that our annotation lists. When it is missing: all app containers, and no
/// init container, because it may be a sidecar.
struct Judged(Option<Vec<String>>);

impl Judged {
    fn of(metadata: &ObjectMeta) -> Self {
        let listed = metadata
            .annotations
            .as_ref()
            .and_then(|all| all.get(labels::CONTAINERS));
        Self(listed.map(|names| {
            names
                .split(',')
                .map(|name| name.trim().to_owned())
                .collect()
        }))
    }

    fn app(&self, container: &str) -> bool {
        self.0.is_none() || self.init(container)
    }

    fn init(&self, container: &str) -> bool {
        let listed = self.0.iter().flatten();
        listed.into_iter().any(|name| name == container)
    }
}

impl Condition {
    /// The condition, when decisions rest on it; the others are not kept.
    fn view(self) -> Option<PodCondition> {
        Some(PodCondition {
            type_: PodConditionType::of(&self.r#type)?,
            is_true: self.status == "True",
            reason: short(self.reason.unwrap_or_default()),
            message: short(self.message.unwrap_or_default()),
            changed: timestamp(self.last_transition_time),
        })
    }
}

impl Container {
    fn view(self, judged: bool) -> ContainerView {
        ContainerView {
            name: self.name,
            judged,
            state: self.state.view(),
            last: self.last_state.terminated.map(Terminated::view),
            restarts: self.restart_count.into(),
            ready: self.ready,
            image: ImageMark::of(&self.image_id),
        }
    }
}

impl State {
    /// The API's default is waiting, without a reason.
    fn view(self) -> ContainerState {
        if let Some(end) = self.terminated {
            return ContainerState::Terminated(end.view());
        }
        if let Some(running) = self.running {
            return ContainerState::Running {
                since: timestamp(running.started_at),
            };
        }
        let waiting = self.waiting.unwrap_or_default();
        ContainerState::Waiting {
            reason: short(waiting.reason.unwrap_or_default()),
            message: short(waiting.message.unwrap_or_default()),
        }
    }
}

impl Terminated {
    fn view(self) -> Termination {
        Termination {
            exit_code: self.exit_code,
            signal: self.signal.filter(|signal| *signal != 0),
            reason: short(self.reason.unwrap_or_default()),
            message: short(self.message.unwrap_or_default()),
            started: timestamp(self.started_at),
            finished: timestamp(self.finished_at),
        }
    }
}

fn slot(metadata: &ObjectMeta) -> i32 {
    label(metadata, labels::SLOT)
        .and_then(|slot| slot.parse().ok())
        .filter(|slot| *slot >= 0)
        .unwrap_or(-1)
}

fn phase(phase: Option<&str>) -> PodPhase {
    match phase {
        Some("Running") => PodPhase::Running,
        Some("Succeeded") => PodPhase::Succeeded,
        Some("Failed") => PodPhase::Failed,
        Some("Unknown") => PodPhase::Unknown,
        _ => PodPhase::Pending,
    }
}

fn short(text: String) -> String {
    cut(text, MESSAGE_LIMIT)
}

addressed!(Pod, FullPod, NamespaceResourceScope);

#[cfg(test)]
mod tests;
