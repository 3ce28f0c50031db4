//! `node-loss`: a real node loses its power, and a simulated one with a hundred Pods stops answering, while Kubernetes
//! takes its default time to miss them.
//!
//! Rule: from the last heartbeat of the node until the API server received the create of the last replacement; the worse
//! node counts. A `Stable` Pod stays alone as long as nothing proves that it has ended. The peer is a Deployment with as
//! many Pods on the same node.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::audit::{AuditLog, Request, milliseconds};
use super::figure::{Figure, Goal};
use super::load::{Subject, create, owner_of, tree, trees, worker_of};
use super::lost::{LOSSES, Loss};
use super::real::RealRig;
use super::rig::{COPPICE, REPLICA_SET};
use super::wait::{self, Teller};
use crate::cluster::Full;
use crate::node::NodeOptions;
use crate::progress::{Step, say};

/// Kubernetes deletes the Pods of a lost node, no faster than its client's limits allow; the tree does not wait for that.
const EVICTOR: &str = "system:serviceaccount:kube-system:node-controller";
/// How many `Stable` Pods each lost node has.
const STABLE: u32 = 2;
/// Kubernetes deals with one lost node in ten seconds, so the second one is lost when it is done with the first.
const BETWEEN: Duration = Duration::from_secs(20);
/// How long the peer may take: it tolerates a lost node for 300 s.
const LONG: Duration = Duration::from_mins(9);
const POLL: Duration = Duration::from_millis(450);

pub(super) async fn measure() -> Result<Vec<Figure>> {
    let rig = RealRig::start(Full {
        nodes: ["node-a", "node-b"].map(NodeOptions::named).to_vec(),
        kwok_nodes: 2,
        ..Full::default()
    })
    .await?;
    let mut scenes = Vec::new();
    for loss in &LOSSES {
        scenes.push(Scene::plant(&rig, loss).await?);
    }
    let mut log = AuditLog::from_now(&rig.cluster)?;
    for (number, loss) in LOSSES.iter().enumerate() {
        if number > 0 {
            tokio::time::sleep(BETWEEN).await;
        }
        loss.lose(&rig).await?;
        say(format!("{} is lost", loss.node));
    }
    until_all_are_replaced(&rig, &mut log, &mut scenes).await?;
    figure(&rig, &scenes).await.map(|figure| vec![figure])
}

/// A namespace all of whose Pods are on one node.
struct Scene {
    loss: &'static Loss,
    namespace: String,
    /// The field's default, as the API server has filled it in.
    node_loss_seconds: f64,
    /// The UIDs of the `Stable` Pods.
    stable: BTreeSet<String>,
    /// When the tree or Kubernetes, whoever came first, told the tree's Pods to leave, by name.
    told: BTreeMap<String, Timestamp>,
    /// When replacements were asked for: the tree's and the Deployment's.
    created: [Vec<Timestamp>; 2],
    doubled: bool,
}

impl Scene {
    /// Makes a tree and a Deployment on the node.
    async fn plant(rig: &RealRig, loss: &'static Loss) -> Result<Self> {
        let step = Step::begin(format!("putting Pods on {}", loss.node));
        let namespace = rig.cluster.namespace("loss").await?;
        rig.set_schedulable(loss.other, false).await?;
        let spec = loss.pod_spec();
        let mut fixed = worker_of("fixed", STABLE, &spec);
        fixed["worker"]["identity"] = "Stable".into();
        let children = [worker_of("loose", loss.replicas, &spec), fixed];
        let trees = trees(rig.client.clone(), &namespace);
        create(&trees, tree("app", &children)).await?;
        let deployments: Api<Deployment> = Api::namespaced(rig.client.clone(), &namespace);
        let deployment = owner_of("Deployment", "peer", loss.replicas, &spec);
        create(&deployments, deployment).await?;
        for subject in [Subject::Coppice, Subject::ReplicaSet] {
            subject.until_ready(&rig.client, &namespace, 1).await?;
        }
        let pods: Api<Pod> = Api::namespaced(rig.client.clone(), &namespace);
        let all = pods.list(&ListParams::default()).await?;
        let node = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
        let here = all
            .iter()
            .filter(|pod| node(pod).as_deref() == Some(loss.node));
        let wanted = 2 * loss.replicas + STABLE;
        ensure!(here.count() == wanted as usize, "Pods are elsewhere");
        rig.set_schedulable(loss.other, true).await?;
        let tree = trees.get("app").await?;
        let seconds = &tree.data["spec"]["children"][0]["worker"]["nodeLossSeconds"];
        step.done();
        Ok(Self {
            loss,
            node_loss_seconds: seconds.as_f64().context("a default")?,
            stable: stable(rig, &namespace).await?,
            namespace,
            told: BTreeMap::new(),
            created: Default::default(),
            doubled: false,
        })
    }

    fn is_replaced(&self) -> bool {
        let wanted = self.loss.replicas as usize;
        self.created.iter().all(|times| times.len() >= wanted)
    }

