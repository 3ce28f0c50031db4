//! Stories without a death.
//!
//! Rule: each ends in a state that stays.

use super::{HEALTHY, PAIR, SHOP};
use crate::sim::cluster::Behaviour::{Healthy, NoCapacity, NoImage};
use crate::sim::scenario::Scenario;
use crate::sim::scenario::Step::{Behave, DeletePod, Set};

/// Lives without a fault, or with one that passes before anything has started.
pub(super) fn lives() -> Vec<Scenario> {
    vec![
        Scenario::new("start_together", PAIR, 90, HEALTHY, vec![]),
        Scenario::new("start_in_order", SHOP, 90, HEALTHY, vec![]),
        Scenario::new("start_nothing", "children: []", 60, HEALTHY, vec![]),
        Scenario::new(
            "late_image",
            PAIR,
            200,
            HEALTHY,
            vec![
                (0, Behave("a", NoImage)),
                (60, Behave("a", Healthy)),
                (62, DeletePod("a", 0)),
            ],
        ),
        Scenario::new(
            "late_capacity",
            PAIR,
            200,
            HEALTHY,
            vec![(0, Behave("b", NoCapacity)), (90, Behave("b", Healthy))],
        ),
        Scenario::new(
            "image_fixed_by_edit",
            PAIR,
            220,
            HEALTHY,
            vec![
                (0, Behave("a", NoImage)),
                (59, Behave("a", Healthy)),
                (
                    60,
                    Set(
                        "children.a.worker.template.spec.containers.app.image",
                        "two",
                    ),
                ),
            ],
        ),
    ]
}
