//! Ends of children by type: cases 44 to 56.
//!
//! Rule: a row of the page is the comment of its test.

use super::{charges, idle, sup};
use crate::model::window::after;
use crate::model::world::NodeView;

/// Same: A start that was asked for, by a new child or by one that is enabled again, is not reported, and a death is.
#[test]
fn case_44_external_start_no_progress_log() {
    let mut otp = sup("ofo 2/3600", &[]);
    otp.add("c1");
    otp.enable("c1", false);
    otp.enable("c1", true);
    assert_eq!(otp.up(), "c1");
    assert_eq!((&otp.told, &otp.events), (&vec![], &vec![]));
    otp.exit("c1", 0);
    assert_eq!((otp.up().as_str(), otp.told.len()), ("c1", 1));
    let told = "Warning ChildAppExitedZero: c1/0: container app ended with exit code 0";
    assert!(otp.told[0].starts_with(told), "{}", otp.told[0]);
}

/// Same: A permanent child that ends cleanly is restarted, which is charged.
#[test]
fn case_45_permanent_normal() {
    let mut otp = sup("ofo 2/3600", &["c1"]);
    let life = otp.life("c1");
    otp.exit("c1", 0);
    assert_eq!((otp.up().as_str(), otp.charged("s")), ("c1", 1));
    assert_ne!(otp.life("c1"), life);
}

/// Same: A transient child that ends cleanly is not restarted, and keeps its place.
#[test]
fn case_46_transient_normal() {
    let mut otp = sup("ofo 2/3600", &["c1 trans"]);
    otp.exit("c1", 0);
    assert!(otp.live("c1").is_empty());
    assert_eq!((otp.charged("s"), otp.world.tree.status.workers), (0, 1));
    assert!(!otp.gave_up("s"));
}

/// Differs (edits converge): A temporary child that ends cleanly is not restarted; its line stays in the list until
/// somebody takes it out.
#[test]
fn case_47_temporary_normal() {
    let mut otp = sup("ofo 2/3600", &["c1 temp"]);
    otp.exit("c1", 0);
    assert!(otp.live("c1").is_empty());
    assert_eq!((otp.charged("s"), otp.world.tree.status.workers), (0, 1));
    otp.remove("c1");
    assert_eq!(otp.world.tree.status.workers, 0);
    otp.add("c1 temp");
    assert_eq!(otp.up(), "c1");
}

/// Same: A permanent child is restarted after any exit code that is called clean.
#[test]
fn case_48_permanent_shutdown() {
    let mut otp = sup("ofo 2/3600", &["c1 cleanExitCodes:[0,3]"]);
    for code in [0, 3] {
        let life = otp.life("c1");
        otp.exit("c1", code);
        assert_eq!(otp.up(), "c1");
        assert_ne!(otp.life("c1"), life);
    }
    assert_eq!(otp.charged("s"), 2);
}

/// Same: A transient child is not restarted after any exit code that is called clean; started again, it runs.
#[test]
fn case_49_transient_shutdown() {
    let mut otp = sup("ofo 2/3600", &["c1 trans cleanExitCodes:[0,3]"]);
    for code in [0, 3] {
        assert_eq!(otp.up(), "c1");
        otp.exit("c1", code);
        assert!(otp.live("c1").is_empty(), "{code}");
        otp.enable("c1", false);
        otp.enable("c1", true);
    }
    assert_eq!((otp.up().as_str(), otp.charged("s")), ("c1", 0));
}

/// Differs (edits converge): A temporary child is not restarted after any exit code that is called clean; its line stays
/// in the list until somebody takes it out, and it can be added again.
#[test]
fn case_50_temporary_shutdown() {
    let mut otp = sup("ofo 2/3600", &[]);
    for code in [0, 3] {
        otp.add("c1 temp cleanExitCodes:[0,3]");
        assert_eq!(otp.up(), "c1");
        otp.exit("c1", code);
        assert!(otp.live("c1").is_empty(), "{code}");
        assert_eq!(otp.world.tree.status.workers, 1, "{code}");
        otp.remove("c1");
    }
    assert_eq!(otp.charged("s"), 0);
}

/// Same: A child that fails in the first start fails the tree: nothing is tried again, nothing is left, and the way it
/// went can be read. (With `onGiveUp: Stop`; by default the root is tried again later.)
#[test]
fn case_51_faulty_application_shutdown() {
    let mut otp = idle("ofo 2/3600", &["a", "deep sup", "bad@deep"]);
    otp.fail("bad", 100);
    otp.last_words = "no such table".into();
    otp.run(900);
    assert!(otp.live("a").is_empty() && otp.live("bad").is_empty());
    assert_eq!(otp.steps().matches("+bad").count(), 1);
    assert_eq!(otp.state(), "FFT GaveUp", "{}", otp.message());
    let way = otp.message();
    assert!(way.contains("s: deep: bad: "), "{way}");
    assert_eq!(
        (otp.charged("(root)"), otp.charged("s"), otp.charged("deep")),
        (0, 0, 0)
    );
}

