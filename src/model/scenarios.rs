//! The engine in action: whole stories in virtual time. The folder has the stories of one kind each; here are those in
//! which nothing goes wrong, and what several kinds use: trees, and what is read off a lab.
//!
//! Rule: a story asserts the state of the world, not the calls that led to it.

mod asked;
mod budgets;
mod canaries;
mod children;
mod claims;
mod crashes;
mod deaths;
mod described;
mod disruption_budgets;
mod edits;
mod ends;
mod evidence;
mod exits;
mod fences;
mod first_starts;
mod give_ups;
mod group_updates;
mod groups;
mod holds;
mod in_place;
mod init_containers;
mod kinds;
mod looks;
mod moves;
mod nested_groups;
mod order;
mod policy;
mod preflights;
mod quorum;
mod random;
mod random_updates;
mod replacements;
mod rollouts;
mod sizes;
mod starts;
mod taken_back;
mod told;
mod turns;
mod under_way;
mod updates;
mod witnesses;

use std::collections::BTreeMap;

use super::lab::Lab;
use super::window::after;
use super::world::{NodeView, Unseen};
use crate::api::v1alpha1::Child;

const ONE: &str = "
children:
- {name: a, worker: {template: {spec: {containers: [{name: app, image: one}]}}}}
";

const NESTED: &str = "
startup: Ordered
intensity: {maxRestarts: 1, periodSeconds: 300}
children:
- {name: db, worker: {template: {spec: {containers: [{name: app, image: one}]}}}}
- name: web
  supervisor: {startup: Ordered, intensity: {maxRestarts: 1, periodSeconds: 300}}
- {name: api, parent: web, worker: {replicas: 3, quorum: 2, template: {spec: {containers: [{name: app, image: one}]}}}}
- {name: ui, parent: web, worker: {template: {spec: {containers: [{name: app, image: one}]}}}}
";

fn many(replicas: i32, quorum: i32) -> String {
    format!(
        "
children:
- name: a
  worker:
    replicas: {replicas}
    quorum: {quorum}
    template: {{spec: {{containers: [{{name: app, image: one}}]}}}}
"
    )
}

fn stable() -> String {
    many(2, 1).replace("replicas", "identity: Stable\n    replicas")
}

/// A line of the list of children: a worker, below that supervisor or, with an empty name, below the root, with these
/// settings besides its template.
fn worker(name: &str, parent: &str, settings: &str) -> String {
    let place = place(name, parent);
    let comma = if settings.is_empty() { "" } else { ", " };
    let template = "template: {spec: {containers: [{name: app, image: one}]}}";
    format!("- {{{place}worker: {{{settings}{comma}{template}}}}}\n")
}

/// The same for a supervisor.
fn supervisor(name: &str, parent: &str, settings: &str) -> String {
    let place = place(name, parent);
    format!("- {{{place}supervisor: {{{settings}}}}}\n")
}

/// The child that such a line is about, to be added to a tree.
fn child(line: &str) -> Child {
    let mut children: Vec<Child> = serde_yaml::from_str(line).expect("a line of the list");
    children.remove(0)
}

fn place(name: &str, parent: &str) -> String {
    match parent {
        "" => format!("name: {name}, "),
        parent => format!("name: {name}, parent: {parent}, "),
    }
}

/// What was stopped by order (`-a`) and what was started (`+a`) since that entry of the log.
pub(super) fn trace(lab: &Lab, since: usize) -> String {
    let steps = lab.log[since..].iter().filter_map(|entry| {
        let (verb, rest) = entry.split_once(' ')?;
        let child = rest.split('/').next()?;
        match verb {
            "create" => Some(format!("+{child}")),
            "delete" if rest.contains("an ordered stop") => Some(format!("-{child}")),
            _ => None,
        }
    });
    steps.collect::<Vec<_>>().join(" ")
}

/// Charges by child.
pub(super) fn charges(of: &[(&str, usize)]) -> BTreeMap<String, usize> {
    of.iter()
        .map(|(child, count)| ((*child).into(), *count))
        .collect()
}

/// The node of a replica is lost, and Kubernetes has asked for the Pod's end.
fn lose(lab: &mut Lab, child: &str, slot: i32) {
    let now = lab.now;
    let lost = NodeView {
        not_ready_since: Some(now),
        unreachable: true,
        evicting: true,
        out_of_service: false,
        zone: None,
    };
    let nodes = lab.world.nodes.as_mut().unwrap();
    nodes.insert("node-b".into(), lost);
    let pod = lab.pod_mut(child, slot);
    pod.node = Some("node-b".into());
    pod.deletion = Some(after(now, 10_000_000));
    pod.deletion_grace_seconds = Some(30);
}

/// Lets time go by until the root is charged for that child.
fn until_charged(lab: &mut Lab, child: &str) {
    while !lab.charges("(root)").contains_key(child) {
        lab.run(1);
    }
}

#[test]
fn a_tree_becomes_ready_and_then_nothing_is_written() {
    let mut lab = Lab::new(ONE);
    lab.settle();
    assert_eq!(lab.state(), "FTF Starting");
    lab.run(5);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    // Until its revision is proved.
    lab.run(100);
    let writes = lab.writes;
    lab.run(900);
    assert_eq!(lab.writes, writes, "an idle tree costs no write");
}

#[test]
fn an_empty_tree_is_ready() {
    let mut lab = Lab::new("children: []");
    lab.run(1);
    assert_eq!(lab.state(), "TFF NoChildren");
}

/// What is known is healed as ever; the conditions say that it may be old.
#[test]
fn a_kind_that_may_not_be_watched_is_told_and_the_rest_goes_on() {
    let mut lab = Lab::new(&many(2, 1));
    lab.run(10);
    lab.world.unseen = vec![Unseen {
        kind: "Pod",
        message: "pods is forbidden".into(),
    }];
    lab.edit_replicas("a", 3);
    lab.run(10);
    assert_eq!(lab.live("a"), [0, 1, 2]);
    assert_eq!(lab.state(), "TFT WatchRefused");
    let said = lab.message();
    assert!(
        said.starts_with("Pods may not be watched") && said.ends_with(": pods is forbidden"),
        "{said}"
    );
    lab.world.unseen.clear();
    lab.settle();
    assert_eq!(lab.state(), "TFF AllUp");
}
