//! Stories of windows, delays and giving up: what is counted for whom, and what a give-up names.
//!
//! Rule: as in all stories, the state of the world is asserted.

use std::collections::BTreeMap;

use super::many;
use crate::api::v1alpha1::SlotStatus;
use crate::model::decide;
use crate::model::lab::{Behaviour, Lab};

const THREE: &str = "
strategy: RestForOne
startup: Ordered
intensity: {maxRestarts: 2, periodSeconds: 600}
children:
- {name: a, worker: {template: {spec: {containers: [{name: app, image: one}]}}}}
- {name: b, worker: {template: {spec: {containers: [{name: app, image: one}]}}}}
- {name: c, worker: {template: {spec: {containers: [{name: app, image: one}]}}}}
";

/// Lets those die one after the other, the last one overflows the window. What people are told of the give-up.
fn give_up(deaths: [&str; 3]) -> (Lab, String) {
    let mut lab = Lab::new(THREE);
    lab.run(20);
    for child in &deaths[..2] {
        lab.kill(child, 0, 1);
        lab.run(60);
        assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
        let decision = &lab.world.tree.status.recent_faults[0].decision;
        let siblings = match *child {
            "a" => Some("with 2 siblings"),
            "b" => Some("with 1 sibling"),
            _ => None,
        };
        let same = siblings.map_or_else(
            || !decision.contains("sibling"),
            |siblings| decision.contains(siblings),
        );
        assert!(same && decision.contains("; restarted"), "{decision}");
    }
    lab.kill(deaths[2], 0, 1);
    let decision = decide(&lab.world, lab.now);
    assert_eq!(decision.give_ups, 1, "it is counted");
    let given_up = |notice: &&crate::model::decision::Notice| notice.reason == "ChildGivenUp";
    let told = decision.notices.iter().find(given_up).unwrap();
    let message = told.message();
    lab.settle();
    (lab, message)
}

#[test]
fn under_rest_for_one_the_child_whose_death_overflows_is_given_up_with_those_after_it() {
    let (mut lab, message) = give_up(["c", "c", "b"]);
    assert!(
        message.contains("b is stopped with the child after it and tried again at"),
        "{message}"
    );
    lab.run(5);
    assert_eq!(lab.live("a"), [0]);
    assert_eq!(lab.live("b"), [0; 0]);
    assert_eq!(lab.live("c"), [0; 0]);
    let entry = &lab.world.tree.status.supervisors[0].gave_up[0];
    assert_eq!((entry.child.as_str(), entry.rest), ("b", true));

    let (lab, message) = give_up(["c", "c", "a"]);
    assert!(
        message.contains("a is stopped with the 2 children after it"),
        "{message}"
    );
    assert_eq!(lab.live("a"), [0; 0]);

    let (lab, message) = give_up(["a", "b", "c"]);
    assert!(message.contains("c is stopped and tried"), "{message}");
    assert!(message.starts_with("c is given up: container"), "{message}");
    assert_eq!((lab.live("a"), lab.live("b")), (vec![0], vec![0]));
}

#[test]
fn failed_starts_count_however_far_apart_until_the_child_has_started() {
    let mut lab = Lab::new(
        "
intensity: {maxRestarts: 2, periodSeconds: 10}
children:
- {name: a, worker: {startDeadlineSeconds: 30, template: {spec: {containers: [{name: app, image: one}]}}}}
",
    );
    lab.behave("a", Behaviour::Hang);
    lab.run(1);
    lab.run_until("FFT GaveUp", 200);
    // What has started once is judged by its window again.
    lab.behave("a", Behaviour::Healthy);
    lab.run_until("TFF AllUp", 200);
    for _ in 0..4 {
        lab.run(20);
        lab.kill("a", 0, 1);
        lab.run(20);
        assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    }
    assert_eq!(lab.charges("(root)"), BTreeMap::new());
}

#[test]
fn each_child_has_a_delay_of_its_own() {
    let mut lab = Lab::new(
        "
intensity: {maxRestarts: 9, periodSeconds: 600}
backoff: {initialSeconds: 5, maxSeconds: 100}
children:
- {name: a, worker: {cleanExitCodes: [0, 7], template: {spec: {containers: [{name: app, image: one}]}}}}
- {name: b, worker: {cleanExitCodes: [0, 7], template: {spec: {containers: [{name: app, image: one}]}}}}
",
    );
    lab.run(10);
    for child in ["a", "b", "a", "b", "b"] {
        lab.kill(child, 0, 1);
        lab.run(30);
    }
    let record = &lab.world.tree.status.supervisors[0];
    let steps: BTreeMap<&str, i64> = record
        .backoff
        .iter()
        .map(|b| (b.child.as_str(), b.step))
        .collect();
    assert_eq!(steps, BTreeMap::from([("a", 2), ("b", 3)]));
    assert_eq!(record.backoff.len(), 2);
}

fn slots(lab: &Lab) -> &[SlotStatus] {
    &lab.world.workers["a"].status.slots
}

