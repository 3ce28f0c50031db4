//! The promises, each as a predicate over what happened: S1 to S6 and S8 to S11 at every step, L1 to L4 at the end.
//!
//! Rule: they are judged by what the API server holds and what was asked of it, never by what the operator thinks. Where
//! an operator cannot know better, because news are late, it has as long as the news.
//!
//! | predicate | at every step |
//! |---|---|
//! | S1 slot uniqueness | a slot has at most one Pod that is live (not ended, no deletionTimestamp); a `Stable` one at most one that is not proven dead |
//! | S2 no blind kill | a delete carries the UID of what it hits, which a tree owns by UID; of a Pod its resourceVersion too, unless what is stored says that it goes whatever its state, and then it is one too many, in a crash loop, or on a node that has been lost for long enough; no Worker goes that the spec names |
//! | S3 availability | a replica that is up is taken down for its template only while of its siblings no more than `maxUnavailable` allows are down |
//! | surge | a Pod is made only while its worker has no more live ones than replicas and `maxSurge` |
//! | S4 intensity | the charges in a window are never more than `maxRestarts`, unless that supervisor has given up; and never more than there were deaths, of which those that an operation ordered or absorbed, and those that a type allows, are none; a group restart is charged once; what was given up is not tried again before its time |
//! | S5 order | in an ordered start or restart no Pod is created before all earlier siblings have started in their present incarnation; none of a group is created while one of its former incarnation runs; what is stopped together and in order waits for all later siblings, and all of it for a `Stable` one that cannot be proven dead |
//! | S6 confinement | what is written is a tree's status or finalizer, its Workers, their Pods and claims, Events about it, and the own Lease; all in the tree's namespace |
//! | S8 monotone status | `observedGeneration` never falls; Ready without Reconciling is said only of what was so |
//! | S9 no resurrection | no Pod is created for a tree that is being deleted; the first status of a tree remembers nothing of one of the same name |
//! | S10 intent before effect | a Pod that died by itself is replaced, or deleted for its crash loop, only after its death is stored; one that is Ready is stopped only after what stops it is stored: the operation in its tree and the incarnation in its Worker; none is started before its incarnation is stored |
//! | once | an operation has a number of its own, restarts what the strategy names because something there ended, and begins one incarnation of what goes through it |
//! | finished | a replica has finished only when its program ended as its type allows; it runs again only with its group or supervisor, for another template, or when it is asked for |
//! | claims | no Pod is made on a claim that does not exist, or is being deleted; a claim gets owners and is changed in nothing else; one goes only with the Pod of a slot that is dropped, or with its Worker, where the policy says so, and goes then; in the end they are owned as the policy says |
//! | counted | a tree shows no more deaths than it has counted |
//! | in place | a Pod gets other images only after that is stored, and only images and the label of their revision; S3 holds of it as of a delete; the end that follows is ordered |
//! | canary | while a worker is updated in steps, its new template is given only to slots that are stored as updated |
//! | S11 quiescence | at the end nothing is written any more, Leases excepted |
//!
//! L1: it is as the spec asks: what is to run runs, what has finished stays so, and nothing is left half done. L2: what fails for ever ends in the give-up that `onGiveUp` names. L3: what is deleted is
//! gone. L4: whatever the history, the same good spec leads to the same state. These are what a run compares at its end.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::kind::{Call, Kind, Part, Verb};
use super::objects::{
    child_of, condition, controller_uid, died_by_itself, has_ended, incarnation, incarnation_of,
    is_crash_looping, is_live, is_ready, is_stable, owners, pods_of, replicas_of, revision_of,
    slot_entry, slot_of, uid_of,
};
use super::plan::Plan;
use super::server::{Actor, Answer, Server};

mod bounds;
mod canaries;
mod confinement;
mod facts;
mod finished;
mod give_ups;
mod once;
mod order;
mod stops;
#[cfg(test)]
mod tests;
mod windows;

use facts::Facts;
pub(super) use give_ups::wrong_give_ups;

/// A promise that was broken.
#[derive(Clone, Debug)]
pub(super) struct Violation {
    /// Number of the change with which it showed.
    pub(super) change: usize,
    pub(super) predicate: &'static str,
    pub(super) what: String,
}

/// Judges everything that happens.
pub(super) struct Monitor {
    /// How long an operator may not know of something.
    slack: SignedDuration,
    pub(super) violations: Vec<Violation>,
    facts: Facts,
    windows: windows::Windows,
    once: once::Once,
    finished: finished::Finished,
}

/// How long news, a decision and a request may take when nothing is wrong.
const QUICK: Duration = Duration::from_millis(400);

