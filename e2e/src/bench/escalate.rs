//! `escalate-8-p99`: a death at the eighth level, whose windows are all full, restarts the group of the root.
//!
//! Rule: from the API server's answer to the death until it received the first delete of a child of the root that has
//! nothing to do with it; one death after the other, each in a tree of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
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
    for number in 0..TREES {
        fill_windows(rig.client(), &namespace, &format!("deep-{number}")).await?;
    }

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

/// Writes into the status of a tree what a death at each level would have left there a moment ago, so that every window is
/// full.
async fn fill_windows(client: Client, namespace: &str, name: &str) -> Result<()> {
    let trees = trees(client, namespace);
    let mut tree = trees.get(name).await?;
    let records = tree.data["status"]["supervisors"]
        .as_array_mut()
        .with_context(|| format!("{name} has no supervisors in its status"))?;
    let mut filled = 0;
    for number in 1..=DEPTH {
        let child = if number == DEPTH {
            "deepest".to_owned()
        } else {
            level(number + 1)
        };
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let charge = json!([{"child": child, "times": [now]}]);
        for record in records
            .iter_mut()
            .filter(|one| one["name"] == level(number))
        {
            record["charges"] = charge.clone();
            filled += 1;
        }
    }
    ensure!(
        filled == DEPTH,
        "{name} has {filled} of {DEPTH} supervisors"
    );
    let patch = Patch::Merge(json!({"status": {"supervisors": records}}));
    trees
        .patch_status(name, &PatchParams::default(), &patch)
        .await?;
    Ok(())
}

fn level(number: usize) -> String {
    format!("level-{number}")
}

/// A root that restarts all its children, and a chain of supervisors below it that allow one restart each.
fn deep_tree(name: &str) -> Value {
    let settings = json!({
        "strategy": "OneForAll",
        "intensity": {"maxRestarts": 1, "periodSeconds": 3600},
    });
    let mut children = vec![worker("bystander", 1)];
    for number in 1..=DEPTH {
        let mut child = json!({"name": level(number), "supervisor": settings});
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
