//! Sliding windows and delays: how often is too often, and how long to wait.
//!
//! Rule: the arithmetic is that of OTP's `supervisor`: whole seconds, the boundary counts.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::v1alpha1::{Backoff, Intensity};

/// First wait after giving up, in seconds; it doubles up to [`RETRY_MAX_SECONDS`].
pub const RETRY_INITIAL_SECONDS: i64 = 30;
/// Longest wait after giving up, in seconds.
pub const RETRY_MAX_SECONDS: i64 = 300;
/// An uncharged replacement is free of delay again after this long alive, in seconds.
pub const BRAKE_RESET_SECONDS: i64 = 600;
/// Longest delay between uncharged replacements, in seconds.
const BRAKE_MAX_SECONDS: i64 = 300;

/// What the deaths of one replica add to a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Toll {
    /// When the last of them happened.
    pub at: Timestamp,
    /// How many they are.
    pub count: i64,
    /// Whether each of them left evidence of its own: the restart count has not jumped by more than one.
    pub seen: bool,
    /// None of them happened before.
    pub earliest: Timestamp,
}

impl Toll {
    /// A single death.
    pub fn one(at: Timestamp) -> Self {
        Self {
            at,
            count: 1,
            seen: true,
            earliest: at,
        }
    }

    /// Adds the deaths to a window that allows `allowed` entries, evenly spread up to the last one. Those
    /// that nobody saw fill it at most, because giving up takes a death that was seen.
    pub fn add_to(&self, window: &mut Vec<Time>, allowed: usize) {
        let room = i64::try_from(allowed.saturating_sub(window.len())).unwrap_or(i64::MAX);
        let count = if self.seen {
            self.count
        } else {
            self.count.min(room)
        };
        let last = window.last().map_or(Timestamp::MIN, |time| time.0);
        let at = self.at.max(last);
        let from = self.earliest.max(last).min(at);
        let span = seconds_between(from, at);
        window.extend((1..=count).map(|number| api_time(after(from, span * number / count))));
    }
}

/// That many seconds later.
pub fn after(time: Timestamp, seconds: i64) -> Timestamp {
    time.checked_add(SignedDuration::from_secs(seconds))
        .unwrap_or(Timestamp::MAX)
}

/// Whole seconds from `earlier` to `later`; negative when they are the other way round.
pub fn seconds_between(earlier: Timestamp, later: Timestamp) -> i64 {
    later.as_second() - earlier.as_second()
}

/// The time cut to whole seconds, as the API stores it.
pub fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// As the API writes it.
pub fn api_time(time: Timestamp) -> Time {
    Time(whole_second(time))
}

/// Whether an entry is still inside the window at `now`. The boundary is inclusive, as in OTP.
pub fn in_window(entry: &Time, now: Timestamp, intensity: &Intensity) -> bool {
    seconds_between(entry.0, now) <= i64::from(intensity.period_seconds)
}

/// Delay before a child's restart number `step` (0 is the first), in seconds.
pub fn backoff_delay(backoff: &Backoff, step: i64) -> i64 {
    if step <= 0 {
        return 0;
    }
    let doublings = u32::try_from(step - 1).unwrap_or(u32::MAX).min(30);
    (i64::from(backoff.initial_seconds) << doublings).min(i64::from(backoff.max_seconds))
}

/// Sum of the delays of that many restarts, in seconds.
pub fn backoff_total(backoff: &Backoff, restarts: i32) -> i64 {
    (0..i64::from(restarts))
        .map(|step| backoff_delay(backoff, step))
        .sum()
}

/// The wait after giving up again, given the one before.
pub fn next_retry_delay(previous: Option<i64>) -> i64 {
    previous.map_or(RETRY_INITIAL_SECONDS, |seconds| {
        (seconds * 2).clamp(RETRY_INITIAL_SECONDS, RETRY_MAX_SECONDS)
    })
}

/// Delay before an uncharged replacement when `count` came before it in a row, in seconds.
pub fn brake_delay(count: i64) -> i64 {
    if count <= 0 {
        return 0;
    }
    let doublings = u32::try_from(count - 1).unwrap_or(u32::MAX).min(30);
    (1_i64 << doublings).min(BRAKE_MAX_SECONDS)
}

/// Whether a life was long enough to forget earlier uncharged replacements.
pub fn resets_brake(alive_since: Option<Timestamp>, end: Timestamp) -> bool {
    alive_since.is_some_and(|since| seconds_between(since, end) >= BRAKE_RESET_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_boundary_of_the_window_counts() {
        let intensity = Intensity {
            max_restarts: 1,
            period_seconds: 5,
        };
        assert!(in_window(&Time(at(100)), at(105), &intensity));
        assert!(!in_window(&Time(at(100)), at(106), &intensity));
    }

    #[test]
    fn deaths_that_nobody_saw_lie_evenly_and_only_fill_the_window() {
        let seconds = |window: &[Time]| window.iter().map(|t| t.0.as_second()).collect::<Vec<_>>();
        let mut toll = Toll {
            at: at(100),
            count: 5,
            seen: false,
            earliest: at(10),
        };
        let mut window = vec![Time(at(40))];
        toll.add_to(&mut window, 4);
        assert_eq!(seconds(&window), [40, 60, 80, 100]);
        toll.add_to(&mut window, 4);
        assert_eq!(window.len(), 4, "the window is full");
        toll.seen = true;
        toll.count = 1;
        toll.add_to(&mut window, 4);
        assert_eq!(seconds(&window), [40, 60, 80, 100, 100]);
    }

    #[test]
    fn the_first_restart_is_immediate_and_delays_double() {
        let backoff = Backoff {
            initial_seconds: 1,
            max_seconds: 30,
        };
        let delays: Vec<i64> = (0..8).map(|step| backoff_delay(&backoff, step)).collect();
        assert_eq!(delays, [0, 1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(backoff_total(&backoff, 10), 151);
        assert_eq!(backoff_delay(&backoff, i64::MAX), 30);
    }

    #[test]
    fn no_initial_delay_means_no_delay() {
        let backoff = Backoff {
            initial_seconds: 0,
            max_seconds: 30,
        };
        assert_eq!(backoff_total(&backoff, 100), 0);
    }

    #[test]
    fn retries_double_up_to_five_minutes() {
        let mut delay = None;
        let waits: Vec<i64> = (0..6)
            .map(|_| {
                let next = next_retry_delay(delay);
                delay = Some(next);
                next
            })
            .collect();
        assert_eq!(waits, [30, 60, 120, 240, 300, 300]);
    }

    #[test]
    fn uncharged_replacements_are_slowed() {
        let delays: Vec<i64> = (0..12).map(brake_delay).collect();
        assert_eq!(delays, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert!(resets_brake(Some(at(0)), at(600)));
        assert!(!resets_brake(Some(at(0)), at(599)));
        assert!(!resets_brake(None, at(10_000)));
    }
}
