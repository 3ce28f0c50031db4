//! The timeline of a run, for people.
//!
//! Rule: one line for each change that says something, in order, with the time since the beginning.

use std::fmt::Write as _;

use serde_json::Value;

use super::kind::{Kind, Part};
use super::objects::{condition, is_ready};
use super::server::{Actor, Change};
use super::world::{World, place};

/// The timeline, with every violation where it showed.
pub(super) fn timeline(world: &World) -> String {
    let mut text = String::new();
    let begin = world
        .server
        .changes
        .first()
        .map_or(world.server.now, |change| change.at);
    for (number, change) in world.server.changes.iter().enumerate() {
        for note in world.notes.get(&number).into_iter().flatten() {
            let _ = writeln!(text, "{note}");
        }
        if let Some(what) = describe(change) {
            let millis = change.at.as_millisecond() - begin.as_millisecond();
            let actor = match &change.actor {
                Actor::Operator(number) => format!("operator {number}"),
                Actor::User => "user".to_owned(),
                Actor::System(name) => (*name).to_owned(),
            };
            let time = format!("{}.{:03}", millis / 1000, millis % 1000);
            let _ = writeln!(text, "{time:>9}  {actor:<18} {what}   #{number}");
        }
        for violation in world
            .monitor
            .violations
            .iter()
            .filter(|violation| violation.change == number)
        {
            let _ = writeln!(
                text,
                "           >>> {}: {}",
                violation.predicate, violation.what
            );
        }
    }
    for note in world
        .notes
        .range(world.server.changes.len()..)
        .flat_map(|(_, notes)| notes)
    {
        let _ = writeln!(text, "{note}");
    }
    text
}

fn describe(change: &Change) -> Option<String> {
    let object = change.after.as_ref().or(change.before.as_ref())?;
    let (kind, _, name) = &change.address;
    let what = format!("{} {}", kind.name(), place(object));
    let deleting = |object: &Value| !object["metadata"]["deletionTimestamp"].is_null();
    match (&change.before, &change.after) {
        (None, Some(_)) if *kind == Kind::Event => Some(format!(
            "Event {}: {}",
            object["reason"].as_str()?,
            object["note"].as_str()?
        )),
        (None, Some(_)) => Some(format!("{what}: created ({name})")),
        (Some(_), None) => Some(format!("{what}: gone ({name})")),
        (Some(old), Some(new)) => {
            if deleting(new) && !deleting(old) {
                return Some(format!("{what}: to be deleted ({name})"));
            }
            match kind {
                Kind::Pod => Some(format!("{what}: {}", pod(new))),
                Kind::Tree if change.part == Part::Status => {
                    Some(format!("{what}: {}", tree(old, new)))
                }
                Kind::Worker if change.part == Part::Status => {
                    Some(format!("{what}: {}", worker(old, new)))
                }
                Kind::Node => Some(format!(
                    "{what}: Ready {}",
                    new["status"]["conditions"][0]["status"]
                )),
                Kind::Lease => None,
                _ => Some(format!("{what}: {}", difference(old, new))),
            }
        }
        (None, None) => None,
    }
}

fn pod(pod: &Value) -> String {
    let container = &pod["status"]["containerStatuses"][0];
    let state = container["state"]
        .as_object()
        .and_then(|state| state.iter().next());
    let state = state.map_or_else(String::new, |(name, more)| {
        let more = [&more["reason"], &more["exitCode"]]
            .map(ToString::to_string)
            .join(" ");
        format!("{name} {}", more.replace("null", ""))
    });
    let ready = if is_ready(pod) { ", ready" } else { "" };
    let node = pod["spec"]["nodeName"].as_str().unwrap_or("no node");
    let restarts = &container["restartCount"];
    format!(
        "{} {}{ready}, restarts {restarts}, {node}",
        pod["status"]["phase"],
        state.trim()
    )
}

fn tree(old: &Value, new: &Value) -> String {
    let letters = letters(new);
    let reason = condition(new, "Ready").map_or("", |c| c["reason"].as_str().unwrap_or(""));
    format!(
        "{letters} {reason}; {}",
        difference(&without_conditions(old), &without_conditions(new))
    )
}

fn without_conditions(tree: &Value) -> Value {
    let mut status = tree["status"].clone();
    drop(
        status
            .as_object_mut()
            .map(|status| status.remove("conditions")),
    );
    drop(
        status
            .as_object_mut()
            .map(|status| status.remove("recentFaults")),
    );
    status
}

fn worker(old: &Value, new: &Value) -> String {
    difference(&old["status"], &new["status"])
}

/// Ready, Reconciling and Stalled as letters.
pub(super) fn letters(tree: &Value) -> String {
    ["Ready", "Reconciling", "Stalled"]
        .map(|name| match condition(tree, name).map(|c| &c["status"]) {
            Some(status) if status == "True" => 'T',
            Some(_) => 'F',
            None => '-',
        })
        .iter()
        .collect()
}

/// What differs, in one line.
fn difference(old: &Value, new: &Value) -> String {
    let empty = serde_json::Map::new();
    let (old, new) = (
        old.as_object().unwrap_or(&empty),
        new.as_object().unwrap_or(&empty),
    );
    let mut parts: Vec<String> = Vec::new();
    for (name, value) in new {
        if old.get(name) != Some(value) && name != "resourceVersion" && name != "observedGeneration"
        {
            parts.push(format!("{name}={value}"));
        }
    }
    parts.extend(
        old.keys()
            .filter(|name| !new.contains_key(*name))
            .map(|name| format!("{name} dropped")),
    );
    parts.join(" ")
}
