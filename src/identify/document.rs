//! What a file holds: objects, or evidence about one; and whom the answers are about.
//!
//! Rule: each Pod is answered for, and each object that has no Pod in the file; the rest is evidence.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::NotKubernetes;
use super::answer::Answer;
use super::evidence::{event, node, object, reference};
use super::fields::{list, newest_time, number, some_text, text};
use super::lease;
use super::listed::newest;
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

/// Most objects that are looked at around one.
const MOST_AROUND: usize = 64;

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
    Object(Box<ObjectView>, Vec<PodView>),
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
    /// or the refusal name. One that names nothing is about a Pod of which nothing is known.
    pub(super) fn subject(&self) -> Subject {
        let mut subject = self.named();
        let related = list(&self.0["related"]);
        let has_lease = lease::newest_beside_leases(related.iter()).is_some();
        subject.hear(newest_time(&self.0).filter(|_| has_lease));
        subject
    }

    fn named(&self) -> Subject {
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
        let around = claim.iter().chain(&node).chain(related);
        let around: Vec<&Value> = around.take(MOST_AROUND).collect();
        let refused = document.get("createError").filter(|error| !error.is_null());
        if let Some(error) = refused {
            let given = pod.as_ref().or_else(|| around.first().copied());
            let named = given.map(reference);
            let named = named.or_else(|| named_first(&events));
            let refusal = refusal(error);
            let object = named.unwrap_or_else(|| pod_of_message(&refusal.message));
            return Subject {
                object,
                what: What::Refused(refusal),
                events,
                objects: Vec::new(),
            };
        }
        if let Some(pod) = pod {
            return of_pod(&pod, events, &around);
        }
        if let Some(first) = around.first() {
            let rest = &around[1..];
            return if first["kind"] == "Pod" {
                of_pod(first, events, rest)
            } else {
                of_object(first, events, rest)
            };
        }
        // Of several objects the Pod: what the others tell is evidence about it.
        let of_pod = events.iter().find(|event| event.object.kind == "Pod");
        let of_pod = of_pod.map(|event| event.object.clone());
        let named = of_pod.or_else(|| named_first(&events));
        named_by_events(named.unwrap_or_else(some_pod), events)
    }
}

pub(super) fn of_pod(pod: &Value, mut events: Vec<Arc<EventView>>, around: &[&Value]) -> Subject {
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

pub(super) fn of_object(value: &Value, events: Vec<Arc<EventView>>, around: &[&Value]) -> Subject {
    let pods = around.iter().filter(|other| other["kind"] == "Pod");
    Subject {
        object: reference(value),
        what: What::Object(
            Box::new(object(value)),
            pods.map(|pod| pod::view(pod)).collect(),
        ),
        events,
        objects: around.iter().map(|value| object(value)).collect(),
    }
}

/// An object of which nothing is known but its Events.
pub(super) fn named_by_events(object: ObjectRef, events: Vec<Arc<EventView>>) -> Subject {
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
        what: What::Object(Box::new(view), Vec::new()),
        events,
        objects: Vec::new(),
    }
}

/// The answer to a create: a `Status`, or its message.
fn refusal(error: &Value) -> Refusal {
    let message = some_text(error).unwrap_or_else(|| text(&error["message"]));
    let code = number(&error["code"]).and_then(|code| u16::try_from(code).ok());
    Refusal {
        kind: "Pod",
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
        name: name.map_or_else(String::new, |(name, _)| name.to_owned()),
        ..some_pod()
    }
}

/// What the first of these Events names that names anything.
fn named_first(events: &[Arc<EventView>]) -> Option<ObjectRef> {
    let mut named = events.iter().map(|event| &event.object);
    named
        .find(|object| **object != ObjectRef::default())
        .cloned()
}

/// A Pod of which nothing is known.
fn some_pod() -> ObjectRef {
    ObjectRef {
        kind: "Pod".to_owned(),
        ..ObjectRef::default()
    }
}

impl Subject {
    /// Takes note of the newest time that is told beside the Leases of nodes.
    pub(super) fn hear(&mut self, latest: Option<Timestamp>) {
        if let What::Object(object, _) = &mut self.what {
            lease::hear(object, latest);
        }
        for object in &mut self.objects {
            lease::hear(object, latest);
        }
    }

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
