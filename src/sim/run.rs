//! One run: a scenario, a plan of what goes wrong, and what came of it.
//!
//! Rule: one thread, virtual time, and no choice that is not in the plan, so that a run can be had again.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::Value;
use tokio::time::Instant;

use super::history::{letters, timeline};
use super::kind::Kind;
use super::objects::{
    child_of, condition, controller_uid, is_deleting, is_enabled, slot_of, spec_of, uid_of,
};
use super::operator::Operator;
use super::plan::Plan;
use super::predicates::{standing, wrong_give_ups};
use super::scenario::{Scenario, Step, create_tree};
use super::server::{Actor, Address, Change};
use super::world::{Shared, World};

/// How many reads an operator may make in the long run, and on top of that.
const READS_PER_SECOND: usize = 2;
const READS_AT_ONCE: usize = 200;
/// Where everything is.
pub(super) const NAMESPACE: &str = "ns";
/// Where the operators and their Lease are.
pub(super) const OPERATORS: &str = "coppice-system";
/// Name of their Lease.
pub(super) const LEASE: &str = "coppice";
/// Name of the tree.
pub(super) const TREE: &str = "t";
/// How long it must be quiet in the end.
const QUIET: u64 = 45;

/// A change, for plans about news.
pub(super) struct Changed {
    pub(super) address: Address,
    pub(super) by_operator: bool,
}

impl Changed {
    fn of(change: &Change) -> Self {
        Self {
            address: change.address.clone(),
            by_operator: matches!(change.actor, Actor::Operator(_)),
        }
    }
}

/// What came of a run.
pub(super) struct Outcome {
    /// What is so in the end, for comparing.
    pub(super) state: String,
    /// What was wrong, in order.
    pub(super) wrong: Vec<String>,
    /// How many requests the operators made that change something.
    pub(super) writes: usize,
    /// What changed, in order.
    pub(super) changes: Vec<Changed>,
    /// What happened, for people; empty when nobody asked.
    pub(super) timeline: String,
}

impl Scenario {
    /// Runs it so, with `extra` seconds for what goes wrong.
    pub(super) fn run(&self, plan: &Plan, extra: u64) -> Outcome {
        self.start(plan, extra, false)
    }

    /// Runs it so, and tells what happened.
    pub(super) fn tell(&self, plan: &Plan, extra: u64) -> Outcome {
        self.start(plan, extra, true)
    }

    fn start(&self, plan: &Plan, extra: u64, tells: bool) -> Outcome {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime can be built");
        runtime.block_on(self.play(plan, extra, tells))
    }

    async fn play(&self, plan: &Plan, extra: u64, tells: bool) -> Outcome {
        let (shared, mut crashes) = Shared::new(plan.clone());
        let cluster = tokio::spawn(shared.clone().run_cluster());
        let began = Instant::now();
        let mut operators = Operators::start(&shared, plan);
        if !self.tree.is_empty() {
            create_tree(&mut shared.lock(), self.tree);
            shared.ring();
        }
        let mut steps = self.steps.iter();
        let mut next = steps.next();
        let end = began + Duration::from_secs(self.seconds + extra);
        loop {
            let due = next.map_or(end, |(second, _)| began + Duration::from_secs(*second));
            let back = operators.next_start();
            let until = back.map_or(due, |back| back.min(due));
            tokio::select! {
                biased;
                Some(number) = crashes.recv() => operators.crash(number, plan),
                () = tokio::time::sleep_until(until) => {
                    operators.start_due(&shared, plan);
                    if Instant::now() < due {
                        continue;
                    }
                    let Some((_, step)) = next else {
                        break;
                    };
                    make(&shared, step);
                    match step {
                        Step::Crash => operators.crash_all(plan),
                        Step::Restart => operators.restart(&shared, plan).await,
                        _ => {}
                    }
                    next = steps.next();
                }
            }
        }
        cluster.abort();
        let world = shared.lock();
        {
            let seconds = usize::try_from(self.seconds + extra).unwrap_or(usize::MAX);
            self.outcome(&world, seconds, tells)
        }
    }

