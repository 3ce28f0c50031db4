//! The architecture as a test: who may import whom, and what the core must not know.
//!
//! Rule: a new way through the layers is a change of the architecture text first.

use std::fs;
use std::path::{Path, PathBuf};

/// What the files below a folder must not mention.
const FORBIDDEN: [(&str, &[&str]); 3] = [
    (
        "api",
        &[
            "crate::model",
            "crate::controller",
            "crate::runtime",
            "kube::Client",
            "kube::Api",
        ],
    ),
    (
        "model",
        &[
            "crate::controller",
            "crate::runtime",
            "kube::Client",
            "kube::Api",
            "kube::runtime",
            "kube::client",
            "tokio",
            "tracing",
            "futures",
            "std::env",
            "std::fs",
            "std::net",
            "std::time::Instant",
            "SystemTime",
            "Timestamp::now",
            "async fn",
            ".await",
        ],
    ),
    (
        "runtime",
        &["crate::api", "crate::model", "crate::controller"],
    ),
];

#[test]
fn layers_import_downwards_only_and_the_core_is_pure() {
    let mut broken = Vec::new();
    for (layer, words) in FORBIDDEN {
        for file in files(layer) {
            let text = code(&file);
            for word in words {
                if text.contains(word) {
                    broken.push(format!("{} mentions {word}", file.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_file_says_what_it_owns() {
    let mut silent = Vec::new();
    for file in files("") {
        let text = fs::read_to_string(&file).unwrap();
        if !text.starts_with("//! ") {
            silent.push(file.display().to_string());
        }
    }
    assert!(
        silent.is_empty(),
        "files without a module doc: {}",
        silent.join(", ")
    );
}

/// The files of a layer: its folder and the file of the same name.
fn files(layer: &str) -> Vec<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    collect(&source.join(layer), &mut found);
    let root = source.join(format!("{layer}.rs"));
    if root.is_file() {
        found.push(root);
    }
    assert!(!found.is_empty(), "layer {layer} has files");
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The text of a file without comments: those may speak of anything.
fn code(file: &Path) -> String {
    fs::read_to_string(file)
        .unwrap()
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}
