//! Strategies: cases 29 to 43.
//!
//! Rule: a row of the page is the comment of its test.

use super::{Otp, charges, sup};
use crate::model::window::seconds_between;

/// Same: Charges that are older than the window do not count: a child may die again and again, slowly.
#[test]
fn case_29_multiple_restarts() {
    let mut otp = sup("ofo 1/1", &["child1"]);
    for _ in 0..4 {
        let life = otp.life("child1");
        otp.kill("child1", 0, 1);
        otp.run(6);
        assert_eq!(otp.up(), "child1");
        assert_ne!(otp.life("child1"), life);
        assert_eq!(
            otp.charged("s"),
            0,
            "what is older than the window does not count"
        );
    }
    assert!(!otp.gave_up("s"));
}

/// Same: Only the child that died is restarted; one death more than allowed, and the supervisor gives up.
#[test]
fn case_30_one_for_one() {
    let mut otp = sup("ofo 2/3600", &["c1", "c2"]);
    let lives = [otp.life("c1"), otp.life("c2")];
    otp.exit("c1", 1);
    assert_eq!(otp.up(), "c1 c2");
    assert_ne!(otp.life("c1"), lives[0]);
    assert_eq!(otp.life("c2"), lives[1]);
    otp.exit("c2", 1);
    assert_eq!((otp.up().as_str(), otp.charged("s")), ("c1 c2", 2));
    otp.exit("c1", 1);
    assert_eq!(otp.up(), "");
    assert!(otp.gave_up("s"));
}

/// Differs (two tiers): Restarts that fail are charged each: after four of them the supervisor gives up, and stops the
/// sibling; by then the kubelet may have begun another one.
#[test]
fn case_31_one_for_one_escalation() {
    let mut otp = sup("ofo 4/3600", &["c1", "c2"]);
    otp.fail("c1", 100);
    otp.kill("c1", 0, 1);
    otp.run(120);
    assert!((4..=5).contains(&otp.failed("c1", 100)));
    assert_eq!(
        otp.world.tree.status.restarts, 5,
        "the first death, and four"
    );
    assert_eq!(otp.up(), "");
    assert!(otp.gave_up("s"));
    // Where Coppice makes all restarts, it is exactly those.
    let mut otp = sup("ofo 4/3600", &["c1 cleanExitCodes:[0,9]", "c2"]);
    otp.fail("c1", 100);
    otp.kill("c1", 0, 1);
    otp.run(120);
    assert_eq!(otp.failed("c1", 100), 4);
    assert!(otp.gave_up("s"));
}

/// Same: The siblings of the child that died are stopped, and all are started, for one charge.
#[test]
fn case_32_one_for_all() {
    let mut otp = sup("ofa 2/3600", &["c1", "c2"]);
    let lives = [otp.life("c1"), otp.life("c2")];
    otp.exit("c1", 1);
    assert_eq!(otp.steps(), "-c2 +c1 +c2");
    assert_ne!(otp.life("c1"), lives[0]);
    assert_ne!(otp.life("c2"), lives[1]);
    assert_eq!(otp.charges("s"), charges(&[("c1", 1)]));
    otp.exit("c2", 1);
    assert_eq!(otp.steps(), "-c1 +c1 +c2");
    otp.exit("c1", 1);
    assert_eq!((otp.steps().as_str(), otp.up().as_str()), ("-c2", ""));
    assert!(otp.gave_up("s"));
}

/// Same: A sibling that fails to start again spends the budget, until the supervisor gives up.
#[test]
fn case_33_one_for_all_escalation() {
    let mut otp = sup("ofa 4/3600", &["c1", "c2"]);
    otp.fail("c2", 100);
    otp.kill("c1", 0, 1);
    otp.run(120);
    assert_eq!(otp.failed("c2", 100), 4);
    assert!(otp.steps().ends_with("+c1 +c2 -c1"));
    assert_eq!(otp.up(), "");
    assert!(otp.gave_up("s"));
}

/// Same: When a sibling fails to start again, the one that had started is stopped, and both are started once more.
#[test]
fn case_34_one_for_all_other_child_fails_restart() {
    let mut otp = sup("ofa 3/3600", &["c1", "c2"]);
    otp.fail("c2", 1);
    otp.exit("c1", 1);
    assert_eq!(otp.steps(), "-c2 +c1 +c2 -c1 +c1 +c2");
    assert_eq!(otp.charges("s"), charges(&[("c1", 1), ("c2", 1)]));
    assert_eq!(otp.up(), "c1 c2");
}

/// Same: With a quorum of all, each death of a replica is charged to the supervisor; its siblings are not touched.
#[test]
fn case_35_simple_one_for_one() {
    let mut otp = sup("ofo 2/3600", &["c x2"]);
    let lives = |otp: &Otp| [0, 1].map(|slot| otp.life_of("c", slot));
    for (slot, sibling, spent) in [(0, 1, 1), (1, 0, 2)] {
        let before = lives(&otp);
        otp.exit_slot("c", slot, 1);
        let now = lives(&otp);
        let [dead, other] = [slot, sibling].map(|slot| usize::try_from(slot).unwrap());
        assert_ne!(now[dead], before[dead]);
        assert_eq!((otp.up().as_str(), &now[other]), ("c c", &before[other]));
        assert_eq!(otp.charges("s"), charges(&[("c", spent)]));
        let mut slots = otp.world.workers["c"].status.slots.iter();
        assert!(slots.all(|slot| slot.charges.is_empty()));
    }
    otp.exit("c", 1);
    assert_eq!(otp.up(), "");
    assert!(otp.gave_up("s"));
}

