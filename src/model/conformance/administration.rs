//! Children that come and go by hand, and edits: cases 23, 24, 76, 83 to 86, 92 and 93.
//!
//! Rule: a row of the page is the comment of its test.

use super::{Otp, charges, sup};

/// Differs (edits converge): Stop, start, take out and add again, each of them twice: each does what it says once, and
/// is not charged; a child need not be stopped before it is taken out.
#[test]
fn case_23_child_adm() {
    let mut otp = sup("ofo 2/3600", &["child1"]);
    let mut life = otp.life("child1");
    for _ in 0..2 {
        otp.enable("child1", false);
        assert!(otp.live("child1").is_empty());
        assert_eq!(otp.world.tree.status.workers, 1);
    }
    for _ in 0..2 {
        otp.enable("child1", true);
        assert_eq!(otp.up(), "child1");
    }
    assert_eq!(otp.steps(), "-child1 +child1");
    assert_ne!(otp.life("child1"), life);
    life = otp.life("child1");
    otp.remove("nobody");
    assert_eq!(otp.life("child1"), life);
    for _ in 0..2 {
        otp.remove("child1");
        assert_eq!((otp.pods().count(), otp.world.workers.len()), (0, 0));
        assert_eq!(otp.world.tree.status.workers, 0);
    }
    otp.add("child1");
    assert_eq!(otp.up(), "child1");
    assert_ne!(otp.life("child1"), life);
    assert_eq!((otp.charged("s"), otp.world.tree.status.restarts), (0, 0));
}

/// Differs (replicas): A replica is not stopped by name: fewer are asked for. The others, and its siblings, are not
/// touched.
#[test]
fn case_24_child_adm_simple() {
    let mut otp = sup("ofo 2/3600", &["c replicas:0", "other"]);
    assert_eq!((otp.up().as_str(), &otp.state()[..3]), ("other", "TFF"));
    otp.replicas("c", 2);
    assert_eq!(otp.up(), "c c other");
    let (life, other) = (otp.life("c"), otp.life("other"));
    otp.replicas("c", 1);
    otp.replicas("c", 1);
    assert_eq!((otp.life("c"), otp.life("other")), (life, other));
    assert_eq!(otp.up(), "c other");
    otp.replicas("c", 0);
    assert_eq!((otp.up().as_str(), otp.charged("s")), ("other", 0));
}

/// Same: A child that was stopped, started, taken out and added again is restarted when it ends abnormally. (A Pod has
/// nothing to pass on but that it is Ready.)
#[test]
fn case_25_extra_return() {
    let mut otp = sup("ofo 2/3600", &["child1"]);
    otp.enable("child1", false);
    assert!(otp.live("child1").is_empty());
    otp.enable("child1", true);
    otp.remove("child1");
    assert_eq!(otp.pods().count(), 0);
    otp.add("child1");
    let life = otp.life("child1");
    otp.exit("child1", 1);
    assert_eq!((otp.up().as_str(), otp.charged("s")), ("child1", 1));
    assert_ne!(otp.life("child1"), life);
}

/// Differs (edits converge): After any end, a child that is taken out can be added again and runs; one that is left in
/// the list does what its type says.
#[test]
fn case_76_do_not_save_child_specs_for_temporary_children() {
    for strategy in ["ofo", "ofa", "rfo"] {
        for (kind, restarted) in [
            ("perm", [137, 0, 1].as_slice()),
            ("trans", &[137, 1]),
            ("temp", &[]),
        ] {
            for code in [137, 0, 1] {
                let mut otp = sup(&format!("{strategy} 9/3600"), &[]);
                otp.add(&format!("c {kind}"));
                otp.exit("c", code);
                let expected = if restarted.contains(&code) { "c" } else { "" };
                assert_eq!(otp.up(), expected, "{strategy} {kind} {code}");
                otp.remove("c");
                otp.add(&format!("c {kind}"));
                assert_eq!(otp.up(), "c", "{strategy} {kind} {code}");
                otp.enable("c", false);
                otp.enable("c", true);
                assert_eq!(otp.up(), "c", "{strategy} {kind} {code}");
            }
        }
    }
}

