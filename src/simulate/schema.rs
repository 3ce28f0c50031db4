//! Checks an object against the schema of its custom resource definition, as the API server would.
//!
//! Rule: every refusal names the field by its path and says what is expected there.

use serde_json::Value;

use bounds::out_of_bounds;

mod bounds;

/// How alike a misspelt word and a real one must be, from 0 to 1.
const ALIKE: f64 = 0.8;

/// Everything that is wrong with a value, each as `path: what is expected`. The path of the whole object is empty.
pub(super) fn check(value: &Value, schema: &Value, path: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    check_into(value, schema, path, &mut wrong);
    wrong
}

fn check_into(value: &Value, schema: &Value, path: &str, wrong: &mut Vec<String>) {
    if let Some(expected) = wrong_type(value, schema) {
        wrong.push(format!(
            "{path}: expected {expected}, found {}{}",
            if value.is_string() { "the text " } else { "" },
            found(value)
        ));
        return;
    }
    wrong.extend(out_of_bounds(value, schema).map(|what| format!("{path}: {what}")));
    match value {
        Value::Object(fields) => {
            for name in required(schema).filter(|name| !fields.contains_key(*name)) {
                wrong.push(format!("{path}: the field `{name}` is missing"));
            }
            for (name, field) in fields {
                let at = match path {
                    "" => name.clone(),
                    path => format!("{path}.{name}"),
                };
                match field_schema(schema, name) {
                    Field::Known(schema) => check_into(field, schema, &at, wrong),
                    Field::Free => {}
                    Field::Unknown => wrong.push(format!(
                        "{at}: there is no such field{}",
                        hint(schema, name)
                    )),
                }
            }
        }
        Value::Array(items) => {
            if let Some(twice) = twice(items, schema) {
                wrong.push(format!("{path}: {twice}"));
            }
            for (index, item) in items.iter().enumerate() {
                check_into(item, &schema["items"], &element(path, index, item), wrong);
            }
        }
        _ => {}
    }
}

/// What is in a list twice that may be in it once: whole elements, or those that are told apart by some fields.
fn twice(items: &[Value], schema: &Value) -> Option<String> {
    let keys: Vec<&str> = match schema["x-kubernetes-list-type"].as_str()? {
        "map" => {
            let keys = schema["x-kubernetes-list-map-keys"].as_array()?.iter();
            keys.filter_map(Value::as_str).collect()
        }
        "set" => Vec::new(),
        _ => return None,
    };
    let identity = |item: &Value| -> Vec<Value> {
        let field = |key: &&str| match &item[*key] {
            Value::Null => schema["items"]["properties"][*key]["default"].clone(),
            value => value.clone(),
        };
        match keys.as_slice() {
            [] => vec![item.clone()],
            keys => keys.iter().map(field).collect(),
        }
    };
    let mut seen: Vec<Vec<Value>> = Vec::new();
    for item in items {
        let this = identity(item);
        if seen.contains(&this) {
            let values: Vec<String> = this.iter().map(found).collect();
            let values = values.join(", ");
            return Some(match keys.as_slice() {
                [] => format!("{values} is there twice"),
                keys => format!("two elements have the {} {values}", keys.join(", ")),
            });
        }
        seen.push(this);
    }
    None
}

/// The path of an element: by name where it has one, because people do not count.
fn element(path: &str, index: usize, item: &Value) -> String {
    match item["name"].as_str() {
        Some(name) => format!("{path}[{name}]"),
        None => format!("{path}[{index}]"),
    }
}

enum Field<'a> {
    Known(&'a Value),
    Free,
    Unknown,
}

fn field_schema<'a>(schema: &'a Value, name: &str) -> Field<'a> {
    if let Some(known) = schema["properties"].get(name) {
        return Field::Known(known);
    }
    match &schema["additionalProperties"] {
        Value::Object(_) => Field::Known(&schema["additionalProperties"]),
        Value::Bool(true) => Field::Free,
        _ if is_true(schema, "x-kubernetes-preserve-unknown-fields") => Field::Free,
        // An object whose fields nobody lists is any object.
        _ if schema["properties"].is_null() => Field::Free,
        _ => Field::Unknown,
    }
}

/// The known field that a misspelt one resembles, or all there are when they are few.
fn hint(schema: &Value, name: &str) -> String {
    let known = schema["properties"].as_object();
    let known: Vec<&str> = known
        .into_iter()
        .flat_map(|known| known.keys())
        .map(String::as_str)
        .collect();
    match alike(name, &known) {
        Some(alike) => format!("; did you mean `{alike}`?"),
        None => format!("; there are {}", known.join(", ")),
    }
}

/// The known word that a misspelt one resembles.
pub(super) fn alike<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let likeness = |word: &str| strsim::jaro_winkler(&word.to_lowercase(), &name.to_lowercase());
    let known = known.iter().map(|known| (likeness(known), *known));
    let nearest = known.max_by(|a, b| a.0.total_cmp(&b.0));
    nearest
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .map(|(_, known)| known)
}

