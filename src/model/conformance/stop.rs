//! Stops: cases 16 to 22.
//!
//! Rule: a row of the page is the comment of its test.

use super::{idle, sup};

/// Same: A stop that may take for ever is waited for, before the child before it is told.
#[test]
fn case_16_sup_stop_infinity() {
    let mut otp = sup("ofo 1/5", &["child1 sup", "x@child1", "child2 grace:86400"]);
    otp.stopping.insert("child2".into(), 5_000);
    otp.delete_tree(4_990);
    assert_eq!((otp.steps().as_str(), otp.is_gone()), ("-child2", false));
    otp.run(30);
    assert_eq!((otp.steps().as_str(), otp.is_gone()), ("-x", true));
    assert!(otp.overran.is_empty());
}

/// Same: A child that does not listen is killed when its time is over; then the one before it is told.
#[test]
fn case_17_sup_stop_timeout() {
    let mut otp = sup("ofo 1/5", &["child1 grace:2", "child2 grace:5"]);
    otp.stopping.insert("child2".into(), 3_600);
    otp.delete_tree(4);
    assert_eq!(
        (otp.steps().as_str(), otp.up().as_str()),
        ("-child2", "child1")
    );
    otp.run(4);
    assert_eq!(otp.steps(), "-child1");
    assert_eq!(otp.overran, ["child2/0"]);
    assert!(otp.is_gone());
}

/// Same: Replicas are told together, and each is killed when its time is over.
#[test]
fn case_18_sup_stop_timeout_dynamic() {
    let mut otp = sup("ofo 1/5", &["c temp x2 grace:5"]);
    otp.stopping.insert("c/1".into(), 3_600);
    otp.delete_tree(1);
    assert_eq!(otp.steps(), "-c -c");
    otp.run(3);
    assert_eq!((otp.pods().count(), otp.is_gone()), (1, false));
    otp.run(3);
    assert_eq!(otp.overran, ["c/1"]);
    assert!(otp.is_gone());
}

/// Differs (stops): The shortest grace is a second, after which the child is killed.
#[test]
fn case_19_sup_stop_brutal_kill() {
    let mut otp = sup("ofo 1/5", &["child1 grace:5", "child2 grace:1"]);
    otp.stopping.insert("child1".into(), 3);
    otp.stopping.insert("child2".into(), 3);
    otp.delete_tree(30);
    assert_eq!(otp.steps(), "-child2 -child1");
    assert_eq!(otp.overran, ["child2/0"]);
    assert!(otp.is_gone());
}

/// Differs (stops): Ten replicas with a grace of a second are killed together after it.
#[test]
fn case_20_sup_stop_brutal_kill_dynamic() {
    let mut otp = sup("ofo 1/5", &["c temp x10 grace:1"]);
    otp.stopping.insert("c".into(), 3_600);
    otp.delete_tree(3);
    assert_eq!(otp.steps(), ["-c"; 10].join(" "));
    assert_eq!(otp.overran.len(), 10);
    assert!(otp.is_gone());
}

/// Same: What ends by itself while the last child is being stopped is not restarted and not counted, and holds up
/// nothing.
#[test]
fn case_21_sup_stop_race() {
    let types = ["perm", "trans", "temp"];
    let ends = [0, 3, 4, 1];
    let lines: Vec<String> = types
        .iter()
        .flat_map(|kind| ends.map(|code| format!("{kind}-{code} {kind} cleanExitCodes:[0,3,4]")))
        .collect();
    let mut children = vec!["a temp"];
    children.extend(lines.iter().map(String::as_str));
    children.push("z temp grace:60");
    let mut otp = sup("ofo 1/5", &children);
    assert_eq!(otp.pods().count(), 14);
    otp.stopping.insert("z".into(), 20);
    otp.delete_tree(2);
    assert_eq!(otp.steps(), "-z");
    for kind in types {
        for code in ends {
            otp.kill(&format!("{kind}-{code}"), 0, code);
        }
    }
    otp.run(60);
    let steps = otp.steps();
    assert!(steps.contains("-a") && !steps.contains('+'), "{steps}");
    assert_eq!((otp.charged("s"), otp.world.tree.status.restarts), (0, 0));
    assert!(otp.is_gone());
}

/// Differs (stops): However a child ends that is told to, it is neither restarted nor counted; and it is not reported,
/// its Pod says it.
#[test]
fn case_22_sup_stop_non_shutdown_exit_dynamic() {
    for kind in ["perm", "trans", "temp"] {
        let mut otp = idle("ofo 1/5", &[&format!("c {kind} x4 grace:60")]);
        otp.run(30);
        otp.steps();
        otp.stopping.insert("c".into(), 20);
        otp.delete_tree(2);
        let told = otp.events.len();
        for (slot, code) in [(0, 0), (1, 3), (2, 1), (3, 137)] {
            otp.end_deleted("c", slot, code);
        }
        otp.run(30);
        assert_eq!(otp.steps(), "-c -c -c -c", "{kind}");
        assert_eq!((otp.charged("s"), otp.world.tree.status.restarts), (0, 0));
        assert_eq!(otp.events.len(), told, "{:?}", otp.events);
        assert!(otp.is_gone());
    }
}
