//! `make sbom`: the list of what the operator's program is made of, in the `CycloneDX` format.
//!
//! Rule: a list that does not name every locked dependency of the program is an error, not a list.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::cache;
use crate::cargo_tools::{self, CYCLONEDX};
use crate::{images, operator};

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cache has no place.
    #[error(transparent)]
    Cache(#[from] cache::Error),
    /// The tool could not be built.
    #[error("get cargo-cyclonedx")]
    Tool(#[source] cargo_tools::Error),
    /// A program failed.
    #[error(transparent)]
    Program(#[from] operator::Error),
    /// A file could not be used.
    #[error("use {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
    /// The list cannot be read.
    #[error("read the list {path}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// Something is not in the list.
    #[error("the list does not name {}", missing.join(", "))]
    Missing {
        /// What is missing, as `name version`.
        missing: Vec<String>,
    },
}

/// What of a `CycloneDX` document is read here.
#[derive(Deserialize)]
struct Document {
    components: Vec<Component>,
}

#[derive(Deserialize)]
struct Component {
    name: String,
    version: String,
}

/// Writes the list where Cargo puts its output, and returns where that is.
pub fn run() -> Result<PathBuf, Error> {
    let tool = CYCLONEDX.program(&cache::folder()?).map_err(Error::Tool)?;
    let checkout = operator::checkout();
    let triple = images::triple();
    // The tool writes beside the manifest of each package, so the name must be one that nothing else has.
    let name = format!("sbom-{}", std::process::id());
    let mut cyclonedx = Command::new(tool);
    cyclonedx.current_dir(checkout).args([
        "cyclonedx",
        "--quiet",
        "--format",
        "json",
        "--spec-version",
        "1.5",
        "--target",
        &triple,
        "--override-filename",
        &name,
    ]);
    let outcome = operator::said(cyclonedx);
    let written = [
        checkout.join(format!("{name}.json")),
        checkout.join(format!("e2e/{name}.json")),
    ];
    let list = outcome
        .map_err(Error::from)
        .and_then(|_| copied(&written[0], &operator::target().join("sbom")));
    for file in written {
        // What is no longer there needs no removing.
        let _ = fs::remove_file(file);
    }
    let list = list?;
    verify(&list, &locked(&triple)?)?;
    Ok(list)
}

/// Copies the list into a folder, without the places of this machine.
fn copied(from: &Path, folder: &Path) -> Result<PathBuf, Error> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::File { path, source }
    };
    fs::create_dir_all(folder).map_err(failed(folder))?;
    let to = folder.join("coppice.cdx.json");
    let list = fs::read_to_string(from).map_err(failed(from))?;
    // Where the sources were on this machine is nobody's business.
    let here = operator::checkout().to_string_lossy();
    fs::write(&to, list.replace(&*here, "/coppice")).map_err(failed(&to))?;
    Ok(to)
}

/// What Cargo builds the program from, as `name version`: dependencies, and what runs while it is built.
fn locked(triple: &str) -> Result<BTreeSet<String>, Error> {
    let mut cargo = images::cargo();
    cargo.current_dir(operator::checkout()).args([
        "tree",
        "--locked",
        "--package",
        "coppice",
        "--edges",
        "normal,build",
        "--target",
        triple,
        "--prefix",
        "none",
    ]);
    Ok(of_tree(&operator::said(cargo)?))
}

/// The lines of `cargo tree` without the program itself.
fn of_tree(said: &str) -> BTreeSet<String> {
    said.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
            (name != "coppice").then(|| format!("{name} {version}"))
        })
        .collect()
}

fn verify(list: &Path, locked: &BTreeSet<String>) -> Result<(), Error> {
    let text = fs::read(list).map_err(|source| Error::File {
        path: list.to_owned(),
        source,
    })?;
    let document: Document = serde_json::from_slice(&text).map_err(|source| Error::Parse {
        path: list.to_owned(),
        source,
    })?;
    let named: BTreeSet<String> = document
        .components
        .iter()
        .map(|one| format!("{} {}", one.name, one.version))
        .collect();
    let missing: Vec<String> = locked.difference(&named).cloned().collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Error::Missing { missing })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_leaves_something_out_is_refused_by_name() {
        let tree = "coppice v0.1.0 (/src/coppice)\nanyhow v1.0.1\nserde_derive v1.0.2 (proc-macro)\nanyhow v1.0.1 (*)\n\n";
        let locked = of_tree(tree);
        assert_eq!(
            locked.iter().collect::<Vec<_>>(),
            ["anyhow 1.0.1", "serde_derive 1.0.2"]
        );
        let list =
            std::env::temp_dir().join(format!("coppice-sbom-test-{}.json", std::process::id()));
        let write =
            |components: &str| fs::write(&list, format!("{{\"components\": [{components}]}}"));
        let anyhow = r#"{"name": "anyhow", "version": "1.0.1"}"#;
        write(anyhow).expect("a file");
        let refused = verify(&list, &locked).expect_err("an error");
        assert_eq!(
            refused.to_string(),
            "the list does not name serde_derive 1.0.2"
        );
        write(&format!(
            r#"{anyhow}, {{"name": "serde_derive", "version": "1.0.2"}}"#
        ))
        .expect("a file");
        verify(&list, &locked).expect("a whole list");
        fs::remove_file(list).expect("removed");
    }
}
