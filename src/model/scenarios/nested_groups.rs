//! Groups within groups: what is restarted by itself, what escalates, and what a restart above swallows.
//!
//! Rule: a trace names stops (`-a`) and starts (`+a`) in the order in which they were asked for.

use super::{charges, supervisor, trace, worker};
use crate::model::lab::{Behaviour, Lab};

const DEEP: &str = "
strategy: OneForAll
children:
- {name: db, worker: {template: {spec: {containers: [{name: app, image: one}]}}}}
- {name: web, supervisor: {strategy: OneForAll, intensity: {maxRestarts: 1, periodSeconds: 300}}}
- {name: api, parent: web, worker: {template: {spec: {containers: [{name: app, image: one}]}}}}
- {name: ui, parent: web, worker: {template: {spec: {containers: [{name: app, image: one}]}}}}
- {name: log, worker: {template: {spec: {containers: [{name: app, image: one}]}}}}
";

#[test]
fn a_group_within_a_group_is_restarted_by_itself() {
    let mut lab = Lab::new(DEEP);
    lab.run(30);
    let since = lab.log.len();
    lab.kill("api", 0, 1);
    lab.run(30);
    assert_eq!(trace(&lab, since), "-ui +api +ui");
    assert_eq!(
        (lab.charges("web"), lab.charges("(root)")),
        (charges(&[("api", 1)]), charges(&[]))
    );
}

#[test]
fn what_escalates_restarts_the_group_above() {
    let mut lab = Lab::new(DEEP);
    lab.run(30);
    lab.kill("api", 0, 1);
    lab.run(30);
    let since = lab.log.len();
    lab.kill("ui", 0, 1);
    lab.run(60);
    assert_eq!(trace(&lab, since), "-api -log -db +db +api +ui +log");
    assert_eq!(
        (lab.charges("web"), lab.charges("(root)")),
        (charges(&[]), charges(&[("web", 1)]))
    );
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    let web = lab.record("web").unwrap();
    assert_eq!(web.incarnation, 2);
}

#[test]
fn a_restart_above_swallows_what_goes_on_below() {
    let mut lab = Lab::new(DEEP);
    lab.run(30);
    let since = lab.log.len();
    lab.kill("api", 0, 1);
    lab.settle();
    lab.kill("db", 0, 1);
    lab.run(60);
    assert_eq!(trace(&lab, since), "-ui -log +db +api +ui +log");
    assert_eq!(
        (lab.charges("web"), lab.charges("(root)")),
        (charges(&[]), charges(&[("db", 1)]))
    );
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

/// A restart of the group has started the supervisor `web`, which restarts a child of its own when the last of the group
/// fails to start: that is no reason to stop `web`.
#[test]
fn a_supervisor_that_was_started_again_is_not_stopped_for_one_after_it() {
    let children = [
        worker("db", "", ""),
        supervisor("web", "", "strategy: OneForAll"),
        worker("api", "web", ""),
        worker("log", "", ""),
    ];
    let spec = format!("strategy: RestForOne\nchildren:\n{}", children.concat());
    let mut lab = Lab::new(&spec);
    lab.run(20);
    lab.behave("log", Behaviour::Hang);
    lab.kill("db", 0, 1);
    lab.run(15);
    lab.behave("api", Behaviour::Hang);
    lab.kill("api", 0, 1);
    lab.run(5);
    let since = lab.log.len();
    let uid = lab.pod_mut("api", 0).uid.clone();
    lab.behave("log", Behaviour::Healthy);
    lab.kill("log", 0, 1);
    lab.run(10);
    assert_eq!(trace(&lab, since), "+log");
    assert_eq!(lab.pod_mut("api", 0).uid, uid);
}

#[test]
fn what_is_removed_together_stops_in_reverse() {
    let mut lab = Lab::new(DEEP);
    lab.run(30);
    let since = lab.log.len();
    lab.edit(|spec| spec.children.retain(|child| child.name == "db"));
    lab.run(10);
    let stops = lab.log[since..]
        .iter()
        .filter(|entry| entry.contains("removed"));
    let stops: Vec<&str> = stops
        .filter_map(|entry| entry.split(['/', ' ']).nth(1))
        .collect();
    assert_eq!(stops, ["log", "ui", "api"]);
    assert_eq!(lab.live("db"), [0]);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

#[test]
fn exits_that_are_seen_together_are_judged_in_start_order() {
    let strict = |name: &str| supervisor(name, "", "intensity: {maxRestarts: 0}");
    let spec = format!(
        "strategy: RestForOne\nchildren:\n{}{}{}{}",
        strict("s"),
        worker("a", "s", ""),
        strict("t"),
        worker("b", "t", "")
    );
    let mut lab = Lab::new(&spec);
    lab.run(20);
    lab.kill("a", 0, 1);
    lab.kill("b", 0, 1);
    lab.run(20);
    assert_eq!(
        lab.charges("(root)"),
        charges(&[("s", 1)]),
        "t is restarted with s"
    );
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

/// A wider scope takes over a narrower one: what a member waits for is over when its group is restarted.
#[test]
fn a_member_that_was_given_up_is_restarted_with_its_group() {
    for policy in ["Stop", "Retry"] {
        for root in ["OneForAll", "RestForOne"] {
            let sub = format!(
                "strategy: OneForAll, onGiveUp: {policy}, intensity: {{maxRestarts: 0, periodSeconds: 300}}"
            );
            let children = [
                worker("q", "", ""),
                supervisor("sub", "", &sub),
                worker("x", "sub", ""),
                worker("z", "", ""),
            ];
            let root = format!("strategy: {root}\nchildren:\n{}", children.concat());
            let mut lab = Lab::new(&root);
            lab.run(30);
            lab.kill("x", 0, 1);
            lab.run(3);
            assert_eq!(lab.state(), "FFT GaveUp");
            let since = lab.log.len();
            lab.kill("q", 0, 1);
            lab.run(20);
            assert_eq!(trace(&lab, since), "-z +q +x +z", "{policy}, {root}");
            assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
        }
    }
}
