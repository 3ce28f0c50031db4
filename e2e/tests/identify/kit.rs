//! A case: a namespace in which one fault is provoked, and what `coppice identify` must say of it.
//!
//! Rule: what counts is the answer to what kubectl prints, given to the program as a user gives it. Until then the API
//! server is asked for the same objects directly, whenever one of them changes.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use e2e::operator;
use futures::StreamExt as _;
use futures::stream::select;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{DeleteParams, PostParams};
use kube::core::Status;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::sync::OnceCell;

use super::expected::Expected;
use super::look::Look;
use super::shared;
use super::support::{Space, kubectl, said};

/// How long a Pod may take until it runs.
const RUNNING_WITHIN: Duration = Duration::from_mins(2);
/// How long nothing may change until it is looked again: some faults show only by the time that passes.
const QUIET: Duration = Duration::from_secs(2);

/// A namespace in which one fault is provoked.
pub struct Case {
    /// The namespace.
    pub space: Space<'static>,
    client: Client,
    program: PathBuf,
}

impl Case {
    /// A new namespace, whose name begins with `prefix`.
    pub async fn new(prefix: &str) -> Self {
        static PROGRAM: OnceCell<PathBuf> = OnceCell::const_new();
        let program = PROGRAM.get_or_init(async || operator::program().expect("the program"));
        let program = program.await.clone();
        let cluster = shared().await;
        Self {
            space: Space::new(cluster, prefix).await,
            client: cluster.client(),
            program,
        }
    }

    /// The name of the namespace.
    pub fn namespace(&self) -> &str {
        &self.space.name
    }

    /// Makes any objects.
    pub fn apply(&self, objects: &[Value]) {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        self.space.apply(&list.to_string());
    }

    /// Makes the Pod `p` with that spec.
    pub async fn pod(&self, spec: Value) -> Pod {
        self.pod_like(json!({"metadata": {"name": "p"}, "spec": spec}))
            .await
    }

    /// Makes that Pod.
    pub async fn pod_like(&self, pod: Value) -> Pod {
        let pod = serde_json::from_value(pod).expect("a Pod");
        let (pods, parameters) = (self.space.pods(), PostParams::default());
        pods.create(&parameters, &pod).await.expect("created")
    }

    /// Makes the Pod `p` with that spec and waits until its containers run.
    pub async fn running(&self, spec: Value) -> Pod {
        self.pod(spec).await;
        self.until_running("p").await
    }

    /// Waits until that Pod runs.
    pub async fn until_running(&self, name: &str) -> Pod {
        let runs = |pod: Option<&Pod>| {
            let phase = pod.and_then(|pod| pod.status.as_ref()?.phase.as_deref());
            phase == Some("Running")
        };
        let seen = self
            .space
            .until_pod(name, RUNNING_WITHIN, "running", runs)
            .await;
        seen.expect("there")
    }

    /// What is said of the Pod `p`.
    pub async fn shows(&self, expected: Expected) {
        self.shows_of("p", expected).await;
    }

    /// What is said of that Pod.
    pub async fn shows_of(&self, pod: &str, expected: Expected) {
        let object = format!("Pod {}/{pod}", self.namespace());
        self.until(Look::Pods, &object, &expected).await;
    }

    /// What is said of the Pod `p` by somebody who looks at its node, too.
    pub async fn shows_with_node(&self, expected: Expected) {
        let object = format!("Pod {}/p", self.namespace());
        self.until(Look::PodsAndNodes, &object, &expected).await;
    }

    /// What is said of a controller or claim, for example of `Job/j`.
    pub async fn shows_of_object(&self, kind: &str, name: &str, expected: Expected) {
        let object = format!("{kind} {}/{name}", self.namespace());
        let look = if kind == "PersistentVolumeClaim" {
            Look::Pods
        } else {
            Look::Controllers
        };
        self.until(look, &object, &expected).await;
    }

    /// What is said of a node.
    pub async fn shows_of_node(&self, name: &str, expected: Expected) {
        let object = format!("Node {name}");
        self.until(Look::Nodes, &object, &expected).await;
    }

    /// What is said of the answer to the create of the Pod `p` with that spec, which must be refused.
    pub async fn refused(&self, spec: Value, expected: Expected) {
        self.refused_by(&self.client, spec, expected).await;
    }

