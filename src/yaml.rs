//! The documents of a YAML stream, as the values that JSON has.
//!
//! Rule: a field that is there twice is an error, and not the last one of the two.

use serde::Deserialize as _;
use serde_json::Value;

/// Each document, or what is wrong with it in words.
pub(crate) fn documents(text: &str) -> impl Iterator<Item = Result<Value, String>> {
    serde_yaml::Deserializer::from_str(text).map(|document| {
        let value = serde_yaml::Value::deserialize(document).map_err(|error| error.to_string())?;
        serde_json::to_value(value).map_err(|error| error.to_string())
    })
}
