//! What is asked of a cluster: a tree, its Workers, Pods and revisions, the Events of its namespace, the claims and nodes of its
//! Pods; and the one change of a tree that a person asked for.
//!
//! Rule: each call ends in time, and all but that one only read; what is not read besides the tree, because it may not or is too much, is
//! done without, and said.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use coppice::api::labels;
use coppice::api::v1alpha1::GROUP;
use coppice::why::Refusal;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::Request;
use kube::core::params::{GetParams, ListParams, Patch, PatchParams};
use kube::{Client, Config};
use serde_json::Value;

use super::needed::{Needed, pods_in};

/// How long one call may take.
const CALL: Duration = Duration::from_secs(10);
/// How many objects are asked for at once.
const PAGE: u32 = 500;
/// Most Events that are read: a namespace with more of them is in a trouble of its own.
const MOST_PAGES: usize = 20;
/// Most nodes that are read, one by one.
const MOST_NODES: usize = 20;

/// Who asks which cluster, as kubectl's options say it.
#[derive(Debug, Default)]
pub(crate) struct Whence<'a> {
    pub(crate) kubeconfig: Option<&'a Path>,
    pub(crate) context: Option<&'a str>,
    pub(crate) namespace: Option<&'a str>,
    /// The user, and the groups, to act for.
    pub(crate) user: Option<&'a str>,
    pub(crate) groups: &'a [String],
}

/// A namespace of a cluster.
pub(crate) struct Connection {
    client: Client,
    namespace: String,
}

/// What was read.
#[derive(Debug)]
pub(crate) struct Found {
    /// Objects and lists, as the API server gives them.
    pub(crate) objects: Vec<Value>,
    /// What could not be read besides.
    pub(crate) warnings: Vec<String>,
}

impl Found {
    /// Takes in what was listed, or says what is gone without.
    fn add(&mut self, pages: anyhow::Result<Vec<Value>>, what: &str, source: &str) {
        match pages {
            Ok(pages) => {
                if pages.last().is_some_and(has_more) {
                    let most = MOST_PAGES * PAGE as usize;
                    self.warnings.push(format!(
                        "goes on without some {what} of {source}: no more than {most} are read"
                    ));
                }
                self.objects.extend(pages);
            }
            Err(error) => self
                .warnings
                .push(format!("goes on without the {what} of {source}: {error:#}")),
        }
    }
}

impl Connection {
    /// Finds the cluster as kubectl does; without a kubeconfig, the one that this runs in.
    pub(crate) async fn open(whence: &Whence<'_>) -> anyhow::Result<Self> {
        let context = whence.context;
        let options = KubeConfigOptions {
            context: context.map(ToOwned::to_owned),
            ..KubeConfigOptions::default()
        };
        let config = match whence.kubeconfig {
            Some(path) => {
                let kubeconfig =
                    Kubeconfig::read_from(path).context("could not read the kubeconfig")?;
                Config::from_custom_kubeconfig(kubeconfig, &options)
                    .await
                    .map_err(anyhow::Error::new)
            }
            None if context.is_some() => Config::from_kubeconfig(&options)
                .await
                .map_err(anyhow::Error::new),
            None => Config::infer().await.map_err(anyhow::Error::new),
        };
        let mut config = config.context("could not find out how to reach the API server")?;
        if let Some(user) = whence.user {
            config.auth_info.impersonate = Some(user.to_owned());
            config.auth_info.impersonate_groups = Some(whence.groups.to_vec());
        }
        let client = coppice::controller::client(config)
            .context("could not make a client for the API server")?;
        Ok(Self::new(client, whence.namespace))
    }

    fn new(client: Client, namespace: Option<&str>) -> Self {
        let namespace = namespace
            .unwrap_or_else(|| client.default_namespace())
            .to_owned();
        Self { client, namespace }
    }

    /// What messages call it.
    pub(crate) fn source(&self) -> String {
        format!("namespace {}", self.namespace)
    }

