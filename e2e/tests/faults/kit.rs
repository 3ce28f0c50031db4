//! What every test here begins with: a namespace, an operator that looks after it with the rights of the chart, and the
//! door between the operator and the API server.
//!
//! Rule: whatever the operator does is on record at its door, and no slot ever has two live Pods: a witness watches.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use e2e::cluster::{Cluster, Full, Profile};
use e2e::operator;
use e2e::process::{Process, Program};
use e2e::proxy::rule::RuleId;
use e2e::proxy::{Proxy, Seen};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

use crate::support::{self, Space};
use crate::trees::REJECTS;
use crate::witness::Witness;

/// How long anything may take that nothing stands in the way of.
pub(crate) const SOON: Duration = Duration::from_mins(1);
/// Starts a cluster of simulated nodes with the definitions, but without an operator. Scheduler and controllers are not
/// held back, so that a thousand Pods are there within seconds.
pub(crate) async fn start_cluster(kwok_nodes: u32) -> Cluster {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let fast = |flags: [&str; 2]| flags.map(str::to_owned).to_vec();
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let stage = format!("coppice-rejects-{}-{number}.yaml", std::process::id());
    let stage = std::env::temp_dir().join(stage);
    std::fs::write(&stage, REJECTS).unwrap();
    let full = Full {
        kwok_nodes,
        kwok_flags: vec![format!("--config={}", stage.display())],
        scheduler_flags: fast(["--kube-api-qps=1000", "--kube-api-burst=2000"]),
        controller_manager_flags: fast(["--kube-api-qps=500", "--kube-api-burst=1000"]),
        ..Full::default()
    };
    let started = Cluster::start(Profile::Simulated(full)).await;
    std::fs::remove_file(stage).unwrap();
    let cluster = started.expect("a cluster");
    operator::apply_definitions(&cluster).expect("definitions");
    cluster
}

/// The cluster that tests share. It ends with the test program.
pub(crate) async fn shared() -> &'static Cluster {
    static SHARED: OnceCell<Cluster> = OnceCell::const_new();
    SHARED.get_or_init(|| start_cluster(6)).await
}

/// One test's part of a cluster.
pub(crate) struct Bench<'c> {
    pub(crate) space: Space<'c>,
    pub(crate) proxy: Proxy,
    pub(crate) operator: Process,
    /// Where the operator serves probes and metrics.
    address: String,
    witness: Witness,
}

impl Bench<'static> {
    /// A part of the shared cluster. Its door has this seed.
    pub(crate) async fn new(prefix: &str, seed: u64) -> Self {
        Self::on(shared().await, prefix, seed).await
    }
}

impl<'c> Bench<'c> {
    /// A part of that cluster.
    pub(crate) async fn on(cluster: &'c Cluster, prefix: &str, seed: u64) -> Self {
        Self::with_namespaces(cluster, prefix, seed, &[]).await
    }

    /// A part of that cluster, whose operator looks after more namespaces than its own.
    pub(crate) async fn with_namespaces(
        cluster: &'c Cluster,
        prefix: &str,
        seed: u64,
        more: &[String],
    ) -> Self {
        let space = Space::new(cluster, prefix).await;
        let mut namespaces = vec![space.name.clone()];
        namespaces.extend(more.iter().cloned());
        grant_rights(&space, &namespaces);
        let lifetime = Duration::from_hours(1);
        let account = cluster.kubeconfig_for_service_account(&space.name, &space.name, lifetime);
        let client = cluster.client_from(&account.await.expect("a token")).await;
        let proxy = Proxy::open(client.expect("a client"), seed).await.unwrap();
        let (operator, address) = start_operator(cluster, &space.name, &namespaces, &proxy).await;
        let witness = Witness::of(&space);
        let bench = Self {
            space,
            proxy,
            operator,
            address,
            witness,
        };
        // Otherwise a test that waits for an operator that is not ready any more could see one that is not ready yet.
        bench.until_ready_is(200, SOON).await;
        bench
    }

    /// The status and the text of a page that the operator serves.
    pub(crate) async fn page(&self, path: &str) -> (u16, String) {
        let Ok(mut stream) = TcpStream::connect(&self.address).await else {
            return (0, "nobody listens".to_owned());
        };
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
        (code.unwrap_or(0), answer)
    }

    /// The value of one line of the metrics; 0 when there is no such line.
    pub(crate) async fn metric(&self, line: &str) -> f64 {
        let (_, text) = self.page("/metrics").await;
        let value = text.lines().find_map(|one| one.strip_prefix(line));
        value.map_or(0.0, |value| value.trim().parse().unwrap())
    }

    /// Waits until `/readyz` answers so; how long that took, and what it said.
    pub(crate) async fn until_ready_is(&self, code: u16, within: Duration) -> (Duration, String) {
        let begun = Instant::now();
        let text = self
            .until(&format!("/readyz is {code}"), within, async || {
                let (seen, text) = self.page("/readyz").await;
                (seen == code).then_some(text)
            })
            .await;
        (begun.elapsed(), text)
    }

