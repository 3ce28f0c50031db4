//! What is known of the objects of one kind: the newest version of each, by namespace and name.
//!
//! Rule: knowledge only grows: what comes late never overwrites newer data, nor brings back what is known to be
//! gone; so nothing here is ever older than the answer to a write of ours.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::room::{Room, Rooms};

/// How long the memory of a deleted object is kept at least: longer than any request of ours may take, so that
/// no answer of ours can come after it. Until a watch or list has told of the deletion it is kept in any case, because
/// what they told before is still to come.
const TOMBSTONE_AGE: Duration = Duration::from_mins(2);

/// A resource version. The API server compares those of one kind as numbers, and so do we. Nodes and Pods are kept in
/// one etcd, whose one counter makes their versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(u64);

impl Version {
    /// What is not a number is older than every number, and so never wins over one.
    pub(super) fn parse(text: &str) -> Self {
        Self(text.parse().unwrap_or_default())
    }
}

/// Namespace and name of an object; the namespace of a Node is empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectKey {
    /// The key of that object.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// Something that a store holds.
pub(super) trait Item {
    /// UID of the object.
    fn uid(&self) -> &str;
    /// UID of the owner that controls it; empty when there is none.
    fn owner_uid(&self) -> &str;
    /// Whether both say the same about the object, but for its version.
    fn same(&self, other: &Self) -> bool;
    /// The names of other objects in its namespace that it is found by, each once.
    fn mentions(&self) -> &[String] {
        &[]
    }
    /// The room that it takes, where that is limited.
    fn room(&self) -> Option<&'static Room> {
        None
    }
}

/// Where data came from. Only what is watched tells how far the API server has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A watch.
    Watch,
    /// A complete list, which a watch begins with.
    List,
    /// The answer to a request of ours.
    Answer,
}

/// The items that a change touched, old and new. Empty when nothing changed.
pub(super) type Touched<T> = Vec<Arc<T>>;

/// How often something was older than an answer to a request of ours, and therefore not believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Unbelieved {
    /// Said by a watch.
    pub(super) by_watch: u64,
    /// Said by a list.
    pub(super) by_list: u64,
}

/// What is known of one object.
#[derive(Debug)]
struct Entry<T> {
    version: Version,
    /// Whether only an answer to a request of ours has told of this version so far.
    is_answer: bool,
    item: Arc<T>,
}

/// An object that is known to be gone.
#[derive(Debug)]
struct Tombstone {
    /// Nothing up to this version is believed any more.
    version: Version,
    /// Nor is any version of the object with this UID.
    uid: Option<String>,
    since: Instant,
    /// Whether only an answer to a request of ours has told that it is gone.
    is_answer: bool,
}

/// One of the objects of an owner.
type Owned<T> = (Arc<ObjectKey>, Arc<T>);

/// The newest known version of every object of one kind.
#[derive(Debug)]
pub(super) struct Store<T> {
    objects: BTreeMap<Arc<ObjectKey>, Entry<T>>,
    tombstones: HashMap<ObjectKey, Tombstone>,
    /// The UIDs of objects whose end is known, and since when.
    ended: HashMap<String, Instant>,
    by_uid: HashMap<String, Arc<ObjectKey>>,
    /// In order. Most owners have few objects, for which a map would be ten times as large.
    by_owner: HashMap<String, Vec<Owned<T>>>,
    /// The objects that mention another one, by that one.
    by_mention: HashMap<ObjectKey, BTreeSet<Arc<ObjectKey>>>,
    /// Those whose room is limited.
    rooms: Rooms,
    /// The newest version that was watched, by scope (a namespace, or all).
    watched: HashMap<Option<String>, Version>,
    unbelieved: Unbelieved,
}

impl<T> Default for Store<T> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            tombstones: HashMap::new(),
            ended: HashMap::new(),
            by_uid: HashMap::new(),
            by_owner: HashMap::new(),
            by_mention: HashMap::new(),
            rooms: Rooms::default(),
            watched: HashMap::new(),
            unbelieved: Unbelieved::default(),
        }
    }
}

