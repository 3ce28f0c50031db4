//! Real nodes and the workload image: what tests of the operator take for granted when they make things fail.
//!
//! Rule: the tests share one cluster; containers end on `node-a`, and only one test takes `node-b` away.
#![cfg(feature = "cluster")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::time::{Duration, Instant};

use e2e::cluster::{Cluster, Full, Profile};
use e2e::images::WORKLOAD;
use e2e::node::NodeOptions;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Node, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

const PATIENCE: Duration = Duration::from_mins(1);

/// The cluster of these tests; the reaper ends it when the last of them is done.
async fn cluster() -> &'static Cluster {
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    let nodes = vec![NodeOptions::named("node-a"), NodeOptions::named("node-b")];
    let full = Full {
        nodes,
        quick_node_loss: true,
        ..Full::default()
    };
    CLUSTER
        .get_or_init(async || Cluster::start(Profile::Full(full.clone())).await.unwrap())
        .await
}

/// A namespace of one test, and what it does there.
struct Bench {
    cluster: &'static Cluster,
    namespace: String,
    pods: Api<Pod>,
}

impl Bench {
    async fn new(prefix: &str) -> Self {
        let cluster = cluster().await;
        let namespace = cluster.namespace(prefix).await.unwrap();
        let pods = Api::namespaced(cluster.client(), &namespace);
        Self {
            cluster,
            namespace,
            pods,
        }
    }

    /// Starts a Pod of the workload image on `node` that performs `steps`; `spec` is merged into its spec.
    async fn start(&self, name: &str, node: &str, steps: &[&str], spec: Value) -> Pod {
        let args: Vec<&str> = ["run"].iter().chain(steps).copied().collect();
        let mut pod = json!({
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {
                "nodeName": node,
                "tolerations": [{"operator": "Exists"}],
                "containers": [{
                    "name": "app", "image": WORKLOAD, "args": args,
                    "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1},
                    "resources": {"limits": {"memory": "32Mi"}},
                }],
            },
        });
        for (key, value) in spec.as_object().unwrap() {
            pod["spec"][key] = value.clone();
        }
        self.pods
            .create(
                &PostParams::default(),
                &serde_json::from_value(pod).unwrap(),
            )
            .await
            .unwrap()
    }

