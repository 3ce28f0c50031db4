//! Disruption budgets come and go with the replicas of a worker, and with what others do.
//!
//! Rule: no story of Pods is any different for them.

use std::sync::Arc;

use k8s_openapi::api::policy::v1::PodDisruptionBudgetSpec;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::json;

use super::{many, worker};
use crate::api::v1alpha1::{DisruptionBudget, NumberOrPercent, Pause, ReadyWhen, UpdateStep};
use crate::model::disruption_budgets::KIND;
use crate::model::lab::Lab;
use crate::model::world::{DisruptionBudgetView, Refusal};

/// The names of the disruption budgets that there are, with how many Pods each keeps available.
fn budgets(lab: &Lab) -> Vec<String> {
    let known = lab.world.disruption_budgets.iter().flatten();
    let least = |one: &DisruptionBudgetView| match &one.spec.min_available {
        Some(IntOrString::Int(least)) => least.to_string(),
        other => format!("{other:?}"),
    };
    known
        .map(|one| format!("{} {}", one.name, least(one)))
        .collect()
}

fn spec(least: i32, selector: &serde_json::Value) -> PodDisruptionBudgetSpec {
    let spec = json!({"minAvailable": least, "selector": selector});
    serde_json::from_value(spec).unwrap()
}

/// Somebody else makes one of that name.
fn add(lab: &mut Lab, name: &str, selector: &serde_json::Value) {
    let theirs = DisruptionBudgetView {
        name: name.into(),
        uid: format!("theirs-{name}"),
        resource_version: format!("1-of-{name}"),
        spec: spec(9, selector),
        ..DisruptionBudgetView::default()
    };
    lab.disruption_budgets_mut().push(Arc::new(theirs));
    lab.settle();
}

/// One worker, up, with a disruption budget of its own.
fn protected() -> Lab {
    let mut lab = Lab::new(&many(3, 2));
    lab.run(5);
    assert_eq!(budgets(&lab), ["t-a 2"]);
    lab
}

#[test]
fn a_worker_with_replicas_to_spare_has_one_of_its_own() {
    let mut lab = protected();
    let one = &lab.world.disruption_budgets.as_ref().unwrap()[0];
    assert_eq!(one.owner_uid, lab.world.workers["a"].uid);
    let mut expected = spec(
        2,
        &json!({"matchLabels": {"coppice.dev/tree": "t", "coppice.dev/child": "a"}}),
    );
    expected.unhealthy_pod_eviction_policy = Some("AlwaysAllow".into());
    assert_eq!(one.spec, expected);
    for (replicas, quorum, has) in [
        (3, 3, vec![]),
        (3, 1, vec!["t-a 1"]),
        (4, 3, vec!["t-a 3"]),
        (1, 3, vec![]),
        (0, 1, vec![]),
        (2, 1, vec!["t-a 1"]),
    ] {
        lab.edit_worker("a", |worker| {
            (worker.replicas, worker.quorum) = (Some(replicas), quorum);
        });
        lab.run(20);
        assert_eq!(budgets(&lab), has, "{quorum} of {replicas}");
        let warnings = lab.world.tree.status.warnings.iter();
        let warns = warnings.filter(|one| one.reason == "NoReplicaToSpare");
        let expected = usize::from(replicas > 1 && quorum >= replicas);
        assert_eq!(warns.count(), expected, "{quorum} of {replicas}");
        assert!(lab.state().starts_with("TFF"), "{}", lab.message());
    }
}

#[test]
fn replicas_that_have_finished_are_not_waited_for() {
    let settings = "replicas: 3, quorum: 2, restart: Transient";
    let mut lab = Lab::new(&format!("children:\n{}", worker("a", "", settings)));
    lab.run(5);
    assert_eq!(budgets(&lab), ["t-a 2"]);
    lab.kill("a", 0, 0);
    lab.run(20);
    assert_eq!(budgets(&lab), ["t-a 1"]);
    lab.kill("a", 1, 0);
    lab.run(20);
    assert_eq!(budgets(&lab), [""; 0]);
}

fn told_of_budgets(lab: &Lab) -> Vec<&String> {
    let told = lab.told.iter();
    told.filter(|one| one.contains("Budget")).collect()
}

/// Only what others put back is written later and later.
#[test]
fn however_often_something_else_is_wanted_it_is_written_at_once() {
    let settings = "replicas: 10, quorum: 9, restart: Transient";
    let mut lab = Lab::new(&format!("children:\n{}", worker("a", "", settings)));
    lab.run(5);
    for finished in 1..=8 {
        lab.kill("a", finished, 0);
        lab.run(1);
        assert_eq!(budgets(&lab), [format!("t-a {}", 9 - finished)]);
    }
    assert_eq!(told_of_budgets(&lab), [""; 0]);
    let mut lab = Lab::new(&many(9, 1));
    lab.run(5);
    for quorum in (2..9).chain([3, 8]) {
        lab.edit_worker("a", |worker| worker.quorum = quorum);
        lab.run(1);
        assert_eq!(budgets(&lab), [format!("t-a {quorum}")]);
    }
    assert_eq!(told_of_budgets(&lab), [""; 0]);
}

