//! What Events add: who sent a signal, and what keeps a Pod from starting that its status does not name.
//!
//! Rule: an Event that comes too late changes no judgement; a death is judged once.

use std::sync::Arc;

use super::{ONE, charges, worker};
use crate::model::fault::{EventView, ObjectRef};
use crate::model::lab::{Behaviour, Lab};

/// What is told now of the Pod that a slot stands on.
fn tell(lab: &mut Lab, reason: &str, message: &str) {
    let now = lab.now;
    let pod = lab.pod_mut("a", 0);
    let (name, uid) = (pod.name.clone(), pod.uid.clone());
    let event = EventView {
        object: ObjectRef {
            kind: "Pod".into(),
            name,
            uid: uid.clone(),
            field: "spec.containers{app}".into(),
            ..ObjectRef::default()
        },
        reason: reason.into(),
        message: message.into(),
        first: Some(now),
        last: Some(now),
        count: 1,
    };
    let events = lab.world.events.entry(uid).or_default();
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
