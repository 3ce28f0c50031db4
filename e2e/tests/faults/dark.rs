//! A watch whose connection stands and on which nothing comes any more.
//!
//! Rule: no event tells the operator that it sees nothing; it must find out by itself, within 30 s.

use std::time::{Duration, Instant};

use e2e::proxy::rule::Filter;
use kube::ResourceExt;

use crate::kit::{Bench, SOON};
use crate::trees::{tree, worker};

const FOUND_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_black_hole_behind_the_watch_is_found_within_30_s_and_told_by_readyz() {
    let bench = Bench::new("dark", 6).await;
    bench.until_ready_is(200, SOON).await;
    bench.space.apply(&tree("shop", &[worker("app", 2, "")]));
    bench.space.until_at_rest("shop", SOON).await;
    let before = bench.live("shop", "app").await;

    let (begun, pods) = (Instant::now(), Filter::of(&["watch"], &["pods"]));
    let darkness = bench.proxy.go_dark(pods);
    let victim = before[0].name_any();
    let grace = "--grace-period=0";
    bench
        .space
        .kubectl(&["delete", "pod", &victim, grace, "--force"]);
    let (found, text) = bench.until_ready_is(503, FOUND_WITHIN).await;
    println!("a watch that went dark was found after {found:.1?}");
    assert!(
        text.contains("Pod in ") && text.contains("could not watch Pod"),
        "{text}"
    );
    assert_eq!(
        bench.page("/livez").await.0,
        200,
        "a restart would not help"
    );
    let age = bench
        .metric(r#"coppice_view_age_seconds{kind="Pod"}"#)
        .await;
    assert!((20.0..35.0).contains(&age), "{age}");
    let others = bench
        .metric(r#"coppice_view_age_seconds{kind="Worker"}"#)
        .await;
    assert!(others < 25.0, "{others}");

    bench.proxy.speak(darkness);
    let (ready, _) = bench.until_ready_is(200, Duration::from_secs(20)).await;
    bench.until_live("shop", "app", 2, &before[..1], SOON).await;
    bench.space.until_at_rest("shop", SOON).await;
    println!("ready again {ready:.1?} after the end of the darkness");
    let deleted = bench.requests(begun, |seen| seen.call.verb == "delete");
    assert!(deleted.is_empty(), "{deleted:?}");
    bench.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_connection_did_not_tell_is_seen_on_the_next_one() {
    let bench = Bench::new("dead", 6).await;
    bench.space.apply(&tree("shop", &[worker("app", 3, "")]));
    bench.space.until_at_rest("shop", SOON).await;
    let before = bench.live("shop", "app").await;

    bench.proxy.leave_for_dead(Filter::all());
    let begun = Instant::now();
    let victim = before[1].name_any();
    let grace = "--grace-period=0";
    bench
        .space
        .kubectl(&["delete", "pod", &victim, grace, "--force"]);
    bench
        .until_live("shop", "app", 3, &before[1..2], FOUND_WITHIN)
        .await;
    println!("healed {:.1?} after the connections died", begun.elapsed());
    bench.space.until_at_rest("shop", SOON).await;
    let deleted = bench.requests(begun, |seen| seen.call.verb == "delete");
    assert!(deleted.is_empty(), "{deleted:?}");
    bench.end();
}
