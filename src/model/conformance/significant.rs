//! Automatic shutdown: cases 57 to 70.
//!
//! Rule: a row of the page is the comment of its test. What the API server refuses is asked of one elsewhere, under the same
//! names.

use super::{Otp, child_mut, sup};
use crate::api::v1alpha1::AutoShutdown;
use crate::model::lab::Behaviour;

const SHUTDOWNS: [&str; 3] = ["autoShutdown:Never", "any", "all"];

/// How a child ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Disabled,
    Code(i32),
}

const ENDS: [End; 4] = [End::Disabled, End::Code(137), End::Code(1), End::Code(0)];

fn end(otp: &mut Otp, child: &str, end: End) {
    match end {
        End::Disabled => otp.enable(child, false),
        End::Code(code) => otp.exit(child, code),
    }
}

fn set_auto_shutdown(otp: &mut Otp, auto_shutdown: AutoShutdown) {
    otp.change("s", |child| {
        child.supervisor.as_mut().unwrap().auto_shutdown = auto_shutdown;
    });
}

fn set_significant(otp: &mut Otp, child: &str, significant: bool) {
    otp.change(child, |child| {
        child.worker.as_mut().unwrap().significant = significant;
    });
}

/// Same: A temporary child that is not significant ends nothing, however it ends.
#[test]
fn case_57_nonsignificant_temporary() {
    for shutdown in SHUTDOWNS {
        for how in ENDS {
            let mut otp = sup(&format!("ofo 9/3600 {shutdown}"), &["c temp", "n"]);
            let life = otp.life("n");
            end(&mut otp, "c", how);
            assert_eq!(otp.up(), "n", "{shutdown} {how:?}");
            assert_eq!((otp.life("n"), otp.charged("s")), (life, 0));
        }
    }
}

/// Same: A transient child that is not significant ends nothing; it is restarted after an abnormal end alone.
#[test]
fn case_58_nonsignificant_transient() {
    for shutdown in SHUTDOWNS {
        for how in ENDS {
            let mut otp = sup(&format!("ofo 9/3600 {shutdown}"), &["c trans", "n"]);
            end(&mut otp, "c", how);
            let stays_down = [End::Disabled, End::Code(0)].contains(&how);
            let expected = if stays_down { "n" } else { "c n" };
            assert_eq!(otp.up(), expected, "{shutdown} {how:?}");
        }
    }
}

/// Same: Any end by itself of a significant temporary child shuts its supervisor down, a stop that was asked for does
/// not; with `AllSignificant`, the last end does.
#[test]
fn case_59_significant_temporary() {
    for how in ENDS {
        let mut otp = sup("ofo 9/3600 any", &["s1 temp sig", "s2 temp sig", "n"]);
        end(&mut otp, "s1", how);
        let stays = how == End::Disabled;
        assert_eq!(otp.has_shut_down("s"), !stays, "{how:?}");
        assert_eq!(otp.up(), if stays { "s2 n" } else { "" });
    }
    let mut otp = sup("ofo 9/3600 all", &["s1 temp sig", "s2 temp sig", "n"]);
    otp.exit("s1", 0);
    assert_eq!(otp.up(), "s2 n");
    otp.exit("s2", 0);
    assert_eq!((otp.up().as_str(), otp.has_shut_down("s")), ("", true));
}

