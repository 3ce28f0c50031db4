//! The kinds that are watched, and what is kept of each.
//!
//! Rule: an object that cannot be read is kept as that, so that it disturbs nobody but its own tree.

use std::fmt::Debug;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DeserializeGuard;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::room::Room;
use super::store::{Item, ObjectKey, Store};
use super::views::Views;
use super::wire::protobuf::Read;
use super::wire::{self, Waited, controller_of, label};
use crate::api::labels;
use crate::api::v1alpha1::{SupervisionTree, Worker};
use crate::model::fault::{ObjectRef, is_told_of_nodes};
use crate::model::revisions::StoredTemplate;
use crate::model::world::{DisruptionBudgetView, RevisionView, TreeView, WorkerView};
use crate::model::{claims, disruption_budgets};

mod items;

pub(super) use items::{
    ClaimItem, DisruptionBudgetItem, EventItem, NodeItem, PodItem, RevisionItem, TreeItem,
    WaitedItem, WorkerItem,
};

/// A kind that is watched.
pub(super) trait Kind: Send + Sync + 'static {
    /// Its shape on the wire.
    type Wire: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static;
    /// What is kept of an object.
    type Item: Item + Send + Sync + 'static;

    /// Its name, as in `kind`.
    const NAME: &'static str;
    /// The labels that an object must have to be watched; empty for all objects.
    const SELECTOR: &'static str = "";
    /// How a list and a watch are asked for, where not as a whole: for metadata alone.
    const ACCEPT: Option<[&'static str; 2]> = None;
    /// How an object is read from protobuf; custom resources have none.
    const PROTOBUF: Option<Read<Self::Wire>> = None;

    /// The fields that an object must have to be watched; empty for all objects.
    const FIELDS: &'static str = "";
    /// What is not done, or not known, without it.
    const WITHOUT: &'static str = "less will be known of why Pods fail";
    /// Whether decisions wait for it.
    const NEED: Need = Need::Always;
    /// The kind whose objects must be known before those of this kind are listed, because they say what is kept.
    const AFTER: Option<&'static str> = None;

    /// What is kept of that object.
    fn read(wire: Self::Wire) -> Self::Item;
    /// Whether an object of ours that has the name of a new one is what was to be created. Most are named after what they are for.
    fn is_same(_wire: &Self::Wire, _body: &Value) -> bool {
        true
    }
    /// Whether it is kept at all.
    fn keeps(_views: &Views, _key: &ObjectKey, _item: &Self::Item) -> bool {
        true
    }
    /// Finds an item its place among what is known: what it uses of what others of its kind hold, and the room it takes.
    fn place(_views: &mut Views, _item: &mut Self::Item) {}
    /// That item, if Pods wait for such objects, so that it is remembered when one changes.
    fn waited_for(_item: &Self::Item) -> Option<&WaitedItem> {
        None
    }
    /// Where it is kept.
    fn store(views: &mut Views) -> &mut Store<Self::Item>;
    /// The trees that a change of that item concerns.
    fn concerns(views: &Views, item: &Self::Item) -> Vec<ObjectKey>;
}

/// Whether decisions wait for a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing is decided without it.
    Always,
    /// It is done without where it may not be read, and then nothing that was known of it counts.
    WhereAllowed,
    /// It is waited for as long as its first list has not failed, and not for long: it only makes answers better.
    Hoped,
}

/// Supervision trees.
pub(super) struct Trees;
/// Workers.
pub(super) struct Workers;
/// Stored revisions of trees.
pub(super) struct Revisions;
/// Disruption budgets, those of others included.
pub(super) struct DisruptionBudgets;
/// Pods of trees.
pub(super) struct Pods;
/// Nodes.
pub(super) struct Nodes;
/// Events of Pods of trees.
pub(super) struct PodEvents;
/// Events of claims.
pub(super) struct ClaimEvents;
/// Events of nodes.
pub(super) struct NodeEvents;
/// Claims.
pub(super) struct Claims;
/// Quotas.
pub(super) struct Quotas;
/// `ConfigMaps`.
pub(super) struct ConfigMaps;

impl Kind for Trees {
    type Wire = DeserializeGuard<SupervisionTree>;
    type Item = TreeItem;

    const NAME: &'static str = "SupervisionTree";

