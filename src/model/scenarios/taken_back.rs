//! Revisions that turn out to be bad, and what becomes of the tree then.
//!
//! Rule: a tree is taken back only to what was proved good, over all its workers, and stays there until somebody says otherwise.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::rollouts::{edit, marks, three};
use super::{supervisor, worker};
use crate::api::v1alpha1::{RevisionMark, RolloutFailurePolicy};
use crate::model::lab::{Behaviour, Lab};
use crate::model::pod::ContainerState;

const ALL: [&str; 3] = ["db", "api", "web"];

/// Whether all workers run that image.
fn all_run(lab: &Lab, image: &str) -> bool {
    ALL.iter().all(|child| lab.images(child) == [image])
}

/// A tree whose `db` gets an image that there is not, after what that policy does about it.
fn with_no_image(policy: RolloutFailurePolicy) -> Lab {
    let mut lab = three("");
    lab.edit(|spec| spec.rollout.on_failure = policy);
    lab.behave("db@two", Behaviour::NoImage);
    edit(&mut lab, "two", &["db"]);
    lab.run(100);
    lab
}

#[test]
fn a_worker_that_crashes_takes_the_whole_tree_back() {
    let mut lab = three("");
    lab.behave("api@two", Behaviour::Crash(1, 1));
    edit(&mut lab, "two", &ALL);
    lab.run(60);
    assert!(all_run(&lab, "one"), "{:?}", lab.log);
    assert_eq!(lab.state(), "FFT RolledBack", "{}", lab.message());
    assert_eq!(lab.condition("RolledBack"), ("True", "RolledBack"));
    assert_eq!(
        marks(&lab),
        [(1, RevisionMark::Good), (2, RevisionMark::Bad)]
    );
    assert_eq!(lab.world.tree.status.revision, 1);
    assert!(lab.events.contains(&"RolledBack".to_owned()));
    assert!(
        !lab.log.iter().any(|line| line.contains("web")),
        "it had not had its turn: {:?}",
        lab.log
    );
    // It stays there.
    lab.log.clear();
    lab.run(3000);
    assert!(all_run(&lab, "one"));
    assert_eq!(lab.log, Vec::<String>::new());
    assert_eq!(lab.state(), "FFT RolledBack", "{}", lab.message());
}

#[test]
fn components_that_were_finished_go_back_in_reverse_order() {
    let mut lab = three("update: {minReadySeconds: 3}");
    lab.behave("web@two", Behaviour::NoImage);
    edit(&mut lab, "two", &ALL);
    lab.run(90);
    assert!(all_run(&lab, "one"));
    let creates = lab
        .log
        .iter()
        .filter_map(|line| line.strip_prefix("create "));
    let creates: Vec<&str> = creates.collect();
    let children: Vec<&str> = creates
        .iter()
        .filter_map(|one| one.split('/').next())
        .collect();
    assert_eq!(children, ["db", "api", "web", "api", "db"]);
}

#[test]
fn one_fault_is_not_enough_unless_the_spec_says_so() {
    for (max_faults, state) in [(2, "TFF AllUp"), (1, "FFT RolledBack")] {
        let mut lab = three("");
        lab.edit(|spec| spec.rollout.max_faults = max_faults);
        edit(&mut lab, "two", &["db"]);
        while !lab.images("db").contains(&"two") {
            lab.run(1);
        }
        lab.run(4);
        let slot = lab.live("db")[0];
        lab.kill("db", slot, 1);
        lab.run(200);
        assert_eq!(lab.state(), state, "{}", lab.message());
    }
}

#[test]
fn a_missing_config_map_is_waited_for_a_while() {
    const CANARY: &str = "replicas: 4, update: {steps: [{updated: 1}, {pause: {}}]}";
    for (settings, comes_after, state) in [
        ("", 20, "TFF AllUp"),
        ("", 60, "FFT RolledBack"),
        (CANARY, 20, "TTF RolloutPaused"),
        (CANARY, 60, "FFT RolledBack"),
    ] {
        let mut lab = three(settings);
        lab.behave("db@two", Behaviour::Stuck);
        edit(&mut lab, "two", &["db"]);
        for second in 0..120 {
            lab.run(1);
            if second >= comes_after {
                lab.behave("db@two", Behaviour::Healthy);
                continue;
            }
            for slot in lab.slots_with("db", "two") {
                let pod = lab.pod_mut("db", slot);
                pod.containers[0].state = ContainerState::Waiting {
                    reason: "CreateContainerConfigError".into(),
                    message: "configmap \"settings\" not found".into(),
                };
            }
        }
        let told = format!("{settings}: {}", lab.message());
        assert_eq!(lab.state(), state, "{told}");
        let new = lab.slots_with("db", "two").len();
        let expected = match state {
            "TFF AllUp" | "TTF RolloutPaused" => 1,
            _ => 0,
        };
        assert_eq!(new, expected, "{told}");
    }
}

