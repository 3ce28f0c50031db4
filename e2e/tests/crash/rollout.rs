//! The operator killed ten times while a new version goes over a tree: no bound is broken, nothing is replaced twice, and the
//! end is that of a rollout in which nobody was killed.
//!
//! Rule: bounds are judged by the Pods' own stories, and what was done to them by the API server's record.

use std::time::Duration;

use e2e::cluster::Cluster;
use e2e::current;
use e2e::proxy::Proxy;
use serde_json::{Value, json};

use super::bounds::extremes;
use super::record::Record;
use super::shared;
use super::story::{self, Operator};
use super::support::{self, OPERATOR, Space, condition};

const WITHIN: Duration = Duration::from_mins(3);
const WORKERS: [&str; 3] = ["db", "api", "web"];
const REPLICAS: usize = 5;
const KILLS: usize = 10;
/// After at most how many writes it is killed again. A rollout has thirty creates and deletes, and what is stored and told
/// beside them.
const WRITES: u64 = 4;

/// Three workers that are updated one after another, one replica at a time.
fn tree(version: &str) -> String {
    let image = current::workload_image();
    let worker = |name: &str| {
        format!(
            "  - {{name: {name}, worker: {{replicas: {REPLICAS}, quorum: 1, update: {{maxSurge: 0, maxUnavailable: 1}}, template: {{spec: {{
      nodeSelector: {{type: kwok}}, tolerations: [{{key: kwok.x-k8s.io/node, operator: Exists}}], terminationGracePeriodSeconds: 1,
      containers: [{{name: app, image: {image}, env: [{{name: VERSION, value: \"{version}\"}}]}}]}}}}}}}}\n"
        )
    };
    let children: String = WORKERS.map(worker).concat();
    format!(
        "apiVersion: coppice.dev/v1alpha1\nkind: SupervisionTree\nmetadata: {{name: tree}}\nspec:\n  rollout: {{probationSeconds: 2}}\n  children:\n{children}"
    )
}

/// When the operator is killed; every run of the tests may have other moments: `SEED=7 cargo test …`.
fn seed() -> u64 {
    let seed = std::env::var("SEED").ok();
    seed.and_then(|seed| seed.parse().ok()).unwrap_or(3)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_ends_the_same_although_the_operator_was_killed_ten_times() {
    let cluster = shared().await;
    let seed = seed();
    println!("seed {seed}");
    let (killed, undisturbed) = tokio::join!(rolled(cluster, Some(seed)), rolled(cluster, None));
    assert_eq!(killed, undisturbed);
}

/// Rolls out a new version, while the operator is killed at moments that the seed says; what a person sees then.
async fn rolled(cluster: &'static Cluster, kills: Option<u64>) -> Value {
    let space = Space::new(cluster, "rollout").await;
    let kubeconfig = story::kubeconfig(cluster).await;
    let client = cluster.client_from(kubeconfig).await.expect("a client");
    let proxy = Proxy::open(client, 0).await.expect("a door");
    let operator = Operator::start(cluster, &space.name, proxy);
    space.apply(&tree("one"));
    until_good(&space, 1).await;
    let record = Record::of_pods(cluster, &space.name);
    record.until_begun().await;
    let before = writes(&space);

    space.apply(&tree("two"));
    if let Some(seed) = kills {
        let mut dice = fastrand::Rng::with_seed(seed);
        for nth in 1..=KILLS {
            let after = dice.u64(1..=WRITES);
            let killed = operator.die_after(after);
            let killed = tokio::time::timeout(WITHIN, killed).await;
            let killed = killed.unwrap_or_else(|_| {
                let seen = support::diagnosis(cluster, &space.name);
                panic!("no {after} writes before kill {nth}\n{seen}")
            });
            killed.expect("started again");
        }
        // It was in the middle of it all the time.
        let tree = space.tree("tree").await;
        assert!(tree["status"]["rollout"].is_object(), "{tree:#}");
    }
    let tree = until_good(&space, 2).await;
    assert_eq!(operator.deaths(), kills.map_or(0, |_| KILLS));
    operator.end();

    let seen = record.so_far();
    let mut workers = serde_json::Map::new();
    for worker in WORKERS {
        // One may be missing, none may be added, at any moment.
        let (up, live) = extremes(&seen, worker, REPLICAS);
        assert!(
            up >= REPLICAS - 1 && live <= REPLICAS,
            "{worker}: {up} up, {live} live"
        );
        let status = &space.worker("tree", worker).await["status"];
        let told = [
            "replicas",
            "up",
            "restarts",
            "incarnation",
            "revision",
            "updateStep",
        ];
        let told = told.map(|name| (name.to_owned(), status[name].clone()));
        workers.insert(worker.to_owned(), told.into_iter().collect());
    }
    // Every Pod was replaced, and none of them twice.
    let [created, deleted] = writes(&space);
    let all = WORKERS.len() * REPLICAS;
    assert_eq!([created - before[0], deleted - before[1]], [all, all]);

    let conditions = ["Ready", "Reconciling", "Stalled", "RolledBack"];
    let conditions = conditions.map(|name| {
        let one = condition(&tree, name);
        json!([name, one["status"], one["reason"]])
    });
    let revisions = tree["status"]["revisions"].as_array();
    let marks = revisions.into_iter().flatten();
    let marks: Vec<Value> = marks
        .map(|one| json!([one["number"], one["mark"]]))
        .collect();
    json!({"conditions": conditions, "marks": marks, "restarts": tree["status"]["restarts"], "workers": workers})
}

/// Waits until the tree is at rest on a revision of that number, which is proved.
async fn until_good(space: &Space<'_>, number: u64) -> Value {
    let is_good = |tree: &Value| {
        let newest = tree["status"]["revisions"]
            .as_array()
            .and_then(|all| all.last());
        let is_proved = newest.is_some_and(|one| one["number"] == number && one["mark"] == "Good");
        let is_at_rest = support::is_current(tree, "Ready", "True")
            && support::is_current(tree, "Reconciling", "False");
        is_proved && is_at_rest
    };
    let what = format!("at rest on revision {number}");
    space.until("tree", WITHIN, &what, is_good).await
}

/// How many Pods the operator has created and deleted here.
fn writes(space: &Space<'_>) -> [usize; 2] {
    let requests = support::requests_of(space.cluster, OPERATOR);
    let is_of_pod = |one: &&support::Request| {
        one.namespace == space.name && one.resource == "pods" && one.is_write() && one.succeeded()
    };
    let count = |verb: &str| {
        let of_pods = requests.iter().filter(is_of_pod);
        of_pods.filter(|one| one.verb == verb).count()
    };
    ["create", "delete"].map(count)
}
