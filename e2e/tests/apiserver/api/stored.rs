//! Trees that were stored under older rules, and that today's rules refuse.
//!
//! Rule: whatever is wrong with a tree, the operator can report on it, and it can be deleted.

use e2e::cluster::Cluster;
use serde_json::{Value, json};

use super::{
    Kubectl, apply_definitions, below, definition_of_trees, empty_server, eventually, longest_name,
    schema_of, supervisor, tree, worker,
};

/// Installs the definition of trees as an older version may have had it: without its rules and limits.
fn apply_lenient_definition(cluster: &Cluster) {
    let mut definition = definition_of_trees();
    let schema = schema_of(&mut definition);
    remove(schema, "x-kubernetes-validations");
    remove(&mut schema["properties"], "metadata");
    let spec = &mut schema["properties"]["spec"];
    remove(spec, "x-kubernetes-validations");
    let child = &mut spec["properties"]["children"]["items"];
    remove(child, "x-kubernetes-validations");
    let worker = &mut child["properties"]["worker"]["properties"];
    remove(&mut worker["replicas"], "minimum");
    remove(&mut worker["template"]["properties"]["spec"], "required");
    Kubectl::on(cluster)
        .words("apply")
        .object(&definition)
        .said();
    eventually("trees are served", || {
        Kubectl::on(cluster)
            .words("get supervisiontrees")
            .output()
            .status
            .success()
            .then_some(())
    });
}

fn remove(schema: &mut Value, key: &str) {
    schema
        .as_object_mut()
        .expect("a schema")
        .remove(key)
        .expect("what is to be removed");
}

/// Trees that today's rules refuse, each for another reason.
fn refused_today() -> Vec<Value> {
    let mut both = worker("db");
    both["supervisor"] = json!({});
    let mut negative = worker("db");
    negative["worker"]["replicas"] = json!(-1);
    let mut empty = worker("db");
    empty["worker"]["template"]["spec"] = json!({});
    let mut labelled = worker("db");
    labelled["worker"]["template"]["metadata"] = json!({"labels": {"coppice.dev/tree": "other"}});
    vec![
        tree("unknown-parent", [below("nobody", worker("db"))]),
        tree("both", [both]),
        tree("neither", [json!({"name": "db"})]),
        tree("negative", [negative]),
        tree("no-containers", [empty]),
        tree("labelled", [labelled]),
        tree("dotted.name", [worker("db")]),
        tree(&"n".repeat(60), [worker("db")]),
        tree("long-together", [worker(&longest_name(0))]),
    ]
}

#[tokio::test]
async fn can_be_reported_on_and_deleted() {
    let cluster = empty_server().await;
    apply_lenient_definition(&cluster);
    for tree in refused_today() {
        Kubectl::on(&cluster).words("create").object(&tree).said();
    }
    apply_definitions(&cluster);
    eventually("today's rules are in force", || {
        let tree = tree("probe", [below("nobody", worker("db"))]);
        let created = Kubectl::on(&cluster)
            .words("create --dry-run=server")
            .object(&tree)
            .output();
        (!created.status.success()).then_some(())
    });
    let stalled = json!({"status": {"observedGeneration": 1, "conditions": [{
        "type": "Stalled",
        "status": "True",
        "reason": "InvalidSpec",
        "message": "what to change",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "observedGeneration": 1,
    }]}});
    for tree in refused_today() {
        let name = tree["metadata"]["name"].as_str().expect("a name");
        let patch = |words: &str, patch: &Value| {
            let patch = patch.to_string();
            Kubectl::on(&cluster)
                .words("patch stree --type=merge")
                .arg(name)
                .words(words)
                .arg("-p")
                .arg(patch)
                .said()
        };
        patch("--subresource=status", &stalled);
        patch(
            "",
            &json!({"metadata": {"finalizers": ["coppice.dev/ordered-stop"]}}),
        );
        let shown = Kubectl::on(&cluster)
            .words("get stree -o jsonpath={.status.conditions[0].reason}")
            .arg(name)
            .said();
        assert_eq!(shown, "InvalidSpec", "{name}");
        Kubectl::on(&cluster)
            .words("delete stree --wait=false")
            .arg(name)
            .said();
        patch("", &json!({"metadata": {"finalizers": null}}));
        eventually("the tree is gone", || {
            let found = Kubectl::on(&cluster).words("get stree").arg(name).output();
            (!found.status.success()).then_some(())
        });
    }
}

#[tokio::test]
async fn can_be_mended_but_not_made_worse() {
    let cluster = empty_server().await;
    apply_lenient_definition(&cluster);
    let long = longest_name(0);
    Kubectl::on(&cluster)
        .words("create")
        .object(&tree("parents", [below("nobody", worker("db"))]))
        .said();
    Kubectl::on(&cluster)
        .words("create")
        .object(&tree("names", [worker(&long)]))
        .said();
    apply_definitions(&cluster);
    let longer = tree("names", [worker(&long), worker(&longest_name(1))]);
    let complaint = eventually("today's rules are in force", || {
        let applied = Kubectl::on(&cluster)
            .words("replace")
            .object(&longer)
            .output();
        (!applied.status.success()).then(|| super::text(&applied.stderr))
    });
    let expected = format!(
        "`metadata.name` and the `name` of child '{}' must not be longer than 50 characters together",
        longest_name(1)
    );
    assert!(complaint.ends_with(&expected), "{complaint}");
    Kubectl::on(&cluster)
        .words("replace")
        .object(&tree("names", [worker(&long), worker("db")]))
        .said();
    Kubectl::on(&cluster)
        .words("replace")
        .object(&tree("names", [worker("db")]))
        .said();

    let more = tree("parents", [below("nobody", worker("db")), worker("api")]);
    let complaint = Kubectl::on(&cluster)
        .words("replace")
        .object(&more)
        .complained();
    assert!(
        complaint.ends_with("declared earlier in `children`, but is 'nobody'"),
        "{complaint}"
    );
    let mended = tree(
        "parents",
        [supervisor("nobody"), below("nobody", worker("db"))],
    );
    Kubectl::on(&cluster)
        .words("replace")
        .object(&mended)
        .said();
}
