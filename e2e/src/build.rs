//! Builds the binaries of a cluster from the Go modules under `tools/`, into the cache.
//!
//! Rule: a binary appears under its name by one rename, when it is whole, so an interrupted build goes on where it
//! stopped and a half-written file is never run. The folder's name says versions and sums, so nothing old is reused.

mod files;
mod tools;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use crate::progress::{self, Step};
use crate::versions::{self, ToolModule};

pub use tools::Scope;
use tools::{Tool, tools};

/// Why a binary could not be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A version is not known.
    #[error("find out what to build")]
    Version(#[source] versions::Error),
    /// The cache could not be written.
    #[error("write {path} in the cache")]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
    /// Go is not there.
    #[error("run go: install Go {least} or later and put it on the PATH")]
    NoGo {
        /// The least version.
        least: String,
    },
    /// Go is too old; it is not asked to download another one.
    #[error("build {tool}: it needs Go {least} or later, and `go version` says {found}")]
    OldGo {
        /// What is to be built.
        tool: String,
        /// The least version.
        least: String,
        /// The version that is there.
        found: String,
    },
    /// The compiler failed.
    #[error("build {package} in {dir}:\n{output}")]
    Go {
        /// What was built.
        package: String,
        /// The module's folder.
        dir: PathBuf,
        /// What the compiler said.
        output: String,
    },
}

/// The built binaries, by name.
#[derive(Debug, Clone)]
pub struct Binaries {
    paths: BTreeMap<&'static str, PathBuf>,
    files: BTreeMap<&'static str, Vec<PathBuf>>,
    versions: BTreeMap<&'static str, String>,
}

impl Binaries {
    /// No binaries of ours: names are looked up on the `PATH`.
    pub fn none() -> Self {
        Self {
            paths: BTreeMap::new(),
            files: BTreeMap::new(),
            versions: BTreeMap::new(),
        }
    }

    /// The file of the binary `name`, such as `kubelet`; the bare name when it is not part of the scope.
    pub fn path(&self, name: &str) -> PathBuf {
        self.paths
            .get(name)
            .cloned()
            .unwrap_or_else(|| PathBuf::from(name))
    }

    /// A `PATH` that finds the binaries first, then what this process would find.
    pub fn search_path(&self) -> OsString {
        let mut dirs: Vec<PathBuf> = self
            .paths
            .values()
            .filter_map(|path| Some(path.parent()?.to_owned()))
            .collect();
        dirs.dedup();
        dirs.extend(std::env::split_paths(
            &std::env::var_os("PATH").unwrap_or_default(),
        ));
        for system in ["/usr/sbin", "/sbin", "/usr/bin", "/bin"] {
            dirs.push(PathBuf::from(system));
        }
        std::env::join_paths(dirs).unwrap_or_default()
    }

    /// The files that go with the tool `name`: the Stage files of `kwok`, or the definitions of the kinds of
    /// `argo-rollouts`.
    pub fn files(&self, name: &str) -> &[PathBuf] {
        self.files.get(name).map_or(&[], Vec::as_slice)
    }

    /// The version of the tool `name`, such as `v1.37.2` of `kubernetes`; empty when it is not part of the scope.
    pub fn version(&self, name: &str) -> &str {
        self.versions.get(name).map_or("", String::as_str)
    }
}

/// Builds what is missing of `scope` in `cache`. A build that another process is busy with is awaited.
pub fn build(cache: &Path, scope: Scope) -> Result<Binaries, Error> {
    let mut binaries = Binaries::none();
    let mut missing = Vec::new();
    let needed = tools()?.into_iter().filter(|tool| tool.is_needed(scope));
    for tool in needed {
        let module = ToolModule::read(&tool.folder, tool.provider).map_err(Error::Version)?;
        let dir = cache.join("bin").join(folder_name(&tool, &module));
        for (name, package, needed) in tool.commands {
            if *needed <= scope {
                let path = dir.join(name);
                if !path.exists() {
                    missing.push((tool.name, module.clone(), *package, path.clone()));
                }
                binaries.paths.insert(name, path);
            }
        }
        let files = files::copy(&tool, &module, &dir)?;
        binaries.files.insert(tool.name, files);
        binaries.versions.insert(tool.name, module.version);
    }
    if !missing.is_empty() {
        build_missing(cache, &missing)?;
    }
    Ok(binaries)
}

fn build_missing(cache: &Path, missing: &[(&str, ToolModule, &str, PathBuf)]) -> Result<(), Error> {
    for (tool, module, ..) in missing {
        check_go(tool, &module.go)?;
    }
    let lock = cache.join("build.lock");
    let held = File::create(&lock).and_then(|file| file.lock().map(|()| file));
    let _held = held.map_err(|source| Error::Cache { path: lock, source })?;
    progress::say(format!(
        "{} binaries have to be built, once; later runs find them in {}",
        missing.len(),
        cache.display()
    ));
    for (number, (_, module, package, path)) in missing.iter().enumerate() {
        if path.exists() {
            continue;
        }
        let what = package.rsplit('/').next().unwrap_or(package);
        let what = if what == "v3" { "etcd" } else { what };
        let step = Step::begin(format!(
            "building {what} {} ({} of {})",
            module.version,
            number + 1,
            missing.len()
        ));
        go_build(module, package, path)?;
        step.done();
    }
    Ok(())
}

