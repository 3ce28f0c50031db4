//! The last rows: what has not happened, how the tree stands, and what would come.
//!
//! Rule: a simulation that stops says why, so that nobody takes its end for that of the story.

use jiff::Timestamp;

use super::{Row, Story, state};
use crate::model::tree::{Leaf, Tree};
use crate::model::window::after;
use crate::simulate::cluster::Cluster;
use crate::simulate::fault::Fault;
use crate::simulate::time::format_time;

/// How a simulation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulate) enum Ending {
    /// Nothing will happen by itself any more.
    AtRest,
    /// Everything is as it was then, and goes on as it did from there.
    Repeats(Timestamp),
    /// There is more to come.
    TimeIsUp,
    /// The engine did not come to rest at one moment.
    Restless,
}

impl Story {
    /// The last rows: what has not happened, how the tree stands, and what would come.
    pub(in crate::simulate) fn end(&mut self, cluster: &Cluster, ending: Ending) {
        self.now = match ending {
            Ending::AtRest => self.settled_at(cluster),
            _ => cluster.now,
        };
        for fault in cluster.script.left() {
            let row = self.row(fault.target.to_string(), "not befallen");
            let why = unmet(cluster, fault);
            self.rows.push(Row { why, ..row });
        }
        let status = match ending {
            Ending::AtRest => &self.settled.status.clone(),
            _ => &cluster.world.tree.status,
        };
        let next = match ending {
            Ending::AtRest => "nothing more happens by itself".to_owned(),
            Ending::Repeats(before) => format!(
                "everything is as it was at {}, and so repeats every {}",
                format_time(self.since_start(before)),
                format_time(self.since_start(self.now) - self.since_start(before)),
            ),
            Ending::TimeIsUp => "the simulation ends here; --for shows more".to_owned(),
            Ending::Restless => {
                "the engine does not come to rest, which is a mistake in it: please report this tree"
                    .to_owned()
            }
        };
        let row = self.row(self.tree.clone(), "end");
        let message = self.ready_message(status);
        self.rows.push(Row {
            why: format!("{}: {message}", state(status)),
            charges: match status.budget.as_str() {
                "" => String::new(),
                budget => format!("restarts left: {budget}"),
            },
            next,
            ..row
        });
    }

    /// Since when nothing has been told, nor could have been: faults that found nobody had their time, too.
    fn settled_at(&self, cluster: &Cluster) -> Timestamp {
        let left = cluster.script.left().filter_map(|fault| fault.at);
        let last = left.map(|at| after(self.start, at)).max();
        last.map_or(self.settled.at, |last| last.max(self.settled.at))
    }
}

/// Why a fault has befallen nobody, and how it would have.
fn unmet(cluster: &Cluster, fault: &Fault) -> String {
    let child = &fault.target.child;
    let view = &cluster.world.tree;
    let tree = Tree::parse(&view.name, &view.spec).ok();
    let place = tree
        .as_ref()
        .and_then(|tree| Some((tree, tree.find(child)?)));
    let disabled = place.and_then(|(tree, id)| {
        let mut path = std::iter::once(id).chain(tree.ancestors(id));
        path.find(|id| !tree.nodes[*id].enabled)
            .map(|id| tree.nodes[id].name)
    });
    if let Some(disabled) = disabled {
        return format!("{fault} found no such replica: {disabled} is disabled");
    }
    let completes = place
        .and_then(|(tree, id)| tree.leaf(id))
        .is_some_and(Leaf::completes);
    if completes && fault.at.is_none() {
        return format!(
            "{fault} found no such replica, because it had run to completion before: give it a time while it runs, for example {fault}@3s"
        );
    }
    format!("{fault} found no such replica running, or starting, at its time")
}
