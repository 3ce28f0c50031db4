//! What shall go wrong in a run: which write is hit by what, which news comes late or never.
//!
//! Rule: a plan is data; the same scenario with the same plan is the same run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::kind::Kind;

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blow {
    /// The operator dies before it is sent.
    CrashBefore,
    /// The operator dies after it had its effect and before the answer.
    CrashAfter,
    /// It is answered with that code and has no effect. (Not with 404: of that an API server is sure.)
    Fails(u16),
    /// It is answered with that code although it had its effect.
    FailsAfter(u16),
    /// It is never answered and has no effect.
    Hangs,
    /// It is never answered although it had its effect.
    HangsAfter,
    /// Its answer comes that many seconds late.
    Late(u64),
    /// It has its effect that many seconds late, before whoever sent it stops waiting.
    Delayed(u64),
}

/// A planted mistake, to prove that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mistake {
    /// Pods are touched before the intent is stored.
    ActBeforeIntent,
    /// Deletes carry no UID.
    NoUidPrecondition,
    /// Pods count as none although they were never listed.
    BelieveEmptyStore,
    /// Every charge is entered twice.
    CountTwice,
    /// Delays are forgotten.
    ForgetDelay,
    /// Statuses are written whatever was there.
    OverwriteNewer,
    /// What was stopped until somebody acts is tried again by itself.
    RetryWhatIsStopped,
    /// Restarts are shown and not counted.
    ForgetCount,
    /// Pods of a lost node are not left any time.
    ForgetPatience,
    /// A new tree is told what happened to another one.
    InheritHistory,
    /// A group is restarted before that is stored.
    RestartBeforeIntent,
    /// Nobody waits for what stops of a former incarnation.
    StartBesideFormer,
    /// Deaths that an operation absorbs are charged.
    ChargeAbsorbed,
    /// What is stopped together is stopped at once.
    StopTogether,
    /// What is started together is started at once.
    StartTogether,
    /// What has finished is forgotten.
    ForgetEnds,
    /// An operation is begun again when it has been begun.
    RepeatOperation,
    /// A restart takes those along that are before the one that died.
    RestartTooMany,
    /// What is restarted beside a canary gets the new template.
    ForgetCanary,
    /// A tree is taken back, but for one worker.
    LeaveOneBehind,
    /// A worker gets one Pod more than it may have.
    AddTooMany,
}

/// News that come late: a change is not told until that many further changes have happened, or some time has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// Number of the change.
    pub(super) change: usize,
    /// How many further changes of its kind the watch lags behind.
    pub(super) versions: usize,
}

/// What shall go wrong.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// By number of the operators' requests that change something.
    pub(super) writes: BTreeMap<usize, Blow>,
    /// By number of the operators' other requests.
    pub(super) reads: BTreeMap<usize, Blow>,
    /// By number of the operators' requests about their Lease.
    pub(super) leases: BTreeMap<usize, Blow>,
    pub(super) held: Vec<Held>,
    /// Numbers of changes that are told only as part of the next change of the same object, when one comes soon.
    pub(super) dropped: BTreeSet<usize>,
    /// Numbers of changes that are told twice.
    pub(super) repeated: BTreeSet<usize>,
    /// All news of a kind come that much later.
    pub(super) lag: BTreeMap<Kind, Duration>,
    /// Only that operator's views lag.
    pub(super) laggard: Option<usize>,
    /// Versions are forgotten at these numbers of changes: watches that begin before them are expired.
    pub(super) compactions: BTreeSet<usize>,
    /// The watch that is to tell of these changes ends without a word, once for each operator; or says that its version
    /// is expired.
    pub(super) cuts: BTreeSet<usize>,
    pub(super) errors: BTreeSet<usize>,
    /// Watches tell in between how far they have got.
    pub(super) bookmarks: bool,
    /// There is a second operator.
    pub(super) two: bool,
    /// They elect a leader; else both act.
    pub(super) elects: bool,
    /// How long a crashed operator is away.
    pub(super) away: Duration,
    pub(super) mistake: Option<Mistake>,
}

impl Plan {
    /// The plan in which one write is hit.
    pub(super) fn blow(write: usize, blow: Blow) -> Self {
        Self {
            writes: BTreeMap::from([(write, blow)]),
            ..Self::default()
        }
    }

    /// How much later than others an operator is told of a kind.
    pub(super) fn lag_of(&self, operator: usize, kind: Kind) -> Duration {
        let lag = self
            .lag
            .get(&kind)
            .filter(|_| self.laggard.is_none_or(|laggard| laggard == operator));
        lag.copied().unwrap_or_default()
    }

