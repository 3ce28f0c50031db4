//! The operator as benchmarks run it: the program that is released, as a process, with the rights of the chart.
//!
//! Rule: whoever starts one says for whom the API server shall take it, so that the audit log tells them apart.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::process::Signal;

use super::wait::{self, PATIENCE};
use crate::cluster::Cluster;
use crate::operator;
use crate::process::{self, Process, Program};

/// How long a credential holds; no benchmark takes longer.
const LIFETIME: Duration = Duration::from_hours(6);

/// What it takes to start operators on a cluster.
pub(super) struct Installed {
    program: PathBuf,
    kubeconfig: PathBuf,
}

impl Installed {
    /// Gives the cluster all that the chart does but the Deployment; `program` is what will run.
    pub(super) async fn on(cluster: &Cluster, program: PathBuf) -> Result<Self> {
        operator::apply_definitions(cluster)?;
        let mut kubectl = cluster.command("kubectl");
        kubectl.args(["create", "namespace", operator::NAMESPACE]);
        operator::said(kubectl)?;
        let templates = ["serviceaccount", "rbac", "leader-election", "authority"];
        let templates = templates.map(|name| format!("{name}.yaml"));
        let templates = templates.each_ref().map(String::as_str);
        operator::apply_from_chart(cluster, operator::NAMESPACE, &[], &templates)?;
        let kubeconfig =
            cluster.kubeconfig_for_service_account(operator::NAMESPACE, "coppice", LIFETIME);
        let kubeconfig = kubeconfig.await?;
        Ok(Self {
            program,
            kubeconfig,
        })
    }

    /// Starts the operator as [`COPPICE`](super::rig::COPPICE), and waits until it is ready.
    pub(super) async fn start(&self, cluster: &Cluster) -> Result<Operator> {
        self.start_as(cluster, "bench", &self.kubeconfig).await
    }

    /// Starts an operator that calls itself `name` in the election and has the rights of `kubeconfig`, and waits until
    /// it is ready.
    pub(super) async fn start_as(
        &self,
        cluster: &Cluster,
        name: &str,
        kubeconfig: &Path,
    ) -> Result<Operator> {
        let address = operator::free_address()?;
        let log = cluster.run().log(&format!("operator-{name}"));
        let program = Program::new("operator", &self.program, log)
            .env("KUBECONFIG", kubeconfig)
            .env("POD_NAME", name)
            .env("POD_NAMESPACE", operator::NAMESPACE)
            .args(["controller", "--listen", &address]);
        let process = cluster.run().spawn(program)?;
        let ready = process.ready(PATIENCE, || operator::is_ready(&address));
        ready.await?;
        Ok(Operator(process))
    }
}

/// An operator that runs, or has ended. The cluster's end is its end too.
pub(super) struct Operator(Process);

impl Operator {
    /// Its process number; an error when it has ended.
    pub(super) fn number(&self) -> Result<u32> {
        ensure!(
            self.0.ended().is_none(),
            "the operator has ended:\n{}",
            process::tail(self.0.log())
        );
        Ok(self.0.pid().number)
    }

    /// Sends it a signal.
    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        ensure!(self.0.pid().signal(signal), "the operator has ended");
        Ok(())
    }

    /// Waits until it has ended.
    pub(super) async fn until_ended(&self) -> Result<ExitStatus> {
        wait::until(PATIENCE, "the operator to end", async || Ok(self.0.ended())).await
    }

    /// Tells it to stop, as Kubernetes does, and waits until it has.
    pub(super) async fn stop(self) -> Result<()> {
        self.signal(Signal::TERM)?;
        self.until_ended().await.map(drop)
    }
}
