//! How a definition is written.
//!
//! Rule: no value reads differently under YAML 1.1, which `kubectl` follows, and YAML 1.2, which the
//! writer follows.

use serde::Serialize;
use serde_json::{Number, Value};

/// Whole numbers up to this size are the same as floats and as integers.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Prints a definition.
pub(super) fn print(definition: &impl Serialize) -> String {
    let mut value = serde_json::to_value(definition).expect("a definition is plain data");
    write_integers(&mut value);
    serde_yaml::to_string(&value).expect("plain data can be written as YAML")
}

/// The Kubernetes types hold limits as floats; `maximum: 1000.0` would only puzzle a reader.
fn write_integers(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(write_integers),
        Value::Array(items) => items.iter_mut().for_each(write_integers),
        Value::Number(number) => {
            if let Some(integer) = number.as_f64().and_then(whole) {
                *number = integer;
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// The integer that a float stands for, if it does.
fn whole(float: f64) -> Option<Number> {
    (float.fract() == 0.0 && float.abs() < EXACT)
        .then(|| format!("{float:.0}").parse::<i64>().ok().map(Number::from))?
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::print;
    use crate::api::crd::all;

    /// Plain words that YAML 1.1 takes for booleans or null, in lower case.
    const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "null", "~", "="];

    #[test]
    fn limits_are_integers() {
        let printed = print(&json!({"maximum": 1000.0, "minimum": -1.0, "multipleOf": 0.5}));
        assert_eq!(printed, "maximum: 1000\nminimum: -1\nmultipleOf: 0.5\n");
    }

    #[test]
    fn no_plain_word_means_something_else_in_yaml_1_1() {
        for crd in all() {
            let value = serde_json::to_value(crd).unwrap();
            each_string(&value, &mut |string| {
                let word = string.to_lowercase();
                assert!(
                    !WORDS.contains(&word.as_str()),
                    "{string:?} would not be a string"
                );
                let sexagesimal =
                    string.contains(':') && string.chars().all(|c| c.is_ascii_digit() || c == ':');
                assert!(!sexagesimal, "{string:?} would be a number");
            });
        }
    }

    fn each_string(value: &Value, look: &mut impl FnMut(&str)) {
        match value {
            Value::String(string) => look(string),
            Value::Array(items) => items.iter().for_each(|item| each_string(item, look)),
            Value::Object(fields) => fields.iter().for_each(|(key, field)| {
                look(key);
                each_string(field, look);
            }),
            _ => {}
        }
    }
}
