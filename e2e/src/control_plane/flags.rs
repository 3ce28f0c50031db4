//! The command lines of the control plane.
//!
//! Rule: a flag stands here only if the cluster needs it; whatever Kubernetes does by default, it does here too.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{API_SERVICE, Options, SERVICES};
use crate::pki::{self, IdentityFiles, Pki};
use crate::process::Program;
use crate::run::Run;

/// Who the API server is to the servers of other APIs.
const AGGREGATOR: &str = "front-proxy-client";

/// The files that the programs are given.
#[derive(Debug)]
pub(super) struct Files {
    ca: PathBuf,
    etcd: IdentityFiles,
    etcd_client: IdentityFiles,
    api_server: IdentityFiles,
    kubelet_client: IdentityFiles,
    aggregator: IdentityFiles,
    aggregator_ca: PathBuf,
    service_account_private: PathBuf,
    service_account_public: PathBuf,
    audit_policy: PathBuf,
    pub(super) audit_log: PathBuf,
}

impl Files {
    /// `aggregation` signs nothing but who the API server is to the servers of other APIs: they believe whoever shows that
    /// certificate for whom he asks.
    pub(super) fn create(
        pki: &Pki,
        aggregation: &Pki,
        folder: &Path,
        address: IpAddr,
    ) -> Result<Self, pki::Error> {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        let names = [
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "localhost",
        ];
        let (service_account_private, service_account_public) = pki.service_account_keys()?;
        let files = Self {
            ca: pki.ca_file(),
            etcd: pki.server_files("etcd", "etcd", &[], &["localhost"], &[loopback])?,
            etcd_client: pki.client_files("etcd-client", "kube-apiserver", &[])?,
            api_server: pki.server_files(
                "apiserver",
                "kube-apiserver",
                &[],
                &names,
                &[address, loopback, API_SERVICE],
            )?,
            kubelet_client: pki.client_files("kubelet-client", super::KUBELET_CLIENT, &[])?,
            aggregator: aggregation.client_files("aggregator", AGGREGATOR, &[])?,
            aggregator_ca: aggregation.ca_file(),
            service_account_private,
            service_account_public,
            audit_policy: folder.join("audit-policy.yaml"),
            audit_log: folder.join("audit.log"),
        };
        // The first stage says nothing that the last one does not say too; of a watch both begin and end are kept. Of a
        // delete it is kept what it demanded of the object.
        let deletes = json!({"level": "Request", "verbs": ["delete"],
            "resources": [{"group": "", "resources": ["pods"]}, {"group": "coppice.dev"}]});
        let policy = json!({
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "rules": [deletes, {"level": "Metadata"}],
        });
        pki::write_private(&files.audit_policy, &policy.to_string())?;
        Ok(files)
    }
}

pub(super) fn etcd(
    run: &Run,
    files: &Files,
    data: &Path,
    client_port: u16,
    peer_port: u16,
    fsync: bool,
) -> Program {
    let (client, peer) = (
        format!("https://127.0.0.1:{client_port}"),
        format!("https://127.0.0.1:{peer_port}"),
    );
    let mut program = run
        .program("etcd", "etcd")
        .flag("name", "etcd")
        .flag("data-dir", data)
        .flag("log-level", "warn")
        .flag("listen-client-urls", &client)
        .flag("advertise-client-urls", &client)
        .flag("listen-peer-urls", &peer)
        .flag("initial-advertise-peer-urls", &peer)
        .flag("initial-cluster", format!("etcd={peer}"));
    for prefix in ["", "peer-"] {
        program = program
            .flag(&format!("{prefix}cert-file"), &files.etcd.certificate)
            .flag(&format!("{prefix}key-file"), &files.etcd.key)
            .flag(&format!("{prefix}trusted-ca-file"), &files.ca)
            .flag(&format!("{prefix}client-cert-auth"), "true");
    }
    if fsync {
        program
    } else {
        program.arg("--unsafe-no-fsync")
    }
}

