//! Kinds of children: what is restarted after which end, and what counts as finished.
//!
//! Rule: a trace names stops (`-a`) and starts (`+a`).

use std::collections::BTreeMap;

use super::{trace, worker};
use crate::model::lab::{Behaviour, Lab};

fn lab(root: &str, children: &[(&str, &str)]) -> Lab {
    let list = children
        .iter()
        .map(|(name, settings)| worker(name, "", settings));
    let list: String = list.collect();
    let mut lab = Lab::new(&format!("{root}\nchildren:\n{list}"));
    lab.run(20);
    lab
}

#[test]
fn a_transient_worker_finishes_with_a_clean_end() {
    let mut lab = lab("", &[("a", "restart: Transient"), ("b", "")]);
    let since = lab.log.len();
    lab.kill("a", 0, 0);
    lab.run(100);
    assert_eq!(trace(&lab, since), "");
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(
        (lab.charges("(root)"), lab.world.tree.status.restarts),
        (BTreeMap::new(), 0)
    );
    assert!(
        lab.events.contains(&"ChildFinished".to_owned()),
        "{:?}",
        lab.events
    );
}

#[test]
fn a_transient_worker_is_restarted_after_an_abnormal_end() {
    let mut lab = lab("", &[("a", "restart: Transient")]);
    lab.kill("a", 0, 3);
    lab.run(20);
    assert_eq!(lab.charges("(root)"), BTreeMap::from([("a".into(), 1)]));
    assert_eq!(lab.state(), "TFF AllUp");
    lab.kill("a", 0, 0);
    lab.run(20);
    assert_eq!(lab.state(), "TFF Finished", "{}", lab.message());
    assert!(lab.live("a").is_empty());
}

#[test]
fn a_temporary_worker_is_never_restarted() {
    for code in [0, 1] {
        let mut lab = lab("", &[("a", "restart: Temporary"), ("b", "")]);
        let since = lab.log.len();
        lab.kill("a", 0, code);
        lab.run(20);
        lab.edit_template("a", "two");
        lab.run(20);
        assert_eq!(trace(&lab, since), "", "code {code}");
        assert_eq!(lab.state(), "TFF AllUp");
        assert_eq!(lab.charges("(root)"), BTreeMap::new());
    }
}

#[test]
fn a_permanent_worker_is_restarted_and_charged_after_a_clean_end() {
    let mut lab = lab("strategy: OneForAll", &[("a", ""), ("b", "")]);
    let since = lab.log.len();
    lab.kill("a", 0, 0);
    lab.run(20);
    assert_eq!(trace(&lab, since), "-b +a +b");
    assert_eq!(lab.charges("(root)"), BTreeMap::from([("a".into(), 1)]));
}

#[test]
fn exit_codes_that_the_worker_calls_clean_finish_it() {
    let mut lab = lab("", &[("a", "restart: Transient, cleanExitCodes: [0, 3]")]);
    lab.kill("a", 0, 3);
    lab.run(20);
    assert_eq!(lab.state(), "TFF Finished", "{}", lab.message());
    let mut lab = self::lab("", &[("a", "restart: Transient, cleanExitCodes: [3]")]);
    lab.kill("a", 0, 0);
    lab.run(20);
    assert_eq!(
        lab.charges("(root)"),
        BTreeMap::from([("a".into(), 1)]),
        "0 is not in the list"
    );
}

#[test]
fn a_polite_program_that_others_stop_has_not_finished() {
    let mut lab = lab("", &[("a", "restart: Transient")]);
    lab.delete_by_hand("a", 0);
    lab.kill_deleted("a", 0);
    lab.run(20);
    assert_eq!(lab.live("a"), [0], "it is replaced");
    assert_eq!(lab.state(), "TFF AllUp");
}

#[test]
fn what_has_finished_runs_again_with_its_group_and_after_an_edit() {
    let mut lab = lab(
        "strategy: OneForAll",
        &[
            ("a", ""),
            ("b", "restart: Transient"),
            ("c", "restart: Temporary"),
        ],
    );
    lab.kill("b", 0, 0);
    lab.run(5);
    let since = lab.log.len();
    lab.kill("a", 0, 1);
    lab.run(20);
    assert_eq!(
        trace(&lab, since),
        "-c +a +b",
        "the temporary one is stopped and forgotten"
    );
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    lab.kill("b", 0, 0);
    lab.run(5);
    assert!(lab.live("b").is_empty());
    lab.edit_template("b", "two");
    lab.run(20);
    assert_eq!(lab.live("b"), [0], "its template is another one");
    lab.kill("a", 0, 1);
    lab.run(20);
    assert!(lab.live("c").is_empty());
}

#[test]
fn completion_is_awaited_before_the_next_starts() {
    let mut lab = lab(
        "strategy: RestForOne",
        &[
            ("db", ""),
            ("migrate", "restart: Transient, ready: Completed"),
            ("api", ""),
        ],
    );
    assert!(lab.live("api").is_empty(), "migrate still runs");
    assert_eq!(lab.state(), "FTF Starting", "{}", lab.message());
    lab.run(1000);
    assert_eq!(
        lab.state(),
        "FTF Starting",
        "no deadline: {}",
        lab.message()
    );
    lab.kill("migrate", 0, 0);
    lab.run(20);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    let since = lab.log.len();
    lab.kill("db", 0, 1);
    lab.run(20);
    lab.kill("migrate", 0, 0);
    lab.run(20);
    assert_eq!(trace(&lab, since), "-api +db +migrate +api");
    let restarts = lab.world.tree.status.restarts;
    lab.kill("api", 0, 1);
    lab.run(20);
    assert_eq!(trace(&lab, since), "-api +db +migrate +api +api");
    assert_eq!(lab.world.tree.status.restarts, restarts + 1);
}

#[test]
fn a_completion_that_fails_is_a_failed_start() {
    let mut lab = lab(
        "strategy: RestForOne",
        &[
            ("migrate", "restart: Transient, ready: Completed"),
            ("api", ""),
        ],
    );
    lab.kill("migrate", 0, 1);
    lab.run(20);
    assert_eq!(
        lab.charges("(root)"),
        BTreeMap::from([("migrate".into(), 1)])
    );
    assert_eq!(lab.live("migrate"), [0]);
    assert!(lab.live("api").is_empty());
}

#[test]
fn a_kubelet_that_starts_what_has_finished_is_stopped() {
    let mut lab = lab("", &[("a", ""), ("b", "")]);
    lab.edit(|spec| {
        let worker = spec.children[0].worker.as_mut().unwrap();
        worker.restart = crate::api::v1alpha1::Restart::Transient;
    });
    lab.run(5);
    lab.kill("a", 0, 0);
    lab.run(20);
    assert!(
        lab.live("a").is_empty(),
        "its Pod still had the policy Always"
    );
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    lab.behave("a", Behaviour::Healthy);
}

#[test]
fn what_ends_cleanly_beside_a_replica_that_was_given_up_has_finished() {
    let mut lab = lab(
        "intensity: {maxRestarts: 0}",
        &[("a", "restart: Transient, replicas: 2, quorum: 2")],
    );
    lab.kill("a", 1, 1);
    lab.run(5);
    assert_eq!(lab.state(), "FFT GaveUp", "{}", lab.message());
    lab.kill("a", 0, 0);
    lab.run(100);
    assert_eq!(lab.live("a"), [1], "only what failed was tried again");
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}
