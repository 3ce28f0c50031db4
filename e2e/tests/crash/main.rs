//! The operator killed right after one of its writes: the same end as if nothing had happened.
//!
//! Rule: every story has a namespace, an operator and a door to the API server of its own, so that they run side by
//! side; the operator is a process here, with the rights of its real service account.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../cluster/bounds.rs"]
mod bounds;
mod group;
#[path = "../lifecycle/record.rs"]
mod record;
mod rollout;
mod stateful;
mod story;
#[path = "../cluster/support.rs"]
mod support;
#[path = "../cluster/volumes.rs"]
mod volumes;

use std::collections::BTreeMap;

use e2e::cluster::{Cluster, Full, Profile};
use e2e::operator;
use futures::{StreamExt, stream};
use tokio::sync::OnceCell;

use story::{Disturbance, Kill, Stage, Where, tell};

/// How many stories are told at the same time.
const AT_ONCE: usize = 5;

/// A cluster with the definitions and the rights of the operator, but without the operator.
async fn shared() -> &'static Cluster {
    static SHARED: OnceCell<Cluster> = OnceCell::const_new();
    let start = async || {
        story::program();
        let full = Full {
            kwok_nodes: 3,
            ..Full::one_node()
        };
        let cluster = Cluster::start(Profile::Full(full))
            .await
            .expect("a cluster");
        operator::apply_definitions(&cluster).expect("definitions");
        story::grant_rights(&cluster);
        cluster
    };
    SHARED.get_or_init(start).await
}

/// Tells the story once without a kill, then once for each of `shares`: a stage, and which share of its writes, in
/// percent, is stored when the operator dies. All ends must be the same.
async fn every_end_is_the_same(place: Where, shares: &[(Stage, u64)]) {
    let cluster = shared().await;
    let (expected, writes) = tell(cluster, place, Disturbance::None).await;
    println!("{place:?}: without a kill the operator wrote {writes:?}");
    assert_eq!(expected.ends[3]["left"], 0, "something is left");
    assert_eq!(expected.faults.len(), 5, "{:?}", expected.faults);
    let kills = kills(shares, &writes);
    let mut told = stream::iter(kills)
        .map(|kill| async move { (kill, tell(cluster, place, Disturbance::Kill(kill)).await.0) })
        .buffer_unordered(AT_ONCE);
    while let Some((kill, mut outcome)) = told.next().await {
        println!("{place:?}: told with {kill:?}");
        for (stage, (seen, expected)) in Stage::ALL
            .iter()
            .zip(outcome.ends.iter().zip(&expected.ends))
        {
            assert_eq!(seen, expected, "{kill:?}: the end of {stage:?} differs");
        }
        // What is remembered for people only may be lost with the operator, but is never there twice.
        let all = outcome.faults.len();
        let mut unexpected = outcome.faults.clone();
        unexpected.retain(|fault| !expected.faults.contains(fault));
        outcome.faults.dedup();
        assert!(
            unexpected.is_empty() && outcome.faults.len() == all,
            "{kill:?}: {:?}",
            outcome.faults
        );
        assert_eq!(
            outcome.touched, expected.touched,
            "{kill:?}: Pods were created or deleted differently"
        );
    }
}

fn kills(shares: &[(Stage, u64)], writes: &BTreeMap<Stage, u64>) -> Vec<Kill> {
    let kill = |&(stage, percent): &(Stage, u64)| Kill {
        stage,
        n: (writes[&stage] * percent / 100).max(1),
    };
    shares.iter().map(kill).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_any_write_on_simulated_nodes() {
    let shares = [
        (Stage::Start, 0),
        (Stage::Start, 15),
        (Stage::Start, 35),
        (Stage::Start, 55),
        (Stage::Start, 75),
        (Stage::Heal, 0),
        (Stage::Heal, 35),
        (Stage::Heal, 70),
        (Stage::Scale, 0),
        (Stage::Scale, 30),
        (Stage::Scale, 60),
        (Stage::Stop, 0),
        (Stage::Stop, 40),
        (Stage::Stop, 75),
    ];
    every_end_is_the_same(Where::Simulated, &shares).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_a_write_on_a_real_node() {
    every_end_is_the_same(Where::Real, &[(Stage::Start, 50), (Stage::Heal, 40)]).await;
}
