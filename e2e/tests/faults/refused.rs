//! Pods that the cluster does not let in: quota, limits, Pod security, a policy.
//!
//! Rule: it is told once, in words that say what to do; the API server is asked ever more seldom, and when the reason is
//! gone the tree comes up by itself.

use std::time::{Duration, Instant};

use futures::future::join_all;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ListParams};

use crate::kit::{Bench, SOON, said, shared};
use crate::support::{self, Space, condition};
use crate::trees::{tree, worker};

/// A way not to be let in.
struct Refusal {
    name: &'static str,
    /// Applied to the namespace, `NAMESPACE` in it replaced.
    cause: &'static str,
    /// What the conditions say.
    reason: &'static str,
    says: &'static str,
    /// What kubectl does to lift it.
    lift: &'static [&'static str],
}

const REFUSALS: [Refusal; 4] = [
    Refusal {
        name: "quota",
        cause: "{apiVersion: v1, kind: ResourceQuota, metadata: {name: none}, spec: {hard: {pods: '1'}}}",
        reason: "WaitingForCapacity",
        says: "exceeded quota: none",
        lift: &["delete", "quota", "none"],
    },
    Refusal {
        name: "limits",
        cause: "{apiVersion: v1, kind: LimitRange, metadata: {name: small}, spec: {limits: [{type: Pod, min: {memory: 1Gi}}]}}",
        reason: "CreateRefused",
        says: "minimum memory usage per Pod is 1Gi",
        lift: &["delete", "limits", "small"],
    },
    Refusal {
        name: "security",
        cause: "{apiVersion: v1, kind: Namespace, metadata: {name: NAMESPACE, labels: {pod-security.kubernetes.io/enforce: restricted}}}",
        reason: "CreateRefused",
        says: "violates PodSecurity \"restricted:latest\"",
        lift: &[
            "label",
            "ns",
            "NAMESPACE",
            "pod-security.kubernetes.io/enforce-",
        ],
    },
    Refusal {
        name: "policy",
        cause: "{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicy, metadata: {name: NAMESPACE}, \
                spec: {failurePolicy: Fail, matchConstraints: {resourceRules: [{apiGroups: [''], apiVersions: [v1], \
                operations: [CREATE], resources: [pods]}]}, validations: [{expression: 'false', message: 'not on my watch'}]}}\n\
                ---\n\
                {apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicyBinding, metadata: {name: NAMESPACE}, \
                spec: {policyName: NAMESPACE, validationActions: [Deny], matchResources: {namespaceSelector: {matchLabels: \
                {kubernetes.io/metadata.name: NAMESPACE}}}}}",
        reason: "CreateRefused",
        says: "denied request: not on my watch",
        lift: &["delete", "validatingadmissionpolicybinding", "NAMESPACE"],
    },
];

const REPLICAS: u32 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn quota_limits_pod_security_and_policies_are_told_without_spam() {
    let cluster = shared().await;
    let spaces = join_all(
        REFUSALS
            .iter()
            .map(|refusal| Space::new(cluster, refusal.name)),
    )
    .await;
    let names: Vec<String> = spaces.iter().map(|space| space.name.clone()).collect();
    let bench = Bench::with_namespaces(cluster, "refused", 26, &names).await;
    let cases = REFUSALS.iter().zip(&spaces);
    join_all(cases.map(|(refusal, space)| is_refused(&bench, refusal, space))).await;
    bench.end();
}

async fn is_refused(bench: &Bench<'_>, refusal: &Refusal, space: &Space<'_>) {
    let Refusal {
        name, reason, says, ..
    } = refusal;
    space.apply(&refusal.cause.replace("NAMESPACE", &space.name));
    until_enforced(space).await;
    let begun = Instant::now();
    space.apply(&tree("shop", &[worker("app", REPLICAS, "")]));
    // A wait is expected to end by itself, so it never is a fault; any other refusal is one after half a minute.
    let (type_, patience) = match *reason {
        "WaitingForCapacity" => ("Reconciling", Duration::ZERO),
        _ => ("Stalled", Duration::from_secs(25)),
    };
    let told = |tree: &serde_json::Value| {
        said(tree, type_).0 == *reason && condition(tree, type_)["status"] == "True"
    };
    let tree = space.until("shop", SOON, "told", told).await;
    assert!(begun.elapsed() >= patience, "{name}: {:?}", begun.elapsed());
    let message = said(&tree, type_).1;
    println!("{name} after {:.1?}: {message}", begun.elapsed());
    assert!(message.contains(says), "{message}");
    assert_eq!(
        condition(&tree, "Ready")["status"],
        if *name == "quota" { "True" } else { "False" }
    );
    let described = space.kubectl(&["describe", "stree", "shop"]);
    assert!(described.contains(says), "{described}");

    // A whole minute of it.
    tokio::time::sleep(Duration::from_mins(1).saturating_sub(begun.elapsed())).await;
    let writes = bench.requests(begun, |seen| {
        seen.call.namespace == space.name && seen.call.is_write()
    });
    let creates = writes
        .iter()
        .filter(|seen| seen.call.resource == "pods")
        .count();
    let events = events(space).await;
    println!(
        "{name}: {creates} creates and {} writes in the first minute, {} Events",
        writes.len(),
        events.len()
    );
    // At once, then 1, 2, 4, … 32 s later, however many replicas there are; and the one that the quota lets in.
    assert!((5..=9).contains(&creates), "{name}: {creates}");
    assert!(writes.len() <= 40, "{name}: {}", writes.len());
    assert_eq!(events.len(), 1, "{name}: {events:#?}");
    assert!(events[0].contains(says), "{events:?}");

    let lift: Vec<String> = refusal
        .lift
        .iter()
        .map(|word| word.replace("NAMESPACE", &space.name))
        .collect();
    let words: Vec<&str> = lift.iter().map(String::as_str).collect();
    space.kubectl(&words);
    let lifted = Instant::now();
    space.until_at_rest("shop", Duration::from_secs(100)).await;
    println!("{name}: up {:.1?} after it was lifted", lifted.elapsed());
    let all_up = |worker: &serde_json::Value| worker["status"]["up"] == REPLICAS;
    let worker = space.until_object("Worker", "shop-app", SOON, "all up", all_up);
    worker.await;
}

/// Admission learns of what restricts it a moment later.
async fn until_enforced(space: &Space<'_>) {
    let pod = |name: &str| {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{containers: [{{name: app, image: none}}]}}}}"
        )
    };
    let two = format!("{}\n---\n{}", pod("one"), pod("two"));
    let begun = Instant::now();
    loop {
        let words = ["-n", &space.name, "apply", "-f", "-"];
        let output = support::kubectl(space.cluster, &words, &two);
        space.kubectl(&["delete", "pods", "--all", "--grace-period=0", "--force"]);
        if !output.status.success() {
            return;
        }
        assert!(begun.elapsed() < SOON, "it never restricts anything");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// The Events that tell of the refusal.
async fn events(space: &Space<'_>) -> Vec<String> {
    let events: Api<Event> = Api::namespaced(space.cluster.client(), &space.name);
    let list = events.list(&ListParams::default()).await.unwrap();
    let of_tree = list.items.into_iter().filter(|event| {
        let regarding = event.regarding.as_ref();
        regarding.and_then(|object| object.kind.as_deref()) == Some("SupervisionTree")
            && event.type_.as_deref() == Some("Warning")
    });
    of_tree
        .map(|event| event.note.unwrap_or_default())
        .collect()
}
