//! One operator takes the place of an earlier one, as in an upgrade, while three hundred Pods run: none of them is touched.
//!
//! Rule: what is asserted is what the Pods are afterwards, and that the API server noted no write of one.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::ResourceExt;
use kube::api::ListParams;
use rustix::process::Signal;
use serde_json::Value;

use super::duo::{Operator, forget_lease};
use super::grove::template;
use super::support::{Space, is_current};
use super::{TURN, earlier_program, shared};

const TREES: usize = 5;
const PODS: usize = 300;
const WITHIN: Duration = Duration::from_mins(3);

/// Sixty Pods in three workers, of which one has fixed names and two are a group.
fn tree(number: usize) -> String {
    let template = template();
    format!(
        "---
{{apiVersion: coppice.dev/v1alpha1, kind: SupervisionTree, metadata: {{name: tree-{number}}}, spec: {{children: [
  {{name: fixed, worker: {{identity: Stable, replicas: 10, template: {template}}}}},
  {{name: group, supervisor: {{strategy: OneForAll}}}},
  {{name: left, parent: group, worker: {{replicas: 25, template: {template}}}}},
  {{name: right, parent: group, worker: {{replicas: 25, quorum: 20, template: {template}}}}},
]}}}}
"
    )
}

/// What Pods there are, by name: UID and version.
async fn pods(space: &Space<'_>) -> BTreeMap<String, (Option<String>, Option<String>)> {
    let list = space.pods().list_metadata(&ListParams::default()).await;
    let pods = list.expect("Pods").items.into_iter();
    pods.map(|pod| (pod.name_any(), (pod.uid(), pod.resource_version())))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_takes_the_place_of_another_touches_no_pod() {
    let cluster = shared().await;
    let _turn = TURN.lock().await;
    forget_lease(cluster).await;
    let space = Space::new(cluster, "replaced").await;
    let old =
        Operator::start_program(earlier_program(), cluster, "replaced-old", &space.name).await;
    old.until_it_leads().await;
    space.apply(&(0..TREES).map(tree).collect::<String>());
    for number in 0..TREES {
        space.until_at_rest(&format!("tree-{number}"), WITHIN).await;
    }
    let before = pods(&space).await;
    assert_eq!(before.len(), PODS);

    // For a moment there are both.
    let new = Operator::start(cluster, "replaced-new", &space.name, false).await;
    old.signal(Signal::TERM);
    new.until_it_leads().await;
    every_tree_is_looked_at(&space).await;
    assert_eq!(pods(&space).await, before);
    let mut touched = new.writes(&space.name);
    touched.retain(|one| one.resource == "pods" || one.resource.starts_with("pods/"));
    assert!(touched.is_empty(), "{touched:#?}");

    // It does look after them.
    let (victim, _) = before.first_key_value().expect("a Pod");
    space.kubectl(&["delete", "pod", victim, "--wait=false"]);
    let replaced =
        |tree: &Value| tree["status"]["restarts"] == 1 && is_current(tree, "Reconciling", "False");
    space.until("tree-0", WITHIN, "whole again", replaced).await;
    assert_eq!(pods(&space).await.len(), PODS);
}

/// Waits until the present operator has judged every tree: it answers an edit of each, which changes nothing below.
async fn every_tree_is_looked_at(space: &Space<'_>) {
    let patch = r#"{"spec":{"intensity":{"maxRestarts":7}}}"#;
    for number in 0..TREES {
        space.kubectl(&[
            "patch",
            "stree",
            &format!("tree-{number}"),
            "--type=merge",
            "-p",
            patch,
        ]);
    }
    for number in 0..TREES {
        let tree = space.until_at_rest(&format!("tree-{number}"), WITHIN).await;
        assert_eq!(tree["status"]["revision"], 1, "{tree:#}");
    }
}
