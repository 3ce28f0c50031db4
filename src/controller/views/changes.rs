//! When what Pods wait for changed last.
//!
//! Rule: a tree is told of the changes that it can wait for, and nobody looks through those of others.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use super::super::store::ObjectKey;

/// How long a change is worth remembering: longer than anything is waited for without a look.
const NEWS_FOR: Duration = Duration::from_mins(10);

/// A change: kind, name, and how long ago.
pub(in crate::controller) type Change = (&'static str, String, Duration);

/// The changes, by namespace.
#[derive(Debug, Default)]
pub(super) struct Changes {
    by_namespace: HashMap<String, OfNamespace>,
    /// How many namespaces may be added before those are dropped in which nothing has changed for long.
    room: usize,
}

/// Those of one namespace.
#[derive(Debug, Default)]
struct OfNamespace {
    /// By kind and name.
    at: HashMap<&'static str, HashMap<String, Instant>>,
    /// How many changes may be noted before the old ones are dropped.
    room: usize,
}

impl Changes {
    /// Remembers that an object changed now.
    pub(super) fn note(&mut self, kind: &'static str, key: &ObjectKey) {
        if !self.by_namespace.contains_key(&key.namespace) {
            self.make_room();
        }
        let of_namespace = self.by_namespace.entry(key.namespace.clone());
        let of_namespace = of_namespace.or_default();
        if of_namespace.room == 0 {
            of_namespace.forget_old();
            // As many again as there are left, so that each is looked at about once.
            of_namespace.room = of_namespace.len() + 64;
        }
        of_namespace.room -= 1;
        let names = of_namespace.at.entry(kind).or_default();
        names.insert(key.name.clone(), Instant::now());
    }

    /// Namespaces come and go, too.
    fn make_room(&mut self) {
        if self.room == 0 {
            self.by_namespace.retain(|_, of_namespace| {
                of_namespace.forget_old();
                of_namespace.len() > 0
            });
            self.room = self.by_namespace.len() + 64;
        }
        self.room -= 1;
    }

    /// The last change of that kind in a namespace, whatever the object is called.
    pub(super) fn last(&self, namespace: &str, kind: &'static str) -> Option<Change> {
        let names = self.by_namespace.get(namespace)?.at.get(kind)?;
        let (name, at) = names.iter().max_by_key(|(_, at)| **at)?;
        Some((kind, name.clone(), at.elapsed()))
    }

    /// The changes in a namespace of objects with one of these names.
    pub(super) fn of<'a>(&'a self, namespace: &str, names: &BTreeSet<&str>) -> Vec<Change> {
        let of_namespace = self.by_namespace.get(namespace).into_iter();
        let kinds = of_namespace.flat_map(|of_namespace| &of_namespace.at);
        let changes = kinds.flat_map(|(kind, known): (_, &'a HashMap<_, _>)| {
            let known = names.iter().filter_map(|name| known.get_key_value(*name));
            known.map(|(name, at)| (*kind, name.clone(), at.elapsed()))
        });
        changes.collect()
    }
}

impl OfNamespace {
    fn forget_old(&mut self) {
        for names in self.at.values_mut() {
            names.retain(|_, at| at.elapsed() < NEWS_FOR);
        }
    }

    fn len(&self) -> usize {
        self.at.values().map(HashMap::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn old_changes_are_dropped_and_no_namespace_sees_those_of_another() {
        let mut changes = Changes::default();
        for number in 0..1000 {
            changes.note("ConfigMap", &ObjectKey::new("busy", format!("c{number}")));
        }
        changes.note("ConfigMap", &ObjectKey::new("calm", "c1"));
        tokio::time::advance(NEWS_FOR).await;
        for number in 0..1500 {
            let name = format!("d{}", number % 2);
            changes.note("ConfigMap", &ObjectKey::new("busy", name));
        }
        assert_eq!(changes.by_namespace["busy"].len(), 2);
        let of =
            |changes: &Changes, namespace, name| changes.of(namespace, &BTreeSet::from([name]));
        assert_eq!(
            of(&changes, "busy", "d1"),
            [("ConfigMap", "d1".to_owned(), Duration::ZERO)]
        );
        assert_eq!(of(&changes, "busy", "c1"), []);
        assert_eq!(
            of(&changes, "calm", "c1"),
            [("ConfigMap", "c1".to_owned(), NEWS_FOR)]
        );
        assert_eq!(of(&changes, "none", "c1"), []);
        for number in 0..100 {
            let key = ObjectKey::new(format!("n{number}"), "c1");
            changes.note("ConfigMap", &key);
        }
        assert_eq!(
            of(&changes, "calm", "c1"),
            [],
            "dropped with all that is old"
        );
        assert_eq!(of(&changes, "busy", "d1").len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn of_quotas_only_the_last_change_counts() {
        let mut changes = Changes::default();
        for name in ["q1", "q2"] {
            changes.note("ResourceQuota", &ObjectKey::new("ns", name));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let last = changes.last("ns", "ResourceQuota");
        assert_eq!(
            last,
            Some(("ResourceQuota", "q2".to_owned(), Duration::from_secs(1)))
        );
        assert_eq!(changes.last("ns", "ConfigMap"), None);
    }
}
