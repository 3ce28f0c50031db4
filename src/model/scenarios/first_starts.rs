//! First starts that fail: of a supervisor, of what was added to one that runs, and of what is to run to completion.
//!
//! Rule: a trace names stops (`-a`) and starts (`+a`).

use std::collections::BTreeMap;

use super::{supervisor, trace, worker};
use crate::api::v1alpha1::Child;
use crate::model::lab::{Behaviour, Lab};

fn lab(root: &str, children: &[String]) -> Lab {
    Lab::new(&format!("{root}\nchildren:\n{}", children.concat()))
}

/// A root that fails when a first start below it does, and then stays down.
const FAILS: &str = "onStartFailure: Fail\nonGiveUp: Stop\nbackoff: {initialSeconds: 0}";

fn add(lab: &mut Lab, place: usize, child: &str) {
    let child: Vec<Child> = serde_yaml::from_str(child).unwrap();
    lab.edit(|spec| {
        spec.children
            .insert(place, child.into_iter().next().unwrap());
    });
}

/// OTP: `start_child` and `restart_child` that fail leave the supervisor and its children as they were.
#[test]
fn what_is_added_and_cannot_start_disturbs_nobody() {
    for strategy in ["OneForOne", "OneForAll", "RestForOne"] {
        let mut lab = lab(
            &format!("strategy: {strategy}\nintensity: {{maxRestarts: 9, periodSeconds: 900}}"),
            &[worker("a", "", ""), worker("c", "", "")],
        );
        lab.run(30);
        lab.behave("b", Behaviour::Crash(0, 1));
        let since = lab.log.len();
        add(&mut lab, 1, &worker("b", "", ""));
        lab.run(20);
        let trace = trace(&lab, since);
        assert!(trace.contains("+b"), "{strategy}: {trace}");
        assert!(
            !trace.contains('a') && !trace.contains('c'),
            "{strategy}: {trace}"
        );
        assert!(lab.charges("(root)")["b"] > 1, "{strategy}");

        // Once it has started, it is a member like the others.
        lab.behave("b", Behaviour::Healthy);
        lab.run(60);
        assert_eq!(lab.state(), "TFF AllUp", "{strategy}: {}", lab.message());
        let since = lab.log.len();
        lab.kill("b", 0, 1);
        lab.run(60);
        let expected = match strategy {
            "OneForAll" => "-c -a +a +b +c",
            "RestForOne" => "-c +b +c",
            _ => "",
        };
        assert_eq!(super::trace(&lab, since), expected, "{strategy}");
    }
}

#[test]
fn what_is_enabled_again_and_cannot_start_disturbs_nobody() {
    let children = ["a", "b", "c"].map(|name| worker(name, "", ""));
    let mut lab = lab("strategy: RestForOne", &children);
    lab.run(30);
    lab.edit(|spec| spec.children[1].enabled = false);
    lab.run(10);
    lab.behave("b", Behaviour::Crash(0, 1));
    let since = lab.log.len();
    lab.edit(|spec| spec.children[1].enabled = true);
    lab.run(3);
    let trace = trace(&lab, since);
    assert!(!trace.contains('a') && !trace.contains('c'), "{trace}");
}

/// Whatever else happens in the meantime, what has not started once fails its supervisor.
#[test]
fn a_first_start_stays_one_when_others_die_in_the_meantime() {
    for is_evicted in [false, true] {
        let root = format!("strategy: OneForAll\n{FAILS}");
        let mut lab = lab(&root, &[worker("a", "", ""), worker("b", "", "")]);
        lab.behave("b", Behaviour::Hang);
        lab.run(15);
        if is_evicted {
            lab.evict("b", 0);
        } else {
            lab.kill("a", 0, 1);
        }
        lab.run(20);
        lab.kill("b", 0, 1);
        lab.run(20);
        assert_eq!(lab.state(), "FFT GaveUp", "{}", lab.message());
        assert!(lab.message().contains("b: "), "{}", lab.message());
        assert!(lab.live("a").is_empty());
    }
}

#[test]
fn a_child_that_had_started_is_restarted_although_others_have_not() {
    let root = format!("startup: Ordered\n{FAILS}");
    let mut lab = lab(
        &root,
        &[
            worker("a", "", "cleanExitCodes: [0, 9]"),
            worker("b", "", ""),
        ],
    );
    lab.behave("b", Behaviour::Hang);
    lab.run(30);
    lab.behave("a", Behaviour::Crash(0, 1));
    lab.evict("a", 0);
    lab.run(4);
    assert!(lab.charges("(root)").contains_key("a"), "{}", lab.message());
    assert_eq!(lab.live("b"), [0]);
}

