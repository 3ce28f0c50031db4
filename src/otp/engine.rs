//! Our side: the engine over the small cluster of its own tests, whose Pods here start and stop in no time.
//!
//! Rule: what is told of it is read off the Pods and the notices; the engine is not asked what it thinks.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::model::decision::Notice;
use crate::model::lab::{Decide, Lab};
use crate::model::window::after;

use super::history::{Action, Child, History, Kind, ROOT, Supervisor};
use super::pods;
use super::spec;
use super::trace::{End, Event, Followed, Trace};

/// Decisions that one step may take.
const PATIENCE: usize = 3000;

/// The trace of a history, as far as that of OTP goes. It says which steps cannot be.
pub(super) fn run(history: &History, otp: &Trace, decide: Decide) -> Result<Trace, String> {
    let mut ours = Ours::new(history, decide);
    let mut trace = vec![ours.settle(true)?];
    for (step, theirs) in history.steps.iter().zip(otp.iter().skip(1)) {
        if trace.last().is_some_and(|followed| followed.up.is_empty()) {
            break;
        }
        if theirs.skipped {
            trace.push(Followed {
                skipped: true,
                up: ours.up(),
                ..Followed::default()
            });
            continue;
        }
        ours.lab.now = after(ours.begun, i64::from(step.second));
        ours.act(&step.action);
        let is_one = !matches!(&step.action, Action::Exit(deaths) if deaths.len() > 1);
        trace.push(ours.settle(is_one)?);
    }
    Ok(trace)
}

struct Ours {
    lab: Lab,
    begun: Timestamp,
    tree: Supervisor,
    /// What is left of the scripts.
    scripts: BTreeMap<String, Vec<bool>>,
    /// Whether starts succeed whatever the scripts say, because the step asks for them.
    assured: bool,
    /// How the root has ended.
    end: Option<Event>,
}

impl Ours {
    fn new(history: &History, decide: Decide) -> Self {
        let mut lab = Lab::new("{children: []}");
        lab.decide = decide;
        lab.edit(|spec| *spec = spec::spec(&history.tree));
        let mut ours = Self {
            begun: lab.now,
            lab,
            tree: history.tree.clone(),
            scripts: BTreeMap::new(),
            assured: false,
            end: None,
        };
        let mut scripts = Vec::new();
        history.tree.walk(ROOT, &mut |_, child| scripts.push(child));
        for child in scripts {
            ours.learn(child);
        }
        ours
    }

    fn learn(&mut self, child: &Child) {
        match &child.kind {
            Kind::Worker(script) => {
                self.scripts.insert(child.name.clone(), script.clone());
            }
            Kind::Supervisor(below) => below.children.iter().for_each(|child| self.learn(child)),
        }
    }

    fn act(&mut self, action: &Action) {
        self.assured = matches!(action, Action::Add { .. } | Action::Start { .. });
        if let Action::Exit(deaths) = action {
            let running = self.running();
            for (name, reason) in deaths.iter().filter(|(name, _)| running.contains(name)) {
                self.lab.kill(name, 0, spec::exit_code(*reason));
            }
            return;
        }
        if let Action::Add { child, .. } = action {
            self.learn(child);
        }
        self.tree.apply(action);
        let spec = spec::spec(&self.tree);
        self.lab.edit(|old| *old = spec);
    }

    /// Decides and carries out until nothing happens any more. Under `Ordered`, what follows from one thing happens one
    /// after another.
    fn settle(&mut self, one_by_one: bool) -> Result<Followed, String> {
        let mut events = Vec::new();
        for _ in 0..PATIENCE {
            let notices = (self.lab.decide)(&self.lab.world, self.lab.now).notices;
            events.extend(notices.iter().filter_map(|notice| self.exit(notice)));
            let (writes, logged) = (self.lab.writes, self.lab.log.len());
            self.lab.decide_before(|_| ());
            if self.lab.writes == writes {
                events.extend(self.end.take());
                return Ok(Followed {
                    events,
                    up: self.up(),
                    ..Followed::default()
                });
            }
            let done: Vec<String> = self.lab.log[logged..].to_vec();
            let lives: Vec<Event> = done.iter().filter_map(|what| self.tend(what)).collect();
            let last = lives.last().map(|event| event.subject().to_owned());
            let at_once = last.filter(|_| one_by_one && lives.len() > 1);
            events.extend(lives);
            events.extend(at_once.map(Event::Together));
        }
        let last = &events[events.len().saturating_sub(12)..];
        Err(format!("no end of it: … {last:?}"))
    }

