//! What Events add: who sent a signal, and what keeps a Pod from starting that its status does not name.
//!
//! Rule: an Event that comes too late changes no judgement; a death is judged once.

use std::sync::Arc;

use super::{ONE, charges, worker};
use crate::model::fault::{EventView, ObjectRef};
use crate::model::lab::{Behaviour, Lab};
use crate::model::pod::{ContainerSpecView, PodConditionType, PodView, ProbeView};
use crate::model::window::api_time;
use crate::model::world::{Change, Refusal};

/// What is told now of the Pod that was made last.
fn tell(lab: &mut Lab, reason: &str, message: &str) {
    let pod = lab.world.workers["a"].pods.last().unwrap();
    let (uid, about) = (pod.uid.clone(), app_of(pod));
    tell_of(lab, uid, about, reason, message);
}

/// The same of one that may have ended.
pub(super) fn tell_of_ended(lab: &mut Lab, reason: &str, message: &str) {
    let pod = lab.pods().next().expect("there is a Pod");
    let (uid, about) = (pod.uid.clone(), app_of(pod));
    tell_of(lab, uid, about, reason, message);
}

/// The container of a Pod, as an Event names it.
fn app_of(pod: &PodView) -> ObjectRef {
    ObjectRef {
        kind: "Pod".into(),
        name: pod.name.clone(),
        uid: pod.uid.clone(),
        field: "spec.containers{app}".into(),
        ..ObjectRef::default()
    }
}

/// What is told now of an object that the Pod with that UID has to do with.
fn tell_of(lab: &mut Lab, pod: String, object: ObjectRef, reason: &str, message: &str) {
    let event = EventView {
        object,
        reason: reason.into(),
        message: message.into(),
        first: Some(lab.now),
        last: Some(lab.now),
        count: 1,
    };
    let events = lab.world.events.entry(pod).or_default();
    events.push(Arc::new(event));
}

const KILLING: &str = "Container app failed liveness probe, will be restarted";

fn classes(lab: &Lab) -> Vec<&str> {
    let faults = lab.world.tree.status.recent_faults.iter();
    faults.map(|fault| fault.class.as_str()).collect()
}

#[test]
fn a_signal_whose_sender_is_known_is_judged_at_once() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    tell(&mut lab, "Killing", KILLING);
    lab.kill("a", 0, 137);
    lab.settle();
    assert_eq!(classes(&lab), ["LivenessProbeKilled"]);
    assert_eq!(lab.charges("(root)"), charges(&[("a", 1)]));
    let fault = &lab.world.tree.status.recent_faults[0];
    assert!(
        fault
            .evidence
            .iter()
            .any(|proof| proof.value.contains("failed liveness probe")),
        "{fault:?}"
    );
    assert_eq!(
        (fault.container.as_str(), fault.charge.as_str()),
        ("app", "Charged")
    );
    assert!(!fault.revision.is_empty());
}

#[test]
fn a_signal_waits_a_moment_for_who_sent_it_and_is_judged_once() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    lab.kill("a", 0, 137);
    lab.run(1);
    assert_eq!(lab.live("a"), [0], "the kubelet has restarted it");
    assert_eq!(classes(&lab), [""; 0]);
    tell(&mut lab, "Killing", KILLING);
    lab.settle();
    assert_eq!(classes(&lab), ["LivenessProbeKilled"]);
    lab.run(60);
    assert_eq!(classes(&lab), ["LivenessProbeKilled"]);
    assert_eq!(lab.charges("(root)"), charges(&[("a", 1)]));
}

#[test]
fn a_signal_of_which_nothing_becomes_known_is_charged_after_that() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    lab.kill("a", 0, 137);
    lab.run(10);
    assert_eq!(classes(&lab), ["SigkillUnattributed"]);
    assert_eq!(lab.charges("(root)"), charges(&[("a", 1)]));
    tell(&mut lab, "Killing", KILLING);
    lab.run(30);
    assert_eq!(classes(&lab), ["SigkillUnattributed"], "it has been judged");
    assert_eq!(lab.world.tree.status.restarts, 1);
}

