//! Situations: everything that is going on in a tree, each with its weight and its reason. Here are those of the tree as a
//! whole.
//!
//! Rule: the weightiest situation speaks for the tree; a person reads one reason, not a list.

mod supervisors;
mod workers;

use super::engine::Engine;
use super::judge::cut;
use super::report::MESSAGE_BYTES;
use super::supervise::SETTLED_SECONDS;
use super::tree::{NodeId, ROOT};
use super::window::{after, seconds_between};
use super::world::Unseen;
use crate::api::conditions::Reason;

pub(super) use workers::is_outdated;

/// How much a situation asks of people, from nothing to a lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    /// Everything is as the spec asks.
    Fine,
    /// Coppice is at work, or waits for something that it expects.
    Working,
    /// A person should look.
    Fault,
    /// Coppice has given up on a part of the tree, or cannot carry out the spec.
    GivenUp,
}

/// One thing that is going on.
#[derive(Clone, Debug)]
pub(super) struct Situation {
    /// How much it asks of people.
    pub weight: Weight,
    /// The reason that the conditions show.
    pub reason: Reason,
    /// What it is, in words.
    pub message: String,
}

impl Engine<'_> {
    pub(super) fn situations(&mut self) -> Vec<Situation> {
        let mut all: Vec<Situation> = self.world.unseen.iter().map(unwatched).collect();
        if self.world.tree.deleting {
            let message = if self.a_claim_would_go {
                "the tree is being deleted; it waits until its claims that are to stay are owned by no Worker any more, which the API server has refused"
            } else {
                "the tree is being deleted; its Pods stop in order"
            };
            all.push(working(Reason::Stopping, message.to_owned()));
            return all;
        }
        if self.tree.suspended {
            return vec![self.suspended()];
        }
        all.extend(self.rollout_situation());
        for id in self.tree.supervisors().collect::<Vec<_>>() {
            if self.is_enabled(id) {
                self.supervisor_situations(id, &mut all);
            }
        }
        for (id, leaf) in self.tree.leaves().collect::<Vec<_>>() {
            if !self.is_enabled(id) {
                if !self.has_stopped(id) {
                    all.push(working(
                        Reason::Stopping,
                        format!("{} is disabled and being stopped", self.name(id)),
                    ));
                }
                continue;
            }
            match self.worker(id) {
                None => self.missing_worker(id, &mut all),
                Some(_) => self.worker_situations(id, leaf, &mut all),
            }
        }
        all.extend(self.removed().filter_map(|(child, worker)| {
            let all_lost = worker.pods.iter().all(|pod| self.is_out_of_reach(pod));
            if all_lost && !worker.pods.is_empty() {
                // Nothing is left to be done about them, and nobody waits for them.
                return None;
            }
            Some(working(
                Reason::Stopping,
                format!("{child} was removed and is being stopped"),
            ))
        }));
        if all.is_empty() {
            all.push(self.fine());
        }
        all
    }

    fn suspended(&self) -> Situation {
        if self.has_stopped(ROOT) && self.removed_have_stopped() {
            return Situation {
                weight: Weight::Fine,
                reason: Reason::Suspended,
                message: "the tree is suspended and stopped; set `suspend: false` to start it"
                    .to_owned(),
            };
        }
        let message = "the tree is suspended; its Pods stop in order".to_owned();
        working(Reason::Stopping, message)
    }

    /// Everything has ended that was to end.
    fn finished(&self) -> Option<Situation> {
        let mut enabled = self
            .tree
            .leaves()
            .filter(|(id, _)| self.is_enabled(*id))
            .peekable();
        let is_over = enabled.peek().is_some() && enabled.all(|(id, _)| self.is_over(id));
        let message = if self.has_finished(ROOT) {
            "the tree has shut itself down, because its significant children have ended"
        } else {
            "all children have ended as their types allow"
        };
        is_over.then(|| Situation {
            weight: Weight::Fine,
            reason: Reason::Finished,
            message: message.to_owned(),
        })
    }

    fn fine(&self) -> Situation {
        if let Some(finished) = self.finished() {
            return finished;
        }
        let workers = self.tree.leaves().count();
        let enabled = self.tree.leaves().filter(|(id, _)| self.is_enabled(*id));
        let (over, running): (Vec<NodeId>, Vec<NodeId>) =
            enabled.map(|(id, _)| id).partition(|id| self.is_over(*id));
        let ended = match over.as_slice() {
            [] => String::new(),
            [only] => format!("; {} has ended", self.name(*only)),
            [first, ..] => format!(
                "; {} and {} more have ended",
                self.name(*first),
                over.len() - 1
            ),
        };
        let (reason, message) = match (workers, running.len()) {
            (0, _) => (Reason::NoChildren, "the tree has no workers".to_owned()),
            (_, 0) => (
                Reason::AllDisabled,
                "every worker is disabled and stopped".to_owned(),
            ),
            (1, 1) => (Reason::AllUp, "its worker is up".to_owned()),
            (_, 1) => (Reason::AllUp, format!("1 worker is up{ended}")),
            (all, n) if all == n => (Reason::AllUp, format!("all {n} workers are up")),
            (_, n) => (Reason::AllUp, format!("{n} workers are up{ended}")),
        };
        Situation {
            weight: Weight::Fine,
            reason,
            message,
        }
    }

    /// A hold is work in progress for half a minute, then a person should look. A name that somebody
    /// else holds will not come free by itself.
    fn held(&mut self, reason: Reason, since: jiff::Timestamp, message: String) -> Situation {
        let patient =
            reason != Reason::NameCollision && seconds_between(since, self.now) < SETTLED_SECONDS;
        if patient {
            self.wake(after(since, SETTLED_SECONDS));
        }
        let weight = if patient {
            Weight::Working
        } else {
            Weight::Fault
        };
        Situation {
            weight,
            reason,
            message,
        }
    }
}

/// What is known stays in force, and a person must know that it may be old.
fn unwatched(unseen: &Unseen) -> Situation {
    let Unseen { kind, message } = unseen;
    Situation {
        weight: Weight::Fault,
        reason: Reason::WatchRefused,
        message: format!(
            "{kind}s may not be watched, so what happens to them is not noticed until that is allowed again: {message}"
        ),
    }
}

fn working(reason: Reason, message: String) -> Situation {
    Situation {
        weight: Weight::Working,
        reason,
        message,
    }
}

fn reason_of(text: &str) -> Reason {
    Reason::ALL
        .into_iter()
        .find(|reason| reason.as_str() == text)
        .unwrap_or(Reason::NotUp)
}

/// The weightiest situation speaks for the tree; among equals the first in the order of reasons.
pub(super) fn main_situation(mut all: Vec<Situation>) -> Situation {
    all.sort_by_key(|s| (std::cmp::Reverse(s.weight), std::cmp::Reverse(s.reason)));
    let more = all
        .iter()
        .filter(|s| s.weight == all[0].weight)
        .count()
        .saturating_sub(1);
    let mut main = all.swap_remove(0);
    if more > 0 {
        main.message = format!(
            "{} (and {more} more)",
            cut(&main.message, MESSAGE_BYTES - 32)
        );
    }
    main
}
