//! Names that belong to somebody else.
//!
//! Rule: whoever had the name first keeps it, untouched.

use std::sync::Arc;

use serde_json::{Value, json};

use super::kit::{Kit, SOON, names, tree, uids, worker};

/// The child `c` of `a-b` and the child `b-c` of `a` ask for the same names.
pub async fn of_workers(kit: Arc<Kit>) {
    let namespace = kit.namespace("collision").await;
    kit.apply(&namespace, &tree("a-b", &[stable("c")])).await;
    kit.ready(&namespace, "a-b").await;
    let first = uids(&kit.pods(&namespace).await);

    kit.apply(
        &namespace,
        &tree("a", &[stable("b-c"), worker("other", 1, &[])]),
    )
    .await;
    let (reason, message) = kit.stalled(&namespace, "a").await;
    assert_eq!(reason, "NameCollision");
    assert!(message.contains("a-b-c"), "{message}");
    kit.until(&namespace, "the other child runs", SOON, async || {
        let pods = kit.pods(&namespace).await;
        let other = names(&pods).iter().any(|name| name.starts_with("a-other-"));
        (other && pods.len() == 2).then_some(())
    })
    .await;
    kit.ready(&namespace, "a-b").await;
    assert_eq!(uids(&with_name(&kit, &namespace, "a-b-c-0").await), first);

    // The name comes free when the first tree goes, and then the second one gets it.
    kit.kubectl(&format!("delete stree a-b -n {namespace} --timeout=60s"))
        .await;
    kit.ready(&namespace, "a").await;
    assert_ne!(uids(&with_name(&kit, &namespace, "a-b-c-0").await), first);
}

/// A Pod of nobody's stands where a `Stable` replica belongs.
pub async fn of_pods(kit: Arc<Kit>) {
    let namespace = kit.namespace("squatter").await;
    let template = &worker("app", 1, &[])["worker"]["template"];
    let squatter = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "shop-db-0",
            // Labels prove nothing.
            "labels": {"coppice.dev/tree": "shop", "coppice.dev/child": "db", "coppice.dev/slot": "0"},
        },
        "spec": template["spec"],
    });
    kit.apply(&namespace, &squatter).await;
    let before = uids(&with_name(&kit, &namespace, "shop-db-0").await);

    kit.apply(&namespace, &tree("shop", &[stable("db")])).await;
    let (reason, message) = kit.stalled(&namespace, "shop").await;
    assert_eq!(reason, "NameCollision");
    assert!(message.contains("shop-db-0"), "{message}");
    assert_eq!(
        uids(&with_name(&kit, &namespace, "shop-db-0").await),
        before
    );

    kit.kubectl(&format!("delete pod shop-db-0 -n {namespace}"))
        .await;
    kit.ready(&namespace, "shop").await;
    assert_ne!(
        uids(&with_name(&kit, &namespace, "shop-db-0").await),
        before
    );
}

async fn with_name(kit: &Kit, namespace: &str, name: &str) -> Vec<Value> {
    let mut pods = kit.pods(namespace).await;
    pods.retain(|pod| pod["metadata"]["name"] == name);
    pods
}

fn stable(name: &str) -> Value {
    let mut child = worker(name, 1, &[]);
    child["worker"]["identity"] = json!("Stable");
    child
}
