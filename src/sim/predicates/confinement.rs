//! S6 and S2: what may be written at all, and whose objects may be deleted.
//!
//! Rule: whose an object is, its controlling owner says by UID; names and labels prove nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::Value;

use super::facts::Facts;
use crate::api::labels;
use crate::sim::kind::{Call, Kind, Part, Verb};
use crate::sim::objects::{by_uid, child_of, controller_uid, is_deleting, spec_of};
use crate::sim::run::{LEASE, OPERATORS};
use crate::sim::server::Server;

/// What is wrong with a write of an operator, whatever it led to. `stored` is the object that it was about.
pub(super) fn confined(
    call: &Call,
    stored: Option<&Value>,
    server: &Server,
    facts: &Facts,
) -> Option<String> {
    let body = &call.body;
    let name = match call.verb {
        Verb::Create => body["metadata"]["name"].as_str().unwrap_or_default(),
        _ => &call.name,
    };
    let what = format!(
        "{:?} {} {name} ({:?}) in namespace {:?}",
        call.verb,
        call.kind.name(),
        call.part,
        call.namespace
    );
    let fine = match (call.kind, call.verb, call.part) {
        (Kind::Tree, Verb::Patch, Part::Main) => has_only_finalizers(body),
        (Kind::Revision, Verb::Patch, Part::Main) => is_patch_of("revision", body),
        (Kind::DisruptionBudget, Verb::Patch, Part::Main) => is_patch_of("spec", body),
        (Kind::Claim, Verb::Patch, Part::Main) => has_only_owners(body),
        (Kind::Pod, Verb::Patch, Part::Main) => has_only_images(body),
        (Kind::Tree, Verb::Patch, Part::Status)
        | (Kind::Worker, Verb::Patch, Part::Status | Part::Scale)
        | (
            Kind::Worker | Kind::Pod | Kind::Revision | Kind::DisruptionBudget,
            Verb::Create | Verb::Delete,
            Part::Main,
        )
        | (Kind::Event | Kind::Claim, Verb::Create, Part::Main) => true,
        (Kind::Lease, Verb::Create | Verb::Update, Part::Main) => {
            return (call.namespace != OPERATORS || name != LEASE).then_some(what);
        }
        _ => false,
    };
    let inner = body["metadata"]["namespace"].as_str();
    if !fine || inner.is_some_and(|inner| inner != call.namespace) {
        return Some(what);
    }
    let owner = match (call.kind, call.verb) {
        (Kind::Event, _) => Some(&body["regarding"]["uid"]).and_then(Value::as_str),
        (Kind::Worker | Kind::Pod | Kind::Revision | Kind::DisruptionBudget, Verb::Create) => {
            Some(controller_uid(body))
        }
        (Kind::Worker | Kind::Revision | Kind::DisruptionBudget, _) | (Kind::Pod, Verb::Patch) => {
            stored.map(controller_uid)
        }
        // Whose Pod may be deleted is another promise.
        _ => None,
    };
    let kind = owner_kind(call.kind);
    let uid = owner?;
    let lives_elsewhere = server.all(kind).any(|((_, namespace, _), object)| {
        object["metadata"]["uid"] == uid && *namespace != call.namespace
    });
    let is_known = by_uid(server, kind, uid).is_some() || facts.ended(uid).is_some();
    (lives_elsewhere || !is_known).then(|| format!("{what}, of no tree there"))
}

fn keys(value: &Value) -> BTreeSet<String> {
    let fields = value.as_object().into_iter().flatten();
    fields.map(|(name, _)| name.clone()).collect()
}

/// The kind of what controls our objects of that kind.
fn owner_kind(kind: Kind) -> Kind {
    match kind {
        Kind::Pod | Kind::DisruptionBudget => Kind::Worker,
        _ => Kind::Tree,
    }
}

/// Whether a patch changes that field of that one object, of no other of its name, and nothing else.
fn is_patch_of(field: &str, body: &Value) -> bool {
    keys(body) == BTreeSet::from(["metadata".to_owned(), field.to_owned()])
        && keys(&body["metadata"]) == BTreeSet::from(["resourceVersion".to_owned()])
}

/// Whether a patch gives that one version of a claim other owners, and changes nothing else.
fn has_only_owners(body: &Value) -> bool {
    keys(body) == BTreeSet::from(["metadata".to_owned()])
        && keys(&body["metadata"])
            == BTreeSet::from(["ownerReferences".to_owned(), "resourceVersion".to_owned()])
}

/// Whether a patch gives that one Pod as it was seen other images and the label of their revision, and changes nothing else.
fn has_only_images(body: &Value) -> bool {
    let named = |names: &[&str]| {
        names
            .iter()
            .map(ToString::to_string)
            .collect::<BTreeSet<_>>()
    };
    let containers = body["spec"]["containers"].as_array();
    keys(body) == named(&["metadata", "spec"])
        && keys(&body["metadata"]) == named(&["labels", "resourceVersion", "uid"])
        && keys(&body["metadata"]["labels"]) == named(&[labels::REVISION])
        && keys(&body["spec"]) == named(&["containers"])
        && containers
            .into_iter()
            .flatten()
            .all(|container| keys(container) == named(&["image", "name"]))
}

/// What is wrong with a Pod that is made: it has a claim that is not there, or that is on its way out.
pub(super) fn made_on_what_is_lost(pod: &Value, server: &Server) -> Option<String> {
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    let mut names = volumes.filter_map(|one| one["persistentVolumeClaim"]["claimName"].as_str());
    let lost = names.find(|name| {
        let claim = server.get(Kind::Claim, namespace, name);
        claim.is_none_or(|claim| is_deleting(claim))
    })?;
    Some(format!(
        "Pod {} is made on claim {lost}, which is lost",
        pod["metadata"]["name"]
    ))
}

fn has_only_finalizers(body: &Value) -> bool {
    keys(body) == BTreeSet::from(["metadata".to_owned()])
        && keys(&body["metadata"])
            .iter()
            .all(|key| key == "finalizers" || key == "resourceVersion")
}

/// What is wrong with the delete of that object: it belongs to no tree, or the spec asks for it. Where its owner or the
/// spec was changed a moment ago, an operator need not know.
pub(super) fn deleted_wrongly(
    kind: Kind,
    object: &Arc<Value>,
    server: &Server,
    facts: &Facts,
    slack: SignedDuration,
) -> Option<String> {
    let name = &object["metadata"]["name"];
    if facts.was_moved_lately(server, object, slack) {
        return None;
    }
    let owner = controller_uid(object);
    let Some(stored) = by_uid(server, owner_kind(kind), owner) else {
        let was_ours = facts.ended(owner).is_some();
        return (!was_ours).then(|| format!("{} {name} of a stranger is deleted", kind.name()));
    };
    if kind != Kind::Worker {
        return None;
    }
    let child = child_of(object);
    let is_asked_for = spec_of(&stored, child).is_some_and(|spec| spec["worker"].is_object());
    (is_asked_for
        && !is_deleting(&stored)
        && !is_deleting(object)
        && !facts.was_edited_lately(server, &stored, slack))
    .then(|| format!("Worker {name} is deleted although the spec names {child}"))
}
