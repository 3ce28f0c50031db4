//! A changed template reaches the Pods of a worker.
//!
//! Rule: whatever happens meanwhile, no more Pods are down, and no more live, than `update` allows.

use super::{many, supervisor, trace, worker};
use crate::model::lab::{Behaviour, Lab};
use crate::model::pod::RareView;

/// The fewest replicas of a child that were up, and the most Pods of it that were live, in so many seconds.
fn extremes(lab: &mut Lab, child: &str, seconds: i64) -> (usize, usize) {
    let (mut up, mut live) = (usize::MAX, 0);
    for _ in 0..seconds {
        lab.run(1);
        let pods = lab.pods().filter(|pod| pod.child == child);
        let pods: Vec<_> = pods
            .filter(|pod| !pod.is_deleting() && !pod.is_terminal())
            .collect();
        up = up.min(pods.iter().filter(|pod| pod.is_ready()).count());
        live = live.max(pods.len());
    }
    (up, live)
}

/// How many live Pods of a child there are of each revision, the least first.
fn revisions(lab: &Lab, child: &str) -> Vec<usize> {
    let mut counts = std::collections::BTreeMap::new();
    for pod in lab.pods() {
        if pod.child == child && !pod.is_deleting() && !pod.is_terminal() {
            *counts.entry(pod.revision.clone()).or_insert(0) += 1;
        }
    }
    let mut counts: Vec<usize> = counts.into_values().collect();
    counts.sort_unstable();
    counts
}

/// A worker of four replicas with this `update`, up.
fn four(update: &str) -> Lab {
    let settings = format!("replicas: 4, quorum: 2, update: {update}");
    let mut lab = Lab::new(&format!("children:\n{}", worker("a", "", &settings)));
    lab.run(20);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    lab
}

#[test]
fn an_update_keeps_its_bounds_and_ends() {
    let table = [
        ("{}", (4, 5)),
        ("{maxSurge: 0, maxUnavailable: 1}", (3, 4)),
        ("{maxSurge: 0, maxUnavailable: 50%}", (2, 4)),
        ("{maxSurge: 0, maxUnavailable: 4}", (2, 4)),
        ("{maxSurge: 0, maxUnavailable: 10%}", (3, 4)),
        ("{maxSurge: 10%, maxUnavailable: 0}", (4, 5)),
        ("{maxSurge: 100%, maxUnavailable: 100%}", (2, 8)),
    ];
    for (update, bounds) in table {
        let mut lab = four(update);
        let before = lab.live("a");
        lab.edit_template("a", "two");
        assert_eq!(extremes(&mut lab, "a", 90), bounds, "{update}");
        assert_eq!(lab.state(), "TFF AllUp", "{update}: {}", lab.message());
        assert_eq!(revisions(&lab, "a"), [4], "{update}");
        assert_eq!(lab.world.tree.status.restarts, 0, "{update}");
        assert_eq!(lab.world.workers["a"].status.surge, 0, "{update}");
        let numbers = lab.live("a");
        assert!(
            numbers.iter().all(|slot| *slot <= 8),
            "{before:?} became {numbers:?}"
        );
    }
}

#[test]
fn replicas_of_one_name_are_replaced_one_after_another_the_highest_first() {
    let settings = "identity: Stable, replicas: 3, quorum: 1";
    let mut lab = Lab::new(&format!("children:\n{}", worker("a", "", settings)));
    lab.run(20);
    lab.log.clear();
    lab.edit_template("a", "two");
    assert_eq!(extremes(&mut lab, "a", 60), (2, 3));
    let creates = lab
        .log
        .iter()
        .filter_map(|line| line.strip_prefix("create "));
    assert_eq!(creates.collect::<Vec<_>>(), ["a/2", "a/1", "a/0"]);
    assert_eq!(revisions(&lab, "a"), [3]);
}

