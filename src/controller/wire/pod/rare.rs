//! What few Pods say, from the wire: devices, ephemeral containers, a node where room is made, and what is written on them.
//!
//! Rule: a device that is healthy is not kept.

use std::str::FromStr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use prost::Message;
use serde::Deserialize;

use super::super::or_default;
use super::{Container, Status, cut};
use crate::api::labels;
use crate::model::pod::{DeviceView, RareView};

/// The longest name that is kept of a device, in bytes.
const NAME_LIMIT: usize = 256;
/// Most devices that are kept.
const MOST_DEVICES: usize = 16;
/// Most ephemeral containers that are kept: the newest stand last.
const MOST_CONTAINERS: usize = 8;

/// How the resources of one name are.
#[derive(Clone, PartialEq, Deserialize, Message)]
#[serde(default)]
pub(super) struct Allocated {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    #[serde(deserialize_with = "or_default")]
    resources: Vec<Device>,
}

#[derive(Clone, PartialEq, Deserialize, Message)]
#[serde(default)]
struct Device {
    #[prost(string, tag = "1")]
    #[serde(rename = "resourceID")]
    id: String,
    #[prost(string, tag = "2")]
    health: String,
}

/// What is kept of the annotations and of the status; it is taken out of the status.
pub(super) fn view(metadata: &ObjectMeta, status: &mut Status) -> Option<Box<RareView>> {
    let containers = &mut status.container_statuses;
    let ill = containers.iter_mut().flat_map(ill_devices);
    let ill_devices = ill.take(MOST_DEVICES).collect();
    let mut added = std::mem::take(&mut status.ephemeral_container_statuses);
    let surplus = added.len().saturating_sub(MOST_CONTAINERS);
    let added = added.drain(surplus..);
    let node = status.nominated_node_name.take();
    let rare = RareView {
        deletion_cost: deletion_cost(metadata),
        answers_restart: stated(metadata, labels::RESTART_AT),
        nominated_node: node.filter(|name| !name.is_empty()),
        ill_devices,
        ephemeral_containers: added.map(|container| container.view(false)).collect(),
    };
    rare.kept()
}

/// The cost of a deletion, as the `ReplicaSet` controller reads it: a number that is not in its shortest form is none.
fn deletion_cost(metadata: &ObjectMeta) -> i32 {
    stated(metadata, labels::DELETION_COST).unwrap_or(0)
}

/// What an annotation states, in its shortest form.
fn stated<T: FromStr + ToString>(metadata: &ObjectMeta, annotation: &str) -> Option<T> {
    let stated = metadata.annotations.as_ref()?.get(annotation)?;
    let value: T = stated.parse().ok()?;
    (value.to_string() == *stated).then_some(value)
}

fn ill_devices(container: &mut Container) -> Vec<DeviceView> {
    let listed = std::mem::take(&mut container.allocated_resources_status);
    let ill = listed
        .into_iter()
        .flat_map(|Allocated { name, resources }| {
            let ill = resources
                .into_iter()
                .filter(|device| device.health == "Unhealthy");
            ill.map(|device| DeviceView {
                container: container.name.clone(),
                resource: cut(name.clone(), NAME_LIMIT),
                id: cut(device.id, NAME_LIMIT),
            })
            .collect::<Vec<_>>()
        });
    ill.collect()
}
