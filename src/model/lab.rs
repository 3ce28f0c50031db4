//! A small cluster in memory, in virtual time, for the tests of the engine: it stores statuses, carries
//! out writes, and plays scheduler and kubelet.
//!
//! Rule: it knows nothing of supervision; what it does, a real cluster does too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::api::labels;
use crate::api::v1alpha1::{SupervisionTreeSpec, SupervisionTreeStatus, WorkerStatus};

use super::decide;
use super::decision::{Decision, Write};
use super::kubelet::{self, back_off_seconds, set_condition};
use super::pod::{
    ContainerState, ContainerView, PodCondition, PodConditionType, PodPhase, PodView, RestartPolicy,
};
use super::window::after;
use super::world::{NodeView, Refusal, TreeView, Untold, WorkerView, World};

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
    /// Reasons of all Events.
    pub(crate) events: Vec<String>,
    /// Verdicts on all faults, and whether the restart was charged.
    pub(crate) judged: Vec<(super::fault::Verdict, Option<bool>)>,
    /// What a program says when it crashes.
    pub(crate) last_words: String,
    /// The answer to creates of the slot that it names, or of all slots, until it is taken away.
    pub(crate) refuse_creates: Option<Refusal>,
    /// Writes left before the operator crashes, once.
    pub(crate) crash_in: Option<usize>,
    /// How many writes were tried so far, status writes included.
    pub(crate) writes: usize,
    wake_at: Option<Timestamp>,
    /// The grace of Pods, by name.
    graces: BTreeMap<String, i64>,
    uid: u32,
}

/// How long Kubernetes waits for a Pod that does not say, in seconds.
const DEFAULT_GRACE: i64 = 30;

