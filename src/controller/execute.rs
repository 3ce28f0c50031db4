//! The only writer: stores what was decided, then does it.
//!
//! Rule: intent before effect. Statuses that record an intent are stored, against the versions that the
//! decision rests on, before anything else is touched; the first failure ends the rest. Only what spends nothing comes
//! first, where the operator was elected.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::stream::{self, StreamExt};
use tokio::time::Instant;

use super::context::Context;
use super::error::Error;
use super::kinds::{Kind, Trees, Workers};
use super::memory::{Behind, Written};
use super::observe::{Observation, read_all, reread, unexplained};
use crate::api::labels;
use crate::model::decision::{Decision, Write};
use crate::model::world::World;
use crate::runtime::leader::Term;

mod batch;
mod diff;
mod grant;
mod malformed;
mod news;
mod requests;

pub(super) use malformed::report_malformed;
pub(super) use news::{Unanswered, settle};

use news::{Outcome, Outcomes};
use requests::{StatusWrite, patch_status};

/// The generation that the API server gives to a new object.
const FIRST_GENERATION: i64 = 1;
/// How many independent requests of one tree may be under way at once.
const PARALLEL: usize = 32;

/// What became of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Executed {
    /// There was nothing to write.
    Nothing,
    /// Something was written, or is left to be: look again at once.
    Wrote,
    /// What may have been written without our knowing it was read: decide again.
    Reread,
    /// Nothing but a report is left, and it is too early for it.
    ReportDue(Instant),
    /// The decision rested on something that is no longer so: look again after what changed was read.
    Stale,
}

/// What became of one request. Of several requests the last of these words counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Effect {
    /// It is so now.
    Done,
    /// The API server refused it for good; the next decision will know.
    Refused,
    /// Something that goes by itself is in the way.
    Waits,
    /// It was left for the next look, which comes soon.
    Left,
    /// What it assumed is no longer so.
    Stale,
}

/// What became of writes that come before the intents.
enum Early {
    /// They are left for their turn.
    Left,
    /// They were made, with that result.
    Done(Result<Effect, Error>),
    /// The decision ends here.
    Over(Executed),
}

/// A decision while it is carried out.
struct Execution<'a> {
    context: &'a Context,
    observation: &'a Observation,
    /// The version of the tree after our own last write to it.
    tree_version: String,
    /// What became of the statuses that were to be stored.
    outcomes: Mutex<Outcomes>,
    /// When the decision was about to be carried out.
    begun: Instant,
    deadline: Instant,
}

/// Stores the intents of a decision, tells people, makes its writes, and reports. Begins no write after
/// the deadline.
pub(super) async fn execute(
    context: &Context,
    observation: &Observation,
    decision: Decision,
    deadline: Instant,
) -> Result<Executed, Error> {
    let tree_version = observation.tree_version.clone();
    let mut execution = Execution {
        context,
        observation,
        tree_version,
        outcomes: Mutex::default(),
        begun: Instant::now(),
        deadline,
    };
    execution.run(decision).await
}

