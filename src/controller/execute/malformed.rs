//! A tree that cannot be read: says so in its status, and lets it go when it is deleted.
//!
//! Rule: nothing of such a tree is started, stopped or judged; its Pods go on as they are.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::context::Context;
use super::super::error::Error;
use super::super::kinds::Trees;
use super::super::memory::Written;
use super::super::observe::Malformed;
use super::requests::{StatusWrite, patch_finalizers, patch_status};
use super::{Executed, diff};
use crate::api::conditions::{Reason, types};
use crate::api::labels;

/// Reports that a tree cannot be read.
pub(in crate::controller) async fn report_malformed(
    context: &Context,
    malformed: &Malformed,
) -> Result<Executed, Error> {
    let Malformed {
        key,
        term,
        tree,
        message,
    } = malformed;
    let version = tree["metadata"]["resourceVersion"]
        .as_str()
        .unwrap_or_default();
    let finalizers: Vec<&str> = strings(&tree["metadata"]["finalizers"]).collect();
    let deleting = !tree["metadata"]["deletionTimestamp"].is_null();
    if deleting && finalizers.contains(&labels::FINALIZER) {
        // Its order cannot be known, so nothing is gained by holding it.
        tracing::warn!(why = message, "letting go of a tree that cannot be read");
        let others: Vec<&str> = finalizers
            .into_iter()
            .filter(|name| *name != labels::FINALIZER)
            .collect();
        let patched = patch_finalizers(context, *term, key, &others, version).await?;
        return Ok(if patched.is_some() {
            Executed::Nothing
        } else {
            Executed::Stale
        });
    }
    let old = &tree["status"];
    let Some(patch) = diff::between(old, &status(tree, message, context.now())) else {
        return Ok(Executed::Nothing);
    };
    tracing::warn!(why = message, "reporting a tree that cannot be read");
    let write = StatusWrite {
        child: None,
        name: key.name.clone(),
        patch,
    };
    let stored = patch_status::<Trees>(context, *term, key, Written::Tree, &write, version).await?;
    Ok(if stored.is_some() {
        Executed::Nothing
    } else {
        Executed::Stale
    })
}

/// The status of that tree with the three conditions that say what is wrong; the rest is left alone.
fn status(tree: &Value, message: &str, now: Timestamp) -> Value {
    let generation = tree["metadata"]["generation"].as_i64().unwrap_or_default();
    let old = tree["status"]["conditions"].as_array();
    let condition = |name: &str, value: &str| {
        let same = old
            .into_iter()
            .flatten()
            .find(|c| c["type"] == name && c["status"] == value);
        let since = same.map_or_else(
            || Value::from(now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
            |c| c["lastTransitionTime"].clone(),
        );
        json!({"type": name, "status": value, "reason": Reason::InvalidSpec.as_str(), "message": message,
            "observedGeneration": generation, "lastTransitionTime": since})
    };
    let mut status = tree["status"].clone();
    if !status.is_object() {
        status = json!({});
    }
    status["observedGeneration"] = generation.into();
    status["conditions"] = json!([
        condition(types::READY, "False"),
        condition(types::RECONCILING, "False"),
        condition(types::STALLED, "True"),
    ]);
    status
}

fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_it_once_and_keeps_the_time_since_when() {
        let now: Timestamp = "2026-01-01T00:00:00.5Z".parse().unwrap();
        let tree = json!({"metadata": {"generation": 3}, "status": {"observedGeneration": -1, "restarts": 7}});
        let first = status(&tree, "m", now);
        assert_eq!(
            (&first["observedGeneration"], &first["restarts"]),
            (&json!(3), &json!(7))
        );
        assert_eq!(
            first["conditions"][2]["lastTransitionTime"],
            "2026-01-01T00:00:00Z"
        );
        assert_eq!(first["conditions"][2]["status"], "True");
        let stored = json!({"metadata": {"generation": 3}, "status": first});
        let later = status(&stored, "m", "2026-01-02T00:00:00Z".parse().unwrap());
        assert_eq!(diff::between(&stored["status"], &later), None);
    }
}
