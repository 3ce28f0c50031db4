//! Edits of a live tree at awkward moments.
//!
//! Rule: an edit converges, and what the tree orders is no death.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{ONE, many, trace, worker};
use crate::model::lab::{Behaviour, Lab};
use crate::model::world::Refusal;

#[test]
fn a_retry_time_with_fractions_of_a_second_acts_once() {
    let mut lab = Lab::new(ONE);
    lab.behave("a", Behaviour::Crash(1, 1));
    lab.run(25);
    assert_eq!(lab.state(), "FFT GaveUp");
    let half = jiff::SignedDuration::from_millis(500);
    let time = Time(lab.now.checked_sub(half).unwrap());
    lab.edit(|spec| spec.retry_at = Some(time));
    lab.events.clear();
    lab.run(25);
    let retries = lab.events.iter().filter(|e| *e == "RetryStarted").count();
    assert_eq!(retries, 1);
    assert_eq!(lab.state(), "FFT GaveUp");
}

#[test]
fn a_fixed_template_reaches_replicas_that_are_not_ready() {
    for replicas in [1, 3] {
        let mut lab = Lab::new(&many(replicas, 1));
        lab.run(60);
        lab.behave("a", Behaviour::Hang);
        for slot in 0..replicas {
            lab.set_ready("a", slot, false);
        }
        lab.run(60);
        assert_eq!(lab.state(), "FTF NotUp", "{}", lab.message());
        lab.behave("a", Behaviour::Healthy);
        lab.edit_template("a", "two");
        lab.log.clear();
        lab.run(60);
        assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
        let deletes = lab.log.iter().filter(|l| l.starts_with("delete")).count();
        assert_eq!(deletes, usize::try_from(replicas).unwrap());
        assert_eq!(lab.world.tree.status.restarts, 0);
    }
}

#[test]
fn a_row_that_was_left_does_not_come_back_with_the_next_death() {
    let mut lab = Lab::new(ONE);
    lab.behave("a", Behaviour::Crash(1, 1));
    lab.run(25);
    lab.behave("a", Behaviour::Healthy);
    lab.run(100);
    assert_eq!(lab.state(), "TFF AllUp");
    lab.kill("a", 0, 1);
    lab.settle();
    assert_eq!(lab.state(), "FTF Restarting", "{}", lab.message());
}

/// OTP looks through a window only when it adds a restart, `supervisor:add_restart/1`.
#[test]
fn a_window_that_is_made_short_and_long_again_loses_no_charge() {
    let mut lab = Lab::new(&format!(
        "intensity: {{maxRestarts: 1, periodSeconds: 300}}\n{ONE}"
    ));
    lab.run(5);
    lab.kill("a", 0, 1);
    lab.run(60);
    assert_eq!(lab.charges("(root)"), BTreeMap::from([("a".into(), 1)]));
    lab.edit(|spec| spec.intensity.period_seconds = 30);
    lab.run(5);
    assert_eq!(lab.charges("(root)"), BTreeMap::new());
    assert_eq!(lab.world.tree.status.budget, "1/1 in 30s at (root)");
    lab.edit(|spec| spec.intensity.period_seconds = 300);
    lab.run(5);
    assert_eq!(lab.charges("(root)"), BTreeMap::from([("a".into(), 1)]));
    assert_eq!(lab.world.tree.status.budget, "0/1 in 300s at (root)");
    lab.kill("a", 0, 1);
    lab.run(5);
    assert_eq!(lab.state(), "FFT GaveUp", "{}", lab.message());
}

#[test]
fn a_quota_is_waited_for() {
    let mut lab = Lab::new(&many(1, 1));
    lab.run(5);
    lab.refuse_creates = Some(Refusal {
        kind: "Pod",
        child: "a".into(),
        slot: Some(1),
        at: lab.now,
        code: 403,
        reason: "Forbidden".into(),
        message: "pods \"x\" is forbidden: exceeded quota: compute, requested: pods=1, used: pods=2, limited: pods=2".into(),
    });
    lab.edit_replicas("a", 2);
    lab.run(90);
    assert_eq!(lab.state(), "TTF WaitingForCapacity", "{}", lab.message());
    lab.refuse_creates = None;
    lab.run(90);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

/// A stop that is taken back before it is over was ordered all the same.
#[test]
fn a_child_that_is_enabled_again_while_it_stops_is_not_taken_for_deleted() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    lab.stopping.insert("a".into(), 8);
    lab.edit(|spec| spec.children[0].enabled = false);
    lab.run(3);
    lab.edit(|spec| spec.children[0].enabled = true);
    lab.run(30);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(lab.world.tree.status.restarts, 0);
    assert_eq!(lab.told, [""; 0]);
}

