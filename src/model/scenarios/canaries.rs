//! Canaries: a changed template goes over the replicas of a worker step by step.
//!
//! Rule: until the last step is over, as many replicas as the step says run the new template, and every other slot is filled
//! with the good one, whatever befalls it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::rollouts::{edit, marks, three};
use super::{supervisor, worker};
use crate::api::v1alpha1::{NumberOrPercent, Promotion, RevisionMark, RolloutOrder, RolloutStep};
use crate::model::lab::{Behaviour, Lab};

const BY_HAND: &str = "replicas: 4, update: {steps: [{updated: 25%}, {pause: {}}, {updated: 50%}]}";

/// A tree whose workers have these settings, of which `db` has begun to get another template and come to a pause.
fn at_pause(settings: &str) -> Lab {
    let mut lab = three(settings);
    edit(&mut lab, "two", &["db"]);
    lab.run(30);
    assert_paused(&lab);
    lab.log.clear();
    lab
}

/// Asserts that a canary waits at a pause.
fn assert_paused(lab: &Lab) {
    let condition = lab.condition("Reconciling");
    assert_eq!(condition, ("True", "RolloutPaused"), "{}", lab.message());
}

fn settings(steps: &str) -> String {
    format!("replicas: 4, update: {{steps: [{steps}]}}")
}

/// How many replicas of `db` run each of these images.
fn count(lab: &Lab, images: [&str; 2]) -> [usize; 2] {
    let all = lab.images("db");
    images.map(|image| all.iter().filter(|one| **one == image).count())
}

fn promote(lab: &mut Lab, revision: i64, step: i32) {
    lab.edit(|spec| spec.rollout.promote = Some(Promotion { revision, step }));
    lab.run(60);
}

fn step(lab: &Lab) -> Option<&RolloutStep> {
    lab.world.tree.status.rollout.as_ref()?.step.as_ref()
}

#[test]
fn a_canary_waits_until_it_is_promoted() {
    let mut lab = at_pause(&settings("{updated: 1}, {pause: {}}"));
    assert_eq!(count(&lab, ["one", "two"]), [3, 1]);
    let known = step(&lab).expect("a step");
    assert_eq!((known.number, known.of, known.child.as_str()), (2, 2, "db"));
    let rollout = lab.world.tree.status.rollout.clone().expect("a rollout");
    assert_eq!(
        (rollout.deadline_time, rollout.updated, rollout.available),
        (None, 1, 1)
    );
    lab.run(5000);
    assert_eq!(count(&lab, ["one", "two"]), [3, 1]);
    assert_eq!(lab.log, Vec::<String>::new());
    // Another revision and an earlier step are none of its business.
    for (revision, step, why) in [
        (3, 2, "the newest is 2"),
        (1, 2, "revision 2 waits at step 2"),
        (2, 3, "revision 2 has 2"),
    ] {
        promote(&mut lab, revision, step);
        assert_eq!(count(&lab, ["one", "two"]), [3, 1]);
        let warning = &lab.world.tree.status.warnings[0];
        assert_eq!(warning.reason, "PromotesNothing");
        assert!(warning.message.contains(why), "{}", warning.message);
    }
    promote(&mut lab, 2, 1);
    assert_eq!(count(&lab, ["one", "two"]), [3, 1]);
    promote(&mut lab, 2, 2);
    assert_eq!(lab.world.tree.status.warnings, []);
    assert_eq!(count(&lab, ["one", "two"]), [0, 4]);
    lab.run(100);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(
        marks(&lab),
        [(1, RevisionMark::Good), (2, RevisionMark::Good)]
    );
    assert_eq!(lab.world.tree.status.restarts, 0);
    let steps = lab.events.iter().filter(|event| *event == "RolloutStep");
    assert_eq!(steps.count(), 1);
}

