//! Revisions: the templates of all workers of a tree, each set with a name, a number and a mark.
//!
//! Rule: a name is a hash of the templates, so that the same templates are the same revision whoever asks for them, and
//! whichever version of Coppice stores them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use super::build;
use super::decision::Write;
use super::engine::Engine;
use super::names;
use super::tree::{Leaf, NodeId, ROOT_NAME, Tree};
use super::window::after;
use crate::api::v1alpha1::{PodTemplate, RevisionMark, RevisionStatus, WorkerSettings};

/// The field of a Pod's spec that `serviceName` becomes. The schema of a template does not have it.
pub(super) const SUBDOMAIN: &str = "subdomain";

/// What the Pods of a worker are made from: its template, and its `serviceName`, which belongs to what is rolled out and taken
/// back.
pub(super) fn made_from(settings: &WorkerSettings) -> Cow<'_, Value> {
    with_service(&settings.template.0, settings.service_name.as_deref())
}

fn with_service<'a>(template: &'a Value, service: Option<&str>) -> Cow<'a, Value> {
    let Some(service) = service else {
        return Cow::Borrowed(template);
    };
    let mut template = template.clone();
    if let Some(spec) = template.get_mut("spec").and_then(Value::as_object_mut) {
        spec.insert(SUBDOMAIN.to_owned(), service.into());
    }
    Cow::Owned(template)
}

/// The template of one worker, as a revision holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredTemplate {
    /// Revision of the template: what Pods that are made from it are labelled with.
    pub revision: String,
    /// The template.
    pub template: PodTemplate,
}

impl StoredTemplate {
    /// The templates that the `data` of a `ControllerRevision` holds, by worker.
    pub fn all_in(data: &Value) -> BTreeMap<String, Self> {
        let templates = data.get("templates").and_then(Value::as_object);
        let templates = templates.into_iter().flatten();
        let read = |(child, template): (&String, &Value)| {
            let stored = Self {
                revision: names::revision(template),
                template: PodTemplate(template.clone()),
            };
            (child.clone(), stored)
        };
        templates.map(read).collect()
    }
}

impl StoredTemplate {
    /// Gives a worker, as the API server has it, this template and what goes with it. Says whether that changes it.
    pub fn give_to(&self, worker: &mut Value) -> bool {
        if *with_service(&worker["template"], worker["serviceName"].as_str()) == self.template.0 {
            return false;
        }
        let mut template = self.template.0.clone();
        let spec = template.get_mut("spec").and_then(Value::as_object_mut);
        let service = spec.and_then(|spec| spec.remove(SUBDOMAIN));
        worker["template"] = template;
        if let Some(worker) = worker.as_object_mut() {
            worker.remove("serviceName");
            worker.extend(service.map(|service| ("serviceName".to_owned(), service)));
        }
        true
    }
}

impl Tree<'_> {
    /// The name of the revision that the spec asks for: of the templates of all workers, whatever their order.
    pub fn revision(&self, tree: &str) -> String {
        let mut templates: Vec<[&str; 2]> = self
            .leaves()
            .map(|(id, leaf)| [self.nodes[id].name, leaf.revision.as_str()])
            .collect();
        templates.sort_unstable();
        format!("{tree}-{}", names::hash(templates.as_flattened()))
    }
}

