//! What is so at the end of a run: how the tree stands, what is not as it should be, what it has cost.
//!
//! Rule: nothing in it depends on when something was, so that two runs can be compared.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::history::letters;
use super::kind::Kind;
use super::objects::{
    child_of, condition, controller_uid, finished_slots, has_ended, is_deleting, is_enabled,
    is_over, pods_of, quorum, replicas_of, slot_of, spec_of, uid_of,
};
use super::predicates::standing;
use super::revisions::{is_known, marks, templates};
use super::world::World;

/// Conditions and reason of the tree.
pub(super) fn summary(world: &World) -> String {
    let Some((_, tree)) = world.server.all(Kind::Tree).next() else {
        return "no tree".to_owned();
    };
    let ready = condition(tree, "Ready");
    let text = |field: &str| {
        ready
            .map_or("", |ready| ready[field].as_str().unwrap_or(""))
            .to_owned()
    };
    format!("{} {}: {}", letters(tree), text("reason"), text("message"))
}

/// Slots that should be up, or have finished, and do neither; and what runs although nothing should. Judged by the spec, the
/// Pods, and by what is stored of ends.
pub(super) fn not_whole(world: &World) -> Vec<String> {
    let mut missing = Vec::new();
    for (_, worker) in world.server.all(Kind::Worker) {
        let child = child_of(worker);
        let Some(tree) = tree_of(world, worker) else {
            continue;
        };
        let Some(spec) = spec_of(tree, child) else {
            continue;
        };
        let runs = || pods_of(&world.server, uid_of(worker)).any(|pod| !has_ended(pod));
        if tree["spec"]["suspend"] == true || is_over(tree, spec) {
            if runs() {
                missing.push(format!(
                    "L1: {child} runs, and has been stopped with what is above it"
                ));
            }
            continue;
        }
        if !is_enabled(tree, spec) || !is_known(&world.server, tree, child) {
            continue;
        }
        let replicas = replicas_of(worker);
        let standing = standing(&world.server, uid_of(worker));
        let finished = finished_slots(tree, worker);
        if let Some(slot) = finished.iter().find(|slot| standing.contains_key(slot)) {
            missing.push(format!("L1: {child}/{slot} has finished and runs"));
        }
        let lost = claims_of(spec, tree, child, replicas).filter(|name| {
            let namespace = tree["metadata"]["namespace"].as_str().unwrap_or_default();
            let claim = world.server.get(Kind::Claim, namespace, name);
            claim.is_none_or(|claim| is_deleting(claim))
        });
        missing.extend(lost.map(|name| format!("L1: there is no claim {name}")));
        if has_fixed_slots(world, worker) {
            let is_up =
                |slot: &i64| standing.get(slot) == Some(&"ready") || finished.contains(slot);
            let slots = (0..replicas).filter(|slot| !is_up(slot));
            missing.extend(slots.map(|slot| format!("L1: {child}/{slot} is not up")));
            continue;
        }
        let up = standing.values().filter(|stands| **stands == "ready");
        let up = up.count();
        if usize::try_from(replicas) != Ok(up + finished.len()) || standing.len() != up {
            missing.push(format!(
                "L1: of {replicas} replicas of {child} these stand: {standing:?}, and these have finished: {finished:?}"
            ));
        }
    }
    missing
}

