//! Where benchmarks with real nodes run: kubelets and containers, Kubernetes' own defaults everywhere, and the operator
//! as a process beside them, so that no node takes it along.
//!
//! Rule: one at a time on a machine; whoever comes second waits.

use anyhow::Result;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::operators::{Installed, Operator};
use super::rig::US;
use crate::cluster::{Cluster, Full, Profile};
use crate::images;
use crate::operator;

/// A cluster with real nodes, and the operator.
pub(super) struct RealRig {
    pub(super) cluster: Cluster,
    pub(super) client: Client,
    _operator: Operator,
}

impl RealRig {
    /// Starts all of it.
    pub(super) async fn start(full: Full) -> Result<Self> {
        let program = operator::static_program()?;
        let cluster = Cluster::start(Profile::Full(full)).await?;
        let operator = Installed::on(&cluster, program)
            .await?
            .start(&cluster)
            .await?;
        let ours = cluster.kubeconfig_for(US, &["system:masters"])?;
        Ok(Self {
            client: cluster.client_from(&ours).await?,
            cluster,
            _operator: operator,
        })
    }

    /// Says whether new Pods may come to a node.
    pub(super) async fn set_schedulable(&self, node: &str, schedulable: bool) -> Result<()> {
        let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(self.client.clone());
        let patch = Patch::Merge(json!({"spec": {"unschedulable": !schedulable}}));
        nodes.patch(node, &PatchParams::default(), &patch).await?;
        Ok(())
    }
}

/// A Pod of a real node, whose container does that.
pub(super) fn real_pod_spec(steps: &[&str]) -> Value {
    let args: Vec<&str> = ["run"].iter().chain(steps).copied().collect();
    json!({
        "containers": [{"name": "app", "image": images::WORKLOAD, "args": args}],
        "terminationGracePeriodSeconds": 1,
    })
}
