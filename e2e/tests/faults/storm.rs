//! Everything changes at once.
//!
//! Rule: what only reports is written once a second, and the last state is what is told in the end.

use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::kit::Bench;
use crate::trees::{tree, worker};

const PODS: u32 = 1000;
const LONG: Duration = Duration::from_mins(2);

async fn flip(bench: &Bench<'_>, pods: &[Pod], ready: bool) -> Duration {
    let begun = Instant::now();
    let status = if ready { "True" } else { "False" };
    let patch =
        Patch::Strategic(json!({"status": {"conditions": [{"type": "Ready", "status": status}]}}));
    stream::iter(pods)
        .for_each_concurrent(50, |pod| {
            let (api, patch) = (bench.space.pods(), &patch);
            async move {
                let (name, params) = (pod.name_any(), PatchParams::default());
                api.patch_status(&name, &params, patch).await.unwrap();
            }
        })
        .await;
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_pods_that_flip_at_once_are_reported_once_a_second() {
    let bench = Bench::new("storm", 37).await;
    bench
        .space
        .apply(&tree("big", &[worker("app", PODS, "quorum: 600,")]));
    bench.space.until_at_rest("big", LONG).await;
    let pods = bench.live("big", "app").await;
    assert_eq!(pods.len(), 1000);

    for ready in [false, true] {
        let begun = Instant::now();
        let took = flip(&bench, &pods, ready).await;
        let up = if ready { PODS } else { 0 };
        let counted =
            |worker: &Value| worker["status"]["up"].as_u64().unwrap_or(0) == u64::from(up);
        bench
            .space
            .until_object("Worker", "big-app", LONG, "counted", counted)
            .await;
        let tree_says = |tree: &Value| {
            crate::support::condition(tree, "Ready")["status"]
                == if ready { "True" } else { "False" }
        };
        bench.space.until("big", LONG, "told", tree_says).await;
        let elapsed = begun.elapsed();
        for resource in ["supervisiontrees/status", "workers/status"] {
            let writes = bench.requests(begun, |seen| seen.call.resource == resource);
            let gaps = writes.windows(2).map(|pair| pair[1].at - pair[0].at);
            println!(
                "1000 Pods flipped to {ready} in {took:.1?}: {} writes of {resource} in {elapsed:.1?}, the closest {:?} apart",
                writes.len(),
                gaps.clone().min()
            );
            let most = elapsed.as_secs() + 1;
            assert!(writes.len() as u64 <= most, "{resource}");
        }
    }
    let deleted = bench.proxy.seen();
    assert!(
        !deleted.iter().any(|seen| seen.call.verb == "delete"),
        "being unready is no death"
    );
    bench.end();
}
