//! What a file holds: objects, or evidence about one; and whom the answers are about.
//!
//! Rule: each Pod is answered for, and each object that has no Pod in the file; the rest is evidence.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::NotKubernetes;
use super::answer::Answer;
use super::evidence::{event, node, object, reference};
use super::fields::{list, number, some_text, text};
use super::pod;
use crate::model::fault::{
    Class, EventView, Evidence, Fault, ObjectRef, ObjectView, identify, identify_object,
    identify_refusal,
};
use crate::model::pod::PodView;
use crate::model::world::{NodeView, Refusal};
use crate::yaml;

/// The keys of an evidence document.
const KEYS: [&str; 6] = ["pod", "events", "node", "pvc", "related", "createError"];

/// Most Events that are looked at for one object: the newest. Kubernetes itself sums up what comes more often.
const MOST_EVENTS: usize = 200;

/// The documents of a file, JSON or YAML.
pub(super) fn values(source: &str, text: &str) -> Result<Vec<Value>, NotKubernetes> {
    let json: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(text)
        .into_iter()
        .collect();
    if let Ok(values) = json
        && !values.is_empty()
    {
        return Ok(values);
    }
    let mut values = Vec::new();
    for value in yaml::documents(text) {
        let wrong =
            |error| NotKubernetes(format!("{source}: this is neither JSON nor YAML: {error}"));
        values.extend(Some(value.map_err(wrong)?).filter(|value| !value.is_null()));
    }
    Ok(values)
}

/// One document.
pub(super) enum Document {
    /// Evidence about one object.
    Evidence(EvidenceDocument),
    /// Objects, of which each may be ill.
    Objects(Vec<Value>),
}

/// Evidence about one object.
pub(super) struct EvidenceDocument(Value);

impl Document {
    pub(super) fn of(source: &str, value: Value) -> Result<Self, NotKubernetes> {
        let is_object = |value: &Value| some_text(&value["kind"]).is_some();
        if let Value::Array(objects) = &value
            && !objects.is_empty()
            && objects.iter().all(is_object)
        {
            return Ok(Self::Objects(objects.clone()));
        }
        let kind = text(&value["kind"]);
        let items_of = value.get("items").filter(|v| v.is_array() || v.is_null());
        if kind.ends_with("List") && items_of.is_some() {
            let of_list = kind.trim_end_matches("List");
            return Ok(Self::Objects(items(&value, of_list)));
        }
        if kind == "Status" {
            return Ok(Self::Evidence(EvidenceDocument(
                serde_json::json!({ "createError": value }),
            )));
        }
        if !kind.is_empty() {
            return Ok(Self::Objects(vec![value]));
        }
        if KEYS.iter().any(|key| value.get(key).is_some()) {
            return Ok(Self::Evidence(EvidenceDocument(value)));
        }
        Err(NotKubernetes(format!(
            "{source}: this is not Kubernetes: expected an object with `kind`, a List, or a document with some of {}",
            KEYS.map(|key| format!("`{key}`")).join(", ")
        )))
    }
}

/// The items of a list; those of a list of one kind need not say their own.
fn items(list: &Value, kind: &str) -> Vec<Value> {
    let items = list["items"].as_array().into_iter().flatten().cloned();
    let named = items.filter(Value::is_object).map(|mut item| {
        if some_text(&item["kind"]).is_none() && !kind.is_empty() {
            item["kind"] = kind.into();
        }
        item
    });
    named.collect()
}

/// An object that is answered for, and what is known around it.
pub(super) struct Subject {
    object: ObjectRef,
    what: What,
    events: Vec<Arc<EventView>>,
    objects: Vec<ObjectView>,
}

enum What {
    Pod(Box<PodView>, Option<NodeView>),
    Object(ObjectView, Vec<PodView>),
    Refused(Refusal),
}

impl EvidenceDocument {
    /// What is not understood.
    pub(super) fn warnings(&self, source: &str) -> Vec<String> {
        let keys = self
            .0
            .as_object()
            .into_iter()
            .flat_map(|fields| fields.keys());
        let unknown = keys.filter(|key| !KEYS.contains(&key.as_str()));
        unknown
            .map(|key| {
                format!("{source}: `{key}` is no part of an evidence document and is ignored")
            })
            .collect()
    }

