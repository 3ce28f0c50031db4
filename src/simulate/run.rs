//! One simulation: the engine is asked when something changed and when it asked to be, and at no other time.
//!
//! Rule: the clock jumps from one event to the next; it ends when nothing new can come.

use jiff::Timestamp;

use super::cluster::Cluster;
use super::fault::{Fault, Target};
use super::repeat::Memory;
use super::script::Script;
use super::story::{Ending, Story};
use super::time::LONGEST_SECONDS;
use super::{DEFAULT_SECONDS, Plan, Row};
use crate::api::conditions::types;
use crate::api::v1alpha1::{SupervisionTree, SupervisionTreeSpec};
use crate::model::decide;
use crate::model::window::after;

/// Most decisions at one moment; a handful is what it takes.
const MOST_DECISIONS: usize = 200;
/// When the virtual clock starts, in seconds since 1970: in the year 2100, so that times in a tree have passed.
const START_SECOND: i64 = 4_102_444_800;

/// How long a simulation goes on after the last fault at least, when nothing else is asked for, in seconds.
const AFTER_LAST_FAULT_SECONDS: i64 = 600;

/// What a simulation goes through.
struct Simulation {
    cluster: Cluster,
    story: Story,
    memory: Memory,
    wake_at: Option<Timestamp>,
    was_ready: bool,
    /// How many rows there were when the time was up.
    quiet_since: Option<usize>,
}

/// Lets a plan happen to a tree.
pub(super) fn run(tree: &SupervisionTree, plan: &Plan) -> Vec<Row> {
    let name = tree.metadata.name.clone().unwrap_or_default();
    let start = Timestamp::from_second(START_SECOND).unwrap_or(Timestamp::UNIX_EPOCH);
    let (faults, crash_loops) = of_tree(&tree.spec, plan);
    let last_fault = faults.iter().filter_map(|fault| fault.at).max();
    let enough = last_fault.map_or(DEFAULT_SECONDS, |at| {
        DEFAULT_SECONDS.max(at + AFTER_LAST_FAULT_SECONDS)
    });
    let script = Script::new(start, faults, crash_loops);
    let mut simulation = Simulation {
        cluster: Cluster::new(&name, tree.spec.clone(), script),
        story: Story::new(&name, start),
        memory: Memory::default(),
        wake_at: None,
        was_ready: false,
        quiet_since: None,
    };
    let end = after(start, plan.seconds.unwrap_or(enough));
    let ending = simulation.play(end, plan.seconds.is_some());
    simulation.story.end(&simulation.cluster, ending);
    simulation.story.rows
}

/// What of the plan is about children of that tree.
fn of_tree(spec: &SupervisionTreeSpec, plan: &Plan) -> (Vec<Fault>, Vec<Target>) {
    let is_child = |target: &Target| spec.children.iter().any(|one| one.name == target.child);
    let faults = plan.faults.iter().filter(|one| is_child(&one.target));
    let crash_loops = plan.crash_loops.iter().filter(|one| is_child(one));
    (faults.cloned().collect(), crash_loops.cloned().collect())
}

impl Simulation {
    fn play(&mut self, end: Timestamp, is_asked: bool) -> Ending {
        loop {
            if !self.settle() {
                return Ending::Restless;
            }
            if let Some(before) = self.repeats().filter(|_| !is_asked) {
                return Ending::Repeats(before);
            }
            let wake = self.wake_at.filter(|time| *time > self.cluster.now);
            let Some(next) = self.cluster.next_due().into_iter().chain(wake).min() else {
                return Ending::AtRest;
            };
            if next > end && (is_asked || !self.only_forgets(next)) {
                self.cluster.now = self.cluster.now.max(end);
                return Ending::TimeIsUp;
            }
            self.cluster.advance(next);
            self.story.news(&mut self.cluster);
        }
    }

    /// Whether nothing is to be told any more until `next`: windows empty and dead Pods are cleared away, which takes as
    /// long as the longest period.
    fn only_forgets(&mut self, next: Timestamp) -> bool {
        let told = self.story.rows.len();
        let since = *self.quiet_since.get_or_insert(told);
        let script = &self.cluster.script;
        let is_quiet = since == told && !self.cluster.refuses() && !script.has_crash_loops();
        is_quiet && next <= after(script.start(), LONGEST_SECONDS)
    }

    /// Decides and carries out until nothing changes any more. `false` when that does not come to an end.
    fn settle(&mut self) -> bool {
        for _ in 0..MOST_DECISIONS {
            let decision = decide(&self.cluster.world, self.cluster.now);
            self.wake_at = decision.wake_at;
            let before = self.cluster.world.clone();
            let changed = self.cluster.carry_out(&decision);
            self.story.decision(&before, &self.cluster, &decision);
            if !changed {
                self.note_readiness();
                return true;
            }
        }
        false
    }

    fn note_readiness(&mut self) {
        let conditions = &self.cluster.world.tree.status.conditions;
        let mut ready = conditions.iter().filter(|one| one.type_ == types::READY);
        if !self.was_ready && ready.any(|one| one.status == "True") {
            self.was_ready = true;
            self.cluster.script.tree_is_ready(self.cluster.now);
        }
    }

    /// When everything was as it is now, if it was.
    fn repeats(&mut self) -> Option<Timestamp> {
        let script = &self.cluster.script;
        let is_over = script.next_due(self.cluster.now).is_none();
        (script.has_crash_loops() && is_over)
            .then(|| self.memory.seen_before(&self.cluster))
            .flatten()
    }
}
