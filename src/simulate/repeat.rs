//! Notices that a simulation goes in circles: everything that decides what comes next is as it was before.
//!
//! Rule: times count by their distance from now, and what only counts up does not count.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::cluster::Cluster;
use crate::api::v1alpha1::{Intensity, SlotStatus, SupervisorStatus};
use crate::model::pod::{ContainerView, PodView};
use crate::model::tree::Tree;
use crate::model::window::seconds_between;

/// The states that were seen, and when first.
#[derive(Debug, Default)]
pub(super) struct Memory {
    seen: BTreeMap<String, Timestamp>,
}

impl Memory {
    /// Remembers the present state; the time at which it was seen before, if it was.
    pub(super) fn seen_before(&mut self, cluster: &Cluster) -> Option<Timestamp> {
        let state = state(cluster);
        if let Some(before) = self.seen.get(&state) {
            return Some(*before).filter(|before| *before < cluster.now);
        }
        self.seen.insert(state, cluster.now);
        None
    }
}

fn state(cluster: &Cluster) -> String {
    let status = &cluster.world.tree.status;
    let now = cluster.now;
    let conditions = status.conditions.iter();
    let conditions: Vec<_> = conditions
        .map(|one| (&one.type_, &one.status, &one.reason))
        .collect();
    let tree = Tree::parse(&cluster.world.tree.name, &cluster.world.tree.spec).ok();
    let intensity = |name: &str| {
        let policy = tree.as_ref()?.policy_named(name)?;
        Some(policy.intensity)
    };
    let supervisors = status.supervisors.iter();
    let supervisors: Vec<String> = supervisors
        .filter_map(|one| Some(supervisor(one, intensity(&one.name)?, now)))
        .collect();
    let workers = cluster.world.workers.iter();
    let workers: Vec<_> = workers
        .map(|(child, worker)| {
            let slots = worker.status.slots.iter();
            let slots: Vec<String> = slots.map(|one| slot(one, now)).collect();
            (child, worker.status.started, slots)
        })
        .collect();
    let pods: Vec<String> = cluster.pods().map(|one| pod(one, cluster)).collect();
    format!("{conditions:?}{supervisors:?}{workers:?}{pods:?}")
}

fn supervisor(record: &SupervisorStatus, intensity: Intensity, now: Timestamp) -> String {
    let operation = record
        .operation
        .as_ref()
        .map(|one| (one.kind, &one.children));
    let charges = record.charges.iter();
    let charges: Vec<_> = charges
        .map(|one| {
            let counted = ago(one.counted(now, intensity), now);
            (&one.child, counted, one.failed_starts)
        })
        .filter(|(_, counted, _)| !counted.is_empty())
        .collect();
    let backoff = record.backoff.iter();
    let backoff: Vec<_> = backoff
        .map(|one| (&one.child, one.step, left(Some(&one.due_time), now)))
        .collect();
    let gave_up = record.gave_up.iter();
    let gave_up: Vec<_> = gave_up
        .map(|one| {
            let clock = (one.delay_seconds, left(one.retry_time.as_ref(), now));
            (&one.child, one.rest, one.waiting, one.settled, clock)
        })
        .collect();
    let started = record.started_time.is_some();
    let finished = record.finished.is_some();
    format!("{operation:?}{charges:?}{backoff:?}{gave_up:?}{started}{finished}")
}

fn slot(slot: &SlotStatus, now: Timestamp) -> String {
    let flags = (slot.slot, slot.gone, slot.started, slot.finished.is_some());
    let charges = ago(&slot.charges, now);
    let backoff = (slot.step, left(slot.due_time.as_ref(), now));
    let parked = slot.parked.as_ref().map(|one| {
        let retry = left(Some(&one.retry_time), now);
        (one.delay_seconds, one.waiting, retry)
    });
    let brake = slot.brake.as_ref();
    let brake = brake.map(|one| (one.count, left(Some(&one.due_time), now)));
    format!("{flags:?}{charges:?}{backoff:?}{parked:?}{brake:?}")
}

fn pod(pod: &PodView, cluster: &Cluster) -> String {
    let runs = pod.containers.iter().map(ContainerView::is_running);
    let runs: Vec<bool> = runs.collect();
    let step = cluster.next_step(pod);
    let step = step.map(|(due, step)| (seconds_between(cluster.now, due), step));
    let who = (&pod.child, pod.slot, pod.is_deleting(), pod.is_ready());
    let restarts = pod.containers.iter().map(|one| one.restarts).sum::<i64>();
    format!("{who:?}{:?}{runs:?}{restarts}{step:?}", pod.phase)
}

/// How long ago each time was, in seconds.
fn ago<'a>(times: impl IntoIterator<Item = &'a Time>, now: Timestamp) -> Vec<i64> {
    let ago = times.into_iter().map(|time| seconds_between(time.0, now));
    ago.collect()
}

/// How many seconds are left until a time.
fn left(time: Option<&Time>, now: Timestamp) -> Option<i64> {
    time.map(|time| seconds_between(now, time.0).max(0))
}
