//! Draws histories from seeds.
//!
//! Rule: a history comes from its seed alone; its weights are such that the rare things happen often.

use crate::dice::Dice;

use super::history::{
    Action, AutoShutdown, Child, Flags, History, Kind, ROOT, Reason, Restart, Step, Strategy,
    Supervisor,
};

/// How many supervisors stand above each other at most.
const DEPTH: u32 = 4;
/// How many nodes a tree is drawn with at most.
const NODES: u32 = 11;

impl History {
    /// The history of that seed.
    pub(super) fn of(seed: u64) -> Self {
        // Small numbers look alike to the generator in its first draws.
        let mixed = (seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut draw = Draw {
            dice: Dice(mixed | 1),
            workers: 0,
            supervisors: 0,
        };
        for _ in 0..8 {
            draw.dice.below(2);
        }
        let tree = draw.supervisor(1);
        let steps = draw.steps(&tree);
        Self { seed, tree, steps }
    }
}

struct Draw {
    dice: Dice,
    workers: u32,
    supervisors: u32,
}

impl Draw {
    fn chance(&mut self, percent: u64) -> bool {
        self.dice.below(100) < percent
    }

    /// One of these, by their weights.
    fn weighted<T: Copy>(&mut self, choices: &[(u64, T)]) -> T {
        let mut left = self
            .dice
            .below(choices.iter().map(|(weight, _)| weight).sum());
        for (weight, choice) in choices {
            if left < *weight {
                return *choice;
            }
            left -= weight;
        }
        unreachable!("the draw is below the sum of the weights")
    }

    fn supervisor(&mut self, depth: u32) -> Supervisor {
        let flags = self.flags(depth);
        let count = self.weighted(&[(20, 1), (45, 2), (35, 3)]);
        let mut children = Vec::new();
        for number in 0..count {
            if number == 0 || self.workers + self.supervisors < NODES {
                children.push(self.child(depth, flags.auto_shutdown));
            }
        }
        Supervisor { flags, children }
    }

    fn flags(&mut self, depth: u32) -> Flags {
        let intensities: &[(u64, u32)] = if depth == 1 {
            &[(20, 0), (30, 1), (25, 2), (15, 3), (10, 5)]
        } else {
            &[(35, 0), (35, 1), (20, 2), (10, 3)]
        };
        Flags {
            strategy: self.dice.one_of(&[
                Strategy::OneForOne,
                Strategy::OneForAll,
                Strategy::RestForOne,
            ]),
            intensity: self.weighted(intensities),
            period: self.weighted(&[(15, 1), (20, 2), (10, 3), (55, 60)]),
            auto_shutdown: self.weighted(&[
                (48, AutoShutdown::Never),
                (28, AutoShutdown::AnySignificant),
                (24, AutoShutdown::AllSignificant),
            ]),
        }
    }

    /// A child of a supervisor that is `depth` deep.
    fn child(&mut self, depth: u32, auto_shutdown: AutoShutdown) -> Child {
        let above_supervisors = [55, 50, 45, 0][depth as usize - 1];
        let is_supervisor = depth < DEPTH
            && self.workers + self.supervisors < NODES
            && self.chance(above_supervisors);
        let restart = self.weighted(&[
            (if is_supervisor { 72 } else { 48 }, Restart::Permanent),
            (28, Restart::Transient),
            (12, Restart::Temporary),
        ]);
        let significant = self.significant(restart, auto_shutdown);
        let (name, kind) = if is_supervisor {
            self.supervisors += 1;
            let name = format!("s{}", self.supervisors);
            (name, Kind::Supervisor(self.supervisor(depth + 1)))
        } else {
            self.workers += 1;
            (format!("w{}", self.workers), Kind::Worker(self.script()))
        };
        Child {
            name,
            restart,
            significant,
            enabled: true,
            kind,
        }
    }

    /// Only what OTP accepts.
    fn significant(&mut self, restart: Restart, auto_shutdown: AutoShutdown) -> bool {
        restart != Restart::Permanent && auto_shutdown != AutoShutdown::Never && self.chance(70)
    }

    fn script(&mut self) -> Vec<bool> {
        if self.chance(55) {
            return Vec::new();
        }
        let mut script = vec![!self.chance(2)];
        for _ in 0..self.dice.below(6) {
            script.push(!self.chance(55));
        }
        script
    }

    fn steps(&mut self, tree: &Supervisor) -> Vec<Step> {
        let mut tree = tree.clone();
        let mut second = 0;
        let mut steps = Vec::new();
        let mut victim = None;
        for _ in 0..3 + self.dice.below(6) {
            second += self.weighted(&[(65, 0), (28, 1), (7, 2)]);
            if second > 5 {
                break;
            }
            if let Some(action) = self.action(&tree, &mut victim) {
                tree.apply(&action);
                steps.push(Step { second, action });
            }
        }
        steps
    }

    fn action(&mut self, tree: &Supervisor, victim: &mut Option<String>) -> Option<Action> {
        let roll = self.dice.below(100);
        match roll {
            0..64 => self.exits(tree, victim),
            64..70 => self.stop_or_start(tree, true),
            70..76 => self.stop_or_start(tree, false),
            76..81 => self.add(tree),
            81..84 => self.remove(tree),
            84..90 => self.edit_flags(tree),
            90..96 => self.edit_child(tree),
            _ => self.edit_order(tree),
        }
    }

