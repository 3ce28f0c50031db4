//! What must hold for every field of the API.
//!
//! Rule: a convention that can be checked is checked here, for all fields, those to come included.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value};

use super::{all, finish::enum_values};

/// Optional fields of a spec that mean something by being absent.
const WITHOUT_DEFAULT: [&str; 23] = [
    "supervisiontree.spec.rollout.promote",
    "supervisiontree.spec.rollout.retryAt",
    "supervisiontree.spec.children.parent",
    "supervisiontree.spec.children.restartAt",
    "supervisiontree.spec.children.supervisor",
    "supervisiontree.spec.children.supervisor.faultPolicy",
    "supervisiontree.spec.children.supervisor.startup",
    "supervisiontree.spec.children.worker",
    "supervisiontree.spec.children.worker.faultPolicy",
    "supervisiontree.spec.children.worker.persistentVolumeClaimRetentionPolicy",
    "supervisiontree.spec.children.worker.replicas",
    "supervisiontree.spec.children.worker.serviceName",
    "supervisiontree.spec.children.worker.update.maxSurge",
    "supervisiontree.spec.children.worker.update.maxUnavailable",
    "supervisiontree.spec.children.worker.update.steps",
    "supervisiontree.spec.children.worker.update.steps.pause",
    "supervisiontree.spec.children.worker.update.steps.pauseSeconds",
    "supervisiontree.spec.children.worker.update.steps.updated",
    "supervisiontree.spec.children.worker.volumeClaimTemplates",
    "supervisiontree.spec.faultPolicy",
    "supervisiontree.spec.restartAt",
    "supervisiontree.spec.retryAt",
    "supervisiontree.spec.startup",
];

/// Whether it is a field of a rule of `faultPolicy` that may be left out.
fn is_of_rule(path: &str) -> bool {
    path.contains(".faultPolicy.rules")
}

/// Numbers that only count: they stop at the end of their type.
const COUNTERS: [&str; 14] = [
    "from",
    "to",
    "revision",
    "restarts",
    "incarnation",
    "startedIn",
    "number",
    "operation",
    "operations",
    "step",
    "deaths",
    "failedInits",
    "count",
    "observedGeneration",
];

/// One schema below the root of a definition.
struct Node<'a> {
    /// The path of fields that leads to it, as `kubectl explain` takes it.
    path: String,
    /// The name of its field; empty for elements of lists and maps.
    name: &'a str,
    schema: &'a Map<String, Value>,
    required: bool,
}

impl Node<'_> {
    fn text(&self, key: &str) -> &str {
        self.schema
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    fn has(&self, key: &str) -> bool {
        self.schema.contains_key(key)
    }

    /// Whether this stands in the part of a template that Kubernetes defines.
    fn is_of_core(&self) -> bool {
        [".template.", ".volumeClaimTemplates."]
            .iter()
            .any(|part| self.path.contains(part))
    }

    fn is_of_conditions(&self) -> bool {
        self.path.contains(".conditions.")
    }

    /// Whether the conventions of our own fields hold for this.
    fn is_ours(&self) -> bool {
        !self.is_of_core() && !self.is_of_conditions()
    }

    /// Whether this is the metadata of an object, which the API server describes.
    fn is_metadata(&self) -> bool {
        self.path.matches('.').count() == 1 && self.name == "metadata"
    }

    fn is_of_spec(&self) -> bool {
        self.path.contains(".spec.")
    }
}

#[test]
fn every_field_is_described() {
    each_field(|field| {
        if field.is_metadata() {
            return;
        }
        let description = field.text("description");
        assert!(!description.is_empty(), "{} is not described", field.path);
        if field.is_ours() {
            assert!(
                description.starts_with(&format!("{} ", field.name)),
                "the description of {} does not begin with its name",
                field.path
            );
            assert!(
                description.ends_with('.'),
                "the description of {} ends without a full stop",
                field.path
            );
        }
    });
}

