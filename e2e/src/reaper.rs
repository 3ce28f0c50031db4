//! The reaper: a small process beside each run that cleans it when its owner dies, however that happens.
//!
//! Rule: it acts only when the owner is dead, which it learns from the kernel: the pipe between them is closed without
//! a word. So a panic, a failed test, Ctrl-C and `kill -9` all end the same way, and signal handlers are not needed.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::lock::{self, Owner};

/// The subcommand of the `lab` binary that is the reaper.
pub const SUBCOMMAND: &str = "reap";

/// What an owner writes that needs no reaper any more; one that dies writes nothing.
const DISMISSED: &[u8] = b".";

/// Why there is no reaper.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The harness's own binary is not where Cargo puts it.
    #[error("find the `lab` binary beside {exe}: build it with `cargo build -p e2e`")]
    NoBinary {
        /// The file of this program.
        exe: PathBuf,
    },
    /// It could not be started.
    #[error("start the reaper")]
    Start(#[source] std::io::Error),
}

/// How often a dying owner is looked at.
const POLL: Duration = Duration::from_millis(10);

/// The running reaper of a run; dropping this sends it away.
#[derive(Debug)]
pub struct Reaper {
    child: Child,
}

impl Reaper {
    /// Starts the reaper of the run that holds the lock `lock`; what it says goes to the file `log`.
    pub fn start(lock: &Path, log: &Path) -> Result<Self, Error> {
        let binary = lab_binary()?;
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .map_err(Error::Start)?;
        let mut command = Command::new(binary);
        command
            .arg(SUBCOMMAND)
            .arg(lock)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log);
        // Not in the terminal's foreground group: Ctrl-C is for the owner.
        let child = command.process_group(0).spawn().map_err(Error::Start)?;
        Ok(Self { child })
    }

    /// The reaper's process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        if let Some(mut pipe) = self.child.stdin.take() {
            // A reaper that is gone already need not be told.
            let _ = pipe.write_all(DISMISSED);
        }
        let _ = self.child.wait();
    }
}

/// What the reaper does: waits until it is sent away, or for the owner's end and then cleans what it left.
pub fn reap(lock: &Path) -> Result<(), lock::Error> {
    let owner = lock::holder(lock)?.map(|holder| holder.owner);
    let mut word = [0_u8; 1];
    if matches!(std::io::stdin().read(&mut word), Ok(count) if count > 0) {
        return Ok(());
    }
    // The kernel closes the files of a killed process before the process is gone, on a busy machine long before.
    while let Some(Owner::Process(owner)) = owner
        && owner.is_alive()
    {
        std::thread::sleep(POLL);
    }
    lock::clean_if_left(lock, false).map(|_| ())
}

/// The harness's own binary: this program, or the one Cargo put beside this test.
pub fn lab_binary() -> Result<PathBuf, Error> {
    let exe = std::env::current_exe().map_err(Error::Start)?;
    // A test is in the folder `deps` beneath.
    let beside = exe
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("lab"))
        .find(|path| path.is_file());
    beside.ok_or(Error::NoBinary { exe })
}
