//! The API of a kind within a namespace or the whole cluster.
//!
//! Rule: a kind without namespaces is always watched in the whole cluster.

use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use kube::{Api, Client, Resource};

/// How a kind is addressed, by whether it has namespaces.
pub(in crate::controller) trait Scoped<W> {
    /// The API of the kind in that namespace, or in all.
    fn api(client: Client, namespace: Option<&str>) -> Api<W>;
}

impl<W: Resource<DynamicType = (), Scope = Self>> Scoped<W> for NamespaceResourceScope {
    fn api(client: Client, namespace: Option<&str>) -> Api<W> {
        match namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        }
    }
}

impl<W: Resource<DynamicType = (), Scope = Self>> Scoped<W> for ClusterResourceScope {
    fn api(client: Client, _: Option<&str>) -> Api<W> {
        Api::all(client)
    }
}
