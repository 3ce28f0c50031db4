//! Init containers: which of their ends are failed starts, and what they say about the app that waits for them.
//!
//! Rule: one that is repeated with its Pod is no death of its own.

use std::collections::BTreeMap;

use super::ONE;
use crate::model::lab::{Behaviour, Lab};
use crate::model::pod::{ContainerState, ContainerView, ImageMark, Termination};

#[test]
fn a_failed_init_container_is_a_failed_start() {
    let mut lab = Lab::new(&format!("intensity: {{maxRestarts: 1}}{ONE}"));
    lab.behave("a", Behaviour::NoImage);
    lab.run(2);
    lab.behave("a", Behaviour::Hang);
    let now = lab.now;
    let fail = |lab: &mut Lab, restarts| {
        let pod = lab.pod_mut("a", 0);
        pod.containers[0].state = ContainerState::Waiting {
            reason: "PodInitializing".into(),
            message: String::new(),
        };
        pod.init_containers = vec![ContainerView {
            name: "setup".into(),
            judged: true,
            state: ContainerState::Waiting {
                reason: "CrashLoopBackOff".into(),
                message: String::new(),
            },
            last: Some(Termination {
                exit_code: 2,
                started: Some(now),
                finished: Some(now),
                ..Default::default()
            }),
            restarts,
            ready: false,
            image: ImageMark::default(),
        }];
        lab.settle();
    };
    fail(&mut lab, 0);
    assert_eq!(lab.charges("(root)"), BTreeMap::from([("a".into(), 1)]));
    assert_eq!(lab.world.tree.status.restarts, 1);
    let fault = &lab.world.tree.status.recent_faults[0];
    assert!(
        fault.message.starts_with("init container setup"),
        "{fault:?}"
    );
    assert_eq!(lab.live("a"), [0], "it is tried again");
    fail(&mut lab, 0);
    assert_eq!(lab.state(), "FFT GaveUp", "{}", lab.message());
}

#[test]
fn an_init_container_that_is_repeated_with_its_pod_is_no_death() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    let now = lab.now;
    let done = Termination {
        exit_code: 0,
        finished: Some(now),
        ..Termination::default()
    };
    let mut init = lab.pod_mut("a", 0).containers[0].clone();
    init.name = "setup".into();
    init.state = ContainerState::Terminated(done.clone());
    lab.pod_mut("a", 0).init_containers.push(init);
    lab.settle();
    lab.kill("a", 0, 9);
    lab.settle();
    let uid = lab.pod_mut("a", 0).uid.clone();
    let init = &mut lab.pod_mut("a", 0).init_containers[0];
    init.restarts = 1;
    init.last = Some(done);
    lab.run(5);
    assert_eq!(lab.world.tree.status.restarts, 1);
    assert_eq!(lab.pod_mut("a", 0).uid, uid, "the Pod is the same");
    lab.kill("a", 0, 1);
    lab.settle();
    assert_eq!(lab.world.tree.status.restarts, 2, "the next death counts");
}

/// The init container of a/0 ends with that code, after so many restarts, while the app waits for it.
fn end_init(lab: &mut Lab, restarts: i64, code: i32) {
    let now = lab.now;
    let end = Termination {
        exit_code: code,
        started: Some(now),
        finished: Some(now),
        ..Termination::default()
    };
    let pod = lab.pod_mut("a", 0);
    pod.node = Some("node-a".into());
    let mut init = pod.containers[0].clone();
    init.name = "setup".into();
    init.restarts = restarts;
    init.state = ContainerState::Terminated(end);
    pod.init_containers = vec![init];
    pod.containers[0].state = ContainerState::Waiting {
        reason: "PodInitializing".into(),
        message: String::new(),
    };
}

#[test]
fn an_init_container_that_fails_first_and_then_succeeds_costs_one_start() {
    let mut lab = Lab::new(ONE);
    lab.settle();
    let uid = lab.pod_mut("a", 0).uid.clone();
    end_init(&mut lab, 0, 2);
    lab.settle();
    end_init(&mut lab, 1, 0);
    lab.settle();
    lab.run(60);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(lab.pod_mut("a", 0).uid, uid, "the Pod is the same");
    assert_eq!(lab.world.tree.status.restarts, 1);
    let writes = lab.writes;
    for _ in 0..5 {
        lab.settle();
    }
    assert_eq!(lab.writes, writes, "nothing is written again and again");
    lab.kill("a", 0, 1);
    lab.settle();
    assert_eq!(lab.charges("(root)"), BTreeMap::from([("a".into(), 2)]));
}

#[test]
fn a_failed_init_that_nobody_saw_in_time_counts_all_the_same() {
    let mut lab = Lab::new(ONE);
    lab.settle();
    end_init(&mut lab, 1, 0);
    let now = lab.now;
    let failed = Termination {
        exit_code: 2,
        started: Some(now),
        finished: Some(now),
        ..Termination::default()
    };
    let pod = lab.pod_mut("a", 0);
    pod.init_containers[0].last = Some(failed);
    pod.containers[0].state = ContainerState::Running { since: Some(now) };
    lab.settle();
    lab.run(10);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(lab.charges("(root)"), BTreeMap::from([("a".into(), 1)]));
    let fault = &lab.world.tree.status.recent_faults[0];
    assert!(
        fault.message.starts_with("init container setup"),
        "{fault:?}"
    );
    lab.kill("a", 0, 1);
    lab.settle();
    assert_eq!(lab.charges("(root)"), BTreeMap::from([("a".into(), 2)]));
}

#[test]
fn the_first_run_of_an_app_after_a_failed_init_counts_however_short_it_is() {
    let mut lab = Lab::new(ONE);
    lab.settle();
    end_init(&mut lab, 0, 2);
    lab.settle();
    end_init(&mut lab, 1, 0);
    let now = lab.now;
    lab.pod_mut("a", 0).containers[0].state = ContainerState::Terminated(Termination {
        exit_code: 1,
        started: Some(now),
        finished: Some(now),
        ..Termination::default()
    });
    lab.settle();
    assert_eq!(lab.world.tree.status.restarts, 2);
}
