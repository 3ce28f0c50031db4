//! The operator killed in the middle of a restart of a group of real Pods: the next one finishes it, and nothing happens twice.
//!
//! Rule: what was done is counted in the API server's audit log, over all lives of the operator.

use std::time::Duration;

use e2e::cluster::Cluster;
use e2e::current;
use e2e::proxy::Proxy;
use futures::{StreamExt, stream};
use serde_json::Value;

use super::story::{self, Operator};
use super::support::{self, OPERATOR, Request, Space, is_current};
use super::{AT_ONCE, shared};

const WITHIN: Duration = Duration::from_mins(3);
const MEMBERS: [&str; 4] = ["a", "b", "c", "d"];

fn group() -> String {
    let image = current::workload_image();
    let member = |name: &&str| {
        format!(
            "  - {{name: {name}, worker: {{template: {{spec: {{terminationGracePeriodSeconds: 5, containers: [{{name: app, image: {image}}}]}}}}}}}}\n"
        )
    };
    let children: String = MEMBERS.iter().map(member).collect();
    format!(
        "apiVersion: coppice.dev/v1alpha1\nkind: SupervisionTree\nmetadata: {{name: tree}}\nspec:\n  strategy: OneForAll\n  children:\n{children}"
    )
}

/// The writes of a restart: what is intended is stored in the tree and in four Workers, three Pods are stopped and four
/// are made; in between there are reports.
const KILLED_AFTER: [u64; 6] = [1, 2, 5, 6, 8, 10];

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_a_group_finishes_once_whenever_the_operator_dies() {
    let cluster = shared().await;
    let mut told = stream::iter(KILLED_AFTER)
        .map(|n| restarted(cluster, n))
        .buffer_unordered(AT_ONCE);
    while let Some(n) = told.next().await {
        println!("finished once although the operator died after write {n}");
    }
}

async fn restarted(cluster: &'static Cluster, n: u64) -> u64 {
    let space = Space::new(cluster, "group").await;
    let kubeconfig = story::kubeconfig(cluster).await;
    let client = cluster.client_from(kubeconfig).await.expect("a client");
    let proxy = Proxy::open(client, n).await.expect("a door");
    let operator = Operator::start(cluster, &space.name, proxy);
    space.apply(&group());
    space.until_at_rest("tree", WITHIN).await;

    operator.die_after(n);
    space.kill(&space.pods_of("tree", "b").await[0], "app");
    let is_healed = |tree: &Value| {
        tree["status"]["restarts"] == 1
            && is_current(tree, "Ready", "True")
            && is_current(tree, "Reconciling", "False")
    };
    let tree = space.until("tree", WITHIN, "healed", is_healed).await;
    assert!(!operator.remove_trap(), "there were fewer than {n} writes");
    assert_eq!(operator.deaths(), 1);
    operator.end();

    let charges = &tree["status"]["supervisors"][0]["charges"];
    assert_eq!(charges.as_array().map_or(0, Vec::len), 1, "{tree:#}");
    assert_eq!(
        (
            &charges[0]["child"],
            charges[0]["times"].as_array().map_or(0, Vec::len)
        ),
        (&"b".into(), 1),
        "{tree:#}"
    );
    for member in MEMBERS {
        let worker = space.worker("tree", member).await;
        assert_eq!(
            worker["status"]["incarnation"], 2,
            "{member}, {n}: {worker:#}"
        );
    }
    let requests = support::requests_of(cluster, OPERATOR);
    let of_pods = requests
        .iter()
        .filter(|one| one.namespace == space.name && one.resource == "pods" && one.succeeded());
    let (created, deleted): (Vec<&Request>, Vec<&Request>) = of_pods
        .filter(|one| one.is_write())
        .partition(|one| one.verb == "create");
    assert_eq!(
        (created.len(), deleted.len()),
        (2 * MEMBERS.len(), MEMBERS.len() - 1),
        "after write {n}: {deleted:#?}"
    );
    let in_turn: Vec<&str> = deleted
        .iter()
        .filter_map(|one| one.name.strip_prefix("tree-")?.split('-').next())
        .collect();
    assert_eq!(
        in_turn,
        ["d", "c", "a"],
        "after write {n}: stopped in reverse"
    );
    n
}
