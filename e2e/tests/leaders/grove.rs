//! Twenty trees, and somebody who does them harm without a pause.
//!
//! Rule: each child suffers one kind of harm only, so that the tree's own books can be compared with what was done.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use e2e::current;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::support::{Space, is_current};

pub(crate) const TREES: usize = 20;
const STARTED_WITHIN: Duration = Duration::from_mins(3);
const SETTLED_WITHIN: Duration = Duration::from_mins(2);
/// How much time lies between two harms.
const PACE: Duration = Duration::from_millis(50);
/// A Pod is harmed only when it has been left alone this long, so that each harm can be told from the one before.
const REST: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(100);
/// How many replicas each child has.
const REPLICAS: [(&str, usize); 3] = [("gone", 3), ("hurt", 1), ("fixed", 1)];

/// The template of a Pod on a simulated node.
pub(crate) fn template() -> String {
    let image = current::workload_image();
    format!(
        "{{spec: {{nodeSelector: {{type: kwok}}, tolerations: [{{key: kwok.x-k8s.io/node, operator: Exists}}], \
         containers: [{{name: app, image: {image}}}], terminationGracePeriodSeconds: 1}}}}"
    )
}

/// A tree of one worker with that many replicas, which no scheduler looks at: they are made and stay as they are, and
/// keep nobody else busy.
pub(crate) fn crowd(name: &str, replicas: usize) -> String {
    let image = current::workload_image();
    format!(
        "
apiVersion: coppice.dev/v1alpha1
kind: SupervisionTree
metadata: {{name: {name}}}
spec:
  children:
  - {{name: many, worker: {{replicas: {replicas}, template: {{spec: {{schedulerName: nobody,
      containers: [{{name: app, image: {image}}}]}}}}}}}}
"
    )
}

fn tree(number: usize) -> String {
    let template = template();
    format!(
        "
---
apiVersion: coppice.dev/v1alpha1
kind: SupervisionTree
metadata: {{name: {}}}
spec:
  intensity: {{maxRestarts: 100, periodSeconds: 3600}}
  children:
  - {{name: gone, worker: {{replicas: 3, quorum: 1, template: {template}}}}}
  - {{name: hurt, worker: {{replicas: 1, template: {template}}}}}
  - {{name: fixed, worker: {{identity: Stable, replicas: 1, template: {template}}}}}
",
        name(number)
    )
}

fn name(number: usize) -> String {
    format!("tree-{number:02}")
}

/// Makes the trees and waits until all are up.
pub(crate) async fn plant(space: &Space<'_>) {
    space.apply(&(0..TREES).map(tree).collect::<String>());
    for number in 0..TREES {
        space.until_at_rest(&name(number), STARTED_WITHIN).await;
    }
}

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// By tree: how many containers crashed. Each is to be charged once.
    pub(crate) crashed: BTreeMap<String, usize>,
    /// By tree: how many Pods were deleted. None is to be charged.
    pub(crate) deleted: BTreeMap<String, usize>,
}

/// Somebody who harms Pods until told to stop.
pub(crate) struct Harm {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
    done: Arc<Mutex<Done>>,
}

impl Harm {
    pub(crate) fn begin(space: &Space<'_>) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let done = Arc::new(Mutex::new(Done::default()));
        let harming = harm(space.pods(), Arc::clone(&stop), Arc::clone(&done));
        Self {
            stop,
            task: tokio::spawn(harming),
            done,
        }
    }

    pub(crate) async fn end(self) -> Done {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        std::mem::take(&mut self.done.lock().unwrap())
    }
}

