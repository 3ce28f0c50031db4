//! `neighbour`: a tree of 1,000 Pods that crash all the time, and how long the healing of others takes beside it.
//!
//! Rule: the peer is trees of the same kind in the same run, before the neighbour began. The figure is the median; of the
//! slowest, which wait for the API server while it stores what is remembered of a thousand slots, it is asked that they
//! keep the limit that holds without a neighbour too.

use std::time::Duration;

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{Patch, PatchParams};

use super::figure::{Figure, Goal, percentile, spread};
use super::heal::Ground;
use super::intent::death;
use super::load::{Shape, Subject, create, patient_tree, pods, trees, worker};
use super::rig::{COPPICE, Rig};

/// A hundred trees for each round.
const OTHERS: Shape = Shape {
    owners: 400,
    replicas: 1,
};
/// How many Pods the neighbour has.
const REPLICAS: u32 = 1000;
/// How far two deaths of the neighbour are apart: each of its Pods dies every 20 s.
const GAP: Duration = Duration::from_millis(20);
/// What the 99th percentile may be, in milliseconds: the limit of `heal-delete-p99`.
const SLOWEST: f64 = 100.0;
/// How many rounds there are with, and how many without the neighbour.
const ROUNDS: usize = 2;

pub(super) async fn measure() -> Result<Vec<Figure>> {
    let rig = Rig::start(9).await?;
    let mut others = Ground::plant(&rig, Subject::Coppice, OTHERS).await?;
    let neighbour = rig.cluster.namespace("neighbour").await?;
    let tree = patient_tree("crashing", &[worker("app", REPLICAS)]);
    create(&trees(rig.client(), &neighbour), tree).await?;
    let client = rig.client();
    Subject::Coppice.until_ready(&client, &neighbour, 1).await?;
    let without = rounds(&rig, &mut others).await?;
    let mut log = rig.audit()?;
    let with = tokio::select! {
        with = rounds(&rig, &mut others) => with?,
        stopped = crash(&rig, &neighbour) => anyhow::bail!("the crash loop ended: {stopped:?}"),
    };
    let requests = log.read()?;
    let about = requests
        .iter()
        .filter(|one| one.namespace == neighbour && one.is_write());
    let (operators, kubelets): (Vec<_>, Vec<_>) = about.partition(|one| one.user == COPPICE);
    let deaths = kubelets
        .iter()
        .filter(|one| one.resource == "pods/status")
        .count();
    let at = |percent| (percentile(&with, percent), percentile(&without, percent));
    let ((median, median_without), (slow, slow_without)) = (at(50.0), at(99.0));
    let peer = ("without the neighbour", median_without);
    let figure = Figure::new(
        "neighbour",
        median,
        "ms",
        Goal::ShareOfPeer(2.0),
        Some(peer),
    );
    let figure = figure
        .only_if(slow <= SLOWEST)
        .note(format!(
            "of a hundred the slowest but one: {slow:.1} ms (≤ {SLOWEST:.0} ms), {:.1} times that without it",
            slow / slow_without
        ))
        .note(format!("with: {}", spread(&with, "ms")))
        .note(format!("without: {}", spread(&without, "ms")))
        .note(format!("{deaths} deaths and reports of the neighbour's Pods, {} writes of the operator about it", operators.len()));
    Ok(vec![figure])
}

async fn rounds(rig: &Rig, others: &mut Ground) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        times.extend(others.heal(rig).await?);
    }
    Ok(times)
}

/// Lets the Pods of a namespace die in turn, for ever.
async fn crash(rig: &Rig, namespace: &str) -> Result<()> {
    let names = pods(&rig.client(), namespace).await?;
    let api: Api<Pod> = Api::namespaced(rig.client(), namespace);
    let api = &api;
    let ticks = tokio::time::interval(GAP);
    let ticks = stream::unfold(ticks, |mut ticks| async {
        ticks.tick().await;
        Some(((), ticks))
    });
    let deaths = (1..).flat_map(|count| names.iter().map(move |name| (name, count)));
    ticks
        .zip(stream::iter(deaths))
        .map(|((), (name, count))| async move {
            let patch = Patch::Strategic(death(count));
            let patched = api
                .patch_status(name, &PatchParams::default(), &patch)
                .await;
            patched.map(drop).context("report a death")
        })
        .buffer_unordered(16)
        .try_collect::<()>()
        .await
}
