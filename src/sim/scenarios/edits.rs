//! Stories of edits.
//!
//! Rule: each ends in a state that stays.

use super::{HEALTHY, PAIR, SHOP};
use crate::sim::scenario::Scenario;
use crate::sim::scenario::Step::{Apply, Kill, Scale, Set};

/// Numbers of replicas, by the tree and by hand.
pub(super) fn scaling() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "scale_up_and_down",
            PAIR,
            180,
            HEALTHY,
            vec![
                (20, Set("children.b.worker.replicas", "4")),
                (60, Set("children.b.worker.replicas", "1")),
            ],
        ),
        Scenario::new(
            "scale_a_worker_by_hand",
            "
children:
- {name: a, worker: {}}
",
            180,
            HEALTHY,
            vec![
                (20, Scale("a", 3)),
                (60, Scale("a", 0)),
                (100, Scale("a", 2)),
            ],
        ),
        Scenario::new(
            "scale_is_put_back",
            PAIR,
            120,
            HEALTHY,
            vec![(20, Scale("b", 5))],
        ),
        Scenario::new(
            "scale_stable_down",
            SHOP,
            150,
            HEALTHY,
            vec![
                (20, Set("children.db.worker.replicas", "3")),
                (60, Set("children.db.worker.replicas", "1")),
            ],
        ),
    ]
}

/// Edits of the children: their templates, flags, places and identities.
pub(super) fn edits_of_children() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "edit_of_the_intensity_before_a_death",
            PAIR,
            120,
            HEALTHY,
            vec![
                (20, Set("intensity.maxRestarts", "5")),
                (22, Kill("a", 0, 1)),
            ],
        ),
        Scenario::new(
            "roll_a_template",
            PAIR,
            180,
            HEALTHY,
            vec![(
                20,
                Set(
                    "children.b.worker.template.spec.containers.app.image",
                    "two",
                ),
            )],
        ),
        Scenario::new(
            "roll_stable_replicas",
            SHOP,
            180,
            HEALTHY,
            vec![(
                20,
                Set(
                    "children.db.worker.template.spec.containers.app.image",
                    "two",
                ),
            )],
        ),
        Scenario::new(
            "disable_and_enable",
            SHOP,
            200,
            HEALTHY,
            vec![
                (20, Set("children.web.enabled", "false")),
                (60, Set("children.web.enabled", "true")),
            ],
        ),
        Scenario::new(
            "add_and_remove_children",
            PAIR,
            220,
            HEALTHY,
            vec![
                (
                    20,
                    Apply(
                        "children: [{name: a, worker: {}}, {name: b, worker: {replicas: 2}}, {name: c, worker: {}}]",
                    ),
                ),
                (
                    60,
                    Apply("children: [{name: c, worker: {}}, {name: a, worker: {}}]"),
                ),
            ],
        ),
        Scenario::new(
            "change_identity",
            PAIR,
            180,
            HEALTHY,
            vec![(20, Set("children.b.worker.identity", "Stable"))],
        ),
        Scenario::new(
            "move_to_another_parent",
            SHOP,
            180,
            HEALTHY,
            vec![(20, Set("children.ui.parent", "null"))],
        ),
    ]
}
