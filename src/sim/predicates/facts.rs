//! What is so, and since when: read off the objects, independently of the operator's own code.
//!
//! Rule: the status of trees and Workers is read only where a promise is about what was stored.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::stops::{goes_anyway, is_or_was};
use crate::sim::cluster::nodes::{OUT_OF_SERVICE, has_taint};
use crate::sim::kind::Kind;
use crate::sim::objects::{
    child_of, children, condition, controller_uid, finished_slots, has_ended, incarnation,
    incarnation_of, is_deleting, is_enabled, is_live, is_over, is_ready, is_stable, owners,
    pods_of, quorum, replicas_of, revision_of, slot_of, spec_of, uid_of, wanted_revision,
    worker_of,
};
use crate::sim::server::{Actor, Change, Server};

/// How long a Pod stays bound to a lost node where the spec does not say it, in seconds.
const NODE_LOSS_SECONDS: i64 = 60;

/// What must be remembered because the objects do not say it.
#[derive(Default)]
pub(super) struct Facts {
    /// Since when an object, by UID, is being deleted, and since when it is gone.
    ending: BTreeMap<String, Timestamp>,
    ended: BTreeMap<String, Timestamp>,
    /// Until when a Pod was Ready, when it no longer is.
    ready_until: BTreeMap<String, Timestamp>,
    /// Children that have started, by tree and name. A Worker that somebody deletes is made anew; the child is the same.
    started: BTreeMap<(String, String), Started>,
    /// When an object was made; when a worker began its incarnation, or something in a tree an operation: by UID.
    born: BTreeMap<String, Timestamp>,
    begun: BTreeMap<String, Timestamp>,
    /// The last Pod of each slot, as it was last seen: by Worker and slot.
    last: BTreeMap<(String, i64), Vec<Arc<Value>>>,
    /// Trees that are as their spec asks.
    matching: BTreeSet<String>,
    /// When a tree was last as its spec asks, when it no longer is.
    matched: BTreeMap<String, Timestamp>,
    /// Pods that somebody else deleted.
    by_others: BTreeSet<String>,
    /// Pods of children that were disabled: enabled again, these start as new.
    disabled: BTreeSet<String>,
    /// Numbers of replicas that Workers had, and until when.
    scaled: BTreeMap<String, Vec<(Timestamp, i64)>>,
    /// When the spec of a tree, and the owners of an object, were changed last: by UID.
    edited: BTreeMap<String, Timestamp>,
    moved: BTreeMap<String, Timestamp>,
    /// Nodes from which Kubernetes evicts because they do not report: since when they are not Ready, and until when.
    lost: BTreeMap<String, (Timestamp, Option<Timestamp>)>,
    /// Since when nodes do not answer.
    silent: BTreeMap<String, Timestamp>,
    /// The enabled workers of a tree, by its UID and generation, with the revisions of their templates.
    wanted: BTreeMap<(String, i64), Vec<(String, String)>>,
}

/// A child that has started.
struct Started {
    /// In which incarnation.
    incarnation: i64,
    /// Since when it is stopped again.
    stopped: Option<Timestamp>,
}

