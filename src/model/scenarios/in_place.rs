//! Changed images reach Pods that stay.
//!
//! Rule: the bounds of `update` hold as if the Pods were replaced; the restart costs nothing, and the next one does.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::rollouts::{edit, three};
use super::updates::{extremes, revisions};
use super::{supervisor, worker};
use crate::api::v1alpha1::RolloutFailurePolicy;
use crate::model::fault::testing::refusal;
use crate::model::in_place;
use crate::model::lab::{Behaviour, Lab};
use crate::model::pod::{ContainerState, ImageMark, Termination};
use crate::model::world::Refusal;

const ONE_DOWN: &str =
    "replicas: 4, quorum: 2, update: {maxSurge: 0, maxUnavailable: 1, method: InPlaceIfPossible}";

fn up(settings: &str) -> Lab {
    let mut lab = Lab::new(&format!("children:\n{}", worker("a", "", settings)));
    lab.run(90);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    lab.log.clear();
    lab
}

/// The UIDs of the live Pods of a child, with how often their containers were restarted.
fn lives(lab: &Lab, child: &str) -> BTreeMap<String, i64> {
    let live = lab
        .pods()
        .filter(|pod| pod.child == child && !pod.is_deleting() && !pod.is_terminal());
    live.map(|pod| (pod.uid.clone(), pod.containers[0].restarts))
        .collect()
}

/// How many of these Pods are still there.
fn kept(before: &BTreeMap<String, i64>, lab: &Lab, child: &str) -> usize {
    let now = lives(lab, child);
    before.keys().filter(|uid| now.contains_key(*uid)).count()
}

/// Asserts that nothing was charged to anybody, and nothing is left of an update.
fn assert_free(lab: &Lab, child: &str) {
    let worker = &lab.world.workers[child].status;
    assert_eq!(lab.world.tree.status.restarts, 0);
    assert_eq!(worker.restarts, 0);
    assert!(lab.judged.is_empty(), "{:?}", lab.judged);
    for slot in &worker.slots {
        assert_eq!((slot.charges.len(), &slot.in_place), (0, &None));
        assert_eq!(slot.deaths, 1, "the end that was ordered is known");
    }
}

#[test]
fn images_change_in_place_within_the_bounds_and_without_a_charge() {
    for (settings, bounds) in [
        (ONE_DOWN.to_owned(), (3, 4)),
        (
            ONE_DOWN.replace("maxUnavailable: 1", "maxUnavailable: 50%"),
            (2, 4),
        ),
        // No Pods are added where one may be down.
        (ONE_DOWN.replace("maxSurge: 0", "maxSurge: 2"), (3, 4)),
        (
            "identity: Stable, replicas: 4, quorum: 2, update: {method: InPlaceIfPossible}"
                .to_owned(),
            (3, 4),
        ),
    ] {
        let mut lab = up(&settings);
        let before = lives(&lab, "a");
        lab.edit_template("a", "two");
        assert_eq!(extremes(&mut lab, "a", 60), bounds, "{settings}");
        assert_eq!(lab.state(), "TFF AllUp", "{settings}: {}", lab.message());
        assert_eq!(lab.images("a"), ["two"; 4], "{settings}");
        assert_eq!(revisions(&lab, "a"), [4], "{settings}");
        assert_eq!(kept(&before, &lab, "a"), 4, "{settings}");
        assert!(lives(&lab, "a").values().all(|restarts| *restarts == 1));
        let patches = lab.log.iter().filter(|line| line.starts_with("patch "));
        assert_eq!(patches.count(), 4, "{:?}", lab.log);
        assert_free(&lab, "a");
        // What comes next changes them once more.
        lab.edit_template("a", "three");
        assert_eq!(extremes(&mut lab, "a", 60), bounds, "{settings}");
        assert_eq!(kept(&before, &lab, "a"), 4, "{settings}");
        assert!(lives(&lab, "a").values().all(|restarts| *restarts == 2));
        assert_eq!(lab.world.tree.status.restarts, 0);
    }
}

#[test]
fn where_none_may_be_down_one_is_added_and_the_others_change_in_place() {
    let mut lab = up("replicas: 4, quorum: 2, update: {method: InPlaceIfPossible}");
    let before = lives(&lab, "a");
    lab.edit_template("a", "two");
    assert_eq!(extremes(&mut lab, "a", 90), (4, 5));
    assert_eq!(lab.images("a"), ["two"; 4]);
    assert_eq!(kept(&before, &lab, "a"), 3, "{:?}", lab.log);
    assert_eq!(lab.world.workers["a"].status.surge, 0);
    assert_eq!(lab.world.tree.status.restarts, 0);
}

