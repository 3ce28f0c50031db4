//! `rollout-1000`: a worker of 1,000 Pods and its peers of as many get another template, and a tenth of them may be down.
//!
//! Rule: from the API server's answer to the edit until its answer to the report that made the last new Pod Ready; how many
//! were up meanwhile is asked of a watch, at every step of it.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::{Stream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Object, Patch,
    PatchParams,
};
use kube::runtime::watcher::{self, Event};
use kube::{Api, ResourceExt};
use serde::Deserialize;
use serde_json::{Value, json};

use super::argo::ArgoRollouts;
use super::audit::{AuditLog, milliseconds};
use super::figure::{Figure, Goal};
use super::load::{Subject, clear, create, owner_of, pod_spec, tree, trees, worker_of};
use super::rig::{COPPICE, Limits, Rig, US};
use crate::progress::say;

const REPLICAS: u32 = 1000;
const PODS: usize = REPLICAS as usize;
/// How many must be up at any time.
const LEAST: usize = PODS - PODS / 10;
const DOWN: &str = "10%";
/// The image of the changed template; what simulated nodes run does not matter.
const NEW: &str = "new";
const LONG: Duration = Duration::from_mins(10);

/// Who changes the Pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Coppice,
    Deployment,
    /// A `Rollout` of Argo Rollouts without steps, which rolls as a Deployment does.
    ArgoRollout,
}

/// What one rollout was like.
#[derive(Debug, Clone, Copy)]
struct Rollout {
    seconds: f64,
    /// The fewest Pods that were up.
    least: usize,
}

pub(super) async fn measure() -> Result<Vec<Figure>> {
    let argo = ArgoRollouts::build().await;
    let mut rig = Rig::start(6).await?;
    let namespace = rig.cluster.namespace("rollout").await?;
    let argo = argo.and_then(|argo| argo.define(&rig).map(|()| argo));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    ours.push(Side::Coppice.roll_out(&rig, &namespace).await?);
    theirs.push(Side::Deployment.roll_out(&rig, &namespace).await?);
    let of_argo = beside_argo(&rig, &namespace, argo).await?;
    theirs.push(Side::Deployment.roll_out(&rig, &namespace).await?);
    ours.push(Side::Coppice.roll_out(&rig, &namespace).await?);
    rig.limit_controllers(Limits::Default).await?;
    let by_default = Side::Deployment.roll_out(&rig, &namespace).await?;
    let mean = |all: &[Rollout]| all.iter().map(|one| one.seconds).sum::<f64>() / 2.0;
    let figure = Figure::new(
        "rollout-1000",
        mean(&ours),
        "s",
        Goal::ShareOfPeer(1.0),
        Some(("Deployment, raised limits", mean(&theirs))),
    );
    let figure = figure.only_if(ours.iter().all(|one| one.least >= LEAST));
    Ok(vec![
        figure
            .note(told("a worker without a disruption budget", &ours))
            .note(told("a Deployment, raised limits", &theirs))
            .note(told("a Deployment, default limits", &[by_default]))
            .note(of_argo),
    ])
}

/// What Argo Rollouts does with as many Pods, or why it does nothing.
async fn beside_argo(rig: &Rig, namespace: &str, argo: Result<ArgoRollouts>) -> Result<String> {
    let measured = async {
        let argo = argo?;
        let controller = argo.start(rig).await?;
        let twice = async {
            let first = Side::ArgoRollout.roll_out(rig, namespace).await?;
            anyhow::Ok([first, Side::ArgoRollout.roll_out(rig, namespace).await?])
        };
        let both = twice.await;
        controller.stop()?;
        let whose = format!("an Argo Rollouts {} Rollout, raised limits", argo.version());
        anyhow::Ok(told(&whose, &both?))
    };
    match measured.await {
        Ok(note) => Ok(note),
        Err(error) => {
            let why = format!("{error:#}");
            say(format!("Argo Rollouts is not measured: {why}"));
            // What it began must not be in the way of what is measured next.
            clear(rig, namespace).await?;
            let why = why.lines().next().unwrap_or_default();
            Ok(format!("Argo Rollouts was not measured: {why}"))
        }
    }
}

