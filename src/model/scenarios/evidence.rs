//! Dead Pods that are kept, Pods that vanish, and what they are taken for.
//!
//! Rule: a death is judged once, and the death of the Pod that the slot stands on is judged.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{ONE, many};
use crate::api::v1alpha1::RecentFault;
use crate::model::decide;
use crate::model::decision::Write;
use crate::model::lab::{Behaviour, Lab};
use crate::model::pod::{ContainerState, RestartPolicy, Termination};
use crate::model::window::after;
use crate::model::world::Untold;

#[test]
fn a_pod_kept_as_evidence_is_not_what_the_slot_stands_on() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    lab.evict("a", 0);
    lab.run(60);
    assert_eq!(lab.state(), "TFF AllUp");
    assert_eq!(lab.world.tree.status.restarts, 1);
    lab.delete_by_hand("a", 0);
    lab.run(2);
    assert_eq!(
        lab.live("a"),
        [0],
        "replaced after a second, the second time"
    );
    assert_eq!(lab.world.tree.status.restarts, 2);
    let faults = lab.world.tree.status.recent_faults.iter();
    let classes: Vec<&str> = faults.map(|fault| fault.class.as_str()).collect();
    assert_eq!(classes, ["PodDeleted", "NodePressureEviction"]);
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

#[test]
fn evidence_is_not_charged_again_when_its_successor_vanishes() {
    let mut lab = Lab::new(&format!(
        "intensity: {{maxRestarts: 1, periodSeconds: 3600}}{ONE}"
    ));
    lab.run(5);
    lab.pod_mut("a", 0).restart_policy = RestartPolicy::Never;
    lab.kill("a", 0, 1);
    lab.run(60);
    assert_eq!(lab.charges("(root)"), BTreeMap::from([("a".into(), 1)]));
    lab.vanish("a", 0);
    lab.run(10);
    assert_eq!(lab.charges("(root)"), BTreeMap::from([("a".into(), 1)]));
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

#[test]
fn evidence_is_kept_for_an_hour_from_the_death() {
    let mut lab = Lab::new(ONE);
    lab.run(7200);
    lab.evict("a", 0);
    let dead = |lab: &Lab| lab.pods().filter(|pod| pod.is_terminal()).count();
    lab.run(3500);
    assert_eq!((dead(&lab), lab.live("a")), (1, vec![0]));
    lab.run(200);
    assert_eq!(dead(&lab), 0);
}

#[test]
fn a_held_pod_that_is_evicted_is_replaced() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    lab.behave("a", Behaviour::Crash(1, 127));
    lab.run(20);
    assert_eq!(lab.state(), "FTF Held", "{}", lab.message());
    let charges = lab.charges("(root)");
    lab.evict("a", 0);
    lab.behave("a", Behaviour::Healthy);
    lab.run(40);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(lab.charges("(root)"), charges);
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
fn a_death_between_the_decision_to_replace_and_the_delete_is_judged() {
    let mut lab = Lab::new(&format!(
        "intensity: {{maxRestarts: 10, periodSeconds: 600}}{ONE}"
    ));
    lab.run(5);
    for _ in 0..2 {
        lab.kill("a", 0, 1);
        lab.settle();
    }
    lab.now = after(lab.now, 1);
    let now = lab.now;
    lab.decide_before(|lab| {
        let container = &mut lab.pod_mut("a", 0).containers[0];
        container.restarts += 1;
        container.state = ContainerState::Terminated(Termination {
            exit_code: 1,
            started: Some(now),
            finished: Some(now),
            ..Termination::default()
        });
    });
    lab.run(10);
    assert_eq!(lab.world.tree.status.restarts, 3);
    assert_eq!(lab.charges("(root)"), BTreeMap::from([("a".into(), 3)]));
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
    lab.kill("a", 0, 137);
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
fn what_the_kubelet_starts_after_the_give_up_is_stopped() {
    let spec = ONE.replace("worker: {", "worker: {ready: Running, ");
    let mut lab = Lab::new(&format!(
        "intensity: {{maxRestarts: 2, periodSeconds: 300}}{spec}"
    ));
    lab.run(5);
    lab.behave("a", Behaviour::Crash(20, 1));
    lab.run_until("FFT GaveUp", 100);
    lab.run(3);
    assert_eq!(lab.live("a"), [] as [i32; 0], "{}", lab.message());
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

#[test]
fn a_slot_that_goes_and_comes_back_still_knows_what_was_judged() {
    let mut lab = Lab::new(
        "
startup: Ordered
children:
- {name: a, worker: {replicas: 1, template: {spec: {containers: [{name: app, image: one}]}}}}
- {name: b, worker: {replicas: 1, template: {spec: {containers: [{name: app, image: one}]}}}}
",
    );
    lab.run(20);
    lab.evict("a", 0);
    lab.run(20);
    lab.kill("a", 0, 1);
    lab.run(20);
    let (restarts, charges) = (lab.world.tree.status.restarts, lab.charges("(root)"));
    lab.edit(|spec| {
        for child in &mut spec.children {
            child.worker.as_mut().unwrap().replicas = Some(0);
        }
    });
    lab.settle();
    lab.edit(|spec| spec.children[0].worker.as_mut().unwrap().replicas = Some(1));
    lab.settle();
    assert_eq!(
        (lab.world.tree.status.restarts, lab.charges("(root)")),
        (restarts, charges)
    );
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

/// A fault that was judged when its Worker could not be stored is judged again, and told once.
/// What Workers that are gone had counted is in the tree's number and in no Worker's.
#[test]
fn what_the_tree_could_not_be_told_is_shown_and_counted_once() {
    let mut lab = Lab::new(&many(2, 1));
    lab.run(10);
    lab.kill("a", 0, 1);
    lab.settle();
    let before = lab.world.tree.status.clone();
    assert_eq!(before.restarts, 1);
    let worker = lab.world.workers.get_mut("a").unwrap();
    Arc::make_mut(&mut worker.status).restarts = 0;
    let known = before.recent_faults[0].clone();
    let fault = RecentFault {
        slot: 1,
        ..known.clone()
    };
    lab.world.untold = Untold {
        faults: vec![known.clone(), fault.clone()],
        restarts: 2,
    };
    for _ in 0..2 {
        lab.settle();
        let status = &lab.world.tree.status;
        assert_eq!(status.restarts, 2);
        assert_eq!(status.recent_faults, [fault.clone(), known.clone()]);
    }
}

/// Of two deaths that are judged together, the supervisor is charged with one, and a slot with the other: three writes,
/// and a crash before or after each.
#[test]
fn a_restart_is_counted_once_wherever_a_crash_comes() {
    let spec = "
children:
- {name: a, worker: {template: {spec: {containers: [{name: app, image: one}]}}}}
- {name: b, worker: {replicas: 3, template: {spec: {containers: [{name: app, image: one}]}}}}
";
    for crash in 0..8 {
        let mut lab = Lab::new(spec);
        lab.run(40);
        lab.kill("a", 0, 1);
        lab.kill("b", 0, 1);
        lab.crash_in = Some(crash);
        lab.run(40);
        lab.crash_in = None;
        lab.run(40);
        assert_eq!(lab.state(), "TFF AllUp", "{crash}");
        let by_worker: Vec<i64> = lab
            .world
            .workers
            .values()
            .map(|w| w.status.restarts)
            .collect();
        assert_eq!(by_worker, [1, 1], "{crash}");
        let status = &lab.world.tree.status;
        assert_eq!(status.restarts, 2, "{crash}");
        let told = status
            .recent_faults
            .iter()
            .map(|fault| fault.child.as_str());
        let mut told: Vec<&str> = told.collect();
        told.sort_unstable();
        // What was to be told is not known any more when the crash came right after the Worker was stored.
        assert!(told == ["a", "b"] || told == ["a"], "{crash}: {told:?}");
    }
}
