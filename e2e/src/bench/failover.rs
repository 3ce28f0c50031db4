//! `failover-graceful`, `failover-crash`: of two operators the one that leads ends, and the other one goes on.
//!
//! Rule: from the signal until the API server received the first create of a Pod from the other one, while Pods are
//! deleted all the time; no slot is hit twice. The slowest round counts. The peer is kube-controller-manager, twice, with
//! an election at its defaults.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use rustix::process::Signal;

use super::audit::milliseconds;
use super::figure::{Figure, Goal, percentile, spread};
use super::harm::Harm;
use super::load::{Shape, Subject, clear};
use super::operators::Operator;
use super::rig::{Limits, REPLICA_SET, Rig};
use crate::control_plane::CONTROLLER_MANAGER;
use crate::operator;
use crate::process::Process;
use crate::progress::say;

/// How often an operator ends, by each signal.
const ROUNDS: usize = 7;
/// How often the peer does; each time takes it half a minute.
const ROUNDS_OF_PEER: usize = 3;
const SHAPE: Shape = Shape {
    owners: 200,
    replicas: 5,
};
/// How long Pods are deleted before the signal.
const BEFORE: Duration = Duration::from_secs(1);
/// The group that has the operator's rights, so that two operators can be told apart in the audit log.
const GROUP: &str = "operators";
const SIGNALS: [(Signal, &str, f64); 2] = [
    (Signal::TERM, "failover-graceful", 1.0),
    (Signal::KILL, "failover-crash", 8.0),
];

pub(super) async fn measure() -> Result<Vec<Figure>> {
    let mut rig = Rig::start(5).await?;
    rig.stop_operator().await?;
    grant_rights(&rig)?;
    let mut ours = Vec::new();
    let mut leader = start(&rig, "first").await?;
    until_led_by(&rig, "first").await?;
    for (signal, row, _) in SIGNALS {
        let mut harm = Harm::plant(&rig, Subject::Coppice, SHAPE).await?;
        let mut times = Vec::new();
        for round in 1..=ROUNDS {
            let standby = Standby::start(&rig, row, round).await?;
            times.push(fail_over(&rig, &mut harm, &leader, signal, &standby).await?);
            say(format!(
                "{row}, round {round} of {ROUNDS}: {:.2} s",
                times[round - 1]
            ));
            leader = standby.operator;
        }
        clear(&rig, harm.namespace()).await?;
        ours.push(times);
    }
    leader.stop().await?;
    let mut peers = Vec::new();
    for (signal, row, _) in SIGNALS {
        peers.push(of_peer(&mut rig, signal, row).await?);
    }
    let figures = SIGNALS.iter().zip(ours.iter().zip(&peers));
    let figures = figures.map(|((_, row, most), (ours, peer))| {
        let slowest = |times: &[f64]| percentile(times, 100.0);
        let beside = ("kube-controller-manager", slowest(peer));
        let figure = Figure::new(row, slowest(ours), "s", Goal::Limit(*most), Some(beside));
        let figure = figure.note(format!("Coppice: {}", spread(ours, "s")));
        figure.note(format!(
            "kube-controller-manager, default election: {}",
            spread(peer, "s")
        ))
    });
    Ok(figures.collect())
}

/// Gives the group the rights that the chart gives the operator's service account.
fn grant_rights(rig: &Rig) -> Result<()> {
    let group = format!("--group={GROUP}");
    let namespace = format!("--namespace={}", operator::NAMESPACE);
    let bindings: [&[&str]; 3] = [
        &["clusterrolebinding", "operators", "--clusterrole=coppice"],
        &[
            "clusterrolebinding",
            "operators-nodes",
            "--clusterrole=coppice-nodes",
        ],
        &[
            "rolebinding",
            "operators",
            "--role=coppice-leader-election",
            &namespace,
        ],
    ];
    for binding in bindings {
        let mut kubectl = rig.cluster.command("kubectl");
        kubectl.arg("create").args(binding).arg(&group);
        operator::said(kubectl)?;
    }
    Ok(())
}

/// Starts an operator that is called `name` in the election and by the API server.
async fn start(rig: &Rig, name: &str) -> Result<Operator> {
    let kubeconfig: PathBuf = rig.cluster.kubeconfig_for(name, &[GROUP])?;
    rig.installed
        .start_as(&rig.cluster, name, &kubeconfig)
        .await
}

/// Waits until the Lease says that the operator of this name leads.
async fn until_led_by(rig: &Rig, name: &str) -> Result<()> {
    rig.until("an operator to lead", async || {
        let holder = holder(rig, operator::NAMESPACE, "coppice").await?;
        Ok((holder.as_deref() == Some(name)).then_some(()))
    })
    .await
}