/// Names that somebody else holds are told once for the worker, however often they are tried.
#[test]
fn names_that_are_taken_are_told_once() {
    let mut lab = Lab::new(&many(2, 1));
    lab.refuse_creates = Some(Refusal {
        kind: "Pod",
        child: "a".into(),
        slot: None,
        at: lab.now,
        code: 409,
        reason: "NameCollision".into(),
        message: "the name is held by an object of somebody else".into(),
    });
    lab.run(120);
    assert_eq!(lab.state(), "FFT NameCollision", "{}", lab.message());
    let told = lab.events.iter().filter(|e| *e == "ChildNameCollision");
    assert_eq!(told.count(), 1, "{:?}", lab.told);
}

/// A quota that lets one replica after the other through.
#[test]
fn a_refusal_that_goes_from_one_replica_to_the_next_is_told_once() {
    let mut lab = Lab::new(&many(3, 1));
    let refuse = |lab: &mut Lab, slot: i32, message: &str| {
        lab.refuse_creates = Some(Refusal {
            kind: "Pod",
            child: "a".into(),
            slot: Some(slot),
            at: lab.now,
            code: 403,
            reason: "Forbidden".into(),
            message: message.into(),
        });
    };
    let full = |slot: i32| {
        format!(
            "pods \"t-a-{slot}\" is forbidden: exceeded quota: q, requested: pods=1, used: pods={slot}, limited: pods={slot}"
        )
    };
    refuse(&mut lab, 1, &full(1));
    lab.run(20);
    assert_eq!(lab.live("a"), [0]);
    refuse(&mut lab, 2, &full(2));
    lab.run(60);
    assert_eq!(lab.live("a"), [0, 1]);
    assert_eq!(lab.state(), "TTF WaitingForCapacity", "{}", lab.message());
    assert_eq!(lab.events, ["ChildQuotaExceeded"], "{:?}", lab.told);
    // Another cause is news, and the first one is none when it comes back.
    let denied = "admission webhook \"w\" denied the request: no";
    for message in [denied, &full(2), denied] {
        refuse(&mut lab, 2, message);
        lab.run(400);
    }
    assert_eq!(
        lab.events,
        ["ChildQuotaExceeded", "ChildWebhookDenied"],
        "{:?}",
        lab.told
    );
}

/// A hundred replicas that are refused cost as many requests as one, and one Event.
#[test]
fn a_refusal_of_one_replica_spares_its_siblings_the_try() {
    let mut lab = Lab::new(&many(100, 1));
    lab.refuse_creates = Some(Refusal {
        kind: "Pod",
        child: "a".into(),
        slot: None,
        at: lab.now,
        code: 422,
        reason: "Invalid".into(),
        message: "ValidatingAdmissionPolicy 'p' denied request: no".into(),
    });
    lab.run(60);
    assert_eq!(lab.state(), "FFT CreateRefused", "{}", lab.message());
    let tries = |lab: &Lab| {
        lab.log
            .iter()
            .filter(|line| line.starts_with("refused"))
            .count()
    };
    assert!((6..=8).contains(&tries(&lab)), "{:?}", lab.log);
    assert_eq!(lab.events.len(), 1, "{:?}", lab.events);
    lab.refuse_creates = None;
    lab.run(70);
    assert_eq!(lab.live("a").len(), 100);

    // A replica that ends while another is refused is tried at once: it may have made room.
    lab.refuse_creates = Some(Refusal {
        kind: "Pod",
        child: "a".into(),
        slot: Some(100),
        at: lab.now,
        code: 403,
        reason: "Forbidden".into(),
        message: "exceeded quota: q".into(),
    });
    lab.edit_replicas("a", 102);
    lab.run(120);
    assert_eq!(
        lab.live("a").len(),
        100,
        "the last one waits for the one before it"
    );
    lab.delete_by_hand("a", 7);
    lab.run(3);
    assert_eq!(lab.live("a").len(), 100);
}

#[test]
fn children_that_stop_together_stop_in_reverse() {
    let spec = "
startup: Ordered
children:
- {name: a, worker: {replicas: 1, template: {spec: {containers: [{name: app, image: one}]}}}}
- {name: b, worker: {replicas: 1, template: {spec: {containers: [{name: app, image: one}]}}}}
- {name: c, worker: {replicas: 1, template: {spec: {containers: [{name: app, image: one}]}}}}
";
    for disable in [false, true] {
        let mut lab = Lab::new(spec);
        lab.run(30);
        lab.log.clear();
        lab.edit(|spec| {
            for child in &mut spec.children {
                child.enabled = !disable;
                let replicas = i32::from(disable);
                child.worker.as_mut().unwrap().replicas = Some(replicas);
            }
        });
        lab.settle();
        assert_eq!((lab.live("a"), lab.live("c")), (vec![0], vec![]));
        lab.run(10);
        let stops: Vec<&str> = lab
            .log
            .iter()
            .filter_map(|l| l.strip_prefix("delete "))
            .map(|l| &l[..3])
            .collect();
        assert_eq!(stops, ["c/0", "b/0", "a/0"]);
        assert!(lab.state().starts_with("TFF"), "{}", lab.state());
    }
}

