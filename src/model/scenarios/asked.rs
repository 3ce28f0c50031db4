//! Stories of what is asked for by hand, and of what comes back with a new incarnation and what does not.
//!
//! Rule: as in all stories, the state of the world is asserted.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::v1alpha1::SupervisorStatus;
use crate::model::lab::{Behaviour, Lab};
use crate::model::tree::ROOT_NAME;

const POD: &str = "template: {spec: {containers: [{name: app, image: one}]}}";

fn spec(root: &str, children: &[&str]) -> String {
    let children = children.join("\n").replace("POD", POD);
    format!("{root}\nchildren:\n{children}\n")
}

fn lab(root: &str, children: &[&str]) -> Lab {
    let mut lab = Lab::new(&spec(root, children));
    lab.run(20);
    lab
}

fn record<'a>(lab: &'a Lab, name: &str) -> &'a SupervisorStatus {
    let records = &lab.world.tree.status.supervisors;
    records.iter().find(|record| record.name == name).unwrap()
}

/// `restartAt` of a child, or of the root, is now.
fn restart(lab: &mut Lab, child: &str) {
    let now = Some(Time(lab.now));
    lab.edit(
        |spec| match spec.children.iter_mut().find(|one| one.name == child) {
            Some(child) => child.restart_at = now,
            None => spec.restart_at = now,
        },
    );
}

#[test]
fn a_restart_asked_for_before_the_first_start_is_that_start() {
    let lab = lab(
        "restartAt: 2020-01-01T00:00:00Z",
        &[
            "- {name: s, restartAt: 2020-01-01T00:00:00Z, supervisor: {}}",
            "- {name: a, parent: s, worker: {POD}}",
        ],
    );
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(record(&lab, ROOT_NAME).incarnation, 1);
    assert_eq!(record(&lab, "s").incarnation, 1);
    let creates = lab.log.iter().filter(|entry| entry.starts_with("create"));
    assert_eq!(creates.count(), 1);
}

#[test]
fn a_supervisor_that_gave_up_is_asked_for_without_its_sibling() {
    let mut lab = lab(
        "",
        &[
            "- {name: s, supervisor: {restart: Transient, intensity: {maxRestarts: 0}}}",
            "- {name: x, parent: s, worker: {POD}}",
            "- {name: t, supervisor: {restart: Transient, intensity: {maxRestarts: 0}}}",
            "- {name: u, parent: t, supervisor: {}}",
            "- {name: y, parent: t, worker: {POD}}",
            "- {name: z, parent: u, worker: {POD}}",
        ],
    );
    lab.kill("x", 0, 1);
    lab.kill("y", 0, 1);
    lab.run(10);
    assert_eq!((lab.live("x"), lab.live("y")), (vec![], vec![]));
    let of_t = |lab: &Lab| {
        let given_up = &record(lab, ROOT_NAME).gave_up;
        given_up
            .iter()
            .filter(|entry| entry.child == "t")
            .cloned()
            .collect::<Vec<_>>()
    };
    let before = of_t(&lab);
    assert_eq!(before.len(), 1);
    restart(&mut lab, "s");
    lab.run(10);
    assert_eq!((lab.live("x"), lab.live("y")), (vec![0], vec![]));
    let given_up = &record(&lab, ROOT_NAME).gave_up;
    let given_up: Vec<&str> = given_up.iter().map(|entry| &*entry.child).collect();
    assert_eq!(given_up, ["t"]);
    assert_eq!(of_t(&lab), before, "nothing has happened to it");
    let incarnation = record(&lab, "u").incarnation;
    restart(&mut lab, "u");
    lab.run(10);
    assert_eq!(lab.live("z"), [0; 0], "what is above it is down");
    assert_eq!(record(&lab, "u").incarnation, incarnation);
}

#[test]
fn a_new_incarnation_reaches_all_supervisors_below() {
    let mut lab = lab(
        "",
        &[
            "- {name: s, supervisor: {}}",
            "- {name: x, parent: s, worker: {POD}}",
            "- {name: t, supervisor: {restart: Transient, autoShutdown: AnySignificant}}",
            "- {name: y, parent: t, worker: {restart: Transient, significant: true, POD}}",
            "- {name: u, supervisor: {restart: Temporary}}",
            "- {name: z, parent: u, worker: {POD}}",
            "- {name: v, supervisor: {restart: Temporary, autoShutdown: AnySignificant}}",
            "- {name: w, parent: v, worker: {restart: Transient, significant: true, POD}}",
        ],
    );
    lab.kill("x", 0, 1);
    lab.kill("y", 0, 0);
    lab.kill("w", 0, 0);
    lab.run(10);
    assert_eq!(lab.charges("s"), BTreeMap::from([("x".into(), 1)]));
    assert!(record(&lab, "t").finished.is_some() && record(&lab, "v").finished.is_some());
    restart(&mut lab, ROOT_NAME);
    lab.run(20);
    let live = ["x", "y", "z", "w"].map(|child| lab.live(child).len());
    assert_eq!(
        live,
        [1, 1, 1, 0],
        "a Temporary one that has ended stays so"
    );
    assert_eq!(lab.charges("s"), BTreeMap::new());
    let incarnations = ["s", "t", "u", "v"].map(|name| record(&lab, name).incarnation);
    assert_eq!(incarnations, [2, 2, 2, 1]);
}

