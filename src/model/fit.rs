//! How much a status may weigh, and what is left out of one that would be too heavy.
//!
//! Rule: only words are left out, never what a decision rests on, as long as the API server can store it at all; the
//! same status always loses the same.

use serde::Serialize;

use crate::api::v1alpha1::{SupervisionTreeStatus, WorkerStatus};

use super::judge::cut;

/// Most bytes of the status of a tree, as JSON.
pub(super) const LARGEST_TREE: usize = 64 * 1024;
/// Most bytes of the status of a Worker, as JSON.
pub(super) const LARGEST_WORKER: usize = 128 * 1024;
/// Below these numbers of entries no status can be too heavy.
const FEW_RECORDS: usize = 16;
const FEW_SLOTS: usize = 32;
/// Above this the API server would soon refuse the status, and nothing could be remembered at all.
const UNBEARABLE: usize = 1024 * 1024;
/// How many charges a slot keeps then: more than that many deaths within a window are not counted.
const CHARGES_KEPT: usize = 20;
/// How many bytes of each message are left, in the order in which they are tried.
const MESSAGE_BYTES: [usize; 3] = [256, 64, 16];
/// How many slots keep the message of what keeps them down; most of the others say the same.
const TELLING_SLOTS: usize = 16;

/// Shortens the messages of give-ups and operations until the status fits.
pub(super) fn fit_tree(status: &mut SupervisionTreeStatus) {
    let give_ups = status.supervisors.iter().map(|s| s.gave_up.len());
    if give_ups.sum::<usize>() + status.supervisors.len() < FEW_RECORDS {
        return;
    }
    for bytes in MESSAGE_BYTES {
        if weight(status) <= LARGEST_TREE {
            return;
        }
        for supervisor in &mut status.supervisors {
            let give_ups = supervisor.gave_up.iter_mut().map(|g| &mut g.message);
            let operation = supervisor.operation.iter_mut().map(|o| &mut o.message);
            for message in give_ups.chain(operation) {
                *message = cut(message, bytes);
            }
        }
    }
}

/// Leaves out what most slots say about their troubles, if the status does not fit otherwise, and since when they are
/// down, which is not asked where a trouble says more.
pub(super) fn fit_worker(status: &mut WorkerStatus) {
    if status.slots.len() < FEW_SLOTS || weight(status) <= LARGEST_WORKER {
        return;
    }
    let troubled = status.slots.iter_mut().filter(|s| s.trouble.is_some());
    for slot in troubled.skip(TELLING_SLOTS) {
        slot.down_time = None;
        if let Some(trouble) = &mut slot.trouble {
            trouble.message.clear();
        }
    }
    if weight(status) <= UNBEARABLE {
        return;
    }
    for slot in &mut status.slots {
        let surplus = slot.charges.len().saturating_sub(CHARGES_KEPT);
        slot.charges.drain(..surplus);
    }
}

/// The bytes of a status, as JSON.
pub(super) fn weight<T: Serialize>(status: &T) -> usize {
    serde_json::to_vec(status).map_or(0, |bytes| bytes.len())
}
