//! Lets go of trees: takes our finalizer off, so that they can be deleted when Coppice is gone.
//!
//! Rule: no Pod is touched. While an operator runs it would put the finalizer back, so it can be stopped
//! first.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::{PartialObjectMeta, Selector};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;
use thiserror::Error;
use tokio::time::Instant;

use super::error::{Error, bounded, chain};
use super::kinds::key_of;
use super::store::ObjectKey;
use crate::api::labels;
use crate::api::v1alpha1::SupervisionTree;

/// How often the Pods of the operator are looked for.
const POLL: Duration = Duration::from_millis(500);
/// How often a tree is tried that somebody else changes at the same time.
const ATTEMPTS: usize = 5;

type Meta = PartialObjectMeta<SupervisionTree>;

/// What to let go of.
#[derive(Clone, Debug)]
pub struct ReleaseOptions {
    /// Namespaces; empty for all.
    pub namespaces: Vec<String>,
    /// The operator's Deployment, to be scaled to zero first.
    pub stop: Option<ObjectKey>,
    /// How long to wait for the operator's Pods to go.
    pub timeout: Duration,
}

/// What was done to one tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Released {
    /// The tree.
    pub tree: ObjectKey,
    /// Why it could not be released.
    pub error: Option<String>,
}

/// Why nothing was released.
#[derive(Debug, Error)]
pub enum ReleaseError {
    /// A request failed.
    #[error("{}", chain(.0))]
    Api(Error),
    /// The operator still runs.
    #[error("{pods} Pods of the operator {operator} are still there after {} s", timeout.as_secs())]
    StillRunning {
        /// The operator's Deployment.
        operator: ObjectKey,
        /// How many of its Pods there are.
        pods: usize,
        /// How long was waited.
        timeout: Duration,
    },
    /// The Deployment selects no Pods that could be waited for.
    #[error("the selector of the operator {operator} cannot be read: {message}")]
    Selector {
        /// The operator's Deployment.
        operator: ObjectKey,
        /// What is wrong with it.
        message: String,
    },
}

/// Stops the operator when asked to, then lets go of every tree there. A tree that fails does not stop
/// the others.
pub async fn release(
    client: &Client,
    options: &ReleaseOptions,
) -> Result<Vec<Released>, ReleaseError> {
    if let Some(operator) = &options.stop {
        stop(client, operator, options.timeout).await?;
    }
    let mut released = Vec::new();
    for tree in held(client, &options.namespaces)
        .await
        .map_err(ReleaseError::Api)?
    {
        let error = let_go(client, &tree).await.err().map(|error| chain(&error));
        released.push(Released {
            tree: key_of(tree.meta()),
            error,
        });
    }
    Ok(released)
}

/// Scales the operator to zero and waits for its Pods to go. A Deployment that is not there is stopped.
async fn stop(
    client: &Client,
    operator: &ObjectKey,
    timeout: Duration,
) -> Result<(), ReleaseError> {
    let deployments = Api::<Deployment>::namespaced(client.clone(), &operator.namespace);
    let body = json!({"spec": {"replicas": 0}});
    let params = PatchParams {
        field_manager: Some(labels::FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(&body);
    let scaled = deployments.patch_scale(&operator.name, &params, &patch);
    match bounded("scale", "Deployment", operator.to_string(), scaled).await {
        Ok(_) => {}
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) => return Err(ReleaseError::Api(error)),
    }
    let got = bounded(
        "get",
        "Deployment",
        operator.to_string(),
        deployments.get(&operator.name),
    )
    .await;
    let selector = Selector::try_from(got.map_err(ReleaseError::Api)?.spec.selector);
    let selector = selector.map_err(|error| ReleaseError::Selector {
        operator: operator.clone(),
        message: error.to_string(),
    })?;
    let pods = Api::<Pod>::namespaced(client.clone(), &operator.namespace);
    let params = ListParams::default().labels_from(&selector);
    let deadline = Instant::now() + timeout;
    loop {
        let listed = bounded("list", "Pod", "", pods.list_metadata(&params)).await;
        let left = listed.map_err(ReleaseError::Api)?.items.len();
        if left == 0 {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(ReleaseError::StillRunning {
                operator: operator.clone(),
                pods: left,
                timeout,
            });
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The trees that carry our finalizer. CRDs that are not there hold no trees.
async fn held(client: &Client, namespaces: &[String]) -> Result<Vec<Meta>, Error> {
    let apis: Vec<Api<SupervisionTree>> = match namespaces {
        [] => vec![Api::all(client.clone())],
        some => some
            .iter()
            .map(|namespace| Api::namespaced(client.clone(), namespace))
            .collect(),
    };
    let mut trees = Vec::new();
    for api in apis {
        match bounded(
            "list",
            "SupervisionTree",
            "",
            api.list_metadata(&ListParams::default()),
        )
        .await
        {
            Ok(list) => trees.extend(list.items),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    trees.retain(|tree| {
        tree.finalizers()
            .iter()
            .any(|name| name == labels::FINALIZER)
    });
    Ok(trees)
}

/// Takes our finalizer off one tree, and nobody else's.
async fn let_go(client: &Client, tree: &Meta) -> Result<(), Error> {
    let key = key_of(tree.meta());
    let api = Api::<SupervisionTree>::namespaced(client.clone(), &key.namespace);
    let mut tree = tree.clone();
    let mut attempt = 1;
    loop {
        let others: Vec<&String> = tree
            .finalizers()
            .iter()
            .filter(|name| *name != labels::FINALIZER)
            .collect();
        if others.len() == tree.finalizers().len() {
            return Ok(());
        }
        let body =
            json!({"metadata": {"resourceVersion": tree.resource_version(), "finalizers": others}});
        let params = PatchParams {
            field_manager: Some(labels::FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(&body);
        match bounded(
            "patch",
            "SupervisionTree",
            key.to_string(),
            api.patch_metadata(&key.name, &params, &patch),
        )
        .await
        {
            Ok(_) => return Ok(()),
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) if error.is_conflict() && attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(error),
        }
        tree = match bounded(
            "get",
            "SupervisionTree",
            key.to_string(),
            api.get_metadata(&key.name),
        )
        .await
        {
            Ok(fresh) => fresh,
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(error),
        };
    }
}
