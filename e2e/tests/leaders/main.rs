//! Two operators on one cluster: one takes over from the other, and both acting at once do no harm.
//!
//! Rule: what is asserted is what the API server noted and what a watch saw of every Pod; of times the
//! median of several rounds keeps the promise, and each a generous bound.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod duo;
mod failover;
mod grove;
mod overlap;
mod replaced;
mod witness;

#[path = "../cluster/support.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use e2e::cluster::{Cluster, Full, Profile};
use e2e::{earlier, operator};
use tokio::sync::{Mutex, OnceCell};

/// There is one Lease, so tests take turns.
static TURN: Mutex<()> = Mutex::const_new(());

/// The operator's program.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| operator::program().expect("the operator compiles"))
}

/// The program of the operator that another one takes the place of: that of an earlier commit, or, where the checkout
/// came without its history, the same.
fn earlier_program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let earlier = earlier::program().expect("the earlier operator compiles");
        earlier.unwrap_or_else(|| {
            println!("no history: the operator takes the place of one of the same commit");
            program().to_owned()
        })
    })
}

/// A cluster of simulated nodes with the definitions and the rights of the operator, but without the operator.
async fn shared() -> &'static Cluster {
    static SHARED: OnceCell<Cluster> = OnceCell::const_new();
    let start = async || {
        // What compiles would disturb the tests that measure.
        program();
        earlier_program();
        let full = Full {
            kwok_nodes: 4,
            ..Full::default()
        };
        let cluster = Cluster::start(Profile::Full(full))
            .await
            .expect("a cluster");
        operator::apply_definitions(&cluster).expect("definitions");
        duo::grant_rights(&cluster);
        cluster
    };
    SHARED.get_or_init(start).await
}