#[test]
fn a_slot_is_down_until_it_has_been_ready_for_as_long_as_the_worker_asks_for() {
    let settings = ONE_DOWN.replace("maxSurge: 0", "maxSurge: 0, minReadySeconds: 10");
    let mut lab = up(&settings);
    lab.edit_template("a", "two");
    lab.run(10);
    assert_eq!(lab.slots_with("a", "two").len(), 1, "{:?}", lab.log);
    assert_eq!(extremes(&mut lab, "a", 90), (3, 4));
    assert_eq!(lab.images("a"), ["two"; 4]);
}

#[test]
fn what_is_more_than_images_or_not_restarted_by_the_kubelet_is_recreated_and_told() {
    let group = |settings: &str| {
        let parent = supervisor("g", "", "strategy: OneForAll");
        format!("children:\n{parent}{}", worker("a", "g", settings))
    };
    for (spec, label) in [
        (format!("children:\n{}", worker("a", "", ONE_DOWN)), true),
        (group(ONE_DOWN), false),
    ] {
        let mut lab = Lab::new(&spec);
        lab.run(90);
        let before = lives(&lab, "a");
        lab.edit_worker("a", |worker| {
            let template = &mut worker.template.0;
            template["spec"]["containers"][0]["image"] = "two".into();
            if label {
                template["metadata"]["labels"]["more"] = "label".into();
            }
        });
        lab.run(90);
        assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
        assert_eq!(kept(&before, &lab, "a"), 0);
        let told = lab.events.iter().filter(|one| *one == "NotUpdatedInPlace");
        assert_eq!(told.count(), 1, "{:?}", lab.told);
    }
}

/// As many Pods are added first as there are replicas.
#[test]
fn where_all_of_them_are_replaced_because_none_may_be_down_that_is_told() {
    let with = |bounds: &str| format!("update: {{{bounds}method: InPlaceIfPossible}}");
    for (settings, stay) in [
        (with(""), 0),
        (with("maxUnavailable: 1, "), 0),
        (with("maxUnavailable: 1, maxSurge: 0, "), 1),
        (
            format!("replicas: 2, quorum: 1, {}", with("maxSurge: 2, ")),
            0,
        ),
        (
            format!(
                "replicas: 2, quorum: 2, {}",
                with("maxUnavailable: 1, maxSurge: 0, ")
            ),
            2,
        ),
        (format!("replicas: 2, quorum: 2, {}", with("")), 1),
    ] {
        let mut lab = up(&settings);
        let before = lives(&lab, "a");
        lab.edit_template("a", "two");
        lab.run(90);
        assert_eq!(lab.state(), "TFF AllUp", "{settings}: {}", lab.message());
        assert_eq!(kept(&before, &lab, "a"), stay, "{settings}: {:?}", lab.log);
        let told = lab.told.iter();
        let told =
            told.filter(|one| one.contains("NotUpdatedInPlace") && one.contains("`maxSurge: 0`"));
        assert_eq!(
            told.count(),
            usize::from(stay == 0),
            "{settings}: {:?}",
            lab.told
        );
    }
}

#[test]
fn for_restart_at_a_pod_is_recreated() {
    let mut lab = up(ONE_DOWN);
    let before = lives(&lab, "a");
    let now = lab.now;
    lab.edit(|spec| spec.children[0].restart_at = Some(Time(now)));
    lab.edit_template("a", "two");
    lab.run(90);
    assert_eq!(lab.images("a"), ["two"; 4]);
    assert_eq!(kept(&before, &lab, "a"), 0);
}

#[test]
fn a_pull_that_fails_takes_the_tree_back_and_what_had_changed_changes_back_in_place() {
    let mut lab = three("update: {maxSurge: 0, maxUnavailable: 1, method: InPlaceIfPossible}");
    let before = ["db", "api", "web"].map(|child| lives(&lab, child));
    lab.behave("api@two", Behaviour::NoImage);
    edit(&mut lab, "two", &["db", "api", "web"]);
    lab.run(60);
    assert_eq!(lab.state(), "FFT RolledBack", "{}", lab.message());
    for child in ["db", "api", "web"] {
        assert_eq!(lab.images(child), ["one"], "{child}: {:?}", lab.log);
    }
    assert_eq!(kept(&before[0], &lab, "db"), 1, "{:?}", lab.log);
    assert_eq!(kept(&before[1], &lab, "api"), 0, "it was not through");
    assert_eq!(kept(&before[2], &lab, "web"), 1);
    assert_eq!(lives(&lab, "db").values().sum::<i64>(), 2);
    assert_eq!(
        lives(&lab, "web").values().sum::<i64>(),
        0,
        "it was not touched"
    );
    assert_eq!(lab.world.tree.status.restarts, 0);
}