/// Some rollouts in a line.
fn told(whose: &str, all: &[Rollout]) -> String {
    let each = all
        .iter()
        .map(|Rollout { seconds, least }| format!("{seconds:.1} s, never fewer than {least} up"));
    let each: Vec<String> = each.collect();
    format!("{whose} of {PODS} Pods: {}", each.join("; "))
}

impl Side {
    /// Makes the Pods, changes their template, and looks on until all are made from the new one.
    async fn roll_out(self, rig: &Rig, namespace: &str) -> Result<Rollout> {
        self.plant(rig, namespace).await?;
        let kind = ApiResource::erase::<Pod>(&());
        let pods: Api<Replica> = Api::namespaced_with(rig.client(), namespace, &kind);
        let mut events = pin!(watcher::watcher(pods, watcher::Config::default()));
        let mut up = Up::default();
        while up.0.len() < PODS {
            up.note(next(&mut events).await?)?;
        }
        let log = rig.audit()?;
        self.edit(rig, namespace).await?;
        let mut least = PODS;
        while up.updated() < PODS {
            up.note(next(&mut events).await?)?;
            least = least.min(up.0.len());
        }
        let seconds = took(rig, log, namespace).await?;
        say(format!(
            "{self:?}: {PODS} Pods updated in {seconds:.1} s, never fewer than {least} up"
        ));
        self.clear(rig, namespace).await?;
        Ok(Rollout { seconds, least })
    }

    /// Makes the Pods, and waits until nothing is left to do.
    async fn plant(self, rig: &Rig, namespace: &str) -> Result<()> {
        let owners = self.owners(rig, namespace);
        let bounds = json!({"maxUnavailable": DOWN, "maxSurge": 0});
        let mut owner = owner_of("Deployment", "app", REPLICAS, &pod_spec());
        match self {
            Self::Coppice => {
                create(&owners, tree("app", &[child(&pod_spec())])).await?;
                let client = rig.client();
                return Subject::Coppice.until_ready(&client, namespace, 1).await;
            }
            Self::Deployment => {
                owner["spec"]["strategy"] =
                    json!({"type": "RollingUpdate", "rollingUpdate": bounds});
            }
            Self::ArgoRollout => {
                owner["apiVersion"] = "argoproj.io/v1alpha1".into();
                owner["kind"] = "Rollout".into();
                owner["spec"]["strategy"] = json!({"canary": bounds});
            }
        }
        create(&owners, owner).await?;
        rig.until_within(LONG, "all Pods to be up", async || {
            let owner = owners.get("app").await?;
            let status = &owner.data["status"];
            // Until it says so, Argo Rollouts knows of no revision that it would roll from.
            let is_whole = self != Self::ArgoRollout || status["phase"] == "Healthy";
            Ok((is_whole && status["availableReplicas"] == PODS).then_some(()))
        })
        .await
    }

    /// Gives the Pods another image.
    async fn edit(self, rig: &Rig, namespace: &str) -> Result<()> {
        let mut spec = pod_spec();
        spec["containers"][0]["image"] = NEW.into();
        let edit = match self {
            Self::Coppice => json!({"children": [child(&spec)]}),
            Self::Deployment | Self::ArgoRollout => json!({"template": {"spec": spec}}),
        };
        let (with, edit) = (PatchParams::default(), Patch::Merge(json!({"spec": edit})));
        self.owners(rig, namespace)
            .patch("app", &with, &edit)
            .await?;
        Ok(())
    }

    /// Deletes what was made, and waits until it is gone.
    async fn clear(self, rig: &Rig, namespace: &str) -> Result<()> {
        let (background, all) = (DeleteParams::background(), ListParams::default());
        let owners = self.owners(rig, namespace);
        owners.delete_collection(&background, &all).await?;
        clear(rig, namespace).await
    }

