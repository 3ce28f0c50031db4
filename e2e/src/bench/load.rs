//! What benchmarks put on a cluster: trees, `ReplicaSet`s and Pods that are all alike.
//!
//! Rule: the Pods of both sides come from one template, so that the API server and the nodes have the same work.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, PostParams,
};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::rig::{COPPICE, REPLICA_SET, Rig};
use super::wait;

/// How many requests of the benchmark are under way at once.
pub(super) const AT_ONCE: usize = 16;
/// How long thousands of objects may take to come or go.
const LONG: Duration = Duration::from_mins(15);

/// Who looks after the Pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// Supervision trees.
    Coppice,
    /// The peer.
    ReplicaSet,
}

/// So many owners of so many Pods each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) owners: u32,
    pub(super) replicas: u32,
}

impl Subject {
    /// Who it is for the API server.
    pub(super) fn user(self) -> &'static str {
        match self {
            Self::Coppice => COPPICE,
            Self::ReplicaSet => REPLICA_SET,
        }
    }

    /// Makes the owners, named by `prefix` and a number, and waits until all their Pods are ready.
    pub(super) async fn plant(self, rig: &Rig, namespace: &str, shape: Shape) -> Result<()> {
        let client = rig.client();
        let made = (0..shape.owners).map(|number| {
            let (client, name) = (client.clone(), format!("app-{number}"));
            async move {
                match self {
                    Self::Coppice => {
                        let tree = tree(&name, &[worker("app", shape.replicas)]);
                        create(&trees(client, namespace), tree).await
                    }
                    Self::ReplicaSet => {
                        let set = replica_set(&name, shape.replicas);
                        create(&Api::<ReplicaSet>::namespaced(client, namespace), set).await
                    }
                }
            }
        });
        stream::iter(made)
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await?;
        self.until_ready(&client, namespace, shape.owners).await
    }

    /// Waits until so many owners are as they should be.
    pub(super) async fn until_ready(
        self,
        client: &Client,
        namespace: &str,
        owners: u32,
    ) -> Result<()> {
        wait::until(LONG, "all Pods to be ready", async || {
            // To list thousands of owners all the time would be what they wait for.
            tokio::time::sleep(Duration::from_millis(450) + owners * Duration::from_millis(1))
                .await;
            let ready = self.ready(client, namespace).await?;
            Ok((ready == owners as usize).then_some(()))
        })
        .await
    }

    /// How many owners are as they should be.
    async fn ready(self, client: &Client, namespace: &str) -> Result<usize> {
        let recent = ListParams::default().match_any();
        Ok(match self {
            Self::Coppice => {
                let trees = trees(client.clone(), namespace).list(&recent).await?;
                if let Some(stalled) = trees.iter().find(|tree| is(tree, "Stalled")) {
                    bail!(
                        "a tree is stalled: {}",
                        stalled.data["status"]["conditions"]
                    );
                }
                trees.iter().filter(|tree| is_at_rest(tree)).count()
            }
            Self::ReplicaSet => {
                let sets = Api::<ReplicaSet>::namespaced(client.clone(), namespace);
                let is_ready = |set: &&ReplicaSet| {
                    let wanted = set.spec.replicas;
                    let ready = set.status.as_ref().and_then(|status| status.ready_replicas);
                    ready.unwrap_or(0) == wanted.unwrap_or(0)
                };
                sets.list(&recent).await?.iter().filter(is_ready).count()
            }
        })
    }
}

/// Whether a tree is Ready, with nothing left to do.
fn is_at_rest(tree: &DynamicObject) -> bool {
    is(tree, "Ready") && !is(tree, "Reconciling")
}

/// Whether the condition is true.
fn is(tree: &DynamicObject, condition: &str) -> bool {
    let all = tree.data["status"]["conditions"].as_array();
    let found = all.and_then(|all| all.iter().find(|one| one["type"] == condition));
    found.is_some_and(|one| one["status"] == "True")
}

/// The trees of a namespace.
pub(super) fn trees(client: Client, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("coppice.dev", "v1alpha1", "SupervisionTree");
    Api::namespaced_with(client, namespace, &ApiResource::from_gvk(&kind))
}

/// Stores one object.
pub(super) async fn create<K>(api: &Api<K>, object: Value) -> Result<()>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned + serde::Serialize,
{
    let object = serde_json::from_value(object).context("an object of that kind")?;
    let created = api.create(&PostParams::default(), &object).await;
    created.map(drop).context("create an object")
}

/// A tree of these children, with defaults everywhere.
pub(super) fn tree(name: &str, children: &[Value]) -> Value {
    json!({
        "apiVersion": "coppice.dev/v1alpha1",
        "kind": "SupervisionTree",
        "metadata": {"name": name},
        "spec": {"children": children},
    })
}

/// The same, but it puts up with a hundred deaths a second.
pub(super) fn patient_tree(name: &str, children: &[Value]) -> Value {
    let mut tree = tree(name, children);
    tree["spec"]["intensity"] = json!({"maxRestarts": 100, "periodSeconds": 1});
    tree["spec"]["backoff"] = json!({"maxSeconds": 0});
    tree
}

/// A child of so many Pods.
pub(super) fn worker(name: &str, replicas: u32) -> Value {
    worker_of(name, replicas, &pod_spec())
}

/// A child of so many Pods like this.
pub(super) fn worker_of(name: &str, replicas: u32, spec: &Value) -> Value {
    json!({"name": name, "worker": {"replicas": replicas, "template": {"spec": spec}}})
}

/// A `ReplicaSet` of so many Pods.
pub(super) fn replica_set(name: &str, replicas: u32) -> Value {
    owner_of("ReplicaSet", name, replicas, &pod_spec())
}

/// A `ReplicaSet` or a `Deployment` of so many Pods like this.
pub(super) fn owner_of(kind: &str, name: &str, replicas: u32, spec: &Value) -> Value {
    let labels = json!({"app": name});
    json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    })
}

/// A Pod of a simulated node.
pub(super) fn pod_spec() -> Value {
    json!({
        "nodeSelector": {"type": "kwok"},
        "tolerations": [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}],
        "containers": [{"name": "app", "image": "none"}],
        "terminationGracePeriodSeconds": 1,
    })
}

/// The names of all Pods of a namespace, but for those that are being deleted.
pub(super) async fn pods(client: &Client, namespace: &str) -> Result<Vec<String>> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let list = pods.list_metadata(&ListParams::default()).await?;
    let live = list
        .iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none());
    Ok(live.map(ResourceExt::name_any).collect())
}

/// Deletes whatever benchmarks made in this namespace, and waits until it is gone.
pub(super) async fn clear(rig: &Rig, namespace: &str) -> Result<()> {
    let client = rig.client();
    let now = DeleteParams::default().grace_period(0);
    let (all, background) = (ListParams::default(), DeleteParams::background());
    let sets: Api<ReplicaSet> = Api::namespaced(client.clone(), namespace);
    let trees = trees(client.clone(), namespace);
    let all_pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    trees.delete_collection(&background, &all).await?;
    sets.delete_collection(&background, &all).await?;
    rig.until_within(LONG, "all owners to go", async || {
        let left = trees.list_metadata(&all).await?.items.len();
        Ok((left == 0 && sets.list_metadata(&all).await?.items.is_empty()).then_some(()))
    })
    .await?;
    rig.until_within(LONG, "all Pods to go", async || {
        all_pods.delete_collection(&now, &all).await?;
        let left = all_pods.list_metadata(&all).await?.items;
        Ok(left.is_empty().then_some(()))
    })
    .await
}
