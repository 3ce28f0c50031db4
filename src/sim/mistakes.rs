//! Planted mistakes: the core, made wrong in one way each.
//!
//! Rule: a mistake changes what the core is told or what it answers, never the core itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::plan::Mistake;
use crate::api::labels;
use crate::api::v1alpha1::{
    Identity, NumberOrPercent, OperationKind, RevisionMark, Startup, Strategy,
    SupervisionTreeStatus,
};
use crate::model;
use crate::model::decision::{Decision, Write};
use crate::model::pod::PodView;
use crate::model::world::World;

/// One decision.
pub(super) type Decide = fn(&World, Timestamp) -> Decision;

/// The core, or the core with a mistake.
pub(super) fn decide_with(mistake: Option<Mistake>) -> Decide {
    match mistake {
        Some(Mistake::ActBeforeIntent) => act_before_intent,
        Some(Mistake::CountTwice) => count_twice,
        Some(Mistake::ForgetDelay) => forget_delay,
        Some(Mistake::RetryWhatIsStopped) => retry_what_is_stopped,
        Some(Mistake::ForgetCount) => forget_count,
        Some(Mistake::ForgetPatience) => forget_patience,
        Some(Mistake::InheritHistory) => inherit_history,
        Some(Mistake::RestartBeforeIntent) => restart_before_intent,
        Some(Mistake::StartBesideFormer) => start_beside_former,
        Some(Mistake::ChargeAbsorbed) => charge_absorbed,
        Some(Mistake::StopTogether) => stop_together,
        Some(Mistake::StartTogether) => start_together,
        Some(Mistake::ForgetEnds) => forget_ends,
        Some(Mistake::RepeatOperation) => repeat_operation,
        Some(Mistake::RestartTooMany) => restart_too_many,
        Some(Mistake::ForgetCanary) => forget_canary,
        Some(Mistake::LeaveOneBehind) => leave_one_behind,
        Some(Mistake::AddTooMany) => add_too_many,
        // The others are made on the way to the API server.
        _ => model::decide,
    }
}

fn act_before_intent(world: &World, now: Timestamp) -> Decision {
    let mut decision = model::decide(world, now);
    decision.tree_intent = false;
    decision.worker_intents.clear();
    decision
}

fn count_twice(world: &World, now: Timestamp) -> Decision {
    let mut decision = model::decide(world, now);
    for supervisor in &mut decision.tree_status.supervisors {
        let old = world
            .tree
            .status
            .supervisors
            .iter()
            .find(|old| old.name == supervisor.name);
        for charge in &mut supervisor.charges {
            let had = old
                .and_then(|old| old.charges.iter().find(|had| had.child == charge.child))
                .map_or(0, |had| had.times.len());
            if charge.times.len() > had {
                charge.times.extend(charge.times.last().cloned());
            }
        }
    }
    decision
}

fn forget_delay(world: &World, now: Timestamp) -> Decision {
    let later = now + SignedDuration::from_hours(1);
    let mut impatient = world.clone();
    for supervisor in &mut Arc::make_mut(&mut impatient.tree).status.supervisors {
        supervisor.backoff.clear();
        supervisor.gave_up.iter_mut().for_each(|gave_up| {
            gave_up.retry_time = gave_up
                .retry_time
                .as_ref()
                .map(|_| model::window::api_time(now));
        });
    }
    for worker in impatient.workers.values_mut() {
        for slot in &mut Arc::make_mut(&mut worker.status).slots {
            slot.due_time = None;
        }
    }
    let mut decision = model::decide(&impatient, now);
    decision.wake_at = decision.wake_at.map(|at| at.min(later));
    decision
}

fn retry_what_is_stopped(world: &World, now: Timestamp) -> Decision {
    let mut decision = model::decide(world, now);
    let records = decision.tree_status.supervisors.iter_mut();
    for entry in records.flat_map(|record| &mut record.gave_up) {
        let soon = model::window::api_time(now + SignedDuration::from_secs(60));
        entry.retry_time.get_or_insert(soon);
    }
    decision
}

fn forget_count(world: &World, now: Timestamp) -> Decision {
    let mut decision = model::decide(world, now);
    decision.tree_status.restarts = world.tree.status.restarts;
    decision
}

fn forget_patience(world: &World, now: Timestamp) -> Decision {
    let mut decision = model::decide(world, now);
    let nodes = world.nodes.iter().flatten();
    let lost: BTreeSet<&String> = nodes
        .filter(|(_, node)| node.evicting)
        .map(|(name, _)| name)
        .collect();
    let pods = world.workers.values().flat_map(|worker| &worker.pods);
    let is_lost = |pod: &&Arc<PodView>| {
        !pod.is_deleting() && pod.node.as_ref().is_some_and(|node| lost.contains(node))
    };
    let deletes = pods.filter(is_lost).map(|pod| Write::DeletePod {
        child: pod.child.clone(),
        name: pod.name.clone(),
        uid: pod.uid.clone(),
        resource_version: Some(pod.resource_version.clone()),
        within_bounds: false,
        why: "a mistake",
    });
    decision.writes.extend(deletes);
    decision
}

