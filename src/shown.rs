//! Which classes of faults are provoked on a real cluster: those that are marked so, and no others.
//!
//! Rule: a test of the program `identify` names the class that it provokes as the first argument of `fault`, and the mark
//! where the class is declared follows from that.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::model::fault::{Class, Shown};

/// Where the tests that need a cluster are.
const TESTS: &str = "e2e/tests";
/// The test program that provokes classes.
const IDENTIFY: &str = "e2e/tests/identify";
/// What only a tree can have; other test programs provoke it.
const OF_TREES: [Class; 2] = [Class::NameCollision, Class::StartDeadlineExceeded];

#[test]
fn the_classes_that_are_marked_are_those_that_tests_provoke() {
    let marked = Class::ALL
        .iter()
        .filter(|class| class.shown() == Shown::Cluster);
    let marked: BTreeSet<String> = marked.map(Class::to_string).collect();
    let mut provoked = provoked();
    provoked.extend(OF_TREES.map(|class| class.to_string()));
    let only = |these: &BTreeSet<String>, those: &BTreeSet<String>| {
        let only: Vec<String> = these.difference(those).cloned().collect();
        only.join(", ")
    };
    assert_eq!(only(&provoked, &marked), "", "provoked, and not marked");
    assert_eq!(only(&marked, &provoked), "", "marked, and not provoked");
}

#[test]
fn what_tests_provoke_are_classes() {
    let provoked = provoked();
    assert!(provoked.len() > 45, "only {} are found", provoked.len());
    for name in provoked {
        assert!(Class::of(&name).is_some(), "{name}");
    }
}

#[test]
fn what_only_trees_have_is_named_by_their_tests() {
    let mut texts = Vec::new();
    for file in files(&root().join(TESTS)) {
        if !file.starts_with(root().join(IDENTIFY)) {
            texts.push(fs::read_to_string(file).unwrap());
        }
    }
    for class in OF_TREES {
        let quoted = format!("\"{class}\"");
        assert!(texts.iter().any(|text| text.contains(&quoted)), "{class}");
    }
}

/// The names of the classes that the test program provokes.
fn provoked() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in files(&root().join(IDENTIFY)) {
        let text = fs::read_to_string(file).unwrap();
        for call in text.split("fault(").skip(1) {
            let argument = call.trim_start().strip_prefix('"');
            names.extend(argument.and_then(|rest| Some(rest.split_once('"')?.0.to_owned())));
        }
    }
    names
}

/// The Rust files in a folder and those below it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
