//! What tests of the operator share: installing it, a namespace to play in, and a look at what the API server noted.
//!
//! Rule: every wait watches, has a deadline, and fails with all that a person would look at next.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "several test programs include this file, and not each uses all of it"
)]

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use e2e::cluster::{Cluster, Full, Profile};
use e2e::{current, operator, process};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client, ResourceExt};
use rustix::process::Signal;
use serde::Deserialize;
use serde_json::{Value, json};

/// The namespace that the operator is installed in.
pub const SYSTEM: &str = operator::NAMESPACE;
/// Who the operator is for the API server.
pub const OPERATOR: &str = "system:serviceaccount:coppice-system:coppice";
/// A cluster, or the current one, with the operator installed.
pub async fn cluster_with_operator(mut full: Full) -> Cluster {
    if current::is_wanted() {
        let cluster = Cluster::current().await.expect("the current cluster");
        operator::apply_definitions(&cluster).expect("definitions");
        let started =
            operator::start_local(&cluster, cluster.kubeconfig(), &["--watch-config-maps"]).await;
        started.expect("the operator runs");
        return cluster;
    }
    full.images.push(operator::archive().expect("an image"));
    let cluster = Cluster::start(Profile::Full(full))
        .await
        .expect("a cluster");
    install(&cluster, &["configMaps.watch=true"]);
    cluster
}

/// Installs the chart with the locally built image, which the nodes must have, and waits until the operator is ready.
/// `settings` are such as `--set` takes.
pub fn install(cluster: &Cluster, settings: &[&str]) {
    if let Err(error) = operator::install(cluster, settings) {
        panic!("{error}\n{}", diagnosis(cluster, SYSTEM));
    }
}

