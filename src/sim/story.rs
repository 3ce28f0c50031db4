//! Random stories: a tree, what happens to it, and what goes wrong meanwhile, all from one seed.
//!
//! Rule: after a while nothing bad happens any more and a good spec is applied; then the end must be that of a tree that
//! was only ever asked for that spec.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::cluster::{Behaviour, NODES};
use super::kind::Kind;
use super::plan::{Blow, Held, Plan};
use super::scenario::{Scenario, Step};

/// When the bad times end, at the latest.
const BAD_TIMES: u64 = 120;
/// How long everything may take to come back, brakes and windows included.
const COME_BACK: u64 = 400;

/// A tree with the children that stories act on.
struct Cast {
    tree: &'static str,
    children: &'static [&'static str],
    /// Workers whose number the tree states, and the names of `Stable` Pods.
    sized: &'static [&'static str],
    names: &'static [&'static str],
    /// Edits of the spec that keep it legal.
    edits: &'static [(&'static str, &'static str)],
}

const CASTS: [Cast; 3] = [
    Cast {
        tree: "
startup: Ordered
intensity: {maxRestarts: 3, periodSeconds: 90}
children:
- {name: db, worker: {identity: Stable, replicas: 2, quorum: 2}}
- name: web
  supervisor: {startup: Ordered, intensity: {maxRestarts: 2, periodSeconds: 60}}
- {name: api, parent: web, worker: {replicas: 2}}
- {name: ui, parent: web, worker: {}}
",
        children: &["db", "api", "ui"],
        sized: &["db", "api"],
        names: &["t-db-0", "t-db-1", "t-db-2"],
        edits: &[
            ("children.db.worker.replicas", "1"),
            ("children.db.worker.replicas", "3"),
            ("children.api.worker.replicas", "4"),
            ("children.api.worker.quorum", "2"),
            ("children.web.enabled", "false"),
            ("children.web.enabled", "true"),
            ("children.ui.parent", "null"),
            ("children.ui.parent", "web"),
            (
                "children.db.worker.template.spec.containers.app.image",
                "two",
            ),
            (
                "children.api.worker.template.spec.containers.app.image",
                "two",
            ),
            ("children.db.worker.identity", "Interchangeable"),
            ("startup", "Parallel"),
        ],
    },
    Cast {
        tree: "
intensity: {maxRestarts: 2, periodSeconds: 60}
children:
- {name: a, worker: {replicas: 1}}
- {name: b, worker: {replicas: 3, quorum: 2}}
- {name: c, worker: {identity: Stable}}
",
        children: &["a", "b", "c"],
        sized: &["a", "b"],
        names: &["t-c-0"],
        edits: &[
            ("children.b.worker.replicas", "1"),
            ("children.b.worker.replicas", "5"),
            ("children.a.enabled", "false"),
            ("children.a.enabled", "true"),
            (
                "children.c.worker.template.spec.containers.app.image",
                "two",
            ),
            (
                "children.b.worker.template.spec.containers.app.image",
                "two",
            ),
            ("onGiveUp", "Stop"),
            ("onGiveUp", "Retry"),
            ("intensity.maxRestarts", "0"),
            ("startup", "Ordered"),
        ],
    },
    Cast {
        tree: "
intensity: {maxRestarts: 1, periodSeconds: 60}
children:
- name: one
  supervisor: {intensity: {maxRestarts: 1, periodSeconds: 60}}
- name: two
  parent: one
  supervisor: {startup: Ordered, onGiveUp: Retry, intensity: {maxRestarts: 1, periodSeconds: 60}}
- {name: x, parent: two, worker: {replicas: 1}}
- {name: y, parent: two, worker: {startDeadlineSeconds: 15}}
- {name: z, parent: one, worker: {replicas: 2}}
",
        children: &["x", "y", "z"],
        sized: &["x", "z"],
        names: &[],
        edits: &[
            ("children.two.enabled", "false"),
            ("children.two.enabled", "true"),
            ("children.x.parent", "one"),
            ("children.x.worker.replicas", "2"),
            ("children.z.worker.replicas", "0"),
            ("children.two.supervisor.onGiveUp", "Stop"),
            ("children.two.supervisor.onGiveUp", "Escalate"),
            (
                "children.y.worker.template.spec.containers.app.image",
                "two",
            ),
        ],
    },
];

