//! Changed templates go over a tree, one worker after another.
//!
//! Rule: a worker gets its template when those before it that changed are through with theirs, and not a moment before; what
//! did not change is not touched.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{child, supervisor, trace, worker};
use crate::api::v1alpha1::{RevisionMark, RolloutOrder};
use crate::model::fault::testing::refusal;
use crate::model::lab::{Behaviour, Lab, name_collision};
use crate::model::tree::ROOT_NAME;
use crate::model::window::after;
use crate::model::world::Refusal;

/// Three workers, of which each asks for these settings, up, with a revision that was proved.
pub(super) fn three(settings: &str) -> Lab {
    let workers = ["db", "api", "web"].map(|name| worker(name, "", settings));
    let mut lab = Lab::new(&format!("children:\n{}", workers.concat()));
    lab.run(100);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(marks(&lab), [(1, RevisionMark::Good)]);
    lab.log.clear();
    lab
}

/// Numbers and marks of the revisions.
pub(super) fn marks(lab: &Lab) -> Vec<(i64, RevisionMark)> {
    let revisions = lab.world.tree.status.revisions.iter();
    revisions.map(|one| (one.number, one.mark)).collect()
}

/// Gives each of these workers that image, in one edit.
pub(super) fn edit(lab: &mut Lab, image: &str, workers: &[&str]) {
    for name in workers {
        lab.edit_template(name, image);
    }
}

/// The workers in the order in which the first new Pod of each was made.
fn order_of_creates(lab: &Lab) -> Vec<String> {
    let mut order: Vec<String> = Vec::new();
    for line in &lab.log {
        if let Some((child, _)) = line
            .strip_prefix("create ")
            .and_then(|one| one.split_once('/'))
            && !order.iter().any(|known| known == child)
        {
            order.push(child.to_owned());
        }
    }
    order
}

#[test]
fn templates_go_over_the_tree_in_start_order() {
    let mut lab = three("replicas: 2, update: {minReadySeconds: 5}");
    edit(&mut lab, "two", &["web", "api", "db"]);
    let mut seen = Vec::new();
    for _ in 0..120 {
        lab.run(1);
        let state = ["db", "api", "web"].map(|child| lab.images(child).contains(&"one"));
        let has_begun = ["db", "api", "web"].map(|child| lab.images(child).contains(&"two"));
        for (before, next) in [(0, 1), (1, 2)] {
            assert!(
                !has_begun[next] || !state[before],
                "{state:?} {has_begun:?}"
            );
        }
        seen.push(has_begun);
    }
    assert!(seen.contains(&[true, false, false]) && seen.contains(&[true, true, false]));
    assert_eq!(order_of_creates(&lab), ["db", "api", "web"]);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(lab.world.tree.status.revision, 2);
    lab.run(100);
    assert_eq!(
        marks(&lab),
        [(1, RevisionMark::Good), (2, RevisionMark::Good)]
    );
    assert_eq!(lab.world.tree.status.rollout, None);
    assert_eq!(lab.world.tree.status.restarts, 0);
}

#[test]
fn the_next_worker_waits_until_the_one_before_has_been_up_for_long_enough() {
    let mut lab = three("update: {minReadySeconds: 30}");
    edit(&mut lab, "two", &["db", "api"]);
    lab.run(30);
    assert_eq!(lab.images("api"), ["one"]);
    assert_eq!(lab.state(), "FTF Updating", "{}", lab.message());
    lab.run(10);
    assert!(
        lab.images("api").contains(&"two"),
        "{:?}",
        lab.images("api")
    );
}

#[test]
fn only_what_changed_is_touched_and_all_at_once_where_that_is_asked_for() {
    let mut lab = three("");
    edit(&mut lab, "two", &["db", "web"]);
    lab.run(60);
    assert_eq!(order_of_creates(&lab), ["db", "web"]);
    lab.log.clear();
    lab.edit(|spec| spec.rollout.order = RolloutOrder::Parallel);
    lab.behave("db@three", Behaviour::Hang);
    edit(&mut lab, "three", &["db", "web"]);
    lab.run(20);
    assert_eq!(lab.images("web"), ["three"], "it does not wait for db");
    assert_eq!(lab.images("db"), ["three", "two"]);
}

#[test]
fn what_dies_before_its_turn_is_started_again_as_it_was() {
    let mut lab = three("update: {minReadySeconds: 30}");
    edit(&mut lab, "two", &["db", "web"]);
    lab.run(10);
    lab.kill("web", 0, 1);
    lab.run(10);
    assert_eq!(lab.images("web"), ["one"]);
    lab.run(90);
    assert_eq!(lab.images("web"), ["two"]);
}

