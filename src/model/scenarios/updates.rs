//! A changed template reaches the Pods of a worker.
//!
//! Rule: whatever happens meanwhile, no more Pods are down, and no more live, than `update` allows.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{many, worker};
use crate::api::v1alpha1::NumberOrPercent;
use crate::model::lab::{Behaviour, Lab};
use crate::model::pod::RareView;
use crate::model::window::after;

/// The fewest replicas of a child that were up, and the most Pods of it that were live, in so many seconds.
pub(super) fn extremes(lab: &mut Lab, child: &str, seconds: i64) -> (usize, usize) {
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
pub(super) fn revisions(lab: &Lab, child: &str) -> Vec<usize> {
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
    // Two are of the former template, and the others, one of which is cheap, of the present one.
    let updated_half = |lab: &mut Lab| {
        lab.edit_worker("a", |worker| {
            worker.update.min_ready_seconds = 0;
            worker.update.max_surge = Some(NumberOrPercent(IntOrString::Int(0)));
        });
        lab.edit_template("a", "two");
        while lab.slots_with("a", "two").len() < 2 {
            lab.run(1);
        }
        lab.edit(|spec| spec.rollout.paused = true);
        lab.run(20);
        assert_eq!(lab.live("a"), [0, 1, 2, 3]);
        let new = lab.slots_with("a", "two");
        assert_eq!(new.len(), 2, "{:?}", lab.log);
        new
    };
    for makes_one_cheap in [false, true] {
        let new = std::cell::RefCell::default();
        let gone = dropped(&|lab| {
            let slots = updated_half(lab);
            if makes_one_cheap {
                cost(lab, slots[0], -1);
            }
            new.replace(slots);
        });
        let new = new.into_inner();
        assert!(
            gone.len() == 1 && !new.contains(&gone[0]),
            "{gone:?} went, {new:?} were new"
        );
    }
    assert_eq!(
        dropped(&|lab| {
            lab.delete_by_hand("a", 1);
            lab.run(20);
        }),
        [1],
        "the newest"
    );
}

/// `restartAt` of a child is so many seconds from now.
pub(super) fn restart_in(lab: &mut Lab, child: &str, seconds: i64) {
    let time = Time(after(lab.now, seconds));
    lab.edit(|spec| {
        let child = spec.children.iter_mut().find(|one| one.name == child);
        child.unwrap().restart_at = Some(time);
    });
}

fn creates(lab: &Lab) -> usize {
    let log = lab.log.iter();
    log.filter(|line| line.starts_with("create")).count()
}

#[test]
fn an_update_does_not_wait_for_a_restart_that_is_to_come() {
    let mut lab = four("{}");
    restart_in(&mut lab, "a", 3600);
    lab.log.clear();
    lab.edit_template("a", "two");
    lab.run(120);
    assert_eq!((revisions(&lab, "a"), creates(&lab)), (vec![4], 4));
    lab.run(3600);
    assert_eq!(creates(&lab), 8, "it comes all the same");
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

/// The API server says when a Pod was made, and its clock is not ours.
#[test]
fn a_restart_acts_once_whatever_the_clocks_say() {
    for update in ["{}", "{maxSurge: 0, maxUnavailable: 1}"] {
        let mut lab = four(update);
        let behind = after(lab.now, -20);
        lab.log.clear();
        restart_in(&mut lab, "a", 0);
        for _ in 0..60 {
            lab.run(1);
            for slot in lab.live("a") {
                let pod = lab.pod_mut("a", slot);
                pod.created = pod.created.min(behind);
            }
        }
        assert_eq!(creates(&lab), 4, "{update}: {:?}", lab.log);
    }
}

/// What has finished needs no Pod of the new template, and is not in the way of those that do.
#[test]
fn finished_replicas_are_as_good_as_new_ones() {
    for update in [
        "{}",
        "{maxSurge: 0, maxUnavailable: 1}",
        "{maxSurge: 1, maxUnavailable: 1}",
    ] {
        let settings = format!("replicas: 3, restart: Temporary, update: {update}");
        let mut lab = Lab::new(&format!("children:\n{}", worker("a", "", &settings)));
        lab.run(20);
        lab.kill("a", 1, 0);
        lab.run(20);
        lab.edit_template("a", "two");
        lab.run(120);
        assert_eq!(revisions(&lab, "a"), [2], "{update}: {:?}", lab.log);
        assert_eq!(lab.state(), "TFF AllUp", "{update}: {}", lab.message());
    }
    for settings in [
        "restart: Transient",
        "replicas: 3, restart: Transient",
        "replicas: 3, restart: Transient, update: {maxSurge: 0, maxUnavailable: 1}",
    ] {
        let mut lab = Lab::new(&format!("children:\n{}", worker("a", "", settings)));
        lab.run(20);
        let before = lab.live("a").len();
        lab.failing.insert("a".into(), vec![0]);
        lab.edit_template("a", "two");
        lab.run(120);
        let after = lab.live("a").len();
        assert_eq!(after, before - 1, "{settings}: {:?}", lab.log);
        assert!(revisions(&lab, "a").len() <= 1, "{settings}");
        assert!(
            lab.state().starts_with("TFF"),
            "{settings}: {}",
            lab.message()
        );
    }
}

#[test]
fn an_edit_of_the_bounds_acts_at_once() {
    let all = || Some(NumberOrPercent(IntOrString::String("100%".into())));
    let one = || Some(NumberOrPercent(IntOrString::Int(1)));
    let mut lab = four("{}");
    lab.edit_worker("a", |worker| worker.update.max_surge = all());
    lab.behave("a", Behaviour::Hang);
    lab.edit_template("a", "two");
    lab.run(10);
    assert_eq!(lab.live("a").len(), 8);
    lab.edit_worker("a", |worker| worker.update.max_surge = one());
    assert_eq!(extremes(&mut lab, "a", 10), (4, 5));
    lab.edit_worker("a", |worker| worker.update.max_surge = all());
    lab.run(10);
    lab.edit_replicas("a", 1);
    let (up, live) = extremes(&mut lab, "a", 10);
    assert!(up >= 1 && live <= 2, "{up} up, {live} live");
}

/// A view may be old: what was down in it, and is up by now, must not go as if it cost nothing.
#[test]
fn a_replica_that_has_come_up_since_is_judged_anew() {
    let mut lab = four("{maxSurge: 0, maxUnavailable: 1}");
    lab.set_ready("a", 1, false);
    lab.set_ready("a", 2, false);
    lab.settle();
    lab.edit_template("a", "two");
    lab.decide_before(|lab| {
        lab.set_ready("a", 1, true);
        lab.set_ready("a", 2, true);
    });
    assert_eq!(lab.live("a").len(), 4, "what was decided is no longer so");
    assert_eq!(extremes(&mut lab, "a", 60), (3, 4));
    assert_eq!(revisions(&lab, "a"), [4]);
    assert_eq!(lab.world.tree.status.restarts, 0);
}

/// The clock of its node says when a replica ended, and may be behind ours.
#[test]
fn what_was_made_for_a_restart_does_not_finish_before_it() {
    let mut lab = Lab::new(&format!(
        "children:\n{}",
        worker("a", "", "restart: Transient")
    ));
    lab.run(20);
    let asked = after(lab.now, 50);
    let rare = RareView {
        answers_restart: Some(asked),
        ..RareView::default()
    };
    lab.pod_mut("a", 0).rare = rare.kept();
    lab.kill("a", 0, 0);
    lab.run(10);
    let finished = lab.world.workers["a"].status.slots[0].finished.clone();
    assert_eq!(finished.unwrap().time, Time(asked));
}