#[test]
fn a_worker_fails_to_start_when_too_few_of_its_slots_are_left_for_its_quorum() {
    let mut lab = Lab::new(&many(3, 2));
    lab.failing.insert("a/0".into(), vec![1; 100]);
    lab.run(200);
    assert!(slots(&lab)[0].parked.is_some());
    assert_eq!(lab.charges("(root)"), BTreeMap::new(), "two are enough");
    assert_eq!(lab.live("a"), [1, 2]);

    let slow = many(3, 2).replace("quorum", "startDeadlineSeconds: 900\n    quorum");
    let mut lab = Lab::new(&slow);
    lab.behave("a", Behaviour::Hang);
    lab.failing.insert("a/0".into(), vec![1; 100]);
    lab.run(100);
    assert!(slots(&lab)[0].parked.is_some());
    assert_eq!(lab.charges("(root)"), BTreeMap::new(), "two may do it yet");

    let mut lab = Lab::new(&many(3, 2));
    for slot in ["a/0", "a/1"] {
        lab.failing.insert(slot.into(), vec![1; 100]);
    }
    for _ in 0..200 {
        lab.run(1);
        if !lab.charges("(root)").is_empty() {
            return;
        }
    }
    panic!("one is not: {:?}", slots(&lab));
}

#[test]
fn a_slot_has_a_delay_of_its_own_and_loses_it_with_its_group() {
    let mut lab = Lab::new(
        "
strategy: OneForAll
intensity: {maxRestarts: 9, periodSeconds: 600}
backoff: {initialSeconds: 10, maxSeconds: 100}
children:
- {name: a, worker: {replicas: 3, quorum: 1, template: {spec: {containers: [{name: app, image: one}]}}}}
- {name: b, worker: {template: {spec: {containers: [{name: app, image: one}]}}}}
",
    );
    lab.run(10);
    for _ in 0..3 {
        while !lab.live("a").contains(&1) {
            lab.run(1);
        }
        lab.run(5);
        lab.kill("a", 1, 1);
        lab.settle();
    }
    let slot = &slots(&lab)[1];
    assert_eq!((slot.step, slot.charges.len()), (3, 3));
    let due = slot.due_time.as_ref().unwrap().0;
    assert_eq!(due.as_second() - lab.now.as_second(), 20);
    lab.kill("b", 0, 1);
    lab.run(40);
    assert_eq!(lab.live("a"), [0, 1, 2]);
    assert_eq!((slots(&lab)[1].step, slots(&lab)[1].charges.len()), (0, 0));
}

#[test]
fn a_whole_supervisor_is_tried_again_later_and_later() {
    let mut lab = Lab::new(
        "
strategy: OneForAll
intensity: {maxRestarts: 1, periodSeconds: 100}
children:
- {name: a, worker: {template: {spec: {containers: [{name: app, image: one}]}}}}
",
    );
    lab.behave("a", Behaviour::Crash(0, 1));
    let mut delays = Vec::new();
    for _ in 0..200 {
        lab.run(1);
        let entries = &lab.world.tree.status.supervisors[0].gave_up;
        let delay = entries.first().map_or(0, |entry| entry.delay_seconds);
        if delays.last() != Some(&delay) {
            delays.push(delay);
        }
    }
    assert_eq!(delays, [0, 30, 60, 120]);
}

#[test]
fn an_edit_ends_the_delay_of_its_worker_alone() {
    let mut lab = Lab::new(
        "
strategy: RestForOne
intensity: {maxRestarts: 9, periodSeconds: 600}
backoff: {initialSeconds: 50, maxSeconds: 50}
children:
- {name: s, supervisor: {backoff: {initialSeconds: 50, maxSeconds: 50}, intensity: {maxRestarts: 9, periodSeconds: 600}}}
- {name: a, parent: s, worker: {cleanExitCodes: [0, 7], template: {spec: {containers: [{name: app, image: one}]}}}}
- {name: b, parent: s, worker: {cleanExitCodes: [0, 7], template: {spec: {containers: [{name: app, image: one}]}}}}
",
    );
    lab.run(10);
    for _ in 0..2 {
        lab.kill("a", 0, 1);
        lab.kill("b", 0, 1);
        lab.run(5);
    }
    assert_eq!((lab.live("a"), lab.live("b")), (vec![], vec![]));
    lab.edit_template("a", "two");
    lab.run(5);
    assert_eq!((lab.live("a"), lab.live("b")), (vec![0], vec![]));
    lab.run(60);
    assert_eq!((lab.live("a"), lab.live("b")), (vec![0], vec![0]));
}

#[test]
fn a_loss_that_leaves_a_quorum_does_not_restart_the_group() {
    let mut lab = Lab::new(&format!(
        "strategy: OneForAll{}- {{name: b, worker: {{template: {{spec: {{containers: [{{name: app, image: one}}]}}}}}}}}\n",
        many(3, 2)
    ));
    lab.run(20);
    let uid = lab.pod_mut("b", 0).uid.clone();
    lab.evict("a", 0);
    lab.run(20);
    assert_eq!(lab.live("a"), [0, 1, 2]);
    assert_eq!(lab.pod_mut("b", 0).uid, uid);
    lab.evict("a", 0);
    lab.evict("a", 1);
    lab.run(20);
    assert_eq!(lab.live("a"), [0, 1, 2]);
    assert_ne!(lab.pod_mut("b", 0).uid, uid, "one is less than a quorum");
    assert_eq!(lab.charges("(root)"), BTreeMap::new());
}
