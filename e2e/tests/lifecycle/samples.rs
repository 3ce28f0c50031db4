//! The samples of `manifests/samples`, and a tree that must never notice what happens to others.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::kit::{Kit, SOON, restarts, tree, uids, worker};

/// Every sample is applied as it is, and becomes Ready with all the Pods that it asks for; one that has run to completion
/// is still there to be looked at.
pub async fn each_becomes_ready(kit: Arc<Kit>) {
    let namespace = kit.namespace("samples").await;
    kit.kubectl(&format!("apply -n {namespace} -f manifests/samples"))
        .await;
    let samples = kit.list(&format!("stree -n {namespace}")).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/samples");
    let files = fs::read_dir(folder).unwrap();
    assert_eq!(samples.len(), files.count(), "each file is a tree");
    for sample in &samples {
        let name = sample["metadata"]["name"].as_str().unwrap();
        kit.ready(&namespace, name).await;
        kit.condition(&namespace, name, "Reconciling=False").await;
    }
    let pods = kit.pods(&namespace).await;
    for sample in &samples {
        let name = &sample["metadata"]["name"];
        let of_tree = |pod: &&Value| pod["metadata"]["labels"]["coppice.dev/tree"] == *name;
        let count = pods.iter().filter(of_tree).count() as u64;
        assert_eq!(count, replicas(sample), "Pods of {name}");
    }
    assert_eq!(restarts(&pods), 0);
}

fn replicas(tree: &Value) -> u64 {
    let children = tree["spec"]["children"].as_array().into_iter().flatten();
    children
        .filter_map(|child| child["worker"]["replicas"].as_u64())
        .sum()
}

/// A tree beside all others.
pub struct Witness {
    /// Its namespace.
    pub namespace: String,
    pods: Vec<String>,
}

impl Witness {
    /// Starts it.
    pub async fn plant(kit: &Kit) -> Self {
        let namespace = kit.namespace("witness").await;
        let children = [worker("one", 2, &[]), worker("two", 1, &[])];
        kit.apply(&namespace, &tree("witness", &children)).await;
        kit.ready(&namespace, "witness").await;
        kit.condition(&namespace, "witness", "Reconciling=False")
            .await;
        let pods = uids(&kit.pods(&namespace).await);
        assert_eq!(pods.len(), 3);
        Self { namespace, pods }
    }

    /// Asserts that its processes have run all the time.
    pub async fn is_untouched(&self, kit: &Kit) {
        let pods = kit.pods(&self.namespace).await;
        assert_eq!(uids(&pods), self.pods);
        assert_eq!(restarts(&pods), 0);
    }

    /// Asserts that somebody looks after it: what is deleted is replaced.
    pub async fn is_cared_for(&self, kit: &Kit) {
        let before = kit.pods(&self.namespace).await;
        let victim = before[0]["metadata"]["name"].as_str().unwrap();
        kit.kubectl(&format!(
            "delete pod {victim} -n {} --wait=false",
            self.namespace
        ))
        .await;
        kit.until(&self.namespace, "the Pod is replaced", SOON, async || {
            let pods = kit.pods(&self.namespace).await;
            let is_new =
                pods.len() == before.len() && !uids(&pods).contains(&uids(&before[..1])[0]);
            is_new.then_some(())
        })
        .await;
        kit.ready(&self.namespace, "witness").await;
    }
}
