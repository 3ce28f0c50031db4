//! The bounds of a value: choices, lengths, numbers, forms.
//!
//! Rule: a value of the right type breaks at most one of them.

use jiff::Timestamp;
use regex::Regex;
use serde_json::Value;

use super::{choices, found};

/// What is wrong with a value of the right type.
pub(super) fn out_of_bounds(value: &Value, schema: &Value) -> Option<String> {
    if let Some(choices) = choices(schema)
        && !schema["enum"].as_array()?.contains(value)
    {
        return Some(format!("expected one of {choices}, found {}", found(value)));
    }
    let beyond = |length: u64, least: &str, most: &str| {
        let (least, most) = (schema[least].as_u64(), schema[most].as_u64());
        let is_short = least.is_some_and(|least| length < least);
        let is_long = most.is_some_and(|most| length > most);
        (is_short || is_long).then(|| range(least, most))
    };
    match value {
        Value::String(text) => {
            let length = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
            if let Some(range) = beyond(length, "minLength", "maxLength") {
                return Some(format!("expected {range} characters, found {length}"));
            }
            wrong_form(text, schema)
        }
        Value::Number(number) => {
            let number = number.as_i64()?;
            let (least, most) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
            #[expect(clippy::cast_precision_loss, reason = "bounds are small")]
            let exact = number as f64;
            let is_beyond = least.is_some_and(|least| exact < least)
                || most.is_some_and(|most| exact > most)
                || (schema["format"] == "int32" && i32::try_from(number).is_err());
            is_beyond.then(|| format!("expected {}, found {number}", range(least, most)))
        }
        Value::Array(items) => {
            let length = u64::try_from(items.len()).unwrap_or(u64::MAX);
            let range = beyond(length, "minItems", "maxItems")?;
            Some(format!("expected {range} elements, found {length}"))
        }
        Value::Object(fields) => {
            let length = u64::try_from(fields.len()).unwrap_or(u64::MAX);
            let range = beyond(length, "minProperties", "maxProperties")?;
            Some(format!("expected {range} entries, found {length}"))
        }
        _ => None,
    }
}

fn wrong_form(text: &str, schema: &Value) -> Option<String> {
    if schema["format"] == "date-time" && text.parse::<Timestamp>().is_err() {
        return Some(format!(
            "expected a time like 2030-01-31T12:00:00Z, found '{text}'"
        ));
    }
    let pattern = schema["pattern"].as_str()?;
    let fits = Regex::new(pattern).map_or(true, |pattern| pattern.is_match(text));
    (!fits).then(|| format!("'{text}' does not have the form {pattern}"))
}

fn range<T: std::fmt::Display>(least: Option<T>, most: Option<T>) -> String {
    match (least, most) {
        (Some(least), Some(most)) => format!("from {least} to {most}"),
        (Some(least), None) => format!("at least {least}"),
        (None, Some(most)) => format!("at most {most}"),
        (None, None) => "a smaller number".to_owned(),
    }
}
