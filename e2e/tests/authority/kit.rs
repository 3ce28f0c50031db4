//! What the tests of authority share: an API server with the chart on it, people, and what they write.
//!
//! Rule: what was installed is in force before anybody relies on it; the API server learns of policies a moment late.

mod people;

use std::fmt::Debug;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use e2e::build::{self, Scope};
use e2e::cache;
use e2e::cluster::{Cluster, Profile};
use e2e::operator;
use e2e::process::Process;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

pub(crate) use people::{
    AUTOSCALERS, PODS, Right, TREES, bind, client_as, grant, grant_everywhere, may, until_may,
};

/// How long the API server may take to learn of something.
pub(crate) const LEARNT_WITHIN: Duration = Duration::from_secs(30);
/// What `kubectl create rolebinding` calls the operator.
pub(crate) const OPERATOR: &str = "system:serviceaccount:coppice-system:coppice";
/// A dry run of what the API server would do.
pub(crate) fn dry() -> PostParams {
    PostParams {
        dry_run: true,
        ..PostParams::default()
    }
}

/// The server that tests share when the chart's defaults are what they are about.
pub(crate) async fn shared() -> &'static Cluster {
    static SHARED: OnceCell<Cluster> = OnceCell::const_new();
    SHARED.get_or_init(async || installed(&[]).await).await
}

/// A server with the chart on it, installed with these values. No Pod runs there, so no operator either.
pub(crate) async fn installed(values: &[&str]) -> Cluster {
    let cluster = Cluster::start(Profile::ApiServer).await.unwrap();
    install(&cluster, values).await;
    cluster
}

/// Installs the chart, and waits until its definitions are served and its policies are in force.
pub(crate) async fn install(cluster: &Cluster, values: &[&str]) {
    // An API server alone is built without Helm.
    let binaries = build::build(&cache::folder().unwrap(), Scope::Full).unwrap();
    let mut helm = Command::new(binaries.path("helm"));
    helm.env("KUBECONFIG", cluster.kubeconfig());
    helm.current_dir(operator::checkout()).args([
        "install",
        "coppice",
        "charts/coppice",
        "--namespace",
        operator::NAMESPACE,
        "--create-namespace",
    ]);
    for value in values {
        helm.args(["--set", value]);
    }
    operator::said(helm).unwrap();
    operator::apply_definitions(cluster).unwrap();
    if values.contains(&"authority.policy=false") {
        return;
    }
    let namespace = cluster.namespace("canary").await.unwrap();
    let everything = Right("*", "*", "get list", "");
    grant(
        cluster,
        &namespace,
        "canary",
        &[TREES, AUTOSCALERS, everything],
    )
    .await;
    let canary = client_as(cluster, "canary", &[]).await;
    let refused = [
        ("trees", tree("t", [worker("w", &json!({}))])),
        ("workers", worker_object("w", 1)),
        ("autoscalers", autoscaler("a", "coppice.dev/v1alpha1")),
    ];
    for (policy, object) in refused {
        eventually(&format!("the policy of {policy} is in force"), async || {
            let outcome = create(&canary, &namespace, &object, &dry()).await;
            outcome.err().filter(|said| said.contains("denied request"))
        })
        .await;
    }
}

/// Looks until something is there. For what cannot be watched.
pub(crate) async fn eventually<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < LEARNT_WITHIN, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The API of the kind of an object, in a namespace.
pub(crate) fn api(
    client: &Client,
    namespace: &str,
    api_version: &str,
    kind: &str,
) -> Api<DynamicObject> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    Api::namespaced_with(client.clone(), namespace, &resource)
}

/// The API of trees in a namespace.
pub(crate) fn trees(client: &Client, namespace: &str) -> Api<DynamicObject> {
    api(client, namespace, "coppice.dev/v1alpha1", "SupervisionTree")
}

/// The API of Workers in a namespace.
pub(crate) fn workers(client: &Client, namespace: &str) -> Api<DynamicObject> {
    api(client, namespace, "coppice.dev/v1alpha1", "Worker")
}

/// Creates an object; says what the API server complains about.
pub(crate) async fn create(
    client: &Client,
    namespace: &str,
    object: &Value,
    params: &PostParams,
) -> Result<DynamicObject, String> {
    let text = |field: &str| object[field].as_str().unwrap();
    let api = api(client, namespace, text("apiVersion"), text("kind"));
    let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
    said(api.create(params, &object).await)
}

/// Changes an object by a merge patch; says what the API server complains about.
pub(crate) async fn change(
    api: &Api<DynamicObject>,
    name: &str,
    patch: Value,
) -> Result<DynamicObject, String> {
    said(
        api.patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await,
    )
}

/// An answer, or the message of the refusal.
pub(crate) fn said<T>(answer: Result<T, kube::Error>) -> Result<T, String> {
    answer.map_err(|error| match error {
        kube::Error::Api(status) => status.message,
        other => panic!("no answer: {other:?}"),
    })
}

/// The refusal, which must be by the policy of that name; only its own words.
#[track_caller]
pub(crate) fn denied<T: Debug>(outcome: Result<T, String>, policy: &str) -> String {
    let complaint = outcome.expect_err("a refusal");
    let head =
        format!("ValidatingAdmissionPolicy '{policy}' with binding '{policy}' denied request: ");
    let words = complaint.split_once(&head);
    words
        .unwrap_or_else(|| panic!("not refused by {policy}: {complaint}"))
        .1
        .to_owned()
}

/// A tree of these children.
pub(crate) fn tree(name: &str, children: impl IntoIterator<Item = Value>) -> Value {
    json!({
        "apiVersion": "coppice.dev/v1alpha1",
        "kind": "SupervisionTree",
        "metadata": {"name": name},
        "spec": {"children": children.into_iter().collect::<Vec<_>>()},
    })
}

/// A worker whose Pods have these fields in their spec, beside one container.
pub(crate) fn worker(name: &str, pod: &Value) -> Value {
    json!({"name": name, "worker": {"template": {"spec": pod_spec(pod)}}})
}

/// The spec of a Pod with one container and these fields.
pub(crate) fn pod_spec(fields: &Value) -> Value {
    let mut spec = json!({"containers": [{"name": "app", "image": "app:1"}]});
    for (field, value) in fields.as_object().unwrap() {
        spec[field] = value.clone();
    }
    spec
}

/// A Worker that somebody made by hand.
pub(crate) fn worker_object(name: &str, replicas: i32) -> Value {
    json!({"apiVersion": "coppice.dev/v1alpha1", "kind": "Worker", "metadata": {"name": name},
        "spec": {"replicas": replicas}})
}

/// An autoscaler of the Worker `w`, or of what has that name in another API.
pub(crate) fn autoscaler(name: &str, api_version: &str) -> Value {
    json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name},
        "spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": api_version, "kind": "Worker", "name": "w"}}})
}
/// Runs the operator of the checkout as the `ServiceAccount` of the chart.
pub(crate) async fn operate(cluster: &Cluster, arguments: &[&str]) -> Process {
    let lifetime = Duration::from_hours(1);
    let account = cluster
        .kubeconfig_for_service_account(operator::NAMESPACE, "coppice", lifetime)
        .await
        .unwrap();
    operator::start_local(cluster, &account, arguments)
        .await
        .unwrap()
}
/// Compares text with a file beside the tests; `UPDATE=1` writes it.
#[track_caller]
pub(crate) fn matches_file(file: &str, found: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/authority")
        .join(file);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == found,
        "{file} says\n{expected}\nand this was found\n{found}\nRun this test with UPDATE=1 when that is right"
    );
}
