//! Coppice itself on a cluster: built from this checkout, installed by Helm or run as a local process.
//!
//! Rule: what runs is what the checkout holds; nothing of an earlier build is taken for it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::cache;
use crate::cluster::Cluster;
use crate::images;
use crate::process::{self, Process, Program};

/// Namespace that Coppice is installed in.
pub const NAMESPACE: &str = "coppice-system";
/// How long an installation may take.
const INSTALL_TIMEOUT: &str = "120s";
/// How long a local operator may take to become ready.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Why Coppice could not be built, installed or started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cache has no place.
    #[error(transparent)]
    Cache(#[from] cache::Error),
    /// The program or its image could not be built.
    #[error("build the operator")]
    Image(#[source] images::Error),
    /// A program failed.
    #[error("{command}: {output}")]
    Command {
        /// The program and its arguments.
        command: String,
        /// What it said.
        output: String,
    },
    /// The local process did not start.
    #[error("run the operator")]
    Process(#[source] process::Error),
}

/// The checkout that this program was compiled from.
pub fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or_else(|| Path::new("."))
}

/// Where Cargo puts what the harness lets it build.
pub fn target() -> PathBuf {
    let folder = std::env::var_os("CARGO_TARGET_DIR");
    checkout().join(folder.unwrap_or_else(|| "target".into()))
}

/// The static program that is all there is in the operator's image, built from the checkout.
pub fn static_program() -> Result<PathBuf, Error> {
    images::operator_binary(checkout(), &target()).map_err(Error::Image)
}

/// The archive of the operator's image, built from the checkout.
pub fn archive() -> Result<PathBuf, Error> {
    images::operator(&cache::folder()?, &static_program()?).map_err(Error::Image)
}

/// The operator's program for this machine, built from the checkout.
pub fn program() -> Result<PathBuf, Error> {
    built("coppice")
}

/// The plugin of kubectl for this machine, built from the checkout.
pub fn plugin() -> Result<PathBuf, Error> {
    built("kubectl-coppice")
}

/// kubectl for this cluster, which finds the plugin in its `PATH`.
pub fn kubectl_with_plugin(cluster: &Cluster) -> Result<Command, Error> {
    let program = plugin()?;
    let folder = program.parent().unwrap_or_else(|| Path::new("."));
    let path = std::env::var("PATH").unwrap_or_default();
    let mut kubectl = cluster.command("kubectl");
    kubectl.env("PATH", format!("{}:{path}", folder.display()));
    Ok(kubectl)
}

fn built(program: &str) -> Result<PathBuf, Error> {
    let target = target();
    let mut cargo = images::cargo();
    cargo
        .current_dir(checkout())
        .args(["build", "--quiet", "--locked", "-p", "coppice"])
        .args(["--bin", program, "--target-dir"])
        .arg(&target);
    said(cargo)?;
    Ok(target.join("debug").join(program))
}

/// Installs the chart of the checkout by Helm and waits until the operator is ready. The nodes must have
/// the image of [`archive`].
pub fn install(cluster: &Cluster, settings: &[&str]) -> Result<(), Error> {
    let (repository, tag) = images::OPERATOR
        .rsplit_once(':')
        .unwrap_or((images::OPERATOR, "latest"));
    let mut helm = cluster.command("helm");
    helm.current_dir(checkout()).args([
        "upgrade",
        "--install",
        "coppice",
        "charts/coppice",
        "--namespace",
        NAMESPACE,
        "--create-namespace",
        "--wait",
        "--timeout",
        INSTALL_TIMEOUT,
        "--set",
        &format!("image.repository={repository}"),
        "--set",
        &format!("image.tag={tag}"),
        "--set",
        "image.pullPolicy=Never",
    ]);
    for setting in settings {
        helm.args(["--set", setting]);
    }
    said(helm).map(drop)
}

/// Applies these templates of the chart, as Helm renders them for that namespace with these settings.
pub fn apply_from_chart(
    cluster: &Cluster,
    namespace: &str,
    settings: &[&str],
    templates: &[&str],
) -> Result<(), Error> {
    let mut helm = cluster.command("helm");
    helm.current_dir(checkout());
    helm.args(["template", "coppice", "charts/coppice"]);
    helm.args(["--namespace", namespace]);
    helm.args(settings.iter().flat_map(|setting| ["--set", setting]));
    let only = templates
        .iter()
        .map(|template| format!("--show-only=templates/{template}"));
    helm.args(only);
    let file = cluster.run().dir();
    let file = file.join(format!("chart-{namespace}.yaml"));
    std::fs::write(&file, said(helm)?).map_err(|error| Error::Command {
        command: format!("write {}", file.display()),
        output: error.to_string(),
    })?;
    let mut kubectl = cluster.command("kubectl");
    kubectl.args(["apply", "-f"]).arg(&file);
    said(kubectl).map(drop)
}

/// Applies the CRDs of the checkout.
pub fn apply_definitions(cluster: &Cluster) -> Result<(), Error> {
    let mut kubectl = cluster.command("kubectl");
    kubectl
        .current_dir(checkout())
        .args(["apply", "-f", "crds/"]);
    said(kubectl)?;
    until_established(
        cluster,
        &["supervisiontrees.coppice.dev", "workers.coppice.dev"],
    )
}

/// Waits until the API server serves the kinds that these CRDs define.
pub(crate) fn until_established(cluster: &Cluster, definitions: &[&str]) -> Result<(), Error> {
    let begun = Instant::now();
    loop {
        let mut kubectl = cluster.command("kubectl");
        kubectl.args(["wait", "--for=condition=Established", "--timeout=30s"]);
        kubectl.args(definitions.iter().map(|name| format!("crd/{name}")));
        match said(kubectl) {
            // It takes an object that has no conditions yet for a broken one, and gives up at once.
            Err(_) if begun.elapsed() < READY_WITHIN => {
                std::thread::sleep(Duration::from_millis(200));
            }
            outcome => return outcome.map(drop),
        }
    }
}

/// Starts the operator as a process of the cluster's run, with the rights of `kubeconfig`, and waits until
/// it is ready. It listens on a free port of loopback, and works without an election.
pub async fn start_local(
    cluster: &Cluster,
    kubeconfig: &Path,
    arguments: &[&str],
) -> Result<Process, Error> {
    let address = free_address()?;
    let log = cluster.run().log(&format!("operator-{address}"));
    let program = Program::new("operator", program()?, log)
        .args(["controller", "--leader-elect=false", "--listen", &address])
        .args(arguments)
        .env("KUBECONFIG", kubeconfig);
    let process = cluster.run().spawn(program).map_err(Error::Process)?;
    process
        .ready(READY_WITHIN, || async { is_ready(&address).await })
        .await
        .map_err(Error::Process)?;
    Ok(process)
}

/// Whether the operator that listens there says that it is ready.
pub(crate) async fn is_ready(address: &str) -> bool {
    answers(address, "/readyz").await
}

/// Whether a server answers that all is well.
pub(crate) async fn answers(address: &str, path: &str) -> bool {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let Ok(mut stream) = tokio::net::TcpStream::connect(address).await else {
        return false;
    };
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    stream.write_all(request.as_bytes()).await.is_ok()
        && stream.read_to_string(&mut answer).await.is_ok()
        && answer.starts_with("HTTP/1.1 200")
}

/// An address of loopback that is free now, and most likely a moment later too.
pub fn free_address() -> Result<String, Error> {
    let socket = std::net::TcpListener::bind("127.0.0.1:0");
    let address = socket.and_then(|socket| socket.local_addr());
    let found = address.map(|address| address.to_string());
    found.map_err(|error| Error::Command {
        command: "find a free port".into(),
        output: error.to_string(),
    })
}

/// Runs a program to its end and gives back what it printed; an error holds what it complained about.
pub fn said(mut command: Command) -> Result<String, Error> {
    let line = || {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words
            .map(|word| word.to_string_lossy().into_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let line = line();
    let failed = |output: String| Error::Command {
        command: line.clone(),
        output,
    };
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if status.success() {
        return Ok(String::from_utf8_lossy(&stdout).into_owned());
    }
    Err(failed(format!(
        "{status}\n{}{}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    )))
}
