//! Groups: what is stopped and started again when a member dies, in which order, and what that costs.
//!
//! Rule: a trace names stops (`-a`) and starts (`+a`) in the order in which they were asked for.

use std::collections::BTreeMap;

use super::super::lab::{Behaviour, Lab};

/// What was stopped by order and what was started since that entry of the log.
pub(in crate::model) fn trace(lab: &Lab, since: usize) -> String {
    let steps = lab.log[since..].iter().filter_map(|entry| {
        let (verb, rest) = entry.split_once(' ')?;
        let child = rest.split('/').next()?;
        match verb {
            "create" => Some(format!("+{child}")),
            "delete" if rest.contains("an ordered stop") => Some(format!("-{child}")),
            _ => None,
        }
    });
    steps.collect::<Vec<_>>().join(" ")
}

fn worker(name: &str) -> String {
    format!(
        "- {{name: {name}, worker: {{template: {{spec: {{containers: [{{name: app, image: one}}]}}}}}}}}\n"
    )
}

fn group(settings: &str, names: &[&str]) -> Lab {
    let children: String = names.iter().map(|name| worker(name)).collect();
    let mut lab = Lab::new(&format!("{settings}\nchildren:\n{children}"));
    lab.run(30);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    lab
}

pub(super) fn charges(of: &[(&str, usize)]) -> BTreeMap<String, usize> {
    of.iter()
        .map(|(child, count)| ((*child).into(), *count))
        .collect()
}

/// Lets time go by until the root is charged for that child.
pub(super) fn until_charged(lab: &mut Lab, child: &str) {
    while !lab.charges("(root)").contains_key(child) {
        lab.run(1);
    }
}

#[test]
fn all_are_stopped_in_reverse_and_started_in_order() {
    let mut lab = group("strategy: OneForAll", &["a", "b", "c", "d"]);
    let since = lab.log.len();
    lab.kill("b", 0, 1);
    lab.run(30);
    assert_eq!(trace(&lab, since), "-d -c -a +a +b +c +d");
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(lab.charges("(root)"), charges(&[("b", 1)]));
    assert_eq!(lab.world.tree.status.restarts, 1, "the others did not die");
}

#[test]
fn each_stop_and_each_start_is_awaited() {
    let mut lab = group("strategy: OneForAll", &["a", "b", "c"]);
    lab.kill("a", 0, 1);
    lab.settle();
    assert!(lab.live("c").is_empty());
    assert_eq!(lab.live("b"), [0], "c has not stopped yet");
    lab.behave("b", Behaviour::Hang);
    lab.run(20);
    assert_eq!(lab.live("b"), [0]);
    assert!(lab.live("c").is_empty(), "b has not started yet");
    assert_eq!(lab.state(), "FTF Restarting", "{}", lab.message());
    assert!(
        lab.message()
            .contains("(root) restarts all its children, because a:"),
        "{}",
        lab.message()
    );
    assert!(
        lab.message().contains("b is being started"),
        "{}",
        lab.message()
    );
    lab.behave("b", Behaviour::Healthy);
    lab.run(20);
    assert_eq!(lab.state(), "TFF AllUp");
}

#[test]
fn the_rest_is_stopped_in_reverse_and_started_in_order() {
    let mut lab = group("strategy: RestForOne", &["a", "b", "c", "d"]);
    let uid = lab.pod_mut("a", 0).uid.clone();
    let since = lab.log.len();
    lab.kill("b", 0, 1);
    lab.run(30);
    assert_eq!(trace(&lab, since), "-d -c +b +c +d");
    assert_eq!(
        lab.pod_mut("a", 0).uid,
        uid,
        "what is before it is not touched"
    );
    assert_eq!(lab.charges("(root)"), charges(&[("b", 1)]));
}

#[test]
fn what_dies_together_is_one_restart() {
    let mut lab = group("strategy: OneForAll", &["a", "b", "c"]);
    lab.kill("a", 0, 1);
    lab.kill("c", 0, 1);
    lab.run(30);
    assert_eq!(lab.charges("(root)"), charges(&[("a", 1)]));
    let mut lab = group("strategy: RestForOne", &["a", "b", "c"]);
    lab.kill("c", 0, 1);
    lab.kill("b", 0, 1);
    lab.run(30);
    assert_eq!(
        lab.charges("(root)"),
        charges(&[("b", 1)]),
        "they are judged in start order"
    );
    assert_eq!(lab.state(), "TFF AllUp");
}