#[test]
fn a_pause_that_has_an_end_goes_on_by_itself() {
    let mut lab = three(&settings(
        "{updated: 25%}, {pauseSeconds: 100}, {updated: 50%}",
    ));
    edit(&mut lab, "two", &["db"]);
    lab.run(60);
    assert_eq!(count(&lab, ["one", "two"]), [3, 1]);
    assert_eq!(lab.condition("Ready"), ("True", "RolloutPaused"));
    let mut seen = Vec::new();
    for _ in 0..100 {
        lab.run(1);
        seen.push(count(&lab, ["one", "two"])[1]);
        let [one, two] = count(&lab, ["one", "two"]);
        assert!((4..=5).contains(&(one + two)), "{one} {two}");
    }
    assert!(seen.is_sorted());
    assert_eq!(lab.images("db"), ["two"; 4]);
}

#[test]
fn a_pause_may_come_before_anything_is_updated() {
    let mut lab = at_pause(&settings("{pause: {}}"));
    assert_eq!(count(&lab, ["one", "two"]), [4, 0]);
    promote(&mut lab, 2, 1);
    assert_eq!(count(&lab, ["one", "two"]), [0, 4]);
}

#[test]
fn one_fault_of_a_canary_takes_the_tree_back() {
    let mut lab = at_pause(BY_HAND);
    let canary = lab.slots_with("db", "two")[0];
    lab.kill("db", canary, 1);
    lab.run(60);
    assert_eq!(lab.images("db"), ["one"; 4]);
    assert_eq!(lab.state(), "FFT RolledBack", "{}", lab.message());
    assert!(
        lab.message().contains("a Pod of a canary has failed"),
        "{}",
        lab.message()
    );
    let creates = lab.log.iter().filter(|line| line.starts_with("create"));
    assert_eq!(
        creates.count(),
        1,
        "the kubelet makes its restart: {:?}",
        lab.log
    );
}

#[test]
fn what_a_former_pod_died_of_hours_before_does_not_keep_the_tree_from_going_back() {
    let stories = [(18_000, "FFT RolledBack"), (20, "FFT RolloutFailed")];
    for (seconds, state) in stories {
        let mut lab = at_pause(BY_HAND);
        let former = lab.slots_with("db", "one")[0];
        lab.kill("db", former, 1);
        lab.run(seconds);
        let canary = lab.slots_with("db", "two")[0];
        lab.kill("db", canary, 1);
        lab.run(60);
        assert_eq!(lab.state(), state, "{}", lab.message());
    }
    // What has been down with it for long is another matter.
    let mut lab = at_pause(BY_HAND);
    let former = lab.slots_with("db", "one")[0];
    lab.behave("db", Behaviour::Hang);
    lab.kill("db", former, 1);
    lab.run(300);
    lab.kill("db", lab.slots_with("db", "two")[0], 1);
    lab.run(60);
    assert_eq!(lab.condition("RolledBack").0, "False", "{}", lab.message());
}

#[test]
fn a_canary_that_cannot_start_takes_the_tree_back() {
    let mut lab = three(BY_HAND);
    lab.behave("db@two", Behaviour::NoImage);
    edit(&mut lab, "two", &["db"]);
    lab.run(60);
    assert_eq!(lab.images("db"), ["one"; 4]);
    assert_eq!(lab.state(), "FFT RolledBack", "{}", lab.message());
    assert!(
        !lab.log.iter().any(|line| line.starts_with("delete db/0")),
        "{:?}",
        lab.log
    );
}

#[test]
fn a_canary_that_is_disabled_keeps_nobody_waiting() {
    let mut lab = three(BY_HAND);
    edit(&mut lab, "two", &["db", "web"]);
    lab.run(30);
    assert_paused(&lab);
    lab.edit(|spec| {
        let db = spec.children.iter_mut().find(|one| one.name == "db");
        db.unwrap().enabled = false;
    });
    lab.run(30);
    assert_paused(&lab);
    assert!(lab.message().contains("web"), "{}", lab.message());
    lab.edit(|spec| {
        let web = spec.children.iter_mut().find(|one| one.name == "web");
        web.unwrap().worker.as_mut().unwrap().update.steps.clear();
    });
    lab.run(200);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(lab.images("web"), ["two"; 4]);
}

