//! The schemas of the templates of Pods and claims: those of Kubernetes, shortened to what a CRD can hold.
//!
//! Rule: the shape is the one of core. A list or map merges here as it merges there, and a field is
//! left out only because Coppice decides it.

use k8s_openapi::api::core::v1::{PersistentVolumeClaimSpec, PodTemplateSpec};
use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::sentences;

/// Lists that core merges by key: definition, field, keys. Every other list is atomic.
const KEYED_LISTS: [(&str, &str, &[&str]); 14] = [
    ("Container", "env", &["name"]),
    ("Container", "ports", &["containerPort", "protocol"]),
    ("Container", "volumeDevices", &["devicePath"]),
    ("Container", "volumeMounts", &["mountPath"]),
    ("PodSpec", "containers", &["name"]),
    ("PodSpec", "evictionResponders", &["name"]),
    ("PodSpec", "hostAliases", &["ip"]),
    ("PodSpec", "imagePullSecrets", &["name"]),
    ("PodSpec", "initContainers", &["name"]),
    ("PodSpec", "resourceClaims", &["name"]),
    ("PodSpec", "schedulingGates", &["name"]),
    (
        "PodSpec",
        "topologySpreadConstraints",
        &["topologyKey", "whenUnsatisfiable"],
    ),
    ("PodSpec", "volumes", &["name"]),
    ("ResourceRequirements", "claims", &["name"]),
];

/// Lists that core merges as sets.
const SETS: [(&str, &str); 1] = [("VolumeMount", "bindMountOptions")];

/// Definitions that core replaces as a whole.
const ATOMIC: [&str; 11] = [
    "ConfigMapKeySelector",
    "EvictionResponder",
    "FileKeySelector",
    "LabelSelector",
    "LocalObjectReference",
    "NodeSelector",
    "NodeSelectorTerm",
    "ObjectFieldSelector",
    "ResourceFieldSelector",
    "SecretKeySelector",
    "TypedLocalObjectReference",
];

/// Fields that Coppice sets itself, or that would restart containers behind its back.
const LEFT_OUT: [(&str, &str); 6] = [
    ("Container", "restartPolicyRules"),
    ("PodSpec", "ephemeralContainers"),
    ("PodSpec", "hostname"),
    ("PodSpec", "nodeName"),
    ("PodSpec", "restartPolicy"),
    ("PodSpec", "subdomain"),
];

/// Defaults of core for the keys of keyed lists: the API server wants a key to be required or defaulted.
const KEY_DEFAULTS: [(&str, &str, &str); 2] = [
    ("ContainerPort", "protocol", "TCP"),
    ("LocalObjectReference", "name", ""),
];

/// What core accepts as a quantity.
const QUANTITY: &str =
    r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$";

/// The schema of `template`, without references.
pub(super) fn schema() -> Schema {
    let mut generator = SchemaSettings::openapi3().into_generator();
    let root = PodTemplateSpec::json_schema(&mut generator).to_value();
    let definitions = Definitions(generator.take_definitions(false));
    let mut template = definitions.shape("PodTemplateSpec", root);
    restrict(&mut template);
    Schema::try_from(template).expect("the schema of a Pod template is an object")
}

/// The schema of an element of `volumeClaimTemplates`, without references. Its name is that of a volume.
pub(super) fn of_claims() -> Schema {
    let mut generator = SchemaSettings::openapi3().into_generator();
    let root = PersistentVolumeClaimSpec::json_schema(&mut generator).to_value();
    let definitions = Definitions(generator.take_definitions(false));
    let mut metadata = metadata();
    metadata["description"] = json!("Name, labels and annotations of the claims.");
    metadata["required"] = json!(["name"]);
    metadata["properties"]["labels"]["description"] =
        json!("Labels of the claims, at most 64. Those under `coppice.dev/` are set by Coppice.");
    metadata["properties"]["name"] = json!({
        "type": "string",
        "description": "Name of the template, and of the volume in the Pods: a DNS label of at most 63 characters.",
        "minLength": 1,
        "maxLength": 63,
        "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
    });
    let template = json!({
        "type": "object",
        "required": ["metadata", "spec"],
        "properties": {
            "metadata": metadata,
            "spec": definitions.shape("PersistentVolumeClaimSpec", root),
        },
    });
    Schema::try_from(template).expect("the schema of a claim template is an object")
}

