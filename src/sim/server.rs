//! An API server in memory: objects, versions, preconditions, and a log of every change.
//!
//! Rule: it answers as a real one does; the script in `tests/api-calls.yaml` is answered by both, and the answers must
//! be the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::kind::{Call, Kind, Part, Verb};

mod answer;
mod removal;

pub(super) use answer::{Answer, Refusal, code_of};

/// Who made a request or a change.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Actor {
    /// An operator, by number.
    Operator(usize),
    /// The person of the scenario.
    User,
    /// The rest of Kubernetes: scheduler, kubelets, garbage collector, node controller.
    System(&'static str),
}

/// Where an object is.
pub(super) type Address = (Kind, String, String);

/// One change of one object.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) version: u64,
    pub(super) at: Timestamp,
    pub(super) actor: Actor,
    pub(super) address: Address,
    pub(super) part: Part,
    pub(super) before: Option<Arc<Value>>,
    /// `None`: the object is gone; then `before` has the version of its end.
    pub(super) after: Option<Arc<Value>>,
}

/// The API server.
pub(super) struct Server {
    pub(super) now: Timestamp,
    version: u64,
    uids: u64,
    objects: BTreeMap<Address, Arc<Value>>,
    /// Every change since the beginning, in order.
    pub(super) changes: Vec<Change>,
    /// Versions up to this one are forgotten: a watch from there on is expired.
    pub(super) compacted: u64,
    /// The answer to every create of that kind, while somebody wants it so.
    pub(super) refuses: Option<(Kind, Refusal)>,
}

