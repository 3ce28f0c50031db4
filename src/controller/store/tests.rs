//! What a store believes, change by change.
//!
//! Rule: versions are given as numbers; only tombstones look at the clock.

use super::*;

#[derive(Clone, Debug, PartialEq)]
struct Thing {
    uid: &'static str,
    owner: &'static str,
    text: &'static str,
}

impl Item for Thing {
    fn uid(&self) -> &str {
        self.uid
    }

    fn owner_uid(&self) -> &str {
        self.owner
    }

    fn same(&self, other: &Self) -> bool {
        self == other
    }
}

fn thing(text: &'static str) -> Thing {
    Thing {
        uid: "u",
        owner: "o",
        text,
    }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("ns", name)
}

fn texts(store: &Store<Thing>) -> Vec<(String, &'static str)> {
    store
        .iter()
        .map(|(key, item)| (key.to_string(), item.text))
        .collect()
}

fn put(store: &mut Store<Thing>, name: &str, version: u64, item: Thing) -> usize {
    store.put(key(name), Version(version), item).len()
}

#[tokio::test]
async fn a_late_answer_never_overwrites_newer_data() {
    let mut store = Store::default();
    assert_eq!(put(&mut store, "a", 9, thing("watched")), 1);
    assert_eq!(put(&mut store, "a", 8, thing("answered late")), 0);
    assert_eq!(texts(&store), [("ns/a".to_owned(), "watched")]);
    assert_eq!(put(&mut store, "a", 10, thing("newer")), 2);
    // The numbers are compared as numbers: 10 is newer than 9.
    assert_eq!(texts(&store), [("ns/a".to_owned(), "newer")]);
    assert_eq!(put(&mut store, "a", 11, thing("newer")), 0);
}

#[tokio::test]
async fn a_late_answer_brings_nothing_back() {
    let mut store = Store::default();
    put(&mut store, "a", 5, thing("first"));
    assert_eq!(store.remove(&key("a"), Version(7)).len(), 1);
    assert_eq!(put(&mut store, "a", 6, thing("answered late")), 0);
    assert_eq!(put(&mut store, "a", 7, thing("the delete itself")), 0);
    assert_eq!(
        put(
            &mut store,
            "a",
            8,
            Thing {
                uid: "v",
                ..thing("second")
            }
        ),
        1
    );
    // The delete of the first one, seen late, leaves the second one alone.
    assert_eq!(store.remove(&key("a"), Version(7)).len(), 0);
    assert_eq!(store.by_uid("v").unwrap().text, "second");
    assert_eq!(store.by_uid("u"), None);
}

#[tokio::test]
async fn a_delete_before_the_create_is_seen_counts() {
    let mut store = Store::default();
    assert_eq!(store.remove(&key("a"), Version(7)).len(), 0);
    assert_eq!(put(&mut store, "a", 6, thing("created, answered late")), 0);
    assert_eq!(texts(&store), []);
}

#[tokio::test]
async fn a_list_replaces_its_scope_and_nothing_newer() {
    let mut store = Store::default();
    put(&mut store, "listed", 3, thing("old"));
    put(&mut store, "gone", 4, thing("gone"));
    put(&mut store, "written", 12, thing("answered after the list"));
    store.put(ObjectKey::new("other", "x"), Version(2), thing("elsewhere"));
    let listed = vec![
        (key("listed"), Version(8), thing("new")),
        (key("added"), Version(9), thing("added")),
    ];
    let touched = store.replace(Some("ns"), Version(10), listed);
    assert_eq!(touched.len(), 4);
    assert_eq!(
        texts(&store),
        [
            ("ns/added".to_owned(), "added"),
            ("ns/listed".to_owned(), "new"),
            ("ns/written".to_owned(), "answered after the list"),
            ("other/x".to_owned(), "elsewhere"),
        ]
    );
    assert_eq!(put(&mut store, "gone", 10, thing("late")), 0);
}

#[tokio::test]
async fn an_empty_list_of_everything_empties_the_store() {
    let mut store = Store::default();
    put(&mut store, "a", 3, thing("a"));
    assert_eq!(store.replace(None, Version(4), vec![]).len(), 1);
    assert_eq!(texts(&store), []);
    assert_eq!(store.owned_by("o").count(), 0);
}

#[tokio::test]
async fn a_cluster_restored_from_a_backup_is_believed() {
    let mut store = Store::default();
    store.replace(
        None,
        Version(100),
        vec![(key("a"), Version(90), thing("lost"))],
    );
    store.remove(&key("b"), Version(95));
    let restored = vec![
        (key("a"), Version(40), thing("restored")),
        (key("b"), Version(41), thing("back")),
    ];
    store.replace(None, Version(50), restored);
    assert_eq!(
        texts(&store),
        [("ns/a".to_owned(), "restored"), ("ns/b".to_owned(), "back")]
    );
}

#[tokio::test]
async fn ownership_follows_the_object() {
    let mut store = Store::default();
    put(&mut store, "a", 1, thing("a"));
    put(
        &mut store,
        "b",
        2,
        Thing {
            uid: "v",
            ..thing("b")
        },
    );
    let owned = |store: &Store<Thing>, uid| store.owned_by(uid).map(|t| t.text).collect::<Vec<_>>();
    assert_eq!(owned(&store, "o"), ["a", "b"]);
    put(
        &mut store,
        "a",
        3,
        Thing {
            owner: "p",
            ..thing("a")
        },
    );
    assert_eq!(owned(&store, "o"), ["b"]);
    assert_eq!(owned(&store, "p"), ["a"]);
}

#[tokio::test]
async fn what_does_not_exist_is_forgotten_by_uid() {
    let mut store = Store::default();
    put(&mut store, "a", 3, thing("a"));
    assert_eq!(store.forget(&key("a"), Some("another")).len(), 0);
    assert_eq!(store.forget(&key("a"), Some("u")).len(), 1);
    assert_eq!(put(&mut store, "a", 3, thing("late")), 0);
}

#[tokio::test(start_paused = true)]
async fn tombstones_do_not_pile_up() {
    let mut store = Store::<Thing>::default();
    store.remove(&key("a"), Version(7));
    tokio::time::advance(TOMBSTONE_AGE).await;
    store.sweep();
    assert!(store.tombstones.is_empty());
}
