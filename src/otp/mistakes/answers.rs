//! Planted mistakes in the answers of the engine: where it retries, in which order it stops, and what it takes for a death.
//!
//! Rule: the decision is the engine's own; the mistake is made in what is stored or written of it.

use jiff::Timestamp;

use crate::api::v1alpha1::{
    ChargeStatus, Child, OperationKind, OperationStatus, Startup, Strategy, SupervisionTreeSpec,
    SupervisorStatus,
};
use crate::model::decide;
use crate::model::decision::{Decision, Write};
use crate::model::window::api_time;
use crate::model::world::World;

use super::{Misread, before};

/// How the engine calls the supervisor above the children that name none.
const ROOT: &str = "(root)";

fn parent_of<'a>(spec: &'a SupervisionTreeSpec, child: &str) -> &'a str {
    let mut children = spec.children.iter();
    let child = children.find(|one| one.name == child);
    child
        .and_then(|child| child.parent.as_deref())
        .unwrap_or(ROOT)
}

fn strategy_of(spec: &SupervisionTreeSpec, supervisor: &str) -> Strategy {
    let mut children = spec.children.iter();
    let child = children.find(|child| child.name == supervisor);
    let settings = child.and_then(|child| child.supervisor.as_ref());
    settings.map_or(spec.strategy, |settings| settings.strategy)
}

/// The restart that a supervisor was in the middle of, and the one that it begins because a start in that has failed.
fn retried<'a>(
    world: &'a World,
    supervisor: &'a SupervisorStatus,
) -> Option<(&'a OperationStatus, &'a OperationStatus)> {
    let old = before(world, supervisor)?.operation.as_ref()?;
    let new = supervisor.operation.as_ref()?;
    let both = [old, new].map(|operation| operation.kind == OperationKind::Restart);
    (both == [true, true] && new.number > old.number).then_some((old, new))
}

/// Under `RestForOne`, a restart that fails begins again where it began, and not with the child that failed.
pub(super) fn retried_from_where_it_began(world: &World, now: Timestamp) -> Decision {
    let mut decision = decide(world, now);
    for supervisor in &mut decision.tree_status.supervisors {
        if strategy_of(&world.tree.spec, &supervisor.name) != Strategy::RestForOne {
            continue;
        }
        let Some(began) = retried(world, supervisor).map(|(old, _)| old.children.clone()) else {
            continue;
        };
        if let Some(operation) = &mut supervisor.operation {
            operation.children = began;
        }
    }
    decision
}

/// Under `OneForAll`, a restart that fails goes on with the child that failed, and leaves those before it as they are.
pub(super) fn retried_from_what_failed(world: &World, now: Timestamp) -> Decision {
    let mut decision = decide(world, now);
    let spec = &world.tree.spec;
    for supervisor in &mut decision.tree_status.supervisors {
        let name = supervisor.name.clone();
        if strategy_of(spec, &name) != Strategy::OneForAll || retried(world, supervisor).is_none() {
            continue;
        }
        let is_here = |child: &&Child| parent_of(spec, &child.name) == name;
        let children: Vec<&str> = spec
            .children
            .iter()
            .filter(is_here)
            .map(|child| child.name.as_str())
            .collect();
        let judged = decision.judged.iter().rev();
        let mut places = judged.filter_map(|judged| {
            let mut names = children.iter();
            names.position(|name| *name == judged.child)
        });
        let Some(failed) = places.next() else {
            continue;
        };
        let (spared, members) = children.split_at(failed);
        if let Some(operation) = &mut supervisor.operation {
            operation.children = members.iter().map(|name| (*name).to_owned()).collect();
        }
        for child in spared {
            if let Some(known) = world.workers.get(*child) {
                let status = known.status.as_ref().clone();
                decision.worker_statuses.insert((*child).to_owned(), status);
            }
            let is_spared =
                |write: &Write| matches!(write, Write::DeletePod { child: of, .. } if of == child);
            decision.writes.retain(|write| !is_spared(write));
        }
    }
    decision
}

/// What is stopped is stopped in the order of starts.
pub(super) fn first_stops_first(world: &World, now: Timestamp) -> Decision {
    let is_stop = |write: &Write| matches!(write, Write::DeletePod { .. });
    let unordered = Misread {
        root: Some(|root| root.startup = Some(Startup::Parallel)),
        supervisor: Some(|supervisor| supervisor.startup = Some(Startup::Parallel)),
        ..Misread::default()
    };
    let mut stops = unordered.decide(world, now).writes;
    stops.retain(is_stop);
    stops.truncate(1);
    let mut decision = decide(world, now);
    decision.writes.retain(|write| !is_stop(write));
    decision.writes.extend(stops);
    decision
}

/// A charge to the supervisor of a child, beside what the engine has charged it with.
fn charge(decision: &mut Decision, spec: &SupervisionTreeSpec, child: &str, now: Timestamp) {
    let parent = parent_of(spec, child);
    let mut supervisors = decision.tree_status.supervisors.iter_mut();
    let Some(record) = supervisors.find(|record| record.name == parent) else {
        return;
    };
    let known = record.charges.iter_mut().find(|entry| entry.child == child);
    match known {
        Some(entry) => entry.times.push(api_time(now)),
        None => record.charges.push(ChargeStatus {
            child: child.to_owned(),
            times: vec![api_time(now)],
            failed_starts: 0,
        }),
    }
}

/// What the tree itself has told to stop has died.
pub(super) fn ordered_stop_is_charged(world: &World, now: Timestamp) -> Decision {
    let mut decision = decide(world, now);
    let stopped: Vec<String> = decision
        .writes
        .iter()
        .filter_map(|write| match write {
            Write::DeletePod { child, why, .. } if why.starts_with("an ordered stop") => {
                Some(child.clone())
            }
            _ => None,
        })
        .collect();
    for child in stopped {
        charge(&mut decision, &world.tree.spec, &child, now);
    }
    decision
}

/// What has died by itself before a restart stops it is a death of its own.
pub(super) fn absorbed_death_is_charged(world: &World, now: Timestamp) -> Decision {
    let mut decision = decide(world, now);
    let is_judged = |child: &String| decision.judged.iter().any(|judged| judged.child == *child);
    let died = |(child, worker): &(&String, &crate::model::world::WorkerView)| {
        let status = decision.worker_statuses.get(*child);
        let begins = status.is_some_and(|new| new.incarnation > worker.status.incarnation);
        let mut present = worker.pods.iter().filter(|pod| {
            pod.incarnation == worker.status.incarnation && pod.is_terminal() && !pod.is_deleting()
        });
        let is_new = |uid: &str| {
            let mut slots = worker.status.slots.iter();
            !slots.any(|slot| slot.pod_uid == uid && slot.gone)
        };
        begins && !is_judged(child) && present.any(|pod| is_new(&pod.uid))
    };
    let dead = world.workers.iter().filter(died);
    let dead: Vec<String> = dead.map(|(child, _)| child.clone()).collect();
    for child in dead {
        charge(&mut decision, &world.tree.spec, &child, now);
    }
    decision
}
