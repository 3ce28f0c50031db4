//! The operator killed again and again while a new version goes over a tree, in Pods that are replaced, in Pods that stay, and in a
//! canary that is taken back: no bound is broken, nothing is done twice, and the end is that of a rollout in which nobody was killed.
//!
//! Rule: bounds are judged by the Pods' own stories, and what was done to them by the API server's record.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use e2e::cluster::Cluster;
use e2e::proxy::Proxy;
use e2e::{current, images};
use serde_json::{Value, json};

use super::bounds::extremes;
use super::record::Record;
use super::shared;
use super::story::{self, Operator};
use super::support::{self, OPERATOR, Space, condition, dies_once, is_current};

const WITHIN: Duration = Duration::from_mins(3);

/// A rollout, and what must come of it.
struct Scene {
    /// What the names of its namespaces begin with.
    name: &'static str,
    workers: &'static [&'static str],
    /// How many replicas each worker has.
    replicas: usize,
    /// What there is to say of a worker beside its replicas and its template.
    update: fn() -> Value,
    /// The template of a version, which the image tells from another one.
    template: fn(&str) -> Value,
    /// How often the operator is killed, and after at most how many writes it is killed again.
    kills: (usize, u64),
    /// Whether the rollout is so long that it must still be on its way after the last kill.
    is_long: bool,
    /// The fewest replicas of a worker that may be up at any moment, and the most that may live.
    bounds: (usize, usize),
    /// How many Pods the operator makes, and how many it deletes.
    written: [usize; 2],
    /// Whether the Pods of before are those of after.
    are_kept: bool,
    /// How often the container of each Pod is restarted.
    restarts: u64,
    /// What becomes of the new version.
    mark: &'static str,
}

/// The former and the new version of the program: one image under two names.
fn image(version: &str) -> String {
    match version {
        "one" => current::workload_image(),
        _ => images::SAMPLES.to_owned(),
    }
}

fn template(version: &str) -> Value {
    json!({"spec": {
        "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "app", "image": image(version), "imagePullPolicy": "IfNotPresent"}],
    }})
}

/// Three workers that are updated one after another, one replica at a time, on nodes that are simulated.
const REPLACED: Scene = Scene {
    name: "replaced",
    workers: &["db", "api", "web"],
    replicas: 5,
    update: || json!({"maxSurge": 0, "maxUnavailable": 1}),
    template: |version| {
        let mut template = template(version);
        template["spec"]["nodeSelector"] = json!({"type": "kwok"});
        let toleration = json!({"key": "kwok.x-k8s.io/node", "operator": "Exists"});
        template["spec"]["tolerations"] = json!([toleration]);
        template
    },
    kills: (10, 4),
    is_long: true,
    bounds: (4, 5),
    written: [15, 15],
    are_kept: false,
    restarts: 0,
    mark: "Good",
};

/// A worker whose Pods are given the new image, on a real node.
const IN_PLACE: Scene = Scene {
    name: "in-place",
    workers: &["web"],
    replicas: 4,
    update: || json!({"method": "InPlaceIfPossible", "maxSurge": 0, "maxUnavailable": 2}),
    template,
    kills: (8, 2),
    is_long: true,
    bounds: (2, 4),
    written: [0, 0],
    are_kept: true,
    restarts: 1,
    mark: "Good",
};

/// A worker whose canary is one Pod more, on a real node. It dies once, and that is enough.
const TAKEN_BACK: Scene = Scene {
    name: "taken-back",
    workers: &["api"],
    replicas: 3,
    update: || {
        let steps = json!([{"updated": 1}, {"pause": {}}]);
        json!({"maxSurge": 1, "maxUnavailable": 0, "minReadySeconds": 5, "steps": steps})
    },
    template: |version| {
        let mut template = template(version);
        if version != "one" {
            dies_once(&mut template);
        }
        template
    },
    kills: (7, 2),
    is_long: false,
    bounds: (3, 4),
    written: [1, 1],
    are_kept: true,
    restarts: 0,
    mark: "Bad",
};

