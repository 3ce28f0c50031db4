//! What this machine must have before a cluster is started.
//!
//! Rule: everything that is missing is named in one message, before anything is made. Installing it is the business of
//! `prepare`, the script that the Makefile runs first; both read `packages.txt`.

use std::path::{Path, PathBuf};

const PACKAGES: &str = include_str!("../packages.txt");

/// Why no cluster can be started here.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nodes need namespaces, links, control groups.
    #[error("start a cluster with nodes: this needs root")]
    NotRoot,
    /// Programs are missing.
    #[error("start a cluster with nodes: missing {}; on Debian or Ubuntu: apt-get install {}", programs.join(", "), packages.join(" "))]
    Missing {
        /// The missing programs and files.
        programs: Vec<&'static str>,
        /// The Debian packages that have them.
        packages: Vec<&'static str>,
    },
}

/// Checks that a cluster with nodes can be started: root, and every program of `packages.txt`.
pub fn check() -> Result<(), Error> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::NotRoot);
    }
    let needed = PACKAGES
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(' '));
    let (programs, mut packages): (Vec<_>, Vec<_>) = needed
        .filter(|(program, _)| find(program).is_none())
        .unzip();
    packages.dedup();
    if programs.is_empty() {
        Ok(())
    } else {
        Err(Error::Missing { programs, packages })
    }
}

/// Where a program is: on the `PATH`, or where systems keep those for root. A name with a slash is looked for there.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    let folders = std::env::split_paths(&path).chain(system);
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|file| file.exists());
    }
    folders
        .map(|folder| folder.join(program))
        .find(|file| is_file(file))
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_by_name_and_by_path() {
        assert!(find("sh").is_some());
        assert!(find("/bin/sh").is_some());
        assert_eq!(find("no-such-program-anywhere"), None);
        assert_eq!(find("/no/such/file"), None);
    }
}
