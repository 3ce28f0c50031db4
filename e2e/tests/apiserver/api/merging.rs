//! How lists merge: children by name and in order, templates as in core.

use std::collections::BTreeSet;
use std::env;

use e2e::versions::KUBERNETES;
use serde_json::Value;

use super::{Kubectl, definition_of_trees, schema_of, server, tree, worker};

/// Fields of core that are not in templates, by the end of their path.
const LEFT_OUT: [&str; 7] = [
    "template.spec.restartPolicy",
    "template.spec.nodeName",
    "template.spec.hostname",
    "template.spec.subdomain",
    "template.spec.ephemeralContainers",
    "template.spec.containers.restartPolicy",
    ".restartPolicyRules",
];

#[tokio::test]
async fn children_merge_by_name_and_keep_the_order_of_the_applier() {
    let cluster = server().await;
    let namespace = cluster.namespace("merging").await.expect("a namespace");
    let apply = |manager: &str, names: &[&str]| {
        let tree = tree("shop", names.iter().map(|name| worker(name)));
        let apply =
            Kubectl::within(cluster, &namespace).words("apply --server-side --field-manager");
        apply.arg(manager).object(&tree).said();
        Kubectl::within(cluster, &namespace)
            .words("get stree shop -o jsonpath={.spec.children[*].name}")
            .said()
    };
    assert_eq!(apply("ann", &["db", "api"]), "db api");
    assert_eq!(
        apply("bob", &["cron"]),
        "db api cron",
        "of two appliers, each has its children"
    );
    assert_eq!(
        apply("ann", &["cache", "db", "api"]).replace(" cron", ""),
        "cache db api"
    );
    assert_eq!(
        apply("ann", &["api", "db", "cache"]).replace(" cron", ""),
        "api db cache"
    );
    assert_eq!(
        apply("ann", &["api"]),
        "api cron",
        "what nobody applies any more goes"
    );
}

#[tokio::test]
async fn templates_are_those_of_core() {
    let text = Kubectl::on(server().await)
        .words("get --raw /openapi/v3/api/v1")
        .said();
    let core: Value = serde_json::from_str(&text).expect("JSON");
    let mut definition = definition_of_trees();
    let children = &schema_of(&mut definition)["properties"]["spec"]["properties"]["children"];
    let template = &children["items"]["properties"]["worker"]["properties"]["template"];
    let spec = &template["properties"]["spec"];
    let core_spec = &core["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"];
    let compared = compare(&core, "template.spec", spec, core_spec);
    assert!(compared > 500, "only {compared} fields were compared");
}

/// Compares the fields of a schema of ours with that of core, and everything below them. Returns how many.
fn compare(root: &Value, path: &str, ours: &Value, core: &Value) -> usize {
    let shape = resolve(root, core);
    for mark in [
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-map-type",
    ] {
        let expected = core.get(mark).or_else(|| shape.get(mark));
        assert_eq!(ours.get(mark), expected, "{mark} of {path}");
    }
    let mut compared = 0;
    for inner in ["items", "additionalProperties"] {
        if let (Some(ours), Some(core)) = (ours.get(inner), shape.get(inner)) {
            compared += compare(root, path, ours, core);
        }
    }
    // Of metadata, a template has what can be set in it.
    if path.ends_with(".metadata") {
        return compared;
    }
    let mut expected = names(shape);
    expected.retain(|name| {
        !LEFT_OUT
            .iter()
            .any(|left_out| format!("{path}.{name}").ends_with(left_out))
    });
    // The types are those of the newest minor; an older server knows fewer fields.
    if env::var("KUBERNETES").is_ok_and(|minor| minor != KUBERNETES) {
        assert!(names(ours).is_superset(&expected), "the fields of {path}");
    } else {
        assert_eq!(names(ours), expected, "the fields of {path}");
    }
    for name in expected {
        let path = format!("{path}.{name}");
        compared += 1 + compare(
            root,
            &path,
            &ours["properties"][name],
            &shape["properties"][name],
        );
    }
    compared
}

/// The names of the fields of a schema.
fn names(schema: &Value) -> BTreeSet<&str> {
    schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        .collect()
}

/// The definition that a schema refers to, or the schema itself.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let reference = schema
        .get("$ref")
        .or_else(|| schema["allOf"][0].get("$ref"));
    match reference
        .and_then(Value::as_str)
        .and_then(|reference| reference.rsplit('/').next())
    {
        Some(name) => &root["components"]["schemas"][name],
        None => schema,
    }
}
