//! Machines that go off and on, and what the node controller and the taint manager make of it.
//!
//! Rule: what runs on a machine that is off stays in the API until somebody proves it dead.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::kubelet::age;
use super::{Cluster, after, set_condition};
use crate::sim::kind::{Call, Kind, Part, Verb};
use crate::sim::server::{Actor, Address, Server};

/// How long a node may be silent.
const GRACE: i64 = 40;
/// How long after it was missed a node is tainted, from when on what runs there is evicted.
const HESITATION: i64 = 5;
/// How long a Pod may stay bound to a node that does not exist, or that is out of service.
const ORPHANED: i64 = 40;

const CONTROLLER: Actor = Actor::System("node-controller");
pub(in crate::sim) const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

impl Cluster {
    /// A machine goes off.
    pub(in crate::sim) fn power_off(&mut self, node: &str, now: Timestamp) {
        self.off.entry(node.to_owned()).or_insert(now);
    }

    /// Whether a machine is off.
    pub(in crate::sim) fn is_off(&self, node: &str) -> bool {
        self.off.contains_key(node)
    }

    /// A machine comes back: what ran there has ended.
    pub(in crate::sim) fn power_on(&mut self, server: &Server, node: &str) {
        if self.off.remove(node).is_none() {
            return;
        }
        for (_, pod) in server
            .all(Kind::Pod)
            .filter(|(_, pod)| pod["spec"]["nodeName"] == node)
        {
            self.kill(pod["metadata"]["uid"].as_str().unwrap_or_default(), 255);
        }
    }

    pub(super) fn tend_nodes(&mut self, server: &mut Server) -> Option<Timestamp> {
        let now = server.now;
        let nodes: Vec<Address> = server
            .all(Kind::Node)
            .map(|(address, _)| address.clone())
            .collect();
        let mut next = None;
        for address in nodes {
            let silent = self.off.get(&address.2).copied();
            match silent {
                Some(since) if age(since, now) < SignedDuration::from_secs(GRACE) => {
                    next = earliest(next, Some(after(since, GRACE * 1000)));
                }
                Some(since) => {
                    let tainted_at = after(since, (GRACE + HESITATION) * 1000);
                    server.edit(&CONTROLLER, &address, |node| {
                        set_condition(node, "Ready", "Unknown", "NodeStatusUnknown", "", now);
                        if now >= tainted_at {
                            taint(node, "node.kubernetes.io/unreachable");
                        }
                    });
                    next = earliest(next, Some(tainted_at).filter(|time| *time > now));
                }
                None if !is_lost(server, &address) => {}
                None => server.edit(&CONTROLLER, &address, |node| {
                    set_condition(node, "Ready", "True", "KubeletReady", "", now);
                    untaint(node, "node.kubernetes.io/unreachable");
                }),
            }
        }
        next = earliest(next, self.evict(server));
        next
    }

    /// Pods on nodes that do not answer, are out of service, or do not exist.
    fn evict(&mut self, server: &mut Server) -> Option<Timestamp> {
        let now = server.now;
        let mut next = None;
        let bound: Vec<(Address, Arc<Value>)> = server
            .all(Kind::Pod)
            .filter(|(_, pod)| pod["spec"]["nodeName"].is_string())
            .map(|(address, pod)| (address.clone(), Arc::clone(pod)))
            .collect();
        for (address, pod) in bound {
            let name = pod["spec"]["nodeName"].as_str().unwrap_or_default();
            let Some(node) = server.get(Kind::Node, "", name).cloned() else {
                let due = after(
                    *self.off.entry(name.to_owned()).or_insert(now),
                    ORPHANED * 1000,
                );
                if due <= now {
                    server.remove(&Actor::System("pod-gc"), &address);
                } else {
                    next = earliest(next, Some(due));
                }
                continue;
            };
            if !has_taint(&node, "node.kubernetes.io/unreachable") {
                continue;
            }
            let silent = self.off.get(name).copied().unwrap_or(now);
            if has_taint(&node, OUT_OF_SERVICE) {
                server.remove(&Actor::System("pod-gc"), &address);
                continue;
            }
            server.edit(&CONTROLLER, &address, |pod| {
                set_condition(pod, "Ready", "False", "NodeLost", "", now);
            });
            if !pod["metadata"]["deletionTimestamp"].is_null() {
                continue;
            }
            let due = after(silent, (GRACE + HESITATION + tolerated(&pod)) * 1000);
            if due > now {
                next = earliest(next, Some(due));
                continue;
            }
            let evictor = Actor::System("taint-eviction-controller");
            server.edit(&evictor, &address, |pod| {
                let message = "Taint manager: deleting due to NoExecute taint";
                set_condition(
                    pod,
                    "DisruptionTarget",
                    "True",
                    "DeletionByTaintManager",
                    message,
                    now,
                );
            });
            let call = delete(&address);
            // It may be gone already.
            drop(server.call(&evictor, &call));
        }
        next
    }
}

/// A delete without preconditions.
pub(super) fn delete(address: &Address) -> Call {
    Call {
        verb: Verb::Delete,
        kind: address.0,
        namespace: address.1.clone(),
        name: address.2.clone(),
        part: Part::Main,
        query: Vec::new(),
        body: json!({"propagationPolicy": "Background"}),
    }
}

fn tolerated(pod: &Value) -> i64 {
    let tolerations = pod["spec"]["tolerations"].as_array();
    let unreachable = |t: &&Value| t["key"] == "node.kubernetes.io/unreachable";
    let toleration = tolerations.into_iter().flatten().find(unreachable);
    toleration
        .and_then(|t| t["tolerationSeconds"].as_i64())
        .unwrap_or(300)
}

fn is_lost(server: &Server, node: &Address) -> bool {
    let node = server.get(Kind::Node, "", &node.2);
    let conditions = node.and_then(|node| node["status"]["conditions"].as_array());
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|one| one["type"] == "Ready" && one["status"] == "Unknown")
}

pub(in crate::sim) fn has_taint(node: &Value, key: &str) -> bool {
    node["spec"]["taints"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|taint| taint["key"] == key)
}

pub(in crate::sim) fn taint(node: &mut Value, key: &str) {
    if has_taint(node, key) {
        return;
    }
    let list = &mut node["spec"]["taints"];
    if !list.is_array() {
        *list = json!([]);
    }
    list.as_array_mut()
        .expect("it is a list by now")
        .push(json!({"key": key, "effect": "NoExecute"}));
}

pub(in crate::sim) fn untaint(node: &mut Value, key: &str) {
    let Some(list) = node["spec"]["taints"].as_array_mut() else {
        return;
    };
    list.retain(|taint| taint["key"] != key);
    if list.is_empty() {
        drop(
            node["spec"]
                .as_object_mut()
                .map(|spec| spec.remove("taints")),
        );
    }
}

fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    [a, b].into_iter().flatten().min()
}