impl Engine<'_> {
    /// Notes which revision the spec asks for. A new one, or one that is asked for again, gets the next number; that is to be
    /// stored before anything is made from it. Says whether one that had failed is tried again, so that the tree is to have
    /// other templates from now on.
    pub(super) fn note_revision(&mut self) -> bool {
        if self.world.tree.deleting {
            return false;
        }
        let wanted = self.tree.wanted.clone();
        let mut revisions = std::mem::take(&mut self.memory.tree.revisions);
        // What is stored of a revision and not remembered: the status was lost.
        for stored in &self.world.revisions {
            if !revisions.iter().any(|known| known.name == stored.name) {
                revisions.push(RevisionStatus {
                    name: stored.name.clone(),
                    number: stored.number,
                    mark: RevisionMark::Unproven,
                    promoted_before: None,
                    failed: None,
                });
            }
        }
        let newest = revisions.iter().map(|known| known.number).max();
        let known = revisions.iter().position(|known| known.name == wanted);
        let is_newest = known.is_some_and(|place| Some(revisions[place].number) == newest);
        let retry = self.world.tree.spec.rollout.retry_at.as_ref();
        if let Some(time) = retry {
            self.wake(time.0);
        }
        let retry = retry.filter(|time| time.0 <= self.now);
        let is_retried = known.is_some_and(|place| {
            let failed = revisions[place].failed.as_ref();
            failed.is_some_and(|failed| {
                !is_newest || retry.is_some_and(|time| time.0 > failed.time.0)
            })
        });
        let is_retried = is_retried && self.world.refusals.is_empty();
        if !is_newest || is_retried {
            let old = known.map(|place| revisions.remove(place));
            // One that was left for another that was proved, too, is not what the tree runs, and has to prove itself again.
            let good = old.filter(|old| old.mark == RevisionMark::Good);
            let good = good.is_some_and(|old| !self.has_good_after(old.number, &revisions));
            // Also of one that is tried again: what was promoted of it before is not promoted now.
            let number = newest.unwrap_or(0) + 1;
            revisions.push(RevisionStatus {
                name: wanted.clone(),
                number,
                mark: if good {
                    RevisionMark::Good
                } else {
                    RevisionMark::Unproven
                },
                promoted_before: self.promoted_step(number),
                failed: None,
            });
            self.memory.intend_tree();
        }
        revisions.retain(|known| known.name == wanted || self.is_stored(&known.name));
        revisions.sort_by_key(|known| known.number);
        if let Some(last) = revisions.last_mut()
            && last.promoted_before != self.promoted_step(last.number)
        {
            last.promoted_before = None;
        }
        let newest = revisions.last().map_or(0, |known| known.number);
        self.memory.tree.revision = self.tree.goes_back.unwrap_or(newest);
        self.memory.tree.revisions = revisions;
        self.note_rollout();
        is_retried
    }

    /// Whether the revision that the spec asks for is stored.
    pub(super) fn is_revision_stored(&self) -> bool {
        let wanted = self.memory.tree.revisions.last();
        wanted.is_some_and(|wanted| self.is_stored_as_asked(&wanted.name))
    }

    /// Whether what is stored under that name has the templates that the spec asks for. A name is a short hash: other templates
    /// may have the same.
    fn is_stored_as_asked(&self, name: &str) -> bool {
        let mut stored = self.world.revisions.iter();
        stored
            .find(|stored| stored.name == name)
            .is_some_and(|stored| {
                let has = |(id, leaf): (NodeId, &Leaf<'_>)| {
                    let template = stored.templates.get(self.name(id));
                    let asked = made_from(leaf.settings);
                    template.is_some_and(|template| template.template.0 == *asked)
                };
                stored.templates.len() == self.tree.leaves().count() && self.tree.leaves().all(has)
            })
    }

    /// The step that `rollout.promote` names of the revision of that number.
    fn promoted_step(&self, number: i64) -> Option<i32> {
        let promotion = self.world.tree.spec.rollout.promote?;
        (promotion.revision == number).then_some(promotion.step)
    }

    /// Whether a revision after that one was proved good, and the tree can be taken back to it.
    fn has_good_after(&self, number: i64, revisions: &[RevisionStatus]) -> bool {
        let mut later = revisions.iter().filter(|known| known.number > number);
        later.any(|known| known.mark == RevisionMark::Good && self.is_stored(&known.name))
    }

    fn is_stored(&self, name: &str) -> bool {
        let mut stored = self.world.revisions.iter();
        stored.any(|stored| stored.name == name)
    }

    /// The revision that the spec asks for is stored before any Pod is made from it.
    pub(super) fn plan_new_revision(&mut self, writes: &mut Vec<Write>) {
        let wanted = self.memory.tree.revisions.last().cloned();
        let missing = wanted.filter(|wanted| !self.is_stored_as_asked(&wanted.name));
        let Some(wanted) = missing.filter(|_| !self.world.tree.deleting) else {
            return;
        };
        if !self.waits_to_store_revisions() {
            writes.push(Write::CreateRevision {
                body: build::revision(&self.world.tree, self.tree, &wanted),
                name: wanted.name,
            });
        }
    }

    /// Whether a write of a revision was refused a moment ago.
    fn waits_to_store_revisions(&mut self) -> bool {
        let mut refused = self.memory.tree.refused.iter();
        let refused = refused.find(|one| one.child == ROOT_NAME);
        let due = refused.map(|one| one.due_time.0);
        let due = due.filter(|due| *due > self.now);
        if let Some(due) = due {
            self.wake(due);
        }
        due.is_some()
    }

    /// A revision that is asked for again has a new number, and those that nobody needs any more go. Nothing waits for this.
    pub(super) fn plan_known_revisions(&mut self, writes: &mut Vec<Write>) {
        if self.world.tree.deleting {
            return;
        }
        let mut numbered = self.revisions_to_number();
        if !numbered.is_empty() && !self.waits_to_store_revisions() {
            writes.append(&mut numbered);
        }
        // The present one is kept besides.
        if self.world.revisions.len() <= self.history_limit() + 1 {
            return;
        }
        let kept = self.kept_revisions();
        let surplus = self.world.revisions.iter();
        let surplus = surplus.filter(|one| !one.deleting && !kept.contains(one.name.as_str()));
        writes.extend(surplus.map(|one| Write::DeleteRevision {
            name: one.name.clone(),
            uid: one.uid.clone(),
        }));
    }

    /// What gives the stored revisions the numbers that the tree knows them by.
    pub(super) fn revisions_to_number(&self) -> Vec<Write> {
        let mut numbered = Vec::new();
        for known in &self.memory.tree.revisions {
            let mut stored = self.world.revisions.iter();
            let stored = stored.find(|one| one.name == known.name && one.number != known.number);
            numbered.extend(stored.map(|stored| Write::NumberRevision {
                name: stored.name.clone(),
                resource_version: stored.resource_version.clone(),
                number: known.number,
            }));
        }
        numbered
    }

    fn history_limit(&self) -> usize {
        usize::try_from(self.world.tree.spec.revision_history_limit).unwrap_or(0)
    }

    /// The one that is wanted, the last good one, and of the others the newest, as many as the spec says, and those that hold
    /// a template which a worker is still on.
    fn kept_revisions(&self) -> BTreeSet<&str> {
        let limit = self.history_limit();
        let mut newest_first = self.memory.tree.revisions.iter().rev();
        let wanted = newest_first.next();
        let is_good = |known: &&RevisionStatus| known.mark == RevisionMark::Good;
        let good = self.memory.tree.revisions.iter().rev().find(is_good);
        let needed = wanted.into_iter().chain(good);
        let mut kept: BTreeSet<&str> = needed
            .chain(newest_first.take(limit))
            .map(|known| known.name.as_str())
            .collect();
        for (child, worker) in &self.memory.workers {
            let slots = worker.slots.iter().map(|slot| slot.revision.as_str());
            let used: BTreeSet<&str> = std::iter::once(worker.revision.as_str())
                .chain(slots)
                .filter(|revision| !revision.is_empty())
                .collect();
            for used in used {
                let stored = self.world.revisions.iter();
                let mut holding = stored.filter(|one| {
                    let template = one.templates.get(child);
                    template.is_some_and(|template| template.revision == used)
                });
                if !holding.clone().any(|one| kept.contains(one.name.as_str())) {
                    kept.extend(holding.next().map(|one| one.name.as_str()));
                }
            }
        }
        kept
    }

    /// A revision is good once all its Pods are there and the workers that it changed have been up for long enough since then.
    pub(super) fn prove_revision(&mut self) {
        let probation = i64::from(self.world.tree.spec.rollout.probation_seconds);
        let unproven = self.memory.tree.revisions.last();
        if !unproven.is_some_and(|known| known.mark == RevisionMark::Unproven) {
            return;
        }
        if self.is_frozen() || !self.is_through() {
            return;
        }
        let Some(since) = self.alive_since_all(&self.proving_workers()) else {
            return;
        };
        let rollout = self.memory.tree.rollout.as_ref();
        let updated = rollout.and_then(|rollout| Some(rollout.updated_time.as_ref()?.0));
        let proved = after(updated.unwrap_or(since).max(since), probation);
        if proved > self.now {
            self.wake(proved);
        } else if let Some(known) = self.memory.tree.revisions.last_mut() {
            known.mark = RevisionMark::Good;
            self.memory.tree.rollout = None;
            self.memory.intend_tree();
        }
    }

    /// Whether there are workers that can prove the revision that the spec asks for, and all of them are updated. One that
    /// changes no worker needs no proof.
    fn is_through(&mut self) -> bool {
        let proving = self.proving_workers();
        if proving.is_empty() && self.changes_a_worker() {
            return false;
        }
        let is_there = |id: &NodeId| self.has_target(*id) && self.is_updated(*id);
        proving.iter().all(is_there)
    }

    /// The workers that run, and whose template the revision changes; of the first one all that run.
    fn proving_workers(&self) -> Vec<NodeId> {
        let good = self.last_good();
        let all = self.tree.leaves();
        let runs = |id: NodeId, leaf: &Leaf<'_>| {
            self.is_enabled(id) && !self.is_over(id) && self.replicas_wanted(id, leaf) > 0
        };
        let proving = all.filter(|(id, leaf)| {
            runs(*id, leaf) && good.is_none_or(|good| self.is_new_leaf(*id, leaf, good))
        });
        proving.map(|(id, _)| id).collect()
    }

    fn changes_a_worker(&self) -> bool {
        let Some(good) = self.last_good() else {
            return true;
        };
        let mut all = self.tree.leaves();
        all.any(|(id, leaf)| self.is_new_leaf(id, leaf, good))
    }

    /// Since when all replicas of these workers have been alive; `None` while one is not.
    fn alive_since_all(&self, workers: &[NodeId]) -> Option<Timestamp> {
        let lives = workers.iter().flat_map(|id| self.lives(*id));
        let mut since = Timestamp::MIN;
        for (_, life) in lives.filter(|(_, life)| !life.finished) {
            since = since.max(life.alive_since?);
        }
        Some(since)
    }
}
