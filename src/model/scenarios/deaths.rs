//! Deaths of single replicas: who heals them, and what is charged.
//!
//! Rule: who heals first, the kubelet or the tree, changes nothing in what a death costs.

use std::collections::BTreeMap;

use super::ONE;
use crate::model::lab::Lab;
use crate::model::pod::{ContainerState, Termination};
use crate::model::window::after;

#[test]
fn a_killed_container_is_restarted_by_the_kubelet_and_charged_once() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    let uid = lab.pod_mut("a", 0).uid.clone();
    lab.kill("a", 0, 1);
    lab.settle();
    assert_eq!(lab.state(), "FTF Restarting", "{}", lab.message());
    assert_eq!(lab.charges("(root)"), BTreeMap::from([("a".into(), 1)]));
    lab.run(60);
    assert_eq!(lab.pod_mut("a", 0).uid, uid, "the Pod is the same");
    assert_eq!(lab.state(), "TFF AllUp");
    assert_eq!(lab.charges("(root)"), BTreeMap::from([("a".into(), 1)]));
    assert_eq!(lab.world.tree.status.restarts, 1);
    lab.run(300);
    assert_eq!(
        lab.charges("(root)"),
        BTreeMap::new(),
        "the charge leaves the window"
    );
}

#[test]
fn containers_that_fall_together_are_one_death() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    let now = lab.now;
    let pod = lab.pod_mut("a", 0);
    let second = pod.containers[0].clone();
    pod.containers.push(second);
    for container in &mut pod.containers {
        container.state = ContainerState::Waiting {
            reason: "CrashLoopBackOff".into(),
            message: String::new(),
        };
        container.last = Some(Termination {
            exit_code: 1,
            finished: Some(now),
            ..Default::default()
        });
    }
    lab.settle();
    assert_eq!(lab.world.tree.status.restarts, 1);
    assert_eq!(lab.charges("(root)"), BTreeMap::from([("a".into(), 1)]));
}

#[test]
fn a_restart_by_the_kubelet_in_the_instant_of_the_replacement_is_the_restart() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    let uid = lab.pod_mut("a", 0).uid.clone();
    for _ in 0..2 {
        lab.kill("a", 0, 1);
        lab.settle();
    }
    lab.now = after(lab.now, 1);
    let now = lab.now;
    lab.decide_before(|lab| {
        let container = &mut lab.pod_mut("a", 0).containers[0];
        container.restarts += 1;
        container.state = ContainerState::Running { since: Some(now) };
    });
    lab.run(10);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(lab.pod_mut("a", 0).uid, uid, "the Pod is the same");
    assert_eq!(lab.world.tree.status.restarts, 2);
    lab.kill("a", 0, 1);
    lab.settle();
    assert_eq!(lab.world.tree.status.restarts, 3, "its next death counts");
}

#[test]
fn deaths_that_nobody_saw_fill_the_window_but_do_not_give_up() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    // The operator was away while the kubelet restarted the container seven times.
    let now = lab.now;
    let pod = lab.pod_mut("a", 0);
    pod.containers[0].restarts = 7;
    pod.containers[0].last = Some(Termination {
        exit_code: 1,
        started: Some(after(now, -10)),
        finished: Some(after(now, -3)),
        ..Default::default()
    });
    lab.settle();
    assert_eq!(lab.charges("(root)"), BTreeMap::from([("a".into(), 3)]));
    lab.run(10);
    assert_eq!(lab.state(), "TFF AllUp", "what runs again is left alone");
    assert_eq!(lab.world.tree.status.restarts, 7);
    lab.kill("a", 0, 1);
    lab.settle();
    assert_eq!(lab.state(), "FFT GaveUp", "a death that was seen gives up");
}
