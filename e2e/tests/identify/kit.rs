//! A case: a namespace in which one fault is provoked, and what `coppice identify` must say of it.
//!
//! Rule: what counts is the answer to what kubectl prints, given to the program as a user gives it. Until then the API
//! server is asked for the same objects directly, whenever one of them changes.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use e2e::{current, operator};
use futures::StreamExt as _;
use futures::stream::select;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::PostParams;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::sync::OnceCell;

use super::shared;
use super::support::{Space, kubectl, said};

/// How long a fault may take to be provoked and identified, unless a test says more.
const WITHIN: Duration = Duration::from_mins(2);
/// How long nothing may change until it is looked again: some faults show only by the time that passes.
const QUIET: Duration = Duration::from_secs(2);
/// The taints that tests set on nodes for a while, and which are of no concern to the others.
pub const OF_OTHERS: [&str; 2] = ["coppice.test/evicting", "node.kubernetes.io/unschedulable"];

/// What must be said of an object.
#[derive(Clone, Debug)]
pub struct Expected {
    class: &'static str,
    verdict: &'static str,
    confidence: &'static str,
    container: Option<&'static str>,
    field: &'static str,
    value: String,
    within: Duration,
}

/// That class, with that verdict (`None` for one that has none) and that confidence.
pub fn fault(class: &'static str, verdict: &'static str, confidence: &'static str) -> Expected {
    Expected {
        class,
        verdict,
        confidence,
        container: None,
        field: "",
        value: String::new(),
        within: WITHIN,
    }
}

impl Expected {
    /// It is the fault of that container.
    pub fn of(self, container: &'static str) -> Self {
        let container = Some(container);
        Self { container, ..self }
    }

    /// An entry of the evidence has a field of that name, or one that ends so, whose value contains that text.
    pub fn by(self, field: &'static str, value: &str) -> Self {
        let value = value.to_owned();
        Self {
            field,
            value,
            ..self
        }
    }

    /// It may take longer than most.
    pub fn within(self, within: Duration) -> Self {
        Self { within, ..self }
    }

    /// What of the answer is not as it must be.
    fn differs(&self, answer: &Value) -> Option<String> {
        let is = [
            ("class", answer["class"].as_str(), Some(self.class)),
            (
                "verdict",
                Some(answer["verdict"].as_str().unwrap_or("None")),
                Some(self.verdict),
            ),
            (
                "confidence",
                answer["confidence"].as_str(),
                Some(self.confidence),
            ),
            ("container", answer["container"].as_str(), self.container),
        ];
        let wrong = is.iter().find(|(_, is, must)| is != must);
        if let Some((part, is, must)) = wrong {
            return Some(format!("{part} is {is:?} and not {must:?}"));
        }
        let pieces = answer["evidence"].as_array().into_iter().flatten();
        let text = |piece: &Value, key: &str| piece[key].as_str().unwrap_or_default().to_owned();
        let proves = |piece: &Value| {
            text(piece, "field").ends_with(self.field) && text(piece, "value").contains(&self.value)
        };
        let is_proved = !self.field.is_empty() && pieces.into_iter().any(proves);
        (!is_proved).then(|| format!("no evidence {} says {:?}", self.field, self.value))
    }
}

/// Which objects are looked at together.
#[derive(Clone, Copy, Debug)]
enum Look {
    /// A Pod, its Events and its claims.
    Pods,
    /// A Pod with its node, too.
    PodsAndNodes,
    /// Controllers and their Events, without Pods.
    Controllers,
    /// Nodes by themselves.
    Nodes,
}

impl Look {
    /// What kubectl is asked for.
    const fn kinds(self) -> &'static str {
        match self {
            Self::Pods => "pods,events,persistentvolumeclaims",
            Self::PodsAndNodes => "pods,events,persistentvolumeclaims,nodes",
            Self::Controllers => "deployments,jobs,statefulsets,events",
            Self::Nodes => "nodes",
        }
    }

    /// The same for the API server.
    fn paths(self, namespace: &str) -> Vec<String> {
        let core = |kind: &str| format!("/api/v1/namespaces/{namespace}/{kind}");
        let other =
            |group: &str, kind: &str| format!("/apis/{group}/v1/namespaces/{namespace}/{kind}");
        let pods = || vec![core("pods"), core("events"), core("persistentvolumeclaims")];
        let nodes = "/api/v1/nodes".to_owned();
        match self {
            Self::Pods => pods(),
            Self::PodsAndNodes => [pods(), vec![nodes]].concat(),
            Self::Controllers => vec![
                other("apps", "deployments"),
                other("batch", "jobs"),
                other("apps", "statefulsets"),
                core("events"),
            ],
            Self::Nodes => vec![nodes],
        }
    }
}

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
        let seen = self.space.until_pod(name, WITHIN, "running", runs).await;
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
            // Policies, quotas and webhooks are known to admission a moment after they were made.
            let rehearsal = PostParams {
                dry_run: true,
                ..PostParams::default()
            };
            let answer = match pods.create(&rehearsal, &pod).await {
                Err(kube::Error::Api(status)) => {
                    let document = json!({"createError": status}).to_string();
                    self.identify(&document).await.pop().expect("an answer")
                }
                other => json!({"accepted": format!("{other:?}")}),
            };
            let Some(why) = expected.differs(&answer) else {
                return;
            };
            assert!(begun.elapsed() < expected.within, "{why}: {answer:#}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
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

/// The spec of a Pod whose container `app` does what that shell script says.
pub fn script(script: &str) -> Value {
    json!({
        "containers": [{
            "name": "app",
            "image": current::workload_image(),
            "command": ["/bin/sh", "-c", script],
        }],
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": false,
        "tolerations": OF_OTHERS.map(|key| json!({"key": key, "operator": "Exists"})),
    })
}

/// The spec of a Pod that does nothing, with these fields of the spec changed.
pub fn idle_with(fields: Value) -> Value {
    let mut spec = script("while :; do sleep 1; done");
    merge(&mut spec, fields);
    spec
}

/// The spec of a Pod that does nothing, with these fields of its container `app` changed.
pub fn idle_app_with(fields: Value) -> Value {
    app_with("while :; do sleep 1; done", fields)
}

/// The spec of a Pod that does what that shell script says, with these fields of its container `app` changed.
pub fn app_with(text: &str, fields: Value) -> Value {
    let mut spec = script(text);
    merge(&mut spec["containers"][0], fields);
    spec
}

/// Sets the fields of `target` that `fields` has.
pub fn merge(target: &mut Value, fields: Value) {
    let (Value::Object(target), Value::Object(fields)) = (target, fields) else {
        panic!("both are objects");
    };
    target.extend(fields);
}
