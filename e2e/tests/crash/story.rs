//! The story of a tree of twenty Pods: it starts, heals, is scaled, and is stopped.
//!
//! Rule: the operator may die at any moment of it; it is started again, and that is all that is done about it.
#![allow(
    dead_code,
    reason = "two test programs include this file, and not each uses all of it"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use e2e::cluster::Cluster;
use e2e::process::{Process, Program};
use e2e::proxy::Proxy;
use e2e::proxy::rule::{Fault, Filter, Rule, RuleId};
use e2e::{current, operator};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::support::{self, OPERATOR, Space, is_current};

const WITHIN: Duration = Duration::from_mins(3);
/// A tree is at rest when the operator wrote nothing for this long; what only reports waits for one second.
const QUIET: Duration = Duration::from_millis(2500);

/// A part of the story.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Start,
    Heal,
    Scale,
    Stop,
}

impl Stage {
    pub(crate) const ALL: [Self; 4] = [Self::Start, Self::Heal, Self::Scale, Self::Stop];
}

/// Where the Pods of a story run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Where {
    Simulated,
    Real,
}

/// When the operator is to die: right after its `n`-th write in a stage.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kill {
    pub(crate) stage: Stage,
    pub(crate) n: u64,
}

/// What comes in between.
#[derive(Debug, Clone)]
pub(crate) enum Disturbance {
    /// Nothing.
    None,
    /// The operator is killed once.
    Kill(Kill),
    /// Requests go wrong by these rules and this seed, until the tree is as it came to be in the undisturbed story.
    Faults(Vec<Rule>, u64, Box<Outcome>),
}

/// What a story came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Outcome {
    /// What a person could see at the end of each stage.
    pub(crate) ends: Vec<Value>,
    /// The faults that the tree remembered before it was stopped.
    pub(crate) faults: Vec<String>,
    /// By verb and child, how many Pods were created and deleted by the operator.
    pub(crate) touched: BTreeMap<(String, String), usize>,
}

/// Tells the story in a namespace of its own; the outcome, and how many writes each stage took.
pub(crate) async fn tell(
    cluster: &'static Cluster,
    place: Where,
    disturbance: Disturbance,
) -> (Outcome, BTreeMap<Stage, u64>) {
    let story = Story::begin(cluster, place, &disturbance).await;
    let (mut outcome, mut writes) = (Outcome::default(), BTreeMap::new());
    for stage in Stage::ALL {
        let before = story.proxy.writes();
        if let Disturbance::Kill(kill) = &disturbance
            && kill.stage == stage
        {
            story.operator.die_after(kill.n);
        }
        story.act(stage).await;
        let end = story.ended(stage).await;
        if let Disturbance::Faults(.., expected) = &disturbance {
            story.until_seen(stage, expected).await;
        } else {
            story.quiet().await;
        }
        assert!(
            !story.operator.remove_trap(),
            "{disturbance:?} in {}: there were only {} writes",
            story.space.name,
            story.proxy.writes() - before
        );
        outcome.ends.push(match stage {
            Stage::Stop => end,
            _ => story.seen().await,
        });
        if stage == Stage::Scale {
            outcome.faults = story.faults().await;
        }
        writes.insert(stage, story.proxy.writes() - before);
    }
    assert_eq!(
        story.operator.deaths(),
        usize::from(matches!(disturbance, Disturbance::Kill(_))),
        "{disturbance:?}: how often the operator died"
    );
    outcome.touched = story.touched();
    (outcome, writes)
}

/// The operator's program.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| operator::program().expect("the operator compiles"))
}

/// The credentials of the operator's service account, made once.
pub(crate) async fn kubeconfig(cluster: &Cluster) -> &'static Path {
    static KUBECONFIG: OnceCell<PathBuf> = OnceCell::const_new();
    let make = async || {
        let lifetime = Duration::from_hours(2);
        let made = cluster.kubeconfig_for_service_account(support::SYSTEM, "coppice", lifetime);
        made.await.expect("a token")
    };
    KUBECONFIG.get_or_init(make).await
}

