//! Planted mistakes: the engine, made wrong in one way each. `answers` has those of retries, stops and deaths.
//!
//! Rule: a mistake changes what the engine is told or what it answers, never the engine itself.

mod answers;

use std::sync::Arc;

use jiff::Timestamp;

use crate::api::v1alpha1::{
    AutoShutdown, Restart, StartFailure, Startup, Strategy, SupervisionTreeSpec,
    SupervisorSettings, SupervisorStatus, WorkerSettings,
};
use crate::model::decide;
use crate::model::decision::Decision;
use crate::model::lab::Decide;
use crate::model::world::World;

/// Each mistake with its name.
pub(super) const MISTAKES: [(&str, Decide); 17] = [
    ("one restart more than the intensity", one_more_restart),
    ("a window that is a second too short", short_window),
    ("a window that outlives its supervisor", inherited_window),
    ("the rest is all", rest_is_all),
    ("a group starts together", start_together),
    ("clean exit codes are not known", no_clean_end),
    (
        "a Transient supervisor that gave up is restarted",
        give_up_is_abnormal,
    ),
    ("a first start is tried again", first_start_is_tried_again),
    ("one significant child is enough", one_is_all),
    (
        "a Temporary child comes back with its group",
        temporary_comes_back,
    ),
    ("the end of a supervisor is free", exit_is_free),
    ("a window is looked through at every step", eager_window),
    (
        "under rest_for_one a restart that fails begins again where it began",
        answers::retried_from_where_it_began,
    ),
    (
        "under one_for_all a restart that fails goes on with the child that failed",
        answers::retried_from_what_failed,
    ),
    ("the first is stopped first", answers::first_stops_first),
    (
        "an ordered stop is charged",
        answers::ordered_stop_is_charged,
    ),
    (
        "a death that a restart takes in is charged",
        answers::absorbed_death_is_charged,
    ),
];

/// How the settings of a tree are misread; the root has those of a supervisor, too.
#[derive(Default)]
struct Misread {
    root: Option<fn(&mut SupervisionTreeSpec)>,
    supervisor: Option<fn(&mut SupervisorSettings)>,
    worker: Option<fn(&mut WorkerSettings)>,
}

impl Misread {
    fn decide(&self, world: &World, now: Timestamp) -> Decision {
        let mut world = world.clone();
        let spec = &mut Arc::make_mut(&mut world.tree).spec;
        if let Some(misread) = self.root {
            misread(spec);
        }
        for child in &mut spec.children {
            if let (Some(misread), Some(supervisor)) = (self.supervisor, &mut child.supervisor) {
                misread(supervisor);
            }
            if let (Some(misread), Some(worker)) = (self.worker, &mut child.worker) {
                misread(worker);
            }
        }
        decide(&world, now)
    }
}

fn one_more_restart(world: &World, now: Timestamp) -> Decision {
    let misread = Misread {
        root: Some(|root| root.intensity.max_restarts += 1),
        supervisor: Some(|supervisor| supervisor.intensity.max_restarts += 1),
        ..Misread::default()
    };
    misread.decide(world, now)
}

fn short_window(world: &World, now: Timestamp) -> Decision {
    let misread = Misread {
        root: Some(|root| root.intensity.period_seconds -= 1),
        supervisor: Some(|supervisor| supervisor.intensity.period_seconds -= 1),
        ..Misread::default()
    };
    misread.decide(world, now)
}

fn rest_is_all(world: &World, now: Timestamp) -> Decision {
    fn read(strategy: &mut Strategy) {
        if *strategy == Strategy::RestForOne {
            *strategy = Strategy::OneForAll;
        }
    }
    let misread = Misread {
        root: Some(|root| read(&mut root.strategy)),
        supervisor: Some(|supervisor| read(&mut supervisor.strategy)),
        ..Misread::default()
    };
    misread.decide(world, now)
}

fn start_together(world: &World, now: Timestamp) -> Decision {
    let misread = Misread {
        root: Some(|root| root.startup = Some(Startup::Parallel)),
        supervisor: Some(|supervisor| supervisor.startup = Some(Startup::Parallel)),
        ..Misread::default()
    };
    misread.decide(world, now)
}

fn no_clean_end(world: &World, now: Timestamp) -> Decision {
    let misread = Misread {
        worker: Some(|worker| worker.clean_exit_codes = vec![99]),
        ..Misread::default()
    };
    misread.decide(world, now)
}

fn give_up_is_abnormal(world: &World, now: Timestamp) -> Decision {
    let misread = Misread {
        supervisor: Some(|supervisor| {
            if supervisor.restart == Restart::Transient {
                supervisor.restart = Restart::Permanent;
            }
        }),
        ..Misread::default()
    };
    misread.decide(world, now)
}

fn first_start_is_tried_again(world: &World, now: Timestamp) -> Decision {
    let misread = Misread {
        root: Some(|root| root.on_start_failure = StartFailure::Retry),
        supervisor: Some(|supervisor| supervisor.on_start_failure = StartFailure::Retry),
        ..Misread::default()
    };
    misread.decide(world, now)
}

fn one_is_all(world: &World, now: Timestamp) -> Decision {
    fn read(shutdown: &mut AutoShutdown) {
        if *shutdown == AutoShutdown::AllSignificant {
            *shutdown = AutoShutdown::AnySignificant;
        }
    }
    let misread = Misread {
        root: Some(|root| read(&mut root.auto_shutdown)),
        supervisor: Some(|supervisor| read(&mut supervisor.auto_shutdown)),
        ..Misread::default()
    };
    misread.decide(world, now)
}

/// What was remembered of a supervisor before a decision.
fn before<'a>(world: &'a World, supervisor: &SupervisorStatus) -> Option<&'a SupervisorStatus> {
    let mut known = world.tree.status.supervisors.iter();
    known.find(|old| old.name == supervisor.name)
}

fn inherited_window(world: &World, now: Timestamp) -> Decision {
    let mut decision = decide(world, now);
    for supervisor in &mut decision.tree_status.supervisors {
        if let Some(old) = before(world, supervisor)
            && old.incarnation < supervisor.incarnation
        {
            supervisor.charges.clone_from(&old.charges);
        }
    }
    decision
}

fn exit_is_free(world: &World, now: Timestamp) -> Decision {
    let mut decision = decide(world, now);
    let children = &world.tree.spec.children;
    for supervisor in &mut decision.tree_status.supervisors {
        supervisor.charges.retain(|charge| {
            let mut children = children.iter();
            children.any(|child| child.name == charge.child && child.worker.is_some())
        });
    }
    decision
}

fn temporary_comes_back(world: &World, now: Timestamp) -> Decision {
    let mut decision = decide(world, now);
    for worker in decision.worker_statuses.values_mut() {
        for slot in &mut worker.slots {
            slot.finished.take_if(|finished| finished.stopped);
        }
    }
    decision
}

/// Charges age at every step, and not when their supervisor is charged: one that is outside a window made short for a while
/// is lost.
fn eager_window(world: &World, now: Timestamp) -> Decision {
    let mut decision = decide(world, now);
    let spec = &world.tree.spec;
    for supervisor in &mut decision.tree_status.supervisors {
        let mut children = spec.children.iter();
        let child = children.find(|child| child.name == supervisor.name);
        let settings = child.and_then(|child| child.supervisor.as_ref());
        let intensity = settings.map_or(spec.intensity, |settings| settings.intensity);
        for charge in &mut supervisor.charges {
            charge.times = charge.counted(now, intensity).cloned().collect();
        }
        supervisor.charges.retain(|charge| !charge.times.is_empty());
    }
    decision
}
