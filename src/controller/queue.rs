//! The keys that wait for a reconcile: who is next, who must wait, and until when.
//!
//! Rule: no key runs twice at once, none waits twice, and each waits its turn; the time is a parameter.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// The delay after the first failure of a key; it doubles with every further one in a row.
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
/// The longest delay after a failure.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
/// How soon after a failure a change may bring its key back before the delay is over.
const PATIENCE: Duration = Duration::from_secs(1);

/// A run that takes longer than that waits for the API server, which costs nothing: it takes nobody's place any more.
const SLOW: Duration = Duration::from_secs(1);
/// How many times the limit may run at once, slow runs included.
const CROWD: usize = 16;

/// What comes after a run of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing, until something changes.
    Wait,
    /// Another run at that time.
    At(Instant),
    /// Another run, as soon as its turn comes.
    Again,
    /// It failed: another run after a delay that grows.
    Failed,
    /// It failed, and must not run before that time, whatever happens.
    FailedUntil(Instant),
}

/// What came of a run of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ran {
    pub(super) next: Next,
    /// How long the key rests before any other run, whatever happens: what changes meanwhile is dealt with together. It
    /// does not prolong the delay after a failure, nor concern a key of which nothing is left to be done.
    pub(super) rest: Duration,
}

impl From<Next> for Ran {
    fn from(next: Next) -> Self {
        Self {
            next,
            rest: Duration::ZERO,
        }
    }
}

/// A key that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Taken<K> {
    pub(super) key: K,
    /// How long it waited for its turn.
    pub(super) waited: Duration,
}

/// The queue.
#[derive(Debug)]
pub(super) struct Queue<K> {
    limit: usize,
    /// The keys that run, and since when.
    runs: HashMap<K, Instant>,
    ready: VecDeque<K>,
    slots: HashMap<K, Slot>,
    timers: BTreeSet<(Instant, K)>,
}

#[derive(Debug, Default)]
struct Slot {
    running: bool,
    /// Something changed while it ran.
    changed: bool,
    /// Since when it waits for its turn.
    ready_since: Option<Instant>,
    /// When it becomes ready by itself.
    due: Option<Instant>,
    failures: u32,
    /// No run before that, because it has just failed, or rests.
    not_before: Option<Instant>,
}

impl<K: Clone + Eq + Hash + Ord> Queue<K> {
    /// An empty queue that lets at most that many keys run at once. Runs that take longer than a second do not count, up
    /// to sixteen times as many.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            runs: HashMap::new(),
            ready: VecDeque::new(),
            slots: HashMap::new(),
            timers: BTreeSet::new(),
        }
    }

    /// Something changed that concerns this key. Returns whether it was not waiting already.
    pub(super) fn add(&mut self, key: K, now: Instant) -> bool {
        let slot = self.slots.entry(key.clone()).or_default();
        if slot.running {
            return !std::mem::replace(&mut slot.changed, true);
        }
        if slot.ready_since.is_some() {
            return false;
        }
        let Some(earliest) = slot.not_before else {
            self.make_ready(key, now);
            return true;
        };
        let waits = slot.due.is_some_and(|due| due <= earliest);
        self.ready_at(key, earliest, now);
        !waits
    }

    /// The next key whose turn it is, when one more may run.
    pub(super) fn take(&mut self, now: Instant) -> Option<Taken<K>> {
        self.ring(now);
        let quick = self.runs.values().filter(|begun| **begun + SLOW > now);
        if quick.count() >= self.limit || self.runs.len() >= self.limit * CROWD {
            return None;
        }
        let key = self.ready.pop_front()?;
        self.runs.insert(key.clone(), now);
        let slot = self.slots.entry(key.clone()).or_default();
        slot.running = true;
        let waited = slot
            .ready_since
            .take()
            .map_or(Duration::ZERO, |since| now - since);
        self.stop_timer(&key);
        Some(Taken { key, waited })
    }

    /// The run of a key is over.
    pub(super) fn done(&mut self, key: K, ran: impl Into<Ran>, now: Instant) {
        let Ran { next, rest } = ran.into();
        let Some(slot) = self.slots.get_mut(&key) else {
            return;
        };
        slot.running = false;
        self.runs.remove(&key);
        let changed = std::mem::take(&mut slot.changed);
        let until = match next {
            Next::Failed => Some(now),
            Next::FailedUntil(time) => Some(time),
            Next::Wait | Next::At(_) | Next::Again => None,
        };
        if let Some(until) = until {
            let delay = backoff(slot.failures);
            slot.failures = slot.failures.saturating_add(1);
            let earliest = until.max(now + delay.min(PATIENCE));
            slot.not_before = Some(earliest);
            let due = until.max(now + delay);
            return self.due_by(key, if changed { earliest } else { due });
        }
        slot.failures = 0;
        let rested = now + rest;
        slot.not_before = (rested > now).then_some(rested);
        match next {
            _ if changed => self.ready_at(key, rested, now),
            Next::Again => self.ready_at(key, rested, now),
            Next::At(time) => self.due_by(key, time.max(rested)),
            Next::Wait | Next::Failed | Next::FailedUntil(_) => drop(self.slots.remove(&key)),
        }
    }

    /// When the next key becomes ready by itself.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.timers.first().map(|(time, _)| *time)
    }

    /// When the next key that waits may run because a run has become slow.
    pub(super) fn next_place(&self, now: Instant) -> Option<Instant> {
        let quick = self.runs.values().map(|begun| *begun + SLOW);
        let may_come = !self.ready.is_empty() && self.runs.len() < self.limit * CROWD;
        quick.filter(|slow| may_come && *slow > now).min()
    }

    /// How many keys wait for their turn.
    pub(super) fn depth(&self) -> usize {
        self.ready.len()
    }

    /// Makes ready what is due.
    fn ring(&mut self, now: Instant) {
        while let Some((time, key)) = self.timers.first().cloned()
            && time <= now
        {
            self.stop_timer(&key);
            self.make_ready(key, now);
        }
    }

    fn ready_at(&mut self, key: K, time: Instant, now: Instant) {
        if time > now {
            self.due_by(key, time);
        } else {
            self.make_ready(key, now);
        }
    }

    fn make_ready(&mut self, key: K, now: Instant) {
        let slot = self.slots.entry(key.clone()).or_default();
        if !slot.running && slot.ready_since.is_none() {
            slot.ready_since = Some(now);
            self.ready.push_back(key);
        }
    }

    /// Sets the timer of a key; the earliest wins.
    fn due_by(&mut self, key: K, time: Instant) {
        let slot = self.slots.entry(key.clone()).or_default();
        if slot.due.is_some_and(|due| due <= time) {
            return;
        }
        self.stop_timer(&key);
        self.slots.entry(key.clone()).or_default().due = Some(time);
        self.timers.insert((time, key));
    }

    fn stop_timer(&mut self, key: &K) {
        if let Some(time) = self.slots.get_mut(key).and_then(|slot| slot.due.take()) {
            self.timers.remove(&(time, key.clone()));
        }
    }
}

fn backoff(failures: u32) -> Duration {
    FIRST_BACKOFF
        .saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX))
        .min(LONGEST_BACKOFF)
}

#[cfg(test)]
mod tests;
