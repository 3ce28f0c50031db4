//! The `coppice` binary: parse, dispatch, exit code.
//!
//! Rule: nothing is decided here.

#![forbid(unsafe_code)]

mod cli;

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;
use coppice::api::crd;
use coppice::controller::{self, Released};
use coppice::runtime::health::Health;
use coppice::runtime::metrics::Metrics;
use coppice::runtime::{server, shutdown, telemetry};
use coppice::{identify, simulate};

use cli::{Cli, Command, Controller, Faults, Format, Identify, Release, Simulate};

/// How long the main loop may be silent before the process counts as dead. It turns every 2 s.
const MAX_SILENCE: Duration = Duration::from_secs(30);
/// How long a stop may take; less than the 30 s that Kubernetes gives.
const STOP_GRACE: Duration = Duration::from_secs(20);
/// The exit code for a tree, or a plan for it, that is refused.
const REFUSED: u8 = 2;
/// What `kubectl apply -f` installs, without the custom resource definitions.
const INSTALL_MANIFEST: &str = include_str!("../manifests/install.yaml");

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            // A pipe that is closed hears nothing.
            let _ = writeln!(std::io::stderr(), "coppice: {}", line(&error));
            ExitCode::FAILURE
        }
    }
}

/// One line with what was tried and what came of it. Some errors include what caused them; nothing is
/// said twice.
fn line(error: &anyhow::Error) -> String {
    error
        .chain()
        .skip(1)
        .map(ToString::to_string)
        .fold(error.to_string(), |line, cause| {
            if line.contains(&cause) {
                line
            } else {
                format!("{line}: {cause}")
            }
        })
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Controller(options) => block_on(controller(options)),
        Command::Crd => print(&crds()),
        Command::Manifests => print(INSTALL_MANIFEST),
        Command::Release(options) => block_on(release(options)),
        Command::Simulate(options) => simulate(&options),
        Command::Identify(options) => identify(&options),
        Command::Faults(options) => faults(&options),
    }
}

fn block_on(
    work: impl Future<Output = anyhow::Result<ExitCode>> + Send + 'static,
) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("could not start the runtime")?;
    // As a task it runs where what wakes it runs; waking this thread takes about as long as all the rest of a decision.
    runtime
        .block_on(runtime.spawn(work))
        .context("the main loop panicked")?
}

async fn controller(options: Controller) -> anyhow::Result<ExitCode> {
    telemetry::init()?;
    let stop = shutdown::install(STOP_GRACE)?;
    let health = Health::new(MAX_SILENCE);
    let metrics = Metrics::new(controller::NAME);
    let client = client().await?;
    let settings = options.settings(client.default_namespace())?;
    let listener = server::bind(options.listen).await?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        listen = %options.listen,
        namespaces = ?settings.namespaces,
        concurrency = settings.concurrency,
        election = settings.election.as_ref().map(tracing::field::display),
        "starting"
    );
    let served = tokio::spawn(server::serve(
        listener,
        health.clone(),
        metrics.clone(),
        stop.clone(),
    ));
    let clock = Arc::new(jiff::Timestamp::now);
    let result = controller::run(&settings, client, clock, metrics, &health, &stop).await;
    stop.cancel();
    served
        .await
        .context("the server for probes and metrics panicked")??;
    result?;
    Ok(ExitCode::SUCCESS)
}

async fn release(options: Release) -> anyhow::Result<ExitCode> {
    let released = controller::release(&client().await?, &options.options()).await?;
    print(&table(&released))?;
    let failed = released.iter().filter(|tree| tree.error.is_some()).count();
    anyhow::ensure!(
        failed == 0,
        "{failed} of {} trees could not be released",
        released.len()
    );
    Ok(ExitCode::SUCCESS)
}

/// What cannot be simulated is refused with the code that also stands for a wrong command line.
fn simulate(options: &Simulate) -> anyhow::Result<ExitCode> {
    let sources = options.sources()?;
    let read = || {
        let trees = sources
            .iter()
            .map(|(name, text)| simulate::read(name, text));
        let trees = trees.collect::<Result<Vec<_>, _>>()?.concat();
        simulate::simulate(&trees, &options.plan())
    };
    match read() {
        Ok(rows) if options.format() == Format::Json => {
            let json = serde_json::to_string_pretty(&rows).context("could not print as JSON")?;
            print(&format!("{json}\n"))
        }
        Ok(rows) => print(&simulate::print(&rows)),
        Err(refusal) => {
            let _ = writeln!(std::io::stderr(), "coppice: {refusal}");
            Ok(ExitCode::from(REFUSED))
        }
    }
}

/// What is no Kubernetes at all is refused with the code that also stands for a wrong command line.
fn identify(options: &Identify) -> anyhow::Result<ExitCode> {
    let clock = jiff::Timestamp::now();
    let mut all = Vec::new();
    for (name, text) in options.sources()? {
        match identify::identify(&name, &text, clock) {
            Ok(answers) => {
                for warning in answers.warnings {
                    let _ = writeln!(std::io::stderr(), "coppice: {warning}");
                }
                all.extend(answers.answers);
            }
            Err(refusal) => {
                let _ = writeln!(std::io::stderr(), "coppice: {refusal}");
                return Ok(ExitCode::from(REFUSED));
            }
        }
    }
    identify::sort(&mut all);
    if options.is_json() {
        let json = serde_json::to_string_pretty(&all).context("could not print as JSON")?;
        return print(&format!("{json}\n"));
    }
    print(&identify::table(&all))
}

fn faults(options: &Faults) -> anyhow::Result<ExitCode> {
    match options.class {
        None if options.policy => print(&identify::policy()),
        Some(class) => print(&identify::explain(class)),
        None => print(&identify::list()),
    }
}

async fn client() -> anyhow::Result<kube::Client> {
    let config = kube::Config::infer()
        .await
        .context("could not find out how to reach the API server")?;
    controller::client(config).context("could not make a client for the API server")
}

/// All custom resource definitions, as `crds/` holds them, in one stream.
fn crds() -> String {
    let documents: Vec<String> = crd::all().iter().map(crd::to_yaml).collect();
    format!("---\n{}", documents.join("---\n"))
}

fn table(released: &[Released]) -> String {
    let mut table = format!("{:<24} {:<40} RESULT\n", "NAMESPACE", "TREE");
    for Released { tree, error } in released {
        let result = error.as_deref().unwrap_or("released");
        // Writing to a String cannot fail.
        let _ = writeln!(table, "{:<24} {:<40} {result}", tree.namespace, tree.name);
    }
    if released.is_empty() {
        "no tree carries the finalizer of Coppice\n".clone_into(&mut table);
    }
    table
}

/// Prints to standard output. A reader that has seen enough is no error.
fn print(text: &str) -> anyhow::Result<ExitCode> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("could not write to standard output")
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}