    /// Whom it is about: its Pod, else its claim, else its node, else the first of what is related, else what its Events
    /// or the refusal name.
    pub(super) fn subject(&self) -> Option<Subject> {
        let document = &self.0;
        let events = newest(
            list(&document["events"])
                .iter()
                .map(|value| Arc::new(event(value)))
                .collect(),
        );
        let given = |key: &str, kind: &str| {
            let mut value = document.get(key).filter(|value| value.is_object())?.clone();
            if some_text(&value["kind"]).is_none() {
                value["kind"] = kind.into();
            }
            Some(value)
        };
        let node = given("node", "Node");
        let claim = given("pvc", "PersistentVolumeClaim");
        let related = list(&document["related"]);
        let pod = given("pod", "Pod");
        let around: Vec<&Value> = claim.iter().chain(&node).chain(related).collect();
        let refused = document.get("createError").filter(|error| !error.is_null());
        if let Some(error) = refused {
            let named = pod.as_ref().map(reference);
            let named = named.or_else(|| Some(events.first()?.object.clone()));
            let refusal = refusal(error);
            let object = named.unwrap_or_else(|| pod_of_message(&refusal.message));
            return Some(Subject {
                object,
                what: What::Refused(refusal),
                events,
                objects: Vec::new(),
            });
        }
        if let Some(pod) = pod {
            return Some(of_pod(&pod, events, &around));
        }
        if let Some(first) = around.first() {
            let rest = &around[1..];
            return Some(if first["kind"] == "Pod" {
                of_pod(first, events, rest)
            } else {
                of_object(first, events, rest)
            });
        }
        // Of several objects the Pod: what the others tell is evidence about it.
        let of_pod = events.iter().find(|event| event.object.kind == "Pod");
        let object = of_pod.or_else(|| events.first())?.object.clone();
        Some(named_by_events(object, events))
    }
}

/// The subjects among objects that are listed together.
pub(super) fn subjects(listed: &[Value]) -> Vec<Subject> {
    let of_kind = |kind: &'static str| listed.iter().filter(move |object| object["kind"] == kind);
    let events: Vec<Arc<EventView>> = of_kind("Event")
        .map(|value| Arc::new(event(value)))
        .collect();
    let others: Vec<&Value> = listed
        .iter()
        .filter(|object| object["kind"] != "Event" && object["kind"] != "Pod")
        .collect();
    let pods: Vec<Owned> = of_kind("Pod").map(|pod| Owned::of(pod, &others)).collect();
    let mut subjects: Vec<Subject> = pods
        .iter()
        .map(|owned| {
            let around = others.iter().copied().filter(|object| owned.is_of(object));
            of_pod(
                owned.pod,
                about_pod(owned.pod, &events),
                &around.collect::<Vec<_>>(),
            )
        })
        .collect();
    let podless = others
        .iter()
        .filter(|object| !pods.iter().any(|owned| owned.is_of(object)));
    subjects
        .extend(podless.map(|object| of_object(object, about(&reference(object), &events), &[])));
    if subjects.is_empty() {
        // Events alone: each object that they name.
        let mut named: Vec<ObjectRef> = Vec::new();
        for event in &events {
            let object = ObjectRef {
                field: String::new(),
                ..event.object.clone()
            };
            let is_known = |known: &ObjectRef| {
                event.is_of_object(known) && known.namespace == object.namespace
            };
            if !named.iter().any(is_known) {
                named.push(object);
            }
        }
        subjects.extend(named.into_iter().map(|object| {
            let events = about(&object, &events);
            named_by_events(object, events)
        }));
    }
    subjects
}

/// A Pod of a list, with its owners there.
struct Owned<'a> {
    pod: &'a Value,
    owners: Vec<&'a Value>,
}

impl<'a> Owned<'a> {
    fn of(pod: &'a Value, others: &[&'a Value]) -> Self {
        let names = |object: &&&Value| {
            let owners = list(&pod["metadata"]["ownerReferences"]);
            owners.iter().any(|owner| is_named(object, owner))
        };
        Self {
            pod,
            owners: others.iter().filter(names).copied().collect(),
        }
    }

    /// Whether it is a Pod of that object: it runs there, uses it, or is owned by it or by what it owns.
    fn is_of(&self, object: &Value) -> bool {
        let (pod, name) = (self.pod, &object["metadata"]["name"]);
        match object["kind"].as_str() {
            Some("Node") => pod["spec"]["nodeName"] == *name && name.is_string(),
            Some("PersistentVolumeClaim") => {
                let mut volumes = list(&pod["spec"]["volumes"]).iter();
                let uses = |volume: &Value| volume["persistentVolumeClaim"]["claimName"] == *name;
                is_beside(object, pod) && volumes.any(uses)
            }
            _ => owns(object, pod) || self.owners.iter().any(|between| owns(object, between)),
        }
    }
}

/// Whether an owner reference is one to that object; they are always to the namespace of what is owned.
fn is_named(object: &Value, owner: &Value) -> bool {
    owner["kind"] == object["kind"] && owner["name"] == object["metadata"]["name"]
}

/// Whether both are in the same namespace.
fn is_beside(one: &Value, other: &Value) -> bool {
    one["metadata"]["namespace"] == other["metadata"]["namespace"]
}

fn owns(object: &Value, owned: &Value) -> bool {
    let mut owners = list(&owned["metadata"]["ownerReferences"]).iter();
    owners.any(|owner| is_named(object, owner)) && is_beside(object, owned)
}

