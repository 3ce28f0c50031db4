//! Operations: each has a number of its own, a reason, and is gone through once.
//!
//! Rule: judged by the numbers that are stored and by what ended without the tree; never by what an operator says of it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::stops::start_of;
use crate::model::tree::ROOT_NAME;
use crate::sim::kind::{Kind, Part};
use crate::sim::objects::{
    child_of, children, controller_uid, ended_runs, has_ended, is_deleting, is_lost, is_ready,
    lineage, owners, record_of, slot_of, spec_of, uid_of,
};
use crate::sim::server::{Actor, Change, Server};

/// What ended, and how often a supervisor restarted its children.
#[derive(Default)]
pub(super) struct Once {
    /// Ends that no operator brought about, by tree and child: Pods with the number of their runs, and other templates.
    ends: BTreeMap<(String, String), BTreeSet<(String, i64)>>,
    /// Restarts begun, by tree and supervisor.
    restarts: BTreeMap<(String, String), usize>,
}

impl Once {
    /// Takes in a change and says what is wrong with it.
    pub(super) fn changed(&mut self, server: &Server, change: &Change) -> Vec<String> {
        match (change.address.0, &change.before, &change.after) {
            (Kind::Tree, Some(old), Some(new)) if change.part == Part::Status => {
                self.told(old, new)
            }
            (Kind::Worker, Some(old), Some(new)) if change.part == Part::Status => {
                self.updated(old, new);
                told_by_worker(server, old, new)
            }
            (Kind::Pod, Some(old), new) => {
                self.pod(server, change, old, new.as_deref());
                Vec::new()
            }
            // Its Pods go with it.
            (Kind::Worker, Some(old), None) => {
                let key = (controller_uid(old).to_owned(), child_of(old).to_owned());
                let end = (uid_of(old).to_owned(), 0);
                self.ends.entry(key).or_default().insert(end);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// A program that ended, a Pod that others took away or made another's, one that did not start in time, or whose node is
    /// lost.
    fn pod(&mut self, server: &Server, change: &Change, old: &Value, new: Option<&Value>) {
        let by_operator = matches!(change.actor, Actor::Operator(_));
        let goes = new.is_none_or(is_deleting) && !is_deleting(old);
        let ends = new.is_some_and(has_ended) && !has_ended(old) && !is_deleting(old);
        let child = child_of(old);
        let Some((tree, _)) = owners(server, old) else {
            return;
        };
        let has_deadline = spec_of(&tree, child)
            .is_some_and(|spec| spec["worker"]["startDeadlineSeconds"].is_i64());
        let ours = |pod: &Value| (controller_uid(pod).to_owned(), slot_of(pod));
        let is_taken = new.is_some_and(|new| ours(new) != ours(old));
        let has_failed = has_deadline && !is_ready(old) || is_lost(server, old);
        if ends || is_taken || goes && (!by_operator || has_failed) {
            let runs = ended_runs(new.unwrap_or(old)).max(ended_runs(old) + 1);
            let key = (uid_of(&tree).to_owned(), child.to_owned());
            let end = (uid_of(old).to_owned(), runs);
            self.ends.entry(key).or_default().insert(end);
        }
    }

    /// A worker that gets another template, which its Pods may only get with their whole group.
    fn updated(&mut self, old: &Value, new: &Value) {
        let revision = |worker: &Value| worker["status"]["revision"].clone();
        let (from, to) = (revision(old), revision(new));
        if from.is_string() && to.is_string() && from != to {
            let key = (controller_uid(new).to_owned(), child_of(new).to_owned());
            let updates = self.ends.entry(key).or_default();
            let number = i64::try_from(updates.len()).unwrap_or(i64::MAX);
            updates.insert((to.to_string(), number));
        }
    }

    fn told(&mut self, old: &Value, new: &Value) -> Vec<String> {
        let mut wrong = Vec::new();
        let (before, now) = (operations(old), operations(new));
        if now < before {
            wrong.push(format!(
                "the number of operations fell from {before} to {now}"
            ));
        }
        let records = new["status"]["supervisors"].as_array();
        for record in records.into_iter().flatten() {
            let name = record["name"].as_str().unwrap_or_default();
            let known = record_of(old, name);
            let number = record["operation"]["number"].as_i64();
            let had = known.and_then(|known| known["operation"]["number"].as_i64());
            if let Some(number) = number.filter(|number| Some(*number) != had) {
                if number <= before || number > now {
                    wrong.push(format!(
                        "{name} begins operation {number}, and there were {before}, now {now}"
                    ));
                }
                wrong.extend(self.restarts_wrongly(old, new, name));
            }
            let begun = |record: &Value| record["incarnation"].as_i64().unwrap_or_default();
            let more = known.map_or(0, |known| begun(record) - begun(known));
            if more < 0 || more > now - before {
                let new = now - before;
                wrong.push(format!(
                    "{name} begins {more} incarnations by {new} operations"
                ));
            }
        }
        wrong
    }

    /// What is wrong with the restart that a supervisor has begun, if it is one.
    fn restarts_wrongly(&mut self, old: &Value, new: &Value, name: &str) -> Option<String> {
        let record = record_of(new, name)?;
        if record["operation"]["kind"] != "Restart" {
            return None;
        }
        let supervisor = if name == ROOT_NAME { "" } else { name };
        let settings = spec_of(new, supervisor).map_or(&new["spec"], |spec| &spec["supervisor"]);
        let own = children(new)
            .iter()
            .filter(|child| child["parent"].as_str().unwrap_or_default() == supervisor)
            .filter_map(|child| child["name"].as_str());
        let own: Vec<&str> = own.collect();
        let is_member = |child: &&str| start_of(new, supervisor, child).is_some();
        let members: Vec<&str> = own.iter().copied().filter(is_member).collect();
        // A scope that was given up is tried again so, too.
        let waited = record_of(old, name).is_some_and(|record| {
            let gave_up = record["gaveUp"].as_array();
            gave_up
                .into_iter()
                .flatten()
                .any(|entry| entry["waiting"] == true)
        });
        let strategy = settings["strategy"].as_str().unwrap_or("OneForOne");
        let fits = match strategy {
            "OneForAll" => members == own,
            "RestForOne" => !members.is_empty() && own.ends_with(&members),
            _ => false,
        };
        if !fits && !waited {
            return Some(format!(
                "{name} restarts {members:?} of {own:?} under {strategy}"
            ));
        }
        // What misses its deadline has not ended yet when its supervisor judges that.
        let may_be_late = children(new)
            .iter()
            .any(|child| child["worker"]["startDeadlineSeconds"].is_i64());
        if waited || may_be_late {
            return None;
        }
        // Under `RestForOne` the first of them is the one that died.
        let first = members.first().copied().unwrap_or_default();
        let causes = self.ends_below(new, |branch| strategy == "OneForAll" || branch == first);
        if causes == 0 {
            return Some(format!(
                "{name} restarts {members:?}, and nothing there died"
            ));
        }
        let all = self.ends_below(new, |branch| own.contains(&branch));
        let key = (uid_of(new).to_owned(), name.to_owned());
        let restarts = self.restarts.entry(key).or_default();
        *restarts += 1;
        (*restarts > all).then(|| format!("{name} has restarted {restarts} times after {all} ends"))
    }

    /// How many ends there were of workers that are, or are below, a child of which that is so. Those of children that were
    /// removed or moved count, wherever they were.
    fn ends_below(&self, tree: &Value, counts: impl Fn(&str) -> bool) -> usize {
        let is_there = |child: &str| {
            let Some(spec) = spec_of(tree, child) else {
                return true;
            };
            let above = lineage(tree, spec);
            counts(child) || above.iter().any(|name| counts(name))
        };
        let own = self.ends.iter().filter(|((uid, _), _)| uid == uid_of(tree));
        own.filter(|((_, child), _)| is_there(child))
            .map(|(_, ends)| ends.len())
            .sum()
    }
}

fn operations(tree: &Value) -> i64 {
    tree["status"]["operations"].as_i64().unwrap_or_default()
}

/// Whether that operation only stops what is below a supervisor above the child.
fn stops_by(tree: &Value, child: &str, number: i64) -> bool {
    let Some(spec) = spec_of(tree, child) else {
        return false;
    };
    let above = lineage(tree, spec);
    let records = tree["status"]["supervisors"].as_array();
    let mut records = records.into_iter().flatten().filter(|record| {
        let name = record["name"].as_str().unwrap_or_default();
        name == "(root)" || above.iter().any(|supervisor| supervisor == name)
    });
    records.any(|record| {
        let operation = &record["operation"];
        let starts = ["Start", "Restart"]
            .map(Value::from)
            .contains(&operation["kind"]);
        let waits = record["gaveUp"].as_array().into_iter().flatten();
        let mut stops = waits.filter(|entry| entry["waiting"] == true);
        !starts && operation["number"] == number || stops.any(|entry| entry["number"] == number)
    })
}

/// A worker begins an incarnation by an operation that is stored in its tree, once for each. One that its supervisor stops
/// for good goes through that, too.
fn told_by_worker(server: &Server, old: &Value, new: &Value) -> Vec<String> {
    let number = |worker: &Value, field: &str| worker["status"][field].as_i64().unwrap_or_default();
    if old["status"]["place"].is_null() {
        // It is new: what has begun before it does not concern it.
        return Vec::new();
    }
    let mut trees = server.all(Kind::Tree).map(|(_, tree)| tree);
    let Some(tree) = trees.find(|tree| uid_of(tree) == controller_uid(new)) else {
        return Vec::new();
    };
    let child = child_of(new);
    let begun = number(new, "incarnation") - number(old, "incarnation");
    let passed = number(new, "operation") - number(old, "operation");
    let is_moved = old["status"]["place"] != new["status"]["place"];
    let mut wrong = Vec::new();
    if number(new, "operation") > operations(tree) {
        wrong.push(format!(
            "{child} goes through operation {}, and {} are stored",
            number(new, "operation"),
            operations(tree)
        ));
    }
    let is_stopped = stops_by(tree, child, number(new, "operation"));
    let goes_through_nothing = begun == 0 && passed > 0 && !is_moved && !is_stopped;
    if begun < 0 || passed < 0 || begun > passed || goes_through_nothing {
        wrong.push(format!(
            "{child} begins {begun} incarnations by {passed} operations"
        ));
    }
    wrong
}
