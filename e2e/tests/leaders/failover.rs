//! One operator ends, and the other goes on: how long nobody acted.
//!
//! Rule: the end is when the signal was sent; the beginning is the first create of a Pod that the API server received
//! of the other one and granted.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::process::Signal;

use super::duo::{Operator, forget_lease};
use super::grove::{Harm, is_whole, plant};
use super::support::Space;
use super::witness::{Witness, deleted_by_uid_only};
use super::{TURN, shared};

const ROUNDS: usize = 5;
/// How long the first act of the other may take; the goals are 1 s and 8 s.
const GRACEFUL_WITHIN: Duration = Duration::from_secs(5);
const CRASH_WITHIN: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_told_to_stop_hands_over() {
    fail_over(Signal::TERM, GRACEFUL_WITHIN, "graceful").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_killed_is_followed() {
    fail_over(Signal::KILL, CRASH_WITHIN, "crash").await;
}

async fn fail_over(signal: Signal, within: Duration, what: &str) {
    let cluster = shared().await;
    let _turn = TURN.lock().await;
    forget_lease(cluster).await;
    let space = Space::new(cluster, what).await;
    let witness = Witness::begin(space.pods()).await;
    let start = async |round: usize| {
        let name = format!("{what}-{round}");
        Operator::start(cluster, &name, &space.name, false).await
    };
    let mut leader = start(0).await;
    leader.until_it_leads().await;
    plant(&space).await;

    let harm = Harm::begin(&space);
    let mut times = Vec::new();
    for round in 1..=ROUNDS {
        let standby = start(round).await;
        assert!(!standby.leads().await);
        assert!(
            standby.writes(&space.name).is_empty(),
            "a standby writes nothing"
        );
        // The standby sees the Lease once more, at any moment of its second.
        tokio::time::sleep(Duration::from_millis(
            1_500 + 170 * u64::try_from(round).unwrap(),
        ))
        .await;
        let ended = Timestamp::now();
        leader.signal(signal);
        let acted = first_act(&standby, &space.name, within).await;
        times.push(Duration::try_from(acted.duration_since(ended)).unwrap());
        until_ended(&leader).await;
        assert!(
            last_write(&leader, &space.name) <= acted,
            "it has stopped by then"
        );
        deleted_by_uid_only(&leader);
        leader = standby;
    }
    times.sort();
    println!(
        "{what}: from the signal to the other's first create: {times:.2?}, median {:.2?}, worst {:.2?}",
        times[ROUNDS / 2],
        times[ROUNDS - 1]
    );
    let done = harm.end().await;
    is_whole(&space, &done).await;
    witness.saw_no_slot_doubled();
    deleted_by_uid_only(&leader);
}

/// When the API server received the first create of a Pod that it granted to this operator.
async fn first_act(operator: &Operator, namespace: &str, within: Duration) -> Timestamp {
    let begun = Instant::now();
    loop {
        let writes = operator.writes(namespace);
        let create = writes
            .iter()
            .find(|one| one.verb == "create" && one.resource == "pods");
        if let Some(create) = create {
            return create.at;
        }
        assert!(begun.elapsed() < within, "{} does not act", operator.name);
        tokio::time::sleep(POLL).await;
    }
}

fn last_write(operator: &Operator, namespace: &str) -> Timestamp {
    let writes = operator.writes(namespace);
    writes.iter().map(|one| one.at).max().unwrap()
}

async fn until_ended(operator: &Operator) {
    let begun = Instant::now();
    while !operator.has_ended() {
        assert!(begun.elapsed() < Duration::from_secs(25));
        tokio::time::sleep(POLL).await;
    }
}