#[test]
fn a_newer_template_is_gone_to_from_where_the_tree_is() {
    let mut lab = three("update: {minReadySeconds: 10}");
    edit(&mut lab, "two", &["db", "api", "web"]);
    lab.run(20);
    assert_eq!(lab.images("db"), ["two"]);
    lab.log.clear();
    // Back again, before the last one had its turn: that one is not touched.
    edit(&mut lab, "one", &["db", "api", "web"]);
    lab.run(120);
    for child in ["db", "api", "web"] {
        assert_eq!(lab.images(child), ["one"]);
    }
    assert!(!order_of_creates(&lab).contains(&"web".to_owned()));
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    let all = marks(&lab);
    assert_eq!(
        all.last(),
        Some(&(3, RevisionMark::Good)),
        "what was good stays so: {all:?}"
    );
}

#[test]
fn a_worker_that_was_added_waits_for_those_before_it() {
    let mut lab = three("update: {minReadySeconds: 20}");
    edit(&mut lab, "two", &["db"]);
    lab.edit(|spec| {
        let mut added = spec.children[2].clone();
        added.name = "cache".into();
        spec.children.push(added);
    });
    lab.run(15);
    assert_eq!(lab.images("cache"), Vec::<&str>::new());
    lab.run(30);
    assert_eq!(lab.images("cache"), ["one"]);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

#[test]
fn what_is_stopped_has_its_turn_at_once_and_keeps_nobody_waiting() {
    let mut lab = three("");
    lab.edit(|spec| spec.children[0].enabled = false);
    lab.run(40);
    edit(&mut lab, "two", &["db", "api"]);
    lab.run(30);
    assert_eq!(lab.images("api"), ["two"]);
    lab.edit(|spec| spec.children[0].enabled = true);
    lab.run(10);
    assert_eq!(lab.images("db"), ["two"]);
}

#[test]
fn members_of_a_group_that_is_restarted_for_one_of_them_get_theirs_with_it() {
    let whole = "update: {maxSurge: 0, maxUnavailable: 0}";
    let mut lab = Lab::new(&format!(
        "children:\n{}{}{}",
        supervisor("g", "", "strategy: OneForAll"),
        worker("a", "g", whole),
        worker("b", "g", whole),
    ));
    lab.run(100);
    lab.log.clear();
    edit(&mut lab, "two", &["a", "b"]);
    lab.run(60);
    assert_eq!(trace(&lab, 0), "-b -a +a +b");
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

#[test]
fn a_paused_rollout_stays_where_it_is_and_heals_as_it_was() {
    let mut lab = three(
        "replicas: 3, quorum: 1, update: {maxSurge: 0, maxUnavailable: 1, minReadySeconds: 5}",
    );
    edit(&mut lab, "two", &["db", "api"]);
    while !lab.images("db").contains(&"two") {
        lab.run(1);
    }
    lab.edit(|spec| spec.rollout.paused = true);
    lab.run(60);
    let frozen: Vec<String> = lab.images("db").iter().map(ToString::to_string).collect();
    assert_eq!(frozen, ["one", "one", "two"]);
    assert_eq!(lab.state(), "FTF RolloutPaused", "{}", lab.message());
    for slot in lab.live("db") {
        lab.kill("db", slot, 1);
        lab.run(60);
        assert_eq!(lab.images("db"), frozen, "slot {slot}");
    }
    assert_eq!(lab.images("api"), ["one", "one", "one"]);
    let rollout = lab.world.tree.status.rollout.clone().unwrap();
    assert_eq!(rollout.deadline_time, None);
    assert_eq!(marks(&lab).last(), Some(&(2, RevisionMark::Unproven)));
    assert!(rollout.remaining_seconds > Some(500), "{rollout:?}");
    lab.edit(|spec| spec.rollout.paused = false);
    lab.run(120);
    assert_eq!(lab.images("api"), ["two", "two", "two"]);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    let slots = lab.world.workers["db"].status.slots.iter();
    assert!(slots.clone().all(|slot| slot.revision.is_empty()));
}

#[test]
fn no_more_revisions_are_kept_than_asked_for_and_those_that_are_needed_stay() {
    let mut lab = three("");
    lab.edit(|spec| spec.revision_history_limit = 2);
    for image in ["two", "three", "four", "five", "six"] {
        // None of them gets the time to prove itself.
        edit(&mut lab, image, &["web"]);
        lab.run(20);
    }
    let numbers: Vec<i64> = marks(&lab).iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [1, 4, 5, 6], "the good one stays");
    let mut stored: Vec<i64> = lab.world.revisions.iter().map(|one| one.number).collect();
    stored.sort_unstable();
    assert_eq!(stored, numbers);
}

#[test]
fn a_lost_status_knows_the_revisions_again() {
    let mut lab = three("");
    lab.tree_mut().status.revisions.clear();
    lab.run(70);
    assert_eq!(marks(&lab), [(1, RevisionMark::Good)]);
    assert_eq!(lab.log, Vec::<String>::new(), "nothing is restarted");
}

/// As of a version of Coppice that stored no revisions.
#[test]
fn a_tree_that_has_no_revisions_gets_its_first_one_and_nothing_is_restarted() {
    let mut lab = three("replicas: 3");
    lab.world.revisions.clear();
    let status = &mut lab.tree_mut().status;
    status.revisions.clear();
    (status.revision, status.rollout) = (0, None);
    lab.run(200);
    assert_eq!(marks(&lab), [(1, RevisionMark::Good)]);
    assert_eq!(lab.log, Vec::<String>::new());
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

#[test]
fn a_rollout_that_is_retried_begins_when_its_time_has_come() {
    let mut lab = three("");
    lab.edit(|spec| spec.rollout.on_failure = crate::api::v1alpha1::RolloutFailurePolicy::Pause);
    lab.behave("api@two", Behaviour::NoImage);
    edit(&mut lab, "two", &["api"]);
    lab.run(30);
    assert_eq!(lab.state(), "FFT RolloutFailed", "{}", lab.message());
    assert_eq!(lab.images("api"), ["one", "two"]);
    lab.behave("api@two", Behaviour::Healthy);
    let then = after(lab.now, 50);
    lab.edit(|spec| spec.rollout.retry_at = Some(Time(then)));
    lab.run(30);
    assert_eq!(lab.condition("Stalled").0, "True");
    lab.run(60);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(lab.images("api"), ["two"]);
}

#[test]
fn a_revision_is_not_good_before_the_last_worker_has_had_its_turn_and_proved_itself() {
    let mut lab = three("update: {minReadySeconds: 50}");
    lab.edit(|spec| spec.rollout.probation_seconds = 20);
    edit(&mut lab, "two", &["db", "web"]);
    let is_good = |lab: &Lab| marks(lab).last() == Some(&(2, RevisionMark::Good));
    while lab.images("web") != ["two"] {
        assert!(!is_good(&lab));
        lab.run(1);
    }
    lab.run(17);
    assert!(!is_good(&lab));
    lab.run(10);
    assert!(is_good(&lab));
}

#[test]
fn replicas_that_came_last_have_to_prove_themselves_too() {
    let mut lab =
        three("replicas: 3, update: {maxSurge: 0, maxUnavailable: 1, minReadySeconds: 30}");
    edit(&mut lab, "two", &["db"]);
    while lab.images("db") != ["two", "two", "two"] {
        lab.run(1);
    }
    lab.run(40);
    assert_eq!(marks(&lab).last(), Some(&(2, RevisionMark::Unproven)));
    lab.run(60);
    assert_eq!(marks(&lab).last(), Some(&(2, RevisionMark::Good)));
}

#[test]
fn what_comes_after_a_group_waits_until_all_of_the_group_are_through() {
    let whole = "update: {maxSurge: 0, maxUnavailable: 0}";
    let mut lab = Lab::new(&format!(
        "children:\n{}{}{}{}",
        supervisor("g", "", "strategy: OneForAll"),
        worker("a", "g", whole),
        worker("b", "g", whole),
        worker("w", "", ""),
    ));
    lab.run(100);
    lab.behave("b@two", Behaviour::Hang);
    edit(&mut lab, "two", &["a", "b", "w"]);
    lab.run(60);
    assert_eq!(lab.images("b"), ["two"]);
    assert_eq!(lab.images("w"), ["one"], "b is not through");
    lab.behave("b@two", Behaviour::Healthy);
    lab.run(30);
    assert_eq!(lab.images("w"), ["two"]);
}

#[test]
fn those_after_a_worker_that_was_added_wait_for_it() {
    let mut lab = three("");
    lab.behave("cache@one", Behaviour::Hang);
    lab.edit(|spec| {
        let mut added = spec.children[2].clone();
        added.name = "cache".into();
        spec.children.insert(1, added);
    });
    edit(&mut lab, "two", &["api"]);
    lab.run(40);
    assert_eq!(lab.images("cache"), ["one"]);
    assert_eq!(lab.images("api"), ["one"]);
    lab.behave("cache@one", Behaviour::Healthy);
    lab.run(30);
    assert_eq!(lab.images("api"), ["two"]);
}

#[test]
fn what_hangs_on_a_later_worker_does_not_keep_that_from_its_cure() {
    // The first start: api needs db, which is broken and comes after it.
    let workers = ["api", "db"].map(|name| worker(name, "", ""));
    let mut lab = Lab::new(&format!("children:\n{}", workers.concat()));
    lab.behave("api", Behaviour::Hang);
    lab.behave("db@one", Behaviour::NoImage);
    lab.run(60);
    edit(&mut lab, "two", &["api", "db"]);
    lab.run(30);
    assert_eq!(lab.images("db"), ["two"]);
}

/// Nor does its group, though it cannot be updated without that while it is up. Those of the group that run wait for their turn all
/// the same, unless what has its turn cannot be updated without them.
#[test]
fn what_has_nothing_to_lose_waits_for_no_group() {
    let (x, db, d) = (
        ["x", ""],
        ["db", "identity: Stable"],
        ["d", "identity: Stable"],
    );
    for (root, group, members, of_d) in [
        ("RestForOne", None, [x, db, d], "one"),
        ("RestForOne", None, [x, d, db], "one"),
        ("OneForOne", Some("RestForOne"), [x, d, db], "one"),
        ("OneForOne", Some("OneForAll"), [x, d, db], "one"),
        // It takes `x` with it.
        ("OneForAll", None, [x, db, d], "two"),
    ] {
        let nested = group.map(|strategy| supervisor("s", "", &format!("strategy: {strategy}")));
        let parent = if nested.is_some() { "s" } else { "" };
        let [first, second, third] = members
            .map(|[name, update]| worker(name, if name == "x" { "" } else { parent }, update));
        let mut lab = Lab::new(&format!(
            "strategy: {root}\nrollout: {{onFailure: None}}\nchildren:\n{first}{}{second}{third}",
            nested.unwrap_or_default()
        ));
        let story = format!("{root} {group:?} {members:?}");
        lab.run(100);
        // The image is gone, and so is the only replica.
        lab.behave("db@one", Behaviour::NoImage);
        lab.delete_by_hand("db", 0);
        lab.run(60);
        assert_eq!(lab.state(), "FFT Held", "{}", lab.message());
        // Nothing new of `x` comes up without `db`.
        lab.behave("x@two", Behaviour::Hang);
        edit(&mut lab, "two", &["x", "db", "d"]);
        lab.run(30);
        assert_eq!(lab.images("db"), ["two"], "{story}");
        assert_eq!(lab.images("d"), [of_d], "{story}");
        lab.behave("x@two", Behaviour::Healthy);
        lab.run(100);
        for child in ["x", "db", "d"] {
            assert_eq!(lab.images(child), ["two"], "{story}: {}", lab.message());
        }
    }
}

/// What runs to completion has nothing to stop, and so takes no group with it: what needs it waits until it has completed.
#[test]
fn what_completes_has_completed_before_the_next_one_has_its_turn() {
    for strategy in ["RestForOne", "OneForAll"] {
        for edited in [&["migrate", "api"][..], &["db", "migrate", "api"]] {
            let mut lab = Lab::new(&format!(
                "strategy: {strategy}\nchildren:\n{}{}{}",
                worker("db", "", "update: {minReadySeconds: 5}"),
                worker("migrate", "", "restart: Transient, ready: Completed"),
                worker("api", "", ""),
            ));
            lab.behave("migrate", Behaviour::Crash(10, 0));
            lab.run(120);
            assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
            lab.log.clear();
            edit(&mut lab, "two", edited);
            let mut has_begun = false;
            for _ in 0..60 {
                lab.run(1);
                let runs_new = |child: &str| lab.images(child).contains(&"two");
                if runs_new("migrate") {
                    let is_through = !edited.contains(&"db") || lab.images("db") == ["two"];
                    assert!(
                        is_through,
                        "{strategy}: the migration came before its database"
                    );
                    has_begun = true;
                }
                // It may have completed, and the next one have begun, within this second.
                let has_completed = has_begun && !runs_new("migrate");
                assert!(
                    !runs_new("api") || has_completed,
                    "{strategy}: api came before the migration had completed: {:#?}",
                    lab.log
                );
            }
            assert!(
                lab.images("api") == ["two"],
                "{strategy}: {}",
                lab.message()
            );
            assert_eq!(
                trace(&lab, 0).matches('-').count(),
                0,
                "no group is restarted"
            );
        }
    }
}

/// A child that comes back with another template than the good one does not run that one first.
#[test]
fn what_is_enabled_with_another_template_waits_for_its_turn_with_it() {
    let mut lab = three("");
    lab.edit(|spec| spec.children[2].enabled = false);
    lab.run(10);
    lab.behave("db@two", Behaviour::Hang);
    edit(&mut lab, "two", &["db", "web"]);
    lab.edit(|spec| spec.children[2].enabled = true);
    lab.run(30);
    assert_eq!(lab.live("web"), [0; 0], "{}", lab.message());
    lab.behave("db@two", Behaviour::Healthy);
    lab.run(60);
    assert_eq!(lab.images("web"), ["two"]);
    assert!(
        !lab.log
            .iter()
            .any(|line| line.contains("create web/0") && line.contains("one"))
    );
}

/// A refusal elsewhere does not bring its turn either.
#[test]
fn what_was_added_waits_for_its_turn_whatever_is_refused() {
    let mut lab = three("");
    lab.refuse_creates = Some(Refusal {
        child: "db".into(),
        slot: Some(1),
        ..refusal(
            403,
            "Forbidden",
            "pods \"a\" is forbidden: exceeded quota: pods, used: pods=3, limited: pods=3",
        )
    });
    edit(&mut lab, "two", &["db"]);
    lab.edit(|spec| {
        let mut added = spec.children[2].clone();
        added.name = "cache".into();
        spec.children.push(added);
    });
    lab.run(60);
    assert_eq!(lab.live("cache"), [0; 0], "{}", lab.message());
    lab.refuse_creates = None;
    lab.run(400);
    assert_eq!(lab.images("cache"), ["one"], "{}", lab.message());
}

#[test]
fn a_tree_that_is_deleted_stores_no_revision_again() {
    let mut lab = three("");
    lab.world.revisions.clear();
    lab.tree_mut().deleting = true;
    lab.run(100);
    assert_eq!(lab.world.revisions, []);
    assert_eq!(lab.pods().count(), 0);
    assert_eq!(lab.log.last().map(String::as_str), Some("finalizer off"));
}

/// As of one that was stored by somebody who wrote its texts otherwise: it cannot be changed.
#[test]
fn a_revision_that_cannot_be_numbered_keeps_nothing_waiting_and_is_told_once() {
    let mut lab = three("");
    edit(&mut lab, "two", &["db"]);
    lab.run(100);
    lab.log.clear();
    lab.refuse_creates = Some(Refusal {
        kind: "ControllerRevision",
        child: ROOT_NAME.into(),
        slot: None,
        ..refusal(422, "Invalid", "data: Invalid value")
    });
    edit(&mut lab, "one", &["db"]);
    lab.run(60);
    assert_eq!(lab.images("db"), ["one"]);
    let refused = lab.log.iter().filter(|one| one.starts_with("refused"));
    assert!((5..=8).contains(&refused.count()), "{:?}", lab.log);
    let told = lab
        .told
        .iter()
        .filter(|one| one.contains("RevisionNotStored"));
    let told: Vec<&String> = told.collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("its new number"), "{told:?}");
    lab.refuse_creates = None;
    lab.run(100);
    let stored = lab.world.revisions.iter().map(|one| one.number);
    assert_eq!(stored.max(), Some(3));
    assert!(lab.world.tree.status.refused.is_empty());
}

/// The name of a revision is a short hash: another one of the tree may have it, and so may an object of somebody else.
#[test]
fn a_revision_whose_name_is_held_by_another_is_not_taken_for_stored() {
    let holders: [fn(&mut Lab); 2] = [
        |lab| {
            let stored = lab.world.revisions.last_mut().unwrap();
            let revision = Arc::make_mut(stored);
            revision.templates.get_mut("db").unwrap().template.0["spec"]["hostNetwork"] =
                true.into();
        },
        |lab| {
            lab.world.revisions.pop();
            lab.refuse_creates = Some(name_collision(lab.now));
        },
    ];
    for hold in holders {
        let mut lab = three("");
        edit(&mut lab, "two", &["db"]);
        lab.run(100);
        assert_eq!(lab.world.revisions.len(), 2);
        hold(&mut lab);
        let held = lab.world.revisions.clone();
        lab.log.clear();
        lab.told.clear();
        lab.run(0);
        lab.decide_once();
        lab.run(60);
        let told = lab.told.iter();
        let told: Vec<&String> = told
            .filter(|one| one.contains("RevisionNotStored"))
            .collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].contains("no upgrade can be taken back to it"),
            "{told:?}"
        );
        let refused = lab.log.iter().filter(|one| one.starts_with("refused"));
        assert!((2..=8).contains(&refused.count()), "{:?}", lab.log);
        assert_eq!(lab.world.revisions, held);
        // It keeps nothing waiting, and ends with the next templates.
        edit(&mut lab, "three", &["db"]);
        lab.refuse_creates = None;
        lab.run(100);
        assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
        assert_eq!(lab.images("db"), ["three"]);
        assert!(lab.world.tree.status.refused.is_empty());
    }
}