/// Runs kubectl, gives it `input` to read, and gives back what it printed; fails when kubectl does.
#[track_caller]
pub fn ok(cluster: &Cluster, arguments: &[&str], input: &str) -> String {
    let output = kubectl(cluster, arguments, input);
    assert!(
        output.status.success(),
        "kubectl {}: {}",
        arguments.join(" "),
        said(&output)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs kubectl, whatever comes of it.
pub fn kubectl(cluster: &Cluster, arguments: &[&str], input: &str) -> Output {
    run(
        cluster
            .command("kubectl")
            .current_dir(operator::checkout())
            .args(arguments),
        input,
    )
}

fn run(command: &mut Command, input: &str) -> Output {
    let pipes = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = pipes.spawn().expect("the program is there");
    let mut pipe = child.stdin.take().expect("it was asked for");
    let input = input.to_owned();
    // Both sides talk at once, so that neither waits for the other. A program need not read what it is told.
    let writer = std::thread::spawn(move || pipe.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("its output");
    let _ = writer.join();
    output
}

/// All that a program printed.
pub fn said(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{out}{err}")
}

/// What a person would look at when a tree in `namespace` does not do what it should.
pub fn diagnosis(cluster: &Cluster, namespace: &str) -> String {
    let conditions = r#"jsonpath={range .items[*]}{.metadata.name}{" generation "}{.metadata.generation}{"\n"}{range .status.conditions[*]}  {.type}={.status} {.reason} ({.observedGeneration}): {.message}{"\n"}{end}{end}"#;
    let looks: [&[&str]; 5] = [
        &[
            "get",
            "stree,wkr,pods",
            "-o",
            "wide",
            "--ignore-not-found",
            "-n",
            namespace,
        ],
        &["get", "stree", "-n", namespace, "-o", conditions],
        &[
            "get",
            "events",
            "-n",
            namespace,
            "--sort-by=.metadata.creationTimestamp",
        ],
        &["get", "pods", "-n", SYSTEM, "-o", "wide"],
        &[
            "logs",
            "-n",
            SYSTEM,
            "-l",
            "app.kubernetes.io/component=controller",
            "--tail=30",
        ],
    ];
    let looks = looks.map(|look| {
        let output = said(&kubectl(cluster, look, ""));
        let lines: Vec<&str> = output.lines().collect();
        let last = lines[lines.len().saturating_sub(60)..].join("\n");
        format!("--- kubectl {}\n{last}\n", look[..2].join(" "))
    });
    let logs = cluster.run().log("operator");
    let logs = logs.parent().and_then(|folder| folder.read_dir().ok());
    let processes = logs.into_iter().flatten().flatten().map(|log| log.path());
    let processes = processes.filter(|log| log.to_string_lossy().contains(namespace));
    let tails = processes.map(|log| format!("--- {}\n{}\n", log.display(), process::tail(&log)));
    looks.into_iter().chain(tails).collect()
}

/// A namespace of one test, and its view of the cluster.
pub struct Space<'c> {
    /// The cluster.
    pub cluster: &'c Cluster,
    /// The namespace's name.
    pub name: String,
    client: Client,
}

impl<'c> Space<'c> {
    /// A new namespace, whose name begins with `prefix`.
    pub async fn new(cluster: &'c Cluster, prefix: &str) -> Self {
        let name = cluster.namespace(prefix).await.expect("a namespace");
        Self {
            cluster,
            name,
            client: cluster.client(),
        }
    }

    /// Runs kubectl in this namespace; fails when kubectl does.
    #[track_caller]
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        ok(self.cluster, &[&["-n", &self.name], arguments].concat(), "")
    }

    /// Applies YAML here, as a person would.
    #[track_caller]
    pub fn apply(&self, yaml: &str) -> String {
        ok(self.cluster, &["-n", &self.name, "apply", "-f", "-"], yaml)
    }

    /// Applies YAML that must be refused, and gives back what kubectl said.
    #[track_caller]
    pub fn refused(&self, yaml: &str) -> String {
        let output = kubectl(self.cluster, &["-n", &self.name, "apply", "-f", "-"], yaml);
        assert!(!output.status.success(), "accepted:\n{yaml}");
        said(&output)
    }

    /// Runs `kubectl coppice` in this namespace; fails when the plugin does.
    #[track_caller]
    pub fn plugin(&self, arguments: &[&str]) -> String {
        let mut command = operator::kubectl_with_plugin(self.cluster).expect("the plugin compiles");
        command.args(["coppice", "-n", &self.name]).args(arguments);
        let output = run(&mut command, "");
        assert!(output.status.success(), "{command:?}: {}", said(&output));
        said(&output)
    }

    /// Runs Helm in this namespace, whatever comes of it: `install` or `upgrade` of the release `shop`, a chart that is
    /// nothing but this object, and waits for it.
    pub fn helm(&self, verb: &str, object: &Value) -> Output {
        let chart = chart(self.cluster, &self.name, object);
        let mut command = self.cluster.command("helm");
        command.args([verb, "shop"]).arg(chart);
        command.args(["-n", &self.name, "--wait", "--timeout", "180s"]);
        // It takes as long as the cluster does, and others of this test may watch meanwhile.
        tokio::task::block_in_place(|| run(&mut command, ""))
    }

    /// The objects of one of our kinds: `SupervisionTree` or `Worker`.
    pub fn ours(&self, kind: &str) -> Api<DynamicObject> {
        let gvk = GroupVersionKind::gvk("coppice.dev", "v1alpha1", kind);
        Api::namespaced_with(
            self.client.clone(),
            &self.name,
            &ApiResource::from_gvk(&gvk),
        )
    }

    /// All Pods.
    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// The tree as it is now.
    pub async fn tree(&self, name: &str) -> Value {
        value(Some(
            &self
                .ours("SupervisionTree")
                .get(name)
                .await
                .expect("the tree"),
        ))
    }

    /// The tree as it is now; `null` when there is none.
    pub async fn tree_or_null(&self, name: &str) -> Value {
        let found = self.ours("SupervisionTree").get_opt(name).await;
        value(found.expect("an answer").as_ref())
    }

    /// The Worker of a child as it is now.
    pub async fn worker(&self, tree: &str, child: &str) -> Value {
        let found = self.ours("Worker").get(&format!("{tree}-{child}")).await;
        value(Some(&found.expect("the Worker")))
    }

    /// The Pods of a child, those that are being stopped included, by slot.
    pub async fn pods_of(&self, tree: &str, child: &str) -> Vec<Pod> {
        let selector = format!("coppice.dev/tree={tree},coppice.dev/child={child}");
        let list = self
            .pods()
            .list(&ListParams::default().labels(&selector))
            .await;
        let mut pods = list.expect("Pods").items;
        pods.sort_by_key(|pod| {
            pod.labels()
                .get("coppice.dev/slot")
                .and_then(|slot| slot.parse::<u32>().ok())
        });
        pods
    }

    /// Waits until the tree is as `wanted` says; gives it back. `wanted` sees `null` when there is no such tree.
    pub async fn until(
        &self,
        tree: &str,
        within: Duration,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        self.until_object("SupervisionTree", tree, within, what, wanted)
            .await
    }

    /// Waits until an object of ours is as `wanted` says; gives it back.
    pub async fn until_object(
        &self,
        kind: &str,
        name: &str,
        within: Duration,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let met = |object: Option<&DynamicObject>| wanted(&value(object));
        let watched = Box::pin(await_condition(self.ours(kind), name, met));
        let seen = self.in_time(format!("{kind} {name}"), what, within, watched);
        value(seen.await.expect("watched").as_ref())
    }

    /// The outcome of a wait; fails when it takes too long.
    async fn in_time<T>(
        &self,
        subject: String,
        what: &str,
        within: Duration,
        wait: impl Future<Output = T>,
    ) -> T {
        let outcome = tokio::time::timeout(within, wait).await;
        outcome.unwrap_or_else(|_| {
            let (seconds, seen) = (within.as_secs(), diagnosis(self.cluster, &self.name));
            panic!(
                "{subject} in {}: not {what} within {seconds} s\n{seen}",
                self.name
            )
        })
    }

    /// Waits until the condition of the tree has that status for its present generation.
    pub async fn until_condition(
        &self,
        tree: &str,
        condition: &str,
        status: &str,
        within: Duration,
    ) -> Value {
        let what = format!("{condition}={status}");
        self.until(tree, within, &what, |tree| {
            is_current(tree, condition, status)
        })
        .await
    }

    /// Waits until the tree is Ready and at rest.
    pub async fn until_at_rest(&self, tree: &str, within: Duration) -> Value {
        let at_rest = |tree: &Value| {
            is_current(tree, "Ready", "True") && is_current(tree, "Reconciling", "False")
        };
        self.until(tree, within, "Ready and at rest", at_rest).await
    }

    /// Waits until a Pod is as `wanted` says; gives it back.
    pub async fn until_pod(
        &self,
        name: &str,
        within: Duration,
        what: &str,
        wanted: impl Fn(Option<&Pod>) -> bool,
    ) -> Option<Pod> {
        let watched = Box::pin(await_condition(self.pods(), name, wanted));
        let seen = self.in_time(format!("Pod {name}"), what, within, watched);
        seen.await.expect("watched")
    }

    /// Kills a container of a Pod from its node, with signal 9.
    pub fn kill(&self, pod: &Pod, container: &str) {
        let node = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.node_name.as_deref())
            .unwrap_or_default();
        let node = self.cluster.node(node).expect("a real node");
        let uid = pod.uid().expect("every stored Pod has one");
        node.kill_container(&uid, container, Signal::KILL)
            .expect("the container ran");
    }
}

