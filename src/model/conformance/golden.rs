//! What a real supervisor of Erlang/OTP 25 was seen to do when children die: X1 to X10, X14 to X16, X27 and X28.
//!
//! Rule: a row of the page is the comment of its test. A trace names stops (`-a`) and starts (`+a`), those that fail included.

use jiff::SignedDuration;

use super::{Otp, charges, idle, sup};

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

/// Same: A child that fails in the first start is not tried again; what had started is stopped in reverse, the rest
/// never starts.
#[test]
fn x07_first_start() {
    let mut otp = idle("ofa 5/3600", &["a", "b", "d", "e"]);
    otp.fail("d", 1);
    otp.run(900);
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

/// Differs (no ignore): A transient child that ends cleanly as soon as it is restarted has finished; its supervisor
/// stays up.
#[test]
fn x10_ignore() {
    let mut otp = sup("ofo 5/3600", &["a trans", "b"]);
    otp.ignore("a");
    otp.exit("a", 1);
    assert!(otp.live("a").is_empty());
    assert_eq!((otp.up().as_str(), otp.charged("s")), ("b", 1));
}

/// Same: The window counts whole seconds and includes its boundary: two deaths 1.9 s apart are within 1 s.
#[test]
fn x14_window() {
    for (later, gives_up) in [(900, true), (1_000, false)] {
        let mut otp = sup("ofo 1/1", &["a", "b"]);
        let wait = |otp: &mut Otp, milliseconds| {
            otp.now += SignedDuration::from_millis(milliseconds);
        };
        wait(&mut otp, 50);
        otp.kill("a", 0, 1);
        otp.run(1);
        assert_eq!(otp.up(), "a b", "the kubelet has restarted it");
        wait(&mut otp, later);
        otp.kill("a", 0, 1);
        otp.run(30);
        assert_eq!(
            otp.gave_up("s"),
            gives_up,
            "{later} ms after the first second"
        );
    }
}

/// Differs (deaths seen together): They are judged in start order, which is the cheapest that OTP may do: two under
/// `OneForOne`, one under the others.
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

/// Differs (no ignore): A member that completes at once when its group is restarted has finished, and the next one
/// starts.
#[test]
fn x28_ignored_member() {
    let mut otp = idle("ofa 5/3600", &["a", "b trans ready:Completed", "d"]);
    otp.ignore("b");
    otp.run(30);
    assert_eq!(
        (otp.steps().as_str(), otp.up().as_str()),
        ("+a +b +d", "a d")
    );
    otp.ignore("b");
    otp.exit("a", 1);
    assert_eq!(
        (otp.steps().as_str(), otp.up().as_str()),
        ("-d +a +b +d", "a d")
    );
    assert_eq!(otp.charged("s"), 1);
}
