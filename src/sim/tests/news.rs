//! News that come late, merged or twice; watches that are expired; slow views of one kind.
//!
//! Rule: all of them, not some.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Job, check_all, references};
use crate::sim::kind::Kind;
use crate::sim::plan::{Blow, Held, Plan};
use crate::sim::run::Outcome;

const WATCHED: [Kind; 4] = [Kind::Tree, Kind::Worker, Kind::Pod, Kind::Node];

/// The numbers of the changes that operators are told.
fn told(outcome: &Outcome) -> impl Iterator<Item = usize> {
    let all = outcome.changes.iter().enumerate();
    all.filter(|(_, change)| WATCHED.contains(&change.address.0))
        .map(|(number, _)| number)
}

#[test]
fn every_stale_view_of_every_scenario() {
    let references = references();
    let mut jobs = Vec::new();
    for (scenario, reference) in &references {
        for change in told(reference) {
            // What an operator wrote itself it has learnt from the answers: that the watch is behind by one shows as much.
            let most = if reference.changes[change].by_operator {
                1
            } else {
                3
            };
            for versions in 1..=most {
                let plan = Plan {
                    held: vec![Held { change, versions }],
                    ..Plan::default()
                };
                jobs.push(Job {
                    scenario,
                    plan,
                    state: &reference.state,
                });
            }
        }
    }
    check_all(
        "stale views, up to 3 versions back, in every scenario",
        &jobs,
        Job::check,
    );
}

#[test]
fn every_overwritten_event_of_every_scenario_is_dropped() {
    let references = references();
    let mut jobs = Vec::new();
    for (scenario, reference) in &references {
        for change in told(reference) {
            let address = &reference.changes[change].address;
            let is_overwritten = reference.changes[change + 1..]
                .iter()
                .any(|later| later.address == *address);
            if is_overwritten {
                let plan = Plan {
                    dropped: BTreeSet::from([change]),
                    ..Plan::default()
                };
                jobs.push(Job {
                    scenario,
                    plan,
                    state: &reference.state,
                });
            }
            let plan = Plan {
                repeated: BTreeSet::from([change]),
                ..Plan::default()
            };
            jobs.push(Job {
                scenario,
                plan,
                state: &reference.state,
            });
        }
    }
    check_all(
        "events dropped or repeated, in every scenario",
        &jobs,
        Job::check,
    );
}

#[test]
fn every_scenario_with_slow_views_two_operators_and_expired_watches() {
    let references = references();
    let mut jobs = Vec::new();
    for (scenario, reference) in &references {
        let mut plans = vec![Plan {
            two: true,
            ..Plan::default()
        }];
        for kind in WATCHED {
            let lag = BTreeMap::from([(kind, Duration::from_millis(1500))]);
            plans.push(Plan {
                lag: lag.clone(),
                ..Plan::default()
            });
            plans.push(Plan {
                lag,
                two: true,
                ..Plan::default()
            });
        }
        let compactions: BTreeSet<usize> = (0..reference.changes.len()).step_by(7).collect();
        plans.push(Plan {
            compactions,
            ..Plan::default()
        });
        jobs.extend(plans.into_iter().map(|plan| Job {
            scenario,
            plan,
            state: &reference.state,
        }));
    }
    check_all(
        "scenarios with slow views, two operators, expired watches",
        &jobs,
        Job::check,
    );
}

#[test]
fn every_scenario_with_an_elected_leader_that_dies() {
    let references = references();
    let mut jobs = Vec::new();
    for (scenario, reference) in &references {
        let elected = Plan {
            two: true,
            elects: true,
            away: Duration::from_secs(3),
            ..Plan::default()
        };
        for part in 0..3 {
            let write = 1 + reference.writes * part / 3;
            let blow = [Blow::CrashBefore, Blow::CrashAfter][part % 2];
            let plan = Plan {
                writes: BTreeMap::from([(write, blow)]),
                ..elected.clone()
            };
            jobs.push(Job {
                scenario,
                plan,
                state: &reference.state,
            });
        }
    }
    check_all(
        "scenarios with two operators that elect a leader, which dies",
        &jobs,
        Job::check,
    );
}
