//! Groups: what is stopped and started again when a member dies, in which order, and what that costs.
//!
//! Rule: a trace names stops (`-a`) and starts (`+a`) in the order in which they were asked for.

use std::sync::Arc;

use super::{charges, trace, until_charged, worker};
use crate::model::decide;
use crate::model::lab::{Behaviour, Lab};
use crate::model::pod::PodPhase;

pub(super) fn group(settings: &str, names: &[&str]) -> Lab {
    let children: String = names.iter().map(|name| worker(name, "", "")).collect();
    let mut lab = Lab::new(&format!("{settings}\nchildren:\n{children}"));
    lab.run(30);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    lab
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

/// A drain evicts one Pod after another: what its first one began takes in the others.
#[test]
fn what_is_disrupted_together_is_one_restart_and_costs_nothing() {
    for (strategy, restarted) in [
        ("OneForAll", ["a", "b", "c"]),
        ("RestForOne", ["", "b", "c"]),
    ] {
        for apart in [0, 1] {
            let mut lab = group(&format!("strategy: {strategy}"), &["a", "b", "c"]);
            let since = lab.log.len();
            lab.evict("b", 0);
            lab.run(apart);
            if lab.live("c") == [0] {
                lab.evict("c", 0);
            }
            lab.run(60);
            for child in ["a", "b", "c"] {
                let create = format!("create {child}/");
                let created = lab.log[since..].iter().filter(|l| l.starts_with(&create));
                let expected = usize::from(restarted.contains(&child));
                assert_eq!(
                    created.count(),
                    expected,
                    "{strategy} {child}: {:?}",
                    lab.log
                );
            }
            assert_eq!(lab.charges("(root)"), charges(&[]));
            assert_eq!(lab.state(), "TFF AllUp");
        }
    }
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

#[test]
fn a_replica_dies_alone_while_its_worker_has_its_quorum() {
    let spec = format!(
        "strategy: OneForAll\nchildren:\n{}{}",
        worker("a", "", ""),
        worker("b", "", "replicas: 3, quorum: 2")
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
    Arc::make_mut(&mut stale.tree).status = before;
    let decision = decide(&stale, lab.now);
    assert!(decision.writes.is_empty());
    assert!(
        decision.tree_intent && decision.worker_intents.is_empty(),
        "the tree is written first, which is refused when the view of it is old"
    );
    let known = lab.world.tree.status.operations;
    assert_eq!(decision.tree_status.operations, known);
}

/// A kubelet tells that a container has ended before it tells that its Pod has.
#[test]
fn a_member_that_has_ended_is_not_stopped_but_kept_to_be_looked_at() {
    let mut lab = group("strategy: OneForAll", &["a", "b"]);
    let since = lab.log.len();
    lab.kill("a", 0, 1);
    let set_phase = |lab: &mut Lab, phase: PodPhase| {
        let worker = lab.world.workers.get_mut("a").unwrap();
        for pod in &mut worker.pods {
            Arc::make_mut(pod).phase = phase;
        }
    };
    set_phase(&mut lab, PodPhase::Running);
    lab.run(5);
    assert_eq!(
        trace(&lab, since),
        "-b",
        "nothing is made before the Pod is over"
    );
    set_phase(&mut lab, PodPhase::Failed);
    lab.run(20);
    assert_eq!(trace(&lab, since), "-b +a +b");
    assert_eq!(lab.pods().filter(|pod| pod.is_terminal()).count(), 1);
}

/// While a worker starts, what ends is its slots', whatever it ends of.
#[test]
fn a_replica_that_is_evicted_while_its_worker_starts_restarts_nobody_else() {
    let children = [
        worker("a", "", ""),
        worker("b", "", "replicas: 3, quorum: 3"),
    ]
    .concat();
    let mut lab = Lab::new(&format!("strategy: OneForAll\nchildren:\n{children}"));
    lab.behave("b", Behaviour::Hang);
    lab.run(20);
    let since = lab.log.len();
    lab.evict("b", 1);
    lab.run(10);
    assert_eq!(trace(&lab, since), "+b");
}