const RUNS_AFTER: i64 = 1;
const READY_AFTER: i64 = 2;

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
                nodes: Some(BTreeMap::from([("node-a".into(), healthy_node())])),
                refusals: Vec::new(),
                untold: Untold::default(),
                unseen: Vec::new(),
            },
            behaviours: BTreeMap::new(),
            failing: BTreeMap::new(),
            stopping: BTreeMap::new(),
            overran: Vec::new(),
            graces: BTreeMap::new(),
            log: Vec::new(),
            events: Vec::new(),
            judged: Vec::new(),
            last_words: String::new(),
            refuse_creates: None,
            crash_in: None,
            writes: 0,
            wake_at: None,
            uid: 0,
        }
    }

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

    /// Changes the template of a worker.
    pub(crate) fn edit_template(&mut self, child: &str, image: &str) {
        let image = image.to_owned();
        self.edit(|spec| {
            let child = spec.children.iter_mut().find(|c| c.name == child).unwrap();
            let template = &mut child.worker.as_mut().unwrap().template.0;
            template["spec"]["containers"][0]["image"] = image.into();
        });
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

    /// Decides, lets something happen that the decision does not know of, and carries it out.
    pub(crate) fn decide_before(&mut self, meanwhile: impl FnOnce(&mut Self)) {
        let decision = decide(&self.world, self.now);
        meanwhile(self);
        self.carry_out(&decision).expect("no crash is planned");
    }

    /// Decides and carries out until nothing changes any more.
    pub(crate) fn settle(&mut self) {
        for _ in 0..60 {
            if !self.decide_once() {
                return;
            }
        }
        panic!(
            "no fixpoint; last writes: {:?}",
            &self.log[self.log.len().saturating_sub(12)..]
        );
    }

    fn decide_once(&mut self) -> bool {
        let decision = decide(&self.world, self.now);
        assert_eq!(
            decision,
            decide(&self.world, self.now),
            "a decision is a function of the world"
        );
        self.world.refusals.clear();
        self.wake_at = decision.wake_at;
        self.carry_out(&decision).unwrap_or(true)
    }

    fn write(&mut self) -> Option<()> {
        self.writes += 1;
        match &mut self.crash_in {
            Some(0) => {
                self.crash_in = None;
                None
            }
            Some(left) => {
                *left -= 1;
                Some(())
            }
            None => Some(()),
        }
    }

    /// `None` when the operator crashed in the middle.
    fn carry_out(&mut self, decision: &Decision) -> Option<bool> {
        let mut changed = false;
        if decision.writes_first {
            let (wrote, goes_on) = self.make_writes(decision)?;
            changed |= wrote;
            if !goes_on {
                return Some(changed);
            }
        }
        let of_workers = decision.of_workers.as_ref();
        let first = of_workers.map_or(&decision.tree_status, |of| &of.tree_status);
        if decision.tree_intent && *first != self.world.tree.status {
            self.write()?;
            self.tree_mut().status = first.clone();
            changed = true;
        }
        for child in &decision.worker_intents {
            changed |= self.write_worker(child, decision)?;
        }
        if of_workers.is_some() && decision.tree_status != self.world.tree.status {
            self.write()?;
            self.tree_mut().status = decision.tree_status.clone();
            changed = true;
        }
        for notice in decision.notices.clone() {
            self.events.push(notice.reason);
        }
        let judged = decision.judged.iter().map(|j| (j.verdict, j.charged));
        self.judged.extend(judged);
        if !decision.writes_first {
            let (wrote, goes_on) = self.make_writes(decision)?;
            changed |= wrote;
            if !goes_on {
                return Some(changed);
            }
        }
        if decision.tree_status != self.world.tree.status {
            self.write()?;
            self.tree_mut().status = decision.tree_status.clone();
            changed = true;
        }
        for child in decision.worker_statuses.keys() {
            changed |= self.write_worker(child, decision)?;
        }
        Some(changed)
    }

    /// Whether anything was written, and whether all went well.
    fn make_writes(&mut self, decision: &Decision) -> Option<(bool, bool)> {
        let mut wrote = false;
        for write in decision.writes.clone() {
            // What was refused to a child is not tried for the rest of it.
            let refused =
                |child: &String| self.world.refusals.iter().any(|one| one.child == *child);
            if matches!(&write, Write::CreatePod { child, .. } if refused(child)) {
                continue;
            }
            self.write()?;
            wrote = true;
            if !self.execute(write) {
                return Some((wrote, false));
            }
        }
        Some((wrote, true))
    }

    fn write_worker(&mut self, child: &str, decision: &Decision) -> Option<bool> {
        let status = decision.worker_statuses.get(child)?;
        let stored = self.world.workers.get(child).map(|w| &*w.status);
        if stored.is_none_or(|stored| stored == status) {
            return Some(false);
        }
        self.write()?;
        self.world.workers.get_mut(child).unwrap().status = status.clone().into();
        Some(true)
    }

    /// `false` when a precondition does not hold.
    fn execute(&mut self, write: Write) -> bool {
        match write {
            Write::AddFinalizer => {
                self.log.push("finalizer on".into());
                self.tree_mut().finalizers.push(labels::FINALIZER.into());
            }
            Write::RemoveFinalizer => {
                self.log.push("finalizer off".into());
                self.tree_mut().finalizers.clear();
            }
            Write::CreateWorker { child, name, body } => {
                let replicas = body["spec"]["replicas"].as_i64().unwrap_or(1);
                self.uid += 1;
                let worker = WorkerView {
                    name,
                    uid: format!("worker-{child}-{}", self.uid),
                    generation: 1,
                    deleting: false,
                    replicas: replicas.try_into().unwrap(),
                    status: WorkerStatus::default().into(),
                    pods: Vec::new(),
                };
                assert!(
                    self.world.workers.insert(child, worker).is_none(),
                    "a Worker was created twice"
                );
            }
            Write::DeleteWorker { uid, .. } => self.world.workers.retain(|_, w| w.uid != uid),
            Write::Scale {
                child,
                replicas,
                notice,
                ..
            } => {
                self.events.extend(notice.map(|notice| notice.reason));
                self.log.push(format!("scale {child} {replicas}"));
                self.world.workers.get_mut(&child).unwrap().replicas = replicas;
            }
            Write::CreatePod {
                child,
                slot,
                name,
                body,
                ..
            } => self.create_pod(&child, slot, name, &body),
            Write::DeletePod {
                name,
                uid,
                resource_version,
                why,
                ..
            } => {
                let is_as_seen = |pod: &PodView| {
                    pod.uid == uid
                        && resource_version
                            .as_ref()
                            .is_none_or(|version| *version == pod.resource_version)
                };
                if !self.pods().any(is_as_seen) {
                    return false;
                }
                self.log
                    .push(format!("delete {} ({why})", self.slot_name(&uid)));
                self.delete(&name, &uid);
            }
        }
        true
    }

    fn slot_name(&self, uid: &str) -> String {
        self.pods()
            .find(|p| p.uid == uid)
            .map_or_else(String::new, |p| format!("{}/{}", p.child, p.slot))
    }

    fn create_pod(&mut self, child: &str, slot: i32, name: String, body: &Value) {
        let refused = self.refuse_creates.clone();
        let of_slot = |r: &Refusal| r.child == child && r.slot.is_none_or(|named| named == slot);
        if let Some(refusal) = refused.filter(of_slot) {
            self.log.push(format!("refused {child}/{slot}"));
            self.world.refusals.push(Refusal {
                at: self.now,
                slot: Some(slot),
                ..refusal
            });
            return;
        }
        self.log.push(format!("create {child}/{slot}"));
        let grace = body["spec"]["terminationGracePeriodSeconds"].as_i64();
        self.graces
            .insert(name.clone(), grace.unwrap_or(DEFAULT_GRACE));
        self.uid += 1;
        let now = self.now;
        let worker = self.world.workers.get_mut(child).unwrap();
        assert!(
            worker.pods.iter().all(|p| p.name != name),
            "the name {name} is taken"
        );
        let live = worker
            .pods
            .iter()
            .filter(|p| p.slot == slot && !p.is_deleting() && !p.is_terminal());
        assert_eq!(
            live.count(),
            0,
            "slot {child}/{slot} has a live Pod already"
        );
        worker.pods.push(Arc::new(PodView {
            name,
            uid: format!("pod-{:032}", self.uid),
            resource_version: self.uid.to_string(),
            owner_uid: worker.uid.clone(),
            child: child.into(),
            slot,
            revision: body["metadata"]["labels"][labels::REVISION]
                .as_str()
                .unwrap()
                .into(),
            node: None,
            created: now,
            deletion: None,
            deletion_grace_seconds: None,
            phase: PodPhase::Pending,
            reason: None,
            message: None,
            incarnation: body["metadata"]["labels"][labels::INCARNATION]
                .as_str()
                .unwrap()
                .parse()
                .unwrap(),
            restart_policy: RestartPolicy::of(body["spec"]["restartPolicy"].as_str().unwrap()),
            conditions: vec![PodCondition {
                type_: PodConditionType::Ready,
                is_true: false,
                reason: String::new(),
                message: String::new(),
                changed: Some(now),
            }],
            containers: vec![ContainerView {
                name: "app".into(),
                judged: true,
                state: ContainerState::Waiting {
                    reason: "ContainerCreating".into(),
                    message: String::new(),
                },
                last: None,
                restarts: 0,
                ready: false,
            }],
            init_containers: Vec::new(),
        }));
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

    /// Somebody deletes a Pod.
    pub(crate) fn delete_by_hand(&mut self, child: &str, slot: i32) {
        let (name, uid) = {
            let pod = self.pod_mut(child, slot);
            (pod.name.clone(), pod.uid.clone())
        };
        self.delete(&name, &uid);
    }

    fn delete(&mut self, name: &str, uid: &str) {
        let now = self.now;
        let grace = self.graces.get(name).copied().unwrap_or(DEFAULT_GRACE);
        for worker in self.world.workers.values_mut() {
            for pod in worker.pods.iter_mut().filter(|p| p.name == name) {
                let pod = Arc::make_mut(pod);
                assert_eq!(pod.uid, uid, "the UID precondition holds");
                let slot = format!("{}/{}", pod.child, pod.slot);
                let takes = self
                    .stopping
                    .get(&slot)
                    .or_else(|| self.stopping.get(&pod.child));
                let takes = takes.copied().unwrap_or(1);
                if takes > grace && pod.deletion.is_none() {
                    self.overran.push(slot);
                }
                let end = after(now, takes.min(grace));
                pod.deletion = pod.deletion.or(Some(end));
                pod.deletion_grace_seconds = Some(1);
            }
        }
    }

    /// A Pod is gone without a trace.
    pub(crate) fn vanish(&mut self, child: &str, slot: i32) {
        let uid = self.pod_mut(child, slot).uid.clone();
        let worker = self.world.workers.get_mut(child).unwrap();
        worker.pods.retain(|pod| pod.uid != uid);
    }

    /// The kubelet evicts a Pod.
    pub(crate) fn evict(&mut self, child: &str, slot: i32) {
        let now = self.now;
        let pod = self.pod_mut(child, slot);
        pod.phase = PodPhase::Failed;
        pod.reason = Some("Evicted".into());
        pod.message = Some("The node was low on resource: memory.".into());
        set_condition(pod, PodConditionType::Ready, false, "PodFailed", "", now);
    }

    /// A replica becomes ready or unready.
    pub(crate) fn set_ready(&mut self, child: &str, slot: i32, ready: bool) {
        let now = self.now;
        set_condition(
            self.pod_mut(child, slot),
            PodConditionType::Ready,
            ready,
            "",
            "",
            now,
        );
    }

    /// The program of a replica ends now.
    pub(crate) fn kill(&mut self, child: &str, slot: i32, code: i32) {
        let now = self.now;
        let words = self.last_words.clone();
        end_container(self.pod_mut(child, slot), now, code, &words);
    }

    /// The program of a Pod that is being deleted ends as it should.
    pub(crate) fn kill_deleted(&mut self, child: &str, slot: i32) {
        self.end_deleted(child, slot, 0);
    }

    /// The program of a Pod that is being deleted ends with that code.
    pub(crate) fn end_deleted(&mut self, child: &str, slot: i32, code: i32) {
        let now = self.now;
        let pods = &mut self.world.workers.get_mut(child).unwrap().pods;
        let mut deleting = pods
            .iter_mut()
            .filter(|p| p.slot == slot && p.is_deleting());
        let pod = Arc::make_mut(deleting.next().expect("a Pod of the slot is being deleted"));
        end_container(pod, now, code, "");
    }

    fn kubelet(&mut self) -> bool {
        let now = self.now;
        let before = self.world.workers.clone();
        let behaviours = self.behaviours.clone();
        let silent = self.silent_nodes();
        let is_silent = |pod: &PodView| pod.node.as_ref().is_some_and(|node| silent.contains(node));
        for worker in self.world.workers.values_mut() {
            worker
                .pods
                .retain(|pod| is_silent(pod) || pod.deletion.is_none_or(|end| now < end));
            let tended = worker.pods.iter_mut().filter(|pod| !is_silent(pod));
            for pod in tended.map(Arc::make_mut) {
                let behaviour = behaviours
                    .get(&pod.child)
                    .copied()
                    .unwrap_or(Behaviour::Healthy);
                let seen = pod.clone();
                let slot = format!("{}/{}", pod.child, pod.slot);
                let failing = [&slot, &pod.child].into_iter().find(|of| {
                    let codes = self.failing.get(*of);
                    codes.is_some_and(|codes| !codes.is_empty()) && is_starting(pod)
                });
                let code = failing.and_then(|of| self.failing.get_mut(of)?.pop());
                if let Some(code) = code {
                    end_container(pod, now, code, &self.last_words);
                } else {
                    tend(pod, behaviour, now, &self.last_words);
                }
                if *pod != seen {
                    self.uid += 1;
                    pod.resource_version = self.uid.to_string();
                }
            }
        }
        self.world.workers != before
    }

    /// The nodes whose kubelets nobody hears.
    fn silent_nodes(&self) -> BTreeSet<String> {
        let nodes = self.world.nodes.iter().flatten();
        nodes
            .filter(|(_, node)| node.unreachable)
            .map(|(name, _)| name.clone())
            .collect()
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

    /// The charges of a supervisor, by child.
    pub(crate) fn charges(&self, supervisor: &str) -> BTreeMap<String, usize> {
        let record = self
            .world
            .tree
            .status
            .supervisors
            .iter()
            .find(|s| s.name == supervisor);
        record
            .into_iter()
            .flat_map(|s| &s.charges)
            .map(|c| (c.child.clone(), c.times.len()))
            .collect()
    }
}

pub(crate) fn healthy_node() -> NodeView {
    NodeView::default()
}

/// Whether the program runs and has not become Ready in this run.
fn is_starting(pod: &PodView) -> bool {
    !pod.is_terminal() && pod.containers[0].is_running() && !pod.containers[0].ready
}

fn tend(pod: &mut PodView, behaviour: Behaviour, now: Timestamp, last_words: &str) {
    if pod.is_terminal() {
        return;
    }
    let age = now.as_second() - pod.created.as_second();
    match behaviour {
        Behaviour::NoCapacity if pod.node.is_none() => {
            pod.containers[0].state = ContainerState::Waiting {
                reason: String::new(),
                message: String::new(),
            };
            set_condition(
                pod,
                PodConditionType::PodScheduled,
                false,
                "Unschedulable",
                "0/1 nodes are available: 1 Insufficient cpu.",
                now,
            );
            return;
        }
        Behaviour::NoImage if !pod.containers[0].is_running() => {
            pod.node = Some("node-a".into());
            pod.containers[0].state = ContainerState::Waiting {
                reason: "ImagePullBackOff".into(),
                message: "Back-off pulling image \"nope\": ErrImagePull: nope: not found".into(),
            };
            return;
        }
        _ => {}
    }
    set_condition(pod, PodConditionType::PodScheduled, true, "", "", now);
    let ready_allowed = behaviour != Behaviour::Hang;
    let container = &mut pod.containers[0];
    let ended = container.last.as_ref().and_then(|end| end.finished);
    match &container.state {
        ContainerState::Waiting { reason, .. } if reason == "CrashLoopBackOff" => {
            let delay = back_off_seconds(container.restarts);
            if ended.is_some_and(|end| now.as_second() - end.as_second() >= delay) {
                container.restarts += 1;
                container.state = ContainerState::Running { since: Some(now) };
            }
        }
        ContainerState::Waiting { .. } if age >= RUNS_AFTER => {
            pod.node = Some("node-a".into());
            pod.phase = PodPhase::Running;
            container.state = ContainerState::Running { since: Some(now) };
        }
        ContainerState::Running { since } => {
            let age = now.as_second() - since.map_or(0, Timestamp::as_second);
            match behaviour {
                Behaviour::Crash(seconds, code) if age >= seconds => {
                    end_container(pod, now, code, last_words);
                }
                _ if age >= READY_AFTER - RUNS_AFTER && ready_allowed => {
                    container.ready = true;
                    set_condition(pod, PodConditionType::Ready, true, "", "", now);
                }
                _ => {}
            }
        }
        _ => {}
    }
}

fn end_container(pod: &mut PodView, now: Timestamp, code: i32, last_words: &str) {
    kubelet::end_container(pod, 0, now, kubelet::plain_end(code, last_words));
}
