//! Stories of new versions that go over a tree, stop, or are taken back.
//!
//! Rule: the revision before is proved good when the new one comes.

use super::HEALTHY;
use crate::sim::cluster::Behaviour::{Crash, Healthy, NoImage};
use crate::sim::revisions::BACK;
use crate::sim::scenario::Scenario;
use crate::sim::scenario::Step::{Apply, Behave, DeletePod, Kill, Retry, Set};

/// Three workers that depend on each other in this order.
const CHAIN: &str = "
rollout: {probationSeconds: 10}
children:
- {name: a, worker: {}}
- {name: b, worker: {replicas: 2}}
- {name: c, worker: {}}
";
/// The same, where the new replicas of the middle one have to be up for a while before others give way.
const SLOW: &str = "
rollout: {probationSeconds: 10}
children:
- {name: a, worker: {}}
- {name: b, worker: {replicas: 2, update: {minReadySeconds: 10}}}
- {name: c, worker: {}}
";
/// The same, where the middle one has a canary.
const CANARY: &str = "
rollout: {probationSeconds: 10}
children:
- {name: a, worker: {}}
- {name: b, worker: {replicas: 3, update: {steps: [{updated: 1}, {pause: {}}, {updated: 2}, {pauseSeconds: 5}]}}}
- {name: c, worker: {}}
";
/// Two workers whose bounds are parts of their replicas.
const PARTS: &str = "
rollout: {probationSeconds: 10}
children:
- {name: a, worker: {replicas: 5, update: {maxSurge: 30%, maxUnavailable: 30%}}}
- {name: b, worker: {replicas: 4, quorum: 2, update: {maxSurge: 0, maxUnavailable: 60%}}}
";
/// What `CHAIN` is edited into at once: all have another template, the last one is dropped, and two are added, of which one comes
/// before those that stay.
const CHAIN_TWO: &str = "
rollout: {probationSeconds: 10}
children:
- {name: d, worker: {template: {spec: {containers: [{name: app, image: two}]}}}}
- {name: a, worker: {template: {spec: {containers: [{name: app, image: two}]}}}}
- {name: b, worker: {replicas: 2, template: {spec: {containers: [{name: app, image: two}]}}}}
- {name: e, worker: {template: {spec: {containers: [{name: app, image: two}]}}}}
";
/// A group of which one cannot be replaced one by one, and one could.
const GROUP: &str = "
strategy: OneForAll
rollout: {probationSeconds: 10}
children:
- {name: a, worker: {identity: Stable}}
- {name: b, worker: {replicas: 2}}
- {name: c, worker: {update: {maxSurge: 0, maxUnavailable: 0}}}
";
/// The same with other templates, which one edit brings.
const GROUP_TWO: &str = "
strategy: OneForAll
rollout: {probationSeconds: 10}
children:
- {name: a, worker: {identity: Stable, template: {spec: {containers: [{name: app, image: two}]}}}}
- {name: b, worker: {replicas: 2, template: {spec: {containers: [{name: app, image: two}]}}}}
- {name: c, worker: {update: {maxSurge: 0, maxUnavailable: 0}, template: {spec: {containers: [{name: app, image: two}]}}}}
";
/// A group of which the first one has to complete before the next begins, and which gives up at its first death.
const MIGRATION: &str = "
strategy: OneForAll
intensity: {maxRestarts: 0, periodSeconds: 60}
rollout: {probationSeconds: 30}
children:
- {name: a, worker: {restart: Transient, ready: Completed}}
- {name: b, worker: {identity: Stable}}
";
/// The same with other templates, which one edit brings.
const MIGRATION_TWO: &str = "
strategy: OneForAll
intensity: {maxRestarts: 0, periodSeconds: 60}
rollout: {probationSeconds: 30}
children:
- {name: a, worker: {restart: Transient, ready: Completed, template: {spec: {containers: [{name: app, image: two}]}}}}
- {name: b, worker: {identity: Stable, template: {spec: {containers: [{name: app, image: two}]}}}}
";
const A: &str = "children.a.worker.template.spec.containers.app.image";
const B: &str = "children.b.worker.template.spec.containers.app.image";
const C: &str = "children.c.worker.template.spec.containers.app.image";

