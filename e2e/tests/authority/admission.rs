//! The operator is exempt from nothing: Pod Security and quotas refuse its Pods in the words they use for everybody.
//!
//! Rule: the same Pod is tried by hand, as the operator itself, and through a tree.

use e2e::cluster::Cluster;
use k8s_openapi::api::core::v1::{Namespace, ResourceQuota};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::kit::{
    OPERATOR, api, client_as, create, dry, eventually, installed, operate, pod_spec, tree, trees,
    worker,
};

/// Tries a Pod in all three ways, each of which must be refused in the same words, which begin with `words`.
/// `reason` is that of the tree's condition.
async fn refused_to_everybody(
    cluster: &Cluster,
    namespace: &str,
    pod: &Value,
    words: &str,
    reason: &str,
) {
    let by_hand = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "by-hand-"}, "spec": pod});
    let admin = cluster.client();
    let said = eventually("it is refused by hand", async || {
        create(&admin, namespace, &by_hand, &dry()).await.err()
    })
    .await;
    let (_, complaint) = said.split_once(" is forbidden: ").unwrap();
    assert!(complaint.starts_with(words), "{said}");

    let operator = client_as(cluster, OPERATOR, &[]).await;
    let said = create(&operator, namespace, &by_hand, &dry())
        .await
        .unwrap_err();
    assert!(said.ends_with(complaint), "{said}");

    let mut child = worker("w", &json!({}));
    child["worker"]["template"]["spec"] = pod.clone();
    create(
        &admin,
        namespace,
        &tree("t", [child]),
        &PostParams::default(),
    )
    .await
    .unwrap();
    let trees = trees(&admin, namespace);
    let ready = eventually("the tree says so", async || {
        let tree = trees.get("t").await.unwrap();
        let conditions = tree.data["status"]["conditions"].as_array()?.clone();
        conditions
            .into_iter()
            .find(|one| one["type"] == "Ready" && one["reason"] == reason)
    })
    .await;
    assert_eq!(ready["status"], "False");
    // Conditions have a longest length.
    let told: String = complaint.chars().take(300).collect();
    let message = ready["message"].as_str().unwrap();
    assert!(message.contains(&told), "{message}");
    let pods = api(&admin, namespace, "v1", "Pod");
    assert_eq!(
        pods.list(&ListParams::default()).await.unwrap().items.len(),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pod_security_and_quotas_hold_for_trees_as_for_everybody() {
    // A server of its own, because the operator works on every tree that it sees.
    let cluster = &installed(&[]).await;
    let _operator = operate(cluster, &[]).await;
    let client = cluster.client();

    let restricted = cluster.namespace("restricted").await.unwrap();
    let label =
        json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    Api::<Namespace>::all(client.clone())
        .patch(&restricted, &PatchParams::default(), &Patch::Merge(label))
        .await
        .unwrap();
    let mut privileged = pod_spec(&json!({}));
    privileged["containers"][0]["securityContext"] = json!({"privileged": true});
    let words =
        "violates PodSecurity \"restricted:latest\": privileged (container \"app\" must not set";
    refused_to_everybody(cluster, &restricted, &privileged, words, "CreateRefused").await;

    let full = cluster.namespace("full").await.unwrap();
    let quota: ResourceQuota = serde_json::from_value(
        json!({"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}),
    )
    .unwrap();
    let quotas: Api<ResourceQuota> = Api::namespaced(client, &full);
    quotas.create(&PostParams::default(), &quota).await.unwrap();
    // Without a quota controller the status, which is what counts, is set by hand.
    let status = json!({"status": {"hard": {"pods": "0"}, "used": {"pods": "0"}}});
    quotas
        .patch_status("none", &PatchParams::default(), &Patch::Merge(status))
        .await
        .unwrap();
    let words = "exceeded quota: none, requested: pods=1, used: pods=0, limited: pods=0";
    refused_to_everybody(
        cluster,
        &full,
        &pod_spec(&json!({})),
        words,
        "WaitingForCapacity",
    )
    .await;
}
