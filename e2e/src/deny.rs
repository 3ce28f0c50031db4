//! `make deny`: what the locked dependencies may be, by `deny.toml`.
//!
//! Rule: licences, bans and sources are judged on every machine; known vulnerabilities wherever their list can be had,
//! and where it cannot, that is said aloud with the reason.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::cache;
use crate::cargo_tools::{self, DENY};
use crate::operator;
use crate::progress;

/// How long the list of vulnerabilities may take to arrive, in seconds.
const FETCH_SECONDS: &str = "120";

/// Why the dependencies are not as they should be, or not known to be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cache has no place.
    #[error(transparent)]
    Cache(#[from] cache::Error),
    /// The tool could not be built.
    #[error("get cargo-deny")]
    Tool(#[source] cargo_tools::Error),
    /// The tool could not be started.
    #[error("run {program}")]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
    /// Something is not allowed.
    #[error(
        "the dependencies break the rules of deny.toml for {checks}; what cargo-deny said is above"
    )]
    Refused {
        /// The checks that were made.
        checks: String,
    },
}

/// Judges the dependencies of the checkout, and says what was judged.
pub fn run() -> Result<(), Error> {
    let program = DENY.program(&cache::folder()?).map_err(Error::Tool)?;
    check(&program, "--locked", &["bans", "licenses", "sources"])?;
    match fetch(&program)? {
        // The list is there now, and a network that ends in between is no reason to fail.
        None => check(&program, "--frozen", &["advisories"]),
        Some(reason) => {
            progress::say(format!(
                "SKIPPED: advisories were not checked, because their list could not be had: {reason}"
            ));
            Ok(())
        }
    }
}

fn check(program: &Path, how: &str, checks: &[&str]) -> Result<(), Error> {
    let mut deny = command(program);
    deny.args(["--log-level", "warn", how, "check"])
        .args(checks);
    let status = deny.status().map_err(failed(program))?;
    let checks = checks.join(", ");
    if status.success() {
        progress::say(format!("{checks}: as deny.toml wants them"));
        Ok(())
    } else {
        Err(Error::Refused { checks })
    }
}

/// Gets the list of vulnerabilities; says why not, if it cannot be had.
fn fetch(program: &Path) -> Result<Option<String>, Error> {
    let mut deny = Command::new("timeout");
    deny.arg(FETCH_SECONDS).arg(program);
    prepare(&mut deny);
    let output = deny
        .args(["--locked", "fetch", "db"])
        .env("GIT_TERMINAL_PROMPT", "0")
        .output()
        .map_err(failed(program))?;
    Ok((!output.status.success()).then(|| reason(&output)))
}

/// The last thing that a program complained about.
fn reason(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    last.map_or_else(|| output.status.to_string(), |line| line.trim().to_owned())
}

fn command(program: &Path) -> Command {
    let mut deny = Command::new(program);
    prepare(&mut deny);
    deny
}

fn prepare(deny: &mut Command) {
    deny.current_dir(operator::checkout()).stdin(Stdio::null());
}

fn failed(program: &Path) -> impl Fn(std::io::Error) -> Error {
    let program = program.to_owned();
    move |source| Error::Start {
        program: program.clone(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::*;

    fn output(status: i32, stderr: &str) -> Output {
        Output {
            status: ExitStatus::from_raw(status << 8),
            stdout: Vec::new(),
            stderr: stderr.into(),
        }
    }

    #[test]
    fn the_reason_is_what_was_said_last() {
        let said = "cloning\nfatal: Could not resolve host: example.com\n\n";
        assert_eq!(
            reason(&output(1, said)),
            "fatal: Could not resolve host: example.com"
        );
        assert_eq!(reason(&output(124, "")), "exit status: 124");
    }
}
