//! Argo Rollouts, a peer of rollouts: its controller as a process beside the cluster, and the definitions of its kinds.
//!
//! Rule: it is a peer where it can be built and runs; where not, whoever compares says why, and measures without it.

use anyhow::{Context, Result, ensure};

use super::rig::Rig;
use super::wait::PATIENCE;
use crate::build::{self, Binaries, Scope};
use crate::process::{Process, Program};
use crate::{cache, operator};

const TOOL: &str = "argo-rollouts";
const PROGRAM: &str = "rollouts-controller";
/// The kinds that it watches, and does not work without.
const DEFINITIONS: [&str; 5] = [
    "rollouts.argoproj.io",
    "experiments.argoproj.io",
    "analysisruns.argoproj.io",
    "analysistemplates.argoproj.io",
    "clusteranalysistemplates.argoproj.io",
];
/// So high that they do not matter, as those of Kubernetes' own controllers: it has 40 requests a second, 80 at once and
/// 10 Rollouts side by side by default.
const RAISED: [&str; 3] = ["--qps=5000", "--burst=5000", "--rollout-threads=50"];

/// The program, built.
pub(super) struct ArgoRollouts(Binaries);

impl ArgoRollouts {
    /// Builds it where it is missing. It takes minutes, so it is done before anything is measured.
    pub(super) async fn build() -> Result<Self> {
        let cache = cache::folder()?;
        let built = tokio::task::spawn_blocking(move || build::build(&cache, Scope::Bench)).await;
        Ok(Self(built.context("build Argo Rollouts")??))
    }

    /// Its version, such as `v1.10.1`.
    pub(super) fn version(&self) -> &str {
        self.0.version(TOOL)
    }

    /// Makes its kinds known to the cluster.
    pub(super) fn define(&self, rig: &Rig) -> Result<()> {
        let mut kubectl = rig.cluster.command("kubectl");
        // What a client notes in the object about it would be too long for an annotation.
        kubectl.args(["apply", "--server-side"]);
        for file in self.0.files(TOOL) {
            kubectl.arg("-f").arg(file);
        }
        operator::said(kubectl)?;
        Ok(operator::until_established(&rig.cluster, &DEFINITIONS)?)
    }

    /// Starts it with raised limits, and waits until it says that it is well.
    pub(super) async fn start(&self, rig: &Rig) -> Result<Controller> {
        let kubeconfig = rig.cluster.kubeconfig_for(TOOL, &["system:masters"])?;
        let [health, metrics] = [operator::free_address()?, operator::free_address()?];
        let port = |address: &str| address.rsplit(':').next().unwrap_or_default().to_owned();
        let run = rig.cluster.run();
        let program = Program::new(TOOL, self.0.path(PROGRAM), run.log(TOOL))
            .flag("kubeconfig", kubeconfig)
            .flag("leader-elect", "false")
            .flag("healthzPort", port(&health))
            .flag("metricsPort", port(&metrics))
            .args(RAISED);
        let process = run.spawn(program)?;
        let is_well = || operator::answers(&health, "/healthz");
        let ready = process.ready(PATIENCE, is_well).await;
        let controller = Controller(process);
        match ready {
            Ok(()) => Ok(controller),
            Err(error) => {
                controller.stop()?;
                Err(error.into())
            }
        }
    }
}

/// Its controller, which runs. The cluster's end is its end too.
pub(super) struct Controller(Process);

impl Controller {
    /// Ends it.
    pub(super) fn stop(self) -> Result<()> {
        ensure!(self.0.kill(), "Argo Rollouts does not end");
        Ok(())
    }
}
