//! Dead Pods that are kept to be looked at, and deaths that nobody saw in time: what they are taken for.
//!
//! Rule: a death is judged once, and the death of the Pod that the slot stands on is judged.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{ONE, many};
use crate::api::v1alpha1::RecentFault;
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
    lab.edit_replicas("a", 1);
    lab.settle();
    assert_eq!(
        (lab.world.tree.status.restarts, lab.charges("(root)")),
        (restarts, charges)
    );
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