/// Coppice makes the restart, so that it does not wait; the death that would exhaust the budget does.
#[test]
fn only_a_death_that_decides_delays_a_restart_of_ours() {
    let mut lab = Lab::new(&format!(
        "strategy: OneForAll\nintensity: {{maxRestarts: 1, periodSeconds: 300}}\nchildren:\n{}",
        worker("a", "", "")
    ));
    lab.run(5);
    lab.kill("a", 0, 137);
    lab.settle();
    assert_eq!(lab.charges("(root)"), charges(&[("a", 1)]));
    lab.run(10);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    lab.kill("a", 0, 137);
    lab.run(1);
    assert!(!lab.message().contains("given up"), "{}", lab.message());
    lab.run(5);
    assert_eq!(lab.state(), "FFT GaveUp", "{}", lab.message());
}

/// A tree of one `Transient` worker with these settings, up for five seconds, and whether its container has a liveness probe.
fn transient(settings: &str, is_probed: bool) -> Lab {
    let child = worker("a", "", &format!("restart: Transient{settings}"));
    let mut lab = Lab::new(&format!("children:\n{child}"));
    lab.run(5);
    let probe = ProbeView {
        initial_delay: 0,
        period: 10,
        failure_threshold: 3,
        timeout: 1,
    };
    let container = ContainerSpecView {
        name: "app".into(),
        liveness: is_probed.then_some(probe),
        ..ContainerSpecView::default()
    };
    let pod = lab.pod_mut("a", 0);
    Arc::make_mut(&mut pod.spec).containers.push(container);
    lab
}

/// It is not started again, so that evidence which comes too late would be of no use.
#[test]
fn an_end_that_looks_clean_waits_a_moment_for_a_probe_that_made_it() {
    let clean = ", cleanExitCodes: [0, 143]";
    let failing = "Liveness probe failed: HTTP probe failed with statuscode: 500";
    let killed = [
        ("", 0, true, "Killing", KILLING),
        (clean, 143, true, "Killing", KILLING),
        // The code says itself that somebody told it to stop, whatever its spec is.
        (clean, 143, false, "Unhealthy", failing),
    ];
    for (settings, code, is_probed, reason, message) in killed {
        let mut lab = transient(settings, is_probed);
        lab.kill("a", 0, code);
        lab.run(1);
        assert_eq!(lab.state(), "FTF NotUp", "{}", lab.message());
        assert!(lab.message().contains("waits a few seconds to learn why"));
        tell(&mut lab, reason, message);
        lab.run(10);
        assert_eq!(classes(&lab), ["LivenessProbeKilled"]);
        assert_eq!(lab.charges("(root)"), charges(&[("a", 1)]));
        assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    }
}

#[test]
fn an_end_that_looks_clean_is_clean_when_nothing_else_becomes_known() {
    let clean = ", cleanExitCodes: [0, 143]";
    for (settings, code, is_probed, waits) in [
        ("", 0, true, true),
        (clean, 143, false, true),
        ("", 0, false, false),
    ] {
        let mut lab = transient(settings, is_probed);
        lab.kill("a", 0, code);
        lab.run(1);
        let has_finished = lab.state() == "TFF Finished";
        assert_eq!(has_finished, !waits, "{code}: {}", lab.message());
        lab.run(4);
        assert_eq!(lab.state(), "TFF Finished", "{code}: {}", lab.message());
        tell(&mut lab, "Killing", KILLING);
        lab.run(10);
        assert_eq!(lab.charges("(root)"), charges(&[]), "it has been judged");
    }
}

#[test]
fn an_event_names_what_the_status_of_a_pod_that_is_being_made_does_not() {
    let mut lab = Lab::new(ONE);
    lab.behave("a", Behaviour::Stuck);
    lab.run(2);
    assert_eq!(lab.state(), "FTF Starting", "{}", lab.message());
    let text = "MountVolume.SetUp failed for volume \"certs\" : secret \"web-tls\" not found";
    tell(&mut lab, "FailedMount", text);
    lab.run(40);
    assert_eq!(lab.state(), "FFT Held", "{}", lab.message());
    assert!(lab.message().contains("web-tls"), "{}", lab.message());
    assert_eq!(classes(&lab), ["SecretMissing"]);
    let trouble = lab.world.workers["a"].status.slots[0]
        .trouble
        .clone()
        .unwrap();
    assert_eq!(trouble.class, "SecretMissing");
    // Something else turns out to be wrong, and then the first again: each is told once.
    let text = "MountVolume.SetUp failed for volume \"conf\" : configmap \"web\" not found";
    let uid = lab.pod_mut("a", 0).uid.clone();
    let first = lab.world.events.remove(&uid).unwrap();
    tell(&mut lab, "FailedMount", text);
    lab.run(5);
    lab.world.events.insert(uid, first);
    lab.run(5);
    assert_eq!(classes(&lab), ["ConfigMapMissing", "SecretMissing"]);
    lab.behave("a", Behaviour::Healthy);
    lab.run(10);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(lab.charges("(root)"), charges(&[]));
}

