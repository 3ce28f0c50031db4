//! What needs a real API server, but no nodes.
//!
//! Rule: every test makes its own namespace or its own server, so that all of them run side by side.

mod api;
mod calls;
mod harness;

use e2e::cluster::{Cluster, Profile};
use tokio::sync::OnceCell;

/// The API server that tests share when it does not matter what else is on it. It ends with the test program.
async fn shared() -> &'static Cluster {
    static SHARED: OnceCell<Cluster> = OnceCell::const_new();
    SHARED
        .get_or_init(async || {
            Cluster::start(Profile::ApiServer)
                .await
                .expect("an API server")
        })
        .await
}
