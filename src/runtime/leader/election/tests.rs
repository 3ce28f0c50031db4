//! Each rule of the election by itself.
//!
//! Rule: times are seconds after the start; requests are answered at once unless a test says otherwise.

use super::*;

struct Candidate {
    election: Election,
    start: Instant,
}

fn record(holder: &str, version: &str) -> Record {
    Record {
        holder: holder.to_owned(),
        duration: Duration::from_secs(6),
        version: version.to_owned(),
    }
}

impl Candidate {
    fn new() -> Self {
        let start = Instant::now();
        Self {
            election: Election::new("me", Timing::default(), start),
            start,
        }
    }

    fn at(&self, seconds: f64) -> Instant {
        self.start + Duration::from_secs_f64(seconds)
    }

    fn next(&mut self, seconds: f64) -> Step {
        let now = self.at(seconds);
        self.election.next(now)
    }

    fn read(&mut self, seconds: f64, lease: Option<Record>) {
        let now = self.at(seconds);
        self.election.read(lease, now, now);
    }

    fn stored(&mut self, seconds: f64, version: &str) {
        let now = self.at(seconds);
        self.election
            .stored(Claim::Renew, version.to_owned(), now, now);
    }

    fn leads(&self, seconds: f64) -> bool {
        matches!(self.election.belief(self.at(seconds)), Belief::Leader(..))
    }

    fn term(&self, seconds: f64) -> Option<Term> {
        match self.election.belief(self.at(seconds)) {
            Belief::Leader(term, _) => Some(term),
            _ => None,
        }
    }

    /// A leader since the start.
    fn leader() -> Self {
        let mut one = Self::new();
        one.read(0.0, None);
        one.stored(0.0, "1");
        one
    }
}

fn write(claim: Claim, version: &str) -> Step {
    Step::Write(claim, Some(version.to_owned()))
}

#[test]
fn makes_the_lease_when_there_is_none_and_leads_when_that_is_stored() {
    let mut one = Candidate::new();
    assert_eq!(one.next(0.0), Step::Read);
    one.read(0.0, None);
    assert_eq!(one.next(0.0), Step::Write(Claim::Acquire, None));
    assert!(!one.leads(0.0));
    one.stored(0.0, "1");
    assert!(one.leads(0.0));
    assert_eq!(one.election.holder(), "me");
}

#[test]
fn renews_every_second_and_believes_for_four() {
    let mut one = Candidate::leader();
    assert_eq!(one.next(0.5), Step::Wait(one.at(1.0)));
    assert_eq!(one.next(1.0), write(Claim::Renew, "1"));
    one.stored(1.0, "2");
    assert!(one.leads(4.999));
    assert!(!one.leads(5.0));
    assert_eq!(one.next(2.0), write(Claim::Renew, "2"));
}

#[test]
fn belief_counts_from_the_sending_not_from_the_answer() {
    let mut one = Candidate::leader();
    let (sent, answered) = (one.at(1.0), one.at(2.5));
    one.election
        .stored(Claim::Renew, "2".to_owned(), sent, answered);
    assert!(one.leads(4.999));
    assert!(!one.leads(5.0));
}

#[test]
fn an_answer_that_comes_too_late_makes_no_leader() {
    let mut one = Candidate::new();
    one.read(0.0, None);
    let (sent, answered) = (one.at(0.0), one.at(4.0));
    one.election
        .stored(Claim::Acquire, "1".to_owned(), sent, answered);
    assert!(!one.leads(4.0));
    assert_eq!(one.next(4.0), write(Claim::Renew, "1"));
}

#[test]
fn a_standby_takes_over_when_nothing_has_changed_for_the_holders_duration() {
    let mut one = Candidate::new();
    one.read(0.0, Some(record("other", "1")));
    assert_eq!(one.next(0.5), Step::Wait(one.at(1.0)));
    for second in 1..=5 {
        let now = f64::from(second);
        assert_eq!(one.next(now), Step::Read);
        one.read(now, Some(record("other", "1")));
    }
    assert_eq!(one.next(5.5), Step::Wait(one.at(6.0)));
    assert_eq!(one.next(6.0), write(Claim::Acquire, "1"));
}

#[test]
fn only_a_change_that_was_seen_here_counts_and_any_change_does() {
    let mut one = Candidate::new();
    one.read(0.0, Some(record("other", "1")));
    one.read(5.0, Some(record("other", "2")));
    assert_eq!(one.next(6.0), Step::Read);
    one.read(10.0, Some(record("other", "2")));
    assert_eq!(one.next(10.5), Step::Wait(one.at(11.0)));
    assert_eq!(one.next(11.0), write(Claim::Acquire, "2"));
}

