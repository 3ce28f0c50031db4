//! The last rows: what has not happened, how the tree stands, and what would come.
//!
//! Rule: a simulation that stops says why, so that nobody takes its end for that of the story.

use jiff::Timestamp;

use super::{Row, Story, state};
use crate::simulate::cluster::Cluster;
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
        self.now = cluster.now;
        for fault in cluster.script.left() {
            let row = self.row(fault.target.to_string(), "not befallen");
            let why = format!("{fault} found no such replica running, or starting, at its time");
            self.rows.push(Row { why, ..row });
        }
        let status = &cluster.world.tree.status;
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
                budget => format!("left: {budget}"),
            },
            next,
            ..row
        });
    }
}
