//! `make mutants`: the engine with one change at a time, to see whether a test notices it; by `.cargo/mutants.toml`.
//!
//! Rule: a run takes a share that can be named and is the same each time, and says which one it was.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::cache;
use crate::cargo_tools::{self, MUTANTS};
use crate::operator;
use crate::progress;

/// The share that fits into the time on two cores.
pub const SHARE: &str = "0/6";
/// How long all of it may take, in minutes.
const LIMIT_MINUTES: u32 = 100;
/// What `timeout` answers when that is over.
const TIMED_OUT: i32 = 124;

/// Why it is not known that the tests notice every change.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cache has no place.
    #[error(transparent)]
    Cache(#[from] cache::Error),
    /// The tool could not be built.
    #[error("get cargo-mutants")]
    Tool(#[source] cargo_tools::Error),
    /// The tool could not be started.
    #[error("run {program}")]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
    /// It took too long.
    #[error("share {share} was not done after {LIMIT_MINUTES} minutes; take a smaller one")]
    TooLong {
        /// The share.
        share: String,
    },
    /// A change was not noticed, or the tests fail without any.
    #[error("a change in share {share} was not noticed; what cargo-mutants said is above")]
    Unnoticed {
        /// The share.
        share: String,
    },
}

/// Changes a share of the engine, as `k/n`: every n-th change that can be made, from the k-th on, counted from 0.
pub fn run(share: &str) -> Result<(), Error> {
    let program = MUTANTS.program(&cache::folder()?).map_err(Error::Tool)?;
    progress::say(format!(
        "share {share} of all changes to the engine, one after another"
    ));
    let mut mutants = Command::new("timeout");
    mutants
        .arg(format!("{LIMIT_MINUTES}m"))
        .arg(&program)
        .args(["mutants", "--package", "coppice", "--jobs", "1"])
        .args(["--no-shuffle", "--sharding", "round-robin"])
        .args(["--shard", share, "--output"])
        .arg(operator::target().join("mutants"))
        .current_dir(operator::checkout())
        .stdin(Stdio::null());
    let status = mutants
        .status()
        .map_err(|source| Error::Start { program, source })?;
    let share = share.to_owned();
    match status.code() {
        Some(0) => {
            progress::say(format!("share {share}: a test notices every change"));
            Ok(())
        }
        Some(TIMED_OUT) => Err(Error::TooLong { share }),
        _ => Err(Error::Unnoticed { share }),
    }
}
