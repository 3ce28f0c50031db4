//! Stories of turns: what waits for what, and what does not.
//!
//! Rule: as in all stories, the state of the world is asserted.

use super::lose;
use crate::api::v1alpha1::RefusedStatus;
use crate::model::lab::{Behaviour, Lab};
use crate::model::world::{NodeView, Refusal};

const POD: &str =
    "template: {spec: {terminationGracePeriodSeconds: 500, containers: [{name: app, image: one}]}}";

fn lab(root: &str, children: &[&str]) -> Lab {
    let children = children.join("\n").replace("POD", POD);
    Lab::new(&format!("{root}\nchildren:\n{children}\n"))
}

fn started(root: &str, children: &[&str]) -> Lab {
    let mut lab = lab(root, children);
    lab.run(30);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    lab
}

fn disable(lab: &mut Lab, child: &str) {
    lab.edit(|spec| {
        let child = spec.children.iter_mut().find(|one| one.name == child);
        child.unwrap().enabled = false;
    });
}

const FENCED: [&str; 3] = [
    "- {name: a, worker: {POD}}",
    "- {name: db, worker: {identity: Stable, POD}}",
    "- {name: b, worker: {POD}}",
];

#[test]
fn a_group_waits_for_a_fenced_member_until_its_node_is_gone_or_out_of_service() {
    for is_gone in [true, false] {
        let mut lab = started("strategy: OneForAll", &FENCED);
        lose(&mut lab, "db", 0);
        lab.kill("a", 0, 1);
        lab.run(300);
        assert_eq!((lab.live("b"), lab.live("a")), (vec![0], vec![]));
        assert_eq!(lab.state(), "FFT WaitingForFence", "{}", lab.message());
        let nodes = lab.world.nodes.as_mut().unwrap();
        if is_gone {
            nodes.remove("node-b");
        } else {
            nodes.get_mut("node-b").unwrap().out_of_service = true;
        }
        lab.run(2);
        assert_eq!(lab.live("b"), [0; 0], "the group stops: gone {is_gone}");
        lab.run(30);
        assert_eq!(lab.live("a"), [0], "and starts: gone {is_gone}");
    }
}

#[test]
fn what_is_disabled_in_a_group_that_waits_for_a_fence_stops_at_once() {
    let mut lab = started("strategy: OneForAll", &FENCED);
    lose(&mut lab, "db", 0);
    lab.kill("a", 0, 1);
    lab.run(30);
    assert_eq!(lab.live("b"), [0]);
    disable(&mut lab, "b");
    lab.run(2);
    assert_eq!(lab.live("b"), [0; 0]);
}

#[test]
fn a_group_below_does_not_wait_for_the_stop_of_a_sibling_of_its_supervisor() {
    let mut lab = started(
        "startup: Ordered",
        &[
            "- {name: s, supervisor: {strategy: OneForAll}}",
            "- {name: x, parent: s, worker: {POD}}",
            "- {name: y, parent: s, worker: {POD}}",
            "- {name: b, worker: {POD}}",
        ],
    );
    lab.stopping.insert("b".into(), 400);
    disable(&mut lab, "b");
    lab.run(5);
    let uid = lab.pod_mut("y", 0).uid.clone();
    lab.kill("x", 0, 1);
    lab.run(20);
    assert_ne!(lab.pod_mut("y", 0).uid, uid);
    assert_eq!(lab.live("x"), [0]);
    assert!(lab.pods().any(|pod| pod.child == "b"), "b stops still");
}

/// A worker that is not restarted in place, so that its delay shows.
const DELAYED: &str = "backoff: {initialSeconds: 200, maxSeconds: 200}\nintensity: {maxRestarts: 9, periodSeconds: 3600}";

#[test]
fn a_start_that_is_under_way_goes_on_from_where_it_is() {
    let mut lab = lab(
        &format!("startup: Ordered\n{DELAYED}"),
        &[
            "- {name: a, worker: {cleanExitCodes: [0, 7], POD}}",
            "- {name: b, worker: {POD}}",
            "- {name: c, worker: {startDeadlineSeconds: 30, POD}}",
        ],
    );
    lab.behave("c", Behaviour::Hang);
    lab.run(10);
    assert_eq!(lab.live("c"), [0]);
    let uid = lab.pod_mut("c", 0).uid.clone();
    for _ in 0..2 {
        lab.kill("a", 0, 1);
        lab.run(4);
    }
    assert_eq!(lab.live("a"), [0; 0], "its restart is not due yet");
    lab.run(40);
    assert_eq!((lab.live("a"), lab.live("c")), (vec![], vec![0]));
    assert_ne!(lab.pod_mut("c", 0).uid, uid, "c was tried again");
    lab.vanish("c", 0);
    lab.run(8);
    assert_eq!((lab.live("a"), lab.live("c")), (vec![], vec![0]));
}