fn inherit_history(world: &World, now: Timestamp) -> Decision {
    let mut decision = model::decide(world, now);
    if world.tree.status.supervisors.is_empty() {
        decision.tree_status.restarts += 1;
    }
    decision
}

fn restart_before_intent(world: &World, now: Timestamp) -> Decision {
    let mut decision = model::decide(world, now);
    let kinds = |status: &SupervisionTreeStatus| -> Vec<OperationKind> {
        let records = status.supervisors.iter();
        let operations = records.filter_map(|record| record.operation.as_ref());
        operations.map(|operation| operation.kind).collect()
    };
    let begins = kinds(&decision.tree_status).contains(&OperationKind::Restart)
        && decision.tree_status.operations > world.tree.status.operations;
    if begins {
        decision.tree_intent = false;
        decision.worker_intents.clear();
    }
    decision
}

fn start_beside_former(world: &World, now: Timestamp) -> Decision {
    let mut blind = world.clone();
    for worker in blind.workers.values_mut() {
        let incarnation = worker.status.incarnation;
        worker
            .pods
            .retain(|pod| !pod.is_deleting() || pod.incarnation >= incarnation);
    }
    model::decide(&blind, now)
}

fn charge_absorbed(world: &World, now: Timestamp) -> Decision {
    let mut unaware = world.clone();
    for worker in unaware.workers.values_mut() {
        let incarnation = worker.status.incarnation;
        let dead = worker.pods.iter_mut().filter(|pod| pod.is_terminal());
        for pod in dead {
            Arc::make_mut(pod).incarnation = incarnation;
        }
        for slot in &mut Arc::make_mut(&mut worker.status).slots {
            slot.gone = false;
        }
    }
    model::decide(&unaware, now)
}

fn stop_together(world: &World, now: Timestamp) -> Decision {
    let mut decision = model::decide(world, now);
    let mut hasty = world.clone();
    at_once(&mut hasty);
    let writes = model::decide(&hasty, now).writes;
    let stops = writes
        .into_iter()
        .filter(|write| matches!(write, Write::DeletePod { .. }));
    decision
        .writes
        .retain(|write| !matches!(write, Write::DeletePod { .. }));
    decision.writes.extend(stops);
    decision
}

fn start_together(world: &World, now: Timestamp) -> Decision {
    let mut hasty = world.clone();
    at_once(&mut hasty);
    model::decide(&hasty, now)
}

fn forget_ends(world: &World, now: Timestamp) -> Decision {
    let mut forgetful = world.clone();
    for worker in forgetful.workers.values_mut() {
        for slot in &mut Arc::make_mut(&mut worker.status).slots {
            slot.finished = None;
        }
    }
    model::decide(&forgetful, now)
}

fn repeat_operation(world: &World, now: Timestamp) -> Decision {
    let mut again = world.clone();
    for worker in again.workers.values_mut() {
        let status = Arc::make_mut(&mut worker.status);
        if status.started {
            status.operation = 0;
        }
    }
    model::decide(&again, now)
}

fn restart_too_many(world: &World, now: Timestamp) -> Decision {
    let mut all = world.clone();
    Arc::make_mut(&mut all.tree).spec.strategy = Strategy::OneForAll;
    model::decide(&all, now)
}

fn forget_canary(world: &World, now: Timestamp) -> Decision {
    let mut decision = model::decide(world, now);
    for write in &mut decision.writes {
        if let Write::CreatePod { child, body, .. } = write
            && let Some(worker) = decision.worker_statuses.get(child)
        {
            body["metadata"]["labels"][labels::REVISION] = worker.revision.clone().into();
        }
    }
    decision
}

/// What the tree goes back to has the first template of the one that failed.
fn leave_one_behind(world: &World, now: Timestamp) -> Decision {
    let mut mixed = world.clone();
    let known = &world.tree.status.revisions;
    let bad = known.last().filter(|one| one.mark == RevisionMark::Bad);
    let stored = |name: &str| world.revisions.iter().find(|one| one.name == name);
    let left = bad.and_then(|bad| stored(&bad.name)?.templates.first_key_value());
    if let Some((child, template)) = left {
        for revision in &mut mixed.revisions {
            let templates = &mut Arc::make_mut(revision).templates;
            templates.insert(child.clone(), template.clone());
        }
    }
    model::decide(&mixed, now)
}

fn add_too_many(world: &World, now: Timestamp) -> Decision {
    let mut generous = world.clone();
    let children = &mut Arc::make_mut(&mut generous.tree).spec.children;
    let workers = children
        .iter_mut()
        .filter_map(|child| child.worker.as_mut());
    for worker in workers.filter(|worker| worker.identity == Identity::Interchangeable) {
        worker.update.max_surge = Some(NumberOrPercent(IntOrString::Int(2)));
    }
    model::decide(&generous, now)
}

/// Takes the order away from every supervisor.
fn at_once(world: &mut World) {
    let spec = &mut Arc::make_mut(&mut world.tree).spec;
    spec.startup = Some(Startup::Parallel);
    for child in &mut spec.children {
        if let Some(supervisor) = &mut child.supervisor {
            supervisor.startup = Some(Startup::Parallel);
        }
    }
}