/// Same: Replicas that were started one by one are restarted like any others.
#[test]
fn case_37_simple_one_for_one_extra() {
    let mut otp = sup("ofo 2/3600", &["c replicas:0"]);
    for count in [1, 2] {
        otp.replicas("c", count);
    }
    let second = otp.life_of("c", 1);
    otp.exit("c", 1);
    assert_eq!((otp.up().as_str(), otp.life_of("c", 1)), ("c c", second));
}

/// Same: Replicas stop together: that takes as long as the slowest, and the slowest has its grace.
#[test]
fn case_36_simple_one_for_one_shutdown() {
    let mut otp = sup("ofo 2/3600", &["c x3 grace:20"]);
    for (slot, seconds) in [("c/0", 10), ("c/1", 10), ("c/2", 50)] {
        otp.stopping.insert(slot.into(), seconds);
    }
    let begun = otp.now;
    otp.delete_tree(0);
    while !otp.is_gone() {
        otp.run(1);
    }
    let took = seconds_between(begun, otp.now);
    assert!((20..25).contains(&took), "{took} s");
    assert_eq!(otp.overran, ["c/2"]);
}

/// Differs (replicas): Replicas have one template and no arguments of their own: one that cannot start again spends the
/// window of its slot, and its siblings run on.
#[test]
fn case_38_simple_one_for_one_escalation() {
    let mut otp = sup("ofo 4/3600", &["c replicas:2 quorum:1"]);
    let life = otp.life_of("c", 1);
    otp.fail("c/0", 100);
    otp.kill("c", 0, 1);
    otp.run(20);
    assert_eq!(otp.failed("c/0", 100), 4);
    assert_eq!((otp.up().as_str(), otp.life_of("c", 1)), ("c", life));
    assert_eq!(otp.charged("s"), 0);
    assert_eq!(otp.state(), "TFT SlotParked", "{}", otp.message());
}

/// Same: What replicas were started with is not kept with the state of the supervisor, however long it is.
#[test]
fn case_39_simple_one_for_one_corruption() {
    let mut otp = sup("ofo 1/5", &[]);
    let image = format!("c temp x2 image:{}", "i".repeat(50_000));
    otp.add(&image);
    otp.exit("c", 1);
    otp.exit_slot("c", 1, 1);
    let tree = serde_json::to_string(&otp.world.tree.status).unwrap();
    let worker = serde_json::to_string(&*otp.world.workers["c"].status).unwrap();
    assert!(
        tree.len() < 5_000 && worker.len() < 2_000,
        "{tree} {worker}"
    );
    assert_eq!(otp.steps(), "+c +c");
}

/// Differs (no ignore): A replica that ends cleanly when it is started again has finished; the supervisor goes on, and
/// stops cleanly.
#[test]
fn case_40_simple_one_for_one_restart_ignore() {
    let mut otp = sup("ofo 10/3600", &["c trans x1"]);
    otp.exit("c", 9);
    otp.exit("c", 9);
    assert_eq!((otp.up().as_str(), otp.charged("s")), ("c", 2));
    otp.ignore("c");
    otp.exit("c", 9);
    assert!(otp.live("c").is_empty());
    assert_eq!(otp.charged("s"), 3);
    assert!(!otp.gave_up("s"));
    otp.delete_tree(5);
    assert!(otp.is_gone());
}

/// Same: The children after the one that died are stopped and started with it; those before it are not touched.
#[test]
fn case_41_rest_for_one() {
    let mut otp = sup("rfo 2/3600", &["c1", "c2", "c3"]);
    let life = otp.life("c1");
    otp.exit("c2", 1);
    assert_eq!(otp.steps(), "-c3 +c2 +c3");
    otp.exit("c3", 1);
    assert_eq!(otp.steps(), "+c3");
    assert_eq!((otp.up().as_str(), otp.life("c1")), ("c1 c2 c3", life));
    otp.exit("c2", 1);
    assert_eq!(otp.steps(), "-c3 -c1");
    assert!(otp.gave_up("s"));
}

/// Same: A later sibling that fails to start again spends the budget, until the supervisor gives up.
#[test]
fn case_42_rest_for_one_escalation() {
    let mut otp = sup("rfo 4/3600", &["c1", "c2"]);
    otp.fail("c2", 100);
    otp.kill("c1", 0, 1);
    otp.run(120);
    assert_eq!(otp.failed("c2", 100), 4);
    assert_eq!(otp.steps(), "-c2 +c1 +c2 +c2 +c2 +c2 -c1");
    assert!(otp.gave_up("s"));
}

/// Same: Only the sibling that failed to start is tried again; the one that had started is not touched.
#[test]
fn case_43_rest_for_one_other_child_fails_restart() {
    let mut otp = sup("rfo 3/3600", &["c1", "c2"]);
    otp.fail("c2", 1);
    otp.exit("c1", 1);
    assert_eq!(otp.steps(), "-c2 +c1 +c2 +c2");
    assert_eq!(otp.charges("s"), charges(&[("c1", 1), ("c2", 1)]));
    assert_eq!(otp.up(), "c1 c2");
}
