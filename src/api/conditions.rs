//! Condition types and their reasons.
//!
//! Rule: a reason is one word of [`Reason`], documented here and nowhere else.

/// Types of the conditions of a tree.
pub mod types {
    /// Every enabled child has its quorum up.
    pub const READY: &str = "Ready";
    /// Coppice is at work, or waits for something that it expects to happen.
    pub const RECONCILING: &str = "Reconciling";
    /// A person should look.
    pub const STALLED: &str = "Stalled";
    /// The spec asks for the tree to be stopped.
    pub const SUSPENDED: &str = "Suspended";
    /// The spec asks for a revision that failed, and the tree is on the last good one instead.
    pub const ROLLED_BACK: &str = "RolledBack";
    /// Two of everything run.
    pub const REDUNDANT: &str = "Redundant";
}

/// Declares [`Reason`] with one list of names and meanings, so that code and documentation cannot differ.
macro_rules! reasons {
    ($($(#[doc = $line:literal])+ $reason:ident,)+) => {
        /// Why a condition has its status, in one word. The reason of all three conditions is that of
        /// the most important situation of the tree.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $($(#[doc = $line])+ $reason,)+
        }

        impl Reason {
            /// Every reason, in the order of the documentation.
            pub const ALL: [Self; [$(stringify!($reason)),+].len()] = [$(Self::$reason),+];

            /// The word as it stands in the API.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$reason => stringify!($reason),)+
                }
            }

            /// What it means, in whole sentences, for people.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$reason => concat!($($line),+).trim_ascii(),)+
                }
            }
        }
    };
}

reasons! {
    /// Every enabled child is up as the spec asks.
    AllUp,
    /// The tree has no children.
    NoChildren,
    /// Every child is disabled.
    AllDisabled,
    /// All children have ended as their types allow, or the tree shut itself down: an end, not a failure.
    Finished,
    /// The tree is suspended and stopped.
    Suspended,
    /// The tree is not suspended. Only the condition `Suspended` has this reason.
    NotSuspended,
    /// The revision that the spec asks for has not failed. Only the condition `RolledBack` has this reason.
    NotRolledBack,
    /// Nothing is single that is known of. Only the condition `Redundant` has this reason.
    NothingSingle,
    /// A worker has one replica. Only the condition `Redundant` has this reason.
    SingleReplica,
    /// The replicas of a worker run on one node. Only the condition `Redundant` has this reason.
    SingleNode,
    /// The replicas of a worker run in one zone. Only the condition `Redundant` has this reason.
    SingleZone,
    /// Children are being started for the first time, or after an edit.
    Starting,
    /// A child died and is being restarted.
    Restarting,
    /// Replicas that are not wanted any more are being stopped.
    Scaling,
    /// Pods with an old template are being replaced.
    Updating,
    /// A rollout is paused because the spec says so, or waits at a step of a canary, and Pods of former templates are left.
    RolloutPaused,
    /// Children are being stopped in order.
    Stopping,
    /// A replica waits for capacity.
    WaitingForCapacity,
    /// A replica was alive but is not Ready now, or its node is lost, or it has ended and Coppice waits to learn why.
    NotUp,
    /// A replica cannot start, and restarting would not help: something that it names is missing or wrong.
    Held,
    /// A Pod could not be created: refused by quota, policy or the API server, or Coppice lacks the right to in this namespace.
    CreateRefused,
    /// A name that a Pod or Worker needs is taken by an object of somebody else.
    NameCollision,
    /// A replica did not start within `startDeadlineSeconds`.
    StartDeadlineExceeded,
    /// A slot spent its window and waits to be tried again.
    SlotParked,
    /// A `Stable` replica is lost with its node and not proven dead.
    WaitingForFence,
    /// Something that the tree is made of may not be watched, so what happens to it is not noticed.
    WatchRefused,
    /// A supervisor exceeded its intensity, or could not be started, and gave up.
    GaveUp,
    /// A rollout has failed and stays where it is, because the spec says so, or because Pods of the former revision have the same
    /// fault.
    RolloutFailed,
    /// A rollout has failed, and the tree is taken back to the last good revision; the spec still asks for the other.
    RolledBack,
    /// The spec cannot be carried out as it stands.
    InvalidSpec,
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::{Reason, types};
    use crate::pages::assert_current;

    #[test]
    fn documentation_is_current() {
        assert_current("docs/conditions.md", &page());
    }

    #[test]
    fn every_meaning_is_a_sentence() {
        for reason in Reason::ALL {
            assert!(reason.meaning().ends_with('.'), "{reason:?}");
        }
    }

    fn page() -> String {
        let mut page = format!(
            "{INTRODUCTION}\n\
             | type | True when |\n|---|---|\n\
             | `{}` | every enabled child has its quorum up |\n\
             | `{}` | Coppice is at work, or waits for something that it expects to happen |\n\
             | `{}` | a person should look |\n\
             | `{}` | the spec asks for the tree to be stopped |\n\
             | `{}` | the revision that the spec asks for has failed, and the tree is on the last good one, or on its way back to it |\n\
             | `{}` | every worker that is to run has more than one replica, node and zone, as far as is known; it is information, and never keeps a tree from being Ready |\n\n\
             {REASONS}\n\
             | reason | meaning |\n|---|---|\n",
            types::READY,
            types::RECONCILING,
            types::STALLED,
            types::SUSPENDED,
            types::ROLLED_BACK,
            types::REDUNDANT,
        );
        for reason in Reason::ALL {
            writeln!(page, "| `{}` | {} |", reason.as_str(), reason.meaning()).unwrap();
        }
        page
    }

    const INTRODUCTION: &str = "\
# Conditions of a tree

<!-- Generated: `UPDATE=1 cargo test` writes this page. -->

A `SupervisionTree` has six conditions. All are present from the first look that Coppice takes at the tree,
and each says in `observedGeneration` which version of the spec it judges. `Reconciling` and `Stalled` are
never both True.
";

    const REASONS: &str = "\
`kubectl wait --for=condition=Ready stree/NAME` and `--for=condition=Stalled` wait for one; the message says
what happened, why, and what happens next. A tree that is neither `Reconciling` nor `Stalled` is at rest.

## Reasons

`Ready`, `Reconciling` and `Stalled` carry the same reason: that of the most important thing going on in the tree.
";
}
