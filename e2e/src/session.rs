//! A run with its lock and its reaper: what exists from the first thing made to the last thing removed.
//!
//! Rule: dropping it cleans, whatever happened in between, unless it was told to keep.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::build::Binaries;
use crate::lock::{self, Lock};
use crate::reaper::{self, Reaper};
use crate::run::{self, Run};
use crate::{ledger, progress};

/// The lock that full clusters take: there is one network, one set of control groups, one set of names.
pub const FULL_LOCK: &str = "/run/coppice-e2e/lock";
/// How long to wait for another process's full cluster to end.
const PATIENCE: Duration = Duration::from_mins(30);

/// Why a session could not begin or end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The lock was not had or not given back.
    #[error("lock the machine for one cluster")]
    Lock(#[source] lock::Error),
    /// The run could not be set up.
    #[error("set up the run")]
    Run(#[source] run::Error),
    /// There is nobody who would clean up.
    #[error("make sure that the run is cleaned up")]
    Reaper(#[source] reaper::Error),
    /// Something is left.
    #[error("end the run")]
    Clean(#[source] ledger::Error),
}

/// One run in progress.
#[derive(Debug)]
pub struct Session {
    run: Arc<Run>,
    lock: Lock,
    // After the lock in the order of dropping: it ends when it sees that there is nothing to do.
    reaper: Option<Reaper>,
    over: bool,
}

impl Session {
    /// Begins the one full run of this machine; what an earlier one left is cleaned first.
    pub async fn full(cache: &Path, binaries: Binaries) -> Result<Self, Error> {
        Self::begin(cache, "full", PathBuf::from(FULL_LOCK), binaries).await
    }

    /// Begins a run that shares nothing with others; what dead owners of such runs left is cleaned first.
    pub async fn separate(cache: &Path, kind: &str, binaries: Binaries) -> Result<Self, Error> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        clean_left(cache, false)?;
        let name = format!(
            "{kind}-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let lock = cache.join("runs").join(format!("{name}.lock"));
        Self::begin(cache, &name, lock, binaries).await
    }

    async fn begin(
        cache: &Path,
        name: &str,
        lock: PathBuf,
        binaries: Binaries,
    ) -> Result<Self, Error> {
        let lock = Lock::take(&lock, &run::folder(cache, name), PATIENCE)
            .await
            .map_err(Error::Lock)?;
        let run = match Run::start(cache, name, binaries) {
            Ok(run) => Arc::new(run),
            Err(error) => {
                lock.release().map_err(Error::Lock)?;
                return Err(Error::Run(error));
            }
        };
        let mut session = Self {
            run,
            lock,
            reaper: None,
            over: false,
        };
        let log = session.run.log("reaper");
        session.reaper = Some(Reaper::start(session.lock.path(), &log).map_err(Error::Reaper)?);
        Ok(session)
    }

    /// The run.
    pub fn run(&self) -> &Arc<Run> {
        &self.run
    }

    /// The process number of the reaper.
    pub fn reaper(&self) -> Option<u32> {
        self.reaper.as_ref().map(Reaper::pid)
    }

    /// Leaves everything running when this process ends.
    pub fn keep(mut self) -> Result<(), Error> {
        self.lock.keep().map_err(Error::Lock)?;
        self.over = true;
        Ok(())
    }

    /// Ends everything and reports what could not be ended.
    pub fn end(mut self) -> Result<(), Error> {
        self.clean()
    }

    fn clean(&mut self) -> Result<(), Error> {
        self.over = true;
        self.run.ledger().clean().map_err(Error::Clean)?;
        self.lock.release().map_err(Error::Lock)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.over
            && let Err(error) = self.clean()
        {
            progress::say(describe(&error));
        }
    }
}

/// Cleans the separate runs of this cache whose owners are dead, and those that were kept if `kept` says so; returns
/// how many there were.
pub fn clean_left(cache: &Path, kept: bool) -> Result<usize, Error> {
    let mut cleaned = 0;
    let runs = std::fs::read_dir(cache.join("runs"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    for lock in runs.filter(|path| {
        path.extension()
            .is_some_and(|extension| extension == "lock")
    }) {
        cleaned += usize::from(lock::clean_if_left(&lock, kept).map_err(Error::Lock)?);
    }
    Ok(cleaned)
}

/// An error with all its causes, in one line.
pub fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
