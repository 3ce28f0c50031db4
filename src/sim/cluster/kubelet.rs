//! Scheduler and kubelet of one Pod: bind, start, become ready, end, restart, stop.
//!
//! Rule: a Pod on a machine that is off does not change; times are those of a quick cluster.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Behaviour, Cluster, NODES, after, set_condition};
use crate::sim::kind::Kind;
use crate::sim::server::{Actor, Address, Server, time};

/// Milliseconds from a Pod's creation to its binding, from there to its start, and on to its readiness.
const BIND: i64 = 20;
const START: i64 = 250;
const READY: i64 = 500;
/// From a delete to the end of the program, and to the end of the object.
const STOP: i64 = 400;
/// From the end of a program to what the kubelet makes of it.
const NOTICE: i64 = 100;
/// From a failed pull to the word for waiting.
const PULL: i64 = 700;

/// What a kubelet remembers of a Pod.
#[derive(Clone, Debug, Default)]
pub(in crate::sim) struct Run {
    /// When the present state began.
    since: Option<Timestamp>,
    /// When the program began.
    started: Option<Timestamp>,
    /// The program is to end with that code.
    kill: Option<i32>,
    /// The image that the program was made from.
    image: Option<Value>,
    /// When the kubelet saw that it is to run another one.
    changing: Option<Timestamp>,
    /// When the kubelet was told to stop it.
    stopping: Option<Timestamp>,
}

const SCHEDULER: Actor = Actor::System("scheduler");
const KUBELET: Actor = Actor::System("kubelet");

impl Cluster {
    /// The program of a Pod ends now, with that code.
    pub(in crate::sim) fn kill(&mut self, uid: &str, code: i32) {
        self.runs.entry(uid.to_owned()).or_default().kill = Some(code);
    }

    /// Makes the step of a Pod that is due. Returns when the next one will be.
    pub(super) fn tend_pod(&mut self, server: &mut Server, address: &Address) -> Option<Timestamp> {
        let now = server.now;
        let pod = server.get(Kind::Pod, &address.1, &address.2)?.clone();
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
        let behaviour = self.behaviour(&pod);
        if pod["spec"]["nodeName"].is_null() {
            let run = self.runs.entry(uid.to_owned()).or_default();
            let due = after(*run.since.get_or_insert(now), BIND);
            if due > now {
                return Some(due);
            }
            return self.schedule(server, address, behaviour).then_some(now);
        }
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        if self.off.contains_key(node) || server.get(Kind::Node, "", node).is_none() {
            return None;
        }
        let run = self.runs.entry(uid.to_owned()).or_default();
        let (due, step) = next_step(&pod, run, behaviour, now)?;
        if due > now {
            return Some(due);
        }
        run.since = Some(now);
        if matches!(step, Step::Remove) {
            server.remove(&KUBELET, address);
            return None;
        }
        server.edit(&KUBELET, address, |pod| apply(pod, run, step, now));
        Some(now)
    }

    fn schedule(&mut self, server: &mut Server, address: &Address, behaviour: Behaviour) -> bool {
        let now = server.now;
        let is_ready = |name: &&&str| {
            server.get(Kind::Node, "", name).is_some_and(|node| {
                node["status"]["conditions"][0]["status"] == "True"
                    && node["spec"]["taints"].is_null()
            })
        };
        let load = |name: &str| {
            server
                .all(Kind::Pod)
                .filter(|(_, pod)| pod["spec"]["nodeName"] == name)
                .count()
        };
        let node = NODES
            .iter()
            .filter(is_ready)
            .min_by_key(|name| load(name))
            .copied();
        let Some(node) = node.filter(|_| behaviour != Behaviour::NoCapacity) else {
            server.edit(&SCHEDULER, address, |pod| {
                let message = "0/3 nodes are available: 3 Insufficient cpu.";
                set_condition(pod, "PodScheduled", "False", "Unschedulable", message, now);
            });
            return false;
        };
        server.edit(&SCHEDULER, address, |pod| {
            pod["spec"]["nodeName"] = node.into();
            set_condition(pod, "PodScheduled", "True", "", "", now);
        });
        let uid = server
            .get(Kind::Pod, &address.1, &address.2)
            .map(|pod| pod["metadata"]["uid"].clone());
        let uid = uid
            .as_ref()
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        self.runs.entry(uid).or_default().since = Some(now);
        true
    }
}

