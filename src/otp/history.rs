//! What a history is: a tree, and what befalls it, step by step.
//!
//! Rule: it holds nothing of either side; both are told the same.

use std::fmt;

/// Which children restart with one that died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strategy {
    OneForOne,
    OneForAll,
    RestForOne,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AutoShutdown {
    Never,
    AnySignificant,
    AllSignificant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Restart {
    Permanent,
    Transient,
    Temporary,
}

/// Why a child ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Normal,
    Shutdown,
    /// `{shutdown, x}`.
    ShutdownWith,
    Error,
    Killed,
}

/// The flags of a supervisor; the period is in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flags {
    pub(super) strategy: Strategy,
    pub(super) intensity: u32,
    pub(super) period: u32,
    pub(super) auto_shutdown: AutoShutdown,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Supervisor {
    pub(super) flags: Flags,
    /// In start order.
    pub(super) children: Vec<Child>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Child {
    /// Unique in the history, also after it is gone.
    pub(super) name: String,
    pub(super) restart: Restart,
    pub(super) significant: bool,
    pub(super) enabled: bool,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Whether each start succeeds, by its number; those beyond do. Starts that a step asks for are not numbered, and succeed.
    Worker(Vec<bool>),
    Supervisor(Supervisor),
}

/// What happens. A step that cannot be (who is to end is not up, a supervisor to be edited is not up) is skipped on both
/// sides; OTP says which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// These workers end by themselves in one instant.
    Exit(Vec<(String, Reason)>),
    /// A child is stopped and stays so: `enabled: false`.
    Stop { parent: String, child: String },
    /// A stopped child is started: `enabled: true`.
    Start { parent: String, child: String },
    /// A child is added after the others.
    Add { parent: String, child: Child },
    /// A child is removed.
    Remove { parent: String, child: String },
    /// A supervisor has other flags.
    Flags { supervisor: String, flags: Flags },
    /// A child that is up is judged otherwise from now on.
    Judge {
        parent: String,
        child: String,
        restart: Restart,
        significant: bool,
    },
    /// The children of a supervisor have another order.
    Order { parent: String, names: Vec<String> },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// In which second it happens, after all earlier steps.
    pub(super) second: u32,
    pub(super) action: Action,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct History {
    pub(super) seed: u64,
    /// The root, which is called `root`.
    pub(super) tree: Supervisor,
    pub(super) steps: Vec<Step>,
}

pub(super) const ROOT: &str = "root";

impl Action {
    /// Whether the spec of the tree is another one after it, apart from who is enabled.
    pub(super) fn is_edit(&self) -> bool {
        !matches!(self, Self::Exit(_) | Self::Stop { .. } | Self::Start { .. })
    }
}

impl Supervisor {
    /// Calls `visit` with the name and the supervisor of each child, in start order.
    pub(super) fn walk<'a>(&'a self, name: &'a str, visit: &mut impl FnMut(&'a str, &'a Child)) {
        for child in &self.children {
            visit(name, child);
            if let Kind::Supervisor(below) = &child.kind {
                below.walk(&child.name, visit);
            }
        }
    }

    /// The supervisor of that name, which is below this one of the name `name`, or this one.
    pub(super) fn find_mut(&mut self, name: &str, wanted: &str) -> Option<&mut Self> {
        if name == wanted {
            return Some(self);
        }
        self.children.iter_mut().find_map(|child| {
            let Kind::Supervisor(below) = &mut child.kind else {
                return None;
            };
            below.find_mut(&child.name, wanted)
        })
    }

    /// Makes the change of the spec that an action is, if it is one.
    pub(super) fn apply(&mut self, action: &Action) {
        match action {
            Action::Exit(_) => {}
            Action::Stop { parent, child } => self.change(parent, child, |c| c.enabled = false),
            Action::Start { parent, child } => self.change(parent, child, |c| c.enabled = true),
            Action::Add { parent, child } => {
                if let Some(supervisor) = self.find_mut(ROOT, parent) {
                    supervisor.children.push(child.clone());
                }
            }
            Action::Remove { parent, child } => {
                if let Some(supervisor) = self.find_mut(ROOT, parent) {
                    supervisor.children.retain(|c| c.name != *child);
                }
            }
            Action::Flags { supervisor, flags } => {
                if let Some(supervisor) = self.find_mut(ROOT, supervisor) {
                    supervisor.flags = *flags;
                    // OTP refuses significant children where nothing shuts down by itself.
                    let never = flags.auto_shutdown == AutoShutdown::Never;
                    let children = supervisor.children.iter_mut();
                    children.for_each(|child| child.significant &= !never);
                }
            }
            Action::Judge {
                parent,
                child,
                restart,
                significant,
            } => self.change(parent, child, |c| {
                c.restart = *restart;
                c.significant = *significant;
            }),
            Action::Order { parent, names } => {
                let place = |child: &Child| names.iter().position(|name| *name == child.name);
                if let Some(supervisor) = self.find_mut(ROOT, parent) {
                    let last = names.len();
                    supervisor
                        .children
                        .sort_by_key(|child| place(child).unwrap_or(last));
                }
            }
        }
    }

    fn change(&mut self, parent: &str, child: &str, change: impl FnOnce(&mut Child)) {
        let supervisor = self.find_mut(ROOT, parent);
        let found = supervisor.and_then(|s| s.children.iter_mut().find(|c| c.name == child));
        if let Some(child) = found {
            change(child);
        }
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}", self.seed)?;
        writeln!(f, "root {}", self.tree.flags)?;
        show(&self.tree, 1, f)?;
        for (number, step) in self.steps.iter().enumerate() {
            writeln!(
                f,
                "step {} at {} s: {}",
                number + 1,
                step.second,
                step.action
            )?;
        }
        Ok(())
    }
}

