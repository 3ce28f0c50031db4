//! One operator ends, and the other goes on: how long nobody acted.
//!
//! Rule: the end is when the signal was sent; the beginning is the first create of a Pod that the API server received
//! of the other one and granted.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::api::ListParams;
use rustix::process::Signal;

use super::duo::{Operator, forget_lease};
use super::grove::{Harm, crowd, is_whole, plant};
use super::support::Space;
use super::witness::{Witness, deleted_by_uid_only};
use super::{TURN, shared};

const ROUNDS: usize = 5;
const GRACEFUL: Goal = Goal {
    median: Duration::from_secs(1),
    worst: Duration::from_secs(5),
};
const CRASH: Goal = Goal {
    median: Duration::from_secs(8),
    worst: Duration::from_secs(15),
};
/// How many Pods are asked for at once, and how many there are when the one who creates them is told to stop.
const MANY: usize = 600;
const BEGUN: usize = 60;
const CREATED_WITHIN: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(100);
const QUICK_POLL: Duration = Duration::from_millis(10);

/// How long nobody may act: the promise, which the median of all rounds keeps, and a bound for each on a busy machine.
#[derive(Clone, Copy)]
struct Goal {
    median: Duration,
    worst: Duration,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_told_to_stop_hands_over() {
    fail_over(Signal::TERM, GRACEFUL, "graceful").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_killed_is_followed() {
    fail_over(Signal::KILL, CRASH, "crash").await;
}

async fn fail_over(signal: Signal, goal: Goal, what: &str) {
    let cluster = shared().await;
    let _turn = TURN.lock().await;
    forget_lease(cluster).await;
    let space = Space::new(cluster, what).await;
    let witness = Witness::begin(space.pods()).await;
    let mut leader = Operator::start(cluster, &format!("{what}-0"), &space.name, false).await;
    leader.until_it_leads().await;
    plant(&space).await;

    let harm = Harm::begin(&space);
    let mut times = Vec::new();
    for round in 1..=ROUNDS {
        let standby = stand_by(&space, what, round).await;
        let time = hand_over(&leader, &standby, signal, goal).await;
        times.push(time);
        leader = standby;
    }
    judge(times, goal, what);
    let done = harm.end().await;
    is_whole(&space, &done).await;
    witness.saw_no_slot_doubled();
    deleted_by_uid_only(&leader);
}

/// What is under way when the leader is told to stop does not hold up the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_creates_much_hands_over_as_soon() {
    let what = "busy";
    let cluster = shared().await;
    let _turn = TURN.lock().await;
    forget_lease(cluster).await;
    let space = Space::new(cluster, what).await;
    let witness = Witness::begin(space.pods()).await;
    let mut leader = Operator::start(cluster, &format!("{what}-0"), &space.name, false).await;
    leader.until_it_leads().await;

    let mut times = Vec::new();
    for round in 1..=ROUNDS {
        let standby = stand_by(&space, what, round).await;
        let tree = format!("many-{round}");
        space.apply(&crowd(&tree, MANY));
        until_pods(&space, &tree, BEGUN, QUICK_POLL).await;
        let time = hand_over(&leader, &standby, Signal::TERM, GRACEFUL).await;
        times.push(time);
        until_pods(&space, &tree, MANY, POLL).await;
        let by_leader = created(&leader, &tree);
        assert!(by_leader < MANY, "it was still creating");
        println!("{by_leader} of {MANY} Pods were created by the one who was told to stop");
        space.kubectl(&["delete", "stree", &tree, "--wait=true"]);
        leader = standby;
    }
    judge(times, GRACEFUL, what);
    witness.saw_no_slot_doubled();
}

/// Starts the operator that is to take over in that round.
async fn stand_by(space: &Space<'static>, what: &str, round: usize) -> Operator {
    let name = format!("{what}-{round}");
    let standby = Operator::start(space.cluster, &name, &space.name, false).await;
    assert!(!standby.leads().await);
    assert!(
        standby.writes(&space.name).is_empty(),
        "a standby writes nothing"
    );
    // It sees the Lease once more, at any moment of its second.
    let moment = 1_500 + 170 * u64::try_from(round).unwrap();
    tokio::time::sleep(Duration::from_millis(moment)).await;
    standby
}

/// Sends the leader that signal. Gives back how long it took until the other acted.
async fn hand_over(leader: &Operator, standby: &Operator, signal: Signal, goal: Goal) -> Duration {
    let ended = Timestamp::now();
    leader.signal(signal);
    let acted = first_act(standby, goal.worst).await;
    until_ended(leader).await;
    assert!(last_write(leader) <= acted, "it has stopped by then");
    deleted_by_uid_only(leader);
    Duration::try_from(acted.duration_since(ended)).unwrap()
}

fn judge(mut times: Vec<Duration>, goal: Goal, what: &str) {
    times.sort();
    let (median, worst) = (times[ROUNDS / 2], times[ROUNDS - 1]);
    println!(
        "{what}: from the signal to the other's first create: {times:.2?}, median {median:.2?}, worst {worst:.2?}"
    );
    assert!(median <= goal.median, "{what}: {times:.2?}");
}

/// How many Pods of a tree this operator has created.
fn created(operator: &Operator, tree: &str) -> usize {
    let prefix = format!("{tree}-");
    let writes = operator.writes(&operator.namespace);
    writes
        .iter()
        .filter(|one| {
            one.verb == "create" && one.resource == "pods" && one.name.starts_with(&prefix)
        })
        .count()
}

/// Waits until a tree has that many Pods.
async fn until_pods(space: &Space<'_>, tree: &str, count: usize, poll: Duration) {
    let begun = Instant::now();
    let labels = format!("coppice.dev/tree={tree}");
    let params = ListParams::default().labels(&labels);
    loop {
        let pods = space.pods().list_metadata(&params).await.unwrap().items;
        if pods.len() >= count {
            return;
        }
        assert!(begun.elapsed() < CREATED_WITHIN, "{} Pods", pods.len());
        tokio::time::sleep(poll).await;
    }
}

/// When the API server received the first create of a Pod that it granted to this operator.
async fn first_act(operator: &Operator, within: Duration) -> Timestamp {
    let begun = Instant::now();
    loop {
        let writes = operator.writes(&operator.namespace);
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

fn last_write(operator: &Operator) -> Timestamp {
    let writes = operator.writes(&operator.namespace);
    writes.iter().map(|one| one.at).max().unwrap()
}

async fn until_ended(operator: &Operator) {
    let begun = Instant::now();
    while !operator.has_ended() {
        assert!(begun.elapsed() < Duration::from_secs(25));
        tokio::time::sleep(POLL).await;
    }
}
