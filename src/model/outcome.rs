//! What came of a death, an exit or a refusal, as data: what it cost, what follows, and when.
//!
//! Rule: whatever people read of it, in Events, in statuses or in a simulation, is rendered from here.

use std::fmt;

use jiff::Timestamp;

/// What something cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cost {
    /// It could have been charged, and was not.
    Free,
    /// It was charged.
    Charged(Charged),
}

/// A charge, and how full it made the window at that moment: giving up empties a window afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charged {
    /// Whose window it was: a supervisor, or a replica as `child/slot`.
    pub who: String,
    /// Whether that is a replica.
    pub is_slot: bool,
    /// Entries in the window, this one included.
    pub spent: usize,
    /// Most entries that it may hold.
    pub allowed: usize,
    /// Length of the window, in seconds.
    pub period_seconds: i32,
}

impl Charged {
    /// How often something died that was given up for it, in words.
    pub fn overflow(&self) -> String {
        let Self {
            who,
            spent,
            allowed,
            period_seconds,
            ..
        } = self;
        let deaths = if *spent == 1 {
            "1 death"
        } else {
            &format!("{spent} deaths")
        };
        format!("{deaths} within {period_seconds} s at {who}, which allows {allowed}")
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Charged(charged) = self else {
            return f.write_str("not charged");
        };
        if charged.spent > charged.allowed {
            return write!(f, "charged: {}", charged.overflow());
        }
        let Charged {
            who,
            is_slot,
            spent,
            allowed,
            period_seconds,
        } = charged;
        let whose = if *is_slot { " to its slot" } else { "" };
        write!(
            f,
            "charged{whose}: restart {spent} of {allowed} within {period_seconds} s at {who}"
        )
    }
}

/// How a replica is brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Its Pod is over: another one takes its place.
    Replaced,
    /// The kubelet has restarted it in its Pod, or does so in a moment.
    InPlace,
    /// The kubelet restarts it in its Pod after a wait of its own, which nobody cuts short.
    AfterWait,
    /// The kubelet lets it wait, and another Pod takes its place when the tree's own delay is over first.
    ByThen,
}

/// What follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is not started again, because its type asks for that.
    NotRestarted,
    /// It is left as it is, because a restart would not help.
    LeftAlone,
    /// It starts by itself, once the cluster lets it.
    Waits,
    /// What was refused is tried again.
    TriedAgain,
    /// A replica is restarted.
    Restarted {
        /// How.
        way: Way,
        /// Not before that time; `None`: at once.
        at: Option<Timestamp>,
    },
    /// A child is started again, with what its supervisor restarts together with it.
    Regrouped {
        /// How many children that is besides it.
        siblings: usize,
        /// Not before that time; `None`: at once.
        at: Option<Timestamp>,
    },
    /// A slot is left alone for a while.
    Parked {
        /// Until then.
        until: Timestamp,
    },
    /// A supervisor has failed to start because of it.
    FailsStart {
        /// Its name.
        supervisor: String,
    },
    /// What is below a supervisor is stopped, and the parent of the supervisor judges that.
    Escalates {
        /// Its name.
        supervisor: String,
    },
    /// A child is stopped.
    GivenUp {
        /// Its name.
        child: String,
        /// How many of the children after it are stopped, too.
        others: usize,
        /// When it is tried again; `None`: when somebody asks for it.
        retry: Option<Timestamp>,
    },
    /// A whole supervisor is stopped.
    Stopped {
        /// Its name.
        supervisor: String,
        /// When it is tried again; `None`: when somebody asks for it.
        retry: Option<Timestamp>,
    },
    /// The children of a supervisor are stopped, and it has finished.
    ShutsDown,
}

impl Next {
    /// Whether a supervisor or a slot is given up.
    pub fn gives_up(&self) -> bool {
        matches!(
            self,
            Self::Parked { .. }
                | Self::Escalates { .. }
                | Self::GivenUp { .. }
                | Self::Stopped { .. }
        )
    }
}

