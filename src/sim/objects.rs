//! Reading objects: who owns what, what the spec asks for, how a Pod stands.
//!
//! Rule: independent of the operator's own code, but for the names that it computes.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::cluster::nodes::{OUT_OF_SERVICE, has_taint};
use super::kind::Kind;
use super::server::Server;
use crate::api::labels;
use crate::model::names;

/// The tree and the Worker that own a Pod by UID.
pub(super) fn owners(server: &Server, pod: &Value) -> Option<(Arc<Value>, Arc<Value>)> {
    let worker = by_uid(server, Kind::Worker, controller_uid(pod))?;
    let tree = by_uid(server, Kind::Tree, controller_uid(&worker))?;
    Some((tree, worker))
}

pub(super) fn by_uid(server: &Server, kind: Kind, uid: &str) -> Option<Arc<Value>> {
    server
        .all(kind)
        .find(|(_, object)| uid_of(object) == uid)
        .map(|(_, object)| Arc::clone(object))
}

/// The Worker of a child of a tree.
pub(super) fn worker_of(server: &Server, tree: &Value, child: &str) -> Option<Arc<Value>> {
    server
        .all(Kind::Worker)
        .find(|(_, worker)| controller_uid(worker) == uid_of(tree) && child_of(worker) == child)
        .map(|(_, worker)| Arc::clone(worker))
}

/// The Pods of a Worker that an operator can see: one whose labels somebody took away is watched no more.
pub(super) fn pods_of<'a>(
    server: &'a Server,
    worker_uid: &'a str,
) -> impl Iterator<Item = &'a Arc<Value>> {
    server
        .all(Kind::Pod)
        .map(|(_, pod)| pod)
        .filter(move |pod| controller_uid(pod) == worker_uid && slot_of(pod) >= 0)
}

/// The record of a supervisor in the status of its tree; the root's name is empty in the spec.
pub(super) fn record_of<'a>(tree: &'a Value, supervisor: &str) -> Option<&'a Value> {
    let name = if supervisor.is_empty() {
        crate::model::tree::ROOT_NAME
    } else {
        supervisor
    };
    tree["status"]["supervisors"]
        .as_array()?
        .iter()
        .find(|record| record["name"] == name)
}

pub(super) fn children(tree: &Value) -> &[Value] {
    tree["spec"]["children"]
        .as_array()
        .map_or(&[], Vec::as_slice)
}

pub(super) fn spec_of<'a>(tree: &'a Value, child: &str) -> Option<&'a Value> {
    children(tree).iter().find(|spec| spec["name"] == child)
}

/// The supervisors above a child, from the nearest to the root, which has an empty name.
pub(super) fn lineage(tree: &Value, child: &Value) -> Vec<String> {
    let mut line = Vec::new();
    let mut parent = child["parent"].as_str().map(str::to_owned);
    while let Some(name) = parent {
        parent = spec_of(tree, &name)
            .and_then(|spec| spec["parent"].as_str())
            .map(str::to_owned);
        line.push(name);
    }
    line.push(String::new());
    line
}

pub(super) fn is_enabled(tree: &Value, child: &Value) -> bool {
    let above = lineage(tree, child);
    let mut all = above
        .iter()
        .filter_map(|name| spec_of(tree, name))
        .chain([child]);
    all.all(|spec| spec["enabled"] != false)
}

pub(super) fn quorum(tree: &Value, worker: &Value) -> usize {
    let child = spec_of(tree, child_of(worker));
    // What runs to completion has to complete as a whole.
    let completes = child.is_some_and(|child| child["worker"]["ready"] == "Completed");
    let wanted = child
        .and_then(|child| child["worker"]["quorum"].as_i64())
        .unwrap_or(1);
    let wanted = if completes { i64::MAX } else { wanted };
    usize::try_from(wanted.min(replicas_of(worker))).unwrap_or(0)
}

pub(super) fn replicas_of(worker: &Value) -> i64 {
    worker["spec"]["replicas"].as_i64().unwrap_or(1)
}

pub(super) fn wanted_revision(child: &Value) -> String {
    names::revision(&child["worker"]["template"])
}

pub(super) fn revision_of(pod: &Value) -> &str {
    pod["metadata"]["labels"][labels::REVISION]
        .as_str()
        .unwrap_or_default()
}

/// Whether the name of a Pod is fixed by its slot.
pub(super) fn is_stable(server: &Server, pod: &Value) -> bool {
    owners(server, pod).is_some_and(|(tree, _)| {
        spec_of(&tree, child_of(pod)).is_some_and(|child| child["worker"]["identity"] == "Stable")
    })
}

pub(super) fn uid_of(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}

pub(super) fn controller_uid(object: &Value) -> &str {
    let owners = object["metadata"]["ownerReferences"].as_array();
    let controller = owners
        .into_iter()
        .flatten()
        .find(|owner| owner["controller"] == true);
    controller
        .and_then(|owner| owner["uid"].as_str())
        .unwrap_or_default()
}

pub(super) fn child_of(object: &Value) -> &str {
    object["metadata"]["labels"][labels::CHILD]
        .as_str()
        .unwrap_or_default()
}

