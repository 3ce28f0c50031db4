//! Trees: whoever writes one must be allowed to create Pods, at every change of its spec.
//!
//! Rule: what makes no Pod is everybody's who may write trees.

use e2e::cluster::Cluster;
use kube::Client;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::kit::{
    OPERATOR, PODS, Right, TREES, change, client_as, create, denied, dry, grant, said, shared,
    tree, trees, worker,
};

const POLICY: &str = "coppice-trees";

/// A namespace with a tree in it that the administrator wrote, one who may only write trees, and one who may also
/// create Pods.
struct Scene {
    cluster: &'static Cluster,
    namespace: String,
    writer: Client,
    maker: Client,
}

impl Scene {
    async fn new(children: impl IntoIterator<Item = Value>) -> Self {
        let cluster = shared().await;
        let namespace = cluster.namespace("policy").await.unwrap();
        grant(cluster, &namespace, "writer", &[TREES]).await;
        grant(cluster, &namespace, "maker", &[TREES, PODS]).await;
        let admin = cluster.client();
        let object = tree("t", children);
        create(&admin, &namespace, &object, &PostParams::default())
            .await
            .unwrap();
        Self {
            cluster,
            namespace,
            writer: client_as(cluster, "writer", &[]).await,
            maker: client_as(cluster, "maker", &[]).await,
        }
    }
}

fn replicas(number: i32) -> Value {
    let mut child = worker("w", &json!({}));
    child["worker"]["replicas"] = json!(number);
    json!({"spec": {"children": [child]}})
}

#[tokio::test]
async fn whoever_may_not_create_pods_writes_no_tree() {
    let scene = Scene::new([]).await;
    let namespace = &scene.namespace;
    let object = tree("new", [worker("w", &json!({}))]);
    for params in [dry(), PostParams::default()] {
        assert_eq!(
            denied(
                create(&scene.writer, namespace, &object, &params).await,
                POLICY
            ),
            format!(
                "spec: a SupervisionTree makes Pods, and user 'writer' may not create pods in namespace '{namespace}'. \
                 Get the verb 'create' on pods by a RoleBinding in this namespace (the ClusterRole 'edit' has it)"
            )
        );
    }
    create(&scene.maker, namespace, &object, &PostParams::default())
        .await
        .unwrap();

    let elsewhere = scene.cluster.namespace("elsewhere").await.unwrap();
    grant(scene.cluster, &elsewhere, "maker", &[TREES]).await;
    let complaint = denied(
        create(&scene.maker, &elsewhere, &object, &dry()).await,
        POLICY,
    );
    assert!(
        complaint.contains(&format!("in namespace '{elsewhere}'")),
        "{complaint}"
    );
}