impl Facts {
    pub(super) fn changed(&mut self, server: &Server, change: &Change) {
        let object = change.after.as_ref().or(change.before.as_ref());
        let Some(object) = object else {
            return;
        };
        let uid = uid_of(object).to_owned();
        if change.before.is_none() {
            self.born.insert(uid.clone(), server.now);
        }
        let was_deleting = change.before.as_deref().is_some_and(is_deleting);
        if is_deleting(object) && !was_deleting || change.after.is_none() {
            self.ending.entry(uid.clone()).or_insert(server.now);
            if !matches!(change.actor, Actor::Operator(_)) && !was_deleting {
                self.by_others.insert(uid.clone());
            }
        }
        if change.after.is_none() {
            self.ended.insert(uid.clone(), server.now);
        }
        if let (Some(old), Some(new)) = (&change.before, &change.after) {
            let owners = |object: &Value| object["metadata"]["ownerReferences"].clone();
            if owners(old) != owners(new) {
                self.moved.insert(uid.clone(), server.now);
            }
            let begun = |object: &Value| object["status"]["operations"].clone();
            if change.address.0 == Kind::Tree && begun(old) != begun(new) {
                self.begun.insert(uid.clone(), server.now);
            }
            if change.address.0 == Kind::Tree && old["spec"] != new["spec"] {
                self.edited.insert(uid.clone(), server.now);
                self.note_disabled(server, new);
            }
        }
        if let (Kind::Worker, Some(old), Some(new)) =
            (change.address.0, &change.before, &change.after)
        {
            if replicas_of(old) != replicas_of(new) {
                let known = self.scaled.entry(uid.clone()).or_default();
                known.push((server.now, replicas_of(old)));
            }
            if incarnation(old) != incarnation(new) {
                self.begun.insert(uid.clone(), server.now);
            }
        }
        if change.address.0 == Kind::Pod {
            self.pod(server, change, object, &uid);
        }
        if change.address.0 == Kind::Node {
            self.node(server, &change.address.2, change.after.as_deref());
        }
        if change.address.0 == Kind::Worker && change.after.is_none() {
            let child = (
                controller_uid(object).to_owned(),
                child_of(object).to_owned(),
            );
            if let Some(started) = self.started.get_mut(&child) {
                started.stopped.get_or_insert(server.now);
            }
        }
        if matches!(change.address.0, Kind::Pod | Kind::Tree | Kind::Worker) {
            self.note_match(server);
        }
    }

    fn note_disabled(&mut self, server: &Server, tree: &Value) {
        let disabled = children(tree).iter().filter(|spec| !is_enabled(tree, spec));
        let workers = disabled.filter_map(|spec| worker_of(server, tree, spec["name"].as_str()?));
        for worker in workers {
            let pods = pods_of(server, uid_of(&worker));
            self.disabled.extend(pods.map(|pod| uid_of(pod).to_owned()));
        }
    }

    fn pod(&mut self, server: &Server, change: &Change, pod: &Arc<Value>, uid: &str) {
        let was_ready = change
            .before
            .as_deref()
            .is_some_and(|pod| is_ready(pod) && !is_deleting(pod));
        // One whose labels were taken away is not seen any more.
        let is = change
            .after
            .as_deref()
            .is_some_and(|pod| is_ready(pod) && !is_deleting(pod) && slot_of(pod) >= 0);
        if was_ready && !is {
            self.ready_until.insert(uid.to_owned(), server.now);
        }
        let owner = controller_uid(pod).to_owned();
        let history = self.last.entry((owner.clone(), slot_of(pod))).or_default();
        match history.iter_mut().find(|known| uid_of(known) == uid) {
            Some(known) => *known = Arc::clone(pod),
            None => history.push(Arc::clone(pod)),
        }
        let Some((tree, worker)) = owners(server, pod) else {
            return;
        };
        let incarnation = incarnation_of(pod);
        let ready = pods_of(server, &owner)
            .filter(|pod| is_ready(pod) && !is_deleting(pod) && incarnation_of(pod) == incarnation)
            .count();
        let live = pods_of(server, &owner).filter(|pod| is_live(pod)).count();
        let child = (uid_of(&tree).to_owned(), child_of(pod).to_owned());
        // What runs to completion has started only then, which its Worker remembers.
        let completes = spec_of(&tree, child_of(pod))
            .is_some_and(|spec| spec["worker"]["ready"] == "Completed");
        if ready >= quorum(&tree, &worker) && !completes {
            let started = Started {
                incarnation,
                stopped: None,
            };
            self.started.insert(child, started);
        } else if live == 0
            && matches!(change.actor, Actor::Operator(_))
            && let Some(started) = self.started.get_mut(&child)
        {
            started.stopped.get_or_insert(server.now);
        }
    }

