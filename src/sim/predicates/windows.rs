//! S4: windows never hold more than they may, and never more than there were deaths.
//!
//! Rule: a death is what the kubelet, or whoever ended a Pod, did; a charge is what is stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::stops::{exits, is_former, is_stored};
use crate::model::tree::ROOT_NAME;
use crate::sim::kind::{Kind, Part};
use crate::sim::objects::{
    child_of, children, controller_uid, is_deleting, is_ready, lineage, owners, record_of, spec_of,
    uid_of,
};
use crate::sim::server::{Actor, Change, Server};

/// The exit code of a program that was told to stop.
const STOPPED: i64 = 143;

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

    /// Every end of a program that nobody ordered, of a Pod by its kubelet, and every Pod that a missed deadline ended.
    fn pod(&mut self, server: &Server, change: &Change, old: &Value, new: Option<&Value>) {
        if let Some(new) = new.filter(|new| is_ready(new)) {
            let uid = uid_of(new).to_owned();
            self.started.entry(uid).or_insert(server.now);
        }
        let state = |pod: &Value| pod["status"]["containerStatuses"][0]["state"].clone();
        let ended = new.is_some_and(|new| {
            let end = &state(new)["terminated"];
            let ordered = is_deleting(old) && end["exitCode"] == STOPPED;
            let program = state(old)["terminated"].is_null() && !end.is_null() && !ordered;
            let rejected = old["status"]["reason"].is_null() && !new["status"]["reason"].is_null();
            program || rejected
        });
        // What misses its deadline is charged, and then stopped by the operator.
        let stopped = matches!(change.actor, Actor::Operator(_))
            && new.is_none_or(is_deleting)
            && !is_deleting(old)
            && self.is_overdue(server, old);
        if !(ended || stopped) {
            return;
        }
        let Some((tree, worker)) = owners(server, old) else {
            return;
        };
        let spec = spec_of(&tree, child_of(old));
        let above = spec.map_or_else(Vec::new, |spec| lineage(&tree, spec));
        // An operator may not know yet that the tree is to go, and charges what dies until it does.
        let is_ordered = is_former(&tree, &worker, old)
            || above.iter().any(|supervisor| exits(&tree, supervisor));
        // What misses its deadline was charged before its stop was ordered.
        if is_ordered && !stopped {
            return;
        }
        let key = (uid_of(&tree).to_owned(), child_of(old).to_owned());
        let clean = new.is_some_and(|new| state(new)["terminated"]["exitCode"] == 0);
        let is_allowed = match spec.and_then(|spec| spec["worker"]["restart"].as_str()) {
            Some("Temporary") => true,
            Some("Transient") => clean,
            _ => false,
        };
        if let Some(new) = new.filter(|_| is_allowed) {
            let known = self.allowed.entry(key).or_default();
            known.push(Arc::new(new.clone()));
        } else {
            *self.deaths.entry(key).or_default() += 1;
        }
    }

    /// After an edit, ends that nobody has judged yet may be judged by another type.
    fn judge_again(&mut self, server: &Server, tree: &Value) {
        for (key, pods) in &mut self.allowed {
            if key.0 != uid_of(tree) {
                continue;
            }
            let is_judged = |pod: &Arc<Value>| {
                owners(server, pod).is_some_and(|(tree, worker)| is_stored(&tree, &worker, pod))
            };
            let all = pods.len();
            pods.retain(is_judged);
            *self.deaths.entry(key.clone()).or_default() += all - pods.len();
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
                    let known = self::times(before);
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
        for slot in worker["status"]["slots"].as_array().into_iter().flatten() {
            let list = |slot: &Value| -> Vec<String> {
                slot["charges"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect()
            };
            let known = old["status"]["slots"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|known| known["slot"] == slot["slot"]);
            let (now, had) = (list(slot), known.map(list).unwrap_or_default());
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

    /// How many replicas count as failed although they run: they are charged before they are stopped.
    fn overdue(&self, server: &Server, tree: &Value, child: &str) -> usize {
        let pods = server.all(Kind::Pod).map(|(_, pod)| pod);
        let own = pods.filter(|pod| child_of(pod) == child && !is_deleting(pod));
        own.filter(|pod| {
            owners(server, pod).is_some_and(|(owner, _)| uid_of(&owner) == uid_of(tree))
        })
        .filter(|pod| self.is_overdue(server, pod))
        .count()
    }

    /// Whether the program of a Pod has run for `startDeadlineSeconds` and the Pod has not started, as far as an operator
    /// can know.
    fn is_overdue(&self, server: &Server, pod: &Value) -> bool {
        let Some((tree, _)) = owners(server, pod) else {
            return false;
        };
        let deadline = spec_of(&tree, child_of(pod))
            .and_then(|spec| spec["worker"]["startDeadlineSeconds"].as_i64());
        let deadline = SignedDuration::from_secs(deadline.unwrap_or(600));
        let running = &pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"];
        let began = running
            .as_str()
            .and_then(|time| time.parse::<Timestamp>().ok());
        let started = self.started.get(uid_of(pod));
        began.is_some_and(|began| server.now.duration_since(began) >= deadline)
            && started.is_none_or(|at| server.now.duration_since(*at) <= self.slack)
    }
}

/// Whether charges may only have grown old between two statuses: no edit, no new incarnation, no give-up.
fn same_story(old: &Value, new: &Value, before: &Value, now: &Value) -> bool {
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
fn settings(tree: &Value, supervisor: &str) -> Value {
    spec_of(tree, supervisor)
        .map_or_else(|| tree["spec"].clone(), |spec| spec["supervisor"].clone())
}

/// Where children are restarted together, a charge and a restart of the group, or its end, belong together: what is wrong with
/// the charges that were entered between two statuses.
fn not_one(
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
fn lost(
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
fn gives_up(tree: &Value, supervisor: &str) -> bool {
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

/// The charges of a supervisor's window, by child.
fn times(record: &Value) -> Vec<(String, Vec<String>)> {
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
fn added(old: &[String], new: &[String]) -> usize {
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
