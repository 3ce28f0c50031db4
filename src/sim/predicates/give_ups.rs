//! L2: what fails for ever ends in the give-up that `onGiveUp` names, and stays so.
//!
//! Rule: judged by the spec, the Pods and what is stored of supervisors, and but for the time of a retry only at the end of a
//! run, when all is quiet.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::stops::start_of;
use crate::model::tree::ROOT_NAME;
use crate::sim::cluster::Behaviour;
use crate::sim::kind::Kind;
use crate::sim::objects::{
    children, controller_uid, has_ended, is_deleting, is_enabled, is_lost, lineage, pods_of,
    record_of, replicas_of, slot_entry, spec_of, uid_of, worker_of,
};
use crate::sim::server::Server;

/// How long after its time a retry may begin.
const LATE: SignedDuration = SignedDuration::from_secs(5);
/// Programs that end sooner than this after each start fill every window of the scenarios.
const SOON: i64 = 5;

/// What is wrong with how supervisors gave up. `behaviour` says how a child, or a slot of it (`api/1`), behaves.
pub(in crate::sim) fn wrong_give_ups(
    server: &Server,
    behaviour: impl Fn(&str) -> Option<Behaviour>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for (_, tree) in server.all(Kind::Tree) {
        if is_deleting(tree) || tree["spec"]["suspend"] == true {
            continue;
        }
        let named = children(tree)
            .iter()
            .filter(|child| child["supervisor"].is_object() && is_enabled(tree, child))
            .filter_map(|child| child["name"].as_str());
        for supervisor in named.chain([""]) {
            wrong.extend(wrong_waits(server, tree, supervisor));
            wrong.extend(unjudged(tree, supervisor));
        }
        let workers = children(tree).iter();
        for child in workers.filter(|child| child["worker"].is_object() && is_enabled(tree, child))
        {
            wrong.extend(not_given_up(server, tree, child, &behaviour));
        }
    }
    wrong
}

fn settings<'a>(tree: &'a Value, supervisor: &str) -> &'a Value {
    spec_of(tree, supervisor).map_or(&tree["spec"], |spec| &spec["supervisor"])
}

fn policy<'a>(tree: &'a Value, supervisor: &str) -> &'a str {
    let default = if supervisor.is_empty() {
        "Retry"
    } else {
        "Escalate"
    };
    settings(tree, supervisor)["onGiveUp"]
        .as_str()
        .unwrap_or(default)
}

fn give_ups<'a>(tree: &'a Value, supervisor: &str) -> impl Iterator<Item = &'a Value> {
    let list = record_of(tree, supervisor).and_then(|record| record["gaveUp"].as_array());
    list.into_iter().flatten()
}

/// What was given up and is tried again before the time that was stored for it, although nobody asked for that: no edit,
/// no `retryAt`, and no new incarnation from above.
pub(super) fn tried_too_soon(server: &Server, old: &Value, new: &Value) -> Vec<String> {
    if old["status"]["observedGeneration"] != new["metadata"]["generation"] {
        return Vec::new();
    }
    let records = old["status"]["supervisors"].as_array();
    let mut wrong = Vec::new();
    for record in records.into_iter().flatten() {
        let name = record["name"].as_str().unwrap_or_default();
        let Some(now) = record_of(new, name) else {
            continue;
        };
        let waits = record["gaveUp"].as_array();
        for entry in waits
            .into_iter()
            .flatten()
            .filter(|entry| entry["waiting"] == true)
        {
            let child = entry["child"].as_str().unwrap_or_default();
            let time = entry["retryTime"].as_str();
            let retry: Option<Timestamp> = time.and_then(|time| time.parse().ok());
            // A wider scope takes over a narrower one.
            let waits = now["gaveUp"].as_array().is_some_and(|all| {
                all.iter().any(|one| {
                    let known = one["child"].as_str().unwrap_or_default();
                    one["waiting"] == true && (known == child || known.is_empty())
                })
            });
            let is_due = retry.is_some_and(|retry| retry <= server.now);
            // It has another template since: the turn of that may come a moment after the edit was seen.
            let is_changed = has_had_a_turn(server, new, &entry["sinceTime"]);
            let is_asked_for = child.is_empty() || is_child(new, child, name);
            // The death of one before it restarts it, too.
            let supervisor = if name == ROOT_NAME { "" } else { name };
            let restarts = start_of(new, supervisor, child).is_some_and(|operation| {
                operation["kind"] == "Restart" && *operation != record["operation"]
            });
            let is_begun = restarts || record["incarnation"] != now["incarnation"];
            if !waits && !is_due && is_asked_for && !is_begun && !is_changed {
                wrong.push(format!(
                    "{child:?} of {name} is tried again before {time:?}"
                ));
            }
        }
    }
    wrong
}

/// Whether a worker of a tree was given another template since that time.
fn has_had_a_turn(server: &Server, tree: &Value, since: &Value) -> bool {
    let time = |value: &Value| {
        value
            .as_str()
            .and_then(|time| time.parse::<Timestamp>().ok())
    };
    let mut workers = server.all(Kind::Worker).map(|(_, worker)| worker);
    workers.any(|worker| {
        let turn = time(&worker["status"]["turnTime"]);
        controller_uid(worker) == uid_of(tree) && turn.is_some() && turn >= time(since)
    })
}

/// Whether the spec asks for that child below that supervisor, which is named as in the status.
fn is_child(tree: &Value, child: &str, supervisor: &str) -> bool {
    spec_of(tree, child).is_some_and(|spec| {
        let parent = spec["parent"].as_str().unwrap_or(ROOT_NAME);
        is_enabled(tree, spec) && parent == supervisor
    })
}