    /// The longest that this plan may keep a view behind the truth.
    pub(super) fn staleness(&self) -> Duration {
        let lag = self.lag.values().max().copied().unwrap_or_default();
        let held = if self.held.is_empty() && self.dropped.is_empty() {
            Duration::ZERO
        } else {
            HELD_AT_MOST
        };
        let silent = |blow: &Blow| {
            matches!(
                blow,
                Blow::Hangs | Blow::HangsAfter | Blow::Late(_) | Blow::Delayed(_)
            )
        };
        let watch = if self.reads.values().any(silent) {
            DEAD_WATCH
        } else {
            FAILED_WATCH
        };
        let is_watched = self.reads.is_empty()
            && [&self.compactions, &self.cuts, &self.errors]
                .iter()
                .all(|all| all.is_empty());
        let watch = if is_watched { Duration::ZERO } else { watch };
        lag + held + watch + self.longest_delay()
    }

    /// How long a request may be on its way.
    fn longest_delay(&self) -> Duration {
        let delays = self.writes.values().map(|blow| match blow {
            Blow::Delayed(seconds) => *seconds,
            _ => 0,
        });
        Duration::from_secs(delays.max().unwrap_or(0))
    }

    /// Every part of it, as a plan without that part.
    pub(super) fn simpler(&self) -> Vec<Self> {
        let mut plans = Vec::new();
        let mut add = |change: &dyn Fn(&mut Self)| {
            let mut plan = self.clone();
            change(&mut plan);
            if plan != *self {
                plans.push(plan);
            }
        };
        add(&|plan| plan.two = false);
        add(&|plan| plan.elects = false);
        add(&|plan| plan.lag.clear());
        add(&|plan| plan.bookmarks = false);
        for key in self.leases.keys() {
            add(&|plan| {
                plan.leases.remove(key);
            });
        }
        for change in &self.cuts {
            add(&|plan| {
                plan.cuts.remove(change);
            });
        }
        for change in &self.errors {
            add(&|plan| {
                plan.errors.remove(change);
            });
        }
        for key in self.writes.keys() {
            add(&|plan| {
                plan.writes.remove(key);
            });
        }
        for key in self.reads.keys() {
            add(&|plan| {
                plan.reads.remove(key);
            });
        }
        for index in 0..self.held.len() {
            add(&|plan| {
                plan.held.remove(index);
            });
        }
        for change in &self.dropped {
            add(&|plan| {
                plan.dropped.remove(change);
            });
        }
        for change in &self.repeated {
            add(&|plan| {
                plan.repeated.remove(change);
            });
        }
        for change in &self.compactions {
            add(&|plan| {
                plan.compactions.remove(change);
            });
        }
        plans
    }
}

/// How long it takes until a watch that failed, or that is dead, is followed by a list.
const FAILED_WATCH: Duration = Duration::from_secs(6);
const DEAD_WATCH: Duration = Duration::from_secs(36);
/// How long news are held when nothing further happens.
pub(super) const HELD_AT_MOST: Duration = Duration::from_secs(12);

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nothing = Self {
            away: self.away,
            ..Self::default()
        };
        if *self == nothing {
            return write!(f, "nothing goes wrong");
        }
        for (write, blow) in &self.writes {
            writeln!(f, "write {write}: {blow:?}")?;
        }
        for (read, blow) in &self.reads {
            writeln!(f, "read {read}: {blow:?}")?;
        }
        for (request, blow) in &self.leases {
            writeln!(f, "request {request} about the Lease: {blow:?}")?;
        }
        if self.bookmarks {
            writeln!(f, "watches send bookmarks in between")?;
        }
        for Held { change, versions } in &self.held {
            writeln!(f, "change {change} is told {versions} versions late")?;
        }
        for (what, set) in [
            ("is merged into the next", &self.dropped),
            ("is told twice", &self.repeated),
            ("and those before are forgotten", &self.compactions),
            ("ends the watch before it is told", &self.cuts),
            ("is told as an error", &self.errors),
        ] {
            for change in set {
                writeln!(f, "change {change} {what}")?;
            }
        }
        for (kind, lag) in &self.lag {
            writeln!(
                f,
                "news of {} come {} ms late",
                kind.name(),
                lag.as_millis()
            )?;
        }
        match (self.two, self.elects) {
            (true, true) => writeln!(f, "two operators elect a leader")?,
            (true, false) => writeln!(f, "two operators act at once")?,
            (false, _) => {}
        }
        if let Some(mistake) = self.mistake {
            writeln!(f, "planted: {mistake:?}")?;
        }
        write!(
            f,
            "a crashed operator is away for {} ms",
            self.away.as_millis()
        )
    }
}
