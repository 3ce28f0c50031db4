//! Nodes that do not answer, and who waits for the Pods on them.
//!
//! Rule: only what cannot be proven dead is waited for, and only by those that may not run beside it.

use crate::model::lab::Lab;
use crate::model::window::after;
use crate::model::world::NodeView;

const FENCE: &str = "
intensity: {maxRestarts: 3, periodSeconds: 300}
children:
- name: web
  supervisor: {startup: Ordered, intensity: {maxRestarts: 1, periodSeconds: 300}}
- {name: api, parent: web, worker: {template: {spec: {containers: [{name: app, image: one}]}}}}
- {name: db, parent: web, worker: {identity: Stable, template: {spec: {containers: [{name: app, image: one}]}}}}
- {name: ui, parent: web, worker: {template: {spec: {containers: [{name: app, image: one}]}}}}
";

/// The node of a replica is lost, and Kubernetes has asked for the Pod's end.
fn lose(lab: &mut Lab, child: &str, slot: i32) {
    let now = lab.now;
    let lost = NodeView {
        not_ready_since: Some(now),
        unreachable: true,
        out_of_service: false,
    };
    let nodes = lab.world.nodes.as_mut().unwrap();
    nodes.insert("node-b".into(), lost);
    let pod = lab.pod_mut(child, slot);
    pod.node = Some("node-b".into());
    pod.deletion = Some(after(now, 10_000_000));
    pod.deletion_grace_seconds = Some(30);
}

#[test]
fn a_give_up_begins_when_the_fenced_pod_is_proven_dead() {
    let mut lab = Lab::new(FENCE);
    lab.run(30);
    lose(&mut lab, "db", 0);
    lab.run(10);
    assert_eq!(lab.state(), "FFT WaitingForFence", "{}", lab.message());
    for _ in 0..2 {
        lab.kill("ui", 0, 1);
        lab.run(2);
    }
    lab.run(600);
    assert_eq!(lab.state(), "FFT WaitingForFence", "{}", lab.message());
    assert_eq!((lab.live("api"), lab.live("ui")), (vec![0], vec![]));

    let node = lab.world.nodes.as_mut().unwrap().get_mut("node-b").unwrap();
    node.out_of_service = true;
    for worker in lab.world.workers.values_mut() {
        worker.pods.retain(|pod| pod.child != "db");
    }
    lab.log.clear();
    lab.run(60);
    assert!(
        lab.log.iter().any(|l| l.starts_with("delete api")),
        "{:?}",
        lab.log
    );
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

#[test]
fn what_is_disabled_stops_without_waiting_for_a_fence() {
    let mut lab = Lab::new(FENCE);
    lab.run(30);
    lose(&mut lab, "db", 0);
    lab.run(10);
    lab.edit(|spec| spec.children[0].enabled = false);
    lab.run(30);
    assert_eq!((lab.live("api"), lab.live("ui")), (vec![], vec![]));
}

#[test]
fn a_lost_pod_that_is_not_wanted_any_more_is_no_work() {
    let two = "
children:
- {name: a, worker: {replicas: 2, template: {spec: {containers: [{name: app, image: one}]}}}}
- {name: b, worker: {template: {spec: {containers: [{name: app, image: one}]}}}}
";
    let edits: [(&str, &str, i32); 3] =
        [("scale", "a", 1), ("remove", "b", 0), ("disable", "b", 0)];
    for (what, child, slot) in edits {
        let mut lab = Lab::new(two);
        lab.run(30);
        lose(&mut lab, child, slot);
        lab.edit(|spec| match what {
            "scale" => spec.children[0].worker.as_mut().unwrap().replicas = Some(1),
            "remove" => drop(spec.children.remove(1)),
            _ => spec.children[1].enabled = false,
        });
        lab.run(120);
        assert_eq!(lab.state(), "TFF AllUp", "{what}: {}", lab.message());
    }
}
