//! Service accounts: a template may name another than `default` only if its author may `use` that one.
//!
//! Rule: whoever changes the spec of a tree answers for all of it, also for what others wrote into it before.

use e2e::cluster::Cluster;
use kube::Client;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::kit::{
    PODS, Right, TREES, change, client_as, create, denied, dry, grant, shared, tree, trees, worker,
};

const POLICY: &str = "coppice-trees";
const USE_ROBOT: Right = Right("", "serviceaccounts", "use", "robot");
const USE_ALL: Right = Right("", "serviceaccounts", "use", "");

async fn namespace() -> (&'static Cluster, String) {
    let cluster = shared().await;
    let namespace = cluster.namespace("accounts").await.unwrap();
    (cluster, namespace)
}

async fn person(cluster: &Cluster, namespace: &str, name: &str, rights: &[Right]) -> Client {
    let rights: Vec<Right> = [TREES, PODS].iter().chain(rights).copied().collect();
    grant(cluster, namespace, name, &rights).await;
    client_as(cluster, name, &[]).await
}

fn complaint(user: &str, place: &str, account: &str, namespace: &str) -> String {
    format!(
        "spec.children[{place}: user '{user}' may not use the ServiceAccount '{account}' of namespace '{namespace}'. \
         Name one that you may use, leave the field out, or get the verb 'use' on serviceaccounts '{account}' \
         by a RoleBinding in this namespace"
    )
}

#[tokio::test]
async fn each_account_but_the_default_one_must_be_ones_to_use() {
    let (cluster, namespace) = namespace().await;
    let plain = person(cluster, &namespace, "plain", &[]).await;
    let trusted = person(cluster, &namespace, "trusted", &[USE_ROBOT]).await;
    let trees: [(Value, Option<(&str, &str)>); 8] = [
        (json!({}), None),
        (json!({"serviceAccountName": "default"}), None),
        (json!({"serviceAccount": "default"}), None),
        (json!({"serviceAccountName": ""}), None),
        (
            json!({"serviceAccountName": "robot"}),
            Some(("serviceAccountName", "robot")),
        ),
        (
            json!({"serviceAccount": "robot"}),
            Some(("serviceAccount", "robot")),
        ),
        // The deprecated field counts only where the other one says nothing.
        (
            json!({"serviceAccountName": "default", "serviceAccount": "robot"}),
            None,
        ),
        (
            json!({"serviceAccountName": "", "serviceAccount": "robot"}),
            Some(("serviceAccount", "robot")),
        ),
    ];
    for (pod, refused) in trees {
        let object = tree("t", [worker("first", &json!({})), worker("second", &pod)]);
        let outcome = create(&plain, &namespace, &object, &dry()).await;
        match refused {
            None => drop(outcome.unwrap()),
            Some((field, account)) => assert_eq!(
                denied(outcome, POLICY),
                complaint(
                    "plain",
                    &format!("second].worker.template.spec.{field}"),
                    account,
                    &namespace
                )
            ),
        }
        create(&trusted, &namespace, &object, &dry()).await.unwrap();
    }
    let two = [
        worker("one", &json!({"serviceAccountName": "robot"})),
        worker("two", &json!({"serviceAccountName": "king"})),
    ];
    let outcome = create(&trusted, &namespace, &tree("t", two), &dry()).await;
    let place = "two].worker.template.spec.serviceAccountName";
    assert_eq!(
        denied(outcome, POLICY),
        complaint("trusted", place, "king", &namespace)
    );
}