/// A kubelet says that a container without a probe is Ready until it has pulled the new image.
#[test]
fn a_pod_that_changes_in_place_does_not_count_while_it_is_still_ready() {
    let update = "update: {maxSurge: 0, maxUnavailable: 1, method: InPlaceIfPossible}";
    let settings = format!("replicas: 4, quorum: 2, {update}");
    let mut lab = Lab::new(&format!("children:\n{}", worker("a", "", &settings)));
    lab.run(90);
    assert_eq!(budgets(&lab), ["t-a 2"]);
    lab.log.clear();
    lab.edit_template("a", "two");
    lab.settle();
    assert_eq!(lab.slots_with("a", "two").len(), 1, "{:?}", lab.log);
    assert_eq!(budgets(&lab), ["t-a 3"]);
    let place = |what: &str| lab.log.iter().position(|line| line.starts_with(what));
    let (raised, patched) = (place("change a disruption budget"), place("patch a/"));
    assert!(raised.is_some() && raised < patched, "{:?}", lab.log);
    for _ in 0..60 {
        lab.run(1);
        let ready = lab.pods().filter(|pod| pod.is_ready()).count();
        let least = budgets(&lab);
        assert!(least == ["t-a 2"] || ready == 4, "{least:?} of {ready}");
    }
    assert_eq!(lab.images("a"), ["two"; 4]);
    assert_eq!(budgets(&lab), ["t-a 2"]);
    assert_eq!(told_of_budgets(&lab), [""; 0]);
}

#[test]
fn a_worker_whose_replicas_need_not_be_ready_has_none() {
    let mut lab = Lab::new(&many(3, 2));
    lab.edit_worker("a", |worker| {
        worker.ready = ReadyWhen::Running;
        worker.template.0["spec"]["containers"][0]["readinessProbe"] = json!({"exec": {}});
    });
    lab.run(60);
    assert_eq!(budgets(&lab), [""; 0]);
}

#[test]
fn pods_of_a_former_template_are_not_put_under_two() {
    let mut lab = Lab::new(&many(3, 2));
    lab.edit_worker("a", |worker| {
        worker.template.0["metadata"] = json!({"labels": {"version": "one"}});
    });
    lab.run(200);
    add(
        &mut lab,
        "theirs",
        &json!({"matchLabels": {"version": "one"}}),
    );
    lab.run(5);
    assert_eq!(budgets(&lab), ["theirs 9"]);
    lab.edit_worker("a", |worker| {
        worker.template.0["metadata"] = json!({"labels": {"version": "two"}});
        worker.update.steps = vec![
            UpdateStep {
                updated: Some(NumberOrPercent(IntOrString::Int(1))),
                ..UpdateStep::default()
            },
            UpdateStep {
                pause: Some(Pause {}),
                ..UpdateStep::default()
            },
        ];
    });
    lab.run(60);
    assert_eq!(
        lab.condition("Reconciling").1,
        "RolloutPaused",
        "{}",
        lab.message()
    );
    assert_eq!(budgets(&lab), ["theirs 9"]);
}

#[test]
fn one_that_others_scale_has_one_while_it_has_replicas_to_spare() {
    let mut lab = Lab::new(&format!("children:\n{}", worker("a", "", "quorum: 2")));
    for (replicas, has) in [(1, vec![]), (2, vec![]), (3, vec!["t-a 2"]), (2, vec![])] {
        lab.settle();
        lab.world.workers.get_mut("a").unwrap().replicas = replicas;
        lab.run(20);
        assert_eq!(budgets(&lab), has, "of {replicas}");
        let warns = lab.world.tree.status.warnings.len();
        assert_eq!(warns, usize::from(replicas == 2), "of {replicas}");
    }
}

#[test]
fn a_worker_that_is_not_to_run_has_none() {
    let mut lab = protected();
    lab.edit(|spec| spec.children[0].enabled = false);
    lab.run(10);
    assert_eq!(budgets(&lab), [""; 0]);
    lab.edit(|spec| spec.children[0].enabled = true);
    lab.run(10);
    assert_eq!(budgets(&lab), ["t-a 2"]);
    lab.edit(|spec| spec.suspend = true);
    lab.run(10);
    assert_eq!(budgets(&lab), [""; 0]);
    lab.edit(|spec| spec.suspend = false);
    lab.run(10);
    assert_eq!(budgets(&lab), ["t-a 2"]);
    lab.edit_worker("a", |worker| {
        worker.disruption_budget = DisruptionBudget::None;
    });
    lab.run(10);
    assert_eq!(budgets(&lab), [""; 0]);
    let completes = "replicas: 3, restart: Transient, ready: Completed";
    let mut lab = Lab::new(&format!("children:\n{}", worker("a", "", completes)));
    lab.run(5);
    assert_eq!(budgets(&lab), [""; 0]);
}

#[test]
fn it_goes_with_its_child() {
    let mut lab = protected();
    lab.edit(|spec| spec.children.clear());
    lab.run(20);
    assert_eq!(budgets(&lab), [""; 0]);
}