    /// Reads a tree and what belongs to it.
    pub(crate) async fn read(&self, tree: &str) -> anyhow::Result<Found> {
        let mut found = Found {
            objects: vec![self.tree(tree).await?],
            warnings: Vec::new(),
        };
        let own = format!("{}={tree}", labels::TREE);
        let ours = format!("apis/{GROUP}/v1alpha1");
        for (api, kind, selector) in [
            (ours.as_str(), "workers", own.as_str()),
            ("api/v1", "pods", &own),
            ("api/v1", "events", ""),
        ] {
            let pages = self.list(api, kind, selector).await;
            found.add(pages, kind, &self.source());
        }
        let of_pods = Needed::of(&pods_in(&found.objects));
        if of_pods.claims {
            let pages = self.list("api/v1", "persistentvolumeclaims", "").await;
            found.add(pages, "claims", &self.source());
        }
        for (read, name) in of_pods.nodes.iter().enumerate() {
            if read == MOST_NODES {
                found.warnings.push(format!(
                    "goes on with {MOST_NODES} of the {} nodes of Pods that are not ready: no more are read",
                    of_pods.nodes.len()
                ));
                break;
            }
            let request = Request::new("/api/v1/nodes").get(name, &GetParams::default())?;
            match self.call(request).await {
                Ok(node) => found.objects.push(node),
                Err(error) => {
                    let others = match of_pods.nodes.len() - read - 1 {
                        0 => String::new(),
                        others => format!(" and {others} more"),
                    };
                    let warning = format!("goes on without the node {name}{others}: {error:#}");
                    found.warnings.push(warning);
                    break;
                }
            }
        }
        Ok(found)
    }

    /// The tree, or in which words it is not there.
    pub(crate) async fn tree(&self, name: &str) -> anyhow::Result<Value> {
        let trees = self.request(&format!("apis/{GROUP}/v1alpha1"), "supervisiontrees");
        let request = trees.get(name, &GetParams::default())?;
        let tree = self.call(request).await;
        let is_missing = |error: &anyhow::Error| matches!(error.downcast_ref(), Some(kube::Error::Api(status)) if status.code == 404);
        match tree {
            Err(error) if is_missing(&error) => Err(self.missing(name, &trees).await.into()),
            tree => {
                tree.with_context(|| format!("could not read the tree {name} of {}", self.source()))
            }
        }
    }

    /// The revisions that are stored of a tree.
    pub(crate) async fn revisions(&self, tree: &Value) -> anyhow::Result<Vec<Value>> {
        let name = tree["metadata"]["name"].as_str().unwrap_or_default();
        let own = format!("{}={name}", labels::TREE);
        let pages = self.list("apis/apps/v1", "controllerrevisions", &own).await;
        let pages = pages.context("could not read the revisions")?;
        let items = pages.iter().filter_map(|page| page["items"].as_array());
        let is_of_tree = |one: &&Value| {
            let owners = one["metadata"]["ownerReferences"].as_array();
            let mut owners = owners.into_iter().flatten();
            owners.any(|owner| owner["uid"] == tree["metadata"]["uid"])
        };
        Ok(items.flatten().filter(is_of_tree).cloned().collect())
    }

    /// Changes a tree by a merge patch.
    pub(crate) async fn patch(&self, tree: &str, patch: &Value) -> anyhow::Result<()> {
        let trees = self.request(&format!("apis/{GROUP}/v1alpha1"), "supervisiontrees");
        let params = PatchParams {
            field_manager: Some("kubectl-coppice".to_owned()),
            ..PatchParams::default()
        };
        let request = trees.patch(tree, &params, &Patch::Merge(patch))?;
        let answer = self.call(request).await;
        answer.with_context(|| format!("could not change the tree {tree} of {}", self.source()))?;
        Ok(())
    }

    /// Why there is no such tree.
    async fn missing(&self, name: &str, trees: &Request) -> Refusal {
        let request = trees.list(&ListParams::default().limit(PAGE));
        let answer = match request {
            Ok(request) => self.call(request).await.ok(),
            Err(_) => None,
        };
        let Some(list) = answer else {
            return Refusal::Unknown(format!(
                "this cluster knows no trees, or none may be read in {}: is Coppice installed there?",
                self.source()
            ));
        };
        let items = list["items"].as_array().into_iter().flatten();
        let names: Vec<&str> = items
            .filter_map(|tree| tree["metadata"]["name"].as_str())
            .collect();
        let there = match names.as_slice() {
            [] => "there is none".to_owned(),
            names => format!("there are {}", names.join(", ")),
        };
        Refusal::Unknown(format!(
            "there is no tree {name} in {}; {there}",
            self.source()
        ))
    }

