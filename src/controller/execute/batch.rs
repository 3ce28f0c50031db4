//! Makes the writes of a decision: in order, and those that do not depend on each other together.
//!
//! Rule: together go only writes of one sort, first one, then one more with each that works, so that what cannot work
//! fails once and not a thousand times.

use std::collections::BTreeSet;
use std::mem::discriminant;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::api::Preconditions;
use serde_json::Value;
use tokio::time::Instant;

use super::super::error::Error;
use super::super::kinds::{Claims, DisruptionBudgets, Kind, Pods, Revisions, Trees, Workers};
use super::super::memory::Written;
use super::super::observe::{is_ours, reread};
use super::super::wire::controller_of;
use super::grant;
use super::requests::{self, Ours, create, delete, scale};
use super::{Effect, Execution, PARALLEL};
use crate::api::labels;
use crate::api::v1alpha1::GROUP;
use crate::model::decision::Write;
use crate::model::in_place;
use crate::model::tree::ROOT_NAME;
use crate::model::world::{Refusal, Try};

/// How old what was seen may be when a Pod is taken down because the bounds of an update allow it: others may have gone down since.
/// Before it intents are stored, and those before it in the batch are made.
const LONGEST_BETWEEN: Duration = Duration::from_secs(2);

impl Execution<'_> {
    /// Makes all writes, or those up to the first error, old view or edit of the tree; of deletes that go together all are
    /// made. What is refused to one child is no reason to keep the others waiting: only the rest of that child's writes
    /// is left out. A refusal that the next decision will not know of is the error in the end.
    pub(super) async fn perform(&mut self, writes: &[Write]) -> Result<Effect, Error> {
        let mut outcome = Outcome::default();
        for alike in writes.chunk_by(|a, b| discriminant(a) == discriminant(b)) {
            if let [write @ (Write::AddFinalizer | Write::RemoveFinalizer)] = alike {
                if self.may_begin() {
                    let result = self.set_finalizer(*write == Write::AddFinalizer).await;
                    outcome.take_in(write, result);
                }
            } else {
                self.together(alike, &mut outcome).await;
            }
            if outcome.end.is_some() || outcome.stale {
                break;
            }
        }
        outcome.sum()
    }

    /// Makes writes of one sort side by side: one, and with each that works one more, up to the limit.
    async fn together<'w>(&self, alike: &'w [Write], outcome: &mut Outcome<'w>) {
        let mut left = alike.iter();
        let mut begun = FuturesUnordered::new();
        let mut width = 1;
        loop {
            while begun.len() < width && outcome.end.is_none() && self.may_begin() {
                let Some(write) = left.find(|write| outcome.may_go_on(write)) else {
                    break;
                };
                begun.push(async move { (write, self.single(write).await) });
            }
            // Whatever one of them says, the others are waited for: they are under way.
            let Some((write, result)) = begun.next().await else {
                break;
            };
            if outcome.take_in(write, result) {
                width = (width + 1).min(PARALLEL);
            }
        }
    }

    fn may_begin(&self) -> bool {
        Instant::now() < self.deadline && self.is_current()
    }

    /// Whether the tree is still asked for as it was when this was decided, because an edit acts at the next step; and
    /// nobody else has written a status since, because what another operator did may have made a name free again.
    fn is_current(&self) -> bool {
        let (views, decided) = (self.context.views.lock(), &self.observation.world.tree);
        let key = &self.observation.key;
        let tree = views.trees.get(key);
        tree.is_some_and(|tree| tree.uid == decided.uid && tree.generation == decided.generation)
            && self.context.memories.are_known(key, &views)
    }

    /// Whether what the bounds of an update allowed was worked out too long ago to rest on it.
    fn was_seen_long_ago(&self) -> bool {
        self.begun.elapsed() > LONGEST_BETWEEN
    }

    async fn single(&self, write: &Write) -> Result<Effect, Error> {
        let (context, tree) = (self.context, &self.observation.key);
        match write {
            Write::AddFinalizer | Write::RemoveFinalizer => Ok(Effect::Done),
            Write::CreateRevision { .. }
            | Write::NumberRevision { .. }
            | Write::DeleteRevision { .. } => self.revision(write).await,
            Write::CreateDisruptionBudget { .. }
            | Write::PatchDisruptionBudget { .. }
            | Write::DeleteDisruptionBudget { .. } => self.disruption_budget(write).await,
            Write::CreateWorker { child, name, body } => {
                let owner = &self.observation.world.tree.uid;
                let new = New {
                    written: Written::Worker,
                    child,
                    slot: None,
                    name,
                    owner,
                    body,
                };
                self.create::<Workers>(&new).await
            }
            Write::CreateClaim {
                child,
                slot,
                name,
                body,
            } => self.create_claim(child, *slot, name, body).await,
            Write::OwnClaim { .. } => self.own_claim(write).await,
            Write::CreatePod {
                child,
                slot,
                name,
                owner_uid,
                body,
            } => {
                let new = New {
                    written: Written::Pod,
                    child,
                    slot: Some(*slot),
                    name,
                    owner: owner_uid,
                    body,
                };
                self.create::<Pods>(&new).await
            }
            Write::TryPod {
                child,
                revision,
                body,
            } => self.try_pod(child, revision, body).await,
            Write::Scale {
                name,
                replicas,
                notice,
                ..
            } => {
                tracing::info!(worker = name, replicas, "scaling");
                let effect = scale(context, self.term(), tree, name, *replicas).await?;
                if let Some(notice) = notice.clone().filter(|_| effect == Effect::Done) {
                    let tree = &self.observation.world.tree;
                    context.notices.publish(tree, *notice);
                }
                Ok(effect)
            }
            Write::DeleteWorker { name, uid, .. } => {
                tracing::info!(worker = name, "deleting");
                let exactly = exactly(uid, None);
                delete::<Workers>(context, self.term(), tree, Written::Worker, name, exactly).await
            }
            Write::PatchPod {
                child, slot, name, ..
            } => self.patch_pod((child, *slot, name), write).await,
            // What takes its place must not be made beside it.
            Write::DeletePod {
                within_bounds: true,
                ..
            } if self.was_seen_long_ago() => Ok(Effect::Stale),
            Write::DeletePod {
                name,
                uid,
                resource_version,
                why,
                ..
            } => {
                tracing::info!(pod = name, why, "deleting");
                let exactly = exactly(uid, resource_version.clone());
                delete::<Pods>(context, self.term(), tree, Written::Pod, name, exactly).await
            }
        }
    }

    async fn set_finalizer(&mut self, wanted: bool) -> Result<Effect, Error> {
        let observation = self.observation;
        let others = observation.world.tree.finalizers.iter().map(String::as_str);
        let mut finalizers: Vec<&str> = others.filter(|name| *name != labels::FINALIZER).collect();
        if wanted {
            finalizers.push(labels::FINALIZER);
        }
        tracing::info!(wanted, "setting the finalizer");
        let version = self.tree_version.clone();
        let (term, tree) = (self.term(), &observation.key);
        let patched =
            requests::patch_finalizers(self.context, term, tree, &finalizers, &version).await?;
        match patched {
            Some(version) => {
                self.follow(version);
                Ok(Effect::Done)
            }
            // A tree that is gone has no finalizer either; the next look finds out.
            None => Ok(Effect::Stale),
        }
    }

    async fn create<K: Ours>(&self, new: &New<'_>) -> Result<Effect, Error> {
        let (context, tree) = (self.context, &self.observation.key);
        let term = self.term();
        let created = create::<K>(context, term, &tree.namespace, new.name, new.body).await;
        let Err(error) = created else {
            // Said afterwards, because who waits for a Pod should not wait for a log; what fails is logged as that.
            tracing::info!(kind = K::NAME, name = new.name, "created");
            return Ok(Effect::Done);
        };
        if is_already_there(&error) {
            return self.examine::<K>(new, &error).await;
        }
        if error.is_ending() {
            // Nothing can be created there any more, and nothing needs to be.
            return Ok(Effect::Stale);
        }
        if !error.is_refusal() {
            requests::doubt(context, tree, new.written, new.name, &error);
            return Err(error);
        }
        self.refuse::<K>(new, &error, None);
        Ok(Effect::Refused)
    }

    /// Makes a claim, or finds it made: whoever did that, it is used as it is.
    async fn create_claim(
        &self,
        child: &str,
        slot: i32,
        name: &str,
        body: &Value,
    ) -> Result<Effect, Error> {
        let new = New {
            written: Written::Claim,
            child,
            slot: Some(slot),
            name,
            owner: "",
            body,
        };
        self.create::<Claims>(&new).await
    }

    /// Gives a claim another owner. What is refused is told with the next decision, and no Pod waits for it.
    async fn own_claim(&self, write: &Write) -> Result<Effect, Error> {
        let Write::OwnClaim {
            child,
            name,
            resource_version,
            owner,
            former,
        } = write
        else {
            return Ok(Effect::Done);
        };
        tracing::info!(claim = name, ?owner, "giving other owners");
        let new = New {
            written: Written::Claim,
            child,
            slot: None,
            name,
            owner: "",
            body: &Value::Null,
        };
        let (term, tree) = (self.term(), &self.observation.key);
        let owners = (owner.as_ref(), former.as_slice());
        let owned =
            requests::own_claim(self.context, term, tree, name, resource_version, owners).await;
        self.goes_on::<Claims>(&new, owned)
    }

    /// Stores, numbers or deletes a revision.
    async fn revision(&self, write: &Write) -> Result<Effect, Error> {
        let (context, tree, term) = (self.context, &self.observation.key, self.term());
        match write {
            Write::CreateRevision { name, body } => self.store_revision(name, body).await,
            Write::NumberRevision {
                name,
                resource_version,
                number,
            } => {
                tracing::info!(revision = name, number, "numbering");
                let version = resource_version.as_str();
                let numbered =
                    requests::number_revision(context, term, tree, name, version, *number).await;
                self.goes_on::<Revisions>(&self.new_revision(name, &Value::Null), numbered)
            }
            Write::DeleteRevision { name, uid } => {
                tracing::info!(revision = name, "deleting");
                let exactly = exactly(uid, None);
                delete::<Revisions>(context, term, tree, Written::Revision, name, exactly).await
            }
            _ => Ok(Effect::Done),
        }
    }

    /// Stores a revision. What is refused is told with the next decision, and no Pod waits for it.
    async fn store_revision(&self, name: &str, body: &Value) -> Result<Effect, Error> {
        let new = self.new_revision(name, body);
        let created = self.create::<Revisions>(&new).await;
        self.goes_on::<Revisions>(&new, created)
    }

    fn new_revision<'n>(&'n self, name: &'n str, body: &'n Value) -> New<'n> {
        New {
            written: Written::Revision,
            child: ROOT_NAME,
            slot: None,
            name,
            owner: &self.observation.world.tree.uid,
            body,
        }
    }

    /// Creates, changes or deletes a disruption budget.
    async fn disruption_budget(&self, write: &Write) -> Result<Effect, Error> {
        let (context, tree, term) = (self.context, &self.observation.key, self.term());
        let new = |child, name, owner, body| New {
            written: Written::DisruptionBudget,
            child,
            slot: None,
            name,
            owner,
            body,
        };
        let (new, effect) = match write {
            Write::CreateDisruptionBudget {
                child,
                name,
                owner_uid,
                body,
            } => {
                let new = new(child, name, owner_uid, body);
                let created = self.create::<DisruptionBudgets>(&new).await;
                (new, created)
            }
            Write::PatchDisruptionBudget { child, known, spec } => {
                let (name, owner) = (&known.name, &known.owner_uid);
                tracing::info!(name, "changing the disruption budget");
                let patched =
                    requests::patch_disruption_budget(context, term, tree, known, spec).await;
                (new(child, name, owner, &Value::Null), patched)
            }
            Write::DeleteDisruptionBudget { child, name, uid } => {
                tracing::info!(name, "deleting the disruption budget");
                let exactly = exactly(uid, None);
                let kind = Written::DisruptionBudget;
                let deleted =
                    delete::<DisruptionBudgets>(context, term, tree, kind, name, exactly).await;
                (new(child, name, "", &Value::Null), deleted)
            }
            _ => return Ok(Effect::Done),
        };
        match self.goes_on::<DisruptionBudgets>(&new, effect) {
            // One that is not as it was seen is read at the next look. It keeps no Pod waiting.
            Ok(Effect::Stale) => Ok(Effect::Done),
            effect => effect,
        }
    }

    /// What is refused of an object that no Pod waits for is told with the next decision, and the other writes go on.
    fn goes_on<K: Ours>(
        &self,
        new: &New<'_>,
        effect: Result<Effect, Error>,
    ) -> Result<Effect, Error> {
        match effect {
            Ok(Effect::Refused) => Ok(Effect::Done),
            Err(error) if error.is_refusal() => {
                self.refuse::<K>(new, &error, None);
                Ok(Effect::Done)
            }
            effect => effect,
        }
    }

    /// Asks whether a Pod would be taken. The next decision knows the answer, whatever it is.
    async fn try_pod(&self, child: &str, revision: &str, body: &Value) -> Result<Effect, Error> {
        let (context, tree) = (self.context, &self.observation.key);
        let tried = requests::try_pod(context, self.term(), &tree.namespace, child, body).await;
        let refusal = match tried {
            Ok(()) => None,
            Err(error) if error.is_ending() => return Ok(Effect::Stale),
            Err(error) if error.is_refusal() => {
                Some(self.refusal::<Pods>(child, None, &error, None))
            }
            Err(error) => return Err(error),
        };
        let answer = Try {
            revision: revision.to_owned(),
            at: context.now(),
            refusal,
        };
        context.memories.has_tried(tree, child, answer);
        Ok(Effect::Done)
    }

    /// Changes a Pod. What is refused is told with the next decision, which has the Pod recreated.
    async fn patch_pod(
        &self,
        (child, slot, name): (&str, i32, &str),
        write: &Write,
    ) -> Result<Effect, Error> {
        if self.was_seen_long_ago() {
            return Ok(Effect::Left);
        }
        let (context, tree) = (self.context, &self.observation.key);
        let patched = requests::patch_pod(context, self.term(), tree, write).await;
        let Err(error) = &patched else {
            return patched;
        };
        if error.is_ending() {
            return Ok(Effect::Stale);
        }
        // A webhook that does not work for a moment is no reason to make all Pods anew.
        if !error.is_refusal() || error.code() >= 500 {
            return patched;
        }
        let refusal = Refusal {
            kind: in_place::KIND,
            ..self.refusal::<Pods>(child, Some(slot), error, None)
        };
        self.note_refusal(name, refusal);
        Ok(Effect::Refused)
    }

    /// Looks at what holds the name: our own object from an earlier attempt, or a stranger, which is
    /// neither touched nor adopted.
    async fn examine<K: Ours>(&self, new: &New<'_>, error: &Error) -> Result<Effect, Error> {
        let tree = &self.observation.key;
        match reread::<K>(self.context, &tree.namespace, new.name).await? {
            Some(_) if new.written == Written::Claim => Ok(Effect::Done),
            Some(object)
                if is_ours(&object, new.owner, new.child, new.slot)
                    && K::is_same(&object, new.body) =>
            {
                Ok(Effect::Done)
            }
            Some(object) if self.will_go(new, object.meta()) => Ok(Effect::Waits),
            Some(_) => {
                self.refuse::<K>(new, error, Some("NameCollision"));
                Ok(Effect::Refused)
            }
            None => Ok(Effect::Stale),
        }
    }

    /// Whether what holds the name is about to go by itself: it is being deleted, or belongs to an owner of the same kind
    /// and name that is no more, because ours has the name now. That takes a moment, and is nobody's fault unless it takes
    /// long.
    fn will_go(&self, new: &New<'_>, holder: &ObjectMeta) -> bool {
        let (tree, workers) = (&self.observation.key, &self.observation.world.workers);
        let owner = match new.written {
            Written::Pod | Written::DisruptionBudget => workers
                .get(new.child)
                .map(|worker| (Workers::NAME, worker.name.as_str())),
            _ => Some((Trees::NAME, tree.name.as_str())),
        };
        let is_predecessors = controller_of(holder).is_some_and(|held| {
            let group = held.api_version.split_once('/').map(|(group, _)| group);
            held.uid != new.owner
                && group == Some(GROUP)
                && Some((held.kind.as_str(), held.name.as_str())) == owner
        });
        let now = Instant::now();
        (holder.deletion_timestamp.is_some() || is_predecessors)
            && self.context.memories.waits_for(tree, new.name, now)
    }

    fn refuse<K: Kind>(&self, new: &New<'_>, error: &Error, reason: Option<&str>) {
        let refusal = self.refusal::<K>(new.child, new.slot, error, reason);
        self.note_refusal(new.name, refusal);
    }

    /// The next decision knows it.
    fn note_refusal(&self, name: &str, refusal: Refusal) {
        tracing::warn!(
            name,
            kind = refusal.kind,
            code = refusal.code,
            reason = refusal.reason,
            message = refusal.message,
            "a write was refused"
        );
        self.context
            .memories
            .refused(&self.observation.key, refusal);
    }

    fn refusal<K: Kind>(
        &self,
        child: &str,
        slot: Option<i32>,
        error: &Error,
        reason: Option<&str>,
    ) -> Refusal {
        let status = error.status();
        let said = |field: fn(&kube::core::Status) -> &String| {
            status.map(field).cloned().unwrap_or_default()
        };
        Refusal {
            kind: K::NAME,
            child: child.to_owned(),
            slot,
            at: self.context.now(),
            code: error.code(),
            reason: reason.map_or_else(|| said(|status| &status.reason), str::to_owned),
            message: grant::explain(
                &said(|status| &status.message),
                self.context.opt_in_role.as_deref(),
                &self.observation.key.namespace,
            ),
        }
    }
}

