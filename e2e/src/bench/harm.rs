//! Somebody who deletes Pods one after the other while something else happens.
//!
//! Rule: none is hit twice, because Coppice replaces at once only what has lived for a while.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::DeleteParams;

use super::load::{Shape, Subject, pods};
use super::rig::Rig;

/// How far two deletes are apart.
const GAP: Duration = Duration::from_millis(100);

/// Somebody who deletes Pods, each only once.
pub(super) struct Harm {
    namespace: String,
    pods: Api<Pod>,
    victims: Vec<String>,
    /// How many Pods there should be.
    wanted: usize,
}

impl Harm {
    /// Makes the Pods.
    pub(super) async fn plant(rig: &Rig, subject: Subject, shape: Shape) -> Result<Self> {
        let namespace = rig.cluster.namespace("failover").await?;
        subject.plant(rig, &namespace, shape).await?;
        let mut victims = pods(&rig.client(), &namespace).await?;
        fastrand::shuffle(&mut victims);
        Ok(Self {
            pods: Api::namespaced(rig.client(), &namespace),
            namespace,
            wanted: victims.len(),
            victims,
        })
    }

    /// Where they are.
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Deletes one Pod after the other until `end` has come.
    pub(super) async fn during<T>(&mut self, end: impl Future<Output = T>) -> Result<T> {
        let mut end = std::pin::pin!(end);
        let mut tick = tokio::time::interval(GAP);
        loop {
            tokio::select! {
                biased;
                outcome = &mut end => return Ok(outcome),
                _ = tick.tick() => {
                    let victim = self.victims.pop().context("there are no Pods left to delete")?;
                    self.pods.delete(&victim, &DeleteParams::default()).await?;
                }
            }
        }
    }

    /// Waits until there are as many Pods as there should be.
    pub(super) async fn until_whole(&self, rig: &Rig) -> Result<()> {
        rig.until("all Pods to be replaced", async || {
            let whole = pods(&rig.client(), &self.namespace).await?.len() == self.wanted;
            Ok(whole.then_some(()))
        })
        .await
    }
}