    fn seen(&self) -> String {
        let Loss { node, replicas, .. } = self.loss;
        let [ours, peers] = self.created.each_ref().map(Vec::len);
        format!("of {replicas} Pods on {node} the tree has replaced {ours}, the Deployment {peers}")
    }

    fn note(&mut self, request: &Request) {
        for (number, user) in [COPPICE, REPLICA_SET].into_iter().enumerate() {
            if request.is(user, "create", "pods") {
                self.created[number].push(request.received);
            }
        }
        let tells = |user| request.is(user, "delete", "pods");
        if request.name.starts_with("app-loose-") && [COPPICE, EVICTOR].into_iter().any(tells) {
            let at = self.told.entry(request.name.clone());
            let at = at.or_insert(request.answered);
            *at = request.answered.min(*at);
        }
    }

    /// How many milliseconds the tree took at most from one Pod's being told to leave to the create of the next one.
    fn slowest_answer(&self) -> f64 {
        let mut told: Vec<Timestamp> = self.told.values().copied().collect();
        let mut created = self.created[0].clone();
        told.sort();
        created.sort();
        // They are replaced in the order in which they leave, so the first create belongs to the first of them.
        let pairs = told.into_iter().zip(created);
        let times = pairs.map(|(from, to)| milliseconds(from, to));
        times.fold(0.0, f64::max)
    }

    /// How many seconds after the last heartbeat both sides were done, and what took so long.
    async fn times(&self, rig: &RealRig) -> Result<([f64; 2], String)> {
        let heartbeat = self.loss.last_heartbeat(rig).await?;
        let after = |at: Timestamp| milliseconds(heartbeat, at) / 1e3;
        let last = |times: &Vec<Timestamp>| after(times.iter().max().copied().unwrap_or(heartbeat));
        let [ours, peers] = self.created.each_ref().map(last);
        let missed = after(self.loss.missed(rig).await?);
        let Loss { node, replicas, .. } = self.loss;
        let told = match self.told.values().max() {
            Some(at) => format!("the last was told to leave after {:.1} s", after(*at)),
            None => "none was told to leave".to_owned(),
        };
        let note = format!(
            "{node}, {replicas} Pods each: Kubernetes missed it after {missed:.1} s; of the tree's Pods {told}; \
             replaced by the tree after {ours:.1} s (each within {:.0} ms), by the Deployment after {peers:.1} s",
            self.slowest_answer()
        );
        Ok(([ours, peers], note))
    }
}

/// The UIDs of all `Stable` Pods that there are.
async fn stable(rig: &RealRig, namespace: &str) -> Result<BTreeSet<String>> {
    let pods: Api<Pod> = Api::namespaced(rig.client.clone(), namespace);
    let fixed = ListParams::default().labels("coppice.dev/child=fixed");
    let list = pods.list_metadata(&fixed).await?;
    Ok(list.iter().filter_map(ResourceExt::uid).collect())
}

/// Waits until both sides have asked for all replacements on both nodes.
async fn until_all_are_replaced(
    rig: &RealRig,
    log: &mut AuditLog,
    scenes: &mut [Scene],
) -> Result<()> {
    let mut teller = Teller::begin();
    wait::until(LONG, "all Pods to be replaced", async || {
        for request in log.read()? {
            let Some(scene) = scenes
                .iter_mut()
                .find(|one| one.namespace == request.namespace)
            else {
                continue;
            };
            scene.note(&request);
        }
        for scene in &mut *scenes {
            scene.doubled |= stable(rig, &scene.namespace).await? != scene.stable;
        }
        teller.tell(|| {
            let seen: Vec<String> = scenes.iter().map(Scene::seen).collect();
            seen.join("; ")
        });
        tokio::time::sleep(POLL).await;
        Ok(scenes.iter().all(Scene::is_replaced).then_some(()))
    })
    .await
}

async fn figure(rig: &RealRig, scenes: &[Scene]) -> Result<Figure> {
    let (mut worst, mut notes) = ([0.0_f64; 2], Vec::new());
    for scene in scenes {
        let (times, note) = scene.times(rig).await?;
        worst = [worst[0].max(times[0]), worst[1].max(times[1])];
        notes.push(note);
        notes.push(format!(
            "{}: {STABLE} Stable Pods {}",
            scene.loss.node,
            if scene.doubled {
                "were not left alone"
            } else {
                "were not doubled"
            }
        ));
    }
    let none_doubled = scenes.iter().all(|scene| !scene.doubled);
    // A create too many would be a Stable Pod's, or one replica's second replacement.
    let exact = |scene: &Scene| scene.created[0].len() == scene.loss.replicas as usize;
    let is_exact = scenes.iter().all(exact);
    let seconds = scenes.iter().map(|scene| scene.node_loss_seconds);
    let goal = Goal::Limit(seconds.fold(f64::MAX, f64::min) + 60.0);
    let peer = ("Deployment", worst[1]);
    let mut figure = Figure::new("node-loss", worst[0], "s", goal, Some(peer));
    figure.notes = notes;
    Ok(figure.only_if(none_doubled && is_exact))
}
