//! Rollouts as they are counted: what a decision makes of one, and how those of all trees stand.
//!
//! Rule: statuses say it all, so that whoever counts has nothing to remember, and what is stored once is counted once.

use jiff::Timestamp;

use super::window::seconds_between;
use super::world::TreeView;
use crate::api::v1alpha1::{RevisionMark, SupervisionTreeStatus};

/// How a rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutOutcome {
    /// Its revision was proved good.
    Proved,
    /// It failed, and the tree is taken back.
    RolledBack,
    /// It failed, and stays where it is.
    Failed,
    /// It was neither, when a newer revision or a suspension of the tree put an end to it.
    Superseded,
}

impl RolloutOutcome {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Proved,
        Self::RolledBack,
        Self::Failed,
        Self::Superseded,
    ];

    /// In one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Proved => "proved",
            Self::RolledBack => "rolled_back",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
        }
    }
}

/// What became of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutNews {
    /// It has begun.
    Started,
    /// It has ended; of one that was proved, after how many seconds all its replicas were updated and available.
    Ended(RolloutOutcome, Option<i64>),
}

/// What is news about rollouts when a tree's status changes.
pub(super) fn news(
    before: &SupervisionTreeStatus,
    after: &SupervisionTreeStatus,
    now: Timestamp,
) -> Vec<RolloutNews> {
    use RolloutOutcome::{Failed, Proved, RolledBack, Superseded};
    let was = before.rollout.as_ref();
    let is = after.rollout.as_ref();
    let is_same = was
        .zip(is)
        .is_some_and(|(was, is)| was.to == is.to && was.since_time == is.since_time);
    let mut news = Vec::new();
    if let Some(was) = was.filter(|was| !is_same && was.failed.is_none()) {
        let mut marks = after.revisions.iter();
        let mark = marks.find(|one| one.number == was.to).map(|one| one.mark);
        let (outcome, took) = match mark {
            Some(RevisionMark::Good) => {
                let updated = was.updated_time.as_ref().map_or(now, |time| time.0);
                (Proved, Some(seconds_between(was.since_time.0, updated)))
            }
            Some(RevisionMark::Bad) => (RolledBack, None),
            _ => (Superseded, None),
        };
        news.push(RolloutNews::Ended(outcome, took));
    }
    if is.is_some() && !is_same {
        news.push(RolloutNews::Started);
    }
    let had_failed = is_same && was.is_some_and(|was| was.failed.is_some());
    if is.is_some_and(|is| is.failed.is_some()) && !had_failed {
        news.push(RolloutNews::Ended(Failed, None));
    }
    news
}

/// How a rollout stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutState {
    /// It is under way.
    Updating,
    /// It waits for a person or for the end of a pause.
    Paused,
    /// All its replicas are updated and available, and its revision is not proved yet.
    Proving,
    /// It has failed, and stays where it is.
    Failed,
    /// It has failed, and the tree is, or goes, back on the last good revision.
    RolledBack,
}

impl RolloutState {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Updating,
        Self::Paused,
        Self::Proving,
        Self::Failed,
        Self::RolledBack,
    ];

    /// In one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Updating => "updating",
            Self::Paused => "paused",
            Self::Proving => "proving",
            Self::Failed => "failed",
            Self::RolledBack => "rolled_back",
        }
    }

    /// That of a tree; `None` when the tree is on a revision that was proved, or on its first one.
    fn of(tree: &TreeView) -> Option<Self> {
        let Some(rollout) = &tree.status.rollout else {
            let wanted = tree.status.revisions.last();
            let is_bad = wanted.is_some_and(|wanted| wanted.mark == RevisionMark::Bad);
            return is_bad.then_some(Self::RolledBack);
        };
        let is_at_pause = rollout.step.as_ref().is_some_and(|step| step.paused);
        Some(if rollout.failed.is_some() {
            Self::Failed
        } else if tree.spec.rollout.paused || is_at_pause {
            Self::Paused
        } else if rollout.updated_time.is_some() {
            Self::Proving
        } else {
            Self::Updating
        })
    }
}

/// How the rollouts of some trees stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// How many trees are in each state, in the order of [`RolloutState::ALL`].
    pub trees: [u32; RolloutState::ALL.len()],
    /// When the oldest one began that is under way.
    pub oldest: Option<Timestamp>,
}

