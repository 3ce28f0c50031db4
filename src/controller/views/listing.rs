//! A list while it comes, page by page.
//!
//! Rule: what is not kept goes with its page, so that a list of strangers' objects is never in memory as a whole.

use std::collections::HashMap;

use super::super::kinds::{Kind, Room};
use super::super::store::{Item, ObjectKey, Version};
use super::{SharedViews, address};

/// One object of a list.
pub(in crate::controller) type Listed<T> = (ObjectKey, Version, T);

/// What is kept of the pages of a list that have come so far.
pub(in crate::controller) struct Listing<K: Kind> {
    objects: Vec<Listed<K::Item>>,
    /// How many there are of each owner, where that is limited.
    of_one: HashMap<String, usize>,
}

impl<K: Kind> Default for Listing<K> {
    fn default() -> Self {
        Self {
            objects: Vec::new(),
            of_one: HashMap::new(),
        }
    }
}

impl<K: Kind> Listing<K> {
    /// Takes in one more page.
    pub(in crate::controller) fn add(&mut self, views: &SharedViews, page: Vec<K::Wire>) {
        // To read it takes a while, during which nobody has to wait.
        let page: Vec<Listed<K::Item>> = page.into_iter().map(listed::<K>).collect();
        let views = views.lock();
        for (key, version, item) in page {
            if K::keeps(&views, &key, &item) && self.has_room(K::room(&views, &item), &item) {
                self.objects.push((key, version, item));
            }
        }
    }

    fn has_room(&mut self, room: Option<Room>, item: &K::Item) -> bool {
        let Some(room) = room else {
            return true;
        };
        if self.objects.len() >= room.in_all {
            return false;
        }
        let of_one = self.of_one.entry(item.owner_uid().to_owned()).or_default();
        *of_one += 1;
        *of_one <= room.of_one
    }

    /// All that is kept of the list.
    pub(in crate::controller) fn objects(self) -> Vec<Listed<K::Item>> {
        self.objects
    }
}

/// What is kept of an object in a list.
pub(in crate::controller) fn listed<K: Kind>(wire: K::Wire) -> Listed<K::Item> {
    let (key, version) = address(&wire);
    (key, version, K::read(wire))
}
