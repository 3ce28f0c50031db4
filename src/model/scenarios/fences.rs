//! Nodes that do not answer, and who waits for the Pods on them.
//!
//! Rule: only what cannot be proven dead is waited for, and only by those that may not run beside it.

use super::{lose, stable, worker};
use crate::model::lab::{Behaviour, Lab};
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

/// What was removed and still runs where nobody can reach it keeps nothing from stopping, and the tree from nothing.
#[test]
fn what_is_removed_on_a_silent_node_is_not_waited_for() {
    let children = [
        worker("a", "", ""),
        worker("b", "", ""),
        worker("c", "", ""),
    ];
    let mut lab = Lab::new(&format!(
        "startup: Ordered\nchildren:\n{}",
        children.concat()
    ));
    lab.run(30);
    lose(&mut lab, "c", 0);
    lab.run(90);
    assert_eq!(lab.live("c"), [0], "it runs elsewhere");
    lab.edit(|spec| spec.children.truncate(1));
    lab.settle();
    assert_eq!(lab.state(), "TTF Stopping", "{}", lab.message());
    assert_eq!(
        lab.message(),
        "b was removed and is being stopped (and 1 more)"
    );
    lab.run(30);
    assert_eq!((lab.live("b"), lab.live("c")), (vec![], vec![]));
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert!(lab.pods().any(|pod| pod.child == "c"), "it is still there");
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

const LOST: &str = "
children:
- {name: web, worker: {replicas: 3, quorum: 1, nodeLossSeconds: 40, template: {spec: {containers: [{name: app, image: one}]}}}}
- {name: db, worker: {identity: Stable, template: {spec: {containers: [{name: app, image: one}]}}}}
";

/// The node of those replicas falls silent, and Kubernetes decides to evict what runs there.
fn silence(lab: &mut Lab, replicas: &[(&str, i32)]) {
    let lost = NodeView {
        not_ready_since: Some(lab.now),
        unreachable: true,
        evicting: true,
        out_of_service: false,
        zone: None,
    };
    let nodes = lab.world.nodes.as_mut().unwrap();
    nodes.insert("node-b".into(), lost);
    for (child, slot) in replicas {
        lab.set_ready(child, *slot, false);
        lab.pod_mut(child, *slot).node = Some("node-b".into());
    }
}

/// A tree of which two replicas of `web`, and `db`, are on a node that has just fallen silent.
fn silenced(spec: &str) -> Lab {
    let mut lab = Lab::new(spec);
    lab.run(30);
    silence(&mut lab, &[("web", 0), ("web", 1), ("db", 0)]);
    lab.log.clear();
    lab.events.clear();
    lab
}

fn node_b(lab: &mut Lab) -> &mut NodeView {
    let nodes = lab.world.nodes.as_mut().unwrap();
    nodes.get_mut("node-b").unwrap()
}

const BOTH_REPLACED: [&str; 4] = [
    "delete web/0 (its node has been lost)",
    "delete web/1 (its node has been lost)",
    "create web/0",
    "create web/1",
];

#[test]
fn the_replicas_of_a_lost_node_are_deleted_together_in_time_and_replaced_uncharged() {
    let mut lab = silenced(LOST);
    lab.run(39);
    assert_eq!(lab.log, [""; 0]);
    lab.run(1);
    assert_eq!(lab.log, BOTH_REPLACED);
    assert_eq!(lab.live("web"), [0, 1, 2]);
    lab.run(900);
    assert_eq!(lab.log, BOTH_REPLACED, "once, and never the Stable one");
    assert_eq!(lab.live("db"), [0]);
    assert!(
        lab.charges("(root)").is_empty(),
        "{:?}",
        lab.charges("(root)")
    );
    let told = lab.events.iter().filter(|e| *e == "ChildNodeUnreachable");
    assert_eq!(told.count(), 2, "{:?}", lab.events);
}

#[test]
fn a_node_that_is_back_in_time_keeps_its_replicas() {
    let mut lab = silenced(LOST);
    lab.run(39);
    *node_b(&mut lab) = NodeView::default();
    lab.run(100);
    assert_eq!(lab.log, [""; 0]);
}

#[test]
fn an_old_view_of_the_nodes_does_not_end_a_replica_that_is_ready() {
    let mut lab = silenced(LOST);
    lab.run(30);
    lab.set_ready("web", 0, true);
    lab.run(100);
    assert_eq!(lab.live("web"), [0, 1, 2]);
    let ends = lab.log.iter().filter(|l| l.starts_with("delete"));
    assert_eq!(ends.collect::<Vec<_>>(), [BOTH_REPLACED[1]]);
}

#[test]
fn a_replica_that_is_younger_than_the_silence_shows_that_the_view_is_old() {
    let mut lab = silenced(LOST);
    let later = after(lab.now, 1);
    lab.pod_mut("web", 0).created = later;
    lab.run(60);
    let deleted = lab.pods().filter(|pod| pod.is_deleting());
    let uids: Vec<i32> = deleted.map(|pod| pod.slot).collect();
    assert_eq!(uids, [1]);
}

#[test]
fn while_kubernetes_holds_back_nobody_evicts() {
    let mut lab = silenced(LOST);
    node_b(&mut lab).evicting = false;
    lab.run(300);
    assert_eq!(lab.log, [""; 0]);
    node_b(&mut lab).evicting = true;
    lab.run(1);
    assert_eq!(lab.log, BOTH_REPLACED);
}

#[test]
fn only_a_silent_node_that_can_be_seen_is_lost() {
    let mut sick = silenced(LOST);
    node_b(&mut sick).unreachable = false;
    // Its kubelet is heard: it says that its Pods are not ready.
    for child in ["web", "db"] {
        sick.behave(child, Behaviour::Hang);
    }
    let mut blind = silenced(LOST);
    blind.world.nodes = None;
    for lab in [&mut sick, &mut blind] {
        lab.run(300);
        assert_eq!(lab.log, [""; 0]);
    }
}

#[test]
fn what_the_template_tolerates_by_itself_is_left_to_kubernetes() {
    let seconds = "{key: node.kubernetes.io/unreachable, operator: Exists, tolerationSeconds: 20}";
    let for_ever = "{operator: Exists}";
    let something_else = "{key: node.kubernetes.io/not-ready, operator: Exists}";
    for (toleration, is_left) in [(seconds, true), (for_ever, true), (something_else, false)] {
        let spec = LOST.replacen(
            "{spec: {",
            &format!("{{spec: {{tolerations: [{toleration}], "),
            1,
        );
        let mut lab = silenced(&spec);
        lab.run(300);
        assert_eq!(lab.log.is_empty(), is_left, "{toleration}: {:?}", lab.log);
    }
}

#[test]
fn a_lost_replica_of_a_former_template_is_left_to_the_rollout() {
    let mut lab = silenced(LOST);
    lab.run(20);
    lab.edit_template("web", "two");
    lab.run(300);
    let lost = lab.log.iter().filter(|l| l.contains("has been lost"));
    assert_eq!(lost.count(), 0, "{:?}", lab.log);
}

#[test]
fn a_stable_pod_on_a_lost_node_waits_for_a_fence() {
    let mut lab = Lab::new(&stable());
    lab.run(6);
    lab.lose_node("a", 0);
    lab.run(120);
    assert_eq!(lab.live("a"), [1], "never two of one name");
    assert_eq!(lab.state(), "FFT WaitingForFence", "{}", lab.message());
    lab.world
        .nodes
        .as_mut()
        .unwrap()
        .get_mut("node-a")
        .unwrap()
        .out_of_service = true;
    for worker in lab.world.workers.values_mut() {
        worker.pods.retain(|p| !p.is_deleting());
    }
    lab.world
        .nodes
        .as_mut()
        .unwrap()
        .insert("node-a".into(), NodeView::default());
    lab.run(10);
    assert_eq!(lab.live("a"), [0, 1]);
}

/// `enabled: false` waits for no fence, whatever the group is in the middle of.
#[test]
fn a_disabled_member_of_a_group_that_waits_is_stopped() {
    let children = [
        worker("a", "", ""),
        worker("b", "", ""),
        worker("c", "", "identity: Stable"),
        worker("d", "", ""),
    ];
    let mut lab = Lab::new(&format!(
        "strategy: OneForAll\nchildren:\n{}",
        children.concat()
    ));
    lab.stopping.insert("d".into(), 20);
    lab.run(30);
    lab.kill("b", 0, 1);
    lab.run(2);
    lose(&mut lab, "c", 0);
    lab.run(30);
    assert_eq!(lab.live("a"), [0], "the restart waits for the fence");
    lab.edit(|spec| spec.children[0].enabled = false);
    lab.run(5);
    assert!(lab.live("a").is_empty());
}
