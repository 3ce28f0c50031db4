//! Objects that are listed together: which of them belong to which.
//!
//! Rule: each is looked up by its name, so that the work grows with the list and not with its square; what has a name with
//! many others is only found as one of the first.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::document::{Subject, named_by_events, of_object, of_pod};
use super::evidence::{event, reference};
use super::fields::{list, some_text};
use super::{lease, pod};
use crate::model::fault::{EventView, ObjectRef};

/// Most Events that are looked at for one object: the newest. Kubernetes itself sums up what comes more often.
const MOST_EVENTS: usize = 200;
/// Most bytes of their messages.
const MOST_TEXT: usize = 64 * 1024;
/// Most objects that share a kind and a name, and most references of one object.
const MOST_ALIKE: usize = 16;

/// The subjects among objects that are listed together: the Pods, then what has no Pod in the list.
pub(super) fn subjects(listed: &[Value]) -> Vec<Subject> {
    let of_kind = |kind: &'static str| listed.iter().filter(move |object| object["kind"] == kind);
    let events = Told::of(of_kind("Event").map(event));
    let others: Vec<&Value> = listed
        .iter()
        .filter(|object| object["kind"] != "Event" && object["kind"] != "Pod")
        .collect();
    let others = Others::of(&others);
    let mut used = BTreeSet::new();
    let mut subjects: Vec<Subject> = of_kind("Pod")
        .map(|pod| {
            let places = others.around(pod);
            let around: Vec<&Value> = places.iter().map(|place| others.all[*place]).collect();
            used.extend(places);
            of_pod(pod, events.about_pod(pod), &around)
        })
        .collect();
    let podless = others.all.iter().enumerate();
    let podless = podless.filter(|(place, _)| !used.contains(place));
    subjects.extend(
        podless.map(|(_, object)| of_object(object, events.about(&reference(object)), &[])),
    );
    if subjects.is_empty() {
        let named = events.named().into_iter();
        subjects.extend(named.map(|object| {
            let events = events.about(&object);
            named_by_events(object, events)
        }));
    }
    let latest = lease::newest_beside_leases(listed.iter());
    for subject in &mut subjects {
        subject.hear(latest);
    }
    subjects
}

/// All but Pods and Events, by kind and name.
struct Others<'a> {
    all: &'a [&'a Value],
    places: HashMap<(&'a str, &'a str), Vec<usize>>,
}

impl<'a> Others<'a> {
    fn of(all: &'a [&'a Value]) -> Self {
        let mut places: HashMap<(&str, &str), Vec<usize>> = HashMap::new();
        for (place, object) in all.iter().enumerate() {
            let (kind, name) = (&object["kind"], &object["metadata"]["name"]);
            if let (Some(kind), Some(name)) = (kind.as_str(), name.as_str()) {
                let alike = places.entry((kind, name)).or_default();
                if alike.len() < MOST_ALIKE {
                    alike.push(place);
                }
            }
        }
        Self { all, places }
    }

    fn named(&self, kind: &str, name: &str) -> impl Iterator<Item = usize> + use<> {
        let places = self.places.get(&(kind, name));
        places.cloned().unwrap_or_default().into_iter()
    }

    /// The owners that an object names. They are always in its own namespace.
    fn owners(&self, owned: &Value) -> Vec<usize> {
        let references = list(&owned["metadata"]["ownerReferences"]).iter();
        let named = references
            .take(MOST_ALIKE)
            .filter_map(|owner| Some(self.named(owner["kind"].as_str()?, owner["name"].as_str()?)));
        let beside = |place: &usize| is_beside(self.all[*place], owned);
        named.flatten().filter(beside).collect()
    }

    /// What a Pod belongs to, in the order of the list: where it runs, what it uses, what owns it, and what owns that.
    fn around(&self, pod: &Value) -> Vec<usize> {
        let mut places: BTreeSet<usize> = BTreeSet::new();
        if let Some(node) = pod["spec"]["nodeName"].as_str() {
            let leases = self.named("Lease", node);
            places.extend(leases.filter(|place| lease::is_of_node(self.all[*place])));
            places.extend(self.named("Node", node));
        }
        for name in pod::spec(pod).claims {
            let claims = self.named("PersistentVolumeClaim", &name);
            places.extend(claims.filter(|place| is_beside(self.all[*place], pod)));
        }
        for owner in self.owners(pod) {
            places.insert(owner);
            places.extend(self.owners(self.all[owner]));
        }
        places.into_iter().collect()
    }
}

/// Whether both are in the same namespace.
fn is_beside(one: &Value, other: &Value) -> bool {
    one["metadata"]["namespace"] == other["metadata"]["namespace"]
}

/// The Events of a list, by kind and name of what they name.
struct Told {
    events: HashMap<(String, String), Vec<Arc<EventView>>>,
    /// Those that do not name what they are about. They may be about anything.
    vague: Vec<Arc<EventView>>,
    /// What they name, in their order.
    order: Vec<ObjectRef>,
}

