//! Updates in place: which Pods get a changed template without being replaced, and when they have it.
//!
//! Rule: what a Pod is to get, and how its containers stood before, is stored before the Pod is changed; from then on the first
//! end of each container that changes is ordered, and the Pod is not up until all of them run what they are to run.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use super::build;
use super::decision::{Notice, Write};
use super::engine::Engine;
use super::fault::Fault;
use super::outcome::Cost;
use super::pod::{ContainerView, PodView, RestartPolicy};
use super::reasons::EventReason;
use super::replica::ended_runs;
use super::revisions::made_from;
use super::rollout::template_of;
use super::tree::{Leaf, NodeId};
use super::window::{after, api_time};
use super::world::Refusal;
use crate::api::v1alpha1::{InPlaceContainerStatus, InPlaceStatus, SlotStatus, UpdateMethod};

/// What a refusal to change a Pod is about. It is no kind of object: what is refused to a Pod that runs keeps nothing from
/// starting.
pub const KIND: &str = "Pod in place";

/// How long a container must run the same image as before, in seconds, until it is taken for the one that it is to run: two
/// names may be of one image, and a restart of which the kubelet had not told looks the same for a moment.
const SAME_IMAGE_SECONDS: i64 = 5;

/// How long a request may be under way at most, in seconds.
const REQUEST_SECONDS: i64 = 60;

/// The images that containers are to have, by name.
pub(super) type Images = Vec<(String, String)>;

/// How far an update in place has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Something has not come yet.
    Awaited,
    /// It is over then, if nothing happens until then.
    Until(Timestamp),
    /// Every container runs what it is to run.
    Done,
}

/// The update in place that a Pod goes through: it has been changed, and not all its containers run what they are to run.
pub(super) fn under_way<'m>(
    memory: Option<&'m SlotStatus>,
    pod: &PodView,
) -> Option<&'m InPlaceStatus> {
    let known = memory.filter(|slot| slot.pod_uid == pod.uid)?;
    let update = known.in_place.as_ref()?;
    (update.revision == pod.revision).then_some(update)
}

/// How many ends of containers of the Pod its update in place has ordered so far.
pub(super) fn ordered_ends(memory: Option<&SlotStatus>, pod: &PodView) -> i64 {
    under_way(memory, pod).map_or(0, |update| update.ordered_ends(pod))
}

impl InPlaceStatus {
    fn of(pod: &PodView, revision: &str, images: &Images, now: Timestamp) -> Option<Self> {
        let as_it_is = |(name, _): &(String, String)| {
            let container = judged(pod, name).filter(|one| one.is_running())?;
            Some(InPlaceContainerStatus {
                container: name.clone(),
                restarts: container.restarts,
                image: container.image.to_string(),
            })
        };
        Some(Self {
            revision: revision.to_owned(),
            since_time: api_time(now),
            containers: images.iter().map(as_it_is).collect::<Option<_>>()?,
        })
    }

    /// How many of its containers have ended since it began; each once.
    fn ordered_ends(&self, pod: &PodView) -> i64 {
        let has_ended = |known: &&InPlaceContainerStatus| {
            let container = judged(pod, &known.container);
            container.is_some_and(|one| one.ended_runs() > known.restarts)
        };
        let ended = self.containers.iter().filter(has_ended).count();
        i64::try_from(ended).unwrap_or(0)
    }

    /// Whether one of its containers has not been started again.
    pub(super) fn awaits_start(&self, pod: &PodView) -> bool {
        let is_awaited = |known: &InPlaceContainerStatus| {
            judged(pod, &known.container).is_none_or(|one| one.restarts <= known.restarts)
        };
        self.containers.iter().any(is_awaited)
    }

