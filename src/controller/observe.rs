//! The only reader: makes the world of one tree from what is known, and asks where it is in doubt.
//!
//! Rule: no world is older than our own last write to that tree: every answer to a write is taken in at
//! once, and an object whose write got no clear answer is read before anything else is decided. Who comes to lead reads
//! a tree before the first write to it, because the last one may have been of another leader, unless nobody has
//! written to it at all.

use std::collections::BTreeMap;

use kube::{Api, Resource};
use serde_json::Value;

use super::context::Context;
use super::error::{Error, bounded};
use super::kinds::{Claims, DisruptionBudgets, Kind, Pods, Revisions, Trees, Workers};
use super::memory::{Doubt, Written};
use super::store::{Item, ObjectKey};
use super::views::Snapshot;
use super::wire::{controller_of, label};
use crate::api::labels;
use crate::api::v1alpha1::{Child, SupervisionTree};
use crate::model::tree::ROOT_NAME;
use crate::model::world::{Change, WorkerView, World};
use crate::runtime::leader::Term;

mod absence;
mod all;

pub(super) use absence::unexplained;
pub(super) use all::read_all;

/// What there is to say about a tree.
#[derive(Debug)]
pub(super) enum Observed {
    /// Somebody else may look after it: there is nothing to decide.
    NotLeading,
    /// Not everything that a decision would rest on is known yet.
    NotLoaded,
    /// There is no such tree.
    Gone,
    /// The tree, or a Worker of it, cannot be read.
    Malformed(Malformed),
    /// The world of the tree.
    World(Box<Observation>),
}

/// A tree that cannot be decided on.
#[derive(Debug)]
pub(super) struct Malformed {
    pub(super) key: ObjectKey,
    /// The term that it was seen in.
    pub(super) term: Term,
    /// The tree as the API server stores it now.
    pub(super) tree: Value,
    /// What cannot be read, and why.
    pub(super) message: String,
}

/// A world with the versions of the objects whose status we write.
#[derive(Debug)]
pub(super) struct Observation {
    pub(super) key: ObjectKey,
    /// The term that it was seen in.
    pub(super) term: Term,
    pub(super) world: World,
    pub(super) tree_version: String,
    /// By child name.
    pub(super) worker_versions: BTreeMap<String, String>,
}

/// Looks at one tree.
pub(super) async fn observe(context: &Context, key: &ObjectKey) -> Result<Observed, Error> {
    let Some(term) = context.leadership.term() else {
        // The next look may be a term away, and never come for a tree that is gone.
        if context.views.lock().trees.get(key).is_none() {
            context.memories.forget(key);
        }
        return Ok(Observed::NotLeading);
    };
    if !context.views.lock().is_loaded(&key.namespace) {
        return Ok(Observed::NotLoaded);
    }
    context.memories.begin(key, term);
    prepare(context, key);
    for doubt in context.memories.doubts(key) {
        settle(context, key, &doubt).await?;
    }
    let Some(snapshot) = context.views.lock().snapshot(key) else {
        context.memories.forget(key);
        return Ok(Observed::Gone);
    };
    context.memories.looked(key, &snapshot);
    match observation(context, key, term, snapshot) {
        Ok(observation) => Ok(Observed::World(Box::new(observation))),
        Err(_) => read_unreadable(context, key, term).await,
    }
}

/// Reads a tree of which something cannot be read, so that people are told of what is so now.
async fn read_unreadable(
    context: &Context,
    key: &ObjectKey,
    term: Term,
) -> Result<Observed, Error> {
    context.metrics.api.reread(Trees::NAME, "unreadable");
    let known = known_uid::<Trees>(context, key);
    let Some(tree) = stored_tree(context, key).await? else {
        forget_known::<Trees>(context, key, known.as_deref());
        return Ok(Observed::Gone);
    };
    if let Ok(wire) = serde_json::from_value(tree.clone()) {
        context.views.lock().answered::<Trees>(wire);
    }
    for worker in unreadable_workers(context, key) {
        context.metrics.api.reread(Workers::NAME, "unreadable");
        reread::<Workers>(context, &worker.namespace, &worker.name).await?;
    }
    let Some(snapshot) = context.views.lock().snapshot(key) else {
        return Ok(Observed::Gone);
    };
    Ok(match observation(context, key, term, snapshot) {
        Ok(observation) => Observed::World(Box::new(observation)),
        Err(message) => Observed::Malformed(Malformed {
            key: key.clone(),
            term,
            message: culprit(&tree).unwrap_or(message),
            tree,
        }),
    })
}

fn unreadable_workers(context: &Context, key: &ObjectKey) -> Vec<ObjectKey> {
    let snapshot = context.views.lock().snapshot(key);
    let workers = snapshot.into_iter().flat_map(|snapshot| snapshot.workers);
    workers
        .filter(|(worker, _)| worker.view.is_err())
        .map(|(worker, _)| worker.key.clone())
        .collect()
}

