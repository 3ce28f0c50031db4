//! The custom resources of Coppice on a real API server: what it accepts, refuses, fills in and says.
//!
//! Rule: the texts that users read are asserted whole, as `kubectl` prints them.

mod conformance;
mod limits;
mod merging;
mod reading;
mod refusals;
mod stored;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use e2e::cluster::{Cluster, Profile};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// How long the API server may take to serve a definition, or its documentation.
const SERVED_WITHIN: Duration = Duration::from_secs(30);

/// The shared server, with the definitions: for tests that leave them alone.
pub(crate) async fn server() -> &'static Cluster {
    static APPLIED: OnceCell<()> = OnceCell::const_new();
    let cluster = crate::shared().await;
    APPLIED
        .get_or_init(async || drop(apply_definitions(cluster)))
        .await;
    cluster
}

/// A server of the test's own, without definitions.
async fn empty_server() -> Cluster {
    Cluster::start(Profile::ApiServer)
        .await
        .expect("an API server")
}

/// Applies `crds/` as a user would, and waits until the kinds are served.
fn apply_definitions(cluster: &Cluster) -> String {
    let applied = Kubectl::on(cluster)
        .arg("apply")
        .arg("-f")
        .arg(definitions())
        .said();
    eventually("the kinds are served", || {
        let listed = Kubectl::on(cluster)
            .words("get supervisiontrees,workers -A")
            .output();
        listed.status.success().then_some(())
    });
    applied
}

/// The folder of definitions.
fn definitions() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../crds")
}

/// The definition of trees as it stands in the repository.
fn definition_of_trees() -> Value {
    let file = definitions().join("coppice.dev_supervisiontrees.yaml");
    let text = std::fs::read_to_string(file).expect("a definition");
    serde_yaml::from_str(&text).expect("YAML")
}

/// The schema in a definition.
fn schema_of(definition: &mut Value) -> &mut Value {
    &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
}

/// A call of kubectl.
struct Kubectl {
    command: Command,
    input: Option<Value>,
}

impl Kubectl {
    fn on(cluster: &Cluster) -> Self {
        Self {
            command: cluster.command("kubectl"),
            input: None,
        }
    }

    /// A call in a namespace.
    fn within(cluster: &Cluster, namespace: &str) -> Self {
        Self::on(cluster).words("--namespace").arg(namespace)
    }

    /// Adds the words of `words` as arguments.
    fn words(mut self, words: &str) -> Self {
        self.command.args(words.split_whitespace());
        self
    }

    fn arg(mut self, arg: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Hands an object to `-f -`.
    fn object(mut self, object: &Value) -> Self {
        self.input = Some(object.clone());
        self.words("-f -")
    }

    fn output(mut self) -> Output {
        self.command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self.command.spawn().expect("kubectl runs");
        let mut input = child.stdin.take().expect("a pipe");
        if let Some(object) = self.input {
            input
                .write_all(object.to_string().as_bytes())
                .expect("kubectl reads");
        }
        drop(input);
        child.wait_with_output().expect("kubectl ends")
    }

    /// What it printed; it must succeed.
    #[track_caller]
    fn said(self) -> String {
        let output = self.output();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Its complaint; it must fail.
    #[track_caller]
    fn complained(self) -> String {
        let output = self.output();
        assert!(
            !output.status.success(),
            "accepted: {}",
            text(&output.stdout)
        );
        text(&output.stderr)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

/// Looks until something is there.
fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            begun.elapsed() < SERVED_WITHIN,
            "not within {} s: {what}",
            SERVED_WITHIN.as_secs()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A tree of these children.
fn tree(name: &str, children: impl IntoIterator<Item = Value>) -> Value {
    json!({
        "apiVersion": "coppice.dev/v1alpha1",
        "kind": "SupervisionTree",
        "metadata": {"name": name},
        "spec": {"children": children.into_iter().collect::<Vec<_>>()},
    })
}

/// A worker with one container.
fn worker(name: &str) -> Value {
    let container = json!({"name": "app", "image": "app:1"});
    json!({"name": name, "worker": {"template": {"spec": {"containers": [container]}}}})
}

/// A supervisor with the defaults.
fn supervisor(name: &str) -> Value {
    json!({"name": name, "supervisor": {}})
}

/// A child with a parent.
fn below(parent: &str, mut child: Value) -> Value {
    child["parent"] = json!(parent);
    child
}

/// A name of 49 characters, the longest that a child can have.
fn longest_name(number: usize) -> String {
    format!("{number:03}{}", "n".repeat(46))
}
