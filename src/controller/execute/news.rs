//! What people are told of a decision, and when: once what it tells is stored somewhere.
//!
//! Rule: news are told once. What became of a write without an answer is found out first; what was not stored is decided
//! again, and told then.

use std::collections::BTreeMap;

use super::super::context::Context;
use super::super::observe::Observation;
use super::{Execution, diff};
use crate::api::v1alpha1::{SupervisionTreeStatus, WorkerStatus};
use crate::model::decision::{Decision, Judged, Notice};
use crate::model::fault::Verdict;
use crate::model::tally::RolloutNews;
use crate::model::world::{TreeView, Untold, World};

/// What became of a status that was to be stored, when it is not known to be as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is stored.
    Stored,
    /// There was no clear answer.
    Unclear,
}

/// What became of statuses: of the tree's, and by child of its Workers'.
pub(super) type Outcomes = BTreeMap<Option<String>, Outcome>;

/// What people are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct News {
    notices: Vec<Notice>,
    judged: Vec<Judged>,
    give_ups: u32,
    rollouts: Vec<RolloutNews>,
}

/// What waits until it is known whether a status is stored.
#[derive(Clone, Debug)]
pub(in crate::controller) struct Unanswered {
    status: Sent,
    /// The version that it was sent against.
    version: String,
    /// What is told when it is.
    news: News,
    /// What the tree is told then.
    untold: Untold,
}

impl Unanswered {
    /// The child whose Worker's status it is; `None` for the tree's.
    pub(in crate::controller) fn child(&self) -> Option<&str> {
        match &self.status {
            Sent::Tree(_) => None,
            Sent::Worker(child, _) => Some(child),
        }
    }

    pub(in crate::controller) fn says_the_same(&self, other: &Self) -> bool {
        self.status == other.status
    }

