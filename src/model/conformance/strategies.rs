//! Strategies: cases 29 to 43, 78 to 82 and 87.
//!
//! Rule: a row of the page is the comment of its test.

use super::{Behaviour, charges, sup};
use crate::model::window::{after, seconds_between};

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

/// Differs (two tiers): Restarts that fail are charged each: after four of them the supervisor gives up, and stops the sibling; by then the kubelet may have begun another one.
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
    let (first, second) = (otp.life_of("c", 0), otp.life_of("c", 1));
    otp.exit("c", 1);
    assert_ne!(otp.life_of("c", 0), first);
    assert_eq!((otp.up().as_str(), otp.life_of("c", 1)), ("c c", second));
    otp.kill("c", 1, 1);
    otp.run(30);
    assert_eq!((otp.up().as_str(), otp.charged("s")), ("c c", 2));
    otp.exit("c", 1);
    assert_eq!(otp.up(), "");
    assert!(otp.gave_up("s"));
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

/// Differs (replicas): Replicas have one template and no arguments of their own: one that cannot start again spends the window of its slot, and its siblings run on.
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

/// Differs (no ignore): A replica that ends cleanly when it is started again has finished; the supervisor goes on, and stops cleanly.
#[test]
fn case_40_simple_one_for_one_restart_ignore() {
    let mut otp = sup("ofo 10/3600", &["c trans x1"]);
    otp.exit("c", 137);
    otp.exit("c", 137);
    assert_eq!((otp.up().as_str(), otp.charged("s")), ("c", 2));
    otp.behave("c", Behaviour::Crash(0, 0));
    otp.exit("c", 137);
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

/// Same: A temporary child that is stopped with its group is not started again.
#[test]
fn case_78_temporary_bystander() {
    for strategy in ["ofa", "rfo"] {
        let mut otp = sup(&format!("{strategy} 2/300"), &["c1", "c2 temp"]);
        otp.exit("c1", 0);
        otp.run(600);
        assert_eq!(otp.steps(), "-c2 +c1", "{strategy}");
        assert_eq!(otp.up(), "c1");
        assert!(!otp.gave_up("s"));
    }
}

/// Differs (a supervisor is a record): One name is held by one server at a time, whatever ends it; but a supervisor cannot be killed.
#[test]
fn case_79_simple_global_supervisor() {
    let mut otp = sup(
        "ofa 9/60",
        &["mid sup ofa 9/3600", "server@mid identity:Stable"],
    );
    let name = |otp: &super::Otp| {
        let mut pods = otp.pods();
        let pod = pods.next().expect("a Pod");
        assert!(pods.next().is_none(), "there is one of that name at most");
        (pod.name.clone(), otp.life("server"))
    };
    let mut before = name(&otp);
    for code in [137, 0] {
        otp.exit("server", code);
        let now = name(&otp);
        assert_eq!((&now.0, now.1 == before.1), (&before.0, false));
        before = now;
    }
    otp.enable("server", false);
    assert_eq!(otp.pods().count(), 0);
    otp.enable("server", true);
    assert_eq!(name(&otp).0, before.0);
    assert_eq!(otp.charged("mid"), 2);
    otp.delete_tree(5);
    assert!(otp.is_gone());
}

/// Same: A stop ends a loop of restarts that fail, a start begins anew, and the end of the tree does not wait for a loop.
#[test]
fn case_80_hanging_restart_loop() {
    let mut otp = sup("ofo 8/10", &["c1"]);
    otp.fail("c1", 3);
    otp.kill("c1", 0, 1);
    while otp.failed("c1", 3) < 2 {
        otp.run(1);
    }
    assert_eq!(otp.up(), "");
    otp.enable("c1", false);
    assert!(otp.live("c1").is_empty() && !otp.gave_up("s"));
    let failed = otp.failed("c1", 3);
    otp.fail("c1", 0);
    otp.run(100);
    assert!(otp.live("c1").is_empty(), "{failed} starts had failed");
    otp.enable("c1", true);
    assert_eq!(otp.up(), "c1");
    otp.fail("c1", 100);
    otp.kill("c1", 0, 1);
    otp.run(2);
    otp.delete_tree(3);
    assert!(otp.is_gone());
}

/// Differs (edits converge): Disabling the child that cannot be restarted ends the loop, and the ones after it are started; the ones before it are not touched.
#[test]
fn case_81_hanging_restart_loop_rest_for_one() {
    let mut otp = sup("rfo 8/10", &["c1", "c2", "c3"]);
    let life = otp.life("c1");
    otp.fail("c2", 100);
    otp.kill("c2", 0, 1);
    otp.run(5);
    assert_eq!(otp.up(), "c1");
    assert!(otp.live("c3").is_empty(), "c3 waits for c2");
    otp.enable("c2", false);
    assert_eq!(otp.up(), "c1 c3");
    otp.fail("c2", 0);
    let third = otp.life("c3");
    otp.enable("c2", true);
    assert_eq!(otp.up(), "c1 c2 c3");
    assert_eq!((otp.life("c1"), otp.life("c3")), (life, third));
    otp.fail("c2", 100);
    otp.kill("c2", 0, 1);
    otp.run(5);
    otp.delete_tree(5);
    assert!(otp.is_gone());
}

/// Same: A replica in a loop of restarts that fail is stopped when fewer are asked for, and the end of the tree does not wait for it.
#[test]
fn case_82_hanging_restart_loop_simple() {
    let mut otp = sup("ofo 8/10", &["c x1"]);
    otp.fail("c", 100);
    otp.kill("c", 0, 1);
    otp.run(3);
    otp.replicas("c", 0);
    assert!(otp.live("c").is_empty() && !otp.gave_up("s"));
    let failed = otp.failed("c", 100);
    otp.run(100);
    assert_eq!(otp.failed("c", 100), failed);
    otp.replicas("c", 1);
    otp.delete_tree(3);
    assert!(otp.is_gone());
}

/// Same: Children start in the order of the list, whatever their names, and stop in reverse.
#[test]
fn case_87_order_of_children() {
    let names = ["ch7", "ch3", "ch10", "ch2", "ch5"];
    let mut otp = super::idle("rfo 2/3600", &names);
    otp.run(30);
    assert_eq!(otp.steps(), "+ch7 +ch3 +ch10 +ch2 +ch5");
    otp.exit("ch10", 1);
    assert_eq!(otp.steps(), "-ch5 -ch2 +ch10 +ch2 +ch5");
    let begun = otp.now;
    otp.stopping.insert("ch5".into(), 10);
    otp.delete_tree(9);
    assert_eq!(otp.steps(), "-ch5", "each stop is awaited");
    otp.run(9);
    let stops = otp.steps();
    let mut stops: Vec<&str> = stops.split(' ').collect();
    // The Pod that died was kept as evidence, and goes with its successor.
    stops.dedup();
    assert_eq!(stops, ["-ch2", "-ch10", "-ch3", "-ch7"]);
    assert!(otp.is_gone() && otp.now > after(begun, 10));
}