#[test]
fn what_makes_no_progress_fails_in_time() {
    let mut lab = three("startDeadlineSeconds: 3600");
    lab.edit(|spec| spec.rollout.progress_deadline_seconds = 120);
    lab.behave("api@two", Behaviour::Hang);
    edit(&mut lab, "two", &ALL);
    lab.run(110);
    assert_eq!(lab.condition("RolledBack").0, "False");
    lab.run(60);
    assert_eq!(lab.state(), "FFT RolledBack", "{}", lab.message());
    assert!(
        lab.message().contains("progressDeadlineSeconds"),
        "{}",
        lab.message()
    );
    assert!(all_run(&lab, "one"));
}

#[test]
fn replicas_that_are_taken_out_do_not_hide_the_progress_of_the_others() {
    let mut lab = three("replicas: 4");
    lab.edit(|spec| spec.rollout.progress_deadline_seconds = 100);
    lab.edit_replicas("db", 10);
    lab.edit_worker("api", |worker| worker.update.min_ready_seconds = 60);
    lab.run(60);
    edit(&mut lab, "two", &["db", "api"]);
    while lab.images("db") != ["two"; 10] {
        lab.run(1);
    }
    lab.edit_replicas("db", 2);
    lab.run(400);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(lab.images("api"), ["two"; 4]);
}

#[test]
fn replicas_that_come_and_go_do_not_keep_a_rollout_from_its_deadline() {
    let mut lab = three("replicas: 2, startDeadlineSeconds: 3600");
    lab.edit(|spec| spec.rollout.progress_deadline_seconds = 100);
    lab.behave("api@two", Behaviour::Hang);
    edit(&mut lab, "two", &["db", "api"]);
    for round in 0..8 {
        lab.run(50);
        lab.edit_replicas("db", if round % 2 == 0 { 5 } else { 2 });
    }
    assert_eq!(lab.condition("RolledBack").0, "True", "{}", lab.message());
}

