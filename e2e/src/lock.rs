//! Who owns a run: the process that started it, or nobody when it was left running on purpose.
//!
//! Rule: a run whose owner is dead is cleaned, by its ledger, before its lock is given to anybody else.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::ledger::{self, Ledger};
use crate::pid::Pid;
use crate::{progress, run};

const POLL: Duration = Duration::from_millis(200);

/// Why a lock was not had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The lock's file could not be read or written.
    #[error("use the lock {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
    /// Another process has it and does not end.
    #[error("wait for process {owner}, whose cluster in {} is still running", dir.display())]
    Busy {
        /// The other process.
        owner: u32,
        /// Its run's folder.
        dir: PathBuf,
    },
    /// What a dead owner left could not be cleaned.
    #[error("clean up what an earlier run left in {}", dir.display())]
    Clean {
        /// The earlier run's folder.
        dir: PathBuf,
        /// What is left.
        source: ledger::Error,
    },
}

/// Who owns a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// The process that started it; the run ends with it.
    Process(Pid),
    /// Nobody: it was left running on purpose, until `make down` or the next start.
    Kept,
}

/// What a lock's file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The run's folder.
    pub dir: PathBuf,
    /// The run's owner.
    pub owner: Owner,
}

/// A lock that this process holds. Dropping it changes nothing: [`Lock::release`] gives it back.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    holder: Holder,
}

impl Lock {
    /// Takes the lock `path` for the run in `dir`: waits up to `patience` for another living owner, ends a run that was
    /// kept, and cleans what a dead owner left.
    pub async fn take(path: &Path, dir: &Path, patience: Duration) -> Result<Self, Error> {
        let begun = Instant::now();
        let holder = Holder {
            dir: dir.to_owned(),
            owner: Owner::Process(Pid::current()),
        };
        let mut announced = false;
        loop {
            match attempt(path, &holder)? {
                None => {
                    return Ok(Self {
                        path: path.to_owned(),
                        holder,
                    });
                }
                Some(other) if begun.elapsed() > patience => {
                    return Err(Error::Busy {
                        owner: other,
                        dir: dir.to_owned(),
                    });
                }
                Some(other) if !announced => {
                    progress::say(format!(
                        "waiting for process {other}, whose cluster is running"
                    ));
                    announced = true;
                }
                Some(_) => {}
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// From now on nobody owns the run, so that it outlives this process.
    pub fn keep(&mut self) -> Result<(), Error> {
        let _guard = guard(&self.path)?;
        self.holder.owner = Owner::Kept;
        write(&self.path, &self.holder)
    }

    /// The lock's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the lock back; the run must be clean.
    pub fn release(&self) -> Result<(), Error> {
        let _guard = guard(&self.path)?;
        remove(&self.path)
    }
}

/// Takes the lock if it is free, or can be made free by cleaning; else the living owner's process number.
fn attempt(path: &Path, holder: &Holder) -> Result<Option<u32>, Error> {
    let _guard = guard(path)?;
    if let Some(found) = read(path)? {
        match found.owner {
            Owner::Process(pid) if pid.is_alive() => return Ok(Some(pid.number)),
            Owner::Process(pid) => progress::say(format!(
                "cleaning up after process {}, which did not",
                pid.number
            )),
            Owner::Kept => progress::say("ending the cluster that was left running"),
        }
        clean_run(&found.dir)?;
    }
    write(path, holder)?;
    Ok(None)
}

/// Cleans the run of the lock `path` when its owner is dead, or also when it was kept if `kept` says so.
/// `true` when there was something to clean.
pub fn clean_if_left(path: &Path, kept: bool) -> Result<bool, Error> {
    let _guard = guard(path)?;
    let Some(found) = read(path)? else {
        return Ok(false);
    };
    let left = match found.owner {
        Owner::Process(pid) => !pid.is_alive(),
        Owner::Kept => kept,
    };
    if left {
        clean_run(&found.dir)?;
        remove(path)?;
    }
    Ok(left)
}

/// Who holds the lock `path`, if anybody.
pub fn holder(path: &Path) -> Result<Option<Holder>, Error> {
    let _guard = guard(path)?;
    read(path)
}

fn clean_run(dir: &Path) -> Result<(), Error> {
    let ledger = run::ledger_file(dir);
    if !ledger.exists() {
        return Ok(());
    }
    let cleaned = Ledger::open(&ledger).and_then(|ledger| ledger.clean());
    cleaned.map_err(|source| Error::Clean {
        dir: dir.to_owned(),
        source,
    })
}

/// Everything that reads or changes a lock of one folder does so one at a time; the kernel lets go when a process dies.
fn guard(path: &Path) -> Result<File, Error> {
    let guard = path.with_file_name("guard");
    let open = || -> std::io::Result<File> {
        if let Some(folder) = guard.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&guard)?;
        file.lock()?;
        Ok(file)
    };
    open().map_err(|source| Error::File {
        path: guard.clone(),
        source,
    })
}

fn read(path: &Path) -> Result<Option<Holder>, Error> {
    match std::fs::read(path) {
        // Written by rename, so it is whole; what cannot be read is from a version that is no more.
        Ok(text) => Ok(serde_json::from_slice(&text).ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File {
            path: path.to_owned(),
            source,
        }),
    }
}

fn write(path: &Path, holder: &Holder) -> Result<(), Error> {
    let partial = path.with_extension("partial");
    let text = serde_json::to_vec(holder).map_err(std::io::Error::from);
    let written = text
        .and_then(|text| std::fs::write(&partial, text))
        .and_then(|()| std::fs::rename(&partial, path));
    written.map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })
}

fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Error::File {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}
