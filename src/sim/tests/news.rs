//! News that come late, merged or twice; watches that are expired; slow views of one kind.
//!
//! Rule: every change of the plain scenarios and one in ten of those about strategies; what an operator wrote itself is held back by one version, what others wrote by up to
//! three.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{check_every, check_most};
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
    check_most(
        "stale views, up to 3 versions back, in every scenario",
        |reference| {
            let mut plans = Vec::new();
            for change in told(reference) {
                // What an operator wrote itself it has learnt from the answers: that the watch is behind by one shows as
                // much.
                let by_operator = reference.changes[change].by_operator;
                let most = if by_operator { 1 } else { 3 };
                plans.extend((1..=most).map(|versions| Plan {
                    held: vec![Held { change, versions }],
                    ..Plan::default()
                }));
            }
            plans
        },
    );
}

#[test]
fn every_overwritten_event_of_every_scenario_is_dropped() {
    check_most(
        "events dropped or repeated, in every scenario",
        |reference| {
            let mut plans = Vec::new();
            for change in told(reference) {
                let address = &reference.changes[change].address;
                let mut later = reference.changes[change + 1..].iter();
                if later.any(|later| later.address == *address) {
                    plans.push(Plan {
                        dropped: BTreeSet::from([change]),
                        ..Plan::default()
                    });
                }
                plans.push(Plan {
                    repeated: BTreeSet::from([change]),
                    ..Plan::default()
                });
            }
            plans
        },
    );
}

#[test]
fn every_scenario_with_slow_views_two_operators_and_expired_watches() {
    check_every(
        "scenarios with slow views, two operators, expired watches",
        |reference| {
            let mut plans = vec![Plan {
                two: true,
                ..Plan::default()
            }];
            for (kind, two) in WATCHED
                .into_iter()
                .flat_map(|kind| [(kind, false), (kind, true)])
            {
                plans.push(Plan {
                    lag: BTreeMap::from([(kind, Duration::from_millis(1500))]),
                    two,
                    ..Plan::default()
                });
            }
            plans.push(Plan {
                compactions: (0..reference.changes.len()).step_by(7).collect(),
                ..Plan::default()
            });
            plans
        },
    );
}

#[test]
fn every_scenario_with_an_elected_leader_that_dies() {
    check_every(
        "scenarios with two operators that elect a leader, which dies",
        |reference| {
            let dies = |part: usize| Plan {
                two: true,
                elects: true,
                away: Duration::from_secs(3),
                ..Plan::blow(
                    1 + reference.writes * part / 3,
                    [Blow::CrashBefore, Blow::CrashAfter][part % 2],
                )
            };
            (0..3).map(dies).collect()
        },
    );
}
