//! What a real supervisor of Erlang/OTP 25 was seen to do when supervisors end, and with edits: X11 to X13 and X17 to X26.
//!
//! Rule: a row of the page is the comment of its test. A trace names stops (`-a`) and starts (`+a`), those that fail included.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{charges, sup};
use crate::api::v1alpha1::Strategy;

/// Differs (giving up is no end): A transient supervisor that gives up is not restarted; it stays given up, and says
/// so, until somebody asks for it.
#[test]
fn x11_transient_sub() {
    let mut otp = sup("ofo 5/3600", &["sub sup trans ofo 0/5", "x@sub", "z"]);
    otp.exit("x", 1);
    otp.run(900);
    assert_eq!((otp.up().as_str(), otp.charged("s")), ("z", 0));
    assert!(otp.gave_up("sub") && !otp.has_shut_down("sub"));
    assert_eq!(otp.state(), "FFT GaveUp", "{}", otp.message());
    let now = otp.now;
    otp.edit(|spec| {
        spec.retry_at = Some(Time(now));
    });
    otp.run(30);
    assert_eq!(otp.up(), "x z");
}

/// Same: A permanent supervisor that gives up is restarted, which is charged to its parent.
#[test]
fn x12_permanent_sub() {
    let mut otp = sup("ofo 5/3600", &["sub sup ofo 0/5", "x@sub", "z"]);
    otp.exit("x", 1);
    assert_eq!((otp.steps().as_str(), otp.up().as_str()), ("+x", "x z"));
    assert_eq!(otp.charges("s"), charges(&[("sub", 1)]));
    assert_eq!(otp.record("sub").unwrap().incarnation, 2);
}

/// Same: Stops and starts that were asked for are not charged.
#[test]
fn x13_by_hand() {
    let mut otp = sup("ofo 1/3600", &["a"]);
    for _ in 0..10 {
        otp.enable("a", false);
        assert_eq!(otp.up(), "");
        otp.enable("a", true);
        assert_eq!(otp.up(), "a");
    }
    assert_eq!(otp.charged("s"), 0);
}

/// Same: A significant child that was stopped by hand does not count: the end of the other one is the last.
#[test]
fn x17_all_significant() {
    let mut otp = sup("ofo 5/3600 all", &["a trans sig", "b trans sig", "d"]);
    otp.enable("a", false);
    otp.steps();
    otp.exit("b", 0);
    assert_eq!((otp.steps().as_str(), otp.has_shut_down("s")), ("-d", true));
}

/// Same: The last significant child that is stopped by hand ends nothing.
#[test]
fn x18_stopped_last() {
    let mut otp = sup("ofo 5/3600 all", &["a trans sig", "b trans sig", "d"]);
    otp.exit("a", 0);
    otp.enable("b", false);
    otp.run(900);
    assert_eq!((otp.steps().as_str(), otp.up().as_str()), ("-b", "d"));
    assert!(!otp.has_shut_down("s"));
}

/// Differs (no ignore): A significant child that ends cleanly as soon as it is restarted has ended, and its supervisor
/// with it.
#[test]
fn x19_ignored_significant() {
    let mut otp = sup("ofo 5/3600 any", &["a trans sig", "b"]);
    otp.ignore("a");
    otp.exit("a", 1);
    assert_eq!((otp.up().as_str(), otp.has_shut_down("s")), ("", true));
    assert_eq!(otp.charged("s"), 1);
}

/// Same: A supervisor that shuts itself down stays down when it is transient, and is restarted when it is permanent, of
/// which a warning speaks.
#[test]
fn x20_shutdown_sub() {
    for (kind, up) in [("trans", "z"), ("perm", "x y z")] {
        let sub = format!("sub sup any {kind}");
        let mut otp = sup("ofo 5/3600", &[&sub, "x@sub trans sig", "y@sub", "z"]);
        otp.exit("x", 0);
        assert!(otp.steps().starts_with("-y"));
        assert_eq!(otp.up(), up);
        assert_eq!(otp.charged("s"), usize::from(kind == "perm"));
        let warned = &otp.world.tree.status.warnings;
        let loops = warned
            .iter()
            .any(|w| w.child == "sub" && w.reason == "ShutDownLoops");
        assert_eq!(loops, kind == "perm", "{warned:?}");
    }
}

