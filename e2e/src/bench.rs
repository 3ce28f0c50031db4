//! `make bench`: figures of Coppice beside those of a peer, both measured in the same run.
//!
//! Rule: the API server's audit log is the clock for both sides, so neither measures itself; a figure stands beside its
//! goal and beside its peer, and is never compared with one of another run, because machines differ and are noisy.
//!
//! A `figure` is a row of the table and of `target/bench.json`. Each module below it measures some rows on a cluster
//! of its own, a `rig` of simulated nodes or a `real` one, and reads what happened from the `audit` log.

mod argo;
mod audit;
mod escalate;
mod failover;
mod figure;
mod group;
mod harm;
mod heal;
mod intent;
mod load;
mod loops;
mod loss;
mod lost;
mod many;
mod neighbour;
mod operators;
mod real;
mod rig;
mod rollout;
mod scale;
mod wait;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use futures::FutureExt;
use futures::future::LocalBoxFuture;

use crate::operator;
use crate::progress::{Step, say};
use figure::Figure;

/// Rows that are measured together, on one cluster.
struct Group {
    rows: &'static [&'static str],
    measure: fn() -> LocalBoxFuture<'static, Result<Vec<Figure>>>,
}

/// All rows, in the order in which they are measured and shown.
const GROUPS: [Group; 11] = [
    Group {
        rows: &["heal-delete-p50", "heal-delete-p99"],
        measure: || heal::measure().boxed_local(),
    },
    Group {
        rows: &["intent-p50", "intent-p99", "fault-named-p95"],
        measure: || intent::measure().boxed_local(),
    },
    Group {
        rows: &["scale-5000"],
        measure: || scale::measure().boxed_local(),
    },
    Group {
        rows: &["group-500"],
        measure: || group::measure().boxed_local(),
    },
    Group {
        rows: &["rollout-1000"],
        measure: || rollout::measure().boxed_local(),
    },
    Group {
        rows: &["escalate-8-p99"],
        measure: || escalate::measure().boxed_local(),
    },
    Group {
        rows: &["rss-9000", "idle-cpu", "cold-start"],
        measure: || many::measure().boxed_local(),
    },
    Group {
        rows: &["neighbour"],
        measure: || neighbour::measure().boxed_local(),
    },
    Group {
        rows: &["crash-loop-writes"],
        measure: || loops::measure().boxed_local(),
    },
    Group {
        rows: &["node-loss"],
        measure: || loss::measure().boxed_local(),
    },
    Group {
        rows: &["failover-graceful", "failover-crash"],
        measure: || failover::measure().boxed_local(),
    },
];

/// Measures the rows of these names, or all when none is given; prints a table and writes `target/bench.json`, where
/// rows that were not measured stay as they were. Rows that are measured together are measured when one of them is
/// asked for. `false` when a goal was missed.
pub async fn run(wanted: &[String]) -> Result<bool> {
    let known: Vec<&str> = GROUPS
        .iter()
        .flat_map(|group| group.rows)
        .copied()
        .collect();
    for name in wanted {
        ensure!(
            known.contains(&name.as_str()),
            "there is no row `{name}`; there are {}",
            known.join(", ")
        );
    }
    let is_wanted = |row: &str| wanted.is_empty() || wanted.iter().any(|name| name == row);
    let groups: Vec<&Group> = GROUPS
        .iter()
        .filter(|group| group.rows.iter().any(|row| is_wanted(row)))
        .collect();
    let file = file();
    let mut measured = Vec::new();
    for (number, group) in groups.iter().enumerate() {
        let rows = group.rows.join(", ");
        let step = Step::begin(format!(
            "measuring {rows} ({} of {})",
            number + 1,
            groups.len()
        ));
        let mut figures = (group.measure)()
            .await
            .with_context(|| format!("measure {rows}"))?;
        figures.retain(|figure| is_wanted(&figure.name));
        figure::store(&file, &known, &figures)?;
        for figure in &figures {
            say(figure.line());
        }
        measured.extend(figures);
        step.done();
    }
    println!("\n{}", figure::table(&measured));
    println!("All rows that were ever measured here: {}", file.display());
    Ok(measured.iter().all(|figure| figure.pass))
}

/// Where the figures are written.
fn file() -> PathBuf {
    operator::checkout().join("target").join("bench.json")
}