    fn node(&mut self, server: &Server, name: &str, node: Option<&Value>) {
        let silent = node.filter(|node| has_taint(node, "node.kubernetes.io/unreachable"));
        if silent.is_some() {
            self.silent.entry(name.to_owned()).or_insert(server.now);
        } else {
            self.silent.remove(name);
        }
        let ready = silent.and_then(|node| condition(node, "Ready"));
        let since = ready.and_then(|ready| ready["lastTransitionTime"].as_str()?.parse().ok());
        match since {
            Some(since) => drop(self.lost.insert(name.to_owned(), (since, None))),
            None => {
                if let Some((_, until)) = self.lost.get_mut(name) {
                    until.get_or_insert(server.now);
                }
            }
        }
    }

    /// Whether the node of a Pod has been lost for as long as the Pod is to stay bound to it, or was a moment ago.
    pub(super) fn is_lost(
        &self,
        server: &Server,
        tree: &Value,
        pod: &Value,
        slack: SignedDuration,
    ) -> bool {
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        let Some((since, until)) = self.lost.get(node) else {
            return false;
        };
        let worker = spec_of(tree, child_of(pod)).map(|child| &child["worker"]);
        let patience = worker.and_then(|worker| worker["nodeLossSeconds"].as_i64());
        let patience = SignedDuration::from_secs(patience.unwrap_or(NODE_LOSS_SECONDS));
        let ended = until.unwrap_or(server.now);
        ended.duration_since(*since) >= patience && server.now.duration_since(ended) <= slack
    }

    fn note_match(&mut self, server: &Server) {
        for (_, tree) in server.all(Kind::Tree) {
            let uid = uid_of(tree);
            if self.matches(server, tree) {
                self.matching.insert(uid.to_owned());
            } else if self.matching.remove(uid) {
                self.matched.insert(uid.to_owned(), server.now);
            }
        }
    }

    /// Whether all that the spec asks for is up on the wanted template.
    fn matches(&mut self, server: &Server, tree: &Value) -> bool {
        if tree["spec"]["suspend"] == true {
            return true;
        }
        let generation = tree["metadata"]["generation"].as_i64().unwrap_or_default();
        let wanted = self
            .wanted
            .entry((uid_of(tree).to_owned(), generation))
            .or_insert_with(|| {
                let enabled = children(tree)
                    .iter()
                    .filter(|child| child["worker"].is_object() && is_enabled(tree, child));
                let name = |child: &Value| child["name"].as_str().unwrap_or_default().to_owned();
                enabled
                    .map(|child| (name(child), wanted_revision(child)))
                    .collect()
            });
        wanted.iter().all(|(child, revision)| {
            let Some(worker) = worker_of(server, tree, child) else {
                return false;
            };
            let up = pods_of(server, uid_of(&worker))
                .filter(|pod| is_ready(pod) && !is_deleting(pod) && revision_of(pod) == revision)
                .count();
            let finished = finished_slots(tree, &worker).len();
            up + finished >= quorum(tree, &worker)
                || spec_of(tree, child).is_some_and(|spec| is_over(tree, spec))
        })
    }

    /// When that tree was last as its spec asks: now, or when that ended.
    pub(super) fn last_match(&mut self, server: &Server, tree: &Value) -> Option<Timestamp> {
        if self.matches(server, tree) {
            return Some(server.now);
        }
        self.matched.get(uid_of(tree)).copied()
    }

    pub(super) fn ending(&self, uid: &str) -> Option<Timestamp> {
        self.ending.get(uid).copied()
    }

    /// Whether the spec of a tree was edited a moment ago.
    pub(super) fn was_edited_lately(
        &self,
        server: &Server,
        tree: &Value,
        slack: SignedDuration,
    ) -> bool {
        let edited = self.edited.get(uid_of(tree));
        edited.is_some_and(|edited| server.now.duration_since(*edited) <= slack)
    }

    /// Whether an object was given to another owner, or to none, a moment ago.
    pub(super) fn was_moved_lately(
        &self,
        server: &Server,
        object: &Value,
        slack: SignedDuration,
    ) -> bool {
        let moved = self.moved.get(uid_of(object));
        moved.is_some_and(|moved| server.now.duration_since(*moved) <= slack)
    }

