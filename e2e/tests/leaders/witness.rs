//! Sees every version of every Pod of a namespace, and notes when a slot has two.
//!
//! Rule: it is there before the first Pod, and misses none: a watch that ends goes on where it was.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures::TryStreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, WatchParams};
use kube::core::WatchEvent;
use kube::{Api, ResourceExt};

use crate::duo::Operator;

/// The witness.
pub(crate) struct Witness {
    seen: Arc<Mutex<Seen>>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    /// By slot: the Pods that hold it, by UID.
    holders: BTreeMap<String, BTreeMap<String, String>>,
    doubled: Vec<String>,
    pods: usize,
}

impl Witness {
    /// Begins to look at a namespace without Pods.
    pub(crate) async fn begin(pods: Api<Pod>) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let list = pods.list(&ListParams::default()).await.unwrap();
        assert!(list.items.is_empty());
        let version = list.metadata.resource_version.unwrap_or_default();
        let task = tokio::spawn(watch(pods, version, Arc::clone(&seen)));
        Self { seen, task }
    }

    /// Asserts that no slot ever had two Pods.
    pub(crate) fn saw_no_slot_doubled(&self) {
        assert!(!self.task.is_finished(), "the witness has looked away");
        let seen = self.seen.lock().unwrap();
        assert!(seen.pods > 0);
        assert!(seen.doubled.is_empty(), "{:#?}", seen.doubled);
        println!("{} Pods seen, no slot doubled", seen.pods);
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(pods: Api<Pod>, mut version: String, seen: Arc<Mutex<Seen>>) {
    loop {
        let params = WatchParams::default().timeout(120);
        let events = pods.watch(&params, &version).await.expect("a watch");
        futures::pin_mut!(events);
        while let Some(event) = events.try_next().await.expect("events") {
            match event {
                WatchEvent::Added(pod) | WatchEvent::Modified(pod) => {
                    version = pod.resource_version().unwrap_or(version);
                    seen.lock().unwrap().take_in(&pod, false);
                }
                WatchEvent::Deleted(pod) => {
                    version = pod.resource_version().unwrap_or(version);
                    seen.lock().unwrap().take_in(&pod, true);
                }
                WatchEvent::Bookmark(bookmark) => version = bookmark.metadata.resource_version,
                WatchEvent::Error(status) => panic!("{status:?}"),
            }
        }
    }
}

impl Seen {
    fn take_in(&mut self, pod: &Pod, is_gone: bool) {
        let label = |name: &str| pod.labels().get(name).cloned().unwrap_or_default();
        let [tree, child, slot] =
            ["tree", "child", "slot"].map(|name| label(&format!("coppice.dev/{name}")));
        let (key, uid) = (
            format!("{tree}/{child}/{slot}"),
            pod.uid().unwrap_or_default(),
        );
        let holders = self.holders.entry(key.clone()).or_default();
        // A Stable Pod holds its slot until it is gone, which its name alone makes sure of.
        if is_gone || pod.metadata.deletion_timestamp.is_some() {
            holders.remove(&uid);
            return;
        }
        if holders.insert(uid, pod.name_any()).is_none() {
            self.pods += 1;
        }
        if holders.len() > 1 {
            self.doubled.push(format!("{key}: {holders:?}"));
        }
    }
}

/// Asserts that whatever this operator deleted, it named by UID.
pub(crate) fn deleted_by_uid_only(operator: &Operator) {
    let requests = operator.requests();
    let deletes = requests.iter().filter(|one| one.verb == "delete");
    for delete in deletes {
        let uid = &delete.body["preconditions"]["uid"];
        assert!(uid.is_string(), "{delete:?}");
    }
    assert!(
        requests.iter().all(|one| one.verb != "deletecollection"),
        "{} deletes what it does not name",
        operator.name
    );
}