/// What came of the writes so far.
#[derive(Default)]
struct Outcome<'w> {
    /// The children to which something was refused.
    refused: BTreeSet<&'w str>,
    /// Whether something is in the way that goes by itself.
    waits: bool,
    /// Whether a Pod that was to be deleted or changed is not as it was, which does not keep the other ones that are to go.
    stale: bool,
    /// The first refusal that the next decision will not know of.
    unknown: Option<Error>,
    /// What ends the rest: an old view, or an error that would meet the others too.
    end: Option<Result<Effect, Error>>,
}

impl<'w> Outcome<'w> {
    /// Whether nothing was refused to the child that a write is for.
    fn may_go_on(&self, write: &Write) -> bool {
        child_of(write).is_none_or(|child| !self.refused.contains(child))
    }

    /// Notes what came of a write; `true` when it worked.
    fn take_in(&mut self, write: &'w Write, result: Result<Effect, Error>) -> bool {
        match result {
            Ok(Effect::Done) => return true,
            Ok(Effect::Left) => {
                self.waits = true;
                return true;
            }
            Ok(Effect::Refused) => self.refused.extend(child_of(write)),
            Ok(Effect::Waits) => {
                self.refused.extend(child_of(write));
                self.waits = true;
            }
            Err(error) if error.is_refusal() && child_of(write).is_some() => {
                self.refused.extend(child_of(write));
                self.unknown.get_or_insert(error);
            }
            Ok(Effect::Stale)
                if matches!(write, Write::DeletePod { .. } | Write::PatchPod { .. }) =>
            {
                self.stale = true;
                return true;
            }
            end @ (Ok(Effect::Stale) | Err(_)) => {
                self.end.get_or_insert(end);
            }
        }
        false
    }