/// Workers that have another disruption budget than they are to have: their own while they have replicas to spare, unless
/// somebody else's selects their Pods.
pub(super) fn unprotected(world: &World) -> Vec<String> {
    let budgets = || world.server.all(Kind::DisruptionBudget).map(|(_, one)| one);
    let mut wrong = Vec::new();
    for (_, worker) in world.server.all(Kind::Worker) {
        let child = child_of(worker);
        let tree = tree_of(world, worker).filter(|tree| !is_deleting(tree));
        let Some((tree, spec)) = tree.and_then(|tree| Some((tree, spec_of(tree, child)?))) else {
            continue;
        };
        // What has finished counts, and has no Pod that could be Ready.
        let finished = finished_slots(tree, worker).len();
        let quorum = quorum(tree, worker).saturating_sub(finished);
        let left =
            usize::try_from(replicas_of(worker)).map_or(0, |all| all.saturating_sub(finished));
        let is_theirs = |budget: &Value| {
            let selected = &budget["spec"]["selector"]["matchLabels"]["coppice.dev/child"];
            controller_uid(budget).is_empty() && selected == child
        };
        let is_wanted = tree["spec"]["suspend"] != true
            && is_enabled(tree, spec)
            && spec["worker"]["disruptionBudget"] != "None"
            && quorum > 0
            && left > quorum
            && !budgets().any(|budget| is_theirs(budget));
        let wanted = is_wanted.then(|| {
            let tree = &tree["metadata"]["name"];
            let selector =
                json!({"matchLabels": {"coppice.dev/tree": tree, "coppice.dev/child": child}});
            json!({"minAvailable": quorum, "selector": selector,
                "unhealthyPodEvictionPolicy": "AlwaysAllow"})
        });
        let own = budgets().filter(|budget| controller_uid(budget) == uid_of(worker));
        let own: Vec<&Value> = own.map(|budget| &budget["spec"]).collect();
        if own != wanted.iter().collect::<Vec<_>>() {
            wrong.push(format!(
                "L1: {child} has the disruption budgets {own:?}, not {wanted:?}"
            ));
        }
    }
    wrong
}

/// The names of the claims that so many replicas of a child have.
fn claims_of<'a>(
    spec: &'a Value,
    tree: &'a Value,
    child: &'a str,
    replicas: i64,
) -> impl Iterator<Item = String> + 'a {
    let tree = tree["metadata"]["name"].as_str().unwrap_or_default();
    let templates = spec["worker"]["volumeClaimTemplates"].as_array();
    templates.into_iter().flatten().flat_map(move |template| {
        let name = template["metadata"]["name"].as_str().unwrap_or_default();
        (0..replicas).map(move |slot| format!("{name}-{tree}-{child}-{slot}"))
    })
}

/// What supervisors are still in the middle of.
pub(super) fn half_done(world: &World) -> Vec<String> {
    let trees = world.server.all(Kind::Tree).map(|(_, tree)| tree);
    let records = trees.flat_map(|tree| {
        tree["status"]["supervisors"]
            .as_array()
            .into_iter()
            .flatten()
    });
    let open = records.filter(|record| {
        let operation = &record["operation"];
        !operation.is_null() && operation["kind"] != "Suspend"
    });
    open.map(|record| {
        format!(
            "L1: {} is in the middle of {}",
            record["name"], record["operation"]
        )
    })
    .collect()
}

/// Whether the spec says which slots a worker has. With `Stable` the highest are dropped; else those that are not alive
/// go first, so that the numbers that are left depend on what happened.
fn has_fixed_slots(world: &World, worker: &Value) -> bool {
    tree_of(world, worker)
        .and_then(|tree| spec_of(tree, child_of(worker)).cloned())
        .is_some_and(|spec| spec["worker"]["identity"] == "Stable")
}

/// Workers whose tree is gone although they name it as their owner.
pub(super) fn left_over(world: &World) -> Vec<String> {
    let workers = world.server.all(Kind::Worker).map(|(_, worker)| worker);
    workers
        .filter(|worker| !controller_uid(worker).is_empty() && tree_of(world, worker).is_none())
        .map(|worker| format!("L3: Worker {} is left over", worker["metadata"]["name"]))
        .collect()
}

fn tree_of<'a>(world: &'a World, worker: &Value) -> Option<&'a std::sync::Arc<Value>> {
    let mut trees = world.server.all(Kind::Tree).map(|(_, tree)| tree);
    trees.find(|tree| uid_of(tree) == controller_uid(worker))
}

