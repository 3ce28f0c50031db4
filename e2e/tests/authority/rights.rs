//! What the operator may do, as the API server itself lists it, in every way of installing it.
//!
//! Rule: the files in `rights/` are the whole answer of `kubectl auth can-i --list`, but for what any `ServiceAccount`
//! may do; a change of them is a change of what a stolen token is worth. `UPDATE=1` writes them.

use std::collections::BTreeSet;

use e2e::cluster::Cluster;
use e2e::operator;

use super::kit::{OPERATOR, bind, client_as, installed, matches_file, until_may};

/// What the operator may do in these namespaces beyond what any `ServiceAccount` may, for people to read.
fn rights(cluster: &Cluster, namespaces: &[&str]) -> String {
    let mut pages = Vec::new();
    for namespace in namespaces {
        let anybody = may_do(
            cluster,
            "system:serviceaccount:coppice-system:anybody",
            namespace,
        );
        let operator = may_do(cluster, OPERATOR, namespace);
        let more: Vec<&str> = operator.difference(&anybody).map(String::as_str).collect();
        pages.push(format!("# Namespace {namespace}\n{}\n", more.join("\n")));
    }
    pages.join("\n")
}

/// The answer of `kubectl auth can-i --list`, line by line: resource, non-resource URL, names, verbs.
fn may_do(cluster: &Cluster, account: &str, namespace: &str) -> BTreeSet<String> {
    let mut kubectl = cluster.command("kubectl");
    let account = format!("--as={account}");
    kubectl.args([
        "auth",
        "can-i",
        "--list",
        "--no-headers",
        &account,
        "-n",
        namespace,
    ]);
    // The groups of every ServiceAccount of that namespace, which kubectl does not add by itself.
    for group in [
        "system:serviceaccounts",
        "system:serviceaccounts:coppice-system",
        "system:authenticated",
    ] {
        kubectl.arg(format!("--as-group={group}"));
    }
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    operator::said(kubectl)
        .unwrap()
        .lines()
        .map(words)
        .collect()
}

fn make_namespace(cluster: &Cluster, name: &str) {
    let mut kubectl = cluster.command("kubectl");
    kubectl.args(["create", "namespace", name]);
    operator::said(kubectl).unwrap();
}

async fn until_operator_may(cluster: &Cluster, namespace: &str, wanted: [&str; 4]) {
    until_may(&client_as(cluster, OPERATOR, &[]).await, namespace, wanted).await;
}

const CREATE_PODS: [&str; 4] = ["", "pods", "create", ""];
const WATCH_NODES: [&str; 4] = ["", "nodes", "watch", ""];

#[tokio::test]
async fn in_the_whole_cluster() {
    let cluster = installed(&[]).await;
    until_operator_may(&cluster, "default", CREATE_PODS).await;
    until_operator_may(&cluster, "default", WATCH_NODES).await;
    until_operator_may(&cluster, operator::NAMESPACE, CREATE_PODS).await;
    let found = rights(&cluster, &["default", operator::NAMESPACE]);
    matches_file("rights/whole-cluster.txt", &found);
}

#[tokio::test]
async fn in_a_list_of_namespaces() {
    // The namespaces must be there first.
    let cluster = Cluster::start(e2e::cluster::Profile::ApiServer)
        .await
        .unwrap();
    make_namespace(&cluster, "listed");
    super::kit::install(&cluster, &["watchNamespaces={listed}"]).await;
    until_operator_may(&cluster, "listed", CREATE_PODS).await;
    until_operator_may(&cluster, "listed", WATCH_NODES).await;
    let found = rights(&cluster, &["listed", "default", operator::NAMESPACE]);
    matches_file("rights/watch-namespaces.txt", &found);
}

#[tokio::test]
async fn where_namespaces_opt_in() {
    let cluster = installed(&["authority.optIn=true"]).await;
    make_namespace(&cluster, "opted-in");
    bind(
        &cluster,
        "opted-in",
        OPERATOR,
        "ClusterRole",
        "coppice-workloads",
    )
    .await;
    until_operator_may(&cluster, "opted-in", CREATE_PODS).await;
    until_operator_may(&cluster, "opted-in", WATCH_NODES).await;
    let found = rights(&cluster, &["opted-in", "default", operator::NAMESPACE]);
    matches_file("rights/opt-in.txt", &found);
}
