//! The command line.
//!
//! Rule: it says what to do; how it is done is elsewhere.

mod election;
mod identify;
mod simulate;

use std::fs;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use coppice::controller::{ObjectKey, ReleaseOptions, Settings};
use coppice::runtime::leader::TimingError;

use election::Election;
pub(crate) use identify::{Faults, Identify};
pub(crate) use simulate::{Format, Simulate};

/// Erlang/OTP supervision trees for Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "coppice", version, about, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Look after supervision trees until told to stop
    Controller(Controller),
    /// Print the custom resource definitions
    Crd,
    /// Print the manifest that installs Coppice, without the custom resource definitions
    Manifests,
    /// Take the finalizer off trees, so that they can be deleted when Coppice is gone
    ///
    /// No Pod is touched. A running operator would put the finalizer back, so stop it first, or let this
    /// command do so with --stop.
    Release(Release),
    /// Show what would happen to a tree, step by step, without a cluster
    #[command(long_about = simulate::LONG_ABOUT, after_long_help = simulate::EXAMPLES)]
    Simulate(Simulate),
    /// Say what is wrong with objects in a file, without a cluster
    #[command(long_about = identify::LONG_ABOUT, after_long_help = identify::EXAMPLES)]
    Identify(Identify),
    /// List the classes of faults, or explain one
    Faults(Faults),
}

/// Look after supervision trees until told to stop.
#[derive(Debug, Args)]
pub(crate) struct Controller {
    /// Look after the trees of this namespace only; may be repeated [default: all namespaces]
    #[arg(
        long = "watch-namespace",
        env = "COPPICE_WATCH_NAMESPACES",
        value_name = "NAMESPACE",
        value_delimiter = ',',
        value_parser = name
    )]
    namespaces: Vec<String>,

    /// Where to serve /livez, /readyz and /metrics
    #[arg(
        long,
        env = "COPPICE_LISTEN",
        value_name = "ADDRESS",
        default_value = "[::]:8080"
    )]
    pub(crate) listen: SocketAddr,

    /// How many trees to look at side by side; one that waits for the API server for more than a second does not count
    #[arg(
        long,
        env = "COPPICE_CONCURRENCY",
        value_name = "N",
        default_value_t = 4,
        value_parser = clap::value_parser!(u16).range(1..=64)
    )]
    concurrency: u16,

    /// Which cluster role a namespace binds to the operator to opt in; conditions then say how
    #[arg(long, env = "COPPICE_OPT_IN_ROLE", value_name = "CLUSTERROLE", value_parser = name)]
    opt_in_role: Option<String>,

    /// Watch the metadata of `ConfigMaps`, so that a Pod that waits for one is replaced within seconds of its change
    #[arg(long, env = "COPPICE_WATCH_CONFIG_MAPS")]
    watch_config_maps: bool,

    #[command(flatten)]
    election: Election,
}

/// Take the finalizer off trees.
#[derive(Debug, Args)]
pub(crate) struct Release {
    #[command(flatten)]
    scope: Scope,

    /// Scale this Deployment, the operator, to zero first and wait for its Pods to go
    #[arg(long, env = "COPPICE_RELEASE_STOP", value_name = "NAMESPACE/DEPLOYMENT", value_parser = object)]
    stop: Option<ObjectKey>,

    /// How many seconds to wait for the Pods of the operator to go
    #[arg(
        long,
        env = "COPPICE_RELEASE_TIMEOUT",
        value_name = "SECONDS",
        default_value_t = 60
    )]
    timeout: u64,
}

/// Which trees to release.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Scope {
    /// The trees of all namespaces
    #[arg(long)]
    all: bool,

    /// The trees of this namespace; may be repeated
    #[arg(
        short,
        long = "namespace",
        env = "COPPICE_RELEASE_NAMESPACES",
        value_name = "NAMESPACE",
        value_delimiter = ',',
        value_parser = name
    )]
    namespaces: Vec<String>,
}

