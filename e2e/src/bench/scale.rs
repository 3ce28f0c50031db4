//! `scale-5000`: one tree of five workers gets 5,000 Pods.
//!
//! Rule: the rate is that of the creates as the API server received them, first to last; the peer is a loop that only
//! posts the same Pods, as many at once as the operator does.

use anyhow::{Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use serde_json::{Value, json};
use std::time::Duration;

use super::audit::AuditLog;
use super::figure::{Figure, Goal};
use super::load::{clear, create, pod_spec, replica_set, tree, trees, worker};
use super::rig::{COPPICE, Limits, REPLICA_SET, Rig, US};
use crate::progress::say;

const WORKERS: u32 = 5;
const REPLICAS: u32 = 1000;
/// How many requests the loop has under way at once; more make it no faster here.
const LOOP: usize = 32;
/// How many Pods the peer makes at its default limits, which take it a minute.
const BY_DEFAULT: u32 = 1000;
const LONG: Duration = Duration::from_mins(10);

pub(super) async fn measure() -> Result<Vec<Figure>> {
    let mut rig = Rig::start(24).await?;
    let namespace = rig.cluster.namespace("scale").await?;
    let (mut ours, mut raw) = (Vec::new(), Vec::new());
    for is_ours in [true, false, false, true] {
        if is_ours {
            ours.push(of_a_tree(&rig, &namespace).await?);
        } else {
            raw.push(of_a_loop(&rig, &namespace).await?);
        }
        clear(&rig, &namespace).await?;
    }
    let raised = of_replica_sets(&rig, &namespace, WORKERS, REPLICAS).await?;
    clear(&rig, &namespace).await?;
    rig.limit_controllers(Limits::Default).await?;
    let by_default = of_replica_sets(&rig, &namespace, 1, BY_DEFAULT).await?;
    let mean = |rates: &[f64]| {
        rates.iter().sum::<f64>() / f64::from(u32::try_from(rates.len()).unwrap_or(1))
    };
    let figure = Figure::new(
        "scale-5000",
        mean(&ours),
        "Pods/s",
        Goal::LeastOfPeer(0.9),
        Some(("parallel POST", mean(&raw))),
    );
    let each = |rates: &[f64]| {
        let rates: Vec<String> = rates.iter().map(|rate| format!("{rate:.0}")).collect();
        rates.join(" and ")
    };
    Ok(vec![
        figure
            .note(format!(
                "a tree of {WORKERS} workers: {} Pods/s",
                each(&ours)
            ))
            .note(format!(
                "a loop of {LOOP} POSTs at once: {} Pods/s",
                each(&raw)
            ))
            .note(format!(
                "{WORKERS} ReplicaSets of {REPLICAS} Pods, raised limits: {raised:.0} Pods/s"
            ))
            .note(format!(
                "a ReplicaSet of {BY_DEFAULT} Pods, default limits: {by_default:.0} Pods/s"
            )),
    ])
}

/// The rate at which a tree gets its Pods.
async fn of_a_tree(rig: &Rig, namespace: &str) -> Result<f64> {
    let log = rig.audit()?;
    let workers: Vec<Value> = (0..WORKERS)
        .map(|number| worker(&format!("app-{number}"), REPLICAS))
        .collect();
    create(&trees(rig.client(), namespace), tree("big", &workers)).await?;
    rate(rig, log, namespace, COPPICE, WORKERS * REPLICAS).await
}

/// The rate at which Pods are posted by somebody who does nothing else.
async fn of_a_loop(rig: &Rig, namespace: &str) -> Result<f64> {
    let log = rig.audit()?;
    let pods: Api<Pod> = Api::namespaced(rig.client(), namespace);
    let pods = &pods;
    stream::iter(0..WORKERS * REPLICAS)
        .map(|number| async move {
            let name = format!("pod-{number}");
            let metadata = json!({"name": name, "labels": {"app": "bench"}});
            create(pods, json!({"metadata": metadata, "spec": pod_spec()})).await
        })
        .buffer_unordered(LOOP)
        .try_collect::<()>()
        .await?;
    rate(rig, log, namespace, US, WORKERS * REPLICAS).await
}

/// The rate at which `ReplicaSet`s get their Pods.
async fn of_replica_sets(rig: &Rig, namespace: &str, sets: u32, replicas: u32) -> Result<f64> {
    let log = rig.audit()?;
    for number in 0..sets {
        let set = replica_set(&format!("app-{number}"), replicas);
        create(&Api::<ReplicaSet>::namespaced(rig.client(), namespace), set).await?;
    }
    rate(rig, log, namespace, REPLICA_SET, sets * replicas).await
}

/// Waits for so many creates of this user, and says how many there were in a second.
async fn rate(
    rig: &Rig,
    mut log: AuditLog,
    namespace: &str,
    user: &str,
    wanted: u32,
) -> Result<f64> {
    let mut created: Vec<Timestamp> = Vec::new();
    let all = rig.until_within(LONG, "all Pods to be created", async || {
        let seen = log.read()?.into_iter();
        let new = seen.filter(|one| one.namespace == namespace && one.is(user, "create", "pods"));
        created.extend(new.map(|one| one.received));
        tokio::time::sleep(Duration::from_millis(450)).await;
        Ok((created.len() >= wanted as usize).then_some(()))
    });
    all.await?;
    ensure!(
        created.len() == wanted as usize,
        "{} Pods were created",
        created.len()
    );
    created.sort();
    let took = created[created.len() - 1].duration_since(created[0]);
    let rate = f64::from(wanted) / took.as_secs_f64();
    say(format!("{wanted} Pods by {user}: {rate:.0} a second"));
    Ok(rate)
}
