//! `crash-loop-writes`: what it costs when restarting does not help, for ten minutes on real nodes.
//!
//! Three Pods can never run: one whose container ends with code 1 at once, one that its kubelet never takes (a forbidden
//! sysctl), and one for which its node is too small. Each has a tree with defaults everywhere, and a `ReplicaSet`, which
//! makes a new Pod for each that has failed.
//!
//! Rule: whoever looks after a Pod is judged by all that it asked of the API server to write, refused or not, Leases
//! excepted. What it may be follows from the design alone:
//!
//! * The crash loop gives up at its fourth death (`maxRestarts` 3), and begins anew 30, 60, 120, 240 s after that: no
//!   more than 5 times in ten minutes, so there are no more than 20 deaths, and no more Pods than deaths.
//! * A forbidden sysctl is a hold: another Pod would be refused too, so there is one.
//! * A Pod for which its node is too small is replaced at once, then after 1, 2, 4 … 256 s: 11 Pods.
//! * Each of these 32 Pods is created and deleted; the tree and its Worker store what follows from its end before it is
//!   done, both report that it has started and that it has ended, and an Event says why: 9 writes. Giving up is stored by
//!   both and told by an Event, and so is beginning anew: 6 writes, 5 times. In the beginning a tree gets its finalizer
//!   and its Worker, and both report: 10 writes, 3 times.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::audit::{AuditLog, Request};
use super::figure::{Figure, Goal};
use super::load::{Subject, create, owner_of, tree, trees, worker_of};
use super::real::{RealRig, real_pod_spec};
use super::wait::Teller;
use crate::cluster::Full;
use crate::node::NodeOptions;
use crate::progress::say;

/// How long it is looked at.
const LONG: Duration = Duration::from_mins(10);
const POLL: Duration = Duration::from_millis(500);
/// A scheduler that does not ask whether a Pod fits.
const BLIND: &str = "blind";

const MOST_PODS: usize = 20 + 1 + 11;
const MOST_WRITES: usize = 9 * MOST_PODS + 5 * 6 + 3 * 10;

/// Why a Pod cannot run.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    Crashing,
    Forbidden,
    TooBig,
}

const TROUBLES: [Trouble; 3] = [Trouble::Crashing, Trouble::Forbidden, Trouble::TooBig];

pub(super) async fn measure() -> Result<Vec<Figure>> {
    let rig = RealRig::start(Full {
        nodes: ["node-a", "node-b"].map(NodeOptions::named).to_vec(),
        ..Full::default()
    })
    .await?;
    let mut log = AuditLog::from_now(&rig.cluster)?;
    let mut cases = Vec::new();
    for trouble in TROUBLES {
        for subject in [Subject::Coppice, Subject::ReplicaSet] {
            cases.push(Case::begin(&rig, trouble, subject).await?);
        }
    }
    let begun = Instant::now();
    tokio::select! {
        outcome = schedule_blindly(&rig.client) => outcome?,
        outcome = watch(&mut log, &mut cases, begun) => outcome?,
    }
    for case in &cases {
        say(format!("{}: {:?}", case.seen(), case.writes));
    }
    Ok(vec![figure(&cases)])
}

impl Trouble {
    fn pod_spec(self, node: &str) -> Value {
        let mut spec = match self {
            Self::Crashing => real_pod_spec(&["exit 1"]),
            Self::Forbidden | Self::TooBig => real_pod_spec(&[]),
        };
        match self {
            Self::Crashing => {}
            Self::Forbidden => {
                let sysctls = json!([{"name": "kernel.msgmax", "value": "65536"}]);
                spec["securityContext"] = json!({"sysctls": sysctls});
            }
            Self::TooBig => {
                spec["schedulerName"] = BLIND.into();
                spec["containers"][0]["resources"] = json!({"requests": {"cpu": "1000"}});
            }
        }
        spec["nodeSelector"] = json!({"kubernetes.io/hostname": node});
        spec
    }

    fn name(self) -> &'static str {
        match self {
            Self::Crashing => "exit code 1",
            Self::Forbidden => "forbidden sysctl",
            Self::TooBig => "too big for its node",
        }
    }
}

/// One Pod that cannot run, and what was done about it.
struct Case {
    trouble: Trouble,
    subject: Subject,
    namespace: String,
    pods: usize,
    /// By verb and resource.
    writes: BTreeMap<String, usize>,
}