/// Same: A permanent child that ends abnormally is restarted.
#[test]
fn case_52_permanent_abnormal() {
    let mut otp = sup("ofo 2/3600", &["c1"]);
    let life = otp.life("c1");
    otp.exit("c1", 1);
    assert_eq!((otp.up().as_str(), otp.charged("s")), ("c1", 1));
    assert_ne!(otp.life("c1"), life);
}

/// Same: A transient child that ends abnormally is restarted.
#[test]
fn case_53_transient_abnormal() {
    let mut otp = sup("ofo 2/3600", &["c1 trans"]);
    let life = otp.life("c1");
    otp.exit("c1", 1);
    assert_eq!((otp.up().as_str(), otp.charged("s")), ("c1", 1));
    assert_ne!(otp.life("c1"), life);
}

/// Differs (edits converge): A temporary child that ends abnormally is not restarted, and that is reported; its line
/// stays in the list.
#[test]
fn case_54_temporary_abnormal() {
    let mut otp = sup("ofo 2/3600", &["c1 temp"]);
    otp.exit("c1", 1);
    assert!(otp.live("c1").is_empty());
    assert_eq!(
        (otp.charged("s"), otp.events.len()),
        (0, 1),
        "{:?}",
        otp.events
    );
    assert_eq!(otp.world.tree.status.workers, 1);
    let told = &otp.world.tree.status.recent_faults[0];
    assert!(told.decision.contains("not restarted"), "{told:?}");
}

/// Same: While one that cannot be reached is being stopped, its supervisor looks after the others, and does not forget
/// it.
#[test]
fn case_55_child_unlink() {
    let mut otp = sup("ofo 2/3600", &["c1 identity:Stable", "c2"]);
    let (now, forever) = (otp.now, after(otp.now, 1_000_000));
    let lost = NodeView {
        not_ready_since: Some(now),
        unreachable: true,
        evicting: true,
        out_of_service: false,
        zone: None,
    };
    otp.world
        .nodes
        .as_mut()
        .unwrap()
        .insert("node-b".into(), lost);
    let pod = otp.pod_mut("c1", 0);
    (pod.node, pod.deletion) = (Some("node-b".into()), Some(forever));
    otp.enable("c1", false);
    let life = otp.life("c2");
    otp.exit("c2", 1);
    assert_ne!(otp.life("c2"), life);
    assert!(otp.pods().any(|pod| pod.child == "c1"), "not proven gone");
    otp.enable("c1", true);
    assert!(otp.live("c1").is_empty(), "it may still run");
}

/// Differs (no dynamic children): An escalation restarts the whole group above; children that were added later come
/// back with it, and one that is disabled stays down.
#[test]
fn case_56_tree() {
    let children = [
        "sup1 sup ofo 4/3600",
        "c1@sup1",
        "c2@sup1",
        "sup2 sup ofo 4/3600",
        "sup3 sup trans ofo 4/3600",
        "x@sup3",
    ];
    let mut otp = sup("ofa 4/3600", &children);
    otp.enable("sup3", false);
    assert_eq!((otp.up().as_str(), otp.charged("s")), ("c1 c2", 0));
    otp.add("c3@sup2 cleanExitCodes:[0,9]");
    otp.add("c4@sup2");
    let lives = ["c1", "c2", "c3", "c4"].map(|child| otp.life(child));
    otp.exit("c4", 1);
    assert_eq!(["c1", "c2", "c3"].map(|child| otp.life(child)), lives[..3]);
    assert_ne!(otp.life("c4"), lives[3]);
    let incarnation = otp.record("sup1").unwrap().incarnation;
    otp.steps();
    otp.fail("c3", 3);
    otp.kill("c3", 0, 1);
    otp.run(200);
    let restarted = "-c4 -c2 -c1 +c1 +c2 +c3 +c4";
    let steps = otp.steps();
    assert!(
        steps.ends_with(restarted),
        "the group above is restarted: {steps}"
    );
    assert_eq!(otp.up(), "c1 c2 c3 c4");
    assert_eq!(otp.charges("s"), charges(&[("sup2", 1)]));
    assert_eq!((otp.charged("sup1"), otp.charged("sup2")), (0, 0));
    assert_eq!(otp.record("sup1").unwrap().incarnation, incarnation + 1);
}
