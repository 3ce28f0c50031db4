//! What the CEL rules accept and refuse, without a cluster.
//!
//! Rule: only what the API server evaluates alone is left to it: rules with comprehensions of two
//! variables, which the evaluator used here does not know.

use kube::core::cel::{ErrorKind, Validator};
use serde_json::{Value, json};

use super::all;

/// The messages of the rules that refuse to create a tree of this name and these children.
fn refusals(name: &str, children: &Value) -> Vec<String> {
    let crds = all();
    let schema = crds[0].spec.versions[0].schema.as_ref().unwrap();
    let schema = serde_json::to_string(schema.open_api_v3_schema.as_ref().unwrap()).unwrap();
    // At a create, the API server hands an empty optional, which the evaluator used here does not.
    let schema = schema.replace("oldSelf.hasValue()", "false");
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let mut tree = json!({
        "apiVersion": "coppice.dev/v1alpha1",
        "kind": "SupervisionTree",
        "metadata": {"name": name},
        "spec": {"children": children},
    });
    set_defaults(&schema, &mut tree);
    let errors = match Validator::new().validate(&schema, &tree, None) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.into_vec(),
    };
    let (unknown, known): (Vec<_>, Vec<_>) = errors
        .into_iter()
        .partition(|error| error.kind == ErrorKind::UnsupportedReference);
    let unknown: Vec<_> = unknown.iter().map(|error| error.rule.as_str()).collect();
    assert!(
        unknown.len() == 3
            && unknown
                .iter()
                .all(|rule| rule.contains("transformMapEntry")),
        "only the rules on parents, their significant children and their updates are left to the API server: {unknown:?}"
    );
    known.into_iter().map(|error| error.message).collect()
}

/// The API server sets defaults before it asks the rules.
fn set_defaults(schema: &Value, value: &mut Value) {
    if let (Some(properties), Some(object)) =
        (schema["properties"].as_object(), value.as_object_mut())
    {
        for (name, schema) in properties {
            if let Some(default) = schema.get("default") {
                object.entry(name).or_insert_with(|| default.clone());
            }
            if let Some(value) = object.get_mut(name) {
                set_defaults(schema, value);
            }
        }
    }
    for element in value.as_array_mut().into_iter().flatten() {
        set_defaults(&schema["items"], element);
    }
}

fn worker(name: &str) -> Value {
    json!({"name": name, "worker": {"template": {"spec": {"containers": [{"name": "app"}]}}}})
}

fn labelled(label: &str) -> Value {
    let mut child = worker("db");
    child["worker"]["template"]["metadata"] = json!({"labels": {"app": "db", label: "x"}});
    child
}

#[test]
fn sound_trees_are_accepted() {
    let long = "n".repeat(49);
    for (name, children) in [
        ("shop", json!([])),
        (
            "shop",
            json!([worker("db"), {"name": "web", "supervisor": {}}]),
        ),
        ("shop", json!([labelled("team"), worker("api")])),
        ("shop", json!([labelled("coppice.development/tree")])),
        ("s", json!([worker(&long)])),
        (&long, json!([worker("a")])),
        (&long, json!([])),
    ] {
        assert_eq!(refusals(name, &children), Vec::<String>::new());
    }
}

#[test]
fn a_child_is_either_a_supervisor_or_a_worker() {
    let mut both = worker("db");
    both["supervisor"] = json!({});
    assert_eq!(
        refusals("shop", &json!([both])),
        ["child 'db' must have either `supervisor` or `worker`, but has both"]
    );
    assert_eq!(
        refusals("shop", &json!([worker("db"), {"name": "api"}])),
        ["child 'api' must have either `supervisor` or `worker`, but has neither"]
    );
}

#[test]
fn labels_of_coppice_are_reserved() {
    for label in [
        "coppice.dev/tree",
        "coppice.dev/anything",
        "apps.kubernetes.io/pod-index",
    ] {
        assert_eq!(
            refusals("shop", &json!([labelled(label)])),
            [format!(
                "child 'db' must not set the label '{label}' in `template.metadata.labels`: Coppice sets it"
            )]
        );
    }
}

#[test]
fn names_fit_into_the_names_of_pods() {
    assert_eq!(
        refusals("shop.example", &json!([worker("db")])),
        ["must not contain dots, because Pods are named after the tree"]
    );
    assert_eq!(
        refusals(&"n".repeat(50), &json!([])),
        ["must not be longer than 49 characters, because Pods are named after the tree"]
    );
    let child = "n".repeat(47);
    assert_eq!(
        refusals("shop", &json!([worker("db"), worker(&child)])),
        [format!(
            "`metadata.name` and the `name` of child '{child}' must not be longer than 50 characters together"
        )]
    );
}