/// Same: Only a clean end by itself of a significant transient child shuts its supervisor down; after another it is
/// restarted.
#[test]
fn case_60_significant_transient() {
    for how in ENDS {
        let mut otp = sup("ofo 9/3600 any", &["s1 trans sig", "s2 trans sig", "n"]);
        end(&mut otp, "s1", how);
        let expected = match how {
            End::Disabled => "s2 n",
            End::Code(0) => "",
            End::Code(_) => "s1 s2 n",
        };
        assert_eq!(otp.up(), expected, "{how:?}");
        assert_eq!(otp.has_shut_down("s"), how == End::Code(0));
    }
    let mut otp = sup("ofo 9/3600 all", &["s1 trans sig", "s2 trans sig", "n"]);
    otp.exit("s1", 0);
    assert_eq!(otp.up(), "s2 n");
    otp.exit("s2", 0);
    assert_eq!((otp.up().as_str(), otp.has_shut_down("s")), ("", true));
    // One that is being restarted has not ended.
    let mut otp = sup("ofo 9/3600 all", &["s1 trans sig", "s2 trans sig", "n"]);
    otp.behave("s2", Behaviour::Hang);
    otp.kill("s2", 0, 1);
    otp.run(5);
    otp.exit("s1", 0);
    assert_eq!((otp.up().as_str(), otp.has_shut_down("s")), ("n", false));
    otp.behave("s2", Behaviour::Healthy);
    otp.run(30);
    assert_eq!(otp.up(), "s2 n");
    otp.exit("s2", 0);
    assert_eq!((otp.up().as_str(), otp.has_shut_down("s")), ("", true));
}

/// Differs (replicas): Replicas stand below a worker, which has no automatic shutdown of its own; as a significant
/// child it ends with the last of them.
#[test]
fn case_61_significant_simple() {
    for shutdown in ["any", "all"] {
        let mut otp = sup(&format!("ofo 9/3600 {shutdown}"), &["c trans sig x2", "n"]);
        otp.exit("c", 0);
        assert_eq!(otp.up(), "c n", "{shutdown}");
        otp.exit_slot("c", 1, 0);
        assert_eq!((otp.up().as_str(), otp.has_shut_down("s")), ("", true));
    }
}

/// Same: Significant siblings that are stopped and started by their supervisor do not shut it down.
#[test]
fn case_62_significant_bystander() {
    for shutdown in ["any", "all"] {
        for (strategy, steps) in [("ofo", ""), ("ofa", "-c -a +a +b +c"), ("rfo", "-c +b +c")] {
            let flags = format!("{strategy} 9/3600 {shutdown}");
            let mut otp = sup(&flags, &["a trans sig", "b trans", "c trans sig"]);
            let life = otp.life("b");
            otp.exit("b", 137);
            assert_eq!(otp.steps(), steps, "{flags}");
            assert_eq!(otp.up(), "a b c");
            assert_ne!(otp.life("b"), life);
            assert!(!otp.has_shut_down("s"));
        }
    }
    // A temporary one that is forgotten with its group does not count any more.
    let mut otp = sup("ofa 9/3600 all", &["a temp sig", "b", "c trans sig"]);
    otp.exit("b", 137);
    assert_eq!((otp.up().as_str(), otp.has_shut_down("s")), ("b c", false));
    otp.exit("c", 0);
    assert_eq!((otp.up().as_str(), otp.has_shut_down("s")), ("", true));
}

/// Same: A shutdown goes up through supervisors that are significant, and no further.
#[test]
fn case_63_significant_escalation() {
    for (significant, up) in [("sig", ""), ("", "n")] {
        let b = format!("b sup trans any {significant}");
        let mut otp = sup("ofo 9/3600 any", &[&b, "c@b trans sig", "d@b", "n"]);
        otp.exit("c", 0);
        assert_eq!(otp.up(), up);
        assert!(otp.has_shut_down("b"));
        assert_eq!(otp.has_shut_down("s"), significant == "sig");
        assert_eq!(otp.charged("s"), 0);
    }
}

/// Same: From `Never` to `AnySignificant`: a significant child is refused before the edit, and counts after it.
#[test]
fn case_64_significant_upgrade_never_any() {
    let mut otp = sup("ofo 9/3600", &["n"]);
    let life = otp.life("n");
    set_auto_shutdown(&mut otp, AutoShutdown::AnySignificant);
    otp.add("s1 trans sig");
    otp.add("s2 trans sig");
    assert_eq!((otp.up().as_str(), otp.life("n")), ("n s1 s2", life));
    otp.exit("s1", 0);
    assert_eq!((otp.up().as_str(), otp.has_shut_down("s")), ("", true));
}

