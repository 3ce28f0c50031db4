//! Stories of deaths that are seen late, only in part, or together with others.
//!
//! Rule: as in all stories, the state of the world is asserted.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::labels;
use crate::api::v1alpha1::SupervisionTreeSpec;
use crate::model::decide;
use crate::model::fault::Verdict;
use crate::model::lab::{Behaviour, Lab};
use crate::model::pod::{ContainerState, PodPhase, Termination};
use crate::model::replica::has_stopped;
use crate::model::tree::Tree;
use crate::model::window::{after, api_time};

use super::{ONE, many, stable};

#[test]
fn a_death_seen_late_counts_from_when_it_happened_and_for_the_life_that_ended() {
    let mut lab = Lab::new(&format!(
        "intensity: {{maxRestarts: 3, periodSeconds: 60}}{ONE}"
    ));
    lab.run(5);
    lab.kill("a", 0, 1);
    lab.run(100);
    lab.kill("a", 0, 1);
    let died = lab.now;
    lab.go_by(30);
    assert!(lab.pod_mut("a", 0).is_ready(), "the kubelet restarted it");
    lab.run(1);
    let record = &lab.world.tree.status.supervisors[0];
    assert_eq!(record.charges[0].times, [api_time(died)]);
    assert_eq!(lab.world.workers["a"].status.restarts, 2);
    let charged = (Verdict::Application, Some(true));
    assert_eq!(lab.judged, [charged, charged]);
    assert_eq!(
        record.backoff[0].step, 1,
        "it had been there longer than the window"
    );
}

#[test]
fn a_pod_that_goes_after_its_container_died_is_no_second_death() {
    for goes in [Lab::delete_by_hand, Lab::vanish] {
        let mut lab = Lab::new(&format!(
            "backoff: {{initialSeconds: 60, maxSeconds: 60}}{ONE}"
        ));
        lab.run(5);
        for _ in 0..2 {
            lab.kill("a", 0, 1);
            lab.run(5);
        }
        assert_eq!(lab.world.tree.status.restarts, 2);
        let container = &lab.pod_mut("a", 0).containers[0];
        assert!(!container.is_running() && container.restarts == 1);
        goes(&mut lab, "a", 0);
        lab.run(60);
        assert_eq!(lab.world.tree.status.restarts, 2);
        assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    }
}

#[test]
fn an_eviction_happens_when_it_does_and_not_when_a_container_last_ended() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    lab.kill("a", 0, 1);
    lab.run(200);
    lab.evict("a", 0);
    lab.settle();
    let brake = lab.world.workers["a"].status.slots[0].brake.clone();
    assert_eq!(brake.unwrap().due_time, api_time(lab.now));
}

#[test]
fn what_is_held_and_has_ended_is_left_alone() {
    let mut lab = Lab::new(&format!("strategy: OneForAll{ONE}"));
    lab.settle();
    let now = lab.now;
    let pod = lab.pod_mut("a", 0);
    pod.phase = PodPhase::Failed;
    pod.containers[0].state = ContainerState::Terminated(Termination {
        exit_code: 128,
        reason: "StartError".into(),
        message: "exec: \"nope\": executable file not found in $PATH: unknown".into(),
        finished: Some(now),
        ..Termination::default()
    });
    lab.run(60);
    assert_eq!(lab.state(), "FFT Held", "{}", lab.message());
    let uid = lab.pods().next().unwrap().uid.clone();
    assert!(lab.pods().next().unwrap().is_terminal());
    lab.run(600);
    assert_eq!(lab.pods().count(), 1);
    assert_eq!(lab.pods().next().unwrap().uid, uid);
    assert_eq!(lab.world.tree.status.restarts, 1);
    let now = Some(Time(lab.now));
    lab.edit(|spec| spec.retry_at = now);
    lab.run(30);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

#[test]
fn what_runs_to_completion_has_no_start_deadline() {
    let mut lab = Lab::new(
        "
children:
- {name: a, worker: {restart: Transient, ready: Completed, startDeadlineSeconds: 20, template: {spec: {containers: [{name: app, image: one}]}}}}
",
    );
    lab.behave("a", Behaviour::Hang);
    lab.run(200);
    assert_eq!(lab.world.tree.status.restarts, 0);
    lab.kill("a", 0, 0);
    lab.run(5);
    assert_eq!(lab.state(), "TFF Finished", "{}", lab.message());
}

#[test]
fn what_is_being_deleted_misses_no_start_deadline() {
    let mut lab = Lab::new(
        "
children:
- name: a
  worker:
    identity: Stable
    startDeadlineSeconds: 30
    template: {spec: {terminationGracePeriodSeconds: 500, containers: [{name: app, image: one}]}}
",
    );
    lab.behave("a", Behaviour::Hang);
    lab.stopping.insert("a".into(), 300);
    lab.run(10);
    lab.delete_by_hand("a", 0);
    lab.run(100);
    assert_eq!(lab.world.tree.status.restarts, 0);
}

#[test]
fn the_brake_is_forgotten_after_ten_minutes_that_nobody_saw() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    for _ in 0..6 {
        lab.delete_by_hand("a", 0);
        lab.run(1);
        while lab.live("a").is_empty() {
            lab.run(1);
        }
    }
    lab.run(5);
    lab.go_by(700);
    lab.delete_by_hand("a", 0);
    lab.settle();
    assert_eq!(lab.live("a"), [0], "replaced at once");
}

