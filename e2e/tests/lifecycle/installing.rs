//! What happens to the installation itself, and that workloads do not notice.

use std::process::Command;
use std::time::{Duration, Instant};

use e2e::operator::{self, NAMESPACE};
use e2e::{images, reaper};
use serde_json::Value;

use super::kit::{Kit, SOON, names, ok, restarts, run, texts_at, tree, uids, worker};
use super::samples::Witness;
use super::support::{OPERATOR, requests_of};

const CHART: &str = "coppice charts/coppice -n coppice-system --wait --timeout 120s";
const WORKLOADS: &str = "pods -A -l coppice.dev/tree";

/// Installs as documented, into a namespace where only restricted Pods may run.
pub async fn by_helm(kit: &Kit) {
    kit.kubectl(&format!("create namespace {NAMESPACE}")).await;
    let restricted = "pod-security.kubernetes.io/enforce=restricted";
    kit.kubectl(&format!("label namespace {NAMESPACE} {restricted}"))
        .await;
    kit.helm(&format!("install {CHART}")).await;
}

/// The two Pods of the operator.
pub async fn operator_pods(kit: &Kit) -> Vec<Value> {
    let label = "app.kubernetes.io/component=controller";
    let mut pods = kit.list(&format!("pods -n {NAMESPACE} -l {label}")).await;
    pods.retain(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    assert_eq!(pods.len(), 2, "{:?}", names(&pods));
    pods
}

/// The Pod of the operator that leads, by its Lease.
async fn leader_pod(kit: &Kit) -> Value {
    let lease = kit.list(&format!("lease coppice -n {NAMESPACE}")).await;
    let holder = lease[0]["spec"]["holderIdentity"].as_str().unwrap();
    kit.list(&format!("pod {holder} -n {NAMESPACE}"))
        .await
        .remove(0)
}

/// Asserts that the operators are the same processes as then.
pub async fn assert_never_restarted(kit: &Kit, then: &[Value]) {
    let now = operator_pods(kit).await;
    assert_eq!(uids(&now), uids(then));
    assert_eq!(restarts(&now), 0);
}

/// Asserts that the operator has asked for nothing that it has no right to, except for this resource.
pub async fn assert_nothing_was_forbidden(kit: &Kit, except: &str) {
    let existing = texts_at(&kit.list("namespaces").await, "/metadata/name");
    let forbidden: Vec<_> = requests_of(kit.cluster(), OPERATOR)
        .into_iter()
        // In a namespace that is going, nobody may create anything.
        .filter(|request| {
            request.code == 403
                && request.resource != except
                && (request.namespace.is_empty() || existing.contains(&request.namespace))
        })
        .collect();
    assert!(forbidden.is_empty(), "{forbidden:?}");
}

/// What the installed operator says of itself: probes, metrics, and logs that a machine can read.
pub async fn the_operator_tells_of_itself(kit: &Kit) {
    let pod = names(&[leader_pod(kit).await]).remove(0);
    let ask = |path: &str| {
        format!("get --raw /api/v1/namespaces/{NAMESPACE}/pods/{pod}:8080/proxy/{path}")
    };
    for probe in ["livez", "readyz"] {
        assert!(kit.kubectl(&ask(probe)).await.contains("ok"), "{probe}");
    }
    let metrics = kit.kubectl(&ask("metrics")).await;
    let leads = "leader_election_master_status{name=\"coppice\"} 1";
    assert!(metrics.contains(leads), "{metrics}");
    assert!(metrics.ends_with("# EOF\n"), "OpenMetrics: {metrics}");
    for verdict in ["Application", "Infrastructure", "Hold"] {
        let label = format!("verdict=\"{verdict}\"");
        assert!(metrics.contains(&label), "{verdict}: {metrics}");
    }

    let logs = kit.kubectl(&format!("logs {pod} -n {NAMESPACE}")).await;
    assert!(logs.lines().count() > 10);
    for line in logs.lines() {
        let entry: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("JSON: {line}"));
        assert!(
            entry["level"].is_string() && entry["timestamp"].is_string(),
            "{line}"
        );
    }
}

