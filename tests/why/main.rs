//! `kubectl coppice why -f` as people run it: the binary, its output and its exit codes.
//!
//! Rule: `shop.yaml` is generated, see `src/why/page.rs`; what is printed of it stands in `docs/why.md`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../program/mod.rs"]
mod program;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const SHOP: &str = "tests/why/shop.yaml";

/// Runs it with these words as its arguments, and that text as its input, without a cluster.
fn why(words: &str, input: &str) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_kubectl-coppice"));
    program.env("KUBECONFIG", "/nonexistent").arg("why");
    program::run(&mut program, words, input)
}

#[track_caller]
fn printed(words: &str, input: &str) -> String {
    program::printed(why(words, input), words)
}

/// What it says when it has no answer.
#[track_caller]
fn refused(words: &str, input: &str, code: i32) -> String {
    let output = why(words, input);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{words}: {errors}");
    assert_eq!(output.stdout, b"", "{words}");
    errors
}

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

#[test]
fn the_page_shows_what_is_printed() {
    let page = read("docs/why.md");
    for words in ["shop", "shop db"] {
        let told = printed(&format!("{words} -f {SHOP}"), "");
        let shown = format!("$ kubectl coppice why {words}\n{told}```");
        assert!(page.contains(&shown), "{told}");
    }
}

#[test]
fn a_tree_needs_no_name_in_a_file() {
    let named = printed(&format!("stree/shop -n prod -f {SHOP}"), "");
    assert_eq!(printed("-f -", &read(SHOP)), named);
}

#[test]
fn programs_get_an_array() {
    let told = printed(&format!("shop -f {SHOP} -o json"), "");
    let accounts: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(accounts[0]["tree"], "prod/shop");
    let mut children = accounts[0]["children"].as_array().unwrap().iter();
    let mailer = children.find(|child| child["child"] == "mailer").unwrap();
    assert_eq!(mailer["faults"][0]["name"], "ImageNotFound");
    assert_eq!(mailer["faults"][0]["present"], true);
    assert_eq!(mailer["budget"][0]["who"], "web");
}

#[test]
fn without_a_tree_it_identifies() {
    let pod = "{kind: Pod, metadata: {name: p, namespace: n}, status: {phase: Failed, reason: Evicted, message: 'The node was low on resource: memory.'}}";
    assert!(printed("-f -", pod).contains("NodePressureEviction"));
    let json: Value = serde_json::from_str(&printed("-f - -o json", pod)).unwrap();
    assert_eq!(json[0]["class"], "NodePressureEviction");
}

#[test]
fn what_has_no_answer_is_refused_in_plain_words() {
    let shop = read(SHOP);
    let table = [
        (
            "other -f -",
            shop.as_str(),
            "there is no tree other in standard input; there are prod/shop",
        ),
        (
            "shop apy -f -",
            &shop,
            "prod/shop has no child apy; did you mean api?",
        ),
        (
            "shop -n test -f -",
            &shop,
            "there is no tree shop in standard input",
        ),
        ("-f -", "hello", "this is not Kubernetes"),
        ("-f -", "a: [", "neither JSON nor YAML"),
        (
            "-f tests/why/nothing.yaml",
            "",
            "tests/why/nothing.yaml: No such file",
        ),
        ("", "", "<TREE>"),
    ];
    for (words, input, told) in table {
        let errors = refused(words, input, 2);
        assert!(errors.contains(told), "{words}: {errors}");
    }
}

#[test]
fn a_cluster_that_cannot_be_found_is_another_error() {
    let errors = refused("shop --kubeconfig /nonexistent", "", 1);
    assert!(errors.contains("could not read the kubeconfig"), "{errors}");
}
