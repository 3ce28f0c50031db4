//! S5: the order of starts and stops.
//!
//! Rule: only ordered supervisors are judged, and only a child that is starting.

use std::sync::Arc;

use serde_json::Value;

use super::facts::Facts;
use crate::sim::objects::{has_ended, child_of, children, is_deleting, is_enabled, lineage, pods_of, quorum, replicas_of, spec_of, uid_of, worker_of};
use crate::sim::server::Server;

/// What is wrong with the creation of that Pod: an earlier sibling that has not started.
pub(super) fn started_too_early(
    server: &Server,
    facts: &Facts,
    tree: &Value,
    worker: &Value,
    pod: &Value,
) -> Option<String> {
    if facts.has_started(worker) || worker["status"]["started"] == true {
        // A replica among others, or one that is restarted by itself.
        return None;
    }
    let child = spec_of(tree, child_of(pod))?;
    let earlier = ordered_siblings(tree, child, |sibling, own| sibling < own);
    let waits_for = earlier.into_iter().find(|sibling| {
        let Some(worker) = worker_of(server, tree, sibling) else {
            return true;
        };
        let nothing = quorum(tree, &worker) == 0 || replicas_of(&worker) == 0;
        !nothing && !facts.has_started(&worker)
    })?;
    Some(format!("{} is started before {waits_for} has started", child_of(pod)))
}

/// What is wrong with the stop of that Pod of a tree that goes: a later sibling that has not stopped.
pub(super) fn stopped_too_early(server: &Server, tree: &Value, pod: &Value) -> Option<String> {
    if !is_deleting(tree) || held_by_collector(tree) || is_deleting(pod) {
        return None;
    }
    let child = spec_of(tree, child_of(pod))?;
    let later = ordered_siblings(tree, child, |sibling, own| sibling > own);
    let runs = |pod: &&Arc<Value>| !has_ended(pod) && !is_lost(server, pod);
    let still = later.into_iter().find(|sibling| {
        worker_of(server, tree, sibling).is_some_and(|worker| pods_of(server, uid_of(&worker)).any(|pod| runs(&pod)))
    })?;
    Some(format!("{} is stopped before {still} has stopped", child_of(pod)))
}

/// Whether the Pod's node does not answer.
fn is_lost(server: &Server, pod: &Value) -> bool {
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    let node = server.get(crate::sim::kind::Kind::Node, "", node);
    node.is_none_or(|node| node["status"]["conditions"][0]["status"] != "True")
}

fn held_by_collector(tree: &Value) -> bool {
    let finalizers = tree["metadata"]["finalizers"].as_array();
    finalizers.into_iter().flatten().any(|name| name == "foregroundDeletion" || name == "orphan")
}

/// The enabled workers in subtrees that are siblings of this child, or of a supervisor above it, under an ordered
/// supervisor, and whose place in the list compares so with its own.
fn ordered_siblings(tree: &Value, child: &Value, compare: fn(usize, usize) -> bool) -> Vec<String> {
    let place = |name: &str| children(tree).iter().position(|spec| spec["name"] == name).unwrap_or(0);
    let mut found = Vec::new();
    let mut own = child["name"].as_str().unwrap_or_default().to_owned();
    for supervisor in lineage(tree, child) {
        if is_ordered(tree, &supervisor) {
            for sibling in children(tree) {
                let name = sibling["name"].as_str().unwrap_or_default();
                let parent = sibling["parent"].as_str().unwrap_or_default();
                if parent == supervisor && name != own && compare(place(name), place(&own)) {
                    found.extend(workers_below(tree, sibling));
                }
            }
        }
        own = supervisor;
    }
    found
}

fn is_ordered(tree: &Value, supervisor: &str) -> bool {
    let settings = if supervisor.is_empty() {
        &tree["spec"]
    } else {
        match spec_of(tree, supervisor) {
            Some(spec) => &spec["supervisor"],
            None => return false,
        }
    };
    match settings["startup"].as_str() {
        Some(startup) => startup == "Ordered",
        None => settings["strategy"].as_str().is_some_and(|strategy| strategy != "OneForOne"),
    }
}

fn workers_below(tree: &Value, child: &Value) -> Vec<String> {
    let name = child["name"].as_str().unwrap_or_default();
    if child["worker"].is_object() {
        return if is_enabled(tree, child) { vec![name.to_owned()] } else { Vec::new() };
    }
    children(tree).iter().filter(|spec| spec["parent"] == name).flat_map(|spec| workers_below(tree, spec)).collect()
}
