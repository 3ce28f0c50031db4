//! Stories of groups that give up: over several levels, and with each policy.
//!
//! Rule: each ends in a state that stays.

use super::HEALTHY;
use crate::sim::cluster::Behaviour::{Crash, Healthy};
use crate::sim::scenario::Scenario;
use crate::sim::scenario::Step::{Behave, Kill, Retry};

/// A supervisor that gives up at its first death, in a group.
const TWO_LEVELS: &str = "
strategy: OneForAll
children:
- {name: db, worker: {}}
- name: web
  supervisor: {strategy: RestForOne, intensity: {maxRestarts: 0, periodSeconds: 300}}
- {name: api, parent: web, worker: {}}
- {name: ui, parent: web, worker: {}}
- {name: log, worker: {}}
";

/// Two of them, one in the other.
const THREE_LEVELS: &str = "
strategy: RestForOne
children:
- {name: db, worker: {}}
- name: web
  supervisor: {strategy: OneForAll, intensity: {maxRestarts: 0, periodSeconds: 300}}
- {name: api, parent: web, worker: {}}
- name: edge
  parent: web
  supervisor: {strategy: OneForAll, intensity: {maxRestarts: 0, periodSeconds: 300}}
- {name: ui, parent: edge, worker: {}}
- {name: cdn, parent: edge, worker: {}}
- {name: log, worker: {}}
";

/// A group that may die once in ten minutes.
const BRITTLE_ALL: &str = "
strategy: OneForAll
intensity: {maxRestarts: 1, periodSeconds: 600}
children:
- {name: a, worker: {}}
- {name: b, worker: {}}
- {name: c, worker: {}}
";
const BRITTLE_REST: &str = "
strategy: RestForOne
intensity: {maxRestarts: 1, periodSeconds: 600}
children:
- {name: a, worker: {}}
- {name: b, worker: {}}
- {name: c, worker: {}}
";

/// Stories of these.
pub(super) fn escalations() -> Vec<Scenario> {
    [upwards(), retries()].concat()
}

fn upwards() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "escalation_over_two_levels",
            TWO_LEVELS,
            140,
            HEALTHY,
            vec![(20, Kill("ui", 0, 1))],
        )
        .costs(
            "1 death; (root) #1 1 charge; web #2 0 charges; api #2, db #2, log #2, ui #2",
        ),
        Scenario::new(
            "escalation_over_three_levels",
            THREE_LEVELS,
            160,
            HEALTHY,
            vec![(20, Kill("cdn", 0, 1))],
        )
        .costs(
            "1 death; (root) #1 1 charge; edge #2 0 charges; web #2 0 charges; api #2, cdn #2, db #1, log #2, ui #2",
        ),
        Scenario::new(
            "escalation_while_the_root_restarts",
            TWO_LEVELS,
            160,
            HEALTHY,
            vec![(20, Kill("ui", 0, 1)), (21, Kill("db", 0, 1))],
        ),
        Scenario::new(
            "group_crash_loop_stops_everything",
            "
strategy: OneForAll
onGiveUp: Stop
intensity: {maxRestarts: 1, periodSeconds: 600}
children:
- {name: db, worker: {}}
- name: web
  supervisor: {strategy: OneForAll, intensity: {maxRestarts: 1, periodSeconds: 600}}
- {name: api, parent: web, worker: {}}
- {name: ui, parent: web, worker: {}}
",
            240,
            "FFT GaveUp",
            vec![(20, Behave("api", Crash(1, 1)))],
        ),
        Scenario::new(
            "group_that_stopped_is_tried_when_asked",
            "
strategy: OneForAll
onGiveUp: Stop
intensity: {maxRestarts: 0, periodSeconds: 600}
children:
- {name: a, worker: {}}
- {name: b, worker: {}}
",
            240,
            HEALTHY,
            vec![(20, Kill("b", 0, 1)), (100, Retry)],
        ),
    ]
}

fn retries() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "group_gives_up_and_is_tried_again",
            BRITTLE_ALL,
            330,
            HEALTHY,
            vec![(20, Behave("b", Crash(1, 1))), (60, Behave("b", Healthy))],
        ),
        Scenario::new(
            "rest_gives_up_and_is_tried_again",
            BRITTLE_REST,
            330,
            HEALTHY,
            vec![(20, Behave("b", Crash(1, 1))), (60, Behave("b", Healthy))],
        ),
        Scenario::new(
            "rest_gives_up_and_the_first_dies_meanwhile",
            BRITTLE_REST,
            330,
            HEALTHY,
            vec![
                (20, Behave("c", Crash(1, 1))),
                (40, Kill("a", 0, 1)),
                (41, Behave("c", Healthy)),
            ],
        ),
        Scenario::new(
            "inner_group_is_tried_again_by_itself",
            "
strategy: OneForAll
children:
- {name: db, worker: {}}
- name: web
  supervisor: {strategy: OneForAll, onGiveUp: Retry, intensity: {maxRestarts: 0, periodSeconds: 300}}
- {name: api, parent: web, worker: {}}
- {name: ui, parent: web, worker: {}}
",
            240,
            HEALTHY,
            vec![(20, Kill("api", 0, 1))],
        ),
        Scenario::new(
            "transient_supervisor_gives_up_and_stays_down",
            "
children:
- name: web
  supervisor: {restart: Transient, strategy: OneForAll, intensity: {maxRestarts: 0, periodSeconds: 300}}
- {name: api, parent: web, worker: {}}
- {name: ui, parent: web, worker: {}}
- {name: log, worker: {}}
",
            180,
            "FFT GaveUp",
            vec![(20, Kill("api", 0, 1))],
        )
        .costs("1 death; (root) #1 0 charges; web #1 1 charge; api #1, log #1, ui #1"),
        Scenario::new(
            "transient_supervisor_that_gave_up_is_asked_for",
            "
children:
- name: web
  supervisor: {restart: Transient, strategy: OneForAll, intensity: {maxRestarts: 0, periodSeconds: 300}}
- {name: api, parent: web, worker: {}}
- {name: ui, parent: web, worker: {}}
- {name: log, worker: {}}
",
            220,
            HEALTHY,
            vec![(20, Kill("api", 0, 1)), (100, Retry)],
        ),
    ]
}
