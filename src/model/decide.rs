//! One decision: from what is seen and remembered to the next statuses and writes.
//!
//! Rule: total and pure; the same world at the same time gives the same decision.

use jiff::Timestamp;

use crate::api::labels;

use super::deaths;
use super::decision::{Decision, Write};
use super::engine::Engine;
use super::fit::{fit_tree, fit_worker};
use super::report;
use super::tally;
use super::tree::Tree;
use super::world::World;

/// Decides what to do next.
pub fn decide(world: &World, now: Timestamp) -> Decision {
    if world.tree.deleting
        && world
            .tree
            .finalizers
            .iter()
            .any(|f| f == labels::ORPHAN_FINALIZER)
    {
        // What the garbage collector is still taking away from the tree is not the tree's to stop.
        return unchanged(world);
    }
    match Tree::parse(&world.tree.name, &world.tree.spec) {
        Ok(tree) => supervise(&tree.with_templates(world), world, now),
        // All that it has is taken down like what was removed.
        Err(_) if world.tree.deleting => {
            supervise(&Tree::without_children(&world.tree.spec), world, now)
        }
        Err(error) => Decision {
            tree_status: report::refused(world, &error, now),
            ..unchanged(world)
        },
    }
}

fn supervise(tree: &Tree<'_>, world: &World, now: Timestamp) -> Decision {
    let mut engine = Engine::new(tree, world, now);
    if engine.note_news_of_workers() {
        // What is seen of the tree is older than what is seen below it: an operation that its Workers go through is not
        // in it. The write is refused then, and the tree is read again.
        engine.wake_at = Some(now);
        return engine.into_decision(Vec::new());
    }
    if engine.note_moves() {
        // What happens from now on is judged at the new place.
        engine.wait_for_first_turns();
        engine.wake_at = Some(now);
        return engine.into_decision(Vec::new());
    }
    engine.follow_updates_in_place();
    let is_retried = engine.note_revision();
    if is_retried {
        engine.wait_for_first_turns();
    }
    if is_retried || engine.give_turns() {
        // What is made next is made from the templates that are asked for, and were given.
        engine.wake_at = Some(now);
        return engine.into_decision(Vec::new());
    }
    engine.forget();
    engine.suspend();
    engine.begin();
    engine.restart_asked_supervisors();
    engine.sync_workers();
    engine.end_waits();
    engine.keep_recovered();
    engine.judge_deaths();
    engine.note_refusals();
    engine.finish_exits();
    engine.stop_workers();
    engine.note_slots();
    engine.finish_starts();
    engine.update_workers();
    let writes = if engine.judge_rollout() {
        // What is done next is done by where the tree is to go now.
        engine.wake_at = Some(now);
        Vec::new()
    } else {
        engine.prove_revision();
        engine.plan()
    };
    engine.report();
    engine.into_decision(writes)
}

impl Engine<'_> {
    fn judge_deaths(&mut self) {
        let (mut all, mut wakes) = (Vec::new(), Vec::new());
        for (id, replicas) in &self.replicas {
            let found = deaths::collect(
                self.tree,
                *id,
                replicas,
                &mut self.memory,
                self.world,
                self.now,
            );
            all.extend(found.deaths);
            wakes.extend(found.wake);
            let unsettled = found.unsettled.into_iter();
            self.unsettled.extend(unsettled.map(|slot| (*id, slot)));
        }
        for time in wakes {
            self.wake(time);
        }
        self.judge(all);
    }

    fn into_decision(self, writes: Vec<Write>) -> Decision {
        let spends = self.memory.tree_intent || !self.memory.worker_intents.is_empty();
        let writes_first = !spends && !self.memory.worker_news.is_empty();
        let mut tree_status = self.memory.tree.clone();
        if tree_status != self.world.tree.status {
            tree_status.judged_deaths = self.memory.open_judgements(self.world);
        }
        let mut of_workers = self.memory.of_workers(&tree_status);
        if let Some(of_workers) = &mut of_workers {
            fit_tree(&mut of_workers.tree_status);
        }
        fit_tree(&mut tree_status);
        let is_intent = self.memory.tree_intent;
        let rollouts =
            is_intent.then(|| tally::news(&self.world.tree.status, &tree_status, self.now));
        let mut worker_statuses = self.memory.workers;
        worker_statuses.retain(|child, _| self.world.workers.contains_key(child));
        worker_statuses.values_mut().for_each(fit_worker);
        Decision {
            tree_status,
            worker_statuses,
            tree_intent: self.memory.tree_intent,
            worker_intents: self
                .memory
                .worker_intents
                .into_iter()
                .chain(self.memory.worker_news)
                .filter(|child| self.world.workers.contains_key(child))
                .collect(),
            writes_first,
            writes,
            notices: self.notices,
            of_workers,
            judged: self.judged,
            give_ups: self.give_ups,
            rollouts: rollouts.unwrap_or_default(),
            wake_at: self.wake_at,
        }
    }
}

/// Nothing to do.
fn unchanged(world: &World) -> Decision {
    Decision {
        tree_status: world.tree.status.clone(),
        worker_statuses: world
            .workers
            .iter()
            .map(|(child, worker)| (child.clone(), worker.status.as_ref().clone()))
            .collect(),
        tree_intent: false,
        worker_intents: std::collections::BTreeSet::new(),
        writes_first: false,
        writes: Vec::new(),
        notices: Vec::new(),
        of_workers: None,
        judged: Vec::new(),
        give_ups: 0,
        rollouts: Vec::new(),
        wake_at: None,
    }
}