#[test]
fn what_is_down_anyway_is_replaced_first_and_costs_nothing() {
    let mut lab = four("{maxSurge: 0, maxUnavailable: 1}");
    lab.behave("a", Behaviour::NoImage);
    lab.kill("a", 2, 1);
    lab.kill("a", 3, 1);
    lab.run(20);
    lab.behave("a", Behaviour::Healthy);
    lab.log.clear();
    lab.edit_template("a", "two");
    let (up, live) = extremes(&mut lab, "a", 60);
    assert!(up >= 2 && live <= 4, "{up} up, {live} live");
    assert_eq!(revisions(&lab, "a"), [4]);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

#[test]
fn a_new_version_that_does_not_come_up_stops_the_update_within_its_bounds() {
    for (update, bounds, counts) in [
        ("{}", (4, 5), vec![1, 4]),
        ("{maxSurge: 0, maxUnavailable: 1}", (3, 4), vec![1, 3]),
    ] {
        let mut lab = four(update);
        lab.behave("a", Behaviour::Hang);
        lab.edit_template("a", "two");
        assert_eq!(extremes(&mut lab, "a", 300), bounds, "{update}");
        assert_eq!(revisions(&lab, "a"), counts, "{update}");
        // The next template gets past it.
        lab.behave("a", Behaviour::Healthy);
        lab.edit_template("a", "three");
        assert_eq!(extremes(&mut lab, "a", 90), bounds, "{update}");
        assert_eq!(revisions(&lab, "a"), [4], "{update}");
        assert_eq!(lab.state(), "TFF AllUp", "{update}: {}", lab.message());
    }
}

#[test]
fn a_worker_is_scaled_while_it_is_updated() {
    for replicas in [2, 7] {
        let mut lab = four("{minReadySeconds: 5}");
        lab.edit_template("a", "two");
        lab.run(8);
        lab.edit_replicas("a", replicas);
        let least = usize::try_from(replicas.min(4)).unwrap();
        let (up, _) = extremes(&mut lab, "a", 120);
        assert!(up >= least, "{up} of {replicas}");
        assert_eq!(revisions(&lab, "a"), [usize::try_from(replicas).unwrap()]);
        assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    }
}

#[test]
fn a_template_that_is_taken_back_replaces_only_what_was_replaced() {
    let mut lab = four("{minReadySeconds: 10}");
    lab.edit_template("a", "two");
    lab.run(4);
    assert_eq!(revisions(&lab, "a"), [1, 4]);
    lab.log.clear();
    lab.edit_template("a", "one");
    assert_eq!(extremes(&mut lab, "a", 60), (4, 4));
    assert_eq!(revisions(&lab, "a"), [4]);
    let deletes = lab.log.iter().filter(|line| line.starts_with("delete"));
    assert_eq!(deletes.count(), 1, "{:?}", lab.log);
}

/// A young Pod may still turn out to be bad.
#[test]
fn a_new_pod_must_have_been_ready_for_a_while() {
    let mut lab = four("{minReadySeconds: 30}");
    lab.edit_template("a", "two");
    lab.run(25);
    assert_eq!(revisions(&lab, "a"), [1, 4]);
    lab.set_ready("a", 4, false);
    lab.run(5);
    lab.set_ready("a", 4, true);
    lab.run(25);
    assert_eq!(revisions(&lab, "a"), [1, 4], "it starts anew");
    lab.run(10);
    assert_eq!(revisions(&lab, "a"), [2, 3]);
}

/// A member that cannot be missing beside the others takes its group with it, in order and without a charge; one that may
/// have a second Pod for a while disturbs nobody.
#[test]
fn only_where_it_cannot_be_helped_a_group_is_restarted() {
    for (update, expected) in [
        ("", "+b"),
        ("update: {maxSurge: 0}", "-c -b +b +c"),
        ("identity: Stable", "-c -b +b +c"),
        ("update: {maxSurge: 0, maxUnavailable: 0}", "-c -b +b +c"),
    ] {
        let members = [
            worker("a", "", ""),
            worker("b", "", update),
            worker("c", "", ""),
        ];
        let mut lab = Lab::new(&format!(
            "strategy: RestForOne\nchildren:\n{}",
            members.concat()
        ));
        lab.run(20);
        let since = lab.log.len();
        lab.edit_template("b", "two");
        lab.run(60);
        assert_eq!(trace(&lab, since), expected, "{update}");
        assert_eq!(lab.state(), "TFF AllUp", "{update}: {}", lab.message());
        assert_eq!(lab.world.tree.status.restarts, 0, "{update}");
        assert!(lab.charges("(root)").is_empty(), "{update}");
    }
}

#[test]
fn a_group_is_restarted_at_the_supervisor_of_the_worker_and_not_above_it() {
    let spec = [
        worker("a", "", ""),
        supervisor("s", "", "strategy: OneForAll"),
        worker("b", "s", "identity: Stable"),
        worker("c", "s", ""),
        worker("d", "", ""),
    ];
    let mut lab = Lab::new(&format!(
        "strategy: OneForAll\nchildren:\n{}",
        spec.concat()
    ));
    lab.run(20);
    let since = lab.log.len();
    lab.edit_template("b", "two");
    lab.run(60);
    assert_eq!(trace(&lab, since), "-c -b +b +c");
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

/// Nobody but the worker itself is in its group under `OneForOne`.
#[test]
fn the_only_replica_of_a_stable_worker_is_replaced_by_itself() {
    let spec = many(1, 1).replace("replicas", "identity: Stable\n    replicas");
    let mut lab = Lab::new(&spec);
    lab.run(20);
    lab.edit_template("a", "two");
    assert_eq!(extremes(&mut lab, "a", 20), (0, 1));
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(lab.world.tree.status.restarts, 0);
}

/// Those that nobody would miss go first: not Ready, of a former template, cheap, new.
#[test]
fn a_scale_in_drops_what_is_missed_least() {
    let dropped = |prepare: &dyn Fn(&mut Lab)| {
        let mut lab = four("{minReadySeconds: 600}");
        prepare(&mut lab);
        lab.settle();
        let before = lab.live("a");
        let replicas = i32::try_from(before.len()).unwrap() - 1;
        lab.edit_replicas("a", replicas);
        lab.run(3);
        let after = lab.live("a");
        let gone = before.into_iter().filter(|slot| !after.contains(slot));
        gone.collect::<Vec<_>>()
    };
    assert_eq!(dropped(&|_| {}), [3]);
    assert_eq!(dropped(&|lab| lab.set_ready("a", 1, false)), [1]);
    let cost = |lab: &mut Lab, slot: i32, deletion_cost: i32| {
        let rare = RareView {
            deletion_cost,
            ..RareView::default()
        };
        lab.pod_mut("a", slot).rare = rare.kept();
    };
    assert_eq!(dropped(&|lab| cost(lab, 2, -1)), [2]);
    assert_eq!(
        dropped(&|lab| {
            cost(lab, 2, -1);
            lab.set_ready("a", 0, false);
        }),
        [0]
    );
    assert_eq!(
        dropped(&|lab| {
            lab.delete_by_hand("a", 1);
            lab.run(20);
        }),
        [1],
        "the newest"
    );
}
