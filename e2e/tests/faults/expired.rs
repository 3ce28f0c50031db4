//! Versions that the API server no longer has: at the beginning of a watch, in its stream, in the middle of a list; and a
//! watch that tells old stories again.
//!
//! Rule: a list that is not complete is no reason to believe that anything is gone.

use std::time::{Duration, Instant};

use e2e::proxy::rule::{Fault, Filter, Rule};
use kube::ResourceExt;

use crate::kit::{Bench, SOON, uids};
use crate::trees::{tree, worker};

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_expired_brings_a_list_and_costs_no_pod() {
    let bench = Bench::new("expired", 9).await;
    // More than a page of a list.
    bench
        .space
        .apply(&tree("shop", &[worker("app", 300, "quorum: 1,")]));
    bench
        .space
        .until_at_rest("shop", Duration::from_secs(90))
        .await;
    let before = bench.live("shop", "app").await;
    assert_eq!(before.len(), 300);

    let watch = || Filter::of(&["watch"], &["pods"]);
    let page = Filter::of(&["list"], &["pods"]).with_query("continue=");
    let as_status = || vec![Rule::before(watch(), Fault::Answer(410, None)).times(1)];
    let cases = [
        ("as a status", as_status()),
        (
            "in the stream",
            vec![Rule::before(watch(), Fault::InStream(410)).times(1)],
        ),
        (
            "told again: all history",
            vec![Rule::before(watch(), Fault::OldVersion).times(1)],
        ),
        (
            "and again in the middle of the list",
            [
                as_status(),
                vec![Rule::before(page, Fault::Answer(410, None)).times(2)],
            ]
            .concat(),
        ),
    ];
    for (what, rules) in cases {
        let begun = Instant::now();
        let rules: Vec<_> = rules
            .into_iter()
            .map(|rule| bench.proxy.add(rule))
            .collect();
        bench.proxy.cut(watch());
        // While it is blind a Pod goes, which only the list can tell.
        let gone = bench.live("shop", "app").await.pop().unwrap();
        let grace = "--grace-period=0";
        bench
            .space
            .kubectl(&["delete", "pod", &gone.name_any(), grace, "--force"]);
        bench.until_live("shop", "app", 300, &[gone], SOON).await;
        let whole = |seen: &e2e::proxy::Seen| {
            seen.call.resource == "pods" && seen.call.verb == "list" && seen.was_stored()
        };
        let lists = bench.requests(begun, whole).len();
        println!(
            "410 {what}: {lists} pages of lists, whole after {:.1?}",
            begun.elapsed()
        );
        let told_again = what.starts_with("told again");
        assert!(
            (2..=6).contains(&lists) || told_again && lists == 0,
            "{what}: {lists}"
        );
        for rule in rules {
            assert!(bench.proxy.remove(rule) > 0, "{what}: it never happened");
        }
    }
    bench.space.until_at_rest("shop", SOON).await;
    let after = bench.live("shop", "app").await;
    let kept = uids(&before).intersection(&uids(&after)).count();
    assert_eq!(
        kept, 299,
        "the last slot's were deleted by hand, four times"
    );
    let ours = bench.proxy.seen();
    let deletes = ours
        .iter()
        .filter(|seen| seen.call.verb == "delete")
        .count();
    let creates = ours
        .iter()
        .filter(|seen| seen.call.verb == "create" && seen.call.resource == "pods");
    assert_eq!((deletes, creates.count()), (0, 304));
    bench.end();
}
