//! Counts, sizes, reports and names of others: cases 71 to 77 and 88 to 91.
//!
//! Rule: a row of the page is the comment of its test.

use super::{Otp, idle, sup};
use crate::model::world::Refusal;

/// How many replicas a worker has, and how many are up.
fn count(otp: &Otp, child: &str) -> (i32, i32) {
    let status = &otp.world.workers[child].status;
    (status.replicas, status.up)
}

/// Differs (replicas): The counts of replicas are those of the Pods, up to the 1,000 that a worker may have (OTP's test goes on
/// to 2,000). What has ended is not counted among the Pods, but what has finished counts as up.
#[test]
fn case_71_count_children() {
    let mut otp = sup("ofo 1/5", &["c temp replicas:0"]);
    for replicas in [500, 1000] {
        otp.edit_replicas("c", replicas);
        otp.run(4);
        for _ in 0..2 {
            assert_eq!(count(&otp, "c"), (replicas, replicas));
            assert_eq!(otp.live("c").len(), usize::try_from(replicas).unwrap());
            otp.settle();
        }
    }
    for slot in 0..1000 {
        otp.kill("c", slot, 137);
    }
    otp.run(4);
    assert_eq!(count(&otp, "c"), (0, 1000));
    assert!(otp.live("c").is_empty());
}

/// Differs (replicas): Replicas are Pods, and supervisors are declared one by one; the tree counts its workers, and
/// those that are up.
#[test]
fn case_72_count_children_supervisor() {
    let supervisors: Vec<String> = (0..20).map(|n| format!("sub{n} sup")).collect();
    let workers: Vec<String> = (0..20).map(|n| format!("c{n}@sub{n}")).collect();
    let lines = supervisors.iter().chain(&workers);
    let lines: Vec<&str> = lines.map(String::as_str).collect();
    let mut otp = sup("ofo 1/5", &lines);
    otp.run(60);
    let counts = |otp: &Otp| {
        let status = &otp.world.tree.status;
        (status.workers, status.up, status.supervisors.len())
    };
    assert_eq!(counts(&otp), (20, 20, 22));
    otp.enable("sub3", false);
    assert_eq!(counts(&otp), (20, 19, 21));
}

/// Same: What is being restarted is not counted as up, and is not forgotten either.
#[test]
fn case_73_count_restarting_children() {
    let mut otp = sup("ofo 20/10", &["c replicas:3 quorum:1"]);
    otp.exit_slot("c", 2, 1);
    assert_eq!(count(&otp, "c").1, 3);
    otp.run(60);
    for slot in ["c/0", "c/1"] {
        otp.fail(slot, 3);
    }
    otp.kill("c", 0, 1);
    otp.kill("c", 1, 1);
    otp.settle();
    assert_eq!(count(&otp, "c").1, 1);
    assert!(!otp.state().starts_with("TFF"), "{}", otp.state());
    otp.run(90);
    assert_eq!(count(&otp, "c"), (3, 3));
    for replicas in [2, 1, 0] {
        otp.replicas("c", replicas);
        assert_eq!(count(&otp, "c"), (replicas, replicas));
    }
}

/// Same: What a child was started with is kept with no child, of whatever type, and under whatever strategy.
#[test]
fn case_75_do_not_save_start_parameters_for_temporary_children() {
    let image = "i".repeat(10_000);
    for strategy in ["ofo", "ofa", "rfo"] {
        for kind in ["perm", "trans", "temp"] {
            let lines: Vec<String> = (0..10)
                .map(|n| format!("c{n} {kind} image:{image}"))
                .collect();
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let mut otp = sup(&format!("{strategy} 9/3600"), &lines);
            otp.exit("c3", 1);
            let tree = serde_json::to_string(&otp.world.tree.status).unwrap();
            assert!(!tree.contains(&image) && tree.len() < 10_000, "{tree}");
            for worker in otp.world.workers.values() {
                let worker = serde_json::to_string(&*worker.status).unwrap();
                assert!(!worker.contains(&image) && worker.len() < 2_000, "{worker}");
            }
        }
    }
}

