//! Rules of `faultPolicy`: what they change, and what stays as it is.
//!
//! Rule: a rule changes what follows from a fault, never its name.

use super::{charges, worker};
use crate::api::v1alpha1::RecentFault;
use crate::model::lab::{Behaviour, Lab};
use crate::model::pod::RestartPolicy;
use crate::model::tree::Tree;

/// A tree with one worker, with these rules on the root and on the worker.
fn ruled(root: &str, own: &str) -> Lab {
    let policy = |rules: &str| format!("faultPolicy: {{rules: [{rules}]}}");
    let mut lab = Lab::new(&format!(
        "{}\nchildren:\n{}",
        policy(root),
        worker("a", "", &policy(own))
    ));
    lab.run(5);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    lab
}

fn last(lab: &Lab) -> &RecentFault {
    &lab.world.tree.status.recent_faults[0]
}

#[test]
fn a_restart_that_is_exempt_costs_nothing() {
    let mut lab = ruled(
        "",
        "{match: {exitCodes: [75]}, action: Restart, charge: Exempt}",
    );
    assert_eq!(lab.pod_mut("a", 0).restart_policy, RestartPolicy::Always);
    for _ in 0..6 {
        lab.kill("a", 0, 75);
        lab.run(60);
    }
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(lab.charges("(root)"), charges(&[]));
    let fault = last(&lab);
    assert_eq!(
        (
            fault.class.as_str(),
            fault.verdict.as_str(),
            fault.charge.as_str()
        ),
        ("AppExitedNonZero", "Application", "Exempt")
    );
    assert_eq!(fault.rule, "spec.children[a].worker.faultPolicy.rules[0]");
    lab.kill("a", 0, 1);
    lab.run(5);
    assert_eq!(lab.charges("(root)"), charges(&[("a", 1)]));
    assert_eq!(
        (last(&lab).rule.as_str(), last(&lab).charge.as_str()),
        ("verdict", "Charged")
    );
}

