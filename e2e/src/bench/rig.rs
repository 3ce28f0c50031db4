//! Where benchmarks on simulated nodes run: a control plane that waits for its disk, kwok, the operator as it is
//! released, with the rights that the chart gives it, and Kubernetes' own controllers as the peer.
//!
//! Rule: whatever both sides lean on (scheduler, kwok, API server) has no limits on the client's side; those of the peer's
//! controllers are said.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::{Api, Client};
use rustix::process::Signal;

use super::audit::AuditLog;
use super::load;
use crate::cluster::{Cluster, Full, Profile};
use crate::control_plane::CONTROLLER_MANAGER;
use crate::operator;
use crate::process::{self, Process, Program};

/// Who the operator is for the API server.
pub(super) const COPPICE: &str = "system:serviceaccount:coppice-system:coppice";
/// Who the peer is.
pub(super) const REPLICA_SET: &str = "system:serviceaccount:kube-system:replicaset-controller";
/// Who the benchmarks themselves are; the simulated kubelets are somebody else.
pub(super) const US: &str = "bench";

/// How long anything may take that is waited for, unless a benchmark says otherwise.
const PATIENCE: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(50);

/// The limits of Kubernetes' own controllers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limits {
    /// 20 requests a second, 30 at once, 5 `ReplicaSet`s side by side.
    Default,
    /// So high that they do not matter.
    Raised,
}

impl Limits {
    fn flags(self) -> Vec<String> {
        let flags: &[&str] = match self {
            Self::Default => &[],
            Self::Raised => &[
                "--kube-api-qps=5000",
                "--kube-api-burst=5000",
                "--concurrent-replicaset-syncs=50",
            ],
        };
        flags.iter().map(ToString::to_string).collect()
    }
}

/// A cluster with the operator.
pub(super) struct Rig {
    pub(super) cluster: Cluster,
    client: Client,
    kubeconfig: PathBuf,
    address: String,
    operator: Option<Process>,
    controllers: Process,
}

impl Rig {
    /// Starts all of it, with so many simulated nodes of 250 Pods each; the controllers' limits are raised.
    pub(super) async fn start(nodes: u32) -> Result<Self> {
        let program = operator::static_program()?;
        let quick = ["--kube-api-qps=5000", "--kube-api-burst=5000"].map(str::to_owned);
        let full = Full {
            kwok_nodes: nodes,
            fsync: true,
            controller_manager_flags: Limits::Raised.flags(),
            scheduler_flags: quick.to_vec(),
            ..Full::default()
        };
        let cluster = Cluster::start(Profile::Simulated(full)).await?;
        operator::apply_definitions(&cluster)?;
        let mut kubectl = cluster.command("kubectl");
        kubectl.args(["create", "namespace", operator::NAMESPACE]);
        operator::said(kubectl)?;
        let templates = ["serviceaccount", "rbac", "leader-election", "authority"];
        let templates = templates.map(|name| format!("{name}.yaml"));
        let templates = templates.each_ref().map(String::as_str);
        operator::apply_from_chart(&cluster, operator::NAMESPACE, &[], &templates)?;
        let lifetime = Duration::from_hours(6);
        let kubeconfig =
            cluster.kubeconfig_for_service_account(operator::NAMESPACE, "coppice", lifetime);
        let kubeconfig = kubeconfig.await?;
        let control_plane = cluster.control_plane().context("a cluster of our own")?;
        let processes = control_plane.processes();
        let controllers = processes
            .into_iter()
            .find(|process| process.name() == CONTROLLER_MANAGER);
        let ours = cluster.kubeconfig_for(US, &["system:masters"])?;
        let mut rig = Self {
            client: cluster.client_from(&ours).await?,
            controllers: controllers.context("a controller manager")?,
            address: free_address()?,
            cluster,
            kubeconfig,
            operator: None,
        };
        rig.start_operator(&program).await?;
        Ok(rig)
    }

    async fn start_operator(&mut self, program: &std::path::Path) -> Result<()> {
        let log = self.cluster.run().log("operator");
        let program = Program::new("operator", program, log)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("POD_NAME", "bench")
            .env("POD_NAMESPACE", operator::NAMESPACE)
            .args(["controller", "--listen", &self.address]);
        let process = self.cluster.run().spawn(program)?;
        let ready = process.ready(PATIENCE, || operator::is_ready(&self.address));
        ready.await?;
        self.operator = Some(process);
        Ok(())
    }

    /// Starts the operator again that was stopped, and waits until it is ready.
    pub(super) async fn start_operator_again(&mut self) -> Result<()> {
        self.start_operator(&operator::static_program()?).await
    }

    /// Tells the operator to stop, as Kubernetes does, and waits until it has.
    pub(super) async fn stop_operator(&mut self) -> Result<()> {
        let process = self.operator.take().context("an operator")?;
        process.pid().signal(Signal::TERM);
        self.until("the operator to stop", async || {
            Ok(process.ended().map(drop))
        })
        .await
    }

    /// The operator's process number.
    pub(super) fn operator(&self) -> Result<u32> {
        let process = self.operator.as_ref().context("an operator")?;
        ensure!(
            process.ended().is_none(),
            "the operator has ended:\n{}",
            process::tail(process.log())
        );
        Ok(process.pid().number)
    }

    /// The process number of Kubernetes' own controllers.
    pub(super) fn controllers(&self) -> u32 {
        self.controllers.pid().number
    }

    /// Ends Kubernetes' own controllers.
    pub(super) fn stop_controllers(&self) -> Result<()> {
        ensure!(self.controllers.kill(), "the controllers do not end");
        Ok(())
    }

    /// Starts Kubernetes' own controllers again with these limits.
    pub(super) fn start_controllers(&mut self, limits: Limits) -> Result<()> {
        let control_plane = self.cluster.control_plane();
        let control_plane = control_plane.context("a cluster of our own")?;
        let (run, flags) = (self.cluster.run(), limits.flags());
        self.controllers = control_plane.start_controller_manager(run, &flags)?;
        Ok(())
    }

    /// Gives Kubernetes' own controllers other limits, and waits until they work.
    pub(super) async fn limit_controllers(&mut self, limits: Limits) -> Result<()> {
        self.stop_controllers()?;
        self.start_controllers(limits)?;
        let namespace = self.cluster.namespace("probe").await?;
        let sets: Api<ReplicaSet> = Api::namespaced(self.client(), &namespace);
        load::create(&sets, load::replica_set("probe", 0)).await?;
        self.until("Kubernetes' own controllers", async || {
            let status = sets.get("probe").await?.status;
            let seen = status.and_then(|status| status.observed_generation);
            Ok((seen >= Some(1)).then_some(()))
        })
        .await
    }

    /// A client with all rights.
    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// What is asked of the API server from now on.
    pub(super) fn audit(&self) -> Result<AuditLog> {
        AuditLog::from_now(&self.cluster)
    }

    /// Waits until `found` finds something, for two minutes.
    pub(super) async fn until<T>(
        &self,
        what: &str,
        found: impl AsyncFnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        self.until_within(PATIENCE, what, found).await
    }

    /// Waits until `found` finds something.
    pub(super) async fn until_within<T>(
        &self,
        within: Duration,
        what: &str,
        mut found: impl AsyncFnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let begun = Instant::now();
        loop {
            if let Some(value) = found().await? {
                return Ok(value);
            }
            if begun.elapsed() > within {
                bail!("waited for {what} for {} s", within.as_secs());
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

fn free_address() -> Result<String> {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").context("find a free port")?;
    Ok(socket.local_addr()?.to_string())
}
