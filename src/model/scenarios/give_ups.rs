//! Giving up: when a supervisor does so, what it takes down, and what ends the wait after it.
//!
//! Rule: a tree that gave up says so until what it gave up on is up again, or somebody edits it or asks for a retry.

use super::{NESTED, ONE, charges, supervisor, worker};
use crate::model::lab::{Behaviour, Lab};
use crate::model::window::{after, api_time};

#[test]
fn a_crash_loop_gives_up_at_the_fourth_death_and_is_tried_again() {
    let mut lab = Lab::new(ONE);
    lab.behave("a", Behaviour::Crash(1, 1));
    let start = lab.now;
    while lab.world.tree.status.restarts < 4 {
        lab.run(1);
        assert!(
            lab.now < after(start, 20),
            "gives up in time: {}",
            lab.message()
        );
    }
    lab.run(3);
    assert_eq!(lab.world.tree.status.restarts, 4);
    assert_eq!(lab.state(), "FFT GaveUp", "{}", lab.message());
    assert_eq!(lab.live("a"), [] as [i32; 0]);
    assert!(
        lab.message().contains("tried again at"),
        "{}",
        lab.message()
    );
    lab.behave("a", Behaviour::Healthy);
    lab.run(34);
    assert_eq!(lab.live("a"), [0], "the retry starts it after 30 s");
    assert_eq!(
        lab.state(),
        "FFT GaveUp",
        "a retry alone changes no condition"
    );
    lab.run(40);
    assert_eq!(lab.state(), "TFF AllUp");
}

#[test]
fn retries_of_a_hopeless_child_double() {
    let mut lab = Lab::new(ONE);
    lab.behave("a", Behaviour::Crash(1, 1));
    lab.run(900);
    let record = &lab.world.tree.status.supervisors[0];
    assert!(record.gave_up[0].delay_seconds >= 240, "{record:?}");
    assert_eq!(lab.state(), "FFT GaveUp");
}

#[test]
fn ten_restarts_in_ten_minutes_give_up_at_the_eleventh_death_within_four_minutes() {
    let mut lab = Lab::new(&format!(
        "intensity: {{maxRestarts: 10, periodSeconds: 600}}{ONE}"
    ));
    lab.behave("a", Behaviour::Crash(1, 1));
    lab.settle();
    lab.run_until("FFT GaveUp", 240);
    assert_eq!(lab.world.tree.status.restarts, 11);
}

#[test]
fn no_restarts_allowed_means_that_the_first_death_gives_up() {
    let mut lab = Lab::new(&format!("intensity: {{maxRestarts: 0}}{ONE}"));
    lab.run(5);
    assert!(
        !lab.pod_mut("a", 0).kubelet_restarts(),
        "the kubelet must not restart what may not be restarted"
    );
    lab.kill("a", 0, 1);
    lab.run(2);
    assert_eq!(lab.state(), "FFT GaveUp", "{}", lab.message());
}

#[test]
fn an_edit_of_the_template_ends_the_wait() {
    let mut lab = Lab::new(ONE);
    lab.behave("a", Behaviour::Crash(1, 1));
    lab.run(25);
    assert_eq!(lab.state(), "FFT GaveUp");
    lab.behave("a", Behaviour::Healthy);
    lab.edit_template("a", "two");
    lab.settle();
    assert_eq!(lab.state(), "FTF Starting", "{}", lab.message());
    lab.run(4);
    assert_eq!(lab.state(), "TFF AllUp");
}

#[test]
fn retry_at_ends_the_wait_once_and_leaves_the_fault_row() {
    let mut lab = Lab::new(ONE);
    lab.behave("a", Behaviour::Crash(1, 1));
    lab.run(25);
    assert_eq!(lab.state(), "FFT GaveUp");
    lab.behave("a", Behaviour::Healthy);
    let now = lab.now;
    lab.edit(|spec| spec.retry_at = Some(api_time(now)));
    lab.settle();
    assert_eq!(lab.state(), "FTF Starting", "{}", lab.message());
    lab.run(4);
    assert_eq!(lab.state(), "TFF AllUp");
}