impl Execution<'_> {
    /// The term that the decision was made in; no write is begun in another one.
    fn term(&self) -> Term {
        self.observation.term
    }

    async fn run(&mut self, decision: Decision) -> Result<Executed, Error> {
        // What a refusal led to is remembered nowhere else, so it is stored as an intent is.
        let urgent = !self.observation.world.refusals.is_empty();
        let early = match self.perform_early(&decision, urgent).await? {
            Early::Left => None,
            Early::Done(effect) => Some(effect),
            Early::Over(executed) => return Ok(executed),
        };
        // To see what has changed takes its time where there are many replicas, so nothing waits for it that need not.
        let (intents, mut reports) = self.split(&decision, urgent);
        let is_idle = intents.is_empty() && reports.is_empty() && decision.writes.is_empty();
        if !is_idle && early.is_none() {
            match self.is_behind().await {
                Ok(false) => {}
                Ok(true) => return Ok(Executed::Reread),
                Err(error) => {
                    // What may not be read cannot be acted on, but people must be told why nothing happens.
                    if error.is_forbidden() {
                        self.report(reports).await?;
                    }
                    return Err(error);
                }
            }
        }
        let stored = intents.len();
        match self.store(intents).await {
            Ok(Effect::Done) => {}
            unfinished => {
                self.tell_what_is_stored(&decision, urgent || decision.tree_intent);
                return unfinished.map(|_| Executed::Stale);
            }
        }
        let is_news = self.is_news(&decision);
        let is_of_tree = reports.first().is_some_and(|first| first.child.is_none());
        if stored > 0 && is_of_tree && (is_news || self.next_report().is_ok()) {
            let carried = self.store_news(reports.remove(0)).await;
            if !matches!(carried, Ok(Effect::Done)) {
                self.tell_all_but_the_tree(&decision);
                return carried.map(|_| Executed::Stale);
            }
            if !is_news {
                self.has_reported();
            }
        }
        if stored > 0 {
            tracing::info!(statuses = stored, "stored what was decided");
        }
        self.context
            .memories
            .dealt_with(&self.observation.key, self.observation.world.refusals.len());
        self.tell(&decision);
        let finished = decision.writes.contains(&Write::RemoveFinalizer);
        let result = match early {
            Some(result) => result,
            None => self.perform(&decision.writes).await,
        };
        match &result {
            Ok(Effect::Stale) => return Ok(Executed::Stale),
            Ok(_) if !decision.writes.is_empty() => return Ok(Executed::Wrote),
            Err(error) if is_silent(error) => return result.map(|_| Executed::Wrote),
            Ok(_) | Err(_) => {}
        }
        let reported = if finished {
            Executed::Nothing
        } else {
            self.report(reports).await?
        };
        result?;
        Ok(if stored > 0 {
            Executed::Wrote
        } else {
            reported
        })
    }

    /// Makes the writes of a decision that spends nothing, unless somebody may act beside us who has made them already.
    async fn perform_early(&mut self, decision: &Decision, urgent: bool) -> Result<Early, Error> {
        if !decision.writes_first || urgent || !self.term().is_elected() {
            return Ok(Early::Left);
        }
        match self.is_behind().await {
            Ok(false) => {}
            Ok(true) => return Ok(Early::Over(Executed::Reread)),
            // Whoever reads again to store something says what is wrong.
            Err(_) => return Ok(Early::Left),
        }
        match self.perform(&decision.writes).await {
            Ok(Effect::Stale) => Ok(Early::Over(Executed::Stale)),
            Err(error) if is_silent(&error) => Err(error),
            result => Ok(Early::Done(result)),
        }
    }

    /// Whether the decision may rest on something older than the last write; then all has been read by now.
    async fn is_behind(&self) -> Result<bool, Error> {
        let (memories, tree) = (&self.context.memories, &self.observation.key);
        let missing = unexplained(self.context, self.observation);
        let is_missing = (!missing.is_empty()).then_some(Behind::Missing);
        let Some(behind) = memories.behind(tree).or(is_missing) else {
            return Ok(false);
        };
        if behind == Behind::Takeover && self.is_untouched() {
            return Ok(false);
        }
        read_all(self.context, tree, behind).await?;
        memories.was_read(tree, self.term());
        // What exists by now but belongs to none of the Workers was taken from them: it is as good as gone.
        let views = self.context.views.lock();
        let workers = &self.observation.world.workers;
        let is_ours = |uid: &str| {
            let owner = views.pods.by_uid(uid).map(|pod| pod.view.owner_uid.clone());
            owner.is_some_and(|owner| workers.values().any(|worker| worker.uid == owner))
        };
        let absent = missing.into_iter().filter(|uid| !is_ours(uid));
        memories.are_absent(tree, absent);
        Ok(true)
    }

    /// Whether no operator has written to the tree, as far as was seen. Nothing exists below such a tree, and every first
    /// write to it is one to the tree itself against the version that was seen. When that is granted, nobody else has
    /// written before.
    fn is_untouched(&self) -> bool {
        let World { tree, workers, .. } = &self.observation.world;
        let is_held = tree.finalizers.iter().any(|name| name == labels::FINALIZER);
        !is_held && workers.is_empty() && tree.status.observed_generation < FIRST_GENERATION
    }

    /// Our own write has made this version of the tree.
    fn follow(&mut self, version: String) {
        self.tree_version = version;
        if self.is_untouched() {
            let memories = &self.context.memories;
            memories.was_read(&self.observation.key, self.term());
        }
    }

    /// The statuses that must be stored first, the tree's before its Workers', and those that can wait.
    fn split(&self, decision: &Decision, urgent: bool) -> (Vec<StatusWrite>, Vec<StatusWrite>) {
        let world = &self.observation.world;
        let mut intents = Vec::new();
        let mut reports = Vec::new();
        let of_tree = |patch| StatusWrite {
            child: None,
            name: world.tree.name.clone(),
            patch,
        };
        let (before, after) = (&world.tree.status, &decision.tree_status);
        let first = decision.of_workers.as_ref().map(|of| &of.tree_status);
        if urgent || decision.tree_intent {
            // What only a Worker remembers must not be counted before it does.
            let first = first.unwrap_or(after);
            intents.extend(diff::between(before, first).map(of_tree));
            reports.extend(diff::between(first, after).map(of_tree));
        } else {
            reports.extend(diff::between(before, after).map(of_tree));
        }
        for (child, status) in &decision.worker_statuses {
            let Some(worker) = world.workers.get(child) else {
                continue;
            };
            if let Some(patch) = diff::between(worker.status.as_ref(), status) {
                let write = StatusWrite {
                    child: Some(child.clone()),
                    name: worker.name.clone(),
                    patch,
                };
                let first = urgent || decision.worker_intents.contains(child);
                if first { &mut intents } else { &mut reports }.push(write);
            }
        }
        (intents, reports)
    }

    /// Whether the tree is to tell a fault that only a Worker remembers, so that no later decision would know of it. Anything
    /// else is reported in its time, but does not wait until nothing is left to write: that may take as long as a rollout does.
    fn is_news(&self, decision: &Decision) -> bool {
        let known = &self.observation.world.tree.status.recent_faults;
        decision.of_workers.is_some() || decision.tree_status.recent_faults != *known
    }

    /// Whether what only reports may be stored now; else when.
    fn next_report(&self) -> Result<(), Instant> {
        let (memories, tree) = (&self.context.memories, &self.observation.key);
        memories.may_report(tree, Instant::now())
    }

    fn has_reported(&self) {
        let (memories, tree) = (&self.context.memories, &self.observation.key);
        memories.reported(tree, Instant::now());
    }

    async fn store(&mut self, mut statuses: Vec<StatusWrite>) -> Result<Effect, Error> {
        let of_workers = statuses.split_off(usize::from(
            statuses.first().is_some_and(|s| s.child.is_none()),
        ));
        for status in statuses {
            if self.store_tree(status).await? != Effect::Done {
                return Ok(Effect::Stale);
            }
        }
        let this = &*self;
        let mut stored = stream::iter(of_workers)
            .map(|status| this.store_worker(status))
            .buffer_unordered(PARALLEL);
        let mut effect = Ok(Effect::Done);
        while let Some(result) = stored.next().await {
            // Whatever one of them says, the others are waited for: they are under way.
            effect = effect.and_then(|effect| Ok(effect.max(result?)));
        }
        effect
    }

    async fn store_tree(&mut self, status: StatusWrite) -> Result<Effect, Error> {
        let tree = &self.observation.key;
        let stored = patch_status::<Trees>(
            self.context,
            self.term(),
            tree,
            Written::Tree,
            &status,
            &self.tree_version,
        )
        .await;
        self.note(None, &stored);
        match stored? {
            Some(version) => {
                self.follow(version);
                self.context.memories.told(tree);
                Ok(Effect::Done)
            }
            None => Ok(Effect::Stale),
        }
    }

    /// Stores what is news for the tree. When somebody has edited the tree meanwhile, but not its status, the news is
    /// as true as before.
    async fn store_news(&mut self, status: StatusWrite) -> Result<Effect, Error> {
        let again = status.clone();
        if self.store_tree(status).await? == Effect::Done {
            return Ok(Effect::Done);
        }
        let tree = &self.observation.key;
        let Some(found) = reread::<Trees>(self.context, &tree.namespace, &tree.name).await? else {
            return Ok(Effect::Stale);
        };
        let known = &self.observation.world.tree;
        let item = Trees::read(found);
        let same = item.uid == known.uid && item.view.is_ok_and(|tree| tree.status == known.status);
        if !same {
            return Ok(Effect::Stale);
        }
        self.tree_version = item.resource_version;
        self.store_tree(again).await
    }

    async fn store_worker(&self, status: StatusWrite) -> Result<Effect, Error> {
        let versions: &BTreeMap<String, String> = &self.observation.worker_versions;
        let version = status
            .child
            .as_ref()
            .and_then(|child| versions.get(child))
            .map_or("", String::as_str);
        let tree = &self.observation.key;
        let (context, term) = (self.context, self.term());
        let stored =
            patch_status::<Workers>(context, term, tree, Written::Worker, &status, version).await;
        self.note(status.child, &stored);
        Ok(match stored? {
            Some(_) => Effect::Done,
            None => Effect::Stale,
        })
    }

    /// Notes what became of a status: of that child's Worker, or of the tree.
    fn note(&self, child: Option<String>, answer: &Result<Option<String>, Error>) {
        let outcome = match answer {
            Ok(Some(_)) => {
                let (memories, tree) = (&self.context.memories, &self.observation.key);
                memories.answered(tree, child.as_deref());
                Outcome::Stored
            }
            Err(error) if error.is_unclear() => Outcome::Unclear,
            Ok(None) | Err(_) => return,
        };
        self.outcomes().insert(child, outcome);
    }

    fn outcomes(&self) -> MutexGuard<'_, Outcomes> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what only reports, at most once a second.
    async fn report(&mut self, reports: Vec<StatusWrite>) -> Result<Executed, Error> {
        if reports.is_empty() {
            return Ok(Executed::Nothing);
        }
        if let Err(due) = self.next_report() {
            return Ok(Executed::ReportDue(due));
        }
        self.has_reported();
        let count = reports.len();
        let effect = self.store(reports).await?;
        tracing::debug!(statuses = count, "reported");
        Ok(if effect == Effect::Done {
            Executed::Wrote
        } else {
            Executed::Stale
        })
    }
}

/// Whether somebody does not answer, or asks to be left alone: then nothing more is sent.
fn is_silent(error: &Error) -> bool {
    error.status().is_none() || error.retry_after().is_some()
}

#[cfg(test)]
mod tests;