impl Monitor {
    pub(super) fn new(plan: &Plan) -> Self {
        let slack = QUICK + plan.staleness();
        Self {
            slack: SignedDuration::try_from(slack).unwrap_or_default(),
            violations: Vec::new(),
            facts: Facts::default(),
            windows: windows::Windows::default(),
            once: once::Once::default(),
            finished: finished::Finished::default(),
        }
    }

    fn broken(&mut self, server: &Server, predicate: &'static str, what: String) {
        let change = server.changes.len().saturating_sub(1);
        self.violations.push(Violation {
            change,
            predicate,
            what,
        });
    }

    /// Judges a request that was answered. `before` is the number of the first change that it made.
    pub(super) fn asked(
        &mut self,
        actor: &Actor,
        call: &Call,
        answer: &Answer,
        server: &Server,
        before: usize,
    ) {
        if !matches!(actor, Actor::Operator(_)) {
            return;
        }
        let deleted = server.changes.get(before);
        let deleted = deleted
            .filter(|_| call.verb == Verb::Delete && answer.is_ok())
            .and_then(|change| change.before.clone());
        let stored = server.get(call.kind, &call.namespace, &call.name);
        let stored = deleted.as_ref().or(stored);
        let what = confinement::confined(call, stored.map(|object| &**object), server, &self.facts);
        if let Some(what) = what {
            self.broken(server, "S6 confinement", what);
        }
        if let (Kind::Pod, Verb::Create, Ok(pod)) = (call.kind, call.verb, answer)
            && let Some(what) = confinement::made_on_what_is_lost(pod, server)
        {
            self.broken(server, "claims", what);
        }
        if call.verb != Verb::Delete {
            return;
        }
        if call.body["preconditions"]["uid"]
            .as_str()
            .is_none_or(str::is_empty)
        {
            let what = format!(
                "{} {} is deleted without its UID",
                call.kind.name(),
                call.name
            );
            self.broken(server, "S2 no blind kill", what);
        }
        let Some(object) = deleted else {
            return;
        };
        let (facts, slack) = (&self.facts, self.slack);
        if let Some(what) = confinement::deleted_wrongly(call.kind, &object, server, facts, slack) {
            self.broken(server, "S2 no blind kill", what);
        }
        if call.kind == Kind::Pod {
            self.stopped(call, &object, server);
        }
    }

    /// Judges the delete of a Pod by an operator.
    fn stopped(&mut self, call: &Call, pod: &Value, server: &Server) {
        let name = &call.name;
        let Some((tree, worker)) = owners(server, pod) else {
            // Its owner may have gone a moment ago.
            return;
        };
        let versioned = call.body["preconditions"]["resourceVersion"].is_string();
        let unwanted = self.facts.is_unwanted(server, &worker, pod, self.slack);
        let goes = stops::is_or_was(server, &tree, &worker, self.slack, |tree, worker| {
            stops::goes_whatever_its_state(server, tree, worker, pod)
        });
        if !versioned && !unwanted && !goes {
            let (predicate, what) = if is_ready(pod) {
                ("S10 intent before effect", "before what stops it is stored")
            } else {
                (
                    "S2 no blind kill",
                    "for its state, without its resourceVersion",
                )
            };
            self.broken(server, predicate, format!("Pod {name} is deleted {what}"));
        }
        let has_reason = is_crash_looping(pod)
            || self.facts.is_one_too_many(server, &worker, pod, self.slack)
            || unwanted
            || goes
            || self.facts.is_lost(server, &tree, pod, self.slack);
        if !has_reason {
            let what = format!("Pod {name} is deleted for no reason that can be seen");
            self.broken(server, "S2 no blind kill", what);
        }
        if let Some(what) = self
            .facts
            .takes_down_too_many(server, &tree, &worker, pod, self.slack)
        {
            self.broken(server, "S3 availability", what);
        }
        let individually = versioned || unwanted;
        if let Some(what) =
            order::stopped_too_early(server, &self.facts, &tree, &worker, pod, self.slack)
                .filter(|_| !individually)
        {
            self.broken(server, "S5 order", what);
        }
        // Of too many Pods those that are not alive go first, whatever they died of. This one is not live any more.
        let replicas = replicas_of(&worker);
        let live = pods_of(server, uid_of(&worker)).filter(|pod| is_live(pod));
        let was_one_too_many = i64::try_from(live.count()).is_ok_and(|live| live >= replicas);
        let looping = versioned && is_crash_looping(pod) && !was_one_too_many;
        if looping && !stops::is_stored(&tree, &worker, pod) {
            let what =
                format!("Pod {name} is deleted for its crash loop before its death is stored");
            self.broken(server, "S10 intent before effect", what);
        }
    }

