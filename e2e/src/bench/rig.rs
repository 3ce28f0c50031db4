//! Where benchmarks on simulated nodes run: a control plane that waits for its disk, kwok, the operator as it is
//! released, with the rights that the chart gives it, and Kubernetes' own controllers as the peer.
//!
//! Rule: whatever both sides lean on (scheduler, kwok, API server) has no limits on the client's side; those of the peer's
//! controllers are said.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::{Api, Client};

use super::audit::AuditLog;
use super::load;
use super::operators::{Installed, Operator};
use super::wait::{self, PATIENCE};
use crate::cluster::{Cluster, Full, Profile};
use crate::control_plane::CONTROLLER_MANAGER;
use crate::operator;
use crate::process::Process;

/// Who the operator is for the API server, unless a benchmark says otherwise.
pub(super) const COPPICE: &str = "system:serviceaccount:coppice-system:coppice";
/// Who the peer is.
pub(super) const REPLICA_SET: &str = "system:serviceaccount:kube-system:replicaset-controller";
/// Who the benchmarks themselves are; the simulated kubelets are somebody else.
pub(super) const US: &str = "bench";

/// The limits of Kubernetes' own controllers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limits {
    /// 20 requests a second, 30 at once, 5 `ReplicaSet`s and 5 `Deployment`s side by side.
    Default,
    /// So high that they do not matter.
    Raised,
}

impl Limits {
    /// The flags that say so.
    pub(super) fn flags(self) -> Vec<String> {
        let flags: &[&str] = match self {
            Self::Default => &[],
            Self::Raised => &[
                "--kube-api-qps=5000",
                "--kube-api-burst=5000",
                "--concurrent-replicaset-syncs=50",
                "--concurrent-deployment-syncs=50",
            ],
        };
        flags.iter().map(ToString::to_string).collect()
    }
}

/// A cluster with the operator.
pub(super) struct Rig {
    pub(super) cluster: Cluster,
    pub(super) installed: Installed,
    client: Client,
    operator: Option<Operator>,
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
        let installed = Installed::on(&cluster, program).await?;
        let control_plane = cluster.control_plane().context("a cluster of our own")?;
        let processes = control_plane.processes();
        let controllers = processes
            .into_iter()
            .find(|process| process.name() == CONTROLLER_MANAGER);
        let ours = cluster.kubeconfig_for(US, &["system:masters"])?;
        let operator = installed.start(&cluster).await?;
        Ok(Self {
            client: cluster.client_from(&ours).await?,
            controllers: controllers.context("a controller manager")?,
            cluster,
            installed,
            operator: Some(operator),
        })
    }

    /// Starts the operator again that was stopped, and waits until it is ready.
    pub(super) async fn start_operator_again(&mut self) -> Result<()> {
        self.operator = Some(self.installed.start(&self.cluster).await?);
        Ok(())
    }

    /// Tells the operator to stop, as Kubernetes does, and waits until it has.
    pub(super) async fn stop_operator(&mut self) -> Result<()> {
        self.operator.take().context("an operator")?.stop().await
    }

    /// The operator's process number.
    pub(super) fn operator(&self) -> Result<u32> {
        self.operator.as_ref().context("an operator")?.number()
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
        found: impl AsyncFnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        wait::until(within, what, found).await
    }
}
