//! S5: the order of starts and stops.
//!
//! Rule: only ordered supervisors are judged; for starts, only while they start, and only a child that has not started.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::facts::Facts;
use crate::sim::objects::{
    child_of, children, has_ended, is_deleting, is_enabled, is_lost, lineage, pods_of, quorum,
    record_of, replicas_of, spec_of, uid_of, worker_of,
};
use crate::sim::server::Server;

/// What is wrong with the creation of that Pod: an earlier sibling that has not started.
pub(super) fn started_too_early(
    server: &Server,
    facts: &Facts,
    tree: &Value,
    worker: &Value,
    pod: &Value,
    slack: SignedDuration,
) -> Option<String> {
    let lately = server.now - slack;
    if facts.has_started(tree, child_of(pod), lately) || worker["status"]["started"] == true {
        // A replica among others, or one that is restarted by itself.
        return None;
    }
    let child = spec_of(tree, child_of(pod))?;
    // What started during this start, and was stopped since for a reason of its own, is not waited for again: its death is
    // judged at once, and the operation goes on from the right place, which under `OneForOne` is where it was.
    let began = lineage(tree, child)
        .iter()
        .filter_map(|supervisor| begin_of_start(tree, supervisor))
        .min()?;
    let starts = |supervisor: &str| begin_of_start(tree, supervisor).is_some();
    let earlier = ordered_siblings(tree, child, starts, |sibling, own| sibling < own);
    let waits_for = earlier.into_iter().find(|sibling| {
        let worker = worker_of(server, tree, sibling);
        let nothing =
            worker.is_some_and(|worker| quorum(tree, &worker) == 0 || replicas_of(&worker) == 0);
        !nothing && !facts.has_started(tree, sibling, lately.min(began))
    })?;
    Some(format!(
        "{} is started before {waits_for} has started",
        child_of(pod)
    ))
}

/// When the start of a supervisor that is under way began.
fn begin_of_start(tree: &Value, supervisor: &str) -> Option<Timestamp> {
    let operation = &record_of(tree, supervisor)?["operation"];
    let begin = operation["sinceTime"]
        .as_str()
        .and_then(|time| time.parse().ok());
    begin.filter(|_| operation["kind"] == "Start")
}

/// What is wrong with the stop of that Pod of a tree that goes: a later sibling that has not stopped.
pub(super) fn stopped_too_early(
    server: &Server,
    facts: &Facts,
    tree: &Value,
    pod: &Value,
    slack: SignedDuration,
) -> Option<String> {
    if !is_deleting(tree) || held_by_collector(tree) || is_deleting(pod) {
        return None;
    }
    let lately = server.now - slack;
    let is_news = facts
        .ending(uid_of(tree))
        .is_some_and(|asked| asked >= lately);
    if is_news && is_lost(server, pod) {
        // Who does not know yet that the tree goes replaces what is lost.
        return None;
    }
    let child = spec_of(tree, child_of(pod))?;
    let later = ordered_siblings(tree, child, |_| true, |sibling, own| sibling > own);
    let runs = |pod: &&Arc<Value>| !has_ended(pod) && !is_lost(server, pod);
    let still = later.into_iter().find(|sibling| {
        worker_of(server, tree, sibling)
            .is_some_and(|worker| pods_of(server, uid_of(&worker)).any(|pod| runs(&pod)))
    })?;
    Some(format!(
        "{} is stopped before {still} has stopped",
        child_of(pod)
    ))
}

fn held_by_collector(tree: &Value) -> bool {
    let finalizers = tree["metadata"]["finalizers"].as_array();
    finalizers
        .into_iter()
        .flatten()
        .any(|name| name == "foregroundDeletion" || name == "orphan")
}

/// The enabled workers in subtrees that are siblings of this child, or of a supervisor above it, under an ordered
/// supervisor of which that is so, and whose place in the list compares so with its own.
fn ordered_siblings(
    tree: &Value,
    child: &Value,
    counts: impl Fn(&str) -> bool,
    compare: fn(usize, usize) -> bool,
) -> Vec<String> {
    let place = |name: &str| {
        children(tree)
            .iter()
            .position(|spec| spec["name"] == name)
            .unwrap_or(0)
    };
    let mut found = Vec::new();
    let mut own = child["name"].as_str().unwrap_or_default().to_owned();
    for supervisor in lineage(tree, child) {
        if is_ordered(tree, &supervisor) && counts(&supervisor) {
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
        None => settings["strategy"]
            .as_str()
            .is_some_and(|strategy| strategy != "OneForOne"),
    }
}

fn workers_below(tree: &Value, child: &Value) -> Vec<String> {
    let name = child["name"].as_str().unwrap_or_default();
    if child["worker"].is_object() {
        return if is_enabled(tree, child) {
            vec![name.to_owned()]
        } else {
            Vec::new()
        };
    }
    children(tree)
        .iter()
        .filter(|spec| spec["parent"] == name)
        .flat_map(|spec| workers_below(tree, spec))
        .collect()
}
