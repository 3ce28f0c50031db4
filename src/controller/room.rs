//! Room for what others may tell without measure, such as Events.
//!
//! Rule: when there is no more room, the namespace that holds most gives up its oldest, whether a watch or a list brings
//! one more; so nobody can push out what is told of the Pods of others.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::store::{ObjectKey, Version};

/// How many objects are kept at most of those that share a room.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// Whose it is; no two rooms of a kind have the same name.
    pub(super) name: &'static str,
    /// In all.
    pub(super) in_all: usize,
    /// In one namespace of one owner, whose oldest goes when there is one more.
    pub(super) of_one: usize,
}

/// Objects, the oldest version first.
type Line = BTreeSet<(Version, Arc<ObjectKey>)>;

/// What is in the rooms of one kind.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    places: HashMap<Arc<ObjectKey>, Place>,
    /// By name of the room.
    inside: HashMap<&'static str, Inside>,
}

/// Where an object is.
#[derive(Debug)]
struct Place {
    room: &'static Room,
    owner: String,
    version: Version,
}

/// What is in one room.
#[derive(Debug, Default)]
struct Inside {
    count: usize,
    namespaces: HashMap<String, Share>,
    /// The namespaces by how much they hold.
    by_size: BTreeSet<(usize, String)>,
}

/// What one namespace holds.
#[derive(Debug, Default)]
struct Share {
    all: Line,
    by_owner: HashMap<String, Line>,
}

impl Rooms {
    /// Takes in an object, or a newer version of one that is in. Says which object has to go for it, and is out: it may
    /// be this one.
    pub(super) fn admit(
        &mut self,
        room: &'static Room,
        key: &Arc<ObjectKey>,
        owner: &str,
        version: Version,
    ) -> Option<Arc<ObjectKey>> {
        self.leave(key);
        let inside = self.inside.entry(room.name).or_default();
        inside.add(key, owner, version);
        let place = Place {
            room,
            owner: owner.to_owned(),
            version,
        };
        self.places.insert(Arc::clone(key), place);
        let leaving = inside.surplus(room, &key.namespace, owner)?;
        self.leave(&leaving);
        Some(leaving)
    }

    /// Takes note that an object is not kept any more.
    pub(super) fn leave(&mut self, key: &ObjectKey) {
        let Some((key, place)) = self.places.remove_entry(key) else {
            return;
        };
        if let Some(inside) = self.inside.get_mut(place.room.name) {
            inside.remove(&key, &place);
        }
    }
}

impl Inside {
    fn add(&mut self, key: &Arc<ObjectKey>, owner: &str, version: Version) {
        let namespace = key.namespace.as_str();
        if !self.namespaces.contains_key(namespace) {
            let share = Share::default();
            self.namespaces.insert(namespace.to_owned(), share);
        }
        let Some(share) = self.namespaces.get_mut(namespace) else {
            return;
        };
        let place = (version, Arc::clone(key));
        share.all.insert(place.clone());
        let of_owner = share.by_owner.entry(owner.to_owned()).or_default();
        of_owner.insert(place);
        let size = share.all.len();
        self.count += 1;
        self.resize(namespace, size - 1, size);
    }

    fn remove(&mut self, key: &Arc<ObjectKey>, place: &Place) {
        let Some(share) = self.namespaces.get_mut(&key.namespace) else {
            return;
        };
        let stood = (place.version, Arc::clone(key));
        share.all.remove(&stood);
        if let Some(of_owner) = share.by_owner.get_mut(&place.owner) {
            of_owner.remove(&stood);
            if of_owner.is_empty() {
                share.by_owner.remove(&place.owner);
            }
        }
        let size = share.all.len();
        if size == 0 {
            self.namespaces.remove(&key.namespace);
        }
        self.count -= 1;
        self.resize(&key.namespace, size + 1, size);
    }

    fn resize(&mut self, namespace: &str, from: usize, to: usize) {
        let name = self.by_size.take(&(from, namespace.to_owned()));
        let name = name.map_or_else(|| namespace.to_owned(), |(_, name)| name);
        if to > 0 {
            self.by_size.insert((to, name));
        }
    }

