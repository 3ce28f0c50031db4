//! Claims without a volume, and volumes that do not reach their Pod.
//!
//! Rule: volumes and classes belong to the whole cluster, so their names are those of the test's namespace.

use serde_json::{Value, json};

use super::expected::fault;
use super::kit::Case;
use super::specs::{idle_app_with, merge};

const SAID: &str = "conditions[PodScheduled].message";

/// The spec of a Pod that mounts that volume.
fn with_volume(source: Value) -> Value {
    let mut volume = json!({"name": "data"});
    merge(&mut volume, source);
    let mount = json!({"name": "data", "mountPath": "/data"});
    let mut spec = idle_app_with(json!({"volumeMounts": [mount]}));
    merge(&mut spec, json!({"volumes": [volume]}));
    spec
}

/// The spec of a Pod that mounts the claim `data`.
fn with_claim() -> Value {
    with_volume(json!({"persistentVolumeClaim": {"claimName": "data"}}))
}

/// The claim `data` of that class and access mode.
fn claim(class: &str, mode: &str, fields: Value) -> Value {
    let mut spec = json!({
        "storageClassName": class,
        "accessModes": [mode],
        "resources": {"requests": {"storage": "1Mi"}},
    });
    merge(&mut spec, fields);
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": spec})
}

/// A storage class.
fn class(name: &str, provisioner: &str, mode: &str) -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": provisioner,
        "volumeBindingMode": mode,
    })
}

/// A volume of that class, kept when its claim goes.
fn volume(name: &str, mode: &str, source: Value) -> Value {
    let mut spec = json!({
        "storageClassName": name,
        "accessModes": [mode],
        "capacity": {"storage": "1Mi"},
        "persistentVolumeReclaimPolicy": "Retain",
    });
    merge(&mut spec, source);
    json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec})
}

/// A folder of the node.
fn folder() -> Value {
    json!({"hostPath": {"path": "/tmp"}})
}

/// A volume and a claim that belong together.
fn bound(case: &Case, mode: &str, source: Value) {
    let name = case.namespace();
    case.apply(&[
        volume(name, mode, source),
        claim(name, mode, json!({"volumeName": name})),
    ]);
    let wait = [
        "wait",
        "pvc/data",
        "--for=jsonpath={.status.phase}=Bound",
        "--timeout=60s",
    ];
    case.space.kubectl(&wait);
}

#[tokio::test]
async fn pvc_missing() {
    let case = Case::new("claim").await;
    case.pod(with_claim()).await;
    let expected = fault("PvcMissing", "Hold", "Witnessed");
    case.shows(expected.by(SAID, "data")).await;
}

#[tokio::test]
async fn pvc_unbound() {
    let case = Case::new("unbound").await;
    let name = case.namespace();
    case.apply(&[
        class(name, "coppice.test/nobody", "Immediate"),
        claim(name, "ReadWriteOnce", json!({})),
    ]);
    case.pod(with_claim()).await;
    let expected = fault("PvcUnbound", "Wait", "Witnessed");
    case.shows(expected.by(SAID, "unbound")).await;
}

#[tokio::test]
async fn storage_class_missing() {
    let case = Case::new("storage-class").await;
    case.apply(&[claim("not-there", "ReadWriteOnce", json!({}))]);
    case.pod(with_claim()).await;
    let expected = fault("StorageClassMissing", "Hold", "Witnessed");
    case.shows(expected.by("message", "not-there")).await;
}

#[tokio::test]
async fn wait_for_first_consumer() {
    let case = Case::new("consumer").await;
    let name = case.namespace();
    case.apply(&[
        class(name, "kubernetes.io/no-provisioner", "WaitForFirstConsumer"),
        claim(name, "ReadWriteOnce", json!({})),
    ]);
    let expected = fault("WaitForFirstConsumer", "None", "Witnessed");
    let expected = expected.by("message", "first consumer");
    case.shows_of_object("PersistentVolumeClaim", "data", expected)
        .await;
}

