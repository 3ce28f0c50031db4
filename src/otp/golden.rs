//! Traces that are known of Erlang/OTP: that the oracle is one, and that we go with it there.
//!
//! Rule: what is expected here was seen on OTP 25 by other means than this oracle.

mod groups;
mod levels;

use super::compare::{difference, side_by_side};
use super::engine;
use super::history::{
    Action, AutoShutdown, Child, Flags, History, Kind, ROOT, Reason, Restart, Step, Strategy,
    Supervisor,
};
use super::oracle::Oracle;
use super::trace::{Event, Followed};

/// A history, and what must follow each of its steps, the first start included; and who is up in the end.
struct Golden {
    name: &'static str,
    tree: Supervisor,
    steps: Vec<(u32, Action)>,
    events: Vec<&'static str>,
    up: &'static str,
}

#[test]
fn the_oracle_does_what_is_known_of_otp_and_so_do_we() {
    let goldens = goldens();
    let histories = histories();
    let traces = Oracle::start().run(&histories);
    for ((golden, history), trace) in goldens.iter().zip(&histories).zip(traces) {
        let name = golden.name;
        let trace = trace.unwrap_or_else(|why| panic!("{name}: {why:?}"));
        let events: Vec<String> = trace.iter().map(in_words).collect();
        assert_eq!(events, golden.events, "{name}\n{history}");
        let up: Vec<&str> = trace
            .last()
            .into_iter()
            .flat_map(|f| &f.up)
            .map(String::as_str)
            .collect();
        assert_eq!(up.join(" "), golden.up, "{name}\n{history}");
        let ours = engine::run(history, &trace, crate::model::decide)
            .unwrap_or_else(|why| panic!("{name}: {why}"));
        let differs = difference(history, &trace, &ours);
        assert_eq!(
            differs,
            None,
            "{name}\n{}",
            side_by_side(history, &trace, &ours)
        );
    }
}

/// The histories of which it is known how they go in OTP.
pub(super) fn histories() -> Vec<History> {
    goldens().iter().map(Golden::history).collect()
}

fn in_words(followed: &Followed) -> String {
    let events: Vec<String> = followed.events.iter().map(Event::to_string).collect();
    events.join(", ")
}

impl Golden {
    fn history(&self) -> History {
        let step = |(second, action): &(u32, Action)| Step {
            second: *second,
            action: action.clone(),
        };
        History {
            seed: 0,
            tree: self.tree.clone(),
            steps: self.steps.iter().map(step).collect(),
        }
    }
}

fn goldens() -> Vec<Golden> {
    let mut all = groups::strategies();
    all.extend(groups::starts());
    all.extend(levels::levels());
    all.extend(levels::ends());
    all.extend(levels::windows());
    all
}

fn supervisor(strategy: Strategy, intensity: u32, period: u32, children: Vec<Child>) -> Supervisor {
    let flags = Flags {
        strategy,
        intensity,
        period,
        auto_shutdown: AutoShutdown::Never,
    };
    Supervisor { flags, children }
}

impl Supervisor {
    fn shutting_down(mut self, auto_shutdown: AutoShutdown) -> Self {
        self.flags.auto_shutdown = auto_shutdown;
        self
    }

    fn named(self, name: &str) -> Child {
        Child {
            kind: Kind::Supervisor(self),
            ..worker(name)
        }
    }
}

fn worker(name: &str) -> Child {
    Child {
        name: name.to_owned(),
        restart: Restart::Permanent,
        significant: false,
        enabled: true,
        kind: Kind::Worker(Vec::new()),
    }
}

impl Child {
    fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    fn significant(mut self) -> Self {
        self.restart = Restart::Transient;
        self.significant = true;
        self
    }

    fn script(mut self, script: &[bool]) -> Self {
        self.kind = Kind::Worker(script.to_vec());
        self
    }
}

fn workers(names: &str) -> Vec<Child> {
    names.split(' ').map(worker).collect()
}

fn exit(name: &str, reason: Reason) -> Action {
    Action::Exit(vec![(name.to_owned(), reason)])
}

fn crash(name: &str) -> Action {
    exit(name, Reason::Error)
}

fn together(names: &str) -> Action {
    let deaths = names
        .split(' ')
        .map(|name| (name.to_owned(), Reason::Error));
    Action::Exit(deaths.collect())
}

fn stop(child: &str) -> Action {
    Action::Stop {
        parent: ROOT.to_owned(),
        child: child.to_owned(),
    }
}

fn start(child: &str) -> Action {
    Action::Start {
        parent: ROOT.to_owned(),
        child: child.to_owned(),
    }
}

/// All in one second.
fn at_once(actions: Vec<Action>) -> Vec<(u32, Action)> {
    actions.into_iter().map(|action| (0, action)).collect()
}