/// Makes sure that what is remembered is about this tree; and that before a deletion stops anything, its Workers are read.
/// The garbage collector takes the owner from those that are to be orphaned, and then says so on the tree; the view of the
/// tree may be ahead of that of the Workers, and what was let go would be stopped.
fn prepare(context: &Context, key: &ObjectKey) {
    let views = context.views.lock();
    let Some(tree) = views.trees.get(key) else {
        return;
    };
    context.memories.belongs_to(key, &tree.uid);
    let orphaning = tree
        .finalizers
        .iter()
        .any(|name| name == labels::ORPHAN_FINALIZER);
    if tree.deleting && !orphaning && context.memories.must_count(key) {
        for worker in views.workers.owned_by(&tree.uid) {
            let name = &worker.key.name;
            context.memories.doubt(key, Written::Worker, name);
        }
    }
}

/// Reads an object that is in doubt, so that the next decision knows it.
async fn settle(context: &Context, tree: &ObjectKey, doubt: &Doubt) -> Result<(), Error> {
    let (kind, name) = doubt;
    match kind {
        Written::Tree => settle_one::<Trees>(context, tree, name).await?,
        Written::Worker => settle_one::<Workers>(context, tree, name).await?,
        Written::Revision => settle_one::<Revisions>(context, tree, name).await?,
        Written::Claim => settle_one::<Claims>(context, tree, name).await?,
        Written::Pod => settle_one::<Pods>(context, tree, name).await?,
        Written::DisruptionBudget => {
            match settle_one::<DisruptionBudgets>(context, tree, name).await {
                // No Pod waits for what may not be read: the next write of it will be answered clearly.
                Err(error) if error.is_forbidden() => {}
                read => read?,
            }
        }
    }
    context.memories.settled(tree, doubt);
    Ok(())
}

async fn settle_one<K: Kind>(context: &Context, tree: &ObjectKey, name: &str) -> Result<(), Error>
where
    K::Wire: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    context.metrics.api.reread(K::NAME, "doubt");
    reread::<K>(context, &tree.namespace, name).await.map(drop)
}