/// The Events of a list that name that object.
fn about(object: &ObjectRef, events: &[Arc<EventView>]) -> Vec<Arc<EventView>> {
    let events = events.iter().filter(|event| {
        let same_namespace = event.object.namespace.is_empty()
            || object.namespace.is_empty()
            || event.object.namespace == object.namespace;
        event.is_of_object(object) && same_namespace
    });
    newest(events.cloned().collect())
}

/// The Events of a list that name a Pod, its node or one of its claims.
fn about_pod(pod: &Value, events: &[Arc<EventView>]) -> Vec<Arc<EventView>> {
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
    let around = around.iter().flat_map(|object| about(object, events));
    let mut all = about(&own, events);
    all.extend(around);
    newest(all)
}

/// The newest of these Events.
fn newest(mut events: Vec<Arc<EventView>>) -> Vec<Arc<EventView>> {
    events.sort_by_key(|event| event.seen());
    let surplus = events.len().saturating_sub(MOST_EVENTS);
    events.drain(..surplus);
    events
}

fn of_pod(pod: &Value, mut events: Vec<Arc<EventView>>, around: &[&Value]) -> Subject {
    // A claim of another namespace may have the same name.
    let namespace = text(&pod["metadata"]["namespace"]);
    events.retain(|event| {
        let other = &event.object.namespace;
        namespace.is_empty()
            || other.is_empty()
            || *other == namespace
            || event.object.kind == "Node"
    });
    let node = around
        .iter()
        .find(|object| object["kind"] == "Node")
        .map(|value| node(value));
    Subject {
        object: ObjectRef {
            kind: "Pod".to_owned(),
            ..reference(pod)
        },
        what: What::Pod(Box::new(pod::view(pod)), node),
        events,
        objects: around.iter().map(|value| object(value)).collect(),
    }
}

fn of_object(value: &Value, events: Vec<Arc<EventView>>, around: &[&Value]) -> Subject {
    let pods = around.iter().filter(|other| other["kind"] == "Pod");
    Subject {
        object: reference(value),
        what: What::Object(object(value), pods.map(|pod| pod::view(pod)).collect()),
        events,
        objects: around.iter().map(|value| object(value)).collect(),
    }
}

/// An object of which nothing is known but its Events.
fn named_by_events(object: ObjectRef, events: Vec<Arc<EventView>>) -> Subject {
    if object.kind == "Pod" {
        let manifest = serde_json::json!({
            "kind": "Pod",
            "metadata": {"name": object.name, "namespace": object.namespace, "uid": object.uid},
        });
        return of_pod(&manifest, events, &[]);
    }
    let view = ObjectView {
        object: object.clone(),
        ..ObjectView::default()
    };
    Subject {
        object,
        what: What::Object(view, Vec::new()),
        events,
        objects: Vec::new(),
    }
}

/// The answer to a create: a `Status`, or its message.
fn refusal(error: &Value) -> Refusal {
    let message = some_text(error).unwrap_or_else(|| text(&error["message"]));
    let code = number(&error["code"]).and_then(|code| u16::try_from(code).ok());
    Refusal {
        child: String::new(),
        slot: Some(0),
        at: Timestamp::UNIX_EPOCH,
        code: code.unwrap_or_default(),
        reason: text(&error["reason"]),
        message,
    }
}

/// A create without a name is one of a Pod.
fn pod_of_message(message: &str) -> ObjectRef {
    let name = message
        .split_once("pods \"")
        .and_then(|(_, rest)| rest.split_once('"'));
    ObjectRef {
        kind: "Pod".to_owned(),
        name: name.map_or_else(String::new, |(name, _)| name.to_owned()),
        ..ObjectRef::default()
    }
}

impl Subject {
    /// What is wrong with it.
    pub(super) fn answer(&self, now: Timestamp) -> Answer {
        match &self.what {
            What::Pod(pod, node) => {
                let fault = self.judge(pod, node.as_ref(), now);
                Answer::of_pod(&self.object, pod, &fault)
            }
            What::Object(object, pods) => {
                let mut fault = identify_object(object, self.events.iter().map(Arc::as_ref));
                let beneath = pods.iter().map(|pod| self.judge(pod, None, now).class);
                for class in beneath.filter(|class| *class != Class::NoFault) {
                    if !fault.contributing.contains(&class) {
                        fault.contributing.push(class);
                    }
                }
                Answer::of_object(&self.object, &fault)
            }
            What::Refused(refusal) => {
                let fault = Fault {
                    at: None,
                    ..identify_refusal(refusal)
                };
                Answer::of_object(&self.object, &fault)
            }
        }
    }

    fn judge(&self, pod: &PodView, node: Option<&NodeView>, now: Timestamp) -> Fault {
        let evidence = Evidence {
            node,
            events: &self.events,
            objects: &self.objects,
            ..Evidence::of(pod)
        };
        identify(&evidence, now)
    }
}
