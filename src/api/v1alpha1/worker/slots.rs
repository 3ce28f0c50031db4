//! How what is remembered of single replicas is stored: a word for each of which there is nothing to say but its Pod.
//!
//! Rule: what is read is what was written, whoever of the operators that know `slots` alone wrote it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::{Deserializer, Error};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use super::SlotStatus;

/// The fields of the status. Each write of a status is decoded, checked and told to all who watch it several times over, and
/// an object with three fields costs ten times what a word does: of a thousand replicas hardly any has more to remember.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StoredSlots {
    /// startedPods are the Pods of the slots of which nothing more must be remembered than that their Pod has started: the number
    /// of the slot, a slash, and the UID of the Pod.
    #[serde(default)]
    #[schemars(length(max = 2000), inner(length(max = 71)))]
    started_pods: Vec<String>,

    /// slots is what must be remembered of the other replicas. Slots with nothing to remember are left out.
    #[serde(default)]
    #[schemars(length(max = 2000))]
    // No map by number: the API server would keep a record of who owns each field of each slot, which weighs more than the
    // slots, and making it takes longer than all else about a write. Only Coppice writes them, and always all of them.
    slots: Vec<SlotStatus>,
}

/// The same as it is written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    started_pods: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    slots: Vec<&'a SlotStatus>,
}

pub(super) fn serialize<S: Serializer>(
    slots: &[SlotStatus],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let (started, slots): (Vec<&SlotStatus>, _) = slots.iter().partition(|slot| has_started(slot));
    let started_pods = started.iter().map(|slot| word(slot)).collect();
    Written {
        started_pods,
        slots,
    }
    .serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<SlotStatus>, D::Error> {
    let stored = StoredSlots::deserialize(deserializer)?;
    let started = stored.started_pods.iter().map(|word| {
        let slot = slot(word).ok_or_else(|| {
            let what = "startedPods: expected the number of a slot, a slash and the UID of a Pod";
            D::Error::custom(format!("{what}, got {word:?}"))
        })?;
        Ok((slot.slot, slot))
    });
    let mut slots: BTreeMap<i32, SlotStatus> = started.collect::<Result<_, _>>()?;
    // An operator that knows no words leaves them as they were: what it has written of the same slot is newer.
    slots.extend(stored.slots.into_iter().map(|slot| (slot.slot, slot)));
    Ok(slots.into_values().collect())
}

/// Whether nothing is remembered of a slot but a Pod that has started.
fn has_started(slot: &SlotStatus) -> bool {
    let plain = SlotStatus {
        slot: slot.slot,
        pod_uid: slot.pod_uid.clone(),
        started: true,
        ..SlotStatus::default()
    };
    !slot.pod_uid.is_empty() && *slot == plain
}

fn word(slot: &SlotStatus) -> String {
    format!("{}/{}", slot.slot, slot.pod_uid)
}

fn slot(word: &str) -> Option<SlotStatus> {
    let (slot, uid) = word.split_once('/').filter(|(_, uid)| !uid.is_empty())?;
    Some(SlotStatus {
        slot: slot.parse().ok().filter(|slot| *slot >= 0)?,
        pod_uid: uid.to_owned(),
        started: true,
        ..SlotStatus::default()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::WorkerStatus;

    fn read(status: Value) -> Result<WorkerStatus, serde_json::Error> {
        serde_json::from_value(status)
    }

    fn slots(status: &WorkerStatus) -> Vec<(i32, &str, bool, i64)> {
        let slots = status.slots.iter();
        slots
            .map(|one| (one.slot, &*one.pod_uid, one.started, one.deaths))
            .collect()
    }

    #[test]
    fn a_slot_of_which_only_its_started_pod_is_remembered_is_a_word() {
        let all = json!([
            {"slot": 0, "podUID": "a", "started": true},
            {"slot": 1, "podUID": "b", "started": true, "deaths": 1},
            {"slot": 2, "podUID": "c"},
            {"slot": 3, "started": true},
            {"slot": 10, "podUID": "d/e", "started": true},
        ]);
        let status = read(json!({"up": 4, "slots": all})).unwrap();
        let written = serde_json::to_value(&status).unwrap();
        assert_eq!(written["up"], 4);
        assert_eq!(written["startedPods"], json!(["0/a", "10/d/e"]));
        assert_eq!(
            written["slots"],
            json!([
                {"slot": 1, "podUID": "b", "started": true, "deaths": 1},
                {"slot": 2, "podUID": "c"},
                {"slot": 3, "started": true},
            ])
        );
        assert_eq!(read(written).unwrap(), status);
    }

    #[test]
    fn where_nothing_is_remembered_there_is_nothing() {
        let written = serde_json::to_value(WorkerStatus::default()).unwrap();
        assert_eq!(written.get("slots"), None);
        assert_eq!(written.get("startedPods"), None);
    }

    #[test]
    fn what_an_operator_writes_that_knows_no_words_is_newer_than_a_word() {
        let status = read(json!({
            "startedPods": ["2/c", "0/a"],
            "slots": [{"slot": 1, "podUID": "b"}, {"slot": 2, "podUID": "d", "deaths": 3}],
        }));
        let expected = [(0, "a", true, 0), (1, "b", false, 0), (2, "d", false, 3)];
        assert_eq!(slots(&status.unwrap()), expected);
    }

    #[test]
    fn a_word_that_means_nothing_is_an_error_that_says_what_is_expected() {
        for word in ["", "1", "1/", "/a", "x/a", "-1/a"] {
            let error = read(json!({"startedPods": [word]})).unwrap_err();
            let error = error.to_string();
            assert!(
                error.starts_with("startedPods: expected the number of a slot, a slash"),
                "{word}: {error}"
            );
        }
    }
}
