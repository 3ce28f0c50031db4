//! What a real supervisor of Erlang/OTP 25 was seen to do: X1 to X28.
//!
//! Rule: a row of the page is the comment of its test. A trace names stops (`-a`) and starts (`+a`), those that fail included.

use super::{Behaviour, charges, idle, sup};
use crate::api::v1alpha1::{Intensity, Strategy};

/// Same: A child that had finished starts again with its group, and a temporary one is forgotten.
#[test]
fn x01_revival() {
    let mut otp = sup("ofa 5/3600", &["a", "b trans", "d", "e temp"]);
    otp.exit("b", 0);
    assert_eq!((otp.steps().as_str(), otp.up().as_str()), ("", "a d e"));
    otp.exit("a", 1);
    assert_eq!(otp.steps(), "-e -d +a +b +d");
    assert_eq!(otp.up(), "a b d");
}

/// Differs (disabled children): A child that is disabled stays down when its group is restarted.
#[test]
fn x02_stopped() {
    let mut otp = sup("ofa 5/3600", &["a", "b trans", "d"]);
    otp.enable("d", false);
    otp.steps();
    otp.exit("a", 1);
    assert_eq!(otp.steps(), "-b +a +b");
    otp.enable("d", true);
    assert_eq!((otp.steps().as_str(), otp.up().as_str()), ("+d", "a b d"));
}

/// Differs (disabled children): The same under `RestForOne`.
#[test]
fn x03_stopped_rest() {
    let mut otp = sup("rfo 5/3600", &["a", "b", "d"]);
    otp.enable("d", false);
    otp.steps();
    otp.exit("b", 1);
    assert_eq!((otp.steps().as_str(), otp.up().as_str()), ("+b", "a b"));
}

/// Same: A clean end of a permanent child restarts the rest, and is charged.
#[test]
fn x04_normal() {
    let mut otp = sup("rfo 5/3600", &["a", "b", "d"]);
    otp.exit("a", 0);
    assert_eq!(otp.steps(), "-d -b +a +b +d");
    assert_eq!(otp.charges("s"), charges(&[("a", 1)]));
}

/// Same: With no restarts allowed, the first death makes the supervisor give up.
#[test]
fn x05_zero() {
    let mut otp = sup("ofo 0/5", &["a", "b"]);
    otp.exit("a", 1);
    assert_eq!((otp.steps().as_str(), otp.up().as_str()), ("-b", ""));
    assert!(otp.gave_up("s"));
}

/// Same: Two failed restarts and one that succeeds are three charges; one death more, and the supervisor gives up.
#[test]
fn x06_retries() {
    let mut otp = sup("ofo 3/3600", &["a"]);
    otp.fail("a", 2);
    otp.exit("a", 1);
    assert_eq!((otp.up().as_str(), otp.charged("s")), ("a", 3));
    otp.exit("a", 1);
    assert_eq!(otp.up(), "");
    assert!(otp.gave_up("s"));
}

/// Same: A child that fails in the first start is not tried again; what had started is stopped in reverse, the rest never starts.
#[test]
fn x07_first_start() {
    let mut otp = idle("ofa 5/3600", &["a", "b", "d", "e"]);
    otp.fail("d", 1);
    otp.run(15);
    assert_eq!(otp.steps(), "+a +b +d -b -a");
    assert_eq!((otp.up().as_str(), otp.charged("s")), ("", 0));
    assert!(otp.message().contains("d: "), "{}", otp.message());
}

/// Same: A sibling that fails to start again: what had started is stopped, and all start from the first.
#[test]
fn x08_all_again() {
    let mut otp = sup("ofa 5/3600", &["a", "b", "d"]);
    otp.fail("b", 1);
    otp.exit("d", 1);
    assert_eq!(otp.steps(), "-b -a +a +b -a +a +b +d");
    assert_eq!(otp.charged("s"), 2);
}

/// Same: Under `RestForOne` it goes on from the one that failed.
#[test]
fn x09_rest_again() {
    let mut otp = sup("rfo 5/3600", &["a", "b", "d"]);
    otp.fail("b", 1);
    otp.exit("a", 1);
    assert_eq!(otp.steps(), "-d -b +a +b +b +d");
    assert_eq!(otp.charged("s"), 2);
}

/// Differs (no ignore): A transient child that ends cleanly as soon as it is restarted has finished; its supervisor stays up.
#[test]
fn x10_ignore() {
    let mut otp = sup("ofo 5/3600", &["a trans", "b"]);
    otp.behave("a", Behaviour::Crash(0, 0));
    otp.exit("a", 1);
    assert!(otp.live("a").is_empty());
    assert_eq!((otp.up().as_str(), otp.charged("s")), ("b", 1));
}

/// Differs (giving up is no end): A transient supervisor that gives up is not restarted; it stays given up, and says so, until somebody asks for it.
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
        spec.retry_at = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now));
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

