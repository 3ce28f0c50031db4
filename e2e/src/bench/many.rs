//! `rss-9000`, `idle-cpu`, `cold-start`: 3,000 trees of three Pods each.
//!
//! Rule: memory and idleness are looked at when nothing is left to do, and beside Kubernetes' own controllers, which know
//! of the same Pods.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::DeleteParams;

use super::audit::{AuditLog, Request, milliseconds};
use super::figure::{Figure, Goal, percentile, spread};
use super::load::{Shape, Subject, pods};
use super::rig::{COPPICE, Limits, REPLICA_SET, Rig};
use crate::progress::say;

const SHAPE: Shape = Shape {
    owners: 3000,
    replicas: 3,
};
/// How long nothing may have been written before it counts as quiet.
const QUIET: Duration = Duration::from_secs(20);
/// How long idleness is looked at.
const IDLE: Duration = Duration::from_mins(1);
/// How often the operator is started anew.
const STARTS: usize = 3;
const LONG: Duration = Duration::from_mins(10);

pub(super) async fn measure() -> Result<Vec<Figure>> {
    let mut rig = Rig::start(40).await?;
    let namespace = rig.cluster.namespace("many").await?;
    say("making 3,000 trees of 3 Pods …");
    Subject::Coppice.plant(&rig, &namespace, SHAPE).await?;
    until_quiet(&rig).await?;
    let idle = idle(&rig).await?;
    let cold = cold_start(&mut rig, &namespace).await?;
    Ok(idle.into_iter().chain([cold]).collect())
}

/// Waits until the operator has not written anything for a while.
async fn until_quiet(rig: &Rig) -> Result<()> {
    let mut log = rig.audit()?;
    let mut last = Timestamp::now();
    rig.until_within(LONG, "the operator to be quiet", async || {
        tokio::time::sleep(Duration::from_millis(450)).await;
        last = writes(&mut log)?
            .into_iter()
            .map(|one| one.answered)
            .fold(last, Timestamp::max);
        let quiet = Timestamp::now().duration_since(last).unsigned_abs();
        Ok((quiet > QUIET).then_some(()))
    })
    .await
}

/// What the operator has written since the log was read, but for its Lease.
fn writes(log: &mut AuditLog) -> Result<Vec<Request>> {
    let is_write =
        |one: &Request| one.user == COPPICE && one.is_write() && one.resource != "leases";
    let mut requests = log.read()?;
    requests.retain(is_write);
    Ok(requests)
}

async fn idle(rig: &Rig) -> Result<[Figure; 2]> {
    let peer = "kube-controller-manager";
    let both = [rig.operator()?, rig.controllers()];
    let mut log = rig.audit()?;
    let before = [cpu_seconds(both[0])?, cpu_seconds(both[1])?];
    tokio::time::sleep(IDLE).await;
    let after = [cpu_seconds(both[0])?, cpu_seconds(both[1])?];
    let shares = [0, 1].map(|i| 100.0 * (after[i] - before[i]) / IDLE.as_secs_f64());
    let writes = writes(&mut log)?;
    let sizes = [megabytes(both[0])?, megabytes(both[1])?];
    let rss = Figure::new(
        "rss-9000",
        sizes[0],
        "MB",
        Goal::Limit(80.0),
        Some((peer, sizes[1])),
    );
    let cpu = Figure::new(
        "idle-cpu",
        shares[0],
        "% of a core",
        Goal::Limit(1.0),
        Some((peer, shares[1])),
    );
    let cpu = cpu.only_if(writes.is_empty());
    let seconds = IDLE.as_secs();
    let cpu = cpu.note(format!(
        "{} writes but for the Lease in {seconds} s (0 wanted)",
        writes.len()
    ));
    Ok([
        rss,
        cpu.note("the peer has all of Kubernetes' controllers in it"),
    ])
}

/// From the answer to the last list that the operator asks for when it starts, to the create of a Pod that was deleted
/// meanwhile.
async fn cold_start(rig: &mut Rig, namespace: &str) -> Result<Figure> {
    let (mut times, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        rig.stop_operator().await?;
        delete_one(rig, namespace).await?;
        let (mut log, begun) = (rig.audit()?, Timestamp::now());
        rig.start_operator_again().await?;
        let (mut listed, mut created) = (None, None);
        rig.until("the Pod to be replaced", async || {
            for request in log.read()?.into_iter().filter(|one| one.user == COPPICE) {
                // Later reads are of one tree, and so of one namespace.
                if request.verb == "list" && request.namespace.is_empty() {
                    listed = listed.max(Some(request.answered));
                } else if request.is(COPPICE, "create", "pods") {
                    created.get_or_insert(request.received);
                }
            }
            Ok(created)
        })
        .await?;
        let (listed, created) = (listed.context("a list")?, created.context("a create")?);
        times.push(milliseconds(listed, created) / 1e3);
        whole.push(milliseconds(begun, created) / 1e3);
        until_quiet(rig).await?;
    }
    let peer = cold_start_of_peer(rig).await?;
    let figure = Figure::new(
        "cold-start",
        percentile(&times, 100.0),
        "s",
        Goal::Limit(3.0),
        None,
    );
    let figure = figure.note(format!(
        "{STARTS} starts, the slowest counts: {}",
        spread(&times, "s")
    ));
    Ok(figure.note(format!(
        "from the start of the process: {}; kube-controller-manager with raised limits: {peer:.2} s",
        spread(&whole, "s")
    )))
}

/// From the start of Kubernetes' own controllers to the create of a Pod that was deleted meanwhile, in seconds.
async fn cold_start_of_peer(rig: &mut Rig) -> Result<f64> {
    let namespace = rig.cluster.namespace("peer").await?;
    let one = Shape {
        owners: 1,
        replicas: 1,
    };
    Subject::ReplicaSet.plant(rig, &namespace, one).await?;
    rig.stop_controllers()?;
    delete_one(rig, &namespace).await?;
    let (mut log, begun) = (rig.audit()?, Timestamp::now());
    rig.start_controllers(Limits::Raised)?;
    let created = rig.until("the Pod to be replaced", async || {
        let mut seen = log.read()?.into_iter();
        Ok(seen.find(|one| one.is(REPLICA_SET, "create", "pods")))
    });
    Ok(milliseconds(begun, created.await?.received) / 1e3)
}

async fn delete_one(rig: &Rig, namespace: &str) -> Result<()> {
    let names = pods(&rig.client(), namespace).await?;
    let victim = names.first().context("a Pod")?;
    let pods: Api<Pod> = Api::namespaced(rig.client(), namespace);
    pods.delete(victim, &DeleteParams::default().grace_period(0))
        .await?;
    Ok(())
}

/// How much processor time a process has used.
fn cpu_seconds(process: u32) -> Result<f64> {
    let line = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The command's name stands in parentheses; user and system time are the fields 14 and 15.
    let fields = line
        .rsplit_once(')')
        .context("a name")?
        .1
        .split_ascii_whitespace();
    let ticks: Vec<f64> = fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse().ok())
        .collect();
    let per_second = rustix::param::clock_ticks_per_second();
    #[expect(clippy::cast_precision_loss, reason = "it is 100")]
    Ok(ticks.iter().sum::<f64>() / per_second as f64)
}

/// How much of a process is in memory, in units of 1,000,000 bytes.
fn megabytes(process: u32) -> Result<f64> {
    let path = PathBuf::from(format!("/proc/{process}/status"));
    let text = std::fs::read_to_string(&path)?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<f64>().ok());
    Ok(kibibytes.context("VmRSS")? * 1024.0 / 1e6)
}
