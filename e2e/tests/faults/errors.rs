//! An API server that refuses, fails before or after it did what was asked, or never answers.
//!
//! Rule: whatever goes wrong with requests, the tree comes to the same end as if nothing had, with as many Pods created
//! and deleted; and who is not concerned does not wait.

use std::time::{Duration, Instant};

use e2e::proxy::Seen;
use e2e::proxy::rule::{Fault, Filter, Rule};
use futures::future::join_all;
use kube::ResourceExt;

use crate::kit::{Bench, SOON, shared};
use crate::story::{self, Disturbance, Where, tell};
use crate::trees::{tree, worker};

/// The first seed; every run of the tests may have others: `SEED=7 cargo test …`.
fn seed() -> u64 {
    let seed = std::env::var("SEED").ok();
    seed.and_then(|seed| seed.parse().ok()).unwrap_or(10)
}

/// Each of these codes on so many of a hundred requests.
fn refusals(filter: &Filter, percent: u8) -> Vec<Rule> {
    let codes = [
        (429, Some(1)),
        (500, None),
        (502, None),
        (503, Some(1)),
        (504, None),
    ];
    let rule = |(code, retry_after)| {
        let fault = Fault::Answer(code, retry_after);
        Rule::before(filter.clone(), fault).percent(percent)
    };
    codes.map(rule).to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_and_hangs_of_all_kinds_come_to_the_same_end_as_none() {
    let cluster = shared().await;
    story::grant_rights(cluster);
    let calls = Filter::of(&["get", "list", "create", "patch", "delete"], &[]);
    let watching = Filter::of(&["list", "watch"], &[]);
    let writes = Filter::writes;
    let cases = [
        ("a quarter of all requests is refused", refusals(&calls, 5)),
        (
            "a quarter of all writes is done and fails",
            vec![
                Rule::after(writes(), Fault::Answer(504, None)).percent(15),
                Rule::after(writes(), Fault::Answer(500, None)).percent(5),
                Rule::after(writes(), Fault::Close).percent(7),
            ],
        ),
        (
            "some requests hang, half of them after they were carried out",
            vec![
                Rule::before(calls.clone(), Fault::Hang).percent(2),
                Rule::after(calls, Fault::Hang).percent(2),
            ],
        ),
        (
            "half of all watches and lists break",
            [
                refusals(&watching, 6),
                vec![
                    Rule::before(watching.clone(), Fault::Close).percent(10),
                    Rule::before(Filter::of(&["watch"], &[]), Fault::InStream(500)).percent(15),
                ],
            ]
            .concat(),
        ),
        (
            "every write fails a few times, before and after it is carried out",
            vec![
                Rule::before(writes(), Fault::Answer(503, None)).times(4),
                Rule::after(writes(), Fault::Answer(504, None)).times(4),
                Rule::before(Filter::of(&["delete"], &["pods"]), Fault::Answer(500, None)).times(3),
                Rule::after(Filter::of(&["delete"], &["pods"]), Fault::Close).times(3),
                Rule::after(Filter::of(&["create"], &["pods"]), Fault::Answer(504, None)).times(8),
            ],
        ),
    ];
    let (expected, _) = tell(cluster, Where::Simulated, Disturbance::None).await;
    join_all(
        cases
            .into_iter()
            .zip(seed()..)
            .map(|((what, rules), seed)| {
                let expected = expected.clone();
                async move {
                    let begun = Instant::now();
                    let disturbance = Disturbance::Faults(rules, seed, Box::new(expected.clone()));
                    let (outcome, _) = tell(cluster, Where::Simulated, disturbance).await;
                    println!("{what} (seed {seed}): told in {:.0?}", begun.elapsed());
                    assert_eq!(outcome.ends, expected.ends, "{what}, seed {seed}");
                    assert_eq!(
                        outcome.faults, expected.faults,
                        "{what}, seed {seed}: faults"
                    );
                    assert_eq!(
                        outcome.touched, expected.touched,
                        "{what}, seed {seed}: Pods touched"
                    );
                }
            }),
    )
    .await;
}

/// More trees hang than are looked at side by side.
#[tokio::test(flavor = "multi_thread")]
async fn trees_whose_requests_hang_keep_no_other_tree_waiting() {
    let bench = Bench::new("hang", 11).await;
    let stuck: Vec<String> = (0..10).map(|n| format!("stuck-{n}")).collect();
    let trees: Vec<String> = stuck
        .iter()
        .map(|name| tree(name, &[worker("app", 1, "")]))
        .collect();
    bench.space.apply(&trees.concat());
    bench.space.apply(&tree("well", &[worker("app", 10, "")]));
    for name in stuck.iter().map(String::as_str).chain(["well"]) {
        bench.space.until_at_rest(name, SOON).await;
    }
    let statuses = ["supervisiontrees/status", "workers/status"];
    let hang = Filter::of(&["patch"], &statuses).named("stuck");
    let rule = bench.proxy.add(Rule::before(hang, Fault::Hang));
    let more: Vec<String> = stuck
        .iter()
        .map(|name| tree(name, &[worker("app", 2, "")]))
        .collect();
    bench.space.apply(&more.concat());
    bench
        .until(
            "more requests hang than trees are looked at",
            SOON,
            async || (bench.proxy.hits(rule) >= 8).then_some(()),
        )
        .await;
    let mut waits = Vec::new();
    // Each one once, because who is deleted again and again is replaced ever more slowly.
    for pod in bench.live("well", "app").await {
        let (begun, victim) = (Instant::now(), pod.name_any());
        let delete = ["delete", "pod", &victim, "--grace-period=0", "--force"];
        bench.space.kubectl(&delete);
        let without = std::slice::from_ref(&pod);
        bench.until_live("well", "app", 10, without, SOON).await;
        waits.push(begun.elapsed());
    }
    println!("while ten trees hang, another one was healed after {waits:.1?}");
    assert!(
        waits.iter().all(|wait| *wait < Duration::from_secs(5)),
        "{waits:?}"
    );
    bench.proxy.remove(rule);
    for name in &stuck {
        bench.space.until_at_rest(name, SOON).await;
    }
    bench.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_asks_to_be_left_alone_is_left_alone() {
    let bench = Bench::new("busy", 10).await;
    bench.space.apply(&tree("other", &[worker("app", 1, "")]));
    bench.space.until_at_rest("other", SOON).await;
    let creates = Filter::of(&["create"], &["pods"]);
    let rule = bench
        .proxy
        .add(Rule::before(creates.clone(), Fault::Answer(429, Some(5))).times(1));
    bench.space.apply(&tree("shop", &[worker("app", 1, "")]));
    bench.until_hit(rule).await;
    // What happens meanwhile is no reason to come earlier.
    for n in 0..3 {
        let note = format!("n={n}");
        bench
            .space
            .kubectl(&["annotate", "--overwrite", "stree", "shop", &note]);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    bench.space.until_at_rest("shop", SOON).await;
    let seen = bench.proxy.seen();
    let is_busy = |seen: &Seen| seen.told == Some(429) && creates.matches(&seen.call);
    let busy = seen.iter().position(is_busy).unwrap();
    let next = seen[busy + 1..].iter().find(|seen| {
        let of_tree = seen.call.name.starts_with("shop") || seen.call.resource == "pods";
        // An Event of what was done before may still be on its way.
        of_tree && seen.call.is_write() && seen.call.resource != "events"
    });
    let next = next.unwrap();
    let pause = next.at - seen[busy].at;
    println!("asked for 5 s, the API server was left alone for {pause:.2?}");
    assert!(
        (4.9..6.5).contains(&pause.as_secs_f64()),
        "{pause:?}: {:?}",
        next.call
    );

    // The same for a watch; it begins again after that, and everything it missed is seen.
    let watches = Filter::of(&["watch"], &["workers"]);
    let rule = bench
        .proxy
        .add(Rule::before(watches.clone(), Fault::Answer(503, Some(4))).times(1));
    bench.proxy.cut(watches.clone());
    bench.until_hit(rule).await;
    let begun = Instant::now();
    bench
        .until("the next watch", SOON, async || {
            let again = bench.requests(begun, |seen| watches.matches(&seen.call));
            (!again.is_empty()).then_some(())
        })
        .await;
    let pause = begun.elapsed();
    println!("asked for 4 s, the watch began again after {pause:.2?}");
    assert!((3.8..5.5).contains(&pause.as_secs_f64()), "{pause:?}");
    bench.end();
}
