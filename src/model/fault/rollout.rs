//! Controllers: what a Deployment, a Job or a `StatefulSet` says of its Pods as a whole.
//!
//! Rule: such a class only sums up; what is wrong is found at the Pods, or in the answer to a create.
//! Sources: `pkg/controller/{deployment,replicaset,job,statefulset,daemon}` (Kubernetes 1.36).

use super::class::family;
use super::evidence::{ConditionView, EventView, ObjectView};
use super::text::{EventRule, first_event};
use super::{Class, Confidence, Fault, Proof, admission};

family! {
    /// A controller of Kubernetes sums up what became of its Pods, or the containers of a Pod were restarted
    /// on purpose. The evidence is the conditions of the Deployment, Job or `StatefulSet`, or of the Pod; the
    /// cause is in the Pods themselves.
    Rollout {
        /// A Deployment made no progress within its `progressDeadlineSeconds`. Its condition `Progressing` is
        /// false with this reason, while Pods of the revision before may still serve.
        ProgressDeadlineExceeded: None, Cluster, "Look for the cause in the newest Pods (`kubectl describe pod`). `kubectl rollout undo` brings back the revision before.";
        /// A Deployment is replacing its Pods and gets on. Its condition `Progressing` is true with the
        /// reason `ReplicaSetUpdated`.
        RolloutProgressing: None, Cluster, "It passes by itself. Worry when `kubectl rollout status` shows no change for longer than its Pods need to start.";
        /// A controller could not create Pods, so that they do not exist. Its condition `ReplicaFailure` is
        /// true, or it has Events such as `FailedCreate`.
        ReplicaCreateFailed: None, Source, "Read the message (`kubectl describe replicaset`): it is the answer of the API server, such as a quota that is used up or a webhook that says no.";
        /// The Pods of a Job failed more often than its `backoffLimit` allows. The Job's condition `Failed`
        /// has the reason `BackoffLimitExceeded`.
        JobBackoffLimitExceeded: None, Cluster, "Read the log of its last Pod (`kubectl logs` with `job/` and its name) and correct the cause. Then create the Job anew, because a failed one does not go on.";
        /// A Job was active for longer than its `activeDeadlineSeconds`. The Job's condition `Failed` has the
        /// reason `DeadlineExceeded`, even if its Pods never ran.
        JobDeadlineExceeded: None, Cluster, "See with `kubectl describe job` whether its Pods ever ran: a missing image or a lack of room can be behind it. Otherwise raise `activeDeadlineSeconds`.";
        /// A rule of the Job's `podFailurePolicy` ended the Job at the failure of a Pod. The Job's condition
        /// `Failed` has the reason `PodFailurePolicy`, and the message names the rule.
        JobPodFailurePolicy: None, Cluster, "Read the log of the Pod that the message names and correct the cause, or the rule if it is too strict. Then create the Job anew.";
        /// Some indexes of a Job failed for good. The Job's condition `Failed` has the reason `FailedIndexes`
        /// or `MaxFailedIndexesExceeded`, and `status.failedIndexes` lists them.
        JobFailedIndexes: None, Cluster, "Read the logs of the Pods of these indexes (`kubectl describe job` lists them), and run their work in a new Job when the cause is corrected.";
        /// A `StatefulSet` waits for a Pod of an old revision that never becomes Ready, and so does not bring
        /// the new one. Its `currentRevision` and `updateRevision` stay different.
        StatefulSetStuck: None, Cluster, "Correct the template first, then delete the Pod that is not Ready (`kubectl delete pod`), so that it is created again from the new revision.";
        /// All containers of the Pod were restarted in place, because a rule for the exit of one of them says
        /// so. The Pod has the condition `AllContainersRestarting`; exit code 137 of the others is not their
        /// own.
        RestartAllContainers: None, Source, "Look at the exit of the container whose `restartPolicyRules` set it off, and its log; the others mean nothing. Worry when it repeats.";
        /// Somebody changed a container of the running Pod, such as its image, and the kubelet restarts it.
        /// The Event `Killing` says that its definition changed.
        ContainerSpecChanged: None, Cluster, "It passes by itself. If nobody was meant to edit the Pod, find who did in `metadata.managedFields` (`kubectl get pod -o yaml --show-managed-fields`).";
    }
}

