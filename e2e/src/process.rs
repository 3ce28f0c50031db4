//! Child processes of a run: started with a log file and the run's mark, awaited with a deadline.
//!
//! Rule: every child is in the ledger, in a process group of its own (Ctrl-C at the terminal does not reach it), and
//! always reaped, so that it never lingers as a zombie.

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::ledger::{self, Entry, Ledger};
use crate::pid::Pid;

/// How often readiness is looked at.
const POLL: Duration = Duration::from_millis(50);
/// How much of a log an error shows.
const LOG_LINES: usize = 20;

/// Why a process did not start or did not become ready.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program could not be started.
    #[error("start {name} ({program})")]
    Start {
        /// The process's name.
        name: String,
        /// The program's file.
        program: PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
    /// The process ended instead of becoming ready.
    #[error("{name} ended with {status} before it was ready; the end of {log}:\n{tail}")]
    Ended {
        /// The process's name.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// Its log file.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// The process is running but was not ready in time.
    #[error("{name} was not ready within {seconds} s; the end of {log}:\n{tail}", seconds = within.as_secs())]
    NotReady {
        /// The process's name.
        name: String,
        /// The time it had.
        within: Duration,
        /// Its log file.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// The process could not be written down.
    #[error("start {name}")]
    Ledger {
        /// The process's name.
        name: String,
        /// Why not.
        source: ledger::Error,
    },
}

/// A program to be started: like [`Command`], plus a name and a log file.
#[derive(Debug)]
pub struct Program {
    name: String,
    file: PathBuf,
    log: PathBuf,
    command: Command,
}

impl Program {
    /// The program in the file `program`, called `name` in messages; output is appended to the file `log`.
    pub fn new(
        name: impl Into<String>,
        program: impl Into<PathBuf>,
        log: impl Into<PathBuf>,
    ) -> Self {
        let program = program.into();
        Self {
            name: name.into(),
            command: Command::new(&program),
            file: program,
            log: log.into(),
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds `--name=value`.
    #[must_use]
    pub fn flag(self, name: &str, value: impl AsRef<OsStr>) -> Self {
        let mut flag = OsString::from(format!("--{name}="));
        flag.push(value);
        self.arg(flag)
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<T: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = T>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Starts the program as a process of the ledger's run.
    pub fn spawn(mut self, ledger: &Ledger) -> Result<Process, Error> {
        let name = self.name;
        let start = |source| Error::Start {
            name: name.clone(),
            program: self.file.clone(),
            source,
        };
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .map_err(start)?;
        let (mark, run) = ledger.mark();
        let command = self
            .command
            .env(mark, run)
            .process_group(0)
            .stdin(Stdio::null());
        let command = command.stdout(log.try_clone().map_err(start)?).stderr(log);
        let mut child = command.spawn().map_err(start)?;
        // Not yet reaped, so the number is the child's even if it has ended already.
        let pid = Pid::of(child.id()).unwrap_or_else(|| Pid {
            number: child.id(),
            start: 0,
        });
        let status = Arc::new(OnceLock::new());
        let seen = Arc::clone(&status);
        std::thread::spawn(move || child.wait().map(|ended| seen.set(ended)));
        let process = Process {
            name: name.clone(),
            pid,
            log: self.log,
            status,
        };
        match ledger.record(Entry::Process {
            name: name.clone(),
            pid,
        }) {
            Ok(()) => Ok(process),
            Err(source) => {
                process.pid.kill();
                Err(Error::Ledger { name, source })
            }
        }
    }
}

/// A running (or ended) child process. Dropping it does not end it: the ledger does, or [`Process::kill`].
#[derive(Debug, Clone)]
pub struct Process {
    name: String,
    pid: Pid,
    log: PathBuf,
    status: Arc<OnceLock<ExitStatus>>,
}

impl Process {
    /// The name given at the start.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which process it is.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The file its output goes to.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// How it ended, once it has.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.status.get().copied()
    }

    /// Kills it (signal 9) and waits until it is gone, for at most 10 s; `true` when it is.
    pub fn kill(&self) -> bool {
        let begun = Instant::now();
        while self.pid.is_alive() && begun.elapsed() < Duration::from_secs(10) {
            self.pid.kill();
            std::thread::sleep(Duration::from_millis(5));
        }
        !self.pid.is_alive()
    }

    /// Waits until `ready` says `true`; an error when the process ends first or `within` has passed.
    pub async fn ready(
        &self,
        within: Duration,
        mut ready: impl AsyncFnMut() -> bool,
    ) -> Result<(), Error> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                let (name, log, tail) = self.described();
                return Err(Error::Ended {
                    name,
                    status,
                    log,
                    tail,
                });
            }
            if tokio::time::timeout(within, ready()).await.unwrap_or(false) {
                return Ok(());
            }
            if begun.elapsed() > within {
                let (name, log, tail) = self.described();
                return Err(Error::NotReady {
                    name,
                    within,
                    log,
                    tail,
                });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn described(&self) -> (String, PathBuf, String) {
        (self.name.clone(), self.log.clone(), tail(&self.log))
    }
}

/// The last lines of a log file.
pub fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}
