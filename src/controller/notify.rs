//! Tells people what was done, as Events on the tree.
//!
//! Rule: an Event is news, not state: it never delays a restart, and one that cannot be published is
//! logged and dropped. Each is an object of its own, because each tells other numbers and times; kube's recorder
//! would show the text of the first one for all that are alike. The brakes on restarts bound how many there are.

use std::time::Duration;

use futures::stream::{self, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, Resource};
use tokio::sync::mpsc;

use super::context::Clock;
use super::error::bounded;
use super::wire::cut;
use crate::api::labels;
use crate::api::v1alpha1::SupervisionTree;
use crate::model::decision::Notice;
use crate::model::names;
use crate::model::tree::ROOT_NAME;
use crate::model::world::TreeView;
use crate::runtime::leader::Leadership;

/// How many Events may wait to be published.
const WAITING: usize = 1024;
/// How many are published side by side.
const AT_ONCE: usize = 8;
/// The limits that the API server sets, in bytes.
const LONGEST_REASON: usize = 128;
const LONGEST_NOTE: usize = 1024;
/// How long the last Events may take when the process ends. Until then no other operator works.
const DRAIN: Duration = Duration::from_millis(500);

/// Where Events are handed in.
#[derive(Clone)]
pub(super) struct Notices {
    sender: mpsc::Sender<Event>,
    clock: Clock,
}

/// Publishes what was handed in.
pub(super) struct Publisher {
    client: Client,
    leadership: Leadership,
    waiting: mpsc::Receiver<Event>,
}

/// Both ends.
pub(super) fn channel(
    client: Client,
    clock: Clock,
    leadership: Leadership,
) -> (Notices, Publisher) {
    let (sender, waiting) = mpsc::channel(WAITING);
    let publisher = Publisher {
        client,
        leadership,
        waiting,
    };
    (Notices { sender, clock }, publisher)
}

impl Notices {
    /// Hands in one notice about a tree.
    pub(super) fn publish(&self, tree: &TreeView, notice: Notice) {
        let event = event(tree, notice, (self.clock)());
        if let Err(error) = self.sender.try_send(event) {
            tracing::warn!(%error, "dropped an Event");
        }
    }
}

impl Publisher {
    /// Publishes until every sender is gone, some side by side: each names its time, so none depends on another.
    pub(super) async fn run(mut self) {
        let waiting = stream::poll_fn(|context| self.waiting.poll_recv(context));
        let (client, leadership) = (&self.client, &self.leadership);
        waiting
            .for_each_concurrent(AT_ONCE, |event| publish(client, leadership, event))
            .await;
    }
}

/// Publishes one Event, or drops it when somebody else leads.
async fn publish(client: &Client, leadership: &Leadership, event: Event) {
    if leadership.term().is_none() {
        tracing::debug!(reason = event.reason, "dropped an Event: not leading");
        return;
    }
    let namespace = event.metadata.namespace.as_deref().unwrap_or_default();
    let name = event.metadata.name.clone().unwrap_or_default();
    let events = Api::<Event>::namespaced(client.clone(), namespace);
    let params = PostParams::default();
    let published = bounded("create", "Event", name, events.create(&params, &event)).await;
    if let Err(error) = published
        // Where everything is being deleted, nobody reads the news.
        && !error.is_ending()
    {
        tracing::warn!(
            error = super::error::chain(&error),
            reason = event.reason,
            "could not publish an Event"
        );
    }
}

/// Waits for the publisher to finish, for a moment.
pub(super) async fn drain(publisher: tokio::task::JoinHandle<()>) {
    let abort = publisher.abort_handle();
    if tokio::time::timeout(DRAIN, publisher).await.is_err() {
        abort.abort();
    }
}

