//! What needs a whole cluster: controllers, scheduler, kubelets, containers, and the operator in it.
//!
//! Rule: tests share one cluster and keep to a namespace of their own; a test that breaks nodes is elsewhere.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod autoscaler;
mod beside;
mod bounds;
mod canary;
mod groups;
mod harness;
mod heal;
mod idle;
mod in_place;
mod kill;
mod named;
mod preflight;
#[path = "../lifecycle/record.rs"]
mod record;
mod redundancy;
mod rollback;
mod stateful;
mod support;
mod update;
mod volumes;

use e2e::cluster::{Cluster, Full};
use e2e::metrics_server;
use e2e::node::NodeOptions;
use tokio::sync::{Mutex, OnceCell};

/// Tests that measure seconds take turns, because starting many Pods at once takes the whole machine.
static MEASURING: Mutex<()> = Mutex::const_new(());

/// The cluster that tests share: two real nodes and five simulated ones, with Kubernetes' own defaults for everything but
/// the pace of autoscalers, and the operator installed by Helm; or the current one, with the operator as a process. It ends with the test program.
async fn shared() -> &'static Cluster {
    static SHARED: OnceCell<Cluster> = OnceCell::const_new();
    let start = async || {
        let nodes = ["node-a", "node-b"].map(NodeOptions::named).to_vec();
        support::cluster_with_operator(Full {
            nodes,
            kwok_nodes: 5,
            controller_manager_flags: metrics_server::QUICK_AUTOSCALER.map(str::to_owned).to_vec(),
            ..Full::default()
        })
        .await
    };
    SHARED.get_or_init(start).await
}
