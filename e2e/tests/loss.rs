//! A node that is drained, without power, without network, and rebooted, with replicas on it: what can be replaced is, what may still run
//! is not, and nobody is charged. And a Pod that its kubelet does not take.
//!
//! Rule: things happen to `node-b`; `node-a` holds the operator and what must not notice.
#![cfg(feature = "cluster")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "loss/drain.rs"]
mod drain;
#[path = "cluster/support.rs"]
mod support;

use std::time::{Duration, Instant};

use e2e::cluster::{Cluster, Full, Profile};
use e2e::node::NodeOptions;
use e2e::{images, operator};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::runtime::wait::await_condition;
use kube::{Api, ResourceExt};
use serde_json::Value;
use support::{Space, condition, is_current};

const STARTED_WITHIN: Duration = Duration::from_mins(1);
/// Six seconds until the node is missed, and the time that the Pods tolerate that, with room for a busy machine.
const MISSED_WITHIN: Duration = Duration::from_mins(1);

/// Pods that prefer `node-b`, except for one that needs `node-a`; and a tree whose only Pod can run on `node-b` alone.
fn trees() -> String {
    let image = images::WORKLOAD;
    let pod = |place: &str| {
        format!(
            "{{spec: {{containers: [{{name: app, image: {image}}}], terminationGracePeriodSeconds: 1, {place}}}}}"
        )
    };
    let only = |node: &str| format!("nodeSelector: {{kubernetes.io/hostname: {node}}}");
    let prefers = "affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 100, \
                   preference: {matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [node-b]}]}}]}}";
    let (near, far, stuck) = (pod(&only("node-a")), pod(prefers), pod(&only("node-b")));
    format!(
        "
apiVersion: coppice.dev/v1alpha1
kind: SupervisionTree
metadata: {{name: shop}}
spec:
  children:
  - {{name: near, worker: {{template: {near}}}}}
  - {{name: cache, worker: {{nodeLossSeconds: 5, template: {far}}}}}
  - {{name: db, worker: {{nodeLossSeconds: 5, identity: Stable, template: {far}}}}}
---
apiVersion: coppice.dev/v1alpha1
kind: SupervisionTree
metadata: {{name: stuck}}
spec:
  children:
  - {{name: app, worker: {{nodeLossSeconds: 600, template: {stuck}}}}}
"
    )
}

/// A tree whose Pod asks for what no kubelet allows by itself; the scheduler knows nothing of that.
fn rejected() -> String {
    let image = images::WORKLOAD;
    format!(
        "
apiVersion: coppice.dev/v1alpha1
kind: SupervisionTree
metadata: {{name: rejected}}
spec:
  children:
  - name: app
    worker:
      template:
        spec:
          nodeSelector: {{kubernetes.io/hostname: node-a}}
          securityContext: {{sysctls: [{{name: kernel.msgmax, value: '65536'}}]}}
          containers: [{{name: app, image: {image}}}]
"
    )
}

async fn start() -> Cluster {
    let full = Full {
        nodes: ["node-a", "node-b"].map(NodeOptions::named).to_vec(),
        quick_node_loss: true,
        images: vec![operator::archive().unwrap()],
        ..Full::default()
    };
    let cluster = Cluster::start(Profile::Full(full)).await.unwrap();
    support::install(&cluster, &[r"nodeSelector.kubernetes\.io/hostname=node-a"]);
    cluster
}

fn node_of(pod: &Pod) -> &str {
    pod.spec.as_ref().unwrap().node_name.as_deref().unwrap()
}

/// The one live Pod of a child.
async fn live(space: &Space<'_>, child: &str) -> Pod {
    let mut pods = space.pods_of("shop", child).await;
    pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    assert_eq!(pods.len(), 1, "live Pods of {child}");
    pods.remove(0)
}

