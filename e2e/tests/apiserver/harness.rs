//! The `apiserver` profile itself: quick, several at once, secured like a real cluster, nothing left behind.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use e2e::cluster::{Cluster, Profile};
use e2e::pid::Pid;
use e2e::process::{Process, Program};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod, ResourceQuota, Secret};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::config::Kubeconfig;
use kube::{Api, Client};
use serde_json::json;

use super::shared;

async fn start() -> Cluster {
    Cluster::start(Profile::ApiServer)
        .await
        .expect("an API server")
}

fn object<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).expect("a well-formed object")
}

/// The HTTP status of a refusal by the API server; 0 when it did not refuse.
fn code<T>(outcome: Result<T, kube::Error>) -> u16 {
    match outcome {
        Err(kube::Error::Api(status)) => status.code,
        _ => 0,
    }
}

async fn whoami(client: Client) -> (String, Vec<String>) {
    let reviews: Api<SelfSubjectReview> = Api::all(client);
    let review = reviews
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await
        .expect("a review");
    let user = review
        .status
        .and_then(|status| status.user_info)
        .expect("a user");
    (
        user.username.unwrap_or_default(),
        user.groups.unwrap_or_default(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn several_run_side_by_side_each_ready_within_seconds() {
    // Whatever has to be built is built first, because the time is measured.
    start().await.stop().expect("ended");
    let begun = Instant::now();
    let alone = start().await;
    let took = begun.elapsed();
    // 3 s on an idle machine; the tests beside this one start servers too.
    assert!(took < Duration::from_secs(15), "ready after {took:?}");

    let (one, two) = tokio::join!(start(), start());
    let servers = [&alone, &one, &two]
        .map(|cluster| cluster.control_plane().expect("ours").server().to_owned());
    assert!(
        servers[0] != servers[1] && servers[1] != servers[2] && servers[0] != servers[2],
        "{servers:?}"
    );
    let name = alone.namespace("only-here").await.expect("a namespace");
    let elsewhere: Api<Namespace> = Api::all(one.client());
    assert!(
        elsewhere.get_opt(&name).await.expect("an answer").is_none(),
        "the servers share nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_who_their_certificate_or_token_says() {
    let cluster = shared().await;
    let text = std::fs::read_to_string(cluster.kubeconfig()).expect("a kubeconfig");
    assert!(
        text.contains("certificate-authority-data") && !text.contains("insecure"),
        "{text}"
    );

    let ann = cluster
        .kubeconfig_for("ann", &["readers", "writers"])
        .expect("a certificate");
    let ann = cluster.client_from(&ann).await.expect("a client");
    let (name, groups) = whoami(ann.clone()).await;
    assert_eq!(name, "ann");
    assert!(
        groups.iter().any(|group| group == "readers")
            && groups.iter().any(|group| group == "writers"),
        "{groups:?}"
    );
    assert_eq!(
        code(Api::<Secret>::all(ann).list(&ListParams::default()).await),
        403,
        "nobody has rights by default"
    );

    let namespace = cluster.namespace("token").await.expect("a namespace");
    let lifetime = Duration::from_mins(10);
    let account = cluster
        .kubeconfig_for_service_account(&namespace, "default", lifetime)
        .await
        .expect("a token");
    let account = cluster.client_from(&account).await.expect("a client");
    assert_eq!(
        whoami(account.clone()).await.0,
        format!("system:serviceaccount:{namespace}:default")
    );
    assert_eq!(
        code(
            Api::<Pod>::namespaced(account, &namespace)
                .list(&ListParams::default())
                .await
        ),
        403
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_may_only_change_itself() {
    let cluster = shared().await;
    let nodes: Api<Node> = Api::all(cluster.client());
    for name in ["node-a", "node-b"] {
        let node = object(json!({"metadata": {"name": name}}));
        nodes
            .create(&PostParams::default(), &node)
            .await
            .expect("a node");
    }
    let kubelet = cluster
        .kubeconfig_for("system:node:node-a", &["system:nodes"])
        .expect("a certificate");
    let kubelet: Client = cluster.client_from(&kubelet).await.expect("a client");
    let label = Patch::Merge(json!({"metadata": {"labels": {"seen": "yes"}}}));
    let nodes: Api<Node> = Api::all(kubelet.clone());
    nodes
        .patch("node-a", &PatchParams::default(), &label)
        .await
        .expect("its own node");
    assert_eq!(
        code(nodes.patch("node-b", &PatchParams::default(), &label).await),
        403,
        "NodeRestriction"
    );
    let secrets: Api<Secret> = Api::namespaced(kubelet, "kube-system");
    assert_eq!(
        code(secrets.get("of-no-pod-of-this-node").await),
        403,
        "the Node authorizer"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pod_security_and_quotas_are_enforced() {
    let cluster = shared().await;
    let name = cluster.namespace("admission").await.expect("a namespace");
    let pod = |name: &str, privileged: bool| -> Pod {
        let container =
            json!({"name": "c", "image": "i", "securityContext": {"privileged": privileged}});
        object(json!({"metadata": {"name": name}, "spec": {"containers": [container]}}))
    };
    let pods: Api<Pod> = Api::namespaced(cluster.client(), &name);
    let quota: ResourceQuota =
        object(json!({"metadata": {"name": "q"}, "spec": {"hard": {"count/configmaps": "0"}}}));
    let quotas: Api<ResourceQuota> = Api::namespaced(cluster.client(), &name);
    quotas
        .create(&PostParams::default(), &quota)
        .await
        .expect("a quota");
    // Without a quota controller the status, which is what counts, is set by hand.
    let used =
        json!({"status": {"hard": {"count/configmaps": "0"}, "used": {"count/configmaps": "0"}}});
    quotas
        .patch_status("q", &PatchParams::default(), &Patch::Merge(used))
        .await
        .expect("a status");
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client(), &name);
    let map: ConfigMap = object(json!({"metadata": {"name": "m"}}));
    assert_eq!(
        code(maps.create(&PostParams::default(), &map).await),
        403,
        "over quota"
    );

    pods.create(&PostParams::default(), &pod("before", true))
        .await
        .expect("no standard is enforced yet");
    let labels = BTreeMap::from([("pod-security.kubernetes.io/enforce", "baseline")]);
    let namespaces: Api<Namespace> = Api::all(cluster.client());
    let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
    namespaces
        .patch(&name, &PatchParams::default(), &patch)
        .await
        .expect("a label");
    // The API server reads its namespaces by a watch, so it may know of the label a moment later.
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let begun = Instant::now();
    let privileged = pod("privileged", true);
    while code(pods.create(&dry, &privileged).await) != 403 {
        assert!(begun.elapsed() < Duration::from_secs(10), "PodSecurity");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    pods.create(&PostParams::default(), &pod("plain", false))
        .await
        .expect("a Pod that keeps the standard");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_is_the_built_one_and_the_audit_log_knows_who_did_what() {
    let cluster = shared().await;
    let version = cluster
        .client()
        .apiserver_version()
        .await
        .expect("a version");
    assert_eq!(
        version.git_version,
        cluster.run().binaries().version("kubernetes")
    );

    let name = cluster.namespace("audited").await.expect("a namespace");
    let output = cluster
        .command("kubectl")
        .args(["delete", "namespace", &name, "--wait=false"])
        .output();
    assert!(output.expect("kubectl runs").status.success());
    let log = std::fs::read_to_string(cluster.audit_log().expect("ours")).expect("an audit log");
    let events: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let of_name = |event: &&serde_json::Value| event["objectRef"]["name"] == name.as_str();
    let deleted = events
        .iter()
        .filter(of_name)
        .find(|event| event["verb"] == "delete")
        .expect("the deletion");
    assert_eq!(deleted["user"]["username"], "admin");
    assert_eq!(deleted["stage"], "ResponseComplete");
    assert!(
        deleted["userAgent"]
            .as_str()
            .is_some_and(|agent| agent.starts_with("kubectl/v1.")),
        "{deleted}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_when_the_cluster_is_dropped() {
    let cluster = start().await;
    let dir = cluster.run().dir().to_owned();
    let processes: Vec<Pid> = cluster
        .control_plane()
        .expect("ours")
        .processes()
        .iter()
        .map(Process::pid)
        .collect();
    assert!(processes.len() == 2 && processes.iter().all(|pid| pid.is_alive()));
    let reaper = cluster.reaper().expect("a reaper");
    drop(cluster);
    assert!(processes.iter().all(|pid| !pid.is_alive()));
    assert!(Pid::of(reaper).is_none());
    assert_gone(&dir);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_current_cluster_is_the_one_of_the_kubeconfig() {
    let cluster = start().await;
    let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig()).expect("a kubeconfig");
    let borrowed = Cluster::of_kubeconfig(kubeconfig)
        .await
        .expect("the same cluster");
    let name = borrowed.namespace("borrowed").await.expect("a namespace");
    let namespaces: Api<Namespace> = Api::all(cluster.client());
    assert!(
        namespaces
            .get_opt(&name)
            .await
            .expect("an answer")
            .is_some(),
        "{name}"
    );

    let account = borrowed
        .kubeconfig_for_service_account(&name, "default", Duration::from_mins(10))
        .await;
    let account = borrowed
        .client_from(&account.expect("a token"))
        .await
        .expect("a client");
    assert_eq!(
        whoami(account).await.0,
        format!("system:serviceaccount:{name}:default")
    );
    assert!(borrowed.audit_log().is_none() && borrowed.kubeconfig_for("ann", &[]).is_err());

    let dir = borrowed.run().dir().to_owned();
    let program = Program::new("sleep", "sleep", borrowed.run().log("sleep")).arg("600");
    let process = borrowed.run().spawn(program).expect("a local process");
    drop(borrowed);
    assert!(!process.pid().is_alive());
    assert_gone(&dir);
    assert!(
        namespaces
            .get_opt(&name)
            .await
            .expect("an answer")
            .is_some(),
        "the cluster itself goes on"
    );
}

fn assert_gone(dir: &Path) {
    assert!(!dir.exists(), "{} is still there", dir.display());
    for extension in ["ledger", "lock"] {
        assert!(
            !dir.with_extension(extension).exists(),
            "the {extension} of {} is still there",
            dir.display()
        );
    }
}
