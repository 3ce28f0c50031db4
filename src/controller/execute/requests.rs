//! The single requests that write, each with its preconditions.
//!
//! Rule: every answer is taken in at once; where there is no clear answer, the object is marked to be
//! read again before anything else is decided about its tree.

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::policy::v1::PodDisruptionBudgetSpec;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Resource, ResourceExt};
use serde_json::{Value, json};

use super::super::context::Context;
use super::super::error::{Error, bounded};
use super::super::kinds::{Claims, DisruptionBudgets, Kind, Pods, Revisions, Trees, Workers};
use super::super::memory::Written;
use super::super::store::ObjectKey;
use super::{Effect, diff};
use crate::api::labels;
use crate::model::decision::Write;
use crate::model::world::DisruptionBudgetView;
use crate::runtime::leader::Term;

/// A status to be stored.
#[derive(Clone, Debug)]
pub(super) struct StatusWrite {
    /// The child whose Worker it is; `None` for the tree itself.
    pub(super) child: Option<String>,
    /// Name of the object.
    pub(super) name: String,
    /// The difference to what is stored.
    pub(super) patch: Value,
}

/// A namespaced kind that we write.
pub(super) trait Ours:
    Kind<Wire: Resource<DynamicType = (), Scope = NamespaceResourceScope>>
{
}

impl<K: Kind<Wire: Resource<DynamicType = (), Scope = NamespaceResourceScope>>> Ours for K {}