/// Who has started is stored before anything rests on it.
#[test]
fn a_start_is_remembered_whenever_the_operator_crashes() {
    for crash in 0..40 {
        let root = format!("startup: Ordered\n{FAILS}");
        let children = [
            worker("a", "", "cleanExitCodes: [0, 9]"),
            worker("b", "", ""),
        ];
        let mut lab = lab(&root, &children);
        lab.behave("b", Behaviour::Hang);
        lab.crash_in = Some(crash);
        for _ in 0..40 {
            if lab.log.iter().any(|line| line == "create b/0") {
                break;
            }
            lab.decide_once();
            lab.go_by(1);
        }
        let has_crashed = lab.crash_in.is_none();
        lab.go_by(2);
        lab.kill("a", 0, 1);
        lab.go_by(2);
        lab.run(20);
        let expected = BTreeMap::from([("a".to_owned(), 1)]);
        assert_eq!(
            lab.charges("(root)"),
            expected,
            "{crash}: {}",
            lab.message()
        );
        if !has_crashed {
            return;
        }
    }
    panic!("it always crashed");
}

/// OTP: a supervisor that exceeds its intensity before it has started has failed to start, whatever its type.
#[test]
fn a_supervisor_that_gives_up_before_it_has_started_has_failed_to_start() {
    let children = |settings: &str| {
        let sub = format!(
            "{settings}intensity: {{maxRestarts: 1, periodSeconds: 300}}, backoff: {{initialSeconds: 0}}"
        );
        [
            supervisor("sub", "", &sub),
            worker("x", "sub", ""),
            worker("z", "", ""),
        ]
    };
    let mut first = lab(&format!("startup: Ordered\n{FAILS}"), &children(""));
    first.behave("x", Behaviour::Crash(0, 1));
    first.run(60);
    assert_eq!(first.state(), "FFT GaveUp", "{}", first.message());
    assert!(first.charges("(root)").is_empty(), "{}", first.message());

    let root = "strategy: OneForAll\nbackoff: {initialSeconds: 0}";
    let mut restarted = lab(root, &children("restart: Transient, "));
    restarted.run(30);
    restarted.behave("x", Behaviour::Crash(0, 1));
    restarted.kill("z", 0, 1);
    restarted.run(8);
    restarted.behave("x", Behaviour::Healthy);
    restarted.run(60);
    assert_eq!(restarted.live("z"), [0], "{}", restarted.message());
    assert_eq!(restarted.live("x"), [0], "{}", restarted.message());
}

/// What stays given up by its type is not waited for.
#[test]
fn others_start_after_a_temporary_supervisor_that_could_not() {
    let sub = "restart: Temporary, onStartFailure: Fail";
    let children = [
        supervisor("sub", "", sub),
        worker("x", "sub", ""),
        worker("z", "", ""),
    ];
    let mut lab = lab("startup: Ordered", &children);
    lab.behave("x", Behaviour::Crash(0, 1));
    lab.run(60);
    assert_eq!(lab.live("z"), [0], "{}", lab.message());
    assert_eq!(lab.state(), "FFT GaveUp", "{}", lab.message());
}

#[test]
fn a_tree_whose_only_work_has_failed_is_not_ready() {
    let migrate = worker("migrate", "", "restart: Temporary, ready: Completed");
    for (code, state) in [(0, "TFF Finished"), (1, "FFT NotUp")] {
        let mut lab = lab("", std::slice::from_ref(&migrate));
        lab.run(20);
        lab.kill("migrate", 0, code);
        lab.run(60);
        assert_eq!(lab.state(), state, "{}", lab.message());
    }
}

/// `ready: Completed`: a replica that ended cleanly has started; one that failed has not.
#[test]
fn what_was_to_complete_and_failed_lets_nothing_start_after_it() {
    let migrate = worker("migrate", "", "restart: Temporary, ready: Completed");
    let mut lab = lab("strategy: RestForOne", &[migrate, worker("api", "", "")]);
    lab.run(20);
    lab.kill("migrate", 0, 1);
    lab.run(900);
    assert!(lab.live("api").is_empty());
    assert_eq!(lab.state(), "FFT NotUp", "{}", lab.message());
    assert!(lab.message().contains("migrate/0"), "{}", lab.message());
    lab.edit(|spec| spec.children[0].enabled = false);
    lab.run(20);
    lab.edit(|spec| spec.children[0].enabled = true);
    lab.run(20);
    lab.kill("migrate", 0, 0);
    lab.run(60);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}
