//! Workers and what scales them: more replicas are more Pods, whoever asks for them.
//!
//! Rule: a smaller number is everybody's who may scale.

use kube::Client;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::kit::{
    AUTOSCALERS, PODS, Right, TREES, autoscaler, change, client_as, create, denied, dry, grant,
    said, shared, worker_object, workers,
};

const POLICY: &str = "coppice-workers";
const HPA: &str = "system:serviceaccount:kube-system:horizontal-pod-autoscaler";
const COLLECTOR: &str = "system:serviceaccount:kube-system:generic-garbage-collector";

fn refusal(user: &str, namespace: &str) -> String {
    format!(
        "spec.replicas: more replicas of a Worker are more Pods, and user '{user}' may not create pods in namespace \
         '{namespace}'. Get the verb 'create' on pods by a RoleBinding in this namespace (the ClusterRole 'edit' has it)"
    )
}

async fn scale(client: &Client, namespace: &str, replicas: i32) -> Result<(), String> {
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    let workers = workers(client, namespace);
    said(
        workers
            .patch_scale("w", &PatchParams::default(), &patch)
            .await,
    )
    .map(drop)
}

#[tokio::test]
async fn whoever_may_not_create_pods_makes_no_worker_larger() {
    let cluster = shared().await;
    let namespace = cluster.namespace("scaling").await.unwrap();
    grant(cluster, &namespace, "scaler", &[TREES]).await;
    grant(cluster, &namespace, "maker", &[TREES, PODS]).await;
    let scaler = client_as(cluster, "scaler", &[]).await;
    let maker = client_as(cluster, "maker", &[]).await;
    let refused = refusal("scaler", &namespace);

    let object = worker_object("w", 0);
    assert_eq!(
        denied(create(&scaler, &namespace, &object, &dry()).await, POLICY),
        refused
    );
    create(&maker, &namespace, &object, &PostParams::default())
        .await
        .unwrap();

    assert_eq!(denied(scale(&scaler, &namespace, 1).await, POLICY), refused);
    assert_eq!(denied(scale(&scaler, &namespace, 2).await, POLICY), refused);
    scale(&maker, &namespace, 3).await.unwrap();
    scale(&scaler, &namespace, 1).await.unwrap();

    let theirs = workers(&scaler, &namespace);
    let edits: [Value; 3] = [
        json!({"spec": {"replicas": 2}}),
        json!({"metadata": {"labels": {"coppice.dev/child": "another"}}}),
        json!({"metadata": {"ownerReferences": [{"apiVersion": "coppice.dev/v1alpha1", "kind": "SupervisionTree",
            "name": "t", "uid": "4be2dde6-7a4f-4b3c-8b7f-6d6a2e3c0d11", "controller": true}]}}),
    ];
    for edit in edits {
        assert_eq!(
            denied(change(&theirs, "w", edit.clone()).await, POLICY),
            refused
        );
        change(&workers(&maker, &namespace), "w", edit)
            .await
            .unwrap();
    }
    // Nothing of this makes a Pod.
    for edit in [
        json!({"metadata": {"labels": {"team": "shop"}}}),
        json!({"spec": {"replicas": 0}}),
        json!({"metadata": {"ownerReferences": null}}),
    ] {
        change(&theirs, "w", edit).await.unwrap();
    }
    theirs.delete("w", &DeleteParams::default()).await.unwrap();
}

#[tokio::test]
async fn controllers_of_kubernetes_do_their_work_on_workers() {
    let cluster = shared().await;
    let namespace = cluster.namespace("controllers").await.unwrap();
    let mut object = worker_object("w", 1);
    object["metadata"]["ownerReferences"] = json!([{"apiVersion": "coppice.dev/v1alpha1", "kind": "SupervisionTree",
        "name": "t", "uid": "4be2dde6-7a4f-4b3c-8b7f-6d6a2e3c0d12", "controller": true, "blockOwnerDeletion": true}]);
    let admin = cluster.client();
    create(&admin, &namespace, &object, &PostParams::default())
        .await
        .unwrap();
    // The role that it has in a cluster, and without which it could scale nothing.
    let hpa = client_as(
        cluster,
        HPA,
        &["system:serviceaccounts", "system:authenticated"],
    )
    .await;
    let its = workers(&hpa, &namespace);
    let mut larger = said(its.get_scale("w").await).unwrap();
    larger.spec.as_mut().unwrap().replicas = Some(4);
    said(
        its.replace_scale("w", &PostParams::default(), &larger)
            .await,
    )
    .unwrap();
    // What is let through is the scaling, and no other write.
    grant(
        cluster,
        &namespace,
        HPA,
        &[Right("coppice.dev", "workers", "*", "")],
    )
    .await;
    let edit = json!({"spec": {"replicas": 9}});
    assert_eq!(
        denied(change(&its, "w", edit).await, POLICY),
        refusal(HPA, &namespace)
    );

    let collector = client_as(
        cluster,
        COLLECTOR,
        &["system:serviceaccounts", "system:authenticated"],
    )
    .await;
    let its = workers(&collector, &namespace);
    let mut unblocked = object["metadata"]["ownerReferences"].clone();
    unblocked[0]["blockOwnerDeletion"] = json!(false);
    for references in [unblocked, Value::Null] {
        change(
            &its,
            "w",
            json!({"metadata": {"ownerReferences": references}}),
        )
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn an_autoscaler_of_workers_is_written_by_those_who_may_create_pods() {
    let cluster = shared().await;
    let namespace = cluster.namespace("autoscaling").await.unwrap();
    grant(cluster, &namespace, "scaler", &[AUTOSCALERS]).await;
    grant(cluster, &namespace, "maker", &[AUTOSCALERS, PODS]).await;
    let scaler = client_as(cluster, "scaler", &[]).await;
    let maker = client_as(cluster, "maker", &[]).await;
    let of_workers = autoscaler("a", "coppice.dev/v1alpha1");
    let refused = denied(
        create(&scaler, &namespace, &of_workers, &dry()).await,
        "coppice-autoscalers",
    );
    assert!(
        refused.starts_with(
            "spec.scaleTargetRef: an autoscaler of a Worker makes Pods, and user 'scaler' may not"
        ),
        "{refused}"
    );
    create(&maker, &namespace, &of_workers, &PostParams::default())
        .await
        .unwrap();
    let theirs = super::kit::api(
        &scaler,
        &namespace,
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
    );
    change(
        &theirs,
        "a",
        json!({"metadata": {"labels": {"team": "shop"}}}),
    )
    .await
    .unwrap();
    denied(
        change(&theirs, "a", json!({"spec": {"maxReplicas": 9}})).await,
        "coppice-autoscalers",
    );
    // Those of others are none of our business.
    for other in ["apps/v1", "example.com/v1"] {
        create(&scaler, &namespace, &autoscaler("b", other), &dry())
            .await
            .unwrap();
    }
}
