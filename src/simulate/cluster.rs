//! A cluster in memory, in virtual time: it stores statuses, carries out writes, and lets happen what happens by itself.
//!
//! Rule: it knows nothing of supervision; a real cluster would do the same, only at other times.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::pods::{self, Life, Run, Step};
use super::script::Script;
use crate::api::v1alpha1::{ReadyWhen, SupervisionTreeSpec, SupervisionTreeStatus};
use crate::model::kubelet::{plain_end, set_condition};
use crate::model::pod::{PodConditionType, PodView, Termination};
use crate::model::world::{NodeView, Refusal, TreeView, Untold, World};

mod misfortune;
mod writes;

/// The cluster.
#[derive(Debug)]
pub(super) struct Cluster {
    /// The time.
    pub(super) now: Timestamp,
    /// Everything in it.
    pub(super) world: World,
    /// What is to befall the replicas.
    pub(super) script: Script,
    /// What happened by itself since anybody asked.
    pub(super) news: Vec<News>,
    /// The workers in the order of the tree.
    order: Vec<String>,
    /// What the replicas of each worker do.
    workers: BTreeMap<String, Nature>,
    runs: BTreeMap<String, Run>,
    refusals: Vec<ActiveRefusal>,
    names: u32,
    nodes: u32,
}

/// What the replicas of a worker do by themselves.
#[derive(Clone, Copy, Debug)]
struct Nature {
    life: Life,
    /// `nodeLossSeconds`.
    patience: i64,
}

/// Something that happened by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The kubelet has restarted a container in its Pod.
    Restarted(String, i32),
    /// A Pod that had not ended is gone.
    Gone(String, i32),
    /// The node of a replica is lost: which one, and how.
    NodeLost(String, i32, String),
    /// What kept a replica from starting has ended.
    Lifted(String, i32),
}

/// Creates that the API server refuses for now.
#[derive(Clone, Debug)]
struct ActiveRefusal {
    refusal: Refusal,
    until: Option<Timestamp>,
}

impl Cluster {
    /// A cluster with that tree and nothing else.
    pub(super) fn new(name: &str, spec: SupervisionTreeSpec, script: Script) -> Self {
        let workers = spec.children.iter().filter_map(|child| {
            let worker = child.worker.as_ref()?;
            let life = match worker.ready {
                ReadyWhen::Ready => Life::Ready,
                ReadyWhen::Running => Life::Running,
                ReadyWhen::Completed => Life::Completes,
            };
            let patience = i64::from(worker.node_loss_seconds);
            Some((child.name.clone(), Nature { life, patience }))
        });
        let workers: Vec<(String, Nature)> = workers.collect();
        Self {
            now: script.start(),
            order: workers.iter().map(|(name, _)| name.clone()).collect(),
            workers: workers.into_iter().collect(),
            script,
            news: Vec::new(),
            runs: BTreeMap::new(),
            refusals: Vec::new(),
            names: 0,
            nodes: 0,
            world: World {
                tree: Arc::new(TreeView {
                    name: name.to_owned(),
                    namespace: "default".to_owned(),
                    uid: "tree".to_owned(),
                    generation: 1,
                    deleting: false,
                    finalizers: Vec::new(),
                    spec,
                    status: SupervisionTreeStatus::default(),
                }),
                workers: BTreeMap::new(),
                revisions: Vec::new(),
                disruption_budgets: None,
                claims: BTreeMap::new(),
                nodes: Some(BTreeMap::new()),
                zoned: false,
                refusals: Vec::new(),
                tried: BTreeMap::new(),
                untold: Untold::default(),
                events: BTreeMap::new(),
                changes: Vec::new(),
                unseen: Vec::new(),
            },
        }
    }