#[test]
fn each_slot_heals_with_its_own_template() {
    let mut lab = at_pause(BY_HAND);
    let (former, canary) = (
        lab.slots_with("db", "one")[0],
        lab.slots_with("db", "two")[0],
    );
    lab.kill("db", former, 1);
    lab.run(30);
    lab.delete_by_hand("db", canary);
    lab.run(30);
    lab.delete_by_hand("db", lab.slots_with("db", "one")[1]);
    lab.run(30);
    assert_eq!(lab.slots_with("db", "two"), [canary]);
    assert_eq!(count(&lab, ["one", "two"]), [3, 1]);
    assert_paused(&lab);
}

#[test]
fn a_good_pod_beside_a_canary_that_is_deleted_is_replaced_with_a_brake() {
    let mut lab = at_pause(BY_HAND);
    let former = lab.slots_with("db", "one")[0];
    lab.delete_by_hand("db", former);
    lab.run(30);
    let slots = &lab.world.workers["db"].status.slots;
    let slot = slots.iter().find(|slot| slot.slot == former).unwrap();
    assert_eq!(slot.brake.as_ref().map(|brake| brake.count), Some(1));
    assert_eq!(count(&lab, ["one", "two"]), [3, 1]);
}

#[test]
fn a_group_that_is_restarted_keeps_the_template_of_each_slot() {
    let leaves = ["db", "api"].map(|name| worker(name, "g", BY_HAND));
    let group = supervisor("g", "", "strategy: OneForAll");
    let mut lab = Lab::new(&format!("children:\n{group}{}", leaves.concat()));
    lab.run(100);
    edit(&mut lab, "two", &["db"]);
    lab.run(30);
    assert_eq!(count(&lab, ["one", "two"]), [3, 1]);
    for slot in lab.live("api") {
        lab.kill("api", slot, 1);
    }
    lab.run(60);
    assert_eq!(count(&lab, ["one", "two"]), [3, 1]);
    assert_paused(&lab);
    promote(&mut lab, 2, 2);
    assert_eq!(lab.images("db"), ["two"; 4]);
}

#[test]
fn replicas_that_are_added_get_the_good_template_beyond_what_the_step_says() {
    let mut lab = at_pause(&settings("{updated: 25%}, {pause: {}}"));
    lab.edit_replicas("db", 9);
    lab.run(60);
    assert_eq!(count(&lab, ["one", "two"]), [6, 3]);
    lab.edit_replicas("db", 2);
    lab.run(60);
    assert_eq!(
        count(&lab, ["one", "two"]),
        [1, 1],
        "the surplus of canaries goes first"
    );
    promote(&mut lab, 2, 2);
    assert_eq!(lab.images("db"), ["two"; 2]);
}

#[test]
fn steps_are_counted_over_all_workers_that_change() {
    let mut lab = three(&settings("{updated: 1}, {pause: {}}"));
    edit(&mut lab, "two", &["db", "web"]);
    lab.run(30);
    promote(&mut lab, 2, 2);
    let known = step(&lab).expect("a step");
    assert_eq!(
        (known.number, known.of, known.child.as_str()),
        (4, 4, "web")
    );
    assert_eq!(lab.images("web"), ["one", "one", "one", "two"]);
    promote(&mut lab, 2, 3);
    assert_eq!(lab.images("web"), ["one", "one", "one", "two"]);
    promote(&mut lab, 2, 4);
    assert_eq!(lab.images("web"), ["two"; 4]);
}

#[test]
fn a_newer_template_begins_a_canary_of_its_own() {
    let mut lab = at_pause(BY_HAND);
    edit(&mut lab, "three", &["db"]);
    lab.run(60);
    assert_eq!(lab.images("db"), ["one", "one", "one", "three"]);
    assert_eq!(step(&lab).map(|step| step.number), Some(2));
    // What was promoted was another revision.
    promote(&mut lab, 2, 3);
    assert_eq!(count(&lab, ["one", "three"]), [3, 1]);
}

#[test]
fn to_go_back_to_the_good_template_takes_no_steps() {
    let mut lab = at_pause(BY_HAND);
    edit(&mut lab, "one", &["db"]);
    lab.run(60);
    assert_eq!(lab.images("db"), ["one"; 4]);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    let deletes = lab.log.iter().filter(|line| line.starts_with("delete"));
    assert_eq!(deletes.count(), 1, "{:?}", lab.log);
}

