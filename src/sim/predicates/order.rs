//! S5: the order of starts and stops.
//!
//! Rule: only what a supervisor starts or stops together is judged, and the order only of those that are ordered.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::facts::Facts;
use super::stops::{
    goes_alone, is_former, is_ordered, is_stopped_with_siblings, place, start_of, steps_up,
};
use crate::sim::cluster::nodes::{OUT_OF_SERVICE, has_taint};
use crate::sim::kind::Kind;
use crate::sim::objects::{
    child_of, children, finished_slots, has_ended, incarnation, incarnation_of, is_deleting,
    is_enabled, is_lost, is_stable, pods_of, quorum, record_of, replicas_of, spec_of, uid_of,
    worker_of,
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
    if facts.was_edited_lately(server, tree, slack) {
        // Who does not know of the edit goes by the order that was there before.
        return None;
    }
    let lately = server.now - slack;
    let present = incarnation(worker);
    if facts.has_started(tree, child_of(pod), present, lately)
        || worker["status"]["started"] == true
    {
        // A replica among others, or one that is restarted by itself.
        return None;
    }
    let steps = steps_up(tree, spec_of(tree, child_of(pod))?);
    let starts = |(supervisor, branch): &&(String, String)| {
        is_ordered_supervisor(tree, supervisor) && start_of(tree, supervisor, branch).is_some()
    };
    // What started during this start, and was stopped since for a reason of its own, is not waited for again: its death is
    // judged at once, and the operation goes on from the right place, which under `OneForOne` is where it was.
    let began = steps
        .iter()
        .filter_map(|(supervisor, branch)| begin(start_of(tree, supervisor, branch)?))
        .min()?;
    let waits_for = steps
        .iter()
        .filter(starts)
        .find_map(|(supervisor, branch)| {
            let mut earlier = siblings(tree, supervisor)
                .filter(|sibling| place(tree, name(sibling)) < place(tree, branch))
                .filter(|sibling| start_of(tree, supervisor, name(sibling)).is_some())
                .flat_map(|sibling| workers_below(tree, sibling, true));
            earlier.find(|sibling| !stands(server, facts, tree, sibling, lately.min(began)))
        })?;
    Some(format!(
        "{} is started before {waits_for} has started",
        child_of(pod)
    ))
}

/// Whether a worker has started in its present incarnation, or has nothing to start.
fn stands(server: &Server, facts: &Facts, tree: &Value, child: &str, since: Timestamp) -> bool {
    let Some(worker) = worker_of(server, tree, child) else {
        return facts.has_started(tree, child, 1, since);
    };
    let finished = i64::try_from(finished_slots(tree, &worker).len()).unwrap_or(0);
    quorum(tree, &worker) == 0
        || finished >= replicas_of(&worker)
        || facts.has_started(tree, child, incarnation(&worker), since)
}

/// When an operation began.
fn begin(operation: &Value) -> Option<Timestamp> {
    operation["sinceTime"].as_str()?.parse().ok()
}

/// What is wrong with the creation of that Pod: something of the group runs that belongs to a former incarnation.
pub(super) fn started_beside_former(
    server: &Server,
    facts: &Facts,
    tree: &Value,
    worker: &Value,
    pod: &Value,
    slack: SignedDuration,
) -> Option<String> {
    let (own, stored) = (incarnation_of(pod), incarnation(worker));
    if own < stored || is_former(tree, worker, pod) {
        let is_news = facts.was_begun_lately(server, worker, slack)
            || facts.was_begun_lately(server, tree, slack);
        return (!is_news).then(|| {
            format!(
                "{} is started in incarnation {own}, and is in its {stored}",
                child_of(pod)
            )
        });
    }
    let former = steps_up(tree, spec_of(tree, child_of(pod))?)
        .into_iter()
        .filter(|(supervisor, branch)| start_of(tree, supervisor, branch).is_some())
        .flat_map(|(supervisor, _)| {
            siblings(tree, &supervisor)
                .filter(|sibling| start_of(tree, &supervisor, name(sibling)).is_some())
                .flat_map(|sibling| workers_below(tree, sibling, false))
                .collect::<Vec<_>>()
        })
        .find_map(|child| {
            let worker = worker_of(server, tree, &child)?;
            let mut pods = pods_of(server, uid_of(&worker));
            pods.find(|pod| {
                is_former(tree, &worker, pod)
                    && !has_stopped(server, facts, tree, pod, slack)
                    && !facts.is_new(server, pod, slack)
            })
            .cloned()
        })?;
    Some(format!(
        "{} is started before {} of the former incarnation has stopped",
        child_of(pod),
        former["metadata"]["name"]
    ))
}