#[test]
fn a_refused_tree_that_is_deleted_stops_what_it_had_first() {
    let refusals: [fn(&mut SupervisionTreeSpec); 2] = [
        |spec| spec.children.push(spec.children[0].clone()),
        |spec| spec.intensity.period_seconds = 1,
    ];
    for refuse in refusals {
        let mut lab = Lab::new(ONE);
        lab.run(5);
        lab.edit(refuse);
        lab.run(5);
        assert_eq!(lab.state(), "FFT InvalidSpec", "{}", lab.message());
        assert_eq!(lab.live("a"), [0], "a refused edit changes nothing");
        lab.tree_mut().deleting = true;
        lab.stopping.insert("a".into(), 10);
        lab.run(5);
        assert_eq!(lab.live("a"), [0; 0]);
        assert_eq!(lab.world.tree.finalizers, [labels::FINALIZER]);
        lab.run(10);
        assert_eq!(lab.pods().count(), 0);
        assert_eq!(lab.world.tree.finalizers, [""; 0]);
    }
}

#[test]
fn a_pod_that_is_gone_without_a_trace_is_a_death_that_costs_nothing() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    lab.vanish("a", 0);
    lab.run(5);
    assert_eq!(lab.world.tree.status.restarts, 1);
    assert!(lab.events.contains(&"ChildPodDeleted".to_owned()));
    assert_eq!(lab.charges("(root)"), BTreeMap::new());
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

#[test]
fn people_are_told_which_pod_died() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    lab.kill("a", 0, 1);
    let pod = lab.pod_mut("a", 0);
    let pod = (pod.name.clone(), pod.uid.clone());
    let decision = decide(&lab.world, lab.now);
    assert_eq!(decision.notices[0].pod, Some(pod));
    assert_eq!(decision.tree_status.restarts, 1);
    lab.run(10);
    lab.vanish("a", 0);
    assert_eq!(decide(&lab.world, lab.now).notices[0].pod, None);
}

#[test]
fn an_outdated_pod_that_others_delete_is_as_good_as_rolled() {
    let mut lab = Lab::new(&many(3, 2));
    lab.run(10);
    lab.edit_template("a", "two");
    lab.settle();
    let outdated: Vec<i32> = lab
        .pods()
        .filter(|pod| !pod.is_deleting() && pod.is_ready())
        .map(|pod| pod.slot)
        .collect();
    lab.delete_by_hand("a", outdated[0]);
    lab.run(30);
    assert_eq!(lab.world.tree.status.restarts, 0);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

#[test]
fn a_node_counts_twice_at_most_for_a_slot() {
    let mut lab = Lab::new(&format!(
        "intensity: {{maxRestarts: 20, periodSeconds: 36000}}{ONE}"
    ));
    lab.run(5);
    for node in ["node-a", "node-b", "node-a", "node-a"] {
        lab.pod_mut("a", 0).node = Some(node.into());
        lab.kill("a", 0, 1);
        lab.run(120);
    }
    let charges = &lab.world.workers["a"].status.slots[0].node_charges;
    let nodes: Vec<&str> = charges.iter().map(|charge| &*charge.node).collect();
    assert_eq!(nodes, ["node-b", "node-a", "node-a"]);
    for number in 0..12 {
        lab.run(400);
        lab.pod_mut("a", 0).node = Some(format!("node-{}", number / 2));
        lab.kill("a", 0, 1);
        lab.settle();
    }
    let charges = &lab.world.workers["a"].status.slots[0].node_charges;
    assert_eq!((charges.len(), &*charges[9].node), (10, "node-5"));
}

#[test]
fn a_trouble_is_as_old_as_its_reason() {
    let mut lab = Lab::new(ONE);
    let trouble = |lab: &Lab| {
        let slot = &lab.world.workers["a"].status.slots[0];
        let trouble = slot.trouble.clone().unwrap();
        (trouble.reason, trouble.since_time)
    };
    lab.behave("a", Behaviour::NoCapacity);
    lab.run(60);
    let (reason, since) = trouble(&lab);
    assert_eq!(reason, "WaitingForCapacity");
    lab.behave("a", Behaviour::NoImage);
    lab.run(60);
    let (reason, later) = trouble(&lab);
    assert_eq!(reason, "Held");
    assert!(later > since, "{later:?} {since:?}");
}

#[test]
fn a_run_lasts_from_its_start_to_its_end() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    let began = lab.pod_mut("a", 0).containers[0].running_since().unwrap();
    lab.run(10);
    let ended = lab.now;
    lab.kill("a", 0, 1);
    lab.run(10);
    let pod = lab.pod_mut("a", 0);
    let ran = |second| pod.was_running_at(after(began, second));
    let length = ended.as_second() - began.as_second();
    assert_eq!(
        [-1, 0, length, length + 1].map(ran),
        [false, true, true, false]
    );
}

