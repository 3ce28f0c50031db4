//! A node that is drained: its Pods go, and no worker of several replicas loses its quorum over it.
//!
//! Rule: every change of a Pod is looked at, from before the drain until after it.

use std::collections::BTreeMap;
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use e2e::cluster::Cluster;
use e2e::images;
use futures::TryStreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher;
use kube::{Api, ResourceExt};

use crate::support::{self, Space, said};
use crate::{STARTED_WITHIN, assert_nobody_was_charged, node_of};

const REPLICAS: usize = 3;
const QUORUM: usize = 2;

/// Replicas that all prefer `node-b`, and take a while to be up, so that a drain without a limit would take all of them at once.
fn tree() -> String {
    let image = images::WORKLOAD;
    format!(
        "
apiVersion: coppice.dev/v1alpha1
kind: SupervisionTree
metadata: {{name: shop}}
spec:
  children:
  - name: web
    worker:
      replicas: {REPLICAS}
      quorum: {QUORUM}
      template:
        spec:
          terminationGracePeriodSeconds: 1
          topologySpreadConstraints: []
          affinity:
            nodeAffinity:
              preferredDuringSchedulingIgnoredDuringExecution:
              - weight: 100
                preference: {{matchExpressions: [{{key: kubernetes.io/hostname, operator: In, values: [node-b]}}]}}
          containers:
          - name: app
            image: {image}
            readinessProbe: {{httpGet: {{path: /ready, port: 8080}}, initialDelaySeconds: 3, periodSeconds: 1}}
"
    )
}

/// How many replicas were up after each change of a Pod.
#[derive(Clone, Default)]
struct Ups(Arc<Mutex<Vec<usize>>>);

impl Ups {
    /// Writes down how many are up after every change, until it is dropped.
    async fn follow(self, pods: Api<Pod>) {
        let mut events = std::pin::pin!(watcher(pods, watcher::Config::default()));
        let mut known: BTreeMap<String, bool> = BTreeMap::new();
        while let Some(event) = events.try_next().await.expect("the watch works") {
            let is_listing = matches!(event, watcher::Event::Init | watcher::Event::InitApply(_));
            match event {
                watcher::Event::Init => known.clear(),
                watcher::Event::InitApply(pod) | watcher::Event::Apply(pod) => {
                    known.insert(pod.name_any(), is_up(&pod));
                }
                watcher::Event::InitDone => {}
                watcher::Event::Delete(pod) => drop(known.remove(&pod.name_any())),
            }
            if !is_listing {
                let up = known.values().filter(|up| **up).count();
                self.0.lock().unwrap().push(up);
            }
        }
    }

    fn seen(&self) -> Vec<usize> {
        self.0.lock().unwrap().clone()
    }
}

/// Whether a Pod is Ready, and nobody has asked it to stop.
fn is_up(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let mut ready = conditions.filter(|one| one.type_ == "Ready");
    pod.metadata.deletion_timestamp.is_none() && ready.any(|one| one.status == "True")
}

/// Drains `node-b`, and lets Pods on it again whatever came of that.
fn drain(cluster: &Cluster) -> Output {
    let drain = [
        "drain",
        "node-b",
        "--ignore-daemonsets",
        "--delete-emptydir-data",
        "--timeout=120s",
    ];
    tokio::task::block_in_place(|| {
        let drained = support::kubectl(cluster, &drain, "");
        support::ok(cluster, &["uncordon", "node-b"], "");
        drained
    })
}

pub(super) async fn a_worker_keeps_its_quorum(cluster: &Cluster) {
    let space = Space::new(cluster, "drain").await;
    space.apply(&tree());
    space.until_at_rest("shop", STARTED_WITHIN).await;
    let before = space.pods_of("shop", "web").await;
    let moved = before.iter().filter(|pod| node_of(pod) == "node-b").count();
    assert_eq!(moved, REPLICAS, "all of them are on the node that goes");
    let budget = space.kubectl(&[
        "get",
        "pdb",
        "shop-web",
        "-o",
        "jsonpath={.spec.minAvailable}",
    ]);
    assert_eq!(budget, QUORUM.to_string());

    let ups = Ups::default();
    let follower = tokio::spawn(ups.clone().follow(space.pods()));
    while ups.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let begun = Instant::now();
    let drained = drain(cluster);
    let took = begun.elapsed();
    let tree = space.until_at_rest("shop", STARTED_WITHIN).await;
    follower.abort();
    let seen = ups.seen();
    println!(
        "drained in {took:.1?}; of {REPLICAS} replicas with a quorum of {QUORUM} these were up: {seen:?}\n{}",
        said(&drained)
    );
    assert!(drained.status.success(), "{}", said(&drained));
    assert_eq!(
        seen.iter().min(),
        Some(&QUORUM),
        "one at a time, and no more"
    );
    assert_nobody_was_charged(&tree);
    let after = space.pods_of("shop", "web").await;
    let stay = |pod: &&Pod| before.iter().any(|old| old.uid() == pod.uid());
    assert_eq!(after.iter().filter(stay).count(), 0, "the node was emptied");
    space.kubectl(&["delete", "stree", "shop", "--timeout=60s"]);
}
