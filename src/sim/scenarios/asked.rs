//! Stories of what people ask for: suspend and resume, and restarts by hand.
//!
//! Rule: each ends in a state that stays.

use super::{BRITTLE, HEALTHY, SHOP};
use crate::sim::cluster::Behaviour::{Crash, Healthy};
use crate::sim::scenario::Scenario;
use crate::sim::scenario::Step::{Behave, Delete, Kill, PowerOff, PowerOn, RestartIn, Set};

/// A group.
const ALL: &str = "
strategy: OneForAll
children:
- {name: a, worker: {}}
- {name: b, worker: {replicas: 2}}
- {name: c, worker: {restart: Transient}}
- {name: d, worker: {}}
";

/// A supervisor in an ordered tree.
const LINE: &str = "
startup: Ordered
children:
- {name: a, worker: {replicas: 2}}
- name: s
  supervisor: {startup: Ordered}
- {name: b, parent: s, worker: {}}
- {name: c, parent: s, worker: {}}
";

/// Trees that are suspended and taken up again.
pub(super) fn suspended() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "suspend",
            ALL,
            140,
            "TFF Suspended",
            vec![(20, Kill("a", 0, 1)), (80, Set("suspend", "true"))],
        ),
        Scenario::new(
            "suspend_and_resume",
            ALL,
            240,
            HEALTHY,
            vec![
                (20, Kill("c", 0, 0)),
                (90, Set("suspend", "true")),
                (160, Set("suspend", "false")),
            ],
        )
        .costs("0 deaths; (root) #2 0 charges; a #2, b #2, c #2, d #2"),
        Scenario::new(
            "suspend_while_starting",
            SHOP,
            160,
            HEALTHY,
            vec![(1, Set("suspend", "true")), (60, Set("suspend", "false"))],
        ),
        Scenario::new(
            "suspend_in_a_group_restart",
            ALL,
            180,
            HEALTHY,
            vec![
                (20, Kill("b", 0, 1)),
                (20, Kill("b", 1, 1)),
                (22, Set("suspend", "true")),
                (90, Set("suspend", "false")),
            ],
        ),
        Scenario::new(
            "suspend_for_a_moment",
            ALL,
            140,
            HEALTHY,
            vec![(20, Set("suspend", "true")), (21, Set("suspend", "false"))],
        ),
        Scenario::new(
            "suspend_in_a_crash_loop",
            BRITTLE,
            200,
            HEALTHY,
            vec![
                (20, Behave("a", Crash(1, 1))),
                (60, Set("suspend", "true")),
                (70, Behave("a", Healthy)),
                (110, Set("suspend", "false")),
            ],
        ),
        Scenario::new(
            "suspend_with_a_lost_node",
            SHOP,
            420,
            HEALTHY,
            vec![
                (20, PowerOff("node-a")),
                (120, Set("suspend", "true")),
                (200, PowerOn("node-a")),
                (260, Set("suspend", "false")),
            ],
        ),
        Scenario::new(
            "delete_what_is_suspended",
            ALL,
            140,
            "",
            vec![(20, Set("suspend", "true")), (23, Delete("Background"))],
        ),
    ]
}

/// Restarts that somebody asks for.
pub(super) fn restarts() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "restart_of_a_worker",
            ALL,
            140,
            HEALTHY,
            vec![(20, RestartIn("b", 3))],
        )
        .costs("0 deaths; (root) #1 0 charges; a #1, b #1, c #1, d #1"),
        Scenario::new(
            "restart_of_a_supervisor",
            LINE,
            140,
            HEALTHY,
            vec![(20, RestartIn("s", 2))],
        )
        .costs("0 deaths; (root) #1 0 charges; s #2 0 charges; a #1, b #2, c #2"),
        Scenario::new(
            "restart_of_the_tree",
            LINE,
            160,
            HEALTHY,
            vec![(20, RestartIn("", 0))],
        )
        .costs("0 deaths; (root) #2 0 charges; s #2 0 charges; a #2, b #2, c #2"),
        Scenario::new(
            "restart_in_the_middle_of_a_group",
            ALL,
            160,
            HEALTHY,
            vec![
                (20, Kill("d", 0, 1)),
                (21, RestartIn("", 0)),
                (23, RestartIn("b", 0)),
            ],
        ),
    ]
}
