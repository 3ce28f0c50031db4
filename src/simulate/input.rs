//! Trees from files: what is read, what is skipped, and what is refused with the field and the fix.
//!
//! Rule: what passes here, the API server would take too.

use kube::ResourceExt;
use serde_json::{Value, json};

use super::fault::Target;
use super::schema;
use super::{Fault, Plan};
use crate::api::crd;
use crate::api::v1alpha1::{GROUP, ReadyWhen, SupervisionTree, WorkerSettings};
use crate::model::fault::Class;
use crate::model::tree::Tree;
use crate::yaml;

/// The kind of object that is simulated; all others are skipped.
const KIND: &str = "SupervisionTree";

/// Input that cannot be simulated, in words that say which field is wrong and how to put it right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

/// The trees in a stream of YAML documents. Objects of other kinds are skipped, lists of objects are opened. `source` is
/// what errors call the stream.
pub fn read(source: &str, text: &str) -> Result<Vec<SupervisionTree>, Refusal> {
    let mut trees = Vec::new();
    for value in yaml::documents(text) {
        let wrong = |error| Refusal(format!("{source}: this is not YAML: {error}"));
        for object in objects(value.map_err(wrong)?) {
            if is_tree(&object) {
                let tree = read_tree(&object);
                trees.push(tree.map_err(|why| Refusal(format!("{source}: {why}")))?);
            }
        }
    }
    Ok(trees)
}

/// The objects of a document: itself, or those of the list that it is.
fn objects(value: Value) -> Vec<Value> {
    match value {
        Value::Object(mut list) if list.get("kind").is_some_and(|kind| kind == "List") => {
            match list.remove("items") {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            }
        }
        value => vec![value],
    }
}

fn is_tree(object: &Value) -> bool {
    let group = object["apiVersion"].as_str().unwrap_or_default();
    let group = group.split('/').next().unwrap_or_default();
    group == GROUP && object["kind"] == KIND
}

fn read_tree(object: &Value) -> Result<SupervisionTree, String> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let who = format!("the {KIND} '{name}'");
    let wrong = |what: &str| format!("{who} is refused:\n  {what}");
    let version = &crd::all()[0].spec.versions[0];
    let expected = format!("{GROUP}/{}", version.name);
    if object["apiVersion"] != expected.as_str() {
        return Err(wrong(&format!("apiVersion: expected {expected}")));
    }
    let unknown = schema::check(object, &frame(), "");
    if !unknown.is_empty() {
        return Err(wrong(&unknown.join("\n  ")));
    }
    check_name(name).map_err(|why| wrong(&format!("metadata.name: {why}")))?;
    let schema = serde_json::to_value(&version.schema).unwrap_or_default();
    let schema = &schema["openAPIV3Schema"]["properties"]["spec"];
    let nothing = Value::Object(serde_json::Map::new());
    let spec = object.get("spec").unwrap_or(&nothing);
    let refusals = schema::check(spec, schema, "spec");
    if !refusals.is_empty() {
        return Err(wrong(&refusals.join("\n  ")));
    }
    let tree: SupervisionTree =
        serde_json::from_value(object.clone()).map_err(|error| wrong(&error.to_string()))?;
    Tree::parse(name, &tree.spec).map_err(|error| wrong(&format!("{}: {error}", error.field)))?;
    Ok(tree)
}

/// The fields that every object may have; what is in `spec` is looked at by itself.
fn frame() -> Value {
    let all = |names: &[&str]| {
        let fields = names.iter().map(|name| ((*name).to_owned(), json!({})));
        Value::Object(fields.collect())
    };
    let mut fields = all(&["apiVersion", "kind", "metadata", "spec", "status"]);
    fields["metadata"] = json!({ "properties": all(&METADATA) });
    json!({ "properties": fields })
}

/// The fields of `metadata`.
const METADATA: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// A tree's name begins the names of its Pods.
fn check_name(name: &str) -> Result<(), String> {
    let is_legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() {
        return Err("a tree needs a name".to_owned());
    }
    if name.contains('.') {
        return Err("must not contain dots, because Pods are named after the tree".to_owned());
    }
    if !name.chars().all(is_legal) || name.starts_with('-') || name.ends_with('-') {
        return Err(
            "expected lower-case letters, digits and dashes, no dash at either end".to_owned(),
        );
    }
    if name.len() > 49 {
        return Err(
            "must not be longer than 49 characters, because Pods are named after the tree"
                .to_owned(),
        );
    }
    Ok(())
}

/// Refuses targets that no tree has, and faults that cannot befall them.
pub(super) fn check_targets(trees: &[SupervisionTree], plan: &Plan) -> Result<(), Refusal> {
    if trees.is_empty() {
        return Err(Refusal(format!(
            "there is no {KIND} to simulate; objects of other kinds are skipped"
        )));
    }
    for fault in &plan.faults {
        check_target(trees, &fault.target)
            .and_then(|()| check_fault(trees, fault))
            .map_err(|why| Refusal(format!("--fault {fault}: {why}")))?;
    }
    for target in &plan.crash_loops {
        check_target(trees, target)
            .map_err(|why| Refusal(format!("--crash-loop {target}: {why}")))?;
    }
    Ok(())
}

fn check_target(trees: &[SupervisionTree], target: &Target) -> Result<(), String> {
    let mut children = trees.iter().flat_map(|tree| &tree.spec.children);
    let is_supervisor = children.any(|one| one.name == target.child && one.supervisor.is_some());
    let Some(worker) = worker(trees, &target.child) else {
        let what = if is_supervisor {
            "is a supervisor, and has no Pods of its own"
        } else {
            "is no child"
        };
        return Err(format!(
            "'{}' {what}; the workers are: {}",
            target.child,
            workers(trees)
        ));
    };
    let replicas = worker.replicas.unwrap_or(1);
    match (replicas, target.slot) {
        (0, _) => Err(format!("'{}' has no replicas", target.child)),
        (_, Some(slot)) if slot >= replicas => Err(format!(
            "'{}' has no slot {slot}; its last one is {}",
            target.child,
            replicas - 1
        )),
        _ => Ok(()),
    }
}

fn check_fault(trees: &[SupervisionTree], fault: &Fault) -> Result<(), String> {
    let waits = worker(trees, &fault.target.child).is_some_and(|one| one.ready == ReadyWhen::Ready);
    if fault.class() == Some(Class::StartDeadlineExceeded) && !waits {
        return Err(
            "a worker that has started when it runs, or when it has completed, never misses its start deadline here"
                .to_owned(),
        );
    }
    Ok(())
}

fn worker<'a>(trees: &'a [SupervisionTree], name: &str) -> Option<&'a WorkerSettings> {
    let mut children = trees.iter().flat_map(|tree| &tree.spec.children);
    children.find_map(|child| child.worker.as_ref().filter(|_| child.name == name))
}

fn workers(trees: &[SupervisionTree]) -> String {
    let of_tree = |tree: &SupervisionTree| {
        let workers = tree
            .spec
            .children
            .iter()
            .filter(|child| child.worker.is_some());
        let names: Vec<&str> = workers.map(|child| child.name.as_str()).collect();
        let names = if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        };
        match trees.len() {
            1 => names,
            _ => format!("{names} (of {})", tree.name_any()),
        }
    };
    let all: Vec<String> = trees.iter().map(of_tree).collect();
    all.join("; ")
}