/// Types and reasons of conditions. An empty reason is any.
const CONDITIONS: &[(&str, &str, &str, Class)] = &[
    (
        "Failed",
        "True",
        "BackoffLimitExceeded",
        Class::JobBackoffLimitExceeded,
    ),
    (
        "Failed",
        "True",
        "DeadlineExceeded",
        Class::JobDeadlineExceeded,
    ),
    (
        "Failed",
        "True",
        "PodFailurePolicy",
        Class::JobPodFailurePolicy,
    ),
    ("Failed", "True", "FailedIndexes", Class::JobFailedIndexes),
    (
        "Failed",
        "True",
        "MaxFailedIndexesExceeded",
        Class::JobFailedIndexes,
    ),
    (
        "FailureTarget",
        "True",
        "BackoffLimitExceeded",
        Class::JobBackoffLimitExceeded,
    ),
    (
        "FailureTarget",
        "True",
        "DeadlineExceeded",
        Class::JobDeadlineExceeded,
    ),
    (
        "FailureTarget",
        "True",
        "PodFailurePolicy",
        Class::JobPodFailurePolicy,
    ),
    (
        "FailureTarget",
        "True",
        "FailedIndexes",
        Class::JobFailedIndexes,
    ),
    (
        "FailureTarget",
        "True",
        "MaxFailedIndexesExceeded",
        Class::JobFailedIndexes,
    ),
    (
        "Progressing",
        "False",
        "ProgressDeadlineExceeded",
        Class::ProgressDeadlineExceeded,
    ),
    (
        "Progressing",
        "True",
        "ReplicaSetUpdated",
        Class::RolloutProgressing,
    ),
    (
        "Progressing",
        "True",
        "NewReplicaSetCreated",
        Class::RolloutProgressing,
    ),
    (
        "Progressing",
        "True",
        "FoundNewReplicaSet",
        Class::RolloutProgressing,
    ),
];

/// Events in which a Job says how it failed, where its conditions are not shown.
const JOB_EVENTS: &[EventRule] = &[
    EventRule(
        &["BackoffLimitExceeded"],
        &[""],
        Class::JobBackoffLimitExceeded,
    ),
    EventRule(&["DeadlineExceeded"], &[""], Class::JobDeadlineExceeded),
    EventRule(&["PodFailurePolicy"], &[""], Class::JobPodFailurePolicy),
    EventRule(
        &["FailedIndexes", "MaxFailedIndexesExceeded"],
        &[""],
        Class::JobFailedIndexes,
    ),
];

/// Reasons of Events in which a controller tells that it could not create a Pod.
const REFUSED: &[&str] = &["FailedCreate", "FailedDaemonPod", "ReplicaSetCreateError"];

/// What is wrong with the Pods of a controller.
pub(super) fn judge(controller: &ObjectView, events: &[&EventView]) -> Option<Fault> {
    let failure = controller
        .condition("ReplicaFailure")
        .filter(|c| c.is_true());
    if let Some(condition) = failure {
        return Some(refused_by(controller, condition));
    }
    let conditions = CONDITIONS
        .iter()
        .find_map(|(type_, status, reason, class)| {
            let condition = controller.condition(type_)?;
            (condition.status == *status && condition.reason == *reason)
                .then_some((*class, condition))
        });
    let told =
        conditions.map(|(class, condition)| Fault::of_condition(class, controller, condition));
    let is_progress = told
        .as_ref()
        .is_some_and(|fault| fault.class == Class::RolloutProgressing);
    let told = told.filter(|_| !is_progress || !is_complete(controller));
    if told.is_some() && !is_progress {
        return told;
    }
    if let Some((class, event)) = first_event(JOB_EVENTS, events) {
        return Some(Fault::witnessed(class, &controller.object.words(), event));
    }
    refused(events).or(told).or_else(|| stuck(controller))
}

/// Whether a Deployment that once told of progress has long since what it wants.
fn is_complete(controller: &ObjectView) -> bool {
    let available = controller.condition("Available");
    available.is_some_and(ConditionView::is_true) && !controller.rolls
}

/// Why a create was refused; where the text does not say, only that it was.
fn why_refused(text: &str) -> (Class, Confidence) {
    match admission::classify_text(text) {
        (Class::Unknown, confidence) => (Class::ReplicaCreateFailed, confidence),
        known => known,
    }
}

fn refused_by(controller: &ObjectView, condition: &ConditionView) -> Fault {
    let (class, confidence) = why_refused(&condition.message);
    let mut fault = Fault::of_condition(class, controller, condition);
    fault.confidence = confidence;
    if class != Class::ReplicaCreateFailed {
        fault.contributing.push(Class::ReplicaCreateFailed);
    }
    fault
}

/// A create that was refused, unless a later one was not.
fn refused(events: &[&EventView]) -> Option<Fault> {
    let event = events
        .iter()
        .rev()
        .find(|event| REFUSED.contains(&event.reason.as_str()))?;
    let created = events
        .iter()
        .any(|later| later.reason == "SuccessfulCreate" && later.is_after(event));
    if created {
        return None;
    }
    let (class, confidence) = why_refused(event.text());
    let head = format!("{} cannot create a Pod", event.object.words());
    let fault = Fault::witnessed(class, &head, event);
    Some(Fault {
        confidence,
        ..fault
    })
}

/// A `StatefulSet` waits for a Pod of its old revision to become Ready before it replaces it, although the new one
/// would be well (kubernetes issue 67250).
fn stuck(controller: &ObjectView) -> Option<Fault> {
    if controller.object.kind != "StatefulSet" || !controller.rolls {
        return None;
    }
    let message = format!(
        "{} waits for a Pod of its old revision before it goes on to the new one",
        controller.object.words()
    );
    let fault = Fault::new(
        Class::StatefulSetStuck,
        Confidence::Inferred,
        &message,
        None,
    );
    Some(fault.proved(Proof::object(
        controller,
        "status.updateRevision",
        "not that of all Pods",
    )))
}

#[cfg(test)]
mod tests;
