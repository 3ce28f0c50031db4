//! What else has to be read, as the Pods of a tree show it.
//!
//! Rule: only of Pods that are not ready.

use std::collections::BTreeSet;

use serde_json::Value;

/// The Pods in what was read.
pub(crate) fn pods_in(found: &[Value]) -> Vec<&Value> {
    let lists = found.iter().filter(|list| list["kind"] == "PodList");
    let items = lists.filter_map(|list| list["items"].as_array());
    items.flatten().collect()
}

/// What else can tell why Pods are not well.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Needed {
    /// Whether any that is not ready uses a claim.
    pub(crate) claims: bool,
    /// The nodes of those that are not ready.
    pub(crate) nodes: BTreeSet<String>,
}

impl Needed {
    pub(crate) fn of(pods: &[&Value]) -> Self {
        let is_ready = |pod: &&&Value| {
            let conditions = pod["status"]["conditions"].as_array();
            let mut conditions = conditions.into_iter().flatten();
            conditions.any(|one| one["type"] == "Ready" && one["status"] == "True")
        };
        let unwell: Vec<&&Value> = pods.iter().filter(|pod| !is_ready(pod)).collect();
        let volumes = unwell
            .iter()
            .filter_map(|pod| pod["spec"]["volumes"].as_array())
            .flatten();
        let mut claims = volumes.filter(|volume| {
            volume["persistentVolumeClaim"].is_object() || volume["ephemeral"].is_object()
        });
        let nodes = unwell
            .iter()
            .filter_map(|pod| pod["spec"]["nodeName"].as_str());
        Self {
            claims: claims.next().is_some(),
            nodes: nodes.map(ToOwned::to_owned).collect(),
        }
    }
}
