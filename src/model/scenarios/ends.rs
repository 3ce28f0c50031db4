//! Ends of all kinds: what each is for a worker of each restart type.
//!
//! Rule: who brought an end about is asked first, and only then how the program ended.

use super::super::lab::{Behaviour, Lab};
use crate::model::pod::{ContainerState, ContainerView, PodPhase, PodView, Termination};
use crate::model::world::NodeView;

/// What became of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The replica is not started again, and nobody is charged.
    Finished,
    /// It is started again and charged.
    Charged,
    /// It is started again, and nobody is charged.
    Uncharged,
    /// Nothing is done about it.
    Nothing,
}

use Outcome::{Charged, Finished, Nothing, Uncharged};

/// A tree of one worker of that type, whose replica has started or runs and has not.
fn lab(strategy: &str, restart: &str, started: bool) -> Lab {
    let mut lab = Lab::new(&format!(
        "
strategy: {strategy}
children:
- {{name: a, worker: {{restart: {restart}, template: {{spec: {{containers: [{{name: app, image: one}}]}}}}}}}}
"
    ));
    if !started {
        lab.behave("a", Behaviour::Hang);
    }
    lab.run(10);
    lab
}

fn outcome(lab: &mut Lab) -> Outcome {
    let uids = |lab: &Lab| lab.pods().map(|pod| pod.uid.clone()).collect::<Vec<_>>();
    let before = uids(lab);
    lab.run(20);
    let slot = &lab.world.workers["a"].status.slots;
    let is_finished = slot.iter().any(|slot| slot.finished.is_some());
    let charges: usize = lab.charges("(root)").values().sum();
    let is_new = uids(lab).iter().any(|uid| !before.contains(uid));
    match (
        is_finished,
        charges,
        is_new || lab.world.tree.status.restarts > 0,
    ) {
        (true, 0, _) => Finished,
        (false, 1, _) => Charged,
        (false, 0, true) => Uncharged,
        (false, 0, false) => Nothing,
        other => panic!("{other:?}: {}", lab.message()),
    }
}

fn run(seconds: i64, end: Option<(i32, &str)>, lab: &Lab) -> ContainerState {
    let since = jiff::Timestamp::from_second(lab.now.as_second() - seconds).ok();
    match end {
        None => ContainerState::Running { since },
        Some((exit_code, reason)) => ContainerState::Terminated(Termination {
            exit_code,
            reason: reason.into(),
            started: since,
            finished: Some(lab.now),
            ..Termination::default()
        }),
    }
}

/// The Pod has two containers; one has ended so, and the other, too, or it runs on.
fn end_two(lab: &mut Lab, first: i32, second: Option<i32>) {
    let states = [
        run(5, Some((first, "Error")), lab),
        run(5, second.map(|code| (code, "Error")), lab),
    ];
    let is_over = second.is_some();
    let pod = lab.pod_mut("a", 0);
    let template = pod.containers[0].clone();
    pod.containers = ["app", "helper"]
        .into_iter()
        .zip(states)
        .map(|(name, state)| ContainerView {
            name: name.into(),
            state,
            ..template.clone()
        })
        .collect();
    if is_over {
        pod.phase = if first == 0 && second == Some(0) {
            PodPhase::Succeeded
        } else {
            PodPhase::Failed
        };
    }
}

type Harm = fn(&mut Lab);