    /// Waits until the Pod is as `wanted` says, and gives back what `wanted` does.
    async fn until<T>(&self, name: &str, what: &str, wanted: impl Fn(&Pod) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            let pod = self.pods.get(name).await.unwrap();
            if let Some(found) = wanted(&pod) {
                return found;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "wait until {name} {what}: {:?}",
                pod.status
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn until_ready(&self, name: &str, ready: bool) -> Pod {
        let is = |pod: &Pod| {
            container(pod)
                .filter(|status| status.ready == ready)
                .map(|_| pod.clone())
        };
        self.until(name, if ready { "is ready" } else { "is not ready" }, is)
            .await
    }

    async fn until_ended(&self, name: &str) -> ContainerStateTerminated {
        self.until(name, "ends", |pod| container(pod)?.state?.terminated)
            .await
    }

    /// Runs a command in the Pod's container.
    fn exec(&self, name: &str, command: &[&str]) -> String {
        let mut kubectl = self.cluster.command("kubectl");
        let output = kubectl
            .args(["--namespace", &self.namespace, "exec", name, "--"])
            .args(command)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }
}

fn container(pod: &Pod) -> Option<ContainerStatus> {
    pod.status
        .as_ref()?
        .container_statuses
        .as_ref()?
        .first()
        .cloned()
}

#[tokio::test]
async fn a_container_ends_as_it_is_told() {
    let bench = Bench::new("ends").await;
    let never = json!({"restartPolicy": "Never"});
    bench
        .start("code", "node-a", &["exit 3 enough"], never.clone())
        .await;
    bench
        .start(
            "memory",
            "node-a",
            &["ready", "wait 1", "allocate"],
            never.clone(),
        )
        .await;
    bench.start("asked", "node-a", &[], never.clone()).await;
    bench
        .start("unknown", "node-a", &["dance"], never.clone())
        .await;
    let killed = bench.start("killed", "node-a", &["hang"], never).await;

    let code = bench.until_ended("code").await;
    assert_eq!(
        (code.exit_code, code.message.as_deref()),
        (3, Some("enough\n"))
    );
    let memory = bench.until_ended("memory").await;
    assert_eq!(
        (memory.exit_code, memory.reason.as_deref()),
        (137, Some("OOMKilled"))
    );
    assert_eq!(bench.until_ended("unknown").await.exit_code, 64);
    bench.until_ready("asked", true).await;
    bench.exec("asked", &["workload", "exit", "9"]);
    assert_eq!(bench.until_ended("asked").await.exit_code, 9);
    bench
        .until("killed", "runs", |pod| container(pod)?.state?.running)
        .await;
    let node = bench.cluster.node("node-a").unwrap();
    let uid = killed.uid().unwrap();
    node.kill_container(&uid, "app", Signal::KILL).unwrap();
    let killed = bench.until_ended("killed").await;
    assert_eq!(
        (killed.exit_code, killed.reason.as_deref()),
        (137, Some("Error"))
    );
    let again = node.kill_container(&uid, "app", Signal::KILL).unwrap_err();
    assert!(
        again.to_string().contains("not running on this node"),
        "{again}"
    );
}

#[tokio::test]
async fn readiness_follows_commands() {
    let bench = Bench::new("ready").await;
    bench.start("app", "node-a", &["wait 1"], json!({})).await;
    bench.until_ready("app", false).await;
    bench.until_ready("app", true).await;
    bench.exec("app", &["workload", "unready"]);
    bench.until_ready("app", false).await;
    bench.exec("app", &["workload", "ready"]);
    bench.until_ready("app", true).await;
    bench.exec("app", &["workload", "hang"]);
    let pod = bench.until_ready("app", false).await;
    assert!(container(&pod).unwrap().state.unwrap().running.is_some());
}

#[tokio::test]
async fn term_ends_a_container_at_once_later_or_not_at_all() {
    let bench = Bench::new("term").await;
    let cases = [
        ("polite", &[][..], 0),
        ("slow", &["on-term 1 7"], 7),
        ("deaf", &["ignore-term"], 137),
    ];
    for (name, steps, _) in cases {
        bench
            .start(
                name,
                "node-a",
                steps,
                json!({"terminationGracePeriodSeconds": 5}),
            )
            .await;
    }
    for (name, _, code) in cases {
        bench.until_ready(name, true).await;
        // Held by a finalizer, the Pod stays to tell how it ended.
        let with =
            |finalizers: Value| Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
        let finalizer = with(json!(["coppice.dev/test"]));
        bench
            .pods
            .patch(name, &PatchParams::default(), &finalizer)
            .await
            .unwrap();
        bench
            .pods
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
        assert_eq!(bench.until_ended(name).await.exit_code, code, "{name}");
        bench
            .pods
            .patch(name, &PatchParams::default(), &with(json!([])))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_container_killed_from_the_node_is_started_again() {
    let bench = Bench::new("killed").await;
    let pod = bench.start("app", "node-a", &[], json!({})).await;
    bench.until_ready("app", true).await;
    bench
        .cluster
        .node("node-a")
        .unwrap()
        .kill_container(&pod.uid().unwrap(), "app", Signal::KILL)
        .unwrap();
    let status = bench.until("app", "is ready again", |pod| {
        container(pod).filter(|c| c.ready && c.restart_count == 1)
    });
    assert_eq!(
        status
            .await
            .last_state
            .unwrap()
            .terminated
            .unwrap()
            .exit_code,
        137
    );
}

#[tokio::test]
async fn a_node_without_power_or_network_is_missed_and_comes_back() {
    let bench = Bench::new("node").await;
    let node = bench.cluster.node("node-b").unwrap();
    let pod = bench.start("app", "node-b", &[], json!({})).await;
    bench.start("near", "node-a", &[], json!({})).await;
    let address = bench
        .until_ready("app", true)
        .await
        .status
        .unwrap()
        .pod_ip
        .unwrap();
    bench.until_ready("near", true).await;
    let url = format!("http://{address}:8080/name");
    assert_eq!(
        bench.exec("near", &["wget", "-qO-", &url]),
        "app\n",
        "Pod to Pod, across nodes"
    );
    bench.exec(
        "near",
        &["sh", "-c", "echo | nc -w 5 $KUBERNETES_SERVICE_HOST 443"],
    );

    node.partition().await.unwrap();
    until_node("node-b", "Unknown").await;
    let process = node.container_process(&pod.uid().unwrap(), "app").unwrap();
    assert!(process.is_alive(), "containers go on");
    node.heal().await.unwrap();
    until_node("node-b", "True").await;
    bench.until_ready("app", true).await;
    assert!(process.is_alive());
    assert_eq!(bench.exec("near", &["wget", "-qO-", &url]), "app\n");

    node.power_cut().await.unwrap();
    assert!(!node.is_up() && !process.is_alive());
    assert!(node.cgroup().groups().iter().all(|group| !group.exists()));
    assert!(node.exec(&["true"]).await.is_err());
    until_node("node-b", "Unknown").await;
    node.boot().await.unwrap();
    node.ready(&bench.cluster.client()).await.unwrap();
    let status = bench.until("app", "is ready again", |pod| {
        container(pod).filter(|c| c.ready && c.restart_count == 1)
    });
    assert!(status.await.last_state.unwrap().terminated.is_some());
    assert_eq!(
        bench.exec("app", &["hostname"]),
        "app\n",
        "the kubelet is reached again"
    );
}

async fn until_node(name: &str, ready: &str) {
    let nodes: Api<Node> = Api::all(cluster().await.client());
    let begun = Instant::now();
    loop {
        let conditions = nodes
            .get(name)
            .await
            .unwrap()
            .status
            .unwrap()
            .conditions
            .unwrap();
        if conditions
            .iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == ready)
        {
            return;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "wait until {name} has Ready={ready}: {conditions:?}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
