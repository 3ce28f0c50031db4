//! Disruption budgets: the `PodDisruptionBudget` of each worker that has replicas to spare, so that evictions, such as those
//! of `kubectl drain`, leave it its quorum.
//!
//! Rule: a worker has one only where no other selects its Pods, because what two budgets are about cannot be evicted at all;
//! and no Pod waits for it.

mod selects;

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::policy::v1::PodDisruptionBudgetSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

use crate::api::labels;
use crate::api::v1alpha1::{DisruptionBudget, ReadyWhen};

use super::build;
use super::decision::{Notice, Write};
use super::engine::Engine;
use super::fault::Fault;
use super::in_place::under_way;
use super::outcome::Next;
use super::reasons::EventReason;
use super::replica::SlotView;
use super::tree::{Leaf, NodeId};
use super::window::{BRAKE_RESET_SECONDS, after};
use super::world::{DisruptionBudgetView, Refusal, WorkerView};
use selects::PodLabels;

/// What Kubernetes calls a disruption budget.
pub const KIND: &str = "PodDisruptionBudget";

/// A Pod that is not Ready may always be evicted: to keep it would only hold up a drain.
const EVICT_UNHEALTHY: &str = "AlwaysAllow";

/// How many changes in a row must not last until people are told.
const PUT_BACK: i64 = 3;

impl Engine<'_> {
    /// Each worker gets the disruption budget that it is to have, and loses the one that it is not to have. What was refused
    /// is tried again later and later.
    pub(super) fn plan_disruption_budgets(&mut self, writes: &mut Vec<Write>) {
        let Some(known) = &self.world.disruption_budgets else {
            return;
        };
        if self.world.tree.deleting {
            return;
        }
        for (id, leaf) in self.tree.leaves() {
            let Some(worker) = self.worker(id).filter(|worker| !worker.deleting) else {
                continue;
            };
            let write = self.write_of_disruption_budget(id, leaf, worker, known);
            let Some(memory) = self.memory.workers.get_mut(self.tree.nodes[id].name) else {
                continue;
            };
            let Some(write) = write else {
                // Who changes it back may do so in a moment.
                let ended = memory
                    .disruption_budget_brake
                    .take_if(|brake| after(brake.due_time.0, BRAKE_RESET_SECONDS) <= self.now);
                memory.disruption_budget_asked.take_if(|_| ended.is_some());
                continue;
            };
            // What was written before was not put back, if something else is wanted now.
            let asked = asked_of(&write);
            let last = memory.disruption_budget_asked;
            let is_new = asked.is_some() && last.is_some() && asked != last;
            memory.disruption_budget_brake.take_if(|_| is_new);
            let brake = memory.disruption_budget_brake.as_ref();
            match brake.map(|brake| brake.due_time.0) {
                Some(due) if due > self.now => self.wake(due),
                _ => {
                    if asked.is_some() {
                        self.brake_disruption_budget(id, asked);
                    }
                    writes.insert(place_of(&write, writes), write);
                }
            }
        }
    }

    /// What others, such as an admission webhook, change back each time is not written without end: each change that does not
    /// last makes the next one wait longer.
    fn brake_disruption_budget(&mut self, id: NodeId, asked: Option<i32>) {
        let child = self.tree.nodes[id].name;
        if let Some(memory) = self.memory.workers.get_mut(child) {
            memory.disruption_budget_asked = asked;
        }
        let change = self.brake_worker(child, self.now, |memory| {
            &mut memory.disruption_budget_brake
        });
        if change == PUT_BACK {
            self.tell_disruption_budget(child, "three changes of it in a row did not last");
        }
    }

    fn tell_disruption_budget(&mut self, child: &str, why: &str) {
        self.notices.push(Notice {
            warning: true,
            reason: EventReason::DisruptionBudgetNotStored.as_str().to_owned(),
            action: "Store",
            child: child.to_owned(),
            what: "has not the disruption budget that it is to have, so that evictions may take it below its quorum".to_owned(),
            why: why.to_owned(),
            next: Some(Next::TriedAgain),
            ..Notice::default()
        });
    }

    /// What makes the disruption budget of a worker what it is to be; `None` when it is that.
    fn write_of_disruption_budget(
        &self,
        id: NodeId,
        leaf: &Leaf<'_>,
        worker: &WorkerView,
        known: &[Arc<DisruptionBudgetView>],
    ) -> Option<Write> {
        let child = self.name(id);
        let is_own =
            |one: &DisruptionBudgetView| one.name == worker.name && one.owner_uid == worker.uid;
        let is_taken = || {
            let pods = PodLabels::of(
                &self.world.tree.name,
                child,
                self.templates_in_use(id, leaf),
            );
            let mut others = known.iter().filter(|one| !is_own(one));
            others.any(|one| pods.may_be_selected(one.spec.selector.as_ref()))
        };
        let wanted = self.spec_of_disruption_budget(id, leaf);
        let wanted = wanted.filter(|_| !is_taken());
        let own = known.iter().find(|one| is_own(one));
        match (wanted, own) {
            // What is about to go is waited for.
            (_, Some(own)) if own.deleting => None,
            (None, None) => None,
            (Some(spec), None) => Some(Write::CreateDisruptionBudget {
                child: child.to_owned(),
                name: worker.name.clone(),
                owner_uid: worker.uid.clone(),
                body: build::disruption_budget(&self.world.tree, child, worker, &spec),
            }),
            (Some(spec), Some(own)) => (own.spec != spec).then(|| Write::PatchDisruptionBudget {
                child: child.to_owned(),
                known: Arc::clone(own),
                spec: Box::new(spec),
            }),
            (None, Some(own)) => Some(Write::DeleteDisruptionBudget {
                child: child.to_owned(),
                name: own.name.clone(),
                uid: own.uid.clone(),
            }),
        }
    }

    /// The disruption budget that a worker is to have, were it the only one: its quorum stays, whatever `update` adds, and besides
    /// what Kubernetes counts and is down all the same.
    fn spec_of_disruption_budget(
        &self,
        id: NodeId,
        leaf: &Leaf<'_>,
    ) -> Option<PodDisruptionBudgetSpec> {
        // What has finished counts for the quorum, and has no Pod that could be Ready.
        let finished = self.finished_replicas(id, leaf);
        let quorum = i32::try_from(self.quorum(id, leaf)).ok()? - finished;
        let replicas = self.replicas_wanted(id, leaf) - finished;
        let is_wanted = leaf.settings.disruption_budget == DisruptionBudget::Auto
            && self.is_enabled(id)
            && !self.tree.suspended
            && replicas > quorum
            && quorum > 0
            && !counts_without_being_ready(leaf);
        let of = |(label, value): (&str, &str)| (label.to_owned(), value.to_owned());
        let selected = [
            (labels::TREE, self.world.tree.name.as_str()),
            (labels::CHILD, self.name(id)),
        ];
        is_wanted.then(|| PodDisruptionBudgetSpec {
            min_available: Some(IntOrString::Int(quorum + self.ready_but_down(id))),
            max_unavailable: None,
            selector: Some(LabelSelector {
                match_labels: Some(selected.map(of).into()),
                match_expressions: None,
            }),
            unhealthy_pod_eviction_policy: Some(EVICT_UNHEALTHY.to_owned()),
        })
    }

    /// How many Pods of a worker are updated in place, from now on or already, and still Ready: without a readiness probe they are
    /// until the kubelet has pulled the image.
    fn ready_but_down(&self, id: NodeId) -> i32 {
        let wanted = self.replicas.get(&id).into_iter().flat_map(|r| &r.wanted);
        let is_one = |view: &&SlotView<'_>| {
            view.current.is_some_and(|pod| {
                let begins = self.in_place.contains_key(&(id, view.slot));
                let is_under_way = || under_way(self.slot(id, view.slot), pod).is_some();
                pod.is_ready() && !pod.is_deleting() && (begins || is_under_way())
            })
        };
        i32::try_from(wanted.filter(is_one).count()).unwrap_or(i32::MAX)
    }

    /// The templates that Pods of a worker have, or are to have.
    fn templates_in_use<'e>(&'e self, id: NodeId, leaf: &'e Leaf<'_>) -> Vec<&'e Value> {
        let child = self.name(id);
        let pods = self.worker(id).into_iter().flat_map(|worker| &worker.pods);
        let revisions: BTreeSet<&str> = pods.map(|pod| pod.revision.as_str()).collect();
        let stored = self.world.revisions.iter();
        let stored = stored.filter_map(|one| one.templates.get(child));
        let running = stored.filter(|one| revisions.contains(one.revision.as_str()));
        let running = running.map(|one| &one.template.0);
        let all = running.chain([&*leaf.template, &leaf.settings.template.0]);
        all.collect()
    }

    fn finished_replicas(&self, id: NodeId, leaf: &Leaf<'_>) -> i32 {
        let wanted = self.replicas.get(&id).into_iter().flat_map(|r| &r.wanted);
        let finished = wanted.filter(|view| {
            let known = self.slot(id, view.slot);
            known.is_some_and(|known| leaf.has_finished(known))
        });
        i32::try_from(finished.count()).unwrap_or(i32::MAX)
    }

    /// A write of a disruption budget was refused: people are told once, and nothing waits for it but the next try.
    pub(super) fn refuse_disruption_budget(&mut self, refusal: &Refusal, fault: &Fault) {
        let (child, at) = (&refusal.child, refusal.at);
        // What is refused is not tried sooner for being another one.
        if let Some(memory) = self.memory.workers.get_mut(child) {
            memory.disruption_budget_asked = None;
        }
        if self.brake_worker(child, at, |memory| &mut memory.disruption_budget_brake) == 1 {
            self.tell_disruption_budget(child, &fault.message);
        }
    }
}

