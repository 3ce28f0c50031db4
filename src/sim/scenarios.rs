//! The named stories: what a tree goes through in its life.
//!
//! Rule: each ends in a state that stays, early enough that the last seconds are quiet; steps are far enough apart that
//! an operator that was away for a moment has caught up.

use super::cluster::Behaviour::{Crash, Hang, Healthy, NoCapacity, NoImage, Rejected};
use super::scenario::Scenario;
use super::scenario::Step::{
    Allow, Apply, Bait, Behave, Crash as OperatorsCrash, Create, Delete, DeleteNode, DeletePod,
    DeleteWorker, Disown, Evict, Kill, OutOfService, PowerOff, PowerOn, Pressure, Refuse, Restart,
    Retry, Scale, Set, Squat, Unlabel, Unsquat, Vanish,
};

/// Two workers, started together.
const PAIR: &str = "
children:
- {name: a, worker: {}}
- {name: b, worker: {replicas: 2}}
";

/// A tree that starts in order, with a supervisor of its own windows below the root.
const SHOP: &str = "
startup: Ordered
children:
- {name: db, worker: {identity: Stable, replicas: 2, quorum: 2}}
- name: web
  supervisor: {startup: Ordered, intensity: {maxRestarts: 2, periodSeconds: 120}}
- {name: api, parent: web, worker: {replicas: 2}}
- {name: ui, parent: web, worker: {}}
";

/// One worker that may die twice in a minute.
const BRITTLE: &str = "
intensity: {maxRestarts: 2, periodSeconds: 60}
children:
- {name: a, worker: {}}
- {name: b, worker: {}}
";

/// Replicas of which each may die once in a long time.
const BRITTLE_SLOTS: &str = "
intensity: {maxRestarts: 1, periodSeconds: 3600}
children:
- {name: a, worker: {}}
- {name: b, worker: {replicas: 3, quorum: 2}}
";