/// Same: The window counts whole seconds and includes its boundary: two deaths 1.9 s apart are within 1 s.
#[test]
fn x14_window() {
    use crate::model::window::{Toll, api_time, in_window, whole_second};
    let one = Intensity {
        max_restarts: 1,
        period_seconds: 1,
    };
    let first: jiff::Timestamp = "2026-01-01T00:00:00.05Z".parse().unwrap();
    let later = |milliseconds| first + jiff::SignedDuration::from_millis(milliseconds);
    let counted = api_time(whole_second(first));
    assert!(in_window(&counted, later(1_900), &one));
    assert!(!in_window(&counted, later(2_100), &one));
    let mut times = Vec::new();
    Toll::one(first).add_to(&mut times, 1);
    Toll::one(later(1_900)).add_to(&mut times, 1);
    assert_eq!(times.len(), 2, "one more than allowed");
}

/// Differs (deaths seen together): They are judged in start order, which is the cheapest that OTP may do: two under `OneForOne`, one under the others.
#[test]
fn x15_together() {
    for (strategy, count) in [("ofo", 2), ("ofa", 1), ("rfo", 1)] {
        let mut otp = sup(&format!("{strategy} 1/3600"), &["a", "b"]);
        otp.kill("b", 0, 1);
        otp.kill("a", 0, 1);
        otp.run(30);
        assert_eq!(otp.gave_up("s"), count > 1, "{strategy}");
        assert_eq!(otp.up(), if count > 1 { "" } else { "a b" });
        if count == 1 {
            assert_eq!(otp.charges("s"), charges(&[("a", 1)]), "{strategy}");
        }
    }
}

/// Same: Who gives up stops its children in reverse, without the one that died.
#[test]
fn x16_give_up() {
    let mut otp = sup("ofo 0/5", &["a", "b", "d", "e"]);
    otp.exit("b", 1);
    assert_eq!(otp.steps(), "-e -d -a");
    assert!(otp.gave_up("s"));
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

/// Differs (no ignore): A significant child that ends cleanly as soon as it is restarted has ended, and its supervisor with it.
#[test]
fn x19_ignored_significant() {
    let mut otp = sup("ofo 5/3600 any", &["a trans sig", "b"]);
    otp.behave("a", Behaviour::Crash(0, 0));
    otp.exit("a", 1);
    assert_eq!((otp.up().as_str(), otp.has_shut_down("s")), ("", true));
    assert_eq!(otp.charged("s"), 1);
}

/// Same: A supervisor that shuts itself down stays down when it is transient, and is restarted when it is permanent, of which a warning speaks.
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

/// Differs (no dynamic children): What the list names is what a restarted supervisor starts: a child added later is there again, a removed one is not.
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

/// Same: A supervisor that cannot start again is tried as often as its parent may restart, and then the parent gives up.
#[test]
fn x23_hopeless_sub() {
    let mut otp = sup("ofa 3/3600", &["sub sup ofa 0/5", "x@sub", "z"]);
    otp.fail("x", 100);
    otp.kill("x", 0, 1);
    otp.run(300);
    assert_eq!(otp.failed("x", 100), 3);
    assert_eq!(otp.up(), "");
    assert!(otp.gave_up("s"));
}

/// Differs (edits converge): An edit of the list starts what is new, stops what is not named any more, touches nothing else, and keeps the window.
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

/// Same: Lowering the intensity below what the window holds does nothing until the next death, which makes the supervisor give up.
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

/// Same: The death of a temporary child, or a clean end of a transient one, does not touch the group.
#[test]
fn x27_bystanders() {
    let children = ["a", "t temp", "b trans cleanExitCodes:[0,3]", "d"];
    let mut otp = sup("ofa 5/3600", &children);
    let lives = [otp.life("a"), otp.life("d")];
    otp.exit("t", 1);
    otp.exit("b", 3);
    assert_eq!((otp.steps().as_str(), otp.up().as_str()), ("", "a d"));
    assert_eq!([otp.life("a"), otp.life("d")], lives);
    assert_eq!(otp.charged("s"), 0);
}

/// Differs (no ignore): A member that completes at once when its group is restarted has finished, and the next one starts.
#[test]
fn x28_ignored_member() {
    let mut otp = idle("ofa 5/3600", &["a", "b trans ready:Completed", "d"]);
    otp.behave("b", Behaviour::Crash(0, 0));
    otp.run(30);
    assert_eq!(
        (otp.steps().as_str(), otp.up().as_str()),
        ("+a +b +d", "a d")
    );
    otp.exit("a", 1);
    assert_eq!(
        (otp.steps().as_str(), otp.up().as_str()),
        ("-d +a +b +d", "a d")
    );
    assert_eq!(otp.charged("s"), 1);
}