/// A group that is given up, and a tree that is suspended, come back as they were: nothing gets another template meanwhile.
#[test]
fn what_is_stopped_while_a_rollout_is_paused_starts_again_as_it_was() {
    let slowly = "update: {minReadySeconds: 30}";
    let workers = ["db", "api", "web"].map(|name| worker(name, "", slowly));
    let root =
        "strategy: OneForAll\nonGiveUp: Retry\nintensity: {maxRestarts: 1, periodSeconds: 600}";
    let stops: [fn(&mut Lab); 2] = [
        |lab| {
            for _ in 0..2 {
                lab.kill("web", 0, 1);
                lab.run(15);
            }
            assert!(
                lab.events.contains(&"ChildGivenUp".to_owned()),
                "{:?}",
                lab.events
            );
        },
        |lab| {
            lab.edit(|spec| spec.suspend = true);
            lab.run(20);
            assert_eq!(lab.pods().count(), 0);
            lab.edit(|spec| spec.suspend = false);
        },
    ];
    for stop in stops {
        let mut lab = Lab::new(&format!("{root}\nchildren:\n{}", workers.concat()));
        lab.run(150);
        assert_eq!(marks(&lab), [(1, RevisionMark::Good)]);
        edit(&mut lab, "two", &["db", "api", "web"]);
        lab.run(10);
        lab.edit(|spec| spec.rollout.paused = true);
        lab.run(2);
        stop(&mut lab);
        lab.run(100);
        assert!(lab.images("db").contains(&"two"), "it had its turn");
        assert_eq!(
            (lab.images("api"), lab.images("web")),
            (vec!["one"], vec!["one"])
        );
        lab.edit(|spec| spec.rollout.paused = false);
        lab.run(200);
        for child in ["db", "api", "web"] {
            assert_eq!(lab.images(child), ["two"]);
        }
    }
}

