//! `intent-p50`, `intent-p99`: a Pod's status shows a death, and what follows from it is stored. `fault-named-p95`: until a
//! watch of the tree shows its class in `status.recentFaults`.
//!
//! Rule: from the API server's answer to the kubelet's report until it has accepted the owner's first write about it; one
//! death every 100 ms among 1,000 owners. A `ReplicaSet` keeps no account of deaths; what it stores is that a Pod is not
//! ready any more.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::audit::{Request, milliseconds};
use super::figure::{Figure, Goal, percentile, spread};
use super::load::{Shape, Subject, trees};
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
    let Deaths {
        stored: coppice,
        named,
    } = deaths(&rig, Subject::Coppice).await?;
    let peer = deaths(&rig, Subject::ReplicaSet).await?.stored;
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
        Figure::new(
            "fault-named-p95",
            percentile(&named, 95.0),
            "ms",
            Goal::Limit(1000.0),
            None,
        )
        .note(spread(&named, "ms")),
    ])
}

/// How long deaths took, in milliseconds.
struct Deaths {
    /// Until the first write about it was accepted.
    stored: Vec<f64>,
    /// Until a watch told what it is called; nothing where there are no names.
    named: Vec<f64>,
}

/// Lets Pods die one after the other, and says how long each death took to be written down, and to be named.
async fn deaths(rig: &Rig, subject: Subject) -> Result<Deaths> {
    let namespace = rig.cluster.namespace("intent").await?;
    subject.plant(rig, &namespace, SHAPE).await?;
    let pods: Api<Pod> = Api::namespaced(rig.client(), &namespace);
    let owners = owners(&pods, subject).await?;
    let victims: Vec<(&String, &String)> = owners.iter().take(DEATHS).collect();

    let heard = Names::default();
    let listening = match subject {
        Subject::Coppice => Some(listen(rig.client(), &namespace, heard.clone()).await?),
        Subject::ReplicaSet => None,
    };
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
        let told = heard
            .lock()
            .map_or_else(|_| BTreeMap::new(), |heard| heard.clone());
        let named = shown.iter().filter_map(|(owner, death)| {
            let at = told.get(owner)?;
            Some(milliseconds(death.answered, *at))
        });
        let named: Vec<f64> = named.collect();
        let is_told = listening.is_none() || named.len() == DEATHS;
        let stored = times;
        Ok((stored.len() == DEATHS && is_told).then_some(Deaths { stored, named }))
    });
    let found = found.await;
    if let Some(task) = listening {
        task.abort();
    }
    found
}

/// When each tree first told the class of a fault.
type Names = Arc<Mutex<BTreeMap<String, Timestamp>>>;

/// Listens to what the trees of a namespace tell, from now on.
async fn listen(client: Client, namespace: &str, names: Names) -> Result<JoinHandle<()>> {
    let trees = trees(client, namespace);
    let now = trees.list_metadata(&ListParams::default().limit(1)).await?;
    let version = now.metadata.resource_version.unwrap_or_default();
    Ok(tokio::spawn(async move {
        let Ok(events) = trees.watch(&WatchParams::default(), &version).await else {
            return;
        };
        let mut events = pin!(events);
        while let Some(Ok(event)) = events.next().await {
            let WatchEvent::Modified(tree) = event else {
                continue;
            };
            let class = &tree.data["status"]["recentFaults"][0]["class"];
            if class == "AppExitedNonZero"
                && let Ok(mut names) = names.lock()
            {
                names.entry(tree.name_any()).or_insert_with(Timestamp::now);
            }
        }
    }))
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
