//! What is stored says about stops: which Pods are to go, and what goes with them.
//!
//! Rule: read off the spec and the statuses as the API server holds them; what nobody stored stops nothing.

use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::Value;

use crate::model::{names, tree::ROOT_NAME};
use crate::sim::kind::Kind;
use crate::sim::objects::{
    child_of, children, ended_runs, incarnation, incarnation_of, is_deleting, is_enabled, is_live,
    lineage, pods_of, record_of, replicas_of, revision_of, slot_entry, slot_of, spec_of, uid_of,
};
use crate::sim::server::Server;

/// The way up from a child: each supervisor, whose name is empty for the root, with its own child on that way.
pub(super) fn steps_up(tree: &Value, child: &Value) -> Vec<(String, String)> {
    let mut own = child["name"].as_str().unwrap_or_default().to_owned();
    let step = |supervisor: String| {
        let branch = std::mem::replace(&mut own, supervisor.clone());
        (supervisor, branch)
    };
    lineage(tree, child).into_iter().map(step).collect()
}

/// The place of a child in the list.
pub(super) fn place(tree: &Value, child: &str) -> usize {
    let mut all = children(tree).iter();
    all.position(|spec| spec["name"] == child).unwrap_or(0)
}

/// The operation by which a supervisor starts that child of it.
pub(super) fn start_of<'a>(tree: &'a Value, supervisor: &str, child: &str) -> Option<&'a Value> {
    let operation = &record_of(tree, supervisor)?["operation"];
    let starts = matches!(operation["kind"].as_str(), Some("Start" | "Restart"));
    let members = operation["children"].as_array();
    let is_member = members.is_none_or(|all| all.iter().any(|name| name == child));
    (starts && is_member).then_some(operation)
}

/// Whether a Pod belongs to a former incarnation of its worker, or to the one that ends with an operation which the worker
/// has not been through yet.
pub(super) fn is_former(tree: &Value, worker: &Value, pod: &Value) -> bool {
    if incarnation_of(pod) < incarnation(worker) {
        return true;
    }
    let Some(child) = spec_of(tree, child_of(pod)) else {
        return false;
    };
    let above: Vec<String> = lineage(tree, child)
        .into_iter()
        .map(|name| {
            if name.is_empty() {
                ROOT_NAME.to_owned()
            } else {
                name
            }
        })
        .collect();
    let above: Vec<&str> = above.iter().map(String::as_str).collect();
    // What begins where a worker comes from, or came before it, does not concern it.
    let has_place = worker["status"]["place"] == names::hash(&above).as_str();
    let been_through = worker["status"]["operation"].as_i64().unwrap_or(0);
    has_place
        && steps_up(tree, child).iter().any(|(supervisor, branch)| {
            start_of(tree, supervisor, branch)
                .and_then(|operation| operation["number"].as_i64())
                .is_some_and(|number| number > been_through)
        })
}

/// Whether a supervisor exits, until its parent has judged that.
pub(super) fn exits(tree: &Value, supervisor: &str) -> bool {
    record_of(tree, supervisor).is_some_and(|record| {
        let kind = record["operation"]["kind"].as_str();
        matches!(kind, Some("GiveUp" | "FailStart" | "ShutDown" | "Suspend"))
    })
}

/// Whether a supervisor has that child of it down, with those after it or with all.
fn shuts(tree: &Value, supervisor: &str, branch: &str) -> bool {
    let Some(record) = record_of(tree, supervisor) else {
        return false;
    };
    let gave_up = record["gaveUp"].as_array().into_iter().flatten();
    let is_within = |entry: &Value| {
        let child = entry["child"].as_str().unwrap_or_default();
        let rest = entry["rest"] == true && place(tree, child) <= place(tree, branch);
        entry["waiting"] == true && (child.is_empty() || rest)
    };
    let mut waiting = gave_up.filter(|entry| is_within(entry));
    exits(tree, supervisor) || !record["finished"].is_null() || waiting.next().is_some()
}

/// Whether what is stored says that this Pod's child, tree, incarnation or identity goes.
pub(super) fn is_ordered(tree: &Value, worker: &Value, pod: &Value) -> bool {
    let Some(child) = spec_of(tree, child_of(pod)) else {
        return true;
    };
    let stable = child["worker"]["identity"] == "Stable";
    let is_stable = pod["metadata"]["name"]
        == format!(
            "{}-{}",
            worker["metadata"]["name"].as_str().unwrap_or(""),
            slot_of(pod)
        );
    is_deleting(tree)
        || tree["spec"]["suspend"] == true
        || !is_enabled(tree, child)
        || stable != is_stable
        || is_former(tree, worker, pod)
        || steps_up(tree, child)
            .iter()
            .any(|(supervisor, branch)| shuts(tree, supervisor, branch))
}