#[test]
fn a_canary_that_is_paused_by_the_spec_goes_on_from_where_it_was() {
    let mut lab = at_pause(BY_HAND);
    lab.edit(|spec| spec.rollout.paused = true);
    promote(&mut lab, 2, 3);
    let former = lab.slots_with("db", "one")[0];
    lab.kill("db", former, 1);
    lab.run(30);
    assert_eq!(count(&lab, ["one", "two"]), [3, 1]);
    lab.edit(|spec| spec.rollout.paused = false);
    lab.run(60);
    assert_eq!(lab.images("db"), ["two"; 4]);
}

#[test]
fn a_stable_worker_is_updated_from_its_highest_slot_on() {
    let mut lab = at_pause(&format!("identity: Stable, {BY_HAND}"));
    assert_eq!(lab.slots_with("db", "two"), [3]);
    promote(&mut lab, 2, 2);
    assert_eq!(lab.images("db"), ["two"; 4]);
}

#[test]
fn what_is_stopped_at_a_pause_is_started_as_it_was() {
    let stop: fn(&mut Lab, bool) = |lab, stopped| lab.edit(|spec| spec.suspend = stopped);
    let disable: fn(&mut Lab, bool) =
        |lab, stopped| lab.edit(|spec| spec.children[0].enabled = !stopped);
    for stop in [stop, disable] {
        let mut lab = at_pause(BY_HAND);
        stop(&mut lab, true);
        lab.run(60);
        assert_eq!(lab.images("db"), [""; 0]);
        stop(&mut lab, false);
        lab.run(60);
        assert_eq!(count(&lab, ["one", "two"]), [3, 1]);
        promote(&mut lab, 2, 2);
        assert_eq!(lab.images("db"), ["two"; 4]);
    }
}

#[test]
fn a_canary_that_is_restarted_or_recovers_is_updated_all_the_same() {
    let mut lab = at_pause(BY_HAND);
    super::updates::restart_in(&mut lab, "db", 1);
    lab.run(60);
    assert_eq!(count(&lab, ["one", "two"]), [3, 1]);
    promote(&mut lab, 2, 2);
    assert_eq!(lab.images("db"), ["two"; 4], "{}", lab.message());
    // What is down when its turn comes, and up again before it has gone.
    let mut lab = three(BY_HAND);
    edit(&mut lab, "two", &["db"]);
    lab.kill("db", 0, 1);
    lab.run(60);
    assert_eq!(count(&lab, ["one", "two"]), [3, 1]);
    assert_paused(&lab);
}

#[test]
fn a_pause_is_one_although_every_replica_is_updated() {
    let mut lab = three("update: {steps: [{updated: 1}, {pause: {}}]}");
    edit(&mut lab, "two", &["db", "web"]);
    lab.run(500);
    assert_eq!(lab.images("db"), ["two"]);
    assert_eq!(lab.images("web"), ["one"]);
    assert_eq!(marks(&lab)[1], (2, RevisionMark::Unproven));
    promote(&mut lab, 2, 4);
    assert_eq!(lab.images("web"), ["two"]);
}

#[test]
fn a_pause_that_is_over_has_a_deadline_again() {
    let mut lab = three(&settings("{updated: 1}, {pauseSeconds: 100}"));
    edit(&mut lab, "two", &["db"]);
    lab.run(50);
    let canary = lab.slots_with("db", "two")[0];
    lab.behave("db@two", Behaviour::Hang);
    lab.set_ready("db", canary, false);
    lab.run(600);
    assert_eq!(lab.condition("RolledBack").0, "False", "{}", lab.message());
    lab.run(200);
    assert_eq!(
        lab.state(),
        "FFT RolledBack",
        "{:?} {:?}",
        lab.log,
        lab.told
    );
}

