//! What was seen of a history, on either side; and what it shows.
//!
//! Rule: what a history covers is read from here, never from what was intended.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::compare::{compared, compared_of};
use super::history::{Action, Child, History, Kind, ROOT, Step};

/// What happens to a child, in order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// A worker has started.
    Start(String),
    /// A worker or a supervisor has failed to start.
    Failed(String),
    /// A worker was told to stop, and did.
    Stopped(String),
    /// A supervisor has ended by itself, and its parent takes note of that.
    Exited(String, End),
    /// What happened to a worker last was asked for at the same moment as what happened before. OTP never does that.
    Together(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    GaveUp,
    AutoShutdown,
}

/// What followed one step; the first is the start of the tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Followed {
    /// It could not be.
    pub(super) skipped: bool,
    /// Several supervisors found deaths of one instant, and none of them stopped another: in which order they act is chance.
    pub(super) several: bool,
    /// It is one of the differences from OTP, which the oracle names by its number: from here on nothing is compared.
    pub(super) excluded: bool,
    pub(super) events: Vec<Event>,
    /// Who is up in the end; nobody when the root is not.
    pub(super) up: BTreeSet<String>,
}

/// What followed each step, up to the end of the root.
pub(super) type Trace = Vec<Followed>;

/// What histories show, each counted once per history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Coverage {
    pub(super) histories: usize,
    pub(super) give_up: usize,
    /// A supervisor gave up, and its parent as well, in one step.
    pub(super) escalation: usize,
    pub(super) failed_restart: usize,
    pub(super) auto_shutdown: usize,
    pub(super) edit: usize,
    /// Several ended in one instant.
    pub(super) together: usize,
    /// The comparison ended early at one of the differences from OTP.
    pub(super) ended: usize,
    /// The steps and the events that are compared.
    pub(super) steps: usize,
    pub(super) events: usize,
    /// The steps and the events that OTP told of.
    pub(super) all_steps: usize,
    pub(super) all_events: usize,
}

impl Event {
    /// Whom it happens to.
    pub(super) fn subject(&self) -> &str {
        match self {
            Self::Start(name)
            | Self::Failed(name)
            | Self::Stopped(name)
            | Self::Exited(name, _)
            | Self::Together(name) => name,
        }
    }
}

impl Coverage {
    /// Counts what the trace of a history shows, as far as it is compared.
    pub(super) fn add(&mut self, history: &History, all: &Trace) {
        let compared: Trace = (0..compared(history, all))
            .map(|number| {
                let events = compared_of(history, number, all, &all[number].events);
                Followed {
                    events: events.into_iter().flatten().cloned().collect(),
                    ..all[number].clone()
                }
            })
            .collect();
        self.all_steps += all.iter().skip(1).filter(|f| !f.skipped).count();
        self.all_events += all.iter().map(|f| f.events.len()).sum::<usize>();
        self.ended += usize::from(compared.len() < all.len());
        self.add_compared(history, &compared);
    }

    fn add_compared(&mut self, history: &History, trace: &Trace) {
        let parents = parents(history);
        let events = || trace.iter().flat_map(|followed| &followed.events);
        let ends = |wanted| events().any(|e| matches!(e, Event::Exited(_, end) if *end == wanted));
        let gave_up = |followed: &Followed, name: &str| {
            let exited = Event::Exited(name.to_owned(), End::GaveUp);
            followed.events.contains(&exited)
        };
        let escalated = trace.iter().any(|followed| {
            parents
                .iter()
                .any(|(child, parent)| gave_up(followed, child) && gave_up(followed, parent))
        });
        let done = || {
            trace
                .iter()
                .skip(1)
                .zip(&history.steps)
                .filter(|(f, _)| !f.skipped)
        };
        let restarts = trace.iter().skip(1).flat_map(|followed| &followed.events);
        let failed = restarts.clone().any(|e| matches!(e, Event::Failed(_)));
        let several =
            |step: &Step| matches!(&step.action, Action::Exit(deaths) if deaths.len() > 1);
        self.histories += 1;
        self.give_up += usize::from(ends(End::GaveUp));
        self.escalation += usize::from(escalated);
        self.failed_restart += usize::from(failed);
        self.auto_shutdown += usize::from(ends(End::AutoShutdown));
        self.edit += usize::from(done().any(|(_, step)| step.action.is_edit()));
        self.together += usize::from(done().any(|(_, step)| several(step)));
        self.steps += done().count();
        self.events += events().count();
    }

    /// Whether of four steps, and of four events, at least three are compared.
    pub(super) fn compares_most(&self) -> bool {
        self.steps * 4 >= self.all_steps * 3 && self.events * 4 >= self.all_events * 3
    }

    /// What must be in a tenth of all histories and is not.
    pub(super) fn lacks(&self) -> Vec<&'static str> {
        let counted = [
            ("give-up", self.give_up),
            ("escalation through two levels", self.escalation),
            ("failed restart", self.failed_restart),
            ("auto-shutdown", self.auto_shutdown),
            ("edit", self.edit),
        ];
        let few = |count: usize| count * 10 < self.histories;
        let lacking = counted.into_iter().filter(|(_, count)| few(*count));
        lacking.map(|(what, _)| what).collect()
    }
}

/// Each node below the root with the supervisor above it.
pub(super) fn parents(history: &History) -> BTreeMap<String, String> {
    let mut parents = BTreeMap::new();
    let mut note = |parent: &str, child: &Child| {
        parents.insert(child.name.clone(), parent.to_owned());
    };
    history.tree.walk(ROOT, &mut note);
    for step in &history.steps {
        if let Action::Add { parent, child } = &step.action {
            note(parent, child);
            if let Kind::Supervisor(below) = &child.kind {
                below.walk(&child.name, &mut note);
            }
        }
    }
    parents
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |count: usize| {
            let percent = count * 1000 / self.histories.max(1);
            format!("{count} ({}.{} %)", percent / 10, percent % 10)
        };
        write!(
            f,
            "{} histories, {} of {} steps and {} of {} events compared; with a give-up {}, an escalation through two levels {}, a failed restart {}, \
             an auto-shutdown {}, an edit {}, deaths of one instant {}; compared up to a difference that is meant {}",
            self.histories,
            self.steps,
            self.all_steps,
            self.events,
            self.all_events,
            share(self.give_up),
            share(self.escalation),
            share(self.failed_restart),
            share(self.auto_shutdown),
            share(self.edit),
            share(self.together),
            share(self.ended),
        )
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(name) => write!(f, "start {name}"),
            Self::Failed(name) => write!(f, "failed {name}"),
            Self::Stopped(name) => write!(f, "stopped {name}"),
            Self::Exited(name, End::GaveUp) => write!(f, "exited {name} (gave up)"),
            Self::Exited(name, End::AutoShutdown) => write!(f, "exited {name} (auto-shutdown)"),
            Self::Together(name) => write!(f, "{name} and the one before it at once"),
        }
    }
}
