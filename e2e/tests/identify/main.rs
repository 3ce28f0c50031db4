//! Classes of faults, each provoked on a real cluster and identified by `coppice identify` from what `kubectl get` shows.
//!
//! Rule: a test provokes one class in a namespace of its own and names it as the first argument of [`expected::fault`]; a test
//! of the library compares those names with the classes that are marked as shown on a cluster.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "a test fails by panicking, and nobody is outside of it"
)]

mod configuration;
mod controllers;
mod disruption;
mod ends;
mod expected;
mod images;
mod kit;
mod kubelet;
mod look;
mod nodes;
mod places;
mod probes;
mod refused;
mod registry;
mod resources;
mod runtime;
mod scheduling;
mod specs;
#[path = "../cluster/support.rs"]
mod support;
mod volumes;

use e2e::cluster::{Cluster, Full, Profile};
use e2e::node::NodeOptions;
use tokio::sync::{Mutex, OnceCell};

/// The nodes on which everything runs that needs no node of its own.
const NODES: [&str; 3] = ["node-a", "node-b", "node-c"];
/// The node that is lost and comes back.
const DOOMED: &str = "node-doomed";
/// The taint that keeps everything else away from it.
const DOOMED_TAINT: &str = "coppice.test/doomed";

/// Those who cordon and uncordon nodes take turns.
static CORDONING: Mutex<()> = Mutex::const_new(());

/// The cluster that the tests share, with Kubernetes' own defaults everywhere. It ends with the test program.
async fn shared() -> &'static Cluster {
    static SHARED: OnceCell<Cluster> = OnceCell::const_new();
    let start = async || {
        let names = NODES.iter().chain([&DOOMED]);
        let full = Full {
            nodes: names.map(|name| NodeOptions::named(name)).collect(),
            ..Full::default()
        };
        let cluster = Cluster::start(Profile::Full(full))
            .await
            .expect("a cluster");
        let taint = format!("{DOOMED_TAINT}:NoSchedule");
        support::ok(&cluster, &["taint", "node", DOOMED, &taint], "");
        cluster
    };
    SHARED.get_or_init(start).await
}