#[test]
fn a_fault_that_is_judged_late_ends_the_canary_all_the_same() {
    let mut lab = three(&settings("{updated: 1}, {pauseSeconds: 60}"));
    edit(&mut lab, "two", &["db"]);
    while step(&lab).is_none_or(|step| step.number < 2) {
        lab.run(1);
    }
    let canary = lab.slots_with("db", "two")[0];
    lab.run(58);
    // Nobody looks until the pause is over.
    lab.kill("db", canary, 1);
    lab.go_by(5);
    lab.run(60);
    assert_eq!(lab.images("db"), ["one"; 4]);
    assert_eq!(lab.state(), "FFT RolledBack", "{}", lab.message());
}

#[test]
fn what_was_promoted_before_the_revision_was_there_ends_no_pause() {
    let mut lab = three(BY_HAND);
    promote(&mut lab, 2, 2);
    edit(&mut lab, "two", &["db"]);
    lab.run(60);
    assert_paused(&lab);
    assert_eq!(count(&lab, ["one", "two"]), [3, 1]);
    let warning = &lab.world.tree.status.warnings[0];
    assert_eq!(warning.reason, "PromotesNothing");
    assert!(
        warning.message.contains("take it out"),
        "{}",
        warning.message
    );
    lab.edit(|spec| spec.rollout.promote = None);
    lab.run(10);
    promote(&mut lab, 2, 2);
    assert_eq!(lab.images("db"), ["two"; 4]);
}

#[test]
fn a_revision_that_is_tried_again_is_promoted_anew() {
    let mut lab = at_pause(BY_HAND);
    promote(&mut lab, 1, 1);
    lab.edit(|spec| {
        spec.rollout.promote = Some(Promotion {
            revision: 2,
            step: 1,
        });
    });
    let canary = lab.slots_with("db", "two")[0];
    lab.kill("db", canary, 1);
    lab.run(60);
    assert_eq!(lab.state(), "FFT RolledBack", "{}", lab.message());
    lab.edit(|spec| {
        spec.rollout.promote = Some(Promotion {
            revision: 2,
            step: 2,
        });
    });
    let now = lab.now;
    lab.edit(|spec| spec.rollout.retry_at = Some(Time(now)));
    lab.run(100);
    assert_eq!(count(&lab, ["one", "two"]), [3, 1]);
    assert_eq!(lab.world.tree.status.revision, 3);
    promote(&mut lab, 3, 2);
    assert_eq!(lab.images("db"), ["two"; 4]);
}

#[test]
fn pods_of_a_revision_that_was_overtaken_do_not_stay() {
    let mut lab = at_pause(&settings("{updated: 2}, {pause: {}}"));
    assert_eq!(count(&lab, ["one", "two"]), [2, 2]);
    lab.edit_worker("db", |worker| {
        worker.update.steps[0].updated = Some(NumberOrPercent(IntOrString::Int(1)));
    });
    edit(&mut lab, "three", &["db"]);
    lab.run(60);
    assert_eq!(
        count(&lab, ["one", "three"]),
        [3, 1],
        "{:?}",
        lab.images("db")
    );
    assert_eq!(lab.images("db").len(), 4);
    assert_eq!(step(&lab).map(|step| step.number), Some(2));
}

#[test]
fn a_step_of_another_worker_does_not_move_what_was_promoted() {
    let mut lab = three(&settings("{updated: 1}, {pause: {}}"));
    edit(&mut lab, "two", &["db", "web"]);
    lab.run(30);
    promote(&mut lab, 2, 2);
    lab.edit_worker("db", |worker| worker.update.steps.clear());
    lab.run(60);
    assert_eq!(lab.images("web"), ["one", "one", "one", "two"]);
}

#[test]
fn a_canary_that_waits_does_not_stop_the_deadline_of_others() {
    let mut lab = three(&settings("{updated: 1}, {pause: {}}"));
    lab.edit(|spec| spec.rollout.order = RolloutOrder::Parallel);
    lab.edit_worker("web", |worker| worker.update.steps.clear());
    lab.behave("web@two", Behaviour::Hang);
    edit(&mut lab, "two", &["db", "web"]);
    lab.run(700);
    assert_eq!(lab.state(), "FFT RolledBack", "{}", lab.message());
}

#[test]
fn steps_that_are_taken_out_are_not_waited_for() {
    let mut lab = at_pause(BY_HAND);
    lab.edit_worker("db", |worker| worker.update.steps.clear());
    lab.run(60);
    assert_eq!(lab.images("db"), ["two"; 4]);
}