    /// Whether it may be stored yet: a request may be under way for longer than anybody waits for its answer.
    fn may_come(&self, observation: &Observation) -> bool {
        let known = match self.child() {
            None => Some(&observation.tree_version),
            Some(child) => observation.worker_versions.get(child),
        };
        known == Some(&self.version)
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Sent {
    Tree(Box<SupervisionTreeStatus>),
    Worker(String, Box<WorkerStatus>),
}

impl Sent {
    fn is_stored(&self, world: &World) -> bool {
        match self {
            Self::Tree(sent) => diff::between(&world.tree.status, sent.as_ref()).is_none(),
            Self::Worker(child, sent) => {
                let worker = world.workers.get(child);
                worker.is_some_and(|worker| {
                    diff::between(worker.status.as_ref(), sent.as_ref()).is_none()
                })
            }
        }
    }
}

impl News {
    /// All news of a decision.
    fn of(decision: &Decision) -> Self {
        Self {
            notices: decision.notices.clone(),
            judged: decision.judged.clone(),
            give_ups: decision.give_ups,
            rollouts: decision.rollouts.clone(),
        }
    }

    /// Those about that child.
    fn about(decision: &Decision, child: &str) -> Self {
        let mut news = Self::of(decision);
        news.notices.retain(|notice| notice.child == child);
        news.judged.retain(|judged| judged.child == child);
        news.give_ups = 0;
        news.rollouts.clear();
        news
    }

    /// Those about none of these children.
    fn but(decision: &Decision, is_excluded: impl Fn(&str) -> bool) -> Self {
        let mut news = Self::of(decision);
        news.notices.retain(|notice| !is_excluded(&notice.child));
        news.judged.retain(|judged| !is_excluded(&judged.child));
        news
    }

    /// Counts and announces them.
    fn tell(self, context: &Context, tree: &TreeView) {
        for notice in self.notices {
            context.notices.publish(tree, notice);
        }
        let metrics = &context.metrics.supervision;
        for judged in self.judged {
            metrics.fault(judged.class.as_str(), judged.verdict.as_str());
            if judged.verdict == Verdict::Unknown {
                metrics.unidentified();
            }
            if let Some(charged) = judged.charged {
                metrics.restart(charged);
            }
        }
        for _ in 0..self.give_ups {
            metrics.gave_up();
        }
        for rollout in self.rollouts {
            match rollout {
                RolloutNews::Started => context.metrics.rollouts.started(),
                RolloutNews::Ended(outcome, took) => {
                    context.metrics.rollouts.ended(outcome.as_str(), took);
                }
            }
        }
    }
}

/// Tells what waited for this observation, which shows what became of the writes. What the tree could not be told is news
/// for the decision on this world too.
pub(in crate::controller) fn settle(context: &Context, observation: &mut Observation) {
    let memories = &context.memories;
    let tree = observation.key.clone();
    for waiting in memories.take_unanswered(&tree) {
        let world = &mut observation.world;
        if waiting.status.is_stored(world) {
            waiting.news.tell(context, &world.tree);
            memories.left_untold(&tree, waiting.untold);
            world.untold = memories.untold(&tree);
        } else if waiting.may_come(observation) {
            memories.await_answer(&tree, waiting);
        }
    }
}

impl Execution<'_> {
    /// Counts and announces all that was decided.
    pub(super) fn tell(&self, decision: &Decision) {
        News::of(decision).tell(self.context, &self.observation.world.tree);
    }

    /// Not all that was decided is stored: tells what is, and keeps what may be. What the tree remembers no later decision
    /// would tell, nor what only a Worker remembers once that is stored.
    pub(super) fn tell_what_is_stored(&self, decision: &Decision, tree_first: bool) {
        let outcomes = self.outcomes().clone();
        let of_workers = decision.of_workers.as_ref();
        let in_worker = |child: &str| {
            !tree_first
                || of_workers.is_some_and(|of_workers| of_workers.restarts.contains_key(child))
        };
        if tree_first {
            let status = of_workers.map_or(&decision.tree_status, |of| &of.tree_status);
            let one = Unanswered {
                status: Sent::Tree(Box::new(status.clone())),
                version: self.observation.tree_version.clone(),
                news: News::but(decision, in_worker),
                untold: Untold::default(),
            };
            self.tell_or_keep(outcomes.get(&None).copied(), one);
        }
        let is_stored = |child: &str| {
            let outcome = outcomes.get(&Some(child.to_owned()));
            in_worker(child) && outcome == Some(&Outcome::Stored)
        };
        for (child, status) in &decision.worker_statuses {
            if !in_worker(child) {
                continue;
            }
            let version = self.observation.worker_versions.get(child);
            let one = Unanswered {
                status: Sent::Worker(child.clone(), Box::new(status.clone())),
                version: version.cloned().unwrap_or_default(),
                news: News::about(decision, child),
                untold: self.untold(decision, |one| one == child || is_stored(one)),
            };
            self.tell_or_keep(outcomes.get(&Some(child.clone())).copied(), one);
        }
    }

    fn tell_or_keep(&self, outcome: Option<Outcome>, one: Unanswered) {
        let (memories, tree) = (&self.context.memories, &self.observation.key);
        match outcome {
            _ if one.news == News::default() => {}
            Some(Outcome::Stored) => {
                one.news.tell(self.context, &self.observation.world.tree);
                memories.left_untold(tree, one.untold);
            }
            Some(Outcome::Unclear) => memories.await_answer(tree, one),
            None => {}
        }
    }

    /// All is stored but what is news for the tree: people are told now, and the tree later.
    pub(super) fn tell_all_but_the_tree(&self, decision: &Decision) {
        self.tell(decision);
        let stored = self.outcomes().clone();
        let is_stored = |child: &str| stored.contains_key(&Some(child.to_owned()));
        let untold = self.untold(decision, is_stored);
        let (memories, tree) = (&self.context.memories, &self.observation.key);
        memories.left_untold(tree, untold);
    }

    /// What the tree does not show yet of those children.
    fn untold(&self, decision: &Decision, is_of: impl Fn(&str) -> bool) -> Untold {
        let known = &self.observation.world.tree.status.recent_faults;
        let oldest_first = decision.tree_status.recent_faults.iter().rev();
        let news = oldest_first.filter(|fault| is_of(&fault.child) && !known.contains(fault));
        let restarts = decision.of_workers.as_ref().map_or(0, |of_workers| {
            let theirs = of_workers.restarts.iter().filter(|(child, _)| is_of(child));
            of_workers.tree_status.restarts + theirs.map(|(_, count)| count).sum::<i64>()
        });
        Untold {
            faults: news.cloned().collect(),
            restarts,
        }
    }
}