impl Drop for Space<'_> {
    /// A cluster of somebody else keeps nothing of ours. A cluster of our own ends as a whole.
    fn drop(&mut self) {
        if current::is_wanted() {
            let delete = ["delete", "namespace", &self.name, "--timeout=60s"];
            println!("{}", said(&kubectl(self.cluster, &delete, "")).trim_end());
        }
    }
}

/// Writes a chart that is nothing but this object, and gives back its folder.
pub fn chart(cluster: &Cluster, name: &str, object: &Value) -> PathBuf {
    let folder = cluster.run().folder(&format!("chart-{name}"));
    let folder = folder.expect("a folder");
    let templates = folder.join("templates");
    fs::create_dir_all(&templates).expect("a folder");
    let head = "apiVersion: v2\nname: shop\nversion: 0.1.0\n";
    fs::write(folder.join("Chart.yaml"), head).expect("written");
    fs::write(templates.join("object.yaml"), object.to_string()).expect("written");
    folder
}

/// An object as plain JSON; `null` when there is none.
fn value(object: Option<&DynamicObject>) -> Value {
    object.map_or(Value::Null, |object| {
        serde_json::to_value(object).expect("it came as JSON")
    })
}

/// The condition of that type; `null` when there is none.
pub fn condition<'a>(tree: &'a Value, condition: &str) -> &'a Value {
    let all = tree["status"]["conditions"].as_array();
    let found = all.and_then(|all| all.iter().find(|one| one["type"] == condition));
    found.unwrap_or(&Value::Null)
}

