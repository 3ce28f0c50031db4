//! Names, revisions and selectors: every name that Coppice gives is computed, never drawn.
//!
//! Rule: the same input gives the same name, so that a repeated create is a conflict and not a duplicate.

use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::api::labels;

/// Name of the Worker of a child.
pub fn worker_name(tree: &str, child: &str) -> String {
    format!("{tree}-{child}")
}

/// Name of a `Stable` Pod.
pub fn stable_pod_name(tree: &str, child: &str, slot: i32) -> String {
    format!("{tree}-{child}-{slot}")
}

/// Whether that is the name of the `Stable` Pod of a slot.
pub fn is_stable_pod_name(name: &str, tree: &str, child: &str, slot: i32) -> bool {
    let rest = [tree, "-", child, "-"]
        .iter()
        .try_fold(name, |rest, part| rest.strip_prefix(part));
    rest.is_some_and(|rest| rest.parse() == Ok(slot) && rest == slot.to_string())
}

/// Name of the claim that a slot has from that template, as a `StatefulSet` names its claims.
pub fn claim_name(template: &str, tree: &str, child: &str, slot: i32) -> String {
    format!("{template}-{}", stable_pod_name(tree, child, slot))
}

/// Name of an `Interchangeable` Pod: it ends in a hash of the Worker, the slot and the Pod that it
/// replaces (empty for the first).
pub fn interchangeable_pod_name(
    tree: &str,
    child: &str,
    worker_uid: &str,
    slot: i32,
    replaces: &str,
) -> String {
    format!(
        "{tree}-{child}-{}",
        hash(&[worker_uid, &slot.to_string(), replaces])
    )
}

/// Revision of a template: equal templates have equal revisions, whatever the order of their fields.
pub fn revision(template: &Value) -> String {
    // `serde_json` keeps objects sorted by key, so that the text is canonical.
    hash(&[&template.to_string()])
}

/// Selector of the Pods of a child.
pub fn selector(tree: &str, child: &str) -> String {
    format!("{}={tree},{}={child}", labels::TREE, labels::CHILD)
}

/// Ten hexadecimal digits over the parts, which cannot run into each other.
pub fn hash(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher
        .finalize()
        .iter()
        .take(5)
        .fold(String::new(), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_name_depends_on_worker_slot_and_predecessor() {
        let name =
            |uid, slot, replaces| interchangeable_pod_name("shop", "api", uid, slot, replaces);
        assert_eq!(name("u", 0, ""), name("u", 0, ""));
        assert_ne!(name("u", 0, ""), name("v", 0, ""));
        assert_ne!(name("u", 0, ""), name("u", 1, ""));
        assert_ne!(name("u", 0, ""), name("u", 0, "p"));
        assert_ne!(
            name("u1", 0, ""),
            name("u", 10, ""),
            "parts do not run into each other"
        );
    }

    #[test]
    fn a_stable_name_is_that_of_one_slot() {
        assert_eq!(worker_name("shop", "db"), "shop-db");
        let is = |name: &str| is_stable_pod_name(name, "shop", "db", 7);
        assert!(is(&stable_pod_name("shop", "db", 7)));
        for other in [
            "shop-db-8",
            "shop-db-07",
            "shop-db-+7",
            "shop-db-",
            "shop-web-7",
            "db-7",
        ] {
            assert!(!is(other), "{other}");
        }
    }

    #[test]
    fn a_revision_ignores_the_order_of_fields() {
        let a = json!({"spec": {"a": 1, "b": 2}});
        let b: Value = serde_json::from_str(r#"{"spec": {"b": 2, "a": 1}}"#).unwrap();
        assert_eq!(revision(&a), revision(&b));
        assert_ne!(revision(&a), revision(&json!({"spec": {"a": 1, "b": 3}})));
    }

    /// Another name would replace every Pod when the operator is upgraded.
    #[test]
    fn a_revision_has_the_same_name_in_every_version_of_coppice() {
        let template = json!({"spec": {"containers": [{"name": "app", "image": "one"}]}});
        let one = revision(&template);
        assert_eq!(one, "48bc689b3d");
        assert_eq!(
            hash(&["a", &one, "b", &one]),
            "14d974f3d6",
            "that of a tree"
        );
    }
}