    /// Judges a change.
    pub(super) fn changed(&mut self, server: &Server, index: usize) {
        let change = server.changes[index].clone();
        let by_operator = matches!(change.actor, Actor::Operator(_));
        match (change.address.0, &change.before, &change.after) {
            (Kind::Pod, None, Some(pod)) => {
                self.unique(server, pod);
                if by_operator {
                    self.created(server, pod);
                }
            }
            (Kind::Pod, Some(old), Some(new))
                if by_operator && revision_of(old) != revision_of(new) =>
            {
                self.updated(server, old, new);
            }
            (Kind::Tree, Some(old), Some(new)) if change.part == Part::Status => {
                self.told(server, old, new);
            }
            _ => {}
        }
        for what in self.windows.changed(server, &change, self.slack) {
            self.broken(server, "S4 intensity", what);
        }
        for what in self.once.changed(server, &change) {
            self.broken(server, "once", what);
        }
        for what in self
            .finished
            .changed(server, &self.facts, &change, self.slack)
        {
            self.broken(server, "finished", what);
        }
        self.facts.changed(server, &change);
    }

    fn unique(&mut self, server: &Server, new: &Value) {
        let stable = is_stable(server, new);
        let rivals: Vec<String> = server
            .all(Kind::Pod)
            .filter(|(_, pod)| {
                controller_uid(pod) == controller_uid(new) && slot_of(pod) == slot_of(new)
            })
            .filter(|(_, pod)| {
                if stable {
                    !has_ended(pod)
                } else {
                    is_live(pod)
                }
            })
            .map(|((_, _, name), _)| name.clone())
            .collect();
        if rivals.len() > 1 && !controller_uid(new).is_empty() {
            let what = format!(
                "slot {}/{} has {}",
                child_of(new),
                slot_of(new),
                rivals.join(" and ")
            );
            self.broken(server, "S1 slot uniqueness", what);
        }
    }

    /// Judges a Pod that an operator created.
    fn created(&mut self, server: &Server, pod: &Value) {
        let place = format!("{}/{}", child_of(pod), slot_of(pod));
        let gone = |since: Option<Timestamp>, slack| {
            since.is_some_and(|since| server.now.duration_since(since) > slack)
        };
        let Some((tree, worker)) = owners(server, pod) else {
            if gone(self.facts.ended(controller_uid(pod)), self.slack) {
                self.broken(
                    server,
                    "S9 no resurrection",
                    format!("{place} is created for a Worker that is gone"),
                );
            }
            return;
        };
        if gone(self.facts.ending(uid_of(&tree)), self.slack) {
            self.broken(
                server,
                "S9 no resurrection",
                format!("{place} is created although the tree is being deleted"),
            );
        }
        let early = order::started_too_early(server, &self.facts, &tree, &worker, pod, self.slack);
        let beside =
            order::started_beside_former(server, &self.facts, &tree, &worker, pod, self.slack);
        for what in early.into_iter().chain(beside) {
            self.broken(server, "S5 order", what);
        }
        if let Some(what) = finished::started_again(&tree, &worker, pod) {
            self.broken(server, "finished", what);
        }
        let live = pods_of(server, uid_of(&worker)).filter(|pod| is_live(pod));
        let live = i64::try_from(live.count()).unwrap_or(i64::MAX);
        let fits = |tree: &Value, worker: &Value| {
            live <= replicas_of(worker) + bounds::surge(tree, worker)
        };
        if !stops::is_or_was(server, &tree, &worker, self.slack, fits) {
            let what = format!("{place} is one of {live} live Pods, which are too many");
            self.broken(server, "surge", what);
        }
        let allows = |_: &Value, worker: &Value| canaries::allows(worker, pod);
        if !stops::is_or_was(server, &tree, &worker, self.slack, allows) {
            let what = format!("{place} gets the new template before its canary has come to it");
            self.broken(server, "canary", what);
        }
        if incarnation_of(pod) > incarnation(&worker) {
            let what = format!("{place} is started before its incarnation is stored");
            self.broken(server, "S10 intent before effect", what);
        }
        if let Some(dead) = self.facts.predecessor(pod)
            && died_by_itself(&dead)
            && !stops::is_stored(&tree, &worker, &dead)
        {
            let what = format!(
                "{place} replaces {} before its death is stored",
                dead["metadata"]["name"]
            );
            self.broken(server, "S10 intent before effect", what);
        }
    }

