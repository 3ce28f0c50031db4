//! Stories of Pods that get a changed template without being replaced.
//!
//! Rule: the revision before is proved good when the new one comes.

use super::HEALTHY;
use crate::sim::cluster::Behaviour::{Healthy, NoImage};
use crate::sim::revisions::BACK;
use crate::sim::scenario::Scenario;
use crate::sim::scenario::Step::{Behave, DeletePod, Kill, Set};

/// Two workers, of which the Pods of the first are changed one after another.
const IN_PLACE: &str = "
rollout: {probationSeconds: 10}
children:
- {name: a, worker: {replicas: 3, quorum: 2, update: {maxSurge: 0, maxUnavailable: 1, minReadySeconds: 2, method: InPlaceIfPossible}}}
- {name: b, worker: {update: {method: InPlaceIfPossible}}}
";
/// The same, which nothing takes back: a Pod that the API server refuses would.
const NEVER_BACK: &str = "
rollout: {probationSeconds: 10, onFailure: None}
children:
- {name: a, worker: {replicas: 3, quorum: 2, update: {maxSurge: 0, maxUnavailable: 1, minReadySeconds: 2, method: InPlaceIfPossible}}}
- {name: b, worker: {update: {method: InPlaceIfPossible}}}
";
/// The same of replicas that have names, with a canary.
const STABLE: &str = "
rollout: {probationSeconds: 10}
children:
- {name: db, worker: {identity: Stable, replicas: 3, quorum: 2, update: {method: InPlaceIfPossible,
   steps: [{updated: 1}, {pauseSeconds: 5}]}}}
";
const A: &str = "children.a.worker.template.spec.containers.app.image";
const B: &str = "children.b.worker.template.spec.containers.app.image";
const DB: &str = "children.db.worker.template.spec.containers.app.image";

/// Updates in place.
pub(super) fn updates() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "in_place_over_the_replicas",
            IN_PLACE,
            150,
            HEALTHY,
            vec![(40, Set(A, "two")), (40, Set(B, "two"))],
        ),
        Scenario::new(
            "in_place_among_the_dead",
            NEVER_BACK,
            200,
            HEALTHY,
            vec![
                (40, Set(A, "two")),
                (41, Kill("a", 2, 1)),
                (44, DeletePod("a", 1)),
                (47, Kill("a", 0, 1)),
            ],
        ),
        Scenario::new(
            "in_place_is_taken_back",
            IN_PLACE,
            220,
            BACK,
            vec![
                (40, Behave("b", NoImage)),
                (40, Set(A, "two")),
                (40, Set(B, "two")),
                (90, Behave("b", Healthy)),
            ],
        ),
        Scenario::new(
            "in_place_cannot_be_pulled",
            IN_PLACE,
            220,
            BACK,
            vec![
                (40, Behave("a", NoImage)),
                (40, Set(A, "two")),
                (70, Behave("a", Healthy)),
            ],
        ),
        Scenario::new(
            "in_place_is_overtaken",
            IN_PLACE,
            240,
            HEALTHY,
            vec![
                (40, Set(A, "two")),
                (43, Set(A, "three")),
                (44, Set("rollout.paused", "true")),
                (60, Set("rollout.paused", "false")),
                (62, Set(A, "one")),
            ],
        ),
        Scenario::new(
            "in_place_with_names_and_a_canary",
            STABLE,
            200,
            HEALTHY,
            vec![(40, Set(DB, "two")), (90, Kill("db", 2, 1))],
        ),
    ]
}
