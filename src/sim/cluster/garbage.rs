//! The garbage collector: what has lost its owners goes; foreground and orphan deletion end.
//!
//! Rule: an owner is its UID, never its name.

use std::collections::BTreeSet;

use serde_json::Value;

use super::nodes::delete;
use crate::sim::kind::Kind;
use crate::sim::server::{Actor, Address, Server};

const COLLECTOR: Actor = Actor::System("garbage-collector");

/// Collects what may be collected.
pub(super) fn collect(server: &mut Server) {
    let kinds = [
        Kind::Tree,
        Kind::Worker,
        Kind::Revision,
        Kind::DisruptionBudget,
        Kind::Pod,
        Kind::Claim,
    ];
    let all: Vec<(Address, std::sync::Arc<Value>)> = kinds
        .into_iter()
        .flat_map(|kind| {
            server
                .all(kind)
                .map(|(address, object)| (address.clone(), object.clone()))
                .collect::<Vec<_>>()
        })
        .collect();
    let uids: BTreeSet<&str> = all
        .iter()
        .filter_map(|(_, object)| object["metadata"]["uid"].as_str())
        .collect();
    for (address, object) in &all {
        let meta = &object["metadata"];
        let owners: Vec<&str> = meta["ownerReferences"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|o| o["uid"].as_str())
            .collect();
        let lost = !owners.is_empty() && owners.iter().all(|uid| !uids.contains(uid));
        if lost && meta["deletionTimestamp"].is_null() {
            drop(server.call(&COLLECTOR, &delete(address)));
        }
        if meta["deletionTimestamp"].is_null() {
            continue;
        }
        let uid = meta["uid"].as_str().unwrap_or_default();
        let dependents: Vec<&Address> = all
            .iter()
            .filter(|(_, other)| {
                let owners = other["metadata"]["ownerReferences"].as_array();
                owners
                    .into_iter()
                    .flatten()
                    .any(|owner| owner["uid"] == uid)
            })
            .map(|(address, _)| address)
            .collect();
        if holds(meta, "orphan") {
            for dependent in &dependents {
                server.edit(&COLLECTOR, dependent, |object| disown(object, uid));
            }
            release(server, address, "orphan");
        } else if holds(meta, "foregroundDeletion") {
            for dependent in &dependents {
                let kind = dependent.0;
                let going = server
                    .get(kind, &dependent.1, &dependent.2)
                    .is_some_and(|object| !object["metadata"]["deletionTimestamp"].is_null());
                if !going {
                    let mut call = delete(dependent);
                    if kind != Kind::Pod {
                        call.body["propagationPolicy"] = "Foreground".into();
                    }
                    drop(server.call(&COLLECTOR, &call));
                }
            }
            if dependents.is_empty() {
                release(server, address, "foregroundDeletion");
            }
        }
    }
}

fn holds(meta: &Value, finalizer: &str) -> bool {
    meta["finalizers"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|name| name == finalizer)
}

fn disown(object: &mut Value, uid: &str) {
    let meta = &mut object["metadata"];
    if let Some(owners) = meta["ownerReferences"].as_array_mut() {
        owners.retain(|owner| owner["uid"] != uid);
        if owners.is_empty() {
            drop(
                meta.as_object_mut()
                    .map(|meta| meta.remove("ownerReferences")),
            );
        }
    }
}

fn release(server: &mut Server, address: &Address, finalizer: &str) {
    server.unfinalize(&COLLECTOR, address, finalizer);
}