/// New versions over the whole tree.
pub(super) fn rollouts() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "roll_out_over_the_tree",
            CHAIN,
            150,
            HEALTHY,
            vec![
                (40, Set(A, "two")),
                (40, Set(B, "two")),
                (40, Set(C, "two")),
            ],
        ),
        Scenario::new(
            "roll_out_is_overtaken",
            SLOW,
            240,
            HEALTHY,
            vec![
                (40, Set(A, "two")),
                (40, Set(B, "two")),
                (48, Set(B, "three")),
                (60, Set(A, "one")),
                (60, Set(B, "one")),
            ],
        ),
        Scenario::new(
            "roll_out_by_parts_of_what_is_scaled",
            PARTS,
            240,
            HEALTHY,
            vec![
                (40, Set(A, "two")),
                (40, Set(B, "two")),
                (41, Set("children.a.worker.replicas", "8")),
                (46, Kill("a", 1, 1)),
                (50, Set("children.a.worker.replicas", "3")),
            ],
        ),
        Scenario::new(
            "roll_out_is_paused",
            SLOW,
            260,
            HEALTHY,
            vec![
                (40, Set(B, "two")),
                (40, Set(C, "two")),
                (44, Set("rollout.paused", "true")),
                (60, Kill("b", 0, 1)),
                (80, DeletePod("b", 1)),
                (120, Set("rollout.paused", "false")),
            ],
        ),
    ]
}

/// New versions that are taken back.
pub(super) fn taken_back() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "roll_out_is_taken_back",
            CHAIN,
            180,
            BACK,
            vec![
                (40, Behave("b", NoImage)),
                (40, Set(A, "two")),
                (40, Set(B, "two")),
                (70, Behave("b", Healthy)),
            ],
        ),
        Scenario::new(
            "roll_out_that_adds_and_drops_is_taken_back",
            CHAIN,
            200,
            BACK,
            vec![
                (40, Behave("b", NoImage)),
                (40, Apply(CHAIN_TWO)),
                (80, Behave("b", Healthy)),
            ],
        ),
        Scenario::new(
            "roll_out_is_taken_back_and_mended",
            SLOW,
            260,
            HEALTHY,
            vec![
                (40, Behave("b", NoImage)),
                (40, Set(A, "two")),
                (40, Set(B, "two")),
                (70, Behave("b", Healthy)),
                (90, Set(B, "three")),
            ],
        ),
        Scenario::new(
            "roll_out_is_taken_back_and_tried_again",
            CHAIN,
            260,
            HEALTHY,
            vec![
                (40, Behave("c", NoImage)),
                (40, Set(A, "two")),
                (40, Set(C, "two")),
                (70, Behave("c", Healthy)),
                (100, Retry),
            ],
        ),
    ]
}

/// New versions of a group that is restarted for them as a whole.
pub(super) fn of_groups() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "roll_out_restarts_a_group",
            GROUP,
            200,
            HEALTHY,
            vec![(40, Apply(GROUP_TWO))],
        )
        .costs("0 deaths; (root) #1 0 charges; a #2, b #2, c #2"),
        Scenario::new(
            "roll_out_of_a_group_is_taken_back",
            GROUP,
            280,
            BACK,
            vec![
                (40, Behave("c", NoImage)),
                (40, Apply(GROUP_TWO)),
                (80, Behave("c", Healthy)),
            ],
        )
        .costs("0 deaths; (root) #1 0 charges; a #3, b #3, c #3"),
        Scenario::new(
            "roll_out_of_a_migration_is_taken_back",
            MIGRATION,
            240,
            BACK,
            vec![
                (0, Behave("a", Crash(2, 0))),
                (60, Apply(MIGRATION_TWO)),
                (80, Kill("b", 0, 1)),
            ],
        ),
    ]
}

/// New versions that go over some replicas of a worker first.
pub(super) fn canaries() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "canary_is_promoted",
            CANARY,
            240,
            HEALTHY,
            vec![
                (40, Set(A, "two")),
                (40, Set(B, "two")),
                (60, Kill("b", 2, 1)),
                (70, DeletePod("b", 1)),
                (90, Set("rollout.promote", "{revision: 2, step: 2}")),
            ],
        ),
        Scenario::new(
            "canary_fails",
            CANARY,
            240,
            BACK,
            vec![
                (40, Set(A, "two")),
                (40, Set(B, "two")),
                (70, Behave("b", NoImage)),
                (70, DeletePod("b", 3)),
                (100, Behave("b", Healthy)),
            ],
        ),
        Scenario::new(
            "canary_dies",
            CANARY,
            240,
            BACK,
            vec![
                (40, Set(A, "two")),
                (40, Set(B, "two")),
                (80, Kill("b", 3, 1)),
            ],
        ),
        Scenario::new(
            "canary_is_scaled_and_overtaken",
            CANARY,
            280,
            HEALTHY,
            vec![
                (40, Set(B, "two")),
                (60, Set("children.b.worker.replicas", "5")),
                (80, Set(B, "three")),
                (100, Set("children.b.worker.replicas", "2")),
                (120, Set("rollout.promote", "{revision: 3, step: 2}")),
            ],
        ),
        Scenario::new(
            "canary_is_suspended",
            CANARY,
            300,
            HEALTHY,
            vec![
                (40, Set(B, "two")),
                (40, Set(C, "two")),
                (70, Set("suspend", "true")),
                (110, Set("suspend", "false")),
                (160, Set("rollout.promote", "{revision: 2, step: 2}")),
            ],
        ),
    ]
}