#[test]
fn the_clean_end_of_one_of_two_containers_leaves_a_replica_alive() {
    let mut lab = Lab::new(
        "
children:
- {name: a, worker: {restart: Transient, template: {spec: {containers: [{name: app, image: one}, {name: side, image: one}]}}}}
",
    );
    lab.run(1);
    let pod = lab.pod_mut("a", 0);
    let mut side = pod.containers[0].clone();
    side.name = "side".into();
    side.state = ContainerState::Running {
        since: Some(pod.created),
    };
    side.ready = true;
    pod.containers.push(side);
    lab.run(5);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    lab.kill("a", 0, 0);
    lab.run(30);
    assert_eq!(lab.world.tree.status.restarts, 0);
    assert_eq!(lab.state(), "FTF NotUp", "{}", lab.message());
}

#[test]
fn a_replica_that_is_unready_for_a_while_has_stayed_up() {
    let mut lab = Lab::new(&format!(
        "intensity: {{maxRestarts: 0, periodSeconds: 100}}{ONE}"
    ));
    lab.run(5);
    lab.kill("a", 0, 1);
    lab.run(40);
    let gave_up = |lab: &Lab| lab.world.tree.status.supervisors[0].gave_up.len();
    assert_eq!((lab.live("a"), gave_up(&lab)), (vec![0], 1));
    lab.run(60);
    lab.set_ready("a", 0, false);
    lab.behave("a", Behaviour::Hang);
    assert_eq!(gave_up(&lab), 1);
    lab.run(50);
    assert_eq!(gave_up(&lab), 0);
}

#[test]
fn what_is_up_when_it_runs_has_stayed_up_since_it_runs() {
    let mut lab = Lab::new(
        "
intensity: {maxRestarts: 1, periodSeconds: 100}
children:
- {name: a, worker: {ready: Running, template: {spec: {containers: [{name: app, image: one}]}}}}
",
    );
    lab.behave("a", Behaviour::Crash(40, 1));
    lab.run(400);
    let delay = lab.world.tree.status.supervisors[0].gave_up[0].delay_seconds;
    assert!(delay >= 60, "{delay}");
}

#[test]
fn without_a_view_of_the_nodes_a_stop_is_believed_after_a_while_unless_the_name_is_wanted_again() {
    for (identity, stopped) in [("Interchangeable", true), ("Stable", false)] {
        let mut lab = Lab::new(&format!(
            "
children:
- {{name: a, worker: {{identity: {identity}, nodeLossSeconds: 60, template: {{spec: {{containers: [{{name: app, image: one}}]}}}}}}}}
"
        ));
        lab.run(5);
        lab.world.nodes = None;
        let now = lab.now;
        lab.pod_mut("a", 0).deletion = Some(now);
        let pod = lab.pods().next().unwrap();
        let spec = lab.world.tree.spec.clone();
        let tree = Tree::parse("t", &spec).unwrap();
        let leaf = tree.leaf(1).unwrap();
        let has = |seconds| has_stopped(pod, leaf, &lab.world, after(now, seconds));
        assert_eq!([has(59), has(60)], [false, stopped], "{identity}");
    }
}

#[test]
fn the_scarcest_window_is_told() {
    let mut lab = Lab::new(
        "
intensity: {maxRestarts: 3, periodSeconds: 300}
children:
- {name: s, supervisor: {intensity: {maxRestarts: 3, periodSeconds: 200}}}
- {name: x, parent: s, worker: {template: {spec: {containers: [{name: app, image: one}]}}}}
- {name: t, supervisor: {intensity: {maxRestarts: 3, periodSeconds: 100}}}
- {name: y, parent: t, worker: {template: {spec: {containers: [{name: app, image: one}]}}}}
",
    );
    lab.run(10);
    assert_eq!(lab.world.tree.status.budget, "3/3 in 300s at (root)");
    lab.kill("x", 0, 1);
    lab.settle();
    assert_eq!(lab.world.tree.status.budget, "2/3 in 200s at s");
    lab.run(201);
    assert_eq!(lab.world.tree.status.budget, "3/3 in 300s at (root)");
}