    /// What a write does to the Pods, and whether anybody lived or dies by it.
    fn tend(&mut self, write: &str) -> Option<Event> {
        let mut words = write.split([' ', '/']);
        let (verb, child) = (words.next()?, words.next()?);
        match verb {
            "create" => {
                let succeeds = self.next_start(child);
                pods::start(&mut self.lab, child, succeeds);
                let event = if succeeds {
                    Event::Start
                } else {
                    Event::Failed
                };
                Some(event(child.to_owned()))
            }
            "delete" => pods::stop(&mut self.lab, child).then(|| Event::Stopped(child.to_owned())),
            _ => None,
        }
    }

    fn next_start(&mut self, child: &str) -> bool {
        let script = self.scripts.get_mut(child);
        match script.filter(|script| !self.assured && !script.is_empty()) {
            Some(script) => script.remove(0),
            None => true,
        }
    }

    /// What a notice says of a supervisor that has ended. The root stops its children after it was said.
    fn exit(&mut self, notice: &Notice) -> Option<Event> {
        let is_root = self
            .lab
            .world
            .tree
            .spec
            .children
            .iter()
            .all(|c| c.name != notice.child);
        let name = if is_root { ROOT } else { &notice.child };
        let event = match notice.reason.as_str() {
            "SupervisorFinished" => Event::Exited(name.to_owned(), End::AutoShutdown),
            "SupervisorStopped" => Event::Exited(name.to_owned(), End::GaveUp),
            "SupervisorExited" => {
                let what = &notice.what;
                if what.starts_with("could not start") {
                    Event::Failed(name.to_owned())
                } else if what.starts_with("shut itself down") {
                    Event::Exited(name.to_owned(), End::AutoShutdown)
                } else {
                    Event::Exited(name.to_owned(), End::GaveUp)
                }
            }
            _ => return None,
        };
        if is_root {
            self.end = Some(event);
            return None;
        }
        Some(event)
    }

    /// The workers whose program runs.
    fn running(&self) -> BTreeSet<String> {
        let pods = self
            .lab
            .world
            .workers
            .values()
            .flat_map(|worker| &worker.pods);
        let running = pods.filter(|pod| !pod.is_terminal() && !pod.is_deleting());
        running.map(|pod| pod.child.clone()).collect()
    }

    /// Who is up: workers whose program runs, and supervisors that have not ended, below such ones.
    fn up(&self) -> BTreeSet<String> {
        let mut up = self.running();
        if self.supervises("(root)", "(root)") {
            up.insert(ROOT.to_owned());
        }
        self.tree.walk(ROOT, &mut |parent, child| {
            let above = if parent == ROOT { "(root)" } else { parent };
            let is_up = up.contains(parent) && child.enabled;
            if matches!(child.kind, Kind::Supervisor(_))
                && is_up
                && self.supervises(&child.name, above)
            {
                up.insert(child.name.clone());
            }
        });
        up
    }

    fn supervises(&self, name: &str, above: &str) -> bool {
        let records = &self.lab.world.tree.status.supervisors;
        let record = |name: &str| records.iter().find(|record| record.name == name);
        let is_given_up = |above: &str, name: &str| {
            let entries = record(above).into_iter().flat_map(|record| &record.gave_up);
            entries
                .into_iter()
                .any(|entry| entry.waiting && entry.child == name)
        };
        record(name).is_some_and(|record| {
            let operation = record.operation.as_ref();
            record.finished.is_none() && !operation.is_some_and(|operation| operation.kind.exits())
        }) && !is_given_up(name, "")
            && !is_given_up(above, name)
    }
}