/// What a kubelet does next with a Pod.
#[derive(Clone, Copy, Debug)]
enum Step {
    Start,
    Ready,
    Unready,
    End(i32),
    Notice,
    /// The program is stopped, because it is to run another image; that is there, and runs.
    Replace,
    Renew,
    Wait(&'static str, &'static str),
    Reject,
    Restart,
    Stop,
    Remove,
}

fn next_step(
    pod: &Value,
    run: &mut Run,
    behaviour: Behaviour,
    now: Timestamp,
) -> Option<(Timestamp, Step)> {
    let since = *run.since.get_or_insert(now);
    let container = &pod["status"]["containerStatuses"][0];
    let state = &container["state"];
    let ended = matches!(
        pod["status"]["phase"].as_str(),
        Some("Succeeded" | "Failed")
    );
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        let asked = *run.stopping.get_or_insert(now);
        return Some(if ended || !state["terminated"].is_null() {
            (after(since.max(asked), NOTICE), Step::Remove)
        } else {
            (after(asked, STOP), Step::Stop)
        });
    }
    if ended {
        return None;
    }
    if run
        .image
        .as_ref()
        .is_some_and(|image| *image != pod["spec"]["containers"][0]["image"])
    {
        return next_of_change(state, run, behaviour, now);
    }
    if !state["terminated"].is_null() {
        return Some((after(since, NOTICE), Step::Notice));
    }
    if !state["running"].is_null() {
        let started = run.started.unwrap_or(since);
        if let Some(code) = run.kill.take() {
            return Some((now, Step::End(code)));
        }
        let ready = container["ready"] == true;
        let crash = match behaviour {
            Behaviour::Crash(seconds, code) => {
                Some((after(started, seconds * 1000), Step::End(code)))
            }
            _ => None,
        };
        let turn = match (ready, behaviour) {
            (true, Behaviour::Hang) => Some((now, Step::Unready)),
            (false, Behaviour::Hang) | (true, _) => None,
            (false, _) => Some((after(started, READY), Step::Ready)),
        };
        return [crash, turn]
            .into_iter()
            .flatten()
            .min_by_key(|(due, _)| *due);
    }
    run.kill = None;
    let reason = state["waiting"]["reason"].as_str().unwrap_or_default();
    match (behaviour, reason) {
        (_, "CrashLoopBackOff") => {
            let restarts = container["restartCount"].as_i64().unwrap_or_default();
            let seconds = 10_i64
                .checked_shl(u32::try_from(restarts - 1).unwrap_or(0).min(5))
                .unwrap_or(300)
                .min(300);
            Some((after(since, seconds * 1000), Step::Restart))
        }
        (Behaviour::Rejected, _) => Some((after(since, NOTICE), Step::Reject)),
        (Behaviour::NoImage, reason) => no_image(reason, since),
        _ => Some((after(since, START), Step::Start)),
    }
}

/// What a kubelet does next with a program that is to run another image.
fn next_of_change(
    state: &Value,
    run: &mut Run,
    behaviour: Behaviour,
    now: Timestamp,
) -> Option<(Timestamp, Step)> {
    let since = *run.since.get_or_insert(now);
    if !state["running"].is_null() {
        if let Some(code) = run.kill.take() {
            return Some((now, Step::End(code)));
        }
        let asked = *run.changing.get_or_insert(now);
        return Some((after(asked, STOP), Step::Replace));
    }
    run.kill = None;
    let reason = state["waiting"]["reason"].as_str().unwrap_or_default();
    match behaviour {
        Behaviour::NoImage => no_image(reason, since),
        _ => Some((after(since, START), Step::Renew)),
    }
}

/// What a kubelet says next of an image that cannot be had.
fn no_image(reason: &str, since: Timestamp) -> Option<(Timestamp, Step)> {
    match reason {
        "ErrImagePull" => {
            let said = "Back-off pulling image \"nope\": ErrImagePull: nope: not found";
            Some((after(since, PULL), Step::Wait("ImagePullBackOff", said)))
        }
        "ImagePullBackOff" => None,
        _ => {
            let said = "failed to pull and unpack image \"nope\": nope: not found";
            Some((after(since, START), Step::Wait("ErrImagePull", said)))
        }
    }
}

