//! The revisions of a tree at the end of a run: what its status says of them, and what its Pods are made from.
//!
//! Rule: which templates a tree is to be on is read off its status and the revision that is stored under that name, never off
//! its Workers.

use std::sync::Arc;

use serde_json::Value;

use super::kind::Kind;
use super::objects::{
    child_of, has_ended, is_changing, is_live, owners, revision_of, slot_of, uid_of,
};
use super::server::Server;
use super::world::World;
use crate::model::names;

/// How a tree ends whose new revision was taken back.
pub(super) const BACK: &str = "FFT RolledBack";

/// What is known of the revisions of a tree, the newest last.
fn known(tree: &Value) -> &[Value] {
    tree["status"]["revisions"]
        .as_array()
        .map_or(&[], Vec::as_slice)
}

fn is_good(known: &Value) -> bool {
    known["mark"] == "Good"
}

/// What is known of the revision that a tree is on.
fn present(tree: &Value) -> Option<&Value> {
    let number = &tree["status"]["revision"];
    known(tree).iter().find(|known| known["number"] == *number)
}

/// Whether a tree is on another revision than the one that its spec asks for.
fn is_back(tree: &Value) -> bool {
    let wanted = known(tree).last();
    wanted.is_some_and(|wanted| wanted["number"] != tree["status"]["revision"])
}

/// The template that a child has in the revision that its tree is on; `None` where that revision has no such child, or is not
/// stored.
pub(super) fn present_template<'a>(
    server: &'a Server,
    tree: &Value,
    child: &str,
) -> Option<&'a Value> {
    let name = present(tree)?["name"].as_str()?;
    let namespace = tree["metadata"]["namespace"].as_str()?;
    let stored = server.get(Kind::Revision, namespace, name)?;
    stored["data"]["templates"].get(child)
}

/// Whether a child runs in the revision that its tree is on: one that was added by a revision that was taken back is held.
pub(super) fn is_known(server: &Server, tree: &Value, child: &str) -> bool {
    !is_back(tree) || present_template(server, tree, child).is_some()
}

/// The marks of the revision that the spec asks for and of the one that the tree is on. Their numbers are left out: they say how
/// many edits were seen, which depends on when somebody looked.
pub(super) fn marks(tree: &Value) -> String {
    let mark = |known: Option<&Value>| known.map_or(Value::Null, |known| known["mark"].clone());
    format!(
        "wanted {}, present {}",
        mark(known(tree).last()),
        mark(present(tree))
    )
}

/// The revisions of the templates that the live Pods of a worker are made from.
pub(super) fn templates<'a>(pods: impl Iterator<Item = &'a Arc<Value>>) -> Vec<&'a str> {
    let live = pods.filter(|pod| is_live(pod));
    let mut templates: Vec<&str> = live.map(|pod| revision_of(pod)).collect();
    templates.sort_unstable();
    templates
}

/// Pods that are not made from the templates of the revision that their tree is on; and trees that were taken back to another
/// revision than the newest that was proved good, or say so of one that did not fail.
pub(super) fn wrong_revisions(world: &World) -> Vec<String> {
    let server = &world.server;
    let mut wrong = Vec::new();
    for (_, tree) in server.all(Kind::Tree) {
        let good = known(tree).iter().rev().find(|known| is_good(known));
        let is_last_good = good.is_some_and(|good| good["number"] == tree["status"]["revision"]);
        let has_failed = known(tree)
            .last()
            .is_some_and(|wanted| wanted["mark"] == "Bad");
        if is_back(tree) != has_failed || is_back(tree) && !is_last_good {
            wrong.push(format!(
                "L1: the tree is on revision {}, and these are known: {:?}",
                tree["status"]["revision"],
                known(tree)
            ));
        }
    }
    for (_, pod) in server.all(Kind::Pod) {
        // One whose labels somebody took away is watched no more.
        let is_judged = !has_ended(pod) && slot_of(pod) >= 0;
        let Some((tree, _)) = owners(server, pod).filter(|_| is_judged) else {
            continue;
        };
        let template = present_template(server, &tree, child_of(pod));
        let is_of_it = template.is_some_and(|template| {
            let image = |spec: &Value| spec["containers"][0]["image"].clone();
            names::revision(template) == revision_of(pod)
                && image(&template["spec"]) == image(&pod["spec"])
        });
        if !is_of_it || is_changing(pod) {
            wrong.push(format!(
                "L1: Pod {} of {} is not of revision {}, which its tree is on",
                uid_of(pod),
                child_of(pod),
                tree["status"]["revision"]
            ));
        }
    }
    wrong
}
