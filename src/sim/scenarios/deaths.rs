//! Stories of deaths.
//!
//! Rule: each ends in a state that stays.

use super::{BRITTLE, BRITTLE_SLOTS, HEALTHY, PAIR, SHOP};
use crate::sim::cluster::Behaviour::{Crash, Hang, Healthy, Rejected};
use crate::sim::scenario::Scenario;
use crate::sim::scenario::Step::{Behave, DeletePod, Evict, Kill, Pressure, Retry, Set, Vanish};

/// Deaths that are healed.
pub(super) fn healed() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "heal_an_exit",
            PAIR,
            120,
            HEALTHY,
            vec![(20, Kill("a", 0, 1))],
        ),
        Scenario::new(
            "heal_two_exits",
            PAIR,
            150,
            HEALTHY,
            vec![(20, Kill("b", 0, 1)), (50, Kill("b", 0, 1))],
        ),
        Scenario::new(
            "heal_exits_of_all",
            SHOP,
            210,
            HEALTHY,
            vec![
                (20, Kill("db", 0, 1)),
                (20, Kill("api", 0, 1)),
                (20, Kill("api", 1, 1)),
                (20, Kill("ui", 0, 1)),
            ],
        ),
        Scenario::new(
            "heal_a_delete",
            PAIR,
            120,
            HEALTHY,
            vec![(20, DeletePod("a", 0)), (50, DeletePod("b", 1))],
        ),
        Scenario::new(
            "heal_a_delete_of_a_stable_pod",
            SHOP,
            120,
            HEALTHY,
            vec![(20, DeletePod("db", 1))],
        ),
        Scenario::new(
            "heal_what_vanished",
            SHOP,
            150,
            HEALTHY,
            vec![(20, Vanish("db", 0)), (50, Vanish("api", 1))],
        ),
        Scenario::new(
            "heal_an_eviction",
            PAIR,
            150,
            HEALTHY,
            vec![(20, Evict("a", 0)), (50, Pressure("b", 0))],
        ),
        Scenario::new(
            "heal_a_rejected_pod",
            PAIR,
            400,
            HEALTHY,
            vec![(0, Behave("a", Rejected)), (60, Behave("a", Healthy))],
        ),
    ]
}

/// Deaths that are not healed at once: parked slots, give-ups, escalation, retries.
pub(super) fn not_healed() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "crash_loop_parks_a_slot",
            BRITTLE_SLOTS,
            330,
            "TFT",
            vec![(20, Behave("b/1", Crash(2, 1)))],
        ),
        Scenario::new(
            "crash_loop_gives_up_and_retries",
            BRITTLE,
            400,
            "FFT",
            vec![(20, Behave("a", Crash(1, 1)))],
        ),
        Scenario::new(
            "crash_loop_that_ends",
            BRITTLE,
            500,
            HEALTHY,
            vec![(20, Behave("a", Crash(1, 1))), (100, Behave("a", Healthy))],
        ),
        Scenario::new(
            "crash_loop_escalates",
            "
onGiveUp: Stop
intensity: {maxRestarts: 1, periodSeconds: 600}
children:
- name: web
  supervisor: {intensity: {maxRestarts: 1, periodSeconds: 300}}
- {name: api, parent: web, worker: {}}
- {name: ui, parent: web, worker: {}}
- {name: db, worker: {}}
",
            390,
            "FFT",
            vec![(20, Behave("api", Crash(1, 1)))],
        ),
        Scenario::new(
            "retry_ends_a_stop",
            "
onGiveUp: Stop
intensity: {maxRestarts: 1, periodSeconds: 300}
children:
- {name: a, worker: {}}
- {name: b, worker: {}}
",
            330,
            HEALTHY,
            vec![
                (20, Behave("a", Crash(1, 1))),
                (140, Behave("a", Healthy)),
                (150, Retry),
            ],
        ),
        Scenario::new(
            "edit_ends_a_give_up",
            BRITTLE,
            300,
            HEALTHY,
            vec![
                (20, Behave("a", Crash(1, 1))),
                (119, Behave("a", Healthy)),
                (
                    120,
                    Set(
                        "children.a.worker.template.spec.containers.app.image",
                        "two",
                    ),
                ),
            ],
        ),
        Scenario::new(
            "start_deadline_missed",
            "
intensity: {maxRestarts: 0, periodSeconds: 60}
children:
- {name: a, worker: {startDeadlineSeconds: 20}}
- {name: b, worker: {}}
",
            400,
            "FFT",
            vec![(0, Behave("a", Hang))],
        ),
    ]
}