impl Standing {
    /// Looks at trees.
    pub fn of<'a>(trees: impl IntoIterator<Item = &'a TreeView>) -> Self {
        let mut standing = Self::default();
        for tree in trees {
            let Some(state) = RolloutState::of(tree) else {
                continue;
            };
            standing.trees[state as usize] += 1;
            if let Some(rollout) = tree
                .status
                .rollout
                .as_ref()
                .filter(|_| state == RolloutState::Updating)
            {
                let began = rollout.since_time.0;
                standing.oldest = standing.oldest.into_iter().chain([began]).min();
            }
        }
        standing
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::RolloutNews::{Ended, Started};
    use super::RolloutOutcome::{Failed, Proved, RolledBack, Superseded};
    use super::*;
    use crate::api::v1alpha1::RolloutFailurePolicy;
    use crate::model::lab::{Behaviour, Lab};

    /// Two workers with a revision that was proved; of the first one nothing is counted.
    fn lab() -> Lab {
        let worker = |name: &str| {
            format!(
                "- {{name: {name}, worker: {{template: {{spec: {{containers: [{{name: app, image: one}}]}}}}}}}}\n"
            )
        };
        let mut lab = Lab::new(&format!("children:\n{}{}", worker("db"), worker("web")));
        lab.run(100);
        assert_eq!((&lab.rollouts[..], state(&lab)), (&[][..], None));
        lab
    }

    fn state(lab: &Lab) -> Option<RolloutState> {
        RolloutState::of(&lab.world.tree)
    }

    #[test]
    fn a_rollout_is_counted_when_it_begins_and_when_it_is_proved() {
        let mut lab = lab();
        lab.edit_template("web", "two");
        lab.run(1);
        assert_eq!(
            (&lab.rollouts[..], state(&lab)),
            (&[Started][..], Some(RolloutState::Updating))
        );
        let began = lab.world.tree.status.rollout.as_ref().unwrap().since_time.0;
        let standing = Standing::of([&*lab.world.tree, &*lab.world.tree]);
        assert_eq!(
            standing,
            Standing {
                trees: [2, 0, 0, 0, 0],
                oldest: Some(began)
            }
        );
        lab.run(30);
        assert_eq!(state(&lab), Some(RolloutState::Proving));
        assert_eq!(Standing::of([&*lab.world.tree]).oldest, None);
        lab.run(100);
        let [Started, Ended(Proved, Some(took))] = lab.rollouts[..] else {
            panic!("{:?}", lab.rollouts);
        };
        assert!(
            (1..30).contains(&took),
            "the probation is not part of it: {took}"
        );
        assert_eq!(state(&lab), None);
    }

    #[test]
    fn one_that_fails_is_taken_back_or_stays_and_is_tried_again() {
        let mut lab = lab();
        lab.behave("web@two", Behaviour::NoImage);
        lab.edit_template("web", "two");
        lab.run(100);
        assert_eq!(lab.rollouts, [Started, Ended(RolledBack, None)]);
        assert_eq!(state(&lab), Some(RolloutState::RolledBack));

        lab.rollouts.clear();
        lab.edit(|spec| spec.rollout.on_failure = RolloutFailurePolicy::Pause);
        lab.behave("web@three", Behaviour::NoImage);
        lab.edit_template("web", "three");
        lab.run(100);
        assert_eq!(lab.rollouts, [Started, Ended(Failed, None)]);
        assert_eq!(state(&lab), Some(RolloutState::Failed));

        lab.rollouts.clear();
        lab.behave("web@three", Behaviour::Healthy);
        let retry = Some(Time(lab.now));
        lab.edit(|spec| spec.rollout.retry_at = retry);
        lab.run(200);
        assert!(
            matches!(lab.rollouts[..], [Started, Ended(Proved, Some(_))]),
            "{:?}",
            lab.rollouts
        );
    }

    #[test]
    fn one_that_a_newer_revision_or_a_suspension_ends_is_neither() {
        let mut lab = lab();
        lab.edit_template("web", "two");
        lab.run(1);
        lab.edit_template("web", "three");
        lab.run(1);
        assert_eq!(lab.rollouts, [Started, Ended(Superseded, None), Started]);
        lab.edit(|spec| spec.rollout.paused = true);
        assert_eq!(state(&lab), Some(RolloutState::Paused));
        lab.edit(|spec| spec.suspend = true);
        lab.run(10);
        assert_eq!(lab.rollouts[3..], [Ended(Superseded, None)]);
        assert_eq!(state(&lab), None);
    }

    /// Whatever is not stored when the operator crashes is decided, and counted, by the next one.
    #[test]
    fn no_crash_counts_anything_twice() {
        for writes in 0..40 {
            let mut lab = lab();
            lab.edit_template("web", "two");
            lab.crash_in = Some(writes);
            lab.run(200);
            let started = lab.rollouts.iter().filter(|news| **news == Started).count();
            assert!(
                started <= 1 && lab.rollouts.len() <= 2,
                "{writes}: {:?}",
                lab.rollouts
            );
            assert_eq!(state(&lab), None);
        }
    }
}