/// Neither an upgrade that changes nothing nor one that replaces the operator touches a workload.
pub async fn upgrade_touches_no_pod(kit: &Kit) {
    let before = Workloads::see(kit).await;
    let operators = operator_pods(kit).await;
    kit.helm(&format!("upgrade {CHART}")).await;
    assert_never_restarted(kit, &operators).await;
    before.assert_untouched(kit).await;

    kit.helm(&format!("upgrade {CHART} --set logLevel=debug"))
        .await;
    let (before_that, now) = (uids(&operators), uids(&operator_pods(kit).await));
    assert!(now.iter().all(|uid| !before_that.contains(uid)));
    every_tree_is_looked_at(kit).await;
    before.assert_untouched(kit).await;
}

/// Waits until the present operator has read every tree: it answers an edit of each, which changes nothing below.
async fn every_tree_is_looked_at(kit: &Kit) {
    for tree in kit.list("stree -A").await {
        let [namespace, name] =
            ["namespace", "name"].map(|key| tree["metadata"][key].as_str().unwrap());
        let max = tree["spec"]["intensity"]["maxRestarts"].as_i64().unwrap() + 1;
        let patch = format!(r#"{{"spec":{{"intensity":{{"maxRestarts":{max}}}}}}}"#);
        kit.kubectl(&format!(
            "patch stree {name} -n {namespace} --type=merge -p {patch}"
        ))
        .await;
        kit.ready(namespace, name).await;
    }
}

/// All Pods of all trees at one time, and how often the operator had written one by then.
struct Workloads(Vec<Value>, usize);

impl Workloads {
    async fn see(kit: &Kit) -> Self {
        let pods = kit.list(WORKLOADS).await;
        assert!(!pods.is_empty());
        Self(pods, writes_of_pods(kit))
    }

    async fn assert_untouched(&self, kit: &Kit) {
        let pods = kit.list(WORKLOADS).await;
        assert_eq!(uids(&pods), uids(&self.0));
        assert_eq!(restarts(&pods), restarts(&self.0));
        assert!(
            pods.iter()
                .all(|pod| pod["metadata"]["deletionTimestamp"].is_null())
        );
        assert_eq!(writes_of_pods(kit), self.1);
    }
}

/// How often the operator has written a Pod.
fn writes_of_pods(kit: &Kit) -> usize {
    let requests = requests_of(kit.cluster(), OPERATOR);
    let of_pods = requests.iter().filter(|one| {
        one.is_write() && (one.resource == "pods" || one.resource.starts_with("pods/"))
    });
    of_pods.count()
}

/// By hand, for one namespace: its tree can be deleted without an operator, the others keep their finalizer, and an
/// operator that comes back goes on.
pub async fn release_by_hand(kit: &Kit) {
    let namespace = kit.namespace("released").await;
    for name in ["gone", "kept"] {
        kit.apply(&namespace, &tree(name, &[worker("app", 1, &[])]))
            .await;
        kit.ready(&namespace, name).await;
    }
    let before = Workloads::see(kit).await;
    let printed = kit
        .coppice(&format!(
            "release -n {namespace} --stop {NAMESPACE}/coppice"
        ))
        .await;
    assert_eq!(printed.matches(" released\n").count(), 2, "{printed}");
    assert_eq!(with_finalizer(kit, &namespace).await, 0);
    assert!(with_finalizer(kit, "--all-namespaces").await > 0);
    before.assert_untouched(kit).await;

    kit.kubectl(&format!("delete stree gone -n {namespace} --timeout=60s"))
        .await;
    kit.until(
        &namespace,
        "the Pods go with their owner",
        SOON,
        async || (kit.pods(&namespace).await.len() == 1).then_some(()),
    )
    .await;

    kit.kubectl(&format!(
        "scale deployment coppice -n {NAMESPACE} --replicas=2"
    ))
    .await;
    kit.kubectl(&format!(
        "rollout status deployment coppice -n {NAMESPACE} --timeout=60s"
    ))
    .await;
    kit.until(&namespace, "the finalizer is back", SOON, async || {
        (with_finalizer(kit, &namespace).await == 1).then_some(())
    })
    .await;
    kit.kubectl(&format!("delete namespace {namespace} --timeout=60s"))
        .await;
}

async fn with_finalizer(kit: &Kit, namespace: &str) -> usize {
    let scope = match namespace {
        "--all-namespaces" => namespace.to_owned(),
        name => format!("-n {name}"),
    };
    let trees = kit.list(&format!("stree {scope}")).await;
    let ours = |tree: &&Value| {
        let finalizers = tree["metadata"]["finalizers"].as_array();
        finalizers.is_some_and(|all| all.iter().any(|one| one == "coppice.dev/ordered-stop"))
    };
    trees.iter().filter(ours).count()
}

/// Workloads run on, and their trees can be deleted although nobody looks after them any more.
pub async fn uninstall(kit: &Kit, witness: &Witness) {
    let before = Workloads::see(kit).await;
    let image = operator_pods(kit).await[0]["spec"]["containers"][0]["image"].clone();
    let hooks = kit.helm(&format!("get hooks coppice -n {NAMESPACE}")).await;
    assert!(hooks.contains(&format!("image: {image}")), "{hooks}");
    kit.helm(&format!(
        "uninstall coppice -n {NAMESPACE} --wait --timeout 120s"
    ))
    .await;
    before.assert_untouched(kit).await;
    assert_eq!(with_finalizer(kit, "--all-namespaces").await, 0);
    let ours = "deployments,jobs,pods,serviceaccounts,roles,rolebindings";
    let ours = format!("{ours} -n {NAMESPACE} -l app.kubernetes.io/name=coppice");
    kit.until(
        NAMESPACE,
        "nothing of the chart is left",
        SOON,
        async || kit.list(&ours).await.is_empty().then_some(()),
    )
    .await;
    assert_eq!(cluster_wide_rights(kit).await, Vec::<String>::new());

    for tree in kit.list("stree -A").await {
        let [namespace, name] =
            ["namespace", "name"].map(|key| tree["metadata"][key].as_str().unwrap());
        if namespace != witness.namespace {
            kit.kubectl(&format!("delete stree {name} -n {namespace} --timeout=60s"))
                .await;
        }
    }
    kit.until(
        &witness.namespace,
        "the Pods of the deleted trees are gone",
        SOON,
        async || {
            let pods = kit.list(WORKLOADS).await;
            pods.iter()
                .all(|pod| pod["metadata"]["namespace"] == witness.namespace)
                .then_some(())
        },
    )
    .await;
}

/// The `ClusterRoleBinding`s of the operator's account.
async fn cluster_wide_rights(kit: &Kit) -> Vec<String> {
    let mut bindings = kit.list("clusterrolebindings").await;
    bindings.retain(|binding| {
        let subjects = binding["subjects"].as_array().into_iter().flatten();
        subjects
            .into_iter()
            .any(|subject| subject["namespace"] == NAMESPACE)
    });
    names(&bindings)
}

/// Looks after one namespace, where it takes over what an earlier installation left, and has no rights elsewhere.
pub async fn for_one_namespace(kit: &Kit, witness: &Witness) {
    let elsewhere = kit.namespace("elsewhere").await;
    kit.apply(&elsewhere, &tree("ignored", &[worker("app", 1, &[])]))
        .await;
    let watched = &witness.namespace;
    kit.helm(&format!(
        "install {CHART} --set watchNamespaces={{{watched}}} --set nodes.read=false"
    ))
    .await;
    kit.apply(watched, &tree("second", &[worker("app", 1, &[])]))
        .await;
    kit.ready(watched, "second").await;
    witness.is_cared_for(kit).await;

    assert_eq!(
        kit.tree(&elsewhere, "ignored").await["status"]["observedGeneration"],
        -1
    );
    assert!(kit.pods(&elsewhere).await.is_empty());
    assert_eq!(cluster_wide_rights(kit).await, Vec::<String>::new());
    // It finds out by asking that it may not read nodes.
    assert_nothing_was_forbidden(kit, "nodes").await;

    kit.helm(&format!(
        "uninstall coppice -n {NAMESPACE} --wait --timeout 120s"
    ))
    .await;
    assert_eq!(with_finalizer(kit, "--all-namespaces").await, 0);
}

/// Without Helm, as documented.
pub async fn by_kubectl_on_an_empty_cluster(kit: &Kit) {
    kit.kubectl("delete -f crds/ --timeout=60s").await;
    kit.kubectl(&format!("delete namespace {NAMESPACE} --timeout=60s"))
        .await;
    // What it cannot do without comes later: it waits, unready, and does not restart.
    kit.kubectl("apply -f manifests/install.yaml").await;
    kit.until(
        NAMESPACE,
        "the operator misses the definitions",
        SOON,
        async || {
            let logs = kit
                .try_kubectl(&format!("logs deployment/coppice -n {NAMESPACE}"), None)
                .await;
            let logs = String::from_utf8_lossy(&logs.stdout).into_owned();
            logs.contains("not watching; will retry").then_some(())
        },
    )
    .await;
    let waiting = operator_pods(kit).await;
    for pod in &waiting {
        assert_ne!(pod["status"]["containerStatuses"][0]["ready"], true);
    }
    kit.kubectl("apply -f crds/ -f manifests/install.yaml")
        .await;
    kit.kubectl(&format!(
        "rollout status deployment coppice -n {NAMESPACE} --timeout=60s"
    ))
    .await;
    assert_never_restarted(kit, &waiting).await;
    let namespace = kit.namespace("sample").await;
    kit.kubectl("wait --for=condition=Established --timeout=30s -f crds/")
        .await;
    kit.kubectl(&format!(
        "apply -n {namespace} -f manifests/samples/one-worker.yaml"
    ))
    .await;
    kit.ready(&namespace, "hello").await;
    kit.kubectl(&format!("delete stree hello -n {namespace} --timeout=60s"))
        .await;
    kit.kubectl("delete -f manifests/install.yaml --timeout=60s")
        .await;
}

/// On a cluster that somebody else runs, with the operator as a process of this machine: the demonstration, and tests
/// of the layer that `CLUSTER=current make test` adds, all but its long ones.
pub async fn beside_a_current_cluster(kit: &Kit) {
    let demo = Command::new(reaper::lab_binary().unwrap());
    let told = as_current(kit, demo, "demo").await;
    assert!(told.contains("the operator ends"), "{told}");

    let words =
        "test --locked -p e2e --features cluster --test cluster -- harness:: heal::a_deleted";
    let told = as_current(kit, images::cargo(), words).await;
    assert!(told.contains("2 passed; 0 failed"), "{told}");

    let namespaces = texts_at(&kit.list("namespaces").await, "/metadata/name");
    let is_left = |name: &String| {
        ["coppice-demo", "harness-", "deleted-"]
            .iter()
            .any(|p| name.starts_with(p))
    };
    assert!(
        !namespaces.iter().any(is_left),
        "nothing is left: {namespaces:?}"
    );
}

/// Told to stop, the operator ends at once and in order.
pub async fn ends_when_told(kit: &Kit) {
    let namespace = kit.namespace("term").await;
    let of = ["--watch-namespace", &namespace];
    let kubeconfig = kit.cluster().kubeconfig();
    let operator = operator::start_local(kit.cluster(), kubeconfig, &of).await;
    let operator = operator.unwrap();
    kit.apply(&namespace, &tree("busy", &[worker("app", 2, &[])]))
        .await;
    assert!(operator.pid().signal(rustix::process::Signal::TERM));
    let told = Instant::now();
    let status = kit
        .until(
            &namespace,
            "the operator ends",
            Duration::from_secs(15),
            async || operator.ended(),
        )
        .await;
    assert!(status.success(), "{status}");
    println!("the operator ended {:.1?} after TERM", told.elapsed());
    let log = std::fs::read_to_string(operator.log()).unwrap();
    assert!(log.contains("stopped"), "{log}");
}

/// What a program printed that was told to use the cluster as its user's own.
async fn as_current(kit: &Kit, mut program: Command, words: &str) -> String {
    program
        .env("CLUSTER", "current")
        .env("KUBECONFIG", kit.cluster().kubeconfig())
        .env("IMAGE", images::SAMPLES.rsplit('/').next().unwrap())
        .env("PATH", kit.cluster().run().binaries().search_path());
    let output = tokio::time::timeout(Duration::from_mins(5), run(program, words, None)).await;
    ok(words, &output.expect("it ends"))
}

/// Of an image that holds nothing but a program, the program's size is the size. In bytes.
const LARGEST_IMAGE: u64 = 20_000_000;

#[test]
fn the_operators_image_is_small() {
    let program = operator::static_program().unwrap();
    let size = program.metadata().unwrap().len();
    println!("the operator's image: {size} bytes");
    assert!(size <= LARGEST_IMAGE, "{size} bytes");
}