/// Makes a request that changes something, provided that we still lead in the term that the decision was made in.
async fn write<T>(
    context: &Context,
    term: Term,
    (verb, kind): (&'static str, &'static str),
    object: String,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Error> {
    if !context.leadership.holds(term) {
        return Err(Error::NotLeading { verb, kind, object });
    }
    bounded(verb, kind, object, request).await
}

/// Stores a status against a version. Returns the new version, or `None` when the object has changed.
pub(super) async fn patch_status<K: Ours>(
    context: &Context,
    term: Term,
    tree: &ObjectKey,
    kind: Written,
    status: &StatusWrite,
    version: &str,
) -> Result<Option<String>, Error> {
    let body = json!({"metadata": {"resourceVersion": version}, "status": status.patch});
    let object = format!("{}/{}", tree.namespace, status.name);
    let api = Api::<K::Wire>::namespaced(context.client.clone(), &tree.namespace);
    let (params, patch) = (params(), Patch::Merge(&body));
    let request = api.patch_status(&status.name, &params, &patch);
    let answer = write(context, term, ("patch status of", K::NAME), object, request).await;
    taken_in::<K>(context, tree, kind, &status.name, "patch_status", answer)
}

/// Sets the finalizers of a tree, against a version. Returns the new version, or `None` when the tree
/// has changed.
pub(in crate::controller) async fn patch_finalizers(
    context: &Context,
    term: Term,
    tree: &ObjectKey,
    finalizers: &[&str],
    version: &str,
) -> Result<Option<String>, Error> {
    let body = json!({"metadata": {"resourceVersion": version, "finalizers": finalizers}});
    let api = Api::<<Trees as Kind>::Wire>::namespaced(context.client.clone(), &tree.namespace);
    let (params, patch) = (params(), Patch::Merge(&body));
    let request = api.patch(&tree.name, &params, &patch);
    let answer = write(
        context,
        term,
        ("patch", Trees::NAME),
        tree.to_string(),
        request,
    )
    .await;
    taken_in::<Trees>(context, tree, Written::Tree, &tree.name, "patch", answer)
}

/// Sets the number of replicas of a Worker.
pub(super) async fn scale(
    context: &Context,
    term: Term,
    tree: &ObjectKey,
    name: &str,
    replicas: i32,
) -> Result<Effect, Error> {
    let body = json!({"spec": {"replicas": replicas}});
    let api = Api::<<Workers as Kind>::Wire>::namespaced(context.client.clone(), &tree.namespace);
    let (params, patch) = (params(), Patch::Merge(&body));
    let object = format!("{}/{name}", tree.namespace);
    let request = api.patch_scale(name, &params, &patch);
    let answer = write(context, term, ("scale", Workers::NAME), object, request).await;
    count(context, "scale", Workers::NAME, &answer);
    if answer.as_ref().err().is_none_or(Error::was_sent) {
        // The answer is a Scale, not the Worker, so the Worker must be read in any case.
        context.memories.doubt(tree, Written::Worker, name);
    }
    match answer {
        Ok(_) => Ok(Effect::Done),
        Err(error) if error.is_not_found() || error.is_conflict() => Ok(Effect::Stale),
        Err(error) => Err(error),
    }
}

/// Gives a stored revision another number.
pub(super) async fn number_revision(
    context: &Context,
    term: Term,
    tree: &ObjectKey,
    name: &str,
    resource_version: &str,
    number: i64,
) -> Result<Effect, Error> {
    let body = json!({"metadata": {"resourceVersion": resource_version}, "revision": number});
    let namespace = &tree.namespace;
    let api = Api::<<Revisions as Kind>::Wire>::namespaced(context.client.clone(), namespace);
    let (params, patch) = (params(), Patch::Merge(&body));
    let object = format!("{namespace}/{name}");
    let request = api.patch(name, &params, &patch);
    let answer = write(context, term, ("patch", Revisions::NAME), object, request).await;
    let stored = taken_in::<Revisions>(context, tree, Written::Revision, name, "patch", answer)?;
    Ok(stored.map_or(Effect::Stale, |_| Effect::Done))
}

/// Changes what a disruption budget asks for.
pub(super) async fn patch_disruption_budget(
    context: &Context,
    term: Term,
    tree: &ObjectKey,
    known: &DisruptionBudgetView,
    spec: &PodDisruptionBudgetSpec,
) -> Result<Effect, Error> {
    let version = &known.resource_version;
    let body = json!({"metadata": {"resourceVersion": version},
        "spec": diff::between(&known.spec, spec)});
    let namespace = &tree.namespace;
    let client = context.client.clone();
    let api = Api::<<DisruptionBudgets as Kind>::Wire>::namespaced(client, namespace);
    let (params, patch) = (params(), Patch::Merge(&body));
    let name = known.name.as_str();
    let request = api.patch(name, &params, &patch);
    let written = ("patch", DisruptionBudgets::NAME);
    let answer = write(
        context,
        term,
        written,
        format!("{namespace}/{name}"),
        request,
    )
    .await;
    let kind = Written::DisruptionBudget;
    let stored = taken_in::<DisruptionBudgets>(context, tree, kind, name, "patch", answer)?;
    Ok(stored.map_or(Effect::Stale, |_| Effect::Done))
}

/// Gives a claim another owner, and takes off former ones. What others say of its owners stays.
pub(super) async fn own_claim(
    context: &Context,
    term: Term,
    tree: &ObjectKey,
    name: &str,
    resource_version: &str,
    (owner, former): (Option<&Value>, &[String]),
) -> Result<Effect, Error> {
    let former = former
        .iter()
        .map(|uid| json!({"$patch": "delete", "uid": uid}));
    let owners: Vec<Value> = owner.cloned().into_iter().chain(former).collect();
    let body =
        json!({"metadata": {"resourceVersion": resource_version, "ownerReferences": owners}});
    let namespace = &tree.namespace;
    let api = Api::<<Claims as Kind>::Wire>::namespaced(context.client.clone(), namespace);
    let (params, patch) = (params(), Patch::Strategic(&body));
    let object = format!("{namespace}/{name}");
    let request = api.patch(name, &params, &patch);
    let answer = write(context, term, ("patch", Claims::NAME), object, request).await;
    let stored = taken_in::<Claims>(context, tree, Written::Claim, name, "patch", answer)?;
    Ok(stored.map_or(Effect::Stale, |_| Effect::Done))
}

/// Changes images of a Pod and labels it with the revision that they are of, provided that it is as it was.
pub(super) async fn patch_pod(
    context: &Context,
    term: Term,
    tree: &ObjectKey,
    write: &Write,
) -> Result<Effect, Error> {
    let Write::PatchPod {
        name,
        uid,
        resource_version,
        revision,
        images,
        ..
    } = write
    else {
        return Ok(Effect::Done);
    };
    tracing::info!(pod = name, revision, "updating in place");
    let images = images.iter();
    let containers: Vec<Value> = images
        .map(|(name, image)| json!({"name": name, "image": image}))
        .collect();
    let body = json!({
        "metadata": {
            "uid": uid,
            "resourceVersion": resource_version,
            "labels": {labels::REVISION: revision},
        },
        "spec": {"containers": containers},
    });
    let namespace = &tree.namespace;
    let api = Api::<<Pods as Kind>::Wire>::namespaced(context.client.clone(), namespace);
    let (params, patch) = (params(), Patch::Strategic(&body));
    let object = format!("{namespace}/{name}");
    let request = api.patch(name, &params, &patch);
    let answer = self::write(context, term, ("patch", Pods::NAME), object, request).await;
    let stored = taken_in::<Pods>(context, tree, Written::Pod, name, "patch", answer)?;
    Ok(stored.map_or(Effect::Stale, |_| Effect::Done))
}

/// Creates an object. An unknown field in it is an error, never dropped in silence.
pub(super) async fn create<K: Ours>(
    context: &Context,
    term: Term,
    namespace: &str,
    name: &str,
    body: &Value,
) -> Result<(), Error> {
    let object = format!("{namespace}/{name}");
    let request = post::<K>(context, namespace, body, false);
    let answer = write(context, term, ("create", K::NAME), object, request).await;
    count(context, "create", K::NAME, &answer);
    context.views.lock().answered::<K>(answer?);
    Ok(())
}

/// Asks whether a Pod of that child would be created. Nothing is.
pub(super) async fn try_pod(
    context: &Context,
    term: Term,
    namespace: &str,
    child: &str,
    body: &Value,
) -> Result<(), Error> {
    let object = format!("{namespace}/{child}");
    let request = post::<Pods>(context, namespace, body, true);
    let answer = write(context, term, ("try", Pods::NAME), object, request).await;
    count(context, "try", Pods::NAME, &answer);
    answer.map(drop)
}

/// JSON as the API server writes it. It keeps the data of a `ControllerRevision` as it came, and writes it anew when something else
/// of that object is changed; then it compares the two as bytes, and refuses the change when they differ. Outside of texts these
/// characters do not occur.
fn as_the_api_server_writes(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' => text.push_str(r"\u003c"),
            '>' => text.push_str(r"\u003e"),
            '&' => text.push_str(r"\u0026"),
            '\u{2028}' => text.push_str(r"\u2028"),
            '\u{2029}' => text.push_str(r"\u2029"),
            _ => text.push(character),
        }
    }
    text
}