    fn outcome(&self, world: &World, seconds: usize, tells: bool) -> Outcome {
        let mut wrong: Vec<String> = world
            .monitor
            .violations
            .iter()
            .map(|v| format!("{}: {}", v.predicate, v.what))
            .collect();
        let quiet = SignedDuration::from_secs(i64::try_from(QUIET).unwrap_or(0));
        if let Some(last) = world
            .last_write
            .filter(|last| world.server.now.duration_since(*last) < quiet)
        {
            let ago = world.server.now.duration_since(last).as_secs();
            wrong.push(format!(
                "S11 quiescence: something was written {ago} s before the end"
            ));
        }
        let ends = summary(world);
        if !self.ends.is_empty() && !ends.starts_with(self.ends) {
            wrong.push(format!("L1: it ends as {ends:?}, not as {:?}", self.ends));
        }
        if ends.starts_with("TFF") {
            wrong.extend(not_whole(world));
        }
        wrong.extend(left_over(world));
        let behaviours = &world.cluster.behaviours;
        wrong.extend(wrong_give_ups(&world.server, |who| {
            behaviours.get(who).copied()
        }));
        let operators = if world.plan.two { 2 } else { 1 };
        if world.reads > (READS_PER_SECOND * seconds + READS_AT_ONCE) * operators {
            wrong.push(format!("L1: {} reads in {seconds} s", world.reads));
        }
        if self.ends.is_empty() && ends != "no tree" {
            wrong.push(format!("L3: the tree is still there: {ends}"));
        }
        Outcome {
            state: state(world),
            wrong,
            writes: world.writes,
            changes: world.server.changes.iter().map(Changed::of).collect(),
            timeline: if tells {
                timeline(world)
            } else {
                String::new()
            },
        }
    }
}

fn make(shared: &Shared, step: &Step) {
    {
        let mut world = shared.lock();
        world.note(format!("--- {step:?}"));
        if let Err(nothing) = step.make(&mut world) {
            world.note(format!("    {nothing}"));
        }
    }
    shared.ring_anyway();
    shared.ring();
}

/// The operators that run, and those that will again.
struct Operators {
    running: Vec<Option<Operator>>,
    starts: Vec<Option<Instant>>,
}

impl Operators {
    fn start(shared: &Shared, plan: &Plan) -> Self {
        let count = if plan.two { 2 } else { 1 };
        Self {
            running: (0..count)
                .map(|number| Some(Operator::start(shared, number, plan)))
                .collect(),
            starts: vec![None; count],
        }
    }

    fn crash(&mut self, number: usize, plan: &Plan) {
        if let Some(operator) = self.running.get_mut(number).and_then(Option::take) {
            operator.kill();
            self.starts[number] = Some(Instant::now() + plan.away);
        }
    }

    fn crash_all(&mut self, plan: &Plan) {
        for number in 0..self.running.len() {
            self.crash(number, plan);
        }
    }

    async fn restart(&mut self, shared: &Shared, plan: &Plan) {
        for number in 0..self.running.len() {
            if let Some(operator) = self.running[number].take() {
                operator.stop().await;
                self.running[number] = Some(Operator::start(shared, number, plan));
            }
        }
    }

    fn next_start(&self) -> Option<Instant> {
        self.starts.iter().flatten().min().copied()
    }

    fn start_due(&mut self, shared: &Shared, plan: &Plan) {
        for (number, start) in self.starts.iter_mut().enumerate() {
            if start.is_some_and(|start| start <= Instant::now()) {
                *start = None;
                self.running[number] = Some(Operator::start(shared, number, plan));
            }
        }
    }
}

/// Conditions and reason of the tree.
fn summary(world: &World) -> String {
    let Some((_, tree)) = world.server.all(Kind::Tree).next() else {
        return "no tree".to_owned();
    };
    let ready = condition(tree, "Ready");
    let text = |field: &str| {
        ready
            .map_or("", |ready| ready[field].as_str().unwrap_or(""))
            .to_owned()
    };
    format!("{} {}: {}", letters(tree), text("reason"), text("message"))
}

