//! Mistakes that a test plants into the engine, to see whether it finds them.
//!
//! Rule: outside of tests none is ever planted, and asking costs nothing.

/// What the engine may be made to do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// A charge leaves the window in its last second.
    WindowEndsEarly,
    /// One charge more than `maxRestarts` is allowed.
    OneMoreRestart,
    /// A new incarnation of a supervisor begins with the old window.
    WindowIsInherited,
    /// `RestForOne` restarts those before the child, too.
    RestIsAll,
    /// A group is stopped in start order.
    StopInStartOrder,
    /// The next child of a group is started before the one before it has started.
    StartTogether,
    /// Deaths of what a group operation is to stop are judged.
    JudgeAbsorbed,
    /// A clean end of a Transient worker is a death.
    CleanEndIsDeath,
    /// What has finished does not run again with its group.
    FinishedForEver,
    /// A Temporary child that was stopped with its group comes back with it.
    TemporaryComesBack,
    /// A Transient supervisor that gave up is restarted.
    GiveUpIsAbnormal,
    /// A first start that fails is tried again whatever `onStartFailure` says.
    FirstStartIsTriedAgain,
    /// One significant child is enough for `AllSignificant`.
    OneIsAll,
    /// A restart of the group costs nothing when a supervisor is what died in it.
    ExitIsFree,
}

#[cfg(test)]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Mistake>> = const { std::cell::Cell::new(None) };
}

/// Runs something with a mistake, on this thread.
#[cfg(test)]
pub(crate) fn with<T>(mistake: Mistake, run: impl FnOnce() -> T) -> T {
    PLANTED.set(Some(mistake));
    let result = run();
    PLANTED.set(None);
    result
}

/// Whether that mistake is to be made.
#[cfg(test)]
pub(super) fn is_planted(mistake: Mistake) -> bool {
    PLANTED.get() == Some(mistake)
}

/// Whether that mistake is to be made: it is not.
#[cfg(not(test))]
pub(super) const fn is_planted(_: Mistake) -> bool {
    false
}
