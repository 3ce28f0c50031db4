//! The story of a tree of twenty Pods: it starts, heals, is scaled, and is stopped.
//!
//! Rule: the operator may die at any moment of it; it is started again, and that is all that is done about it.
#![allow(
    dead_code,
    unused_imports,
    reason = "two test programs include this file, and not each uses all of it"
)]

// A file that is included by its path has its modules looked for beside it; these are in a folder of their own.
#[path = "story/operator.rs"]
mod operator;
#[path = "story/sight.rs"]
mod sight;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use e2e::cluster::Cluster;
use e2e::current;
use e2e::proxy::Proxy;
use e2e::proxy::rule::Rule;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::{Space, is_current};
pub(crate) use operator::{Operator, grant_rights, kubeconfig, program};

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
