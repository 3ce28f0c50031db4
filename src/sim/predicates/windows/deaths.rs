//! Deaths that may be charged: ends that nobody ordered, and Pods that missed their deadline.
//!
//! Rule: an end that the type of its worker allows is a death only after an edit, when nobody has judged it yet.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::Windows;
use crate::sim::kind::Kind;
use crate::sim::objects::{
    child_of, is_changing, is_deleting, is_ready, lineage, owners, spec_of, uid_of,
};
use crate::sim::predicates::stops::{exits, is_former, is_stored};
use crate::sim::server::{Actor, Change, Server};

/// The exit code of a program that was told to stop.
const STOPPED: i64 = 143;

impl Windows {
    /// Every end of a program that nobody ordered, of a Pod by its kubelet, and every Pod that a missed deadline ended.
    pub(super) fn pod(
        &mut self,
        server: &Server,
        change: &Change,
        old: &Value,
        new: Option<&Value>,
    ) {
        if let Some(new) = new.filter(|new| is_ready(new)) {
            let uid = uid_of(new).to_owned();
            self.started.entry(uid).or_insert(server.now);
        }
        let state = |pod: &Value| pod["status"]["containerStatuses"][0]["state"].clone();
        let ended = new.is_some_and(|new| {
            let end = &state(new)["terminated"];
            let ordered = (is_deleting(old) || is_changing(old)) && end["exitCode"] == STOPPED;
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
    pub(super) fn judge_again(&mut self, server: &Server, tree: &Value) {
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

    /// How many replicas count as failed although they run: they are charged before they are stopped.
    pub(super) fn overdue(&self, server: &Server, tree: &Value, child: &str) -> usize {
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