/// A story.
#[derive(Clone)]
pub(super) struct Story {
    pub(super) scenario: Scenario,
    pub(super) plan: Plan,
    /// What the spec asks for in the end.
    pub(super) good: &'static str,
    /// How many of the first steps belong to the bad times.
    bad: usize,
}

impl Story {
    /// The story of a seed.
    pub(super) fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let cast = &CASTS[dice.below(CASTS.len())];
        let count = 2 + dice.below(8);
        let mut times: Vec<u64> = (0..count).map(|_| dice.seconds(BAD_TIMES)).collect();
        times.sort_unstable();
        let mut steps: Vec<(u64, Step)> = times
            .into_iter()
            .map(|time| (time, dice.step(cast)))
            .collect();
        let bad = steps.len();
        let well = BAD_TIMES + 20;
        for child in cast.children {
            steps.push((well, Step::Behave(child, Behaviour::Healthy)));
        }
        for node in NODES {
            steps.push((well, Step::PowerOn(node)));
        }
        steps.push((well, Step::Allow));
        steps.push((well, Step::TidyUp));
        // What was deleted is made again, which takes until it is gone.
        steps.push((well + 60, Step::Create(cast.tree)));
        steps.push((well + 61, Step::Apply(cast.tree)));
        steps.push((well + 70, Step::Retry));
        let seconds = well + COME_BACK;
        let scenario = Scenario::new("a random story", cast.tree, seconds, "TFF", steps);
        Self {
            scenario,
            plan: dice.plan(),
            good: cast.tree,
            bad,
        }
    }

    /// The lives that stories must end like: those of trees that were only ever asked for the good spec.
    pub(super) fn good_lives() -> impl Iterator<Item = Scenario> {
        CASTS
            .iter()
            .map(|cast| Scenario::new("undisturbed", cast.tree, 90, "TFF", Vec::new()))
    }

    /// The same story with one thing less, in every way.
    pub(super) fn shorter(&self) -> Vec<Self> {
        let fewer_steps = (0..self.bad).map(|step| {
            let mut story = self.clone();
            story.scenario.steps.remove(step);
            story.bad -= 1;
            story
        });
        let fewer_faults = self.plan.simpler().into_iter().map(|plan| Self {
            plan,
            ..self.clone()
        });
        fewer_faults.chain(fewer_steps).collect()
    }

    /// The story in words.
    pub(super) fn tell(&self) -> String {
        let steps: Vec<String> = self.scenario.steps[..self.bad]
            .iter()
            .map(|(time, step)| format!("{time:>4} s  {step:?}"))
            .collect();
        format!("{}\n{}\n{}", self.good, steps.join("\n"), self.plan)
    }
}

/// What befalls requests about the Lease.
const LEASE_BLOWS: [Blow; 8] = [
    Blow::Fails(500),
    Blow::Fails(409),
    Blow::Fails(429),
    Blow::FailsAfter(504),
    Blow::Hangs,
    Blow::HangsAfter,
    Blow::Late(4),
    Blow::Delayed(9),
];

