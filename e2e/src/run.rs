//! One run: a folder, a ledger, the built binaries. Every part of a cluster starts from it.
//!
//! Rule: a run's folder holds nothing that outlives it, except its logs, which are kept beside the other runs' logs.

use std::path::{Path, PathBuf};

use crate::build::Binaries;
use crate::ledger::{self, Entry, Ledger};
use crate::process::{self, Process, Program};

/// Of how many runs the logs are kept.
const KEPT_LOGS: usize = 40;

/// What every part of a cluster needs in order to start: shared behind an `Arc`.
#[derive(Debug)]
pub struct Run {
    dir: PathBuf,
    logs: PathBuf,
    ledger: Ledger,
    binaries: Binaries,
}

/// Why a run could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A folder could not be made.
    #[error("make the folder {path}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
    /// The ledger could not be started.
    #[error("start the run's ledger")]
    Ledger(#[source] ledger::Error),
}

impl Run {
    /// Starts the run `name` in the folder `runs/name`, with logs in the folder `logs/name`, both of the cache.
    pub fn start(cache: &Path, name: &str, binaries: Binaries) -> Result<Self, Error> {
        let dir = folder(cache, name);
        let logs = cache.join("logs").join(name);
        // Logs tell about the last run of a name, not about all of them.
        let _ = std::fs::remove_dir_all(&logs);
        forget_old_logs(&cache.join("logs"));
        for path in [&dir, &logs] {
            std::fs::create_dir_all(path).map_err(|source| Error::Folder {
                path: path.clone(),
                source,
            })?;
        }
        // The run's identity is its folder: unique on the machine, and readable in a process's environment.
        let ledger =
            Ledger::create(&ledger_file(&dir), &dir.to_string_lossy()).map_err(Error::Ledger)?;
        ledger
            .record(Entry::Path { path: dir.clone() })
            .map_err(Error::Ledger)?;
        Ok(Self {
            dir,
            logs,
            ledger,
            binaries,
        })
    }

    /// The run's folder: absolute, short enough for socket names, removed at the end.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A new folder `name` in the run's folder.
    pub fn folder(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.dir.join(name);
        match std::fs::create_dir_all(&path) {
            Ok(()) => Ok(path),
            Err(source) => Err(Error::Folder { path, source }),
        }
    }

    /// The log file of the process `name`.
    pub fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    /// The run's ledger.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The built binaries.
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// A program of the build, to be started as the process `name` with a log of that name.
    pub fn program(&self, binary: &str, name: &str) -> Program {
        Program::new(name, self.binaries.path(binary), self.log(name))
    }

    /// Starts `program` in this run.
    pub fn spawn(&self, program: Program) -> Result<Process, process::Error> {
        program.spawn(&self.ledger)
    }
}

/// The folder of the run `name`.
pub fn folder(cache: &Path, name: &str) -> PathBuf {
    cache.join("runs").join(name)
}

/// Removes the logs of all but the latest runs.
fn forget_old_logs(logs: &Path) {
    let entries = std::fs::read_dir(logs).into_iter().flatten().flatten();
    let mut dated: Vec<_> = entries
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    dated.sort();
    for (_, old) in dated.iter().take(dated.len().saturating_sub(KEPT_LOGS)) {
        let _ = std::fs::remove_dir_all(old);
    }
}

/// The ledger of the run in the folder `dir`; it stands beside the folder, because the folder goes before it.
pub fn ledger_file(dir: &Path) -> PathBuf {
    dir.with_extension("ledger")
}
