//! What the derived definitions lack.
//!
//! Rule: only what the derive cannot say is said here; limits and texts of fields stand at the fields.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::Rule;
use serde_json::{Map, Value, json};

/// Completes a derived definition. The rules are those of the object's name.
pub(super) fn finish(
    derived: CustomResourceDefinition,
    name_rules: &[Rule],
) -> CustomResourceDefinition {
    let mut value = serde_json::to_value(derived).expect("a definition is plain data");
    let schema = &mut value["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    each_schema(schema, &mut |schema| {
        drop_leftovers(schema);
        join_lines(schema);
        merge_lists_as_a_whole(schema);
        describe_fields_only(schema);
    });
    if !name_rules.is_empty() {
        schema["properties"]["metadata"] = metadata(name_rules);
    }
    finish_status(&mut schema["properties"]["status"]);
    serde_json::from_value(value).expect("a finished definition is still a definition")
}

/// The only field of an object's metadata that can have rules. The API server describes the others, and
/// the metadata as a whole.
fn metadata(name_rules: &[Rule]) -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": {
                "type": "string",
                "description": "name of the object.",
                "maxLength": 253,
                "x-kubernetes-validations": name_rules,
            },
        },
    })
}

/// `nullable` breaks merge patches and server-side apply: a field that is left out is absent. Titles
/// repeat the names of Rust types, which are nobody's business.
fn drop_leftovers(schema: &mut Map<String, Value>) {
    schema.remove("nullable");
    schema.remove("title");
}

/// Descriptions come with the line breaks of the source; only those before a listed value stay.
fn join_lines(schema: &mut Map<String, Value>) {
    let values: Vec<String> = enum_values(schema)
        .map(|value| format!("{value}: "))
        .collect();
    let Some(Value::String(description)) = schema.get_mut("description") else {
        return;
    };
    let mut joined = String::new();
    let mut listing = false;
    for line in description.lines().map(str::trim) {
        let listed = values.iter().any(|value| line.starts_with(value));
        let after = line.starts_with("Left out: ") || (listing && line.starts_with("Default "));
        if listed {
            joined.push_str("\n- ");
        } else if after {
            joined.push('\n');
        } else if !joined.is_empty() {
            joined.push(' ');
        }
        listing |= listed;
        joined.push_str(line);
    }
    *description = joined.trim().to_owned();
}

/// A list that is not merged by key is owned by one applier.
fn merge_lists_as_a_whole(schema: &mut Map<String, Value>) {
    if schema.get("type").is_some_and(|kind| kind == "array") {
        schema
            .entry("x-kubernetes-list-type")
            .or_insert_with(|| json!("atomic"));
    }
}

/// `kubectl explain` prints the description of a plain element after that of its list or map, where it says
/// nothing: "Time is a wrapper around time.Time".
fn describe_fields_only(schema: &mut Map<String, Value>) {
    for inner in ["items", "additionalProperties"] {
        if let Some(Value::Object(element)) = schema.get_mut(inner)
            && !element.contains_key("properties")
        {
            element.remove("description");
        }
    }
}

/// An object that Coppice has not seen yet must not look healthy to a reader of `observedGeneration`.
/// Beyond that, nothing in a status is made up by the API server.
fn finish_status(status: &mut Value) {
    each_schema(status, &mut |schema| {
        schema.remove("default");
    });
    status["default"] = json!({"observedGeneration": -1});
    if let Some(conditions) = status["properties"].get_mut("conditions") {
        bound_conditions(&mut conditions["items"]["properties"]);
    }
}

/// The bounds of conditions in Kubernetes' own types, which the derived schema lacks.
fn bound_conditions(condition: &mut Value) {
    let bounds = json!({
        "type": {"minLength": 1, "maxLength": 316},
        "status": {"enum": ["True", "False", "Unknown"]},
        "observedGeneration": {"minimum": 0},
        "reason": {"minLength": 1, "maxLength": 1024, "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"},
        "message": {"maxLength": 32_768},
    });
    for (field, bounds) in bounds.as_object().into_iter().flatten() {
        for (key, bound) in bounds.as_object().into_iter().flatten() {
            condition[field][key] = bound.clone();
        }
    }
}

/// The values that an enum allows.
pub(super) fn enum_values(schema: &Map<String, Value>) -> impl Iterator<Item = &str> {
    schema
        .get("enum")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

/// Calls `edit` with `schema` and everything below it.
fn each_schema(schema: &mut Value, edit: &mut impl FnMut(&mut Map<String, Value>)) {
    let Some(schema) = schema.as_object_mut() else {
        return;
    };
    edit(schema);
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for property in properties.values_mut() {
            each_schema(property, edit);
        }
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(inner) {
            each_schema(inner, edit);
        }
    }
}