/// A small generator that gives the same numbers everywhere (xorshift64*).
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(
            seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)
                .wrapping_add(0xD1B5_4A32_D192_ED03)
                | 1,
        )
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    fn seconds(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap_or(0)
    }

    fn one_of<T: Copy>(&mut self, things: &[T]) -> T {
        things[self.below(things.len())]
    }

    fn step(&mut self, cast: &Cast) -> Step {
        let child = self.one_of(cast.children);
        let slot = self.one_of(&[0, 0, 0, 1, 2]);
        let node = self.one_of(&NODES);
        match self.below(36) {
            0..=3 => Step::Kill(child, slot, 1),
            4 => Step::Kill(child, slot, 0),
            5 | 6 => Step::DeletePod(child, slot),
            7 => Step::Vanish(child, slot),
            8 => Step::Evict(child, slot),
            9 => Step::Pressure(child, slot),
            10 | 11 => Step::Behave(child, Behaviour::Crash(self.one_of(&[1, 1, 3, 20]), 1)),
            12 => Step::Behave(child, self.one_of(&[Behaviour::Hang, Behaviour::NoImage])),
            13 => Step::Behave(
                child,
                self.one_of(&[Behaviour::NoCapacity, Behaviour::Rejected]),
            ),
            14 | 15 => Step::Behave(child, Behaviour::Healthy),
            16 => Step::PowerOff(node),
            17 => Step::PowerOn(node),
            18 => Step::OutOfService(node),
            19 => Step::Refuse("exceeded quota"),
            20 => Step::Allow,
            21 => Step::Retry,
            22 => Step::DeleteWorker(child),
            23 => Step::Delete(self.one_of(&["Background", "Background", "Foreground"])),
            24 => Step::Create(cast.tree),
            25 => self.one_of(&[Step::Crash, Step::Restart]),
            26 => Step::Unlabel(child, slot),
            27 => Step::Disown(child, slot),
            28 => Step::Bait(child),
            29 if !cast.names.is_empty() => Step::Squat(self.one_of(cast.names)),
            30 => Step::Scale(self.one_of(cast.sized), self.one_of(&[0, 1, 2, 4])),
            31 => Step::DeleteNode(node),
            _ => {
                let (path, value) = self.one_of(cast.edits);
                Step::Set(path, value)
            }
        }
    }

    fn plan(&mut self) -> Plan {
        let mut plan = Plan {
            two: self.below(3) == 0,
            elects: self.below(4) == 0,
            away: Duration::from_millis(self.next() % 15_000),
            ..Plan::default()
        };
        let blows = [
            Blow::CrashBefore,
            Blow::CrashAfter,
            Blow::CrashBefore,
            Blow::CrashAfter,
            Blow::Fails(409),
            Blow::Fails(429),
            Blow::Fails(500),
            Blow::Fails(503),
            Blow::Fails(504),
            Blow::FailsAfter(504),
            Blow::FailsAfter(500),
            Blow::Hangs,
            Blow::HangsAfter,
            Blow::Late(4),
            Blow::Delayed(3),
            Blow::Delayed(8),
            Blow::Fails(403),
            Blow::Fails(422),
        ];
        for _ in 0..self.below(4) {
            let number = 1 + self.below(90);
            let blow = match self.one_of(&blows) {
                // A create that is on its way while somebody else goes on may find its name free again, which no name can
                // prevent. Who sent it waits for it, and so does nothing meanwhile.
                Blow::Delayed(seconds) if plan.two => Blow::Late(seconds),
                blow => blow,
            };
            plan.writes.insert(number, blow);
        }
        for _ in 0..self.below(3) {
            let number = 1 + self.below(60);
            let blow = self.one_of(&[
                Blow::Fails(410),
                Blow::Fails(500),
                Blow::Fails(429),
                Blow::Hangs,
                Blow::Late(6),
                Blow::Delayed(5),
                Blow::CrashAfter,
            ]);
            plan.reads.insert(number, blow);
        }
        for _ in 0..self.below(4) {
            plan.held.push(Held {
                change: self.below(150),
                versions: 1 + self.below(4),
            });
        }
        let numbers = |dice: &mut Self, most| -> BTreeSet<usize> {
            (0..dice.below(most)).map(|_| dice.below(150)).collect()
        };
        plan.dropped = numbers(self, 4);
        plan.repeated = numbers(self, 3);
        plan.compactions = numbers(self, 3);
        plan.cuts = numbers(self, 3);
        plan.errors = numbers(self, 2);
        plan.bookmarks = self.below(2) == 0;
        if plan.elects {
            for _ in 0..self.below(4) {
                let blow = self.one_of(&LEASE_BLOWS);
                plan.leases.insert(1 + self.below(120), blow);
            }
        }
        if self.below(4) == 0 {
            let kind = self.one_of(&[Kind::Tree, Kind::Worker, Kind::Pod, Kind::Node]);
            plan.lag = BTreeMap::from([(kind, Duration::from_millis(50 + self.next() % 3000))]);
        }
        plan
    }
}