/// Whether the condition has that status for the present generation.
pub fn is_current(tree: &Value, type_: &str, status: &str) -> bool {
    let one = condition(tree, type_);
    one["status"] == status && one["observedGeneration"] == tree["metadata"]["generation"]
}

/// A request that the API server has answered.
#[derive(Debug, Clone)]
pub struct Request {
    /// `get`, `create`, `patch`, `delete` and so on.
    pub verb: String,
    /// The resource, with a subresource after a slash: `pods`, `supervisiontrees/status`.
    pub resource: String,
    /// The namespace, empty for what has none.
    pub namespace: String,
    /// The object's name, empty for lists.
    pub name: String,
    /// Who asked.
    pub user: String,
    /// Whether it was only asked what would come of it.
    pub dry_run: bool,
    /// The HTTP status of the answer.
    pub code: u64,
    /// When the request arrived.
    pub at: Timestamp,
    /// Of the delete of a Pod or of an object of ours, what was sent with it.
    pub body: Value,
}

impl Request {
    /// Whether it changed something, or tried to.
    pub fn is_write(&self) -> bool {
        !self.dry_run
            && ["create", "update", "patch", "delete", "deletecollection"]
                .contains(&self.verb.as_str())
    }

    /// Whether it was answered with a success.
    pub fn succeeded(&self) -> bool {
        (200..300).contains(&self.code)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuditEvent {
    stage: String,
    verb: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    #[serde(default)]
    object_ref: Value,
    user: Value,
    #[serde(default)]
    response_status: Value,
    #[serde(default)]
    request_object: Value,
    request_received_timestamp: Timestamp,
}

/// The requests of `user` that were answered so far, in the order of the answers.
pub fn requests_of(cluster: &Cluster, user: &str) -> Vec<Request> {
    let log = cluster.audit_log().expect("a cluster of our own");
    let text = fs::read_to_string(log).expect("an audit log");
    // The last line may be half written.
    let complete = text.rsplit_once('\n').map_or("", |(complete, _)| complete);
    // Users have several spellings in a line; a line without the name at all is not worth parsing.
    let lines = complete.lines().filter(|line| line.contains(user));
    let events =
        lines.map(|line| serde_json::from_str::<AuditEvent>(line).expect("an audit event"));
    events
        .filter(|event| event.stage == "ResponseComplete" && event.user["username"] == user)
        .map(Request::from)
        .collect()
}

impl From<AuditEvent> for Request {
    fn from(event: AuditEvent) -> Self {
        let part = |name: &str| {
            event.object_ref[name]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        let resource = [part("resource"), part("subresource")];
        Self {
            resource: resource.join("/").trim_end_matches('/').to_owned(),
            namespace: part("namespace"),
            name: part("name"),
            user: event.user["username"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            dry_run: event.request_uri.contains("dryRun=All"),
            code: event.response_status["code"].as_u64().unwrap_or_default(),
            at: event.request_received_timestamp,
            body: event.request_object,
            verb: event.verb,
        }
    }
}

/// Makes the program of a template end once, a second after its start, with code 3. What the Pod's volume holds outlives its
/// container.
pub fn dies_once(template: &mut Value) {
    let script =
        "[ -e /once/died ] || { touch /once/died; sleep 1; exit 3; }; while :; do sleep 1; done";
    let spec = &mut template["spec"];
    spec["volumes"] = json!([{"name": "once", "emptyDir": {}}]);
    let app = &mut spec["containers"][0];
    app["volumeMounts"] = json!([{"name": "once", "mountPath": "/once"}]);
    app["command"] = json!(["/bin/sh", "-c", script]);
}

/// Sets the fields of `target` that `fields` has.
pub fn merge(target: &mut Value, fields: Value) {
    let (Value::Object(target), Value::Object(fields)) = (target, fields) else {
        panic!("both are objects");
    };
    target.extend(fields);
}