    fn read(wire: Self::Wire) -> TreeItem {
        let meta = wire.meta().clone();
        let key = key_of(&meta);
        let item = TreeItem {
            uid: meta.uid.unwrap_or_default(),
            resource_version: meta.resource_version.unwrap_or_default(),
            generation: meta.generation.unwrap_or_default(),
            deleting: meta.deletion_timestamp.is_some(),
            finalizers: meta.finalizers.unwrap_or_default(),
            view: Err(String::new()),
            key,
        };
        let view = match wire.0 {
            Ok(tree) => Ok(Arc::new(TreeView {
                name: item.key.name.clone(),
                namespace: item.key.namespace.clone(),
                uid: item.uid.clone(),
                generation: item.generation,
                deleting: item.deleting,
                finalizers: item.finalizers.clone(),
                spec: tree.spec,
                status: tree.status.unwrap_or_default(),
            })),
            Err(invalid) => Err(invalid.error),
        };
        TreeItem { view, ..item }
    }

    fn store(views: &mut Views) -> &mut Store<TreeItem> {
        &mut views.trees
    }

    fn concerns(_: &Views, item: &TreeItem) -> Vec<ObjectKey> {
        vec![item.key.clone()]
    }
}

impl Kind for Workers {
    type Wire = DeserializeGuard<Worker>;
    type Item = WorkerItem;

    const NAME: &'static str = "Worker";

    fn read(wire: Self::Wire) -> WorkerItem {
        let meta = wire.meta();
        let key = key_of(meta);
        let owner = controller_of(meta);
        let is_tree = |kind: &str| kind == SupervisionTree::kind(&());
        let item = WorkerItem {
            uid: meta.uid.clone().unwrap_or_default(),
            resource_version: meta.resource_version.clone().unwrap_or_default(),
            owner_uid: owner.map_or_else(String::new, |owner| owner.uid.clone()),
            tree: owner
                .filter(|owner| is_tree(&owner.kind))
                .map(|owner| ObjectKey::new(&key.namespace, &owner.name)),
            child: label(meta, labels::CHILD).unwrap_or(&key.name).to_owned(),
            view: Err(String::new()),
            key,
        };
        let generation = meta.generation.unwrap_or_default();
        let deleting = meta.deletion_timestamp.is_some();
        let view = match wire.0 {
            Ok(worker) => Ok(WorkerView {
                name: item.key.name.clone(),
                uid: item.uid.clone(),
                generation,
                deleting,
                replicas: worker.spec.replicas,
                status: Arc::new(worker.status.unwrap_or_default()),
                pods: Vec::new(),
            }),
            Err(invalid) => Err(invalid.error),
        };
        WorkerItem { view, ..item }
    }

    fn store(views: &mut Views) -> &mut Store<WorkerItem> {
        &mut views.workers
    }

    fn concerns(_: &Views, item: &WorkerItem) -> Vec<ObjectKey> {
        item.tree.iter().cloned().collect()
    }
}

impl Kind for Revisions {
    type Wire = wire::Revision;
    type Item = RevisionItem;

    const NAME: &'static str = "ControllerRevision";
    const SELECTOR: &'static str = labels::TREE;

    fn read(wire: Self::Wire) -> RevisionItem {
        let meta = wire.meta();
        let owner = controller_of(meta);
        let of_tree = owner.filter(|owner| owner.kind == SupervisionTree::kind(&()));
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        RevisionItem {
            owner_uid: owner.map_or_else(String::new, |owner| owner.uid.clone()),
            tree: of_tree.map(|owner| ObjectKey::new(namespace, &owner.name)),
            view: Arc::new(RevisionView {
                name: wire.name_any(),
                uid: wire.uid().unwrap_or_default(),
                resource_version: wire.resource_version().unwrap_or_default(),
                number: wire.number,
                deleting: meta.deletion_timestamp.is_some(),
                templates: wire.templates,
            }),
        }
    }

    fn is_same(wire: &Self::Wire, body: &Value) -> bool {
        wire.templates == StoredTemplate::all_in(&body["data"])
    }

    fn store(views: &mut Views) -> &mut Store<RevisionItem> {
        &mut views.revisions
    }

    fn concerns(_: &Views, item: &RevisionItem) -> Vec<ObjectKey> {
        item.tree.iter().cloned().collect()
    }
}

impl Kind for DisruptionBudgets {
    type Wire = wire::DisruptionBudget;
    type Item = DisruptionBudgetItem;

    const NAME: &'static str = disruption_budgets::KIND;
    const WITHOUT: &'static str = "workers get no disruption budgets";
    const NEED: Need = Need::Hoped;

