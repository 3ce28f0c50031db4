//! Stories of groups: a death at every moment of an operation, under each strategy.
//!
//! Rule: each ends in a state that stays; where deaths are so near to each other that a late operator sees them together,
//! only what is the same then is asked for.

use super::HEALTHY;
use crate::sim::cluster::Behaviour::{Crash, Hang, Healthy};
use crate::sim::scenario::Scenario;
use crate::sim::scenario::Step::{
    Behave, Crash as OperatorsCrash, Delete, DeletePod, Evict, Kill, PowerOff, PowerOn, Pressure,
    Set, Vanish,
};

/// Four workers of which none runs without the others.
const ALL: &str = "
strategy: OneForAll
children:
- {name: a, worker: {}}
- {name: b, worker: {}}
- {name: c, worker: {}}
- {name: d, worker: {}}
";

/// Four workers of which each needs those before it.
const REST: &str = "
strategy: RestForOne
children:
- {name: a, worker: {}}
- {name: b, worker: {}}
- {name: c, worker: {}}
- {name: d, worker: {}}
";

/// Groups of the same kinds whose restarts may fail for a while.
const PATIENT_ALL: &str = "
strategy: OneForAll
intensity: {maxRestarts: 20, periodSeconds: 600}
backoff: {initialSeconds: 4, maxSeconds: 8}
children:
- {name: a, worker: {}}
- {name: b, worker: {}}
- {name: c, worker: {}}
";
const PATIENT_REST: &str = "
strategy: RestForOne
intensity: {maxRestarts: 20, periodSeconds: 600}
backoff: {initialSeconds: 4, maxSeconds: 8}
children:
- {name: a, worker: {}}
- {name: b, worker: {}}
- {name: c, worker: {}}
";

/// Workers that start one after the other, and die alone.
const LINE: &str = "
startup: Ordered
children:
- {name: a, worker: {}}
- {name: b, worker: {}}
- {name: c, worker: {}}
- {name: d, worker: {}}
";

/// A group with a worker of several replicas.
const QUORUM: &str = "
strategy: OneForAll
children:
- {name: a, worker: {}}
- {name: b, worker: {replicas: 3, quorum: 2}}
- {name: c, worker: {replicas: 2}}
";

/// A group that stops and starts together.
const TOGETHER: &str = "
strategy: OneForAll
startup: Parallel
children:
- {name: a, worker: {}}
- {name: b, worker: {replicas: 2, quorum: 2}}
- {name: c, worker: {}}
";

/// Groups in groups.
const NESTED: &str = "
strategy: RestForOne
children:
- {name: db, worker: {}}
- name: web
  supervisor: {strategy: OneForAll}
- {name: api, parent: web, worker: {}}
- {name: ui, parent: web, worker: {}}
- {name: log, worker: {}}
";

/// A group whose restart takes long, and a worker that can be moved into it.
const SLOW_REST: &str = "
strategy: OneForAll
children:
- name: g
  supervisor: {strategy: RestForOne}
- {name: b, parent: g, worker: {}}
- {name: c, parent: g, worker: {}}
- {name: e, worker: {}}
";

/// A group with a `Stable` worker.
const FENCED: &str = "
strategy: OneForAll
intensity: {maxRestarts: 3, periodSeconds: 120}
children:
- {name: a, worker: {}}
- {name: db, worker: {identity: Stable}}
- {name: c, worker: {}}
";

/// Groups of which a member dies when nothing else goes on, however it ends.
pub(super) fn deaths() -> Vec<Scenario> {
    [single_deaths(), larger_groups()].concat()
}

