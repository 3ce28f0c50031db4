//! Namespaces that opt in: the operator sees all trees, and makes Pods only where a `RoleBinding` lets it.
//!
//! Rule: the command that people run is the one that the condition shows.

use e2e::cluster::Cluster;
use e2e::operator;
use kube::api::{DeleteParams, DynamicObject, ListParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::kit::{
    LEARNT_WITHIN, OPERATOR, api, client_as, create, eventually, installed, may, operate, tree,
    trees, worker,
};

/// Waits until a tree is as wanted, and gives it back.
async fn until(
    trees: Api<DynamicObject>,
    name: &str,
    wanted: impl Fn(&Value) -> bool + Send + Sync,
) -> Value {
    let last = std::sync::Mutex::new(Value::Null);
    let condition = |tree: Option<&DynamicObject>| {
        let data = tree.map_or(Value::Null, |tree| tree.data.clone());
        let is_so = wanted(&data);
        *last.lock().unwrap() = data;
        is_so
    };
    let outcome =
        tokio::time::timeout(LEARNT_WITHIN, await_condition(trees, name, condition)).await;
    let last = last.into_inner().unwrap();
    assert!(matches!(outcome, Ok(Ok(_))), "{last:#}");
    last
}

fn ready(tree: &Value) -> &Value {
    let conditions = tree["status"]["conditions"].as_array();
    let found = conditions.and_then(|all| all.iter().find(|one| one["type"] == "Ready"));
    found.unwrap_or(&Value::Null)
}

async fn pods(client: &Client, namespace: &str) -> usize {
    let pods = api(client, namespace, "v1", "Pod");
    pods.list(&ListParams::default()).await.unwrap().items.len()
}

/// The command that lets a namespace opt in.
fn command(namespace: &str) -> String {
    format!(
        "kubectl create rolebinding coppice-workloads --clusterrole=coppice-workloads \
         --serviceaccount=coppice-system:coppice --namespace={namespace}"
    )
}

/// Opts in, as the condition says it, word for word.
fn opt_in(cluster: &Cluster, namespace: &str) {
    let mut kubectl = cluster.command("kubectl");
    kubectl.args(command(namespace).split_whitespace().skip(1));
    operator::said(kubectl).unwrap();
}

async fn until_pods(client: &Client, namespace: &str, wanted: usize) {
    let what = format!("{wanted} Pods in {namespace}");
    eventually(&what, async || {
        (pods(client, namespace).await == wanted).then_some(())
    })
    .await;
}

/// Waits until a tree says that it is refused its Pods, and how its namespace opts in.
async fn until_told(client: &Client, namespace: &str) {
    let told = until(trees(client, namespace), "t", |tree| {
        ready(tree)["reason"] == "CreateRefused"
    })
    .await;
    let message = ready(&told)["message"].as_str().unwrap();
    assert!(
        message.contains("the namespace has not opted in") && message.contains(&command(namespace)),
        "{message}"
    );
}

async fn namespace_with_tree(cluster: &Cluster, name: &str) -> String {
    let namespace = cluster.namespace(name).await.unwrap();
    let object = tree("t", [worker("w", &json!({}))]);
    let params = PostParams::default();
    create(&cluster.client(), &namespace, &object, &params)
        .await
        .unwrap();
    namespace
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_has_not_opted_in_is_told_how_and_holds_up_no_other() {
    let cluster = installed(&["authority.optIn=true"]).await;
    let _operator = operate(&cluster, &["--opt-in-role=coppice-workloads"]).await;
    let client = cluster.client();
    let outside = namespace_with_tree(&cluster, "outside").await;
    until_told(&client, &outside).await;

    let inside = namespace_with_tree(&cluster, "inside").await;
    opt_in(&cluster, &inside);
    until_pods(&client, &inside, 1).await;
    assert_eq!(pods(&client, &outside).await, 0);

    // The operator asks again by itself.
    opt_in(&cluster, &outside);
    until_pods(&client, &outside, 1).await;

    // Whoever opts out keeps what runs, gets nothing new, and is told.
    let mut kubectl = cluster.command("kubectl");
    kubectl.args(["delete", "rolebinding", "coppice-workloads", "-n", &inside]);
    operator::said(kubectl).unwrap();
    let operator = client_as(&cluster, OPERATOR, &[]).await;
    eventually("the right is gone", async || {
        let may_create = may(&operator, &inside, ["", "pods", "create", ""]).await;
        (!may_create).then_some(())
    })
    .await;
    assert_eq!(pods(&client, &inside).await, 1);
    let all = api(&client, &inside, "v1", "Pod");
    all.delete_collection(&DeleteParams::default(), &ListParams::default())
        .await
        .unwrap();
    until_told(&client, &inside).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_that_never_got_pods_is_let_go_without_the_right_to_make_them() {
    let cluster = installed(&["authority.optIn=true"]).await;
    let _operator = operate(&cluster, &["--opt-in-role=coppice-workloads"]).await;
    let client = cluster.client();
    let namespace = namespace_with_tree(&cluster, "never").await;
    until_told(&client, &namespace).await;
    let trees = trees(&client, &namespace);
    trees.delete("t", &DeleteParams::default()).await.unwrap();
    eventually("the tree is gone", async || {
        trees.get_opt("t").await.unwrap().is_none().then_some(())
    })
    .await;
}
