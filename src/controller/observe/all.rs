//! What is read before the next write to a tree when somebody, or we, may have written without our knowing it.
//!
//! Rule: the API server is asked for its newest state, and what it does not list is asked for by name before it is
//! taken for gone: its labels may have been changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use kube::api::ListParams;
use kube::{Api, Resource};

use super::super::context::Context;
use super::super::error::{Error, bounded};
use super::super::kinds::{Claims, Kind, Pods, Trees, Workers, key_of};
use super::super::memory::{Behind, Statuses};
use super::super::store::ObjectKey;
use super::{may_read, reread};
use crate::api::labels;
use crate::model::world::TreeView;

/// How many objects are listed at once.
const PAGE: u32 = 250;

/// Reads all that is known of a tree, and what is not known yet.
pub(in crate::controller) async fn read_all(
    context: &Context,
    tree: &ObjectKey,
    why: Behind,
) -> Result<(), Error> {
    context.metrics.api.reread(Trees::NAME, why.as_str());
    if reread::<Trees>(context, &tree.namespace, &tree.name)
        .await?
        .is_none()
    {
        return Ok(());
    }
    // What is read later is at least as new: a Worker as its tree, a Pod as the Worker that names it.
    let item = context.views.lock().trees.get(tree).cloned();
    let (workers, pods, claims) = known(context, tree);
    read_kind::<Workers>(context, tree, why, workers).await?;
    let statuses = item.map(|item| {
        let views = context.views.lock();
        Statuses::of(&item, views.workers.owned_by(&item.uid))
    });
    read_kind::<Pods>(context, tree, why, pods).await?;
    if let Some(claims) = claims {
        read_kind::<Claims>(context, tree, why, claims).await?;
    }
    if let Some(statuses) = statuses {
        context.memories.read(tree, statuses);
    }
    Ok(())
}

type Names = BTreeSet<String>;

/// The names of the Workers, Pods and claims that are known. Of a tree whose workers have no claims, none are asked for.
fn known(context: &Context, tree: &ObjectKey) -> (Names, Names, Option<Names>) {
    let Some(snapshot) = context.views.lock().snapshot(tree) else {
        return Default::default();
    };
    let workers = snapshot.workers.iter();
    let names = workers.clone().map(|(worker, _)| worker.key.name.clone());
    let pods = workers.flat_map(|(_, pods)| pods.iter().map(|pod| pod.name.clone()));
    let has_claims = |tree: &Arc<TreeView>| {
        let mut workers = tree
            .spec
            .children
            .iter()
            .filter_map(|one| one.worker.as_ref());
        workers.any(|worker| !worker.volume_claim_templates.is_empty())
    };
    let claims = snapshot.tree.view.as_ref().is_ok_and(has_claims);
    let claims = claims.then(|| snapshot.claims.keys().cloned().collect());
    (names.collect(), pods.collect(), claims)
}

async fn read_kind<K: Kind>(
    context: &Context,
    tree: &ObjectKey,
    why: Behind,
    mut known: BTreeSet<String>,
) -> Result<(), Error>
where
    K::Wire: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    let api = Api::<K::Wire>::namespaced(context.client.clone(), &tree.namespace);
    let selector = format!("{}={}", labels::TREE, tree.name);
    let mut params = ListParams::default().labels(&selector).limit(PAGE);
    loop {
        may_read(context, "list", K::NAME, tree)?;
        context.metrics.api.reread(K::NAME, why.as_str());
        let answer = bounded("list", K::NAME, tree.to_string(), api.list(&params)).await;
        let result = answer.as_ref().map_or_else(Error::reason, |_| "ok");
        context.metrics.api.request("list", K::NAME, result);
        let page = answer?;
        for object in page.items {
            known.remove(&key_of(object.meta()).name);
            context.views.lock().answered::<K>(object);
        }
        params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
        if params.continue_token.is_none() {
            break;
        }
    }
    for name in known {
        context.metrics.api.reread(K::NAME, why.as_str());
        reread::<K>(context, &tree.namespace, &name).await?;
    }
    Ok(())
}
