//! S4: windows never hold more than they may, and never more than there were deaths.
//!
//! Rule: a death is what the kubelet, or whoever ended a Pod, did; a charge is what is stored.

mod deaths;
mod records;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::model::tree::ROOT_NAME;
use crate::sim::kind::{Kind, Part};
use crate::sim::objects::{
    child_of, children, controller_uid, record_of, slot_entry, slots_of, spec_of, uid_of,
};
use crate::sim::server::{Change, Server};
use records::{added, gives_up, lost, not_one, same_story, settings, times};

/// Counts of what happened.
#[derive(Default)]
pub(super) struct Windows {
    /// Ends of replicas that may be charged, by tree and child.
    deaths: BTreeMap<(String, String), usize>,
    /// Charges entered, by tree and child.
    charges: BTreeMap<(String, String), usize>,
    /// The largest limits that a supervisor ever had: an edit does not undo charges.
    limits: BTreeMap<(String, String), usize>,
    /// Ends that cost nothing as long as the spec stays as it is, by tree and child: the Pods.
    allowed: BTreeMap<(String, String), Vec<Arc<Value>>>,
    /// Since when Pods have started, by UID.
    started: BTreeMap<String, Timestamp>,
    /// How long an operator may not know of something.
    slack: SignedDuration,
}

impl Windows {
    /// Takes in a change and says what is wrong with it.
    pub(super) fn changed(
        &mut self,
        server: &Server,
        change: &Change,
        slack: SignedDuration,
    ) -> Vec<String> {
        self.slack = slack;
        match (change.address.0, &change.before, &change.after) {
            (Kind::Tree, before, Some(tree)) => {
                self.note_limits(tree);
                let old = before.as_deref().unwrap_or(&Value::Null);
                if old["spec"] != tree["spec"] {
                    self.judge_again(server, tree);
                }
                if change.part == Part::Status {
                    return self.told(server, old, tree);
                }
            }
            (Kind::Worker, Some(old), Some(worker)) if change.part == Part::Status => {
                return self.told_by_worker(server, old, worker);
            }
            (Kind::Pod, Some(old), new) => self.pod(server, change, old, new.as_deref()),
            _ => {}
        }
        Vec::new()
    }

    fn note_limits(&mut self, tree: &Value) {
        let supervisors = children(tree)
            .iter()
            .filter(|child| child["supervisor"].is_object());
        let named = supervisors.map(|child| {
            (
                child["name"].as_str().unwrap_or_default(),
                &child["supervisor"],
            )
        });
        for (name, settings) in named.chain([(ROOT_NAME, &tree["spec"])]) {
            let limit = settings["intensity"]["maxRestarts"].as_u64().unwrap_or(3);
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let known = self
                .limits
                .entry((uid_of(tree).to_owned(), name.to_owned()))
                .or_default();
            *known = limit.max(*known);
        }
    }

    fn told(&mut self, server: &Server, old: &Value, tree: &Value) -> Vec<String> {
        let mut wrong = Vec::new();
        for record in tree["status"]["supervisors"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let name = record["name"].as_str().unwrap_or_default();
            let key = (uid_of(tree).to_owned(), name.to_owned());
            let Some(limit) = self.limits.get(&key).copied() else {
                continue;
            };
            let before = record_of(old, name);
            let gave_up = gives_up(tree, name);
            let count: usize = times(record).iter().map(|(_, times)| times.len()).sum();
            let had: usize = before.map_or(0, |before| {
                times(before).iter().map(|(_, times)| times.len()).sum()
            });
            if count > limit && count > had && !gave_up {
                wrong.push(format!(
                    "{count} charges in the window of {name}, which allows {limit}"
                ));
            }
            if let Some(before) =
                before.filter(|before| !gave_up && same_story(old, tree, before, record))
            {
                wrong.extend(lost(server, name, &settings(tree, name), before, record));
            }
            wrong.extend(before.and_then(|before| not_one(server, tree, name, before, record)));
            for (child, times) in times(record) {
                let had = before.map(|before| {
                    let known = records::times(before);
                    known
                        .into_iter()
                        .find(|(name, _)| *name == child)
                        .map_or_else(Vec::new, |(_, times)| times)
                });
                let new = added(&had.unwrap_or_default(), &times);
                if spec_of(tree, &child).is_some_and(|spec| spec["worker"].is_object()) {
                    wrong.extend(self.charge(server, tree, &child, new));
                }
            }
        }
        wrong
    }

    fn told_by_worker(&mut self, server: &Server, old: &Value, worker: &Value) -> Vec<String> {
        let mut wrong = Vec::new();
        let tree = server
            .all(Kind::Tree)
            .find(|(_, tree)| uid_of(tree) == controller_uid(worker));
        let Some((_, tree)) = tree else {
            return wrong;
        };
        let tree = (**tree).clone();
        let child = child_of(worker);
        let parent = spec_of(&tree, child)
            .and_then(|spec| spec["parent"].as_str())
            .unwrap_or(ROOT_NAME);
        let limit = self
            .limits
            .get(&(uid_of(&tree).to_owned(), parent.to_owned()))
            .copied();
        for slot in slots_of(worker) {
            let list = |slot: &Value| -> Vec<String> {
                slot["charges"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect()
            };
            let known = slot_entry(old, slot["slot"].as_i64().unwrap_or_default());
            let (now, had) = (
                list(&slot),
                known.map(|known| list(&known)).unwrap_or_default(),
            );
            let full = limit.is_some_and(|limit| now.len() > limit && now.len() > had.len());
            if full && slot["parked"].is_null() {
                wrong.push(format!(
                    "{} charges in the window of slot {child}/{}",
                    now.len(),
                    slot["slot"]
                ));
            }
            wrong.extend(self.charge(server, &tree, child, added(&had, &now)));
        }
        wrong
    }

    fn charge(
        &mut self,
        server: &Server,
        tree: &Value,
        child: &str,
        count: usize,
    ) -> Option<String> {
        if count == 0 {
            return None;
        }
        let key = (uid_of(tree).to_owned(), child.to_owned());
        let deaths = self.deaths.get(&key).copied().unwrap_or(0);
        let deaths = deaths + self.overdue(server, tree, child);
        let charges = self.charges.entry(key).or_default();
        *charges += count;
        (*charges > deaths)
            .then(|| format!("{child} was charged {charges} times for {deaths} deaths"))
    }
}
