//! What every test here holds in its hands: the cluster, kubectl, Helm, and ways to wait.
//!
//! Rule: waiting has a deadline, and when it passes the state of the world is told.

use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use e2e::cluster::{Cluster, Full, Profile};
use e2e::operator;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::support::diagnosis;

/// How long anything may take that needs only a few Pods, also on a machine that is busy.
pub const SOON: Duration = Duration::from_mins(3);
const POLL: Duration = Duration::from_millis(100);

/// A cluster that has the operator's image.
pub struct Kit {
    cluster: Cluster,
}

impl Kit {
    /// A cluster of one real node.
    pub async fn start() -> Self {
        let archive = tokio::task::spawn_blocking(operator::archive).await;
        let archive = archive.expect("built").expect("the operator's image");
        let full = Full {
            images: vec![archive],
            ..Full::one_node()
        };
        let cluster = Cluster::start(Profile::Full(full))
            .await
            .expect("a cluster");
        Self { cluster }
    }

    /// The cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Ends the cluster.
    pub fn stop(self) {
        self.cluster.stop().expect("the cluster ends");
    }

    /// Makes a namespace and gives back its name.
    pub async fn namespace(&self, prefix: &str) -> String {
        self.cluster.namespace(prefix).await.expect("a namespace")
    }

    /// Runs kubectl with these words and gives back what it printed.
    pub async fn kubectl(&self, words: &str) -> String {
        ok(words, &self.try_kubectl(words, None).await)
    }

    /// Runs kubectl with these words, however it ends.
    pub async fn try_kubectl(&self, words: &str, input: Option<&Value>) -> Output {
        run(self.cluster.command("kubectl"), words, input).await
    }

    /// Runs Coppice's own program with these words and gives back what it printed.
    pub async fn coppice(&self, words: &str) -> String {
        let program = tokio::task::spawn_blocking(operator::program).await;
        let mut command = std::process::Command::new(program.expect("built").expect("a program"));
        command.env("KUBECONFIG", self.cluster.kubeconfig());
        ok(words, &run(command, words, None).await)
    }

    /// Runs `kubectl coppice` with these words, however it ends: kubectl finds the plugin in its `PATH`.
    pub async fn try_plugin(&self, words: &str) -> Output {
        let built = tokio::task::spawn_blocking(operator::plugin).await;
        built.expect("built").expect("a program");
        let kubectl = operator::kubectl_with_plugin(&self.cluster).expect("a program");
        run(kubectl, &format!("coppice {words}"), None).await
    }

    /// Runs Helm with these words and gives back what it printed.
    pub async fn helm(&self, words: &str) -> String {
        ok(words, &self.try_helm(words).await)
    }

    /// Runs Helm with these words, however it ends.
    pub async fn try_helm(&self, words: &str) -> Output {
        run(self.cluster.command("helm"), words, None).await
    }

    /// Applies an object in a namespace.
    pub async fn apply(&self, namespace: &str, object: &Value) -> String {
        let words = format!("apply -n {namespace} -f -");
        ok(&words, &self.try_kubectl(&words, Some(object)).await)
    }

