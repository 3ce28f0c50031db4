//! Tools that wait for a tree, right after an edit of it: none of them may take an old answer for a new one.

use std::sync::Arc;

use e2e::kstatus;
use serde_json::{Value, json};

use super::kit::{Kit, SOON, complaint, names, tree, worker};
use super::support::chart;

/// `kubectl wait --for=condition=Ready` returns when the edit is up, and not before.
pub async fn for_ready_after_an_edit(kit: Arc<Kit>) {
    let namespace = kit.namespace("ready").await;
    for edit in ["a", "b", "c", "d"] {
        kit.apply(&namespace, &labelled("edited", edit)).await;
        kit.ready(&namespace, "edited").await;
        let tree = kit.tree(&namespace, "edited").await;
        assert_ne!(kstatus::compute(&tree), kstatus::Status::Failed);
        let pods = kit.pods(&namespace).await;
        let up = pods
            .iter()
            .filter(|pod| is_ready(pod) && pod["metadata"]["labels"]["edit"] == edit);
        assert!(up.count() >= 2, "edit {edit}: {:?}", names(&pods));
    }
}

/// Two replicas that must both be up, with the name of the edit as a label.
fn labelled(name: &str, edit: &str) -> Value {
    let mut child = worker("app", 2, &[]);
    child["worker"]["quorum"] = json!(2);
    child["worker"]["template"]["metadata"] = json!({"labels": {"edit": edit}});
    tree(name, &[child])
}

fn is_ready(pod: &Value) -> bool {
    kstatus::condition(pod, "Ready").is_some_and(|ready| ready["status"] == "True")
}

/// `kubectl wait --for=condition=Stalled` returns when the edit is judged, and not for what was wrong before it.
pub async fn for_stalled_after_an_edit(kit: Arc<Kit>) {
    let namespace = kit.namespace("stalled").await;
    let mut edited = tree("edited", &[worker("app", 1, &[])]);
    kit.apply(&namespace, &edited).await;
    kit.ready(&namespace, "edited").await;
    for period in 1..=4 {
        edited["spec"]["intensity"] = json!({"maxRestarts": 10, "periodSeconds": period});
        kit.apply(&namespace, &edited).await;
        let (reason, message) = kit.stalled(&namespace, "edited").await;
        assert_eq!(reason, "InvalidSpec");
        assert!(
            message.contains(&format!("`periodSeconds` {period};")),
            "{message}"
        );
    }
    edited["spec"]["intensity"] = json!({"maxRestarts": 3, "periodSeconds": 300});
    kit.apply(&namespace, &edited).await;
    kit.condition(&namespace, "edited", "Stalled=False").await;
    kit.ready(&namespace, "edited").await;
}

/// `helm install --wait` and `helm upgrade --wait` wait for a tree in a chart, and see when it has failed.
pub async fn helm_waits_for_a_tree(kit: Arc<Kit>) {
    let namespace = kit.namespace("helm").await;
    let write = |tree: &Value| chart(kit.cluster(), &namespace, tree);
    let chart = write(&labelled("shop", "a"));
    let chart = chart.display();
    let words = format!("shop {chart} -n {namespace} --wait --timeout");
    for (edit, verb) in [("a", "install"), ("b", "upgrade")] {
        write(&labelled("shop", edit));
        kit.helm(&format!("{verb} {words} 90s")).await;
        let tree = kit.tree(&namespace, "shop").await;
        assert_eq!(kstatus::compute(&tree), kstatus::Status::Current, "{tree}");
        let pods = kit.pods(&namespace).await;
        assert_eq!(pods.iter().filter(|pod| is_ready(pod)).count(), 2);
        assert!(
            pods.iter()
                .all(|pod| pod["metadata"]["labels"]["edit"] == edit)
        );
    }

    let mut unfit = labelled("shop", "b");
    unfit["spec"]["intensity"] = json!({"maxRestarts": 10, "periodSeconds": 1});
    write(&unfit);
    let words = format!("upgrade {words} 10s");
    let error = complaint(&words, &kit.try_helm(&words).await);
    assert!(error.contains("SupervisionTree"), "{error}");
    kit.helm(&format!(
        "uninstall shop -n {namespace} --wait --timeout 60s"
    ))
    .await;
    kit.until(&namespace, "nothing is left", SOON, async || {
        let left = kit.list(&format!("stree,pods -n {namespace}")).await;
        left.is_empty().then_some(())
    })
    .await;
}