/// Slots that should be up and are not, judged by the spec and the Pods alone.
fn not_whole(world: &World) -> Vec<String> {
    let mut missing = Vec::new();
    for (_, worker) in world.server.all(Kind::Worker) {
        let tree = tree_of(world, worker);
        let specs =
            tree.and_then(|tree| tree["spec"]["children"].as_array().map(|all| (tree, all)));
        let wanted = specs.is_some_and(|(tree, all)| {
            all.iter()
                .any(|spec| spec["name"] == child_of(worker) && is_enabled(tree, spec))
        });
        let replicas = worker["spec"]["replicas"].as_i64().unwrap_or(1);
        let standing = standing(&world.server, uid_of(worker));
        if !wanted {
            continue;
        }
        if has_fixed_slots(world, worker) {
            let slots = (0..replicas).filter(|slot| standing.get(slot) != Some(&"ready"));
            missing.extend(slots.map(|slot| format!("L1: {}/{slot} is not up", child_of(worker))));
            continue;
        }
        let up = standing.values().filter(|stands| **stands == "ready");
        let up = up.count();
        if usize::try_from(replicas) != Ok(up) || standing.len() != up {
            let child = child_of(worker);
            missing.push(format!(
                "L1: of {replicas} replicas of {child} these stand: {standing:?}"
            ));
        }
    }
    missing
}

/// Whether the spec says which slots a worker has. With `Stable` the highest are dropped; else those that are not alive
/// go first, so that the numbers that are left depend on what happened.
fn has_fixed_slots(world: &World, worker: &Value) -> bool {
    tree_of(world, worker)
        .and_then(|tree| spec_of(tree, child_of(worker)).cloned())
        .is_some_and(|spec| spec["worker"]["identity"] == "Stable")
}

/// Workers whose tree is gone although they name it as their owner.
fn left_over(world: &World) -> Vec<String> {
    let workers = world.server.all(Kind::Worker).map(|(_, worker)| worker);
    workers
        .filter(|worker| !controller_uid(worker).is_empty() && tree_of(world, worker).is_none())
        .map(|worker| format!("L3: Worker {} is left over", worker["metadata"]["name"]))
        .collect()
}

fn tree_of<'a>(world: &'a World, worker: &Value) -> Option<&'a std::sync::Arc<Value>> {
    let mut trees = world.server.all(Kind::Tree).map(|(_, tree)| tree);
    trees.find(|tree| uid_of(tree) == controller_uid(worker))
}

/// What is so in the end, for comparing: nothing in it depends on when something was.
fn state(world: &World) -> String {
    let mut text = String::new();
    for (_, tree) in world.server.all(Kind::Tree) {
        let reason =
            condition(tree, "Ready").map_or("", |ready| ready["reason"].as_str().unwrap_or(""));
        let _ = writeln!(
            text,
            "{} {reason}, generation {}",
            letters(tree),
            tree["status"]["observedGeneration"]
        );
        for record in tree["status"]["supervisors"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let gave_up: Vec<&Value> = record["gaveUp"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|g| &g["child"])
                .collect();
            let operation = &record["operation"]["kind"];
            let _ = writeln!(
                text,
                "  supervisor {}: {operation}, gave up {gave_up:?}",
                record["name"]
            );
        }
    }
    for ((_, _, name), worker) in world.server.all(Kind::Worker) {
        let tree = world
            .server
            .all(Kind::Tree)
            .find(|(_, tree)| uid_of(tree) == controller_uid(worker));
        let enabled = tree.is_some_and(|(_, tree)| {
            let specs = tree["spec"]["children"].as_array();
            specs
                .into_iter()
                .flatten()
                .any(|spec| spec["name"] == child_of(worker) && is_enabled(tree, spec))
        });
        let pods = standing(&world.server, uid_of(worker));
        let spec = &worker["spec"]["replicas"];
        let pods = if has_fixed_slots(world, worker) {
            format!("{pods:?}")
        } else {
            let mut pods: Vec<&str> = pods.into_values().collect();
            pods.sort_unstable();
            format!("{pods:?}")
        };
        let _ = writeln!(
            text,
            "  worker {name}: enabled {enabled}, replicas {spec}, {pods}"
        );
    }
    let ownerless = world
        .server
        .all(Kind::Pod)
        .filter(|(_, pod)| controller_uid(pod).is_empty() || slot_of(pod) < 0)
        .filter(|(_, pod)| !is_deleting(pod))
        .count();
    let _ = writeln!(text, "  strangers: {ownerless}");
    text
}
