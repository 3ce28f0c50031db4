//! Volumes on the disks of the nodes, made when a claim asks for one: a real dynamic provisioner, as a process beside the cluster.
//!
//! Rule: it knows the cluster by its kubeconfig only, and what it makes on a disk ends with the run.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::{images, process, run};

/// The storage class of these volumes.
pub const CLASS: &str = "local-path";
/// Where the Pods that make and remove directories run.
const NAMESPACE: &str = "local-path-storage";
const CONFIG_MAP: &str = "local-path-config";
const PROGRAM: &str = "local-path-provisioner";

/// Why there is no provisioner.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder of the volumes could not be made.
    #[error("make the folder of the volumes")]
    Folder(#[source] run::Error),
    /// The configuration could not be written.
    #[error("write {path}")]
    Config {
        /// The file.
        path: PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
    /// The provisioner did not start.
    #[error("start the provisioner")]
    Process(#[source] process::Error),
}

/// The objects that the provisioner needs; `config` is its configuration. They are to be applied before it is started.
pub fn objects(cluster: &Cluster) -> Result<Value, Error> {
    let volumes = cluster.run().folder("volumes").map_err(Error::Folder)?;
    let helper = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "helper"},
        "spec": {
            "securityContext": {"runAsUser": 0},
            "containers": [{"name": "helper", "image": images::WORKLOAD, "imagePullPolicy": "IfNotPresent"}],
        },
    });
    Ok(json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "local-path-provisioner-service-account", "namespace": NAMESPACE},
        },
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": CLASS},
            "provisioner": "rancher.io/local-path",
            "volumeBindingMode": "WaitForFirstConsumer",
            "reclaimPolicy": "Delete",
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": CONFIG_MAP, "namespace": NAMESPACE},
            "data": {
                "config.json": config(&volumes).to_string(),
                "setup": "#!/bin/sh\nset -eu\nmkdir -m 0777 -p \"$VOL_DIR\"\n",
                "teardown": "#!/bin/sh\nset -eu\nrm -rf \"$VOL_DIR\"\n",
                "helperPod.yaml": helper.to_string(),
            },
        },
    ]}))
}

fn config(volumes: &std::path::Path) -> Value {
    json!({"nodePathMap": [{"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": [volumes]}]})
}

/// Starts the provisioner. It ends with the cluster.
pub fn start(cluster: &Cluster) -> Result<(), Error> {
    let run = cluster.run();
    let volumes = run.folder("volumes").map_err(Error::Folder)?;
    let path = run.dir().join("local-path.json");
    let written = std::fs::write(&path, config(&volumes).to_string());
    written.map_err(|source| Error::Config {
        path: path.clone(),
        source,
    })?;
    let program = run
        .program(PROGRAM, PROGRAM)
        .args(["start"])
        .flag("config", &path)
        .flag("kubeconfig", cluster.kubeconfig())
        .flag("namespace", NAMESPACE)
        .flag("configmap-name", CONFIG_MAP)
        .flag("helper-image", images::WORKLOAD);
    run.spawn(program).map(drop).map_err(Error::Process)
}
