//! What a cluster does to this machine: nothing that is still there when it has ended, however it ended.
//!
//! Rule: the machine is compared as a whole, not by what the harness believes it has made; and one test runs at a time,
//! because they look at the same machine.

mod snapshot;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use e2e::cluster::{Cluster, Full, Profile};
use e2e::node::NodeOptions;
use e2e::pid::Pid;
use e2e::{cache, kwok, lock, session};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::{ListParams, PostParams};
use kube::runtime::wait::{await_condition, conditions};
use rustix::process::Signal;
use serde_json::json;
use snapshot::Snapshot;
use tokio::sync::{Mutex, MutexGuard};

/// One test at a time; and what dead owners left is not taken for the state of the machine.
async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    let guard = ALONE.lock().await;
    session::clean_left(&cache::folder().expect("a cache"), false).expect("cleaned");
    lock::clean_if_left(session::FULL_LOCK.as_ref(), true).expect("cleaned");
    guard
}

fn full() -> Full {
    Full {
        kwok_nodes: 2,
        ..nodes(&["node-a", "node-b"])
    }
}

fn nodes(names: &[&str]) -> Full {
    Full {
        nodes: names.iter().map(|name| NodeOptions::named(name)).collect(),
        ..Full::default()
    }
}

/// A cluster that another process owns, so that this one can be killed.
struct Foreign {
    child: Child,
    kubeconfig: PathBuf,
}

impl Foreign {
    /// Starts `lab cluster --foreground` with a node and waits until the cluster is ready.
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
        command.args([
            "cluster",
            "--foreground",
            "--nodes",
            "1",
            "--kwok-nodes",
            "1",
        ]);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("lab starts");
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        output.read_line(&mut line).expect("a line");
        let kubeconfig = line
            .trim()
            .strip_prefix("export KUBECONFIG=")
            .expect("a kubeconfig");
        Self {
            kubeconfig: PathBuf::from(kubeconfig),
            child,
        }
    }

    fn end(&mut self, signal: Signal) {
        let pid = Pid::of(self.child.id()).expect("it is running");
        assert!(pid.signal(signal));
        self.child.wait().expect("it ends");
    }

    /// The process that would clean up after the owner.
    fn reaper(&self) -> Pid {
        let owner = Pid::of(self.child.id()).expect("it is running");
        let is_reaper = |pid: &Pid| {
            let arguments =
                std::fs::read(format!("/proc/{}/cmdline", pid.number)).unwrap_or_default();
            arguments
                .split(|byte| *byte == 0)
                .any(|argument| argument == b"reap")
        };
        owner
            .children()
            .into_iter()
            .find(is_reaper)
            .expect("a reaper")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_cluster_is_ready_quickly_and_leaves_nothing() {
    let _alone = alone().await;
    // Whatever has to be built is built first, because the time is measured.
    Cluster::start(Profile::Full(Full::default()))
        .await
        .expect("a cluster")
        .stop()
        .expect("ended");
    let before = Snapshot::take();
    let begun = Instant::now();
    let cluster = Cluster::start(Profile::Full(full()))
        .await
        .expect("a cluster");
    let took = begun.elapsed();
    println!(
        "two real and two simulated nodes were ready after {:.1} s",
        took.as_secs_f64()
    );
    assert!(took < Duration::from_secs(30), "ready after {took:?}");
    let during = Snapshot::take();
    assert!(
        during.differences(&before).len() > 10,
        "the snapshot sees a cluster"
    );

    a_pod_runs_on_a_simulated_node(&cluster).await;
    let kubeconfig = cluster.kubeconfig().to_owned();
    cluster.stop().expect("ended");
    before.wait_until_same();
    assert!(!kubeconfig.exists());
}

async fn a_pod_runs_on_a_simulated_node(cluster: &Cluster) {
    let pod = json!({
        "metadata": {"name": "simulated"},
        "spec": {
            "containers": [{"name": "c", "image": "never-pulled"}],
            "nodeSelector": {kwok::LABEL: "kwok"},
            "tolerations": [{"key": kwok::TAINT, "operator": "Exists"}],
        },
    });
    let pods: Api<Pod> = Api::namespaced(cluster.client(), "default");
    let pod = serde_json::from_value(pod).expect("a Pod");
    pods.create(&PostParams::default(), &pod)
        .await
        .expect("created");
    let running = await_condition(pods, "simulated", conditions::is_pod_running());
    let pod = tokio::time::timeout(Duration::from_secs(30), running).await;
    let pod = pod.expect("running in time").expect("watched");
    let node = pod.and_then(|pod| pod.spec?.node_name).expect("a node");
    assert!(node.starts_with("kwok-"), "{node}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_leaves_nothing() {
    let _alone = alone().await;
    let before = Snapshot::take();
    let failed_test = std::thread::spawn(|| {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let _cluster = Cluster::start(Profile::Full(nodes(&["node-a"])))
                .await
                .expect("a cluster");
            panic!("as a failed test does");
        });
    });
    assert!(failed_test.join().is_err());
    before.wait_until_same();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_owner_leaves_nothing() {
    let _alone = alone().await;
    let before = Snapshot::take();
    for signal in [Signal::INT, Signal::TERM] {
        let mut foreign = Foreign::start();
        foreign.end(signal);
        before.wait_until_same();
        assert!(!foreign.kubeconfig.exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_owner_leaves_nothing() {
    let _alone = alone().await;
    let before = Snapshot::take();
    let mut foreign = Foreign::start();
    foreign.end(Signal::KILL);
    before.wait_until_same();
    assert!(!foreign.kubeconfig.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_run_left_is_cleaned_at_the_next_start() {
    let _alone = alone().await;
    let before = Snapshot::take();
    let mut foreign = Foreign::start();
    assert!(
        foreign.reaper().kill(),
        "nobody cleans up after the owner now"
    );
    foreign.end(Signal::KILL);
    assert!(
        before.differences(&Snapshot::take()).len() > 10,
        "the cluster goes on without its owner"
    );
    assert!(foreign.kubeconfig.exists());

    let next = Cluster::start(Profile::Full(nodes(&["node-b"])))
        .await
        .expect("a cluster");
    let nodes: Api<Node> = Api::all(next.client());
    let names: Vec<_> = nodes
        .list(&ListParams::default())
        .await
        .expect("nodes")
        .items;
    assert_eq!(
        names.len(),
        1,
        "nothing of the old cluster is in the new one"
    );
    next.stop().expect("ended");
    before.wait_until_same();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_cluster_outlives_its_owner_until_the_next_start_or_down() {
    let _alone = alone().await;
    let before = Snapshot::take();
    let lab = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_lab"))
            .args(arguments)
            .output()
            .expect("lab runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    lab(&["cluster", "--nodes", "0"]);
    assert!(
        before.differences(&Snapshot::take()).len() > 3,
        "it runs without its owner"
    );
    lab(&["cluster", "--nodes", "0"]);
    lab(&["down"]);
    before.wait_until_same();
}