async fn post<K: Ours>(
    context: &Context,
    namespace: &str,
    body: &Value,
    dry_run: bool,
) -> Result<K::Wire, kube::Error> {
    let body = serde_json::to_string(body).map_err(kube::Error::SerdeError)?;
    let bytes = as_the_api_server_writes(&body).into_bytes();
    let url = K::Wire::url_path(&(), Some(namespace));
    let params = PostParams {
        field_manager: Some(labels::FIELD_MANAGER.to_owned()),
        dry_run,
    };
    let request = kube::core::Request::new(url).create(&params, bytes);
    let mut request = request.map_err(kube::Error::BuildRequest)?;
    // kube has no parameter for it.
    let strict = format!("{}&fieldValidation=Strict", request.uri()).parse();
    *request.uri_mut() =
        strict.map_err(|error| kube::Error::HttpError(axum::http::Error::from(error)))?;
    context.client.request::<K::Wire>(request).await
}

/// Deletes an object that still is the one we mean.
pub(super) async fn delete<K: Ours>(
    context: &Context,
    term: Term,
    tree: &ObjectKey,
    kind: Written,
    name: &str,
    preconditions: Preconditions,
) -> Result<Effect, Error> {
    let key = ObjectKey::new(&tree.namespace, name);
    let uid = preconditions.uid.clone();
    let api = Api::<K::Wire>::namespaced(context.client.clone(), &tree.namespace);
    let params = DeleteParams::background().preconditions(preconditions);
    let request = api.delete(name, &params);
    let answer = write(context, term, ("delete", K::NAME), key.to_string(), request).await;
    count(context, "delete", K::NAME, &answer);
    match answer {
        Ok(answer) => {
            let mut views = context.views.lock();
            match answer.left() {
                Some(object) => views.deleted::<K>(object),
                None => drop(views.forget::<K>(&key, uid.as_deref())),
            }
            Ok(Effect::Done)
        }
        Err(error) if error.is_not_found() => {
            context.views.lock().forget::<K>(&key, uid.as_deref());
            Ok(Effect::Done)
        }
        Err(error) if error.is_conflict() => {
            context.memories.doubt(tree, kind, name);
            Ok(Effect::Stale)
        }
        Err(error) => {
            doubt(context, tree, kind, name, &error);
            Err(error)
        }
    }
}

/// Marks an object whose write got no clear answer.
pub(super) fn doubt(context: &Context, tree: &ObjectKey, kind: Written, name: &str, error: &Error) {
    if error.is_unclear() {
        context.memories.doubt(tree, kind, name);
    }
}

/// Takes in the answer to a patch. `None`: the object is not what the patch assumed.
fn taken_in<K: Kind>(
    context: &Context,
    tree: &ObjectKey,
    kind: Written,
    name: &str,
    verb: &'static str,
    answer: Result<K::Wire, Error>,
) -> Result<Option<String>, Error> {
    count(context, verb, K::NAME, &answer);
    match answer {
        Ok(object) => {
            let version = object.resource_version().unwrap_or_default();
            let mut views = context.views.lock();
            views.answered::<K>(object);
            let memories = &context.memories;
            memories.wrote_version(tree, (kind, name), &version, &views);
            Ok(Some(version))
        }
        Err(error) if error.is_not_found() || error.is_conflict() => {
            context.memories.doubt(tree, kind, name);
            Ok(None)
        }
        Err(error) => {
            doubt(context, tree, kind, name, &error);
            Err(error)
        }
    }
}

fn count<T>(context: &Context, verb: &'static str, kind: &'static str, answer: &Result<T, Error>) {
    if answer.as_ref().is_err_and(|error| !error.was_sent()) {
        return;
    }
    let result = answer.as_ref().map_or_else(Error::reason, |_| "ok");
    context.metrics.api.request(verb, kind, result);
}

fn params() -> PatchParams {
    PatchParams {
        field_manager: Some(labels::FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_written_as_the_api_server_writes_them() {
        let body = json!({"command": "a && b <c >d \u{2028}\u{2029} \"ä\""});
        let text = as_the_api_server_writes(&body.to_string());
        assert_eq!(
            text,
            r#"{"command":"a \u0026\u0026 b \u003cc \u003ed \u2028\u2029 \"ä\""}"#
        );
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), body);
    }
}