/// A failed rollout that stays where it is gives its templates to nothing that is stopped.
#[test]
fn what_is_given_up_in_a_failed_rollout_starts_again_as_it_was() {
    let mut lab = Lab::new(&format!(
        "strategy: OneForAll\nonGiveUp: Retry\nintensity: {{maxRestarts: 3, periodSeconds: 600}}\nrollout: {{onFailure: Pause}}\nchildren:\n{}",
        ["db", "api"].map(|name| worker(name, "", "")).concat()
    ));
    lab.run(100);
    lab.behave("db@two", Behaviour::Crash(1, 1));
    edit(&mut lab, "two", &["db", "api"]);
    lab.run(600);
    assert!(
        lab.events.contains(&"ChildGivenUp".to_owned()),
        "{:?}",
        lab.events
    );
    assert!(
        !lab.log
            .iter()
            .any(|line| line.contains("create api") && line.contains("two"))
    );
    assert_eq!(
        lab.images("api")
            .iter()
            .filter(|image| **image == "two")
            .count(),
        0
    );
}

/// A Worker that is deleted, and a child that was disabled, are no additions: they are made again as they were proved good.
#[test]
fn what_was_there_before_heals_while_a_rollout_waits() {
    let mut lab = three("");
    lab.edit(|spec| {
        let web = spec.children.iter_mut().find(|one| one.name == "web");
        web.unwrap().enabled = false;
    });
    lab.run(10);
    lab.edit(|spec| spec.rollout.paused = true);
    edit(&mut lab, "two", &["db", "api"]);
    lab.run(10);
    lab.world.workers.remove("api");
    lab.edit(|spec| {
        let web = spec.children.iter_mut().find(|one| one.name == "web");
        web.unwrap().enabled = true;
        spec.children.push(child(&worker("new", "", "")));
    });
    lab.run(30);
    for child in ["db", "api", "web"] {
        assert_eq!(lab.images(child), ["one"], "{child}: {}", lab.message());
    }
    assert_eq!(lab.live("new"), [0; 0], "it waits for its turn");
    lab.edit(|spec| spec.rollout.paused = false);
    lab.run(100);
    for (child, image) in [
        ("db", "two"),
        ("api", "two"),
        ("web", "one"),
        ("new", "one"),
    ] {
        assert_eq!(lab.images(child), [image], "{child}: {}", lab.message());
    }
}