    pub(super) fn ended(&self, uid: &str) -> Option<Timestamp> {
        self.ended.get(uid).copied()
    }

    /// Whether a child has started in that incarnation or a later one, and was not stopped before that time.
    pub(super) fn has_started(
        &self,
        tree: &Value,
        child: &str,
        incarnation: i64,
        since: Timestamp,
    ) -> bool {
        let child = (uid_of(tree).to_owned(), child.to_owned());
        self.started.get(&child).is_some_and(|started| {
            started.incarnation >= incarnation
                && started.stopped.is_none_or(|stopped| stopped >= since)
        })
    }

    /// Whether an object was made a moment ago.
    pub(super) fn is_new(&self, server: &Server, object: &Value, slack: SignedDuration) -> bool {
        let born = self.born.get(uid_of(object));
        born.is_some_and(|born| server.now.duration_since(*born) <= slack)
    }

    /// Whether a worker began its incarnation, or something in a tree an operation, a moment ago.
    pub(super) fn was_begun_lately(
        &self,
        server: &Server,
        object: &Value,
        slack: SignedDuration,
    ) -> bool {
        let begun = self.begun.get(uid_of(object));
        begun.is_some_and(|begun| server.now.duration_since(*begun) <= slack)
    }

    /// Whether the number of replicas of a worker was ever changed.
    pub(super) fn was_scaled(&self, worker: &Value) -> bool {
        self.scaled.contains_key(uid_of(worker))
    }

    /// Whether a Pod has been on its way out, on a node that does not answer and that nobody says is off, for more than a
    /// moment.
    pub(super) fn waits_for_fence(
        &self,
        server: &Server,
        pod: &Value,
        slack: SignedDuration,
    ) -> bool {
        let name = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        let node = server.get(Kind::Node, "", name);
        let is_off = node.is_none_or(|node| has_taint(node, OUT_OF_SERVICE));
        let long = |since: Option<&Timestamp>| {
            since.is_some_and(|since| server.now.duration_since(*since) > slack)
        };
        let asked = self.ending.get(uid_of(pod));
        is_deleting(pod) && !has_ended(pod) && !is_off && long(self.silent.get(name)) && long(asked)
    }

    /// Whether a slot is not wanted, whatever the state of its Pod, by the number of replicas that there is or was a moment
    /// ago, before another operator changed it.
    pub(super) fn is_unwanted(
        &self,
        server: &Server,
        worker: &Value,
        pod: &Value,
        slack: SignedDuration,
    ) -> bool {
        self.replicas_lately(server, worker, slack)
            .any(|replicas| self.goes_by_number(server, worker, pod, replicas, slack))
    }

    /// The numbers of replicas that a Worker has, and had until a moment ago.
    fn replicas_lately(
        &self,
        server: &Server,
        worker: &Value,
        slack: SignedDuration,
    ) -> impl Iterator<Item = i64> {
        let now = server.now;
        let known = self.scaled.get(uid_of(worker)).into_iter().flatten();
        let lately = known.filter(move |(until, _)| now.duration_since(*until) <= slack);
        lately
            .map(|(_, replicas)| *replicas)
            .chain([replicas_of(worker)])
    }

    /// Whether there are, besides that of this Pod, as many slots as replicas, or were when there were fewer a moment ago.
    pub(super) fn is_one_too_many(
        &self,
        server: &Server,
        worker: &Value,
        pod: &Value,
        slack: SignedDuration,
    ) -> bool {
        let fewest = self.replicas_lately(server, worker, slack).min();
        let stored = worker["status"]["slots"].as_array().into_iter().flatten();
        let stored = stored.filter_map(|slot| slot["slot"].as_i64());
        let live = pods_of(server, uid_of(worker)).filter(|pod| is_live(pod));
        let slots: BTreeSet<i64> = stored.chain(live.map(|pod| slot_of(pod))).collect();
        let others = slots.iter().filter(|slot| **slot != slot_of(pod));
        i64::try_from(others.count()).is_ok_and(|others| Some(others) >= fewest)
    }