#[test]
fn a_delay_counts_for_others_in_a_restart_of_the_group_only() {
    let mut lab = lab(
        DELAYED,
        &[
            "- {name: a, worker: {cleanExitCodes: [0, 7], POD}}",
            "- {name: b, worker: {cleanExitCodes: [0, 7], POD}}",
        ],
    );
    lab.behave("a", Behaviour::Crash(1, 1));
    lab.run(10);
    assert_eq!(lab.live("a"), [0; 0]);
    lab.kill("b", 0, 1);
    lab.run(2);
    assert_eq!((lab.live("a"), lab.live("b")), (vec![], vec![0]));
}

#[test]
fn deaths_seen_together_are_judged_in_start_order() {
    let mut lab = started(
        "strategy: OneForAll",
        &[
            "- {name: s, supervisor: {}}",
            "- {name: b, worker: {POD}}",
            "- {name: x, parent: s, worker: {POD}}",
        ],
    );
    lab.kill("b", 0, 1);
    lab.kill("x", 0, 1);
    lab.run(30);
    assert_eq!(
        lab.world.tree.status.restarts, 2,
        "x starts before b, so that its death is judged before the group takes it in"
    );
}

#[test]
fn a_tree_that_is_deleted_waits_for_what_was_removed_before() {
    let mut lab = started(
        "",
        &["- {name: a, worker: {POD}}", "- {name: b, worker: {POD}}"],
    );
    lab.stopping.insert("b".into(), 100);
    lab.edit(|spec| drop(spec.children.pop()));
    lab.run(5);
    lab.tree_mut().deleting = true;
    lab.run(20);
    assert!(lab.pods().all(|pod| pod.child == "b") && lab.pods().count() == 1);
    assert_eq!(lab.world.tree.finalizers.len(), 1);
    lab.run(100);
    assert_eq!(lab.world.tree.finalizers.len(), 0);
}

#[test]
fn a_disabled_child_takes_its_own_delay_with_it() {
    let mut lab = started(
        DELAYED,
        &[
            "- {name: a, worker: {cleanExitCodes: [0, 7], POD}}",
            "- {name: b, worker: {cleanExitCodes: [0, 7], POD}}",
        ],
    );
    for _ in 0..2 {
        lab.kill("a", 0, 1);
        lab.kill("b", 0, 1);
        lab.run(5);
    }
    disable(&mut lab, "a");
    lab.run(5);
    lab.edit(|spec| spec.children[0].enabled = true);
    lab.run(5);
    assert_eq!((lab.live("a"), lab.live("b")), (vec![0], vec![]));
}

#[test]
fn fewer_replicas_are_those_that_run_and_are_ready() {
    let fewer = |lab: &mut Lab, count| {
        lab.edit(|spec| spec.children[0].worker.as_mut().unwrap().replicas = Some(count));
        lab.run(5);
    };
    let three = ["- {name: a, worker: {replicas: 3, quorum: 1, startDeadlineSeconds: 900, POD}}"];
    let mut lab = started(DELAYED, &three);
    lab.behave("a", Behaviour::Hang);
    for slot in [1, 0, 0] {
        lab.kill("a", slot, 1);
        lab.run(5);
    }
    assert!(!lab.pod_mut("a", 0).containers[0].is_running());
    assert!(lab.pod_mut("a", 1).containers[0].is_running() && !lab.pod_mut("a", 1).is_ready());
    fewer(&mut lab, 2);
    assert_eq!(lab.live("a"), [1, 2]);

    let mut lab = started(DELAYED, &three);
    lab.stopping.insert("a/0".into(), 400);
    while lab.live("a").contains(&0) {
        lab.delete_by_hand("a", 0);
        lab.settle();
    }
    fewer(&mut lab, 2);
    assert_eq!(lab.live("a"), [1, 2]);
}

