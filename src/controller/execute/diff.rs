//! The difference of two statuses as a JSON merge patch.
//!
//! Rule: applied to the old status, the patch gives the new one, fields that disappeared included; no
//! difference is no patch, so that nothing is written.

use serde::Serialize;
use serde_json::{Map, Value};

/// The patch that makes `new` out of `old`. `None` when they are equal once written down: times, for
/// example, are stored in whole seconds.
pub(super) fn between<T: Serialize + PartialEq>(old: &T, new: &T) -> Option<Value> {
    if old == new {
        return None;
    }
    let value = |status| serde_json::to_value(status).unwrap_or_default();
    let (old, new) = (value(old), value(new));
    let is_first = old["observedGeneration"] == -1;
    let changes = patch(&old, new.clone())?;
    // Before the first judgement our zeros are not in the object but only in our reading of it; people want to see them.
    Some(if is_first { new } else { changes })
}

fn patch(old: &Value, new: Value) -> Option<Value> {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let mut changes = Map::new();
            for name in old.keys().filter(|name| !new.contains_key(*name)) {
                // In a merge patch null removes a field.
                changes.insert(name.clone(), Value::Null);
            }
            for (name, value) in new {
                let change = match old.get(&name) {
                    Some(old) => patch(old, value),
                    None => Some(value),
                };
                changes.extend(change.map(|change| (name, change)));
            }
            (!changes.is_empty()).then_some(Value::Object(changes))
        }
        (old, new) => (*old != new).then_some(new),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::api::v1alpha1::SupervisionTreeStatus;

    /// RFC 7386, section 2.
    fn merge(target: &mut Value, patch: Value) {
        let Value::Object(changes) = patch else {
            *target = patch;
            return;
        };
        if !target.is_object() {
            *target = json!({});
        }
        for (name, change) in changes {
            if change.is_null() {
                target.as_object_mut().unwrap().remove(&name);
            } else {
                merge(&mut target[name], change);
            }
        }
    }

    #[test]
    fn removes_what_disappeared_and_leaves_the_rest_out() {
        let old = json!({"same": {"a": 1}, "gone": [1], "inner": {"b": 1, "c": 2}, "list": [1, 2]});
        let new = json!({"same": {"a": 1}, "inner": {"b": 1}, "list": [1], "added": {"d": {}}});
        assert_eq!(
            patch(&old, new),
            Some(json!({"gone": null, "inner": {"c": null}, "list": [1], "added": {"d": {}}}))
        );
    }

    #[test]
    fn the_first_status_is_written_whole() {
        let new = SupervisionTreeStatus {
            observed_generation: 1,
            ..SupervisionTreeStatus::default()
        };
        let stored = SupervisionTreeStatus {
            observed_generation: -1,
            ..SupervisionTreeStatus::default()
        };
        assert_eq!(between(&stored, &new).unwrap()["restarts"], json!(0));
        assert_eq!(between(&new, &new), None);
        assert_eq!(between(&stored, &stored), None);
    }

    fn judged() -> SupervisionTreeStatus {
        SupervisionTreeStatus {
            observed_generation: 1,
            ..SupervisionTreeStatus::default()
        }
    }

    #[test]
    fn parts_of_a_second_are_no_difference() {
        let at = |text: &str| SupervisionTreeStatus {
            handled_retry_time: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
                text.parse().unwrap(),
            )),
            ..judged()
        };
        assert_eq!(
            between(&at("2026-01-01T00:00:00.25Z"), &at("2026-01-01T00:00:00Z")),
            None
        );
        assert_eq!(
            between(&at("2026-01-01T00:00:00Z"), &judged()),
            Some(json!({"handledRetryTime": null}))
        );
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            (0..3).prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[abc]", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_patch_makes_the_new_one_out_of_the_old_one(old in value(), new in value()) {
            let mut merged = old.clone();
            if let Some(patch) = patch(&old, new.clone()) {
                merge(&mut merged, patch);
            }
            prop_assert_eq!(merged, new);
        }
    }
}