/// Applies the service account and the roles of the chart.
pub(crate) fn grant_rights(cluster: &Cluster) {
    support::ok(cluster, &["create", "namespace", support::SYSTEM], "");
    let templates = ["serviceaccount.yaml", "rbac.yaml"];
    operator::apply_from_chart(cluster, support::SYSTEM, &[], &templates).expect("rights");
}

struct Story {
    space: Space<'static>,
    place: Where,
    proxy: Proxy,
    operator: Arc<Operator>,
}

impl Drop for Story {
    fn drop(&mut self) {
        self.operator.end();
    }
}

/// The operator as a process that is started again when its trap has sprung.
pub(crate) struct Operator {
    cluster: &'static Cluster,
    /// Its name in logs and files.
    name: String,
    arguments: [String; 4],
    proxy: Proxy,
    lives: Arc<Mutex<Vec<Process>>>,
    trap: Mutex<Option<RuleId>>,
}

impl Operator {
    pub(crate) fn start(cluster: &'static Cluster, namespace: &str, proxy: Proxy) -> Arc<Self> {
        let operator = Self {
            cluster,
            name: format!("operator-{namespace}"),
            arguments: [
                "controller".to_owned(),
                "--leader-elect=false".to_owned(),
                "--listen=127.0.0.1:0".to_owned(),
                format!("--watch-namespace={namespace}"),
            ],
            proxy,
            lives: Arc::default(),
            trap: Mutex::default(),
        };
        let written = operator.proxy.write_kubeconfig(&operator.kubeconfig());
        written.expect("a kubeconfig");
        operator.begin_life();
        Arc::new(operator)
    }

    fn kubeconfig(&self) -> PathBuf {
        let name = format!("{}.kubeconfig", self.name);
        self.cluster.run().dir().join(name)
    }

    fn begin_life(&self) {
        let log = self.cluster.run().log(&self.name);
        let program = Program::new(&self.name, program(), log)
            .env("KUBECONFIG", self.kubeconfig())
            .args(&self.arguments);
        let life = self.cluster.run().spawn(program);
        let life = life.expect("the operator starts");
        self.lives.lock().unwrap().push(life);
    }

    /// Kills the operator right after its `n`-th write from now, before it hears that the write was stored, and starts
    /// it again.
    pub(crate) fn die_after(self: &Arc<Self>, n: u64) {
        let victim = self.lives.lock().unwrap().last().unwrap().pid();
        let rule = Rule::after(Filter::writes(), Fault::Kill(victim));
        let trap = self.proxy.add(rule.skip(n - 1).times(1));
        *self.trap.lock().unwrap() = Some(trap);
        let this = Arc::clone(self);
        tokio::spawn(async move {
            this.proxy.until_hits(trap, 1).await;
            this.begin_life();
        });
    }

    /// Takes the trap away; whether it was still set.
    pub(crate) fn remove_trap(&self) -> bool {
        let trap = self.trap.lock().unwrap().take();
        trap.is_some_and(|trap| self.proxy.remove(trap) == 0)
    }

    pub(crate) fn deaths(&self) -> usize {
        let lives = self.lives.lock().unwrap();
        lives.iter().filter(|life| life.ended().is_some()).count()
    }
}

impl Operator {
    pub(crate) fn end(&self) {
        for life in self.lives.lock().unwrap().iter() {
            life.kill();
        }
    }
}

impl Story {
    async fn begin(cluster: &'static Cluster, place: Where, disturbance: &Disturbance) -> Self {
        let space = Space::new(cluster, "story").await;
        let kubeconfig = kubeconfig(cluster).await;
        let client = cluster.client_from(kubeconfig).await.expect("a client");
        let (rules, seed) = match disturbance {
            Disturbance::Faults(rules, seed, _) => (rules.clone(), *seed),
            Disturbance::None | Disturbance::Kill(_) => (Vec::new(), 0),
        };
        let proxy = Proxy::open(client, seed).await.expect("a door");
        for rule in rules {
            proxy.add(rule);
        }
        let operator = Operator::start(cluster, &space.name, proxy.clone());
        Self {
            space,
            place,
            proxy,
            operator,
        }
    }

