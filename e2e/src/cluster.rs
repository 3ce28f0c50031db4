//! A cluster for one test, demonstration or benchmark: what it consists of and how it begins and ends.
//!
//! Rule: [`Cluster::start`] returns a cluster that is ready, or an error and a machine as it was before; dropping the
//! cluster ends it, unless [`Cluster::keep`] was called.

mod access;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Api, Client, Config};

use crate::build::{self, Scope};
use crate::control_plane::{self, ControlPlane};
use crate::node::{self, Node, NodeOptions};
use crate::progress::Step;
use crate::run::Run;
use crate::session::{self, Session};
use crate::{cache, images, kwok, network, system};

pub use access::ACCESS_TIMEOUT;

/// The API server's port in a full cluster.
const PORT: u16 = 6443;
/// How long the controllers may take until Pods can be created.
const CONTROLLERS_READY: Duration = Duration::from_mins(1);

/// Why there is no cluster.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no place for the cache.
    #[error("start a cluster")]
    Cache(#[source] cache::Error),
    /// The machine lacks something.
    #[error("look at this machine")]
    System(#[source] system::Error),
    /// The binaries could not be built.
    #[error("build the cluster's binaries")]
    Build(#[source] build::Error),
    /// An image could not be built.
    #[error("build the cluster's images")]
    Images(#[source] images::Error),
    /// A helper thread did not finish.
    #[error("build the cluster's parts")]
    Thread(#[source] tokio::task::JoinError),
    /// The run could not begin or end.
    #[error("run a cluster on this machine")]
    Session(#[source] session::Error),
    /// The network could not be made.
    #[error("make the cluster's network")]
    Network(#[source] network::Error),
    /// The control plane did not start.
    #[error("start the cluster's control plane")]
    ControlPlane(#[source] control_plane::Error),
    /// The controllers did nothing.
    #[error("wait {} s for the controllers to make the ServiceAccount `default`", CONTROLLERS_READY.as_secs())]
    Controllers,
    /// A real node did not start.
    #[error("start the node {name}")]
    Node {
        /// The node's name.
        name: String,
        /// Why not.
        source: node::Error,
    },
    /// The simulated nodes did not start.
    #[error("start simulated nodes")]
    Kwok(#[source] kwok::Error),
    /// The cluster's API refused something the harness asked for.
    #[error("{verb} {object}")]
    Api {
        /// What was tried.
        verb: &'static str,
        /// On what.
        object: String,
        /// What the API server answered.
        source: Box<kube::Error>,
    },
    /// The cluster's API did not answer.
    #[error("{verb} {object}: no answer within {} s", ACCESS_TIMEOUT.as_secs())]
    Timeout {
        /// What was tried.
        verb: &'static str,
        /// On what.
        object: String,
    },
    /// A kubeconfig could not be read or written.
    #[error("use the kubeconfig {path}")]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The cluster is somebody else's, and the harness cannot do that there.
    #[error("{what}: not possible on the current cluster, which the harness did not start")]
    NotOurs {
        /// What was tried.
        what: &'static str,
    },
}

/// What a cluster consists of.
#[derive(Debug, Clone)]
pub enum Profile {
    /// etcd and an API server on loopback; needs no root, several can run side by side.
    ApiServer,
    /// Controllers, scheduler and simulated nodes too, all on loopback; needs no root, several can run side by side.
    /// Real nodes are not started.
    Simulated(Full),
    /// Controllers, scheduler and nodes; needs root, one at a time on a machine.
    Full(Full),
}

/// What a full cluster consists of. Where nothing is said, Kubernetes' own defaults hold.
#[derive(Debug, Clone, Default)]
pub struct Full {
    /// The real nodes, at most [`node::MAX_NODES`].
    pub nodes: Vec<NodeOptions>,
    /// How many simulated nodes there are: `kwok-0`, `kwok-1` and so on, tainted with [`kwok::TAINT`].
    pub kwok_nodes: u32,
    /// Archives of images that the real nodes get, beside the sandbox and the workload image.
    pub images: Vec<PathBuf>,
    /// Lets the loss of a node be noticed within about 6 s instead of 45 s.
    pub quick_node_loss: bool,
    /// Whether etcd waits for the disk; set it where durations are measured.
    pub fsync: bool,
    /// More flags for the API server.
    pub api_server_flags: Vec<String>,
    /// More flags for the controller manager.
    pub controller_manager_flags: Vec<String>,
    /// More flags for the scheduler.
    pub scheduler_flags: Vec<String>,
    /// More flags for kwok.
    pub kwok_flags: Vec<String>,
}

impl Full {
    /// A cluster of one real node, `node-a`, with defaults everywhere.
    pub fn one_node() -> Self {
        Self {
            nodes: vec![NodeOptions::named("node-a")],
            ..Self::default()
        }
    }
}

/// A running cluster.
pub struct Cluster {
    kubeconfig: PathBuf,
    config: Config,
    nodes: Vec<Node>,
    control_plane: Option<ControlPlane>,
    session: Session,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("kubeconfig", &self.kubeconfig)
            .field("nodes", &self.nodes)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// Starts a cluster and waits until it is ready: API server, and in a full one the controllers and all nodes.
    /// What is missing of its binaries and images is built first, which takes many minutes the first time.
    pub async fn start(profile: Profile) -> Result<Self, Error> {
        let cache = cache::folder().map_err(Error::Cache)?;
        match profile {
            Profile::ApiServer => Self::start_api_server(&cache).await,
            Profile::Simulated(full) => Self::start_simulated(&cache, full).await,
            Profile::Full(full) => Self::start_full(&cache, full).await,
        }
    }

    async fn start_api_server(cache: &Path) -> Result<Self, Error> {
        let binaries = build_binaries(cache, Scope::ApiServer).await?;
        let session = Session::separate(cache, "apiserver", binaries)
            .await
            .map_err(Error::Session)?;
        let control_plane =
            ControlPlane::start(session.run(), &control_plane::Options::default()).await;
        Self::of(session, control_plane.map_err(Error::ControlPlane)?).await
    }

    async fn start_simulated(cache: &Path, full: Full) -> Result<Self, Error> {
        let binaries = build_binaries(cache, Scope::Full).await?;
        let session = Session::separate(cache, "simulated", binaries)
            .await
            .map_err(Error::Session)?;
        let options = control_plane::Options {
            address: Ipv4Addr::LOCALHOST.into(),
            port: None,
            ..full.control_plane()
        };
        let step = Step::begin(format!(
            "starting a control plane and {} simulated nodes",
            full.kwok_nodes
        ));
        let control_plane = ControlPlane::start(session.run(), &options)
            .await
            .map_err(Error::ControlPlane)?;
        let cluster = Self::of(session, control_plane).await?;
        tokio::try_join!(
            cluster.start_simulated_nodes(&full),
            cluster.controllers_ready()
        )?;
        step.done();
        Ok(cluster)
    }

    async fn start_full(cache: &Path, full: Full) -> Result<Self, Error> {
        system::check().map_err(Error::System)?;
        let binaries = build_binaries(cache, Scope::Full).await?;
        let mut archives = build_images(cache).await?;
        archives.extend(full.images.iter().cloned());
        let session = Session::full(cache, binaries)
            .await
            .map_err(Error::Session)?;
        network::create(session.run().ledger()).map_err(Error::Network)?;
        let step = Step::begin("starting the control plane");
        let control_plane = ControlPlane::start(session.run(), &full.control_plane())
            .await
            .map_err(Error::ControlPlane)?;
        step.done();
        let mut cluster = Self::of(session, control_plane).await?;
        let step = Step::begin(format!(
            "starting {} real and {} simulated nodes",
            full.nodes.len(),
            full.kwok_nodes
        ));
        cluster.add_nodes(&full, &archives).await?;
        step.done();
        Ok(cluster)
    }

    /// The cluster that `control_plane` is, without nodes yet.
    async fn of(session: Session, control_plane: ControlPlane) -> Result<Self, Error> {
        let kubeconfig = control_plane.admin_kubeconfig().to_owned();
        Self::with(session, kubeconfig, Some(control_plane)).await
    }

    /// A cluster that somebody else runs, by the kubeconfig in the run's folder.
    pub(crate) async fn borrowed(session: Session, kubeconfig: PathBuf) -> Result<Self, Error> {
        Self::with(session, kubeconfig, None).await
    }

    async fn with(
        session: Session,
        kubeconfig: PathBuf,
        control_plane: Option<ControlPlane>,
    ) -> Result<Self, Error> {
        let config = control_plane::config(&kubeconfig)
            .await
            .map_err(Error::ControlPlane)?;
        // Whether a client can be made of it is found out here, so that later ones cannot fail.
        let client = Client::try_from(config.clone());
        client.map_err(|source| Error::Kubeconfig {
            path: kubeconfig.clone(),
            source: source.into(),
        })?;
        Ok(Self {
            kubeconfig,
            config,
            nodes: Vec::new(),
            control_plane,
            session,
        })
    }

    async fn add_nodes(&mut self, full: &Full, archives: &[PathBuf]) -> Result<(), Error> {
        self.let_the_api_server_use_kubelets().await?;
        let real = self.start_real_nodes(full, archives);
        let simulated = self.start_simulated_nodes(full);
        let (nodes, (), ()) = tokio::try_join!(real, simulated, self.controllers_ready())?;
        self.nodes = nodes;
        Ok(())
    }

    async fn start_real_nodes(
        &self,
        full: &Full,
        archives: &[PathBuf],
    ) -> Result<Vec<Node>, Error> {
        let wanted = full.nodes.iter().cloned();
        let wanted = wanted.map(|options| {
            if full.quick_node_loss {
                options.quickly_missed()
            } else {
                options
            }
        });
        try_join_all(
            (0_u8..)
                .zip(wanted)
                .map(|(index, options)| self.start_real_node(index, options, archives)),
        )
        .await
    }

    async fn start_real_node(
        &self,
        index: u8,
        options: NodeOptions,
        archives: &[PathBuf],
    ) -> Result<Node, Error> {
        let name = options.name.clone();
        let failed = |source| Error::Node {
            name: name.clone(),
            source,
        };
        let control_plane = self.ours("start nodes")?;
        let (run, pki, server) = (
            self.session.run().clone(),
            control_plane.pki(),
            control_plane.server(),
        );
        let node = Node::start(run, pki, server, index, options, archives)
            .await
            .map_err(failed)?;
        node.ready(&self.client()).await.map_err(failed)?;
        Ok(node)
    }

    async fn start_simulated_nodes(&self, full: &Full) -> Result<(), Error> {
        if full.kwok_nodes == 0 {
            return Ok(());
        }
        let mut flags = full.kwok_flags.clone();
        // Without the flag kwok renews no leases, and its nodes are taken for lost again and again.
        let lease = if full.quick_node_loss { 4 } else { 40 };
        flags.insert(0, format!("--node-lease-duration-seconds={lease}"));
        let started = kwok::start(
            self.session.run(),
            &self.kubeconfig,
            &self.client(),
            full.kwok_nodes,
            &flags,
        )
        .await;
        started.map(drop).map_err(Error::Kwok)
    }

    /// Pods can be created once their namespace has its default service account.
    async fn controllers_ready(&self) -> Result<(), Error> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client(), "default");
        let begun = Instant::now();
        while self
            .bounded(
                "get",
                "the ServiceAccount `default`",
                accounts.get_opt("default"),
            )
            .await?
            .is_none()
        {
            if begun.elapsed() > CONTROLLERS_READY {
                return Err(Error::Controllers);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Ends the cluster and reports what could not be ended. Dropping it does the same, but can only print that.
    pub fn stop(self) -> Result<(), Error> {
        self.session.end().map_err(Error::Session)
    }

    /// Leaves the cluster running when this process ends, until `make down` or the next start. Returns its kubeconfig.
    pub fn keep(self) -> Result<PathBuf, Error> {
        self.session.keep().map_err(Error::Session)?;
        Ok(self.kubeconfig)
    }

    /// The control plane that the harness started; an error for somebody else's cluster.
    fn ours(&self, what: &'static str) -> Result<&ControlPlane, Error> {
        self.control_plane.as_ref().ok_or(Error::NotOurs { what })
    }

    /// The run: for starting processes that end with the cluster.
    pub fn run(&self) -> &Run {
        self.session.run()
    }

    /// The process number of the reaper, which cleans up when this process dies.
    pub fn reaper(&self) -> Option<u32> {
        self.session.reaper()
    }

    /// The control plane, unless the cluster is somebody else's.
    pub fn control_plane(&self) -> Option<&ControlPlane> {
        self.control_plane.as_ref()
    }

    /// The real nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The real node of this name.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name() == name)
    }
}

impl Full {
    fn control_plane(&self) -> control_plane::Options {
        let mut controller_manager_flags = Vec::new();
        if self.quick_node_loss {
            controller_manager_flags.push("--node-monitor-period=1s".to_owned());
            controller_manager_flags.push("--node-monitor-grace-period=6s".to_owned());
        }
        controller_manager_flags.extend(self.controller_manager_flags.iter().cloned());
        control_plane::Options {
            address: network::HOST.into(),
            port: Some(PORT),
            fsync: self.fsync,
            controllers: true,
            api_server_flags: self.api_server_flags.clone(),
            controller_manager_flags,
            scheduler_flags: self.scheduler_flags.clone(),
        }
    }
}

/// Building blocks for minutes, so it has a thread of its own.
async fn build_binaries(cache: &Path, scope: Scope) -> Result<build::Binaries, Error> {
    let cache = cache.to_owned();
    let built = tokio::task::spawn_blocking(move || build::build(&cache, scope)).await;
    built.map_err(Error::Thread)?.map_err(Error::Build)
}

async fn build_images(cache: &Path) -> Result<Vec<PathBuf>, Error> {
    let cache = cache.to_owned();
    let built = tokio::task::spawn_blocking(move || images::small(&cache)).await;
    built.map_err(Error::Thread)?.map_err(Error::Images)
}
