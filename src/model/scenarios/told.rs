//! What people are told in Events, word for word.
//!
//! Rule: an Event names the child, why, what it cost and what follows.

use crate::model::lab::{Behaviour, Lab};
use crate::model::pod::ContainerState;

use super::{ONE, many, supervisor, worker};

#[test]
fn a_supervisor_that_gives_up_is_told_level_by_level() {
    let children = [
        supervisor("web", "", "intensity: {maxRestarts: 0, periodSeconds: 60}"),
        worker("api", "web", ""),
    ];
    let mut lab = Lab::new(&format!("children:\n{}", children.concat()));
    lab.run(10);
    lab.kill("api", 0, 1);
    lab.run(10);
    assert_eq!(
        lab.told,
        [
            "Warning ChildAppExitedNonZero: api/0: container app ended with exit code 1 after 9 s; charged: 1 death within 60 s at web, which allows 0; web stops its children, then its parent decides",
            "Warning SupervisorEscalated: web gives up: api: container app ended with exit code 1 after 9 s; 1 death within 60 s at web, which allows 0; web stops its children, then its parent decides",
            "Warning SupervisorExited: web gave up and has stopped; charged: restart 1 of 3 within 300 s at (root); restarted at once",
        ]
    );
}

#[test]
fn a_supervisor_that_shuts_itself_down_is_told_with_its_end() {
    let children = [
        supervisor(
            "job",
            "",
            "restart: Transient, autoShutdown: AnySignificant",
        ),
        worker("main", "job", "restart: Transient, significant: true"),
        worker("helper", "job", ""),
    ];
    let mut lab = Lab::new(&format!("children:\n{}", children.concat()));
    lab.run(10);
    lab.kill("main", 0, 0);
    lab.run(10);
    assert_eq!(
        lab.told,
        [
            "Normal ChildFinished: main/0 has finished: container app ended with exit code 0 after 9 s; not charged; not restarted, as its type asks",
            "Normal SupervisorShutsDown: job shuts itself down: its significant child main has ended; its other children are stopped",
            "Normal SupervisorFinished: job has shut itself down: its significant child main has ended; not charged; not restarted, as its type asks",
        ]
    );
}

#[test]
fn a_restart_of_a_group_is_told_with_its_size_and_its_time() {
    let children = [
        worker("a", "", ""),
        worker("b", "", ""),
        worker("c", "", ""),
    ];
    let mut lab = Lab::new(&format!(
        "strategy: OneForAll\nchildren:\n{}",
        children.concat()
    ));
    lab.run(10);
    lab.kill("b", 0, 1);
    lab.run(10);
    lab.kill("b", 0, 1);
    lab.run(10);
    assert_eq!(
        lab.told,
        [
            "Warning ChildAppExitedNonZero: b/0: container app ended with exit code 1 after 7 s; charged: restart 1 of 3 within 300 s at (root); restarted at once with 2 siblings",
            "Warning ChildAppExitedNonZero: b/0: container app ended with exit code 1 after 5 s; charged: restart 2 of 3 within 300 s at (root); restarted at 2027-01-15T08:00:21Z with 2 siblings",
        ]
    );
}

#[test]
fn what_keeps_a_pod_from_starting_is_told_with_what_is_done_about_it() {
    let all = [
        (
            Behaviour::NoImage,
            "nope: not found; not charged; left alone, because restarting would not help",
        ),
        (
            Behaviour::NoCapacity,
            "Insufficient cpu.; not charged; starts by itself once that has passed",
        ),
    ];
    for (behaviour, what_follows) in all {
        let mut lab = Lab::new(ONE);
        lab.behave("a", behaviour);
        lab.run(90);
        assert_eq!(lab.told.len(), 1, "{:?}", lab.told);
        assert!(lab.told[0].ends_with(what_follows), "{:?}", lab.told);
    }
}

#[test]
fn what_keeps_many_replicas_from_starting_is_told_once() {
    let mut lab = Lab::new(&many(14, 1));
    lab.behave("a", Behaviour::NoImage);
    lab.run(30);
    assert_eq!(
        lab.told,
        [
            "Warning ChildImageNotFound: a/0: the image of container app cannot be pulled: nope: not found (and so with slots 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 3 more); not charged; left alone, because restarting would not help",
        ]
    );
    let faults = &lab.world.tree.status.recent_faults;
    assert_eq!((faults.len(), faults[0].slot), (1, 0));
    assert_eq!(lab.judged.len(), 14, "each counts");
    lab.edit_replicas("a", 15);
    lab.run(30);
    assert_eq!(lab.told.len(), 1, "one more suffers from what is known");
    assert_eq!(lab.state(), "FFT Held", "{}", lab.message());
}

/// More slots than faults are remembered of a tree.
#[test]
fn slots_that_go_to_and_fro_between_two_faults_are_told_once_of_each() {
    let mut lab = Lab::new(&many(12, 1));
    lab.behave("a", Behaviour::Stuck);
    lab.run(3);
    let mut wait = |reason: &str, message: &str, slot: i32| {
        lab.pod_mut("a", slot).containers[0].state = ContainerState::Waiting {
            reason: reason.into(),
            message: message.into(),
        };
        lab.run(1);
    };
    for _ in 0..4 {
        for slot in 0..12 {
            wait(
                "ImagePullBackOff",
                "Back-off pulling image \"nope\": ErrImagePull: nope: not found",
                slot,
            );
        }
        for slot in 0..12 {
            wait(
                "CreateContainerConfigError",
                "configmap \"web\" not found",
                slot,
            );
        }
    }
    let classes: Vec<&str> = lab.events.iter().map(String::as_str).collect();
    assert_eq!(classes, ["ChildImageNotFound", "ChildConfigMapMissing"]);
}

#[test]
fn a_replica_that_is_restarted_later_is_told_with_its_time() {
    let mut lab = Lab::new(&many(3, 1));
    lab.run(10);
    for _ in 0..2 {
        lab.kill("a", 0, 1);
        lab.run(10);
    }
    let when: Vec<&str> = lab
        .told
        .iter()
        .filter_map(|told| told.rsplit("; ").next())
        .collect();
    assert_eq!(
        when,
        [
            "restarted at once",
            "restarted at 2027-01-15T08:00:21Z at the latest"
        ]
    );
}

#[test]
fn a_temporary_supervisor_that_cannot_start_is_told_with_its_end() {
    let children = [
        supervisor("web", "", "restart: Temporary, onStartFailure: Fail"),
        worker("api", "web", ""),
    ];
    let mut lab = Lab::new(&format!("children:\n{}", children.concat()));
    lab.behave("api", Behaviour::Crash(0, 1));
    lab.run(10);
    assert_eq!(
        lab.told,
        [
            "Warning ChildAppExitedNonZero: api/0: container app ended with exit code 1 after 1 s; not charged; web has failed to start, and stops what had started",
            "Warning SupervisorExited: web could not start and has stopped: api: container app ended with exit code 1 after 1 s; not charged; web stays stopped until `retryAt` or an edit of a template",
        ]
    );
}
