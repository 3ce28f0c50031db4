//! How objects end: preconditions, grace, finalizers.
//!
//! Rule: nothing is gone before its grace is over and its finalizers are off.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Actor, Address, Answer, Refusal, Server, generation, time};
use crate::sim::kind::{Call, Kind, Part};

/// The grace of a Pod that names none.
const DEFAULT_GRACE: i64 = 30;

impl Server {
    pub(super) fn delete(&mut self, actor: &Actor, call: &Call) -> Answer {
        let old = self.existing(call)?;
        let meta = &old["metadata"];
        for (what, field) in [("UID", "uid"), ("ResourceVersion", "resourceVersion")] {
            let wanted = call.body["preconditions"][field].as_str();
            let found = meta[field].as_str().unwrap_or_default();
            if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
                return Err(Refusal::precondition(
                    call.kind, &call.name, what, wanted, found,
                ));
            }
        }
        let address = (call.kind, call.namespace.clone(), call.name.clone());
        let mut new = (*old).clone();
        match call.body["propagationPolicy"].as_str() {
            Some("Foreground") => add_finalizer(&mut new, "foregroundDeletion"),
            Some("Orphan") => add_finalizer(&mut new, "orphan"),
            _ => {}
        }
        let grace = Self::grace(call, &old);
        let held = new["metadata"]["finalizers"]
            .as_array()
            .is_some_and(|list| !list.is_empty());
        if grace == 0 && !held {
            let end = self.end(actor, address, (*old).clone());
            return Ok(if call.kind == Kind::Pod {
                end
            } else {
                success(call, &old)
            });
        }
        let meta = &mut new["metadata"];
        let known = meta["deletionGracePeriodSeconds"].as_i64();
        if meta["deletionTimestamp"].is_null() && call.kind.has_generation() {
            meta["generation"] = (generation(&old) + 1).into();
        }
        if known.is_none_or(|known| grace < known) {
            let end = later(self.now, grace);
            meta["deletionTimestamp"] = time(end).into();
            meta["deletionGracePeriodSeconds"] = grace.into();
        }
        if new == *old {
            return Ok(new);
        }
        Ok(self.store(actor, address, Part::Main, new))
    }

    /// How long the object has to end: nothing but a Pod that runs on a node has any time.
    fn grace(call: &Call, object: &Value) -> i64 {
        let ended = matches!(
            object["status"]["phase"].as_str(),
            Some("Succeeded" | "Failed")
        );
        if call.kind != Kind::Pod || object["spec"]["nodeName"].is_null() || ended {
            return 0;
        }
        let asked = call.body["gracePeriodSeconds"].as_i64();
        let own = object["spec"]["terminationGracePeriodSeconds"].as_i64();
        asked.or(own).unwrap_or(DEFAULT_GRACE)
    }

    /// Ends an object. The log has it as it was, with the version of its end.
    pub(super) fn end(&mut self, actor: &Actor, address: Address, mut object: Value) -> Value {
        self.version += 1;
        self.objects.remove(&address);
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.log(
            actor,
            address,
            Part::Main,
            Some(object.clone().into()),
            None,
        );
        object
    }

    /// Ends an object without grace and whatever its finalizers say, as the last step of its deletion.
    pub(in crate::sim) fn remove(&mut self, actor: &Actor, address: &Address) {
        if let Some(object) = self.objects.get(address).cloned() {
            self.end(actor, address.clone(), (*object).clone());
        }
    }
}

fn add_finalizer(object: &mut Value, name: &str) {
    let list = &mut object["metadata"]["finalizers"];
    match list.as_array_mut() {
        Some(list) if list.iter().any(|known| known == name) => {}
        Some(list) => list.push(name.into()),
        None => *list = json!([name]),
    }
}

fn success(call: &Call, object: &Value) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": {"name": call.name, "kind": call.kind.plural(), "uid": object["metadata"]["uid"]}})
}

pub(in crate::sim) fn later(time: Timestamp, seconds: i64) -> Timestamp {
    time + SignedDuration::from_secs(seconds)
}

impl Server {
    /// Takes a finalizer off. An object that is being deleted ends with its last one.
    pub(in crate::sim) fn unfinalize(&mut self, actor: &Actor, address: &Address, finalizer: &str) {
        let Some(old) = self.objects.get(address).cloned() else {
            return;
        };
        let mut new = (*old).clone();
        if let Some(list) = new["metadata"]["finalizers"].as_array_mut() {
            list.retain(|name| name != finalizer);
        }
        let call = Call {
            verb: crate::sim::kind::Verb::Patch,
            kind: address.0,
            namespace: address.1.clone(),
            name: address.2.clone(),
            part: Part::Main,
            query: Vec::new(),
            body: Value::Null,
        };
        self.replace(actor, &call, &old, new);
    }
}
