//! The election: what to ask of the API server next, and who we are until then.
//!
//! Rule: it has no client, clock or async; every time is a parameter and comes from the monotonic clock of this machine.

use std::time::Duration;

use tokio::time::Instant;

use super::Timing;
use super::leadership::{Belief, Term};

/// What decides in a Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Who holds it; empty when it was given back.
    pub(super) holder: String,
    /// How long the holder wants it to be left alone without a change.
    pub(super) duration: Duration,
    /// The resource version. Any change of the Lease counts as a sign of life, whoever made it.
    pub(super) version: String,
}

/// What a write says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// We become its holder.
    Acquire,
    /// We are its holder still.
    Renew,
    /// We are its holder no more.
    Release,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing, until then.
    Wait(Instant),
    /// Read the Lease.
    Read,
    /// Store that claim, provided that the Lease still has this version; `None`: that there is none.
    Write(Claim, Option<String>),
}

/// What is known of the Lease.
#[derive(Clone, Debug)]
enum Known {
    /// It must be read before anything can be said.
    Nothing,
    /// There was none.
    Absent,
    /// It has been so, without a change, since this moment or longer.
    Unchanged(Record, Instant),
}

/// An election from the view of one candidate.
#[derive(Debug)]
pub(super) struct Election {
    identity: String,
    timing: Timing,
    known: Known,
    /// Whether the Lease may have changed without our knowing more than that.
    in_doubt: bool,
    /// The term that we lead in, and until when.
    leading: Option<(Term, Instant)>,
    terms: u64,
    /// No read before that, and no write before that.
    read_at: Instant,
    write_at: Instant,
}

impl Election {
    pub(super) fn new(identity: impl Into<String>, timing: Timing, now: Instant) -> Self {
        Self {
            identity: identity.into(),
            timing,
            known: Known::Nothing,
            in_doubt: true,
            leading: None,
            terms: 0,
            read_at: now,
            write_at: now,
        }
    }

    /// What this candidate believes of itself.
    pub(super) fn belief(&self, now: Instant) -> Belief {
        match self.leading {
            Some((term, until)) if now < until => Belief::Leader(term, until),
            _ => Belief::Standby,
        }
    }

    /// Who holds the Lease as far as we know; empty when nobody does.
    pub(super) fn holder(&self) -> &str {
        match &self.known {
            Known::Unchanged(record, _) => &record.holder,
            Known::Nothing | Known::Absent => "",
        }
    }

    /// What to do next.
    pub(super) fn next(&mut self, now: Instant) -> Step {
        self.lapse(now);
        let write_at = self.may_claim_at().map(|at| at.max(self.write_at));
        if write_at.is_some_and(|at| at <= now) {
            return self.claim();
        }
        // Whoever leads hears of the Lease by its own writes.
        let reads = self.in_doubt || self.leading.is_none();
        if reads && self.read_at <= now {
            return Step::Read;
        }
        let read_at = reads.then_some(self.read_at);
        let until = self.leading.map(|(_, until)| until);
        let next = [write_at, read_at, until].into_iter().flatten().min();
        Step::Wait(next.unwrap_or_else(|| now + self.timing.retry()))
    }

    /// How long a request that begins now may take. None goes on when what it was begun for is over.
    pub(super) fn patience(&self, now: Instant) -> Duration {
        let longest = self.timing.request();
        match self.leading {
            Some((_, until)) if until > now => longest.min(until - now),
            _ => longest,
        }
    }

    /// When the Lease is free for us; `None` when that is not known.
    fn may_claim_at(&self) -> Option<Instant> {
        if self.in_doubt {
            return None;
        }
        match &self.known {
            Known::Nothing => None,
            Known::Absent => Some(self.write_at),
            Known::Unchanged(record, _) if record.holder.is_empty() => Some(self.write_at),
            // Ours, or of an earlier life of ours, which is over.
            Known::Unchanged(record, _) if record.holder == self.identity => Some(self.write_at),
            Known::Unchanged(record, since) => Some(*since + record.duration),
        }
    }

