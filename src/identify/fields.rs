//! Fields of JSON that may be missing or of another type than expected.
//!
//! Rule: what is not as expected is as if it were missing.

use jiff::Timestamp;
use serde_json::Value;

/// The longest text that is kept of a field, in bytes.
const LONGEST: usize = 4096;

/// The deepest that objects are searched for times.
const DEPTH: usize = 24;

/// The text of a field, empty when it is missing. A number or a truth value is its text.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => cut(text, LONGEST),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        _ => String::new(),
    }
}

/// The text, cut between two characters.
pub(super) fn cut(text: &str, bytes: usize) -> String {
    text[..text.floor_char_boundary(bytes)].to_owned()
}

/// The text of a field, `None` when it is missing or empty.
pub(super) fn some_text(value: &Value) -> Option<String> {
    Some(text(value)).filter(|text| !text.is_empty())
}

/// A whole number, also where it is written as text.
pub(super) fn number(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_i64(),
    }
}

/// A time.
pub(super) fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// The elements of a list; of one that is wrapped as Kubernetes does it, its items.
pub(super) fn list(value: &Value) -> &[Value] {
    let list = value.as_array().or_else(|| value["items"].as_array());
    list.map_or(&[], Vec::as_slice)
}

/// Fields of times that may lie in the future: when something is to be over, or is to be done.
const TO_COME: [&str; 5] = [
    "deletionTimestamp",
    "dueTime",
    "retryTime",
    "retryAt",
    "restartAt",
];

/// The newest time in an object at which something was.
pub(super) fn newest_time(value: &Value) -> Option<Timestamp> {
    fn search(value: &Value, depth: usize) -> Option<Timestamp> {
        match value {
            _ if depth == 0 => None,
            Value::Object(fields) => {
                let times = fields
                    .iter()
                    .filter(|(name, _)| !TO_COME.contains(&name.as_str()));
                times
                    .filter_map(|(name, value)| {
                        let names_time = name.ends_with("Time")
                            || name.ends_with("Timestamp")
                            || name.ends_with("At");
                        time(value)
                            .filter(|_| names_time)
                            .or_else(|| search(value, depth - 1))
                    })
                    .max()
            }
            Value::Array(values) => values
                .iter()
                .filter_map(|value| search(value, depth - 1))
                .max(),
            _ => None,
        }
    }
    search(value, DEPTH)
}