/// Something changes now that Pods may wait for.
fn change(lab: &mut Lab, kind: &'static str, name: &str) {
    let change = Change {
        kind,
        name: name.into(),
        at: lab.now,
    };
    lab.world.changes.push(change);
}

#[test]
fn a_pod_that_waits_for_what_has_come_is_replaced_if_the_kubelet_does_not_start_it() {
    let mut lab = Lab::new(ONE);
    lab.behave("a", Behaviour::Stuck);
    lab.run(2);
    let text = "MountVolume.SetUp failed for volume \"conf\" : configmap \"web\" not found";
    tell(&mut lab, "FailedMount", text);
    lab.run(60);
    assert_eq!(classes(&lab), ["ConfigMapMissing"]);
    let uid = lab.pod_mut("a", 0).uid.clone();
    change(&mut lab, "ConfigMap", "web-other");
    lab.run(10);
    assert_eq!(
        lab.pod_mut("a", 0).uid,
        uid,
        "it does not wait for that one"
    );
    change(&mut lab, "ConfigMap", "web");
    lab.run(2);
    assert_eq!(lab.pod_mut("a", 0).uid, uid, "the kubelet has a moment");
    lab.behave("a", Behaviour::Healthy);
    lab.pod_mut("a", 0).deletion = None;
    lab.run(5);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(lab.charges("(root)"), charges(&[]));
}

#[test]
fn the_kubelet_does_not_look_again_in_time_so_that_the_pod_is_replaced() {
    let mut lab = Lab::new(ONE);
    lab.behave("a", Behaviour::Stuck);
    lab.run(2);
    let text = "MountVolume.SetUp failed for volume \"conf\" : configmap \"web\" not found";
    tell(&mut lab, "FailedMount", text);
    lab.run(60);
    let uid = lab.pod_mut("a", 0).uid.clone();
    change(&mut lab, "ConfigMap", "web");
    lab.run(5);
    assert_ne!(lab.pod_mut("a", 0).uid, uid);
    let successor = lab.pod_mut("a", 0).uid.clone();
    lab.run(60);
    assert_eq!(
        lab.pod_mut("a", 0).uid,
        successor,
        "one change, one replacement"
    );
    assert_eq!(lab.charges("(root)"), charges(&[]));
    assert_eq!(lab.world.tree.status.restarts, 0);
}

/// A full quota refuses every create, until it is tried seldom.
fn refuse_for_long(lab: &mut Lab) {
    lab.refuse_creates = Some(Refusal {
        kind: "Pod",
        child: "a".into(),
        slot: None,
        at: lab.now,
        code: 403,
        reason: "Forbidden".into(),
        message: "pods \"t-a\" is forbidden: exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1".into(),
    });
    lab.run(200);
}

