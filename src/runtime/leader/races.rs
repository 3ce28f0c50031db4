//! Several candidates over one Lease, with requests that are late, lost, or stored without an answer.
//!
//! Rule: the register has the API server's semantics (compare-and-swap by version); everything else that can go wrong
//! does so by a seed, which proptest prints.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::Timing;
use super::election::{Claim, Election, Record, Step};
use super::leadership::Belief;
use crate::dice::Dice;

/// How long faults last; afterwards every request is answered at once.
const FAULTY: Duration = Duration::from_mins(3);
/// How soon afterwards somebody must lead: a lease that was just renewed, a look, and a claim.
const SETTLED: Duration = Duration::from_secs(12);

impl Dice {
    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Mostly a few milliseconds, sometimes seconds.
    fn delay(&mut self) -> Duration {
        let longest =
            [5, 50, 500, 3_000, 12_000][usize::try_from(self.below(5)).unwrap_or_default()];
        Duration::from_millis(self.below(longest))
    }
}

/// What happens at a moment.
#[derive(Debug)]
enum Event {
    /// A candidate does its next step.
    Turn(usize, u64),
    /// A write reaches the register.
    Commit(usize, u64, Claim, Option<u64>, Instant, Option<Instant>),
    /// An answer reaches its candidate, or the candidate stops waiting for it.
    Answer(usize, u64, Answer),
}

#[derive(Debug)]
enum Answer {
    Read(Option<(String, u64)>, Instant),
    NoRead(Instant),
    Stored(Claim, u64, Instant),
    NotStored(Instant),
}

struct Candidate {
    name: String,
    election: Election,
    /// Of which life and request an answer may still be; a candidate has one request under way.
    request: u64,
    /// It does nothing until then: stopped, as by SIGSTOP.
    stopped_until: Instant,
    releasing: bool,
}

struct World {
    dice: Dice,
    start: Instant,
    now: Instant,
    agenda: BTreeMap<(Instant, u64), Event>,
    count: u64,
    lease: Option<(String, u64)>,
    version: u64,
    candidates: Vec<Candidate>,
    leaders: u64,
}

impl World {
    fn new(seed: u64, candidates: usize) -> Self {
        let start = Instant::now();
        let candidates = (0..candidates).map(|index| {
            let name = format!("c{index}");
            Candidate {
                election: Election::new(&name, Timing::default(), start),
                name,
                request: 0,
                stopped_until: start,
                releasing: false,
            }
        });
        let mut world = Self {
            dice: Dice(seed | 1),
            start,
            now: start,
            agenda: BTreeMap::new(),
            count: 0,
            lease: None,
            version: 0,
            candidates: candidates.collect(),
            leaders: 0,
        };
        for index in 0..world.candidates.len() {
            let delay = world.dice.delay();
            world.plan(start + delay, Event::Turn(index, 0));
        }
        world
    }

    fn is_faulty(&self) -> bool {
        self.now < self.start + FAULTY
    }

    fn plan(&mut self, at: Instant, event: Event) {
        self.count += 1;
        self.agenda.insert((at, self.count), event);
    }

    fn run(&mut self) -> Result<(), TestCaseError> {
        let end = self.start + FAULTY + SETTLED;
        while let Some(((at, _), event)) = self.agenda.pop_first() {
            if at > end {
                break;
            }
            self.now = at;
            match event {
                Event::Turn(index, request) => self.turn(index, request),
                Event::Commit(index, request, claim, version, sent, answer_at) => {
                    self.commit(index, request, claim, version, sent, answer_at);
                }
                Event::Answer(index, request, answer) => self.answer(index, request, answer),
            }
            self.at_most_one_believes()?;
        }
        self.now = end;
        prop_assert_eq!(self.believers(), 1, "somebody leads when all works again");
        Ok(())
    }

    fn believers(&self) -> usize {
        let believes =
            |one: &&Candidate| matches!(one.election.belief(self.now), Belief::Leader(..));
        self.candidates.iter().filter(believes).count()
    }

    fn at_most_one_believes(&mut self) -> Result<(), TestCaseError> {
        let believers = self.believers();
        self.leaders += u64::from(believers == 1);
        prop_assert!(
            believers <= 1,
            "{} believe after {:?}",
            believers,
            self.now - self.start
        );
        Ok(())
    }