#[tokio::test]
async fn no_matching_volume() {
    let case = Case::new("no-volume").await;
    let name = case.namespace();
    case.apply(&[
        class(name, "kubernetes.io/no-provisioner", "WaitForFirstConsumer"),
        claim(name, "ReadWriteOnce", json!({})),
    ]);
    case.pod(with_claim()).await;
    let expected = fault("NoMatchingVolume", "Wait", "Witnessed");
    case.shows(expected.by(SAID, "persistent volumes to bind"))
        .await;
}

#[tokio::test]
async fn volume_node_affinity_conflict() {
    let case = Case::new("elsewhere").await;
    let zone = json!({"key": "coppice.test/zone", "operator": "In", "values": ["not-there"]});
    let required = json!({"nodeSelectorTerms": [{"matchExpressions": [zone]}]});
    let mut source = folder();
    merge(&mut source, json!({"nodeAffinity": {"required": required}}));
    bound(&case, "ReadWriteOnce", source);
    case.pod(with_claim()).await;
    let expected = fault("VolumeNodeAffinityConflict", "Wait", "Witnessed");
    case.shows(expected.by(SAID, "node affinity")).await;
}

#[tokio::test]
async fn rwop_conflict() {
    let case = Case::new("one-pod").await;
    bound(&case, "ReadWriteOncePod", folder());
    let first = json!({"metadata": {"name": "first"}, "spec": with_claim()});
    case.pod_like(first).await;
    case.until_running("first").await;
    case.pod(with_claim()).await;
    let expected = fault("RwopConflict", "Wait", "Witnessed");
    case.shows(expected.by(SAID, "ReadWriteOncePod")).await;
}

#[tokio::test]
async fn claim_lost() {
    let case = Case::new("lost").await;
    bound(&case, "ReadWriteOnce", folder());
    let pv = case.namespace();
    let free = r#"{"metadata":{"finalizers":null}}"#;
    case.space.kubectl(&["delete", "pv", pv, "--wait=false"]);
    case.space.kubectl(&["patch", "pv", pv, "-p", free]);
    let expected = fault("ClaimLost", "Hold", "Proved");
    let expected = expected.by("status.phase", "Lost");
    case.shows_of_object("PersistentVolumeClaim", "data", expected)
        .await;
    case.pod(with_claim()).await;
    let expected = fault("ClaimLost", "Hold", "Witnessed");
    case.shows(expected.by(SAID, "non-existent")).await;
}

#[tokio::test]
async fn host_path_invalid() {
    let case = Case::new("host-path").await;
    let path = json!({"path": "/there/is/no/such/folder", "type": "Directory"});
    case.pod(with_volume(json!({"hostPath": path}))).await;
    let expected = fault("HostPathInvalid", "Hold", "Witnessed");
    case.shows(expected.by("message", "hostPath type check failed"))
        .await;
}

/// Without a `type` the kubelet asks for nothing, and the runtime tries to make the folder.
#[tokio::test]
async fn host_path_invalid_because_it_cannot_be_made() {
    let case = Case::new("no-folder").await;
    let path = json!({"path": "/proc/not-there"});
    case.pod(with_volume(json!({"hostPath": path}))).await;
    let expected = fault("HostPathInvalid", "Hold", "Witnessed");
    let expected = expected.of("app");
    case.shows(expected.by(".state.waiting.message", "/proc/not-there"))
        .await;
}

#[tokio::test]
async fn csi_driver_missing() {
    let case = Case::new("csi").await;
    let driver = format!("{}.coppice.test", case.namespace());
    case.apply(&[json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSIDriver",
        "metadata": {"name": driver},
        "spec": {"attachRequired": false},
    })]);
    let source = json!({"csi": {"driver": driver, "volumeHandle": "v"}});
    bound(&case, "ReadWriteOnce", source);
    case.pod(with_claim()).await;
    let expected = fault("CsiDriverMissing", "Infrastructure", "Witnessed");
    case.shows(expected.by("message", "list of registered CSI drivers"))
        .await;
}

#[tokio::test]
async fn mount_failed() {
    let case = Case::new("nfs").await;
    let nfs = json!({"nfs": {"server": "127.0.0.1", "path": "/"}});
    case.pod(with_volume(nfs)).await;
    let expected = fault("MountFailed", "Infrastructure", "Witnessed");
    case.shows(expected.by("message", "mount failed")).await;
}
