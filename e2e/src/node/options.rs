//! What a node can be asked to be like.
//!
//! Rule: where nothing is said, Kubernetes' own default holds, so that a test that says nothing sees the real thing.

use std::collections::BTreeMap;
use std::time::Duration;

/// What a node is to be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeOptions {
    /// The node's name: a DNS label, unique in the cluster.
    pub name: String,
    /// Labels of the node, such as a zone. Default none.
    pub labels: BTreeMap<String, String>,
    /// The longest pause before the kubelet starts a crashing container again: 1 s to 300 s. Default 300 s.
    pub max_container_restart_period: Option<Duration>,
    /// How long the node's lease lasts; it is renewed after a quarter of that. Default 40 s.
    pub lease_duration_seconds: Option<u32>,
    /// How often the kubelet looks at the node's status. Default 10 s.
    pub status_update_frequency: Option<Duration>,
}

impl NodeOptions {
    /// A node with Kubernetes' defaults.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            labels: BTreeMap::new(),
            max_container_restart_period: None,
            lease_duration_seconds: None,
            status_update_frequency: None,
        }
    }

    /// Lets the loss of the node be noticed within seconds, together with the controller manager's
    /// `--node-monitor-period=1s --node-monitor-grace-period=6s`. All nodes of a cluster must have it, or none.
    #[must_use]
    pub fn quickly_missed(mut self) -> Self {
        self.lease_duration_seconds = Some(4);
        self.status_update_frequency = Some(Duration::from_secs(2));
        self
    }
}