    /// What owns the Pods.
    fn owners(self, rig: &Rig, namespace: &str) -> Api<DynamicObject> {
        let (group, version, kind) = match self {
            Self::Coppice => return trees(rig.client(), namespace),
            Self::Deployment => ("apps", "v1", "Deployment"),
            Self::ArgoRollout => ("argoproj.io", "v1alpha1", "Rollout"),
        };
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Api::namespaced_with(rig.client(), namespace, &kind)
    }
}

/// The worker, with Pods like this. It has no disruption budget, which a Deployment has not either: who keeps count for one
/// writes as often as all others together.
fn child(spec: &Value) -> Value {
    let mut child = worker_of("app", REPLICAS, spec);
    child["worker"]["update"] = json!({"maxUnavailable": DOWN, "maxSurge": 0});
    child["worker"]["disruptionBudget"] = json!("None");
    child
}

/// What is looked at of a Pod. To read all of each would keep as much of the machine busy as what is measured.
type Replica = Object<Made, Told>;

/// What a Pod was made from.
#[derive(Debug, Clone, Default, Deserialize)]
struct Made {
    containers: Vec<Container>,
}

#[derive(Debug, Clone, Deserialize)]
struct Container {
    image: String,
}

/// What its node tells of it.
#[derive(Debug, Clone, Default, Deserialize)]
struct Told {
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Debug, Clone, Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

/// The Pods that are up, by name, and whether they are of the new template.
#[derive(Default)]
struct Up(BTreeMap<String, bool>);

impl Up {
    fn note(&mut self, event: Event<Replica>) -> Result<()> {
        match event {
            Event::Apply(pod) | Event::InitApply(pod) if is_up(&pod) => {
                let is_new = pod.spec.containers.iter().any(|one| one.image == NEW);
                self.0.insert(pod.name_any(), is_new);
            }
            Event::Apply(pod) | Event::InitApply(pod) | Event::Delete(pod) => {
                self.0.remove(&pod.name_any());
            }
            Event::Init if !self.0.is_empty() => bail!("the watch has missed something"),
            Event::Init | Event::InitDone => {}
        }
        Ok(())
    }

    fn updated(&self) -> usize {
        self.0.values().filter(|is_new| **is_new).count()
    }
}

/// Whether a Pod is Ready, and nobody has asked it to stop.
fn is_up(pod: &Replica) -> bool {
    let mut conditions = pod.status.iter().flat_map(|told| &told.conditions);
    pod.metadata.deletion_timestamp.is_none()
        && conditions.any(|one| one.kind == "Ready" && one.status == "True")
}

/// The next thing that the watch tells.
async fn next(
    events: &mut (impl Stream<Item = watcher::Result<Event<Replica>>> + Unpin),
) -> Result<Event<Replica>> {
    let event = tokio::time::timeout(LONG, events.next()).await;
    let event = event.context("the watch tells nothing any more")?;
    event.context("a watch")?.context("watch Pods")
}

/// How many seconds the rollout took. The last report may be noted a moment after the watch has told of it.
async fn took(rig: &Rig, mut log: AuditLog, namespace: &str) -> Result<f64> {
    let (mut edited, mut reported): (Option<Timestamp>, Vec<Timestamp>) = (None, Vec::new());
    rig.until("the last report", async || {
        let requests = log.read()?.into_iter();
        for one in requests.filter(|one| one.namespace == namespace && one.is_write()) {
            if one.user == US && one.verb == "patch" {
                edited = Some(one.answered);
            } else if one.user != COPPICE && one.resource == "pods/status" {
                reported.push(one.answered);
            }
        }
        Ok((reported.len() >= PODS).then_some(()))
    })
    .await?;
    let last = reported.into_iter().max().context("a report")?;
    Ok(milliseconds(edited.context("an edit")?, last) / 1e3)
}
