//! What the chart refuses, and that every value is known to its schema and explained.
//!
//! Rule: who makes a mistake is told which value it is in.

use serde_json::Value;

use crate::kit::{documents, helm, root, stdout, template};

#[test]
fn a_misspelt_or_wrong_value_is_refused_by_name() {
    for (value, named) in [
        ("replica=2", "'replica'"),
        ("replicas=-1", "/replicas"),
        ("replicas=two", "/replicas"),
        ("crds.instal=true", "'instal'"),
        ("watchNamespace=blue", "'watchNamespace'"),
        ("watchNamespaces={Blue}", "/watchNamespaces/0"),
        ("watchNamespaces={blue,blue}", "/watchNamespaces"),
        ("nodes.raed=false", "'raed'"),
        ("image.tga=1", "'tga'"),
        ("image.pullPolicy=Sometimes", "/image/pullPolicy"),
        ("imagePullSecrets[0].nmae=x", "'nmae'"),
        ("resources.limit.memory=1Gi", "'limit'"),
        ("tolerations[0].keey=x", "'keey'"),
        ("affinity.podAfinity.x=y", "'podAfinity'"),
        ("nodeSelector.pool=7", "/nodeSelector/pool"),
        ("aggregatedRoles=yes", "/aggregatedRoles"),
        ("authority.polcy=false", "'polcy'"),
        ("authority.scalers=ann", "/authority/scalers"),
    ] {
        let output = template(&[value]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{value} was accepted");
        assert!(error.contains(named), "{value}: {error}");
    }
}

#[test]
fn every_value_is_in_the_schema_and_has_a_comment() {
    let text = std::fs::read_to_string(root().join("charts/coppice/values.yaml")).unwrap();
    let values = documents(&text).remove(0);
    let schema = std::fs::read_to_string(root().join("charts/coppice/values.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    for (name, value) in values.as_object().unwrap() {
        let known = &schema["properties"][name];
        assert!(!known.is_null(), "{name} is not in the schema");
        let Some(inner) = value
            .as_object()
            .filter(|inner| !inner.is_empty() && name != "resources")
        else {
            assert!(
                text.contains(&format!("# {name} ")),
                "{name} has no comment that begins with its name"
            );
            continue;
        };
        for inner in inner.keys() {
            assert!(
                !known["properties"][inner].is_null(),
                "{name}.{inner} is not in the schema"
            );
            assert!(
                text.contains(&format!("# {name}.{inner} ")),
                "{name}.{inner} has no comment that begins with its name"
            );
        }
    }
}

#[test]
fn an_older_cluster_is_refused() {
    let render = |version: &str| {
        helm(&[
            "template",
            "coppice",
            "charts/coppice",
            "--kube-version",
            version,
        ])
    };
    let refused = render("v1.34.9");
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("chart requires kubeVersion"));
    stdout(render("v1.35.1-vendor.7"));
}
