//! Installing, upgrading and uninstalling on a real API server, with kubectl and with Helm.
//!
//! Rule: no Pod runs here; what the API server says about the objects is what is asserted.
#![cfg(feature = "cluster")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use e2e::build::{self, Scope};
use e2e::cache;
use e2e::cluster::{Cluster, Profile};

const DEFINITIONS: &str = "customresourcedefinition.apiextensions.k8s.io/supervisiontrees.coppice.dev \
                           customresourcedefinition.apiextensions.k8s.io/workers.coppice.dev";
const HELM_INSTALL: &str = "install coppice charts/coppice -n coppice-system --create-namespace";

async fn api_server() -> Cluster {
    Cluster::start(Profile::ApiServer).await.unwrap()
}

/// Runs kubectl with these words as its arguments.
fn kubectl(cluster: &Cluster, words: &str) -> Output {
    run(cluster.command("kubectl"), words)
}

/// Runs Helm with these words as its arguments.
fn helm(cluster: &Cluster, words: &str) -> Output {
    let binaries = build::build(&cache::folder().unwrap(), Scope::Full).unwrap();
    let mut command = Command::new(binaries.path("helm"));
    command.env("KUBECONFIG", cluster.kubeconfig());
    run(command, words)
}

fn run(mut command: Command, words: &str) -> Output {
    command
        .current_dir(root())
        .args(words.split_whitespace())
        .output()
        .unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[track_caller]
fn ok(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{out}{err}");
    out.into_owned()
}

/// Waits until the definitions are served.
fn established(cluster: &Cluster) {
    ok(&kubectl(
        cluster,
        &format!("wait --for=condition=Established --timeout=30s {DEFINITIONS}"),
    ));
}

fn apply_samples(cluster: &Cluster) -> Output {
    established(cluster);
    kubectl(cluster, "apply -f manifests/samples")
}

/// Each is a tree in a file of its own.
fn count_samples() -> usize {
    let files = fs::read_dir(root().join("manifests/samples")).unwrap();
    files.count()
}

#[track_caller]
fn assert_definitions_are_there(cluster: &Cluster) {
    let found = ok(&kubectl(cluster, "get customresourcedefinitions -o name"));
    assert_eq!(
        found.split_whitespace().collect::<Vec<_>>(),
        DEFINITIONS.split_whitespace().collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn kubectl_installs_on_an_empty_cluster_and_changes_nothing_the_second_time() {
    let cluster = api_server().await;
    let install = "apply -f crds/ -f manifests/install.yaml --warnings-as-errors";
    let created = ok(&kubectl(&cluster, install));
    assert!(
        created.lines().all(|line| line.ends_with(" created")),
        "{created}"
    );
    let samples = ok(&apply_samples(&cluster));
    let trees = count_samples();
    assert_eq!(samples.matches(" created").count(), trees, "{samples}");

    let again = ok(&kubectl(&cluster, install));
    // Of a budget kubectl always says "configured", because its selector is replaced as a whole; it is the same.
    let budget = "poddisruptionbudget.policy/coppice";
    let is_same = |line: &str| line.ends_with(" unchanged") || line.starts_with(budget);
    assert!(again.lines().all(is_same), "{again}");
    let generation = "get pdb coppice -n coppice-system -o jsonpath={.metadata.generation}";
    assert_eq!(ok(&kubectl(&cluster, generation)), "1");
    // Of trees kubectl says "configured", because items of the list got defaults; the spec is the same.
    ok(&apply_samples(&cluster));
    let generations = "get stree -o jsonpath={.items[*].metadata.generation}";
    let unchanged = vec!["1"; trees].join(" ");
    assert_eq!(ok(&kubectl(&cluster, generations)), unchanged);
    cluster.stop().unwrap();
}

#[tokio::test]
async fn helm_keeps_definitions_and_trees_on_uninstall_and_takes_them_over_again() {
    let cluster = api_server().await;
    let notes = ok(&helm(&cluster, HELM_INSTALL));
    assert!(notes.contains("of all namespaces."), "{notes}");
    assert_definitions_are_there(&cluster);
    ok(&apply_samples(&cluster));

    // Without the hook, because no Pod runs here.
    ok(&helm(
        &cluster,
        "uninstall coppice -n coppice-system --no-hooks",
    ));
    assert_definitions_are_there(&cluster);
    assert_eq!(
        ok(&kubectl(&cluster, "get supervisiontrees -o name"))
            .lines()
            .count(),
        count_samples()
    );
    let all = "deployments,poddisruptionbudgets,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,\
               validatingadmissionpolicies,validatingadmissionpolicybindings";
    let left = format!("get {all} -A -l app.kubernetes.io/name=coppice -o name");
    assert_eq!(ok(&kubectl(&cluster, &left)), "");

    ok(&helm(&cluster, HELM_INSTALL));
    cluster.stop().unwrap();
}

#[tokio::test]
async fn an_upgrade_brings_the_new_definitions() {
    let cluster = api_server().await;
    let older = cluster.run().dir().join("older-chart");
    copy(&root().join("charts/coppice"), &older);
    let definition = older.join("crds-files/coppice.dev_supervisiontrees.yaml");
    let text = fs::read_to_string(&definition).unwrap();
    fs::write(&definition, text.replace("name: Ready", "name: Formerly")).unwrap();
    let columns = || {
        let path = "jsonpath={.spec.versions[0].additionalPrinterColumns[*].name}";
        let column = format!("get crd supervisiontrees.coppice.dev -o {path}");
        ok(&kubectl(&cluster, &column))
    };

    ok(&helm(
        &cluster,
        &HELM_INSTALL.replace("charts/coppice", older.to_str().unwrap()),
    ));
    assert!(columns().starts_with("Formerly "), "{}", columns());
    ok(&helm(
        &cluster,
        "upgrade coppice charts/coppice -n coppice-system",
    ));
    assert!(columns().starts_with("Ready "), "{}", columns());
    cluster.stop().unwrap();
}

/// Copies a folder, with what its links lead to.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = (
            entry.as_ref().unwrap().path(),
            to.join(entry.unwrap().file_name()),
        );
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
        }
    }
}

