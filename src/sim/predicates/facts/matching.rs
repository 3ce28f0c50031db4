//! Whether a tree is as its spec asks, and when it last was.
//!
//! Rule: what has finished counts as up.

use jiff::Timestamp;
use serde_json::Value;

use super::Facts;
use crate::sim::kind::Kind;
use crate::sim::objects::{
    children, finished_slots, is_changing, is_deleting, is_enabled, is_over, is_ready, pods_of,
    quorum, revision_of, spec_of, uid_of, wanted_revision, worker_of,
};
use crate::sim::server::Server;

impl Facts {
    pub(super) fn note_match(&mut self, server: &Server) {
        for (_, tree) in server.all(Kind::Tree) {
            let uid = uid_of(tree);
            if self.matches(server, tree) {
                self.matching.insert(uid.to_owned());
            } else if self.matching.remove(uid) {
                self.matched.insert(uid.to_owned(), server.now);
            }
        }
    }

    /// Whether all that the spec asks for is up on the wanted template.
    fn matches(&mut self, server: &Server, tree: &Value) -> bool {
        if tree["spec"]["suspend"] == true {
            return true;
        }
        let generation = tree["metadata"]["generation"].as_i64().unwrap_or_default();
        let wanted = self
            .wanted
            .entry((uid_of(tree).to_owned(), generation))
            .or_insert_with(|| {
                let enabled = children(tree)
                    .iter()
                    .filter(|child| child["worker"].is_object() && is_enabled(tree, child));
                let name = |child: &Value| child["name"].as_str().unwrap_or_default().to_owned();
                enabled
                    .map(|child| (name(child), wanted_revision(child)))
                    .collect()
            });
        wanted.iter().all(|(child, revision)| {
            let Some(worker) = worker_of(server, tree, child) else {
                return false;
            };
            let up = pods_of(server, uid_of(&worker))
                .filter(|pod| {
                    let is_up = is_ready(pod) && !is_deleting(pod) && !is_changing(pod);
                    is_up && revision_of(pod) == revision
                })
                .count();
            let finished = finished_slots(tree, &worker).len();
            up + finished >= quorum(tree, &worker)
                || spec_of(tree, child).is_some_and(|spec| is_over(tree, spec))
        })
    }

    /// When that tree was last as its spec asks: now, or when that ended.
    pub(in crate::sim::predicates) fn last_match(
        &mut self,
        server: &Server,
        tree: &Value,
    ) -> Option<Timestamp> {
        if self.matches(server, tree) {
            return Some(server.now);
        }
        self.matched.get(uid_of(tree)).copied()
    }
}