    /// Whether a slot goes when there are so many replicas, whatever the state of its Pod. Of an `Interchangeable` worker
    /// those that are not alive go first, then those that are not Ready, then the highest: so it goes in any case only
    /// when enough lower ones are up.
    fn goes_by_number(
        &self,
        server: &Server,
        worker: &Value,
        pod: &Value,
        replicas: i64,
        slack: SignedDuration,
    ) -> bool {
        if is_stable(server, pod) {
            return slot_of(pod) >= replicas;
        }
        let lower = (0..slot_of(pod)).filter(|slot| {
            let pods = self.last.get(&(uid_of(worker).to_owned(), *slot));
            let mut pods = pods.into_iter().flatten();
            pods.any(|pod| self.was_up(server, pod, slack))
        });
        lower.count() >= usize::try_from(replicas).unwrap_or(0)
    }

    /// Whether a Pod is Ready and not being deleted, or was a moment ago.
    fn was_up(&self, server: &Server, pod: &Value, slack: SignedDuration) -> bool {
        let until = self.ready_until.get(uid_of(pod)).copied();
        match until {
            None => is_ready(pod) && !is_deleting(pod),
            Some(until) => {
                let stored = pods_of(server, controller_uid(pod))
                    .find(|stored| uid_of(stored) == uid_of(pod));
                stored.is_some_and(|pod| is_ready(pod) && !is_deleting(pod))
                    || server.now.duration_since(until) <= slack
            }
        }
    }

    /// The Pod that this new one follows in its slot, unless somebody else deleted it.
    pub(super) fn predecessor(&self, pod: &Value) -> Option<Arc<Value>> {
        // A slot that was dropped is forgotten; what fills it later is no replacement.
        let dropped = self.scaled.get(controller_uid(pod)).into_iter().flatten();
        if dropped
            .into_iter()
            .any(|(_, replicas)| *replicas <= slot_of(pod))
        {
            return None;
        }
        let history = self
            .last
            .get(&(controller_uid(pod).to_owned(), slot_of(pod)))?;
        let dead = history
            .iter()
            .rev()
            .find(|known| uid_of(known) != uid_of(pod))?;
        if incarnation_of(dead) < incarnation_of(pod) {
            // Its end was ordered, whatever it died of.
            return None;
        }
        let uid = uid_of(dead);
        let is_excused = self.by_others.contains(uid) || self.disabled.contains(uid);
        (!is_excused).then(|| Arc::clone(dead))
    }

    /// Whether a Pod that is up is taken down for its template while a sibling is not up.
    pub(super) fn takes_down_too_many(
        &self,
        server: &Server,
        tree: &Arc<Value>,
        worker: &Arc<Value>,
        pod: &Value,
        slack: SignedDuration,
    ) -> Option<String> {
        let child = spec_of(tree, child_of(pod))?;
        let outdated = revision_of(pod) != wanted_revision(child);
        let goes = |tree: &Value, worker: &Value| goes_anyway(tree, worker, pod);
        if !is_ready(pod) || !outdated || is_or_was(server, tree, worker, slack, goes) {
            return None;
        }
        // A Pod that is gone by now may have been up a moment ago, too.
        let is_up = |slot: i64| {
            let pods = self.last.get(&(uid_of(worker).to_owned(), slot));
            let mut pods = pods.into_iter().flatten();
            pods.any(|pod| self.was_up(server, pod, slack))
        };
        let replicas = replicas_of(worker);
        let finished = finished_slots(tree, worker);
        (0..replicas)
            .filter(|slot| *slot != slot_of(pod) && !finished.contains(slot))
            .find(|slot| !is_up(*slot))
            .map(|slot| {
                format!(
                    "{}/{} is taken down for its template while {slot} is not up",
                    child_of(pod),
                    slot_of(pod)
                )
            })
    }
}