    fn progress(&self, pod: &PodView, now: Timestamp) -> Progress {
        // What was restarted before the kubelet had seen the change is restarted for it once more.
        if !pod.is_observed || self.awaits_start(pod) {
            return Progress::Awaited;
        }
        let mut progress = Progress::Done;
        for known in &self.containers {
            let Some(container) = judged(pod, &known.container).filter(|one| one.is_running())
            else {
                return Progress::Awaited;
            };
            // Another image says enough. The same one may be of two names.
            if container.image.to_string() != known.image {
                continue;
            }
            let since = container.running_since().unwrap_or(self.since_time.0);
            let settles_at = after(since, SAME_IMAGE_SECONDS);
            if settles_at > now {
                progress = match progress {
                    Progress::Until(time) => Progress::Until(time.max(settles_at)),
                    _ => Progress::Until(settles_at),
                };
            }
        }
        progress
    }
}

fn judged<'p>(pod: &'p PodView, name: &str) -> Option<&'p ContainerView> {
    pod.judged().find(|container| container.name == name)
}

/// The images that change from one template to another; `None` when anything else does, too, or nothing does.
fn changed_images(former: &Value, target: &Value) -> Option<Images> {
    let mut changed = former.clone();
    let containers = changed.pointer_mut("/spec/containers")?.as_array_mut()?;
    let wanted = target.pointer("/spec/containers")?.as_array()?;
    let mut images = Images::new();
    for (container, wanted) in containers.iter_mut().zip(wanted) {
        let name = container["name"].as_str()?.to_owned();
        let (old, new) = (container["image"].as_str()?, wanted["image"].as_str()?);
        if old != new && !old.is_empty() && !new.is_empty() {
            // The API server has set the policy by the image of the start, and it cannot be changed.
            let is_set = !container["imagePullPolicy"].is_null();
            if !is_set && is_latest(old) != is_latest(new) {
                return None;
            }
            images.push((name, new.to_owned()));
            container["image"] = new.into();
        }
    }
    (changed == *target && !images.is_empty()).then_some(images)
}

