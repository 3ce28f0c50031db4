//! Children that move to another parent, and names that stand for another kind of child than before.
//!
//! Rule: a move keeps the Pods; another kind is a removal and an addition.

use std::collections::BTreeMap;

use super::{supervisor, trace, worker};
use crate::model::lab::{Behaviour, Lab};
use crate::model::world::Refusal;

#[test]
fn a_child_that_moves_takes_its_troubles_with_it() {
    let spec = "
children:
- name: web
  supervisor: {onGiveUp: Retry}
- {name: a, parent: web, worker: {template: {spec: {containers: [{name: app, image: one}]}}}}
- {name: b, parent: web, worker: {template: {spec: {containers: [{name: app, image: one}]}}}}
";
    let mut lab = Lab::new(spec);
    lab.behave("a", Behaviour::Crash(1, 1));
    lab.run(40);
    assert_eq!(lab.state(), "FFT GaveUp", "{}", lab.message());
    lab.behave("a", Behaviour::Healthy);
    lab.edit(|spec| spec.children[1].parent = None);
    lab.run(10);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    lab.run(400);
    assert_eq!(lab.charges("web"), BTreeMap::new());
}

#[test]
fn what_is_moved_into_a_group_does_not_hurry_its_start() {
    let spec = format!(
        "children:\n- {{name: g, supervisor: {{strategy: OneForAll}}}}\n{}{}- {{name: h, supervisor: {{}}}}\n{}",
        worker("a", "g", ""),
        worker("b", "g", ""),
        worker("c", "h", "")
    );
    let mut lab = Lab::new(&spec);
    lab.run(30);
    lab.behave("a", Behaviour::Hang);
    lab.kill("b", 0, 1);
    lab.run(10);
    assert_eq!(lab.live("a"), [0]);
    lab.edit(|spec| spec.children[4].parent = Some("g".into()));
    lab.run(10);
    assert!(lab.live("b").is_empty(), "a has not started");
    assert_eq!(lab.live("c"), [0], "it keeps running");
    lab.behave("a", Behaviour::Healthy);
    lab.run(20);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

/// Only what the tree has begun to stop is stopped where it is no longer to be.
#[test]
fn a_child_that_moves_away_before_its_turn_to_stop_keeps_its_pod() {
    let web = "startup: Ordered, intensity: {maxRestarts: 0, periodSeconds: 60}";
    let children = [
        supervisor("web", "", web),
        worker("a", "web", ""),
        worker("b", "web", ""),
        worker("c", "web", ""),
    ];
    let mut lab = Lab::new(&format!("children:\n{}", children.concat()));
    lab.stopping.insert("c".into(), 8);
    lab.run(20);
    let uid = lab.pod_mut("a", 0).uid.clone();
    let since = lab.log.len();
    lab.kill("b", 0, 1);
    lab.run(2);
    assert_eq!(trace(&lab, since), "-c", "{:?}", lab.log);
    lab.edit(|spec| spec.children[1].parent = None);
    lab.run(40);
    assert_eq!(trace(&lab, since), "-c +b +c");
    assert_eq!(lab.pod_mut("a", 0).uid, uid);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(lab.charges("(root)"), BTreeMap::from([("web".into(), 1)]));
}

/// That it is at its new place is stored before anything else happens there: who sees it there only afterwards would take
/// the restart for one that began before.
#[test]
fn a_child_that_moves_into_a_group_restarts_with_it_whenever_the_operator_crashes() {
    let children = [
        supervisor("g", "", "strategy: OneForAll"),
        worker("a", "g", ""),
        supervisor("h", "", ""),
        worker("c", "h", ""),
    ];
    for crash in 0..8 {
        let mut lab = Lab::new(&format!("children:\n{}", children.concat()));
        lab.run(20);
        let since = lab.log.len();
        lab.edit(|spec| spec.children[3].parent = Some("g".into()));
        lab.kill("a", 0, 1);
        lab.crash_in = Some(crash);
        lab.run(20);
        assert_eq!(lab.crash_in, None, "it has crashed");
        assert_eq!(trace(&lab, since), "-c +a +c", "crash before write {crash}");
        assert_eq!(lab.charges("g"), BTreeMap::from([("a".into(), 1)]));
    }
}

/// A restart of those from `b` on waits for `b`; `e`, which has moved there meanwhile and is the last, dies. The restart
/// goes on from the earlier of the two, so that it forgets nobody: difference 10 (restarts under way).
#[test]
fn a_death_after_those_that_are_restarted_does_not_end_their_restart() {
    for (startup, after) in [("Ordered", "-b +b +c +e"), ("Parallel", "-c +b +c +e")] {
        let children = [
            supervisor(
                "g",
                "",
                &format!("strategy: RestForOne, startup: {startup}"),
            ),
            worker("a", "g", ""),
            worker("b", "g", ""),
            worker("c", "g", ""),
            supervisor("h", "", "strategy: OneForAll"),
            worker("e", "h", ""),
        ];
        let mut lab = Lab::new(&format!("children:\n{}", children.concat()));
        lab.stopping.insert("c".into(), 8);
        lab.run(20);
        let mut since = lab.log.len();
        if startup == "Ordered" {
            lab.behave("b", Behaviour::Hang);
        }
        lab.kill("b", 0, 1);
        lab.run(2);
        if startup == "Ordered" {
            // b is being started, and c is not yet.
            lab.run(10);
            assert_eq!((lab.live("b"), lab.live("c").len()), (vec![0], 0));
            since = lab.log.len();
        }
        lab.edit(|spec| spec.children[5].parent = Some("g".into()));
        lab.run(1);
        lab.kill("e", 0, 1);
        lab.run(3);
        assert!(lab.live("c").is_empty(), "{startup}: it is not c's turn");
        let operation = lab.record("g").unwrap().operation.clone().unwrap();
        assert_eq!(operation.children, ["b", "c", "e"], "{startup}");
        lab.behave("b", Behaviour::Healthy);
        lab.run(20);
        assert_eq!(trace(&lab, since), after, "{startup}");
        assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
        let charged = [("b".into(), 1), ("e".into(), 1)];
        assert_eq!(lab.charges("g"), BTreeMap::from(charged), "{startup}");
    }
}

/// What starts together with the others may go on: whoever dies meanwhile does not make it begin again.
#[test]
fn a_death_beside_one_that_is_being_started_does_not_stop_that_one() {
    let children = [worker("a", "", ""), worker("b", "", "")].concat();
    let spec = format!("strategy: RestForOne\nstartup: Parallel\nchildren:\n{children}");
    let mut lab = Lab::new(&spec);
    lab.run(20);
    lab.behave("a", Behaviour::Hang);
    lab.kill("a", 0, 1);
    lab.run(10);
    let uid = lab.pod_mut("a", 0).uid.clone();
    let since = lab.log.len();
    lab.kill("b", 0, 1);
    lab.run(10);
    assert_eq!(trace(&lab, since), "+b");
    assert_eq!(lab.pod_mut("a", 0).uid, uid);
}

/// A member whose Pod cannot be made has been told to start like the others: they are not restarted for it at every death.
#[test]
fn a_death_beside_a_member_that_is_refused_restarts_what_comes_after_it_and_no_more() {
    let children = ["a", "b", "c", "d"]
        .map(|name| worker(name, "", ""))
        .concat();
    let spec = format!(
        "strategy: RestForOne\nstartup: Parallel\nintensity: {{maxRestarts: 50, periodSeconds: 3600}}\nchildren:\n{children}"
    );
    let mut lab = Lab::new(&spec);
    lab.run(20);
    lab.refuse_creates = Some(Refusal {
        kind: "Pod",
        child: "b".into(),
        slot: None,
        at: lab.now,
        code: 403,
        reason: "Forbidden".into(),
        message: "pods \"t-b\" is forbidden: exceeded quota: small".into(),
    });
    lab.kill("a", 0, 1);
    lab.run(20);
    assert_eq!([lab.live("b").len(), lab.live("c").len()], [0, 1]);
    let uid = lab.pod_mut("c", 0).uid.clone();
    let since = lab.log.len();
    lab.kill("d", 0, 1);
    lab.run(20);
    assert_eq!(trace(&lab, since), "+d");
    assert_eq!(lab.pod_mut("c", 0).uid, uid);
}

/// A name that stands for another kind of child begins anew. The window is that of the parent, and is kept.
#[test]
fn a_worker_that_becomes_a_supervisor_and_one_again_is_removed_and_added() {
    let as_worker = [worker("x", "", ""), worker("y", "", "")].concat();
    let as_supervisor = [
        supervisor("x", "", "intensity: {maxRestarts: 0, periodSeconds: 60}"),
        worker("z", "x", ""),
        worker("y", "", ""),
    ]
    .concat();
    let mut lab = Lab::new(&format!("children:\n{as_worker}"));
    lab.stopping.insert("x".into(), 5);
    lab.stopping.insert("z".into(), 5);
    lab.run(20);
    let kept = lab.pod_mut("y", 0).uid.clone();
    for (children, old, new, deaths) in [(&as_supervisor, "x", "z", 1), (&as_worker, "z", "x", 2)] {
        // A supervisor that allows no restart ends with its child.
        lab.kill(old, 0, 1);
        lab.run(20);
        let delays = |lab: &Lab| lab.record("(root)").unwrap().backoff.len();
        let charged = BTreeMap::from([("x".into(), deaths)]);
        assert_eq!((delays(&lab), lab.charges("(root)")), (1, charged.clone()));

        lab.log.clear();
        lab.told.clear();
        let edited = Lab::new(&format!("children:\n{children}"));
        lab.edit(|spec| spec.clone_from(&edited.world.tree.spec));
        lab.run(20);
        assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
        let removed = format!("delete {old}/0 (its child was removed from the tree)");
        assert!(lab.log.contains(&removed), "{:?}", lab.log);
        assert_eq!((lab.live(new), lab.told.len()), (vec![0], 0));
        let workers: Vec<&String> = lab.world.workers.keys().collect();
        let expected = if new == "x" { ["x", "y"] } else { ["y", "z"] };
        assert_eq!(workers, expected);
        assert_eq!(lab.record("x").is_some(), new == "z");
        assert_eq!((delays(&lab), lab.charges("(root)")), (0, charged));
    }
    assert_eq!(lab.pod_mut("y", 0).uid, kept, "nothing has happened to it");
}