/// Differs (edits converge): Flags count from the next death on; a wrong spec changes nothing; a new child starts, one
/// that is left out stops, and one that stays with its template is not touched.
#[test]
fn case_83_code_change() {
    let mut otp = sup("ofo 2/3600", &[]);
    otp.rewrite("s@root sup temp ofa 1/60");
    assert_eq!((otp.steps().as_str(), otp.charged("s")), ("", 0));
    otp.add("c1");
    otp.add("c2");
    assert_eq!(
        (otp.steps().as_str(), otp.up().as_str()),
        ("+c1 +c2", "c1 c2")
    );
    let life = otp.life("c1");
    otp.add("c4@nobody");
    assert_eq!(otp.state(), "FFT InvalidSpec", "{}", otp.message());
    assert_eq!((otp.steps().as_str(), otp.up().as_str()), ("", "c1 c2"));
    otp.remove("c4");
    otp.rewrite("s@root sup temp ofa 9/1");
    assert_eq!(&otp.state()[..3], "TFF", "{}", otp.message());
    otp.rewrite("c1 trans");
    otp.add("c3");
    otp.remove("c2");
    assert_eq!((otp.steps().as_str(), otp.up().as_str()), ("+c3", "c1 c3"));
    assert_eq!(
        otp.life("c1"),
        life,
        "its settings are new, its template is not"
    );
    otp.exit("c1", 0);
    assert_eq!(otp.up(), "c3", "the new settings are in force");
}

/// Differs (edits converge): A new time to stop is part of the template, so that the child is replaced, which is not
/// charged.
#[test]
fn case_84_code_change_map() {
    let mut otp = sup("ofo 2/3600", &["c1 grace:20", "c2"]);
    let lives = [otp.life("c1"), otp.life("c2")];
    otp.rewrite("c1 grace:10");
    assert_eq!(otp.up(), "c1 c2");
    assert_ne!(otp.life_of("c1", otp.live("c1")[0]), lives[0]);
    assert_eq!((otp.life("c2"), otp.charged("s")), (lives[1].clone(), 0));
    otp.stopping.insert("c1".into(), 15);
    otp.enable("c1", false);
    assert_eq!(otp.overran, ["c1/1"], "the new time is in force");
}

/// Differs (edits converge): A new template replaces the replicas one after another, which is not charged; there is
/// always exactly one template.
#[test]
fn case_85_code_change_simple() {
    let mut otp = sup("ofo 2/3600", &["c replicas:3 quorum:2"]);
    otp.edit_template("c", "two");
    for _ in 0..60 {
        otp.run(1);
        let ready = otp
            .pods()
            .filter(|pod| pod.containers[0].ready && !pod.is_deleting());
        assert!(ready.count() >= 2, "the quorum stays");
    }
    assert_eq!(
        (otp.up().as_str(), otp.steps().matches("+c").count()),
        ("c c c", 3)
    );
    assert_eq!(otp.charges("s"), charges(&[]));
}

/// Differs (edits converge): The same with other settings beside it: they are in force from then on, and alone they touch
/// no running Pod.
#[test]
fn case_86_code_change_simple_map() {
    let mut otp = sup("ofo 2/3600", &["c replicas:3 quorum:2"]);
    let lives = |otp: &Otp| [0, 1, 2].map(|slot| otp.life_of("c", slot));
    let before = lives(&otp);
    otp.rewrite("c trans replicas:3 quorum:1");
    assert_eq!(lives(&otp), before);
    otp.edit_template("c", "two");
    otp.run(60);
    let slots = otp.live("c");
    let mut after = slots.iter().map(|slot| otp.life_of("c", *slot));
    assert!(after.all(|life| !before.contains(&life)));
    assert_eq!((otp.up().as_str(), otp.charged("s")), ("c c c", 0));
    otp.exit_slot("c", slots[0], 0);
    assert_eq!(otp.live("c"), slots[1..], "it has finished");
}

/// Same: The Workers of a tree are its list: one for each child that is in it, with what it has up.
#[test]
fn case_92_which_children() {
    let mut otp = sup("ofo 2/3600", &[]);
    let list = |otp: &Otp| {
        let workers = otp.world.workers.iter();
        let list = workers.map(|(name, worker)| format!("{name} {}", worker.status.up));
        list.collect::<Vec<_>>().join(", ")
    };
    assert_eq!(list(&otp), "");
    otp.add("c1");
    assert_eq!(list(&otp), "c1 1");
    otp.add("c2");
    assert_eq!(list(&otp), "c1 1, c2 1");
    otp.enable("c1", false);
    assert_eq!(list(&otp), "c1 0, c2 1");
    otp.remove("c1");
    assert_eq!(list(&otp), "c2 1");
}

/// Same: The Pods of a worker are the list of its replicas; one that has ended is not among its live ones.
#[test]
fn case_93_which_children_simple_one_for_one() {
    let mut otp = sup("ofo 2/3600", &["c temp replicas:0"]);
    assert!(otp.live("c").is_empty());
    otp.replicas("c", 2);
    assert_eq!(otp.live("c"), [0, 1]);
    let owner = &otp.world.workers["c"].uid;
    assert!(otp.pods().all(|pod| pod.owner_uid == *owner));
    otp.exit("c", 1);
    assert_eq!(otp.live("c"), [1]);
}
