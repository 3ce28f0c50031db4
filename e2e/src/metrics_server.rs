//! What Pods and nodes use, for whoever scales by it: the real metrics-server, as a process beside the cluster.
//!
//! Rule: it is asked as in any cluster, through the API server and a Service; only the Service leads to the machine.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::cluster::Cluster;
use crate::pki::Pki;
use crate::{kwok, network, pki, process};

/// The name of the `APIService`: once it is `Available`, the API server answers for the metrics.
pub const API_SERVICE: &str = "v1beta1.metrics.k8s.io";
/// What lets a controller manager scale within seconds of the load, where it would take minutes by default. Without a
/// `HorizontalPodAutoscaler` they change nothing.
pub const QUICK_AUTOSCALER: [&str; 3] = [
    "--horizontal-pod-autoscaler-sync-period=3s",
    "--horizontal-pod-autoscaler-initial-readiness-delay=5s",
    "--horizontal-pod-autoscaler-cpu-initialization-period=10s",
];
const NAMESPACE: &str = "kube-system";
const PROGRAM: &str = "metrics-server";
/// One full cluster runs at a time, and its bridge is its own.
const PORT: u16 = 4443;
/// It listens within a second on an idle machine.
const READY: Duration = Duration::from_mins(1);

/// Why nothing measures.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster is somebody else's.
    #[error("measure Pods of a cluster that the harness did not start")]
    NotOurs,
    /// Its certificate could not be made.
    #[error("certify the metrics-server")]
    Pki(#[source] pki::Error),
    /// It did not start.
    #[error("start the metrics-server")]
    Process(#[source] process::Error),
}

/// Starts the metrics-server and waits until it listens; it ends with the cluster. Gives back the objects that make it
/// known to the cluster; they are to be applied then.
pub async fn start(cluster: &Cluster) -> Result<Value, Error> {
    let pki = cluster.control_plane().ok_or(Error::NotOurs)?.pki();
    let host = format!("{PROGRAM}.{NAMESPACE}.svc");
    let addresses = [IpAddr::V4(network::HOST)];
    let serving = pki
        .server_files(PROGRAM, PROGRAM, &[], &[&host], &addresses)
        .map_err(Error::Pki)?;
    let mut program = cluster
        .run()
        .program(PROGRAM, PROGRAM)
        .flag("bind-address", network::HOST.to_string())
        .flag("secure-port", PORT.to_string())
        .flag("tls-cert-file", &serving.certificate)
        .flag("tls-private-key-file", &serving.key)
        .flag("kubelet-certificate-authority", pki.ca_file())
        .flag("kubelet-preferred-address-types", "InternalIP")
        // Nobody runs on simulated nodes who could tell.
        .flag("node-selector", format!("{}!=kwok", kwok::LABEL))
        // The shortest that it takes.
        .flag("metric-resolution", "10s")
        .flag("kubelet-request-timeout", "5s");
    for kubeconfig in ["", "authentication-", "authorization-"] {
        program = program.flag(&format!("{kubeconfig}kubeconfig"), cluster.kubeconfig());
    }
    let process = cluster.run().spawn(program).map_err(Error::Process)?;
    let listens = async || TcpStream::connect((network::HOST, PORT)).await.is_ok();
    process
        .ready(READY, listens)
        .await
        .map_err(Error::Process)?;
    Ok(objects(pki))
}

/// A Service that leads to the machine, and the API that it serves.
fn objects(pki: &Pki) -> Value {
    let named = json!({"name": PROGRAM, "namespace": NAMESPACE});
    let mut slice = named.clone();
    slice["labels"] = json!({"kubernetes.io/service-name": PROGRAM});
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": named,
            "spec": {"ports": [{"name": "https", "port": 443, "targetPort": PORT}]},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": slice,
            "addressType": "IPv4",
            "endpoints": [{"addresses": [network::HOST], "conditions": {"ready": true}}],
            "ports": [{"name": "https", "port": PORT, "protocol": "TCP"}],
        },
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": API_SERVICE},
            "spec": {
                "group": "metrics.k8s.io",
                "version": "v1beta1",
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "service": named,
                "caBundle": BASE64_STANDARD.encode(pki.ca()),
            },
        },
    ]})
}