impl Told {
    fn of(events: impl Iterator<Item = EventView>) -> Self {
        let mut told = Self {
            events: HashMap::new(),
            vague: Vec::new(),
            order: Vec::new(),
        };
        for event in events {
            let object = ObjectRef {
                field: String::new(),
                ..event.object.clone()
            };
            let is_vague = object.kind.is_empty() || object.name.is_empty();
            let key = (object.kind.clone(), object.name.clone());
            told.order.push(object);
            let alike = if is_vague {
                &mut told.vague
            } else {
                told.events.entry(key).or_default()
            };
            alike.push(Arc::new(event));
        }
        told.vague = newest(std::mem::take(&mut told.vague));
        for alike in told.events.values_mut() {
            *alike = newest(std::mem::take(alike));
        }
        told
    }

    /// The objects that the Events name, each once.
    fn named(&self) -> Vec<ObjectRef> {
        let mut known: HashMap<[&str; 3], Vec<&str>> = HashMap::new();
        let mut named = Vec::new();
        for object in &self.order {
            let alike = known.entry([&object.kind, &object.namespace, &object.name]);
            let uids = alike.or_default();
            // A UID is not always told.
            let is_known =
                |uid: &&str| uid.is_empty() || object.uid.is_empty() || **uid == object.uid;
            if uids.len() < MOST_ALIKE && !uids.iter().any(is_known) {
                uids.push(&object.uid);
                named.push(object.clone());
            }
        }
        named
    }

    /// The Events that name that object.
    fn about(&self, object: &ObjectRef) -> Vec<Arc<EventView>> {
        let key = (object.kind.clone(), object.name.clone());
        let named = self.events.get(&key).into_iter().flatten();
        let events = named.chain(&self.vague).filter(|event| {
            let same_namespace = event.object.namespace.is_empty()
                || object.namespace.is_empty()
                || event.object.namespace == object.namespace;
            event.is_of_object(object) && same_namespace
        });
        newest(events.cloned().collect())
    }

    /// The Events that name a Pod, its node or one of its claims.
    fn about_pod(&self, pod: &Value) -> Vec<Arc<EventView>> {
        let own = ObjectRef {
            kind: "Pod".to_owned(),
            ..reference(pod)
        };
        let named = |kind: &str, namespace: &str, name: String| ObjectRef {
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name,
            ..ObjectRef::default()
        };
        let node = some_text(&pod["spec"]["nodeName"]).map(|node| named("Node", "", node));
        let claims = pod::spec(pod).claims.into_iter();
        let claims = claims.map(|claim| named("PersistentVolumeClaim", &own.namespace, claim));
        let around: Vec<ObjectRef> = node.into_iter().chain(claims).collect();
        let around = around.iter().flat_map(|object| self.about(object));
        let mut all = self.about(&own);
        all.extend(around);
        newest(all)
    }
}

/// The newest of these Events, and no more text than a rule has time for.
pub(super) fn newest(mut events: Vec<Arc<EventView>>) -> Vec<Arc<EventView>> {
    events.sort_by_key(|event| event.seen());
    let mut text = 0;
    let newest_first = events.iter().rev().take(MOST_EVENTS);
    let kept = newest_first.take_while(|event| {
        text += event.message.len();
        text <= MOST_TEXT
    });
    let surplus = events.len() - kept.count();
    events.drain(..surplus);
    events
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(seconds: i64, bytes: usize) -> Arc<EventView> {
        Arc::new(EventView {
            message: "x".repeat(bytes),
            last: jiff::Timestamp::from_second(seconds).ok(),
            ..EventView::default()
        })
    }

    #[test]
    fn only_the_newest_events_are_looked_at_and_not_too_much_text() {
        let many = (0..1_000).map(|second| event(second, 10)).collect();
        let kept = newest(many);
        assert_eq!(kept.len(), MOST_EVENTS);
        assert_eq!(kept[0].seen().map(jiff::Timestamp::as_second), Some(800));
        let long = (0..100).map(|second| event(second, 1024)).collect();
        let kept = newest(long);
        assert_eq!(kept.len(), MOST_TEXT / 1024);
        assert_eq!(kept[63].seen().map(jiff::Timestamp::as_second), Some(99));
    }

    #[test]
    fn of_many_objects_with_one_name_only_the_first_are_looked_at() {
        let node = json!({"kind": "Node", "metadata": {"name": "n"}});
        let nodes: Vec<&Value> = std::iter::repeat_n(&node, 1_000).collect();
        let others = Others::of(&nodes);
        let pod = json!({"kind": "Pod", "spec": {"nodeName": "n"}});
        assert_eq!(others.around(&pod).len(), MOST_ALIKE);
        let owner = json!({"kind": "Job", "name": "work"});
        let job = json!({"kind": "Job", "metadata": {"name": "work"}});
        let child = json!({"metadata": {"ownerReferences": vec![owner; 1_000]}});
        assert_eq!(Others::of(&[&job]).owners(&child).len(), MOST_ALIKE);
    }
}
