//! The control plane: etcd, kube-apiserver and, for a full cluster, kube-controller-manager and kube-scheduler.
//!
//! Rule: every connection is TLS with certificates of the run's own authority on both ends; nothing is anonymous,
//! nothing skips verification.

mod flags;
mod servers;

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::kubeconfig::{self, Credential};
use crate::pki::{self, Pki};
use crate::process::{self, Process};
use crate::run::{self, Run};

pub use servers::Server;
use servers::Servers;

/// The addresses of Services.
pub const SERVICES: &str = "10.96.0.0/16";
/// The Service address of the API server.
const API_SERVICE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1));
/// The user that the API server is to kubelets.
pub const KUBELET_CLIENT: &str = "kube-apiserver-kubelet-client";
/// The name of the process that runs Kubernetes' own controllers.
pub const CONTROLLER_MANAGER: &str = "kube-controller-manager";
/// How long the API server may take; it takes 3 s on an idle machine.
const READY: Duration = Duration::from_mins(1);

/// Why there is no control plane.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A certificate or a kubeconfig could not be made.
    #[error("make the cluster's certificates")]
    Pki(#[source] pki::Error),
    /// A folder could not be made.
    #[error("make the control plane's folders")]
    Folder(#[source] run::Error),
    /// No port is free.
    #[error("find a free port on {address}")]
    Port {
        /// The address.
        address: IpAddr,
        /// What the system answered.
        source: std::io::Error,
    },
    /// A process did not start or did not become ready.
    #[error("start the control plane")]
    Process(#[source] process::Error),
    /// A client could not be made from a kubeconfig of ours.
    #[error("make a client from {path}")]
    Client {
        /// The kubeconfig.
        path: PathBuf,
        /// What is wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// How a control plane is to be.
#[derive(Debug, Clone)]
pub struct Options {
    /// The address that the API server listens on and that its certificate is for.
    pub address: IpAddr,
    /// The API server's port; a free one when left out.
    pub port: Option<u16>,
    /// Whether etcd waits for the disk: `false` for tests, `true` where durations are measured.
    pub fsync: bool,
    /// Whether controllers and scheduler run.
    pub controllers: bool,
    /// More flags for the API server, such as `--max-requests-inflight=800`; they win over the harness's own.
    pub api_server_flags: Vec<String>,
    /// More flags for the controller manager, such as `--node-monitor-grace-period=6s`.
    pub controller_manager_flags: Vec<String>,
    /// More flags for the scheduler, such as `--kube-api-qps=500`.
    pub scheduler_flags: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: None,
            fsync: false,
            controllers: false,
            api_server_flags: Vec::new(),
            controller_manager_flags: Vec::new(),
            scheduler_flags: Vec::new(),
        }
    }
}

/// A running control plane.
#[derive(Debug)]
pub struct ControlPlane {
    pki: Pki,
    server: String,
    admin: PathBuf,
    servers: Servers,
    controllers: Vec<Process>,
}

impl ControlPlane {
    /// Starts a control plane in `run` and waits until its API server is ready.
    pub async fn start(run: &Run, options: &Options) -> Result<Self, Error> {
        let folder = run.folder("control-plane").map_err(Error::Folder)?;
        let pki = Pki::create(&folder).map_err(Error::Pki)?;
        let aggregation = run.folder("control-plane/aggregation");
        let aggregation = Pki::create(&aggregation.map_err(Error::Folder)?).map_err(Error::Pki)?;
        let files = flags::Files::create(&pki, &aggregation, &folder, options.address)
            .map_err(Error::Pki)?;
        let servers = Servers::start(run, &pki, files, options).await?;
        let server = servers.url();
        let admin = run.dir().join("admin.kubeconfig");
        write_kubeconfig(&pki, &server, &admin, "admin", &["system:masters"])?;
        let controllers = if options.controllers {
            start_controllers(run, &pki, &servers.files, &server, options)?
        } else {
            Vec::new()
        };
        Ok(Self {
            pki,
            server,
            admin,
            servers,
            controllers,
        })
    }

    /// The address of the API server, such as `https://127.0.0.1:31234`.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The cluster's certificate authority.
    pub fn pki(&self) -> &Pki {
        &self.pki
    }

    /// The administrator's kubeconfig.
    pub fn admin_kubeconfig(&self) -> &Path {
        &self.admin
    }

    /// The audit log: one JSON object per line, level `Metadata` (`Request` for deletes of Pods and of ours), written when a response is complete.
    pub fn audit_log(&self) -> &Path {
        &self.servers.files.audit_log
    }

    /// The processes: `etcd`, `kube-apiserver`, `kube-controller-manager`, `kube-scheduler`.
    pub fn processes(&self) -> Vec<Process> {
        let controllers = self.controllers.iter().cloned();
        self.servers
            .processes()
            .into_iter()
            .chain(controllers)
            .collect()
    }

    /// Kills a server (signal 9); `true` when it is gone.
    pub fn kill(&self, server: Server) -> bool {
        self.servers.kill(server)
    }

    /// Starts a server again that was killed, as it was; does not wait until it is ready.
    pub fn start_again(&self, run: &Run, server: Server) -> Result<(), Error> {
        self.servers.start_again(run, server)
    }

    /// Starts one more controller manager, with only these flags beside the harness's own. Without an election there
    /// must be one at a time: kill the earlier one first.
    pub fn start_controller_manager(&self, run: &Run, flags: &[String]) -> Result<Process, Error> {
        let name = CONTROLLER_MANAGER;
        let options = Options {
            controller_manager_flags: flags.to_vec(),
            ..Options::default()
        };
        let kubeconfig = component_kubeconfig(&self.pki, run, &self.server, name)?;
        let port = free_port(IpAddr::V4(Ipv4Addr::LOCALHOST))?;
        let program =
            flags::controller_manager(run, &self.servers.files, &kubeconfig, port, &options);
        run.spawn(program).map_err(Error::Process)
    }

    /// The kubeconfig text of the user `user` in the groups `groups`, by a client certificate.
    pub fn kubeconfig_for(&self, user: &str, groups: &[&str]) -> Result<String, Error> {
        let identity = self.pki.client(user, groups).map_err(Error::Pki)?;
        Ok(kubeconfig::text(
            &self.server,
            self.pki.ca(),
            &Credential::Certificate(identity),
        ))
    }

    /// The kubeconfig text of whoever the bearer token `token` belongs to.
    pub fn kubeconfig_with_token(&self, token: &str) -> String {
        kubeconfig::text(
            &self.server,
            self.pki.ca(),
            &Credential::Token(token.to_owned()),
        )
    }
}

fn start_controllers(
    run: &Run,
    pki: &Pki,
    files: &flags::Files,
    server: &str,
    options: &Options,
) -> Result<Vec<Process>, Error> {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut processes = Vec::new();
    for name in [CONTROLLER_MANAGER, "kube-scheduler"] {
        let kubeconfig = component_kubeconfig(pki, run, server, name)?;
        let port = free_port(loopback)?;
        let program = match name {
            "kube-scheduler" => flags::scheduler(run, &kubeconfig, port, options),
            _ => flags::controller_manager(run, files, &kubeconfig, port, options),
        };
        processes.push(run.spawn(program).map_err(Error::Process)?);
    }
    Ok(processes)
}

/// The credentials of the component `name`, written anew.
fn component_kubeconfig(pki: &Pki, run: &Run, server: &str, name: &str) -> Result<PathBuf, Error> {
    let kubeconfig = run.dir().join(format!("{name}.kubeconfig"));
    write_kubeconfig(pki, server, &kubeconfig, &format!("system:{name}"), &[])?;
    Ok(kubeconfig)
}

fn write_kubeconfig(
    pki: &Pki,
    server: &str,
    path: &Path,
    user: &str,
    groups: &[&str],
) -> Result<(), Error> {
    let identity = pki.client(user, groups).map_err(Error::Pki)?;
    let text = kubeconfig::text(server, pki.ca(), &Credential::Certificate(identity));
    pki::write_private(path, &text).map_err(Error::Pki)
}

/// How to reach the cluster that the kubeconfig `path` names: with bounded connects, without retries of its own.
pub async fn config(path: &Path) -> Result<Config, Error> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Client {
        path: path.to_owned(),
        source,
    };
    let read = Kubeconfig::read_from(path).map_err(|error| failed(error.into()))?;
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
    let mut config = config.map_err(|error| failed(error.into()))?;
    config.connect_timeout = Some(Duration::from_secs(5));
    // Longer than the 290 s after which a watch ends by itself.
    config.read_timeout = Some(Duration::from_secs(295));
    config.default_retry = false;
    Ok(config)
}

/// A client by [`config`]; it belongs to the runtime it is made in.
pub async fn client(path: &Path) -> Result<Client, Error> {
    let config = config(path).await?;
    Client::try_from(config).map_err(|error| Error::Client {
        path: path.to_owned(),
        source: error.into(),
    })
}

async fn is_ready(client: &Client) -> bool {
    let Ok(request) = http::Request::get("/readyz").body(Vec::new()) else {
        return false;
    };
    let answer = tokio::time::timeout(Duration::from_secs(2), client.request_text(request)).await;
    matches!(answer, Ok(Ok(text)) if text == "ok")
}

/// A port that is free at this moment, below those that the kernel gives to outgoing connections.
fn free_port(address: IpAddr) -> Result<u16, Error> {
    // Start somewhere else in every process and at every call, so that clusters side by side do not race for one port.
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 10_000;
    let mut last = None;
    for _ in 0..COUNT {
        let turn = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let offset = std::process::id().wrapping_mul(97).wrapping_add(turn) % u32::from(COUNT);
        let port = FIRST + u16::try_from(offset).unwrap_or_default();
        match TcpListener::bind((address, port)) {
            Ok(_) => return Ok(port),
            Err(error) => last = Some(error),
        }
    }
    let source = last.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into());
    Err(Error::Port { address, source })
}
