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
    store
        .put(key(name), Version(version), item, Source::Watch)
        .len()
}

fn answer(store: &mut Store<Thing>, name: &str, version: u64, item: Thing) -> usize {
    store
        .put(key(name), Version(version), item, Source::Answer)
        .len()
}

fn remove(store: &mut Store<Thing>, name: &str, version: u64) -> usize {
    store
        .remove(&key(name), Version(version), Source::Watch)
        .len()
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
async fn what_is_told_again_in_the_same_version_is_not_kept_twice() {
    let mut store = Store::default();
    answer(&mut store, "a", 5, thing("old"));
    let known = Arc::clone(store.get(&key("a")).unwrap());
    assert_eq!(put(&mut store, "a", 5, thing("old")), 0);
    assert!(Arc::ptr_eq(&known, store.get(&key("a")).unwrap()));
    put(&mut store, "a", 4, thing("older"));
    assert_eq!(unbelieved(&mut store), (0, 0), "a watch has told of it");
}

#[tokio::test]
async fn a_late_answer_brings_nothing_back() {
    let mut store = Store::default();
    put(&mut store, "a", 5, thing("first"));
    assert_eq!(remove(&mut store, "a", 7), 1);
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
    assert_eq!(remove(&mut store, "a", 7), 0);
    assert_eq!(store.by_uid("v").unwrap().text, "second");
    assert_eq!(store.by_uid("u"), None);
}

#[tokio::test]
async fn a_delete_before_the_create_is_seen_counts() {
    let mut store = Store::default();
    assert_eq!(remove(&mut store, "a", 7), 0);
    assert_eq!(put(&mut store, "a", 6, thing("created, answered late")), 0);
    assert_eq!(texts(&store), []);
}

#[tokio::test]
async fn a_list_replaces_its_scope_and_nothing_newer() {
    let mut store = Store::default();
    put(&mut store, "listed", 3, thing("old"));
    put(&mut store, "gone", 4, thing("gone"));
    put(&mut store, "written", 12, thing("answered after the list"));
    let elsewhere = ObjectKey::new("other", "x");
    store.put(elsewhere, Version(2), thing("elsewhere"), Source::Watch);
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
    remove(&mut store, "b", 95);
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
    remove(&mut store, "a", 7);
    tokio::time::advance(TOMBSTONE_AGE).await;
    store.sweep();
    assert!(store.tombstones.is_empty());
}

/// How often a watch and a list were not believed.
fn unbelieved(store: &mut Store<Thing>) -> (u64, u64) {
    let Unbelieved { by_watch, by_list } = store.take_unbelieved();
    (by_watch, by_list)
}

#[tokio::test]
async fn what_a_watch_tells_after_our_own_write_is_not_believed_when_it_is_older_and_counted() {
    let mut store = Store::default();
    put(&mut store, "a", 3, thing("watched"));
    answer(&mut store, "a", 6, thing("written"));
    assert_eq!(put(&mut store, "a", 5, thing("by others, before us")), 0);
    assert_eq!(remove(&mut store, "a", 4), 0);
    assert_eq!(texts(&store), [("ns/a".to_owned(), "written")]);
    assert_eq!(unbelieved(&mut store), (2, 0));
    // From here on the watch has caught up, and what repeats itself is no matter of ours.
    put(&mut store, "a", 6, thing("written"));
    put(&mut store, "a", 5, thing("repeated"));
    answer(&mut store, "a", 5, thing("answered late"));
    assert_eq!(unbelieved(&mut store), (0, 0));
}

#[tokio::test]
async fn a_list_older_than_our_own_writes_takes_none_of_them_back() {
    let mut store = Store::default();
    put(&mut store, "changed", 2, thing("old"));
    put(
        &mut store,
        "deleted",
        3,
        Thing {
            uid: "d",
            ..thing("old")
        },
    );
    answer(&mut store, "changed", 11, thing("changed"));
    answer(
        &mut store,
        "created",
        12,
        Thing {
            uid: "c",
            ..thing("created")
        },
    );
    store.forget(&key("deleted"), Some("d"));
    let listed = vec![
        (key("changed"), Version(2), thing("old")),
        (
            key("deleted"),
            Version(9),
            Thing {
                uid: "d",
                ..thing("as it was")
            },
        ),
    ];
    store.replace(None, Version(10), listed);
    assert_eq!(
        texts(&store),
        [
            ("ns/changed".to_owned(), "changed"),
            ("ns/created".to_owned(), "created")
        ]
    );
    assert_eq!(unbelieved(&mut store), (0, 3));
}

#[tokio::test]
async fn what_we_deleted_does_not_come_back_by_what_happened_to_it_before() {
    let mut store = Store::default();
    put(&mut store, "a", 3, thing("seen"));
    // The answer to the delete names no version, and the watch is behind it by one change.
    store.forget(&key("a"), Some("u"));
    assert_eq!(put(&mut store, "a", 5, thing("changed before it went")), 0);
    assert_eq!(texts(&store), []);
    assert_eq!(unbelieved(&mut store), (1, 0));
    remove(&mut store, "a", 6);
    let next = Thing {
        uid: "v",
        ..thing("another of that name")
    };
    assert_eq!(put(&mut store, "a", 7, next), 1);
}

#[tokio::test]
async fn a_delete_that_took_effect_at_once_counts_with_its_version() {
    let mut store = Store::default();
    put(&mut store, "a", 3, thing("seen"));
    assert_eq!(store.deleted(&key("a"), Version(6), "u").len(), 1);
    assert_eq!(put(&mut store, "a", 5, thing("before")), 0);
    let next = Thing {
        uid: "v",
        ..thing("another of that name")
    };
    answer(&mut store, "a", 8, next);
    assert_eq!(store.deleted(&key("a"), Version(6), "u").len(), 0);
    assert_eq!(texts(&store), [("ns/a".to_owned(), "another of that name")]);
}

#[tokio::test]
async fn an_object_that_lost_our_label_may_come_back() {
    let mut store = Store::default();
    put(&mut store, "a", 3, thing("seen"));
    remove(&mut store, "a", 4);
    assert_eq!(put(&mut store, "a", 5, thing("labelled again")), 1);
}

#[tokio::test(start_paused = true)]
async fn a_tombstone_stays_until_the_watch_has_told_however_long_that_takes() {
    let mut store = Store::default();
    put(&mut store, "a", 3, thing("seen"));
    store.forget(&key("a"), Some("u"));
    tokio::time::advance(TOMBSTONE_AGE * 10).await;
    store.sweep();
    assert_eq!(put(&mut store, "a", 5, thing("told late")), 0);
    remove(&mut store, "a", 6);
    tokio::time::advance(TOMBSTONE_AGE).await;
    store.sweep();
    assert!(store.tombstones.is_empty());

    put(&mut store, "b", 7, thing("seen"));
    store.forget(&key("b"), Some("u"));
    store.replace(None, Version(9), vec![]);
    tokio::time::advance(TOMBSTONE_AGE).await;
    store.sweep();
    assert!(
        store.tombstones.is_empty(),
        "a list without it tells it too"
    );
}
