//! Where the harness keeps what it builds and runs: outside the checkout, so that every clone shares it.
//!
//! Rule: this is the only module that knows the cache's place; the Makefile follows the same rule for Cargo's output.

use std::path::PathBuf;

/// No place for the cache is known.
#[derive(Debug, thiserror::Error)]
#[error("find the cache folder: set COPPICE_CACHE (or HOME) to an absolute path")]
pub struct Error;

/// `$COPPICE_CACHE`, else `$XDG_CACHE_HOME/coppice`, else `$HOME/.cache/coppice`.
pub fn folder() -> Result<PathBuf, Error> {
    let set = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    set("COPPICE_CACHE")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("coppice")))
        .or_else(|| Some(set("HOME")?.join(".cache/coppice")))
        .ok_or(Error)
}