/// What Coppice asks beyond core.
fn restrict(template: &mut Value) {
    template["required"] = json!(["spec"]);
    let metadata = &mut template["properties"]["metadata"];
    metadata["description"] =
        json!("Labels and annotations of the Pods; nothing else can be set here.");
    metadata["properties"]["labels"]["description"] =
        json!("Labels of the Pods, at most 64. Those under `coppice.dev/` are set by Coppice.");
    let spec = &mut template["properties"]["spec"]["properties"];
    spec["containers"]["minItems"] = json!(1);
    spec["terminationGracePeriodSeconds"]["minimum"] = json!(1);
    remove(
        &mut spec["containers"]["items"]["properties"],
        "restartPolicy",
    );
    // The one policy that makes a sidecar; the others would be restart rules.
    spec["initContainers"]["items"]["properties"]["restartPolicy"] = json!({
        "type": "string",
        "description": "RestartPolicy `Always` makes this init container a sidecar: it keeps running beside the app containers.",
        "enum": ["Always"],
    });
}

/// The definitions of Kubernetes, by their long names.
struct Definitions(Map<String, Value>);

impl Definitions {
    /// One schema of the definition `kind`, with everything it refers to put in its place.
    fn shape(&self, kind: &str, mut schema: Value) -> Value {
        match kind {
            "Quantity" => return quantity(&schema),
            "ObjectMeta" => return metadata(),
            _ => {}
        }
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            properties.retain(|field, _| !LEFT_OUT.contains(&(kind, field)));
            for (field, property) in properties {
                let shaped = self.resolve(property.take());
                *property = merge_as_core(kind, field, shaped);
            }
        }
        if ATOMIC.contains(&kind) {
            schema["x-kubernetes-map-type"] = json!("atomic");
        }
        shorten(&mut schema);
        schema
    }

    /// A property, with its references put in place. Its own description wins over that of the type.
    fn resolve(&self, mut property: Value) -> Value {
        for inner in ["items", "additionalProperties"] {
            if let Some(inner) = property.get_mut(inner) {
                *inner = self.resolve(inner.take());
            }
        }
        if let Some(name) = property.get("$ref").and_then(Value::as_str) {
            let name = name.rsplit('/').next().unwrap_or(name);
            let kind = name.rsplit('.').next().unwrap_or(name);
            let mut shaped = self.shape(kind, self.0[name].clone());
            if let Some(description) = property.get("description") {
                shaped["description"] = description.clone();
            }
            property = shaped;
        }
        shorten(&mut property);
        property
    }
}

/// Marks one field with the way in which core merges it.
fn merge_as_core(kind: &str, field: &str, mut property: Value) -> Value {
    if property["type"] == "array" {
        let keys = KEYED_LISTS
            .iter()
            .find(|(of, list, _)| (*of, *list) == (kind, field));
        if let Some((_, _, keys)) = keys {
            property["x-kubernetes-list-type"] = json!("map");
            property["x-kubernetes-list-map-keys"] = json!(keys);
        } else if SETS.contains(&(kind, field)) {
            property["x-kubernetes-list-type"] = json!("set");
        } else {
            property["x-kubernetes-list-type"] = json!("atomic");
        }
    }
    if (kind, field) == ("PodSpec", "nodeSelector") {
        property["x-kubernetes-map-type"] = json!("atomic");
    }
    for (of, key, default) in KEY_DEFAULTS {
        if (of, key) == (kind, field) {
            property["default"] = json!(default);
        }
    }
    property
}

/// A number with a unit, or a bare integer.
fn quantity(schema: &Value) -> Value {
    let mut quantity = json!({
        "x-kubernetes-int-or-string": true,
        "pattern": QUANTITY,
        "description": schema["description"],
    });
    shorten(&mut quantity);
    quantity
}

/// The metadata that a template can carry.
fn metadata() -> Value {
    json!({
        "type": "object",
        "description": "Labels and annotations.",
        "properties": {
            "labels": {
                "type": "object",
                "description": "Labels, at most 64.",
                "maxProperties": 64,
                "additionalProperties": {"type": "string", "maxLength": 63},
            },
            "annotations": {
                "type": "object",
                "description": "Annotations, at most 256.",
                "maxProperties": 256,
                "additionalProperties": {"type": "string", "maxLength": 262_144},
            },
        },
    })
}

/// Keeps the first sentence of a description: with all of them, the CRD would be too large for
/// `kubectl apply`.
fn shorten(schema: &mut Value) {
    if let Some(description) = schema.get("description").and_then(Value::as_str) {
        schema["description"] = json!(sentences::first(description));
    }
}

fn remove(properties: &mut Value, field: &str) {
    if let Some(properties) = properties.as_object_mut() {
        properties.remove(field);
    }
}
