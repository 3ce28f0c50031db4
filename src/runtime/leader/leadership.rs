//! What the rest of the process asks: may we still work, and since when.
//!
//! Rule: the answer is as of now: belief ends by the clock, also when the election itself is stuck.

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// One time of leading without a gap. Another one means that somebody else may have led in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Term(u64);

/// What a process believes of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Belief {
    /// There is no election.
    Alone,
    /// Somebody else leads, or nobody does.
    Standby,
    /// We lead until then, unless the Lease is renewed.
    Leader(Term, Instant),
}

/// Whether this process leads. Clones give the same answer.
#[derive(Clone, Debug)]
pub struct Leadership {
    belief: watch::Receiver<Belief>,
    /// What ends it in any case.
    stop: CancellationToken,
}

impl Term {
    const ALONE: Self = Self(0);

    pub(super) fn number(number: u64) -> Self {
        Self(number)
    }

    /// Whether it comes from an election. Then another process may have led before this one, and what was seen before may
    /// be older than what that one wrote; and hardly anybody acts beside this one.
    pub fn is_elected(self) -> bool {
        self != Self::ALONE
    }
}

impl Leadership {
    pub(super) fn new(belief: watch::Receiver<Belief>) -> Self {
        Self {
            belief,
            stop: CancellationToken::new(),
        }
    }

    /// The same leadership, which ends at `stop`, whoever holds the Lease: whoever is about to give it back begins
    /// nothing more.
    #[must_use]
    pub fn until(self, stop: CancellationToken) -> Self {
        Self { stop, ..self }
    }

    /// The leadership of a process that has no election: it leads from beginning to end.
    pub fn alone() -> Self {
        Self::new(watch::channel(Belief::Alone).1)
    }

    /// The term that we lead in at this moment; `None` when we do not.
    pub fn term(&self) -> Option<Term> {
        if self.stop.is_cancelled() {
            return None;
        }
        match *self.belief.borrow() {
            Belief::Alone => Some(Term::ALONE),
            Belief::Leader(term, until) if Instant::now() < until => Some(term),
            Belief::Leader(..) | Belief::Standby => None,
        }
    }

    /// Whether that term goes on at this moment.
    pub fn holds(&self, term: Term) -> bool {
        self.term() == Some(term)
    }

    /// Waits for a term that is not `last`.
    pub async fn next_term(&mut self, last: Option<Term>) -> Term {
        loop {
            self.belief.mark_unchanged();
            match self.term() {
                Some(term) if Some(term) != last => return term,
                _ => {}
            }
            if self.belief.changed().await.is_err() {
                // Nobody is left who could change it.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Gives leadership and takes it, for tests.
#[cfg(test)]
#[derive(Clone, Debug)]
pub(crate) struct Giver(watch::Sender<Belief>);

#[cfg(test)]
impl Giver {
    /// The giver, and a leadership that it has not given yet.
    pub(crate) fn new() -> (Self, Leadership) {
        let (say, heard) = watch::channel(Belief::Standby);
        (Self(say), Leadership::new(heard))
    }

    /// Lets lead for an hour.
    pub(crate) fn give(&self, term: u64) {
        let until = Instant::now() + std::time::Duration::from_hours(1);
        self.0
            .send_replace(Belief::Leader(Term::number(term), until));
    }

    /// Lets stand by.
    pub(crate) fn take(&self) {
        self.0.send_replace(Belief::Standby);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn belief_ends_by_the_clock_alone() {
        let (say, heard) = watch::channel(Belief::Standby);
        let leadership = Leadership::new(heard);
        assert_eq!(leadership.term(), None);
        let first = Term::number(1);
        say.send_replace(Belief::Leader(
            first,
            Instant::now() + Duration::from_secs(4),
        ));
        assert!(leadership.holds(first) && first.is_elected());
        tokio::time::advance(Duration::from_millis(3999)).await;
        assert!(leadership.holds(first));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(leadership.term(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_it_although_the_lease_is_ours() {
        let (giver, elected) = Giver::new();
        giver.give(1);
        for leadership in [elected, Leadership::alone()] {
            let stop = CancellationToken::new();
            let stopping = leadership.clone().until(stop.clone());
            assert!(stopping.term().is_some());
            stop.cancel();
            assert_eq!(stopping.term(), None);
            assert!(leadership.term().is_some(), "for whoever does not stop");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_term_is_told_once() {
        let (say, heard) = watch::channel(Belief::Standby);
        let mut leadership = Leadership::new(heard);
        let until = Instant::now() + Duration::from_secs(4);
        let (first, second) = (Term::number(1), Term::number(2));
        tokio::spawn(async move {
            for (belief, pause) in [
                (Belief::Leader(first, until), 1),
                (Belief::Leader(first, until + Duration::from_secs(1)), 1),
                (Belief::Standby, 1),
                (Belief::Leader(second, until), 10),
            ] {
                say.send_replace(belief);
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
        });
        assert_eq!(leadership.next_term(None).await, first);
        assert_eq!(leadership.next_term(Some(first)).await, second);
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_election_there_is_one_term() {
        let mut leadership = Leadership::alone();
        let term = leadership.next_term(None).await;
        assert!(leadership.holds(term) && !term.is_elected());
        let next = leadership.next_term(Some(term));
        let never = tokio::time::timeout(Duration::from_hours(1), next).await;
        assert!(never.is_err());
    }
}
