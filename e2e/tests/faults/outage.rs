//! The API server and its store killed at random moments, and gone for a minute.
//!
//! Rule: that nothing is heard of a Pod is no sign that it is gone: no Pod is deleted because of an outage.

use std::time::{Duration, Instant};

use e2e::control_plane::Server;
use futures::future::join_all;
use k8s_openapi::api::core::v1::PodCondition;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use serde_json::json;

use crate::kit::{Bench, start_cluster, uids};
use crate::support;
use crate::trees::{tree, worker};

const LONG: Duration = Duration::from_mins(2);
const OUTAGE: Duration = Duration::from_mins(1);

fn kill(bench: &Bench<'_>, servers: &[Server]) {
    let control_plane = bench.space.cluster.control_plane().unwrap();
    assert!(servers.iter().all(|server| control_plane.kill(*server)));
}

/// Starts them again, and waits until the API server answers.
async fn start_again(bench: &Bench<'_>, servers: &[Server]) {
    let cluster = bench.space.cluster;
    let control_plane = cluster.control_plane().unwrap();
    for server in servers {
        control_plane.start_again(cluster.run(), *server).unwrap();
    }
    let (begun, client, all) = (Instant::now(), cluster.client(), ListParams::default());
    let trees = bench.space.ours("SupervisionTree");
    loop {
        // Kinds of ours are served a moment later than those of Kubernetes.
        let answers = async {
            let ready = http::Request::get("/readyz").body(Vec::new()).unwrap();
            client.request_text(ready).await?;
            trees.list(&all).await
        };
        let answer = tokio::time::timeout(Duration::from_secs(2), answers).await;
        if matches!(answer, Ok(Ok(_))) {
            return;
        }
        assert!(
            begun.elapsed() < LONG,
            "the API server does not come back: {answer:?}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Three trees of `replicas` Pods each.
fn trees(replicas: u32) -> String {
    let workers = [
        worker("loose", replicas, ""),
        worker("fixed", replicas, "identity: Stable,"),
    ];
    ["one", "two", "three"]
        .map(|name| tree(name, &workers))
        .concat()
}

async fn at_rest(bench: &Bench<'_>) {
    let all = async {
        for tree in ["one", "two", "three"] {
            bench.space.until_at_rest(tree, LONG).await;
        }
    };
    tokio::select! {
        () = all => {}
        () = play_kubelets(bench) => {}
    }
}

/// Whoever did not hear of a node for long marks its Pods as not ready, and a kubelet that is heard again marks them as
/// ready; it also ends what was to end meanwhile. A simulated one does not, when it was refused once, so its part is
/// played here, for ever.
async fn play_kubelets(bench: &Bench<'_>) {
    let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    let (pods, ready, params) = (
        bench.space.pods(),
        Patch::Strategic(ready),
        PatchParams::default(),
    );
    loop {
        for pod in pods.list(&ListParams::default()).await.unwrap() {
            let conditions = pod
                .status
                .as_ref()
                .and_then(|status| status.conditions.as_ref());
            let ends = pod.metadata.deletion_timestamp.as_ref();
            if ends.is_some_and(|ends| ends.0 < jiff::Timestamp::now()) {
                let exactly = Preconditions {
                    uid: pod.metadata.uid.clone(),
                    resource_version: None,
                };
                let now = DeleteParams::default()
                    .grace_period(0)
                    .preconditions(exactly);
                let _ = pods.delete(&pod.name_any(), &now).await;
                continue;
            }
            let is_unready = |one: &PodCondition| one.type_ == "Ready" && one.status == "False";
            if conditions.into_iter().flatten().any(is_unready) {
                // It may be gone by now.
                let _ = pods.patch_status(&pod.name_any(), &params, &ready).await;
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// The number of Pods deleted so far, and the UIDs of those that live.
async fn count(bench: &Bench<'_>) -> std::collections::BTreeSet<String> {
    let mut all = std::collections::BTreeSet::new();
    for tree in ["one", "two", "three"] {
        for child in ["loose", "fixed"] {
            all.extend(uids(&bench.live(tree, child).await));
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_and_etcd_that_die_at_random_cost_no_pod() {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or(12);
    let mut dice = fastrand::Rng::with_seed(seed);
    println!("seed {seed}");
    let cluster = start_cluster(3).await;
    let bench = Bench::on(&cluster, "outage", seed).await;
    bench.space.apply(&trees(2));
    at_rest(&bench).await;
    let first = count(&bench).await;

    // In the middle of scaling, both ways, each of them and both.
    let both = [Server::Etcd, Server::Api];
    let victims: [&[Server]; 4] = [&[Server::Api], &[Server::Etcd], &both, &[Server::Api]];
    for (victims, replicas) in victims.into_iter().zip([6, 2, 5, 2]) {
        bench.space.apply(&trees(replicas));
        let delay = Duration::from_millis(dice.u64(0..1500));
        tokio::time::sleep(delay).await;
        kill(&bench, victims);
        println!("killed {victims:?} {delay:?} after an edit to {replicas} replicas");
        tokio::time::sleep(Duration::from_millis(dice.u64(0..2000))).await;
        start_again(&bench, victims).await;
        let back = Instant::now();
        at_rest(&bench).await;
        for child in ["loose", "fixed"] {
            let wanted = usize::try_from(replicas).unwrap();
            bench.until_live("one", child, wanted, &[], LONG).await;
        }
        println!("at rest {:.1?} after it was back", back.elapsed());
    }
    let kept = count(&bench).await;
    assert_eq!(kept.len(), 12);
    assert!(first.is_subset(&kept), "none of the first Pods had to go");

    kill(&bench, &both);
    let gone = Instant::now();
    let (code, _) = bench.until_ready_is(503, Duration::from_secs(40)).await;
    println!("not ready {code:.1?} after the API server was gone");
    tokio::time::sleep(OUTAGE.saturating_sub(gone.elapsed())).await;
    assert_eq!(
        bench.page("/livez").await.0,
        200,
        "a restart would not help"
    );
    let asked = bench.requests(gone, |_| true).len();
    println!("{asked} requests in a minute without an API server");
    assert!(asked <= 180, "{asked}");
    start_again(&bench, &both).await;
    let back = Instant::now();
    let (ready, _) = bench.until_ready_is(200, Duration::from_secs(30)).await;
    println!("ready again {ready:.1?} after it was back");
    at_rest(&bench).await;

    // It has seen what there is, and acts again.
    let victims = join_all(["one", "two", "three"].map(|tree| bench.live(tree, "loose"))).await;
    let victim = &victims[1][0];
    bench
        .space
        .kubectl(&["delete", "pod", &victim.name_any(), "--wait=false"]);
    bench
        .until_live("two", "loose", 2, std::slice::from_ref(victim), LONG)
        .await;
    println!("healed {:.1?} after it was back", back.elapsed());
    let mut after = count(&bench).await;
    after.retain(|uid| kept.contains(uid));
    assert_eq!(
        after.len(),
        11,
        "all but the one that was deleted by hand live on"
    );
    for tree in ["one", "two", "three"] {
        let tree = bench.space.tree(tree).await;
        let charges = &tree["status"]["supervisors"][0]["charges"];
        assert!(charges.as_array().is_none_or(Vec::is_empty), "{tree:#}");
        assert_eq!(support::condition(&tree, "Stalled")["status"], "False");
    }
    bench.end();
    cluster.stop().unwrap();
}
