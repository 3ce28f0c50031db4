//! The operator as an earlier commit of this checkout had it: what an upgrade takes the place of.
//!
//! Rule: it is built once per machine, from the history alone; what the checkout holds now has no part in it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cache;
use crate::images;
use crate::operator;
use crate::progress::Step;

/// The last commit whose operator knew nothing of revisions and rollouts. Upgrades from it are the furthest that there
/// are: its Pods, statuses and claims must be taken over as they stand.
pub const COMMIT: &str = "d0050d104e6607dc1dea78340d9dd36f58df04d0";

/// Why the earlier operator is not there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cache has no place.
    #[error(transparent)]
    NoCache(#[from] cache::Error),
    /// A folder or file in the cache could not be used.
    #[error("use {path}")]
    Cache {
        /// The folder or file.
        path: PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
    /// A program could not be started.
    #[error("run `{program}`")]
    Start {
        /// The program.
        program: &'static str,
        /// What the system answered.
        source: std::io::Error,
    },
    /// The checkout has its history, and the commit is not in it.
    #[error("find commit {COMMIT} in the history of the checkout")]
    Missing,
    /// A program failed.
    #[error("{what} {COMMIT}; what `{program}` said is above")]
    Failed {
        /// What it was to do.
        what: &'static str,
        /// The program.
        program: &'static str,
    },
}

/// Its program for this machine; none where the checkout came without its history, as an archive of the source does, or with a part
/// of it.
pub fn program() -> Result<Option<PathBuf>, Error> {
    let folder = cache::folder()?.join("earlier");
    let program = folder.join(COMMIT);
    if program.exists() {
        return Ok(Some(program));
    }
    if !is_in_history()? {
        return Ok(None);
    }
    fs::create_dir_all(&folder).map_err(failed(&folder))?;
    let lock = folder.join("build.lock");
    let held = File::create(&lock).and_then(|file| file.lock().map(|()| file));
    let _held = held.map_err(failed(&lock))?;
    if !program.exists() {
        let workshop = folder.join("build");
        let compiled = compile(&workshop)?;
        // Nobody sees a program that is half there.
        fs::rename(&compiled, &program).map_err(failed(&program))?;
        fs::remove_dir_all(&workshop).map_err(failed(&workshop))?;
    }
    Ok(Some(program))
}

/// Whether the commit is there. Only a checkout without its history, or with a part of it, may lack it.
fn is_in_history() -> Result<bool, Error> {
    let commit = format!("{COMMIT}^{{commit}}");
    let ask = |arguments: &[&str]| {
        let output = git().args(arguments).output();
        output.map_err(|source| Error::Start {
            program: "git",
            source,
        })
    };
    if ask(&["cat-file", "-e", &commit])?.status.success() {
        return Ok(true);
    }
    let shallow = ask(&["rev-parse", "--is-shallow-repository"])?;
    if shallow.status.success() && shallow.stdout.trim_ascii() == b"false" {
        return Err(Error::Missing);
    }
    Ok(false)
}

/// Takes the source out of the history into the folder `workshop`, and compiles it there.
fn compile(workshop: &Path) -> Result<PathBuf, Error> {
    let step = Step::begin(format!("building the operator of commit {}", &COMMIT[..7]));
    let source = workshop.join("source");
    fs::create_dir_all(&source).map_err(failed(&source))?;
    let archive = workshop.join("source.tar");
    let mut pack = git();
    pack.args(["archive", "--output"]).arg(&archive).arg(COMMIT);
    succeed(pack, "git", "pack the source of commit")?;
    let mut unpack = Command::new("tar");
    unpack.arg("-xf").arg(&archive).arg("-C").arg(&source);
    succeed(unpack, "tar", "unpack the source of commit")?;
    let target = workshop.join("target");
    let mut cargo = images::cargo();
    cargo
        .current_dir(&source)
        .args(["build", "--quiet", "--locked", "-p", "coppice"])
        .args(["--bin", "coppice", "--target-dir"])
        .arg(&target)
        .env("CARGO_PROFILE_DEV_DEBUG", "0");
    succeed(cargo, "cargo", "build the operator of commit")?;
    step.done();
    Ok(target.join("debug/coppice"))
}

fn git() -> Command {
    let mut git = Command::new("git");
    git.arg("-C").arg(operator::checkout());
    git
}

fn succeed(mut command: Command, program: &'static str, what: &'static str) -> Result<(), Error> {
    match command.stdin(Stdio::null()).stdout(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(Error::Failed { what, program }),
        Err(source) => Err(Error::Start { program, source }),
    }
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Cache { path, source }
}