/// What waits after a give-up waits as the policy says: `Retry` for its time, with the one child down; `Stop` for somebody,
/// with everything down.
fn wrong_waits(server: &Server, tree: &Value, supervisor: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let says = policy(tree, supervisor);
    for entry in give_ups(tree, supervisor).filter(|entry| entry["waiting"] == true) {
        let child = entry["child"].as_str().unwrap_or_default();
        let time = entry["retryTime"].as_str();
        let retry: Option<Timestamp> = time.and_then(|time| time.parse().ok());
        let settings = settings(tree, supervisor);
        // Where the strategy has children depend on each other, all of them may have been given up.
        let fits = if child.is_empty() && says == "Stop" {
            retry.is_none()
        } else if child.is_empty() && settings["strategy"] == "OneForOne" {
            false
        } else if stays_down(tree, child) && retry.is_none() {
            record_of(tree, child).is_some_and(|record| record["operation"]["kind"] == "GiveUp")
        } else {
            let overdue = retry.is_none_or(|retry| server.now.duration_since(retry) > LATE);
            says == "Retry" && !overdue
        };
        if !fits {
            wrong.push(format!(
                "L2: {supervisor:?} gives up by {says}, but waits so: {child:?} until {time:?}"
            ));
        }
        let down = if child.is_empty() { supervisor } else { child };
        // A child that still runs when its supervisor is tried again later goes on running.
        let runs = child.is_empty().then(|| still_runs(server, tree, down));
        wrong.extend(
            runs.flatten()
                .map(|pod| format!("L2: {supervisor:?} has stopped, but {pod} runs")),
        );
    }
    wrong
}

/// Whether a supervisor that gave up is left so by its type.
fn stays_down(tree: &Value, child: &str) -> bool {
    let spec = spec_of(tree, child).filter(|spec| spec["supervisor"].is_object());
    let restart = spec.and_then(|spec| spec["supervisor"]["restart"].as_str());
    restart.is_some_and(|restart| restart != "Permanent")
}

/// A Pod below that supervisor that runs although nothing should.
fn still_runs(server: &Server, tree: &Value, supervisor: &str) -> Option<String> {
    let below = children(tree).iter().filter(|child| {
        let above = lineage(tree, child);
        child["worker"].is_object() && above.iter().any(|name| name == supervisor)
    });
    let workers = below.filter_map(|child| worker_of(server, tree, child["name"].as_str()?));
    workers.into_iter().find_map(|worker| {
        let mut pods = pods_of(server, uid_of(&worker));
        let pod = pods.find(|pod| !has_ended(pod) && !is_lost(server, pod))?;
        Some(pod["metadata"]["name"].to_string())
    })
}

/// A supervisor that has given up upwards is judged by the one above it: it is started again, or goes down with it.
fn unjudged(tree: &Value, supervisor: &str) -> Option<String> {
    let record = record_of(tree, supervisor)?;
    let spec = spec_of(tree, supervisor)?;
    let is_permanent = spec["supervisor"]["restart"]
        .as_str()
        .is_none_or(|restart| restart == "Permanent");
    let goes_with_another = lineage(tree, spec).iter().any(|above| {
        give_ups(tree, above).any(|entry| entry["waiting"] == true)
            || record_of(tree, above).is_some_and(|above| above["operation"]["kind"] == "GiveUp")
    });
    (record["operation"]["kind"] == "GiveUp" && is_permanent && !goes_with_another)
        .then(|| format!("L2: {supervisor} has given up, and nobody has judged that"))
}

/// A worker that fails again and again although nothing is left to try, or a slot of one.
fn not_given_up(
    server: &Server,
    tree: &Value,
    child: &Value,
    behaviour: &impl Fn(&str) -> Option<Behaviour>,
) -> Vec<String> {
    let name = child["name"].as_str().unwrap_or_default();
    let Some(worker) = worker_of(server, tree, name) else {
        return Vec::new();
    };
    let fails = |who: &str| match behaviour(who) {
        Some(Behaviour::Crash(seconds, code)) => code != 0 && seconds <= SOON,
        Some(Behaviour::Hang) => child["worker"]["startDeadlineSeconds"].is_i64(),
        _ => false,
    };
    let replicas = replicas_of(&worker);
    let slots = (0..replicas).filter(|slot| fails(&format!("{name}/{slot}")));
    let mut wrong: Vec<String> = slots
        .filter(|slot| slot_entry(&worker, *slot).is_none_or(|entry| entry["parked"].is_null()))
        .map(|slot| format!("L2: slot {name}/{slot} fails for ever and is not parked"))
        .collect();
    if replicas == 1 && fails(name) {
        wrong.extend(no_end(tree, child));
    }
    wrong
}

/// A child that fails for ever, and for which no supervisor has given up as it must: the first one above that does not
/// pass it on.
fn no_end(tree: &Value, child: &Value) -> Option<String> {
    let name = child["name"].as_str().unwrap_or_default();
    let mut branch = name.to_owned();
    for supervisor in lineage(tree, child) {
        let scope = match policy(tree, &supervisor) {
            "Escalate" => {
                branch = supervisor;
                continue;
            }
            "Stop" => "",
            _ => branch.as_str(),
        };
        let known = give_ups(tree, &supervisor)
            .any(|entry| entry["child"].as_str().unwrap_or_default() == scope);
        return (!known).then(|| {
            format!("L2: {name} fails for ever, and {supervisor:?} has not given up {scope:?}")
        });
    }
    Some(format!("L2: {name} fails for ever, and nobody gives up"))
}