fn show(supervisor: &Supervisor, depth: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for child in &supervisor.children {
        write!(f, "{:1$}{child}", "", depth * 2)?;
        if let Kind::Supervisor(below) = &child.kind {
            show(below, depth + 1, f)?;
        }
    }
    Ok(())
}

impl fmt::Display for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let significant = if self.significant { " significant" } else { "" };
        write!(f, "{} {:?}{significant}", self.name, self.restart)?;
        match &self.kind {
            Kind::Supervisor(below) => writeln!(f, " {}", below.flags),
            Kind::Worker(script) => {
                let failed = (1..).zip(script).filter(|(_, succeeds)| !**succeeds);
                let failed: Vec<String> = failed.map(|(number, _)| number.to_string()).collect();
                if failed.is_empty() {
                    return writeln!(f);
                }
                writeln!(f, ", start {} fails", failed.join(", "))
            }
        }
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}/{}", self.strategy, self.intensity, self.period)?;
        match self.auto_shutdown {
            AutoShutdown::Never => Ok(()),
            other => write!(f, " {other:?}"),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(deaths) => {
                let deaths: Vec<String> = deaths
                    .iter()
                    .map(|(name, reason)| format!("{name} ({reason:?})"))
                    .collect();
                write!(f, "exit of {}", deaths.join(" and "))
            }
            Self::Stop { child, .. } => write!(f, "stop {child}"),
            Self::Start { child, .. } => write!(f, "start {child}"),
            Self::Add { parent, child } => {
                write!(f, "add to {parent}: {}", child.to_string().trim_end())
            }
            Self::Remove { child, .. } => write!(f, "remove {child}"),
            Self::Flags { supervisor, flags } => write!(f, "edit {supervisor}: {flags}"),
            Self::Judge {
                child,
                restart,
                significant,
                ..
            } => write!(f, "edit {child}: {restart:?}, significant {significant}"),
            Self::Order { parent, names } => {
                write!(f, "edit the order of {parent}: {}", names.join(", "))
            }
        }
    }
}