/// Whether Kubernetes always pulls an image of that name unless a container says otherwise: its tag is `latest`, or it has neither
/// tag nor digest.
fn is_latest(image: &str) -> bool {
    if image.contains('@') {
        return false;
    }
    let name = image.rsplit_once('/').map_or(image, |(_, name)| name);
    name.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

/// What changes from one template of a worker to another, by both, so that it is compared once for many Pods.
#[derive(Default)]
struct Changes(BTreeMap<(String, String), Option<Images>>);

impl<'a> Engine<'a> {
    /// Ends the updates in place that are over, and forgets those of Pods that were not changed after all: not before a request
    /// that is under way would have come.
    pub(super) fn follow_updates_in_place(&mut self) {
        let mut wakes = Vec::new();
        for (id, replicas) in &self.replicas {
            let child = self.tree.nodes[*id].name;
            for view in &replicas.wanted {
                let known = self.memory.slot(child, view.slot);
                let Some(pod) = view.current else { continue };
                if known.is_none_or(|slot| slot.in_place.is_none()) {
                    continue;
                }
                let update = under_way(known, pod);
                let progress = update.map(|update| update.progress(pod, self.now));
                let ordered = ordered_ends(known, pod);
                // Ends are counted without those that were ordered until all others are judged.
                let open = known.map_or(0, |slot| ended_runs(pod, known) - slot.deaths);
                let slot = self.memory.slot_mut(child, view.slot);
                match progress {
                    None => {
                        let came_to_nothing = |update: &mut InPlaceStatus| {
                            let ends = after(update.since_time.0, 2 * REQUEST_SECONDS);
                            wakes.extend(Some(ends).filter(|ends| *ends > self.now));
                            ends <= self.now
                        };
                        drop(slot.in_place.take_if(came_to_nothing));
                    }
                    Some(Progress::Done) if open <= 0 => {
                        slot.in_place = None;
                        slot.deaths += ordered;
                        slot.started = false;
                    }
                    // It is a new life.
                    Some(Progress::Awaited | Progress::Done) => slot.started = false,
                    Some(Progress::Until(time)) => {
                        slot.started = false;
                        wakes.push(time);
                    }
                }
            }
        }
        for time in wakes {
            self.wake(time);
        }
    }

    /// Whether every Pod that is to give way, and is alive, could be updated in place: then none need be added for that.
    pub(super) fn could_all_be_in_place(
        &self,
        id: NodeId,
        leaf: &Leaf<'_>,
        slots: &BTreeSet<i32>,
    ) -> bool {
        let mut changes = Changes::default();
        let wanted = self.replicas.get(&id).into_iter().flat_map(|r| &r.wanted);
        let mut pods = wanted
            .filter(|view| slots.contains(&view.slot))
            .filter_map(|view| view.current);
        self.may_be_in_place(id, leaf)
            && pods.all(|pod| {
                let images =
                    self.images_for(id, pod, (&leaf.template, &leaf.revision), &mut changes);
                images.is_some() && leaf.is_as(pod, &pod.revision, self.now)
            })
    }

    /// Decides which of these slots are updated in place, stores that, and gives back the others.
    pub(super) fn begin_in_place(
        &mut self,
        id: NodeId,
        leaf: &Leaf<'a>,
        replaced: Vec<i32>,
    ) -> Vec<i32> {
        if !self.may_be_in_place(id, leaf) {
            return replaced;
        }
        let mut changes = Changes::default();
        let (mut recreated, mut begun) = (Vec::new(), Vec::new());
        for slot in replaced {
            match self.in_place(id, leaf, slot, &mut changes) {
                Some((update, images)) => begun.push((slot, update, images)),
                None => recreated.push(slot),
            }
        }
        let name = self.tree.nodes[id].name;
        for (slot, mut update, images) in begun {
            let stored = self.worker(id).map(|worker| &worker.status.slots);
            let mut stored = stored.into_iter().flatten();
            let stored = stored.find(|one| one.slot == slot);
            let stored = stored.and_then(|one| one.in_place.as_ref());
            // What was decided a moment ago, and has not been done, is not decided again.
            if let Some(known) = stored.filter(|known| {
                known.revision == update.revision
                    && known.containers == update.containers
                    && after(known.since_time.0, REQUEST_SECONDS) > self.now
            }) {
                update.since_time = known.since_time.clone();
            } else {
                self.memory.intend_worker(name);
            }
            self.memory.slot_mut(name, slot).in_place = Some(update);
            self.in_place.insert((id, slot), images);
        }
        recreated
    }

    /// The update in place of a slot, when that is possible now.
    fn in_place(
        &self,
        id: NodeId,
        leaf: &Leaf<'a>,
        slot: i32,
        changes: &mut Changes,
    ) -> Option<(InPlaceStatus, Images)> {
        let wanted = self.replicas.get(&id).into_iter().flat_map(|r| &r.wanted);
        let mut views = wanted.filter(|view| view.slot == slot);
        let view = views.next()?;
        let pod = view.current?;
        let known = self.slot(id, slot).filter(|slot| slot.pod_uid == pod.uid)?;
        let is_waiting = known.parked.as_ref().is_some_and(|parked| parked.waiting);
        // One that is not through with another change is simply made anew.
        let is_at_rest = under_way(Some(known), pod).is_none() && !known.gone && !is_waiting;
        let is_well = self.life(id, view).alive && pod.runs() && !pod.is_deleting();
        let is_settled = !self.unsettled.contains(&(id, slot));
        let is_asked_to_restart = !leaf.is_as(pod, &pod.revision, self.now);
        let is_possible = is_at_rest && is_well && is_settled && !is_asked_to_restart;
        if !is_possible {
            return None;
        }
        let (template, revision) = self.template_of_slot(id, leaf, slot);
        let images = self.images_for(id, pod, (template, &revision), changes)?;
        let update = InPlaceStatus::of(pod, &revision, &images, self.now)?;
        Some((update, images))
    }

    /// The images that a Pod would get with a template, if nothing else had to change.
    fn images_for(
        &self,
        id: NodeId,
        pod: &PodView,
        (template, revision): (&Value, &str),
        changes: &mut Changes,
    ) -> Option<Images> {
        let name = self.name(id);
        let refused = self.memory.workers.get(name)?.in_place_refused.as_str();
        if pod.restart_policy != RestartPolicy::Always || refused == revision {
            return None;
        }
        let former = template_of(self.world, name, &pod.revision)?;
        let between = (pod.revision.clone(), revision.to_owned());
        let images = changes.0.entry(between);
        let images = images.or_insert_with(|| changed_images(former, template));
        // Where something else gave the Pod its images, it is to give them to the next one, too.
        let listed = former.pointer("/spec/containers")?.as_array()?;
        let is_as_made = |container: &Value| {
            let name = container["name"].as_str().unwrap_or_default();
            container["image"] == pod.spec.image_of(name)
        };
        images.clone().filter(|_| listed.iter().all(is_as_made))
    }

    /// Whether Pods of a worker are updated in place at all.
    fn may_be_in_place(&self, id: NodeId, leaf: &Leaf<'_>) -> bool {
        leaf.settings.update.method == UpdateMethod::InPlaceIfPossible
            && build::kubelet_restarts(self.tree.parent_policy(id), leaf) == RestartPolicy::Always
    }

    /// The write that updates a Pod in place, when that is to be made now.
    pub(super) fn plan_in_place(&self, id: NodeId, slot: i32, pod: &PodView) -> Option<Write> {
        let images = self.in_place.get(&(id, slot))?;
        let update = self.slot(id, slot)?.in_place.as_ref()?;
        Some(Write::PatchPod {
            child: pod.child.clone(),
            slot,
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            resource_version: pod.resource_version.clone(),
            revision: update.revision.clone(),
            images: images.clone(),
        })
    }

    /// Since when a Pod is of the template that it is of.
    pub(super) fn made_at(&self, id: NodeId, slot: i32, pod: &PodView) -> Timestamp {
        let update = under_way(self.slot(id, slot), pod);
        update.map_or(pod.created, |update| update.since_time.0)
    }

    /// The API server does not let Pods of a worker be changed to that template: they are recreated.
    pub(super) fn refuse_in_place(&mut self, refusal: &Refusal, fault: &Fault) {
        let stored = self.world.workers.get(&refusal.child);
        let slots = stored
            .map(|worker| &worker.status.slots)
            .into_iter()
            .flatten();
        let mut slots = slots.filter(|slot| Some(slot.slot) == refusal.slot);
        let refused = slots.find_map(|slot| Some(slot.in_place.as_ref()?.revision.clone()));
        let worker = self.memory.workers.get_mut(&refusal.child);
        let Some((worker, refused)) = worker.zip(refused) else {
            return;
        };
        if worker.in_place_refused == refused {
            return;
        }
        worker.in_place_refused = refused;
        self.memory.intend_worker(&refusal.child);
        self.tell_recreated(&refusal.child, &fault.message);
    }

    /// Tells, when a worker gets another template, that its Pods cannot be updated in place.
    pub(super) fn tell_impossible_in_place(&mut self, id: NodeId, leaf: &Leaf<'_>) {
        let name = self.name(id);
        let present = self.memory.workers.get(name).map(|worker| &worker.revision);
        let is_asked = leaf.settings.update.method == UpdateMethod::InPlaceIfPossible;
        let Some(present) = present.filter(|present| is_asked && !present.is_empty()) else {
            return;
        };
        let former = template_of(self.world, name, present);
        let target = template_of(self.world, name, &leaf.target);
        let target = target.map_or_else(|| made_from(leaf.settings), Cow::Borrowed);
        let bounds = self.bounds(id, leaf);
        let why = if !self.may_be_in_place(id, leaf) {
            "the kubelet does not restart its containers, which it does for a Permanent worker of a OneForOne supervisor only"
        } else if former.is_some_and(|former| changed_images(former, &target).is_none()) {
            "more than images of its app containers is changed"
        } else if bounds.unavailable == 0 && bounds.surge >= bounds.replicas {
            "not one of its replicas may be down meanwhile, and as many Pods are added first: to keep them, write `maxUnavailable: 1`, and `maxSurge: 0` where its quorum is all its replicas"
        } else {
            return;
        };
        self.tell_recreated(name, why);
    }

    fn tell_recreated(&mut self, child: &str, why: &str) {
        self.notices.push(Notice {
            reason: EventReason::NotUpdatedInPlace.as_str().to_owned(),
            action: "Update",
            child: child.to_owned(),
            what: "is not updated in place, its Pods are recreated".to_owned(),
            why: why.to_owned(),
            cost: Some(Cost::Free),
            ..Notice::default()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fault::testing;
    use crate::model::pod::ImageMark;

    /// A Pod whose container runs that image since `at(since)`, after so many restarts.
    fn running(image: &str, restarts: i64, since: i64) -> PodView {
        let pod = testing::pod("p").but(|pod| {
            pod.containers[0] = testing::container("main").running(testing::at(since));
            pod.containers[0].restarts = restarts;
            pod.containers[0].image = ImageMark::of(image);
        });
        pod.build()
    }

    fn ended(restarts: i64) -> PodView {
        let mut pod = running("one", restarts, 0);
        crate::model::kubelet::stop_changed(&mut pod, 0, testing::at(10));
        pod
    }

    #[test]
    fn it_is_over_when_the_container_was_restarted_and_runs_the_image() {
        let before = running("one", 2, 0);
        let images = vec![("main".to_owned(), "two".to_owned())];
        let update = InPlaceStatus::of(&before, "r2", &images, testing::at(5)).unwrap();
        assert!(InPlaceStatus::of(&ended(2), "r2", &images, testing::at(5)).is_none());
        let mut unseen = running("two", 3, 20);
        unseen.is_observed = false;
        let mut of_one = running("one", 3, 20);
        of_one.is_observed = false;
        let settled = Progress::Until(testing::at(25));
        for (pod, ends, at, progress) in [
            (before.clone(), 0, 20, Progress::Awaited),
            (ended(2), 1, 20, Progress::Awaited),
            (running("two", 3, 20), 1, 20, Progress::Done),
            (unseen, 1, 20, Progress::Awaited),
            (of_one, 1, 30, Progress::Awaited),
            // Under another name it may be the same image, and it may be the restart before.
            (running("one", 3, 20), 1, 20, settled),
            (running("one", 3, 20), 1, 25, Progress::Done),
            // The second end is none of ours.
            (ended(3), 1, 25, Progress::Awaited),
        ] {
            assert_eq!(update.ordered_ends(&pod), ends, "{pod:?}");
            assert_eq!(update.progress(&pod, testing::at(at)), progress, "{pod:?}");
        }
        let slot = SlotStatus {
            pod_uid: before.uid.clone(),
            in_place: Some(update),
            ..SlotStatus::default()
        };
        assert!(
            under_way(Some(&slot), &before).is_none(),
            "it was not changed yet"
        );
        let changed = PodView {
            revision: "r2".into(),
            ..before
        };
        assert!(under_way(Some(&slot), &changed).is_some());
    }

    #[test]
    fn only_images_of_app_containers_change_in_place() {
        let template = |text: &str| serde_yaml::from_str::<Value>(text).unwrap();
        let former = "{metadata: {labels: {a: b}}, spec: {containers: [{name: app, image: one}, {name: log, image: x}]}}";
        let images = |target: &str| changed_images(&template(former), &template(target));
        let pair = |name: &str, image: &str| (name.to_owned(), image.to_owned());
        let both = former.replace("one", "two").replace(": x", ": y");
        assert_eq!(
            images(&former.replace("one", "two")),
            Some(vec![pair("app", "two")])
        );
        assert_eq!(
            images(&both),
            Some(vec![pair("app", "two"), pair("log", "y")])
        );
        for same in ["one:latest", "here:5000/one"] {
            assert!(images(&former.replace("one", same)).is_some(), "{same}");
        }
        for target in [
            former.to_owned(),
            former.replace("a: b", "a: c"),
            both.replace("name: log", "name: other"),
            both.replace("image: two", "image: two, tty: true"),
            both.replace(", {name: log, image: y}", ""),
            both.replace("}]}}", "}, {name: more, image: z}]}}"),
            former.replace(", image: one", ""),
            former.replace("one", "one:1"),
            former.replace("one", "one@sha256:0"),
            former.replace("spec: {", "spec: {initContainers: [{name: i, image: z}], "),
        ] {
            assert_eq!(images(&target), None, "{target}");
        }
    }
}
