//! Pods with volumes of their own that go while the operator dies, and while there is none: each slot comes back with its volume.
//!
//! Rule: what is on a volume is read by the program that wrote it.

use std::time::Duration;

use e2e::proxy::Proxy;
use serde_json::{Value, json};

use super::shared;
use super::story::{self, Operator};
use super::support::Space;
use super::volumes::{self, SCRIPT, claims, next_pod, starts};

const WITHIN: Duration = Duration::from_mins(3);

fn tree() -> Value {
    json!({
        "apiVersion": "coppice.dev/v1alpha1",
        "kind": "SupervisionTree",
        "metadata": {"name": "tree"},
        "spec": {"children": [{"name": "db", "worker": volumes::worker(SCRIPT, 2)}]},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_outlive_pods_that_go_while_there_is_no_operator() {
    let cluster = shared().await;
    volumes::provide(cluster);
    let space = Space::new(cluster, "volumes").await;
    let kubeconfig = story::kubeconfig(cluster).await;
    let client = cluster.client_from(kubeconfig).await.expect("a client");
    let proxy = Proxy::open(client, 0).await.expect("a door");
    let operator = Operator::start(cluster, &space.name, proxy);
    space.apply(&tree().to_string());
    space.until_at_rest("tree", WITHIN).await;
    let made = claims(&space).await;
    let names: Vec<&str> = made.keys().map(String::as_str).collect();
    assert_eq!(names, ["data-tree-db-0", "data-tree-db-1"]);
    let former = space.pods_of("tree", "db").await;

    // It dies over the first one that goes.
    let died = operator.die_after(1);
    space.kubectl(&["delete", "pod", "tree-db-0", "--wait=false"]);
    tokio::time::timeout(WITHIN, died)
        .await
        .expect("it writes something about that")
        .expect("started again");
    next_pod(&space, &former[0]).await;

    // The second one goes while nobody is there, and is gone for good before there is another operator.
    operator.end();
    space.kubectl(&["delete", "pod", "tree-db-1", "--timeout=60s"]);
    assert_eq!(space.pods_of("tree", "db").await.len(), 1);
    operator.begin_life();
    next_pod(&space, &former[1]).await;
    space.until_at_rest("tree", WITHIN).await;

    assert_eq!([0, 1].map(|slot| starts(&space, "db", slot)), [2, 2]);
    assert_eq!(claims(&space).await, made, "they are the same claims");
    assert!(made.values().all(|(_, owners)| owners.is_empty()));
    operator.end();
}
