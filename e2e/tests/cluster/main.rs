//! What needs a whole cluster: controllers, scheduler, kubelets, containers.
//!
//! Rule: tests share one cluster and keep to a namespace of their own; a test that breaks nodes is elsewhere.

mod harness;

use e2e::cluster::{Cluster, Full, Profile};
use e2e::node::NodeOptions;
use tokio::sync::OnceCell;

/// The cluster that tests share: two real nodes and five simulated ones, with Kubernetes' own defaults everywhere; or the
/// current one. It ends with the test program.
async fn shared() -> &'static Cluster {
    static SHARED: OnceCell<Cluster> = OnceCell::const_new();
    let start = async || {
        let nodes = ["node-a", "node-b"].map(NodeOptions::named).to_vec();
        let full = Full {
            nodes,
            kwok_nodes: 5,
            ..Full::default()
        };
        Cluster::start_or_current(Profile::Full(full))
            .await
            .expect("a cluster")
    };
    SHARED.get_or_init(start).await
}