/// It has ended and not started, so that those after it wait, and the revision proves nothing.
#[test]
fn what_was_to_complete_and_failed_for_good_is_not_through() {
    let workers = ["db", "api"].map(|name| worker(name, "", ""));
    let mut lab = Lab::new(&format!("children:\n{}", workers.concat()));
    lab.run(100);
    lab.failing.insert("migrate".into(), vec![1]);
    lab.behave("migrate", Behaviour::Crash(3, 0));
    lab.edit(|spec| {
        let migrate = worker("migrate", "", "restart: Temporary, ready: Completed");
        spec.children.insert(1, child(&migrate));
    });
    edit(&mut lab, "two", &["api"]);
    lab.run(300);
    assert_eq!(lab.images("api"), ["one"], "{}", lab.message());
    assert_eq!(marks(&lab).last(), Some(&(2, RevisionMark::Unproven)));
    lab.run(400);
    assert_eq!(lab.state(), "FFT RolledBack", "{}", lab.message());
    assert_eq!(lab.images("api"), ["one"]);
}

/// A tree in the middle of a rollout of `api`, of which one replica of three is of the new template, with a `db` in its group.
fn group_in_the_middle(rollout: &str) -> Lab {
    let slowly =
        "replicas: 3, quorum: 2, update: {maxSurge: 0, maxUnavailable: 1, minReadySeconds: 20}";
    let mut lab = Lab::new(&format!(
        "rollout: {{{rollout}}}\nchildren:\n{}{}{}{}",
        worker("first", "", ""),
        supervisor("g", "", "strategy: OneForAll"),
        worker("api", "g", slowly),
        worker("db", "g", "")
    ));
    lab.run(120);
    assert_eq!(marks(&lab), [(1, RevisionMark::Good)]);
    edit(&mut lab, "two", &["api"]);
    lab.run(10);
    assert_eq!(lab.images("api"), ["one", "one", "two"]);
    lab
}