#[test]
fn a_death_after_the_restart_is_one_of_the_new_template() {
    let mut lab = three("update: {maxSurge: 0, maxUnavailable: 1, method: InPlaceIfPossible}");
    lab.behave("db@two", Behaviour::Crash(1, 1));
    edit(&mut lab, "two", &["db"]);
    lab.run(90);
    assert_eq!(lab.state(), "FFT RolledBack", "{}", lab.message());
    assert_eq!(lab.images("db"), ["one"]);
    assert!(lab.world.tree.status.restarts >= 2, "{:?}", lab.told);
}

#[test]
fn one_death_while_others_change_is_charged_once() {
    let mut lab = up(ONE_DOWN);
    lab.edit_template("a", "two");
    lab.run(2);
    let slot = lab.slots_with("a", "one")[0];
    lab.kill("a", slot, 1);
    lab.run(90);
    assert_eq!(lab.images("a"), ["two"; 4]);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(lab.world.tree.status.restarts, 1, "{:?}", lab.told);
}

#[test]
fn where_the_api_server_refuses_it_pods_are_recreated_and_that_is_told_once() {
    let mut lab = up(ONE_DOWN);
    let before = lives(&lab, "a");
    lab.refuse_creates = Some(Refusal {
        kind: in_place::KIND,
        child: "a".into(),
        ..refusal(
            403,
            "Forbidden",
            "pods \"x\" is forbidden: User \"coppice\" cannot patch resource \"pods\"",
        )
    });
    lab.edit_template("a", "two");
    assert_eq!(extremes(&mut lab, "a", 90), (3, 4));
    assert_eq!(lab.images("a"), ["two"; 4], "{:?}", lab.log);
    assert_eq!(kept(&before, &lab, "a"), 0);
    let told = lab
        .told
        .iter()
        .filter(|one| one.contains("NotUpdatedInPlace"));
    assert_eq!(told.count(), 1, "{:?}", lab.told);
    assert_eq!(lab.world.tree.status.restarts, 0);
}

#[test]
fn what_must_change_again_before_it_is_through_is_recreated() {
    let mut lab = up(ONE_DOWN);
    let before = lives(&lab, "a");
    lab.behave("a@two", Behaviour::Hang);
    lab.edit_template("a", "two");
    lab.run(30);
    assert_eq!(lab.slots_with("a", "two").len(), 1);
    lab.edit_template("a", "three");
    assert_eq!(extremes(&mut lab, "a", 90), (3, 4));
    assert_eq!(lab.images("a"), ["three"; 4]);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(kept(&before, &lab, "a"), 3, "{:?}", lab.log);
}

#[test]
fn a_pause_lets_what_is_under_way_come_up_and_changes_nothing_more() {
    let mut lab = up(ONE_DOWN);
    lab.edit_template("a", "two");
    lab.edit(|spec| spec.rollout.paused = true);
    lab.run(60);
    assert_eq!(lab.images("a"), ["one"; 4]);
    lab.edit(|spec| spec.rollout.paused = false);
    lab.run(2);
    lab.edit(|spec| spec.rollout.paused = true);
    lab.run(60);
    assert_eq!(lab.slots_with("a", "two").len(), 1, "{:?}", lab.log);
    assert_eq!(lab.live("a").len(), 4);
    lab.edit(|spec| spec.rollout.paused = false);
    lab.run(60);
    assert_eq!(lab.images("a"), ["two"; 4]);
    assert_free(&lab, "a");
}

#[test]
fn a_canary_changes_its_replicas_in_place() {
    let update = "{maxSurge: 0, maxUnavailable: 1, method: InPlaceIfPossible, steps: [{updated: 1}, {pauseSeconds: 20}]}";
    let mut lab = three(&format!("replicas: 4, quorum: 2, update: {update}"));
    let before = lives(&lab, "db");
    edit(&mut lab, "two", &["db"]);
    lab.run(15);
    assert_eq!(lab.slots_with("db", "two").len(), 1, "{:?}", lab.log);
    assert_eq!(kept(&before, &lab, "db"), 4);
    lab.run(90);
    assert_eq!(lab.images("db"), ["two"; 4]);
    assert_eq!(kept(&before, &lab, "db"), 4);
    assert_free(&lab, "db");
}

#[test]
fn a_crash_of_the_operator_at_any_write_changes_nothing_in_the_end() {
    for crash in 0.. {
        let mut lab = up(ONE_DOWN);
        let before = lives(&lab, "a");
        lab.edit_template("a", "two");
        lab.crash_in = Some(crash);
        assert_eq!(extremes(&mut lab, "a", 60), (3, 4), "crash at {crash}");
        assert_eq!(lab.images("a"), ["two"; 4], "crash at {crash}");
        assert_eq!(lab.state(), "TFF AllUp", "crash at {crash}");
        assert_eq!(kept(&before, &lab, "a"), 4, "crash at {crash}");
        assert!(lives(&lab, "a").values().all(|restarts| *restarts == 1));
        assert_free(&lab, "a");
        if lab.crash_in.is_some() {
            assert!(crash > 12, "there were {crash} writes to crash at");
            return;
        }
    }
}