/// Reads one object and takes it in. Returns it when it exists.
pub(super) async fn reread<K: Kind>(
    context: &Context,
    namespace: &str,
    name: &str,
) -> Result<Option<K::Wire>, Error>
where
    K::Wire: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    let key = ObjectKey::new(namespace, name);
    let api = Api::<K::Wire>::namespaced(context.client.clone(), namespace);
    may_read(context, "get", K::NAME, &key)?;
    let known = known_uid::<K>(context, &key);
    let answer = bounded("get", K::NAME, key.to_string(), api.get(name)).await;
    context.metrics.api.request(
        "get",
        K::NAME,
        answer.as_ref().map_or_else(Error::reason, |_| "ok"),
    );
    match answer {
        Ok(object) => {
            context.views.lock().answered::<K>(object.clone());
            Ok(Some(object))
        }
        Err(error) if error.is_not_found() => {
            forget_known::<K>(context, &key, known.as_deref());
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Whether what is read may still lead to anything: an error when we do not lead any more, or are to stop.
fn may_read(
    context: &Context,
    verb: &'static str,
    kind: &'static str,
    object: &ObjectKey,
) -> Result<(), Error> {
    let not_leading = || Error::NotLeading {
        verb,
        kind,
        object: object.to_string(),
    };
    let term = context.leadership.term();
    term.map(drop).ok_or_else(not_leading)
}

/// The UID of the object that is known by that name.
fn known_uid<K: Kind>(context: &Context, key: &ObjectKey) -> Option<String> {
    let mut views = context.views.lock();
    let item = K::store(&mut views).get(key)?;
    Some(item.uid().to_owned())
}

/// Takes in that what was known before the question does not exist. The answer may be late: what has become known since
/// is another object, made after it.
fn forget_known<K: Kind>(context: &Context, key: &ObjectKey, known: Option<&str>) {
    if known.is_some() {
        context.views.lock().forget::<K>(key, known);
    }
}

/// Whether a Pod is the one that was to be created for that Worker, child and slot.
pub(super) fn is_ours<W: Resource>(
    object: &W,
    owner_uid: &str,
    child: &str,
    slot: Option<i32>,
) -> bool {
    let meta = object.meta();
    let is = |name, value: &str| label(meta, name) == Some(value);
    controller_of(meta).is_some_and(|owner| owner.uid == owner_uid)
        && label(meta, labels::TREE).is_some()
        && (child == ROOT_NAME || is(labels::CHILD, child))
        && slot.is_none_or(|slot| is(labels::SLOT, &slot.to_string()))
}

/// The child that makes a tree unreadable, and why.
fn culprit(tree: &Value) -> Option<String> {
    tree["spec"]["children"]
        .as_array()?
        .iter()
        .enumerate()
        .find_map(|(index, child)| {
            let error = serde_json::from_value::<Child>(child.clone()).err()?;
            let name = child["name"]
                .as_str()
                .map_or_else(|| format!("number {index}"), |name| format!("'{name}'"));
            Some(format!(
                "the tree cannot be read; child {name} must be put right: {error}"
            ))
        })
}

async fn stored_tree(context: &Context, key: &ObjectKey) -> Result<Option<Value>, Error> {
    let resource = kube::core::ApiResource::erase::<SupervisionTree>(&());
    let api: Api<kube::core::DynamicObject> =
        Api::namespaced_with(context.client.clone(), &key.namespace, &resource);
    match bounded("get", Trees::NAME, key.to_string(), api.get(&key.name)).await {
        Ok(tree) => Ok(serde_json::to_value(tree).ok()),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The world in that snapshot, or what in it cannot be read.
fn observation(
    context: &Context,
    key: &ObjectKey,
    term: Term,
    snapshot: Snapshot,
) -> Result<Observation, String> {
    let tree =
        snapshot.tree.view.clone().map_err(|error| {
            format!("the tree cannot be read; its spec must be put right: {error}")
        })?;
    let mut workers = BTreeMap::new();
    let mut worker_versions = BTreeMap::new();
    for (worker, pods) in snapshot.workers {
        let view = worker.view.clone().map_err(|error| {
            format!(
                "the Worker {} of this tree cannot be read: {error}",
                worker.key.name
            )
        })?;
        workers.insert(worker.child.clone(), WorkerView { pods, ..view });
        worker_versions.insert(worker.child.clone(), worker.resource_version.clone());
    }
    let refusals = context.memories.refusals(key);
    let now = context.now();
    let changes = snapshot.changes.into_iter();
    let changes = changes.map(|(kind, name, ago)| Change {
        kind,
        name,
        at: now - jiff::SignedDuration::try_from(ago).unwrap_or_default(),
    });
    Ok(Observation {
        key: key.clone(),
        term,
        world: World {
            tree,
            workers,
            revisions: snapshot.revisions,
            disruption_budgets: snapshot.disruption_budgets,
            claims: snapshot.claims,
            nodes: snapshot.nodes,
            zoned: snapshot.zoned,
            refusals,
            tried: context.memories.tried(key),
            untold: context.memories.untold(key),
            events: snapshot.events,
            changes: changes.collect(),
            unseen: snapshot.unseen,
        },
        tree_version: snapshot.tree.resource_version.clone(),
        worker_versions,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, OnceLock};

    use serde_json::json;

    use super::super::store::Source;
    use super::super::testing::{self, Answer};
    use super::super::views::SharedViews;
    use super::*;

    #[test]
    fn the_child_that_cannot_be_read_is_named() {
        let tree = |children: Value| json!({"spec": {"children": children}});
        assert_eq!(culprit(&tree(json!("none"))), None);
        assert_eq!(culprit(&tree(json!([{"name": "a"}]))), None);
        let message = culprit(&tree(json!([{"name": "a"}, {"name": "b", "enabled": 3}]))).unwrap();
        assert!(
            message.starts_with("the tree cannot be read; child 'b' must be put right: "),
            "{message}"
        );
        assert!(
            culprit(&tree(json!([7])))
                .unwrap()
                .contains("child number 0")
        );
    }

    #[tokio::test]
    async fn a_late_not_found_does_not_bury_what_was_made_since() {
        let worker = |uid: &str, version: &str| {
            let worker = json!({"metadata": {"name": "t-a", "namespace": "ns", "uid": uid, "resourceVersion": version},
                "spec": {"replicas": 1}});
            serde_json::from_value(worker).unwrap()
        };
        let views: Arc<OnceLock<SharedViews>> = Arc::default();
        let late = Arc::clone(&views);
        let (client, _) = testing::client(move |_| {
            let mut views = late.get().unwrap().lock();
            views.put::<Workers>(worker("new", "9"), Source::Watch, None);
            Answer::error(404, "NotFound", "it was gone when you asked")
        });
        let context = testing::context(client);
        views.set(context.views.clone()).unwrap();
        context
            .views
            .lock()
            .put::<Workers>(worker("old", "5"), Source::Watch, None);
        assert!(
            reread::<Workers>(&context, "ns", "t-a")
                .await
                .unwrap()
                .is_none()
        );
        let known = known_uid::<Workers>(&context, &ObjectKey::new("ns", "t-a"));
        assert_eq!(known.as_deref(), Some("new"));
    }
}
