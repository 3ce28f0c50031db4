//! Labels, owners and annotations in foreign hands; bait; names that somebody else holds.
//!
//! Rule: an owner's UID is all that makes a Pod ours. What we do not own is never touched, and what is tampered with is
//! replaced once.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::kit::{Bench, SOON, said, uids};
use crate::trees::{labelled, tree, worker};

/// What is tried again later and later takes its time on a busy machine.
const LATER: Duration = Duration::from_mins(2);

async fn patch(bench: &Bench<'_>, pod: &Pod, patch: Value) {
    let (pods, name) = (bench.space.pods(), pod.name_any());
    let patch = Patch::Merge(patch);
    let params = PatchParams::default();
    let patched = pods.patch(&name, &params, &patch).await;
    patched.unwrap();
}

/// Waits until the live Pods that the operator counts are so many without `tampered`, and looks whether that one lives on.
async fn replaced(bench: &Bench<'_>, child: &str, tampered: &Pod) -> bool {
    let uid = tampered.uid();
    bench
        .until(&format!("{child} is replaced"), SOON, async || {
            let mut pods = bench.live("shop", child).await;
            pods.retain(|pod| pod.uid() != uid);
            (pods.len() == 2).then_some(())
        })
        .await;
    bench.space.until_at_rest("shop", SOON).await;
    let same = bench
        .space
        .pods()
        .get_opt(&tampered.name_any())
        .await
        .unwrap();
    same.is_some_and(|pod| pod.uid() == uid && pod.metadata.deletion_timestamp.is_none())
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_with_tampered_labels_and_owners_are_replaced_once_and_strangers_left_alone() {
    let bench = Bench::new("tampered", 19).await;
    let children = ["unlabelled", "unslotted", "disowned", "given", "forged"];
    let workers: Vec<String> = children.iter().map(|name| worker(name, 2, "")).collect();
    bench.space.apply(&tree("shop", &workers));
    bench.space.until_at_rest("shop", SOON).await;
    let begun = Instant::now();

    // Whoever takes the label off isolates the Pod: it lives on, owned, until its Worker goes.
    let unlabelled = bench.live("shop", "unlabelled").await.remove(0);
    patch(
        &bench,
        &unlabelled,
        json!({"metadata": {"labels": {"coppice.dev/tree": null}}}),
    )
    .await;
    assert!(replaced(&bench, "unlabelled", &unlabelled).await);
    // Ours by its owner, but of no slot: nobody knows what it is for.
    let unslotted = bench.live("shop", "unslotted").await.remove(0);
    patch(
        &bench,
        &unslotted,
        json!({"metadata": {"labels": {"coppice.dev/slot": "many"}}}),
    )
    .await;
    assert!(
        !replaced(&bench, "unslotted", &unslotted).await,
        "ours, and in nobody's place"
    );
    // Without an owner it is a stranger.
    let disowned = bench.live("shop", "disowned").await.remove(0);
    patch(
        &bench,
        &disowned,
        json!({"metadata": {"ownerReferences": null}}),
    )
    .await;
    assert!(replaced(&bench, "disowned", &disowned).await);
    // With another owner too.
    let given = bench.live("shop", "given").await.remove(0);
    let owner = owner(&bench).await;
    patch(
        &bench,
        &given,
        json!({"metadata": {"ownerReferences": [owner]}}),
    )
    .await;
    assert!(replaced(&bench, "given", &given).await);
    // Annotations decide nothing.
    let forged = bench.live("shop", "forged").await;
    let lies = json!({"coppice.dev/slot": "7", "coppice.dev/tree": "other", "coppice.dev/revision": "x",
        "coppice.dev/containers": "ghost", "kwok.x-k8s.io/node": "fake", "kubectl.kubernetes.io/restartedAt": "2030-01-01T00:00:00Z"});
    patch(
        &bench,
        &forged[0],
        json!({"metadata": {"annotations": lies}}),
    )
    .await;
    let tree = bench.space.until_at_rest("shop", SOON).await;
    assert_eq!(uids(&bench.live("shop", "forged").await), uids(&forged));

    // Nobody is charged for what others did, and nothing but the one without a slot was deleted.
    let charges = &tree["status"]["supervisors"][0]["charges"];
    assert!(charges.as_array().is_none_or(Vec::is_empty), "{tree:#}");
    let deleted = bench.requests(begun, |seen| seen.call.verb == "delete");
    let deleted: BTreeSet<String> = deleted.into_iter().map(|seen| seen.call.name).collect();
    assert_eq!(deleted, BTreeSet::from([unslotted.name_any()]));
    let created = bench.requests(begun, |seen| {
        seen.call.verb == "create" && seen.was_stored()
    });
    let created = created.iter().filter(|seen| seen.call.resource == "pods");
    assert_eq!(created.count(), 4);
    bench.end();
}

async fn owner(bench: &Bench<'_>) -> Value {
    let maps: Api<ConfigMap> = Api::namespaced(bench.space.cluster.client(), &bench.space.name);
    let map = serde_json::from_value(json!({"metadata": {"name": "owner"}})).unwrap();
    let map = maps.create(&PostParams::default(), &map).await.unwrap();
    json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": map.uid(), "controller": true})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stable_name_held_by_a_disowned_pod_is_waited_for() {
    let bench = Bench::new("held", 19).await;
    bench
        .space
        .apply(&tree("shop", &[worker("db", 1, "identity: Stable,")]));
    bench.space.until_at_rest("shop", SOON).await;
    let pod = bench.live("shop", "db").await.remove(0);
    patch(&bench, &pod, json!({"metadata": {"ownerReferences": null}})).await;
    let collides = |tree: &Value| said(tree, "Stalled").0 == "NameCollision";
    let told = bench.space.until("shop", LATER, "stalled", collides).await;
    let message = said(&told, "Stalled").1;
    assert!(message.contains("shop-db-0"), "{message}");
    println!("{message}");
    let still = bench.space.pods().get("shop-db-0").await.unwrap();
    assert_eq!(still.uid(), pod.uid());

    bench
        .space
        .kubectl(&["delete", "pod", "shop-db-0", "--grace-period=0", "--force"]);
    bench.space.until_at_rest("shop", LATER).await;
    assert_ne!(
        bench.space.pods().get("shop-db-0").await.unwrap().uid(),
        pod.uid()
    );
    bench.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn bait_is_not_taken_and_foreign_names_are_left_alone() {
    let bench = Bench::new("bait", 20).await;
    let labels = |tree: &str, child: &str| json!({"coppice.dev/tree": tree, "coppice.dev/child": child, "coppice.dev/slot": "0", "coppice.dev/revision": "x"});
    let spec = json!({"nodeSelector": {"type": "kwok"}, "tolerations": [{"operator": "Exists"}],
        "containers": [{"name": "app", "image": "none"}]});
    let bait = json!({"metadata": {"name": "bait", "labels": labels("shop", "app")}, "spec": spec});
    let params = PostParams::default();
    let bait = serde_json::from_value(bait).unwrap();
    let bait = bench.space.pods().create(&params, &bait).await.unwrap();
    // A Worker that no tree has made stands where one belongs.
    let squatter = json!({"apiVersion": "coppice.dev/v1alpha1", "kind": "Worker",
        "metadata": {"name": "shop-taken", "labels": labels("shop", "taken")}, "spec": {"replicas": 3}});
    bench.space.apply(&squatter.to_string());

    bench.space.apply(&tree(
        "shop",
        &[worker("app", 2, ""), worker("taken", 1, "")],
    ));
    // The names of both are the same when they are put together.
    bench.space.apply(&tree(
        "a-b",
        &[labelled("c", 1, "identity: Stable,", "{of: first}")],
    ));
    bench.space.until_at_rest("a-b", SOON).await;
    bench.space.apply(&tree(
        "a",
        &[labelled("b-c", 1, "identity: Stable,", "{of: second}")],
    ));
    let collides = |tree: &Value| said(tree, "Stalled").0 == "NameCollision";
    for (name, object) in [("shop", "shop-taken"), ("a", "a-b-c")] {
        let told = bench.space.until(name, SOON, "stalled", collides).await;
        let message = said(&told, "Stalled").1;
        println!("{name}: {message}");
        assert!(message.contains(object), "{message}");
        let described = bench.space.kubectl(&["describe", "stree", name]);
        assert!(described.contains("NameCollision"), "{described}");
    }
    bench.until_live("shop", "app", 3, &[], SOON).await;
    let pods = bench.live("shop", "app").await;
    assert!(
        uids(&pods).contains(&bait.uid().unwrap()),
        "the bait lives beside two of ours"
    );
    let squatter = bench.space.worker("shop", "taken").await;
    assert_eq!(
        (
            &squatter["spec"]["replicas"],
            squatter["status"]["up"].as_u64().unwrap_or(0)
        ),
        (&json!(3), 0)
    );
    assert_eq!(
        bench.space.pods().get("a-b-c-0").await.unwrap().labels()["of"],
        "first"
    );

    // The names come free, and nothing more is needed.
    bench.space.kubectl(&["delete", "wkr", "shop-taken"]);
    bench
        .space
        .kubectl(&["delete", "stree", "a-b", "--timeout=60s"]);
    for tree in ["shop", "a"] {
        bench
            .space
            .until_at_rest(tree, Duration::from_mins(2))
            .await;
    }
    assert_eq!(
        bench.space.pods().get("a-b-c-0").await.unwrap().labels()["of"],
        "second"
    );
    let deleted = bench.requests(bench.begun(), |seen| seen.call.verb == "delete");
    let deleted: BTreeSet<String> = deleted.into_iter().map(|seen| seen.call.name).collect();
    assert_eq!(
        deleted,
        BTreeSet::from(["a-b-c-0".to_owned()]),
        "with its own tree"
    );
    bench.end();
}