#[test]
fn the_message_says_what_is_waited_for_and_why() {
    let mut lab = Lab::new(
        "
backoff: {initialSeconds: 60, maxSeconds: 60}
intensity: {maxRestarts: 9, periodSeconds: 900}
children:
- {name: a, worker: {cleanExitCodes: [0, 7], template: {spec: {containers: [{name: app, image: one}]}}}}
- {name: b, worker: {cleanExitCodes: [0, 7], template: {spec: {containers: [{name: app, image: one}]}}}}
",
    );
    lab.settle();
    let says = |lab: &Lab, words: &[&str]| {
        let message = lab.message().to_owned();
        for words in words {
            assert!(message.contains(words), "{words}: {message}");
        }
    };
    says(&lab, &["a/0 is starting (Pod", "(and 1 more)"]);
    lab.run(5);
    for code in [1, 3] {
        lab.kill("a", 0, 1);
        lab.kill("b", 0, code);
        lab.run(5);
    }
    says(
        &lab,
        &[
            "a/0 is being restarted: container app ended with exit code 1",
            "; the next restart is due at",
            "(and 1 more)",
        ],
    );
}

#[test]
fn a_slot_that_was_parked_is_well_again_after_half_a_minute() {
    let mut lab = Lab::new(&many(2, 1));
    lab.failing.insert("a/0".into(), vec![1; 100]);
    lab.run(2);
    let slot = |lab: &Lab| lab.world.workers["a"].status.slots[0].clone();
    while slot(&lab).parked.is_none() {
        lab.run(1);
    }
    assert!(slot(&lab).down_time.is_some());
    lab.failing.clear();
    while !lab.live("a").contains(&0) || !lab.pod_mut("a", 0).is_ready() {
        lab.run(1);
    }
    lab.run(20);
    assert_eq!(slot(&lab).trouble.unwrap().reason, "SlotParked");
    assert_eq!(slot(&lab).down_time, None);
    lab.run(20);
    assert_eq!(slot(&lab).trouble, None);
    assert!(slot(&lab).parked.is_some(), "its next wait would be longer");
    lab.run(300);
    assert_eq!(slot(&lab).parked, None);
}

#[test]
fn what_is_not_wanted_any_more_is_forgotten() {
    let mut lab = Lab::new(&many(3, 1));
    lab.run(10);
    lab.kill("a", 2, 1);
    lab.settle();
    lab.edit(|spec| spec.children[0].worker.as_mut().unwrap().replicas = Some(2));
    lab.run(60);
    let slots = &lab.world.workers["a"].status.slots;
    let slots: Vec<i32> = slots.iter().map(|slot| slot.slot).collect();
    assert_eq!(slots, [0, 1]);
}

#[test]
fn a_stable_replica_that_crashes_again_is_replaced_when_its_name_is_free() {
    let mut lab = Lab::new(&stable());
    lab.run(10);
    let uid = lab.pod_mut("a", 0).uid.clone();
    for _ in 0..2 {
        lab.kill("a", 0, 1);
        lab.run(4);
    }
    lab.run(30);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_ne!(lab.pod_mut("a", 0).uid, uid);
}

#[test]
fn restarts_of_a_worker_that_is_gone_still_count() {
    let mut lab = Lab::new(
        "
children:
- {name: a, worker: {template: {spec: {containers: [{name: app, image: one}]}}}}
- {name: b, worker: {template: {spec: {containers: [{name: app, image: one}]}}}}
",
    );
    lab.run(5);
    lab.kill("b", 0, 1);
    lab.run(5);
    lab.edit(|spec| drop(spec.children.pop()));
    lab.run(60);
    lab.kill("a", 0, 1);
    lab.run(5);
    assert_eq!(lab.world.tree.status.restarts, 2);
}

#[test]
fn a_missed_start_deadline_is_charged_when_it_runs_out() {
    let mut lab = Lab::new(
        "
intensity: {maxRestarts: 3, periodSeconds: 600}
children:
- {name: a, worker: {startDeadlineSeconds: 40, template: {spec: {containers: [{name: app, image: one}]}}}}
",
    );
    lab.behave("a", Behaviour::Hang);
    lab.settle();
    while lab.charges("(root)").is_empty() {
        lab.run(1);
    }
    let charges = &lab.world.tree.status.supervisors[0].charges;
    assert_eq!(charges[0].times, [api_time(lab.now)]);
}