    /// The same, for whoever `client` is.
    pub async fn refused_by(&self, client: &Client, spec: Value, expected: Expected) {
        let pod = json!({"metadata": {"name": "p"}, "spec": spec});
        let pod: Pod = serde_json::from_value(pod).expect("a Pod");
        let pods: Api<Pod> = Api::namespaced(client.clone(), self.namespace());
        let begun = Instant::now();
        loop {
            let answer = match pods.create(&PostParams::default(), &pod).await {
                Err(kube::Error::Api(status)) => self.answer_to(&status).await,
                Ok(_) => {
                    // Policies, quotas and webhooks are known to admission a moment after they were made.
                    let delete = DeleteParams::default().grace_period(0);
                    pods.delete("p", &delete).await.expect("deleted");
                    json!("accepted")
                }
                Err(error) => panic!("no answer: {error}"),
            };
            let Some(why) = expected.differs(&answer) else {
                return;
            };
            assert!(begun.elapsed() < expected.within, "{why}: {answer:#}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// What is said of a Status by which the API server refused something.
    pub async fn answer_to(&self, status: &Status) -> Value {
        let document = json!({"createError": status}).to_string();
        let answer = self.identify(&document).await.pop();
        answer.expect("an answer")
    }

    async fn until(&self, look: Look, object: &str, expected: &Expected) {
        let events: Api<Event> = Api::namespaced(self.client.clone(), self.namespace());
        let pods = watcher(self.space.pods(), watcher::Config::default()).map(drop);
        let events = watcher(events, watcher::Config::default()).map(drop);
        let mut changes = Box::pin(select(pods, events).ready_chunks(100));
        let begun = Instant::now();
        loop {
            let shown = self.asked(look).await;
            let mut why = self.judged(&shown, object, expected).await;
            if why.is_none() {
                let printed = self.printed(look);
                why = self.judged(&printed, object, expected).await;
            }
            let Some(why) = why else { return };
            if begun.elapsed() > expected.within {
                let path = self.keep(look);
                panic!("{object}: {why}\nthe evidence is in {}", path.display());
            }
            let _ = tokio::time::timeout(QUIET, changes.next()).await;
        }
    }

    /// What is wrong with the answer about that object.
    async fn judged(&self, evidence: &str, object: &str, expected: &Expected) -> Option<String> {
        let answers = self.identify(evidence).await;
        match answers.iter().find(|answer| answer["object"] == object) {
            Some(answer) => {
                let why = expected.differs(answer)?;
                Some(format!("{why}: {answer:#}"))
            }
            None => Some("there is no answer".to_owned()),
        }
    }

    /// The objects, as the API server lists them.
    async fn asked(&self, look: Look) -> String {
        let mut lists = String::new();
        for path in look.paths(self.namespace()) {
            let request = http::Request::get(path)
                .body(Vec::new())
                .expect("a request");
            lists.push_str(&self.client.request_text(request).await.expect("a list"));
        }
        lists
    }

    /// The objects, as kubectl prints them.
    fn printed(&self, look: Look) -> String {
        let get = ["get", look.kinds(), "-o", "json"];
        self.space.kubectl(&get)
    }

    /// Runs `coppice identify` on that text, and gives back its answers.
    async fn identify(&self, text: &str) -> Vec<Value> {
        let mut command = Command::new(&self.program);
        command.args(["identify", "-f", "-", "-o", "json"]);
        let pipes = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = pipes.spawn().expect("the program starts");
        // It reads everything before it says anything.
        let mut pipe = child.stdin.take().expect("it was asked for");
        pipe.write_all(text.as_bytes()).await.expect("it reads");
        drop(pipe);
        let output = child.wait_with_output().await.expect("it ends");
        let answers = serde_json::from_slice(&output.stdout);
        answers.unwrap_or_else(|error| panic!("{error}: {}", said(&output)))
    }

    /// Keeps what kubectl prints now beside the logs of the run.
    fn keep(&self, look: Look) -> PathBuf {
        let path = self
            .space
            .cluster
            .run()
            .log(&format!("identify-{}", self.namespace()));
        let get = ["get", look.kinds(), "-n", self.namespace(), "-o", "yaml"];
        let seen = said(&kubectl(self.space.cluster, &get, ""));
        std::fs::write(&path, seen).expect("written");
        Path::new(&path).to_owned()
    }
}
