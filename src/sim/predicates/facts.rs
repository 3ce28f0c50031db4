//! What is so, and since when: read off the objects, independently of the operator's own code. Here it is noted, and
//! asked when something was; `matching`, `nodes` and `slots` answer the rest.
//!
//! Rule: the status of trees and Workers is read only where a promise is about what was stored.

mod matching;
mod nodes;
mod slots;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::sim::kind::Kind;
use crate::sim::objects::{
    child_of, children, controller_uid, incarnation, incarnation_of, is_deleting, is_enabled,
    is_live, is_ready, owners, pods_of, quorum, replicas_of, slot_of, spec_of, uid_of, worker_of,
};
use crate::sim::server::{Actor, Change, Server};

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
        is_lately(server, self.edited.get(uid_of(tree)), slack)
    }

    /// Whether an object was given to another owner, or to none, a moment ago.
    pub(super) fn was_moved_lately(
        &self,
        server: &Server,
        object: &Value,
        slack: SignedDuration,
    ) -> bool {
        is_lately(server, self.moved.get(uid_of(object)), slack)
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
        is_lately(server, self.born.get(uid_of(object)), slack)
    }

    /// Whether a worker began its incarnation, or something in a tree an operation, a moment ago.
    pub(super) fn was_begun_lately(
        &self,
        server: &Server,
        object: &Value,
        slack: SignedDuration,
    ) -> bool {
        is_lately(server, self.begun.get(uid_of(object)), slack)
    }
}

/// Whether a time that is known was a moment ago.
fn is_lately(server: &Server, time: Option<&Timestamp>, slack: SignedDuration) -> bool {
    time.is_some_and(|time| server.now.duration_since(*time) <= slack)
}