    /// Waits until `found` finds something, asking again and again.
    pub(crate) async fn until<T>(
        &self,
        what: &str,
        within: Duration,
        mut found: impl AsyncFnMut() -> Option<T>,
    ) -> T {
        let begun = Instant::now();
        loop {
            if let Some(value) = found().await {
                return value;
            }
            if begun.elapsed() > within {
                let seen = support::diagnosis(self.space.cluster, &self.space.name);
                panic!(
                    "{}: not within {} s: {what}\n{seen}",
                    self.space.name,
                    within.as_secs()
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a rule has applied.
    pub(crate) async fn until_hit(&self, rule: RuleId) {
        let hit = tokio::time::timeout(SOON, self.proxy.until_hits(rule, 1)).await;
        if hit.is_err() {
            let seen = support::diagnosis(self.space.cluster, &self.space.name);
            panic!("{}: a rule never applied\n{seen}", self.space.name);
        }
    }

    /// The Pods of a child that are not being deleted, by slot.
    pub(crate) async fn live(&self, tree: &str, child: &str) -> Vec<Pod> {
        let mut pods = self.space.pods_of(tree, child).await;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        pods
    }

    /// Waits until a child has that many live Pods, none of them one of `without`; gives them back.
    pub(crate) async fn until_live(
        &self,
        tree: &str,
        child: &str,
        count: usize,
        without: &[Pod],
        within: Duration,
    ) -> Vec<Pod> {
        let old: BTreeSet<_> = without.iter().map(ResourceExt::uid).collect();
        let what = format!("{count} live Pods of {child}");
        self.until(&what, within, async || {
            let pods = self.live(tree, child).await;
            let all_new = pods.iter().all(|pod| !old.contains(&pod.uid()));
            (pods.len() == count && all_new).then_some(pods)
        })
        .await
    }

    /// A container of a simulated Pod ends with 1 and is started again in place, as a kubelet would do it.
    pub(crate) async fn crash(&self, pod: &Pod) {
        let now = jiff::Timestamp::now().to_string();
        let mut status = serde_json::to_value(&pod.status).unwrap()["containerStatuses"][0].clone();
        let restarts = status["restartCount"].as_u64().unwrap();
        status["restartCount"] = json!(restarts + 1);
        status["lastState"] = json!({"terminated": {"exitCode": 1, "reason": "Error", "startedAt": now, "finishedAt": now}});
        let patch = Patch::Merge(json!({"status": {"containerStatuses": [status]}}));
        let (pods, name, params) = (self.space.pods(), pod.name_any(), PatchParams::default());
        let patched = pods.patch_status(&name, &params, &patch);
        patched.await.expect("what a kubelet could have written");
    }

    /// When it all began.
    pub(crate) fn begun(&self) -> Instant {
        let seen = self.proxy.seen();
        seen.first().map_or_else(Instant::now, |seen| seen.at)
    }

    /// What of the operator's requests since `since` is `wanted`.
    pub(crate) fn requests(&self, since: Instant, wanted: impl Fn(&Seen) -> bool) -> Vec<Seen> {
        let mut seen = self.proxy.seen();
        seen.retain(|seen| seen.at >= since && wanted(seen));
        seen
    }

    /// Ends the operator and the witness, who must have seen no slot with two live Pods.
    pub(crate) fn end(self) {
        assert_eq!(self.operator.ended(), None, "the operator has died");
        self.witness.vouch();
    }
}

impl Drop for Bench<'_> {
    fn drop(&mut self) {
        self.operator.kill();
    }
}

/// Applies service account and rights of the chart, as for an operator that looks after these namespaces.
fn grant_rights(space: &Space<'_>, namespaces: &[String]) {
    let name = &space.name;
    let settings = [
        format!("fullnameOverride={name}"),
        format!("watchNamespaces={{{}}}", namespaces.join(",")),
    ];
    let settings = settings.each_ref().map(String::as_str);
    let templates = ["serviceaccount.yaml", "rbac.yaml"];
    operator::apply_from_chart(space.cluster, name, &settings, &templates).expect("rights");
}

async fn start_operator(
    cluster: &Cluster,
    name: &str,
    namespaces: &[String],
    proxy: &Proxy,
) -> (Process, String) {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let file = PROGRAM.get_or_init(|| operator::program().expect("the operator compiles"));
    let kubeconfig = cluster.run().dir().join(format!("{name}.kubeconfig"));
    proxy.write_kubeconfig(&kubeconfig).unwrap();
    let address = operator::free_address().unwrap();
    let log = cluster.run().log(&format!("operator-{name}"));
    let program = Program::new("operator", file, log)
        .env("KUBECONFIG", kubeconfig)
        .args(["controller", "--leader-elect=false", "--listen", &address])
        .arg(format!("--watch-namespace={}", namespaces.join(",")));
    let process = cluster.run().spawn(program).expect("the operator starts");
    let listens = process.ready(SOON, async || TcpStream::connect(&address).await.is_ok());
    listens.await.expect("the operator listens");
    (process, address)
}

/// Reason and message of a condition.
pub(crate) fn said(tree: &Value, condition: &str) -> (String, String) {
    let condition = support::condition(tree, condition);
    let text = |key: &str| condition[key].as_str().unwrap_or_default().to_owned();
    (text("reason"), text("message"))
}

/// The UIDs of Pods.
pub(crate) fn uids(pods: &[Pod]) -> BTreeSet<String> {
    pods.iter().filter_map(ResourceExt::uid).collect()
}