impl Server {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            now,
            // No version is 0: that means "any".
            version: 100,
            uids: 0,
            objects: BTreeMap::new(),
            changes: Vec::new(),
            compacted: 0,
            refuses: None,
        }
    }

    /// The version of the last change.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Answers everything but a watch.
    pub(super) fn call(&mut self, actor: &Actor, call: &Call) -> Answer {
        match call.verb {
            Verb::Get | Verb::Watch => self.existing(call).map(|object| (*object).clone()),
            Verb::List => Ok(self.list(call)),
            Verb::Create => self.create(actor, call),
            Verb::Patch => self.patch(actor, call),
            Verb::Update => self.update(actor, call),
            Verb::Delete => self.delete(actor, call),
        }
    }

    /// The object at that place.
    pub(super) fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Arc<Value>> {
        self.objects
            .get(&(kind, namespace.to_owned(), name.to_owned()))
    }

    /// All objects of a kind.
    pub(super) fn all(&self, kind: Kind) -> impl Iterator<Item = (&Address, &Arc<Value>)> {
        let begin: Address = (kind, String::new(), String::new());
        self.objects
            .range(begin..)
            .take_while(move |(address, _)| address.0 == kind)
    }

    fn existing(&self, call: &Call) -> Result<Arc<Value>, Refusal> {
        self.get(call.kind, &call.namespace, &call.name)
            .cloned()
            .ok_or_else(|| Refusal::not_found(call.kind, &call.name))
    }

    fn list(&self, call: &Call) -> Value {
        let after = call.query("continue").unwrap_or_default();
        let limit: usize = call
            .query("limit")
            .and_then(|n| n.parse().ok())
            .unwrap_or(usize::MAX);
        let mut matching = self
            .all(call.kind)
            .filter(|((_, namespace, _), _)| {
                call.namespace.is_empty() || *namespace == call.namespace
            })
            .filter(|(_, object)| selects(call, object))
            .filter(|((_, namespace, name), _)| format!("{namespace}.{name}").as_str() > after);
        let items: Vec<Value> = matching
            .by_ref()
            .take(limit)
            .map(|(_, o)| (**o).clone())
            .collect();
        let more = matching.next().is_some();
        let last = items
            .last()
            .filter(|_| more)
            .map_or_else(String::new, |object| {
                let meta = &object["metadata"];
                format!(
                    "{}.{}",
                    meta["namespace"].as_str().unwrap_or(""),
                    meta["name"].as_str().unwrap_or("")
                )
            });
        json!({"kind": format!("{}List", call.kind.name()), "apiVersion": call.kind.api_version(),
            "metadata": {"resourceVersion": self.version.to_string(), "continue": last}, "items": items})
    }

    fn create(&mut self, actor: &Actor, call: &Call) -> Answer {
        let mut object = call.body.clone();
        let name = object["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if let Some((kind, refusal)) = &self.refuses
            && *kind == call.kind
        {
            return Err(Refusal {
                name: name.clone(),
                ..refusal.clone()
            });
        }
        if self.get(call.kind, &call.namespace, &name).is_some() {
            return Err(Refusal::already_exists(call.kind, &name));
        }
        if object["metadata"]["resourceVersion"]
            .as_str()
            .is_some_and(|version| !version.is_empty())
        {
            return Err(Refusal::invalid(
                "resourceVersion should not be set on objects to be created",
            ));
        }
        object["kind"] = call.kind.name().into();
        object["apiVersion"] = call.kind.api_version().into();
        if call.query("dryRun").is_some() {
            return Ok(object);
        }
        let uid = self.new_uid(call.kind);
        let meta = &mut object["metadata"];
        if !call.namespace.is_empty() {
            meta["namespace"] = call.namespace.clone().into();
        }
        meta["uid"] = uid.into();
        meta["creationTimestamp"] = time(self.now).into();
        if call.kind.has_generation() {
            meta["generation"] = 1.into();
        }
        match call.kind {
            Kind::Tree | Kind::Worker => object["status"] = json!({"observedGeneration": -1}),
            Kind::Pod => object["status"] = json!({"phase": "Pending"}),
            Kind::Node
            | Kind::Event
            | Kind::Claim
            | Kind::Quota
            | Kind::Lease
            | Kind::Revision
            | Kind::DisruptionBudget => {}
        }
        Ok(self.store(
            actor,
            (call.kind, call.namespace.clone(), name),
            Part::Main,
            object,
        ))
    }

    fn patch(&mut self, actor: &Actor, call: &Call) -> Answer {
        let old = self.existing(call)?;
        Self::check_version(call, &old, &call.body)?;
        let mut new = (*old).clone();
        match call.part {
            Part::Main => {
                let mut body = call.body.clone();
                if call.kind == Kind::Claim {
                    merge_owners(&old, &mut body);
                }
                if call.kind == Kind::Pod {
                    merge_containers(&old, &mut body);
                }
                merge(&mut new, &body);
                if call.kind.has_status() {
                    new["status"] = old["status"].clone();
                }
            }
            Part::Status => {
                merge(&mut new["status"], &call.body["status"]);
            }
            Part::Scale => {
                new["spec"]["replicas"] = call.body["spec"]["replicas"].clone();
            }
        }
        let new = self.replace(actor, call, &old, new);
        Ok(if call.part == Part::Scale {
            scale_of(&new)
        } else {
            new
        })
    }

    fn update(&mut self, actor: &Actor, call: &Call) -> Answer {
        let old = self.existing(call)?;
        Self::check_version(call, &old, &call.body)?;
        let without = call.body["metadata"]["resourceVersion"]
            .as_str()
            .is_none_or(str::is_empty);
        if without && call.kind.is_custom() {
            return Err(Refusal::invalid(
                "metadata.resourceVersion: must be specified for an update",
            ));
        }
        let mut new = call.body.clone();
        match call.part {
            Part::Status => {
                new = (*old).clone();
                new["status"] = call.body["status"].clone();
            }
            Part::Main | Part::Scale if call.kind.has_status() => {
                new["status"] = old["status"].clone();
            }
            Part::Main | Part::Scale => {}
        }
        Ok(self.replace(actor, call, &old, new))
    }

    fn check_version(call: &Call, old: &Value, body: &Value) -> Result<(), Refusal> {
        let wanted = body["metadata"]["resourceVersion"]
            .as_str()
            .unwrap_or_default();
        if wanted.is_empty() || wanted == old["metadata"]["resourceVersion"] {
            return Ok(());
        }
        Err(Refusal::conflict(call.kind, &call.name))
    }

    /// Stores what a write made of an object, or ends the object when nothing holds it any more.
    fn replace(&mut self, actor: &Actor, call: &Call, old: &Value, mut new: Value) -> Value {
        for fixed in [
            "uid",
            "name",
            "namespace",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "generation",
            "resourceVersion",
        ] {
            match old["metadata"].get(fixed) {
                Some(value) => new["metadata"][fixed] = value.clone(),
                None => drop(
                    new["metadata"]
                        .as_object_mut()
                        .map(|meta| meta.remove(fixed)),
                ),
            }
        }
        drop_empty_lists(&mut new["metadata"]);
        if new == *old {
            return new;
        }
        if call.kind.has_generation() && new["spec"] != old["spec"] {
            new["metadata"]["generation"] = (generation(old) + 1).into();
        }
        let address = (call.kind, call.namespace.clone(), call.name.clone());
        let held = new["metadata"]["finalizers"]
            .as_array()
            .is_some_and(|list| !list.is_empty());
        // A Pod that is being deleted without a grace left is waited for by nobody.
        let waits =
            call.kind == Kind::Pod && new["metadata"]["deletionGracePeriodSeconds"] != json!(0);
        if !new["metadata"]["deletionTimestamp"].is_null() && !held && !waits {
            return self.end(actor, address, new);
        }
        self.store(actor, address, call.part, new)
    }

    /// Changes an object as the rest of Kubernetes does: no precondition, any part.
    pub(super) fn edit(
        &mut self,
        actor: &Actor,
        address: &Address,
        change: impl FnOnce(&mut Value),
    ) {
        let Some(old) = self.objects.get(address).cloned() else {
            return;
        };
        let mut new = (*old).clone();
        change(&mut new);
        if new == *old {
            return;
        }
        let part = if new["spec"] == old["spec"] {
            Part::Status
        } else {
            Part::Main
        };
        if address.0.is_custom() && part == Part::Main {
            new["metadata"]["generation"] = (generation(&old) + 1).into();
        }
        self.store(actor, address.clone(), part, new);
    }

    fn store(&mut self, actor: &Actor, address: Address, part: Part, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        let stored = Arc::new(object.clone());
        let before = self.objects.insert(address.clone(), Arc::clone(&stored));
        self.log(actor, address, part, before, Some(stored));
        object
    }

    fn log(
        &mut self,
        actor: &Actor,
        address: Address,
        part: Part,
        before: Option<Arc<Value>>,
        after: Option<Arc<Value>>,
    ) {
        self.changes.push(Change {
            version: self.version,
            at: self.now,
            actor: actor.clone(),
            address,
            part,
            before,
            after,
        });
    }

    fn new_uid(&mut self, kind: Kind) -> String {
        self.uids += 1;
        format!("{}-{:08}", kind.name().to_lowercase(), self.uids)
    }
}

