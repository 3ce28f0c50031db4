//! Known traces of strategies and of starts.
//!
//! Rule: one thing each; what it is called says which.

use super::{Golden, at_once, crash, exit, start, stop, supervisor, together, worker, workers};
use crate::otp::history::{Reason, Restart, Strategy};

pub(super) fn strategies() -> Vec<Golden> {
    use Strategy::{OneForAll, OneForOne, RestForOne};
    let mixed = || {
        vec![
            worker("a"),
            worker("b").restart(Restart::Transient),
            worker("d"),
            worker("e").restart(Restart::Temporary),
        ]
    };
    vec![
        Golden {
            name: "x01: a finished transient child comes back with its group, a temporary one does not",
            tree: supervisor(OneForAll, 5, 5, mixed()),
            steps: at_once(vec![exit("b", Reason::Normal), crash("a")]),
            events: vec![
                "start a, start b, start d, start e",
                "",
                "stopped e, stopped d, start a, start b, start d",
            ],
            up: "a b d root",
        },
        Golden {
            name: "x04: a permanent child that ends normally is restarted with those after it",
            tree: supervisor(RestForOne, 5, 5, workers("a b d")),
            steps: at_once(vec![exit("a", Reason::Normal)]),
            events: vec![
                "start a, start b, start d",
                "stopped d, stopped b, start a, start b, start d",
            ],
            up: "a b d root",
        },
        Golden {
            name: "x08: one_for_all starts from the first again",
            tree: supervisor(
                OneForAll,
                5,
                5,
                vec![worker("a"), worker("b").script(&[true, false]), worker("d")],
            ),
            steps: at_once(vec![crash("d")]),
            events: vec![
                "start a, start b, start d",
                "stopped b, stopped a, start a, failed b, stopped a, start a, start b, start d",
            ],
            up: "a b d root",
        },
        Golden {
            name: "x09: rest_for_one goes on with the one that failed",
            tree: supervisor(
                RestForOne,
                5,
                5,
                vec![worker("a"), worker("b").script(&[true, false]), worker("d")],
            ),
            steps: at_once(vec![crash("a")]),
            events: vec![
                "start a, start b, start d",
                "stopped d, stopped b, start a, failed b, start b, start d",
            ],
            up: "a b d root",
        },
        Golden {
            name: "x15: two deaths under one_for_one are two",
            tree: supervisor(OneForOne, 1, 5, workers("a b")),
            steps: at_once(vec![together("a b")]),
            events: vec![
                "start a, start b",
                "start a, stopped a, exited root (gave up)",
            ],
            up: "",
        },
        Golden {
            name: "x15: two deaths under one_for_all are one",
            tree: supervisor(OneForAll, 1, 5, workers("a b")),
            steps: at_once(vec![together("b a")]),
            events: vec!["start a, start b", "start a, start b"],
            up: "a b root",
        },
        Golden {
            name: "x15: two deaths under rest_for_one, read in start order, are one",
            tree: supervisor(RestForOne, 1, 5, workers("a b")),
            steps: at_once(vec![together("b a")]),
            events: vec!["start a, start b", "start a, start b"],
            up: "a b root",
        },
        Golden {
            name: "x27: a temporary child that crashes disturbs nobody",
            tree: supervisor(OneForAll, 0, 5, mixed()),
            steps: at_once(vec![crash("e"), exit("b", Reason::ShutdownWith)]),
            events: vec!["start a, start b, start d, start e", "", ""],
            up: "a d root",
        },
    ]
}

pub(super) fn starts() -> Vec<Golden> {
    use Strategy::OneForOne;
    vec![
        Golden {
            name: "x06: a restart that fails is tried again, and each try is charged",
            tree: supervisor(
                OneForOne,
                3,
                60,
                vec![worker("a").script(&[true, false, false])],
            ),
            steps: at_once(vec![crash("a"), crash("a")]),
            events: vec![
                "start a",
                "failed a, failed a, start a",
                "exited root (gave up)",
            ],
            up: "",
        },
        Golden {
            name: "x07: a first start that fails is not",
            tree: supervisor(
                OneForOne,
                3,
                60,
                vec![
                    worker("a"),
                    worker("b"),
                    worker("d").script(&[false]),
                    worker("e"),
                ],
            ),
            steps: at_once(vec![crash("a")]),
            events: vec!["start a, start b, failed d, stopped b, stopped a, failed root"],
            up: "",
        },
        Golden {
            name: "x13: what is done by hand is not charged",
            tree: supervisor(OneForOne, 1, 60, workers("a b")),
            steps: at_once(vec![
                stop("a"),
                start("a"),
                stop("a"),
                start("a"),
                stop("a"),
                start("a"),
            ]),
            events: vec![
                "start a, start b",
                "stopped a",
                "start a",
                "stopped a",
                "start a",
                "stopped a",
                "start a",
            ],
            up: "a b root",
        },
    ]
}
