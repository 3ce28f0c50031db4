//! A cluster in memory, in virtual time: it stores statuses, carries out writes, and lets happen what happens by itself.
//!
//! Rule: it knows nothing of supervision; a real cluster would do the same, only at other times.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::pods::{self, Life, Run, Step};
use super::script::Script;
use crate::api::labels;
use crate::api::v1alpha1::{ReadyWhen, SupervisionTreeSpec, SupervisionTreeStatus, WorkerStatus};
use crate::model::decision::{Decision, Write};
use crate::model::kubelet::{plain_end, set_condition};
use crate::model::pod::{PodConditionType, PodView, Termination};
use crate::model::world::{NodeView, Refusal, TreeView, Untold, WorkerView, World};

mod misfortune;

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
    /// The children in the order of the tree, with what their replicas do.
    children: Vec<(String, Life, i64)>,
    runs: BTreeMap<String, Run>,
    refusals: Vec<ActiveRefusal>,
    names: u32,
    nodes: u32,
}

/// Something that happened by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The kubelet has restarted a container in its Pod.
    Restarted(String, i32),
    /// A Pod is gone.
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
        let children = spec.children.iter().filter_map(|child| {
            let worker = child.worker.as_ref()?;
            let life = match worker.ready {
                ReadyWhen::Ready => Life::Ready,
                ReadyWhen::Running => Life::Running,
                ReadyWhen::Completed => Life::Completes,
            };
            let patience = i64::from(worker.node_loss_seconds);
            Some((child.name.clone(), life, patience))
        });
        Self {
            now: script.start(),
            children: children.collect(),
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
                nodes: Some(BTreeMap::new()),
                refusals: Vec::new(),
                untold: Untold::default(),
                unseen: Vec::new(),
            },
        }
    }

    /// Stores what a decision says, and makes its writes. Returns whether anything has changed.
    pub(super) fn carry_out(&mut self, decision: &Decision) -> bool {
        self.world.refusals.clear();
        let mut changed = false;
        if decision.tree_status != self.world.tree.status {
            Arc::make_mut(&mut self.world.tree).status = decision.tree_status.clone();
            changed = true;
        }
        for (child, status) in &decision.worker_statuses {
            let stored = self.world.workers.get_mut(child);
            if let Some(stored) = stored.filter(|stored| *stored.status != *status) {
                stored.status = Arc::new(status.clone());
                changed = true;
            }
        }
        for write in &decision.writes {
            changed = true;
            if !self.write(write) {
                break;
            }
        }
        changed
    }

    /// `false` when a precondition does not hold.
    fn write(&mut self, write: &Write) -> bool {
        match write {
            Write::AddFinalizer => {
                let tree = Arc::make_mut(&mut self.world.tree);
                tree.finalizers.push(labels::FINALIZER.to_owned());
            }
            Write::RemoveFinalizer => Arc::make_mut(&mut self.world.tree).finalizers.clear(),
            Write::CreateWorker { child, name, body } => self.create_worker(child, name, body),
            Write::DeleteWorker { child, .. } => {
                self.world.workers.remove(child);
            }
            Write::Scale {
                child, replicas, ..
            } => {
                if let Some(worker) = self.world.workers.get_mut(child) {
                    worker.replicas = *replicas;
                }
            }
            Write::CreatePod {
                child,
                slot,
                name,
                body,
                ..
            } => self.create_pod(child, *slot, name, body),
            Write::DeletePod {
                child, name, uid, ..
            } => return self.delete_pod(child, name, uid),
        }
        true
    }

    fn create_worker(&mut self, child: &str, name: &str, body: &Value) {
        let replicas = body["spec"]["replicas"].as_i64().unwrap_or(1);
        let worker = WorkerView {
            name: name.to_owned(),
            uid: format!("worker-{child}"),
            generation: 1,
            deleting: false,
            replicas: i32::try_from(replicas).unwrap_or(1),
            status: Arc::new(WorkerStatus::default()),
            pods: Vec::new(),
        };
        self.world.workers.insert(child.to_owned(), worker);
    }

    fn create_pod(&mut self, child: &str, slot: i32, name: &str, body: &Value) {
        let refused = |one: &Refusal| one.child == child && one.slot == Some(slot);
        if self.world.refusals.iter().any(|one| one.child == child) {
            // What was refused to a child is not tried for the rest of it.
            return;
        }
        self.begin_refusal(child, slot);
        if let Some(active) = self.refusals.iter().find(|one| refused(&one.refusal)) {
            self.world.refusals.push(Refusal {
                at: self.now,
                ..active.refusal.clone()
            });
            return;
        }
        self.names += 1;
        let uid = format!("pod-{:06}", self.names);
        let pod = pods::created(body, name.to_owned(), uid, child, slot, self.now);
        if let Some(worker) = self.world.workers.get_mut(child) {
            worker.pods.push(Arc::new(pod));
        }
    }

    fn delete_pod(&mut self, child: &str, name: &str, uid: &str) -> bool {
        let now = self.now;
        let Some(worker) = self.world.workers.get_mut(child) else {
            return false;
        };
        let mut pods = worker.pods.iter_mut();
        match pods.find(|pod| pod.name == name && pod.uid == uid) {
            Some(pod) => pods::delete(Arc::make_mut(pod), now),
            None => return false,
        }
        true
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

    /// The step of a Pod that is due next.
    pub(super) fn next_step(&self, pod: &PodView) -> Option<(Timestamp, Step)> {
        let (_, life, _) = self.children.iter().find(|(name, ..)| *name == pod.child)?;
        let crashes = self.script.is_crash_looping(&pod.child, pod.slot);
        let run = self.runs.get(&pod.uid).cloned().unwrap_or_default();
        pods::next_step(pod, &run, *life, crashes, self.is_silent(pod))
    }

    /// Lets that time come, and happen what is due.
    pub(super) fn advance(&mut self, to: Timestamp) {
        self.now = to;
        self.refusals
            .retain(|one| one.until.is_none_or(|until| until > to));
        for uid in self.uids() {
            self.befall(&uid);
        }
        for uid in self.uids() {
            let due = self.pod(&uid).and_then(|pod| self.next_step(pod));
            if let Some((_, step)) = due.filter(|(due, _)| *due <= to) {
                self.take_step(&uid, step);
            }
        }
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
        self.news.push(News::Gone(pod.child, pod.slot));
    }

    /// All Pods, in the order of the tree.
    pub(super) fn pods(&self) -> impl Iterator<Item = &PodView> {
        let workers = self.children.iter();
        let workers = workers.filter_map(|(child, ..)| self.world.workers.get(child));
        workers.flat_map(|worker| &worker.pods).map(|pod| &**pod)
    }

    fn uids(&self) -> Vec<String> {
        self.pods().map(|pod| pod.uid.clone()).collect()
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
        let found = self.children.iter().find(|(name, ..)| name == child);
        found.map_or(0, |(_, _, patience)| *patience)
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
