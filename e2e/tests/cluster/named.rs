//! Faults that a tree names, from what a real kubelet, scheduler and API server say; and waits that end when what they
//! are for has come.
//!
//! Rule: a class is asserted where a user reads it: in the statuses and Events of the tree.

use std::time::Duration;

use e2e::current;
use jiff::Timestamp;
use serde_json::Value;

use super::support::{Space, is_current};
use super::{MEASURING, shared};

const SOON: Duration = Duration::from_mins(2);
/// How long a wait may last after what it is for has come, before a new Pod is made, in seconds. It is to be five; this
/// leaves room for a machine that does much else, and is still far below what Kubernetes alone takes.
const ENDS_WITHIN: f64 = 15.0;

/// Children with what is to befall them, and the class that it has. What a volume lacks is told in Events only.
const FAULTS: [(&str, &str, &str); 6] = [
    (
        "exits",
        "command: [/bin/sh, -c, 'exit 3']",
        "AppExitedNonZero",
    ),
    ("missing", "command: [/no/such/program]", "CommandNotFound"),
    (
        "hangs",
        "livenessProbe: {exec: {command: [/bin/sh, -c, 'exit 1']}, periodSeconds: 1, failureThreshold: 1}",
        "LivenessProbeKilled",
    ),
    (
        "settings",
        "env: [{name: A, valueFrom: {configMapKeyRef: {name: nowhere, key: a}}}]",
        "ConfigMapMissing",
    ),
    (
        "pulls",
        "imagePullPolicy: Never, image: coppice.test/none",
        "ImageNeverPull",
    ),
    (
        "mounts",
        "volumeMounts: [{name: v, mountPath: /v}]",
        "SecretMissing",
    ),
];

fn tree() -> String {
    let image = current::workload_image();
    let mut tree = String::from(
        "apiVersion: coppice.dev/v1alpha1\nkind: SupervisionTree\nmetadata: {name: named}\nspec:\n  intensity: {maxRestarts: 100, periodSeconds: 600}\n  backoff: {initialSeconds: 1, maxSeconds: 1}\n  children:\n",
    );
    for (child, fields, _) in FAULTS {
        let of_image = if fields.contains("image:") {
            String::new()
        } else {
            format!("image: {image}, ")
        };
        let volumes = if fields.contains("volumeMounts") {
            "volumes: [{name: v, secret: {secretName: nowhere}}], "
        } else {
            ""
        };
        let child = format!(
            "  - name: {child}\n    worker:\n      template: {{spec: {{{volumes}terminationGracePeriodSeconds: 1, containers: [{{name: app, {of_image}{fields}}}]}}}}\n"
        );
        tree.push_str(&child);
    }
    tree
}

