//! `coppice simulate` as people run it: the binary, its timelines and its refusals.
//!
//! Rule: what is compared is what is printed; `UPDATE=1 cargo test --test simulate` writes the timelines anew.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod cells;
mod classes;
#[path = "../program/mod.rs"]
mod program;
mod refusals;
mod samples;
mod timelines;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A tree of one worker of one replica.
pub const ONE: &str = "
apiVersion: coppice.dev/v1alpha1
kind: SupervisionTree
metadata: {name: one}
spec:
  children:
  - name: app
    worker: {replicas: 1, template: {spec: {containers: [{name: main, image: example.com/app:1}]}}}
";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs `coppice simulate` in the checkout with these words as its arguments, and that text as its input.
fn simulate(words: &str, input: &str) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_coppice"));
    program::run(program.arg("simulate"), words, input)
}

/// What it prints when all is well.
#[track_caller]
fn printed(words: &str, input: &str) -> String {
    program::printed(simulate(words, input), words)
}

/// The rows that it prints as JSON.
#[track_caller]
fn rows(words: &str, input: &str) -> Vec<Value> {
    let printed = printed(&format!("{words} -o json"), input);
    serde_json::from_str(&printed).unwrap()
}

/// The files of `manifests/samples`, by name.
fn samples() -> Vec<PathBuf> {
    let files = std::fs::read_dir(root().join("manifests/samples")).unwrap();
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}
