//! The simulation for people: what the engine would do with a tree, without a cluster, in virtual time.
//!
//! Rule: what is decided comes from [`crate::model::decide`] alone; here is only the world that it is asked about, and the
//! words in which its answers are told.
//!
//! In reading order: `input` reads trees and refuses what the API server would refuse (`schema`), `fault` and `time` read
//! what is to happen, `scene` says how a cluster shows it, `script` when; `cluster` and `pods` are the world, `run` lets
//! time pass in it, `repeat` notices that nothing new will come; `story` tells each step, `table` prints it.

mod cluster;
mod fault;
mod input;
mod pods;
mod repeat;
mod run;
mod scene;
mod schema;
mod script;
mod story;
mod table;
mod time;

use serde::Serialize;

use crate::api::v1alpha1::SupervisionTree;

pub use fault::{Fault, Target};
pub use input::{Refusal, read};
#[cfg(test)]
pub(crate) use scene::document;
pub use table::print;
pub use time::parse_time;

/// How long a simulation goes on at most when nothing else is asked for, in seconds.
pub const DEFAULT_SECONDS: i64 = 3600;

/// What is to happen.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// What befalls single replicas.
    pub faults: Vec<Fault>,
    /// Children, or replicas, that crash a second after each start.
    pub crash_loops: Vec<Target>,
    /// How long to go on, in seconds; `None`: until nothing new comes, at most [`DEFAULT_SECONDS`] or ten minutes after the
    /// last fault, whichever is later.
    pub seconds: Option<i64>,
}

/// One line of the timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Name of the tree.
    pub tree: String,
    /// When, in seconds since the start of the simulation.
    pub at: i64,
    /// Who: a replica as `child/slot`, a child, `(root)`, or the name of the tree.
    pub subject: String,
    /// What happened, in a word or two.
    pub event: String,
    /// Why, in words; empty when it needs no reason.
    pub why: String,
    /// What it was charged: `2/3 in 300s at web` is the second of three restarts that the window of `web` allows within
    /// 300 seconds; `none` for what could have been charged and was not; empty for what nobody is ever charged.
    pub charges: String,
    /// What is next, in words; empty when nothing follows.
    pub next: String,
}

/// Lets a plan happen to each of the trees, one after another. The error says which target is in none of them, and what
/// there is.
pub fn simulate(trees: &[SupervisionTree], plan: &Plan) -> Result<Vec<Row>, Refusal> {
    input::check_targets(trees, plan)?;
    let timelines = trees.iter().map(|tree| run::run(tree, plan));
    Ok(timelines.flatten().collect())
}