#[test]
fn without_a_good_revision_nothing_is_taken_back() {
    let mut lab = Lab::new(&format!("children:\n{}", worker("db", "", "")));
    lab.behave("db@one", Behaviour::Crash(1, 1));
    lab.run(30);
    lab.behave("db@two", Behaviour::NoImage);
    lab.edit_template("db", "two");
    lab.run(100);
    assert_eq!(lab.condition("RolledBack").0, "False");
    assert_eq!(lab.images("db"), ["two"]);
    lab.edit_template("db", "three");
    lab.run(100);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

#[test]
fn what_the_former_pods_of_that_worker_suffer_from_too_takes_nothing_back() {
    let update =
        "replicas: 2, quorum: 1, update: {maxSurge: 0, maxUnavailable: 1, minReadySeconds: 20}";
    let mut lab = three(update);
    edit(&mut lab, "two", &["db"]);
    while !lab.images("db").contains(&"two") {
        lab.run(1);
    }
    // What all depend on has gone.
    lab.behave("db", Behaviour::Crash(1, 1));
    lab.run(6);
    for slot in lab.live("db") {
        lab.kill("db", slot, 1);
    }
    lab.run(60);
    assert_eq!(lab.condition("RolledBack").0, "False", "{}", lab.message());
    assert_eq!(lab.condition("Stalled").0, "True", "{}", lab.message());
    assert!(lab.events.contains(&"RolloutFailed".to_owned()));
    let rollout = lab.world.tree.status.rollout.as_ref();
    assert!(rollout.unwrap().failed.is_some());
}

#[test]
fn a_fault_of_that_kind_in_another_worker_does_not_keep_the_tree_from_going_back() {
    let mut lab = three("");
    lab.behave("web", Behaviour::Crash(1, 1));
    lab.behave("db@two", Behaviour::Crash(1, 1));
    edit(&mut lab, "two", &["db"]);
    lab.run(3);
    lab.kill("web", 0, 1);
    lab.run(60);
    assert_eq!(lab.condition("RolledBack").0, "True", "{}", lab.message());
    assert_eq!(lab.images("db"), ["one"]);
}

#[test]
fn one_fault_is_enough_where_a_supervisor_gives_up_because_of_it() {
    for give_up in ["Retry", "Escalate", "Stop"] {
        let settings =
            format!("intensity: {{maxRestarts: 0, periodSeconds: 60}}, onGiveUp: {give_up}");
        let mut lab = Lab::new(&format!(
            "children:\n{}{}{}",
            worker("db", "", ""),
            supervisor("s", "", &settings),
            worker("api", "s", ""),
        ));
        lab.run(100);
        lab.behave("api@two", Behaviour::Crash(4, 1));
        edit(&mut lab, "two", &["api"]);
        lab.run(60);
        assert_eq!(
            lab.state(),
            "FFT RolledBack",
            "{give_up}: {}",
            lab.message()
        );
        assert_eq!(lab.images("api"), ["one"], "{give_up}");
    }
}

#[test]
fn a_chain_goes_back_in_one_restart() {
    let whole = "update: {maxSurge: 0, maxUnavailable: 0}";
    let workers = ["a", "b", "c"].map(|name| worker(name, "", whole));
    let last = worker("d", "", "");
    let mut lab = Lab::new(&format!(
        "strategy: RestForOne\nchildren:\n{}{last}",
        workers.concat()
    ));
    lab.run(100);
    lab.log.clear();
    lab.behave("d@two", Behaviour::NoImage);
    edit(&mut lab, "two", &["a", "b", "c", "d"]);
    lab.run(60);
    let stops = lab.log.iter().filter(|line| line.starts_with("delete c/"));
    assert_eq!(stops.count(), 2, "once there and once back: {:?}", lab.log);
    for child in ["a", "b", "c", "d"] {
        assert_eq!(lab.images(child), ["one"]);
    }
}

#[test]
fn what_ran_to_completion_stays_finished_when_its_group_goes_back() {
    let whole = "update: {maxSurge: 0, maxUnavailable: 0}";
    let mut lab = Lab::new(&format!(
        "strategy: RestForOne\nchildren:\n{}{}{}",
        worker("db", "", whole),
        worker("migrate", "", "restart: Transient, ready: Completed"),
        worker("api", "", ""),
    ));
    lab.behave("migrate", Behaviour::Crash(3, 0));
    lab.run(120);
    lab.log.clear();
    lab.behave("api@two", Behaviour::NoImage);
    edit(&mut lab, "two", &["db", "migrate", "api"]);
    lab.run(120);
    assert_eq!(lab.state(), "FFT RolledBack", "{}", lab.message());
    let runs = lab
        .log
        .iter()
        .filter(|line| line.starts_with("create migrate"));
    assert_eq!(runs.count(), 1, "{:?}", lab.log);
}

#[test]
fn what_was_held_is_made_from_what_is_asked_for_next_in_its_turn() {
    let mut lab = three("");
    lab.behave("cache@two", Behaviour::NoImage);
    lab.edit(|spec| {
        let mut added = spec.children[2].clone();
        added.name = "cache".into();
        spec.children.push(added);
    });
    edit(&mut lab, "two", &["cache"]);
    lab.run(60);
    assert_eq!(lab.state(), "FFT RolledBack", "{}", lab.message());
    lab.log.clear();
    edit(&mut lab, "three", &["cache"]);
    edit(&mut lab, "two", &["db"]);
    lab.behave("db@two", Behaviour::Hang);
    lab.run(30);
    let none: Vec<&str> = Vec::new();
    assert_eq!(lab.images("cache"), none, "{:?}", lab.log);
    lab.behave("db@two", Behaviour::Healthy);
    lab.run(60);
    assert_eq!(lab.images("cache"), ["three"]);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

#[test]
fn without_the_good_revision_a_bad_one_does_not_go_on() {
    let mut lab = three("");
    lab.behave("db@two", Behaviour::NoImage);
    edit(&mut lab, "two", &ALL);
    lab.run(60);
    lab.world.revisions.retain(|one| one.number != 1);
    lab.log.clear();
    lab.run(10);
    lab.kill("web", 0, 1);
    lab.run(60);
    for child in ["db", "api"] {
        assert_eq!(lab.images(child), ["one"]);
    }
}

#[test]
fn a_failed_rollout_does_what_the_spec_says() {
    for (policy, state) in [
        (RolloutFailurePolicy::Pause, "RolloutFailed"),
        (RolloutFailurePolicy::None, "Held"),
    ] {
        let lab = with_no_image(policy);
        assert_eq!(lab.images("db"), ["one", "two"]);
        assert_eq!(lab.condition("Ready").1, state, "{}", lab.message());
    }
}

#[test]
fn what_stays_because_the_spec_says_so_goes_back_when_it_says_that() {
    let mut lab = with_no_image(RolloutFailurePolicy::Pause);
    assert_eq!(lab.state(), "FFT RolloutFailed", "{}", lab.message());
    assert!(
        lab.message().contains("onFailure: RollBack"),
        "{}",
        lab.message()
    );
    lab.edit(|spec| spec.rollout.on_failure = RolloutFailurePolicy::RollBack);
    lab.run(60);
    assert_eq!(lab.state(), "FFT RolledBack", "{}", lab.message());
    assert_eq!(lab.images("db"), ["one"]);
    assert!(lab.message().contains("image"), "{}", lab.message());
}

#[test]
fn what_is_still_held_when_it_is_tried_again_is_given_the_time_of_a_try() {
    for (heals, state) in [(true, "TFF AllUp"), (false, "FFT RolloutFailed")] {
        let mut lab = with_no_image(RolloutFailurePolicy::Pause);
        assert_eq!(lab.state(), "FFT RolloutFailed", "{}", lab.message());
        let now = lab.now;
        lab.edit(|spec| spec.rollout.retry_at = Some(Time(now)));
        // The kubelet does not pull more often.
        lab.run(299);
        assert_eq!(
            lab.condition("Ready"),
            ("False", "Held"),
            "{}",
            lab.message()
        );
        if heals {
            lab.behave("db@two", Behaviour::Healthy);
        }
        lab.run(60);
        assert_eq!(lab.state(), state, "{}", lab.message());
    }
}

#[test]
fn what_is_given_up_while_a_rollout_is_paused_counts_when_it_goes_on() {
    let settings = "intensity: {maxRestarts: 0, periodSeconds: 60}, onGiveUp: Retry";
    let mut lab = Lab::new(&format!(
        "children:\n{}{}{}",
        worker("db", "", ""),
        supervisor("s", "", settings),
        worker("api", "s", ""),
    ));
    lab.run(100);
    edit(&mut lab, "two", &["api"]);
    while lab.images("api") != ["two"] {
        lab.run(1);
    }
    lab.run(5);
    lab.edit(|spec| spec.rollout.paused = true);
    lab.run(1);
    lab.kill("api", lab.live("api")[0], 1);
    lab.run(100);
    assert_eq!(lab.condition("RolledBack").0, "False", "{}", lab.message());
    lab.edit(|spec| spec.rollout.paused = false);
    lab.run(60);
    assert_eq!(lab.state(), "FFT RolledBack", "{}", lab.message());
    assert_eq!(lab.images("api"), ["one"]);
}

#[test]
fn another_template_leaves_the_bad_one_behind() {
    let mut lab = three("");
    lab.behave("db@two", Behaviour::NoImage);
    edit(&mut lab, "two", &ALL);
    lab.run(60);
    assert_eq!(lab.state(), "FFT RolledBack", "{}", lab.message());
    edit(&mut lab, "three", &ALL);
    lab.run(100);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(lab.condition("RolledBack"), ("False", "NotRolledBack"));
    assert!(all_run(&lab, "three"));
}

#[test]
fn the_good_template_that_is_asked_for_again_restarts_nothing() {
    let mut lab = three("");
    lab.behave("db@two", Behaviour::NoImage);
    edit(&mut lab, "two", &ALL);
    lab.run(60);
    lab.log.clear();
    edit(&mut lab, "one", &ALL);
    lab.run(100);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(lab.log, Vec::<String>::new());
    assert_eq!(lab.world.tree.status.revision, 3);
}

/// A tree that has gone from `one` to `two`, both proved good, and is asked for `one` again, whose Pods behave so.
fn undone(behaviour: Behaviour) -> Lab {
    let mut lab = three("");
    edit(&mut lab, "two", &ALL);
    lab.run(200);
    assert_eq!(
        marks(&lab),
        [(1, RevisionMark::Good), (2, RevisionMark::Good)]
    );
    lab.log.clear();
    lab.behave("api@one", behaviour);
    edit(&mut lab, "one", &ALL);
    lab.run(30);
    assert_eq!(marks(&lab)[0], (2, RevisionMark::Good));
    lab
}

#[test]
fn an_older_revision_that_was_good_proves_itself_again() {
    let mut lab = undone(Behaviour::Healthy);
    assert_eq!(marks(&lab)[1], (3, RevisionMark::Unproven));
    assert!(lab.world.tree.status.rollout.is_some());
    lab.run(100);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert!(all_run(&lab, "one"));
    assert_eq!(
        marks(&lab),
        [(2, RevisionMark::Good), (3, RevisionMark::Good)]
    );
}

#[test]
fn an_older_revision_that_is_bad_by_now_is_left_for_the_one_before_it_once() {
    let mut lab = undone(Behaviour::NoImage);
    lab.run(60);
    assert_eq!(lab.state(), "FFT RolledBack", "{}", lab.message());
    assert!(all_run(&lab, "two"));
    assert_eq!(
        marks(&lab),
        [(2, RevisionMark::Good), (3, RevisionMark::Bad)]
    );
    lab.log.clear();
    lab.run(3000);
    assert_eq!(lab.log, [""; 0]);
    // What it went back to is the last good one, and has nothing to prove.
    edit(&mut lab, "two", &ALL);
    lab.run(60);
    assert_eq!(lab.log, [""; 0]);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(
        marks(&lab),
        [(3, RevisionMark::Bad), (4, RevisionMark::Good)]
    );
}

#[test]
fn a_bad_revision_is_tried_again_when_that_is_asked_for() {
    let mut lab = three("");
    lab.behave("db@two", Behaviour::NoImage);
    edit(&mut lab, "two", &ALL);
    lab.run(60);
    // Still bad: back again, and only once.
    let now = lab.now;
    lab.edit(|spec| spec.rollout.retry_at = Some(Time(now)));
    lab.run(60);
    assert_eq!(lab.state(), "FFT RolledBack", "{}", lab.message());
    let backs = lab.events.iter().filter(|one| *one == "RolledBack").count();
    assert_eq!(backs, 2);
    lab.behave("db@two", Behaviour::Healthy);
    let now = lab.now;
    lab.edit(|spec| spec.rollout.retry_at = Some(Time(now)));
    lab.run(100);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert!(all_run(&lab, "two"));
}

#[test]
fn what_only_the_new_spec_has_is_stopped_and_held() {
    let mut lab = three("");
    lab.behave("cache@two", Behaviour::Crash(1, 1));
    lab.edit(|spec| {
        let mut added = spec.children[2].clone();
        added.name = "cache".into();
        spec.children.push(added);
    });
    edit(&mut lab, "two", &["cache"]);
    lab.run(90);
    assert_eq!(lab.state(), "FFT RolledBack", "{}", lab.message());
    assert_eq!(lab.images("cache"), Vec::<&str>::new());
    assert!(all_run(&lab, "one"));
    lab.edit_template("cache", "three");
    lab.run(60);
    assert_eq!(lab.images("cache"), ["three"]);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

#[test]
fn what_the_new_spec_dropped_stays_dropped_when_the_tree_goes_back() {
    for order in [["web", "api"], ["api", "web"]] {
        let workers = order.map(|name| worker(name, "", ""));
        let mut lab = Lab::new(&format!("children:\n{}", workers.concat()));
        lab.run(100);
        assert_eq!(marks(&lab), [(1, RevisionMark::Good)], "{}", lab.message());
        lab.behave("api@two", Behaviour::NoImage);
        lab.edit(|spec| spec.children.retain(|child| child.name != "web"));
        edit(&mut lab, "two", &["api"]);
        lab.run(60);
        lab.log.clear();
        lab.run(3000);
        assert_eq!(lab.state(), "FFT RolledBack", "{}", lab.message());
        assert_eq!(lab.images("api"), ["one"]);
        assert_eq!(lab.live("web"), [0; 0], "{order:?}");
        assert!(!lab.world.workers.contains_key("web"), "{order:?}");
        assert_eq!(lab.log, [""; 0], "{order:?}");
    }
}

#[test]
fn what_ran_to_completion_is_not_run_again_on_the_way_back() {
    let job = "restart: Transient, ready: Completed";
    let mut lab = Lab::new(&format!(
        "children:\n{}{}",
        worker("migrate", "", job),
        worker("api", "", ""),
    ));
    lab.behave("migrate", Behaviour::Crash(3, 0));
    lab.run(120);
    assert_eq!(marks(&lab), [(1, RevisionMark::Good)], "{}", lab.message());
    lab.behave("api@two", Behaviour::NoImage);
    edit(&mut lab, "two", &["migrate", "api"]);
    lab.log.clear();
    lab.run(120);
    let runs = lab
        .log
        .iter()
        .filter(|line| line.starts_with("create migrate"));
    assert_eq!(runs.count(), 1, "that of the new revision: {:?}", lab.log);
    assert_eq!(lab.images("api"), ["one"]);
    assert_eq!(lab.state(), "FFT RolledBack", "{}", lab.message());
}

#[test]
fn an_old_pod_that_fails_takes_nothing_back() {
    let mut lab = three("update: {minReadySeconds: 40}");
    edit(&mut lab, "two", &["db"]);
    lab.run(5);
    lab.behave("web", Behaviour::Crash(1, 1));
    lab.kill("web", 0, 1);
    lab.run(60);
    assert_eq!(lab.condition("RolledBack").0, "False", "{}", lab.message());
    assert_eq!(lab.images("db"), ["two"]);
}

#[test]
fn a_suspended_tree_begins_its_rollout_anew() {
    let mut lab = three("startDeadlineSeconds: 3600");
    lab.edit(|spec| spec.rollout.progress_deadline_seconds = 100);
    lab.behave("api@two", Behaviour::Hang);
    edit(&mut lab, "two", &ALL);
    lab.run(60);
    lab.edit(|spec| spec.suspend = true);
    lab.run(600);
    lab.behave("api@two", Behaviour::Healthy);
    lab.edit(|spec| spec.suspend = false);
    lab.run(100);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert!(all_run(&lab, "two"));
}

/// Neither where the group was given up, and all of it is stopped when the tree goes back.
#[test]
fn what_ran_to_completion_stays_finished_when_its_group_was_given_up() {
    let settings = "strategy: OneForAll, intensity: {maxRestarts: 0, periodSeconds: 60}";
    let members = |parent: &str| {
        let migrate = worker("migrate", parent, "restart: Transient, ready: Completed");
        migrate + &worker("api", parent, "identity: Stable")
    };
    for tree in [
        format!(
            "{}\nchildren:\n{}",
            settings.replace(", i", "\ni"),
            members("")
        ),
        format!(
            "children:\n{}{}",
            supervisor("s", "", &format!("{settings}, onGiveUp: Escalate")),
            members("s")
        ),
        format!(
            "children:\n{}{}",
            supervisor("s", "", &format!("{settings}, onGiveUp: Retry")),
            members("s")
        ),
    ] {
        let mut lab = Lab::new(&tree);
        lab.behave("migrate", Behaviour::Crash(3, 0));
        lab.run(120);
        assert_eq!(marks(&lab), [(1, RevisionMark::Good)], "{}", lab.message());
        lab.log.clear();
        lab.behave("api@two", Behaviour::Crash(1, 1));
        edit(&mut lab, "two", &["migrate", "api"]);
        lab.run(200);
        assert_eq!(lab.state(), "FFT RolledBack", "{}", lab.message());
        assert_eq!(lab.images("api"), ["one"], "{tree}");
        let runs = lab.log.iter();
        let runs = runs.filter(|line| line.starts_with("create migrate"));
        assert_eq!(runs.count(), 1, "{tree}: {:?}", lab.log);
    }
}