    fn claim(&self) -> Step {
        match &self.known {
            Known::Unchanged(record, _) => {
                let claim = if record.holder == self.identity {
                    Claim::Renew
                } else {
                    Claim::Acquire
                };
                Step::Write(claim, Some(record.version.clone()))
            }
            Known::Nothing | Known::Absent => Step::Write(Claim::Acquire, None),
        }
    }

    /// A read that began then was answered now: with the Lease, or that there is none.
    pub(super) fn read(&mut self, lease: Option<Record>, begun: Instant, now: Instant) {
        self.lapse(now);
        self.in_doubt = false;
        self.read_at = begun + self.timing.retry();
        if lease
            .as_ref()
            .is_none_or(|record| record.holder != self.identity)
        {
            self.leading = None;
        }
        self.known = match (lease, &self.known) {
            (None, _) => Known::Absent,
            (Some(record), Known::Unchanged(known, since)) if known.version == record.version => {
                Known::Unchanged(record, *since)
            }
            (Some(record), _) => Known::Unchanged(record, now),
        };
    }

    /// A read that began then got no answer, or none that says anything.
    pub(super) fn not_read(&mut self, begun: Instant, now: Instant) {
        self.lapse(now);
        self.read_at = begun + self.timing.retry();
    }

    /// A claim that was sent then is stored, and made this version of the Lease.
    pub(super) fn stored(&mut self, claim: Claim, version: String, sent: Instant, now: Instant) {
        self.lapse(now);
        self.in_doubt = false;
        self.write_at = sent + self.timing.retry();
        self.read_at = sent + self.timing.retry();
        let holder = match claim {
            Claim::Acquire | Claim::Renew => self.identity.clone(),
            Claim::Release => String::new(),
        };
        let record = Record {
            holder,
            duration: self.timing.duration(),
            version,
        };
        self.known = Known::Unchanged(record, now);
        let until = sent + self.timing.renew_deadline();
        self.leading = match (claim, self.leading) {
            (Claim::Release, _) => None,
            // The answer took so long that others may be about to take over.
            _ if until <= now => None,
            (_, Some((term, _))) => Some((term, until)),
            (_, None) => Some((self.begin_term(), until)),
        };
    }

    /// A claim that was sent then is not known to be stored: the Lease is not what it was for, or there was no answer
    /// that says anything.
    pub(super) fn not_stored(&mut self, sent: Instant, now: Instant) {
        self.lapse(now);
        self.in_doubt = true;
        self.write_at = sent + self.timing.retry();
        self.read_at = now;
    }

    /// Somebody says that the holder of the Lease has changed.
    pub(super) fn hinted(&mut self, now: Instant) {
        self.in_doubt = true;
        self.read_at = now;
    }

    /// The work has ended: from now on we do not believe in ourselves. Says what to store so that others need not wait;
    /// `None` when the Lease is not ours, as far as we know.
    pub(super) fn release(&mut self) -> Option<Step> {
        self.leading = None;
        match &self.known {
            Known::Unchanged(record, _) if record.holder == self.identity => {
                Some(Step::Write(Claim::Release, Some(record.version.clone())))
            }
            _ => None,
        }
    }

    /// For a moment nobody was told that this term goes on, although it does: the renewal was taken in too late. Who
    /// asked meanwhile has put work away until the next term, so what follows is one.
    pub(super) fn was_doubted(&mut self, term: Term) {
        if let Some((same, until)) = self.leading
            && same == term
        {
            self.leading = Some((self.begin_term(), until));
        }
    }

    fn begin_term(&mut self) -> Term {
        self.terms += 1;
        Term::number(self.terms)
    }

    /// Whether the Lease must be read before it can be given back.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.in_doubt
    }

    fn lapse(&mut self, now: Instant) {
        self.leading = self.leading.filter(|(_, until)| now < *until);
    }
}

#[cfg(test)]
mod tests;