/// The Pods of the group are not those that the slots stand on any more when the rollout stands still.
#[test]
fn a_group_that_dies_as_its_rollout_is_paused_comes_up_as_it_was() {
    let mut lab = group_in_the_middle("");
    lab.edit(|spec| spec.rollout.paused = true);
    lab.kill("db", 0, 1);
    lab.run(60);
    assert_eq!(lab.images("api"), ["one", "one", "two"]);
    assert_eq!(lab.state(), "FTF RolloutPaused", "{}", lab.message());
    lab.edit(|spec| spec.rollout.paused = false);
    lab.run(120);
    assert_eq!(lab.images("api"), ["two"; 3]);
}

#[test]
fn a_group_that_dies_of_what_fails_its_rollout_comes_up_as_it_was() {
    let mut lab = group_in_the_middle("onFailure: Pause, maxFaults: 1");
    let old = lab.slots_with("api", "one");
    lab.behave("api@two", Behaviour::Hang);
    lab.evict("api", old[0]);
    lab.kill("api", lab.slots_with("api", "two")[0], 1);
    lab.run(60);
    assert_eq!(lab.images("api"), ["one", "one", "two"], "{:?}", lab.log);
    assert_eq!(lab.state(), "FFT RolloutFailed", "{}", lab.message());
}