fn event(tree: &TreeView, notice: Notice, now: Timestamp) -> Event {
    let message = notice.message();
    let regarding = ObjectReference {
        api_version: Some(SupervisionTree::api_version(&()).into_owned()),
        kind: Some(SupervisionTree::kind(&()).into_owned()),
        name: Some(tree.name.clone()),
        namespace: Some(tree.namespace.clone()),
        uid: Some(tree.uid.clone()),
        // As the kubelet names the container that its Event is about. What differs here is told apart.
        field_path: (notice.child != ROOT_NAME)
            .then(|| format!("spec.children{{{}}}", notice.child)),
        ..ObjectReference::default()
    };
    let related = notice.pod.map(|(name, uid)| ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: Some(name),
        namespace: Some(tree.namespace.clone()),
        uid: Some(uid),
        ..ObjectReference::default()
    });
    Event {
        metadata: ObjectMeta {
            namespace: Some(tree.namespace.clone()),
            name: Some(name(tree, &notice.reason, &message, now)),
            ..ObjectMeta::default()
        },
        type_: Some(if notice.warning { "Warning" } else { "Normal" }.to_owned()),
        reason: Some(cut(notice.reason, LONGEST_REASON)),
        note: Some(cut(message, LONGEST_NOTE)),
        action: Some(notice.action.to_owned()),
        regarding: Some(regarding),
        related,
        event_time: Some(MicroTime(now)),
        reporting_controller: Some(labels::FIELD_MANAGER.to_owned()),
        reporting_instance: Some(labels::FIELD_MANAGER.to_owned()),
        ..Event::default()
    }
}

/// A name of its own for each Event. It begins with the time, because kubectl shows Events without a `lastTimestamp`
/// in the order of their names; two of the same instant differ in what they say.
fn name(tree: &TreeView, reason: &str, message: &str, now: Timestamp) -> String {
    let hash = names::hash(&[&tree.uid, reason, message]);
    format!("{}.{:x}.{hash}", tree.name, now.as_nanosecond())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::testing::{Answer, client};
    use super::*;
    use crate::api::v1alpha1::SupervisionTreeStatus;
    use crate::runtime::leader::Giver;

    fn tree() -> TreeView {
        TreeView {
            name: "t".to_owned(),
            namespace: "ns".to_owned(),
            uid: "u".to_owned(),
            generation: 1,
            deleting: false,
            finalizers: vec![],
            spec: serde_json::from_value(serde_json::json!({"children": []})).unwrap(),
            status: SupervisionTreeStatus::default(),
        }
    }

    fn notice() -> Notice {
        Notice {
            warning: true,
            reason: "R".repeat(300),
            action: "Restart",
            child: "web".to_owned(),
            what: "ä".repeat(3000),
            pod: Some(("p".to_owned(), "pu".to_owned())),
            ..Notice::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_publishes_side_by_side_and_a_standby_drops() {
        let (client, log) = client(|_| Answer::Never);
        let (giver, leadership) = Giver::new();
        giver.give(1);
        let clock: Clock = Arc::new(|| "2026-01-01T00:00:00Z".parse().unwrap());
        let (notices, publisher) = channel(client, clock, leadership);
        let publisher = tokio::spawn(publisher.run());
        for _ in 0..AT_ONCE + 3 {
            notices.publish(&tree(), notice());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(log.lock().unwrap().len(), AT_ONCE);
        giver.take();
        drop(notices);
        publisher.await.unwrap();
        assert_eq!(log.lock().unwrap().len(), AT_ONCE, "the rest was dropped");
    }

    #[test]
    fn texts_fit_the_api() {
        let (tree, notice) = (tree(), notice());
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let other = event(
            &tree,
            Notice {
                what: "other".to_owned(),
                ..notice.clone()
            },
            now,
        );
        let event = event(&tree, notice, now);
        assert_ne!(event.metadata.name, other.metadata.name);
        let later = name(&tree, "R", "m", "2026-01-01T00:00:00.1Z".parse().unwrap());
        assert!(event.metadata.name < Some(later), "in the order of time");
        assert_eq!(
            (event.reason.unwrap().len(), event.note.unwrap().len()),
            (LONGEST_REASON, LONGEST_NOTE)
        );
        assert_eq!(event.type_.as_deref(), Some("Warning"));
        let regarding = event.regarding.unwrap();
        assert_eq!(
            (regarding.api_version.as_deref(), regarding.uid.as_deref()),
            (Some("coppice.dev/v1alpha1"), Some("u"))
        );
        assert_eq!(regarding.field_path.as_deref(), Some("spec.children{web}"));
        assert_eq!(event.related.unwrap().kind.as_deref(), Some("Pod"));
    }
}
