//! Waiting until Kubernetes has a node.
//!
//! Rule: only what the node's kubelet wrote since the node booted counts; right after a reboot, the API server still
//! calls it Ready from before.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node as ApiNode;
use kube::{Api, Client};

use super::{Error, Node, READY_WITHIN};
use crate::process;

const POLL: Duration = Duration::from_millis(50);
const API_TIMEOUT: Duration = Duration::from_secs(5);

impl Node {
    /// Waits until Kubernetes has the node and calls it Ready.
    pub async fn ready(&self, client: &Client) -> Result<(), Error> {
        let since = self.powered()?.since;
        let begun = Instant::now();
        loop {
            let last = match tokio::time::timeout(API_TIMEOUT, self.not_ready(client, since)).await
            {
                Ok(Ok(None)) => return Ok(()),
                Ok(Ok(Some(reason))) => reason,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "the API server does not answer".to_owned(),
            };
            if begun.elapsed() > READY_WITHIN {
                let log = self.service_log("kubelet");
                let tail = process::tail(&log);
                return Err(Error::NotReady {
                    name: self.name().to_owned(),
                    last,
                    log,
                    tail,
                });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Why the node that booted at `since` is not ready, or `None` when it is.
    async fn not_ready(
        &self,
        client: &Client,
        since: Timestamp,
    ) -> Result<Option<String>, kube::Error> {
        let nodes: Api<ApiNode> = Api::all(client.clone());
        let Some(node) = nodes.get_opt(self.name()).await? else {
            return Ok(Some("it is not registered".to_owned()));
        };
        // A kubelet makes the lease of a new node only 10 s after it registered; of a node that it finds registered it
        // renews the lease at once.
        let created = node.metadata.creation_timestamp.as_ref();
        let is_new = created.is_some_and(|time| since.as_second() <= time.0.as_second());
        if !is_new && !self.renewed_since(client, since).await? {
            return Ok(Some("its lease is not renewed".to_owned()));
        }
        let conditions = node.status.and_then(|status| status.conditions);
        let ready = conditions
            .into_iter()
            .flatten()
            .find(|condition| condition.type_ == "Ready");
        let Some(ready) = ready else {
            return Ok(Some("it has no condition Ready".to_owned()));
        };
        // Heartbeats have whole seconds only.
        let fresh = ready
            .last_heartbeat_time
            .is_some_and(|time| since.as_second() <= time.0.as_second());
        let is_ready = fresh && ready.status == "True";
        Ok((!is_ready).then(|| ready.message.unwrap_or(ready.status)))
    }

    async fn renewed_since(&self, client: &Client, since: Timestamp) -> Result<bool, kube::Error> {
        let leases: Api<Lease> = Api::namespaced(client.clone(), "kube-node-lease");
        let lease = leases.get_opt(self.name()).await?;
        let renewed = lease.and_then(|lease| lease.spec?.renew_time);
        Ok(renewed.is_some_and(|time| since <= time.0))
    }
}