#[test]
fn a_surge_does_not_change_it() {
    let mut lab = protected();
    lab.edit_worker("a", |worker| {
        worker.update.max_surge = Some(NumberOrPercent(IntOrString::Int(3)));
    });
    lab.edit_template("a", "two");
    for _ in 0..20 {
        lab.run(1);
        assert_eq!(budgets(&lab), ["t-a 2"]);
    }
    assert_eq!(lab.images("a"), ["two"; 3]);
}

#[test]
fn it_is_put_back_when_somebody_meddles_with_it() {
    let mut lab = protected();
    let wanted = lab.world.disruption_budgets.clone().unwrap()[0]
        .spec
        .clone();
    let own = Arc::make_mut(&mut lab.disruption_budgets_mut()[0]);
    own.spec = spec(0, &json!({"matchLabels": {"app": "another"}}));
    lab.settle();
    assert_eq!(
        lab.world.disruption_budgets.as_ref().unwrap()[0].spec,
        wanted
    );
    lab.disruption_budgets_mut().clear();
    lab.run(2);
    assert_eq!(budgets(&lab), ["t-a 2"]);
    // One that is on its way out still has the name.
    Arc::make_mut(&mut lab.disruption_budgets_mut()[0]).deleting = true;
    lab.settle();
    assert_eq!(lab.disruption_budgets_mut().len(), 1);
}

/// As an admission webhook that has its own idea of it.
#[test]
fn one_that_is_changed_back_each_time_is_written_later_and_later() {
    let mut lab = protected();
    let theirs = spec(0, &json!({"matchLabels": {"app": "another"}}));
    lab.admitted_budget = Some(theirs.clone());
    Arc::make_mut(&mut lab.disruption_budgets_mut()[0]).spec = theirs;
    lab.run(60);
    let changes = lab.log.iter().filter(|entry| entry.starts_with("change a"));
    let changes = changes.count();
    assert!((5..=8).contains(&changes), "{changes} in a minute");
    assert_eq!(
        told_of_budgets(&lab),
        [
            "Warning DisruptionBudgetNotStored: a has not the disruption budget that it is to have, so that evictions may take it below its quorum: three changes of it in a row did not last; tried again"
        ]
    );
    lab.admitted_budget = None;
    lab.run(70);
    assert_eq!(budgets(&lab), ["t-a 2"]);
    lab.run(700);
    lab.edit_replicas("a", 4);
    lab.run(5);
    assert_eq!(lab.world.workers["a"].status.disruption_budget_brake, None);
}

#[test]
fn there_is_none_beside_that_of_somebody_else() {
    let mut lab = protected();
    add(
        &mut lab,
        "strange",
        &json!({"matchLabels": {"app": "another"}}),
    );
    assert_eq!(budgets(&lab), ["t-a 2", "strange 9"]);
    add(&mut lab, "theirs", &json!({}));
    assert_eq!(budgets(&lab), ["strange 9", "theirs 9"]);
    lab.disruption_budgets_mut().pop();
    lab.settle();
    assert_eq!(budgets(&lab), ["strange 9", "t-a 2"]);
}

#[test]
fn one_that_is_refused_is_told_once_and_tried_again_later_and_later() {
    let mut lab = Lab::new(&many(3, 2));
    lab.refuse_creates = Some(Refusal {
        kind: KIND,
        child: "a".into(),
        slot: None,
        at: lab.now,
        code: 403,
        reason: "Forbidden".into(),
        message: "poddisruptionbudgets.policy is forbidden: User \"u\" cannot create resource"
            .into(),
    });
    lab.run(60);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(lab.live("a"), [0, 1, 2]);
    let tries = |lab: &Lab| {
        let refused = lab.log.iter().filter(|entry| entry.starts_with("refused"));
        refused.count()
    };
    assert!((5..=8).contains(&tries(&lab)), "{:?}", lab.log);
    assert_eq!(lab.events, ["DisruptionBudgetNotStored"]);
    assert_eq!(
        lab.told,
        [
            "Warning DisruptionBudgetNotStored: a has not the disruption budget that it is to have, so that evictions may take it below its quorum: the PodDisruptionBudget could not be written (403 Forbidden): poddisruptionbudgets.policy is forbidden: User \"u\" cannot create resource; tried again"
        ]
    );
    lab.refuse_creates = None;
    lab.run(70);
    assert_eq!(budgets(&lab), ["t-a 2"]);
    lab.run(700);
    lab.edit_replicas("a", 4);
    lab.run(5);
    assert_eq!(lab.world.workers["a"].status.disruption_budget_brake, None);
    let before = tries(&lab);
    lab.run(100);
    assert_eq!(tries(&lab), before);
}

/// An installation that may not read them does without.
#[test]
fn none_is_written_where_they_may_not_be_read() {
    let mut lab = Lab::new(&many(3, 2));
    lab.world.disruption_budgets = None;
    lab.run(5);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(lab.world.disruption_budgets, None);
}
