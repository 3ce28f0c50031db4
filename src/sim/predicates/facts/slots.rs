//! Slots: which Pods they had, which of them are wanted, and which may go now.
//!
//! Rule: a number of replicas, and a Pod that was up, count for as long as an operator may not know better.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::Value;

use super::Facts;
use crate::sim::objects::{
    child_of, controller_uid, finished_slots, incarnation_of, is_changing, is_deleting, is_live,
    is_ready, is_stable, pods_of, replicas_of, revision_of, slot_of, slots_of, spec_of, uid_of,
};
use crate::sim::predicates::bounds::unavailable;
use crate::sim::predicates::stops::{goes_anyway, is_or_was};
use crate::sim::server::Server;

impl Facts {
    /// Whether the number of replicas of a worker was ever changed.
    pub(in crate::sim::predicates) fn was_scaled(&self, worker: &Value) -> bool {
        self.scaled.contains_key(uid_of(worker))
    }

    /// Whether a slot is not wanted, whatever the state of its Pod, by the number of replicas that there is or was a moment
    /// ago, before another operator changed it.
    pub(in crate::sim::predicates) fn is_unwanted(
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
    pub(in crate::sim::predicates) fn is_one_too_many(
        &self,
        server: &Server,
        worker: &Value,
        pod: &Value,
        slack: SignedDuration,
    ) -> bool {
        let fewest = self.replicas_lately(server, worker, slack).min();
        let stored = slots_of(worker).filter_map(|slot| slot["slot"].as_i64());
        let live = pods_of(server, uid_of(worker)).filter(|pod| is_live(pod));
        let slots: BTreeSet<i64> = stored.chain(live.map(|pod| slot_of(pod))).collect();
        let others = slots.iter().filter(|slot| **slot != slot_of(pod));
        i64::try_from(others.count()).is_ok_and(|others| Some(others) >= fewest)
    }

    /// Whether a slot goes when there are so many replicas, whatever the state of its Pod. Of an `Interchangeable` worker
    /// those that are not alive go first, then those that are not Ready or not current, then the newest, then the highest: so
    /// it goes in any case only when enough older ones are up.
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
        let age = |pod: &Value| {
            let created = pod["metadata"]["creationTimestamp"].as_str();
            (created.unwrap_or_default().to_owned(), slot_of(pod))
        };
        let is_older = |other: &Value| age(other) < age(pod);
        let older = self.slots_up(server, worker, slack, is_older).count();
        older >= usize::try_from(replicas).unwrap_or(0)
    }

    /// The slots of a worker with a Pod that is such a one, and up, or was a moment ago; it may be gone by now.
    fn slots_up(
        &self,
        server: &Server,
        worker: &Value,
        slack: SignedDuration,
        is_such: impl Fn(&Value) -> bool,
    ) -> impl Iterator<Item = i64> {
        let slots = self.last.iter();
        let of_worker = slots.filter(|((uid, _), _)| uid == uid_of(worker));
        of_worker
            .filter(move |(_, pods)| {
                let mut pods = pods.iter();
                pods.any(|pod| is_such(pod) && !is_changing(pod) && self.was_up(server, pod, slack))
            })
            .map(|((_, slot), _)| *slot)
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
    pub(in crate::sim::predicates) fn predecessor(&self, pod: &Value) -> Option<Arc<Value>> {
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

    /// Whether a Pod that is up is taken down for its template while too few others are up.
    pub(in crate::sim::predicates) fn takes_down_too_many(
        &self,
        server: &Server,
        tree: &Arc<Value>,
        worker: &Arc<Value>,
        pod: &Value,
        slack: SignedDuration,
    ) -> Option<String> {
        spec_of(tree, child_of(pod))?;
        let outdated = worker["status"]["revision"] != revision_of(pod);
        let goes = |tree: &Value, worker: &Value| goes_anyway(tree, worker, pod);
        if !is_ready(pod) || !outdated || is_or_was(server, tree, worker, slack, goes) {
            return None;
        }
        let mut others: BTreeSet<i64> = finished_slots(tree, worker).into_iter().collect();
        others.extend(self.slots_up(server, worker, slack, |_| true));
        others.remove(&slot_of(pod));
        let up = i64::try_from(others.len()).unwrap_or(i64::MAX);
        let are_enough =
            |tree: &Value, worker: &Value| up >= replicas_of(worker) - unavailable(tree, worker);
        (!is_or_was(server, tree, worker, slack, are_enough)).then(|| {
            format!(
                "{}/{} is taken down for its template while only {others:?} are up",
                child_of(pod),
                slot_of(pod)
            )
        })
    }
}