/// What happens, and what it is for a Permanent, a Transient and a Temporary worker.
const TABLE: [(&str, Harm, [Outcome; 3]); 10] = [
    (
        "exit code 0",
        |lab| lab.kill("a", 0, 0),
        [Charged, Finished, Finished],
    ),
    (
        "exit code 3",
        |lab| lab.kill("a", 0, 3),
        [Charged, Charged, Finished],
    ),
    (
        "a signal",
        |lab| lab.kill("a", 0, 139),
        [Charged, Charged, Finished],
    ),
    (
        "memory",
        |lab| {
            let state = run(5, Some((137, "OOMKilled")), lab);
            let pod = lab.pod_mut("a", 0);
            pod.containers[0].state = state;
            pod.phase = PodPhase::Failed;
        },
        [Charged, Charged, Finished],
    ),
    (
        "an eviction",
        |lab| lab.evict("a", 0),
        [Uncharged, Uncharged, Finished],
    ),
    (
        "a polite end after `kubectl delete`",
        |lab| {
            lab.delete_by_hand("a", 0);
            lab.kill_deleted("a", 0);
        },
        [Uncharged, Uncharged, Finished],
    ),
    (
        "a Pod that is gone",
        |lab| lab.vanish("a", 0),
        [Uncharged, Uncharged, Finished],
    ),
    (
        "a clean end of all of two containers",
        |lab| end_two(lab, 0, Some(0)),
        [Charged, Finished, Finished],
    ),
    (
        "a clean end of one of two containers and a crash of the other",
        |lab| end_two(lab, 0, Some(1)),
        [Charged, Charged, Finished],
    ),
    (
        "a clean end of one of two containers",
        |lab| end_two(lab, 0, None),
        [Charged, Nothing, Nothing],
    ),
];

/// Whether the replica had started makes no difference to that: a start that fails is tried again.
#[test]
fn every_end_is_what_its_cause_and_the_restart_type_make_of_it() {
    let types = ["Permanent", "Transient", "Temporary"];
    for (what, harm, expected) in TABLE {
        for started in [true, false] {
            // Alone, the kubelet starts containers again itself; in a group it does not.
            for strategy in ["OneForAll", "OneForOne"] {
                for (restart, expected) in types.iter().zip(expected) {
                    let mut lab = lab(strategy, restart, started);
                    harm(&mut lab);
                    lab.behave("a", Behaviour::Healthy);
                    assert_eq!(
                        outcome(&mut lab),
                        expected,
                        "{what}, {restart}, {strategy}, started: {started}"
                    );
                }
            }
        }
    }
}

/// A start that fails is tried again by whatever type is ever restarted.
#[test]
fn an_init_container_that_fails_is_a_failed_start() {
    for (restart, expected) in [
        ("Permanent", Charged),
        ("Transient", Charged),
        ("Temporary", Finished),
    ] {
        let mut lab = Lab::new(&format!(
            "
strategy: OneForAll
children:
- {{name: a, worker: {{restart: {restart}, template: {{spec: {{containers: [{{name: app, image: one}}]}}}}}}}}
"
        ));
        lab.behave("a", Behaviour::Hang);
        lab.settle();
        let state = run(1, Some((1, "Error")), &lab);
        let pod = lab.pod_mut("a", 0);
        pod.init_containers.push(ContainerView {
            name: "init".into(),
            state,
            ..pod.containers[0].clone()
        });
        pod.phase = PodPhase::Failed;
        lab.behave("a", Behaviour::Healthy);
        assert_eq!(outcome(&mut lab), expected, "{restart}");
    }
}

#[test]
fn a_lost_node_charges_nobody() {
    for (restart, expected) in [
        ("Permanent", Uncharged),
        ("Transient", Uncharged),
        ("Temporary", Finished),
    ] {
        let mut lab = lab("OneForAll", restart, true);
        lab.world.nodes.as_mut().unwrap().clear();
        // The garbage collector takes what is bound to a node that is gone.
        lab.delete_by_hand("a", 0);
        lab.settle();
        lab.world
            .nodes
            .as_mut()
            .unwrap()
            .insert("node-a".into(), NodeView::default());
        assert_eq!(outcome(&mut lab), expected, "{restart}");
    }
}

/// A kubelet tells that the containers have ended before it tells that their Pod has.
#[test]
fn what_has_ended_cleanly_is_kept_to_be_looked_at() {
    for strategy in ["OneForOne", "OneForAll"] {
        let mut lab = lab(strategy, "Transient", true);
        let state = run(5, Some((0, "Completed")), &lab);
        lab.pod_mut("a", 0).containers[0].state = state;
        assert_eq!(outcome(&mut lab), Finished, "{strategy}");
        assert_eq!(lab.pods().count(), 1, "{strategy}: the Pod is kept");
        assert!(!lab.pods().any(PodView::is_deleting), "{strategy}");
    }
}
