//! `heal-delete-p50`, `heal-delete-p99`: a Pod is deleted, and its owner asks for the next one.
//!
//! Rule: from the API server's answer to the delete until it received the create; one delete every 200 ms, and none hits
//! the same slot twice, because Coppice replaces at once only what has lived for a while.

use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::DeleteParams;

use super::audit::{Request, milliseconds};
use super::figure::{Figure, Goal, percentile, spread};
use super::load::{Shape, Subject, pods};
use super::rig::{Limits, Rig, US};
use crate::progress::say;

/// How far the deletes are apart.
const GAP: Duration = Duration::from_millis(200);
/// How many Pods are deleted in one run.
const DELETES: usize = 100;
/// Many owners of one Pod each, and one owner of many: both must hold. A run has Pods of its own, and
/// deletes each of them once.
const SHAPES: [Shape; 2] = [
    Shape {
        owners: 100,
        replicas: 1,
    },
    Shape {
        owners: 1,
        replicas: 100,
    },
];
/// Runs alternate, so that a slow moment of the machine does not hit one side only.
const TURNS: [Subject; 4] = [
    Subject::Coppice,
    Subject::ReplicaSet,
    Subject::ReplicaSet,
    Subject::Coppice,
];

pub(super) async fn measure() -> Result<Vec<Figure>> {
    let mut rig = Rig::start(6).await?;
    let mut of_shapes = Vec::new();
    for shape in SHAPES {
        of_shapes.push(compare(&mut rig, shape).await?);
    }
    let figure = |name: &str, percent, goal| {
        let at = |times: &[f64]| percentile(times, percent);
        // The shape in which we do worse, measured by the limit.
        let worst = of_shapes
            .iter()
            .max_by(|a, b| at(&a.coppice).total_cmp(&at(&b.coppice)));
        let worst = worst.cloned().unwrap_or_default();
        let peer = ("ReplicaSet, raised limits", at(&worst.peer));
        let mut figure = Figure::new(name, at(&worst.coppice), "ms", goal, Some(peer));
        for Compared { notes, .. } in &of_shapes {
            figure.notes.extend(notes.iter().cloned());
        }
        figure
    };
    let median_holds = of_shapes.iter().all(|one| {
        let [coppice, peer] = [&one.coppice, &one.peer].map(|times| percentile(times, 50.0));
        coppice <= 1.1 * peer
    });
    Ok(vec![
        figure("heal-delete-p50", 50.0, Goal::LimitAndShare(20.0, 1.1)).only_if(median_holds),
        figure("heal-delete-p99", 99.0, Goal::Limit(100.0)),
    ])
}

/// What one shape showed, in milliseconds.
#[derive(Clone, Default)]
struct Compared {
    coppice: Vec<f64>,
    peer: Vec<f64>,
    notes: Vec<String>,
}

async fn compare(rig: &mut Rig, shape: Shape) -> Result<Compared> {
    let mut grounds = Vec::new();
    for subject in TURNS {
        grounds.push((subject, Ground::plant(rig, subject, shape).await?));
    }
    let mut compared = Compared::default();
    for (subject, mut ground) in grounds {
        let times = match subject {
            Subject::Coppice => &mut compared.coppice,
            Subject::ReplicaSet => &mut compared.peer,
        };
        times.extend(ground.heal(rig).await?);
    }
    rig.limit_controllers(Limits::Default).await?;
    let mut ground = Ground::plant(rig, Subject::ReplicaSet, shape).await?;
    let by_default = ground.heal(rig).await?;
    rig.limit_controllers(Limits::Raised).await?;
    let Shape { owners, replicas } = shape;
    for (whose, times) in [
        ("Coppice", &compared.coppice),
        ("ReplicaSet, raised limits", &compared.peer),
        ("ReplicaSet, default limits", &by_default),
    ] {
        compared.notes.push(format!(
            "{owners} × {replicas} Pods, {whose}: {}",
            spread(times, "ms")
        ));
    }
    for note in &compared.notes {
        say(note);
    }
    Ok(compared)
}

/// A namespace whose Pods are deleted one after the other.
pub(super) struct Ground {
    subject: Subject,
    namespace: String,
    /// The Pods that nobody has deleted yet, in no order.
    whole: Vec<String>,
}

impl Ground {
    /// Makes the owners in a new namespace.
    pub(super) async fn plant(rig: &Rig, subject: Subject, shape: Shape) -> Result<Self> {
        let namespace = rig.cluster.namespace("heal").await?;
        subject.plant(rig, &namespace, shape).await?;
        let mut whole = pods(&rig.client(), &namespace).await?;
        fastrand::shuffle(&mut whole);
        Ok(Self {
            subject,
            namespace,
            whole,
        })
    }

    /// Deletes a hundred Pods, and says how long each took to be replaced, in milliseconds.
    pub(super) async fn heal(&mut self, rig: &Rig) -> Result<Vec<f64>> {
        let victims = self
            .whole
            .split_off(self.whole.len().saturating_sub(DELETES));
        ensure!(victims.len() == DELETES, "there are no Pods left to delete");
        let mut log = rig.audit()?;
        let pods: Api<Pod> = Api::namespaced(rig.client(), &self.namespace);
        let mut tick = tokio::time::interval(GAP);
        for name in &victims {
            tick.tick().await;
            pods.delete(name, &DeleteParams::default()).await?;
        }
        let (mut deleted, mut created) = (Vec::new(), Vec::new());
        let here = |request: &Request| request.namespace == self.namespace;
        rig.until("all Pods to be replaced", async || {
            let seen = log.read()?;
            for request in seen.into_iter().filter(here) {
                if request.is(US, "delete", "pods") {
                    deleted.push(request.answered);
                } else if request.is(self.subject.user(), "create", "pods") {
                    created.push(request.received);
                }
            }
            Ok((created.len() >= DELETES).then_some(()))
        })
        .await?;
        ensure!(
            created.len() == DELETES && deleted.len() == DELETES,
            "{} deletes led to {} creates",
            deleted.len(),
            created.len()
        );
        deleted.sort();
        created.sort();
        // One at a time, so the first create belongs to the first delete.
        let times = deleted.into_iter().zip(created);
        Ok(times.map(|(from, to)| milliseconds(from, to)).collect())
    }
}
