//! Two operators as processes, each with a name of its own for the Lease and for the API server.
//!
//! Rule: their rights are those that the chart gives its service account.

use std::path::Path;
use std::time::{Duration, Instant};

use e2e::cluster::Cluster;
use e2e::operator;
use e2e::process::{Process, Program};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use rustix::process::Signal;
use serde_json::json;

use crate::support::{self, Request, SYSTEM};

/// The group that has the operator's rights here.
const GROUP: &str = "operators";
/// The Lease that the chart's operator competes for.
const LEASE: &str = "coppice";
/// How long a change of leadership may take on a busy machine.
const WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// Applies the roles of the chart, and gives them to the group.
pub(crate) fn grant_rights(cluster: &Cluster) {
    support::ok(cluster, &["create", "namespace", SYSTEM], "");
    let templates = ["rbac.yaml", "leader-election.yaml"];
    operator::apply_from_chart(cluster, SYSTEM, &[], &templates).expect("rights");
    let group = format!("--group={GROUP}");
    for role in ["coppice", "coppice-nodes"] {
        let binding = format!("{role}-{GROUP}");
        let role = format!("--clusterrole={role}");
        let words = ["create", "clusterrolebinding", &binding, &role, &group];
        support::ok(cluster, &words, "");
    }
    let role = "--role=coppice-leader-election";
    let words = ["-n", SYSTEM, "create", "rolebinding", GROUP, role, &group];
    support::ok(cluster, &words, "");
}

/// One of the two.
pub(crate) struct Operator {
    cluster: &'static Cluster,
    pub(crate) name: String,
    /// The namespace that it looks after.
    pub(crate) namespace: String,
    process: Process,
    address: String,
}

impl Operator {
    /// Starts an operator of that name for one namespace, and waits until it is ready. It leads only with the Lease,
    /// unless `alone`.
    pub(crate) async fn start(
        cluster: &'static Cluster,
        name: &str,
        namespace: &str,
        alone: bool,
    ) -> Self {
        Self::begin(crate::program(), cluster, name, namespace, alone).await
    }

    /// Starts one whose program is that file, and which leads only with the Lease.
    pub(crate) async fn start_program(
        program: &Path,
        cluster: &'static Cluster,
        name: &str,
        namespace: &str,
    ) -> Self {
        Self::begin(program, cluster, name, namespace, false).await
    }

    async fn begin(
        program: &Path,
        cluster: &'static Cluster,
        name: &str,
        namespace: &str,
        alone: bool,
    ) -> Self {
        let kubeconfig = cluster.kubeconfig_for(name, &[GROUP]).unwrap();
        let address = operator::free_address().unwrap();
        let log = cluster.run().log(&format!("{name}-{namespace}"));
        let program = Program::new(name, program, log)
            .env("KUBECONFIG", &kubeconfig)
            .env("POD_NAME", name)
            .env("POD_NAMESPACE", SYSTEM)
            .env("RUST_LOG", "info")
            .args(["controller", "--listen", &address])
            .args(["--watch-namespace", namespace])
            .arg(format!("--leader-elect={}", !alone));
        let process = cluster.run().spawn(program).unwrap();
        let ready = process.ready(WITHIN, || async {
            ask(&address, "/readyz").await.is_some()
        });
        ready.await.unwrap();
        Self {
            cluster,
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            process,
            address,
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        assert!(self.process.pid().signal(signal), "{} lives", self.name);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.process.ended().is_some()
    }

    /// Whether it says of itself that it leads.
    pub(crate) async fn leads(&self) -> bool {
        let leads = "leader_election_master_status{name=\"coppice\"} 1";
        self.metrics().await.lines().any(|line| line == leads)
    }

    /// What it serves of metrics.
    pub(crate) async fn metrics(&self) -> String {
        let answer = ask(&self.address, "/metrics").await;
        answer.expect("it serves metrics")
    }

    /// Waits until it leads.
    pub(crate) async fn until_it_leads(&self) {
        let begun = Instant::now();
        while !self.leads().await {
            assert!(
                begun.elapsed() < WITHIN,
                "{} does not lead\n{}",
                self.name,
                e2e::process::tail(self.process.log())
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// Its requests that the API server has answered so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        support::requests_of(self.cluster, &self.name)
    }

    /// Its writes, but for those of the Lease, that changed something in a namespace.
    pub(crate) fn writes(&self, namespace: &str) -> Vec<Request> {
        let mut requests = self.requests();
        requests.retain(|one| one.is_write() && one.succeeded() && one.namespace == namespace);
        requests
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.process.kill();
    }
}

/// The body of an answer 200; `None` for any other answer, or none within 2 s.
async fn ask(address: &str, path: &str) -> Option<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let exchange = async {
        let mut stream = tokio::net::TcpStream::connect(address).await.ok()?;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.starts_with("HTTP/1.1 200").then(|| body.to_owned())
    };
    let limit = Duration::from_secs(2);
    tokio::time::timeout(limit, exchange).await.ok().flatten()
}

/// Removes the Lease that an earlier test left.
pub(crate) async fn forget_lease(cluster: &Cluster) {
    let leases: Api<Lease> = Api::namespaced(cluster.client(), SYSTEM);
    match leases.delete(LEASE, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        outcome => drop(outcome.unwrap()),
    }
}

/// Writes another holder into the Lease, as somebody who does not ask.
pub(crate) async fn overwrite_holder(cluster: &Cluster, holder: &str) {
    let leases: Api<Lease> = Api::namespaced(cluster.client(), SYSTEM);
    let patch = json!({"spec": {"holderIdentity": holder}});
    let (params, patch) = (PatchParams::default(), Patch::Merge(&patch));
    leases.patch(LEASE, &params, &patch).await.unwrap();
}