/// How many writes it takes to stop a worker of so many replicas.
fn writes_to_stop(replicas: i32) -> usize {
    let mut otp = sup("ofo 1/5", &[&format!("c temp replicas:{replicas}")]);
    otp.run(30);
    assert_eq!(otp.live("c").len(), usize::try_from(replicas).unwrap());
    let before = otp.writes;
    otp.delete_tree(30);
    assert!(otp.is_gone());
    otp.writes - before
}

/// Same: Stopping ten times as many replicas takes about ten times as much.
#[test]
fn case_77_simple_one_for_one_scale_many_temporary_children() {
    let (few, many) = (writes_to_stop(20), writes_to_stop(200));
    assert!(many <= few * 10, "{few} writes for 20, {many} for 200");
}

/// Same: Starting and stopping ten times as many children takes about ten times as much.
#[test]
fn case_88_scale_start_stop_many_children() {
    let writes = |children: usize| {
        let lines: Vec<String> = (0..children).map(|n| format!("c{n}")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let mut otp = idle("ofo 1/5", &lines);
        let enough = 4 * i64::try_from(children).unwrap();
        otp.run(enough);
        assert_eq!(otp.up().split(' ').count(), children);
        otp.delete_tree(enough);
        assert!(otp.is_gone());
        otp.writes
    };
    let (few, many) = (writes(6), writes(60));
    assert!(many <= few * 10, "{few} writes for 6, {many} for 60");
}

/// Same: A report names the child, the reason, and what is done about it; what a program says is cut, and never
/// refused.
#[test]
fn case_89_format_log_1() {
    let mut otp = sup("ofo 2/3600", &["c1"]);
    otp.last_words = "x".repeat(20_000);
    otp.exit("c1", 3);
    let told = otp.world.tree.status.recent_faults.last().unwrap();
    assert_eq!((told.child.as_str(), told.slot), ("c1", 0));
    assert!(told.message.contains("exit code 3"), "{}", told.message);
    assert!(
        told.decision.contains("charged: restart 1 of 2"),
        "{}",
        told.decision
    );
    assert!(told.message.contains("xxxx"), "{}", told.message);
    assert!(told.message.len() <= 512 && told.decision.len() <= 256);
    assert!(otp.message().len() <= 1_024);
}

/// Same: A report is one line, whatever the program said.
#[test]
fn case_90_format_log_2() {
    let mut otp = sup("ofo 0/3600", &["c1"]);
    otp.last_words = "first\nsecond\r\n\tthird".into();
    otp.exit("c1", 3);
    let told = otp.world.tree.status.recent_faults.last().unwrap();
    assert!(told.message.contains("third"), "{}", told.message);
    for text in [&told.message, &told.decision, otp.message()] {
        assert!(!text.contains(['\n', '\r']), "{text:?}");
    }
}

/// Same: A name that somebody else holds is an error of that child alone; what holds it is neither adopted nor deleted.
#[test]
fn case_91_already_started_outside_supervisor() {
    let mut otp = sup("ofo 2/3600", &["other"]);
    let life = otp.life("other");
    otp.refuse_creates = Some(Refusal {
        kind: "Pod",
        child: "c1".into(),
        slot: Some(0),
        at: otp.now,
        code: 409,
        reason: "NameCollision".into(),
        message: "the Pod t-c1-0 belongs to somebody else".into(),
    });
    otp.add("c1 identity:Stable");
    otp.run(60);
    assert_eq!(otp.state(), "FFT NameCollision", "{}", otp.message());
    assert_eq!((otp.up().as_str(), otp.life("other")), ("other", life));
    assert_eq!((otp.steps().as_str(), otp.charged("s")), ("", 0));
    otp.refuse_creates = None;
    otp.run(600);
    assert_eq!(otp.up(), "other c1");
}
