//! `escalate-8-p99`: a death at the eighth level, whose windows are all full, restarts the group of the root.
//!
//! Rule: from the API server's answer to the death until it received the first delete of a child of the root that has
//! nothing to do with it; one death after the other, each in a tree of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::audit::milliseconds;
use super::figure::{Figure, Goal, percentile, spread};
use super::group::end;
use super::load::{Subject, create, tree, trees, worker};
use super::rig::{COPPICE, Rig, US};

/// How many supervisors stand between the root and the worker; each of them gives up.
const DEPTH: usize = 8;
const TREES: u32 = 400;
/// How far the deaths are apart.
const GAP: Duration = Duration::from_millis(250);

pub(super) async fn measure() -> Result<Vec<Figure>> {
    let rig = Rig::start(6).await?;
    let namespace = rig.cluster.namespace("escalate").await?;
    for number in 0..TREES {
        let deep = deep_tree(&format!("deep-{number}"));
        create(&trees(rig.client(), &namespace), deep).await?;
    }
    Subject::Coppice
        .until_ready(&rig.client(), &namespace, TREES)
        .await?;

    let pods: Api<Pod> = Api::namespaced(rig.client(), &namespace);
    let list = pods.list_metadata(&ListParams::default()).await?;
    let named = |child: &str| -> BTreeMap<String, String> {
        let of_child = list.iter().filter(|pod| {
            pod.labels()
                .get("coppice.dev/child")
                .is_some_and(|label| label == child)
        });
        of_child
            .filter_map(|pod| {
                Some((
                    pod.name_any(),
                    pod.labels().get("coppice.dev/tree")?.clone(),
                ))
            })
            .collect()
    };
    let (victims, bystanders) = (named("deepest"), named("bystander"));
    let mut log = rig.audit()?;
    let mut tick = tokio::time::interval(GAP);
    for victim in victims.keys() {
        tick.tick().await;
        let patch = Patch::Strategic(end());
        pods.patch_status(victim, &PatchParams::default(), &patch)
            .await?;
    }
    let mut died: BTreeMap<String, Timestamp> = BTreeMap::new();
    let mut stopped: BTreeMap<String, Timestamp> = BTreeMap::new();
    rig.until("all groups to be stopped", async || {
        for request in log
            .read()?
            .into_iter()
            .filter(|one| one.namespace == namespace)
        {
            let tree = |of: &BTreeMap<String, String>| of.get(&request.name).cloned();
            if request.is(US, "patch", "pods/status") {
                died.extend(tree(&victims).map(|tree| (tree, request.answered)));
            } else if request.is(COPPICE, "delete", "pods") {
                stopped.extend(tree(&bystanders).map(|tree| (tree, request.received)));
            }
        }
        Ok((stopped.len() == TREES as usize && died.len() == stopped.len()).then_some(()))
    })
    .await?;
    let times: Vec<f64> = died
        .iter()
        .filter_map(|(tree, died)| Some(milliseconds(*died, *stopped.get(tree)?)))
        .collect();
    let figure = Figure::new(
        "escalate-8-p99",
        percentile(&times, 99.0),
        "ms",
        Goal::Limit(200.0),
        None,
    );
    Ok(vec![
        figure.note(format!("{TREES} trees: {}", spread(&times, "ms"))),
    ])
}

/// A root that restarts all its children, and a chain of supervisors below it whose windows are full from the start: they
/// allow no restart.
fn deep_tree(name: &str) -> Value {
    let level = |number: usize| format!("level-{number}");
    let mut children = vec![worker("bystander", 1)];
    for number in 1..=DEPTH {
        let mut child =
            json!({"name": level(number), "supervisor": {"intensity": {"maxRestarts": 0}}});
        if number > 1 {
            child["parent"] = level(number - 1).into();
        }
        children.push(child);
    }
    let mut deepest = worker("deepest", 1);
    deepest["parent"] = level(DEPTH).into();
    children.push(deepest);
    let mut tree = tree(name, &children);
    tree["spec"]["strategy"] = "OneForAll".into();
    tree
}