/// How many Pods a change of a disruption budget has it keep; `None` where it is no change.
fn asked_of(write: &Write) -> Option<i32> {
    let Write::PatchDisruptionBudget { spec, .. } = write else {
        return None;
    };
    least(spec)
}

fn least(spec: &PodDisruptionBudgetSpec) -> Option<i32> {
    match spec.min_available {
        Some(IntOrString::Int(least)) => Some(least),
        _ => None,
    }
}

/// Where among the other writes that of a disruption budget belongs: one that keeps more Pods than before, before the first Pod is
/// changed in place.
fn place_of(write: &Write, writes: &[Write]) -> usize {
    let is_raised = match write {
        Write::PatchDisruptionBudget { known, spec, .. } => least(spec) > least(&known.spec),
        _ => false,
    };
    let is_patch = |write: &Write| matches!(write, Write::PatchPod { .. });
    let first = writes.iter().position(is_patch).filter(|_| is_raised);
    first.unwrap_or(writes.len())
}

/// Whether a replica counts as alive although its Pod says by a probe of its own that it is not Ready: Kubernetes would count
/// fewer than the worker has.
pub(super) fn counts_without_being_ready(leaf: &Leaf<'_>) -> bool {
    let has = |value: &Value, field: &str| value.get(field).is_some();
    let spec = &leaf.template["spec"];
    let containers = spec["containers"].as_array().into_iter().flatten();
    let mut probed = containers.map(|container| has(container, "readinessProbe"));
    leaf.settings.ready == ReadyWhen::Running
        && (has(spec, "readinessGates") || probed.any(|probed| probed))
}
