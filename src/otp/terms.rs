//! Histories as Erlang terms, for `oracle.erl`.
//!
//! Rule: names are atoms, so they come from a small set: `root`, `s1`, `w1`, …

use std::fmt::Write;

use super::history::{
    Action, AutoShutdown, Child, Flags, History, Kind, ROOT, Reason, Restart, Step, Strategy,
    Supervisor,
};

/// The term of a history that is known by that number, with the dot that ends it.
pub(super) fn history(number: usize, history: &History) -> String {
    let (tree, scripts) = tree(ROOT, &history.tree);
    let steps = list(&history.steps, step);
    format!("{{history,{number},{tree},{scripts},{steps}}}.\n")
}

/// `[{Name, Flags, Children}]` of a supervisor and those below it, and `[{Worker, Results}]`.
fn tree(name: &str, supervisor: &Supervisor) -> (String, String) {
    let (mut specs, mut scripts) = (Vec::new(), Vec::new());
    gather(name, supervisor, &mut specs, &mut scripts);
    (
        format!("[{}]", specs.join(",")),
        format!("[{}]", scripts.join(",")),
    )
}

fn gather(name: &str, supervisor: &Supervisor, specs: &mut Vec<String>, scripts: &mut Vec<String>) {
    let children = list(&supervisor.children, child);
    specs.push(format!(
        "{{{name},{},{children}}}",
        flags(&supervisor.flags)
    ));
    for child in &supervisor.children {
        match &child.kind {
            Kind::Supervisor(below) => gather(&child.name, below, specs, scripts),
            Kind::Worker(script) => scripts.push(results(&child.name, script)),
        }
    }
}

fn results(name: &str, script: &[bool]) -> String {
    let result = |succeeds: &bool| if *succeeds { "ok" } else { "error" }.to_owned();
    format!("{{{name},{}}}", list(script, result))
}

fn child(child: &Child) -> String {
    let kind = match child.kind {
        Kind::Worker(_) => "worker",
        Kind::Supervisor(_) => "supervisor",
    };
    let state = if child.enabled { "enabled" } else { "disabled" };
    let Child {
        name, significant, ..
    } = child;
    format!(
        "{{{name},{kind},{},{significant},{state}}}",
        restart(child.restart)
    )
}

fn flags(flags: &Flags) -> String {
    let strategy = match flags.strategy {
        Strategy::OneForOne => "one_for_one",
        Strategy::OneForAll => "one_for_all",
        Strategy::RestForOne => "rest_for_one",
    };
    let auto_shutdown = match flags.auto_shutdown {
        AutoShutdown::Never => "never",
        AutoShutdown::AnySignificant => "any_significant",
        AutoShutdown::AllSignificant => "all_significant",
    };
    format!(
        "{{{strategy},{},{},{auto_shutdown}}}",
        flags.intensity, flags.period
    )
}

fn restart(restart: Restart) -> &'static str {
    match restart {
        Restart::Permanent => "permanent",
        Restart::Transient => "transient",
        Restart::Temporary => "temporary",
    }
}

fn step(step: &Step) -> String {
    format!("{{{},{}}}", step.second, action(&step.action))
}

fn action(action: &Action) -> String {
    match action {
        Action::Exit(deaths) => {
            let death = |(name, reason): &(String, Reason)| format!("{{{name},{}}}", exit(*reason));
            format!("{{exit,{}}}", list(deaths, death))
        }
        Action::Stop { parent, child } => format!("{{stop,{parent},{child}}}"),
        Action::Start { parent, child } => format!("{{start,{parent},{child}}}"),
        Action::Add {
            parent,
            child: added,
        } => {
            let (below, scripts) = match &added.kind {
                Kind::Supervisor(below) => tree(&added.name, below),
                Kind::Worker(script) => (
                    "[]".to_owned(),
                    format!("[{}]", results(&added.name, script)),
                ),
            };
            format!("{{add,{parent},{},{below},{scripts}}}", child(added))
        }
        Action::Remove { parent, child } => format!("{{remove,{parent},{child}}}"),
        Action::Flags {
            supervisor,
            flags: new,
        } => format!("{{flags,{supervisor},{}}}", flags(new)),
        Action::Judge {
            parent,
            child,
            restart: new,
            significant,
        } => format!("{{child,{parent},{child},{},{significant}}}", restart(*new)),
        Action::Order { parent, names } => {
            format!("{{order,{parent},{}}}", list(names, String::clone))
        }
    }
}

fn exit(reason: Reason) -> &'static str {
    match reason {
        Reason::Normal => "normal",
        Reason::Shutdown => "shutdown",
        Reason::ShutdownWith => "{shutdown,x}",
        Reason::Error => "error",
        Reason::Killed => "killed",
    }
}

fn list<T>(things: &[T], term: impl Fn(&T) -> String) -> String {
    let mut text = String::from("[");
    for (index, thing) in things.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(text, "{comma}{}", term(thing)).expect("a string takes all");
    }
    text + "]"
}