    fn read(wire: Self::Wire) -> DisruptionBudgetItem {
        let meta = wire.meta();
        let owner = controller_of(meta);
        let name = wire.name_any();
        DisruptionBudgetItem {
            key: key_of(meta),
            is_of_worker: owner
                .is_some_and(|owner| owner.kind == Worker::kind(&()) && owner.name == name),
            view: Arc::new(DisruptionBudgetView {
                name,
                uid: wire.uid().unwrap_or_default(),
                resource_version: wire.resource_version().unwrap_or_default(),
                owner_uid: owner.map_or_else(String::new, |owner| owner.uid.clone()),
                deleting: meta.deletion_timestamp.is_some(),
                spec: wire.spec,
            }),
        }
    }

    fn store(views: &mut Views) -> &mut Store<DisruptionBudgetItem> {
        &mut views.disruption_budgets
    }

    /// One of others may select the Pods of any tree there.
    fn concerns(views: &Views, item: &DisruptionBudgetItem) -> Vec<ObjectKey> {
        if !item.is_of_worker {
            let all = views.trees_in(Some(&item.key.namespace));
            return all.into_iter().collect();
        }
        let worker = views.workers.by_uid(&item.view.owner_uid);
        worker
            .and_then(|worker| worker.tree.clone())
            .into_iter()
            .collect()
    }
}

impl Kind for Pods {
    type Wire = wire::Pod;
    type Item = PodItem;

    const NAME: &'static str = "Pod";
    const SELECTOR: &'static str = labels::TREE;
    const PROTOBUF: Option<Read<Self::Wire>> = Some(wire::Pod::decode);

    fn read(wire: Self::Wire) -> PodItem {
        let meta = wire.meta();
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        let tree_label = ObjectKey::new(namespace, label(meta, labels::TREE).unwrap_or_default());
        PodItem {
            tree_label,
            view: Arc::new(wire.view()),
        }
    }

    /// A template makes many Pods with the same spec.
    fn place(views: &mut Views, item: &mut PodItem) {
        if let Some(view) = Arc::get_mut(&mut item.view) {
            views.specs.share(&mut view.spec);
        }
    }

    fn store(views: &mut Views) -> &mut Store<PodItem> {
        &mut views.pods
    }

    /// The owner decides; the label is asked only when the owner is not known (any more).
    fn concerns(views: &Views, item: &PodItem) -> Vec<ObjectKey> {
        let owner = views.workers.by_uid(&item.view.owner_uid);
        let owner = owner.and_then(|worker| worker.tree.clone());
        vec![owner.unwrap_or_else(|| item.tree_label.clone())]
    }
}

impl Kind for Nodes {
    type Wire = wire::Node;
    type Item = NodeItem;

    const NAME: &'static str = "Node";
    const NEED: Need = Need::WhereAllowed;
    const PROTOBUF: Option<Read<Self::Wire>> = Some(wire::Node::decode);

    fn read(wire: Self::Wire) -> NodeItem {
        NodeItem {
            name: wire.name_any(),
            uid: wire.uid().unwrap_or_default(),
            view: wire.view(),
        }
    }

    fn store(views: &mut Views) -> &mut Store<NodeItem> {
        &mut views.nodes
    }

    fn concerns(views: &Views, item: &NodeItem) -> Vec<ObjectKey> {
        with_pods_on(views, &item.name)
    }
}

/// The trees that have Pods on that node.
fn with_pods_on(views: &Views, node: &str) -> Vec<ObjectKey> {
    let pods = views.pods.iter().map(|(_, pod)| pod);
    let pods = pods.filter(|pod| pod.view.node.as_deref() == Some(node));
    pods.flat_map(|pod| Pods::concerns(views, pod)).collect()
}

/// What only says that a Pod goes its way, and is not watched: its status says so, too. A fault is never among them.
const WATCHED_OF_PODS: &str =
    "regarding.kind=Pod,reason!=Scheduled,reason!=Pulled,reason!=Created,reason!=Started";
/// Most Events of Pods that are kept, and of claims. Kubernetes itself sums up what is told more often of one object.
const EVENTS: Room = Room {
    name: "events",
    in_all: 50_000,
    of_one: 200,
};
/// The room for Events of claims that no known Pod has: a claim may be there before its Pod, but most of them are no
/// business of ours.
const EVENTS_OF_STRANGERS: Room = Room {
    name: "events of strangers",
    in_all: 5_000,
    ..EVENTS
};

/// The room for Events of nodes: each counts for every Pod there.
const EVENTS_OF_NODES: Room = Room {
    of_one: 20,
    ..EVENTS
};

impl Kind for PodEvents {
    type Wire = wire::Event;
    type Item = EventItem;