    fn sum(self) -> Result<Effect, Error> {
        match (self.end, self.unknown) {
            (Some(end), _) => end,
            (None, _) if self.stale => Ok(Effect::Stale),
            (None, Some(error)) => Err(error),
            (None, None) if self.waits => Ok(Effect::Stale),
            (None, None) if self.refused.is_empty() => Ok(Effect::Done),
            (None, None) => Ok(Effect::Refused),
        }
    }
}

/// An object that is to be created.
struct New<'a> {
    written: Written,
    child: &'a str,
    slot: Option<i32>,
    name: &'a str,
    /// UID of the controlling owner.
    owner: &'a str,
    body: &'a Value,
}

/// The preconditions of a delete.
fn exactly(uid: &str, resource_version: Option<String>) -> Preconditions {
    Preconditions {
        uid: Some(uid.to_owned()),
        resource_version,
    }
}

fn is_already_there(error: &Error) -> bool {
    error.is_conflict()
        && error
            .status()
            .is_some_and(|status| status.reason == "AlreadyExists")
}

/// The child that a write is made for.
fn child_of(write: &Write) -> Option<&str> {
    match write {
        Write::CreateWorker { child, .. }
        | Write::CreateClaim { child, .. }
        | Write::OwnClaim { child, .. }
        | Write::CreatePod { child, .. }
        | Write::TryPod { child, .. }
        | Write::Scale { child, .. }
        | Write::DeleteWorker { child, .. }
        | Write::PatchPod { child, .. }
        | Write::DeletePod { child, .. } => Some(child),
        Write::AddFinalizer
        | Write::RemoveFinalizer
        | Write::CreateRevision { .. }
        | Write::NumberRevision { .. }
        | Write::DeleteRevision { .. }
        | Write::CreateDisruptionBudget { .. }
        | Write::PatchDisruptionBudget { .. }
        | Write::DeleteDisruptionBudget { .. } => None,
    }
}
