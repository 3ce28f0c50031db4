//! A program of ours, run in the checkout as people run it.
//!
//! Rule: what it prints and how it ends is all that a test sees of it.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

/// Runs it with these words as its further arguments, and that text as its input.
pub(crate) fn run(program: &mut Command, words: &str, input: &str) -> Output {
    let mut child = program
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(words.split_whitespace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who is refused for its arguments reads no input.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// What it printed, when all is well.
#[track_caller]
pub(crate) fn printed(output: Output, words: &str) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}: {errors}");
    assert_eq!(errors, "", "{words}");
    String::from_utf8(output.stdout).unwrap()
}
