//! How much a status may weigh, and what is left out of one that would be too heavy.
//!
//! Rule: only words are left out, never what a decision rests on, as long as the API server can store it at all; the
//! same status always loses the same.

use serde::Serialize;

use crate::api::v1alpha1::{SlotStatus, SupervisionTreeStatus, WorkerStatus};

use super::judge::cut;

/// Most bytes of the status of a tree, as JSON.
pub(super) const LARGEST_TREE: usize = 64 * 1024;
/// Most bytes of the status of a Worker, as JSON.
pub(super) const LARGEST_WORKER: usize = 128 * 1024;
/// Below this number of entries no status of a tree can be too heavy.
const FEW_RECORDS: usize = 16;
/// More bytes than a slot weighs of which nothing is told but its Pod, beside the UID of that.
const PLAIN_SLOT: usize = 64;
/// More bytes than a number of a slot adds.
const NUMBER: usize = 24;
/// More bytes than the number of a slot has, with its comma.
const SLOT_NUMBER: usize = 8;
/// More bytes than the names and times add of what a slot waits for, or of what troubles it.
const WORDS: usize = 256;
/// More bytes than a charge adds beside its node.
const TIMED: usize = 80;
/// More bytes than a container that is updated in place adds beside its name.
const CHANGING: usize = 96;
/// More bytes than a Worker's status weighs beside its slots.
const REST: usize = 1024;
/// Above this the API server would soon refuse the status, and nothing could be remembered at all.
const UNBEARABLE: usize = 1024 * 1024;
/// How many charges a slot keeps then: more than that many deaths within a window are not counted.
const CHARGES_KEPT: usize = 20;
/// How many bytes of each message are left, in the order in which they are tried.
const MESSAGE_BYTES: [usize; 3] = [256, 64, 16];
/// How many of the last faults keep their evidence.
const PROVED_FAULTS: usize = 2;
/// How many slots keep the message of what keeps them down; most of the others say the same.
const TELLING_SLOTS: usize = 16;

