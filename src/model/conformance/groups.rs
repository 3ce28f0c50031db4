//! Groups and loops: cases 78 to 82 and 87.
//!
//! Rule: a row of the page is the comment of its test.

use super::{Otp, SETTLES, child_mut, idle, sup};
use crate::model::lab::Behaviour;
use crate::model::window::after;

/// Same: A temporary child that is stopped with its group is not started again, until its supervisor is restarted.
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
    // A supervisor is a child like any other.
    let mut otp = sup("ofa 2/300", &["c1", "c2 sup temp", "x@c2"]);
    otp.exit("c1", 0);
    assert_eq!((otp.steps().as_str(), otp.up().as_str()), ("-x +c1", "c1"));
    let group = ["sub sup ofa 1/300", "c1@sub", "c2@sub temp"];
    let mut otp = sup("ofo 2/300", &group);
    otp.exit("c1", 0);
    assert_eq!(otp.up(), "c1");
    otp.exit("c1", 0);
    assert_eq!((otp.charged("s"), otp.up().as_str()), (1, "c1 c2"));
}

/// Differs (a supervisor is a record): One name is held by one server at a time, whether it crashes, is killed, ends, is
/// evicted, deleted or disabled; but a supervisor cannot be killed.
#[test]
fn case_79_simple_global_supervisor() {
    let ends: [fn(&mut Otp); 5] = [
        |otp| otp.kill("server", 0, 1),
        |otp| otp.kill("server", 0, 137),
        |otp| otp.kill("server", 0, 0),
        |otp| otp.evict("server", 0),
        |otp| otp.delete_by_hand("server", 0),
    ];
    let mut otp = sup(
        "ofa 9/60",
        &["mid sup ofa 9/3600", "server@mid identity:Stable"],
    );
    let passes = |otp: &mut Otp| {
        for _ in 0..SETTLES {
            otp.run(1);
            assert!(
                otp.pods().count() <= 1,
                "the old one goes before the new one comes"
            );
        }
    };
    let server = |otp: &Otp| {
        let pod = otp.pods().next().expect("a Pod");
        (pod.name.clone(), otp.life("server"))
    };
    let mut before = server(&otp);
    for end in ends {
        end(&mut otp);
        passes(&mut otp);
        let now = server(&otp);
        assert_eq!((&now.0, now.1 == before.1), (&before.0, false));
        before = now;
    }
    assert_eq!(
        otp.charged("mid"),
        3,
        "who evicts or deletes it charges nobody"
    );
    otp.enable("server", false);
    assert_eq!(otp.pods().count(), 0);
    otp.edit(|spec| child_mut(spec, "server").enabled = true);
    passes(&mut otp);
    assert_eq!(server(&otp).0, before.0);
    assert_eq!(otp.charged("s"), 0);
    otp.delete_tree(5);
    assert!(otp.is_gone());
}

/// Same: A stop ends a loop of restarts that hang and fail, at once and also while one hangs; a start begins anew, and the end
/// of the tree does not wait for a loop.
#[test]
fn case_80_hanging_restart_loop() {
    let mut otp = sup("ofo 8/10", &["c1"]);
    let hangs_and_fails = |otp: &mut Otp| {
        otp.behave("c1", Behaviour::Hang);
        otp.kill("c1", 0, 1);
        for _ in 0..3 {
            otp.run(2);
            let tree = &otp.world.tree.status;
            assert_eq!((tree.workers, tree.up), (1, 0));
            assert_eq!(otp.state(), "FTF Restarting", "{}", otp.message());
            assert_eq!(otp.live("c1"), [0], "a start hangs");
            let charged = otp.charged("s");
            otp.kill("c1", 0, 1);
            otp.settle();
            assert_eq!(otp.charged("s"), charged + 1, "and fails");
        }
        otp.run(2);
        assert_eq!((otp.live("c1").len(), otp.up().as_str()), (1, ""));
    };
    hangs_and_fails(&mut otp);
    otp.edit(|spec| child_mut(spec, "c1").enabled = false);
    otp.run(1);
    assert!(otp.live("c1").is_empty() && !otp.gave_up("s"));
    otp.behave("c1", Behaviour::Healthy);
    otp.steps();
    otp.run(100);
    assert_eq!((otp.pods().count(), otp.steps().as_str()), (0, ""));
    otp.enable("c1", true);
    assert_eq!(otp.up(), "c1");
    hangs_and_fails(&mut otp);
    otp.delete_tree(3);
    assert!(otp.is_gone());
}

/// Differs (edits converge): Disabling the child that cannot be restarted ends the loop, and the ones after it are
/// started; the ones before it are not touched.
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

/// Differs (replicas): A replica in a loop of restarts that fail is not stopped by name, but when fewer are asked for; the
/// end of the tree does not wait for it.
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
    let mut otp = idle("rfo 2/3600", &names);
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
