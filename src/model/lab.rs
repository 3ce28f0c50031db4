//! A small cluster in memory, in virtual time, for the tests of the engine. Here are its state, its clock and what a test
//! asks it; `operator`, `api_server`, `disruption_budgets` and `kubelet` are who works in it, `mishaps` what comes from outside.
//!
//! Rule: it knows nothing of supervision; what it does, a real cluster does too.

mod api_server;
mod disruption_budgets;
mod kubelet;
mod mishaps;
mod operator;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::policy::v1::PodDisruptionBudgetSpec;

pub(crate) use self::api_server::name_collision;
use super::decide;
use super::decision::Decision;
use super::fault::Verdict;
use super::pod::PodView;
use super::tally::RolloutNews;
use super::tree::Tree;
use super::window::after;
use super::world::{NodeView, Refusal, TreeView, Untold, World};
use crate::api::v1alpha1::{
    SupervisionTreeSpec, SupervisionTreeStatus, SupervisorStatus, WorkerSettings,
};

/// How the program of a child behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Becomes Ready and stays.
    Healthy,
    /// Ends that many seconds after its start, with that code.
    Crash(i64, i32),
    /// Runs and never becomes Ready.
    Hang,
    /// The image cannot be pulled.
    NoImage,
    /// It has a node, and its containers are not made: Events say why.
    Stuck,
    /// No node fits.
    NoCapacity,
}

pub(crate) struct Lab {
    pub(crate) now: Timestamp,
    pub(crate) world: World,
    pub(crate) behaviours: BTreeMap<String, Behaviour>,
    /// The exit codes with which the next starts of a child end, or of a slot of it (`child/slot`), the last one first.
    pub(crate) failing: BTreeMap<String, Vec<i32>>,
    /// How many seconds a child, or a slot of it, takes to stop when it is told to. The kubelet does not wait longer than
    /// the grace of its Pod.
    pub(crate) stopping: BTreeMap<String, i64>,
    /// Those that the kubelet killed because they took too long.
    pub(crate) overran: Vec<String>,
    /// Every write carried out, as `verb object`.
    pub(crate) log: Vec<String>,
    /// The children of which the API server was asked whether it would take a Pod.
    pub(crate) tries: Vec<String>,
    /// Reasons of all Events.
    pub(crate) events: Vec<String>,
    /// All Events in words: type, reason and message.
    pub(crate) told: Vec<String>,
    /// What became of rollouts.
    pub(crate) rollouts: Vec<RolloutNews>,
    /// Verdicts on all faults, and whether the restart was charged.
    pub(crate) judged: Vec<(Verdict, Option<bool>)>,
    /// What a program says when it crashes.
    pub(crate) last_words: String,
    /// The answer to creates of the slot that it names, or of all slots, until it is taken away.
    pub(crate) refuse_creates: Option<Refusal>,
    /// What admission makes of every change to a disruption budget.
    pub(crate) admitted_budget: Option<PodDisruptionBudgetSpec>,
    /// Writes left before the operator crashes, once.
    pub(crate) crash_in: Option<usize>,
    /// How many writes were tried so far, status writes included.
    pub(crate) writes: usize,
    /// What decides: the engine, or one with a mistake.
    pub(crate) decide: Decide,
    wake_at: Option<Timestamp>,
    /// The grace of Pods, by name.
    graces: BTreeMap<String, i64>,
    /// Image of each Pod, by name.
    images: BTreeMap<String, String>,
    uid: u32,
}

/// One decision.
pub(crate) type Decide = fn(&World, Timestamp) -> Decision;

impl Lab {
    pub(crate) fn new(spec: &str) -> Self {
        let spec: SupervisionTreeSpec =
            serde_yaml::from_str(spec).expect("the spec of a test is valid");
        Self {
            now: Timestamp::from_second(1_800_000_000).unwrap(),
            world: World {
                tree: Arc::new(TreeView {
                    name: "t".into(),
                    namespace: "ns".into(),
                    uid: "tree-uid".into(),
                    generation: 1,
                    deleting: false,
                    finalizers: Vec::new(),
                    spec,
                    status: SupervisionTreeStatus::default(),
                }),
                workers: BTreeMap::new(),
                revisions: Vec::new(),
                disruption_budgets: Some(Vec::new()),
                claims: BTreeMap::new(),
                nodes: Some(BTreeMap::from([("node-a".into(), NodeView::default())])),
                refusals: Vec::new(),
                zoned: false,
                tried: BTreeMap::new(),
                untold: Untold::default(),
                events: BTreeMap::new(),
                changes: Vec::new(),
                unseen: Vec::new(),
            },
            behaviours: BTreeMap::new(),
            failing: BTreeMap::new(),
            stopping: BTreeMap::new(),
            overran: Vec::new(),
            graces: BTreeMap::new(),
            images: BTreeMap::new(),
            log: Vec::new(),
            tries: Vec::new(),
            events: Vec::new(),
            told: Vec::new(),
            rollouts: Vec::new(),
            judged: Vec::new(),
            last_words: String::new(),
            refuse_creates: None,
            admitted_budget: None,
            crash_in: None,
            writes: 0,
            decide,
            wake_at: None,
            uid: 0,
        }
    }

    /// How the Pods of a child behave, or, as `child@image`, those of it with that image.
    pub(crate) fn behave(&mut self, child: &str, behaviour: Behaviour) {
        self.behaviours.insert(child.into(), behaviour);
    }

    /// The tree, to change it behind everybody's back.
    pub(crate) fn tree_mut(&mut self) -> &mut TreeView {
        Arc::make_mut(&mut self.world.tree)
    }

