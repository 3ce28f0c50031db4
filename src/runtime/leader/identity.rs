//! Who this process is.
//!
//! Rule: two processes that live at the same time never have the same name.

use std::fs;
use std::hash::{BuildHasher, RandomState};

/// The name of the Pod when it is known, which no other living process has; else the host's name, the process number
/// and a random number, because containers may share the first two.
pub fn identity(pod_name: Option<&str>) -> String {
    match pod_name {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => {
            let pid = std::process::id();
            // The standard library's own source of randomness.
            let random = RandomState::new().hash_one(pid);
            format!("{}_{pid}_{random:016x}", host())
        }
    }
}

fn host() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "unknown-host".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_its_name_and_a_process_is_like_no_other() {
        assert_eq!(identity(Some("coppice-7-x")), "coppice-7-x");
        assert_ne!(identity(None), identity(None));
        assert_ne!(identity(Some("")), identity(Some("")));
    }
}