pub(super) fn api_server(
    run: &Run,
    files: &Files,
    etcd_port: u16,
    port: u16,
    options: &Options,
) -> Program {
    // The address that Pods find behind the Service `kubernetes`; it may not be a loopback address. Without nodes
    // nobody asks for it, and one that is set aside for documentation stands in its place.
    let advertised = if options.address.is_loopback() {
        "192.0.2.1".to_owned()
    } else {
        options.address.to_string()
    };
    run.program("kube-apiserver", "kube-apiserver")
        .flag("bind-address", options.address.to_string())
        .flag("advertise-address", advertised)
        .flag("secure-port", port.to_string())
        .flag("etcd-servers", format!("https://127.0.0.1:{etcd_port}"))
        .flag("etcd-cafile", &files.ca)
        .flag("etcd-certfile", &files.etcd_client.certificate)
        .flag("etcd-keyfile", &files.etcd_client.key)
        .flag("tls-cert-file", &files.api_server.certificate)
        .flag("tls-private-key-file", &files.api_server.key)
        .flag("client-ca-file", &files.ca)
        .flag("authorization-mode", "Node,RBAC")
        .flag("enable-admission-plugins", "NodeRestriction")
        .flag(
            "service-account-issuer",
            "https://kubernetes.default.svc.cluster.local",
        )
        .flag(
            "service-account-signing-key-file",
            &files.service_account_private,
        )
        .flag("service-account-key-file", &files.service_account_public)
        .flag("service-cluster-ip-range", SERVICES)
        .flag(
            "kubelet-client-certificate",
            &files.kubelet_client.certificate,
        )
        .flag("kubelet-client-key", &files.kubelet_client.key)
        .flag("kubelet-certificate-authority", &files.ca)
        .flag("kubelet-preferred-address-types", "InternalIP")
        .flag("requestheader-client-ca-file", &files.aggregator_ca)
        .flag("requestheader-allowed-names", AGGREGATOR)
        .flag("requestheader-username-headers", "X-Remote-User")
        .flag("requestheader-group-headers", "X-Remote-Group")
        .flag("requestheader-extra-headers-prefix", "X-Remote-Extra-")
        .flag("proxy-client-cert-file", &files.aggregator.certificate)
        .flag("proxy-client-key-file", &files.aggregator.key)
        // The machine has no route to the addresses of Services.
        .flag("enable-aggregator-routing", "true")
        .flag("allow-privileged", "true")
        .flag("audit-policy-file", &files.audit_policy)
        .flag("audit-log-path", &files.audit_log)
        // Large enough that the log is never cut in two while somebody reads it.
        .flag("audit-log-maxsize", "4096")
        .args(&options.api_server_flags)
}

pub(super) fn controller_manager(
    run: &Run,
    files: &Files,
    kubeconfig: &Path,
    port: u16,
    options: &Options,
) -> Program {
    component(run, "kube-controller-manager", kubeconfig, port)
        .flag(
            "service-account-private-key-file",
            &files.service_account_private,
        )
        .flag("root-ca-file", &files.ca)
        .flag("use-service-account-credentials", "true")
        // Nodes are told their Pods' addresses by the harness, which also sets the routes.
        .flag("allocate-node-cidrs", "false")
        .args(&options.controller_manager_flags)
}

pub(super) fn scheduler(run: &Run, kubeconfig: &Path, port: u16, options: &Options) -> Program {
    component(run, "kube-scheduler", kubeconfig, port).args(&options.scheduler_flags)
}

/// What controller manager and scheduler have in common.
fn component(run: &Run, name: &str, kubeconfig: &Path, port: u16) -> Program {
    run.program(name, name)
        .flag("kubeconfig", kubeconfig)
        .flag("authentication-kubeconfig", kubeconfig)
        .flag("authorization-kubeconfig", kubeconfig)
        .flag("bind-address", "127.0.0.1")
        .flag("secure-port", port.to_string())
        .flag("leader-elect", "false")
}