#[test]
fn values_of_enums_are_pascal_case_and_explained() {
    each_field(|field| {
        for value in enum_values(field.schema) {
            assert!(
                value.starts_with(|c: char| c.is_ascii_uppercase())
                    && value.chars().all(|c| c.is_ascii_alphanumeric()),
                "{value:?} of {} is not PascalCase",
                field.path
            );
            let explained = if field.is_ours() {
                format!("\n- {value}: ")
            } else {
                value.to_owned()
            };
            assert!(
                field.text("description").contains(&explained),
                "the description of {} does not explain {value:?}",
                field.path
            );
        }
    });
}

#[test]
fn everything_of_ours_is_bounded() {
    each_node(|node| {
        let of_core = [".template.spec", ".volumeClaimTemplates.spec"];
        if of_core.iter().any(|part| node.path.contains(part)) {
            return;
        }
        let bounded = match node.text("type") {
            "string" => {
                node.has("maxLength") || node.has("enum") || node.text("format") == "date-time"
            }
            "integer" => {
                node.has("minimum") && (node.has("maximum") || COUNTERS.contains(&node.name))
            }
            "array" => node.has("maxItems"),
            "object" => node.has("properties") || node.has("maxProperties"),
            "" => node.has("maxLength") && node.has("minimum") && node.has("maximum"),
            kind => kind == "boolean",
        };
        assert!(bounded, "{} has no bounds", node.path);
    });
}

#[test]
fn every_list_says_how_it_merges() {
    each_node(|node| {
        if node.text("type") != "array" {
            return;
        }
        assert!(
            node.has("x-kubernetes-list-type"),
            "{} does not say how it merges",
            node.path
        );
        let element = &node.schema["items"]["properties"];
        let is_written_whole = ["gaveUp", "supervisors", "revisions"].contains(&node.name);
        if node.is_ours() && !is_written_whole && element.get("name").is_some() {
            assert_eq!(
                node.schema["x-kubernetes-list-map-keys"],
                serde_json::json!(["name"]),
                "{} is not a map by name",
                node.path
            );
        }
    });
}

#[test]
fn keys_of_lists_are_required_or_have_a_default() {
    each_node(|node| {
        let keys = node.schema.get("x-kubernetes-list-map-keys");
        for key in keys.and_then(Value::as_array).into_iter().flatten() {
            let element = &node.schema["items"];
            let required = element["required"]
                .as_array()
                .is_some_and(|all| all.contains(key));
            let defaulted = element["properties"][key.as_str().unwrap()].get("default");
            assert!(
                required || defaulted.is_some(),
                "the key {key} of {} may be absent",
                node.path
            );
        }
    });
}

#[test]
fn nothing_is_nullable_untyped_or_open() {
    each_node(|node| {
        for key in [
            "nullable",
            "title",
            "$ref",
            "anyOf",
            "oneOf",
            "x-kubernetes-preserve-unknown-fields",
        ] {
            assert!(!node.has(key), "{} has `{key}`", node.path);
        }
        assert!(
            node.has("type") != node.has("x-kubernetes-int-or-string"),
            "{} has no type",
            node.path
        );
    });
}

#[test]
fn templates_hold_no_rules() {
    each_node(|node| {
        assert!(
            !node.is_of_core() || !node.has("x-kubernetes-validations"),
            "{} has a rule",
            node.path
        );
    });
}

#[test]
fn no_field_names_a_namespace() {
    each_field(|field| {
        assert!(
            field.is_of_core() || !field.name.to_lowercase().contains("namespace"),
            "{} names a namespace",
            field.path
        );
    });
}

