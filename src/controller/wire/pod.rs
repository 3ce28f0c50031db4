//! Pods from the wire.
//!
//! Rule: long texts are cut here, so that no Pod can fill the memory with its last words.

use k8s_openapi::api::core::v1::Pod as FullPod;

use super::{
    Cow, Deserialize, NamespaceResourceScope, ObjectMeta, Resource, Time, Timestamp, controller_of,
    cut, label, or_default, slim_metadata, timestamp,
};
use crate::api::labels;
use crate::model::pod::{
    ContainerState, ContainerView, PodCondition, PodPhase, PodView, Termination,
};

/// The longest text that is kept of a message, in bytes.
const MESSAGE_LIMIT: usize = 1024;

/// The conditions that decisions rest on; the others are not kept.
const CONDITIONS: [&str; 3] = ["Ready", "PodScheduled", "DisruptionTarget"];

/// A Pod as it is watched.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::controller) struct Pod {
    #[serde(deserialize_with = "slim_metadata")]
    metadata: ObjectMeta,
    #[serde(default, deserialize_with = "or_default")]
    spec: Spec,
    #[serde(default, deserialize_with = "or_default")]
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    node_name: Option<String>,
    restart_policy: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    phase: Option<String>,
    reason: Option<String>,
    message: Option<String>,
    #[serde(deserialize_with = "or_default")]
    conditions: Vec<Condition>,
    #[serde(deserialize_with = "or_default")]
    container_statuses: Vec<Container>,
    #[serde(deserialize_with = "or_default")]
    init_container_statuses: Vec<Container>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Condition {
    r#type: String,
    status: String,
    reason: Option<String>,
    message: Option<String>,
    last_transition_time: Option<Time>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    name: String,
    #[serde(deserialize_with = "or_default")]
    state: State,
    #[serde(deserialize_with = "or_default")]
    last_state: State,
    restart_count: i64,
    ready: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct State {
    waiting: Option<Waiting>,
    running: Option<Running>,
    terminated: Option<Terminated>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Waiting {
    reason: Option<String>,
    message: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Running {
    started_at: Option<Time>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Terminated {
    exit_code: i32,
    signal: Option<i32>,
    reason: Option<String>,
    message: Option<String>,
    started_at: Option<Time>,
    finished_at: Option<Time>,
}

impl Pod {
    /// The facts that decisions rest on.
    pub(in crate::controller) fn view(self) -> PodView {
        let judged = Judged::of(&self.metadata);
        let meta = self.metadata;
        PodView {
            owner_uid: controller_of(&meta).map_or_else(String::new, |owner| owner.uid.clone()),
            child: label(&meta, labels::CHILD).unwrap_or_default().to_owned(),
            slot: slot(&meta),
            revision: label(&meta, labels::REVISION)
                .unwrap_or_default()
                .to_owned(),
            created: timestamp(meta.creation_timestamp.as_ref()).unwrap_or(Timestamp::UNIX_EPOCH),
            deletion: timestamp(meta.deletion_timestamp.as_ref()),
            deletion_grace_seconds: meta.deletion_grace_period_seconds,
            name: meta.name.unwrap_or_default(),
            uid: meta.uid.unwrap_or_default(),
            resource_version: meta.resource_version.unwrap_or_default(),
            node: self.spec.node_name.filter(|name| !name.is_empty()),
            kubelet_restarts: self
                .spec
                .restart_policy
                .is_none_or(|policy| policy == "Always"),
            phase: phase(self.status.phase.as_deref()),
            reason: self.status.reason.filter(|reason| !reason.is_empty()),
            message: self
                .status
                .message
                .filter(|message| !message.is_empty())
                .map(short),
            conditions: self
                .status
                .conditions
                .into_iter()
                .filter(|condition| CONDITIONS.contains(&condition.r#type.as_str()))
                .map(Condition::view)
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
    fn view(self) -> PodCondition {
        PodCondition {
            is_true: self.status == "True",
            type_: self.r#type,
            reason: self.reason.unwrap_or_default(),
            message: short(self.message.unwrap_or_default()),
            changed: timestamp(self.last_transition_time.as_ref()),
        }
    }
}

impl Container {
    fn view(self, judged: bool) -> ContainerView {
        ContainerView {
            name: self.name,
            judged,
            state: self.state.view(),
            last: self.last_state.terminated.map(Terminated::view),
            restarts: self.restart_count,
            ready: self.ready,
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
                since: timestamp(running.started_at.as_ref()),
            };
        }
        let waiting = self.waiting.unwrap_or_default();
        ContainerState::Waiting {
            reason: waiting.reason.unwrap_or_default(),
            message: short(waiting.message.unwrap_or_default()),
        }
    }
}

impl Terminated {
    fn view(self) -> Termination {
        Termination {
            exit_code: self.exit_code,
            signal: self.signal.filter(|signal| *signal != 0),
            reason: self.reason.unwrap_or_default(),
            message: short(self.message.unwrap_or_default()),
            started: timestamp(self.started_at.as_ref()),
            finished: timestamp(self.finished_at.as_ref()),
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

impl Resource for Pod {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        FullPod::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        FullPod::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        FullPod::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        FullPod::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests;
