//! The four kinds that are watched, and what is kept of each.
//!
//! Rule: an object that cannot be read is kept as that, so that it disturbs nobody but its own tree.

use std::fmt::Debug;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DeserializeGuard;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::store::{Item, ObjectKey, Store};
use super::views::Views;
use super::wire::protobuf::Read;
use super::wire::{self, controller_of, label};
use crate::api::labels;
use crate::api::v1alpha1::{SupervisionTree, Worker};
use crate::model::world::{TreeView, WorkerView};

mod items;

pub(super) use items::{NodeItem, PodItem, TreeItem, WorkerItem};

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
    /// How an object is read from protobuf; custom resources have none.
    const PROTOBUF: Option<Read<Self::Wire>> = None;

    /// What is kept of that object.
    fn read(wire: Self::Wire) -> Self::Item;
    /// Where it is kept.
    fn store(views: &mut Views) -> &mut Store<Self::Item>;
    /// The trees that a change of that item concerns.
    fn concerns(views: &Views, item: &Self::Item) -> Vec<ObjectKey>;
}

/// Supervision trees.
pub(super) struct Trees;
/// Workers.
pub(super) struct Workers;
/// Pods of trees.
pub(super) struct Pods;
/// Nodes.
pub(super) struct Nodes;

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
        let on_node = |pod: &Arc<PodItem>| pod.view.node.as_deref() == Some(item.name.as_str());
        let pods = views
            .pods
            .iter()
            .map(|(_, pod)| pod)
            .filter(|pod| on_node(pod));
        pods.flat_map(|pod| Pods::concerns(views, pod)).collect()
    }
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
