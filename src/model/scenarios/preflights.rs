//! What the API server would refuse of a new revision shows before a Pod of a former one goes.
//!
//! Rule: nothing is touched for a template that is refused; what is no fault of the template keeps nobody from it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::rollouts::{edit, marks, three};
use super::worker;
use crate::api::v1alpha1::{RevisionMark, RolloutFailurePolicy};
use crate::model::claims;
use crate::model::lab::Lab;
use crate::model::world::Refusal;

const INVALID: (u16, &str, &str) = (
    422,
    "Invalid",
    "Pod \"x\" is invalid: spec.containers[0].resources.limits: Invalid value: must be positive",
);
const QUOTA: (u16, &str, &str) = (
    403,
    "Forbidden",
    "pods \"x\" is forbidden: exceeded quota: compute, requested: pods=1, used: pods=3, limited: pods=3",
);
const NO_DRY_RUN: (u16, &str, &str) = (
    400,
    "BadRequest",
    "admission webhook \"policy.example.com\" does not support dry run",
);
const NO_ACCOUNT: (u16, &str, &str) = (
    403,
    "Forbidden",
    "pods \"x\" is forbidden: error looking up service account ns/robot: serviceaccount \"robot\" not found",
);
const WEBHOOK_DOWN: (u16, &str, &str) = (
    500,
    "InternalError",
    "Internal error occurred: failed calling webhook \"policy.example.com\": connect: connection refused",
);

/// Refuses every Pod of that child from now on.
fn refuse(lab: &mut Lab, child: &str, (code, reason, message): (u16, &str, &str)) {
    lab.refuse_creates = Some(Refusal {
        kind: "Pod",
        child: child.into(),
        slot: None,
        at: lab.now,
        code,
        reason: reason.into(),
        message: message.into(),
    });
}

#[test]
fn a_template_that_is_refused_is_taken_back_before_anything_is_touched() {
    for settings in [
        "",
        "identity: Stable",
        "replicas: 3, update: {maxSurge: 0, maxUnavailable: 1}",
    ] {
        let mut lab = three(settings);
        refuse(&mut lab, "web", INVALID);
        edit(&mut lab, "two", &["db", "api", "web"]);
        lab.run(100);
        assert_eq!(lab.log, Vec::<String>::new(), "{settings}");
        assert_eq!(lab.tries, ["db", "api", "web"]);
        assert_eq!(lab.state(), "FFT RolledBack", "{}", lab.message());
        assert!(
            lab.message().contains("a Pod of web would be refused"),
            "{}",
            lab.message()
        );
        assert_eq!(
            marks(&lab),
            [(1, RevisionMark::Good), (2, RevisionMark::Bad)]
        );
    }
}

#[test]
fn it_is_asked_again_when_it_is_tried_again() {
    let mut lab = three("");
    refuse(&mut lab, "api", INVALID);
    edit(&mut lab, "two", &["api"]);
    lab.run(30);
    assert_eq!(lab.state(), "FFT RolledBack", "{}", lab.message());
    for (refused, state) in [(true, "FFT RolledBack"), (false, "TFF AllUp")] {
        if !refused {
            lab.refuse_creates = None;
        }
        let now = lab.now;
        lab.edit(|spec| spec.rollout.retry_at = Some(Time(now)));
        lab.run(100);
        assert_eq!(lab.state(), state, "{}", lab.message());
    }
    assert_eq!(lab.tries, ["api"; 3]);
    assert_eq!(lab.images("api"), ["two"]);
}

#[test]
fn a_rollout_that_is_not_to_be_taken_back_stays_before_its_first_pod() {
    let mut lab = three("");
    lab.edit(|spec| spec.rollout.on_failure = RolloutFailurePolicy::Pause);
    refuse(&mut lab, "api", INVALID);
    edit(&mut lab, "two", &["db", "api"]);
    lab.run(60);
    assert_eq!(lab.log, Vec::<String>::new());
    assert_eq!(lab.state(), "FFT RolloutFailed", "{}", lab.message());
}

#[test]
fn what_is_no_fault_of_the_template_keeps_nobody_from_it() {
    for answer in [QUOTA, NO_DRY_RUN, NO_ACCOUNT] {
        let mut lab = three("");
        refuse(&mut lab, "db", answer);
        // Only what is asked is answered so, and no Pod is refused.
        if let Some(refusal) = &mut lab.refuse_creates {
            refusal.slot = Some(i32::MAX);
        }
        edit(&mut lab, "two", &["db"]);
        lab.run(100);
        assert!(
            lab.events.contains(&"NotTried".to_owned()),
            "{:?}",
            lab.events
        );
        assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
        assert_eq!(lab.images("db"), ["two"]);
    }
}

#[test]
fn a_pod_that_is_refused_for_long_takes_the_tree_back() {
    let mut lab = three("");
    refuse(&mut lab, "db", NO_ACCOUNT);
    edit(&mut lab, "two", &["db"]);
    lab.run(20);
    assert_eq!(lab.condition("RolledBack").0, "False", "{}", lab.message());
    lab.run(40);
    assert_eq!(lab.state(), "FFT RolledBack", "{}", lab.message());
    assert_eq!(lab.images("db"), ["one"]);
}

#[test]
fn what_cannot_be_made_for_a_while_makes_a_rollout_late_and_no_more() {
    let mut lab = three("");
    refuse(&mut lab, "db", WEBHOOK_DOWN);
    edit(&mut lab, "two", &["db", "api"]);
    lab.run(200);
    assert_eq!(lab.condition("RolledBack").0, "False", "{}", lab.message());
    assert_eq!(marks(&lab)[1], (2, RevisionMark::Unproven));
    assert_eq!(lab.images("db"), ["one"]);
    lab.refuse_creates = None;
    lab.run(400);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(
        (lab.images("db"), lab.images("api")),
        (vec!["two"], vec!["two"])
    );
}

#[test]
fn a_claim_that_is_refused_is_no_fault_of_the_revision() {
    let mut lab = three(
        "identity: Stable, volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce]}}]",
    );
    refuse(&mut lab, "db", INVALID);
    if let Some(refusal) = &mut lab.refuse_creates {
        refusal.kind = claims::KIND;
    }
    edit(&mut lab, "two", &["db"]);
    lab.edit_replicas("db", 2);
    lab.run(100);
    assert_eq!(lab.condition("RolledBack").0, "False", "{}", lab.message());
    assert_eq!(lab.images("db"), ["one"], "one of two may be missing");
    // Also when the claim is there at last, and its Pod is not yet.
    lab.refuse_creates = None;
    lab.run(300);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(lab.images("db"), ["two", "two"]);
}

#[test]
fn nothing_is_asked_where_nothing_is_at_stake() {
    let mut lab = Lab::new(&format!("children:\n{}", worker("db", "", "")));
    lab.run(10);
    edit(&mut lab, "two", &["db"]);
    lab.run(100);
    assert_eq!(lab.tries, Vec::<String>::new());
    // To go back to what is good is not asked about, either.
    edit(&mut lab, "three", &["db"]);
    lab.run(30);
    assert_eq!(lab.tries, ["db"]);
    edit(&mut lab, "two", &["db"]);
    lab.run(60);
    assert_eq!(lab.tries, ["db"]);
    assert_eq!(lab.images("db"), ["two"]);
}
