//! What users install and copy: samples, chart and manifest agree with the API and with this version.
//!
//! Rule: nothing here needs a cluster or a tool; what needs Helm is tested in `e2e`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use coppice::api::v1alpha1::SupervisionTree;
use serde::Deserialize;
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn documents(text: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).unwrap())
        .filter(|document| !document.is_null())
        .collect()
}

/// The files of a folder, sorted, with their names.
fn files(folder: &str) -> Vec<(String, PathBuf)> {
    let mut files: Vec<_> = fs::read_dir(root().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .collect();
    files.sort();
    files
}

/// Panics unless everything that `written` says is also in `understood`. What is missing there was not
/// understood: it is misspelt, or no field of this version.
#[track_caller]
fn assert_understood(written: &Value, understood: &Value, path: &str) {
    match (written, understood) {
        (Value::Object(written), Value::Object(understood)) => {
            for (key, value) in written {
                let path = format!("{path}.{key}");
                let found = understood
                    .get(key)
                    .unwrap_or_else(|| panic!("{path} is no field"));
                assert_understood(value, found, &path);
            }
        }
        (Value::Array(written), Value::Array(understood)) => {
            assert_eq!(written.len(), understood.len(), "{path}");
            for (index, (value, found)) in written.iter().zip(understood).enumerate() {
                assert_understood(value, found, &format!("{path}[{index}]"));
            }
        }
        _ => assert_eq!(written, understood, "{path}"),
    }
}

#[test]
fn samples_are_trees_without_a_misspelt_field() {
    let samples = files("manifests/samples");
    assert!(!samples.is_empty());
    for (name, path) in samples {
        let documents = documents(&fs::read_to_string(path).unwrap());
        assert_eq!(documents.len(), 1, "{name}");
        let tree: SupervisionTree = serde_json::from_value(documents[0].clone()).unwrap();
        assert_understood(&documents[0], &serde_json::to_value(&tree).unwrap(), &name);
        assert!(
            tree.spec
                .children
                .iter()
                .any(|child| child.worker.is_some()),
            "{name}"
        );
    }
}

#[test]
fn chart_and_manifest_have_the_version_of_the_program() {
    let chart = &documents(&read("charts/coppice/Chart.yaml"))[0];
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    let image = format!("coppice.dev/coppice:{}", env!("CARGO_PKG_VERSION"));
    let install = documents(&read("manifests/install.yaml"));
    let deployment = install
        .iter()
        .find(|object| object["kind"] == "Deployment")
        .unwrap();
    assert_eq!(
        deployment["spec"]["template"]["spec"]["containers"][0]["image"],
        image.as_str()
    );
}

#[test]
fn the_chart_installs_the_generated_definitions() {
    let names = |folder| {
        files(folder)
            .into_iter()
            .map(|(name, _)| name)
            .collect::<Vec<_>>()
    };
    assert_eq!(names("charts/coppice/crds-files"), names("crds"));
    for name in names("crds") {
        assert_eq!(
            read(&format!("charts/coppice/crds-files/{name}")),
            read(&format!("crds/{name}"))
        );
    }
}

#[test]
fn the_manifest_makes_its_namespace_first_and_no_definition() {
    let install = documents(&read("manifests/install.yaml"));
    assert_eq!(install[0]["kind"], "Namespace");
    let namespace = &install[0]["metadata"]["name"];
    for object in &install {
        assert_ne!(object["kind"], "CustomResourceDefinition");
        let placed = &object["metadata"]["namespace"];
        assert!(placed.is_null() || placed == namespace, "{object}");
        assert!(
            object["metadata"]["annotations"]["helm.sh/hook"].is_null(),
            "{object}"
        );
    }
}

#[test]
fn the_program_prints_what_is_installed() {
    let printed = |command: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_coppice"))
            .arg(command)
            .output()
            .unwrap();
        assert!(output.status.success(), "{command}");
        String::from_utf8(output.stdout).unwrap()
    };
    let definitions: Vec<Value> = files("crds")
        .iter()
        .flat_map(|(name, _)| documents(&read(&format!("crds/{name}"))))
        .collect();
    assert_eq!(documents(&printed("crd")), definitions);
    assert_eq!(printed("manifests"), read("manifests/install.yaml"));
}

#[test]
fn no_crate_may_hold_unsafe_code() {
    for root in [
        "src/lib.rs",
        "src/main.rs",
        "src/bin/kubectl-coppice/main.rs",
        "e2e/src/lib.rs",
        "e2e/src/bin/lab.rs",
    ] {
        let text = read(root);
        assert!(
            text.lines().any(|line| line == "#![forbid(unsafe_code)]"),
            "{root}"
        );
    }
    // The roots of tests have it from the workspace.
    assert!(read("Cargo.toml").contains("\nunsafe_code = \"forbid\"\n"));
    for manifest in ["Cargo.toml", "e2e/Cargo.toml"] {
        assert!(
            read(manifest).contains("\n[lints]\nworkspace = true\n"),
            "{manifest}"
        );
    }
}