    /// Mostly the same worker again, so that windows fill.
    fn exits(&mut self, tree: &Supervisor, victim: &mut Option<String>) -> Option<Action> {
        let workers = children(tree, |child| matches!(child.kind, Kind::Worker(_)));
        let known = victim.take().filter(|_| self.chance(65));
        let known = known.and_then(|name| workers.iter().position(|(_, c)| c.name == name));
        let first = known.or_else(|| self.index(workers.len()))?;
        *victim = Some(workers[first].1.name.clone());
        let mut chosen = vec![first];
        if self.chance(25) {
            let siblings_only = self.chance(60);
            for (index, (parent, _)) in workers.iter().enumerate() {
                let near = !siblings_only || *parent == workers[first].0;
                if index != first && near && self.chance(60) && chosen.len() < 3 {
                    chosen.push(index);
                }
            }
        }
        chosen.sort_unstable();
        let reasons = [
            (18, Reason::Normal),
            (7, Reason::Shutdown),
            (7, Reason::ShutdownWith),
            (48, Reason::Error),
            (20, Reason::Killed),
        ];
        let deaths = chosen.into_iter().map(|index| {
            let name = workers[index].1.name.clone();
            (name, self.weighted(&reasons))
        });
        Some(Action::Exit(deaths.collect()))
    }

    fn stop_or_start(&mut self, tree: &Supervisor, enabled: bool) -> Option<Action> {
        let found = children(tree, |child| child.enabled == enabled);
        let (parent, child) = found.get(self.index(found.len())?)?;
        let (parent, child) = ((*parent).to_owned(), child.name.clone());
        Some(if enabled {
            Action::Stop { parent, child }
        } else {
            Action::Start { parent, child }
        })
    }

    fn add(&mut self, tree: &Supervisor) -> Option<Action> {
        let supervisors = supervisors(tree);
        let (parent, depth, supervisor) = supervisors[self.index(supervisors.len())?];
        Some(Action::Add {
            parent: parent.to_owned(),
            child: self.child(depth, supervisor.flags.auto_shutdown),
        })
    }

    fn remove(&mut self, tree: &Supervisor) -> Option<Action> {
        let found = children(tree, |_| true);
        let (parent, child) = found[self.index(found.len())?];
        Some(Action::Remove {
            parent: parent.to_owned(),
            child: child.name.clone(),
        })
    }

    fn edit_flags(&mut self, tree: &Supervisor) -> Option<Action> {
        let supervisors = supervisors(tree);
        let (name, depth, _) = supervisors[self.index(supervisors.len())?];
        Some(Action::Flags {
            supervisor: name.to_owned(),
            flags: self.flags(depth),
        })
    }

    fn edit_child(&mut self, tree: &Supervisor) -> Option<Action> {
        let found = children(tree, |child| child.enabled);
        let (parent, child) = found.get(self.index(found.len())?)?;
        let above = supervisors(tree)
            .into_iter()
            .find(|(name, ..)| name == parent);
        let auto_shutdown = above?.2.flags.auto_shutdown;
        let types = [Restart::Permanent, Restart::Transient, Restart::Temporary];
        let restart = self.dice.one_of(&types);
        Some(Action::Judge {
            parent: (*parent).to_owned(),
            child: child.name.clone(),
            restart,
            significant: self.significant(restart, auto_shutdown),
        })
    }

    fn edit_order(&mut self, tree: &Supervisor) -> Option<Action> {
        let several = supervisors(tree).into_iter();
        let several: Vec<_> = several.filter(|(.., s)| s.children.len() > 1).collect();
        let (parent, _, supervisor) = several.get(self.index(several.len())?)?;
        let mut names: Vec<String> = supervisor.children.iter().map(|c| c.name.clone()).collect();
        let from = self.index(names.len())?;
        let moved = names.remove(from);
        let to = self.index(names.len() + 1)?;
        names.insert(to, moved);
        Some(Action::Order {
            parent: (*parent).to_owned(),
            names,
        })
    }

    /// A number below that, unless that is 0.
    fn index(&mut self, count: usize) -> Option<usize> {
        (count > 0).then(|| usize::try_from(self.dice.below(count as u64)).unwrap())
    }
}

/// The children that are wanted, with the name of their supervisor.
fn children(tree: &Supervisor, wanted: impl Fn(&Child) -> bool) -> Vec<(&str, &Child)> {
    let mut found = Vec::new();
    tree.walk(ROOT, &mut |parent, child| {
        if wanted(child) {
            found.push((parent, child));
        }
    });
    found
}

/// All supervisors, with their name and depth.
fn supervisors(tree: &Supervisor) -> Vec<(&str, u32, &Supervisor)> {
    fn below<'a>(
        name: &'a str,
        depth: u32,
        supervisor: &'a Supervisor,
        found: &mut Vec<(&'a str, u32, &'a Supervisor)>,
    ) {
        found.push((name, depth, supervisor));
        for child in &supervisor.children {
            if let Kind::Supervisor(inner) = &child.kind {
                below(&child.name, depth + 1, inner, found);
            }
        }
    }
    let mut found = Vec::new();
    below(ROOT, 1, tree, &mut found);
    found
}
