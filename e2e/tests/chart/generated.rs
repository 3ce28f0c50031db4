//! What is generated and stands in the repository is what the chart makes, and the chart is well-formed.
//!
//! Rule: a file is compared as a whole with what the chart makes.

use crate::kit::{NAMESPACE, documents, find, helm, render, root, stdout, title};

/// What stands before the rendered chart in `manifests/install.yaml`.
const INSTALL_HEAD: &str = "\
# Everything but the CustomResourceDefinitions: kubectl apply -f crds/ -f manifests/install.yaml
# Generated from charts/coppice; `make generate` writes it again.
apiVersion: v1
kind: Namespace
metadata:
  name: coppice-system
  labels:
    pod-security.kubernetes.io/enforce: restricted
";

#[test]
fn lint_finds_nothing() {
    let output = helm(&["lint", "--strict", "charts/coppice"]);
    let text = stdout(output);
    assert!(
        text.contains("1 chart(s) linted, 0 chart(s) failed") && !text.contains("[WARNING]"),
        "{text}"
    );
}

#[test]
fn install_yaml_is_the_rendered_chart() {
    let args = [
        "template",
        "coppice",
        "charts/coppice",
        "--namespace",
        NAMESPACE,
        "--no-hooks",
        "--set",
        "crds.install=false",
    ];
    let expected = format!("{INSTALL_HEAD}{}", stdout(helm(&args)));
    let path = root().join("manifests/install.yaml");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap();
    assert!(
        found == expected,
        "manifests/install.yaml is stale: run `make generate`"
    );
}

#[test]
fn definitions_are_the_generated_ones_and_stay_on_uninstall() {
    let objects = render(&[]);
    for entry in std::fs::read_dir(root().join("crds")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let mut expected = documents(&text).remove(0);
        let rendered = find(&objects, &title(&expected));
        assert_eq!(
            rendered["metadata"]["annotations"]["helm.sh/resource-policy"],
            "keep"
        );
        expected["metadata"]["annotations"]["helm.sh/resource-policy"] = "keep".into();
        assert!(
            *rendered == expected,
            "{} is not what stands in crds/",
            title(rendered)
        );
    }
    let without = render(&["crds.install=false"]);
    assert!(
        without
            .iter()
            .all(|object| object["kind"] != "CustomResourceDefinition")
    );
}
