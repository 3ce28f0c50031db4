//! What the spec of a Pod says that may explain a fault.
//!
//! Rule: Pods made from one template share one view of it, so that it costs nothing to keep.

use serde_json::Value;

/// The longest time that is kept, in seconds: nothing is timed in centuries, and sums of what anybody may write stay small.
pub const MOST_SECONDS: i64 = 1_000_000_000;

/// What the spec of a Pod says that may explain a fault.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PodSpecView {
    /// Its containers of all kinds but ephemeral ones.
    pub containers: Vec<ContainerSpecView>,
    /// Its claims, by name; also those that are made for it alone.
    pub claims: Vec<String>,
    /// Its resource claims, by name.
    pub resource_claims: Vec<String>,
    /// Its volumes whose source is an image.
    pub image_volumes: Vec<ImageVolumeView>,
    /// `terminationGracePeriodSeconds`, at most [`MOST_SECONDS`]; Kubernetes takes 30 when there is none.
    pub grace_seconds: Option<i64>,
}

impl PodSpecView {
    /// The names and images of the app containers of a Pod that is made from that object, and no more.
    pub fn written(body: &Value) -> Self {
        let listed = body["spec"]["containers"].as_array();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let view = |container: &Value| ContainerSpecView {
            name: text(&container["name"]),
            image: text(&container["image"]),
            ..ContainerSpecView::default()
        };
        Self {
            containers: listed.into_iter().flatten().map(view).collect(),
            ..Self::default()
        }
    }

    /// The image of a container; empty when there is none of that name.
    pub fn image_of(&self, container: &str) -> &str {
        let mut all = self.containers.iter();
        let found = all.find(|spec| spec.name == container);
        found.map_or("", |spec| spec.image.as_str())
    }

    /// Gives a container another image.
    pub fn set_image(&mut self, container: &str, image: &str) {
        let mut all = self.containers.iter_mut();
        if let Some(spec) = all.find(|spec| spec.name == container) {
            image.clone_into(&mut spec.image);
        }
    }
}

/// A volume whose source is an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ImageVolumeView {
    /// Name of the volume.
    pub name: String,
    /// Reference of the image.
    pub image: String,
}

/// What the spec of a container says that may explain a fault.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ContainerSpecView {
    /// Name.
    pub name: String,
    /// Image, as it is written there.
    pub image: String,
    /// Limit of memory, as it is written there.
    pub memory_limit: Option<String>,
    /// Probe of liveness.
    pub liveness: Option<ProbeView>,
    /// Probe of readiness.
    pub readiness: Option<ProbeView>,
    /// Probe of the start.
    pub startup: Option<ProbeView>,
}

/// How a probe is timed, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProbeView {
    /// How long after the start of the container the first try is made.
    pub initial_delay: i64,
    /// How often it is tried.
    pub period: i64,
    /// How many tries must fail.
    pub failure_threshold: i64,
    /// How long a try may take.
    pub timeout: i64,
}
