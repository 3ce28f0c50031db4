//! A crash before and after every write of every scenario; and every write answered in every wrong way.
//!
//! Rule: all of them, not some.

use std::time::Duration;

use super::{Job, check_all, references};
use crate::sim::plan::{Blow, Plan};

/// How long a crashed operator is away: less than anything takes, and longer than most things take.
const AWAY: [Duration; 2] = [Duration::from_millis(150), Duration::from_secs(8)];

#[test]
fn crash_run_before_and_after_every_write_of_every_scenario() {
    let references = references();
    let mut jobs = Vec::new();
    for (scenario, reference) in &references {
        for write in 1..=reference.writes {
            for (blow, away) in [
                (Blow::CrashBefore, AWAY[write % 2]),
                (Blow::CrashAfter, AWAY[(write + 1) % 2]),
            ] {
                let plan = Plan {
                    away,
                    ..Plan::blow(write, blow)
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
        "crash runs, before and after every write of every scenario",
        &jobs,
        Job::check,
    );
}

#[test]
fn every_write_of_every_scenario_is_answered_wrongly() {
    let references = references();
    let mut jobs = Vec::new();
    let blows = [
        Blow::Fails(500),
        Blow::FailsAfter(504),
        Blow::Fails(429),
        Blow::Fails(409),
        Blow::HangsAfter,
        Blow::Hangs,
        Blow::Late(5),
        Blow::Fails(403),
        Blow::FailsAfter(500),
        Blow::Fails(422),
    ];
    for (scenario, reference) in &references {
        for write in 1..=reference.writes {
            let plan = Plan::blow(write, blows[write % blows.len()]);
            jobs.push(Job {
                scenario,
                plan,
                state: &reference.state,
            });
        }
    }
    check_all(
        "every write of every scenario answered wrongly",
        &jobs,
        Job::check,
    );
}
