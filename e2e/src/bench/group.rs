//! `group-500`: one of 500 Pods that belong together dies, and all are stopped and made anew.
//!
//! Rule: from the API server's answer to the death until it received the last create; the peer is a loop that deletes the
//! same Pods with the same grace, waits until all are gone and posts as many, as many at once as the operator does.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::audit::milliseconds;
use super::figure::{Figure, Goal};
use super::load::{Subject, clear, create, pod_spec, pods, tree, trees, worker};
use super::rig::{COPPICE, Rig, US};
use crate::progress::say;

const WORKERS: u32 = 5;
const REPLICAS: u32 = 100;
const PODS: usize = (WORKERS * REPLICAS) as usize;
/// How many requests the loop has under way at once; more make it no faster here.
const LOOP: usize = 32;
const LONG: Duration = Duration::from_mins(5);

pub(super) async fn measure() -> Result<Vec<Figure>> {
    let rig = Rig::start(6).await?;
    let namespace = rig.cluster.namespace("group").await?;
    let (mut ours, mut raw) = (Vec::new(), Vec::new());
    for is_ours in [true, false, false, true] {
        if is_ours {
            ours.push(of_a_group(&rig, &namespace).await?);
        } else {
            raw.push(of_a_loop(&rig, &namespace).await?);
        }
        clear(&rig, &namespace).await?;
    }
    let mean = |times: &[f64]| times.iter().sum::<f64>() / 2.0;
    let figure = Figure::new(
        "group-500",
        mean(&ours),
        "ms",
        Goal::ShareOfPeer(1.3),
        Some(("parallel DELETE, then POST", mean(&raw))),
    );
    Ok(vec![figure.note(format!(
        "a group: {ours:.0?} ms; a loop of {LOOP} requests at once: {raw:.0?} ms"
    ))])
}

/// A group of five workers, each of which dies with any of its replicas.
async fn of_a_group(rig: &Rig, namespace: &str) -> Result<f64> {
    let members: Vec<Value> = (0..WORKERS)
        .map(|number| {
            let mut member = worker(&format!("app-{number}"), REPLICAS);
            member["worker"]["quorum"] = REPLICAS.into();
            member
        })
        .collect();
    let mut group = tree("group", &members);
    group["spec"]["strategy"] = "OneForAll".into();
    group["spec"]["startup"] = "Parallel".into();
    create(&trees(rig.client(), namespace), group).await?;
    Subject::Coppice
        .until_ready(&rig.client(), namespace, 1)
        .await?;

    let mut log = rig.audit()?;
    let api: Api<Pod> = Api::namespaced(rig.client(), namespace);
    let names = pods(&rig.client(), namespace).await?;
    let victim = names.first().context("a Pod")?;
    let ended = Patch::Strategic(end());
    api.patch_status(victim, &PatchParams::default(), &ended)
        .await?;
    let (mut died, mut created): (Option<Timestamp>, Vec<Timestamp>) = (None, Vec::new());
    let all = rig.until_within(LONG, "all Pods to be made anew", async || {
        for request in log
            .read()?
            .into_iter()
            .filter(|one| one.namespace == namespace)
        {
            if request.is(US, "patch", "pods/status") {
                died = Some(request.answered);
            } else if request.is(COPPICE, "create", "pods") {
                created.push(request.received);
            }
        }
        Ok((created.len() >= PODS).then_some(()))
    });
    all.await?;
    ensure!(created.len() == PODS, "{} Pods were created", created.len());
    let last = created.into_iter().max().context("a create")?;
    let took = milliseconds(died.context("a death")?, last);
    say(format!("a group of {PODS} Pods: {took:.0} ms"));
    Ok(took)
}

/// The same work, done by somebody who does nothing else.
async fn of_a_loop(rig: &Rig, namespace: &str) -> Result<f64> {
    let api: Api<Pod> = Api::namespaced(rig.client(), namespace);
    post(&api, "old").await?;
    let running = ListParams::default().fields("status.phase=Running");
    rig.until_within(LONG, "all Pods to run", async || {
        Ok((api.list_metadata(&running).await?.items.len() == PODS).then_some(()))
    })
    .await?;
    let mut log = rig.audit()?;
    let names = pods(&rig.client(), namespace).await?;
    let delete = DeleteParams::default();
    stream::iter(&names)
        .map(|name| async { api.delete(name, &delete).await.map(drop) })
        .buffer_unordered(LOOP)
        .try_collect::<()>()
        .await?;
    rig.until_within(LONG, "all Pods to be gone", async || {
        let left = api.list_metadata(&ListParams::default()).await?.items;
        Ok(left.is_empty().then_some(()))
    })
    .await?;
    post(&api, "new").await?;
    let (mut first, mut last): (Option<Timestamp>, Option<Timestamp>) = (None, None);
    let mut created = 0;
    let all = rig.until_within(LONG, "all requests to be noted", async || {
        for request in log
            .read()?
            .into_iter()
            .filter(|one| one.namespace == namespace)
        {
            if request.is(US, "delete", "pods") {
                first = first.into_iter().chain([request.received]).min();
            } else if request.is(US, "create", "pods") {
                created += 1;
                last = last.max(Some(request.received));
            }
        }
        Ok((created >= PODS).then_some(()))
    });
    all.await?;
    let took = milliseconds(first.context("a delete")?, last.context("a create")?);
    say(format!("a loop over {PODS} Pods: {took:.0} ms"));
    Ok(took)
}

async fn post(api: &Api<Pod>, prefix: &str) -> Result<()> {
    stream::iter(0..PODS)
        .map(|number| {
            let metadata =
                json!({"name": format!("{prefix}-{number}"), "labels": {"app": "bench"}});
            create(api, json!({"metadata": metadata, "spec": pod_spec()}))
        })
        .buffer_unordered(LOOP)
        .try_collect::<()>()
        .await
}

/// What a kubelet reports of a Pod that is not restarted and whose container has ended with code 1.
pub(super) fn end() -> Value {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let ended = json!({"exitCode": 1, "reason": "Error", "startedAt": now, "finishedAt": now, "containerID": "bench://0"});
    json!({"status": {"phase": "Failed", "containerStatuses": [{
        "name": "app", "image": "none", "imageID": "", "ready": false, "started": false, "restartCount": 0,
        "containerID": "bench://0", "state": {"terminated": ended, "running": null},
    }]}})
}