    /// When something happens by itself next.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        let steps = self.pods().filter_map(|pod| Some(self.next_step(pod)?.0));
        let refusals = self.refusals.iter().filter_map(|one| one.until);
        let faults = self.script.next_due(self.now);
        steps
            .chain(refusals)
            .chain(faults)
            .chain(self.left_over_fault())
            .min()
    }

    /// Whether creates are refused, so that they are tried again and again.
    pub(super) fn refuses(&self) -> bool {
        !self.refusals.is_empty()
    }

    /// The step of a Pod that is due next.
    pub(super) fn next_step(&self, pod: &PodView) -> Option<(Timestamp, Step)> {
        let life = self.workers.get(&pod.child)?.life;
        let crashes = self.script.is_crash_looping(&pod.child, pod.slot);
        let run = self.runs.get(&pod.uid).cloned().unwrap_or_default();
        pods::next_step(pod, &run, life, crashes, self.is_silent(pod))
    }

    /// Lets that time come, and happen what is due.
    pub(super) fn advance(&mut self, to: Timestamp) {
        self.now = to;
        self.refusals
            .retain(|one| one.until.is_none_or(|until| until > to));
        self.befall();
        let due = self.pods().filter_map(|pod| {
            let (due, step) = self.next_step(pod)?;
            (due <= to).then(|| (pod.uid.clone(), step))
        });
        for (uid, step) in due.collect::<Vec<_>>() {
            self.take_step(&uid, step);
        }
        self.world.collect_claims();
    }

    fn take_step(&mut self, uid: &str, step: Step) {
        let now = self.now;
        match step {
            Step::Start => self.start(uid),
            Step::Lift => {
                if let Some((child, slot)) = self.replica(uid) {
                    self.news.push(News::Lifted(child, slot));
                }
                self.runs.remove(uid);
                self.run(uid);
            }
            Step::Ready => self.edit(uid, |pod| pods::become_ready(pod, now)),
            Step::End(index, code) => self.end(uid, index, plain_end(code, "")),
            Step::Restart(index) => {
                self.edit(uid, |pod| pods::restart(pod, index, now));
                self.restarted(uid);
            }
            Step::Evict => {
                let reason = "DeletionByTaintManager";
                self.edit(uid, |pod| {
                    let type_ = PodConditionType::DisruptionTarget;
                    set_condition(pod, type_, true, reason, "", now);
                    pods::delete(pod, now);
                });
            }
            Step::Remove => self.remove(uid),
        }
    }

    /// The program of a Pod starts, on a node of its own, or meets what keeps it from that.
    fn start(&mut self, uid: &str) {
        if !self.meet(uid) {
            self.run(uid);
        }
    }

    fn run(&mut self, uid: &str) {
        let (now, node) = (self.now, self.next_node());
        self.edit(uid, |pod| {
            let node = pod.node.clone().unwrap_or(node);
            pods::start(pod, node, now);
        });
    }

    fn next_node(&mut self) -> String {
        self.nodes += 1;
        let name = format!("node-{}", self.nodes);
        let nodes = self.world.nodes.get_or_insert_default();
        nodes.insert(name.clone(), NodeView::default());
        name
    }

    fn end(&mut self, uid: &str, index: usize, end: Termination) {
        let now = self.now;
        let mut runs_again = false;
        self.edit(uid, |pod| runs_again = pods::end(pod, index, now, end));
        if runs_again {
            self.restarted(uid);
        }
    }

    fn restarted(&mut self, uid: &str) {
        if let Some((child, slot)) = self.replica(uid) {
            self.news.push(News::Restarted(child, slot));
        }
    }

    fn remove(&mut self, uid: &str) {
        let Some(pod) = self.pod(uid).cloned() else {
            return;
        };
        self.runs.remove(uid);
        if let (Some(nodes), Some(node)) = (&mut self.world.nodes, &pod.node) {
            nodes.remove(node);
        }
        if let Some(worker) = self.world.workers.get_mut(&pod.child) {
            worker.pods.retain(|one| one.uid != uid);
        }
        if !pod.is_terminal() {
            self.news.push(News::Gone(pod.child, pod.slot));
        }
    }

    /// All Pods, in the order of the tree.
    pub(super) fn pods(&self) -> impl Iterator<Item = &PodView> {
        let workers = self.order.iter();
        let workers = workers.filter_map(|child| self.world.workers.get(child));
        workers.flat_map(|worker| &worker.pods).map(|pod| &**pod)
    }

    fn pod(&self, uid: &str) -> Option<&PodView> {
        self.pods().find(|pod| pod.uid == uid)
    }

    fn replica(&self, uid: &str) -> Option<(String, i32)> {
        self.pod(uid).map(|pod| (pod.child.clone(), pod.slot))
    }

    fn edit(&mut self, uid: &str, change: impl FnOnce(&mut PodView)) {
        let workers = self.world.workers.values_mut();
        let found = workers
            .flat_map(|worker| &mut worker.pods)
            .find(|pod| pod.uid == uid);
        if let Some(pod) = found {
            self.names += 1;
            let pod = Arc::make_mut(pod);
            change(pod);
            pod.resource_version = self.names.to_string();
        }
    }

    fn patience(&self, child: &str) -> i64 {
        self.workers.get(child).map_or(0, |nature| nature.patience)
    }

    /// Whether nobody hears of the node of a Pod.
    fn is_silent(&self, pod: &PodView) -> bool {
        let nodes = self.world.nodes.as_ref();
        let node = nodes
            .zip(pod.node.as_ref())
            .and_then(|(nodes, name)| nodes.get(name));
        node.is_some_and(|node| node.unreachable && !node.out_of_service)
    }
}