#[test]
fn a_start_after_no_replicas_is_a_start() {
    let mut lab = Lab::new(&many(3, 2));
    lab.run(30);
    lab.edit_replicas("a", 0);
    lab.run(30);
    lab.behave("a", Behaviour::Crash(0, 1));
    lab.edit_replicas("a", 3);
    lab.run(3);
    assert_eq!(
        lab.charges("(root)"),
        BTreeMap::new(),
        "failed starts are the slots'"
    );
}

#[test]
fn a_replica_that_has_come_up_since_is_not_dropped_for_its_state() {
    let mut lab = Lab::new(&many(2, 1));
    lab.run(30);
    lab.set_ready("a", 0, false);
    lab.settle();
    lab.edit_replicas("a", 1);
    lab.decide_before(|lab| lab.set_ready("a", 0, true));
    assert_eq!(lab.live("a"), [0, 1], "what was decided is no longer so");
    lab.run(5);
    assert_eq!(lab.live("a"), [0], "the highest goes");
}

#[test]
fn a_replica_that_goes_by_its_number_goes_whatever_becomes_of_it() {
    let mut lab = Lab::new(&many(3, 1));
    lab.run(30);
    lab.edit_replicas("a", 1);
    lab.decide_before(|lab| {
        lab.set_ready("a", 1, false);
        lab.set_ready("a", 2, false);
    });
    assert_eq!(lab.live("a"), [0]);
}

#[test]
fn an_order_that_is_taken_back_makes_no_death() {
    let stable = ONE.replace("worker: {", "worker: {identity: Stable, ");
    for (spec, remove) in [(stable.as_str(), false), (ONE, false), (ONE, true)] {
        let mut lab = Lab::new(spec);
        lab.run(30);
        let child = lab.world.tree.spec.children[0].clone();
        lab.edit(|spec| {
            if remove {
                spec.children.clear();
            } else {
                spec.children[0].enabled = false;
            }
        });
        lab.settle();
        lab.edit(|spec| spec.children = vec![child]);
        lab.run(10);
        assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
        assert_eq!(lab.world.tree.status.restarts, 0, "{:?}", lab.events);
    }
}

/// An order to stop that is taken back before it is seen to be carried out is still the tree's.
#[test]
fn a_stop_that_is_taken_back_is_no_death() {
    for identity in ["Interchangeable", "Stable"] {
        let stable = format!("identity: {identity}");
        let children = [worker("a", "", ""), worker("b", "", &stable)].concat();
        let mut lab = Lab::new(&format!("strategy: OneForAll\nchildren:\n{children}"));
        lab.stopping.insert("b".into(), 10);
        lab.run(30);
        lab.edit(|spec| spec.children[1].enabled = false);
        while lab.live("b") == [0] {
            lab.decide_before(|_| ());
        }
        let since = lab.log.len();
        lab.edit(|spec| spec.children[1].enabled = true);
        lab.run(40);
        assert_eq!(trace(&lab, since), "+b", "{identity}");
        assert_eq!(lab.world.tree.status.restarts, 0, "{identity}");
    }
}

#[test]
fn a_scale_down_that_is_taken_back_is_no_death_whenever_the_operator_crashes() {
    for crash in 0..12 {
        let stable = "identity: Stable, replicas: 2, quorum: 2";
        let children = [worker("a", "", ""), worker("b", "", stable)].concat();
        let mut lab = Lab::new(&format!("strategy: OneForAll\nchildren:\n{children}"));
        lab.stopping.insert("b".into(), 10);
        lab.run(30);
        let replicas = |lab: &mut Lab, count| {
            lab.edit(|spec| spec.children[1].worker.as_mut().unwrap().replicas = Some(count));
        };
        replicas(&mut lab, 1);
        lab.crash_in = Some(crash);
        for _ in 0..6 {
            if lab.crash_in.is_some() {
                lab.decide_once();
            }
        }
        let has_crashed = lab.crash_in.take().is_none();
        replicas(&mut lab, 2);
        lab.run(40);
        assert_eq!(
            lab.world.tree.status.restarts, 0,
            "crash before write {crash}"
        );
        assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
        if !has_crashed {
            return;
        }
    }
    panic!("it always crashed");
}