/// Shortens the messages of give-ups and operations until the status fits.
pub(super) fn fit_tree(status: &mut SupervisionTreeStatus) {
    let give_ups = status.supervisors.iter().map(|s| s.gave_up.len());
    if give_ups.sum::<usize>() + status.supervisors.len() < FEW_RECORDS {
        return;
    }
    if weight(status) > LARGEST_TREE {
        for fault in status.recent_faults.iter_mut().skip(PROVED_FAULTS) {
            fault.evidence.clear();
        }
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
    if is_light(status) || weight(status) <= LARGEST_WORKER {
        return;
    }
    let troubled = status.slots.iter_mut().filter(|s| s.trouble.is_some());
    for slot in troubled.skip(TELLING_SLOTS) {
        slot.down_time = None;
        if let Some(trouble) = &mut slot.trouble {
            trouble.message.clear();
            trouble.class.clear();
            trouble.told.clear();
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

/// Whether slots are certainly not too heavy. To weigh them takes longer than most of a decision.
fn is_light(status: &WorkerStatus) -> bool {
    let canary = status.update_step.iter().map(|step| step.slots.len());
    let numbers = canary.sum::<usize>() * SLOT_NUMBER;
    let slots = status.slots.iter().map(at_most).sum::<usize>();
    slots + numbers + REST <= LARGEST_WORKER
}

/// More bytes than a slot weighs, as JSON.
fn at_most(slot: &SlotStatus) -> usize {
    let is_timed = slot.due_time.is_some() || slot.down_time.is_some() || slot.brake.is_some();
    let is_troubled = slot.parked.is_some() || slot.trouble.is_some();
    let texts = slot
        .trouble
        .iter()
        .map(|trouble| trouble.reason.len() + trouble.class.len() + trouble.message.len());
    let told = slot.trouble.iter().flat_map(|trouble| &trouble.told);
    let told = told.map(|told| told.len() + 1);
    let nodes = slot.node_charges.iter().map(|charge| charge.node.len());
    let numbers = [slot.deaths, slot.failed_inits, slot.step];
    let changing = slot.in_place.iter().map(|update| {
        let names = update
            .containers
            .iter()
            .map(|one| CHANGING + one.container.len());
        WORDS + names.sum::<usize>()
    });
    PLAIN_SLOT
        + changing.sum::<usize>()
        + slot.pod_uid.len()
        + NUMBER * numbers.iter().filter(|number| **number != 0).count()
        + WORDS * (usize::from(is_timed) + usize::from(is_troubled))
        + TIMED * (slot.charges.len() + slot.node_charges.len())
        // A byte of a text takes six at most, as an escape.
        + 6 * texts.chain(told).chain(nodes).sum::<usize>()
}

/// The bytes of a status, as JSON.
pub(super) fn weight<T: Serialize>(status: &T) -> usize {
    serde_json::to_vec(status).map_or(0, |bytes| bytes.len())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    use super::*;
    use crate::api::v1alpha1::{SupervisorStatus, TroubleStatus};

    #[test]
    fn no_slot_weighs_more_than_it_is_taken_for() {
        let time = "2026-01-01T00:00:00.123456789Z";
        let charge = json!({"node": "\u{1}", "time": time});
        let optional = [
            ("deaths", json!(1_000_000)),
            ("failedInits", json!(1_000_000)),
            ("step", json!(1_000_000)),
            ("charges", json!([time])),
            ("nodeCharges", json!([charge])),
            ("dueTime", json!(time)),
            ("downTime", json!(time)),
            ("brake", json!({"count": 1_000_000, "dueTime": time})),
            (
                "parked",
                json!({"retryTime": time, "delaySeconds": 300, "waiting": true}),
            ),
            (
                "inPlace",
                json!({"revision": "0123456789", "sinceTime": time,
                    "containers": [{"container": "app", "restarts": 1_000_000, "image": "0123456789abcdef"}]}),
            ),
            (
                "trouble",
                json!({"reason": "CreateRefused", "class": "AdmissionPolicyDenied", "message": "\u{1}", "sinceTime": time, "claim": true}),
            ),
        ];
        for choice in 0..1_u32 << optional.len() {
            let mut slot =
                json!({"slot": 100_000, "podUID": "u".repeat(36), "gone": true, "started": true});
            let chosen = optional.iter().enumerate();
            for (_, (name, value)) in chosen.filter(|(place, _)| choice >> place & 1 == 1) {
                slot[name] = value.clone();
            }
            let slot: SlotStatus = serde_json::from_value(slot).unwrap();
            let bytes = weight(&slot);
            assert!(bytes < at_most(&slot), "{bytes} bytes: {slot:?}");
        }
    }

    fn trouble(text: &str) -> TroubleStatus {
        serde_json::from_value(json!({
            "reason": "CreateRefused", "message": text, "sinceTime": "2026-01-01T00:00:00Z",
        }))
        .unwrap()
    }

    fn slots(count: i32, message: usize, charges: usize) -> WorkerStatus {
        let time: Time = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        let slots = (0..count).map(|slot| SlotStatus {
            slot,
            trouble: Some(trouble(&"x".repeat(message))),
            down_time: Some(time.clone()),
            charges: vec![time.clone(); charges],
            ..SlotStatus::default()
        });
        WorkerStatus {
            slots: slots.collect(),
            ..WorkerStatus::default()
        }
    }

    #[test]
    fn a_worker_that_is_too_heavy_says_its_troubles_for_some_slots_only() {
        let light = slots(100, 500, 1);
        let mut status = light.clone();
        fit_worker(&mut status);
        assert_eq!(status, light);

        let heavy = slots(1000, 500, 1);
        let mut status = heavy.clone();
        fit_worker(&mut status);
        assert_eq!(status.slots[..TELLING_SLOTS], heavy.slots[..TELLING_SLOTS]);
        for slot in &status.slots[TELLING_SLOTS..] {
            assert_eq!(
                (&slot.trouble, &slot.down_time),
                (&Some(trouble("")), &None)
            );
            assert_eq!(slot.charges.len(), 1);
        }

        let mut status = slots(1000, 500, 100);
        fit_worker(&mut status);
        assert!(
            status
                .slots
                .iter()
                .all(|slot| slot.charges.len() == CHARGES_KEPT)
        );
        assert!(weight(&status) <= UNBEARABLE);
    }

    #[test]
    fn a_tree_that_is_too_heavy_says_less_of_each_give_up() {
        let with = |supervisors: usize, bytes: usize| {
            let record: SupervisorStatus = serde_json::from_value(json!({
                "name": "s", "incarnation": 1,
                "gaveUp": [{
                    "child": "a", "rest": false, "sinceTime": "2026-01-01T00:00:00Z", "delaySeconds": 30,
                    "waiting": true, "templates": "x", "message": "x".repeat(bytes),
                }],
                "operation": {
                    "kind": "Restart", "number": 1, "sinceTime": "2026-01-01T00:00:00Z",
                    "message": "x".repeat(bytes),
                },
            }))
            .unwrap();
            SupervisionTreeStatus {
                supervisors: vec![record; supervisors],
                ..SupervisionTreeStatus::default()
            }
        };
        let longest = |supervisors, bytes| {
            let mut status = with(supervisors, bytes);
            fit_tree(&mut status);
            let record = &status.supervisors[0];
            let operation = record.operation.as_ref().unwrap();
            assert_eq!(record.gave_up[0].message, operation.message);
            operation.message.len()
        };
        assert_eq!(longest(10, 1000), 1000, "it fits");
        assert_eq!(longest(60, 1000), 256);
        assert_eq!(longest(150, 1000), 64);
        assert_eq!(longest(200, 1000), 16);
        // No status of so few supervisors can be that heavy, and nobody weighs it.
        assert_eq!(longest(7, 64 * 1024), 64 * 1024);
        assert_eq!(longest(8, 64 * 1024), 256);
    }
}
