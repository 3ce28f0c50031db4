//! Stories of edits, each in the middle of an operation of a group.
//!
//! Rule: each ends in a state that stays, which is that of the last spec.

use super::HEALTHY;
use crate::sim::scenario::Scenario;
use crate::sim::scenario::Step::{Apply, Kill, Scale, Set};

/// A group, and one child that is none of its.
const GROUP: &str = "
children:
- name: g
  supervisor: {strategy: OneForAll, intensity: {maxRestarts: 5, periodSeconds: 600}}
- {name: a, parent: g, worker: {}}
- {name: b, parent: g, worker: {}}
- {name: c, parent: g, worker: {}}
- {name: d, parent: g, worker: {}}
- name: h
  supervisor: {strategy: RestForOne}
- {name: x, parent: h, worker: {}}
- {name: y, parent: h, worker: {}}
";

/// Edits while the group stops, and while it starts.
pub(super) fn edits() -> Vec<Scenario> {
    [flags(), children(), members()].concat()
}

fn story(name: &'static str, mut steps: Vec<(u64, crate::sim::scenario::Step)>) -> Scenario {
    steps.insert(0, (20, Kill("b", 0, 1)));
    Scenario::new(name, GROUP, 180, HEALTHY, steps)
}

fn flags() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "strategy_of_a_live_tree",
            "
startup: Ordered
children:
- {name: a, worker: {}}
- {name: b, worker: {}}
- {name: c, worker: {}}
",
            180,
            HEALTHY,
            vec![(20, Set("strategy", "OneForAll")), (80, Kill("b", 0, 1))],
        )
        .costs("1 death; (root) #1 1 charge; a #2, b #2, c #2"),
        story(
            "strategy_in_the_stop",
            vec![(21, Set("children.g.supervisor.strategy", "OneForOne"))],
        ),
        story(
            "strategy_in_the_start",
            vec![
                (23, Set("children.g.supervisor.strategy", "RestForOne")),
                (24, Kill("a", 0, 1)),
            ],
        ),
        story(
            "startup_in_the_stop",
            vec![(21, Set("children.g.supervisor.startup", "Parallel"))],
        )
        .costs(
            "1 death; (root) #1 0 charges; g #1 1 charge; h #1 0 charges; a #2, b #2, c #2, d #2, x #1, y #1",
        ),
        story(
            "intensity_in_the_stop",
            vec![(21, Set("children.g.supervisor.intensity.maxRestarts", "0"))],
        ),
        story(
            "type_in_the_stop",
            vec![
                (21, Set("children.a.worker.restart", "Transient")),
                (90, Kill("a", 0, 0)),
            ],
        )
        .costs(
            "1 death; (root) #1 0 charges; g #1 1 charge; h #1 0 charges; a #2, b #2, c #2, d #2, x #1, y #1",
        ),
        story(
            "disable_in_the_stop",
            vec![
                (21, Set("children.a.enabled", "false")),
                (90, Set("children.a.enabled", "true")),
            ],
        ),
        story(
            "disable_in_the_start",
            vec![
                (23, Set("children.c.enabled", "false")),
                (90, Set("children.c.enabled", "true")),
            ],
        ),
        story(
            "disable_the_group_in_the_stop",
            vec![
                (21, Set("children.g.enabled", "false")),
                (90, Set("children.g.enabled", "true")),
            ],
        ),
        story(
            "template_in_the_stop",
            vec![(
                21,
                Set("children.c.worker.template.spec.containers.app.image", "two"),
            )],
        ),
        story(
            "template_in_the_start",
            vec![(
                23,
                Set("children.a.worker.template.spec.containers.app.image", "two"),
            )],
        ),
    ]
}

fn children() -> Vec<Scenario> {
    vec![
        story(
            "order_in_the_stop",
            vec![(
                21,
                Apply(
                    "
children:
- name: g
  supervisor: {strategy: OneForAll, intensity: {maxRestarts: 5, periodSeconds: 600}}
- {name: d, parent: g, worker: {}}
- {name: c, parent: g, worker: {}}
- {name: b, parent: g, worker: {}}
- {name: a, parent: g, worker: {}}
- name: h
  supervisor: {strategy: RestForOne}
- {name: x, parent: h, worker: {}}
- {name: y, parent: h, worker: {}}
",
                ),
            )],
        )
        .costs(
            "1 death; (root) #1 0 charges; g #1 1 charge; h #1 0 charges; a #2, b #2, c #2, d #2, x #1, y #1",
        ),
        story(
            "move_out_in_the_stop",
            vec![(21, Set("children.a.parent", "null"))],
        ),
        story(
            "move_out_in_the_start",
            vec![(22, Set("children.d.parent", "null"))],
        ),
        story(
            "move_in_in_the_stop",
            vec![(
                21,
                Apply(
                    "
children:
- name: g
  supervisor: {strategy: OneForAll, intensity: {maxRestarts: 5, periodSeconds: 600}}
- {name: a, parent: g, worker: {}}
- {name: b, parent: g, worker: {}}
- {name: c, parent: g, worker: {}}
- {name: y, parent: g, worker: {}}
- {name: d, parent: g, worker: {}}
- name: h
  supervisor: {strategy: RestForOne}
- {name: x, parent: h, worker: {}}
",
                ),
            )],
        ),
    ]
}

fn members() -> Vec<Scenario> {
    vec![
        story(
            "removal_and_addition_in_the_stop",
            vec![(
                21,
                Apply(
                    "
children:
- name: g
  supervisor: {strategy: OneForAll, intensity: {maxRestarts: 5, periodSeconds: 600}}
- {name: a, parent: g, worker: {}}
- {name: e, parent: g, worker: {}}
- {name: c, parent: g, worker: {}}
- {name: d, parent: g, worker: {}}
- name: h
  supervisor: {strategy: RestForOne}
- {name: x, parent: h, worker: {}}
- {name: y, parent: h, worker: {}}
",
                ),
            )],
        ),
        story(
            "removal_and_addition_in_the_start",
            vec![(
                23,
                Apply(
                    "
children:
- name: g
  supervisor: {strategy: OneForAll, intensity: {maxRestarts: 5, periodSeconds: 600}}
- {name: a, parent: g, worker: {}}
- {name: b, parent: g, worker: {}}
- {name: e, parent: g, worker: {}}
- {name: d, parent: g, worker: {}}
- name: h
  supervisor: {strategy: RestForOne}
- {name: x, parent: h, worker: {}}
- {name: y, parent: h, worker: {}}
",
                ),
            )],
        ),
        story(
            "replicas_in_the_stop",
            vec![(21, Scale("a", 3)), (90, Scale("a", 1))],
        ),
        story(
            "the_group_is_removed_in_the_stop",
            vec![(
                21,
                Apply(
                    "
children:
- name: h
  supervisor: {strategy: RestForOne}
- {name: x, parent: h, worker: {}}
- {name: y, parent: h, worker: {}}
",
                ),
            )],
        ),
        story(
            "another_group_restarts_meanwhile",
            vec![(21, Kill("x", 0, 1))],
        )
        .costs(
            "2 deaths; (root) #1 0 charges; g #1 1 charge; h #1 1 charge; a #2, b #2, c #2, d #2, x #2, y #2",
        ),
    ]
}
