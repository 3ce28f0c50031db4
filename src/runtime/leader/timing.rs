//! How long everything in an election takes.
//!
//! Rule: a leader stops believing in itself before anybody else may take over.

use std::time::Duration;

use thiserror::Error;

/// How long everything takes. [`Timing::new`] checks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    duration: Duration,
    renew_deadline: Duration,
    retry: Duration,
}

/// Why such times cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TimingError {
    /// The Lease stores its duration in whole seconds.
    #[error("the lease duration must be whole seconds, at least 1 s, but is {0:?}")]
    Duration(Duration),
    /// A leader would believe in itself when another one has taken over.
    #[error(
        "the renew deadline ({deadline:?}) must be shorter than the lease duration ({duration:?})"
    )]
    Deadline {
        /// The renew deadline.
        deadline: Duration,
        /// The lease duration.
        duration: Duration,
    },
    /// A leader would lose the Lease by one renewal that fails.
    #[error(
        "twice the retry period ({retry:?}) must be shorter than the renew deadline ({deadline:?})"
    )]
    Retry {
        /// The retry period.
        retry: Duration,
        /// The renew deadline.
        deadline: Duration,
    },
    /// The API server would be asked all the time.
    #[error("the retry period must be at least {shortest:?}, but is {retry:?}")]
    Hurry {
        /// The retry period.
        retry: Duration,
        /// The shortest one.
        shortest: Duration,
    },
}

impl Default for Timing {
    /// 6 s, 4 s and 1 s: a standby takes over at most 7 s after a leader has died.
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(6),
            renew_deadline: Duration::from_secs(4),
            retry: Duration::from_secs(1),
        }
    }
}

impl Timing {
    const SHORTEST_RETRY: Duration = Duration::from_millis(10);

    /// `duration`: how long a standby leaves a Lease alone that does not change. `renew_deadline`: how long after its
    /// last renewal a leader still believes in itself. `retry`: how often the leader renews and a standby looks.
    pub fn new(
        duration: Duration,
        renew_deadline: Duration,
        retry: Duration,
    ) -> Result<Self, TimingError> {
        if duration.as_secs() == 0 || duration.subsec_nanos() != 0 {
            return Err(TimingError::Duration(duration));
        }
        if renew_deadline >= duration {
            return Err(TimingError::Deadline {
                deadline: renew_deadline,
                duration,
            });
        }
        if retry.saturating_mul(2) >= renew_deadline {
            return Err(TimingError::Retry {
                retry,
                deadline: renew_deadline,
            });
        }
        if retry < Self::SHORTEST_RETRY {
            return Err(TimingError::Hurry {
                retry,
                shortest: Self::SHORTEST_RETRY,
            });
        }
        Ok(Self {
            duration,
            renew_deadline,
            retry,
        })
    }

    /// How long a standby leaves a Lease alone that does not change.
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// How long after its last renewal a leader still believes in itself.
    pub fn renew_deadline(&self) -> Duration {
        self.renew_deadline
    }

    /// How often the leader renews and a standby looks.
    pub fn retry(&self) -> Duration {
        self.retry
    }

    /// How long one request may take: others must fit into the deadline, should it never be answered.
    pub(super) fn request(&self) -> Duration {
        self.renew_deadline.saturating_sub(self.retry) * 2 / 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(duration: u64, deadline: u64, retry: u64) -> Result<Timing, String> {
        let [duration, deadline, retry] = [duration, deadline, retry].map(Duration::from_millis);
        Timing::new(duration, deadline, retry).map_err(|error| error.to_string())
    }

    #[test]
    fn the_default_is_legal_and_a_request_ends_before_the_deadline() {
        let default = Timing::default();
        assert_eq!(timing(6000, 4000, 1000), Ok(default));
        assert_eq!(default.request(), Duration::from_secs(2));
        assert!(default.retry() + default.request() < default.renew_deadline());
    }

    #[test]
    fn belief_must_end_before_the_lease_does() {
        for (times, complaint) in [
            ((6500, 4000, 1000), "whole seconds"),
            ((0, 4000, 1000), "whole seconds"),
            ((4000, 4000, 1000), "shorter than the lease duration (4s)"),
            ((4000, 5000, 1000), "shorter than the lease duration (4s)"),
            ((6000, 4000, 2000), "shorter than the renew deadline (4s)"),
            ((6000, 4000, 5), "at least 10ms"),
        ] {
            let error = timing(times.0, times.1, times.2).unwrap_err();
            assert!(error.contains(complaint), "{times:?}: {error}");
        }
    }
}