    /// What people and machines do to the tree at the beginning of a stage.
    async fn act(&self, stage: Stage) {
        match stage {
            Stage::Start => drop(self.space.apply(&tree(self.place, 5, 5))),
            Stage::Heal => self.harm().await,
            Stage::Scale => drop(self.space.apply(&tree(self.place, 3, 7))),
            Stage::Stop => {
                self.space
                    .kubectl(&["delete", "stree", "tree", "--wait=false"]);
            }
        }
    }

    /// Two containers end and are started again in place; one Pod of another child is deleted, and all of a third.
    async fn harm(&self) {
        for pod in self.space.pods_of("tree", "left").await.iter().take(2) {
            self.crash(pod).await;
        }
        let right = self.space.pods_of("tree", "right").await;
        let all = self.space.pods_of("tree", "lone").await;
        let names: Vec<String> = right[..1]
            .iter()
            .chain(&all)
            .map(ResourceExt::name_any)
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.space
            .kubectl(&[&["delete", "pod", "--wait=false"], &names[..]].concat());
    }

    async fn crash(&self, pod: &Pod) {
        if self.place == Where::Real {
            return self.space.kill(pod, "app");
        }
        // A simulated kubelet does not restart anything by itself, so its part is played here.
        let now = Timestamp::now().to_string();
        let mut status = serde_json::to_value(&pod.status).unwrap()["containerStatuses"][0].clone();
        status["restartCount"] = json!(1);
        status["lastState"] = json!({"terminated": {"exitCode": 1, "reason": "Error", "startedAt": now, "finishedAt": now}});
        let patch = json!({"status": {"containerStatuses": [status]}});
        let patched = self
            .space
            .pods()
            .patch_status(
                &pod.name_any(),
                &PatchParams::default(),
                &Patch::Merge(&patch),
            )
            .await;
        patched.expect("a status that a kubelet could have written");
    }

    /// Waits for the end of a stage.
    async fn ended(&self, stage: Stage) -> Value {
        if stage == Stage::Stop {
            self.space
                .until("tree", WITHIN, "gone", Value::is_null)
                .await;
            return self.left().await;
        }
        // The deaths of the healing: two in place, one Pod of `right`, both of `lone`.
        let deaths = if stage == Stage::Start { 0 } else { 5 };
        let done = |tree: &Value| {
            is_current(tree, "Ready", "True")
                && is_current(tree, "Reconciling", "False")
                && tree["status"]["restarts"].as_u64().unwrap_or(0) >= deaths
        };
        let what = format!("at the end of {stage:?}");
        self.space.until("tree", WITHIN, &what, done).await
    }

    /// Waits until the operator has nothing more to say.
    async fn quiet(&self) {
        let (mut writes, mut since) = (self.proxy.writes(), Instant::now());
        while since.elapsed() < QUIET {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if self.proxy.writes() != writes {
                (writes, since) = (self.proxy.writes(), Instant::now());
            }
        }
    }

