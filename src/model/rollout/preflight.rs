//! The API server is asked whether it would take the Pods of a new revision, before the first one of a former revision goes.
//!
//! Rule: only a refusal that is about the template is one of the revision; anything else is left to the Pods to show.

use super::Stage;
use super::gate::Failure;
use crate::api::v1alpha1::RolloutFailurePolicy;
use crate::model::build;
use crate::model::decision::{Notice, Write};
use crate::model::engine::Engine;
use crate::model::fault::{self, Class};
use crate::model::reasons::EventReason;
use crate::model::revisions::made_from;
use crate::model::tree::NodeId;
use crate::model::world::Try;

/// What is wrong with a template itself, whatever else there is in the namespace by now or in a moment.
const OF_TEMPLATE: [Class; 5] = [
    Class::PodSpecInvalid,
    Class::LimitRangeViolation,
    Class::PodSecurityViolation,
    Class::QuotaRequiresResources,
    Class::WebhookDenied,
];
/// What the API server says where a webhook cannot be asked without effect.
const CANNOT_TRY: &str = "does not support dry run";

impl Engine<'_> {
    /// The workers of whose new template the API server has not been asked yet.
    pub(super) fn untried(&self) -> Vec<NodeId> {
        let mut untried = self.to_be_tried();
        untried.retain(|id| self.answer(*id).is_none() && self.worker(*id).is_some());
        untried
    }

    /// What the API server would refuse of the new revision because of a template.
    pub(super) fn refused_try(&self) -> Option<Failure> {
        let tried = self.to_be_tried().into_iter();
        let mut refused = tried.filter_map(|id| {
            let answer = self.answer(id)?;
            let refusal = answer.refusal.as_ref()?;
            let fault = fault::identify_refusal(refusal);
            let is_of_template =
                OF_TEMPLATE.contains(&fault.class) && !refusal.message.contains(CANNOT_TRY);
            let child = self.name(id);
            is_of_template.then(|| Failure {
                child: child.to_owned(),
                class: fault.class.as_str().to_owned(),
                at: answer.at,
                message: format!("a Pod of {child} would be refused: {}", fault.message),
            })
        });
        refused.next()
    }

    /// The workers that get another template in a rollout that may fail, and whose turn has not come.
    fn to_be_tried(&self) -> Vec<NodeId> {
        let is_judged = self.world.tree.spec.rollout.on_failure != RolloutFailurePolicy::None;
        let rollout = self.memory.tree.rollout.as_ref();
        let rollout = rollout.filter(|_| is_judged && !self.is_frozen());
        let Some(good) = rollout.and_then(|_| self.last_good()) else {
            return Vec::new();
        };
        let mut waiting = self.changed_workers(good);
        // What is added takes nothing down.
        waiting.retain(|id| self.stage(*id) == Stage::Former);
        waiting
    }

    /// What the API server has said of the new template of a worker since the rollout began.
    fn answer(&self, id: NodeId) -> Option<&Try> {
        let (leaf, rollout) = (self.tree.leaf(id)?, self.memory.tree.rollout.as_ref()?);
        let answer = self.world.tried.get(self.name(id))?;
        (answer.revision == leaf.target && answer.at >= rollout.since_time.0).then_some(answer)
    }

    /// Asks whether a Pod would be taken.
    pub(in crate::model) fn plan_tries(&mut self, writes: &mut Vec<Write>) {
        for id in std::mem::take(&mut self.tries) {
            let (Some(leaf), Some(worker)) = (self.tree.leaf(id), self.worker(id)) else {
                continue;
            };
            let child = self.name(id);
            let template = made_from(leaf.settings);
            let place = build::Place {
                tree: &self.world.tree,
                child,
                leaf,
                template: &template,
                revision: &leaf.target,
                policy: self.tree.parent_policy(id),
                worker,
                slot: 0,
                incarnation: self.memory.incarnation(child),
                zoned: self.world.zoned,
                memory: None,
                now: self.now,
            };
            writes.push(Write::TryPod {
                child: child.to_owned(),
                revision: leaf.target.clone(),
                body: build::tried_pod(&place),
            });
            // Nothing will be seen of a Pod that is not made.
            self.wake_at = Some(self.now);
        }
    }

    /// Tells people that the API server was asked about the new template of a worker, and could not say.
    pub(super) fn tell_open_try(&mut self, id: NodeId) {
        let answer = self.answer(id).and_then(|answer| answer.refusal.clone());
        let Some(refusal) = answer.filter(|_| self.tree.goes_back.is_none()) else {
            return;
        };
        self.notices.push(Notice {
            reason: EventReason::NotTried.as_str().to_owned(),
            action: "Try",
            child: self.name(id).to_owned(),
            what: "gets its new template although the API server could not say beforehand whether it takes such a Pod"
                .to_owned(),
            why: fault::identify_refusal(&refusal).message,
            ..Notice::default()
        });
    }
}