/// What has been overtaken is not brought forward by a death either.
#[test]
fn a_group_that_dies_when_its_rollout_is_overtaken_comes_up_as_it_was() {
    let mut lab = group_in_the_middle("");
    lab.behave("first@three", Behaviour::Hang);
    edit(&mut lab, "three", &["first", "api"]);
    lab.kill("db", 0, 1);
    lab.run(60);
    assert_eq!(lab.images("api"), ["one", "one", "two"], "{:?}", lab.log);
}

/// The first look at its new Worker may have other things to note.
#[test]
fn what_has_lost_its_worker_heals_whatever_else_is_seen_with_it() {
    let quota = Refusal {
        child: "db".into(),
        slot: Some(1),
        ..refusal(
            403,
            "Forbidden",
            "pods \"a\" is forbidden: exceeded quota: pods, used: pods=3, limited: pods=3",
        )
    };
    for (paused, is_moved) in [(false, false), (true, false), (false, true)] {
        let mut lab = three("");
        lab.edit(|spec| spec.children.push(child(&supervisor("s", "", ""))));
        lab.run(10);
        lab.refuse_creates = Some(quota.clone());
        lab.behave("db@two", Behaviour::Hang);
        edit(&mut lab, "two", &["db", "api"]);
        lab.run(10);
        lab.edit(|spec| spec.rollout.paused = paused);
        lab.world.workers.remove("api");
        while !lab.world.workers.contains_key("api") {
            lab.decide_once();
        }
        if is_moved {
            lab.edit(|spec| {
                let web = spec.children.remove(2);
                spec.children.push(web);
                spec.children[3].parent = Some("s".into());
            });
        } else {
            lab.world.refusals = vec![quota.clone()];
        }
        lab.run(60);
        assert_eq!(
            lab.images("api"),
            ["one"],
            "{paused} {is_moved}: {}",
            lab.message()
        );
    }
}

