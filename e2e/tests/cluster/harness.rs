//! The `full` profile itself: Pods really run, find each other and the API server, and can be looked into.

use std::process::Output;
use std::time::Duration;

use e2e::cluster::Cluster;
use e2e::current;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use kube::runtime::wait::await_condition;
use serde_json::json;

use super::shared;
use super::support::Space;
use super::volumes::is_ready;

const WITHIN: Duration = Duration::from_mins(1);

async fn run_pod(cluster: &Cluster, namespace: &str, name: &str, spec: serde_json::Value) -> Pod {
    let pods: Api<Pod> = Api::namespaced(cluster.client(), namespace);
    let pod = json!({"metadata": {"name": name, "labels": {"app": name}}, "spec": spec});
    let pod = serde_json::from_value(pod).expect("a Pod");
    pods.create(&PostParams::default(), &pod)
        .await
        .expect("created");
    let ready = await_condition(pods.clone(), name, is_ready);
    let seen = tokio::time::timeout(WITHIN, ready)
        .await
        .expect("ready in time");
    seen.expect("watched").expect("there")
}

fn kubectl(cluster: &Cluster, namespace: &str, arguments: &[&str]) -> Output {
    let mut command = cluster.command("kubectl");
    let output = command
        .args(["--namespace", namespace])
        .args(arguments)
        .output();
    output.expect("kubectl runs")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_runs_and_can_be_looked_into() {
    let cluster = shared().await;
    let space = Space::new(cluster, "harness").await;
    let namespace = &space.name;
    let script = "echo spoken; touch /run/workload/here; while true; do sleep 1; done";
    let container = json!({"name": "c", "image": current::workload_image(), "command": ["/bin/sh", "-c", script]});
    run_pod(
        cluster,
        namespace,
        "one",
        json!({"containers": [container], "terminationGracePeriodSeconds": 1}),
    )
    .await;
    let logs = kubectl(cluster, namespace, &["logs", "one"]);
    assert_eq!(String::from_utf8_lossy(&logs.stdout), "spoken\n");
    let inside = kubectl(
        cluster,
        namespace,
        &[
            "exec",
            "one",
            "--",
            "/bin/sh",
            "-c",
            "ls /run/workload/here",
        ],
    );
    assert_eq!(
        String::from_utf8_lossy(&inside.stdout),
        "/run/workload/here\n"
    );
}