fn single_deaths() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "one_for_all_restarts_all",
            ALL,
            120,
            HEALTHY,
            vec![(20, Kill("b", 0, 1))],
        )
        .costs("1 death; (root) #1 1 charge; a #2, b #2, c #2, d #2"),
        Scenario::new(
            "rest_for_one_restarts_the_rest",
            REST,
            120,
            HEALTHY,
            vec![(20, Kill("b", 0, 1))],
        )
        .costs("1 death; (root) #1 1 charge; a #1, b #2, c #2, d #2"),
        Scenario::new(
            "rest_for_one_restarts_the_last_alone",
            REST,
            120,
            HEALTHY,
            vec![(20, Kill("d", 0, 1))],
        )
        .costs("1 death; (root) #1 1 charge; a #1, b #1, c #1, d #2"),
        Scenario::new(
            "one_for_all_when_a_member_is_deleted",
            ALL,
            120,
            HEALTHY,
            vec![(20, DeletePod("c", 0))],
        )
        .costs("1 death; (root) #1 0 charges; a #2, b #2, c #2, d #2"),
        Scenario::new(
            "rest_for_one_when_a_member_is_evicted",
            REST,
            120,
            HEALTHY,
            vec![(20, Evict("c", 0))],
        )
        .costs("1 death; (root) #1 0 charges; a #1, b #1, c #2, d #2"),
        Scenario::new(
            "one_for_all_when_a_member_vanishes",
            ALL,
            120,
            HEALTHY,
            vec![(20, Vanish("a", 0))],
        )
        .costs("1 death; (root) #1 0 charges; a #2, b #2, c #2, d #2"),
    ]
}

fn larger_groups() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "group_with_a_quorum",
            QUORUM,
            220,
            HEALTHY,
            vec![
                (20, Kill("b", 1, 1)),
                (100, Kill("b", 0, 1)),
                (100, Kill("b", 2, 1)),
            ],
        ),
        Scenario::new(
            "group_with_a_quorum_that_holds",
            QUORUM,
            180,
            HEALTHY,
            vec![(20, Kill("b", 1, 1)), (90, Kill("b", 2, 1))],
        )
        .costs("2 deaths; (root) #1 0 charges; a #1, b #1, c #1"),
        Scenario::new(
            "group_that_starts_together",
            TOGETHER,
            180,
            HEALTHY,
            vec![(20, Kill("b", 1, 1)), (90, Kill("c", 0, 1))],
        )
        .costs("2 deaths; (root) #1 2 charges; a #3, b #3, c #3"),
        Scenario::new(
            "group_within_a_group",
            NESTED,
            180,
            HEALTHY,
            vec![(20, Kill("ui", 0, 1)), (90, Kill("db", 0, 1))],
        )
        .costs("2 deaths; (root) #1 1 charge; web #2 0 charges; api #3, db #2, log #2, ui #3"),
        Scenario::new(
            "group_with_a_stable_replica_on_a_lost_node",
            FENCED,
            420,
            HEALTHY,
            vec![(20, PowerOff("node-b")), (240, PowerOn("node-b"))],
        ),
        Scenario::new(
            "group_of_which_a_member_dies_while_a_stable_one_is_on_a_lost_node",
            FENCED,
            420,
            HEALTHY,
            vec![
                (20, PowerOff("node-b")),
                (150, Kill("c", 0, 1)),
                (240, PowerOn("node-b")),
            ],
        ),
    ]
}

/// Deaths in the middle of an operation: during the stop, the start, the restart; of what began it, and of others.
pub(super) fn deaths_in_operations() -> Vec<Scenario> {
    [deaths_in_restarts(), deaths_in_starts()].concat()
}