    const NAME: &'static str = "PodEvent";
    const FIELDS: &'static str = WATCHED_OF_PODS;
    const NEED: Need = Need::Hoped;
    const AFTER: Option<&'static str> = Some(Workers::NAME);
    const PROTOBUF: Option<Read<Self::Wire>> = Some(wire::Event::decode);

    fn read(wire: Self::Wire) -> EventItem {
        // Whoever may write Events of a namespace tells of the Pods there, whatever UIDs they write.
        let namespace = wire.namespace().unwrap_or_default();
        event_item(wire, &EVENTS, |object| within(&namespace, &object.uid))
    }

    /// The name of a Pod is that of its Worker with one more part: an Event may be told before its Pod.
    fn keeps(views: &Views, key: &ObjectKey, item: &EventItem) -> bool {
        let pod = item.view.object.name.rsplit_once('-');
        let worker = pod.map(|(worker, _)| ObjectKey::new(&key.namespace, worker));
        item.view.object.kind == "Pod"
            && worker.is_some_and(|worker| views.workers.get(&worker).is_some())
    }

    fn store(views: &mut Views) -> &mut Store<EventItem> {
        &mut views.pod_events
    }

    /// A Pod that is not known yet is looked at when it is. That an image is being pulled is no news.
    fn concerns(views: &Views, item: &EventItem) -> Vec<ObjectKey> {
        let about = &item.view.object;
        let pod = views.pods.by_uid(&about.uid);
        let pod = pod.filter(|pod| {
            item.about == within(&pod.tree_label.namespace, &about.uid)
                && item.view.reason != "Pulling"
        });
        pod.map_or_else(Vec::new, |pod| Pods::concerns(views, pod))
    }
}

impl Kind for ClaimEvents {
    type Wire = wire::Event;
    type Item = EventItem;

    const NAME: &'static str = "ClaimEvent";
    const FIELDS: &'static str = "regarding.kind=PersistentVolumeClaim";
    const NEED: Need = Need::Hoped;
    const AFTER: Option<&'static str> = Some(Pods::NAME);
    const PROTOBUF: Option<Read<Self::Wire>> = Some(wire::Event::decode);

    fn read(wire: Self::Wire) -> EventItem {
        event_item(wire, &EVENTS, |object| {
            within(&object.namespace, &object.name)
        })
    }

    fn keeps(_: &Views, _: &ObjectKey, item: &EventItem) -> bool {
        item.view.object.kind == "PersistentVolumeClaim"
    }

    fn place(views: &mut Views, item: &mut EventItem) {
        let object = &item.view.object;
        let claim = ObjectKey::new(&object.namespace, &object.name);
        if views.pods.mentioning(&claim).next().is_none() {
            item.room = &EVENTS_OF_STRANGERS;
        }
    }

    fn store(views: &mut Views) -> &mut Store<EventItem> {
        &mut views.claim_events
    }

    fn concerns(views: &Views, item: &EventItem) -> Vec<ObjectKey> {
        let object = &item.view.object;
        let claim = ObjectKey::new(&object.namespace, &object.name);
        let pods = views.pods.mentioning(&claim);
        pods.flat_map(|pod| Pods::concerns(views, pod)).collect()
    }
}

impl Kind for NodeEvents {
    type Wire = wire::Event;
    type Item = EventItem;

    const NAME: &'static str = "NodeEvent";
    const FIELDS: &'static str = "regarding.kind=Node";
    const NEED: Need = Need::Hoped;
    const PROTOBUF: Option<Read<Self::Wire>> = Some(wire::Event::decode);

    /// The kubelet does not know the UID of its node.
    fn read(wire: Self::Wire) -> EventItem {
        event_item(wire, &EVENTS_OF_NODES, |object| object.name.clone())
    }

    /// Of what nodes tell, little says why a Pod ended.
    fn keeps(_: &Views, _: &ObjectKey, item: &EventItem) -> bool {
        let view = &item.view;
        view.object.kind == "Node" && is_told_of_nodes(&view.reason)
    }

    fn store(views: &mut Views) -> &mut Store<EventItem> {
        &mut views.node_events
    }

    fn concerns(views: &Views, item: &EventItem) -> Vec<ObjectKey> {
        with_pods_on(views, &item.about)
    }
}

/// What is kept of an Event; `about` says what it is found by.
fn event_item(
    wire: wire::Event,
    room: &'static Room,
    about: impl FnOnce(&ObjectRef) -> String,
) -> EventItem {
    let uid = wire.uid().unwrap_or_default();
    let view = wire.view();
    EventItem {
        uid,
        about: about(&view.object),
        room,
        view: Arc::new(view),
    }
}

