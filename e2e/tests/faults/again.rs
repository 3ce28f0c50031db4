//! A tree that is deleted in the middle of something, and created again under its name.
//!
//! Rule: the new tree inherits nothing: no Pod, no charge, no operation, no parked slot.

use std::time::Duration;

use e2e::proxy::rule::{Fault, Filter, Rule};
use kube::ResourceExt;
use serde_json::Value;

use crate::kit::{Bench, SOON, said, uids};
use crate::trees::{tree, worker};

/// Everything that a tree could have inherited is absent.
fn assert_is_new(tree: &Value, old: &Value) {
    assert_ne!(tree["metadata"]["uid"], old["metadata"]["uid"]);
    let status = &tree["status"];
    assert_eq!(status["restarts"].as_u64().unwrap_or(0), 0, "{tree:#}");
    // The garbage collector may not have come to the Workers of the old tree yet, so that their names are taken for a moment.
    let mut faults = status["recentFaults"].as_array().into_iter().flatten();
    let is_own = |fault: &Value| fault["class"] == "NameCollision";
    assert!(faults.all(is_own), "{tree:#}");
    for supervisor in status["supervisors"].as_array().into_iter().flatten() {
        for field in ["charges", "operation", "gaveUp"] {
            let empty =
                |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
            assert!(empty(&supervisor[field]), "{field}: {tree:#}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_deleted_in_the_middle_and_created_again_inherits_nothing() {
    let bench = Bench::new("again", 16).await;
    let children = [
        worker("first", 2, ""),
        worker("second", 2, "identity: Stable,"),
    ];
    let spec = tree("shop", &children).replace("spec:\n", "spec:\n  startup: Ordered\n");
    let mut before = Vec::new();
    for moment in ["starting", "healing", "given up"] {
        bench.space.apply(&spec);
        match moment {
            "starting" => {
                // The second Pod is created and the operator has not heard of it.
                let create = Filter::of(&["create"], &["pods"]);
                let rule = bench
                    .proxy
                    .add(Rule::after(create, Fault::Hold).skip(1).times(1));
                bench.until_hit(rule).await;
                bench
                    .space
                    .kubectl(&["delete", "stree", "shop", "--wait=false"]);
                bench.proxy.remove(rule);
            }
            "healing" => {
                bench.space.until_at_rest("shop", SOON).await;
                let pods = bench.live("shop", "first").await;
                bench.crash(&pods[0]).await;
                let of_tree = Filter::of(&["patch"], &["supervisiontrees/status"]);
                let rule = bench.proxy.add(Rule::after(of_tree, Fault::Hold).times(1));
                bench.until_hit(rule).await;
                bench
                    .space
                    .kubectl(&["delete", "stree", "shop", "--wait=false"]);
                bench.proxy.remove(rule);
            }
            _ => {
                bench.space.until_at_rest("shop", SOON).await;
                let none = r#"{"spec": {"intensity": {"maxRestarts": 0}}}"#;
                bench
                    .space
                    .kubectl(&["patch", "stree", "shop", "--type=merge", "-p", none]);
                let pods = bench.live("shop", "first").await;
                for pod in &pods {
                    bench.crash(pod).await;
                }
                let gave_up = |tree: &Value| {
                    said(tree, "Stalled").0 == "GaveUp" || said(tree, "Stalled").0 == "SlotParked"
                };
                bench.space.until("shop", SOON, "given up", gave_up).await;
                bench
                    .space
                    .kubectl(&["delete", "stree", "shop", "--wait=false"]);
            }
        }
        let old = bench.space.tree_or_null("shop").await;
        before.extend(bench.space.pods_of("shop", "first").await);
        before.extend(bench.space.pods_of("shop", "second").await);
        bench
            .space
            .until("shop", SOON, "gone", Value::is_null)
            .await;
        bench.space.apply(&spec);
        let new = bench.space.until_at_rest("shop", SOON).await;
        assert_is_new(&new, &old);
        let first = bench.until_live("shop", "first", 2, &before, SOON).await;
        let second = bench.until_live("shop", "second", 2, &before, SOON).await;
        println!("created again after it was deleted while {moment}");
        bench
            .space
            .kubectl(&["delete", "stree", "shop", "--timeout=60s"]);
        before.extend(first.into_iter().chain(second));
    }
    bench.end();
}

/// What was orphaned has nobody who controls it, so the names are a stranger's until somebody deletes them.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_orphaned_tree_left_is_neither_adopted_nor_touched() {
    let bench = Bench::new("orphan", 16).await;
    bench.space.apply(&tree("shop", &[worker("app", 2, "")]));
    bench.space.until_at_rest("shop", SOON).await;
    let orphans = uids(&bench.live("shop", "app").await);
    until_collected(&bench).await;
    bench.space.kubectl(&[
        "delete",
        "stree",
        "shop",
        "--cascade=orphan",
        "--timeout=60s",
    ]);
    bench.space.apply(&tree("shop", &[worker("app", 2, "")]));
    let stalled = |tree: &Value| said(tree, "Stalled").0 == "NameCollision";
    let told = bench.space.until("shop", SOON, "stalled", stalled).await;
    let message = said(&told, "Stalled").1;
    assert!(message.contains("shop-app"), "{message}");
    assert_eq!(uids(&bench.live("shop", "app").await), orphans);

    bench
        .space
        .kubectl(&["delete", "wkr", "shop-app", "--cascade=orphan"]);
    // The brake on refused creates is a few seconds long by now.
    let tree = bench
        .space
        .until_at_rest("shop", Duration::from_secs(90))
        .await;
    assert_eq!(tree["status"]["up"], 1);
    let pods = bench.live("shop", "app").await;
    let ours = pods
        .iter()
        .filter(|pod| !orphans.contains(&pod.uid().unwrap()));
    assert_eq!(
        (pods.len(), ours.count()),
        (4, 2),
        "the orphans live beside the new Pods"
    );
    bench.end();
}

/// Waits until the garbage collector knows of Workers, which takes it up to half a minute after their definition was
/// installed: until then it orphans none.
async fn until_collected(bench: &Bench<'_>) {
    bench.space.apply(
        "
apiVersion: coppice.dev/v1alpha1
kind: Worker
metadata:
  name: nobodys
  ownerReferences:
  - {apiVersion: coppice.dev/v1alpha1, kind: SupervisionTree, name: nobody, uid: 6f0e8a3c-5d1b-4c55-9d0e-1f2a3b4c5d6e}
spec: {replicas: 0}
",
    );
    let workers = bench.space.ours("Worker");
    bench
        .until("a Worker of nobody to be collected", SOON, async || {
            let left = workers.get_opt("nobodys").await.unwrap();
            left.is_none().then_some(())
        })
        .await;
}
