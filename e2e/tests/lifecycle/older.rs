//! Trees that were stored under older rules, and that today's rules refuse.

use std::sync::Arc;

use serde_json::{Value, json};

use super::kit::{Kit, SOON, names, ok, tree, worker};

const DEFINITION: &str = "crd supervisiontrees.coppice.dev";

/// The operator says of each what to fix, starts nothing of it, and lets it be deleted.
pub async fn trees_are_reported(kit: Arc<Kit>) {
    let namespace = kit.namespace("older").await;
    let today = kit.list(DEFINITION).await.remove(0);
    replace(&kit, &lenient(today.clone())).await;
    let trees = refused_today();
    for (tree, _) in &trees {
        let words = format!("apply -n {namespace} -f -");
        kit.until(
            &namespace,
            "the API server goes by the older rules",
            SOON,
            async || {
                let output = kit.try_kubectl(&words, Some(tree)).await;
                output.status.success().then_some(())
            },
        )
        .await;
    }
    replace(&kit, &today).await;

    for (tree, expected) in &trees {
        let name = tree["metadata"]["name"].as_str().unwrap();
        let (reason, message) = kit.stalled(&namespace, name).await;
        assert_eq!(reason, "InvalidSpec", "{name}: {message}");
        assert!(message.contains(expected), "{name}: {message}");
    }
    assert_eq!(names(&kit.pods(&namespace).await), Vec::<String>::new());
    kit.kubectl(&format!("delete stree --all -n {namespace} --timeout=60s"))
        .await;
}

async fn replace(kit: &Kit, definition: &Value) {
    let mut definition = definition.clone();
    let metadata = definition["metadata"].as_object_mut().unwrap();
    metadata.remove("resourceVersion");
    metadata.remove("managedFields");
    ok(
        "replace",
        &kit.try_kubectl("replace -f -", Some(&definition)).await,
    );
}

/// The definition of trees as an older version may have had it: without its rules and limits. What lists are stays,
/// because it decides who owns which field of every other tree.
fn lenient(mut definition: Value) -> Value {
    let schema = &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    remove(schema, "x-kubernetes-validations");
    remove(&mut schema["properties"], "metadata");
    let spec = &mut schema["properties"]["spec"];
    remove(spec, "x-kubernetes-validations");
    let children = &mut spec["properties"]["children"];
    let child = &mut children["items"];
    remove(child, "x-kubernetes-validations");
    let worker = &mut child["properties"]["worker"]["properties"];
    remove(&mut worker["replicas"], "minimum");
    remove(&mut worker["template"]["properties"]["spec"], "required");
    definition
}

fn remove(schema: &mut Value, key: &str) {
    schema.as_object_mut().expect("a schema").remove(key);
}

/// Trees that today's rules refuse, each with what its message must say.
fn refused_today() -> Vec<(Value, &'static str)> {
    let mut both = worker("db", 1, &[]);
    both["supervisor"] = json!({});
    let mut negative = worker("db", 1, &[]);
    negative["worker"]["replicas"] = json!(-1);
    let mut empty = worker("db", 1, &[]);
    empty["worker"]["template"]["spec"] = json!({});
    let mut orphan = worker("db", 1, &[]);
    orphan["parent"] = json!("nobody");
    let mut early = worker("db", 1, &[]);
    early["parent"] = json!("late");
    let late = json!({"name": "late", "supervisor": {}});
    let long = "n".repeat(45);
    vec![
        (
            tree("unknown-parent", &[orphan]),
            "child 'db' must name a supervisor declared earlier",
        ),
        (
            tree("late-parent", &[early, late]),
            "child 'db' must name a supervisor declared earlier",
        ),
        (
            tree("both", &[both]),
            "child 'db' must have either `supervisor` or `worker`, but has both",
        ),
        (
            tree("neither", &[json!({"name": "db"})]),
            "child 'db' must have either `supervisor` or `worker`, but has neither",
        ),
        (tree("negative", &[negative]), "`replicas` of worker 'db'"),
        (
            tree("no-containers", &[empty]),
            "`template.spec.containers`",
        ),
        (
            tree("long-together", &[worker(&long, 1, &[])]),
            "must not be longer than 50 characters",
        ),
    ]
}