#[tokio::test]
async fn an_account_that_others_chose_can_be_removed_but_not_worked_with() {
    let (cluster, namespace) = namespace().await;
    let admin = cluster.client();
    let with_robot = tree("t", [worker("w", &json!({"serviceAccountName": "robot"}))]);
    create(&admin, &namespace, &with_robot, &PostParams::default())
        .await
        .unwrap();
    let plain = person(cluster, &namespace, "plain", &[]).await;
    let trusted = person(cluster, &namespace, "trusted", &[USE_ROBOT]).await;
    let [plains, trusteds] = [&plain, &trusted].map(|who| trees(who, &namespace));

    let mut other_image = worker("w", &json!({"serviceAccountName": "robot"}));
    other_image["worker"]["template"]["spec"]["containers"][0]["image"] = json!("mine:1");
    let mut more = worker("w", &json!({"serviceAccountName": "robot"}));
    more["worker"]["replicas"] = json!(5);
    let beside = worker("beside", &json!({}));
    for children in [
        json!([other_image]),
        json!([more]),
        json!([beside, worker("w", &json!({"serviceAccountName": "robot"}))]),
    ] {
        let patch = json!({"spec": {"children": children}});
        let outcome = change(&plains, "t", patch.clone()).await;
        let place = "w].worker.template.spec.serviceAccountName";
        assert_eq!(
            denied(outcome, POLICY),
            complaint("plain", place, "robot", &namespace)
        );
        change(&trusteds, "t", patch).await.unwrap();
    }
    change(
        &plains,
        "t",
        json!({"metadata": {"labels": {"seen": "yes"}}}),
    )
    .await
    .unwrap();
    let without = json!({"spec": {"children": [worker("w", &json!({}))]}});
    change(&plains, "t", without).await.unwrap();
}

/// A name as long as the API server lets it be.
fn long(number: usize) -> String {
    format!("a{number:03}{}", "x".repeat(249))
}

/// As many children as a tree can have, the names of whose accounts are as many and as long as given.
fn many(accounts: usize) -> Value {
    let children = (0..256).map(|number| {
        let account = json!({"serviceAccountName": long(number % accounts)});
        worker(&format!("{number:03}{}", "n".repeat(40)), &account)
    });
    tree("t", children)
}

#[tokio::test]
async fn sixteen_accounts_are_asked_about_one_by_one_in_the_largest_tree() {
    let (cluster, namespace) = namespace().await;
    let names = (0..17).map(long).collect::<Vec<_>>().join(" ");
    let by_name = Right("", "serviceaccounts", "use", names.leak());
    let clerk = person(cluster, &namespace, "clerk", &[by_name]).await;
    create(&clerk, &namespace, &many(16), &dry()).await.unwrap();

    let outcome = create(&clerk, &namespace, &many(17), &dry()).await;
    assert_eq!(
        denied(outcome, POLICY),
        format!(
            "spec.children: the templates name 17 ServiceAccounts other than 'default', and at most 16 can be checked \
             one by one. Name fewer, make several trees of it, or get the verb 'use' on all serviceaccounts of \
             namespace '{namespace}' by a RoleBinding in it"
        )
    );
    // The sixteenth is asked about like the first.
    let names = (0..15).map(long).collect::<Vec<_>>().join(" ");
    let by_name = Right("", "serviceaccounts", "use", names.leak());
    let junior = person(cluster, &namespace, "junior", &[by_name]).await;
    let refused = denied(create(&junior, &namespace, &many(16), &dry()).await, POLICY);
    let place = format!(
        "015{}].worker.template.spec.serviceAccountName",
        "n".repeat(40)
    );
    assert_eq!(refused, complaint("junior", &place, &long(15), &namespace));
}

#[tokio::test]
async fn whoever_may_use_all_accounts_may_name_as_many_as_there_are_children() {
    let (cluster, namespace) = namespace().await;
    let chief = person(cluster, &namespace, "chief", &[USE_ALL]).await;
    let object = many(256);
    create(&chief, &namespace, &object, &PostParams::default())
        .await
        .unwrap();
    // Comparing the largest specs costs little enough, too.
    let mut children = object["spec"]["children"].clone();
    children[255]["worker"]["replicas"] = json!(2);
    let patch = json!({"spec": {"children": children}});
    change(&trees(&chief, &namespace), "t", patch)
        .await
        .unwrap();
}