/// All named stories.
pub(super) fn all() -> Vec<Scenario> {
    let mut all = Vec::new();
    let mut tell = |name, tree, seconds, ends, steps| {
        all.push(Scenario {
            name,
            tree,
            steps,
            seconds,
            ends,
        });
    };
    let healthy = "TFF";

    // Lives without a fault.
    tell("start_together", PAIR, 90, healthy, vec![]);
    tell("start_in_order", SHOP, 90, healthy, vec![]);
    tell("start_nothing", "children: []", 60, healthy, vec![]);
    tell(
        "late_image",
        PAIR,
        200,
        healthy,
        vec![
            (0, Behave("a", NoImage)),
            (60, Behave("a", Healthy)),
            (62, DeletePod("a", 0)),
        ],
    );
    tell(
        "late_capacity",
        PAIR,
        200,
        healthy,
        vec![(0, Behave("b", NoCapacity)), (90, Behave("b", Healthy))],
    );
    tell(
        "image_fixed_by_edit",
        PAIR,
        220,
        healthy,
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
    );

    // Deaths that are healed.
    tell(
        "heal_an_exit",
        PAIR,
        120,
        healthy,
        vec![(20, Kill("a", 0, 1))],
    );
    tell(
        "heal_two_exits",
        PAIR,
        150,
        healthy,
        vec![(20, Kill("b", 0, 1)), (50, Kill("b", 0, 1))],
    );
    tell(
        "heal_exits_of_all",
        SHOP,
        210,
        healthy,
        vec![
            (20, Kill("db", 0, 1)),
            (20, Kill("api", 0, 1)),
            (20, Kill("api", 1, 1)),
            (20, Kill("ui", 0, 1)),
        ],
    );
    tell(
        "heal_a_delete",
        PAIR,
        120,
        healthy,
        vec![(20, DeletePod("a", 0)), (50, DeletePod("b", 1))],
    );
    tell(
        "heal_a_delete_of_a_stable_pod",
        SHOP,
        120,
        healthy,
        vec![(20, DeletePod("db", 1))],
    );
    tell(
        "heal_what_vanished",
        SHOP,
        150,
        healthy,
        vec![(20, Vanish("db", 0)), (50, Vanish("api", 1))],
    );
    tell(
        "heal_an_eviction",
        PAIR,
        150,
        healthy,
        vec![(20, Evict("a", 0)), (50, Pressure("b", 0))],
    );
    tell(
        "heal_a_rejected_pod",
        PAIR,
        400,
        healthy,
        vec![(0, Behave("a", Rejected)), (60, Behave("a", Healthy))],
    );

    // Deaths that are not.
    tell(
        "crash_loop_parks_a_slot",
        BRITTLE_SLOTS,
        330,
        "TFT",
        vec![(20, Behave("b/1", Crash(2, 1)))],
    );
    tell(
        "crash_loop_gives_up_and_retries",
        BRITTLE,
        400,
        "FFT",
        vec![(20, Behave("a", Crash(1, 1)))],
    );
    tell(
        "crash_loop_that_ends",
        BRITTLE,
        500,
        healthy,
        vec![(20, Behave("a", Crash(1, 1))), (100, Behave("a", Healthy))],
    );
    tell(
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
        320,
        "FFT",
        vec![(20, Behave("api", Crash(1, 1)))],
    );
    tell(
        "retry_ends_a_stop",
        "
onGiveUp: Stop
intensity: {maxRestarts: 1, periodSeconds: 300}
children:
- {name: a, worker: {}}
- {name: b, worker: {}}
",
        330,
        healthy,
        vec![
            (20, Behave("a", Crash(1, 1))),
            (140, Behave("a", Healthy)),
            (150, Retry),
        ],
    );
    tell(
        "edit_ends_a_give_up",
        BRITTLE,
        300,
        healthy,
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
    );
    tell(
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
    );

    // Edits.
    tell(
        "scale_up_and_down",
        PAIR,
        180,
        healthy,
        vec![
            (20, Set("children.b.worker.replicas", "4")),
            (60, Set("children.b.worker.replicas", "1")),
        ],
    );
    tell(
        "scale_a_worker_by_hand",
        "
children:
- {name: a, worker: {}}
",
        180,
        healthy,
        vec![
            (20, Scale("a", 3)),
            (60, Scale("a", 0)),
            (100, Scale("a", 2)),
        ],
    );
    tell(
        "scale_is_put_back",
        PAIR,
        120,
        healthy,
        vec![(20, Scale("b", 5))],
    );
    tell(
        "scale_stable_down",
        SHOP,
        150,
        healthy,
        vec![
            (20, Set("children.db.worker.replicas", "3")),
            (60, Set("children.db.worker.replicas", "1")),
        ],
    );
    tell(
        "roll_a_template",
        PAIR,
        180,
        healthy,
        vec![(
            20,
            Set(
                "children.b.worker.template.spec.containers.app.image",
                "two",
            ),
        )],
    );
    tell(
        "roll_stable_replicas",
        SHOP,
        180,
        healthy,
        vec![(
            20,
            Set(
                "children.db.worker.template.spec.containers.app.image",
                "two",
            ),
        )],
    );
    tell(
        "disable_and_enable",
        SHOP,
        200,
        healthy,
        vec![
            (20, Set("children.web.enabled", "false")),
            (60, Set("children.web.enabled", "true")),
        ],
    );
    tell(
        "add_and_remove_children",
        PAIR,
        220,
        healthy,
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
    );
    tell(
        "change_identity",
        PAIR,
        180,
        healthy,
        vec![(20, Set("children.b.worker.identity", "Stable"))],
    );
    tell(
        "move_to_another_parent",
        SHOP,
        180,
        healthy,
        vec![(20, Set("children.ui.parent", "null"))],
    );

    // Ends.
    tell(
        "delete_in_background",
        SHOP,
        120,
        "",
        vec![(20, Delete("Background"))],
    );
    tell(
        "delete_in_foreground",
        SHOP,
        120,
        "",
        vec![(20, Delete("Foreground"))],
    );
    tell(
        "delete_and_orphan",
        SHOP,
        120,
        "",
        vec![(20, Delete("Orphan"))],
    );
    tell(
        "delete_while_starting",
        SHOP,
        120,
        "",
        vec![(1, Delete("Background"))],
    );
    tell(
        "delete_in_a_crash_loop",
        BRITTLE,
        260,
        "",
        vec![(20, Behave("a", Crash(1, 1))), (80, Delete("Background"))],
    );
    tell(
        "delete_and_create_again",
        SHOP,
        220,
        healthy,
        vec![
            (20, Kill("db", 0, 1)),
            (40, Delete("Background")),
            (80, Create(PAIR)),
        ],
    );
    tell(
        "delete_with_a_lost_node",
        SHOP,
        260,
        "",
        vec![
            (20, PowerOff("node-a")),
            (120, Delete("Background")),
            (180, DeleteNode("node-a")),
        ],
    );

    // Nodes.
    tell(
        "node_lost_for_good",
        SHOP,
        420,
        healthy,
        vec![(20, PowerOff("node-a")), (200, DeleteNode("node-a"))],
    );
    tell(
        "node_comes_back",
        SHOP,
        420,
        healthy,
        vec![(20, PowerOff("node-b")), (200, PowerOn("node-b"))],
    );
    tell(
        "node_out_of_service",
        SHOP,
        420,
        healthy,
        vec![(20, PowerOff("node-c")), (100, OutOfService("node-c"))],
    );

    // Refusals and strangers.
    tell(
        "quota_refuses_and_allows",
        PAIR,
        500,
        healthy,
        vec![
            (
                0,
                Refuse("exceeded quota: pods, requested: pods=1, used: pods=0, limited: pods=0"),
            ),
            (100, Allow),
        ],
    );
    tell(
        "name_is_held_by_a_stranger",
        "
children:
- {name: db, worker: {identity: Stable}}
",
        600,
        healthy,
        vec![(0, Squat("t-db-0")), (90, Unsquat("t-db-0"))],
    );
    tell(
        "bait_is_not_taken",
        PAIR,
        120,
        healthy,
        vec![(20, Bait("a"))],
    );
    tell(
        "labels_are_taken_off",
        PAIR,
        150,
        healthy,
        vec![(20, Unlabel("a", 0))],
    );
    tell(
        "owner_is_taken_off",
        PAIR,
        150,
        healthy,
        vec![(20, Disown("b", 1))],
    );
    tell(
        "worker_is_deleted",
        PAIR,
        180,
        healthy,
        vec![(20, DeleteWorker("b"))],
    );

    // The operator itself.
    tell(
        "operator_dies_in_a_crash_loop",
        BRITTLE,
        400,
        "FFT",
        vec![
            (20, Behave("a", Crash(1, 1))),
            (23, OperatorsCrash),
            (50, OperatorsCrash),
        ],
    );
    tell(
        "operator_is_upgraded",
        SHOP,
        150,
        healthy,
        vec![(1, Restart), (30, Restart), (60, Kill("api", 1, 1))],
    );
    all
}

/// The story of that name.
pub(super) fn named(name: &str) -> Scenario {
    all()
        .into_iter()
        .find(|scenario| scenario.name == name)
        .expect("there is a scenario of that name")
}