fn assert_nobody_was_charged(tree: &Value) {
    assert!(
        tree["status"]["supervisors"][0]["charges"].is_null(),
        "{tree:#}"
    );
    let faults = tree["status"]["recentFaults"].as_array().unwrap();
    assert!(
        faults
            .iter()
            .all(|fault| fault["verdict"] == "Infrastructure"),
        "{tree:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_drained_without_power_parted_rebooted_and_a_pod_that_is_rejected() {
    let cluster = start().await;
    Box::pin(drain::a_worker_keeps_its_quorum(&cluster)).await;
    let odd = Space::new(&cluster, "rejected").await;
    odd.apply(&rejected());
    let told = odd
        .until_condition("rejected", "Stalled", "True", MISSED_WITHIN)
        .await;
    let begun = Instant::now();
    Box::pin(what_is_lost_with_a_node_is_replaced_when_that_is_safe(
        &cluster,
    ))
    .await;
    Box::pin(what_is_parted_from_the_network_is_never_doubled(&cluster)).await;
    Box::pin(what_was_on_a_node_that_reboots_comes_back(&cluster)).await;

    let message = condition(&told, "Stalled")["message"].as_str().unwrap();
    assert!(
        message.contains("SysctlForbidden") && message.contains("kernel.msgmax"),
        "{message}"
    );
    let creates = support::requests_of(&cluster, support::OPERATOR);
    let creates = creates
        .iter()
        .filter(|one| one.namespace == odd.name && one.resource == "pods" && one.verb == "create");
    let count = creates.count();
    println!(
        "{count} Pods were created for a replica that was rejected for {:.0?}: {message}",
        begun.elapsed()
    );
    assert_eq!(count, 1, "another one would be rejected too");
}

async fn what_is_lost_with_a_node_is_replaced_when_that_is_safe(cluster: &Cluster) {
    let space = Space::new(cluster, "loss").await;
    space.apply(&trees());
    for tree in ["shop", "stuck"] {
        space.until_at_rest(tree, STARTED_WITHIN).await;
    }
    let [near, cache, db] = ["near", "cache", "db"].map(|child| live(&space, child));
    let (near, cache, db) = tokio::join!(near, cache, db);
    assert_eq!(
        [&near, &cache, &db].map(node_of),
        ["node-a", "node-b", "node-b"]
    );
    let node = cluster.node("node-b").unwrap();

    node.power_cut().await.unwrap();
    let cut = Instant::now();
    let fenced = |tree: &Value| {
        is_current(tree, "Stalled", "True")
            && condition(tree, "Stalled")["reason"] == "WaitingForFence"
            && tree["status"]["up"] == 2
    };
    let what = "waiting for a fence, with everything else up";
    let tree = space.until("shop", MISSED_WITHIN, what, fenced).await;
    println!(
        "cut off: all but the fenced replica is up after {:.1?}",
        cut.elapsed()
    );
    let message = condition(&tree, "Stalled")["message"].as_str().unwrap();
    assert!(
        message.contains("node-b") && message.contains("out-of-service"),
        "{message}"
    );
    assert_eq!(condition(&tree, "Ready")["status"], "False");
    assert_nobody_was_charged(&tree);
    let successor = live(&space, "cache").await;
    assert_eq!(node_of(&successor), "node-a");
    let of_db = space.pods_of("shop", "db").await;
    assert_eq!(
        of_db.iter().map(ResourceExt::uid).collect::<Vec<_>>(),
        [db.uid()],
        "never two of one name"
    );

    // Nothing can prove that this Pod has stopped, and its tree can be deleted all the same.
    space.kubectl(&["delete", "stree", "stuck", "--timeout=30s"]);

    let taint = "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute";
    space.kubectl(&["taint", "node", "node-b", taint]);
    let tree = space.until_at_rest("shop", MISSED_WITHIN).await;
    assert_nobody_was_charged(&tree);
    let fresh = live(&space, "db").await;
    assert_eq!(
        (node_of(&fresh), fresh.name_any()),
        ("node-a", db.name_any())
    );
    assert_ne!(fresh.uid(), db.uid());

    node.boot().await.unwrap();
    node.ready(&cluster.client()).await.unwrap();
    space.kubectl(&["taint", "node", "node-b", &format!("{taint}-")]);
    space
        .until_pod(&cache.name_any(), STARTED_WITHIN, "gone", |pod| {
            pod.is_none()
        })
        .await;
    let tree = space.until_at_rest("shop", STARTED_WITHIN).await;
    assert_nobody_was_charged(&tree);
    for (child, uid) in [
        ("near", near.uid()),
        ("cache", successor.uid()),
        ("db", fresh.uid()),
    ] {
        assert_eq!(
            live(&space, child).await.uid(),
            uid,
            "a node that comes back changes nothing for {child}"
        );
    }
    space.kubectl(&["delete", "stree", "shop", "--timeout=60s"]);
}

/// The node goes on without us: its containers run, and nobody can be told to stop.
async fn what_is_parted_from_the_network_is_never_doubled(cluster: &Cluster) {
    let (space, cache, db) = shop(cluster, "parted").await;
    let node = cluster.node("node-b").unwrap();
    let runs = |pod: &Pod| node.container_process(&pod.uid().unwrap(), "app").unwrap();
    let (old_cache, old_db) = (runs(&cache), runs(&db));

    node.partition().await.unwrap();
    let fenced = |tree: &Value| {
        is_current(tree, "Stalled", "True")
            && condition(tree, "Stalled")["reason"] == "WaitingForFence"
            && tree["status"]["up"] == 2
    };
    let tree = space
        .until("shop", MISSED_WITHIN, "waiting for a fence", fenced)
        .await;
    assert_nobody_was_charged(&tree);
    assert_eq!(node_of(&live(&space, "cache").await), "node-a");
    let of_db = space.pods_of("shop", "db").await;
    assert_eq!(of_db.len(), 1, "never two of one name");
    assert_eq!(of_db[0].uid(), db.uid());
    assert!(
        old_cache.is_alive() && old_db.is_alive(),
        "containers go on"
    );

    node.heal().await.unwrap();
    let healed = Instant::now();
    let fresh = space
        .until_pod(&db.name_any(), MISSED_WITHIN, "a new Pod", |pod| {
            pod.is_some_and(|pod| pod.uid() != db.uid())
        })
        .await;
    assert!(
        !old_db.is_alive(),
        "the new Pod came when the old one had stopped"
    );
    println!(
        "parted: the fenced replica is replaced {:.1?} after the network is back",
        healed.elapsed()
    );
    let tree = space.until_at_rest("shop", MISSED_WITHIN).await;
    assert_nobody_was_charged(&tree);
    assert_eq!(live(&space, "db").await.uid(), fresh.unwrap().uid());
    assert!(!old_cache.is_alive(), "what was replaced has stopped too");
    space.kubectl(&["delete", "stree", "shop", "--timeout=60s"]);
}

/// It is back before anybody misses it for long; its Pods are as they were, and their containers are not.
async fn what_was_on_a_node_that_reboots_comes_back(cluster: &Cluster) {
    let (space, cache, db) = shop(cluster, "reboot").await;
    let node = cluster.node("node-b").unwrap();
    node.power_cut().await.unwrap();
    node.boot().await.unwrap();
    node.ready(&cluster.client()).await.unwrap();
    let booted = Instant::now();
    // Started again in place, or replaced where the node was missed for too long.
    for pod in [&cache, &db] {
        let child = &pod.labels()["coppice.dev/child"];
        let again = |found: Option<&Pod>| {
            let replaced = found.is_none_or(|found| found.uid() != pod.uid());
            replaced || found.is_some_and(|found| restarts(found) > restarts(pod))
        };
        let what = format!("{child} runs again");
        space
            .until_pod(&pod.name_any(), MISSED_WITHIN, &what, again)
            .await;
    }
    let tree = space.until_at_rest("shop", MISSED_WITHIN).await;
    println!(
        "rebooted: everything is up {:.1?} after the boot",
        booted.elapsed()
    );
    assert_nobody_was_charged(&tree);
    for child in ["near", "cache", "db"] {
        live(&space, child).await;
    }
    assert_eq!(live(&space, "db").await.name_any(), db.name_any());
    space.kubectl(&["delete", "stree", "shop", "--timeout=60s"]);
}

fn restarts(pod: &Pod) -> i32 {
    let status = pod.status.as_ref();
    let containers = status.and_then(|status| status.container_statuses.as_ref());
    containers
        .into_iter()
        .flatten()
        .map(|one| one.restart_count)
        .sum()
}

/// Waits until Pods may be bound to a node again: a node that is back is Ready before its taints are gone.
async fn until_free(cluster: &Cluster, node: &str) {
    let is_free = |node: Option<&Node>| {
        let spec = node.and_then(|node| node.spec.as_ref());
        spec.is_some_and(|spec| spec.taints.as_ref().is_none_or(Vec::is_empty))
    };
    let nodes: Api<Node> = Api::all(cluster.client());
    let free = await_condition(nodes, node, is_free);
    let found = tokio::time::timeout(MISSED_WITHIN, free).await;
    found.expect("its taints are gone in time").unwrap();
}

/// A namespace with the tree `shop` at rest, and its Pods on `node-b`.
async fn shop<'c>(cluster: &'c Cluster, prefix: &str) -> (Space<'c>, Pod, Pod) {
    let space = Space::new(cluster, prefix).await;
    until_free(cluster, "node-b").await;
    space.apply(trees().split("---").next().unwrap());
    space.until_at_rest("shop", STARTED_WITHIN).await;
    let (cache, db) = (live(&space, "cache").await, live(&space, "db").await);
    assert_eq!([&cache, &db].map(node_of), ["node-b", "node-b"]);
    (space, cache, db)
}