#[test]
fn a_create_that_a_quota_refused_is_tried_again_soon_after_the_quota_changed() {
    let mut lab = Lab::new(ONE);
    refuse_for_long(&mut lab);
    assert_eq!(lab.state(), "FTF WaitingForCapacity", "{}", lab.message());
    let due = |lab: &Lab| {
        lab.world.workers["a"].status.slots[0]
            .brake
            .clone()
            .unwrap()
            .due_time
            .0
    };
    assert!(
        due(&lab).as_second() - lab.now.as_second() > 30,
        "it is tried seldom by now"
    );
    lab.refuse_creates = None;
    change(&mut lab, "ResourceQuota", "small");
    lab.run(5);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

/// Others come and go all the time, and the quota stays full.
#[test]
fn a_quota_that_changes_all_the_time_does_not_make_creates_come_faster_than_that() {
    let mut lab = Lab::new(ONE);
    refuse_for_long(&mut lab);
    let refused = |lab: &Lab| {
        lab.log
            .iter()
            .filter(|entry| entry.starts_with("refused"))
            .count()
    };
    let before = refused(&lab);
    for _ in 0..20 {
        lab.world.changes.clear();
        change(&mut lab, "ResourceQuota", "small");
        lab.run(1);
    }
    let tries = refused(&lab) - before;
    assert!((3..=11).contains(&tries), "{tries}");
}

/// An Event expires after an hour, and an operator that has just started may not know it yet.
#[test]
fn a_hold_outlasts_the_event_that_told_of_it_while_the_pod_stands_as_it_stood() {
    let mut lab = Lab::new(ONE);
    lab.behave("a", Behaviour::Stuck);
    lab.run(3);
    let text = "MountVolume.SetUp failed for volume \"certs\" : secret \"web-tls\" not found";
    tell(&mut lab, "FailedMount", text);
    lab.run(40);
    assert_eq!(lab.state(), "FFT Held", "{}", lab.message());
    lab.world.events.clear();
    lab.settle();
    lab.run(600);
    assert_eq!(lab.state(), "FFT Held", "{}", lab.message());
    assert!(lab.message().contains("web-tls"), "{}", lab.message());
    assert_eq!(classes(&lab), ["SecretMissing"]);
    // It goes on.
    tell(&mut lab, "Pulling", "Pulling image \"one\"");
    lab.run(2);
    let slot = &lab.world.workers["a"].status.slots[0];
    assert_eq!(slot.trouble, None);
    lab.behave("a", Behaviour::Healthy);
    lab.run(10);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

/// It was another Pod that the Event was about.
#[test]
fn a_hold_does_not_outlast_the_pod() {
    let mut lab = Lab::new(ONE);
    lab.behave("a", Behaviour::Stuck);
    lab.run(3);
    let text = "MountVolume.SetUp failed for volume \"certs\" : secret \"web-tls\" not found";
    tell(&mut lab, "FailedMount", text);
    lab.run(40);
    lab.delete_by_hand("a", 0);
    lab.run(45);
    let slot = &lab.world.workers["a"].status.slots[0];
    assert_eq!(slot.trouble, None);
}

/// A restart that the spec asks for replaces the Pod, and its death must not go with it.
#[test]
fn a_death_that_has_not_settled_is_judged_before_its_pod_goes() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    lab.kill("a", 0, 137);
    lab.run(1);
    assert_eq!(classes(&lab), [""; 0]);
    let now = lab.now;
    lab.edit(|spec| spec.children[0].restart_at = Some(api_time(now)));
    lab.run(10);
    assert_eq!(classes(&lab), ["SigkillUnattributed"]);
    assert_eq!(lab.charges("(root)"), charges(&[("a", 1)]));
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

/// The scheduler goes on to say that the claims are not bound, and why was told by an Event of the claim.
#[test]
fn what_was_told_of_a_claim_outlasts_the_event_while_its_pod_waits() {
    let mut lab = Lab::new(ONE);
    lab.behave("a", Behaviour::NoCapacity);
    lab.run(2);
    let scheduler_says = |lab: &mut Lab, message: &str| {
        let pod = lab.pod_mut("a", 0);
        Arc::make_mut(&mut pod.spec).claims = vec!["data".into()];
        let mut conditions = pod.conditions.iter_mut();
        let scheduled = conditions.find(|c| c.type_ == PodConditionType::PodScheduled);
        message.clone_into(&mut scheduled.unwrap().message);
        lab.settle();
    };
    let uid = lab.pod_mut("a", 0).uid.clone();
    let claim = ObjectRef {
        kind: "PersistentVolumeClaim".into(),
        name: "data".into(),
        ..ObjectRef::default()
    };
    let text = "no persistent volumes available for this claim and no storage class is set";
    tell_of(&mut lab, uid, claim, "FailedBinding", text);
    scheduler_says(
        &mut lab,
        "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
    );
    let class = |lab: &Lab| {
        let trouble = lab.world.workers["a"].status.slots[0].trouble.as_ref();
        trouble.map(|trouble| trouble.class.clone()).unwrap()
    };
    assert_eq!(class(&lab), "StorageClassMissing");
    lab.world.events.clear();
    lab.settle();
    lab.run(60);
    assert_eq!(class(&lab), "StorageClassMissing");
    assert_eq!(lab.state(), "FFT Held", "{}", lab.message());
    scheduler_says(&mut lab, "0/1 nodes are available: 1 Insufficient cpu.");
    assert_eq!(class(&lab), "InsufficientCpu");
}
