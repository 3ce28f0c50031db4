//! Nodes that do not report, and what may become of the Pods on them.
//!
//! Rule: what a node lost is read off its taints and its Ready condition, as Kubernetes itself does.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::Facts;
use crate::sim::cluster::nodes::{OUT_OF_SERVICE, has_taint};
use crate::sim::kind::Kind;
use crate::sim::objects::{child_of, condition, has_ended, is_deleting, spec_of, uid_of};
use crate::sim::server::Server;

/// How long a Pod stays bound to a lost node where the spec does not say it, in seconds.
const NODE_LOSS_SECONDS: i64 = 60;

impl Facts {
    pub(super) fn node(&mut self, server: &Server, name: &str, node: Option<&Value>) {
        let silent = node.filter(|node| has_taint(node, "node.kubernetes.io/unreachable"));
        if silent.is_some() {
            self.silent.entry(name.to_owned()).or_insert(server.now);
        } else {
            self.silent.remove(name);
        }
        let ready = silent.and_then(|node| condition(node, "Ready"));
        let since = ready.and_then(|ready| ready["lastTransitionTime"].as_str()?.parse().ok());
        match since {
            Some(since) => drop(self.lost.insert(name.to_owned(), (since, None))),
            None => {
                if let Some((_, until)) = self.lost.get_mut(name) {
                    until.get_or_insert(server.now);
                }
            }
        }
    }

    /// Whether the node of a Pod has been lost for as long as the Pod is to stay bound to it, or was a moment ago.
    pub(in crate::sim::predicates) fn is_lost(
        &self,
        server: &Server,
        tree: &Value,
        pod: &Value,
        slack: SignedDuration,
    ) -> bool {
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        let Some((since, until)) = self.lost.get(node) else {
            return false;
        };
        let worker = spec_of(tree, child_of(pod)).map(|child| &child["worker"]);
        let patience = worker.and_then(|worker| worker["nodeLossSeconds"].as_i64());
        let patience = SignedDuration::from_secs(patience.unwrap_or(NODE_LOSS_SECONDS));
        let ended = until.unwrap_or(server.now);
        ended.duration_since(*since) >= patience && server.now.duration_since(ended) <= slack
    }

    /// Whether a Pod has been on its way out, on a node that does not answer and that nobody says is off, for more than a
    /// moment.
    pub(in crate::sim::predicates) fn waits_for_fence(
        &self,
        server: &Server,
        pod: &Value,
        slack: SignedDuration,
    ) -> bool {
        let name = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        let node = server.get(Kind::Node, "", name);
        let is_off = node.is_none_or(|node| has_taint(node, OUT_OF_SERVICE));
        let long = |since: Option<&Timestamp>| {
            since.is_some_and(|since| server.now.duration_since(*since) > slack)
        };
        let asked = self.ending.get(uid_of(pod));
        is_deleting(pod) && !has_ended(pod) && !is_off && long(self.silent.get(name)) && long(asked)
    }
}
