//! What the script has befall the replicas: where it strikes, and what the cluster then shows.
//!
//! Rule: a trouble that passes by itself does so after [`PASSES_AFTER_SECONDS`]; one that somebody has to end stays.

use jiff::Timestamp;

use super::{ActiveRefusal, Cluster, News};
use crate::model::fault::{Class, Verdict};
use crate::model::kubelet::set_condition;
use crate::model::pod::{ContainerView, PodConditionType, PodView, Termination};
use crate::model::window::after;
use crate::model::world::{NodeView, Refusal};
use crate::simulate::pods::{self, Run};
use crate::simulate::scene::Scene;

/// How long missing capacity and troubles of nodes last that keep a Pod from starting, in seconds.
const PASSES_AFTER_SECONDS: i64 = 120;
/// How long after `nodeLossSeconds` Kubernetes deletes what a lost node ran, in seconds.
const EVICTS_LATER: i64 = 5;

impl Cluster {
    /// When a fault that is due can strike although nothing else happens: two of one replica do not strike at once.
    pub(super) fn left_over_fault(&self) -> Option<Timestamp> {
        let mut script = self.script.clone();
        let mut hit = self.targets().into_iter().filter_map(|pod| {
            let started = self.has_started(pod);
            script.take_running(&pod.child, pod.slot, started, self.now)
        });
        hit.next().map(|_| after(self.now, 1))
    }

    /// The Pods that something is still to befall, and that it could befall now.
    fn targets(&self) -> Vec<&PodView> {
        let mut pods: Vec<&PodView> = Vec::new();
        for fault in self.script.left() {
            let worker = self.world.workers.get(&fault.target.child);
            let slot = fault.target.slot.unwrap_or(0);
            let all = worker.into_iter().flat_map(|worker| &worker.pods);
            let hit = all.filter(|pod| pod.slot == slot && self.can_be_hit(pod));
            for pod in hit.map(|pod| &**pod) {
                if !pods.iter().any(|one| one.uid == pod.uid) {
                    pods.push(pod);
                }
            }
        }
        pods
    }

    /// Pods that run meet the faults that are due for them, one each.
    pub(super) fn befall(&mut self) {
        for pod in self.targets().into_iter().cloned().collect::<Vec<_>>() {
            self.befall_one(&pod);
        }
    }

    fn befall_one(&mut self, pod: &PodView) {
        let (now, uid) = (self.now, pod.uid.as_str());
        let started = self.has_started(pod);
        let fault = self.script.take_running(&pod.child, pod.slot, started, now);
        let Some(fault) = fault else {
            return;
        };
        match fault.scene() {
            Scene::Ends(exit_code, reason, message) => {
                let end = Termination {
                    exit_code,
                    reason: reason.to_owned(),
                    message: message.to_owned(),
                    ..Termination::default()
                };
                self.end(uid, 0, end);
            }
            Scene::HookFails => self.edit(uid, |pod| pods::fail_hook(pod, now)),
            Scene::PodFails(reason, message) => {
                self.edit(uid, |pod| pods::fail(pod, reason, message, now));
            }
            Scene::Deleted(announced) => self.edit(uid, |pod| {
                announce(pod, announced, now);
                pods::delete(pod, now);
            }),
            Scene::NodeSilent => self.lose_node(pod, "does not report any more"),
            Scene::NodeOff => {
                self.lose_node(pod, "is off, and was put out of service");
                self.edit(uid, |pod| pods::delete(pod, now));
            }
            Scene::NodeGone => {
                self.lose_node(pod, "was removed from the cluster");
                self.edit(uid, |pod| {
                    announce(pod, Some("DeletionByPodGC"), now);
                    pods::delete(pod, now);
                });
            }
            // The script gives these to Pods that start only.
            Scene::Waits(..)
            | Scene::Unscheduled(..)
            | Scene::Overlooked
            | Scene::Hangs
            | Scene::Rejected(..)
            | Scene::Refused(..) => {}
        }
        self.note_node_scene(pod, fault.scene());
    }

    fn note_node_scene(&mut self, pod: &PodView, scene: Scene) {
        let Some(name) = pod.node.clone() else {
            return;
        };
        let silent = NodeView {
            not_ready_since: Some(self.now),
            unreachable: true,
            evicting: true,
            out_of_service: scene == Scene::NodeOff,
            zone: None,
        };
        let nodes = self.world.nodes.get_or_insert_default();
        match scene {
            Scene::NodeSilent | Scene::NodeOff => {
                nodes.insert(name, silent);
            }
            Scene::NodeGone => {
                nodes.remove(&name);
            }
            _ => {}
        }
    }

