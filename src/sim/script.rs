//! A script of calls and the answers that matter, for any API server that can be asked.
//!
//! Rule: it knows no server; the tests of the simulation and of a real API server run the same script.

use std::collections::BTreeMap;

use serde_json::Value;

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) body: Value,
}

/// Runs the script as a dialogue: hands out one call after the other, and judges what was answered.
pub(crate) struct Dialogue {
    steps: std::vec::IntoIter<Value>,
    step: Value,
    known: BTreeMap<String, String>,
}

impl Dialogue {
    /// The script in a namespace.
    pub(crate) fn new(script: &str, namespace: &str) -> Self {
        let steps: Vec<Value> =
            serde_yaml::from_str(script).expect("the script is a list of steps");
        Self {
            steps: steps.into_iter(),
            step: Value::Null,
            known: BTreeMap::from([("ns".to_owned(), namespace.to_owned())]),
        }
    }

    /// The next call, until there is none.
    pub(crate) fn next(&mut self) -> Option<Asked> {
        self.step = self.steps.next()?;
        let call = self.fill_text(self.step["call"].as_str().expect("a step has a call"));
        let (method, target) = call.split_once(' ').expect("a call is a method and a path");
        Some(Asked {
            method: method.to_owned(),
            target: target.to_owned(),
            body: self.fill(&self.step["body"]),
        })
    }

    /// Judges the answer to the last call, and keeps what is needed later.
    pub(crate) fn answered(&mut self, code: u16, answer: &Value) {
        let what = &self.step["what"];
        assert_eq!(
            u64::from(code),
            self.step["code"].as_u64().unwrap_or_default(),
            "{what}: {answer:#}"
        );
        let differs = contains(answer, &self.fill(&self.step["answer"]), "").err();
        assert_eq!(differs, None, "{what}, in {answer:#}");
        for (name, path) in self.step["keep"].as_object().into_iter().flatten() {
            let path = path.as_str().unwrap_or_default();
            let value = path.split('.').fold(answer, |value, part| &value[part]);
            assert!(value.is_string(), "{what}: no text at {path} in {answer:#}");
            let value = value.as_str().unwrap_or_default();
            self.known.insert(name.clone(), value.to_owned());
        }
    }

    fn fill(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.fill_text(text).into(),
            Value::Array(list) => list.iter().map(|item| self.fill(item)).collect(),
            Value::Object(fields) => Value::Object(
                fields
                    .iter()
                    .map(|(name, value)| (name.clone(), self.fill(value)))
                    .collect(),
            ),
            other => other.clone(),
        }
    }

    fn fill_text(&self, text: &str) -> String {
        let mut filled = text.to_owned();
        for (name, value) in &self.known {
            filled = filled.replace(&format!("${name}"), value);
        }
        filled
    }
}

/// Whether all of `wanted` is in `found`; null in it stands for what must not be there.
fn contains(found: &Value, wanted: &Value, path: &str) -> Result<(), String> {
    match (found, wanted) {
        (_, Value::Null) if found.is_null() => Ok(()),
        (Value::Object(_), Value::Object(fields)) => {
            fields.iter().try_for_each(|(name, wanted)| {
                contains(&found[name], wanted, &format!("{path}.{name}"))
            })
        }
        (Value::Array(list), Value::Array(items)) if list.len() == items.len() => {
            let pairs = list.iter().zip(items).enumerate();
            pairs.into_iter().try_for_each(|(index, (found, wanted))| {
                contains(found, wanted, &format!("{path}[{index}]"))
            })
        }
        _ if found == wanted => Ok(()),
        _ => Err(format!("{path} is {found}, not {wanted}")),
    }
}
