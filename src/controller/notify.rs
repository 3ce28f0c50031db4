//! Tells people what was done, as Events on the tree.
//!
//! Rule: an Event is news, not state: it never delays a restart, and one that cannot be published is
//! logged and dropped.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};
use tokio::sync::mpsc;

use super::error::bounded;
use super::wire::cut;
use crate::api::labels;
use crate::api::v1alpha1::SupervisionTree;
use crate::model::decision::Notice;
use crate::model::tree::ROOT_NAME;
use crate::model::world::TreeView;

/// How many Events may wait to be published.
const WAITING: usize = 1024;
/// The limits that the API server sets, in bytes.
const LONGEST_REASON: usize = 128;
const LONGEST_NOTE: usize = 1024;
/// How long the last Events may take when the process ends.
const DRAIN: Duration = Duration::from_secs(2);

/// Where Events are handed in.
#[derive(Clone, Debug)]
pub(super) struct Notices(mpsc::Sender<(Event, ObjectReference)>);

/// Publishes what was handed in.
pub(super) struct Publisher {
    recorder: Recorder,
    waiting: mpsc::Receiver<(Event, ObjectReference)>,
}

/// Both ends. There is one pair per process, because the recorder counts repeats.
pub(super) fn channel(client: Client) -> (Notices, Publisher) {
    let (sender, waiting) = mpsc::channel(WAITING);
    let recorder = Recorder::new(client, Reporter::from(labels::FIELD_MANAGER));
    (Notices(sender), Publisher { recorder, waiting })
}

impl Notices {
    /// Hands in one notice about a tree.
    pub(super) fn publish(&self, tree: &TreeView, notice: Notice) {
        let (event, regarding) = event(tree, notice);
        if let Err(error) = self.0.try_send((event, regarding)) {
            tracing::warn!(%error, "dropped an Event");
        }
    }
}

impl Publisher {
    /// Publishes until every sender is gone.
    pub(super) async fn run(mut self) {
        while let Some((event, regarding)) = self.waiting.recv().await {
            let name = regarding.name.clone().unwrap_or_default();
            let published = self.recorder.publish(&event, &regarding);
            if let Err(error) = bounded("create", "Event", name, published).await
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
    }
}

/// Waits for the publisher to finish, for a moment.
pub(super) async fn drain(publisher: tokio::task::JoinHandle<()>) {
    let abort = publisher.abort_handle();
    if tokio::time::timeout(DRAIN, publisher).await.is_err() {
        abort.abort();
    }
}

fn event(tree: &TreeView, notice: Notice) -> (Event, ObjectReference) {
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
    let secondary = notice.pod.map(|(name, uid)| ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: Some(name),
        namespace: Some(tree.namespace.clone()),
        uid: Some(uid),
        ..ObjectReference::default()
    });
    let event = Event {
        type_: if notice.warning {
            EventType::Warning
        } else {
            EventType::Normal
        },
        reason: cut(notice.reason, LONGEST_REASON),
        note: Some(cut(notice.message, LONGEST_NOTE)),
        action: notice.action.to_owned(),
        secondary,
    };
    (event, regarding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::v1alpha1::SupervisionTreeStatus;

    #[test]
    fn texts_fit_the_api() {
        let tree = TreeView {
            name: "t".to_owned(),
            namespace: "ns".to_owned(),
            uid: "u".to_owned(),
            generation: 1,
            deleting: false,
            finalizers: vec![],
            spec: serde_json::from_value(serde_json::json!({"children": []})).unwrap(),
            status: SupervisionTreeStatus::default(),
        };
        let notice = Notice {
            warning: true,
            reason: "R".repeat(300),
            action: "Restart",
            child: "web".to_owned(),
            message: "ä".repeat(3000),
            pod: Some(("p".to_owned(), "pu".to_owned())),
        };
        let (event, regarding) = event(&tree, notice);
        assert_eq!(
            (event.reason.len(), event.note.unwrap().len()),
            (LONGEST_REASON, LONGEST_NOTE)
        );
        assert_eq!(event.type_, EventType::Warning);
        assert_eq!(
            regarding.api_version.as_deref(),
            Some("coppice.dev/v1alpha1")
        );
        assert_eq!(regarding.field_path.as_deref(), Some("spec.children{web}"));
        assert_eq!(event.secondary.unwrap().kind.as_deref(), Some("Pod"));
    }
}
