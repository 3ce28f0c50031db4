//! Pods that others deleted and Pods that vanish: what replaces them, and how soon.
//!
//! Rule: it costs nothing to replace them once; who needs it again and again is slowed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{ONE, many, stable};
use crate::model::decide;
use crate::model::decision::Write;
use crate::model::lab::{Behaviour, Lab};
use crate::model::window::after;

#[test]
fn a_deleted_pod_is_replaced_at_once_and_not_charged() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    lab.delete_by_hand("a", 0);
    lab.settle();
    assert_eq!(
        lab.live("a"),
        [0],
        "the successor exists beside the one that stops"
    );
    assert_eq!(lab.charges("(root)"), BTreeMap::new());
    lab.run(5);
    assert_eq!(lab.state(), "TFF AllUp");
    assert!(
        lab.events.contains(&"ChildPodDeleted".to_owned()),
        "{:?}",
        lab.events
    );
}

#[test]
fn a_stable_pod_is_replaced_only_when_the_old_one_is_gone() {
    let mut lab = Lab::new(&stable());
    lab.run(6);
    let names: Vec<String> = lab.pods().map(|p| p.name.clone()).collect();
    assert_eq!(names, ["t-a-0", "t-a-1"]);
    lab.delete_by_hand("a", 0);
    lab.settle();
    assert_eq!(lab.live("a"), [1], "the old Pod is not gone yet");
    lab.run(6);
    assert_eq!(lab.live("a"), [0, 1]);
    assert_eq!(lab.charges("(root)"), BTreeMap::new());
}

#[test]
fn repeated_uncharged_replacement_is_slowed() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    for _ in 0..4 {
        lab.delete_by_hand("a", 0);
        while lab.live("a").is_empty() {
            lab.run(1);
        }
    }
    let start = lab.now;
    lab.delete_by_hand("a", 0);
    while lab.live("a").is_empty() {
        lab.run(1);
    }
    assert!(
        lab.now >= after(start, 8),
        "the fifth replacement waits 8 s"
    );
}

#[test]
fn a_pod_that_vanishes_before_it_started_is_replaced_more_and_more_slowly() {
    let mut lab = Lab::new(ONE);
    lab.behave("a", Behaviour::NoCapacity);
    lab.run(5);
    lab.log.clear();
    for _ in 0..30 {
        if !lab.live("a").is_empty() {
            lab.vanish("a", 0);
        }
        lab.settle();
        lab.run(1);
    }
    let creates = lab.log.iter().filter(|l| l.starts_with("create")).count();
    assert!((3..8).contains(&creates), "{creates} creates in 30 s");
}

#[test]
fn pods_that_end_within_one_second_are_replaced_once_and_then_more_slowly() {
    // Enough slots for every order that the names of a Pod and its successor may have.
    let mut lab = Lab::new(&many(8, 1));
    lab.settle();
    for _ in 0..6 {
        for slot in lab.live("a") {
            lab.evict("a", slot);
        }
        lab.settle();
    }
    let creates = lab.log.iter().filter(|l| l.starts_with("create a/"));
    assert_eq!(creates.count(), 2 * 8, "{:?}", lab.log);
    assert_eq!(lab.world.tree.status.restarts, 2 * 8);
}

#[test]
fn the_brake_is_forgotten_after_ten_minutes_alive() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    for _ in 0..9 {
        lab.delete_by_hand("a", 0);
        lab.run(1);
        while lab.live("a").is_empty() {
            lab.run(1);
        }
    }
    lab.run(3600);
    let now = lab.now;
    lab.vanish("a", 0);
    lab.settle();
    assert_eq!((lab.live("a"), lab.now), (vec![0], now), "replaced at once");
}

#[test]
fn a_pod_that_others_deleted_is_replaced_without_waiting_for_the_record() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    lab.delete_by_hand("a", 0);
    let decision = decide(&lab.world, lab.now);
    assert!(decision.writes_first && decision.worker_intents.contains("a"));
    assert!(matches!(
        decision.writes[..],
        [Write::CreatePod { slot: 0, .. }]
    ));
    lab.run(60);
    lab.kill("a", 0, 1);
    let charged = decide(&lab.world, lab.now);
    assert!(charged.tree_intent && !charged.writes_first);
    lab.run(5);
    lab.delete_by_hand("a", 0);
    let braked = decide(&lab.world, lab.now);
    assert!(!braked.writes_first, "a delay is an intent");
}

/// Otherwise nobody could tell by the successor's name whom it follows.
#[test]
fn what_is_not_known_to_be_there_is_written_down_before_it_is_replaced() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    for worker in lab.world.workers.values_mut() {
        Arc::make_mut(&mut worker.status).slots.clear();
    }
    lab.delete_by_hand("a", 0);
    let decision = decide(&lab.world, lab.now);
    assert!(!decision.writes_first && decision.worker_intents.contains("a"));
}

#[test]
fn what_was_replaced_before_a_crash_is_told_after_it() {
    for writes in 0..4 {
        let mut lab = Lab::new(ONE);
        lab.run(5);
        lab.crash_in = Some(writes);
        lab.delete_by_hand("a", 0);
        lab.run(5);
        assert_eq!(lab.crash_in, None, "it crashed after {writes} writes");
        assert_eq!((lab.state(), lab.live("a")), ("TFF AllUp".into(), vec![0]));
        assert_eq!(lab.world.tree.status.restarts, 1);
        assert_eq!(lab.world.workers["a"].status.restarts, 1);
        let faults = lab.world.tree.status.recent_faults.iter();
        let classes: Vec<&str> = faults.map(|fault| fault.class.as_str()).collect();
        // What was to be told is not known any more when the crash came right after the Worker was stored.
        let told: &[&str] = if writes == 2 { &[] } else { &["PodDeleted"] };
        assert_eq!(classes, told, "after {writes} writes");
    }
}
