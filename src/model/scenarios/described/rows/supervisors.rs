//! What supervisors are in the middle of, and what they gave up.
//!
//! Rule: a row says how a tree gets there, and what a person reads then.

use super::super::super::ONE;
use super::super::{NO_RESTART, Row, below_web, end, ordered, ordered_of, slow};
use crate::model::lab::Behaviour;

/// What supervisors stop and start.
pub(in super::super) fn operations() -> Vec<Row> {
    vec![
        (
            ordered("strategy: OneForAll"),
            |lab| end(slow(lab, "b"), "a", 1, 1),
            "FTF Restarting",
            "(root) restarts all its children, because a: container app ended with exit code 1 after 9 s; b is being stopped",
        ),
        (
            ordered_of("strategy: RestForOne", &["a", "b", "c", "d"]),
            |lab| end(slow(lab, "d"), "b", 1, 1),
            "FTF Restarting",
            "(root) restarts b to d, because b: container app ended with exit code 1 after 7 s; d is being stopped",
        ),
        (
            ordered("strategy: OneForAll\nbackoff: {initialSeconds: 16}"),
            |lab| {
                end(lab, "b", 1, 10);
                end(lab, "b", 1, 3);
            },
            "FTF Restarting",
            "(root) restarts all its children, because b: container app ended with exit code 1 after 16 s; a is started at 2027-01-15T08:00:46Z",
        ),
        (
            below_web(NO_RESTART),
            |lab| end(slow(lab, "b"), "a", 1, 1),
            "FTF Restarting",
            "web gives up and stops its children, then (root) decides what is restarted: a: container app ended with exit code 1 after 9 s; 1 death within 60 s at web, which allows 0",
        ),
        (
            below_web("startup: Ordered, onStartFailure: Fail"),
            |lab| {
                lab.behave("b", Behaviour::Crash(0, 1));
                slow(lab, "a").run(5);
            },
            "FTF Restarting",
            "web could not start, and stops what had started: b: container app ended with exit code 1 after 1 s",
        ),
        (
            below_web("autoShutdown: AnySignificant").replacen(
                "worker: {",
                "worker: {restart: Transient, significant: true, ",
                1,
            ),
            |lab| end(slow(lab, "b"), "a", 0, 1),
            "FTF Stopping",
            "web shuts itself down: its significant child a has ended",
        ),
    ]
}

/// What supervisors gave up.
pub(in super::super) fn given_up() -> Vec<Row> {
    vec![
        (
            format!("{NO_RESTART}{ONE}"),
            |lab| end(lab, "a", 1, 0),
            "FFT GaveUp",
            "(root) gave up on a: container app ended with exit code 1 after 9 s; 1 death within 60 s at (root), which allows 0; tried again at 2027-01-15T08:00:40Z, or by `retryAt` or an edit of its template",
        ),
        (
            ordered_of(
                &format!("strategy: RestForOne\n{NO_RESTART}"),
                &["a", "b", "c"],
            ),
            |lab| end(lab, "b", 1, 5),
            "FFT GaveUp",
            "(root) gave up on b and those after it: container app ended with exit code 1 after 7 s; 1 death within 60 s at (root), which allows 0; tried again at 2027-01-15T08:00:40Z, or by `retryAt` or an edit of its template",
        ),
        (
            ordered(&format!("onGiveUp: Stop\n{NO_RESTART}")),
            |lab| end(lab, "a", 1, 5),
            "FFT GaveUp",
            "(root) gave up on all its children: a: container app ended with exit code 1 after 9 s; 1 death within 60 s at (root), which allows 0; stays stopped until `retryAt` or an edit of a template",
        ),
        (
            below_web(&format!("restart: Transient, {NO_RESTART}")),
            |lab| end(lab, "a", 1, 5),
            "FFT GaveUp",
            "(root) gave up on web: a: container app ended with exit code 1 after 9 s; 1 death within 60 s at web, which allows 0; stays stopped until `retryAt` or an edit of a template",
        ),
    ]
}
