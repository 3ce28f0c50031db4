//! Starts: cases 1 to 15.
//!
//! Rule: a row of the page is the comment of its test.

use super::{charges, child, idle, sup};
use crate::api::v1alpha1::{Child, Restart};
use crate::model::pod::RestartPolicy;

/// Same: A supervisor without children is up, and goes when it is told to.
#[test]
fn case_01_sup_start_normal() {
    let mut otp = sup("ofo 2/3600", &[]);
    assert!(otp.record("s").is_some_and(|s| s.started_time.is_some()));
    assert_eq!(&otp.state()[..3], "TFF", "{}", otp.message());
    otp.delete_tree(5);
    assert!(otp.is_gone());
}

/// Differs (no ignore): A supervisor that is not to run is disabled; it keeps its place, nothing of it runs, nothing is
/// charged.
#[test]
fn case_02_sup_start_ignore_init() {
    let mut otp = sup("ofo 1/5", &["x sup off", "a@x", "b"]);
    assert_eq!(otp.up(), "b");
    assert!(otp.record("x").is_none());
    assert_eq!(otp.charged("s"), 0);
    otp.enable("x", true);
    assert_eq!(otp.up(), "a b");
}

/// Differs (no ignore): A child that has nothing to do completes at once; it stays in the list, and the next one
/// starts.
#[test]
fn case_03_sup_start_ignore_child() {
    let mut otp = sup("ofo 1/5", &[]);
    otp.ignore("child1");
    otp.add("child1 trans ready:Completed");
    otp.add("child2");
    assert_eq!(otp.up(), "child2");
    assert_eq!(otp.steps(), "+child1 +child2");
    assert_eq!(otp.charged("s"), 0);
    assert_eq!(&otp.state()[..3], "TFF", "{}", otp.message());
}

/// Differs (no ignore): A temporary child that completes at once does not hold up the one after it.
#[test]
fn case_04_sup_start_ignore_temporary_child() {
    let mut otp = idle("ofo 1/5", &["child1 temp ready:Completed", "child2 temp"]);
    otp.ignore("child1");
    otp.run(30);
    assert_eq!(otp.up(), "child2");
    assert_eq!(otp.steps(), "+child1 +child2");
    assert_eq!(otp.charged("s"), 0);
}

/// Differs (no ignore): The same when both are added to a supervisor that is up.
#[test]
fn case_05_sup_start_ignore_temporary_child_start_child() {
    let mut otp = sup("ofo 1/5", &[]);
    otp.ignore("child1");
    otp.add("child1 temp ready:Completed");
    otp.add("child2 temp");
    assert_eq!(otp.up(), "child2");
    assert_eq!(otp.charged("s"), 0);
}

/// Differs (no ignore): A temporary replica that ends at once has finished and leaves no Pod; another one is started
/// beside it.
#[test]
fn case_06_sup_start_ignore_temporary_child_start_child_simple() {
    let mut otp = idle("ofo 1/5", &["c temp replicas:1"]);
    otp.ignore("c");
    otp.run(30);
    assert!(otp.live("c").is_empty());
    otp.replicas("c", 2);
    assert_eq!(otp.live("c"), [1]);
    assert_eq!(otp.charged("s"), 0);
}

/// Differs (no ignore): A permanent replica that ends at once is restarted and charged; it does not hold up the end of
/// the tree.
#[test]
fn case_07_sup_start_ignore_permanent_child_start_child_simple() {
    let mut otp = sup("ofo 9/3600", &["c replicas:1"]);
    otp.ignore("c/1");
    otp.replicas("c", 2);
    assert_eq!(otp.up(), "c c");
    assert_eq!(otp.world.tree.status.restarts, 1);
    otp.delete_tree(5);
    assert!(otp.is_gone());
}

/// Same: A list of children that cannot be computed from the spec starts nothing, and says why.
#[test]
fn case_09_sup_start_fail() {
    let otp = sup("ofo 1/5", &["a@nobody"]);
    assert_eq!(otp.state(), "FFT InvalidSpec", "{}", otp.message());
    assert!(otp.message().contains("nobody"), "{}", otp.message());
    assert_eq!((otp.pods().count(), otp.log.len()), (0, 0));
}

/// Differs (edits converge): An added child whose start fails is started again, which is charged; its siblings are not
/// touched.
#[test]
fn case_10_sup_start_child_returns_error() {
    let mut otp = sup("ofo 9/3600", &["child2"]);
    let life = otp.life("child2");
    otp.fail("child1", 2);
    otp.add("child1");
    assert_eq!(otp.charges("s"), charges(&[("child1", 2)]));
    assert_eq!(
        (otp.up().as_str(), otp.life("child2")),
        ("child2 child1", life)
    );
}

/// Differs (edits converge): A child that is enabled again and fails to start is started again, which is charged.
#[test]
fn case_11_sup_start_restart_child_returns_error() {
    let mut otp = sup("ofo 9/3600", &["child1"]);
    otp.enable("child1", false);
    assert_eq!((otp.up().as_str(), otp.charged("s")), ("", 0));
    otp.fail("child1", 1);
    otp.enable("child1", true);
    assert_eq!((otp.up().as_str(), otp.charged("s")), ("child1", 1));
}

/// Differs (replicas): An added replica whose start fails is charged to its own slot, and started again.
#[test]
fn case_12_sup_start_child_returns_error_simple() {
    let mut otp = sup("ofo 3/3600", &["c replicas:1"]);
    let life = otp.life("c");
    otp.fail("c/1", 2);
    otp.fail("c/2", 2);
    otp.replicas("c", 3);
    assert_eq!((otp.up().as_str(), otp.life("c")), ("c c c", life));
    assert_eq!(otp.charged("s"), 0);
    assert_eq!(otp.world.tree.status.restarts, 4);
}

/// Differs (stops): What a child does not say is filled in: permanent, not significant; but a stop has the grace of its
/// Pod.
#[test]
fn case_13_sup_start_map() {
    let spec = |line: &str| -> Child { serde_yaml::from_str(&child(line)).unwrap() };
    let worker = spec("child1").worker.unwrap();
    assert_eq!(
        (worker.restart, worker.significant),
        (Restart::Permanent, false)
    );
    assert_eq!((worker.replicas, worker.quorum), (None, 1));
    let supervisor = spec("child3 sup").supervisor.unwrap();
    assert_eq!(
        (supervisor.restart, supervisor.significant),
        (Restart::Permanent, false)
    );
    let mut otp = sup("ofo 1/5", &["child1"]);
    otp.stopping.insert("child1".into(), 60);
    otp.enable("child1", false);
    assert_eq!(otp.overran, ["child1/0"], "30 s are Kubernetes' default");
}

/// Same: Every replica is made from the one template, with the settings of its worker.
#[test]
fn case_14_sup_start_map_simple() {
    let otp = sup("ofo 1/5", &["c temp x3"]);
    let mut pods: Vec<_> = otp.pods().collect();
    assert_eq!(pods.len(), 3);
    pods.dedup_by_key(|pod| (pod.child.clone(), pod.revision.clone(), pod.restart_policy));
    assert_eq!(pods.len(), 1);
    assert_eq!(pods[0].restart_policy, RestartPolicy::Never);
}