/// Whether the tree has told that fault of that child.
fn tells(events: &Value, child: &str, class: &str) -> bool {
    let items = events["items"].as_array().unwrap().iter();
    let field = format!("spec.children{{{child}}}");
    items.into_iter().any(|event| {
        event["reason"] == format!("Child{class}").as_str()
            && event["involvedObject"]["fieldPath"] == field.as_str()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_names_what_befalls_its_children() {
    let space = Space::new(shared().await, "named").await;
    space.apply(&tree());
    let begun = std::time::Instant::now();
    let mut missing: Vec<(&str, &str)> = FAULTS.map(|(child, _, class)| (child, class)).to_vec();
    let mut events = Value::Null;
    while !missing.is_empty() {
        assert!(
            begun.elapsed() < SOON,
            "not told: {missing:?} in {events:#}"
        );
        // Whatever is told changes the status of the tree, too.
        space
            .until("named", SOON, "changed", |tree| {
                !tree["status"]["recentFaults"].is_null()
            })
            .await;
        let text = space.kubectl(&["get", "events", "-o", "json"]);
        events = serde_json::from_str(&text).unwrap();
        missing.retain(|(child, class)| !tells(&events, child, class));
    }
    let tree = space.tree("named").await;
    let faults = tree["status"]["recentFaults"].as_array().unwrap();
    let proved = faults
        .iter()
        .filter(|fault| fault["evidence"][0]["field"].is_string() && fault["rule"] == "verdict");
    assert!(proved.count() > 0, "{tree:#}");
    for (child, trouble) in [
        ("settings", "ConfigMapMissing"),
        ("mounts", "SecretMissing"),
    ] {
        let worker = space.worker("named", child).await;
        let slot = &worker["status"]["slots"][0];
        assert_eq!(slot["trouble"]["class"], trouble, "{worker:#}");
        assert!(slot["deaths"].is_null(), "{worker:#}");
    }
    space.kubectl(&["delete", "stree", "named", "--timeout=60s"]);
}

/// A tree of one worker with these fields of its Pods' spec.
fn one(fields: &str, container: &str) -> String {
    let image = current::workload_image();
    format!(
        "apiVersion: coppice.dev/v1alpha1\nkind: SupervisionTree\nmetadata: {{name: one}}\nspec:\n  children:\n  - name: app\n    worker:\n      ready: Running\n      template: {{spec: {{{fields}terminationGracePeriodSeconds: 1, containers: [{{name: app, {container}image: {image}}}]}}}}\n"
    )
}

async fn until_ready(space: &Space<'_>) {
    space
        .until("one", SOON, "Ready", |tree| {
            is_current(tree, "Ready", "True")
        })
        .await;
}

/// How long after that its Pod was made, in seconds.
async fn made_after(space: &Space<'_>, since: Timestamp) -> f64 {
    let pods = space.pods_of("one", "app").await;
    let made = pods
        .iter()
        .filter_map(|pod| pod.metadata.creation_timestamp.as_ref());
    let newest = made.map(|time| time.0).max().unwrap();
    newest.duration_since(since).as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_a_quota_ends_soon_after_the_quota_has_changed() {
    let space = Space::new(shared().await, "quota").await;
    let _turn = MEASURING.lock().await;
    let quota = |pods: u8| {
        format!(
            "apiVersion: v1\nkind: ResourceQuota\nmetadata: {{name: few}}\nspec: {{hard: {{pods: '{pods}'}}}}\n"
        )
    };
    space.apply(&quota(0));
    space.apply(&one("", ""));
    let waits_long = |worker: &Value| {
        let slot = &worker["status"]["slots"][0];
        slot["trouble"]["class"] == "QuotaExceeded" && slot["brake"]["count"].as_i64() >= Some(7)
    };
    space
        .until_object(
            "Worker",
            "one-app",
            SOON,
            "refused again and again",
            waits_long,
        )
        .await;
    space.apply(&quota(1));
    let changed = Timestamp::now();
    until_ready(&space).await;
    let took = made_after(&space, changed).await;
    assert!(took <= ENDS_WITHIN, "{took} s");
    space.kubectl(&["delete", "stree", "one", "--timeout=60s"]);
}

/// The kubelet looks again after up to two minutes.
#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_a_config_map_ends_soon_after_it_was_made() {
    let space = Space::new(shared().await, "config").await;
    let _turn = MEASURING.lock().await;
    space.apply(&one(
        "volumes: [{name: v, configMap: {name: settings}}], ",
        "volumeMounts: [{name: v, mountPath: /v}], ",
    ));
    let is_held =
        |worker: &Value| worker["status"]["slots"][0]["trouble"]["class"] == "ConfigMapMissing";
    space
        .until_object("Worker", "one-app", SOON, "held", is_held)
        .await;
    // Until the kubelet's own retries have become rare.
    let held = |tree: &Value| is_current(tree, "Stalled", "True");
    space.until("one", SOON, "held for long", held).await;
    space.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: b}\n");
    let changed = Timestamp::now();
    until_ready(&space).await;
    let tree = space.tree("one").await;
    assert_eq!(
        tree["status"]["restarts"].as_i64().unwrap_or_default(),
        0,
        "{tree:#}"
    );
    // Either the kubelet was quick, or a new Pod was.
    let took = made_after(&space, changed).await;
    assert!(took <= ENDS_WITHIN, "{took} s");
    space.kubectl(&["delete", "stree", "one", "--timeout=60s"]);
}