/// Differs (no dynamic children): What the list names is what a restarted supervisor starts: a child added later is
/// there again, a removed one is not.
#[test]
fn x21_added() {
    let mut otp = sup("ofo 5/3600", &["sub sup ofo 0/5", "x@sub", "y@sub"]);
    otp.add("dyn@sub");
    otp.remove("y");
    otp.steps();
    otp.exit("x", 1);
    assert_eq!(otp.steps(), "-dyn +x +dyn");
    assert_eq!(otp.up(), "x dyn");
}

/// Same: Two levels that allow two restarts each take nine deaths.
#[test]
fn x22_product() {
    let mut otp = sup("ofo 2/3600", &["sub sup ofo 2/3600", "x@sub"]);
    let mut deaths = 0;
    while !otp.gave_up("s") {
        assert_eq!(otp.up(), "x", "after {deaths}");
        otp.exit("x", 1);
        deaths += 1;
    }
    assert_eq!(deaths, 9);
}

/// Same: A supervisor that cannot start again is tried as often as its parent may restart, and then the parent gives
/// up.
#[test]
fn x23_hopeless_sub() {
    let mut otp = sup("ofo 3/3600", &["sub sup ofo 0/5", "x@sub", "z"]);
    otp.fail("x", 100);
    otp.kill("x", 0, 1);
    otp.run(300);
    assert_eq!(otp.failed("x", 100), 3);
    assert_eq!(
        (otp.steps().as_str(), otp.up().as_str()),
        ("+x +x +x -z", "")
    );
    assert!(otp.gave_up("s"));
}

/// Differs (edits converge): An edit of the list starts what is new, stops what is not named any more, touches nothing
/// else, and keeps the window.
#[test]
fn x24_edit() {
    let mut otp = sup("ofo 5/3600", &["a", "b"]);
    otp.exit("a", 1);
    let life = otp.life("a");
    otp.add("z");
    otp.remove("b");
    otp.edit(|spec| spec.children.rotate_right(1));
    otp.edit(|spec| spec.children.swap(0, 1));
    otp.run(30);
    assert_eq!(otp.up(), "z a");
    assert_eq!(otp.steps(), "+z");
    assert!(otp.live("b").is_empty());
    assert_eq!((otp.life("a"), otp.charged("s")), (life, 1));
}

/// Differs (edits converge): The new order and a new strategy are those of the next restart.
#[test]
fn x25_edit_strategy() {
    // The kubelet restarts the first child of its own accord, which was right before the edit; that life is stopped first.
    for (a, steps) in [("a", "-a -b +b +a"), ("a cleanExitCodes:[0,9]", "-b +b +a")] {
        let mut otp = sup("ofo 5/3600", &[a, "b"]);
        otp.edit(|spec| {
            spec.children[1..].reverse();
            spec.children[0].supervisor.as_mut().unwrap().strategy = Strategy::OneForAll;
        });
        otp.run(30);
        assert_eq!(otp.steps(), "", "an edit of either touches nobody");
        otp.exit("a", 1);
        assert_eq!(otp.steps(), steps);
        assert_eq!(otp.charges("s"), charges(&[("a", 1)]));
    }
}

/// Same: Lowering the intensity below what the window holds does nothing until the next death, which makes the
/// supervisor give up.
#[test]
fn x26_lower_intensity() {
    let mut otp = sup("ofo 5/3600", &["a cleanExitCodes:[0,9]", "b"]);
    for _ in 0..3 {
        otp.exit("a", 1);
    }
    otp.steps();
    otp.change("s", |child| {
        let supervisor = child.supervisor.as_mut().unwrap();
        supervisor.intensity.max_restarts = 1;
    });
    otp.run(300);
    assert_eq!((otp.steps().as_str(), otp.up().as_str()), ("", "a b"));
    assert_eq!(otp.charged("s"), 3);
    otp.exit("a", 1);
    assert_eq!(otp.steps(), "-b");
    assert!(otp.gave_up("s"));
}
