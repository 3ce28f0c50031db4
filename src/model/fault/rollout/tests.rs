//! What controllers say of their Pods as a whole.
//!
//! Rule: what only sums up has no verdict; what a create was answered is the class.

use super::*;
use crate::model::fault::identify_object;
use crate::model::fault::testing::{at, event, object, proof};

const QUOTA: &str = "pods \"web-1\" is forbidden: exceeded quota: compute, requested: pods=1, used: pods=2, limited: pods=2";

fn of(kind: &str, reason: &str, message: &str, seconds: i64) -> EventView {
    event(reason, message).about(kind, "web").at(seconds)
}

/// Kind, type, status and reason of a condition, and the class of it.
const CONDITIONS_OF: &[(&str, &str, &str, &str, Class)] = &[
    (
        "Job",
        "Failed",
        "True",
        "BackoffLimitExceeded",
        Class::JobBackoffLimitExceeded,
    ),
    (
        "Job",
        "Failed",
        "True",
        "DeadlineExceeded",
        Class::JobDeadlineExceeded,
    ),
    (
        "Job",
        "Failed",
        "True",
        "PodFailurePolicy",
        Class::JobPodFailurePolicy,
    ),
    (
        "Job",
        "Failed",
        "True",
        "FailedIndexes",
        Class::JobFailedIndexes,
    ),
    (
        "Job",
        "Failed",
        "True",
        "MaxFailedIndexesExceeded",
        Class::JobFailedIndexes,
    ),
    (
        "Job",
        "FailureTarget",
        "True",
        "BackoffLimitExceeded",
        Class::JobBackoffLimitExceeded,
    ),
    (
        "Job",
        "FailureTarget",
        "True",
        "DeadlineExceeded",
        Class::JobDeadlineExceeded,
    ),
    (
        "Job",
        "FailureTarget",
        "True",
        "PodFailurePolicy",
        Class::JobPodFailurePolicy,
    ),
    (
        "Job",
        "FailureTarget",
        "True",
        "FailedIndexes",
        Class::JobFailedIndexes,
    ),
    (
        "Job",
        "FailureTarget",
        "True",
        "MaxFailedIndexesExceeded",
        Class::JobFailedIndexes,
    ),
    (
        "Job",
        "Complete",
        "True",
        "CompletionsReached",
        Class::NoFault,
    ),
    (
        "Job",
        "Failed",
        "False",
        "BackoffLimitExceeded",
        Class::NoFault,
    ),
    (
        "Deployment",
        "Progressing",
        "False",
        "ProgressDeadlineExceeded",
        Class::ProgressDeadlineExceeded,
    ),
    (
        "Deployment",
        "Progressing",
        "True",
        "ReplicaSetUpdated",
        Class::RolloutProgressing,
    ),
    (
        "Deployment",
        "Progressing",
        "True",
        "NewReplicaSetCreated",
        Class::RolloutProgressing,
    ),
    (
        "Deployment",
        "Progressing",
        "True",
        "FoundNewReplicaSet",
        Class::RolloutProgressing,
    ),
    (
        "Deployment",
        "Progressing",
        "True",
        "NewReplicaSetAvailable",
        Class::NoFault,
    ),
];

#[test]
fn conditions_of_a_job_or_a_deployment() {
    for (kind, type_, status, reason, class) in CONDITIONS_OF {
        let says = object(kind, "web").says(type_, status, reason, "text");
        let fault = identify_object(&says, &[]);
        assert_eq!(fault.class, *class, "{type_}={status} {reason}");
        assert_eq!(fault.class.verdict(), None);
        if *class != Class::NoFault {
            assert_eq!(
                (fault.confidence, fault.at),
                (Confidence::Proved, Some(at(5)))
            );
            let field = format!("status.conditions[{type_}].reason");
            let said = proof(&format!("{kind} web"), &field, reason);
            assert!(fault.proofs.contains(&said), "{:?}", fault.proofs);
        }
    }
}

#[test]
fn a_deadline_that_has_passed_is_told_although_the_old_pods_still_serve() {
    let late = object("Deployment", "web")
        .says("Available", "True", "MinimumReplicasAvailable", "")
        .says("Progressing", "False", "ProgressDeadlineExceeded", "");
    let fault = identify_object(&late, &[]);
    assert_eq!(fault.class, Class::ProgressDeadlineExceeded);
}

