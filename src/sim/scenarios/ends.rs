//! Stories of ends, of trees and of machines.
//!
//! Rule: each ends in a state that stays.

use super::{BRITTLE, HEALTHY, PAIR, SHOP};
use crate::sim::cluster::Behaviour::Crash;
use crate::sim::scenario::Scenario;
use crate::sim::scenario::Step::{
    Behave, Create, Delete, DeleteNode, Kill, OutOfService, PowerOff, PowerOn,
};

/// Trees that are deleted, in every mode and at bad moments.
pub(super) fn ends() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "delete_in_background",
            SHOP,
            120,
            "",
            vec![(20, Delete("Background"))],
        ),
        Scenario::new(
            "delete_in_foreground",
            SHOP,
            120,
            "",
            vec![(20, Delete("Foreground"))],
        ),
        Scenario::new(
            "delete_and_orphan",
            SHOP,
            120,
            "",
            vec![(20, Delete("Orphan"))],
        ),
        Scenario::new(
            "delete_while_starting",
            SHOP,
            120,
            "",
            vec![(1, Delete("Background"))],
        ),
        Scenario::new(
            "delete_in_a_crash_loop",
            BRITTLE,
            260,
            "",
            vec![(20, Behave("a", Crash(1, 1))), (80, Delete("Background"))],
        ),
        Scenario::new(
            "delete_and_create_again",
            SHOP,
            220,
            HEALTHY,
            vec![
                (20, Kill("db", 0, 1)),
                (40, Delete("Background")),
                (80, Create(PAIR)),
            ],
        ),
        Scenario::new(
            "delete_with_a_lost_node",
            SHOP,
            260,
            "",
            vec![
                (20, PowerOff("node-a")),
                (120, Delete("Background")),
                (180, DeleteNode("node-a")),
            ],
        ),
    ]
}

/// Machines that go off.
pub(super) fn nodes() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "node_lost_for_good",
            SHOP,
            420,
            HEALTHY,
            vec![(20, PowerOff("node-a")), (200, DeleteNode("node-a"))],
        ),
        Scenario::new(
            "node_comes_back",
            SHOP,
            420,
            HEALTHY,
            vec![(20, PowerOff("node-b")), (200, PowerOn("node-b"))],
        ),
        Scenario::new(
            "node_out_of_service",
            SHOP,
            420,
            HEALTHY,
            vec![(20, PowerOff("node-c")), (100, OutOfService("node-c"))],
        ),
    ]
}