/// A child with one more setting.
fn with(mut child: Value, kind: &str, field: &str, value: Value) -> Value {
    child[kind][field] = value;
    child
}

#[test]
fn what_never_ends_is_not_significant() {
    let supervisor = json!({"name": "web", "supervisor": {}});
    for (child, kind) in [(worker("db"), "worker"), (supervisor, "supervisor")] {
        let name = child["name"].as_str().unwrap().to_owned();
        let significant = with(child, kind, "significant", json!(true));
        let refused = format!(
            "child '{name}' is `significant`, which needs `restart: Transient` or `restart: Temporary`: a Permanent child never ends"
        );
        assert_eq!(refusals("shop", &json!([significant])), [refused.as_str()]);
        let explicit = with(significant.clone(), kind, "restart", json!("Permanent"));
        assert_eq!(refusals("shop", &json!([explicit])), [refused.as_str()]);
        for restart in ["Transient", "Temporary"] {
            let sound = with(significant.clone(), kind, "restart", json!(restart));
            assert_eq!(refusals("shop", &json!([sound])), Vec::<String>::new());
        }
    }
}

#[test]
fn what_completes_is_not_permanent() {
    let migrate = with(worker("migrate"), "worker", "ready", json!("Completed"));
    assert_eq!(
        refusals("shop", &json!([migrate])),
        [
            "worker 'migrate' has `ready: Completed`, which needs `restart: Transient` or `restart: Temporary`: a Permanent worker is started again when it has completed"
        ]
    );
    let sound = with(migrate, "worker", "restart", json!("Transient"));
    assert_eq!(refusals("shop", &json!([sound])), Vec::<String>::new());
}

#[test]
fn what_belongs_to_one_slot_needs_slots_that_are_told_apart() {
    let claims = json!([claim("data"), claim("log")]);
    for (field, value) in [
        ("serviceName", json!("db")),
        ("volumeClaimTemplates", claims),
    ] {
        let child = with(worker("db"), "worker", field, value);
        let refused = format!(
            "worker 'db' has `{field}`, which needs `identity: Stable`: only replicas with fixed names have names in DNS and claims of their own"
        );
        assert_eq!(refusals("shop", &json!([child])), [refused]);
        let sound = with(child, "worker", "identity", json!("Stable"));
        assert_eq!(refusals("shop", &json!([sound])), Vec::<String>::new());
    }
}

#[test]
fn claim_templates_differ_in_name() {
    let stable = with(worker("db"), "worker", "identity", json!("Stable"));
    let claims = json!([claim("data"), claim("data")]);
    let twice = with(stable, "worker", "volumeClaimTemplates", claims);
    assert_eq!(
        refusals("shop", &json!([twice])),
        ["worker 'db' has two `volumeClaimTemplates` of one `metadata.name`; names must be unique"]
    );
}

#[test]
fn steps_of_a_canary_go_forward() {
    let with_steps = |steps: &Value| {
        let update = json!({"steps": steps});
        json!([with(worker("db"), "worker", "update", update)])
    };
    for steps in [
        json!([{"updated": 1}, {"pauseSeconds": 30}, {"updated": 1}, {"updated": 9}, {"updated": 10}, {"updated": 1000}]),
        json!([{"pause": {}}, {"updated": "5%"}, {"updated": "10%"}, {"updated": "99%"}, {"updated": "100%"}]),
        json!([{"pause": {}}]),
        json!([]),
    ] {
        assert_eq!(
            refusals("shop", &with_steps(&steps)),
            Vec::<String>::new(),
            "{steps}"
        );
    }
    for steps in [
        json!([{"updated": 10}, {"pause": {}}, {"updated": 9}]),
        json!([{"updated": "10%"}, {"updated": "9%"}]),
        json!([{"updated": "100%"}, {"updated": "99%"}]),
        json!([{"updated": "9%"}, {"updated": 10}]),
        json!([{"updated": 0}]),
        json!([{"updated": "0%"}, {"updated": "10%"}]),
    ] {
        let said = "`update.steps` of worker 'db' must update at least 1 Pod and never fewer than in an earlier step, all in numbers or all in parts of `replicas`: put `updated` of the steps in ascending order";
        assert_eq!(refusals("shop", &with_steps(&steps)), [said], "{steps}");
    }
}

fn claim(name: &str) -> Value {
    let storage = json!({"requests": {"storage": "1Gi"}});
    json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": storage}})
}
