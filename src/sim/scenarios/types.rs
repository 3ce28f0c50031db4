//! Stories of ends that a type allows: clean and abnormal, alone and in groups; what ends with them, and starts that fail.
//!
//! Rule: each ends in a state that stays.

use super::HEALTHY;
use crate::sim::cluster::Behaviour::{Crash, Healthy};
use crate::sim::scenario::Scenario;
use crate::sim::scenario::Step::{Behave, DeletePod, Kill, RestartIn, Set};

/// One worker of each type.
const TYPES: &str = "
children:
- {name: p, worker: {}}
- {name: t, worker: {restart: Transient}}
- {name: m, worker: {restart: Temporary}}
";

/// The same in a group.
const TYPES_IN_A_GROUP: &str = "
strategy: OneForAll
children:
- {name: p, worker: {}}
- {name: t, worker: {restart: Transient}}
- {name: m, worker: {restart: Temporary}}
- {name: q, worker: {}}
";

/// One that has to complete before the next begins.
const MIGRATION: &str = "
strategy: RestForOne
intensity: {maxRestarts: 10, periodSeconds: 600}
children:
- {name: db, worker: {}}
- {name: migrate, worker: {restart: Transient, ready: Completed}}
- {name: api, worker: {}}
";

const ANY: &str = "
startup: Ordered
autoShutdown: AnySignificant
children:
- {name: a, worker: {}}
- {name: b, worker: {restart: Transient, significant: true}}
- {name: c, worker: {}}
";

const EVERY: &str = "
startup: Ordered
autoShutdown: AllSignificant
children:
- {name: a, worker: {restart: Transient, significant: true}}
- {name: b, worker: {restart: Temporary, significant: true}}
- {name: c, worker: {}}
";

const CASCADE: &str = "
startup: Ordered
autoShutdown: AnySignificant
children:
- name: s
  supervisor: {restart: Transient, significant: true, startup: Ordered, autoShutdown: AnySignificant}
- {name: a, parent: s, worker: {restart: Transient, significant: true}}
- {name: b, parent: s, worker: {}}
- {name: c, worker: {}}
";

const LOOPING: &str = "
strategy: OneForAll
children:
- name: s
  supervisor: {startup: Ordered, autoShutdown: AnySignificant}
- {name: a, parent: s, worker: {restart: Transient, significant: true}}
- {name: b, parent: s, worker: {}}
- {name: c, worker: {}}
";

const FAIL: &str = "
strategy: OneForAll
onStartFailure: Fail
intensity: {maxRestarts: 20, periodSeconds: 600}
children:
- {name: a, worker: {}}
- {name: b, worker: {}}
- {name: c, worker: {}}
";

const FAIL_BELOW: &str = "
strategy: OneForAll
intensity: {maxRestarts: 10, periodSeconds: 600}
children:
- {name: a, worker: {}}
- name: s
  supervisor: {startup: Ordered, onStartFailure: Fail}
- {name: b, parent: s, worker: {}}
- {name: c, parent: s, worker: {}}
";