    /// The object that there is no room for, after one of that owner came in.
    fn surplus(&self, room: &Room, namespace: &str, owner: &str) -> Option<Arc<ObjectKey>> {
        let of_owner = self.namespaces.get(namespace)?.by_owner.get(owner)?;
        let line = if of_owner.len() > room.of_one {
            of_owner
        } else if self.count > room.in_all {
            let (_, largest) = self.by_size.last()?;
            &self.namespaces.get(largest)?.all
        } else {
            return None;
        };
        line.first().map(|(_, key)| Arc::clone(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room {
        name: "test",
        in_all: 6,
        of_one: 3,
    };
    const OTHER: Room = Room {
        name: "other",
        ..ROOM
    };

    /// Takes in an object `namespace/name` of an owner, and says which has to go.
    fn admit(rooms: &mut Rooms, key: &str, owner: &str, version: u64) -> Option<String> {
        admit_to(&ROOM, rooms, key, owner, version)
    }

    fn admit_to(
        room: &'static Room,
        rooms: &mut Rooms,
        key: &str,
        owner: &str,
        version: u64,
    ) -> Option<String> {
        let (namespace, name) = key.split_once('/').unwrap();
        let key = Arc::new(ObjectKey::new(namespace, name));
        let version = Version::parse(&version.to_string());
        let leaving = rooms.admit(room, &key, owner, version);
        leaving.map(|key| key.to_string())
    }

    #[test]
    fn of_one_owner_the_oldest_goes() {
        let mut rooms = Rooms::default();
        for (name, version) in [("a/1", 5), ("a/2", 4), ("a/3", 6)] {
            assert_eq!(admit(&mut rooms, name, "o", version), None);
        }
        assert_eq!(admit(&mut rooms, "a/4", "o", 7).as_deref(), Some("a/2"));
        assert_eq!(admit(&mut rooms, "a/0", "o", 1).as_deref(), Some("a/0"));
        // A newer version takes no more room, and makes it the newest.
        assert_eq!(admit(&mut rooms, "a/1", "o", 8), None);
        assert_eq!(admit(&mut rooms, "a/5", "o", 9).as_deref(), Some("a/3"));
        // Whoever writes the same owner in another namespace has room of its own.
        assert_eq!(admit(&mut rooms, "b/1", "o", 10), None);
    }

    #[test]
    fn in_a_full_room_the_namespace_that_holds_most_gives_up_its_oldest() {
        let mut rooms = Rooms::default();
        assert_eq!(admit(&mut rooms, "small/1", "s", 1), None);
        for number in 2..=6 {
            let name = format!("big/{number}");
            assert_eq!(admit(&mut rooms, &name, &name, number), None);
        }
        let mut gone = Vec::new();
        for number in 7..=9 {
            let name = format!("big/{number}");
            gone.extend(admit(&mut rooms, &name, &name, number));
        }
        assert_eq!(gone, ["big/2", "big/3", "big/4"]);
        // A third one gets its share of what the big one holds.
        assert_eq!(
            admit(&mut rooms, "third/1", "t", 10).as_deref(),
            Some("big/5")
        );
        assert_eq!(
            admit(&mut rooms, "third/2", "t", 11).as_deref(),
            Some("big/6")
        );
        rooms.leave(&ObjectKey::new("big", "7"));
        assert_eq!(admit(&mut rooms, "third/3", "t", 12), None);
    }

    #[test]
    fn each_room_is_filled_by_itself_and_what_has_left_leaves_nothing() {
        let mut rooms = Rooms::default();
        for number in 0..6 {
            let name = format!("a/{number}");
            admit(&mut rooms, &name, &name, number);
        }
        assert_eq!(admit_to(&OTHER, &mut rooms, "a/x", "x", 9), None);
        // What moves to the other room makes room in the first.
        assert_eq!(admit_to(&OTHER, &mut rooms, "a/0", "y", 10), None);
        assert_eq!(admit(&mut rooms, "a/6", "z", 11), None);
        for key in rooms.places.keys().cloned().collect::<Vec<_>>() {
            rooms.leave(&key);
        }
        rooms.leave(&ObjectKey::new("a", "unknown"));
        for inside in rooms.inside.values() {
            assert_eq!((inside.count, inside.namespaces.len()), (0, 0));
            assert!(inside.by_size.is_empty());
        }
    }
}