fn deaths_in_restarts() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "one_for_all_a_sibling_dies_in_the_stop",
            ALL,
            120,
            HEALTHY,
            vec![(20, Kill("c", 0, 1)), (21, Kill("a", 0, 1))],
        )
        .costs("1 death; (root) #1 1 charge; a #2, b #2, c #2, d #2"),
        Scenario::new(
            "rest_for_one_a_sibling_dies_in_the_stop",
            REST,
            120,
            HEALTHY,
            vec![(20, Kill("a", 0, 1)), (21, Kill("b", 0, 1))],
        )
        .costs("1 death; (root) #1 1 charge; a #2, b #2, c #2, d #2"),
        Scenario::new(
            "one_for_all_two_die_at_once",
            ALL,
            120,
            HEALTHY,
            vec![(20, Kill("d", 0, 1)), (20, Kill("a", 0, 1))],
        )
        .costs("1 death; (root) #1 1 charge; a #2, b #2, c #2, d #2"),
        Scenario::new(
            "rest_for_one_two_die_at_once",
            REST,
            120,
            HEALTHY,
            vec![(20, Kill("b", 0, 1)), (20, Kill("d", 0, 1))],
        ),
        Scenario::new(
            "one_for_all_the_trigger_dies_again_in_the_start",
            ALL,
            140,
            HEALTHY,
            vec![(20, Kill("b", 0, 1)), (23, Kill("b", 0, 1))],
        ),
        Scenario::new(
            "rest_for_one_the_trigger_dies_again_in_the_start",
            REST,
            140,
            HEALTHY,
            vec![(20, Kill("b", 0, 1)), (23, Kill("b", 0, 1))],
        ),
        Scenario::new(
            "one_for_all_a_started_sibling_dies_in_the_start",
            ALL,
            140,
            HEALTHY,
            vec![(20, Kill("c", 0, 1)), (23, Kill("a", 0, 1))],
        ),
        Scenario::new(
            "rest_for_one_one_before_the_set_dies_in_the_start",
            REST,
            140,
            HEALTHY,
            vec![(20, Kill("c", 0, 1)), (22, Kill("a", 0, 1))],
        ),
        Scenario::new(
            "rest_for_one_one_that_moves_after_the_set_dies_in_the_start",
            SLOW_REST,
            160,
            HEALTHY,
            vec![
                (20, Behave("b", Hang)),
                (20, Kill("b", 0, 1)),
                (40, Set("children.e.parent", "g")),
                (60, Kill("e", 0, 1)),
                (80, Behave("b", Healthy)),
            ],
        )
        .costs("2 deaths; (root) #1 0 charges; g #1 2 charges; b #3, c #3, e #2"),
    ]
}

fn deaths_in_starts() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "one_for_all_dies_in_its_first_start",
            ALL,
            120,
            HEALTHY,
            vec![(2, Kill("a", 0, 1)), (5, Kill("b", 0, 1))],
        ),
        Scenario::new(
            "rest_for_one_dies_in_its_first_start",
            REST,
            120,
            HEALTHY,
            vec![(2, Kill("a", 0, 1)), (5, Kill("b", 0, 1))],
        ),
        Scenario::new(
            "one_for_one_dies_in_its_first_start",
            LINE,
            120,
            HEALTHY,
            vec![(2, Kill("a", 0, 1)), (3, Pressure("b", 0))],
        ),
        Scenario::new(
            "one_for_all_a_restart_fails",
            PATIENT_ALL,
            180,
            HEALTHY,
            vec![
                (20, Behave("b", Crash(0, 1))),
                (20, Kill("a", 0, 1)),
                (40, Behave("b", Healthy)),
            ],
        ),
        Scenario::new(
            "rest_for_one_a_restart_fails",
            PATIENT_REST,
            180,
            HEALTHY,
            vec![
                (20, Behave("b", Crash(0, 1))),
                (20, Kill("a", 0, 1)),
                (40, Behave("b", Healthy)),
            ],
        ),
        Scenario::new(
            "restart_above_swallows_one_below",
            NESTED,
            140,
            HEALTHY,
            vec![(20, Kill("api", 0, 1)), (21, Kill("db", 0, 1))],
        ),
        Scenario::new(
            "restart_below_while_one_above_goes_on",
            NESTED,
            140,
            HEALTHY,
            vec![(20, Kill("db", 0, 1)), (24, Kill("api", 0, 1))],
        ),
        Scenario::new(
            "operators_die_in_the_middle_of_a_group",
            ALL,
            140,
            HEALTHY,
            vec![
                (20, Kill("b", 0, 1)),
                (21, OperatorsCrash),
                (23, OperatorsCrash),
            ],
        )
        .costs("1 death; (root) #1 1 charge; a #2, b #2, c #2, d #2"),
        Scenario::new(
            "delete_in_the_middle_of_a_group",
            ALL,
            120,
            "",
            vec![(20, Kill("b", 0, 1)), (22, Delete("Background"))],
        ),
    ]
}
