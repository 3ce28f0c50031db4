//! Trees that the API server accepts and that cannot be carried out, or only just.
//!
//! What the API server itself refuses is tested with an API server alone.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::kit::{Kit, names, ok, tree, worker};

/// Delays that are longer than the window: the supervisor could never give up.
pub async fn unfit_intensity(kit: Arc<Kit>) {
    let namespace = kit.namespace("unfit").await;
    let mut unfit = tree("unfit", &[worker("app", 1, &[])]);
    unfit["spec"]["intensity"] = json!({"maxRestarts": 10, "periodSeconds": 60});
    kit.apply(&namespace, &unfit).await;
    let (reason, message) = kit.stalled(&namespace, "unfit").await;
    assert_eq!(reason, "InvalidSpec");
    for part in [
        "`backoff` of the root",
        "must fit into `periodSeconds` 60",
        "lower `backoff.maxSeconds`",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(names(&kit.pods(&namespace).await), Vec::<String>::new());

    unfit["spec"]["intensity"]["periodSeconds"] = json!(600);
    kit.apply(&namespace, &unfit).await;
    kit.ready(&namespace, "unfit").await;
    kit.condition(&namespace, "unfit", "Stalled=False").await;
}

/// Three workers, each with an annotation of 200 KB.
pub async fn a_spec_of_600_kb(kit: Arc<Kit>) {
    let namespace = kit.namespace("heavy").await;
    let children: Vec<Value> = ["a", "b", "c"].map(|name| annotated(name, &["one"])).into();
    let heavy = tree("heavy", &children);
    assert!(heavy.to_string().len() > 600_000);
    let words = format!("apply --server-side -n {namespace} -f -");
    ok(&words, &kit.try_kubectl(&words, Some(&heavy)).await);
    kit.ready(&namespace, "heavy").await;
}

/// What Kubernetes refuses in a Pod is reported with its own words.
pub async fn a_template_too_large_for_a_pod(kit: Arc<Kit>) {
    let namespace = kit.namespace("fat").await;
    let fat = tree(
        "fat",
        &[annotated("app", &["one", "two"]), worker("sibling", 1, &[])],
    );
    let words = format!("apply --server-side -n {namespace} -f -");
    ok(&words, &kit.try_kubectl(&words, Some(&fat)).await);
    let (reason, message) = kit.stalled(&namespace, "fat").await;
    assert_eq!(reason, "CreateRefused");
    for part in ["app/0", "metadata.annotations: Too long"] {
        assert!(message.contains(part), "{message}");
    }
    let pods = kit.pods(&namespace).await;
    assert!(
        names(&pods)
            .iter()
            .all(|name| name.starts_with("fat-sibling-"))
            && pods.len() == 1
    );
    let fit = tree("fat", &[worker("app", 1, &[]), worker("sibling", 1, &[])]);
    ok(&words, &kit.try_kubectl(&words, Some(&fit)).await);
    kit.ready(&namespace, "fat").await;
}

/// A worker with annotations of these names, each of 200 KB; Kubernetes takes 256 KB in one Pod.
fn annotated(name: &str, annotations: &[&str]) -> Value {
    let text = json!("x".repeat(200_000));
    let annotations: Map<String, Value> = annotations
        .iter()
        .map(|name| ((*name).to_owned(), text.clone()))
        .collect();
    let mut child = worker(name, 1, &[]);
    child["worker"]["template"]["metadata"] = json!({"annotations": annotations});
    child
}
