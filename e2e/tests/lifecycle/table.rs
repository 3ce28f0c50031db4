//! The contract of conditions, checked over every status that any tree ever had.
//!
//! Rule: what kstatus, Helm and `kubectl wait` conclude from a status must never be wrong, not even for a moment.

use std::collections::HashMap;

use e2e::kstatus::{Status, compute, condition};
use serde_json::Value;

use super::record::Seen;

/// What reasons may show, as the letters of the conditions that are true: Ready, Reconciling (W for work), Stalled.
const ROWS: [(&[&str], &[&str]); 5] = [
    (
        &[
            "AllUp",
            "NoChildren",
            "AllDisabled",
            "Finished",
            "Suspended",
        ],
        &["R"],
    ),
    (
        &[
            "Starting",
            "Restarting",
            "Scaling",
            "Updating",
            "Stopping",
            "WaitingForCapacity",
            "RolloutPaused",
        ],
        &["W", "RW"],
    ),
    (&["NotUp", "Held", "CreateRefused"], &["W", "RW", "S", "RS"]),
    (
        &[
            "NameCollision",
            "StartDeadlineExceeded",
            "SlotParked",
            "WaitingForFence",
        ],
        &["S", "RS"],
    ),
    (
        &["GaveUp", "InvalidSpec", "RolledBack", "RolloutFailed"],
        &["S"],
    ),
];

/// Every status that breaks the contract, and every row that should have been seen and was not.
pub fn broken(seen: &[Seen]) -> Vec<String> {
    let mut before: HashMap<String, Value> = HashMap::new();
    let mut rows: HashMap<String, usize> = HashMap::new();
    let mut broken = Vec::new();
    for entry in seen {
        let (Seen::Object(tree) | Seen::Gone(tree)) = entry;
        let key = tree["metadata"]["uid"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        match judge(tree, before.get(&key)) {
            Ok(row) => *rows.entry(row).or_default() += 1,
            Err(why) => broken.push(format!(
                "{}/{}: {why}: {}",
                tree["metadata"]["namespace"],
                tree["metadata"]["name"],
                tree["status"]["conditions"]
            )),
        }
        before.insert(key, tree.clone());
    }
    eprintln!("{} statuses seen: {rows:?}", seen.len());
    let expected = [
        "W Starting",
        "R AllUp",
        "S InvalidSpec",
        "S GaveUp",
        "W Held",
        "S Held",
        "RW Restarting",
        "W RolloutPaused",
        "RW RolloutPaused",
        "S RolledBack",
        "S RolloutFailed",
    ];
    let missing = expected.iter().filter(|row| !rows.contains_key(**row));
    broken.extend(missing.map(|row| format!("{row} was never seen")));
    broken
}

/// The row of the table that a status is in, or what is wrong with it.
fn judge(tree: &Value, before: Option<&Value>) -> Result<String, String> {
    let (generation, observed) = (
        &tree["metadata"]["generation"],
        &tree["status"]["observedGeneration"],
    );
    let state = compute(tree);
    let is_deleted = !tree["metadata"]["deletionTimestamp"].is_null();
    if observed == -1 {
        let is_new = tree["status"]["conditions"]
            .as_array()
            .is_none_or(Vec::is_empty);
        let expected = if is_deleted {
            Status::Terminating
        } else {
            Status::InProgress
        };
        return if is_new && state == expected {
            Ok("new".to_owned())
        } else {
            Err("not new".to_owned())
        };
    }
    if observed.as_i64() > generation.as_i64() {
        return Err("a generation from the future".to_owned());
    }
    let mut letters = String::new();
    for (type_, letter) in [("Ready", 'R'), ("Reconciling", 'W'), ("Stalled", 'S')] {
        let condition = condition(tree, type_).ok_or_else(|| format!("{type_} is missing"))?;
        if condition["observedGeneration"] != *observed {
            return Err(format!("{type_} was judged at another generation"));
        }
        if condition["message"].as_str().is_none_or(str::is_empty) {
            return Err(format!("{type_} has no message"));
        }
        check_transition(type_, condition, before)?;
        if condition["status"] == "True" {
            letters.push(letter);
        } else if condition["status"] != "False" {
            return Err(format!("{type_} is neither True nor False"));
        }
    }
    let reason = condition(tree, "Ready")
        .and_then(|ready| ready["reason"].as_str())
        .unwrap_or_default();
    let row = ROWS.iter().find(|(reasons, _)| reasons.contains(&reason));
    let (_, allowed) = row.ok_or_else(|| format!("{reason} is no reason"))?;
    if !allowed.contains(&letters.as_str()) {
        return Err(format!("{reason} shows {letters}"));
    }
    let expected = match letters.as_str() {
        _ if is_deleted => Status::Terminating,
        _ if observed != generation => Status::InProgress,
        "R" => Status::Current,
        "W" | "RW" => Status::InProgress,
        _ => Status::Failed,
    };
    if state != expected {
        return Err(format!("kstatus says {state:?}, not {expected:?}"));
    }
    Ok(format!("{letters} {reason}"))
}

/// The time of a condition moves when its status does, and only then.
fn check_transition(type_: &str, now: &Value, before: Option<&Value>) -> Result<(), String> {
    let Some(before) = before.and_then(|tree| condition(tree, type_)) else {
        return Ok(());
    };
    let moved = now["lastTransitionTime"] != before["lastTransitionTime"];
    let changed = now["status"] != before["status"];
    // Two changes may fall into one second, or one may not have been seen.
    if moved && !changed {
        return Err(format!("the time of {type_} moved without a change"));
    }
    Ok(())
}
