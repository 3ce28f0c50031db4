//! Labels, annotations, the finalizer and the field manager: names that users may rely on.
//!
//! Rule: selectors use [`TREE`] and [`CHILD`] only.

/// Label on Workers and Pods: the name of their tree.
pub const TREE: &str = "coppice.dev/tree";
/// Label on Workers and Pods: the name of the child they belong to.
pub const CHILD: &str = "coppice.dev/child";
/// Label on Pods: the number of the slot that they fill.
pub const SLOT: &str = "coppice.dev/slot";
/// Label on Pods: the hash of the template that they were made from.
pub const REVISION: &str = "coppice.dev/revision";
/// Label on Pods: the incarnation of their worker. Pods of an earlier one are stopped.
pub const INCARNATION: &str = "coppice.dev/incarnation";
/// Label on Pods: the slot again, under the name that `StatefulSet`s and `Job`s use.
pub const POD_INDEX: &str = "apps.kubernetes.io/pod-index";
/// Annotation on long-running Pods with `restartPolicy: Never`, so that Argo CD does not take them
/// for jobs that are still in progress.
pub const ARGO_IGNORE_RESTART_POLICY: &str = "argocd.argoproj.io/ignore-restart-policy";
/// Annotation on Pods: the names of the app and init containers of the template, comma-separated. Only
/// their ends count; sidecars and containers that admission added are not judged.
pub const CONTAINERS: &str = "coppice.dev/containers";
/// Label on nodes: their host name, by which replicas are spread over nodes.
pub const HOSTNAME: &str = "kubernetes.io/hostname";
/// Label on nodes: their zone, by which replicas are spread over zones.
pub const ZONE: &str = "topology.kubernetes.io/zone";
/// Annotation on Pods, by whoever knows: of several that may go when a worker is scaled in, those that cost least go first.
pub const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
/// Annotation on Pods: the `restartAt` of their child that had come when they were made.
pub const RESTART_AT: &str = "coppice.dev/restart-at";
/// Finalizer of a tree: its Pods are stopped in order before it goes.
pub const FINALIZER: &str = "coppice.dev/ordered-stop";
/// Finalizer that the garbage collector keeps on an object while it orphans its dependents.
pub const ORPHAN_FINALIZER: &str = "orphan";
/// Field manager of every write that Coppice makes.
pub const FIELD_MANAGER: &str = "coppice";
