//! The simulation at work.
//!
//! Rule: what fails prints all that is needed to see it again: scenario, plan or seed, and the timeline.

use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use super::plan::Plan;
use super::run::Outcome;
use super::scenario::Scenario;
use super::scenarios;

mod crashes;
mod news;
mod planted;
mod seeds;

/// Seconds for what goes wrong, on top of what a scenario takes.
const EXTRA: u64 = 60;

/// The share of its plans that a scenario about strategies is run with, where there are very many.
const ONE_IN: usize = 10;

/// After how many runs a line is printed.
const PROGRESS: usize = 5000;

/// One run that is to be made, and the state that it must end in.
struct Job<'a> {
    scenario: &'a Scenario,
    plan: Plan,
    state: &'a str,
}

impl Job<'_> {
    /// Runs it and says what is wrong, with everything that helps.
    fn check(&self) -> Result<(), String> {
        let outcome = self.scenario.run(&self.plan, EXTRA);
        let mut wrong = outcome.wrong.clone();
        if outcome.state != self.state {
            wrong.push(format!(
                "it does not end as the undisturbed run does, which ends so:\n{}",
                self.state
            ));
        }
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(explain(self.scenario, &self.plan, EXTRA, &wrong))
        }
    }
}

/// Everything that helps: it is run once more, to be told.
fn explain(scenario: &Scenario, plan: &Plan, extra: u64, wrong: &[String]) -> String {
    let outcome = scenario.tell(plan, extra);
    format!(
        "scenario {}\n{plan}\n\n{}\nin the end:\n{}\n{}",
        scenario.name,
        outcome.timeline,
        outcome.state,
        wrong.join("\n")
    )
}

/// Checks all of them on all processors, and fails with the first that is wrong. With `SIM_REPORTS`, a folder, it goes on
/// to the end and leaves a report of each that is wrong there.
fn check_all<T: Sync>(what: &str, jobs: &[T], check: impl Fn(&T) -> Result<(), String> + Sync) {
    let reports = std::env::var_os("SIM_REPORTS").map(std::path::PathBuf::from);
    let next = AtomicUsize::new(0);
    let wrong: Mutex<Vec<(usize, String)>> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(number) else {
                        return;
                    };
                    if number > 0 && number.is_multiple_of(PROGRESS) {
                        say(&format!("{what}: {number} of {}", jobs.len()));
                    }
                    let Err(why) = check(job) else {
                        continue;
                    };
                    match &reports {
                        Some(folder) => {
                            let file = folder.join(format!("{}-{number}", &what[..5]));
                            std::fs::write(file, &why).expect("reports can be written");
                        }
                        None => next.store(jobs.len(), Ordering::Relaxed),
                    }
                    wrong.lock().expect("no check panics").push((number, why));
                }
            });
        }
    });
    let mut wrong = wrong.into_inner().expect("no check panics");
    wrong.sort();
    say(&format!(
        "{what}: {} runs, {} wrong",
        jobs.len(),
        wrong.len()
    ));
    if let Some((_, why)) = wrong.first() {
        panic!("{why}");
    }
}

/// Prints a line although the test passes.
fn say(line: &str) {
    // A reader that went away is no reason to stop testing.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Every scenario with the outcome of its undisturbed run, which is had once for all tests.
fn references() -> &'static [(Scenario, Outcome)] {
    static REFERENCES: LazyLock<Vec<(Scenario, Outcome)>> = LazyLock::new(|| {
        let undisturbed = |scenario: Scenario| {
            let plan = Plan::default();
            let outcome = scenario.run(&plan, EXTRA);
            assert!(
                outcome.wrong.is_empty(),
                "{}",
                explain(&scenario, &plan, EXTRA, &outcome.wrong)
            );
            (scenario, outcome)
        };
        asked().into_iter().map(undisturbed).collect()
    });
    &REFERENCES
}

/// All scenarios, or with `SIM_SCENARIOS`, the beginning of a name, those whose names begin so.
fn asked() -> Vec<Scenario> {
    let prefix = std::env::var("SIM_SCENARIOS").unwrap_or_default();
    let mut all = scenarios::all();
    all.retain(|scenario| scenario.name.starts_with(&prefix));
    all
}

/// Runs every scenario with each of the plans that are made from its undisturbed run.
fn check_every(what: &str, plans: impl Fn(&Outcome) -> Vec<Plan>) {
    check_one_in(1, what, plans);
}

/// Runs every plain scenario with each of the plans, and the many about strategies with one in ten, each with others.
fn check_most(what: &str, plans: impl Fn(&Outcome) -> Vec<Plan>) {
    check_one_in(ONE_IN, what, plans);
}

fn check_one_in(share: usize, what: &str, plans: impl Fn(&Outcome) -> Vec<Plan>) {
    let plain = scenarios::plain().len();
    let mut jobs = Vec::new();
    for (number, (scenario, reference)) in references().iter().enumerate() {
        let share = if number < plain { 1 } else { share };
        let plans = plans(reference).into_iter();
        let state = &reference.state;
        jobs.extend(plans.skip(number % share).step_by(share).map(|plan| Job {
            scenario,
            plan,
            state,
        }));
    }
    check_all(what, &jobs, Job::check);
}

#[test]
fn every_scenario_keeps_every_promise() {
    let count = scenarios::all().len();
    assert!(count >= 120, "there are {count} scenarios");
    let all = asked();
    check_all("scenarios", &all, |scenario| {
        let plan = Plan {
            away: Duration::from_millis(300),
            ..Plan::default()
        };
        let outcome = scenario.run(&plan, 0);
        if outcome.wrong.is_empty() {
            Ok(())
        } else {
            Err(explain(scenario, &plan, 0, &outcome.wrong))
        }
    });
}

#[test]
fn a_scenario_is_the_same_every_time() {
    let scenario = scenarios::named("heal_exits_of_all");
    let plan = Plan::blow(12, super::plan::Blow::CrashAfter);
    assert_eq!(
        scenario.tell(&plan, EXTRA).timeline,
        scenario.tell(&plan, EXTRA).timeline
    );
}
