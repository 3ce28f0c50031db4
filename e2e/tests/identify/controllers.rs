//! What Kubernetes' own controllers say of their Pods.
//!
//! Rule: the Pods are left out of what is looked at, because with them the answer is about them.

use serde_json::{Value, json};

use super::expected::fault;
use super::kit::Case;
use super::specs::{idle_with, merge, script};

/// A Job with that spec of its Pods and these fields of its own spec.
fn job(mut pods: Value, fields: Value) -> Value {
    merge(&mut pods, json!({"restartPolicy": "Never"}));
    let mut spec = json!({"template": {"spec": pods}});
    merge(&mut spec, fields);
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": spec})
}

/// A Deployment with that spec of its Pods and these fields of its own spec.
fn deployment(pods: &Value, fields: Value) -> Value {
    let labels = json!({"app": "d"});
    let template = json!({"metadata": {"labels": labels}, "spec": pods});
    let mut spec = json!({"selector": {"matchLabels": labels}, "template": template});
    merge(&mut spec, fields);
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec})
}

const FAILED: &str = "conditions[Failed].reason";

#[tokio::test]
async fn job_backoff_limit_exceeded() {
    let case = Case::new("job").await;
    case.apply(&[job(script("exit 1"), json!({"backoffLimit": 0}))]);
    let expected = fault("JobBackoffLimitExceeded", "None", "Proved");
    let expected = expected.by(FAILED, "BackoffLimitExceeded");
    case.shows_of_object("Job", "j", expected).await;
}

#[tokio::test]
async fn job_deadline_exceeded() {
    let case = Case::new("job-deadline").await;
    let fields = json!({"activeDeadlineSeconds": 2});
    case.apply(&[job(idle_with(json!({})), fields)]);
    let expected = fault("JobDeadlineExceeded", "None", "Proved");
    let expected = expected.by(FAILED, "DeadlineExceeded");
    case.shows_of_object("Job", "j", expected).await;
}

#[tokio::test]
async fn job_pod_failure_policy() {
    let case = Case::new("job-policy").await;
    let on = json!({"operator": "In", "values": [42]});
    let policy = json!({"rules": [{"action": "FailJob", "onExitCodes": on}]});
    case.apply(&[job(script("exit 42"), json!({"podFailurePolicy": policy}))]);
    let expected = fault("JobPodFailurePolicy", "None", "Proved");
    let expected = expected.by(FAILED, "PodFailurePolicy");
    case.shows_of_object("Job", "j", expected).await;
}

#[tokio::test]
async fn job_failed_indexes() {
    let case = Case::new("job-indexes").await;
    let fields = json!({"completionMode": "Indexed", "completions": 2, "parallelism": 2, "backoffLimitPerIndex": 0});
    case.apply(&[job(script("exit $JOB_COMPLETION_INDEX"), fields)]);
    let expected = fault("JobFailedIndexes", "None", "Proved");
    let expected = expected.by(FAILED, "FailedIndexes");
    case.shows_of_object("Job", "j", expected).await;
}

#[tokio::test]
async fn progress_deadline_exceeded() {
    let case = Case::new("progress").await;
    let spec = idle_with(json!({"nodeSelector": {"coppice.test/kind": "not-there"}}));
    case.apply(&[deployment(&spec, json!({"progressDeadlineSeconds": 2}))]);
    let expected = fault("ProgressDeadlineExceeded", "None", "Proved");
    let expected = expected.by("conditions[Progressing].reason", "ProgressDeadlineExceeded");
    case.shows_of_object("Deployment", "d", expected).await;
}

#[tokio::test]
async fn priority_class_missing_as_a_deployment_tells_it() {
    let case = Case::new("replicas").await;
    let spec = idle_with(json!({"priorityClassName": "not-there"}));
    case.apply(&[deployment(&spec, json!({}))]);
    let expected = fault("PriorityClassMissing", "Hold", "Witnessed");
    let expected = expected.by("conditions[ReplicaFailure].message", "not-there");
    case.shows_of_object("Deployment", "d", expected).await;
}

#[tokio::test]
async fn rollout_progressing() {
    let case = Case::new("rollout").await;
    let spec = idle_with(json!({"nodeSelector": {"coppice.test/kind": "not-there"}}));
    case.apply(&[deployment(&spec, json!({}))]);
    let expected = fault("RolloutProgressing", "None", "Proved");
    let expected = expected.by("conditions[Progressing].reason", "ReplicaSetUpdated");
    case.shows_of_object("Deployment", "d", expected).await;
}

#[tokio::test]
async fn stateful_set_stuck() {
    let case = Case::new("stateful").await;
    let labels = json!({"app": "s"});
    let set = |kind: &str| {
        let pods = idle_with(json!({"nodeSelector": {"coppice.test/kind": kind}}));
        let template = json!({"metadata": {"labels": labels}, "spec": pods});
        let spec =
            json!({"serviceName": "s", "selector": {"matchLabels": labels}, "template": template});
        json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "s"}, "spec": spec})
    };
    // The first Pod never becomes Ready, so the next revision, however good, does not come.
    case.apply(&[set("not-there")]);
    let wait = ["wait", "pod/s-0", "--for=create", "--timeout=60s"];
    case.space.kubectl(&wait);
    case.apply(&[set("neither")]);
    // Its status has no field that says so: it follows from the revisions.
    let expected = fault("StatefulSetStuck", "None", "Inferred");
    let expected = expected.by("status.updateRevision", "not that of all Pods");
    case.shows_of_object("StatefulSet", "s", expected).await;
}