    /// The candidate does its next step, unless it is stopped, which it may be at any moment.
    fn turn(&mut self, index: usize, request: u64) {
        if self.is_faulty() && self.dice.chance(3) {
            let pause = self.dice.delay();
            self.candidates[index].stopped_until = self.now + pause;
        }
        let faulty = self.is_faulty();
        let releases = faulty && self.dice.chance(2);
        let now = self.now;
        let one = &mut self.candidates[index];
        if one.request != request {
            return;
        }
        if one.stopped_until > now {
            let until = one.stopped_until;
            return self.plan(until, Event::Turn(index, request));
        }
        if releases
            && !one.election.is_in_doubt()
            && let Some(Step::Write(claim, version)) = one.election.release()
        {
            one.releasing = true;
            return self.write(index, claim, version.as_deref());
        }
        match one.election.next(now) {
            Step::Wait(until) => self.plan(until, Event::Turn(index, request)),
            Step::Read => self.read(index),
            Step::Write(claim, version) => self.write(index, claim, version.as_deref()),
        }
    }

    /// When a request arrives and when its answer does; `None` for never.
    fn fate(&mut self) -> (Option<Instant>, Option<Instant>) {
        if !self.is_faulty() {
            return (Some(self.now), Some(self.now));
        }
        let arrives = (!self.dice.chance(10)).then(|| self.now + self.dice.delay());
        let answered = arrives
            .filter(|_| !self.dice.chance(10))
            .map(|at| at + self.dice.delay());
        (arrives, answered)
    }

    fn begin(&mut self, index: usize) -> (u64, Instant) {
        let now = self.now;
        let one = &mut self.candidates[index];
        one.request += 1;
        (one.request, now + one.election.patience(now))
    }

    fn read(&mut self, index: usize) {
        let (request, patience) = self.begin(index);
        let sent = self.now;
        // What is read is what there is when the request arrives; here that is now, which is the oldest it can be.
        let (arrives, answered) = self.fate();
        let seen = self.lease.clone();
        let answer = match (arrives, answered) {
            (Some(_), Some(at)) if at <= patience => (at, Answer::Read(seen, sent)),
            _ => (patience, Answer::NoRead(sent)),
        };
        self.plan(answer.0, Event::Answer(index, request, answer.1));
    }

    fn write(&mut self, index: usize, claim: Claim, version: Option<&str>) {
        let (request, patience) = self.begin(index);
        let sent = self.now;
        let version = version.map(|text| text.parse().unwrap_or_default());
        let (arrives, answered) = self.fate();
        if let Some(at) = arrives {
            // It may be stored long after nobody waits for it any more.
            let answered = answered.filter(|at| *at <= patience);
            self.plan(
                at,
                Event::Commit(index, request, claim, version, sent, answered),
            );
        }
        self.plan(
            patience,
            Event::Answer(index, request, Answer::NotStored(sent)),
        );
    }

    fn commit(
        &mut self,
        index: usize,
        request: u64,
        claim: Claim,
        version: Option<u64>,
        sent: Instant,
        answered: Option<Instant>,
    ) {
        let fits = version == self.lease.as_ref().map(|(_, version)| *version);
        if fits {
            self.version += 1;
            let holder = match claim {
                Claim::Release => String::new(),
                Claim::Acquire | Claim::Renew => self.candidates[index].name.clone(),
            };
            self.lease = Some((holder, self.version));
        }
        let Some(at) = answered else { return };
        let answer = if fits {
            Answer::Stored(claim, self.version, sent)
        } else {
            Answer::NotStored(sent)
        };
        self.plan(at, Event::Answer(index, request, answer));
    }

    fn answer(&mut self, index: usize, request: u64, answer: Answer) {
        let now = self.now;
        let one = &mut self.candidates[index];
        if one.request != request {
            return;
        }
        if one.stopped_until > now {
            let until = one.stopped_until;
            return self.plan(until, Event::Answer(index, request, answer));
        }
        one.request += 1;
        match answer {
            Answer::Read(seen, begun) => {
                let record = seen.map(|(holder, version)| Record {
                    holder,
                    duration: Timing::default().duration(),
                    version: version.to_string(),
                });
                one.election.read(record, begun, now);
            }
            Answer::NoRead(begun) => one.election.not_read(begun, now),
            Answer::Stored(claim, version, sent) => {
                one.election.stored(claim, version.to_string(), sent, now);
            }
            Answer::NotStored(sent) => one.election.not_stored(sent, now),
        }
        let request = one.request;
        if std::mem::take(&mut one.releasing) {
            // It ends here, and another one begins in its place.
            one.election = Election::new(&one.name, Timing::default(), now);
        }
        self.plan(now, Event::Turn(index, request));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn belief_ends_before_another_can_begin(seed in any::<u64>(), candidates in 1_usize..=3) {
        let mut world = World::new(seed, candidates);
        world.run()?;
        prop_assert!(world.leaders > 0);
    }
}
