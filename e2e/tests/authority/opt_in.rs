//! Namespaces that opt in: the operator sees all trees, and makes Pods only where a `RoleBinding` lets it.
//!
//! Rule: the command that people run is the one that the condition shows.

use e2e::operator;
use kube::api::{DynamicObject, ListParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::kit::{LEARNT_WITHIN, api, create, installed, operate, tree, trees, worker};

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

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_has_not_opted_in_is_told_how_and_holds_up_no_other() {
    let cluster = installed(&["authority.optIn=true"]).await;
    let _operator = operate(&cluster, &["--opt-in-role=coppice-workloads"]).await;
    let client = cluster.client();
    let outside = cluster.namespace("outside").await.unwrap();
    let inside = cluster.namespace("inside").await.unwrap();
    let object = tree("t", [worker("w", &json!({}))]);
    create(&client, &outside, &object, &PostParams::default())
        .await
        .unwrap();
    let refused = until(trees(&client, &outside), "t", |tree| {
        ready(tree)["reason"] == "CreateRefused"
    })
    .await;
    let message = ready(&refused)["message"].as_str().unwrap();
    let command = |namespace: &str| {
        format!(
            "kubectl create rolebinding coppice-workloads --clusterrole=coppice-workloads \
             --serviceaccount=coppice-system:coppice --namespace={namespace}"
        )
    };
    assert!(
        message.contains(&format!("namespace {outside} has not opted in"))
            && message.contains(&command(&outside)),
        "{message}"
    );

    // As the condition says it, word for word.
    let opt_in = |namespace: &str| {
        let mut kubectl = cluster.command("kubectl");
        kubectl.args(command(namespace).split_whitespace().skip(1));
        operator::said(kubectl).unwrap();
    };
    opt_in(&inside);
    create(&client, &inside, &object, &PostParams::default())
        .await
        .unwrap();
    until(trees(&client, &inside), "t", |tree| {
        ready(tree)["reason"] == "Starting"
    })
    .await;
    super::kit::eventually("a Pod inside", async || {
        (pods(&client, &inside).await == 1).then_some(())
    })
    .await;
    assert_eq!(pods(&client, &outside).await, 0);

    // The operator asks again by itself.
    opt_in(&outside);
    super::kit::eventually("a Pod outside", async || {
        (pods(&client, &outside).await == 1).then_some(())
    })
    .await;
    // A tree without Pods is let go without any right but the one over its finalizer.
    let never = cluster.namespace("never").await.unwrap();
    create(&client, &never, &object, &PostParams::default())
        .await
        .unwrap();
    until(trees(&client, &never), "t", |tree| {
        ready(tree)["reason"] == "CreateRefused"
    })
    .await;
    let of_never = trees(&client, &never);
    of_never
        .delete("t", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    super::kit::eventually("the tree is gone", async || {
        of_never.get_opt("t").await.unwrap().is_none().then_some(())
    })
    .await;
}