fn apply(pod: &mut Value, run: &mut Run, step: Step, now: Timestamp) {
    let restarts = pod["status"]["containerStatuses"][0]["restartCount"]
        .as_i64()
        .unwrap_or_default();
    let last = pod["status"]["containerStatuses"][0]["lastState"].clone();
    let last = if last.is_object() { last } else { json!({}) };
    let image = pod["spec"]["containers"][0]["image"].clone();
    pod["status"]["observedGeneration"] = pod["metadata"]["generation"].clone();
    let running = json!({"running": {"startedAt": time(now)}});
    match step {
        Step::Start => {
            run.started = Some(now);
            run.image = Some(image);
            pod["status"]["phase"] = "Running".into();
            container(pod, run, &running, &last, restarts);
            unready(pod, now);
        }
        Step::Restart => {
            run.started = Some(now);
            container(pod, run, &running, &last, restarts + 1);
            unready(pod, now);
        }
        Step::Replace => end(pod, run, 143, &last, restarts, now),
        Step::Renew => {
            let ended = pod["status"]["containerStatuses"][0]["state"].clone();
            let last = if ended["terminated"].is_null() {
                last
            } else {
                ended
            };
            run.started = Some(now);
            run.image = Some(image);
            run.changing = None;
            container(pod, run, &running, &last, restarts + 1);
            unready(pod, now);
        }
        Step::Ready => {
            pod["status"]["containerStatuses"][0]["ready"] = true.into();
            set_condition(pod, "Ready", "True", "", "", now);
        }
        Step::Unready => {
            pod["status"]["containerStatuses"][0]["ready"] = false.into();
            unready(pod, now);
        }
        Step::End(code) => end(pod, run, code, &last, restarts, now),
        Step::Stop => {
            if pod["status"]["containerStatuses"][0]["state"]["running"].is_null() {
                pod["status"]["phase"] = "Failed".into();
            } else {
                end(pod, run, 143, &last, restarts, now);
            }
        }
        Step::Notice => notice(pod, run, restarts, now),
        Step::Wait(reason, message) => {
            let waiting = json!({"waiting": {"reason": reason, "message": message}});
            let ended = pod["status"]["containerStatuses"][0]["state"].clone();
            let last = if ended["terminated"].is_null() {
                last
            } else {
                ended
            };
            container(pod, run, &waiting, &last, restarts);
            unready(pod, now);
        }
        Step::Reject => {
            pod["status"]["phase"] = "Failed".into();
            pod["status"]["reason"] = "OutOfcpu".into();
            pod["status"]["message"] =
                "Pod was rejected: Node didn't have enough resource: cpu".into();
        }
        Step::Remove => {}
    }
}

fn end(pod: &mut Value, run: &Run, code: i32, last: &Value, restarts: i64, now: Timestamp) {
    let reason = if code == 0 { "Completed" } else { "Error" };
    let started = run.started.unwrap_or(now);
    let terminated = json!({"terminated": {"exitCode": code, "reason": reason, "startedAt": time(started),
        "finishedAt": time(now)}});
    container(pod, run, &terminated, last, restarts);
    unready(pod, now);
}

/// What becomes of a Pod whose program has ended: a first restart at once, later ones after a wait, or the end.
fn notice(pod: &mut Value, run: &mut Run, restarts: i64, now: Timestamp) {
    let ended = pod["status"]["containerStatuses"][0]["state"].clone();
    let clean = ended["terminated"]["exitCode"] == 0;
    let again = match pod["spec"]["restartPolicy"].as_str() {
        Some("Never") => false,
        Some("OnFailure") => !clean,
        _ => true,
    };
    if !again {
        pod["status"]["phase"] = if clean { "Succeeded" } else { "Failed" }.into();
    } else if restarts == 0 {
        run.started = Some(now);
        let running = json!({"running": {"startedAt": time(now)}});
        container(pod, run, &running, &ended, 1);
    } else {
        let waiting = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off restarting failed container"}});
        container(pod, run, &waiting, &ended, restarts);
    }
}

fn container(pod: &mut Value, run: &Run, state: &Value, last: &Value, restarts: i64) {
    let name = pod["spec"]["containers"][0]["name"].clone();
    let image = run
        .image
        .as_ref()
        .and_then(Value::as_str)
        .unwrap_or_default();
    pod["status"]["containerStatuses"] = json!([{"name": name, "state": state, "lastState": last,
        "restartCount": restarts, "ready": false, "image": image, "imageID": image}]);
}

fn unready(pod: &mut Value, now: Timestamp) {
    set_condition(pod, "Ready", "False", "ContainersNotReady", "", now);
}

/// When a Pod was asked to go.
pub(super) fn age(since: Timestamp, now: Timestamp) -> SignedDuration {
    now.duration_since(since)
}
