//! What the tests of the chart share: Helm, and how a rendered object is found.
//!
//! Rule: an object is named as people name it, `Kind name` or `Kind namespace/name`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use e2e::build::{self, Scope};
use e2e::cache;
use serde::Deserialize;
use serde_json::Value;

pub(super) const NAMESPACE: &str = "coppice-system";

static HELM: LazyLock<PathBuf> = LazyLock::new(|| {
    let cache = cache::folder().unwrap();
    build::build(&cache, Scope::Full).unwrap().path("helm")
});

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

pub(super) fn helm(args: &[&str]) -> Output {
    Command::new(&*HELM)
        .current_dir(root())
        .args(args)
        .output()
        .unwrap()
}

/// Renders the chart as release `coppice` with these `--set` values.
pub(super) fn template(values: &[&str]) -> Output {
    let mut args = vec![
        "template",
        "coppice",
        "charts/coppice",
        "--namespace",
        NAMESPACE,
    ];
    for value in values {
        args.extend(["--set", value]);
    }
    helm(&args)
}

#[track_caller]
pub(super) fn stdout(output: Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
pub(super) fn render(values: &[&str]) -> Vec<Value> {
    documents(&stdout(template(values)))
}

pub(super) fn documents(text: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).unwrap())
        .filter(|document| !document.is_null())
        .collect()
}

/// `Kind name` or `Kind namespace/name`.
pub(super) fn title(object: &Value) -> String {
    let text = |field: &str| object["metadata"][field].as_str();
    let kind = object["kind"].as_str().unwrap();
    match text("namespace") {
        Some(namespace) => format!("{kind} {namespace}/{}", text("name").unwrap()),
        None => format!("{kind} {}", text("name").unwrap()),
    }
}

pub(super) fn titles(objects: &[Value]) -> BTreeSet<String> {
    objects.iter().map(title).collect()
}

#[track_caller]
pub(super) fn find<'o>(objects: &'o [Value], wanted: &str) -> &'o Value {
    objects
        .iter()
        .find(|object| title(object) == wanted)
        .unwrap_or_else(|| panic!("no {wanted} in {:#?}", titles(objects)))
}

pub(super) fn pod<'o>(objects: &'o [Value], wanted: &str) -> &'o Value {
    &find(objects, wanted)["spec"]["template"]["spec"]
}

pub(super) fn container<'o>(objects: &'o [Value], wanted: &str) -> &'o Value {
    &pod(objects, wanted)["containers"][0]
}

pub(super) fn set<const N: usize>(titles: [&str; N]) -> BTreeSet<String> {
    titles.into_iter().map(str::to_owned).collect()
}
