//! A record of everything that a kind of object went through, as a watch tells it.
//!
//! Rule: nothing is judged here; the tests that ask for the record do that.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "several test programs include this file, and not each uses all of it"
)]

use std::sync::{Arc, Mutex, PoisonError};

use e2e::cluster::Cluster;
use futures::StreamExt;
use kube::Api;
use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::runtime::watcher;
use serde_json::Value;
use tokio::sync::watch::{self, Receiver};
use tokio::task::JoinHandle;

/// What was seen, in order.
pub struct Record {
    seen: Arc<Mutex<Vec<Seen>>>,
    begun: Receiver<bool>,
    task: JoinHandle<()>,
}

/// One thing that was seen.
#[derive(Clone)]
pub enum Seen {
    /// An object as it was then.
    Object(Value),
    /// An object that is gone, as it was last.
    Gone(Value),
}

impl Record {
    /// Begins to record the trees of all namespaces.
    pub fn of_trees(cluster: &Cluster) -> Self {
        let kind = GroupVersionKind::gvk("coppice.dev", "v1alpha1", "SupervisionTree");
        let resource = ApiResource::from_gvk(&kind);
        Self::of(Api::all_with(cluster.client(), &resource))
    }

    /// Begins to record the Pods of a namespace.
    pub fn of_pods(cluster: &Cluster, namespace: &str) -> Self {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Pod"));
        Self::of(Api::namespaced_with(cluster.client(), namespace, &resource))
    }

    fn of(api: Api<DynamicObject>) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        let (has_begun, begun) = watch::channel(false);
        let task = tokio::spawn(async move {
            let mut events = std::pin::pin!(watcher(api, watcher::Config::default()));
            while let Some(event) = events.next().await {
                let entry = match event {
                    Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                        Seen::Object(value(&object))
                    }
                    Ok(watcher::Event::Delete(object)) => Seen::Gone(value(&object)),
                    Ok(watcher::Event::InitDone) => {
                        has_begun.send_replace(true);
                        continue;
                    }
                    // The watch begins anew by itself; what happened meanwhile is not recorded.
                    Ok(_) | Err(_) => continue,
                };
                record
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(entry);
            }
        });
        Self { seen, begun, task }
    }

    /// Waits until everything that there is has been seen once.
    pub async fn until_begun(&self) {
        let mut begun = self.begun.clone();
        begun
            .wait_for(|begun| *begun)
            .await
            .expect("the watch runs on");
    }

    /// What was seen until now.
    pub fn so_far(&self) -> Vec<Seen> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn value(object: &DynamicObject) -> Value {
    serde_json::to_value(object).expect("what was JSON is JSON")
}
