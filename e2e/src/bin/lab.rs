//! `lab`: the harness by hand. `make cluster`, `make down`, `make demo`, `make test`, `make bench`, `make mutants`, `make deny` and
//! `make sbom` are this program.
//!
//! Rule: it only picks what the library does; the two hidden commands are processes that the library starts.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use e2e::cluster::{Cluster, Full, Profile};
use e2e::node::{self, NodeOptions};
use e2e::{bench, cache, demo, deny, layers, lock, mutants, progress, reaper, sbom, session};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(
    about = "Real Kubernetes clusters on this machine, for Coppice's tests and demonstrations"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a cluster, print its kubeconfig and leave it running
    Cluster(ClusterArgs),
    /// End whatever is running or was left behind
    Down,
    /// Show a tree that heals, and leave the cluster running
    Demo,
    /// Run all layers of tests
    Test,
    /// Measure, and compare with a peer
    Bench {
        /// Only these rows
        #[arg(long, env = "ROWS", value_delimiter = ',')]
        rows: Vec<String>,
    },
    /// Change the engine, one thing at a time, and see whether its tests notice
    Mutants {
        /// Which share of all changes, as `k/n`
        #[arg(long, env = "SHARE", default_value = mutants::SHARE)]
        share: String,
    },
    /// Judge the licences, sources and known vulnerabilities of the dependencies
    Deny,
    /// List what the operator's program is made of, in the `CycloneDX` format
    Sbom,
    /// Cleans a run when its owner dies
    #[command(name = reaper::SUBCOMMAND, hide = true)]
    Reap { lock: PathBuf },
    /// PID 1 of a node
    #[command(name = node::INIT_SUBCOMMAND, hide = true)]
    NodeInit { instructions: PathBuf },
}

#[derive(clap::Args)]
struct ClusterArgs {
    /// How many real nodes
    #[arg(long, env = "NODES", default_value_t = 1, value_parser = clap::value_parser!(u8).range(..=8))]
    nodes: u8,
    /// How many simulated nodes
    #[arg(long, env = "KWOK_NODES", default_value_t = 0)]
    kwok_nodes: u32,
    /// Notice the loss of a node within seconds
    #[arg(long)]
    quick_node_loss: bool,
    /// Only etcd and an API server, on loopback; needs no root
    #[arg(long)]
    api_server: bool,
    /// End the cluster when this command is interrupted, instead of leaving it running
    #[arg(long)]
    foreground: bool,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress::say(session::describe(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        // These two must not have other threads: one becomes PID 1, the other only waits.
        Command::NodeInit { instructions } => {
            match node::init::run(&instructions).context("boot the node")? {}
        }
        Command::Reap { lock } => reaper::reap(&lock).context("clean up"),
        Command::Cluster(args) => {
            let runtime = runtime()?;
            let outcome = runtime.block_on(cluster(args));
            // A build that was interrupted is not waited for; what it did is kept.
            runtime.shutdown_background();
            outcome
        }
        Command::Demo => {
            let runtime = runtime()?;
            let outcome = runtime.block_on(interruptible(async { Ok(demo::run().await?) }));
            runtime.shutdown_background();
            outcome
        }
        Command::Test => layers::run().context("test"),
        Command::Bench { rows } => {
            let runtime = runtime()?;
            let outcome = runtime.block_on(interruptible(bench::run(&rows)));
            runtime.shutdown_background();
            anyhow::ensure!(outcome?, "a goal was missed");
            Ok(())
        }
        Command::Mutants { share } => mutants::run(&share).context("change the engine"),
        Command::Deny => deny::run().context("judge the dependencies"),
        Command::Sbom => {
            let list = sbom::run().context("list the dependencies")?;
            println!("{}", list.display());
            Ok(())
        }
        Command::Down => down(),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")
}

async fn cluster(args: ClusterArgs) -> Result<()> {
    // Before anything is made, so that an interruption at any time ends in an orderly way.
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let foreground = args.foreground;
    let cluster = tokio::select! {
        cluster = Cluster::start(profile(&args)) => cluster?,
        _ = interrupt.recv() => anyhow::bail!("interrupted"),
        _ = terminate.recv() => anyhow::bail!("terminated"),
    };
    println!("export KUBECONFIG={}", cluster.kubeconfig().display());
    if !foreground {
        cluster.keep()?;
        return Ok(());
    }
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    cluster.stop().context("end the cluster")
}

/// Ends in an orderly way when it is interrupted: what was made is undone as the future is dropped.
async fn interruptible<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    tokio::select! {
        outcome = work => outcome,
        _ = interrupt.recv() => anyhow::bail!("interrupted"),
        _ = terminate.recv() => anyhow::bail!("terminated"),
    }
}

fn profile(args: &ClusterArgs) -> Profile {
    if args.api_server {
        return Profile::ApiServer;
    }
    let names = ('a'..='z').map(|letter| NodeOptions::named(&format!("node-{letter}")));
    Profile::Full(Full {
        nodes: names.take(usize::from(args.nodes)).collect(),
        kwok_nodes: args.kwok_nodes,
        quick_node_loss: args.quick_node_loss,
        ..Full::default()
    })
}

fn down() -> Result<()> {
    let cache = cache::folder()?;
    let mut ended = session::clean_left(&cache, true)?;
    ended += usize::from(lock::clean_if_left(session::FULL_LOCK.as_ref(), true)?);
    progress::say(format!("{ended} clusters ended or cleaned up"));
    Ok(())
}