impl fmt::Display for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRestarted => f.write_str("not restarted, as its type asks"),
            Self::LeftAlone => f.write_str("left alone, because restarting would not help"),
            Self::Waits => f.write_str("starts by itself once that has passed"),
            Self::TriedAgain => f.write_str("tried again"),
            Self::Restarted { way, at } => restarted(f, *way, *at),
            Self::Regrouped { siblings, at } => {
                write!(f, "restarted {}", when(*at))?;
                match siblings {
                    0 => Ok(()),
                    1 => f.write_str(" with 1 sibling"),
                    _ => write!(f, " with {siblings} siblings"),
                }
            }
            Self::Parked { until } => write!(f, "its slot is parked until {until}"),
            Self::FailsStart { supervisor } => write!(
                f,
                "{supervisor} has failed to start, and stops what had started"
            ),
            Self::Escalates { supervisor } => write!(
                f,
                "{supervisor} stops its children, then its parent decides"
            ),
            Self::GivenUp {
                child,
                others,
                retry,
            } => {
                write!(f, "{child} is stopped")?;
                match others {
                    0 => Ok(()),
                    1 => f.write_str(" with the child after it"),
                    _ => write!(f, " with the {others} children after it"),
                }?;
                match retry {
                    Some(retry) => write!(f, " and tried again at {retry}"),
                    None => Ok(()),
                }
            }
            Self::Stopped { supervisor, retry } => match retry {
                Some(retry) => write!(f, "{supervisor} is stopped and tried again at {retry}"),
                None => write!(
                    f,
                    "{supervisor} stays stopped until `retryAt` or an edit of a template"
                ),
            },
            Self::ShutsDown => f.write_str("its other children are stopped"),
        }
    }
}

fn restarted(f: &mut fmt::Formatter<'_>, way: Way, at: Option<Timestamp>) -> fmt::Result {
    match (way, at) {
        (Way::Replaced, at) => write!(f, "replaced {}", when(at)),
        (Way::ByThen, None) => f.write_str("replaced at once"),
        (Way::ByThen, Some(at)) => write!(f, "restarted at {at} at the latest"),
        (Way::InPlace, _) => f.write_str("restarted at once"),
        (Way::AfterWait, _) => f.write_str("restarted by the kubelet, after a wait"),
    }
}

fn when(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "at once".to_owned(), |at| format!("at {at}"))
}

/// What was decided, in words.
pub fn decided(cost: Option<&Cost>, next: Option<&Next>) -> String {
    let cost = cost.map(ToString::to_string);
    let parts = cost.into_iter().chain(next.map(ToString::to_string));
    parts.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charged(spent: usize, is_slot: bool) -> Cost {
        let who = if is_slot { "a/1" } else { "web" };
        Cost::Charged(Charged {
            who: who.to_owned(),
            is_slot,
            spent,
            allowed: 3,
            period_seconds: 300,
        })
    }

    #[test]
    fn what_something_cost_is_said_with_the_window() {
        let table = [
            (Cost::Free, "not charged"),
            (
                charged(2, false),
                "charged: restart 2 of 3 within 300 s at web",
            ),
            (
                charged(4, false),
                "charged: 4 deaths within 300 s at web, which allows 3",
            ),
            (
                charged(1, true),
                "charged to its slot: restart 1 of 3 within 300 s at a/1",
            ),
        ];
        for (cost, told) in table {
            assert_eq!(cost.to_string(), told);
        }
    }

    #[test]
    fn what_follows_is_said_with_the_time() {
        let at: Option<Timestamp> = "2100-01-01T00:00:25Z".parse().ok();
        let restarted = |way, at| Next::Restarted { way, at };
        let table = [
            (restarted(Way::Replaced, None), "replaced at once"),
            (
                restarted(Way::Replaced, at),
                "replaced at 2100-01-01T00:00:25Z",
            ),
            (
                restarted(Way::ByThen, at),
                "restarted at 2100-01-01T00:00:25Z at the latest",
            ),
            (restarted(Way::InPlace, at), "restarted at once"),
            (
                restarted(Way::AfterWait, None),
                "restarted by the kubelet, after a wait",
            ),
            (
                Next::Regrouped {
                    siblings: 1,
                    at: None,
                },
                "restarted at once with 1 sibling",
            ),
            (
                Next::Regrouped { siblings: 0, at },
                "restarted at 2100-01-01T00:00:25Z",
            ),
        ];
        for (next, told) in table {
            assert_eq!(next.to_string(), told);
        }
        let told = decided(Some(&Cost::Free), Some(&Next::NotRestarted));
        assert_eq!(told, "not charged; not restarted, as its type asks");
        assert_eq!(decided(None, None), "");
    }
}