impl Kind for Claims {
    type Wire = wire::Claim;
    type Item = ClaimItem;

    const NAME: &'static str = claims::KIND;
    const NEED: Need = Need::Hoped;

    fn read(wire: Self::Wire) -> ClaimItem {
        let view = wire.view();
        let tree_label = match view.tree.as_str() {
            "" => String::new(),
            tree => within(&wire.namespace().unwrap_or_default(), tree),
        };
        ClaimItem {
            waited: waited_item(&wire),
            tree_label,
            view: Arc::new(view),
        }
    }

    fn waited_for(item: &ClaimItem) -> Option<&WaitedItem> {
        Some(&item.waited)
    }

    fn store(views: &mut Views) -> &mut Store<ClaimItem> {
        &mut views.claims
    }

    /// The tree that it was made for, and those of its namespace that something troubles.
    fn concerns(views: &Views, item: &ClaimItem) -> Vec<ObjectKey> {
        let namespace = &item.waited.key.namespace;
        let mut concerned = views.troubled_in(namespace);
        let tree = ObjectKey::new(namespace, &item.view.tree);
        if views.trees.get(&tree).is_some() {
            concerned.push(tree);
        }
        concerned
    }
}

/// What is kept of an object that Pods wait for.
fn waited_item(wire: &impl Waited) -> WaitedItem {
    WaitedItem {
        key: key_of(wire.meta()),
        uid: wire.meta().uid.clone().unwrap_or_default(),
        says: wire.says(),
    }
}

/// Declares a kind that Pods wait for.
macro_rules! waited_for {
    ($kind:ident, $wire:ty, $name:literal, $store:ident, $accept:expr) => {
        impl Kind for $kind {
            type Wire = $wire;
            type Item = WaitedItem;

            const NAME: &'static str = $name;
            const NEED: Need = Need::Hoped;
            const ACCEPT: Option<[&'static str; 2]> = $accept;

            fn read(wire: Self::Wire) -> WaitedItem {
                waited_item(&wire)
            }

            fn waited_for(item: &WaitedItem) -> Option<&WaitedItem> {
                Some(item)
            }

            fn store(views: &mut Views) -> &mut Store<WaitedItem> {
                &mut views.$store
            }

            /// Those of its namespace that something troubles.
            fn concerns(views: &Views, item: &WaitedItem) -> Vec<ObjectKey> {
                views.troubled_in(&item.key.namespace)
            }
        }
    };
}

/// The metadata of objects, and nothing else of them, listed and watched.
const METADATA: [&str; 2] = [
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
];
waited_for!(Quotas, wire::Quota, "ResourceQuota", quotas, None);
waited_for!(
    ConfigMaps,
    wire::ConfigMap,
    "ConfigMap",
    config_maps,
    Some(METADATA)
);

/// What Events of an object are found by: its namespace, and the UID of a Pod or the name of a claim, whose UID no Pod
/// knows.
pub(super) fn within(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

/// Namespace and name of an object.
pub(super) fn key_of(metadata: &ObjectMeta) -> ObjectKey {
    ObjectKey {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_tree_that_cannot_be_read_is_kept_as_that() {
        let odd = json!({"metadata": {"name": "t", "namespace": "n", "uid": "u", "resourceVersion": "3",
            "generation": 2}, "spec": {"children": "none"}});
        let item = Trees::read(serde_json::from_value(odd).unwrap());
        assert_eq!(
            (item.key.to_string().as_str(), item.uid.as_str()),
            ("n/t", "u")
        );
        assert_eq!((item.resource_version.as_str(), item.generation), ("3", 2));
        let error = item.view.unwrap_err();
        assert!(error.contains("Expected a sequence"), "{error}");
    }

    #[test]
    fn a_worker_belongs_to_the_tree_that_controls_it_whatever_its_labels_say() {
        let worker = json!({"metadata": {"name": "t-api", "namespace": "n", "uid": "w", "generation": 1,
            "labels": {"coppice.dev/tree": "another", "coppice.dev/child": "api"},
            "ownerReferences": [{"apiVersion": "coppice.dev/v1alpha1", "kind": "SupervisionTree", "name": "t",
                "uid": "u", "controller": true}]},
            "spec": {"replicas": 3}});
        let item = Workers::read(serde_json::from_value(worker).unwrap());
        assert_eq!((item.owner_uid.as_str(), item.child.as_str()), ("u", "api"));
        assert_eq!(item.tree, Some(ObjectKey::new("n", "t")));
        assert_eq!(item.view.unwrap().replicas, 3);
    }
}
