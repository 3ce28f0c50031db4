//! A container killed from its node: back as fast as under a Deployment, and charged exactly once.
//!
//! Rule: both sides run at the same time on the same nodes, so that the machine's speed says nothing.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use e2e::current;
use k8s_openapi::api::core::v1::{ContainerState, Pod};
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::Value;

use super::support::Space;
use super::{MEASURING, shared};

const KILLS: usize = 20;
const STARTED_WITHIN: Duration = Duration::from_mins(3);
const BACK_WITHIN: Duration = Duration::from_secs(30);

/// The workloads to compare: twenty Pods each, so that each kill meets a Pod that has never restarted.
fn workloads() -> String {
    let spec = format!(
        "{{containers: [{{name: app, image: {}, imagePullPolicy: IfNotPresent}}], terminationGracePeriodSeconds: 1}}",
        current::workload_image()
    );
    format!(
        "
apiVersion: coppice.dev/v1alpha1
kind: SupervisionTree
metadata: {{name: tree}}
spec:
  children:
  - name: app
    worker:
      replicas: {KILLS}
      quorum: 15
      template: {{spec: {spec}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: app}}
spec:
  replicas: {KILLS}
  selector: {{matchLabels: {{side: deployment}}}}
  template:
    metadata: {{labels: {{side: deployment}}}}
    spec: {spec}
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_container_is_back_as_fast_as_in_a_deployment() {
    let space = Space::new(shared().await, "kill").await;
    let _turn = MEASURING.lock().await;
    space.apply(&workloads());
    let rollout = space.kubectl(&["rollout", "status", "deployment/app", "--timeout=180s"]);
    assert!(rollout.contains("successfully rolled out"), "{rollout}");
    let before = space.until_at_rest("tree", STARTED_WITHIN).await;
    assert_eq!(before["status"]["restarts"].as_u64().unwrap_or(0), 0);

    let ours = space.pods_of("tree", "app").await;
    let theirs = ListParams::default().labels("side=deployment");
    let theirs = space.pods().list(&theirs).await.unwrap().items;
    assert_eq!((ours.len(), theirs.len()), (KILLS, KILLS));
    let (mut coppice, mut deployment) = (Vec::new(), Vec::new());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let times = tokio::join!(kill(&space, ours), kill(&space, theirs));
        coppice.push(times.0);
        deployment.push(times.1);
    }
    let (coppice, deployment) = (median(coppice), median(deployment));
    println!(
        "Running again after a kill, median of {KILLS}: {coppice:.2?}, in a Deployment {deployment:.2?}"
    );
    assert!(coppice <= deployment.mul_f64(1.5) + Duration::from_millis(500));

    each_is_charged_once(&space, &ours).await;
}

/// Kills the container of a Pod and waits until it runs again in the same Pod; how long that took.
async fn kill(space: &Space<'_>, pod: &Pod) -> Duration {
    let killed = Instant::now();
    space.kill(pod, "app");
    let uid = pod.uid();
    space
        .until_pod(&pod.name_any(), BACK_WITHIN, "Running again", |pod| {
            pod.is_some_and(|pod| pod.uid() == uid && runs_again(pod))
        })
        .await;
    killed.elapsed()
}

fn runs_again(pod: &Pod) -> bool {
    let statuses = pod
        .status
        .iter()
        .flat_map(|status| status.container_statuses.iter().flatten());
    statuses.into_iter().any(|one| {
        one.restart_count == 1
            && matches!(
                one.state,
                Some(ContainerState {
                    running: Some(_),
                    ..
                })
            )
    })
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// The tree, the Worker and each of its slots count every death once, and no Pod was replaced.
async fn each_is_charged_once(space: &Space<'_>, before: &[Pod]) {
    let all = u64::try_from(KILLS).unwrap();
    let tree = space
        .until(
            "tree",
            BACK_WITHIN,
            "at rest with all deaths counted",
            |tree| {
                tree["status"]["restarts"].as_u64() >= Some(all)
                    && super::support::is_current(tree, "Reconciling", "False")
            },
        )
        .await;
    assert_eq!(tree["status"]["restarts"], all);
    let worker = space.worker("tree", "app").await;
    assert_eq!(worker["status"]["restarts"], all);
    let slots = worker["status"]["slots"].as_array().unwrap();
    let charges = |slot: &Value| slot["charges"].as_array().map_or(0, Vec::len);
    assert_eq!(
        slots.iter().map(charges).collect::<Vec<_>>(),
        [1; KILLS],
        "{slots:#?}"
    );
    // A quorum was alive all the time, so nothing was charged to the root.
    assert!(
        tree["status"]["supervisors"][0]["charges"].is_null(),
        "{tree:#}"
    );

    // Of the faults only the last ten are kept: one for each of ten slots.
    let faults = tree["status"]["recentFaults"].as_array().unwrap();
    let named: BTreeSet<_> = faults.iter().map(|fault| fault["slot"].as_u64()).collect();
    assert_eq!((faults.len(), named.len()), (10, 10), "{faults:#?}");
    assert!(
        faults
            .iter()
            .all(|fault| fault["child"] == "app" && fault["message"].as_str().is_some()),
        "{faults:#?}"
    );

    let uids = |pods: &[Pod]| {
        pods.iter()
            .map(ResourceExt::uid)
            .collect::<BTreeSet<Option<String>>>()
    };
    assert_eq!(
        uids(&space.pods_of("tree", "app").await),
        uids(before),
        "a Pod was replaced"
    );
}
