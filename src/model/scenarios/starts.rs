//! Starts that do not come about: images and nodes that are missing, deadlines, and programs that do not become ready.
//!
//! Rule: what the program cannot help charges nobody.

use super::{ONE, charges, worker};
use crate::model::fault::Verdict;
use crate::model::lab::{Behaviour, Lab};

/// A hold ends when what it names is gone, not only when the replica has started.
#[test]
fn a_hold_ends_when_the_image_comes() {
    let mut lab = Lab::new(ONE);
    lab.behave("a", Behaviour::NoImage);
    lab.run(60);
    assert_eq!(lab.state(), "FFT Held", "{}", lab.message());
    lab.behave("a", Behaviour::Hang);
    lab.run(5);
    assert_eq!(lab.state(), "FTF Starting", "{}", lab.message());
}

#[test]
fn a_missing_image_is_held_and_charges_nothing() {
    let mut lab = Lab::new(ONE);
    lab.behave("a", Behaviour::NoImage);
    lab.run(10);
    assert_eq!(lab.state(), "FTF Held", "{}", lab.message());
    lab.run(60);
    assert_eq!(lab.state(), "FFT Held", "{}", lab.message());
    let writes = lab.writes;
    lab.run(3600);
    assert_eq!(lab.state(), "FFT Held", "{}", lab.message());
    assert_eq!(lab.writes, writes, "a hold that lasts is told once");
    assert_eq!(lab.world.tree.status.restarts, 0);
    let creates = lab.log.iter().filter(|l| l.starts_with("create")).count();
    assert_eq!(creates, 1, "the Pod is left alone");
    assert_eq!(
        lab.judged,
        [(Verdict::Hold, None)],
        "it is counted once, and not as a restart"
    );
    lab.behave("a", Behaviour::Healthy);
    lab.edit_template("a", "two");
    lab.run(5);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

#[test]
fn missing_capacity_is_waited_for_without_a_charge() {
    let mut lab = Lab::new(ONE);
    lab.behave("a", Behaviour::NoCapacity);
    lab.run(60);
    assert_eq!(lab.state(), "FTF WaitingForCapacity", "{}", lab.message());
    lab.run(600);
    assert_eq!(lab.state(), "FFT NotUp", "{}", lab.message());
    assert!(
        lab.message().contains("Insufficient cpu"),
        "{}",
        lab.message()
    );
    lab.behave("a", Behaviour::Healthy);
    lab.run(5);
    assert_eq!(lab.state(), "TFF AllUp");
    assert_eq!(lab.world.tree.status.restarts, 0);
}

#[test]
fn a_start_that_takes_too_long_is_a_failed_start() {
    let mut lab = Lab::new(&ONE.replace("worker: {", "worker: {startDeadlineSeconds: 20, "));
    lab.behave("a", Behaviour::Hang);
    lab.run(30);
    assert_eq!(lab.world.tree.status.restarts, 1);
    assert_eq!(
        lab.state(),
        "FFT StartDeadlineExceeded",
        "{}",
        lab.message()
    );
    assert_eq!(lab.live("a"), [0], "a new Pod tries again");
}

#[test]
fn unreadiness_after_the_start_is_no_death() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    lab.behave("a", Behaviour::Hang);
    let now = lab.now;
    let pod = lab.pod_mut("a", 0);
    pod.conditions[0].is_true = false;
    pod.conditions[0].changed = Some(now);
    lab.run(120);
    assert_eq!(lab.state(), "FTF NotUp", "{}", lab.message());
    assert_eq!(lab.world.tree.status.restarts, 0);
    lab.run(600);
    assert_eq!(
        lab.state(),
        "FFT NotUp",
        "after `startDeadlineSeconds` a person should look"
    );
    assert_eq!(
        lab.log.iter().filter(|l| l.starts_with("delete")).count(),
        0
    );
}

/// Its Pod still runs when the operator comes back, as those do that a kubelet has restarted in time. That takes nothing
/// back.
#[test]
fn a_start_that_takes_too_long_is_charged_once_whenever_the_operator_crashes() {
    let children = [
        worker("a", "", "startDeadlineSeconds: 5"),
        worker("b", "", ""),
    ];
    for (first, second) in (0..3).flat_map(|first| (0..4).map(move |second| (first, second))) {
        let mut lab = Lab::new(&format!("children:\n{}", children.concat()));
        lab.behave("a", Behaviour::Hang);
        lab.run(5);
        let (since, uid) = (lab.log.len(), lab.pod_mut("a", 0).uid.clone());
        lab.go_by(1);
        lab.crash_in = Some(first);
        while lab.crash_in.is_some() {
            assert!(lab.decide_once(), "a write is left to crash at");
        }
        // What the tree remembers of the one death makes room for the other.
        lab.kill("b", 0, 1);
        lab.crash_in = Some(second);
        lab.run(4);
        let crashes = format!("crashes before writes {first} and {second}");
        assert_eq!(lab.crash_in, None, "{crashes}");
        assert_eq!(
            lab.log[since..],
            ["delete a/0 (its life has ended)", "create a/0"],
            "{crashes}"
        );
        assert_eq!(
            lab.charges("(root)"),
            charges(&[("a", 1), ("b", 1)]),
            "{crashes}"
        );
        assert_ne!(lab.pod_mut("a", 0).uid, uid, "{crashes}");
    }
}