    fn lose_node(&mut self, pod: &PodView, how: &str) {
        let now = self.now;
        let evicted = after(now, self.patience(&pod.child) + EVICTS_LATER);
        self.runs.entry(pod.uid.clone()).or_default().evicted_at = Some(evicted);
        self.edit(&pod.uid, |pod| {
            set_condition(
                pod,
                PodConditionType::Ready,
                false,
                "NodeStatusUnknown",
                "",
                now,
            );
        });
        let node = pod.node.clone().unwrap_or_default();
        let what = format!("{node}, the node of its Pod, {how}");
        self.news
            .push(News::NodeLost(pod.child.clone(), pod.slot, what));
    }

    /// A Pod that starts meets what is to keep it from that. Returns whether there is such a thing.
    pub(super) fn meet(&mut self, uid: &str) -> bool {
        let now = self.now;
        let Some((child, slot)) = self.replica(uid) else {
            return false;
        };
        let Some(fault) = self.script.take_starting(&child, slot, now) else {
            return false;
        };
        let scene = fault.scene();
        let run = Run {
            block: Some(scene),
            lifted_at: passes(fault.class()).then(|| after(now, PASSES_AFTER_SECONDS)),
            evicted_at: None,
        };
        match scene {
            Scene::Waits(reason, message) => {
                let node = self.next_node();
                let image = self.image(&child);
                let message = message.replace("{image}", &image);
                self.edit(uid, |pod| {
                    pod.node = Some(node);
                    set_condition(pod, PodConditionType::PodScheduled, true, "", "", now);
                    if let Some(container) = pod.containers.first_mut() {
                        container.state = pods::waiting(reason, &message);
                    }
                });
            }
            Scene::Unscheduled(reason, message) => self.edit(uid, |pod| {
                let type_ = PodConditionType::PodScheduled;
                set_condition(pod, type_, false, reason, message, now);
            }),
            Scene::Rejected(reason, message) => {
                let node = self.next_node();
                self.edit(uid, |pod| {
                    pod.node = Some(node);
                    pods::fail(pod, reason, message, now);
                });
            }
            Scene::Hangs => self.run(uid),
            _ => {}
        }
        self.runs.insert(uid.to_owned(), run);
        true
    }

    /// A create is refused from now on, if the script says so.
    pub(super) fn begin_refusal(&mut self, child: &str, slot: i32) {
        let now = self.now;
        let Some(fault) = self.script.take_created(child, slot, now) else {
            return;
        };
        if let Scene::Refused(code, reason, message) = fault.scene() {
            self.refusals.push(ActiveRefusal {
                until: passes(fault.class()).then(|| after(now, PASSES_AFTER_SECONDS)),
                refusal: Refusal {
                    kind: "Pod",
                    child: child.to_owned(),
                    slot: Some(slot),
                    at: now,
                    code,
                    reason: reason.to_owned(),
                    message: message.to_owned(),
                },
            });
        }
    }

    /// Whether a Pod runs, and somebody could see something befall it.
    fn can_be_hit(&self, pod: &PodView) -> bool {
        let runs = pod
            .containers
            .first()
            .is_some_and(ContainerView::is_running);
        runs && !pod.is_deleting() && !pod.is_terminal() && !self.is_silent(pod)
    }

    /// Whether Coppice has seen the replica start.
    fn has_started(&self, pod: &PodView) -> bool {
        let worker = self.world.workers.get(&pod.child);
        let mut slots = worker.into_iter().flat_map(|worker| &worker.status.slots);
        slots.any(|slot| slot.slot == pod.slot && slot.started && slot.pod_uid == pod.uid)
    }

    fn image(&self, child: &str) -> String {
        let mut children = self.world.tree.spec.children.iter();
        let found = children.find(|one| one.name == child);
        let worker = found.and_then(|one| one.worker.as_ref());
        let image = worker.and_then(|worker| worker.template.0.pointer("/spec/containers/0/image"));
        let image = image.and_then(serde_json::Value::as_str);
        image.unwrap_or("the image").to_owned()
    }
}

fn announce(pod: &mut PodView, reason: Option<&str>, now: Timestamp) {
    if let Some(reason) = reason {
        let type_ = PodConditionType::DisruptionTarget;
        set_condition(pod, type_, true, reason, "", now);
    }
}

/// Whether a trouble passes by itself.
fn passes(class: Option<Class>) -> bool {
    let verdict = class.map(Class::verdict);
    matches!(
        verdict,
        Some(None | Some(Verdict::Wait | Verdict::Infrastructure))
    )
}
