//! Ends that a type allows: who has finished, and that it stays so.
//!
//! Rule: a replica has finished when its program ended as its type allows, not when somebody says so.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::facts::Facts;
use crate::sim::kind::{Kind, Part};
use crate::sim::objects::{
    child_of, controller_uid, finished_slots, incarnation, is_enabled, slot_entry, slot_of,
    slots_of, spec_of, uid_of, wanted_revision,
};
use crate::sim::server::{Change, Server};

/// How programs ended, by UID of their Pods: whether cleanly.
#[derive(Default)]
pub(super) struct Finished {
    ends: BTreeMap<String, bool>,
}

impl Finished {
    /// Takes in a change and says what is wrong with it.
    pub(super) fn changed(
        &mut self,
        server: &Server,
        facts: &Facts,
        change: &Change,
        slack: SignedDuration,
    ) -> Vec<String> {
        match (change.address.0, &change.before, &change.after) {
            (Kind::Pod, _, Some(pod)) => {
                let code =
                    &pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"];
                if let Some(code) = code.as_i64() {
                    self.ends.insert(uid_of(pod).to_owned(), code == 0);
                }
                Vec::new()
            }
            (Kind::Worker, Some(old), Some(new)) if change.part == Part::Status => {
                self.told(server, facts, old, new, slack)
            }
            _ => Vec::new(),
        }
    }

    fn told(
        &self,
        server: &Server,
        facts: &Facts,
        old: &Value,
        new: &Value,
        slack: SignedDuration,
    ) -> Vec<String> {
        let mut trees = server.all(Kind::Tree).map(|(_, tree)| tree);
        let Some(tree) = trees.find(|tree| uid_of(tree) == controller_uid(new)) else {
            return Vec::new();
        };
        let child = child_of(new);
        let Some(spec) = spec_of(tree, child) else {
            return Vec::new();
        };
        if facts.was_edited_lately(server, tree, slack) {
            // Who does not know of the edit goes by what was there before.
            return Vec::new();
        }
        let begins = incarnation(new) > incarnation(old);
        let type_ = spec["worker"]["restart"].as_str().unwrap_or("Permanent");
        let mut wrong = Vec::new();
        for slot in slots_of(new).filter(|slot| !slot["finished"].is_null()) {
            let number = slot["slot"].as_i64().unwrap_or_default();
            let known =
                slot_entry(old, number).is_some_and(|old| old["finished"] == slot["finished"]);
            let end = self.ends.get(slot["podUID"].as_str().unwrap_or_default());
            let is_allowed = match type_ {
                "Transient" => end == Some(&true),
                // Where others took the Pod away there is no end to look at.
                "Temporary" => begins || slot["finished"]["stopped"] != true,
                _ => false,
            };
            if !known && !is_allowed {
                wrong.push(format!(
                    "{child}/{number}, which is {type_}, is said to have finished; its program ended cleanly: {end:?}"
                ));
            }
        }
        let asked: Option<Timestamp> = spec["restartAt"].as_str().and_then(|at| at.parse().ok());
        for slot in slots_of(old).filter(|slot| !slot["finished"].is_null()) {
            let number = slot["slot"].as_i64().unwrap_or_default();
            let stays = slot_entry(new, number).is_some_and(|new| !new["finished"].is_null());
            let time = slot["finished"]["time"].as_str();
            let time: Option<Timestamp> = time.and_then(|time| time.parse().ok());
            let is_asked = asked.is_some_and(|asked| asked <= server.now && time < Some(asked));
            let is_edited = slot["finished"]["revision"] != wanted_revision(spec).as_str();
            // A Temporary one that has ended by itself never runs again.
            let is_over = type_ == "Temporary" && slot["finished"]["stopped"] != true;
            let may_run = !is_over && (begins || is_asked || is_edited) || !is_enabled(tree, spec);
            if !stays && !may_run && !facts.was_scaled(new) && type_ != "Permanent" {
                wrong.push(format!("{child}/{number} had finished, and is forgotten"));
            }
        }
        wrong
    }
}

/// What is wrong with the creation of that Pod: its replica has finished.
pub(super) fn started_again(tree: &Value, worker: &Value, pod: &Value) -> Option<String> {
    let finished = finished_slots(tree, worker).contains(&slot_of(pod));
    finished.then(|| {
        format!(
            "{}/{} is started, and has finished",
            child_of(pod),
            slot_of(pod)
        )
    })
}
