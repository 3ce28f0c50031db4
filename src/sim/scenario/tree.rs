//! The tree of a scenario, as its user writes it: it is created, and its spec is changed.
//!
//! Rule: what a scenario writes is legal; a tree that is not fails the test right away.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::steps::{ask, edit};
use crate::sim::kind::{Kind, Verb};
use crate::sim::run::{NAMESPACE, TREE};
use crate::sim::server::{Actor, Address};
use crate::sim::world::World;

/// Creates the tree of the scenario.
pub(in crate::sim) fn create_tree(world: &mut World, tree: &str) {
    let body = json!({"metadata": {"name": TREE, "namespace": NAMESPACE}, "spec": spec(tree)});
    ask(world, &Actor::User, Verb::Create, &tree_address(), body);
}

/// The spec that a text says; a worker whose template is left out has one container. A revision is good as soon as all are
/// up, unless the text says otherwise, so that nothing is written long after a story has come to rest.
pub(super) fn spec(text: &str) -> Value {
    let mut spec: Value = serde_yaml::from_str(text).expect("the tree of a scenario is YAML");
    for child in spec["children"].as_array_mut().into_iter().flatten() {
        let worker = &mut child["worker"];
        if worker.is_object() && worker["template"].is_null() {
            worker["template"] = json!({"spec": {"containers": [{"name": "app", "image": "one"}]}});
        }
    }
    if spec["rollout"].is_null() {
        spec["rollout"] = json!({"probationSeconds": 0});
    }
    let parsed: crate::api::v1alpha1::SupervisionTreeSpec =
        serde_json::from_value(spec.clone()).expect("the tree of a scenario can be read");
    crate::model::tree::Tree::parse(TREE, &parsed).expect("the tree of a scenario is legal");
    spec
}

/// The place in the spec that a path such as `children.web.worker.replicas` names.
pub(super) fn at<'a>(spec: &'a mut Value, path: &str) -> &'a mut Value {
    path.split('.').fold(spec, |value, part| match value {
        Value::Array(list) => list
            .iter_mut()
            .find(|item| item["name"] == part)
            .expect("the path of a scenario names a child"),
        other => &mut other[part],
    })
}

/// Asks a child, or with an empty name the tree, to restart in that many seconds.
pub(super) fn ask_for_restart(
    world: &mut World,
    child: &str,
    seconds: i64,
) -> Result<(), &'static str> {
    let then = world.server.now + SignedDuration::from_secs(seconds);
    let then = crate::sim::server::time(then);
    change_spec(world, |spec| {
        let place = if child.is_empty() {
            spec
        } else {
            at(spec, &format!("children.{child}"))
        };
        place["restartAt"] = then.into();
    })
}

pub(super) fn change_spec(
    world: &mut World,
    change: impl FnOnce(&mut Value),
) -> Result<(), &'static str> {
    let address = tree_address();
    if world
        .server
        .get(address.0, &address.1, &address.2)
        .is_none()
    {
        return Err("no tree");
    }
    edit(world, |world| {
        world
            .server
            .edit(&Actor::User, &address, |tree| change(&mut tree["spec"]));
    });
    Ok(())
}

/// Where the tree is.
pub(super) fn tree_address() -> Address {
    (Kind::Tree, NAMESPACE.to_owned(), TREE.to_owned())
}