/// Ends of workers.
pub(super) fn ends() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "clean_ends_by_type",
            TYPES,
            180,
            HEALTHY,
            vec![
                (20, Kill("p", 0, 0)),
                (20, Kill("t", 0, 0)),
                (20, Kill("m", 0, 0)),
            ],
        )
        .costs("1 death; (root) #1 1 charge; m #1, p #1, t #1"),
        Scenario::new(
            "abnormal_ends_by_type",
            TYPES,
            180,
            HEALTHY,
            vec![
                (20, Kill("p", 0, 1)),
                (20, Kill("t", 0, 1)),
                (20, Kill("m", 0, 1)),
            ],
        )
        .costs("2 deaths; (root) #1 2 charges; m #1, p #1, t #1"),
        Scenario::new(
            "ends_in_a_group_disturb_nobody",
            TYPES_IN_A_GROUP,
            200,
            HEALTHY,
            vec![(20, Kill("t", 0, 0)), (90, Kill("m", 0, 1))],
        )
        .costs("0 deaths; (root) #1 0 charges; m #1, p #1, q #1, t #1"),
        Scenario::new(
            "what_had_finished_runs_again_with_its_group",
            TYPES_IN_A_GROUP,
            220,
            HEALTHY,
            vec![(20, Kill("t", 0, 0)), (90, Kill("q", 0, 1))],
        )
        .costs("1 death; (root) #1 1 charge; m #2, p #2, q #2, t #2"),
        Scenario::new(
            "the_pod_of_what_has_finished_is_deleted",
            TYPES,
            150,
            HEALTHY,
            vec![(20, Kill("t", 0, 0)), (60, DeletePod("t", 0))],
        )
        .costs("0 deaths; (root) #1 0 charges; m #1, p #1, t #1"),
        Scenario::new(
            "what_has_finished_runs_again_for_its_template_and_when_asked",
            TYPES,
            260,
            HEALTHY,
            vec![
                (20, Kill("t", 0, 0)),
                (
                    60,
                    Set(
                        "children.t.worker.template.spec.containers.app.image",
                        "two",
                    ),
                ),
                (120, Kill("t", 0, 0)),
                (180, RestartIn("t", 0)),
            ],
        )
        .costs("0 deaths; (root) #1 0 charges; m #1, p #1, t #1"),
        Scenario::new(
            "a_migration_completes_first",
            MIGRATION,
            160,
            HEALTHY,
            vec![(0, Behave("migrate", Crash(2, 0))), (60, Kill("db", 0, 1))],
        )
        .costs("1 death; (root) #1 1 charge; api #2, db #2, migrate #2"),
        Scenario::new(
            "a_migration_fails_at_first",
            MIGRATION,
            160,
            HEALTHY,
            vec![
                (0, Behave("migrate", Crash(1, 1))),
                (10, Behave("migrate", Crash(1, 0))),
            ],
        ),
    ]
}

/// Ends of supervisors with their children, and starts that fail.
pub(super) fn ends_of_supervisors() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "any_significant_child_ends_its_tree",
            ANY,
            140,
            "TFF Finished",
            vec![(20, Kill("b", 0, 0))],
        )
        .costs("0 deaths; (root) #1 0 charges; a #1, b #1, c #1"),
        Scenario::new(
            "all_significant_children_end_their_tree",
            EVERY,
            240,
            "TFF Finished",
            vec![
                (20, Kill("b", 0, 1)),
                (80, Kill("a", 0, 1)),
                (150, Kill("a", 0, 0)),
            ],
        ),
        Scenario::new(
            "a_shutdown_ends_the_supervisor_above",
            CASCADE,
            140,
            "TFF Finished",
            vec![(20, Kill("a", 0, 0))],
        )
        .costs("0 deaths; (root) #1 0 charges; s #1 0 charges; a #1, b #1, c #1"),
        Scenario::new(
            "a_tree_that_has_finished_is_asked_for",
            ANY,
            220,
            HEALTHY,
            vec![(20, Kill("b", 0, 0)), (90, RestartIn("", 0))],
        )
        .costs("0 deaths; (root) #2 0 charges; a #2, b #2, c #2"),
        Scenario::new(
            "a_permanent_supervisor_that_ends_is_restarted",
            LOOPING,
            160,
            HEALTHY,
            vec![(20, Kill("a", 0, 0))],
        )
        .costs("0 deaths; (root) #1 1 charge; s #2 0 charges; a #2, b #2, c #2"),
        Scenario::new(
            "a_first_start_fails",
            FAIL,
            240,
            HEALTHY,
            vec![(0, Behave("b", Crash(0, 1))), (25, Behave("b", Healthy))],
        ),
        Scenario::new(
            "a_first_start_fails_below",
            FAIL_BELOW,
            240,
            HEALTHY,
            vec![(0, Behave("c", Crash(0, 1))), (15, Behave("c", Healthy))],
        ),
        Scenario::new(
            "a_restart_fails_where_a_first_start_may_not",
            FAIL,
            240,
            HEALTHY,
            vec![
                (20, Behave("b", Crash(0, 1))),
                (20, Kill("c", 0, 1)),
                (30, Behave("b", Healthy)),
            ],
        ),
    ]
}
