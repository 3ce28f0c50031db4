//! What few Pods say: their statuses, and what is written on them.
//!
//! Rule: it is kept apart, so that a Pod that says nothing of the kind costs one word for it.

use jiff::Timestamp;
use serde_json::Value;

use super::{ContainerView, PodView};
use crate::api::labels;

/// What few Pods say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RareView {
    /// Annotation [`DELETION_COST`](labels::DELETION_COST): of several that may go, those that cost least go first.
    pub deletion_cost: i32,
    /// Annotation [`RESTART_AT`](labels::RESTART_AT): the `restartAt` that the Pod was made for, or after.
    pub answers_restart: Option<Timestamp>,
    /// `nominatedNodeName`: the node on which the scheduler makes room for the Pod, or means to put it.
    pub nominated_node: Option<String>,
    /// Devices of its containers that are not healthy.
    pub ill_devices: Vec<DeviceView>,
    /// Ephemeral containers, which somebody added to look at the others. They are never judged.
    pub ephemeral_containers: Vec<ContainerView>,
}

/// A device that a container was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceView {
    /// Name of the container.
    pub container: String,
    /// Name of the resource, for example `nvidia.com/gpu`.
    pub resource: String,
    /// Which device it is.
    pub id: String,
}

impl RareView {
    /// What we write on a Pod ourselves when it is made.
    pub fn written(body: &Value) -> Option<Box<Self>> {
        let annotations = &body["metadata"]["annotations"];
        let answers_restart = annotations[labels::RESTART_AT].as_str();
        let view = Self {
            answers_restart: answers_restart.and_then(|stated| stated.parse().ok()),
            ..Self::default()
        };
        view.kept()
    }

    /// The view as a Pod keeps it: nothing when it says nothing.
    pub fn kept(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

impl PodView {
    /// What it costs to delete the Pod, as somebody has written on it; 0 when nobody has.
    pub fn deletion_cost(&self) -> i32 {
        self.rare.as_ref().map_or(0, |rare| rare.deletion_cost)
    }

    /// The `restartAt` of its child that the Pod was made for, or after.
    pub fn answers_restart(&self) -> Option<Timestamp> {
        self.rare.as_ref()?.answers_restart
    }

    /// The node on which the scheduler makes room for the Pod, or means to put it.
    pub fn nominated_node(&self) -> Option<&str> {
        self.rare.as_ref()?.nominated_node.as_deref()
    }

    /// Devices of its containers that are not healthy.
    pub fn ill_devices(&self) -> &[DeviceView] {
        self.rare.as_ref().map_or(&[], |rare| &rare.ill_devices)
    }

    /// Containers that somebody added to look at the others.
    pub fn ephemeral_containers(&self) -> &[ContainerView] {
        self.rare
            .as_ref()
            .map_or(&[], |rare| &rare.ephemeral_containers)
    }
}