async fn harm(pods: Api<Pod>, stop: Arc<AtomicBool>, done: Arc<Mutex<Done>>) {
    // By UID, when it was harmed last.
    let mut harmed: BTreeMap<String, tokio::time::Instant> = BTreeMap::new();
    let mut turn = 0_usize;
    let mut beat = tokio::time::interval(PACE);
    while !stop.load(Ordering::Relaxed) {
        beat.tick().await;
        turn += 1;
        // One Stable Pod for ten others, and as many crashes as that leaves deletes.
        let child = match turn % 10 {
            0 => "fixed",
            1..=4 => "hurt",
            _ => "gone",
        };
        let tree = name((turn + turn / TREES) % TREES);
        let selector = format!("coppice.dev/tree={tree},coppice.dev/child={child}");
        let listed = pods.list(&ListParams::default().labels(&selector)).await;
        let is_rested = |pod: &Pod| {
            let last = harmed.get(&pod.uid().unwrap_or_default());
            last.is_none_or(|at| at.elapsed() > REST)
        };
        let found = listed.unwrap().items;
        let Some(pod) = found
            .into_iter()
            .find(|pod| is_ready(pod) && is_rested(pod))
        else {
            continue;
        };
        let uid = pod.uid().unwrap_or_default();
        harmed.insert(uid.clone(), tokio::time::Instant::now());
        let was_done = if child == "hurt" {
            crash(&pods, &pod).await
        } else {
            delete(&pods, &pod).await
        };
        let mut done = done.lock().unwrap();
        let count = if child == "hurt" {
            &mut done.crashed
        } else {
            &mut done.deleted
        };
        *count.entry(tree).or_default() += usize::from(was_done);
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let mut ready = conditions.filter(|one| one.type_ == "Ready" && one.status == "True");
    pod.metadata.deletion_timestamp.is_none() && ready.next().is_some()
}

/// Deletes a Pod, if it is still the one.
async fn delete(pods: &Api<Pod>, pod: &Pod) -> bool {
    let exactly = Preconditions {
        uid: pod.uid(),
        resource_version: pod.resource_version(),
    };
    let params = DeleteParams::default().preconditions(exactly);
    pods.delete(&pod.name_any(), &params).await.is_ok()
}

/// Lets the container of a Pod crash and be started again: a simulated kubelet does nothing by itself, so its part is
/// played here.
async fn crash(pods: &Api<Pod>, pod: &Pod) -> bool {
    let now = Timestamp::now().to_string();
    let statuses = serde_json::to_value(&pod.status).unwrap();
    let mut status = statuses["containerStatuses"][0].clone();
    let restarts = status["restartCount"].as_i64().unwrap_or_default();
    status["restartCount"] = json!(restarts + 1);
    status["lastState"] = json!({"terminated": {"exitCode": 1, "reason": "Error", "startedAt": now, "finishedAt": now}});
    status["state"] = json!({"running": {"startedAt": now}});
    let version = pod.resource_version();
    let patch = json!({"metadata": {"uid": pod.uid(), "resourceVersion": version},
        "status": {"containerStatuses": [status]}});
    let (params, patch) = (PatchParams::default(), Patch::Merge(&patch));
    let patched = pods.patch_status(&pod.name_any(), &params, &patch).await;
    patched.is_ok()
}

/// Waits until every tree is as it should be, and compares its books with what was done to it.
pub(crate) async fn is_whole(space: &Space<'_>, done: &Done) {
    let mut told = (0, 0);
    for number in 0..TREES {
        let name = name(number);
        let of = |count: &BTreeMap<String, usize>| count.get(&name).copied().unwrap_or_default();
        let (crashed, deleted) = (of(&done.crashed), of(&done.deleted));
        let status = until_whole(space, &name, crashed).await;
        let charges = count(&status["supervisors"]);
        assert_eq!(charges, crashed, "charges of {name}: {status:#}");
        for (child, _) in REPLICAS {
            let worker = space.worker(&name, child).await;
            // A single replica is its child, whose deaths are charged to the supervisor.
            assert_eq!(count(&worker["status"]["slots"]), 0, "{name}: {worker:#}");
        }
        // Deletes are charged to nobody, and only told: of a Pod that nobody had written down before the leader ended, and
        // that went while nobody led, nothing is known; and two who judge a delete at once may both tell it.
        let restarts = status["restarts"].as_u64().unwrap_or_default();
        let restarts = usize::try_from(restarts).unwrap();
        assert!(restarts >= crashed, "{name}: {status:#}");
        told.0 += restarts;
        told.1 += crashed + deleted;
    }
    println!("{} restarts are told of {} deaths", told.0, told.1);
}

/// Waits until a tree is at rest with all charges, and has all its Pods: while nobody leads, its status is that of
/// before. Gives back the status.
async fn until_whole(space: &Space<'_>, name: &str, crashed: usize) -> Value {
    let begun = Instant::now();
    loop {
        let mut tree = space.tree(name).await;
        let mut is_whole = is_current(&tree, "Ready", "True")
            && is_current(&tree, "Reconciling", "False")
            && count(&tree["status"]["supervisors"]) >= crashed;
        for (child, replicas) in REPLICAS {
            let pods = space.pods_of(name, child).await;
            let others = pods.iter().filter(|pod| !is_ready(pod)).count();
            is_whole &= pods.len() == replicas && others == 0;
        }
        if is_whole {
            return tree["status"].take();
        }
        assert!(
            begun.elapsed() < SETTLED_WITHIN,
            "{name} is not whole: {tree:#}"
        );
        tokio::time::sleep(POLL).await;
    }
}

/// How many charges stand in a list of supervisors, by child, or of slots.
fn count(holders: &Value) -> usize {
    let all = |list: &Value| list.as_array().cloned().unwrap_or_default();
    let charges = all(holders)
        .into_iter()
        .flat_map(|one| all(&one["charges"]));
    charges
        .map(|charge| charge["times"].as_array().map_or(1, Vec::len))
        .sum()
}