#[test]
fn a_failed_restart_begins_at_the_first_under_one_for_all() {
    let mut lab = group("strategy: OneForAll", &["a", "b", "c"]);
    let since = lab.log.len();
    lab.kill("c", 0, 1);
    lab.behave("b", Behaviour::Crash(0, 1));
    until_charged(&mut lab, "b");
    lab.behave("b", Behaviour::Healthy);
    lab.run(30);
    assert_eq!(trace(&lab, since), "-b -a +a +b -a +a +b +c");
    assert_eq!(lab.charges("(root)"), charges(&[("b", 1), ("c", 1)]));
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

#[test]
fn a_failed_restart_goes_on_from_the_one_that_failed_under_rest_for_one() {
    let mut lab = group("strategy: RestForOne", &["a", "b", "c"]);
    let since = lab.log.len();
    lab.kill("a", 0, 1);
    lab.behave("b", Behaviour::Crash(0, 1));
    until_charged(&mut lab, "b");
    lab.behave("b", Behaviour::Healthy);
    lab.run(30);
    assert_eq!(trace(&lab, since), "-c +a +b +b +c");
}

#[test]
fn a_group_is_stopped_at_once_and_waits_before_it_starts_again() {
    let mut lab = group(
        "strategy: OneForAll\nbackoff: {initialSeconds: 16}",
        &["a", "b"],
    );
    lab.kill("b", 0, 1);
    lab.run(20);
    assert_eq!(lab.state(), "TFF AllUp", "the first restart is immediate");
    lab.kill("b", 0, 1);
    lab.run(3);
    assert!(lab.live("a").is_empty(), "a is stopped at once");
    assert!(
        lab.message().contains("; a is started at 20"),
        "{}",
        lab.message()
    );
    lab.run(8);
    assert!(lab.live("a").is_empty(), "and waits with b");
    lab.run(20);
    assert_eq!(lab.state(), "TFF AllUp");
}

#[test]
fn an_exceeded_group_is_stopped_and_tried_again_as_a_whole() {
    let mut lab = group(
        "strategy: OneForAll\nintensity: {maxRestarts: 1, periodSeconds: 300}",
        &["a", "b", "c"],
    );
    lab.kill("b", 0, 1);
    lab.run(20);
    let since = lab.log.len();
    lab.kill("b", 0, 1);
    lab.run(10);
    assert_eq!(trace(&lab, since), "-c -a");
    assert_eq!(lab.state(), "FFT GaveUp", "{}", lab.message());
    assert_eq!(lab.charges("(root)"), charges(&[]), "the window is empty");
    lab.run(60);
    assert_eq!(trace(&lab, since), "-c -a +a +b +c");
    lab.run(60);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

#[test]
fn an_exceeded_rest_is_stopped_and_tried_again_and_the_others_run() {
    let mut lab = group(
        "strategy: RestForOne\nintensity: {maxRestarts: 0, periodSeconds: 300}",
        &["a", "b", "c"],
    );
    let since = lab.log.len();
    lab.kill("b", 0, 1);
    lab.run(10);
    assert_eq!(trace(&lab, since), "-c");
    assert_eq!(lab.live("a"), [0]);
    assert_eq!(lab.state(), "FFT GaveUp", "{}", lab.message());
    assert!(
        lab.message().contains("gave up on b and those after it"),
        "{}",
        lab.message()
    );
    lab.run(60);
    assert_eq!(trace(&lab, since), "-c +b +c");
    lab.run(60);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

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
    let web = lab
        .world
        .tree
        .status
        .supervisors
        .iter()
        .find(|s| s.name == "web")
        .unwrap();
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

#[test]
fn a_replica_dies_alone_while_its_worker_has_its_quorum() {
    let spec = format!(
        "strategy: OneForAll\nchildren:\n{}{}",
        worker("a"),
        worker("b").replace("template", "replicas: 3, quorum: 2, template")
    );
    let mut lab = Lab::new(&spec);
    lab.run(30);
    let since = lab.log.len();
    lab.kill("b", 1, 1);
    lab.run(20);
    assert_eq!(trace(&lab, since), "+b");
    assert_eq!(lab.charges("(root)"), charges(&[]));
    lab.kill("b", 0, 1);
    lab.kill("b", 1, 1);
    lab.run(30);
    assert_eq!(trace(&lab, since), "+b -b -a +a +b +b +b");
    assert_eq!(lab.charges("(root)"), charges(&[("b", 1)]));
}

#[test]
fn a_member_that_others_delete_takes_its_group_along_uncharged() {
    let mut lab = group("strategy: OneForAll", &["a", "b"]);
    let since = lab.log.len();
    lab.delete_by_hand("a", 0);
    lab.run(20);
    assert_eq!(trace(&lab, since), "-b +a +b");
    assert_eq!(lab.charges("(root)"), charges(&[]));
    assert_eq!(lab.state(), "TFF AllUp");
}

#[test]
fn nothing_is_begun_on_a_tree_that_is_seen_older_than_its_workers() {
    let mut lab = group("strategy: OneForAll", &["a", "b"]);
    let before = lab.world.tree.status.clone();
    lab.kill("a", 0, 1);
    lab.settle();
    let mut stale = lab.world.clone();
    std::sync::Arc::make_mut(&mut stale.tree).status = before;
    let decision = crate::model::decide(&stale, lab.now);
    assert!(decision.writes.is_empty());
    assert!(
        decision.tree_intent && decision.worker_intents.is_empty(),
        "the tree is written first, which is refused when the view of it is old"
    );
    let known = lab.world.tree.status.operations;
    assert_eq!(decision.tree_status.operations, known);
}

#[test]
fn a_crash_at_every_write_of_a_restart_changes_nothing() {
    let died: fn(&mut Lab) = |lab| lab.kill("b", 0, 1);
    let deleted: fn(&mut Lab) = |lab| lab.delete_by_hand("b", 0);
    for (strategy, ends) in [
        ("OneForAll", died),
        ("RestForOne", died),
        ("OneForAll", deleted),
        ("RestForOne", deleted),
    ] {
        let story = |crash_in: Option<usize>| {
            let mut lab = group(&format!("strategy: {strategy}"), &["a", "b", "c"]);
            let since = lab.log.len();
            ends(&mut lab);
            lab.crash_in = crash_in;
            let before = lab.writes;
            lab.run(40);
            let writes = lab.writes - before;
            let texts = (trace(&lab, since), lab.state(), lab.charges("(root)"));
            (texts, writes, lab.world.tree.status.restarts)
        };
        let (expected, writes, restarts) = story(None);
        assert_eq!(restarts, 1);
        for crash_in in 0..writes {
            let (found, _, counted) = story(Some(crash_in));
            assert_eq!(found, expected, "{strategy}, crash before write {crash_in}");
            assert_eq!(counted, restarts, "{strategy}, crash before {crash_in}");
        }
    }
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
    let supervisor =
        |name: &str| format!("- {{name: {name}, supervisor: {{intensity: {{maxRestarts: 0}}}}}}\n");
    let below = |name: &str, parent: &str| {
        worker(name).replace("worker:", &format!("parent: {parent}, worker:"))
    };
    let spec = format!(
        "strategy: RestForOne\nchildren:\n{}{}{}{}",
        supervisor("s"),
        below("a", "s"),
        supervisor("t"),
        below("b", "t")
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

/// A kubelet tells that a container has ended before it tells that its Pod has.
#[test]
fn a_member_that_has_ended_is_not_stopped_but_kept_to_be_looked_at() {
    let mut lab = group("strategy: OneForAll", &["a", "b"]);
    let since = lab.log.len();
    lab.kill("a", 0, 1);
    lab.world
        .workers
        .get_mut("a")
        .unwrap()
        .pods
        .iter_mut()
        .for_each(|pod| {
            std::sync::Arc::make_mut(pod).phase = crate::model::pod::PodPhase::Running;
        });
    lab.run(5);
    assert_eq!(
        trace(&lab, since),
        "-b",
        "nothing is made before the Pod is over"
    );
    lab.world
        .workers
        .get_mut("a")
        .unwrap()
        .pods
        .iter_mut()
        .for_each(|pod| {
            std::sync::Arc::make_mut(pod).phase = crate::model::pod::PodPhase::Failed;
        });
    lab.run(20);
    assert_eq!(trace(&lab, since), "-b +a +b");
    assert_eq!(lab.pods().filter(|pod| pod.is_terminal()).count(), 1);
}