    /// The objects that `kubectl get` finds with these words.
    pub async fn list(&self, words: &str) -> Vec<Value> {
        let text = self.kubectl(&format!("get {words} -o json")).await;
        let mut list: Value = serde_json::from_str(&text).expect("JSON");
        match list.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => items,
            _ => vec![list],
        }
    }

    /// One tree.
    pub async fn tree(&self, namespace: &str, name: &str) -> Value {
        self.list(&format!("stree {name} -n {namespace}"))
            .await
            .remove(0)
    }

    /// The Pods of the trees in a namespace that are not being deleted.
    pub async fn pods(&self, namespace: &str) -> Vec<Value> {
        let mut pods = self
            .list(&format!("pods -n {namespace} -l coppice.dev/tree"))
            .await;
        pods.retain(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        pods
    }

    /// Waits until `kubectl wait` says that the tree is Ready, on the last edit of its spec.
    pub async fn ready(&self, namespace: &str, name: &str) {
        self.condition(namespace, name, "Ready=True").await;
    }

    /// Waits for `TYPE=STATUS` as `kubectl wait` does.
    pub async fn condition(&self, namespace: &str, name: &str, condition: &str) {
        let seconds = SOON.as_secs();
        let words = format!(
            "wait stree/{name} -n {namespace} --for=condition={condition} --timeout={seconds}s"
        );
        let output = self.try_kubectl(&words, None).await;
        if !output.status.success() {
            eprintln!("{}", diagnosis(&self.cluster, namespace));
        }
        ok(&words, &output);
    }

    /// Waits until `found` finds something, asking again and again.
    pub async fn until<T>(
        &self,
        namespace: &str,
        what: &str,
        within: Duration,
        mut found: impl AsyncFnMut() -> Option<T>,
    ) -> T {
        let begun = Instant::now();
        loop {
            if let Some(value) = found().await {
                return value;
            }
            if begun.elapsed() > within {
                let seen = diagnosis(&self.cluster, namespace);
                panic!(
                    "{namespace}: not within {} s: {what}\n{seen}",
                    within.as_secs()
                );
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until the tree is Stalled, judged on its last edit, and gives back the reason and the message.
    pub async fn stalled(&self, namespace: &str, name: &str) -> (String, String) {
        self.condition(namespace, name, "Stalled=True").await;
        let tree = self.tree(namespace, name).await;
        let stalled = e2e::kstatus::condition(&tree, "Stalled").expect("a condition");
        let text = |key: &str| stalled[key].as_str().unwrap_or_default().to_owned();
        (text("reason"), text("message"))
    }
}

/// Runs a command in the checkout, with these words as its arguments and this object as its input.
pub async fn run(command: std::process::Command, words: &str, input: Option<&Value>) -> Output {
    let mut command = tokio::process::Command::from(command);
    command
        .current_dir(operator::checkout())
        .args(words.split_whitespace())
        .kill_on_drop(true);
    command
        .stdin(if input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        let written = stdin.write_all(input.to_string().as_bytes()).await;
        written.expect("the program reads its input");
    }
    child.wait_with_output().await.expect("the program ends")
}

fn texts(output: &Output) -> [String; 2] {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned())
}

/// What a command printed; a failure is a panic with what it complained about.
#[track_caller]
pub fn ok(words: &str, output: &Output) -> String {
    let [out, err] = texts(output);
    assert!(output.status.success(), "{words}: {out}{err}");
    out
}

/// What a command complained about; success is a panic.
#[track_caller]
pub fn complaint(words: &str, output: &Output) -> String {
    let [out, err] = texts(output);
    assert!(!output.status.success(), "{words} succeeded: {out}{err}");
    err
}

/// A tree of these children.
pub fn tree(name: &str, children: &[Value]) -> Value {
    json!({
        "apiVersion": "coppice.dev/v1alpha1",
        "kind": "SupervisionTree",
        "metadata": {"name": name},
        "spec": {"children": children},
    })
}

/// A worker whose process takes these steps (`e2e/workload/README.md`) and is probed for readiness.
pub fn worker(name: &str, replicas: u32, steps: &[&str]) -> Value {
    let mut args = vec!["run"];
    args.extend(steps);
    json!({"name": name, "worker": {"replicas": replicas, "template": {"spec": {
        "terminationGracePeriodSeconds": 5,
        "containers": [{
            "name": "app",
            "image": e2e::current::workload_image(),
            "args": args,
            "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1},
        }],
    }}}})
}

/// The names of objects.
pub fn names(objects: &[Value]) -> Vec<String> {
    texts_at(objects, "/metadata/name")
}

/// The UIDs of objects, sorted.
pub fn uids(objects: &[Value]) -> Vec<String> {
    let mut uids = texts_at(objects, "/metadata/uid");
    uids.sort();
    uids
}

pub fn texts_at(objects: &[Value], pointer: &str) -> Vec<String> {
    let text = |object: &Value| object.pointer(pointer)?.as_str().map(str::to_owned);
    objects.iter().filter_map(text).collect()
}

/// How often the containers of Pods were restarted, in all.
pub fn restarts(pods: &[Value]) -> i64 {
    let statuses = pods
        .iter()
        .filter_map(|pod| pod["status"]["containerStatuses"].as_array())
        .flatten();
    statuses
        .filter_map(|status| status["restartCount"].as_i64())
        .sum()
}
