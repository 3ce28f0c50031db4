//! Known traces of levels, of ends and of windows.
//!
//! Rule: one thing each; what it is called says which.

use super::{Golden, at_once, crash, exit, stop, supervisor, worker, workers};
use crate::otp::history::{Action, AutoShutdown, ROOT, Reason, Restart, Strategy};

pub(super) fn levels() -> Vec<Golden> {
    use Strategy::OneForOne;
    let below = |intensity, restart: Restart| {
        let inner = supervisor(OneForOne, intensity, 60, workers("x"));
        vec![inner.named("s").restart(restart), worker("z")]
    };
    let crashes = |count| at_once(vec![crash("x"); count]);
    let mut long = vec!["start x, start z"];
    long.extend(["start x", "start x", "exited s (gave up), start x"].repeat(2));
    long.extend(["start x", "start x"]);
    long.push("exited s (gave up), stopped z, exited root (gave up)");
    vec![
        Golden {
            name: "x11: a transient supervisor that gave up stays down",
            tree: supervisor(OneForOne, 3, 60, below(0, Restart::Transient)),
            steps: crashes(1),
            events: vec!["start x, start z", "exited s (gave up)"],
            up: "root z",
        },
        Golden {
            name: "x12: a permanent one is restarted",
            tree: supervisor(OneForOne, 3, 60, below(0, Restart::Permanent)),
            steps: crashes(1),
            events: vec!["start x, start z", "exited s (gave up), start x"],
            up: "root s x z",
        },
        Golden {
            name: "x22: with an intensity of 2 on two levels, the ninth crash is the last",
            tree: supervisor(OneForOne, 2, 60, below(2, Restart::Permanent)),
            steps: crashes(9),
            events: long,
            up: "",
        },
        Golden {
            name: "x23: a supervisor that cannot start is tried as often as its parent allows",
            tree: supervisor(
                OneForOne,
                3,
                60,
                vec![
                    supervisor(
                        OneForOne,
                        0,
                        60,
                        vec![worker("x").script(&[true, false, false, false])],
                    )
                    .named("s"),
                    worker("z"),
                ],
            ),
            steps: crashes(1),
            events: vec![
                "start x, start z",
                "exited s (gave up), failed x, failed s, failed x, failed s, failed x, failed s, stopped z, \
                 exited root (gave up)",
            ],
            up: "",
        },
    ]
}

pub(super) fn ends() -> Vec<Golden> {
    use AutoShutdown::{AllSignificant, AnySignificant};
    use Strategy::OneForOne;
    let both = || {
        let children = vec![
            worker("a").significant(),
            worker("b").significant(),
            worker("d"),
        ];
        supervisor(OneForOne, 1, 60, children).shutting_down(AllSignificant)
    };
    let ending = |restart| {
        let children = vec![worker("x").significant(), worker("y")];
        let inner = supervisor(OneForOne, 1, 60, children).shutting_down(AnySignificant);
        let children = vec![inner.named("s").restart(restart), worker("z")];
        supervisor(OneForOne, 1, 60, children)
    };
    vec![
        Golden {
            name: "x17: one that is stopped is not active",
            tree: both(),
            steps: at_once(vec![stop("a"), exit("b", Reason::Normal)]),
            events: vec![
                "start a, start b, start d",
                "stopped a",
                "stopped d, exited root (auto-shutdown)",
            ],
            up: "",
        },
        Golden {
            name: "x18: and stopping the last one ends nothing",
            tree: both(),
            steps: at_once(vec![exit("a", Reason::Shutdown), stop("b")]),
            events: vec!["start a, start b, start d", "", "stopped b"],
            up: "d root",
        },
        Golden {
            name: "x20: a transient supervisor that has ended stays down",
            tree: ending(Restart::Transient),
            steps: at_once(vec![exit("x", Reason::Normal)]),
            events: vec![
                "start x, start y, start z",
                "stopped y, exited s (auto-shutdown)",
            ],
            up: "root z",
        },
        Golden {
            name: "x20: a permanent one is restarted",
            tree: ending(Restart::Permanent),
            steps: at_once(vec![exit("x", Reason::Normal)]),
            events: vec![
                "start x, start y, start z",
                "stopped y, exited s (auto-shutdown), start x, start y",
            ],
            up: "root s x y z",
        },
    ]
}

pub(super) fn windows() -> Vec<Golden> {
    use Strategy::OneForOne;
    let flags = |intensity, period| Action::Flags {
        supervisor: ROOT.to_owned(),
        flags: supervisor(OneForOne, intensity, period, Vec::new()).flags,
    };
    vec![
        Golden {
            name: "x05, x16: without intensity, the first crash is the last",
            tree: supervisor(OneForOne, 0, 5, workers("a b d e")),
            steps: at_once(vec![crash("b")]),
            events: vec![
                "start a, start b, start d, start e",
                "stopped e, stopped d, stopped a, exited root (gave up)",
            ],
            up: "",
        },
        Golden {
            name: "x14: whole seconds, both ends included",
            tree: supervisor(OneForOne, 1, 1, workers("a")),
            steps: vec![(0, crash("a")), (1, crash("a"))],
            events: vec!["start a", "start a", "exited root (gave up)"],
            up: "",
        },
        Golden {
            name: "x14: a second later it is another window",
            tree: supervisor(OneForOne, 1, 1, workers("a")),
            steps: vec![(0, crash("a")), (2, crash("a"))],
            events: vec!["start a", "start a", "start a"],
            up: "a root",
        },
        Golden {
            name: "x26: a lower intensity is judged at the next crash",
            tree: supervisor(OneForOne, 5, 60, workers("a")),
            steps: at_once(vec![
                crash("a"),
                crash("a"),
                crash("a"),
                flags(1, 60),
                crash("a"),
            ]),
            events: vec![
                "start a",
                "start a",
                "start a",
                "start a",
                "",
                "exited root (gave up)",
            ],
            up: "",
        },
        Golden {
            name: "a window that is short for a while loses nothing, because only a crash looks through it",
            tree: supervisor(OneForOne, 1, 60, workers("a")),
            steps: vec![
                (0, crash("a")),
                (2, flags(1, 1)),
                (2, flags(1, 60)),
                (2, crash("a")),
            ],
            events: vec!["start a", "start a", "", "", "exited root (gave up)"],
            up: "",
        },
    ]
}
