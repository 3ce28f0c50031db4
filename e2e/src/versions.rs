//! Which versions the harness builds: the `go.mod` files under `tools/` say, and this file picks the Kubernetes minor.
//!
//! Rule: a version is written in exactly one place; everything else reads it from there.

use std::path::{Path, PathBuf};

/// The Kubernetes minor that is built unless the environment variable `KUBERNETES` names another one. Each has a
/// module under `tools/kubernetes/`, whose `go.mod` holds the patch version.
pub const KUBERNETES: &str = "1.37";

/// Why a version is not known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no module for the asked minor.
    #[error("build Kubernetes {minor}: the known minors are {}", known.join(", "))]
    Minor {
        /// The asked minor.
        minor: String,
        /// The minors that have a module.
        known: Vec<String>,
    },
    /// A `go.mod` could not be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
    /// A `go.mod` does not hold what is looked for.
    #[error("find {what} in {path}")]
    Missing {
        /// What was looked for.
        what: String,
        /// The file.
        path: PathBuf,
    },
}

/// One Go module of tools: where it is, and what it holds.
#[derive(Debug, Clone)]
pub struct ToolModule {
    /// The module's folder.
    pub dir: PathBuf,
    /// The version of the module whose commands are built, such as `v1.37.2`.
    pub version: String,
    /// The least Go version that can build it, such as `1.26.0`.
    pub go: String,
    /// The text of `go.mod` and `go.sum`: what the built binaries depend on.
    pub sums: String,
}

impl ToolModule {
    /// The module in `tools/folder`, whose commands come from the Go module `provider`.
    pub fn read(folder: &str, provider: &str) -> Result<Self, Error> {
        let dir = tools().join(folder);
        let (mods, sums) = (read(&dir.join("go.mod"))?, read(&dir.join("go.sum"))?);
        let find = |what: &str| {
            let mut words = mods
                .lines()
                .map(|line| line.trim().trim_start_matches("require ").split(' '));
            let found = words
                .find_map(|mut line| (line.next() == Some(what)).then(|| line.next()).flatten());
            found.map(str::to_owned).ok_or_else(|| Error::Missing {
                what: what.to_owned(),
                path: dir.join("go.mod"),
            })
        };
        Ok(Self {
            version: find(provider)?,
            go: find("go")?,
            sums: format!("{mods}{sums}"),
            dir,
        })
    }
}

/// The folder under `tools/` of the chosen Kubernetes minor.
pub fn kubernetes_folder() -> Result<String, Error> {
    let minor = std::env::var("KUBERNETES")
        .ok()
        .filter(|minor| !minor.is_empty());
    let minor = minor.unwrap_or_else(|| KUBERNETES.to_owned());
    let folder = format!("kubernetes/{minor}");
    if tools().join(&folder).join("go.mod").exists() {
        return Ok(folder);
    }
    let entries = std::fs::read_dir(tools().join("kubernetes"))
        .into_iter()
        .flatten()
        .flatten();
    let mut known: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    known.sort();
    Err(Error::Minor { minor, known })
}

/// The folder of the tool modules in this checkout.
pub fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tools")
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_committed_minor_can_be_chosen() {
        for minor in ["1.35", "1.36", "1.37"] {
            let module =
                ToolModule::read(&format!("kubernetes/{minor}"), "k8s.io/kubernetes").expect(minor);
            assert!(
                module.version.starts_with(&format!("v{minor}.")),
                "{minor}: {}",
                module.version
            );
            assert!(
                module
                    .sums
                    .contains(&format!("k8s.io/kubernetes {} h1:", module.version)),
                "{minor} has its sums"
            );
        }
    }
}
