//! The reasons of Events and of warnings, in one word each.
//!
//! Rule: a reason is a word of an enum here, or a class of fault; `docs/events.md` is made of both.

/// Declares reasons with one list of names and meanings, so that code and documentation cannot differ.
macro_rules! reasons {
    ($(#[doc = $about:literal])+ $name:ident: $($(#[doc = $line:literal])+ $reason:ident,)+) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum $name {
            $($(#[doc = $line])+ $reason,)+
        }

        impl $name {
            /// The word as it stands in the API.
            pub(super) fn as_str(self) -> &'static str {
                match self {
                    $(Self::$reason => stringify!($reason),)+
                }
            }

            /// Every word with its meaning, in the order of the documentation.
            #[cfg(test)]
            fn all() -> Vec<(&'static str, &'static str)> {
                vec![$((stringify!($reason), concat!($($line),+).trim_ascii()),)+]
            }
        }
    };
}

reasons! {
    /// Why an Event was written that is not about a single fault; the others have the class of the fault.
    EventReason:
    /// A supervisor exceeded its intensity: its children are stopped, and its parent judges (`onGiveUp: Escalate`).
    SupervisorEscalated,
    /// A supervisor exceeded its intensity: what its strategy names is stopped, and tried again later (`onGiveUp: Retry`).
    ChildGivenUp,
    /// A supervisor exceeded its intensity: it stays stopped until `retryAt` or an edit of a template (`onGiveUp: Stop`).
    SupervisorStopped,
    /// A supervisor that gave up, could not start or shut itself down has stopped; the message says what its parent makes of it.
    SupervisorExited,
    /// A replica died more often than its own window allows: its slot is left alone, and tried again later.
    SlotParked,
    /// What was given up, or parked, is started again: its time had come, or `retryAt` or an edit asked for it.
    RetryStarted,
    /// A replica has ended as its type allows, and is not started again.
    ChildFinished,
    /// Significant children of a supervisor have ended: it stops the others (`autoShutdown`).
    SupervisorShutsDown,
    /// A supervisor that shut itself down has stopped, and is not started again.
    SupervisorFinished,
    /// Not one replica of a worker may be missing beside the others, so its group is restarted for its changed template, in order
    /// and without a charge.
    UpdateRestartsGroup,
    /// A worker with `update.method: InPlaceIfPossible` is not updated in place: its Pods are recreated, and the message says why.
    NotUpdatedInPlace,
    /// The tree is on its way to a revision that changes templates.
    RolloutStarted,
    /// The canary of a worker (`update.steps`) has come to its next step.
    RolloutStep,
    /// A rollout has failed: the tree is taken back to the last good revision.
    RolledBack,
    /// A rollout has failed, and stays where it is.
    RolloutFailed,
    /// The API server could not say whether it would take a Pod of a new template: the rollout goes on, and the Pods will show.
    NotTried,
    /// A revision of the templates could not be stored: Pods are made all the same, and an upgrade could not be taken back to it.
    RevisionNotStored,
    /// The disruption budget of a worker could not be written: its Pods run all the same, and evictions may take it below its
    /// quorum.
    DisruptionBudgetNotStored,
    /// The claims of a worker could not be given the owner that `persistentVolumeClaimRetentionPolicy` asks for: replicas that were
    /// dropped, and the deletion of the tree, wait for that, so that no claim goes that is to stay, and none stays that is to go.
    ClaimOwnerNotStored,
    /// Somebody scaled a worker whose `replicas` the tree states: the number is put back.
    ScaleOverridden,
}

reasons! {
    /// Which setting is legal, and does something else than most people expect.
    WarningReason:
    /// A supervisor is `Transient` or `Temporary`, so that it stays down when it gives up.
    GiveUpIsFinal,
    /// A supervisor with `autoShutdown` is `Permanent`, so that it is started again each time it shuts itself down.
    ShutDownLoops,
    /// A window is too short for one worker to fill it, so that a worker that starts and dies is restarted for ever.
    IntensityUnreachable,
    /// `rollout.promote` names a revision or a step that there is not, or another one than the canary waits for.
    PromotesNothing,
    /// Not one replica of a worker may be missing, or they count without being Ready, so that a drain takes all of them.
    NoReplicaToSpare,
    /// A `Transient` worker has a liveness probe, so that a program that is stopped for it may look as if it had finished.
    LivenessLooksClean,
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::{EventReason, WarningReason};
    use crate::pages::assert_current;

    #[test]
    fn documentation_is_current() {
        assert_current("docs/events.md", &page());
    }

    #[test]
    fn every_meaning_is_a_sentence() {
        let all = [EventReason::all(), WarningReason::all()].concat();
        for (word, meaning) in all {
            assert!(meaning.ends_with('.'), "{word}");
        }
    }

    fn page() -> String {
        let mut page = format!("{INTRODUCTION}\n| reason | meaning |\n|---|---|\n");
        for (word, meaning) in EventReason::all() {
            writeln!(page, "| `{word}` | {meaning} |").unwrap();
        }
        write!(page, "\n{FAULTS}").unwrap();
        write!(page, "\n{WARNINGS}\n| reason | meaning |\n|---|---|\n").unwrap();
        for (word, meaning) in WarningReason::all() {
            writeln!(page, "| `{word}` | {meaning} |").unwrap();
        }
        page
    }

    const INTRODUCTION: &str = "\
# Events and warnings

<!-- Generated: `UPDATE=1 cargo test` writes this page. -->

Coppice writes Events about a tree: `kubectl describe stree NAME` and `kubectl events --for stree/NAME` show them. An Event says which
child it is about, why, and what follows. Those of faults, and of supervisors that give up or exit, are of the type Warning, the others are
Normal. [conditions.md](conditions.md) has the reasons of conditions.

## Supervisors and children
";

    const FAULTS: &str = "\
## Faults

The Event of a fault has the reason `Child` and its class, for example `ChildOomKilled`. The class stands in
`status.recentFaults`, too, and `coppice simulate --fault CHILD=CLASS` plays it. [faults.md](faults.md) says which classes there are, what each
means and what to do.
";

    const WARNINGS: &str = "\
## Warnings

`status.warnings` tells of settings that are legal, and do something else than most people expect; the message has the numbers, and says what
to change.
";
}