impl<T: Item> Store<T> {
    /// The object of that name.
    pub(super) fn get(&self, key: &ObjectKey) -> Option<&Arc<T>> {
        self.objects.get(key).map(|entry| &entry.item)
    }

    /// The object of that UID.
    pub(super) fn by_uid(&self, uid: &str) -> Option<&Arc<T>> {
        self.get(self.by_uid.get(uid)?)
    }

    /// The objects that name this UID as their controlling owner, by name.
    pub(super) fn owned_by<'a>(
        &'a self,
        uid: &str,
    ) -> impl Iterator<Item = &'a Arc<T>> + use<'a, T> {
        let owned = self.by_owner.get(uid).into_iter().flatten();
        owned.map(|(_, item)| item)
    }

    /// The objects that mention that name in that namespace.
    pub(super) fn mentioning(&self, key: &ObjectKey) -> impl Iterator<Item = &Arc<T>> {
        let keys = self.by_mention.get(key).into_iter().flatten();
        keys.filter_map(|key| self.get(key))
    }

    /// How many objects there are.
    pub(super) fn len(&self) -> usize {
        self.objects.len()
    }

    /// All objects.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&ObjectKey, &Arc<T>)> {
        let objects = self.objects.iter();
        objects.map(|(key, entry)| (&**key, &entry.item))
    }

    /// The objects in that namespace.
    pub(super) fn within(&self, namespace: &str) -> impl Iterator<Item = &Arc<T>> {
        let from_there = self
            .objects
            .range::<ObjectKey, _>(ObjectKey::new(namespace, "")..);
        from_there
            .take_while(move |(key, _)| key.namespace == namespace)
            .map(|(_, entry)| &entry.item)
    }

    /// Takes in one version of an object.
    pub(super) fn put(
        &mut self,
        key: ObjectKey,
        version: Version,
        item: T,
        source: Source,
    ) -> Touched<T> {
        if let Some(gone) = self.tombstones.get(&key)
            && (gone.version >= version || gone.uid.as_deref() == Some(item.uid()))
        {
            let is_answer = gone.is_answer;
            self.not_believed(is_answer, source);
            return Vec::new();
        }
        let mut is_answer = source == Source::Answer;
        let old = match self.objects.get(&key) {
            Some(known) if known.version > version => {
                let is_answer = known.is_answer;
                self.not_believed(is_answer, source);
                return Vec::new();
            }
            Some(known) => {
                is_answer &= known.is_answer || known.version < version;
                Some(Arc::clone(&known.item))
            }
            None => None,
        };
        if let Some(known) = self.objects.get_mut(&key)
            && known.version == version
            && version != Version::default()
            && known.item.uid() == item.uid()
        {
            // What is known already is not kept twice by those who hold on to it.
            known.is_answer = is_answer;
            return Vec::new();
        }
        let stays = |old: &T| {
            (old.uid(), old.owner_uid(), old.mentions())
                == (item.uid(), item.owner_uid(), item.mentions())
        };
        if let Some(old) = old.as_ref().filter(|old| !stays(old)) {
            self.unlink(&key, old);
        }
        self.tombstones.remove(&key);
        let item = Arc::new(item);
        let known = self.objects.get_key_value(&key);
        let known = known.map(|(key, _)| Arc::clone(key));
        let key = known.unwrap_or_else(|| Arc::new(key));
        self.link(&key, &item);
        let entry = Entry {
            version,
            is_answer,
            item: Arc::clone(&item),
        };
        self.objects.insert(Arc::clone(&key), entry);
        if !self.finds_room(&key, version, &item) {
            return Vec::new();
        }
        match old {
            Some(old) if old.same(&item) && old.uid() == item.uid() => Vec::new(),
            Some(old) => {
                if old.uid() != item.uid() {
                    self.ended.insert(old.uid().to_owned(), Instant::now());
                }
                vec![old, item]
            }
            None => vec![item],
        }
    }

    /// Takes in that an object is gone since that version, or is none that is watched any more.
    pub(super) fn remove(
        &mut self,
        key: &ObjectKey,
        version: Version,
        source: Source,
    ) -> Touched<T> {
        if let Some(known) = self.objects.get(key)
            && known.version > version
        {
            let is_answer = known.is_answer;
            self.not_believed(is_answer, source);
            return Vec::new();
        }
        self.bury(key, version, None, source)
    }

    /// Takes in that we deleted an object with this UID at that version.
    pub(super) fn deleted(&mut self, key: &ObjectKey, version: Version, uid: &str) -> Touched<T> {
        match self.objects.get(key) {
            // Another one of that name has been made since.
            Some(known) if known.version > version => Vec::new(),
            _ => self.bury(key, version, Some(uid.to_owned()), Source::Answer),
        }
    }

    /// Takes in that an object with this UID does not exist any more, which is all that is known.
    pub(super) fn forget(&mut self, key: &ObjectKey, uid: Option<&str>) -> Touched<T> {
        match self.objects.get(key) {
            Some(known) if uid.is_none_or(|uid| known.item.uid() == uid) => {
                let (version, uid) = (known.version, known.item.uid().to_owned());
                self.bury(key, version, Some(uid), Source::Answer)
            }
            _ => Vec::new(),
        }
    }

    /// Whether an object that has come in is kept; another one may have to go for it. What goes is not gone from the
    /// cluster: it is believed when it is told of again, and nothing of it is remembered.
    fn finds_room(&mut self, key: &Arc<ObjectKey>, version: Version, item: &T) -> bool {
        let Some(room) = item.room() else {
            return true;
        };
        let leaving = self.rooms.admit(room, key, item.owner_uid(), version);
        let Some(leaving) = leaving else {
            return true;
        };
        if let Some(entry) = self.objects.remove(&leaving) {
            self.unlink(&leaving, &entry.item);
        }
        leaving != *key
    }

    /// How often something was not believed since this was asked last.
    pub(super) fn take_unbelieved(&mut self) -> Unbelieved {
        std::mem::take(&mut self.unbelieved)
    }

    fn not_believed(&mut self, is_answer: bool, source: Source) {
        match source {
            Source::Watch if is_answer => self.unbelieved.by_watch += 1,
            Source::List if is_answer => self.unbelieved.by_list += 1,
            _ => {}
        }
    }

    /// Notes how far a watch has got.
    pub(super) fn watched(&mut self, scope: Option<&str>, version: Version) {
        let seen = self.watched.entry(scope.map(str::to_owned)).or_default();
        *seen = version.max(*seen);
    }

    /// How far that is.
    pub(super) fn seen(&self, scope: Option<&str>) -> Version {
        let seen = self.watched.get(&scope.map(str::to_owned));
        seen.copied().unwrap_or_default()
    }

    /// Takes in a complete list of a scope (a namespace, or all) at that version, in one step.
    pub(super) fn replace(
        &mut self,
        scope: Option<&str>,
        version: Version,
        listed: Vec<(ObjectKey, Version, T)>,
    ) -> Touched<T> {
        self.sweep();
        let went_back = self
            .watched
            .get(&scope.map(str::to_owned))
            .is_some_and(|seen| version < *seen);
        let in_scope: Vec<ObjectKey> = self.keys_of(scope);
        let names: BTreeSet<&ObjectKey> = listed.iter().map(|(key, ..)| key).collect();
        let mut touched = Vec::new();
        for key in in_scope.iter().filter(|key| !names.contains(key)) {
            touched.extend(self.remove(key, version, Source::List));
        }
        let is_in_scope = |key: &ObjectKey| scope.is_none_or(|scope| key.namespace == scope);
        for (key, gone) in &mut self.tombstones {
            let told = gone.version <= version && !names.contains(key) && is_in_scope(key);
            gone.is_answer &= !told;
        }
        if went_back {
            // The cluster was restored from a backup: what we know is from a future that never was.
            for key in &in_scope {
                touched.extend(self.forget(key, None));
            }
            self.tombstones.retain(|key, _| !is_in_scope(key));
            self.watched.remove(&scope.map(str::to_owned));
        }
        for (key, version, item) in listed {
            touched.extend(self.put(key, version, item, Source::List));
        }
        self.watched(scope, version);
        touched
    }

    fn keys_of(&self, scope: Option<&str>) -> Vec<ObjectKey> {
        match scope {
            None => self.objects.keys().map(|key| (**key).clone()).collect(),
            Some(namespace) => self
                .objects
                .range::<ObjectKey, _>(ObjectKey::new(namespace, "")..)
                .map(|(key, _)| (**key).clone())
                .take_while(|key| key.namespace == namespace)
                .collect(),
        }
    }

    fn bury(
        &mut self,
        key: &ObjectKey,
        version: Version,
        uid: Option<String>,
        source: Source,
    ) -> Touched<T> {
        let earlier = self.tombstones.remove(key);
        let told = source != Source::Answer || earlier.as_ref().is_some_and(|one| !one.is_answer);
        let grave = Tombstone {
            version: earlier
                .as_ref()
                .map_or(version, |one| one.version.max(version)),
            uid: uid.or_else(|| earlier.and_then(|one| one.uid)),
            since: Instant::now(),
            is_answer: !told,
        };
        self.tombstones.insert(key.clone(), grave);
        let Some(Entry { item: old, .. }) = self.objects.remove(key) else {
            return Vec::new();
        };
        self.unlink(key, &old);
        self.ended.insert(old.uid().to_owned(), Instant::now());
        vec![old]
    }

    /// Whether the end of the object with that UID became known not long ago.
    pub(super) fn has_ended(&self, uid: &str) -> bool {
        self.ended.contains_key(uid)
    }

    fn link(&mut self, key: &Arc<ObjectKey>, item: &Arc<T>) {
        self.by_uid.insert(item.uid().to_owned(), Arc::clone(key));
        for name in item.mentions() {
            let mentioned = ObjectKey::new(&key.namespace, name);
            let by_it = self.by_mention.entry(mentioned).or_default();
            by_it.insert(Arc::clone(key));
        }
        let owner = item.owner_uid();
        if owner.is_empty() {
            return;
        }
        let siblings = self.by_owner.entry(owner.to_owned()).or_default();
        match siblings.binary_search_by(|(known, _)| known.cmp(key)) {
            Ok(place) => siblings[place].1 = Arc::clone(item),
            Err(place) => siblings.insert(place, (Arc::clone(key), Arc::clone(item))),
        }
    }

    fn unlink(&mut self, key: &ObjectKey, item: &Arc<T>) {
        self.rooms.leave(key);
        self.by_uid.remove(item.uid());
        for name in item.mentions() {
            let mentioned = ObjectKey::new(&key.namespace, name);
            if let Some(by_it) = self.by_mention.get_mut(&mentioned) {
                by_it.remove(key);
                if by_it.is_empty() {
                    self.by_mention.remove(&mentioned);
                }
            }
        }
        if let Some(owned) = self.by_owner.get_mut(item.owner_uid()) {
            if let Ok(place) = owned.binary_search_by(|(known, _)| (**known).cmp(key)) {
                owned.remove(place);
            }
            if owned.is_empty() {
                self.by_owner.remove(item.owner_uid());
            }
        }
    }

    /// Drops tombstones that nothing can be older than any more.
    pub(super) fn sweep(&mut self) {
        self.tombstones
            .retain(|_, gone| gone.is_answer || gone.since.elapsed() < TOMBSTONE_AGE);
        self.ended
            .retain(|_, since| since.elapsed() < TOMBSTONE_AGE);
    }
}

#[cfg(test)]
mod tests;