#[tokio::test]
async fn definitions_of_others_are_taken_over_only_when_asked() {
    let cluster = api_server().await;
    ok(&kubectl(&cluster, "apply -f crds/"));
    let taken = helm(&cluster, HELM_INSTALL);
    assert!(!taken.status.success());
    let error = String::from_utf8_lossy(&taken.stderr);
    assert!(error.contains("invalid ownership metadata"), "{error}");

    let again = HELM_INSTALL.replace("install", "upgrade --install");
    ok(&helm(
        &cluster,
        &format!("{again} --take-ownership --force-conflicts"),
    ));
    let path = "jsonpath={.metadata.annotations.meta\\.helm\\.sh/release-name}";
    let owner = format!("get crd workers.coppice.dev -o {path}");
    assert_eq!(ok(&kubectl(&cluster, &owner)), "coppice");
    cluster.stop().unwrap();
}

#[tokio::test]
async fn definitions_of_others_can_be_left_to_them() {
    let cluster = api_server().await;
    ok(&kubectl(&cluster, "apply -f crds/"));
    let notes = ok(&helm(
        &cluster,
        &format!("{HELM_INSTALL} --set crds.install=false"),
    ));
    assert!(
        notes.contains("were not installed (crds.install=false)"),
        "{notes}"
    );
    cluster.stop().unwrap();
}

#[tokio::test]
async fn rights_end_at_the_listed_namespaces() {
    let cluster = api_server().await;
    ok(&kubectl(&cluster, "create namespace blue"));
    ok(&kubectl(&cluster, "create namespace green"));
    let notes = ok(&helm(
        &cluster,
        &format!("{HELM_INSTALL} --set watchNamespaces={{blue}}"),
    ));
    assert!(notes.contains("of these namespaces: blue."), "{notes}");
    established(&cluster);
    // The API server learns of new rights a moment after they are stored.
    let deadline = Instant::now() + Duration::from_secs(30);
    for request in [
        "list supervisiontrees.coppice.dev -n blue",
        "create pods -n blue",
        "watch nodes",
        "create leases.coordination.k8s.io -n coppice-system",
        "update leases.coordination.k8s.io/coppice -n coppice-system",
        "watch leases.coordination.k8s.io/coppice -n coppice-system",
    ] {
        while !may(&cluster, request) {
            assert!(Instant::now() < deadline, "{request} is not allowed");
        }
    }
    for request in [
        "list supervisiontrees.coppice.dev -n green",
        "list supervisiontrees.coppice.dev -A",
        "update supervisiontrees.coppice.dev -n blue",
        "delete supervisiontrees.coppice.dev -n blue",
        "create pods -n green",
        "create pods -n coppice-system",
        "create pods --subresource=exec -n blue",
        "get secrets -n blue",
        "get configmaps -n blue",
        "patch nodes",
        "update leases.coordination.k8s.io/other -n coppice-system",
        "get leases.coordination.k8s.io -n coppice-system",
        "update leases.coordination.k8s.io/coppice -n kube-system",
        "delete leases.coordination.k8s.io/coppice -n coppice-system",
    ] {
        assert!(!may(&cluster, request), "{request} is allowed");
    }
    cluster.stop().unwrap();
}

/// Whether the operator may do that.
fn may(cluster: &Cluster, request: &str) -> bool {
    let account = "--as=system:serviceaccount:coppice-system:coppice";
    kubectl(cluster, &format!("auth can-i {request} {account}"))
        .status
        .success()
}
