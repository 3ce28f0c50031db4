//! The durable record of everything a run makes on this machine, and the way to undo it.
//!
//! Rule: a thing is written down *before* it is made, so a run that dies at any instruction can be cleaned by
//! whoever finds its ledger. Processes, whose number is not known before they exist, are found by the run's mark in
//! their environment as well as by the number noted afterwards.

mod undo;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::pid::Pid;

/// The environment variable that marks every process of a run; its value is the run's identity.
pub const MARK: &str = "COPPICE_RUN";

/// One thing that a run makes and that must be gone when it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Entry {
    /// A process, killed by id.
    Process {
        /// What the process is, for messages.
        name: String,
        /// Which process it is.
        pid: Pid,
    },
    /// A mount point in the machine's own mount namespace; whatever is mounted beneath it goes first.
    Mount {
        /// The mount point.
        path: PathBuf,
    },
    /// A network link of the machine's own network namespace.
    Link {
        /// The link's name.
        name: String,
    },
    /// A named network namespace, as `ip netns add` makes it.
    NetworkNamespace {
        /// The namespace's name.
        name: String,
    },
    /// A control group; its processes are killed and the groups beneath it go first.
    Cgroup {
        /// The group's absolute folder, under one hierarchy.
        path: PathBuf,
    },
    /// A table of packet filter rules.
    NftTable {
        /// The address family, such as `ip` or `inet`.
        family: String,
        /// The table's name.
        name: String,
    },
    /// A route of the machine's main table.
    Route {
        /// The destination in CIDR notation.
        destination: String,
        /// The link it leaves by.
        device: String,
    },
    /// A kernel setting that is put back.
    Sysctl {
        /// The setting's name, with dots.
        key: String,
        /// Its value before the run.
        before: String,
    },
    /// A file or a folder with everything in it.
    Path {
        /// Where it is.
        path: PathBuf,
    },
}

/// The first line of a ledger: whose it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Header {
    run: String,
    /// The kernel's boot id: after a reboot nothing but files is left of a run.
    boot: String,
}

/// Why a ledger could not be kept or undone.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The ledger's file could not be written or read.
    #[error("keep the ledger {path}")]
    File {
        /// The ledger's file.
        path: PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
    /// The ledger's file is not one.
    #[error("read line {line} of the ledger {path}")]
    Syntax {
        /// The ledger's file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A kernel setting could not be changed.
    #[error("set {key} to {value}")]
    Sysctl {
        /// The setting's name.
        key: String,
        /// The wanted value.
        value: String,
        /// What the system answered.
        source: std::io::Error,
    },
    /// Some things are still there; the ledger is kept, so cleaning may be tried again.
    #[error("clean up: {}", failures.join("; "))]
    Left {
        /// One sentence for each thing that is left.
        failures: Vec<String>,
    },
}

/// The record of one run, open for writing.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    header: Header,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    entries: Vec<Entry>,
}

impl Ledger {
    /// Starts the ledger of the run `run` in the new file `path`.
    pub fn create(path: &Path, run: &str) -> Result<Self, Error> {
        let file = OpenOptions::new().create_new(true).append(true).open(path);
        let mut file = file.map_err(|source| Error::File {
            path: path.to_owned(),
            source,
        })?;
        let header = Header {
            run: run.to_owned(),
            boot: boot_id(),
        };
        append(&mut file, &header).map_err(|source| Error::File {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            header,
            state: Mutex::new(State {
                file,
                entries: Vec::new(),
            }),
        })
    }

    /// Opens the ledger that another process left behind.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file_error = |source| Error::File {
            path: path.to_owned(),
            source,
        };
        let text = std::fs::read_to_string(path).map_err(file_error)?;
        let file = OpenOptions::new()
            .append(true)
            .open(path)
            .map_err(file_error)?;
        let syntax = |line: usize| {
            move |source| Error::Syntax {
                path: path.to_owned(),
                line,
                source,
            }
        };
        let mut lines = text.lines().enumerate();
        let first = lines.next().map_or("", |(_, line)| line);
        let header = serde_json::from_str(first).map_err(syntax(1))?;
        let mut entries = Vec::new();
        for (number, line) in lines {
            match serde_json::from_str(line) {
                Ok(entry) => entries.push(entry),
                // The owner died while it wrote the last line: what that line announced was not made yet.
                Err(_) if !text.ends_with('\n') && number + 1 == text.lines().count() => {}
                Err(source) => return Err(syntax(number + 1)(source)),
            }
        }
        Ok(Self {
            path: path.to_owned(),
            header,
            state: Mutex::new(State { file, entries }),
        })
    }

    /// The run's identity, unique on this machine.
    pub fn run(&self) -> &str {
        &self.header.run
    }

    /// The variable that every process of the run must have in its environment.
    pub fn mark(&self) -> (&'static str, &str) {
        (MARK, &self.header.run)
    }

    /// Writes down `entry`; call it before the thing is made (for a process: right after).
    pub fn record(&self, entry: Entry) -> Result<(), Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        append(&mut state.file, &entry).map_err(|source| Error::File {
            path: self.path.clone(),
            source,
        })?;
        state.entries.push(entry);
        Ok(())
    }

    /// Sets the kernel setting `key` (with dots) and remembers what it was; nothing happens when it is so already.
    pub fn set_sysctl(&self, key: &str, value: &str) -> Result<(), Error> {
        let error = |source| Error::Sysctl {
            key: key.to_owned(),
            value: value.to_owned(),
            source,
        };
        let before = undo::read_sysctl(key).map_err(error)?;
        if before == value {
            return Ok(());
        }
        self.record(Entry::Sysctl {
            key: key.to_owned(),
            before,
        })?;
        undo::write_sysctl(key, value).map_err(error)
    }

    /// Undoes everything: first all processes, at once, then the rest in reverse order; blocks for at most about 30 s.
    ///
    /// What is gone already is fine. The ledger's own file stays until all has succeeded, and is then removed.
    pub fn clean(&self) -> Result<(), Error> {
        let entries = self
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entries
            .clone();
        let failures = undo::undo(&self.header.run, self.header.boot == boot_id(), &entries);
        if !failures.is_empty() {
            return Err(Error::Left { failures });
        }
        match std::fs::remove_file(&self.path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Error::File {
                path: self.path.clone(),
                source,
            }),
            _ => Ok(()),
        }
    }
}

fn append<T: Serialize>(file: &mut File, value: &T) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    // One write call, so that a killed owner leaves at most one incomplete last line.
    file.write_all(&line)
}

fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> PathBuf {
        let folder = std::env::temp_dir().join(format!(
            "ledger-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        folder
    }

    #[test]
    fn what_a_dead_owner_wrote_down_is_undone_by_another() {
        let folder = folder();
        let path = folder.join("ledger");
        let made = folder.join("made");
        let ledger = Ledger::create(&path, "test-run").expect("a ledger");
        ledger
            .record(Entry::Path { path: made.clone() })
            .expect("recorded");
        std::fs::create_dir(&made).expect("made");
        let mut child = std::process::Command::new("sleep");
        let mut child = child
            .arg("60")
            .env(MARK, "test-run")
            .spawn()
            .expect("a marked process nobody wrote down");
        drop(ledger);
        let mut file = OpenOptions::new().append(true).open(&path).expect("open");
        file.write_all(b"{\"kind\":\"pa")
            .expect("an incomplete last line");

        Ledger::open(&path)
            .expect("opened")
            .clean()
            .expect("cleaned");

        assert!(!made.exists() && !path.exists());
        assert!(!child.wait().expect("ended").success());
        std::fs::remove_dir(&folder).expect("nothing else was left");
    }
}