pub(super) fn slot_of(pod: &Value) -> i64 {
    let slot = pod["metadata"]["labels"][labels::SLOT].as_str();
    slot.and_then(|slot| slot.parse().ok()).unwrap_or(-1)
}

pub(super) fn is_deleting(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

/// Whether a Pod is live: not ended, and not being deleted.
pub(super) fn is_live(pod: &Value) -> bool {
    !is_deleting(pod)
        && !matches!(
            pod["status"]["phase"].as_str(),
            Some("Failed" | "Succeeded")
        )
}

pub(super) fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|c| c["type"] == "Ready" && c["status"] == "True")
}

/// Whether a Pod is to run another image than the one that its program was made from.
pub(super) fn is_changing(pod: &Value) -> bool {
    let container = &pod["status"]["containerStatuses"][0];
    container.is_object() && container["image"] != pod["spec"]["containers"][0]["image"]
}

pub(super) fn is_crash_looping(pod: &Value) -> bool {
    pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
}

/// Whether a Pod has ended because its program did, and nobody else made it.
pub(super) fn died_by_itself(pod: &Value) -> bool {
    let disrupted = pod["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|c| c["type"] == "DisruptionTarget");
    pod["status"]["phase"] == "Failed"
        && pod["status"]["reason"].is_null()
        && !disrupted
        && !is_deleting(pod)
}

/// What is remembered of the slots of a worker, those included that are stored in a word.
pub(super) fn slots_of(worker: &Value) -> impl Iterator<Item = Cow<'_, Value>> {
    let status = &worker["status"];
    let words = status["startedPods"].as_array().into_iter().flatten();
    let words = words.filter_map(|word| word.as_str()?.split_once('/'));
    let started = words.map(|(slot, uid)| {
        let slot: Option<i64> = slot.parse().ok();
        Cow::Owned(json!({"slot": slot, "podUID": uid, "started": true}))
    });
    let others = status["slots"].as_array().into_iter().flatten();
    started.chain(others.map(Cow::Borrowed))
}

pub(super) fn slot_entry(worker: &Value, slot: i64) -> Option<Cow<'_, Value>> {
    slots_of(worker).find(|entry| entry["slot"] == slot)
}

/// The incarnation of its worker that a Pod belongs to.
pub(super) fn incarnation_of(pod: &Value) -> i64 {
    let label = pod["metadata"]["labels"][labels::INCARNATION].as_str();
    label.and_then(|label| label.parse().ok()).unwrap_or(1)
}

/// The incarnation of a worker; one of which nothing is stored yet is in its first.
pub(super) fn incarnation(worker: &Value) -> i64 {
    worker["status"]["incarnation"].as_i64().unwrap_or(0).max(1)
}

/// The slots whose replica has ended as its type allows, and is not to run again.
pub(super) fn finished_slots(tree: &Value, worker: &Value) -> BTreeSet<i64> {
    let Some(child) = spec_of(tree, child_of(worker)) else {
        return BTreeSet::new();
    };
    let is_taken_back =
        condition(tree, "RolledBack").is_some_and(|condition| condition["status"] == "True");
    let wanted = match worker["status"]["revision"].as_str() {
        Some(present) if is_taken_back => present.to_owned(),
        _ => wanted_revision(child),
    };
    let is_temporary = child["worker"]["restart"] == "Temporary";
    let finished = slots_of(worker).filter(|slot| {
        let finished = &slot["finished"];
        !finished.is_null() && (is_temporary || finished["revision"] == wanted.as_str())
    });
    finished.filter_map(|slot| slot["slot"].as_i64()).collect()
}

/// Whether a supervisor above a child has ended as its type allows.
pub(super) fn is_over(tree: &Value, child: &Value) -> bool {
    let above = lineage(tree, child);
    above
        .iter()
        .filter_map(|supervisor| record_of(tree, supervisor))
        .any(|record| !record["finished"].is_null())
}

/// A condition of a tree.
pub(super) fn condition<'a>(tree: &'a Value, name: &str) -> Option<&'a Value> {
    tree["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|condition| condition["type"] == name)
}

/// Whether nothing of a Pod runs any more.
pub(super) fn has_ended(pod: &Value) -> bool {
    let ended = matches!(
        pod["status"]["phase"].as_str(),
        Some("Failed" | "Succeeded")
    );
    ended || !pod["status"]["containerStatuses"][0]["state"]["terminated"].is_null()
}

/// How many runs of its program a Pod has seen end.
pub(super) fn ended_runs(pod: &Value) -> i64 {
    let container = &pod["status"]["containerStatuses"][0];
    let restarts = container["restartCount"].as_i64().unwrap_or_default();
    let runs = !container["state"]["running"].is_null() || container.is_null();
    restarts + i64::from(!runs)
}

/// Whether the Pod's node does not answer, or somebody says that it is off.
pub(super) fn is_lost(server: &Server, pod: &Value) -> bool {
    let Some(node) = pod["spec"]["nodeName"].as_str() else {
        return false;
    };
    let node = server.get(Kind::Node, "", node);
    let is_off = |node: &Value| {
        has_taint(node, OUT_OF_SERVICE) || node["status"]["conditions"][0]["status"] != "True"
    };
    node.is_none_or(|node| is_off(node))
}