    /// All objects of a kind in the namespace, a list for each page.
    async fn list(&self, api: &str, kind: &str, selector: &str) -> anyhow::Result<Vec<Value>> {
        let objects = self.request(api, kind);
        let mut pages = Vec::new();
        let mut params = ListParams::default().labels(selector).limit(PAGE);
        while pages.len() < MOST_PAGES {
            let page = self.call(objects.list(&params)?).await?;
            let next = next_of(&page).to_owned();
            pages.push(page);
            if next.is_empty() {
                break;
            }
            params = params.continue_token(&next);
        }
        Ok(pages)
    }

    fn request(&self, api: &str, kind: &str) -> Request {
        Request::new(format!("/{api}/namespaces/{}/{kind}", self.namespace))
    }

    async fn call(&self, request: axum::http::Request<Vec<u8>>) -> anyhow::Result<Value> {
        let answer = tokio::time::timeout(CALL, self.client.request(request));
        let answer = answer
            .await
            .with_context(|| format!("no answer within {} s", CALL.as_secs()))?;
        Ok(answer?)
    }
}

/// Where the next page of a list begins; empty after the last one.
fn next_of(page: &Value) -> &str {
    page["metadata"]["continue"].as_str().unwrap_or_default()
}

fn has_more(page: &Value) -> bool {
    !next_of(page).is_empty()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::body::Body;
    use axum::http::{Request as HttpRequest, Response};
    use serde_json::json;

    use super::*;

    /// A cluster that answers by these rules: what the path contains, code, and body. The first that fits counts.
    fn cluster(rules: Vec<(&'static str, u16, Value)>) -> (Connection, Arc<Mutex<Vec<String>>>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        let service = tower::service_fn(move |request: HttpRequest<kube::client::Body>| {
            let path = request.uri().to_string();
            log.lock().unwrap().push(path.clone());
            let rule = rules.iter().find(|rule| path.contains(rule.0));
            let (_, code, body) = rule.cloned().unwrap_or_else(|| ("", 404, json!({})));
            async move {
                let answer = Response::builder().status(code);
                Ok::<_, tower::BoxError>(answer.body(Body::from(body.to_string())).unwrap())
            }
        });
        let client = Client::new(service, "mine");
        (Connection::new(client, None), asked)
    }

    fn refused(code: u16, reason: &str) -> Value {
        json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": reason})
    }

    #[tokio::test]
    async fn only_revisions_of_that_tree_count_and_a_patch_names_who_makes_it() {
        let of = |uid: &str| json!({"metadata": {"ownerReferences": [{"uid": uid}]}});
        let (connection, asked) = cluster(vec![
            (
                "/controllerrevisions",
                200,
                json!({"items": [of("mine"), of("another")]}),
            ),
            ("supervisiontrees/shop", 200, json!({})),
        ]);
        let tree = json!({"metadata": {"name": "shop", "uid": "mine"}});
        assert_eq!(connection.revisions(&tree).await.unwrap(), [of("mine")]);
        connection.patch("shop", &json!({})).await.unwrap();
        let asked = asked.lock().unwrap();
        assert!(
            asked[1].contains("fieldManager=kubectl-coppice"),
            "{}",
            asked[1]
        );
    }

    #[tokio::test]
    async fn a_tree_and_what_belongs_to_it_are_read_page_by_page() {
        let (connection, asked) = cluster(vec![
            (
                "supervisiontrees/shop",
                200,
                json!({"kind": "SupervisionTree"}),
            ),
            ("/workers", 200, json!({"kind": "WorkerList", "items": []})),
            ("/pods", 200, json!({"kind": "PodList", "items": []})),
            (
                "continue=two",
                200,
                json!({"kind": "EventList", "items": []}),
            ),
            (
                "/events",
                200,
                json!({"kind": "EventList", "metadata": {"continue": "two"}, "items": []}),
            ),
        ]);
        let found = connection.read("shop").await.unwrap();
        assert_eq!(found.objects.len(), 5);
        assert_eq!(found.warnings, [""; 0]);
        let asked = asked.lock().unwrap();
        assert_eq!(asked.len(), 5);
        assert!(
            asked[1].contains("labelSelector=coppice.dev%2Ftree%3Dshop"),
            "{}",
            asked[1]
        );
        assert!(
            asked[2].starts_with("/api/v1/namespaces/mine/pods?"),
            "{}",
            asked[2]
        );
    }

    #[tokio::test]
    async fn claims_and_nodes_are_read_of_pods_that_are_not_ready() {
        let pod = |node: &str, ready: &str, volume: Value| {
            json!({
                "spec": {"nodeName": node, "volumes": [volume]},
                "status": {"conditions": [{"type": "Ready", "status": ready}]},
            })
        };
        let claim = json!({"persistentVolumeClaim": {"claimName": "data"}});
        let pods = [
            pod("a", "True", json!({})),
            pod("b", "False", json!({})),
            pod("c", "False", claim),
        ];
        let (connection, asked) = cluster(vec![
            ("supervisiontrees/shop", 200, json!({})),
            ("/pods", 200, json!({"kind": "PodList", "items": pods})),
            ("/nodes/b", 200, json!({"kind": "Node"})),
            ("/nodes/", 403, refused(403, "Forbidden")),
            ("", 200, json!({"kind": "List", "items": []})),
        ]);
        let found = connection.read("shop").await.unwrap();
        assert_eq!(found.objects.len(), 6);
        assert_eq!(found.warnings.len(), 1);
        assert!(
            found.warnings[0].contains("without the node c"),
            "{:?}",
            found.warnings
        );
        let asked = asked.lock().unwrap();
        let of = |path: &str| asked.iter().filter(|asked| asked.contains(path)).count();
        assert_eq!(of("/persistentvolumeclaims"), 1);
        assert_eq!([of("/nodes/a"), of("/nodes/b"), of("/nodes/c")], [0, 1, 1]);
    }

    #[tokio::test]
    async fn what_is_too_much_to_read_is_said() {
        let pods: Vec<Value> = (0..25)
            .map(|number| json!({"spec": {"nodeName": format!("n{number}")}}))
            .collect();
        let endless = json!({"kind": "EventList", "metadata": {"continue": "more"}, "items": []});
        let (connection, asked) = cluster(vec![
            ("supervisiontrees/shop", 200, json!({})),
            ("/pods", 200, json!({"kind": "PodList", "items": pods})),
            ("/events", 200, endless),
            ("", 200, json!({"kind": "List", "items": []})),
        ]);
        let found = connection.read("shop").await.unwrap();
        assert_eq!(
            found.warnings,
            [
                "goes on without some events of namespace mine: no more than 10000 are read",
                "goes on with 20 of the 25 nodes of Pods that are not ready: no more are read",
            ]
        );
        let asked = asked.lock().unwrap();
        let of = |path: &str| asked.iter().filter(|asked| asked.contains(path)).count();
        assert_eq!((of("/events"), of("/nodes/")), (MOST_PAGES, MOST_NODES));
    }

    #[tokio::test]
    async fn what_may_not_be_read_is_done_without() {
        let (connection, _) = cluster(vec![
            (
                "supervisiontrees/shop",
                200,
                json!({"kind": "SupervisionTree"}),
            ),
            ("/events", 403, refused(403, "Forbidden")),
            ("", 200, json!({"kind": "List", "items": []})),
        ]);
        let found = connection.read("shop").await.unwrap();
        assert_eq!(found.objects.len(), 3);
        assert_eq!(found.warnings.len(), 1);
        assert!(
            found.warnings[0].contains("without the events of namespace mine"),
            "{:?}",
            found.warnings
        );
    }

    #[tokio::test]
    async fn a_tree_that_is_not_there_is_refused_with_those_that_are() {
        let items = json!([{"metadata": {"name": "shop"}}]);
        let (connection, _) = cluster(vec![
            ("supervisiontrees/shops", 404, refused(404, "NotFound")),
            ("supervisiontrees?", 200, json!({"items": items})),
        ]);
        let error = connection.read("shops").await.unwrap_err();
        let refusal = error.downcast_ref::<Refusal>().unwrap().to_string();
        assert_eq!(
            refusal,
            "there is no tree shops in namespace mine; there are shop"
        );
        let (nowhere, _) = cluster(vec![("", 404, refused(404, "NotFound"))]);
        let error = nowhere.read("shop").await.unwrap_err();
        assert!(
            error
                .downcast_ref::<Refusal>()
                .unwrap()
                .to_string()
                .contains("is Coppice installed")
        );
    }

    #[tokio::test]
    async fn a_cluster_that_cannot_be_asked_is_no_refusal() {
        let (connection, _) = cluster(vec![("", 500, refused(500, "InternalError"))]);
        let error = connection.read("shop").await.unwrap_err();
        assert!(error.downcast_ref::<Refusal>().is_none(), "{error:#}");
    }
}
