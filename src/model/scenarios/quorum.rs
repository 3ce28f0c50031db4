//! Workers of several replicas: which deaths are a slot's own and which are the worker's, and slots that are parked.
//!
//! Rule: a slot that fails takes no worker down that has its quorum without it.

use std::collections::BTreeMap;

use super::{charges, many, stable};
use crate::model::lab::{Behaviour, Lab};
use crate::model::window::after;

#[test]
fn a_death_that_leaves_a_quorum_is_charged_to_its_slot() {
    let mut lab = Lab::new(&many(3, 2));
    lab.run(6);
    lab.kill("a", 1, 1);
    lab.settle();
    assert_eq!(lab.charges("(root)"), BTreeMap::new());
    assert_eq!(
        lab.state(),
        "TTF Restarting",
        "a quorum is up, so the tree stays Ready"
    );
    let slot = lab.world.workers["a"]
        .status
        .slots
        .iter()
        .find(|s| s.slot == 1)
        .unwrap();
    assert_eq!(slot.charges.len(), 1);
}

#[test]
fn a_death_that_leaves_less_than_a_quorum_is_the_childs() {
    let mut lab = Lab::new(&many(3, 2));
    lab.run(6);
    lab.kill("a", 0, 1);
    lab.kill("a", 1, 1);
    lab.settle();
    assert_eq!(lab.charges("(root)"), BTreeMap::from([("a".into(), 1)]));
    assert_eq!(lab.state(), "FTF Restarting");
    lab.run(10);
    assert_eq!(lab.state(), "TFF AllUp");
}

#[test]
fn an_exhausted_slot_is_parked_and_does_not_take_the_worker_down() {
    let mut lab = Lab::new(&format!(
        "intensity: {{maxRestarts: 1, periodSeconds: 300}}{}",
        many(3, 1)
    ));
    lab.run(6);
    lab.kill("a", 2, 1);
    lab.run(5);
    assert_eq!(lab.world.tree.status.budget, "0/1 in 300s at a/2");
    lab.kill("a", 2, 1);
    lab.run(3);
    assert_eq!(lab.world.tree.status.budget, "1/1 in 300s at (root)");
    assert_eq!(lab.state(), "TFT SlotParked", "{}", lab.message());
    assert_eq!(lab.live("a"), [0, 1]);
    lab.run(70);
    assert_eq!(lab.live("a"), [0, 1, 2], "a parked slot is tried again");
    let told = |reason: &str| lab.events.iter().filter(|told| *told == reason).count();
    assert_eq!((told("SlotParked"), told("RetryStarted")), (1, 1));
    assert_eq!(lab.state(), "TFF AllUp");
}

#[test]
fn a_parked_slot_is_tried_at_once_when_its_template_is_edited() {
    let mut lab = Lab::new(&format!(
        "intensity: {{maxRestarts: 1, periodSeconds: 300}}{}",
        many(3, 1)
    ));
    lab.run(6);
    lab.kill("a", 2, 1);
    lab.run(5);
    lab.kill("a", 2, 1);
    lab.run(3);
    assert_eq!(lab.live("a"), [0, 1]);
    lab.edit_template("a", "two");
    lab.run(12);
    assert_eq!(lab.live("a").len(), 3);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

#[test]
fn a_parked_slot_that_stayed_up_is_parked_as_if_for_the_first_time() {
    let mut lab = Lab::new(&format!(
        "intensity: {{maxRestarts: 1, periodSeconds: 60}}{}",
        many(3, 1)
    ));
    lab.run(6);
    lab.kill("a", 2, 1);
    lab.run(5);
    lab.kill("a", 2, 1);
    lab.run(40);
    assert_eq!(lab.live("a"), [0, 1, 2]);
    lab.run(70);
    let parked = |lab: &Lab| {
        lab.world.workers["a"]
            .status
            .slots
            .iter()
            .any(|s| s.parked.is_some())
    };
    assert!(!parked(&lab), "the delay is forgotten");
}

#[test]
fn a_moment_of_unreadiness_is_no_absence() {
    let mut lab = Lab::new(&many(2, 1));
    lab.run(60);
    lab.behave("a", Behaviour::Hang);
    lab.set_ready("a", 0, false);
    lab.settle();
    lab.now = after(lab.now, 5);
    lab.kill("a", 1, 1);
    lab.now = after(lab.now, 1);
    lab.set_ready("a", 0, true);
    lab.settle();
    assert_eq!(lab.charges("(root)"), BTreeMap::new(), "a quorum was alive");
}

#[test]
fn deaths_that_were_healed_one_by_one_while_nobody_looked_are_the_slots() {
    let mut lab = Lab::new(&many(3, 1));
    lab.run(60);
    for slot in 0..3 {
        lab.kill("a", slot, 1);
        lab.go_by(30);
    }
    lab.settle();
    assert_eq!(
        lab.charges("(root)"),
        BTreeMap::new(),
        "never more than one was down"
    );
    assert_eq!(lab.world.tree.status.restarts, 3);
}

#[test]
fn a_replica_that_never_started_is_no_part_of_a_quorum() {
    let mut lab = Lab::new(&many(2, 1));
    lab.run(20);
    lab.delete_by_hand("a", 1);
    lab.behave("a", Behaviour::Hang);
    lab.run(40);
    lab.kill("a", 0, 1);
    lab.kill("a", 1, 1);
    lab.settle();
    assert_eq!(lab.charges("(root)"), BTreeMap::from([("a".into(), 1)]));
}

/// It is alive for those who ask its containers, but its use has ended.
#[test]
fn a_replica_that_is_being_replaced_does_not_count_towards_the_quorum() {
    let mut lab = Lab::new(&stable());
    lab.stopping.insert("a".into(), 8);
    lab.run(20);
    lab.edit_template("a", "two");
    lab.run(2);
    assert_eq!(lab.live("a"), [0], "the other one stops");
    lab.kill("a", 0, 1);
    lab.run(30);
    assert_eq!(lab.charges("(root)"), charges(&[("a", 1)]));
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}
