//! What the status of a tree says about a window, and what is wrong between one status and the next.
//!
//! Rule: only statuses are compared here; whether there were as many deaths is asked elsewhere.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::sim::kind::Kind;
use crate::sim::objects::{lineage, record_of, spec_of};
use crate::sim::server::Server;

/// Whether charges may only have grown old between two statuses: no edit, no new incarnation, no give-up.
pub(super) fn same_story(old: &Value, new: &Value, before: &Value, now: &Value) -> bool {
    let judged =
        |tree: &Value| tree["status"]["observedGeneration"] == tree["metadata"]["generation"];
    let gave_up = before["gaveUp"]
        .as_array()
        .is_some_and(|all| !all.is_empty());
    old["metadata"]["generation"] == new["metadata"]["generation"]
        && judged(old)
        && before["incarnation"] == now["incarnation"]
        && (before["operation"].is_null() || before["operation"]["kind"] == "Restart")
        && !gave_up
}

/// The settings of a supervisor.
pub(super) fn settings(tree: &Value, supervisor: &str) -> Value {
    spec_of(tree, supervisor)
        .map_or_else(|| tree["spec"].clone(), |spec| spec["supervisor"].clone())
}

/// Where children are restarted together, a charge and a restart of the group, or its end, belong together: what is wrong with
/// the charges that were entered between two statuses.
pub(super) fn not_one(
    server: &Server,
    tree: &Value,
    name: &str,
    before: &Value,
    now: &Value,
) -> Option<String> {
    let strategy = settings(tree, name)["strategy"].clone();
    if strategy != "OneForAll" && strategy != "RestForOne" {
        return None;
    }
    let had = times(before);
    let had = |child: &str| had.iter().find(|(known, _)| known == child);
    let fresh = times(now).into_iter().map(|(child, times)| {
        let known = had(&child).map_or(&[][..], |(_, times)| times);
        added(known, &times)
    });
    let fresh: usize = fresh.sum();
    let same = ["operation", "gaveUp", "incarnation"]
        .iter()
        .all(|field| before[*field] == now[*field]);
    if fresh > 0 && same {
        return Some(format!("{name} is charged, and does not restart its group"));
    }
    // Where a kubelet restarts, more lives than one may have ended before anybody looked.
    let mut pods = server.all(Kind::Pod);
    let kubelet_restarts = pods.any(|(_, pod)| pod["spec"]["restartPolicy"] != "Never");
    (fresh > 1 && !kubelet_restarts).then(|| format!("{name} is charged {fresh} times at once"))
}

/// Charges that are gone although they are not old enough.
pub(super) fn lost(
    server: &Server,
    name: &str,
    settings: &Value,
    before: &Value,
    now: &Value,
) -> Option<String> {
    let period = settings["intensity"]["periodSeconds"]
        .as_i64()
        .unwrap_or(300);
    let is_young = |time: &String| {
        let time = time.parse::<Timestamp>().ok();
        time.is_some_and(|time| {
            server.now.duration_since(time) < SignedDuration::from_secs(period - 1)
        })
    };
    let known = times(now);
    times(before).into_iter().find_map(|(child, had)| {
        let left = known
            .iter()
            .find(|(other, _)| *other == child)
            .map_or(&[][..], |(_, times)| times);
        let missing = added(left, &had);
        let young = had.iter().filter(|time| is_young(time)).count();
        (missing > had.len() - young)
            .then(|| format!("a charge of {child} is gone from the window of {name}"))
    })
}

/// Whether a supervisor, or one above it, has given up or is about to.
pub(super) fn gives_up(tree: &Value, supervisor: &str) -> bool {
    let above = spec_of(tree, supervisor).map_or_else(Vec::new, |spec| lineage(tree, spec));
    above
        .iter()
        .map(String::as_str)
        .chain([supervisor])
        .any(|name| {
            record_of(tree, name).is_some_and(|record| {
                record["operation"]["kind"] == "GiveUp"
                    || record["gaveUp"]
                        .as_array()
                        .is_some_and(|all| !all.is_empty())
            })
        })
}

/// The charges that a supervisor remembers, by child.
pub(super) fn times(record: &Value) -> Vec<(String, Vec<String>)> {
    let texts = |list: &Value| -> Vec<String> {
        list.as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    let charges = record["charges"].as_array();
    charges
        .into_iter()
        .flatten()
        .map(|charge| {
            (
                charge["child"].as_str().unwrap_or_default().to_owned(),
                texts(&charge["times"]),
            )
        })
        .collect()
}

/// How many of the new times are not among the old ones.
pub(super) fn added(old: &[String], new: &[String]) -> usize {
    let mut left = old.to_vec();
    new.iter()
        .filter(|time| match left.iter().position(|known| known == *time) {
            Some(index) => {
                left.remove(index);
                false
            }
            None => true,
        })
        .count()
}