/// The edit that moves another worker is not numbered yet when that is noted.
#[test]
fn what_has_lost_its_worker_waits_for_its_turn_though_another_one_is_moved_with_the_same_edit() {
    let mut lab = three("");
    lab.edit(|spec| spec.children.push(child(&supervisor("s", "", ""))));
    lab.run(100);
    lab.world.workers.remove("api");
    while !lab.world.workers.contains_key("api") {
        lab.decide_once();
    }
    lab.behave("db@two", Behaviour::Hang);
    lab.edit(|spec| {
        let web = spec.children.remove(2);
        spec.children.push(web);
        spec.children[3].parent = Some("s".into());
    });
    edit(&mut lab, "two", &["db", "api"]);
    lab.run(60);
    assert_eq!(lab.images("api"), ["one"], "{}", lab.message());
}

/// What to go on with was never proved, and what it waits for may never come.
#[test]
fn what_has_lost_its_worker_waits_for_nobody_without_a_good_revision() {
    let workers = ["db", "api"].map(|name| worker(name, "", ""));
    let mut lab = Lab::new(&format!("children:\n{}", workers.concat()));
    lab.run(20);
    lab.behave("db@two", Behaviour::Hang);
    edit(&mut lab, "two", &["db"]);
    lab.run(10);
    lab.world.workers.remove("api");
    lab.edit(|spec| spec.children.push(child(&worker("new", "", ""))));
    lab.run(30);
    assert_eq!(lab.images("api"), ["one"], "{}", lab.message());
    assert_eq!(lab.live("new"), [0; 0], "it waits for its turn");
}

/// Nor is there anything to wait for where the tree is as it is to be.
#[test]
fn what_has_lost_its_worker_comes_back_as_it_was_in_a_tree_that_is_paused() {
    let mut lab = three("");
    edit(&mut lab, "two", &["api"]);
    lab.run(200);
    assert_eq!(marks(&lab).last(), Some(&(2, RevisionMark::Good)));
    lab.edit(|spec| spec.rollout.paused = true);
    lab.world.workers.remove("api");
    lab.log.clear();
    lab.run(30);
    assert_eq!(lab.images("api"), ["two"], "{}", lab.message());
    assert_eq!(order_of_creates(&lab), ["api"]);
    assert!(
        !lab.log.iter().any(|line| line.contains("one")),
        "{:?}",
        lab.log
    );
}

/// As that of a worker does.
#[test]
fn a_restart_that_is_asked_for_waits_while_a_rollout_is_paused() {
    for name in ["", "s"] {
        let mut lab = Lab::new(&format!(
            "children:\n{}{}{}",
            supervisor("s", "", ""),
            worker("a", "s", ""),
            worker("b", "", "")
        ));
        lab.run(100);
        lab.edit(|spec| {
            spec.rollout.paused = true;
            spec.children.push(child(&worker("cache", "", "")));
        });
        edit(&mut lab, "two", &["b"]);
        lab.run(10);
        lab.log.clear();
        let now = Time(lab.now);
        lab.edit(|spec| {
            let of = spec.children.iter_mut().find(|one| one.name == name);
            match of {
                Some(of) => of.restart_at = Some(now),
                None => spec.restart_at = Some(now),
            }
        });
        lab.run(60);
        assert_eq!(lab.log, [""; 0], "{name:?}");
        lab.edit(|spec| spec.rollout.paused = false);
        lab.run(60);
        assert_eq!(
            lab.log
                .iter()
                .filter(|line| line.starts_with("create a/"))
                .count(),
            1,
            "{name:?}: {:?}",
            lab.log
        );
        for (child, image) in [("a", "one"), ("b", "two"), ("cache", "one")] {
            assert_eq!(lab.images(child), [image], "{name:?}: {child}");
        }
    }
}

/// A new incarnation of the root is no first start, and those that run need nothing that waits.
#[test]
fn what_was_added_waits_for_its_turn_though_the_tree_is_started_again() {
    for parent in ["", "s"] {
        let mut lab = Lab::new(&format!(
            "strategy: OneForAll\nintensity: {{maxRestarts: 0, periodSeconds: 60}}\nchildren:\n{}{}{}",
            supervisor("s", "", ""),
            worker("a", "s", ""),
            worker("b", "", "")
        ));
        lab.run(100);
        lab.edit(|spec| {
            spec.rollout.paused = true;
            spec.children.insert(2, child(&worker("cache", parent, "")));
        });
        lab.run(10);
        lab.kill("b", 0, 1);
        lab.run(100);
        assert!(
            lab.events.contains(&"ChildGivenUp".to_owned()),
            "{:?}",
            lab.events
        );
        let running = ["a", "b"].map(|child| lab.images(child).len());
        assert_eq!(running, [1, 1], "{parent:?}: {}", lab.message());
        assert_eq!(lab.live("cache"), [0; 0], "{parent:?}");
        lab.edit(|spec| spec.rollout.paused = false);
        lab.run(60);
        assert_eq!(
            lab.images("cache"),
            ["one"],
            "{parent:?}: {}",
            lab.message()
        );
    }
}