/// Who holds a Lease.
async fn holder(rig: &Rig, namespace: &str, name: &str) -> Result<Option<String>> {
    let leases: Api<Lease> = Api::namespaced(rig.client(), namespace);
    let spec = leases.get_opt(name).await?.and_then(|lease| lease.spec);
    Ok(spec.and_then(|spec| spec.holder_identity))
}

/// An operator that waits for its turn.
struct Standby {
    operator: Operator,
    name: String,
}

impl Standby {
    /// Starts it, and lets it see the Lease; another moment of the second at which that is renewed in each round.
    async fn start(rig: &Rig, row: &str, round: usize) -> Result<Self> {
        let name = format!("{row}-{round}");
        let operator = start(rig, &name).await?;
        let turn = u32::try_from(round).unwrap_or_default();
        tokio::time::sleep(Duration::from_millis(1500) + Duration::from_millis(170) * turn).await;
        let holder = holder(rig, operator::NAMESPACE, "coppice").await?;
        ensure!(
            holder.as_ref() != Some(&name),
            "{name} leads beside another one"
        );
        Ok(Self { operator, name })
    }
}

/// Ends the leader, and says how many seconds later the other one's first create came.
async fn fail_over(
    rig: &Rig,
    harm: &mut Harm,
    leader: &Operator,
    signal: Signal,
    standby: &Standby,
) -> Result<f64> {
    harm.during(tokio::time::sleep(BEFORE)).await?;
    let mut log = rig.audit()?;
    let sent = Timestamp::now();
    leader.signal(signal)?;
    let acted = rig.until("the other operator to act", async || {
        let mut seen = log.read()?.into_iter();
        let name = &standby.name;
        Ok(seen.find(|one| one.is(name, "create", "pods")))
    });
    let acted = harm.during(acted).await??;
    leader.until_ended().await?;
    harm.until_whole(rig).await?;
    Ok(milliseconds(sent, acted.received) / 1e3)
}

/// The same of the peer, in seconds.
async fn of_peer(rig: &mut Rig, signal: Signal, row: &str) -> Result<Vec<f64>> {
    let mut harm = Harm::plant(rig, Subject::ReplicaSet, SHAPE).await?;
    rig.stop_controllers()?;
    let mut leader = start_peer(rig)?;
    let mut before = holder(rig, "kube-system", CONTROLLER_MANAGER).await?;
    let mut times = Vec::new();
    for round in 1..=ROUNDS_OF_PEER {
        before = rig
            .until("a controller manager to lead", async || {
                let now = holder(rig, "kube-system", CONTROLLER_MANAGER).await?;
                Ok((now.is_some() && now != before).then_some(now))
            })
            .await?;
        harm.until_whole(rig).await?;
        let standby = start_peer(rig)?;
        rig.until("another controller manager to wait", async || {
            let text = std::fs::read_to_string(standby.log())?.to_lowercase();
            Ok(text
                .contains("attempting to acquire leader lease")
                .then_some(()))
        })
        .await?;
        harm.during(tokio::time::sleep(BEFORE)).await?;
        times.push(peer_fails_over(rig, &mut harm, &leader, signal).await?);
        say(format!(
            "{row}, kube-controller-manager, round {round} of {ROUNDS_OF_PEER}: {:.1} s",
            times[round - 1]
        ));
        leader = standby;
    }
    ensure!(leader.kill(), "a controller manager does not end");
    rig.start_controllers(Limits::Raised)?;
    clear(rig, harm.namespace()).await?;
    Ok(times)
}

/// Starts one more controller manager, which takes part in an election at its defaults.
fn start_peer(rig: &Rig) -> Result<Process> {
    let mut flags = Limits::Raised.flags();
    flags.push("--leader-elect=true".to_owned());
    let control_plane = rig.cluster.control_plane();
    let control_plane = control_plane.context("a cluster of our own")?;
    Ok(control_plane.start_controller_manager(rig.cluster.run(), &flags)?)
}

/// Both are one user for the API server, so only what comes after the end of the first one is the other's.
async fn peer_fails_over(
    rig: &Rig,
    harm: &mut Harm,
    leader: &Process,
    signal: Signal,
) -> Result<f64> {
    let sent = Timestamp::now();
    ensure!(leader.pid().signal(signal), "a controller manager ended");
    let ended = rig.until("a controller manager to end", async || {
        Ok(leader.ended().map(|_| Timestamp::now()))
    });
    let ended = harm.during(ended).await??;
    let mut log = rig.audit()?;
    let acted = rig.until("the other controller manager to act", async || {
        let mut seen = log.read()?.into_iter();
        Ok(seen.find(|one| one.is(REPLICA_SET, "create", "pods") && one.received > ended))
    });
    let acted = harm.during(acted).await??;
    Ok(milliseconds(sent, acted.received) / 1e3)
}
