//! Somebody who watches whether any slot ever has two live Pods.
//!
//! Rule: the witness asks the API server itself, so that no fault between it and the operator hides anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::watcher;
use tokio::task::JoinHandle;

use crate::support::Space;

/// Watches the Pods of a namespace, not through a door.
pub(crate) struct Witness {
    doubled: Arc<Mutex<BTreeSet<String>>>,
    task: JoinHandle<()>,
}

impl Witness {
    pub(crate) fn of(space: &Space<'_>) -> Self {
        let pods = space.pods();
        let doubled = Arc::<Mutex<BTreeSet<String>>>::default();
        let seen = Arc::clone(&doubled);
        let task = tokio::spawn(async move {
            let mut live: BTreeMap<String, String> = BTreeMap::new();
            let mut events = std::pin::pin!(watcher(pods, watcher::Config::default()));
            while let Some(event) = events.next().await {
                match event {
                    Ok(watcher::Event::Init) => live.clear(),
                    Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) => {
                        let uid = pod.uid().unwrap_or_default();
                        match slot(&pod) {
                            Some(slot) => drop(live.insert(uid, slot)),
                            None => drop(live.remove(&uid)),
                        }
                    }
                    Ok(watcher::Event::Delete(pod)) => {
                        live.remove(&pod.uid().unwrap_or_default());
                    }
                    Ok(watcher::Event::InitDone) | Err(_) => {}
                }
                let mut slots = BTreeSet::new();
                let twice = live.values().filter(|slot| !slots.insert(*slot));
                seen.lock().unwrap().extend(twice.cloned());
            }
        });
        Self { doubled, task }
    }

    pub(crate) fn vouch(&self) {
        let doubled = self.doubled.lock().unwrap();
        assert!(doubled.is_empty(), "slots with two live Pods: {doubled:?}");
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The slot that a live Pod of a Worker takes: the Worker's UID and the number.
fn slot(pod: &Pod) -> Option<String> {
    let ended = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    if pod.metadata.deletion_timestamp.is_some() || matches!(ended, Some("Failed" | "Succeeded")) {
        return None;
    }
    let owners = pod.owner_references();
    let owner = owners
        .iter()
        .find(|owner| owner.controller == Some(true) && owner.kind == "Worker")?;
    let number = pod.labels().get("coppice.dev/slot")?;
    pod.labels().get("coppice.dev/tree")?;
    Some(format!("{}/{}/{number}", owner.name, owner.uid))
}