#[test]
fn a_restart_of_the_rest_leaves_what_gave_up_before_it() {
    let mut lab = lab(
        "strategy: RestForOne",
        &[
            "- {name: s, supervisor: {restart: Transient, intensity: {maxRestarts: 0}}}",
            "- {name: x, parent: s, worker: {POD}}",
            "- {name: b, worker: {POD}}",
        ],
    );
    lab.kill("x", 0, 1);
    lab.run(10);
    assert_eq!(lab.live("x"), [0; 0]);
    let before = record(&lab, ROOT_NAME).gave_up.clone();
    assert_eq!(before.len(), 1);
    lab.kill("b", 0, 1);
    lab.run(20);
    assert_eq!((lab.live("x"), lab.live("b")), (vec![], vec![0]));
    assert_eq!(record(&lab, ROOT_NAME).gave_up, before);
}

#[test]
fn what_has_finished_runs_again_once_when_it_is_asked_for_unless_it_is_temporary() {
    let mut lab = lab(
        "",
        &[
            "- {name: a, worker: {restart: Transient, POD}}",
            "- {name: b, worker: {restart: Temporary, POD}}",
        ],
    );
    for child in ["a", "b"] {
        lab.kill(child, 0, 0);
    }
    lab.settle();
    restart(&mut lab, "a");
    lab.run(10);
    assert_eq!(
        lab.live("a"),
        [0; 0],
        "it has not finished before that second"
    );
    for child in ["a", "b"] {
        restart(&mut lab, child);
    }
    lab.run(10);
    assert_eq!((lab.live("a"), lab.live("b")), (vec![0], vec![]));
    lab.kill("a", 0, 0);
    lab.run(60);
    assert_eq!(lab.live("a"), [0; 0]);
    assert_eq!(lab.state(), "TFF Finished", "{}", lab.message());
}

#[test]
fn a_supervisor_that_was_given_up_and_runs_is_not_restarted_when_the_wait_is_over() {
    let mut lab = lab(
        "intensity: {maxRestarts: 2, periodSeconds: 600}",
        &[
            "- {name: s, supervisor: {intensity: {maxRestarts: 0}}}",
            "- {name: x, parent: s, worker: {POD}}",
            "- {name: b, worker: {POD}}",
        ],
    );
    for _ in 0..2 {
        lab.kill("x", 0, 1);
        lab.run(30);
    }
    let uid = lab.pod_mut("x", 0).uid.clone();
    lab.kill("b", 0, 1);
    lab.run(1);
    assert_eq!(record(&lab, ROOT_NAME).gave_up[0].child, "s");
    lab.run(100);
    assert_eq!(lab.pod_mut("x", 0).uid, uid);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

#[test]
fn a_first_start_fails_although_an_earlier_child_was_restarted_in_it() {
    let spec = spec(
        "startup: Ordered\nonStartFailure: Fail",
        &[
            "- {name: a, worker: {POD}}",
            "- {name: b, worker: {startDeadlineSeconds: 40, POD}}",
        ],
    );
    let mut lab = Lab::new(&spec);
    lab.behave("b", Behaviour::Hang);
    lab.run(10);
    lab.kill("a", 0, 1);
    lab.run(10);
    assert_eq!(lab.charges("(root)"), BTreeMap::from([("a".into(), 1)]));
    lab.run(40);
    assert_eq!(lab.state(), "FFT GaveUp", "{}", lab.message());
    assert_eq!(lab.live("a"), [0; 0]);
}

#[test]
fn a_temporary_child_that_cannot_start_fails_the_start_of_its_supervisor() {
    let mut lab = Lab::new(&spec(
        "startup: Ordered\nonStartFailure: Fail",
        &[
            "- {name: a, worker: {POD}}",
            "- {name: b, worker: {restart: Temporary, POD}}",
        ],
    ));
    lab.behave("b", Behaviour::Crash(0, 1));
    lab.run(12);
    assert_eq!(lab.state(), "FFT GaveUp", "{}", lab.message());
    assert_eq!(lab.live("a"), [0; 0]);
}

#[test]
fn a_temporary_worker_comes_back_with_a_new_supervisor_but_not_with_its_group() {
    let mut lab = lab(
        "strategy: OneForAll",
        &[
            "- {name: s, supervisor: {}}",
            "- {name: x, parent: s, worker: {restart: Temporary, POD}}",
            "- {name: t, worker: {restart: Temporary, POD}}",
            "- {name: b, worker: {POD}}",
        ],
    );
    lab.kill("b", 0, 1);
    lab.run(30);
    let live = ["x", "t", "b"].map(|child| lab.live(child).len());
    assert_eq!(live, [1, 0, 1]);
}

#[test]
fn a_restart_says_how_its_supervisor_came_to_an_end() {
    let ends = [
        ("intensity: {maxRestarts: 0}", 1, "gave up"),
        ("autoShutdown: AnySignificant", 0, "shut itself down"),
        ("onStartFailure: Fail", 1, "could not start"),
    ];
    for (settings, code, verb) in ends {
        let significant = if code == 0 { "significant: true, " } else { "" };
        let mut lab = Lab::new(&spec(
            "",
            &[
                &format!("- {{name: s, supervisor: {{{settings}}}}}"),
                &format!(
                    "- {{name: x, parent: s, worker: {{restart: Transient, {significant}POD}}}}"
                ),
                "- {name: y, parent: s, worker: {POD}}",
            ],
        ));
        lab.run(if verb == "could not start" { 1 } else { 20 });
        lab.behave("y", Behaviour::Hang);
        lab.kill("x", 0, code);
        lab.run(4);
        let operation = record(&lab, "s").operation.as_ref().unwrap();
        assert_eq!(operation.message, format!("restarted after it {verb}"));
        assert_eq!(lab.charges(ROOT_NAME), BTreeMap::from([("s".into(), 1)]));
    }
}