#[test]
fn a_successor_that_was_made_before_it_was_written_down_is_the_one() {
    for writes in 0..4 {
        let mut lab = started("", &["- {name: a, worker: {POD}}"]);
        lab.stopping.insert("a".into(), 100);
        lab.delete_by_hand("a", 0);
        lab.crash_in = Some(writes);
        lab.run(20);
        assert_eq!(lab.live("a"), [0]);
        assert_eq!(lab.pods().count(), 2, "the former one stops still");
        let told = lab.world.tree.status.recent_faults.first();
        let is_seen = told.is_none_or(|fault| !fault.message.contains("has been replaced"));
        assert!(is_seen, "it can be looked at: {told:?}");
        assert_eq!(lab.world.tree.status.restarts, 1);
        assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    }
}

#[test]
fn a_worker_that_is_refused_is_tried_again_and_stops_nobody_else() {
    let mut lab = lab(
        "",
        &["- {name: a, worker: {POD}}", "- {name: b, worker: {POD}}"],
    );
    lab.world.refusals.push(Refusal {
        kind: "Worker",
        child: "a".into(),
        slot: None,
        at: lab.now,
        code: 403,
        reason: "Forbidden".into(),
        message: "exceeded quota: workers".into(),
    });
    lab.settle();
    let has = |lab: &Lab, child: &str| lab.world.workers.contains_key(child);
    assert!(has(&lab, "b") && !has(&lab, "a"));
    assert!(
        lab.message().contains("a: the Worker could not be created"),
        "{}",
        lab.message()
    );
    let refused = |lab: &Lab| {
        let refused = &lab.world.tree.status.refused;
        let due = |one: &RefusedStatus| one.due_time.0.as_second() - lab.now.as_second();
        refused
            .iter()
            .map(|one| (one.child.clone(), one.count, due(one)))
            .collect::<Vec<_>>()
    };
    assert_eq!(refused(&lab), [("a".into(), 1, 1)]);
    for child in ["a", "b"] {
        lab.world.refusals.push(Refusal {
            kind: "Worker",
            at: lab.now,
            child: child.into(),
            slot: None,
            code: 403,
            reason: "Forbidden".into(),
            message: "exceeded quota: workers".into(),
        });
    }
    lab.settle();
    assert_eq!(refused(&lab), [("a".into(), 2, 2)], "that of b is there");
    lab.run(20);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(refused(&lab), []);
}

#[test]
fn a_restart_waits_for_the_stop_on_a_silent_node_as_long_as_its_worker_says() {
    let mut lab = started(
        "strategy: OneForAll",
        &[
            "- {name: a, worker: {POD}}",
            "- {name: b, worker: {nodeLossSeconds: 60, POD}}",
            "- {name: c, worker: {POD}}",
        ],
    );
    lab.stopping.insert("b".into(), 400);
    lab.pod_mut("b", 0).node = Some("node-b".into());
    let nodes = lab.world.nodes.as_mut().unwrap();
    nodes.insert("node-b".into(), NodeView::default());
    lab.kill("c", 0, 1);
    lab.settle();
    assert_eq!((lab.live("a"), lab.live("b")), (vec![0], vec![]));
    let now = lab.now;
    let node = lab.world.nodes.as_mut().unwrap().get_mut("node-b").unwrap();
    node.not_ready_since = Some(now);
    node.unreachable = true;
    let uid = lab.pod_mut("a", 0).uid.clone();
    lab.run(50);
    assert_eq!(lab.pod_mut("a", 0).uid, uid);
    lab.run(30);
    assert_ne!(lab.pod_mut("a", 0).uid, uid);
}

#[test]
fn a_refused_pod_is_tried_again_later_and_later() {
    let mut lab = lab("", &["- {name: a, worker: {POD}}"]);
    lab.refuse_creates = Some(Refusal {
        kind: "Pod",
        child: "a".into(),
        slot: None,
        at: lab.now,
        code: 403,
        reason: "Forbidden".into(),
        message: "no".into(),
    });
    let mut tries = Vec::new();
    for second in 0..20 {
        lab.run(i64::from(second > 0));
        let count = lab.log.iter().filter(|entry| entry.starts_with("refused"));
        tries.push(count.count());
    }
    tries.dedup();
    assert_eq!(tries, [1, 2, 3, 4, 5], "{:?}", lab.log);
    assert_eq!(
        lab.world.workers["a"].status.slots[0]
            .brake
            .as_ref()
            .unwrap()
            .count,
        5
    );
}