#[test]
fn the_holders_duration_is_respected_and_not_ours() {
    let mut one = Candidate::new();
    let patient = Record {
        duration: Duration::from_secs(15),
        ..record("other", "1")
    };
    one.read(0.0, Some(patient));
    one.election.not_read(one.at(14.5), one.at(14.5));
    assert_eq!(one.next(14.6), Step::Wait(one.at(15.0)));
    assert_eq!(one.next(15.0), write(Claim::Acquire, "1"));
}

#[test]
fn a_lease_that_was_given_back_is_taken_at_once() {
    let mut one = Candidate::new();
    one.read(0.0, Some(record("other", "1")));
    assert_eq!(one.next(0.2), Step::Wait(one.at(1.0)));
    one.election.hinted(one.at(0.2));
    assert_eq!(one.next(0.2), Step::Read);
    one.read(0.2, Some(record("", "2")));
    assert_eq!(one.next(0.2), write(Claim::Acquire, "2"));
}

#[test]
fn an_earlier_life_of_ours_is_over() {
    let mut one = Candidate::new();
    one.read(0.0, Some(record("me", "1")));
    assert!(!one.leads(0.0), "reading alone makes no leader");
    assert_eq!(one.next(0.0), write(Claim::Renew, "1"));
}

#[test]
fn whoever_lost_a_race_looks_and_waits() {
    let mut one = Candidate::new();
    one.read(0.0, None);
    one.election.not_stored(one.at(0.0), one.at(0.0));
    assert_eq!(one.next(0.0), Step::Read);
    one.read(0.0, Some(record("other", "1")));
    assert_eq!(one.next(0.0), Step::Wait(one.at(1.0)));
}

#[test]
fn a_leader_who_sees_another_holder_or_none_stops_at_once() {
    for found in [Some(record("other", "2")), Some(record("", "2")), None] {
        let mut one = Candidate::leader();
        one.election.not_stored(one.at(1.0), one.at(1.0));
        assert!(one.leads(1.0), "a conflict alone may be anybody's label");
        assert_eq!(one.next(1.0), Step::Read);
        one.read(1.0, found);
        assert!(!one.leads(1.0));
    }
}

#[test]
fn a_leader_goes_on_when_the_lease_was_changed_but_not_taken() {
    let mut one = Candidate::leader();
    let term = one.term(0.5);
    one.election.not_stored(one.at(1.0), one.at(1.0));
    one.read(1.0, Some(record("me", "5")));
    assert_eq!(one.next(1.5), Step::Wait(one.at(2.0)));
    assert_eq!(one.next(2.0), write(Claim::Renew, "5"));
    one.stored(2.0, "6");
    assert_eq!(one.term(5.9), term);
}

#[test]
fn a_gap_makes_another_term() {
    let mut one = Candidate::leader();
    let first = one.term(0.0).unwrap();
    assert_eq!(one.next(4.5), write(Claim::Renew, "1"));
    assert!(!one.leads(4.5));
    one.stored(4.5, "2");
    let second = one.term(4.5).unwrap();
    assert!(second > first);
}

#[test]
fn no_request_outlasts_the_belief_that_it_serves() {
    let mut one = Candidate::leader();
    let (second, half) = (Duration::from_secs(1), Duration::from_millis(500));
    assert_eq!(one.next(1.0), write(Claim::Renew, "1"));
    assert_eq!(one.election.patience(one.at(1.0)), second * 2);
    one.election.not_stored(one.at(1.0), one.at(3.0));
    assert_eq!(one.next(3.0), Step::Read);
    assert_eq!(one.election.patience(one.at(3.0)), second);
    assert_eq!(one.election.patience(one.at(3.5)), half);
    one.election.not_read(one.at(3.0), one.at(4.0));
    assert!(!one.leads(4.0));
    assert_eq!(one.next(4.0), Step::Read);
    assert_eq!(one.election.patience(one.at(4.0)), second * 2);
}

#[test]
fn an_api_server_that_fails_at_once_is_asked_once_a_second() {
    let mut one = Candidate::new();
    let mut requests = 0;
    for tenth in 0..100 {
        let seconds = f64::from(tenth) / 10.0;
        while one.next(seconds) == Step::Read {
            requests += 1;
            let now = one.at(seconds);
            one.election.not_read(now, now);
        }
    }
    assert_eq!(requests, 10);
}

