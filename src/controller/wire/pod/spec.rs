//! What the spec of a Pod says that may explain a fault, from the wire.
//!
//! Rule: what is read here is what `identify` reads from a file, with the defaults of Kubernetes.

use std::collections::BTreeMap;

use prost::Message;
use serde::{Deserialize, Deserializer};

use super::super::{cut, or_default};
use super::Spec;
use crate::model::pod::{ContainerSpecView, ImageVolumeView, MOST_SECONDS, PodSpecView, ProbeView};

#[derive(Clone, PartialEq, Deserialize, Message)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerSpec {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    image: String,
    #[prost(message, optional, tag = "8")]
    resources: Option<Resources>,
    #[prost(message, optional, tag = "10")]
    liveness_probe: Option<Probe>,
    #[prost(message, optional, tag = "11")]
    readiness_probe: Option<Probe>,
    #[prost(message, optional, tag = "22")]
    startup_probe: Option<Probe>,
}

#[derive(Clone, PartialEq, Deserialize, Message)]
#[serde(default)]
struct Resources {
    #[prost(btree_map = "string, message", tag = "1")]
    #[serde(deserialize_with = "or_default")]
    limits: BTreeMap<String, Quantity>,
}

#[derive(Clone, PartialEq, Message)]
struct Quantity {
    #[prost(string, tag = "1")]
    string: String,
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Kubernetes takes numbers, too, and writes text.
        let string = match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        Ok(Self { string })
    }
}

#[derive(Clone, PartialEq, Deserialize, Message)]
#[serde(rename_all = "camelCase", default)]
struct Probe {
    #[prost(int32, optional, tag = "2")]
    initial_delay_seconds: Option<i32>,
    #[prost(int32, optional, tag = "3")]
    timeout_seconds: Option<i32>,
    #[prost(int32, optional, tag = "4")]
    period_seconds: Option<i32>,
    #[prost(int32, optional, tag = "6")]
    failure_threshold: Option<i32>,
}

/// A volume: in JSON its sources stand beside its name, in protobuf below it.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Volume {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, required, tag = "2")]
    source: Source,
}

#[derive(Clone, PartialEq, Deserialize, Message)]
#[serde(rename_all = "camelCase", default)]
struct Source {
    #[prost(message, optional, tag = "10")]
    persistent_volume_claim: Option<Claim>,
    #[prost(message, optional, tag = "29")]
    ephemeral: Option<Ephemeral>,
    #[prost(message, optional, tag = "30")]
    image: Option<Image>,
}

impl<'de> Deserialize<'de> for Volume {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Flat {
            #[serde(default)]
            name: String,
            #[serde(flatten)]
            source: Source,
        }
        let Flat { name, source } = Flat::deserialize(deserializer)?;
        Ok(Self { name, source })
    }
}

#[derive(Clone, PartialEq, Deserialize, Message)]
#[serde(rename_all = "camelCase", default)]
struct Claim {
    #[prost(string, tag = "1")]
    claim_name: String,
}

/// A claim that is made for the Pod. Its name follows from those of Pod and volume.
#[derive(Clone, PartialEq, Deserialize, Message)]
struct Ephemeral {}

#[derive(Clone, PartialEq, Deserialize, Message)]
#[serde(default)]
struct Image {
    #[prost(string, tag = "1")]
    reference: String,
}

#[derive(Clone, PartialEq, Deserialize, Message)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ResourceClaim {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, optional, tag = "3")]
    resource_claim_name: Option<String>,
}

impl Spec {
    /// What may explain a fault of the Pod of that name.
    pub(super) fn view(&mut self, pod: &str) -> PodSpecView {
        let containers = std::mem::take(&mut self.containers).into_iter();
        let containers = containers.chain(std::mem::take(&mut self.init_containers));
        let volumes = std::mem::take(&mut self.volumes);
        let claims = volumes.iter().filter_map(|volume| {
            let Source {
                persistent_volume_claim,
                ephemeral,
                ..
            } = &volume.source;
            let made = ephemeral.as_ref().map(|_| format!("{pod}-{}", volume.name));
            let claim = persistent_volume_claim.as_ref();
            claim.map(|claim| claim.claim_name.clone()).or(made)
        });
        let images = volumes.iter().filter_map(|volume| {
            let image = volume.source.image.as_ref()?;
            Some(ImageVolumeView {
                name: volume.name.clone(),
                image: image.reference.clone(),
            })
        });
        let resource_claims = std::mem::take(&mut self.resource_claims).into_iter();
        PodSpecView {
            containers: containers.map(ContainerSpec::view).collect(),
            claims: claims.collect(),
            resource_claims: resource_claims
                .map(|claim| claim.resource_claim_name.unwrap_or(claim.name))
                .collect(),
            image_volumes: images.collect(),
            // Kubernetes takes any number, up to the largest that there is.
            grace_seconds: self
                .termination_grace_period_seconds
                .map(|seconds| seconds.clamp(0, MOST_SECONDS)),
        }
    }
}

impl ContainerSpec {
    fn view(self) -> ContainerSpecView {
        let limits = self.resources.unwrap_or_default().limits;
        ContainerSpecView {
            name: self.name,
            image: cut(self.image, super::MESSAGE_LIMIT),
            memory_limit: limits.get("memory").map(|limit| limit.string.clone()),
            liveness: self.liveness_probe.map(Probe::view),
            readiness: self.readiness_probe.map(Probe::view),
            startup: self.startup_probe.map(Probe::view),
        }
    }
}

impl Probe {
    /// The numbers, or what Kubernetes takes where none stands.
    fn view(self) -> ProbeView {
        let or = |number: Option<i32>, default: i64| {
            let number = number.filter(|number| *number > 0);
            number.map_or(default, i64::from)
        };
        ProbeView {
            initial_delay: or(self.initial_delay_seconds, 0),
            period: or(self.period_seconds, 10),
            failure_threshold: or(self.failure_threshold, 3),
            timeout: or(self.timeout_seconds, 1),
        }
    }
}
