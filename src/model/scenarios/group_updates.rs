//! A changed template of a member of a group.
//!
//! Rule: a group is restarted for it only where it cannot be helped, in order and without a charge.

use super::rollouts::{edit, marks};
use super::updates::{restart_in, revisions};
use super::{supervisor, trace, worker};
use crate::api::v1alpha1::RevisionMark;
use crate::model::lab::{Behaviour, Lab};

/// A tree of these children, each of which is nothing without those before it, after a while.
fn group(members: &[String]) -> Lab {
    let mut lab = Lab::new(&format!(
        "strategy: RestForOne\nchildren:\n{}",
        members.concat()
    ));
    lab.run(20);
    lab
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
        let mut lab = group(&members);
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

/// What replicas ask for that cannot be replaced one by one.
const WHOLE: &str = "update: {maxSurge: 0, maxUnavailable: 0}";

/// A tree of these children with a revision that was proved good, and nothing in its log.
fn proved(root: &str, children: &[String]) -> Lab {
    let mut lab = Lab::new(&format!("{root}\nchildren:\n{}", children.concat()));
    lab.run(100);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(marks(&lab), [(1, RevisionMark::Good)]);
    lab.log.clear();
    lab
}

/// Each Worker is stored by itself, so that the operator may crash when some of them have their new templates and others not.
#[test]
fn a_group_is_restarted_once_for_all_its_templates_wherever_the_operator_crashes() {
    let all = ["a", "b", "c"];
    let story = |strategy: &str, crash_in: Option<usize>| {
        // One that could be updated by itself is among them.
        let members = [("a", WHOLE), ("b", ""), ("c", "identity: Stable")];
        let members = members.map(|(name, update)| worker(name, "", update));
        let mut lab = proved(&format!("strategy: {strategy}"), &members);
        let before = lab.writes;
        edit(&mut lab, "two", &all);
        lab.crash_in = crash_in;
        lab.run(60);
        assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
        (trace(&lab, 0), lab.writes - before)
    };
    for strategy in ["OneForAll", "RestForOne"] {
        let (expected, writes) = story(strategy, None);
        assert_eq!(expected, "-c -b -a +a +b +c");
        assert!(writes > 12, "{writes}");
        for crash_in in 0..writes {
            let (found, _) = story(strategy, Some(crash_in));
            assert_eq!(found, expected, "{strategy}, crash before write {crash_in}");
        }
    }
}

/// One that can be updated by itself is not, where it is restarted for another one anyway.
#[test]
fn what_is_restarted_for_another_template_has_its_own_by_then() {
    let (alone, whole) = (worker("a", "", ""), worker("b", "", "identity: Stable"));
    let last = worker("c", "", "");
    let supervised = supervisor("s", "", "");
    for (root, children, expected) in [
        (
            "strategy: OneForAll",
            vec![alone.clone(), whole.clone(), last.clone()],
            "-c -b -a +a +b +c",
        ),
        (
            "strategy: RestForOne",
            vec![alone, whole.clone(), last.clone()],
            // Nothing before `b` is restarted for it.
            "+a -c -b +b +c",
        ),
        (
            "strategy: OneForAll",
            vec![
                supervised.clone(),
                worker("a", "s", ""),
                whole.clone(),
                last.clone(),
            ],
            "-c -b -a +a +b +c",
        ),
        (
            "",
            vec![supervised, worker("a", "s", ""), whole, last],
            // Nothing is a group.
            "+a +b +c",
        ),
    ] {
        let mut lab = proved(root, &children);
        edit(&mut lab, "two", &["a", "b", "c"]);
        lab.run(60);
        assert_eq!(trace(&lab, 0), expected, "{root}");
        assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
        assert_eq!(lab.world.tree.status.restarts, 0);
    }
}

/// Only those of the group whose templates changed count: without one that takes its group with it, each is updated by itself.
#[test]
fn a_group_of_which_only_those_change_that_can_be_updated_alone_goes_on() {
    let members = [
        worker("a", "", WHOLE),
        worker("b", "", ""),
        worker("c", "", ""),
    ];
    let mut lab = proved("strategy: OneForAll", &members);
    edit(&mut lab, "two", &["b", "c"]);
    lab.run(60);
    assert_eq!(trace(&lab, 0), "+b +c");
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

/// The one that takes the rest of its group with it comes last on the way back, and the rest is not taken back before.
#[test]
fn a_group_goes_back_in_one_restart() {
    for strategy in ["OneForAll", "RestForOne"] {
        let members = [
            worker("a", "", WHOLE),
            worker("b", "", ""),
            worker("c", "", "update: {minReadySeconds: 3}"),
        ];
        let mut lab = proved(&format!("strategy: {strategy}"), &members);
        lab.behave("c@two", Behaviour::NoImage);
        edit(&mut lab, "two", &["a", "b", "c"]);
        lab.run(90);
        assert_eq!(
            trace(&lab, 0),
            "-c -b -a +a +b +c -c -b -a +a +b +c",
            "{strategy}"
        );
        assert_eq!(lab.state(), "FFT RolledBack", "{}", lab.message());
        for child in ["a", "b", "c"] {
            assert_eq!(lab.images(child), ["one"], "{strategy}");
        }
    }
}

/// They are alive, and may be Ready again in a moment; a bad template must not end all of them for that.
#[test]
fn replicas_that_are_not_ready_for_a_moment_are_not_all_replaced() {
    let members = [
        worker("a", "", "replicas: 3, quorum: 2"),
        worker("b", "", ""),
    ];
    let mut lab = group(&members);
    for slot in 0..3 {
        lab.set_ready("a", slot, false);
    }
    lab.failing.insert("a".into(), vec![1; 100]);
    let since = lab.log.len();
    lab.edit_template("a", "two");
    lab.run(2);
    for slot in 0..3 {
        lab.set_ready("a", slot, true);
    }
    lab.run(60);
    assert!(!trace(&lab, since).contains('b'), "{:?}", &lab.log[since..]);
    assert!(lab.charges("(root)").is_empty());
    assert_eq!(*revisions(&lab, "a").last().unwrap(), 3);
}

/// It would not be started again with its group.
#[test]
fn a_temporary_worker_is_updated_by_itself() {
    let members = [
        worker("a", "", ""),
        worker("b", "", "identity: Stable, restart: Temporary"),
        worker("c", "", ""),
    ];
    let mut lab = group(&members);
    let since = lab.log.len();
    lab.edit_template("b", "two");
    lab.run(60);
    assert_eq!(trace(&lab, since), "+b");
    assert_eq!(
        (lab.live("b"), lab.state().as_str()),
        (vec![0], "TFF AllUp")
    );
}

/// A worker that cannot spare a replica, and has one that is held, gets past that with the next template.
#[test]
fn a_replica_that_is_held_is_replaced_though_its_worker_cannot_spare_one() {
    let members = [
        worker("a", "", ""),
        worker("b", "", "replicas: 2, quorum: 2, identity: Stable"),
    ];
    let mut lab = Lab::new(&format!(
        "strategy: RestForOne\nchildren:\n{}",
        members.concat()
    ));
    lab.behave("b", Behaviour::NoImage);
    lab.run(20);
    let runs = lab.pod_mut("a", 0).containers[0].state.clone();
    lab.pod_mut("b", 0).containers[0].state = runs;
    lab.set_ready("b", 0, true);
    lab.run(60);
    lab.behave("b", Behaviour::Healthy);
    lab.edit_template("b", "two");
    lab.run(60);
    assert_eq!(revisions(&lab, "b"), [2], "{}", lab.message());
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

#[test]
fn a_planned_restart_of_a_group_is_told_with_its_reason() {
    let members = [worker("a", "", "identity: Stable"), worker("b", "", "")];
    let mut lab = group(&members);
    lab.edit_template("a", "two");
    lab.run(20);
    restart_in(&mut lab, "a", 1);
    lab.run(20);
    let told = |why: &str| {
        format!(
            "Normal UpdateRestartsGroup: a is restarted with its group, because not one replica of it may be missing beside the others: {why}; not charged; restarted at once with 1 sibling"
        )
    };
    assert_eq!(
        lab.told,
        [
            told("its template was changed"),
            told("`restartAt` asks for it")
        ]
    );
}

/// What its group is waiting for may take for ever, and may come with the template that is being waited for.
#[test]
fn a_restart_that_has_come_past_a_worker_does_not_keep_it_from_its_update() {
    let members = [worker("a", "", "identity: Stable"), worker("b", "", "")];
    let mut lab = group(&members);
    lab.behave("b", Behaviour::NoImage);
    lab.kill("a", 0, 1);
    lab.run(60);
    assert_eq!(lab.state(), "FFT Held", "{}", lab.message());
    let since = lab.log.len();
    lab.edit_template("a", "two");
    lab.run(30);
    assert_eq!(trace(&lab, since), "-b -a +a +b");
    lab.behave("b", Behaviour::Healthy);
    lab.run(60);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

/// What crashes is alive for moments only, and those after it cannot start before it: none of them waits for the others to go back.
#[test]
fn a_group_of_which_the_first_one_crashes_goes_back_at_once() {
    for (strategy, first) in [
        ("OneForAll", WHOLE),
        ("RestForOne", WHOLE),
        ("RestForOne", ""),
    ] {
        let members = [
            worker("a", "", first),
            worker("b", "", ""),
            worker("c", "", ""),
        ];
        let root =
            format!("strategy: {strategy}\nintensity: {{maxRestarts: 20, periodSeconds: 600}}");
        let mut lab = proved(&root, &members);
        edit(&mut lab, "two", &["a", "b", "c"]);
        if first.is_empty() {
            lab.run(20);
            assert_eq!(lab.images("b"), ["two"]);
            lab.behave("a@two", Behaviour::Crash(1, 1));
            lab.kill("a", lab.live("a")[0], 1);
        } else {
            lab.behave("a@two", Behaviour::Crash(1, 1));
        }
        lab.run(40);
        assert_eq!(lab.state(), "FFT RolledBack", "{}", lab.message());
        for child in ["a", "b", "c"] {
            assert_eq!(lab.images(child), ["one"], "{strategy} {first}: {child}");
        }
        assert!(!lab.events.contains(&"ChildGivenUp".to_owned()));
    }
}

/// It has nothing to stop at the moment, but would have when it had been started from the former template.
#[test]
fn a_group_that_is_down_starts_from_its_new_templates_once() {
    let members = [
        worker("x", "", "update: {minReadySeconds: 5}"),
        worker("a", "", "identity: Stable"),
    ];
    for seconds in 0..5 {
        let mut lab = proved("strategy: OneForAll", &members);
        lab.kill("x", 0, 1);
        lab.run(seconds);
        edit(&mut lab, "two", &["x", "a"]);
        lab.run(60);
        let stops = trace(&lab, 0).matches("-a").count();
        // What is being made may have to be made again, but nothing that runs is stopped.
        assert!(
            !trace(&lab, 0).contains("-x"),
            "{seconds}: {}",
            trace(&lab, 0)
        );
        assert_eq!(stops, 1, "{seconds}: {}", trace(&lab, 0));
        assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
        assert_eq!([lab.images("x"), lab.images("a")], [["two"], ["two"]]);
    }
}

/// The group has not its turn because it was restarted.
#[test]
fn a_group_that_dies_before_its_turn_is_started_as_it_was() {
    let group = supervisor("g", "", "strategy: OneForAll");
    let members = [
        worker("db", "", "update: {minReadySeconds: 100}"),
        group,
        worker("m", "g", "identity: Stable"),
        worker("n", "g", "identity: Stable"),
    ];
    let mut lab = Lab::new(&format!("children:\n{}", members.concat()));
    lab.run(250);
    edit(&mut lab, "two", &["db", "m", "n"]);
    lab.run(10);
    lab.kill("m", 0, 1);
    lab.run(30);
    assert_eq!([lab.images("m"), lab.images("n")], [["one"], ["one"]]);
    lab.run(150);
    assert_eq!([lab.images("m"), lab.images("n")], [["two"], ["two"]]);
}