#[tokio::test]
async fn whoever_may_not_create_claims_asks_for_none() {
    let scene = Scene::new([]).await;
    let namespace = &scene.namespace;
    let mut child = worker("w", &json!({}));
    child["worker"]["identity"] = json!("Stable");
    child["worker"]["volumeClaimTemplates"] =
        json!([{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]);
    let object = tree("claims", [child]);
    assert_eq!(
        denied(
            create(&scene.maker, namespace, &object, &dry()).await,
            POLICY
        ),
        format!(
            "spec.children: `volumeClaimTemplates` makes PersistentVolumeClaims, and user 'maker' may not create \
             persistentvolumeclaims in namespace '{namespace}'. Leave the field out, or get the verb 'create' on \
             persistentvolumeclaims by a RoleBinding in this namespace (the ClusterRole 'edit' has it)"
        )
    );
    let admin = scene.cluster.client();
    create(&admin, namespace, &object, &dry()).await.unwrap();
}

#[tokio::test]
async fn every_change_of_the_spec_takes_the_right_and_nothing_else_does() {
    let scene = Scene::new([worker("w", &json!({}))]).await;
    let [theirs, makers] = [&scene.writer, &scene.maker].map(|who| trees(who, &scene.namespace));
    for harmless in [
        json!({"metadata": {"labels": {"team": "shop"}, "annotations": {"note": "x"}}}),
        json!({"metadata": {"finalizers": ["example.com/waits"]}}),
        json!({"metadata": {"finalizers": null}}),
        // Nothing changes.
        json!({"spec": {"strategy": "OneForOne"}}),
    ] {
        change(&theirs, "t", harmless).await.unwrap();
    }
    for harmful in [
        replicas(2),
        json!({"spec": {"intensity": {"maxRestarts": 9}}}),
        json!({"spec": {"children": [worker("w", &json!({"hostNetwork": true}))]}}),
        json!({"spec": {"children": []}}),
    ] {
        let complaint = denied(change(&theirs, "t", harmful.clone()).await, POLICY);
        assert!(
            complaint.starts_with("spec: a SupervisionTree makes Pods, and user 'writer'"),
            "{harmful}: {complaint}"
        );
        change(&makers, "t", harmful).await.unwrap();
    }
    // The same by server-side apply and by replacing the whole.
    let params = PatchParams::apply("writer").force();
    let object = tree("t", [worker("other", &json!({}))]);
    denied(
        said(theirs.patch("t", &params, &Patch::Apply(&object)).await),
        POLICY,
    );
    let mut whole = theirs.get("t").await.unwrap();
    whole.data["spec"]["onGiveUp"] = json!("Stop");
    denied(
        said(theirs.replace("t", &PostParams::default(), &whole).await),
        POLICY,
    );

    // Ending workloads is not making any.
    theirs.delete("t", &DeleteParams::default()).await.unwrap();
}

#[tokio::test]
async fn the_operator_itself_writes_what_it_has_to() {
    let scene = Scene::new([worker("w", &json!({}))]).await;
    let operator = client_as(scene.cluster, OPERATOR, &[]).await;
    let its = trees(&operator, &scene.namespace);
    let finalizer = json!({"metadata": {"finalizers": ["coppice.dev/ordered-stop"]}});
    change(&its, "t", finalizer).await.unwrap();
    let status = Patch::Merge(json!({"status": {"observedGeneration": 1}}));
    said(
        its.patch_status("t", &PatchParams::default(), &status)
            .await,
    )
    .unwrap();

    // Who may do the operator's work on a tree, but not create Pods, cannot use it to change the tree.
    let handyman = "system:serviceaccount:tools:handyman";
    let rights = Right(
        "coppice.dev",
        "supervisiontrees supervisiontrees/status",
        "patch",
        "",
    );
    grant(scene.cluster, &scene.namespace, handyman, &[rights]).await;
    let handyman = client_as(scene.cluster, handyman, &[]).await;
    let its = trees(&handyman, &scene.namespace);
    change(&its, "t", json!({"metadata": {"finalizers": null}}))
        .await
        .unwrap();
    said(
        its.patch_status("t", &PatchParams::default(), &status)
            .await,
    )
    .unwrap();
    denied(change(&its, "t", replicas(7)).await, POLICY);
    assert_eq!(its_generation(&scene).await, 1);
}

async fn its_generation(scene: &Scene) -> i64 {
    let admins = trees(&scene.cluster.client(), &scene.namespace);
    admins.get("t").await.unwrap().metadata.generation.unwrap()
}

#[tokio::test]
async fn the_audit_log_says_that_the_question_was_asked_and_for_which_accounts() {
    let scene = Scene::new([worker("w", &json!({"serviceAccountName": "robot"}))]).await;
    let log = std::fs::read_to_string(scene.cluster.audit_log().unwrap()).unwrap();
    let created = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|event| {
            let object = &event["objectRef"];
            event["verb"] == "create"
                && object["resource"] == "supervisiontrees"
                && object["namespace"] == scene.namespace.as_str()
        })
        .expect("the creation");
    assert_eq!(created["annotations"]["coppice-trees/runs-as"], "robot");
}