    /// Edits the spec.
    pub(crate) fn edit(&mut self, change: impl FnOnce(&mut SupervisionTreeSpec)) {
        let tree = self.tree_mut();
        change(&mut tree.spec);
        tree.generation += 1;
    }

    /// Edits the settings of a worker.
    pub(crate) fn edit_worker(&mut self, child: &str, change: impl FnOnce(&mut WorkerSettings)) {
        self.edit(|spec| {
            let child = spec.children.iter_mut().find(|c| c.name == child).unwrap();
            change(child.worker.as_mut().unwrap());
        });
    }

    /// Changes the template of a worker.
    pub(crate) fn edit_template(&mut self, child: &str, image: &str) {
        self.edit_worker(child, |worker| {
            worker.template.0["spec"]["containers"][0]["image"] = image.into();
        });
    }

    /// Changes the number of replicas of a worker.
    pub(crate) fn edit_replicas(&mut self, child: &str, replicas: i32) {
        self.edit_worker(child, |worker| worker.replicas = Some(replicas));
    }

    /// Lets that many seconds go by. The engine is asked when something changed and when it asked to be,
    /// and at no other time.
    pub(crate) fn run(&mut self, seconds: i64) {
        self.settle();
        for _ in 0..seconds {
            self.now = after(self.now, 1);
            let changed = self.kubelet();
            if changed || self.wake_at.is_some_and(|time| time <= self.now) {
                self.settle();
            }
        }
    }

    /// Lets that many seconds go by while the operator is away.
    pub(crate) fn go_by(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.now = after(self.now, 1);
            self.kubelet();
        }
    }

    /// Lets time go by until the conditions are in that state, at most so many seconds.
    pub(crate) fn run_until(&mut self, state: &str, seconds: i64) {
        for _ in 0..seconds {
            if self.state() == state {
                return;
            }
            self.run(1);
        }
        panic!(
            "not {state} after {seconds} s, but {}: {}",
            self.state(),
            self.message()
        );
    }

    /// All Pods.
    pub(crate) fn pods(&self) -> impl Iterator<Item = &PodView> {
        let workers = self.world.workers.values();
        workers.flat_map(|w| &w.pods).map(|pod| &**pod)
    }

    /// The live Pods of a child, as `slot` numbers.
    pub(crate) fn live(&self, child: &str) -> Vec<i32> {
        let mut slots: Vec<i32> = self
            .pods()
            .filter(|p| p.child == child && !p.is_deleting() && !p.is_terminal())
            .map(|p| p.slot)
            .collect();
        slots.sort_unstable();
        slots
    }

    /// The images of the live Pods of a child, sorted.
    pub(crate) fn images(&self, child: &str) -> Vec<&str> {
        let live = |pod: &&PodView| pod.child == child && !pod.is_deleting() && !pod.is_terminal();
        let images = self
            .pods()
            .filter(live)
            .map(|pod| self.images[&pod.name].as_str());
        let mut images: Vec<&str> = images.collect();
        images.sort_unstable();
        images
    }

    /// The slots of a child whose live Pods run that image.
    pub(crate) fn slots_with(&self, child: &str, image: &str) -> Vec<i32> {
        let live = |pod: &&PodView| pod.child == child && !pod.is_deleting() && !pod.is_terminal();
        let of_image = self
            .pods()
            .filter(live)
            .filter(|pod| self.images[&pod.name] == image);
        let mut slots: Vec<i32> = of_image.map(|pod| pod.slot).collect();
        slots.sort_unstable();
        slots
    }

    /// The live Pod of a slot, to be changed.
    pub(crate) fn pod_mut(&mut self, child: &str, slot: i32) -> &mut PodView {
        self.uid += 1;
        let pods = &mut self.world.workers.get_mut(child).unwrap().pods;
        let pod = pods
            .iter_mut()
            .find(|p| p.slot == slot && !p.is_deleting() && !p.is_terminal())
            .expect("the slot has a live Pod");
        let pod = Arc::make_mut(pod);
        pod.resource_version = self.uid.to_string();
        pod
    }

    pub(crate) fn condition(&self, type_: &str) -> (&str, &str) {
        let c = self
            .world
            .tree
            .status
            .conditions
            .iter()
            .find(|c| c.type_ == type_)
            .expect("all conditions are present");
        (c.status.as_str(), c.reason.as_str())
    }

    /// Ready, Reconciling and Stalled as letters, and the reason.
    pub(crate) fn state(&self) -> String {
        let letter = |type_| {
            if self.condition(type_).0 == "True" {
                'T'
            } else {
                'F'
            }
        };
        format!(
            "{}{}{} {}",
            letter("Ready"),
            letter("Reconciling"),
            letter("Stalled"),
            self.condition("Ready").1
        )
    }

    pub(crate) fn message(&self) -> &str {
        &self.world.tree.status.conditions[0].message
    }

    /// What is remembered of a supervisor.
    pub(crate) fn record(&self, supervisor: &str) -> Option<&SupervisorStatus> {
        let mut records = self.world.tree.status.supervisors.iter();
        records.find(|record| record.name == supervisor)
    }

    /// The charges in the window of a supervisor, by child.
    pub(crate) fn charges(&self, supervisor: &str) -> BTreeMap<String, usize> {
        let tree = &self.world.tree;
        let tree = Tree::parse(&tree.name, &tree.spec).expect("a legal tree");
        let policy = tree.policy_named(supervisor);
        let intensity = policy.expect("a supervisor of the tree").intensity;
        self.record(supervisor)
            .into_iter()
            .flat_map(|s| &s.charges)
            .map(|c| (c.child.clone(), c.counted(self.now, intensity).count()))
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}