#[test]
fn stop_stays_stopped_until_an_edit() {
    let mut lab = Lab::new(&format!(
        "onGiveUp: Stop\nintensity: {{maxRestarts: 1}}{ONE}"
    ));
    lab.behave("a", Behaviour::Crash(1, 1));
    lab.run(900);
    assert_eq!(lab.state(), "FFT GaveUp");
    assert_eq!(lab.live("a"), [] as [i32; 0]);
    lab.behave("a", Behaviour::Healthy);
    lab.edit_template("a", "two");
    lab.run(10);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

#[test]
fn giving_up_escalates_and_siblings_of_the_root_stay() {
    let mut lab = Lab::new(NESTED);
    lab.run(30);
    let db = lab.pod_mut("db", 0).uid.clone();
    lab.behave("ui", Behaviour::Crash(1, 7));
    // 2 deaths of ui exceed web's window; twice that exceeds the root's.
    lab.run_until("FFT GaveUp", 60);
    assert_eq!(
        lab.pod_mut("db", 0).uid,
        db,
        "a sibling in the root is not touched"
    );
    assert_eq!(
        lab.live("api"),
        [] as [i32; 0],
        "the supervisor that gave up is stopped"
    );
    assert_eq!(
        lab.world.tree.status.restarts, 4,
        "two levels of one restart each: the fourth death gives up"
    );
    let told: Vec<&str> = lab.events.iter().map(String::as_str).collect();
    let of_a_death = [
        "ChildAppExitedNonZero",
        "ChildAppExitedNonZero",
        "SupervisorEscalated",
    ];
    let first = [&of_a_death[..], &["SupervisorExited"]].concat();
    let second = [&of_a_death[..], &["SupervisorExited", "ChildGivenUp"]].concat();
    assert_eq!(told, [first, second].concat(), "causes come first");
    lab.behave("ui", Behaviour::Healthy);
    lab.edit_template("ui", "two");
    lab.run(20);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    let web = lab.record("web").unwrap();
    assert_eq!(
        web.incarnation, 3,
        "one restart by the root, one by the edit"
    );
}

/// What has ended as its type allows is well, however often it died before.
#[test]
fn a_child_that_has_finished_is_not_given_up() {
    let children = [
        worker("a", "", "restart: Transient, cleanExitCodes: [0, 9]"),
        worker("b", "", "cleanExitCodes: [0, 9]"),
    ];
    let backoff = "backoff: {initialSeconds: 0}";
    let mut lab = Lab::new(&format!("{backoff}\nchildren:\n{}", children.concat()));
    lab.run(30);
    for _ in 0..3 {
        lab.kill("a", 0, 1);
        lab.run(6);
    }
    lab.kill("a", 0, 0);
    lab.run(5);
    lab.kill("b", 0, 1);
    lab.run(6);
    assert!(lab.message().contains("gave up on b"), "{}", lab.message());
}

/// Giving up on one child begins its delays anew, and leaves those of its siblings alone.
#[test]
fn delays_begin_anew_for_what_was_given_up_and_for_nothing_else() {
    let children = [
        worker("a", "", "cleanExitCodes: [0, 9]"),
        worker("b", "", "cleanExitCodes: [0, 9]"),
    ];
    let mut lab = Lab::new(&format!("children:\n{}", children.concat()));
    lab.run(30);
    lab.kill("b", 0, 1);
    lab.run(20);
    for _ in 0..3 {
        lab.kill("a", 0, 1);
        lab.run(20);
    }
    assert!(lab.message().contains("gave up on a"), "{}", lab.message());
    let backoff = &lab.record("(root)").unwrap().backoff;
    let steps: Vec<_> = backoff.iter().map(|b| (b.child.as_str(), b.step)).collect();
    assert_eq!(steps, [("b", 1)]);
}

/// What is disabled is out of the way: what it failed at counts no longer than any other charge.
#[test]
fn failed_starts_of_a_disabled_child_leave_the_window() {
    let policy = "intensity: {maxRestarts: 3, periodSeconds: 60}";
    let children = [worker("a", "", ""), worker("b", "", "")];
    let mut lab = Lab::new(&format!("{policy}\nchildren:\n{}", children.concat()));
    lab.behave("b", Behaviour::Hang);
    for _ in 0..3 {
        lab.run(10);
        lab.kill("b", 0, 1);
    }
    lab.run(100);
    assert_eq!(
        lab.charges("(root)"),
        charges(&[("b", 3)]),
        "whatever their age"
    );
    lab.edit(|spec| spec.children[1].enabled = false);
    lab.run(120);
    assert_eq!(lab.charges("(root)"), charges(&[]));
    lab.kill("a", 0, 1);
    lab.run(10);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

/// `restartAt` on a supervisor that was given up begins it anew, at once, and leaves what was given up beside it alone.
#[test]
fn a_supervisor_that_was_given_up_is_begun_anew_when_somebody_asks() {
    let children = [
        worker("a", "", "cleanExitCodes: [0, 9]"),
        supervisor("web", "", "intensity: {maxRestarts: 0, periodSeconds: 60}"),
        worker("b", "web", "cleanExitCodes: [0, 9]"),
    ];
    let policy = "intensity: {maxRestarts: 0, periodSeconds: 60}";
    let mut lab = Lab::new(&format!("{policy}\nchildren:\n{}", children.concat()));
    lab.run(30);
    lab.kill("a", 0, 1);
    lab.kill("b", 0, 1);
    lab.run(5);
    assert!(
        lab.live("a").is_empty() && lab.live("b").is_empty(),
        "{}",
        lab.message()
    );
    let now = lab.now;
    lab.edit(|spec| spec.children[1].restart_at = Some(api_time(now)));
    lab.run(5);
    assert_eq!(lab.live("b"), [0]);
    assert!(lab.live("a").is_empty(), "it waits for its own time");
    lab.run(60);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

/// Starts that failed stay in the window until the child has started once; deaths before them age.
#[test]
fn a_death_before_a_failed_start_leaves_the_window() {
    let policy = "intensity: {maxRestarts: 2, periodSeconds: 10}\nbackoff: {initialSeconds: 0}";
    let children = worker("a", "", "cleanExitCodes: [0, 9]");
    let mut lab = Lab::new(&format!("{policy}\nchildren:\n{children}"));
    lab.run(30);
    lab.behave("a", Behaviour::Hang);
    lab.kill("a", 0, 1);
    lab.run(5);
    lab.kill("a", 0, 1);
    lab.run(300);
    assert_eq!(lab.charges("(root)"), charges(&[("a", 1)]));
    assert_eq!(lab.world.tree.status.budget, "1/2 in 10s at (root)");
    lab.kill("a", 0, 1);
    lab.run(5);
    assert_eq!(lab.charges("(root)"), charges(&[("a", 2)]));
}
