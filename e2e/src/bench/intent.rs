//! `intent-p50`, `intent-p99`: a Pod's status shows a death, and what follows from it is stored.
//!
//! Rule: from the API server's answer to the kubelet's report until it has accepted the owner's first write about it; one
//! death every 100 ms among 1,000 owners. A `ReplicaSet` keeps no account of deaths; what it stores is that a Pod is not
//! ready any more.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::audit::{Request, milliseconds};
use super::figure::{Figure, Goal, percentile, spread};
use super::load::{Shape, Subject};
use super::rig::{Rig, US};

const GAP: Duration = Duration::from_millis(100);
/// How many owners there are.
const SHAPE: Shape = Shape {
    owners: 1000,
    replicas: 1,
};
/// How many of their Pods die.
const DEATHS: usize = 500;

pub(super) async fn measure() -> Result<Vec<Figure>> {
    let rig = Rig::start(9).await?;
    let coppice = deaths(&rig, Subject::Coppice).await?;
    let peer = deaths(&rig, Subject::ReplicaSet).await?;
    let figure = |name: &str, percent, most| {
        let beside = percentile(&peer, percent);
        let beside = ("ReplicaSet, raised limits", beside);
        let goal = Goal::Limit(most);
        let figure = Figure::new(
            name,
            percentile(&coppice, percent),
            "ms",
            goal,
            Some(beside),
        );
        let figure = figure.note(format!("Coppice: {}", spread(&coppice, "ms")));
        figure.note(format!("ReplicaSet: {}", spread(&peer, "ms")))
    };
    Ok(vec![
        figure("intent-p50", 50.0, 10.0),
        figure("intent-p99", 99.0, 50.0),
    ])
}

/// Lets Pods die one after the other, and says how long each death took to be written down.
async fn deaths(rig: &Rig, subject: Subject) -> Result<Vec<f64>> {
    let namespace = rig.cluster.namespace("intent").await?;
    subject.plant(rig, &namespace, SHAPE).await?;
    let pods: Api<Pod> = Api::namespaced(rig.client(), &namespace);
    let owners = owners(&pods, subject).await?;
    let victims: Vec<(&String, &String)> = owners.iter().take(DEATHS).collect();

    let mut log = rig.audit()?;
    let mut tick = tokio::time::interval(GAP);
    for (pod, _) in &victims {
        tick.tick().await;
        let patch = Patch::Strategic(match subject {
            Subject::Coppice => death(1),
            Subject::ReplicaSet => unready(),
        });
        pods.patch_status(pod, &PatchParams::default(), &patch)
            .await?;
    }

    let resource = match subject {
        Subject::Coppice => "supervisiontrees/status",
        Subject::ReplicaSet => "replicasets/status",
    };
    let mut shown: BTreeMap<String, Request> = BTreeMap::new();
    let mut stored: BTreeMap<String, Vec<Request>> = BTreeMap::new();
    let found = rig.until("all deaths to be written down", async || {
        for request in log.read()? {
            if request.namespace != namespace {
                continue;
            }
            if request.is(US, "patch", "pods/status") {
                let owner = owners.get(&request.name).cloned().unwrap_or_default();
                shown.insert(owner, request);
            } else if request.user == subject.user()
                && request.is_write()
                && request.resource == resource
            {
                let name = request.name.clone();
                stored.entry(name).or_default().push(request);
            }
        }
        // What was stored before the death was shown is about something else.
        let times = shown.iter().filter_map(|(owner, death)| {
            let about = stored.get(owner)?.iter();
            let first = about.filter(|write| write.received >= death.received);
            let first = first.map(|write| write.answered).min()?;
            Some(milliseconds(death.answered, first))
        });
        let times: Vec<f64> = times.collect();
        Ok((times.len() == DEATHS).then_some(times))
    });
    found.await
}

/// Whose Pod each is.
async fn owners(pods: &Api<Pod>, subject: Subject) -> Result<BTreeMap<String, String>> {
    let label = match subject {
        Subject::Coppice => "coppice.dev/tree",
        Subject::ReplicaSet => "app",
    };
    let list = pods.list_metadata(&ListParams::default()).await?;
    let owned = list.iter().filter_map(|pod| {
        let owner = pod.labels().get(label)?;
        Some((pod.name_any(), owner.clone()))
    });
    Ok(owned.collect())
}

/// What a kubelet reports of a container that has ended with code 1 and runs again, for the `count`th time.
pub(super) fn death(count: u32) -> Value {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let ended = json!({"exitCode": 1, "reason": "Error", "startedAt": now, "finishedAt": now,
        "containerID": format!("bench://{}", count - 1)});
    json!({"status": {"containerStatuses": [{
        "name": "app", "image": "none", "imageID": "", "ready": true, "started": true, "restartCount": count,
        "containerID": format!("bench://{count}"),
        "state": {"running": {"startedAt": now}}, "lastState": {"terminated": ended},
    }]}})
}

fn unready() -> Value {
    json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}})
}
