//! Programs from crates.io that look at the dependencies or the tests: built once per machine, kept in the cache.
//!
//! Rule: a version is written here and nowhere else, and a tool in the cache is a whole one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::images;
use crate::progress::{self, Step};

/// Judges licences, sources, bans and known vulnerabilities.
pub const DENY: CargoTool = CargoTool("cargo-deny", "0.20.2");
/// Lists what a program is made of.
pub const CYCLONEDX: CargoTool = CargoTool("cargo-cyclonedx", "0.5.9");
/// Changes the code, to see whether a test notices.
pub const MUTANTS: CargoTool = CargoTool("cargo-mutants", "27.1.0");

/// Name and version of a tool.
#[derive(Debug, Clone, Copy)]
pub struct CargoTool(&'static str, &'static str);

/// Why a tool is not there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A folder or file in the cache could not be used.
    #[error("use {path}")]
    Cache {
        /// The folder or file.
        path: PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
    /// Cargo could not be started.
    #[error("run `cargo install {tool}`")]
    Cargo {
        /// The tool.
        tool: &'static str,
        /// What the system answered.
        source: std::io::Error,
    },
    /// Cargo could not build it.
    #[error("build {tool} {version}; what Cargo said is above")]
    Install {
        /// The tool.
        tool: &'static str,
        /// Its version.
        version: &'static str,
    },
}

impl CargoTool {
    /// The program in `cache`, built now if it is not there. A build that another process is busy with is awaited.
    pub fn program(self, cache: &Path) -> Result<PathBuf, Error> {
        let Self(tool, version) = self;
        let folder = cache.join("cargo-tools");
        let home = folder.join(format!("{tool}-{version}"));
        let program = home.join("bin").join(tool);
        if program.exists() {
            return Ok(program);
        }
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Cache { path, source }
        };
        fs::create_dir_all(&folder).map_err(failed(&folder))?;
        let lock = folder.join("build.lock");
        let held = File::create(&lock).and_then(|file| file.lock().map(|()| file));
        let _held = held.map_err(failed(&lock))?;
        if !program.exists() {
            let build = folder.join("build");
            install(self, &build)?;
            // Nobody sees a tool that is half there.
            let _ = fs::remove_dir_all(&home);
            fs::rename(build.join("root"), &home).map_err(failed(&home))?;
            fs::remove_dir_all(&build).map_err(failed(&build))?;
        }
        Ok(program)
    }
}

/// Builds a tool below `build`, which is the builder's own.
fn install(CargoTool(tool, version): CargoTool, build: &Path) -> Result<(), Error> {
    progress::say(format!(
        "{tool} has to be built, once; later runs find it in the cache"
    ));
    let step = Step::begin(format!("building {tool} {version}"));
    let mut cargo = images::cargo();
    cargo
        .args(["install", "--locked", "--quiet", "--version", version, tool])
        .arg("--root")
        .arg(build.join("root"))
        .arg("--target-dir")
        .arg(build.join("target"));
    // It runs for seconds, so it is not worth minutes of optimisation.
    for (setting, value) in [("OPT_LEVEL", "0"), ("LTO", "off"), ("CODEGEN_UNITS", "16")] {
        cargo.env(format!("CARGO_PROFILE_RELEASE_{setting}"), value);
    }
    match cargo.stdin(Stdio::null()).stdout(Stdio::null()).status() {
        Ok(status) if status.success() => {
            step.done();
            Ok(())
        }
        Ok(_) => Err(Error::Install { tool, version }),
        Err(source) => Err(Error::Cargo { tool, source }),
    }
}