#[test]
fn a_lease_that_somebody_changes_all_the_time_is_written_once_a_second() {
    let mut one = Candidate::leader();
    let (mut writes, mut reads) = (0, 0);
    for tenth in 10..110 {
        let seconds = f64::from(tenth) / 10.0;
        let now = one.at(seconds);
        loop {
            match one.next(seconds) {
                Step::Write(..) => {
                    writes += 1;
                    one.election.not_stored(now, now);
                }
                Step::Read => {
                    reads += 1;
                    one.read(seconds, Some(record("me", &format!("x{tenth}"))));
                }
                Step::Wait(until) => {
                    assert!(until > now);
                    break;
                }
            }
        }
    }
    assert!(
        writes <= 10 && reads <= 21,
        "{writes} writes, {reads} reads"
    );
}

#[test]
fn only_what_is_ours_is_given_back() {
    let mut one = Candidate::leader();
    assert_eq!(one.election.release(), Some(write(Claim::Release, "1")));
    assert!(!one.leads(0.0), "belief ends before the Lease is free");
    one.election
        .stored(Claim::Release, "2".to_owned(), one.at(0.1), one.at(0.1));
    assert!(!one.leads(0.1));
    assert_eq!(one.election.holder(), "");

    let mut standby = Candidate::new();
    assert_eq!(standby.election.release(), None);
    standby.read(0.0, Some(record("other", "1")));
    assert_eq!(standby.election.release(), None);
}

/// What may become of a request.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Works,
    NeverArrives,
    AnswerLost,
    Refused,
    SlowAnswer,
}

/// Every sequence of fates of the first seven requests of a lone candidate: it never believes longer than the Lease
/// protects it, it always comes to lead when requests work again, and never asks in a busy loop.
#[test]
fn every_sequence_of_seven_fates() {
    use Fate::{AnswerLost, NeverArrives, Refused, SlowAnswer, Works};
    let fates = [Works, NeverArrives, AnswerLost, Refused, SlowAnswer];
    let mut runs = 0;
    for mut number in 0..fates.len().pow(7) {
        let mut sequence = Vec::new();
        for _ in 0..7 {
            sequence.push(fates[number % fates.len()]);
            number /= fates.len();
        }
        lone_run(&sequence);
        runs += 1;
    }
    assert_eq!(runs, 78_125);
}

fn lone_run(fates: &[Fate]) {
    let mut one = Candidate::new();
    let mut now = one.start;
    // The Lease as the API server has it, and when it was last written.
    let mut lease: Option<Record> = None;
    let mut written = now;
    let mut versions = 0;
    let mut requests = 0;
    while now < one.at(60.0) {
        let step = one.election.next(now);
        if let Belief::Leader(_, until) = one.election.belief(now) {
            assert!(until < written + Duration::from_secs(6), "{fates:?}");
        }
        let fate = fates.get(requests).copied().unwrap_or(Fate::Works);
        let patience = one.election.patience(now);
        let (sent, late) = (now, now + patience);
        match step {
            Step::Wait(until) => {
                assert!(until > now, "{fates:?}");
                now = until;
                continue;
            }
            Step::Read => match fate {
                Fate::Works => one.election.read(lease.clone(), sent, now),
                Fate::SlowAnswer => {
                    now += patience.mul_f64(0.9);
                    one.election.read(lease.clone(), sent, now);
                }
                Fate::Refused => one.election.not_read(sent, now),
                Fate::NeverArrives | Fate::AnswerLost => {
                    now = late;
                    one.election.not_read(sent, now);
                }
            },
            Step::Write(claim, version) => {
                let fits = version == lease.as_ref().map(|lease| lease.version.clone());
                if fits && !matches!(fate, Fate::NeverArrives | Fate::Refused) {
                    versions += 1;
                    lease = Some(record("me", &versions.to_string()));
                    written = now;
                }
                match fate {
                    Fate::Works if fits => {
                        one.election.stored(claim, versions.to_string(), sent, now);
                    }
                    Fate::SlowAnswer if fits => {
                        now += patience.mul_f64(0.9);
                        one.election.stored(claim, versions.to_string(), sent, now);
                    }
                    Fate::NeverArrives | Fate::AnswerLost => {
                        now = late;
                        one.election.not_stored(sent, now);
                    }
                    _ => one.election.not_stored(sent, now),
                }
            }
        }
        requests += 1;
    }
    assert!(one.leads(60.0) || one.leads(59.0), "{fates:?}");
    assert!(requests < 75, "{fates:?}: {requests} requests in a minute");
}