#[test]
fn a_deployment_that_has_what_it_wants_is_not_under_way() {
    let says = object("Deployment", "web")
        .says("Available", "True", "MinimumReplicasAvailable", "")
        .says("Progressing", "True", "ReplicaSetUpdated", "");
    assert_eq!(identify_object(&says, &[]).class, Class::NoFault);
    let rolls = ObjectView {
        rolls: true,
        ..says
    };
    let fault = identify_object(&rolls, &[]);
    assert_eq!(fault.class, Class::RolloutProgressing);
}

#[test]
fn events_tell_how_a_job_failed_where_its_conditions_are_not_shown() {
    for (reason, class) in [
        ("BackoffLimitExceeded", Class::JobBackoffLimitExceeded),
        ("DeadlineExceeded", Class::JobDeadlineExceeded),
        ("PodFailurePolicy", Class::JobPodFailurePolicy),
    ] {
        let fault = identify_object(&object("Job", "web"), &[of("Job", reason, "text", 20)]);
        assert_eq!(
            (fault.class, fault.confidence),
            (class, Confidence::Witnessed)
        );
        let others = of("Job", reason, "text", 20).about("Job", "other");
        let fault = identify_object(&object("Job", "web"), &[others]);
        assert_eq!(fault.class, Class::NoFault);
    }
}

#[test]
fn a_replica_that_cannot_be_created_is_told_by_the_answer_to_the_create() {
    let refused = object("ReplicaSet", "web").says("ReplicaFailure", "True", "FailedCreate", QUOTA);
    let fault = identify_object(&refused, &[]);
    assert_eq!(
        (fault.class, fault.confidence),
        (Class::QuotaExceeded, Confidence::Witnessed)
    );
    assert_eq!(fault.contributing, [Class::ReplicaCreateFailed]);
    let strange =
        object("ReplicaSet", "web").says("ReplicaFailure", "True", "FailedCreate", "moon");
    let fault = identify_object(&strange, &[]);
    assert_eq!(fault.class, Class::ReplicaCreateFailed);
    assert!(fault.contributing.is_empty());
}

#[test]
fn a_replica_that_cannot_be_created_explains_a_rollout_that_is_late() {
    let late = object("Deployment", "web")
        .says("Progressing", "False", "ProgressDeadlineExceeded", "")
        .says("ReplicaFailure", "True", "FailedCreate", QUOTA);
    assert_eq!(identify_object(&late, &[]).class, Class::QuotaExceeded);
}

#[test]
fn events_of_every_controller_tell_of_a_create_that_was_refused() {
    for (kind, reason, prefix) in [
        ("ReplicaSet", "FailedCreate", "Error creating: "),
        ("Job", "FailedCreate", "Error creating: "),
        (
            "StatefulSet",
            "FailedCreate",
            "create Pod web-0 in StatefulSet web failed error: ",
        ),
        ("DaemonSet", "FailedDaemonPod", ""),
        (
            "Deployment",
            "ReplicaSetCreateError",
            "Failed to create new replica set \"web-1\": ",
        ),
    ] {
        let text = format!("{prefix}{QUOTA}");
        let fault = identify_object(&object(kind, "web"), &[of(kind, reason, &text, 20)]);
        assert_eq!(fault.class, Class::QuotaExceeded, "{kind}");
        let said = proof(&format!("Event {reason} of {kind} web"), "message", &text);
        assert_eq!(fault.proofs, [said]);
    }
    let strange = of("ReplicaSet", "FailedCreate", "Error creating: moon", 20);
    let fault = identify_object(&object("ReplicaSet", "web"), &[strange]);
    assert_eq!(fault.class, Class::ReplicaCreateFailed);
}

#[test]
fn a_create_that_succeeded_later_cures_one_that_was_refused() {
    let refused = || of("ReplicaSet", "FailedCreate", QUOTA, 20);
    let created = |seconds| {
        of(
            "ReplicaSet",
            "SuccessfulCreate",
            "Created pod: web-1",
            seconds,
        )
    };
    let class = |events: &[EventView]| identify_object(&object("ReplicaSet", "web"), events).class;
    assert_eq!(class(&[refused(), created(30)]), Class::NoFault);
    assert_eq!(class(&[created(10), refused()]), Class::QuotaExceeded);
}

#[test]
fn a_stateful_set_may_wait_for_a_pod_that_its_new_revision_would_replace() {
    let rolls = |kind| ObjectView {
        rolls: true,
        ..object(kind, "web")
    };
    let fault = identify_object(&rolls("StatefulSet"), &[]);
    assert_eq!(
        (fault.class, fault.confidence),
        (Class::StatefulSetStuck, Confidence::Inferred)
    );
    assert_eq!(
        identify_object(&rolls("Deployment"), &[]).class,
        Class::NoFault
    );
}