fn go_build(module: &ToolModule, package: &str, path: &Path) -> Result<(), Error> {
    // Whoever builds holds the lock, so what a killed build left is written over.
    let partial = path.with_extension("partial");
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder).map_err(|source| Error::Cache {
        path: folder.to_owned(),
        source,
    })?;
    let output = go(&module.dir)
        .args(["build", "-trimpath", "-ldflags", &ldflags(module)])
        .arg("-o")
        .arg(&partial)
        .arg(package)
        .output();
    let output = output.map_err(|_| Error::NoGo {
        least: module.go.clone(),
    })?;
    if !output.status.success() {
        let _ = std::fs::remove_file(&partial);
        let output = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Error::Go {
            package: package.to_owned(),
            dir: module.dir.clone(),
            output,
        });
    }
    std::fs::rename(&partial, path).map_err(|source| Error::Cache {
        path: path.to_owned(),
        source,
    })
}

fn go(dir: &Path) -> Command {
    let mut command = Command::new("go");
    command.current_dir(dir).stdin(Stdio::null());
    // `local`: a Go that is too old is reported, it does not download another one behind the user's back.
    command
        .env("CGO_ENABLED", "0")
        .env("GOTOOLCHAIN", "local")
        .env("GOFLAGS", "-mod=readonly -buildvcs=false");
    command.env("GOWORK", "off");
    command
}

/// Without the version the binaries call themselves v0.0.0, and version checks in charts fail.
fn ldflags(module: &ToolModule) -> String {
    let mut flags = "-s -w".to_owned();
    // Argo Rollouts has Kubernetes among its dependencies, too, but in another version than its own.
    let kubernetes = ["k8s.io/kubernetes ", &module.version, " "].concat();
    let mut parts = module.version.trim_start_matches('v').split('.');
    if let (true, Some(major), Some(minor)) = (
        module.sums.contains(&kubernetes),
        parts.next(),
        parts.next(),
    ) {
        for package in [
            "k8s.io/component-base/version",
            "k8s.io/client-go/pkg/version",
        ] {
            for (name, value) in [
                ("gitVersion", module.version.as_str()),
                ("gitMajor", major),
                ("gitMinor", minor),
            ] {
                flags.push_str(&[" -X ", package, ".", name, "=", value].concat());
            }
        }
    }
    flags
}

fn folder_name(tool: &Tool, module: &ToolModule) -> String {
    let digest = Sha256::new()
        .chain_update(&module.sums)
        .chain_update(ldflags(module))
        .finalize();
    let key = digest
        .iter()
        .take(4)
        .fold(0_u32, |key, byte| key << 8 | u32::from(*byte));
    format!("{}-{}-{key:08x}", tool.name, module.version)
}

fn check_go(tool: &str, least: &str) -> Result<(), Error> {
    let output = Command::new("go")
        .args(["env", "GOVERSION"])
        .env("GOTOOLCHAIN", "local")
        .output();
    let output = output.map_err(|_| Error::NoGo {
        least: least.to_owned(),
    })?;
    let found = String::from_utf8_lossy(&output.stdout)
        .trim()
        .trim_start_matches("go")
        .to_owned();
    if parts(&found) < parts(least) {
        return Err(Error::OldGo {
            tool: tool.to_owned(),
            least: least.to_owned(),
            found,
        });
    }
    Ok(())
}

/// `1.26.8` as numbers; what follows a number, as in `1.27rc1`, is left out.
fn parts(version: &str) -> Vec<u32> {
    let number = |part: &str| {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or(0)
    };
    version.split('.').map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(parts("1.26.8") >= parts("1.26.6"));
        assert!(parts("1.27rc1") >= parts("1.26.6"));
        assert!(parts("1.9.9") < parts("1.26.0"));
        assert!(parts("1.26") < parts("1.26.6"));
    }

    #[test]
    fn no_module_needs_a_newer_go_than_the_smallest_scope_checks() {
        for tool in tools().expect("tools") {
            let module = ToolModule::read(&tool.folder, tool.provider).expect(tool.name);
            assert!(
                parts(&module.go) >= parts("1.26"),
                "{} {}",
                tool.name,
                module.go
            );
            assert!(tool.commands.iter().all(|(name, ..)| !name.is_empty()));
        }
    }

    #[test]
    fn peers_of_benchmarks_are_not_built_for_clusters() {
        let of = |scope| {
            let all = tools().expect("tools").into_iter();
            let needed = all.filter(move |tool| tool.is_needed(scope));
            needed.map(|tool| tool.name).collect::<Vec<_>>()
        };
        assert_eq!(of(Scope::ApiServer), ["etcd", "kubernetes"]);
        let (full, bench) = (of(Scope::Full), of(Scope::Bench));
        assert!(full.contains(&"kwok") && !full.contains(&"argo-rollouts"));
        assert_eq!(bench, [full, vec!["argo-rollouts"]].concat());
    }

    #[test]
    fn only_kubernetes_is_told_its_version() {
        for tool in tools().expect("tools") {
            let module = ToolModule::read(&tool.folder, tool.provider).expect(tool.name);
            let is_told = ldflags(&module).contains(".gitVersion=v1.");
            assert_eq!(is_told, tool.name == "kubernetes", "{}", tool.name);
        }
    }
}