#[test]
fn optional_fields_of_a_spec_have_static_defaults() {
    each_field(|field| {
        if !field.is_ours() || !field.is_of_spec() || field.required {
            return;
        }
        assert_ne!(
            field.has("default"),
            WITHOUT_DEFAULT.contains(&field.path.as_str()) || is_of_rule(&field.path),
            "{}: a default, or a meaning when it is left out",
            field.path
        );
        let description = field.text("description");
        let says = [
            "Default",
            "Left out",
            "left out",
            "No default",
            "Exactly one of",
            "empty list",
        ];
        assert!(
            says.iter().any(|word| description.contains(word)),
            "{} does not say what it is when left out",
            field.path
        );
    });
}

#[test]
fn a_status_is_made_up_only_where_nothing_was_seen() {
    for crd in all() {
        let schema = schema_of(crd);
        let status = &schema["properties"]["status"];
        assert_eq!(
            status["default"],
            serde_json::json!({"observedGeneration": -1})
        );
    }
    each_field(|field| {
        assert!(
            field.is_of_spec()
                || field.is_of_core()
                || !field.path.contains(".status.")
                || !field.has("default"),
            "{} has a default",
            field.path
        );
    });
}

#[test]
fn units_and_times_are_in_the_names() {
    each_field(|field| {
        if !field.is_ours() {
            return;
        }
        if field.name.ends_with("Seconds") {
            assert_eq!(field.text("type"), "integer", "{}", field.path);
        }
        let is_time = field.text("format") == "date-time";
        let named_time =
            field.name.ends_with("Time") || field.name.ends_with("At") || field.name == "time";
        assert_eq!(is_time, named_time, "{}", field.path);
    });
}

#[test]
fn templates_leave_out_what_coppice_decides() {
    let crds = all();
    let schema = schema_of(&crds[0]);
    let worker =
        &schema["properties"]["spec"]["properties"]["children"]["items"]["properties"]["worker"];
    let spec = &worker["properties"]["template"]["properties"]["spec"]["properties"];
    for field in [
        "restartPolicy",
        "nodeName",
        "hostname",
        "subdomain",
        "ephemeralContainers",
    ] {
        assert!(spec.get(field).is_none(), "{field}");
    }
    let fields_of = |list: &str| &spec[list]["items"]["properties"];
    assert!(fields_of("containers").get("restartPolicy").is_none());
    assert_eq!(
        fields_of("initContainers")["restartPolicy"]["enum"],
        serde_json::json!(["Always"])
    );
    for list in ["containers", "initContainers"] {
        assert!(fields_of(list).get("restartPolicyRules").is_none());
    }
    assert_eq!(spec["terminationGracePeriodSeconds"]["minimum"], 1.0);
    assert_eq!(spec["containers"]["minItems"], 1);
}

/// Calls `look` with every field that has a name, of every definition.
fn each_field(look: impl Fn(&Node<'_>)) {
    each_node(|node| {
        if !node.name.is_empty() {
            look(node);
        }
    });
}

/// Calls `look` with every schema below the roots.
fn each_node(look: impl Fn(&Node<'_>)) {
    for crd in all() {
        let schema = schema_of(crd);
        walk(
            &crd.spec.names.singular.clone().unwrap(),
            schema.as_object().unwrap(),
            &look,
        );
    }
}

fn schema_of(crd: &CustomResourceDefinition) -> Value {
    let schema = crd.spec.versions[0].schema.as_ref().unwrap();
    serde_json::to_value(schema.open_api_v3_schema.as_ref().unwrap()).unwrap()
}

fn walk(path: &str, schema: &Map<String, Value>, look: &impl Fn(&Node<'_>)) {
    let required = schema.get("required").and_then(Value::as_array);
    for (name, property) in schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let node = Node {
            path: format!("{path}.{name}"),
            name,
            schema: property.as_object().unwrap(),
            required: required.is_some_and(|all| all.iter().any(|one| one == name)),
        };
        look(&node);
        walk(&node.path, node.schema, look);
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(Value::Object(element)) = schema.get(inner) {
            look(&Node {
                path: format!("{path}[]"),
                name: "",
                schema: element,
                required: true,
            });
            walk(path, element, look);
        }
    }
}