#[test]
fn without_a_good_revision_there_are_no_steps() {
    let mut lab = Lab::new(&format!("children:\n{}", worker("db", "", BY_HAND)));
    lab.run(10);
    edit(&mut lab, "two", &["db"]);
    lab.run(60);
    assert_eq!(lab.images("db"), ["two"; 4]);
}

/// Its steps come before anybody else's template, though its group is restarted for that of another one.
#[test]
fn a_canary_in_a_group_is_over_before_the_group_is_restarted() {
    let steps = "replicas: 4, quorum: 2, update: {steps: [{updated: 1}, {pause: {}}]}";
    let members = [worker("x", "", steps), worker("a", "", "identity: Stable")];
    for strategy in ["OneForAll", "RestForOne"] {
        let mut lab = Lab::new(&format!(
            "strategy: {strategy}\nchildren:\n{}",
            members.concat()
        ));
        lab.run(100);
        edit(&mut lab, "two", &["x", "a"]);
        lab.run(60);
        assert_eq!(
            lab.slots_with("x", "two").len(),
            1,
            "{strategy}: {:?}",
            lab.images("x")
        );
        assert_eq!(lab.images("a"), ["one"], "{strategy}");
        promote(&mut lab, 2, 2);
        lab.run(100);
        assert_eq!(
            (lab.images("x"), lab.images("a")),
            (vec!["two"; 4], vec!["two"])
        );
        assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    }
}

/// Each pause has a number of its own in the revision, also where a worker was at one in the revision before.
#[test]
fn a_promotion_ends_the_pause_of_one_worker() {
    let mut lab = three(&settings("{updated: 1}, {pause: {}}"));
    edit(&mut lab, "two", &["web"]);
    lab.run(30);
    assert_paused(&lab);
    edit(&mut lab, "two", &["db"]);
    lab.run(30);
    assert_eq!(count(&lab, ["one", "two"]), [3, 1]);
    promote(&mut lab, 3, 2);
    assert_eq!(count(&lab, ["one", "two"]), [0, 4]);
    assert_eq!(lab.images("web"), ["one", "one", "one", "two"]);
    promote(&mut lab, 3, 4);
    assert_eq!(lab.images("web"), ["two"; 4]);
}

/// A canary that was stopped, or would have begun, keeps those after it waiting when it is started again.
#[test]
fn what_is_stopped_after_a_canary_is_started_as_it_was() {
    let suspend: fn(&mut Lab) = |lab| {
        lab.edit(|spec| spec.suspend = true);
        lab.run(60);
        assert_eq!(lab.pods().count(), 0);
        lab.edit(|spec| spec.suspend = false);
    };
    let give_up: fn(&mut Lab) = |lab| {
        lab.kill("api", 0, 1);
        lab.run(20);
        assert!(
            lab.events.contains(&"ChildGivenUp".to_owned()),
            "{:?}",
            lab.events
        );
    };
    for (strategy, stop, waits) in [
        ("OneForOne", suspend, 0),
        ("OneForOne", suspend, 30),
        ("OneForAll", give_up, 30),
    ] {
        let root =
            format!("strategy: {strategy}\nintensity: {{maxRestarts: 0, periodSeconds: 60}}");
        let workers = [
            worker("db", "", BY_HAND),
            worker("api", "", ""),
            worker("web", "", ""),
        ];
        let mut lab = Lab::new(&format!("{root}\nchildren:\n{}", workers.concat()));
        lab.run(100);
        edit(&mut lab, "two", &["db", "web"]);
        if waits > 0 {
            lab.run(waits);
        }
        stop(&mut lab);
        lab.run(100);
        assert_eq!(count(&lab, ["one", "two"]), [3, 1], "{strategy} {waits}");
        assert_eq!(lab.images("web"), ["one"], "{strategy} {waits}");
        assert_paused(&lab);
        promote(&mut lab, 2, 2);
        lab.run(30);
        assert_eq!(lab.images("db"), ["two"; 4]);
        assert_eq!(lab.images("web"), ["two"], "{strategy} {waits}");
    }
}
