//! What is looked at together, as kubectl and the API server call it.
//!
//! Rule: a look has no more in it than what the answer may rest on, so that it can be taken often.

/// Which objects are looked at together.
#[derive(Clone, Copy, Debug)]
pub enum Look {
    /// A Pod, its Events and its claims.
    Pods,
    /// A Pod with its node, too.
    PodsAndNodes,
    /// Controllers and their Events, without Pods.
    Controllers,
    /// Nodes by themselves.
    Nodes,
}

impl Look {
    /// What kubectl is asked for.
    pub const fn kinds(self) -> &'static str {
        match self {
            Self::Pods => "pods,events,persistentvolumeclaims",
            Self::PodsAndNodes => "pods,events,persistentvolumeclaims,nodes",
            Self::Controllers => "deployments,jobs,statefulsets,events",
            Self::Nodes => "nodes",
        }
    }

    /// The same for the API server.
    pub fn paths(self, namespace: &str) -> Vec<String> {
        let core = |kind: &str| format!("/api/v1/namespaces/{namespace}/{kind}");
        let other =
            |group: &str, kind: &str| format!("/apis/{group}/v1/namespaces/{namespace}/{kind}");
        let pods = || vec![core("pods"), core("events"), core("persistentvolumeclaims")];
        let nodes = "/api/v1/nodes".to_owned();
        match self {
            Self::Pods => pods(),
            Self::PodsAndNodes => [pods(), vec![nodes]].concat(),
            Self::Controllers => vec![
                other("apps", "deployments"),
                other("batch", "jobs"),
                other("apps", "statefulsets"),
                core("events"),
            ],
            Self::Nodes => vec![nodes],
        }
    }
}
