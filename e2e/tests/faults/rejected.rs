//! Pods that are created, bound, and then not taken by their node.
//!
//! Rule: a Pod that fails at once is not a reason to create the next one at once.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::kit::{Bench, SOON, said};
use crate::trees::{labelled, tree, worker};

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_the_node_rejects_are_created_ever_more_seldom_and_the_reason_is_told() {
    let bench = Bench::new("rejected", 24).await;
    let begun = Instant::now();
    let children = [
        labelled("app", 2, "", "{fault: OutOfcpu}"),
        worker("other", 2, ""),
    ];
    bench.space.apply(&tree("shop", &children));
    let told = |tree: &Value| said(tree, "Ready").1.contains("OutOfcpu");
    let seen = bench.space.until("shop", SOON, "told", told).await;
    let (reason, message) = said(&seen, "Ready");
    println!("{reason}: {message}");
    assert!(
        message.contains("Node didn't have enough resource: cpu"),
        "{message}"
    );
    bench.until_live("shop", "other", 2, &[], SOON).await;

    tokio::time::sleep(Duration::from_mins(1).saturating_sub(begun.elapsed())).await;
    let creates = bench.requests(begun, |seen| {
        seen.call.resource == "pods" && seen.call.verb == "create"
    });
    let writes = bench.requests(begun, |seen| seen.call.is_write());
    println!(
        "{} Pods created and {} writes in the first minute, for two replicas that are rejected and two that are not",
        creates.len(),
        writes.len()
    );
    // At once, then 1, 2, 4, … 32 s later, for each slot; and the two others.
    assert!(
        (6..=2 * 8 + 2).contains(&creates.len()),
        "{}",
        creates.len()
    );
    assert!(writes.len() < 120, "{}", writes.len());
    let tree = bench.space.tree("shop").await;
    let charges = &tree["status"]["supervisors"][0]["charges"];
    assert!(
        charges.as_array().is_none_or(Vec::is_empty),
        "nobody is charged for a full node: {tree:#}"
    );
    let described = bench.space.kubectl(&["describe", "stree", "shop"]);
    assert!(described.contains("OutOfcpu"), "{described}");
    bench.end();
}
