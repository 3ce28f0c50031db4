//! The kinds that the simulated API server knows, and how a request names them.
//!
//! Rule: a path that names none of them is an error of the caller, never guessed at.

use axum::http::Method;
use serde_json::Value;

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Tree,
    Worker,
    Pod,
    Node,
    Event,
    Claim,
    Quota,
    Lease,
    Revision,
    DisruptionBudget,
}

impl Kind {
    pub(super) const ALL: [Self; 10] = [
        Self::Tree,
        Self::Worker,
        Self::Pod,
        Self::Node,
        Self::Event,
        Self::Claim,
        Self::Quota,
        Self::Lease,
        Self::Revision,
        Self::DisruptionBudget,
    ];

    /// Group and version, as in `apiVersion`.
    pub(super) fn api_version(self) -> &'static str {
        match self {
            Self::Tree | Self::Worker => "coppice.dev/v1alpha1",
            Self::Pod | Self::Node | Self::Claim | Self::Quota => "v1",
            Self::Event => "events.k8s.io/v1",
            Self::Lease => "coordination.k8s.io/v1",
            Self::Revision => "apps/v1",
            Self::DisruptionBudget => "policy/v1",
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tree => "SupervisionTree",
            Self::Worker => "Worker",
            Self::Pod => "Pod",
            Self::Node => "Node",
            Self::Event => "Event",
            Self::Claim => "PersistentVolumeClaim",
            Self::Quota => "ResourceQuota",
            Self::Lease => "Lease",
            Self::Revision => "ControllerRevision",
            Self::DisruptionBudget => "PodDisruptionBudget",
        }
    }

    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Tree => "supervisiontrees",
            Self::Worker => "workers",
            Self::Pod => "pods",
            Self::Node => "nodes",
            Self::Event => "events",
            Self::Claim => "persistentvolumeclaims",
            Self::Quota => "resourcequotas",
            Self::Lease => "leases",
            Self::Revision => "controllerrevisions",
            Self::DisruptionBudget => "poddisruptionbudgets",
        }
    }

    /// Plural and group, as error messages name a kind.
    pub(super) fn resource(self) -> String {
        match self.api_version().split_once('/') {
            Some((group, _)) => format!("{}.{group}", self.plural()),
            None => self.plural().to_owned(),
        }
    }

    /// Whether it is a custom resource: no grace, a generation that counts every change of the spec, and an
    /// answer without the object when a delete takes effect at once.
    pub(super) fn is_custom(self) -> bool {
        matches!(self, Self::Tree | Self::Worker)
    }

    /// Whether its objects count generations.
    pub(super) fn has_generation(self) -> bool {
        self.is_custom() || self == Self::Pod
    }

    /// Whether its status is written apart from the rest.
    pub(super) fn has_status(self) -> bool {
        matches!(self, Self::Tree | Self::Worker | Self::Pod | Self::Node)
    }

    fn root(self) -> String {
        let version = self.api_version();
        let prefix = if version.contains('/') { "apis" } else { "api" };
        format!("/{prefix}/{version}/")
    }
}

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    List,
    Watch,
    Create,
    Patch,
    Update,
    Delete,
}

impl Verb {
    /// Whether the request may change something.
    pub(super) fn writes(self) -> bool {
        !matches!(self, Self::Get | Self::List | Self::Watch)
    }
}

/// Which part of an object a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Main,
    Status,
    Scale,
}

/// A request, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    pub(super) verb: Verb,
    pub(super) kind: Kind,
    /// Empty: all.
    pub(super) namespace: String,
    /// Empty for a collection.
    pub(super) name: String,
    pub(super) part: Part,
    pub(super) query: Vec<(String, String)>,
    pub(super) body: Value,
}

impl Call {
    /// The request that a client sends so.
    pub(super) fn parse(method: &Method, target: &str, body: Value) -> Option<Self> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query: Vec<(String, String)> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| {
                (
                    name.to_owned(),
                    ["%2F/", "%3D=", "%2C,", "%21!"]
                        .iter()
                        .fold(value.to_owned(), |value, code| {
                            value.replace(&code[..3], &code[3..])
                        }),
                )
            })
            .collect();
        let (kind, namespace, rest) = Kind::ALL.into_iter().find_map(|kind| {
            let rest = path.strip_prefix(&kind.root())?;
            let (namespace, rest) = match rest.strip_prefix("namespaces/") {
                Some(rest) => rest.split_once('/')?,
                None => ("", rest),
            };
            let rest = rest.strip_prefix(kind.plural())?;
            (rest.is_empty() || rest.starts_with('/')).then_some((kind, namespace, rest))
        })?;
        let mut rest = rest.split('/').skip(1);
        let name = rest.next().unwrap_or_default().to_owned();
        let part = match rest.next() {
            None => Part::Main,
            Some("status") => Part::Status,
            Some("scale") => Part::Scale,
            Some(_) => return None,
        };
        let watches = query
            .iter()
            .any(|(name, value)| name == "watch" && value == "true");
        let verb = match *method {
            Method::GET if watches => Verb::Watch,
            Method::GET if name.is_empty() => Verb::List,
            Method::GET => Verb::Get,
            Method::POST => Verb::Create,
            Method::PATCH => Verb::Patch,
            Method::PUT => Verb::Update,
            Method::DELETE => Verb::Delete,
            _ => return None,
        };
        let namespace = namespace.to_owned();
        Some(Self {
            verb,
            kind,
            namespace,
            name,
            part,
            query,
            body,
        })
    }

    /// The value of a query parameter.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        let mut pairs = self.query.iter();
        pairs
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_taken_apart() {
        let call = Call::parse(
            &Method::PATCH,
            "/apis/coppice.dev/v1alpha1/namespaces/ns/workers/t-a/scale?fieldManager=me",
            Value::Null,
        )
        .unwrap();
        assert_eq!(
            (call.verb, call.kind, call.part),
            (Verb::Patch, Kind::Worker, Part::Scale)
        );
        assert_eq!((call.namespace.as_str(), call.name.as_str()), ("ns", "t-a"));
        assert_eq!(call.query("fieldManager"), Some("me"));
        let list = Call::parse(
            &Method::GET,
            "/api/v1/pods?labelSelector=coppice.dev%2Ftree",
            Value::Null,
        );
        let list = list.unwrap();
        assert_eq!((list.verb, list.kind), (Verb::List, Kind::Pod));
        assert_eq!(list.query("labelSelector"), Some("coppice.dev/tree"));
        assert_eq!(
            Call::parse(&Method::GET, "/api/v1/secrets", Value::Null),
            None
        );
    }
}