fn required(schema: &Value) -> impl Iterator<Item = &str> {
    let required = schema["required"].as_array().into_iter().flatten();
    required.filter_map(Value::as_str)
}

/// What type is expected, when the value is of another.
fn wrong_type(value: &Value, schema: &Value) -> Option<String> {
    if is_true(schema, "x-kubernetes-int-or-string") {
        let fits = value.is_string() || value.is_i64();
        return (!fits).then(|| "a whole number or a text".to_owned());
    }
    let (fits, expected) = match schema["type"].as_str()? {
        "object" => (value.is_object(), "fields"),
        "array" => (value.is_array(), "a list"),
        "string" => (value.is_string(), "a text"),
        "integer" => (value.is_i64() || value.is_u64(), "a whole number"),
        "number" => (value.is_number(), "a number"),
        "boolean" => (value.is_boolean(), "true or false"),
        _ => return None,
    };
    (!fits).then(|| match choices(schema) {
        Some(choices) => format!("one of {choices}"),
        None => expected.to_owned(),
    })
}

fn choices(schema: &Value) -> Option<String> {
    let choices = schema["enum"].as_array()?.iter();
    let choices: Vec<&str> = choices.filter_map(Value::as_str).collect();
    Some(choices.join(", "))
}

fn found(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Object(_) => "fields".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::String(text) => format!("'{text}'"),
        other => other.to_string(),
    }
}

fn is_true(schema: &Value, key: &str) -> bool {
    schema[key] == Value::Bool(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wrong(value: &Value) -> Vec<String> {
        let schema = json!({"type": "object", "required": ["name"], "properties": {
            "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5},
            "count": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 9},
            "kind": {"type": "string", "enum": ["A", "B"]},
            "when": {"type": "string", "format": "date-time"},
            "port": {"x-kubernetes-int-or-string": true},
            "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"],
                "items": {"type": "object", "properties": {"port": {}, "protocol": {"default": "TCP"}}}},
            "codes": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "integer"}},
            "tags": {"type": "object", "additionalProperties": {"type": "string"}},
            "parts": {"type": "array", "maxItems": 1, "items": {"type": "object", "properties": {"name": {"type": "string"}, "on": {"type": "boolean"}}}},
        }});
        check(value, &schema, "spec")
    }

    #[test]
    fn what_fits_is_left_alone() {
        let value = json!({"name": "abc", "count": 9, "kind": "A", "when": "2030-01-31T12:00:00Z", "port": "http",
            "tags": {"x": "y"}, "parts": [{"on": true}], "codes": [0, 1],
            "ports": [{"port": 53}, {"port": 53, "protocol": "UDP"}]});
        assert_eq!(wrong(&value), [] as [String; 0]);
    }

    #[test]
    fn each_refusal_names_field_and_fix() {
        let table = [
            (json!({}), "spec: the field `name` is missing"),
            (json!([]), "spec: expected fields, found a list"),
            (json!({"name": 1}), "spec.name: expected a text, found 1"),
            (
                json!({"name": "A"}),
                "spec.name: 'A' does not have the form ^[a-z]+$",
            ),
            (
                json!({"name": "abcdef"}),
                "spec.name: expected at most 5 characters, found 6",
            ),
            (
                json!({"name": "a", "count": 10}),
                "spec.count: expected from 0 to 9, found 10",
            ),
            (
                json!({"name": "a", "count": 1.5}),
                "spec.count: expected a whole number, found 1.5",
            ),
            (
                json!({"name": "a", "count": "3"}),
                "spec.count: expected a whole number, found the text '3'",
            ),
            (
                json!({"name": "a", "ports": [{"port": 53}, {"port": 53, "protocol": "TCP"}]}),
                "spec.ports: two elements have the port, protocol 53, 'TCP'",
            ),
            (
                json!({"name": "a", "codes": [0, 1, 0]}),
                "spec.codes: 0 is there twice",
            ),
            (
                json!({"name": "a", "kind": "C"}),
                "spec.kind: expected one of A, B, found 'C'",
            ),
            (
                json!({"name": "a", "kind": null}),
                "spec.kind: expected one of A, B, found nothing",
            ),
            (
                json!({"name": "a", "coutn": 1}),
                "spec.coutn: there is no such field; did you mean `count`?",
            ),
            (
                json!({"name": "a", "when": "soon"}),
                "spec.when: expected a time like 2030-01-31T12:00:00Z, found 'soon'",
            ),
            (
                json!({"name": "a", "port": true}),
                "spec.port: expected a whole number or a text, found true",
            ),
            (
                json!({"name": "a", "tags": {"x": 1}}),
                "spec.tags.x: expected a text, found 1",
            ),
            (
                json!({"name": "a", "parts": [{"name": "p", "on": "yes"}]}),
                "spec.parts[p].on: expected true or false, found the text 'yes'",
            ),
            (
                json!({"name": "a", "parts": [{}, {}]}),
                "spec.parts: expected at most 1 elements, found 2",
            ),
        ];
        for (value, refusal) in table {
            assert_eq!(wrong(&value), [refusal], "{value}");
        }
    }
}