/// What is so in the end, for comparing: nothing in it depends on when something was.
pub(super) fn state(world: &World) -> String {
    let mut text = String::new();
    for (_, tree) in world.server.all(Kind::Tree) {
        let reason =
            condition(tree, "Ready").map_or("", |ready| ready["reason"].as_str().unwrap_or(""));
        let _ = writeln!(
            text,
            "{} {reason}, generation {}",
            letters(tree),
            tree["status"]["observedGeneration"]
        );
        let _ = writeln!(text, "  revisions: {}", marks(tree));
        for record in tree["status"]["supervisors"]
            .as_array()
            .into_iter()
            .flatten()
        {
            // Of what has settled only the delay is remembered, and for how long depends on when it was noticed.
            let gave_up: Vec<&Value> = record["gaveUp"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|entry| entry["settled"] != true)
                .map(|entry| &entry["child"])
                .collect();
            let operation = &record["operation"]["kind"];
            let _ = writeln!(
                text,
                "  supervisor {}: {operation}, gave up {gave_up:?}",
                record["name"]
            );
        }
    }
    for ((_, _, name), worker) in world.server.all(Kind::Worker) {
        let tree = world
            .server
            .all(Kind::Tree)
            .find(|(_, tree)| uid_of(tree) == controller_uid(worker));
        let enabled = tree.is_some_and(|(_, tree)| {
            let specs = tree["spec"]["children"].as_array();
            specs
                .into_iter()
                .flatten()
                .any(|spec| spec["name"] == child_of(worker) && is_enabled(tree, spec))
        });
        let mut pods = standing(&world.server, uid_of(worker));
        if let Some((_, tree)) = tree {
            let finished = finished_slots(tree, worker);
            pods.extend(finished.into_iter().map(|slot| (slot, "finished")));
        }
        let spec = &worker["spec"]["replicas"];
        let pods = if has_fixed_slots(world, worker) {
            format!("{pods:?}")
        } else {
            let mut pods: Vec<&str> = pods.into_values().collect();
            pods.sort_unstable();
            format!("{pods:?}")
        };
        let templates = templates(pods_of(&world.server, uid_of(worker)));
        let _ = writeln!(
            text,
            "  worker {name}: enabled {enabled}, replicas {spec}, {pods}, of {templates:?}"
        );
    }
    let ownerless = world
        .server
        .all(Kind::Pod)
        .filter(|(_, pod)| controller_uid(pod).is_empty() || slot_of(pod) < 0)
        .filter(|(_, pod)| !is_deleting(pod))
        .count();
    let _ = writeln!(text, "  strangers: {ownerless}");
    text
}

/// What it has cost so far: how many deaths were judged; of each supervisor its incarnation and how many charges it
/// remembers; the incarnation of each worker.
pub(super) fn cost(world: &World) -> String {
    let count = |number: usize, what: &str| match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    };
    let Some((_, tree)) = world.server.all(Kind::Tree).next() else {
        return String::new();
    };
    let deaths = tree["status"]["restarts"].as_u64().unwrap_or_default();
    let mut parts = vec![count(
        usize::try_from(deaths).unwrap_or(usize::MAX),
        "death",
    )];
    let mut supervisors: Vec<String> = Vec::new();
    for record in tree["status"]["supervisors"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let charges = record["charges"].as_array().into_iter().flatten();
        let charges = charges.filter_map(|charge| charge["times"].as_array());
        let charges = count(charges.map(Vec::len).sum(), "charge");
        let name = record["name"].as_str().unwrap_or_default();
        supervisors.push(format!("{name} #{} {charges}", record["incarnation"]));
    }
    supervisors.sort();
    parts.extend(supervisors);
    let workers = world.server.all(Kind::Worker).map(|(_, worker)| {
        let incarnation = &worker["status"]["incarnation"];
        format!("{} #{incarnation}", child_of(worker))
    });
    parts.push(workers.collect::<Vec<_>>().join(", "));
    parts.join("; ")
}
