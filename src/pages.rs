//! Files that are made from the code.
//!
//! Rule: a generated file is in the repository, and a test fails when it is stale; `UPDATE=1` has the test write it.

use std::path::Path;
use std::{env, fs};

/// Fails when a file of the repository is not what the code makes of it now.
pub(crate) fn assert_current(file: &str, expected: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if env::var_os("UPDATE").is_some() {
        fs::write(&file, expected).unwrap();
    }
    let current = fs::read_to_string(&file).unwrap_or_default();
    // Not `assert_eq`, which would print both files.
    assert!(
        current == expected,
        "{} is stale: run `UPDATE=1 cargo test`",
        file.display()
    );
}
