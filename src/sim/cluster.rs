//! The rest of Kubernetes: scheduler, kubelets, node controller, garbage collector.
//!
//! Rule: it looks at everything after each change and when something is due, and knows nothing of supervision.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::kind::{Call, Kind, Part, Verb};
use super::objects::{child_of, is_deleting, slot_of};
use super::server::{Actor, Address, Change, Refusal, Server, time};

mod garbage;
mod kubelet;
pub(super) mod nodes;

use kubelet::Run;

/// How the program of a child behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// Becomes Ready and stays.
    Healthy,
    /// Ends that many seconds after its start, with that code.
    Crash(i64, i32),
    /// Runs and never becomes Ready.
    Hang,
    /// The image cannot be pulled.
    NoImage,
    /// No node fits.
    NoCapacity,
    /// The kubelet rejects the Pod.
    Rejected,
}

/// Everything in the cluster that is not the API server and not an operator.
#[derive(Default)]
pub(super) struct Cluster {
    /// By child, or by child and slot (`api/1`); what is not named is healthy.
    pub(super) behaviours: BTreeMap<String, Behaviour>,
    /// What the kubelets remember of each Pod, by UID.
    runs: BTreeMap<String, Run>,
    /// Since when machines are off, by node.
    off: BTreeMap<String, Timestamp>,
    /// How many changes the garbage collector has looked at.
    collected: usize,
}

impl Cluster {
    /// Makes every step that is due. Returns when the next one will be.
    pub(super) fn tick(&mut self, server: &mut Server) -> Option<Timestamp> {
        let mut next: Option<Timestamp> = None;
        let mut due = |time: Option<Timestamp>| {
            if let Some(time) = time {
                next = Some(next.map_or(time, |next| next.min(time)));
            }
        };
        due(self.tend_nodes(server));
        let pods: Vec<Address> = server
            .all(Kind::Pod)
            .map(|(address, _)| address.clone())
            .collect();
        for address in pods {
            due(self.tend_pod(server, &address));
        }
        self.collect(server);
        next
    }

    /// Lets the garbage collector look, when something was made, is being deleted or is gone since it last looked.
    fn collect(&mut self, server: &mut Server) {
        let counts = |change: &Change| {
            change.before.is_none() || change.after.as_deref().is_none_or(is_deleting)
        };
        let news = server.changes[self.collected..].iter().any(counts);
        self.collected = server.changes.len();
        if news {
            garbage::collect(server);
        }
    }

    fn behaviour(&self, pod: &Value) -> Behaviour {
        let (child, slot) = (child_of(pod), slot_of(pod));
        let of_slot = self.behaviours.get(&format!("{child}/{slot}"));
        of_slot
            .or_else(|| self.behaviours.get(child))
            .copied()
            .unwrap_or(Behaviour::Healthy)
    }
}

/// The names of all nodes.
pub(super) const NODES: [&str; 3] = ["node-a", "node-b", "node-c"];

/// Registers the nodes.
pub(super) fn register_nodes(server: &mut Server) {
    for name in NODES {
        register_node(server, name);
    }
}

/// Registers a node, if it is not registered.
pub(super) fn register_node(server: &mut Server, name: &str) {
    if server.get(Kind::Node, "", name).is_some() {
        return;
    }
    let body = json!({"metadata": {"name": name}, "spec": {},
        "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady",
            "lastTransitionTime": time(server.now)}]}});
    let call = Call {
        verb: Verb::Create,
        kind: Kind::Node,
        namespace: String::new(),
        name: String::new(),
        part: Part::Main,
        query: Vec::new(),
        body,
    };
    let created: Result<Value, Refusal> = server.call(&Actor::System("kubelet"), &call);
    created.expect("a node can be registered");
}

fn after(time: Timestamp, millis: i64) -> Timestamp {
    time + SignedDuration::from_millis(millis)
}

/// Sets a condition; its time changes with its status.
fn set_condition(
    object: &mut Value,
    type_: &str,
    status: &str,
    reason: &str,
    message: &str,
    now: Timestamp,
) {
    let list = &mut object["status"]["conditions"];
    if !list.is_array() {
        *list = json!([]);
    }
    let list = list.as_array_mut().expect("it is a list by now");
    let mut new = json!({"type": type_, "status": status, "lastTransitionTime": time(now)});
    for (field, text) in [("reason", reason), ("message", message)] {
        if !text.is_empty() {
            new[field] = text.into();
        }
    }
    match list.iter_mut().find(|known| known["type"] == type_) {
        Some(old) => {
            if old["status"] == status {
                new["lastTransitionTime"] = old["lastTransitionTime"].clone();
            }
            *old = new;
        }
        None => list.push(new),
    }
}
