//! Stories of refusals and meddling, and of the operator itself.
//!
//! Rule: each ends in a state that stays.

use super::{BRITTLE, HEALTHY, PAIR, SHOP};
use crate::sim::cluster::Behaviour::Crash;
use crate::sim::scenario::Scenario;
use crate::sim::scenario::Step::{
    Allow, Bait, Behave, Crash as OperatorsCrash, DeleteWorker, Disown, Kill, Refuse, Restart,
    Squat, Unlabel, Unsquat,
};

/// Refusals, strangers, and hands that meddle.
pub(super) fn strangers() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "quota_refuses_and_allows",
            PAIR,
            500,
            HEALTHY,
            vec![
                (
                    0,
                    Refuse(
                        "exceeded quota: pods, requested: pods=1, used: pods=0, limited: pods=0",
                    ),
                ),
                (100, Allow),
            ],
        ),
        Scenario::new(
            "name_is_held_by_a_stranger",
            "
children:
- {name: db, worker: {identity: Stable}}
",
            600,
            HEALTHY,
            vec![(0, Squat("t-db-0")), (90, Unsquat("t-db-0"))],
        ),
        Scenario::new(
            "bait_is_not_taken",
            PAIR,
            120,
            HEALTHY,
            vec![(20, Bait("a"))],
        ),
        Scenario::new(
            "labels_are_taken_off",
            PAIR,
            150,
            HEALTHY,
            vec![(20, Unlabel("a", 0))],
        ),
        Scenario::new(
            "owner_is_taken_off",
            PAIR,
            150,
            HEALTHY,
            vec![(20, Disown("b", 1))],
        ),
        Scenario::new(
            "worker_is_deleted",
            PAIR,
            180,
            HEALTHY,
            vec![(20, DeleteWorker("b"))],
        ),
    ]
}

/// What happens to the operator itself.
pub(super) fn operators() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "operator_dies_in_a_crash_loop",
            BRITTLE,
            400,
            "FFT",
            vec![
                (20, Behave("a", Crash(1, 1))),
                (23, OperatorsCrash),
                (50, OperatorsCrash),
            ],
        ),
        Scenario::new(
            "operator_is_upgraded",
            SHOP,
            240,
            HEALTHY,
            vec![(1, Restart), (30, Restart), (60, Kill("api", 1, 1))],
        ),
    ]
}
