//! A list while it comes, page by page.
//!
//! Rule: what is not kept goes with its page, so that a list of strangers' objects is never in memory as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::kinds::Kind;
use super::super::room::Rooms;
use super::super::store::{Item, ObjectKey, Version};
use super::{SharedViews, Views, address};

/// One object of a list.
pub(in crate::controller) type Listed<T> = (ObjectKey, Version, T);

/// What is kept of the pages of a list that have come so far.
pub(in crate::controller) struct Listing<K: Kind> {
    objects: BTreeMap<Arc<ObjectKey>, (Version, K::Item)>,
    rooms: Rooms,
}

impl<K: Kind> Default for Listing<K> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            rooms: Rooms::default(),
        }
    }
}

impl<K: Kind> Listing<K> {
    /// Takes in one more page.
    pub(in crate::controller) fn add(&mut self, views: &SharedViews, page: Vec<K::Wire>) {
        // To read it takes a while, during which nobody has to wait.
        let page: Vec<Listed<K::Item>> = page.into_iter().map(listed::<K>).collect();
        self.take(&mut views.lock(), page);
    }

    /// Takes in what has been read of a page.
    pub(super) fn take(&mut self, views: &mut Views, page: Vec<Listed<K::Item>>) {
        for (key, version, mut item) in page {
            if !K::keeps(views, &key, &item) {
                continue;
            }
            K::place(views, &mut item);
            let key = Arc::new(key);
            let room = item.room();
            let leaving =
                room.and_then(|room| self.rooms.admit(room, &key, item.owner_uid(), version));
            self.objects.insert(key, (version, item));
            if let Some(leaving) = leaving {
                self.objects.remove(&leaving);
            }
        }
    }

    /// All that is kept of the list.
    pub(in crate::controller) fn objects(self) -> Vec<Listed<K::Item>> {
        drop(self.rooms);
        let objects = self.objects.into_iter();
        let objects =
            objects.map(|(key, (version, item))| (Arc::unwrap_or_clone(key), version, item));
        objects.collect()
    }
}

/// What is kept of an object in a list.
pub(in crate::controller) fn listed<K: Kind>(wire: K::Wire) -> Listed<K::Item> {
    let (key, version) = address(&wire);
    (key, version, K::read(wire))
}
