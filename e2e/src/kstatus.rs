//! What other tools make of a status: kstatus, as Helm and Flux use it, and the check behind `kubectl wait`.
//!
//! Rule: the generic rules of those tools and nothing of ours, so that a test which passes here passes there.

use serde_json::Value;

/// What kstatus calls the state of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is being deleted.
    Terminating,
    /// Its controller has not seen the last edit, or is at work.
    InProgress,
    /// Its controller does not expect it to become current by itself.
    Failed,
    /// It is as its spec asks.
    Current,
}

/// The state of a custom resource.
pub fn compute(object: &Value) -> Status {
    if !object["metadata"]["deletionTimestamp"].is_null() {
        return Status::Terminating;
    }
    let observed = object["status"]["observedGeneration"].as_i64();
    if observed.is_some() && observed != object["metadata"]["generation"].as_i64() {
        return Status::InProgress;
    }
    for condition in conditions(object) {
        match (condition["type"].as_str(), condition["status"].as_str()) {
            (Some("Reconciling"), Some("True")) => return Status::InProgress,
            (Some("Stalled"), Some("True")) => return Status::Failed,
            _ => {}
        }
    }
    match condition(object, "Ready").map(|ready| &ready["status"]) {
        Some(status) if status != "True" => Status::InProgress,
        _ => Status::Current,
    }
}

/// Whether `kubectl wait --for=condition=TYPE=STATUS` would return now.
pub fn is_waited_for(object: &Value, type_: &str, status: &str) -> bool {
    let Some(condition) = condition(object, type_) else {
        return false;
    };
    let observed = [condition, &object["status"]]
        .into_iter()
        .find_map(|holder| holder["observedGeneration"].as_i64());
    let is_stale = observed < object["metadata"]["generation"].as_i64() && observed.is_some();
    let found = condition["status"].as_str().unwrap_or_default();
    !is_stale && found.eq_ignore_ascii_case(status)
}

/// The condition of that type.
pub fn condition<'a>(object: &'a Value, type_: &str) -> Option<&'a Value> {
    conditions(object).find(|condition| {
        condition["type"]
            .as_str()
            .is_some_and(|found| found.eq_ignore_ascii_case(type_))
    })
}

fn conditions(object: &Value) -> impl Iterator<Item = &Value> {
    object["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// An object of generation 2, with these conditions (type and status), seen at `observed`.
    fn object(observed: i64, conditions: &[(&str, &str)]) -> Value {
        let conditions: Vec<Value> = conditions
            .iter()
            .map(|(type_, status)| {
                json!({"type": type_, "status": status, "observedGeneration": observed})
            })
            .collect();
        json!({"metadata": {"generation": 2}, "status": {"observedGeneration": observed, "conditions": conditions}})
    }

    #[test]
    fn states_follow_the_generic_rules() {
        for (observed, conditions, expected) in [
            (-1, &[][..], Status::InProgress),
            (1, &[("Ready", "True")][..], Status::InProgress),
            (2, &[][..], Status::Current),
            (2, &[("Ready", "True")][..], Status::Current),
            (2, &[("Ready", "False")][..], Status::InProgress),
            (2, &[("Ready", "Unknown")][..], Status::InProgress),
            (
                2,
                &[("Ready", "True"), ("Reconciling", "True")][..],
                Status::InProgress,
            ),
            (
                2,
                &[
                    ("Ready", "True"),
                    ("Reconciling", "False"),
                    ("Stalled", "True"),
                ][..],
                Status::Failed,
            ),
            (
                2,
                &[("Stalled", "True"), ("Reconciling", "True")][..],
                Status::Failed,
            ),
        ] {
            let found = compute(&object(observed, conditions));
            assert_eq!(found, expected, "{observed} {conditions:?}");
        }
    }

    #[test]
    fn an_object_without_any_status_counts_as_current() {
        assert_eq!(
            compute(&json!({"metadata": {"generation": 1}})),
            Status::Current
        );
    }

    #[test]
    fn what_is_being_deleted_is_terminating() {
        let mut deleted = object(2, &[("Ready", "True")]);
        deleted["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(compute(&deleted), Status::Terminating);
    }

    #[test]
    fn nobody_waits_for_a_stale_condition() {
        let ready = [("Ready", "True")];
        assert!(is_waited_for(&object(2, &ready), "ready", "true"));
        assert!(!is_waited_for(&object(2, &ready), "Ready", "False"));
        assert!(!is_waited_for(&object(1, &ready), "Ready", "True"));
        assert!(!is_waited_for(&object(2, &ready), "Stalled", "False"));
    }
}