impl Controller {
    /// The settings of the controller. `default_namespace` is that of the client.
    pub(crate) fn settings(&self, default_namespace: &str) -> Result<Settings, TimingError> {
        let mut namespaces = self.namespaces.clone();
        namespaces.sort();
        namespaces.dedup();
        Ok(Settings {
            namespaces,
            concurrency: self.concurrency,
            election: self.election.settings(default_namespace)?,
            opt_in_role: self.opt_in_role.clone(),
            watch_config_maps: self.watch_config_maps,
        })
    }
}

impl Release {
    /// What to release.
    pub(crate) fn options(&self) -> ReleaseOptions {
        ReleaseOptions {
            namespaces: self.scope.namespaces.clone(),
            stop: self.stop.clone(),
            timeout: Duration::from_secs(self.timeout),
        }
    }
}

/// Files by name, with their text.
fn sources(files: &[PathBuf]) -> anyhow::Result<Vec<(String, String)>> {
    let read = |path: &PathBuf| Ok((path.display().to_string(), read(path)?));
    files.iter().map(read).collect()
}

fn read(path: &Path) -> anyhow::Result<String> {
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("could not read standard input")?;
        return Ok(text);
    }
    fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))
}

/// A name that the API server can know: never empty, and no path that leads elsewhere.
fn name(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    if text.is_empty() || !text.chars().all(legal) {
        return Err(format!(
            "'{text}' is not a name: lower-case letters, digits, '-' and '.' are allowed"
        ));
    }
    Ok(text.to_owned())
}

fn object(text: &str) -> Result<ObjectKey, String> {
    let (namespace, deployment) = text
        .split_once('/')
        .ok_or_else(|| "expected NAMESPACE/DEPLOYMENT".to_owned())?;
    Ok(ObjectKey::new(name(namespace)?, name(deployment)?))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(args: &str) -> Result<Command, String> {
        let args = std::iter::once("coppice").chain(args.split_whitespace());
        Cli::try_parse_from(args)
            .map(|cli| cli.command)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn namespaces_are_a_set() {
        let Ok(Command::Controller(controller)) = parse(
            "controller --watch-namespace b,a --watch-namespace b --concurrency 9 --opt-in-role r",
        ) else {
            panic!("not understood")
        };
        let settings = controller.settings("default").unwrap();
        assert_eq!(settings.namespaces, ["a", "b"]);
        assert_eq!(settings.concurrency, 9);
        assert_eq!(settings.opt_in_role.as_deref(), Some("r"));
    }

    #[test]
    fn release_wants_to_know_what() {
        assert!(parse("release").unwrap_err().contains("--all"));
        assert!(
            parse("release --all -n a")
                .unwrap_err()
                .contains("cannot be used with")
        );
        let Ok(Command::Release(release)) =
            parse("release -n a -n b --stop ops/coppice --timeout 5")
        else {
            panic!("not understood")
        };
        let options = release.options();
        assert_eq!(options.namespaces, ["a", "b"]);
        assert_eq!(options.stop, Some(ObjectKey::new("ops", "coppice")));
        assert_eq!(options.timeout, Duration::from_secs(5));
    }

    #[test]
    fn the_built_in_rules_are_not_those_of_one_class() {
        let Ok(Command::Faults(faults)) = parse("faults --policy") else {
            panic!("not understood")
        };
        assert!(faults.policy && faults.class.is_none());
        let both = parse("faults OomKilled --policy").unwrap_err();
        assert!(both.contains("cannot be used with"), "{both}");
    }

    #[test]
    fn nonsense_is_refused_in_plain_words() {
        assert!(
            parse("controller --concurrency 0")
                .unwrap_err()
                .contains("0 is not in 1..=64")
        );
        assert!(
            parse("controller --watch-namespace A/b")
                .unwrap_err()
                .contains("is not a name")
        );
        assert!(
            parse("release --all --stop coppice")
                .unwrap_err()
                .contains("NAMESPACE/DEPLOYMENT")
        );
    }
}
