//! The test itself: as many histories as wanted, on both sides.
//!
//! Rule: a history that cannot be run is a failure, and so is a kind of history that is rare.

use std::env;
use std::ops::Range;
use std::sync::LazyLock;

use crate::model::decide;
use crate::model::lab::Decide;

use super::compare::{difference, side_by_side};
use super::engine;
use super::golden;
use super::history::History;
use super::mistakes::MISTAKES;
use super::oracle::{NoTrace, Oracle};
use super::shrink::shrink;
use super::trace::{Coverage, Trace};

/// How many histories run in one VM at a time.
const BATCH: u64 = 10_000;
/// How often what went differently is run again, without the many beside it: Erlang's clock is real, and on a busy machine
/// an event may come a second late. The engine's is not, so that a difference between the two stays.
const REPEATS: usize = 2;
/// Of how many failures the smallest history is looked for.
const SHOWN: usize = 8;

/// How many of the planted mistakes the random histories find at least, without those that were written down.
const DRAWN: usize = 14;

/// A history that ran on both sides.
struct Ran {
    history: History,
    otp: Result<Trace, NoTrace>,
    fails: bool,
}

/// The first histories, for all tests that need some.
static FIRST: LazyLock<Vec<Ran>> = LazyLock::new(|| run(&mut Oracle::start(), 0..2000));

fn run(oracle: &mut Oracle, seeds: Range<u64>) -> Vec<Ran> {
    let mut all = run_once(oracle, seeds.map(History::of).collect());
    for _ in 0..REPEATS {
        let (again, sound): (Vec<Ran>, Vec<Ran>) = all
            .into_iter()
            .partition(|ran| ran.fails || ran.otp.is_err());
        if again.is_empty() {
            return sound;
        }
        let again: Vec<History> = again.into_iter().map(|ran| ran.history).collect();
        let seeds: Vec<u64> = again.iter().map(|history| history.seed).collect();
        println!("run again: {seeds:?}");
        all = sound;
        all.extend(run_once(oracle, again));
    }
    all
}

fn run_once(oracle: &mut Oracle, histories: Vec<History>) -> Vec<Ran> {
    let traces = oracle.run(&histories);
    let pairs = histories.into_iter().zip(traces);
    let ran = pairs.map(|(history, otp)| Ran {
        fails: fails(&history, &otp, decide),
        history,
        otp,
    });
    ran.collect()
}

/// `OTP_SEEDS=20000..120000` says which others.
#[test]
fn histories_go_as_in_otp() {
    let mut tally = Tally::default();
    match env::var("OTP_SEEDS") {
        Err(_) => tally.add(&FIRST),
        Ok(seeds) => {
            let (first, last) = seeds.split_once("..").expect("two seeds, as in 0..2000");
            let (first, last): (u64, u64) = (first.parse().unwrap(), last.parse().unwrap());
            let mut oracle = Oracle::start();
            for begin in (first..last).step_by(usize::try_from(BATCH).unwrap()) {
                tally.add(&run(&mut oracle, begin..last.min(begin + BATCH)));
            }
        }
    }
    tally.judge();
}

#[test]
fn planted_mistakes_are_found() {
    // Some take several edits in an order that is hardly ever drawn.
    let known = run_once(&mut Oracle::start(), golden::histories());
    let (mut drawn, mut missed) = (0, Vec::new());
    for (name, wrong) in MISTAKES {
        let find = |all: &'_ [Ran]| {
            let mut sound = all.iter().filter(|ran| !ran.fails);
            let found = sound.find(|ran| differs(&ran.history, &ran.otp, wrong));
            found.map(|ran| ran.history.clone())
        };
        let by_chance = find(&FIRST);
        drawn += usize::from(by_chance.is_some());
        match by_chance.or_else(|| find(&known)) {
            Some(found) => println!("{name}: found by {found}"),
            None => missed.push(name),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
    let all = MISTAKES.len();
    println!("{drawn} of {all} planted mistakes are found by random histories alone");
    assert!(drawn >= DRAWN, "only {drawn} are found by random histories");
}

/// What has come of histories.
#[derive(Default)]
struct Tally {
    coverage: Coverage,
    failed: Vec<History>,
    unrun: usize,
}

impl Tally {
    fn add(&mut self, all: &[Ran]) {
        for ran in all {
            match &ran.otp {
                Ok(trace) => self.coverage.add(&ran.history, trace),
                Err(_) => self.unrun += 1,
            }
        }
        let failed = all.iter().filter(|ran| ran.fails);
        self.failed.extend(failed.map(|ran| ran.history.clone()));
        println!(
            "{}; {} differ, {} not run",
            self.coverage,
            self.failed.len(),
            self.unrun
        );
    }

    /// Fails unless all is as in OTP, with the smallest histories that are like the first ones that are not.
    fn judge(&self) {
        let seeds: Vec<u64> = self.failed.iter().map(|history| history.seed).collect();
        let shown = &self.failed[..SHOWN.min(self.failed.len())];
        assert!(
            seeds.is_empty(),
            "{} histories go differently; seeds {:?}\n\n{}",
            seeds.len(),
            &seeds[..seeds.len().min(50)],
            explain(shown).join("\n")
        );
        let unrun = self.unrun;
        assert_eq!(
            unrun, 0,
            "histories were not run: this machine is too busy for real time"
        );
        let few = self.coverage.lacks();
        assert!(few.is_empty(), "in less than a tenth: {}", few.join(", "));
        assert!(self.coverage.compares_most(), "{}", self.coverage);
    }
}

/// Whether a history goes differently, or cannot be run.
fn fails(history: &History, otp: &Result<Trace, NoTrace>, decide: Decide) -> bool {
    match otp
        .as_ref()
        .map(|otp| (otp, engine::run(history, otp, decide)))
    {
        Ok((otp, Ok(ours))) => difference(history, otp, &ours).is_some(),
        Ok((_, Err(_))) | Err(NoTrace::Hung | NoTrace::Broken(_)) => true,
        Err(NoTrace::TooBusy) => false,
    }
}

/// Whether a history ran on both sides, and went differently.
fn differs(history: &History, otp: &Result<Trace, NoTrace>, decide: Decide) -> bool {
    otp.as_ref().is_ok_and(|otp| {
        let ours = engine::run(history, otp, decide);
        ours.is_ok_and(|ours| difference(history, otp, &ours).is_some())
    })
}

/// The smallest histories that fail like those, and how they go on both sides.
fn explain(histories: &[History]) -> Vec<String> {
    let mut oracle = Oracle::start();
    let smallest = shrink(histories, |smaller| {
        let traces = oracle.run(smaller);
        let pairs = smaller.iter().zip(&traces);
        pairs
            .map(|(history, trace)| fails(history, trace, decide))
            .collect()
    });
    let traces = oracle.run(&smallest);
    let pairs = smallest.iter().zip(traces);
    pairs
        .map(|(history, trace)| explain_one(history, trace))
        .collect()
}

fn explain_one(history: &History, otp: Result<Trace, NoTrace>) -> String {
    match otp.map(|otp| (engine::run(history, &otp, decide), otp)) {
        Ok((Ok(ours), otp)) => side_by_side(history, &otp, &ours),
        Ok((Err(why), otp)) => format!("OURS: {why}\n{}", side_by_side(history, &otp, &Vec::new())),
        Err(why) => format!("OTP: {why:?}\n{history}"),
    }
}
