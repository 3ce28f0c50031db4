//! What is held, and signals of which more may become known: deletes, other containers and rules in between.
//!
//! Rule: a hold ends by what it waits for, never by what happens beside it.

use super::policy::{last, ruled};
use super::witnesses::tell_of_ended;
use super::{charges, worker};
use crate::model::lab::{Behaviour, Lab};
use crate::model::pod::{ContainerState, PodPhase};
use crate::model::window::after;

/// A container that is not judged stands beside the one of replica `a/0`.
fn add_beside(lab: &mut Lab, state: ContainerState) {
    let mut beside = lab.pod_mut("a", 0).containers[0].clone();
    beside.name = "beside".into();
    beside.judged = false;
    beside.state = state;
    lab.pod_mut("a", 0).containers.push(beside);
}

/// What keeps another container of its Pod from running is not why it is down, and to replace the Pod would not help.
#[test]
fn what_is_held_stays_whatever_becomes_of_a_container_that_is_not_judged() {
    let hold = "{match: {exitCodes: [65]}, action: Hold}";
    let restart = "{match: {families: [Image]}, action: Restart, charge: Exempt}";
    for (reason, message) in [
        ("ImagePullBackOff", "ErrImagePull: nope: not found"),
        ("ImagePullBackOff", "ErrImagePull: dial tcp: i/o timeout"),
        ("ContainerCreating", ""),
        ("CrashLoopBackOff", "back-off 5m0s"),
    ] {
        let mut lab = ruled("", &format!("{hold}, {restart}"));
        lab.kill("a", 0, 65);
        lab.run(1);
        assert_eq!(lab.state(), "FTF Held", "{}", lab.message());
        let mut pod = lab.world.workers["a"].pods[0].as_ref().clone();
        pod.phase = PodPhase::Running;
        lab.world.workers.get_mut("a").unwrap().pods[0] = pod.into();
        let uid = lab.pod_mut("a", 0).uid.clone();
        let waiting = ContainerState::Waiting {
            reason: reason.into(),
            message: message.into(),
        };
        add_beside(&mut lab, waiting);
        lab.run(120);
        assert_eq!(lab.state(), "FFT Held", "{reason}: {}", lab.message());
        assert_eq!(lab.pod_mut("a", 0).uid, uid);
        add_beside_again(&mut lab);
        lab.run(60);
        assert_eq!(lab.state(), "FFT Held", "{reason}: {}", lab.message());
        assert_eq!(lab.world.tree.status.restarts, 1);
    }
}

/// It runs after all.
fn add_beside_again(lab: &mut Lab) {
    lab.pod_mut("a", 0).containers.pop();
    add_beside(lab, ContainerState::Running { since: None });
}

/// Names and UIDs of the Pods that have ended and that nobody has deleted, the newest first.
fn ended(lab: &Lab) -> impl Iterator<Item = (String, String)> {
    let pods = lab.world.workers["a"].pods.iter().rev();
    let ended = pods.filter(|pod| pod.is_terminal() && !pod.is_deleting());
    ended.map(|pod| (pod.name.clone(), pod.uid.clone()))
}

/// Who deletes what is held may do so again and again.
#[test]
fn what_is_held_and_deleted_is_replaced_more_and_more_slowly() {
    let hold = "{match: {exitCodes: [65]}, action: Hold}";
    let mut lab = ruled("", hold);
    lab.behave("a", Behaviour::Crash(1, 65));
    lab.kill("a", 0, 65);
    lab.settle();
    let since = lab.log.len();
    for _ in 0..600 {
        let ended: Vec<_> = ended(&lab).collect();
        for (name, uid) in ended {
            lab.delete(&name, &uid);
        }
        lab.run(1);
    }
    let made = lab.log[since..].iter();
    let made = made.filter(|entry| entry.starts_with("create ")).count();
    assert!((5..=11).contains(&made), "{made} in 10 min");
    assert_eq!(lab.charges("(root)"), charges(&[]));
}

/// The end and the delete are seen at once: there is nothing that could be left as it is.
#[test]
fn a_held_end_of_a_pod_that_somebody_deletes_is_replaced_uncharged_and_braked() {
    let hold = "{match: {exitCodes: [65]}, action: Hold}";
    let mut lab = ruled("", hold);
    for _ in 0..3 {
        lab.kill("a", 0, 65);
        let (name, uid) = ended(&lab).next().unwrap();
        lab.now = after(lab.now, 5);
        lab.delete(&name, &uid);
        lab.run(20);
        assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    }
    let slot = &lab.world.workers["a"].status.slots[0];
    assert_eq!(slot.brake.as_ref().map(|brake| brake.count), Some(3));
    assert_eq!(last(&lab).charge, "Exempt");
    let told = (last(&lab).class.as_str(), last(&lab).decision.as_str());
    assert_eq!(told.0, "AppExitedNonZero");
    assert!(told.1.starts_with("not charged; replaced"), "{told:?}");
}

const KILLED_BY_PROBE: &str = "Container app failed liveness probe, will be restarted";

/// What a rule says depends on who sent the signal, which becomes known a moment later.
#[test]
fn a_signal_is_waited_for_where_a_rule_asks_for_the_class() {
    let rule = "{match: {classes: [LivenessProbeKilled]}, action: Hold}";
    let mut lab = ruled("", rule);
    lab.kill("a", 0, 137);
    lab.run(1);
    assert_eq!(lab.world.tree.status.recent_faults, []);
    tell_of_ended(&mut lab, "Killing", KILLED_BY_PROBE);
    lab.run(60);
    assert_eq!(lab.state(), "FFT Held", "{}", lab.message());
    // Where only the code counts there is nothing to wait for.
    let mut lab = ruled("", "{match: {exitCodes: [137]}, action: Hold}");
    lab.kill("a", 0, 137);
    lab.settle();
    assert_eq!(last(&lab).class, "SigkillUnattributed");
    assert_eq!(lab.state(), "FTF Held", "{}", lab.message());
}

/// The death that parks a slot waits, too, although its supervisor has budget left.
#[test]
fn a_signal_is_waited_for_that_would_park_its_slot() {
    let settings = "replicas: 3, quorum: 1";
    let mut lab = Lab::new(&format!(
        "intensity: {{maxRestarts: 1, periodSeconds: 300}}\nfaultPolicy: {{rules: [{{match: {{exitCodes: [3]}}, action: Hold}}]}}\nchildren:\n{}",
        worker("a", "", settings)
    ));
    lab.run(10);
    lab.kill("a", 0, 137);
    lab.settle();
    assert_eq!(lab.world.tree.status.restarts, 1, "it decides nothing");
    lab.run(20);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    lab.kill("a", 0, 137);
    lab.settle();
    assert_eq!(lab.world.tree.status.restarts, 1, "it would park the slot");
    lab.run(5);
    assert_eq!(lab.world.tree.status.restarts, 2);
    let slot = &lab.world.workers["a"].status.slots[0];
    assert!(slot.parked.is_some(), "{slot:?}");
}
