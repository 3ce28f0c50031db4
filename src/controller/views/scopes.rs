//! For which kinds something is so, and where.
//!
//! Rule: to ask costs no memory, because it is asked at every look at a tree.

use std::collections::{HashMap, HashSet};

/// Kinds, each with the scopes (namespaces, or all) where it is so.
#[derive(Debug, Default)]
pub(super) struct Scopes(HashMap<&'static str, OfKind>);

#[derive(Debug, Default)]
struct OfKind {
    everywhere: bool,
    namespaces: HashSet<String>,
}

impl Scopes {
    /// It is so from now on. Says whether that is news.
    pub(super) fn insert(&mut self, kind: &'static str, scope: Option<&str>) -> bool {
        let of_kind = self.0.entry(kind).or_default();
        match scope {
            None => !std::mem::replace(&mut of_kind.everywhere, true),
            Some(namespace) => of_kind.namespaces.insert(namespace.to_owned()),
        }
    }

    /// It is not so any more. Says whether that is news.
    pub(super) fn remove(&mut self, kind: &'static str, scope: Option<&str>) -> bool {
        let Some(of_kind) = self.0.get_mut(kind) else {
            return false;
        };
        match scope {
            None => std::mem::replace(&mut of_kind.everywhere, false),
            Some(namespace) => of_kind.namespaces.remove(namespace),
        }
    }

    /// Whether it is so of exactly that scope.
    pub(super) fn contains(&self, kind: &'static str, scope: Option<&str>) -> bool {
        let of_kind = self.0.get(kind);
        of_kind.is_some_and(|of_kind| match scope {
            None => of_kind.everywhere,
            Some(namespace) => of_kind.namespaces.contains(namespace),
        })
    }

    /// Whether it is so in that namespace, because it is so there or everywhere.
    pub(super) fn covers(&self, kind: &'static str, namespace: &str) -> bool {
        self.contains(kind, None) || self.contains(kind, Some(namespace))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_a_namespace_or_all_of_them() {
        let mut scopes = Scopes::default();
        assert!(scopes.insert("Pod", Some("a")));
        assert!(!scopes.insert("Pod", Some("a")));
        assert!(scopes.covers("Pod", "a") && !scopes.covers("Pod", "b"));
        assert!(!scopes.contains("Pod", None));
        assert!(scopes.insert("Pod", None));
        assert!(scopes.covers("Pod", "b") && !scopes.contains("Pod", Some("b")));
        assert!(!scopes.covers("Node", "a"));
        assert!(scopes.remove("Pod", None) && !scopes.remove("Pod", None));
        assert!(scopes.remove("Pod", Some("a")));
        assert!(!scopes.covers("Pod", "a"));
    }
}
