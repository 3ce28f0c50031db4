//! How many restarts are left: of the window of a supervisor, or of that of a slot.
//!
//! Rule: what counts is asked of the charges themselves; the budget in a status, and what people are told of it elsewhere,
//! are made of the same numbers.

use jiff::Timestamp;

use super::window::after;
use crate::api::v1alpha1::{Intensity, SlotStatus, SupervisorStatus};

/// What is left of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Whose window it is: a supervisor, or a replica as `child/slot`.
    pub who: String,
    /// How many restarts are left.
    pub left: i32,
    /// How many it allows; 0 when it allows none.
    pub allowed: i32,
    /// Its length, in seconds.
    pub period_seconds: i32,
    /// The charges that count, of each child oldest first.
    pub charges: Vec<Timestamp>,
}

impl Budget {
    /// That of a supervisor.
    pub fn of_supervisor(record: &SupervisorStatus, intensity: Intensity, now: Timestamp) -> Self {
        let charges = record.charges.iter();
        let counted = charges.flat_map(|charge| charge.counted(now, intensity));
        Self::new(&record.name, intensity, counted.map(|time| time.0))
    }

    /// That of a slot of a worker.
    pub fn of_slot(child: &str, slot: &SlotStatus, intensity: Intensity, now: Timestamp) -> Self {
        let counted = slot.counted(now, intensity);
        let who = format!("{child}/{}", slot.slot);
        Self::new(&who, intensity, counted.map(|time| time.0))
    }

    /// One with these charges.
    pub fn new(
        who: &str,
        intensity: Intensity,
        charges: impl IntoIterator<Item = Timestamp>,
    ) -> Self {
        let charges: Vec<Timestamp> = charges.into_iter().collect();
        let spent = i32::try_from(charges.len()).unwrap_or(i32::MAX);
        Self {
            who: who.to_owned(),
            left: (intensity.max_restarts - spent).max(0),
            allowed: intensity.max_restarts,
            period_seconds: intensity.period_seconds,
            charges,
        }
    }

    /// When the window changes by itself: each charge that ages leaves it.
    pub fn changes(&self) -> impl Iterator<Item = Timestamp> + '_ {
        let period = i64::from(self.period_seconds);
        self.charges
            .iter()
            .map(move |time| after(*time, period + 1))
    }

    /// As `status.budget` shows it.
    pub(super) fn short(&self) -> String {
        let Self {
            who,
            left,
            allowed,
            period_seconds,
            ..
        } = self;
        format!("{left}/{allowed} in {period_seconds}s at {who}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::v1alpha1::ChargeStatus;
    use crate::model::window::api_time;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn what_counts_is_taken_off_what_is_allowed() {
        let intensity = Intensity {
            max_restarts: 3,
            period_seconds: 60,
        };
        let charge = |child: &str, times: &[i64], failed_starts| ChargeStatus {
            child: child.to_owned(),
            times: times.iter().map(|second| api_time(at(*second))).collect(),
            failed_starts,
        };
        let table = [
            (vec![], 3),
            (vec![charge("a", &[100], 0)], 2),
            // The first one is too old.
            (vec![charge("a", &[39, 100], 0)], 2),
            // A failed start counts whatever its age.
            (
                vec![charge("a", &[39, 100], 2), charge("b", &[100, 100], 0)],
                0,
            ),
        ];
        for (charges, left) in table {
            let record = SupervisorStatus {
                name: "web".to_owned(),
                charges,
                ..SupervisorStatus::default()
            };
            let budget = Budget::of_supervisor(&record, intensity, at(100));
            assert_eq!(budget.left, left);
            assert_eq!(budget.short(), format!("{left}/3 in 60s at web"));
        }
        let slot = SlotStatus {
            slot: 2,
            charges: vec![api_time(at(39)), api_time(at(40))],
            ..SlotStatus::default()
        };
        let budget = Budget::of_slot("api", &slot, intensity, at(100));
        assert_eq!((budget.who.as_str(), budget.left), ("api/2", 2));
        assert_eq!(budget.changes().collect::<Vec<_>>(), [at(101)]);
    }
}
