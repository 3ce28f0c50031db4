//! What is built: the Go modules and the commands of each.
//!
//! Rule: the order is the order of building, so what the smallest cluster needs comes first.

use super::Error;
use crate::versions;

/// What a group of cluster parts needs to be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// etcd, kube-apiserver and kubectl.
    ApiServer,
    /// Everything that a cluster consists of.
    Full,
    /// Peers of benchmarks too, which nothing else needs.
    Bench,
}

/// One Go module and the commands built from it.
pub(super) struct Tool {
    pub(super) name: &'static str,
    pub(super) folder: String,
    pub(super) provider: &'static str,
    /// Name of the binary and package, with the scope that needs it.
    pub(super) commands: &'static [(&'static str, &'static str, Scope)],
    /// Name of a file, and the folder of the module whose YAML documents are joined in it.
    pub(super) files: &'static [(&'static str, &'static str)],
}

impl Tool {
    /// Whether this scope needs any of it.
    pub(super) fn is_needed(&self, scope: Scope) -> bool {
        self.commands.iter().any(|(.., needed)| *needed <= scope)
    }
}

/// The components of Kubernetes.
const KUBERNETES: [(&str, &str, Scope); 6] = [
    (
        "kube-apiserver",
        "k8s.io/kubernetes/cmd/kube-apiserver",
        Scope::ApiServer,
    ),
    ("kubectl", "k8s.io/kubernetes/cmd/kubectl", Scope::ApiServer),
    ("kubelet", "k8s.io/kubernetes/cmd/kubelet", Scope::Full),
    (
        "kube-controller-manager",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
        Scope::Full,
    ),
    (
        "kube-scheduler",
        "k8s.io/kubernetes/cmd/kube-scheduler",
        Scope::Full,
    ),
    (
        "kube-proxy",
        "k8s.io/kubernetes/cmd/kube-proxy",
        Scope::Full,
    ),
];

/// What kwok's simulated nodes and Pods do.
const KWOK_STAGES: [(&str, &str); 3] = [
    ("stage-node-fast.yaml", "kustomize/stage/node/fast"),
    (
        "stage-node-heartbeat-with-lease.yaml",
        "kustomize/stage/node/heartbeat-with-lease",
    ),
    ("stage-pod-fast.yaml", "kustomize/stage/pod/fast"),
];

pub(super) fn tools() -> Result<Vec<Tool>, Error> {
    use Scope::{ApiServer, Bench, Full};
    Ok(vec![
        Tool {
            name: "etcd",
            folder: "etcd".to_owned(),
            provider: "go.etcd.io/etcd/server/v3",
            commands: &[("etcd", "go.etcd.io/etcd/server/v3", ApiServer)],
            files: &[],
        },
        Tool {
            name: "kubernetes",
            folder: versions::kubernetes_folder().map_err(Error::Version)?,
            provider: "k8s.io/kubernetes",
            commands: &KUBERNETES,
            files: &[],
        },
        Tool {
            name: "containerd",
            folder: "containerd".to_owned(),
            provider: "github.com/containerd/containerd/v2",
            commands: &[
                (
                    "containerd",
                    "github.com/containerd/containerd/v2/cmd/containerd",
                    Full,
                ),
                (
                    "containerd-shim-runc-v2",
                    "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
                    Full,
                ),
                ("ctr", "github.com/containerd/containerd/v2/cmd/ctr", Full),
            ],
            files: &[],
        },
        Tool {
            name: "kwok",
            folder: "kwok".to_owned(),
            provider: "sigs.k8s.io/kwok",
            commands: &[("kwok", "sigs.k8s.io/kwok/cmd/kwok", Full)],
            files: &KWOK_STAGES,
        },
        Tool {
            name: "local-path-provisioner",
            folder: "local-path-provisioner".to_owned(),
            provider: "github.com/rancher/local-path-provisioner",
            commands: &[(
                "local-path-provisioner",
                "github.com/rancher/local-path-provisioner",
                Full,
            )],
            files: &[],
        },
        Tool {
            name: "metrics-server",
            folder: "metrics-server".to_owned(),
            provider: "sigs.k8s.io/metrics-server",
            commands: &[(
                "metrics-server",
                "sigs.k8s.io/metrics-server/cmd/metrics-server",
                Full,
            )],
            files: &[],
        },
        Tool {
            name: "helm",
            folder: "helm".to_owned(),
            provider: "helm.sh/helm/v4",
            commands: &[("helm", "helm.sh/helm/v4/cmd/helm", Full)],
            files: &[],
        },
        Tool {
            name: "argo-rollouts",
            folder: "argo-rollouts".to_owned(),
            provider: "github.com/argoproj/argo-rollouts",
            commands: &[(
                "rollouts-controller",
                "github.com/argoproj/argo-rollouts/cmd/rollouts-controller",
                Bench,
            )],
            files: &[("definitions.yaml", "manifests/crds")],
        },
    ])
}
