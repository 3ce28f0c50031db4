//! Pods that the stored statuses name and that nobody here has seen: are they gone, or not known yet?
//!
//! Rule: that a Pod is missing is believed when its end was seen, or when a list that was asked for after it was named
//! does not have it. A view of Pods may be behind the statuses that another operator has written.

use std::collections::BTreeSet;

use kube::Api;
use kube::api::ListParams;

use super::Observation;
use crate::api::labels;
use crate::controller::context::Context;
use crate::controller::error::{Error, bounded};
use crate::controller::kinds::{Kind, Pods};
use crate::controller::store::Source;

/// How many Pods are listed at once.
const PAGE: u32 = 250;

/// The UIDs of Pods that a status names as the ones in use, and that may exist although they are not known.
pub(super) fn unexplained(context: &Context, observation: &Observation) -> BTreeSet<String> {
    let mut missing = BTreeSet::new();
    for worker in observation.world.workers.values() {
        let known: BTreeSet<&str> = worker.pods.iter().map(|pod| pod.uid.as_str()).collect();
        let named = worker.status.slots.iter().filter(|slot| !slot.gone && !slot.pod_uid.is_empty());
        missing.extend(named.map(|slot| &slot.pod_uid).filter(|uid| !known.contains(uid.as_str())).cloned());
    }
    context.memories.keep_absent(&observation.key, &missing);
    if missing.is_empty() {
        return missing;
    }
    let absent = context.memories.absent(&observation.key);
    let views = context.views.lock();
    missing.retain(|uid| !absent.contains(uid) && !views.pods.has_ended(uid));
    missing
}

/// Asks the API server for the Pods of the tree, takes them in, and remembers which of the missing are gone.
pub(super) async fn look_for(context: &Context, observation: &Observation, missing: &BTreeSet<String>) -> Result<(), Error> {
    let key = &observation.key;
    let api = Api::<<Pods as Kind>::Wire>::namespaced(context.client.clone(), &key.namespace);
    let selector = format!("{}={}", labels::TREE, key.name);
    let mut params = ListParams::default().labels(&selector).limit(PAGE);
    let mut found = BTreeSet::new();
    loop {
        let answer = bounded("list", Pods::NAME, key.to_string(), api.list(&params)).await;
        let result = answer.as_ref().map_or_else(Error::reason, |_| "ok");
        context.metrics.api.request("list", Pods::NAME, result);
        let page = answer?;
        let mut views = context.views.lock();
        for pod in page.items {
            found.extend(kube::Resource::meta(&pod).uid.clone());
            drop(views.put::<Pods>(pod, Source::Answer, None));
        }
        drop(views);
        params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
        if params.continue_token.is_none() {
            break;
        }
    }
    let gone = missing.difference(&found).cloned();
    context.memories.are_absent(key, gone);
    Ok(())
}
