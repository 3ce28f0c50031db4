//! Both operators act, because the Lease says so, because one was stopped in the middle, or because one knows of no
//! election: the end is right, no Pod is doubled, and each death is charged once.
//!
//! Rule: the harm goes on all the time.

use std::time::Duration;

use jiff::Timestamp;
use rustix::process::Signal;

use super::duo::{Operator, forget_lease, overwrite_holder};
use super::grove::{Harm, is_whole, plant};
use super::support::Space;
use super::witness::{Witness, deleted_by_uid_only};
use super::{TURN, shared};

/// How many times the Lease is overwritten, and how far apart.
const OVERWRITES: usize = 12;
const APART: Duration = Duration::from_secs(2);
/// How long a leader is stopped: longer than its lease.
const STOPPED: Duration = Duration::from_secs(12);
/// What an operator may have sent already when it was stopped.
const UNDER_WAY: usize = 8;

/// Trees with two operators, of which the first leads, unless they act `alone`.
async fn two(what: &str, alone: [bool; 2]) -> (Space<'static>, Witness, [Operator; 2]) {
    let cluster = shared().await;
    forget_lease(cluster).await;
    let space = Space::new(cluster, what).await;
    let witness = Witness::begin(space.pods()).await;
    let first = Operator::start(cluster, &format!("{what}-a"), &space.name, alone[0]).await;
    first.until_it_leads().await;
    let second = Operator::start(cluster, &format!("{what}-b"), &space.name, alone[1]).await;
    plant(&space).await;
    (space, witness, [first, second])
}

async fn all_is_right(space: &Space<'_>, harm: Harm, witness: &Witness, operators: &[Operator; 2]) {
    let done = harm.end().await;
    let sum = |count: &std::collections::BTreeMap<String, usize>| count.values().sum::<usize>();
    println!(
        "{} Pods deleted, {} containers crashed",
        sum(&done.deleted),
        sum(&done.crashed)
    );
    assert!(sum(&done.deleted) > 20 && sum(&done.crashed) > 10);
    is_whole(space, &done).await;
    witness.saw_no_slot_doubled();
    for operator in operators {
        deleted_by_uid_only(operator);
        assert!(!operator.has_ended(), "losing the Lease ends no process");
        let writes = operator.writes(&space.name).len();
        println!("{}: {writes} writes", operator.name);
    }
}

/// How often an operator began to lead.
async fn terms(operator: &Operator) -> u64 {
    let metrics = operator.metrics().await;
    let line = metrics.lines().find_map(|line| {
        line.strip_prefix("coppice_leadership_changes_total{change=\"acquired\"} ")
    });
    line.and_then(|number| number.parse().ok()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lease_is_overwritten_again_and_again() {
    let _turn = TURN.lock().await;
    let (space, witness, operators) = two("overwritten", [false, false]).await;
    let harm = Harm::begin(&space);
    for turn in 0..OVERWRITES {
        let holder = match turn % 4 {
            0 => &operators[1].name,
            2 => &operators[0].name,
            _ => "somebody",
        };
        overwrite_holder(space.cluster, holder).await;
        tokio::time::sleep(APART).await;
    }
    for operator in &operators {
        let terms = terms(operator).await;
        println!("{}: led {terms} times", operator.name);
        assert!(terms > 1);
    }
    all_is_right(&space, harm, &witness, &operators).await;
    for operator in &operators {
        assert!(!operator.writes(&space.name).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_stopped_goes_on_when_another_leads() {
    let _turn = TURN.lock().await;
    let (space, witness, operators) = two("stopped", [false, false]).await;
    let harm = Harm::begin(&space);
    let [first, second] = &operators;
    tokio::time::sleep(Duration::from_secs(3)).await;
    first.signal(Signal::STOP);
    second.until_it_leads().await;
    tokio::time::sleep(STOPPED).await;
    let healed = second.writes(&space.name).len();
    assert!(healed > 20, "the other one heals: {healed} writes");
    let gone_on = Timestamp::now();
    first.signal(Signal::CONT);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let late = first.writes(&space.name);
    let late = late.iter().filter(|write| write.at > gone_on).count();
    println!("the old leader made {late} writes after it went on");
    assert!(late <= UNDER_WAY);
    assert!(!first.leads().await && second.leads().await);
    all_is_right(&space, harm, &witness, &operators).await;
}

/// As during an upgrade from a version that had no election.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_knows_of_no_election_works_beside_the_leader() {
    let _turn = TURN.lock().await;
    let (space, witness, operators) = two("unaware", [false, true]).await;
    let harm = Harm::begin(&space);
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert!(operators[0].leads().await && operators[1].leads().await);
    all_is_right(&space, harm, &witness, &operators).await;
}