impl Case {
    /// Asks for the Pod.
    async fn begin(rig: &RealRig, trouble: Trouble, subject: Subject) -> Result<Self> {
        let namespace = rig.cluster.namespace("loops").await?;
        // The peer's Pods that are refused come by the thousand, so they have a kubelet of their own.
        let node = match (subject, trouble) {
            (Subject::ReplicaSet, Trouble::Forbidden | Trouble::TooBig) => "node-b",
            _ => "node-a",
        };
        let spec = trouble.pod_spec(node);
        let client = rig.client.clone();
        match subject {
            Subject::Coppice => {
                let tree = tree("app", &[worker_of("app", 1, &spec)]);
                create(&trees(client, &namespace), tree).await?;
            }
            Subject::ReplicaSet => {
                let sets: Api<ReplicaSet> = Api::namespaced(client, &namespace);
                create(&sets, owner_of("ReplicaSet", "app", 1, &spec)).await?;
            }
        }
        Ok(Self {
            trouble,
            subject,
            namespace,
            pods: 0,
            writes: BTreeMap::new(),
        })
    }

    fn note(&mut self, request: &Request) {
        let is_ours = request.namespace == self.namespace && request.user == self.subject.user();
        if !is_ours || !request.would_write() {
            return;
        }
        self.pods += usize::from(request.is(self.subject.user(), "create", "pods"));
        let what = format!("{} {}", request.verb, request.resource);
        *self.writes.entry(what).or_default() += 1;
    }

    fn write_count(&self) -> usize {
        self.writes.values().sum()
    }

    fn seen(&self) -> String {
        let subject = match self.subject {
            Subject::Coppice => "tree",
            Subject::ReplicaSet => "ReplicaSet",
        };
        let (name, writes) = (self.trouble.name(), self.write_count());
        format!("{name}, {subject}: {} Pods, {writes} writes", self.pods)
    }
}

/// Reads what is done, for ten minutes.
async fn watch(log: &mut AuditLog, cases: &mut [Case], begun: Instant) -> Result<()> {
    let mut teller = Teller::begin();
    while begun.elapsed() < LONG {
        tokio::time::sleep(POLL).await;
        for request in log.read()? {
            for case in &mut *cases {
                case.note(&request);
            }
        }
        teller.tell(|| {
            let seen: Vec<String> = cases.iter().map(Case::seen).collect();
            let seconds = begun.elapsed().as_secs();
            format!("after {seconds} s: {}", seen.join("; "))
        });
    }
    Ok(())
}

/// Binds every Pod that asks for it to the node that it names, whether it fits there or not; ends only by an error.
async fn schedule_blindly(client: &Client) -> Result<()> {
    let fields = format!("spec.schedulerName={BLIND},spec.nodeName=");
    let all: Api<Pod> = Api::all(client.clone());
    let waiting = watcher(all, watcher::Config::default().fields(&fields));
    let mut waiting = std::pin::pin!(waiting.default_backoff().applied_objects().boxed());
    while let Some(seen) = waiting.next().await {
        // A watch that fails begins anew by itself.
        if let Ok(pod) = seen {
            bind(client, &pod).await?;
        }
    }
    bail!("the watch for Pods has ended")
}

async fn bind(client: &Client, pod: &Pod) -> Result<()> {
    let selector = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.node_selector.as_ref());
    let node = selector.and_then(|selector| selector.get("kubernetes.io/hostname"));
    let name = pod.name_any();
    let binding = json!({
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": name},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node.context("a node")?},
    });
    let pods: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
    let params = PostParams::default();
    let bound = pods.create_subresource::<_, Value>("binding", &name, &params, &binding);
    match bound.await {
        // It is gone or bound already.
        Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => Ok(()),
        outcome => outcome.map(drop).context("bind a Pod"),
    }
}

fn figure(cases: &[Case]) -> Figure {
    let of = |subject| cases.iter().filter(move |case| case.subject == subject);
    let writes = |subject| count(of(subject).map(Case::write_count).sum());
    let pods: usize = of(Subject::Coppice).map(|case| case.pods).sum();
    let peer = ("ReplicaSet", writes(Subject::ReplicaSet));
    let goal = Goal::Limit(count(MOST_WRITES));
    let value = writes(Subject::Coppice);
    let mut figure = Figure::new(
        "crash-loop-writes",
        value,
        "writes in 10 min",
        goal,
        Some(peer),
    );
    figure.notes = cases.iter().map(Case::seen).collect();
    // None at all would mean that nothing was tried.
    let tried = of(Subject::Coppice).all(|case| case.pods > 0);
    figure
        .note(format!("the trees' Pods: {pods} (≤ {MOST_PODS})"))
        .only_if(tried && pods <= MOST_PODS)
}

fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::INFINITY, f64::from)
}