/// Whether the selectors of a request select an object: one of labels in the form `label` (it exists) or `label=value`,
/// and one of fields in the form `field=value` or `field!=value`, several with commas.
pub(super) fn selects(call: &Call, object: &Value) -> bool {
    let labels = &object["metadata"]["labels"];
    let has_label = |selector: &str| match selector.split_once('=') {
        Some((label, value)) => labels[label] == value,
        None => labels.get(selector).is_some(),
    };
    let field = |path: &str| {
        path.split('.')
            .fold(object, |object, name| &object[name])
            .as_str()
            .unwrap_or_default()
    };
    let has_field = |selector: &str| match selector.split_once("!=") {
        Some((path, value)) => field(path) != value,
        None => selector
            .split_once('=')
            .is_none_or(|(path, value)| field(path) == value),
    };
    let of = |name| call.query(name).filter(|selector| !selector.is_empty());
    of("labelSelector").is_none_or(has_label)
        && of("fieldSelector").is_none_or(|all| all.split(',').all(has_field))
}

/// JSON merge patch (RFC 7386).
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in fields {
        if value.is_null() {
            drop(target.as_object_mut().map(|object| object.remove(name)));
        } else {
            merge(&mut target[name], value);
        }
    }
}

/// Puts in place of the references to owners in a strategic merge patch those that it makes: they are merged by UID.
fn merge_owners(old: &Value, patch: &mut Value) {
    let Some(patched) = patch["metadata"]["ownerReferences"].as_array().cloned() else {
        return;
    };
    let known = old["metadata"]["ownerReferences"].as_array();
    let is_named = |owner: &&Value| patched.iter().any(|one| one["uid"] == owner["uid"]);
    let kept = known.into_iter().flatten().filter(|owner| !is_named(owner));
    let added = patched.iter().filter(|one| one["$patch"].is_null());
    patch["metadata"]["ownerReferences"] = kept.chain(added).cloned().collect();
}

/// Puts in place of the containers in a strategic merge patch those that it makes: they are merged by name.
fn merge_containers(old: &Value, patch: &mut Value) {
    let Some(patched) = patch["spec"]["containers"].as_array().cloned() else {
        return;
    };
    let mut merged = old["spec"]["containers"].clone();
    for container in merged.as_array_mut().into_iter().flatten() {
        let mut named = patched.iter();
        if let Some(change) = named.find(|one| one["name"] == container["name"]) {
            merge(container, change);
        }
    }
    patch["spec"]["containers"] = merged;
}

fn drop_empty_lists(meta: &mut Value) {
    if let Some(meta) = meta.as_object_mut() {
        meta.retain(|_, value| !value.as_array().is_some_and(Vec::is_empty));
    }
}

fn generation(object: &Value) -> i64 {
    object["metadata"]["generation"]
        .as_i64()
        .unwrap_or_default()
}

fn scale_of(worker: &Value) -> Value {
    let meta = &worker["metadata"];
    json!({"kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"],
            "resourceVersion": meta["resourceVersion"], "creationTimestamp": meta["creationTimestamp"]},
        "spec": {"replicas": worker["spec"]["replicas"]},
        "status": {"replicas": worker["status"]["replicas"].as_i64().unwrap_or_default()}})
}

/// A time as the API server writes it.
pub(super) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests;