/// Whether a child of a supervisor is stopped together with its siblings, or with those after it.
pub(super) fn is_stopped_with_siblings(tree: &Value, supervisor: &str, branch: &str) -> bool {
    let starts = |(supervisor, branch): &(String, String)| {
        shuts(tree, supervisor, branch) || start_of(tree, supervisor, branch).is_some()
    };
    let own = (supervisor.to_owned(), branch.to_owned());
    let above = spec_of(tree, supervisor).map_or_else(Vec::new, |spec| steps_up(tree, spec));
    let is_disabled = spec_of(tree, supervisor).is_some_and(|spec| !is_enabled(tree, spec));
    is_deleting(tree) || is_disabled || std::iter::once(&own).chain(&above).any(starts)
}

/// Whether what is stored says that this Pod goes by itself, whatever its siblings do.
pub(super) fn goes_alone(server: &Server, tree: &Value, worker: &Value, pod: &Value) -> bool {
    let Some(child) = spec_of(tree, child_of(pod)) else {
        return true;
    };
    let entry = slot_entry(worker, slot_of(pod));
    let is_over = entry
        .as_ref()
        .is_some_and(|entry| entry["podUID"] == uid_of(pod) && entry["gone"] == true);
    let filled = pods_of(server, uid_of(worker)).any(|other| {
        slot_of(other) == slot_of(pod) && uid_of(other) != uid_of(pod) && is_live(other)
    });
    let parked = entry.is_some_and(|entry| !entry["parked"].is_null());
    let cannot_return = matches!(
        pod["status"]["phase"].as_str(),
        Some("Failed" | "Succeeded")
    );
    let asked = child["restartAt"].as_str().and_then(|at| at.parse().ok());
    let created = pod["metadata"]["creationTimestamp"].as_str();
    let created: Option<jiff::Timestamp> = created.and_then(|at| at.parse().ok());
    let is_asked = asked.is_some_and(|asked| asked <= server.now && created < Some(asked));
    cannot_return
        || is_over
        || filled
        || parked
        || is_asked
        || worker["status"]["revision"] != revision_of(pod)
}

/// Whether what is stored says that this Pod goes, whatever its state.
pub(super) fn goes_whatever_its_state(
    server: &Server,
    tree: &Value,
    worker: &Value,
    pod: &Value,
) -> bool {
    is_ordered(tree, worker, pod) || goes_alone(server, tree, worker, pod)
}

/// Whether what is stored says that this Pod's child, tree or slot goes, or that its slot is parked.
pub(super) fn goes_anyway(tree: &Value, worker: &Value, pod: &Value) -> bool {
    let entry = slot_entry(worker, slot_of(pod));
    let is_parked = entry.is_some_and(|entry| entry["parked"]["waiting"] == true);
    slot_of(pod) >= replicas_of(worker) || is_parked || is_ordered(tree, worker, pod)
}

/// Whether something is so of a tree and its Worker as they are stored, or was a moment ago.
pub(super) fn is_or_was(
    server: &Server,
    tree: &Arc<Value>,
    worker: &Arc<Value>,
    slack: SignedDuration,
    is_so: impl Fn(&Value, &Value) -> bool,
) -> bool {
    if is_so(tree, worker) {
        return true;
    }
    let trees = lately(server, Kind::Tree, tree, slack);
    let workers = lately(server, Kind::Worker, worker, slack);
    trees
        .iter()
        .any(|tree| workers.iter().any(|worker| is_so(tree, worker)))
}

/// An object as it is stored, and as it was a moment ago.
fn lately(
    server: &Server,
    kind: Kind,
    object: &Arc<Value>,
    slack: SignedDuration,
) -> Vec<Arc<Value>> {
    let since = server.now - slack;
    let changes = server.changes.iter().rev();
    let recent = changes.take_while(|change| change.at >= since);
    let own = recent.filter(|change| change.address.0 == kind);
    let before = own.filter_map(|change| change.before.clone());
    let before = before.filter(|before| uid_of(before) == uid_of(object));
    std::iter::once(Arc::clone(object)).chain(before).collect()
}

/// Whether the last death of this Pod is stored, with its Worker or with the tree.
pub(super) fn is_stored(tree: &Value, worker: &Value, pod: &Value) -> bool {
    let ends = ended_runs(pod);
    let counts = |entry: &Value| {
        let deaths = entry["deaths"].as_i64().unwrap_or_default();
        entry["podUID"] == uid_of(pod) && (entry["gone"] == true || deaths >= ends)
    };
    let judged = tree["status"]["judgedDeaths"].as_array();
    slot_entry(worker, slot_of(pod)).is_some_and(|entry| counts(&entry))
        || judged.into_iter().flatten().any(counts)
}