#[test]
fn each_crash_of_a_new_image_is_charged_once_whenever_the_operator_crashes() {
    let story = |crash: Option<usize>| {
        let mut lab = three("update: {maxSurge: 0, maxUnavailable: 1, method: InPlaceIfPossible}");
        lab.behave("db@two", Behaviour::Crash(1, 1));
        edit(&mut lab, "two", &["db"]);
        lab.crash_in = crash;
        lab.run(90);
        let told = format!("crash at {crash:?}: {:#?}", lab.told);
        assert_eq!(lab.state(), "FFT RolledBack", "{told}");
        assert_eq!(lab.images("db"), ["one"], "{told}");
        let free = lab.world.workers["db"].status.slots.iter();
        assert!(free.clone().all(|slot| slot.in_place.is_none()), "{told}");
        (lab.world.tree.status.restarts, lab.crash_in.is_some(), told)
    };
    let (undisturbed, ..) = story(None);
    for crash in 0.. {
        let (restarts, is_left, told) = story(Some(crash));
        assert_eq!(restarts, undisturbed, "{told}");
        if is_left {
            assert!(crash > 12, "there were {crash} writes to crash at");
            return;
        }
    }
}

/// A worker of which one Pod is to change in place, and whose new image cannot be pulled.
fn pulling(settings: &str) -> Lab {
    let mut lab = up(settings);
    lab.edit(|spec| spec.rollout.on_failure = RolloutFailurePolicy::None);
    lab.behave("a@two", Behaviour::NoImage);
    lab.edit_template("a", "two");
    lab.run(5);
    assert_eq!(lab.slots_with("a", "two").len(), 1, "{:?}", lab.log);
    lab
}

/// Two restarts between two looks, of which the first was ordered; and the operator crashes before it has stored what it made of
/// that.
#[test]
fn a_crash_that_nobody_saw_behind_the_ordered_restart_is_charged_once_and_so_is_the_next() {
    for crash in 0..8 {
        let settings = ONE_DOWN.replace("replicas: 4, quorum: 2", "replicas: 2, quorum: 1");
        let mut lab = pulling(&settings);
        let slot = lab.slots_with("a", "two")[0];
        let ended = Termination {
            exit_code: 1,
            finished: Some(lab.now),
            ..Termination::default()
        };
        let now = lab.now;
        let jump = |lab: &mut Lab, restarts: i64| {
            let pod = lab.pod_mut("a", slot);
            let container = &mut pod.containers[0];
            container.restarts = restarts;
            container.image = ImageMark::of("two");
            container.last = Some(ended.clone());
            container.state = ContainerState::Running { since: Some(now) };
            lab.set_ready("a", slot, true);
        };
        lab.behave("a@two", Behaviour::Healthy);
        jump(&mut lab, 2);
        lab.crash_in = Some(crash);
        lab.settle();
        assert_eq!(
            lab.world.tree.status.restarts, 1,
            "crash {crash}: {:?}",
            lab.told
        );
        jump(&mut lab, 3);
        lab.settle();
        assert_eq!(
            lab.world.tree.status.restarts, 2,
            "crash {crash}: {:?}",
            lab.told
        );
    }
}

/// A kubelet tells that it has stopped a container only after it has pulled the image.
#[test]
fn fewer_replicas_are_those_that_do_not_change() {
    let mut lab = pulling(ONE_DOWN);
    let slot = lab.slots_with("a", "two")[0];
    let container = &mut lab.pod_mut("a", slot).containers[0];
    container.restarts = 0;
    container.image = ImageMark::of("one");
    container.last = None;
    container.state = ContainerState::Running { since: None };
    lab.set_ready("a", slot, true);
    lab.edit_replicas("a", 3);
    lab.settle();
    assert!(!lab.live("a").contains(&slot), "{:?}", lab.log);
    assert_eq!(lab.live("a").len(), 3);
}

#[test]
fn a_slot_that_is_dropped_in_an_update_that_fails_is_no_death() {
    for crash in 0..8 {
        let stable =
            "identity: Stable, replicas: 4, quorum: 2, update: {method: InPlaceIfPossible}";
        let mut lab = pulling(stable);
        assert_eq!(lab.slots_with("a", "two"), [3]);
        lab.stopping.insert("a/3".into(), 10);
        lab.crash_in = Some(crash);
        lab.edit_replicas("a", 3);
        for _ in 0..15 {
            lab.run(1);
            for slot in &lab.world.workers["a"].status.slots {
                assert!(slot.failed_inits >= 0 && slot.deaths >= 0, "{slot:?}");
            }
        }
        assert_eq!(lab.live("a"), [0, 1, 2]);
        assert_eq!(lab.world.tree.status.restarts, 0, "{:?}", lab.told);
    }
}