    /// Waits until the tree is as it is at the end of that stage of the undisturbed story.
    async fn until_seen(&self, stage: Stage, expected: &Outcome) {
        if stage == Stage::Stop {
            return;
        }
        let (begun, expected) = (Instant::now(), &expected.ends[stage as usize]);
        loop {
            let seen = self.seen().await;
            if seen == *expected {
                return;
            }
            assert!(
                begun.elapsed() < WITHIN,
                "the end of {stage:?} in {} is\n{seen:#}\ninstead of\n{expected:#}",
                self.space.name
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// What is left when the tree is gone: nothing.
    async fn left(&self) -> Value {
        let begun = Instant::now();
        loop {
            let pods = self
                .space
                .pods()
                .list(&ListParams::default())
                .await
                .unwrap();
            let workers = self.space.ours("Worker");
            let workers = workers.list(&ListParams::default()).await.unwrap();
            let left = pods.items.len() + workers.items.len();
            if left == 0 || begun.elapsed() > WITHIN {
                return json!({"left": left});
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// What a person can see of the tree, without names and times that differ from run to run.
    async fn seen(&self) -> Value {
        let tree = self.space.tree("tree").await;
        let status = &tree["status"];
        let conditions: BTreeMap<String, Value> = ["Ready", "Reconciling", "Stalled"]
            .iter()
            .map(|name| {
                let one = support::condition(&tree, name);
                ((*name).to_owned(), json!([one["status"], one["reason"]]))
            })
            .collect();
        let supervisors: Vec<Value> = list(&status["supervisors"])
            .map(|one| {
                let charges: BTreeMap<String, usize> = list(&one["charges"])
                    .map(|charge| (text(&charge["child"]), list(&charge["times"]).count()))
                    .collect();
                json!({"name": one["name"], "incarnation": one["incarnation"], "charges": charges, "operation": one["operation"]["kind"], "gaveUp": one["gaveUp"]})
            })
            .collect();
        let mut workers = BTreeMap::new();
        for child in CHILDREN {
            workers.insert(child, self.worker(child).await);
        }
        json!({"conditions": conditions, "restarts": status["restarts"], "supervisors": supervisors, "workers": workers})
    }

    async fn faults(&self) -> Vec<String> {
        let tree = self.space.tree("tree").await;
        let mut faults: Vec<String> = list(&tree["status"]["recentFaults"])
            .map(|fault| {
                format!(
                    "{} {} {}",
                    text(&fault["child"]),
                    fault["slot"],
                    text(&fault["verdict"])
                )
            })
            .collect();
        faults.sort();
        faults
    }

    async fn worker(&self, child: &str) -> Value {
        let worker = self.space.worker("tree", child).await;
        let charges: BTreeMap<String, usize> = list(&worker["status"]["slots"])
            .map(|slot| (slot["slot"].to_string(), list(&slot["charges"]).count()))
            .filter(|(_, charges)| *charges > 0)
            .collect();
        let pods = self.space.pods_of("tree", child).await;
        let live: Vec<&Pod> = pods
            .iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_none())
            .collect();
        let slots: BTreeSet<&String> = live
            .iter()
            .filter_map(|pod| pod.labels().get("coppice.dev/slot"))
            .collect();
        assert_eq!(
            slots.len(),
            live.len(),
            "a slot of {child} in {} has two Pods",
            self.space.name
        );
        json!({"replicas": worker["spec"]["replicas"], "up": worker["status"]["up"], "restarts": worker["status"]["restarts"], "charges": charges, "slots": slots})
    }

    /// What the operator did to Pods here, by the API server's own record.
    fn touched(&self) -> BTreeMap<(String, String), usize> {
        let mut touched = BTreeMap::new();
        let requests = support::requests_of(self.space.cluster, OPERATOR);
        let ours = requests.into_iter().filter(|request| {
            request.namespace == self.space.name
                && request.resource == "pods"
                && request.succeeded()
        });
        for request in ours.filter(support::Request::is_write) {
            let child = CHILDREN
                .iter()
                .find(|child| request.name.starts_with(&format!("tree-{child}-")));
            let child = (*child.unwrap_or(&"unknown")).to_owned();
            *touched.entry((request.verb, child)).or_default() += 1;
        }
        touched
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

const CHILDREN: [&str; 4] = ["lone", "left", "right", "last"];

/// Twenty Pods: `lone` 2, then the supervisor `inner` with `left` and `right`, then `last` 8, which are told apart.
fn tree(place: Where, left: u32, right: u32) -> String {
    let placed = match place {
        Where::Simulated => {
            "nodeSelector: {type: kwok}, tolerations: [{key: kwok.x-k8s.io/node, operator: Exists}], "
        }
        Where::Real => "",
    };
    let image = current::workload_image();
    let template = format!(
        "{{spec: {{{placed}containers: [{{name: app, image: {image}}}], terminationGracePeriodSeconds: 1}}}}"
    );
    format!(
        "
apiVersion: coppice.dev/v1alpha1
kind: SupervisionTree
metadata: {{name: tree}}
spec:
  startup: Ordered
  intensity: {{maxRestarts: 10, periodSeconds: 3600}}
  children:
  - {{name: lone, worker: {{replicas: 2, template: {template}}}}}
  - {{name: inner, supervisor: {{startup: Ordered, intensity: {{maxRestarts: 10, periodSeconds: 3600}}}}}}
  - {{name: left, parent: inner, worker: {{replicas: {left}, quorum: 1, template: {template}}}}}
  - {{name: right, parent: inner, worker: {{replicas: {right}, quorum: 2, template: {template}}}}}
  - {{name: last, worker: {{replicas: 8, identity: Stable, template: {template}}}}}
"
    )
}
