//! One run: a scenario, a plan of what goes wrong, and what came of it.
//!
//! Rule: one thread, virtual time, and no choice that is not in the plan, so that a run can be had again.

use std::time::Duration;

use jiff::SignedDuration;
use tokio::time::Instant;

use super::claims::wrong_claims;
use super::ends::{cost, half_done, left_over, not_whole, state, summary, unprotected};
use super::history::timeline;
use super::operator::Operator;
use super::plan::Plan;
use super::predicates::wrong_give_ups;
use super::revisions::{BACK, wrong_revisions};
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
        if ends.starts_with("TFF") || ends.starts_with(BACK) {
            wrong.extend(not_whole(world));
            wrong.extend(unprotected(world));
            wrong.extend(half_done(world));
            wrong.extend(wrong_revisions(world));
        }
        wrong.extend(left_over(world));
        wrong.extend(wrong_claims(world, ends.starts_with("TFF")));
        let cost = cost(world);
        if !self.cost.is_empty() && cost != self.cost {
            wrong.push(format!(
                "S4 cost: it has cost {cost:?}, not {:?}",
                self.cost
            ));
        }
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
