//! The nodes that are lost, and how: a real one without power, and a simulated one that nobody answers for.
//!
//! Rule: a node renews its Lease far more often than it writes its status, so the last renewal is the last heartbeat.

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::load::pod_spec;
use super::real::{RealRig, real_pod_spec};

/// What is lost, and what runs on it.
pub(super) struct Loss {
    pub(super) node: &'static str,
    /// Where the replacements go.
    pub(super) other: &'static str,
    is_real: bool,
    /// How many Pods of each side are on it.
    pub(super) replicas: u32,
}

/// The real node first: to mark the hundred Pods of the other one takes Kubernetes many seconds, in which it looks at no
/// other node.
pub(super) const LOSSES: [Loss; 2] = [
    Loss {
        node: "node-b",
        other: "node-a",
        is_real: true,
        replicas: 3,
    },
    Loss {
        node: "kwok-0",
        other: "kwok-1",
        is_real: false,
        replicas: 100,
    },
];

impl Loss {
    /// A Pod of such a node.
    pub(super) fn pod_spec(&self) -> Value {
        if self.is_real {
            real_pod_spec(&[])
        } else {
            pod_spec()
        }
    }

    /// Loses it.
    pub(super) async fn lose(&self, rig: &RealRig) -> Result<()> {
        if self.is_real {
            let node = rig.cluster.node(self.node).context("the real node")?;
            return Ok(node.power_cut().await?);
        }
        // kwok answers for a node only as long as it holds its Lease. Who takes that away renews it once, and never again;
        // Kubernetes looks away from a Lease that has changed and was not renewed.
        let spec = json!({"holderIdentity": "nobody", "leaseDurationSeconds": 3600,
            "renewTime": MicroTime(Timestamp::now())});
        let patch = Patch::Merge(json!({"spec": spec}));
        leases(rig)
            .patch(self.node, &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }

    /// When the node last renewed its Lease.
    pub(super) async fn last_heartbeat(&self, rig: &RealRig) -> Result<Timestamp> {
        let lease = leases(rig).get(self.node).await?;
        let renewed = lease.spec.and_then(|spec| spec.renew_time);
        Ok(renewed.context("the node has a heartbeat")?.0)
    }

    /// When Kubernetes took the node for lost.
    pub(super) async fn missed(&self, rig: &RealRig) -> Result<Timestamp> {
        let nodes: Api<Node> = Api::all(rig.client.clone());
        let status = nodes.get(self.node).await?.status;
        let conditions = status.and_then(|status| status.conditions);
        let mut conditions = conditions.into_iter().flatten();
        let ready = conditions.find(|one| one.type_ == "Ready");
        let ready = ready.context("the node has a condition")?;
        ensure!(ready.status == "Unknown", "{} is not missed", self.node);
        Ok(ready.last_transition_time.context("a time")?.0)
    }
}

fn leases(rig: &RealRig) -> Api<Lease> {
    Api::namespaced(rig.client.clone(), "kube-node-lease")
}
