//! A crash before and after every write of every scenario; and every write answered wrongly, in one way or another.
//!
//! Rule: every write, not some; with an elected operator, and answered wrongly, every write of the plain scenarios and one in
//! ten of those about strategies.

use std::time::Duration;

use super::{check_every, check_most};
use crate::sim::plan::{Blow, Plan};

/// How long a crashed operator is away: less than anything takes, and longer than most things take.
const AWAY: [Duration; 2] = [Duration::from_millis(150), Duration::from_secs(8)];

/// Wrong answers. Each write gets one of them, in turn.
const WRONG: [Blow; 10] = [
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

#[test]
fn crash_run_before_and_after_every_write_of_every_scenario() {
    check_every(
        "crash runs, before and after every write of every scenario",
        |reference| {
            let crash = |write: usize, blow, away: usize| Plan {
                away: AWAY[away % 2],
                ..Plan::blow(write, blow)
            };
            (1..=reference.writes)
                .flat_map(|write| {
                    [
                        crash(write, Blow::CrashBefore, write),
                        crash(write, Blow::CrashAfter, write + 1),
                    ]
                })
                .collect()
        },
    );
}

/// Who was elected stores later what spends nothing.
#[test]
fn crash_run_of_an_elected_operator_after_every_write_of_every_scenario() {
    check_most(
        "crash runs of an elected operator, after writes of every scenario",
        |reference| {
            let crash = |write: usize| Plan {
                elects: true,
                away: AWAY[write % 2],
                ..Plan::blow(write, Blow::CrashAfter)
            };
            (1..=reference.writes).map(crash).collect()
        },
    );
}

#[test]
fn every_write_of_every_scenario_is_answered_wrongly() {
    check_most("writes of every scenario answered wrongly", |reference| {
        // Who was elected does some of it in another order.
        let wrong = |write: usize| {
            [false, true].map(|elects| Plan {
                elects,
                ..Plan::blow(write, WRONG[write % WRONG.len()])
            })
        };
        (1..=reference.writes).flat_map(wrong).collect()
    });
}