/// Differs (refused combinations): From `AnySignificant` to `Never`: refused while there are significant children;
/// together with an edit of them, it touches nobody, and an end ends nothing.
#[test]
fn case_65_significant_upgrade_any_never() {
    to_never("any");
}

/// Same: From `Never` to `AllSignificant`: only the last end of a significant child shuts the supervisor down.
#[test]
fn case_66_significant_upgrade_never_all() {
    let mut otp = sup("ofo 9/3600", &["n"]);
    set_auto_shutdown(&mut otp, AutoShutdown::AllSignificant);
    otp.add("s1 trans sig");
    otp.add("s2 trans sig");
    otp.exit("s1", 0);
    assert_eq!(otp.up(), "n s2");
    otp.exit("s2", 0);
    assert_eq!((otp.up().as_str(), otp.has_shut_down("s")), ("", true));
}

/// Differs (refused combinations): From `AllSignificant` to `Never`: as from `AnySignificant`.
#[test]
fn case_67_significant_upgrade_all_never() {
    to_never("all");
}

fn to_never(shutdown: &str) {
    let mut otp = sup(&format!("ofo 9/3600 {shutdown}"), &["s1 trans sig", "n"]);
    let life = otp.life("s1");
    otp.edit(|spec| {
        let supervisor = child_mut(spec, "s").supervisor.as_mut().unwrap();
        supervisor.auto_shutdown = AutoShutdown::Never;
        child_mut(spec, "s1").worker.as_mut().unwrap().significant = false;
    });
    otp.run(30);
    assert_eq!(otp.life("s1"), life);
    otp.exit("s1", 0);
    assert_eq!((otp.up().as_str(), otp.has_shut_down("s")), ("n", false));
    otp.enable("s1", false);
    otp.enable("s1", true);
    assert_eq!(otp.up(), "s1 n");
}

/// Same: From `AnySignificant` to `AllSignificant`: the edit touches nobody, and the last end counts.
#[test]
fn case_68_significant_upgrade_any_all() {
    let mut otp = sup("ofo 9/3600 any", &["s1 trans sig", "s2 trans sig", "n"]);
    let life = otp.life("s1");
    set_auto_shutdown(&mut otp, AutoShutdown::AllSignificant);
    assert_eq!(otp.life("s1"), life);
    otp.exit("s1", 0);
    assert_eq!(otp.up(), "s2 n");
    otp.exit("s2", 0);
    assert_eq!((otp.up().as_str(), otp.has_shut_down("s")), ("", true));
}

/// Same: From `AllSignificant` to `AnySignificant`: the edit touches nobody, and the first end counts.
#[test]
fn case_69_significant_upgrade_all_any() {
    let mut otp = sup("ofo 9/3600 all", &["s1 trans sig", "s2 trans sig", "n"]);
    let life = otp.life("s1");
    set_auto_shutdown(&mut otp, AutoShutdown::AnySignificant);
    assert_eq!(otp.life("s1"), life);
    otp.exit("s1", 0);
    assert_eq!((otp.up().as_str(), otp.has_shut_down("s")), ("", true));
}

/// Same: A child that is made significant counts from then on, and one that is not any more does not; below `Never` it
/// is refused.
#[test]
fn case_70_significant_upgrade_child() {
    for significant in [true, false] {
        let word = if significant { "" } else { "sig" };
        let mut otp = sup("ofo 9/3600 any", &[&format!("c trans {word}"), "n"]);
        let life = otp.life("c");
        set_significant(&mut otp, "c", significant);
        assert_eq!(otp.life("c"), life, "the edit touches nobody");
        otp.exit("c", 0);
        assert_eq!(otp.has_shut_down("s"), significant);
        assert_eq!(otp.up(), if significant { "" } else { "n" });
    }
}