#[test]
fn a_replica_that_is_held_by_a_rule_is_left_as_it_is_until_its_template_changes() {
    let mut lab = ruled("", "{match: {exitCodes: [3]}, action: Hold}");
    let pod = lab.pod_mut("a", 0);
    assert_eq!(pod.restart_policy, RestartPolicy::Never);
    let uid = pod.uid.clone();
    lab.kill("a", 0, 3);
    lab.run(120);
    assert_eq!(lab.state(), "FFT Held", "{}", lab.message());
    assert_eq!(lab.charges("(root)"), charges(&[]));
    assert!(lab.pods().any(|pod| pod.uid == uid && pod.is_terminal()));
    assert_eq!(lab.pods().count(), 1);
    lab.edit_template("a", "two");
    lab.run(60);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

#[test]
fn an_escalation_gives_up_whatever_is_left_of_the_budget() {
    let rule = "{match: {classes: [AppExitedNonZero], containers: [app]}, action: Escalate}";
    let mut lab = ruled(rule, "");
    lab.kill("a", 0, 2);
    lab.run(5);
    assert_eq!(lab.state(), "FFT GaveUp", "{}", lab.message());
    assert!(
        lab.message()
            .contains("a rule of `faultPolicy` escalates it"),
        "{}",
        lab.message()
    );
    assert_eq!(last(&lab).rule, "spec.faultPolicy.rules[0]");
    lab.run(60);
    assert_eq!(lab.live("a"), [0], "the root tries again");
}

/// The replicas beside it are no reason to go on: the rule is about the fault, not about how many are left.
#[test]
fn one_replica_of_several_escalates_too() {
    let rule = "{match: {exitCodes: [2]}, action: Escalate}";
    let settings = format!("replicas: 3, faultPolicy: {{rules: [{rule}]}}");
    let mut lab = Lab::new(&format!("children:\n{}", worker("a", "", &settings)));
    lab.run(5);
    lab.kill("a", 1, 2);
    lab.run(5);
    assert_eq!(lab.state(), "FFT GaveUp", "{}", lab.message());
}

#[test]
fn the_first_rule_that_matches_decides_and_those_of_the_worker_come_first() {
    let hold = "{match: {families: [Application]}, action: Hold}";
    let own = "{match: {exitCodes: [9]}, action: Restart}, {match: {exitCodes: [9]}, action: Hold}";
    let mut lab = ruled(hold, own);
    lab.kill("a", 0, 9);
    lab.run(30);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(lab.charges("(root)"), charges(&[("a", 1)]));
    lab.kill("a", 0, 1);
    lab.run(60);
    assert_eq!(
        lab.state(),
        "FFT Held",
        "what its own rules do not name is the root's"
    );
    assert_eq!(last(&lab).rule, "spec.faultPolicy.rules[0]");
}

#[test]
fn what_is_held_by_itself_is_restarted_where_a_rule_says_so() {
    let rule = "{match: {classes: [ImageNotFound]}, action: Restart}";
    let mut lab = ruled("", rule);
    lab.behave("a", Behaviour::NoImage);
    lab.delete_by_hand("a", 0);
    lab.run(200);
    let told = lab.world.tree.status.recent_faults.iter();
    let failed = told.filter(|fault| fault.class == "ImageNotFound" && fault.charge == "Charged");
    assert!(
        failed.count() >= 4,
        "{:?}",
        lab.world.tree.status.recent_faults
    );
    assert_eq!(lab.state(), "FFT GaveUp", "{}", lab.message());
}

#[test]
fn a_rule_that_names_nothing_that_there_is_is_refused() {
    let refusal = |rule: &str| {
        let spec = format!("faultPolicy: {{rules: [{rule}]}}\nchildren: []");
        let spec = serde_yaml::from_str(&spec).unwrap();
        let error = Tree::parse("t", &spec).unwrap_err();
        (error.field.clone(), error.to_string())
    };
    let (field, message) = refusal("{match: {classes: [OomKiled]}, action: Hold}");
    assert_eq!(field, "spec.faultPolicy.rules[0].match.classes");
    assert!(message.contains("'OomKiled'"), "{message}");
    let (field, _) = refusal("{match: {families: [Images]}, action: Hold}");
    assert_eq!(field, "spec.faultPolicy.rules[0].match.families");
    let (field, _) = refusal("{match: {classes: [NoFault]}, action: Hold}");
    assert_eq!(
        field, "spec.faultPolicy.rules[0].match.classes",
        "it has no verdict"
    );
    let (field, _) = refusal("{match: {exitCodes: [1]}, action: Hold, charge: Exempt}");
    assert_eq!(field, "spec.faultPolicy.rules[0].charge");
    let (field, _) = refusal("{match: {}, action: Hold}");
    assert_eq!(field, "spec.faultPolicy.rules[0].match");
}

/// The container beside it goes on, so that the Pod is not over.
#[test]
fn a_replica_of_two_containers_is_held_although_one_goes_on() {
    let mut lab = ruled("", "{match: {exitCodes: [65]}, action: Hold}");
    let mut beside = lab.pod_mut("a", 0).containers[0].clone();
    beside.name = "beside".into();
    lab.pod_mut("a", 0).containers.push(beside);
    lab.settle();
    let uid = lab.pod_mut("a", 0).uid.clone();
    lab.kill("a", 0, 65);
    lab.run(120);
    assert_eq!(lab.state(), "FFT Held", "{}", lab.message());
    assert_eq!(lab.pod_mut("a", 0).uid, uid);
    assert_eq!(lab.pods().count(), 1);
}

#[test]
fn what_escalates_is_given_up_and_not_who_died_more_often() {
    let rule = "faultPolicy: {rules: [{match: {exitCodes: [2]}, action: Escalate}]}";
    let mut lab = Lab::new(&format!(
        "children:\n{}{}",
        worker("a", "", rule),
        worker("b", "", "")
    ));
    lab.run(5);
    for _ in 0..2 {
        lab.kill("b", 0, 1);
        lab.run(40);
    }
    lab.kill("a", 0, 2);
    lab.run(5);
    assert!(lab.message().contains("gave up on a"), "{}", lab.message());
    assert_eq!(lab.live("b"), [0]);
}

#[test]
fn what_keeps_a_pod_from_starting_is_not_how_it_ended_before() {
    let mut lab = ruled(
        "",
        "{match: {exitCodes: [0, 1]}, action: Restart, charge: Exempt}",
    );
    lab.kill("a", 0, 1);
    lab.run(5);
    lab.behave("a", Behaviour::NoImage);
    lab.delete_by_hand("a", 0);
    lab.run(60);
    assert_eq!(lab.state(), "FFT Held", "{}", lab.message());
}