impl Scene {
    fn tree(&self, version: &str) -> String {
        let template = (self.template)(version);
        let worker = |name: &&str| {
            let worker = json!({
                "replicas": self.replicas,
                "quorum": 1,
                "update": (self.update)(),
                "template": template,
            });
            json!({"name": name, "worker": worker})
        };
        let children: Vec<Value> = self.workers.iter().map(worker).collect();
        json!({
            "apiVersion": "coppice.dev/v1alpha1",
            "kind": "SupervisionTree",
            "metadata": {"name": "tree"},
            "spec": {"rollout": {"probationSeconds": 2}, "children": children},
        })
        .to_string()
    }

    /// The version that the Pods have in the end.
    fn last(&self) -> &'static str {
        if self.mark == "Good" { "two" } else { "one" }
    }
}

/// When the operator is killed; every run of the tests may have other moments: `SEED=7 cargo test …`.
fn seed() -> u64 {
    let seed = std::env::var("SEED").ok();
    seed.and_then(|seed| seed.parse().ok()).unwrap_or(3)
}

/// Plays a scene twice, with kills and without: the ends must be the same.
async fn ends_the_same(scene: &Scene) {
    let cluster = shared().await;
    let seed = seed();
    println!("{}: seed {seed}", scene.name);
    let (killed, undisturbed) = tokio::join!(
        rolled(cluster, scene, Some(seed)),
        rolled(cluster, scene, None)
    );
    assert_eq!(killed, undisturbed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_ends_the_same_although_the_operator_was_killed_ten_times() {
    ends_the_same(&REPLACED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_change_in_place_once_although_the_operator_is_killed() {
    ends_the_same(&IN_PLACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_is_taken_back_although_the_operator_is_killed() {
    ends_the_same(&TAKEN_BACK).await;
}

/// Rolls out a new version, while the operator is killed at moments that the seed says; what a person sees then.
async fn rolled(cluster: &'static Cluster, scene: &Scene, kills: Option<u64>) -> Value {
    let space = Space::new(cluster, scene.name).await;
    let kubeconfig = story::kubeconfig(cluster).await;
    let client = cluster.client_from(kubeconfig).await.expect("a client");
    let proxy = Proxy::open(client, 0).await.expect("a door");
    let operator = Operator::start(cluster, &space.name, proxy.clone());
    space.apply(&scene.tree("one"));
    until_ended(&space, scene, 1, "Good").await;
    let record = Record::of_pods(cluster, &space.name);
    record.until_begun().await;
    let (before, pods) = (writes(&space), uids(&space, scene).await);

    let (begun, written) = (Instant::now(), proxy.writes());
    space.apply(&scene.tree("two"));
    let deaths = match kills {
        Some(seed) => {
            kill(&operator, &space, scene, seed).await;
            scene.kills.0
        }
        None => 0,
    };
    let tree = until_ended(&space, scene, 2, scene.mark).await;
    println!(
        "{}: killed {deaths} times, {} writes in {:.1?}",
        scene.name,
        proxy.writes() - written,
        begun.elapsed()
    );
    assert_eq!(operator.deaths(), deaths);
    operator.end();

    let seen = record.so_far();
    for worker in scene.workers {
        let (up, live) = extremes(&seen, worker, scene.replicas);
        let (least, most) = scene.bounds;
        assert!(
            up >= least && live <= most,
            "{worker}: {up} up, {live} live"
        );
    }
    let [created, deleted] = writes(&space);
    let since = [created - before[0], deleted - before[1]];
    assert_eq!(since, scene.written, "nothing is done twice");
    let now = uids(&space, scene).await;
    assert_eq!(now.len(), pods.len());
    let kept = now.intersection(&pods).count();
    assert_eq!(kept, if scene.are_kept { pods.len() } else { 0 });
    told(&space, scene, &tree).await
}

/// Kills the operator again and again.
async fn kill(operator: &Arc<Operator>, space: &Space<'_>, scene: &Scene, seed: u64) {
    let mut dice = fastrand::Rng::with_seed(seed);
    let (kills, writes) = scene.kills;
    for nth in 1..=kills {
        let after = dice.u64(1..=writes);
        let killed = tokio::time::timeout(WITHIN, operator.die_after(after)).await;
        let killed = killed.unwrap_or_else(|_| {
            let diagnosis = support::diagnosis(space.cluster, &space.name);
            panic!("no {after} writes before kill {nth}\n{diagnosis}")
        });
        killed.expect("started again");
    }
    if scene.is_long {
        // It was in the middle of it all the time.
        let tree = space.tree("tree").await;
        assert!(tree["status"]["rollout"].is_object(), "{tree:#}");
    }
}

/// What a person sees of the tree and its workers. The Pods are as they should be.
async fn told(space: &Space<'_>, scene: &Scene, tree: &Value) -> Value {
    let mut workers = serde_json::Map::new();
    for worker in scene.workers {
        for pod in live(space, worker).await {
            let restarts = &pod["status"]["containerStatuses"][0]["restartCount"];
            assert_eq!(*restarts, scene.restarts, "{pod:#}");
            let runs = &pod["spec"]["containers"][0]["image"];
            assert_eq!(*runs, image(scene.last()));
        }
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
        workers.insert((*worker).to_owned(), told.into_iter().collect());
    }
    let conditions = ["Ready", "Reconciling", "Stalled", "RolledBack"];
    let conditions = conditions.map(|name| {
        let one = condition(tree, name);
        json!([name, one["status"], one["reason"]])
    });
    let revisions = tree["status"]["revisions"].as_array();
    let marks = revisions.into_iter().flatten();
    let marks: Vec<Value> = marks
        .map(|one| json!([one["number"], one["mark"]]))
        .collect();
    json!({"conditions": conditions, "marks": marks, "restarts": tree["status"]["restarts"], "workers": workers})
}

/// Waits until the revision of that number has that mark, and every worker has come to rest with all its Pods and no other.
async fn until_ended(space: &Space<'_>, scene: &Scene, number: u64, mark: &str) -> Value {
    let has_ended = |tree: &Value| {
        let revisions = tree["status"]["revisions"].as_array();
        let newest = revisions.and_then(|all| all.last());
        let is_marked = newest.is_some_and(|one| one["number"] == number && one["mark"] == mark);
        let ready = if mark == "Good" { "True" } else { "False" };
        let is_at_rest = is_current(tree, "Ready", ready)
            && is_current(tree, "Reconciling", "False")
            && tree["status"].get("rollout").is_none();
        is_marked && is_at_rest
    };
    let what = format!("{mark} and at rest on revision {number}");
    let tree = space.until("tree", WITHIN, &what, has_ended).await;
    for worker in scene.workers {
        let is_alone = |worker: &Value| {
            let status = &worker["status"];
            status["up"] == scene.replicas && status["replicas"] == scene.replicas
        };
        space
            .until_object(
                "Worker",
                &format!("tree-{worker}"),
                WITHIN,
                "whole",
                is_alone,
            )
            .await;
    }
    tree
}

/// The Pods of a worker that nobody has asked to stop.
async fn live(space: &Space<'_>, worker: &str) -> Vec<Value> {
    let mut pods = space.pods_of("tree", worker).await;
    pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    let pods = pods.into_iter().map(serde_json::to_value);
    pods.collect::<Result<_, _>>().expect("Pods")
}

/// The UIDs of all Pods that nobody has asked to stop.
async fn uids(space: &Space<'_>, scene: &Scene) -> BTreeSet<String> {
    let mut uids = BTreeSet::new();
    for worker in scene.workers {
        let pods = live(space, worker).await;
        uids.extend(pods.iter().map(|pod| pod["metadata"]["uid"].to_string()));
    }
    uids
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
