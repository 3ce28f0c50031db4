//! Nodes that only exist in the API: kwok answers for their kubelets, so that thousands fit on one machine.
//!
//! Rule: they are tainted, so that only Pods that say so run on them, beside real nodes or not.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Node;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use crate::process::{self, Process};
use crate::run::Run;

/// The label that simulated nodes carry, with the value `kwok`.
pub const LABEL: &str = "type";
/// The key of the taint that simulated nodes carry; its value is `fake`, its effect `NoSchedule`.
pub const TAINT: &str = "kwok.x-k8s.io/node";

const ANNOTATION: &str = "kwok.x-k8s.io/node";
/// A node takes a few milliseconds; the first ones wait for kwok to start.
const READY: Duration = Duration::from_mins(1);
const CALL: Duration = Duration::from_secs(30);

/// Why there are no simulated nodes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// kwok did not start.
    #[error("start kwok")]
    Process(#[source] process::Error),
    /// The API server refused.
    #[error("{verb} simulated nodes")]
    Api {
        /// What was tried.
        verb: &'static str,
        /// What the API server answered.
        source: Box<kube::Error>,
    },
    /// The API server did not answer.
    #[error("{verb} simulated nodes: no answer within {} s", CALL.as_secs())]
    Timeout {
        /// What was tried.
        verb: &'static str,
    },
    /// kwok runs but the nodes are not ready.
    #[error("wait for simulated nodes: {ready} of {wanted} are Ready after {} s; kwok's log: {log}", READY.as_secs())]
    NotReady {
        /// How many are.
        ready: usize,
        /// How many should be.
        wanted: u32,
        /// Where kwok's log is.
        log: String,
    },
}

/// Starts kwok and makes `count` nodes named `kwok-0`, `kwok-1` and so on; waits until all are Ready.
/// `flags` are more flags for kwok.
pub async fn start(
    run: &Run,
    kubeconfig: &Path,
    client: &Client,
    count: u32,
    flags: &[String],
) -> Result<Process, Error> {
    let mut program = run
        .program("kwok", "kwok")
        .flag("kubeconfig", kubeconfig)
        .flag(
            "manage-nodes-with-annotation-selector",
            format!("{ANNOTATION}=fake"),
        );
    for stage in run.binaries().files("kwok") {
        program = program.flag("config", stage);
    }
    let process = run.spawn(program.args(flags)).map_err(Error::Process)?;
    let nodes: Api<Node> = Api::all(client.clone());
    stream::iter(0..count)
        .map(|number| {
            let nodes = nodes.clone();
            async move {
                bounded(
                    "create",
                    nodes.create(&PostParams::default(), &node(number)),
                )
                .await
                .map(drop)
            }
        })
        .buffer_unordered(20)
        .try_collect::<()>()
        .await?;
    wait_until_ready(&nodes, count, &process).await?;
    Ok(process)
}

async fn wait_until_ready(nodes: &Api<Node>, wanted: u32, process: &Process) -> Result<(), Error> {
    let begun = Instant::now();
    let selector = ListParams::default().labels(&format!("{LABEL}=kwok"));
    loop {
        let list = bounded("list", nodes.list(&selector)).await?;
        let ready = list.items.iter().filter(|node| is_ready(node)).count();
        if u32::try_from(ready) == Ok(wanted) {
            return Ok(());
        }
        if begun.elapsed() > READY {
            return Err(Error::NotReady {
                ready,
                wanted,
                log: process.log().display().to_string(),
            });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Whether a node says that it is Ready.
pub fn is_ready(node: &Node) -> bool {
    let conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| {
        all.iter()
            .any(|one| one.type_ == "Ready" && one.status == "True")
    })
}

fn node(number: u32) -> Node {
    let name = format!("kwok-{number}");
    let capacity = json!({"cpu": "32", "memory": "256Gi", "pods": "250"});
    let node = json!({
        "metadata": {
            "name": name,
            "labels": {LABEL: "kwok", "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"},
            "annotations": BTreeMap::from([(ANNOTATION, "fake")]),
        },
        "spec": {"taints": [{"key": TAINT, "value": "fake", "effect": "NoSchedule"}]},
        "status": {"allocatable": capacity, "capacity": capacity},
    });
    serde_json::from_value(node).expect("the text above is a Node")
}

async fn bounded<T>(
    verb: &'static str,
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(CALL, call).await {
        Ok(outcome) => outcome.map_err(|source| Error::Api {
            verb,
            source: Box::new(source),
        }),
        Err(_) => Err(Error::Timeout { verb }),
    }
}
