//! Answers that come behind newer news.
//!
//! Rule: the newer version counts, whichever way it came.

use std::time::Duration;

use e2e::proxy::rule::{Fault, Filter, Rule};
use kube::ResourceExt;

use crate::kit::{Bench, SOON};
use crate::trees::{tree, worker};

/// The answer to a status write shows the tree as it was before an edit that the watch has told already. Whoever believes
/// the answer sleeps on the old spec, and nothing would ever wake him.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_to_a_patch_does_not_hide_a_newer_edit() {
    let bench = Bench::new("late", 36).await;
    bench.space.apply(&tree("shop", &[worker("app", 2, "")]));
    bench.space.until_at_rest("shop", SOON).await;

    let status = Filter::of(&["patch"], &["supervisiontrees/status"]);
    let rule = bench.proxy.add(Rule::after(status, Fault::Hold).times(1));
    let edit = r#"{"spec": {"intensity": {"maxRestarts": 9}}}"#;
    let patch = ["patch", "stree", "shop", "--type=merge", "-p", edit];
    bench.space.kubectl(&patch);
    // The report on that edit is stored, and its answer is held.
    bench.until_hit(rule).await;
    bench.space.apply(&tree("shop", &[worker("app", 3, "")]));
    // Long enough for the watch, which nothing delays; shorter than a request may take.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(bench.proxy.remove(rule), 1);
    bench.until_live("shop", "app", 3, &[], SOON).await;
    bench.space.until_at_rest("shop", SOON).await;
    bench.end();
}

/// The answer to a create shows a Pod that the watch has told to be gone. Whoever believes the answer has a ghost in his
/// slot for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_to_a_create_does_not_bring_back_what_is_gone() {
    let bench = Bench::new("ghost", 36).await;
    for identity in ["Interchangeable", "Stable"] {
        let name = identity.to_lowercase();
        let more = format!("identity: {identity},");
        let create = Filter::of(&["create"], &["pods"]);
        let rule = bench.proxy.add(Rule::after(create, Fault::Hold).times(1));
        bench.space.apply(&tree(&name, &[worker("app", 1, &more)]));
        bench.until_hit(rule).await;
        let ghost = bench.until_live(&name, "app", 1, &[], SOON).await;
        let grace = "--grace-period=0";
        bench
            .space
            .kubectl(&["delete", "pod", &ghost[0].name_any(), grace, "--force"]);
        // Long enough for the watch, which nothing delays; shorter than a request may take.
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(bench.proxy.remove(rule), 1);
        bench.until_live(&name, "app", 1, &ghost, SOON).await;
        bench.space.until_at_rest(&name, SOON).await;
    }
    bench.end();
}