/// Whether nothing of a Pod runs any more, or may not be waited for any longer.
fn has_stopped(
    server: &Server,
    facts: &Facts,
    tree: &Value,
    pod: &Value,
    slack: SignedDuration,
) -> bool {
    has_ended(pod)
        || is_proven_dead(server, pod)
        || (!is_stable(server, pod) && is_deleting(pod) && facts.is_lost(server, tree, pod, slack))
}

/// Whether the node of a Pod is gone, or somebody says that it is off; or the Pod never had one.
fn is_proven_dead(server: &Server, pod: &Value) -> bool {
    let node = pod["spec"]["nodeName"].as_str();
    let Some(node) = node.map(|name| server.get(Kind::Node, "", name)) else {
        return is_deleting(pod);
    };
    node.is_none_or(|node| has_taint(node, OUT_OF_SERVICE))
}

/// What is wrong with the stop of that Pod: a sibling that is stopped with it, and before it, has not stopped; or one of
/// them cannot be proven dead, so that none is to be stopped.
pub(super) fn stopped_too_early(
    server: &Server,
    facts: &Facts,
    tree: &Value,
    worker: &Value,
    pod: &Value,
    slack: SignedDuration,
) -> Option<String> {
    if held_by_collector(tree)
        || !is_deleting(tree) && facts.was_edited_lately(server, tree, slack)
        || is_deleting(pod)
        || has_ended(pod)
        || !is_ordered(tree, worker, pod)
        || !is_deleting(tree)
            && !is_former(tree, worker, pod)
            && goes_alone(server, tree, worker, pod)
    {
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
    let impatient =
        is_deleting(tree) || tree["spec"]["suspend"] == true || !is_enabled(tree, child);
    for (supervisor, branch) in steps_up(tree, child) {
        if !is_stopped_with_siblings(tree, &supervisor, &branch) {
            continue;
        }
        let ordered = is_ordered_supervisor(tree, &supervisor);
        for sibling in siblings(tree, &supervisor).filter(|sibling| name(sibling) != branch) {
            let is_later = ordered && place(tree, name(sibling)) > place(tree, &branch);
            let below = workers_below(tree, sibling, false);
            let workers = below
                .iter()
                .filter_map(|name| worker_of(server, tree, name));
            for worker in workers.collect::<Vec<_>>() {
                let stops = |other: &&Arc<Value>| {
                    is_ordered(tree, &worker, other)
                        && !has_ended(other)
                        && !facts.is_new(server, other, slack)
                };
                let waits = |other: &&Arc<Value>| {
                    let fenced = facts.waits_for_fence(server, other, slack);
                    let fenced = fenced && is_stable(server, other) && !impatient;
                    fenced || is_later && !is_lost(server, other)
                };
                let mut others = pods_of(server, uid_of(&worker)).filter(stops);
                if let Some(other) = others.find(waits) {
                    return Some(format!(
                        "{} is stopped before {} has stopped",
                        child_of(pod),
                        child_of(other)
                    ));
                }
            }
        }
    }
    None
}

fn held_by_collector(tree: &Value) -> bool {
    let finalizers = tree["metadata"]["finalizers"].as_array();
    finalizers
        .into_iter()
        .flatten()
        .any(|name| name == "foregroundDeletion" || name == "orphan")
}

fn name(child: &Value) -> &str {
    child["name"].as_str().unwrap_or_default()
}

/// The children of a supervisor.
fn siblings<'a>(tree: &'a Value, supervisor: &str) -> impl Iterator<Item = &'a Value> {
    let parent = supervisor.to_owned();
    children(tree)
        .iter()
        .filter(move |child| child["parent"].as_str().unwrap_or_default() == parent)
}

fn is_ordered_supervisor(tree: &Value, supervisor: &str) -> bool {
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

/// The workers at or below a child; with `run` only those that are to run.
fn workers_below(tree: &Value, child: &Value, run: bool) -> Vec<String> {
    if child["worker"].is_object() {
        return if !run || is_enabled(tree, child) {
            vec![name(child).to_owned()]
        } else {
            Vec::new()
        };
    }
    let record = record_of(tree, name(child));
    if run && record.is_some_and(|record| !record["finished"].is_null()) {
        return Vec::new();
    }
    siblings(tree, name(child))
        .flat_map(|spec| workers_below(tree, spec, run))
        .collect()
}