    /// Judges a Pod that an operator gave other images.
    fn updated(&mut self, server: &Server, old: &Value, new: &Value) {
        let place = format!("{}/{}", child_of(new), slot_of(new));
        let Some((tree, worker)) = owners(server, new) else {
            return;
        };
        let update = slot_entry(&worker, slot_of(new)).map(|entry| {
            let is_it = entry["podUID"] == uid_of(new);
            is_it && entry["inPlace"]["revision"] == revision_of(new)
        });
        if update != Some(true) {
            let what = format!("{place} is updated in place before that is stored");
            self.broken(server, "S10 intent before effect", what);
        }
        let allows = |_: &Value, worker: &Value| canaries::allows(worker, new);
        if !stops::is_or_was(server, &tree, &worker, self.slack, allows) {
            let what = format!("{place} gets the new template before its canary has come to it");
            self.broken(server, "canary", what);
        }
        if let Some(what) = self
            .facts
            .takes_down_too_many(server, &tree, &worker, old, self.slack)
        {
            self.broken(server, "S3 availability", what);
        }
    }

    /// Judges a status of a tree.
    fn told(&mut self, server: &Server, old: &Value, new: &Value) {
        // The oldest generation that the status speaks of.
        let generation = |tree: &Value| {
            let conditions = tree["status"]["conditions"]
                .as_array()
                .into_iter()
                .flatten();
            let status = tree["status"]["observedGeneration"].as_i64().unwrap_or(-1);
            conditions
                .filter_map(|c| c["observedGeneration"].as_i64())
                .fold(status, i64::min)
        };
        if generation(new) < generation(old) {
            let what = format!(
                "observedGeneration fell from {} to {}",
                generation(old),
                generation(new)
            );
            self.broken(server, "S8 monotone status", what);
        }
        for what in give_ups::tried_too_soon(server, old, new) {
            self.broken(server, "S4 intensity", what);
        }
        if let Some(what) = inherited(old, new) {
            self.broken(server, "S9 no resurrection", what);
        }
        let restarts = new["status"]["restarts"].as_u64().unwrap_or_default();
        let faults = new["status"]["recentFaults"].as_array();
        // What keeps a Pod from being created or from running is shown too, and is no death; an end that its type allows
        // restarts nothing.
        let is_death = |fault: &&Value| {
            let decision = fault["decision"].as_str().unwrap_or_default();
            let is_block = decision == "not charged; tried again";
            let is_end = decision.contains("not restarted");
            fault["verdict"] != "Hold" && fault["verdict"] != "Wait" && !is_block && !is_end
        };
        let deaths = faults.into_iter().flatten().filter(is_death).count();
        if u64::try_from(deaths).is_ok_and(|deaths| deaths > restarts) {
            let what = format!("{deaths} deaths are shown, and {restarts} were counted");
            self.broken(server, "counted", what);
        }
        let says = |tree: &Value| {
            let is = |name: &str| condition(tree, name).is_some_and(|c| c["status"] == "True");
            is("Ready") && !is("Reconciling") && !is("Stalled")
        };
        let reason = condition(new, "Ready").map_or("", |c| c["reason"].as_str().unwrap_or(""));
        if !says(new) || says(old) || matches!(reason, "Finished" | "NoChildren" | "Suspended") {
            return;
        }
        let last = self.facts.last_match(server, new);
        if last.is_none_or(|last| server.now.duration_since(last) > self.slack) {
            let what = "Ready was said of a tree that was not as its spec asks".to_owned();
            self.broken(server, "S8 monotone status", what);
        }
    }
}

/// What the first status of a tree remembers although nothing has happened to it yet.
fn inherited(old: &Value, new: &Value) -> Option<String> {
    let records = |tree: &Value| tree["status"]["supervisors"].as_array().cloned();
    let has = |list: &Value| list.as_array().is_some_and(|list| !list.is_empty());
    if records(old).is_some_and(|records| !records.is_empty()) {
        return None;
    }
    let record = records(new)?.into_iter().find(|record| {
        record["incarnation"].as_i64() > Some(1)
            || has(&record["charges"])
            || has(&record["gaveUp"])
    });
    let restarts = new["status"]["restarts"].as_i64().unwrap_or_default();
    let remembers = record.is_some() || restarts > 0 || has(&new["status"]["recentFaults"]);
    remembers.then(|| {
        let record = record.unwrap_or_default();
        format!("a new tree has a history: {restarts} restarts, {record}")
    })
}

/// How the Pods of a tree stand, slot by slot.
pub(super) fn standing(server: &Server, worker_uid: &str) -> BTreeMap<i64, &'static str> {
    pods_of(server, worker_uid)
        .filter(|pod| is_live(pod))
        .map(|pod| {
            (
                slot_of(pod),
                if is_ready(pod) { "ready" } else { "not ready" },
            )
        })
        .collect()
}
